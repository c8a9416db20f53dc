//! What a client or a provider publishes of itself, as the operator asks about it.

use hallpass_model::jose::JwkSet;

use crate::Issuer;

/// Why what is published is not to be had: what is told, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotPublished(String);

impl Issuer {
    /// The keys that are published at an address now, fetched as they are when a client's assertion is judged: through the
    /// same guard and within the same bounds.
    pub async fn published_keys(&self, url: &str) -> Result<JwkSet, NotPublished> {
        self.outside.look_at(url).await.map_err(|error| NotPublished(error.to_string()))
    }

    /// Whether a provider of this issuer is there, with all that a login needs of it.
    pub async fn look_at_provider(&self, issuer: &str) -> Result<(), NotPublished> {
        let metadata =
            self.outside.metadata(issuer).await.map_err(|error| NotPublished(error.to_string()))?;
        match (&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri) {
            (Some(_), Some(_), Some(_)) => Ok(()),
            _ => Err(NotPublished("its metadata names no endpoints to log in at".to_owned())),
        }
    }
}
