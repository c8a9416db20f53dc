//! Keys fetched from an issuer over HTTP, renewed at a bounded rate, and introspection.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hallpass_model::jose::{JwkSet, SigningKey, Typ};
use hallpass_model::time::Lifetime;
use hallpass_verifier::introspect::ClientKey;
use hallpass_verifier::{Rejection, Verifier};
use http::Request;
use serde_json::{Value, json};

use crate::judging::{NOTES, NOW, claims};

/// An issuer as far as a verifier sees one: metadata, keys that rotate, introspection that can be switched off.
pub(crate) struct Issuer {
    pub(crate) url: String,
    pub(crate) keys: Mutex<Vec<Arc<SigningKey>>>,
    pub(crate) fetches: AtomicUsize,
    pub(crate) active: AtomicBool,
    pub(crate) up: AtomicBool,
    /// Its metadata stands only where OIDC Discovery puts it.
    pub(crate) oidc_alone: AtomicBool,
    /// What its key set is answered with instead.
    pub(crate) instead: Mutex<Option<Instead>>,
    /// What stands in its metadata instead: a member, and its value.
    pub(crate) says: Mutex<Option<(&'static str, Value)>>,
}

/// An answer that is no key set of this issuer's.
pub(crate) enum Instead {
    /// The keys are elsewhere.
    Elsewhere,
    /// This status, with a key set all the same.
    Status(u16),
    /// This body.
    Body(String),
}

impl Issuer {
    pub(crate) async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = Arc::new(Self {
            url: format!("http://localhost:{}/acme", listener.local_addr().unwrap().port()),
            keys: Mutex::new(vec![Arc::new(SigningKey::generate())]),
            fetches: AtomicUsize::new(0),
            active: AtomicBool::new(true),
            up: AtomicBool::new(true),
            oidc_alone: AtomicBool::new(false),
            instead: Mutex::new(None),
            says: Mutex::new(None),
        });
        let router = Router::new()
            .route("/.well-known/oauth-authorization-server/acme", get(oauth_metadata))
            .route("/acme/.well-known/openid-configuration", get(metadata))
            .route("/acme/jwks", get(jwks))
            .route("/acme/elsewhere", get(keys))
            .route("/acme/introspect", post(introspect))
            .with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        issuer
    }

    pub(crate) fn token(&self) -> String {
        let key = self.keys.lock().unwrap().last().unwrap().clone();
        key.sign(Typ::AccessToken, &claims(&self.url))
    }
}

async fn oauth_metadata(issuer: State<Arc<Issuer>>) -> Result<Json<Value>, StatusCode> {
    if issuer.oidc_alone.load(Ordering::SeqCst) {
        return Err(StatusCode::NOT_FOUND);
    }
    Ok(metadata(issuer).await)
}

async fn metadata(State(issuer): State<Arc<Issuer>>) -> Json<Value> {
    let url = &issuer.url;
    let mut document = json!({
        "issuer": url,
        "jwks_uri": format!("{url}/jwks"),
        "introspection_endpoint": format!("{url}/introspect"),
        "token_endpoint": format!("{url}/token"),
    });
    if let Some((name, value)) = &*issuer.says.lock().unwrap() {
        document[*name] = value.clone();
    }
    Json(document)
}

