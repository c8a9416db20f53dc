//! A provider small enough to be wrong on purpose: it rotates refresh tokens strictly, and a test says what else it does.
#![expect(clippy::unwrap_used, reason = "only tests ask it, and a test fails by panicking")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::map_response_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hallpass_model::jose::{JwkSet, SigningKey, Thumbprint, Typ};
use hallpass_model::time::Timestamp;
use hallpass_model::wire::dpop::{Freshness, Nonces, Proof, Request};
use hallpass_model::wire::oauth::Form;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};

use crate::clock::real_now; // holders run on the machine's time too

/// What a provider is like. Tests change it while it runs.
#[derive(Debug, Clone)]
pub struct Manner {
    /// A Hallpass issuer: bound tokens, exchange, held polls.
    pub ours: bool,
    /// A login comes with a refresh token.
    pub gives_refresh_tokens: bool,
    /// The `expires_in` it says, if it says any, in seconds.
    pub says_expires_in: Option<i64>,
    /// It has a revocation endpoint.
    pub revokes: bool,
    /// Its revocation endpoint is out of order.
    pub cannot_revoke_now: bool,
    /// What its revocation endpoint answers instead of revoking: a status, and OAuth's word for it if it has one.
    pub answers_revocation: Option<(u16, Option<&'static str>)>,
    /// Another use of a spent refresh token ends the session. Otherwise the successor is handed out again.
    pub strict: bool,
    /// The person's answer to a device login.
    pub approves: Option<bool>,
    /// Polls that are answered with this error first, the last one soonest; `503` for a server in trouble.
    pub polls: Vec<&'static str>,
    /// Refreshes whose answer is a 500 after all, though the token is rotated.
    pub lose_answers: usize,
    /// Everything at the token endpoint is answered with this status and no OAuth error.
    pub broken: Option<u16>,
    /// Errors come with 200, as at GitHub.
    pub errors_with_200: bool,
    /// What it says of a refresh token that it refuses, `TOKEN` standing for the token.
    pub says_of_refused: &'static str,
    /// The organisation its tokens are for.
    pub org: &'static str,
    /// Whom its tokens are about.
    pub subject: &'static str,
    /// A refresh brings a new refresh token. Otherwise the first one goes on, and none comes with the answer.
    pub rotates: bool,
    /// Whether it gives an address with the user code in it.
    pub says_complete: bool,
    /// What its metadata says it is, if not what it is.
    pub says_issuer: Option<String>,
    /// Its error at the device authorization endpoint, as a tenant has it that forbids codes; `404` for no such endpoint.
    pub refuses_codes: Option<&'static str>,
    /// It publishes metadata.
    pub publishes: bool,
    /// Its answers are forms (RFC 6749, appendix B), as some that are older have it, whatever was asked for.
    pub answers_forms: bool,
    /// Its access tokens say nothing, and no ID token comes with them.
    pub opaque: bool,
    /// The `scope` that it says.
    pub says_scope: Value,
    /// The `token_type` that it says, if not what it is.
    pub says_token_type: Option<&'static str>,
    /// The `expires_in` is a text.
    pub expires_in_is_text: bool,
    /// Its access, refresh and ID tokens have so many bytes more than they need.
    pub longer_by: usize,
    /// How far its clock is ahead of ours, in seconds; everything that it says about the time is so.
    pub ahead: i64,
    /// It judges a proof by the time in it, and gives no nonces.
    pub proofs_by_clock: bool,
    /// What it keeps waiting until this is changed: a grant type at the token endpoint, by its last word, `jwks` or `revoke`.
    pub holds: Option<&'static str>,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            ours: true,
            gives_refresh_tokens: true,
            says_expires_in: Some(300),
            revokes: true,
            cannot_revoke_now: false,
            answers_revocation: None,
            strict: false,
            approves: Some(true),
            polls: Vec::new(),
            lose_answers: 0,
            broken: None,
            errors_with_200: false,
            says_of_refused: "no",
            org: "acme",
            subject: "prn_ada",
            rotates: true,
            says_complete: true,
            says_issuer: None,
            refuses_codes: None,
            publishes: true,
            answers_forms: false,
            opaque: false,
            says_scope: "openid notes:read".into(),
            says_token_type: None,
            expires_in_is_text: false,
            longer_by: 0,
            ahead: 0,
            proofs_by_clock: false,
            holds: None,
        }
    }
}

