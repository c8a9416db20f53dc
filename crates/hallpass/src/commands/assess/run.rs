//! Running a tool: on a terminal of its own with somebody at it, or without one; with the network, or without.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use clap::Args;
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::thread::UnshareFlags;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::scene::{Network, Scene};
use super::seen::Seen;
use crate::failure::{Exit, Failure};
use crate::namespace;
use crate::output::Output;

/// The hidden command that becomes the tool, once it has what it shall have.
pub(crate) const RUN: &str = "assess-run";
/// How often to look at processes and files.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long one that was asked to end may take, before it is made to.
const GRACE: Duration = Duration::from_secs(5);
/// How long one that showed an address may still say something that goes with it.
const AFTER_ADDRESS: Duration = Duration::from_millis(500);
/// How long the last words of one that has ended are waited for, where something it left behind keeps its terminal.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// What one without a terminal says at most, in bytes: the rest is thrown away.
const SAID_MAX: usize = 1024 * 1024;

/// What the hidden command is told.
#[derive(Debug, Args)]
pub(crate) struct BecomingArgs {
    /// Take standard input for the controlling terminal
    #[arg(long)]
    terminal: bool,

    /// Leave the network behind
    #[arg(long)]
    cut: bool,

    /// The tool; nothing, to see whether all that can be done
    #[arg(last = true)]
    command: Vec<OsString>,
}

/// How a run went.
pub(super) struct Ran {
    /// Its exit code; `None` if it was still going when its time was up, or when it had said where to go on.
    pub(super) code: Option<i32>,
    /// What it said.
    pub(super) said: Zeroizing<String>,
    /// After how long it first said something.
    pub(super) first_word: Option<Duration>,
}

impl Ran {
    /// Whether it named an address to go on at.
    pub(super) fn says_where(&self) -> bool {
        self.said.contains("https://") || self.said.contains("http://")
    }
}

/// A process that leads a session, and takes the session with it when it is dropped.
pub(super) struct Session(tokio::process::Child, Option<Pid>);

impl Session {
    pub(super) fn of(child: tokio::process::Child) -> Self {
        let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        Self(child, pid)
    }

    /// Waits for its end: how it left, and what it said on both.
    pub(super) async fn answer(&mut self) -> std::io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
        let (mut stdout, mut stderr) = (self.0.stdout.take(), self.0.stderr.take());
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let read_out =
            async { if let Some(from) = &mut stdout { from.read_to_end(&mut out).await } else { Ok(0) } };
        let read_err =
            async { if let Some(from) = &mut stderr { from.read_to_end(&mut err).await } else { Ok(0) } };
        let (a, b) = tokio::join!(read_out, read_err);
        a.and(b)?;
        Ok((self.0.wait().await?, out, err))
    }

    /// Asks it to end, so that it can give back what it holds.
    async fn stop(&mut self) {
        if let Some(pid) = self.1 {
            let _ = kill_process_group(pid, Signal::TERM); // it may have ended meanwhile
        }
        let _ = tokio::time::timeout(GRACE, self.0.wait()).await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(pid) = self.1 {
            let _ = kill_process_group(pid, Signal::KILL); // mostly there is nobody left
        }
    }
}

/// The hidden command, to become another.
pub(super) fn becoming(command: &[OsString], terminal: bool, cut: bool) -> Command {
    let mut child = Command::new("/proc/self/exe");
    child.arg0("hallpass-assess").arg(RUN);
    child.args(terminal.then_some("--terminal")).args(cut.then_some("--cut"));
    child.arg("--").args(command);
    child
}

/// What a command can be without here: the whole network, or a proxy that leads to it.
pub(super) fn without_network() -> Network {
    let mut tries = becoming(&[], false, true);
    let tried = tries.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if tried.is_ok_and(|status| status.success()) { Network::Cut } else { Network::Refused }
}

