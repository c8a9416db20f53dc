//! npm's openid-client, a certified client, logs in at our issuer.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hallpass_model::grant::{Approval, Grant};
use hallpass_model::jose::SigningKey;
use hallpass_model::time::{Clock, Lifetime};
use hallpass_model::wire::oauth::Scopes;
use hallpass_model::wire::pkce::CodeChallenge;
use hallpass_store::{Answer, CodeIssued, IssueCode};
use hallpass_testkit::World;
use hallpass_testkit::world::NOTES;
use serde_json::{Value, json};
use url::Url;

use super::Npm;

const SCOPE: &str = "openid profile offline_access notes:read";

#[tokio::test]
async fn openid_client_discovers_the_issuer_by_either_standard() {
    let heard = converse(&World::new().await, false, json!([oauth2("discover"), "discover"])).await;
    for found in &heard {
        let metadata = &found["metadata"];
        assert_eq!(metadata["code_challenge_methods_supported"], json!(["S256"]));
        assert_eq!(metadata["authorization_response_iss_parameter_supported"], true);
    }
    assert_eq!(heard[0]["metadata"]["token_endpoint"], heard[1]["metadata"]["token_endpoint"]);
}

#[tokio::test]
async fn openid_client_logs_in_by_code_with_bearer_tokens() {
    logs_in_by_code(false).await;
}

#[tokio::test]
async fn openid_client_logs_in_by_code_with_dpop() {
    logs_in_by_code(true).await;
}

async fn logs_in_by_code(dpop: bool) {
    let world = World::new().await;
    let steps = json!([
        { "do": "code", "scope": SCOPE, "resource": NOTES },
        { "do": "introspect", "client": "api" },
        { "do": "refresh", "resource": world.issuer_url },
        "userinfo",
        { "do": "refresh", "resource": NOTES },
        { "do": "introspect", "client": "api" },
        { "do": "revoke", "of": "refresh_token" },
        { "do": "refresh", "refused": true },
        { "do": "introspect", "client": "api" },
    ]);
    let heard = converse(&world, dpop, steps).await;
    let token_type = if dpop { "dpop" } else { "bearer" };
    assert_eq!(heard[0]["token_type"], token_type);
    assert_eq!(heard[0]["claims"]["sub"], world.ada.to_string());
    assert_eq!(
        (&heard[1]["introspection"]["active"], &heard[1]["introspection"]["aud"]),
        (&json!(true), &json!(NOTES))
    );
    assert_eq!(heard[1]["introspection"]["cnf"]["jkt"].is_string(), dpop);
    assert_eq!(heard[3]["userinfo"]["sub"], world.ada.to_string());
    assert_eq!(heard[5]["introspection"]["active"], true);
    assert_eq!(heard[7]["refused"]["error"], "invalid_grant");
    assert_eq!(
        heard[8]["introspection"],
        json!({ "active": false }),
        "the access token died with its session"
    );
}

#[tokio::test]
async fn openid_client_logs_in_by_device_and_a_replay_ends_the_session() {
    let world = World::new().await;
    let steps = json!([
        { "do": "device", "scope": SCOPE, "resource": NOTES },
        { "do": "refresh", "resource": NOTES },
        { "do": "refresh", "resource": NOTES },
        { "do": "refresh", "resource": NOTES, "token": "first", "refused": true },
        { "do": "refresh", "resource": NOTES, "refused": true },
    ]);
    let heard = converse(&world, false, steps).await;
    assert_eq!(heard[0]["claims"]["sub"], world.ada.to_string());
    assert_eq!(heard[3]["refused"]["error"], "invalid_grant");
    assert_eq!(heard[4]["refused"]["error"], "invalid_grant", "the replay before has ended it");
}

#[tokio::test]
async fn openid_client_logs_in_by_device_with_dpop_and_a_retry_is_harmless() {
    let world = World::new().await;
    let steps = json!([
        { "do": "device", "scope": SCOPE, "resource": NOTES },
        { "do": "refresh", "resource": NOTES },
        { "do": "refresh", "resource": NOTES, "token": "first" },
        { "do": "refresh", "resource": NOTES },
    ]);
    let heard = converse(&world, true, steps).await;
    assert_eq!(heard[1]["refresh_token"], heard[2]["refresh_token"], "a retry has the same successor");
    assert_eq!(heard[3]["token_type"], "dpop");
}

