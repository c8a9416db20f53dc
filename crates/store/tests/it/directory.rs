//! Orgs, people, teams, clients, resources.

use hallpass_model::client::{ClientAuthentication, ClientKind};
use hallpass_model::ledger::{Event, Field, Key};
use hallpass_model::lifetimes::OLDER_ASSERTIONS;
use hallpass_model::principal::{OrgLimits, Owner};
use hallpass_model::time::Lifetime;
use hallpass_model::wire::oauth::{GrantType, Scopes};
use hallpass_store::{
    AddClient, AddPerson, AddResource, AddTeam, ChangeTeamMembers, Filter, LeftBehind, MembersSet, NotAdded,
    RecoverAdministrator, SetClientStanding, SetOrgLimits, SetOrgStanding, SetPersonStanding,
    SetResourceStanding, SetTeamMembers, SetTeamStanding, StandingSet, Taken,
};

use crate::world::{World, add_notes, add_org, scopes};

fn grace(world: &World) -> AddPerson {
    AddPerson { org: world.org, handle: "grace".parse().unwrap(), name: "Grace Hopper".into() }
}

fn service(world: &World, owner: Owner) -> AddClient {
    AddClient {
        org: world.org,
        handle: "notes-api".parse().unwrap(),
        name: "Notes API".into(),
        kind: ClientKind::Service,
        owner,
        authentication: ClientAuthentication::None,
        grant_types: vec![GrantType::ClientCredentials],
        redirect_uris: Vec::new(),
        scopes: Scopes::none(),
        any_scope: false,
        device_flow_barred: Scopes::none(),
        older_assertions_until: None,
        secrets_until: None,
        environment: None,
    }
}

#[tokio::test]
async fn an_org_is_born_with_its_administrator_team_key_and_client() {
    let world = World::new().await;
    let org = world.store.find_org_by_name("acme").await.unwrap().unwrap();
    let team = world.store.find_team(org.administrators).await.unwrap().unwrap();
    assert_eq!((team.handle.as_str(), team.members), ("administrators", vec![world.ada]));
    let ada = world.store.find_person_by_handle(world.org, "ada").await.unwrap().unwrap();
    assert_eq!((ada.id, ada.owner), (world.ada, Owner::Team(org.administrators)));
    let cli = world.store.find_client_by_handle(world.org, "hallpass-cli").await.unwrap().unwrap();
    assert_eq!(cli.owner, Owner::Person(world.ada));
    assert!(cli.is_public() && cli.may_ask_for("anything:at-all") && cli.may_use(&GrantType::DeviceCode));
    assert_eq!(cli.redirect_uris, ["http://127.0.0.1/callback", "http://[::1]/callback"]);
    assert_eq!(world.store.list_signing_keys(world.org, world.now).await.unwrap()[0].kid, "k1");
    assert_eq!(world.store.list_teams_of(world.ada).await.unwrap(), [org.administrators]);
}

#[tokio::test]
async fn a_name_is_taken_for_ever_even_by_a_disabled_org() {
    let world = World::new().await;
    assert_eq!(world.change(add_org("acme")).await, Err(Taken));
    world.change(SetOrgStanding { org: world.org, active: false }).await;
    assert_eq!(world.change(add_org("acme")).await, Err(Taken));
    world.change(add_org("other")).await.unwrap();
    let names: Vec<_> =
        world.store.list_orgs(None, 10).await.unwrap().items.iter().map(|org| org.name.to_string()).collect();
    assert_eq!(names, ["acme", "other"]);
}

#[tokio::test]
async fn short_names_are_unique_in_their_org_and_free_in_another() {
    let world = World::new().await;
    world.change(grace(&world)).await.unwrap();
    assert_eq!(world.change(grace(&world)).await, Err(NotAdded::Taken));
    let other = world.change(add_org("other")).await.unwrap();
    world.change(AddPerson { org: other.org, ..grace(&world) }).await.unwrap();
    let owner = Owner::Person(world.ada);
    world.change(service(&world, owner)).await.unwrap();
    assert_eq!(world.change(service(&world, owner)).await, Err(NotAdded::Taken));
    assert_eq!(world.change(add_notes(world.org, world.ada)).await, Err(NotAdded::Taken));
}