/// What it is and what it has seen.
pub struct Inner {
    /// Its issuer identifier.
    pub issuer: String,
    /// What it is like just now.
    pub manner: Mutex<Manner>,
    key: SigningKey,
    nonces: Nonces,
    sessions: Mutex<HashMap<usize, Session>>,
    codes: Mutex<HashMap<String, Asked>>,
    minted: AtomicUsize,
    /// How often each grant type was asked for.
    asked: Mutex<HashMap<String, usize>>,
    /// Tokens that were revoked.
    revoked: Mutex<Vec<String>>,
    /// The last forms that came, by endpoint.
    forms: Mutex<Vec<(String, HashMap<String, String>)>>,
    /// Refreshes wait here, if a test took the permits away.
    pub gate: Semaphore,
    /// Refreshes that came to the gate.
    pub at_gate: Semaphore,
    /// Requests that were made to wait ([`Manner::holds`]).
    pub held: Semaphore,
    changed: Notify,
}

#[derive(Clone, Default)]
struct Session {
    generation: usize,
    ended: bool,
    key: Option<Thumbprint>,
}

#[derive(Clone)]
struct Asked {
    challenge: Option<String>,
    nonce: Option<String>,
    redirect_uri: Option<String>,
    jkt: Option<String>,
}

/// A provider, served on a port of its own.
#[derive(Clone)]
pub struct SmallProvider(pub(crate) Arc<Inner>);

impl std::ops::Deref for SmallProvider {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl SmallProvider {
    /// One on a free port, until the test ends.
    pub async fn start(manner: Manner) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let issuer = format!("http://localhost:{}/acme", listener.local_addr().unwrap().port());
        let provider = Self(Arc::new(Inner {
            issuer,
            manner: Mutex::new(manner),
            key: SigningKey::generate(),
            nonces: Nonces::new(&[3; 32]),
            sessions: Mutex::default(),
            codes: Mutex::default(),
            minted: AtomicUsize::new(0),
            asked: Mutex::default(),
            revoked: Mutex::default(),
            forms: Mutex::default(),
            gate: Semaphore::new(1_000),
            at_gate: Semaphore::new(0),
            held: Semaphore::new(0),
            changed: Notify::new(),
        }));
        let router = Router::new()
            .route("/.well-known/oauth-authorization-server/acme", get(metadata))
            .route("/acme/.well-known/openid-configuration", get(metadata))
            .route("/acme/jwks", get(jwks))
            .route("/acme/authorize", get(authorize))
            .route("/acme/device_authorization", post(device_authorization))
            .route("/acme/token", post(token))
            .route("/acme/revoke", post(revoke))
            .route("/acme/user", get(user))
            .layer(map_response_with_state(provider.clone(), dated))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        provider
    }

    /// Changes what it is like, from the next request on.
    pub fn change(&self, how: impl FnOnce(&mut Manner)) {
        how(&mut self.manner.lock().unwrap());
        self.changed.notify_waiters();
    }

    async fn hold(&self, what: &str) {
        let held = || self.manner().holds == Some(what);
        if held() {
            self.held.add_permits(1);
        }
        loop {
            let changed = self.changed.notified();
            if !held() {
                return;
            }
            changed.await;
        }
    }

    fn manner(&self) -> Manner {
        self.manner.lock().unwrap().clone()
    }

