//! OAuth's error codes, and the body that carries one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A description read from others at most, in characters: a sentence, not a page.
const DESCRIPTION_LEN_MAX: usize = 300;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal;)*) => {
        /// A code of the `error` parameter.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
            /// Another's, or a later one.
            Unknown(String),
        }

        impl ErrorCode {
            /// Every code that is known.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$name),*];

            /// As the wire has it.
            pub fn text(&self) -> &str {
                match self {
                    $(ErrorCode::$name => $text,)*
                    ErrorCode::Unknown(text) => text,
                }
            }

            /// The same as one of a fixed set of words: another's code is `other`.
            pub fn word(&self) -> &'static str {
                match self {
                    $(ErrorCode::$name => $text,)*
                    ErrorCode::Unknown(_) => "other",
                }
            }

            /// The HTTP status that goes with it where the error is a response of its own. At a resource,
            /// `use_dpop_nonce` and `invalid_dpop_proof` are a 401 challenge instead (RFC 9449, section 7.1).
            pub fn status(&self) -> u16 {
                match self {
                    $(ErrorCode::$name => $status,)*
                    ErrorCode::Unknown(_) => 400,
                }
            }

            /// Reads the wire's form. Never fails: what is not known is `Unknown`.
            pub fn parse(text: &str) -> Self {
                match text {
                    $($text => ErrorCode::$name,)*
                    other => ErrorCode::Unknown(tellable(other)),
                }
            }
        }
    };
}

codes! {
    /// A parameter is missing, repeated or malformed (RFC 6749, section 5.2).
    InvalidRequest = "invalid_request", 400;
    /// The client is unknown or did not prove who it is.
    InvalidClient = "invalid_client", 401;
    /// The code or token presented is wrong, over, or somebody else's.
    InvalidGrant = "invalid_grant", 400;
    /// This client may not do this.
    UnauthorizedClient = "unauthorized_client", 400;
    /// The grant type is not known here.
    UnsupportedGrantType = "unsupported_grant_type", 400;
    /// A scope is unknown, malformed, or more than may be had.
    InvalidScope = "invalid_scope", 400;
    /// The person, or the server, said no (section 4.1.2.1; RFC 8628, section 3.5).
    AccessDenied = "access_denied", 400;
    /// The org does not let a sign-in's key rest where this one's does. Ours.
    RungNotAllowed = "rung_not_allowed", 400;
    /// The response type is not known here.
    UnsupportedResponseType = "unsupported_response_type", 400;
    /// Something broke.
    ServerError = "server_error", 500;
    /// Busy; try later.
    TemporarilyUnavailable = "temporarily_unavailable", 503;
    /// The access token is malformed, over or cut (RFC 6750, section 3.1).
    InvalidToken = "invalid_token", 401;
    /// The access token does not allow this.
    InsufficientScope = "insufficient_scope", 403;
    /// This kind of token cannot be revoked here (RFC 7009, section 2.2.1).
    UnsupportedTokenType = "unsupported_token_type", 400;
    /// Nobody has answered yet (RFC 8628, section 3.5).
    AuthorizationPending = "authorization_pending", 400;
    /// The same, and the interval grows by five seconds for good.
    SlowDown = "slow_down", 400;
    /// The device code is over.
    ExpiredToken = "expired_token", 400;
    /// No such resource or audience, or not for this client (RFC 8693, section 2.2.2; RFC 8707, section 2).
    InvalidTarget = "invalid_target", 400;
    /// What a client says of itself cannot be taken (RFC 7591, section 3.2.2).
    InvalidClientMetadata = "invalid_client_metadata", 400;
    /// A redirect URI cannot be registered (RFC 7591, section 3.2.2).
    InvalidRedirectUri = "invalid_redirect_uri", 400;
    /// Nobody here trusts whoever signed the software statement.
    UnapprovedSoftwareStatement = "unapproved_software_statement", 400;
    /// The proof is missing or wrong (RFC 9449, section 5).
    InvalidDpopProof = "invalid_dpop_proof", 400;
    /// The proof must carry the nonce that comes with this answer (RFC 9449, section 8).
    UseDpopNonce = "use_dpop_nonce", 400;
    /// The person must prove who they are, more strongly or more lately (RFC 9470, section 3).
    InsufficientUserAuthentication = "insufficient_user_authentication", 401;
    /// Somebody must be asked, and `prompt=none` forbids it (OIDC Core, section 3.1.2.6).
    InteractionRequired = "interaction_required", 400;
    /// Somebody must log in, and `prompt=none` forbids it.
    LoginRequired = "login_required", 400;
    /// Somebody must choose an account, and `prompt=none` forbids it.
    AccountSelectionRequired = "account_selection_required", 400;
    /// Somebody must consent, and `prompt=none` forbids it.
    ConsentRequired = "consent_required", 400;
    /// What `acr_values` asks for cannot be met.
    UnmetAuthenticationRequirements = "unmet_authentication_requirements", 400;
    /// The `request_uri` cannot be read (OIDC Core, section 3.1.2.6).
    InvalidRequestUri = "invalid_request_uri", 400;
    /// The `request` object is wrong.
    InvalidRequestObject = "invalid_request_object", 400;
    /// `request` is not known here.
    RequestNotSupported = "request_not_supported", 400;
    /// `request_uri` is not known here.
    RequestUriNotSupported = "request_uri_not_supported", 400;
    /// `registration` is not known here.
    RegistrationNotSupported = "registration_not_supported", 400;
}