#[tokio::test]
async fn nothing_is_added_without_an_owner_who_can_answer() {
    let world = World::new().await;
    let other = world.change(add_org("other")).await.unwrap();
    let stranger = Owner::Person(other.administrator);
    assert_eq!(world.change(service(&world, stranger)).await, Err(NotAdded::NoOwner));

    let grace = world.change(grace(&world)).await.unwrap();
    let team = AddTeam { org: world.org, handle: "notes".parse().unwrap(), members: vec![grace] };
    let team = world.change(team).await.unwrap();
    world.change(SetPersonStanding { org: world.org, person: grace, active: false }).await;
    assert_eq!(world.change(service(&world, Owner::Person(grace))).await, Err(NotAdded::OwnerDisabled));
    assert_eq!(world.change(service(&world, Owner::Team(team))).await, Err(NotAdded::OwnerEmpty));
    world.change(SetPersonStanding { org: world.org, person: grace, active: true }).await;
    world.change(SetTeamStanding { org: world.org, team, active: false }).await;
    assert_eq!(world.change(service(&world, Owner::Team(team))).await, Err(NotAdded::OwnerDisabled));
    world.change(SetTeamStanding { org: world.org, team, active: true }).await;
    world.change(service(&world, Owner::Team(team))).await.unwrap();
    let resource = AddResource {
        owner: Owner::Team(team),
        url: "https://x.example/".into(),
        ..add_notes(world.org, grace)
    };
    world.change(resource).await.unwrap();
}

#[tokio::test]
async fn a_kind_of_client_gets_no_other_kind_s_grant_types_and_a_server_is_of_the_org() {
    let world = World::new().await;
    let wrong = AddClient {
        grant_types: vec![GrantType::ClientCredentials, GrantType::RefreshToken],
        ..service(&world, Owner::Person(world.ada))
    };
    assert_eq!(world.change(wrong).await, Err(NotAdded::GrantType));
    let other = world.change(add_org("other")).await.unwrap();
    let theirs = AddResource { server: Some(world.cli), ..add_notes(other.org, other.administrator) };
    assert_eq!(world.change(theirs).await, Err(NotAdded::NoServer));
    let in_no_org = AddPerson { org: hallpass_model::id::OrgId::from_bytes([1; 16]), ..grace(&world) };
    assert_eq!(world.change(in_no_org).await, Err(NotAdded::NoOrg));
    world.change(SetOrgStanding { org: world.org, active: false }).await;
    assert_eq!(world.change(grace(&world)).await, Err(NotAdded::OrgDisabled));
}

#[tokio::test]
async fn an_older_form_of_assertions_is_an_exception_with_an_end_and_is_recorded() {
    let world = World::new().await;
    let owner = Owner::Person(world.ada);
    let until = |until| AddClient { older_assertions_until: Some(until), ..service(&world, owner) };
    let late = world.now + OLDER_ASSERTIONS + Lifetime::millis(1);
    assert_eq!(world.change(until(late)).await, Err(NotAdded::ExceptionTooLong));
    let most = world.now + OLDER_ASSERTIONS;
    let client = world.change(until(most)).await.unwrap();
    let kept = world.store.find_client(client).await.unwrap().unwrap();
    assert!(kept.takes_older_assertions(most - Lifetime::millis(1)) && !kept.takes_older_assertions(most));
    let excepted = world.ledger().await.pop().unwrap();
    assert_eq!((excepted.event, excepted.client), (Event::Excepted, Some(client)));
    assert_eq!(excepted.detail.find(&Key::EXPIRES).unwrap().to_string(), most.millis().to_string());
    let strict = world.store.find_client(world.cli).await.unwrap().unwrap();
    assert!(!strict.takes_older_assertions(world.now), "nobody who was not let off is");
}

