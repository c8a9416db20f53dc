//! Assertions, each good once: whatever is undone, fails, restarts or is tidied away in between.

use hallpass_model::ledger::Actor;
use hallpass_model::lifetimes::CLOCK_SKEW;
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_store::{Assertion, Change, SpendAssertion, StoreError, Tx};
use hallpass_testkit::disk;

use crate::world::World;

fn spend(world: &World, jti: &str, expires: Timestamp) -> SpendAssertion {
    SpendAssertion { org: world.org, client: world.cli, assertion: Assertion { jti: jti.into(), expires } }
}

/// Whether an assertion is taken, that is good for some minutes.
async fn is_taken(world: &World, jti: &str) -> bool {
    world.change(spend(world, jti, world.now + Lifetime::minutes(5))).await
}

/// Spends an assertion, and then fails.
struct Undone(SpendAssertion);

impl Change for Undone {
    type Outcome = ();

    fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let first = self.0.apply(tx)?;
        Err(StoreError::Backend(format!("on purpose, after {first}")))
    }
}

#[tokio::test]
async fn what_was_used_before_a_restart_was_used_after_it() {
    let world = World::new().await;
    assert!(is_taken(&world, "1").await);
    let world = world.reopen();
    assert!(!is_taken(&world, "1").await);
    assert!(is_taken(&world, "2").await);
    let world = world.reopen();
    assert!(!is_taken(&world, "1").await && !is_taken(&world, "2").await);
}

#[tokio::test]
async fn a_change_that_is_undone_used_nothing_and_its_neighbours_did() {
    let world = World::new().await;
    let until = world.now + Lifetime::minutes(5);
    let undone = || world.store.change(Actor::Nobody, world.now, Undone(spend(&world, "undone", until)));
    let used = |jti| world.store.change(Actor::Nobody, world.now, spend(&world, jti, until));
    let (before, failed, after) = tokio::join!(used("before"), undone(), used("after"));
    assert_eq!((before, after), (Ok(true), Ok(true)));
    assert_eq!(failed, Err(StoreError::Backend("on purpose, after true".into())));
    assert!(is_taken(&world, "undone").await);
    assert!(!is_taken(&world, "before").await && !is_taken(&world, "after").await);
    assert_eq!(undone().await, Err(StoreError::Backend("on purpose, after false".into())));
    assert!(!is_taken(&world, "undone").await, "what a change did not use, its undoing gives nobody back");
}

#[tokio::test]
async fn a_commit_that_finds_no_room_used_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = disk::place(folder.path());
    let data = place.data.clone();
    let world = World::at(place, folder).await;
    assert!(is_taken(&world, "before").await);
    disk::set_full(&data, true);
    let asked = spend(&world, "1", world.now + Lifetime::minutes(5));
    let refused = world.store.change(Actor::Nobody, world.now, asked).await;
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    disk::set_full(&data, false);
    assert!(is_taken(&world, "1").await, "whoever was told to try again may");
    assert!(!is_taken(&world, "1").await && !is_taken(&world, "before").await);
}

/// More than are looked at in one pass.
const MANY: i64 = 2_500;

#[tokio::test]
async fn each_is_forgotten_when_it_is_over_and_no_other_is() {
    let mut world = World::new().await;
    let start = world.now;
    // Every second one is of somebody whose tokens live for an hour.
    let until = |n: i64| start + if n % 2 == 0 { Lifetime::minutes(1) } else { Lifetime::hours(1) };
    let name = |n: i64| format!("{n}");
    for n in 0..MANY {
        assert!(world.change(spend(&world, &name(n), until(n))).await);
    }
    world.wait(Lifetime::minutes(1) + CLOCK_SKEW);
    assert_eq!(world.sweep().await, 0, "until then, and the clocks' difference");
    world.wait(Lifetime::millis(1));
    assert_eq!(world.sweep().await as i64, MANY / 2);
    let world = world.reopen();
    for n in 0..MANY {
        let taken = world.change(spend(&world, &name(n), until(n))).await;
        assert_eq!(taken, n % 2 == 0, "{n}");
    }
    let mut world = world;
    world.wait(Lifetime::hours(2));
    world.sweep().await;
    for n in 0..MANY {
        assert!(world.change(spend(&world, &name(n), world.now)).await, "{n}");
    }
}