    /// How often a grant type was asked for.
    pub fn asked(&self, grant_type: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(name, _)| name.ends_with(grant_type)).map(|(_, times)| times).sum()
    }

    /// What was revoked.
    pub fn revoked(&self) -> Vec<String> {
        self.revoked.lock().unwrap().clone()
    }

    /// The parameters of the last request to an endpoint.
    pub fn last_form(&self, endpoint: &str) -> HashMap<String, String> {
        let forms = self.forms.lock().unwrap();
        let found = forms.iter().rev().find(|(name, _)| name == endpoint);
        found.map(|(_, form)| form.clone()).unwrap_or_default()
    }

    /// Ends every session, as an administrator would.
    pub fn end_sessions(&self) {
        self.sessions.lock().unwrap().values_mut().for_each(|session| session.ended = true);
    }

    /// Revokes one token, as an administrator would.
    pub fn revoke_for_test(&self, token: &str) {
        self.revoked.lock().unwrap().push(token.to_owned());
    }

    /// How many sessions are alive.
    pub fn alive(&self) -> usize {
        self.sessions.lock().unwrap().values().filter(|session| !session.ended).count()
    }

    fn note(&self, endpoint: &str, body: &[u8]) -> Form {
        let form = Form::parse(body).unwrap();
        let values =
            form.names().map(|name| (name.to_owned(), form.find(name).unwrap_or_default().to_owned()));
        self.forms.lock().unwrap().push((endpoint.to_owned(), values.collect()));
        form
    }

    fn error(&self, code: &str) -> Response {
        self.error_saying(code, "no")
    }

    fn error_saying(&self, code: &str, description: &str) -> Response {
        let status = if self.manner().errors_with_200 { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        self.answer(status, json!({ "error": code, "error_description": description }))
    }

    /// An answer, in the form that it has them in.
    fn answer(&self, status: StatusCode, members: Value) -> Response {
        if !self.manner().answers_forms {
            return (status, members.to_string()).into_response();
        }
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in members.as_object().unwrap() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            form.append_pair(name, &text);
        }
        let kind = "application/x-www-form-urlencoded; charset=utf-8";
        (status, [(header::CONTENT_TYPE, kind)], form.finish()).into_response()
    }

    /// What time it is there.
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(real_now().millis() + self.manner().ahead * 1_000)
    }

    fn padding(&self) -> String {
        "x".repeat(self.manner().longer_by)
    }

    fn mint(&self, session: usize, audience: &str, client: &str) -> String {
        let manner = self.manner();
        let n = self.minted.fetch_add(1, Ordering::Relaxed);
        if manner.opaque {
            return format!("gho_{n}{}", self.padding());
        }
        let claims = json!({
            "iss": self.issuer, "sub": manner.subject, "aud": audience, "client_id": client, "org": manner.org,
            "jti": format!("crd_{n}"), "sid": session, "exp": self.now().seconds() + 300, "pad": self.padding(),
        });
        self.key.sign(Typ::AccessToken, &claims)
    }

    fn id_token(&self, client: &str, nonce: Option<&str>) -> String {
        let now = self.now().seconds();
        let subject = self.manner().subject;
        let claims = json!({
            "iss": self.issuer, "sub": subject, "aud": client, "exp": now + 300, "iat": now, "nonce": nonce, "pad": self.padding(),
        });
        self.key.sign(Typ::IdToken, &claims)
    }

    fn tokens(&self, session: usize, form: &Form, nonce: Option<&str>) -> Response {
        let manner = self.manner();
        let client = form.find("client_id").unwrap_or_default();
        let audience = form.find("resource").unwrap_or("https://api.example");
        let generation = self.sessions.lock().unwrap()[&session].generation;
        let mut answer = json!({
            "access_token": self.mint(session, audience, client),
            "token_type": manner.says_token_type.unwrap_or(if manner.ours { "DPoP" } else { "Bearer" }),
            "scope": manner.says_scope,
        });
        if !manner.opaque {
            answer["id_token"] = self.id_token(client, nonce).into();
        }
        if let Some(seconds) = manner.says_expires_in {
            answer["expires_in"] =
                if manner.expires_in_is_text { seconds.to_string().into() } else { seconds.into() };
        }
        if manner.gives_refresh_tokens && (manner.rotates || generation == 1) {
            let padding = if manner.longer_by == 0 { String::new() } else { format!("-{}", self.padding()) };
            answer["refresh_token"] = format!("refresh-{session}-{generation}{padding}").into();
        }
        self.answer(StatusCode::OK, answer)
    }

    fn open_session(&self, key: Option<Thumbprint>) -> usize {
        let mut sessions = self.sessions.lock().unwrap();
        let id = sessions.len() + 1;
        sessions.insert(id, Session { generation: 1, ended: false, key });
        id
    }

    /// The proven key, or the answer that asks for a proof.
    fn proven(&self, headers: &HeaderMap) -> Result<Option<Thumbprint>, Box<Response>> {
        if !self.manner().ours {
            return Ok(None);
        }
        let uri = format!("{}/token", self.issuer);
        let request = Request { method: "POST", uri: &uri, access_token: None };
        let proof = headers.get("dpop").and_then(|proof| proof.to_str().ok()).unwrap_or_default();
        let fresh = match self.manner().proofs_by_clock {
            true => Freshness::Clock,
            false => Freshness::Nonce(&self.nonces),
        };
        match Proof::verify(proof, &request, fresh, self.now()) {
            Ok(proof) => Ok(Some(proof.key)),
            Err(bad) => {
                let body = json!({ "error": bad.code().text() }).to_string();
                let nonce = [("dpop-nonce", self.nonces.issue(self.now()))];
                Err(Box::new((StatusCode::BAD_REQUEST, nonce, body).into_response()))
            }
        }
    }

    async fn refresh(&self, form: &Form, key: Option<Thumbprint>) -> Response {
        self.at_gate.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
        self.gate.add_permits(1);
        let presented = form.find("refresh_token").unwrap_or_default();
        let mut parts =
            presented.trim_start_matches("refresh-").split('-').map(|n| n.parse::<usize>().unwrap());
        let (id, generation) = (parts.next().unwrap(), parts.next().unwrap());
        let strict = self.manner().strict;
        let refused =
            || self.error_saying("invalid_grant", &self.manner().says_of_refused.replace("TOKEN", presented));
        {
            let mut sessions = self.sessions.lock().unwrap();
            let Some(session) = sessions.get_mut(&id).filter(|session| !session.ended) else {
                return refused();
            };
            if session.key != key {
                return refused();
            }
            if !self.manner().rotates {
                session.generation = 2; // it was redeemed once; the token stays what it is
            } else if generation == session.generation {
                session.generation += 1;
            } else if strict || generation + 1 != session.generation {
                session.ended = true;
                return refused();
            }
        }
        let lost = {
            let mut manner = self.manner.lock().unwrap();
            let lost = manner.lose_answers > 0;
            manner.lose_answers = manner.lose_answers.saturating_sub(1);
            lost
        };
        if lost {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        self.tokens(id, form, None)
    }

    fn exchange(&self, form: &Form) -> Response {
        let subject = form.find("subject_token").unwrap_or_default();
        let claims = subject.split('.').nth(1).and_then(hallpass_model::jose::base64url::parse).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        let id = claims["sid"].as_u64().unwrap() as usize;
        let dead =
            self.sessions.lock().unwrap()[&id].ended || self.revoked().iter().any(|token| token == subject);
        if dead || claims["aud"] != self.issuer.as_str() {
            return self.error("invalid_request");
        }
        let resource = form.find("resource").unwrap();
        if resource.contains("forbidden") {
            return self.error("invalid_target");
        }
        let seconds: i64 = form.find("lifetime").map_or(300, |seconds| seconds.parse().unwrap());
        // Bound as its subject is, unless it is asked to be otherwise.
        let kind = if form.find("binding") == Some("bearer") { "Bearer" } else { "DPoP" };
        let mut answer = json!({
            "access_token": self.mint(id, resource, "hallpass-cli"), "token_type": kind, "expires_in": seconds,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "scope": form.find("scope").unwrap_or("notes:read"),
        });
        if form.find("lease") == Some("true") {
            answer["lease"] = "lse_01h455vb4pex5vsknk084sn02q".into();
        }
        answer.to_string().into_response()
    }
}

