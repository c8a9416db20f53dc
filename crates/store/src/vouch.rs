//! Whether the ledger in a database may be signed on: it must begin with what was signed before.
//!
//! Whoever can write to the database while no server runs can change an entry, and every hash with it, and take the
//! checkpoints away that disagree. Were the server to sign whatever it finds, it would sign that. So, before it signs
//! anything, the tree must extend
//!
//! 1. the newest checkpoint in the database, and
//! 2. the newest checkpoint of all, which is kept outside (see [`crate::outside`]).
//!
//! Both cost a number of reads that grows with log n: the entries themselves are `ledger verify`'s to look at.

use std::path::PathBuf;

use hallpass_model::ledger::merkle::{self, verify_consistency};
use hallpass_model::ledger::{BadCheckpoint, Checkpoint, Frontier, VerifierKey};
use rusqlite::Connection;

use crate::error::StoreError;
use crate::ledger;
use crate::proofs::read_proof;
use crate::sql::Sql;

/// Why a ledger is not signed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// A checkpoint that the ledger is compared with is none, or is not this ledger's.
    #[error("{by} is not to be relied on: {why}")]
    BadCheckpoint {
        /// Which.
        by: Signed,
        /// What is wrong with it.
        why: BadCheckpoint,
    },
    /// The ledger does not begin with what was signed.
    #[error(
        "{by} is over {size} entries, and those in the database are others: some were changed, added or removed"
    )]
    Differs {
        /// What was signed.
        by: Signed,
        /// Over how many entries.
        size: u64,
    },
    /// The ledger has fewer entries than were signed.
    #[error(
        "{by} is over {size} entries, and there are {found}: the end was cut off, or an older copy put in its place"
    )]
    Shorter {
        /// What was signed.
        by: Signed,
        /// Over how many entries.
        size: u64,
        /// How many the database has.
        found: u64,
    },
    /// The entries are more or fewer than the tree over them.
    #[error("its tree is over {tree} entries, and there are {rows}")]
    Uncounted {
        /// What the tree's edge says.
        tree: u64,
        /// How many entries there are, by the last one's number.
        rows: u64,
    },
}

/// A checkpoint that a ledger is compared with, by where it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signed {
    /// The newest in the database itself.
    Inside,
    /// The one in this file, outside the database.
    Outside(PathBuf),
}

impl std::fmt::Display for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Signed::Inside => f.write_str("the newest checkpoint in the database"),
            Signed::Outside(path) => write!(f, "the checkpoint kept in `{}`", path.display()),
        }
    }
}

/// What is wrong with the ledger by what stands in the database itself, if anything is.
pub(crate) fn doubt_inside(
    db: &Connection,
    tree: &Frontier,
    key: &VerifierKey,
) -> Result<Option<Doubt>, StoreError> {
    let last: Option<Option<i64>> = db.one("SELECT max(seq) FROM ledger", (), |row| row.get(0))?;
    let rows = last.flatten().map_or(0, |last| (last as u64).saturating_add(1));
    if rows != tree.size() {
        return Ok(Some(Doubt::Uncounted { tree: tree.size(), rows }));
    }
    let Some(note) = ledger::newest(db)? else { return Ok(None) };
    match Checkpoint::open(&note, key) {
        Ok(checkpoint) => doubt(db, tree, &checkpoint, Signed::Inside),
        Err(why) => Ok(Some(Doubt::BadCheckpoint { by: Signed::Inside, why })),
    }
}

/// What is wrong with the ledger by this checkpoint, whose signature was verified.
pub(crate) fn doubt(
    db: &Connection,
    tree: &Frontier,
    checkpoint: &Checkpoint,
    by: Signed,
) -> Result<Option<Doubt>, StoreError> {
    let (size, found) = (checkpoint.size, tree.size());
    if size > found {
        return Ok(Some(Doubt::Shorter { by, size, found }));
    }
    let path = read_proof(db, |node| merkle::consistency(size, found, node))?;
    // A node that is missing proves nothing; one that was changed proves the wrong thing.
    let agrees =
        path.is_ok_and(|path| verify_consistency(size, &checkpoint.root, found, &tree.root(), &path).is_ok());
    Ok((!agrees).then_some(Doubt::Differs { by, size }))
}
