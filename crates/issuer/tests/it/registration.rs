//! Clients that register themselves (RFC 7591) and manage that (RFC 7592): a whole life, and every way that must not.

use hallpass_model::cut::{Target, Why};
use hallpass_model::id::OrgId;
use hallpass_model::jose::{JwkSet, SigningKey};
use hallpass_model::lifetimes::{INITIAL_ACCESS_TOKEN, REGISTRATION_TOKEN};
use hallpass_model::principal::{Owner, Standing};
use hallpass_model::time::Lifetime;
use hallpass_model::wire::oauth::Scopes;
use hallpass_store::{
    AllowRegistration, ForbidRegistration, MakeCut, MakeInitialToken, SetClientFapi, SetClientStanding,
    SetPersonStanding,
};
use hallpass_testkit::client::encode;
use hallpass_testkit::world::NOTES;
use hallpass_testkit::{Reply, World};
use http::{Method, StatusCode};
use serde_json::{Value, json};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const BACK: &str = "http://127.0.0.1:53211/callback";

async fn allow(world: &World, scopes: &str) {
    let owner = Owner::Person(world.ada);
    let scopes = Scopes::parse(scopes).unwrap();
    world.change(AllowRegistration { org: world.org, owner, scopes, environment: None }).await.unwrap();
}

async fn initial(world: &World, org: OrgId, uses: u32) -> String {
    let made = world.change(MakeInitialToken { org, uses, lifetime: None }).await.unwrap();
    made.token.expose_text().to_owned()
}

/// A world whose org lets clients register themselves, and a token for so many.
pub(crate) async fn open(uses: u32) -> (World, String) {
    let world = World::new().await;
    allow(&world, "notes:read").await;
    let token = initial(&world, world.org, uses).await;
    (world, token)
}

pub(crate) fn metadata() -> Value {
    json!({
        "client_name": "An editor",
        "redirect_uris": ["http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "scope": "openid offline_access notes:read",
        "logo_uri": "https://client.example/logo",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut metadata = metadata();
    metadata[name] = value;
    metadata
}

async fn post(world: &World, token: &str, body: &[u8]) -> Reply {
    let request = world.http.post(world.at("register")).bearer_auth(token);
    world.send(request.header("content-type", "application/json").body(body.to_vec())).await
}

pub(crate) async fn register(world: &World, token: &str, metadata: &Value) -> Reply {
    post(world, token, metadata.to_string().as_bytes()).await
}

/// A client that is registered, and what it was told.
pub(crate) async fn registered(world: &World, token: &str) -> Value {
    let reply = register(world, token, &metadata()).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.body);
    reply.json()
}

/// Asks where a client manages its registration.
async fn manage(world: &World, method: Method, at: &str, token: &str, body: Option<&Value>) -> Reply {
    let mut request = world.http.request(method, at).bearer_auth(token);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    world.send(request).await
}

fn text<'a>(said: &'a Value, name: &str) -> &'a str {
    said[name].as_str().unwrap_or_else(|| panic!("no {name} in {said}"))
}

/// The same metadata, as a change of this client.
fn anew(said: &Value, name: &str, value: Value) -> Value {
    let mut metadata = with(name, value);
    metadata["client_id"] = said["client_id"].clone();
    metadata
}

async fn sign_in(world: &World, client_id: &str) -> Value {
    let parameters = [
        ("client_id", client_id),
        ("redirect_uri", BACK),
        ("response_type", "code"),
        ("scope", "notes:read offline_access"),
        ("resource", NOTES),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let parameter = |reply: &Reply, name: &str| {
        let location: url::Url =
            reply.header("location").unwrap_or_else(|| panic!("{}", reply.body)).parse().unwrap();
        location.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned()
    };
    let mut ada = world.visitor_as(world.ada).await;
    let on = ada.get(&format!("/acme/authorize?{}", encode(&parameters))).await;
    let request = parameter(&on, "request");
    ada.get(&format!("/acme/consent?request={request}")).await;
    let reply = ada.post("/acme/consent", &[("request", &request), ("answer", "yes")]).await;
    let code = parameter(&reply, "code");
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", client_id),
        ("code", &code),
        ("redirect_uri", BACK),
        ("code_verifier", VERIFIER),
        ("resource", NOTES),
    ];
    let reply = world.post("token", &form).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    reply.json()
}

