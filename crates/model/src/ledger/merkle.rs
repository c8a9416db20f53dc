//! The ledger's tree: RFC 6962 section 2.1 over SHA-256, with O(log n) appends and proofs.
//!
//! 1. A leaf's hash is SHA-256(0x00 ‖ bytes), an inner node's SHA-256(0x01 ‖ left ‖ right): a leaf can never pass
//!    for a node.
//! 2. Node `(level, index)` is the root of the complete subtree over leaves `index·2^level` up to
//!    `(index+1)·2^level`. Once complete it never changes, so each may be written down once.
//! 3. A [`Frontier`] is the right edge: the complete subtrees that make up a tree of one size, largest first.
//! 4. Proofs are read from complete nodes through a closure, in a number of reads that grows with log n.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256, digest};

/// The hash of a leaf, a node or a whole tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The root of the tree of no leaves: SHA-256 of nothing (RFC 6962, section 2.1).
    pub const EMPTY_TREE: Hash = Hash([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
        0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ]);

    /// The hash of a leaf of these bytes.
    pub fn of_leaf(bytes: &[u8]) -> Hash {
        // One call over one buffer costs half of a streaming context, and nearly every leaf fits.
        let mut buffer = [0u8; LEAF_BUFFER];
        if bytes.len() < LEAF_BUFFER {
            buffer[1..=bytes.len()].copy_from_slice(bytes);
            return Hash::of(&buffer[..=bytes.len()]);
        }
        let mut context = Context::new(&SHA256);
        context.update(&[LEAF]);
        context.update(bytes);
        Hash(context.finish().as_ref().try_into().expect("SHA-256 gives 32 bytes"))
    }

    /// The hash of an inner node over two others.
    pub fn of_node(left: &Hash, right: &Hash) -> Hash {
        let mut buffer = [NODE; 65];
        buffer[1..33].copy_from_slice(&left.0);
        buffer[33..].copy_from_slice(&right.0);
        Hash::of(&buffer)
    }

    fn of(bytes: &[u8]) -> Hash {
        Hash(digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 gives 32 bytes"))
    }
}

/// Lower-case hexadecimal.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A complete subtree: its place and its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// 0 for a leaf; the subtree has 2^level leaves.
    pub level: u8,
    /// Which of its level, counted from the left, from 0.
    pub index: u64,
    /// Its root.
    pub hash: Hash,
}

/// The right edge of a tree: all that is needed to append to it and to know its root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// Roots of the complete subtrees, largest first; as many as `size` has one bits.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The edge of the tree of no leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many leaves the tree has: also the index of the next one.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf, and tells `completed` every subtree it completed: the leaf itself first, then upwards.
    ///
    /// # Panics
    /// At 2^63 leaves, which nobody reaches.
    pub fn append(&mut self, leaf: Hash, mut completed: impl FnMut(Node)) {
        assert!(self.size < MAX_SIZE, "a ledger has fewer than 2^63 entries");
        let index = self.size;
        let mut node = Node { level: 0, index, hash: leaf };
        completed(node);
        for _ in 0..index.trailing_ones() {
            let left = self.peaks.pop().expect("there is a peak for each one bit of the size");
            node = Node {
                level: node.level + 1,
                index: node.index >> 1,
                hash: Hash::of_node(&left, &node.hash),
            };
            completed(node);
        }
        self.peaks.push(node.hash);
        self.size += 1;
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        let right_to_left = self.peaks.iter().rev().copied();
        right_to_left.reduce(|right, left| Hash::of_node(&left, &right)).unwrap_or(Hash::EMPTY_TREE)
    }

    /// As the store keeps it: the size in 8 bytes, big-endian, then the roots, largest subtree first.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + 32 * self.peaks.len());
        bytes.extend_from_slice(&self.size.to_be_bytes());
        self.peaks.iter().for_each(|peak| bytes.extend_from_slice(&peak.0));
        bytes
    }

    /// Reads what `to_bytes` wrote. `None` if it is anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (size, rest) = bytes.split_first_chunk::<8>()?;
        let size = u64::from_be_bytes(*size);
        let (peaks, odd) = rest.as_chunks::<32>();
        let fits = size <= MAX_SIZE && odd.is_empty() && peaks.len() == size.count_ones() as usize;
        fits.then(|| Self { size, peaks: peaks.iter().copied().map(Hash).collect() })
    }

    /// The edge of the tree of `size` leaves, read from its complete nodes.
    pub fn load(size: u64, mut node: impl FnMut(u8, u64) -> Option<Hash>) -> Result<Self, NoProof> {
        within(size <= MAX_SIZE)?;
        let mut peaks = Vec::with_capacity(size.count_ones() as usize);
        for level in (0..64u8).rev().filter(|level| size >> level & 1 == 1) {
            let index = (size >> level) - 1;
            peaks.push(node(level, index).ok_or(NoProof::MissingNode { level, index })?);
        }
        Ok(Self { size, peaks })
    }
}

/// Why a proof could not be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoProof {
    /// The leaf or size asked for lies outside the tree.
    #[error("the place asked for lies outside the tree")]
    OutOfRange,
    /// A complete node that should have been written down was not found.
    #[error("node {index} of level {level} is missing")]
    MissingNode {
        /// Its level.
        level: u8,
        /// Its index.
        index: u64,
    },
}

