//! Rows and record agree; proofs; erasing; a copy verified offline.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hallpass_model::ledger::merkle::{verify_consistency, verify_inclusion};
use hallpass_model::ledger::{Actor, Checkpoint, Event, Field, Hash, VerifierKey};
use hallpass_model::time::Lifetime;
use hallpass_store::{AddPerson, Filter, LedgerCopy, Store, Verified};

use crate::world::{World, add_org, key, next, token};

/// Everything that the ledger of an open store promises of itself.
pub(crate) async fn verify(store: &Store) {
    let note = store.ledger_checkpoint(crate::world::START).await.unwrap();
    let checkpoint = Checkpoint::open(&note, &store.ledger_verifier()).unwrap();
    let mut from = 0;
    loop {
        let page = store.list_ledger(&Filter::default(), from, 1_000).await.unwrap();
        for row in &page.items {
            assert_eq!(row.seq, from, "no gap");
            assert_eq!(row.entry().unwrap().seq, row.seq);
            assert_eq!(Hash::of_leaf(row.leaf.as_bytes()), row.hash);
            assert_eq!(row.entry().unwrap().personal, row.personal.as_ref().map(|p| p.commitment()));
            from += 1;
        }
        if !page.more {
            break;
        }
    }
    assert_eq!(from, checkpoint.size, "every entry is in the tree");
    if let Some(last) = from.checked_sub(1) {
        let proof = store.ledger_inclusion(last, from).await.unwrap().unwrap();
        let leaf = store.list_ledger(&Filter::default(), last, 1).await.unwrap().items[0].hash;
        verify_inclusion(&leaf, last, from, &proof, &checkpoint.root).unwrap();
    }
}

/// What an offline check of this file says.
pub(crate) fn verify_copy(file: &Path, key: VerifierKey, since: Option<&str>) -> Verified {
    LedgerCopy::open(file).unwrap().verify(Some(key), since).unwrap()
}

/// The signed notes that a database holds, smallest first.
pub(crate) fn checkpoints(database: &Path) -> Vec<String> {
    let db = rusqlite::Connection::open(database).unwrap();
    let mut notes = db.prepare("SELECT note FROM checkpoints ORDER BY size").unwrap();
    notes.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// So many people join, many in one commit.
async fn grow(world: &World, names: std::ops::Range<usize>) {
    let mut joining = tokio::task::JoinSet::new();
    for n in names {
        let (store, now, org) = (world.store.clone(), world.now, world.org);
        let add = AddPerson { org, handle: format!("p{n}").parse().unwrap(), name: "P".into() };
        joining.spawn(async move { store.change(Actor::Operator, now, add).await });
        if joining.len() >= 500 {
            joining.join_next().await.unwrap().unwrap().unwrap().unwrap();
        }
    }
    while let Some(joined) = joining.join_next().await {
        joined.unwrap().unwrap().unwrap();
    }
}

#[tokio::test]
async fn every_size_s_proofs_hold_across_the_levels_that_are_kept_and_those_that_are_not() {
    let world = World::new().await;
    grow(&world, 0..600).await;
    let note = world.store.ledger_checkpoint(world.now).await.unwrap();
    let checkpoint = Checkpoint::open(&note, &world.store.ledger_verifier()).unwrap();
    let size = checkpoint.size;
    assert!(size > 600);
    let rows = world.store.list_ledger(&Filter::default(), 0, 1_000).await.unwrap().items;
    for seq in [0, 1, 254, 255, 256, 257, 511, 512, size - 1] {
        let proof = world.store.ledger_inclusion(seq, size).await.unwrap().unwrap();
        verify_inclusion(&rows[seq as usize].hash, seq, size, &proof, &checkpoint.root).unwrap();
        // The roots of earlier sizes, computed anew from the leaves.
        let mut tree = hallpass_model::ledger::Frontier::new();
        rows[..=seq as usize].iter().for_each(|row| tree.append(row.hash, |_| ()));
        let proof = world.store.ledger_consistency(seq + 1, size).await.unwrap().unwrap();
        verify_consistency(seq + 1, &tree.root(), size, &checkpoint.root, &proof).unwrap();
    }
    assert_eq!(world.store.ledger_inclusion(size, size).await.unwrap(), None);
    assert_eq!(world.store.ledger_inclusion(0, size + 1).await.unwrap(), None);
    assert_eq!(world.store.ledger_consistency(size + 1, size + 2).await.unwrap(), None);
    verify(&world.store).await;
}

#[tokio::test]
async fn checkpoints_are_signed_on_the_way_and_at_the_end_and_a_copy_verifies_offline() {
    let world = World::new().await;
    grow(&world, 0..1_100).await;
    let database = world.folder.path().join("data/hallpass.db");
    let kept = checkpoints(&database);
    assert_eq!(kept.len(), 1, "one on the way");
    let kept = &kept[0];
    let key = world.store.ledger_verifier();
    let size = world.store.ledger_size().await.unwrap();
    // Under a server that writes, and after it has ended.
    assert!(verify_copy(&database, key.clone(), Some(kept)).is_sound());
    drop(world.store);
    let report = verify_copy(&database, key.clone(), Some(kept));
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.report.entries, report.report.proven), (size, Some(size)), "signed at the end");

    let sql = |text: &str| {
        let db = rusqlite::Connection::open(&database).unwrap();
        db.execute_batch(&format!("PRAGMA foreign_keys = OFF; {text}")).unwrap();
    };
    sql("UPDATE ledger SET leaf = replace(leaf, 'registered', 'recovered!') WHERE seq = 500");
    let report = verify_copy(&database, key.clone(), Some(kept));
    let changed = |f: &hallpass_model::ledger::Finding| {
        matches!(f, hallpass_model::ledger::Finding::Changed { seq: 500 })
    };
    assert!(report.report.findings.iter().any(changed), "{report:?}");
    sql("DELETE FROM ledger WHERE seq > 900");
    assert!(!verify_copy(&database, key, Some(kept)).is_sound());
    assert!(LedgerCopy::open(&world.folder.path().join("nothing")).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_is_sound_while_a_server_writes_to_it() {
    let world = World::new().await;
    grow(&world, 0..600).await;
    let database = world.folder.path().join("data/hallpass.db");
    let key = world.store.ledger_verifier();
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (store, now, org, stop) = (world.store.clone(), world.now, world.org, Arc::clone(&stop));
        async move {
            for n in 0.. {
                let add = AddPerson { org, handle: format!("w{n}").parse().unwrap(), name: "P".into() };
                store.change(Actor::Operator, now, add).await.unwrap().unwrap();
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        }
    });
    for _ in 0..10 {
        let report = verify_copy(&database, key.clone(), None);
        assert!(report.is_sound(), "{report:?}");
    }
    stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();
}

