//! The way to a TPM: the kernel's device with a resource manager behind it (`/dev/tpmrm0`), or a Unix socket that takes the
//! same bytes, as virtual machines and software TPMs have one.
//!
//! Nothing here waits longer than [`PATIENCE`] for an answer: the device is opened so that the kernel works on a command
//! while we wait for it.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::super::Fault;
use super::super::bounded::PATIENCE;
use super::wire::Reader;

/// An answer at most, in bytes: as much as the kernel's own buffer holds.
const ANSWER_LEN_MAX: usize = 4096;
/// A header: a tag, the length of the whole, and a code.
pub(super) const HEADER_LEN: usize = 10;
/// How long is waited before something is tried again.
const PAUSE: Duration = Duration::from_millis(20);

/// An open way to a TPM. Where it is the kernel's, all that was loaded through it is gone when it is closed.
pub(super) struct Device {
    file: OwnedFd,
    /// Whether a command was given up on, so that the next answer would be that one's.
    given_up: bool,
}

impl Device {
    /// Opens a device, or connects to a socket.
    pub(super) fn open(place: &Path) -> Result<Self, Fault> {
        let found = std::fs::metadata(place).map_err(|error| unopened(error.kind(), place, &error))?;
        let file = match found.file_type().is_socket() {
            true => connect(place)?,
            false => {
                let flags = OFlags::NONBLOCK.bits() as i32;
                let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(place);
                file.map_err(|error| unopened(error.kind(), place, &error))?.into()
            }
        };
        Ok(Self { file, given_up: false })
    }

    /// Sends a command, and waits for its answer.
    pub(super) fn exchange(&mut self, command: &[u8]) -> Result<Vec<u8>, Fault> {
        if self.given_up {
            return Err(late());
        }
        let outcome = self.send(command).and_then(|()| self.receive());
        self.given_up |= outcome.is_err();
        outcome
    }

    fn send(&self, mut command: &[u8]) -> Result<(), Fault> {
        let deadline = Instant::now() + PATIENCE;
        while !command.is_empty() {
            self.wait(PollFlags::OUT, deadline)?;
            match rustix::io::write(&self.file, command) {
                Ok(written) => command = &command[written..],
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(broken(error)),
            }
        }
        Ok(())
    }

    fn receive(&self) -> Result<Vec<u8>, Fault> {
        let deadline = Instant::now() + PATIENCE;
        let (mut answer, mut len) = (vec![0u8; ANSWER_LEN_MAX], 0);
        // A device gives its answer in one piece, and a socket as it likes.
        loop {
            self.wait(PollFlags::IN, deadline)?;
            match rustix::io::read(&self.file, &mut answer[len..]) {
                Ok(0) => return Err(Fault::Failing("ends before its answer does".into())),
                Ok(read) => len += read,
                Err(Errno::INTR | Errno::AGAIN) => continue,
                Err(error) => return Err(broken(error)),
            }
            if let Some(whole) = whole_len(&answer[..len]) {
                if !(HEADER_LEN..=ANSWER_LEN_MAX).contains(&whole) {
                    return Err(Fault::Failing(ODD.into()));
                }
                if len >= whole {
                    answer.truncate(whole);
                    return Ok(answer);
                }
            }
        }
    }

    fn wait(&self, flags: PollFlags, deadline: Instant) -> Result<(), Fault> {
        loop {
            let left = deadline.checked_duration_since(Instant::now()).ok_or_else(late)?;
            let left = Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() };
            match rustix::event::poll(&mut [PollFd::new(&self.file, flags)], Some(&left)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(broken(error)),
            }
        }
    }
}

/// What a TPM says that answers otherwise than any.
pub(super) const ODD: &str = "answers what no TPM 2.0 does";

fn connect(place: &Path) -> Result<OwnedFd, Fault> {
    let failed = |error: Errno| unopened(std::io::Error::from(error).kind(), place, &error);
    let address = SocketAddrUnix::new(place).map_err(failed)?;
    // Not blocking: one that takes nobody must not hold us up.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(failed)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match rustix::net::connect(&socket, &address) {
            Ok(()) => return Ok(socket),
            // So many others wait for it that there is no room to wait with them.
            Err(Errno::AGAIN) if Instant::now() < deadline => pause(),
            Err(Errno::AGAIN) => return Err(late()),
            Err(error) => return Err(failed(error)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "it is another process, or a chip, that is waited for")]
pub(super) fn pause() {
    std::thread::sleep(PAUSE);
}

fn whole_len(answer: &[u8]) -> Option<usize> {
    let mut header = Reader(answer);
    header.short()?;
    header.word().map(|len| len as usize)
}

fn unopened(kind: ErrorKind, place: &Path, why: &dyn std::fmt::Display) -> Fault {
    match kind {
        ErrorKind::NotFound => Fault::Absent("is not on this machine".into()),
        ErrorKind::PermissionDenied => Fault::Forbidden { place: place.to_owned() },
        ErrorKind::ConnectionRefused => {
            Fault::Failing(format!("has nobody behind its socket `{}`", place.display()))
        }
        ErrorKind::ResourceBusy => Fault::Failing("is held by another program".into()),
        _ => Fault::Failing(format!("cannot be opened (`{}`: {why})", place.display())),
    }
}

fn broken(error: Errno) -> Fault {
    Fault::Failing(format!("cannot be reached ({error})"))
}

fn late() -> Fault {
    Fault::Failing("does not answer in time".into())
}
