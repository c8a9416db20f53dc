//! From the command to where its output goes, without tokens. A thread of its own: what it writes to may be slow, and may
//! belong to others, who would be surprised if it did not block.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::oneshot;

use crate::exec::scrub::{Current, Mask, Scrubber};

/// So much is read at once.
const PIECE_LEN: usize = 64 * 1024;
/// How often a relay that hears nothing looks whether the command has ended, and how long after that it waits for more: a
/// process that the command left behind may hold its output open for ever.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// And how long it listens to one that goes on writing.
const LISTEN_ON: Duration = Duration::from_secs(1);

/// A relay that runs.
pub(super) struct Relay {
    /// The command has ended.
    ended: Arc<AtomicBool>,
    done: oneshot::Receiver<()>,
}

impl Relay {
    pub(super) fn start(from: OwnedFd, to: OwnedFd, words: Current) -> std::io::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let (when_done, done) = oneshot::channel();
        let seen = ended.clone();
        std::thread::Builder::new().name("relay".into()).spawn(move || {
            // Nobody reads on: neither do we, and the command learns it as it would have.
            let _ = relay(&from, &to, &words, &seen);
            drop(from);
            let _ = when_done.send(());
        })?;
        Ok(Self { ended, done })
    }

    /// Waits until all that the command wrote is written.
    pub(super) async fn finish(self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = self.done.await;
    }
}

fn relay(from: &OwnedFd, to: &OwnedFd, words: &Current, ended: &AtomicBool) -> std::io::Result<()> {
    let mut scrubber = Scrubber::new(Mask::Label);
    let (mut piece, mut clean) = (vec![0; PIECE_LEN], Vec::new());
    let (mut patience, mut ended_at): (Option<Instant>, Option<Instant>) = (None, None);
    loop {
        if ended.load(Ordering::Relaxed) && now() > *ended_at.get_or_insert_with(now) + LISTEN_ON {
            break;
        }
        let wait =
            patience.map_or(LOOK_AGAIN, |until| until.saturating_duration_since(now())).min(LOOK_AGAIN);
        if readable(from, wait)? {
            let read = match rustix::io::read(from, &mut piece) {
                Ok(read) => read,
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => continue,
                // The last one that had the terminal has closed it.
                Err(rustix::io::Errno::IO) => 0,
                Err(error) => return Err(error.into()),
            };
            if read == 0 {
                break;
            }
            scrubber.push(&words(), &piece[..read], &mut clean);
            write_all(to, &clean)?;
            clean.clear();
            patience = scrubber.patience().map(|patience| now() + patience);
        } else if patience.is_some_and(|until| until <= now()) {
            scrubber.let_go(&mut clean);
            write_all(to, &clean)?;
            clean.clear();
            patience = None;
        } else if ended.load(Ordering::Relaxed) && patience.is_none() {
            break;
        }
    }
    scrubber.finish(&mut clean);
    write_all(to, &clean)
}

fn now() -> Instant {
    Instant::now()
}

fn readable(from: &OwnedFd, wait: Duration) -> std::io::Result<bool> {
    let mut polled = [PollFd::new(from, PollFlags::IN)];
    let wait = Timespec { tv_sec: wait.as_secs() as _, tv_nsec: wait.subsec_nanos().into() };
    match poll(&mut polled, Some(&wait)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Writes all of it, also where somebody else has made the other end one that does not block.
pub(super) fn write_all(to: &OwnedFd, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::new(to, PollFlags::OUT)], None);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