#[tokio::test]
async fn since_finds_what_a_clock_that_went_back_left_out_of_order() {
    let mut world = World::new().await;
    world.wait(Lifetime::hours(1));
    grow(&world, 0..100).await;
    world.now = crate::world::START;
    grow(&world, 100..300).await;
    let later = Filter { since: Some(world.now + Lifetime::minutes(30)), ..Filter::default() };
    assert_eq!(world.store.list_ledger(&later, 0, 1_000).await.unwrap().items.len(), 100);
}

#[tokio::test]
async fn a_list_goes_on_over_many_steps_and_stops_at_its_page() {
    let world = World::new().await;
    grow(&world, 0..10_100).await;
    let other = world.change(add_org("other")).await.unwrap();
    let of_other = Filter { org: Some(other.org), ..Filter::default() };
    let page = world.store.list_ledger(&of_other, 0, 1).await.unwrap();
    assert!(page.items[0].seq > 10_100 && page.more, "{page:?}");
    let rest = world.store.list_ledger(&of_other, page.items[0].seq + 1, 100).await.unwrap();
    assert!(!rest.items.is_empty() && !rest.more);
}

#[tokio::test]
async fn what_is_personal_can_be_erased_and_the_leaves_stand() {
    let world = World::new().await;
    let opened = world.log_in(Some(key(1))).await;
    next(world.refresh(&token(&opened), Some(key(1))).await);
    let of_ada = Filter { principal: Some(world.ada), ..Filter::default() };
    let before = world.store.list_ledger(&of_ada, 0, 100).await.unwrap().items;
    let personal =
        |rows: &[hallpass_store::LedgerEntry]| rows.iter().filter(|row| row.personal.is_some()).count();
    assert!(personal(&before) >= 4);
    let erased = world.store.erase_personal(Actor::Operator, world.now, world.org, world.ada).await.unwrap();
    assert_eq!(erased, personal(&before) as u64);
    let after = world.store.list_ledger(&of_ada, 0, 100).await.unwrap().items;
    assert_eq!(personal(&after), 0);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((before.seq, &before.leaf, before.hash), (after.seq, &after.leaf, after.hash));
    }
    assert_eq!(after.last().unwrap().entry().unwrap().event, Event::Erased);
    let database = world.folder.path().join("data/hallpass.db");
    let key = world.store.ledger_verifier();
    drop(world.store);
    assert!(verify_copy(&database, key, None).is_sound(), "erasing is no damage");
    let bytes = std::fs::read(&database).unwrap();
    // The directory still names her; her machine's and purpose's words are gone from the ledger, freed pages too.
    let purposes = bytes.windows(15).filter(|at| *at == b"write the notes").count();
    let rows = rusqlite::Connection::open(&database).unwrap();
    let kept: i64 = rows.query_row("SELECT count(*) FROM sessions", (), |row| row.get(0)).unwrap();
    let codes: i64 = rows.query_row("SELECT count(*) FROM codes", (), |row| row.get(0)).unwrap();
    assert_eq!(purposes as i64, kept + codes, "only where it is still needed");
}

