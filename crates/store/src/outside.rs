//! The newest signed checkpoint, in a file outside the database: what the database is compared with at the next start.
//!
//! It stands beside the ledger's key, where whoever changes the database alone does not come.
//!
//! 1. INVARIANT: it is never newer than what is durable in the database. It may be older: a crash between the commit and
//!    this file locks nobody out.
//! 2. It is replaced whole or not at all, 0600.
//! 3. A restore puts another history in place of this one. It promises the new checkpoint in a second file first, then
//!    puts the database in place, then keeps the promise: between any two of these, the next start finds a file that
//!    the database agrees with.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use hallpass_model::ledger::{Actor, BadCheckpoint, Checkpoint, Detail, Entry, Event, Key, VerifierKey};
use hallpass_model::time::Timestamp;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::change::{Change, Core, Tx};
use crate::error::{OpenError, StoreError};
use crate::folder::{create, remove_if_there, sync_folder};
use crate::ledger;
use crate::vouch::{self, Doubt, Signed};

/// The file, and what a database is to it.
#[derive(Debug, Clone)]
pub(crate) struct Outside {
    path: PathBuf,
}

/// How a database's ledger stands to what is kept outside.
enum Standing {
    /// It extends the checkpoint that is kept, over so many entries.
    Extends(u64),
    /// It extends the one that was promised: a restore was interrupted when all but that was done.
    ExtendsPromised,
    /// There is nothing to compare it with.
    Nothing,
    /// It extends neither.
    Doubtful(Doubt),
}

impl Outside {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The checkpoint that is kept, if there is one.
    pub(crate) fn find(&self, key: &VerifierKey) -> Result<Option<Checkpoint>, OpenError> {
        match self.read(&self.path, key)? {
            None => Ok(None),
            Some(Ok(checkpoint)) => Ok(Some(checkpoint)),
            Some(Err(why)) => Err(Doubt::BadCheckpoint { by: self.signed(), why }.into()),
        }
    }

    /// Before anything is signed: refuses a ledger that does not extend what is kept, and brings that level with it.
    ///
    /// Where nothing is kept though something was signed, whoever could take it away could have signed anything; but it
    /// may just not have been moved along with the key. The ledger says so, and goes on.
    pub(crate) fn settle(&self, core: &mut Core, now: Timestamp) -> Result<(), OpenError> {
        let newest = ledger::newest(&core.db)?;
        let kept = match self.compare(core)? {
            Standing::Doubtful(doubt) => return Err(doubt.into()),
            Standing::Extends(size) => {
                let behind =
                    newest.filter(|note| Checkpoint::read_unproven(note).is_ok_and(|it| it.size > size));
                behind.map_or_else(|| self.withdraw(), |note| self.keep(&note))
            }
            Standing::ExtendsPromised => {
                std::fs::rename(self.promise(), &self.path).and_then(|()| sync_folder(&self.path))
            }
            Standing::Nothing if newest.is_none() => Ok(()),
            Standing::Nothing => {
                let path = self.path.display();
                tracing::warn!(%path, "The newest checkpoint is missing outside the database; what is there goes uncompared.");
                let note = ledger::change_and_sign(core, AcceptUncompared, Actor::System, now)?;
                self.keep(&note)
            }
        };
        if let Err(error) = kept {
            self.unkept(&error);
        }
        Ok(())
    }

    fn compare(&self, core: &Core) -> Result<Standing, OpenError> {
        let key = core.keys.ledger.verifier();
        let mut first_doubt = None;
        for path in [&self.path, &self.promise()] {
            let doubt = match self.read(path, &key)? {
                None => continue,
                Some(Err(why)) => Doubt::BadCheckpoint { by: self.signed(), why },
                Some(Ok(kept)) => match vouch::doubt(&core.db, &core.frontier, &kept, self.signed())? {
                    None if *path == self.path => return Ok(Standing::Extends(kept.size)),
                    None => return Ok(Standing::ExtendsPromised),
                    Some(doubt) => doubt,
                },
            };
            first_doubt = first_doubt.or(Some(doubt));
        }
        Ok(first_doubt.map_or(Standing::Nothing, Standing::Doubtful))
    }

