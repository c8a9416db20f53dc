//! What is personal: kept beside the leaf, bound to it by a salted hash, erasable without breaking the proof.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer};

use super::entry::write_text;
use crate::random::Entropy;

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// What a personal field is. The spellings are part of the format: one may be added, none changed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field { $($(#[$doc])* $name,)* }

        impl Field {
            /// Every field.
            pub const ALL: &[Field] = &[$(Field::$name,)*];

            /// As it is written.
            pub const fn text(self) -> &'static str {
                match self { $(Field::$name => $text,)* }
            }
        }
    };
}

fields! {
    /// The network address a request came from, as we saw it.
    Address = "address";
    /// The browser that was used, as it named itself.
    Browser = "browser";
    /// A person's e-mail address.
    Email = "email";
    /// The machine's name, as the requester claimed it.
    Machine = "machine";
    /// A person's name.
    Name = "name";
    /// The purpose, in the requester's words.
    Purpose = "purpose";
    /// Free text of another kind.
    Remark = "remark";
    /// Who somebody is in the words of an outside issuer: a token's `sub`.
    Subject = "subject";
}

/// The personal fields of one entry, and the salt that keeps their hash from being guessed.
///
/// Erasing it (salt included) leaves a leaf that still verifies and from which nothing can be learnt.
#[derive(Clone, PartialEq, Eq)]
pub struct Personal {
    salt: [u8; SALT_LEN],
    fields: BTreeMap<String, String>,
}

impl Personal {
    /// No fields yet, under a fresh salt.
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut salt = [0u8; SALT_LEN];
        entropy.fill(&mut salt);
        Self { salt, fields: BTreeMap::new() }
    }

    /// The same with one more field. An empty text is left out; a long one is cut and ends in `…`.
    #[must_use]
    pub fn with(mut self, field: Field, text: &str) -> Self {
        if !text.is_empty() {
            let cut = match text.len() > TEXT_MAX {
                true => format!("{}…", &text[..text.floor_char_boundary(TEXT_MAX - '…'.len_utf8())]),
                false => text.to_owned(),
            };
            self.fields.insert(field.text().to_owned(), cut);
        }
        self
    }

    /// The text of `field`.
    pub fn find(&self, field: Field) -> Option<&str> {
        self.fields.get(field.text()).map(String::as_str)
    }

    /// In the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Whether there are no fields, and so nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// What the leaf holds: SHA-256(domain ‖ salt ‖ canonical fields).
    pub fn commitment(&self) -> Commitment {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(DOMAIN);
        bytes.extend_from_slice(&self.salt);
        bytes.extend_from_slice(self.fields_text().as_bytes());
        Commitment(digest(&SHA256, &bytes).as_ref().try_into().expect("SHA-256 gives 32 bytes"))
    }

    /// As the store keeps it: the salt, then the canonical fields.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.salt, self.fields_text().as_bytes()].concat()
    }

    /// Reads what `to_bytes` wrote, and nothing else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadPersonal> {
        let (salt, fields) =
            bytes.split_first_chunk().filter(|(_, rest)| rest.len() <= BYTES_MAX).ok_or(BadPersonal)?;
        let personal = Self { salt: *salt, fields: serde_json::from_slice(fields).map_err(|_| BadPersonal)? };
        if personal.fields_text().as_bytes() == fields { Ok(personal) } else { Err(BadPersonal) }
    }

    /// JSON in the one form of RFC 8785; the names are ASCII, so sorting by bytes is its order.
    fn fields_text(&self) -> String {
        let mut out = String::with_capacity(128);
        out.push('{');
        for (i, (name, text)) in self.fields.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            write_text(&mut out, name);
            out.push(':');
            write_text(&mut out, text);
        }
        out.push('}');
        out
    }
}

/// Names the fields, not what they say: personal texts do not belong in logs.
impl fmt::Debug for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.fields.keys()).finish()
    }
}

/// Bytes that are not personal fields as the store keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these are not personal fields as the ledger keeps them")]
pub struct BadPersonal;

/// The salted hash of personal fields, in base64url.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Commitment(pub [u8; 32]);

