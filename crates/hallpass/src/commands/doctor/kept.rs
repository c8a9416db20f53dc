//! What other tools keep where no file shows it: git's own cache, and the desktop's keyring.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use hallpass_holder::Holder;

use super::Finding;
use crate::env;

/// Whose items stand in a desktop's keyring, by what they are found by, and how to be rid of them.
const ON_DESKTOP: &[(&str, (&str, &str), &str)] = &[
    ("git", ("xdg:schema", "org.git.Password"), "`git credential reject` forgets one"),
    ("docker", ("xdg:schema", "io.docker.Credentials"), "`docker logout REGISTRY` forgets one"),
    ("gh", ("service", "gh:github.com"), "`gh auth logout` forgets it, and revokes nothing"),
    ("glab", ("service", "glab:gitlab.com"), "`glab auth logout` forgets it"),
    ("Codex", ("service", "Codex Auth"), "`codex logout` revokes and forgets it"),
    ("Codex", ("service", "Codex MCP Credentials"), "`codex mcp logout NAME` forgets one"),
    (
        "Python's keyring (twine, pip and others)",
        ("application", "Python keyring library"),
        "`keyring del SERVICE USER` forgets one",
    ),
    ("programs with the Rust library `keyring`", ("application", "rust-keyring"), "sign out in each of them"),
];

pub(super) fn look(holder: &Holder) -> Vec<Finding> {
    let mut findings: Vec<Finding> = git_cache().into_iter().collect();
    findings.extend(on_desktop(holder));
    findings
}

/// The daemon of `git credential-cache`: whether one listens where it does by itself.
fn git_cache() -> Option<Finding> {
    let home = env::HOME.path()?;
    let cache = env::XDG_CACHE_HOME.path().unwrap_or_else(|| home.join(".cache"));
    // In git's order: the old folder, if it is there.
    let places: [PathBuf; 2] =
        [home.join(".git-credential-cache/socket"), cache.join("git/credential/socket")];
    let socket = places.iter().find(|socket| UnixStream::connect(socket).is_ok())?;
    Some(Finding::note(
        "git",
        format!(
            "its cache keeps credentials in memory, and hands them to whoever of this user asks at {}; \
             `git credential-cache exit` ends it",
            socket.display()
        ),
    ))
}

/// Items of other programs, counted and not opened.
fn on_desktop(holder: &Holder) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (tool, attribute, todo) in ON_DESKTOP {
        match holder.on_desktop(&[*attribute]) {
            Ok(0) => {}
            Ok(count) => findings.push(Finding::note(
                "keyring",
                format!("the desktop's keyring holds {count} of {tool}; {todo}"),
            )),
            // What is not there, or does not answer, has been said among the rungs.
            Err(_) => break,
        }
    }
    findings
}
