//! What is forgotten, and what stays dead whatever the clock does: cuts and sessions under the sweep.

use hallpass_model::cut::{Place, Target, Why};
use hallpass_model::id::SessionId;
use hallpass_model::ledger::Event;
use hallpass_model::lifetimes::{ACCESS_TOKEN_MAX, CLOCK_SKEW, CUT_SESSION_KEPT, SESSION_ABSOLUTE};
use hallpass_model::session::Refusal;
use hallpass_model::time::{Lifetime, Steady, Timestamp};
use hallpass_store::{CutMade, EndSession, Exchanged, LinkPurpose, MakeCut, MakeLink, Redeemed, Sweep};

use crate::cuts::{Issued, TargetOf, exchange, issue, open_paths, place};
use crate::world::{START, World, key, next, token};

/// Each axis, twice where two things on it differ; and which paths lie not below it.
const AXES: [(&str, TargetOf, &[&str]); 7] = [
    ("org", |world, _| Target::Org(world.org), &[]),
    ("principal", |world, _| Target::Principal(world.ada), &[]),
    ("client", |world, _| Target::Client(world.cli), &[]),
    ("device", |_, issued| Target::Device(issued.opened.session.device.unwrap()), &[]),
    ("session", |_, issued| Target::Session(issued.opened.session.id), &[]),
    ("credential", |_, issued| Target::Credential(issued.opened.credential), &["refresh"]),
    ("credential it came of", |_, issued| Target::Credential(issued.opened.session.origin), &[]),
];

async fn cut(world: &World, target: Target) {
    let made = world.change(MakeCut { org: None, target, why: Why::EndedByAdministrator }).await;
    assert!(matches!(made, CutMade::Cut(_)), "{target}: {made:?}");
}

async fn issue_and_cut(world: &World, target: TargetOf) -> Issued {
    let issued = issue(world).await;
    cut(world, target(world, &issued)).await;
    issued
}

/// A clock that was set: no time has passed.
fn set(world: &mut World, by_days: i64) {
    world.now = Timestamp::from_millis(world.now.millis() + by_days * Lifetime::days(1).as_millis());
}

#[tokio::test]
async fn a_cut_on_each_axis_holds_an_hour_later_with_the_sweep_at_work_and_when_the_clock_is_set_back() {
    for (axis, target, beside) in AXES {
        let mut world = World::new().await;
        let issued = issue_and_cut(&world, target).await;
        for minutes in [11, 6, 10, 33] {
            world.wait(Lifetime::minutes(minutes));
            world.sweep().await;
            assert_eq!(open_paths(&world, &issued).await, beside, "{axis}, by {}", world.now);
        }
        // All that was issued could be used now if it were not for the cut, which may be long forgotten.
        world.now = START;
        assert_eq!(open_paths(&world, &issued).await, beside, "{axis}, set back");
    }
}

#[tokio::test]
async fn a_clock_set_forward_and_back_loses_nothing_and_revives_nothing() {
    for days in [31, 91, 200] {
        let mut world = World::new().await;
        let lives = world.log_in(Some(key(1))).await;
        let mut dead = Vec::new();
        // An org's or a person's cut would end the one that is to live.
        for (axis, target, beside) in &AXES[4..] {
            dead.push((axis, issue_and_cut(&world, *target).await, beside));
        }
        // The sweep has seen the clock go evenly; then it is set, for as long as one sweep takes.
        let (mut steady, hours) = (Steady::default(), Lifetime::hours);
        steady.look(START - hours(2), hours(0));
        assert!(steady.look(START, hours(2)));
        set(&mut world, days);
        world.change(Sweep { after: None, steady: steady.look(world.now, hours(2)) }).await;
        set(&mut world, -days);
        world.change(Sweep { after: None, steady: steady.look(world.now, hours(2)) }).await;

        let lives = next(world.refresh(&token(&lives), Some(key(1))).await);
        assert_eq!(world.store.is_dead(&place(&lives)).await.unwrap(), None, "{days} days");
        for (axis, issued, beside) in dead {
            let open = open_paths(&world, &issued).await;
            let below = open.iter().filter(|path| !["code", "device code"].contains(path));
            assert!(below.eq(*beside), "{axis}, {days} days: {open:?}");
        }
    }
}

