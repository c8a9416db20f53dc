//! The data folder: ours alone (0700, files 0600), never through a symbolic link, held by one server at a time.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::error::OpenError;

/// The database's file name, in the data folder.
pub const DATABASE: &str = "hallpass.db";
/// What a restore prepares, before it takes the database's place.
pub(crate) const RESTORING: &str = "restoring.db";
/// How the name begins of what a restore put aside.
pub(crate) const REPLACED: &str = "replaced-";
/// The lock's. It is never deleted: whoever waits for it must wait for the same file.
const LOCK: &str = "lock";

/// A data folder that this process holds until the value is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder if there is none, and takes its lock.
    pub(crate) fn hold(data: &Path) -> Result<Self, OpenError> {
        let path = make(data)?;
        let lock = open_file(&path.join(LOCK))?;
        match rustix::fs::flock(lock.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(Errno::WOULDBLOCK) => Err(OpenError::InUse(path)),
            Err(errno) => Err(failed(&path.join(LOCK), errno)),
        }
    }

    /// Its real path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses a folder without a database where there has been one: a new one in its place would be an empty issuer, and
    /// SQLite would delete the log that still belongs to the old.
    pub(crate) fn refuse_if_gone(&self) -> Result<(), OpenError> {
        match database_or_trace(&self.path) {
            Ok(Some(beside)) => Err(OpenError::Gone { beside }),
            Ok(None) => Ok(()),
            Err(source) => Err(OpenError::File { path: self.path.clone(), source }),
        }
    }

    /// Whether there is a database yet. One of no length was not finished.
    pub(crate) fn has_database(&self) -> bool {
        is_written(&self.path.join(DATABASE))
    }

    /// Where the database is. Its file is made, 0600, so that SQLite's own files beside it get the same.
    pub(crate) fn database(&self) -> Result<PathBuf, OpenError> {
        let path = self.path.join(DATABASE);
        open_file(&path)?;
        for beside in ["hallpass.db-wal", "hallpass.db-shm"] {
            let beside = self.path.join(beside);
            if beside.is_symlink() {
                return Err(OpenError::Symlink(beside));
            }
        }
        Ok(path)
    }
}

/// Whether a data folder never held a database: nothing in it says that there was one. Only then are its keys made.
pub fn is_new(data: &Path) -> bool {
    matches!(database_or_trace(data), Ok(None))
}

/// The database, or what shows that there was one: its log, or what a restore that was interrupted left.
fn database_or_trace(data: &Path) -> std::io::Result<Option<PathBuf>> {
    let names = [DATABASE, "hallpass.db-wal", RESTORING];
    if let Some(found) = names.iter().map(|name| data.join(name)).find(|path| is_written(path)) {
        return Ok(Some(found));
    }
    let files = match std::fs::read_dir(data) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        files => files?,
    };
    for file in files {
        let file = file?;
        if file.file_name().as_encoded_bytes().starts_with(REPLACED.as_bytes()) {
            return Ok(Some(file.path()));
        }
    }
    Ok(None)
}

fn is_written(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|about| about.is_file() && about.len() > 0)
}

/// The folder, by its real path: SQLite refuses a path with any symbolic link in it, and one above ours is no danger.
fn make(data: &Path) -> Result<PathBuf, OpenError> {
    if data.is_symlink() {
        return Err(OpenError::Symlink(data.to_owned()));
    }
    let file = |source| OpenError::File { path: data.to_owned(), source };
    match rustix::fs::mkdir(data, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(failed(data, errno)),
    }
    let found = data.symlink_metadata().map_err(file)?;
    if !found.is_dir() {
        return Err(file(std::io::ErrorKind::NotADirectory.into()));
    }
    // SECURITY: others could read the names and sizes of our files, or put their own in place of them.
    if found.permissions().mode() & 0o077 != 0 {
        if found.uid() != rustix::process::geteuid().as_raw() {
            return Err(file(std::io::ErrorKind::PermissionDenied.into()));
        }
        std::fs::set_permissions(data, PermissionsExt::from_mode(0o700))
            .map_err(|_| OpenError::ReadOnly(data.to_owned()))?;
    }
    data.canonicalize().map_err(file)
}

/// Opens a file for writing, 0600, making it if it is not there.
fn open_file(path: &Path) -> Result<File, OpenError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| failed(path, errno))?;
    Ok(File::from(file))
}

/// Makes a file that was not there, 0600.
pub(crate) fn create(path: &Path) -> rustix::io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?.into())
}

/// Makes durable what a file is called, or that it is there no more.
pub(crate) fn sync_folder(file: &Path) -> std::io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(rustix::fs::fsync(File::open(folder)?.as_fd())?)
}

/// Removes a file, if it is there.
pub(crate) fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(crate) fn failed(path: &Path, errno: Errno) -> OpenError {
    match errno {
        Errno::LOOP => OpenError::Symlink(path.to_owned()),
        Errno::ROFS | Errno::ACCESS | Errno::PERM => {
            OpenError::ReadOnly(path.parent().unwrap_or(path).to_owned())
        }
        Errno::NOSPC | Errno::DQUOT => OpenError::Full,
        other => OpenError::File { path: path.to_owned(), source: other.into() },
    }
}
