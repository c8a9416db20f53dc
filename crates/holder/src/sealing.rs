//! A private file with a header in the clear and a body encrypted, both authenticated together.
//!
//! ```text
//! a magic line
//! header length (4 bytes, big-endian), header (JSON)
//! 12 bytes nonce, new for each write
//! ciphertext and tag                   AES-256-GCM of the body; everything before the nonce is authenticated with it
//! ```

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use hallpass_model::random::{Entropy, SystemEntropy};
use hallpass_model::secret::{Kind, Secret};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::vault::RecordKey;

/// A header at most, in bytes, where it has a line for each thing in the body.
pub(crate) const HEADER_LEN_MAX: usize = 64 * 1024;
const NONCE_LEN: usize = 12;

/// A file taken apart, not yet opened.
pub(crate) struct Parts<'a, H> {
    pub(crate) header: H,
    clear: &'a [u8],
    sealed: &'a [u8],
}

/// Why a file cannot be taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// It begins otherwise.
    Another,
    /// It ends too soon, or its header is longer than any.
    Short,
    /// Its header says something else.
    Header,
}

/// Writes a header and a body down. Without a key and a body, the header alone.
pub(crate) fn seal(
    magic: &[u8],
    header: &impl Serialize,
    body: Option<(&RecordKey, &mut Zeroizing<Vec<u8>>)>,
) -> Vec<u8> {
    let text = serde_json::to_vec(header).expect("a header is a struct of JSON values");
    let mut bytes = Vec::from(magic);
    bytes.extend((text.len() as u32).to_be_bytes());
    bytes.extend(&text);
    if let Some((key, body)) = body {
        let mut nonce = [0u8; NONCE_LEN];
        // Random nonces are safe for 2^32 writes under one key (NIST SP 800-38D, section 8.3); a key is one file's.
        SystemEntropy.fill(&mut nonce);
        let tag = cipher(key)
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&bytes), body)
            .expect("a private file is far below AES-GCM's limit");
        bytes.extend(nonce);
        bytes.extend(body.iter());
        bytes.extend(tag.as_ref());
    }
    bytes
}

/// Takes a file apart, with a header of so many bytes at most. Proves nothing yet: `open` does.
pub(crate) fn parts<'a, H: DeserializeOwned>(
    magic: &[u8],
    header_len_max: usize,
    bytes: &'a [u8],
) -> Result<Parts<'a, H>, Broken> {
    let rest = bytes.strip_prefix(magic).ok_or(Broken::Another)?;
    let (len, rest) = rest.split_first_chunk::<4>().ok_or(Broken::Short)?;
    let len = u32::from_be_bytes(*len) as usize;
    if len > header_len_max || rest.len() < len {
        return Err(Broken::Short);
    }
    let header = serde_json::from_slice(&rest[..len]).map_err(|_| Broken::Header)?;
    Ok(Parts { header, clear: &bytes[..magic.len() + 4 + len], sealed: &rest[len..] })
}

impl<H> Parts<'_, H> {
    /// Whether there is a body, or the beginning of one.
    pub(crate) fn has_body(&self) -> bool {
        self.sealed.len() >= NONCE_LEN
    }

    /// The body. `None` if any byte of it, header included, is not as it was written with this key.
    pub(crate) fn open(&self, key: &RecordKey) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, ciphertext) = self.sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut body = Zeroizing::new(ciphertext.to_vec());
        let len = cipher(key)
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(self.clear), &mut body)
            .ok()?
            .len();
        body.truncate(len);
        Some(body)
    }
}

/// A secret, as a body shows it.
pub(crate) fn secret<K: Kind>(mut shown: Zeroizing<String>) -> Secret<K> {
    Secret::from_text(std::mem::take(&mut *shown))
}

fn cipher(key: &RecordKey) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key[..]).expect("the key is 32 bytes"))
}
