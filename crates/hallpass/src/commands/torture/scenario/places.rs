//! The places where the record and its key are, failing.

use linux_keyutils::{Key, KeyPermissionsBuilder, KeyRing, KeyRingIdentifier, KeySerialId, Permission};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::{Players, gave_nothing};
use crate::commands::torture::home::Said;
use crate::commands::torture::report::Finding;
use crate::failure::Failure;

/// A disk that takes nothing: before a renewal, and between its answer and the save.
pub(super) async fn full_disk(players: &Players) -> Result<Finding, Failure> {
    let (name, tried) =
        ("full_disk", "the disk takes nothing more: before a renewal, and when its answer is to be saved");
    let mut wrong = Vec::new();
    players.proxy().take_tally();
    let full = players.home.with_small_disk(Some(0));
    gave_nothing(&full.token(&players.door).await?, "nothing could be saved", &mut wrong);
    if players.proxy().take_tally().refreshes > 0 {
        wrong.push("it was renewed although not even the mark could be saved".into());
    }
    if !players.may_lose_an_answer() {
        players.stands_again(false, &mut wrong).await?;
        let seen =
            "nothing was sent while nothing could be saved; the second half would cost you a sign-in".into();
        return Ok(Finding::of(name, tried, &wrong, seen));
    }
    let mut held = players.door.hold();
    let roomy = players.home.with_small_disk(None);
    let child = roomy
        .command(&players.door, &with_which(players, &["token", "--fresh"]))
        .spawn()
        .map_err(|error| Failure::could_not_run(format_args!("a command could not be run: {error}")))?;
    players.door.behind(child.id());
    let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    let answered = held.answered().await;
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let limited = prlimit(pid, Resource::Fsize, none).is_ok();
    held.let_go();
    let said = Said::of(child).await?;
    players.door.behind(None);
    if answered != Some(200) || !limited {
        players.stands_again(true, &mut wrong).await?;
        return Ok(Finding::not_tried(name, tried, "a running process could not be kept from writing"));
    }
    gave_nothing(&said, "the answer could not be saved", &mut wrong);
    players.stands_again(players.forgives != Some(true), &mut wrong).await?;
    let seen = match players.forgives {
        Some(true) => "an error both times, no token given out, and the next renewal went well",
        _ => {
            "an error both times and no token given out; then the provider took the retry for a theft, and that was said"
        }
    };
    Ok(Finding::of(name, tried, &wrong, seen.into()))
}

/// A keyring that locks, or a passphrase that is gone, and is there again.
pub(super) async fn locked_keyring(players: &Players) -> Result<Finding, Failure> {
    let (name, tried) = ("keyring_locks", "the place of the record's key is locked, and unlocked again");
    let before = contents(players);
    let Some(lock) = Lock::find(players) else {
        let why = "its key rests where this program cannot lock it";
        return Ok(Finding::not_tried(name, tried, why));
    };
    let mut wrong = Vec::new();
    if !lock.set(false) {
        return Ok(Finding::not_tried(name, tried, "the key could not be locked here"));
    }
    players.proxy().take_tally();
    let said = players.home.token(&players.door).await?;
    let unlocked = lock.set(true);
    gave_nothing(&said, "it was locked", &mut wrong);
    if players.proxy().take_tally().refreshes > 0 {
        wrong.push("it was renewed although it could not be opened".into());
    }
    if contents(players) != before {
        wrong.push("the record was changed".into());
    }
    if !unlocked {
        wrong.push("it could not be unlocked again".into());
    }
    players.stands_again(false, &mut wrong).await?;
    Ok(Finding::of(
        name,
        tried,
        &wrong,
        format!("an error, nothing changed, and then it went on ({})", lock.words()),
    ))
}

fn contents(players: &Players) -> Vec<Vec<u8>> {
    players.home.records().iter().filter_map(|file| std::fs::read(file).ok()).collect()
}

/// What is locked.
enum Lock {
    /// A key in the kernel's keyring, by its permissions.
    Keyring(KeySerialId),
    /// A file with a passphrase of this run, by its name.
    Passphrase(std::path::PathBuf),
}

impl Lock {
    fn find(players: &Players) -> Option<Self> {
        let record = players.home.records().pop()?;
        // Which key is its own stands at the beginning of the record. Another run that was killed, or another machine
        // that is played here, may have left one that begins alike.
        let bytes = std::fs::read(&record).ok()?;
        let is_named = |name: &str| bytes.windows(name.len()).any(|window| window == name.as_bytes());
        // Keys are listed as `3a1b5c7d I--Q--- 1 perm 3f010000 0 0 user name: 32`.
        let listed = std::fs::read_to_string("/proc/keys").unwrap_or_default();
        let of_record = listed.lines().find(|line| {
            let name = line.split_once(" hallpass:").and_then(|(_, rest)| rest.split(": ").next());
            name.is_some_and(|name| is_named(&format!("hallpass:{name}")))
        });
        if let Some(id) = of_record.and_then(|line| i32::from_str_radix(line.split(' ').next()?, 16).ok()) {
            return Some(Self::Keyring(KeySerialId::new(id)));
        }
        let passphrase = players.home.passphrase()?.to_owned();
        passphrase.starts_with(players.stage.root()).then_some(Self::Passphrase(passphrase))
    }

    /// Locks or unlocks it. Whether that could be done.
    fn set(&self, open: bool) -> bool {
        match self {
            Self::Keyring(id) => {
                // Linked to this process, so that the key is possessed here.
                let _ring = KeyRing::get_persistent(KeyRingIdentifier::Process);
                let user = Permission::VIEW | Permission::SETATTR;
                let locked = Permission::VIEW | Permission::SETATTR | Permission::LINK;
                let (posessor, user) = match open {
                    true => (Permission::ALL, Permission::VIEW),
                    false => (locked, user),
                };
                let permissions = KeyPermissionsBuilder::builder().posessor(posessor).user(user).build();
                Key::from_id(*id).set_perms(permissions).is_ok()
            }
            Self::Passphrase(file) => {
                let aside = file.with_extension("aside");
                let (from, to) = if open { (&aside, file) } else { (file, &aside) };
                std::fs::rename(from, to).is_ok()
            }
        }
    }

    fn words(&self) -> &'static str {
        match self {
            Self::Keyring(_) => "kernel keyring",
            Self::Passphrase(_) => "passphrase file",
        }
    }
}

fn with_which<'a>(players: &'a Players, arguments: &[&'a str]) -> Vec<&'a str> {
    arguments.iter().copied().chain(players.home.which()).collect()
}
