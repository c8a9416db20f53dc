//! Private files: 0600 in 0700, written whole or not at all, never through a symlink.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::error::HolderError;

/// A record or other private file at most, in bytes: many times the largest token set a provider sends.
const FILE_LEN_MAX: u64 = 1024 * 1024;

/// Makes `path` a folder of our own, 0700. Its parents may be anything the person likes; it itself may not be a
/// symlink or somebody else's.
pub(crate) fn folder(path: &Path) -> Result<(), HolderError> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(HolderError::disk("cannot make", parent))?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(source) => return Err(HolderError::disk("cannot make", path)(source)),
    }
    let found = std::fs::symlink_metadata(path).map_err(HolderError::disk("cannot look at", path))?;
    let unsafe_because = |why| Err(HolderError::Unsafe { path: path.to_owned(), why });
    if found.file_type().is_symlink() {
        return unsafe_because("it is a symbolic link");
    }
    if !found.is_dir() {
        return unsafe_because("it is not a folder");
    }
    if found.uid() != own_uid() {
        return unsafe_because("it belongs to another user");
    }
    if found.mode() & 0o077 != 0 {
        std::fs::set_permissions(path, Permissions::from_mode(0o700))
            .map_err(HolderError::disk("cannot make private", path))?;
    }
    Ok(())
}

/// A folder of our own for sockets: made with what leads to it, or as it must be. One that is there is not changed: it may be anybody's.
pub(crate) fn runtime_folder(folder: &Path) -> Result<(), HolderError> {
    match DirBuilder::new().mode(0o700).recursive(true).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(HolderError::disk("cannot make", folder)(error));
        }
        _ => {}
    }
    let found = std::fs::symlink_metadata(folder).map_err(HolderError::disk("cannot look at", folder))?;
    let unsafe_because = |why| Err(HolderError::Unsafe { path: folder.to_owned(), why });
    if !found.is_dir() {
        unsafe_because("it is not a folder")
    } else if found.uid() != own_uid() {
        unsafe_because("it belongs to another user")
    } else if found.mode() & 0o077 != 0 {
        unsafe_because("others can look into it; make it 0700")
    } else {
        Ok(())
    }
}

/// The whole of a private file; `None` if there is none. Refused if it is a symlink, somebody else's, or open to
/// others.
pub(crate) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, HolderError> {
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NOFOLLOW.bits() as i32).open(path);
    let file = match file {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(HolderError::Unsafe { path: path.to_owned(), why: "it is a symbolic link" });
        }
        Err(source) => return Err(HolderError::disk("cannot open", path)(source)),
    };
    judge(&file, path)?;
    let len = file.metadata().map_err(HolderError::disk("cannot look at", path))?.len();
    if len > FILE_LEN_MAX {
        return Err(HolderError::Damaged { path: path.to_owned(), why: "it is too long" });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(len as usize + 1));
    file.take(FILE_LEN_MAX).read_to_end(&mut bytes).map_err(HolderError::disk("cannot read", path))?;
    Ok(Some(bytes))
}

/// Writes a private file whole or not at all: another file beside it, synced, then renamed over it, then the
/// folder synced. When this returns, the file outlives a power cut.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), HolderError> {
    let folder = path.parent().expect("a private file stands in a folder of ours");
    let failed = |source| HolderError::disk("cannot write", path)(source);
    // tempfile makes it 0600, under a name nobody can guess, and removes it if we do not get to the rename.
    let mut beside = tempfile::Builder::new().prefix(".new-").tempfile_in(folder).map_err(failed)?;
    beside.write_all(bytes).map_err(failed)?;
    beside.as_file().sync_all().map_err(failed)?;
    // A rename replaces a symlink instead of following it.
    beside.persist(path).map_err(|error| failed(error.error))?;
    sync_folder(folder)
}

/// Removes a file, durably. Whether there was one.
pub(crate) fn remove(path: &Path) -> Result<bool, HolderError> {
    match std::fs::remove_file(path) {
        Ok(()) => {
            sync_folder(path.parent().expect("a private file stands in a folder of ours")).map(|()| true)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) => Err(HolderError::disk("cannot remove", path)(source)),
    }
}

/// Opens (or makes) a file to lock. It is never removed: a lock on a removed file excludes nobody.
pub(crate) fn lock_file(path: &Path) -> Result<File, HolderError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(path)
        .map_err(HolderError::disk("cannot open", path))?;
    judge(&file, path)?;
    Ok(file)
}

/// The uid files must belong to.
pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn judge(file: &File, path: &Path) -> Result<(), HolderError> {
    let found = file.metadata().map_err(HolderError::disk("cannot look at", path))?;
    let unsafe_because = |why| Err(HolderError::Unsafe { path: path.to_owned(), why });
    if !found.is_file() {
        unsafe_because("it is not a plain file")
    } else if found.uid() != own_uid() {
        unsafe_because("it belongs to another user")
    } else if found.mode() & 0o077 != 0 {
        unsafe_because("others can read or change it; make it 0600")
    } else {
        Ok(())
    }
}

fn sync_folder(folder: &Path) -> Result<(), HolderError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(HolderError::disk("cannot sync", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_private_and_reads_back() {
        let root = tempfile::tempdir().unwrap();
        let inside = root.path().join("deep/inside");
        folder(&inside).unwrap();
        let path = inside.join("x");
        assert!(read(&path).unwrap().is_none());
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap().unwrap().as_slice(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(&inside).unwrap().mode() & 0o777, 0o700);
        assert_eq!(std::fs::read_dir(&inside).unwrap().count(), 1, "nothing is left beside it");
        assert!(remove(&path).unwrap() && !remove(&path).unwrap());
    }

    #[test]
    fn a_symlink_is_never_followed() {
        let root = tempfile::tempdir().unwrap();
        let (victim, link) = (root.path().join("victim"), root.path().join("link"));
        write(&victim, b"theirs").unwrap();
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        assert!(matches!(read(&link), Err(HolderError::Unsafe { .. })));
        assert!(lock_file(&link).is_err());
        write(&link, b"ours").unwrap();
        assert_eq!(std::fs::read(&victim).unwrap(), b"theirs");
        assert!(!std::fs::symlink_metadata(&link).unwrap().is_symlink());
        let linked = root.path().join("linked");
        std::os::unix::fs::symlink(root.path(), &linked).unwrap();
        assert!(matches!(folder(&linked), Err(HolderError::Unsafe { .. })));
    }

    #[test]
    fn what_others_can_read_is_refused_and_a_folder_is_made_private() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x");
        write(&path, b"x").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read(&path), Err(HolderError::Unsafe { .. })));
        std::fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        folder(root.path()).unwrap();
        assert_eq!(std::fs::metadata(root.path()).unwrap().mode() & 0o777, 0o700);
    }
}
