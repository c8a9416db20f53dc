//! The device flow: requests, answers, polls, guesses.

use hallpass_model::cut::{Target, Why};
use hallpass_model::device::DeviceClaim;
use hallpass_model::grant::Approval;
use hallpass_model::id::ClientId;
use hallpass_model::ledger::Event;
use hallpass_model::lifetimes::{DEVICE_CODE, DEVICE_POLL_INTERVAL};
use hallpass_model::purpose::Purpose;
use hallpass_model::secret::{DeviceCode, Secret};
use hallpass_model::session::Refusal;
use hallpass_model::spelling::user_code;
use hallpass_model::time::Lifetime;
use hallpass_store::{
    AddPerson, Answer, AnswerDevice, Approver, DeviceAnswered, DeviceStarted, DeviceState, EndAfterApproval,
    EndedAfterApproval, GUESSES_BY_ADDRESS, GUESSES_BY_PERSON, GuessUserCode, Guessed, MakeCut, PollDevice,
    Polled, RefreshTokens, SetPersonStanding, StartDevice,
};

use crate::world::{NOTES, World, add_org, by_passkey, for_issuer, key, laptop, scopes};

fn start(world: &World) -> StartDevice {
    StartDevice {
        raises: None,
        org: world.org,
        client: world.cli,
        scopes: scopes("openid offline_access notes:read"),
        resources: vec![NOTES.into()],
        purpose: Purpose::parse("deploy"),
        device: Some(laptop()),
        requester_address: "198.51.100.4".into(),
        jkt: None,
        demand: hallpass_model::step_up::Demand::default(),
    }
}

fn poll(world: &World, code: &Secret<DeviceCode>) -> PollDevice {
    PollDevice {
        device_code: Secret::new(code.expose().to_vec()),
        org: world.org,
        client: world.cli,
        proof: None,
        held: false,
        refresh: RefreshTokens::Always,
        wanted: for_issuer(),
        address: None,
    }
}

fn answer(world: &World, started: &DeviceStarted, answer: Answer) -> AnswerDevice {
    AnswerDevice {
        org: world.org,
        grant: started.grant,
        by: Approver {
            principal: world.ada,
            authentication: by_passkey(world.now),
            approval: Approval::DevicePage,
        },
        answer,
        address: "203.0.113.9".into(),
    }
}

#[tokio::test]
async fn an_approval_is_found_by_the_code_and_collected_once() {
    let world = World::new().await;
    let mut answers = world.store.device_answers();
    let started = world.change(start(&world)).await;
    let typed = user_code::render(started.user_code.expose_text()).to_lowercase();
    let found = world.store.find_device_by_user_code(world.org, &typed).await.unwrap().unwrap();
    assert_eq!((found.id, found.state), (started.grant, DeviceState::Waiting));
    assert_eq!(found.requester_address, "198.51.100.4");
    assert_eq!(found.device, Some(laptop()));
    assert!(matches!(world.change(poll(&world, &started.device_code)).await, Polled::Pending { .. }));

    assert_eq!(world.change(answer(&world, &started, Answer::Yes)).await, DeviceAnswered::Approved);
    assert_eq!(answers.recv().await.unwrap(), started.grant, "whoever waits hears of it");
    let again = world.change(answer(&world, &started, Answer::No)).await;
    assert_eq!(again, DeviceAnswered::Already(DeviceState::Approved { by: world.ada }));

    let (one, two) = tokio::join!(
        world.change(poll(&world, &started.device_code)),
        world.change(poll(&world, &started.device_code))
    );
    let (opened, other) = match (one, two) {
        (Polled::Opened(opened), other) | (other, Polled::Opened(opened)) => (opened, other),
        neither => panic!("{neither:?}"),
    };
    assert!(matches!(other, Polled::Expired), "{other:?}");
    assert_eq!(opened.session.principal, world.ada);
    assert_eq!(opened.session.grant.approval, Approval::DevicePage);
    assert_eq!(opened.session.grant.purpose, Purpose::parse("deploy"));
    assert_eq!((world.count(Event::Approved).await, world.count(Event::Issued).await), (1, 1));
}

