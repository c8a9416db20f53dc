//! Every kind of damage, done to a small ledger by hand, and what the check makes of it.

use std::collections::BTreeMap;
use std::slice;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::ledger::{BadEntry, Field, LedgerKey};
use crate::random::Seeded;

mod copy; // what is spoilt

use copy::*;

#[test]
fn a_sound_copy_is_sound_and_the_report_says_how_far_that_goes() {
    let copy = ledger(23);
    let since = copy.checkpoint(10);
    let report = copy.check(Given { since: Some(&since), ..Given::default() });
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!((report.entries, report.proven), (23, Some(20)));
    let mut frontier = Frontier::new();
    (0..23).for_each(|seq| frontier.append(entry(seq, "as it was").0.leaf_hash(), |_| {}));
    assert_eq!(report.root, Some(frontier.root()));
    assert_eq!(
        report.limits,
        [Limit::AfterOutside { first: 10 }, Limit::AfterNewest { first: 20 }, Limit::OnlyRecorded]
    );
    let bare = copy.check(Given { without_key: true, entries_alone: true, since: None });
    assert!(bare.is_sound());
    assert_eq!(
        bare.limits,
        [Limit::NoKey, Limit::NoOutside, Limit::AfterNewest { first: 20 }, Limit::OnlyRecorded]
    );
}

#[test]
fn all_is_proved_where_the_newest_checkpoint_was_kept_elsewhere() {
    let copy = ledger(20);
    let since = copy.checkpoint(20);
    let report = copy.check(Given { since: Some(&since), ..Given::default() });
    assert_eq!(
        (report.is_sound(), report.proven, report.limits),
        (true, Some(20), vec![Limit::OnlyRecorded])
    );
}

#[test]
fn an_empty_ledger_is_sound_and_proves_nothing() {
    let report = ledger(0).check(Given::default());
    assert_eq!((report.is_sound(), report.root, report.proven), (true, Some(Hash::EMPTY_TREE), None));
    assert!(report.limits.contains(&Limit::AfterNewest { first: 0 }));
}

#[test]
fn a_changed_entry_is_named() {
    for seq in 0..23 {
        let mut copy = ledger(23);
        copy.rows[seq as usize].1 = changed_leaf(seq);
        let (with, without) = copy.findings();
        assert_eq!(with, [Finding::Changed { seq }], "{seq}");
        // Without kept hashes the stretch between two checkpoints is named; after the last there is nothing to go by.
        let first = seq / EVERY * EVERY;
        let stretch = Finding::Rewritten { first, last: first + EVERY - 1 };
        assert_eq!(without, if seq < 20 { vec![stretch] } else { vec![] }, "{seq}");
    }
}

#[test]
fn several_changed_entries_are_each_named() {
    let mut copy = ledger(23);
    for seq in [2, 3, 11, 22] {
        copy.rows[seq as usize].1 = changed_leaf(seq);
    }
    let report = copy.check(Given::default());
    assert_eq!(report.findings, [2, 3, 11, 22].map(|seq| Finding::Changed { seq }));
    assert_eq!(report.proven, Some(20));
}

#[test]
fn a_change_that_took_the_kept_hash_along_is_bracketed_by_checkpoints() {
    let mut copy = ledger(23);
    copy.rows[7].1 = changed_leaf(7);
    copy.rehash();
    let report = copy.check(Given::default());
    assert_eq!(report.findings, [Finding::Rewritten { first: 5, last: 9 }]);
    assert_eq!(report.proven, Some(5));
    assert!(report.limits.contains(&Limit::Uncompared { first: 10, last: 22 }));
}

#[test]
fn a_change_after_the_newest_checkpoint_shows_at_the_kept_edge() {
    let mut copy = ledger(23);
    copy.rows[21].1 = changed_leaf(21);
    let edge = copy.edge.clone();
    copy.rehash();
    assert!(copy.check(Given::default()).is_sound(), "which is what the limits say");
    copy.edge = edge;
    assert_eq!(copy.check(Given::default()).findings, [Finding::EdgeDiffers { first: 20 }]);
    let mut copy = ledger(23);
    copy.edge = ledger(22).edge;
    assert!(copy.check(Given::default()).is_sound(), "an edge that lags is no damage to the entries");
}

