//! A client's id and secret in the `Authorization` header (RFC 6749, section 2.3.1).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::form::decode;
use crate::secret::{ClientSecret, Secret};

/// The header's value at most, in bytes: three times a short name and a secret, every character of them escaped.
pub const BASIC_LEN_MAX: usize = 1024;

/// What a client says of itself in the header.
#[derive(Debug)]
pub struct BasicCredentials {
    /// Its `client_id`.
    pub client_id: String,
    /// Its secret, if it sent one: an empty one is none.
    pub secret: Option<Secret<ClientSecret>>,
}

/// Reads `Basic ...`. `None` where it is not that.
///
/// Id and secret are each form-encoded before they are joined by a colon, unlike in plain HTTP Basic (RFC 7617): a client
/// that escapes `-` or `_`, as it may, means the same.
pub fn read_basic(header: &str) -> Option<BasicCredentials> {
    let (scheme, rest) = header.split_once(' ')?;
    if header.len() > BASIC_LEN_MAX || !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let joined = Zeroizing::new(STANDARD.decode(rest.trim()).ok()?);
    let colon = joined.iter().position(|byte| *byte == b':')?;
    let client_id = decode(&joined[..colon]).ok()?;
    let secret = decode(&joined[colon + 1..]).ok()?;
    let secret = (!secret.is_empty()).then(|| Secret::new(secret.as_bytes().to_vec()));
    Some(BasicCredentials { client_id: client_id.to_string(), secret })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(joined: &str) -> Option<(String, String)> {
        let read = read_basic(&format!("Basic {}", STANDARD.encode(joined)))?;
        let secret = read.secret.map(|secret| secret.expose_text().to_owned());
        Some((read.client_id, secret.unwrap_or_default()))
    }

    #[test]
    fn id_and_secret_are_form_encoded_each_and_joined_by_the_first_colon() {
        let read = |joined| read(joined).unwrap();
        let pair = |id: &str, secret: &str| (id.to_owned(), secret.to_owned());
        assert_eq!(read("robot:hps_x"), pair("robot", "hps_x"));
        assert_eq!(read("notes%2Dapi:hps%5Fx"), pair("notes-api", "hps_x"));
        assert_eq!(read("a%3Ab:c%3Ad:e"), pair("a:b", "c:d:e"));
        assert_eq!(read("a+b:c%2Bd"), pair("a b", "c+d"));
        assert_eq!(read("robot:"), pair("robot", ""));
    }

    #[test]
    fn what_is_not_basic_or_not_well_formed_is_nothing() {
        for bad in
            ["Bearer x", "Basic", "Basic ", "Basic !", "Basic cm9ib3Q", "Basic cm9ib3Q=", "", "DPoP a.b.c"]
        {
            assert!(read_basic(bad).is_none(), "{bad}");
        }
        for bad in ["robot", "robot:%", "robot:%f", "robot:%zz", "robot:%ff", "%00:x", "robot:a\0b"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert!(read(&format!("robot:{}", "x".repeat(BASIC_LEN_MAX))).is_none(), "it is bounded");
        assert!(
            read_basic(&format!("bAsIc  {}", STANDARD.encode("a:b"))).is_some(),
            "the scheme in any case"
        );
    }

    #[test]
    fn a_secret_is_not_printed() {
        let read = read_basic(&format!("Basic {}", STANDARD.encode("robot:canary"))).unwrap();
        assert!(!format!("{read:?}").contains("canary"));
    }
}
