//! The hash of a file, so that each part of it is verified by itself (docs/design/files.md §2).
//!
//! The name of a file is the BLAKE3 hash of its sealed bytes. BLAKE3 is a binary tree (Aumasson, Neves, O'Connor,
//! Wilcox-O'Hearn, *BLAKE3*, §2.1), and a part is one of its subtrees, so the hashes beside the way from a part to the
//! root prove the part (Bao, oconnor663/bao).

use alloc::vec::Vec;

use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

use crate::id::FileId;

/// Bytes of a sealed part: 64 KiB, a subtree of BLAKE3, which one message carries with its proof. The last is shorter.
pub(super) const SEALED_PART: usize = 65_536;
/// Bytes of a hash in a proof.
pub(super) const HASH_LEN: usize = 32;

type Hash = [u8; HASH_LEN];

/// The hash of a part, not of the whole.
fn leaf(part: u32, sealed: &[u8]) -> Hash {
    let offset = u64::from(part).saturating_mul(SEALED_PART as u64);
    blake3::Hasher::new().set_input_offset(offset).update(sealed).finalize_non_root()
}

fn join(left: &Hash, right: &Hash) -> Hash {
    merge_subtrees_non_root(left, right, Mode::Hash)
}

/// The levels from a part up to the root: at each the number of nodes and the place in them. The pairwise tree, in which
/// the last node without a pair rises as it is, is BLAKE3's, in which the left half is the largest power of two.
fn levels(part: u32, parts: u32) -> impl Iterator<Item = (u32, u32)> {
    let up = |(place, count): &(u32, u32)| (*count > 2).then(|| (place >> 1, count.div_ceil(2)));
    core::iter::successors((parts > 1).then_some((part, parts)), up)
}

/// Whether the node at this place has a pair.
fn has_pair((place, count): (u32, u32)) -> bool {
    place ^ 1 < count
}

/// Hashes in the proof of a part.
pub(super) fn proof_len(part: u32, parts: u32) -> usize {
    levels(part, parts).filter(|level| has_pair(*level)).count()
}

/// Whether these bytes are a part of the file, by the hashes beside its way to the root, lowest first.
pub(super) fn verify(file: FileId, (part, parts): (u32, u32), proof: &[Hash], sealed: &[u8]) -> bool {
    if parts <= 1 {
        return part == 0 && proof.is_empty() && *blake3::hash(sealed).as_bytes() == file.0;
    }
    let (mut hash, mut proof) = (leaf(part, sealed), proof.iter());
    for (place, count) in levels(part, parts) {
        if !has_pair((place, count)) {
            continue;
        }
        let Some(beside) = proof.next() else { return false };
        let (left, right) = if place & 1 == 0 { (&hash, beside) } else { (beside, &hash) };
        if count == 2 {
            return proof.next().is_none() && *merge_subtrees_root(left, right, Mode::Hash).as_bytes() == file.0;
        }
        hash = join(left, right);
    }
    false
}

/// The tree of a whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tree {
    root: FileId,
    parts: u32,
    /// The parts, then each level above; the root is not among them.
    levels: Vec<Vec<Hash>>,
}

/// A tree that grows by one part after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Growing {
    leaves: Vec<Hash>,
    /// The hash of the first part if it is the only one.
    only: Option<Hash>,
}

impl Growing {
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.leaves.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn push(&mut self, sealed: &[u8]) {
        let part = self.len();
        self.only = (part == 0).then(|| *blake3::hash(sealed).as_bytes());
        self.leaves.push(leaf(part, sealed));
    }

    /// The tree. None of nothing.
    pub(super) fn finish(self) -> Option<Tree> {
        let parts = self.len();
        if let Some(only) = self.only {
            return Some(Tree { root: FileId(only), parts, levels: Vec::new() });
        }
        let mut levels = alloc::vec![self.leaves];
        loop {
            match levels.last()?.as_slice() {
                [left, right] => {
                    let root = FileId(*merge_subtrees_root(left, right, Mode::Hash).as_bytes());
                    return Some(Tree { root, parts, levels });
                }
                [] | [_] => return None,
                nodes => {
                    let above = nodes.chunks(2).filter_map(|pair| match pair {
                        [left, right] => Some(join(left, right)),
                        [alone] => Some(*alone),
                        _ => None,
                    });
                    let above = above.collect();
                    levels.push(above);
                }
            }
        }
    }
}

impl Tree {
    pub(super) fn root(&self) -> FileId {
        self.root
    }

    pub(super) fn parts(&self) -> u32 {
        self.parts
    }

    /// The hashes beside the way from a part to the root, lowest first.
    pub(super) fn proof(&self, part: u32) -> Vec<Hash> {
        let beside = levels(part, self.parts).zip(&self.levels);
        beside.filter_map(|((place, _), nodes)| nodes.get((place ^ 1) as usize).copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    fn sealed(n: u32, len: usize) -> Vec<u8> {
        (0..len).map(|i| (i as u32).wrapping_mul(31).wrapping_add(n) as u8).collect()
    }

    /// The parts of a file of so many, the last of which is short.
    fn file(parts: u32) -> (Vec<Vec<u8>>, Tree) {
        let len = |n| if n + 1 == parts { 17 + n as usize * 3 } else { SEALED_PART };
        let all: Vec<_> = (0..parts).map(|n| sealed(n, len(n))).collect();
        let mut growing = Growing::default();
        all.iter().for_each(|part| growing.push(part));
        (all, growing.finish().unwrap())
    }

    // Mutation: `has_pair` is always true. The roots of odd numbers of parts differ.
    #[test]
    fn the_root_is_the_blake3_hash_of_the_sealed_bytes() {
        for parts in 1..=17 {
            let (all, tree) = file(parts);
            assert_eq!(tree.root().0, *blake3::hash(&all.concat()).as_bytes(), "{parts} parts");
            for (n, part) in (0..).zip(&all) {
                let proof = tree.proof(n);
                assert_eq!(proof.len(), proof_len(n, parts));
                assert!(verify(tree.root(), (n, parts), &proof, part), "part {n} of {parts}");
            }
        }
    }

    proptest! {
        // Mutations: `verify` does not compare with the root; it ignores the place; it allows a longer proof.
        #[test]
        fn nothing_else_verifies(parts in 1u32..9, at in any::<u32>(), flip in any::<u16>(), other in any::<u32>()) {
            let (all, tree) = file(parts);
            let n = at % parts;
            let (part, proof) = (&all[n as usize], tree.proof(n));
            let mut changed = part.clone();
            let place = usize::from(flip) % changed.len();
            changed[place] ^= 1;
            assert!(!verify(tree.root(), (n, parts), &proof, &changed));
            assert!(!verify(FileId([1; 32]), (n, parts), &proof, part));
            let m = other % (parts + 1);
            assert_eq!(verify(tree.root(), (m, parts), &proof, part), m == n);
            let longer: Vec<_> = proof.iter().copied().chain([[0; 32]]).collect();
            assert!(!verify(tree.root(), (n, parts), &longer, part));
            if let Some((_, shorter)) = proof.split_last() {
                assert!(!verify(tree.root(), (n, parts), shorter, part));
                let mut wrong = proof.clone();
                wrong[usize::from(flip) % proof.len()][0] ^= 1;
                assert!(!verify(tree.root(), (n, parts), &wrong, part));
            }
        }
    }
}
