//! Finding entries of the ledger.
//!
//! Only a principal's entries are indexed: an index more is paid for by every change, and lists are the operator's. So a
//! list looks at a bounded number of rows at a time, away from the async runtime, and lets its connection go in between.

use std::ops::Range;

use hallpass_model::id::{ClientId, DeviceId, OrgId, PrincipalId, SessionId};
use hallpass_model::ledger::{Entry, Event, Hash, Personal};
use hallpass_model::time::Timestamp;
use rusqlite::{Connection, Row, named_params};

use crate::error::StoreError;
use crate::open::Store;
use crate::page::{PAGE_MAX, Page};
use crate::sql::{Columns, Sql};

/// Rows looked at in one step: some milliseconds.
const STEP: u64 = 10_000;
/// Steps back for one page, at most: what one page may cost, however long the ledger is.
const STEPS_BACK: u32 = 2;

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

/// Some of the newest entries, or of those before one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookedBack {
    /// The entries, the newest first.
    pub items: Vec<LedgerEntry>,
    /// Before which place the rest of them is; there may be a rest though none is here. Nothing, where there is none.
    pub next: Option<u64>,
}

impl Store {
    /// Entries that fit `filter`, the newest first, before the place given.
    ///
    /// Looks at a bounded number of rows, most of which may be of others: whoever wants more asks again while there is a
    /// [`LookedBack::next`], whatever came.
    pub async fn list_ledger_back(
        &self,
        filter: &Filter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<LookedBack, StoreError> {
        let limit = limit.clamp(1, PAGE_MAX);
        let before = before.map_or(i64::MAX as u64, |before| before.min(i64::MAX as u64));
        let mut search = Search { filter: filter.clone(), principal: None, from: 0, begun: false };
        let (mut items, mut next, mut steps) = (Vec::new(), Some(before), 0);
        while let Some(end) = next
            && steps < STEPS_BACK
            && items.len() < limit as usize
        {
            let store = self.clone();
            let room = limit - items.len() as u32;
            let step = tokio::task::spawn_blocking(move || {
                store.read(|db| search.step_back(db, end, room)).map(|(rows, next)| (search, rows, next))
            });
            let (walked, rows, rest) = step.await.unwrap_or(Err(StoreError::Broken))?;
            items.extend(rows);
            (search, next, steps) = (walked, rest, steps + 1);
        }
        Ok(LookedBack { items, next })
    }

    /// Entries that fit `filter`, oldest first, from `from` on (the place of the last one seen, plus one).
    pub async fn list_ledger(
        &self,
        filter: &Filter,
        from: u64,
        limit: u32,
    ) -> Result<Page<LedgerEntry>, StoreError> {
        let wanted = Page::<LedgerEntry>::rows(limit).min(PAGE_MAX + 1);
        let from = from.min(i64::MAX as u64 - STEP);
        let mut search = Search { filter: filter.clone(), principal: None, from, begun: false };
        let mut found = Vec::new();
        loop {
            let store = self.clone();
            let room = wanted - found.len() as u32;
            // Where nobody waits for the answer any more, this step is the last.
            let step = tokio::task::spawn_blocking(move || {
                store.read(|db| search.step(db, room)).map(|(rows, over)| (search, rows, over))
            });
            let (walked, rows, over) = step.await.unwrap_or(Err(StoreError::Broken))?;
            found.extend(rows);
            if over || found.len() as u32 >= wanted {
                return Ok(Page::of(found, limit));
            }
            search = walked;
        }
    }

    /// The entry in this place, if there is one.
    pub async fn find_ledger_entry(&self, seq: u64) -> Result<Option<LedgerEntry>, StoreError> {
        self.read(|db| {
            db.one(
                "SELECT l.seq, l.leaf, l.hash, p.fields FROM ledger l LEFT JOIN ledger_personal p ON p.seq = l.seq \
                 WHERE l.seq = ?1",
                [i64::try_from(seq).unwrap_or(i64::MAX)],
                read_entry,
            )
        })
    }
}

/// In which order entries are given.
#[derive(Debug, Clone, Copy)]
enum Order {
    OldestFirst,
    NewestFirst,
}

/// A search under way.
struct Search {
    filter: Filter,
    /// Whose entries alone are looked at, where that is known.
    principal: Option<PrincipalId>,
    from: u64,
    begun: bool,
}

impl Search {
    /// Looks at the next rows, and gives those that fit, at most so many; and whether there are no more to look at.
    fn step(&mut self, db: &Connection, room: u32) -> Result<(Vec<LedgerEntry>, bool), StoreError> {
        if !self.begun {
            self.begin(db)?;
        }
        let end = match self.principal {
            Some(principal) => end_of_step(db, principal, self.from, STEP)?,
            None => db
                .one("SELECT 1 FROM ledger WHERE seq >= ?1 LIMIT 1", [(self.from + STEP) as i64], |_| Ok(()))?
                .map(|()| self.from + STEP),
        };
        let rows = self.fitting(db, self.from..end.unwrap_or(i64::MAX as u64), Order::OldestFirst, room)?;
        self.from = end.unwrap_or(self.from);
        Ok((rows, end.is_none()))
    }

