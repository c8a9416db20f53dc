//! A key in memory that is not swapped out, and what is sealed under it: whatever else of this process the system writes to
//! disk, these bytes it does not, and without them the rest is noise.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use hallpass_model::random::{Entropy, SystemEntropy};
use zeroize::{Zeroize, Zeroizing};

/// What the system locks is pages.
const PAGE: usize = 4096;
const KEY_LEN: usize = 32;
const NONCE_LEN: usize = 12;

#[repr(C, align(4096))]
struct Page([u8; PAGE]);

/// A key of this process alone, on a page of its own.
pub(crate) struct LockedKey {
    page: Box<Page>,
    locked: bool,
}

/// Bytes sealed under it.
#[derive(Clone)]
pub(crate) struct Sealed {
    nonce: [u8; NONCE_LEN],
    bytes: Vec<u8>,
}

impl Default for LockedKey {
    fn default() -> Self {
        let mut page = Box::new(Page([0; PAGE]));
        // The limit may be less than a page (RLIMIT_MEMLOCK); then the daemon says so.
        #[expect(unsafe_code, reason = "mlock takes an address; the page is ours, and outlives its lock")]
        let locked = unsafe { rustix::mm::mlock(page.0.as_mut_ptr().cast(), PAGE) }.is_ok();
        SystemEntropy.fill(&mut page.0[..KEY_LEN]);
        Self { page, locked }
    }
}

impl LockedKey {
    /// Whether the system agreed.
    pub(crate) fn is_locked(&self) -> bool {
        self.locked
    }

    pub(crate) fn seal(&self, plain: &[u8]) -> Sealed {
        let mut bytes = Vec::with_capacity(plain.len() + AES_256_GCM.tag_len());
        bytes.extend_from_slice(plain);
        let mut nonce = [0u8; NONCE_LEN];
        // Random nonces are safe for 2^32 seals under one key (NIST SP 800-38D, section 8.3).
        SystemEntropy.fill(&mut nonce);
        self.cipher()
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut bytes)
            .expect("what is sealed here is far below AES-GCM's limit");
        Sealed { nonce, bytes }
    }

    pub(crate) fn open(&self, sealed: &Sealed) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(sealed.bytes.clone());
        let nonce = Nonce::assume_unique_for_key(sealed.nonce);
        let plain = self.cipher().open_in_place(nonce, Aad::empty(), &mut bytes);
        let len = plain.expect("it was sealed here").len();
        bytes.truncate(len);
        bytes
    }

    /// Made anew each time: its own copy of the key is not on the page.
    fn cipher(&self) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &self.page.0[..KEY_LEN]).expect("the key is 32 bytes"))
    }
}

impl Drop for LockedKey {
    fn drop(&mut self) {
        self.page.0.zeroize();
        if self.locked {
            #[expect(unsafe_code, reason = "munlock takes an address; the page is still ours")]
            let _ = unsafe { rustix::mm::munlock(self.page.0.as_mut_ptr().cast(), PAGE) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_and_shows_nothing() {
        let key = LockedKey::default();
        let sealed = key.seal(b"canary");
        assert!(!sealed.bytes.windows(6).any(|six| six == b"canary"));
        assert_eq!(key.open(&sealed).as_slice(), b"canary");
    }
}
