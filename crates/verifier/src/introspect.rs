//! Asking the issuer about a token (RFC 7662), for exact revocation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hallpass_model::jose::{BadKey, SigningKey};
use hallpass_model::random::{Entropy, SystemEntropy};
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_model::wire::assertion::{ASSERTION_TYPE, assertion};
use hallpass_model::wire::oauth::IntrospectionResponse;
use tokio::sync::OnceCell;

use crate::Rejection;
use crate::fetch::{FetchError, Fetcher};

/// An assertion of ours is made for one request, sent at once.
const ASSERTION_LIFE: Lifetime = Lifetime::seconds(60);

/// The service client by which this resource asks: its `client_id` and its key (`private_key_jwt`).
#[derive(Clone)]
pub struct ClientKey {
    id: String,
    key: Arc<SigningKey>,
}

impl ClientKey {
    /// From the client's `client_id` and its PKCS#8 key document.
    pub fn new(client_id: impl Into<String>, pkcs8: &[u8]) -> Result<Self, BadKey> {
        Ok(Self { id: client_id.into(), key: Arc::new(SigningKey::from_pkcs8(pkcs8)?) })
    }
}

#[derive(Clone)]
pub(crate) struct Introspection {
    client: ClientKey,
    issuer: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    fetcher: OnceCell<(Fetcher, String)>,
    /// With the random start, makes every assertion's `jti` new.
    count: AtomicU64,
}

impl Introspection {
    pub(crate) fn new(issuer: &str, client: ClientKey) -> Self {
        let mut start = [0u8; 8];
        SystemEntropy.fill(&mut start);
        let state = State { count: AtomicU64::new(u64::from_le_bytes(start)), ..State::default() };
        Self { client, issuer: issuer.to_owned(), state: Arc::new(state) }
    }

    /// Nothing if the issuer says that the token is good now.
    pub(crate) async fn ask(&self, token: &str, now: Timestamp) -> Result<(), Rejection> {
        match self.answer(token, now).await {
            Ok(answer) if answer.active => Ok(()),
            Ok(_) => Err(Rejection::Revoked),
            Err(why) => Err(Rejection::Unavailable(why.to_string())),
        }
    }

    async fn answer(&self, token: &str, now: Timestamp) -> Result<IntrospectionResponse, FetchError> {
        let (fetcher, endpoint) = self.state.fetcher.get_or_try_init(|| self.find_endpoint()).await?;
        let jti = format!("{:016x}{}", self.state.count.fetch_add(1, Ordering::Relaxed), now.millis());
        let ClientKey { id, key } = &self.client;
        let assertion = assertion(key, id, &self.issuer, &jti, now, ASSERTION_LIFE);
        let form = [
            ("token", token),
            ("token_type_hint", "access_token"),
            ("client_id", id.as_str()),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion.as_str()),
        ];
        let body = fetcher.body(fetcher.post(endpoint, &form)).await?;
        IntrospectionResponse::parse(&body).map_err(|_| FetchError::Missing("introspection answer"))
    }

    async fn find_endpoint(&self) -> Result<(Fetcher, String), FetchError> {
        let fetcher = Fetcher::new(&self.issuer)?;
        let endpoint = fetcher.metadata().await?.introspection_endpoint;
        Ok((fetcher, endpoint.ok_or(FetchError::Missing("introspection_endpoint"))?.to_string()))
    }
}