    /// Looks at the rows before `end`, and gives those that fit, at most so many; and before which place to go on.
    fn step_back(
        &mut self,
        db: &Connection,
        end: u64,
        room: u32,
    ) -> Result<(Vec<LedgerEntry>, Option<u64>), StoreError> {
        if !self.begun {
            self.begin(db)?;
        }
        let start = match self.principal {
            Some(principal) => {
                let start: Option<i64> = db.one(
                    "SELECT seq FROM ledger WHERE principal = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT 1 OFFSET ?3",
                    (principal.bytes(), end as i64, STEP as i64 - 1),
                    |row| row.get(0),
                )?;
                start.unwrap_or_default() as u64
            }
            // Places have no gaps.
            None => end.min(size(db)?).saturating_sub(STEP),
        };
        let start = start.max(self.from);
        let rows = self.fitting(db, start..end, Order::NewestFirst, room)?;
        let next = match rows.last() {
            Some(last) if rows.len() as u32 >= room => last.seq,
            _ => start,
        };
        Ok((rows, (next > self.from).then_some(next)))
    }

    fn begin(&mut self, db: &Connection) -> Result<(), StoreError> {
        if let Some(since) = self.filter.since {
            self.from = self.from.max(first_since(db, since)?);
        }
        // A session and a device belong to one principal, whose entries are indexed.
        self.principal = match (self.filter.principal, self.filter.session, self.filter.device) {
            (Some(principal), _, _) => Some(principal),
            (None, Some(session), _) => {
                db.one("SELECT principal FROM sessions WHERE id = ?1", [session.bytes()], |row| row.id(0))?
            }
            (None, None, Some(device)) => {
                db.one("SELECT principal FROM devices WHERE id = ?1", [device.bytes()], |row| row.id(0))?
            }
            (None, None, None) => None,
        };
        self.begun = true;
        Ok(())
    }

