//! What a daemon and its successor say to one another: over a pair of sockets that nobody else has an end of. What is told in
//! confidence is never in an argument, the environment or a file.
//!
//! | who | says |
//! |---|---|
//! | successor | [`KNOWS`], once it runs |
//! | daemon | the listening socket and the lock, then how long what follows is, and what it has in mind ([`Handed`]) |
//! | successor | [`SERVES`], once all of that is in place, and before it answers anybody |

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use hallpass_model::jose::base64url;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::lock::HeldKey;
use super::sealing::Sealing;
use crate::error::HolderError;
use crate::identity::Identity;
use crate::private::own_uid;

/// It runs, and knows this form of what it is about to be told: another form has another number.
pub(super) const KNOWS: &[u8; 8] = b"hphand 1";
/// It has everything, and answers whoever connects from now on.
pub(super) const SERVES: &[u8; 8] = b"hpserves";
/// What goes with the files: a message that carries some must have a byte of its own (unix(7)).
const FILES: [u8; 1] = *b"f";
/// What a daemon has in mind at most, in bytes: as many sign-ins as it holds, each of several large tokens.
const HANDED_MAX: u64 = 64 * 1024 * 1024;
/// How long a successor waits for what it was started for: the daemon lets the questions under way come to their end first.
const TOLD_TIME_OUT: Duration = Duration::from_secs(30);

/// What exists in the memory of a daemon alone.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Handed {
    /// Where it listens.
    pub(super) place: PathBuf,
    /// The folder of the records that it reads.
    pub(super) state: Option<PathBuf>,
    /// The records that it alone holds, sealed, in base64url.
    pub(super) records: Vec<String>,
    /// Their keys, unless it is locked; and what was worked out from passphrases. SECURITY: open all that it holds.
    pub(super) keys: Vec<HeldKey>,
    /// Whether it is locked.
    pub(super) locked: bool,
    /// The keys under the passphrase that it was locked with.
    pub(super) sealing: Option<Sealing>,
    /// How many wrong passphrases came since the last right one.
    pub(super) wrong: u32,
    /// The sign-ins whose tokens may be over though they say otherwise.
    pub(super) distrusted: Vec<Identity>,
}

impl Handed {
    pub(super) fn shown(record: &[u8]) -> String {
        base64url::render(record)
    }

    pub(super) fn records(&self) -> Option<Vec<Vec<u8>>> {
        self.records.iter().map(|shown| base64url::parse(shown)).collect()
    }

    /// As it is sent: how long it is, and it.
    pub(super) fn render(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(vec![0; size_of::<u64>()]);
        serde_json::to_writer(&mut *bytes, self).expect("what is handed over is a struct of JSON values");
        let len = (bytes.len() - size_of::<u64>()) as u64;
        bytes[..size_of::<u64>()].copy_from_slice(&len.to_le_bytes());
        bytes
    }
}

/// The successor's end.
#[derive(Debug)]
pub(super) struct Predecessor(UnixStream);

impl Predecessor {
    /// The daemon whose end of the pair this is.
    ///
    /// # Errors
    /// If it is no such thing: nobody starts this by hand.
    pub(super) fn at(channel: OwnedFd) -> Result<Self, HolderError> {
        // SECURITY: what is told here is believed, so it is this user's own daemon that tells it.
        let peer = rustix::net::sockopt::socket_peercred(channel.as_fd());
        if !peer.is_ok_and(|peer| peer.uid.as_raw() == own_uid()) {
            let what = "`--take-over` is what a daemon starts its successor with; nobody else does".into();
            return Err(HolderError::Usage { what });
        }
        Ok(Self(UnixStream::from(channel)))
    }

    /// What it has in mind, where it listens, and the lock that makes it the only one.
    pub(super) fn ask(&mut self) -> io::Result<(Handed, UnixListener, File)> {
        self.0.set_nonblocking(false)?;
        self.0.set_read_timeout(Some(TOLD_TIME_OUT))?;
        self.0.write_all(KNOWS)?;
        let files = receive(self.0.as_fd())?;
        let Ok([listener, lock]) = <[OwnedFd; 2]>::try_from(files) else {
            return Err(io::Error::new(ErrorKind::InvalidData, "it sent no socket"));
        };
        let mut len = [0; size_of::<u64>()];
        self.0.read_exact(&mut len)?;
        let len = u64::from_le_bytes(len);
        if len > HANDED_MAX {
            return Err(io::Error::new(ErrorKind::InvalidData, "it said too much"));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(len as usize));
        (&mut self.0).take(len).read_to_end(&mut bytes)?;
        // The parser's own words may repeat what it read.
        let handed = serde_json::from_slice(&bytes);
        let handed =
            handed.map_err(|_| io::Error::new(ErrorKind::InvalidData, "it said what is not known"))?;
        Ok((handed, listener.into(), lock.into()))
    }

    /// Tells it that it may go.
    pub(super) fn dismiss(mut self) -> io::Result<()> {
        self.0.write_all(SERVES)
    }
}

/// Sends files along.
pub(super) fn send(to: BorrowedFd<'_>, files: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut along = SendAncillaryBuffer::new(&mut space);
    along.push(SendAncillaryMessage::ScmRights(files));
    sendmsg(to, &[IoSlice::new(&FILES)], &mut along, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(from: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut along = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let got = recvmsg(from, &mut [IoSliceMut::new(&mut byte)], &mut along, RecvFlags::CMSG_CLOEXEC)?;
    if got.bytes == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let files = along.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files.collect::<Vec<_>>()),
        _ => None,
    });
    Ok(files.flatten().collect())
}

impl Drop for Handed {
    fn drop(&mut self) {
        // Sealed, and wiped all the same; the keys wipe themselves.
        self.records.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_over_arrives_with_its_files() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let root = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(root.path().join("s")).unwrap();
        let lock = File::create(root.path().join("l")).unwrap();
        let successor = std::thread::spawn(move || {
            let mut predecessor = Predecessor::at(theirs.into()).unwrap();
            let (handed, listener, _) = predecessor.ask().unwrap();
            predecessor.dismiss().unwrap();
            (handed.records().unwrap(), handed.wrong, listener.local_addr().unwrap())
        });
        let mut said = [0; 8];
        (&ours).read_exact(&mut said).unwrap();
        assert_eq!(&said, KNOWS);
        send(ours.as_fd(), &[listener.as_fd(), lock.as_fd()]).unwrap();
        let handed = Handed {
            place: PathBuf::new(),
            state: None,
            records: vec![Handed::shown(b"sealed")],
            keys: Vec::new(),
            locked: false,
            sealing: None,
            wrong: 3,
            distrusted: Vec::new(),
        };
        (&ours).write_all(&handed.render()).unwrap();
        (&ours).read_exact(&mut said).unwrap();
        assert_eq!(&said, SERVES);
        let (records, wrong, address) = successor.join().unwrap();
        assert_eq!((records, wrong), (vec![b"sealed".to_vec()], 3));
        assert_eq!(address.as_pathname(), Some(root.path().join("s").as_path()));
    }

    #[test]
    fn whoever_is_no_daemon_is_not_believed_and_half_a_word_is_none() {
        let nowhere = File::open("/dev/null").unwrap();
        assert!(matches!(Predecessor::at(nowhere.into()), Err(HolderError::Usage { .. })));
        for sent in [&b""[..], b"f", b"f\xff\xff\xff\xff\xff\xff\xff\xff{}"] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            (&ours).write_all(sent).unwrap();
            drop(ours);
            let mut predecessor = Predecessor(theirs);
            assert!(predecessor.ask().is_err());
        }
    }
}
