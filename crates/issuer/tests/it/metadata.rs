//! Where everything is (RFC 8414, OIDC Discovery), and the keys.

use hallpass_model::jose::JwkSet;
use hallpass_model::wire::metadata::IssuerMetadata;
use hallpass_testkit::World;

#[tokio::test]
async fn the_document_stands_at_both_places_and_names_the_issuer_byte_for_byte() {
    let world = World::new().await;
    let rfc8414 =
        world.send(world.http.get(format!("{}/.well-known/oauth-authorization-server/acme", world.base_url)));
    let (rfc8414, oidc) = (rfc8414.await, world.get(".well-known/openid-configuration").await);

    assert_eq!(rfc8414.body, oidc.body);
    assert_eq!(oidc.header("content-type"), Some("application/json"));
    let document =
        IssuerMetadata::parse(oidc.body.as_bytes(), &world.issuer_url).expect("our own reader reads it");
    assert_eq!(
        document.code_challenge_methods_supported,
        ["S256"],
        "MCP clients refuse an issuer that does not say so"
    );
    assert!(document.authorization_response_iss_parameter_supported);
    assert_eq!(
        document.request_uri_parameter_supported,
        Some(false),
        "left out it would mean yes (OIDC Discovery, section 3), and `authorize` refuses it"
    );
    assert!(document.scopes_supported.contains(&"notes:read".to_owned()));
    assert_eq!(
        document.token_endpoint_auth_methods_supported,
        ["none", "private_key_jwt", "client_secret_basic", "client_secret_post"],
        "the better ways first"
    );
    assert!(document.grant_types_supported.iter().any(|grant| grant.ends_with(":jwt-bearer")));
}

#[tokio::test]
async fn every_endpoint_that_is_named_is_there() {
    let world = World::new().await;
    let document = world.get(".well-known/openid-configuration").await.json();
    for (name, value) in document.as_object().expect("an object") {
        if !(name.ends_with("_endpoint") || name == "jwks_uri") {
            continue;
        }
        let answer = world.send(world.http.get(value.as_str().expect("a URL"))).await;
        assert_ne!(answer.status, 404, "{name} is {value}");
    }
}

#[tokio::test]
async fn a_scope_is_listed_as_soon_as_a_resource_knows_it() {
    let world = World::new().await;
    world.get(".well-known/openid-configuration").await;
    world.add_resource("https://mail.example/", "mail:send", None).await;
    let document = world.get(".well-known/openid-configuration").await;
    assert!(document.body.contains("mail:send"), "what is kept in memory never outlives a change");
}

#[tokio::test]
async fn the_published_keys_are_public_and_sign_what_is_issued() {
    let world = World::new().await;
    let reply = world.get("jwks").await;
    assert!(!reply.body.contains("\"d\""), "{}", reply.body);
    let keys: JwkSet = serde_json::from_str(&reply.body).expect("our own reader reads them");
    let login = world.sign_in("ada", "hallpass-cli").await;
    let read = hallpass_model::verifier::read(
        &login.access,
        &keys,
        &world.issuer_url,
        hallpass_testkit::clock::START,
        hallpass_model::lifetimes::CLOCK_SKEW,
    );
    assert!(read.is_ok(), "{read:?}");
}

#[tokio::test]
async fn an_org_that_is_not_there_has_no_documents() {
    let world = World::new().await;
    for path in [
        "/nobody/jwks",
        "/nobody/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/nobody",
    ] {
        let reply = world.send(world.http.get(format!("{}{path}", world.base_url))).await;
        assert_eq!(reply.status, 404);
        assert_eq!(reply.json()["error"], "invalid_request");
    }
}
