//! The example under `hallpass assess`: what a program of one's own gets by embedding the holder.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use hallpass_store::Answer;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::desk::{Desk, Office};

/// `hallpass`, which whoever tests everything has beside this program already.
async fn hallpass() -> PathBuf {
    let beside = PathBuf::from(env!("CARGO_BIN_EXE_acme")).with_file_name("hallpass");
    if !(beside.exists() && beside.with_file_name("hallpass-main").exists()) {
        let cargo = option_env!("CARGO").unwrap_or("cargo");
        let built = Command::new(cargo).args(["build", "--quiet", "--package", "hallpass"]).status().await;
        assert!(built.unwrap().success());
    }
    beside
}

/// An API that asks the issuer whether a token is good.
async fn asks(office: Arc<Office>) -> String {
    async fn judge(State(office): State<Arc<Office>>, headers: HeaderMap) -> StatusCode {
        let header = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        match office.world.accepts(header.trim_start_matches("Bearer ")).await {
            true => StatusCode::OK,
            false => StatusCode::UNAUTHORIZED,
        }
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/notes", listener.local_addr().unwrap());
    let router = Router::new().route("/notes", get(judge)).with_state(office);
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn a_program_that_embeds_the_holder_passes_what_a_security_team_asks() {
    let office = Arc::new(Office::open().await);
    let desk = Desk::new(&office.world.issuer_url, "acme-cli", &office.api.url);
    let (api, acme) = (asks(office.clone()).await, env!("CARGO_BIN_EXE_acme"));
    let (token, logout) = (format!("{acme} token"), format!("{acme} logout"));
    let passphrase = desk.home.path().join("passphrase");
    let mut command = Command::new(hallpass().await);
    command.args(["assess", "--json", "--token", &token, "--logout", &logout, "--api", &api]);
    command.args(["--scope", "notes:read", "--scope", "notes:write"]);
    for (name, value) in [
        ("ACME_ISSUER", desk.issuer.as_str()),
        ("ACME_CLIENT_ID", &desk.client_id),
        ("ACME_API", &desk.api),
        ("ACME_PASSPHRASE_FILE", passphrase.to_str().unwrap()),
    ] {
        command.args(["--env", &format!("{name}={value}")]);
    }
    command.args(["--", acme, "login", "--device"]).env_clear();
    command.env("PATH", "/usr/bin:/bin").env("HOME", desk.home.path()).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut approved = false;
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some((_, code)) = line.split_once(" in any browser and type ")
            && !std::mem::replace(&mut approved, true)
        {
            office.world.answer_device(code.trim(), office.world.ada, Answer::Yes).await;
        }
    }
    let ended = child.wait_with_output().await.unwrap();
    let all: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    let verdicts: Vec<_> = all["answers"].as_array().unwrap().iter().map(|one| &one["verdict"]).collect();
    assert_eq!((ended.status.code(), all["passes"].as_bool()), (Some(0), Some(true)), "{all}");
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == "pass").count(), 7, "{all}");
}
