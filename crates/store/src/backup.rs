//! Copies for safe keeping, and putting them back.
//!
//! A backup is one file, the store as it was at one moment. The keys are not in it: they are kept apart.
//!
//! A restore loses what happened since. So that nothing revoked since comes alive again, it cuts every session older
//! than itself, unless it is told to keep them.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use hallpass_model::cut::Stamp;
use hallpass_model::ledger::{Actor, Detail, Entry, Event, Key};
use hallpass_model::time::Timestamp;
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{Mode, OFlags};

use crate::change::{Change, Core, Tx};
use crate::error::{OpenError, StoreError};
use crate::folder::{DATABASE, Folder, failed};
use crate::open::{Access, Engine, Store, StoreKeys, StorePlace, connect};
use crate::seal::Keys;
use crate::sql::Sql;
use crate::{ledger, meta, migrate};

/// A backup that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackedUp {
    /// A signed checkpoint of the ledger, which the backup holds too. Keep it apart: a later ledger must extend it.
    pub checkpoint: String,
}

/// Why no backup was written.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Something stands where the backup is to be: nothing is overwritten, no symbolic link followed.
    #[error("`{0}` exists already; a backup never overwrites anything")]
    Exists(PathBuf),
    /// The file cannot be written.
    #[error("`{path}` cannot be written: {source}")]
    File {
        /// Where it was to be.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store itself failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Writes a backup while the store is in use: a new file, 0600.
    pub async fn backup(&self, actor: Actor, now: Timestamp, to: &Path) -> Result<BackedUp, BackupError> {
        let checkpoint = self.ledger_checkpoint(now).await?;
        let (place, path) = (self.inner.place.clone(), to.to_owned());
        let copied = tokio::task::spawn_blocking(move || copy_out(&place, &path)).await;
        match copied.unwrap_or(Err(BackupError::Store(StoreError::Broken))) {
            Ok(()) => {}
            Err(exists @ BackupError::Exists(_)) => return Err(exists),
            Err(error) => {
                // Half a backup would be worse than none. It is ours: `copy_out` made it or failed to.
                let _absent = std::fs::remove_file(to);
                return Err(error);
            }
        }
        self.change(actor, now, RecordBackup).await?;
        Ok(BackedUp { checkpoint })
    }
}

struct RecordBackup;

impl Change for RecordBackup {
    type Outcome = ();

    fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let detail = Detail::new().with(Key::SEQ_LAST, tx.core.frontier.size() as i64 - 1);
        tx.record(Entry { detail, ..tx.entry(Event::BackedUp) });
        Ok(())
    }
}

fn copy_out(place: &StorePlace, to: &Path) -> Result<(), BackupError> {
    let file = |source| BackupError::File { path: to.to_owned(), source };
    let made = create(to).map_err(|errno| match errno {
        rustix::io::Errno::EXIST => BackupError::Exists(to.to_owned()),
        errno => file(errno.into()),
    })?;
    let data = place.data.canonicalize().map_err(file)?;
    let from = connect(&data.join(DATABASE), &place.engine, Access::Read)
        .map_err(|error| StoreError::Backend(error.to_string()))?;
    let parent = to.canonicalize().map_err(file)?;
    let mut copy = open_plain(&parent, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    copy_all(&from, &mut copy)?;
    drop(copy);
    made.sync_all().map_err(file)?;
    sync_folder(&parent).map_err(file)
}

/// Copies a database in one piece, as it is at one moment, into one file without a log beside it.
fn copy_all(from: &Connection, to: &mut Connection) -> Result<(), StoreError> {
    {
        let backup = Backup::new(from, to)?;
        // All pages in one step: the source may be written to meanwhile, and a copy in pieces would begin again.
        while backup.step(-1)? != rusqlite::backup::StepResult::Done {}
    }
    let _mode: String = to.query_row("PRAGMA journal_mode = DELETE", (), |row| row.get(0))?;
    Ok(())
}

fn create(path: &Path) -> rustix::io::Result<std::fs::File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?.into())
}

fn open_plain(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let db = Connection::open_with_flags(path, flags)?;
    db.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA synchronous = FULL;")?;
    Ok(db)
}

fn sync_folder(file: &Path) -> std::io::Result<()> {
    let folder = std::fs::File::open(file.parent().unwrap_or(file))?;
    Ok(rustix::fs::fsync(folder.as_fd())?)
}

/// A store that was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Where the store that stood there before was put, if one did.
    pub replaced: Option<PathBuf>,
    /// A signed checkpoint over the ledger, the entry of the restore included.
    pub checkpoint: String,
}

/// Why a backup was not put back. What stood in the folder stands.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It cannot be read, or is no backup of ours.
    #[error("`{path}` is not a backup that can be read: {why}")]
    NotABackup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The data folder cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Puts a backup back into a data folder that no server holds. What stands there is put aside, not removed.
