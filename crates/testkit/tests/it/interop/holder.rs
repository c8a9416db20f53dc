//! Our holder logs in at npm's oidc-provider, a certified provider that has never heard of us.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use hallpass_holder::{
    Fate, Flow, Holder, HolderError, LoginEvent, LoginRequest, PassRequest, Rung, Settings, SignedIn,
    Surroundings,
};
use hallpass_model::device::DeviceClass;
use hallpass_model::time::Timestamp;
use hallpass_model::wire::oauth::Scopes;
use hallpass_testkit::client::claims;
use hallpass_testkit::clock::real_now;
use serde_json::{Value, json};

use super::Npm;

/// A provider, and a person's machine with nothing on it yet.
struct Desk {
    provider: Npm,
    issuer: String,
    resource: String,
    holder: Holder,
    /// How far the machine's clock is ahead of the provider's, in ms: what makes a token look old here.
    ahead: Arc<AtomicI64>,
    _state: tempfile::TempDir,
}

impl Desk {
    async fn new() -> Self {
        let mut provider = Npm::start("provider.mjs");
        let ready = provider.hear().await.expect("it says where it listens");
        let text = |name: &str| ready[name].as_str().expect("text").to_owned();
        let state = tempfile::tempdir().expect("a folder");
        let ahead = Arc::new(AtomicI64::new(0));
        let shift = ahead.clone();
        let holder = Holder::new(
            Settings::new(Arc::new(move || {
                Timestamp::from_millis(real_now().millis() + shift.load(Ordering::SeqCst))
            }))
            .with(|settings| settings.state = Some(state.path().join("state"))),
        );
        Self { issuer: text("ready"), resource: text("resource"), provider, holder, ahead, _state: state }
    }

    async fn login(&self, flow: Flow, resources: &[&str]) -> Result<SignedIn, HolderError> {
        let mut at = Surroundings::default();
        (at.desktop, at.terminal) = (true, true);
        let request = LoginRequest::new(self.issuer.clone(), at).with(|request| {
            request.client_id = Some("native-cli".to_owned());
            request.scopes = Scopes::parse("openid notes:read").expect("scopes");
            request.resources = resources.iter().map(ToString::to_string).collect();
            request.flow = Some(flow);
            request.device_name = "desk".to_owned();
            request.device_class = DeviceClass::Laptop;
            request.rung = Some(Rung::Memory);
        });
        let issuer = self.issuer.clone();
        let mut on_event = move |event: LoginEvent<'_>| match event {
            LoginEvent::Address { address, .. } => browse(address.to_owned()),
            LoginEvent::Code { code, .. } => {
                let (address, body) = (format!("{issuer}/test/device"), json!({ "user_code": code }));
                tokio::spawn(async move { ask(&address, Some(body)).await });
            }
            _ => {}
        };
        let never = std::pin::pin!(std::future::pending());
        self.holder.login(request, &mut on_event, never).await
    }

    /// The requests that the token endpoint has had: grant type and status.
    async fn seen(&self) -> Vec<String> {
        let seen = ask(&format!("{}/test/seen", self.issuer), None).await;
        let told = |one: &Value| {
            let grant_type = one["grant_type"].as_str().unwrap_or_default();
            format!("{} {}", grant_type.rsplit(':').next().unwrap_or_default(), one["status"])
        };
        seen.as_array().expect("a list").iter().map(told).collect()
    }

    /// A pass in the text that an API would be sent.
    async fn pass(&self, signed_in: &SignedIn) -> Result<String, HolderError> {
        let pass = self.holder.token(&signed_in.identity, &PassRequest::default()).await?;
        Ok(pass.token.expose_text().to_owned())
    }
}

#[tokio::test]
async fn our_holder_logs_in_by_browser_renews_with_rotation_and_revokes() {
    let desk = Desk::new().await;
    let signed_in = desk.login(Flow::Browser, &[&desk.resource]).await.expect("the person agrees");
    assert_eq!((signed_in.person.as_deref(), signed_in.renewable), (Some("alice"), true));
    let first = desk.pass(&signed_in).await.expect("a fresh login has a token");
    let aud: Value = claims::<Value>(&first)["aud"].take();
    assert_eq!(aud, json!(desk.resource));
    assert_eq!(desk.pass(&signed_in).await.expect("kept"), first, "while it is good it is handed out again");

    for _ in 0..2 {
        desk.ahead.fetch_add(400_000, Ordering::SeqCst);
        let next = desk.pass(&signed_in).await.expect("renewed");
        assert_ne!(next, first);
    }
    assert_eq!(desk.seen().await, ["authorization_code 200", "refresh_token 200", "refresh_token 200"]);

    let receipt = desk.holder.logout(&signed_in.identity).await.expect("there is something to give up");
    let [refresh, access] = &receipt.credentials[..] else { panic!("{receipt:?}") };
    assert_eq!((refresh.what.as_str(), &refresh.fate), ("the refresh token", &Fate::Revoked));
    // This provider cannot revoke an access token that is a JWT. Logout says so, and does not call it dead.
    let why = "the issuer refused: unsupported_token_type".to_owned();
    assert_eq!((access.what.as_str(), &access.fate), ("the access token", &Fate::Alive { why }));
    assert!(receipt.may_be_alive());
    assert!(matches!(desk.pass(&signed_in).await, Err(HolderError::NotSignedIn { .. })));
}

#[tokio::test]
async fn our_holder_logs_in_by_device_renews_and_revokes_all_of_it() {
    let desk = Desk::new().await;
    let signed_in = desk.login(Flow::Device, &[]).await.expect("the person agrees");
    assert_eq!((signed_in.flow, signed_in.renewable), (Flow::Device, true));
    desk.pass(&signed_in).await.expect("a fresh login has a token");
    desk.ahead.fetch_add(3_600_000, Ordering::SeqCst);
    desk.pass(&signed_in).await.expect("renewed");
    assert_eq!(desk.seen().await.last().map(String::as_str), Some("refresh_token 200"));
    let receipt = desk.holder.logout(&signed_in.identity).await.expect("there is something to give up");
    assert_eq!(receipt.credentials.len(), 2, "{receipt:?}");
    assert!(!receipt.may_be_alive(), "{receipt:?}");
}

#[tokio::test]
async fn our_holder_keeps_nothing_when_the_person_says_no() {
    let desk = Desk::new().await;
    ask(&format!("{}/test/person", desk.issuer), Some(json!({ "answer": "deny" }))).await;
    for flow in [Flow::Browser, Flow::Device] {
        let refused = desk.login(flow, &[&desk.resource]).await.expect_err("the person said no");
        assert!(!matches!(refused, HolderError::Cancelled | HolderError::TimedOut), "{refused}");
        assert!(desk.holder.list().expect("a list").is_empty());
    }
    drop(desk.provider);
}

/// A browser that does what pages tell it: follows redirects and keeps cookies.
fn browse(address: String) {
    let mut curl = tokio::process::Command::new("curl");
    curl.args(["--silent", "--location", "--cookie", "", "--noproxy", "*", "--output", "/dev/null"])
        .arg(address);
    tokio::spawn(async move { curl.status().await.expect("curl is here") });
}

async fn ask(address: &str, body: Option<Value>) -> Value {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = match body {
        Some(body) => http.post(address).body(body.to_string()),
        None => http.get(address),
    };
    request.send().await.expect("it answers").json().await.expect("JSON")
}
