//! `Prefer: wait=N` (RFC 7240, section 4.3): how long a poll may be held open.

use std::fmt;

use crate::time::Lifetime;

/// How long the client is ready to wait. The server may answer sooner, and bounds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreferWait(pub Lifetime);

impl PreferWait {
    /// Finds the preference in a `Prefer` header, among others. A malformed one is no preference
    /// (RFC 7240, section 2), and of several the first counts.
    pub fn parse(header: &str) -> Option<Self> {
        for preference in header.split(',') {
            let token = preference.split(';').next().unwrap_or_default();
            let Some((name, value)) = token.split_once('=') else {
                continue;
            };
            if !name.trim().eq_ignore_ascii_case("wait") {
                continue;
            }
            let value = value.trim();
            let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
            if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            return value.parse().ok().map(|seconds| Self(Lifetime::seconds(seconds)));
        }
        None
    }
}

impl fmt::Display for PreferWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wait={}", self.0.as_seconds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_preference_is_found_among_others() {
        for text in
            ["wait=25", "WAIT = 25", "respond-async, wait=25", "wait=\"25\"; x=y, wait=3", "wait=25;foo"]
        {
            assert_eq!(PreferWait::parse(text), Some(PreferWait(Lifetime::seconds(25))), "{text}");
        }
        for text in
            ["", "wait", "wait=", "wait=-1", "wait=+1", "wait=2.5", "wait=1s", "waits=1", "wait=99999999999"]
        {
            assert_eq!(PreferWait::parse(text), None, "{text}");
        }
        assert_eq!(PreferWait(Lifetime::seconds(25)).to_string(), "wait=25");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = PreferWait::parse(&text);
        }
    }
}
