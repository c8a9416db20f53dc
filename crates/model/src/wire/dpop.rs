//! DPoP (RFC 9449): proof that whoever presents a token holds the key it is bound to.
//!
//! The proof is a JWT over the request's method and address, made fresh for each request. The issuer and the
//! resource check the same things (section 4.3); that there is exactly one `DPoP` header is the caller's to see.

use std::fmt;

use aws_lc_rs::{digest, hmac};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use url::Url;

use super::errors::ErrorCode;
use super::replay::{NotFresh, ReplayMemory};
use crate::jose::{BadToken, SigningKey, Thumbprint, Typ, base64url, verify_with_embedded_key};
use crate::lifetimes::{DPOP_NONCE, DPOP_WINDOW};
use crate::random::Entropy;
use crate::time::Timestamp;

/// A proof's `jti` at most, in bytes. RFC 9449 asks for 96 random bits; a UUID in words fits many times.
const JTI_LEN_MAX: usize = 256;
/// A nonce at most, in bytes, as others may issue them.
pub const NONCE_LEN_MAX: usize = 512;

/// Why a proof is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadProof {
    /// It is not a well-formed proof signed by the key it carries.
    #[error("the proof is not a well-formed DPoP JWT: {0}")]
    Token(#[from] BadToken),
    /// It is for another method.
    #[error("the proof is for another HTTP method")]
    Method,
    /// It is for another address.
    #[error("the proof is for another address")]
    Address,
    /// Its clock is too far from ours.
    #[error("the proof was made too long ago or in the future")]
    Time,
    /// Its `jti` is empty or too long.
    #[error("the proof's `jti` is empty or too long")]
    Jti,
    /// It is not for the access token that came with it.
    #[error("the proof is for another access token")]
    AccessToken,
    /// It carries no nonce, or one that is over. A fresh one goes with the answer.
    #[error("the proof must carry the nonce from this answer")]
    Nonce,
    /// It was used before.
    #[error("the proof was used before")]
    Replayed,
    /// Too many proofs are in use to tell whether this one was.
    #[error("too many proofs are in use at once; try again later")]
    Busy,
}

impl BadProof {
    /// The code it is answered with.
    pub fn code(&self) -> ErrorCode {
        match self {
            BadProof::Nonce => ErrorCode::UseDpopNonce,
            BadProof::Busy => ErrorCode::TemporarilyUnavailable,
            _ => ErrorCode::InvalidDpopProof,
        }
    }
}

/// What says that a proof is fresh (RFC 9449, section 4.3, check 11).
#[derive(Debug, Clone, Copy)]
pub enum Freshness<'a> {
    /// Its own `iat`, within `DPOP_WINDOW` of our clock either way.
    Clock,
    /// A nonce of ours, which it must carry. Its `iat` then does not count, so that a machine with a wrong
    /// clock is not locked out.
    Nonce(&'a Nonces),
}

/// The request a proof came with.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its address as the caller knows it from outside: scheme, authority and path. A query is ignored.
    pub uri: &'a str,
    /// The access token it came with: at a resource always, at the token endpoint never.
    pub access_token: Option<&'a str>,
}

/// A proof that holds for the request it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The key that was proven.
    pub key: Thumbprint,
    /// Its own id, good for one use.
    pub jti: String,
    /// The nonce it carries.
    pub nonce: Option<String>,
    /// When it was made, by its maker's clock.
    pub issued: Timestamp,
    until: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct ProofClaims {
    jti: String,
    htm: String,
    htu: String,
    iat: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ath: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
}

