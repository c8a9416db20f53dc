//! Where the server keeps things unless told otherwise.

use std::path::PathBuf;

use crate::env;

/// The data folder: the system's for root, the person's own (XDG Base Directory) for everybody else.
pub(super) fn data() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/hallpass");
    }
    let own = env::XDG_DATA_HOME.path().or_else(|| env::HOME.path().map(|home| home.join(".local/share")));
    own.unwrap_or_else(|| PathBuf::from("/var/lib")).join("hallpass")
}

/// Where a settings file is looked for, the first one that exists winning.
pub(super) fn settings() -> Vec<PathBuf> {
    let own = env::XDG_CONFIG_HOME.path().or_else(|| env::HOME.path().map(|home| home.join(".config")));
    let own = own.map(|folder| folder.join("hallpass/hallpass.toml"));
    own.into_iter().chain([PathBuf::from("/etc/hallpass/hallpass.toml")]).collect()
}
