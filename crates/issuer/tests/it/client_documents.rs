//! Clients that are known by the address of a document (Client ID Metadata Documents): signing in, and every way that must not.

use std::sync::Arc;

use hallpass_model::client::Client;
use hallpass_model::jose::SigningKey;
use hallpass_model::lifetimes::DOCUMENT_CLIENT_UNUSED;
use hallpass_model::principal::Owner;
use hallpass_model::time::Lifetime;
use hallpass_model::wire::client_document::{DOCUMENT_LEN_MAX, DocumentHost as Host};
use hallpass_model::wire::oauth::Scopes;
use hallpass_store::{AllowDocuments, ForbidDocuments, SetClientStanding, Sweep};
use hallpass_testkit::client::encode;
use hallpass_testkit::document_host::{DocumentHost, Page};
use hallpass_testkit::world::NOTES;
use hallpass_testkit::{Reply, Visitor, World};
use http::StatusCode;
use serde_json::json;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const BACK: &str = "http://127.0.0.1:53211/callback";

async fn allow(world: &World, host: &str, scopes: &str) {
    let allow = AllowDocuments {
        org: world.org,
        host: Host::parse(host).unwrap(),
        owner: Owner::Person(world.ada),
        scopes: Scopes::parse(scopes).unwrap(),
        environment: None,
    };
    world.change(allow).await.unwrap();
}

/// A world whose org takes documents of the host.
async fn with_host() -> (World, DocumentHost) {
    let (world, host) = (World::new().await, DocumentHost::start().await);
    allow(&world, &host.host, "notes:read").await;
    (world, host)
}

fn asks<'a>(client_id: &'a str, scope: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("client_id", client_id),
        ("redirect_uri", BACK),
        ("response_type", "code"),
        ("state", "s1"),
        ("scope", scope),
        ("resource", NOTES),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]
}

async fn go(visitor: &mut Visitor<'_>, parameters: &[(&str, &str)]) -> Reply {
    visitor.get(&format!("/acme/authorize?{}", encode(parameters))).await
}

fn parameter(reply: &Reply, name: &str) -> Option<String> {
    let location: url::Url = reply.header("location")?.parse().ok()?;
    location.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

async fn client(world: &World, url: &str) -> Option<Arc<Client>> {
    world.store.find_client_by_client_id(world.org, url).await.unwrap()
}

/// The code that comes of a request, once ada has said yes.
async fn code(world: &World, parameters: &[(&str, &str)]) -> String {
    let mut ada = world.visitor_as(world.ada).await;
    let on = go(&mut ada, parameters).await;
    let request = parameter(&on, "request").unwrap_or_else(|| panic!("no way on: {}", on.body));
    ada.get(&format!("/acme/consent?request={request}")).await;
    let reply = ada.post("/acme/consent", &[("request", &request), ("answer", "yes")]).await;
    parameter(&reply, "code").unwrap_or_else(|| panic!("no code: {:?}", reply.header("location")))
}

async fn redeem(world: &World, client_id: &str, code: &str, more: &[(&str, &str)]) -> Reply {
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", client_id),
        ("code", code),
        ("redirect_uri", BACK),
        ("code_verifier", VERIFIER),
        ("resource", NOTES),
    ];
    world.post("token", &[&form[..], more].concat()).await
}

#[tokio::test]
async fn a_client_signs_somebody_in_by_its_document_alone() {
    let (world, host) = with_host().await;
    let url = host.publish("/mcp.json", json!({}));
    let code = code(&world, &asks(&url, "notes:read offline_access")).await;
    let reply = redeem(&world, &url, &code, &[]).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    let tokens = reply.json();
    let said = world.introspect(tokens["access_token"].as_str().unwrap()).await;
    assert_eq!((&said["active"], &said["client_id"]), (&json!(true), &json!(url)));
    assert_eq!((&said["aud"], &said["scope"]), (&json!(NOTES), &json!("notes:read")));
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", url.as_str()),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
        ("resource", NOTES),
    ];
    assert_eq!(world.post("token", &form).await.status, StatusCode::OK);
    assert_eq!(host.fetched(), 1, "what was read is fresh for a while");
    let known = client(&world, &url).await.unwrap();
    assert_eq!((known.document.as_deref(), known.name.as_str()), (Some(url.as_str()), "An editor"));
    // Its short name is the administrators' alone.
    let refused = go(&mut world.visitor(), &asks(known.handle.as_str(), "notes:read")).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_person_sees_who_speaks_for_it_and_that_nobody_registered_it() {
    let (world, host) = with_host().await;
    let url = host.publish("/mcp.json", json!({ "client_name": "<b>acme</b> payroll" }));
    let mut ada = world.visitor_as(world.ada).await;
    let on = go(&mut ada, &asks(&url, "notes:read")).await;
    let page = ada.get(&format!("/acme/consent?request={}", parameter(&on, "request").unwrap())).await;
    let heading = format!("Let a program of {} act for you?", host.host);
    assert!(page.body.contains(&heading), "{}", page.body);
    assert!(!page.body.contains("<b>acme</b>") && page.body.contains("payroll"));
    assert!(page.body.contains("Any program here can say that it is this one"));
}