#[tokio::test]
async fn nothing_is_recorded_before_somebody_has_answered() {
    let world = World::new().await;
    let before = world.ledger().await.len();
    let started = world.change(start(&world)).await;
    world.change(poll(&world, &started.device_code)).await;
    assert_eq!(world.ledger().await.len(), before, "strangers cannot buy disk");
    assert_eq!(world.change(answer(&world, &started, Answer::No)).await, DeviceAnswered::Denied);
    assert!(matches!(world.change(poll(&world, &started.device_code)).await, Polled::Denied));
    assert_eq!(world.count(Event::Denied).await, 1);
}

#[tokio::test]
async fn slow_down_adds_five_seconds_for_every_later_poll_and_tolerates_jitter() {
    let mut world = World::new().await;
    let code = world.change(start(&world)).await.device_code;
    let mut polls = |wait: i64| {
        world.now = world.now + Lifetime::millis(wait as u32);
        let poll = poll(&world, &code);
        let (store, now) = (world.store.clone(), world.now);
        async move {
            match store.change(hallpass_model::ledger::Actor::Nobody, now, poll).await.unwrap() {
                Polled::Pending { interval, .. } => (false, interval.as_seconds()),
                Polled::SlowDown { interval } => (true, interval.as_seconds()),
                other => panic!("{other:?}"),
            }
        }
    };
    assert_eq!(polls(0).await, (false, 5), "the first is never too fast");
    assert_eq!(polls(4_000).await, (false, 5), "a second early is on time");
    assert_eq!(polls(3_999).await, (true, 10));
    assert_eq!(polls(5_000).await, (true, 15), "the interval holds for all later polls");
    assert_eq!(polls(15_000).await, (false, 15));
    assert_eq!(polls(14_000).await, (false, 15));
}

#[tokio::test]
async fn a_held_poll_is_never_too_fast_and_a_clock_that_jumped_back_is_no_haste() {
    let mut world = World::new().await;
    let code = world.change(start(&world)).await.device_code;
    for _ in 0..3 {
        let held = PollDevice { held: true, ..poll(&world, &code) };
        assert!(matches!(world.change(held).await, Polled::Pending { .. }));
    }
    world.now = world.now - Lifetime::hours(1);
    let Polled::Pending { interval, .. } = world.change(poll(&world, &code)).await else {
        panic!("too fast")
    };
    assert_eq!(interval, DEVICE_POLL_INTERVAL);
}

