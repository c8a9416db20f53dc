//! Client credentials at `/token`, and how a client proves who it is (RFC 7523, RFC 10070).

use hallpass_model::client::{ClientAuthentication, ClientKind};
use hallpass_model::jose::{JwkSet, SigningKey, Typ};
use hallpass_model::lifetimes::CLIENT_ASSERTION_MAX;
use hallpass_model::principal::Owner;
use hallpass_model::time::{Clock, Lifetime};
use hallpass_model::wire::assertion::ASSERTION_TYPE;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_store::{AddClient, AddPerson, OwnedId, SetPersonStanding, TransferOwned, Which};
use hallpass_testkit::client::encode;
use hallpass_testkit::world::NOTES;
use hallpass_testkit::{Reply, World};
use serde_json::json;

async fn ask(world: &World, assertion: &str, extra: &[(&str, &str)]) -> Reply {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion),
    ];
    world.post("token", &[&form, extra].concat()).await
}

async fn world_with_robot() -> (World, SigningKey) {
    let world = World::new().await;
    let key = SigningKey::generate();
    world.add_service("robot", &key, "notes:read").await;
    (world, key)
}

#[tokio::test]
async fn a_service_gets_a_token_for_itself_and_nothing_to_keep() {
    let (world, key) = world_with_robot().await;
    let [_, (_, signed)] = world.assertion("robot", &key);
    let reply = ask(&world, &signed, &[("resource", NOTES)]).await;
    let tokens = world.tokens(reply, "robot", None).await.unwrap();
    let claims = tokens.claims();
    assert!(claims.sub.starts_with("cli_"), "never a person's: {}", claims.sub);
    assert_eq!(
        (claims.client_id.as_str(), claims.aud.single(), tokens.scope.as_str()),
        ("robot", Some(NOTES), "notes:read")
    );
    assert_eq!((tokens.refresh.as_str(), tokens.id_token.as_deref()), ("", None));
    assert!(world.accepts(&tokens.access).await);

    let [_, (_, signed)] = world.assertion("robot", &key);
    let wide = ask(&world, &signed, &[("resource", NOTES), ("scope", "notes:write")]).await;
    assert_eq!(wide.refused().code, ErrorCode::InvalidScope);
}

#[tokio::test]
async fn an_assertion_is_good_once() {
    let (world, key) = world_with_robot().await;
    let [_, (_, signed)] = world.assertion("robot", &key);
    assert_eq!(ask(&world, &signed, &[]).await.status, 200);
    let again = ask(&world, &signed, &[]).await;
    assert_eq!((again.status.as_u16(), again.refused().code), (401, ErrorCode::InvalidClient));
    // And at every other endpoint.
    let form =
        [("token", "x"), ("client_assertion_type", ASSERTION_TYPE), ("client_assertion", signed.as_str())];
    for path in ["revoke", "introspect"] {
        assert_eq!(world.post(path, &form).await.status, 401, "{path}");
    }
}

