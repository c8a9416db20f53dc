//! A client for one API (feature `client`): reqwest, with a token that is good now in each request.
//!
//! - With a Hallpass issuer the token is bound to the sign-in's key, and each request carries a proof of its own
//!   (RFC 9449); an API's nonce is answered, once, where the body can be sent again.
//! - It is renewed before it is over, and replaced, once, when the API refuses it.
//! - It goes to the API's own origin and nowhere else. Redirects are not followed: they are answers, for the program to
//!   judge.

use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, DATE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, Request, RequestBuilder, Response};
use serde::Serialize;
use url::Url;

use crate::error::HolderError;
use crate::identity::Identity;
use crate::pass::PassRequest;
use crate::present::{Binding, Presentable, Told};
use crate::provider::{http_date, is_loopback};
use crate::{Clock, Holder};

/// A pass is used again while it is good for this much more, in seconds: the request must still be in time.
const IN_TIME_SECONDS: i64 = 30;

/// A client for one API. Cheap to clone: clones share the token and the connections.
#[derive(Clone)]
pub struct ApiClient(Arc<Inner>);

struct Inner {
    holder: Holder,
    identity: Identity,
    request: PassRequest,
    binding: Binding,
    base: Url,
    http: reqwest::Client,
    clock: Clock,
    current: tokio::sync::Mutex<Option<Presentable>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// There is no token to ask with.
    #[error(transparent)]
    Holder(#[from] HolderError),
    /// The network, TLS, or a request that is none.
    #[error("no answer: {0}")]
    Http(#[from] reqwest::Error),
    /// SECURITY: the address is not of the API that the token is for.
    #[error("`{origin}` is not where the API is")]
    Elsewhere {
        /// Where it leads.
        origin: String,
    },
    /// The address is none.
    #[error("`{address}` is not an address: {why}")]
    Address {
        /// As given.
        address: String,
        /// Why.
        why: url::ParseError,
    },
}

impl ApiClient {
    /// For the API that `request` names, with the tokens of a sign-in.
    ///
    /// # Errors
    /// `Usage` where no API is named that has an address, or the certificates that were named cannot be used.
    pub fn new(holder: &Holder, identity: &Identity, request: PassRequest) -> Result<Self, HolderError> {
        let usage = |what: String| HolderError::Usage { what };
        let named = request.resource.as_deref().ok_or_else(|| usage("the API must be named".into()))?;
        let base = Url::parse(named).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
        let base = base.ok_or_else(|| usage(format!("`{named}` is not where an API is; use `at`")))?;
        let (near, trust) = (is_loopback(&base), holder.trust());
        // Its connections are used again: no answer here is a token that could be lost.
        let client = trust.client(near).map_err(usage)?.user_agent(user_agent());
        let client = client.pool_max_idle_per_host(usize::MAX).build();
        Ok(Self(Arc::new(Inner {
            http: client.map_err(|why| usage(why.to_string()))?,
            holder: holder.clone(),
            identity: identity.clone(),
            clock: holder.clock.clone(),
            binding: Binding::AsSignedIn,
            current: tokio::sync::Mutex::default(),
            base,
            request,
        })))
    }

    /// The same at another address than the API's own identifier: that is where the token goes, and nowhere else.
    #[must_use]
    pub fn at(self, base: Url) -> Self {
        self.changed(|inner| inner.base = base)
    }

    /// The same with the token presented as this says: [`Binding::Bearer`] for an API that knows no proofs.
    #[must_use]
    pub fn presenting(self, binding: Binding) -> Self {
        self.changed(|inner| inner.binding = binding)
    }

    fn changed(self, change: impl FnOnce(&mut Inner)) -> Self {
        let shared = &self.0;
        let mut inner = Inner {
            holder: shared.holder.clone(),
            identity: shared.identity.clone(),
            request: shared.request.clone(),
            binding: shared.binding,
            base: shared.base.clone(),
            http: shared.http.clone(),
            clock: shared.clock.clone(),
            current: tokio::sync::Mutex::default(),
        };
        change(&mut inner);
        Self(Arc::new(inner))
    }

    /// A `GET`. The address may be relative to the API's.
    pub fn get(&self, address: &str) -> ApiRequest {
        self.request(Method::GET, address)
    }

    /// A `POST`.
    pub fn post(&self, address: &str) -> ApiRequest {
        self.request(Method::POST, address)
    }

    /// A `PUT`.
    pub fn put(&self, address: &str) -> ApiRequest {
        self.request(Method::PUT, address)
    }

    /// A `DELETE`.
    pub fn delete(&self, address: &str) -> ApiRequest {
        self.request(Method::DELETE, address)
    }

    /// A request of any method.
    pub fn request(&self, method: Method, address: &str) -> ApiRequest {
        let builder = self
            .0
            .base
            .join(address)
            .map_err(|why| ApiError::Address { address: address.to_owned(), why })
            .map(|url| self.0.http.request(method, url));
        ApiRequest { client: self.clone(), builder }
    }

    /// The connections alone: for what an API says of itself to anybody (RFC 9728). Nothing that is sent by it has a token.
    pub fn anonymous(&self) -> reqwest::Client {
        self.0.http.clone()
    }

    /// The same text without the token that is in use, if it is in there in any of the usual forms: for what an API answers,
    /// where somebody else reads it.
    #[cfg(feature = "exec")]
    pub async fn without_tokens(&self, text: &[u8]) -> Option<Vec<u8>> {
        let current = self.0.current.lock().await;
        let tokens = current.iter().map(|presentable| presentable.pass().token.expose());
        crate::exec::Words::of(tokens).taken_out_of(text)
    }

    /// Sends a request of reqwest's own making.
    ///
    /// # Errors
    /// `Elsewhere` if it is not for the API's origin; the holder's where there is no token; reqwest's. An answer of any
    /// status is an answer.
    pub async fn execute(&self, request: Request) -> Result<Response, ApiError> {
        if request.url().origin() != self.0.base.origin() {
            return Err(ApiError::Elsewhere { origin: request.url().origin().ascii_serialization() });
        }
        let mut presentable = self.presentable(None).await?;
        let (mut learned, mut renewed, mut next) = (false, false, Some(request));
        loop {
            let mut request = next.take().expect("each round has one");
            let again = request.try_clone();
            authorize(&mut request, &presentable)?;
            let answer = self.0.http.execute(request).await.map_err(reqwest::Error::without_url)?;
            let challenge = challenges(answer.headers());
            let told = told(&answer, &challenge);
            let helps = presentable.learn(&told) && !std::mem::replace(&mut learned, true);
            let Some(again) = again else { return Ok(answer) };
            if helps {
                next = Some(again);
            } else if told.refuses_token() && !std::mem::replace(&mut renewed, true) {
                presentable = self.presentable(Some(&presentable)).await?;
                next = Some(again);
            } else {
                return Ok(answer);
            }
        }
    }

    /// A pass that is good now; another one than `refused`.
    async fn presentable(&self, refused: Option<&Presentable>) -> Result<Presentable, HolderError> {
        let Inner { holder, identity, request, binding, clock, .. } = &*self.0;
        let mut current = self.0.current.lock().await;
        let in_time = |presentable: &&Presentable| {
            let expires = presentable.pass().expires;
            expires.is_none_or(|expires| clock().seconds() + IN_TIME_SECONDS < expires.seconds())
        };
        let other = |kept: &&Presentable| {
            refused.is_none_or(|refused| !kept.pass().token.matches(refused.pass().token.expose()))
        };
        if let Some(kept) = current.as_ref().filter(in_time).filter(other) {
            return Ok(kept.clone());
        }
        let fresh = match refused {
            None => holder.present(identity, request, *binding).await?,
            Some(refused) => holder.present_another(identity, request, *binding, refused).await?,
        };
        *current = Some(fresh.clone());
        Ok(fresh)
    }
}

impl std::fmt::Debug for ApiClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiClient").field("base", &self.0.base.as_str()).finish_non_exhaustive()
    }
}