/// Runs a command on a terminal of its own, and watches it. What it says is passed on, so that a person can do what it
/// asks for.
pub(super) async fn at_terminal(
    scene: &Scene,
    command: &[OsString],
    at_most: Duration,
    seen: &mut Seen,
    out: &mut Output,
) -> Result<Ran, Failure> {
    let cannot =
        |error: std::io::Error| Failure::could_not_run(format_args!("cannot give it a terminal: {error}"));
    let (ours, theirs) = terminal().map_err(cannot)?;
    let stdio = || theirs.try_clone().map(Stdio::from).map_err(cannot);
    let mut child = becoming(command, true, false);
    child.env_clear().envs(scene.environment(Network::There)).current_dir(scene.home());
    child.stdin(stdio()?).stdout(stdio()?).stderr(stdio()?);
    let mut child = Session::of(tokio::process::Command::from(child).spawn().map_err(cannot)?);
    drop(theirs);
    let (heard, words) = mpsc::channel::<Zeroizing<Vec<u8>>>();
    let mut listens = std::fs::File::from(ours.try_clone().map_err(cannot)?);
    std::thread::spawn(move || {
        let mut chunk = [0u8; 4096];
        // A terminal whose last reader is gone is an error, and the end.
        while let Ok(len @ 1..) = listens.read(&mut chunk) {
            if heard.send(Zeroizing::new(chunk[..len].to_vec())).is_err() {
                return;
            }
        }
    });
    typed_through(ours);
    let started = Instant::now();
    let session = Pid::as_raw(child.1);
    let mut ran = Ran { code: None, said: Zeroizing::default(), first_word: None };
    loop {
        seen.look_at_processes(session, &scene.given);
        seen.look_at_files(&scene.home());
        let over = child.0.try_wait().map_err(cannot)?;
        words.try_iter().for_each(|chunk| hear(&mut ran, started, &chunk, out));
        if let Some(status) = over {
            ran.code = Some(code_of(status));
            break;
        }
        if started.elapsed() >= at_most {
            child.stop().await;
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    // Its last words may be on their way yet: they are over when nobody has the terminal any more.
    let last = Instant::now() + LAST_WORDS;
    while let Ok(chunk) = words.recv_timeout(last.saturating_duration_since(Instant::now())) {
        hear(&mut ran, started, &chunk, out);
    }
    seen.look_at_files(&scene.home());
    Ok(ran)
}

/// Takes in what a tool said, and passes it on.
fn hear(ran: &mut Ran, started: Instant, chunk: &[u8], out: &mut Output) {
    ran.first_word.get_or_insert(started.elapsed());
    let text = Zeroizing::new(String::from_utf8_lossy(chunk).into_owned());
    out.prompt(&*text);
    ran.said.push_str(&text);
}

/// Runs a command without a terminal, and without anybody who could answer. Once it has named an address to go on at, it is
/// asked to end: nobody will.
pub(super) async fn alone(
    scene: &Scene,
    command: &[OsString],
    at_most: Duration,
    network: Network,
) -> Result<Ran, Failure> {
    let cannot = |error: std::io::Error| Failure::could_not_run(format_args!("cannot run it: {error}"));
    let (ours, theirs) = std::io::pipe().map_err(cannot)?;
    let mut hears = tokio::net::unix::pipe::Receiver::from_owned_fd(ours.into()).map_err(cannot)?;
    let mut child = becoming(command, false, network == Network::Cut);
    child.env_clear().envs(scene.environment(network)).current_dir(scene.home());
    child.stdin(Stdio::null()).stdout(theirs.try_clone().map_err(cannot)?).stderr(theirs);
    let mut child_command = tokio::process::Command::from(child);
    let mut child = Session::of(child_command.spawn().map_err(cannot)?);
    // Our copies of its ends must go, or its words would never have an end.
    drop(child_command);
    let started = Instant::now();
    let mut ran = Ran { code: None, said: Zeroizing::default(), first_word: None };
    let (mut until, mut chunk) = (started + at_most, Zeroizing::new([0u8; 4096]));
    let mut speaks = true;
    loop {
        tokio::select! {
            // In this order: what it said before it ended is heard.
            biased;
            heard = hears.read(&mut chunk[..]), if speaks => match heard {
                Ok(len @ 1..) => {
                    ran.first_word.get_or_insert(started.elapsed());
                    if ran.said.len() < SAID_MAX {
                        ran.said.push_str(&String::from_utf8_lossy(&chunk[..len]));
                    }
                    if ran.says_where() {
                        until = until.min(Instant::now() + AFTER_ADDRESS);
                    }
                }
                // All who could speak have gone, or have closed what they had.
                _ => speaks = false,
            },
            status = child.0.wait() => {
                ran.code = status.ok().map(code_of);
                break;
            }
            () = tokio::time::sleep_until(until) => {
                child.stop().await;
                break;
            }
        }
    }
    Ok(ran)
}

/// Our end of a new terminal, and the other.
fn terminal() -> std::io::Result<(OwnedFd, OwnedFd)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let theirs = ioctl_tiocgptpeer(&ours, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    Ok((ours, theirs))
}

/// What a person types goes to the tool.
fn typed_through(terminal: OwnedFd) {
    std::thread::spawn(move || {
        let (mut terminal, mut line) = (std::fs::File::from(terminal), String::new());
        while std::io::stdin().read_line(&mut line).is_ok_and(|len| len > 0) {
            if terminal.write_all(line.as_bytes()).is_err() {
                return;
            }
            line.clear();
        }
        // Its terminal stays open for as long as we are here: one that hangs up would end it.
        std::thread::park();
    });
}

pub(super) fn code_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// The hidden command's whole life: it leads a session of its own, with a terminal or without one, and becomes the tool.
pub(crate) fn become_tool(args: &BecomingArgs) -> Result<Exit, Failure> {
    let cannot = |what: &'static str| {
        move |error: std::io::Error| Failure::could_not_run(format_args!("cannot {what}: {error}"))
    };
    rustix::process::setsid().map_err(|error| cannot("lead a session")(error.into()))?;
    if args.terminal {
        rustix::process::ioctl_tiocsctty(std::io::stdin())
            .map_err(|error| cannot("take the terminal")(error.into()))?;
    }
    if args.cut {
        namespace::enter(UnshareFlags::NEWNET).map_err(cannot("leave the network"))?;
    }
    let Some((program, arguments)) = args.command.split_first() else { return Ok(Exit::DONE) };
    let error = Command::new(program).args(arguments).exec();
    let exit =
        if error.kind() == std::io::ErrorKind::NotFound { Exit::NOT_FOUND } else { Exit::NOT_RUNNABLE };
    Err(Failure::could_not_run(format_args!("cannot run `{}`: {error}", program.to_string_lossy()))
        .leaving_with(exit))
}
