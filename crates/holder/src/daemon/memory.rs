//! Keeping the daemon's memory off the disk.
//!
//! Where the system allows it, all of the process is locked. Where it allows some pages only, as for most people
//! (RLIMIT_MEMLOCK), the keys are: what rests in memory is sealed under them. Where it allows none, that is said.
//!
//! And keeping it small: a daemon is at rest most of the time.

use rustix::mm::MlockAllFlags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// CAP_IPC_LOCK (capabilities(7)): the limit does not hold for us.
const MAY_LOCK: u64 = 1 << 14;

/// What of the daemon's memory is never written to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Locked {
    /// All of it.
    Whole,
    /// The keys that everything is sealed under.
    Keys,
    /// None of it.
    Nothing,
}

impl Locked {
    pub(super) fn text(self) -> &'static str {
        match self {
            Locked::Whole => "locked",
            Locked::Keys => "keys-locked",
            Locked::Nothing => "not-locked",
        }
    }
}

/// Locks all of it that the system lets us. Pages are locked as they are used: those never touched take no memory.
pub(super) fn lock(keys: bool) -> Locked {
    let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    // Under a limit this might succeed now, and a later allocation then fail: not tried.
    if is_unlimited() && rustix::mm::mlockall(all).is_ok() {
        return Locked::Whole;
    }
    if keys { Locked::Keys } else { Locked::Nothing }
}

/// Gives back the pages of the program's own text: most of them it needed to start, or for the last question, and none has a
/// secret. What is used again comes back from the file.
pub(super) fn rest() {
    use rustix::mm::{Advice, madvise, munlock};
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    for (from, to) in text(&maps) {
        let (place, len) = (std::ptr::without_provenance_mut(from), to - from);
        #[expect(unsafe_code, reason = "the system takes addresses")]
        // SECURITY: nothing here was ever written to, so nothing that may be swapped out is anybody's.
        // SAFETY: these pages are a file's, and nobody wrote to them: they read the same when they come back.
        let _ = unsafe { munlock(place, len).and_then(|()| madvise(place, len, Advice::LinuxDontNeed)) };
    }
}

/// Where there are pages of files that cannot be written to, and that nobody wrote to before (relocations are).
fn text(smaps: &str) -> Vec<(usize, usize)> {
    let (mut found, mut map) = (Vec::new(), None);
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let (Some(first), Some(second)) = (words.next(), words.next()) else { continue };
        if let Some((from, to)) = first.split_once('-') {
            let place = words.nth(3).unwrap_or_default();
            let read_alone = second == "r--p" || second == "r-xp";
            let range = usize::from_str_radix(from, 16).ok().zip(usize::from_str_radix(to, 16).ok());
            map = range.filter(|_| read_alone && place.starts_with('/'));
        } else if first == "Anonymous:"
            && let Some(range) = map.take()
            && second == "0"
        {
            found.push(range);
        }
    }
    found
}

fn is_unlimited() -> bool {
    let limit = getrlimit(Resource::Memlock);
    if limit.maximum.is_none() && limit.current.is_some() {
        let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
    }
    getrlimit(Resource::Memlock).current.is_none() || may_lock()
}

fn may_lock() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    effective.is_some_and(|effective| effective & MAY_LOCK != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_files_that_nobody_wrote_to_are_given_back() {
        let map = |head: &str, anonymous: u32| {
            format!("{head}\nSize: 4 kB\nAnonymous: {anonymous} kB\nVmFlags: rd\n")
        };
        let smaps = [
            map("1000-2000 r--p 00000000 fe:00 1 /usr/bin/hallpass", 0),
            map("2000-4000 r-xp 00001000 fe:00 1 /usr/bin/hallpass (deleted)", 0),
            map("4000-5000 r--p 00003000 fe:00 1 /usr/bin/hallpass", 4),
            map("5000-6000 rw-p 00004000 fe:00 1 /usr/bin/hallpass", 0),
            map("6000-7000 rw-p 00000000 00:00 0 [heap]", 0),
            map("7000-8000 r--p 00000000 00:00 0 ", 0),
            map("8000-9000 r-xp 00000000 00:00 0 [vdso]", 0),
        ];
        assert_eq!(text(&smaps.concat()), [(0x1000, 0x2000), (0x2000, 0x4000)]);
        rest();
        assert_eq!(text("nonsense\n"), []);
    }
}
