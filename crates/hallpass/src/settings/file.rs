//! The settings file: TOML, one `[server]` table. An unknown key is an error.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{BadSetting, Source, TABLE};

/// The one table of the file.
const SERVER: &str = "server";
/// A settings file is a page; anything larger is another file, named by mistake.
const FILE_MAX: u64 = 256 * 1024;

/// What a file sets: key, values, and the line it stands on.
pub(super) type Written = Vec<(&'static str, Vec<String>, Source)>;

/// Reads a settings file.
pub(super) fn read(path: &Path) -> Result<Written, BadSetting> {
    let cannot =
        |cause: String| BadSetting::new(format!("cannot read the settings in `{}`: {cause}", path.display()));
    let size = std::fs::metadata(path).map_err(|e| cannot(e.to_string()))?.len();
    if size > FILE_MAX {
        return Err(cannot("it is too large to be a settings file".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(|e| cannot(e.to_string()))?;
    parse(path, &text)
}

/// Reads the text of a settings file.
pub(super) fn parse(path: &Path, text: &str) -> Result<Written, BadSetting> {
    let place = |at: usize| format!("`{}`, line {}", path.display(), line(text, at));
    let document = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        BadSetting::new(format!("in {}: {}", place(at), error.message()))
    })?;
    let mut written = Vec::new();
    for (key, value) in document.get_ref() {
        if key.get_ref() != SERVER {
            let at = place(key.span().start);
            return Err(unknown(&at, key.get_ref(), std::iter::once(SERVER), "table"));
        }
        let DeValue::Table(table) = value.get_ref() else {
            return Err(BadSetting::new(format!(
                "in {}: `{SERVER}` must be a table",
                place(key.span().start)
            ))
            .hint("write `[server]` on a line of its own, and the settings below it"));
        };
        for (key, value) in table {
            let at = place(key.span().start);
            let Some(setting) = TABLE.iter().find(|setting| setting.key == key.get_ref()) else {
                return Err(unknown(&at, key.get_ref(), TABLE.iter().map(|setting| setting.key), "key"));
            };
            let source = Source::File { path: path.to_owned(), line: line(text, key.span().start) };
            written.push((setting.key, texts(&at, setting.key, value)?, source));
        }
    }
    Ok(written)
}

/// The values of one key as text; the setting's own parser judges them.
fn texts(at: &str, key: &str, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, BadSetting> {
    let values: Option<Vec<String>> = match value.get_ref() {
        DeValue::Array(items) => items.iter().map(|item| scalar(item.get_ref())).collect(),
        other => scalar(other).map(|one| vec![one]),
    };
    values.ok_or_else(|| {
        BadSetting::new(format!("in {at}: `{key}` must be text, `true` or `false`, or a list of texts"))
    })
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        _ => None,
    }
}

fn unknown<'k>(at: &str, key: &str, known: impl Iterator<Item = &'k str> + Clone, what: &str) -> BadSetting {
    let shown: String = key.chars().take(64).collect();
    let error = BadSetting::new(format!("in {at}: unknown {what} `{shown}`"));
    match hallpass_model::nearest::nearest(key, known.clone()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("known here: {}", known.collect::<Vec<_>>().join(", "))),
    }
}

fn line(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}
