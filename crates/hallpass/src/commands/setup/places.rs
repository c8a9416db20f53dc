//! Where programs keep their configuration, and where our links and small programs stand.

use std::path::{Path, PathBuf};

use super::change;
use crate::behind;
use crate::env;
use crate::failure::Failure;

/// The folders everything is found from.
pub(super) struct Places {
    pub(super) home: PathBuf,
    config: PathBuf,
    ours: PathBuf,
    /// This program, as other programs run it.
    pub(super) hallpass: String,
}

impl Places {
    pub(super) fn find() -> Result<Self, Failure> {
        let absolute = |path: PathBuf| path.is_absolute().then_some(path);
        let home = env::HOME.path().and_then(absolute);
        let home = home.ok_or_else(|| Failure::could_not_run("there is no home folder").hint("set HOME"))?;
        let under = |named: env::Variable, usual: &str| {
            named.path().and_then(absolute).unwrap_or_else(|| home.join(usual))
        };
        Ok(Self {
            config: under(env::XDG_CONFIG_HOME, ".config"),
            ours: under(env::XDG_DATA_HOME, ".local/share").join("hallpass"),
            hallpass: hallpass()?,
            home,
        })
    }

    /// A file in the folder of settings.
    pub(super) fn config(&self, name: &str) -> PathBuf {
        self.config.join(name)
    }

    /// A file in the home folder, or in the folder a variable names instead of `usual`.
    pub(super) fn named(&self, variable: env::Variable, usual: &str, name: &str) -> PathBuf {
        variable.path().filter(|path| path.is_absolute()).unwrap_or_else(|| self.home.join(usual)).join(name)
    }

    /// A folder of ours for links and small programs.
    pub(super) fn ours(&self, name: &str) -> PathBuf {
        self.ours.join(name)
    }

    /// Reads a file to be changed.
    pub(super) fn read(&self, path: &Path) -> Result<(PathBuf, Option<String>), Failure> {
        change::read(path, &self.home)
    }

    /// What to say where a folder is not searched for programs.
    pub(super) fn on_path(&self, folder: &Path, first: bool) -> Option<String> {
        let path = env::PATH.value().unwrap_or_default();
        let there = std::env::split_paths(&path).any(|one| one == folder);
        let why = if first { "before other folders, " } else { "" };
        (!there).then(|| {
            format!(
                "put this folder on your PATH, {why}in your shell's profile: export PATH={}:$PATH",
                folder.display()
            )
        })
    }
}

/// What people call. Other programs' files name it without quotes, each in its own syntax: a path that would need them
/// is refused rather than written in eight ways.
fn hallpass() -> Result<String, Failure> {
    let path = behind::front().map_err(|error| {
        Failure::could_not_run(format_args!("this program's own file is not known: {error}"))
    })?;
    plain(&path).ok_or_else(|| {
        Failure::could_not_run(format_args!(
            "the path `{}` cannot stand in other programs' files",
            path.display()
        ))
        .hint("install hallpass where the path has letters, digits, `/`, `.`, `-` and `_` alone")
    })
}

/// A path as text, if it has no character with a meaning in anybody's syntax.
pub(super) fn plain(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+@".contains(&b);
    text.bytes().all(plain).then(|| text.to_owned())
}
