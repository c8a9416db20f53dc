//! Every row of the rotation's table, asked of the real store.

use hallpass_model::cut::Why;
use hallpass_model::id::ClientId;
use hallpass_model::ledger::{Event, Key};
use hallpass_model::lifetimes::{BEARER_RETRY, SESSION_IDLE};
use hallpass_model::principal::OrgLimits;
use hallpass_model::session::{RefreshToken, Refusal, SessionKey, Signal};
use hallpass_model::time::Lifetime;
use hallpass_store::{Exchanged, OutOfGrant, Reach, Redeem, Redeemed, SetOrgLimits, Wanted};

use crate::world::{World, add_org, again, for_notes, key, next, scopes, token};

#[tokio::test]
async fn the_current_generation_gives_the_next() {
    let mut world = World::new().await;
    let opened = world.log_in(Some(key(1))).await;
    let first = token(&opened);
    world.wait(Lifetime::days(1));
    let second = next(world.refresh(&first, Some(key(1))).await);
    assert_ne!(token(&second), first);
    assert_eq!(second.session.id, opened.session.id);
    assert_ne!(second.credential, opened.credential);
    assert_eq!(second.session.idle_until, world.now + SESSION_IDLE);
    assert_eq!(second.session.expires, opened.session.expires, "the absolute end does not move");
    assert_eq!(world.store.find_session(opened.session.id).await.unwrap().unwrap(), second.session);
    let refreshed = world.ledger().await.pop().unwrap();
    assert_eq!((refreshed.event, refreshed.session), (Event::Refreshed, Some(opened.session.id)));
    assert_eq!(
        refreshed.actor,
        hallpass_model::ledger::Actor::Principal(world.ada),
        "the token proved who acts"
    );
    assert_eq!(refreshed.detail.find(&Key::GENERATION), Some(&0i64.into()));
}

#[tokio::test]
async fn a_lost_answer_is_given_again_at_any_time_to_the_same_key() {
    let mut world = World::new().await;
    let first = token(&world.log_in(Some(key(1))).await);
    let second = token(&next(world.refresh(&first, Some(key(1))).await));
    for _ in 0..2 {
        world.wait(Lifetime::days(10));
        assert_eq!(
            token(&again(world.refresh(&first, Some(key(1))).await)),
            second,
            "the very same successor"
        );
    }
    next(world.refresh(&second, Some(key(1))).await);
    assert_eq!(world.count(Event::Retried).await, 2);
}

