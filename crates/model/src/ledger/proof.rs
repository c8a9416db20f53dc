//! Proofs for somebody who has neither the ledger nor the server: that one entry is in it, or that it only grew.
//!
//! 1. An [`EntryProof`] is a C2SP tlog-proof: the entry's place, the way up to the root (RFC 6962, section 2.1.1), and the
//!    signed checkpoint that holds the root. The entry itself stands in its `extra` line, which nothing but its hash
//!    makes believable.
//! 2. A [`GrowthProof`] says that the ledger of an earlier checkpoint is the beginning of a later one's (section 2.1.2).
//!    It is written as C2SP tlog-witness has witnesses asked; who checks it brings the earlier checkpoint.
//!
//! ```text
//! c2sp.org/tlog-proof@v1               old 17
//! extra base64 of the entry            base64 of a hash, ...
//! index 41
//! base64 of a hash, ...                the later checkpoint
//!
//! the checkpoint
//! ```

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::{BadCheckpoint, Checkpoint, VerifierKey};
use super::entry::Entry;
use super::merkle::{BadProof, Hash, verify_consistency, verify_inclusion};

/// That one entry is in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryProof {
    /// Its leaf's index: the entry's number.
    pub index: u64,
    /// The leaf, byte for byte.
    pub leaf: Vec<u8>,
    /// The audit path, leaf side first.
    pub path: Vec<Hash>,
    /// The signed checkpoint of the tree that it leads to.
    pub note: String,
}

/// That a later ledger begins with an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrowthProof {
    /// How many entries the earlier one had.
    pub old: u64,
    /// The consistency proof.
    pub path: Vec<Hash>,
    /// The later one's signed checkpoint.
    pub note: String,
}

/// One of the two, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// That one entry is in the ledger.
    Entry(EntryProof),
    /// That a later ledger begins with an earlier one.
    Growth(GrowthProof),
}

/// Why a proof does not prove what it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotProven {
    /// Not a proof of either kind.
    #[error("it is not a proof: {0}")]
    Malformed(&'static str),
    /// A checkpoint of it, or the one it starts from, is not to be relied on.
    #[error("its checkpoint is not to be relied on: {0}")]
    Checkpoint(#[from] BadCheckpoint),
    /// It starts from another checkpoint than the one at hand.
    #[error("it starts from a checkpoint over {old} entries, and the one you gave is over {given}")]
    OtherStart {
        /// Where it starts.
        old: u64,
        /// The size of the one at hand.
        given: u64,
    },
    /// The entry says that it belongs elsewhere.
    #[error("the entry in it says that it is entry {0}")]
    OtherPlace(u64),
    /// The hashes lead elsewhere.
    #[error(transparent)]
    Hashes(#[from] BadProof),
}

impl EntryProof {
    /// As it is handed out.
    pub fn render(&self) -> String {
        let extra = STANDARD.encode(&self.leaf);
        format!("{HEADER}\n{EXTRA}{extra}\n{INDEX}{}\n{}\n{}", self.index, lines(&self.path), self.note)
    }

    /// Checks it by the ledger's key, and gives the checkpoint that it leads to.
    pub fn verify(&self, key: &VerifierKey) -> Result<Checkpoint, NotProven> {
        let checkpoint = Checkpoint::open(&self.note, key)?;
        let leaf = Hash::of_leaf(&self.leaf);
        verify_inclusion(&leaf, self.index, checkpoint.size, &self.path, &checkpoint.root)?;
        // What a newer version wrote cannot be read, and is proven all the same.
        match Entry::parse(&self.leaf) {
            Ok(entry) if entry.seq != self.index => Err(NotProven::OtherPlace(entry.seq)),
            _ => Ok(checkpoint),
        }
    }
}

impl GrowthProof {
    /// As it is handed out.
    pub fn render(&self) -> String {
        format!("{OLD}{}\n{}\n{}", self.old, lines(&self.path), self.note)
    }

    /// Checks it by the ledger's key against the earlier checkpoint, and gives the later one.
    pub fn verify(&self, key: &VerifierKey, earlier: &str) -> Result<Checkpoint, NotProven> {
        let earlier = Checkpoint::open(earlier, key)?;
        if earlier.size != self.old {
            return Err(NotProven::OtherStart { old: self.old, given: earlier.size });
        }
        let later = Checkpoint::open(&self.note, key)?;
        verify_consistency(earlier.size, &earlier.root, later.size, &later.root, &self.path)?;
        Ok(later)
    }
}

impl Proof {
    /// Reads what either's `render` wrote. Nothing is believed yet.
    pub fn parse(text: &str) -> Result<Self, NotProven> {
        let bad = NotProven::Malformed;
        if text.len() > TEXT_MAX {
            return Err(bad("it is too long"));
        }
        let (head, note) = text.split_once("\n\n").ok_or(bad("it has no checkpoint"))?;
        let note = note.to_owned();
        let mut head = head.split('\n');
        let first = head.next().unwrap_or_default();
        if let Some(old) = first.strip_prefix(OLD) {
            let old = number(old).ok_or(bad("its second word is no number"))?;
            return Ok(Proof::Growth(GrowthProof { old, path: path(head)?, note }));
        }
        if first != HEADER {
            return Err(bad("its first line is another's"));
        }
        let leaf = head.next().and_then(|line| line.strip_prefix(EXTRA));
        let leaf = leaf.and_then(|leaf| STANDARD.decode(leaf).ok());
        let leaf = leaf.ok_or(bad("it does not hold the entry"))?;
        let index = head.next().and_then(|line| line.strip_prefix(INDEX)).and_then(number);
        let index = index.ok_or(bad("it does not say which entry"))?;
        Ok(Proof::Entry(EntryProof { index, leaf, path: path(head)?, note }))
    }
}

fn lines(path: &[Hash]) -> String {
    path.iter().map(|hash| STANDARD.encode(hash.0) + "\n").collect()
}

fn path<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<Hash>, NotProven> {
    let hash = |line: &str| STANDARD.decode(line).ok()?.try_into().ok().map(Hash);
    let path = lines.take(PATH_MAX + 1).map(hash).collect::<Option<Vec<_>>>();
    let path = path.ok_or(NotProven::Malformed("a line of it is no hash"))?;
    if path.len() > PATH_MAX { Err(NotProven::Malformed("it has too many hashes")) } else { Ok(path) }
}

/// ASCII digits without leading zeroes.
fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

const HEADER: &str = "c2sp.org/tlog-proof@v1";
const EXTRA: &str = "extra ";
const INDEX: &str = "index ";
const OLD: &str = "old ";

/// A consistency proof of 2^63 entries has 64 hashes.
const PATH_MAX: usize = 64;

/// The longest entry, in base64, and a checkpoint with as many signatures as one may have.
const TEXT_MAX: usize = 4_000_000;

#[cfg(test)]
mod tests;
