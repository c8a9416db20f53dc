//! Signed tokens and keys (JOSE): the strict reading of RFC 7515, 7517, 7518 and 7638 that RFC 8725 asks for.
//!
//! One signature, one key, one kind of token at a time:
//!
//! 1. The size is bounded before anything is read.
//! 2. There are three parts, each in canonical base64url without padding.
//! 3. The header names no key of its own (`jku`, `x5u`, `x5c`, and `jwk` but for DPoP), no extension (`crit`),
//!    and the very type the caller expects.
//! 4. The algorithm is one the **key** is for; the header can only agree with it.
//! 5. The signature is checked, and only then are the claims read.
//!
//! What the claims must say is not decided here but where they are defined: `verifier`, `wire::id_token`,
//! `wire::assertion`, `wire::dpop`.

pub mod base64url; // bytes in JOSE's alphabet, canonical or refused
mod jwk; // public keys
mod jwk_set; // sets of them
mod thumbprint; // their names by hash
mod key; // private keys, which sign
mod pem; // a private key's PEM armour
mod token; // compact tokens, verified

pub use jwk::{BadKey, PublicJwk};
pub use jwk_set::JwkSet;
pub use key::{SigningKey, Typ};
pub use pem::{pkcs8_from_pem, pkcs8_to_pem};
pub use thumbprint::{BadThumbprint, Thumbprint};
pub use token::{
    ACCESS_TOKEN_LEN_MAX, BadToken, ID_TOKEN_LEN_MAX, OUTSIDE_TOKEN_LEN_MAX, Profile, Unverified, Verified,
    peek_unverified, verify,
};
pub(crate) use token::{read_without_signature, verify_with_embedded_key};

use jwk_set::KEYS_MAX;
use std::fmt;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The signature algorithms there are: asymmetric, with SHA-256 or better, and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256 (RFC 7518, section 3.4).
    Es256,
    /// Ed25519 (RFC 8037; RFC 9864 names it `Ed25519`, read as the same).
    EdDsa,
    /// RSA PKCS#1 v1.5 with SHA-256: only ever verified, for outside identity providers.
    Rs256,
    /// RSA-PSS with SHA-256: only ever verified, for outside identity providers.
    Ps256,
}

impl Algorithm {
    /// All of them, in the order metadata lists them.
    pub const ALL: [Algorithm; 4] = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Ps256, Algorithm::Rs256];

    /// Its registered name.
    pub const fn text(self) -> &'static str {
        match self {
            Algorithm::Es256 => "ES256",
            Algorithm::EdDsa => "EdDSA",
            Algorithm::Rs256 => "RS256",
            Algorithm::Ps256 => "PS256",
        }
    }

    /// The algorithm of this name. `none` and the HMAC family are nobody's.
    pub fn find(name: &str) -> Option<Self> {
        match name {
            "ES256" => Some(Algorithm::Es256),
            "EdDSA" | "Ed25519" => Some(Algorithm::EdDsa),
            "RS256" => Some(Algorithm::Rs256),
            "PS256" => Some(Algorithm::Ps256),
            _ => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Serialize for Algorithm {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.text())
    }
}

/// Whether a member is there at all, whatever it holds: `null` is there.
#[derive(Default)]
struct Present(bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(d).map(|_| Present(true))
    }
}

/// Reads a JSON object. A list is not one, though serde would take it for a struct without names.
pub(crate) fn json_object<T: serde::de::DeserializeOwned>(json: &[u8]) -> Option<T> {
    let first = json.iter().find(|b| !b.is_ascii_whitespace())?;
    if *first == b'{' { serde_json::from_slice(json).ok() } else { None }
}
