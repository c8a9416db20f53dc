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

    /// The `WWW-Authenticate` header. Every text in it is ours: nothing of the request comes back in it.
    pub fn challenge(&self) -> Option<HeaderValue> {
        let text = match self {
            Self::Missing | Self::Scheme => "Bearer".to_owned(),
            Self::Malformed(why) => format!(r#"Bearer error="invalid_request", error_description="{why}""#),
            Self::Token(why) => format!(r#"Bearer error="invalid_token", error_description="{why}""#),
            Self::Revoked => {
                r#"Bearer error="invalid_token", error_description="the token was revoked""#.to_owned()
            }
            Self::Scope(needed) => format!(r#"Bearer error="insufficient_scope", scope="{needed}""#),
            Self::Unavailable(_) => return None,
        };
        HeaderValue::try_from(text).ok()
    }
}
