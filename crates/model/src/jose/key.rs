//! Private keys, which sign. Parsed once, with their headers written once: signing is the hot path.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, Signature,
};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Algorithm, BadKey, PublicJwk, Thumbprint, base64url};

/// What a token is for, as its header says (RFC 8725, section 3.11: explicit typing).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typ {
    /// `at+jwt`: an access token (RFC 9068).
    AccessToken,
    /// `JWT`: an ID token (OIDC Core), which has no type of its own.
    IdToken,
    /// `dpop+jwt`: a proof (RFC 9449). Its header carries the public key in place of a `kid`.
    DpopProof,
    /// `client-authentication+jwt`: a client's assertion about itself (RFC 10070).
    ClientAuthentication,
}

impl Typ {
    const ALL: [Typ; 4] = [Typ::AccessToken, Typ::IdToken, Typ::DpopProof, Typ::ClientAuthentication];

    /// The header's `typ`.
    pub const fn text(self) -> &'static str {
        match self {
            Typ::AccessToken => "at+jwt",
            Typ::IdToken => "JWT",
            Typ::DpopProof => "dpop+jwt",
            Typ::ClientAuthentication => "client-authentication+jwt",
        }
    }
}

/// A private key and all that can be worked out once: its public half, its `kid`, its headers.
///
/// The library wipes the key material when it is dropped; `Debug` shows the thumbprint alone.
pub struct SigningKey {
    pair: Pair,
    public: PublicJwk,
    kid: String,
    /// `base64url(header).` for each `Typ`, in the order of its variants.
    headers: [String; Typ::ALL.len()],
}

enum Pair {
    Es256(Box<EcdsaKeyPair>),
    EdDsa(Box<Ed25519KeyPair>),
}

impl SigningKey {
    /// A new ES256 key, from the system's randomness (the library takes no other).
    pub fn generate() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .expect("the system has randomness; without it nothing here is safe to do");
        Self::new(Pair::Es256(Box::new(pair))).expect("a fresh key is well-formed")
    }

    /// A new Ed25519 key, from the system's randomness.
    pub fn generate_ed25519() -> Self {
        let pair = Ed25519KeyPair::generate()
            .expect("the system has randomness; without it nothing here is safe to do");
        Self::new(Pair::EdDsa(Box::new(pair))).expect("a fresh key is well-formed")
    }

    /// Reads a PKCS#8 document: a P-256 or an Ed25519 key.
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, BadKey> {
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document) {
            return Self::new(Pair::Es256(Box::new(pair)));
        }
        let pair = Ed25519KeyPair::from_pkcs8(document).map_err(|_| BadKey::Malformed)?;
        Self::new(Pair::EdDsa(Box::new(pair)))
    }

    /// The key as a PKCS#8 document. SECURITY: encrypt it before it goes anywhere.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        let document = match &self.pair {
            Pair::Es256(pair) => pair.to_pkcs8v1(),
            Pair::EdDsa(pair) => pair.to_pkcs8v1(),
        };
        // The document wipes its own copy when dropped.
        Zeroizing::new(document.expect("a key in memory can be written down").as_ref().to_vec())
    }

    fn new(pair: Pair) -> Result<Self, BadKey> {
        let public = match &pair {
            Pair::Es256(pair) => PublicJwk::from_public_bytes(Algorithm::Es256, pair.public_key().as_ref())?,
            Pair::EdDsa(pair) => PublicJwk::from_public_bytes(Algorithm::EdDsa, pair.public_key().as_ref())?,
        };
        let kid = public.thumbprint().to_string();
        let headers = Typ::ALL.map(|typ| header(typ, pair.algorithm(), &kid, &public));
        Ok(Self { pair, public, kid, headers })
    }

    /// The public half, with `kid`, `alg` and `use`, as a JWK set publishes it.
    pub fn public(&self) -> &PublicJwk {
        &self.public
    }

    /// Its id: the RFC 7638 thumbprint of the public half.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The same, as bytes.
    pub fn thumbprint(&self) -> Thumbprint {
        self.public.thumbprint()
    }

    /// What it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.pair.algorithm()
    }

    /// Signs claims as a compact token of this type. The result may be a credential: treat it as one.
    ///
    /// # Panics
    /// If `claims` cannot be JSON (a map with keys that are no strings): a mistake in the type, not in its value.
    pub fn sign(&self, typ: Typ, claims: &impl Serialize) -> String {
        let claims = serde_json::to_vec(claims).expect("claims are structs of JSON values");
        let header = &self.headers[typ as usize];
        let mut token = String::with_capacity(header.len() + claims.len().div_ceil(3) * 4 + 1 + 86);
        token.push_str(header);
        base64url::push(&mut token, &claims);
        let signature = self.pair.sign(token.as_bytes());
        token.push('.');
        base64url::push(&mut token, signature.as_ref());
        token
    }
}

