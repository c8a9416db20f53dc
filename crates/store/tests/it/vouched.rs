//! A database that was changed while no server ran is not signed on.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hallpass_model::ledger::{Checkpoint, Event, Frontier, Hash};
use hallpass_model::random::SystemEntropy;
use hallpass_store::{Doubt, OpenError, Restore, RestoreError, Signed, Store, StorePlace, restore};
use rusqlite::Connection;

use crate::world::{World, add_org, keys, open};

/// A store that was stopped, and the file outside it.
struct Stopped {
    world: World,
    place: StorePlace,
    outside: PathBuf,
}

impl Stopped {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("ledger.checkpoint");
        let place = StorePlace::new(folder.path().join("data")).with_outside(&outside);
        let world = World::at(place.clone(), folder).await;
        Self { world, place, outside }.stopped()
    }

    fn stopped(mut self) -> Self {
        // A world has a store: this one is nobody's.
        let elsewhere = StorePlace::new(self.world.folder.path().join("elsewhere"));
        let stopped = std::mem::replace(&mut self.world.store, open(elsewhere).unwrap());
        drop(stopped);
        self
    }

    fn database(&self) -> PathBuf {
        self.place.data.join("hallpass.db")
    }

    fn open(&self) -> Result<Store, OpenError> {
        open(self.place.clone())
    }

    /// The server runs, and something more is recorded.
    async fn goes_on(&self, name: &str) {
        let store = self.open().unwrap();
        store
            .change(hallpass_model::ledger::Actor::Operator, self.world.now, add_org(name))
            .await
            .unwrap()
            .unwrap();
    }

    fn kept(&self) -> Checkpoint {
        Checkpoint::open(&std::fs::read_to_string(&self.outside).unwrap(), &keys().ledger.verifier()).unwrap()
    }

    fn restore(&self, from: &Path, accept_ledger: bool) -> Result<hallpass_store::Restored, RestoreError> {
        let how = Restore { from, place: &self.place, keep_sessions: true, accept_ledger };
        restore(&how, keys(), Arc::new(SystemEntropy), self.world.now)
    }
}

/// Changes an entry, and every hash with it, as somebody without the ledger's key would: what is left agrees with itself.
fn rewrite(database: &Path, without_checkpoints: bool) {
    let db = Connection::open(database).unwrap();
    let leaves: Vec<(i64, String)> = db
        .prepare("SELECT seq, leaf FROM ledger ORDER BY seq")
        .unwrap()
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(leaves.len() < 256, "there are no nodes to change");
    let mut tree = Frontier::new();
    let mut changed = 0;
    for (seq, leaf) in leaves {
        let other = leaf.replace("acme", "evil").replace("operator", "system");
        changed += usize::from(other != leaf);
        let hash = Hash::of_leaf(other.as_bytes());
        tree.append(hash, |_| ());
        db.execute("UPDATE ledger SET leaf = ?2, hash = ?3 WHERE seq = ?1", (seq, other, hash.0)).unwrap();
    }
    assert!(changed > 0, "something was changed");
    db.execute("UPDATE meta SET frontier = ?1", [tree.to_bytes()]).unwrap();
    if without_checkpoints {
        db.execute("DELETE FROM checkpoints", ()).unwrap();
    }
}

#[tokio::test]
async fn a_ledger_edited_offline_with_all_its_traces_is_not_signed_on() {
    let stopped = Stopped::new().await;
    rewrite(&stopped.database(), true);
    let refused = stopped.open().unwrap_err();
    assert!(
        matches!(&refused, OpenError::Ledger(Doubt::Differs { by: Signed::Outside(at), .. }) if *at == stopped.outside),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("some were changed, added or removed"), "{refused}");
    let db = Connection::open(stopped.database()).unwrap();
    let signed: i64 = db.query_row("SELECT count(*) FROM checkpoints", (), |row| row.get(0)).unwrap();
    assert_eq!(signed, 0, "nothing was signed");
}

#[tokio::test]
async fn a_ledger_edited_offline_under_its_checkpoints_needs_nothing_outside_to_be_refused() {
    let stopped = Stopped::new().await;
    rewrite(&stopped.database(), false);
    let refused = open(StorePlace::new(&stopped.place.data)).unwrap_err();
    assert!(matches!(refused, OpenError::Ledger(Doubt::Differs { by: Signed::Inside, .. })), "{refused:?}");
}

