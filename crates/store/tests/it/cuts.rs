//! Every axis, every path, every clock.

use hallpass_model::cut::{Place, Target, Why};
use hallpass_model::grant::Approval;
use hallpass_model::ledger::{Actor, Event};
use hallpass_model::random::Seeded;
use hallpass_model::secret::Secret;
use hallpass_model::session::{RefreshToken, Refusal, SessionKey};
use hallpass_model::time::Lifetime;
use hallpass_store::{
    Answer, AnswerDevice, Approver, CodeRedeemed, CodeRefusal, CutMade, EndSession, Exchange,
    ExchangeRefusal, Exchanged, MakeCut, Opened, PollDevice, Polled, Redeemed, RefreshTokens,
    RevokeAccessToken, RevokeRefreshToken, SessionEnded, StartDevice, Subject,
};

use crate::world::{World, add_org, by_passkey, for_issuer, for_notes, grant, key, laptop, next, token};

/// Where an access token of this session stands, as its claims say.
pub(crate) fn place(opened: &Opened) -> Place {
    let session = &opened.session;
    Place {
        org: session.org,
        principal: Some(session.principal),
        client: session.client,
        device: session.device,
        session: Some(session.id),
        credentials: vec![opened.credential],
        acting: None,
        stamp: opened.stamp,
    }
}

pub(crate) fn exchange(world: &World, opened: &Opened) -> Exchange {
    Exchange {
        subject: Subject { place: place(opened), scopes: opened.scopes.clone() },
        org: world.org,
        client: world.cli,
        proof: Some(world.proof(key(1))),
        wanted: for_notes(),
        purpose: None,
        lease: false,
        acting: None,
        address: None,
    }
}

/// Everything that came of one login, and two that are on the way: what every path is asked about.
pub(crate) struct Issued {
    pub(crate) opened: Opened,
    exchanged: Place,
    code: Secret<hallpass_model::secret::AuthorizationCode>,
    device_code: Secret<hallpass_model::secret::DeviceCode>,
}

pub(crate) async fn issue(world: &World) -> Issued {
    let opened = world.log_in(Some(key(1))).await;
    let Exchanged::Issued(narrowed) = world.change(exchange(world, &opened)).await else {
        panic!("not exchanged")
    };
    let credentials = std::iter::once(narrowed.credential).chain(narrowed.lin).collect();
    let exchanged = Place { credentials, stamp: narrowed.stamp, ..place(&opened) };
    let start = StartDevice {
        raises: None,
        org: world.org,
        client: world.cli,
        scopes: grant(world.now).scopes,
        resources: Vec::new(),
        purpose: None,
        device: Some(laptop()),
        requester_address: "198.51.100.4".into(),
        jkt: None,
        demand: hallpass_model::step_up::Demand::default(),
    };
    let started = world.change(start).await;
    let by = Approver {
        principal: world.ada,
        authentication: by_passkey(world.now),
        approval: Approval::DevicePage,
    };
    let answer = AnswerDevice {
        org: world.org,
        grant: started.grant,
        by,
        answer: Answer::Yes,
        address: String::new(),
    };
    world.change(answer).await;
    let code = world.issue_code(world.code()).await;
    Issued { opened, exchanged, code, device_code: started.device_code }
}

/// Asks every path; says which still opens.
pub(crate) async fn open_paths(world: &World, issued: &Issued) -> Vec<&'static str> {
    let mut open = Vec::new();
    for (name, place) in [("introspect", &place(&issued.opened)), ("introspect exchanged", &issued.exchanged)]
    {
        if world.store.is_dead(place).await.unwrap().is_none() {
            open.push(name);
        }
    }
    // Each asks the store and takes nothing away where it is refused.
    if let Exchanged::Issued(_) = world.change(exchange(world, &issued.opened)).await {
        open.push("exchange");
    }
    if let Redeemed::Next(_) | Redeemed::Again(..) = world.refresh(&token(&issued.opened), Some(key(1))).await
    {
        open.push("refresh");
    }
    let code = Secret::new(issued.code.expose().to_vec());
    if let CodeRedeemed::Opened(_) = world.change(world.redeem_code(code)).await {
        open.push("code");
    }
    let poll = PollDevice {
        device_code: Secret::new(issued.device_code.expose().to_vec()),
        org: world.org,
        client: world.cli,
        proof: None,
        held: true,
        refresh: RefreshTokens::Always,
        wanted: for_issuer(),
        address: None,
    };
    if let Polled::Opened(_) = world.change(poll).await {
        open.push("device code");
    }
    open
}

