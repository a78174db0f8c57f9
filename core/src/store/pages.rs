//! The rows of one table in memory: sorted pages of bytes, after the leaves of a prefix B-tree (Bayer and Unterauer,
//! "Prefix B-trees", ACM TODS 2(1), 1977). A page holds what its keys begin with once, and its keys and values one
//! after the other, so that a row is copied into place and needs no allocation of its own.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::Bound;

/// Bytes of a page before it is split. Measured with rows of 150 B (docs/benchmarks.md): 4 KiB is slower to search,
/// 16 KiB slower to change in the middle.
const PAGE_BYTES: usize = 8 << 10;
/// Rows of a page before it is split: a row in the middle moves the places of those after it, 12 B each.
const PAGE_ROWS: usize = 128;

/// Bytes of a page with its first row: tables of one short row are the most.
const FIRST_BYTES: usize = 128;

/// Where a row is in its page.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    at: u32,
    /// Bytes of the key after the page's prefix.
    key: u32,
    value: u32,
}

impl Place {
    fn len(self) -> usize {
        (self.key as usize).saturating_add(self.value as usize)
    }

    fn slice(bytes: &[u8], at: usize, len: usize) -> &[u8] {
        bytes.get(at..at.saturating_add(len)).unwrap_or_default()
    }

    fn key(self, bytes: &[u8]) -> &[u8] {
        Self::slice(bytes, self.at as usize, self.key as usize)
    }

    fn value(self, bytes: &[u8]) -> &[u8] {
        Self::slice(bytes, (self.at as usize).saturating_add(self.key as usize), self.value as usize)
    }
}

#[derive(Clone, Debug, Default)]
struct Page {
    /// INVARIANT: every key begins with it.
    prefix: Vec<u8>,
    /// INVARIANT: in the order of their keys.
    places: Vec<Place>,
    bytes: Vec<u8>,
    /// Bytes that no row uses any more.
    garbage: usize,
}

/// How many bytes two keys have in common.
fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// As much of `key` as tells it from the key before.
fn between(before: &[u8], key: &[u8]) -> Box<[u8]> {
    key.get(..common(before, key).saturating_add(1)).unwrap_or(key).into()
}

impl Page {
    fn find(&self, key: &[u8]) -> Result<usize, usize> {
        match key.strip_prefix(self.prefix.as_slice()) {
            Some(rest) => self.find_rest(rest),
            // All keys are on one side of it.
            None if key < self.prefix.as_slice() => Err(0),
            None => Err(self.places.len()),
        }
    }

    /// Rows mostly come at the end and go from the beginning.
    fn find_rest(&self, rest: &[u8]) -> Result<usize, usize> {
        let (Some(first), Some(last)) = (self.places.first(), self.places.last()) else { return Err(0) };
        let end = self.places.len();
        match last.key(&self.bytes).cmp(rest) {
            Ordering::Less => return Err(end),
            Ordering::Equal => return Ok(end.saturating_sub(1)),
            Ordering::Greater => {}
        }
        match first.key(&self.bytes).cmp(rest) {
            Ordering::Greater => Err(0),
            Ordering::Equal => Ok(0),
            Ordering::Less => self.places.binary_search_by(|place| place.key(&self.bytes).cmp(rest)),
        }
    }

    /// The first row at or after `key`.
    fn lower(&self, key: &[u8]) -> usize {
        self.find(key).unwrap_or_else(|at| at)
    }

    fn key(&self, at: usize) -> Vec<u8> {
        let rest = self.places.get(at).map_or(&[][..], |place| place.key(&self.bytes));
        let mut key = Vec::with_capacity(self.prefix.len().saturating_add(rest.len()));
        key.extend_from_slice(&self.prefix);
        key.extend_from_slice(rest);
        key
    }

    fn value(&self, at: usize) -> &[u8] {
        self.places.get(at).map_or(&[], |place| place.value(&self.bytes))
    }