    /// Keeps a checkpoint that is durable in the database, in place of the one before and of any promised one.
    pub(crate) fn keep(&self, note: &str) -> io::Result<()> {
        write(&self.path, note)?;
        self.withdraw()
    }

    /// Says what will be kept once another database is in place. What is kept stays.
    pub(crate) fn promise_to_keep(&self, note: &str) -> io::Result<()> {
        write(&self.promise(), note)
    }

    /// Takes a promise back: the database that it was for is not in place.
    pub(crate) fn withdraw(&self) -> io::Result<()> {
        remove_if_there(&self.promise())
    }

    /// Where it is kept.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether anything is kept.
    pub(crate) fn is_there(&self) -> bool {
        self.path.symlink_metadata().is_ok()
    }

    /// Says that the file could not be written: the older one holds, and less of the ledger is under it.
    pub(crate) fn unkept(&self, error: &io::Error) {
        let path = self.path.display();
        tracing::warn!(%error, %path, "The newest checkpoint could not be kept outside the database.");
    }

    /// How it is called where it disagrees.
    pub(crate) fn signed(&self) -> Signed {
        Signed::Outside(self.path.clone())
    }

    fn promise(&self) -> PathBuf {
        beside(&self.path, ".promised")
    }

    fn read(
        &self,
        path: &Path,
        key: &VerifierKey,
    ) -> Result<Option<Result<Checkpoint, BadCheckpoint>>, OpenError> {
        let failed = |source| OpenError::File { path: path.to_owned(), source };
        // NONBLOCK: a pipe put in its place must not hold the server.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(OpenError::Symlink(path.to_owned())),
            Err(errno) => return Err(failed(errno.into())),
        };
        let mut note = String::new();
        match file.take(NOTE_MAX).read_to_string(&mut note) {
            Ok(_) => Ok(Some(Checkpoint::open(&note, key))),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Ok(Some(Err(BadCheckpoint::Malformed("it is not text"))))
            }
            Err(error) => Err(failed(error)),
        }
    }
}

/// Writes a file whole or not at all, 0600, and durably.
fn write(path: &Path, note: &str) -> io::Result<()> {
    let new = beside(path, ".new");
    // What a crash left of an earlier one.
    remove_if_there(&new)?;
    let mut file = create(&new)?;
    file.write_all(note.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    sync_folder(path)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A thread that keeps the newest checkpoint: a disk that is slow there must hold up nobody here.
pub(crate) struct Scribe {
    queue: Option<Sender<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Scribe {
    pub(crate) fn start(outside: Outside) -> io::Result<Self> {
        let (queue, notes) = channel();
        let thread =
            std::thread::Builder::new().name("checkpoint".into()).spawn(move || run(&outside, &notes))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Has a checkpoint kept that is durable in the database.
    pub(crate) fn keep(&self, note: String) {
        if let Some(queue) = &self.queue {
            // The thread ends when this end of the queue does.
            let _sent = queue.send(note);
        }
    }
}

impl Drop for Scribe {
    /// Lets the last one be kept.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn run(outside: &Outside, notes: &Receiver<String>) {
    while let Ok(first) = notes.recv() {
        let newest = notes.try_iter().last().unwrap_or(first);
        if let Err(error) = outside.keep(&newest) {
            outside.unkept(&error);
        }
    }
}

/// Notes that there was nothing outside to compare the ledger with.
struct AcceptUncompared;

impl Change for AcceptUncompared {
    type Outcome = ();

    fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let detail = Detail::new().with(Key::REASON, "no_outside_checkpoint");
        tx.record(Entry { detail, ..tx.entry(Event::Accepted) });
        Ok(())
    }
}

/// More than any checkpoint may be long.
const NOTE_MAX: u64 = 1_000_001;
