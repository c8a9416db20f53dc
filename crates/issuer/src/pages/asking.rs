//! Pages that ask a person for one answer.

use askama::Template;

use super::words::ScopeLine;
use super::{Frame, OrgHead};

/// What a client asks for, as shown to the person who is to allow it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The client's name, from its registration.
    pub(crate) client: String,
    /// Who answers for that name, where no administrator registered it: the host of its document.
    pub(crate) vouched_by: Option<String>,
    /// The name of the person it would act for.
    pub(crate) person: String,
    /// How far it would reach.
    pub(crate) scopes: Vec<ScopeLine>,
    /// Where.
    pub(crate) resources: Vec<ResourceLine>,
    /// For how long, in words.
    pub(crate) lifetime: String,
    /// The machine's name, as the requester claims.
    pub(crate) machine: Option<String>,
    /// Why, as the requester claims.
    pub(crate) purpose: Option<String>,
}

/// A session that is to be made as strong as its person's login now.
#[derive(Debug, Clone)]
pub(crate) struct Raised {
    /// The machine it is on, as that called itself when it was signed in.
    pub(crate) machine: Option<String>,
    /// When it was opened, in words.
    pub(crate) since: String,
    /// When it ends, in words.
    pub(crate) until: String,
}

impl Raised {
    /// Says of what is asked what is so of the session.
    pub(crate) fn say_in(&self, asked: &mut Asked) {
        asked.machine.clone_from(&self.machine);
        asked.lifetime = format!("As long as before: it ends {}", self.until);
    }
}

/// An API, as shown to a person.
#[derive(Debug, Clone)]
pub(crate) struct ResourceLine {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) environment: String,
}

/// `GET /{org}/consent`.
#[derive(Template)]
#[template(path = "consent.html")]
pub(crate) struct ConsentPage {
    pub(crate) frame: Frame,
    pub(crate) org: OrgHead,
    pub(crate) csrf: String,
    pub(crate) asked: Asked,
    /// The session that is to be made stronger, where nothing new is asked for.
    pub(crate) raises: Option<Raised>,
    /// The waiting request.
    pub(crate) handle: String,
    /// Who gets the answer.
    pub(crate) returns_to: ReturnsTo,
}

/// Who gets the answer to a request for consent, as far as the address says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReturnsTo {
    /// A program on the person's own computer, listening at this origin.
    ThisComputer(String),
    /// An app on the person's own device, which has registered this scheme there (RFC 8252, section 7.1).
    App(String),
    /// A web site, of this origin.
    Site(String),
}

impl ReturnsTo {
    /// Who gets it where it is sent to `address`: a redirect URI that was registered.
    pub(crate) fn of(address: &url::Url) -> Self {
        match address.scheme() {
            "http" => Self::ThisComputer(address.origin().ascii_serialization()),
            "https" => Self::Site(address.origin().ascii_serialization()),
            scheme => Self::App(scheme.to_owned()),
        }
    }
}

/// `GET /{org}/device`.
#[derive(Template)]
#[template(path = "device_entry.html")]
pub(crate) struct DeviceEntryPage {
    pub(crate) frame: Frame,
    pub(crate) org: OrgHead,
    pub(crate) csrf: String,
    /// The code, where a link or an earlier try brought one.
    pub(crate) code: String,
    /// What was wrong with it.
    pub(crate) trouble: Option<String>,
}

/// The answer to a right code: what is asked for, and the question.
#[derive(Template)]
#[template(path = "device_approval.html")]
pub(crate) struct DeviceApprovalPage {
    pub(crate) frame: Frame,
    pub(crate) org: OrgHead,
    pub(crate) csrf: String,
    pub(crate) asked: Asked,
    /// The session that is to be made stronger, where nothing new is asked for.
    pub(crate) raises: Option<Raised>,
    /// The code as the terminal shows it.
    pub(crate) code: String,
    /// The address the request came from, as we saw it.
    pub(crate) asked_from: String,
    /// Whether that is the server's own machine.
    pub(crate) asked_here: bool,
    /// When, in words.
    pub(crate) asked_when: String,
    /// The address this browser comes from, as we see it.
    pub(crate) browser_at: String,
    /// Whether the two differ.
    pub(crate) differs: bool,
}

/// What became of a device's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// This person approved it.
    Approved,
    /// This person denied it.
    Denied,
    /// This person approved it, then ended it.
    Ended,
}

/// `GET /{org}/device/answer`.
#[derive(Template)]
#[template(path = "device_answer.html")]
pub(crate) struct DeviceAnswerPage {
    pub(crate) frame: Frame,
    pub(crate) org: OrgHead,
    pub(crate) csrf: String,
    pub(crate) answer: Answered,
    pub(crate) client: String,
    /// The request's id.
    pub(crate) request: String,
}