    fn append(&mut self, rest: &[u8], value: &[u8]) -> Place {
        let (len, more) = (self.bytes.len(), rest.len().saturating_add(value.len()));
        if len.saturating_add(more) > self.bytes.capacity() {
            // Twice as much, but no more than a page has: what is never filled would be kept for good.
            let twice = self.bytes.capacity().saturating_mul(2).clamp(FIRST_BYTES, PAGE_BYTES);
            self.bytes.reserve_exact(twice.saturating_sub(len).max(more));
        }
        let place = Place { at: self.bytes.len() as u32, key: rest.len() as u32, value: value.len() as u32 };
        self.bytes.extend_from_slice(rest);
        self.bytes.extend_from_slice(value);
        place
    }

    /// Writes a row; whether it is a new one.
    fn put(&mut self, key: &[u8], value: &[u8]) -> bool {
        if self.places.is_empty() && self.prefix.is_empty() {
            self.prefix = key.to_vec();
        }
        if !key.starts_with(&self.prefix) {
            self.rewrite(common(key, &self.prefix));
        }
        let found = self.find(key);
        let rest = key.get(self.prefix.len()..).unwrap_or_default();
        match found {
            Ok(at) => {
                let Some(place) = self.places.get(at).copied() else { return false };
                let begin = (place.at as usize).saturating_add(place.key as usize);
                if let Some(old) = self.bytes.get_mut(begin..begin.saturating_add(value.len()))
                    && value.len() <= place.value as usize
                {
                    old.copy_from_slice(value);
                    self.garbage = self.garbage.saturating_add((place.value as usize).saturating_sub(value.len()));
                    self.replace(at, Place { value: value.len() as u32, ..place });
                } else {
                    self.garbage = self.garbage.saturating_add(place.len());
                    let place = self.append(rest, value);
                    self.replace(at, place);
                }
                self.tidy();
                false
            }
            Err(at) => {
                let place = self.append(rest, value);
                self.places.insert(at, place);
                true
            }
        }
    }

    fn replace(&mut self, at: usize, place: Place) {
        if let Some(old) = self.places.get_mut(at) {
            *old = place;
        }
    }

    /// Removes the rows of a range; how many there were.
    fn remove(&mut self, from: usize, to: usize) -> usize {
        let to = to.min(self.places.len());
        let from = from.min(to);
        let gone = self.places.drain(from..to);
        let count = gone.len();
        let bytes = gone.fold(0usize, |sum, place| sum.saturating_add(place.len()));
        self.garbage = self.garbage.saturating_add(bytes);
        self.tidy();
        count
    }

    /// Gives back what is not used, once it is more than half.
    fn tidy(&mut self) {
        if self.garbage > self.bytes.len() / 2 {
            self.rewrite(self.prefix.len());
        }
    }

    /// The same rows with a prefix of `len` bytes, which all keys must have in common, and without garbage.
    fn rewrite(&mut self, len: usize) {
        *self = self.part(0, self.places.len(), len);
    }

    /// A page of some of the rows, with as long a prefix as they allow.
    fn narrow(&self, from: usize, to: usize) -> Self {
        let rest = |at: usize| self.places.get(at).map_or(&[][..], |place| place.key(&self.bytes));
        let last = to.saturating_sub(1);
        // The next key is probably as near to a single one as the others were.
        let more = if from < last { common(rest(from), rest(last)) } else { 0 };
        self.part(from, to, self.prefix.len().saturating_add(more))
    }

