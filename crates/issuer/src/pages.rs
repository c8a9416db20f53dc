//! The HTML pages: what each shows. Who may see it and what its forms do is in the file of its endpoint.
//!
//! Pages are askama templates under `templates/`, escaped at compile time. Nothing in them is inline, so that the
//! content security policy can forbid it; only passkey ceremonies need the one script.

pub(crate) mod answer; // a page as an HTTP answer
pub(crate) mod account; // your sessions, your agents, your passkeys
pub(crate) mod console; // what there is in an org, and what can be done about it
pub(crate) mod asking; // consent, device code, approval, answer
pub(crate) mod entering; // set-up, enrolment, login
pub(crate) mod trouble; // what went wrong, and what to do
pub(crate) mod when; // moments and lengths, in words
pub(crate) mod words; // scopes, in words

use hallpass_model::principal::Org;

/// What every page shows around its own content.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// What the page is.
    pub(crate) title: String,
    /// Whose page it is, once an org is known.
    pub(crate) org: Option<OrgHead>,
    /// Who is logged in.
    pub(crate) person: Option<PersonHead>,
    /// Which part of the account it is.
    pub(crate) here: Here,
}

/// An org, as pages name it.
#[derive(Debug, Clone)]
pub(crate) struct OrgHead {
    /// The path segment of its addresses.
    pub(crate) name: String,
    /// The name shown to people.
    pub(crate) title: String,
}

impl From<&Org> for OrgHead {
    fn from(org: &Org) -> Self {
        Self { name: org.name.to_string(), title: org.title.clone() }
    }
}

/// The person logged in, as the top of a page names them.
#[derive(Debug, Clone)]
pub(crate) struct PersonHead {
    /// Their name.
    pub(crate) name: String,
    /// Whether the console has anything for them.
    pub(crate) console: bool,
    /// For the form that logs them out.
    pub(crate) csrf: String,
}

/// Where in the account a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Here {
    /// Your sessions.
    Sessions,
    /// Your agents.
    Agents,
    /// What you are told.
    Notices,
    /// Your passkeys.
    Passkeys,
    /// Entering a code.
    Device,
    /// The console.
    Console,
    /// A page that asks one question and should not offer other ways to go.
    Asking,
}

impl Frame {
    /// A page of no org: set-up, or an address that is none.
    pub(crate) fn bare(title: &str) -> Self {
        Self { title: title.to_owned(), org: None, person: None, here: Here::Asking }
    }

    /// A page of an org for somebody who is not logged in.
    pub(crate) fn of(org: &OrgHead, title: &str) -> Self {
        Self { title: title.to_owned(), org: Some(org.clone()), person: None, here: Here::Asking }
    }

    /// A page of an org for somebody who is.
    pub(crate) fn for_person(org: &OrgHead, person: &PersonHead, here: Here, title: &str) -> Self {
        Self { title: title.to_owned(), org: Some(org.clone()), person: Some(person.clone()), here }
    }
}

#[cfg(test)]
mod tests;
