use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use tokio::process::Command;

use super::super::machine::{Said, in_time};
use super::gate::{Gate, listener, serve};
use super::interop::{interop, python};

#[derive(Clone)]
struct Index {
    gate: Gate,
    wheel: Arc<Vec<u8>>,
}

/// An index with one package in it, for whoever the gate lets in. Gives its address without a scheme.
async fn index(gate: &Gate) -> String {
    let folder = gate.machine.path("wheels");
    std::fs::create_dir_all(&folder).unwrap();
    let mut built = python(gate, &["wheel.py", folder.to_str().unwrap()]).unwrap();
    assert!(in_time(built.status()).await.unwrap().success());
    let wheel = std::fs::read(folder.join("hallpass_demo-1.0-py3-none-any.whl")).unwrap();
    let (listener, port) = listener().await;
    let index = Index { gate: gate.clone(), wheel: Arc::new(wheel) };
    serve(listener, Router::new().fallback(answer).with_state(index));
    format!("localhost:{port}/simple/")
}

async fn answer(State(index): State<Index>, request: Request) -> Response {
    if !index.gate.admits(request.headers()).await {
        return (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Basic realm=\"index\"")]).into_response();
    }
    let wheel = "hallpass_demo-1.0-py3-none-any.whl";
    match request.uri().path() {
        "/simple/hallpass-demo/" => {
            let page = format!(
                "<!DOCTYPE html><html><body><a href=\"/simple/files/{wheel}\">{wheel}</a></body></html>"
            );
            ([(CONTENT_TYPE, "text/html")], page).into_response()
        }
        path if path.ends_with(wheel) => index.wheel.to_vec().into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A person whose PATH has our `keyring` first.
async fn with_index() -> Option<(Gate, String)> {
    interop(".venv/installed-locks")?;
    let gate = Gate::new().await;
    let index = index(&gate).await;
    gate.configure(&gate.entry("pip", &format!("http://{index}"), ""));
    Some((gate, index))
}

fn pip(gate: &Gate, version: &str, index: &str, into: &str) -> Command {
    let arguments = ["-m", "pip", "--disable-pip-version-check", "--no-input", "--no-cache-dir", "install"];
    let into = gate.machine.path(into);
    let rest = ["--index-url", index, "--target", into.to_str().unwrap()];
    let mut all = arguments.to_vec();
    all.extend(rest);
    all.push("hallpass-demo");
    let mut command = python(gate, &all).unwrap();
    command.env("PYTHONPATH", interop(&format!(".venv/pip-{version}")).unwrap());
    command
}

#[tokio::test]
async fn pip_older_and_newer_installs_with_a_token_of_ours() {
    let Some((gate, index)) = with_index().await else { return };
    gate.setup("pip").await;
    // The older one asks for a password only where a name is in the address.
    for (version, index) in [("24.0", format!("http://oauth2@{index}")), ("26.3", format!("http://{index}"))]
    {
        let said = Said(in_time(pip(&gate, version, &index, version).output()).await.unwrap());
        assert_eq!(said.code(), 0, "{version}: {} {}", said.out(), said.err());
        assert!(gate.machine.path(version).join("hallpass_demo.py").exists(), "{version}");
    }
    assert!(!gate.admitted().is_empty());
}

#[tokio::test]
async fn uv_installs_with_a_token_of_ours() {
    let Some((gate, index)) = with_index().await else { return };
    gate.setup("uv").await;
    let into = gate.machine.path("uv");
    let index = format!("http://oauth2@{index}");
    let arguments = [
        "pip",
        "install",
        "--no-cache",
        "--index-url",
        &index,
        "--target",
        into.to_str().unwrap(),
        "hallpass-demo",
    ];
    let python = interop(".venv/bin/python").unwrap();
    let mut uv = gate.program(interop(".venv/bin/uv").unwrap(), &arguments);
    let said = Said(in_time(uv.env("UV_PYTHON", python).output()).await.unwrap());
    assert_eq!(said.code(), 0, "{} {}", said.out(), said.err());
    assert!(into.join("hallpass_demo.py").exists());
}

#[tokio::test]
async fn what_is_not_ours_goes_to_the_real_keyring() {
    use std::os::unix::fs::PermissionsExt;
    let gate = Gate::new().await;
    gate.configure(&gate.entry("pip", "https://pypi.example/simple", ""));
    let keyring = gate.link("keyring").join("keyring");
    let ask = async |words: &[&str], path: &str| {
        let mut command = gate.program(&keyring, words);
        Said(in_time(command.env("PATH", path).output()).await.unwrap())
    };
    let links = gate.machine.path("links");
    let nobody = format!("{}:/nonexistent", links.display());
    let said = ask(&["get", "https://other.example/simple", "ada"], &nobody).await;
    assert_eq!((said.code(), said.out().as_str(), said.err().as_str()), (1, "", ""));
    let said = ask(&["get", "https://pypi.example/simple", "ada"], &nobody).await;
    assert!(gate.machine.world.accepts(said.out().trim()).await, "{}", said.err());
    let said = ask(&["get", "pypi.example", "ada"], &nobody).await;
    assert_eq!((said.code(), said.out().as_str()), (1, ""), "a bare host does not say where it goes");

    let real = gate.machine.path("real");
    std::fs::create_dir_all(&real).unwrap();
    std::fs::write(real.join("keyring"), "#!/bin/sh\necho \"real: $*\"\nexit 3\n").unwrap();
    std::fs::set_permissions(real.join("keyring"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let both = format!("{}:{}:/usr/bin:/bin", links.display(), real.display());
    let said = ask(&["get", "https://other.example/simple", "ada"], &both).await;
    assert_eq!((said.code(), said.out().as_str()), (3, "real: get https://other.example/simple ada\n"));
    let said = ask(&["--list-backends"], &both).await;
    assert_eq!((said.code(), said.out().as_str()), (3, "real: --list-backends\n"));
}