#[test]
fn behind_damage_the_check_goes_on_from_the_kept_nodes() {
    let resumed = 1 << RESUME_LEVEL;
    // As a store keeps it: the hashes in the entries' rows, the nodes from the resume level up.
    let mut sound = ledger(2 * resumed + 50);
    sound.nodes.retain(|(level, _), _| *level >= RESUME_LEVEL);
    let change = |copy: &mut Copy, seq: u64| {
        copy.rows[seq as usize].1 = changed_leaf(seq);
        copy.hashes.insert(seq, Hash::of_leaf(&changed_leaf(seq)));
    };
    let remove = |copy: &mut Copy, seq: u64| {
        copy.rows.retain(|row| row.0 != seq);
        copy.hashes.remove(&seq);
    };

    let mut copy = sound.clone();
    change(&mut copy, 7);
    change(&mut copy, 301);
    let report = copy.check(Given::default());
    let stretches = [Finding::Rewritten { first: 5, last: 9 }, Finding::Rewritten { first: 300, last: 304 }];
    assert_eq!(report.findings, stretches);
    assert_eq!(report.proven, Some(5));
    assert!(report.limits.contains(&Limit::Uncompared { first: 10, last: 511 }), "{:?}", report.limits);

    let mut copy = sound.clone();
    change(&mut copy, 301);
    remove(&mut copy, 7);
    let report = copy.check(Given::default());
    assert_eq!(report.findings, [Finding::Removed { first: 7, last: 7 }, stretches[1].clone()]);
    assert_eq!(report.proven, Some(5), "as something is missing after that");
    assert!(report.limits.contains(&Limit::Uncompared { first: 5, last: 511 }), "{:?}", report.limits);

    // Nodes are as little to be believed as anything else in the copy.
    let mut copy = sound;
    remove(&mut copy, 7);
    copy.nodes.insert((RESUME_LEVEL, 0), Hash([1; 32]));
    let report = copy.check(Given::default());
    assert_eq!(
        report.findings,
        [Finding::Removed { first: 7, last: 7 }, Finding::Rewritten { first: 256, last: 259 }]
    );
}

#[test]
fn a_kept_hash_that_was_changed_is_told_from_a_changed_entry() {
    let mut copy = ledger(23);
    copy.hashes.insert(12, Hash([1; 32]));
    assert_eq!(copy.findings(), (vec![Finding::HashChanged { seq: 12 }], vec![]));
}

#[test]
fn a_kept_node_that_was_changed_or_is_missing_is_named_though_all_else_is_sound() {
    let node = (RESUME_LEVEL, 1);
    let named = Finding::NodeChanged { first: 256, last: 511 };
    // Under a checkpoint, and after the last one.
    for size in [600, 513] {
        let mut sound = ledger(size);
        sound.checkpoints.retain(|note| Checkpoint::read_unproven(note).unwrap().size != 515);
        assert!(sound.check(Given::default()).is_sound());
        let mut changed = sound.clone();
        changed.nodes.insert(node, Hash([1; 32]));
        assert_eq!(changed.findings(), (vec![named.clone()], vec![]), "{size}");
        let mut missing = sound.clone();
        missing.nodes.remove(&node);
        assert_eq!(missing.findings().0, slice::from_ref(&named), "{size}");
        // A node that is right is not blamed for an entry, or a kept hash, that is not.
        let mut copy = sound.clone();
        copy.rows[300].1 = changed_leaf(300);
        assert_eq!(copy.findings().0, [Finding::Changed { seq: 300 }], "{size}");
        let mut copy = sound;
        copy.hashes.insert(300, Hash([1; 32]));
        assert_eq!(copy.findings().0, [Finding::HashChanged { seq: 300 }], "{size}");
    }
}

