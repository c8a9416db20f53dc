//! What else an entry says: a few flat, named values, never secret and never personal.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// What a detail is about: lower-case ASCII with underscores, one of a written table.
///
/// The constants are the table. The spellings are part of the leaf format: one may be added, none changed or
/// reused. A key read from a leaf that a newer version wrote is kept as it stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Cow<'static, str>);

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        impl Key {
            $($(#[$doc])* pub const $name: Key = Key(Cow::Borrowed($text));)*

            /// Every key this version writes.
            pub const ALL: &[Key] = &[$(Key::$name,)*];
        }
    };
}

keys! {
    /// The level of authentication (`acr`).
    ACR = "acr";
    /// The agent that acts for the principal.
    AGENT = "agent";
    /// How the person authenticated (`amr`), space-separated.
    AMR = "amr";
    /// Which axis was cut: `org`, `principal`, `client`, `device`, `session` or `credential`.
    AXIS = "axis";
    /// What about a registered thing changed.
    CHANGE = "change";
    /// How many times within the minute this entry stands for.
    COUNT = "count";
    /// The environment of a resource: `dev`, `stage`, `prod`, ...
    ENVIRONMENT = "environment";
    /// The protocol's error code that was answered.
    ERROR = "error";
    /// When what was made ends, in milliseconds since 1970 UTC.
    EXPIRES = "expires";
    /// How a login or an approval came about: `loopback`, `device`, `local`, ...
    FLOW = "flow";
    /// The generation of a refresh token.
    GENERATION = "generation";
    /// A grant's id.
    GRANT = "grant";
    /// The OAuth grant type.
    GRANT_TYPE = "grant_type";
    /// The RFC 7638 thumbprint of the key a credential is bound to.
    JKT = "jkt";
    /// The id of a public key.
    KID = "kid";
    /// What kind of thing or key this is about: `org`, `person`, `team`, `client`, `resource`, `cli`, ...
    KIND = "kind";
    /// How long ago a person may have proved who they are, in seconds.
    MAX_AGE = "max_age";
    /// The id of whoever answers for the thing: a person's or a team's.
    OWNER = "owner";
    /// The credential that this one came from.
    PARENT = "parent";
    /// A passkey's id.
    PASSKEY = "passkey";
    /// Why, as one of a fixed set of words of ours; never free text.
    REASON = "reason";
    /// The role that was given or taken.
    ROLE = "role";
    /// The root of the ledger's tree at some size, in hexadecimal.
    ROOT = "root";
    /// Which rule decided.
    RULE = "rule";
    /// The run of an agent: the credential that all its passes come of.
    RUN = "run";
    /// The scopes, space-separated.
    SCOPE = "scope";
    /// The first entry this one is about.
    SEQ_FIRST = "seq_first";
    /// The last entry this one is about.
    SEQ_LAST = "seq_last";
    /// A short name chosen by an administrator for a thing that is no person: an org's, a client's, a team's.
    SLUG = "slug";
    /// The issue stamp of a cut or a credential, in milliseconds.
    STAMP = "stamp";
    /// A team's id.
    TEAM = "team";
    /// The id of the trust by which an outside identity came in.
    TRUST = "trust";
    /// The Unix uid of whoever used the admin socket.
    UID = "uid";
    /// The URL of a resource.
    URL = "url";
}

impl Key {
    /// As it is written.
    pub fn text(&self) -> &str {
        &self.0
    }

    fn parse(text: &str) -> Option<Key> {
        let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let fits = text.len() <= KEY_MAX && text.starts_with(|c: char| c.is_ascii_lowercase());
        (fits && text.bytes().all(letters)).then(|| {
            let known = Key::ALL.iter().find(|key| key.text() == text).cloned();
            known.unwrap_or_else(|| Key(Cow::Owned(text.to_owned())))
        })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One value: there are no floats, lists or nulls, so that it can be written in one way only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A word, an id, a URL.
    Text(Cow<'static, str>),
    /// A count or a moment.
    Int(i64),
    /// Yes or no.
    Bool(bool),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Value::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(Cow::Owned(text))
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Value::Int(n)
    }
}

impl From<u32> for Value {
    fn from(n: u32) -> Self {
        Value::Int(n.into())
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Value::Bool(yes)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => f.write_str(text),
            Value::Int(n) => write!(f, "{n}"),
            Value::Bool(yes) => write!(f, "{yes}"),
        }
    }
}

