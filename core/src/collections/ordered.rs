//! Maps and sets in the order of their keys, with little code for each type of key and value.
//!
//! The standard library's B-tree compiles to about 7 kB for each pair of types, and a node has ninety: a sixth of the
//! library that apps embed. Here the entries lie in sorted chunks of a vector of vectors, a B-tree of two levels:
//! a search is two binary searches, and an insertion moves at most one chunk. The interface is that of
//! `alloc::collections::BTreeMap` and `BTreeSet`, as far as the machines use it.

#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "places come from a search or the map's own ends; a property test compares each step with a B-tree"
)]

use alloc::vec::{self, Vec};
use core::borrow::Borrow;
use core::fmt;
use core::iter::{Flatten, Map};
use core::marker::PhantomData;
use core::mem;
use core::ops::{Bound, RangeBounds};
use core::slice;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Entries of a chunk at most. An insertion moves half of so many; a table of 65,536 has a thousand chunks.
const FULL: usize = 64;

/// A place: chunk, and entry in it. The end is the first place of the chunk behind the last.
type Place = (usize, usize);

type Keys<'a, K, V> = Map<Iter<'a, K, V>, fn((&'a K, &'a V)) -> &'a K>;
type Values<'a, K, V> = Map<Iter<'a, K, V>, fn((&'a K, &'a V)) -> &'a V>;

/// A map in the order of its keys.
///
/// INVARIANT: no chunk is empty or has more than [`FULL`] entries; keys ascend strictly through all of them.
pub(crate) struct OrderedMap<K, V> {
    chunks: Vec<Vec<(K, V)>>,
    len: usize,
}

impl<K, V> OrderedMap<K, V> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }

    pub(crate) fn iter(&self) -> Iter<'_, K, V> {
        Iter { chunks: &self.chunks, front: (0, 0), back: (self.chunks.len(), 0) }
    }

    pub(crate) fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&K, &mut V)> {
        self.into_iter()
    }

    pub(crate) fn keys(&self) -> Keys<'_, K, V> {
        self.iter().map(|(key, _)| key)
    }

    pub(crate) fn values(&self) -> Values<'_, K, V> {
        self.iter().map(|(_, value)| value)
    }

    pub(crate) fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> {
        self.iter_mut().map(|(_, value)| value)
    }

    pub(crate) fn into_values(self) -> impl DoubleEndedIterator<Item = V> {
        self.into_iter().map(|(_, value)| value)
    }

    pub(crate) fn last_key_value(&self) -> Option<(&K, &V)> {
        self.iter().next_back()
    }

    pub(crate) fn pop_first(&mut self) -> Option<(K, V)> {
        (!self.is_empty()).then(|| self.take((0, 0)))
    }

    pub(crate) fn pop_last(&mut self) -> Option<(K, V)> {
        let chunk = self.chunks.len().checked_sub(1)?;
        Some(self.take((chunk, self.chunks[chunk].len() - 1)))
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.chunks.iter_mut().for_each(|chunk| chunk.retain_mut(|(key, value)| keep(key, value)));
        self.tidy();
    }

    /// Restores the invariant after chunks lost any of their entries, and gives memory back.
    fn tidy(&mut self) {
        self.chunks.retain(|chunk| !chunk.is_empty());
        self.len = self.chunks.iter().map(Vec::len).sum();
        let mut at = 0;
        while at < self.chunks.len() {
            if !self.merge(at) {
                at += 1;
            }
        }
    }

    /// Puts the chunk behind this one into it if both together fill no more than half of one.
    fn merge(&mut self, at: usize) -> bool {
        let small = self.chunks.get(at + 1).is_some_and(|next| self.chunks[at].len() + next.len() <= FULL / 2);
        if small {
            let mut next = self.chunks.remove(at + 1);
            self.chunks[at].append(&mut next);
        }
        let chunk = &mut self.chunks[at];
        if chunk.len() < chunk.capacity() / 4 {
            chunk.shrink_to(chunk.capacity() / 2);
        }
        small
    }

    fn take(&mut self, (chunk, entry): Place) -> (K, V) {
        let taken = self.chunks[chunk].remove(entry);
        self.len -= 1;
        let left = self.chunks[chunk].len();
        if left == 0 {
            self.chunks.remove(chunk);
        } else if left < FULL / 4 {
            self.merge(chunk);
        }
        if self.is_empty() {
            self.chunks = Vec::new();
        }
        taken
    }

    fn after(&self, (chunk, entry): Place) -> Place {
        if entry + 1 == self.chunks[chunk].len() { (chunk + 1, 0) } else { (chunk, entry + 1) }
    }
}

