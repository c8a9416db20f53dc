//! Clients that are held to FAPI 2.0's security profile (final, section 5.3.2).

use hallpass_model::client::{ClientAuthentication, ClientKind};
use hallpass_model::id::ClientId;
use hallpass_model::jose::{JwkSet, SigningKey};
use hallpass_model::time::{Clock, Lifetime};
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::oauth::Scopes;
use hallpass_store::{AddClient, NotFapi, RotateClientSecret, SetClientFapi};
use hallpass_testkit::client::encode;
use hallpass_testkit::world::NOTES;
use hallpass_testkit::{Reply, World};
use http::StatusCode;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const BACK: &str = "https://portal.example/back";
const ASKS: [(&str, &str); 6] = [
    ("redirect_uri", BACK),
    ("response_type", "code"),
    ("scope", "notes:read"),
    ("resource", NOTES),
    ("code_challenge", CHALLENGE),
    ("code_challenge_method", "S256"),
];

async fn hold(world: &World, client: ClientId) -> Result<(), NotFapi> {
    world.change(SetClientFapi { org: world.org, client, fapi: true }).await
}

/// A portal that proves itself by this key, and is held to it.
async fn portal(world: &World, key: &SigningKey) -> ClientId {
    let portal = AddClient {
        authentication: ClientAuthentication::PrivateKeyJwt(JwkSet::new(vec![key.public().clone()])),
        redirect_uris: vec![BACK.to_owned()],
        scopes: Scopes::parse("notes:read").unwrap(),
        ..world.new_client("portal", ClientKind::Agent)
    };
    let id = world.add_client(portal).await;
    hold(world, id).await.unwrap();
    id
}

/// The form with an assertion of the client's.
fn proving<'a>(
    form: &[(&'a str, &'a str)],
    assertion: &'a [(&'static str, String); 2],
) -> Vec<(&'a str, &'a str)> {
    form.iter().copied().chain(assertion.iter().map(|(name, value)| (*name, value.as_str()))).collect()
}

fn parameter(reply: &Reply, name: &str) -> Option<String> {
    let location: url::Url = reply.header("location")?.parse().ok()?;
    location.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

async fn code(world: &World, key: &SigningKey) -> String {
    let assertion = world.assertion("portal", key);
    let asks = [&ASKS[..], &[("client_id", "portal")]].concat();
    let reply = world.post("par", &proving(&asks, &assertion)).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.body);
    let uri = reply.json()["request_uri"].as_str().unwrap().to_owned();
    let mut ada = world.visitor_as(world.ada).await;
    let query = encode(&[("client_id", "portal"), ("request_uri", &uri)]);
    let on = ada.get(&format!("/acme/authorize?{query}")).await;
    let request = parameter(&on, "request").expect("a way on");
    ada.get(&format!("/acme/consent?request={request}")).await;
    let reply = ada.post("/acme/consent", &[("request", &request), ("answer", "yes")]).await;
    assert_eq!(parameter(&reply, "iss").as_deref(), Some(world.issuer_url.as_str()));
    parameter(&reply, "code").expect("a code")
}

#[tokio::test]
async fn its_requests_are_pushed_its_proof_is_a_key_and_its_tokens_are_bound() {
    let world = World::new().await;
    let key = SigningKey::generate();
    portal(&world, &key).await;
    let plain = [&ASKS[..], &[("client_id", "portal")]].concat();
    let refused = world.visitor().get(&format!("/acme/authorize?{}", encode(&plain))).await;
    assert_eq!(parameter(&refused, "error").as_deref(), Some("invalid_request"));

    let bare = world.post("par", &plain).await;
    assert_eq!(bare.status, StatusCode::UNAUTHORIZED, "an assertion is all that will do: {}", bare.body);

    let code = code(&world, &key).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "portal"),
        ("code", code.as_str()),
        ("redirect_uri", BACK),
        ("code_verifier", VERIFIER),
        ("resource", NOTES),
    ];
    let assertion = world.assertion("portal", &key);
    let bearer = world.post("token", &proving(&form, &assertion)).await.refused();
    assert_eq!(bearer.code, ErrorCode::InvalidDpopProof);
    let (dpop, assertion) = (SigningKey::generate(), world.assertion("portal", &key));
    let reply = world.ask_token(&proving(&form, &assertion), Some(&dpop)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    assert_eq!(reply.json()["token_type"], "DPoP");
    let told = world.ledger_from(0).await;
    assert!(told.contains(&"denied: fapi_bearer".to_owned()), "{told:?}");
}

#[tokio::test]
async fn a_service_that_is_held_to_it_gets_no_bearer_token() {
    let world = World::new().await;
    let key = SigningKey::generate();
    let robot = world.add_service("robot", &key, "notes:read").await;
    let form = [("grant_type", "client_credentials"), ("scope", "notes:read"), ("resource", NOTES)];
    let ask = async |dpop: Option<&SigningKey>| {
        let assertion = world.assertion("robot", &key);
        world.ask_token(&proving(&form, &assertion), dpop).await
    };
    assert_eq!(ask(None).await.status, StatusCode::OK);
    hold(&world, robot).await.unwrap();
    assert_eq!(ask(None).await.refused().code, ErrorCode::InvalidDpopProof);
    assert_eq!(ask(Some(&SigningKey::generate())).await.json()["token_type"], "DPoP");
    let until = Some(world.clock.now() + Lifetime::days(1));
    let secret = RotateClientSecret {
        org: world.org,
        client: robot,
        lifetime: None,
        overlap: Lifetime::days(1),
        until,
    };
    assert!(world.change(secret.clone()).await.is_err(), "no secret beside the key");
    world.change(SetClientFapi { org: world.org, client: robot, fapi: false }).await.unwrap();
    assert_eq!(ask(None).await.status, StatusCode::OK);
    assert!(world.change(secret).await.is_ok());
    assert_eq!(hold(&world, robot).await, Err(NotFapi::Secret));
}

#[tokio::test]
async fn what_could_do_nothing_under_it_is_not_held_to_it() {
    let world = World::new().await;
    assert_eq!(hold(&world, world.cli).await, Err(NotFapi::NoKey));
    let app = AddClient {
        authentication: ClientAuthentication::PrivateKeyJwtAt("https://app.example/jwks".into()),
        redirect_uris: vec!["com.example.app:/back".to_owned()],
        ..world.new_client("app", ClientKind::Agent)
    };
    let app = world.add_client(app).await;
    assert_eq!(hold(&world, app).await, Err(NotFapi::Redirect));
    let (other, _) = world.add_org("other").await;
    let elsewhere = SetClientFapi { org: other, client: app, fapi: true };
    assert_eq!(world.change(elsewhere).await, Err(NotFapi::NotThere));
}
