//! A credential that was found where it should not be, said to the issuer it is of.

use hallpass_model::secret::Secret;
use url::Url;

use crate::error::HolderError;
use crate::login::is_ours;
use crate::provider::{Fields, With};
use crate::{Holder, SecretKind};

impl Holder {
    /// Says to a Hallpass issuer that a credential of its own was found where it should not be. There it dies at once, with
    /// what came of it, and whoever answers for it is told, also where: `found`, 200 characters of it at most.
    ///
    /// Nobody need be signed in. The issuer never says whether there was anything to end.
    ///
    /// # Errors
    /// [`HolderError::Usage`] if the issuer is no Hallpass issuer; [`HolderError::Unreachable`] if it cannot be
    /// reached, or is busy.
    pub async fn report_leak<K: SecretKind>(
        &self,
        issuer: &str,
        credential: &Secret<K>,
        found: Option<&str>,
    ) -> Result<(), HolderError> {
        let metadata = self.provider.discover(issuer).await?;
        let cannot = || HolderError::Usage {
            what: format!(
                "`{}` takes no reports of leaked credentials: it is no Hallpass issuer",
                metadata.issuer
            ),
        };
        if !is_ours(&metadata) {
            return Err(cannot());
        }
        let url: Url = format!("{}/leaked", metadata.issuer).parse().map_err(|_| cannot())?;
        let form = Fields::new().with_secret("token", credential).with_some("found", found);
        let answer = self.provider.post(&url, &form, With::default()).await;
        answer.map(drop).map_err(|none| none.into_error(&url, &metadata.issuer))
    }
}
