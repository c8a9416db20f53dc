//! The command itself: what it is given, what is passed on to it, how it ends.
//!
//! It stays in our process group, so it keeps the terminal, and what is sent to the group reaches it without us: by the
//! terminal (Ctrl-C, Ctrl-Z, a new size, a hang-up), as the kernel says, or by a process, as the `witness` says. What a
//! process sends to us alone is passed on. What we were told to ignore when we were started (`nohup`, a script's
//! background) is ignored by the command too: it is not caught, so the command inherits that.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, OnceLock};

use rustix::io::FdFlags;
use rustix::process::{Pid, Signal, getpgid, getpgrp, kill_process};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Cause;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::RunRequest;
use super::mask::{self, Control, Heard, Masked};
use super::witness::Witness;
use crate::error::HolderError;

/// What is passed on. SIGTSTP is left to its default: Ctrl-Z stops us with the command, and only where somebody is
/// there to go on.
pub(super) const PASSED_ON: [i32; 8] =
    [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT];
/// Signals waiting to be passed on at most; more of them in a row tell the command nothing new.
const WAITING_MAX: usize = 32;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this code.
    Code(u8),
    /// By this signal.
    Signal(i32),
}

/// The signals that reach us, caught before the command starts so that none is lost.
pub(super) struct Signals {
    caught: mpsc::Receiver<Caught>,
    catching: signal_hook::iterator::Handle,
}

struct Caught {
    signal: i32,
    /// By a process, not by the kernel for the terminal.
    sent: bool,
}