#[tokio::test]
async fn a_clock_that_stays_wrong_for_long_revives_nothing_when_it_is_put_right() {
    for days in [1, 31, 91, 200] {
        for (axis, target, _) in AXES {
            let mut world = World::new().await;
            let issued = issue_and_cut(&world, target).await;
            set(&mut world, days);
            // One piece of a sweep, which sees no session at all: as if they were too many for it.
            let last = SessionId::from_bytes([0xFF; 16]);
            world.change(Sweep { after: Some(last), steady: true }).await;
            set(&mut world, -days);
            let open = open_paths(&world, &issued).await;
            let refreshes = axis == "credential";
            assert!(open.iter().all(|path| refreshes && *path == "refresh"), "{axis}, {days} days: {open:?}");
            // What is issued from here on has nothing to do with it.
            let new = world.log_in(Some(key(1))).await;
            assert_eq!(world.store.is_dead(&place(&new)).await.unwrap(), None, "{axis}, {days} days");
            next(world.refresh(&token(&new), Some(key(1))).await);
        }
    }
}

#[tokio::test]
async fn without_a_steady_clock_nothing_is_thrown_away() {
    let mut world = World::new().await;
    let opened = world.log_in(Some(key(1))).await;
    let gone = world.log_in(Some(key(1))).await;
    cut(&world, Target::Session(gone.session.id)).await;
    let link = world.change(MakeLink { purpose: LinkPurpose::Enrol { person: world.ada } }).await.unwrap();
    set(&mut world, 400);
    assert_eq!(world.change(Sweep::default()).await.removed, 0);
    world.now = START;
    next(world.refresh(&token(&opened), Some(key(1))).await);
    assert!(world.store.find_link(&link.link, world.now).await.unwrap().is_some());
    assert!(matches!(
        world.refresh(&token(&gone), Some(key(1))).await,
        Redeemed::Refused(Refusal::Cut(Why::EndedByAdministrator))
    ));
}

#[tokio::test]
async fn a_session_s_row_outlives_its_tokens_and_without_it_they_are_dead() {
    let mut world = World::new().await;
    let opened = world.log_in(Some(key(1))).await;
    // The last token that can be had of it, at the last moment.
    world.now = opened.session.idle_until - Lifetime::millis(1);
    let Exchanged::Issued(last) = world.change(exchange(&world, &opened)).await else { panic!("refused") };
    let last =
        Place { credentials: vec![last.credential, opened.credential], stamp: last.stamp, ..place(&opened) };
    world.wait(ACCESS_TOKEN_MAX);
    world.sweep().await;
    assert_eq!(world.store.is_dead(&last).await.unwrap(), None, "it is as alive as it was issued");
    world.wait(CLOCK_SKEW + Lifetime::millis(2));
    world.sweep().await;
    assert_eq!(world.store.find_session(opened.session.id).await.unwrap(), None);
    assert_eq!(world.store.is_dead(&last).await.unwrap(), Some(Why::Forgotten));
    assert_eq!(world.count(Event::Expired).await, 1);
}

#[tokio::test]
async fn a_session_that_was_cut_goes_after_a_week_and_is_not_said_to_have_expired() {
    let mut world = World::new().await;
    let opened = world.log_in(Some(key(1))).await;
    let end = EndSession { org: world.org, session: opened.session.id, of: None, why: Why::EndedByPerson };
    world.change(end).await;
    world.wait(CUT_SESSION_KEPT);
    world.sweep().await;
    assert!(world.store.find_session(opened.session.id).await.unwrap().is_some(), "its holder is told why");
    world.wait(CLOCK_SKEW + Lifetime::millis(1));
    world.sweep().await;
    assert_eq!(world.store.find_session(opened.session.id).await.unwrap(), None);
    // Nor is one that was below another's cut, when its own time is over.
    let below = world.log_in(Some(key(1))).await;
    cut(&world, Target::Principal(world.ada)).await;
    world.wait(SESSION_ABSOLUTE);
    world.sweep().await;
    assert_eq!(world.store.find_session(below.session.id).await.unwrap(), None);
    assert_eq!(world.count(Event::Expired).await, 0);
}