/// What of the issued things a cut on one axis names.
pub(crate) type TargetOf = fn(&World, &Issued) -> Target;

const EVERY_PATH: [&str; 6] =
    ["introspect", "introspect exchanged", "exchange", "refresh", "code", "device code"];

#[tokio::test]
async fn without_a_cut_every_path_is_open() {
    let world = World::new().await;
    let issued = issue(&world).await;
    assert_eq!(open_paths(&world, &issued).await, EVERY_PATH);
}

#[tokio::test]
async fn a_cut_on_each_axis_closes_every_path_below_it_under_every_clock() {
    // Each axis, and which paths lie not below it.
    let axes: [(&str, TargetOf, &[&str]); 6] = [
        ("org", |world, _| Target::Org(world.org), &[]),
        ("principal", |world, _| Target::Principal(world.ada), &[]),
        ("client", |world, _| Target::Client(world.cli), &[]),
        // A code that waits on that machine, too, by the machine's own claim.
        ("device", |_, issued| Target::Device(issued.opened.session.device.unwrap()), &[]),
        ("session", |_, issued| Target::Session(issued.opened.session.id), &["code", "device code"]),
        (
            "credential",
            |_, issued| Target::Credential(issued.opened.credential),
            &["refresh", "code", "device code"],
        ),
    ];
    for (axis, target, beside) in axes {
        for (clock, millis) in
            [("an hour later", 3_600_000), ("in the same millisecond", 0), ("an hour earlier", -3_600_000)]
        {
            let mut world = World::new().await;
            let issued = issue(&world).await;
            let cut = MakeCut {
                org: Some(world.org),
                target: target(&world, &issued),
                why: Why::EndedByAdministrator,
            };
            assert!(matches!(world.change(cut).await, CutMade::Cut(_)), "{axis}");
            world.now = hallpass_model::time::Timestamp::from_millis(world.now.millis() + millis);
            // A code lives a minute and a device code ten: an hour later they are closed in any case.
            let beside: Vec<_> =
                beside.iter().filter(|path| millis <= 0 || **path == "refresh").copied().collect();
            assert_eq!(open_paths(&world, &issued).await, beside, "{axis}, {clock}");
            let again = open_paths(&world, &issued).await;
            assert!(again.iter().all(|path| *path == "refresh"), "{axis}, {clock}, asked again: {again:?}");
        }
    }
}

#[tokio::test]
async fn a_login_after_a_cut_lives_whatever_the_clock_does() {
    for millis in [0, 1, 3_600_000, -3_600_000] {
        let mut world = World::new().await;
        let old = world.log_in(Some(key(1))).await;
        let cut =
            MakeCut { org: Some(world.org), target: Target::Principal(world.ada), why: Why::EndedByPerson };
        world.change(cut).await;
        world.now = hallpass_model::time::Timestamp::from_millis(world.now.millis() + millis);
        let new = world.log_in(Some(key(1))).await;
        assert_eq!(world.store.is_dead(&place(&new)).await.unwrap(), None, "{millis}");
        assert_eq!(world.store.is_dead(&place(&old)).await.unwrap(), Some(Why::EndedByPerson), "{millis}");
        next(world.refresh(&token(&new), Some(key(1))).await);
        // Cut again, the new one dies too, and so on for ever.
        assert!(matches!(world.change(cut).await, CutMade::Cut(_)));
        assert!(world.store.is_dead(&place(&new)).await.unwrap().is_some(), "{millis}");
    }
}

