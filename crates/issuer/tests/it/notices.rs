//! What owners are told: in the same commit as the cut, on both sides of it, once each.

use hallpass_model::cut::{Target, Why};
use hallpass_model::id::PrincipalId;
use hallpass_model::lifetimes::{BEARER_RETRY, NOTICES_KEPT};
use hallpass_model::principal::Owner;
use hallpass_model::time::Lifetime;
use hallpass_store::{
    AddTeam, EndSession, MakeCut, OwnedId, ReadNotices, SetClientStanding, Sweep, TransferOwned, Which,
};
use hallpass_testkit::World;
use hallpass_testkit::world::NOTES;
use http::StatusCode;
use serde_json::json;

pub(crate) async fn told(world: &World, person: PrincipalId, owners: &[Owner]) -> Vec<u64> {
    let notices = world.store.list_notices(world.org, person, owners, 100).await.unwrap();
    notices.into_iter().map(|notice| notice.seq).collect()
}

pub(crate) struct Sides {
    pub(crate) world: World,
    /// Answers for `hallpass-cli`.
    pub(crate) grace: PrincipalId,
    /// Answers for the API, in a team.
    pub(crate) team: Owner,
    pub(crate) linus: PrincipalId,
}

/// Grace answers for the client, Linus's team for the API, and neither for anything else.
pub(crate) async fn sides() -> Sides {
    let world = World::new().await;
    let (grace, linus) = (world.add_person("grace").await, world.add_person("linus").await);
    let team = AddTeam { org: world.org, handle: "notes".parse().unwrap(), members: vec![linus] };
    let team = Owner::Team(world.change(team).await.unwrap());
    let cli = world.store.find_client_by_handle(world.org, "hallpass-cli").await.unwrap().unwrap().id;
    let notes = world.store.find_resource_by_url(world.org, NOTES).await.unwrap().unwrap().id;
    for (thing, to) in [(OwnedId::Client(cli), Owner::Person(grace)), (OwnedId::Resource(notes), team)] {
        let which = Which::These(vec![thing]);
        world.change(TransferOwned { org: world.org, which, to }).await.unwrap();
    }
    Sides { world, grace, team, linus }
}

#[tokio::test]
async fn a_cut_tells_the_owners_of_the_client_and_of_the_api_and_the_person_once_each() {
    let Sides { world, grace, team, linus } = sides().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let end =
        EndSession { org: world.org, session: login.session(), of: None, why: Why::EndedByAdministrator };
    world.change(end).await;
    let seq = world.ledger_size().await - 1;
    assert_eq!(told(&world, grace, &[Owner::Person(grace)]).await, [seq]);
    assert_eq!(told(&world, linus, &[Owner::Person(linus), team]).await, [seq]);
    assert_eq!(told(&world, world.ada, &[Owner::Person(world.ada)]).await, [seq]);
    let entry = world.store.find_ledger_entry(seq).await.unwrap().unwrap().entry().unwrap();
    assert_eq!((entry.event.text(), entry.session), ("cut", Some(login.session())));
    world.change(end).await;
    assert_eq!(told(&world, grace, &[Owner::Person(grace)]).await, [seq], "dead already: nothing new");
}

#[tokio::test]
async fn a_replay_is_told_and_a_logout_or_one_s_own_button_is_not() {
    let Sides { world, grace, .. } = sides().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    world.revoke(&login.refresh, "hallpass-cli").await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let own =
        EndSession { org: world.org, session: login.session(), of: Some(world.ada), why: Why::EndedByPerson };
    world.change(own).await;
    assert!(told(&world, grace, &[Owner::Person(grace)]).await.is_empty());

    let login = world.sign_in_bound("ada", "hallpass-cli").await;
    let second = world.refresh(&login).await.unwrap();
    world.refresh(&second).await.unwrap();
    assert!(world.refresh(&login).await.is_err(), "an older generation");
    let [seq] = told(&world, grace, &[Owner::Person(grace)]).await[..] else { panic!("one notice") };
    let entry = world.store.find_ledger_entry(seq).await.unwrap().unwrap().entry().unwrap();
    assert_eq!(entry.event.text(), "reused");
    // Whose session it was, too: the thief spoke in their name.
    assert_eq!(told(&world, world.ada, &[Owner::Person(world.ada)]).await, [seq]);

    // Sent again too late to be told from theft, by whoever has no key to prove.
    let login = world.sign_in("ada", "hallpass-cli").await;
    world.refresh(&login).await.unwrap();
    world.clock.advance(BEARER_RETRY + Lifetime::millis(1));
    assert!(world.refresh(&login).await.is_err());
    let seq = world.ledger_size().await - 1;
    assert_eq!(world.ledger_from(seq).await, ["cut: retry_too_late"]);
    assert!(told(&world, grace, &[Owner::Person(grace)]).await.contains(&seq));
    assert!(told(&world, world.ada, &[Owner::Person(world.ada)]).await.contains(&seq));
}

