use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::process::Command;

use super::super::machine::{Said, in_time};
use super::gate::{Gate, listener, serve};
use super::interop::interop;

#[derive(Clone)]
struct Registry {
    gate: Gate,
    url: String,
    archive: Arc<Vec<u8>>,
}

async fn answer(State(registry): State<Registry>, request: Request) -> Response {
    if !registry.gate.admits(request.headers()).await {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if request.uri().path().ends_with(".tgz") {
        return registry.archive.to_vec().into_response();
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, &registry.archive);
    let version = serde_json::json!({
        "name": "hallpass-demo", "version": "1.0.0",
        "dist": {
            "tarball": format!("{}/hallpass-demo/-/hallpass-demo-1.0.0.tgz", registry.url),
            "integrity": format!("sha512-{}", STANDARD.encode(digest.as_ref())),
        },
    });
    serde_json::json!({
        "name": "hallpass-demo", "dist-tags": { "latest": "1.0.0" }, "versions": { "1.0.0": version },
    })
    .to_string()
    .into_response()
}

#[tokio::test]
async fn pnpm_installs_with_a_token_of_ours() {
    let Some(pnpm) = interop("node_modules/.bin/pnpm") else { return };
    let gate = Gate::new().await;
    let folder = gate.machine.path("packed/package");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("package.json"), r#"{"name":"hallpass-demo","version":"1.0.0"}"#).unwrap();
    let archive = gate.machine.path("package.tgz");
    let parent = folder.parent().unwrap();
    let packed = Command::new("tar")
        .args(["czf", archive.to_str().unwrap(), "-C", parent.to_str().unwrap(), "package"])
        .status();
    assert!(packed.await.unwrap().success());
    let (listener, port) = listener().await;
    let url = format!("http://localhost:{port}");
    let archive = Arc::new(std::fs::read(archive).unwrap());
    let registry = Registry { gate: gate.clone(), url: url.clone(), archive };
    serve(listener, Router::new().fallback(answer).with_state(registry));

    gate.configure(&gate.entry("pnpm", &url, ""));
    std::fs::write(gate.machine.path(".npmrc"), format!("registry={url}/\n")).unwrap();
    gate.setup("pnpm").await;

    let project = gate.machine.path("project");
    std::fs::create_dir_all(&project).unwrap();
    std::fs::write(project.join("package.json"), r#"{"name":"x","dependencies":{"hallpass-demo":"1.0.0"}}"#)
        .unwrap();
    let mut command = gate.program(pnpm, &["install", "--no-frozen-lockfile"]);
    command.current_dir(&project).env("CI", "1");
    let said = Said(in_time(command.output()).await.unwrap());
    assert_eq!(said.code(), 0, "{} {}", said.out(), said.err());
    assert!(project.join("node_modules/hallpass-demo/package.json").exists());
    assert!(gate.admitted().len() >= 2);
}

#[tokio::test]
async fn a_registry_that_is_not_in_config_toml_gets_nothing() {
    let gate = Gate::new().await;
    gate.configure(&gate.entry("pnpm", "https://npm.example", ""));
    let said = gate.machine.run(&["helper", "pnpm", "https://npm.example"]).await;
    let token = said.out().strip_prefix("Bearer ").unwrap().trim().to_owned();
    assert!(gate.machine.world.accepts(&token).await);
    for other in ["https://npm.example/other", "https://npm.example:8443", "http://npm.example"] {
        let said = gate.machine.run(&["helper", "pnpm", other]).await;
        assert_eq!((said.code(), said.out().as_str()), (1, ""), "{other}");
    }
}
