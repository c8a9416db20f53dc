//! What a check of a ledger found, and what it could not prove.

use std::fmt;

use super::checkpoint::BadCheckpoint;
use super::merkle::Hash;

/// The outcome of a whole check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How many entries were read.
    pub entries: u64,
    /// The root over them; none where something is wrong.
    pub root: Option<Hash>,
    /// The size of the largest checkpoint that the tree agreed with, before any disagreed or none could be computed.
    /// Up to there what was recorded is known; findings say which entries differ from it.
    pub proven: Option<u64>,
    /// What is wrong, in the order of entries. At most [`Report::NAMED_MAX`].
    pub findings: Vec<Finding>,
    /// How many findings there were beyond those.
    pub unnamed: u64,
    /// What the check cannot prove.
    pub limits: Vec<Limit>,
}

impl Report {
    /// Whether nothing is wrong. The limits stand all the same.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty() && self.unnamed == 0
    }

    /// A person reads no more than this; a copy that is wrong throughout must not fill the memory.
    pub const NAMED_MAX: usize = 1_000;
}

/// Something that is wrong with a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The entry's bytes are not those that were recorded.
    Changed {
        /// Which.
        seq: u64,
    },
    /// The entry is right, but the hash that the store kept of it is not.
    HashChanged {
        /// Which.
        seq: u64,
    },
    /// The bytes are no entry, and nothing shows that they ever were.
    Unreadable {
        /// Which.
        seq: u64,
        /// Why they are none.
        why: super::BadEntry,
    },
    /// Entries are missing from the middle.
    Removed {
        /// The first that is missing.
        first: u64,
        /// The last that is missing.
        last: u64,
    },
    /// Entries are missing from the end.
    Dropped {
        /// The first that is missing.
        first: u64,
        /// The last that is known to be missing.
        last: u64,
    },
    /// Rows hold entries that belong `by` places further on (below zero: further back).
    Moved {
        /// The first such row.
        first: u64,
        /// The last such row.
        last: u64,
        /// How far from its place each of them is.
        by: i64,
    },
    /// An entry stands after later ones.
    Late {
        /// Which.
        seq: u64,
    },
    /// A second row holds an entry that was there already.
    Repeated {
        /// Which.
        seq: u64,
    },
    /// At least one entry among these was changed, added, removed or put elsewhere, and the copy's own hashes with it:
    /// a signed checkpoint disagrees, the one before agreed.
    Rewritten {
        /// The first it may be.
        first: u64,
        /// The last it may be.
        last: u64,
    },
    /// Among the entries from here on one was changed, added or removed, or the tree's edge that the store kept was.
    EdgeDiffers {
        /// The first that it may be.
        first: u64,
    },
    /// Two checkpoints tell two histories. If their signatures were verified, somebody who holds the ledger's key
    /// wrote the past anew.
    TwoHistories {
        /// The size of the checkpoint that does not agree.
        other: u64,
        /// The size of the checkpoint that does.
        this: u64,
    },
    /// A node of the tree that the store kept is missing or not what the entries below it make: it would hand out proofs
    /// that prove nothing.
    NodeChanged {
        /// The first entry below it.
        first: u64,
        /// The last entry below it.
        last: u64,
    },
    /// The personal fields beside the entry are not those it was recorded with.
    PersonalChanged {
        /// Which.
        seq: u64,
    },
    /// Personal fields stand beside an entry that was recorded without any.
    PersonalAdded {
        /// Which.
        seq: u64,
    },
    /// A checkpoint stored in the copy is not one of this ledger, or not as it was signed.
    BadCheckpoint {
        /// Which of the stored ones, from 0.
        index: u64,
        /// What is wrong with it.
        why: BadCheckpoint,
    },
}

impl Finding {
    /// Where it begins, for sorting.
    pub(super) fn place(&self) -> u64 {
        match *self {
            Finding::Changed { seq }
            | Finding::HashChanged { seq }
            | Finding::Unreadable { seq, .. }
            | Finding::Late { seq }
            | Finding::Repeated { seq }
            | Finding::PersonalChanged { seq }
            | Finding::PersonalAdded { seq } => seq,
            Finding::Removed { first, .. }
            | Finding::Dropped { first, .. }
            | Finding::Moved { first, .. }
            | Finding::NodeChanged { first, .. }
            | Finding::Rewritten { first, .. }
            | Finding::EdgeDiffers { first } => first,
            Finding::TwoHistories { .. } | Finding::BadCheckpoint { .. } => u64::MAX,
        }
    }
}

