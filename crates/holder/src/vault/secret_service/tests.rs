//! A real keyring: what crosses its bus, and what it says when it is locked, has nothing to keep things in, or dies.

use hallpass_testkit::desktop::Desktop;

use super::super::random_key;
use super::*;

/// As on a machine that is busy with other things: what is tested here is not how long it takes.
const LONG: Duration = Duration::from_secs(60);

fn on(desktop: &Desktop) -> SecretService {
    SecretService::new(Some(desktop.address().into())).within(LONG)
}

#[test]
fn no_key_is_in_what_crosses_the_session_bus() {
    let desktop = Desktop::start();
    let (service, key) = (on(&desktop), random_key());
    let mut listener = desktop.listen();
    service.save("hallpass:one:login", &key).unwrap();
    assert_eq!(*service.find("hallpass:one:login").unwrap().unwrap(), *key);
    let heard = listener.heard_until(b"GetSecret");
    assert!(heard.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED.as_bytes()), "it was listened to");
    assert!(heard.windows(8).all(|part| part != &key[..8]), "and the key was not heard");
    // The one who may ask for it has it, as ever: another process of the same person.
    assert_eq!(*on(&desktop).find("hallpass:one:login").unwrap().unwrap(), *key);
}

#[test]
fn of_several_items_of_one_name_one_that_is_a_key_is_found_and_all_of_them_are_wiped() {
    let desktop = Desktop::start();
    let (service, key) = (on(&desktop), random_key());
    service.save("hallpass:one:login", &key).unwrap();
    // The same in another collection, as a keyring that was restored has it.
    let mut connected = service.connect().unwrap();
    connected.create("/org/freedesktop/secrets/collection/session", "hallpass:one:login", &key).unwrap();
    assert_eq!(desktop.kept(), 2);
    assert_eq!(*service.find("hallpass:one:login").unwrap().unwrap(), *key);
    // One that is open will do where another is locked; wiping takes all, and says so where it cannot.
    desktop.lock();
    assert_eq!(*service.find("hallpass:one:login").unwrap().unwrap(), *key);
    assert!(service.wipe("hallpass:one:login").unwrap_err().why().contains("is locked"));
    let mut desktop = desktop;
    desktop.kill_keyring();
    desktop.start_keyring();
    connected = service.connect().unwrap();
    connected.create("/org/freedesktop/secrets/collection/session", "hallpass:one:login", &key).unwrap();
    assert!(service.wipe("hallpass:one:login").unwrap());
    assert_eq!(desktop.kept(), 0);
}

#[test]
fn a_keyring_with_no_collection_is_passed_over_and_said_where_it_was_asked_for() {
    let mut desktop = Desktop::bare();
    desktop.start_keyring_empty();
    let why = on(&desktop).probe().unwrap_err();
    assert_eq!(why, Fault::Absent(NO_COLLECTION.into()));
    assert_eq!(on(&desktop).find("hallpass:one:login"), Ok(None), "and nothing is in it");
}

#[test]
fn a_locked_keyring_shows_nobody_a_dialog_and_says_that_it_is_locked() {
    let desktop = Desktop::start();
    let (service, key) = (on(&desktop), random_key());
    service.save("hallpass:one:login", &key).unwrap();
    desktop.lock();
    for why in [
        service.find("hallpass:one:login").unwrap_err(),
        service.save("hallpass:two:login", &key).unwrap_err(),
        service.wipe("hallpass:one:login").unwrap_err(),
        service.wipe_all("hallpass:one:", None).unwrap_err(),
        service.probe().unwrap_err(),
    ] {
        assert_eq!(why, Fault::Failing(LOCKED.into()));
    }
}

#[test]
fn a_keyring_that_dies_while_it_is_asked_is_an_error_and_the_next_one_has_the_key() {
    let mut desktop = Desktop::start();
    let (service, key) = (on(&desktop), random_key());
    service.save("hallpass:one:login", &key).unwrap();
    desktop.hang_keyring();
    let mut listener = desktop.listen();
    let asking = std::thread::spawn(move || service.find("hallpass:one:login"));
    // It was asked, and is not going to answer.
    listener.heard_until(b"SearchItems");
    desktop.kill_keyring();
    let why = asking.join().unwrap().unwrap_err();
    assert_eq!(why, Fault::Failing("does not answer".into()));
    desktop.start_keyring();
    assert_eq!(*on(&desktop).find("hallpass:one:login").unwrap().unwrap(), *key);
}
