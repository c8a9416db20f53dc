//! A person with the program, an issuer whose time is the real one, and an API.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::any;
use axum::{Extension, Router};
use hallpass_model::client::ClientKind;
use hallpass_store::AddClient;
use hallpass_testkit::World;
use hallpass_testkit::clock::Following;
pub(crate) use hallpass_testkit::clock::real_now as now;
use hallpass_verifier::layer::RequireToken;
use hallpass_verifier::{Dpop, ProvenKey, Verifier};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// Nothing here takes longer; a machine that is busy with a build is slow.
const AT_MOST: Duration = Duration::from_secs(60);

/// An issuer that knows the program and the API.
pub(crate) struct Office {
    pub(crate) world: World,
    pub(crate) api: Api,
    _time: Following,
}

impl Office {
    pub(crate) async fn open() -> Self {
        let world = World::new().await;
        let time = world.clock.follow_real();
        let scopes = "openid profile offline_access notes:read notes:write".parse().unwrap();
        world.add_client(AddClient { scopes, ..world.new_client("acme-cli", ClientKind::Cli) }).await;
        let api = Api::start(Some(&world.issuer_url)).await;
        world.add_resource(&api.url, "notes:read notes:write", Some(world.notes_api)).await;
        Self { world, api, _time: time }
    }
}

/// An API that says how it was asked.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<String>>>,
    refuses: Arc<Mutex<usize>>,
}

impl Api {
    /// One that judges tokens of `issuer`, with nonces; or that takes whatever comes.
    pub(crate) async fn start(issuer: Option<&str>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let api = Self { url, seen: Arc::default(), refuses: Arc::default() };
        let mut router =
            Router::new().route("/away", any(|| async { Redirect::to("/notes") })).fallback(any(answer));
        if let Some(issuer) = issuer {
            let dpop = Dpop::at(&api.url).unwrap().with_nonces(&[7; 32]);
            let verifier = Verifier::discover(issuer, &api.url).unwrap().with_dpop(dpop);
            router = router.layer(RequireToken::new(verifier, "notes:read".parse().unwrap(), Arc::new(now)));
        }
        let watched = api.clone();
        let router = router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let api = watched.clone();
            let header = request.headers().get("authorization").and_then(|value| value.to_str().ok());
            api.seen.lock().unwrap().push(header.unwrap_or_default().to_owned());
            async move {
                let refuse = {
                    let mut left = api.refuses.lock().unwrap();
                    let refuse = *left > 0;
                    *left = left.saturating_sub(1);
                    refuse
                };
                if refuse {
                    let challenge = [("www-authenticate", r#"Bearer error="invalid_token""#)];
                    return (StatusCode::UNAUTHORIZED, challenge).into_response();
                }
                next.run(request).await
            }
        }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        api
    }

    /// The `Authorization` headers that came since this was last asked.
    pub(crate) fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    /// Refuses the tokens of so many requests from here on.
    pub(crate) fn refuse(&self, requests: usize) {
        *self.refuses.lock().unwrap() = requests;
    }
}

async fn answer(key: Option<Extension<ProvenKey>>, request: Request) -> Response {
    let how = if key.is_some() { "proven" } else { "bearer" };
    format!("{} {} {how}\n", request.method(), request.uri()).into_response()
}

/// A person's home, and the program as they run it there.
pub(crate) struct Desk {
    pub(crate) home: tempfile::TempDir,
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) api: String,
    /// Variables that are set besides those it needs.
    pub(crate) besides: Vec<(String, String)>,
}

