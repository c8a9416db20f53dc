//! The folder: whose it is, who holds it, with which keys.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use hallpass_model::ledger::{Actor, Event, Key, LedgerKey};
use hallpass_model::random::{Seeded, SystemEntropy};
use hallpass_store::{
    Filter, KeyEncryptionKey, LedgerEntry, LinkPurpose, MakeLink, OpenError, Store, StoreKeys, StorePlace,
};

use crate::world::{START, World, add_org, keys, open};

fn place(world: &World) -> StorePlace {
    StorePlace::new(world.folder.path().join("data"))
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_is_refused_until_the_first_is_gone() {
    let world = World::new().await;
    let place = place(&world);
    assert!(matches!(open(place.clone()), Err(OpenError::InUse(_))));
    let clone = world.store.clone();
    drop(world.store);
    assert!(matches!(open(place.clone()), Err(OpenError::InUse(_))), "a clone still holds it");
    drop(clone);
    let store = open(place).unwrap();
    assert_eq!(store.find_org_by_name("acme").await.unwrap().unwrap().id, world.org);
}

#[tokio::test]
async fn the_folder_and_every_file_in_it_are_ours_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o755)).unwrap();
    let world = World::at(StorePlace::new(&data), folder).await;
    world.log_in(None).await;
    assert_eq!(data.metadata().unwrap().mode() & 0o777, 0o700);
    let mut files = 0;
    for file in std::fs::read_dir(&data).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600, "{:?}", file.file_name());
        files += 1;
    }
    assert_eq!(files, 4, "database, log, its index, lock");
}

#[tokio::test]
async fn nothing_is_opened_through_a_symbolic_link() {
    let folder = tempfile::tempdir().unwrap();
    let (data, elsewhere) = (folder.path().join("data"), folder.path().join("elsewhere"));
    let refused = |data: &Path| matches!(open(StorePlace::new(data)), Err(OpenError::Symlink(_)));

    std::fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, &data).unwrap();
    assert!(refused(&data), "the folder");
    std::fs::remove_file(&data).unwrap();
    for name in ["hallpass.db", "hallpass.db-wal", "hallpass.db-shm", "lock"] {
        std::fs::create_dir(&data).unwrap();
        symlink(elsewhere.join("file"), data.join(name)).unwrap();
        assert!(refused(&data), "{name}");
        assert!(!elsewhere.join("file").exists(), "{name} was followed");
        std::fs::remove_dir_all(&data).unwrap();
    }
    // A link above the folder is the operator's business: /var/lib may be one.
    std::fs::create_dir(elsewhere.join("data")).unwrap();
    symlink(&elsewhere, folder.path().join("above")).unwrap();
    open(StorePlace::new(folder.path().join("above/data"))).unwrap();
}

#[tokio::test]
async fn a_store_opens_with_its_own_keys_and_no_others() {
    let world = World::new().await;
    let place = place(&world);
    drop(world.store);
    let with = |keys| Store::open(place.clone(), keys, Arc::new(SystemEntropy), START);
    let other_kek = StoreKeys { kek: KeyEncryptionKey::from_bytes(&[8; 32]), ..keys() };
    assert!(matches!(with(other_kek), Err(OpenError::WrongKey("key-encryption key"))));
    let other_ledger = LedgerKey::generate("store.test/ledger", &Seeded::new(8)).unwrap();
    assert!(matches!(
        with(StoreKeys { ledger: other_ledger, ..keys() }),
        Err(OpenError::WrongKey("ledger key"))
    ));
    let store = with(keys()).unwrap();
    let signing = store.list_signing_keys(world.org, START).await.unwrap();
    assert_eq!(signing[0].pkcs8.expose(), b"canary-signing-key");
}

#[tokio::test]
async fn a_newer_schema_and_an_edited_step_are_refused_as_such() {
    let world = World::new().await;
    let place = place(&world);
    drop(world.store);
    let database = place.data.join("hallpass.db");
    let sql = |text: &str| rusqlite::Connection::open(&database).unwrap().execute_batch(text).unwrap();
    sql("INSERT INTO migrations VALUES (999, 'later', x'00', 0)");
    assert!(matches!(open(place.clone()), Err(OpenError::Newer { found: 999, .. })));
    sql(
        "DELETE FROM migrations WHERE version = 999; UPDATE migrations SET sha256 = zeroblob(32) WHERE version = 1",
    );
    assert!(matches!(open(place), Err(OpenError::Damaged(_))));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_called_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("hallpass.db"), "not a database, though as long as one might be".repeat(200))
        .unwrap();
    let refused = open(StorePlace::new(&data));
    assert!(matches!(refused, Err(OpenError::Damaged(_))), "{refused:?}");
}