impl Pair {
    fn algorithm(&self) -> Algorithm {
        match self {
            Pair::Es256(_) => Algorithm::Es256,
            Pair::EdDsa(_) => Algorithm::EdDsa,
        }
    }

    fn sign(&self, message: &[u8]) -> Signature {
        match self {
            Pair::Es256(pair) => pair
                .sign(&SystemRandom::new(), message)
                .expect("signing fails only without memory or randomness"),
            Pair::EdDsa(pair) => pair.sign(message),
        }
    }
}

fn header(typ: Typ, algorithm: Algorithm, kid: &str, public: &PublicJwk) -> String {
    #[derive(Serialize)]
    struct Header<'a> {
        typ: &'static str,
        alg: Algorithm,
        #[serde(skip_serializing_if = "Option::is_none")]
        kid: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        jwk: Option<super::jwk::Members<'a>>,
    }
    let proof = typ == Typ::DpopProof;
    let header = Header {
        typ: typ.text(),
        alg: algorithm,
        kid: (!proof).then_some(kid),
        jwk: proof.then(|| public.bare()),
    };
    let mut text = base64url::render(serde_json::to_vec(&header).expect("a struct of strings is JSON"));
    text.push('.');
    text
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, {})", self.algorithm(), self.kid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{Algorithm as TheirAlgorithm, DecodingKey, Validation};
    use serde_json::{Value, json};

    fn keys() -> [SigningKey; 2] {
        [SigningKey::generate(), SigningKey::generate_ed25519()]
    }

    fn header_of(token: &str) -> Value {
        let header = token.split('.').next().unwrap();
        serde_json::from_slice(&base64url::parse(header).unwrap()).unwrap()
    }

    #[test]
    fn a_second_opinion_accepts_what_we_sign_and_agrees_on_the_thumbprint() {
        for key in keys() {
            let token = key.sign(Typ::AccessToken, &json!({ "exp": 9_999_999_999i64, "n": 1 }));
            let jwk: jsonwebtoken::jwk::Jwk =
                serde_json::from_value(serde_json::to_value(key.public()).unwrap()).unwrap();
            let algorithm = match key.algorithm() {
                Algorithm::Es256 => TheirAlgorithm::ES256,
                _ => TheirAlgorithm::EdDSA,
            };
            let decoded = jsonwebtoken::decode::<Value>(
                &token,
                &DecodingKey::from_jwk(&jwk).unwrap(),
                &Validation::new(algorithm),
            )
            .unwrap();
            assert_eq!(decoded.claims["n"], 1);
            assert_eq!(decoded.header.typ.as_deref(), Some("at+jwt"));
            assert_eq!(decoded.header.kid.as_deref(), Some(key.kid()));
            assert_eq!(jwk.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256).unwrap(), key.kid());
        }
    }

    #[test]
    fn a_key_written_down_reads_back_as_the_same_key() {
        for key in keys() {
            let again = SigningKey::from_pkcs8(&key.to_pkcs8()).unwrap();
            assert_eq!((again.kid(), again.algorithm()), (key.kid(), key.algorithm()));
            assert_eq!(again.public(), key.public());
        }
    }

    #[test]
    fn no_other_document_is_a_key() {
        let document = SigningKey::generate().to_pkcs8();
        assert!(SigningKey::from_pkcs8(b"").is_err());
        assert!(SigningKey::from_pkcs8(&document[..document.len() - 1]).is_err());
        let p384 = EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        assert!(SigningKey::from_pkcs8(p384.to_pkcs8v1().unwrap().as_ref()).is_err());
    }

    #[test]
    fn each_header_names_its_type_and_only_a_proof_carries_its_key() {
        for key in keys() {
            for typ in Typ::ALL {
                let header = header_of(&key.sign(typ, &json!({})));
                assert_eq!(header["typ"], typ.text());
                assert_eq!(header["alg"], key.algorithm().text());
                let proof = typ == Typ::DpopProof;
                assert_eq!(header.get("jwk").is_some(), proof);
                assert_eq!(header.get("kid").is_some(), !proof);
                assert!(header["jwk"].get("d").is_none() && header["jwk"].get("kid").is_none());
            }
        }
    }

    #[test]
    fn debug_shows_no_key_material() {
        for key in keys() {
            let shown = format!("{key:?}");
            assert_eq!(shown, format!("SigningKey({}, {})", key.algorithm(), key.kid()));
        }
    }
}
