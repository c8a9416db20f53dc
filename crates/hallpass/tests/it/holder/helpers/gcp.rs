use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use super::super::machine::{Said, in_time};
use super::gate::{Gate, listener, serve};
use super::interop::{interop, python};

const AUDIENCE: &str = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/h";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// Google's token exchange (RFC 8693), as far as their libraries ask it.
async fn exchange(State(gate): State<Gate>, body: Bytes) -> Response {
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&body).into_owned().collect();
    let find = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!((find("audience"), find("subject_token_type")), (Some(AUDIENCE), Some(JWT)));
    match gate.admits_token(find("subject_token").unwrap()).await {
        true => r#"{"access_token":"google","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":3600}"#
            .into_response(),
        false => (StatusCode::BAD_REQUEST, r#"{"error":"invalid_grant"}"#).into_response(),
    }
}

fn configure(gate: &Gate, audience: &str) {
    let entry = gate.entry("gcp", "", "").replace("at = \"\"\n", &format!("audience = \"{audience}\"\n"));
    gate.configure(&entry);
}

#[tokio::test]
async fn google_s_library_is_handed_a_token_and_reads_every_refusal() {
    if interop(".venv/installed-locks").is_none() {
        return;
    }
    let gate = Gate::new().await;
    configure(&gate, AUDIENCE);
    let (listener, port) = listener().await;
    serve(listener, Router::new().route("/token", post(exchange)).with_state(gate.clone()));
    gate.setup("gcp").await;
    // As it was written, but for where Google is.
    let written = std::fs::read_to_string(gate.machine.path(".config/hallpass/gcp/h.json")).unwrap();
    let here =
        written.replace("https://sts.googleapis.com/v1/token", &format!("http://localhost:{port}/token"));
    let file = gate.machine.path("account.json");
    std::fs::write(&file, here).unwrap();
    let ask = async || {
        let mut command = python(&gate, &["google_client.py"]).unwrap();
        command
            .env("GOOGLE_APPLICATION_CREDENTIALS", &file)
            .env("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1")
            .env("GOOGLE_CLOUD_PROJECT", "p")
            .env("NO_GCE_CHECK", "true");
        Said(in_time(command.output()).await.unwrap())
    };
    let said = ask().await;
    assert_eq!((said.code(), said.out().as_str()), (0, "google\n"), "{}", said.err());
    assert_eq!(gate.admitted().len(), 1);

    // The library shows what the helper says, which it could not if a line of ours stood on standard error.
    configure(&gate, "//iam.googleapis.com/projects/2/other");
    let said = ask().await;
    assert!(
        said.code() == 1 && said.out().contains("no entry of config.toml"),
        "{} {}",
        said.out(),
        said.err()
    );
    configure(&gate, AUDIENCE);
    assert_eq!(gate.machine.run(&["logout"]).await.code(), 0);
    let said = ask().await;
    assert!(
        said.code() == 1 && said.out().contains("hallpass login --profile work"),
        "{} {}",
        said.out(),
        said.err()
    );
}
