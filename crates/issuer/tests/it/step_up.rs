//! Step-up (RFC 9470): what a client, a scope or a request demands of how, and how lately, a person proved who they are.

use hallpass_model::grant::Acr;
use hallpass_model::jose::SigningKey;
use hallpass_model::principal::Requirements;
use hallpass_model::step_up::Demand;
use hallpass_model::time::Lifetime;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_store::{ScopeDemandSet, SetClientDemand, SetOrgRequirements, SetScopeDemand};
use hallpass_testkit::World;
use hallpass_testkit::world::NOTES;
use http::StatusCode;
use url::Url;

const FIVE: Demand = Demand { acr: None, max_age: Some(Lifetime::minutes(5)), sso: false };

async fn demand_of_writing(world: &World, demand: Demand) {
    let resource = world.store.find_resource_by_url(world.org, NOTES).await.unwrap().unwrap().id;
    let set = SetScopeDemand { org: world.org, resource, scope: "notes:write".into(), demand };
    assert_eq!(world.change(set.clone()).await, ScopeDemandSet::Done);
    let unknown = SetScopeDemand { scope: "notes:shred".into(), ..set };
    assert_eq!(world.change(unknown).await, ScopeDemandSet::NoScope);
}

#[tokio::test]
async fn a_scope_that_demands_a_fresh_login_is_not_had_by_an_old_one_and_nothing_else_is_lost() {
    let world = World::new().await;
    demand_of_writing(&world, FIVE).await;
    let login = world.sign_in_bound("ada", "hallpass-cli").await;
    let write = [("resource", NOTES), ("scope", "notes:write")];
    let fresh = world.exchange(&login, &write).await.unwrap();
    assert_eq!(fresh.scope, "notes:write");
    assert!(fresh.claims().auth_time.is_some() && fresh.claims().acr.is_some(), "section 6.1");

    world.clock.advance(Lifetime::minutes(5) + Lifetime::seconds(1));
    let login = world.refresh(&login).await.unwrap();
    let before = world.ledger_size().await;
    let refused = world.exchange(&login, &write).await.unwrap_err();
    assert_eq!(
        (refused.status, &refused.code),
        (StatusCode::BAD_REQUEST, &ErrorCode::InsufficientUserAuthentication)
    );
    assert!(refused.told.contains("at most 5m ago"), "{}", refused.told);
    assert_eq!(world.ledger_from(before).await, ["denied: step_up"]);
    let all = world.exchange(&login, &[("resource", NOTES)]).await.unwrap();
    assert_eq!(all.scope, "notes:read", "unnamed, it is left out");

    let again = world.sign_in_bound("ada", "hallpass-cli").await;
    assert!(world.exchange(&again, &write).await.is_ok());
    demand_of_writing(&world, Demand::default()).await;
    assert!(world.exchange(&login, &write).await.is_ok(), "demanded no more");
}

#[tokio::test]
async fn a_client_that_demands_a_fresh_login_refuses_every_grant_of_an_old_one_and_ends_nothing() {
    let world = World::new().await;
    let cli = world.store.find_client_by_handle(world.org, "hallpass-cli").await.unwrap().unwrap().id;
    let set = SetClientDemand { org: world.org, client: cli, demand: FIVE, pushed_only: false };
    let login = world.sign_in_bound("ada", "hallpass-cli").await;
    assert!(world.change(set).await);
    assert!(world.refresh(&login).await.is_ok());
    world.clock.advance(Lifetime::minutes(6));
    assert_eq!(world.refresh(&login).await.unwrap_err().code, ErrorCode::InsufficientUserAuthentication);
    world.change(SetClientDemand { demand: Demand::default(), ..set }).await;
    assert!(world.refresh(&login).await.is_ok(), "a refusal used nothing up");
}

#[tokio::test]
async fn a_service_never_has_what_only_a_person_s_proof_opens() {
    let world = World::new().await;
    let key = SigningKey::generate();
    world.add_service("robot", &key, "notes:read notes:write").await;
    demand_of_writing(&world, FIVE).await;
    let ask = async |scope: Option<&str>| {
        let [(of, assertion_type), (name, assertion)] = world.assertion("robot", &key);
        let mut form = vec![
            ("grant_type", "client_credentials"),
            (of, assertion_type.as_str()),
            (name, assertion.as_str()),
            ("resource", NOTES),
        ];
        form.extend(scope.map(|scope| ("scope", scope)));
        world.tokens(world.post("token", &form).await, "robot", None).await
    };
    assert_eq!(ask(Some("notes:write")).await.unwrap_err().code, ErrorCode::InsufficientUserAuthentication);
    assert_eq!(ask(None).await.unwrap().scope, "notes:read");
}

