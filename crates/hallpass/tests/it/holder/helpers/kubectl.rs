use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::super::machine::{Said, in_time};
use super::gate::{Gate, hallpass, listener, serve};
use super::interop::{interop, python};

/// As much of a Kubernetes API as has namespaces.
async fn cluster(gate: &Gate) -> String {
    let (listener, port) = listener().await;
    serve(listener, Router::new().route("/api/v1/namespaces", get(namespaces)).with_state(gate.clone()));
    format!("http://localhost:{port}")
}

async fn namespaces(State(gate): State<Gate>, headers: HeaderMap) -> Response {
    let bearer = headers.get("authorization").is_some_and(|header| header.as_bytes().starts_with(b"Bearer "));
    match bearer && gate.admits(&headers).await {
        true => r#"{"kind":"NamespaceList","apiVersion":"v1","items":[{"metadata":{"name":"notes"}}]}"#
            .into_response(),
        false => StatusCode::UNAUTHORIZED.into_response(),
    }
}

/// A kubeconfig whose user asks us.
fn kubeconfig(gate: &Gate, server: &str, version: &str, tells: bool) -> String {
    let path = gate.machine.path("kubeconfig");
    let text = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{ "name": "c", "context": { "cluster": "k", "user": "u" } }],
        "clusters": [{ "name": "k", "cluster": { "server": server } }],
        "users": [{ "name": "u", "user": { "exec": {
            "apiVersion": format!("client.authentication.k8s.io/{version}"),
            "command": hallpass(),
            "args": ["helper", "kubectl"],
            "interactiveMode": "Never",
            "provideClusterInfo": tells,
        } } }],
    });
    std::fs::write(&path, text.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

async fn list(gate: &Gate, kubeconfig: &str) -> Said {
    let mut command = python(gate, &["kubernetes_client.py"]).unwrap();
    Said(in_time(command.env("KUBECONFIG", kubeconfig).output()).await.unwrap())
}

#[tokio::test]
async fn a_client_of_kubernetes_is_let_in_and_another_cluster_gets_nothing() {
    if interop(".venv/installed-locks").is_none() {
        return;
    }
    let gate = Gate::new().await;
    let (ours, other) = (cluster(&gate).await, cluster(&gate).await);
    gate.configure(&gate.entry("kubectl", &ours, ""));
    for version in ["v1", "v1beta1"] {
        let said = list(&gate, &kubeconfig(&gate, &ours, version, true)).await;
        assert_eq!((said.code(), said.out().as_str()), (0, "notes\n"), "{}", said.err());
    }
    // And as `hallpass setup` has it: in a file of its own, beside others.
    gate.setup("kubectl").await;
    let both = format!(
        "{}:{}",
        kubeconfig(&gate, &other, "v1", true),
        gate.machine.path(".kube/hallpass").display()
    );
    let mut command = python(&gate, &["kubernetes_client.py"]).unwrap();
    command.env("KUBECONFIG", both).env("KUBE_CONTEXT", format!("hallpass-{}", ours[7..].replace(':', "-")));
    let said = Said(in_time(command.output()).await.unwrap());
    assert_eq!((said.code(), said.out().as_str()), (0, "notes\n"), "{}", said.err());
    let before = gate.admitted().len();
    assert_eq!(before, 3);

    let said = list(&gate, &kubeconfig(&gate, &other, "v1", true)).await;
    assert!(said.code() != 0 && said.err().contains("is not a cluster of an entry"), "{}", said.err());
    let said = list(&gate, &kubeconfig(&gate, &ours, "v1", false)).await;
    assert!(said.code() != 0 && said.err().contains("provideClusterInfo"), "{}", said.err());
    assert_eq!(gate.admitted().len(), before);
}

#[tokio::test]
async fn a_kubeconfig_that_means_another_issuer_gets_nothing() {
    let gate = Gate::new().await;
    gate.configure(&gate.entry("kubectl", "https://k8s.example:6443", ""));
    let asked = async |issuer: &str| {
        let info = serde_json::json!({
            "apiVersion": "client.authentication.k8s.io/v1",
            "kind": "ExecCredential",
            "spec": { "interactive": true, "cluster": {
                "server": "https://k8s.example:6443", "config": { "issuer": issuer },
            } },
        });
        let mut command = gate.machine.hallpass(&["helper", "kubectl"]);
        Said(in_time(command.env("KUBERNETES_EXEC_INFO", info.to_string()).output()).await.unwrap())
    };
    let said = asked("https://id.example/other").await;
    assert_eq!((said.code(), said.out().as_str()), (5, ""), "{}", said.err());
    let said = asked(&gate.machine.world.issuer_url).await;
    let credential = said.json();
    assert!(gate.machine.world.accepts(credential["status"]["token"].as_str().unwrap()).await);
    assert!(credential["status"]["expirationTimestamp"].is_string());
}