#[tokio::test]
async fn stamps_go_on_over_a_restart() {
    let mut world = World::new().await;
    world.wait(Lifetime::hours(5));
    let old = world.log_in(Some(key(1))).await;
    let cut =
        MakeCut { org: Some(world.org), target: Target::Org(world.org), why: Why::EndedByAdministrator };
    world.change(cut).await;
    // Opened anew, the clock having fallen back five hours meanwhile.
    let mut world = world.reopen();
    world.now = crate::world::START;
    let new = world.log_in(Some(key(1))).await;
    assert!(new.stamp > old.stamp);
    assert_eq!(world.store.is_dead(&place(&new)).await.unwrap(), None);
    assert!(world.store.is_dead(&place(&old)).await.unwrap().is_some());
}

#[tokio::test]
async fn what_is_cut_already_is_not_recorded_again() {
    let world = World::new().await;
    let opened = world.log_in(Some(key(1))).await;
    for target in [
        Target::Session(opened.session.id),
        Target::Principal(world.ada),
        Target::Credential(opened.credential),
    ] {
        let cut = MakeCut { org: Some(world.org), target, why: Why::SignedOut };
        let CutMade::Cut(made) = world.change(cut).await else { panic!("not cut") };
        let before = world.count(Event::Cut).await;
        let again = MakeCut { why: Why::EndedByAdministrator, ..cut };
        if target.axis().is_stamped() {
            // Only where nothing was issued or cut in between: the last cut made.
            assert_eq!(world.change(again).await, CutMade::Already(made));
        } else {
            assert!(
                matches!(world.change(again).await, CutMade::Already(known) if known.why == Why::SignedOut)
            );
        }
        assert_eq!(world.count(Event::Cut).await, before, "{target}");
    }
}

#[tokio::test]
async fn an_org_cuts_nothing_of_another_s() {
    let world = World::new().await;
    let other = world.change(add_org("other")).await.unwrap();
    let opened = world.log_in(Some(key(1))).await;
    for target in [
        Target::Org(world.org),
        Target::Principal(world.ada),
        Target::Client(world.cli),
        Target::Device(opened.session.device.unwrap()),
        Target::Session(opened.session.id),
    ] {
        let cut = MakeCut { org: Some(other.org), target, why: Why::EndedByAdministrator };
        assert_eq!(world.change(cut).await, CutMade::NotThere, "{target}");
    }
    let end = |org, of| EndSession { org, session: opened.session.id, of, why: Why::EndedByPerson };
    assert_eq!(world.change(end(other.org, None)).await, SessionEnded::NotThere);
    assert_eq!(world.change(end(world.org, Some(other.administrator))).await, SessionEnded::NotThere);
    assert_eq!(world.store.is_dead(&place(&opened)).await.unwrap(), None);
    assert_eq!(world.change(end(world.org, Some(world.ada))).await, SessionEnded::Ended);
    assert_eq!(world.change(end(world.org, None)).await, SessionEnded::Already);
    assert!(world.store.list_sessions_of(world.ada, None, 10, world.now).await.unwrap().items.is_empty());
    let nobody = MakeCut {
        org: None,
        target: Target::Session(hallpass_model::id::SessionId::from_bytes([1; 16])),
        why: Why::SignedOut,
    };
    assert_eq!(world.change(nobody).await, CutMade::NotThere);
}

