//! Namespaces of our own, for this process and what it starts (namespaces(7)).

use std::io;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::UnshareFlags;

/// Enters new ones. There is no way back.
///
/// # Errors
///
/// Where this system does not let this user.
pub(crate) fn enter(which: UnshareFlags) -> io::Result<()> {
    // Root needs no user namespace, and keeps what it may do in its own.
    unshare(which).or_else(|_| in_own_user_namespace(which))
}

/// With a user namespace in which we are who we are, and may do the rest.
fn in_own_user_namespace(which: UnshareFlags) -> io::Result<()> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    unshare(UnshareFlags::NEWUSER | which)?;
    // Only a process that may be dumped owns its own files under /proc; nobody dumps us in these three lines.
    set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    let written = std::fs::write("/proc/self/setgroups", "deny")
        .and_then(|()| std::fs::write("/proc/self/uid_map", format!("{uid} {uid} 1")))
        .and_then(|()| std::fs::write("/proc/self/gid_map", format!("{gid} {gid} 1")));
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    written
}

#[expect(
    unsafe_code,
    reason = "no safe call makes a namespace; no descriptor table is unshared, which is what the safety is about"
)]
fn unshare(what: UnshareFlags) -> io::Result<()> {
    // SAFETY: FILES is not among the flags.
    unsafe { rustix::thread::unshare_unsafe(what) }.map_err(io::Error::from)
}
