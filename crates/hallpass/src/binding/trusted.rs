//! What somebody looked at: one small file each, named by the hash of the path, holding the path and the hash of what stood
//! there.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::holding::state_folder;

const FOLDER: &str = "trusted";
/// Mode bits by which others could write.
const OTHERS_WRITE: u32 = 0o022;

/// What is known about a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Somebody looked at just this.
    Trusted,
    /// Somebody looked at what it was before.
    Changed,
    /// Nobody has.
    Unknown,
}

#[derive(Serialize, Deserialize)]
struct LookedAt {
    path: PathBuf,
    sha256: String,
}

/// Where it is written down. Without a state folder nothing can be trusted.
pub(super) fn folder() -> Option<PathBuf> {
    Some(state_folder().ok()?.join(FOLDER))
}

/// Writes down that somebody looked at a file and what it says.
pub(crate) fn trust(file: &Path, text: &str) -> Result<(), Failure> {
    state_folder()?;
    trust_in(folder().as_deref(), file, text)
}

/// Takes that back. Whether there was anything to take back.
pub(crate) fn undo(file: &Path) -> Result<bool, Failure> {
    undo_in(folder().as_deref(), file)
}

pub(super) fn trust_in(folder: Option<&Path>, file: &Path, text: &str) -> Result<(), Failure> {
    let folder = folder.ok_or_else(|| Failure::could_not_run("there is no folder to write it down in"))?;
    let looked_at = LookedAt { path: file.to_owned(), sha256: hash(text.as_bytes()) };
    let bytes = serde_json::to_vec(&looked_at)
        .map_err(|_| Failure::could_not_run("the path cannot be written down: it is not UTF-8"))?;
    let place = place(folder, file);
    write(folder, &place, &bytes).map_err(|error| cannot("write", &place, &error))
}

pub(super) fn undo_in(folder: Option<&Path>, file: &Path) -> Result<bool, Failure> {
    let Some(folder) = folder else { return Ok(false) };
    let place = place(folder, file);
    match std::fs::remove_file(&place) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(cannot("remove", &place, &error)),
    }
}

pub(super) fn judge(folder: Option<&Path>, file: &Path, text: &str) -> Result<Verdict, Failure> {
    let Some(folder) = folder else { return Ok(Verdict::Unknown) };
    let place = place(folder, file);
    let found = match std::fs::symlink_metadata(&place) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Verdict::Unknown),
        Err(error) => return Err(cannot("read", &place, &error)),
    };
    // SECURITY: what others could have written nobody here has said.
    let ours = found.is_file() && found.uid() == rustix::process::geteuid().as_raw();
    if !ours || found.mode() & OTHERS_WRITE != 0 {
        return Ok(Verdict::Unknown);
    }
    let bytes = std::fs::read(&place).map_err(|error| cannot("read", &place, &error))?;
    match serde_json::from_slice::<LookedAt>(&bytes) {
        Ok(seen) if seen.path == file && seen.sha256 == hash(text.as_bytes()) => Ok(Verdict::Trusted),
        Ok(seen) if seen.path == file => Ok(Verdict::Changed),
        _ => Ok(Verdict::Unknown),
    }
}

fn place(folder: &Path, file: &Path) -> PathBuf {
    folder.join(hash(file.as_os_str().as_encoded_bytes()))
}

fn hash(bytes: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, bytes);
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whole or not at all.
fn write(folder: &Path, place: &Path, bytes: &[u8]) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let beside = place.with_extension(format!("{}.new", std::process::id()));
    let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.and_then(|()| std::fs::rename(&beside, place)).inspect_err(|_| {
        let _ = std::fs::remove_file(&beside);
    })
}

fn cannot(doing: &str, place: &Path, error: &io::Error) -> Failure {
    Failure::could_not_run(format_args!("cannot {doing} `{}`: {error}", place.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_others_could_have_written_is_not_what_somebody_said() {
        let folder = tempfile::tempdir().unwrap();
        let (state, file) = (Some(folder.path()), Path::new("/repository/.hallpass.toml"));
        trust_in(state, file, "x").unwrap();
        assert_eq!(judge(state, file, "x").unwrap(), Verdict::Trusted);
        let place = place(folder.path(), file);
        assert_eq!(std::fs::metadata(&place).unwrap().mode() & 0o777, 0o600);
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(judge(state, file, "x").unwrap(), Verdict::Unknown);
        std::fs::remove_file(&place).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &place).unwrap();
        assert_eq!(judge(state, file, "x").unwrap(), Verdict::Unknown);
        assert_eq!(judge(None, file, "x").unwrap(), Verdict::Unknown);
    }

    #[test]
    fn trust_is_said_again_for_another_content() {
        let folder = tempfile::tempdir().unwrap();
        let (state, file) = (Some(folder.path()), Path::new("/repository/.hallpass.toml"));
        trust_in(state, file, "x").unwrap();
        assert_eq!(judge(state, file, "y").unwrap(), Verdict::Changed);
        trust_in(state, file, "y").unwrap();
        assert_eq!(judge(state, file, "y").unwrap(), Verdict::Trusted);
        assert_eq!(judge(state, file, "x").unwrap(), Verdict::Changed);
    }
}
