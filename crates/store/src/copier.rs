//! Copying the log into the database beside the writer, so that no commit waits for it.
//!
//! 1. After each commit SQLite says how long the log is. When it is long the copier is woken, a thread with a connection of
//!    its own.
//! 2. It copies what is committed: a passive checkpoint waits for nobody and holds nobody up. What was written meanwhile it
//!    copies again, until little is left.
//! 3. That little the writer copies itself, at its next commit. Then all of the log is in the database, and it begins anew.
//! 4. Where the copier does not keep up, the writer does it all, as SQLite would have.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{JoinHandle, Thread};

use rusqlite::Connection;

/// Copies the log until it is dropped.
pub(crate) struct Copier {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// Pages in the log, as of the last commit.
    pages: AtomicU32,
    /// So little is left that the writer may copy it in passing.
    nearly_done: AtomicBool,
    stop: AtomicBool,
}

impl Copier {
    /// Has `own` copy the log whenever `writer` has made it `pages` long.
    pub(crate) fn start(writer: &mut Connection, own: Connection, pages: u32) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("store-log".into());
        let thread = thread.spawn(move || run(&own, &seen, pages))?;
        let copier = Self { shared: Arc::clone(&shared), thread: Some(thread) };
        let asleep = copier.thread.as_ref().map(|thread| thread.thread().clone());
        watch(writer, shared, asleep, pages);
        Ok(copier)
    }
}

/// In place of SQLite's own hook, which would have each commit that makes the log long copy all of it.
fn watch(writer: &mut Connection, shared: Arc<Shared>, asleep: Option<Thread>, pages: u32) {
    let hook = move |log: &mut rusqlite::hooks::Wal, long: std::ffi::c_int| {
        let long = u32::try_from(long).unwrap_or(0);
        shared.pages.store(long, Ordering::Relaxed);
        if long >= pages.saturating_mul(PATIENCE)
            || (long >= pages && shared.nearly_done.swap(false, Ordering::Acquire))
        {
            // The commit is durable whatever comes of this, so a disk that is full now is no failure of it.
            let _left_for_the_next = log.checkpoint();
        } else if long >= pages
            && let Some(copier) = &asleep
        {
            copier.unpark();
        }
        Ok(())
    };
    if let Err(error) = writer.wal_hook(Some(hook)) {
        tracing::warn!(%error, "The store's log is copied at commits.");
    }
}

fn run(own: &Connection, shared: &Shared, pages: u32) {
    while !shared.stop.load(Ordering::Acquire) {
        if shared.pages.load(Ordering::Relaxed) >= pages && !shared.nearly_done.load(Ordering::Acquire) {
            copy(own, shared);
        }
        std::thread::park();
    }
}

fn copy(own: &Connection, shared: &Shared) {
    for _ in 0..ROUNDS_MAX {
        let outcome = own.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |row| {
            Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?)
        });
        match outcome {
            Ok(left) if left > NEARLY_DONE && !shared.stop.load(Ordering::Acquire) => {}
            Ok(_) => break,
            Err(error) => {
                tracing::warn!(%error, "The store's log could not be copied into the database; it is tried again.");
                return;
            }
        }
    }
    shared.nearly_done.store(true, Ordering::Release);
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

/// The writer copies the log itself once it is so many times too long: a copier that is not done by then is not going to be.
const PATIENCE: u32 = 4;
/// Each round has only what was written during the one before it, which is shorter each time.
const ROUNDS_MAX: u32 = 4;
/// Pages that one commit may copy in passing: less than a millisecond's writing.
const NEARLY_DONE: i64 = 100;
