//! Records on disk and in memory, whole, late, moved and damaged.

use std::sync::Arc;

use hallpass_model::secret::Secret;

use super::*;
use crate::vault::Asking;

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

fn shelf(state: &Path) -> Shelf {
    let typed = Arc::new(|_| Ok(Some(Secret::from_text("correct horse".into()))));
    Shelf::open(Some(&state.join("hallpass")), "here", typed, Places::default())
}

fn identity() -> Identity {
    Identity::new("https://id.example/acme", "hallpass-cli")
}

fn with_login(state: &Path) -> Shelf {
    let shelf = shelf(state);
    shelf.vault.choose(Some(Rung::Passphrase), None).unwrap();
    shelf.replace(&identity(), Rung::Passphrase, Record::for_tests("refresh-1"), NOW).unwrap();
    shelf
}

fn refresh_in(loaded: &Loaded) -> &str {
    loaded.record.refresh.as_ref().unwrap().expose_text()
}

#[test]
fn a_saved_record_is_found_and_listed() {
    let state = tempfile::tempdir().unwrap();
    let shelf = with_login(state.path());
    let mut loaded = shelf.find(&identity()).unwrap().unwrap();
    loaded.record.refresh = Some(Secret::from_text("refresh-2".into()));
    assert_eq!(shelf.save(&mut loaded, NOW).unwrap(), Saved::Yes);
    assert_eq!(refresh_in(&shelf.find(&identity()).unwrap().unwrap()), "refresh-2");
    assert_eq!(shelf.list().unwrap().headers.len(), 1);
}

#[test]
fn a_late_writer_neither_overwrites_a_newer_record_nor_brings_back_a_logged_out_one() {
    let state = tempfile::tempdir().unwrap();
    let shelf = with_login(state.path());
    let mut late = shelf.find(&identity()).unwrap().unwrap();
    let mut quick = shelf.find(&identity()).unwrap().unwrap();
    assert_eq!(shelf.save(&mut quick, NOW).unwrap(), Saved::Yes);
    assert_eq!(shelf.save(&mut late, NOW).unwrap(), Saved::Overtaken);
    assert!(shelf.wipe(&identity()).unwrap().file.is_some());
    assert_eq!(shelf.save(&mut quick, NOW).unwrap(), Saved::Gone);
    assert!(shelf.find(&identity()).unwrap().is_none());
    // A new login is not the old one, whatever its generation.
    let shelf = with_login(state.path());
    assert_eq!(shelf.save(&mut quick, NOW).unwrap(), Saved::Gone);
}

#[test]
fn a_process_that_was_stopped_while_it_wrote_does_not_stop_the_others_for_ever() {
    let state = tempfile::tempdir().unwrap();
    let shelf = with_login(state.path());
    let mut loaded = shelf.find(&identity()).unwrap().unwrap();
    let stopped = shelf.disk.writing().unwrap();
    assert!(matches!(shelf.save(&mut loaded, NOW), Err(HolderError::Locked { .. })));
    drop(stopped);
    assert_eq!(shelf.save(&mut loaded, NOW).unwrap(), Saved::Yes);
}

#[test]
fn a_record_moved_under_another_identity_s_name_is_refused() {
    let state = tempfile::tempdir().unwrap();
    let shelf = with_login(state.path());
    let other = Identity { issuer: "https://id.example/rival".into(), ..identity() };
    std::fs::rename(shelf.file(&identity()), shelf.file(&other)).unwrap();
    assert!(matches!(shelf.find(&other), Err(HolderError::Damaged { .. })));
}

#[test]
fn a_wrong_passphrase_opens_nothing_and_a_wipe_needs_none() {
    let state = tempfile::tempdir().unwrap();
    with_login(state.path());
    let wrong = Arc::new(|_| Ok(Some(Secret::from_text("wrong horse".into()))));
    let shelf = Shelf::open(Some(&state.path().join("hallpass")), "here", wrong, Places::default());
    assert!(matches!(shelf.find(&identity()), Err(HolderError::WrongPassphrase)));
    assert!(shelf.wipe(&identity()).unwrap().file.is_some());
    assert!(shelf.find(&identity()).unwrap().is_none());
}

