//! The question between `authorize` and its answer.

use hallpass_model::client::ClientKind;
use hallpass_model::lifetimes::AUTHORIZE_REQUEST;
use hallpass_model::time::Lifetime;
use hallpass_model::wire::oauth::Scopes;
use hallpass_testkit::world::NOTES;
use hallpass_testkit::{Reply, Visitor, World};
use http::StatusCode;
use url::Url;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const BACK: &str = "http://127.0.0.1:53211/callback";

/// The way to the consent page, as the client's request begins it.
async fn ask(visitor: &mut Visitor<'_>, extra: &[(&str, &str)]) -> String {
    ask_as(visitor, "hallpass-cli", BACK, "openid notes:read", extra).await
}

async fn ask_as(
    visitor: &mut Visitor<'_>,
    client: &str,
    redirect_uri: &str,
    scope: &str,
    extra: &[(&str, &str)],
) -> String {
    let query = query(client, redirect_uri, scope, extra);
    let reply = visitor.get(&format!("/acme/authorize?{query}")).await;
    let location = reply.header("location").unwrap_or_else(|| panic!("no way on: {}", reply.body));
    let url = Url::parse(location).expect("an address");
    format!("{}?{}", url.path(), url.query().unwrap_or_default())
}

fn query(client: &str, redirect_uri: &str, scope: &str, extra: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs([
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", redirect_uri),
        ("scope", scope),
        ("resource", NOTES),
        ("state", "s1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("purpose", "look <i>around</i>"),
        ("device_install", "install-0001"),
        ("device_name", "ada-laptop"),
    ]);
    query.extend_pairs(extra);
    query.finish()
}

fn parameter(reply: &Reply, name: &str) -> Option<String> {
    let location = Url::parse(reply.header("location")?).ok()?;
    location.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn handle(page: &Reply) -> String {
    hallpass_testkit::visitor::field(&page.body, "request").expect("the form names the request")
}

#[tokio::test]
async fn who_says_yes_gets_a_code_to_the_program_once() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    let way = ask(&mut ada, &[]).await;
    let page = ada.get(&way).await;
    for shown in [
        "ada",
        "Read notes",
        NOTES,
        "ada-laptop",
        "look &#60;i&#62;around",
        "http://127.0.0.1:53211",
        "90 days",
    ] {
        assert!(page.body.contains(shown), "lacks {shown}: {}", page.body);
    }
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.ends_with("form-action 'self' http://127.0.0.1:53211"), "{policy}");

    let request = handle(&page);
    let reply = ada.post("/acme/consent", &[("request", &request), ("answer", "yes")]).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    assert!(reply.header("location").unwrap().starts_with(BACK));
    assert_eq!(parameter(&reply, "state").as_deref(), Some("s1"));
    assert_eq!(parameter(&reply, "iss"), Some(world.issuer_url.clone()));
    let code = parameter(&reply, "code").expect("a code");
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "hallpass-cli"),
        ("code", &*code),
        ("redirect_uri", BACK),
        ("code_verifier", VERIFIER),
        ("resource", &*world.issuer_url),
    ];
    let tokens = world
        .tokens(world.ask_token(&form, None).await, "hallpass-cli", None)
        .await
        .expect("the code is good");
    let claims = tokens.claims();
    assert_eq!(claims.acr.as_deref(), Some("phr"));
    assert_eq!(claims.amr, ["pop", "user", "mfa"]);

    let again = ada.post("/acme/consent", &[("request", &request), ("answer", "yes")]).await;
    assert_eq!(again.status, StatusCode::GONE, "a request is answered once");
}

/// RFC 8252, section 7.1. Chromium follows a form's redirect only where the page's policy names its target.
#[tokio::test]
async fn an_app_of_a_private_scheme_gets_its_answer_and_the_person_is_told_the_scheme() {
    let world = World::new().await;
    let redirects = ["com.example.app://cb", "com.example.app:/cb"];
    world
        .add_client(hallpass_store::AddClient {
            redirect_uris: redirects.map(str::to_owned).to_vec(),
            ..world.new_client("app", ClientKind::Agent)
        })
        .await;
    let mut ada = world.visitor_as(world.ada).await;
    for redirect in redirects {
        let way = ask_as(&mut ada, "app", redirect, "openid", &[]).await;
        let page = ada.get(&way).await;
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.ends_with("form-action 'self' com.example.app:"), "{policy}");
        assert!(page.body.contains("an app on <b>this device</b>"), "{}", page.body);
        assert!(page.body.contains("<code>com.example.app:</code>"), "{}", page.body);
        let reply = ada.post("/acme/consent", &[("request", &handle(&page)), ("answer", "yes")]).await;
        assert!(reply.header("location").unwrap().starts_with(redirect), "{redirect}");
    }
}

#[tokio::test]
async fn an_answer_that_goes_to_a_web_site_is_not_said_to_stay_on_this_computer() {
    let world = World::new().await;
    let redirect = "https://ide.example/callback";
    world
        .add_client(hallpass_store::AddClient {
            redirect_uris: vec![redirect.to_owned()],
            ..world.new_client("ide", ClientKind::Agent)
        })
        .await;
    let mut ada = world.visitor_as(world.ada).await;
    let way = ask_as(&mut ada, "ide", redirect, "openid", &[]).await;
    let page = ada.get(&way).await;
    assert!(page.body.contains("the web site <code>https://ide.example</code>"), "{}", page.body);
    assert!(!page.body.contains("this computer"), "{}", page.body);
    assert!(
        page.body.contains("5 minutes, once"),
        "and without a refresh token it says for how long: {}",
        page.body
    );
}

