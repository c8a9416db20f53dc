//! The metadata services of clouds, which tell a machine what it is.

use std::sync::Arc;

use hallpass_model::secret::{Assertion, KeyMaterial, Secret};
use url::Url;

use crate::error::HolderError;
use crate::provider::{BesideHeader, Provider};

/// Where every cloud has it: an address that is never routed (RFC 3927), and asks no name server.
pub(crate) const LINK_LOCAL: &str = "169.254.169.254";

/// A metadata service.
#[derive(Clone)]
pub struct MetadataService(Kind);

#[derive(Clone)]
enum Kind {
    /// Google Cloud: an ID token of the service account that the machine runs as.
    Google { host: String },
    /// Azure's machines: a token of the managed identity.
    Azure { host: String },
    /// Azure's App Service, Functions and Container Apps: the same, from an address of the application's own.
    AzureApp { endpoint: Url, key: Arc<Secret<KeyMaterial>> },
}

impl MetadataService {
    /// Google Cloud's. `host` is for a stand-in, as `GCE_METADATA_HOST` names one.
    pub fn google(host: Option<String>) -> Self {
        Self(Kind::Google { host: host.unwrap_or_else(|| LINK_LOCAL.to_owned()) })
    }

    /// Azure's, on a machine. `host` is for a stand-in.
    pub fn azure(host: Option<String>) -> Self {
        Self(Kind::Azure { host: host.unwrap_or_else(|| LINK_LOCAL.to_owned()) })
    }

    /// Azure's, for an application: `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`.
    pub fn azure_app(endpoint: Url, key: Secret<KeyMaterial>) -> Self {
        Self(Kind::AzureApp { endpoint, key: Arc::new(key) })
    }

    pub(super) fn name(&self) -> &'static str {
        match self.0 {
            Kind::Google { .. } => "a service account of Google Cloud",
            Kind::Azure { .. } | Kind::AzureApp { .. } => "a managed identity of Azure",
        }
    }

    /// A token for this audience.
    pub(super) async fn assertion(
        &self,
        audience: &str,
        provider: &Provider,
    ) -> Result<Secret<Assertion>, HolderError> {
        let address = |text: String| {
            text.parse::<Url>().map_err(|_| HolderError::Usage {
                what: format!("`{text}` is no address of a metadata service"),
            })
        };
        let (mut url, header) = match &self.0 {
            // Google's documentation, "Get an ID token from the metadata server". `full` has the machine in it.
            Kind::Google { host } => {
                let place = "computeMetadata/v1/instance/service-accounts/default/identity?format=full";
                (address(format!("http://{host}/{place}"))?, BesideHeader::Google)
            }
            // Microsoft's documentation, "How to use managed identities on a virtual machine to acquire an access token".
            Kind::Azure { host } => {
                let place = "metadata/identity/oauth2/token?api-version=2018-02-01";
                (address(format!("http://{host}/{place}"))?, BesideHeader::Azure)
            }
            // "How to use managed identities for App Service and Azure Functions", the REST endpoint.
            Kind::AzureApp { endpoint, key } => {
                let mut url = endpoint.clone();
                url.query_pairs_mut().append_pair("api-version", "2019-08-01");
                (url, BesideHeader::AzureApp(key))
            }
        };
        let parameter = if matches!(self.0, Kind::Google { .. }) { "audience" } else { "resource" };
        url.query_pairs_mut().append_pair(parameter, audience);
        let place = url.origin().ascii_serialization();
        provider.machine_token(&url, header).await.map_err(|none| none.into_error(&url, &place))
    }
}
