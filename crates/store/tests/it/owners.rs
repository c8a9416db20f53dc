//! When an owner leaves, what they answered for is suspended until somebody takes it over, never orphaned.

use hallpass_model::client::{ClientAuthentication, ClientKind};
use hallpass_model::id::{PrincipalId, TeamId};
use hallpass_model::ledger::{Entry, Event, Key};
use hallpass_model::principal::{Owner, Standing};
use hallpass_model::wire::oauth::Scopes;
use hallpass_store::{
    AddClient, AddPerson, AddResource, AddTeam, LeftBehind, MembersSet, NotAdded, NotTransferred, Owned,
    OwnedId, RecoverAdministrator, SetClientStanding, SetPersonStanding, SetTeamMembers, SetTeamStanding,
    StandingSet, Takeover, TransferOwned, Which,
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

    async fn owner_of(&self, name: &str) -> [Owner; 2] {
        let (store, org) = (&self.world.store, self.world.org);
        let client = store.find_client_by_handle(org, name).await.unwrap().unwrap();
        let resource = store.find_resource_by_url(org, &format!("https://{name}.example/")).await.unwrap();
        [client.owner, resource.unwrap().owner]
    }

    async fn standing_of(&self, name: &str) -> [Standing; 2] {
        let (store, org) = (&self.world.store, self.world.org);
        let client = store.find_client_by_handle(org, name).await.unwrap().unwrap();
        let resource = store.find_resource_by_url(org, &format!("https://{name}.example/")).await.unwrap();
        [client.standing, resource.unwrap().standing]
    }

    /// What the ledger says of this sort of event, from this entry on.
    async fn recorded(&self, from: usize, event: Event) -> Vec<Entry> {
        let entries = self.world.ledger().await.split_off(from);
        entries.into_iter().filter(|entry| entry.event == event).collect()
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
        secrets_until: None,
        environment: None,
    }
}

fn named(names: &[&str]) -> Vec<Owned> {
    let both = |name: &&str| {
        [Owned::Client((*name).to_owned()), Owned::Resource(format!("https://{name}.example/"))]
    };
    names.iter().flat_map(both).collect()
}

fn suspended(names: &[&str]) -> LeftBehind {
    LeftBehind { suspended: named(names), handed_over: Vec::new() }
}

/// Holds invariant 2: everything is owned.
#[tokio::test]
async fn a_person_who_is_disabled_leaves_nothing_in_use_that_nobody_answers_for() {
    let leaving = Leaving::new().await;
    let world = &leaving.world;
    // Asked for once, so that what is remembered must be found stale.
    assert_eq!(leaving.standing_of("hers").await, [Standing::Active; 2]);
    let before = world.ledger().await.len();
    let disable = SetPersonStanding { org: world.org, person: leaving.grace, active: false };
    let set = world.change(disable).await;
    assert!(matches!(set.standing, StandingSet::Done(_)));
    assert_eq!(set.left, suspended(&["hers", "theirs"]), "and what her team did, in which nobody is left");
    for name in ["hers", "theirs"] {
        let standing = leaving.standing_of(name).await;
        assert!(standing.iter().all(|standing| matches!(standing, Standing::Suspended(_))), "{standing:?}");
    }
    assert_eq!(leaving.owner_of("hers").await, [Owner::Person(leaving.grace); 2], "it says who left");
    let recorded = leaving.recorded(before, Event::Suspended).await;
    assert_eq!(recorded.len(), 4);
    for entry in &recorded {
        assert_eq!(entry.detail.find(&Key::REASON).unwrap().to_string(), "owner_left");
        let owner = entry.detail.find(&Key::OWNER).unwrap().to_string();
        assert!([leaving.grace.to_string(), leaving.team.to_string()].contains(&owner), "{entry:?}");
        assert!(entry.client.is_some() != entry.resource.is_some());
    }
    // What was issued to a client is dead in the same change.
    let cuts = leaving.recorded(before, Event::Cut).await;
    let of_clients = cuts.iter().filter(|cut| cut.client.is_some() && cut.principal.is_none()).count();
    assert_eq!(of_clients, 2, "{cuts:?}");

    let again = world.change(SetPersonStanding { active: true, ..disable }).await;
    assert!(again.left.is_empty());
    assert!(leaving.standing_of("hers").await.iter().all(|standing| !standing.is_active()));
}

#[tokio::test]
async fn a_team_that_is_disabled_or_emptied_leaves_nothing_in_use_that_nobody_answers_for() {
    let leaving = Leaving::new().await;
    let world = &leaving.world;
    let disable = SetTeamStanding { org: world.org, team: leaving.team, active: false };
    assert_eq!(world.change(disable).await.left, suspended(&["theirs"]));
    assert_eq!(leaving.standing_of("hers").await, [Standing::Active; 2]);

    let leaving = Leaving::new().await;
    let world = &leaving.world;
    let members = |members| SetTeamMembers { org: world.org, team: leaving.team, members };
    let joined = world.change(members(vec![leaving.grace, world.ada])).await;
    assert_eq!(joined, MembersSet::Done { joined: 1, left: 0, behind: LeftBehind::default() });
    let disable = SetPersonStanding { org: world.org, person: leaving.grace, active: false };
    assert_eq!(world.change(disable).await.left, suspended(&["hers"]), "ada is there still");
    assert_eq!(leaving.standing_of("theirs").await, [Standing::Active; 2]);
    // Grace stays in it, but she could not answer.
    let emptied = world.change(members(vec![leaving.grace])).await;
    assert_eq!(emptied, MembersSet::Done { joined: 0, left: 1, behind: suspended(&["theirs"]) });
    assert!(leaving.standing_of("theirs").await.iter().all(|standing| !standing.is_active()));
}