#[tokio::test]
async fn entries_are_found_by_what_they_are_about() {
    let mut world = World::new().await;
    let other = world.change(add_org("other")).await.unwrap();
    let one = world.log_in(Some(key(1))).await;
    world.wait(Lifetime::hours(1));
    let two = world.log_in(Some(key(2))).await;
    next(world.refresh(&token(&two), Some(key(2))).await);
    let find = async |filter: Filter| {
        let rows = world.store.list_ledger(&filter, 0, 100).await.unwrap().items;
        rows.iter().map(|row| row.entry().unwrap()).collect::<Vec<_>>()
    };
    let all = find(Filter::default()).await;
    let none = Filter::default();
    let expect = [
        (Filter { org: Some(other.org), ..none }, all.iter().filter(|e| e.org == Some(other.org)).count()),
        (
            Filter { principal: Some(world.ada), ..none },
            all.iter().filter(|e| e.principal == Some(world.ada)).count(),
        ),
        (
            Filter { client: Some(world.cli), ..none },
            all.iter().filter(|e| e.client == Some(world.cli)).count(),
        ),
        (Filter { device: one.session.device, ..none }, all.iter().filter(|e| e.device.is_some()).count()),
        (Filter { session: Some(two.session.id), ..none }, 2),
        (Filter { event: Some(Event::Issued), ..none }, 2),
        (Filter { event: Some(Event::Issued), session: Some(one.session.id), ..none }, 1),
        (Filter { since: Some(world.now), ..none }, all.iter().filter(|e| e.at >= world.now).count()),
        (Filter { since: Some(world.now + Lifetime::millis(1)), ..none }, 0),
    ];
    for (filter, count) in expect {
        let found = find(filter.clone()).await;
        assert_eq!(found.len(), count, "{filter:?}");
        assert!(count == 0 || found.len() < all.len(), "{filter:?} says something");
    }
    let row =
        &world.store.list_ledger(&Filter { session: Some(two.session.id), ..none }, 0, 1).await.unwrap();
    assert!(row.more, "by pages");
    assert_eq!(row.items[0].personal.as_ref().unwrap().find(Field::Address), Some("203.0.113.7"));
}

#[tokio::test]
async fn entries_are_read_newest_first_and_by_pages_as_they_are_oldest_first() {
    let mut world = World::new().await;
    world.change(add_org("other")).await.unwrap();
    let one = world.log_in(Some(key(1))).await;
    world.wait(Lifetime::hours(1));
    let two = world.log_in(Some(key(2))).await;
    next(world.refresh(&token(&two), Some(key(2))).await);
    let none = Filter::default();
    for filter in [
        none.clone(),
        Filter { principal: Some(world.ada), ..none },
        Filter { session: Some(one.session.id), ..none },
        Filter { event: Some(Event::Issued), ..none },
        Filter { client: Some(world.cli), since: Some(world.now), ..none },
    ] {
        let mut forward = world.store.list_ledger(&filter, 0, 1_000).await.unwrap().items;
        forward.reverse();
        assert!(!forward.is_empty(), "{filter:?}");
        for limit in [1, 2, 1_000] {
            let (mut back, mut before) = (Vec::new(), None);
            loop {
                let looked = world.store.list_ledger_back(&filter, before, limit).await.unwrap();
                assert!(looked.items.len() <= limit as usize);
                back.extend(looked.items);
                before = looked.next;
                if before.is_none() {
                    break;
                }
            }
            assert_eq!(back, forward, "{filter:?} by {limit}");
        }
    }
}

/// However long the ledger is and however little of it fits: a page says where to go on, and is not looked for to the end.
#[tokio::test]
async fn a_page_back_looks_at_so_many_entries_and_no_more() {
    let world = World::new().await;
    grow(&world, 0..22_000).await;
    let none = Filter { org: Some(hallpass_model::id::OrgId::from_bytes([7; 16])), ..Filter::default() };
    let looked = world.store.list_ledger_back(&none, None, 100).await.unwrap();
    let size = world.store.ledger_size().await.unwrap();
    assert_eq!((looked.items.len(), looked.next), (0, Some(size - 20_000)));
    let looked = world.store.list_ledger_back(&none, looked.next, 100).await.unwrap();
    assert_eq!((looked.items.len(), looked.next), (0, None));
}

#[tokio::test]
async fn whoever_follows_hears_how_far_the_ledger_has_grown() {
    let world = World::new().await;
    let mut size = world.store.ledger_follow();
    let before = *size.borrow_and_update();
    assert_eq!(before, world.store.ledger_size().await.unwrap());
    world.change(add_org("other")).await.unwrap();
    size.changed().await.unwrap();
    assert_eq!(*size.borrow(), world.store.ledger_size().await.unwrap());
}
