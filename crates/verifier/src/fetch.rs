//! The one HTTP client of the verifier: no redirects, bounded time and size.

use std::time::Duration;

use hallpass_model::jose::JwkSet;
use hallpass_model::wire::metadata::{self, BadIssuer, IssuerMetadata};

/// An issuer that takes longer than this is as good as gone.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Metadata and key sets of real issuers are a few kilobytes.
const BODY_MAX: usize = 256 * 1024;

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The issuer is not one, or its metadata is not its own.
    #[error(transparent)]
    Issuer(#[from] BadIssuer),
    /// The network, TLS or time.
    #[error("no answer: {0}")]
    Http(#[from] reqwest::Error),
    /// An answer other than 200.
    #[error("the answer was {0}")]
    Status(u16),
    /// More than `BODY_MAX`.
    #[error("the answer is too large")]
    TooLarge,
    /// The metadata names no such endpoint, or the document is not what it should be.
    #[error("the issuer publishes no usable {0}")]
    Missing(&'static str),
}

#[derive(Clone)]
pub(crate) struct Fetcher {
    http: reqwest::Client,
    issuer: String,
}

impl Fetcher {
    pub(crate) fn new(issuer: &str) -> Result<Self, FetchError> {
        metadata::issuer_url(issuer)?;
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .connect_timeout(TIMEOUT)
            .build()?;
        Ok(Self { http, issuer: issuer.to_owned() })
    }

    pub(crate) async fn keys(&self) -> Result<JwkSet, FetchError> {
        let uri = self.metadata().await?.jwks_uri.ok_or(FetchError::Missing("jwks_uri"))?;
        let body = self.body(self.http.get(uri)).await?;
        parse_keys(&body)
    }

    pub(crate) async fn metadata(&self) -> Result<IssuerMetadata, FetchError> {
        let body = self.body(self.http.get(metadata::rfc8414_url(&self.issuer)?)).await?;
        Ok(IssuerMetadata::parse(&body, &self.issuer)?)
    }

    pub(crate) fn post(&self, url: &str, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
        self.http.post(url).form(form)
    }

    pub(crate) async fn body(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, FetchError> {
        let mut answer = request.send().await?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > BODY_MAX {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

fn parse_keys(body: &[u8]) -> Result<JwkSet, FetchError> {
    serde_json::from_slice(body).map_err(|_| FetchError::Missing("key set"))
}
