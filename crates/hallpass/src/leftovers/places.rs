//! Where to look: `places.toml`, and the folders of the person.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::Deserialize;

use crate::env;

/// A folder with more files than this is no cache of tokens.
const NAMES_MAX: usize = 256;

/// A file that a tool keeps tokens in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    pub(super) tool: String,
    pub(super) at: String,
    pub(super) moved_by: Option<MovedBy>,
    pub(super) form: Form,
    #[serde(default)]
    pub(super) keys: BTreeMap<String, String>,
    #[serde(default)]
    #[cfg_attr(not(test), expect(dead_code, reason = "what the file looks like, for readers and tests"))]
    pub(super) example: String,
    pub(super) todo: String,
}

/// The variable that says that it is elsewhere.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MovedBy {
    pub(super) variable: String,
    pub(super) then: String,
}

/// What a file is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Form {
    Json,
    Lines,
    Netrc,
    Urls,
    Whole,
    Bytes,
    Copies,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    place: Vec<Place>,
}

static ALL: LazyLock<Vec<Place>> = LazyLock::new(|| {
    let table: Table = toml::from_str(include_str!("places.toml")).expect("the table of places is tested");
    table.place
});

/// All of them.
pub(super) fn all() -> &'static [Place] {
    &ALL
}

/// The person's folders, as the environment has them.
#[derive(Debug)]
pub(crate) struct Folders {
    home: PathBuf,
    config: PathBuf,
    data: PathBuf,
    cache: PathBuf,
    runtime: Option<PathBuf>,
}

impl Folders {
    /// Those of the environment. None without a home.
    pub(crate) fn here() -> Option<Self> {
        let home = env::HOME.path().filter(|home| home.is_absolute())?;
        let or = |variable: env::Variable, otherwise: &str| {
            variable.path().filter(|path| path.is_absolute()).unwrap_or_else(|| home.join(otherwise))
        };
        Some(Self {
            config: or(env::XDG_CONFIG_HOME, ".config"),
            data: or(env::XDG_DATA_HOME, ".local/share"),
            cache: or(env::XDG_CACHE_HOME, ".cache"),
            runtime: env::XDG_RUNTIME_DIR.path().filter(|path| path.is_absolute()),
            home,
        })
    }

    /// Whether a path, without links in it, is below one of them.
    pub(super) fn hold(&self, path: &Path) -> bool {
        let each = [
            Some(&self.home),
            Some(&self.config),
            Some(&self.data),
            Some(&self.cache),
            self.runtime.as_ref(),
        ];
        each.into_iter()
            .flatten()
            .any(|folder| folder.canonicalize().is_ok_and(|folder| path.starts_with(folder)))
    }

    fn named(&self, name: &str) -> Option<&Path> {
        match name {
            "home" => Some(&self.home),
            "config" => Some(&self.config),
            "data" => Some(&self.data),
            "cache" => Some(&self.cache),
            "runtime" => self.runtime.as_deref(),
            _ => None,
        }
    }
}

impl Place {
    /// Whether only copies of our own tokens are looked for in it.
    pub(super) fn only_copies(&self) -> bool {
        self.form == Form::Copies
    }

    /// The files it stands for here, if they are there.
    pub(super) fn files(&self, folders: &Folders) -> Vec<PathBuf> {
        let (folder, rest) = self.at.split_once('/').unwrap_or_default();
        let usual = folders.named(folder).map(|folder| (folder.to_owned(), rest.to_owned()));
        let moved = self.moved_by.as_ref().and_then(|moved| {
            let variable = env::ALL.iter().find(|variable| variable.name == moved.variable)?;
            Some((variable.value()?, moved.then.clone()))
        });
        let mut files = Vec::new();
        if let Some((value, then)) = moved {
            // Some name several, with colons between them.
            for base in std::env::split_paths(&value).filter(|base| base.is_absolute()) {
                match then.is_empty() {
                    true => files.push(base),
                    false => expand(&base, &then, &mut files),
                }
            }
        }
        // What was there before a tool was told to look elsewhere is still there.
        if let Some((folder, rest)) = usual {
            expand(&folder, &rest, &mut files);
        }
        files.retain(|file| file.symlink_metadata().is_ok());
        files
    }
}

/// Puts in what a pattern stands for, below a folder.
fn expand(folder: &Path, pattern: &str, files: &mut Vec<PathBuf>) {
    let (first, rest) = pattern.split_once('/').map_or((pattern, None), |(first, rest)| (first, Some(rest)));
    let names: Vec<PathBuf> = match first.split_once('*') {
        None => vec![folder.join(first)],
        Some((before, after)) => {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(NAMES_MAX);
            let fits = |name: &std::ffi::OsStr| {
                let name = name.to_string_lossy();
                name.starts_with(before) && name.ends_with(after)
            };
            let mut names: Vec<_> =
                entries.filter(|entry| fits(&entry.file_name())).map(|entry| entry.path()).collect();
            names.sort();
            names
        }
    };
    for name in names {
        match rest {
            Some(rest) => expand(&name, rest, files),
            None => files.push(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_below_a_known_folder_and_its_variable_is_declared() {
        let home = PathBuf::from("/home/ada");
        let folders = Folders {
            config: home.join(".config"),
            data: home.join(".local/share"),
            cache: home.join(".cache"),
            runtime: Some("/run/user/1".into()),
            home,
        };
        assert!(all().len() > 50);
        for place in all() {
            let (folder, rest) = place.at.split_once('/').unwrap();
            assert!(folders.named(folder).is_some() && !rest.is_empty(), "{}", place.at);
            if let Some(moved) = &place.moved_by {
                assert!(env::ALL.iter().any(|one| one.name == moved.variable), "{}", moved.variable);
            }
            assert_eq!(place.only_copies(), place.keys.is_empty(), "{}", place.at);
            assert!(!place.todo.ends_with('.'), "{}", place.todo);
        }
    }
}
