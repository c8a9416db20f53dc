//! The user's persistent keyring (persistent-keyring(7)): kernel memory, shared by all sessions of one uid.
//!
//! It is gone at reboot, and after `persistent_keyring_expiry` without use (three days by default); each use
//! renews the timer. Containers often forbid these system calls, hence the probe.

use hallpass_model::time::Lifetime;
use linux_keyutils::{Key, KeyError, KeyPermissionsBuilder, KeyRing, KeyRingIdentifier, Permission};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::{RecordKey, random_key};

/// Where the kernel says how long the keyring lives unused, in seconds.
const EXPIRY: &str = "/proc/sys/kernel/keys/persistent_keyring_expiry";
/// Where the kernel lists the keys that this process may see.
const KEYS: &str = "/proc/keys";

/// Writes a key, reads it back and removes it. An error says in a few words why it cannot be used.
pub(super) fn probe() -> Result<(), String> {
    let written = random_key();
    // Named apart, so that two probes at once do not remove one another's key.
    let name = format!("hallpass:probe:{}", hallpass_model::jose::base64url::render(&random_key()[..12]));
    save(&name, &written)?;
    let found = find(&name)?;
    wipe(&name);
    match found {
        Some(found) if *found == *written => Ok(()),
        _ => Err("does not give back what was put in".into()),
    }
}

/// Puts a key in, or replaces it.
pub(super) fn save(name: &str, key: &RecordKey) -> Result<(), String> {
    let saved = ring()?.add_key(name, &key[..]).map_err(words)?;
    // SECURITY: only processes that possess the keyring, which only this uid can link; nobody else may even see it.
    let only_ours = KeyPermissionsBuilder::builder().posessor(Permission::ALL).user(Permission::VIEW).build();
    saved.set_perms(only_ours).map_err(words)
}

/// Finds a key. Asking for the keyring renews its timer.
pub(super) fn find(name: &str) -> Result<Option<RecordKey>, String> {
    let Some(found) = search(name)? else {
        return Ok(None);
    };
    // One byte more than the key, so that a longer one is not taken for it.
    let mut bytes = Zeroizing::new([0u8; 33]);
    let read = found.read(&mut *bytes).map_err(words)?;
    let key = bytes[..32].try_into().map(RecordKey::new).ok();
    Ok(key.filter(|_| read == 32))
}

/// Removes a key at once. Whether there was one.
pub(super) fn wipe(name: &str) -> bool {
    matches!(search(name), Ok(Some(key)) if key.invalidate().is_ok())
}

/// Removes every key whose name begins so, but for one. Whether there was one.
pub(super) fn wipe_all(beginning: &str, but: Option<&str>) -> bool {
    let listed = std::fs::read(KEYS).unwrap_or_default();
    let listed = String::from_utf8_lossy(&listed);
    let names = listed.lines().filter_map(|line| {
        // `3a1b5c7d I--Q--- 1 perm 3f010000 0 0 user name: 32`
        let (_, rest) = line.split_once(beginning)?;
        Some(format!("{beginning}{}", rest.split(": ").next()?))
    });
    names.filter(|name| but != Some(name.as_str())).filter(|name| wipe(name)).count() > 0
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
        KeyError::Unknown(code) if code == Errno::NOSYS.raw_os_error() => "is not in this kernel".into(),
        KeyError::OperationNotSupported => "is not in this kernel".into(),
        KeyError::QuotaExceeded => "is full".into(),
        other => format!("failed ({other:?})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_until_it_is_wiped_where_the_keyring_is_allowed() {
        if probe().is_err() {
            return; // a container that forbids it; the passphrase rung has tests of its own
        }
        let name = "hallpass:test:a-key-reads-back";
        let key = random_key();
        save(name, &key).unwrap();
        assert_eq!(*find(name).unwrap().unwrap(), *key);
        assert!(wipe(name));
        assert!(find(name).unwrap().is_none());
        assert!(!wipe(name));
    }

    #[test]
    fn all_keys_of_one_beginning_are_wiped_but_for_one() {
        if probe().is_err() {
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
        wipe(names[2]);
    }

    #[test]
    fn a_key_of_another_length_is_no_key() {
        if probe().is_err() {
            return;
        }
        let name = "hallpass:test:another-length";
        ring().unwrap().add_key(name, &[7u8; 40]).unwrap();
        assert!(find(name).unwrap().is_none());
        wipe(name);
    }
}
