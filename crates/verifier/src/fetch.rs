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
        let mut http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .connect_timeout(TIMEOUT);
        // SECURITY: plain http leads to this machine's loopback alone. A proxy would read tokens and assertions off it.
        // An issuer that is not on loopback has no endpoint there (`IssuerMetadata::parse`).
        if metadata::issuer_url(issuer)?.scheme() == "http" {
            http = http.no_proxy();
        }
        Ok(Self { http: http.build()?, issuer: issuer.to_owned() })
    }

    pub(crate) async fn keys(&self) -> Result<JwkSet, FetchError> {
        let uri = self.metadata().await?.jwks_uri.ok_or(FetchError::Missing("jwks_uri"))?;
        let body = self.body(self.http.get(uri)).await?;
        parse_keys(&body)
    }

    /// RFC 8414's place first, then OIDC Discovery's. Whichever is taken names this issuer, byte for byte.
    pub(crate) async fn metadata(&self) -> Result<IssuerMetadata, FetchError> {
        let first = match self.metadata_at(metadata::rfc8414_url(&self.issuer)?).await {
            // Some answer with a page of their own where nothing is.
            Err(nothing @ (FetchError::Status(_) | FetchError::Issuer(BadIssuer::Document(_)))) => nothing,
            found => return found,
        };
        match self.metadata_at(metadata::oidc_url(&self.issuer)?).await {
            Err(FetchError::Status(_)) => Err(first),
            found => found,
        }
    }

    async fn metadata_at(&self, url: impl reqwest::IntoUrl) -> Result<IssuerMetadata, FetchError> {
        let body = self.body(self.http.get(url)).await?;
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
