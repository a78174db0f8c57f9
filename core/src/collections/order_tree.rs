//! A sorted set that knows, for any range, how many items are in it and the sum of their ids.
//!
//! A B+ tree whose inner nodes carry the count and the sum of what is below them, so insert, remove,
//! rank, select and the total of a range are O(log n). Sums are modulo 2^256: they do not depend on
//! the order in which items came, and the total of a range is the difference of two prefixes.
//!
//! Memory: neighbouring nodes hold together more than [`MERGED`] items, so a node of room for
//! [`FULL`] holds 24 on average at worst and 64 when items come in order. An item of 40 bytes costs
//! at most 120 bytes, and 43 in order, with the nodes above it (a test measures both).

use alloc::vec::Vec;

/// Items of a leaf and children of an inner node: 64, so that a million items are four levels and a
/// leaf of 40-byte items is 2.5 KiB.
const FULL: usize = 64;
/// Neighbours that hold together no more than this become one: less than [`FULL`], so that the next
/// insert does not part them again.
const MERGED: usize = 48;

/// What an item adds to the sum of a range: 32 bytes, little-endian.
pub(crate) trait Weigh {
    fn weight(&self) -> &[u8; 32];
}

/// How many items and the sum of their weights modulo 2^256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) count: u64,
    sum: [u64; 4],
}

impl Total {
    fn of<K: Weigh>(item: &K) -> Self {
        let mut sum = [0; 4];
        for (limb, bytes) in sum.iter_mut().zip(item.weight().as_chunks::<8>().0) {
            *limb = u64::from_le_bytes(*bytes);
        }
        Self { count: 1, sum }
    }

    fn plus(self, other: Self) -> Self {
        let mut sum = self.sum;
        let mut carry = false;
        for (limb, add) in sum.iter_mut().zip(other.sum) {
            let (part, first) = limb.overflowing_add(add);
            let (all, second) = part.overflowing_add(u64::from(carry));
            *limb = all;
            carry = first || second;
        }
        Self { count: self.count.wrapping_add(other.count), sum }
    }

    fn minus(self, other: Self) -> Self {
        let mut sum = self.sum;
        let mut borrow = false;
        for (limb, take) in sum.iter_mut().zip(other.sum) {
            let (part, first) = limb.overflowing_sub(take);
            let (all, second) = part.overflowing_sub(u64::from(borrow));
            *limb = all;
            borrow = first || second;
        }
        Self { count: self.count.wrapping_sub(other.count), sum }
    }

    /// The sum as 32 bytes, little-endian.
    pub(crate) fn sum_bytes(&self) -> [u8; 32] {
        let mut out = [0; 32];
        for (bytes, limb) in out.as_chunks_mut::<8>().0.iter_mut().zip(self.sum) {
            *bytes = limb.to_le_bytes();
        }
        out
    }
}

#[cfg_attr(test, derive(Clone))]
struct Child<K> {
    /// No item below is smaller. A bound, not always an item: the smallest may have been removed.
    first: K,
    total: Total,
    node: Node<K>,
}

/// INVARIANT: all leaves are at one depth.
#[cfg_attr(test, derive(Clone))]
enum Node<K> {
    Leaf(Vec<K>),
    Inner(Vec<Child<K>>),
}

/// See the module.
#[cfg_attr(test, derive(Clone))]
pub(crate) struct OrderTree<K> {
    root: Node<K>,
    total: Total,
}

impl<K: Ord + Copy + Weigh> Node<K> {
    fn len(&self) -> usize {
        match self {
            Self::Leaf(items) => items.len(),
            Self::Inner(children) => children.len(),
        }
    }

    fn total(&self) -> Total {
        match self {
            Self::Leaf(items) => items.iter().fold(Total::default(), |t, k| t.plus(Total::of(k))),
            Self::Inner(children) => children.iter().fold(Total::default(), |t, c| t.plus(c.total)),
        }
    }