    /// A page of some of the rows with a prefix of `len` bytes.
    fn part(&self, from: usize, to: usize, len: usize) -> Self {
        let places = self.places.get(from..to).unwrap_or_default();
        // Of the old prefix what goes in front of each key, and of each key what goes into the new one.
        let (kept, front) = self.prefix.split_at_checked(len).unwrap_or((&self.prefix, &[]));
        let off = len.saturating_sub(self.prefix.len());
        let mut prefix = kept.to_vec();
        if let Some(first) = places.first() {
            prefix.extend_from_slice(first.key(&self.bytes).get(..off).unwrap_or_default());
        }
        let size = places.iter().fold(0usize, |n, p| n.saturating_add(p.len()).saturating_add(front.len()));
        let (places, old) = (Vec::with_capacity(places.len()), places);
        let mut page = Self { prefix, places, bytes: Vec::with_capacity(size), garbage: 0 };
        for old in old {
            let at = page.bytes.len() as u32;
            page.bytes.extend_from_slice(front);
            let place = page.append(old.key(&self.bytes).get(off..).unwrap_or_default(), old.value(&self.bytes));
            page.places.push(Place { at, key: place.key.saturating_add(front.len() as u32), ..place });
        }
        page
    }

    /// Splits off the upper half; with the key that it stands under.
    fn split(&mut self) -> (Box<[u8]>, Self) {
        let at = self.places.len() / 2;
        let above = self.narrow(at, self.places.len());
        let low = between(&self.key(at.saturating_sub(1)), &self.key(at));
        *self = self.narrow(0, at);
        (low, above)
    }

    /// The page after this one for a row that comes after its rows and does not fit.
    fn next(&self, key: &[u8], value: &[u8]) -> Option<(Box<[u8]>, Self)> {
        let bytes = self.bytes.len().saturating_add(key.len()).saturating_add(value.len());
        let fits = bytes <= PAGE_BYTES && self.places.len() < PAGE_ROWS;
        let last = self.places.len().checked_sub(1)?;
        if fits || self.find(key) != Err(last.saturating_add(1)) {
            return None;
        }
        // The keys after it are probably as near to each other as those of a page before.
        let prefix = key.get(..common(&self.key(0), key)).unwrap_or_default().to_vec();
        let mut page = Self { prefix, ..Self::default() };
        page.put(key, value);
        Some((between(&self.key(last), key), page))
    }

    fn is_full(&self) -> bool {
        self.places.len() > 1 && (self.bytes.len() > PAGE_BYTES || self.places.len() > PAGE_ROWS)
    }
}

/// The rows of one table.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    /// Each under a key that is not above its own keys and above those of the page before.
    pages: BTreeMap<Box<[u8]>, Page>,
    count: usize,
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    fn page_mut(&mut self, key: &[u8]) -> Option<(&[u8], &mut Page)> {
        let mut below = self.pages.range_mut::<[u8], _>((Bound::Unbounded, Bound::Included(key)));
        below.next_back().map(|(low, page)| (&**low, page))
    }

    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) {
        let page = match self.page_mut(key) {
            Some((_, page)) => page,
            // Below all others.
            None => self.pages.entry(Box::default()).or_default(),
        };
        if let Some((low, next)) = page.next(key, value) {
            self.pages.insert(low, next);
            self.count = self.count.saturating_add(1);
            return;
        }
        let is_new = page.put(key, value);
        let is_full = page.is_full();
        self.count = self.count.saturating_add(usize::from(is_new));
        // One split, or more around a value that is larger than a page.
        let mut full: Vec<Box<[u8]>> = is_full.then(|| key.into()).into_iter().collect();
        while let Some(at) = full.pop() {
            if let Some((_, page)) = self.page_mut(&at).filter(|(_, page)| page.is_full()) {
                let (low, above) = page.split();
                self.pages.insert(low.clone(), above);
                full.extend([at, low]);
            }
        }
    }

    pub(super) fn delete(&mut self, key: &[u8]) {
        let Some((low, page)) = self.page_mut(key) else { return };
        let Ok(at) = page.find(key) else { return };
        let gone = page.remove(at, at.saturating_add(1));
        let emptied = page.places.is_empty().then(|| Box::<[u8]>::from(low));
        self.count = self.count.saturating_sub(gone);
        if let Some(low) = emptied {
            self.pages.remove(&low);
        }
    }

    /// Removes every key from `start` up to but not including `end`.
    pub(super) fn delete_range(&mut self, start: &[u8], end: &[u8]) {
        if start >= end {
            return;
        }
        let mut emptied: Vec<Box<[u8]>> = Vec::new();
        let mut gone = 0usize;
        let first = self.page_mut(start).map_or(Box::default(), |(low, _)| Box::<[u8]>::from(low));
        for (low, page) in self.pages.range_mut::<[u8], _>((Bound::Included(&*first), Bound::Excluded(end))) {
            let (from, to) = (page.lower(start), page.lower(end));
            if from == 0 && to == page.places.len() {
                gone = gone.saturating_add(to);
                emptied.push(low.clone());
            } else if from < to {
                gone = gone.saturating_add(page.remove(from, to));
            }
        }
        for low in &emptied {
            self.pages.remove(low);
        }
        self.count = self.count.saturating_sub(gone);
    }

    /// The rows from `start` up to but not including `end`.
    pub(super) fn range<'a>(&'a self, start: &[u8], end: &[u8]) -> impl DoubleEndedIterator<Item = Row<'a>> {
        let first = self.pages.range::<[u8], _>((Bound::Unbounded, Bound::Included(start))).next_back();
        let first: &[u8] = first.map_or(&[], |(low, _)| low);
        // An empty range of a tree panics where its ends cross.
        let pages = (start < end).then(|| self.pages.range::<[u8], _>((Bound::Included(first), Bound::Excluded(end))));
        let (start, end) = (start.to_vec(), end.to_vec());
        pages.into_iter().flatten().flat_map(move |(_, page)| {
            let (from, to) = (page.lower(&start), page.lower(&end));
            (from..to).map(move |at| Row { page, at })
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        self.pages.values().flat_map(|page| (0..page.places.len()).map(move |at| Row { page, at }))
    }
}

