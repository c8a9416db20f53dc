//! Handing over: where an upgrade put another program at the daemon's place, that takes over what exists in this memory alone,
//! and the listening socket with it, so that nobody who asks notices.
//!
//! 1. The successor is started, and says that it runs. Until then everybody is answered as ever.
//! 2. Nobody is let in any more: they wait at the socket, which stays open. Questions and renewals under way come to their end.
//! 3. The successor is told everything, and says that it has it. Only then this daemon wipes what it had, and ends.
//!
//! Whatever goes wrong before that, the successor is killed *first*, and this daemon goes on: there are never two that renew. A
//! daemon that dies in the middle leaves a successor that was told everything, or a session as lost as by any `kill -9`.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use super::channel::{self, Handed, KNOWS, SERVES};
use super::conversation::{Answer, render};
use super::office::Office;
use super::problem::Problem;
use super::program::{Another, FileId, Program};
use super::wire::HandedOver;

/// How long a successor may take to say that it runs: a machine that is busy with the upgrade is slow. Nobody waits for it.
const KNOWS_TIME_OUT: Duration = Duration::from_secs(10);
/// How long the questions under way may take to come to their end. With the next, less than anybody waits for an answer that
/// needs no issuer. Where one takes longer, a better moment is waited for.
pub(super) const QUIET_TIME_OUT: Duration = Duration::from_secs(2);
/// How long a successor may take to say that it has everything: it only writes it down.
const SERVES_TIME_OUT: Duration = Duration::from_secs(2);
/// A token is on its way from an issuer that takes its time, perhaps.
const BUSY: &str = "questions are being answered that take long; it is tried again in a better moment";
/// How much of what a successor says of its end is repeated, in bytes.
const LAST_WORDS_MAX: u64 = 4096;

/// A successor that runs, and waits to be told everything.
pub(super) struct Successor {
    child: Child,
    channel: tokio::net::UnixStream,
}

/// A successor for the loop that lets people in, and where it says what came of it.
pub(super) struct Coming {
    pub(super) successor: Successor,
    pub(super) came_of_it: oneshot::Sender<Result<u32, Hitch>>,
}

/// Why another did not take over.
#[derive(Debug, Clone)]
pub(super) struct Hitch {
    pub(super) why: String,
    /// It is about the moment, and not about that program.
    pub(super) passes: bool,
}

impl From<String> for Hitch {
    fn from(why: String) -> Self {
        Self { why, passes: false }
    }
}

/// What kept the program that is there now from taking over.
#[derive(Debug, Clone)]
pub(super) struct NotHanded {
    /// Which one is not tried again, unless somebody asks for it.
    pub(super) not_again: Option<FileId>,
    pub(super) why: String,
}

