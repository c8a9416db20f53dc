//! Takes the token out of what a command writes, and leaves it its terminal.
//!
//! 1. Where the command has a terminal to read from and to write to, it gets one of its own (`pseudo`): a process of ours
//!    leads its session and hears of its jobs (`monitor`), keys and size are passed on (`terminal`), and Ctrl-Z stops us
//!    when it stops the command.
//! 2. Where it only writes to a terminal, what it writes to is one too, and everything else stays as it is.
//! 3. What is no terminal is a pipe, standard output and standard error each their own.
//!
//! What comes out is scrubbed (`scrub`) and written to where it was going (`relay`).

mod monitor;
mod relay;
mod terminal;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;

use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, Termios, Winsize};

pub(super) use monitor::{Control, Heard};
pub use monitor::{monitor, start_in_turn};

use super::scrub::Current;
use crate::error::HolderError;
use relay::Relay;
use terminal::Terminal;

/// What a command's input and outputs are made of, and what is done with what comes out.
pub(super) struct Masked {
    /// The command's ends, until it has them.
    ends: Option<Ends>,
    relays: Vec<Relay>,
    /// The outputs' own terminal, whose size follows the person's.
    pseudo: Option<OwnedFd>,
    /// The person's, where the command got one of its own in its place.
    terminal: Option<Terminal>,
}

struct Ends {
    input: Option<Stdio>,
    output: Stdio,
    errors: Stdio,
}

impl Masked {
    /// Makes them ready. `words` are what is taken out.
    pub(super) fn prepare(words: &Current) -> Result<Self, HolderError> {
        let failed = |source| HolderError::Run { doing: "cannot make a terminal for the command", source };
        Self::prepared(words).map_err(failed)
    }

    fn prepared(words: &Current) -> std::io::Result<Self> {
        let (input, output, errors) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let (to_output, to_errors) =
            (output.as_fd().try_clone_to_owned()?, errors.as_fd().try_clone_to_owned()?);
        let whole = input.is_terminal() && output.is_terminal();
        let mut masked = Self { ends: None, relays: Vec::new(), pseudo: None, terminal: None };
        let mut pseudo = None;
        if output.is_terminal() || errors.is_terminal() {
            let theirs = if output.is_terminal() { output.as_fd() } else { errors.as_fd() };
            pseudo = Some(Pseudo::like(theirs, whole)?);
        }
        let mut ends = Ends { input: None, output: Stdio::null(), errors: Stdio::null() };
        if let Some(pseudo) = &pseudo {
            let to = if output.is_terminal() { &to_output } else { &to_errors };
            let came = pseudo.ours.try_clone()?;
            masked.relays.push(Relay::start(came, to.try_clone()?, words.clone())?);
            masked.pseudo = Some(pseudo.ours.try_clone()?);
        }
        for (is_terminal, end, to) in [
            (output.is_terminal(), &mut ends.output, to_output),
            (errors.is_terminal(), &mut ends.errors, to_errors),
        ] {
            match &pseudo {
                Some(pseudo) if is_terminal => *end = pseudo.theirs.try_clone()?.into(),
                _ => {
                    let (ours, theirs) = std::io::pipe()?;
                    *end = theirs.into();
                    masked.relays.push(Relay::start(ours.into(), to, words.clone())?);
                }
            }
        }
        if let (true, Some(pseudo)) = (whole, pseudo) {
            ends.input = Some(pseudo.theirs.try_clone()?.into());
            masked.terminal = Some(Terminal::take(pseudo.ours)?);
        }
        masked.ends = Some(ends);
        Ok(masked)
    }

    /// Whether the command has a terminal of its own.
    pub(super) fn is_whole(&self) -> bool {
        self.terminal.is_some()
    }

    /// Gives the command its ends.
    pub(super) fn connect(&mut self, command: &mut tokio::process::Command) {
        if let Some(ends) = self.ends.take() {
            if let Some(input) = ends.input {
                command.stdin(input);
            }
            command.stdout(ends.output).stderr(ends.errors);
        }
    }

    /// The person's terminal has another size.
    pub(super) fn resize(&self) {
        if let Some(pseudo) = &self.pseudo
            && let Some(size) = size_of_ours()
        {
            let _ = rustix::termios::tcsetwinsize(pseudo, size);
        }
    }

    /// We go on: in the foreground, if we are.
    pub(super) fn go_on(&self) {
        self.resize();
        if let Some(terminal) = &self.terminal {
            terminal.go_on();
        }
    }

    /// The command's job was stopped: stops us, and the rest of our job, as its keys would have. Comes back when we go on;
    /// at once, where nobody is there to go on.
    pub(super) fn stop(&self) {
        if let Some(terminal) = &self.terminal {
            terminal.give_back();
        }
        let _ = rustix::process::kill_current_process_group(rustix::process::Signal::TSTP);
        self.go_on();
    }

    /// The command has ended: what it wrote is written, and the terminal is as it was.
    pub(super) async fn finish(mut self) {
        self.ends = None;
        for relay in self.relays.drain(..) {
            relay.finish().await;
        }
        drop(self.terminal.take());
    }
}

fn size_of_ours() -> Option<Winsize> {
    let (output, errors) = (std::io::stdout(), std::io::stderr());
    rustix::termios::tcgetwinsize(&output).or_else(|_| rustix::termios::tcgetwinsize(&errors)).ok()
}

/// A pair of ends that are a terminal to who has the other one.
struct Pseudo {
    ours: OwnedFd,
    theirs: OwnedFd,
}

impl Pseudo {
    /// One that is as this terminal is. Where only outputs go to it, what is written stays as it is: the real one does
    /// what is to be done with it.
    fn like(terminal: impl AsFd, whole: bool) -> std::io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = rustix::pty::openpt(flags)?;
        rustix::pty::grantpt(&ours)?;
        rustix::pty::unlockpt(&ours)?;
        let theirs = rustix::pty::ioctl_tiocgptpeer(&ours, flags)?;
        let mut settings: Termios = rustix::termios::tcgetattr(&terminal)?;
        if !whole {
            settings.make_raw();
        }
        rustix::termios::tcsetattr(&theirs, OptionalActions::Now, &settings)?;
        if let Some(size) = size_of_ours() {
            rustix::termios::tcsetwinsize(&theirs, size)?;
        }
        Ok(Self { ours, theirs })
    }
}

/// The arguments of the monitor: where it is spoken to, and the command.
pub(super) fn arguments(beside: &[OsString], control: i32, command: &[OsString]) -> Vec<OsString> {
    let mut arguments = beside.to_vec();
    arguments.extend([control.to_string().into(), "--".into()]);
    arguments.extend(command.iter().cloned());
    arguments
}
