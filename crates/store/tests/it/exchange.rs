//! Narrower tokens, leases, clients' own tokens.

use hallpass_model::client::{ClientAuthentication, ClientKind};
use hallpass_model::cut::{Place, Target, Why};
use hallpass_model::id::{ClientId, CredentialId, LeaseId};
use hallpass_model::jose::JwkSet;
use hallpass_model::ledger::Event;
use hallpass_model::lifetimes::{ACCESS_TOKEN_MAX, RUN_RESUME};
use hallpass_model::principal::Owner;
use hallpass_model::session::Refusal;
use hallpass_model::time::Lifetime;
use hallpass_model::wire::oauth::{GrantType, Scopes};
use hallpass_store::{
    AddClient, Assertion, AwaitAllRuns, ClientIssued, ClientProof, CutMade, EndLease, Exchange,
    ExchangeRefusal, Exchanged, IssueForClient, LeaseConnected, LeaseDropped, LeaseState, MakeCut, Opened,
    OutOfGrant, Reach, Reached, SetClientStanding, SpendAssertion, Subject, Sweep, Wanted,
};

use crate::cuts::{exchange, place};
use crate::world::{NOTES, World, add_org, for_issuer, for_notes, key, scopes};

fn why(exchanged: Exchanged) -> ExchangeRefusal {
    match exchanged {
        Exchanged::Refused(why) => why,
        issued => panic!("{issued:?}"),
    }
}

#[tokio::test]
async fn an_exchanged_token_is_narrower_and_knows_its_ancestors() {
    let world = World::new().await;
    let opened = world.log_in(Some(key(1))).await;
    let narrow =
        Wanted { scopes: Some(scopes("notes:read")), lifetime: Some(Lifetime::hours(9)), ..for_notes() };
    let asked = Exchange { wanted: narrow, ..exchange(&world, &opened) };
    let Exchanged::Issued(narrowed) = world.change(asked).await else { panic!("refused") };
    assert_eq!((narrowed.lin, narrowed.scopes), (vec![opened.credential], scopes("notes:read")));
    assert_eq!(narrowed.reached, Reached::Resource { id: world.notes, url: NOTES.into() });
    assert_eq!(narrowed.expires, world.now + ACCESS_TOKEN_MAX, "cut to the limit");
    assert_eq!(narrowed.lease, None);
    let entry = world.ledger().await.pop().unwrap();
    assert_eq!((entry.event, entry.credential), (Event::Exchanged, Some(narrowed.credential)));
    assert_eq!(entry.resource, Some(world.notes));
}

#[tokio::test]
async fn an_exchange_never_widens() {
    let world = World::new().await;
    let opened = world.log_in(Some(key(1))).await;
    let wanted = |reach, text: &str| Wanted { reach, scopes: Some(scopes(text)), lifetime: None };
    let notes = || Reach::Resource(NOTES.into());
    // A subject that holds less than its session was granted gets no more back.
    let subject = Subject { place: place(&opened), scopes: scopes("notes:read") };
    let narrow = |wanted| Exchange { subject: subject.clone(), wanted, ..exchange(&world, &opened) };
    let cases = [
        (narrow(wanted(notes(), "notes:write")), OutOfGrant::Scope),
        (narrow(wanted(Reach::Issuer, "openid")), OutOfGrant::Scope),
        (narrow(wanted(Reach::Resource("https://else.example/".into()), "notes:read")), OutOfGrant::Resource),
        (Exchange { wanted: wanted(notes(), "openid"), ..exchange(&world, &opened) }, OutOfGrant::Scope),
        (Exchange { wanted: wanted(notes(), "admin:all"), ..exchange(&world, &opened) }, OutOfGrant::Scope),
    ];
    for (asked, out) in cases {
        assert_eq!(why(world.change(asked).await), ExchangeRefusal::OutOfGrant(out));
    }
    let Exchanged::Issued(narrowed) = world.change(narrow(for_notes())).await else { panic!("refused") };
    assert_eq!(narrowed.scopes, scopes("notes:read"));
}