impl<K: Ord, V> OrderedMap<K, V> {
    /// Where `key` is, or where it would stand.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<Place, Place>
    where
        K: Borrow<Q>,
    {
        let chunk = self.chunks.partition_point(|chunk| chunk.last().is_some_and(|(last, _)| last.borrow() < key));
        let Some(entries) = self.chunks.get(chunk) else { return Err((chunk, 0)) };
        match entries.binary_search_by(|(other, _)| other.borrow().cmp(key)) {
            Ok(entry) => Ok((chunk, entry)),
            Err(entry) => Err((chunk, entry)),
        }
    }

    pub(crate) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (chunk, entry) = self.find(key).ok()?;
        Some(&self.chunks[chunk][entry].1)
    }

    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (chunk, entry) = self.find(key).ok()?;
        Some(&mut self.chunks[chunk][entry].1)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok((chunk, entry)) => Some(mem::replace(&mut self.chunks[chunk][entry].1, value)),
            Err(place) => {
                self.put(place, key, value);
                None
            }
        }
    }

    /// Inserts an entry at the place where it belongs.
    fn put(&mut self, (mut chunk, mut entry): Place, key: K, value: V) -> &mut V {
        self.len += 1;
        if chunk == self.chunks.len() {
            // Keys often come in their order: a full chunk at the end stays full.
            match self.chunks.last() {
                Some(last) if last.len() < FULL => (chunk, entry) = (chunk - 1, last.len()),
                _ => self.chunks.push(Vec::new()),
            }
        } else if self.chunks[chunk].len() == FULL {
            let upper = self.chunks[chunk].split_off(FULL / 2);
            self.chunks.insert(chunk + 1, upper);
            if entry > FULL / 2 {
                (chunk, entry) = (chunk + 1, entry - FULL / 2);
            }
        }
        let entries = &mut self.chunks[chunk];
        entries.insert(entry, (key, value));
        &mut entries[entry].1
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.remove_entry(key).map(|(_, value)| value)
    }

    pub(crate) fn remove_entry<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
    {
        let place = self.find(key).ok()?;
        Some(self.take(place))
    }

    pub(crate) fn entry(&mut self, key: K) -> Entry<'_, K, V> {
        let place = self.find(&key);
        Entry { map: self, place, key }
    }

    /// The entries whose keys lie in `keys`; none if it is empty or its ends are the wrong way round.
    pub(crate) fn range<Q: Ord + ?Sized>(&self, keys: impl RangeBounds<Q>) -> Iter<'_, K, V>
    where
        K: Borrow<Q>,
    {
        let front = self.bound(keys.start_bound(), false);
        let back = match keys.end_bound() {
            Bound::Unbounded => (self.chunks.len(), 0),
            end @ (Bound::Included(_) | Bound::Excluded(_)) => self.bound(end, true),
        };
        Iter { chunks: &self.chunks, front, back: back.max(front) }
    }

    /// The entries from `key` on.
    pub(crate) fn tail_mut(&mut self, key: K) -> impl Iterator<Item = (&K, &mut V)> {
        let (Ok((chunk, entry)) | Err((chunk, entry))) = self.find(&key);
        self.chunks.iter_mut().skip(chunk).flatten().skip(entry).map(|(key, value)| (&*key, value))
    }

    /// The first place behind an end (`upper`), or the first one of a start.
    fn bound<Q: Ord + ?Sized>(&self, bound: Bound<&Q>, upper: bool) -> Place
    where
        K: Borrow<Q>,
    {
        let (key, behind) = match bound {
            Bound::Unbounded => return (0, 0),
            Bound::Included(key) => (key, upper),
            Bound::Excluded(key) => (key, !upper),
        };
        match self.find(key) {
            Ok(place) if behind => self.after(place),
            Ok(place) | Err(place) => place,
        }
    }
}

/// Panics if the key is not there, as `BTreeMap` does.
#[cfg(test)]
impl<K: Ord + Borrow<Q>, Q: Ord + ?Sized, V> core::ops::Index<&Q> for OrderedMap<K, V> {
    type Output = V;