/// One line a person can act on, without a full stop.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Changed { seq } => write!(f, "entry {seq} was changed"),
            Finding::HashChanged { seq } => {
                write!(f, "the stored hash of entry {seq} was changed; the entry was not")
            }
            Finding::Unreadable { seq, why } => write!(f, "entry {seq} cannot be read: {why}"),
            Finding::Removed { first, last } => write!(f, "{} removed", Entries(*first, *last)),
            Finding::Dropped { first, last } => write!(f, "{} dropped from the end", Entries(*first, *last)),
            Finding::Moved { first, last, by } => {
                let (says_first, says_last) = (first.wrapping_add_signed(*by), last.wrapping_add_signed(*by));
                match first == last {
                    true => write!(f, "entry {says_first} stands in the place of entry {first}"),
                    false => write!(
                        f,
                        "entries {says_first} to {says_last} stand in the places of {first} to {last}"
                    ),
                }
            }
            Finding::Late { seq } => write!(f, "entry {seq} stands after later ones"),
            Finding::Repeated { seq } => write!(f, "entry {seq} stands more than once"),
            Finding::Rewritten { first, last } => write!(
                f,
                "of entries {first} to {last} one or more were changed, added or removed: a signed checkpoint over {} \
                 entries disagrees",
                last.saturating_add(1)
            ),
            Finding::EdgeDiffers { first } => write!(
                f,
                "from entry {first} on one or more were changed, added or removed, or the stored edge of the tree was: \
                 the two do not fit"
            ),
            Finding::TwoHistories { other, this } => write!(
                f,
                "two checkpoints tell two histories: the one of size {this} agrees with this copy, the one of size \
                 {other} does not; whoever signed both wrote the past anew"
            ),
            Finding::NodeChanged { first, last } => write!(
                f,
                "the stored node of the tree over entries {first} to {last} is missing or was changed; the entries were not"
            ),
            Finding::PersonalChanged { seq } => write!(f, "the personal fields of entry {seq} were changed"),
            Finding::PersonalAdded { seq } => {
                write!(f, "entry {seq} was recorded without the personal fields that stand beside it")
            }
            Finding::BadCheckpoint { index, why } => {
                write!(f, "stored checkpoint {index} is not to be relied on: {why}")
            }
        }
    }
}

/// Something a check cannot prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    /// No verifier key was given: no signature was looked at.
    NoKey,
    /// No checkpoint from outside the copy was given.
    NoOutside,
    /// Entries from here on were recorded after the outside checkpoint.
    AfterOutside {
        /// The first of them.
        first: u64,
    },
    /// Entries from here on are under no checkpoint at all.
    AfterNewest {
        /// The first of them.
        first: u64,
    },
    /// Entries, or some among these, that no checkpoint could be compared with, for the damage before or among them.
    Uncompared {
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// Personal fields that are not there to be compared: erased, one hopes.
    Erased {
        /// How many entries had some.
        entries: u64,
    },
    /// A newer version wrote entries that this one can hash but not read.
    Newer {
        /// The first of them.
        first: u64,
    },
    /// True of every ledger: it proves what was recorded, not that all was.
    OnlyRecorded,
}

/// One sentence a person can act on, without a full stop.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::NoKey => f.write_str(
                "no verifier key was given, so no checkpoint's signature was verified: whoever can write the copy could \
                 have made its checkpoints too",
            ),
            Limit::NoOutside => f.write_str(
                "without a checkpoint kept elsewhere, a ledger cut back to an earlier end, rewritten by someone who holds \
                 its key, or changed where nothing was signed yet before the server signed it, cannot be told from the \
                 true one",
            ),
            Limit::AfterOutside { first } => write!(
                f,
                "entries from {first} on came after the checkpoint you gave: they are only as trustworthy as the \
                 ledger's key, and some at the end may be missing"
            ),
            Limit::AfterNewest { first } => write!(
                f,
                "entries from {first} on are under no checkpoint yet: they are only as trustworthy as this copy, \
                 and some at the end may be missing"
            ),
            Limit::Uncompared { first, last } => write!(
                f,
                "for the damage found, entries between {first} and {last} could not be compared with any checkpoint: \
                 there may be more of it"
            ),
            Limit::Erased { entries: 1 } => {
                f.write_str("the personal fields of 1 entry are gone (erased): the rest of it holds, what they said cannot be proved")
            }
            Limit::Erased { entries } => write!(
                f,
                "the personal fields of {entries} entries are gone (erased): the rest of them holds, what they said \
                 cannot be proved"
            ),
            Limit::Newer { first } => write!(
                f,
                "entry {first}, and perhaps others, was written by a newer version: it was hashed, not read"
            ),
            Limit::OnlyRecorded => f.write_str("a ledger proves what was recorded and in which order, not that it is true or complete"),
        }
    }
}

/// `entry 7 was` or `entries 7 to 9 were`.
struct Entries(u64, u64);

impl fmt::Display for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 == self.1 {
            true => write!(f, "entry {} was", self.0),
            false => write!(f, "entries {} to {} were", self.0, self.1),
        }
    }
}