#[test]
fn a_passphrase_that_does_not_open_the_record_is_asked_for_again() {
    let state = tempfile::tempdir().unwrap();
    with_login(state.path());
    let said = |words: Vec<&'static str>| {
        let (asked, words) = (Arc::new(Mutex::new(Vec::new())), Mutex::new(words));
        let seen = asked.clone();
        let ask = move |asking| {
            seen.lock().unwrap().push(asking);
            Ok(words.lock().unwrap().pop().map(|word| Secret::from_text(word.into())))
        };
        (Shelf::open(Some(&state.path().join("hallpass")), "here", Arc::new(ask), Places::default()), asked)
    };
    let (shelf, asked) = said(vec!["correct horse", "corect horse"]);
    assert!(shelf.find(&identity()).unwrap().is_some());
    assert_eq!(*asked.lock().unwrap(), [Asking::Open, Asking::Again]);
    assert!(shelf.find(&identity()).unwrap().is_some(), "and then no more");
    let (shelf, asked) = said(vec!["correct horse", "c", "b", "a"]);
    assert!(matches!(shelf.find(&identity()), Err(HolderError::WrongPassphrase)));
    assert_eq!(asked.lock().unwrap().len(), PASSPHRASES_TRIED, "but not for ever");
    let (shelf, _) = said(vec!["a"]);
    assert!(matches!(shelf.find(&identity()), Err(HolderError::WrongPassphrase)), "nor where nobody is left");
    // The one just chosen for a new sign-in is tried before anybody is asked for the old one's.
    let (shelf, asked) = said(vec!["correct horse"]);
    shelf.choose(Some(Rung::Passphrase), &identity()).unwrap();
    assert!(shelf.find(&identity()).unwrap().is_some());
    assert_eq!(*asked.lock().unwrap(), [Asking::New]);
}

#[test]
fn a_login_in_memory_leaves_no_file_and_needs_no_folder() {
    let state = tempfile::tempdir().unwrap();
    for state in [Some(state.path().join("hallpass")), None] {
        let shelf = Shelf::open(state.as_deref(), "here", Arc::new(|_| Ok(None)), Places::default());
        assert_eq!(shelf.choose(Some(Rung::Memory), &identity()).unwrap().rung, Rung::Memory);
        shelf.replace(&identity(), Rung::Memory, Record::for_tests("refresh-1"), NOW).unwrap();
        let mut loaded = shelf.find(&identity()).unwrap().unwrap();
        let mut late = shelf.find(&identity()).unwrap().unwrap();
        assert_eq!(shelf.save(&mut loaded, NOW).unwrap(), Saved::Yes);
        assert_eq!(shelf.save(&mut late, NOW).unwrap(), Saved::Overtaken);
        assert_eq!(shelf.list().unwrap().headers.len(), 1);
        assert_eq!(shelf.wipe(&identity()).unwrap().key, Some(Rung::Memory));
        assert!(shelf.find(&identity()).unwrap().is_none());
        assert_eq!(shelf.save(&mut loaded, NOW).unwrap(), Saved::Gone);
    }
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
}

#[test]
fn a_login_in_memory_stands_before_the_one_on_disk_and_touches_nothing_of_it() {
    let state = tempfile::tempdir().unwrap();
    let shelf = with_login(state.path());
    let mut on_disk = shelf.find(&identity()).unwrap().unwrap();
    assert!(shelf.find_replaced(&identity(), Rung::Memory).unwrap().is_none());
    shelf.replace(&identity(), Rung::Memory, Record::for_tests("refresh-m"), NOW).unwrap();
    assert_eq!(refresh_in(&shelf.find(&identity()).unwrap().unwrap()), "refresh-m");
    assert_eq!(shelf.list().unwrap().headers.len(), 1, "each sign-in once");
    assert_eq!(shelf.save(&mut on_disk, NOW).unwrap(), Saved::Yes);
    shelf.wipe(&identity()).unwrap();
    assert_eq!(refresh_in(&shelf.find(&identity()).unwrap().unwrap()), "refresh-1");
}

#[test]
fn a_record_that_cannot_be_read_is_listed_as_that_and_can_be_wiped() {
    use std::os::unix::fs::PermissionsExt;
    type Spoil = fn(&Path);
    let spoilt: [(Spoil, &str); 4] = [
        (|file| std::fs::set_permissions(file, PermissionsExt::from_mode(0o644)).unwrap(), "0600"),
        (
            |file| private::write(file, b"HALLPASS-RECORD 1\n\0\0\0\x04nojs-----------------").unwrap(),
            "header",
        ),
        (|file| private::write(file, b"HALLPASS-RECORD 2\n").unwrap(), "another version"),
        (
            |file| {
                let elsewhere = file.with_extension("elsewhere");
                std::fs::rename(file, &elsewhere).unwrap();
                std::os::unix::fs::symlink(elsewhere, file).unwrap();
            },
            "symbolic link",
        ),
    ];
    for (spoil, word) in spoilt {
        let state = tempfile::tempdir().unwrap();
        let shelf = with_login(state.path());
        let file = shelf.file(&identity());
        spoil(&file);
        let mut listed = shelf.list().unwrap();
        assert!(listed.headers.is_empty());
        let unreadable = listed.unreadable.remove(0);
        assert!(unreadable.why.to_string().contains(word), "{}", unreadable.why);
        assert_eq!((&unreadable.file, unreadable.name()), (&file, identity().name()));
        assert_eq!(shelf.wipe_unreadable(&unreadable).unwrap().file, Some(file.clone()));
        assert!(!file.exists() && shelf.list().unwrap().unreadable.is_empty());
    }
}

