//! Who looks at a tmux. Its panes keep the environment of where they were started, while whoever is attached may sit
//! elsewhere: the environment of their client says where.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use zeroize::Zeroizing;

/// tmux answers in a few milliseconds, or it hangs.
const TIME_OUT: Duration = Duration::from_secs(1);
/// An answer at most, in bytes: a line for each client.
const ANSWER_LEN_MAX: u64 = 64 * 1024;
/// An environment at most, in bytes: what the kernel lets a program be started with (execve(2)) is about this.
const ENVIRONMENT_LEN_MAX: u64 = 2 * 1024 * 1024;
/// What a client of tmux calls itself, as far as the kernel keeps it.
const NAME: &str = "tmux: client";
const FORMAT: &str = "#{client_activity} #{client_created} #{client_pid}";

/// The environment that a client of tmux was started with. Wiped: there are secrets in it, as often as not.
pub(super) struct Seat(Zeroizing<Vec<u8>>);

impl Seat {
    /// Of the client that was last typed at, of those that show this pane's session. `None` where there is none, or where it
    /// cannot be known: another user's client, or a tmux that does not answer.
    pub(super) fn find(tmux: &OsStr, pane: &OsStr) -> Option<Self> {
        let process = Path::new("/proc").join(last_typed_at(&ask(tmux, pane)?)?.to_string());
        // A number of another container's is not this tmux's client here.
        if read(&process.join("comm"), ANSWER_LEN_MAX)?.trim_ascii() != NAME.as_bytes() {
            return None;
        }
        read(&process.join("environ"), ENVIRONMENT_LEN_MAX).map(Self)
    }

    /// A variable of it, if it is set and not empty.
    pub(super) fn value(&self, name: &str) -> Option<OsString> {
        let each = self.0.split(|byte| *byte == 0);
        let value = each.filter_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")).next()?;
        (!value.is_empty()).then(|| OsString::from_vec(value.to_vec()))
    }
}

/// Asks which clients there are.
fn ask(tmux: &OsStr, pane: &OsStr) -> Option<Vec<u8>> {
    let mut child = Command::new("tmux")
        .args([OsStr::new("list-clients"), OsStr::new("-t"), pane, OsStr::new("-F"), OsStr::new(FORMAT)])
        .env("TMUX", tmux)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let output = child.stdout.take()?;
    let (heard, answer) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if output.take(ANSWER_LEN_MAX).read_to_end(&mut bytes).is_ok() {
            let _ = heard.send(bytes); // nobody waits any more
        }
    });
    let answer = answer.recv_timeout(TIME_OUT);
    // It has said all, or it says nothing: either way it is over.
    let _ = child.kill();
    let _ = child.wait();
    answer.ok()
}

/// The process of the client that was last typed at.
fn last_typed_at(answer: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(answer).ok()?;
    let clients = text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (active, created) = (words.next()?.parse::<u64>().ok()?, words.next()?.parse::<u64>().ok()?);
        Some(((active, created), words.next()?.parse().ok()?))
    });
    clients.max_by_key(|(times, _)| *times).map(|(_, process)| process)
}

fn read(path: &Path, len_max: u64) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(16 * 1024));
    std::fs::File::open(path).ok()?.take(len_max).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn the_client_that_was_last_typed_at_is_meant_and_of_two_at_once_the_newer() {
        for (answer, process) in [
            ("", None),
            ("no server running on /tmp/x\n", None),
            ("100 90 7\n", Some(7)),
            ("100 90 7\n120 80 8\n110 95 9\n", Some(8)),
            ("100 90 7\n100 95 8\n", Some(8)),
            ("100 90 x\n99 90 8\n", Some(8)),
        ] {
            assert_eq!(last_typed_at(answer.as_bytes()), process, "{answer}");
        }
        assert_eq!(last_typed_at(b"\xff"), None);
    }

    #[test]
    fn a_variable_is_found_by_its_whole_name() {
        let seat = Seat(Zeroizing::new(b"SSH_TTY=\0XSSH_CONNECTION=x\0SSH_CONNECTION=a=b\0DISPLAY".to_vec()));
        assert_eq!(seat.value("SSH_CONNECTION").as_deref(), Some(OsStr::from_bytes(b"a=b")));
        assert_eq!((seat.value("SSH_TTY"), seat.value("DISPLAY"), seat.value("SSH")), (None, None, None));
    }
}
