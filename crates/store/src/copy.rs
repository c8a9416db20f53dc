//! Checking the ledger in a database file, or a copy of one, without a server and without writing to it.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use hallpass_model::ledger::{
    BadCheckpoint, Check, Entry, Frontier, Hash, Report, Row as LedgerRow, VerifierKey,
};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Statement};

use crate::error::StoreError;
use crate::sql::Sql;

/// A database file whose ledger is to be checked. It is opened for reading only.
#[derive(Debug)]
pub struct LedgerCopy {
    db: Connection,
}

/// Why a copy could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It is not there, or cannot be read.
    #[error("`{path}` cannot be read: {why}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system or the engine said.
        why: String,
    },
    /// It is not a database of ours, or of an earlier or later form.
    #[error("`{path}` is not a database with a ledger: {why}")]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What the engine said.
        why: String,
    },
    /// The file itself is broken in a place where entries are.
    #[error("the database is damaged: {0}")]
    Damaged(StoreError),
    /// The outside checkpoint is not one of this ledger's.
    #[error("the checkpoint cannot be used: {0}")]
    Checkpoint(#[from] BadCheckpoint),
}

/// What a check found.
#[derive(Debug)]
pub struct Verified {
    /// Of the entries and the tree over them.
    pub report: Report,
    /// Of what stands beside them.
    pub beside: Vec<Beside>,
    /// How many more there were of those.
    pub unnamed: u64,
}

/// Something that is wrong beside the entries themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Beside {
    /// The columns that lists are made by do not say what the entry says: lists would show or hide it wrongly.
    #[error("the columns beside entry {seq} were changed; the entry was not")]
    Columns {
        /// Which.
        seq: u64,
    },
    /// The edge of the tree is not there, or not readable.
    #[error("the store's own edge of the tree is unreadable")]
    NoEdge,
}

impl Verified {
    /// Whether nothing is wrong. The report's limits stand all the same.
    pub fn is_sound(&self) -> bool {
        self.report.is_sound() && self.beside.is_empty()
    }
}

impl LedgerCopy {
    /// Opens a database file.
    pub fn open(path: &Path) -> Result<Self, CopyError> {
        let unreadable = |why: String| CopyError::Unreadable { path: path.to_owned(), why };
        let real = path.canonicalize().map_err(|error| unreadable(error.to_string()))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW
            | OpenFlags::SQLITE_OPEN_URI;
        let db = Connection::open_with_flags(address(&real), flags)
            .map_err(|error| unreadable(error.to_string()))?;
        let copy = Self { db };
        copy.look().map_err(|error| CopyError::NotOurs { path: path.to_owned(), why: error.to_string() })?;
        Ok(copy)
    }

    fn look(&self) -> Result<(), rusqlite::Error> {
        self.db.execute_batch(
            "PRAGMA trusted_schema = OFF; PRAGMA query_only = ON; PRAGMA cell_size_check = ON;",
        )?;
        // SECURITY: whoever made the file made its schema too: a view or trigger in place of a table proves nothing.
        let tables: i64 = self.db.query_row(
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table' \
             AND name IN ('ledger', 'ledger_personal', 'ledger_nodes', 'checkpoints', 'meta')",
            (),
            |row| row.get(0),
        )?;
        match tables {
            5 => Ok(()),
            _ => Err(rusqlite::Error::QueryReturnedNoRows),
        }
    }

    /// Checks every entry, in one pass and in memory that does not grow with them.
    ///
    /// `key` is what checkpoints are verified with, `since` a checkpoint that was kept elsewhere.
    pub fn verify(&self, key: Option<VerifierKey>, since: Option<&str>) -> Result<Verified, CopyError> {
        // Everything is read as it was at one moment: under a server that writes, an entry more would otherwise be in one
        // table and not in another.
        let moment = self.db.unchecked_transaction().map_err(damaged)?;
        let mut beside = Findings::default();
        let mut check = Check::new(key);
        if let Some(note) = since {
            check = check.since(note)?;
        }
        match self.edge()? {
            Some(edge) => check = check.edge(edge),
            None => beside.add(Beside::NoEdge),
        }
        let unread = RefCell::new(None);
        let mut check = check.stored(Notes::new(&self.db, &unread)?).nodes(self.kept_hashes()?);
        let mut rows = self
            .db
            .prepare(
                "SELECT l.seq, l.leaf, p.fields, l.at, l.event, l.org, l.principal, l.client, l.device, l.session, \
                 l.latest FROM ledger l LEFT JOIN ledger_personal p ON p.seq = l.seq ORDER BY l.seq",
            )
            .map_err(damaged)?;
        let mut rows = rows.query(()).map_err(damaged)?;
        let mut latest = i64::MIN;
        while let Some(row) = rows.next().map_err(damaged)? {
            let seq = row.get::<_, i64>(0).map_err(damaged)? as u64;
            let leaf = row.get_ref(1).and_then(|leaf| Ok(leaf.as_bytes()?)).map_err(damaged)?;
            let personal =
                row.get_ref(2).and_then(|fields| Ok(fields.as_blob_or_null()?)).map_err(damaged)?;
            check.row(LedgerRow { seq, leaf, personal });
            if let Ok(entry) = Entry::parse(leaf) {
                latest = latest.max(entry.at.millis());
                if !columns_agree(row, &entry, latest).unwrap_or(false) {
                    beside.add(Beside::Columns { seq });
                }
            }
        }
        let report = check.finish();
        drop(moment);
        match unread.into_inner() {
            Some(error) => Err(damaged(error)),
            None => Ok(Verified { report, beside: beside.named, unnamed: beside.unnamed }),
        }
    }

