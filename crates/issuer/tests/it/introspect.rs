//! `/introspect`, `/revoke` and `/userinfo`: what a token is, its end, and whose it is.

use hallpass_model::client::ClientKind;
use hallpass_model::jose::SigningKey;
use hallpass_model::time::Lifetime;
use hallpass_model::wire::assertion::ASSERTION_TYPE;
use hallpass_model::wire::oauth::IntrospectionResponse;
use hallpass_store::SetResourceStanding;
use hallpass_testkit::client::encode;
use hallpass_testkit::world::NOTES;
use hallpass_testkit::{Reply, Tokens, World};
use serde_json::json;

async fn own_token(world: &World, client: &str, key: &SigningKey) -> Tokens {
    let [kind, signed] = world.assertion(client, key);
    let form = [("grant_type", "client_credentials"), (kind.0, &kind.1), (signed.0, &signed.1)];
    let reply = world.post("token", &form).await;
    world.tokens(reply, client, None).await.expect("the service proves who it is")
}

async fn introspect_as(world: &World, bearer: &str, token: &str) -> Reply {
    let request =
        world.http.post(world.at("introspect")).bearer_auth(bearer).body(encode(&[("token", token)]));
    world.send(request.header("content-type", "application/x-www-form-urlencoded")).await
}

#[tokio::test]
async fn the_resource_s_own_server_learns_what_the_token_says() {
    let world = World::new().await;
    let login = world.sign_in_bound("ada", "hallpass-cli").await;
    let pass = world.exchange(&login, &[("resource", NOTES)]).await.unwrap();
    let answer = world.introspect(&pass.access).await;
    let answer = IntrospectionResponse::parse(answer.to_string().as_bytes()).unwrap();
    let claims = pass.claims();
    assert!(answer.active);
    assert_eq!(
        (answer.sub, answer.scope, answer.exp),
        (Some(claims.sub), Some(claims.scope), Some(claims.exp))
    );
    assert_eq!((answer.cnf, answer.acr), (claims.cnf, claims.acr), "RFC 9449, section 6.2: with its binding");

    let own = own_token(&world, "notes-api", &world.notes_api_key).await;
    let by_bearer = introspect_as(&world, &own.access, &pass.access).await;
    assert_eq!((by_bearer.status.as_u16(), by_bearer.json()["active"].clone()), (200, json!(true)));
}

/// RFC 7662, section 2.2: one answer for all of them, and no more in it.
#[tokio::test]
async fn whatever_is_not_the_caller_s_to_know_of_is_just_not_active() {
    let world = World::new().await;
    let key = SigningKey::generate();
    let mail = world.add_service("mail-api", &key, "").await;
    world.add_resource("https://mail.example/", "mail:send", Some(mail)).await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let pass = world.exchange(&login, &[("resource", NOTES)]).await.unwrap();
    let own = own_token(&world, "mail-api", &key).await;
    let revoked = world.exchange(&login, &[("resource", NOTES)]).await.unwrap();
    world.revoke(&revoked.access, "hallpass-cli").await;

    for (what, token) in [
        ("another server's", pass.access.as_str()),
        ("the issuer's", &login.access),
        ("a refresh token", &login.refresh),
        ("an ID token", login.id_token.as_deref().unwrap()),
        ("its own", &own.access),
        ("rubbish", "x"),
    ] {
        assert_eq!(
            introspect_as(&world, &own.access, token).await.json(),
            json!({ "active": false }),
            "{what}"
        );
    }
    assert_eq!(world.introspect(&revoked.access).await, json!({ "active": false }));
    world.clock.advance(Lifetime::minutes(5));
    assert_eq!(world.introspect(&pass.access).await, json!({ "active": false }), "over");
}

#[tokio::test]
async fn only_a_client_that_proves_itself_may_ask() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let pass = world.exchange(&login, &[("resource", NOTES)]).await.unwrap();
    let public = world.post("introspect", &[("client_id", "hallpass-cli"), ("token", &pass.access)]).await;
    assert_eq!((public.status.as_u16(), public.json()["error"].clone()), (401, json!("invalid_client")));
    assert_eq!(world.post("introspect", &[("token", &pass.access)]).await.json()["error"], "invalid_request");
    for bearer in [login.access.as_str(), pass.access.as_str(), "rubbish"] {
        let reply = introspect_as(&world, bearer, &pass.access).await;
        assert_eq!(reply.status, 401, "a person's token, an API's, and none");
        assert!(
            reply
                .headers
                .get_all("www-authenticate")
                .iter()
                .any(|v| v.to_str().unwrap().starts_with("Bearer "))
        );
    }
}

#[tokio::test]
async fn what_is_remembered_of_a_token_never_outlives_a_change() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let pass = world.exchange(&login, &[("resource", NOTES)]).await.unwrap();
    assert!(world.accepts(&pass.access).await);
    let notes = world.store.find_resource_by_url(world.org, NOTES).await.unwrap().unwrap().id;
    world.change(SetResourceStanding { org: world.org, resource: notes, active: false }).await;
    assert!(!world.accepts(&pass.access).await);
}

#[tokio::test]
async fn a_refresh_token_given_back_ends_its_session_and_all_of_it() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let pass = world.exchange(&login, &[("resource", NOTES)]).await.unwrap();
    let newest = world.refresh(&login).await.unwrap();

    let reply = world
        .post(
            "revoke",
            &[("client_id", "hallpass-cli"), ("token", &login.refresh), ("token_type_hint", "access_token")],
        )
        .await;
    assert_eq!((reply.status.as_u16(), reply.body.as_str()), (200, ""), "the hint is wrong, and only a hint");

    assert!(!world.accepts(&pass.access).await);
    assert!(world.refresh(&newest).await.is_err());
    assert_eq!(world.ledger_since(&newest).await[0], "cut: signed_out");
}