#[test]
fn a_folder_that_cannot_be_written_to_is_called_so() {
    // Root may write nearly anywhere; not here.
    let refused = open(StorePlace::new("/sys/hallpass-data"));
    assert!(matches!(refused, Err(OpenError::ReadOnly(_))), "{refused:?}");
}

#[tokio::test]
async fn no_secret_stands_in_any_file() {
    let world = World::new().await;
    let opened = world.log_in(None).await;
    let token = crate::world::token(&opened);
    let next = crate::world::next(world.refresh(&token, None).await);
    let secrets = [token, crate::world::token(&next), "canary-signing-key".to_owned()];
    let data = place(&world).data;
    drop(world.store);
    for file in std::fs::read_dir(data).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for secret in &secrets {
            assert!(!bytes.windows(secret.len()).any(|at| at == secret.as_bytes()));
        }
    }
}

/// What another key-encryption key takes the place of is good for nothing any more, and nothing that it led to is lost.
#[tokio::test]
async fn another_key_encryption_key_takes_the_place_of_the_one_before() {
    let world = World::new().await;
    let place = place(&world);
    let make = MakeLink { purpose: LinkPurpose::Enrol { person: world.ada } };
    let link = world.change(make).await.unwrap().link;
    drop(world.store);
    let kek = |byte| KeyEncryptionKey::from_bytes(&[byte; 32]);
    let with = |kek, previous| {
        let keys = StoreKeys { kek, previous, ..keys() };
        Store::open(place.clone(), keys, Arc::new(SystemEntropy), START)
    };
    let wrong = |opened: Result<Store, OpenError>| {
        assert!(matches!(opened, Err(OpenError::WrongKey("key-encryption key"))));
    };
    wrong(with(kek(8), Some(kek(9))));
    let whole = async |store: &Store| {
        let signing = store.list_signing_keys(world.org, START).await.unwrap();
        assert_eq!(signing[0].pkcs8.expose(), b"canary-signing-key");
        assert!(store.find_link(&link, START).await.unwrap().is_some(), "what was hashed is known again");
    };
    let store = with(kek(8), Some(keys().kek)).unwrap();
    whole(&store).await;
    let told = store.list_ledger(&Filter::default(), 0, 100).await.unwrap().items;
    let rotated = |entry: &&LedgerEntry| {
        let entry = entry.entry().unwrap();
        entry.event == Event::KeyRotated && entry.detail.find(&Key::KIND) == Some(&"encryption".into())
    };
    assert_eq!(told.iter().filter(rotated).count(), 1);
    drop(store);
    wrong(with(keys().kek, None));
    // Named again, the one before changes nothing; alone, the new one is enough.
    let store = with(kek(8), Some(keys().kek)).unwrap();
    assert_eq!(store.kek_since().await.unwrap(), Some(START));
    drop(store);
    let store = with(kek(8), None).unwrap();
    whole(&store).await;
    drop(store);
    // And again: the root goes along, whichever key it is under.
    whole(&with(kek(10), Some(kek(8))).unwrap()).await;
}

/// A store of before this was: there the key-encryption key is the root, and goes along as that.
#[tokio::test]
async fn a_store_of_before_opens_and_its_key_can_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let place = StorePlace::new(folder.path().join("data"));
    drop(open(place.clone()).unwrap());
    // As it was before anything was sealed: without a root of its own.
    let database = rusqlite::Connection::open(place.data.join("hallpass.db")).unwrap();
    database.execute_batch("UPDATE meta SET root = NULL, kek_since = NULL").unwrap();
    drop(database);
    let store = open(place.clone()).unwrap();
    assert_eq!(store.kek_since().await.unwrap(), None);
    let added = store.change(Actor::Operator, START, add_org("acme")).await.unwrap().unwrap();
    drop(store);
    let keys =
        StoreKeys { kek: KeyEncryptionKey::from_bytes(&[8; 32]), previous: Some(keys().kek), ..keys() };
    let store = Store::open(place, keys, Arc::new(SystemEntropy), START).unwrap();
    assert_eq!(store.list_signing_keys(added.org, START).await.unwrap().len(), 1);
    assert_eq!(store.kek_since().await.unwrap(), Some(START));
}

#[test]
fn sqlite_is_built_as_the_workspace_says() {
    let db = rusqlite::Connection::open_in_memory().unwrap();
    let built: bool = db
        .query_row("SELECT sqlite_compileoption_used('DEFAULT_MEMSTATUS=0')", (), |row| row.get(0))
        .unwrap();
    // Of the two flags in `.cargo/config.toml` SQLite tells only this one; they stand or fall together.
    assert!(built, "without LIBSQLITE3_FLAGS every commit waits for the file system's own as well");
}
