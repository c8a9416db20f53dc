//! Proofs, whole and bent.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::ledger::{Actor, Event, Frontier, LedgerKey, merkle};
use crate::random::Seeded;
use crate::time::Timestamp;

/// A tree of so many entries: what proofs are made of.
struct Tree {
    leaves: Vec<Vec<u8>>,
    nodes: BTreeMap<(u8, u64), Hash>,
    /// A signed checkpoint of each size, from none.
    notes: Vec<String>,
}

fn key() -> LedgerKey {
    LedgerKey::generate("example.com/ledger", &Seeded::new(1)).unwrap()
}

fn tree(size: u64) -> Tree {
    let (mut edge, mut nodes) = (Frontier::new(), BTreeMap::new());
    let mut notes = vec![Checkpoint::of(&key(), &edge).sign(&key())];
    let leaves = (0..size).map(|seq| {
        let at = Timestamp::from_millis(1_790_000_000_000);
        let leaf = Entry { seq, ..Entry::new(Event::Issued, at, Actor::System) }.to_text().into_bytes();
        edge.append(Hash::of_leaf(&leaf), |node| nodes.extend([((node.level, node.index), node.hash)]));
        notes.push(Checkpoint::of(&key(), &edge).sign(&key()));
        leaf
    });
    let leaves = leaves.collect();
    Tree { leaves, nodes, notes }
}

impl Tree {
    fn entry(&self, index: u64, size: u64) -> EntryProof {
        let node = |level, index| self.nodes.get(&(level, index)).copied();
        let path = merkle::inclusion(index, size, node).unwrap();
        let (leaf, note) = (self.leaves[index as usize].clone(), self.notes[size as usize].clone());
        EntryProof { index, leaf, path, note }
    }

    fn growth(&self, old: u64, new: u64) -> GrowthProof {
        let node = |level, index| self.nodes.get(&(level, index)).copied();
        let path = merkle::consistency(old, new, node).unwrap();
        GrowthProof { old, path, note: self.notes[new as usize].clone() }
    }
}

#[test]
fn every_proof_reads_back_and_proves_by_the_key_alone() {
    let tree = tree(13);
    let verifier = key().verifier();
    for new in 1..=13 {
        for old in 0..=new {
            let proof = tree.growth(old, new);
            assert_eq!(Proof::parse(&proof.render()), Ok(Proof::Growth(proof.clone())));
            assert_eq!(proof.verify(&verifier, &tree.notes[old as usize]).unwrap().size, new);
        }
        for index in 0..new {
            let proof = tree.entry(index, new);
            assert_eq!(Proof::parse(&proof.render()), Ok(Proof::Entry(proof.clone())));
            assert_eq!(proof.verify(&verifier).unwrap().size, new);
        }
    }
}

#[test]
fn the_form_is_that_of_c2sp() {
    let tree = tree(2);
    let (leaf, sibling) = (STANDARD.encode(&tree.leaves[1]), STANDARD.encode(tree.nodes[&(0, 0)].0));
    let note = &tree.notes[2];
    assert_eq!(
        tree.entry(1, 2).render(),
        format!("c2sp.org/tlog-proof@v1\nextra {leaf}\nindex 1\n{sibling}\n\n{note}")
    );
    let other = STANDARD.encode(tree.nodes[&(0, 1)].0);
    assert_eq!(tree.growth(1, 2).render(), format!("old 1\n{other}\n\n{note}"));
}

#[test]
fn a_proof_that_was_changed_anywhere_proves_nothing() {
    let tree = tree(11);
    let verifier = key().verifier();
    let proves = |text: &str| match Proof::parse(text) {
        Ok(Proof::Entry(proof)) => proof.verify(&verifier).is_ok(),
        Ok(Proof::Growth(proof)) => proof.verify(&verifier, &tree.notes[5]).is_ok(),
        Err(_) => false,
    };
    for text in [tree.entry(6, 11).render(), tree.growth(5, 11).render()] {
        assert!(proves(&text));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(bent) = String::from_utf8(bytes) {
                assert!(!proves(&bent), "{bent}");
            }
            assert!(!text.get(..at).is_some_and(proves), "cut at {at}");
        }
    }
}

#[test]
fn a_proof_that_starts_elsewhere_or_is_by_another_key_is_refused_as_such() {
    let tree = tree(9);
    let verifier = key().verifier();
    let proof = tree.growth(4, 9);
    assert_eq!(proof.verify(&verifier, &tree.notes[5]), Err(NotProven::OtherStart { old: 4, given: 5 }));
    let other = LedgerKey::generate("example.com/ledger", &Seeded::new(2)).unwrap();
    let unsigned = NotProven::Checkpoint(BadCheckpoint::Unsigned);
    assert_eq!(tree.entry(4, 9).verify(&other.verifier()), Err(unsigned.clone()));
    // An earlier checkpoint that the key never signed proves nothing either.
    let forged = Checkpoint { origin: other.name().into(), size: 4, root: tree.nodes[&(2, 0)] }.sign(&other);
    assert_eq!(proof.verify(&verifier, &forged), Err(unsigned));
    // An entry in a place that is not its own: whoever wrote the ledger put it there.
    let mut edge = Frontier::new();
    edge.append(Hash::of_leaf(&tree.leaves[3]), |_| {});
    let note = Checkpoint::of(&key(), &edge).sign(&key());
    let misplaced = EntryProof { index: 0, leaf: tree.leaves[3].clone(), path: Vec::new(), note };
    assert_eq!(misplaced.verify(&verifier), Err(NotProven::OtherPlace(3)));
}

#[test]
fn a_proof_is_bounded() {
    let hash = STANDARD.encode([7; 32]);
    let long = format!("old 1\n{}\n{}", format!("{hash}\n").repeat(PATH_MAX + 1), tree(1).notes[1]);
    assert_eq!(Proof::parse(&long), Err(NotProven::Malformed("it has too many hashes")));
    let text = "x".repeat(TEXT_MAX + 1);
    assert_eq!(Proof::parse(&text), Err(NotProven::Malformed("it is too long")));
}

proptest! {
    #[test]
    fn no_text_panics(text in "(c2sp.org/tlog-proof@v1\nextra [A-Za-z=]{0,8}\nindex|old) [0-9]{0,21}\n([A-Za-z0-9+/=]{0,50}\n){0,3}\n\\PC{0,40}") {
        if let Ok(Proof::Entry(proof)) = Proof::parse(&text) {
            let _ = proof.verify(&key().verifier());
        }
    }
}