    fn index(&self, key: &Q) -> &V {
        self.get(key).expect("the key is there")
    }
}

/// A place in a map, for a key that is there or not.
pub(crate) struct Entry<'a, K, V> {
    map: &'a mut OrderedMap<K, V>,
    place: Result<Place, Place>,
    key: K,
}

impl<'a, K: Ord, V> Entry<'a, K, V> {
    pub(crate) fn or_insert_with(self, value: impl FnOnce() -> V) -> &'a mut V {
        match self.place {
            Ok((chunk, entry)) => &mut self.map.chunks[chunk][entry].1,
            Err(place) => self.map.put(place, self.key, value()),
        }
    }

    pub(crate) fn or_insert(self, value: V) -> &'a mut V {
        self.or_insert_with(|| value)
    }

    pub(crate) fn or_default(self) -> &'a mut V
    where
        V: Default,
    {
        self.or_insert_with(V::default)
    }
}

/// Entries in order, from both ends.
pub(crate) struct Iter<'a, K, V> {
    chunks: &'a [Vec<(K, V)>],
    front: Place,
    /// The place behind the last entry.
    back: Place,
}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        if self.front == self.back {
            return None;
        }
        let (chunk, entry) = self.front;
        let entries = &self.chunks[chunk];
        self.front = if entry + 1 == entries.len() { (chunk + 1, 0) } else { (chunk, entry + 1) };
        let (key, value) = &entries[entry];
        Some((key, value))
    }
}

impl<K, V> DoubleEndedIterator for Iter<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front == self.back {
            return None;
        }
        self.back = match self.back {
            (chunk, 0) => (chunk - 1, self.chunks[chunk - 1].len() - 1),
            (chunk, entry) => (chunk, entry - 1),
        };
        let (key, value) = &self.chunks[self.back.0][self.back.1];
        Some((key, value))
    }
}

impl<K, V> Default for OrderedMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Clone, V: Clone> Clone for OrderedMap<K, V> {
    fn clone(&self) -> Self {
        Self { chunks: self.chunks.clone(), len: self.len }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for OrderedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for OrderedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<K: Eq, V: Eq> Eq for OrderedMap<K, V> {}

impl<K: Ord, V> Extend<(K, V)> for OrderedMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        entries.into_iter().for_each(|(key, value)| drop(self.insert(key, value)));
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for OrderedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for OrderedMap<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<K, V> IntoIterator for OrderedMap<K, V> {
    type Item = (K, V);
    type IntoIter = Flatten<vec::IntoIter<Vec<(K, V)>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.chunks.into_iter().flatten()
    }
}

impl<'a, K, V> IntoIterator for &'a OrderedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, K, V> IntoIterator for &'a mut OrderedMap<K, V> {
    type Item = (&'a K, &'a mut V);
    type IntoIter = Map<Flatten<slice::IterMut<'a, Vec<(K, V)>>>, fn(&'a mut (K, V)) -> (&'a K, &'a mut V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.chunks.iter_mut().flatten().map(|(key, value)| (&*key, value))
    }
}

impl<K: Serialize, V: Serialize> Serialize for OrderedMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len))?;
        self.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
        map.end()
    }
}

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Deserialize<'de> for OrderedMap<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<K, V>(PhantomData<(K, V)>);
        impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for Entries<K, V> {
            type Value = OrderedMap<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut map = OrderedMap::new();
                while let Some((key, value)) = entries.next_entry()? {
                    map.insert(key, value);
                }
                Ok(map)
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// A set in order.
pub(crate) struct OrderedSet<T>(OrderedMap<T, ()>);

impl<T> OrderedSet<T> {
    pub(crate) const fn new() -> Self {
        Self(OrderedMap::new())
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn iter(&self) -> Members<'_, T> {
        Members(self.0.iter())
    }

    pub(crate) fn first(&self) -> Option<&T> {
        self.iter().next()
    }

    pub(crate) fn last(&self) -> Option<&T> {
        self.iter().next_back()
    }

    pub(crate) fn pop_first(&mut self) -> Option<T> {
        self.0.pop_first().map(|(member, ())| member)
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.0.retain(|member, ()| keep(member));
    }
}

impl<T: Ord> OrderedSet<T> {
    pub(crate) fn contains<Q: Ord + ?Sized>(&self, member: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.0.contains_key(member)
    }

    /// True if it was not there.
    pub(crate) fn insert(&mut self, member: T) -> bool {
        self.0.insert(member, ()).is_none()
    }

    /// True if it was there.
    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, member: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.0.remove(member).is_some()
    }

    pub(crate) fn range<Q: Ord + ?Sized>(&self, members: impl RangeBounds<Q>) -> Members<'_, T>
    where
        T: Borrow<Q>,
    {
        Members(self.0.range(members))
    }

    pub(crate) fn difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> {
        self.iter().filter(|member| !other.contains(*member))
    }

    pub(crate) fn is_subset(&self, other: &Self) -> bool {
        self.difference(other).next().is_none()
    }
}

