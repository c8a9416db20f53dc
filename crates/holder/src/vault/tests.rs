//! Which rung is taken, and what becomes of a sign-in when its rung fails.

use std::sync::atomic::{AtomicBool, Ordering};

use hallpass_testkit::desktop::Desktop;

use super::*;

/// Places of its own that a test can break.
#[derive(Clone, Default)]
struct Breakable {
    keys: Arc<memory::Memory>,
    broken: Arc<AtomicBool>,
}

impl Breakable {
    fn works(&self) -> Result<&memory::Memory, Fault> {
        match self.broken.load(Ordering::Relaxed) {
            true => Err(Fault::Failing("is full".into())),
            false => Ok(&self.keys),
        }
    }
}

impl Keeper for Breakable {
    fn save(&self, name: &str, key: &RecordKey) -> Result<(), Fault> {
        self.works()?.save(name, key)
    }
    fn find(&self, name: &str) -> Result<Option<RecordKey>, Fault> {
        self.works()?.find(name)
    }
    fn wipe(&self, name: &str) -> Result<bool, Fault> {
        self.works()?.wipe(name)
    }
    fn wipe_all(&self, beginning: &str, but: Option<&str>) -> Result<bool, Fault> {
        self.works()?.wipe_all(beginning, but)
    }
}

/// A machine with two rungs that can be broken, and somebody who types or not.
fn machine(types: bool) -> (Vault, Breakable, Breakable) {
    let ask: AskPassphrase = Arc::new(move |_| Ok(types.then(|| Secret::from_text("correct horse".into()))));
    let (upper, lower) = (Breakable::default(), Breakable::default());
    let mut vault = Vault::new(ask, Places::default(), None);
    vault.keepers = vec![
        (Rung::SecretService, true, Box::new(upper.clone())),
        (Rung::Keyring, true, Box::new(lower.clone())),
    ];
    (vault, upper, lower)
}

#[test]
fn the_best_rung_that_works_is_taken_and_what_fails_is_said() {
    let (vault, upper, lower) = machine(true);
    assert_eq!(vault.choose(None, None).unwrap().rung, Rung::SecretService);
    upper.broken.store(true, Ordering::Relaxed);
    let chosen = vault.choose(None, None).unwrap();
    assert_eq!((chosen.rung, chosen.notes), (Rung::Keyring, vec!["the Secret Service is full".to_owned()]));
    lower.broken.store(true, Ordering::Relaxed);
    assert_eq!(vault.choose(None, None).unwrap().rung, Rung::Passphrase);
    let (vault, upper, lower) = machine(false);
    upper.broken.store(true, Ordering::Relaxed);
    lower.broken.store(true, Ordering::Relaxed);
    let why = vault.choose(None, None).unwrap_err().to_string();
    assert!(why.contains("the kernel keyring is full") && why.contains("nobody is there"), "{why}");
}

#[test]
fn a_sign_in_stays_where_it_rests_and_goes_lower_only_if_it_is_told_to() {
    let (vault, upper, _) = machine(true);
    assert_eq!(vault.choose(None, Some(Rung::Keyring)).unwrap().rung, Rung::Keyring, "where it rests");
    assert_eq!(vault.choose(None, Some(Rung::Passphrase)).unwrap().rung, Rung::Passphrase);
    upper.broken.store(true, Ordering::Relaxed);
    let lowered = vault.choose(None, Some(Rung::SecretService)).unwrap_err();
    assert!(matches!(lowered, HolderError::WouldLower { rung: Rung::SecretService, .. }), "{lowered}");
    let chosen = vault.choose(Some(Rung::Keyring), Some(Rung::SecretService)).unwrap();
    assert_eq!(chosen.rung, Rung::Keyring);
    assert!(chosen.notes[0].contains("rested in the Secret Service"), "{:?}", chosen.notes);
}

#[test]
fn a_rung_that_was_asked_for_and_does_not_work_is_an_error_and_no_other_is_taken() {
    let (vault, upper, _) = machine(true);
    upper.broken.store(true, Ordering::Relaxed);
    let why = vault.choose(Some(Rung::SecretService), None).unwrap_err();
    assert!(matches!(why, HolderError::NoRung { .. }), "{why}");
    assert!(
        vault.choose(Some(Rung::Keychain), None).unwrap_err().to_string().contains("not on this machine")
    );
}

