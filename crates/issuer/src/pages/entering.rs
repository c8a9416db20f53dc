//! Pages for people who are not logged in yet.

use askama::Template;

use super::{Frame, OrgHead};

/// `GET /{org}/login`.
#[derive(Template)]
#[template(path = "login.html")]
pub(crate) struct LoginPage {
    pub(crate) frame: Frame,
    pub(crate) org: OrgHead,
    pub(crate) csrf: String,
    /// What logging in is for, in a sentence.
    pub(crate) reason: &'static str,
    /// Why the last try failed, or why they must log in again.
    pub(crate) notice: Option<&'static str>,
    /// Where to go afterwards, as form fields: never an address.
    pub(crate) target: Vec<(&'static str, String)>,
}

/// `GET /setup`.
#[derive(Template)]
#[template(path = "setup.html")]
pub(crate) struct SetUpPage {
    pub(crate) frame: Frame,
    pub(crate) csrf: String,
    /// The server's base URL, to show what an org's name becomes.
    pub(crate) base: String,
}

/// `GET /{org}/enrol`.
#[derive(Template)]
#[template(path = "enrol.html")]
pub(crate) struct EnrolPage {
    pub(crate) frame: Frame,
    pub(crate) org: OrgHead,
    pub(crate) csrf: String,
}
