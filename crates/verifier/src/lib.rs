//! Judges an access token inside an API: any issuer's RFC 9068 token, without a call per request.
//!
//! 1. A [`Verifier`] knows one issuer and one audience: this API's own identifier.
//! 2. It has the issuer's public keys from the caller ([`Verifier::with_keys`]), or fetches them
//!    ([`Verifier::discover`], feature `fetch`) and again when a token names a key it does not know.
//! 3. [`Verifier::judge`] is a plain function; [`layer::RequireToken`] is the same as a `tower` layer.
//! 4. A refusal is a [`Refused`]: it knows its status, and [`Verifier::refusal_headers`] the `WWW-Authenticate` that goes
//!    with it (RFC 6750, section 3; RFC 9449, section 7).
//! 5. Tokens bound to a key are taken where [`Verifier::with_dpop`] says so: each request then brings a proof of its own.
//!
//! A token judged here may have been revoked since it was issued; it dies of age within minutes. An API that
//! cannot wait asks introspection for each request ([`Verifier::with_introspection`]).

pub mod layer; // the same as a tower layer
pub mod rejection; // what a refused caller is told

mod dpop; // tokens bound to a key
mod incoming; // the token in a request
#[cfg(feature = "fetch")]
mod fetch; // the HTTP client, bounded
#[cfg(feature = "fetch")]
pub mod introspect; // asking the issuer, for exact revocation
mod keys; // the issuer's keys, known or fetched

use std::sync::Arc;

use hallpass_model::verifier::{self as rule, Expected};

pub use hallpass_model::jose::{BadToken, JwkSet, Thumbprint};
pub use hallpass_model::step_up::StepUp;
pub use hallpass_model::time::{Lifetime, Timestamp};
pub use hallpass_model::wire::claims::AccessClaims;
pub use hallpass_model::wire::dpop::BadProof;
pub use hallpass_model::wire::oauth::Scopes;
pub use hallpass_model::wire::resource_metadata::ResourceMetadata;

use http::header::{CACHE_CONTROL, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue};
use url::Url;

pub use crate::dpop::{BadBase, Dpop, ProvenKey};
#[cfg(feature = "fetch")]
pub use crate::fetch::FetchError;
pub use crate::incoming::{Incoming, Scheme};
pub use crate::rejection::{Refused, Rejection};

/// A request that was let in.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Accepted {
    /// What its token says.
    pub claims: AccessClaims,
    /// The key that was proven, of a token that is bound to one.
    pub proven: Option<Thumbprint>,
    /// A nonce that goes with the answer as `DPoP-Nonce`, if the sender's is not the newest (RFC 9449, section 8.2).
    pub new_nonce: Option<HeaderValue>,
}

