//! One renewal at a time for one sign-in of one user, across processes.
//!
//! The lock is a file of its own, never removed, keyed by uid and identity. It stands in a folder that does not depend
//! on HOME, TMPDIR or XDG variables: two processes of one user that disagree about those must still agree here.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use tokio::time::Instant;

use crate::error::HolderError;
use crate::private;
use crate::shelf::Identity;

/// How long to wait for another process's renewal: twice what a renewal may take at most (`provider::TIME_OUT`).
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How often to try. A renewal takes some milliseconds on a near server, so the first tries are close together.
const TRY_EVERY: Duration = Duration::from_millis(10);
const TRY_EVERY_AT_MOST: Duration = Duration::from_millis(200);

/// Held while a sign-in is renewed. Never held while a person is at a browser. Dropping it gives it back; so does the
/// kernel, if the process dies.
pub(crate) struct Renewing {
    _file: File,
}

/// Waits for the lock, at most a minute.
pub(crate) async fn renewing(identity: &Identity, folders: &[PathBuf]) -> Result<Renewing, HolderError> {
    let path = usable_folder(folders)?.join(format!("{}.lock", identity.name()));
    // Opened once: each open file is a lock of its own, in this process too.
    let file = private::lock_file(&path)?;
    let give_up = Instant::now() + WAIT_MAX;
    let mut pause = TRY_EVERY;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Renewing { _file: file }),
            Err(Errno::WOULDBLOCK | Errno::INTR) => {}
            Err(error) => return Err(HolderError::disk("cannot lock", &path)(error.into())),
        }
        if Instant::now() >= give_up {
            return Err(HolderError::Locked { waited_seconds: WAIT_MAX.as_secs() });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(TRY_EVERY_AT_MOST);
    }
}

/// The folders to try, in an order that is the same for every process of this user: `/var/tmp` is always there, while
/// `/run/user` comes and goes with login sessions, and a job that outlives one must not hold another lock. The folder
/// of the records is the last resort.
pub(crate) fn folders(records: &Path) -> Vec<PathBuf> {
    let uid = private::own_uid();
    vec![
        PathBuf::from(format!("/var/tmp/hallpass-{uid}")),
        PathBuf::from(format!("/run/user/{uid}/hallpass")),
        records.to_owned(),
    ]
}

/// The first folder that is ours and private. One that somebody else made under our name is passed over: they can
/// make every process of ours use the next, but the same next.
fn usable_folder(folders: &[PathBuf]) -> Result<&Path, HolderError> {
    let mut last = None;
    for folder in folders {
        match private::folder(folder) {
            Ok(()) => return Ok(folder),
            Err(error) => last = Some(error),
        }
    }
    Err(last.expect("there is at least one folder to try"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity { issuer: "https://id.example".into(), client_id: "c".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_waits_for_the_first_and_gives_up_after_a_minute() {
        let root = tempfile::tempdir().unwrap();
        let folders = [root.path().to_owned()];
        let first = renewing(&identity(), &folders).await.unwrap();
        let start = Instant::now();
        assert!(matches!(renewing(&identity(), &folders).await, Err(HolderError::Locked { .. })));
        assert!(start.elapsed() >= WAIT_MAX && start.elapsed() < WAIT_MAX + Duration::from_secs(1));
        drop(first);
        let again = renewing(&identity(), &folders).await.unwrap();
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1, "the file stays");
        drop(again);
    }

    #[tokio::test]
    async fn another_identity_does_not_wait() {
        let root = tempfile::tempdir().unwrap();
        let folders = [root.path().to_owned()];
        let _first = renewing(&identity(), &folders).await.unwrap();
        let other = Identity { client_id: "d".into(), ..identity() };
        let _second = renewing(&other, &folders).await.unwrap();
    }

    #[test]
    fn a_folder_that_is_not_ours_to_use_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let (squatted, ours) = (root.path().join("squatted"), root.path().join("ours"));
        std::os::unix::fs::symlink(root.path(), &squatted).unwrap();
        assert_eq!(usable_folder(&[squatted, ours.clone()]).unwrap(), ours);
    }
}
