//! Lists of a person's sessions: none that lives is hidden, and every list ends.

use hallpass_model::cut::{Target, Why};
use hallpass_model::id::SessionId;
use hallpass_model::ledger::Actor;
use hallpass_store::{CodeIssued, CodeRedeemed, EndSession, MakeCut};

use crate::world::{World, key};

/// Logs in so many times, and gives the sessions.
async fn log_in(world: &World, times: usize) -> Vec<SessionId> {
    let mut logging_in = tokio::task::JoinSet::new();
    for _ in 0..times {
        let (store, now, issue) = (world.store.clone(), world.now, world.code());
        let redeem = |code| world.redeem_code(code);
        let CodeIssued::Issued { code, .. } = store.change(Actor::Nobody, now, issue).await.unwrap() else {
            panic!("no code")
        };
        let redeem = redeem(code);
        logging_in.spawn(async move { store.change(Actor::Nobody, now, redeem).await });
    }
    let mut sessions = Vec::new();
    while let Some(opened) = logging_in.join_next().await {
        let CodeRedeemed::Opened(opened) = opened.unwrap().unwrap() else { panic!("not opened") };
        sessions.push(opened.session.id);
    }
    sessions
}

async fn end(world: &World, sessions: &[SessionId]) {
    for session in sessions {
        let end = EndSession { org: world.org, session: *session, of: None, why: Why::EndedByPerson };
        world.change(end).await;
    }
}

/// Asks for page after page, and gives what came, and how often it asked.
async fn all(world: &World, limit: u32) -> (Vec<SessionId>, usize) {
    let (mut found, mut before, mut asked) = (Vec::new(), None, 0);
    loop {
        let page = world.store.list_sessions_of(world.ada, before, limit, world.now).await.unwrap();
        assert!(page.items.len() <= limit as usize);
        found.extend(page.items.iter().map(|summary| summary.session.id));
        asked += 1;
        assert!(asked < 1_000, "the list has no end");
        before = match page.next {
            None => return (found, asked),
            next => next,
        };
    }
}

#[tokio::test]
async fn sessions_that_ended_hide_none_that_lives_and_the_newest_come_first() {
    let mut world = World::new().await;
    let oldest = world.log_in(Some(key(1))).await.session.id;
    world.wait(hallpass_model::time::Lifetime::seconds(1));
    let ended = log_in(&world, 230).await;
    end(&world, &ended).await;
    world.wait(hallpass_model::time::Lifetime::seconds(1));
    let newest = world.log_in(Some(key(1))).await.session.id;
    let first = world.store.list_sessions_of(world.ada, None, 10, world.now).await.unwrap();
    let ids: Vec<_> = first.items.iter().map(|summary| summary.session.id).collect();
    assert_eq!((ids, first.next), (vec![newest, oldest], None), "on one page, though hundreds lie between");
    assert_eq!(all(&world, 1).await.0, [newest, oldest]);
}

#[tokio::test]
async fn a_list_of_nothing_but_ended_sessions_ends() {
    let world = World::new().await;
    // More than one read looks at, all of them ended by one cut.
    log_in(&world, 1_050).await;
    let cut = MakeCut { org: None, target: Target::Principal(world.ada), why: Why::EndedByAdministrator };
    world.change(cut).await;
    assert_eq!(all(&world, 500).await, (Vec::new(), 2));
}

#[tokio::test]
async fn page_after_page_every_session_comes_once() {
    let world = World::new().await;
    let mut sessions = log_in(&world, 25).await;
    sessions.sort_by_key(|id| std::cmp::Reverse(*id.bytes()));
    for limit in [1, 7, 25, 26] {
        assert_eq!(all(&world, limit).await.0, sessions, "{limit} at a time");
    }
}
