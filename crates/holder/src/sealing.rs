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
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::vault::RecordKey;

/// A header at most, in bytes: some names, and a line for each thing in the body.
const HEADER_LEN_MAX: usize = 64 * 1024;
const NONCE_LEN: usize = 12;

/// A file taken apart, not yet opened.
pub(crate) struct Parts<'a, H> {
    pub(crate) header: H,
    clear: &'a [u8],
    sealed: &'a [u8],
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

/// Takes a file apart. Proves nothing yet: `open` does. `None` if it is no such file, or was cut short.
pub(crate) fn parts<'a, H: DeserializeOwned>(magic: &[u8], bytes: &'a [u8]) -> Option<Parts<'a, H>> {
    let rest = bytes.strip_prefix(magic)?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let len = u32::from_be_bytes(*len) as usize;
    if len > HEADER_LEN_MAX || rest.len() < len {
        return None;
    }
    let header = serde_json::from_slice(&rest[..len]).ok()?;
    Some(Parts { header, clear: &bytes[..magic.len() + 4 + len], sealed: &rest[len..] })
}

impl<H> Parts<'_, H> {
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

fn cipher(key: &RecordKey) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key[..]).expect("the key is 32 bytes"))
}
