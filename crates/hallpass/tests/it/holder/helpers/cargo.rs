use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use hallpass_model::jose::base64url;
use tokio::process::Command;

use super::super::machine::{Said, in_time};
use super::gate::{Gate, listener, serve};

/// A private registry (the sparse protocol), all of whose answers are for whoever the gate lets in.
#[derive(Clone)]
struct Registry {
    gate: Gate,
    url: String,
    crates: Arc<Mutex<HashMap<String, Published>>>,
}

#[derive(Clone)]
struct Published {
    line: String,
    bytes: Vec<u8>,
}

impl Registry {
    async fn start(gate: &Gate) -> Self {
        let (listener, port) = listener().await;
        let registry =
            Self { gate: gate.clone(), url: format!("http://localhost:{port}"), crates: Arc::default() };
        serve(listener, Router::new().fallback(answer).with_state(registry.clone()));
        registry
    }

    fn add(&self, name: &str, version: &str, bytes: &[u8]) {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        let checksum: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let line = serde_json::json!({
            "name": name, "vers": version, "deps": [], "cksum": checksum, "features": {}, "yanked": false,
        });
        let published = Published { line: line.to_string(), bytes: bytes.to_vec() };
        self.crates.lock().unwrap().insert(name.to_owned(), published);
    }
}

async fn answer(State(registry): State<Registry>, request: Request) -> Response {
    // cargo sends what the provider gave as the whole header: with the scheme, as the registry wants it.
    let header = request.headers().get(AUTHORIZATION).and_then(|header| header.to_str().ok());
    let bearer = header.is_some_and(|header| header.starts_with("Bearer "));
    if !bearer || !registry.gate.admits(request.headers()).await {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let path = request.uri().path().to_owned();
    let name = path.rsplit('/').find(|part| part.contains("hallpass-demo")).unwrap_or_default().to_owned();
    if path == "/index/config.json" {
        let url = &registry.url;
        return format!(r#"{{"dl":"{url}/dl/{{crate}}","api":"{url}","auth-required":true}}"#)
            .into_response();
    }
    if (request.method(), path.as_str()) == (&Method::PUT, "/api/v1/crates/new") {
        let body: Bytes = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
        let length = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().unwrap()) as usize;
        let end = 4 + length(0);
        let metadata: serde_json::Value = serde_json::from_slice(&body[4..end]).unwrap();
        let text = |name: &str| metadata[name].as_str().unwrap().to_owned();
        registry.add(&text("name"), &text("vers"), &body[end + 4..end + 4 + length(end)]);
        return r#"{"warnings":{"invalid_categories":[],"invalid_badges":[],"other":[]}}"#.into_response();
    }
    match (registry.crates.lock().unwrap().get(&name), path.starts_with("/index/")) {
        (Some(published), true) => published.line.clone().into_response(),
        (Some(published), false) => published.bytes.clone().into_response(),
        (None, _) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A package that does nothing, in a folder of its own.
fn package(gate: &Gate, name: &str, more: &str) -> PathBuf {
    let folder = gate.machine.path(&format!("packages/{name}-0.1.0"));
    std::fs::create_dir_all(folder.join("src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\ndescription = \"x\"\nlicense = \"MIT\"\n{more}\n"
    );
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.join("src/lib.rs"), "").unwrap();
    folder
}

async fn run(gate: &Gate, folder: &Path, arguments: &[&str]) -> Said {
    let cargo = Path::new(env!("CARGO"));
    let mut command = gate.program(cargo, arguments);
    command.current_dir(folder).env("CARGO_HOME", gate.machine.path(".cargo"));
    // A rustc of the same toolchain, which cargo asks for its version.
    let path = format!("{}:/usr/bin:/bin", cargo.parent().unwrap().display());
    Said(in_time(command.env("PATH", path).output()).await.unwrap())
}

/// What a token says of itself.
fn claims(token: &str) -> serde_json::Value {
    let claims = base64url::parse(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&claims).unwrap()
}

#[tokio::test]
async fn cargo_reads_with_one_token_and_publishes_with_another_that_is_narrower_and_says_what_for() {
    let gate = Gate::new().await;
    let registry = Registry::start(&gate).await;
    let index = format!("sparse+{}/index/", registry.url);
    let scopes = "registry = \"ours\"\nscope = [\"notes:read\"]\nchange_scope = [\"notes:write\"]";
    gate.configure(&gate.entry("cargo", &index, scopes));
    gate.setup("cargo").await;

    let base = package(&gate, "hallpass-demo", "");
    let archive = gate.machine.path("hallpass-demo.crate");
    let packed = Command::new("tar")
        .args(["czf", archive.to_str().unwrap(), "-C"])
        .args([base.parent().unwrap().to_str().unwrap(), "hallpass-demo-0.1.0"])
        .status();
    assert!(packed.await.unwrap().success());
    registry.add("hallpass-demo", "0.1.0", &std::fs::read(&archive).unwrap());

    let above = "[dependencies]\nhallpass-demo = { version = \"0.1.0\", registry = \"ours\" }\n[workspace]";
    let above = package(&gate, "hallpass-demo-above", above);
    let said = run(&gate, &above, &["fetch"]).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    let reading = gate.admitted();
    assert!(reading.len() >= 3 && reading.iter().all(|token| *token == reading[0]), "config, index, crate");
    assert_eq!(claims(&reading[0])["scope"], "notes:read");

    let said = run(&gate, &above, &["publish", "--registry", "ours", "--no-verify", "--allow-dirty"]).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    assert!(registry.crates.lock().unwrap().contains_key("hallpass-demo-above"));
    let publishing: Vec<_> = gate.admitted().into_iter().filter(|token| *token != reading[0]).collect();
    let narrow: Vec<_> =
        publishing.iter().map(|token| claims(token)).filter(|c| c["scope"] == "notes:write").collect();
    assert!(!narrow.is_empty());
    for claims in narrow {
        assert_eq!(claims["purpose"], "cargo publish hallpass-demo-above 0.1.0");
    }

    // Another index, however alike, is not ours; cargo says so itself.
    gate.configure(&gate.entry("cargo", &index.replace("/index/", "/index2/"), ""));
    let elsewhere = package(
        &gate,
        "hallpass-demo-later",
        "[dependencies]\nhallpass-demo = { version = \"*\", registry = \"ours\" }\n[workspace]",
    );
    std::fs::remove_dir_all(gate.machine.path(".cargo/registry")).unwrap();
    let said = run(&gate, &elsewhere, &["fetch"]).await;
    assert!(
        said.code() != 0 && said.err().contains("no credential providers could handle"),
        "{}",
        said.err()
    );
}