#[tokio::test]
async fn a_device_code_is_its_own_client_s_org_s_and_key_s() {
    let world = World::new().await;
    let other = world.change(add_org("other")).await.unwrap();
    let started = world.change(StartDevice { jkt: Some(key(1)), ..start(&world) }).await;
    world.change(answer(&world, &started, Answer::Yes)).await;
    let good = || PollDevice { proof: Some(world.proof(key(1))), ..poll(&world, &started.device_code) };
    let cases = [
        (PollDevice { device_code: Secret::from_text("hpd_no".into()), ..good() }, Refusal::Unknown),
        (PollDevice { org: other.org, ..good() }, Refusal::OtherOrg),
        (PollDevice { client: ClientId::from_bytes([1; 16]), ..good() }, Refusal::OtherClient),
        (PollDevice { proof: None, ..good() }, Refusal::ProofMissing),
        (PollDevice { proof: Some(world.proof(key(2))), ..good() }, Refusal::ProofMissing),
    ];
    for (poll, why) in cases {
        let polled = world.change(poll).await;
        assert!(matches!(polled, Polled::Refused(refusal) if refusal == why), "{polled:?}, not {why:?}");
    }
    assert!(matches!(world.change(good()).await, Polled::Opened(_)));
    // Neither is the page of another org the place to approve it.
    let theirs = AnswerDevice { org: other.org, ..answer(&world, &started, Answer::Yes) };
    assert_eq!(world.change(theirs).await, DeviceAnswered::NotThere);
    assert_eq!(
        world.store.find_device_by_user_code(other.org, started.user_code.expose_text()).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn a_device_code_is_over_at_its_end() {
    let mut world = World::new().await;
    let (one, two) = (world.change(start(&world)).await, world.change(start(&world)).await);
    world.change(answer(&world, &one, Answer::Yes)).await;
    world.wait(DEVICE_CODE);
    assert!(matches!(world.change(poll(&world, &one.device_code)).await, Polled::Expired));
    assert_eq!(world.change(answer(&world, &two, Answer::Yes)).await, DeviceAnswered::Expired);
}

#[tokio::test]
async fn who_is_disabled_neither_approves_nor_is_let_in() {
    let world = World::new().await;
    let grace = AddPerson { org: world.org, handle: "grace".parse().unwrap(), name: "Grace".into() };
    let grace = world.change(grace).await.unwrap();
    let by =
        Approver { principal: grace, authentication: by_passkey(world.now), approval: Approval::DevicePage };
    let (one, two) = (world.change(start(&world)).await, world.change(start(&world)).await);
    world.change(AnswerDevice { by: by.clone(), ..answer(&world, &one, Answer::Yes) }).await;
    world.change(SetPersonStanding { org: world.org, person: grace, active: false }).await;
    let refused = world.change(AnswerDevice { by, ..answer(&world, &two, Answer::Yes) }).await;
    assert_eq!(refused, DeviceAnswered::Refused(Refusal::Disabled));
    assert!(matches!(world.change(poll(&world, &one.device_code)).await, Polled::Refused(Refusal::Disabled)));
    world.change(SetPersonStanding { org: world.org, person: grace, active: true }).await;
    let polled = world.change(poll(&world, &one.device_code)).await;
    assert!(
        matches!(polled, Polled::Refused(Refusal::Cut(_))),
        "what was approved before the cut stays dead: {polled:?}"
    );
}

#[tokio::test]
async fn this_was_not_me_ends_it_before_and_after_it_was_collected() {
    let world = World::new().await;
    let other = world.change(add_org("other")).await.unwrap();
    let (one, two) = (world.change(start(&world)).await, world.change(start(&world)).await);
    let end =
        |started: &DeviceStarted| EndAfterApproval { org: world.org, grant: started.grant, by: world.ada };
    assert_eq!(world.change(end(&one)).await, EndedAfterApproval::NotThere, "nobody said yes to it");
    for started in [&one, &two] {
        world.change(answer(&world, started, Answer::Yes)).await;
    }
    let stranger = EndAfterApproval { by: other.administrator, ..end(&one) };
    assert_eq!(world.change(stranger).await, EndedAfterApproval::NotThere);
    assert_eq!(world.change(end(&one)).await, EndedAfterApproval::Denied);
    assert!(matches!(world.change(poll(&world, &one.device_code)).await, Polled::Denied));
    let Polled::Opened(opened) = world.change(poll(&world, &two.device_code)).await else {
        panic!("not opened")
    };
    assert_eq!(world.change(end(&two)).await, EndedAfterApproval::SessionCut(opened.session.id));
    assert_eq!(world.change(end(&two)).await, EndedAfterApproval::Already);
    assert!(world.store.is_dead(&crate::cuts::place(&opened)).await.unwrap().is_some());
}

#[tokio::test]
async fn this_was_not_me_ends_it_long_after_the_request_was_forgotten() {
    let mut world = World::new().await;
    let (one, never) = (world.change(start(&world)).await, world.change(start(&world)).await);
    world.wait(Lifetime::minutes(9));
    for started in [&one, &never] {
        world.change(answer(&world, started, Answer::Yes)).await;
    }
    let Polled::Opened(opened) = world.change(poll(&world, &one.device_code)).await else {
        panic!("not opened")
    };
    world.wait(Lifetime::minutes(2));
    world.sweep().await;
    assert_eq!(world.store.find_device_grant(one.grant).await.unwrap(), None, "it is forgotten");
    let session = world.store.find_session_of(one.grant).await.unwrap();
    assert_eq!(session.map(|session| session.id), Some(opened.session.id), "what it became is not");

    let other = world.change(add_org("other")).await.unwrap();
    let end =
        |started: &DeviceStarted| EndAfterApproval { org: world.org, grant: started.grant, by: world.ada };
    let elsewhere = EndAfterApproval { org: other.org, ..end(&one) };
    let stranger = EndAfterApproval { by: other.administrator, ..end(&one) };
    for not_theirs in [elsewhere, stranger, end(&never)] {
        assert_eq!(world.change(not_theirs).await, EndedAfterApproval::NotThere);
    }
    world.wait(Lifetime::days(20));
    let end =
        |started: &DeviceStarted| EndAfterApproval { org: world.org, grant: started.grant, by: world.ada };
    assert_eq!(world.change(end(&one)).await, EndedAfterApproval::SessionCut(opened.session.id));
    assert_eq!(world.change(end(&one)).await, EndedAfterApproval::Already);
}

#[tokio::test]
async fn a_cut_of_a_machine_reaches_what_waits_for_it_to_be_collected() {
    let world = World::new().await;
    let known = world.log_in(Some(key(1))).await.session.device.unwrap();
    let (theirs, elsewhere) = (world.change(start(&world)).await, {
        let device = DeviceClaim { install: "install-0002".into(), ..laptop() };
        world.change(StartDevice { device: Some(device), ..start(&world) }).await
    });
    for started in [&theirs, &elsewhere] {
        world.change(answer(&world, started, Answer::Yes)).await;
    }
    let cut = MakeCut { org: None, target: Target::Device(known), why: Why::EndedByAdministrator };
    world.change(cut).await;
    let polled = world.change(poll(&world, &theirs.device_code)).await;
    assert!(matches!(polled, Polled::Refused(Refusal::Cut(Why::EndedByAdministrator))), "{polled:?}");
    assert!(matches!(world.change(poll(&world, &elsewhere.device_code)).await, Polled::Opened(_)));
    // What is approved there after the cut is another matter.
    let again = world.change(start(&world)).await;
    world.change(answer(&world, &again, Answer::Yes)).await;
    assert!(matches!(world.change(poll(&world, &again.device_code)).await, Polled::Opened(_)));
}

#[tokio::test]
async fn guesses_are_limited_by_person_first_and_then_by_network() {
    let mut world = World::new().await;
    let right = world.change(start(&world)).await;
    let guess = |person, typed: &str| GuessUserCode {
        org: world.org,
        person,
        address_prefix: "203.0.113.0/24".into(),
        typed: typed.into(),
    };
    for _ in 0..GUESSES_BY_PERSON {
        assert_eq!(world.change(guess(world.ada, "BBBB-BBBB")).await, Guessed::Wrong);
    }
    let right_code = right.user_code.expose_text();
    let until = world.now + Lifetime::hours(1);
    assert_eq!(world.change(guess(world.ada, right_code)).await, Guessed::TooMany { until });

    // A colleague in the same office is not locked out, and a right guess costs nothing.
    let colleague = |n: u32| {
        let handle = format!("c{n}").parse().unwrap();
        AddPerson { org: world.org, handle, name: "Colleague".into() }
    };
    let first = world.change(colleague(0)).await.unwrap();
    for _ in 0..2 * GUESSES_BY_PERSON {
        assert!(matches!(world.change(guess(first, right_code)).await, Guessed::Found(_)));
    }
    for n in GUESSES_BY_PERSON..GUESSES_BY_ADDRESS {
        let person = world.change(colleague(n)).await.unwrap();
        assert_eq!(world.change(guess(person, "not a code")).await, Guessed::Wrong);
    }
    assert_eq!(
        world.change(guess(first, right_code)).await,
        Guessed::TooMany { until },
        "the network's turn"
    );
    let elsewhere = GuessUserCode { address_prefix: "198.51.100.0/24".into(), ..guess(first, right_code) };
    assert!(matches!(world.change(elsewhere).await, Guessed::Found(_)));
    let later = guess(world.ada, right_code);
    world.wait(Lifetime::hours(1));
    assert!(matches!(world.change(later).await, Guessed::Found(_)), "an hour later it is forgiven");
}