#[tokio::test]
async fn metadata_says_whether_documents_are_taken() {
    let world = World::new().await;
    let says = async || {
        let document = world.get(".well-known/openid-configuration").await.json();
        document["client_id_metadata_document_supported"].clone()
    };
    assert!(says().await.is_null());
    allow(&world, "client.example", "notes:read").await;
    assert_eq!(says().await, true);
    world
        .change(ForbidDocuments { org: world.org, host: Host::parse("client.example").unwrap() })
        .await
        .unwrap();
    assert!(says().await.is_null());
}

/// SECURITY: nothing is asked that no administrator named.
#[tokio::test]
async fn a_host_that_was_not_named_is_not_asked_whatever_the_client_id() {
    let (world, host) = with_host().await;
    let other = DocumentHost::start().await;
    let named = other.publish("/mcp.json", json!({}));
    let port = host.host.split_once(':').unwrap().1;
    let spelled = [
        named,
        format!("https://127.0.0.1:{port}/mcp.json"),
        format!("https://localhost.evil.example:{port}/mcp.json"),
        format!("https://evil.example@{}/mcp.json", host.host),
        format!("https://{}/a/../mcp.json", host.host),
        format!("https://{}/mcp.json#x", host.host),
        format!("https://{}/", host.host),
        format!("http://{}/mcp.json", host.host),
        "file:///etc/passwd".to_owned(),
    ];
    host.publish("/mcp.json", json!({}));
    for client_id in &spelled {
        let reply = go(&mut world.visitor(), &asks(client_id, "notes:read")).await;
        assert!(reply.status.is_client_error() && reply.header("location").is_none(), "{client_id}");
        assert!(client(&world, client_id).await.is_none());
    }
    assert_eq!((host.fetched(), other.fetched()), (0, 0));
}

#[tokio::test]
async fn what_is_no_document_of_the_client_admits_nobody_and_says_why() {
    let (world, host) = with_host().await;
    let elsewhere = DocumentHost::start().await.publish("/mcp.json", json!({}));
    let inside = "http://169.254.169.254/latest/meta-data/".to_owned();
    let cases = [
        (host.publish("/another.json", json!({ "client_id": elsewhere })), "no document of this client"),
        (host.publish("/secret.json", json!({ "client_secret": "x" })), "no document of this client"),
        (host.publish("/back.json", json!({ "redirect_uris": ["http://evil.example/"] })), "no document"),
        (host.put("/long.json", Page::Long(DOCUMENT_LEN_MAX + 1)), "cannot be fetched"),
        (host.put("/huge.json", Page::Long(10 * 1024 * 1024)), "cannot be fetched"),
        (host.put("/away.json", Page::Redirect(elsewhere.clone())), "cannot be fetched"),
        (host.put("/inside.json", Page::Redirect(inside)), "cannot be fetched"),
        (host.put("/broken.json", Page::Broken), "cannot be fetched"),
        (host.put("/silent.json", Page::Silence), "cannot be fetched"),
        (format!("https://{}/none.json", host.host), "cannot be fetched"),
    ];
    for (url, told) in cases {
        let reply = go(&mut world.visitor(), &asks(&url, "notes:read")).await;
        assert!(reply.header("location").is_none() && reply.body.contains(told), "{url}: {}", reply.body);
        assert!(client(&world, &url).await.is_none(), "{url}");
        // At once again: nobody is asked a second time.
        let fetched = host.fetched();
        let again = go(&mut world.visitor(), &asks(&url, "notes:read")).await;
        assert!(again.header("location").is_none() && host.fetched() == fetched, "{url}");
    }
}