#[tokio::test]
async fn openid_client_gets_tokens_as_a_service() {
    let world = World::new().await;
    let steps = json!([
        { "do": "client_credentials", "client": "robot", "scope": "notes:read", "resource": NOTES },
        { "do": "introspect", "client": "api" },
        { "do": "client_credentials", "client": "robot", "scope": "notes:write", "resource": NOTES, "refused": true },
    ]);
    let heard = converse(&world, false, steps).await;
    assert_eq!((&heard[0]["scope"], heard[0]["refresh_token"].is_null()), (&json!("notes:read"), true));
    assert_eq!(heard[1]["introspection"]["client_id"], "robot");
    assert_eq!(heard[2]["refused"]["error"], "invalid_scope");
}

fn oauth2(step: &str) -> Value {
    json!({ "do": step, "algorithm": "oauth2" })
}

/// Has openid-client go these steps, the person saying yes wherever one is asked; what came of each.
async fn converse(world: &World, dpop: bool, steps: Value) -> Vec<Value> {
    with_time(world);
    let robot = SigningKey::generate();
    world.add_service("robot", &robot, "notes:read").await;
    let pkcs8 = |key: &SigningKey| STANDARD.encode(key.to_pkcs8());
    let job = json!({
        "issuer": world.issuer_url,
        "now": world.clock.now().millis() / 1000,
        "dpop": dpop,
        "clients": {
            "cli": { "client_id": "hallpass-cli", "redirect_uri": "http://127.0.0.1:49152/callback" },
            "api": { "client_id": "notes-api", "key": pkcs8(&world.notes_api_key), "kid": world.notes_api_key.kid() },
            "robot": { "client_id": "robot", "key": pkcs8(&robot), "kid": robot.kid() },
        },
        "steps": steps,
    });
    let mut client = Npm::start("client.mjs");
    client.tell(&job.to_string()).await;
    let mut results = Vec::new();
    while let Some(said) = client.hear().await {
        if let Some(address) = said["authorize"].as_str() {
            let back = approve(world, address).await;
            client.tell(&back).await;
        } else if let Some(code) = said["device"]["user_code"].as_str() {
            world.answer_device(code, world.ada, Answer::Yes).await;
        } else {
            assert!(said["failed"].is_null(), "{said}");
            results.push(said);
        }
    }
    assert!(client.child.wait().await.expect("it ends").success());
    assert_eq!(Some(results.len()), steps.as_array().map(Vec::len));
    results
}

/// Where the browser is sent back to, once ada has agreed. The request goes to the endpoint as it is; the pages between it and
/// the code, which want a passkey, have tests of their own.
async fn approve(world: &World, address: &str) -> String {
    let reply = world.send(world.http.get(address)).await;
    let on = reply.header("location").unwrap_or_else(|| panic!("{}", reply.body));
    assert!(on.starts_with(&format!("{}/consent?request=", world.issuer_url)), "{on}");

    let asked: Url = address.parse().expect("a URL");
    let find =
        |name: &str| asked.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let asked = |name: &str| find(name).unwrap_or_else(|| panic!("no {name}: {asked}"));
    let issue = IssueCode {
        org: world.org,
        client: world.cli,
        principal: world.ada,
        grant: Grant {
            scopes: Scopes::parse(&asked("scope")).expect("scopes"),
            resources: vec![asked("resource")],
            purpose: None,
            authentication: world.by_passkey(),
            approval: Approval::Browser,
        },
        redirect_uri: asked("redirect_uri"),
        code_challenge: CodeChallenge::parse(
            &asked("code_challenge"),
            find("code_challenge_method").as_deref(),
        )
        .expect("a challenge"),
        nonce: find("nonce"),
        dpop_jkt: find("dpop_jkt").map(|jkt| jkt.parse().expect("a thumbprint")),
        device: None,
        address: "127.0.0.1".to_owned(),
    };
    let CodeIssued::Issued { code, .. } = world.change(issue).await else { panic!("no code") };
    let back = [("code", code.expose_text()), ("state", &asked("state")), ("iss", &world.issuer_url)];
    Url::parse_with_params(&asked("redirect_uri"), back).expect("a URL").into()
}

/// Has the world's time go on as time here does: the other side's clock, and its five seconds between two polls, are real.
fn with_time(world: &World) {
    let (clock, began, here) = (world.clock.clone(), world.clock.now(), Instant::now());
    tokio::spawn(async move {
        loop {
            let gone = u32::try_from(here.elapsed().as_millis()).expect("no test takes fifty days");
            clock.set(began + Lifetime::millis(gone));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}
