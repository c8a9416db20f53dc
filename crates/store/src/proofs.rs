//! Proofs out of the ledger's tree, from the nodes that are kept.

use hallpass_model::ledger::merkle::{self, NoProof};
use hallpass_model::ledger::{Frontier, Hash};
use rusqlite::Connection;

use crate::error::StoreError;
use crate::ledger::KEPT_LEVEL;
use crate::open::Store;
use crate::sql::Sql;

impl Store {
    /// The proof that entry `seq` is in the tree of `size` entries (RFC 6962, section 2.1.1). `None` if it is not.
    pub async fn ledger_inclusion(&self, seq: u64, size: u64) -> Result<Option<Vec<Hash>>, StoreError> {
        self.prove(size, |node| merkle::inclusion(seq, size, node))
    }

    /// The proof that the tree of `first` entries began the tree of `second` (RFC 6962, section 2.1.2). `None` if it
    /// did not.
    pub async fn ledger_consistency(&self, first: u64, second: u64) -> Result<Option<Vec<Hash>>, StoreError> {
        self.prove(second, |node| merkle::consistency(first, second, node))
    }

    fn prove(
        &self,
        size: u64,
        proof: impl FnOnce(&mut dyn FnMut(u8, u64) -> Option<Hash>) -> Result<Vec<Hash>, NoProof>,
    ) -> Result<Option<Vec<Hash>>, StoreError> {
        if size > self.frontier()?.size() {
            return Ok(None);
        }
        self.read(|db| match read_proof(db, proof)? {
            Ok(path) => Ok(Some(path)),
            Err(NoProof::OutOfRange) => Ok(None),
            Err(missing) => Err(StoreError::Damaged(missing.to_string())),
        })
    }
}

/// Builds a proof from the nodes that stand in a database.
pub(crate) fn read_proof(
    db: &Connection,
    proof: impl FnOnce(&mut dyn FnMut(u8, u64) -> Option<Hash>) -> Result<Vec<Hash>, NoProof>,
) -> Result<Result<Vec<Hash>, NoProof>, StoreError> {
    let mut failed = None;
    let proven = proof(&mut |level, index| match node(db, level, index) {
        Ok(hash) => hash,
        Err(error) => {
            failed = Some(error);
            None
        }
    });
    failed.map_or(Ok(proven), Err)
}

/// A complete node: kept, or worked out from the leaves below it.
fn node(db: &Connection, level: u8, index: u64) -> Result<Option<Hash>, StoreError> {
    if level >= KEPT_LEVEL {
        return db.one(
            "SELECT hash FROM ledger_nodes WHERE level = ?1 AND position = ?2",
            (level, index as i64),
            |row| row.get(0).map(Hash),
        );
    }
    let (first, count) = (index << level, 1u64 << level);
    let leaves = db.all(
        "SELECT hash FROM ledger WHERE seq >= ?1 AND seq < ?2 ORDER BY seq",
        (first as i64, (first + count) as i64),
        |row| row.get(0).map(Hash),
    )?;
    if leaves.len() as u64 != count {
        return Ok(None);
    }
    let mut tree = Frontier::new();
    leaves.into_iter().for_each(|leaf| tree.append(leaf, |_| ()));
    Ok(Some(tree.root()))
}
