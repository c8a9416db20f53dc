//! When an owner leaves, what they answered for is handed over, never orphaned.

use hallpass_model::client::{ClientAuthentication, ClientKind};
use hallpass_model::id::{PrincipalId, TeamId};
use hallpass_model::ledger::{Entry, Event, Key};
use hallpass_model::principal::Owner;
use hallpass_model::wire::oauth::Scopes;
use hallpass_store::{
    AddClient, AddPerson, AddResource, AddTeam, MembersSet, NotAdded, Owned, OwnedId, OwnerTransferred,
    RecoverAdministrator, SetPersonStanding, SetTeamMembers, SetTeamStanding, StandingSet, TransferOwner,
};

use crate::world::{World, add_notes, add_org};

/// An org where Grace answers for a client and a resource, and her team, which is nobody else's, for another of each.
struct Leaving {
    world: World,
    grace: PrincipalId,
    team: TeamId,
}

impl Leaving {
    async fn new() -> Self {
        let world = World::new().await;
        let grace = AddPerson { org: world.org, handle: "grace".parse().unwrap(), name: "Grace".into() };
        let grace = world.change(grace).await.unwrap();
        let team = AddTeam { org: world.org, handle: "notes".parse().unwrap(), members: vec![grace] };
        let team = world.change(team).await.unwrap();
        for (owner, name) in [(Owner::Person(grace), "hers"), (Owner::Team(team), "theirs")] {
            world.change(client(&world, name, owner)).await.unwrap();
            let url = format!("https://{name}.example/");
            world.change(AddResource { owner, url, ..add_notes(world.org, grace) }).await.unwrap();
        }
        Self { world, grace, team }
    }

    async fn administrators(&self) -> Owner {
        Owner::Team(self.world.store.find_org(self.world.org).await.unwrap().unwrap().administrators)
    }

    async fn owner_of(&self, name: &str) -> [Owner; 2] {
        let (store, org) = (&self.world.store, self.world.org);
        let client = store.find_client_by_handle(org, name).await.unwrap().unwrap();
        let resource = store.find_resource_by_url(org, &format!("https://{name}.example/")).await.unwrap();
        [client.owner, resource.unwrap().owner]
    }

    /// What the ledger says of changes of owner, from this entry on.
    async fn recorded(&self, from: usize) -> Vec<Entry> {
        let entries = self.world.ledger().await.split_off(from);
        entries.into_iter().filter(|entry| entry.event == Event::OwnerChanged).collect()
    }
}

fn client(world: &World, name: &str, owner: Owner) -> AddClient {
    AddClient {
        org: world.org,
        handle: name.parse().unwrap(),
        name: name.into(),
        kind: ClientKind::Cli,
        owner,
        authentication: ClientAuthentication::None,
        grant_types: Vec::new(),
        redirect_uris: Vec::new(),
        scopes: Scopes::none(),
        any_scope: false,
        device_flow_barred: Scopes::none(),
        older_assertions_until: None,
    }
}

fn named(names: &[&str]) -> Vec<Owned> {
    let both = |name: &&str| {
        [Owned::Client((*name).to_owned()), Owned::Resource(format!("https://{name}.example/"))]
    };
    names.iter().flat_map(both).collect()
}

#[tokio::test]
async fn a_person_who_is_disabled_leaves_nothing_that_nobody_answers_for() {
    let leaving = Leaving::new().await;
    let (world, administrators) = (&leaving.world, leaving.administrators().await);
    // Asked for once, so that what is remembered must be found stale.
    assert_eq!(leaving.owner_of("hers").await, [Owner::Person(leaving.grace); 2]);
    let before = world.ledger().await.len();
    let disable = SetPersonStanding { org: world.org, person: leaving.grace, active: false };
    let set = world.change(disable).await;
    assert!(matches!(set.standing, StandingSet::Done(_)));
    assert_eq!(set.handed_over, named(&["hers", "theirs"]), "and what her team did, in which nobody is left");
    for name in ["hers", "theirs"] {
        assert_eq!(leaving.owner_of(name).await, [administrators; 2], "{name}");
    }
    let recorded = leaving.recorded(before).await;
    assert_eq!(recorded.len(), 4);
    let Owner::Team(to) = administrators else { panic!("a team") };
    for entry in &recorded {
        assert_eq!(entry.detail.find(&Key::OWNER).unwrap().to_string(), to.to_string());
        assert_eq!(entry.detail.find(&Key::REASON).unwrap().to_string(), "owner_left");
        let team = entry.detail.find(&Key::TEAM).map(ToString::to_string);
        let from_team = Some(leaving.team.to_string());
        assert!(
            entry.principal == Some(leaving.grace) || team == from_team,
            "an entry says whose it was: {entry:?}"
        );
        assert!(entry.client.is_some() != entry.resource.is_some());
    }

    let again = world.change(SetPersonStanding { active: true, ..disable }).await;
    assert_eq!(again.handed_over, []);
    assert_eq!(leaving.owner_of("hers").await, [administrators; 2], "coming back takes nothing back");
}

