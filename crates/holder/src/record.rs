//! One sign-in as it rests on disk: a header anyone of this user may read, and a body only the vault's key opens.
//!
//! Its form is `sealing`'s; it begins with `HALLPASS-RECORD 1`, and its header says issuer, client, where the key is, login id
//! and generation.

mod body;

use std::path::Path;

use hallpass_model::random::{Entropy, SystemEntropy};
use hallpass_model::time::Timestamp;
use serde::{Deserialize, Serialize};

#[cfg(feature = "adapters")]
pub(crate) use body::RoleHeld;
pub(crate) use body::{AccessHeld, ApiKeyHeld, Expiry, PassHeld, Record, Standing};

use crate::error::HolderError;
use crate::identity::ProfileName;
use crate::sealing::{self, Broken, Parts};
use crate::vault::{KeyPlace, RecordKey, Rung};

const MAGIC: &[u8] = b"HALLPASS-RECORD 1\n";
/// The part that is the same in every version: a record with another version is newer, not damaged.
const MAGIC_ANY_VERSION: &[u8] = b"HALLPASS-RECORD ";
/// A header at most, in bytes: an issuer and a client id, each bounded, and room beside them.
const HEADER_LEN_MAX: usize = 8 * 1024;

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
pub(crate) type SealedRecord<'a> = Parts<'a, Header>;

impl<'a> SealedRecord<'a> {
    /// Takes a file apart. Proves nothing yet: `record` does.
    pub(crate) fn parse(bytes: &'a [u8], path: &Path) -> Result<Self, HolderError> {
        let parts: Result<Self, Broken> = sealing::parts(MAGIC, HEADER_LEN_MAX, bytes);
        let why = match parts {
            Ok(parts) if parts.has_body() => return Ok(parts),
            Ok(_) | Err(Broken::Short) => "it was cut short",
            Err(Broken::Header) => "its header cannot be read",
            Err(Broken::Another) if bytes.starts_with(MAGIC_ANY_VERSION) => {
                "its form is of another version of hallpass"
            }
            Err(Broken::Another) => "it is not a record of hallpass",
        };
        Err(HolderError::Damaged { path: path.to_owned(), why })
    }

    /// Opens it. An error if any byte of it, header included, is not as it was written with this key.
    pub(crate) fn record(&self, key: &RecordKey, path: &Path) -> Result<Record, HolderError> {
        let damaged = |why| HolderError::Damaged { path: path.to_owned(), why };
        let body = self.open(key).ok_or_else(|| match self.header.key.rung() {
            // The two look alike: a wrong key, or the right one and a changed file.
            Rung::Passphrase => HolderError::WrongPassphrase,
            _ => damaged("it does not open with its key; it was changed, or copied from elsewhere"),
        })?;
        Record::parse(&body).ok_or_else(|| damaged("its contents cannot be read"))
    }
}

/// Writes a record down, encrypted.
pub(crate) fn seal(header: &Header, record: &Record, key: &RecordKey) -> Vec<u8> {
    sealing::seal(MAGIC, header, Some((key, &mut record.render())))
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
        let opened = SealedRecord::parse(&bytes, path).unwrap().record(&key, path).unwrap();
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
            let opened = SealedRecord::parse(&changed, path).and_then(|sealed| sealed.record(&key, path));
            assert!(opened.is_err(), "byte {at}");
        }
        for len in 0..bytes.len() {
            let cut = SealedRecord::parse(&bytes[..len], path).and_then(|sealed| sealed.record(&key, path));
            assert!(cut.is_err(), "cut to {len}");
        }
    }

    #[test]
    fn another_key_does_not_open_it() {
        let path = Path::new("x.record");
        let bytes = seal(&header(), &Record::for_tests("r"), &RecordKey::new([7; 32]));
        let sealed = SealedRecord::parse(&bytes, path).unwrap();
        assert!(matches!(sealed.record(&RecordKey::new([8; 32]), path), Err(HolderError::Damaged { .. })));
    }
}
