use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use tokio::process::Child;

use super::super::machine::{Said, in_time, until};
use super::desk::ask;
use super::gate::{Gate, listener, serve};

const REGISTRY: &str = "/usr/bin/docker-registry";
const SKOPEO: &str = "/usr/bin/skopeo";
/// What the token server of the registry gives to whoever the gate lets in.
const INNER: &str = "inner-token";

/// A registry with a door before it, as the distribution's token protocol has it: 401 names a token server, which is
/// shown our token as a password, and gives its own.
struct Registry {
    name: String,
    _process: Child,
}

#[derive(Clone)]
struct Front {
    gate: Gate,
    behind: Arc<String>,
    http: reqwest::Client,
}

impl Registry {
    async fn start(gate: &Gate) -> Option<Self> {
        if !Path::new(REGISTRY).exists() || !Path::new(SKOPEO).exists() {
            return None;
        }
        let http = reqwest::Client::new();
        let (inner, process) = loop {
            let (free, port) = listener().await;
            drop(free); // and hope that nobody else takes it: then the registry ends, and another is tried
            let config = gate.machine.path("registry.yml");
            let store = gate.machine.path("registry");
            let text = format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
                 http: {{addr: \"127.0.0.1:{port}\", relativeurls: true}}\n",
                store.display()
            );
            std::fs::write(&config, text).unwrap();
            let mut process = gate.program(REGISTRY, &["serve", config.to_str().unwrap()]).spawn().unwrap();
            let inner = format!("http://127.0.0.1:{port}");
            let mut up = false;
            until("the registry is up, or gone", async || {
                up = http.get(format!("{inner}/v2/")).send().await.is_ok();
                up || process.try_wait().unwrap().is_some()
            })
            .await;
            if up {
                break (inner, process);
            }
        };
        let (listener, port) = listener().await;
        let front = Front { gate: gate.clone(), behind: Arc::new(inner), http };
        serve(listener, Router::new().fallback(door).with_state(front));
        Some(Self { name: format!("localhost:{port}"), _process: process })
    }
}

async fn door(State(front): State<Front>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let host = parts.headers["host"].to_str().unwrap().to_owned();
    if parts.uri.path() == "/token" {
        return match front.gate.admits(&parts.headers).await {
            true => format!("{{\"token\":\"{INNER}\",\"expires_in\":300}}").into_response(),
            false => StatusCode::UNAUTHORIZED.into_response(),
        };
    }
    if parts
        .headers
        .get(AUTHORIZATION)
        .is_none_or(|shown| shown.as_bytes() != format!("Bearer {INNER}").as_bytes())
    {
        let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"test\"");
        return (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, challenge)]).into_response();
    }
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let address = format!("{}{}", front.behind, parts.uri.path_and_query().unwrap());
    let mut passed = front.http.request(parts.method, address).body(body).timeout(Duration::from_secs(30));
    for (name, value) in &parts.headers {
        if name != AUTHORIZATION {
            passed = passed.header(name, value);
        }
    }
    let answer = passed.send().await.unwrap();
    let mut response = Response::builder().status(answer.status());
    *response.headers_mut().unwrap() = answer.headers().clone();
    response.body(answer.bytes().await.unwrap().into()).unwrap()
}

/// An image with nothing in it (OCI image layout).
fn image(gate: &Gate) -> PathBuf {
    let folder = gate.machine.path("image");
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        let name: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(blobs.join(&name), bytes).unwrap();
        format!("\"digest\":\"sha256:{name}\",\"size\":{}", bytes.len())
    };
    let layer = put(&[0; 1024]); // an empty archive
    let diff = layer.split('"').nth(3).unwrap().to_owned();
    let config = put(
        format!(r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{diff}"]}}}}"#)
            .as_bytes(),
    );
    let manifest = put(
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json",{config}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar",{layer}}}]}}"#
        )
        .as_bytes(),
    );
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json",{manifest}}}]}}"#
    );
    std::fs::write(folder.join("index.json"), index).unwrap();
    folder
}

