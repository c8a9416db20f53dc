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
        self.revoke_with(metadata, client, token, Fields::new().with("token_type_hint", hint)).await
    }

    /// The same, and the agent's run that the pass is of is over.
    #[cfg(feature = "exec")]
    pub(crate) async fn revoke_with_run<K: Kind>(
        &self,
        metadata: &IssuerMetadata,
        client: &OurClient,
        token: &Secret<K>,
    ) -> Result<(), NoAnswer> {
        let form = Fields::new().with("token_type_hint", "access_token").with("run_over", "true");
        self.revoke_with(metadata, client, token, form).await
    }

    async fn revoke_with<K: Kind>(
        &self,
        metadata: &IssuerMetadata,
        client: &OurClient,
        token: &Secret<K>,
        form: Fields,
    ) -> Result<(), NoAnswer> {
        let Some(url) = &metadata.revocation_endpoint else {
            return Err(NoAnswer::Unexpected { what: "no revocation endpoint".into() });
        };
        let form = form.with_secret("token", token);
        let form = client.proven_in(form, metadata);
        self.provider.post(url, &form, client.with(metadata)).await.map(|_| ())
    }
}