/// To act for weeks, unseen, is asked for like any other scope, and the client's registration is the bound.
#[tokio::test]
async fn offline_access_is_only_for_a_client_registered_with_it_and_for_command_lines() {
    let world = World::new().await;
    let with_scopes = |handle, kind, scopes: &str| hallpass_store::AddClient {
        scopes: Scopes::parse(scopes).unwrap(),
        ..world.new_client(handle, kind)
    };
    world.add_client(with_scopes("agent", ClientKind::Agent, "notes:read")).await;
    world.add_client(with_scopes("stays", ClientKind::Agent, "notes:read offline_access")).await;
    world.add_client(with_scopes("other-cli", ClientKind::Cli, "notes:read")).await;
    for (client, scope, allowed) in [
        ("agent", "openid profile notes:read", true),
        ("agent", "openid notes:read offline_access", false),
        ("stays", "openid notes:read offline_access", true),
        ("other-cli", "openid notes:read offline_access", true),
    ] {
        let query = query(client, BACK, scope, &[]);
        let reply = world.get(&format!("authorize?{query}")).await;
        let error = parameter(&reply, "error");
        assert_eq!(error.as_deref(), (!allowed).then_some("invalid_scope"), "{client} {scope}");
    }
}

#[tokio::test]
async fn who_says_no_tells_the_program_so() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    let way = ask(&mut ada, &[]).await;
    let page = ada.get(&way).await;
    let reply = ada.post("/acme/consent", &[("request", &handle(&page)), ("answer", "no")]).await;
    assert!(reply.header("location").unwrap().starts_with(BACK));
    assert_eq!(parameter(&reply, "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(&reply, "iss"), Some(world.issuer_url.clone()));
    assert_eq!(parameter(&reply, "code"), None);
}

#[tokio::test]
async fn opening_the_page_or_posting_no_answer_says_nothing() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    let way = ask(&mut ada, &[]).await;
    let page = ada.get(&way).await;
    let request = handle(&page);
    for answer in ["", "maybe", "Yes"] {
        let reply = ada.post("/acme/consent", &[("request", &request), ("answer", answer)]).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{answer}");
        ada.get(&way).await;
    }
    assert_eq!(
        ada.post("/acme/consent", &[("request", &request), ("answer", "yes")]).await.status,
        StatusCode::SEE_OTHER
    );
}

#[tokio::test]
async fn a_request_waits_for_the_login_and_not_for_ever() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    ada.cookies.retain(|name, _| name.ends_with("browser"));
    let way = ask(&mut ada, &[]).await;
    let to_login = ada.get(&way).await;
    assert_eq!(to_login.status, StatusCode::SEE_OTHER);
    let login = to_login.header("location").unwrap().to_owned();
    assert!(login.starts_with("/acme/login?to=consent&request="), "{login}");
    let page = ada.get(&login).await;
    assert!(page.body.contains("whether a program may act for you"));
    let request = handle(&page);
    let reply = ada.log_in("acme", &[("to", "consent"), ("request", &request)]).await;
    assert_eq!(reply.header("location"), Some(way.as_str()));
    assert_eq!(ada.get(&way).await.status, StatusCode::OK);

    world.clock.advance(AUTHORIZE_REQUEST);
    assert_eq!(ada.get(&way).await.status, StatusCode::GONE);
    ada.get("/acme/sessions").await;
    let late = ada.post("/acme/consent", &[("request", &request), ("answer", "yes")]).await;
    assert_eq!(late.status, StatusCode::GONE);
}

#[tokio::test]
async fn a_client_may_ask_for_a_fresh_login_and_gets_it() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    world.clock.advance(Lifetime::seconds(61));
    for extra in [("prompt", "login"), ("max_age", "60")] {
        let way = ask(&mut ada, &[extra]).await;
        let again = ada.get(&way).await;
        assert_eq!(again.status, StatusCode::SEE_OTHER, "{extra:?}");
        assert!(again.header("location").unwrap().ends_with("&again=1"), "{extra:?}");
        let request = way.split("request=").nth(1).unwrap().to_owned();
        let reply = ada.log_in("acme", &[("to", "consent"), ("request", &request)]).await;
        assert_eq!(reply.header("location"), Some(way.as_str()));
        assert_eq!(ada.get(&way).await.status, StatusCode::OK, "{extra:?}");
        world.clock.advance(Lifetime::seconds(61));
    }
}

#[tokio::test]
async fn a_fresh_login_cannot_be_gone_around_by_posting() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    world.clock.advance(Lifetime::seconds(1));
    let way = ask(&mut ada, &[("prompt", "login")]).await;
    let request = way.split("request=").nth(1).unwrap().to_owned();
    ada.get("/acme/sessions").await;
    let reply = ada.post("/acme/consent", &[("request", &request), ("answer", "yes")]).await;
    assert_eq!(parameter(&reply, "code"), None);
    assert_eq!(parameter(&reply, "error").as_deref(), Some("login_required"));
}

#[tokio::test]
async fn a_request_at_one_org_is_unknown_at_another() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    let way = ask(&mut ada, &[]).await;
    let (_, bob) = world.add_org("other").await;
    let link = world.link(hallpass_store::LinkPurpose::Enrol { person: bob }).await;
    let mut bob = world.visitor();
    bob.enrol("other", link.expose_text()).await;
    assert_eq!(bob.get(&way.replace("/acme/", "/other/")).await.status, StatusCode::GONE);
}
