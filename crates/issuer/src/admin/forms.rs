//! What is asked and answered: JSON, ids and times as text.
//!
//! An unknown member of a question is an error; of an answer it is to be ignored, so that an older program can speak to a newer
//! server.

use std::fmt;

use hallpass_model::principal::Org;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use zeroize::Zeroizing;

use super::shape::{Schemas, Shape, text};

mod answers;
mod questions;

pub use answers::*;
pub use questions::*;

/// A question, whoever asks it.
pub(crate) trait Question: DeserializeOwned + Shape {
    /// Where it says of which org it is; nothing for one that is of none.
    fn org(&mut self) -> Option<&mut Option<String>>;

    /// The short name or the URL of the one thing that it is about.
    fn thing(&self) -> Option<&str>;
}

impl ListOf {
    /// All of it.
    pub(crate) fn all_of(org: &Org) -> Self {
        Self { org: Some(org.name.to_string()), after: None, limit: None }
    }
}

/// A secret in the one answer that must carry it. Redacted in `Debug`, wiped on drop.
pub struct Revealed(Zeroizing<String>);

impl Revealed {
    /// Takes the text over.
    pub fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// The secret. SECURITY: for standard output or the file made for it, and nothing else.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Revealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<revealed secret>")
    }
}

impl Serialize for Revealed {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Revealed {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d).map(|text| Self(Zeroizing::new(text)))
    }
}

impl Shape for Revealed {
    fn shape(_: &mut Schemas) -> Value {
        text("password", "A secret. It is shown this once.")
    }
}
