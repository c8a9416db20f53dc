//! Defaults, file, environment, flags: the last one that speaks wins, and says so.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::env::Variable;

use super::{
    BASE_URL, BadSetting, DATA, DEFAULT_LISTEN, KEK, KEYS_FOLDER, LEDGER_KEY, LISTEN, LOCAL_APPROVAL, LOG,
    LOG_FORMAT, OUTSIDE_NETWORKS, Setting, TABLE, TLS_CERT, TLS_KEY, TRUSTED_PROXIES, default_key_file, file,
};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Nobody said otherwise.
    Default,
    /// The settings file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Variable(&'static str),
    /// A flag.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "default"),
            Self::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Self::Variable(name) => write!(f, "{name}"),
            Self::Flag(name) => write!(f, "{name}"),
        }
    }
}

/// What was written for each setting, and where.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers {
    values: BTreeMap<&'static str, (Vec<String>, Source)>,
    folder: PathBuf,
}

/// One row of `--explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Explained {
    /// The setting's key.
    pub(crate) key: &'static str,
    /// Its value, as written.
    pub(crate) value: Vec<String>,
    /// Where it came from.
    pub(crate) source: String,
    /// What it means.
    pub(crate) meaning: &'static str,
}

/// What stands outside the program: the places defaults depend on.
pub(crate) struct Surroundings<'a> {
    /// The folder relative paths start from.
    pub(crate) folder: &'a Path,
    /// The data folder unless another is named.
    pub(crate) data: PathBuf,
    /// The environment.
    pub(crate) variable: &'a dyn Fn(Variable) -> Option<String>,
}

impl Layers {
    /// Collects what was written: `file` is the settings file, `flags` are the flags given, by key.
    pub(crate) fn collect(
        around: &Surroundings<'_>,
        file: Option<&Path>,
        flags: impl IntoIterator<Item = (&'static str, Vec<String>)>,
    ) -> Result<Self, BadSetting> {
        let mut layers = Self { values: defaults(&around.data), folder: around.folder.to_owned() };
        if let Some(path) = file {
            for (key, values, source) in file::read(path)? {
                layers.values.insert(key, (values, source));
            }
        }
        for Setting { key, variable, .. } in TABLE {
            if let Some(text) = (around.variable)(*variable) {
                let values =
                    if [TRUSTED_PROXIES, OUTSIDE_NETWORKS].contains(key) { split(&text) } else { vec![text] };
                layers.values.insert(key, (values, Source::Variable(variable.name)));
            }
        }
        for (key, values) in flags {
            let setting =
                TABLE.iter().find(|setting| setting.key == key).expect("flags are of the table's settings");
            layers.values.insert(setting.key, (values, Source::Flag(setting.flag)));
        }
        Ok(layers)
    }

    /// Every setting's value and where it came from. None of them is a secret.
    pub(crate) fn explain(&self) -> Vec<Explained> {
        let data = self.path(DATA).unwrap_or_default();
        TABLE
            .iter()
            .map(|setting| {
                let (mut value, source) = match self.values.get(setting.key) {
                    Some((value, source)) => (value.clone(), source.to_string()),
                    None => (Vec::new(), Source::Default.to_string()),
                };
                if value.is_empty() && matches!(setting.key, KEK | LEDGER_KEY) {
                    let file = data.join(KEYS_FOLDER).join(default_key_file(setting.key));
                    value.push(file.display().to_string());
                }
                Explained { key: setting.key, value, source, meaning: setting.meaning }
            })
            .collect()
    }

    /// A setting that has a value in any case.
    pub(super) fn one<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, BadSetting> {
        self.maybe(key, parse)?.ok_or_else(|| BadSetting::new(format!("`{key}` is missing")))
    }

    /// A setting that may have none.
    pub(super) fn maybe<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, BadSetting> {
        let mut all = self.list(key, parse)?;
        if all.len() > 1 {
            let source = &self.values[key].1;
            return Err(BadSetting::new(format!("`{key}` ({source}) must be one value")));
        }
        Ok(all.pop())
    }

    /// A setting of any number of values.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, BadSetting> {
        let Some((values, source)) = self.values.get(key) else { return Ok(Vec::new()) };
        let each = values.iter().map(|text| {
            parse(text).map_err(|why| {
                let shown: String = text.chars().take(120).collect();
                BadSetting::new(format!("`{key}` is `{shown}` ({source}): {why}"))
            })
        });
        each.collect()
    }

    /// A path that is there in any case, made absolute.
    pub(super) fn path(&self, key: &'static str) -> Result<PathBuf, BadSetting> {
        self.one(key, |text| self.absolute(text))
    }

    /// A path that may be missing, made absolute.
    pub(super) fn maybe_path(&self, key: &'static str) -> Result<Option<PathBuf>, BadSetting> {
        self.maybe(key, |text| self.absolute(text))
    }

    /// A path in the settings file starts from the folder of the command, as everywhere else.
    fn absolute(&self, text: &str) -> Result<PathBuf, String> {
        match text.is_empty() || text.contains('\0') {
            true => Err("it must be a path".to_owned()),
            false => Ok(self.folder.join(text)),
        }
    }
}

fn defaults(data: &Path) -> BTreeMap<&'static str, (Vec<String>, Source)> {
    let one = |text: String| (vec![text], Source::Default);
    let none = || (Vec::new(), Source::Default);
    BTreeMap::from([
        (DATA, one(data.display().to_string())),
        (LISTEN, one(DEFAULT_LISTEN.to_string())),
        (BASE_URL, none()),
        (TLS_CERT, none()),
        (TLS_KEY, none()),
        (TRUSTED_PROXIES, none()),
        (OUTSIDE_NETWORKS, none()),
        (KEK, none()),
        (LEDGER_KEY, none()),
        (LOCAL_APPROVAL, one("false".to_owned())),
        (LOG, one("info".to_owned())),
        (LOG_FORMAT, one("text".to_owned())),
    ])
}

fn split(text: &str) -> Vec<String> {
    text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}
