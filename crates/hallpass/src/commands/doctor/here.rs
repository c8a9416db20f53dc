//! What is here: the folder, the rungs, the sign-ins, what is still owed, and the daemon.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use hallpass_holder::Holder;
use hallpass_holder::daemon::{Daemon, DaemonStatus};

use super::{Finding, Level};
use crate::commands::status::owed_line;
use crate::env;

pub(super) fn look(holder: &Holder, asked: &Daemon) -> Vec<Finding> {
    let mut findings = vec![folder(holder)];
    findings.extend(rungs(holder));
    findings.extend(sign_ins(holder));
    findings.extend(owed(holder));
    findings.extend(daemon(asked));
    findings
}

fn folder(holder: &Holder) -> Finding {
    match holder.try_disk() {
        Ok(()) => Finding::good("folder", "sign-ins can be written, and nobody else can read them"),
        Err(error) => Finding::act(
            "folder",
            format!("no sign-in can be written: {error}"),
            "name another folder in HALLPASS_STATE_DIR, or sign in for one command with `--one-run`",
        ),
    }
}

/// One that works is enough; why the others do not is worth knowing.
fn rungs(holder: &Holder) -> Vec<Finding> {
    let tried = holder.try_rungs();
    let passphrase = env::HALLPASS_PASSPHRASE_FILE.is_set();
    let any = passphrase || tried.iter().any(|(_, works)| works.is_ok());
    let mut findings: Vec<Finding> = tried
        .into_iter()
        .map(|(rung, works)| match works {
            Ok(()) => Finding::good("rung", format!("the {rung} gives back what was put in")),
            Err(why) => Finding::note("rung", format!("the {rung} {why}")),
        })
        .collect();
    if !any {
        findings.push(Finding::act(
            "rung",
            "no key can be kept here but in a passphrase or in memory",
            "set HALLPASS_PASSPHRASE_FILE, sign in at a terminal, or for one command with `--one-run`",
        ));
    }
    findings
}

fn sign_ins(holder: &Holder) -> Vec<Finding> {
    let mut findings = Vec::new();
    let again =
        |issuer: &str| format!("run `hallpass login {issuer}`, or `hallpass logout --issuer {issuer}`");
    match holder.list() {
        Ok(identities) if identities.is_empty() => {
            findings.push(Finding::note("sign-in", "nobody is signed in"))
        }
        Ok(identities) => findings.extend(identities.iter().map(|identity| {
            let issuer = &identity.issuer;
            // Whether it opens is not tried: a person might be asked for a passphrase.
            match holder.status_unopened(identity) {
                Ok(rung) => Finding::good("sign-in", format!("{issuer}, its key in the {rung}")),
                Err(error) => Finding::act("sign-in", format!("{issuer}: {error}"), again(issuer)),
            }
        })),
        Err(error) => findings.push(Finding::act("sign-in", error.to_string(), "look at the folder")),
    }
    for one in holder.unreadable().unwrap_or_default() {
        findings.push(Finding::act(
            "sign-in",
            format!("{} cannot be read: {}", one.file.display(), one.why),
            "what it holds may be alive at its issuer; `hallpass logout --all` wipes it here",
        ));
    }
    findings
}

fn owed(holder: &Holder) -> Vec<Finding> {
    let owed = holder.owed().unwrap_or_default();
    owed.iter().map(|one| Finding::act("owed", owed_line(one), "run `hallpass logout --retry`")).collect()
}

/// The socket, and what whoever answers there says of itself.
fn daemon(asked: &Daemon) -> Vec<Finding> {
    let socket = socket_found();
    let status = match socket.level {
        Level::Good => asked.status(),
        _ => return vec![socket],
    };
    let mut findings = vec![socket];
    match status {
        Ok(Some(status)) => findings.extend(of_itself(&status)),
        Ok(None) => {} // it has just gone
        Err(error) => findings.push(Finding::act(
            "daemon",
            format!("it does not answer as a daemon does: {error}"),
            "end its process, then run `hallpass daemon start`; what it alone holds is over with it",
        )),
    }
    findings
}

/// What a daemon that answers is not as it should be in.
fn of_itself(status: &DaemonStatus) -> Vec<Finding> {
    let mut findings = Vec::new();
    if status.memory == "not-locked" {
        findings.push(Finding::note(
            "daemon",
            "none of its memory is locked: the limit (`ulimit -l`) is too low, so keys may be swapped out",
        ));
    }
    if let Some(why) = &status.not_handed_over {
        findings.push(Finding::act(
            "daemon",
            format!("another version is at its place, and it did not hand itself over to that: {why}"),
            "mend that, then run `hallpass daemon start`",
        ));
    }
    findings
}

/// By its path: whether somebody answers there, and whether only this user can ask.
fn socket_found() -> Finding {
    let Some(path) = places().into_iter().find(|path| path.symlink_metadata().is_ok()) else {
        return Finding::note("daemon", "it does not run; nothing needs it to");
    };
    let shown = path.display();
    let unsafe_because = |why: &str| {
        Finding::act("daemon", format!("{shown} {why}"), "remove it, then run `hallpass daemon start`")
    };
    let Ok(found) = path.symlink_metadata() else {
        return Finding::note("daemon", "it has just gone");
    };
    let uid = rustix::process::geteuid().as_raw();
    let open = |mode: u32| mode & 0o077 != 0;
    let folder_open =
        path.parent().and_then(|folder| folder.metadata().ok()).is_none_or(|folder| open(folder.mode()));
    if !found.file_type().is_socket() {
        return unsafe_because("is not a socket");
    }
    if found.uid() != uid {
        return unsafe_because("belongs to another user");
    }
    if open(found.mode()) || folder_open {
        return unsafe_because("can be reached by other users");
    }
    match UnixStream::connect(&path) {
        Ok(_) => Finding::good("daemon", format!("it runs, at {shown}")),
        Err(error) => Finding::note(
            "daemon",
            format!("{shown} is left of one that ended ({error}); the next replaces it"),
        ),
    }
}

/// Where it listens, in the order in which it is looked for.
fn places() -> Vec<PathBuf> {
    if let Some(named) = env::HALLPASS_SOCKET.path() {
        return vec![named];
    }
    let uid = rustix::process::geteuid().as_raw();
    let runtime = env::XDG_RUNTIME_DIR.path().map(|folder| folder.join("hallpass"));
    let others = [format!("/run/user/{uid}/hallpass"), format!("/var/tmp/hallpass-{uid}")].map(PathBuf::from);
    runtime.into_iter().chain(others).map(|folder: PathBuf| folder.join(Path::new("daemon.sock"))).collect()
}
