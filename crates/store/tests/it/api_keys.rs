//! API keys in the store: who answers for them, what an org requires of them, and what their use costs.

use hallpass_model::api_key::{Excepted, KeyRefusal, NotExcepted, Way};
use hallpass_model::client::{ClientAuthentication, ClientKind};
use hallpass_model::device::DeviceClass;
use hallpass_model::id::{ClientId, OrgId, PrincipalId, TeamId};
use hallpass_model::lifetimes::{API_KEY_OVERLAP, API_KEY_USERS_KEPT, CLOCK_SKEW};
use hallpass_model::principal::{Owner, Requirements};
use hallpass_model::purpose::Purpose;
use hallpass_model::secret::{self, Secret};
use hallpass_model::time::Lifetime;
use hallpass_model::wire::oauth::Scopes;
use hallpass_store::{
    AddApiKey, AddClient, AddPerson, AddResource, AddTeam, Bought, BuyToken, DirectUse, KeyMade, KeyNotAdded,
    KeyNotRotated, KeyRevoked, MigrateApiKey, NotMigrating, NotTransferred, Owned, OwnedId, Presenter,
    RevokeApiKey, RevokeByKey, RotateApiKey, SetClientEnvironment, SetOrgRequirements, SetPersonStanding,
    SetTeamMembers, Sweep, TransferOwned, Wanted, Which,
};

use crate::world::{NOTES, World, add_notes, add_org};

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
        self.world.change(self.buying(made)).await
    }

    fn buying(&self, made: &KeyMade) -> BuyToken {
        BuyToken {
            org: self.world.org,
            secret: shown_again(made),
            presenter: presenter("ci-7"),
            bound_to: None,
            wanted: Wanted::default(),
            lease: false,
        }
    }

    /// A key that may be sent to an API of its own, for which `nightly` itself asks.
    async fn sent(&self, handle: &str) -> KeyMade {
        let (world, url) = (&self.world, format!("https://{handle}.example/"));
        let api =
            AddResource { url: url.clone(), server: Some(self.nightly), ..add_notes(world.org, world.ada) };
        world.change(api).await.unwrap();
        let add = self.add(handle, Owner::Person(world.ada));
        let add = AddApiKey { direct: self.excepted(7), resources: vec![url], ..add };
        world.change(add).await.unwrap()
    }

    async fn judge_sent(&self, org: OrgId, made: &KeyMade) -> Option<DirectUse> {
        let (store, now) = (&self.world.store, self.world.now);
        let from = presenter("ci-7").from;
        store.judge_direct_use(org, &made.secret, self.nightly, from, now).await.unwrap()
    }

    async fn require(&self, requires: Requirements) {
        self.world.change(SetOrgRequirements { org: self.world.org, requires }).await.unwrap();
    }

    fn excepted(&self, days: u32) -> Option<Excepted> {
        let reason = Purpose::parse("the scale in the warehouse knows nothing else").unwrap();
        Some(Excepted { reason, until: self.world.now + Lifetime::days(days) })
    }
}

