//! What is done in the console, and what is asked for it.

/// Something that can be done: a button, and the form behind it.
pub(in crate::console) struct Action {
    /// Its name in addresses and forms, one of its kind's.
    pub(in crate::console) name: &'static str,
    pub(in crate::console) verb: &'static str,
    /// The button.
    pub(in crate::console) label: &'static str,
    /// What it does, in a sentence or two: what happens, and whether it can be undone.
    pub(in crate::console) told: &'static str,
    /// What is said once it is done.
    pub(in crate::console) done: &'static str,
    /// Whether something ends by it: then it is asked for once more.
    pub(in crate::console) ends: bool,
    /// Whether nobody does it to themselves.
    pub(in crate::console) to_others: bool,
    pub(in crate::console) only: Only,
    /// What of its question is known.
    pub(in crate::console) given: &'static [(&'static str, Given)],
    /// What of its question is asked for.
    pub(in crate::console) fields: &'static [Field],
    /// The secret that comes of it.
    pub(in crate::console) reveals: Option<Reveal>,
    /// Whether what is answered is how a token was weighed, which is shown, and changes nothing.
    pub(in crate::console) weighs: bool,
}

/// Of which things something is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console) enum Only {
    /// All.
    Any,
    /// Those whose member is this.
    Is(&'static str, &'static str),
    /// Those whose member is something else.
    IsNot(&'static str, &'static str),
    /// Those of which this member is said.
    Has(&'static str),
    /// Those of which it is not.
    HasNot(&'static str),
    /// Those of which all of this is so.
    All(&'static [Only]),
}

/// What a member of a question is, without anybody being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console) enum Given {
    /// The thing's name.
    Name,
    /// The thing's id.
    Id,
    /// Which line of a list.
    Which,
    /// This text.
    Text(&'static str),
    /// The thing's name after this, in a list of one.
    Things(&'static str),
}

/// Something asked for.
pub(in crate::console) struct Field {
    /// The member of the question.
    pub(in crate::console) name: &'static str,
    pub(in crate::console) label: &'static str,
    pub(in crate::console) help: &'static str,
    pub(in crate::console) input: Input,
    pub(in crate::console) required: bool,
    /// The member of the thing that stands there before anybody types.
    pub(in crate::console) from: Option<&'static str>,
}

/// How it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console) enum Input {
    /// A line.
    Line,
    /// A number.
    Number,
    /// A list, one a line.
    Lines,
    /// One of these: as it is written, and in words. The first may be nothing.
    Choice(&'static [(&'static str, &'static str)]),
    /// As many of these as are wanted, likewise.
    Several(&'static [(&'static str, &'static str)]),
    /// Yes or no.
    Yes,
    /// A secret, which is not shown again.
    Secret,
    /// A token, which is a secret while it is good, and is not shown again.
    Token,
    /// Keys as JSON: not shown again either, as somebody may paste the private half.
    Keys,
}

/// A secret in an answer, shown this once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console) struct Reveal {
    /// Where it stands.
    pub(in crate::console) member: &'static str,
    pub(in crate::console) title: &'static str,
    /// What to do with it.
    pub(in crate::console) told: &'static str,
}

impl Action {
    /// Something that is done to a thing by its name.
    pub(super) const fn new(name: &'static str, verb: &'static str, label: &'static str) -> Self {
        Self {
            name,
            verb,
            label,
            told: "",
            done: "Done.",
            ends: false,
            to_others: false,
            only: Only::Any,
            given: &[("handle", Given::Name)],
            fields: &[],
            reveals: None,
            weighs: false,
        }
    }

    pub(super) const fn told(self, told: &'static str) -> Self {
        Self { told, ..self }
    }

    pub(super) const fn done(self, done: &'static str) -> Self {
        Self { done, ..self }
    }

    pub(super) const fn ends(self) -> Self {
        Self { ends: true, ..self }
    }

    pub(super) const fn on_others(self) -> Self {
        Self { to_others: true, ..self }
    }

    pub(super) const fn only(self, only: Only) -> Self {
        Self { only, ..self }
    }

    pub(super) const fn given(self, given: &'static [(&'static str, Given)]) -> Self {
        Self { given, ..self }
    }

    pub(super) const fn asks(self, fields: &'static [Field]) -> Self {
        Self { fields, ..self }
    }

    pub(super) const fn reveals(self, member: &'static str, title: &'static str, told: &'static str) -> Self {
        Self { reveals: Some(Reveal { member, title, told }), ..self }
    }

    pub(super) const fn weighs(self) -> Self {
        Self { weighs: true, ..self }
    }
}

impl Field {
    pub(super) const fn new(
        name: &'static str,
        label: &'static str,
        help: &'static str,
        input: Input,
    ) -> Self {
        Self { name, label, help, input, required: false, from: None }
    }

    pub(super) const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    pub(super) const fn from(self, member: &'static str) -> Self {
        Self { from: Some(member), ..self }
    }
}
