//! Against an independent implementation, the RFC's own recursion, and published vectors.

use std::collections::HashMap;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;

use super::*;

/// Past two powers of two, so that every shape of right edge occurs.
const SIZES: u64 = 130;

/// Every complete node, as a store would keep them, and each one written once only.
#[derive(Default)]
struct Nodes(HashMap<(u8, u64), Hash>);

impl Nodes {
    fn of(leaves: &[Vec<u8>]) -> (Nodes, Frontier) {
        let (mut nodes, mut frontier) = (Nodes::default(), Frontier::new());
        for leaf in leaves {
            frontier.append(Hash::of_leaf(leaf), |node| {
                assert_eq!(nodes.0.insert((node.level, node.index), node.hash), None);
            });
        }
        (nodes, frontier)
    }

    fn reader(&self) -> impl FnMut(u8, u64) -> Option<Hash> {
        |level, index| self.0.get(&(level, index)).copied()
    }
}

fn leaves(n: u64) -> Vec<Vec<u8>> {
    (0..n).map(|i| format!("leaf {i}").into_bytes()).collect()
}

fn oracle(leaves: &[Vec<u8>]) -> MemoryBackedTree<sha2::Sha256, Vec<u8>> {
    let mut tree = MemoryBackedTree::new();
    leaves.iter().for_each(|leaf| tree.push(leaf.clone()));
    tree
}

fn bytes(path: &[Hash]) -> Vec<u8> {
    path.iter().flat_map(|hash| hash.0).collect()
}

/// MTH of RFC 6962, section 2.1, word for word.
fn root_by_the_book(leaves: &[Vec<u8>]) -> Hash {
    let hash = |parts: &[&[u8]]| Hash(digest(&SHA256, &parts.concat()).as_ref().try_into().unwrap());
    match leaves {
        [] => hash(&[]),
        [leaf] => hash(&[&[0], leaf]),
        _ => {
            let k = (leaves.len().div_ceil(2)).next_power_of_two();
            let (left, right) = leaves.split_at(k);
            hash(&[&[1], &root_by_the_book(left).0, &root_by_the_book(right).0])
        }
    }
}

fn hash(hex: &str) -> Hash {
    let byte = |i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap();
    Hash(std::array::from_fn(byte))
}

#[test]
fn the_known_tree_of_certificate_transparency_has_its_known_roots_and_proofs() {
    // The eight inputs and their roots that Certificate Transparency implementations share.
    let inputs: Vec<Vec<u8>> = vec![
        vec![],
        vec![0],
        vec![0x10],
        vec![0x20, 0x21],
        vec![0x30, 0x31],
        (0x40..=0x43).collect(),
        (0x50..=0x57).collect(),
        (0x60..=0x6f).collect(),
    ];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    for (n, root) in roots.iter().enumerate() {
        assert_eq!(Nodes::of(&inputs[..=n]).1.root(), hash(root));
    }
    let (nodes, _) = Nodes::of(&inputs);
    let path = [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];
    assert_eq!(inclusion(5, 8, nodes.reader()).unwrap(), path.map(hash));
    let path = [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];
    assert_eq!(consistency(6, 7, nodes.reader()).unwrap(), path.map(hash));
    let node = Hash::of_leaf(b"L123456");
    assert_eq!(node, hash("395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"));
}

#[test]
fn every_root_is_the_oracle_s_and_the_book_s() {
    let all = leaves(SIZES);
    for n in 0..=all.len() {
        let (nodes, frontier) = Nodes::of(&all[..n]);
        assert_eq!(frontier.root(), root_by_the_book(&all[..n]), "size {n}");
        assert_eq!(frontier.root().0[..], oracle(&all[..n]).root().as_bytes()[..], "size {n}");
        assert_eq!(Frontier::from_bytes(&frontier.to_bytes()), Some(frontier.clone()));
        assert_eq!(Frontier::load(n as u64, nodes.reader()), Ok(frontier));
    }
}

