//! Judges an access token inside an API: any issuer's RFC 9068 token, without a call per request.
//!
//! 1. A [`Verifier`] knows one issuer and one audience: this API's own identifier.
//! 2. It has the issuer's public keys from the caller ([`Verifier::with_keys`]), or fetches them
//!    ([`Verifier::discover`], feature `fetch`) and again when a token names a key it does not know.
//! 3. [`Verifier::judge`] is a plain function; [`layer::RequireToken`] is the same as a `tower` layer.
//! 4. What it answers is a [`Rejection`], which knows its status and its `WWW-Authenticate` (RFC 6750, section 3).
//!
//! A token judged here may have been revoked since it was issued; it dies of age within minutes. An API that
//! cannot wait asks introspection for each request ([`Verifier::with_introspection`]).

pub mod layer; // the same as a tower layer
pub mod rejection; // what a refused caller is told

mod bearer; // the token in a request
#[cfg(feature = "fetch")]
mod fetch; // the HTTP client, bounded
#[cfg(feature = "fetch")]
pub mod introspect; // asking the issuer, for exact revocation
mod keys; // the issuer's keys, known or fetched

use std::sync::Arc;

use hallpass_model::jose::{BadToken, JwkSet};
use hallpass_model::time::Timestamp;
use hallpass_model::verifier::{self as rule, Expected};
pub use hallpass_model::wire::claims::AccessClaims;
pub use hallpass_model::wire::oauth::Scopes;

pub use crate::rejection::Rejection;

/// What a resource server asks about tokens. Cheap to clone; one for each audience.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    issuer: String,
    audience: String,
    keys: keys::Keys,
    #[cfg(feature = "fetch")]
    introspection: Option<introspect::Introspection>,
}

impl Verifier {
    /// Trusts exactly these keys, which the caller renews. Needs no network and no runtime.
    pub fn with_keys(issuer: impl Into<String>, audience: impl Into<String>, keys: JwkSet) -> Self {
        Self(Arc::new(Inner {
            issuer: issuer.into(),
            audience: audience.into(),
            keys: keys::Keys::Given(keys),
            #[cfg(feature = "fetch")]
            introspection: None,
        }))
    }

    /// Trusts the keys that the issuer publishes (RFC 8414, else OIDC Discovery). They are fetched at the first
    /// token, kept, and fetched again when a token names an unknown one, at a bounded rate.
    #[cfg(feature = "fetch")]
    pub fn discover(
        issuer: impl Into<String>,
        audience: impl Into<String>,
    ) -> Result<Self, fetch::FetchError> {
        let issuer = issuer.into();
        Ok(Self(Arc::new(Inner {
            keys: keys::Keys::Fetched(keys::Fetched::new(&issuer)?),
            issuer,
            audience: audience.into(),
            introspection: None,
        })))
    }

    /// Also asks the issuer about each token that is good by itself (RFC 7662): exact revocation, at the price of
    /// a call per request. Where the issuer cannot be asked the answer is 503, never yes.
    #[cfg(feature = "fetch")]
    #[must_use]
    pub fn with_introspection(self, client: introspect::ClientKey) -> Self {
        let Inner { issuer, audience, keys, .. } = match Arc::try_unwrap(self.0) {
            Ok(inner) => inner,
            Err(shared) => Inner {
                issuer: shared.issuer.clone(),
                audience: shared.audience.clone(),
                keys: shared.keys.clone(),
                introspection: None,
            },
        };
        let introspection = Some(introspect::Introspection::new(&issuer, client));
        Self(Arc::new(Inner { issuer, audience, keys, introspection }))
    }

    /// Judges a token with the keys known now: form, type, algorithm by key, signature, issuer, audience, time
    /// and scopes. A token bound to a key (RFC 9449) is refused: this verifier checks no proofs.
    ///
    /// It does **not** know of revocation, and fetches nothing.
    pub fn judge(&self, token: &str, scopes: &Scopes, now: Timestamp) -> Result<AccessClaims, BadToken> {
        let keys = self.0.keys.known();
        let expected = Expected { issuer: &self.0.issuer, audience: &self.0.audience, scopes, proven: None };
        rule::judge(token, &keys, &expected, now)
    }

    /// Judges a request by its headers: all that [`judge`](Self::judge) does, fetching keys and asking
    /// introspection where this verifier was told to.
    pub async fn accept(
        &self,
        headers: &http::HeaderMap,
        scopes: &Scopes,
        now: Timestamp,
    ) -> Result<AccessClaims, Rejection> {
        let token = bearer::token(headers)?;
        let mut judged = self.judge(token, scopes, now);
        if matches!(judged, Err(BadToken::UnknownKey)) && self.0.keys.renew(now).await? {
            judged = self.judge(token, scopes, now);
        }
        let claims = judged.map_err(|why| Rejection::of(why, scopes))?;
        #[cfg(feature = "fetch")]
        if let Some(introspection) = &self.0.introspection {
            introspection.ask(token, now).await?;
        }
        Ok(claims)
    }

    /// The audience this verifier answers for.
    pub fn audience(&self) -> &str {
        &self.0.audience
    }
}