#[tokio::test]
async fn a_cut_of_the_code_kills_what_came_of_it_though_no_claim_names_it() {
    let world = World::new().await;
    let opened = world.log_in(Some(key(1))).await;
    let cut = MakeCut {
        org: None,
        target: Target::Credential(opened.session.origin),
        why: Why::EndedByAdministrator,
    };
    world.change(cut).await;
    assert!(world.store.is_dead(&place(&opened)).await.unwrap().is_some());
    let exchanged = world.change(exchange(&world, &opened)).await;
    assert!(matches!(exchanged, Exchanged::Refused(ExchangeRefusal::Cut(_))), "{exchanged:?}");
    assert!(matches!(world.refresh(&token(&opened), Some(key(1))).await, Redeemed::Refused(Refusal::Cut(_))));
}

#[tokio::test]
async fn lineages_longer_than_one_query_are_asked_to_their_end() {
    let world = World::new().await;
    let opened = world.log_in(Some(key(1))).await;
    let ids: Vec<_> = (1..=30u8).map(|n| hallpass_model::id::CredentialId::from_bytes([n; 16])).collect();
    for dead in &ids {
        let world_place = Place { credentials: ids.clone(), ..place(&opened) };
        let cut = MakeCut { org: None, target: Target::Credential(*dead), why: Why::RunOver };
        let only = Place { credentials: vec![*dead], ..place(&opened) };
        assert_eq!(world.store.is_dead(&only).await.unwrap(), None);
        world.change(cut).await;
        assert_eq!(world.store.is_dead(&world_place).await.unwrap(), Some(Why::RunOver));
        assert_eq!(world.store.is_dead(&only).await.unwrap(), Some(Why::RunOver));
    }
}

#[tokio::test]
async fn those_who_wait_for_cuts_hear_of_them_once_they_hold() {
    let world = World::new().await;
    let opened = world.log_in(Some(key(1))).await;
    let mut cuts = world.store.cuts_made();
    let target = Target::Session(opened.session.id);
    world
        .store
        .change(Actor::Operator, world.now, MakeCut { org: None, target, why: Why::SignedOut })
        .await
        .unwrap();
    assert_eq!(cuts.recv().await.unwrap(), target);
    assert!(world.store.is_dead(&place(&opened)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_code_under_a_cut_is_said_to_be_revoked() {
    let world = World::new().await;
    let issued = issue(&world).await;
    world.change(MakeCut { org: None, target: Target::Client(world.cli), why: Why::Disabled }).await;
    let redeemed = world.change(world.redeem_code(issued.code)).await;
    assert!(matches!(redeemed, CodeRedeemed::Refused(CodeRefusal::Revoked)), "{redeemed:?}");
}

#[tokio::test]
async fn an_access_token_given_back_is_cut_alone_and_a_refresh_token_is_its_session() {
    let world = World::new().await;
    let other = world.change(add_org("other")).await.unwrap();
    let opened = world.log_in(Some(key(1))).await;
    let revoke = RevokeAccessToken { place: place(&opened), run_over: false };
    assert!(world.change(revoke.clone()).await);
    assert!(!world.change(revoke).await, "once");
    let second = next(world.refresh(&token(&opened), Some(key(1))).await);
    assert_eq!(world.store.is_dead(&place(&second)).await.unwrap(), None);

    let revoke = |org, client, text: &str| RevokeRefreshToken {
        token: RefreshToken::parse(text).unwrap(),
        org,
        client,
    };
    let forged = RefreshToken::render(&SessionKey::new(&Seeded::new(1)), opened.session.id, 1);
    for (org, client, text) in [
        (other.org, world.cli, token(&second)),
        (world.org, hallpass_model::id::ClientId::from_bytes([1; 16]), token(&second)),
        (world.org, world.cli, forged.expose_text().to_owned()),
    ] {
        assert!(!world.change(revoke(org, client, &text)).await);
    }
    assert_eq!(world.store.is_dead(&place(&second)).await.unwrap(), None);
    // Any generation will do, and no proof is asked for: giving back is never made hard.
    assert!(world.change(revoke(world.org, world.cli, &token(&opened))).await);
    assert_eq!(world.store.is_dead(&place(&second)).await.unwrap(), Some(Why::SignedOut));
}
