//! APIs as `hallpass curl` meets them: one that takes bound tokens, and one that takes whatever comes.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::any;
use hallpass_model::time::Lifetime;
use hallpass_verifier::layer::RequireToken;
use hallpass_verifier::{Dpop, ProvenKey, Verifier};

use super::machine::now;

/// What an API saw of a request.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    /// Whether its token stood in any process's arguments just then.
    pub(super) in_arguments: bool,
    /// Or in the environment of a curl.
    pub(super) in_environment: bool,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(super) fn scheme(&self) -> Option<&str> {
        self.header("authorization")?.split(' ').next()
    }
}

/// An API on a port of its own.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// What an API is like.
#[derive(Default, Clone)]
pub(super) struct Kind {
    pub(super) nonces: bool,
    /// Takes bearer tokens alone, and has never heard of proofs.
    pub(super) bearer_only: bool,
    /// Its clock is ahead of ours by so much.
    pub(super) ahead_by_seconds: u32,
    /// Refuses the first token that comes, as if it had been cut.
    pub(super) refuses_first: bool,
    /// Where `/elsewhere` redirects to.
    pub(super) elsewhere: String,
}

impl Api {
    /// One that judges tokens of `issuer`.
    pub(super) async fn start(issuer: &str, kind: Kind) -> Self {
        let (listener, api) = Self::bind().await;
        let mut verifier = Verifier::discover(issuer, &api.url).unwrap();
        if !kind.bearer_only {
            let dpop = Dpop::at(&api.url).unwrap();
            verifier = verifier.with_dpop(if kind.nonces { dpop.with_nonces(&[7; 32]) } else { dpop });
        }
        let ahead = Lifetime::seconds(kind.ahead_by_seconds);
        let clock = Arc::new(move || now() + ahead);
        let layer = RequireToken::new(verifier, "notes:read".parse().unwrap(), clock);
        let (elsewhere, refused) = (kind.elsewhere.clone(), Arc::new(Mutex::new(!kind.refuses_first)));
        let router = Router::new()
            .route("/here", any(|| async { Redirect::temporary("/notes") }))
            .route("/elsewhere", any(move || async move { Redirect::to(&elsewhere) }))
            .fallback(any(answer))
            .layer(layer)
            .layer(middleware::from_fn(move |request: Request, next: Next| {
                let first = !std::mem::replace(&mut *refused.lock().unwrap(), true);
                async move {
                    if first {
                        let challenge = r#"DPoP algs="ES256", error="invalid_token""#;
                        return (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response();
                    }
                    let mut response = next.run(request).await;
                    if ahead > Lifetime::seconds(0) {
                        let date = httpdate(now().seconds() + ahead.as_seconds());
                        response.headers_mut().insert("date", date);
                    }
                    response
                }
            }));
        api.serve(listener, router);
        api
    }

    /// One that takes whatever comes, and has a redirect back to `to`.
    pub(super) async fn start_stranger() -> Self {
        let (listener, api) = Self::bind().await;
        let router = Router::new().fallback(any(|| async { "the stranger's answer\n" }));
        api.serve(listener, router);
        api
    }

    async fn bind() -> (tokio::net::TcpListener, Self) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        (listener, Self { url, seen: Arc::default() })
    }

    fn serve(&self, listener: tokio::net::TcpListener, router: Router) {
        let seen = self.seen.clone();
        let router = router.layer(middleware::from_fn(move |request: Request, next: Next| {
            seen.lock().unwrap().push(look(&request));
            next.run(request)
        }));
        tokio::spawn(async move { axum::serve(listener, router).await });
    }

    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// What it saw since it was last asked.
    pub(super) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// Says what was asked, and by whose key.
async fn answer(key: Option<axum::Extension<ProvenKey>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let how = if key.is_some() { "proven" } else { "bearer" };
    let text = format!("{} {} {how} {}\n", parts.method, parts.uri, String::from_utf8_lossy(&body));
    Response::new(Body::from(text))
}

fn look(request: &Request) -> Seen {
    let token = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.split(' ').nth(1)).unwrap_or("no token at all");
    let stands_in = |file: &str, named: &str| {
        std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            let text = std::fs::read(process.path().join(file)).unwrap_or_default();
            name.trim().contains(named) && String::from_utf8_lossy(&text).contains(token)
        })
    };
    Seen {
        method: request.method().to_string(),
        path: request.uri().to_string(),
        headers: request.headers().clone(),
        in_arguments: stands_in("cmdline", ""),
        in_environment: stands_in("environ", "curl"),
    }
}

/// A `Date` header.
fn httpdate(seconds: i64) -> HeaderValue {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds as u64);
    HeaderValue::try_from(httpdate::fmt_http_date(at)).unwrap()
}
