//! Tokens bound to a key (RFC 9449), judged at the resource: the proof that came along, and that it is used once.
//!
//! The proof itself is checked in [`hallpass_model::wire::dpop`], as at the issuer. What is the resource's own is here:
//! where a request was sent as its sender saw it, which proofs were used, and the nonces that say how old one may be.

use std::sync::{Arc, Mutex};

use hallpass_model::jose::{Algorithm, Thumbprint};
use hallpass_model::time::Timestamp;
use hallpass_model::wire::dpop::{BadProof, Freshness, Nonces, Proof, Request};
use hallpass_model::wire::replay::ReplayMemory;
use http::{HeaderMap, HeaderValue};
use url::Url;

use crate::{Incoming, Rejection};

/// The header a proof comes in.
pub(crate) const PROOF: &str = "dpop";
/// The header a nonce goes out in (section 8).
pub(crate) const NONCE: &str = "dpop-nonce";

/// How a resource takes tokens that are bound to a key. Cheap to clone: clones remember the same proofs.
///
/// Each process remembers the proofs that it took, at most
/// [`REMEMBERED_MAX`](hallpass_model::wire::replay::REMEMBERED_MAX) of them, each for as long as it could be used again.
/// Several behind one address do not tell one another: there a proof is good once in each, within its time.
#[derive(Clone)]
pub struct Dpop(Arc<Inner>);

struct Inner {
    /// Without a slash at its end: a path begins with one.
    base: String,
    nonces: Option<Nonces>,
    only: bool,
    used: Mutex<ReplayMemory>,
}

impl Dpop {
    /// `base` is the address of this resource as callers see it: `https://notes.example`, or with a path in front of
    /// those that the service sees, where a proxy or a router took one off: `https://example/notes`.
    ///
    /// SECURITY: it is told, never read off the request. A `Host` or `X-Forwarded-Host` header is the sender's: whoever
    /// got a proof made for an address of their own could name that address here.
    ///
    /// # Errors
    /// If it is not an HTTP address, or has a query, a fragment or credentials.
    pub fn at(base: &str) -> Result<Self, BadBase> {
        let url = Url::parse(base).map_err(|_| BadBase)?;
        let clean = url.query().is_none() && url.fragment().is_none();
        let nobody = url.username().is_empty() && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https") || !clean || !nobody {
            return Err(BadBase);
        }
        Ok(Self(Arc::new(Inner {
            base: url.as_str().trim_end_matches('/').to_owned(),
            nonces: None,
            only: false,
            used: Mutex::default(),
        })))
    }

    /// Also wants a nonce of this resource in each proof (section 9), keyed by 32 secret bytes: no proof can then be made
    /// ahead of time, and clocks do not matter. Nothing is kept for it. Servers behind one address share the key; made anew
    /// at each start, it also refuses every proof from before.
    #[must_use]
    pub fn with_nonces(self, key: &[u8; 32]) -> Self {
        self.change(|inner| inner.nonces = Some(Nonces::new(key)))
    }

    /// Takes no bearer tokens any more.
    #[must_use]
    pub fn only(self) -> Self {
        self.change(|inner| inner.only = true)
    }

    fn change(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Arc::try_unwrap(self.0).unwrap_or_else(|shared| Inner {
            base: shared.base.clone(),
            nonces: shared.nonces.clone(),
            only: shared.only,
            used: Mutex::default(),
        });
        change(&mut inner);
        Self(Arc::new(inner))
    }

    pub(crate) fn takes_bearer(&self) -> bool {
        !self.0.only
    }

    /// Judges the proof that came with a token (section 4.3), but for reuse: [`take`](Self::take) does that, last, so that
    /// only who has a good token fills our memory.
    pub(crate) fn judge(
        &self,
        request: &Incoming<'_>,
        token: &str,
        now: Timestamp,
    ) -> Result<Proof, Rejection> {
        let header = the_one(request.headers)?;
        let path = request.uri.path();
        let slash = if path.starts_with('/') { "" } else { "/" };
        let uri = format!("{}{slash}{path}", self.0.base);
        let proven = Request { method: request.method.as_str(), uri: &uri, access_token: Some(token) };
        let freshness = self.0.nonces.as_ref().map_or(Freshness::Clock, Freshness::Nonce);
        Proof::verify(header, &proven, freshness, now).map_err(Rejection::Proof)
    }

    /// Uses the proof up.
    pub(crate) fn take(&self, proof: &Proof, now: Timestamp) -> Result<(), Rejection> {
        let mut used = self.0.used.lock().expect("no holder of this lock panics");
        proof.take(&mut used, now).map_err(Rejection::Proof)
    }

    /// The nonce to hand out: always with a refusal, and with an answer once the one that came is not the newest.
    pub(crate) fn nonce(&self, came: Option<&Proof>, now: Timestamp) -> Option<HeaderValue> {
        let newest = self.0.nonces.as_ref()?.issue(now);
        if came.is_some_and(|proof| proof.nonce.as_deref() == Some(newest.as_str())) {
            return None;
        }
        HeaderValue::try_from(newest).ok()
    }
}

/// An address that no resource can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an HTTP address without query, fragment and credentials")]
pub struct BadBase;

/// A request that was let in by a proof of this key. In the request's extensions, beside the claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProvenKey(pub Thumbprint);

/// What this resource can verify, as a challenge names it (section 7.1).
pub(crate) fn algs() -> String {
    Algorithm::ALL.map(Algorithm::text).join(" ")
}

/// The one proof (section 4.3, check 1).
fn the_one(headers: &HeaderMap) -> Result<&str, Rejection> {
    let mut all = headers.get_all(PROOF).iter();
    match (all.next(), all.next()) {
        (None, _) => Err(Rejection::NoProof),
        (Some(_), Some(_)) => Err(Rejection::ManyProofs),
        (Some(one), None) => one.to_str().map_err(|_| Rejection::Proof(BadProof::Token(NOT_TEXT))),
    }
}

const NOT_TEXT: hallpass_model::jose::BadToken = hallpass_model::jose::BadToken::Malformed;