    /// Those in this range that fit, at most so many: the oldest of them first, or the newest.
    fn fitting(
        &self,
        db: &Connection,
        places: Range<u64>,
        order: Order,
        room: u32,
    ) -> Result<Vec<LedgerEntry>, StoreError> {
        let filter = &self.filter;
        let columns = named_params! {
            ":from": places.start as i64,
            ":end": places.end as i64,
            ":since": filter.since.map_or(i64::MIN, Timestamp::millis),
            ":principal": self.principal.as_ref().map(PrincipalId::bytes),
            ":org": filter.org.as_ref().map(OrgId::bytes),
            ":client": filter.client.as_ref().map(ClientId::bytes),
            ":device": filter.device.as_ref().map(DeviceId::bytes),
            ":session": filter.session.as_ref().map(SessionId::bytes),
            ":event": filter.event.map(Event::text),
            ":room": room,
        };
        match (self.principal, order) {
            (Some(_), Order::OldestFirst) => db.all(
                "SELECT l.seq, l.leaf, l.hash, p.fields FROM ledger l LEFT JOIN ledger_personal p ON p.seq = l.seq \
                 WHERE l.principal = :principal AND l.seq >= :from AND l.seq < :end AND l.at >= :since \
                 AND (:org IS NULL OR l.org = :org) AND (:client IS NULL OR l.client = :client) \
                 AND (:device IS NULL OR l.device = :device) AND (:session IS NULL OR l.session = :session) \
                 AND (:event IS NULL OR l.event = :event) ORDER BY l.seq LIMIT :room",
                columns,
                read_entry,
            ),
            (Some(_), Order::NewestFirst) => db.all(
                "SELECT l.seq, l.leaf, l.hash, p.fields FROM ledger l LEFT JOIN ledger_personal p ON p.seq = l.seq \
                 WHERE l.principal = :principal AND l.seq >= :from AND l.seq < :end AND l.at >= :since \
                 AND (:org IS NULL OR l.org = :org) AND (:client IS NULL OR l.client = :client) \
                 AND (:device IS NULL OR l.device = :device) AND (:session IS NULL OR l.session = :session) \
                 AND (:event IS NULL OR l.event = :event) ORDER BY l.seq DESC LIMIT :room",
                columns,
                read_entry,
            ),
            (None, Order::OldestFirst) => db.all(
                "SELECT l.seq, l.leaf, l.hash, p.fields FROM ledger l LEFT JOIN ledger_personal p ON p.seq = l.seq \
                 WHERE l.seq >= :from AND l.seq < :end AND l.at >= :since AND :principal IS NULL \
                 AND (:org IS NULL OR l.org = :org) AND (:client IS NULL OR l.client = :client) \
                 AND (:device IS NULL OR l.device = :device) AND (:session IS NULL OR l.session = :session) \
                 AND (:event IS NULL OR l.event = :event) ORDER BY l.seq LIMIT :room",
                columns,
                read_entry,
            ),
            (None, Order::NewestFirst) => db.all(
                "SELECT l.seq, l.leaf, l.hash, p.fields FROM ledger l LEFT JOIN ledger_personal p ON p.seq = l.seq \
                 WHERE l.seq >= :from AND l.seq < :end AND l.at >= :since AND :principal IS NULL \
                 AND (:org IS NULL OR l.org = :org) AND (:client IS NULL OR l.client = :client) \
                 AND (:device IS NULL OR l.device = :device) AND (:session IS NULL OR l.session = :session) \
                 AND (:event IS NULL OR l.event = :event) ORDER BY l.seq DESC LIMIT :room",
                columns,
                read_entry,
            ),
        }
    }
}

/// Where the next so many entries about somebody end; `None` if there are no more.
pub(crate) fn end_of_step(
    db: &Connection,
    principal: PrincipalId,
    from: u64,
    step: u64,
) -> Result<Option<u64>, StoreError> {
    let end: Option<i64> = db.one(
        "SELECT seq FROM ledger WHERE principal = ?1 AND seq >= ?2 ORDER BY seq LIMIT 1 OFFSET ?3",
        (principal.bytes(), from as i64, step as i64),
        |row| row.get(0),
    )?;
    Ok(end.map(|end| end as u64))
}

fn size(db: &Connection) -> Result<u64, StoreError> {
    let size: Option<i64> = db.one("SELECT coalesce(max(seq), -1) + 1 FROM ledger", (), |row| row.get(0))?;
    Ok(size.unwrap_or(0) as u64)
}

/// Where entries of this moment may begin: before it, nothing so late was recorded. Found by halving, as the latest time
/// so far never goes back, whatever the clock did.
fn first_since(db: &Connection, since: Timestamp) -> Result<u64, StoreError> {
    let (mut low, mut high) = (0, size(db)? as i64);
    while low < high {
        let middle = low + (high - low) / 2;
        let latest: Option<i64> =
            db.one("SELECT latest FROM ledger WHERE seq = ?1", [middle], |row| row.get(0))?;
        if latest.is_some_and(|latest| latest < since.millis()) { low = middle + 1 } else { high = middle }
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
