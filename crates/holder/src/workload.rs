//! A workload's own identity: nobody signs in, and nothing is kept.
//!
//! 1. A CI job, a pod or a service is given a token by what runs it, which says what it is ([`Ambient`]).
//! 2. The issuer takes that for a token of its own, by a trust (RFC 8693). Each pass is got by an exchange of its own,
//!    with a token that is asked for anew where one can be: they live for minutes, and a job runs for hours.
//! 3. So there is no session, no refresh token and no record: what is not there cannot be stolen from a runner.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use hallpass_model::jose::{OUTSIDE_TOKEN_LEN_MAX, peek_unverified};
use hallpass_model::purpose::Purpose;
use hallpass_model::secret::{AccessToken, Assertion, Secret};
use hallpass_model::wire::metadata::IssuerMetadata;
use hallpass_model::wire::oauth::{GrantType, TokenType, token_type};
use tokio::sync::OnceCell;
use url::Url;
use zeroize::Zeroizing;

use crate::Holder;
use crate::error::HolderError;
use crate::identity::Identity;
use crate::pass::{GivenBack, Pass, PassRequest};
use crate::provider::{Fields, NoAnswer, With, is_loopback};

/// What says what a workload is.
#[derive(Clone)]
#[non_exhaustive]
pub enum Ambient {
    /// GitHub Actions: an address that gives a token for whoever is named, and the job's own key to it.
    Github {
        /// `ACTIONS_ID_TOKEN_REQUEST_URL`.
        url: Url,
        /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`.
        key: Arc<Secret<AccessToken>>,
    },
    /// A token that the job was given, for its whole life: GitLab's `id_tokens`.
    Given(Arc<Secret<Assertion>>),
    /// A file in which there is always a good one: a projected token of Kubernetes.
    File(PathBuf),
}

impl Ambient {
    /// What it is, for a person.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Github { .. } => "a job of GitHub Actions",
            Self::Given(_) => "a job with an ID token",
            Self::File(_) => "a workload with a token in a file",
        }
    }
}

impl std::fmt::Debug for Ambient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A workload that asks, and whom.
pub(crate) struct Workload {
    identity: Identity,
    ambient: Ambient,
    trust: Option<String>,
    metadata: OnceCell<IssuerMetadata>,
}

impl Holder {
    /// The same, in which `identity` is no sign-in but what this machine runs. Its client need not be named (an empty
    /// `client_id`): the issuer finds it by the trust that lets the workload in. `trust` says by which, where several do.
    #[must_use]
    pub fn as_workload(self, identity: Identity, ambient: Ambient, trust: Option<String>) -> Self {
        let workload = Workload { identity, ambient, trust, metadata: OnceCell::new() };
        Self { workload: Some(Arc::new(workload)), ..self }
    }

    /// The workload, if it is meant.
    pub(crate) fn workload(&self, identity: &Identity) -> Option<&Workload> {
        self.workload.as_deref().filter(|workload| workload.identity == *identity)
    }

    /// A pass of a workload's.
    pub(crate) async fn workload_pass(
        &self,
        workload: &Workload,
        request: &PassRequest,
        lease: bool,
    ) -> Result<Pass, HolderError> {
        let issuer = &workload.identity.issuer;
        let Some(resource) = &request.resource else {
            return Err(HolderError::Usage { what: "the API must be named: `--resource URL`".into() });
        };
        let metadata = workload.metadata.get_or_try_init(|| self.provider.discover(issuer)).await?;
        let assertion = self.assertion(workload).await?;
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
        let tokens = self.provider.token(metadata, &form, With::default()).await;
        let tokens = tokens.map_err(|none| none.into_error(&place, issuer))?;
        if tokens.token_type != TokenType::Bearer {
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
            lease: tokens.lease,
            token: tokens.access_token,
            given_back,
        })
    }

    /// A token that says what the workload is, asked for anew where that can be.
    async fn assertion(&self, workload: &Workload) -> Result<Secret<Assertion>, HolderError> {
        match &workload.ambient {
            Ambient::Given(token) => Ok(Secret::from_text(token.expose_text().to_owned())),
            Ambient::File(path) => {
                let unreadable = |why: String| HolderError::Usage {
                    what: format!("the workload's token cannot be read from `{}`: {why}", path.display()),
                };
                let mut text = Zeroizing::new(String::new());
                // Kubernetes lays it out through symbolic links, and swaps them for a new one.
                let most = OUTSIDE_TOKEN_LEN_MAX as u64 + 2;
                File::open(path)
                    .and_then(|file| file.take(most).read_to_string(&mut text))
                    .map_err(|error| unreadable(error.to_string()))?;
                match text.trim() {
                    "" => Err(unreadable("it is empty".into())),
                    token => Ok(Secret::from_text(token.to_owned())),
                }
            }
            Ambient::Github { url, key } => {
                // SECURITY: the key is a bearer secret: it is shown over TLS, or to this machine alone.
                if url.scheme() != "https" && !is_loopback(url) {
                    let what = "ACTIONS_ID_TOKEN_REQUEST_URL is not https, and is not asked".to_owned();
                    return Err(HolderError::Usage { what });
                }
                let mut url = url.clone();
                url.query_pairs_mut().append_pair("audience", &workload.identity.issuer);
                let issuer = &workload.identity.issuer;
                self.provider.job_token(&url, key).await.map_err(|none| none.into_error(&url, issuer))
            }
        }
    }
}
