//! The one writer thread: takes changes from a bounded queue and commits many at once.
//!
//! 1. The first change that waits begins a transaction; all that wait by then join it, up to a bound. Where many came
//!    together lately, so do those that come within a moment: a commit costs the same for one as for a hundred.
//! 2. Each runs in its own savepoint: one that fails or panics is undone alone.
//! 3. The stamp clock and the ledger's edge are written in the same transaction.
//! 4. INVARIANT: nobody is answered before the commit is durable.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use hallpass_model::ledger::Actor;
use hallpass_model::time::Timestamp;
use tokio::sync::oneshot;

use crate::change::{Change, Core};
use crate::error::StoreError;
use crate::ledger;
use crate::meta;
use crate::news::Board;
use crate::sql::Sql;

/// Changes that may wait. At some thousands a second this is a fraction of a second of waiting; more is `Busy`.
pub(crate) const QUEUE_MAX: usize = 1024;
/// Changes in one commit at most, so that the first of them is not kept waiting for the last.
const BATCH_MAX: usize = 256;

/// As many in one commit are a crowd: the next is worth waiting for. Fewer are on their way one by one, and waiting would only
/// make each of them slower.
const CROWD: usize = 8;
/// How long is waited at a time: some requests' worth of work.
const GATHER_STEP: Duration = Duration::from_micros(200);
/// How often at most. It bounds what a crowd adds to anybody's wait, at two milliseconds.
const GATHER_STEPS: u32 = 8;

/// The way to the writer thread.
pub(crate) struct Writer {
    queue: Option<SyncSender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(core: Core, board: Arc<Board>) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(QUEUE_MAX);
        let thread =
            std::thread::Builder::new().name("store".into()).spawn(move || run(core, &jobs, &board))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Hands a change over, and gives what it came to once that is durable.
    pub(crate) async fn change<C: Change>(
        &self,
        actor: Actor,
        now: Timestamp,
        change: C,
    ) -> Result<C::Outcome, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Waiting { actor, now, change: Some(change), outcome: None, reply };
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.try_send(Box::new(job)).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Closed,
        })?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }
}

impl Drop for Writer {
    /// Lets what waits be done, and the thread end. The folder is free for another server only then.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// A change on its way, whatever its type.
trait Job: Send {
    /// Runs it and keeps what it came to.
    fn run(&mut self, core: &mut Core);
    /// Tells whoever waits: what it came to, or why even that was not kept.
    fn answer(self: Box<Self>, commit: &Result<(), StoreError>);
}

struct Waiting<C: Change> {
    actor: Actor,
    now: Timestamp,
    change: Option<C>,
    outcome: Option<Result<C::Outcome, StoreError>>,
    reply: oneshot::Sender<Result<C::Outcome, StoreError>>,
}

impl<C: Change> Job for Waiting<C> {
    fn run(&mut self, core: &mut Core) {
        if let Some(change) = self.change.take() {
            self.outcome = Some(core.apply(change, self.actor, self.now));
        }
    }

    fn answer(self: Box<Self>, commit: &Result<(), StoreError>) {
        let answer = match (commit, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            (Ok(()), None) => Err(StoreError::Closed),
            (Err(error), _) => Err(error.clone()),
        };
        // Whoever asked may have gone; what was done stays done.
        let _gone = self.reply.send(answer);
    }
}

fn run(mut core: Core, jobs: &Receiver<Box<dyn Job>>, board: &Board) {
    let mut together = 1;
    while let Ok(first) = jobs.recv() {
        let mut batch = gather(first, jobs, together);
        together = batch.len();
        let commit = commit(&mut core, &mut batch);
        if let Err(error) = &commit {
            tracing::error!(%error, changes = batch.len(), "The store could not commit; nothing of it was kept.");
            core.news.clear();
        }
        keep_outside(&mut core);
        tell(&mut core, board);
        for job in batch {
            job.answer(&commit);
        }
    }
    close(&mut core);
}

/// Those that wait; and where a crowd came together last time, those that join them, until they are as many or nobody came for a
/// step. Meanwhile their requests have the processor, so nothing is lost by waiting but a moment of the first one's time.
#[expect(
    clippy::disallowed_methods,
    reason = "no condition is waited for: whoever comes meanwhile wakes nobody"
)]
fn gather(first: Box<dyn Job>, jobs: &Receiver<Box<dyn Job>>, last_time: usize) -> Vec<Box<dyn Job>> {
    let mut batch = vec![first];
    for step in 0.. {
        let before = batch.len();
        batch.extend(jobs.try_iter().take(BATCH_MAX - before));
        let nobody_came = step > 0 && batch.len() == before;
        if last_time < CROWD || batch.len() >= last_time || nobody_came || step == GATHER_STEPS {
            break;
        }
        std::thread::sleep(GATHER_STEP);
    }
    batch
}

fn commit(core: &mut Core, batch: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    if core.stale {
        level(core)?;
    }
    core.db.run("BEGIN IMMEDIATE", ())?;
    let result = fill(core, batch).and_then(|()| core.db.run("COMMIT", ()).map(drop));
    if result.is_ok() {
        core.used.settle();
    } else {
        core.stale = true;
        if let Err(error) = level(core) {
            tracing::error!(%error, "The store cannot be read after a commit that failed; nothing is written until it can.");
        }
    }
    result
}

/// Makes memory agree with the disk: of the clock and the tree it may be ahead of it or, after a failed sync, behind.
/// INVARIANT: until it does, nothing is written, recorded or signed.
fn level(core: &mut Core) -> Result<(), StoreError> {
    if !core.db.is_autocommit() {
        core.db.run("ROLLBACK", ())?;
    }
    core.note = None;
    meta::reload(core)
}

/// Has a checkpoint kept outside the database too, now that it is durable in it.
fn keep_outside(core: &mut Core) {
    if let (Some(note), Some(scribe)) = (core.note.take(), &core.scribe) {
        scribe.keep(note);
    }
}

fn fill(core: &mut Core, batch: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    let before = (core.clock, core.frontier.size());
    for job in batch {
        job.run(core);
        if core.db.is_autocommit() {
            // A full disk or a failing one made SQLite roll back everything, the changes before this one included.
            return Err(StoreError::Full);
        }
    }
    ledger::sign_when_due(core)?;
    if before != (core.clock, core.frontier.size()) {
        meta::save(core)?;
    }
    Ok(())
}

/// Tells those who wait in this process, now that it is so.
fn tell(core: &mut Core, board: &Board) {
    for news in core.news.drain(..) {
        board.tell(news);
    }
    board.ledger_size(core.frontier.size());
}

/// Leaves a signed checkpoint over everything, and a database without a log beside it.
fn close(core: &mut Core) {
    let level = if core.stale { level(core) } else { Ok(()) };
    let signed = level
        .and_then(|()| core.db.run("BEGIN IMMEDIATE", ()))
        .and_then(|_| ledger::sign(core))
        .and_then(|_| core.db.run("COMMIT", ()));
    match signed {
        Ok(_) => keep_outside(core),
        Err(error) => tracing::warn!(%error, "The store could not sign a last checkpoint."),
    }
    core.copier = None;
    if let Err(error) = core.db.execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE)") {
        tracing::warn!(%error, "The store could not tidy its log away.");
    }
}
