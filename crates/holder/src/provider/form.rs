//! A form to be sent. Its values may be secrets: they are wiped, and `Debug` shows names alone.

use std::fmt;

use hallpass_model::secret::{Kind, Secret};
use zeroize::Zeroizing;

/// The parameters of a request.
#[derive(Default)]
pub(crate) struct Fields(Vec<(&'static str, Zeroizing<String>)>);

impl Fields {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.push((name, Zeroizing::new(value.into())));
        self
    }

    /// Adds one if there is a value.
    pub(crate) fn with_some(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds one for each value.
    pub(crate) fn with_each<'a>(
        self,
        name: &'static str,
        values: impl IntoIterator<Item = &'a String>,
    ) -> Self {
        values.into_iter().fold(self, |fields, value| fields.with(name, value.as_str()))
    }

    /// Adds a secret.
    pub(crate) fn with_secret<K: Kind>(self, name: &'static str, secret: &Secret<K>) -> Self {
        self.with(name, secret.expose_text())
    }

    /// As the body of a POST.
    pub(super) fn body(&self) -> Vec<u8> {
        self.encode().into_bytes()
    }

    /// As the query of an address a browser is sent to. SECURITY: addresses are seen by many; no secret goes here.
    pub(crate) fn query(&self) -> String {
        self.encode()
    }

    fn encode(&self) -> String {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.0 {
            text.append_pair(name, value);
        }
        text.finish()
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_escaped_and_shows_names_alone() {
        let form = Fields::new().with("scope", "a b").with_some("x", None::<String>).with("code", "s&=%");
        assert_eq!(form.query(), "scope=a+b&code=s%26%3D%25");
        assert_eq!(format!("{form:?}"), "[\"scope\", \"code\"]");
    }
}
