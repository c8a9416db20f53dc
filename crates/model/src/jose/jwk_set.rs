//! Sets of public keys: what an issuer publishes and a client registers.

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};

use super::jwk::RawJwk;
use super::{Algorithm, BadKey, PublicJwk};

/// Keys in one set at most: providers publish a handful; each costs a parse.
pub(super) const KEYS_MAX: usize = 64;

/// A set of public keys (RFC 7517, section 5).
///
/// Reading one, keys that are unknown, malformed or for encryption are skipped (section 5: implementations
/// should ignore them); a private key in it refuses the whole set, as whoever published that must be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct JwkSet {
    keys: Vec<PublicJwk>,
}

impl JwkSet {
    /// A set of these keys.
    pub fn new(keys: Vec<PublicJwk>) -> Self {
        Self { keys }
    }

    /// The keys, in the order they were published.
    pub fn keys(&self) -> &[PublicJwk] {
        &self.keys
    }

    /// Whether there is a key of this id.
    pub fn has(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid() == Some(kid))
    }

    /// The keys a header that names `kid` and `algorithm` may have been signed with. Without a `kid` there
    /// must be exactly one that fits (OIDC Core, section 10.1): nothing is guessed.
    pub(super) fn candidates(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &PublicJwk> {
        let fits = move |key: &&PublicJwk| match kid {
            Some(kid) => key.kid() == Some(kid) && key.permits(algorithm),
            None => key.permits(algorithm),
        };
        let ambiguous = kid.is_none() && self.keys.iter().filter(fits).count() > 1;
        self.keys.iter().filter(fits).filter(move |_| !ambiguous)
    }
}

impl<'de> Deserialize<'de> for JwkSet {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Entry {
            Jwk(Box<RawJwk>),
            Other(IgnoredAny),
        }
        #[derive(Deserialize)]
        struct Raw {
            keys: Vec<Entry>,
        }
        let raw = Raw::deserialize(d)?;
        if raw.keys.len() > KEYS_MAX {
            return Err(D::Error::custom(BadKey::TooMany));
        }
        let mut keys = Vec::with_capacity(raw.keys.len());
        for entry in raw.keys {
            let Entry::Jwk(jwk) = entry else { continue };
            match jwk.read() {
                Ok(key) => keys.push(key),
                Err(BadKey::Private) => return Err(D::Error::custom(BadKey::Private)),
                Err(_) => {}
            }
        }
        Ok(Self { keys })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::SigningKey;
    use serde_json::{Value, json};

    fn published(key: &SigningKey) -> Value {
        serde_json::to_value(key.public()).unwrap()
    }

    #[test]
    fn keys_nobody_here_knows_are_skipped_and_the_rest_kept() {
        let key = SigningKey::generate();
        let mut for_encryption = published(&SigningKey::generate());
        for_encryption["use"] = json!("enc");
        let set = json!({ "keys": [
            { "kty": "AKP", "alg": "ML-DSA-44", "pub": "AQ" },
            { "kty": "EC", "crv": "P-521", "x": "AQ", "y": "AQ" },
            { "kty": 7 },
            "not even an object",
            for_encryption,
            published(&key),
        ], "next": "ignored" });
        let set: JwkSet = serde_json::from_value(set).unwrap();
        assert_eq!(set, JwkSet::new(vec![key.public().clone()]));
        assert!(set.has(key.kid()) && !set.has("other"));
    }

    #[test]
    fn a_private_key_in_a_set_refuses_the_set() {
        let mut leaked = published(&SigningKey::generate());
        leaked["d"] = json!("AQ");
        let set = json!({ "keys": [published(&SigningKey::generate()), leaked] });
        let refusal = serde_json::from_value::<JwkSet>(set).unwrap_err().to_string();
        assert!(refusal.contains(&BadKey::Private.to_string()), "{refusal}");
    }

    #[test]
    fn an_outsized_set_is_refused() {
        let keys = vec![json!({ "kty": "?" }); KEYS_MAX + 1];
        assert!(serde_json::from_value::<JwkSet>(json!({ "keys": keys[1..] })).is_ok());
        assert!(serde_json::from_value::<JwkSet>(json!({ "keys": keys })).is_err());
    }

    #[test]
    fn without_a_kid_only_the_one_key_that_fits_is_tried() {
        let (one, two) = (SigningKey::generate(), SigningKey::generate());
        let ed = SigningKey::generate_ed25519();
        let count = |keys: &[&SigningKey], kid: Option<&str>| {
            let set = JwkSet::new(keys.iter().map(|k| k.public().clone()).collect());
            set.candidates(kid, Algorithm::Es256).count()
        };
        assert_eq!(count(&[&one, &ed], None), 1);
        assert_eq!(count(&[&one, &two], None), 0);
        assert_eq!(count(&[&one, &two], Some(two.kid())), 1);
        assert_eq!(count(&[&one, &ed], Some(ed.kid())), 0);
    }
}
