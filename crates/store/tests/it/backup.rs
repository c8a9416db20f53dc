//! Copies, and putting them back.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hallpass_model::cut::Why;
use hallpass_model::ledger::{Actor, Event};
use hallpass_model::random::SystemEntropy;
use hallpass_model::session::Refusal;
use hallpass_model::time::Lifetime;
use hallpass_store::{
    AddPerson, BackupError, OpenError, Redeemed, RestoreError, Restored, StorePlace, restore,
};

use crate::world::{World, add_org, key, keys, next, open, token};

impl World {
    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    async fn back_up(&self) -> PathBuf {
        let to = self.folder.path().join("backup.db");
        self.store.backup(Actor::Operator, self.now, &to).await.unwrap();
        to
    }

    /// Puts the backup back in place of what stands there.
    fn restored(mut self, backup: &Path, keep_sessions: bool) -> (Self, Restored) {
        let data = self.data();
        drop(self.store);
        let restored =
            restore(backup, &data, keys(), keep_sessions, Arc::new(SystemEntropy), self.now).unwrap();
        self.store = open(StorePlace::new(data)).unwrap();
        (self, restored)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_taken_while_others_write_is_whole() {
    let world = World::new().await;
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (store, now, org, stop) = (world.store.clone(), world.now, world.org, Arc::clone(&stop));
        async move {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                let add = AddPerson { org, handle: format!("p{n}").parse().unwrap(), name: "P".into() };
                store.change(Actor::Operator, now, add).await.unwrap().unwrap();
                n += 1;
            }
            n
        }
    });
    for n in 0..5 {
        let to = world.folder.path().join(format!("backup{n}.db"));
        let backed_up = world.store.backup(Actor::Operator, world.now, &to).await.unwrap();
        let key = world.store.ledger_verifier();
        let report = crate::ledger::verify_copy(&to, key, Some(&backed_up.checkpoint));
        assert!(report.is_sound(), "{report:?}");
        assert_eq!(to.metadata().unwrap().mode() & 0o777, 0o600);
    }
    stop.store(true, Ordering::Relaxed);
    assert!(writing.await.unwrap() > 0);
    assert_eq!(world.count(Event::BackedUp).await, 5);
    let files: Vec<_> = std::fs::read_dir(world.folder.path()).unwrap().collect();
    assert_eq!(files.len(), 6, "five files, the data folder, and nothing beside them");
}

#[tokio::test]
async fn a_backup_overwrites_nothing_and_follows_no_link() {
    let world = World::new().await;
    let (there, link) = (world.folder.path().join("there"), world.folder.path().join("link"));
    std::fs::write(&there, "mine").unwrap();
    symlink(world.folder.path().join("elsewhere"), &link).unwrap();
    for to in [&there, &link] {
        let refused = world.store.backup(Actor::Operator, world.now, to).await;
        assert!(matches!(refused, Err(BackupError::Exists(_))), "{refused:?}");
    }
    assert_eq!(std::fs::read_to_string(there).unwrap(), "mine");
    assert!(!world.folder.path().join("elsewhere").exists());
    assert_eq!(world.count(Event::BackedUp).await, 0);
}

#[tokio::test]
async fn a_restore_cuts_every_session_older_than_itself_and_a_new_login_lives() {
    let mut world = World::new().await;
    let old = world.log_in(Some(key(1))).await;
    let code = world.issue_code(world.code()).await;
    let backup = world.back_up().await;
    world.wait(Lifetime::minutes(1));
    let since = world.log_in(Some(key(2))).await;
    world.change(add_org("since")).await.unwrap();
    let (mut world, restored) = world.restored(&backup, false);
    assert!(restored.replaced.unwrap().exists(), "what stood there is put aside");
    assert_eq!(world.store.find_org_by_name("since").await.unwrap(), None, "what happened since is lost");
    for opened in [&old, &since] {
        let dead = world.store.is_dead(&crate::cuts::place(opened)).await.unwrap();
        assert_eq!(dead, Some(Why::Restored));
    }
    assert!(matches!(world.refresh(&token(&old), Some(key(1))).await, Redeemed::Refused(Refusal::Cut(_))));
    assert!(matches!(world.refresh(&token(&since), Some(key(2))).await, Redeemed::Refused(Refusal::Unknown)));
    let redeemed = world.change(world.redeem_code(code)).await;
    assert!(matches!(redeemed, hallpass_store::CodeRedeemed::Refused(_)), "{redeemed:?}");
    // Even with the clock behind the restore's.
    world.now = crate::world::START;
    let new = world.log_in(Some(key(1))).await;
    assert_eq!(world.store.is_dead(&crate::cuts::place(&new)).await.unwrap(), None);
    assert_eq!(world.count(Event::Restored).await, 1);
    crate::ledger::verify(&world.store).await;
}