/// What the program said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) good: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Desk {
    pub(crate) fn new(issuer: &str, client_id: &str, api: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("passphrase"), "correct horse\n").unwrap();
        let [issuer, client_id, api] = [issuer, client_id, api].map(str::to_owned);
        Self { home, issuer, client_id, api, besides: Vec::new() }
    }

    fn acme(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_acme"));
        command.args(arguments).env_clear().envs(self.besides.iter().cloned()).env("HOME", self.home.path());
        command.env("ACME_ISSUER", &self.issuer).env("ACME_CLIENT_ID", &self.client_id);
        command.env("ACME_API", &self.api).env("ACME_PASSPHRASE_FILE", self.home.path().join("passphrase"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Said {
        let ended = tokio::time::timeout(AT_MOST, self.acme(arguments).output()).await.unwrap().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { good: ended.status.success(), out: text(ended.stdout), err: text(ended.stderr) }
    }

    /// Signs in with a code, which `approve` is told. What was said.
    pub(crate) async fn login(&self, approve: impl AsyncFnOnce(String)) -> Said {
        let mut child = self.acme(&["login", "--device"]).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut err = String::new();
        let mut approve = Some(approve);
        while let Some(line) = tokio::time::timeout(AT_MOST, lines.next_line()).await.unwrap().unwrap() {
            if let Some((_, code)) = line.split_once(" in any browser and type ")
                && let Some(approve) = approve.take()
            {
                approve(code.to_owned()).await;
            }
            err += &line;
            err += "\n";
        }
        let ended = tokio::time::timeout(AT_MOST, child.wait_with_output()).await.unwrap().unwrap();
        Said { good: ended.status.success(), out: String::from_utf8(ended.stdout).unwrap(), err }
    }

    /// Whether any file of the home holds this text.
    pub(crate) fn holds(&self, text: &str) -> bool {
        let mut folders = vec![self.home.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else if String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).contains(text) {
                    return true;
                }
            }
        }
        false
    }
}

/// Every variable that `hallpass` knows, each with a value that would be felt.
pub(crate) fn hostile(trap: &Trap) -> Vec<(String, String)> {
    let known =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/hallpass/src/env.rs"));
    let known = known.unwrap();
    let mut names: Vec<_> = known.split(|c: char| !(c.is_ascii_uppercase() || c == '_')).collect();
    names.retain(|name| name.starts_with("HALLPASS_") && name.len() > "HALLPASS_".len());
    names.sort_unstable();
    names.dedup();
    assert!(names.len() > 15 && names.contains(&"HALLPASS_STATE_DIR"), "{names:?}");
    let felt = |name: &str| match name {
        "HALLPASS_SOCKET" => trap.socket.display().to_string(),
        "HALLPASS_DAEMON" => "on".to_owned(),
        "HALLPASS_STORE" => "plaintext".to_owned(),
        "HALLPASS_PROFILE" | "HALLPASS_CLIENT_ID" => "somebody-else".to_owned(),
        "HALLPASS_ISSUER" => "https://evil.example".to_owned(),
        "HALLPASS_BROWSER" => trap.program.display().to_string(),
        "HALLPASS_LOG" => "trace".to_owned(),
        "HALLPASS_HOST" => "shared".to_owned(),
        _ => trap.folder.path().join("not-there/x").display().to_string(),
    };
    names.iter().map(|name| ((*name).to_owned(), felt(name))).collect()
}

/// What a program that looks where it was not told to would run into.
pub(crate) struct Trap {
    pub(crate) folder: tempfile::TempDir,
    /// A socket that would be taken for the daemon's.
    pub(crate) socket: std::path::PathBuf,
    /// A program that would be taken for a browser.
    pub(crate) program: std::path::PathBuf,
    /// A proxy that all requests would go through.
    pub(crate) proxy: String,
    touched: Arc<Mutex<Vec<&'static str>>>,
}

impl Trap {
    pub(crate) async fn set() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (socket, program) = (folder.path().join("socket"), folder.path().join("browser"));
        let opened = folder.path().join("opened");
        std::fs::write(&program, format!("#!/bin/sh\ntouch '{}'\n", opened.display())).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        let daemon = tokio::net::UnixListener::bind(&socket).unwrap();
        let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", proxy.local_addr().unwrap());
        let touched: Arc<Mutex<Vec<&'static str>>> = Arc::default();
        let (asked, went_through) = (touched.clone(), touched.clone());
        tokio::spawn(async move {
            while daemon.accept().await.is_ok() {
                asked.lock().unwrap().push("the socket")
            }
        });
        tokio::spawn(async move {
            while proxy.accept().await.is_ok() {
                went_through.lock().unwrap().push("the proxy")
            }
        });
        Self { folder, socket, program, proxy: address, touched }
    }

    /// What was touched.
    pub(crate) fn sprung(&self) -> Vec<&'static str> {
        let mut touched = std::mem::take(&mut *self.touched.lock().unwrap());
        for (name, what) in
            [("opened", "the browser"), ("home", "the home folder"), ("not-there", "a folder")]
        {
            if self.folder.path().join(name).exists() {
                touched.push(what);
            }
        }
        touched
    }
}