#[tokio::test]
async fn two_hundred_first_requests_ask_for_the_document_once() {
    let (world, host) = with_host().await;
    let url = host.publish("/mcp.json", json!({}));
    let path = format!("{}/acme/authorize?{}", world.base_url, encode(&asks(&url, "notes:read")));
    // As many at once as a test's own connections allow.
    let all = (0..200).map(|_| world.http.get(&path).send());
    let mut joined = tokio::task::JoinSet::new();
    all.for_each(|one| drop(joined.spawn(one)));
    let answers = joined.join_all().await;
    assert!(
        answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| !answer.status().is_server_error()))
    );
    assert_eq!(host.fetched(), 1);
}

#[tokio::test]
async fn a_client_may_ask_for_what_its_host_may_and_no_more() {
    let (world, host) = with_host().await;
    let url = host.publish("/mcp.json", json!({}));
    let refused = go(&mut world.visitor(), &asks(&url, "notes:write")).await;
    assert_eq!(parameter(&refused, "error").as_deref(), Some("invalid_scope"));
    allow(&world, &host.host, "notes:read notes:write").await;
    let on = go(&mut world.visitor(), &asks(&url, "notes:write")).await;
    assert!(parameter(&on, "request").is_some(), "{}", on.body);
    // Nor what needs no person.
    let form = [("grant_type", "client_credentials"), ("client_id", url.as_str()), ("scope", "notes:read")];
    assert_ne!(world.post("token", &form).await.status, StatusCode::OK);
    let device = world.post("device_authorization", &[("client_id", url.as_str())]).await;
    assert_ne!(device.status, StatusCode::OK);
}

#[tokio::test]
async fn its_own_host_counts_before_any_hosts() {
    let (world, host) = with_host().await;
    allow(&world, "*", "notes:write").await;
    let url = host.publish("/mcp.json", json!({}));
    let refused = go(&mut world.visitor(), &asks(&url, "notes:write")).await;
    assert_eq!(parameter(&refused, "error").as_deref(), Some("invalid_scope"));
    let other = DocumentHost::start().await.publish("/mcp.json", json!({}));
    let on = go(&mut world.visitor(), &asks(&other, "notes:write")).await;
    assert!(parameter(&on, "request").is_some(), "{}", on.body);
}