/// The time there, in every answer.
async fn dated(State(provider): State<SmallProvider>, mut answer: Response) -> Response {
    let date = std::time::UNIX_EPOCH + std::time::Duration::from_millis(provider.now().millis() as u64);
    let date = HeaderValue::from_str(&httpdate::fmt_http_date(date)).unwrap();
    answer.headers_mut().insert(header::DATE, date);
    answer
}

/// Who it is, in words of its own (OIDC has others).
async fn user(State(provider): State<SmallProvider>, headers: HeaderMap) -> Response {
    let token = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    match token {
        Some(token) if !provider.revoked().iter().any(|revoked| revoked == token) => {
            json!({ "login": "ada", "id": 4711 }).to_string().into_response()
        }
        _ => StatusCode::UNAUTHORIZED.into_response(),
    }
}

async fn metadata(State(provider): State<SmallProvider>) -> Response {
    if !provider.manner().publishes {
        return (StatusCode::NOT_FOUND, "<html>no such page</html>").into_response();
    }
    let (issuer, manner) = (provider.issuer.clone(), provider.manner());
    let mut document = json!({
        "issuer": manner.says_issuer.clone().unwrap_or_else(|| issuer.clone()),
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "device_authorization_endpoint": format!("{issuer}/device_authorization"),
        "jwks_uri": format!("{issuer}/jwks"),
        "response_types_supported": ["code"],
        "authorization_response_iss_parameter_supported": manner.ours,
        "hallpass_device_wait_supported": manner.ours,
    });
    if manner.revokes {
        document["revocation_endpoint"] = format!("{issuer}/revoke").into();
    }
    document.to_string().into_response()
}