fn refused(reply: &Reply, status: StatusCode, error: &str) {
    assert_eq!((reply.status, &reply.json()["error"]), (status, &json!(error)), "{}", reply.body);
}

/// One answer for every token that is not good here.
fn no_token(reply: &Reply) {
    refused(reply, StatusCode::UNAUTHORIZED, "invalid_token");
    assert!(reply.header("www-authenticate").is_some_and(|said| said.starts_with("Bearer ")));
}

#[tokio::test]
async fn a_client_registers_itself_signs_somebody_in_changes_and_goes() {
    let (world, token) = open(1).await;
    let before = world.ledger_size().await;
    let reply = register(&world, &token, &metadata()).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.body);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let said = reply.json();
    let (client_id, uri) = (text(&said, "client_id"), text(&said, "registration_client_uri"));
    assert_eq!(uri, format!("{}/register/{client_id}", world.issuer_url));
    let own = text(&said, "registration_access_token").to_owned();
    assert!(token.starts_with("hpi_") && own.starts_with("hpm_"));
    assert!(said["client_id_issued_at"].is_i64() && said["logo_uri"].is_null());
    for name in ["client_name", "redirect_uris", "grant_types", "response_types", "scope"] {
        assert_eq!(said[name], metadata()[name], "{name}");
    }
    assert_eq!(world.ledger_from(before).await, ["registered", "issued"]);

    let tokens = sign_in(&world, client_id).await;
    let access = text(&tokens, "access_token");
    assert_eq!(world.introspect(access).await["client_id"], client_id);

    let shown = manage(&world, Method::GET, uri, &own, None).await;
    assert_eq!((shown.status, shown.json()), (StatusCode::OK, said.clone()));
    assert_eq!(shown.header("cache-control"), Some("no-store"));

    let before = world.ledger_size().await;
    let changed =
        manage(&world, Method::PUT, uri, &own, Some(&anew(&said, "client_name", json!("Another")))).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    let now = changed.json();
    assert_eq!((&now["client_name"], &now["client_id"]), (&json!("Another"), &said["client_id"]));
    assert_eq!(world.ledger_from(before).await, ["changed", "issued"]);
    // Its older token is good for nothing from then on.
    no_token(&manage(&world, Method::GET, uri, &own, None).await);
    assert!(world.accepts(access).await, "a change of its name ends nothing");

    let newer = text(&now, "registration_access_token");
    let gone = manage(&world, Method::DELETE, uri, newer, None).await;
    assert_eq!((gone.status, gone.body.as_str()), (StatusCode::NO_CONTENT, ""));
    assert!(!world.accepts(access).await, "what it had is dead");
    for method in [Method::GET, Method::DELETE] {
        no_token(&manage(&world, method, uri, newer, None).await);
    }
    let client = world.store.find_client_by_handle(world.org, client_id).await.unwrap().unwrap();
    assert!(matches!(client.standing, Standing::Disabled(_)));
}

#[tokio::test]
async fn nobody_registers_where_the_org_does_not_say_so() {
    let world = World::new().await;
    let says =
        async || world.get(".well-known/openid-configuration").await.json()["registration_endpoint"].clone();
    assert!(says().await.is_null());
    let reply = register(&world, "hpi_x", &metadata()).await;
    refused(&reply, StatusCode::FORBIDDEN, "access_denied");
    assert_eq!(reply.json()["rule"], "registration");
    assert!(reply.body.contains("hallpass admin client registration allow"), "{}", reply.body);
    assert!(world.change(MakeInitialToken { org: world.org, uses: 1, lifetime: None }).await.is_none());
    allow(&world, "notes:read").await;
    assert_eq!(says().await, world.at("register"));
    world.change(ForbidRegistration { org: world.org }).await.unwrap();
    assert!(says().await.is_null());
}