#[tokio::test]
async fn a_host_that_is_forbidden_is_dead_with_all_that_its_clients_have() {
    let (world, host) = with_host().await;
    let url = host.publish("/mcp.json", json!({}));
    let code = code(&world, &asks(&url, "notes:read offline_access")).await;
    let tokens = redeem(&world, &url, &code, &[]).await.json();
    let token = tokens["access_token"].as_str().unwrap();
    assert!(world.accepts(token).await);
    let forbid = ForbidDocuments { org: world.org, host: Host::parse(&host.host).unwrap() };
    assert_eq!(world.change(forbid.clone()).await, Some(1));
    assert!(!world.accepts(token).await);
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", url.as_str()),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
    ];
    assert_ne!(world.post("token", &form).await.status, StatusCode::OK);
    assert_ne!(go(&mut world.visitor(), &asks(&url, "notes:read")).await.status, StatusCode::SEE_OTHER);
    assert_eq!(world.change(forbid).await, None);
    // Allowed again, it is not back by itself: somebody took it out of use.
    allow(&world, &host.host, "notes:read").await;
    assert_ne!(go(&mut world.visitor(), &asks(&url, "notes:read")).await.status, StatusCode::SEE_OTHER);
    let id = client(&world, &url).await.unwrap().id;
    world.change(SetClientStanding { org: world.org, client: id, active: true }).await;
    assert_eq!(go(&mut world.visitor(), &asks(&url, "notes:read")).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_client_proves_itself_by_the_key_that_it_publishes() {
    let (world, host) = with_host().await;
    let key = SigningKey::generate();
    let more = json!({
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": { "keys": [serde_json::to_value(key.public()).unwrap()] },
    });
    let url = host.publish("/server.json", more);
    let code = code(&world, &asks(&url, "notes:read")).await;
    let bare = redeem(&world, &url, &code, &[]).await;
    assert_eq!(bare.status, StatusCode::UNAUTHORIZED, "{}", bare.body);
    let another = world.assertion(&url, &SigningKey::generate());
    let proof = |assertion: &[(&'static str, String); 2]| {
        assertion.iter().map(|(name, value)| (*name, value.clone())).collect::<Vec<_>>()
    };
    for (assertion, status) in
        [(another, StatusCode::UNAUTHORIZED), (world.assertion(&url, &key), StatusCode::OK)]
    {
        let owned = proof(&assertion);
        let more: Vec<(&str, &str)> = owned.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let reply = redeem(&world, &url, &code, &more).await;
        assert_eq!(reply.status, status, "{}", reply.body);
    }
}

#[tokio::test]
async fn a_request_is_pushed_by_a_client_that_was_never_seen() {
    let (world, host) = with_host().await;
    let url = host.publish("/mcp.json", json!({}));
    let reply = world.post("par", &asks(&url, "notes:read")).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.body);
    let uri = reply.json()["request_uri"].as_str().unwrap().to_owned();
    let code = code(&world, &[("client_id", &url), ("request_uri", &uri)]).await;
    assert_eq!(redeem(&world, &url, &code, &[]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_nobody_said_yes_to_is_forgotten_and_what_somebody_did_stays() {
    let (world, host) = with_host().await;
    let (used, unused) = (host.publish("/used.json", json!({})), host.publish("/unused.json", json!({})));
    let code = code(&world, &asks(&used, "notes:read offline_access")).await;
    assert_eq!(redeem(&world, &used, &code, &[]).await.status, StatusCode::OK);
    assert_eq!(go(&mut world.visitor(), &asks(&unused, "notes:read")).await.status, StatusCode::SEE_OTHER);
    let sweep = async || {
        while world.change(Sweep { after: None, steady: true }).await.more {}
    };
    world.clock.advance(Lifetime::hours(12));
    sweep().await;
    assert!(client(&world, &unused).await.is_some());
    world.clock.advance(DOCUMENT_CLIENT_UNUSED);
    sweep().await;
    assert!(client(&world, &unused).await.is_none() && client(&world, &used).await.is_some());
    // And it may come again.
    assert_eq!(go(&mut world.visitor(), &asks(&unused, "notes:read")).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn what_is_admitted_and_what_is_allowed_is_in_the_ledger() {
    let world = World::new().await;
    let host = DocumentHost::start().await;
    let before = world.ledger_size().await;
    allow(&world, &host.host, "notes:read").await;
    let url = host.publish("/mcp.json", json!({}));
    go(&mut world.visitor(), &asks(&url, "notes:read")).await;
    let told = world.ledger_from(before).await;
    assert_eq!(told, ["registered", "registered"], "{told:?}");
}

#[tokio::test]
async fn a_document_that_changes_counts_and_one_that_is_gone_lets_nobody_in() {
    let (mut world, host) = with_host().await;
    let url = host.publish("/mcp.json", json!({}));
    // Read by one issuer, which keeps it; by another process of the same store anew.
    assert_eq!(go(&mut world.visitor(), &asks(&url, "notes:read")).await.status, StatusCode::SEE_OTHER);
    host.publish(
        "/mcp.json",
        json!({ "redirect_uris": ["https://localhost/other"], "client_name": "Another" }),
    );
    world.serve_anew().await;
    let before = world.ledger_size().await;
    let refused = go(&mut world.visitor(), &asks(&url, "notes:read")).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "its redirect URIs are others now");
    assert_eq!(client(&world, &url).await.unwrap().name, "Another");
    assert!(world.ledger_from(before).await.contains(&"changed".to_owned()));
    host.put("/mcp.json", Page::Broken);
    world.serve_anew().await;
    let other = [("redirect_uri", "https://localhost/other")];
    let parameters: Vec<_> = asks(&url, "notes:read")
        .into_iter()
        .filter(|(name, _)| *name != "redirect_uri")
        .chain(other)
        .collect();
    let refused = go(&mut world.visitor(), &parameters).await;
    assert!(
        refused.header("location").is_none() && refused.body.contains("cannot be fetched"),
        "{}",
        refused.body
    );
}