async fn jwks(issuer: State<Arc<Issuer>>) -> Response {
    issuer.fetches.fetch_add(1, Ordering::SeqCst);
    if !issuer.up.load(Ordering::SeqCst) {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let status = match &*issuer.instead.lock().unwrap() {
        None => StatusCode::OK,
        Some(Instead::Status(status)) => StatusCode::from_u16(*status).unwrap(),
        Some(Instead::Elsewhere) => return Redirect::temporary("/acme/elsewhere").into_response(),
        Some(Instead::Body(body)) => return body.clone().into_response(),
    };
    (status, keys(issuer).await).into_response()
}

async fn keys(State(issuer): State<Arc<Issuer>>) -> Json<JwkSet> {
    let keys = issuer.keys.lock().unwrap().iter().map(|k| k.public().clone()).collect();
    Json(JwkSet::new(keys))
}

async fn introspect(State(issuer): State<Arc<Issuer>>, form: String) -> Result<Json<Value>, StatusCode> {
    assert!(form.contains("client_assertion=ey"), "the caller says who it is");
    if !issuer.up.load(Ordering::SeqCst) {
        return Err(StatusCode::BAD_GATEWAY);
    }
    Ok(Json(json!({ "active": issuer.active.load(Ordering::SeqCst) })))
}

pub(crate) fn bearer(token: &str) -> Request<()> {
    Request::builder().uri("/notes").header("authorization", format!("Bearer {token}")).body(()).unwrap()
}

#[tokio::test]
async fn keys_are_fetched_once_and_again_only_for_an_unknown_one_at_a_bounded_rate() {
    let issuer = Issuer::start().await;
    let verifier = Verifier::discover(&issuer.url, NOTES).unwrap();
    let scopes = "notes:read".parse().unwrap();
    for _ in 0..3 {
        verifier.accept(&bearer(&issuer.token()), &scopes, NOW).await.unwrap();
    }
    assert_eq!(issuer.fetches.load(Ordering::SeqCst), 1);

    issuer.keys.lock().unwrap().push(Arc::new(SigningKey::generate()));
    let token = issuer.token();
    let refused = verifier.accept(&bearer(&token), &scopes, NOW).await;
    let refused = refused.unwrap_err().why;
    assert!(matches!(refused, Rejection::Token(_)), "not asked again so soon: {refused:?}");
    assert_eq!(issuer.fetches.load(Ordering::SeqCst), 1);

    verifier.accept(&bearer(&token), &scopes, NOW + Lifetime::seconds(11)).await.unwrap();
    assert_eq!(issuer.fetches.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn without_any_key_it_is_503_and_with_old_ones_the_issuer_may_be_away() {
    let issuer = Issuer::start().await;
    let verifier = Verifier::discover(&issuer.url, NOTES).unwrap();
    let scopes = "notes:read".parse().unwrap();
    issuer.up.store(false, Ordering::SeqCst);
    for _ in 0..2 {
        // Also when it was asked just now and is not asked again.
        let refused = verifier.accept(&bearer(&issuer.token()), &scopes, NOW).await.unwrap_err();
        assert_eq!(refused.why.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(issuer.fetches.load(Ordering::SeqCst), 1);

    issuer.up.store(true, Ordering::SeqCst);
    let later = NOW + Lifetime::seconds(11);
    verifier.accept(&bearer(&issuer.token()), &scopes, later).await.unwrap();
    issuer.up.store(false, Ordering::SeqCst);
    verifier.accept(&bearer(&issuer.token()), &scopes, later + Lifetime::seconds(60)).await.unwrap();
}

#[tokio::test]
async fn an_issuer_of_no_more_than_oidc_discovery_is_found() {
    let issuer = Issuer::start().await;
    issuer.oidc_alone.store(true, Ordering::SeqCst);
    let verifier = Verifier::discover(&issuer.url, NOTES).unwrap();
    verifier.accept(&bearer(&issuer.token()), &"notes:read".parse().unwrap(), NOW).await.unwrap();
}

/// The HTTP client reads proxy variables when it is made, and no test may change its own environment: this one runs
/// the one below in a process that has them.
#[tokio::test]
async fn an_issuer_on_this_machine_is_never_asked_through_a_proxy() {
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let asked = tokio::spawn(async move { proxy.accept().await.unwrap() });
    let mut again = tokio::process::Command::new(std::env::current_exe().unwrap());
    again.args(["--ignored", "--exact", "issuer::beside_a_proxy"]);
    let ended = again.env("http_proxy", &address).env("ALL_PROXY", &address).output().await.unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && said.contains("1 passed"), "{said}");
    assert!(!asked.is_finished(), "the proxy was asked");
}

#[tokio::test]
#[ignore = "run by the test above, in an environment that names a proxy"]
async fn beside_a_proxy() {
    let issuer = Issuer::start().await;
    let client = ClientKey::new("notes-api", &SigningKey::generate().to_pkcs8()).unwrap();
    let verifier = Verifier::discover(&issuer.url, NOTES).unwrap().with_introspection(client);
    verifier.accept(&bearer(&issuer.token()), &"notes:read".parse().unwrap(), NOW).await.unwrap();
}

#[tokio::test]
async fn introspection_makes_revocation_exact_and_its_absence_is_never_a_yes() {
    let issuer = Issuer::start().await;
    let client = ClientKey::new("notes-api", &SigningKey::generate().to_pkcs8()).unwrap();
    let verifier = Verifier::discover(&issuer.url, NOTES).unwrap().with_introspection(client);
    let scopes = "notes:read".parse().unwrap();
    verifier.accept(&bearer(&issuer.token()), &scopes, NOW).await.unwrap();

    issuer.active.store(false, Ordering::SeqCst);
    let refused = verifier.accept(&bearer(&issuer.token()), &scopes, NOW).await.unwrap_err();
    assert_eq!(refused.why, Rejection::Revoked);

    issuer.up.store(false, Ordering::SeqCst);
    let refused = verifier.accept(&bearer(&issuer.token()), &scopes, NOW).await.unwrap_err();
    assert_eq!(refused.why.status(), StatusCode::SERVICE_UNAVAILABLE);
}

/// How a fresh verifier meets this issuer's token.
async fn first_met(issuer: &Issuer) -> Result<(), Rejection> {
    let verifier = Verifier::discover(&issuer.url, NOTES).unwrap();
    let accepted = verifier.accept(&bearer(&issuer.token()), &"notes:read".parse().unwrap(), NOW).await;
    accepted.map(drop).map_err(|refused| refused.why)
}

#[tokio::test]
async fn keys_count_only_as_an_answer_of_the_issuer_s_own_of_a_size_that_is_one() {
    let issuer = Issuer::start().await;
    first_met(&issuer).await.unwrap();
    let good = serde_json::to_value(keys(State(issuer.clone())).await.0).unwrap();
    let mut padded = good.clone();
    padded["padding"] = json!("x".repeat(300 * 1024));
    let mut private = good.clone();
    private["keys"][0]["d"] = json!("AQ");
    for instead in [
        Instead::Elsewhere,
        Instead::Status(500),
        Instead::Status(203),
        Instead::Body(padded.to_string()),
        Instead::Body(private.to_string()),
        Instead::Body(json!({ "keys": [] }).to_string()),
        Instead::Body(json!({ "keys": [{ "kty": "oct" }] }).to_string()),
        Instead::Body("<html>".to_owned()),
    ] {
        *issuer.instead.lock().unwrap() = Some(instead);
        let refused = first_met(&issuer).await.unwrap_err();
        assert!(matches!(refused, Rejection::Unavailable(_)), "{refused:?}");
    }
    *issuer.instead.lock().unwrap() = Some(Instead::Body(good.to_string()));
    first_met(&issuer).await.unwrap();
}

#[tokio::test]
async fn metadata_counts_only_if_it_is_the_issuer_s_own_and_leads_nowhere_in_the_clear() {
    let issuer = Issuer::start().await;
    for (name, value) in [
        ("issuer", json!("https://evil.example")),
        ("issuer", json!(format!("{}/", issuer.url))),
        ("issuer", Value::Null),
        ("jwks_uri", json!("http://evil.example/jwks")),
        ("jwks_uri", Value::Null),
    ] {
        *issuer.says.lock().unwrap() = Some((name, value));
        let refused = first_met(&issuer).await.unwrap_err();
        assert!(matches!(refused, Rejection::Unavailable(_)), "{name}: {refused:?}");
    }
    assert_eq!(issuer.fetches.load(Ordering::SeqCst), 0);
    for bad in ["http://id.example", "https://id.example?x", "id.example", ""] {
        assert!(Verifier::discover(bad, NOTES).is_err(), "{bad}");
    }
}

/// Who waits for another's fetch has its keys, and makes none.
#[tokio::test]
async fn many_first_requests_at_once_make_one_fetch_and_all_are_let_in() {
    let issuer = Issuer::start().await;
    let verifier = Verifier::discover(&issuer.url, NOTES).unwrap();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (verifier, request) = (verifier.clone(), bearer(&issuer.token()));
        all.spawn(
            async move { verifier.accept(&request, &"notes:read".parse().unwrap(), NOW).await.map(drop) },
        );
    }
    for accepted in all.join_all().await {
        accepted.unwrap();
    }
    assert_eq!(issuer.fetches.load(Ordering::SeqCst), 1);
}
