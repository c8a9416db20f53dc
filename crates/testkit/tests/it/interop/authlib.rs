//! PyPI's authlib: a service's tokens by key and by secret, and an outside issuer's assertion as an authorization grant.

use std::path::PathBuf;
use std::process::Stdio;

use hallpass_model::client::{ClientAuthentication, ClientKind};
use hallpass_model::jose::{JwkSet, SigningKey, pkcs8_to_pem};
use hallpass_model::time::{Clock, Lifetime};
use hallpass_model::trust::{IssuerKeys, Preset, Rule};
use hallpass_model::wire::oauth::Scopes;
use hallpass_store::{AddClient, AddTrust, RotateClientSecret};
use hallpass_testkit::World;
use hallpass_testkit::world::NOTES;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// A world by the clock here: the library signs by no other.
async fn world() -> World {
    let world = World::new().await;
    world.clock.set(hallpass_testkit::clock::real_now());
    world
}

fn read() -> Scopes {
    Scopes::parse("notes:read").expect("a scope")
}

/// Has authlib go these steps; what came of each.
async fn converse(world: &World, steps: &Value) -> Vec<Value> {
    let interop = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop");
    let mut client = Command::new(interop.join(".venv/bin/python"))
        .arg(interop.join("authlib_client.py"))
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("run `scripts/setup test` first: Python's packages are missing");
    let job = json!({ "issuer": world.issuer_url, "token_endpoint": world.at("token"), "steps": steps });
    let mut input = client.stdin.take().expect("it was piped");
    input.write_all(job.to_string().as_bytes()).await.expect("it listens");
    drop(input);
    let output = client.wait_with_output().await.expect("it ends");
    assert!(output.status.success());
    let told = String::from_utf8(output.stdout).expect("its output is text");
    let heard: Vec<Value> =
        told.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    assert_eq!(Some(heard.len()), steps.as_array().map(Vec::len));
    heard
}

fn pem(key: &SigningKey) -> String {
    pkcs8_to_pem(&key.to_pkcs8()).to_string()
}

#[tokio::test]
async fn authlib_gets_tokens_as_a_service_by_its_key() {
    let world = world().await;
    let (key, older) = (SigningKey::generate(), SigningKey::generate());
    world.add_service("robot", &key, "notes:read").await;
    let let_off = AddClient {
        scopes: read(),
        authentication: ClientAuthentication::PrivateKeyJwt(JwkSet::new(vec![older.public().clone()])),
        // Not told otherwise, the library writes the type of before RFC 10070 (decision 0004).
        older_assertions_until: Some(world.clock.now() + Lifetime::days(1)),
        ..world.new_client("old-robot", ClientKind::Service)
    };
    world.add_client(let_off).await;
    let step = |client: &str, key: &SigningKey, more: Value| {
        let mut step = json!({
            "do": "key", "client_id": client, "key": pem(key), "kid": key.kid(), "scope": "notes:read", "resource": NOTES,
        });
        step.as_object_mut().expect("it is one").extend(more.as_object().expect("it is one").clone());
        step
    };
    let newer = json!({ "typ": "client-authentication+jwt" });
    let steps = json!([
        step("robot", &key, newer.clone()),
        step("old-robot", &older, json!({})),
        step("robot", &key, json!({})),
        step("robot", &older, newer.clone()),
        step("robot", &key, json!({ "typ": "client-authentication+jwt", "aud": world.at("token") })),
    ]);
    let heard = converse(&world, &steps).await;
    for got in &heard[..2] {
        assert_eq!((&got["scope"], &got["refresh_token"]), (&json!("notes:read"), &Value::Null), "{got}");
        assert!(world.accepts(got["access_token"].as_str().expect("a token")).await);
    }
    for refused in &heard[2..] {
        assert_eq!(refused["error"], "invalid_client", "{refused}");
    }
}

#[tokio::test]
async fn authlib_gets_tokens_as_a_service_by_its_secret() {
    let world = world().await;
    let batch = AddClient {
        scopes: read(),
        authentication: ClientAuthentication::Secret,
        secrets_until: Some(world.clock.now() + Lifetime::days(1)),
        ..world.new_client("old-batch", ClientKind::Service)
    };
    let rotate = RotateClientSecret {
        org: world.org,
        client: world.add_client(batch).await,
        lifetime: None,
        overlap: Lifetime::days(1),
        until: None,
    };
    let secret = world.change(rotate).await.expect("it may have one").secret.expose_text().to_owned();
    let step = |by: &str, secret: &str| {
        json!({
            "do": "secret", "client_id": "old-batch", "secret": secret, "by": by, "scope": "notes:read", "resource": NOTES,
        })
    };
    let steps = json!([
        step("client_secret_basic", &secret),
        step("client_secret_post", &secret),
        step("client_secret_basic", &format!("{secret}0")),
    ]);
    let heard = converse(&world, &steps).await;
    for got in &heard[..2] {
        assert!(world.accepts(got["access_token"].as_str().expect("a token")).await, "{got}");
    }
    assert_eq!(heard[2]["error"], "invalid_client");
}

#[tokio::test]
async fn authlib_s_assertion_session_gets_a_token_by_a_trust() {
    let world = world().await;
    let key = SigningKey::generate();
    let deploy = AddClient { scopes: read(), ..world.new_client("site-deploy", ClientKind::Ci) };
    let trust = AddTrust {
        org: world.org,
        handle: "site".parse().expect("a short name"),
        client: world.add_client(deploy).await,
        environment: "dev".parse().expect("a short name"),
        rule: Rule {
            preset: Preset::Oidc,
            issuer: "https://ci.example".to_owned(),
            audience: world.issuer_url.clone(),
            conditions: vec!["sub=job".parse().expect("a condition")],
        },
        keys: IssuerKeys::Given(JwkSet::new(vec![key.public().clone()])),
        scopes: read(),
        longest: Lifetime::minutes(5),
    };
    world.change(trust).await.expect("the trust is added");
    let step = |sub: &str, key: &SigningKey| {
        json!({
            "do": "assert", "iss": "https://ci.example", "sub": sub, "key": pem(key), "kid": key.kid(), "scope": "notes:read",
        })
    };
    let steps = json!([step("job", &key), step("another", &key), step("job", &SigningKey::generate())]);
    let heard = converse(&world, &steps).await;
    // The library names no resource: the token is for the issuer itself.
    assert_eq!((heard[0]["access_token"].is_string(), &heard[0]["scope"]), (true, &json!("notes:read")));
    for refused in &heard[1..] {
        assert_eq!(refused["error"], "invalid_grant", "{refused}");
    }
}