#[tokio::test]
async fn a_team_that_is_disabled_or_emptied_leaves_nothing_that_nobody_answers_for() {
    let leaving = Leaving::new().await;
    let world = &leaving.world;
    let disable = SetTeamStanding { org: world.org, team: leaving.team, active: false };
    assert_eq!(world.change(disable).await.handed_over, named(&["theirs"]));
    assert_eq!(leaving.owner_of("theirs").await, [leaving.administrators().await; 2]);
    assert_eq!(leaving.owner_of("hers").await, [Owner::Person(leaving.grace); 2]);

    let leaving = Leaving::new().await;
    let world = &leaving.world;
    let members = |members| SetTeamMembers { org: world.org, team: leaving.team, members };
    let joined = world.change(members(vec![leaving.grace, world.ada])).await;
    assert_eq!(joined, MembersSet::Done { joined: 1, left: 0, handed_over: vec![] });
    let disable = SetPersonStanding { org: world.org, person: leaving.grace, active: false };
    assert_eq!(world.change(disable).await.handed_over, named(&["hers"]), "ada is there still");
    assert_eq!(leaving.owner_of("theirs").await, [Owner::Team(leaving.team); 2]);
    // Grace stays in it, but she could not answer.
    let emptied = world.change(members(vec![leaving.grace])).await;
    assert_eq!(emptied, MembersSet::Done { joined: 0, left: 1, handed_over: named(&["theirs"]) });
    assert_eq!(leaving.owner_of("theirs").await, [leaving.administrators().await; 2]);
}

#[tokio::test]
async fn an_administrator_who_leaves_hands_over_to_those_who_stay_and_the_org_s_own_client_with_it() {
    let world = World::new().await;
    let recover = RecoverAdministrator { org: world.org, handle: "eve".parse().unwrap(), name: "Eve".into() };
    world.change(recover).await.unwrap();
    let set = world.change(SetPersonStanding { org: world.org, person: world.ada, active: false }).await;
    let notes = Owned::Resource(crate::world::NOTES.into());
    assert_eq!(set.handed_over, [Owned::Client("hallpass-cli".into()), notes]);
}

#[tokio::test]
async fn only_an_owner_who_can_answer_takes_a_thing_over() {
    let leaving = Leaving::new().await;
    let world = &leaving.world;
    let other = world.change(add_org("other")).await.unwrap();
    let disable = SetPersonStanding { org: world.org, person: leaving.grace, active: false };
    world.change(disable).await;
    let hers = world.store.find_client_by_handle(world.org, "hers").await.unwrap().unwrap().id;
    let to = |to| TransferOwner { org: world.org, thing: OwnedId::Client(hers), to };
    for (owner, why) in [
        (Owner::Person(leaving.grace), NotAdded::OwnerDisabled),
        (Owner::Team(leaving.team), NotAdded::OwnerEmpty),
        (Owner::Person(other.administrator), NotAdded::NoOwner),
    ] {
        assert_eq!(world.change(to(owner)).await, OwnerTransferred::Refused(why));
    }
    let stranger = TransferOwner { org: other.org, ..to(Owner::Person(other.administrator)) };
    assert_eq!(world.change(stranger).await, OwnerTransferred::NotThere);

    let before = world.ledger().await.len();
    assert_eq!(world.change(to(Owner::Person(world.ada))).await, OwnerTransferred::Done);
    assert_eq!(world.change(to(Owner::Person(world.ada))).await, OwnerTransferred::Already);
    let recorded = leaving.recorded(before).await;
    assert_eq!(recorded.len(), 1);
    assert_eq!(recorded[0].detail.find(&Key::OWNER).unwrap().to_string(), world.ada.to_string());
    assert_eq!(recorded[0].detail.find(&Key::REASON).unwrap().to_string(), "transferred");
    assert_eq!(leaving.owner_of("hers").await[0], Owner::Person(world.ada));
    let notes = TransferOwner {
        org: world.org,
        thing: OwnedId::Resource(world.notes),
        to: leaving.administrators().await,
    };
    assert_eq!(world.change(notes).await, OwnerTransferred::Done);
}
