//! The key a session is bound to (RFC 9449): made at login, kept inside the record, never anywhere else.

use hallpass_model::jose::{SigningKey, Thumbprint};
use hallpass_model::random::SystemEntropy;
use hallpass_model::secret::{KeyMaterial, Secret};
use hallpass_model::time::Timestamp;
use hallpass_model::wire::dpop::{Request, proof};

/// A session's key.
#[derive(Debug)]
pub(crate) struct SessionKey(SigningKey);

impl SessionKey {
    /// A new one, ES256: the algorithm every server that knows DPoP knows.
    pub(crate) fn generate() -> Self {
        Self(SigningKey::generate())
    }

    /// The one a record holds. `None` if it is not a key.
    pub(crate) fn parse(document: &Secret<KeyMaterial>) -> Option<Self> {
        SigningKey::from_pkcs8(document.expose()).ok().map(Self)
    }

    /// For the record.
    pub(crate) fn render(&self) -> Secret<KeyMaterial> {
        Secret::new(self.0.to_pkcs8().to_vec())
    }

    /// `dpop_jkt`: what codes are bound to before there is a proof (RFC 9449, section 10).
    pub(crate) fn thumbprint(&self) -> Thumbprint {
        self.0.thumbprint()
    }

    /// A proof for one request, at the server's own time.
    pub(crate) fn proof(&self, request: &Request<'_>, nonce: Option<&str>, now: Timestamp) -> String {
        proof(&self.0, request, nonce, now, &SystemEntropy)
    }
}
