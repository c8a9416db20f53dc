//! The user's persistent keyring (persistent-keyring(7)): kernel memory, shared by all sessions of one uid.
//!
//! It is gone at reboot, and after `persistent_keyring_expiry` without use (three days by default); each use
//! renews the timer. Containers often forbid these system calls, hence the probe.

use std::path::Path;

use hallpass_model::time::Lifetime;
use linux_keyutils::{Key, KeyError, KeyPermissionsBuilder, KeyRing, KeyRingIdentifier, Permission};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::{Fault, Keeper, RecordKey};

/// Where the kernel says how long the keyring lives unused, in seconds.
const EXPIRY: &str = "/proc/sys/kernel/keys/persistent_keyring_expiry";
/// Which user ids this user namespace has (user_namespaces(7)): all of them, in the first one.
const UID_MAP: &str = "/proc/self/uid_map";
/// Where the kernel lists the keys that this process may see.
const KEYS: &str = "/proc/keys";

/// The persistent keyring.
pub(super) struct Keyring;

impl Keeper for Keyring {
    fn save(&self, name: &str, key: &RecordKey) -> Result<(), Fault> {
        save(name, key).map_err(Fault::Failing)
    }

    fn find(&self, name: &str) -> Result<Option<RecordKey>, Fault> {
        find(name).map_err(Fault::Failing)
    }

    fn wipe(&self, name: &str) -> Result<bool, Fault> {
        wipe(name).map_err(Fault::Failing)
    }

    fn wipe_all(&self, beginning: &str, but: Option<&str>) -> Result<bool, Fault> {
        Ok(wipe_all(beginning, but))
    }
}

fn save(name: &str, key: &RecordKey) -> Result<(), String> {
    let saved = ring()?.add_key(name, &key[..]).map_err(words)?;
    // SECURITY: only processes that possess the keyring, which only this uid can link; nobody else may even see it.
    let only_ours = KeyPermissionsBuilder::builder().posessor(Permission::ALL).user(Permission::VIEW).build();
    saved.set_perms(only_ours).map_err(words)
}

/// Asking for the keyring renews its timer.
fn find(name: &str) -> Result<Option<RecordKey>, String> {
    let Some(found) = search(name)? else {
        return Ok(None);
    };
    // One byte more than the key, so that a longer one is not taken for it.
    let mut bytes = Zeroizing::new([0u8; 33]);
    let read = found.read(&mut *bytes).map_err(words)?;
    let key = bytes[..32].try_into().map(RecordKey::new).ok();
    Ok(key.filter(|_| read == 32))
}

/// Removes a key at once.
fn wipe(name: &str) -> Result<bool, String> {
    match search(name)? {
        Some(key) => key.invalidate().map(|()| true).map_err(words),
        None => Ok(false),
    }
}

fn wipe_all(beginning: &str, but: Option<&str>) -> bool {
    let listed = std::fs::read(KEYS).unwrap_or_default();
    let listed = String::from_utf8_lossy(&listed);
    let names = listed.lines().filter_map(|line| {
        // `3a1b5c7d I--Q--- 1 perm 3f010000 0 0 user name: 32`
        let (_, rest) = line.split_once(beginning)?;
        Some(format!("{beginning}{}", rest.split(": ").next()?))
    });
    names.filter(|name| but != Some(name.as_str())).filter(|name| wipe(name) == Ok(true)).count() > 0
}

/// How long the keyring lives unused, if the kernel says.
pub fn idle_life() -> Option<Lifetime> {
    let seconds: u32 = std::fs::read_to_string(EXPIRY).ok()?.trim().parse().ok()?;
    Some(Lifetime::seconds(seconds))
}

fn search(name: &str) -> Result<Option<Key>, String> {
    match ring()?.search(name) {
        Ok(key) => Ok(Some(key)),
        Err(KeyError::KeyDoesNotExist | KeyError::KeyExpired | KeyError::KeyRevoked) => Ok(None),
        Err(error) => Err(words(error)),
    }
}

/// The keyring, linked to this process's own: possession without leaving anything in the person's session.
fn ring() -> Result<KeyRing, String> {
    KeyRing::get_persistent(KeyRingIdentifier::Process).map_err(words)
}

fn words(error: KeyError) -> String {
    match error {
        KeyError::AccessDenied | KeyError::PermissionDenied => "is forbidden here".into(),
        KeyError::Unknown(code) if code == Errno::PERM.raw_os_error() => "is forbidden here".into(),
        // A container's engine says so, too, of what it forbids.
        KeyError::Unknown(code) if code == Errno::NOSYS.raw_os_error() && Path::new(KEYS).exists() => {
            "is forbidden here".into()
        }
        KeyError::Unknown(code) if code == Errno::NOSYS.raw_os_error() => "is not in this kernel".into(),
        KeyError::OperationNotSupported => "is not in this kernel".into(),
        KeyError::QuotaExceeded => "is full".into(),
        other => format!("failed ({other:?})"),
    }
}

/// Whether the persistent keyring is the one of a user namespace that is not the first: rootless containers and sandboxes have
/// one of their own, which goes when they do, with all that is in it.
pub(crate) fn goes_with_its_namespace() -> bool {
    std::fs::read_to_string(UID_MAP).is_ok_and(|map| !maps_everybody(&map))
}

/// Whether a map is the first namespace's: every id is itself.
fn maps_everybody(map: &str) -> bool {
    map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::super::random_key;
    use super::*;

    #[test]
    fn a_key_reads_back_until_it_is_wiped_where_the_keyring_is_allowed() {
        if Keyring.probe().is_err() {
            return; // a container that forbids it; the passphrase rung has tests of its own
        }
        let name = "hallpass:test:a-key-reads-back";
        let key = random_key();
        save(name, &key).unwrap();
        assert_eq!(*find(name).unwrap().unwrap(), *key);
        assert_eq!(wipe(name), Ok(true));
        assert!(find(name).unwrap().is_none());
        assert_eq!(wipe(name), Ok(false));
    }

    #[test]
    fn all_keys_of_one_beginning_are_wiped_but_for_one() {
        if Keyring.probe().is_err() {
            return;
        }
        let names = ["hallpass:test-all:1", "hallpass:test-all:2", "hallpass:test-all-else:1"];
        for name in names {
            save(name, &random_key()).unwrap();
        }
        assert!(wipe_all("hallpass:test-all:", Some(names[1])));
        let there = names.map(|name| find(name).unwrap().is_some());
        assert_eq!(there, [false, true, true]);
        assert!(wipe_all("hallpass:test-all:", None) && !wipe_all("hallpass:test-all:", None));
        wipe(names[2]).unwrap();
    }

    #[test]
    fn a_key_of_another_length_is_no_key() {
        if Keyring.probe().is_err() {
            return;
        }
        let name = "hallpass:test:another-length";
        ring().unwrap().add_key(name, &[7u8; 40]).unwrap();
        assert!(find(name).unwrap().is_none());
        wipe(name).unwrap();
    }

    #[test]
    fn only_the_first_user_namespace_has_everybody() {
        assert!(maps_everybody("         0          0 4294967295\n"));
        for other in ["         0       1000          1\n", "0 0 1\n", "", "0 100000 65536\n1000 1000 1\n"] {
            assert!(!maps_everybody(other), "{other}");
        }
    }
}