#[test]
fn every_inclusion_proof_is_the_oracle_s_and_verifies_for_its_leaf_alone() {
    let all = leaves(SIZES);
    let (nodes, _) = Nodes::of(&all);
    for size in 1..=SIZES {
        let tree = oracle(&all[..size as usize]);
        let root = root_by_the_book(&all[..size as usize]);
        for index in 0..size {
            let leaf = Hash::of_leaf(&all[index as usize]);
            let path = inclusion(index, size, nodes.reader()).unwrap();
            assert_eq!(bytes(&path), tree.prove_inclusion(index as usize).as_bytes(), "{index} of {size}");
            assert_eq!(verify_inclusion(&leaf, index, size, &path, &root), Ok(()));
            for other in [index ^ 1, index ^ 2, index + 1, index.wrapping_sub(1), size] {
                assert_eq!(verify_inclusion(&leaf, other, size, &path, &root), Err(BadProof));
            }
        }
    }
}

#[test]
fn every_consistency_proof_is_the_oracle_s_and_verifies() {
    let all = leaves(SIZES);
    let (nodes, _) = Nodes::of(&all);
    let another = Hash::of_leaf(b"another root");
    let roots: Vec<Hash> = (0..=all.len()).map(|n| root_by_the_book(&all[..n])).collect();
    for second in 1..=SIZES {
        let tree = oracle(&all[..second as usize]);
        for first in 0..=second {
            let path = consistency(first, second, nodes.reader()).unwrap();
            let (old, new) = (&roots[first as usize], &roots[second as usize]);
            assert_eq!(verify_consistency(first, old, second, new, &path), Ok(()), "{first} to {second}");
            if first > 0 && first < second {
                let oracles = tree.prove_consistency((second - first) as usize);
                assert_eq!(bytes(&path), oracles.as_bytes(), "{first} to {second}");
                assert_eq!(verify_consistency(first, &another, second, new, &path), Err(BadProof));
                assert_eq!(verify_consistency(first, old, second, &another, &path), Err(BadProof));
                assert_eq!(verify_consistency(first, new, second, old, &path), Err(BadProof));
                assert_eq!(verify_consistency(first + 1, old, second, new, &path), Err(BadProof));
                assert_eq!(verify_consistency(first - 1, old, second, new, &path), Err(BadProof));
            }
        }
    }
}

#[test]
fn a_proof_that_is_bent_anywhere_proves_nothing() {
    let all = leaves(23);
    let (nodes, frontier) = Nodes::of(&all);
    let (root, old_root) = (frontier.root(), root_by_the_book(&all[..14]));
    let leaf = Hash::of_leaf(&all[13]);
    let included = |path: &[Hash]| verify_inclusion(&leaf, 13, 23, path, &root);
    let extended = |path: &[Hash]| verify_consistency(14, &old_root, 23, &root, path);
    let audit = inclusion(13, 23, nodes.reader()).unwrap();
    let growth = consistency(14, 23, nodes.reader()).unwrap();
    for (good, verify) in [
        (audit, &included as &dyn Fn(&[Hash]) -> Result<(), BadProof>),
        (growth, &extended as &dyn Fn(&[Hash]) -> _),
    ] {
        assert_eq!(verify(&good), Ok(()));
        assert_eq!(verify(&[]), Err(BadProof));
        for at in 0..good.len() {
            let mut bent = good.clone();
            bent[at].0[31] ^= 1;
            assert_eq!(verify(&bent), Err(BadProof), "bit of {at}");
            let mut short = good.clone();
            short.remove(at);
            assert_eq!(verify(&short), Err(BadProof), "without {at}");
            let mut long = good.clone();
            long.insert(at, root);
            assert_eq!(verify(&long), Err(BadProof), "root before {at}");
            long.push(good[at]);
            assert_eq!(verify(&long), Err(BadProof), "{at} again at the end");
        }
    }
}

#[test]
fn a_leaf_cannot_pass_for_a_node() {
    let (left, right) = (Hash::of_leaf(b"Hello"), Hash::of_leaf(b"World"));
    let both = [left.0, right.0].concat();
    assert_ne!(Hash::of_leaf(&both), Hash::of_node(&left, &right));
    assert_ne!(Hash::of_node(&left, &right), Hash::of_node(&right, &left));
}

