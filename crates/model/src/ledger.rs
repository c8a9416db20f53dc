//! The ledger: the append-only, provable record of every decision and change.
//!
//! 1. An [`Entry`] says what happened to which ids, and nothing secret or personal; its canonical bytes are a leaf.
//! 2. What is personal stands in a [`Personal`] beside it, erasable; the leaf holds a salted [`Commitment`] to it.
//! 3. Leaves are the leaves of a Merkle tree (RFC 6962): see [`merkle`]. Entry `seq` is leaf `seq`, from 0.
//! 4. A [`Checkpoint`] says how large the tree was and what its root was, signed by the [`LedgerKey`].
//! 5. A [`Check`] reads a whole copy, offline, and says what was damaged, and what it cannot prove.
//! 6. A [`Proof`] shows somebody without a copy that one entry is in the ledger, or that it only grew: see [`proof`].

pub mod checkpoint; // signed notes about size and root
pub mod merkle; // the tree and its proofs
pub mod proof; // proofs to hand out

mod check;
mod detail;
mod entry;
mod event;
mod personal;
mod report;

pub use check::{Check, RESUME_LEVEL, Row};
pub use checkpoint::{BadCheckpoint, BadKey, Checkpoint, LedgerKey, VerifierKey};
pub use detail::{Detail, Key, Value};
pub use entry::{Actor, BadEntry, Entry};
pub use event::{Event, UnknownEvent};
pub use merkle::{Frontier, Hash, Node};
pub use personal::{BadPersonal, Commitment, Field, Personal};
pub use proof::{EntryProof, GrowthProof, NotProven, Proof};
pub use report::{Finding, Limit, Report};
