//! The authorization endpoint: whom it answers, where, and what.

use hallpass_model::client::ClientKind;
use hallpass_store::SetClientStanding;
use hallpass_testkit::client::encode;
use hallpass_testkit::{Reply, World};

const CALLBACK: &str = "http://127.0.0.1:49152/callback";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A good request, with these parameters put in its place or left out (`None`).
async fn ask(world: &World, changed: &[(&str, Option<&str>)]) -> Reply {
    let good = [
        ("client_id", "hallpass-cli"),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("state", "s t&a"),
        ("scope", "notes:read"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let kept = good.into_iter().filter(|(name, _)| !changed.iter().any(|(other, _)| other == name));
    let added = changed.iter().filter_map(|(name, value)| value.map(|value| (*name, value)));
    let query = encode(&kept.chain(added).collect::<Vec<_>>());
    world.get(&format!("authorize?{query}")).await
}

fn location(reply: &Reply) -> Option<url::Url> {
    reply.header("location").map(|text| text.parse().expect("a location is a URL"))
}

fn parameter(url: &url::Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The error that was sent to the client, with `iss` and `state` beside it.
fn sent(world: &World, reply: &Reply) -> String {
    assert_eq!(reply.status, 303, "{}", reply.body);
    let url = location(reply).expect("it is sent somewhere");
    assert!(url.as_str().starts_with(CALLBACK), "{url}");
    assert_eq!(parameter(&url, "iss").as_deref(), Some(world.issuer_url.as_str()), "RFC 9207: errors too");
    assert_eq!(parameter(&url, "state").as_deref(), Some("s t&a"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    parameter(&url, "error").expect("an error")
}

#[tokio::test]
async fn a_good_request_goes_on_to_the_consent_page() {
    let world = World::new().await;
    let reply = ask(&world, &[]).await;
    assert_eq!(reply.status, 303);
    let on = location(&reply).expect("it is sent on");
    assert!(on.as_str().starts_with(&format!("{}/consent?request=", world.issuer_url)), "{on}");

    let posted = world
        .post(
            "authorize",
            &[
                ("client_id", "hallpass-cli"),
                ("redirect_uri", CALLBACK),
                ("response_type", "code"),
                ("code_challenge", CHALLENGE),
                ("code_challenge_method", "S256"),
            ],
        )
        .await;
    assert_eq!(
        posted.status, 303,
        "OIDC Core, section 3.1.2.1: POST too; and never a 307 (RFC 9700, section 4.12)"
    );
}

#[tokio::test]
async fn a_redirect_uri_that_is_not_the_client_s_own_is_never_redirected_to() {
    let world = World::new().await;
    for uri in [
        "https://evil.example/callback",
        "http://127.0.0.1:49152/callback/more",
        "http://127.0.0.1:49152/callback?x=1",
        "http://127.0.0.1:49152/",
        "http://127.0.0.1.evil.example/callback",
        "http://localhost:49152/callback",
        "https://127.0.0.1:49152/callback",
        "http://127.0.0.1:49152@evil.example/callback",
        "http://127.0.0.2/callback",
        "http://[::1]:49152/other",
        "HTTP://127.0.0.1/callback",
        "",
    ] {
        let reply = ask(&world, &[("redirect_uri", Some(uri))]).await;
        assert_eq!(reply.status, 400, "{uri}");
        assert!(location(&reply).is_none(), "{uri}");
    }
    let missing = ask(&world, &[("redirect_uri", None)]).await;
    assert_eq!((missing.status.as_u16(), location(&missing)), (400, None));
}

#[tokio::test]
async fn the_port_of_a_loopback_literal_does_not_count() {
    let world = World::new().await;
    for uri in [
        "http://127.0.0.1:1/callback",
        "http://127.0.0.1:65535/callback",
        "http://127.0.0.1/callback",
        "http://[::1]:49152/callback",
    ] {
        let reply = ask(&world, &[("redirect_uri", Some(uri))]).await;
        assert_eq!(reply.status, 303, "{uri}");
    }
}

#[tokio::test]
async fn an_unknown_or_disabled_client_is_told_here() {
    let world = World::new().await;
    for client in [Some("nobody"), Some(""), None, Some("../acme"), Some("HALLPASS-CLI")] {
        let reply = ask(&world, &[("client_id", client)]).await;
        assert_eq!((reply.status.as_u16(), location(&reply)), (400, None), "{client:?}");
    }
    world.change(SetClientStanding { org: world.org, client: world.cli, active: false }).await;
    let reply = ask(&world, &[]).await;
    assert_eq!((reply.status.as_u16(), location(&reply)), (400, None));
}

#[tokio::test]
async fn everything_else_that_is_wrong_is_told_to_the_client() {
    let world = World::new().await;
    let long = "x".repeat(600);
    for (changed, error) in [
        (("response_type", None), "invalid_request"),
        (("response_type", Some("token")), "unsupported_response_type"),
        (("response_type", Some("code id_token")), "unsupported_response_type"),
        (("response_mode", Some("fragment")), "invalid_request"),
        (("code_challenge", None), "invalid_request"),
        (("code_challenge", Some("short")), "invalid_request"),
        (("code_challenge_method", None), "invalid_request"),
        (("code_challenge_method", Some("plain")), "invalid_request"),
        (("scope", Some("notes:burn")), "invalid_scope"),
        (("scope", Some("notes:read  openid")), "invalid_scope"),
        (("resource", Some("https://elsewhere.example/")), "invalid_target"),
        (("prompt", Some("none")), "interaction_required"),
        (("prompt", Some("none login")), "invalid_request"),
        (("max_age", Some("-1")), "invalid_request"),
        (("request", Some("e30.e30.")), "request_not_supported"),
        (("request_uri", Some("https://evil.example/r")), "request_uri_not_supported"),
        (("dpop_jkt", Some("short")), "invalid_request"),
        (("nonce", Some(long.as_str())), "invalid_request"),
    ] {
        let reply = ask(&world, &[changed]).await;
        assert_eq!(sent(&world, &reply), error, "{changed:?}");
    }
}

#[tokio::test]
async fn a_repeated_parameter_is_told_to_the_client_and_a_repeated_recipient_to_the_person() {
    let world = World::new().await;
    let good = encode(&[
        ("client_id", "hallpass-cli"),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("state", "s t&a"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    let reply = world.get(&format!("authorize?{good}&scope=openid&scope=profile")).await;
    assert_eq!(sent(&world, &reply), "invalid_request");
    for twice in ["client_id=other", "redirect_uri=https%3A%2F%2Fevil.example%2F", "state=other"] {
        let reply = world.get(&format!("authorize?{good}&{twice}")).await;
        assert_eq!((reply.status.as_u16(), location(&reply)), (400, None), "{twice}");
    }
}

#[tokio::test]
async fn a_client_that_may_not_is_told_the_better_pattern() {
    let world = World::new().await;
    let mut service = world.new_client("robot", ClientKind::Service);
    service.redirect_uris = vec![CALLBACK.to_owned()];
    world.add_client(service).await;
    let reply = ask(&world, &[("client_id", Some("robot"))]).await;
    assert_eq!(sent(&world, &reply), "unauthorized_client");
    let told = parameter(&location(&reply).expect("it is sent"), "error_description");
    assert!(told.is_some_and(|told| told.contains("client_credentials")));
}

#[tokio::test]
async fn a_person_in_a_browser_is_told_by_a_page() {
    let world = World::new().await;
    let request =
        world.http.get(world.at("authorize?client_id=nobody")).header("accept", "text/html,*/*;q=0.8");
    let reply = world.send(request).await;
    assert_eq!((reply.status.as_u16(), location(&reply)), (400, None));
    assert!(reply.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{}", reply.body);
}
