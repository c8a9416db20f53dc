//! Proofs of possession (RFC 9449): nonces of ours, and the memory of what was used.
//!
//! At the token endpoint a proof must carry one of our nonces (section 8). At our own protected endpoints it must
//! be for the access token it came with, and be made lately (section 7).

use std::sync::Mutex;

use hallpass_model::random::Entropy;
use hallpass_model::session::ProofOfKey;
use hallpass_model::time::Timestamp;
use hallpass_model::wire::dpop::{BadProof, Freshness, Nonces, Proof, Request};
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::replay::ReplayMemory;
use http::HeaderMap;

use crate::error::{DPOP_NONCE, OAuthError};

/// What the issuer remembers about proofs.
pub(crate) struct Proofs {
    nonces: Nonces,
    used: Mutex<ReplayMemory>,
}

impl Proofs {
    pub(crate) fn new(entropy: &dyn Entropy) -> Self {
        let mut key = zeroize::Zeroizing::new([0u8; 32]);
        entropy.fill(&mut key[..]);
        Self { nonces: Nonces::new(&key), used: Mutex::default() }
    }

    /// The nonce that the next proof should carry.
    pub(crate) fn nonce(&self, now: Timestamp) -> String {
        self.nonces.issue(now)
    }

    /// The proof that came with a request to the token endpoint, if one did. It is used up.
    pub(crate) fn at_token_endpoint(
        &self,
        headers: &HeaderMap,
        uri: &str,
        now: Timestamp,
    ) -> Result<Option<ProofOfKey>, OAuthError> {
        let Some(header) = one_header(headers)? else { return Ok(None) };
        let request = Request { method: "POST", uri, access_token: None };
        let proof = self.verify(header, &request, Freshness::Nonce(&self.nonces), now)?;
        Ok(Some(ProofOfKey::new(proof.key, proof.issued, now)))
    }

    /// The proof that came with an access token to one of our own endpoints. It is used up.
    pub(crate) fn with_access_token(
        &self,
        headers: &HeaderMap,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Result<Proof, OAuthError> {
        let header = one_header(headers)?.ok_or_else(|| {
            OAuthError::new(ErrorCode::InvalidDpopProof, "the request must carry a DPoP proof")
        })?;
        self.verify(header, request, Freshness::Clock, now)
    }

    fn verify(
        &self,
        header: &str,
        request: &Request<'_>,
        freshness: Freshness<'_>,
        now: Timestamp,
    ) -> Result<Proof, OAuthError> {
        let taken = Proof::verify(header, request, freshness, now).and_then(|proof| {
            let mut used = self.used.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            proof.take(&mut used, now).map(|()| proof)
        });
        taken.map_err(|bad| self.refuse(bad, now))
    }

    fn refuse(&self, bad: BadProof, now: Timestamp) -> OAuthError {
        let told = match bad {
            BadProof::Nonce => "the proof must carry the nonce that comes with this answer",
            BadProof::Busy => "busy; try again in a moment",
            BadProof::Replayed => "the proof was used before; make a fresh one for each request",
            BadProof::Method | BadProof::Address => "the proof is for another method or address",
            BadProof::Time => "the proof was made too long ago or in the future",
            BadProof::AccessToken => "the proof is for another access token",
            BadProof::Token(_) | BadProof::Jti => "the proof is not a well-formed DPoP proof",
        };
        OAuthError::new(bad.code(), told).because(bad).header(DPOP_NONCE, self.nonce(now))
    }
}

/// The one `DPoP` header (section 4.3, check 1).
fn one_header(headers: &HeaderMap) -> Result<Option<&str>, OAuthError> {
    let mut all = headers.get_all("dpop").iter();
    let (first, second) = (all.next(), all.next());
    let refused = |told| Err(OAuthError::new(ErrorCode::InvalidDpopProof, told));
    match (first, second) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => refused("there must be one DPoP header"),
        (Some(one), None) => match one.to_str() {
            Ok(text) => Ok(Some(text)),
            Err(_) => refused("the proof is not a well-formed DPoP proof"),
        },
    }
}