/// RFC 10070: the issuer's own identifier, alone, in a token of its own type.
#[tokio::test]
async fn an_assertion_for_anybody_else_or_of_another_kind_is_refused() {
    let (world, key) = world_with_robot().await;
    let now = world.clock.now();
    let good = json!({
        "iss": "robot", "sub": "robot", "aud": world.issuer_url, "jti": "1", "iat": now.seconds(),
        "exp": (now + CLIENT_ASSERTION_MAX).seconds(),
    });
    let with = |name: &str, value: serde_json::Value| {
        let mut claims = good.clone();
        claims[name] = value;
        key.sign(Typ::ClientAuthentication, &claims)
    };
    let late = (now + CLIENT_ASSERTION_MAX + Lifetime::minutes(2)).seconds();
    let mut without_jti = good.clone();
    without_jti.as_object_mut().unwrap().remove("jti");
    for (what, signed) in [
        ("the token endpoint", with("aud", json!(world.at("token")))),
        ("another issuer", with("aud", json!(format!("{}/globex", world.base_url)))),
        ("several audiences", with("aud", json!([world.issuer_url, "https://evil.example"]))),
        ("another subject", with("sub", json!("hallpass-cli"))),
        ("another issuer of it", with("iss", json!("hallpass-cli"))),
        ("over", with("exp", json!(now.seconds() - 60))),
        ("valid for too long", with("exp", json!(late))),
        ("made in the future", with("iat", json!(now.seconds() + 600))),
        ("no jti", key.sign(Typ::ClientAuthentication, &without_jti)),
        ("an access token's type", key.sign(Typ::AccessToken, &good)),
        ("somebody else's key", SigningKey::generate().sign(Typ::ClientAuthentication, &good)),
        ("rubbish", "a.b.c".to_owned()),
    ] {
        let reply = ask(&world, &signed, &[("client_id", "robot")]).await;
        assert_eq!((reply.status.as_u16(), reply.refused().code), (401, ErrorCode::InvalidClient), "{what}");
    }
    let reply = ask(&world, &key.sign(Typ::ClientAuthentication, &good), &[]).await;
    assert_eq!(reply.status, 200, "the good one is good: {}", reply.body);
}

/// Decision 0004: `JWT` as the type, as libraries had it before RFC 10070, is for a client that was let off the newer one,
/// and as long as it was; the audience rule is the new one all the same.
#[tokio::test]
async fn an_assertion_of_the_older_type_is_taken_from_a_client_that_was_let_off_and_until_its_date() {
    let (world, strict_key) = world_with_robot().await;
    let older_key = SigningKey::generate();
    let until = world.clock.now() + Lifetime::days(30);
    world
        .add_client(AddClient { older_assertions_until: Some(until), ..service(&world, "older", &older_key) })
        .await;
    let signed = |client: &str, key: &SigningKey, typ: Typ, aud: &str, jti: u8| {
        let now = world.clock.now();
        let claims = json!({
            "iss": client, "sub": client, "aud": aud, "jti": jti.to_string(), "iat": now.seconds(),
            "exp": (now + CLIENT_ASSERTION_MAX).seconds(),
        });
        key.sign(typ, &claims)
    };
    let ask = async |signed: String| ask(&world, &signed, &[]).await.status.as_u16();
    let (us, token_endpoint) = (world.issuer_url.as_str(), world.at("token"));

    let before = world.ledger_size().await;
    assert_eq!(
        ask(signed("robot", &strict_key, Typ::IdToken, us, 1)).await,
        401,
        "strict, unless it was let off"
    );
    assert_eq!(world.ledger_from(before).await, ["denied: client_assertion_type"]);
    assert_eq!(ask(signed("robot", &strict_key, Typ::ClientAuthentication, us, 2)).await, 200);

    assert_eq!(ask(signed("older", &older_key, Typ::IdToken, us, 1)).await, 200);
    assert_eq!(
        ask(signed("older", &older_key, Typ::ClientAuthentication, us, 2)).await,
        200,
        "the newer one, too"
    );
    assert_eq!(ask(signed("older", &older_key, Typ::AccessToken, us, 3)).await, 401, "and no other");
    let to_endpoint = signed("older", &older_key, Typ::IdToken, &token_endpoint, 4);
    assert_eq!(ask(to_endpoint).await, 401, "the token endpoint is no audience");

    world.clock.set(until);
    assert_eq!(ask(signed("older", &older_key, Typ::IdToken, us, 5)).await, 401, "its date has come");
    assert_eq!(ask(signed("older", &older_key, Typ::ClientAuthentication, us, 6)).await, 200);
}

fn service(world: &World, handle: &str, key: &SigningKey) -> AddClient {
    AddClient {
        authentication: ClientAuthentication::PrivateKeyJwt(JwkSet::new(vec![key.public().clone()])),
        ..world.new_client(handle, ClientKind::Service)
    }
}

