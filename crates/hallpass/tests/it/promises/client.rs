//! A client of the test's own: plain HTTP with a key, which sees all it is given.

use hallpass_model::jose::SigningKey;
use hallpass_model::random::SystemEntropy;
use hallpass_model::wire::dpop;
use hallpass_testkit::client::encode;
use reqwest::StatusCode;
use serde_json::Value;

use super::server::Server;

const CLIENT: &str = "hallpass-cli";
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A session with the issuer, bound to a key of its own.
pub(super) struct Client {
    http: reqwest::Client,
    issuer: String,
    key: SigningKey,
    nonce: Option<String>,
    /// The newest access token.
    pub(super) access: String,
    /// The newest refresh token.
    pub(super) refresh: String,
}

/// An answer that was read whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn text(&self, member: &str) -> String {
        let json: Value = serde_json::from_str(&self.body).unwrap_or_default();
        json[member].as_str().unwrap_or_default().to_owned()
    }
}

impl Client {
    /// Logs `ada` in by device flow, approved by the operator.
    pub(super) async fn log_in(server: &Server) -> Self {
        let loopback = ([127, 0, 0, 1], server.public).into();
        let http = reqwest::Client::builder().no_proxy().resolve("localhost", loopback).build();
        let mut client = Self {
            http: http.expect("a plain client is made"),
            issuer: server.issuer(),
            key: SigningKey::generate(),
            nonce: None,
            access: String::new(),
            refresh: String::new(),
        };
        let form = [("client_id", CLIENT), ("scope", "openid offline_access")];
        let begun = client.post("device_authorization", &form).await.expect("the server runs");
        let user_code = begun.text("user_code");
        assert!(!user_code.is_empty(), "{}", begun.body);
        server.command(&["admin", "approve", &user_code, "--as", "ada"]).await;
        let device_code = begun.text("device_code");
        let form = [("grant_type", DEVICE_CODE), ("client_id", CLIENT), ("device_code", &device_code)];
        let answer = client.token(&form).await.expect("the server runs");
        assert!(client.keep(&answer), "{}", answer.body);
        client
    }

    /// Refreshes once. What comes back is not kept yet.
    pub(super) async fn refresh(&mut self) -> Result<Answer, reqwest::Error> {
        let refresh = self.refresh.clone();
        let form = [("grant_type", "refresh_token"), ("client_id", CLIENT), ("refresh_token", &refresh)];
        self.token(&form).await
    }

    /// Keeps what came, if it is tokens.
    pub(super) fn keep(&mut self, answer: &Answer) -> bool {
        let (access, refresh) = (answer.text("access_token"), answer.text("refresh_token"));
        let whole = answer.status == StatusCode::OK && !access.is_empty() && !refresh.is_empty();
        if whole {
            (self.access, self.refresh) = (access, refresh);
        }
        whole
    }

    /// Asks who the access token is about, which uses it.
    pub(super) async fn userinfo(&self) -> Result<Answer, reqwest::Error> {
        let uri = format!("{}/userinfo", self.issuer);
        let proof = self.proof("GET", &uri, Some(&self.access));
        let authorization = format!("DPoP {}", self.access);
        read(self.http.get(&uri).header("authorization", authorization).header("dpop", proof)).await
    }

    /// Sends a form.
    pub(super) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Result<Answer, reqwest::Error> {
        read(self.form(path, form)).await
    }

    /// Reads a path as it stands.
    pub(super) async fn get(&self, path: &str) -> Result<Answer, reqwest::Error> {
        read(self.http.get(format!("{}/{path}", self.issuer))).await
    }

    /// Asks the token endpoint with a proof; once more, if that lacked the nonce of now.
    async fn token(&mut self, form: &[(&str, &str)]) -> Result<Answer, reqwest::Error> {
        loop {
            let proof = self.proof("POST", &format!("{}/token", self.issuer), None);
            let response = self.form("token", form).header("dpop", proof).send().await?;
            let nonce = response.headers().get("dpop-nonce").and_then(|nonce| nonce.to_str().ok());
            let anew = nonce.is_some() && nonce != self.nonce.as_deref();
            self.nonce = nonce.map(str::to_owned).or(self.nonce.take());
            let answer = Answer { status: response.status(), body: response.text().await? };
            if !(anew && answer.text("error") == "use_dpop_nonce") {
                return Ok(answer);
            }
        }
    }

    fn form(&self, path: &str, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let request = self.http.post(format!("{}/{path}", self.issuer));
        request.header("content-type", "application/x-www-form-urlencoded").body(encode(form))
    }

    fn proof(&self, method: &str, uri: &str, access_token: Option<&str>) -> String {
        let request = dpop::Request { method, uri, access_token };
        let now = hallpass_testkit::clock::real_now();
        dpop::proof(&self.key, &request, self.nonce.as_deref(), now, &SystemEntropy)
    }
}

async fn read(request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
    let response = request.send().await?;
    Ok(Answer { status: response.status(), body: response.text().await? })
}
