//! What a person wrote down in TOML, read key by key: every error names the file and the line, and an unknown key is an
//! error that names the nearest known one.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::failure::Failure;
use hallpass_model::nearest::nearest;

/// A page of settings; anything larger is another file, by mistake.
const FILE_MAX: u64 = 256 * 1024;

/// A file that was read.
pub(crate) struct Written {
    path: PathBuf,
    text: String,
}

/// One table of it.
#[derive(Clone, Copy)]
pub(crate) struct Table<'a> {
    file: &'a Written,
    entries: &'a DeTable<'a>,
}

impl Written {
    /// Reads a file. `None` if there is none.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, Failure> {
        let cannot = |why: String| Failure::usage(format_args!("cannot read `{}`: {why}", path.display()));
        let size = match std::fs::metadata(path) {
            Ok(found) => found.len(),
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(cannot(error.to_string())),
        };
        if size > FILE_MAX {
            return Err(cannot("it is too large to be a page of settings".into()));
        }
        let text = std::fs::read_to_string(path).map_err(|error| cannot(error.to_string()))?;
        Ok(Some(Self::new(path, text)))
    }

    /// The text of a file that was read already.
    pub(crate) fn new(path: &Path, text: String) -> Self {
        Self { path: path.to_owned(), text }
    }

    /// Takes it apart. `judge` is given its outermost table.
    pub(crate) fn judge<T>(&self, judge: impl FnOnce(Table<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
        let document = DeTable::parse(&self.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            Failure::usage(format_args!("in {}: {}", self.place(at), error.message()))
        })?;
        judge(Table { file: self, entries: document.get_ref() })
    }

    /// Its text with another value for one key of the outermost table, or without it; nothing else of it changes.
    pub(crate) fn with_text(&self, key: &str, value: Option<&str>) -> Result<String, Failure> {
        let line = value.map(|value| format!("{key} = {}\n", toml::Value::from(value)));
        self.judge(|table| {
            let found = table.entries.iter().find(|(name, _)| name.get_ref() == key);
            // Keys of the outermost table stand before any other.
            let Some((name, value)) = found else { return Ok(line.unwrap_or_default() + &self.text) };
            let from = self.text[..name.span().start].rfind('\n').map_or(0, |end| end + 1);
            let rest = &self.text[value.span().end..];
            let to = self.text.len() - rest.len() + rest.find('\n').map_or(rest.len(), |end| end + 1);
            Ok(format!("{}{}{}", &self.text[..from], line.unwrap_or_default(), &self.text[to..]))
        })
    }

    fn place(&self, at: usize) -> String {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        format!("`{}`, line {line}", self.path.display())
    }
}

/// The TOML that a module's own documentation shows: `shown_in(include_str!("config.rs"))`.
#[cfg(test)]
pub(crate) fn shown_in(module: &str) -> String {
    let lines = module.lines().skip_while(|line| *line != "//! ```toml").skip(1);
    let lines = lines.take_while(|line| *line != "//! ```");
    lines.map(|line| line.trim_start_matches("//!").to_owned() + "\n").collect()
}

impl<'a> Table<'a> {
    /// Refuses every key but these.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Failure> {
        match self.entries.iter().find(|(key, _)| !known.contains(&key.get_ref().as_ref())) {
            None => Ok(()),
            Some((key, _)) => {
                let shown: String = key.get_ref().chars().take(64).collect();
                let at = self.file.place(key.span().start);
                let failure = Failure::usage(format_args!("in {at}: unknown key `{shown}`"));
                Err(match nearest(key.get_ref(), known.iter().copied()) {
                    Some(near) => failure.hint(format_args!("did you mean `{near}`?")),
                    None => failure.hint(format_args!("known here: {}", known.join(", "))),
                })
            }
        }
    }

    /// A text.
    pub(crate) fn text(&self, key: &str) -> Result<Option<String>, Failure> {
        self.parsed(key, |text| Ok::<_, String>(text.to_owned()))
    }

    /// A text that says something of a type.
    pub(crate) fn one<T: FromStr<Err: std::fmt::Display>>(&self, key: &str) -> Result<Option<T>, Failure> {
        self.parsed(key, str::parse)
    }

    /// A text that is read so.
    pub(crate) fn parsed<T, E: std::fmt::Display>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Failure> {
        let Some(value) = self.find(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::String(text) => self.judged(key, text, value, parse).map(Some),
            _ => Err(self.wrong(key, value, "must be text")),
        }
    }

    /// A text, or a list of them.
    pub(crate) fn each<T, E: std::fmt::Display>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, E> + Copy,
    ) -> Result<Vec<T>, Failure> {
        let Some(value) = self.find(key) else { return Ok(Vec::new()) };
        match value.get_ref() {
            DeValue::String(text) => Ok(vec![self.judged(key, text, value, parse)?]),
            DeValue::Array(items) => items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::String(text) => self.judged(key, text, item, parse),
                    _ => Err(self.wrong(key, item, "must be text, or a list of texts")),
                })
                .collect(),
            _ => Err(self.wrong(key, value, "must be text, or a list of texts")),
        }
    }

    /// The tables in a table of tables, by name: `[profile.work]`.
    pub(crate) fn named<T: FromStr<Err: std::fmt::Display>>(
        &self,
        key: &str,
    ) -> Result<Vec<(T, Table<'a>)>, Failure> {
        let Some(value) = self.find(key) else { return Ok(Vec::new()) };
        let DeValue::Table(tables) = value.get_ref() else {
            return Err(self.wrong(key, value, "must be tables with names"));
        };
        tables
            .iter()
            .map(|(name, value)| match value.get_ref() {
                DeValue::Table(entries) => {
                    let name = self.judged(key, name.get_ref(), value, str::parse)?;
                    Ok((name, Table { file: self.file, entries }))
                }
                _ => Err(self.wrong(key, value, "must be tables with names")),
            })
            .collect()
    }

    /// The tables of a list of tables: `[[target]]`.
    pub(crate) fn list(&self, key: &str) -> Result<Vec<Table<'a>>, Failure> {
        let Some(value) = self.find(key) else { return Ok(Vec::new()) };
        let wrong = |value: &Spanned<DeValue<'_>>| self.wrong(key, value, "must be a list of tables");
        let DeValue::Array(items) = value.get_ref() else { return Err(wrong(value)) };
        let table = |item: &'a Spanned<DeValue<'a>>| match item.get_ref() {
            DeValue::Table(entries) => Ok(Table { file: self.file, entries }),
            _ => Err(wrong(item)),
        };
        items.iter().map(table).collect()
    }

    /// That a key must be there, and is not.
    pub(crate) fn lacks(&self, key: &str) -> Failure {
        let at = self.entries.keys().map(|key| key.span().start).min().unwrap_or_default();
        Failure::usage(format_args!("in {}: `{key}` is missing", self.file.place(at)))
    }

    fn find(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.entries.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    fn judged<T, E: std::fmt::Display>(
        &self,
        key: &str,
        text: &str,
        value: &Spanned<DeValue<'_>>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, Failure> {
        parse(text).map_err(|why| {
            let shown: String = text.chars().take(120).collect();
            let at = self.file.place(value.span().start);
            Failure::usage(format_args!("in {at}: `{key}` is `{shown}`: {why}"))
        })
    }

    fn wrong(&self, key: &str, value: &Spanned<DeValue<'_>>, what: &str) -> Failure {
        let at = self.file.place(value.span().start);
        Failure::usage(format_args!("in {at}: `{key}` {what}"))
    }
}

/// Whether there is no such file, nor a folder it could be in.
pub(crate) fn is_missing(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}