impl Proof {
    /// Checks the value of the one `DPoP` header (section 4.3), but for reuse: `take` does that.
    pub fn verify(
        header: &str,
        request: &Request<'_>,
        freshness: Freshness<'_>,
        now: Timestamp,
    ) -> Result<Self, BadProof> {
        let verified = verify_with_embedded_key::<ProofClaims>(header)?;
        let claims = verified.claims;
        if claims.jti.is_empty() || claims.jti.len() > JTI_LEN_MAX {
            return Err(BadProof::Jti);
        }
        if claims.htm != request.method {
            return Err(BadProof::Method);
        }
        let address = normal(request.uri).ok_or(BadProof::Address)?;
        if normal(&claims.htu) != Some(address) {
            return Err(BadProof::Address);
        }
        if let Some(token) = request.access_token
            && claims.ath.as_deref() != Some(ath(token).as_str())
        {
            return Err(BadProof::AccessToken);
        }
        let issued = Timestamp::from_seconds(claims.iat);
        let until = match freshness {
            Freshness::Nonce(nonces) => {
                let fresh = claims.nonce.as_deref().is_some_and(|nonce| nonces.accepts(nonce, now));
                if !fresh {
                    return Err(BadProof::Nonce);
                }
                now + DPOP_NONCE
            }
            Freshness::Clock => {
                if issued > now + DPOP_WINDOW || now > issued + DPOP_WINDOW {
                    return Err(BadProof::Time);
                }
                issued + DPOP_WINDOW
            }
        };
        Ok(Self { key: verified.key, jti: claims.jti, nonce: claims.nonce, issued, until })
    }

    /// Uses the proof up: an error if it was used before.
    pub fn take(&self, memory: &mut ReplayMemory, now: Timestamp) -> Result<(), BadProof> {
        memory.take(&self.key.to_string(), &self.jti, self.until, now).map_err(|reason| match reason {
            NotFresh::Replayed => BadProof::Replayed,
            NotFresh::Full => BadProof::Busy,
        })
    }
}

/// Makes a proof for a request: the holder's side. `nonce` is the last one this server gave.
pub fn proof(
    key: &SigningKey,
    request: &Request<'_>,
    nonce: Option<&str>,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> String {
    let mut jti = [0u8; 16];
    entropy.fill(&mut jti);
    let bare = request.uri.split(['?', '#']).next().unwrap_or_default();
    let claims = ProofClaims {
        jti: base64url::render(jti),
        htm: request.method.to_owned(),
        htu: bare.to_owned(),
        iat: now.seconds(),
        ath: request.access_token.map(ath),
        nonce: nonce.map(str::to_owned),
    };
    key.sign(Typ::DpopProof, &claims)
}

/// `ath`: the access token's SHA-256 (section 4.2).
pub fn ath(access_token: &str) -> String {
    base64url::render(digest::digest(&digest::SHA256, access_token.as_bytes()))
}

/// An address without query and fragment, normal by RFC 3986, sections 6.2.2 and 6.2.3: case, escapes of
/// unreserved characters, dot segments, default port, empty path. `None` if it is not an HTTP address.
fn normal(uri: &str) -> Option<String> {
    let mut url = Url::parse(uri).ok()?;
    let http = matches!(url.scheme(), "http" | "https");
    if !http || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    url.set_query(None);
    url.set_fragment(None);
    // The URL type has done all but the escapes.
    let text = url.as_str();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let digits = rest.get(at + 1..at + 3)?;
        let byte = u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&digits.to_ascii_uppercase());
        }
        rest = &rest[at + 3..];
    }
    out.push_str(rest);
    Some(out)
}

/// Nonces that need no memory: a MAC of the current slice of time (section 8). One lives between half of
/// `DPOP_NONCE` and all of it.
#[derive(Clone)]
pub struct Nonces(hmac::Key);

impl Nonces {
    /// Keyed by 32 secret bytes. Several servers behind one address share them; made anew at each start, they
    /// also refuse every proof from before it.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The nonce to hand out now: goes with every answer, so that clients always have a fresh one.
    pub fn issue(&self, now: Timestamp) -> String {
        self.of_slice(slice(now))
    }

    /// Whether a nonce was handed out lately.
    pub fn accepts(&self, nonce: &str, now: Timestamp) -> bool {
        let current = slice(now);
        [current, current.saturating_sub(1)]
            .into_iter()
            .any(|slice| bool::from(self.of_slice(slice).as_bytes().ct_eq(nonce.as_bytes())))
    }

    fn of_slice(&self, slice: i64) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"dpop nonce\0");
        context.update(&slice.to_be_bytes());
        base64url::render(&context.sign().as_ref()[..16])
    }
}

fn slice(now: Timestamp) -> i64 {
    now.millis().div_euclid(DPOP_NONCE.as_millis() / 2)
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<nonces>")
    }
}

#[cfg(test)]
mod tests;
