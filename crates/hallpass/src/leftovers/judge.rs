//! What a file holds: kinds of tokens by the names they stand under, and copies of our own.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use hallpass_holder::Prints;
use serde_json::Value;
use zeroize::Zeroizing;

use super::places::{Form, Place};

/// Base64 within base64 is looked into so deep: `user:token` in base64, and no further.
const DEPTH_MAX: usize = 2;

/// The kinds of tokens in a file, and how many of each. Empty where there are none.
pub(super) fn kinds(place: &Place, bytes: &[u8]) -> Vec<(String, usize)> {
    let mut counted = Counted(&place.keys, BTreeMap::new());
    let text = String::from_utf8_lossy(bytes);
    match place.form {
        Form::Json => {
            // A second copy of what the file holds anyway, in a process that cannot be dumped and ends in a moment.
            if let Ok(document) = serde_json::from_slice::<Value>(bytes) {
                counted.json(&document);
            }
        }
        Form::Lines => text.lines().for_each(|line| counted.line(line)),
        Form::Netrc => counted.netrc(&text),
        Form::Urls => text.lines().for_each(|line| counted.urls(line)),
        Form::Whole if !text.trim().is_empty() => counted.all_keys(),
        Form::Bytes => {
            let holds = |key: &str| bytes.windows(key.len()).any(|part| part == key.as_bytes());
            place.keys.keys().filter(|key| holds(key)).for_each(|key| counted.key(key));
        }
        Form::Whole | Form::Copies => {}
    }
    counted.1.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect()
}

/// How many of each kind were seen.
struct Counted<'a>(&'a BTreeMap<String, String>, BTreeMap<&'a str, usize>);

impl Counted<'_> {
    fn key(&mut self, key: &str) {
        if let Some(kind) = self.0.get(key) {
            *self.1.entry(kind).or_default() += 1;
        }
    }

    fn all_keys(&mut self) {
        for kind in self.0.values() {
            *self.1.entry(kind).or_default() += 1;
        }
    }

    /// A string under a key, or strings in whatever stands under it.
    fn json(&mut self, value: &Value) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    match member {
                        Value::String(text) if is_literal(text) => self.key(name),
                        Value::Object(inner) if self.0.contains_key(name) => {
                            inner.values().filter(|one| one.is_string()).for_each(|_| self.key(name));
                            self.json(member);
                        }
                        _ => self.json(member),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.json(item)),
            _ => {}
        }
    }

    /// `key = value`, `key: value`, and npm's `//registry/:key=value`.
    fn line(&mut self, line: &str) {
        let line = line.trim().trim_start_matches("- ").trim_start_matches("export ");
        if line.starts_with(['#', ';']) {
            return;
        }
        for separator in ['=', ':'] {
            for (at, _) in line.match_indices(separator) {
                let (before, value) = (line[..at].trim_end(), line[at + 1..].trim());
                let key = before.rsplit([':', '/', ' ', '\t']).next().unwrap_or_default();
                let key = key.trim_matches(['"', '\'']);
                if self.0.contains_key(key) && is_literal(value.trim_matches(['"', '\'', ','])) {
                    self.key(key);
                    return;
                }
            }
        }
    }

    /// netrc(5): words, of which the one after `password` counts.
    fn netrc(&mut self, text: &str) {
        let mut words = text.split_ascii_whitespace();
        while let Some(word) = words.next() {
            if word == "password" && words.next().is_some_and(is_literal) {
                self.key(word);
            }
        }
    }

    /// `scheme://user:password@host`.
    fn urls(&mut self, line: &str) {
        let trimmed = line.trim_start();
        if trimmed.starts_with(['#', ';']) {
            return;
        }
        for (at, _) in line.match_indices("://") {
            let rest = &line[at + 3..];
            let authority = rest.split(['/', '?', '#', ' ']).next().unwrap_or_default();
            let password = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
            if password.is_some_and(|(_, password)| is_literal(password)) {
                self.all_keys();
            }
        }
    }
}

/// Whether a value is one, and not the name of a variable that has it.
fn is_literal(value: &str) -> bool {
    let is_reference = value.starts_with('$') || value.starts_with("{{") || value.starts_with('<');
    !value.is_empty() && !is_reference && !["null", "''", "\"\"", "~", "none", "{}", "[]"].contains(&value)
}

