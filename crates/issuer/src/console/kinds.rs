//! Everything that the console shows and does, as data: one table, a line a column, a line a field, a line a button. What each
//! verb asks and answers is in [`admin`](crate::admin); tests hold this table to it.

mod actions; // what is done, and what is asked for it
mod table; // all kinds there are

pub(super) use actions::{Action, Field, Given, Input, Only};
pub(super) use table::{LINEAGE, TABLE};

/// A kind of thing: what its pages show.
pub(super) struct Kind {
    /// Its part of the address.
    pub(super) page: &'static str,
    /// All of them, in a word.
    pub(super) title: &'static str,
    /// What they are, in a sentence.
    pub(super) about: &'static str,
    /// What its page says where there is none; nothing of what is always there, or of what there are many.
    pub(super) none: Option<&'static str>,
    /// The verb that lists them; none where there is one alone.
    pub(super) list: Option<&'static str>,
    /// The verb that shows one.
    pub(super) show: &'static str,
    /// The member that names one, in questions and in answers.
    pub(super) name: &'static str,
    /// The member that people read.
    pub(super) heading: &'static str,
    /// What a list says of each.
    pub(super) columns: &'static [Column],
    /// What is said of one.
    pub(super) facts: &'static [Column],
    /// What belongs to one.
    pub(super) parts: &'static [Part],
    /// How one is added.
    pub(super) add: Option<Action>,
    /// What is done to one.
    pub(super) actions: &'static [Action],
}

impl Kind {
    /// The action of this name, wherever it stands, and in which list of the page where it is one of a line there.
    pub(super) fn action(&self, name: &str) -> Option<(&Action, Option<&Part>)> {
        let own = self.add.iter().chain(self.actions).map(|action| (action, None));
        let of_parts =
            self.parts.iter().flat_map(|part| part.actions.iter().map(move |action| (action, Some(part))));
        own.chain(of_parts).find(|(action, _)| action.name == name)
    }

    /// Whether it is drawn, and no thing of its own.
    pub(super) fn is_drawn(&self) -> bool {
        self.page == LINEAGE.page
    }

    /// Whether there is one alone, which needs no name.
    pub(super) fn is_only_one(&self) -> bool {
        self.list.is_none() && !self.is_drawn()
    }

    /// The verb that says whether somebody sees these at all.
    pub(super) fn entrance(&self) -> &'static str {
        self.list.unwrap_or(self.show)
    }
}

/// A member of an answer, and how it looks.
pub(super) struct Column {
    pub(super) label: &'static str,
    /// Its name; a path with `/` where it stands deeper.
    pub(super) member: &'static str,
    pub(super) look: Look,
}

/// How a member looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// As it is.
    Text,
    /// In the type of what is typed.
    Code,
    /// A word that is known, put into others.
    Words,
    /// What somebody claimed, in quotes.
    Claimed,
    /// What to do, as verbs say it.
    Hint,
    /// What is typed into a terminal, one after the other.
    Commands,
    /// How often something happened that should not any more.
    Still,
    /// A moment.
    Time,
    /// A length of time.
    Length,
    /// `active`, or since when it is not.
    State,
    /// Yes or no.
    Yes,
    /// The name of a thing of this kind, which leads there.
    Of(&'static str),
    /// `person:ada`, `team:platform`, `client:notes`: whose name it is stands before it.
    Thing,
    /// Its own name, which leads to its page.
    Name,
    /// An id whose lineage can be drawn.
    Lineage,
}

/// A list that belongs to one thing.
pub(super) struct Part {
    pub(super) title: &'static str,
    /// What it says where it is empty.
    pub(super) empty: &'static str,
    pub(super) from: From,
    pub(super) only: Only,
    /// Whether so much is said of each line that it stands for itself, and in no table.
    pub(super) each: bool,
    pub(super) columns: &'static [Column],
    /// The member that names a line, for its actions.
    pub(super) which: &'static str,
    pub(super) actions: &'static [Action],
}

/// Where the lines of a list come from.
pub(super) enum From {
    /// A verb, which is asked by the thing's name under this member; they stand in its answer, or in a member of that.
    Verb { verb: &'static str, by: Option<&'static str>, inside: Option<&'static str> },
    /// What was shown already.
    Member(&'static str),
}

pub(super) const fn column(label: &'static str, member: &'static str, look: Look) -> Column {
    Column { label, member, look }
}

/// The kind with this page.
pub(super) fn find(page: &str) -> Option<&'static Kind> {
    TABLE.iter().chain([&LINEAGE]).find(|kind| kind.page == page)
}

#[cfg(test)]
mod tests;
