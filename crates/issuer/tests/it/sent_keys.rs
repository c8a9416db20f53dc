//! API keys that are sent to an API directly, which asks about them (RFC 7662): by an exception alone, and no further than it goes.

use hallpass_model::api_key::Excepted;
use hallpass_model::client::{ClientAuthentication, ClientKind};
use hallpass_model::grant::Acr;
use hallpass_model::jose::{JwkSet, SigningKey};
use hallpass_model::ledger::{Event, Key};
use hallpass_model::lifetimes::CLIENT_ASSERTION_MAX;
use hallpass_model::principal::Owner;
use hallpass_model::purpose::Purpose;
use hallpass_model::step_up::Demand;
use hallpass_model::time::{Clock, Lifetime};
use hallpass_model::wire::assertion::{ASSERTION_TYPE, assertion};
use hallpass_model::wire::oauth::{Scopes, token_type};
use hallpass_store::{
    AddApiKey, AddClient, AddResource, AddTeam, Filter, OwnedId, SetClientEnvironment, SetPersonStanding,
    SetResourceStanding, SetScopeDemand, SetTeamStanding, TransferOwned, Which,
};
use hallpass_testkit::World;
use hallpass_testkit::clock::START;
use hallpass_testkit::world::NOTES;
use serde_json::json;

use crate::api_keys::Works;

impl Works {
    async fn judged(&self, address: Option<&str>) -> serde_json::Value {
        introspect(&self.world, &self.secret, address).await
    }

    /// Not active for the API, which is told nothing more; the ledger has the rule.
    async fn is_nothing(&self, rule: &str) {
        let from = self.world.ledger_size().await;
        assert_eq!(self.judged(None).await, json!({ "active": false }), "{rule}");
        assert_eq!(self.world.ledger_from(from).await, [format!("denied: {rule}")]);
    }
}

/// A world with a key that may be sent for ten days.
async fn sent() -> Works {
    Works::with(|add| AddApiKey { direct: excepted(10), ..add }).await
}

async fn introspect(world: &World, secret: &str, address: Option<&str>) -> serde_json::Value {
    let [kind, signed] = world.assertion("notes-api", &world.notes_api_key);
    let mut form = vec![("token", secret), (kind.0, kind.1.as_str()), (signed.0, signed.1.as_str())];
    form.extend(address.map(|address| ("client_address", address)));
    world.post("introspect", &form).await.json()
}

/// For so many days from when a world begins.
fn excepted(days: u32) -> Option<Excepted> {
    let reason = Purpose::parse("their tool cannot exchange it").unwrap();
    Some(Excepted { reason, until: START + Lifetime::days(days) })
}

#[tokio::test]
async fn sent_to_an_api_it_is_judged_by_an_exception_alone() {
    let plain = Works::new().await;
    plain.is_nothing("key_not_direct").await;

    let works = sent().await;
    let answer = works.judged(None).await;
    assert_eq!(
        (
            answer["active"].clone(),
            answer["scope"].clone(),
            answer["client_id"].clone(),
            answer["aud"].clone()
        ),
        (json!(true), json!("notes:read"), json!("nightly"), json!(NOTES)),
        "{answer}"
    );
    let world = &works.world;
    assert_eq!(answer["exp"], (world.clock.now() + Lifetime::days(10)).seconds(), "the exception's end");
    assert!(answer["sub"].as_str().unwrap().starts_with("cli_"));
    // To whoever serves another API it is no key at all.
    let key = SigningKey::generate();
    let mail = world.add_service("mail-api", &key, "").await;
    world.add_resource("https://other.example/", "mail:send", Some(mail)).await;
    let [kind, signed] = world.assertion("mail-api", &key);
    let form = [("token", works.secret.as_str()), (kind.0, &kind.1), (signed.0, &signed.1)];
    assert_eq!(world.post("introspect", &form).await.json(), json!({ "active": false }));
    // It is on record how often, and not each time.
    for _ in 0..50 {
        assert_eq!(works.judged(None).await["active"], true);
    }
    let from = world.ledger_size().await;
    assert_eq!(works.users().await[0].uses, 51);
    let page = world.store.list_ledger(&Filter::default(), from, 10).await.unwrap();
    let entries: Vec<_> = page.items.iter().map(|row| row.entry().unwrap()).collect();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].event, Event::Used);
    assert_eq!(entries[0].detail.find(&Key::COUNT).map(ToString::to_string).as_deref(), Some("51"));

    world.clock.advance(Lifetime::days(10));
    works.is_nothing("key_direct_over").await;
    assert_eq!(works.exchange(&[]).await.status, 200, "the key is not");
}

