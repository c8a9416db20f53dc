//! Why a credential is asked for, in a few words; it travels with the grant into the ledger.

use serde::{Deserialize, Serialize};

/// A sentence, not a story.
pub const PURPOSE_MAX: usize = 120;

/// Why, in a few words. Claimed by the requester: shown as such, always escaped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Purpose(String);

impl Purpose {
    /// The text, cut to `PURPOSE_MAX` and without control or direction-changing characters. `None` if nothing is left.
    pub fn parse(text: &str) -> Option<Self> {
        let text = plain(text, PURPOSE_MAX);
        (!text.is_empty()).then_some(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Purpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Purpose {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or("a purpose is a few words, such as `deploy`")
    }
}

/// Text fit to show a person: at most `most` characters, white space folded, and without characters that
/// move the cursor, change direction or cannot be seen (they disguise text on approval pages and terminals).
pub fn plain(text: &str, most: usize) -> String {
    let seen = |c: &char| {
        !c.is_control()
            && !matches!(*c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{00ad}')
    };
    let words: Vec<String> = text
        .split_whitespace()
        .map(|w| w.chars().filter(seen).collect::<String>())
        .filter(|w| !w.is_empty())
        .collect();
    words.join(" ").chars().take(most).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purpose_cannot_move_the_cursor_or_hide() {
        assert_eq!(plain("deploy\u{1b}[2J  the\u{202e} site\r\nnow", 120), "deploy[2J the site now");
        assert_eq!(Purpose::parse("\u{200b}\n \t"), None);
        assert_eq!(Purpose::parse(&"x".repeat(500)).unwrap().as_str().len(), PURPOSE_MAX);
    }
}