#[test]
fn changed_entries_and_changed_hashes_are_told_apart_in_one_copy() {
    for (entry, hash) in [(3, 12), (12, 3)] {
        let mut copy = ledger(23);
        copy.rows[entry as usize].1 = changed_leaf(entry);
        copy.hashes.insert(hash, Hash([1; 32]));
        let mut findings = vec![Finding::Changed { seq: entry }, Finding::HashChanged { seq: hash }];
        findings.sort_by_key(Finding::place);
        let report = copy.check(Given::default());
        assert_eq!((report.findings, report.proven), (findings, Some(20)));
    }
}

#[test]
fn bytes_that_are_no_entry_are_named() {
    let mut copy = ledger(23);
    copy.rows[12].1 = b"{}".to_vec();
    let unreadable = Finding::Unreadable { seq: 12, why: BadEntry::Malformed };
    let (with, without) = copy.findings();
    assert_eq!(with, [unreadable.clone(), Finding::Changed { seq: 12 }]);
    assert_eq!(without, [Finding::Rewritten { first: 10, last: 14 }, unreadable]);
}

#[test]
fn removed_entries_are_named() {
    for (first, last) in [(0, 0), (7, 7), (8, 12), (19, 21)] {
        let mut copy = ledger(23);
        copy.rows.drain(first as usize..=last as usize);
        let removed = vec![Finding::Removed { first, last }];
        assert_eq!(copy.findings(), (removed.clone(), removed));
        // With the kept hashes the rest is compared all the same.
        assert_eq!(copy.check(Given::default()).proven, Some(20));
        let without = copy.check(Given { entries_alone: true, ..Given::default() });
        let skipped = Limit::Uncompared { first: first / EVERY * EVERY, last: 22 };
        assert!(without.limits.contains(&skipped), "{:?}", without.limits);
        // Damage after it is still found.
        copy.rows.last_mut().unwrap().1 = changed_leaf(22);
        assert_eq!(copy.findings().0, [Finding::Removed { first, last }, Finding::Changed { seq: 22 }]);
    }
}

#[test]
fn a_changed_entry_is_named_even_where_a_missing_one_keeps_roots_from_being_computed() {
    let mut copy = ledger(23);
    copy.rows[12].1 = changed_leaf(12);
    copy.rows.remove(7);
    copy.hashes.remove(&7);
    let report = copy.check(Given::default());
    assert_eq!(report.findings, [Finding::Removed { first: 7, last: 7 }, Finding::Changed { seq: 12 }]);
}

#[test]
fn removed_entries_are_named_even_if_the_rows_are_numbered_anew() {
    let mut copy = ledger(23);
    copy.rows.remove(15);
    copy.rows.drain(7..9);
    copy.renumber();
    let removed = [Finding::Removed { first: 7, last: 8 }, Finding::Removed { first: 15, last: 15 }];
    let (with, without) = copy.findings();
    assert_eq!(with, removed);
    assert_eq!(without[1..], removed);
    assert_eq!(without[0], Finding::Rewritten { first: 5, last: 9 });
}

#[test]
fn entries_dropped_from_the_end_are_named() {
    let mut copy = ledger(23);
    copy.rows.truncate(18);
    // The kept hashes know of all; the checkpoint only of those it was over.
    let known = |last| vec![Finding::Dropped { first: 18, last }];
    assert_eq!(copy.findings(), (known(22), known(19)));
    assert_eq!(copy.check(Given::default()).root, None);
}

#[test]
fn an_end_cut_off_with_all_its_traces_is_seen_only_from_outside() {
    let outside = ledger(23).checkpoint(20);
    let copy = ledger(13);
    let alone = copy.check(Given::default());
    assert!(alone.is_sound() && alone.limits.contains(&Limit::NoOutside));
    let report = copy.check(Given { since: Some(&outside), ..Given::default() });
    assert_eq!(report.findings, [Finding::Dropped { first: 13, last: 19 }]);
}

