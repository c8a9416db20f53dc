//! API keys that are sent to an API directly, which asks about them (RFC 7662): by an exception alone, and no further than it goes.

use hallpass_model::api_key::Excepted;
use hallpass_model::jose::SigningKey;
use hallpass_model::ledger::{Event, Key};
use hallpass_model::principal::Owner;
use hallpass_model::purpose::Purpose;
use hallpass_model::time::{Clock, Lifetime};
use hallpass_store::{AddApiKey, AddTeam, Filter, OwnedId, SetTeamStanding, TransferOwned, Which};
use hallpass_testkit::World;
use hallpass_testkit::world::NOTES;
use serde_json::json;

use crate::api_keys::Works;

impl Works {
    async fn judged(&self, address: Option<&str>) -> serde_json::Value {
        introspect(&self.world, &self.secret, address).await
    }
}

async fn introspect(world: &World, secret: &str, address: Option<&str>) -> serde_json::Value {
    let [kind, signed] = world.assertion("notes-api", &world.notes_api_key);
    let mut form = vec![("token", secret), (kind.0, kind.1.as_str()), (signed.0, signed.1.as_str())];
    form.extend(address.map(|address| ("client_address", address)));
    world.post("introspect", &form).await.json()
}

fn excepted(world: &World, days: u32) -> Option<Excepted> {
    let until = world.clock.now() + Lifetime::days(days);
    Some(Excepted { reason: Purpose::parse("their tool cannot exchange it").unwrap(), until })
}

#[tokio::test]
async fn sent_to_an_api_it_is_judged_by_an_exception_alone() {
    let plain = Works::new().await;
    let from = plain.world.ledger_size().await;
    assert_eq!(plain.judged(None).await, json!({ "active": false }));
    assert_eq!(plain.world.ledger_from(from).await, ["denied: key_not_direct"]);

    let world = World::new().await;
    let until = excepted(&world, 10);
    let works = Works::with(|add| AddApiKey { direct: until, ..add }).await;
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
    let from = world.ledger_size().await;
    assert_eq!(works.judged(None).await, json!({ "active": false }), "the exception is over");
    assert_eq!(world.ledger_from(from).await, ["denied: key_direct_over"]);
    assert_eq!(works.exchange(&[]).await.status, 200, "the key is not");
}

#[tokio::test]
async fn sent_to_an_api_it_is_nothing_while_nobody_answers_for_it() {
    let until = excepted(&World::new().await, 10);
    let works = Works::with(|add| AddApiKey { direct: until, ..add }).await;
    let (world, org) = (&works.world, works.world.org);
    let grace = world.add_person("grace").await;
    let team = AddTeam { org, handle: "works".parse().unwrap(), members: vec![grace] };
    let team = world.change(team).await.unwrap();
    let which = Which::These(vec![OwnedId::ApiKey(works.key)]);
    world.change(TransferOwned { org, which, to: Owner::Team(team) }).await.unwrap();
    assert_eq!(works.judged(None).await["active"], true);
    world.change(SetTeamStanding { org, team, active: false }).await;
    let from = world.ledger_size().await;
    assert_eq!(works.judged(None).await, json!({ "active": false }));
    assert_eq!(world.ledger_from(from).await, ["denied: disabled"]);
    world.change(SetTeamStanding { org, team, active: true }).await;
    assert_eq!(works.judged(None).await["active"], true);
}

#[tokio::test]
async fn sent_to_an_api_it_is_judged_by_where_it_came_from_too() {
    let world = World::new().await;
    let until = excepted(&world, 10);
    let networks = vec!["192.0.2.0/24".parse().unwrap()];
    let works = Works::with(|add| AddApiKey { direct: until, networks, ..add }).await;
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
