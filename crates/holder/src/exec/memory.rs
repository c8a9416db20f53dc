//! Files that are in memory alone.
//!
//! A file is sealed before anybody has it: nobody can change it, not the command either. It has no name in any folder,
//! so nothing of it is on a disk. A command reaches it by a descriptor that it inherits, or by a path
//! (`/proc/PID/fd/N`) of a process of ours that does nothing but hold it ([`Files`]): when that process ends, the path
//! leads nowhere.
//!
//! 1. The holder of files is started (`beside`) with a Unix socket as its standard input. It leaves our session, so
//!    that nothing sent to our group ends it.
//! 2. We send it a descriptor (`SCM_RIGHTS`) and the slot it is for. The first of a slot stays at the number it came
//!    with; a later one is put in its place (`dup2(2)`), which happens at once: whoever opens the path gets the old
//!    file or the new one, never half of each, and whoever has the old one open goes on reading that.
//! 3. It answers with the number. End of file: we are gone, and so is it.

use std::ffi::CString;
use std::io::{Error, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{MemfdFlags, Mode, SealFlags, SeekFrom};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::beside::Beside;
use crate::error::HolderError;

/// What its name shows as: `/memfd:hallpass`. Nothing secret.
const NAME: &str = "hallpass";
/// Files that are held at most: the token and the certificates.
const SLOTS_MAX: usize = 2;
/// How long the holder of files may take to answer: it is this very program, on this very machine.
const ANSWER_TIME_OUT: Duration = Duration::from_secs(10);

/// What a held file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// The token.
    Token = 0,
    /// Whom to trust.
    Certificates = 1,
}

/// A file in memory that nobody can change. Its position is at its beginning.
pub(super) fn sealed(content: &[u8]) -> std::io::Result<OwnedFd> {
    let name = CString::new(NAME).expect("a name without zeros");
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // What cannot be run needs not be allowed to; older kernels (before 6.3) do not know the flag.
    let file = rustix::fs::memfd_create(&name, flags | MemfdFlags::NOEXEC_SEAL)
        .or_else(|_| rustix::fs::memfd_create(&name, flags))?;
    let mut file = std::fs::File::from(file);
    file.write_all(content)?;
    rustix::fs::seek(&file, SeekFrom::Start(0))?;
    rustix::fs::fchmod(&file, Mode::RUSR)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}

/// The holder of files, seen from the run.
pub(super) struct Files {
    process: tokio::process::Child,
    socket: UnixStream,
}

impl Files {
    /// Starts it. It ends with this value.
    pub(super) fn start(beside: &Beside) -> Result<Self, HolderError> {
        let failed =
            |source| HolderError::Run { doing: "cannot start the holder of this run's files", source };
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let process = beside.start_files(OwnedFd::from(theirs).into()).map_err(failed)?;
        Ok(Self { process, socket: UnixStream::from_std(ours).map_err(failed)? })
    }

    /// Puts a file into a slot, and says by which path it is reached: always the same one.
    pub(super) async fn put(&self, slot: Slot, file: OwnedFd) -> Result<PathBuf, HolderError> {
        let put = tokio::time::timeout(ANSWER_TIME_OUT, self.put_now(slot, file)).await;
        let number = put
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(|source| HolderError::Run { doing: "cannot hold a file for the command", source })?;
        let pid = self.process.id().unwrap_or_default();
        Ok(format!("/proc/{pid}/fd/{number}").into())
    }

    async fn put_now(&self, slot: Slot, file: OwnedFd) -> std::io::Result<u32> {
        let send = || {
            let fds = [file.as_fd()];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(&fds));
            let byte = [slot as u8];
            Ok(rustix::net::sendmsg(&self.socket, &[IoSlice::new(&byte)], &mut control, SendFlags::NOSIGNAL)?)
        };
        self.socket.async_io(Interest::WRITABLE, send).await?;
        let mut number = [0; 4];
        let mut at = 0;
        while at < number.len() {
            self.socket.readable().await?;
            match self.socket.try_read(&mut number[at..]) {
                Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => at += read,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(u32::from_ne_bytes(number))
    }
}

/// The whole life of the holder of files: what its hidden command does.
///
/// # Errors
/// If its socket fails: then nobody is left to hold anything for.
pub fn hold_files() -> std::io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    let _ = rustix::process::setsid();
    // It has no secret in its memory. Undumpable as we are otherwise, its descriptors could be reached by root alone.
    set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    let socket = std::io::stdin().as_fd().try_clone_to_owned()?;
    let mut held: [Option<OwnedFd>; SLOTS_MAX] = [const { None }; SLOTS_MAX];
    while let Some((slot, file)) = received(&socket)? {
        let held = held.get_mut(usize::from(slot)).ok_or(std::io::ErrorKind::InvalidData)?;
        match held {
            Some(place) => rustix::io::dup3(&file, place, rustix::io::DupFlags::CLOEXEC)?,
            None => *held = Some(file),
        }
        let number = held.as_ref().map_or(0, |file| file.as_raw_fd() as u32);
        rustix::io::write(&socket, &number.to_ne_bytes())?;
    }
    Ok(())
}

/// The next slot and descriptor; none at the end.
fn received(socket: &OwnedFd) -> std::io::Result<Option<(u8, OwnedFd)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let message = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)?;
    if message.bytes == 0 {
        return Ok(None);
    }
    let mut came = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    match came.next() {
        Some(file) => Ok(Some((byte[0], file))),
        None => Err(Error::other("a message without a descriptor")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_sealed_file_can_be_read_and_not_changed() {
        let file = sealed(b"what it holds").unwrap();
        let mut file = std::fs::File::from(file);
        let mut read = String::new();
        file.read_to_string(&mut read).unwrap();
        assert_eq!(read, "what it holds");
        assert!(file.write_all(b"x").is_err() && file.set_len(0).is_err() && file.set_len(100).is_err());
        let again = std::fs::read_to_string(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
        assert_eq!(again, "what it holds");
        assert_eq!(rustix::fs::fstat(&file).unwrap().st_mode & 0o777, 0o400);
    }
}
