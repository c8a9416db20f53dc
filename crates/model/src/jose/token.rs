//! Compact signed tokens (RFC 7515, section 7.1), verified: form, header, key, signature, in that order.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::jwk::RawJwk;
use super::{Algorithm, JwkSet, Present, PublicJwk, Thumbprint, base64url, json_object};

/// An access token, proof or assertion at most, in bytes: they travel in headers, which servers bound at 8 KiB.
pub const ACCESS_TOKEN_LEN_MAX: usize = 8 * 1024;
/// An ID token at most, in bytes: they travel in bodies, and outside providers put group lists in them.
pub const ID_TOKEN_LEN_MAX: usize = 64 * 1024;
/// What a workload shows of an outside issuer at most, in bytes: CI's have two or three thousand.
pub const OUTSIDE_TOKEN_LEN_MAX: usize = 16 * 1024;

/// Why a token is not accepted. Says what is wrong with it, never what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// Longer than its kind may be.
    #[error("it is too long")]
    TooLong,
    /// Not three parts of canonical base64url holding JSON.
    #[error("it is not a signed token in compact form")]
    Malformed,
    /// `none`, an HMAC, or an algorithm that is not on the list.
    #[error("its algorithm is not allowed")]
    Algorithm,
    /// A type other than the one expected here.
    #[error("it is a token of another type")]
    Type,
    /// The header brings a key of its own, points at one, or names an extension that must be understood.
    #[error("its header has a member that is not allowed")]
    Header,
    /// No key of the issuer's fits: perhaps a new one, so the keys may be worth fetching again.
    #[error("it is signed with a key that is not known")]
    UnknownKey,
    /// The key fits and the signature does not.
    #[error("its signature is wrong")]
    Signature,
    /// A claim is missing, repeated or of the wrong form.
    #[error("a claim is missing or malformed")]
    Claims,
    /// Another issuer's.
    #[error("it is from another issuer")]
    Issuer,
    /// Meant for somebody else.
    #[error("it is for another audience")]
    Audience,
    /// About somebody else than expected.
    #[error("it is about another subject")]
    Subject,
    /// Over.
    #[error("it has expired")]
    Expired,
    /// Issued or valid later than now, beyond what clocks differ by.
    #[error("it is not valid yet")]
    NotYet,
    /// The person proved who they are longer ago than was asked for (OIDC Core, section 3.1.2.1).
    #[error("the login it tells of was too long ago")]
    OldLogin,
    /// Its `at_hash` is not of the access token that came with it.
    #[error("it came with another access token")]
    OtherAccessToken,
    /// Valid for longer than its kind may be.
    #[error("it is valid for too long")]
    TooLongLived,
    /// It does not answer this request's nonce.
    #[error("its nonce is not the one that was sent")]
    Nonce,
    /// It lacks a scope that is needed.
    #[error("it lacks a scope that is needed here")]
    Scope,
    /// It is bound to a key, and no proof of that key came with it (RFC 9449, section 7.2).
    #[error("it is bound to a key and must come with a proof")]
    ProofNeeded,
    /// A proof came with it, by another key or for a token bound to none.
    #[error("the proof is not by the key it is bound to")]
    WrongKey,
}

/// What one kind of token must look like before its claims are read.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    types: &'static [&'static str],
    type_may_be_absent: bool,
    len_max: usize,
}

