//! A form to be sent. Its values may be secrets: they are wiped, and `Debug` shows names alone.

use std::fmt;

use hallpass_model::secret::{Kind, Secret};
use zeroize::Zeroizing;

/// Of a longer secret, so many characters in a row show it: a stranger's sentence is cut, perhaps within it. Few enough
/// that no useful part gets by, many enough that no sentence has them by chance.
const SHOWS_LEN: usize = 12;

/// The parameters of a request.
#[derive(Default)]
pub(crate) struct Fields(Vec<Field>);

struct Field {
    name: &'static str,
    value: Zeroizing<String>,
    secret: bool,
}

impl Fields {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub(crate) fn with(self, name: &'static str, value: impl Into<String>) -> Self {
        self.and(Field { name, value: Zeroizing::new(value.into()), secret: false })
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
        self.and(Field { name, value: Zeroizing::new(secret.expose_text().to_owned()), secret: true })
    }

    fn and(mut self, field: Field) -> Self {
        self.0.push(field);
        self
    }

    /// Whether a text shows a secret of this form.
    pub(super) fn shown_by(&self, text: &str) -> bool {
        self.0.iter().any(|field| field.secret && shows(text, &field.value))
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
        for field in &self.0 {
            text.append_pair(field.name, &field.value);
        }
        text.finish()
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|field| field.name)).finish()
    }
}

/// Whether a text has a secret in it, whole or a good part of it.
pub(super) fn shows(text: &str, secret: &str) -> bool {
    let (text, secret) = (text.as_bytes(), secret.as_bytes());
    let len = secret.len().min(SHOWS_LEN);
    len > 0 && secret.windows(len).any(|part| text.windows(len).any(|there| there == part))
}

#[cfg(test)]
mod tests {
    use hallpass_model::secret::{RefreshToken, Secret};

    use super::*;

    #[test]
    fn a_text_shows_a_secret_also_if_it_was_cut_within_it() {
        let token = Secret::<RefreshToken>::from_text("hpr_0123456789abcdefghij".into());
        let form = Fields::new().with("client_id", "hallpass-cli").with_secret("refresh_token", &token);
        assert!(form.shown_by("the token hpr_0123456789abcdefghij is over"));
        assert!(form.shown_by("the token hpr_0123456789ab"), "cut");
        assert!(form.shown_by("...456789abcdefghij is over"));
        assert!(!form.shown_by("hallpass-cli may not use hpr_ tokens that are over"));
        assert!(shows("the pin 1234 is wrong", "1234") && !shows("anything", ""));
    }

    #[test]
    fn a_form_is_escaped_and_shows_names_alone() {
        let form = Fields::new().with("scope", "a b").with_some("x", None::<String>).with("code", "s&=%");
        assert_eq!(form.query(), "scope=a+b&code=s%26%3D%25");
        assert_eq!(format!("{form:?}"), "[\"scope\", \"code\"]");
    }
}