/// Members in order, from both ends.
pub(crate) struct Members<'a, T>(Iter<'a, T, ()>);

impl<T> Clone for Members<'_, T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<'a, T> Iterator for Members<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        self.0.next().map(|(member, ())| member)
    }
}

impl<T> DoubleEndedIterator for Members<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|(member, ())| member)
    }
}

impl<T> Default for OrderedSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone> Clone for OrderedSet<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: fmt::Debug> fmt::Debug for OrderedSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<T: PartialEq> PartialEq for OrderedSet<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T: Eq> Eq for OrderedSet<T> {}

impl<T: Ord> Extend<T> for OrderedSet<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, members: I) {
        self.0.extend(members.into_iter().map(|member| (member, ())));
    }
}

impl<'a, T: Ord + Copy + 'a> Extend<&'a T> for OrderedSet<T> {
    fn extend<I: IntoIterator<Item = &'a T>>(&mut self, members: I) {
        self.extend(members.into_iter().copied());
    }
}

impl<T: Ord> FromIterator<T> for OrderedSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(members: I) -> Self {
        Self(members.into_iter().map(|member| (member, ())).collect())
    }
}

impl<T: Ord, const N: usize> From<[T; N]> for OrderedSet<T> {
    fn from(members: [T; N]) -> Self {
        members.into_iter().collect()
    }
}

impl<T> IntoIterator for OrderedSet<T> {
    type Item = T;
    type IntoIter = Map<<OrderedMap<T, ()> as IntoIterator>::IntoIter, fn((T, ())) -> T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().map(|(member, ())| member)
    }
}

impl<'a, T> IntoIterator for &'a OrderedSet<T> {
    type Item = &'a T;
    type IntoIter = Members<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::{BTreeMap, BTreeSet};
    use proptest::prelude::*;