#[tokio::test]
async fn a_subject_is_its_own_client_s_org_s_and_key_s() {
    let mut world = World::new().await;
    let other = world.change(add_org("other")).await.unwrap();
    let opened = world.log_in(Some(key(1))).await;
    let good = exchange(&world, &opened);
    let deep = (1..=11).map(|n| CredentialId::from_bytes([n; 16])).collect();
    let at = |place: Place| Subject { place, scopes: opened.scopes.clone() };
    let cases = [
        (Exchange { org: other.org, ..good.clone() }, Refusal::OtherOrg.into()),
        (Exchange { client: ClientId::from_bytes([1; 16]), ..good.clone() }, Refusal::OtherClient.into()),
        (Exchange { proof: None, ..good.clone() }, Refusal::ProofMissing.into()),
        (Exchange { proof: Some(world.proof(key(2))), ..good.clone() }, Refusal::ProofMissing.into()),
        (
            Exchange { subject: at(Place { session: None, ..place(&opened) }), ..good.clone() },
            ExchangeRefusal::NoSession,
        ),
        (
            Exchange { subject: at(Place { credentials: deep, ..place(&opened) }), ..good.clone() },
            ExchangeRefusal::TooDeep,
        ),
    ];
    for (asked, refusal) in cases {
        assert_eq!(why(world.change(asked).await), refusal);
    }
    world.now = opened.session.idle_until;
    let late = Exchange { proof: Some(world.proof(key(1))), ..good };
    assert_eq!(why(world.change(late).await), Refusal::Idle.into());
}

async fn lease(world: &World, opened: &Opened) -> (LeaseId, CredentialId) {
    match world.change(Exchange { lease: true, ..exchange(world, opened) }).await {
        Exchanged::Issued(narrowed) => (narrowed.lease.unwrap(), narrowed.credential),
        refused => panic!("{refused:?}"),
    }
}

async fn is_dead(world: &World, opened: &Opened, credential: CredentialId) -> Option<Why> {
    let place = Place { credentials: vec![credential], ..place(opened) };
    world.store.is_dead(&place).await.unwrap()
}

#[tokio::test]
async fn a_run_that_drops_may_come_back_and_is_cut_if_it_does_not() {
    let mut world = World::new().await;
    let opened = world.log_in(Some(key(1))).await;
    let (lease, credential) = lease(&world, &opened).await;
    let connect = |credential| LeaseConnected { org: world.org, lease, credential };
    assert_eq!(world.change(connect(opened.credential)).await, None, "by its own pass alone");
    let connected = world.change(connect(credential)).await.unwrap();
    assert_eq!(connected.state, LeaseState::Connected { connection: 1 });
    // The run is there again before the old connection was seen to drop.
    world.change(connect(credential)).await.unwrap();
    assert_eq!(world.change(LeaseDropped { lease, connection: 1 }).await, None);
    assert!(!world.change(EndLease { lease, why: Why::RunLost }).await, "it is connected");

    let until = world.change(LeaseDropped { lease, connection: 2 }).await.unwrap();
    assert_eq!(until, world.now + RUN_RESUME);
    assert!(!world.change(EndLease { lease, why: Why::RunLost }).await, "it still has time");
    world.wait(RUN_RESUME);
    assert_eq!(is_dead(&world, &opened, credential).await, None);
    assert!(world.change(EndLease { lease, why: Why::RunLost }).await);
    assert_eq!(is_dead(&world, &opened, credential).await, Some(Why::RunLost));
    assert_eq!(is_dead(&world, &opened, opened.credential).await, None, "and nothing else");
    assert_eq!(world.change(LeaseConnected { org: world.org, lease, credential }).await, None);
    assert_eq!(world.count(Event::Released).await, 1);
}

#[tokio::test]
async fn a_run_that_never_connects_is_cut_by_the_sweep() {
    let mut world = World::new().await;
    let opened = world.log_in(Some(key(1))).await;
    let (lost, credential) = lease(&world, &opened).await;
    let (there, other) = lease(&world, &opened).await;
    world.change(LeaseConnected { org: world.org, lease: there, credential: other }).await.unwrap();
    world.wait(RUN_RESUME);
    world.change(Sweep::default()).await;
    assert_eq!(is_dead(&world, &opened, credential).await, Some(Why::RunLost));
    assert_eq!(world.store.find_lease(lost).await.unwrap(), None);
    assert_eq!(is_dead(&world, &opened, other).await, None);
}

#[tokio::test]
async fn after_a_restart_every_open_lease_has_time_to_come_back() {
    let world = World::new().await;
    let opened = world.log_in(Some(key(1))).await;
    let (back, credential) = lease(&world, &opened).await;
    let (late, late_s) = lease(&world, &opened).await;
    let (never, never_s) = lease(&world, &opened).await;
    let connect = |world: &World, lease, credential| LeaseConnected { org: world.org, lease, credential };
    for (lease, credential) in [(back, credential), (late, late_s)] {
        world.change(connect(&world, lease, credential)).await.unwrap();
    }
    let mut world = world.reopen();
    // The server was away for a minute.
    world.wait(Lifetime::minutes(1));
    assert_eq!(
        world.store.lost_runs(world.now).await.unwrap(),
        [never],
        "the others are thought to be there"
    );
    world.change(AwaitAllRuns).await;
    assert!(world.store.lost_runs(world.now).await.unwrap().is_empty(), "they have as long as any");
    world.change(connect(&world, back, credential)).await.unwrap();
    world.wait(RUN_RESUME);
    let lost = world.store.lost_runs(world.now).await.unwrap();
    assert!(!lost.contains(&back) && lost.len() == 2, "whoever came back is not among them: {lost:?}");
    for lease in [late, never] {
        assert!(world.change(EndLease { lease, why: Why::RunLost }).await);
    }
    assert_eq!(is_dead(&world, &opened, credential).await, None);
    for credential in [late_s, never_s] {
        assert_eq!(is_dead(&world, &opened, credential).await, Some(Why::RunLost));
    }
}

