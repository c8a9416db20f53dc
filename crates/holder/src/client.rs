//! Who we are at a provider: a public client, or one that was given a secret it cannot really keep.

use hallpass_model::secret::{KeyMaterial, Secret};
use hallpass_model::wire::metadata::IssuerMetadata;

use crate::provider::{Fields, With};
use crate::shelf::Loaded;

/// The client we are.
pub(crate) struct OurClient {
    id: String,
    secret: Option<Secret<KeyMaterial>>,
}

impl OurClient {
    pub(crate) fn new(id: String, secret: Option<Secret<KeyMaterial>>) -> Self {
        Self { id, secret }
    }

    /// As a record has it.
    pub(crate) fn of(loaded: &Loaded) -> Self {
        let secret = loaded.record.client_secret.as_ref();
        Self::new(loaded.header.client_id.clone(), secret.map(|secret| Secret::new(secret.expose().to_vec())))
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn secret(&self) -> Option<&Secret<KeyMaterial>> {
        self.secret.as_ref()
    }

    /// Adds `client_id`, for requests that only name the client.
    pub(crate) fn id_in(&self, fields: Fields) -> Fields {
        fields.with("client_id", self.id.as_str())
    }

    /// Adds what proves who we are, where it goes into the form. `with` adds the rest.
    pub(crate) fn proven_in(&self, fields: Fields, metadata: &IssuerMetadata) -> Fields {
        match &self.secret {
            Some(secret) if !in_header(metadata) => self.id_in(fields).with_secret("client_secret", secret),
            // In the header alone (RFC 6749, section 2.3: one method a request).
            Some(_) => fields,
            None => self.id_in(fields),
        }
    }

    /// What goes with such a request.
    pub(crate) fn with(&self, metadata: &IssuerMetadata) -> With<'_> {
        let secret = self.secret.as_ref().filter(|_| in_header(metadata));
        With { basic: secret.map(|secret| (self.id.as_str(), secret)), ..With::default() }
    }
}

/// `client_secret_basic` is the default (RFC 8414, section 2); the form is used where only that is offered.
fn in_header(metadata: &IssuerMetadata) -> bool {
    let offered = &metadata.token_endpoint_auth_methods_supported;
    offered.is_empty() || offered.iter().any(|method| method == "client_secret_basic")
}
