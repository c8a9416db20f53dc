//! npm's openid-client, a certified client, logs in at our issuer.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hallpass_model::client::{ClientAuthentication, ClientKind};
use hallpass_model::jose::{JwkSet, SigningKey};
use hallpass_model::principal::Owner;
use hallpass_model::time::{Clock, Lifetime};
use hallpass_model::wire::oauth::Scopes;
use hallpass_store::{AddClient, AllowRegistration, Answer, MakeInitialToken, RotateClientSecret};
use hallpass_testkit::{Reply, World, visitor};
use serde_json::{Value, json};

use super::Npm;

/// What tokens are for here: its server is the library, and introspects.
const API: &str = "https://interop.example/";
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
        { "do": "code", "scope": SCOPE, "resource": API },
        { "do": "introspect", "client": "api" },
        { "do": "refresh", "resource": world.issuer_url },
        "userinfo",
        { "do": "refresh", "resource": API },
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
        (&json!(true), &json!(API))
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

/// RFC 9126; with a proof for the request itself, and its nonce (RFC 9449, section 10.1).
#[tokio::test]
async fn openid_client_pushes_its_request_and_logs_in() {
    for dpop in [false, true] {
        let world = World::new().await;
        let steps = json!([
            { "do": "code", "scope": SCOPE, "resource": API, "push": true },
            { "do": "introspect", "client": "api" },
        ]);
        let heard = converse(&world, dpop, steps).await;
        assert_eq!(heard[0]["claims"]["sub"], world.ada.to_string());
        assert_eq!(heard[1]["introspection"]["active"], true);
        assert_eq!(heard[1]["introspection"]["cnf"]["jkt"].is_string(), dpop);
    }
}

#[tokio::test]
async fn openid_client_logs_in_by_device_and_a_replay_ends_the_session() {
    let world = World::new().await;
    let steps = json!([
        { "do": "device", "scope": SCOPE, "resource": API },
        { "do": "refresh", "resource": API },
        { "do": "refresh", "resource": API },
        { "do": "refresh", "resource": API, "token": "first", "refused": true },
        { "do": "refresh", "resource": API, "refused": true },
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
        { "do": "device", "scope": SCOPE, "resource": API },
        { "do": "refresh", "resource": API },
        { "do": "refresh", "resource": API, "token": "first" },
        { "do": "refresh", "resource": API },
    ]);
    let heard = converse(&world, true, steps).await;
    assert_eq!(heard[1]["refresh_token"], heard[2]["refresh_token"], "a retry has the same successor");
    assert_eq!(heard[3]["token_type"], "dpop");
}

#[tokio::test]
async fn openid_client_gets_tokens_as_a_service() {
    let world = World::new().await;
    let steps = json!([
        { "do": "client_credentials", "client": "robot", "scope": "notes:read", "resource": API },
        { "do": "introspect", "client": "api" },
        { "do": "client_credentials", "client": "robot", "scope": "notes:write", "resource": API, "refused": true },
    ]);
    let heard = converse(&world, false, steps).await;
    assert_eq!((&heard[0]["scope"], heard[0]["refresh_token"].is_null()), (&json!("notes:read"), true));
    assert_eq!(heard[1]["introspection"]["client_id"], "robot");
    assert_eq!(heard[2]["refused"]["error"], "invalid_scope");
}

/// RFC 9449 for a service: its token is bound to the key of its proof, and introspection says so.
#[tokio::test]
async fn openid_client_gets_bound_tokens_as_a_service() {
    let world = World::new().await;
    let steps = json!([
        { "do": "client_credentials", "client": "robot", "scope": "notes:read", "resource": API },
        { "do": "introspect", "client": "api" },
    ]);
    let heard = converse(&world, true, steps).await;
    assert_eq!(heard[0]["token_type"], "dpop");
    assert!(heard[1]["introspection"]["cnf"]["jkt"].is_string());
}

/// RFC 6749, section 2.3.1: the library form-encodes id and secret before it joins them, and escapes more than it must.
#[tokio::test]
async fn openid_client_gets_tokens_by_a_secret_sent_either_way() {
    let world = World::new().await;
    let steps = json!([
        { "do": "client_credentials", "client": "by-basic", "scope": "notes:read", "resource": API },
        { "do": "introspect", "client": "api" },
        { "do": "client_credentials", "client": "by-post", "scope": "notes:read", "resource": API },
        { "do": "introspect", "client": "by-post" },
        { "do": "client_credentials", "client": "wrong", "resource": API, "refused": true },
    ]);
    let heard = converse(&world, false, steps).await;
    assert_eq!(heard[1]["introspection"]["client_id"], "old-batch");
    assert_eq!(heard[2]["refresh_token"], Value::Null);
    assert_eq!(heard[3]["introspection"], json!({ "active": false }), "it is not for the one who asks");
    assert_eq!(heard[4]["refused"]["error"], "invalid_client");
}