/// What of ours a file has copies of, each once.
pub(super) fn copies(bytes: &[u8], prints: &Prints) -> Vec<String> {
    let mut found = Vec::new();
    look_for_copies(bytes, prints, DEPTH_MAX, &mut found);
    found
}

fn look_for_copies(bytes: &[u8], prints: &Prints, depth: usize, found: &mut Vec<String>) {
    let mut note = |candidate: &[u8]| {
        if let Some(what) = prints.recognise(candidate)
            && !found.iter().any(|one| one == what)
        {
            found.push(what.to_owned());
        }
    };
    let mut deeper = Vec::new();
    for word in bytes.split(|byte| !is_token_byte(*byte)).filter(|word| !word.is_empty()) {
        note(word);
        let plain = percent_decoded(word);
        note(&plain);
        // A separator is a part of some tokens, and stands around others.
        for separator in *b"=:@/%" {
            for part in plain.split(|byte| *byte == separator).filter(|part| part.len() < plain.len()) {
                note(part);
            }
            if let Some(at) = plain.iter().position(|byte| *byte == separator) {
                note(&plain[at + 1..]);
            }
        }
        if let Some(at) = plain.windows(3).position(|part| part == b"://") {
            let authority = plain[at + 3..].split(|byte| *byte == b'@').next().unwrap_or_default();
            if let Some(colon) = authority.iter().position(|byte| *byte == b':') {
                note(&authority[colon + 1..]);
            }
        }
        if depth > 0 {
            let text: &[u8] = word.trim_ascii();
            let text = text.strip_suffix(b"==").or(text.strip_suffix(b"=")).unwrap_or(text);
            let after = text.rsplit(|byte| *byte == b'=' || *byte == b':').next().unwrap_or_default();
            for text in [text, after] {
                let decoded = STANDARD_NO_PAD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text));
                deeper.extend(decoded.ok().map(Zeroizing::new));
            }
        }
    }
    for bytes in deeper {
        look_for_copies(&bytes, prints, depth - 1, found);
    }
}

/// What tokens, addresses and base64 are made of.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._~+/=-:@%".contains(&byte)
}

/// Also of what is none: then it comes back as it was.
fn percent_decoded(word: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut plain = Zeroizing::new(Vec::with_capacity(word.len()));
    let mut at = 0;
    while at < word.len() {
        let escaped = (word[at] == b'%').then(|| word.get(at + 1..at + 3)).flatten();
        let byte = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        plain.push(byte.unwrap_or(word[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leftovers::places;

    #[test]
    fn each_place_s_example_is_recognised_by_its_own_keys() {
        for place in places::all().iter().filter(|place| !place.only_copies()) {
            let found = kinds(place, place.example.as_bytes());
            assert!(!found.is_empty(), "{} {}", place.tool, place.at);
            assert!(kinds(place, b"").is_empty(), "{}: nothing is in an empty file", place.at);
            for (kind, _) in found {
                assert!(
                    place.keys.values().any(|known| *known == kind) && !kind.contains("CANARY"),
                    "{kind}"
                );
            }
        }
    }

    fn of_form(form: Form, text: &str) -> usize {
        let place = places::all().iter().find(|place| place.form == form && !place.only_copies()).unwrap();
        let text = text.replace("KEY", place.keys.keys().next().unwrap());
        kinds(place, text.as_bytes()).iter().map(|(_, count)| count).sum()
    }

    #[test]
    fn a_reference_to_a_variable_a_comment_and_nothing_are_no_tokens() {
        for (form, text) in [
            (Form::Lines, "KEY=${NPM_TOKEN}\n"),
            (Form::Lines, "# KEY=secret\n"),
            (Form::Lines, "KEY =\nKEY: null\nother: secret\n"),
            (Form::Json, "{\"KEY\": \"\", \"x\": \"secret\", \"KEY\": null}"),
            (Form::Json, "not json"),
            (Form::Netrc, "machine password.example login password"),
            (Form::Urls, "https://ada@host.example/\nhttps://host.example/a:b@c\n# https://a:b@c/"),
        ] {
            assert_eq!(of_form(form, text), 0, "{text}");
        }
        assert_eq!(of_form(Form::Urls, "https://a:b@c.example https://d:e@f.example"), 2);
        assert_eq!(of_form(Form::Json, "[{\"a\": [{\"KEY\": \"secret\"}]}, {\"KEY\": \"another\"}]"), 2);
    }
}
