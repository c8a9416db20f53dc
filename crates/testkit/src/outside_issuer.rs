//! An outside issuer on this machine: real HTTP, a key that signs, and faults that a test chooses.
#![expect(clippy::unwrap_used, reason = "only tests ask it, and a test fails by panicking")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hallpass_model::jose::{JwkSet, SigningKey, Typ};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// What is wrong with it, if anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Its keys are ten megabytes long.
    Huge,
    /// Its keys never come.
    Silent,
    /// Its keys are somewhere else, it says.
    Redirects,
    /// Its discovery document is of another issuer.
    OtherIssuer,
    /// It answers with an error.
    Broken,
}

struct Inner {
    url: String,
    key: Mutex<SigningKey>,
    fault: Mutex<Fault>,
    fetched: AtomicUsize,
    /// What it says of the job that asks it, and how often one did.
    job: Mutex<Value>,
    asked: AtomicUsize,
    /// Nobody rings it.
    never: Notify,
}

/// An outside issuer. Cheap to clone.
#[derive(Clone)]
pub struct OutsideIssuer(Arc<Inner>);

impl OutsideIssuer {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let issuer = Self(Arc::new(Inner {
            url,
            key: Mutex::new(SigningKey::generate()),
            fault: Mutex::default(),
            fetched: AtomicUsize::new(0),
            job: Mutex::default(),
            asked: AtomicUsize::new(0),
            never: Notify::new(),
        }));
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .route("/moved", get(moved))
            .route("/job", get(job))
            .route("/computeMetadata/v1/instance/service-accounts/default/identity", get(google))
            .route("/metadata/identity/oauth2/token", get(azure))
            .route("/msi/token", get(azure_app))
            .with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        issuer
    }

    /// Its identifier.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// What is wrong with it from now on.
    pub fn set_fault(&self, fault: Fault) {
        *self.0.fault.lock().unwrap() = fault;
    }

    /// How often its keys were asked for.
    pub fn fetched(&self) -> usize {
        self.0.fetched.load(Ordering::SeqCst)
    }

    /// Signs with another key from now on, and publishes no other.
    pub fn rotate(&self) {
        *self.0.key.lock().unwrap() = SigningKey::generate();
    }

    /// Says this of the job that asks at [`job_url`](Self::job_url), whomever its token is for.
    pub fn runs(&self, claims: Value) {
        *self.0.job.lock().unwrap() = claims;
    }

    /// Where a job asks for its token, as GitHub Actions has it.
    pub fn job_url(&self) -> String {
        format!("{}/job?api-version=2.0", self.url())
    }

    /// Where a machine of Google Cloud's or Azure's asks for its own, as `GCE_METADATA_HOST` names it.
    pub fn metadata_host(&self) -> &str {
        self.url().trim_start_matches("http://")
    }

    /// A token of the job's, for this audience.
    fn says(&self, audience: Option<&String>) -> String {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        let mut claims = self.0.job.lock().unwrap().clone();
        let now = crate::clock::real_now().seconds();
        claims["iss"] = self.url().into();
        claims["aud"] = audience.cloned().into();
        (claims["iat"], claims["exp"]) = ((now - 5).into(), (now + 300).into());
        self.sign(Typ::IdToken, &claims)
    }

    /// How often a job has asked for its token.
    pub fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }

    /// Its public keys.
    pub fn keys(&self) -> JwkSet {
        JwkSet::new(vec![self.0.key.lock().unwrap().public().clone()])
    }

    /// A token of this type that says this.
    pub fn sign(&self, typ: Typ, claims: &Value) -> String {
        self.0.key.lock().unwrap().sign(typ, claims)
    }

    fn fault(&self) -> Fault {
        *self.0.fault.lock().unwrap()
    }
}

async fn discovery(State(issuer): State<OutsideIssuer>) -> Response {
    let url = issuer.url();
    let named = match issuer.fault() {
        Fault::OtherIssuer => "https://other.example",
        _ => url,
    };
    axum::Json(json!({ "issuer": named, "jwks_uri": format!("{url}/keys") })).into_response()
}

