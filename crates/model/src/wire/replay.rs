//! Ids that are good for one use: `jti` of DPoP proofs (RFC 9449, section 11.1) and of client assertions.

use std::collections::{BTreeMap, HashSet};

use aws_lc_rs::digest;

use crate::time::{Lifetime, Timestamp};

/// Ids remembered at once at most: 1,500 a second for the ten minutes a DPoP nonce lives, in about 40 MB.
pub const REMEMBERED_MAX: usize = 1_000_000;
/// Ids are forgotten together, a slice of time at once, so that forgetting costs nothing per id.
const SLICE: Lifetime = Lifetime::seconds(30);

/// Why an id is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotFresh {
    /// It was used before.
    #[error("it was used before")]
    Replayed,
    /// Too many are remembered already. Fails closed: what cannot be remembered is not accepted.
    #[error("too many are in use at once; try again later")]
    Full,
}

/// Remembers ids until they are over. In memory only: nonces are keyed by a secret made at start, so a proof
/// from before a restart is refused for its nonce.
#[derive(Debug, Default)]
pub struct ReplayMemory {
    /// Hashes of ids, by the slice of time in which they are over.
    slices: BTreeMap<i64, HashSet<u128>>,
    remembered: usize,
}

impl ReplayMemory {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes `id`, used by `owner` (a key's thumbprint, a client's id), and remembers it until `until`.
    /// An error if it was taken before.
    pub fn take(&mut self, owner: &str, id: &str, until: Timestamp, now: Timestamp) -> Result<(), NotFresh> {
        self.forget(now);
        let hash = hash(owner, id);
        if self.slices.values().any(|slice| slice.contains(&hash)) {
            return Err(NotFresh::Replayed);
        }
        if self.remembered >= REMEMBERED_MAX {
            return Err(NotFresh::Full);
        }
        // Rounded up: remembered a little longer rather than a little less.
        let slice = until.millis().div_euclid(SLICE.as_millis()).saturating_add(1);
        self.slices.entry(slice).or_default().insert(hash);
        self.remembered += 1;
        Ok(())
    }

    /// How many ids are remembered.
    pub fn len(&self) -> usize {
        self.remembered
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.remembered == 0
    }

    fn forget(&mut self, now: Timestamp) {
        let current = now.millis().div_euclid(SLICE.as_millis());
        while let Some(entry) = self.slices.first_entry() {
            if *entry.key() > current {
                break;
            }
            self.remembered -= entry.remove().len();
        }
    }
}

/// Half of a SHA-256: ids are strangers' text of any length, and finding two alike is out of reach.
fn hash(owner: &str, id: &str) -> u128 {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&(owner.len() as u64).to_be_bytes());
    context.update(owner.as_bytes());
    context.update(id.as_bytes());
    let hash = context.finish();
    u128::from_be_bytes(hash.as_ref()[..16].try_into().expect("SHA-256 gives 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const MINUTE: Lifetime = Lifetime::minutes(1);

    #[test]
    fn an_id_is_taken_once_by_each_owner() {
        let mut memory = ReplayMemory::new();
        assert_eq!(memory.take("ann", "1", NOW + MINUTE, NOW), Ok(()));
        assert_eq!(memory.take("ann", "1", NOW + MINUTE, NOW), Err(NotFresh::Replayed));
        // Another end does not make it another id.
        assert_eq!(memory.take("ann", "1", NOW + MINUTE + MINUTE, NOW), Err(NotFresh::Replayed));
        // Nor does what was taken since, with a later or an earlier end.
        for (id, end) in [("2", NOW + MINUTE + MINUTE + MINUTE), ("3", NOW)] {
            assert_eq!(memory.take("ann", id, end, NOW), Ok(()));
            assert_eq!(memory.take("ann", "1", NOW + MINUTE, NOW), Err(NotFresh::Replayed));
        }
        assert_eq!(memory.take("bob", "1", NOW + MINUTE, NOW), Ok(()));
        // Nor can an owner's name run into the id.
        assert_eq!(memory.take("an", "n1", NOW + MINUTE, NOW), Ok(()));
        assert_eq!(memory.len(), 5);
    }

    #[test]
    fn an_id_is_remembered_for_as_long_as_it_is_good_and_not_much_longer() {
        let mut memory = ReplayMemory::new();
        for offset in [0, 1, 29_999, 30_000] {
            let now = NOW + Lifetime::millis(offset);
            let until = now + MINUTE;
            let id = offset.to_string();
            assert_eq!(memory.take("ann", &id, until, now), Ok(()));
            assert_eq!(memory.take("ann", &id, until, until), Err(NotFresh::Replayed), "{offset}");
        }
        assert_eq!(memory.take("ann", "late", NOW + MINUTE, NOW + MINUTE + MINUTE + MINUTE), Ok(()));
        assert_eq!(memory.len(), 1);
    }

    #[test]
    fn a_full_memory_fails_closed_and_recovers() {
        let mut memory = ReplayMemory { remembered: REMEMBERED_MAX - 1, ..ReplayMemory::new() };
        assert_eq!(memory.take("ann", "last", NOW + MINUTE, NOW), Ok(()));
        assert_eq!(memory.take("ann", "one more", NOW + MINUTE, NOW), Err(NotFresh::Full));
        // A replay is still told from a lack of room.
        assert_eq!(memory.take("ann", "last", NOW + MINUTE, NOW), Err(NotFresh::Replayed));
        let later = NOW + MINUTE + MINUTE;
        assert_eq!(memory.take("ann", "one more", later + MINUTE, later), Ok(()));
    }

    #[test]
    fn time_at_its_limits_does_not_panic() {
        let mut memory = ReplayMemory::new();
        let (first, last) = (Timestamp::from_millis(i64::MIN), Timestamp::from_millis(i64::MAX));
        assert_eq!(memory.take("ann", "1", last, first), Ok(()));
        assert_eq!(memory.take("ann", "1", last, last), Err(NotFresh::Replayed));
        assert_eq!(memory.take("ann", "2", first, last), Ok(()));
    }
}
