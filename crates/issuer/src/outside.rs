//! Keys of outside issuers, and of clients that publish theirs: fetched through a guard, kept, and fetched again at a
//! bounded rate.
//!
//! 1. Only what a trust or a client's registration names is fetched, so no stranger chooses an address.
//! 2. One fetch at a time for each source: ten thousand jobs that come at once wait for the same one.
//! 3. Keys are good for [`KEYS_FRESH`]; a key id that is not among them is worth another fetch, but none more often than
//!    every [`FETCH_REST`].
//! 4. A client's own document is fetched only from a host that its org named, and read anew as often as keys are.
//! 5. An issuer that does not answer stops nobody for [`KEYS_STALE`]: its last keys stand so long.

mod guard; // where may be asked
mod fetch; // one document, bounded in time and size

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hallpass_model::jose::JwkSet;
use hallpass_model::trust::{IssuerKeys, Trust};
use hallpass_model::wire::client_document::{BadDocument, ClientDocument, DOCUMENT_LEN_MAX, DocumentUrl};
use hallpass_model::wire::metadata::{IssuerMetadata, oidc_url};
use tokio::sync::Mutex as AsyncMutex;
use url::Url;
use zeroize::Zeroizing;

use fetch::Fetcher;
pub(crate) use fetch::NotFetched;
pub use fetch::{BadRoots, OutsideRoots};
use hallpass_model::network::Network;

/// How long keys are taken as they were fetched: a key that an issuer withdraws is believed so much longer.
const KEYS_FRESH: Duration = Duration::from_secs(15 * 60);
/// How long they stand when the issuer cannot be asked: a bad afternoon of its, not a bad week.
const KEYS_STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long an issuer is left alone after it was asked, whatever it said: made-up key ids must not become a flood.
const FETCH_REST: Duration = Duration::from_secs(30);
/// What an issuer says of itself, and what its token endpoint answers, at most: far more than any does.
const METADATA_LEN_MAX: usize = 256 * 1024;
/// Sources whose keys are kept: as many issuers as a large organisation has clusters. Beyond it all are forgotten.
const SOURCES_MAX: usize = 1_024;

/// The keys of outside issuers.
pub(crate) struct Outside {
    fetcher: Fetcher,
    sources: Mutex<HashMap<Source, Arc<Turn>>>,
    documents: Mutex<HashMap<DocumentUrl, Arc<AsyncMutex<Read>>>>,
}

/// When a client's document was last asked for, and what came of that.
#[derive(Default)]
pub(crate) struct Read {
    asked: Option<Instant>,
    heard: Option<Result<ClientDocument, NotRead>>,
}

/// Why there is nothing of a client's document.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum NotRead {
    /// It is not to be had.
    #[error(transparent)]
    Fetched(#[from] NotFetched),
    /// It is no document of that client's.
    #[error("the document at the client_id is not taken: {0}")]
    Document(#[from] BadDocument),
}

/// Where keys come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Source {
    /// Where this issuer's discovery document says.
    Discovered(String),
    /// This address.
    At(String),
}

/// One source: what is known of it, and whose turn it is to ask it.
#[derive(Default)]
struct Turn {
    kept: Mutex<Kept>,
    asking: AsyncMutex<()>,
}

/// What is known of one source.
#[derive(Default)]
struct Kept {
    keys: Option<(Arc<JwkSet>, Instant)>,
    asked: Option<Instant>,
    failed: Option<NotFetched>,
}

impl Outside {
    pub(crate) fn new(networks: Vec<Network>, roots: OutsideRoots) -> Self {
        Self {
            fetcher: Fetcher::new(networks, roots),
            sources: Mutex::default(),
            documents: Mutex::default(),
        }
    }

    /// The keys of a trust's issuer. `kid` is the key a token says it was signed with: if it is not among those that are
    /// kept, they may be older than it.
    pub(crate) async fn keys(&self, trust: &Trust, kid: Option<&str>) -> Result<Arc<JwkSet>, NotFetched> {
        match &trust.keys {
            IssuerKeys::Given(keys) => Ok(Arc::new(keys.clone())),
            IssuerKeys::At(url) => self.keys_at(url, kid).await,
            IssuerKeys::Discovered => self.keys_of(Source::Discovered(trust.rule.issuer.clone()), kid).await,
        }
    }

    /// The keys that are published at this address: a trust's, or a client's own.
    pub(crate) async fn keys_at(&self, url: &str, kid: Option<&str>) -> Result<Arc<JwkSet>, NotFetched> {
        self.keys_of(Source::At(url.to_owned()), kid).await
    }