/// A request to be sent: reqwest's builder, whose `send` adds the token.
#[derive(Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct ApiRequest {
    client: ApiClient,
    builder: Result<RequestBuilder, ApiError>,
}

impl ApiRequest {
    /// With a header.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.with(|builder| builder.header(name, value))
    }

    /// With a JSON body.
    pub fn json<T: Serialize + ?Sized>(self, body: &T) -> Self {
        self.with(|builder| builder.json(body))
    }

    /// With a body that is text.
    pub fn body(self, text: &str) -> Self {
        let text = text.to_owned();
        self.with(|builder| builder.body(text))
    }

    /// With whatever else reqwest can do.
    pub fn with(self, change: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Self {
        Self { client: self.client, builder: self.builder.map(change) }
    }

    /// Sends it, and once more where the API's nonce, its clock or another token helps.
    ///
    /// # Errors
    /// Those of [`ApiClient::execute`].
    pub async fn send(self) -> Result<Response, ApiError> {
        let request = self.builder?.build().map_err(reqwest::Error::without_url)?;
        self.client.execute(request).await
    }
}

/// SECURITY: marked, so that no debug output of a request shows them.
fn authorize(request: &mut Request, presentable: &Presentable) -> Result<(), HolderError> {
    let headers = presentable.headers(request.method().as_str(), request.url())?;
    let secret = |text: &str| {
        let mut value = HeaderValue::from_str(text)
            .map_err(|_| HolderError::Usage { what: "the token does not fit into a header".into() })?;
        value.set_sensitive(true);
        Ok::<_, HolderError>(value)
    };
    let authorization = secret(headers.authorization.expose_text())?;
    request.headers_mut().insert(AUTHORIZATION, authorization);
    if let Some(proof) = &headers.proof {
        let proof = secret(proof)?;
        request.headers_mut().insert("dpop", proof);
    }
    Ok(())
}

fn challenges(headers: &HeaderMap) -> String {
    let each = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    each.collect::<Vec<_>>().join("\n")
}

fn told<'a>(answer: &'a Response, challenge: &'a str) -> Told<'a> {
    let text = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    Told {
        status: answer.status().as_u16(),
        challenge,
        nonce: text("dpop-nonce"),
        date: text(DATE.as_str()).and_then(http_date),
    }
}

fn user_agent() -> String {
    concat!("hallpass-holder/", env!("CARGO_PKG_VERSION")).to_owned()
}
