//! What went wrong, and what to do.

use askama::Template;
use http::StatusCode;

use super::Frame;

/// An error, for a person.
#[derive(Template)]
#[template(path = "trouble.html")]
pub(crate) struct TroublePage {
    pub(crate) frame: Frame,
    pub(crate) status: StatusCode,
    /// What happened.
    pub(crate) what: String,
    /// What to do now.
    pub(crate) next: String,
    /// Where to go for it: address and label.
    pub(crate) link: Option<(String, &'static str)>,
}
