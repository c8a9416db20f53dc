//! Keeping the daemon's memory off the disk.
//!
//! Where the system allows it, all of the process is locked. Where it allows some pages only, as for most people
//! (RLIMIT_MEMLOCK), the keys are: what rests in memory is sealed under them. Where it allows none, that is said.
//!
//! The program's own instructions are no secret, and no swap is needed for them: they are not locked, and at rest they are
//! given back.

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
        for instructions in instructions() {
            instructions.unlock();
        }
        return Locked::Whole;
    }
    if keys { Locked::Keys } else { Locked::Nothing }
}

/// Gives back the memory that holds the program's instructions: each is read from its file again when it is next come to.
/// After a start, a login and a few questions that is most of what the process takes.
pub(super) fn rest() {
    for instructions in instructions() {
        instructions.give_back();
    }
}

/// Where instructions are mapped from a file.
struct Mapped {
    start: usize,
    len: usize,
}

fn instructions() -> Vec<Mapped> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.lines().filter_map(mapped).collect()
}

/// A line of proc_pid_maps(5), where it is of a file, may be executed and cannot be written. SECURITY: what was read-only from
/// the beginning looks like what the loader has changed before it made it so; nobody changes what is executed.
fn mapped(line: &str) -> Option<Mapped> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let is_instructions = fields.next()? == "r-xp" && fields.nth(3)?.starts_with('/');
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    is_instructions.then_some(Mapped { start, len: end.checked_sub(start)? })
}

impl Mapped {
    fn unlock(&self) {
        let at = std::ptr::with_exposed_provenance_mut(self.start);
        #[expect(unsafe_code, reason = "it says nothing about what is there, only where it may be")]
        // SAFETY: a lock is no part of what anybody relies on for memory to be there.
        let _ = unsafe { rustix::mm::munlock(at, self.len) };
    }

    fn give_back(&self) {
        let at = std::ptr::with_exposed_provenance_mut(self.start);
        #[expect(unsafe_code, reason = "it is the system that reads it again, from the file it came from")]
        // SAFETY: the mapping is private, of a file, and was never written to: what is read again is what was there.
        let _ = unsafe { rustix::mm::madvise(at, self.len, rustix::mm::Advice::LinuxDontNeed) };
    }
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

    /// KiB of memory that hold instructions.
    fn held() -> usize {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let (mut held, mut counts) = (0, false);
        for line in maps.lines() {
            match line.strip_prefix("Rss:") {
                Some(rss) if counts => held += rss.trim().trim_end_matches(" kB").parse::<usize>().unwrap(),
                Some(_) => {}
                None if line.split(' ').next().unwrap().contains('-') => counts = mapped(line).is_some(),
                None => {}
            }
        }
        held
    }

    #[test]
    fn at_rest_instructions_are_given_back_and_the_program_goes_on() {
        let before = held();
        rest();
        let after = held();
        assert!(after < before / 2, "{before} kB before, {after} kB after");
        assert_eq!(format!("{:?}", vec![1.5, 2.5]), "[1.5, 2.5]", "what comes next is read again");
    }

    #[test]
    fn what_could_have_been_written_to_is_not_given_back() {
        let line = |access: &str, file: &str| format!("7f00-9f00 {access} 00001000 fd:01 42 {file}");
        assert_eq!(
            mapped(&line("r-xp", "/usr/bin/hallpass")).map(|it| (it.start, it.len)),
            Some((0x7f00, 0x2000))
        );
        for (access, file) in [
            ("r--p", "/usr/bin/hallpass"),
            ("rw-p", "/usr/bin/hallpass"),
            ("rwxp", "/usr/bin/hallpass"),
            ("r-xs", "/usr/bin/hallpass"),
            ("r-xp", ""),
            ("r-xp", "[vdso]"),
        ] {
            assert!(mapped(&line(access, file)).is_none(), "{access} {file}");
        }
    }
}