#[test]
fn a_key_that_cannot_be_had_just_now_is_not_a_key_that_is_gone() {
    let (vault, upper, _) = machine(false);
    let (place, key) = vault.new_key(Rung::SecretService, "x", "login").unwrap();
    upper.broken.store(true, Ordering::Relaxed);
    assert!(matches!(vault.find_key(&place), Err(HolderError::RungFailed { .. })));
    assert!(vault.wipe_key(&place).is_err(), "it is still there");
    upper.broken.store(false, Ordering::Relaxed);
    assert_eq!(*vault.find_key(&place).unwrap().unwrap(), *key);
}

fn on(desktop: &Desktop) -> Vault {
    let places = Places { session_bus: Some(desktop.address().into()), ..Places::default() };
    Vault::new(Arc::new(|_| Ok(None)), places, None)
}

/// The same with a minute for each operation: how long three seconds are on a machine that is busy with other things is not
/// what is tested.
fn patient(desktop: &Desktop) -> Vault {
    let mut vault = on(desktop);
    let long = std::time::Duration::from_secs(60);
    vault.keepers[0].2 =
        Box::new(secret_service::SecretService::new(Some(desktop.address().into())).within(long));
    vault
}

#[test]
fn a_key_rests_in_a_real_secret_service_until_it_is_wiped() {
    let desktop = Desktop::start();
    let vault = patient(&desktop);
    assert_eq!(vault.choose(None, None).unwrap().rung, Rung::SecretService);
    assert_eq!(desktop.kept(), 0, "the probe leaves nothing");
    let (place, key) = vault.new_key(Rung::SecretService, "one", "login").unwrap();
    let (other, _) = vault.new_key(Rung::SecretService, "other", "login").unwrap();
    // Another process of the same person.
    assert_eq!(*patient(&desktop).find_key(&place).unwrap().unwrap(), *key);
    assert!(vault.wipe_key(&place).unwrap() && !vault.wipe_key(&place).unwrap());
    assert!(vault.find_key(&place).unwrap().is_none());
    assert!(vault.find_key(&other).unwrap().is_some());
    let (kept, _) = vault.new_key(Rung::SecretService, "other", "again").unwrap();
    assert_eq!(vault.wipe_keys_of("other", Some(&kept)), Some(Rung::SecretService));
    assert!(vault.find_key(&other).unwrap().is_none() && vault.find_key(&kept).unwrap().is_some());
    assert_eq!(desktop.kept(), 1);
}

#[test]
fn a_keyring_that_locks_is_said_to_be_locked_and_nothing_is_lost() {
    let mut desktop = Desktop::start();
    let vault = patient(&desktop);
    let (place, key) = vault.new_key(Rung::SecretService, "one", "login").unwrap();
    desktop.lock();
    let why = vault.find_key(&place).unwrap_err();
    assert!(matches!(&why, HolderError::RungFailed { .. }) && why.to_string().contains("locked"), "{why}");
    assert!(vault.wipe_key(&place).unwrap_err().to_string().contains("locked"));
    assert!(vault.choose(Some(Rung::SecretService), None).unwrap_err().to_string().contains("locked"));
    // A crash of the keyring, too, and the next one is unlocked by the person's login.
    desktop.kill_keyring();
    let why = vault.find_key(&place).unwrap_err().to_string();
    assert!(why.contains("is not on the session bus"), "{why}");
    desktop.start_keyring();
    assert_eq!(*vault.find_key(&place).unwrap().unwrap(), *key);
}

#[test]
fn a_bus_without_a_keyring_and_a_machine_without_a_bus_are_no_reason_to_wait() {
    let desktop = Desktop::bare();
    let started = std::time::Instant::now();
    let keyring_works = keyring::Keyring.probe().is_ok();
    for vault in [on(&desktop), Vault::new(Arc::new(|_| Ok(None)), Places::default(), None)] {
        match vault.choose(None, None) {
            Ok(chosen) => assert!(keyring_works && chosen.rung == Rung::Keyring && chosen.notes.is_empty()),
            Err(why) => assert!(!keyring_works && matches!(why, HolderError::NoRung { .. }), "{why}"),
        }
        assert!(vault.choose(Some(Rung::SecretService), None).is_err());
    }
    assert!(started.elapsed() < bounded::PATIENCE);
}

#[test]
fn a_keyring_that_hangs_is_given_up_on_in_time() {
    let desktop = Desktop::start();
    desktop.hang_keyring();
    let started = std::time::Instant::now();
    let why = on(&desktop).choose(Some(Rung::SecretService), None).unwrap_err().to_string();
    assert!(why.contains("does not answer in time"), "{why}");
    assert!(started.elapsed() < bounded::PATIENCE * 3);
}