#[tokio::test]
async fn secrets_and_headers_are_no_proof_of_a_client_that_has_a_key() {
    let (world, _) = world_with_robot().await;
    let form = [("grant_type", "client_credentials"), ("client_id", "robot")];
    assert_eq!(world.post("token", &form).await.status, 401, "a confidential client must prove who it is");
    let with_secret = [form[0], form[1], ("client_secret", "hunter2")];
    assert_eq!(world.post("token", &with_secret).await.refused().code, ErrorCode::InvalidClient);
    let basic = world.http.post(world.at("token")).basic_auth("robot", Some("hunter2")).body(encode(&form));
    let basic = world.send(basic.header("content-type", "application/x-www-form-urlencoded")).await;
    assert_eq!(basic.status, 401);
    assert!(
        basic.header("www-authenticate").is_some_and(|value| value.starts_with("Basic ")),
        "RFC 6749, section 5.2"
    );
}

#[tokio::test]
async fn a_kind_of_client_is_told_the_better_pattern() {
    let (world, key) = world_with_robot().await;
    let reply =
        world.post("token", &[("grant_type", "client_credentials"), ("client_id", "hallpass-cli")]).await;
    assert_eq!(reply.refused().code, ErrorCode::UnauthorizedClient);
    assert!(reply.refused().told.contains("device flow"));
    let [_, (_, signed)] = world.assertion("robot", &key);
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", "hpr_x"),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", &signed),
    ];
    assert_eq!(world.post("token", &form).await.refused().code, ErrorCode::UnauthorizedClient);
    for unknown in ["password", "urn:ietf:params:oauth:grant-type:saml2-bearer", "implicit", "x"] {
        let reply = world.post("token", &[("grant_type", unknown), ("client_id", "hallpass-cli")]).await;
        assert_eq!(reply.refused().code, ErrorCode::UnsupportedGrantType, "{unknown}");
    }
}

#[tokio::test]
async fn a_service_whose_owner_left_is_told_so_once_it_proved_who_it_is_and_works_again_once_taken_over() {
    let world = World::new().await;
    let (key, org) = (SigningKey::generate(), world.org);
    let grace = AddPerson { org, handle: "grace".parse().unwrap(), name: "Grace Hopper".into() };
    let grace = world.change(grace).await.unwrap();
    world.add_service("robot", &key, "notes:read").await;
    let robot = world.store.find_client_by_handle(org, "robot").await.unwrap().unwrap().id;
    let which = Which::These(vec![OwnedId::Client(robot)]);
    let to = |owner| TransferOwned { org, which: which.clone(), to: Owner::Person(owner) };
    world.change(to(grace)).await.unwrap();
    let ask_now = async || {
        let [_, (_, signed)] = world.assertion("robot", &key);
        ask(&world, &signed, &[("resource", NOTES)]).await
    };
    let tokens = world.tokens(ask_now().await, "robot", None).await.unwrap();
    assert!(world.accepts(&tokens.access).await);

    world.change(SetPersonStanding { org, person: grace, active: false }).await;
    assert!(!world.accepts(&tokens.access).await, "what it had is dead with its owner's leaving");
    let refused = ask_now().await;
    let refused = refused.refused();
    assert_eq!(refused.code, ErrorCode::UnauthorizedClient);
    let told = refused.told;
    let since = world.clock.now().to_string();
    for said in ["suspended since", since.as_str(), "the administrators of acme"] {
        assert!(told.contains(said), "{said}: {told}");
    }
    assert!(!told.to_lowercase().contains("grace"), "whoever left is nobody's business there: {told}");
    // SECURITY: a stranger who names it learns nothing.
    let stranger = SigningKey::generate();
    let [_, (_, signed)] = world.assertion("robot", &stranger);
    assert_eq!(ask(&world, &signed, &[]).await.refused().code, ErrorCode::InvalidClient);

    world.change(to(world.ada)).await.unwrap();
    let tokens_now = world.tokens(ask_now().await, "robot", None).await.unwrap();
    assert!(world.accepts(&tokens_now.access).await);
    assert!(!world.accepts(&tokens.access).await, "dead stays dead");
}
