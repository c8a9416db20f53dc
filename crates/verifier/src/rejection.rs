//! What a refused caller is told (RFC 6750, section 3).

use hallpass_model::jose::BadToken;
use http::{HeaderValue, StatusCode};

use crate::Scopes;

/// Why a request was not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It brought no token. The challenge names no error then (section 3.1).
    #[error("this needs an access token")]
    Missing,
    /// The request itself is wrong.
    #[error("{0}")]
    Malformed(&'static str),
    /// It was presented as `DPoP`; this resource takes `Bearer`.
    #[error("this resource takes the Bearer scheme")]
    Scheme,
    /// The token does not open this resource.
    #[error("{0}")]
    Token(BadToken),
    /// The token is good, but not for this.
    #[error("the token lacks a scope this needs")]
    Scope(Scopes),
    /// The issuer says that it is no longer good.
    #[error("the token was revoked")]
    Revoked,
    /// The issuer could not be asked, and this resource does not guess.
    #[error("the issuer could not be asked about the token: {0}")]
    Unavailable(String),
}

impl Rejection {
    pub(crate) fn of(why: BadToken, needed: &Scopes) -> Self {
        match why {
            BadToken::Scope => Self::Scope(needed.clone()),
            other => Self::Token(other),
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Missing | Self::Scheme | Self::Token(_) | Self::Revoked => StatusCode::UNAUTHORIZED,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Scope(_) => StatusCode::FORBIDDEN,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The `WWW-Authenticate` header. Every text in it is ours: nothing of the request comes back in it. `realm` says
    /// what is protected, such as [`Verifier::audience`](crate::Verifier::audience): a challenge has at least one
    /// parameter (RFC 6750, section 3), and one that names no error has no other.
    pub fn challenge(&self, realm: &str) -> Option<HeaderValue> {
        let error = match self {
            Self::Missing | Self::Scheme => String::new(),
            Self::Malformed(why) => format!(r#", error="invalid_request", error_description="{why}""#),
            Self::Token(why) => format!(r#", error="invalid_token", error_description="{why}""#),
            Self::Revoked => {
                r#", error="invalid_token", error_description="the token was revoked""#.to_owned()
            }
            Self::Scope(needed) => format!(r#", error="insufficient_scope", scope="{needed}""#),
            Self::Unavailable(_) => return None,
        };
        HeaderValue::try_from(format!(r#"Bearer realm="{}"{error}"#, quotable(realm))).ok()
    }
}

/// What may stand between quotation marks as it is (RFC 9110, section 5.6.4).
fn quotable(text: &str) -> String {
    text.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_realm_cannot_end_its_own_quotation() {
        let challenge = Rejection::Missing.challenge("no\"tes\\, \u{e9}\r\nx=\"1").expect("it is a header");
        assert_eq!(challenge, r#"Bearer realm="notes, x=1""#);
    }
}
