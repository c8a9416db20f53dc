//! A provider's endpoints, named by hand.

use clap::Args;
use hallpass_holder::Endpoints;

/// Where a provider is asked for what.
#[derive(Debug, Args)]
pub(super) struct EndpointArgs {
    /// Where tokens are given, at a provider that publishes no metadata: nothing is looked up then
    #[arg(long, value_name = "URL", help_heading = "Providers without metadata")]
    token_endpoint: Option<String>,

    /// Where a sign-in by a code begins
    #[arg(long, value_name = "URL", help_heading = "Providers without metadata")]
    device_authorization_endpoint: Option<String>,

    /// Where a browser is sent
    #[arg(long, value_name = "URL", help_heading = "Providers without metadata")]
    authorization_endpoint: Option<String>,

    /// Where tokens are revoked at logout
    #[arg(long, value_name = "URL", help_heading = "Providers without metadata")]
    revocation_endpoint: Option<String>,

    /// Where it says who signed in
    #[arg(long, value_name = "URL", help_heading = "Providers without metadata")]
    userinfo_endpoint: Option<String>,
}

impl EndpointArgs {
    /// Those that were named.
    pub(super) fn named(&self) -> Endpoints {
        Endpoints {
            authorization: self.authorization_endpoint.clone(),
            token: self.token_endpoint.clone(),
            device_authorization: self.device_authorization_endpoint.clone(),
            revocation: self.revocation_endpoint.clone(),
            userinfo: self.userinfo_endpoint.clone(),
        }
    }
}
