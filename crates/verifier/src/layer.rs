//! The verifier as a `tower` layer: requests without a good token do not reach the service inside.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hallpass_model::time::Timestamp;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Request, Response};
use tower::{Layer, Service};

use crate::{Accepted, Incoming, ProvenKey, Refused, Scopes, StepUp, Verifier, dpop};

/// Tells the time, so that nothing here reads a clock of its own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Lets in only requests with a token that is good for this audience and has these scopes. The token's claims are
/// put into the request's extensions, as [`crate::AccessClaims`]; beside them, of a bound token, the [`ProvenKey`].
#[derive(Clone)]
pub struct RequireToken {
    verifier: Verifier,
    scopes: Arc<Scopes>,
    step_up: Option<Arc<StepUp>>,
    clock: Clock,
}

impl RequireToken {
    /// All of `scopes` are needed.
    pub fn new(verifier: Verifier, scopes: Scopes, clock: Clock) -> Self {
        Self { verifier, scopes: Arc::new(scopes), step_up: None, clock }
    }

    /// Also demands that the person proved who they are strongly, or lately, enough (RFC 9470).
    #[must_use]
    pub fn with_step_up(self, step_up: StepUp) -> Self {
        Self { step_up: Some(Arc::new(step_up)), ..self }
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

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that is ready goes with the request; its clone waits for the next.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let require = self.require.clone();
        Box::pin(async move {
            let now = (require.clock)();
            let (parts, body) = request.into_parts();
            let incoming = Incoming::new(&parts.method, &parts.uri, &parts.headers);
            let judged = match &require.step_up {
                None => require.verifier.accept(incoming, &require.scopes, now).await,
                Some(step_up) => {
                    require.verifier.accept_stepped_up(incoming, &require.scopes, step_up, now).await
                }
            };
            let accepted = match judged {
                Ok(accepted) => accepted,
                Err(refused) => return Ok(refusal(&require.verifier, &refused, now)),
            };
            let Accepted { claims, proven, new_nonce } = accepted;
            let mut request = Request::from_parts(parts, body);
            request.extensions_mut().insert(claims);
            if let Some(key) = proven {
                request.extensions_mut().insert(ProvenKey(key));
            }
            let mut response = inner.call(request).await?;
            if let Some(nonce) = new_nonce {
                let headers = response.headers_mut();
                headers.insert(dpop::NONCE, nonce);
                // A stored answer would bring an old nonce back (RFC 9449, section 8.2).
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            }
            Ok(response)
        })
    }
}

fn refusal<R: From<String>>(verifier: &Verifier, refused: &Refused, now: Timestamp) -> Response<R> {
    let mut response = Response::new(R::from(format!("{refused}\n")));
    *response.status_mut() = refused.why.status();
    let headers = response.headers_mut();
    headers.extend(verifier.refusal_headers(refused, now));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
