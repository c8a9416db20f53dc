//! Revoking one token where it was issued (RFC 7009).

use hallpass_model::secret::{Kind, Secret};
use hallpass_model::wire::metadata::IssuerMetadata;

use crate::Holder;
use crate::client::OurClient;
use crate::provider::{Fields, NoAnswer};

impl Holder {
    /// Revokes it. `hint` is one of section 2.1.
    pub(crate) async fn revoke<K: Kind>(
        &self,
        metadata: &IssuerMetadata,
        client: &OurClient,
        token: &Secret<K>,
        hint: &str,
    ) -> Result<(), NoAnswer> {
        let Some(url) = &metadata.revocation_endpoint else {
            return Err(NoAnswer::Unexpected { what: "no revocation endpoint".into() });
        };
        let form = Fields::new().with_secret("token", token).with("token_type_hint", hint);
        let form = client.proven_in(form, metadata);
        self.provider.post(url, &form, client.with(metadata)).await.map(|_| ())
    }
}