#[test]
fn a_leaf_of_any_length_has_the_hash_of_the_book() {
    for length in [0, 1, LEAF_BUFFER - 2, LEAF_BUFFER - 1, LEAF_BUFFER, LEAF_BUFFER + 1, 70_000] {
        let leaf = vec![7u8; length];
        assert_eq!(Hash::of_leaf(&leaf), root_by_the_book(&[leaf]), "{length}");
    }
}

#[test]
fn a_proof_reads_few_nodes_of_a_large_tree() {
    // 2^40 equal leaves: every complete node of a level is the same, so that the tree need not be built.
    let size = (1u64 << 40) - 1;
    let levels: Vec<Hash> =
        std::iter::successors(Some(Hash::of_leaf(b"x")), |below| Some(Hash::of_node(below, below)))
            .take(41)
            .collect();
    let reads = std::cell::Cell::new(0);
    let node = |level: u8, index: u64| {
        reads.set(reads.get() + 1);
        assert!((index + 1) << level <= size, "only complete nodes are asked for");
        Some(levels[usize::from(level)])
    };
    let root = Frontier::load(size, node).unwrap().root();
    let (index, first) = ((1 << 39) + 12_345, (1 << 38) + 7);
    let old = Frontier::load(first, node).unwrap().root();
    reads.set(0);
    let path = inclusion(index, size, node).unwrap();
    assert!(reads.replace(0) <= 2 * 40);
    let growth = consistency(first, size, node).unwrap();
    assert!(reads.get() <= 2 * 40);
    assert_eq!(verify_inclusion(&levels[0], index, size, &path, &root), Ok(()));
    assert_eq!(verify_consistency(first, &old, size, &root, &growth), Ok(()));
}

#[test]
fn what_is_missing_or_outside_is_said() {
    let (mut nodes, _) = Nodes::of(&leaves(5));
    assert_eq!(inclusion(5, 5, nodes.reader()), Err(NoProof::OutOfRange));
    assert_eq!(consistency(6, 5, nodes.reader()), Err(NoProof::OutOfRange));
    assert_eq!(inclusion(0, u64::MAX, nodes.reader()), Err(NoProof::OutOfRange));
    nodes.0.remove(&(1, 1));
    assert_eq!(inclusion(0, 5, nodes.reader()), Err(NoProof::MissingNode { level: 1, index: 1 }));
}

#[test]
fn an_edge_that_is_none_is_refused() {
    let (_, frontier) = Nodes::of(&leaves(11));
    let good = frontier.to_bytes();
    assert_eq!(good.len(), 8 + 3 * 32);
    assert_eq!(Frontier::from_bytes(&good[..good.len() - 1]), None);
    assert_eq!(Frontier::from_bytes(&good[..good.len() - 32]), None);
    assert_eq!(Frontier::from_bytes(&[good.as_slice(), &[0; 32]].concat()), None);
    assert_eq!(Frontier::from_bytes(&[0xff; 8 + 64 * 32]), None);
    assert_eq!(Frontier::from_bytes(&[]), None);
}

proptest! {
    #[test]
    fn no_proof_from_a_stranger_panics_or_convinces(
        index: u64, size: u64, leaf: [u8; 32], root: [u8; 32],
        path in proptest::collection::vec(any::<[u8; 32]>(), 0..70),
    ) {
        let path: Vec<Hash> = path.into_iter().map(Hash).collect();
        prop_assume!(leaf != root);
        prop_assert_eq!(verify_inclusion(&Hash(leaf), index, size, &path, &Hash(root)), Err(BadProof));
        prop_assert_eq!(verify_consistency(index, &Hash(leaf), size, &Hash(root), &path), Err(BadProof));
    }

    #[test]
    fn no_stored_edge_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2_100)) {
        if let Some(mut frontier) = Frontier::from_bytes(&bytes) {
            frontier.root();
            if frontier.size() < MAX_SIZE {
                frontier.append(Hash::EMPTY_TREE, |_| {});
            }
        }
    }
}
