//! Keys of outside issuers: fetched through a guard, kept, and fetched again at a bounded rate.
//!
//! 1. Only what a trust names is fetched, so no stranger chooses an address.
//! 2. One fetch at a time for each source: ten thousand jobs that come at once wait for the same one.
//! 3. Keys are good for [`KEYS_FRESH`]; a key id that is not among them is worth another fetch, but none more often than
//!    every [`FETCH_REST`].
//! 4. An issuer that does not answer stops nobody for [`KEYS_STALE`]: its last keys stand so long.

mod guard; // where may be asked
mod fetch; // one document, bounded in time and size

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hallpass_model::jose::JwkSet;
use hallpass_model::trust::{IssuerKeys, Trust};
use tokio::sync::Mutex as AsyncMutex;

use crate::network::Network;
use fetch::Fetcher;
pub(crate) use fetch::NotFetched;

/// How long keys are taken as they were fetched: a key that an issuer withdraws is believed so much longer.
const KEYS_FRESH: Duration = Duration::from_secs(15 * 60);
/// How long they stand when the issuer cannot be asked: a bad afternoon of its, not a bad week.
const KEYS_STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long an issuer is left alone after it was asked, whatever it said: made-up key ids must not become a flood.
const FETCH_REST: Duration = Duration::from_secs(30);
/// Sources whose keys are kept: as many issuers as a large organisation has clusters. Beyond it all are forgotten.
const SOURCES_MAX: usize = 1_024;

/// The keys of outside issuers.
pub(crate) struct Outside {
    fetcher: Fetcher,
    sources: Mutex<HashMap<Source, Arc<AsyncMutex<Kept>>>>,
}

/// Where keys come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Source {
    /// Where this issuer's discovery document says.
    Discovered(String),
    /// This address.
    At(String),
}

/// What is known of one source.
#[derive(Default)]
struct Kept {
    keys: Option<(Arc<JwkSet>, Instant)>,
    asked: Option<Instant>,
    failed: Option<NotFetched>,
}

impl Outside {
    pub(crate) fn new(networks: Vec<Network>) -> Self {
        Self { fetcher: Fetcher::new(networks), sources: Mutex::default() }
    }

    /// The keys of a trust's issuer. `kid` is the key a token says it was signed with: if it is not among those that are
    /// kept, they may be older than it.
    pub(crate) async fn keys(&self, trust: &Trust, kid: Option<&str>) -> Result<Arc<JwkSet>, NotFetched> {
        let source = match &trust.keys {
            IssuerKeys::Given(keys) => return Ok(Arc::new(keys.clone())),
            IssuerKeys::At(url) => Source::At(url.clone()),
            IssuerKeys::Discovered => Source::Discovered(trust.rule.issuer.clone()),
        };
        let turn = self.turn(&source);
        let mut kept = turn.lock().await;
        if let Some((keys, at)) = &kept.keys
            && at.elapsed() < KEYS_FRESH
            && kid.is_none_or(|kid| keys.has(kid))
        {
            return Ok(keys.clone());
        }
        if kept.asked.is_none_or(|asked| asked.elapsed() >= FETCH_REST) {
            let fetched = self.fetcher.keys(&source).await;
            kept.asked = Some(Instant::now());
            match fetched {
                Ok(keys) => {
                    kept.keys = Some((Arc::new(keys), Instant::now()));
                    kept.failed = None;
                }
                Err(error) => {
                    tracing::warn!(error.because = %error, "the keys of an outside issuer cannot be fetched");
                    kept.failed = Some(error);
                }
            }
        }
        match (&kept.keys, &kept.failed) {
            (Some((keys, at)), _) if at.elapsed() < KEYS_STALE => Ok(keys.clone()),
            (_, Some(failed)) => Err(failed.clone()),
            _ => Err(NotFetched::Silent),
        }
    }

    fn turn(&self, source: &Source) -> Arc<AsyncMutex<Kept>> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.len() >= SOURCES_MAX && !sources.contains_key(source) {
            sources.clear();
        }
        sources.entry(source.clone()).or_default().clone()
    }
}