#[tokio::test]
async fn the_last_active_administrator_stays() {
    let world = World::new().await;
    let org = world.store.find_org(world.org).await.unwrap().unwrap();
    let disable = |person| SetPersonStanding { org: world.org, person, active: false };
    let members = |members| SetTeamMembers { org: world.org, team: org.administrators, members };
    assert_eq!(world.change(disable(world.ada)).await.standing, StandingSet::LastAdministrator);
    assert_eq!(world.change(members(vec![])).await, MembersSet::LastAdministrator);
    let away = SetTeamStanding { org: world.org, team: org.administrators, active: false };
    assert_eq!(world.change(away).await.standing, StandingSet::LastAdministrator);

    let grace = world.change(grace(&world)).await.unwrap();
    assert_eq!(
        world.change(members(vec![world.ada, grace])).await,
        MembersSet::Done { joined: 1, left: 0, behind: LeftBehind::default() }
    );
    assert!(matches!(world.change(disable(world.ada)).await.standing, StandingSet::Done(_)));
    // Ada is in the team still, but she could not answer.
    assert_eq!(world.change(disable(grace)).await.standing, StandingSet::LastAdministrator);
    assert_eq!(world.change(members(vec![world.ada])).await, MembersSet::LastAdministrator);
    assert_eq!(
        world.change(members(vec![grace])).await,
        MembersSet::Done { joined: 0, left: 1, behind: LeftBehind::default() }
    );
    let stranger = hallpass_model::id::PrincipalId::from_bytes([3; 16]);
    assert_eq!(world.change(members(vec![grace, stranger])).await, MembersSet::NoMember);
}

/// Two who change a team at once do not undo each other, as two whole lists would.
#[tokio::test]
async fn who_joins_and_leaves_a_team_takes_nobody_else_along() {
    let world = World::new().await;
    let team = world.store.find_org(world.org).await.unwrap().unwrap().administrators;
    let grace = world.change(grace(&world)).await.unwrap();
    let change =
        |joining: Vec<_>, leaving: Vec<_>| ChangeTeamMembers { org: world.org, team, joining, leaving };
    let moved = |joined, left| MembersSet::Done { joined, left, behind: LeftBehind::default() };
    assert_eq!(world.change(change(vec![grace], vec![])).await, moved(1, 0));
    assert_eq!(world.change(change(vec![grace, grace], vec![])).await, moved(0, 0), "who is there stays");
    assert_eq!(world.change(change(vec![], vec![world.ada])).await, moved(0, 1));
    assert_eq!(world.change(change(vec![], vec![grace])).await, MembersSet::LastAdministrator);
    assert_eq!(world.change(change(vec![], vec![world.ada])).await, moved(0, 0), "who is not there is gone");
    let members = world.store.find_team(team).await.unwrap().unwrap().members;
    assert_eq!(members, [grace]);
    let stranger = hallpass_model::id::PrincipalId::from_bytes([3; 16]);
    assert_eq!(world.change(change(vec![stranger], vec![])).await, MembersSet::NoMember);
}

#[tokio::test]
async fn a_lost_administrator_is_recovered_and_it_is_recorded() {
    let world = World::new().await;
    let recover = |handle: &str| RecoverAdministrator {
        org: world.org,
        handle: handle.parse().unwrap(),
        name: "Grace Hopper".into(),
    };
    let grace = world.change(recover("grace")).await.unwrap();
    assert_eq!(world.store.list_teams_of(grace).await.unwrap().len(), 1);
    // Somebody disabled is put back into use.
    world.change(SetPersonStanding { org: world.org, person: world.ada, active: false }).await;
    assert_eq!(world.change(recover("ada")).await.unwrap(), world.ada);
    assert!(world.store.find_person(world.ada).await.unwrap().unwrap().standing.is_active());
    assert_eq!(world.count(Event::Recovered).await, 2);
}