/// An entry's details, sorted by key, each key once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Detail(Vec<(Key, Value)>);

impl Detail {
    /// No details.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The same with one more. A later value for a key takes the place of the earlier; a text longer than
    /// [`TEXT_MAX`](Detail::TEXT_MAX) bytes is cut and ends in `…`.
    #[must_use]
    pub fn with(mut self, key: Key, value: impl Into<Value>) -> Self {
        let value = match value.into() {
            Value::Text(text) => Value::Text(cut(text)),
            other => other,
        };
        match self.0.binary_search_by(|(k, _)| k.cmp(&key)) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (key, value)),
        }
        self
    }

    /// The value of `key`.
    pub fn find(&self, key: &Key) -> Option<&Value> {
        self.0.binary_search_by(|(k, _)| k.cmp(key)).ok().map(|at| &self.0[at].1)
    }

    /// In the order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The longest text kept: more than every scope list and URL that the issuer accepts needs.
    pub const TEXT_MAX: usize = 2_048;
}

fn cut(text: Cow<'static, str>) -> Cow<'static, str> {
    if text.len() <= Detail::TEXT_MAX {
        return text;
    }
    let end = text.floor_char_boundary(Detail::TEXT_MAX - '…'.len_utf8());
    Cow::Owned(format!("{}…", &text[..end]))
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(d)?;
        Key::parse(&text).ok_or_else(|| serde::de::Error::custom("a detail's key is not a word"))
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Flat;
        impl Visitor<'_> for Flat {
            type Value = Value;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, an integer or a boolean")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
                Ok(Value::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Value, E> {
                Ok(Value::Int(n))
            }
            fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Value, E> {
                i64::try_from(n).map(Value::Int).map_err(|_| E::custom("an integer is out of range"))
            }
            fn visit_bool<E: serde::de::Error>(self, yes: bool) -> Result<Value, E> {
                Ok(Value::Bool(yes))
            }
        }
        d.deserialize_any(Flat)
    }
}

impl<'de> Deserialize<'de> for Detail {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Detail;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of flat values")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Detail, A::Error> {
                let mut pairs: Vec<(Key, Value)> = Vec::new();
                while let Some((key, value)) = map.next_entry()? {
                    // Strictly rising keys are both the order of the canonical form and the absence of repeats.
                    if pairs.last().is_some_and(|(last, _)| *last >= key) {
                        return Err(serde::de::Error::custom("a detail's keys are out of order or repeated"));
                    }
                    pairs.push((key, value));
                }
                Ok(Detail(pairs))
            }
        }
        d.deserialize_map(Pairs)
    }
}

/// Longer than any key of ours.
const KEY_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_unique_and_well_spelled() {
        for key in Key::ALL {
            assert_eq!(Key::parse(key.text()), Some(key.clone()));
        }
        assert!(Key::ALL.is_sorted() && Key::ALL.windows(2).all(|pair| pair[0] != pair[1]));
        for bad in ["", "Scope", "1st", "_x", "a-b", "é", "a b", &"x".repeat(KEY_MAX + 1)] {
            assert_eq!(Key::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_later_value_takes_the_place_of_the_earlier() {
        let detail = Detail::new().with(Key::SCOPE, "a").with(Key::COUNT, 1u32).with(Key::SCOPE, "b");
        assert_eq!(detail.find(&Key::SCOPE), Some(&Value::from("b")));
        assert_eq!(detail.iter().count(), 2);
        assert_eq!(detail.find(&Key::ACR), None);
    }

    #[test]
    fn a_long_text_is_cut_where_a_character_ends() {
        let detail = Detail::new().with(Key::SCOPE, "é".repeat(Detail::TEXT_MAX));
        let Some(Value::Text(text)) = detail.find(&Key::SCOPE) else { panic!("it is a text") };
        assert!(text.len() <= Detail::TEXT_MAX && text.ends_with("é…"));
        let fits = "x".repeat(Detail::TEXT_MAX);
        assert_eq!(Detail::new().with(Key::SCOPE, fits.clone()).find(&Key::SCOPE), Some(&Value::from(fits)));
    }
}