async fn jwks(State(provider): State<SmallProvider>) -> String {
    provider.hold("jwks").await;
    serde_json::to_string(&JwkSet::new(vec![provider.key.public().clone()])).unwrap()
}

async fn authorize(
    State(provider): State<SmallProvider>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let code = format!("code-{}", provider.minted.fetch_add(1, Ordering::Relaxed));
    let asked = Asked {
        challenge: query.get("code_challenge").cloned(),
        nonce: query.get("nonce").cloned(),
        redirect_uri: query.get("redirect_uri").cloned(),
        jkt: query.get("dpop_jkt").cloned(),
    };
    provider.forms.lock().unwrap().push(("authorize".into(), query.clone()));
    provider.codes.lock().unwrap().insert(code.clone(), asked);
    let answer = match provider.manner().approves {
        Some(true) => ("code", code.as_str()),
        _ => ("error", "access_denied"),
    };
    let mut back: url::Url = query["redirect_uri"].parse().unwrap();
    back.query_pairs_mut().append_pair(answer.0, answer.1).append_pair("state", &query["state"]);
    if provider.manner().ours {
        back.query_pairs_mut().append_pair("iss", &provider.issuer);
    }
    (StatusCode::FOUND, [(header::LOCATION, back.to_string())]).into_response()
}

async fn device_authorization(State(provider): State<SmallProvider>, body: Bytes) -> Response {
    let form = provider.note("device_authorization", &body);
    match provider.manner().refuses_codes {
        None => {}
        Some("404") => return StatusCode::NOT_FOUND.into_response(),
        Some(error) => return provider.error_saying(error, "AADSTS53003: blocked by a policy of the tenant"),
    }
    let code = format!("device-{}", provider.minted.fetch_add(1, Ordering::Relaxed));
    let asked = Asked {
        challenge: None,
        nonce: None,
        redirect_uri: None,
        jkt: form.find("dpop_jkt").map(str::to_owned),
    };
    provider.codes.lock().unwrap().insert(code.clone(), asked);
    let mut answer = json!({
        "device_code": code, "user_code": "BCDF-GHJK", "verification_uri": format!("{}/device", provider.issuer),
        "expires_in": 60, "interval": 1,
    });
    if provider.manner().says_complete {
        answer["verification_uri_complete"] =
            format!("{}/device?user_code=BCDF-GHJK", provider.issuer).into();
    }
    provider.answer(StatusCode::OK, answer)
}

