//! What a client publishes of itself, as the operator asks about it.

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
}