#[tokio::test]
async fn two_racing_refreshes_both_get_the_same_successor() {
    let world = World::new().await;
    let first = token(&world.log_in(Some(key(1))).await);
    let refresh = || world.refresh(&first, Some(key(1)));
    let (one, two, three) = tokio::join!(refresh(), refresh(), refresh());
    let mut advanced = 0;
    let mut tokens = Vec::new();
    for redeemed in [one, two, three] {
        match redeemed {
            Redeemed::Next(opened) => {
                advanced += 1;
                tokens.push(token(&opened));
            }
            Redeemed::Again(opened, None) => tokens.push(token(&opened)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(advanced, 1, "one winner");
    assert!(tokens.iter().all(|token| *token == tokens[0]));
}

#[tokio::test]
async fn an_older_generation_cuts_the_session_and_it_is_recorded_as_reuse() {
    let mut world = World::new().await;
    let first = token(&world.log_in(Some(key(1))).await);
    let second = token(&next(world.refresh(&first, Some(key(1))).await));
    let third = token(&next(world.refresh(&second, Some(key(1))).await));
    world.wait(Lifetime::seconds(1));
    assert!(matches!(world.refresh(&first, Some(key(1))).await, Redeemed::Ended(Why::Reuse)));
    for (token, why) in [(&first, "first"), (&second, "second"), (&third, "third")] {
        let refused = world.refresh(token, Some(key(1))).await;
        assert!(matches!(refused, Redeemed::Refused(Refusal::Cut(_))), "{why}: {refused:?}");
    }
    assert_eq!(world.count(Event::Reused).await, 1);
}

#[tokio::test]
async fn a_valid_proof_by_another_key_cuts_and_a_missing_one_does_not() {
    let world = World::new().await;
    let first = token(&world.log_in(Some(key(1))).await);
    let missing = world.refresh(&first, None).await;
    assert!(matches!(missing, Redeemed::Refused(Refusal::ProofMissing)), "{missing:?}");
    let second = token(&next(world.refresh(&first, Some(key(1))).await));
    assert!(matches!(world.refresh(&second, Some(key(2))).await, Redeemed::Ended(Why::Reuse)));
    assert!(matches!(world.refresh(&second, Some(key(1))).await, Redeemed::Refused(Refusal::Cut(_))));
}

#[tokio::test]
async fn a_bearer_s_retry_is_given_within_its_window_and_ends_the_session_after() {
    let mut world = World::new().await;
    let first = token(&world.log_in(None).await);
    let second = token(&next(world.refresh(&first, None).await));
    world.wait(BEARER_RETRY);
    assert_eq!(token(&again(world.refresh(&first, None).await)), second);
    world.wait(Lifetime::millis(1));
    assert!(matches!(world.refresh(&first, None).await, Redeemed::Ended(Why::RetryTooLate)));
    assert!(matches!(world.refresh(&second, None).await, Redeemed::Refused(Refusal::Cut(_))));
    let cut = world.ledger().await.into_iter().find(|entry| entry.event == Event::Cut).unwrap();
    assert_eq!(cut.detail.find(&Key::REASON), Some(&"retry_too_late".into()), "and the ledger says why");
}

#[tokio::test]
async fn nobody_kills_a_session_by_naming_it() {
    let world = World::new().await;
    let other = world.change(add_org("other")).await.unwrap();
    let opened = world.log_in(Some(key(1))).await;
    let first = token(&opened);
    let forged_key = SessionKey::new(&hallpass_model::random::Seeded::new(1));
    let entries = world.ledger().await.len();
    for generation in [0, 1, 7, u64::MAX] {
        let forged = RefreshToken::render(&forged_key, opened.session.id, generation);
        for proof in [None, Some(key(1)), Some(key(2))] {
            let refused = world.refresh(forged.expose_text(), proof).await;
            assert!(matches!(refused, Redeemed::Refused(Refusal::Unknown)), "{refused:?}");
        }
    }
    let nowhere = RefreshToken::render(&forged_key, hallpass_model::id::SessionId::from_bytes([9; 16]), 0);
    assert!(matches!(world.refresh(nowhere.expose_text(), None).await, Redeemed::Refused(Refusal::Unknown)));
    assert_eq!(world.ledger().await.len(), entries, "nor does a stranger buy disk");

    let elsewhere = Redeem { org: other.org, ..world.redeem(&first, Some(key(2))) };
    assert!(matches!(world.change(elsewhere).await, Redeemed::Refused(Refusal::OtherOrg)));
    let another = Redeem { client: ClientId::from_bytes([1; 16]), ..world.redeem(&first, Some(key(2))) };
    assert!(matches!(world.change(another).await, Redeemed::Refused(Refusal::OtherClient)));
    next(world.refresh(&first, Some(key(1))).await);
}

#[tokio::test]
async fn out_of_the_grant_nothing_is_used_up_but_a_replay_is_still_known() {
    let world = World::new().await;
    let first = token(&world.log_in(Some(key(1))).await);
    let wide = Wanted { reach: Reach::Resource("https://else.example/".into()), ..Wanted::default() };
    let asked = Redeem { wanted: wide.clone(), ..world.redeem(&first, Some(key(1))) };
    assert!(matches!(world.change(asked).await, Redeemed::OutOfGrant(OutOfGrant::Resource)));
    let narrow = Wanted { scopes: Some(scopes("notes:read")), ..for_notes() };
    let asked = Redeem { wanted: narrow, ..world.redeem(&first, Some(key(1))) };
    let second = next(world.change(asked).await);
    assert_eq!(second.scopes, scopes("notes:read"));
    // The grant itself is not narrowed by asking for less once (RFC 6749, section 6).
    let third = next(
        world.change(Redeem { wanted: for_notes(), ..world.redeem(&token(&second), Some(key(1))) }).await,
    );
    assert_eq!(third.scopes, scopes("notes:read notes:write"));
    let replay = Redeem { wanted: wide, ..world.redeem(&first, Some(key(2))) };
    assert!(matches!(world.change(replay).await, Redeemed::Ended(Why::Reuse)));
}

#[tokio::test]
async fn many_retries_and_alternating_networks_are_signals_on_record() {
    let world = World::new().await;
    let first = token(&world.log_in(Some(key(1))).await);
    next(world.refresh(&first, Some(key(1))).await);
    for n in 1..=4 {
        let Redeemed::Again(_, signal) = world.refresh(&first, Some(key(1))).await else {
            panic!("not again")
        };
        assert_eq!(signal, (n > 3).then_some(Signal::ManyRetries));
    }
    let mut signals = Vec::new();
    for from in [2, 1] {
        let elsewhere = Redeem { from: Some(from), ..world.redeem(&first, Some(key(1))) };
        let Redeemed::Again(_, signal) = world.change(elsewhere).await else { panic!("not again") };
        signals.push(signal);
    }
    assert_eq!(signals[1], Some(Signal::AlternatingNetworks));
    let reasons: Vec<_> = world
        .ledger()
        .await
        .iter()
        .filter_map(|e| e.detail.find(&Key::REASON).map(ToString::to_string))
        .collect();
    assert!(
        reasons.contains(&"many_retries".into()) && reasons.contains(&"alternating_networks".into()),
        "{reasons:?}"
    );
}

#[tokio::test]
async fn a_session_ends_idle_and_ends_old() {
    let mut world = World::new().await;
    let idle = token(&world.log_in(Some(key(1))).await);
    world.wait(SESSION_IDLE);
    assert!(matches!(world.refresh(&idle, Some(key(1))).await, Redeemed::Refused(Refusal::Idle)));
    let opened = world.log_in(Some(key(1))).await;
    let mut held = token(&opened);
    while world.now < opened.session.expires - Lifetime::days(20) {
        world.wait(Lifetime::days(20));
        held = token(&next(world.refresh(&held, Some(key(1))).await));
    }
    world.now = opened.session.expires - Lifetime::millis(1);
    let last = next(world.refresh(&held, Some(key(1))).await);
    assert_eq!(last.expires, opened.session.expires, "no access token outlives its session");
    world.now = opened.session.expires;
    let over = world.refresh(&token(&last), Some(key(1))).await;
    assert!(matches!(over, Redeemed::Refused(Refusal::Expired)), "{over:?}");
}

#[tokio::test]
async fn whoever_shortens_a_life_shortens_those_that_are_being_lived() {
    let mut world = World::new().await;
    let shorten = |idle, absolute| SetOrgLimits {
        org: world.org,
        limits: OrgLimits { session_idle: idle, session_absolute: absolute, ..OrgLimits::default() },
    };
    let (to_an_hour, to_a_day, back) = (
        shorten(Some(Lifetime::hours(1)), None),
        shorten(None, Some(Lifetime::days(1))),
        shorten(None, None),
    );
    let opened = world.log_in(Some(key(1))).await;
    world.wait(Lifetime::minutes(50));
    let refreshed = next(world.refresh(&token(&opened), Some(key(1))).await);
    world.change(to_an_hour).await;
    world.wait(Lifetime::minutes(59));
    let refreshed = next(world.refresh(&token(&refreshed), Some(key(1))).await);
    assert_eq!(refreshed.session.idle_until, world.now + Lifetime::hours(1));
    world.wait(Lifetime::hours(1));
    let idle = world.refresh(&token(&refreshed), Some(key(1))).await;
    assert!(matches!(idle, Redeemed::Refused(Refusal::Idle)), "{idle:?}");
    let exchanged = world.change(crate::cuts::exchange(&world, &refreshed)).await;
    let Exchanged::Refused(why) = exchanged else { panic!("{exchanged:?}") };
    assert_eq!(why, Refusal::Idle.into());
    assert!(world.store.list_sessions_of(world.ada, None, 10, world.now).await.unwrap().items.is_empty());

    world.change(back).await;
    let opened = world.log_in(Some(key(1))).await;
    world.change(to_a_day).await;
    world.wait(Lifetime::minutes(24 * 60 - 2));
    let last = next(world.refresh(&token(&opened), Some(key(1))).await);
    assert_eq!(last.expires, opened.session.created + Lifetime::days(1), "no token outlives it either");
    // Given back while it lives, the time is there again: nothing was thrown away.
    world.change(back).await;
    let last = next(world.refresh(&token(&last), Some(key(1))).await);
    assert_eq!(last.session.expires, opened.session.expires);
    world.change(to_a_day).await;
    world.wait(Lifetime::minutes(2));
    let over = world.refresh(&token(&last), Some(key(1))).await;
    assert!(matches!(over, Redeemed::Refused(Refusal::Expired)), "{over:?}");
}

#[tokio::test]
async fn the_holder_of_a_session_that_was_cut_is_told_why() {
    let world = World::new().await;
    let first = token(&world.log_in(Some(key(1))).await);
    let second = token(&next(world.refresh(&first, Some(key(1))).await));
    let third = token(&next(world.refresh(&second, Some(key(1))).await));
    assert!(matches!(world.refresh(&first, Some(key(2))).await, Redeemed::Ended(Why::Reuse)));
    let told = world.refresh(&third, Some(key(1))).await;
    assert!(matches!(told, Redeemed::Refused(Refusal::Cut(Why::Reuse))), "{told:?}");
    // And so is its owner.
    let stolen = world.store.list_stolen_of(world.ada).await.unwrap();
    assert_eq!((stolen.len(), stolen[0].cut), (1, world.now));
    assert_eq!(stolen[0].summary.device.as_ref().unwrap().name, "ada-laptop");
}