async fn token(State(provider): State<SmallProvider>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(status) = provider.manner().broken {
        return (StatusCode::from_u16(status).unwrap(), "<html>out of order</html>").into_response();
    }
    let key = match provider.proven(&headers) {
        Ok(key) => key,
        Err(answer) => return *answer,
    };
    let form = provider.note("token", &body);
    let grant_type = form.find("grant_type").unwrap_or_default().to_owned();
    *provider.asked.lock().unwrap().entry(grant_type.clone()).or_default() += 1;
    let last_word = grant_type.rsplit(':').next().unwrap_or_default();
    provider.hold(last_word).await;
    match last_word {
        "device_code" => {
            if let Some(error) = provider.manner.lock().unwrap().polls.pop() {
                return provider_error(error);
            }
            match provider.manner().approves {
                None if headers.get("prefer").is_some() => {
                    // Not for 25 seconds: a test's person makes up their mind quickly.
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    ([("preference-applied", "wait=25")], provider.error("authorization_pending"))
                        .into_response()
                }
                None => provider.error("authorization_pending"),
                Some(false) => provider.error("access_denied"),
                Some(true) => provider.redeem(form.find("device_code"), &form, key),
            }
        }
        "authorization_code" => provider.redeem(form.find("code"), &form, key),
        "refresh_token" => provider.refresh(&form, key).await,
        "token-exchange" => provider.exchange(&form),
        _ => provider.error("unsupported_grant_type"),
    }
}

fn provider_error(code: &str) -> Response {
    if code == "503" {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    (StatusCode::BAD_REQUEST, json!({ "error": code }).to_string()).into_response()
}

impl SmallProvider {
    fn redeem(&self, code: Option<&str>, form: &Form, key: Option<Thumbprint>) -> Response {
        use hallpass_model::secret::Secret;
        use hallpass_model::wire::pkce::CodeChallenge;
        let Some(asked) = self.codes.lock().unwrap().remove(code.unwrap_or_default()) else {
            return self.error("invalid_grant");
        };
        let answered = asked.challenge.is_none_or(|challenge| {
            let verifier = Secret::from_text(form.find("code_verifier").unwrap_or_default().to_owned());
            challenge.parse::<CodeChallenge>().unwrap().answered_by(&verifier).is_ok()
        });
        let same_place = asked.redirect_uri.as_deref() == form.find("redirect_uri");
        let same_key = !self.manner().ours || asked.jkt == key.map(|key| key.to_string());
        if !answered || !same_place || !same_key {
            return self.error("invalid_grant");
        }
        let session = self.open_session(key);
        self.tokens(session, form, asked.nonce.as_deref())
    }
}

async fn revoke(State(provider): State<SmallProvider>, body: Bytes) -> Response {
    *provider.asked.lock().unwrap().entry("revoke".into()).or_default() += 1;
    provider.hold("revoke").await;
    if provider.manner().cannot_revoke_now {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if let Some((status, error)) = provider.manner().answers_revocation {
        let status = StatusCode::from_u16(status).unwrap();
        return match error {
            Some(error) => (status, json!({ "error": error }).to_string()).into_response(),
            None => status.into_response(),
        };
    }
    let form = provider.note("revoke", &body);
    let token = form.find("token").unwrap_or_default().to_owned();
    if let Some(rest) = token.strip_prefix("refresh-") {
        let id: usize = rest.split('-').next().unwrap().parse().unwrap();
        if let Some(session) = provider.sessions.lock().unwrap().get_mut(&id) {
            session.ended = true;
        }
    }
    provider.revoked.lock().unwrap().push(token);
    StatusCode::OK.into_response()
}
