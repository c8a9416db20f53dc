//! One change that fails, panics or finds no room, among others.

use hallpass_model::ledger::{Actor, Event};
use hallpass_store::{AddPerson, Change, StoreError, Tx};

use crate::world::World;

/// Does all of another change, and then something goes wrong.
struct Half<C> {
    change: C,
    wrong: Wrong,
}

enum Wrong {
    Panics,
    Fails,
}

impl<C: Change> Change for Half<C> {
    type Outcome = ();

    fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let _done = self.change.apply(tx)?;
        match self.wrong {
            Wrong::Panics => panic!("a change that panics, on purpose"),
            Wrong::Fails => Err(StoreError::Backend("on purpose".into())),
        }
    }
}

/// Holds the writer until it is told to go on, so that a batch gathers behind it.
struct Hold(std::sync::mpsc::Receiver<()>);

impl Change for Hold {
    type Outcome = ();

    fn apply(self, _tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let _told = self.0.recv();
        Ok(())
    }
}

fn person(world: &World, n: usize) -> AddPerson {
    AddPerson { org: world.org, handle: format!("p{n}").parse().unwrap(), name: format!("Person {n}") }
}

#[tokio::test]
async fn what_fails_or_panics_is_undone_alone_and_its_neighbours_commit() {
    let world = World::new().await;
    let before = world.ledger().await.len();
    let (go, hold) = std::sync::mpsc::channel();
    let store = &world.store;
    let change = |n| store.change(Actor::Operator, world.now, person(&world, n));
    let half = |n, wrong| store.change(Actor::Operator, world.now, Half { change: person(&world, n), wrong });
    let told = async {
        // All of them stand in the queue once every other future was polled.
        tokio::task::yield_now().await;
        go.send(()).unwrap();
    };
    let (held, one, panicked, two, failed, three, ()) = tokio::join!(
        store.change(Actor::Operator, world.now, Hold(hold)),
        change(1),
        half(2, Wrong::Panics),
        change(3),
        half(4, Wrong::Fails),
        change(5),
        told,
    );
    held.unwrap();
    assert_eq!(panicked, Err(StoreError::Broken));
    assert_eq!(failed, Err(StoreError::Backend("on purpose".into())));
    for person in [one, two, three] {
        let person = person.unwrap().unwrap();
        assert!(store.find_person(person).await.unwrap().is_some());
    }
    for handle in ["p2", "p4"] {
        assert_eq!(store.find_person_by_handle(world.org, handle).await.unwrap(), None);
    }
    let entries = world.ledger().await;
    assert_eq!(entries.len(), before + 3);
    assert!(entries[before..].iter().all(|entry| entry.event == Event::Registered));
    assert!(
        entries.iter().enumerate().all(|(i, entry)| entry.seq == i as u64),
        "no gap where one was undone"
    );
    crate::ledger::verify(&world.store).await;
}

#[tokio::test]
async fn a_full_queue_is_busy_and_drains() {
    let world = World::new().await;
    let (go, hold) = std::sync::mpsc::channel();
    let mut waiting: Vec<_> = vec![tokio::spawn({
        let (store, now) = (world.store.clone(), world.now);
        async move { store.change(Actor::Operator, now, Hold(hold)).await }
    })];
    // More than the queue and the running batch can hold together.
    for n in 0..3_000 {
        let (store, now, add) = (world.store.clone(), world.now, person(&world, n));
        waiting.push(tokio::spawn(async move { store.change(Actor::Operator, now, add).await.map(|_| ()) }));
    }
    tokio::task::yield_now().await;
    go.send(()).unwrap();
    let (mut busy, mut done) = (0, 0);
    for change in waiting {
        match change.await.unwrap() {
            Ok(()) => done += 1,
            Err(StoreError::Busy) => busy += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(busy > 1_000 && done > 1_000, "{busy} busy, {done} done");
    world.store.change(Actor::Operator, world.now, person(&world, 9_999)).await.unwrap().unwrap();
}
