//! One renewal at a time for one sign-in of one user, across processes.
//!
//! The lock is a file of its own, never removed, keyed by uid and identity. It stands in a folder that does not depend
//! on HOME, TMPDIR or XDG variables: two processes of one user that disagree about those must still agree here. Those that
//! do not even share that folder agree on another, beside the record that they share.
//!
//! Where nothing can be written at all there is no record that another process could renew: then the lock is this
//! process's own, for what it has in memory.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use tokio::sync::OwnedMutexGuard;
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
    _held: Held,
}

#[expect(dead_code, reason = "what is in it is held, and given back when it is dropped")]
enum Held {
    Files(Vec<File>),
    Here(OwnedMutexGuard<()>),
}

/// The locks of this process alone, by identity.
static HERE: LazyLock<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>> = LazyLock::new(Mutex::default);

/// Waits for the lock, at most a minute.
pub(crate) async fn renewing(identity: &Identity, folders: &[PathBuf]) -> Result<Renewing, HolderError> {
    let held = renewing_unless(identity, folders, || false).await?;
    Ok(held.expect("it is always needed"))
}

/// The same, or `None` as soon as it is needed no more: what it was wanted for may be done while it is waited for, and a
/// hundred who wait for the same need not take their turns to see that.
pub(crate) async fn renewing_unless(
    identity: &Identity,
    folders: &[PathBuf],
    mut needless: impl FnMut() -> bool,
) -> Result<Option<Renewing>, HolderError> {
    let locked = || HolderError::Locked { waited_seconds: WAIT_MAX.as_secs() };
    let Some((path, file)) = lock_file(identity, folders) else {
        let here =
            HERE.lock().expect("no thread panics holding this").entry(identity.name()).or_default().clone();
        let held = tokio::time::timeout(WAIT_MAX, here.lock_owned()).await.map_err(|_| locked())?;
        return Ok(Some(Renewing { _held: Held::Here(held) }));
    };
    let give_up = Instant::now() + WAIT_MAX;
    let beside = beside_the_record(identity, folders, &path);
    let mut held = Vec::new();
    let mut pause = TRY_EVERY;
    // Always in this order, so that no two wait for each other.
    for (path, file, must) in [(path, file, true)].into_iter().chain(beside) {
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                Err(error) if must => return Err(HolderError::disk("cannot lock", &path)(error.into())),
                // A file system without locks: there the first one has to do.
                Err(_) => break,
            }
            if needless() {
                return Ok(None);
            }
            if Instant::now() >= give_up {
                return Err(locked());
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(TRY_EVERY_AT_MOST);
        }
        held.push(file);
    }
    Ok(Some(Renewing { _held: Held::Files(held) }))
}

/// The folders to try, in an order that is the same for every process of this user: `/var/tmp` is always there, while
/// `/run/user` comes and goes with login sessions, and a job that outlives one must not hold another lock. The folder
/// of the records is the last resort.
pub(crate) fn folders(records: Option<&Path>) -> Vec<PathBuf> {
    let uid = private::own_uid();
    let everywhere = [
        PathBuf::from(format!("/var/tmp/hallpass-{uid}")),
        PathBuf::from(format!("/run/user/{uid}/hallpass")),
    ];
    everywhere.into_iter().chain(records.map(Path::to_owned)).collect()
}

/// The lock that stands beside the record, where there is a record. Whoever has a `/var/tmp` of their own (a service with
/// `PrivateTmp=`, a container over the same home) and finds the same record all the same must wait for the others there.
fn beside_the_record(
    identity: &Identity,
    folders: &[PathBuf],
    first: &Path,
) -> Option<(PathBuf, File, bool)> {
    let folder = folders.last().filter(|folder| first.parent() != Some(folder))?;
    if !folder.join(format!("{}.record", identity.name())).exists() {
        return None;
    }
    let path = folder.join(format!("{}.lock", identity.name()));
    let file = private::lock_file(&path).ok()?;
    Some((path, file, false))
}

/// The file in the first folder that is ours, private and can be written. One that somebody else made under our name is
/// passed over: they can make every process of ours use the next, but the same next. Opened once, as each open file is a
/// lock of its own, in this process too.
fn lock_file(identity: &Identity, folders: &[PathBuf]) -> Option<(PathBuf, File)> {
    folders.iter().find_map(|folder| {
        let path = folder.join(format!("{}.lock", identity.name()));
        let file = private::folder(folder).and_then(|()| private::lock_file(&path)).ok()?;
        Some((path, file))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity::new("https://id.example", "c")
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

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_what_is_done_meanwhile_needs_no_turn() {
        let root = tempfile::tempdir().unwrap();
        let folders = [root.path().to_owned()];
        let first = renewing(&identity(), &folders).await.unwrap();
        let mut looks = 0;
        let needless = || {
            looks += 1;
            looks == 3
        };
        assert!(renewing_unless(&identity(), &folders, needless).await.unwrap().is_none());
        drop(first);
        assert!(renewing_unless(&identity(), &folders, || true).await.unwrap().is_some(), "it is free");
    }

    #[tokio::test]
    async fn another_identity_does_not_wait() {
        let root = tempfile::tempdir().unwrap();
        let folders = [root.path().to_owned()];
        let _first = renewing(&identity(), &folders).await.unwrap();
        let other = Identity { client_id: "d".into(), ..identity() };
        let _second = renewing(&other, &folders).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn two_that_share_a_record_and_no_temporary_folder_still_renew_one_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let [mine, theirs, records] = ["mine", "theirs", "records"].map(|name| root.path().join(name));
        private::folder(&records).unwrap();
        let (mine, theirs) = ([mine, records.clone()], [theirs, records.clone()]);
        // Without a record there is nothing that they share.
        let first = renewing(&identity(), &mine).await.unwrap();
        drop((first, renewing(&identity(), &theirs).await.unwrap()));
        assert_eq!(std::fs::read_dir(&records).unwrap().count(), 0);

        std::fs::write(records.join(format!("{}.record", identity().name())), "").unwrap();
        let first = renewing(&identity(), &mine).await.unwrap();
        assert!(matches!(renewing(&identity(), &theirs).await, Err(HolderError::Locked { .. })));
        drop(first);
        renewing(&identity(), &theirs).await.unwrap();
    }

    #[test]
    fn a_folder_that_is_not_ours_to_use_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let (squatted, ours) = (root.path().join("squatted"), root.path().join("ours"));
        std::os::unix::fs::symlink(root.path(), &squatted).unwrap();
        let (path, _) = lock_file(&identity(), &[squatted, ours.clone()]).unwrap();
        assert_eq!(path.parent().unwrap(), ours);
    }

    #[tokio::test(start_paused = true)]
    async fn where_nothing_can_be_written_one_process_still_renews_one_at_a_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let folders = [file.path().join("under-a-file")];
        let first = renewing(&identity(), &folders).await.unwrap();
        assert!(matches!(renewing(&identity(), &folders).await, Err(HolderError::Locked { .. })));
        drop(first);
        renewing(&identity(), &folders).await.unwrap();
    }
}