    fn first(&self) -> Option<K> {
        match self {
            Self::Leaf(items) => items.first().copied(),
            Self::Inner(children) => children.first().map(|c| c.first),
        }
    }

    /// The right part of an overfull node. What grows at its end leaves the left part full: items that
    /// come in order fill every node.
    fn split(&mut self, at_end: bool) -> Option<Child<K>> {
        if self.len() <= FULL {
            return None;
        }
        let at = if at_end { FULL } else { FULL / 2 };
        let node = match self {
            Self::Leaf(items) => Self::Leaf(split_off(items, at)),
            Self::Inner(children) => Self::Inner(split_off(children, at)),
        };
        let first = node.first()?;
        Some(Child { first, total: node.total(), node })
    }

    /// Whether it was inserted, and a right neighbour if the node had to be parted.
    fn insert(&mut self, key: K) -> (bool, Option<Child<K>>) {
        let at_end;
        match self {
            Self::Leaf(items) => {
                let Err(at) = items.binary_search(&key) else { return (false, None) };
                at_end = at == items.len();
                items.insert(at, key);
            }
            Self::Inner(children) => {
                let at = child_of(children, &key);
                let right_of_it = at.saturating_add(1);
                at_end = right_of_it == children.len();
                let Some(child) = children.get_mut(at) else { return (false, None) };
                let (inserted, right) = child.node.insert(key);
                if !inserted {
                    return (false, None);
                }
                child.first = child.first.min(key);
                child.total = child.total.plus(Total::of(&key));
                if let Some(right) = right {
                    child.total = child.total.minus(right.total);
                    children.insert(right_of_it, right);
                }
            }
        }
        (true, self.split(at_end))
    }

    fn remove(&mut self, key: &K) -> bool {
        match self {
            Self::Leaf(items) => match items.binary_search(key) {
                Ok(at) => {
                    items.remove(at);
                    true
                }
                Err(_) => false,
            },
            Self::Inner(children) => {
                let at = child_of(children, key);
                let Some(child) = children.get_mut(at) else { return false };
                if !child.node.remove(key) {
                    return false;
                }
                child.total = child.total.minus(Total::of(key));
                if child.node.len() == 0 {
                    children.remove(at);
                } else {
                    merge(children, at);
                    merge(children, at.saturating_sub(1));
                }
                true
            }
        }
    }

    /// Adds the items from `start` up to but not including `end` to `out`, at most until it has `most`.
    fn collect(&self, start: &K, end: &K, most: usize, out: &mut Vec<K>) {
        match self {
            Self::Leaf(items) => {
                let begin = items.partition_point(|k| k < start);
                let rest = items.iter().skip(begin).take_while(|k| *k < end);
                out.extend(rest.take(most.saturating_sub(out.len())));
            }
            Self::Inner(children) => {
                for child in children.iter().skip(child_of(children, start)) {
                    if child.first >= *end || out.len() >= most {
                        break;
                    }
                    child.node.collect(start, end, most, out);
                }
            }
        }
    }
}

/// The child that has `key` or would.
fn child_of<K: Ord>(children: &[Child<K>], key: &K) -> usize {
    children.partition_point(|c| c.first <= *key).saturating_sub(1)
}

/// A full vector's tail as a vector of its own, both with room for a full node and no more.
fn split_off<T>(items: &mut Vec<T>, at: usize) -> Vec<T> {
    let mut right = Vec::with_capacity(FULL.saturating_add(1));
    right.extend(items.drain(at..));
    right
}

/// Makes one of the children `at` and the next if they are small.
fn merge<K: Ord + Copy + Weigh>(children: &mut Vec<Child<K>>, at: usize) {
    let next = at.saturating_add(1);
    let small = match (children.get(at), children.get(next)) {
        (Some(a), Some(b)) => a.node.len().saturating_add(b.node.len()) <= MERGED,
        (Some(_) | None, _) => false,
    };
    if !small {
        return;
    }
    let right = children.remove(next);
    let Some(left) = children.get_mut(at) else { return };
    left.total = left.total.plus(right.total);
    match (&mut left.node, right.node) {
        (Node::Leaf(a), Node::Leaf(b)) => a.extend(b),
        (Node::Inner(a), Node::Inner(b)) => a.extend(b),
        (Node::Leaf(_), Node::Inner(_)) | (Node::Inner(_), Node::Leaf(_)) => {
            debug_assert!(false, "two leaves are at different depths");
        }
    }
}

