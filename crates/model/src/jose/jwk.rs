//! Public keys (RFC 7517), checked when they are read.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Algorithm, Present, Thumbprint, base64url};

/// The least RSA modulus, in bytes: 2048 bits (RFC 7518, section 3.3).
const RSA_LEN_MIN: usize = 256;
/// The greatest RSA modulus, in bytes: 8192 bits. Above it a signature costs more than it tells.
const RSA_LEN_MAX: usize = 1024;
/// The greatest RSA exponent, in bytes. 65537 takes three; a huge one makes verifying as dear as signing.
const RSA_EXPONENT_LEN_MAX: usize = 4;
/// A key id at most, in bytes: more is nobody's thumbprint or serial number.
const KEY_ID_LEN_MAX: usize = 256;

/// Why a JWK is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// A private or symmetric key stands where a public one belongs. It is public now: replace it.
    #[error("it holds private key material, which must never be published")]
    Private,
    /// A type, curve, algorithm or use that is not for the signatures made here.
    #[error("its type, curve, algorithm or use is not one for signatures here")]
    Unsupported,
    /// A member is missing, ill-formed, of the wrong length, or not a point of the curve.
    #[error("a member of the key is missing or malformed")]
    Malformed,
    /// An RSA modulus under 2048 or over 8192 bits, or an outsized exponent.
    #[error("its RSA modulus or exponent is too small or too large")]
    Size,
    /// More keys than a set may have.
    #[error("the set has more than {} keys", super::KEYS_MAX)]
    TooMany,
}

/// A public key: EC P-256 (ES256), OKP Ed25519 (EdDSA), or RSA of 2048 bits or more (RS256, PS256).
///
/// It is checked when it is read, so that one in hand can verify: the point is on the curve, the sizes are
/// in bounds, and there is no private member.
#[derive(Clone)]
pub struct PublicJwk {
    kid: Option<String>,
    algorithm: Option<Algorithm>,
    material: Material,
    thumbprint: Thumbprint,
    parsed: ParsedPublicKey,
}

#[derive(Clone, PartialEq, Eq)]
enum Material {
    P256 { x: [u8; 32], y: [u8; 32] },
    Ed25519 { x: [u8; 32] },
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

impl PublicJwk {
    /// Its `kid`, if it has one.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Its RFC 7638 thumbprint (SHA-256).
    pub fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// Whether signatures of this algorithm may be made with this key: its type allows it, and its `alg`, if
    /// it has one, says nothing else.
    pub fn permits(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|own| own == algorithm) && self.material.suits(algorithm)
    }

    /// Whether `signature` is this key's over `message`.
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.permits(algorithm) {
            return false;
        }
        match (&self.material, algorithm) {
            // The parsed key is for PKCS#1; PSS from an outside provider is rare enough to parse again.
            (Material::Rsa { n, e }, Algorithm::Ps256) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PSS_2048_8192_SHA256, message, signature).is_ok()
            }
            _ => self.parsed.verify_sig(message, signature).is_ok(),
        }
    }

    pub(super) fn from_public_bytes(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, BadKey> {
        let material = match (algorithm, bytes.len()) {
            (Algorithm::Es256, 65) if bytes[0] == 4 => Material::P256 {
                x: bytes[1..33].try_into().map_err(|_| BadKey::Malformed)?,
                y: bytes[33..].try_into().map_err(|_| BadKey::Malformed)?,
            },
            (Algorithm::EdDsa, 32) => {
                Material::Ed25519 { x: bytes.try_into().map_err(|_| BadKey::Malformed)? }
            }
            _ => return Err(BadKey::Malformed),
        };
        let mut key = Self::new(material, None, Some(algorithm))?;
        key.kid = Some(key.thumbprint.to_string());
        Ok(key)
    }

    fn new(material: Material, kid: Option<String>, algorithm: Option<Algorithm>) -> Result<Self, BadKey> {
        if algorithm.is_some_and(|a| !material.suits(a)) {
            return Err(BadKey::Unsupported);
        }
        let parsed = material.parse()?;
        let thumbprint = material.thumbprint();
        Ok(Self { kid, algorithm, material, thumbprint, parsed })
    }

    /// The key as it stands in a DPoP proof's header: the required members and nothing else.
    pub(super) fn bare(&self) -> Members<'_> {
        self.material.members()
    }
}