/// The same secret, as whoever has it shows it.
fn shown_again(made: &KeyMade) -> Secret<secret::ApiKey> {
    Secret::from_text(made.secret.expose_text().to_owned())
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
async fn a_team_s_key_opens_nothing_once_the_last_of_the_team_has_left_it() {
    let works = Works::new().await;
    let world = &works.world;
    let made = works.sent("theirs").await;
    let which = Which::These(vec![OwnedId::ApiKey(made.key)]);
    world.change(TransferOwned { org: world.org, which, to: Owner::Team(works.team) }).await.unwrap();
    let members = |members| SetTeamMembers { org: world.org, team: works.team, members };
    assert!(works.judge_sent(world.org, &made).await.is_some());
    world.change(members(Vec::new())).await;
    assert_eq!(works.buy(&made).await, Bought::Refused(KeyRefusal::Disabled));
    assert_eq!(works.judge_sent(world.org, &made).await, None);
    world.change(members(vec![world.ada])).await;
    assert!(matches!(works.buy(&made).await, Bought::Issued(_)));
    assert!(works.judge_sent(world.org, &made).await.is_some());
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
    let made = works.sent("scales").await;
    let written = rusqlite::Connection::open(world.folder.path().join("data/hallpass.db")).unwrap();
    let version = || written.query_row("PRAGMA data_version", (), |row| row.get::<_, i64>(0)).unwrap();
    let entries = world.ledger().await.len();
    let before = version();
    for turn in 0..USES {
        let used = works.judge_sent(world.org, &made).await;
        let presenter = presenter(&format!("ci-{}", turn % 3));
        assert!(used.is_some());
        world.store.count_key_use(world.org, made.id, Way::Direct, &presenter, world.now);
    }
    assert_eq!((version(), world.ledger().await.len()), (before, entries), "nothing was written");
    world.store.write_key_uses(world.now).await.unwrap();
    assert_ne!(version(), before, "what is looked at does see writes");
    let key = world.store.find_api_key_by_handle(world.org, "scales").await.unwrap().unwrap();
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

/// SECURITY: an org is an issuer of its own, and a key of one is text like any other to the next.
#[tokio::test]
async fn a_key_is_nothing_to_another_org() {
    let works = Works::new().await;
    let world = &works.world;
    let made = works.sent("scales").await;
    let globex = world.change(add_org("globex")).await.unwrap();
    let (globex, hank) = (globex.org, globex.administrator);
    let before = world.ledger().await.len();
    assert_eq!(world.change(BuyToken { org: globex, ..works.buying(&made) }).await, Bought::Unknown);
    assert_eq!(works.judge_sent(globex, &made).await, None);
    assert!(!world.change(RevokeByKey { org: globex, secret: shown_again(&made) }).await);
    let revoke = RevokeApiKey { org: globex, key: made.key, secret: None };
    assert_eq!(world.change(revoke).await, KeyRevoked::NotThere);
    let rotate = RotateApiKey { org: globex, key: made.key, overlap: None, lasts: None };
    assert_eq!(world.change(rotate).await.unwrap_err(), KeyNotRotated::NotThere);
    let migrate = MigrateApiKey { org: globex, key: made.key, end: None };
    assert_eq!(world.change(migrate).await.unwrap_err(), NotMigrating::NotThere);
    let which = Which::These(vec![OwnedId::ApiKey(made.key)]);
    let take = TransferOwned { org: globex, which, to: Owner::Person(hank) };
    assert_eq!(world.change(take).await, Err(NotTransferred::NotThere));
    assert_eq!(world.ledger().await.len(), before, "nothing is said of it there");
    assert!(matches!(works.buy(&made).await, Bought::Issued(_)));
    assert!(works.judge_sent(world.org, &made).await.is_some());
}

#[tokio::test]
async fn a_secret_is_taken_back_through_its_own_key_alone() {
    let works = Works::new().await;
    let world = &works.world;
    let [one, other] = [works.sent("one").await, works.sent("other").await];
    let revoke = |key, secret| RevokeApiKey { org: world.org, key, secret: Some(secret) };
    for none_of_its in [other.id, other.key, one.key] {
        assert_eq!(world.change(revoke(one.key, none_of_its)).await, KeyRevoked::NotThere);
    }
    for made in [&one, &other] {
        assert!(matches!(works.buy(made).await, Bought::Issued(_)));
    }
    assert_eq!(world.change(revoke(other.key, other.id)).await, KeyRevoked::Done);
    assert_eq!(works.buy(&other).await, Bought::Refused(KeyRefusal::Revoked));
    assert!(matches!(works.buy(&one).await, Bought::Issued(_)));
}

/// Holds invariant 1: everything ends, what was rotated no later than it would have without.
#[tokio::test]
async fn a_rotated_secret_ends_and_no_third_is_made_before() {
    let mut works = Works::new().await;
    let first = works.world.change(works.add("nightly", Owner::Person(works.world.ada))).await.unwrap();
    let late = Some(Lifetime::days(60));
    works.world.wait(Lifetime::seconds(1));
    let rotate = RotateApiKey { org: works.world.org, key: first.key, overlap: None, lasts: late };
    let rotated = works.world.change(rotate).await.unwrap();
    let over = works.world.now + API_KEY_OVERLAP;
    assert_eq!(rotated.old, (first.id, over));
    assert_eq!(works.world.change(rotate).await.unwrap_err(), KeyNotRotated::Twice(over));

    works.world.wait(API_KEY_OVERLAP);
    assert_eq!(works.buy(&first).await, Bought::Refused(KeyRefusal::Expired));
    let second = rotated.made;
    assert!(matches!(works.buy(&second).await, Bought::Issued(_)));
    let again = RotateApiKey { overlap: Some(Lifetime::days(90)), ..rotate };
    let rotated = works.world.change(again).await.unwrap();
    assert_eq!(rotated.old, (second.id, second.expires), "no overlap puts an end off");
}

/// Nothing of ours does either of these to a client or a resource that a key has: whatever comes to, an older key gives no
/// more for it.
#[tokio::test]
async fn no_key_is_made_for_apis_of_another_environment_than_its_client() {
    let works = Works::new().await;
    let moves = |environment: &str| SetClientEnvironment {
        org: works.world.org,
        client: works.nightly,
        environment: Some(environment.parse().unwrap()),
    };
    let add = || works.add("nightly-key", Owner::Person(works.grace));
    works.world.change(moves("prod")).await;
    assert_eq!(works.world.change(add()).await.unwrap_err(), KeyNotAdded::Environment);
    works.world.change(moves("dev")).await;
    works.world.change(add()).await.unwrap();
}

#[tokio::test]
async fn a_key_opens_no_more_than_its_client_and_its_resource_have_by_now() {
    let works = Works::new().await;
    let world = &works.world;
    let made = works.sent("scales").await;
    let by_hand = |sql: &str| {
        let db = rusqlite::Connection::open(world.folder.path().join("data/hallpass.db")).unwrap();
        assert_eq!(db.execute(sql, ()).unwrap(), 1, "{sql}");
    };
    let ask = async || {
        let wanted = Wanted { scopes: Some(Scopes::parse("notes:read").unwrap()), ..Wanted::default() };
        let bought = world.change(BuyToken { wanted, ..works.buying(&made) }).await;
        (bought, works.judge_sent(world.org, &made).await)
    };
    by_hand("UPDATE clients SET scopes = '' WHERE handle = 'nightly'");
    let (bought, used) = ask().await;
    assert_eq!(bought, Bought::Refused(KeyRefusal::Scope));
    assert_eq!(used.unwrap().scopes, Scopes::none());
    by_hand("UPDATE clients SET scopes = 'notes:read' WHERE handle = 'nightly'");
    by_hand("UPDATE resources SET environment = 'prod' WHERE url = 'https://scales.example/'");
    assert_eq!(ask().await, (Bought::Refused(KeyRefusal::Environment), None));
    by_hand("UPDATE resources SET environment = 'dev' WHERE url = 'https://scales.example/'");
    let (bought, used) = ask().await;
    assert!(matches!(bought, Bought::Issued(_)) && used.is_some());
}
