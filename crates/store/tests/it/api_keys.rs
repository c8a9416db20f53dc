//! API keys in the store: who answers for them, what an org requires of them, and what their use costs.

use hallpass_model::api_key::{Excepted, KeyRefusal, NotExcepted, Way};
use hallpass_model::client::{ClientAuthentication, ClientKind};
use hallpass_model::device::DeviceClass;
use hallpass_model::id::{ClientId, PrincipalId, TeamId};
use hallpass_model::lifetimes::{API_KEY_USERS_KEPT, CLOCK_SKEW};
use hallpass_model::principal::{Owner, Requirements};
use hallpass_model::purpose::Purpose;
use hallpass_model::time::Lifetime;
use hallpass_model::wire::oauth::Scopes;
use hallpass_store::{
    AddApiKey, AddClient, AddPerson, AddResource, AddTeam, Bought, BuyToken, KeyMade, KeyNotAdded,
    KeyNotRotated, Owned, OwnedId, Presenter, RotateApiKey, SetOrgRequirements, SetPersonStanding, Sweep,
    TransferOwned, Wanted, Which,
};

use crate::world::{NOTES, World, add_notes};

/// An org with a job that comes in by keys, and Grace, who is alone in a team.
struct Works {
    world: World,
    nightly: ClientId,
    grace: PrincipalId,
    team: TeamId,
}

impl Works {
    async fn new() -> Self {
        let world = World::new().await;
        let nightly = AddClient {
            org: world.org,
            handle: "nightly".parse().unwrap(),
            name: "Nightly".into(),
            kind: ClientKind::Ci,
            owner: Owner::Person(world.ada),
            authentication: ClientAuthentication::None,
            grant_types: Vec::new(),
            redirect_uris: Vec::new(),
            scopes: Scopes::parse("notes:read").unwrap(),
            any_scope: false,
            device_flow_barred: Scopes::none(),
            older_assertions_until: None,
            secrets_until: None,
            environment: None,
        };
        let nightly = world.change(nightly).await.unwrap();
        let grace = AddPerson { org: world.org, handle: "grace".parse().unwrap(), name: "Grace".into() };
        let grace = world.change(grace).await.unwrap();
        let team = AddTeam { org: world.org, handle: "works".parse().unwrap(), members: vec![grace] };
        let team = world.change(team).await.unwrap();
        Self { world, nightly, grace, team }
    }

    fn add(&self, handle: &str, owner: Owner) -> AddApiKey {
        AddApiKey {
            org: self.world.org,
            handle: handle.parse().unwrap(),
            client: self.nightly,
            owner: Some(owner),
            scopes: Scopes::parse("notes:read").unwrap(),
            resources: vec![NOTES.into()],
            networks: Vec::new(),
            lasts: Some(Lifetime::days(30)),
            direct: None,
            exception: None,
        }
    }

    async fn buy(&self, made: &KeyMade) -> Bought {
        let secret = hallpass_model::secret::Secret::from_text(made.secret.expose_text().to_owned());
        let buy = BuyToken {
            org: self.world.org,
            secret,
            presenter: presenter("ci-7"),
            bound_to: None,
            wanted: Wanted::default(),
            lease: false,
        };
        self.world.change(buy).await
    }

    async fn require(&self, requires: Requirements) {
        self.world.change(SetOrgRequirements { org: self.world.org, requires }).await.unwrap();
    }

    fn excepted(&self, days: u32) -> Option<Excepted> {
        let reason = Purpose::parse("the scale in the warehouse knows nothing else").unwrap();
        Some(Excepted { reason, until: self.world.now + Lifetime::days(days) })
    }
}

fn presenter(machine: &str) -> Presenter {
    Presenter {
        from: Some("192.0.2.7".parse().unwrap()),
        machine: machine.to_owned(),
        class: DeviceClass::Unknown,
        purpose: None,
    }
}

#[tokio::test]
async fn a_person_s_keys_end_with_them_and_a_team_s_wait_for_somebody_who_takes_them_over() {
    let works = Works::new().await;
    let world = &works.world;
    let hers = world.change(works.add("hers", Owner::Person(works.grace))).await.unwrap();
    let theirs = world.change(works.add("theirs", Owner::Team(works.team))).await.unwrap();
    for made in [&hers, &theirs] {
        assert!(matches!(works.buy(made).await, Bought::Issued(_)));
    }
    let left =
        world.change(SetPersonStanding { org: world.org, person: works.grace, active: false }).await.left;
    assert_eq!(left.suspended, [Owned::ApiKey("theirs".into())], "hers is over, and nobody's to take over");
    assert_eq!(works.buy(&hers).await, Bought::Refused(KeyRefusal::Revoked));
    assert_eq!(works.buy(&theirs).await, Bought::Refused(KeyRefusal::Disabled));

    let which = Which::These(vec![OwnedId::ApiKey(theirs.key)]);
    let take = TransferOwned { org: world.org, which, to: Owner::Person(world.ada) };
    let taken = world.change(take).await.unwrap();
    assert_eq!(taken[0].thing, Owned::ApiKey("theirs".into()));
    assert!(matches!(works.buy(&theirs).await, Bought::Issued(_)));
    let key = world.store.find_api_key_by_handle(world.org, "theirs").await.unwrap().unwrap();
    assert_eq!(key.owner, Owner::Person(world.ada));
}

