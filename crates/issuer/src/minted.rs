//! Access tokens that this very process signed, by the hash of their text.
//!
//! Most tokens that are asked about were signed here minutes ago. To know that by their hash is as good as to check the
//! signature, and costs a fortieth of it. A token that is not known here (another process signed it, or too many came
//! after it) has its signature checked as ever.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};

use crate::limits;

/// The SHA-256 of a token's text.
pub(crate) type TokenHash = [u8; 32];

/// The hash of a token's text.
pub(crate) fn hash_of(token: &str) -> TokenHash {
    digest(&SHA256, token.as_bytes()).as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

/// What was signed here. Nothing of it is a secret, and nothing of it says that a token still counts.
#[derive(Default)]
pub(crate) struct Minted(Mutex<Halves>);

/// Two halves: when the young one is full it becomes the old one, and the old one is forgotten.
#[derive(Default)]
struct Halves {
    young: HashSet<TokenHash>,
    old: HashSet<TokenHash>,
}

impl Minted {
    /// Remembers a token that was signed just now.
    pub(crate) fn note(&self, token: &str) {
        let hash = hash_of(token);
        let mut halves = self.halves();
        if halves.young.len() >= limits::MINTED_TOKENS_MAX / 2 {
            halves.old = std::mem::take(&mut halves.young);
        }
        halves.young.insert(hash);
    }

    /// Whether a token of this hash was signed here.
    pub(crate) fn knows(&self, hash: &TokenHash) -> bool {
        let halves = self.halves();
        halves.young.contains(hash) || halves.old.contains(hash)
    }

    fn halves(&self) -> MutexGuard<'_, Halves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_half_is_always_known_and_no_more_than_all_is_kept() {
        let minted = Minted::default();
        let token = |n: usize| format!("token-{n}");
        let count = limits::MINTED_TOKENS_MAX * 3;
        (0..count).for_each(|n| minted.note(&token(n)));
        let newest = count - limits::MINTED_TOKENS_MAX / 2..count;
        assert!(newest.clone().all(|n| minted.knows(&hash_of(&token(n)))));
        assert!(!minted.knows(&hash_of(&token(0))) && !minted.knows(&hash_of("token")));
        let halves = minted.halves();
        assert!(halves.young.len() + halves.old.len() <= limits::MINTED_TOKENS_MAX);
    }
}