/// The key of the job that it runs.
pub const JOB_KEY: &str = "the-job-s-own-key";

/// A token of a job's for the audience it names ("OpenID Connect reference", "Methods for requesting the OIDC token").
async fn job(
    State(issuer): State<OutsideIssuer>,
    Query(asked): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !shown.eq_ignore_ascii_case(&format!("bearer {JOB_KEY}")) {
        return (StatusCode::UNAUTHORIZED, axum::Json(json!({ "message": "unauthorized" }))).into_response();
    }
    axum::Json(json!({ "count": 1, "value": issuer.says(asked.get("audience")) })).into_response()
}

/// Google's documentation, "Get an ID token from the metadata server", and "Metadata server security", the header.
async fn google(
    State(issuer): State<OutsideIssuer>,
    Query(asked): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if headers.get("metadata-flavor").is_none_or(|flavor| flavor != "Google") {
        return (StatusCode::FORBIDDEN, "Missing Metadata-Flavor:Google header.").into_response();
    }
    match asked.get("audience") {
        None => (StatusCode::BAD_REQUEST, "non-empty audience parameter required").into_response(),
        audience => issuer.says(audience).into_response(),
    }
}

/// The one audience that the tenant knows.
pub const ENTRA_APPLICATION: &str = "api://hallpass";

/// Microsoft's documentation, "How to use managed identities on a virtual machine to acquire an access token", its answers and
/// its table of errors.
async fn azure(
    State(issuer): State<OutsideIssuer>,
    Query(asked): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if headers.get("metadata").is_none_or(|value| value != "true") {
        return entra_refuses("bad_request_102", "Required metadata header not specified");
    }
    entra(&issuer, &asked)
}

/// "How to use managed identities for App Service and Azure Functions", the REST endpoint.
async fn azure_app(
    State(issuer): State<OutsideIssuer>,
    Query(asked): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let known = headers.get("x-identity-header").is_some_and(|key| key == JOB_KEY);
    match known && asked.get("api-version").is_some_and(|version| version == "2019-08-01") {
        true => entra(&issuer, &asked),
        false => StatusCode::UNAUTHORIZED.into_response(),
    }
}

fn entra(issuer: &OutsideIssuer, asked: &HashMap<String, String>) -> Response {
    match asked.get("resource") {
        Some(resource) if resource == ENTRA_APPLICATION => {
            let token = issuer.says(Some(resource));
            let answer = json!({
                "access_token": token, "expires_in": "3599", "resource": resource, "token_type": "Bearer",
            });
            axum::Json(answer).into_response()
        }
        _ => entra_refuses(
            "invalid_resource",
            "AADSTS50001: The application named <URI> was not found in the tenant named <TENANT-ID>.",
        ),
    }
}

fn entra_refuses(error: &str, description: &str) -> Response {
    let body = json!({ "error": error, "error_description": description });
    (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
}

async fn moved(State(issuer): State<OutsideIssuer>) -> Response {
    axum::Json(issuer.keys()).into_response()
}

async fn keys(State(issuer): State<OutsideIssuer>) -> Response {
    issuer.0.fetched.fetch_add(1, Ordering::SeqCst);
    match issuer.fault() {
        Fault::Huge => {
            let mut set = json!(issuer.keys());
            set["padding"] = "x".repeat(10 * 1024 * 1024).into();
            axum::Json(set).into_response()
        }
        Fault::Silent => {
            issuer.0.never.notified().await;
            StatusCode::OK.into_response()
        }
        // To where its keys would be had, if only it were followed.
        Fault::Redirects => {
            (StatusCode::FOUND, [(header::LOCATION, format!("{}/moved", issuer.url()))]).into_response()
        }
        Fault::Broken => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Fault::None | Fault::OtherIssuer => axum::Json(issuer.keys()).into_response(),
    }
}