impl Material {
    fn suits(&self, algorithm: Algorithm) -> bool {
        match self {
            Material::P256 { .. } => algorithm == Algorithm::Es256,
            Material::Ed25519 { .. } => algorithm == Algorithm::EdDsa,
            Material::Rsa { .. } => matches!(algorithm, Algorithm::Rs256 | Algorithm::Ps256),
        }
    }

    fn parse(&self) -> Result<ParsedPublicKey, BadKey> {
        match self {
            Material::P256 { x, y } => {
                let mut point = [4u8; 65]; // 4: uncompressed
                point[1..33].copy_from_slice(x);
                point[33..].copy_from_slice(y);
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            }
            Material::Ed25519 { x } => ParsedPublicKey::new(&ED25519, x),
            Material::Rsa { n, e } => {
                let bounds = (RSA_LEN_MIN..=RSA_LEN_MAX).contains(&n.len())
                    && (1..=RSA_EXPONENT_LEN_MAX).contains(&e.len())
                    && e.last().is_some_and(|low| low % 2 == 1)
                    && e != &[1] // a signature under exponent one is the padded hash itself
                    && (n.len() > RSA_LEN_MIN || n[0] & 0x80 != 0);
                if !bounds {
                    return Err(BadKey::Size);
                }
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            }
        }
        .map_err(|_| BadKey::Malformed)
    }

    fn members(&self) -> Members<'_> {
        let text = |bytes: &[u8]| Some(base64url::render(bytes));
        match self {
            Material::P256 { x, y } => {
                Members { crv: Some("P-256"), kty: "EC", x: text(x), y: text(y), ..Members::default() }
            }
            Material::Ed25519 { x } => {
                Members { crv: Some("Ed25519"), kty: "OKP", x: text(x), ..Members::default() }
            }
            Material::Rsa { n, e } => Members { kty: "RSA", n: text(n), e: text(e), ..Members::default() },
        }
    }

    fn thumbprint(&self) -> Thumbprint {
        // RFC 7638, section 3.2: the required members, in lexical order, without white space.
        let json = serde_json::to_vec(&self.members()).expect("a struct of strings is JSON");
        Thumbprint::of_json(&json)
    }
}

/// The required members, in lexical order: what RFC 7638 hashes, and what a DPoP proof carries.
#[derive(Default, Serialize)]
pub(super) struct Members<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    kty: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
}

impl PartialEq for PublicJwk {
    fn eq(&self, other: &Self) -> bool {
        self.kid == other.kid && self.algorithm == other.algorithm && self.material == other.material
    }
}

impl Eq for PublicJwk {}

impl fmt::Debug for PublicJwk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicJwk({})", self.thumbprint)
    }
}

impl Serialize for PublicJwk {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Published<'a> {
            #[serde(flatten)]
            members: Members<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            kid: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            alg: Option<Algorithm>,
            #[serde(rename = "use")]
            used_for: &'static str,
        }
        Published { members: self.bare(), kid: self.kid(), alg: self.algorithm, used_for: "sig" }.serialize(s)
    }
}

impl<'de> Deserialize<'de> for PublicJwk {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        RawJwk::deserialize(d)?.read().map_err(D::Error::custom)
    }
}

