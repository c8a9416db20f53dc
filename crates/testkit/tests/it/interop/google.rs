//! PyPI's google-auth: an external account (workload identity federation) whose token service is our issuer (RFC 8693).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, and says where")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hallpass_model::client::ClientKind;
use hallpass_model::jose::Typ;
use hallpass_model::time::{Clock, Lifetime};
use hallpass_model::trust::{IssuerKeys, Preset, Rule};
use hallpass_model::wire::oauth::Scopes;
use hallpass_store::{AddClient, AddTrust};
use hallpass_testkit::World;
use hallpass_testkit::outside_issuer::OutsideIssuer;
use hallpass_testkit::world::NOTES;
use serde_json::{Value, json};
use tokio::process::Command;

fn encode(text: &str) -> String {
    text.replace(':', "%3A").replace('/', "%2F")
}

/// Has google-auth get a token by this source; what it printed, and whether it went well.
async fn get(world: &World, folder: &Path, source: Value, scope: &str) -> (String, bool) {
    let account = json!({
        "type": "external_account",
        // What it is for: sent as `audience`, which RFC 8693 has beside `resource`.
        "audience": NOTES,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": world.at("token"),
        "credential_source": source,
    });
    let file = folder.join("account.json");
    std::fs::write(&file, account.to_string()).unwrap();
    let interop = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop");
    let output = Command::new(interop.join(".venv/bin/python"))
        .arg(interop.join("google_client.py"))
        .arg(scope)
        .env("GOOGLE_APPLICATION_CREDENTIALS", &file)
        .env("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1")
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .output()
        .await
        .expect("run `scripts/setup test` first: Python's packages are missing");
    let told = String::from_utf8(output.stdout).unwrap();
    (format!("{}{}", told.trim_end(), String::from_utf8_lossy(&output.stderr)), output.status.success())
}

#[tokio::test]
async fn google_auth_exchanges_a_job_s_token_from_a_file_an_address_and_a_program() {
    let world = World::new().await;
    let outside = OutsideIssuer::start().await;
    let scopes = || Scopes::parse("notes:read").unwrap();
    let client = world
        .add_client(AddClient { scopes: scopes(), ..world.new_client("site-deploy", ClientKind::Ci) })
        .await;
    let trust = AddTrust {
        org: world.org,
        handle: "site".parse().unwrap(),
        client,
        environment: "dev".parse().unwrap(),
        rule: Rule {
            preset: Preset::Oidc,
            issuer: outside.url().to_owned(),
            audience: world.issuer_url.clone(),
            conditions: vec!["sub=job".parse().unwrap()],
        },
        keys: IssuerKeys::Discovered,
        scopes: scopes(),
        longest: Lifetime::minutes(5),
    };
    world.change(trust).await.unwrap();
    // What the outside issuer says at its address is good by the clock here.
    world.clock.set(hallpass_testkit::clock::real_now());
    let now = world.clock.now().seconds();
    let claims = json!({
        "iss": outside.url(), "aud": world.issuer_url, "sub": "job", "jti": "1", "iat": now, "exp": now + 300,
    });
    let token = outside.sign(Typ::IdToken, &claims);
    let folder = tempfile::tempdir().unwrap();
    let (file, program) = (folder.path().join("token"), folder.path().join("program"));
    std::fs::write(&file, &token).unwrap();
    let answer = json!({
        "version": 1, "success": true, "token_type": "urn:ietf:params:oauth:token-type:jwt", "id_token": token,
    });
    std::fs::write(&program, format!("#!/bin/sh\ncat <<'END'\n{answer}\nEND\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    outside.runs(claims.clone());
    let url = json!({
        "url": format!("{}&audience={}", outside.job_url(), encode(&world.issuer_url)),
        "headers": { "Authorization": format!("Bearer {}", hallpass_testkit::outside_issuer::JOB_KEY) },
        "format": { "type": "json", "subject_token_field_name": "value" },
    });

    for source in [
        json!({ "file": file }),
        url,
        json!({ "executable": { "command": program, "timeout_millis": 5_000 } }),
    ] {
        let (told, well) = get(&world, folder.path(), source.clone(), "notes:read").await;
        assert!(well, "{source}: {told}");
        assert!(world.accepts(&told).await, "{source}");
    }
    // What it says of a refusal names ours.
    let (told, well) = get(&world, folder.path(), json!({ "file": file }), "notes:write").await;
    assert!(!well && told.contains("invalid_scope"), "{told}");
}