/// RFC 7591 by the initial access token of an administrator; what it registers is a client like any other.
#[tokio::test]
async fn openid_client_registers_itself_and_logs_in_as_that_client() {
    let world = World::new().await;
    let (owner, scopes) = (Owner::Person(world.ada), Scopes::parse("notes:read").expect("a scope"));
    let allow = AllowRegistration { org: world.org, owner, scopes, environment: None };
    world.change(allow).await.expect("ada may answer for them");
    let make = MakeInitialToken { org: world.org, uses: 1, lifetime: None };
    let token = world.change(make).await.expect("it is allowed").token.expose_text().to_owned();
    let metadata = json!({
        "client_name": "An editor",
        "redirect_uris": ["http://127.0.0.1:49152/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
    });
    let steps = json!([
        { "do": "register", "token": token, "metadata": metadata, "as": "editor" },
        { "do": "code", "client": "editor", "scope": SCOPE, "resource": API },
        { "do": "introspect", "client": "api" },
        { "do": "refresh", "client": "editor", "resource": API },
        { "do": "register", "token": token, "metadata": metadata, "as": "another", "refused": true },
    ]);
    let heard = converse(&world, false, steps).await;
    assert_eq!(heard[0]["registered"]["scope"], "openid profile offline_access notes:read");
    assert_eq!(heard[1]["claims"]["sub"], world.ada.to_string());
    assert_eq!(heard[2]["introspection"]["client_id"], heard[0]["registered"]["client_id"]);
    assert_eq!(heard[3]["token_type"], "bearer");
    assert_eq!(heard[4]["refused"]["error"], "invalid_token", "its one use is used up");
}

fn oauth2(step: &str) -> Value {
    json!({ "do": step, "algorithm": "oauth2" })
}

/// Has openid-client go these steps, the person saying yes wherever one is asked; what came of each.
async fn converse(world: &World, dpop: bool, steps: Value) -> Vec<Value> {
    with_time(world);
    let (robot, api) = (SigningKey::generate(), SigningKey::generate());
    world.add_service("robot", &robot, "notes:read").await;
    let server = world
        .add_client(AddClient {
            authentication: ClientAuthentication::PrivateKeyJwt(JwkSet::new(vec![api.public().clone()])),
            // The library writes the type of before RFC 10070 (decision 0004).
            older_assertions_until: Some(world.clock.now() + Lifetime::days(1)),
            ..world.new_client("interop-api", ClientKind::Service)
        })
        .await;
    world.add_resource(API, "notes:read notes:write", Some(server)).await;
    let batch = world
        .add_client(AddClient {
            scopes: Scopes::parse("notes:read").expect("a scope"),
            authentication: ClientAuthentication::Secret,
            secrets_until: Some(world.clock.now() + Lifetime::days(1)),
            ..world.new_client("old-batch", ClientKind::Service)
        })
        .await;
    let rotate = RotateClientSecret {
        org: world.org,
        client: batch,
        lifetime: None,
        overlap: Lifetime::days(1),
        until: None,
    };
    let secret = world.change(rotate).await.expect("it may have one").secret.expose_text().to_owned();
    let pkcs8 = |key: &SigningKey| STANDARD.encode(key.to_pkcs8());
    let job = json!({
        "issuer": world.issuer_url,
        "now": world.clock.now().millis() / 1000,
        "dpop": dpop,
        "clients": {
            "cli": { "client_id": "hallpass-cli", "redirect_uri": "http://127.0.0.1:49152/callback" },
            "api": { "client_id": "interop-api", "key": pkcs8(&api), "kid": api.kid() },
            "by-basic": { "client_id": "old-batch", "secret": secret },
            "by-post": { "client_id": "old-batch", "secret": secret, "by": "post" },
            "wrong": { "client_id": "old-batch", "secret": secret.to_lowercase(), "by": "post" },
            // Told to write the newer one, it needs no exception.
            "robot": {
                "client_id": "robot", "key": pkcs8(&robot), "kid": robot.kid(), "typ": "client-authentication+jwt",
            },
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

/// Where the browser is sent back to, once ada has logged in with her passkey and agreed on the page that asked her.
pub(super) async fn approve(world: &World, address: &str) -> String {
    let here = |address: &str| {
        let path = address.strip_prefix(&world.base_url);
        path.unwrap_or_else(|| panic!("not one of our pages: {address}")).to_owned()
    };
    let on = |reply: &Reply| {
        let location = reply.header("location");
        location.unwrap_or_else(|| panic!("no way on: {}", reply.body)).to_owned()
    };
    let mut ada = world.visitor_as(world.ada).await;
    let asked = ada.get(&here(address)).await;
    let page = ada.get(&here(&on(&asked))).await;
    let request =
        visitor::field(&page.body, "request").unwrap_or_else(|| panic!("nobody was asked: {}", page.body));
    let answered = ada.post("/acme/consent", &[("request", &request), ("answer", "yes")]).await;
    on(&answered)
}

/// Has the world's time go on as time here does: the other side's clock, and its five seconds between two polls, are real.
pub(super) fn with_time(world: &World) {
    let (clock, began, here) = (world.clock.clone(), world.clock.now(), Instant::now());
    tokio::spawn(async move {
        loop {
            let gone = u32::try_from(here.elapsed().as_millis()).expect("no test takes fifty days");
            clock.set(began + Lifetime::millis(gone));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

/// Has the world's time be the time here: where the other side's clock is compared with ours.
pub(super) fn with_real_time(world: &World) {
    world.clock.set(hallpass_testkit::clock::real_now());
    with_time(world);
}
