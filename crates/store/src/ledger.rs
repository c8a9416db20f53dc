//! The record, its tree and its checkpoints, as rows.
//!
//! 1. Entries are appended in the savepoint of the change they record; the tree's edge goes with the commit.
//! 2. Inner nodes are kept from 256 leaves up: lower ones are worked out from at most 256 kept leaf hashes.
//! 3. A checkpoint is signed at least every [`SIGN_EVERY`] entries, when asked for, and at the end.

use hallpass_model::id::{ClientId, DeviceId, OrgId, PrincipalId, SessionId};
use hallpass_model::ledger::merkle::{self, NoProof};
use hallpass_model::ledger::{Checkpoint, Detail, Entry, Event, Frontier, Hash, Key, Personal};
use hallpass_model::time::Timestamp;
use rusqlite::{Connection, Row, named_params};

use crate::change::{Change, Core, Tx};
use crate::error::StoreError;
use crate::open::Store;
use crate::page::{PAGE_MAX, Page};
use crate::sql::{Columns, Sql};

/// Entries between two signed checkpoints at most: what a thief of the database could rewrite unnoticed by a
/// checkpoint that was not witnessed yet.
const SIGN_EVERY: u64 = 1_000;
/// The lowest level whose nodes are kept.
const KEPT_LEVEL: u8 = 8;
/// Before anything was signed in this run: the next commit finds out.
pub(crate) const NOTHING_SIGNED: Option<u64> = None;

/// Writes down what the running change recorded.
pub(crate) fn append(core: &mut Core) -> Result<(), StoreError> {
    let mut leaf = String::with_capacity(512);
    for (mut entry, personal) in core.entries.drain(..) {
        entry.seq = core.frontier.size();
        leaf.clear();
        entry.write(&mut leaf);
        let hash = Hash::of_leaf(leaf.as_bytes());
        core.db.run(
            "INSERT INTO ledger (seq, at, event, org, principal, client, device, session, hash, leaf) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            (
                entry.seq as i64,
                entry.at.millis(),
                entry.event.text(),
                entry.org.as_ref().map(OrgId::bytes),
                entry.principal.as_ref().map(PrincipalId::bytes),
                entry.client.as_ref().map(ClientId::bytes),
                entry.device.as_ref().map(DeviceId::bytes),
                entry.session.as_ref().map(SessionId::bytes),
                &hash.0,
                &leaf,
            ),
        )?;
        if let Some(personal) = personal {
            core.db.run(
                "INSERT INTO ledger_personal (seq, fields) VALUES (?1, ?2)",
                (entry.seq as i64, personal.to_bytes()),
            )?;
        }
        let mut kept = Vec::new();
        core.frontier.append(hash, |node| {
            if node.level >= KEPT_LEVEL {
                kept.push(node);
            }
        });
        for node in kept {
            core.db.run(
                "INSERT INTO ledger_nodes (level, position, hash) VALUES (?1, ?2, ?3)",
                (node.level, node.index as i64, &node.hash.0),
            )?;
        }
    }
    Ok(())
}

/// Signs a checkpoint if the last one is too far behind.
pub(crate) fn sign_when_due(core: &mut Core) -> Result<(), StoreError> {
    let last = match core.signed {
        Some(size) => size,
        None => core
            .db
            .one("SELECT coalesce(max(size), 0) FROM checkpoints", (), |row| row.get::<_, i64>(0))?
            .unwrap_or(0) as u64,
    };
    core.signed = Some(last);
    if core.frontier.size() >= last + SIGN_EVERY {
        sign(core)?;
    }
    Ok(())
}

/// Signs a checkpoint over everything recorded so far, and keeps it.
pub(crate) fn sign(core: &mut Core) -> Result<String, StoreError> {
    let size = core.frontier.size() as i64;
    let kept = core.db.one("SELECT note FROM checkpoints WHERE size = ?1", [size], |row| row.text(0))?;
    if let Some(note) = kept {
        return Ok(note);
    }
    let key = &core.keys.ledger;
    let note = Checkpoint::of(key, &core.frontier).sign(key);
    core.db.run("INSERT INTO checkpoints (size, note) VALUES (?1, ?2)", (size, &note))?;
    core.signed = Some(core.frontier.size());
    Ok(note)
}

/// Which entries are wanted: those that fit everything that is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// In this org.
    pub org: Option<OrgId>,
    /// Not before this moment.
    pub since: Option<Timestamp>,
    /// About this principal.
    pub principal: Option<PrincipalId>,
    /// Through or about this client.
    pub client: Option<ClientId>,
    /// On this device.
    pub device: Option<DeviceId>,
    /// In this session.
    pub session: Option<SessionId>,
    /// Of this kind.
    pub event: Option<Event>,
}

