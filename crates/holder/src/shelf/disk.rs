//! The files records are in: one each, under its identity's name, beside the lock around writing them.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::Listed;
use crate::error::HolderError;
use crate::private;
use crate::record::{Header, SealedRecord};

pub(super) const EXTENSION: &str = "record";
/// Held while a record is compared and written.
const LOCK: &str = ".writing";
/// How long it is waited for. It is held for one small file's write and sync; only a process that was stopped in the
/// middle of that holds it longer, and must not stop all the others.
const WRITING_WAIT: Duration = if cfg!(test) { Duration::from_millis(100) } else { Duration::from_secs(30) };
/// Written and removed again before anybody is sent to a browser.
const PROBE: &str = ".probe";
/// As much as a record with a few large tokens takes: a disk without room for it is found out beforehand.
const PROBE_LEN: usize = 64 * 1024;
/// Why a record under another's name is refused.
pub(super) const ANOTHERS: &str = "it is the record of another sign-in";

/// The files.
pub(super) struct Disk {
    folder: Option<PathBuf>,
}

/// A file that should be a record and cannot be read, so that it does not even say whose it is: others could change it,
/// it is damaged, or another version wrote it. What it holds may well be alive at its issuer.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unreadable {
    /// The file.
    pub file: PathBuf,
    /// Why it cannot be read.
    pub why: HolderError,
}

impl Unreadable {
    /// The name of its identity, which the file has even where it says nothing else.
    pub(crate) fn name(&self) -> String {
        self.file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }
}

impl Disk {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder }
    }

    pub(super) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Whether there can be records at all.
    pub(super) fn exists(&self) -> bool {
        self.folder.as_ref().is_some_and(|folder| folder.exists())
    }

    /// Makes the folder, and makes it private.
    pub(super) fn make(&self) -> Result<&Path, HolderError> {
        let folder = self.folder.as_deref().ok_or_else(|| HolderError::NoRung {
            why: "there is no folder to keep it in, and nothing but memory is left".into(),
        })?;
        private::folder(folder.parent().expect("the folder was joined to another"))?;
        private::folder(folder)?;
        Ok(folder)
    }

    /// Proves that a record can be written: by writing as much, and removing it again.
    pub(super) fn prove(&self) -> Result<(), HolderError> {
        let probe = self.make()?.join(PROBE);
        drop(self.writing()?);
        private::write(&probe, &[0; PROBE_LEN])?;
        private::remove(&probe).map(|_| ())
    }

    /// Adds what is here.
    pub(super) fn list(&self, listed: &mut Listed) -> Result<(), HolderError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(HolderError::disk("cannot read", folder)(source)),
        };
        for entry in entries.flatten() {
            let file = entry.path();
            if file.extension().is_none_or(|extension| extension != EXTENSION) {
                continue;
            }
            match header(&file) {
                Ok(Some(header)) if self.file(&header.identity().name()) == file => {
                    listed.headers.push(header);
                }
                Ok(None) => {} // it was wiped meanwhile
                Ok(Some(_)) => {
                    let why = HolderError::Damaged { path: file.clone(), why: ANOTHERS };
                    listed.unreadable.push(Unreadable { file, why });
                }
                Err(why) => listed.unreadable.push(Unreadable { file, why }),
            }
        }
        listed.unreadable.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(())
    }

    pub(super) fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, HolderError> {
        match self.folder {
            Some(_) => private::read(&self.file(name)),
            None => Ok(None),
        }
    }

    pub(super) fn header(&self, name: &str) -> Result<Option<Header>, HolderError> {
        match self.folder {
            Some(_) => header(&self.file(name)),
            None => Ok(None),
        }
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), HolderError> {
        private::write(&self.file(name), bytes)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.as_deref().unwrap_or(Path::new("")).join(format!("{name}.{EXTENSION}"))
    }

    /// The short lock around comparing and writing.
    pub(super) fn writing(&self) -> Result<File, HolderError> {
        let path = self.folder.as_deref().unwrap_or(Path::new("")).join(LOCK);
        let file = private::lock_file(&path)?;
        let waited = Instant::now();
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(Errno::WOULDBLOCK | Errno::INTR) if waited.elapsed() < WRITING_WAIT => pause(),
                Err(Errno::WOULDBLOCK | Errno::INTR) => {
                    return Err(HolderError::Locked { waited_seconds: WRITING_WAIT.as_secs() });
                }
                Err(error) => return Err(HolderError::disk("cannot lock", &path)(error.into())),
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "it is another process that is waited for, and its disk")]
fn pause() {
    std::thread::sleep(Duration::from_millis(2));
}

pub(super) fn header(file: &Path) -> Result<Option<Header>, HolderError> {
    match private::read(file)? {
        Some(bytes) => SealedRecord::parse(&bytes, file).map(|sealed| Some(sealed.header)),
        None => Ok(None),
    }
}
