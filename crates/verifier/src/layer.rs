//! The verifier as a `tower` layer: requests without a good token do not reach the service inside.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hallpass_model::time::Timestamp;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response};
use tower::{Layer, Service};

use crate::{Rejection, Scopes, Verifier};

/// Tells the time, so that nothing here reads a clock of its own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Lets in only requests with a token that is good for this audience and has these scopes. The token's claims are
/// put into the request's extensions, as [`crate::AccessClaims`].
#[derive(Clone)]
pub struct RequireToken {
    verifier: Verifier,
    scopes: Arc<Scopes>,
    clock: Clock,
}

impl RequireToken {
    /// All of `scopes` are needed.
    pub fn new(verifier: Verifier, scopes: Scopes, clock: Clock) -> Self {
        Self { verifier, scopes: Arc::new(scopes), clock }
    }
}

impl<S> Layer<S> for RequireToken {
    type Service = Guarded<S>;
    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { require: self.clone(), inner }
    }
}

/// A service behind [`RequireToken`].
#[derive(Clone)]
pub struct Guarded<S> {
    require: RequireToken,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The one that is ready goes with the request; its clone waits for the next.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let require = self.require.clone();
        Box::pin(async move {
            let now = (require.clock)();
            match require.verifier.accept(request.headers(), &require.scopes, now).await {
                Ok(claims) => {
                    request.extensions_mut().insert(claims);
                    inner.call(request).await
                }
                Err(rejection) => Ok(answer(&rejection, require.verifier.audience())),
            }
        })
    }
}

fn answer<R: From<String>>(rejection: &Rejection, realm: &str) -> Response<R> {
    let mut response = Response::new(R::from(format!("{rejection}\n")));
    *response.status_mut() = rejection.status();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if let Some(challenge) = rejection.challenge(realm) {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    response
}
