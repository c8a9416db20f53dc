//! Restores that stop half way.

use std::cell::Cell;
use std::os::unix::fs::symlink;

use hallpass_model::ledger::LedgerKey;
use hallpass_model::random::{Seeded, SystemEntropy};
use hallpass_model::secret::Secret;

use super::*;
use crate::keys::SigningKeyRow;
use crate::open::Store;
use crate::orgs::AddOrg;
use crate::seal::KeyEncryptionKey;

thread_local! {
    /// How many crash points are passed before the crash; none comes while it is `None`.
    static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Stops the restore here, if that is where the test wants it.
pub(super) fn crash_here() -> Result<(), OpenError> {
    match LEFT.get() {
        Some(0) => Err(OpenError::Damaged("the power went".into())),
        left => {
            LEFT.set(left.map(|left| left - 1));
            Ok(())
        }
    }
}

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn keys() -> StoreKeys {
    let ledger = LedgerKey::generate("store.test/ledger", &Seeded::new(7)).unwrap();
    StoreKeys { kek: KeyEncryptionKey::from_bytes(&[7; 32]), previous: None, ledger }
}

fn open(place: &StorePlace) -> Result<Store, OpenError> {
    Store::open(place.clone(), keys(), Arc::new(SystemEntropy), NOW)
}

async fn add_org(store: &Store, name: &str) {
    let add = AddOrg {
        name: name.parse().unwrap(),
        title: name.into(),
        administrator: ("ada".parse().unwrap(), "Ada".into()),
        signing: SigningKeyRow { kid: "k1".into(), pkcs8: Secret::new(b"a key".to_vec()) },
    };
    store.change(Actor::Operator, NOW, add).await.unwrap().unwrap();
}

/// A folder with the org `since` in its database, and a backup with `before` alone.
async fn scene(folder: &Path) -> (StorePlace, PathBuf) {
    let place = StorePlace::new(folder.join("data")).with_outside(folder.join("ledger.checkpoint"));
    let backup = folder.join("backup.db");
    let store = open(&place).unwrap();
    add_org(&store, "before").await;
    store.backup(Actor::Operator, NOW, &backup).await.unwrap();
    add_org(&store, "since").await;
    (place, backup)
}

/// Restores, and has the power go at this crash point. Whether it got to its end before.
fn restore_until(point: u32, place: &StorePlace, backup: &Path) -> bool {
    let how = Restore { from: backup, place, keep_sessions: false, accept_ledger: false };
    LEFT.set(Some(point));
    let restored = restore(&how, keys(), Arc::new(SystemEntropy), NOW);
    LEFT.set(None);
    restored.is_ok()
}

/// The database that was put aside.
fn replaced(place: &StorePlace) -> Option<PathBuf> {
    let files = std::fs::read_dir(&place.data).unwrap().map(|file| file.unwrap().path());
    files
        .into_iter()
        .find(|path| path.to_string_lossy().contains(REPLACED) && path.extension().unwrap() == "db")
}

#[tokio::test]
async fn a_crash_anywhere_in_a_restore_leaves_the_old_database_or_the_new() {
    let mut crashes = 0;
    loop {
        let folder = tempfile::tempdir().unwrap();
        let (place, backup) = scene(folder.path()).await;
        let done = restore_until(crashes, &place, &backup);
        let store = open(&place).unwrap_or_else(|error| panic!("after {crashes}: {error}"));
        assert!(store.find_org_by_name("before").await.unwrap().is_some(), "after {crashes}");
        let since = store.find_org_by_name("since").await.unwrap().is_some();
        assert!(!(done && since), "it was put in place");
        drop(store);
        // Whichever of the two it is goes on; and once more, the restore comes to its end.
        drop(open(&place).unwrap());
        assert!(restore_until(u32::MAX, &place, &backup));
        assert!(open(&place).unwrap().find_org_by_name("since").await.unwrap().is_none());
        if done {
            break;
        }
        crashes += 1;
    }
    assert!(crashes >= 4, "only {crashes} points were tried");
}

#[tokio::test]
async fn what_was_acknowledged_and_stands_only_in_the_log_is_in_what_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let (place, backup) = scene(folder.path()).await;
    // As a server that was killed leaves it: the database without its log is an older one.
    let store = open(&place).unwrap();
    add_org(&store, "logged").await;
    let log = place.data.join("hallpass.db-wal");
    let (database, killed) =
        (std::fs::read(place.data.join(DATABASE)).unwrap(), std::fs::read(&log).unwrap());
    let outside = std::fs::read(folder.path().join("ledger.checkpoint")).unwrap();
    drop(store);
    std::fs::write(place.data.join(DATABASE), database).unwrap();
    std::fs::write(&log, killed).unwrap();
    std::fs::write(folder.path().join("ledger.checkpoint"), outside).unwrap();
    assert!(restore_until(u32::MAX, &place, &backup));
    let aside = Connection::open(replaced(&place).unwrap()).unwrap();
    let logged: i64 =
        aside.query_row("SELECT count(*) FROM orgs WHERE name = 'logged'", (), |row| row.get(0)).unwrap();
    assert_eq!(logged, 1);
}

#[tokio::test]
async fn a_crash_over_a_database_that_cannot_be_read_never_begins_an_empty_one() {
    for point in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let (place, backup) = scene(folder.path()).await;
        let ruin = "no database, though as long as one".repeat(500);
        std::fs::write(place.data.join(DATABASE), &ruin).unwrap();
        // And a log that cannot be folded into it.
        symlink("elsewhere", place.data.join("hallpass.db-wal")).unwrap();
        let done = restore_until(point, &place, &backup);
        match open(&place) {
            Ok(store) => assert!(store.find_org_by_name("before").await.unwrap().is_some(), "after {point}"),
            Err(OpenError::Symlink(_) | OpenError::Gone { .. }) => assert!(!done),
            Err(other) => panic!("after {point}: {other}"),
        }
        assert!(restore_until(u32::MAX, &place, &backup), "and the restore can be done again");
        assert!(open(&place).unwrap().find_org_by_name("before").await.unwrap().is_some());
        if done {
            assert!(point >= 5, "only {point} points were tried");
            return;
        }
    }
}
