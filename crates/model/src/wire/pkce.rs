//! PKCE (RFC 7636), S256 only: whoever redeems a code is whoever asked for it.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use subtle::ConstantTimeEq;

use crate::jose::base64url;
use crate::random::Entropy;
use crate::secret::{CodeVerifier, Secret};

/// The one `code_challenge_method`. `plain` would send the secret itself along (RFC 9700, section 2.1.1).
pub const METHOD: &str = "S256";

/// Why a PKCE parameter is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPkce {
    /// The code verifier is not 43 to 128 unreserved characters.
    #[error("the code verifier is not 43 to 128 letters, digits, `-`, `.`, `_` or `~`")]
    Verifier,
    /// The challenge is not a SHA-256 in base64url.
    #[error("the code challenge is not a SHA-256 in base64url")]
    Challenge,
    /// The method is missing or is not `S256`.
    #[error("the code challenge method must be S256")]
    Method,
    /// The verifier is well-formed and answers another challenge.
    #[error("the code verifier does not match the code challenge")]
    Mismatch,
}

/// A new code verifier: 256 random bits, as section 4.1 recommends.
pub fn code_verifier(entropy: &dyn Entropy) -> Secret<CodeVerifier> {
    let mut bytes = zeroize::Zeroizing::new([0u8; 32]);
    entropy.fill(&mut bytes[..]);
    Secret::from_text(base64url::render(&bytes[..]))
}

/// `code_challenge` of method S256: public, kept beside the code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CodeChallenge([u8; 32]);

impl CodeChallenge {
    /// The challenge that this code verifier answers.
    pub fn of(verifier: &Secret<CodeVerifier>) -> Self {
        Self::of_bytes(verifier.expose())
    }

    /// Reads the two parameters of an authorization request. A challenge without a method would mean `plain`
    /// (section 4.3), so it is refused.
    pub fn parse(challenge: &str, method: Option<&str>) -> Result<Self, BadPkce> {
        if method != Some(METHOD) {
            return Err(BadPkce::Method);
        }
        challenge.parse()
    }

    /// From its 32 bytes, as the store keeps them.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this code verifier answers the challenge. Compared in constant time.
    pub fn answered_by(&self, verifier: &Secret<CodeVerifier>) -> Result<(), BadPkce> {
        let text = verifier.expose();
        let unreserved = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
        if !(43..=128).contains(&text.len()) || !text.iter().all(unreserved) {
            return Err(BadPkce::Verifier);
        }
        if bool::from(Self::of_bytes(text).0.ct_eq(&self.0)) { Ok(()) } else { Err(BadPkce::Mismatch) }
    }

    fn of_bytes(verifier: &[u8]) -> Self {
        let hash = digest::digest(&digest::SHA256, verifier);
        Self(hash.as_ref().try_into().expect("SHA-256 gives 32 bytes"))
    }
}

impl fmt::Display for CodeChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url::render(self.0))
    }
}

impl fmt::Debug for CodeChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CodeChallenge {
    type Err = BadPkce;
    fn from_str(text: &str) -> Result<Self, BadPkce> {
        base64url::parse_exact(text).map(Self).ok_or(BadPkce::Challenge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seeded;
    use proptest::prelude::*;

    fn secret(text: &str) -> Secret<CodeVerifier> {
        Secret::from_text(text.to_owned())
    }

    #[test]
    fn rfc_7636_appendix_b_s_example_holds() {
        let verifier = secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        let challenge =
            CodeChallenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", Some("S256")).unwrap();
        assert_eq!(CodeChallenge::of(&verifier), challenge);
        assert_eq!(challenge.answered_by(&verifier), Ok(()));
        let other = secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl");
        assert_eq!(challenge.answered_by(&other), Err(BadPkce::Mismatch));
    }

    #[test]
    fn a_new_code_verifier_is_well_formed_and_another_each_time() {
        let entropy = Seeded::new(1);
        let (one, two) = (code_verifier(&entropy), code_verifier(&entropy));
        assert_eq!(one.expose().len(), 43);
        assert_eq!(CodeChallenge::of(&one).answered_by(&one), Ok(()));
        assert_eq!(CodeChallenge::of(&one).answered_by(&two), Err(BadPkce::Mismatch));
    }

    #[test]
    fn only_s256_is_a_method_and_none_means_plain() {
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        for method in [None, Some("plain"), Some("s256"), Some(""), Some("S512")] {
            assert_eq!(CodeChallenge::parse(challenge, method), Err(BadPkce::Method), "{method:?}");
        }
        for bad in ["", "short", &format!("{challenge}="), &challenge.replace("cM", "cN")] {
            assert_eq!(CodeChallenge::parse(bad, Some("S256")), Err(BadPkce::Challenge), "{bad}");
        }
        // A verifier is not taken for its own challenge: that would be `plain`.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let plain = CodeChallenge::parse(verifier, Some("S256")).unwrap();
        assert_eq!(plain.answered_by(&secret(verifier)), Err(BadPkce::Mismatch));
    }

    #[test]
    fn a_code_verifier_has_43_to_128_unreserved_characters() {
        let verdict = |text: &str| CodeChallenge::of(&secret(text)).answered_by(&secret(text));
        for (text, ok) in [
            ("a".repeat(42), false),
            ("a".repeat(43), true),
            ("-._~".repeat(32), true),
            ("a".repeat(129), false),
            (format!("{} ", "a".repeat(43)), false),
            (format!("{}+", "a".repeat(43)), false),
            (format!("{}é", "a".repeat(43)), false),
            (String::new(), false),
        ] {
            assert_eq!(verdict(&text), if ok { Ok(()) } else { Err(BadPkce::Verifier) }, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(text in ".*", bytes in any::<Vec<u8>>()) {
            let _ = CodeChallenge::parse(&text, Some(METHOD));
            let _ = CodeChallenge::from_bytes([0; 32]).answered_by(&Secret::new(bytes));
        }
    }
}
