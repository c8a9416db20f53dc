//! The record, its tree and its checkpoints, as rows.
//!
//! 1. Entries are appended in the savepoint of the change they record; the tree's edge goes with the commit.
//! 2. Inner nodes are kept from 256 leaves up: lower ones are worked out from at most 256 kept leaf hashes.
//! 3. A checkpoint is signed at least every [`SIGN_EVERY`] entries, when asked for, and at the end. The newest is kept
//!    outside the database too, once it is durable in it.

use hallpass_model::id::{ClientId, DeviceId, OrgId, PrincipalId, SessionId};
use hallpass_model::ledger::{Actor, Checkpoint, Detail, Entry, Event, Frontier, Hash, Key, RESUME_LEVEL};
use hallpass_model::time::Timestamp;
use rusqlite::Connection;

use crate::change::{Change, Core, Tx};
use crate::entries::end_of_step;
use crate::error::StoreError;
use crate::meta;
use crate::open::Store;
use crate::sql::{Columns, Sql};

/// Entries between two signed checkpoints at most: what a thief of the database could rewrite unnoticed by a
/// checkpoint that was not witnessed yet.
const SIGN_EVERY: u64 = 1_000;
/// The lowest level whose nodes are kept.
pub(crate) const KEPT_LEVEL: u8 = RESUME_LEVEL;
/// Entries about somebody that one change looks at for personal fields to erase: some milliseconds of the writer's time.
const ERASED_AT_ONCE: u64 = 1_000;

/// Writes down what the running change recorded.
pub(crate) fn append(core: &mut Core) -> Result<(), StoreError> {
    let mut leaf = String::with_capacity(512);
    for (mut entry, personal) in core.entries.drain(..) {
        entry.seq = core.frontier.size();
        leaf.clear();
        entry.write(&mut leaf);
        let hash = Hash::of_leaf(leaf.as_bytes());
        core.db.run(
            "INSERT INTO ledger (seq, at, latest, event, org, principal, client, device, session, hash, leaf) \
             VALUES (?1, ?2, max(?2, coalesce((SELECT latest FROM ledger WHERE seq = ?1 - 1), ?2)), \
             ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
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
    core.note = Some(note.clone());
    Ok(note)
}

/// The newest checkpoint that is kept.
pub(crate) fn newest(db: &Connection) -> Result<Option<String>, StoreError> {
    db.one("SELECT note FROM checkpoints WHERE size = (SELECT max(size) FROM checkpoints)", (), |row| {
        row.text(0)
    })
}

/// Runs one change by itself, while no writer runs, and signs over it.
pub(crate) fn change_and_sign<C: Change>(
    core: &mut Core,
    change: C,
    actor: Actor,
    now: Timestamp,
) -> Result<String, StoreError> {
    core.db.run("BEGIN IMMEDIATE", ())?;
    core.apply(change, actor, now)?;
    let note = sign(core)?;
    meta::save(core)?;
    core.db.run("COMMIT", ())?;
    core.note = None;
    Ok(note)
}

/// Erases the personal fields of some of the entries about somebody: of so many that the others need not wait long.
/// The entries stand, and still verify.
struct ErasePersonal {
    org: OrgId,
    principal: PrincipalId,
    /// Where to go on.
    from: u64,
}

/// What came of it.
struct Erased {
    entries: u64,
    /// Where to go on, if there are more.
    next: Option<u64>,
}

impl Change for ErasePersonal {
    type Outcome = Erased;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let next = end_of_step(tx.db(), self.principal, self.from, ERASED_AT_ONCE)?;
        let end = next.map_or(i64::MAX, |next| next as i64);
        let erased = tx.db().run(
            "DELETE FROM ledger_personal WHERE seq IN \
             (SELECT seq FROM ledger WHERE principal = ?1 AND org = ?2 AND seq >= ?3 AND seq < ?4)",
            (self.principal.bytes(), self.org.bytes(), self.from as i64, end),
        )?;
        if next.is_none() {
            crate::providers::forget(tx, self.principal)?;
        }
        if erased > 0 {
            let detail = Detail::new().with(Key::COUNT, erased as i64);
            let entry = tx.entry(Event::Erased);
            tx.record(Entry { org: Some(self.org), principal: Some(self.principal), detail, ..entry });
        }
        Ok(Erased { entries: erased as u64, next })
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
    /// How many entries there are.
    pub async fn ledger_size(&self) -> Result<u64, StoreError> {
        Ok(self.frontier()?.size())
    }

    /// Erases the personal fields of every entry about somebody, and says of how many. The entries stand, and still
    /// verify. What the directory says of them is not the ledger's, and neither are copies made before.
    pub async fn erase_personal(
        &self,
        actor: Actor,
        now: Timestamp,
        org: OrgId,
        principal: PrincipalId,
    ) -> Result<u64, StoreError> {
        let (mut entries, mut from) = (0, 0);
        loop {
            let erased = self.change(actor, now, ErasePersonal { org, principal, from }).await?;
            entries += erased.entries;
            match erased.next {
                Some(next) => from = next,
                None => return Ok(entries),
            }
        }
    }

    /// A signed note over everything recorded so far.
    pub async fn ledger_checkpoint(&self, now: Timestamp) -> Result<String, StoreError> {
        self.change(Actor::System, now, SignCheckpoint).await
    }

    pub(crate) fn frontier(&self) -> Result<Frontier, StoreError> {
        self.read(frontier)
    }
}

/// The tree's edge, as it is kept.
pub(crate) fn frontier(db: &Connection) -> Result<Frontier, StoreError> {
    let bytes: Option<Vec<u8>> = db.one("SELECT frontier FROM meta WHERE id = 0", (), |row| row.get(0))?;
    bytes
        .and_then(|bytes| Frontier::from_bytes(&bytes))
        .ok_or_else(|| StoreError::Damaged("the ledger's edge is unreadable".into()))
}