fn authorize(extra: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs([
        ("response_type", "code"),
        ("client_id", "hallpass-cli"),
        ("redirect_uri", "http://127.0.0.1:53211/callback"),
        ("resource", NOTES),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
    ]);
    query.extend_pairs(extra);
    format!("/acme/authorize?{}", query.finish())
}

#[tokio::test]
async fn the_page_asks_for_a_fresh_login_where_a_scope_or_the_request_demands_one() {
    let world = World::new().await;
    demand_of_writing(&world, FIVE).await;
    let mut ada = world.visitor_as(world.ada).await;
    let mut leads_to = async |extra: &[(&str, &str)]| {
        let begun = ada.get(&authorize(extra)).await;
        let location = Url::parse(begun.header("location").unwrap()).unwrap();
        if !location.path().ends_with("/consent") {
            let error = location.query_pairs().find(|(name, _)| name == "error");
            return error.map(|(_, code)| code.into_owned()).unwrap_or_default();
        }
        let page = ada.get(&format!("{}?{}", location.path(), location.query().unwrap())).await;
        match page.header("location") {
            Some(login) if login.contains("again=1") => "login".to_owned(),
            _ => page.status.to_string(),
        }
    };
    let (read, write) = (("scope", "notes:read"), ("scope", "notes:write"));
    assert_eq!(leads_to(&[write]).await, "200 OK", "the login is fresh");
    world.clock.advance(Lifetime::minutes(6));
    assert_eq!(leads_to(&[read]).await, "200 OK");
    assert_eq!(leads_to(&[write]).await, "login");
    assert_eq!(leads_to(&[read, ("max_age", "60")]).await, "login");
    assert_eq!(leads_to(&[read, ("max_age", "0")]).await, "login");
    assert_eq!(leads_to(&[read, ("acr_values", "urn:example:gold phr")]).await, "200 OK", "any will do");
    for unmet in ["urn:example:gold", "urn:hallpass:acr:local"] {
        assert_eq!(leads_to(&[read, ("acr_values", unmet)]).await, "unmet_authentication_requirements");
    }
}

#[tokio::test]
async fn a_device_login_that_demands_a_fresh_login_is_approved_by_nothing_less() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    world.clock.advance(Lifetime::minutes(1));
    let extra = [("scope", "notes:read"), ("resource", NOTES), ("max_age", "0")];
    let started = world.start_device("hallpass-cli", &extra).await.json();
    let code = started["user_code"].as_str().unwrap().to_owned();
    ada.get("/acme/device").await;
    let asked = ada.post("/acme/device", &[("code", &code)]).await;
    let location = asked.header("location").unwrap_or_else(|| panic!("asked at once: {}", asked.body));
    assert!(location.contains("/acme/login?to=device") && location.ends_with("&again=1"), "{location}");
    ada.get("/acme/device").await;
    let gone_around = ada.post("/acme/device", &[("code", &code), ("answer", "yes")]).await;
    assert_eq!(gone_around.status, StatusCode::FORBIDDEN, "{}", gone_around.body);

    world.clock.advance(Lifetime::seconds(1));
    ada.log_in("acme", &[("to", "device")]).await;
    ada.get("/acme/device").await;
    assert_eq!(ada.post("/acme/device", &[("code", &code)]).await.status, StatusCode::OK);
    let approved = ada.post("/acme/device", &[("code", &code), ("answer", "yes")]).await;
    assert_eq!(approved.status, StatusCode::SEE_OTHER, "{}", approved.body);
    assert_ne!(Some(Acr::Local), Acr::parse("urn:hallpass:acr:local"), "nothing to ask for");
}

#[tokio::test]
async fn what_an_org_requires_is_asked_of_every_client_s_grants_as_if_each_demanded_it() {
    let world = World::new().await;
    let login = world.sign_in_bound("ada", "hallpass-cli").await;
    let requires = Requirements { demand: FIVE, ..Requirements::default() };
    let set = SetOrgRequirements { org: world.org, requires };
    world.change(set).await.unwrap();
    assert!(world.refresh(&login).await.is_ok());
    world.clock.advance(Lifetime::minutes(6));
    assert_eq!(world.refresh(&login).await.unwrap_err().code, ErrorCode::InsufficientUserAuthentication);
    let again = world.sign_in_bound("ada", "hallpass-cli").await;
    assert!(world.refresh(&again).await.is_ok());

    let cli = world.store.find_client_by_handle(world.org, "hallpass-cli").await.unwrap().unwrap().id;
    let longer = Demand { acr: None, max_age: Some(Lifetime::hours(1)), sso: false };
    assert!(
        world
            .change(SetClientDemand { org: world.org, client: cli, demand: longer, pushed_only: false })
            .await
    );
    assert!(world.refresh(&login).await.is_err(), "a client makes nothing of it weaker");
    world.change(SetOrgRequirements { requires: Requirements::default(), ..set }).await.unwrap();
    assert!(world.refresh(&login).await.is_ok());
}