///
/// With `keep_sessions`, sessions of the backup live on, and a refresh token that is ahead of its row is believed
/// once: what was revoked since the backup is then alive again.
pub fn restore(
    from: &Path,
    data: &Path,
    keys: StoreKeys,
    keep_sessions: bool,
    entropy: std::sync::Arc<dyn hallpass_model::random::Entropy>,
    now: Timestamp,
) -> Result<Restored, RestoreError> {
    let folder = Folder::hold(data)?;
    let unreadable = |why: String| RestoreError::NotABackup { path: from.to_owned(), why };
    let real = from.canonicalize().map_err(|error| unreadable(error.to_string()))?;
    let source =
        open_plain(&real, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|error| unreadable(error.to_string()))?;
    let found: String = source
        .query_row("PRAGMA quick_check(1)", (), |row| row.get(0))
        .map_err(|error| unreadable(error.to_string()))?;
    if found != "ok" {
        return Err(unreadable(found));
    }

    let fresh = folder.path().join("restoring.db");
    remove_if_there(&fresh)?;
    create(&fresh).map_err(|errno| failed(&fresh, errno))?;
    let mut copy = open_plain(&fresh, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(OpenError::from)?;
    copy_all(&source, &mut copy).map_err(OpenError::from)?;
    drop(copy);
    let checkpoint = mark(&fresh, keys, keep_sessions, entropy, now)?;
    let replaced = put_aside(folder.path(), now)?;
    let place = folder.path().join(DATABASE);
    let file = |source| OpenError::File { path: place.clone(), source };
    std::fs::rename(&fresh, &place).map_err(file)?;
    sync_folder(&place).map_err(file)?;
    Ok(Restored { replaced, checkpoint })
}

/// Brings the copy to this program's schema, makes the cut, and records that it was restored.
fn mark(
    path: &Path,
    keys: StoreKeys,
    keep_sessions: bool,
    entropy: std::sync::Arc<dyn hallpass_model::random::Entropy>,
    now: Timestamp,
) -> Result<String, OpenError> {
    let keys = std::sync::Arc::new(Keys::new(&keys.kek, keys.ledger));
    let mut db = connect(path, &Engine::default(), Access::Write)?;
    migrate::migrate(&mut db, now)?;
    let meta = meta::open(&db, &keys)?;
    let mut core = Core {
        db,
        keys,
        entropy,
        clock: meta.clock,
        adopt_upto: meta.adopt_upto,
        frontier: meta.frontier,
        signed: ledger::NOTHING_SIGNED,
        entries: Vec::new(),
        news: Vec::new(),
    };
    core.db.run("BEGIN IMMEDIATE", ())?;
    core.apply(MarkRestored { keep_sessions }, Actor::Operator, now)?;
    let checkpoint = ledger::sign(&mut core)?;
    meta::save(&core)?;
    core.db.run("COMMIT", ())?;
    let _mode: String = core.db.query_row("PRAGMA journal_mode = DELETE", (), |row| row.get(0))?;
    Ok(checkpoint)
}

struct MarkRestored {
    keep_sessions: bool,
}

impl Change for MarkRestored {
    type Outcome = ();

    fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        // One-time things may have been used since the backup: none of them works again.
        for statement in [
            "DELETE FROM links",
            "DELETE FROM ceremonies",
            "DELETE FROM requests",
            "DELETE FROM codes",
            "DELETE FROM device_grants",
            "DELETE FROM leases",
        ] {
            tx.db().run(statement, ())?;
        }
        let before: Stamp = tx.core.clock.last;
        // What was issued since the backup has stamps up to about now; what is issued from here on has greater ones.
        let upto = tx.cut_stamp();
        let reason = match self.keep_sessions {
            true => {
                tx.db().run("UPDATE meta SET adopt_upto = ?1 WHERE id = 0", [before.0])?;
                tx.core.adopt_upto = before;
                "sessions_kept"
            }
            false => {
                crate::cuts::cut_everything(tx.db(), upto, tx.now)?;
                "sessions_cut"
            }
        };
        let detail = Detail::new().with(Key::REASON, reason).with(Key::STAMP, upto.0);
        tx.record(Entry { detail, ..tx.entry(Event::Restored) });
        Ok(())
    }
}

/// Moves a store that stands in the folder out of the way, its log with it.
fn put_aside(folder: &Path, now: Timestamp) -> Result<Option<PathBuf>, OpenError> {
    let mut aside = None;
    for (suffix, main) in [("", true), ("-wal", false), ("-shm", false)] {
        let from = folder.join(format!("{DATABASE}{suffix}"));
        let to = folder.join(format!("replaced-{}.db{suffix}", now.millis()));
        match std::fs::rename(&from, &to) {
            Ok(()) if main => aside = Some(to),
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(OpenError::File { path: from, source }),
        }
    }
    Ok(aside)
}

fn remove_if_there(path: &Path) -> Result<(), OpenError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(OpenError::File { path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}