#[tokio::test]
async fn a_client_that_is_taken_out_of_use_tells_whoever_answers_for_it_and_for_the_apis_of_its_scopes() {
    let Sides { world, linus, team, .. } = sides().await;
    let key = hallpass_model::jose::SigningKey::generate();
    let robot = world.add_service("robot", &key, "notes:read").await;
    world.change(SetClientStanding { org: world.org, client: robot, active: false }).await;
    assert_eq!(told(&world, linus, &[team]).await.len(), 1);
    assert_eq!(told(&world, world.ada, &[Owner::Person(world.ada)]).await.len(), 1);
    let cut =
        MakeCut { org: Some(world.org), target: Target::Principal(linus), why: Why::EndedByAdministrator };
    world.change(cut).await;
    let administrators = world.store.find_org(world.org).await.unwrap().unwrap().administrators;
    assert_eq!(told(&world, linus, &[Owner::Person(linus)]).await.len(), 1);
    assert_eq!(told(&world, world.ada, &[Owner::Team(administrators)]).await.len(), 1);
}

#[tokio::test]
async fn what_was_read_stays_read_and_what_is_old_or_too_much_is_forgotten() {
    let Sides { world, grace, .. } = sides().await;
    let own = [Owner::Person(grace)];
    for session in world.open_sessions(world.ada, 502).await {
        let end = EndSession { org: world.org, session, of: None, why: Why::EndedByAdministrator };
        world.change(end).await;
    }
    let all = world.store.list_notices(world.org, grace, &own, 1_000).await.unwrap();
    assert_eq!(all.len(), 500, "no more are kept for one owner");
    world.change(ReadNotices { person: grace, upto: all[1].seq }).await;
    world.change(ReadNotices { person: grace, upto: 1 }).await;
    let now = world.store.list_notices(world.org, grace, &own, 3).await.unwrap();
    assert_eq!(now.iter().map(|notice| notice.read).collect::<Vec<_>>(), [false, true, true]);
    world.clock.advance(NOTICES_KEPT + Lifetime::minutes(2));
    while world.change(Sweep { after: None, steady: true }).await.more {}
    assert!(told(&world, grace, &own).await.is_empty());
}

#[tokio::test]
async fn an_owner_reads_what_they_are_told_and_nobody_else_does() {
    let Sides { world, .. } = sides().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let end =
        EndSession { org: world.org, session: login.session(), of: None, why: Why::EndedByAdministrator };
    world.change(end).await;
    let ask = async |who: &str, verb: &str, question: serde_json::Value| {
        let by = world.sign_in_for(who, "hallpass-cli", &[NOTES], "openid hallpass:read").await;
        let request = world.http.post(world.at(&format!("api/admin/{verb}"))).json(&question);
        world.send(request.bearer_auth(&by.access)).await
    };
    let told = ask("grace", "notice.list", json!({})).await.json();
    assert_eq!((&told[0]["read"], &told[0]["entry"]["event"]), (&json!(false), &json!("cut")));
    assert_eq!(told[0]["entry"]["entry"]["session"], login.session().to_string());
    let upto = told[0]["entry"]["seq"].clone();
    assert_eq!(ask("grace", "notice.read", json!({ "upto": upto })).await.status, StatusCode::OK);
    assert_eq!(ask("grace", "notice.list", json!({ "unread": true })).await.json(), json!([]));
    let unread = ask("linus", "notice.list", json!({ "unread": true })).await.json();
    assert_eq!(unread.as_array().map(Vec::len), Some(1), "each reads for themselves");
    let others = ask("linus", "notice.list", json!({ "person": "grace" })).await;
    assert_eq!(others.status, StatusCode::FORBIDDEN, "{}", others.body);
}

#[tokio::test]
async fn the_page_tells_them_and_what_is_read_there_is_read() {
    let Sides { world, grace, .. } = sides().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let end =
        EndSession { org: world.org, session: login.session(), of: None, why: Why::EndedByAdministrator };
    world.change(end).await;
    let mut browser = world.visitor_as(grace).await;
    let page = browser.get("/acme/notices").await;
    assert!(page.body.contains("Ended by somebody who may") && page.body.contains(">new<"), "{}", page.body);
    let seq = told(&world, grace, &[Owner::Person(grace)]).await[0].to_string();
    let read = browser.post("/acme/notices", &[("upto", &seq)]).await;
    assert_eq!(read.status, StatusCode::SEE_OTHER, "{}", read.body);
    assert!(!browser.get("/acme/notices").await.body.contains(">new<"));
    let mut stranger = world.visitor();
    assert_eq!(stranger.get("/acme/notices").await.status, StatusCode::SEE_OTHER, "to the login");
}
