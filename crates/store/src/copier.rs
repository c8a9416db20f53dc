//! Copying the log into the database beside the writer, so that no commit waits for it.
//!
//! 1. After each commit SQLite says how long the log is. When a piece of it is not copied yet the copier is woken, a thread
//!    with a connection of its own.
//! 2. It copies what is committed (a passive checkpoint waits for nobody and holds nobody up) and has the disk take that, as
//!    SQLite does for the last of a log alone. Pieces are small, as commits share the disk.
//! 3. When the log is long and little of it is left to copy, the writer copies that little itself, in passing. Then all of
//!    the log is in the database, and the next commit begins it anew.
//! 4. Where the copier does not keep up, the writer does it all, as SQLite would have.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{JoinHandle, Thread};

use rusqlite::Connection;
use rusqlite::hooks::Wal;

/// Copies the log until it is dropped.
pub(crate) struct Copier {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    /// Pages of the log at which it is begun anew.
    long: u32,
    /// Pages in it, as of the last commit.
    pages: AtomicU32,
    /// Pages of it that are copied. A hint: SQLite knows better, and copies nothing twice.
    copied: AtomicU32,
    stop: AtomicBool,
}

impl Copier {
    /// Has `own` copy the log that `writer` makes, which is to be `pages` long or so. `database` is the file that it is copied
    /// into.
    ///
    /// `database` must stay open for as long as any connection to it: the first close of a file gives up all locks that the
    /// process has on it (POSIX, `fcntl`).
    pub(crate) fn start(
        writer: &mut Connection,
        own: Connection,
        database: Arc<File>,
        pages: u32,
    ) -> std::io::Result<Self> {
        let (none, stop) = (AtomicU32::new(0), AtomicBool::new(false));
        let shared = Arc::new(Shared { long: pages, pages: none, copied: AtomicU32::new(0), stop });
        let seen = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("store-log".into());
        let thread = thread.spawn(move || seen.run(&own, &database))?;
        let (watching, asleep) = (Arc::clone(&shared), thread.thread().clone());
        // In place of SQLite's own hook, which would have each commit that makes the log long copy all of it.
        let hooked = writer.wal_hook(Some(move |log: &mut Wal, pages: std::ffi::c_int| {
            watching.committed(log, pages.try_into().unwrap_or(0), &asleep);
            Ok(())
        }));
        if let Err(error) = hooked {
            tracing::warn!(%error, "The store's log is copied by commits alone.");
        }
        Ok(Self { shared, thread: Some(thread) })
    }
}

impl Shared {
    /// On the writer's thread, after each commit.
    fn committed(&self, log: &mut Wal, pages: u32, asleep: &Thread) {
        if pages < self.pages.swap(pages, Ordering::AcqRel) {
            self.copied.store(0, Ordering::Release); // it was begun anew
        }
        let left = pages.saturating_sub(self.copied.load(Ordering::Acquire));
        let in_passing = pages >= self.long && left <= NEARLY_DONE;
        if in_passing || pages >= self.long.saturating_mul(PATIENCE) {
            // The commit is durable whatever comes of this, so a disk that is full now is no failure of it.
            let _left_for_the_next = log.checkpoint();
        } else if left >= self.piece() {
            asleep.unpark();
        }
    }

    fn run(&self, own: &Connection, database: &File) {
        while !self.stop.load(Ordering::Acquire) {
            if !self.copy(own, database) {
                std::thread::park();
            }
        }
    }

    /// Copies what there is, if that is worth it. Whether there may be more at once.
    fn copy(&self, own: &Connection, database: &File) -> bool {
        let pages = self.pages.load(Ordering::Acquire);
        let left = pages.saturating_sub(self.copied.load(Ordering::Acquire));
        if left < self.piece() && (pages < self.long || left <= NEARLY_DONE) {
            return false;
        }
        let copied = own.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |row| row.get::<_, i64>(2));
        // The checkpoint that ends the log syncs for itself, and finds little to do. A disk that fails here fails there.
        let _left_for_the_last = database.sync_data();
        match copied {
            Ok(copied) => {
                let copied = u32::try_from(copied).unwrap_or(0);
                // As much as before: somebody still reads the old state of what is left.
                self.copied.swap(copied, Ordering::AcqRel) != copied
            }
            Err(error) => {
                tracing::warn!(%error, "The store's log could not be copied into the database; it is tried again.");
                false
            }
        }
    }

    /// Pages that are worth waking up for: about a millisecond of the disk's time, and never all of a short log.
    fn piece(&self) -> u32 {
        PIECE.min(self.long / 2).max(1)
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ended = thread.join();
        }
    }
}

/// See [`Shared::piece`].
const PIECE: u32 = 128;
/// Pages that one commit may copy in passing.
const NEARLY_DONE: u32 = 64;
/// The writer copies the log itself once it is so many times too long: a copier that is not done by then is not going to be.
const PATIENCE: u32 = 4;
