//! What is sealed under a passphrase while the daemon is locked: as with the record of a passphrase, guessing costs.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use hallpass_model::random::{Entropy, SystemEntropy};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// RFC 9106, section 4, second recommendation: 64 MiB and three passes.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;
/// One key seals once, so its nonce may be any.
const NONCE: [u8; 12] = [0; 12];

/// Sealed bytes.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Sealing {
    salt: [u8; 16],
    bytes: Vec<u8>,
}

impl Sealing {
    pub(super) fn new(passphrase: &[u8], plain: &[u8]) -> Self {
        let mut salt = [0u8; 16];
        SystemEntropy.fill(&mut salt);
        let mut bytes = Vec::with_capacity(plain.len() + AES_256_GCM.tag_len());
        bytes.extend_from_slice(plain);
        cipher(passphrase, &salt)
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(NONCE), Aad::empty(), &mut bytes)
            .expect("what is sealed here is far below AES-GCM's limit");
        Self { salt, bytes }
    }

    /// `None` if it is another passphrase.
    pub(super) fn open(&self, passphrase: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(self.bytes.clone());
        let nonce = Nonce::assume_unique_for_key(NONCE);
        let len = cipher(passphrase, &self.salt).open_in_place(nonce, Aad::empty(), &mut bytes).ok()?.len();
        bytes.truncate(len);
        Some(bytes)
    }
}

fn cipher(passphrase: &[u8], salt: &[u8; 16]) -> LessSafeKey {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(32)).expect("the constants are in range");
    let mut key = Zeroizing::new([0u8; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, salt, &mut key[..])
        .expect("salt and key have lengths that Argon2 takes");
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key[..]).expect("the key is 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_with_its_passphrase_alone() {
        let sealing = Sealing::new(b"correct horse", b"canary");
        assert!(!sealing.bytes.windows(6).any(|six| six == b"canary"));
        assert!(sealing.open(b"correct house").is_none());
        assert_eq!(sealing.open(b"correct horse").unwrap().as_slice(), b"canary");
    }
}