#[tokio::test]
async fn kept_sessions_live_on_and_generations_ahead_are_adopted() {
    let mut world = World::new().await;
    let first = token(&world.log_in(Some(key(1))).await);
    let bearer = token(&world.log_in(None).await);
    let backup = world.back_up().await;
    let mut held = first.clone();
    for _ in 0..3 {
        world.wait(Lifetime::minutes(1));
        held = token(&next(world.refresh(&held, Some(key(1))).await));
    }
    let (mut world, _) = world.restored(&backup, true);
    world.wait(Lifetime::minutes(1));
    next(world.refresh(&bearer, None).await);
    let adopted = next(world.refresh(&held, Some(key(1))).await);
    assert_eq!(adopted.session.rotation.newest, 4, "it is level with its holder again");
    assert_eq!(world.count(Event::Adopted).await, 1);
    // And from here on the rule is the old one.
    next(world.refresh(&token(&adopted), Some(key(1))).await);
    assert!(matches!(world.refresh(&first, Some(key(1))).await, Redeemed::Ended(Why::Reuse)));
    // A session opened after the restore has no business being ahead.
    assert!(
        world.log_in(None).await.session.stamp
            > world.store.find_session(adopted.session.id).await.unwrap().unwrap().stamp
    );
}

#[tokio::test]
async fn without_being_told_a_generation_ahead_is_refused_and_nothing_is_cut() {
    let world = World::new().await;
    let opened = world.log_in(Some(key(1))).await;
    let backup = world.back_up().await;
    let held = token(&next(world.refresh(&token(&opened), Some(key(1))).await));
    // Somebody put the file back by hand, behind the store's back.
    let mut world = world;
    let data = world.data();
    drop(world.store);
    std::fs::remove_file(data.join("hallpass.db")).unwrap();
    std::fs::copy(&backup, data.join("hallpass.db")).unwrap();
    world.store = open(StorePlace::new(data)).unwrap();
    assert!(matches!(world.refresh(&held, Some(key(1))).await, Redeemed::Refused(Refusal::Ahead)));
    next(world.refresh(&token(&opened), Some(key(1))).await);
}

#[tokio::test]
async fn a_restore_wants_a_backup_its_keys_and_a_folder_nobody_holds() {
    let world = World::new().await;
    let backup = world.back_up().await;
    let (data, now) = (world.data(), world.now);
    let attempt = |from: &Path, keys| restore(from, &data, keys, false, Arc::new(SystemEntropy), now);
    let held = attempt(&backup, keys());
    assert!(matches!(held, Err(RestoreError::Open(OpenError::InUse(_)))), "{held:?}");
    drop(world.store);
    let garbage = world.folder.path().join("garbage");
    std::fs::write(&garbage, "nothing of ours".repeat(1_000)).unwrap();
    assert!(matches!(attempt(&garbage, keys()), Err(RestoreError::NotABackup { .. })));
    assert!(matches!(
        attempt(&world.folder.path().join("none"), keys()),
        Err(RestoreError::NotABackup { .. })
    ));
    let other =
        hallpass_store::StoreKeys { kek: hallpass_store::KeyEncryptionKey::from_bytes(&[9; 32]), ..keys() };
    assert!(matches!(attempt(&backup, other), Err(RestoreError::Open(OpenError::WrongKey(_)))));
    // Whatever failed, what stood there stands.
    let store = open(StorePlace::new(&data)).unwrap();
    assert!(store.find_org_by_name("acme").await.unwrap().is_some());
}
