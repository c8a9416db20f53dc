//! What says what a workload is, and how it is asked.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hallpass_model::jose::OUTSIDE_TOKEN_LEN_MAX;
use hallpass_model::secret::{AccessToken, Assertion, Secret};
use url::Url;
use zeroize::Zeroizing;

use super::command::JobCommand;
use super::metadata::MetadataService;
use super::spiffe::SpiffeSocket;
use crate::error::HolderError;
use crate::provider::{Provider, is_loopback};

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
    /// A program of the system that runs the job, which prints one for whoever is named.
    Command(JobCommand),
    /// The SPIFFE Workload API, which knows who asks by the socket.
    Spiffe(SpiffeSocket),
    /// A cloud's metadata service, which knows by the network.
    Metadata(MetadataService),
}

impl Ambient {
    /// What it is, for a person.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Github { .. } => "a job of GitHub Actions",
            Self::Given(_) => "a job with an ID token",
            Self::File(_) => "a workload with a token in a file",
            Self::Command(command) => command.name(),
            Self::Spiffe(_) => "a workload with a SPIFFE identity",
            Self::Metadata(service) => service.name(),
        }
    }

    /// A token that says what the workload is, for this audience, asked for anew where that can be.
    pub(super) async fn assertion(
        &self,
        audience: &str,
        provider: &Provider,
    ) -> Result<Secret<Assertion>, HolderError> {
        match self {
            Self::Given(token) => Ok(Secret::from_text(token.expose_text().to_owned())),
            Self::File(path) => read(path),
            Self::Github { url, key } => {
                // SECURITY: the key is a bearer secret: it is shown over TLS, or to this machine alone.
                if url.scheme() != "https" && !is_loopback(url) {
                    let what = "ACTIONS_ID_TOKEN_REQUEST_URL is not https, and is not asked".to_owned();
                    return Err(HolderError::Usage { what });
                }
                let mut url = url.clone();
                url.query_pairs_mut().append_pair("audience", audience);
                provider.job_token(&url, key).await.map_err(|none| none.into_error(&url, audience))
            }
            Self::Command(command) => command.assertion(audience).await,
            Self::Spiffe(socket) => socket.assertion(audience).await,
            Self::Metadata(service) => service.assertion(audience, provider).await,
        }
    }
}

impl std::fmt::Debug for Ambient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

fn read(path: &Path) -> Result<Secret<Assertion>, HolderError> {
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
