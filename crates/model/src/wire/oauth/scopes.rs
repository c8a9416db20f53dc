//! Scopes, as RFC 6749, section 3.3, spells them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Scopes in one set at most: a page of them, which no person reads to the end.
pub const SCOPES_MAX: usize = 64;
/// One scope at most, in bytes: some providers' are URLs.
pub const SCOPE_LEN_MAX: usize = 256;

/// A set of scopes, in the order they were first named. `openid` and `OpenID` are two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scopes(Vec<String>);

/// Text that is not a list of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a list of scopes: printable ASCII without quotes and backslashes, one space between two")]
pub struct BadScopes;

impl Scopes {
    /// The empty set.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Reads a request's `scope`: strictly, one space between two.
    pub fn parse(text: &str) -> Result<Self, BadScopes> {
        if text.is_empty() {
            return Ok(Self::none());
        }
        Self::collect(text.split(' '))
    }

    /// Reads a provider's `scope`: extra spaces do not count.
    pub fn parse_tolerant(text: &str) -> Result<Self, BadScopes> {
        Self::collect(text.split_ascii_whitespace())
    }

    /// The set of these scopes, in this order.
    pub fn collect<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Result<Self, BadScopes> {
        let mut set = Vec::new();
        for scope in scopes {
            if !is_scope(scope) {
                return Err(BadScopes);
            }
            if !set.iter().any(|s| s == scope) {
                set.push(scope.to_owned());
            }
            if set.len() > SCOPES_MAX {
                return Err(BadScopes);
            }
        }
        Ok(Self(set))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether this one is among them.
    pub fn has(&self, scope: &str) -> bool {
        self.0.iter().any(|s| s == scope)
    }

    /// Whether all of `other` are among them.
    pub fn include(&self, other: &Scopes) -> bool {
        other.iter().all(|scope| self.has(scope))
    }

    /// Those that are also in `other`, in this order.
    pub fn within(&self, other: &Scopes) -> Scopes {
        Scopes(self.0.iter().filter(|scope| other.has(scope)).cloned().collect())
    }

    /// Those that are not in `other`, in this order.
    pub fn without(&self, other: &Scopes) -> Scopes {
        Scopes(self.0.iter().filter(|scope| !other.has(scope)).cloned().collect())
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// `scope-token` of RFC 6749, section 3.3.
fn is_scope(text: &str) -> bool {
    (1..=SCOPE_LEN_MAX).contains(&text.len())
        && text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, scope) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope)?;
        }
        Ok(())
    }
}

impl FromStr for Scopes {
    type Err = BadScopes;
    fn from_str(text: &str) -> Result<Self, BadScopes> {
        Self::parse(text)
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(d)?;
        Scopes::parse_tolerant(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn scopes_are_a_set_in_the_order_they_were_named() {
        let scopes = Scopes::parse("write read write openid").unwrap();
        assert_eq!(scopes.to_string(), "write read openid");
        assert!(scopes.has("read") && !scopes.has("Read") && !scopes.has("rea"));
        assert!(scopes.include(&Scopes::parse("openid write").unwrap()));
        assert!(scopes.include(&Scopes::none()) && !Scopes::none().include(&scopes));
        let other = Scopes::parse("read admin").unwrap();
        assert_eq!(scopes.within(&other).to_string(), "read");
        assert_eq!(scopes.without(&other).to_string(), "write openid");
    }

    #[test]
    fn a_request_s_scopes_are_read_strictly_and_a_provider_s_tolerantly() {
        for bad in [" ", "a ", " a", "a  b", "a\tb", "a\"b", "a\\b", "é", "a\nb", "a\u{7f}"] {
            assert_eq!(Scopes::parse(bad), Err(BadScopes), "{bad:?}");
        }
        assert_eq!(Scopes::parse_tolerant("  a   b\n").unwrap().to_string(), "a b");
        assert_eq!(Scopes::parse(""), Ok(Scopes::none()));
        assert!(Scopes::parse("https://www.googleapis.com/auth/drive repo,gist !#[]~").is_ok());
    }

    #[test]
    fn scopes_are_bounded_in_number_and_length() {
        let many = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>().join(" ");
        assert!(Scopes::parse(&many(SCOPES_MAX)).is_ok());
        assert_eq!(Scopes::parse(&many(SCOPES_MAX + 1)), Err(BadScopes));
        assert!(Scopes::parse(&"a".repeat(SCOPE_LEN_MAX)).is_ok());
        assert_eq!(Scopes::parse(&"a".repeat(SCOPE_LEN_MAX + 1)), Err(BadScopes));
    }

    proptest! {
        #[test]
        fn what_reads_is_written_and_reads_as_the_same(text in "[ -~]{0,40}") {
            if let Ok(scopes) = Scopes::parse(&text) {
                prop_assert_eq!(Scopes::parse(&scopes.to_string()), Ok(scopes));
            }
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (Scopes::parse(&text), Scopes::parse_tolerant(&text));
        }
    }
}
