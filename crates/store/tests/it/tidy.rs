//! Sweeping, and refusals once a minute.

use hallpass_model::ledger::{Actor, Event, Key};
use hallpass_model::lifetimes::SESSION_IDLE;
use hallpass_model::session::Refusal;
use hallpass_model::time::Lifetime;
use hallpass_store::{
    CodeIssued, LinkPurpose, MakeLink, RecordRefusal, Redeemed, RefusedSubject, SaveRequest, Sweep,
};

use crate::world::{World, key, token};

#[tokio::test]
async fn what_is_over_goes_and_what_is_not_stays() {
    let mut world = World::new().await;
    let opened = world.log_in(Some(key(1))).await;
    world.change(SaveRequest { org: world.org, client: world.cli, request: "{}".into() }).await;
    world.change(MakeLink { purpose: LinkPurpose::SetUp }).await.unwrap();
    assert_eq!(world.sweep().await, 0);
    world.wait(Lifetime::hours(1));
    assert_eq!(world.sweep().await, 3, "the request, the link, and the spent code");
    assert!(world.store.find_session(opened.session.id).await.unwrap().is_some());
    world.wait(SESSION_IDLE);
    assert_eq!(world.sweep().await, 1);
    assert_eq!(world.store.find_session(opened.session.id).await.unwrap(), None);
    let expired = world.ledger().await.pop().unwrap();
    assert_eq!((expired.event, expired.session), (Event::Expired, Some(opened.session.id)));
    let gone = world.refresh(&token(&opened), Some(key(1))).await;
    assert!(matches!(gone, Redeemed::Refused(Refusal::Unknown)), "{gone:?}");
}

#[tokio::test]
async fn a_long_list_is_swept_a_piece_at_a_time() {
    let mut world = World::new().await;
    let mut saving = tokio::task::JoinSet::new();
    for _ in 0..450 {
        let save = SaveRequest { org: world.org, client: world.cli, request: "{}".into() };
        let (store, now) = (world.store.clone(), world.now);
        saving.spawn(async move { store.change(Actor::Nobody, now, save).await.map(drop) });
    }
    let mut codes = tokio::task::JoinSet::new();
    for _ in 0..230 {
        let (store, now, issue) = (world.store.clone(), world.now, world.code());
        codes.spawn(async move { store.change(Actor::Nobody, now, issue).await });
    }
    let mut redeeming = tokio::task::JoinSet::new();
    while let Some(issued) = codes.join_next().await {
        let CodeIssued::Issued { code, .. } = issued.unwrap().unwrap() else { panic!("no code") };
        let (store, now, redeem) = (world.store.clone(), world.now, world.redeem_code(code));
        redeeming.spawn(async move { store.change(Actor::Nobody, now, redeem).await.map(drop) });
    }
    for mut set in [saving, redeeming] {
        while let Some(done) = set.join_next().await {
            done.unwrap().unwrap();
        }
    }
    world.wait(Lifetime::hours(1));
    let first = world.change(Sweep { steady: true, ..Sweep::default() }).await;
    assert!(first.more && first.removed < 450, "{first:?}");
    assert_eq!(first.removed + world.sweep().await, 450 + 230, "requests, and codes");
    world.wait(SESSION_IDLE);
    assert_eq!(world.sweep().await, 230);
}

#[tokio::test]
async fn repeated_refusals_are_one_entry_now_and_one_when_the_minute_is_over() {
    let mut world = World::new().await;
    let opened = world.log_in(Some(key(1))).await;
    let denied = async |world: &World| {
        let entries = world.ledger().await;
        let denied = entries.into_iter().filter(|entry| entry.event == Event::Denied);
        denied.map(|entry| entry.detail.find(&Key::COUNT).unwrap().to_string()).collect::<Vec<_>>()
    };
    for _ in 0..50 {
        let refused = world.refresh(&token(&opened), None).await;
        assert!(matches!(refused, Redeemed::Refused(Refusal::ProofMissing)));
    }
    assert_eq!(denied(&world).await, ["1"], "the first, at once");
    world.wait(Lifetime::minutes(2));
    world.sweep().await;
    assert_eq!(denied(&world).await, ["1", "49"], "and how many more there were");
    // Without a sweep in between, the next one of its kind ends the minute.
    for _ in 0..3 {
        world.refresh(&token(&opened), None).await;
    }
    world.wait(Lifetime::minutes(2));
    world.refresh(&token(&opened), None).await;
    assert_eq!(denied(&world).await, ["1", "49", "1", "2", "1"]);
}

#[tokio::test]
async fn another_subject_or_rule_is_counted_apart_and_strangers_in_memory_alone() {
    let world = World::new().await;
    let subject = RefusedSubject { principal: Some(world.ada), ..RefusedSubject::org(world.org) };
    let before = world.ledger().await.len();
    for subject in [subject, RefusedSubject { client: Some(world.cli), ..subject }] {
        for rule in ["scope", "resource"] {
            world.change(RecordRefusal { subject, rule }).await;
            world.change(RecordRefusal { subject, rule }).await;
        }
    }
    assert_eq!(world.ledger().await.len(), before + 4);
    world.store.count_stranger("unknown_client");
    world.store.count_stranger("unknown_client");
    assert_eq!(world.store.strangers().get("unknown_client"), Some(&2));
    assert_eq!(world.ledger().await.len(), before + 4);
}