/// A proof that does not prove what it was given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the proof does not lead to the root")]
pub struct BadProof;

/// The audit path of leaf `index` in the tree of `size` leaves (RFC 6962, section 2.1.1), leaf side first.
/// `node` gives any complete node by level and index.
pub fn inclusion(
    index: u64,
    size: u64,
    mut node: impl FnMut(u8, u64) -> Option<Hash>,
) -> Result<Vec<Hash>, NoProof> {
    within(index < size && size <= MAX_SIZE)?;
    let (mut begin, mut end) = (0, size);
    let mut path = Vec::new();
    while end - begin > 1 {
        let middle = begin + largest_power_below(end - begin);
        if index < middle {
            path.push(range_root(middle, end, &mut node)?);
            end = middle;
        } else {
            path.push(range_root(begin, middle, &mut node)?);
            begin = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `first` leaves is the beginning of the tree of `second` (RFC 6962, section 2.1.2).
/// Empty when the sizes are equal, or when `first` is zero and there is nothing to prove.
pub fn consistency(
    first: u64,
    second: u64,
    mut node: impl FnMut(u8, u64) -> Option<Hash>,
) -> Result<Vec<Hash>, NoProof> {
    within(first <= second && second <= MAX_SIZE)?;
    if first == 0 || first == second {
        return Ok(Vec::new());
    }
    let (mut begin, mut end) = (0, second);
    let mut path = Vec::new();
    while first != end {
        let middle = begin + largest_power_below(end - begin);
        if first <= middle {
            path.push(range_root(middle, end, &mut node)?);
            end = middle;
        } else {
            path.push(range_root(begin, middle, &mut node)?);
            begin = middle;
        }
    }
    if begin != 0 {
        path.push(range_root(begin, end, &mut node)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether `path` proves that `leaf` is leaf `index` of the tree of `size` leaves with this root
/// (RFC 9162, section 2.1.3.2).
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    path: &[Hash],
    root: &Hash,
) -> Result<(), BadProof> {
    if index >= size {
        return Err(BadProof);
    }
    let (mut place, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for step in path {
        if last == 0 {
            return Err(BadProof);
        }
        if place & 1 == 1 || place == last {
            hash = Hash::of_node(step, &hash);
            while place & 1 == 0 && place != 0 {
                (place, last) = (place >> 1, last >> 1);
            }
        } else {
            hash = Hash::of_node(&hash, step);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    if last == 0 && hash == *root { Ok(()) } else { Err(BadProof) }
}

/// Whether `path` proves that the tree of `first` leaves and root `first_root` is the beginning of the tree of
/// `second` leaves and root `second_root` (RFC 9162, section 2.1.4.2).
pub fn verify_consistency(
    first: u64,
    first_root: &Hash,
    second: u64,
    second_root: &Hash,
    path: &[Hash],
) -> Result<(), BadProof> {
    let agreed = |yes: bool| if yes { Ok(()) } else { Err(BadProof) };
    if first == 0 {
        return agreed(
            path.is_empty() && *first_root == Hash::EMPTY_TREE && (second > 0 || first_root == second_root),
        );
    }
    if first >= second {
        return agreed(first == second && path.is_empty() && first_root == second_root);
    }
    // If the first tree is complete its root begins the path and is not sent.
    let (start, path) = match path.split_first() {
        None => return Err(BadProof),
        Some(_) if first.is_power_of_two() => (*first_root, path),
        Some((start, rest)) => (*start, rest),
    };
    let shift = (first - 1).trailing_ones();
    let (mut place, mut last) = ((first - 1) >> shift, (second - 1) >> shift);
    let (mut old, mut new) = (start, start);
    for step in path {
        if last == 0 {
            return Err(BadProof);
        }
        if place & 1 == 1 || place == last {
            old = Hash::of_node(step, &old);
            new = Hash::of_node(step, &new);
            while place & 1 == 0 && place != 0 {
                (place, last) = (place >> 1, last >> 1);
            }
        } else {
            new = Hash::of_node(&new, step);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    agreed(last == 0 && old == *first_root && new == *second_root)
}

/// The root over leaves `begin..end`, where `begin` is a multiple of a power of two no less than `end - begin`:
/// so it is wherever RFC 6962 splits a tree.
fn range_root(begin: u64, end: u64, node: &mut impl FnMut(u8, u64) -> Option<Hash>) -> Result<Hash, NoProof> {
    let count = end - begin;
    if count.is_power_of_two() {
        let level = count.trailing_zeros() as u8;
        let index = begin >> level;
        return node(level, index).ok_or(NoProof::MissingNode { level, index });
    }
    let middle = begin + largest_power_below(count);
    let left = range_root(begin, middle, node)?;
    let right = range_root(middle, end, node)?;
    Ok(Hash::of_node(&left, &right))
}

/// The largest power of two below `n`, for `n` above 1.
fn largest_power_below(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

fn within(yes: bool) -> Result<(), NoProof> {
    if yes { Ok(()) } else { Err(NoProof::OutOfRange) }
}

const LEAF: u8 = 0;
const NODE: u8 = 1;

/// Leaves shorter than this are hashed from the stack: twice the size of a usual one.
const LEAF_BUFFER: usize = 1024;

/// The most leaves a tree may have: what a signed 64-bit column of the store can count.
pub const MAX_SIZE: u64 = i64::MAX as u64;

#[cfg(test)]
mod tests;
