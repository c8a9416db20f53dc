//! A provider small enough to be wrong on purpose: it rotates refresh tokens strictly, and a test says what else it does.
#![expect(clippy::unwrap_used, reason = "only tests ask it, and a test fails by panicking")]

mod endpoints;
mod manner;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::map_response_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hallpass_model::jose::{SigningKey, Thumbprint, Typ};
use hallpass_model::time::Timestamp;
use hallpass_model::wire::dpop::{Freshness, Nonces, Proof, Request};
use hallpass_model::wire::oauth::Form;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};

use endpoints::{authorize, dated, device_authorization, jwks, metadata, revoke, token, user};
pub use manner::Manner;

use crate::clock::real_now; // holders run on the machine's time too

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