#[tokio::test]
async fn whoever_revokes_the_pass_ends_the_lease() {
    let world = World::new().await;
    let opened = world.log_in(Some(key(1))).await;
    let (lease, credential) = lease(&world, &opened).await;
    let revoke = MakeCut { org: Some(world.org), target: Target::Credential(credential), why: Why::RunOver };
    assert!(matches!(world.change(revoke).await, CutMade::Cut(_)));
    assert_eq!(world.store.find_lease(lease).await.unwrap(), None);
    assert!(!world.change(EndLease { lease, why: Why::RunOver }).await);
    assert_eq!(world.count(Event::Released).await, 1);
}

pub(crate) fn service(world: &World) -> AddClient {
    AddClient {
        org: world.org,
        handle: "notes-api".parse().unwrap(),
        name: "Notes API".into(),
        kind: ClientKind::Service,
        owner: Owner::Person(world.ada),
        authentication: ClientAuthentication::PrivateKeyJwt(JwkSet::new(Vec::new())),
        grant_types: vec![GrantType::ClientCredentials],
        redirect_uris: Vec::new(),
        scopes: scopes("notes:read"),
        any_scope: false,
        device_flow_barred: Scopes::none(),
        older_assertions_until: None,
        secrets_until: None,
        environment: None,
    }
}

#[tokio::test]
async fn a_client_s_own_token_is_within_its_scopes_and_its_assertion_works_once() {
    let mut world = World::new().await;
    let other = world.change(add_org("other")).await.unwrap();
    let client = world.change(service(&world)).await.unwrap();
    let now = world.now;
    let assertion = |jti: &str| Assertion { jti: jti.into(), expires: now + Lifetime::minutes(1) };
    let ask = |jti: &str, wanted| IssueForClient {
        org: world.org,
        client,
        proof: ClientProof::Assertion(assertion(jti)),
        key: None,
        wanted,
    };
    let ClientIssued::Issued(token) = world.change(ask("1", for_notes())).await else { panic!("refused") };
    assert_eq!(token.scopes, scopes("notes:read"));
    assert_eq!(world.change(ask("1", for_notes())).await, ClientIssued::Replayed);
    let spend = SpendAssertion { org: world.org, client, assertion: assertion("1") };
    assert!(!world.change(spend.clone()).await, "nor is it good for another endpoint");
    let fresh = SpendAssertion { assertion: assertion("2"), ..spend.clone() };
    assert!(world.change(fresh.clone()).await);
    assert!(world.change(SpendAssertion { client: world.cli, ..fresh }).await, "another client's is another");

    let wide = Wanted { scopes: Some(scopes("notes:write")), ..for_issuer() };
    assert_eq!(world.change(ask("3", wide)).await, ClientIssued::OutOfGrant(OutOfGrant::Scope));
    let elsewhere = IssueForClient { org: other.org, ..ask("4", for_issuer()) };
    assert_eq!(world.change(elsewhere).await, ClientIssued::Refused(Refusal::OtherOrg));

    let place = Place {
        org: world.org,
        principal: None,
        client,
        device: None,
        session: None,
        credentials: vec![token.credential],
        acting: None,
        stamp: token.stamp,
    };
    assert_eq!(world.store.is_dead(&place).await.unwrap(), None);
    world.change(SetClientStanding { org: world.org, client, active: false }).await;
    assert_eq!(world.store.is_dead(&place).await.unwrap(), Some(Why::Disabled));
    assert_eq!(world.change(ask("5", for_issuer())).await, ClientIssued::Refused(Refusal::Disabled));
    // What is remembered is remembered for as long as it could be used, and no longer.
    world.wait(Lifetime::minutes(1));
    world.change(Sweep { steady: true, ..Sweep::default() }).await;
    assert!(!world.change(spend.clone()).await, "until then, and the clocks' difference");
    world.wait(hallpass_model::lifetimes::CLOCK_SKEW + Lifetime::millis(1));
    world.change(Sweep { steady: true, ..Sweep::default() }).await;
    assert!(world.change(spend).await);
}