#[tokio::test]
async fn sent_to_an_api_it_is_nothing_while_nobody_answers_for_it() {
    let works = sent().await;
    let (world, org) = (&works.world, works.world.org);
    let grace = world.add_person("grace").await;
    let team = AddTeam { org, handle: "works".parse().unwrap(), members: vec![grace] };
    let team = world.change(team).await.unwrap();
    let which = Which::These(vec![OwnedId::ApiKey(works.key)]);
    world.change(TransferOwned { org, which, to: Owner::Team(team) }).await.unwrap();
    assert_eq!(works.judged(None).await["active"], true);
    world.change(SetTeamStanding { org, team, active: false }).await;
    works.is_nothing("disabled").await;
    world.change(SetTeamStanding { org, team, active: true }).await;
    assert_eq!(works.judged(None).await["active"], true);
}

#[tokio::test]
async fn sent_to_an_api_it_is_judged_by_where_it_came_from_too() {
    let networks = vec!["192.0.2.0/24".parse().unwrap()];
    let works = Works::with(|add| AddApiKey { direct: excepted(10), networks, ..add }).await;
    for inside in ["192.0.2.7", "::ffff:192.0.2.7"] {
        assert_eq!(works.judged(Some(inside)).await["active"], true, "{inside}");
    }
    for (outside, rule) in [(Some("192.0.3.7"), "key_network"), (None, "key_address_unsaid")] {
        let from = works.world.ledger_size().await;
        assert_eq!(works.judged(outside).await, json!({ "active": false }), "{outside:?}");
        assert_eq!(works.world.ledger_from(from).await, [format!("denied: {rule}")]);
    }
    assert_eq!(works.judged(Some("nowhere")).await["error"], "invalid_request");
    let users = works.users().await;
    assert_eq!(users.len(), 1, "both ways of writing it are one network: {users:?}");
    assert_eq!(users[0].network.unwrap().to_string(), "192.0.2.0/24");
}

#[tokio::test]
async fn sent_to_an_api_it_is_nothing_while_that_is_out_of_use() {
    let works = sent().await;
    let (world, org) = (&works.world, works.world.org);
    let resource = world.store.find_resource_by_url(org, NOTES).await.unwrap().unwrap().id;
    let stand = |active| SetResourceStanding { org, resource, active };
    assert_eq!(works.judged(None).await["active"], true);
    world.change(stand(false)).await;
    works.is_nothing("resource_disabled").await;
    world.change(stand(true)).await;
    assert_eq!(works.judged(None).await["active"], true);
}

#[tokio::test]
async fn sent_to_an_api_it_is_nothing_while_its_client_is_of_another_environment() {
    let works = sent().await;
    let (world, org) = (&works.world, works.world.org);
    let client = world.store.find_client_by_handle(org, "nightly").await.unwrap().unwrap().id;
    let set = |environment: Option<&str>| {
        let environment = environment.map(|text| text.parse().unwrap());
        SetClientEnvironment { org, client, environment }
    };
    world.change(set(Some("stage"))).await;
    works.is_nothing("environment").await;
    assert_eq!(works.exchange(&[]).await.json()["rule"], "environment", "nor does it buy anything");
    for its_own in [Some("dev"), None] {
        world.change(set(its_own)).await;
        assert_eq!(works.judged(None).await["active"], true);
        assert_eq!(works.exchange(&[]).await.status, 200);
    }
}

