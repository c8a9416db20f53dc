//! Scopes, in words.

use crate::admin_api::{CHANGE_SCOPE, READ_SCOPE};

/// A scope as a page shows it: what it lets somebody do, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScopeLine {
    pub(crate) words: String,
    pub(crate) text: String,
}

impl ScopeLine {
    /// Puts a scope into words. Those of OIDC are known; `noun:verb` and `noun.verb` are turned around when the verb is
    /// a plain one; of any other only its name can be said.
    pub(crate) fn new(scope: &str) -> Self {
        let words = match scope {
            "openid" => "Know that it is you".to_owned(),
            "profile" => "See your name and short name".to_owned(),
            READ_SCOPE => "See all that you may see of this organisation".to_owned(),
            CHANGE_SCOPE => "Administer this organisation, as far as you may".to_owned(),
            "offline_access" => "Stay logged in, without asking each time".to_owned(),
            other => verb_and_noun(other).unwrap_or_else(|| "Use the permission it calls".to_owned()),
        };
        Self { words, text: scope.to_owned() }
    }
}

/// Verbs whose meaning does not depend on the API.
const VERBS: &[(&str, &str)] = &[
    ("read", "Read"),
    ("list", "List"),
    ("view", "See"),
    ("write", "Change"),
    ("create", "Create"),
    ("update", "Change"),
    ("delete", "Delete"),
    ("admin", "Administer"),
    ("manage", "Administer"),
    ("deploy", "Deploy"),
    ("run", "Run"),
];

fn verb_and_noun(scope: &str) -> Option<String> {
    let (noun, verb) = scope.rsplit_once([':', '.'])?;
    let (_, verb) = VERBS.iter().find(|(word, _)| *word == verb)?;
    // Only plain words are turned around: anything else is shown as it is written, and not interpreted.
    let plain = !noun.is_empty()
        && noun.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b':' | b'.'));
    plain.then(|| format!("{verb} {}", noun.replace(['-', '_', ':', '.'], " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_said_in_words_and_never_guessed() {
        let words = |scope| ScopeLine::new(scope).words;
        assert_eq!(words("notes:read"), "Read notes");
        assert_eq!(words("build_logs.delete"), "Delete build logs");
        assert_eq!(words("openid"), "Know that it is you");
        for opaque in ["frobnicate", "https://example.com/x", "notes:frob", ":read"] {
            assert_eq!(words(opaque), "Use the permission it calls", "{opaque}");
        }
    }
}