#[tokio::test]
async fn an_operator_may_go_on_from_an_edited_ledger_and_the_ledger_says_so() {
    let mut stopped = Stopped::new().await;
    rewrite(&stopped.database(), true);
    let refused = stopped.restore(&stopped.database(), false).unwrap_err();
    assert!(matches!(refused, RestoreError::Ledger { .. }), "{refused:?}");
    assert!(stopped.open().is_err(), "what stood there stands");
    let given_up = stopped.kept();
    let restored = stopped.restore(&stopped.database(), true).unwrap();
    assert_eq!(restored.accepted.len(), 1, "{:?}", restored.accepted);
    assert_eq!(std::fs::read_to_string(&stopped.outside).unwrap(), restored.checkpoint);
    stopped.world.store = stopped.open().unwrap();
    let entries = stopped.world.ledger().await;
    assert_eq!(entries.iter().filter(|entry| entry.event == Event::Accepted).count(), 1);
    let put_back = entries.iter().find(|entry| entry.event == Event::Restored).unwrap();
    assert!(
        format!("{:?}", put_back.detail).contains(&given_up.root.to_string()),
        "what was given up is named"
    );
    crate::ledger::verify(&stopped.world.store).await;
}

#[tokio::test]
async fn a_database_that_was_rolled_back_is_refused() {
    let stopped = Stopped::new().await;
    let older = std::fs::read(stopped.database()).unwrap();
    stopped.goes_on("since").await;
    std::fs::write(stopped.database(), older).unwrap();
    let refused = stopped.open().unwrap_err();
    assert!(
        matches!(refused, OpenError::Ledger(Doubt::Shorter { by: Signed::Outside(_), .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_outside_copy_behind_the_database_locks_nobody_out_and_is_brought_level() {
    let stopped = Stopped::new().await;
    let older = std::fs::read(&stopped.outside).unwrap();
    stopped.goes_on("since").await;
    // The power went after the commit, before the file, and in the middle of writing it.
    std::fs::write(&stopped.outside, older).unwrap();
    std::fs::write(stopped.outside.with_extension("checkpoint.new"), "half").unwrap();
    let behind = stopped.kept().size;
    drop(stopped.open().unwrap());
    assert!(stopped.kept().size > behind);
    assert_eq!(stopped.outside.metadata().unwrap().mode() & 0o777, 0o600);
    drop(stopped.open().unwrap());
}

#[tokio::test]
async fn a_missing_outside_copy_is_recorded_and_made_again() {
    let mut stopped = Stopped::new().await;
    std::fs::remove_file(&stopped.outside).unwrap();
    stopped.world.store = stopped.open().unwrap();
    assert_eq!(stopped.world.count(Event::Accepted).await, 1);
    assert!(stopped.kept().size > 0);
    let stopped = stopped.stopped();
    drop(stopped.open().unwrap());
}

#[tokio::test]
async fn an_outside_copy_of_another_s_or_of_nothing_is_refused() {
    let stopped = Stopped::new().await;
    let note = std::fs::read_to_string(&stopped.outside).unwrap();
    for other in ["", "nothing of ours\n", &note.replace("store.test", "else.test"), &note[..note.len() / 2]]
    {
        std::fs::write(&stopped.outside, other).unwrap();
        let refused = stopped.open().unwrap_err();
        assert!(matches!(refused, OpenError::Ledger(Doubt::BadCheckpoint { .. })), "{other}: {refused:?}");
    }
    std::fs::write(&stopped.outside, note).unwrap();
    stopped.open().unwrap();
}

#[tokio::test]
async fn no_empty_store_is_begun_where_one_was() {
    let stopped = Stopped::new().await;
    let aside = stopped.world.folder.path().join("aside");
    std::fs::rename(stopped.database(), &aside).unwrap();
    let refused = stopped.open().unwrap_err();
    assert!(matches!(refused, OpenError::Ledger(Doubt::Shorter { found: 0, .. })), "{refused:?}");
    for trace in ["restoring.db", "replaced-1.db", "hallpass.db-wal"] {
        let trace = stopped.place.data.join(trace);
        std::fs::copy(&aside, &trace).unwrap();
        let refused = open(StorePlace::new(&stopped.place.data)).unwrap_err();
        assert!(matches!(&refused, OpenError::Gone { beside } if *beside == trace), "{refused:?}");
        assert!(!hallpass_store::is_new(&stopped.place.data));
        std::fs::remove_file(&trace).unwrap();
    }
    assert!(!stopped.database().exists(), "nothing was made");
    assert!(hallpass_store::is_new(&stopped.place.data));
}

#[tokio::test]
async fn a_backup_that_was_edited_is_not_put_back() {
    let mut stopped = Stopped::new().await;
    stopped.world.store = stopped.open().unwrap();
    let backup = stopped.world.folder.path().join("backup.db");
    stopped
        .world
        .store
        .backup(hallpass_model::ledger::Actor::Operator, stopped.world.now, &backup)
        .await
        .unwrap();
    let stopped = stopped.stopped();
    let whole = std::fs::read(&backup).unwrap();
    for without_checkpoints in [true, false] {
        std::fs::write(&backup, &whole).unwrap();
        rewrite(&backup, without_checkpoints);
        let refused = stopped.restore(&backup, false).unwrap_err();
        assert!(matches!(refused, RestoreError::Ledger { .. }), "{refused:?}");
    }
    drop(stopped.open().unwrap());
    std::fs::write(&backup, &whole).unwrap();
    stopped.restore(&backup, false).unwrap();
    drop(stopped.open().unwrap());
}
