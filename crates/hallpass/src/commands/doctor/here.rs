//! What is here: the folder, the rungs, the sign-ins, what is still owed, and the daemon.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use hallpass_holder::{Holder, HolderError, Identity};

use super::Finding;
use crate::commands::status::owed_line;
use crate::env;

pub(super) fn look(holder: &Holder) -> Vec<Finding> {
    let mut findings = vec![folder(holder)];
    findings.extend(rungs(holder));
    findings.extend(sign_ins(holder));
    findings.extend(owed(holder));
    findings.push(daemon());
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

/// Each record, and whether it opens. A passphrase is taken from its file; nobody is asked for one.
fn sign_ins(holder: &Holder) -> Vec<Finding> {
    let (mut findings, mut own) = (Vec::new(), Vec::new());
    match holder.list() {
        Ok(identities) if identities.is_empty() => {
            findings.push(Finding::note("sign-in", "nobody is signed in"))
        }
        Ok(identities) => {
            findings.extend(identities.iter().flat_map(|identity| sign_in(holder, identity)));
            own = identities;
        }
        Err(error) => findings.push(Finding::act("sign-in", error.to_string(), "look at the folder")),
    }
    for one in holder.unreadable().unwrap_or_default() {
        findings.push(Finding::act(
            "sign-in",
            format!("{} cannot be read: {}", one.file.display(), one.why),
            "what it holds may be alive at its issuer; `hallpass logout --all` wipes it here",
        ));
    }
    let also_here = |issuer: &str, client: &str| {
        own.iter().any(|identity| identity.issuer == issuer && identity.client_id == client)
    };
    for copy in holder.foreign().into_iter().filter(|copy| !also_here(&copy.issuer, &copy.client_id)) {
        // On a home that several machines share it is another's, and alive.
        findings.push(Finding::note(
            "sign-in",
            format!(
                "{} is another machine's sign-in to {}; it does not open here",
                copy.file.display(),
                copy.issuer
            ),
        ));
    }
    findings
}

fn sign_in(holder: &Holder, identity: &Identity) -> Vec<Finding> {
    let name = match &identity.profile {
        Some(profile) => format!("{} as `{profile}`", identity.issuer),
        None => identity.issuer.clone(),
    };
    let login = match &identity.profile {
        Some(profile) => format!("run `hallpass login --profile {profile}`"),
        None => format!("run `hallpass login {}`", identity.issuer),
    };
    let act = |said: String, todo: &str| vec![Finding::act("sign-in", format!("{name}: {said}"), todo)];
    let status = match holder.status(identity) {
        Ok(status) => status,
        Err(error) => return act(error.to_string(), &login),
    };
    let opened = match &status.opened {
        Ok(opened) => opened,
        Err(HolderError::PassphraseNeeded) => {
            let why = "whether its record opens was not tried: its key is a passphrase, and HALLPASS_PASSPHRASE_FILE \
                       names none";
            return vec![Finding::note("sign-in", format!("{name}: {why}"))];
        }
        Err(error @ (HolderError::RungFailed { .. } | HolderError::DaemonLocked)) => {
            return act(error.to_string(), "unlock it; nothing is lost");
        }
        Err(error @ HolderError::WrongPassphrase) => {
            let todo =
                format!("name the right file in HALLPASS_PASSPHRASE_FILE; if it is the right one, {login}");
            return act(error.to_string(), &todo);
        }
        Err(error @ HolderError::Unsafe { .. }) => {
            return act(error.to_string(), "make it readable by you alone, and see who could have read it");
        }
        Err(error @ HolderError::ForeignCopy { .. }) => {
            return act(
                error.to_string(),
                &format!("if it is a copy, sign out where it was made; {login} here"),
            );
        }
        Err(error) => return act(error.to_string(), &login),
    };
    let mut findings = match &opened.ended {
        Some(why) if opened.quarantined => act(why.clone(), &login),
        Some(why) => act(format!("it does not stand: {why}"), &login),
        None => {
            let said = format!("{name}: its record opens, with its key in the {}", status.rung);
            vec![Finding::good("sign-in", said)]
        }
    };
    if status.moved {
        let said = format!("{name}: this machine has another install id than the one it was made on");
        findings.push(Finding::note("sign-in", said));
    }
    findings
}

fn owed(holder: &Holder) -> Vec<Finding> {
    let owed = holder.owed().unwrap_or_default();
    owed.iter().map(|one| Finding::act("owed", owed_line(one), "run `hallpass logout --retry`")).collect()
}

/// The socket, by its path: whether somebody answers there, and whether only this user can ask.
fn daemon() -> Finding {
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