#[test]
fn reordered_entries_are_named() {
    // Two rows changed places and kept their numbers.
    let mut copy = ledger(23);
    copy.rows.swap(7, 8);
    copy.renumber();
    let moved = [Finding::Moved { first: 7, last: 7, by: 1 }, Finding::Moved { first: 8, last: 8, by: -1 }];
    let (with, without) = copy.findings();
    assert_eq!(with, moved);
    assert_eq!(without[0], Finding::Rewritten { first: 5, last: 9 });
    assert_eq!(without[1..], moved);

    // The entries' own numbers were changed to fit: now both differ from what was recorded.
    let mut copy = ledger(23);
    let (mut seventh, mut eighth) = (entry(7, "as it was").0, entry(8, "as it was").0);
    (seventh.seq, eighth.seq) = (8, 7);
    copy.rows[7] = (7, eighth.to_text().into_bytes(), None);
    copy.rows[8] = (8, seventh.to_text().into_bytes(), copy.rows[7].2.take());
    let report = copy.check(Given::default());
    let named: Vec<_> = report.findings.iter().filter(|f| matches!(f, Finding::Changed { .. })).collect();
    assert_eq!(named, [&Finding::Changed { seq: 7 }, &Finding::Changed { seq: 8 }]);

    // The rows come in another order.
    let mut copy = ledger(23);
    copy.rows.swap(3, 4);
    assert_eq!(copy.findings(), (vec![Finding::Late { seq: 3 }], vec![Finding::Late { seq: 3 }]));
}

#[test]
fn an_added_entry_is_named() {
    // Put between, the others pushed on.
    let mut copy = ledger(23);
    copy.rows.insert(9, (0, changed_leaf(9), None));
    copy.renumber();
    let (with, without) = copy.findings();
    assert!(
        with.contains(&Finding::Changed { seq: 9 }) && with.contains(&Finding::Repeated { seq: 9 }),
        "{with:?}"
    );
    assert!(with.contains(&Finding::Moved { first: 10, last: 23, by: -1 }), "{with:?}");
    assert!(without.contains(&Finding::Rewritten { first: 5, last: 9 }), "{without:?}");

    // The same row twice.
    let mut copy = ledger(23);
    copy.rows.insert(9, copy.rows[8].clone());
    assert_eq!(copy.findings(), (vec![Finding::Repeated { seq: 8 }], vec![Finding::Repeated { seq: 8 }]));
}

#[test]
fn a_history_written_anew_without_the_key_is_seen_by_any_checkpoint() {
    let truth = ledger(23);
    let mut forged = written((0..23).map(|seq| entry(seq, if seq == 3 { "another" } else { "as it was" })));
    forged.checkpoints = truth.checkpoints.clone();
    assert_eq!(forged.check(Given::default()).findings, [Finding::Rewritten { first: 0, last: 4 }]);
    // With the copy's checkpoints gone too, only one kept elsewhere can tell.
    forged.checkpoints.clear();
    let alone = forged.check(Given::default());
    assert!(alone.is_sound());
    assert_eq!(alone.limits, [Limit::NoOutside, Limit::AfterNewest { first: 0 }, Limit::OnlyRecorded]);
    let outside = truth.checkpoint(15);
    let report = forged.check(Given { since: Some(&outside), ..Given::default() });
    assert_eq!(report.findings, [Finding::Rewritten { first: 0, last: 14 }]);
}

#[test]
fn a_history_written_anew_with_the_key_is_seen_only_from_outside() {
    let outside = ledger(23).checkpoint(15);
    let forged = written((0..23).map(|seq| entry(seq, if seq == 12 { "another" } else { "as it was" })));
    let alone = forged.check(Given::default());
    assert!(alone.is_sound() && alone.limits.contains(&Limit::NoOutside));
    let report = forged.check(Given { since: Some(&outside), ..Given::default() });
    assert_eq!(
        report.findings,
        [Finding::Rewritten { first: 10, last: 14 }, Finding::TwoHistories { other: 15, this: 15 }]
    );
    assert_eq!(report.proven, Some(10));
    assert!(
        !report.limits.iter().any(|limit| matches!(limit, Limit::Uncompared { .. })),
        "{:?}",
        report.limits
    );
    // The other way round: a checkpoint of the false history lies in the true copy.
    let mut copy = ledger(23);
    copy.checkpoints.insert(3, forged.checkpoint(15));
    assert_eq!(copy.check(Given::default()).findings, [Finding::TwoHistories { other: 15, this: 15 }]);
}

