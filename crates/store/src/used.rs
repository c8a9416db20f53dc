//! Assertions that were used: each is good once (RFC 7523, section 3, check 7).
//!
//! 1. They rest in a table in the order they came, so that those of one commit stand on one page of it, or two. By their
//!    hash they would stand anywhere: a page each for the log to take, for the disk to sync and for the copier to copy.
//! 2. Whether one was used, memory says: only the writer asks, and it has all of them. At 16 bytes each and some minutes of
//!    life that is a few MiB at a thousand a second.
//! 3. INVARIANT: what the disk remembers and is not over, memory does. A change that is undone is undone here too, and
//!    where a commit failed memory is read from the disk again.

use std::collections::HashSet;

use hallpass_model::time::Timestamp;
use rusqlite::Connection;

use crate::error::StoreError;
use crate::sql::Sql;

/// What is kept of an assertion: half of a keyed hash, which is enough for no two to meet.
pub(crate) type Mark = [u8; 16];

/// Those that were used.
#[derive(Default)]
pub(crate) struct Used {
    marks: HashSet<Mark>,
    /// What the running commit did to them, in order.
    done: Vec<Done>,
    /// The row up to which the last look for what is over came.
    looked_at: i64,
}

#[derive(Clone, Copy)]
enum Done {
    Remembered(Mark),
    Forgotten(Mark),
}

impl Used {
    /// All that the disk remembers.
    pub(crate) fn load(db: &Connection) -> Result<Self, StoreError> {
        let mut used = Self::default();
        let mut after = 0;
        loop {
            let rows = db.all(
                "SELECT id, mark FROM used_assertions WHERE id > ?1 ORDER BY id LIMIT ?2",
                (after, READ_AT_ONCE),
                |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Mark>(1)?)),
            )?;
            let Some((last, _)) = rows.last() else { return Ok(used) };
            after = *last;
            used.marks.extend(rows.into_iter().map(|(_, mark)| mark));
        }
    }

    /// Remembers one until it is over; false if it is remembered already.
    pub(crate) fn remember(
        &mut self,
        db: &Connection,
        mark: Mark,
        expires: Timestamp,
    ) -> Result<bool, StoreError> {
        if self.marks.contains(&mark) {
            return Ok(false);
        }
        db.run("INSERT INTO used_assertions (mark, expires) VALUES (?1, ?2)", (&mark, expires.millis()))?;
        self.marks.insert(mark);
        self.done.push(Done::Remembered(mark));
        Ok(true)
    }

    /// Forgets those of the next so many rows that were over by then; how many, and whether there are more rows to look at.
    pub(crate) fn forget(
        &mut self,
        db: &Connection,
        over: Timestamp,
        rows: u32,
    ) -> Result<(usize, bool), StoreError> {
        let from = self.looked_at;
        let to: Option<i64> = db.one(
            "SELECT id FROM used_assertions WHERE id > ?1 ORDER BY id LIMIT 1 OFFSET ?2",
            (from, rows.saturating_sub(1)),
            |row| row.get(0),
        )?;
        let forgotten: Vec<Mark> = db.all(
            "DELETE FROM used_assertions WHERE id > ?1 AND id <= ?2 AND expires < ?3 RETURNING mark",
            (from, to.unwrap_or(i64::MAX), over.millis()),
            |row| row.get(0),
        )?;
        for mark in &forgotten {
            self.marks.remove(mark);
            self.done.push(Done::Forgotten(*mark));
        }
        self.looked_at = to.unwrap_or(0);
        Ok((forgotten.len(), to.is_some()))
    }

    /// Where the running commit stands.
    pub(crate) fn place(&self) -> usize {
        self.done.len()
    }

    /// Undoes what was done since then: the database undid it.
    pub(crate) fn back_to(&mut self, place: usize) {
        for done in self.done.drain(place..).rev() {
            match done {
                Done::Remembered(mark) => self.marks.remove(&mark),
                Done::Forgotten(mark) => self.marks.insert(mark),
            };
        }
    }

    /// What was done is durable.
    pub(crate) fn settle(&mut self) {
        self.done.clear();
    }
}

/// Rows read in one piece when the store is opened.
const READ_AT_ONCE: u32 = 10_000;