    /// The hashes of leaves and the nodes above them, as they are kept. One that cannot be read is one that was not kept.
    fn kept_hashes(&self) -> Result<impl FnMut(u8, u64) -> Option<Hash>, CopyError> {
        let mut leaf = self.db.prepare("SELECT hash FROM ledger WHERE seq = ?1").map_err(damaged)?;
        let mut node = self
            .db
            .prepare("SELECT hash FROM ledger_nodes WHERE level = ?1 AND position = ?2")
            .map_err(damaged)?;
        Ok(move |level, index| {
            let index = i64::try_from(index).ok()?;
            match level {
                0 => leaf.query_row([index], |row| row.get(0).map(Hash)).ok(),
                level => node.query_row((level, index), |row| row.get(0).map(Hash)).ok(),
            }
        })
    }

    fn edge(&self) -> Result<Option<Frontier>, CopyError> {
        let kept: Option<Vec<u8>> = self
            .db
            .one("SELECT frontier FROM meta WHERE id = 0", (), |row| row.get(0))
            .map_err(CopyError::Damaged)?;
        Ok(kept.and_then(|bytes| Frontier::from_bytes(&bytes)))
    }
}

/// The stored checkpoints, smallest first, one at a time. What cannot be read ends them, and is told apart.
struct Notes<'a> {
    next: Statement<'a>,
    after: Option<i64>,
    unread: &'a RefCell<Option<rusqlite::Error>>,
}

impl<'a> Notes<'a> {
    fn new(db: &'a Connection, unread: &'a RefCell<Option<rusqlite::Error>>) -> Result<Self, CopyError> {
        let next = db
            .prepare("SELECT size, note FROM checkpoints WHERE ?1 IS NULL OR size > ?1 ORDER BY size LIMIT 1")
            .map_err(damaged)?;
        Ok(Self { next, after: None, unread })
    }
}

impl Iterator for Notes<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let read = self.next.query_row([self.after], |row| Ok((row.get(0)?, row.get(1)?))).optional();
        match read {
            Ok(found) => found.map(|(size, note)| {
                self.after = Some(size);
                note
            }),
            Err(error) => {
                *self.unread.borrow_mut() = Some(error);
                None
            }
        }
    }
}

#[derive(Default)]
struct Findings {
    named: Vec<Beside>,
    unnamed: u64,
}

impl Findings {
    fn add(&mut self, finding: Beside) {
        match self.named.len() < Report::NAMED_MAX {
            true => self.named.push(finding),
            false => self.unnamed += 1,
        }
    }
}

/// Whether the columns beside a leaf say what it says. `latest` is the latest time up to here.
fn columns_agree(row: &Row<'_>, entry: &Entry, latest: i64) -> rusqlite::Result<bool> {
    let id = |at: usize, bytes: Option<&[u8; 16]>| -> rusqlite::Result<bool> {
        Ok(row.get_ref(at)?.as_blob_or_null()? == bytes.map(|bytes| &bytes[..]))
    };
    Ok(row.get::<_, i64>(3)? == entry.at.millis()
        && row.get_ref(4)?.as_str()? == entry.event.text()
        && id(5, entry.org.as_ref().map(|id| id.bytes()))?
        && id(6, entry.principal.as_ref().map(|id| id.bytes()))?
        && id(7, entry.client.as_ref().map(|id| id.bytes()))?
        && id(8, entry.device.as_ref().map(|id| id.bytes()))?
        && id(9, entry.session.as_ref().map(|id| id.bytes()))?
        && row.get::<_, i64>(10)? == latest)
}

/// The file as SQLite's URI. Without a log beside it nothing can change under us, and nothing is written beside it.
fn address(path: &Path) -> String {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let mut address = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => address.push(*byte as char),
            byte if byte.is_ascii_alphanumeric() => address.push(*byte as char),
            byte => address.push_str(&format!("%{byte:02X}")),
        }
    }
    if !Path::new(&log).exists() {
        address.push_str("?immutable=1");
    }
    address
}

fn damaged(error: impl Into<rusqlite::Error>) -> CopyError {
    CopyError::Damaged(StoreError::from(error.into()))
}
