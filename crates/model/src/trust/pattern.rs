//! What a claim must be: text in which `*` stands for a part of one segment.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A pattern at most, in bytes: a SPIFFE id is 2,048 at most, and whoever writes one down in full names one workload.
pub(super) const PATTERN_LEN_MAX: usize = 2048;
/// Stars in a pattern at most: more is a pattern that nobody can read.
pub(super) const STARS_MAX: usize = 4;

/// Text that a claim must be equal to. A `*` in it stands for one or more characters, none of them `/` or `:`: those
/// divide owner from repository, and branch from environment, in every issuer's subjects, and a star that stood for
/// them would let in somebody else's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

/// Text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// Nothing would have to be equal to nothing.
    #[error("a pattern is not empty: an absent claim never holds")]
    Empty,
    /// Longer than `PATTERN_LEN_MAX`.
    #[error("a pattern has {PATTERN_LEN_MAX} bytes at most")]
    TooLong,
    /// More than `STARS_MAX` stars.
    #[error("a pattern has {STARS_MAX} stars at most")]
    Stars,
    /// `**`, which means "anything at all" elsewhere.
    #[error("`**` is not to be had: a star stands for a part between two `/` or `:`, and never for more")]
    Deep,
    /// Characters that cannot be seen.
    #[error("a pattern holds characters that cannot be seen")]
    Unseen,
}

impl Pattern {
    /// Its spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for one text alone.
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether it says no more than that the claim is there: `*`.
    pub fn is_anything(&self) -> bool {
        self.0 == "*"
    }

    /// Whether `text` fits. Takes steps in proportion to the length of both, whatever they are.
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        // at[n]: the pattern up to here can stand for the first n characters.
        let mut at = vec![false; text.len() + 1];
        at[0] = true;
        for wanted in self.0.chars() {
            let mut next = vec![false; text.len() + 1];
            for (n, c) in text.iter().enumerate() {
                next[n + 1] = match wanted {
                    '*' => !matches!(c, '/' | ':') && (at[n] || next[n]),
                    wanted => at[n] && wanted == *c,
                };
            }
            at = next;
        }
        at[text.len()]
    }
}

impl FromStr for Pattern {
    type Err = BadPattern;
    fn from_str(text: &str) -> Result<Self, BadPattern> {
        if text.is_empty() {
            return Err(BadPattern::Empty);
        }
        if text.len() > PATTERN_LEN_MAX {
            return Err(BadPattern::TooLong);
        }
        if text.contains("**") {
            return Err(BadPattern::Deep);
        }
        if text.matches('*').count() > STARS_MAX {
            return Err(BadPattern::Stars);
        }
        if crate::purpose::plain(text, PATTERN_LEN_MAX) != text {
            return Err(BadPattern::Unseen);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Pattern {
    type Error = BadPattern;
    fn try_from(text: String) -> Result<Self, BadPattern> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().matches(text)
    }

    #[test]
    fn a_star_stands_for_a_part_of_one_segment_and_never_for_a_separator() {
        assert!(matches("repo:acme/site:ref:refs/heads/main", "repo:acme/site:ref:refs/heads/main"));
        assert!(matches("repo:acme/*:environment:prod", "repo:acme/site:environment:prod"));
        assert!(matches("refs/heads/release-*", "refs/heads/release-1.2"));
        assert!(matches("a*b*c", "axbxbxc"));
        for (pattern, text) in [
            ("repo:acme/*", "repo:acme/site:ref:refs/heads/main"),
            ("repo:acme/*:environment:prod", "repo:acme/x:environment:dev:environment:prod"),
            ("repo:acme/*:environment:prod", "repo:acme/:environment:prod"),
            ("repo:acme*/site", "repo:acme/site"),
            ("refs/heads/release-*", "refs/heads/release-1/evil"),
            ("refs/heads/*", "refs/heads/"),
            ("main", "Main"),
            ("main", "main "),
            ("main", ""),
        ] {
            assert!(!matches(pattern, text), "{pattern} took {text}");
        }
    }

    #[test]
    fn a_pattern_that_means_anything_at_all_cannot_be_written() {
        let refused = |text: &str| text.parse::<Pattern>().unwrap_err();
        assert_eq!(refused(""), BadPattern::Empty);
        assert_eq!(refused("repo:acme/**"), BadPattern::Deep);
        assert_eq!(refused("*a*b*c*d*"), BadPattern::Stars);
        assert_eq!(refused("ma\u{200b}in"), BadPattern::Unseen);
        assert_eq!(refused(&"x".repeat(PATTERN_LEN_MAX + 1)), BadPattern::TooLong);
    }

    /// A claim is as long as somebody outside made it.
    #[test]
    fn a_long_claim_takes_no_longer_than_its_length() {
        let text = "a".repeat(64 * 1024);
        assert!(!matches("*a*a*a*b", &text));
    }
}