/// What a resource server asks about tokens. Cheap to clone; one for each audience.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    issuer: String,
    audience: String,
    keys: keys::Keys,
    dpop: Option<Dpop>,
    /// Where this resource publishes what it is, if it does.
    metadata: Option<Url>,
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
            dpop: None,
            metadata: None,
            #[cfg(feature = "fetch")]
            introspection: None,
        }))
    }

    /// Trusts the keys that the issuer publishes (RFC 8414, else OIDC Discovery). They are fetched at the first
    /// token, kept, and fetched again when a token names an unknown one, at a bounded rate.
    #[cfg(feature = "fetch")]
    pub fn discover(issuer: impl Into<String>, audience: impl Into<String>) -> Result<Self, FetchError> {
        let issuer = issuer.into();
        Ok(Self(Arc::new(Inner {
            keys: keys::Keys::Fetched(keys::Fetched::new(&issuer)?),
            issuer,
            audience: audience.into(),
            dpop: None,
            metadata: None,
            introspection: None,
        })))
    }

    /// Also asks the issuer about each token that is good by itself (RFC 7662): exact revocation, at the price of
    /// a call per request. Where the issuer cannot be asked the answer is 503, never yes.
    #[cfg(feature = "fetch")]
    #[must_use]
    pub fn with_introspection(self, client: introspect::ClientKey) -> Self {
        let introspection = Some(introspect::Introspection::new(&self.0.issuer, client));
        Self(Arc::new(Inner { introspection, ..Arc::unwrap_or_clone(self.0) }))
    }

    /// Also takes tokens that are bound to a key, each with a proof for its request (RFC 9449).
    #[must_use]
    pub fn with_dpop(self, dpop: Dpop) -> Self {
        Self(Arc::new(Inner { dpop: Some(dpop), ..Arc::unwrap_or_clone(self.0) }))
    }

    /// Also names, with each refusal, where it says whose tokens it takes (RFC 9728, section 5.1): for programs that were never
    /// told, such as clients of MCP. Serve [`metadata`](Self::metadata) there.
    ///
    /// Does nothing where the audience is no address.
    #[must_use]
    pub fn with_metadata(self) -> Self {
        let metadata = ResourceMetadata::url_of(&self.0.audience);
        Self(Arc::new(Inner { metadata, ..Arc::unwrap_or_clone(self.0) }))
    }

    /// What this resource says of itself (RFC 9728, section 2), with the scopes it understands: JSON, for `GET` at
    /// [`ResourceMetadata::url_of`] its audience.
    pub fn metadata(&self, scopes: &Scopes) -> ResourceMetadata {
        let bearer = self.0.dpop.as_ref().is_none_or(Dpop::takes_bearer);
        let proofs = self.0.dpop.as_ref().map(|_| dpop::algs());
        ResourceMetadata {
            resource: self.0.audience.clone(),
            authorization_servers: vec![self.0.issuer.clone()],
            scopes_supported: scopes.iter().map(str::to_owned).collect(),
            bearer_methods_supported: vec!["header".to_owned()],
            resource_name: None,
            dpop_signing_alg_values_supported: proofs
                .map(|algs| algs.split(' ').map(str::to_owned).collect())
                .unwrap_or_default(),
            dpop_bound_access_tokens_required: !bearer,
        }
    }

    /// Judges a bearer token with the keys known now: form, type, algorithm by key, signature, issuer, audience, time
    /// and scopes. A token bound to a key (RFC 9449) is refused: it needs a request around it, for [`accept`](Self::accept).
    ///
    /// It does **not** know of revocation, and fetches nothing.
    pub fn judge(&self, token: &str, scopes: &Scopes, now: Timestamp) -> Result<AccessClaims, BadToken> {
        self.judge_proven(token, None, scopes, now)
    }

    fn judge_proven(
        &self,
        token: &str,
        proven: Option<Thumbprint>,
        scopes: &Scopes,
        now: Timestamp,
    ) -> Result<AccessClaims, BadToken> {
        let keys = self.0.keys.known();
        let expected = Expected { issuer: &self.0.issuer, audience: &self.0.audience, scopes, proven };
        rule::judge(token, &keys, &expected, now)
    }

    /// Judges a request: all that [`judge`](Self::judge) does, the proof of a bound token, fetching keys and asking
    /// introspection where this verifier was told to.
    pub async fn accept(
        &self,
        request: impl Into<Incoming<'_>>,
        scopes: &Scopes,
        now: Timestamp,
    ) -> Result<Accepted, Refused> {
        let request = request.into();
        let (scheme, token) = incoming::token(request.headers).map_err(|why| why.by(None))?;
        self.accept_token(&request, scheme, token, scopes, now).await.map_err(|why| why.by(scheme))
    }

    async fn accept_token(
        &self,
        request: &Incoming<'_>,
        scheme: Scheme,
        token: &str,
        scopes: &Scopes,
        now: Timestamp,
    ) -> Result<Accepted, Rejection> {
        // SECURITY: a proof counts only for a token that is presented as bound, and such a token only with its proof: a
        // bound token sent as `Bearer`, or a bearer token sent as `DPoP`, opens nothing (RFC 9449, section 7.2).
        let proof = match (scheme, &self.0.dpop) {
            (Scheme::Dpop, Some(dpop)) => Some((dpop, dpop.judge(request, token, now)?)),
            (Scheme::Dpop, None) => return Err(Rejection::Scheme),
            (Scheme::Bearer, Some(dpop)) if !dpop.takes_bearer() => return Err(Rejection::Scheme),
            (Scheme::Bearer, _) => None,
        };
        let proven = proof.as_ref().map(|(_, proof)| proof.key);
        let mut judged = self.judge_proven(token, proven, scopes, now);
        if matches!(judged, Err(BadToken::UnknownKey)) && self.0.keys.renew(now).await? {
            judged = self.judge_proven(token, proven, scopes, now);
        }
        let claims = judged.map_err(|why| Rejection::of(why, scopes))?;
        if let Some((dpop, proof)) = &proof {
            dpop.take(proof, now)?; // before the issuer is asked: a replay costs it nothing
        }
        #[cfg(feature = "fetch")]
        if let Some(introspection) = &self.0.introspection {
            introspection.ask(token, now).await?;
        }
        let new_nonce = proof.and_then(|(dpop, proof)| dpop.nonce(Some(&proof), now));
        Ok(Accepted { claims, proven, new_nonce })
    }

    /// The same, and demands that the person proved who they are strongly, or lately, enough (RFC 9470): for a route that
    /// needs more than others. What the token does not say (`acr`, `auth_time`) it does not satisfy.
    ///
    /// # Errors
    /// As [`accept`](Self::accept), and [`Rejection::Authentication`].
    pub async fn accept_stepped_up(
        &self,
        request: impl Into<Incoming<'_>>,
        scopes: &Scopes,
        step_up: &StepUp,
        now: Timestamp,
    ) -> Result<Accepted, Refused> {
        let request = request.into();
        let scheme = incoming::token(request.headers).map_err(|why| why.by(None))?.0;
        let accepted = self.accept(request, scopes, now).await?;
        match step_up.is_met_by(&accepted.claims, now) {
            true => Ok(accepted),
            false => Err(Rejection::Authentication(step_up.clone()).by(scheme)),
        }
    }

    /// The headers that go with a refusal: a challenge for each scheme that is taken here (RFC 9449, section 7.2), a
    /// nonce where this resource wants one, and that none of it is stored.
    pub fn refusal_headers(&self, refused: &Refused, now: Timestamp) -> HeaderMap {
        let taken: &[Scheme] = match &self.0.dpop {
            None => &[Scheme::Bearer],
            Some(dpop) if dpop.takes_bearer() => &[Scheme::Bearer, Scheme::Dpop],
            Some(_) => &[Scheme::Dpop],
        };
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for challenge in refused.challenges(&self.0.audience, self.0.metadata.as_ref(), taken) {
            headers.append(WWW_AUTHENTICATE, challenge);
        }
        if let Some(nonce) = self.0.dpop.as_ref().and_then(|dpop| dpop.nonce(None, now)) {
            headers.insert(dpop::NONCE, nonce);
        }
        headers
    }

    /// The audience this verifier answers for.
    pub fn audience(&self) -> &str {
        &self.0.audience
    }
}
