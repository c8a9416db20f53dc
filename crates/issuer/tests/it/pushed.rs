//! Authorization requests that are pushed (RFC 9126): checked when they come, good once, for the client that sent them.

use hallpass_model::jose::SigningKey;
use hallpass_model::lifetimes::PUSHED_REQUEST;
use hallpass_model::step_up::Demand;
use hallpass_model::time::Lifetime;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_store::{AddClient, SetClientDemand};
use hallpass_testkit::client::encode;
use hallpass_testkit::{Reply, Visitor, World};
use http::StatusCode;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const BACK: &str = "http://127.0.0.1:53211/callback";

const GOOD: [(&str, &str); 7] = [
    ("client_id", "hallpass-cli"),
    ("redirect_uri", BACK),
    ("response_type", "code"),
    ("state", "s1"),
    ("scope", "notes:read"),
    ("code_challenge", CHALLENGE),
    ("code_challenge_method", "S256"),
];

/// A good request, with these parameters in its place.
fn with(changed: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let kept = GOOD.into_iter().filter(|(name, _)| !changed.iter().any(|(other, _)| other == name));
    kept.chain(changed.iter().copied().filter(|(_, value)| !value.is_empty())).collect()
}

async fn push(world: &World, form: &[(&str, &str)]) -> String {
    let reply = world.post("par", form).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.body);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let said = reply.json();
    assert_eq!(said["expires_in"], PUSHED_REQUEST.as_seconds());
    let uri = said["request_uri"].as_str().unwrap().to_owned();
    assert!(uri.starts_with("urn:ietf:params:oauth:request_uri:"), "{uri}");
    uri
}

async fn go(visitor: &mut Visitor<'_>, parameters: &[(&str, &str)]) -> Reply {
    visitor.get(&format!("/acme/authorize?{}", encode(parameters))).await
}

fn parameter(reply: &Reply, name: &str) -> Option<String> {
    let location: url::Url = reply.header("location")?.parse().ok()?;
    location.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The code that comes of a request, once ada has said yes.
async fn code(world: &World, request_uri: &str) -> String {
    let mut ada = world.visitor_as(world.ada).await;
    let on = go(&mut ada, &[("client_id", "hallpass-cli"), ("request_uri", request_uri)]).await;
    let request = parameter(&on, "request").unwrap_or_else(|| panic!("no way on: {}", on.body));
    ada.get(&format!("/acme/consent?request={request}")).await;
    let reply = ada.post("/acme/consent", &[("request", &request), ("answer", "yes")]).await;
    assert_eq!(parameter(&reply, "state").as_deref(), Some("s1"), "{}", reply.body);
    parameter(&reply, "code").expect("a code")
}

async fn redeem(world: &World, code: &str, key: Option<&SigningKey>) -> Reply {
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "hallpass-cli"),
        ("code", code),
        ("redirect_uri", BACK),
        ("code_verifier", VERIFIER),
        ("resource", world.issuer_url.as_str()),
    ];
    world.ask_token(&form, key).await
}

#[tokio::test]
async fn a_pushed_request_ends_in_a_code_whatever_the_browser_brings_beside_it() {
    let world = World::new().await;
    let uri = push(&world, &GOOD).await;
    let mut ada = world.visitor_as(world.ada).await;
    // RFC 9126, section 4; RFC 9101, section 5: only what was pushed counts.
    let beside = [
        ("client_id", "hallpass-cli"),
        ("request_uri", uri.as_str()),
        ("scope", "notes:read notes:write"),
        ("redirect_uri", "https://evil.example/"),
        ("state", "another"),
    ];
    let on = go(&mut ada, &beside).await;
    let request = parameter(&on, "request").expect("the way to the consent page");
    let page = ada.get(&format!("/acme/consent?request={request}")).await;
    assert!(page.body.contains("Read notes") && !page.body.contains("Write notes"), "{}", page.body);
    let reply = ada.post("/acme/consent", &[("request", &request), ("answer", "yes")]).await;
    assert!(reply.header("location").unwrap().starts_with(BACK));
    assert_eq!(parameter(&reply, "state").as_deref(), Some("s1"));
    assert_eq!(redeem(&world, &parameter(&reply, "code").unwrap(), None).await.status, StatusCode::OK);
}