/// A JWK as it comes: known members typed, so that a repeated one is refused; others ignored.
#[derive(Deserialize)]
pub(super) struct RawJwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    used_for: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    // Private members (RFC 7518, sections 6.2.2, 6.3.2, 6.4.1): only that they are there matters.
    #[serde(default)]
    d: Present,
    #[serde(default)]
    p: Present,
    #[serde(default)]
    q: Present,
    #[serde(default)]
    dp: Present,
    #[serde(default)]
    dq: Present,
    #[serde(default)]
    qi: Present,
    #[serde(default)]
    oth: Present,
    #[serde(default)]
    k: Present,
}

impl RawJwk {
    pub(super) fn read(self) -> Result<PublicJwk, BadKey> {
        let private = [&self.d, &self.p, &self.q, &self.dp, &self.dq, &self.qi, &self.oth, &self.k];
        if private.iter().any(|member| member.0) {
            return Err(BadKey::Private);
        }
        // `jwt-svid` is how SPIFFE marks the keys of a trust domain that sign tokens (SPIFFE Trust Domain and Bundle, 4.2.2).
        let for_signatures = self.used_for.as_deref().is_none_or(|u| matches!(u, "sig" | "jwt-svid"))
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !for_signatures {
            return Err(BadKey::Unsupported);
        }
        if self.kid.as_ref().is_some_and(|kid| kid.len() > KEY_ID_LEN_MAX) {
            return Err(BadKey::Malformed);
        }
        let algorithm = match self.alg.as_deref() {
            Some(name) => Some(Algorithm::find(name).ok_or(BadKey::Unsupported)?),
            None => None,
        };
        let exact = |member: &Option<String>| {
            member.as_deref().and_then(base64url::parse_exact::<32>).ok_or(BadKey::Malformed)
        };
        let number = |member: &Option<String>| {
            let bytes = member.as_deref().and_then(base64url::parse).ok_or(BadKey::Malformed)?;
            // RFC 7518, section 6.3.1.1: some libraries put a zero octet first.
            let first = bytes.iter().position(|b| *b != 0).ok_or(BadKey::Malformed)?;
            Ok(bytes[first..].to_vec())
        };
        let material = match (self.kty.as_str(), self.crv.as_deref()) {
            ("EC", Some("P-256")) => Material::P256 { x: exact(&self.x)?, y: exact(&self.y)? },
            ("OKP", Some("Ed25519")) => Material::Ed25519 { x: exact(&self.x)? },
            ("RSA", _) => Material::Rsa { n: number(&self.n)?, e: number(&self.e)? },
            _ => return Err(BadKey::Unsupported),
        };
        PublicJwk::new(material, self.kid, algorithm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::SigningKey;
    use serde_json::{Value, json};

    const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
    /// RFC 7638, section 3.1.
    const N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

    fn ec() -> Value {
        json!({ "kty": "EC", "crv": "P-256", "x": X, "y": Y })
    }

    fn with(mut key: Value, name: &str, value: Value) -> Value {
        key[name] = value;
        key
    }

    fn refusal(key: &Value) -> BadKey {
        let raw: RawJwk = serde_json::from_value(key.clone()).unwrap();
        raw.read().unwrap_err()
    }

    #[test]
    fn rfc_7638_section_3_1_s_thumbprint_comes_out() {
        let key = json!({ "kty": "RSA", "n": N, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29" });
        let key: PublicJwk = serde_json::from_value(key).unwrap();
        assert_eq!(key.thumbprint().to_string(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert_eq!(key.kid(), Some("2011-04-29"));
    }

    #[test]
    fn rfc_8037_appendix_a_s_thumbprint_and_signature_hold() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
        let key: PublicJwk = serde_json::from_value(key).unwrap();
        assert_eq!(key.thumbprint().to_string(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        let signed = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature =
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        let signature = base64url::parse(signature).unwrap();
        assert!(key.verifies(Algorithm::EdDsa, signed, &signature));
        assert!(!key.verifies(Algorithm::EdDsa, &signed[1..], &signature));
        assert!(!key.verifies(Algorithm::Es256, signed, &signature));
    }

    #[test]
    fn what_is_published_reads_back_and_has_no_private_member() {
        for key in [SigningKey::generate(), SigningKey::generate_ed25519()] {
            let text = serde_json::to_string(key.public()).unwrap();
            let value: Value = serde_json::from_str(&text).unwrap();
            assert!(value.get("d").is_none(), "{text}");
            assert_eq!(value["use"], "sig");
            assert_eq!(value["kid"], key.kid());
            assert_eq!(&serde_json::from_str::<PublicJwk>(&text).unwrap(), key.public());
        }
    }

    #[test]
    fn a_private_or_symmetric_key_is_refused_even_if_the_member_is_null() {
        for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            assert_eq!(refusal(&with(ec(), member, json!("AQ"))), BadKey::Private, "{member}");
            assert_eq!(refusal(&with(ec(), member, Value::Null)), BadKey::Private, "{member}");
        }
        assert_eq!(refusal(&json!({ "kty": "oct", "k": "AQ" })), BadKey::Private);
    }

    #[test]
    fn a_key_for_something_else_is_refused() {
        for (member, value) in [
            ("use", json!("enc")),
            ("key_ops", json!(["encrypt"])),
            ("alg", json!("ES384")),
            ("alg", json!("HS256")),
            ("alg", json!("none")),
            ("alg", json!("EdDSA")),
            ("crv", json!("P-384")),
            ("crv", json!("secp256k1")),
            ("kty", json!("EC2")),
        ] {
            assert_eq!(refusal(&with(ec(), member, value.clone())), BadKey::Unsupported, "{member} {value}");
        }
        assert!(serde_json::from_value::<PublicJwk>(with(ec(), "key_ops", json!(["verify"]))).is_ok());
    }

    #[test]
    fn coordinates_must_be_canonical_whole_and_on_the_curve() {
        let short = base64url::render(&base64url::parse(X).unwrap()[1..]);
        let long = base64url::render([vec![0], base64url::parse(X).unwrap()].concat());
        for x in [&short, &long, "", &format!("{X}="), &X.replace('U', "V"), &X.replace('J', "I")] {
            assert_eq!(refusal(&with(ec(), "x", json!(x))), BadKey::Malformed, "{x}");
        }
        assert_eq!(refusal(&json!({ "kty": "EC", "crv": "P-256", "x": X })), BadKey::Malformed);
        assert_eq!(refusal(&with(ec(), "kid", json!("k".repeat(257)))), BadKey::Malformed);
    }

    #[test]
    fn rsa_keys_are_bounded_both_ways() {
        let rsa = |n: &[u8], e: &str| json!({ "kty": "RSA", "n": base64url::render(n), "e": e });
        let n = base64url::parse(N).unwrap();
        let mut small = n.clone();
        small[0] = 0x7f; // 2047 bits
        assert_eq!(refusal(&rsa(&small, "AQAB")), BadKey::Size);
        assert_eq!(refusal(&rsa(&n[..128], "AQAB")), BadKey::Size);
        assert_eq!(refusal(&rsa(&[0xff; 1025], "AQAB")), BadKey::Size);
        assert_eq!(refusal(&rsa(&n, "AQABAQAB")), BadKey::Size);
        assert_eq!(refusal(&rsa(&n, "AQ")), BadKey::Size); // one
        assert_eq!(refusal(&rsa(&n, "AQAA")), BadKey::Size); // even
        assert_eq!(refusal(&rsa(&[], "AQAB")), BadKey::Malformed);
        // A leading zero octet, as some libraries write it, is the same key.
        let padded: PublicJwk = serde_json::from_value(rsa(&[vec![0], n].concat(), "AQAB")).unwrap();
        assert_eq!(padded.thumbprint().to_string(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn a_repeated_member_is_refused() {
        let text = format!(r#"{{"kty":"EC","crv":"P-256","x":"{X}","y":"{Y}","x":"{X}"}}"#);
        assert!(serde_json::from_str::<PublicJwk>(&text).is_err());
    }
}