#[tokio::test]
async fn forbidding_it_refuses_new_ones_and_changes_and_leaves_those_there_are() {
    let (world, token) = open(2).await;
    let said = registered(&world, &token).await;
    let (uri, own) = (text(&said, "registration_client_uri"), text(&said, "registration_access_token"));
    assert_eq!(world.change(ForbidRegistration { org: world.org }).await, Some(1));
    refused(&register(&world, &token, &metadata()).await, StatusCode::FORBIDDEN, "access_denied");
    let change = anew(&said, "client_name", json!("Another"));
    let reply = manage(&world, Method::PUT, uri, own, Some(&change)).await;
    refused(&reply, StatusCode::FORBIDDEN, "access_denied");
    sign_in(&world, text(&said, "client_id")).await;
    assert_eq!(manage(&world, Method::GET, uri, own, None).await.status, StatusCode::OK);
    // Allowed again, the tokens of before are good for nothing: there are none.
    allow(&world, "notes:read").await;
    no_token(&register(&world, &token, &metadata()).await);
    assert_eq!(manage(&world, Method::DELETE, uri, own, None).await.status, StatusCode::NO_CONTENT);
}

/// SECURITY: counted where it is used up, in the one transaction.
#[tokio::test]
async fn of_two_at_once_with_one_use_left_one_registers() {
    let (world, token) = open(1).await;
    let body = metadata();
    let (one, other) = tokio::join!(register(&world, &token, &body), register(&world, &token, &body));
    let mut statuses = [one.status, other.status];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::CREATED, StatusCode::UNAUTHORIZED]);
    no_token(&register(&world, &token, &body).await);
    assert_eq!(world.store.registered_clients(world.org).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_token_to_register_with_ends_by_time_by_a_newer_one_and_by_a_cut() {
    let (world, older) = open(9).await;
    let token = initial(&world, world.org, 9).await;
    no_token(&register(&world, &older, &metadata()).await);
    for bad in ["", "hpi_", &token[..token.len() - 1], &token.to_lowercase()] {
        no_token(&register(&world, bad, &metadata()).await);
    }
    // Only by the scheme that it is for, and never in the address.
    let request = world.http.post(world.at("register")).header("authorization", format!("DPoP {token}"));
    let request = request.header("content-type", "application/json").body(metadata().to_string());
    no_token(&world.send(request).await);
    registered(&world, &token).await;
    let cut =
        MakeCut { org: Some(world.org), target: Target::Org(world.org), why: Why::EndedByAdministrator };
    world.change(cut).await;
    no_token(&register(&world, &token, &metadata()).await);
    let token = initial(&world, world.org, 9).await;
    world.clock.advance(INITIAL_ACCESS_TOKEN);
    no_token(&register(&world, &token, &metadata()).await);
}

/// SECURITY: a client manages its own registration, and no other, here or elsewhere.
#[tokio::test]
async fn a_registration_is_managed_by_its_own_token_and_by_no_other() {
    let (world, token) = open(3).await;
    let (globex, owner) = world.add_org("globex").await;
    let scopes = Scopes::parse("notes:read").unwrap();
    let allow = AllowRegistration { org: globex, owner: Owner::Person(owner), scopes, environment: None };
    world.change(allow).await.unwrap();
    let (a, b) = (registered(&world, &token).await, registered(&world, &token).await);
    let (own, uri) = (text(&a, "registration_access_token"), text(&a, "registration_client_uri"));
    let elsewhere = uri.replace("/acme/", "/globex/");
    let cli = format!("{}/register/hallpass-cli", world.issuer_url);
    let none = format!("{}/register/registered-0", world.issuer_url);
    for at in [text(&b, "registration_client_uri"), &elsewhere, &cli, &none] {
        no_token(&manage(&world, Method::GET, at, own, None).await);
        let change = anew(&b, "client_name", json!("Mine"));
        no_token(&manage(&world, Method::PUT, at, own, Some(&change)).await);
        no_token(&manage(&world, Method::DELETE, at, own, None).await);
    }
    for other in [&token, text(&b, "registration_access_token"), "hpm_x", ""] {
        no_token(&manage(&world, Method::GET, uri, other, None).await);
    }
    // What registers at one org registers at no other, nor does a client's own token.
    let at_globex = |token: &str| {
        let request = world.http.post(format!("{}/globex/register", world.base_url)).bearer_auth(token);
        world.send(request.header("content-type", "application/json").body(metadata().to_string()))
    };
    no_token(&at_globex(&token).await);
    no_token(&register(&world, own, &metadata()).await);
    assert_eq!(manage(&world, Method::GET, uri, own, None).await.status, StatusCode::OK);
}

/// SECURITY: what it may have is the org's word of now.
#[tokio::test]
async fn nothing_is_had_beyond_what_the_org_says_now() {
    let (world, token) = open(9).await;
    let beyond = with("scope", json!("notes:read notes:write"));
    refused(&register(&world, &token, &beyond).await, StatusCode::BAD_REQUEST, "invalid_client_metadata");
    let mut silent = metadata();
    silent.as_object_mut().unwrap().remove("scope");
    let reply = register(&world, &token, &silent).await;
    assert_eq!(reply.json()["scope"], "openid profile offline_access notes:read", "{}", reply.body);

    let said = registered(&world, &token).await;
    let uri = text(&said, "registration_client_uri");
    let own = text(&said, "registration_access_token");
    let wider = anew(&said, "scope", json!("notes:read notes:write"));
    let refusal = manage(&world, Method::PUT, uri, own, Some(&wider)).await;
    refused(&refusal, StatusCode::BAD_REQUEST, "invalid_client_metadata");

    // Narrowed: it is so for those there are, and nothing that they say brings it back.
    allow(&world, "notes:write").await;
    assert_eq!(manage(&world, Method::GET, uri, own, None).await.json()["scope"], "openid offline_access");
    let before = anew(&said, "client_name", json!("Another"));
    refused(
        &manage(&world, Method::PUT, uri, own, Some(&before)).await,
        StatusCode::BAD_REQUEST,
        "invalid_client_metadata",
    );
    let within = anew(&said, "scope", json!("openid notes:write"));
    let reply = manage(&world, Method::PUT, uri, own, Some(&within)).await;
    assert_eq!((reply.status, &reply.json()["scope"]), (StatusCode::OK, &json!("openid notes:write")));
}

#[tokio::test]
async fn what_cannot_be_registered_is_refused_by_the_rfc_s_words_and_uses_nothing_up() {
    let (world, token) = open(1).await;
    let many: Vec<String> = (0..10_000).map(|n| format!("https://a.example/{n}")).collect();
    let deep = format!("{{\"jwks\":{}1{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let cases = [
        (with("redirect_uris", json!(["javascript:alert(1)"])), "invalid_redirect_uri"),
        (with("redirect_uris", json!(["https://a.example/back#x"])), "invalid_redirect_uri"),
        (with("redirect_uris", json!(["https://u:p@a.example/back"])), "invalid_redirect_uri"),
        (with("redirect_uris", json!(["http://a.example/back"])), "invalid_redirect_uri"),
        (with("redirect_uris", json!(many)), "invalid_redirect_uri"),
        (with("redirect_uris", json!([])), "invalid_redirect_uri"),
        (with("redirect_uris", json!({ "0": "https://a.example" })), "invalid_client_metadata"),
        (with("grant_types", json!(["client_credentials"])), "invalid_client_metadata"),
        (with("token_endpoint_auth_method", json!("client_secret_post")), "invalid_client_metadata"),
        (with("client_name", json!(7)), "invalid_client_metadata"),
        (with("software_statement", json!("eyJ.e.s")), "unapproved_software_statement"),
        (json!([metadata()]), "invalid_client_metadata"),
    ];
    for (metadata, error) in cases {
        refused(&register(&world, &token, &metadata).await, StatusCode::BAD_REQUEST, error);
    }
    for body in [
        &b""[..],
        b"null",
        b"{",
        b"\xff\xfe",
        b"client_name=x",
        b"[null,null,[\"https://a.example/\"]]",
        deep.as_bytes(),
    ] {
        refused(&post(&world, &token, body).await, StatusCode::BAD_REQUEST, "invalid_client_metadata");
    }
    let huge = vec![b' '; 300 * 1024];
    assert_eq!(post(&world, &token, &huge).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let service = register(&world, &token, &with("grant_types", json!(["client_credentials"]))).await;
    assert!(service.body.contains("hallpass admin client add --kind service"), "{}", service.body);
    let secret = with("token_endpoint_auth_method", json!("client_secret_basic"));
    assert!(register(&world, &token, &secret).await.body.contains("private_key_jwt"));
    registered(&world, &token).await;
}

#[tokio::test]
async fn a_change_names_its_client_and_leaves_what_is_not_the_client_s_alone() {
    let (world, token) = open(1).await;
    let said = registered(&world, &token).await;
    let (uri, own) = (text(&said, "registration_client_uri"), text(&said, "registration_access_token"));
    let mut nameless = anew(&said, "client_name", json!("x"));
    nameless.as_object_mut().unwrap().remove("client_id");
    for bad in [
        nameless,
        with("client_id", json!("hallpass-cli")),
        anew(&said, "registration_access_token", json!(own)),
        anew(&said, "client_secret", json!("s")),
    ] {
        let reply = manage(&world, Method::PUT, uri, own, Some(&bad)).await;
        refused(&reply, StatusCode::BAD_REQUEST, "invalid_client_metadata");
    }
    assert_eq!(manage(&world, Method::GET, uri, own, None).await.json(), said, "nothing was changed");
}

#[tokio::test]
async fn a_client_with_a_key_of_its_own_keeps_it_where_it_is_held_to_fapi() {
    let (world, token) = open(1).await;
    let key = SigningKey::generate();
    let mut by_key = with("token_endpoint_auth_method", json!("private_key_jwt"));
    by_key["jwks"] = json!(JwkSet::new(vec![key.public().clone()]));
    let reply = register(&world, &token, &by_key).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.body);
    let said = reply.json();
    assert_eq!(said["jwks"], by_key["jwks"]);
    let client_id = text(&said, "client_id");
    let client = world.store.find_client_by_handle(world.org, client_id).await.unwrap().unwrap();
    world.change(SetClientFapi { org: world.org, client: client.id, fapi: true }).await.unwrap();
    let (uri, own) = (text(&said, "registration_client_uri"), text(&said, "registration_access_token"));
    let public = anew(&said, "client_name", json!("Without a key"));
    let reply = manage(&world, Method::PUT, uri, own, Some(&public)).await;
    refused(&reply, StatusCode::BAD_REQUEST, "invalid_client_metadata");
    assert!(reply.body.contains("FAPI"), "{}", reply.body);
}

#[tokio::test]
async fn a_registration_s_token_lives_on_while_it_is_used_and_ends_with_its_client() {
    let (world, token) = open(2).await;
    let (a, b) = (registered(&world, &token).await, registered(&world, &token).await);
    let part = |said: &Value| {
        (text(said, "registration_client_uri").to_owned(), text(said, "registration_access_token").to_owned())
    };
    let ((a_uri, a_own), (b_uri, b_own)) = (part(&a), part(&b));
    let most = Lifetime::days(89);
    assert!(most < REGISTRATION_TOKEN);
    for _ in 0..3 {
        world.clock.advance(most);
        assert_eq!(manage(&world, Method::GET, &a_uri, &a_own, None).await.status, StatusCode::OK);
    }
    no_token(&manage(&world, Method::GET, &b_uri, &b_own, None).await);

    let client = text(&a, "client_id");
    let client = world.store.find_client_by_handle(world.org, client).await.unwrap().unwrap();
    let stand = |active| SetClientStanding { org: world.org, client: client.id, active };
    world.change(stand(false)).await;
    no_token(&manage(&world, Method::GET, &a_uri, &a_own, None).await);
    world.change(stand(true)).await;
    no_token(&manage(&world, Method::GET, &a_uri, &a_own, None).await);
}

#[tokio::test]
async fn nobody_registers_while_nobody_answers_for_it() {
    let world = World::new().await;
    let grace = world.add_person("grace").await;
    let scopes = Scopes::parse("notes:read").unwrap();
    let allow = AllowRegistration { org: world.org, owner: Owner::Person(grace), scopes, environment: None };
    world.change(allow).await.unwrap();
    let token = initial(&world, world.org, 1).await;
    world.change(SetPersonStanding { org: world.org, person: grace, active: false }).await;
    let reply = register(&world, &token, &metadata()).await;
    refused(&reply, StatusCode::FORBIDDEN, "access_denied");
    assert!(reply.body.contains("nobody answers"), "{}", reply.body);
}