/// One entry as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Its place: its leaf's index, from 0.
    pub seq: u64,
    /// Its leaf, byte for byte.
    pub leaf: String,
    /// Its leaf's hash.
    pub hash: Hash,
    /// What is personal about it, if it was not erased.
    pub personal: Option<Personal>,
}

impl LedgerEntry {
    /// What the leaf says.
    pub fn entry(&self) -> Result<Entry, StoreError> {
        Entry::parse(self.leaf.as_bytes())
            .map_err(|why| StoreError::Damaged(format!("ledger entry {}: {why}", self.seq)))
    }
}

/// Erases the personal fields of every entry about somebody. The entries stand, and still verify.
#[derive(Debug, Clone, Copy)]
pub struct ErasePersonal {
    /// In which org.
    pub org: OrgId,
    /// About whom.
    pub principal: PrincipalId,
}

impl Change for ErasePersonal {
    /// How many entries lost their personal fields.
    type Outcome = usize;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let erased = tx.db().run(
            "DELETE FROM ledger_personal WHERE seq IN \
             (SELECT seq FROM ledger WHERE principal = ?1 AND org = ?2)",
            (self.principal.bytes(), self.org.bytes()),
        )?;
        if erased > 0 {
            let detail = Detail::new().with(Key::COUNT, erased as i64);
            let entry = tx.entry(Event::Erased);
            tx.record(Entry { org: Some(self.org), principal: Some(self.principal), detail, ..entry });
        }
        Ok(erased)
    }
}

/// Signs a checkpoint now.
struct SignCheckpoint;

impl Change for SignCheckpoint {
    type Outcome = String;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        sign(tx.core)
    }
}

impl Store {
    /// Entries that fit `filter`, oldest first, from `from` on (the place of the last one seen, plus one).
    pub async fn list_ledger(
        &self,
        filter: &Filter,
        from: u64,
        limit: u32,
    ) -> Result<Page<LedgerEntry>, StoreError> {
        let rows = self.read(|db| page(db, filter, from, Page::<LedgerEntry>::rows(limit)))?;
        Ok(Page::of(rows, limit))
    }

    /// How many entries there are.
    pub async fn ledger_size(&self) -> Result<u64, StoreError> {
        Ok(self.frontier()?.size())
    }

    /// The proof that entry `seq` is in the tree of `size` entries (RFC 6962, section 2.1.1). `None` if it is not.
    pub async fn ledger_inclusion(&self, seq: u64, size: u64) -> Result<Option<Vec<Hash>>, StoreError> {
        self.prove(size, |node| merkle::inclusion(seq, size, node))
    }

    /// The proof that the tree of `first` entries began the tree of `second` (RFC 6962, section 2.1.2). `None` if it
    /// did not.
    pub async fn ledger_consistency(&self, first: u64, second: u64) -> Result<Option<Vec<Hash>>, StoreError> {
        self.prove(second, |node| merkle::consistency(first, second, node))
    }

    /// A signed note over everything recorded so far.
    pub async fn ledger_checkpoint(&self, now: Timestamp) -> Result<String, StoreError> {
        self.change(hallpass_model::ledger::Actor::System, now, SignCheckpoint).await
    }

    /// The kept checkpoints, smallest first, after the one of this size.
    pub async fn list_checkpoints(&self, after: u64, limit: u32) -> Result<Page<String>, StoreError> {
        let rows = self.read(|db| {
            db.all(
                "SELECT note FROM checkpoints WHERE size > ?1 ORDER BY size LIMIT ?2",
                (after as i64, Page::<String>::rows(limit)),
                |row| row.text(0),
            )
        })?;
        Ok(Page::of(rows, limit))
    }

    fn frontier(&self) -> Result<Frontier, StoreError> {
        let bytes: Option<Vec<u8>> =
            self.read(|db| db.one("SELECT frontier FROM meta WHERE id = 0", (), |row| row.get(0)))?;
        bytes
            .and_then(|bytes| Frontier::from_bytes(&bytes))
            .ok_or_else(|| StoreError::Damaged("the ledger's edge is unreadable".into()))
    }