impl Signals {
    pub(super) fn catch() -> Result<Self, HolderError> {
        let failed = |source| HolderError::Run { doing: "cannot catch signals", source };
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let heeded = PASSED_ON.into_iter().filter(|signal| !is_ignored(&status, *signal));
        let mut signals = SignalsInfo::<WithOrigin>::new(heeded).map_err(failed)?;
        let catching = signals.handle();
        let (found, caught) = mpsc::channel(WAITING_MAX);
        let catch = move || {
            for origin in signals.forever() {
                let sent = matches!(origin.cause, Cause::Sent(_));
                let _ = found.try_send(Caught { signal: origin.signal, sent });
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(catch).map_err(failed)?;
        Ok(Self { caught, catching })
    }

    /// Waits for a signal that would end us: before there is a command, nobody else can obey it.
    pub(super) async fn stop(&mut self) {
        while let Some(caught) = self.caught.recv().await {
            if [SIGINT, SIGTERM, SIGHUP, SIGQUIT].contains(&caught.signal) {
                return;
            }
        }
        std::future::pending().await
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.catching.close();
    }
}

/// Finds a command out that cannot be started, before anything is asked of anybody. `path` is `PATH`; where there is none,
/// and in doubt, starting it will tell.
///
/// # Errors
/// `Usage` if there is no command, `Start` if it is not found, or is nothing that can be run.
pub fn look_up(command: &[OsString], path: Option<&OsStr>) -> Result<(), HolderError> {
    let program = match command.first() {
        Some(program) if !program.is_empty() => program,
        _ => return Err(HolderError::Usage { what: "a command is needed after `--`".into() }),
    };
    let places: Vec<PathBuf> = match path {
        // As execvp(3) has it: a name with a slash is looked up nowhere.
        _ if program.as_encoded_bytes().contains(&b'/') => vec![program.into()],
        Some(path) => std::env::split_paths(path).map(|folder| folder.join(program)).collect(),
        None => return Ok(()),
    };
    let mut why = ErrorKind::NotFound;
    for place in places {
        match std::fs::metadata(&place) {
            Ok(found) if found.is_file() && found.mode() & 0o111 != 0 => return Ok(()),
            Ok(_) => why = ErrorKind::PermissionDenied,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => why = ErrorKind::PermissionDenied,
            Err(_) => {}
        }
    }
    Err(HolderError::Start { command: program.to_string_lossy().into_owned(), source: why.into() })
}

/// What a command is given, besides what everything inherits.
#[derive(Default)]
pub(super) struct Given {
    /// Variables it has. SECURITY: in the environment of the command alone; never in its arguments, which everybody may
    /// read.
    pub(super) variables: Vec<(OsString, Zeroizing<Vec<u8>>)>,
    /// Variables it does not have.
    pub(super) without: Vec<OsString>,
    /// Descriptors it inherits, at the numbers they have here.
    pub(super) inherited: Vec<OwnedFd>,
    /// Which process it is, once it is one.
    pub(super) started: Arc<OnceLock<Pid>>,
}

impl Given {
    pub(super) fn variable(&mut self, name: impl Into<OsString>, value: impl Into<Vec<u8>>) {
        self.variables.push((name.into(), Zeroizing::new(value.into())));
    }
}

/// A command that runs.
enum Running {
    /// As our child.
    Ours(Child),
    /// As a child of the monitor, which leads its session.
    Monitored { monitor: Child, control: Control },
}

impl Running {
    /// Ours, or the monitor: the process that all of the command descends from.
    fn pid(&self) -> Pid {
        let (Self::Ours(child) | Self::Monitored { monitor: child, .. }) = self;
        child.id().and_then(|pid| Pid::from_raw(pid as i32)).expect("it is not waited for yet")
    }

    /// Waits until it stops or ends.
    async fn hear(&mut self) -> std::io::Result<Heard> {
        match self {
            Self::Ours(child) => Ok(Heard::Ended(ended(child.wait().await?))),
            Self::Monitored { control, .. } => match control.hear().await {
                Heard::Nothing => Err(std::io::Error::other("the process that leads its session is gone")),
                heard => Ok(heard),
            },
        }
    }
}

/// Starts the command.
fn start(request: &RunRequest, mut given: Given, masked: &mut Option<Masked>) -> std::io::Result<Running> {
    let (program, arguments) = request.command.split_first().expect("the command was looked up");
    let whole = masked.as_ref().is_some_and(Masked::is_whole);
    let mut control = None;
    let mut command = if whole {
        let (ours, theirs) = Control::pair()?;
        let mut command = Command::new(&request.beside.program);
        command.arg0("hallpass-terminal");
        command.args(mask::arguments(&request.beside.terminal, theirs.as_raw_fd(), &request.command));
        given.inherited.push(theirs);
        control = Some(ours);
        command
    } else {
        let mut command = Command::new(program);
        command.args(arguments);
        command
    };
    if let Some(masked) = masked {
        masked.connect(&mut command);
    }
    for name in request.without.iter().chain(&given.without) {
        command.env_remove(name);
    }
    for (name, value) in &given.variables {
        command.env(name, OsStr::from_bytes(value));
    }
    // Between the two nothing else is started: everything that is, is by this thread.
    for inherited in &given.inherited {
        rustix::io::fcntl_setfd(inherited, FdFlags::empty())?;
    }
    let started = command.spawn();
    for inherited in &given.inherited {
        rustix::io::fcntl_setfd(inherited, FdFlags::CLOEXEC)?;
    }
    Ok(match control {
        Some(control) => Running::Monitored { monitor: started?, control },
        None => Running::Ours(started?),
    })
}

/// Runs the command to its end. `meanwhile` goes on beside it and never ends.
pub(super) async fn run(
    request: &RunRequest,
    given: Given,
    mut masked: Option<Masked>,
    signals: &mut Signals,
    witness: &mut Witness,
    meanwhile: impl Future<Output = std::convert::Infallible>,
) -> Result<Ended, HolderError> {
    let program = request.command.first().expect("the command was looked up");
    let started = given.started.clone();
    let mut running = start(request, given, &mut masked)
        .map_err(|source| HolderError::Start { command: program.to_string_lossy().into_owned(), source })?;
    let pid = running.pid();
    let _ = started.set(pid);
    // Before the command can have said a word: what is typed in answer to that is for it.
    if let Some(masked) = &masked {
        masked.go_on();
    }
    // What came before the command was there has not reached it.
    witness.forget().await;
    let mut meanwhile = std::pin::pin!(meanwhile);
    let ended = loop {
        tokio::select! {
            heard = running.hear() => match heard {
                Ok(Heard::Ended(ended)) => break Ok(ended),
                Ok(_) => {
                    if let (Some(masked), Running::Monitored { control, .. }) = (&masked, &mut running) {
                        masked.stop();
                        control.go_on().await;
                    }
                }
                Err(source) => break Err(HolderError::Run { doing: "cannot wait for the command", source }),
            },
            Some(caught) = signals.caught.recv() => match &mut running {
                Running::Ours(_) => {
                    if let (SIGWINCH, Some(masked)) = (caught.signal, &masked) {
                        masked.resize();
                        // It may have looked before.
                        let _ = kill_process(pid, Signal::WINCH);
                    }
                    pass_on(&caught, pid, witness).await;
                }
                // It is in a session of its own: nothing reaches it without us.
                Running::Monitored { control, .. } => match (caught.signal, &masked) {
                    (SIGWINCH, Some(masked)) => masked.resize(),
                    (SIGCONT, Some(masked)) => {
                        masked.go_on();
                        control.go_on().await;
                    }
                    (signal, _) => control.send(signal).await,
                },
            },
            never = &mut meanwhile => match never {},
        }
    };
    if let Some(masked) = masked {
        masked.finish().await;
    }
    ended
}

/// Passes a signal on, unless it reached the command without us.
async fn pass_on(caught: &Caught, command: Pid, witness: &mut Witness) {
    // Asked also where that is known, so that it is not taken for a later one.
    let to_the_group = witness.heard(caught.signal).await;
    let in_the_group = getpgid(Some(command)).is_ok_and(|group| group == getpgrp());
    if !caught.sent || (to_the_group && in_the_group) {
        return;
    }
    // The command is our child and not waited for yet, so its pid is nobody else's.
    if let Some(signal) = Signal::from_named_raw(caught.signal) {
        let _ = kill_process(command, signal);
    }
}

/// Whether a process ignores a signal, by its `/proc/PID/status` (proc_pid_status(5)). Where there is none, it does not.
fn is_ignored(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (signal - 1) & 1 == 1
}

fn ended(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Code(code as u8),
        (None, signal) => Ended::Signal(signal.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_ignored_stands_in_the_status_of_a_process() {
        let nohup = "Name:\thallpass\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        assert!(is_ignored(nohup, SIGHUP) && !is_ignored(nohup, SIGINT) && !is_ignored(nohup, SIGCONT));
        assert!(!is_ignored("", SIGHUP) && !is_ignored("SigIgn:\tx\n", SIGHUP));
    }

    #[test]
    fn a_command_is_looked_up_as_it_will_be_started() {
        let folder = tempfile::tempdir().unwrap();
        for (name, mode) in [("runs", 0o700), ("text", 0o600)] {
            let file = folder.path().join(name);
            std::fs::write(&file, "").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let path = std::env::join_paths([Path::new("/nowhere"), folder.path()]).unwrap();
        let found = |program: &str| match look_up(&[program.into()], Some(&path)) {
            Ok(()) => None,
            Err(HolderError::Start { source, .. }) => Some(source.kind()),
            Err(other) => panic!("{other}"),
        };
        let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        assert_eq!((found("runs"), found(&place("runs"))), (None, None));
        for missing in ["run", "./runs", &place("run"), &place("runs/run")] {
            assert_eq!(found(missing), Some(ErrorKind::NotFound), "{missing}");
        }
        for other in ["text", &place("text"), &place("")] {
            assert_eq!(found(other), Some(ErrorKind::PermissionDenied), "{other}");
        }
        assert!(look_up(&["whatever".into()], None).is_ok());
        assert!(matches!(look_up(&[], Some(&path)), Err(HolderError::Usage { .. })));
    }
}