impl Profile {
    /// `at+jwt` (RFC 9068, section 4).
    pub const ACCESS_TOKEN: Profile =
        Profile { types: &["at+jwt"], type_may_be_absent: false, len_max: ACCESS_TOKEN_LEN_MAX };
    /// `JWT` or nothing: ID tokens are older than explicit typing.
    pub const ID_TOKEN: Profile =
        Profile { types: &["JWT"], type_may_be_absent: true, len_max: ID_TOKEN_LEN_MAX };
    /// `client-authentication+jwt` (RFC 10070).
    pub const CLIENT_ASSERTION: Profile = Profile {
        types: &["client-authentication+jwt"],
        type_may_be_absent: false,
        len_max: ACCESS_TOKEN_LEN_MAX,
    };
    /// The same, or the form before RFC 10070: `JWT` or no type. Only for a client allowed to be that old.
    pub const OLDER_CLIENT_ASSERTION: Profile = Profile {
        types: &["client-authentication+jwt", "JWT"],
        type_may_be_absent: true,
        len_max: ACCESS_TOKEN_LEN_MAX,
    };
    /// What a workload shows of an outside issuer: `JWT`, `JOSE` (SPIFFE JWT-SVID, section 2.2) or nothing. An access token
    /// for somebody's API is not it, nor a client's assertion.
    pub const OUTSIDE: Profile =
        Profile { types: &["JWT", "JOSE"], type_may_be_absent: true, len_max: OUTSIDE_TOKEN_LEN_MAX };
    /// `dpop+jwt` (RFC 9449, section 4.2).
    const DPOP_PROOF: Profile =
        Profile { types: &["dpop+jwt"], type_may_be_absent: false, len_max: ACCESS_TOKEN_LEN_MAX };

    fn admits(&self, typ: Option<&str>) -> bool {
        let Some(typ) = typ else {
            return self.type_may_be_absent;
        };
        // RFC 7515, section 4.1.9: a media type, so case does not count and `application/` may be left out.
        let prefix = "application/";
        let short = match typ.get(..prefix.len()) {
            Some(start) if start.eq_ignore_ascii_case(prefix) => &typ[prefix.len()..],
            _ => typ,
        };
        self.types.iter().any(|t| t.eq_ignore_ascii_case(short))
    }
}

/// Claims whose signature was checked, and the key that made it. What they say is still to be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<C> {
    /// The claims.
    pub claims: C,
    /// The key's thumbprint.
    pub key: Thumbprint,
}

/// Verifies a token of one kind with one of `keys`. Checks form, type, algorithm and signature; does **not**
/// check issuer, audience or time: whoever defines the claims does.
pub fn verify<C: DeserializeOwned>(
    token: &str,
    profile: &Profile,
    keys: &JwkSet,
) -> Result<Verified<C>, BadToken> {
    let parts = Parts::split(token, profile.len_max)?;
    let header: Header = parts.header()?;
    let algorithm = header.judge(profile)?;
    if header.jwk.is_some() {
        return Err(BadToken::Header);
    }
    let signature = base64url::parse(parts.signature).ok_or(BadToken::Malformed)?;
    let mut outcome = Err(BadToken::UnknownKey);
    for key in keys.candidates(header.kid.as_deref(), algorithm) {
        if key.verifies(algorithm, parts.signed.as_bytes(), &signature) {
            outcome = Ok(key.thumbprint());
            break;
        }
        outcome = Err(BadToken::Signature);
    }
    Ok(Verified { key: outcome?, claims: parts.claims()? })
}

/// The claims of a token that somebody knows to be signed by one of `keys`. Checks form, type, algorithm, and that the key
/// it names is among them; **not** the signature.
pub(crate) fn read_without_signature<C: DeserializeOwned>(
    token: &str,
    profile: &Profile,
    keys: &JwkSet,
) -> Result<C, BadToken> {
    let parts = Parts::split(token, profile.len_max)?;
    let header: Header = parts.header()?;
    let algorithm = header.judge(profile)?;
    if header.jwk.is_some() {
        return Err(BadToken::Header);
    }
    let kid = header.kid.as_deref().ok_or(BadToken::UnknownKey)?;
    keys.candidates(Some(kid), algorithm).next().ok_or(BadToken::UnknownKey)?;
    parts.claims()
}

