//! The issuer's keys: given by the caller, or fetched and kept.

use std::sync::Arc;

use hallpass_model::jose::JwkSet;
use hallpass_model::time::Timestamp;

use crate::Rejection;

#[derive(Clone)]
pub(crate) enum Keys {
    Given(JwkSet),
    #[cfg(feature = "fetch")]
    Fetched(Fetched),
}

impl Keys {
    /// The keys known now.
    pub(crate) fn known(&self) -> Arc<JwkSet> {
        match self {
            Keys::Given(keys) => Arc::new(keys.clone()),
            #[cfg(feature = "fetch")]
            Keys::Fetched(fetched) => fetched.known(),
        }
    }

    /// Looks for keys that are not known yet. `false`: there are none to look for now.
    pub(crate) async fn renew(&self, now: Timestamp) -> Result<bool, Rejection> {
        match self {
            Keys::Given(_) => {
                let _ = now;
                Ok(false)
            }
            #[cfg(feature = "fetch")]
            Keys::Fetched(fetched) => fetched.renew(now).await,
        }
    }
}

#[cfg(feature = "fetch")]
pub(crate) use fetched::Fetched;

#[cfg(feature = "fetch")]
mod fetched {
    use std::sync::{Arc, RwLock};

    use hallpass_model::jose::JwkSet;
    use hallpass_model::time::{Lifetime, Timestamp};
    use tokio::sync::Mutex;

    use crate::Rejection;
    use crate::fetch::{FetchError, Fetcher};

    /// Keys are asked for again at most this often, whoever sends tokens with made-up key ids.
    pub(crate) const REFETCH_INTERVAL: Lifetime = Lifetime::seconds(10);

    /// Keys fetched from the issuer. Those known stay good while the issuer cannot be reached.
    #[derive(Clone)]
    pub(crate) struct Fetched(Arc<State>);

    struct State {
        fetcher: Fetcher,
        known: RwLock<Arc<JwkSet>>,
        /// When they were last asked for. Held while asking, so that many requests make one fetch.
        asked: Mutex<Option<Timestamp>>,
    }

    impl Fetched {
        pub(crate) fn new(issuer: &str) -> Result<Self, FetchError> {
            Ok(Self(Arc::new(State {
                fetcher: Fetcher::new(issuer)?,
                known: RwLock::default(),
                asked: Mutex::new(None),
            })))
        }

        pub(crate) fn known(&self) -> Arc<JwkSet> {
            self.0.known.read().expect("no holder of this lock panics").clone()
        }

        pub(crate) async fn renew(&self, now: Timestamp) -> Result<bool, Rejection> {
            let before = self.known();
            let mut asked = self.0.asked.lock().await;
            if !Arc::ptr_eq(&before, &self.known()) {
                return Ok(true); // somebody else fetched while we waited
            }
            // With keys in hand an unknown one is a bad token; without any, nothing can be judged.
            let none = before.keys().is_empty();
            if asked.is_some_and(|at| now.since(at) < REFETCH_INTERVAL) {
                let why = "its keys are not known, and were asked for just now";
                return if none { Err(Rejection::Unavailable(why.to_owned())) } else { Ok(false) };
            }
            *asked = Some(now);
            match self.0.fetcher.keys().await {
                Ok(keys) if none && keys.keys().is_empty() => {
                    Err(Rejection::Unavailable("it publishes no keys".to_owned()))
                }
                Ok(keys) => {
                    *self.0.known.write().expect("no holder of this lock panics") = Arc::new(keys);
                    Ok(true)
                }
                Err(why) if none => Err(Rejection::Unavailable(why.to_string())),
                Err(_) => Ok(false),
            }
        }
    }
}