text_serde!(ErrorCode);

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// The body of an error response (RFC 6749, section 5.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OAuthErrorBody {
    /// The code: what programs act on.
    pub error: ErrorCode,
    /// A sentence: what people read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_uri: Option<String>,
    /// Ours: which rule refused, as the ledger has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

impl OAuthErrorBody {
    /// An error of ours. The description is brought into the characters the RFC allows.
    pub fn new(error: ErrorCode, description: &str) -> Self {
        Self { error, error_description: Some(tellable(description)), error_uri: None, rule: None }
    }

    /// Reads a provider's error body; `None` if it is not one. Its words are a stranger's: control characters
    /// are taken out and the length is bounded, so that they can be shown on a terminal.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut read: Self = crate::jose::json_object(body)?;
        read.error_description = read.error_description.map(|text| tellable(&text));
        read.error_uri = read.error_uri.map(|text| tellable(&text));
        read.rule = read.rule.map(|text| tellable(&text));
        Some(read)
    }
}

/// The characters of `error` and `error_description` (RFC 6749, section 5.2): printable ASCII without quotes
/// and backslashes. Quotes become apostrophes, the rest question marks.
fn tellable(text: &str) -> String {
    let allowed = |c: char| match c {
        '"' => '\'',
        ' '..='~' if c != '\\' => c,
        '\n' | '\r' | '\t' => ' ',
        _ => '?',
    };
    text.chars().take(DESCRIPTION_LEN_MAX).map(allowed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_code_reads_back_and_is_spelled_once() {
        for (i, code) in ErrorCode::ALL.iter().enumerate() {
            assert_eq!(&ErrorCode::parse(code.text()), code);
            assert!(ErrorCode::ALL[..i].iter().all(|other| other.text() != code.text()), "{code}");
            assert!((400..=503).contains(&code.status()), "{code}");
        }
        assert_eq!(ErrorCode::parse("made_up"), ErrorCode::Unknown("made_up".into()));
        assert_eq!(ErrorCode::InvalidClient.status(), 401);
        assert_eq!(ErrorCode::UseDpopNonce.status(), 400);
    }

    #[test]
    fn a_body_is_written_in_the_characters_the_rfc_allows() {
        let body = OAuthErrorBody::new(ErrorCode::InvalidScope, "no scope \"é\\\" here\n");
        assert_eq!(
            serde_json::to_string(&body).unwrap(),
            r#"{"error":"invalid_scope","error_description":"no scope '??' here "}"#
        );
    }

    #[test]
    fn a_provider_s_words_are_made_safe_for_a_terminal() {
        let body = br#"{"error":"x\u001b[31m","error_description":"\u001b]0;owned\u0007\u202eevil","error_uri":"\u0000","code":7}"#;
        let read = OAuthErrorBody::parse(body).unwrap();
        let shown = format!("{} {} {}", read.error, read.error_description.unwrap(), read.error_uri.unwrap());
        assert!(shown.chars().all(|c| (' '..='~').contains(&c)), "{shown:?}");
        let long = serde_json::json!({ "error": "e", "error_description": "x".repeat(10_000) }).to_string();
        assert_eq!(OAuthErrorBody::parse(long.as_bytes()).unwrap().error_description.unwrap().len(), 300);
        for other in ["", "{}", "[]", r#"["invalid_grant"]"#, "<html>", r#"{"error":{"code":1}}"#] {
            assert_eq!(OAuthErrorBody::parse(other.as_bytes()), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in any::<Vec<u8>>(), text in ".*") {
            let _ = OAuthErrorBody::parse(&body);
            let _ = OAuthErrorBody::new(ErrorCode::parse(&text), &text);
        }
    }
}