    /// A client's document, and whether it was read just now: what was read last is fresh for a while.
    ///
    /// One asks, and the others wait for what it hears. What failed is left alone for a while, and told again.
    pub(crate) async fn document(&self, url: &DocumentUrl) -> Result<(ClientDocument, bool), NotRead> {
        let turn = {
            let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
            if documents.len() >= SOURCES_MAX && !documents.contains_key(url) {
                documents.clear();
            }
            documents.entry(url.clone()).or_default().clone()
        };
        let mut read = turn.lock().await;
        if let (Some(asked), Some(heard)) = (read.asked, &read.heard) {
            let rest = if heard.is_ok() { KEYS_FRESH } else { FETCH_REST };
            if asked.elapsed() < rest {
                return heard.clone().map(|document| (document, false));
            }
        }
        let body = self.fetcher.body(url.as_str(), DOCUMENT_LEN_MAX).await;
        let document = body.map_err(NotRead::from).and_then(|body| Ok(ClientDocument::read(url, &body)?));
        read.asked = Some(Instant::now());
        read.heard = Some(document.clone());
        document.map(|document| (document, true))
    }

    /// What an issuer says of itself (OIDC Discovery, section 4): which endpoints it has.
    pub(crate) async fn metadata(&self, issuer: &str) -> Result<IssuerMetadata, NotFetched> {
        let at = oidc_url(issuer).map_err(|bad| NotFetched::Answer {
            url: issuer.to_owned(),
            why: format!("nothing, as no issuer is called so: {bad}"),
        })?;
        let body = self.fetcher.body(at.as_str(), METADATA_LEN_MAX).await?;
        IssuerMetadata::parse(&body, issuer)
            .map_err(|bad| NotFetched::Answer { url: at.to_string(), why: bad.to_string() })
    }

    /// The keys that an issuer of this name publishes.
    pub(crate) async fn keys_of_issuer(
        &self,
        issuer: &str,
        kid: Option<&str>,
    ) -> Result<Arc<JwkSet>, NotFetched> {
        self.keys_of(Source::Discovered(issuer.to_owned()), kid).await
    }

    /// What is answered to a form at an endpoint of an issuer's.
    pub(crate) async fn post(
        &self,
        at: &Url,
        form: &[(&'static str, Zeroizing<String>)],
    ) -> Result<(u16, Vec<u8>), NotFetched> {
        self.fetcher.post(at, form, METADATA_LEN_MAX).await
    }

    /// The keys there now, asked for by the operator: nothing is kept.
    pub(crate) async fn look_at(&self, url: &str) -> Result<JwkSet, NotFetched> {
        self.fetcher.keys(&Source::At(url.to_owned())).await
    }

    async fn keys_of(&self, source: Source, kid: Option<&str>) -> Result<Arc<JwkSet>, NotFetched> {
        let turn = self.turn(&source);
        if let Some(keys) = turn.kept().fresh(kid) {
            return Ok(keys);
        }
        // One asks, and the others wait for what it hears; who names a key that is known does not.
        let _asking = turn.asking.lock().await;
        if let Some(keys) = turn.kept().fresh(kid) {
            return Ok(keys);
        }
        if turn.kept().may_be_asked() {
            let fetched = self.fetcher.keys(&source).await;
            turn.kept().heard(fetched);
        }
        turn.kept().stale()
    }

    fn turn(&self, source: &Source) -> Arc<Turn> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.len() >= SOURCES_MAX && !sources.contains_key(source) {
            sources.clear();
        }
        sources.entry(source.clone()).or_default().clone()
    }
}

impl Turn {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// The keys, if they are new enough and the one that is named is among them.
    fn fresh(&self, kid: Option<&str>) -> Option<Arc<JwkSet>> {
        let (keys, at) = self.keys.as_ref()?;
        let fits = at.elapsed() < KEYS_FRESH && kid.is_none_or(|kid| keys.has(kid));
        fits.then(|| keys.clone())
    }

    fn may_be_asked(&self) -> bool {
        self.asked.is_none_or(|asked| asked.elapsed() >= FETCH_REST)
    }

    fn heard(&mut self, fetched: Result<JwkSet, NotFetched>) {
        self.asked = Some(Instant::now());
        match fetched {
            Ok(keys) => {
                self.keys = Some((Arc::new(keys), Instant::now()));
                self.failed = None;
            }
            Err(error) => {
                tracing::warn!(error.because = %error, "keys that are published elsewhere cannot be fetched");
                self.failed = Some(error);
            }
        }
    }

    /// The keys as they were last heard of, for as long as a source may be silent.
    fn stale(&self) -> Result<Arc<JwkSet>, NotFetched> {
        match (&self.keys, &self.failed) {
            (Some((keys, at)), _) if at.elapsed() < KEYS_STALE => Ok(keys.clone()),
            (_, Some(failed)) => Err(failed.clone()),
            _ => Err(NotFetched::Silent),
        }
    }
}
