//! An org's signing keys, as they stand in memory: parsed once, wiped when dropped.

use hallpass_model::jose::{JwkSet, SigningKey};
use hallpass_store::StoredSigningKey;

use crate::error::OAuthError;

/// What an org signs with, and what it publishes.
pub(crate) struct OrgKeys {
    /// The key that signs now.
    pub(crate) signing: SigningKey,
    /// Every key whose signatures still count, the signing one among them.
    pub(crate) published: JwkSet,
}

impl OrgKeys {
    /// Reads what the store kept, the one that signs first.
    pub(crate) fn read(kept: Vec<StoredSigningKey>) -> Result<Self, OAuthError> {
        let unreadable = |_| OAuthError::server_error().because("an org's signing key cannot be read");
        let (mut signing, mut published) = (None, Vec::with_capacity(kept.len()));
        for row in kept {
            let key = SigningKey::from_pkcs8(row.pkcs8.expose()).map_err(unreadable)?;
            published.push(key.public().clone());
            if signing.is_none() && row.retired.is_none() {
                signing = Some(key);
            }
        }
        let signing =
            signing.ok_or_else(|| OAuthError::server_error().because("an org has no key to sign with"))?;
        Ok(Self { signing, published: JwkSet::new(published) })
    }
}
