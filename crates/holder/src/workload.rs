//! A workload's own identity: nobody signs in, and nothing is kept.
//!
//! 1. A CI job, a pod or a service is given a token by what runs it, which says what it is ([`Ambient`]).
//! 2. The issuer takes that for a token of its own, by a trust (RFC 8693). Each pass is got by an exchange of its own,
//!    with a token that is asked for anew where one can be: they live for minutes, and a job runs for hours.
//! 3. So there is no session, no refresh token and no record: what is not there cannot be stolen from a runner.

mod ambient;
mod command;
mod metadata;
mod spiffe;

use std::sync::Arc;

use hallpass_model::jose::peek_unverified;
use hallpass_model::purpose::Purpose;
use hallpass_model::wire::metadata::IssuerMetadata;
use hallpass_model::wire::oauth::{GrantType, TokenType, token_type};
use tokio::sync::OnceCell;

pub use ambient::Ambient;
pub use command::JobCommand;
pub use metadata::MetadataService;
pub use spiffe::SpiffeSocket;

use crate::Holder;
use crate::dpop::SessionKey;
use crate::error::HolderError;
use crate::identity::Identity;
use crate::pass::{GivenBack, Pass, PassRequest};
use crate::provider::{Fields, NoAnswer, With};

/// By what a workload is let in.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LetIn {
    trust: Option<String>,
    audience: Option<String>,
}

impl LetIn {
    /// By this trust, where several would do.
    #[must_use]
    pub fn by_trust(self, trust: Option<String>) -> Self {
        Self { trust, ..self }
    }

    /// With tokens for this audience, where what runs the workload makes none for the issuer: Entra knows only what is
    /// registered with it.
    #[must_use]
    pub fn for_audience(self, audience: Option<String>) -> Self {
        Self { audience, ..self }
    }
}

/// A workload that asks, and whom.
pub(crate) struct Workload {
    identity: Identity,
    ambient: Ambient,
    trust: Option<String>,
    /// For whom its tokens are, where that is not the issuer.
    audience: Option<String>,
    metadata: OnceCell<IssuerMetadata>,
}

impl Holder {
    /// The same, in which `identity` is no sign-in but what this machine runs. Its client need not be named (an empty
    /// `client_id`): the issuer finds it by the trust that lets the workload in. `by` says by which, where several do.
    #[must_use]
    pub fn as_workload(self, identity: Identity, ambient: Ambient, by: LetIn) -> Self {
        let LetIn { trust, audience } = by;
        let workload = Workload { identity, ambient, trust, audience, metadata: OnceCell::new() };
        Self { workload: Some(Arc::new(workload)), ..self }
    }

    /// The workload, if it is meant.
    pub(crate) fn workload(&self, identity: &Identity) -> Option<&Workload> {
        self.workload.as_deref().filter(|workload| workload.identity == *identity)
    }

    /// A pass of a workload's, bound to `key` if there is one.
    pub(crate) async fn workload_pass(
        &self,
        workload: &Workload,
        request: &PassRequest,
        key: Option<&SessionKey>,
        lease: bool,
    ) -> Result<Pass, HolderError> {
        let issuer = &workload.identity.issuer;
        let Some(resource) = &request.resource else {
            return Err(HolderError::Usage { what: "the API must be named: `--resource URL`".into() });
        };
        let metadata = workload.metadata.get_or_try_init(|| self.provider.discover(issuer)).await?;
        let audience = workload.audience.as_deref().unwrap_or(issuer);
        let assertion = workload.ambient.assertion(audience, &self.provider).await?;
        let client = Some(&workload.identity.client_id).filter(|client| !client.is_empty());
        let form = Fields::new()
            .with("grant_type", GrantType::TokenExchange.text())
            .with_secret("subject_token", &assertion)
            .with("subject_token_type", token_type::JWT)
            .with("requested_token_type", token_type::ACCESS_TOKEN)
            .with("resource", resource.as_str())
            .with_some("scope", (!request.scopes.is_empty()).then(|| request.scopes.to_string()))
            .with_some("lifetime", request.lifetime.map(|lifetime| lifetime.as_seconds().to_string()))
            .with_some("purpose", request.purpose.as_ref().map(Purpose::as_str))
            .with_some("client_id", client.cloned())
            .with_some("trust", workload.trust.clone())
            .with_some("lease", lease.then_some("true"));
        let place = metadata
            .token_endpoint
            .clone()
            .ok_or_else(|| HolderError::Unsupported { what: format!("`{issuer}` has no token endpoint") })?;
        let tokens = self.provider.token(metadata, &form, With { key, ..With::default() }).await;
        let tokens = tokens.map_err(|none| none.into_error(&place, issuer))?;
        if tokens.token_type != if key.is_some() { TokenType::Dpop } else { TokenType::Bearer } {
            let none = NoAnswer::Unexpected { what: "a pass of another type than was asked for".into() };
            return Err(none.into_error(&place, issuer));
        }
        // The client it became: whoever gives the pass back must name it. Anybody else's tokens say nothing we could read.
        let became = peek_unverified(tokens.access_token.expose_text()).ok().and_then(|said| said.client);
        let given_back =
            became.map(|client_id| Box::new(GivenBack { metadata: metadata.clone(), client_id }));
        Ok(Pass {
            expires: tokens.expires_in.map(|lasts| (self.clock)() + lasts),
            scope: tokens.scope,
            resource: Some(resource.clone()),
            own: given_back.is_some(),
            run: None,
            lease: tokens.lease,
            token: tokens.access_token,
            given_back,
        })
    }
}