    fn prove(
        &self,
        size: u64,
        proof: impl FnOnce(&mut dyn FnMut(u8, u64) -> Option<Hash>) -> Result<Vec<Hash>, NoProof>,
    ) -> Result<Option<Vec<Hash>>, StoreError> {
        if size > self.frontier()?.size() {
            return Ok(None);
        }
        self.read(|db| {
            let mut failed = None;
            let proven = proof(&mut |level, index| match node(db, level, index) {
                Ok(hash) => hash,
                Err(error) => {
                    failed = Some(error);
                    None
                }
            });
            match (failed, proven) {
                (Some(error), _) => Err(error),
                (None, Ok(path)) => Ok(Some(path)),
                (None, Err(NoProof::OutOfRange)) => Ok(None),
                (None, Err(missing)) => Err(StoreError::Damaged(missing.to_string())),
            }
        })
    }
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

fn page(db: &Connection, filter: &Filter, from: u64, rows: u32) -> Result<Vec<LedgerEntry>, StoreError> {
    let from = match filter.since {
        Some(since) => from.max(first_since(db, since)?),
        None => from,
    };
    // A session and a device belong to one principal, whose entries are indexed.
    let principal = match (filter.principal, filter.session, filter.device) {
        (Some(principal), _, _) => Some(principal),
        (None, Some(session), _) => {
            db.one("SELECT principal FROM sessions WHERE id = ?1", [session.bytes()], |row| row.id(0))?
        }
        (None, None, Some(device)) => {
            db.one("SELECT principal FROM devices WHERE id = ?1", [device.bytes()], |row| row.id(0))?
        }
        (None, None, None) => None,
    };
    let columns = named_params! {
        ":from": from as i64,
        ":since": filter.since.map_or(i64::MIN, Timestamp::millis),
        ":principal": principal.as_ref().map(PrincipalId::bytes),
        ":org": filter.org.as_ref().map(OrgId::bytes),
        ":client": filter.client.as_ref().map(ClientId::bytes),
        ":device": filter.device.as_ref().map(DeviceId::bytes),
        ":session": filter.session.as_ref().map(SessionId::bytes),
        ":event": filter.event.map(Event::text),
        ":rows": rows.min(PAGE_MAX + 1),
    };
    match principal {
        Some(_) => db.all(
            "SELECT l.seq, l.leaf, l.hash, p.fields FROM ledger l LEFT JOIN ledger_personal p ON p.seq = l.seq \
             WHERE l.principal = :principal AND l.seq >= :from AND l.at >= :since \
             AND (:org IS NULL OR l.org = :org) AND (:client IS NULL OR l.client = :client) \
             AND (:device IS NULL OR l.device = :device) AND (:session IS NULL OR l.session = :session) \
             AND (:event IS NULL OR l.event = :event) ORDER BY l.seq LIMIT :rows",
            columns,
            read_entry,
        ),
        None => db.all(
            "SELECT l.seq, l.leaf, l.hash, p.fields FROM ledger l LEFT JOIN ledger_personal p ON p.seq = l.seq \
             WHERE l.seq >= :from AND l.at >= :since AND :principal IS NULL \
             AND (:org IS NULL OR l.org = :org) AND (:client IS NULL OR l.client = :client) \
             AND (:device IS NULL OR l.device = :device) AND (:session IS NULL OR l.session = :session) \
             AND (:event IS NULL OR l.event = :event) ORDER BY l.seq LIMIT :rows",
            columns,
            read_entry,
        ),
    }
}

/// About where entries of this moment begin, by halving: times rise with places but for clocks that jumped back, so
/// the search stops a little early.
fn first_since(db: &Connection, since: Timestamp) -> Result<u64, StoreError> {
    let size: i64 =
        db.one("SELECT coalesce(max(seq), -1) + 1 FROM ledger", (), |row| row.get(0))?.unwrap_or(0);
    let (mut low, mut high) = (0, size);
    while low < high {
        let middle = low + (high - low) / 2;
        let at: Option<i64> = db.one("SELECT at FROM ledger WHERE seq = ?1", [middle], |row| row.get(0))?;
        if at.is_some_and(|at| at < since.millis()) { low = middle + 1 } else { high = middle }
    }
    Ok(low as u64)
}

fn read_entry(row: &Row<'_>) -> rusqlite::Result<LedgerEntry> {
    let fields: Option<Vec<u8>> = row.get(3)?;
    Ok(LedgerEntry {
        seq: row.get::<_, i64>(0)? as u64,
        leaf: row.text(1)?,
        hash: Hash(row.get(2)?),
        // Fields that cannot be read are for `ledger verify` to find; a list goes on without them.
        personal: fields.and_then(|fields| Personal::from_bytes(&fields).ok()),
    })
}
