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
    /// What the org calls its own provider, if it has one.
    pub(crate) provider: Option<String>,
    /// Whether that is the one way in.
    pub(crate) provider_alone: bool,
    /// Whether they must prove it again, though they are logged in.
    pub(crate) again: bool,
}

/// The answer to `POST /{org}/login/provider`: the way to the org's own provider. A link and not a redirect: browsers hold
/// `form-action` against redirects of a form's answer, too, and this page has no form.
#[derive(Template)]
#[template(path = "onward.html")]
pub(crate) struct OnwardPage {
    pub(crate) frame: Frame,
    pub(crate) org: OrgHead,
    /// What the org calls it.
    pub(crate) provider: String,
    /// Where it is, with all that is asked of it.
    pub(crate) address: String,
}

/// `GET /{org}/report`.
#[derive(Template)]
#[template(path = "report.html")]
pub(crate) struct ReportPage {
    pub(crate) frame: Frame,
    pub(crate) org: OrgHead,
    pub(crate) csrf: String,
    /// Characters that may be said of where it was found.
    pub(crate) found_len_max: usize,
    pub(crate) state: Reporting,
}

/// How far a report is.
pub(crate) enum Reporting {
    /// It is asked for.
    Asked {
        /// What was wrong with what came.
        trouble: Option<&'static str>,
        /// What was said of where it was found.
        found: String,
    },
    /// It was taken.
    Done,
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
    /// What the org calls its own provider, if it has one.
    pub(crate) provider: Option<String>,
    /// Whether that is the one way in.
    pub(crate) provider_alone: bool,
}
