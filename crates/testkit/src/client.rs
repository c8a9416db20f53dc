//! What a client sends to the issuer, and what it is told: plain HTTP, written out, so that a test shows all of it.

use std::sync::Arc;

use hallpass_model::id::{LeaseId, SessionId};
use hallpass_model::jose::{SigningKey, base64url};
use hallpass_model::time::Clock;
use hallpass_model::wire::claims::AccessClaims;
use hallpass_model::wire::dpop;
use hallpass_model::wire::errors::ErrorCode;
use http::{HeaderMap, StatusCode};

use crate::world::World;

/// An answer, read whole.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as it came.
    pub body: String,
}

impl Reply {
    /// The body as JSON; `null` if it is not JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The header of this name, if it is there once and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.get_all(name).iter();
        let first = all.next()?.to_str().ok()?;
        all.next().is_none().then_some(first)
    }

    /// The error of an error answer.
    pub fn refused(&self) -> Refused {
        let json = self.json();
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        Refused {
            status: self.status,
            code: ErrorCode::parse(&text("error")),
            told: text("error_description"),
            rule: json["rule"].as_str().map(str::to_owned),
        }
    }
}

/// What a caller is told when the answer is no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The status.
    pub status: StatusCode,
    /// The code.
    pub code: ErrorCode,
    /// The sentence.
    pub told: String,
    /// The rule that refused, where it is told.
    pub rule: Option<String>,
}

/// What a client holds after a login, a refresh or an exchange.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// The access token.
    pub access: String,
    /// The refresh token, or nothing.
    pub refresh: String,
    /// The ID token, if one came.
    pub id_token: Option<String>,
    /// `Bearer` or `DPoP`.
    pub token_type: String,
    /// What it may do.
    pub scope: String,
    /// How long it lives, in seconds.
    pub expires_in: i64,
    /// The lease it is under, if one was asked for.
    pub lease: Option<LeaseId>,
    /// To whom it was issued: a `client_id`.
    pub client: String,
    /// The key it is bound to.
    pub key: Option<Arc<SigningKey>>,
    /// How long the ledger was when it came.
    pub ledger: u64,
}

impl Tokens {
    /// What the access token says. Not verified.
    pub fn claims(&self) -> AccessClaims {
        claims(&self.access)
    }

    /// The session it came of.
    pub fn session(&self) -> SessionId {
        self.claims().session_id().expect("a token of a login names its session")
    }
}

/// Sends a request as it is, and reads the answer whole.
pub async fn send(request: reqwest::RequestBuilder) -> Reply {
    let response = request.send().await.expect("the issuer answers");
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.text().await.expect("the answer is read whole");
    Reply { status, headers, body }
}

/// What a JWT says. Not verified.
pub fn claims<C: serde::de::DeserializeOwned>(token: &str) -> C {
    let payload = token.split('.').nth(1).expect("a token has three parts");
    let payload = base64url::parse(payload).expect("its claims are base64url");
    serde_json::from_slice(&payload).expect("its claims are what was asked for")
}

impl World {
    /// Sends a form to a path of the org `acme`: `token`.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Reply {
        self.send(self.http.post(self.at(path)).body(encode(form)).header("content-type", FORM)).await
    }

    /// Reads a path of the org `acme`.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.http.get(self.at(path))).await
    }

    /// Sends a request as it is.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        send(request).await
    }

    /// The address of a path of the org `acme`.
    pub fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.issuer_url)
    }

    /// Asks the token endpoint, with a proof by `key` if there is one: with a nonce once the issuer has given one.
    pub async fn ask_token(&self, form: &[(&str, &str)], key: Option<&SigningKey>) -> Reply {
        let Some(key) = key else { return self.post("token", form).await };
        self.ask_bound("token", form, key).await
    }

    /// Sends a form to a path of the org `acme`, with a proof by `key`.
    pub async fn ask_bound(&self, path: &str, form: &[(&str, &str)], key: &SigningKey) -> Reply {
        let mut nonce = self.nonce.lock().expect("no test panics here").clone();
        loop {
            let proof = self.proof(key, "POST", &self.at(path), nonce.as_deref(), None);
            let request = self.http.post(self.at(path)).body(encode(form)).header("content-type", FORM);
            let reply = self.send(request.header("dpop", proof)).await;
            let given = reply.header("dpop-nonce").map(str::to_owned);
            let first = nonce.is_none() || reply.refused().code == ErrorCode::UseDpopNonce;
            *self.nonce.lock().expect("no test panics here") = given.clone();
            if !(first && reply.refused().code == ErrorCode::UseDpopNonce && nonce != given) {
                return reply;
            }
            nonce = given;
        }
    }

    /// A DPoP proof.
    pub fn proof(
        &self,
        key: &SigningKey,
        method: &str,
        uri: &str,
        nonce: Option<&str>,
        access_token: Option<&str>,
    ) -> String {
        dpop::proof(
            key,
            &dpop::Request { method, uri, access_token },
            nonce,
            self.clock.now(),
            &hallpass_model::random::SystemEntropy,
        )
    }

    /// Reads what the token endpoint answered.
    pub async fn tokens(
        &self,
        reply: Reply,
        client: &str,
        key: Option<&Arc<SigningKey>>,
    ) -> Result<Tokens, Refused> {
        if reply.status != StatusCode::OK {
            return Err(reply.refused());
        }
        let json = reply.json();
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        Ok(Tokens {
            access: text("access_token"),
            refresh: text("refresh_token"),
            id_token: json["id_token"].as_str().map(str::to_owned),
            token_type: text("token_type"),
            scope: text("scope"),
            expires_in: json["expires_in"].as_i64().unwrap_or_default(),
            lease: json["lease"].as_str().and_then(|lease| lease.parse().ok()),
            client: client.to_owned(),
            key: key.cloned(),
            ledger: self.ledger_size().await,
        })
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

/// Writes a form down.
pub fn encode(form: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}
