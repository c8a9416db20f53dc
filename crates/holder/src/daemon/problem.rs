//! An error on the wire: a word for programs, a sentence for people, and what the asker needs to say it as if it had met
//! the error itself.

use hallpass_model::wire::errors::ErrorCode;
use serde::{Deserialize, Serialize};

use crate::error::HolderError;
use crate::identity::ProfileName;

/// Every answer that is no success.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    /// One of the words in `docs/reference/daemon.md`.
    pub(crate) error: String,
    /// A sentence.
    pub(crate) message: String,
    #[serde(flatten)]
    about: Box<About>,
}

/// What its sentence is made of.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct About {
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<ProfileName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    choices: Vec<String>,
}

/// It is locked.
pub(crate) const LOCKED: &str = "locked";
/// It reads the records of another folder.
pub(crate) const ANOTHER_STATE: &str = "another_state";
/// The question cannot be understood.
pub(crate) const BAD_REQUEST: &str = "bad_request";
/// There is no such path.
pub(crate) const NOT_FOUND: &str = "not_found";
/// More was asked of a pass socket than it gives.
pub(crate) const WIDER: &str = "wider";
/// The record cannot be opened here; the asker may know how.
const CANNOT_OPEN: &str = "cannot_open";

impl Problem {
    pub(crate) fn new(error: &str, message: impl Into<String>) -> Self {
        Self { error: error.into(), message: message.into(), ..Self::default() }
    }

    /// The status that goes with it.
    pub(crate) fn status(&self) -> u16 {
        match self.error.as_str() {
            BAD_REQUEST | "usage" | "passphrase_needed" => 400,
            "not_signed_in" | "sign_in_ended" | "another_tenant" => 401,
            "denied" | "refused" | "wrong_passphrase" | WIDER => 403,
            NOT_FOUND => 404,
            "ambiguous" => 409,
            ANOTHER_STATE => 421,
            LOCKED => 423,
            "unreachable" | "busy" => 503,
            _ => 500,
        }
    }

    /// As the asker's own error. `None` where the asker may yet do without us.
    pub(crate) fn into_error(self) -> Option<HolderError> {
        let about = self.about;
        let issuer = about.issuer.clone().unwrap_or_default();
        let why = about.why.clone().unwrap_or_default();
        Some(match self.error.as_str() {
            LOCKED => HolderError::DaemonLocked,
            "not_signed_in" => HolderError::NotSignedIn { issuer: about.issuer, profile: about.profile },
            "sign_in_ended" => HolderError::SignInEnded { issuer, profile: about.profile, why },
            "ambiguous" => HolderError::Ambiguous { choices: about.choices },
            "unreachable" => HolderError::Unreachable { place: issuer, why },
            "refused" => HolderError::Refused {
                issuer,
                code: serde_json::from_value(about.code.unwrap_or_default().into())
                    .unwrap_or(ErrorCode::InvalidRequest),
                told: about.why,
            },
            "denied" => HolderError::Denied,
            "passphrase_needed" => HolderError::PassphraseNeeded,
            "wrong_passphrase" => HolderError::WrongPassphrase,
            "unsupported" => HolderError::Unsupported { what: self.message },
            WIDER => HolderError::Wider { what: self.message },
            "usage" => HolderError::Usage { what: self.message },
            "another_tenant" => HolderError::NotBelieved { why: self.message },
            _ => return None,
        })
    }
}

impl From<HolderError> for Problem {
    fn from(error: HolderError) -> Self {
        use HolderError as E;
        let message = error.to_string();
        let (error, about) = match error {
            E::DaemonLocked => (LOCKED, About::default()),
            E::NotSignedIn { issuer, profile } => {
                ("not_signed_in", About { issuer, profile, ..About::default() })
            }
            E::SignInEnded { issuer, profile, why } => {
                ("sign_in_ended", About { issuer: Some(issuer), profile, why: Some(why), ..About::default() })
            }
            E::Ambiguous { choices } => ("ambiguous", About { choices, ..About::default() }),
            E::Unreachable { place, why } => {
                ("unreachable", About { issuer: Some(place), why: Some(why), ..About::default() })
            }
            E::Refused { issuer, code, told } => {
                let code = Some(code.to_string());
                ("refused", About { issuer: Some(issuer), code, why: told, ..About::default() })
            }
            E::Locked { .. } => ("busy", About::default()),
            E::Denied => ("denied", About::default()),
            E::Unsupported { .. } => ("unsupported", About::default()),
            E::Usage { .. } => ("usage", About::default()),
            E::Wider { .. } => (WIDER, About::default()),
            E::AnotherTenant { .. } | E::NotBelieved { .. } => ("another_tenant", About::default()),
            _ => (CANNOT_OPEN, About::default()),
        };
        Self { error: error.into(), message, about: Box::new(about) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_crossed_the_socket_says_what_it_said_before() {
        let issuer = || "https://id.example".to_owned();
        for error in [
            HolderError::DaemonLocked,
            HolderError::NotSignedIn { issuer: Some(issuer()), profile: "work".parse().ok() },
            HolderError::NotSignedIn { issuer: None, profile: None },
            HolderError::SignInEnded { issuer: issuer(), profile: None, why: "cut".into() },
            HolderError::Ambiguous { choices: vec!["a".into(), "b".into()] },
            HolderError::Unreachable { place: issuer(), why: "no route".into() },
            HolderError::Refused { issuer: issuer(), code: ErrorCode::InvalidScope, told: Some("no".into()) },
            HolderError::Refused { issuer: issuer(), code: ErrorCode::InvalidTarget, told: None },
            HolderError::Denied,
            HolderError::Usage { what: "the API must be named".into() },
            HolderError::Unsupported { what: "it cannot".into() },
            HolderError::Wider { what: "less is given here".into() },
        ] {
            let said = error.to_string();
            let sent = serde_json::to_vec(&Problem::from(error)).unwrap();
            let came: Problem = serde_json::from_slice(&sent).unwrap();
            assert!((400..600).contains(&came.status()));
            assert_eq!(came.into_error().unwrap().to_string(), said);
        }
        let here = HolderError::WrongPassphrase;
        assert!(Problem::from(here).into_error().is_none(), "the asker may open it all the same");
    }
}