#[test]
fn a_copy_of_a_record_under_another_name_is_no_record_and_its_wiping_leaves_the_key() {
    let state = tempfile::tempdir().unwrap();
    let shelf = with_login(state.path());
    let copy = shelf.file(&identity()).with_file_name("copy.record");
    private::write(&copy, &std::fs::read(shelf.file(&identity())).unwrap()).unwrap();
    let listed = shelf.list().unwrap();
    assert_eq!((listed.headers.len(), listed.unreadable.len()), (1, 1));
    assert_eq!(
        shelf.wipe_unreadable(&listed.unreadable[0]).unwrap(),
        Wiped { file: Some(copy), ..Wiped::default() }
    );
    assert!(shelf.find(&identity()).unwrap().is_some());
}

#[test]
fn a_disk_that_takes_no_record_is_found_out_before_anybody_is_asked() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let never = Arc::new(|_| panic!("nobody is to be asked"));
    let shelf = Shelf::open(Some(file.path()), "here", never.clone(), Places::default());
    assert!(matches!(
        shelf.choose(None, &identity()),
        Err(HolderError::Unsafe { .. } | HolderError::Disk { .. })
    ));
    let shelf = Shelf::open(None, "here", never, Places::default());
    assert!(matches!(shelf.choose(None, &identity()), Err(HolderError::NoRung { .. })));
    // And where it takes one, nothing is left of the proof.
    let state = tempfile::tempdir().unwrap();
    let shelf = self::shelf(state.path());
    shelf.choose(Some(Rung::Passphrase), &identity()).unwrap();
    let files = std::fs::read_dir(shelf.folder().unwrap()).unwrap().flatten().map(|entry| entry.file_name());
    assert_eq!(files.collect::<Vec<_>>(), [".writing"]);
}

#[test]
fn where_the_keyring_is_allowed_the_key_is_there_and_goes_with_the_record() {
    let state = tempfile::tempdir().unwrap();
    let shelf = shelf(state.path());
    if shelf.vault.choose(Some(Rung::Keyring), None).is_err() {
        return; // a container that forbids it
    }
    shelf.replace(&identity(), Rung::Keyring, Record::for_tests("refresh-1"), NOW).unwrap();
    let header = shelf.find(&identity()).unwrap().unwrap().header;
    let copy = std::fs::read(shelf.file(&identity())).unwrap();
    assert_eq!(shelf.wipe(&identity()).unwrap().key, Some(Rung::Keyring));
    // A copy of the file opens nothing any more.
    private::write(&shelf.file(&identity()), &copy).unwrap();
    assert!(matches!(shelf.find(&identity()), Err(HolderError::KeyGone { .. })));
    assert!(!shelf.vault.wipe_key(&header.key).unwrap());
}

#[test]
fn the_key_of_a_record_that_cannot_be_read_leaves_the_keyring_with_it() {
    let state = tempfile::tempdir().unwrap();
    let shelf = shelf(state.path());
    if shelf.choose(Some(Rung::Keyring), &identity()).is_err() {
        return; // a container that forbids it
    }
    // Named apart from the other tests' keys: all of an identity's go.
    let identity = Identity { client_id: "unreadable".into(), ..identity() };
    let login = || shelf.replace(&identity, Rung::Keyring, Record::for_tests("r"), NOW).map_err(|(e, _)| e);
    let spoil = || private::write(&shelf.file(&identity), b"HALLPASS-RECORD 2\n").unwrap();
    let first = login().unwrap().header.key;
    spoil();
    let second = login().unwrap().header.key;
    assert!(shelf.vault.find_key(&first).unwrap().is_none(), "a new login wipes what it replaces");
    assert!(shelf.vault.find_key(&second).unwrap().is_some());
    spoil();
    assert_eq!(shelf.wipe(&identity).unwrap().key, Some(Rung::Keyring));
    assert!(shelf.vault.find_key(&second).unwrap().is_none());
}