#[tokio::test]
async fn standings_are_set_once_and_recorded_and_what_is_remembered_is_not_stale() {
    let world = World::new().await;
    let off = SetClientStanding { org: world.org, client: world.cli, active: false };
    assert!(
        world
            .store
            .find_client_by_handle(world.org, "hallpass-cli")
            .await
            .unwrap()
            .unwrap()
            .standing
            .is_active()
    );
    assert!(matches!(world.change(off).await, StandingSet::Done(_)));
    assert!(
        !world
            .store
            .find_client_by_handle(world.org, "hallpass-cli")
            .await
            .unwrap()
            .unwrap()
            .standing
            .is_active()
    );
    let before = world.ledger().await.len();
    assert!(matches!(world.change(off).await, StandingSet::Already(_)));
    assert_eq!(world.ledger().await.len(), before, "what was so before is not recorded again");
    assert!(matches!(world.change(SetClientStanding { active: true, ..off }).await, StandingSet::Done(_)));

    let notes = SetResourceStanding { org: world.org, resource: world.notes, active: false };
    assert!(matches!(world.change(notes).await, StandingSet::Done(_)));
    let found = world.store.find_resource_by_url(world.org, crate::world::NOTES).await.unwrap().unwrap();
    assert!(!found.standing.is_active());

    let other = world.change(add_org("other")).await.unwrap();
    assert_eq!(world.change(SetClientStanding { org: other.org, ..off }).await, StandingSet::NotThere);
    assert_eq!(world.change(SetResourceStanding { org: other.org, ..notes }).await, StandingSet::NotThere);
    let person = SetPersonStanding { org: other.org, person: world.ada, active: false };
    assert_eq!(world.change(person).await.standing, StandingSet::NotThere);
}

#[tokio::test]
async fn limits_are_kept_to_the_second() {
    let world = World::new().await;
    let limits = OrgLimits {
        access_token: Some(Lifetime::minutes(1)),
        session_idle: None,
        session_absolute: Some(Lifetime::days(60)),
        api_key: Some(Lifetime::days(10)),
        rungs: None,
    };
    world.change(SetOrgLimits { org: world.org, limits }).await.unwrap();
    assert_eq!(world.store.find_org_by_name("acme").await.unwrap().unwrap().limits, limits);
    let opened = world.log_in(None).await;
    assert_eq!(opened.expires, world.now + Lifetime::minutes(1));
    assert_eq!(opened.session.expires, world.now + Lifetime::days(60));
}

#[tokio::test]
async fn a_person_s_names_stand_on_the_erasable_side_alone() {
    let world = World::new().await;
    let ada = Filter { principal: Some(world.ada), event: Some(Event::Registered), ..Filter::default() };
    let page = world.store.list_ledger(&ada, 0, 10).await.unwrap();
    assert!(page.items.iter().all(|row| !row.leaf.contains("Ada") && !row.leaf.contains("\"ada\"")));
    assert_eq!(page.items[0].personal.as_ref().unwrap().find(Field::Name), Some("Ada Lovelace"));
}

#[tokio::test]
async fn lists_come_in_pages() {
    let world = World::new().await;
    for n in 0..5 {
        let handle = format!("p{n}").parse().unwrap();
        world.change(AddPerson { org: world.org, handle, name: "P".into() }).await.unwrap();
    }
    let first = world.store.list_people(world.org, None, 4).await.unwrap();
    assert!(first.more && first.items.len() == 4);
    let rest = world.store.list_people(world.org, first.items.last().map(|p| &p.handle), 4).await.unwrap();
    assert!(!rest.more);
    assert_eq!(rest.items.iter().map(|p| p.handle.as_str()).collect::<Vec<_>>(), ["p3", "p4"]);
    assert_eq!(world.store.list_clients(world.org, None, 9).await.unwrap().items.len(), 1);
    assert_eq!(
        world.store.list_resources(world.org, None, 9).await.unwrap().items[0].scopes,
        scopes("notes:read notes:write")
    );
    assert_eq!(world.store.list_teams(world.org, None, 9).await.unwrap().items.len(), 1);
}