#[test]
fn personal_fields_that_were_changed_or_added_are_named_and_erased_ones_are_not() {
    let mut copy = ledger(23);
    copy.rows[4].2 = Some(Personal::new(&Seeded::new(4)).with(Field::Purpose, "to sea").to_bytes());
    copy.rows[5].2 = copy.rows[4].2.clone();
    copy.rows[7].2 = Some(b"garbage".to_vec());
    copy.rows[10].2 = None;
    copy.rows[13].2 = None;
    let report = copy.check(Given::default());
    assert_eq!(
        report.findings,
        [
            Finding::PersonalChanged { seq: 4 },
            Finding::PersonalAdded { seq: 5 },
            Finding::PersonalChanged { seq: 7 }
        ]
    );
    assert!(report.limits.contains(&Limit::Erased { entries: 2 }));
    assert_eq!(report.proven, Some(20), "the leaves hold");
}

#[test]
fn a_stored_checkpoint_that_is_forged_foreign_or_out_of_order_is_named() {
    let mut copy = ledger(23);
    let other = LedgerKey::generate("example.com/other", &Seeded::new(2)).unwrap();
    copy.checkpoints.insert(1, Checkpoint::of(&other, &Frontier::new()).sign(&other));
    copy.checkpoints[2] = copy.checkpoints[2].replacen("\n10\n", "\n11\n", 1);
    copy.checkpoints.push(copy.checkpoints[0].clone());
    copy.checkpoints.push("no note".into());
    let report = copy.check(Given::default());
    let bad = |index, why| Finding::BadCheckpoint { index, why };
    assert_eq!(
        report.findings,
        [
            bad(1, BadCheckpoint::OtherLedger { origin: "example.com/other".into() }),
            bad(2, BadCheckpoint::Forged),
            bad(5, OUT_OF_ORDER),
            bad(6, BadCheckpoint::Malformed("it has no signatures")),
        ]
    );
    assert_eq!(report.proven, Some(20));
}

#[test]
fn an_outside_checkpoint_that_the_key_did_not_sign_is_refused() {
    let forger = LedgerKey::generate("example.com/ledger", &Seeded::new(2)).unwrap();
    let note = Checkpoint::of(&forger, &Frontier::new()).sign(&forger);
    let refused = Check::new(Some(key().verifier())).since(&note).err();
    assert_eq!(refused, Some(BadCheckpoint::Unsigned));
}

#[test]
fn what_a_newer_version_wrote_is_hashed_and_not_blamed() {
    let mut copy = ledger(0);
    let mut frontier = Frontier::new();
    for seq in 0..10 {
        let leaf = entry(seq, "as it was").0.to_text();
        let leaf = if seq == 4 { leaf.replace("\"v\":1", "\"v\":2") } else { leaf }.into_bytes();
        frontier.append(Hash::of_leaf(&leaf), |_| {});
        copy.rows.push((seq, leaf, entry(seq, "as it was").1.map(|personal| personal.to_bytes())));
    }
    copy.rehash();
    copy.checkpoints.push(signed(&frontier));
    let report = copy.check(Given::default());
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(report.proven, Some(10));
    assert!(report.limits.contains(&Limit::Newer { first: 4 }));
}

#[test]
fn the_memory_a_hostile_copy_can_take_is_bounded() {
    let mut check = Check::new(None).nodes(|_, _| None);
    for n in 0..20_000u64 {
        check.row(Row { seq: n * 3, leaf: b"nonsense", personal: None });
    }
    assert!(check.gaps.len() <= Report::NAMED_MAX);
    let report = check.finish();
    assert_eq!(report.findings.len(), Report::NAMED_MAX);
    assert!(report.unnamed > 30_000);
    let mut check = Check::new(None);
    for seq in [u64::MAX, 0, u64::MAX, 1 << 63] {
        check.row(Row { seq, leaf: b"", personal: None });
    }
    assert!(!check.finish().is_sound());
}

