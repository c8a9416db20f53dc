//! A small ledger, and a copy of it that can be spoilt.

use std::collections::BTreeMap;

use super::super::*;
use crate::ledger::{Actor, Detail, Event, Field, Key, LedgerKey};
use crate::random::Seeded;
use crate::time::Timestamp;

/// A copy: rows, the hashes kept of them, and checkpoints; all of it open to be spoilt.
#[derive(Clone)]
pub(super) struct Copy {
    pub(super) rows: Vec<(u64, Vec<u8>, Option<Vec<u8>>)>,
    pub(super) hashes: BTreeMap<u64, Hash>,
    /// Nodes above the leaves.
    pub(super) nodes: BTreeMap<(u8, u64), Hash>,
    pub(super) edge: Frontier,
    pub(super) checkpoints: Vec<String>,
}

/// What else the check is given.
#[derive(Default)]
pub(super) struct Given<'a> {
    pub(super) since: Option<&'a str>,
    pub(super) without_key: bool,
    /// Neither hashes nor nodes nor edge.
    pub(super) entries_alone: bool,
}

pub(super) const EVERY: u64 = 5;

pub(super) fn key() -> LedgerKey {
    LedgerKey::generate("example.com/ledger", &Seeded::new(1)).unwrap()
}

pub(super) fn entry(seq: u64, word: &'static str) -> (Entry, Option<Personal>) {
    let at = Timestamp::from_millis(1_790_000_000_000 + seq as i64);
    let detail = Detail::new().with(Key::REASON, word);
    let personal = (seq % 3 == 1).then(|| Personal::new(&Seeded::new(seq)).with(Field::Purpose, "to see"));
    let commitment = personal.as_ref().map(Personal::commitment);
    (Entry { seq, detail, personal: commitment, ..Entry::new(Event::Issued, at, Actor::System) }, personal)
}

pub(super) fn signed(frontier: &Frontier) -> String {
    Checkpoint::of(&key(), frontier).sign(&key())
}

/// A sound ledger of `n` entries with a checkpoint at every fifth.
pub(super) fn ledger(n: u64) -> Copy {
    written((0..n).map(|seq| entry(seq, "as it was")))
}

pub(super) fn written(entries: impl Iterator<Item = (Entry, Option<Personal>)>) -> Copy {
    let mut copy = Copy {
        rows: Vec::new(),
        hashes: BTreeMap::new(),
        nodes: BTreeMap::new(),
        edge: Frontier::new(),
        checkpoints: Vec::new(),
    };
    for (entry, personal) in entries {
        let hash = entry.leaf_hash();
        copy.hashes.insert(entry.seq, hash);
        copy.edge.append(hash, |node| copy.nodes.extend([((node.level, node.index), node.hash)]));
        copy.rows.push((
            entry.seq,
            entry.to_text().into_bytes(),
            personal.map(|personal| personal.to_bytes()),
        ));
        if copy.edge.size().is_multiple_of(EVERY) {
            copy.checkpoints.push(signed(&copy.edge));
        }
    }
    copy
}

impl Copy {
    pub(super) fn check(&self, given: Given<'_>) -> Report {
        let mut check = Check::new((!given.without_key).then(|| key().verifier()));
        if let Some(since) = given.since {
            check = check.since(since).unwrap();
        }
        check = check.stored(self.checkpoints.iter().cloned());
        if !given.entries_alone {
            check = check.edge(self.edge.clone()).nodes(|level, index| match level {
                0 => self.hashes.get(&index).copied(),
                _ => self.nodes.get(&(level, index)).copied(),
            });
        }
        for (seq, leaf, personal) in &self.rows {
            check.row(Row { seq: *seq, leaf, personal: personal.as_deref() });
        }
        check.finish()
    }

    /// What is found with the kept hashes, and without.
    pub(super) fn findings(&self) -> (Vec<Finding>, Vec<Finding>) {
        let without = Given { entries_alone: true, ..Given::default() };
        (self.check(Given::default()).findings, self.check(without).findings)
    }

    /// The rows are numbered anew, as one would who removed or added some.
    pub(super) fn renumber(&mut self) {
        (0..).zip(&mut self.rows).for_each(|(seq, row)| row.0 = seq);
    }

    /// The checkpoint of this size, to be kept elsewhere.
    pub(super) fn checkpoint(&self, size: u64) -> String {
        self.checkpoints[(size / EVERY) as usize - 1].clone()
    }

    /// Whoever can write the copy can make its hashes fit; only signatures are out of reach.
    pub(super) fn rehash(&mut self) {
        (self.edge, self.hashes, self.nodes) = Default::default();
        for (seq, row) in (0..).zip(&self.rows) {
            let hash = Hash::of_leaf(&row.1);
            self.hashes.insert(seq, hash);
            self.edge.append(hash, |node| self.nodes.extend([((node.level, node.index), node.hash)]));
        }
    }
}

pub(super) fn changed_leaf(seq: u64) -> Vec<u8> {
    entry(seq, "as it never was").0.to_text().into_bytes()
}
