//! Opening files that may be anything: a link to elsewhere, a pipe nobody writes to, a device, a film.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::Folders;

/// A file at most, in bytes: many times what a tool keeps of tokens, and no delay to read.
const LEN_MAX: u64 = 4 * 1024 * 1024;

/// What came of looking.
pub(super) enum Look {
    /// It is not there, or not ours to read.
    Nothing,
    /// What it holds, and where it is, without links.
    Bytes(Zeroizing<Vec<u8>>, PathBuf),
    /// It was not read.
    NotLooked(&'static str),
}

/// Looks into a file. SECURITY: links within the person's own folders are followed, as people keep such files in a folder
/// of their own; a link to anywhere else is not.
pub(super) fn look(file: &Path, folders: &Folders) -> Look {
    let is_link = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.file_type().is_symlink());
    let Ok(there) = file.canonicalize() else {
        return if is_link(file) {
            Look::NotLooked("it is a link that leads nowhere")
        } else {
            Look::Nothing
        };
    };
    if there != file && !folders.hold(&there) && leads_elsewhere(file, &there) {
        return Look::NotLooked("it is a link that leads out of your home");
    }
    // Opened without waiting: a pipe is not a reason to hang. What became a link just now is not followed.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let Ok(opened) = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(&there) else {
        return if there.is_dir() { Look::Nothing } else { Look::NotLooked("it cannot be opened") };
    };
    match opened.metadata() {
        Ok(found) if found.is_dir() => Look::Nothing,
        Ok(found) if !found.is_file() => Look::NotLooked("it is not a plain file"),
        Ok(found) if found.len() > LEN_MAX => Look::NotLooked("it is too large to be looked into"),
        Ok(found) => read(opened, found.len())
            .map_or(Look::NotLooked("it cannot be read"), |bytes| Look::Bytes(bytes, there)),
        Err(_) => Look::NotLooked("it cannot be looked at"),
    }
}

/// A path that a variable of the person's named may be anywhere; its last part must not lead elsewhere again.
fn leads_elsewhere(file: &Path, there: &Path) -> bool {
    let beside = file.parent().and_then(|folder| folder.canonicalize().ok());
    beside.as_deref() != there.parent() || file.file_name() != there.file_name()
}

fn read(file: File, len: u64) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(len as usize + 1));
    file.take(LEN_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}
