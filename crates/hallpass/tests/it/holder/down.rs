//! The real issuer is killed while a command runs, and started again.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallpass_model::jose::SigningKey;
use hallpass_model::lifetimes::{CLIENT_ASSERTION_MAX, RUN_RESUME};
use hallpass_model::wire::assertion::{ASSERTION_TYPE, assertion};
use hallpass_testkit::client::encode;
use hallpass_testkit::world::NOTES;
use rustix::process::{Signal, kill_process};
use tokio::process::Child;
use tokio::time::Instant;

use super::killed::{kill_both, pid};
use super::machine::{Home, Said, in_time, now, until};
use crate::promises::server::{Server, free_port};

/// `hallpass serve` as a process, ada signed in to it, and the server of the one API, which asks it about tokens.
struct Site {
    server: Server,
    home: Home,
    api_key: SigningKey,
    asked: std::cell::Cell<u32>,
}

impl Site {
    async fn new() -> Self {
        let home = Home::new();
        let port = free_port();
        let mut server = Server::new(&home.path(""), port, port);
        server.start().await;
        server.command(&["admin", "org", "add", "acme", "--administrator", "ada"]).await;
        let pem = home.path("notes-api.pem");
        let add = ["admin", "client", "add", "notes-api", "--kind", "service", "--owner", "person:ada"];
        server.command(&[&add[..], &["--new-key", pem.to_str().unwrap()]].concat()).await;
        let add = ["admin", "resource", "add", NOTES, "--owner", "person:ada", "--environment", "dev"];
        let scopes = ["--scope", "notes:read", "--scope", "notes:write", "--server", "notes-api"];
        server.command(&[&add[..], &scopes[..]].concat()).await;
        let (login, code) = home.start_login_at(&server.issuer(), &[], |_| {}).await;
        server.command(&["admin", "approve", &code, "--as", "ada"]).await;
        let said = Said(in_time(login.wait_with_output()).await.unwrap());
        assert_eq!(said.code(), 0, "{}", said.err());
        let pem = std::fs::read_to_string(pem).unwrap();
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let api_key = SigningKey::from_pkcs8(&STANDARD.decode(body).unwrap()).unwrap();
        Self { server, home, api_key, asked: std::cell::Cell::new(0) }
    }

    /// With a run, and its pass.
    async fn with_run() -> (Self, Child, String) {
        let site = Self::new().await;
        let (child, token) = site.home.start_run().await;
        assert!(site.accepts(&token).await);
        (site, child, token)
    }

    /// Whether the API would accept this token now.
    async fn accepts(&self, token: &str) -> bool {
        self.asked.set(self.asked.get() + 1);
        let issuer = self.server.issuer();
        let jti = format!("ask-{}", self.asked.get());
        let signed = assertion(&self.api_key, "notes-api", &issuer, &jti, now(), CLIENT_ASSERTION_MAX);
        let form =
            [("token", token), ("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &signed)];
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = http.post(format!("{issuer}/introspect")).body(encode(&form));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = in_time(request.send()).await.unwrap().text().await.unwrap();
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        answer["active"].as_bool().unwrap_or_else(|| panic!("{answer}"))
    }

    /// Whether a run was cut by the issuer because nobody came back.
    async fn cut_a_lost_run(&self) -> bool {
        let ledger = self.server.command(&["ledger", "list", "--json"]).await;
        String::from_utf8(ledger.stdout).unwrap().contains("run_lost")
    }

    async fn until_dead(&self, token: &str) -> Duration {
        let start = Instant::now();
        until("the pass is dead", async || !self.accepts(token).await).await;
        start.elapsed()
    }
}

#[tokio::test]
async fn when_the_command_ends_while_nobody_listens_the_watcher_revokes_when_the_issuer_is_back() {
    let (mut site, child, token) = Site::with_run().await;
    site.server.end(Signal::KILL).await;
    site.home.let_go();
    let said = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(said.code(), 0, "the code is the command's");
    assert!(
        said.err().contains("warning: the token is not revoked yet: Connection refused"),
        "{}",
        said.err()
    );
    site.server.start().await;
    site.until_dead(&token).await;
    assert!(!site.cut_a_lost_run().await, "it was the watcher");
}

#[tokio::test]
async fn when_hallpass_is_killed_while_nobody_listens_the_watcher_revokes_when_the_issuer_is_back() {
    let (mut site, mut child, token) = Site::with_run().await;
    site.server.end(Signal::KILL).await;
    kill_process(pid(&child), Signal::KILL).unwrap();
    site.server.start().await;
    site.until_dead(&token).await;
    assert!(!site.cut_a_lost_run().await, "it was the watcher");
    site.home.let_go();
    in_time(child.wait()).await.unwrap();
}

#[tokio::test]
async fn when_watcher_and_parent_die_while_the_issuer_is_down_it_cuts_after_it_is_back() {
    let (mut site, mut child, token) = Site::with_run().await;
    site.server.end(Signal::KILL).await;
    kill_both(pid(&child));
    site.server.start().await;
    let took = site.until_dead(&token).await;
    assert!(took < RUN_RESUME.to_std() * 2, "{took:?}");
    assert!(site.cut_a_lost_run().await, "nobody else was there to do it");
    site.home.let_go();
    in_time(child.wait()).await.unwrap();
}

#[tokio::test]
async fn when_the_issuer_alone_is_killed_the_run_goes_on_and_keeps_its_pass() {
    let (mut site, child, token) = Site::with_run().await;
    site.server.end(Signal::KILL).await;
    site.server.start().await;
    let patience = Instant::now() + RUN_RESUME.to_std() + Duration::from_secs(3);
    until("the time is over", async || Instant::now() > patience).await;
    assert!(site.accepts(&token).await, "the watcher came back in time");
    site.home.let_go();
    let said = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    assert!(!site.accepts(&token).await);
}