#[tokio::test]
async fn skopeo_pushes_to_and_reads_from_a_registry_with_a_token_of_ours() {
    let gate = Gate::new().await;
    let Some(registry) = Registry::start(&gate).await else { return };
    gate.configure(&gate.entry("docker", &format!("http://{}", registry.name), ""));
    gate.setup("docker").await;
    let config = std::fs::read_to_string(gate.machine.path(".docker/config.json")).unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&config).unwrap(),
        serde_json::json!({ "credHelpers": { &registry.name: "hallpass" } })
    );

    let from = format!("oci:{}", image(&gate).display());
    let to = format!("docker://{}/team/empty:1", registry.name);
    let copy = ["--insecure-policy", "copy", "--dest-tls-verify=false", &from, &to];
    let said = Said(in_time(gate.program(SKOPEO, &copy).output()).await.unwrap());
    assert_eq!(said.code(), 0, "{} {}", said.out(), said.err());
    let inspect = ["inspect", "--tls-verify=false", &to];
    let said = Said(in_time(gate.program(SKOPEO, &inspect).output()).await.unwrap());
    assert_eq!(said.json()["Name"], format!("{}/team/empty", registry.name));
    assert!(!gate.admitted().is_empty());
    assert_eq!(
        std::fs::read_to_string(gate.machine.path(".docker/config.json")).unwrap(),
        config,
        "and no token is in there"
    );

    // Without a sign-in it says so, where clients read it.
    assert_eq!(gate.machine.run(&["logout"]).await.code(), 0);
    let said = Said(in_time(gate.program(SKOPEO, &inspect).output()).await.unwrap());
    assert_ne!(said.code(), 0);
    assert!(said.err().contains("hallpass login --profile work"), "{}", said.err());
}

#[tokio::test]
async fn the_texts_are_those_that_clients_compare() {
    let gate = Gate::new().await;
    gate.configure(&gate.entry("docker", "https://registry.example:5000", "username = \"ada\""));
    gate.link("docker-credential-hallpass");
    let program = gate.machine.path("links/docker-credential-hallpass");
    let said = async |words: &[&str], question: &str| {
        let said = ask(gate.program(&program, words), question).await;
        assert_eq!(said.err(), "", "everything goes to standard output");
        (said.code(), said.out())
    };
    let got = said(&["get"], "registry.example:5000").await;
    assert_eq!(got.0, 0);
    let credential: serde_json::Value = serde_json::from_str(&got.1).unwrap();
    assert_eq!(
        (&credential["ServerURL"], &credential["Username"]),
        (&"registry.example:5000".into(), &"ada".into())
    );
    let token = credential["Secret"].as_str().unwrap().to_owned();
    assert!(gate.machine.world.accepts(&token).await);

    let not_found = (1, "credentials not found in native keychain\n".to_owned());
    for other in ["registry.example", "http://registry.example:5000", "https://index.docker.io/v1/"] {
        assert_eq!(said(&["get"], other).await, not_found, "{other}");
    }
    assert_eq!(said(&["get"], "\n").await, (1, "no credentials server URL\n".into()));
    assert_eq!(said(&["erase"], "").await, (1, "no credentials server URL\n".into()));
    assert_eq!(said(&["list"], "").await, (0, "{\"registry.example:5000\":\"ada\"}\n".into()));
    let stored = |server: &str, name: &str| {
        format!("{{\"ServerURL\":\"{server}\",\"Username\":\"{name}\",\"Secret\":\"canary\"}}")
    };
    assert_eq!(said(&["store"], &stored("registry.example:5000", "ada")).await, (0, String::new()));
    assert_eq!(said(&["store"], &stored("x", "")).await, (1, "no credentials username\n".into()));
    let refused = said(&["store"], &stored("x.example", "bob")).await;
    assert!(
        refused.0 == 1 && refused.1.contains("not kept here") && !refused.1.contains("canary"),
        "{refused:?}"
    );
    assert!(said(&["version"], "").await.1.starts_with("docker-credential-hallpass ("));
    assert_eq!(said(&[], "").await.0, 1);
    assert_eq!(said(&["get", "more"], "").await.0, 1);

    // `docker logout` forgets the token, and signs nobody out.
    assert_eq!(said(&["erase"], "registry.example:5000").await, (0, String::new()));
    let again = said(&["get"], "registry.example:5000").await.1;
    assert!(!again.contains(&token) && again.contains("Secret"), "{again}");
}