/// RFC 7009, section 2.2: nothing is confirmed to whoever has no business with it.
#[tokio::test]
async fn another_s_token_is_neither_revoked_nor_confirmed() {
    let world = World::new().await;
    world.add_client(world.new_client("other-cli", ClientKind::Cli)).await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let pass = world.exchange(&login, &[("resource", NOTES)]).await.unwrap();
    let forged = format!("{}{}", &login.refresh[..60], "A".repeat(login.refresh.len() - 60));
    for (client, token) in [
        ("other-cli", pass.access.as_str()),
        ("other-cli", &login.refresh),
        ("hallpass-cli", &forged),
        ("hallpass-cli", "rubbish"),
        ("hallpass-cli", "hpr_rubbish"),
    ] {
        let reply = world.revoke(token, client).await;
        assert_eq!((reply.status.as_u16(), reply.body.as_str()), (200, ""));
    }
    assert!(world.accepts(&pass.access).await);
    assert!(world.refresh(&login).await.is_ok());
    assert_eq!(
        world.revoke(&pass.access, "nobody").await.status,
        401,
        "a client that is not known is still refused"
    );
    let missing = world.post("revoke", &[("client_id", "hallpass-cli")]).await;
    assert_eq!(missing.json()["error"], "invalid_request");
    let robot = [
        ("client_id", "notes-api"),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", "x"),
        ("token", "x"),
    ];
    assert_eq!(world.post("revoke", &robot).await.status, 401);
}

#[tokio::test]
async fn userinfo_tells_what_was_agreed_to_and_no_more() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let ask = async |token: &str| world.send(world.http.get(world.at("userinfo")).bearer_auth(token)).await;
    let all = ask(&login.access).await.json();
    assert_eq!(all, json!({ "sub": world.ada.to_string(), "name": "ada", "preferred_username": "ada" }));

    let bare =
        world.refresh_with(&login, &[("resource", &world.issuer_url), ("scope", "openid")]).await.unwrap();
    assert_eq!(ask(&bare.access).await.json(), json!({ "sub": world.ada.to_string() }));
    let other =
        world.refresh_with(&bare, &[("resource", &world.issuer_url), ("scope", "notes:read")]).await.unwrap();
    let reply = ask(&other.access).await;
    assert_eq!((reply.status.as_u16(), reply.json()["error"].clone()), (403, json!("insufficient_scope")));
    let api = world.refresh_with(&other, &[("resource", NOTES)]).await.unwrap();
    assert_eq!(ask(&api.access).await.status, 401, "an API's token is not for us");
    assert_eq!(
        ask(&own_token(&world, "notes-api", &world.notes_api_key).await.access).await.status,
        401,
        "nobody logged in"
    );
}

/// OIDC Core, section 5.3.1: GET or POST, and a POST whose token stands in the header has no body to give a type to.
#[tokio::test]
async fn userinfo_is_posted_to_with_or_without_a_body() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let post = || world.http.post(world.at("userinfo")).bearer_auth(&login.access);
    let typed = || post().header("content-type", "application/x-www-form-urlencoded");
    for bare in [post(), post().header("content-length", "0"), typed(), typed().body("x=1")] {
        let reply = world.send(bare).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["sub"]), (200, &json!(world.ada.to_string())));
    }
    assert_eq!(world.send(post().body("x=1")).await.status, 415, "a body without a type is still no form");
    assert_eq!(
        world.send(world.http.post(world.at("token"))).await.status,
        400,
        "and elsewhere an empty one lacks all"
    );
}

/// RFC 6750, sections 2 and 3; RFC 9449, section 7.
#[tokio::test]
async fn a_token_is_believed_in_the_header_alone_and_as_it_is_bound() {
    let world = World::new().await;
    let login = world.sign_in_bound("ada", "hallpass-cli").await;
    let userinfo = world.at("userinfo");
    let without = world.get("userinfo").await;
    assert_eq!(without.status, 401);
    let challenges: Vec<_> =
        without.headers.get_all("www-authenticate").iter().map(|v| v.to_str().unwrap()).collect();
    assert!(challenges.iter().all(|challenge| !challenge.contains("error=")), "{challenges:?}");
    assert!(challenges.iter().any(|challenge| challenge.starts_with("DPoP ")), "{challenges:?}");

    let in_query = world.get(&format!("userinfo?access_token={}", login.access)).await;
    assert_eq!(in_query.status, 400);
    let in_body = world.post("userinfo", &[("access_token", &login.access)]).await;
    assert_eq!(in_body.status, 400);
    let as_bearer = world.send(world.http.get(&userinfo).bearer_auth(&login.access)).await;
    assert_eq!(as_bearer.status, 401, "a bound token is no bearer token");

    let with_proof = async |proof: String| {
        let request = world.http.get(&userinfo).header("authorization", format!("DPoP {}", login.access));
        world.send(request.header("dpop", proof)).await
    };
    let key = login.key.as_deref().unwrap();
    let proof = |key: &SigningKey, token: &str| world.proof(key, "GET", &userinfo, None, Some(token));
    assert_eq!(with_proof(proof(key, &login.access)).await.status, 200);
    assert_eq!(with_proof(proof(&SigningKey::generate(), &login.access)).await.status, 401);
    assert_eq!(with_proof(proof(key, "another token")).await.status, 401);
    assert_eq!(with_proof("rubbish".to_owned()).await.status, 401);
}
