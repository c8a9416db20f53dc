//! One document of an outside issuer, bounded in time and size, from where the guard permits.

use std::sync::OnceLock;
use std::time::Duration;

use hallpass_model::jose::JwkSet;
use hallpass_model::network::Network;
use reqwest::{Client, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;
use zeroize::Zeroizing;

use super::Source;
use super::guard::Guard;

/// A whole answer must have come after this: a job waits for it.
const TIME_OUT: Duration = Duration::from_secs(5);
/// And a connection after this.
const CONNECT_TIME_OUT: Duration = Duration::from_secs(2);
/// A document at most, in bytes: the largest key sets there are have a tenth of it.
const DOCUMENT_LEN_MAX: usize = 256 * 1024;
/// Who asks.
const USER_AGENT: &str = concat!("hallpass/", env!("CARGO_PKG_VERSION"));

/// Why an outside issuer's keys are not to be had.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum NotFetched {
    /// The address is one that is never asked.
    #[error("`{url}` is not asked: {why}")]
    Forbidden {
        /// The address.
        url: String,
        /// Why.
        why: &'static str,
    },
    /// It could not be reached, or did not answer in time.
    #[error("`{url}` cannot be reached: {why}")]
    Unreachable {
        /// The address.
        url: String,
        /// Why: the innermost cause.
        why: String,
    },
    /// It answered something else than the document.
    #[error("`{url}` answered {why}")]
    Answer {
        /// The address.
        url: String,
        /// What.
        why: String,
    },
    /// It was asked a moment ago, and is left alone for a while.
    #[error("the issuer was asked a moment ago")]
    Silent,
}

/// Authorities whose certificates are believed of outside issuers, beside the system's: an organisation's own.
#[derive(Debug, Clone, Default)]
pub struct OutsideRoots(Vec<reqwest::Certificate>);

/// A file holds no certificate that could be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it holds no PEM certificate that can be read")]
pub struct BadRoots;

impl OutsideRoots {
    /// Reads certificates from PEM.
    ///
    /// # Errors
    /// Where there is none.
    pub fn from_pem(pem: &[u8]) -> Result<Self, BadRoots> {
        let read = reqwest::Certificate::from_pem_bundle(pem).map_err(|_| BadRoots)?;
        if read.is_empty() { Err(BadRoots) } else { Ok(Self(read)) }
    }
}

/// Whoever fetches.
pub(super) struct Fetcher {
    guard: Guard,
    roots: OutsideRoots,
    /// Made when first used: most servers have no trust, and reading the system's certificates takes some milliseconds.
    client: OnceLock<Client>,
}

/// The members of a discovery document that are needed (OpenID Connect Discovery, section 3).
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Fetcher {
    pub(super) fn new(networks: Vec<Network>, roots: OutsideRoots) -> Self {
        Self { guard: Guard::new(networks), roots, client: OnceLock::new() }
    }

    /// The keys that this source publishes now.
    pub(super) async fn keys(&self, source: &Source) -> Result<JwkSet, NotFetched> {
        let at = match source {
            Source::At(url) => url.clone(),
            Source::Discovered(issuer) => self.discover(issuer).await?,
        };
        let keys: JwkSet = self.document(&at).await?;
        match keys.keys().is_empty() {
            true => Err(NotFetched::Answer { url: at, why: "a set without a key that signs".to_owned() }),
            false => Ok(keys),
        }
    }

    async fn discover(&self, issuer: &str) -> Result<String, NotFetched> {
        // OpenID Connect Discovery, section 4: appended, after a slash that the issuer may end in was taken away.
        let at = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let discovery: Discovery = self.document(&at).await?;
        // SECURITY: byte for byte (section 4.3): a document of another issuer's would bring another's keys.
        match discovery.issuer == issuer {
            true => Ok(discovery.jwks_uri),
            false => Err(NotFetched::Answer { url: at, why: "the document of another issuer".to_owned() }),
        }
    }

    async fn document<T: DeserializeOwned>(&self, at: &str) -> Result<T, NotFetched> {
        let body = self.body(at, DOCUMENT_LEN_MAX).await?;
        serde_json::from_slice(&body).map_err(|_| NotFetched::Answer {
            url: at.to_owned(),
            why: "something that is not the document".to_owned(),
        })
    }

    /// What is answered there, whole and no longer than `most` bytes.
    pub(super) async fn body(&self, at: &str, most: usize) -> Result<Vec<u8>, NotFetched> {
        let url: Url = at
            .parse()
            .map_err(|_| NotFetched::Forbidden { url: at.to_owned(), why: "it is not an absolute URL" })?;
        self.guard.judge(&url)?;
        let response = self.client()?.get(url).send().await.map_err(|error| unreachable(at, &error))?;
        // A redirect counts among them: none is followed, wherever it leads.
        if response.status() != http::StatusCode::OK {
            let why = format!("with status {}", response.status().as_u16());
            return Err(NotFetched::Answer { url: at.to_owned(), why });
        }
        whole(response, at, most).await
    }

    /// What is answered to a form there, and with what status.
    pub(super) async fn post(
        &self,
        at: &Url,
        form: &[(&'static str, Zeroizing<String>)],
        most: usize,
    ) -> Result<(u16, Vec<u8>), NotFetched> {
        self.guard.judge(at)?;
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form.iter().map(|(name, value)| (*name, value.as_str())))
            .finish();
        let request = self.client()?.post(at.clone()).body(body);
        let request = request
            .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(http::header::ACCEPT, "application/json");
        let response = request.send().await.map_err(|error| unreachable(at.as_str(), &error))?;
        let status = response.status().as_u16();
        Ok((status, whole(response, at.as_str(), most).await?))
    }

    fn client(&self) -> Result<&Client, NotFetched> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let roots = self.roots.0.iter().cloned();
        let made = roots
            .fold(Client::builder(), reqwest::ClientBuilder::add_root_certificate)
            .user_agent(USER_AGENT)
            .timeout(TIME_OUT)
            .connect_timeout(CONNECT_TIME_OUT)
            .redirect(redirect::Policy::none())
            // A proxy would resolve names itself, past the guard.
            .no_proxy()
            .dns_resolver(self.guard.clone())
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| NotFetched::Unreachable { url: String::new(), why: innermost(&error) })?;
        Ok(self.client.get_or_init(|| made))
    }
}

/// A body to its end, if that comes before `most` bytes are over.
async fn whole(mut response: reqwest::Response, at: &str, most: usize) -> Result<Vec<u8>, NotFetched> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| unreachable(at, &error))? {
        if body.len() + piece.len() > most {
            return Err(NotFetched::Answer {
                url: at.to_owned(),
                why: format!("more than {} KiB", most / 1024),
            });
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

fn unreachable(at: &str, error: &reqwest::Error) -> NotFetched {
    NotFetched::Unreachable { url: at.to_owned(), why: innermost(error) }
}

/// The innermost cause of an error: the outer ones repeat the address.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