impl<K: Ord + Copy + Weigh> OrderTree<K> {
    pub(crate) const fn new() -> Self {
        Self { root: Node::Leaf(Vec::new()), total: Total { count: 0, sum: [0; 4] } }
    }

    pub(crate) fn len(&self) -> usize {
        usize::try_from(self.total.count).unwrap_or(usize::MAX)
    }

    /// False if it was there.
    pub(crate) fn insert(&mut self, key: K) -> bool {
        let (inserted, right) = self.root.insert(key);
        if !inserted {
            return false;
        }
        self.total = self.total.plus(Total::of(&key));
        if let Some(right) = right {
            let left = core::mem::replace(&mut self.root, Node::Inner(Vec::with_capacity(FULL.saturating_add(1))));
            let total = self.total.minus(right.total);
            if let (Node::Inner(children), Some(first)) = (&mut self.root, left.first()) {
                children.push(Child { first, total, node: left });
                children.push(right);
            }
        }
        true
    }

    /// False if it was not there.
    pub(crate) fn remove(&mut self, key: &K) -> bool {
        if !self.root.remove(key) {
            return false;
        }
        self.total = self.total.minus(Total::of(key));
        loop {
            match &mut self.root {
                Node::Inner(children) if children.len() <= 1 => {
                    self.root = children.pop().map_or(Node::Leaf(Vec::new()), |c| c.node);
                }
                Node::Inner(_) | Node::Leaf(_) => return true,
            }
        }
    }