#[test]
fn every_finding_and_limit_is_a_plain_line() {
    let lines = [
        Finding::Removed { first: 7, last: 7 }.to_string(),
        Finding::Dropped { first: 18, last: 22 }.to_string(),
        Finding::Moved { first: 7, last: 8, by: 2 }.to_string(),
        Finding::Rewritten { first: 5, last: 9 }.to_string(),
        Finding::NodeChanged { first: 256, last: 511 }.to_string(),
        Limit::Erased { entries: 1 }.to_string(),
    ];
    assert_eq!(
        lines,
        [
            "entry 7 was removed",
            "entries 18 to 22 were dropped from the end",
            "entries 9 to 10 stand in the places of 7 to 8",
            "of entries 5 to 9 one or more were changed, added or removed: a signed checkpoint over 10 entries disagrees",
            "the stored node of the tree over entries 256 to 511 is missing or was changed; the entries were not",
            "the personal fields of 1 entry are gone (erased): the rest of it holds, what they said cannot be proved",
        ]
    );
}

/// The sound ledger that each case starts from; signing it anew each time would take most of the time.
static SOUND: LazyLock<Copy> = LazyLock::new(|| ledger(25));

/// One act of damage on it.
#[derive(Debug, Clone)]
enum Damage {
    Change(usize),
    Remove(usize),
    Swap(usize, usize),
    Repeat(usize),
    Flip(usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (0..20usize).prop_map(Damage::Change),
        (0..20usize).prop_map(Damage::Remove),
        (0..20usize, 0..20usize).prop_filter("two", |(a, b)| a != b).prop_map(|(a, b)| Damage::Swap(a, b)),
        (0..20usize).prop_map(Damage::Repeat),
        (0..20usize, any::<usize>()).prop_map(|(row, byte)| Damage::Flip(row, byte)),
    ]
}

proptest! {
    #[test]
    fn no_damage_under_a_checkpoint_goes_unseen(damage in damage(), renumber: bool, rehash: bool, hashes: bool) {
        let mut copy = SOUND.clone();
        match damage {
            Damage::Change(row) => copy.rows[row].1 = changed_leaf(row as u64),
            Damage::Remove(row) => drop(copy.rows.remove(row)),
            Damage::Swap(a, b) => copy.rows.swap(a, b),
            Damage::Repeat(row) => copy.rows.insert(row, copy.rows[row].clone()),
            Damage::Flip(row, byte) => {
                let leaf = &mut copy.rows[row].1;
                let at = byte % leaf.len();
                leaf[at] ^= 1;
            }
        }
        if renumber {
            copy.renumber();
        }
        if rehash {
            copy.rehash();
        }
        let report = copy.check(Given { entries_alone: !hashes, ..Given::default() });
        prop_assert!(!report.is_sound());
    }

    #[test]
    fn no_copy_panics(
        rows in proptest::collection::vec((any::<u64>(), 0..30u64, 0..4u8), 0..40),
        hashes in proptest::collection::btree_map(0..30u64, any::<[u8; 32]>(), 0..30),
        notes in proptest::collection::vec(0..5usize, 0..6),
    ) {
        let hashes: BTreeMap<u64, Hash> = hashes.into_iter().map(|(seq, hash)| (seq, Hash(hash))).collect();
        let mut check = Check::new(Some(key().verifier()))
            .stored(notes.iter().map(|at| SOUND.checkpoints[*at].clone()))
            .nodes(|level, index| hashes.get(&(u64::from(level) << 3 | index)).copied());
        for (noise, seq, how) in rows {
            let row = if how == 0 { noise } else { seq };
            let leaf = if how == 1 { vec![noise as u8; 3] } else { entry(if how == 2 { noise >> 1 } else { seq }, "x").0.to_text().into_bytes() };
            check.row(Row { seq: row, leaf: &leaf, personal: None });
        }
        let report = check.finish();
        for finding in &report.findings {
            let _ = finding.to_string();
        }
    }
}