#[tokio::test]
async fn an_org_that_has_secrets_only_by_exception_makes_and_rotates_none_without() {
    let works = Works::new().await;
    let world = &works.world;
    let ada = Owner::Person(world.ada);
    let before = world.change(works.add("before", ada)).await.unwrap();
    works.require(Requirements { static_by_exception: true, ..Requirements::default() }).await;

    let refused = world.change(works.add("plain", ada)).await.unwrap_err();
    assert_eq!(refused, KeyNotAdded::Exception(NotExcepted::None));
    let short = AddApiKey { exception: works.excepted(29), ..works.add("short", ada) };
    assert_eq!(world.change(short).await.unwrap_err(), KeyNotAdded::Exception(NotExcepted::TooShort));
    let long = AddApiKey { exception: works.excepted(60), ..works.add("long", ada) };
    let long = world.change(long).await.unwrap();
    let rotate =
        |key, days| RotateApiKey { org: world.org, key, overlap: None, lasts: Some(Lifetime::days(days)) };
    let refused = world.change(rotate(before.key, 30)).await.unwrap_err();
    assert_eq!(refused, KeyNotRotated::Exception(NotExcepted::None));
    let refused = world.change(rotate(long.key, 61)).await.unwrap_err();
    assert_eq!(refused, KeyNotRotated::Exception(NotExcepted::TooShort));
    assert!(world.change(rotate(long.key, 60)).await.is_ok());

    works.require(Requirements::default()).await;
    assert!(world.change(works.add("plain", ada)).await.is_ok(), "required no more");
}

#[tokio::test]
async fn ten_thousand_uses_of_a_key_that_is_sent_write_nothing_until_they_are_counted() {
    const USES: usize = 10_000;
    let works = Works::new().await;
    let world = &works.world;
    let url = "https://scales.example/";
    let api = AddResource { url: url.into(), server: Some(works.nightly), ..add_notes(world.org, world.ada) };
    world.change(api).await.unwrap();
    let add = works.add("sent", Owner::Person(world.ada));
    let add = AddApiKey { direct: works.excepted(7), resources: vec![url.into()], ..add };
    let made = world.change(add).await.unwrap();
    let written = rusqlite::Connection::open(world.folder.path().join("data/hallpass.db")).unwrap();
    let version = || written.query_row("PRAGMA data_version", (), |row| row.get::<_, i64>(0)).unwrap();
    let entries = world.ledger().await.len();
    let before = version();
    for turn in 0..USES {
        let presenter = presenter(&format!("ci-{}", turn % 3));
        let used = world
            .store
            .judge_direct_use(world.org, &made.secret, works.nightly, presenter.from, world.now)
            .await
            .unwrap();
        assert!(used.is_some());
        world.store.count_key_use(world.org, made.id, Way::Direct, &presenter, world.now);
    }
    assert_eq!((version(), world.ledger().await.len()), (before, entries), "nothing was written");
    world.store.write_key_uses(world.now).await.unwrap();
    assert_ne!(version(), before, "what is looked at does see writes");
    let key = world.store.find_api_key_by_handle(world.org, "sent").await.unwrap().unwrap();
    let users = world.store.list_key_users(&key).await.unwrap();
    assert_eq!((users.len(), users.iter().map(|user| user.uses).sum::<u64>()), (3, USES as u64));
    assert_eq!(world.ledger().await.len(), entries + 1, "one entry says how often");
}

#[tokio::test]
async fn who_used_a_key_is_forgotten_when_nobody_can_use_it_any_more() {
    let mut works = Works::new().await;
    let made = works.world.change(works.add("old", Owner::Person(works.world.ada))).await.unwrap();
    let world = &mut works.world;
    world.store.count_key_use(world.org, made.id, Way::Exchange, &presenter("ci-7"), world.now);
    world.store.write_key_uses(world.now).await.unwrap();
    let key = world.store.find_api_key_by_handle(world.org, "old").await.unwrap().unwrap();
    let known = async |world: &World| world.store.list_key_users(&key).await.unwrap().len();
    let sweep = Sweep { after: None, steady: true };
    world.wait(API_KEY_USERS_KEPT);
    world.change(sweep).await;
    assert_eq!(known(world).await, 1);
    world.wait(CLOCK_SKEW + Lifetime::seconds(1));
    world.change(Sweep { steady: false, ..sweep }).await;
    assert_eq!(known(world).await, 1, "nothing is forgotten by a clock that is not believed");
    world.change(sweep).await;
    assert_eq!(known(world).await, 0);
}