/// The same rows, however they lie in pages.
impl PartialEq for Rows {
    fn eq(&self, other: &Self) -> bool {
        let rows = |rows: &Self| rows.iter().map(|row| (row.key(), row.value().to_vec())).collect::<Vec<_>>();
        self.count == other.count && rows(self) == rows(other)
    }
}

impl Eq for Rows {}

/// One row.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    page: &'a Page,
    at: usize,
}

impl<'a> Row<'a> {
    pub(super) fn key(self) -> Vec<u8> {
        self.page.key(self.at)
    }

    pub(super) fn value(self) -> &'a [u8] {
        self.page.value(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    type Naive = BTreeMap<Vec<u8>, Vec<u8>>;

    #[derive(Clone, Debug)]
    enum Change {
        Put(Vec<u8>, Vec<u8>),
        Delete(Vec<u8>),
        DeleteRange(Vec<u8>, Vec<u8>),
        /// Rows in rising order, as a log grows.
        Append(Vec<u8>, u8),
    }

    /// Keys that share long beginnings, some of them the beginning of others, and some nothing.
    fn keys() -> impl Strategy<Value = Vec<u8>> {
        let long = (0u8..3, 0u8..4, 0u16..600).prop_map(|(a, b, n)| {
            let mut key = [[a; 32], [b; 32]].concat();
            key.extend(n.to_be_bytes());
            key
        });
        prop_oneof![
            8 => long.clone(),
            1 => (long, 0usize..66).prop_map(|(key, len)| key[..len].to_vec()),
            1 => prop::collection::vec(0u8..3, 0..4),
        ]
    }

    fn changes() -> impl Strategy<Value = Vec<Change>> {
        let values = || prop_oneof![9 => prop::collection::vec(any::<u8>(), 0..300), 1 => Just(vec![7; 9_000])];
        let change = prop_oneof![
            12 => (keys(), values()).prop_map(|(k, v)| Change::Put(k, v)),
            4 => keys().prop_map(Change::Delete),
            1 => (keys(), keys()).prop_map(|(a, b)| Change::DeleteRange(a, b)),
            2 => (keys(), 1u8..200).prop_map(|(k, n)| Change::Append(k, n)),
        ];
        prop::collection::vec(change, 1..120)
    }

    fn apply(rows: &mut Rows, naive: &mut Naive, change: Change) {
        match change {
            Change::Put(key, value) => {
                rows.put(&key, &value);
                naive.insert(key, value);
            }
            Change::Delete(key) => {
                rows.delete(&key);
                naive.remove(&key);
            }
            Change::DeleteRange(start, end) => {
                rows.delete_range(&start, &end);
                naive.retain(|key, _| *key < start || *key >= end);
            }
            Change::Append(key, count) => {
                for n in 0..count {
                    let key = [&key[..], &[n]].concat();
                    rows.put(&key, &[n; 60]);
                    naive.insert(key, vec![n; 60]);
                }
            }
        }
    }

    fn check(rows: &Rows) {
        let pages: Vec<_> = rows.pages.iter().collect();
        for (n, (low, page)) in pages.iter().enumerate() {
            assert!(!page.places.is_empty(), "an empty page stays");
            assert!(page.garbage <= page.bytes.len() / 2, "more garbage than rows");
            assert!(page.places.len() == 1 || page.bytes.len() <= PAGE_BYTES && page.places.len() <= PAGE_ROWS);
            let used = page.places.iter().map(|p| p.len()).sum::<usize>();
            assert_eq!(used + page.garbage, page.bytes.len(), "bytes that nothing accounts for");
            assert!(low.as_ref() <= page.key(0).as_slice());
            if let Some((next, _)) = pages.get(n + 1) {
                assert!(page.key(page.places.len() - 1).as_slice() < next.as_ref(), "pages overlap");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn pages_hold_what_a_map_holds(changes in changes(), ranges in prop::collection::vec((keys(), keys()), 1..8)) {
            let (mut rows, mut naive) = (Rows::default(), Naive::new());
            for change in changes {
                apply(&mut rows, &mut naive, change);
                check(&rows);
                prop_assert_eq!(rows.len(), naive.len());
            }
            let all: Vec<_> = rows.iter().map(|row| (row.key(), row.value().to_vec())).collect();
            prop_assert_eq!(all, naive.clone().into_iter().collect::<Vec<_>>());
            for (start, end) in ranges {
                let inside = |key: &Vec<u8>| *key >= start && *key < end;
                let wanted: Vec<_> = naive.iter().filter(|(key, _)| inside(key)).map(|(key, _)| key.clone()).collect();
                let got: Vec<_> = rows.range(&start, &end).map(Row::key).collect();
                prop_assert_eq!(&got, &wanted);
                let mut back: Vec<_> = rows.range(&start, &end).rev().map(Row::key).collect();
                back.reverse();
                prop_assert_eq!(&back, &wanted);
            }
        }
    }

    #[test]
    fn pages_are_full_and_keep_once_what_keys_share() {
        for (order, full) in [("up", 90), ("down", 25)] {
            let mut rows = Rows::default();
            // What it leaves of a common beginning is nothing, for the page that it is in.
            rows.put(&[1], &[]);
            for n in 0..10_000u64 {
                let n = if order == "up" { n } else { 10_000 - n };
                rows.put(&[&[9; 64][..], &n.to_be_bytes()].concat(), &[1; 100]);
            }
            check(&rows);
            let bytes: usize = rows.pages.values().map(|page| page.bytes.len()).sum();
            assert!(bytes <= 10_000 * 110, "{order}: {bytes} bytes");
            assert!(rows.pages.len() <= bytes * 100 / PAGE_BYTES / full, "{order}: {} pages", rows.pages.len());
        }
    }

    #[test]
    fn equal_rows_are_equal_in_other_pages() {
        let (mut up, mut down) = (Rows::default(), Rows::default());
        for n in 0..500u16 {
            up.put(&n.to_be_bytes(), &[1; 50]);
            down.put(&(499 - n).to_be_bytes(), &[1; 50]);
        }
        assert!(up.pages.len() != down.pages.len() && up == down);
        down.put(&7u16.to_be_bytes(), &[2; 50]);
        assert!(up != down);
    }
}