    /// Count and sum of what is before `bound`.
    fn before(&self, bound: &K) -> Total {
        let mut total = Total::default();
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(items) => {
                    let end = items.partition_point(|k| k < bound);
                    return items.iter().take(end).fold(total, |t, k| t.plus(Total::of(k)));
                }
                Node::Inner(children) => {
                    let at = child_of(children, bound);
                    total = children.iter().take(at).fold(total, |t, c| t.plus(c.total));
                    match children.get(at) {
                        Some(child) => node = &child.node,
                        None => return total,
                    }
                }
            }
        }
    }

    /// Count and sum of the items from `start` up to but not including `end`.
    pub(crate) fn total(&self, start: &K, end: &K) -> Total {
        if start >= end { Total::default() } else { self.before(end).minus(self.before(start)) }
    }

    /// How many items are before `bound`, which need not be one.
    pub(crate) fn rank(&self, bound: &K) -> usize {
        usize::try_from(self.before(bound).count).unwrap_or(usize::MAX)
    }

    /// The item of this rank.
    pub(crate) fn select(&self, rank: usize) -> Option<K> {
        let mut left = rank;
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(items) => return items.get(left).copied(),
                Node::Inner(children) => {
                    let mut found = None;
                    for child in children {
                        let count = usize::try_from(child.total.count).unwrap_or(usize::MAX);
                        if left < count {
                            found = Some(&child.node);
                            break;
                        }
                        left = left.saturating_sub(count);
                    }
                    node = found?;
                }
            }
        }
    }

    /// The items from `start` up to but not including `end`, in order, at most `most`.
    pub(crate) fn items(&self, start: &K, end: &K, most: usize) -> Vec<K> {
        let mut out = Vec::new();
        self.root.collect(start, end, most, &mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collections::OrderedSet;
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct Key(u64, [u8; 32]);

    impl Weigh for Key {
        fn weight(&self) -> &[u8; 32] {
            &self.1
        }
    }

    fn key(n: u64) -> Key {
        Key(n, *blake3::hash(&n.to_le_bytes()).as_bytes())
    }

    /// What the model says of a range: the items, and their sum by long addition of bytes.
    fn model(set: &OrderedSet<Key>, start: Key, end: Key) -> (Vec<Key>, [u8; 32]) {
        let inside: Vec<Key> = set.iter().copied().filter(|k| start <= *k && *k < end).collect();
        let mut sum = [0u8; 32];
        for k in &inside {
            let mut carry = 0u16;
            for (s, b) in sum.iter_mut().zip(k.1) {
                let all = u16::from(*s) + u16::from(b) + carry;
                *s = all as u8;
                carry = all >> 8;
            }
        }
        (inside, sum)
    }

    /// Levels below a node; that every total and bound is right, and all leaves are at one depth.
    fn check(node: &Node<Key>) -> usize {
        let Node::Inner(children) = node else { return 0 };
        let below: OrderedSet<usize> = children.iter().map(|c| check(&c.node)).collect();
        assert_eq!(below.len(), 1, "leaves at different depths");
        assert!(children.iter().all(|c| c.total == c.node.total() && Some(c.first) <= c.node.first()));
        below.first().map_or(0, |n| n + 1)
    }

    /// Capacity of all nodes in bytes.
    fn bytes<K>(node: &Node<K>) -> usize {
        match node {
            Node::Leaf(items) => items.capacity() * size_of::<K>(),
            Node::Inner(children) => {
                children.capacity() * size_of::<Child<K>>() + children.iter().map(|c| bytes(&c.node)).sum::<usize>()
            }
        }
    }

    proptest! {
        /// Inserts and removals in any order give the answers of a sorted set.
        #[test]
        fn answers_as_a_sorted_set_does(
            steps in prop::collection::vec((any::<bool>(), 0u64..400), 0..900),
            drain in any::<bool>(),
            ranges in prop::collection::vec((0u64..410, 0u64..410), 8),
        ) {
            let mut tree = OrderTree::new();
            let mut set = OrderedSet::new();
            // Three in four are inserts: the tree gets levels.
            for (i, (keep, n)) in steps.iter().enumerate() {
                if *keep || i % 2 == 0 {
                    prop_assert_eq!(tree.insert(key(*n)), set.insert(key(*n)));
                } else {
                    prop_assert_eq!(tree.remove(&key(*n)), set.remove(&key(*n)));
                }
            }
            if drain {
                for n in 0..390 {
                    prop_assert_eq!(tree.remove(&key(n)), set.remove(&key(n)));
                }
            }
            prop_assert_eq!(tree.len(), set.len());
            check(&tree.root);
            for (start, end) in ranges {
                let (start, end) = (Key(start, [0; 32]), Key(end, [9; 32]));
                let (inside, sum) = model(&set, start, end);
                let total = tree.total(&start, &end);
                prop_assert_eq!((total.count, total.sum_bytes()), (inside.len() as u64, sum));
                prop_assert_eq!(tree.items(&start, &end, usize::MAX), inside.as_slice());
                prop_assert_eq!(tree.items(&start, &end, 3), &inside[..inside.len().min(3)]);
                let rank = set.iter().filter(|k| **k < start).count();
                prop_assert_eq!(tree.rank(&start), rank);
                prop_assert_eq!(tree.select(rank), set.iter().nth(rank).copied());
            }
        }
    }

    #[test]
    fn an_item_costs_what_the_module_says() {
        let mut ordered = OrderTree::new();
        for n in 0..20_000 {
            ordered.insert(key(n));
        }
        let each = bytes(&ordered.root) / ordered.len();
        assert!(each <= 44, "{each} bytes an item in order");
        // The worst that removals leave: most of a tree gone, here and there.
        let mut thinned = OrderTree::new();
        for n in 0..20_000u64 {
            thinned.insert(key(n.wrapping_mul(7_919) % 20_000));
        }
        for n in (0..20_000).filter(|n| n % 8 != 0) {
            thinned.remove(&key(n));
        }
        let each = bytes(&thinned.root) / thinned.len();
        assert!(each <= 120, "{each} bytes an item after removals");
    }
}
