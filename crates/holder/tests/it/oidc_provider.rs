//! Against another implementation: npm's `oidc-provider`, its pages answered by a person who approves.
//!
//! `make test` installs it. Without it there is nothing to test against, and these pass.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;

use hallpass_holder::{Fate, Flow, HolderError, LoginEvent, LoginRequest, PassRequest};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use url::Url;

use crate::desk::{Desk, base_request};

/// The provider, which ends when its input closes.
struct OidcProvider {
    issuer: String,
    client_id: String,
    resource: String,
    _process: Child,
}

impl OidcProvider {
    /// Starts it, where it is installed.
    async fn start() -> Option<Self> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop");
        if !folder.join("node_modules/oidc-provider").exists() {
            return None;
        }
        let mut process = Command::new(folder.join("node"))
            .arg("provider.mjs")
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let said: serde_json::Value =
            serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        // Whatever else it says is read, so that it does not die of a closed pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let text = |name: &str| said[name].as_str().unwrap().to_owned();
        Some(Self {
            issuer: text("ready"),
            client_id: text("client_id"),
            resource: text("resource"),
            _process: process,
        })
    }

    fn request(&self, flow: Flow) -> LoginRequest {
        base_request(&self.issuer, flow).with(|request| {
            request.client_id = Some(self.client_id.clone());
            request.resources = vec![self.resource.clone()];
        })
    }

    async fn seen(&self) -> Vec<String> {
        let answer = reqwest::get(format!("{}/test/seen", self.issuer)).await.unwrap().bytes().await.unwrap();
        let seen: Vec<serde_json::Value> = serde_json::from_slice(&answer).unwrap();
        seen.iter()
            .map(|one| format!("{} {}", one["grant_type"].as_str().unwrap_or("?"), one["status"]))
            .collect()
    }
}

/// The person goes to the device page and answers.
async fn approve(issuer: String, user_code: String) {
    let body = serde_json::json!({ "user_code": user_code }).to_string();
    let answer =
        reqwest::Client::new().post(format!("{issuer}/test/device")).body(body).send().await.unwrap();
    assert!(answer.text().await.unwrap().contains("\"done\":true"));
}

/// A browser of a few lines: follows redirects and keeps cookies.
async fn browse(address: String) -> String {
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let mut cookies: HashMap<String, String> = HashMap::new();
    let mut url: Url = address.parse().unwrap();
    loop {
        let jar: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let page = client.get(url.clone()).header("cookie", jar.join("; ")).send().await.unwrap();
        for cookie in page.headers().get_all("set-cookie") {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            cookies.insert(name.to_owned(), value.to_owned());
        }
        match page.headers().get("location") {
            Some(next) => url = url.join(next.to_str().unwrap()).unwrap(),
            None => return page.text().await.unwrap(),
        }
    }
}

#[tokio::test]
async fn device_login_rotation_and_logout() {
    let Some(provider) = OidcProvider::start().await else { return };
    let desk = Desk::new();
    let issuer = provider.issuer.clone();
    let signed_in = desk
        .login_seeing(provider.request(Flow::Device), &mut |event| {
            if let LoginEvent::Code { code, .. } = event {
                tokio::spawn(approve(issuer.clone(), code.to_owned()));
            }
        })
        .await
        .unwrap();
    assert_eq!(
        (signed_in.person.as_deref(), signed_in.renewable, signed_in.bound),
        (Some("alice"), true, false)
    );
    let identity = signed_in.identity;
    let first = desk.token(&identity).await.unwrap();

    // Its tokens live five minutes: later, each use renews, with a new refresh token every time.
    let second = desk.beside_later(10).token(&identity).await.unwrap();
    let third = desk.beside_later(20).token(&identity).await.unwrap();
    assert!(first != second && second != third);
    assert_eq!(provider.seen().await.iter().filter(|one| *one == "refresh_token 200").count(), 2);

    let copy = desk.copied();
    let receipt = desk.holder.logout(&identity).await.unwrap();
    let [refresh, access] = &receipt.credentials[..] else { panic!("{:?}", receipt.credentials) };
    assert_eq!((refresh.what.as_str(), &refresh.fate), ("the refresh token", &Fate::Revoked));
    // It cannot revoke access tokens that are signed (RFC 7009, section 2.2.1): the receipt says so, and until when.
    assert!(
        matches!(&access.fate, Fate::Alive { why } if why.contains("unsupported_token_type")),
        "{access:?}"
    );
    assert!(access.lives_until.is_some());
    // What a thief of the folder (and the passphrase) has is dead there.
    let outcome = copy.later(40).token(&identity).await;
    assert!(matches!(outcome, Err(HolderError::SignInEnded { .. })), "{outcome:?}");
}

#[tokio::test]
async fn browser_login_for_one_api() {
    let Some(provider) = OidcProvider::start().await else { return };
    let desk = Desk::new();
    let mut browser = None;
    let signed_in = desk
        .login_seeing(provider.request(Flow::Browser), &mut |event| {
            if let LoginEvent::Address { address, .. } = event {
                browser = Some(tokio::spawn(browse(address.to_owned())));
            }
        })
        .await
        .unwrap();
    assert!(browser.unwrap().await.unwrap().contains("You are signed in"));
    let request = PassRequest::default().resource(provider.resource.clone());
    let pass = desk.holder.token(&signed_in.identity, &request).await.unwrap();
    let claims =
        pass.token.expose_text().split('.').nth(1).and_then(hallpass_model::jose::base64url::parse).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(
        (claims["aud"].as_str(), claims["sub"].as_str()),
        (Some(provider.resource.as_str()), Some("alice"))
    );
}
