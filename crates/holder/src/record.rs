//! One sign-in as it rests on disk: a header anyone of this user may read, and a body only the vault's key opens.
//!
//! ```text
//! "HALLPASS-RECORD 1\n"                what it is, and the version of its form
//! u32, big-endian                      length of the header
//! header                               JSON: issuer, client, where the key is, login id, generation
//! 12 bytes                             nonce, new for each write
//! ciphertext and tag                   AES-256-GCM of the body; everything before the nonce is authenticated with it
//! ```

mod body;

use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use hallpass_model::random::{Entropy, SystemEntropy};
use hallpass_model::time::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub(crate) use body::{AccessHeld, PassHeld, Record, Standing};

use crate::error::HolderError;
use crate::identity::ProfileName;
use crate::vault::{KeyPlace, RecordKey, Rung};

const MAGIC: &[u8] = b"HALLPASS-RECORD 1\n";
/// The part that is the same in every version: a record with another version is newer, not damaged.
const MAGIC_ANY_VERSION: &[u8] = b"HALLPASS-RECORD ";
/// A header at most, in bytes: an issuer and a client id, each bounded, and room beside them.
const HEADER_LEN_MAX: usize = 8 * 1024;
const NONCE_LEN: usize = 12;

/// What stands in the clear, authenticated with the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The issuer, byte for byte.
    pub(crate) issuer: String,
    /// The client.
    pub(crate) client_id: String,
    /// The profile, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<ProfileName>,
    /// Where the key is.
    pub(crate) key: KeyPlace,
    /// Which record this is, and how often it was written.
    pub(crate) version: Version,
    /// When it was last written.
    pub(crate) written: Timestamp,
    /// The machine it was made on: a hash, as folders of records are named.
    #[serde(default)]
    pub(crate) machine: String,
    /// The install id there: a hint, and no secret.
    #[serde(default)]
    pub(crate) install: Option<String>,
}

/// Which login a record is of, and how often it was written since. Whoever wants to write must name the version they
/// read, so that nobody overwrites a newer one or brings back one that was logged out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    /// Random, new at each login.
    pub(crate) login: String,
    /// One more at each write.
    pub(crate) generation: u64,
}

impl Version {
    /// The first version of a new login.
    pub(crate) fn first() -> Self {
        let mut id = [0u8; 16];
        SystemEntropy.fill(&mut id);
        Self { login: hallpass_model::jose::base64url::render(id), generation: 1 }
    }

    /// The version after this one.
    pub(crate) fn next(&self) -> Self {
        Self { login: self.login.clone(), generation: self.generation + 1 }
    }
}

/// A record file taken apart, not yet opened.
pub(crate) struct SealedRecord<'a> {
    pub(crate) header: Header,
    clear: &'a [u8],
    nonce: [u8; NONCE_LEN],
    ciphertext: &'a [u8],
}

impl<'a> SealedRecord<'a> {
    /// Takes a file apart. Proves nothing yet: `open` does.
    pub(crate) fn parse(bytes: &'a [u8], path: &Path) -> Result<Self, HolderError> {
        let damaged = |why| HolderError::Damaged { path: path.to_owned(), why };
        if !bytes.starts_with(MAGIC) {
            let newer = bytes.starts_with(MAGIC_ANY_VERSION);
            return Err(damaged(if newer {
                "its form is of another version of hallpass"
            } else {
                "it is not a record of hallpass"
            }));
        }
        let short = || damaged("it was cut short");
        let (len, rest) = bytes[MAGIC.len()..].split_first_chunk::<4>().ok_or_else(short)?;
        let len = u32::from_be_bytes(*len) as usize;
        if len > HEADER_LEN_MAX || rest.len() < len {
            return Err(short());
        }
        let (header, rest) = rest.split_at(len);
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(short)?;
        let header = serde_json::from_slice(header).map_err(|_| damaged("its header cannot be read"))?;
        Ok(Self { header, clear: &bytes[..MAGIC.len() + 4 + len], nonce: *nonce, ciphertext })
    }