    impl<K: Ord, V> OrderedMap<K, V> {
        fn check(&self) {
            assert!(self.chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= FULL));
            assert_eq!(self.len, self.chunks.iter().map(Vec::len).sum::<usize>());
            assert!(self.keys().zip(self.keys().skip(1)).all(|(a, b)| a < b));
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u16),
        Ascending(u16),
        Entry(u16),
        Remove(u16),
        RemoveMany(u16, u16),
        PopFirst,
        PopLast,
        Retain(u16),
        Range(Bound<u16>, Bound<u16>),
        From(u16),
    }

    fn bound() -> impl Strategy<Value = Bound<u16>> {
        let key = 0..400u16;
        prop_oneof![key.clone().prop_map(Bound::Included), key.prop_map(Bound::Excluded), Just(Bound::Unbounded)]
    }

    fn step() -> impl Strategy<Value = Step> {
        let key = 0..400u16;
        prop_oneof![
            6 => key.clone().prop_map(Step::Insert),
            2 => key.clone().prop_map(Step::Ascending),
            2 => key.clone().prop_map(Step::Entry),
            3 => key.clone().prop_map(Step::Remove),
            1 => (key.clone(), key.clone()).prop_map(|(from, count)| Step::RemoveMany(from, count)),
            1 => Just(Step::PopFirst),
            1 => Just(Step::PopLast),
            1 => (2..9u16).prop_map(Step::Retain),
            2 => (bound(), bound()).prop_map(|(a, b)| Step::Range(a, b)),
            1 => key.prop_map(Step::From),
        ]
    }

    /// The standard library panics at a range whose ends are the wrong way round, or are one excluded key.
    fn is_range(a: Bound<u16>, b: Bound<u16>) -> bool {
        match (a, b) {
            (Bound::Excluded(a), Bound::Excluded(b)) => a < b,
            (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => a <= b,
            _ => true,
        }
    }

    proptest! {
        /// The standard library's map is the oracle. Breaks if a chunk is split one entry aside, if an emptied chunk
        /// stays, or if a range ends one place early.
        #[test]
        fn it_does_what_a_b_tree_does(steps in prop::collection::vec(step(), 0..600)) {
            let (mut ours, mut theirs) = (OrderedMap::new(), BTreeMap::new());
            for (n, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(key) => prop_assert_eq!(ours.insert(key, n), theirs.insert(key, n)),
                    Step::Ascending(from) => {
                        ours.extend((from..from + 100).map(|key| (key, n)));
                        theirs.extend((from..from + 100).map(|key| (key, n)));
                    }
                    Step::Entry(key) => prop_assert_eq!(ours.entry(key).or_insert(n), theirs.entry(key).or_insert(n)),
                    Step::Remove(key) => prop_assert_eq!(ours.remove_entry(&key), theirs.remove_entry(&key)),
                    Step::RemoveMany(from, count) => {
                        for key in from..from + count {
                            prop_assert_eq!(ours.remove(&key), theirs.remove(&key));
                        }
                    }
                    Step::PopFirst => prop_assert_eq!(ours.pop_first(), theirs.pop_first()),
                    Step::PopLast => prop_assert_eq!(ours.pop_last(), theirs.pop_last()),
                    Step::Retain(by) => {
                        ours.retain(|key, _| key % by != 0);
                        theirs.retain(|key, _| key % by != 0);
                    }
                    Step::Range(a, b) if is_range(a, b) => {
                        let (mut x, mut y) = (ours.range((a, b)), theirs.range((a, b)));
                        for back in [false, true].into_iter().cycle().take(theirs.len() + 2) {
                            let (x, y) = if back { (x.next_back(), y.next_back()) } else { (x.next(), y.next()) };
                            prop_assert_eq!(x, y);
                        }
                    }
                    Step::Range(a, b) => prop_assert_eq!(ours.range((a, b)).count(), 0),
                    Step::From(key) => {
                        ours.tail_mut(key).for_each(|(_, value)| *value += 1);
                        theirs.range_mut(key..).for_each(|(_, value)| *value += 1);
                    }
                }
                ours.check();
                prop_assert_eq!(ours.len(), theirs.len());
                prop_assert!(ours.iter().eq(&theirs));
                prop_assert!(ours.iter().rev().eq(theirs.iter().rev()));
                prop_assert_eq!(ours.get(&7), theirs.get(&7));
            }
            prop_assert!(ours.into_iter().eq(theirs));
        }

        #[test]
        fn a_set_does_what_a_b_tree_does(a in prop::collection::vec(any::<u8>(), 0..99), b in prop::collection::vec(any::<u8>(), 0..99)) {
            let (ours, theirs): (OrderedSet<u8>, BTreeSet<u8>) = (a.iter().copied().collect(), a.iter().copied().collect());
            let (other, others): (OrderedSet<u8>, BTreeSet<u8>) = (b.iter().copied().collect(), b.iter().copied().collect());
            prop_assert!(ours.difference(&other).eq(theirs.difference(&others)));
            prop_assert_eq!(ours.is_subset(&other), theirs.is_subset(&others));
            prop_assert_eq!((ours.first(), ours.last()), (theirs.first(), theirs.last()));
            prop_assert!(ours.into_iter().eq(theirs));
        }
    }

    /// Memory follows the number of entries: a table that was large once is small again.
    #[test]
    fn a_table_that_shrinks_gives_memory_back() {
        let places = |map: &OrderedMap<u32, u64>| map.chunks.iter().map(Vec::capacity).sum::<usize>();
        let mut map: OrderedMap<u32, u64> = (0..10_000).map(|key| (key, 0)).collect();
        assert!(places(&map) <= 10_064);
        (0..10_000).filter(|key| key % 100 != 0).for_each(|key| assert!(map.remove(&key).is_some()));
        assert!(map.len() == 100 && places(&map) <= 800, "{} places", places(&map));
        map.retain(|key, _| *key == 0);
        assert!(places(&map) <= 64);
        map.pop_first();
        assert_eq!(places(&map), 0);
    }
}