/// SECURITY: there is no person who could prove anything (RFC 9470).
#[tokio::test]
async fn sent_to_an_api_it_has_no_scope_for_which_a_person_must_prove_who_they_are() {
    let scopes = Scopes::parse("notes:read notes:write").unwrap();
    let works = Works::with(|add| AddApiKey { direct: excepted(10), scopes, ..add }).await;
    let (world, org) = (&works.world, works.world.org);
    let resource = world.store.find_resource_by_url(org, NOTES).await.unwrap().unwrap().id;
    assert_eq!(works.judged(None).await["scope"], "notes:read notes:write");
    let demand = Demand { acr: Some(Acr::PhishingResistant), ..Demand::default() };
    let set = |scope: &str| SetScopeDemand { org, resource, scope: scope.to_owned(), demand };
    world.change(set("notes:write")).await;
    assert_eq!(works.judged(None).await["scope"], "notes:read");
    world.change(set("notes:read")).await;
    works.is_nothing("step_up").await;
}

#[tokio::test]
async fn sent_to_an_api_it_ends_with_the_person_who_answers_for_it() {
    let works = sent().await;
    let (world, org) = (&works.world, works.world.org);
    let grace = world.add_person("grace").await;
    let which = Which::These(vec![OwnedId::ApiKey(works.key)]);
    world.change(TransferOwned { org, which, to: Owner::Person(grace) }).await.unwrap();
    assert_eq!(works.judged(None).await["active"], true);
    let stand = |active| SetPersonStanding { org, person: grace, active };
    world.change(stand(false)).await;
    works.is_nothing("key_revoked").await;
    world.change(stand(true)).await;
    world.clock.advance(Lifetime::minutes(2)); // refusals are recorded once a minute
    works.is_nothing("key_revoked").await;
}

/// SECURITY: to another org, whoever asks there, a key of this one is text like any other.
#[tokio::test]
async fn sent_to_an_api_of_another_org_it_is_nothing() {
    let works = sent().await;
    let world = &works.world;
    let (globex, bob) = world.add_org("globex").await;
    let key = SigningKey::generate();
    let keys = JwkSet::new(vec![key.public().clone()]);
    let server = AddClient {
        org: globex,
        owner: Owner::Person(bob),
        authentication: ClientAuthentication::PrivateKeyJwt(keys),
        ..world.new_client("notes-api", ClientKind::Service)
    };
    let server = world.add_client(server).await;
    let notes = AddResource {
        org: globex,
        url: NOTES.into(),
        name: "Notes".into(),
        owner: Owner::Person(bob),
        environment: "dev".parse().unwrap(),
        scopes: Scopes::parse("notes:read").unwrap(),
        server: Some(server),
    };
    world.change(notes).await.unwrap();
    let at = format!("{}/globex", world.base_url);
    let signed = assertion(&key, "notes-api", &at, "jti-0001", world.clock.now(), CLIENT_ASSERTION_MAX);
    let form =
        [("token", &*works.secret), ("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &signed)];
    let from = world.ledger_size().await;
    let reply = world.send(world.http.post(format!("{at}/introspect")).form(&form)).await;
    assert_eq!(reply.json(), json!({ "active": false }), "{}", reply.body);
    let buy = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", &*works.secret),
        ("subject_token_type", token_type::API_KEY),
    ];
    let reply = world.send(world.http.post(format!("{at}/token")).form(&buy)).await;
    assert_eq!(reply.json()["rule"], "key_unknown", "{}", reply.body);
    let entries = world.ledger_from(from).await;
    assert!(entries.iter().all(|entry| !entry.starts_with("denied")), "nothing is said of it: {entries:?}");
    assert_eq!(works.judged(None).await["active"], true);
}
