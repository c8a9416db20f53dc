//! Copies for safe keeping: one file, the store as it was at one moment. The keys are not in it: they are kept apart.
//!
//! 1. The file is made, so that nothing is written down of a backup that cannot be.
//! 2. That it begins is recorded, then it is copied, then how it ended is recorded: whoever has the copy has all that
//!    the store holds, and no stop in between may hide that it was made.
//! 3. A checkpoint over its very last entry is signed into the copy. A restore wants one: nobody without the ledger's key
//!    can have changed such a copy.

use std::fs::File;
use std::path::{Path, PathBuf};

use hallpass_model::ledger::{Actor, Checkpoint, Detail, Entry, Event, Key};
use hallpass_model::time::Timestamp;
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};

use crate::change::{Change, Tx};
use crate::error::StoreError;
use crate::folder::{DATABASE, create, sync_folder};
use crate::open::{Access, Store, connect};
use crate::sql::Sql;
use crate::{ledger, vouch};

/// A backup that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackedUp {
    /// A signed checkpoint of the ledger in it, the last entry included. Keep it apart: a later ledger must extend it.
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
    /// Writes a backup while the store is in use: a new file, 0600. It goes on to its end, and is recorded, even if
    /// nobody waits for it any more.
    pub async fn backup(&self, actor: Actor, now: Timestamp, to: &Path) -> Result<BackedUp, BackupError> {
        let (store, to) = (self.clone(), to.to_owned());
        let backup = tokio::spawn(async move { store.back_up(actor, now, &to).await });
        backup.await.unwrap_or(Err(BackupError::Store(StoreError::Broken)))
    }

    async fn back_up(&self, actor: Actor, now: Timestamp, to: &Path) -> Result<BackedUp, BackupError> {
        let made = create(to).map_err(|errno| match errno {
            rustix::io::Errno::EXIST => BackupError::Exists(to.to_owned()),
            errno => BackupError::File { path: to.to_owned(), source: errno.into() },
        })?;
        let copied = match self.change(actor, now, RecordBackup("begun")).await {
            Ok(()) => self.copy_out(made, to).await,
            Err(error) => Err(error.into()),
        };
        let how = match &copied {
            Ok(_) => "done",
            Err(_) => {
                // Half a backup would be worse than none. The file is the one that was made above.
                let _absent = std::fs::remove_file(to);
                "failed"
            }
        };
        let recorded = self.change(actor, now, RecordBackup(how)).await;
        let backed_up = copied?;
        recorded?;
        Ok(backed_up)
    }

    async fn copy_out(&self, made: File, to: &Path) -> Result<BackedUp, BackupError> {
        let (store, to) = (self.clone(), to.to_owned());
        let copied = tokio::task::spawn_blocking(move || copy_out(&store, &made, &to)).await;
        copied.unwrap_or(Err(BackupError::Store(StoreError::Broken)))
    }
}

/// Records how far a backup has come.
struct RecordBackup(&'static str);

impl Change for RecordBackup {
    type Outcome = ();

    fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let detail = Detail::new().with(Key::REASON, self.0);
        tx.record(Entry { detail, ..tx.entry(Event::BackedUp) });
        Ok(())
    }
}

fn copy_out(store: &Store, made: &File, to: &Path) -> Result<BackedUp, BackupError> {
    let file = |source| BackupError::File { path: to.to_owned(), source };
    let place = &store.inner.place;
    let data = place.data.canonicalize().map_err(file)?;
    let from = connect(&data.join(DATABASE), &place.engine, Access::Read)
        .map_err(|error| StoreError::Backend(error.to_string()))?;
    let to = to.canonicalize().map_err(file)?;
    let mut copy = open_plain(&to, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(StoreError::from)?;
    copy_all(&from, &mut copy)?;
    let checkpoint = sign(store, &copy)?;
    drop(copy);
    made.sync_all().map_err(file)?;
    sync_folder(&to).map_err(file)?;
    Ok(BackedUp { checkpoint })
}

/// Signs over all that is in a copy: what is in the database itself is signed there in its own time.
fn sign(store: &Store, copy: &Connection) -> Result<String, StoreError> {
    let (tree, key) = (ledger::frontier(copy)?, &store.inner.keys.ledger);
    if let Some(doubt) = vouch::doubt_inside(copy, &tree, &key.verifier())? {
        return Err(StoreError::Damaged(doubt.to_string()));
    }
    let note = Checkpoint::of(key, &tree).sign(key);
    copy.run(
        "INSERT INTO checkpoints (size, note) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        (tree.size() as i64, &note),
    )?;
    Ok(note)
}

/// Copies a database in one piece, as it is at one moment, into one file without a log beside it.
pub(crate) fn copy_all(from: &Connection, to: &mut Connection) -> Result<(), StoreError> {
    {
        let backup = Backup::new(from, to)?;
        // All pages in one step: the source may be written to meanwhile, and a copy in pieces would begin again.
        while backup.step(-1)? != rusqlite::backup::StepResult::Done {}
    }
    let _mode: String = to.query_row("PRAGMA journal_mode = DELETE", (), |row| row.get(0))?;
    Ok(())
}

/// Opens a database that no server has open, and that somebody else may have made.
pub(crate) fn open_plain(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let db = Connection::open_with_flags(path, flags)?;
    db.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA synchronous = FULL;")?;
    Ok(db)
}