/// Verifies a token that carries its own key: a DPoP proof, which proves possession of that key and no more.
pub(crate) fn verify_with_embedded_key<C: DeserializeOwned>(token: &str) -> Result<Verified<C>, BadToken> {
    let profile = &Profile::DPOP_PROOF;
    let parts = Parts::split(token, profile.len_max)?;
    let mut header: Header = parts.header()?;
    let algorithm = header.judge(profile)?;
    let jwk = header.jwk.take().ok_or(BadToken::Header)?;
    let key: PublicJwk = jwk.read().map_err(|_| BadToken::Header)?;
    if !key.permits(algorithm) {
        return Err(BadToken::Algorithm);
    }
    let signature = base64url::parse(parts.signature).ok_or(BadToken::Malformed)?;
    if !key.verifies(algorithm, parts.signed.as_bytes(), &signature) {
        return Err(BadToken::Signature);
    }
    Ok(Verified { key: key.thumbprint(), claims: parts.claims()? })
}

/// What a token says of itself before anything is checked: good for choosing keys to check it with, and for
/// nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverified {
    /// The key it says it was signed with.
    pub kid: Option<String>,
    /// The issuer it says it is from; for a client's assertion, the client.
    pub issuer: Option<String>,
    /// Whom it says it is about.
    pub subject: Option<String>,
    /// The client it says it was issued to (`client_id`, RFC 9068).
    pub client: Option<String>,
}

/// Reads what a token says of itself. SECURITY: anybody can write anything here.
pub fn peek_unverified(token: &str) -> Result<Unverified, BadToken> {
    #[derive(Deserialize)]
    struct Kid {
        kid: Option<String>,
    }
    #[derive(Deserialize)]
    struct Who {
        iss: Option<String>,
        sub: Option<String>,
        client_id: Option<String>,
    }
    let parts = Parts::split(token, ID_TOKEN_LEN_MAX)?;
    let header: Kid = parts.header()?;
    let claims: Who = parts.claims()?;
    Ok(Unverified { kid: header.kid, issuer: claims.iss, subject: claims.sub, client: claims.client_id })
}

struct Parts<'a> {
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
    /// `header.payload`: what is signed.
    signed: &'a str,
}

impl<'a> Parts<'a> {
    fn split(token: &'a str, len_max: usize) -> Result<Self, BadToken> {
        if token.len() > len_max {
            return Err(BadToken::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(BadToken::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(BadToken::Malformed)?;
        // A fourth part leaves a dot in the payload, which base64url refuses; said here so that it is plain.
        if payload.contains('.') {
            return Err(BadToken::Malformed);
        }
        Ok(Self { header, payload, signature, signed })
    }

    fn header<T: DeserializeOwned>(&self) -> Result<T, BadToken> {
        let bytes = base64url::parse(self.header).ok_or(BadToken::Malformed)?;
        json_object(&bytes).ok_or(BadToken::Malformed)
    }

    fn claims<T: DeserializeOwned>(&self) -> Result<T, BadToken> {
        let bytes = base64url::parse(self.payload).ok_or(BadToken::Malformed)?;
        json_object(&bytes).ok_or(BadToken::Claims)
    }
}

/// A JOSE header: known members typed, so that a repeated one is refused; others ignored (RFC 7515, section 4).
#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    jwk: Option<Box<RawJwk>>,
    #[serde(default)]
    crit: Present,
    #[serde(default)]
    jku: Present,
    #[serde(default)]
    x5u: Present,
    #[serde(default)]
    x5c: Present,
    #[serde(default)]
    b64: Present,
}

impl Header {
    fn judge(&self, profile: &Profile) -> Result<Algorithm, BadToken> {
        // SECURITY: a key that comes with the token, or from where the token says, proves nothing
        // (RFC 8725, section 3.10). No extension is understood, so any that must be is refused (RFC 7515, 4.1.11).
        let forbidden = [&self.crit, &self.jku, &self.x5u, &self.x5c, &self.b64];
        if forbidden.iter().any(|member| member.0) {
            return Err(BadToken::Header);
        }
        if !profile.admits(self.typ.as_deref()) {
            return Err(BadToken::Type);
        }
        Algorithm::find(&self.alg).ok_or(BadToken::Algorithm)
    }
}

#[cfg(test)]
mod tests;
