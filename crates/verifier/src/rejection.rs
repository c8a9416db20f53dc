//! What a refused caller is told (RFC 6750, section 3; RFC 9449, section 7).

use hallpass_model::jose::BadToken;
use hallpass_model::wire::dpop::BadProof;
use http::{HeaderValue, StatusCode};
use url::Url;

use crate::dpop::algs;
use crate::{Scheme, Scopes, StepUp};

/// Why a request was not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// It brought no token. The challenge names no error then (RFC 6750, section 3.1).
    #[error("this needs an access token")]
    Missing,
    /// The request itself is wrong.
    #[error("{0}")]
    Malformed(&'static str),
    /// The token came by a scheme that this resource does not take.
    #[error("this resource does not take tokens by that scheme")]
    Scheme,
    /// The token does not open this resource.
    #[error("{0}")]
    Token(BadToken),
    /// The token is good, but not for this.
    #[error("the token lacks a scope this needs")]
    Scope(Scopes),
    /// The token is good, but the person must prove who they are more strongly, or more lately, for this (RFC 9470).
    #[error("this needs a stronger or more recent login")]
    Authentication(StepUp),
    /// The issuer says that it is no longer good.
    #[error("the token was revoked")]
    Revoked,
    /// The token came as `DPoP`, without a proof.
    #[error("a proof must come with the token")]
    NoProof,
    /// There is more than one proof (RFC 9449, section 4.3, check 1).
    #[error("there must be one DPoP header")]
    ManyProofs,
    /// The proof does not hold.
    #[error("{0}")]
    Proof(BadProof),
    /// The issuer could not be asked, and this resource does not guess.
    #[error("the issuer could not be asked about the token: {0}")]
    Unavailable(String),
}

/// A refusal, and the scheme that the token came by, if one did: its challenge names the error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
#[non_exhaustive]
pub struct Refused {
    /// Why.
    pub why: Rejection,
    /// How the token came.
    pub scheme: Option<Scheme>,
}

impl Rejection {
    pub(crate) fn of(why: BadToken, needed: &Scopes) -> Self {
        match why {
            BadToken::Scope => Self::Scope(needed.clone()),
            other => Self::Token(other),
        }
    }

    /// As the refusal of a token that came by `scheme`.
    pub(crate) fn by(self, scheme: impl Into<Option<Scheme>>) -> Refused {
        Refused { why: self, scheme: scheme.into() }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Scope(_) => StatusCode::FORBIDDEN,
            Self::Unavailable(_) | Self::Proof(BadProof::Busy) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNAUTHORIZED,
        }
    }

    /// What follows in the challenge that names the error.
    fn error(&self) -> String {
        let described = |code: &str| format!(r#", error="{code}", error_description="{self}""#);
        match self {
            Self::Missing | Self::Scheme | Self::Unavailable(_) => String::new(),
            Self::Malformed(_) => described("invalid_request"),
            Self::Token(_) | Self::Revoked => described("invalid_token"),
            Self::Scope(needed) => format!(r#", error="insufficient_scope", scope="{needed}""#),
            // RFC 9470, section 3.
            Self::Authentication(step_up) => {
                let wanted = step_up.to_string();
                let join = if wanted.is_empty() { "" } else { ", " };
                format!("{}{join}{wanted}", described("insufficient_user_authentication"))
            }
            Self::NoProof | Self::ManyProofs => described("invalid_dpop_proof"),
            Self::Proof(bad) => described(bad.code().text()),
        }
    }
}

impl Refused {
    /// The `WWW-Authenticate` headers, one for each scheme that is `taken`. Every text in them is ours: nothing of the
    /// request comes back. `realm` says what is protected: a challenge has at least one parameter (RFC 6750, section 3).
    /// None where no other token would help.
    pub(crate) fn challenges(
        &self,
        realm: &str,
        metadata: Option<&Url>,
        taken: &[Scheme],
    ) -> Vec<HeaderValue> {
        if self.why.status() == StatusCode::SERVICE_UNAVAILABLE {
            return Vec::new();
        }
        // What no taken scheme brought is told by the first of them.
        let names_error = self.scheme.filter(|scheme| taken.contains(scheme)).or(taken.first().copied());
        let one = |scheme: &Scheme| {
            let (name, more) = match scheme {
                Scheme::Bearer => ("Bearer", String::new()),
                Scheme::Dpop => ("DPoP", format!(r#", algs="{}""#, algs())),
            };
            let error = if Some(*scheme) == names_error { self.why.error() } else { String::new() };
            // RFC 9728, section 5.1.
            let metadata = metadata.map(|url| format!(r#", resource_metadata="{}""#, quotable(url.as_str())));
            let metadata = metadata.unwrap_or_default();
            HeaderValue::try_from(format!(r#"{name} realm="{}"{metadata}{more}{error}"#, quotable(realm)))
                .ok()
        };
        taken.iter().filter_map(one).collect()
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
        let challenges =
            Rejection::Missing.by(None).challenges("no\"tes\\, \u{e9}\r\nx=\"1", None, &[Scheme::Bearer]);
        assert_eq!(challenges, [r#"Bearer realm="notes, x=1""#]);
    }

    #[test]
    fn no_description_has_a_character_that_would_end_its_quotation() {
        let proofs = [BadProof::Nonce, BadProof::Jti, BadProof::Token(BadToken::Header), BadProof::Replayed];
        for why in proofs.map(Rejection::Proof).into_iter().chain([Rejection::NoProof, Rejection::ManyProofs])
        {
            let text = why.to_string();
            assert_eq!(quotable(&text), text);
        }
    }
}
