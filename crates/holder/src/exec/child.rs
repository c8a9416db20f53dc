//! The command itself: what it is given, what is passed on to it, how it ends.
//!
//! It stays in our process group, so it keeps the terminal, and what the terminal sends to the group (Ctrl-C, Ctrl-Z,
//! a new size, a hang-up) reaches it without us. What a *process* sends to us alone is passed on. The kernel says
//! which of the two a signal was, so nothing arrives twice.

use std::ffi::OsString;
use std::io::{Error, ErrorKind};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use hallpass_model::secret::{AccessToken, Secret};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Cause;
use tokio::process::Command;
use tokio::sync::mpsc;

use super::RunRequest;
use crate::error::HolderError;

/// What is passed on. SIGTSTP is left to its default: Ctrl-Z stops us with the command, and only where somebody is
/// there to go on.
const PASSED_ON: [i32; 8] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT];
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
    /// By a process, not by the kernel for the whole group.
    sent: bool,
}

impl Signals {
    pub(super) fn catch() -> Result<Self, HolderError> {
        let failed = |source| HolderError::Start { command: "the signal thread".into(), source };
        let mut signals = SignalsInfo::<WithOrigin>::new(PASSED_ON).map_err(failed)?;
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

/// Whether the command can be found, before anything is asked of anybody.
pub(super) fn look_up(command: &[OsString]) -> Result<(), HolderError> {
    match command.first() {
        Some(program) if !program.is_empty() => Ok(()),
        _ => Err(HolderError::Usage { what: "a command is needed after `--`".into() }),
    }
}

/// Runs the command to its end. `meanwhile` goes on beside it and never ends.
pub(super) async fn run(
    request: &RunRequest,
    token: &Secret<AccessToken>,
    signals: &mut Signals,
    meanwhile: impl Future<Output = std::convert::Infallible>,
) -> Result<Ended, HolderError> {
    let (program, arguments) = request.command.split_first().expect("the command was looked up");
    let failed =
        |source: Error| HolderError::Start { command: program.to_string_lossy().into_owned(), source };
    // SECURITY: in the environment of the command alone; never in its arguments, which everybody may read.
    let mut child = Command::new(program)
        .args(arguments)
        .env(&request.variable, token.expose_text())
        .spawn()
        .map_err(failed)?;
    let pid = child.id().and_then(|pid| Pid::from_raw(pid as i32));
    let pid = pid.ok_or_else(|| failed(Error::from(ErrorKind::NotFound)))?;
    let mut meanwhile = std::pin::pin!(meanwhile);
    loop {
        tokio::select! {
            status = child.wait() => return Ok(ended(status.map_err(failed)?)),
            Some(Caught { signal, sent: true }) = signals.caught.recv() => {
                // The child is ours and not waited for yet, so its pid is nobody else's.
                if let Some(signal) = Signal::from_named_raw(signal) {
                    let _ = kill_process(pid, signal);
                }
            }
            never = &mut meanwhile => match never {},
        }
    }
}

fn ended(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Code(code as u8),
        (None, signal) => Ended::Signal(signal.unwrap_or_default()),
    }
}