impl Successor {
    /// Starts it, and waits until it says that it runs.
    ///
    /// # Errors
    /// Why it does not. Nothing of it is left then.
    pub(super) async fn start(program: &Program, another: &Another) -> Result<Self, String> {
        use std::os::fd::AsRawFd;
        let failed = |why: io::Error| format!("`{}` cannot be started: {why}", program.place.display());
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        // What was looked at is what is started, whatever stands at its place by then.
        let child = Command::new(format!("/proc/self/fd/{}", another.file.as_raw_fd()))
            .arg0(&program.place)
            .args(&program.arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut successor = Self { child, channel: tokio::net::UnixStream::from_std(ours).map_err(failed)? };
        match successor.hear(KNOWS, KNOWS_TIME_OUT).await {
            Ok(()) => Ok(successor),
            Err(why) => Err(successor.gone(why).await),
        }
    }

    /// Tells it everything, and waits until it has it.
    async fn tell(&mut self, files: &[BorrowedFd<'_>], handed: &Handed) -> Result<(), &'static str> {
        let told = async {
            channel::send(self.channel.as_fd(), files)?;
            self.channel.write_all(&handed.render()).await
        };
        match tokio::time::timeout(SERVES_TIME_OUT, told).await {
            Ok(Ok(())) => self.hear(SERVES, SERVES_TIME_OUT).await,
            Ok(Err(_)) => Err("it did not listen"),
            Err(_) => Err("it did not listen in time"),
        }
    }

    async fn hear(&mut self, word: &[u8; 8], time_out: Duration) -> Result<(), &'static str> {
        let mut said = [0; 8];
        match tokio::time::timeout(time_out, self.channel.read_exact(&mut said)).await {
            Ok(Ok(_)) if said == *word => Ok(()),
            Ok(Ok(_)) => Err("it is of another version than this one can hand over to"),
            Ok(Err(_)) => Err("it ended"),
            Err(_) => Err("it did not answer in time"),
        }
    }

    /// Sees to it that nothing of it is left, and says why so, with its own words if it had any.
    async fn gone(mut self, why: &str) -> String {
        let _ = self.child.kill().await;
        let mut said = String::new();
        if let Some(stderr) = self.child.stderr.take()
            && let Ok(stderr) = stderr.into_owned_fd()
        {
            // Whatever it started may hold the other end yet: only what is there is read.
            let _ = rustix::io::ioctl_fionbio(&stderr, true);
            let mut bytes = Vec::new();
            let _ = std::fs::File::from(stderr).take(LAST_WORDS_MAX).read_to_end(&mut bytes);
            said = String::from_utf8_lossy(&bytes).into_owned();
        }
        let said = hallpass_model::purpose::plain(said.trim().trim_start_matches("error: "), 400);
        if said.is_empty() { why.to_owned() } else { format!("{why}: {said}") }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    pub(super) fn into_child(self) -> Child {
        self.child
    }
}

/// Step 3. Who lets people in has stopped doing so. Whether the successor has taken over; if not, nothing of it is left.
pub(super) async fn hand_over(
    office: &Office,
    files: &[BorrowedFd<'_>],
    quiet: impl Future<Output = ()>,
    place: &std::path::Path,
    mut successor: Successor,
) -> Result<Successor, Hitch> {
    let _still = office.keep_still().await;
    office.mute(None);
    let told = async {
        let settled = async {
            quiet.await;
            office.settled().await;
        };
        if tokio::time::timeout(QUIET_TIME_OUT, settled).await.is_err() {
            return Err((BUSY, true));
        }
        let handed = office.handed(place).map_err(|_| ("what is here alone cannot be opened", false))?;
        successor.tell(files, &handed).await.map_err(|why| (why, false))
    };
    match told.await {
        Ok(()) => {
            office.wipe();
            Ok(successor)
        }
        Err((why, passes)) => {
            let why = successor.gone(why).await;
            office.listen_to_all();
            Err(Hitch { why, passes })
        }
    }
}

impl Office {
    /// `POST /v1/hand-over`.
    pub(super) async fn asked_to_hand_over(&self) -> Result<Answer, Problem> {
        // Who waits for this is no question under way that it would have to wait for.
        let _waits = self.waits_for_hand_over();
        let outcome = self.try_to_hand_over(true).await;
        let (pid, why) = match outcome {
            Ok(pid) => (pid, None),
            Err(hitch) => (None, Some(hitch.why)),
        };
        Ok(render(&HandedOver {
            handed_over: pid.is_some(),
            pid: pid.unwrap_or_else(std::process::id),
            program: self.program().map(|program| program.place.clone()),
            why,
        }))
    }

    /// Where another program stands at our place for as long as two looks are apart, and it is not one that would not. What is
    /// being written just now is left alone.
    pub(super) async fn look_for_successor(&self, seen: &mut Option<FileId>) {
        let there = self.program().and_then(Program::replaced);
        let stands = there.is_some() && std::mem::replace(seen, there) == there;
        if stands {
            // Why not is in the status.
            let _ = self.try_to_hand_over(false).await;
        }
    }

    /// The successor's process, or `None` where there is no other program, or only one that would not, and nobody asks for it to
    /// be tried `again`.
    async fn try_to_hand_over(&self, again: bool) -> Result<Option<u32>, Hitch> {
        let mut turn = self.handing().lock().await;
        if let Some(pid) = *turn {
            return Ok(Some(pid)); // done while we waited
        }
        let Some(program) = self.program() else { return Ok(None) };
        let mut to = program.replaced();
        if !again && self.not_handed().is_some_and(|not| not.not_again == to) {
            return Ok(None);
        }
        let outcome = async {
            let Some(another) = program.another()? else { return Ok(None) };
            to = Some(another.id);
            let successor = Successor::start(program, &another).await?;
            let (came_of_it, outcome) = oneshot::channel();
            let stopped = || Hitch::from("the daemon stops".to_owned());
            self.successors().send(Coming { successor, came_of_it }).await.map_err(|_| stopped())?;
            outcome.await.map_err(|_| stopped())?.map(Some)
        };
        let outcome = outcome.await;
        self.set_not_handed(
            outcome
                .as_ref()
                .err()
                .map(|hitch| NotHanded { not_again: to.filter(|_| !hitch.passes), why: hitch.why.clone() }),
        );
        if let Ok(Some(pid)) = outcome {
            *turn = Some(pid);
        }
        outcome
    }
}