impl fmt::Display for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 43];
        let length = URL_SAFE_NO_PAD.encode_slice(self.0, &mut text).expect("43 characters hold 32 bytes");
        f.write_str(std::str::from_utf8(&text[..length]).expect("base64 is ASCII"))
    }
}

impl fmt::Debug for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for Commitment {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        let bytes = URL_SAFE_NO_PAD.decode(text.as_ref()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Commitment).ok_or_else(|| serde::de::Error::custom("a commitment is 32 bytes of base64url"))
    }
}

/// So that the hash can never be that of anything else of ours.
const DOMAIN: &[u8] = b"hallpass ledger personal v1\0";

/// 128 random bits: without the salt, even a guess at a name cannot be tested.
const SALT_LEN: usize = 16;

/// A purpose or a name fits many times over.
const TEXT_MAX: usize = 1_024;

/// Every field at its longest, each character escaped, fits.
const BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::Seeded;

    fn personal() -> Personal {
        Personal::new(&Seeded::new(5))
            .with(Field::Purpose, "fix \"prod\"\n")
            .with(Field::Address, "192.0.2.7")
            .with(Field::Machine, "")
    }

    #[test]
    fn the_commitment_is_this_and_stays_this() {
        // SECURITY: if this fails the format was changed, and no personal field ever kept can be verified any more.
        let bytes = personal().to_bytes();
        assert_eq!(&bytes[SALT_LEN..], br#"{"address":"192.0.2.7","purpose":"fix \"prod\"\n"}"#);
        let by_hand = digest(&SHA256, &[b"hallpass ledger personal v1\0".as_slice(), &bytes].concat());
        assert_eq!(personal().commitment().0, by_hand.as_ref());
    }

    #[test]
    fn it_comes_back_and_verifies_and_nothing_else_does() {
        let bytes = personal().to_bytes();
        let back = Personal::from_bytes(&bytes).unwrap();
        assert_eq!(
            (back.commitment(), back.find(Field::Address)),
            (personal().commitment(), Some("192.0.2.7"))
        );
        for at in 0..bytes.len() {
            let mut bent = bytes.clone();
            bent[at] ^= 1;
            let bent = Personal::from_bytes(&bent).map(|personal| personal.commitment());
            assert_ne!(bent, Ok(personal().commitment()), "byte {at}");
        }
    }

    #[test]
    fn the_same_fields_under_another_salt_have_another_commitment() {
        let other = Personal::new(&Seeded::new(6)).with(Field::Address, "192.0.2.7");
        let one = Personal::new(&Seeded::new(5)).with(Field::Address, "192.0.2.7");
        assert_ne!(one.commitment(), other.commitment());
    }

    #[test]
    fn debug_names_the_fields_and_not_what_they_say() {
        assert_eq!(format!("{:?}", personal()), r#"{"address", "purpose"}"#);
    }

    #[test]
    fn a_long_text_is_cut_and_what_is_kept_reads_back() {
        let long = Field::ALL.iter().fold(Personal::new(&Seeded::new(1)), |personal, field| {
            personal.with(*field, &"\u{1}".repeat(5_000))
        });
        assert!(long.find(Field::Name).unwrap().ends_with('…'));
        assert_eq!(Personal::from_bytes(&long.to_bytes()), Ok(long));
    }

    #[test]
    fn bytes_that_are_none_are_refused() {
        let salt = [0u8; SALT_LEN];
        for bad in ["", "{", "[]", r#"{"a":1}"#, r#"{"b":"","a":""}"#, r#"{"a": ""}"#, r#"{"a":"","a":""}"#] {
            assert_eq!(Personal::from_bytes(&[&salt, bad.as_bytes()].concat()), Err(BadPersonal), "{bad}");
        }
        assert_eq!(Personal::from_bytes(&salt[1..]), Err(BadPersonal));
    }

    proptest! {
        #[test]
        fn whatever_is_kept_reads_back(salt: u64, name in "(?s).{0,50}", remark in "(?s).{0,50}") {
            let personal = Personal::new(&Seeded::new(salt)).with(Field::Name, &name).with(Field::Remark, &remark);
            prop_assert_eq!(Personal::from_bytes(&personal.to_bytes()), Ok(personal));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Personal::from_bytes(&bytes);
        }
    }
}
