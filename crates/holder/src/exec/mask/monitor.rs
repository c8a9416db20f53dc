//! The monitor: it leads the session of a command that has a terminal of its own.
//!
//! Ctrl-Z stops a job only where somebody in its session, and outside it, could go on with it (POSIX: a group that has
//! nobody is an orphan, and is not stopped by keys). So the command is a job of its own, and the monitor is its parent.
//!
//! 1. The monitor leads a new session, whose terminal is its standard input.
//! 2. The command is started in a group of its own, and waits until that group is in the foreground
//!    ([`start_in_turn`]): it would be stopped if it read before.
//! 3. The monitor says how the command is: two bytes, a word and a number. It is told what to send it, in the same way.
//! 4. End of file: we are gone, and with us the terminal. The command hears it as a hang-up.

use std::ffi::OsString;
use std::io::{Error, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use rustix::io::FdFlags;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpid};
use tokio::io::AsyncWriteExt;

use crate::exec::child::Ended;

/// What the monitor says.
const ENDED: u8 = b'e';
const KILLED: u8 = b'k';
const STOPPED: u8 = b's';
/// What it is told.
const SEND: u8 = b'n';
const GO_ON: u8 = b'c';

/// The monitor, seen from the run.
pub(in crate::exec) struct Control(tokio::net::UnixStream);

/// What it says.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::exec) enum Heard {
    /// The command has ended.
    Ended(Ended),
    /// It was stopped.
    Stopped,
    /// Nothing more.
    Nothing,
}

impl Control {
    /// A pair: ours, and the one that the monitor inherits.
    pub(in crate::exec) fn pair() -> std::io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((Self(tokio::net::UnixStream::from_std(ours)?), theirs.into()))
    }

    pub(in crate::exec) async fn hear(&mut self) -> Heard {
        let mut said = [0; 2];
        // Both bytes come at once, and this may be dropped at any time: nothing is read by halves.
        let read = loop {
            if let Err(error) = self.0.readable().await {
                break Err(error);
            }
            match self.0.try_read(&mut said) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                read => break read,
            }
        };
        match read {
            Ok(0) => Heard::Nothing,
            Ok(_) if said[0] == ENDED => Heard::Ended(Ended::Code(said[1])),
            Ok(_) if said[0] == KILLED => Heard::Ended(Ended::Signal(said[1].into())),
            Ok(_) => Heard::Stopped,
            Err(_) => Heard::Nothing,
        }
    }

    /// Sends the command a signal.
    pub(in crate::exec) async fn send(&mut self, signal: i32) {
        let _ = self.0.write_all(&[SEND, u8::try_from(signal).unwrap_or_default()]).await;
    }

    /// Lets its job go on.
    pub(in crate::exec) async fn go_on(&mut self) {
        let _ = self.0.write_all(&[GO_ON, 0]).await;
    }
}

/// The monitor's whole life: what its hidden command does. `again` are the arguments that make this program
/// [`start_in_turn`].
///
/// # Errors
/// If there is no terminal to lead, or the command cannot be started.
pub fn monitor(control: i32, again: &[OsString], command: &[OsString]) -> std::io::Result<()> {
    let control = inherited(control)?;
    let control = UnixStream::from(control);
    let terminal = std::io::stdin();
    rustix::process::setsid()?;
    rustix::process::ioctl_tiocsctty(&terminal)?;
    let (turn, when_in_foreground) = std::io::pipe()?;
    rustix::io::fcntl_setfd(&turn, FdFlags::empty())?;
    let mut child = Command::new("/proc/self/exe")
        .args(again)
        .arg(turn.as_raw_fd().to_string())
        .arg("--")
        .args(command)
        .process_group(0)
        .stdin(Stdio::inherit())
        .spawn()?;
    let command =
        Pid::from_raw(child.id() as i32).ok_or_else(|| Error::other("a process without a number"))?;
    drop(turn);
    rustix::termios::tcsetpgrp(&terminal, command)?;
    drop(when_in_foreground);
    // Held while it is sent something: its number is its own until it is waited for.
    let there = Mutex::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| obey(&control, command, &there));
        let ended = watch(&control, command, &there);
        let _ = control.shutdown(std::net::Shutdown::Both);
        ended
    })?;
    let _ = child.try_wait(); // it is gone
    Ok(())
}

/// Says how the command is, until it has ended.
fn watch(mut control: &UnixStream, command: Pid, there: &Mutex<bool>) -> std::io::Result<()> {
    loop {
        let status = match rustix::process::waitid(
            rustix::process::WaitId::Pid(command),
            rustix::process::WaitIdOptions::EXITED
                | rustix::process::WaitIdOptions::STOPPED
                | rustix::process::WaitIdOptions::NOWAIT,
        ) {
            Ok(_) => {
                let mut there = there.lock().expect("no thread panics holding this");
                let status = waitpid(Some(command), WaitOptions::UNTRACED | WaitOptions::NOHANG)?;
                if status.is_some_and(|(_, status)| status.exited() || status.signaled()) {
                    *there = false;
                }
                status
            }
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let Some((_, status)) = status else { continue };
        let number =
            |number: Option<i32>| number.and_then(|number| u8::try_from(number).ok()).unwrap_or_default();
        let said = if status.stopped() {
            [STOPPED, number(status.stopping_signal())]
        } else if status.signaled() {
            [KILLED, number(status.terminating_signal())]
        } else {
            [ENDED, number(status.exit_status())]
        };
        // Where nobody hears it any more the terminal is gone, and the command will be.
        let _ = control.write_all(&said);
        if !status.stopped() {
            return Ok(());
        }
    }
}

/// Does what it is told, until nobody tells it anything.
fn obey(mut control: &UnixStream, command: Pid, there: &Mutex<bool>) {
    let mut told = [0; 2];
    while control.read_exact(&mut told).is_ok() {
        let there = there.lock().expect("no thread panics holding this");
        if !*there {
            return;
        }
        match told {
            [SEND, number] => {
                if let Some(signal) = Signal::from_named_raw(number.into()) {
                    let _ = kill_process(command, signal);
                }
            }
            _ => {
                let _ = kill_process_group(command, Signal::CONT);
            }
        }
    }
    let there = there.lock().expect("no thread panics holding this");
    if *there {
        // SECURITY: nobody takes tokens out of what it writes any more, and its terminal is gone.
        let _ = kill_process_group(command, Signal::HUP);
        let _ = kill_process_group(command, Signal::CONT);
    }
}

/// Waits until it is its turn, and becomes the command: what the second hidden command does.
///
/// # Errors
/// If the command cannot be run.
pub fn start_in_turn(turn: i32, command: &[OsString]) -> std::io::Error {
    let waited = inherited(turn).and_then(|turn| std::fs::File::from(turn).read_to_end(&mut Vec::new()));
    match (waited, command.split_first()) {
        (Ok(_), Some((program, arguments))) => Command::new(program).args(arguments).exec(),
        (Err(error), _) => error,
        (_, None) => std::io::ErrorKind::InvalidInput.into(),
    }
}

/// A descriptor that was inherited for us alone.
fn inherited(number: i32) -> std::io::Result<OwnedFd> {
    #[expect(
        unsafe_code,
        reason = "an inherited descriptor has a number and no owner; this process owns it from here on"
    )]
    // SAFETY: it was made for this process, and nothing else in it knows the number.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
    Ok(fd)
}