    /// Opens it. An error if any byte of it, header included, is not as it was written with this key.
    pub(crate) fn open(&self, key: &RecordKey, path: &Path) -> Result<Record, HolderError> {
        let mut body = Zeroizing::new(self.ciphertext.to_vec());
        let plain = cipher(key)
            .open_in_place(Nonce::assume_unique_for_key(self.nonce), Aad::from(self.clear), &mut body)
            .map_err(|_| match self.header.key.rung() {
                // The two look alike: a wrong key, or the right one and a changed file.
                Rung::Passphrase => HolderError::WrongPassphrase,
                _ => HolderError::Damaged {
                    path: path.to_owned(),
                    why: "it does not open with its key; it was changed, or copied from elsewhere",
                },
            })?;
        Record::parse(plain)
            .ok_or_else(|| HolderError::Damaged { path: path.to_owned(), why: "its contents cannot be read" })
    }
}

/// Writes a record down, encrypted.
pub(crate) fn seal(header: &Header, record: &Record, key: &RecordKey) -> Vec<u8> {
    let text = serde_json::to_vec(header).expect("a header is a struct of JSON values");
    let mut bytes = Vec::from(MAGIC);
    bytes.extend((text.len() as u32).to_be_bytes());
    bytes.extend(&text);
    let mut body = record.render();
    let mut nonce = [0u8; NONCE_LEN];
    // Random nonces are safe for 2^32 writes under one key (NIST SP 800-38D, section 8.3); a key is one login's.
    SystemEntropy.fill(&mut nonce);
    let tag = cipher(key)
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&bytes), &mut body)
        .expect("a record is far below AES-GCM's limit");
    bytes.extend(nonce);
    bytes.extend(body.iter());
    bytes.extend(tag.as_ref());
    bytes
}

fn cipher(key: &RecordKey) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key[..]).expect("the key is 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            issuer: "https://id.example/acme".into(),
            client_id: "hallpass-cli".into(),
            profile: None,
            key: KeyPlace::Keyring { name: "hallpass:x".into() },
            version: Version::first(),
            written: Timestamp::from_seconds(1),
            machine: "here".into(),
            install: None,
        }
    }

    #[test]
    fn a_record_opens_with_its_key_and_shows_no_secret_before() {
        let key = RecordKey::new([7; 32]);
        let record = Record::for_tests("hpr_canary-refresh");
        let bytes = seal(&header(), &record, &key);
        let has = |needle: &[u8]| bytes.windows(needle.len()).any(|w| w == needle);
        assert!(has(b"https://id.example/acme") && !has(b"canary"));
        let path = Path::new("x.record");
        let opened = SealedRecord::parse(&bytes, path).unwrap().open(&key, path).unwrap();
        assert!(opened.refresh.unwrap().matches(b"hpr_canary-refresh"));
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let key = RecordKey::new([7; 32]);
        let bytes = seal(&header(), &Record::for_tests("r"), &key);
        let path = Path::new("x.record");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let opened = SealedRecord::parse(&changed, path).and_then(|sealed| sealed.open(&key, path));
            assert!(opened.is_err(), "byte {at}");
        }
        for len in 0..bytes.len() {
            let cut = SealedRecord::parse(&bytes[..len], path).and_then(|sealed| sealed.open(&key, path));
            assert!(cut.is_err(), "cut to {len}");
        }
    }

    #[test]
    fn another_key_does_not_open_it() {
        let path = Path::new("x.record");
        let bytes = seal(&header(), &Record::for_tests("r"), &RecordKey::new([7; 32]));
        let sealed = SealedRecord::parse(&bytes, path).unwrap();
        assert!(matches!(sealed.open(&RecordKey::new([8; 32]), path), Err(HolderError::Damaged { .. })));
    }
}
