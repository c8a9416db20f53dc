//! Who is logged in, as systemd has it, or as the older record has it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use super::{bytes, text};

/// Who is logged in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Logins {
    /// The machines this user is logged in from.
    pub(super) from: BTreeSet<String>,
    /// The users who are logged in from other machines.
    pub(super) users: BTreeSet<String>,
}

/// Reads either record. Where systemd has sessions, the other is not looked at.
pub(super) fn read(sessions: &Path, utmp: &Path, uid: u32, user: Option<&str>) -> Logins {
    let mut logins = Logins::default();
    let mut note = |own: bool, user: &str, host: &str| {
        if let Some(host) = machine(host) {
            logins.users.insert(user.to_owned());
            if own {
                logins.from.insert(host);
            }
        }
    };
    let mut any = false;
    for entry in std::fs::read_dir(sessions).into_iter().flatten().flatten() {
        let session = text(&entry.path());
        let of = |key: &str| session.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let (Some(number), Some("active" | "online")) = (of("UID"), of("STATE")) else { continue };
        any = true;
        note(number == uid.to_string(), number, of("REMOTE_HOST").unwrap_or_default());
    }
    if !any {
        let (bytes, user) = (bytes(utmp), user.unwrap_or_default());
        for record in bytes.chunks_exact(UTMP_LEN).filter(|record| record[..2] == USER_PROCESS) {
            let name = until_zero(&record[44..76]);
            let pid = i32::from_ne_bytes([record[4], record[5], record[6], record[7]]);
            if is_alive(pid) {
                note(name == user, &name, &until_zero(&record[76..332]));
            }
        }
    }
    logins
}

/// The machine that a login is from, in one spelling. `None` for this one: a display (`:0`), a window of `tmux` or
/// `screen`, and the machine's own address are no others.
fn machine(host: &str) -> Option<String> {
    // `mosh` has the address first, and words of its own behind it.
    let host = host.split_ascii_whitespace().next()?;
    let bare = host.split('%').next().unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        let address = address.to_canonical(); // `::ffff:10.0.0.1` is `10.0.0.1`
        return (!address.is_loopback() && !address.is_unspecified()).then(|| address.to_string());
    }
    // A display may stand behind a name: `laptop:10.0`.
    let name = host.split(':').next().unwrap_or_default();
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    (is_name && !name.is_empty() && name != "mosh" && !name.starts_with("localhost"))
        .then(|| hallpass_model::purpose::plain(&name.to_ascii_lowercase(), 64))
}

/// Whether the process that a login is of still runs. A record outlives a machine's crash, and a program's.
fn is_alive(pid: i32) -> bool {
    pid > 0 && Path::new("/proc").join(pid.to_string()).exists()
}

/// A record of utmp(5) as x86-64 has it, and the type of one of a login. On other machines systemd's word must do: a record
/// of another length shows no login there.
const UTMP_LEN: usize = 384;
const USER_PROCESS: [u8; 2] = 7i16.to_ne_bytes();

fn until_zero(field: &[u8]) -> String {
    String::from_utf8_lossy(field.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_logged_in_is_read_from_either_record() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = folder.path().join("sessions");
        std::fs::create_dir(&sessions).unwrap();
        for (name, session) in [
            ("1", "UID=1000\nSTATE=active\nREMOTE_HOST=10.0.0.1\n"),
            ("2", "UID=1000\nSTATE=online\nREMOTE_HOST=10.0.0.2\n"),
            ("3", "UID=1001\nSTATE=active\nREMOTE_HOST=10.0.0.1\n"),
            ("4", "UID=1000\nSTATE=closing\nREMOTE_HOST=10.0.0.9\n"),
            ("5", "UID=1000\nSTATE=active\nSEAT=seat0\n"),
        ] {
            std::fs::write(sessions.join(name), session).unwrap();
        }
        let nowhere = folder.path().join("none");
        let found = read(&sessions, &nowhere, 1000, Some("ada"));
        assert_eq!((found.from.len(), found.users.len()), (2, 2), "{found:?}");

        let utmp = folder.path().join("utmp");
        let record = |user: &str, host: &str, pid: u32| {
            let mut record = vec![0u8; UTMP_LEN];
            record[..2].copy_from_slice(&USER_PROCESS);
            record[4..8].copy_from_slice(&pid.to_ne_bytes());
            record[44..44 + user.len()].copy_from_slice(user.as_bytes());
            record[76..76 + host.len()].copy_from_slice(host.as_bytes());
            record
        };
        let alive = std::process::id();
        let records = [
            record("ada", "10.0.0.1", alive),
            record("ada", "10.0.0.2", alive),
            record("ada", "10.0.0.3", 0),
            record("ada", "tmux(71).%3", alive),
            record("bob", "10.0.0.1", alive),
        ];
        std::fs::write(&utmp, [&records.concat()[..], b"cut short"].concat()).unwrap();
        assert_eq!(read(&nowhere, &utmp, 1000, Some("ada")).from.len(), 2);
        assert_eq!(read(&nowhere, &utmp, 1001, Some("bob")).from.len(), 1);
        assert_eq!(read(&nowhere, &nowhere, 1000, None), Logins::default());
    }

    #[test]
    fn a_window_or_this_very_machine_is_no_other_machine() {
        for own in [
            "",
            ":0",
            ":0.0",
            ":1:S.0",
            "tmux(812).%4",
            "mosh [77]",
            "localhost",
            "localhost:10.0",
            "127.0.0.1",
            "::1",
            "0.0.0.0",
        ] {
            assert_eq!(machine(own), None, "{own}");
        }
        for (host, named) in [
            ("10.0.0.1", "10.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("10.0.0.1 via mosh [77]", "10.0.0.1"),
            ("fe80::1%eth0", "fe80::1"),
            ("Laptop.example", "laptop.example"),
            ("laptop:10.0", "laptop"),
        ] {
            assert_eq!(machine(host).as_deref(), Some(named), "{host}");
        }
    }
}