/// SECURITY: what is wrong is told here and never sent anywhere.
#[tokio::test]
async fn a_pushed_request_is_good_once_for_a_minute_and_for_its_own_client() {
    let world = World::new().await;
    let other = AddClient {
        redirect_uris: vec![BACK.into()],
        ..world.new_client("other", hallpass_model::client::ClientKind::Cli)
    };
    world.add_client(other).await;
    let mut browser = world.visitor();
    let uri = push(&world, &GOOD).await;
    let own = [("client_id", "hallpass-cli"), ("request_uri", uri.as_str())];
    let others = [("client_id", "other"), ("request_uri", uri.as_str())];
    for (wrong, told) in [(&others[..], "not known here"), (&own[1..], "client_id")] {
        let reply = go(&mut browser, wrong).await;
        assert_eq!((reply.status, reply.header("location")), (StatusCode::BAD_REQUEST, None), "{wrong:?}");
        assert!(reply.body.contains(told), "{}", reply.body);
    }
    assert_eq!(go(&mut browser, &own).await.status, StatusCode::SEE_OTHER, "another's attempt took nothing");
    assert_eq!(go(&mut browser, &own).await.status, StatusCode::BAD_REQUEST, "it was used");

    let uri = push(&world, &GOOD).await;
    world.clock.advance(PUSHED_REQUEST);
    let late = [("client_id", "hallpass-cli"), ("request_uri", uri.as_str())];
    assert_eq!(go(&mut browser, &late).await.status, StatusCode::BAD_REQUEST, "it is over");
    // An address of somebody's is not fetched, and not a name of ours either.
    let fetched = [&GOOD[..], &[("request_uri", "https://client.example/request.jwt")]].concat();
    let reply = go(&mut browser, &fetched).await;
    assert_eq!(parameter(&reply, "error").as_deref(), Some("request_uri_not_supported"));
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_when_it_is_pushed() {
    let world = World::new().await;
    for (changed, code) in [
        (("request_uri", "urn:ietf:params:oauth:request_uri:x"), ErrorCode::InvalidRequest),
        (("request", "eyJhbGciOiJub25lIn0.e30."), ErrorCode::RequestNotSupported),
        (("redirect_uri", "https://evil.example/"), ErrorCode::InvalidRequest),
        (("redirect_uri", ""), ErrorCode::InvalidRequest),
        (("code_challenge", ""), ErrorCode::InvalidRequest),
        (("code_challenge_method", "plain"), ErrorCode::InvalidRequest),
        (("response_type", "token"), ErrorCode::UnsupportedResponseType),
        (("scope", "admin:all"), ErrorCode::InvalidScope),
        (("resource", "https://nowhere.example/"), ErrorCode::InvalidTarget),
        (("prompt", "none"), ErrorCode::InteractionRequired),
        (("acr_values", "urn:nobody"), ErrorCode::UnmetAuthenticationRequirements),
        (("client_id", "nobody"), ErrorCode::InvalidClient),
    ] {
        let reply = world.post("par", &with(&[changed])).await;
        assert_eq!(reply.refused().code, code, "{changed:?} {}", reply.body);
        assert!(reply.status.is_client_error() && reply.header("location").is_none());
    }
    let long = "x".repeat(3_000);
    let reply = world.post("par", &[&with(&[("state", "")])[..], &[("state", long.as_str())]].concat()).await;
    assert_eq!(reply.refused().code, ErrorCode::InvalidRequest);
    let twice = [&GOOD[..], &[("scope", "notes:write")]].concat();
    assert_eq!(world.post("par", &twice).await.refused().code, ErrorCode::InvalidRequest);
}

/// SECURITY: a client that can prove who it is must, and nobody pushes in its name.
#[tokio::test]
async fn a_client_that_has_a_key_pushes_with_it_and_in_its_own_name_alone() {
    let world = World::new().await;
    let [kind, signed] = world.assertion("notes-api", &world.notes_api_key);
    let proof = [(kind.0, kind.1.as_str()), (signed.0, signed.1.as_str())];
    let in_another_s = [&GOOD[..], &proof].concat();
    let reply = world.post("par", &in_another_s).await;
    assert!(reply.status.is_client_error(), "{}", reply.body);
    let unproven = with(&[("client_id", "notes-api")]);
    assert_eq!(world.post("par", &unproven).await.refused().code, ErrorCode::InvalidClient);
}

/// RFC 9449, section 10.1.
#[tokio::test]
async fn a_key_that_is_proved_when_it_is_pushed_is_the_one_the_code_is_bound_to() {
    let world = World::new().await;
    let (key, other) = (SigningKey::generate(), SigningKey::generate());
    let pushed = async |form: &[(&str, &str)], key: &SigningKey| {
        let endpoint = world.at("par");
        let mut nonce = None;
        loop {
            let proof = world.proof(key, "POST", &endpoint, nonce.as_deref(), None);
            let request = world.http.post(&endpoint).body(encode(form)).header("dpop", proof);
            let reply = world.send(request.header("content-type", "application/x-www-form-urlencoded")).await;
            if reply.refused().code != ErrorCode::UseDpopNonce {
                return reply;
            }
            nonce = reply.header("dpop-nonce").map(str::to_owned);
        }
    };
    let named = key.thumbprint().to_string();
    let mismatch = [&GOOD[..], &[("dpop_jkt", named.as_str())]].concat();
    assert_eq!(pushed(&mismatch, &other).await.refused().code, ErrorCode::InvalidDpopProof);
    let reply = pushed(&GOOD, &key).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.body);
    let code = code(&world, reply.json()["request_uri"].as_str().unwrap()).await;
    for wrong in [None, Some(&other)] {
        assert_ne!(redeem(&world, &code, wrong).await.status, StatusCode::OK);
    }
    assert_eq!(redeem(&world, &code, Some(&key)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_client_may_be_held_to_pushing() {
    let world = World::new().await;
    let client = world.store.find_client_by_handle(world.org, "hallpass-cli").await.unwrap().unwrap().id;
    let set = SetClientDemand { org: world.org, client, demand: Demand::default(), pushed_only: true };
    assert!(world.change(set).await);
    let mut browser = world.visitor();
    let plain = go(&mut browser, &GOOD).await;
    assert_eq!(parameter(&plain, "error").as_deref(), Some("invalid_request"));
    assert!(parameter(&plain, "error_description").unwrap().contains("par"));
    let uri = push(&world, &GOOD).await;
    let own = [("client_id", "hallpass-cli"), ("request_uri", uri.as_str())];
    assert_eq!(go(&mut browser, &own).await.status, StatusCode::SEE_OTHER);
    world.change(SetClientDemand { pushed_only: false, ..set }).await;
    assert!(parameter(&go(&mut browser, &GOOD).await, "request").is_some());
    world.clock.advance(Lifetime::seconds(1));
}