/// Suspended, it would lock out the very ones who could take the rest over.
#[tokio::test]
async fn an_administrator_who_leaves_hands_the_org_s_own_client_to_those_who_stay() {
    let world = World::new().await;
    let recover = RecoverAdministrator { org: world.org, handle: "eve".parse().unwrap(), name: "Eve".into() };
    world.change(recover).await.unwrap();
    let set = world.change(SetPersonStanding { org: world.org, person: world.ada, active: false }).await;
    let suspended = vec![Owned::Resource(crate::world::NOTES.into())];
    let handed_over = vec![Owned::Client("hallpass-cli".into())];
    assert_eq!(set.left, LeftBehind { suspended, handed_over });
    let cli = world.store.find_client_by_handle(world.org, "hallpass-cli").await.unwrap().unwrap();
    assert!(cli.standing.is_active() && matches!(cli.owner, Owner::Team(_)));
}

#[tokio::test]
async fn only_an_owner_who_can_answer_takes_a_thing_over_and_then_it_is_in_use_again() {
    let leaving = Leaving::new().await;
    let world = &leaving.world;
    let other = world.change(add_org("other")).await.unwrap();
    let disable = SetPersonStanding { org: world.org, person: leaving.grace, active: false };
    world.change(disable).await;
    let hers = world.store.find_client_by_handle(world.org, "hers").await.unwrap().unwrap().id;
    let enable = SetClientStanding { org: world.org, client: hers, active: true };
    assert_eq!(world.change(enable).await, StandingSet::Unowned, "put to use by nobody's leave");
    let these = Which::These(vec![OwnedId::Client(hers)]);
    let to = |to| TransferOwned { org: world.org, which: these.clone(), to };
    for (owner, why) in [
        (Owner::Person(leaving.grace), NotAdded::OwnerDisabled),
        (Owner::Team(leaving.team), NotAdded::OwnerEmpty),
        (Owner::Person(other.administrator), NotAdded::NoOwner),
    ] {
        assert_eq!(world.change(to(owner)).await, Err(NotTransferred::Refused(why)));
    }
    let stranger = TransferOwned { org: other.org, ..to(Owner::Person(other.administrator)) };
    assert_eq!(world.change(stranger).await, Err(NotTransferred::NotThere));
    let of_ada = Which::TheseOf(Owner::Person(world.ada), vec![OwnedId::Client(hers)]);
    let not_hers = TransferOwned { which: of_ada, ..to(Owner::Person(world.ada)) };
    let not_theirs = Err(NotTransferred::NotTheirs(Owned::Client("hers".into())));
    assert_eq!(world.change(not_hers).await, not_theirs);

    let before = world.ledger().await.len();
    let all =
        TransferOwned { which: Which::AllOf(Owner::Person(leaving.grace)), ..to(Owner::Person(world.ada)) };
    let preview = world.store.preview_transfer(&all).await.unwrap();
    assert_eq!(world.ledger().await.len(), before, "a preview changes nothing");
    let taken = world.change(all).await;
    assert_eq!(preview, taken, "and says what then happens");
    let taken = taken.unwrap();
    assert!(taken.iter().all(|taken| matches!(taken.change, Takeover::Lifted(_))), "{taken:?}");
    assert_eq!(taken.len(), 2);
    let again = world.change(to(Owner::Person(world.ada))).await.unwrap();
    assert_eq!(again[0].change, Takeover::Nothing);
    let recorded = leaving.recorded(before, Event::OwnerChanged).await;
    assert_eq!(recorded.len(), 2);
    assert_eq!(recorded[0].detail.find(&Key::OWNER).unwrap().to_string(), world.ada.to_string());
    assert_eq!(recorded[0].detail.find(&Key::REASON).unwrap().to_string(), "transferred");
    let lifted = leaving.recorded(before, Event::Changed).await;
    assert!(
        lifted
            .iter()
            .all(|entry| entry.detail.find(&Key::CHANGE).unwrap().to_string() == "suspension_lifted")
    );
    assert_eq!(lifted.len(), 2);
    assert_eq!(leaving.owner_of("hers").await, [Owner::Person(world.ada); 2]);
    assert_eq!(leaving.standing_of("hers").await, [Standing::Active; 2]);
}

#[tokio::test]
async fn what_was_disabled_before_its_owner_left_comes_back_by_its_new_one_alone() {
    let leaving = Leaving::new().await;
    let world = &leaving.world;
    let hers = world.store.find_client_by_handle(world.org, "hers").await.unwrap().unwrap().id;
    let stand = |active| SetClientStanding { org: world.org, client: hers, active };
    world.change(stand(false)).await;
    world.change(SetPersonStanding { org: world.org, person: leaving.grace, active: false }).await;
    assert!(matches!(leaving.standing_of("hers").await[0], Standing::Disabled(_)));
    assert_eq!(world.change(stand(true)).await, StandingSet::Unowned);
    let which = Which::These(vec![OwnedId::Client(hers)]);
    let taken = world.change(TransferOwned { org: world.org, which, to: Owner::Person(world.ada) }).await;
    assert_eq!(taken.unwrap()[0].change, Takeover::Owner);
    assert!(
        matches!(leaving.standing_of("hers").await[0], Standing::Disabled(_)),
        "that was for another reason"
    );
    assert_eq!(world.change(stand(true)).await, StandingSet::Done(Standing::Active));
}
