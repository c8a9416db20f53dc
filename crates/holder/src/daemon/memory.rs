//! Keeping the daemon's memory off the disk.
//!
//! Where the system allows it, all of the process is locked. Where it allows some pages only, as for most people
//! (RLIMIT_MEMLOCK), the keys are: what rests in memory is sealed under them. Where it allows none, that is said.

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
