//! Range-based set reconciliation: what differs between two ordered sets, in O(log n) rounds.
//!
//! As negentropy v1 does it (and Meyer, "Range-Based Set Reconciliation", SRDS 2023): a range whose
//! fingerprints differ is split into 16 buckets of the own items, and one with fewer than 32 items is
//! listed. Items are sorted by depth, then id, so recent messages, which differ most often, share
//! ranges. There is nothing probabilistic but the fingerprint, so nothing is lost silently, as Bloom
//! filters would.
//!
//! Two deviations. Fingerprints are BLAKE3 as everywhere here, not SHA-256. And the receiver of a list
//! settles that range: it sends what the other lacks and requests what it lacks itself, where
//! negentropy sends a list back to the initiator. Both sides run the same code, and the last round
//! costs half.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::chat::item::Item;
use crate::collections::{OrderTree, Total};
use crate::id::{ID_LEN, MessageId};
use crate::wire::{Blob, Malformed, encode};

/// Parts of a range that differs: 16 (negentropy v1).
const BUCKETS: usize = 16;
/// A range with fewer items is listed: 32 (negentropy v1).
const LISTED: usize = 32;
/// Bytes of ranges in one message: 32 KiB, half of what 64 fragments carry. What does not fit is left
/// as one fingerprint of the rest, for the next round.
const FRAME: usize = 32 << 10;
/// Items found missing on one side in one message: 4,096, about 1 MiB of messages. A later comparison
/// finds the rest.
pub(super) const MAX_FOUND: usize = 4_096;

/// The end of a range, not included: a depth and the beginning of an id, zeros after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bound {
    pub depth: u64,
    /// Up to 32 bytes: no more than set it apart from its neighbours.
    pub prefix: Blob,
}

impl Bound {
    /// The shortest bound after `before` and not after `next`.
    fn between(before: MessageId, next: MessageId) -> Self {
        let shared = match before.depth == next.depth {
            true => before.hash.iter().zip(&next.hash).take_while(|(a, b)| a == b).count().saturating_add(1),
            false => 0,
        };
        Self { depth: next.depth, prefix: Blob(next.hash.iter().take(shared).copied().collect()) }
    }

    /// The beginning of a depth.
    pub(super) fn at_depth(depth: u64) -> Self {
        Self { depth, prefix: Blob(Vec::new()) }
    }

    fn place(&self) -> Result<MessageId, Malformed> {
        let mut id = [0; ID_LEN];
        id.get_mut(..self.prefix.0.len()).ok_or(Malformed)?.copy_from_slice(&self.prefix.0);
        Ok(MessageId { depth: self.depth, hash: id })
    }
}

/// The content of one range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mode {
    /// Nothing more.
    Skip,
    /// A hash of the sum of the ids in it and their number.
    Fingerprint([u8; 16]),
    /// Everything in it, in order.
    Ids(Vec<MessageId>),
}

/// A range, which begins where the one before it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub end: Bound,
    pub mode: Mode,
}

/// What one message comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// What is still open and goes back; nothing if all is settled.
    pub(super) parts: Vec<Part>,
    /// What the other side lacks, in order.
    pub(super) give: Vec<MessageId>,
    /// What is missing here, in order.
    pub(super) need: Vec<MessageId>,
    /// There was more to give or to need than [`MAX_FOUND`].
    pub(super) more: bool,
}

/// The count and the sum of what is from one place up to but not including another.
fn total(tree: &OrderTree<Item>, start: MessageId, end: MessageId) -> Total {
    tree.total(&Item::bound(start), &Item::bound(end))
}

fn ids(tree: &OrderTree<Item>, start: MessageId, end: MessageId, most: usize) -> Vec<MessageId> {
    tree.items(&Item::bound(start), &Item::bound(end), most).into_iter().map(|item| item.id).collect()
}

fn fingerprint(total: &Total) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key("DONP v1 range fingerprint");
    hasher.update(&total.sum_bytes()).update(&total.count.to_le_bytes());
    let (half, _) = hasher.finalize().as_bytes().split_first_chunk::<16>().map_or(([0; 16], ()), |(h, _)| (*h, ()));
    half
}

/// The first message: one fingerprint of all from depth `from` up to but not including depth `to`.
pub(super) fn begin(tree: &OrderTree<Item>, (from, to): (u64, u64)) -> Vec<Part> {
    let mode = Mode::Fingerprint(fingerprint(&total(tree, MessageId::first_of(from), MessageId::first_of(to))));
    alloc::vec![Part { end: Bound::at_depth(to), mode }]
}

/// Collects the parts of an answer within [`FRAME`].
struct Frame<'a> {
    tree: &'a OrderTree<Item>,
    parts: Vec<Part>,
    bytes: usize,
    /// The end of ranges that need no mention unless one follows.
    skipped: Option<Bound>,
}

impl Frame<'_> {
    fn push(&mut self, part: Part) {
        if let Some(end) = self.skipped.take() {
            self.push(Part { end, mode: Mode::Skip });
        }
        self.bytes = self.bytes.saturating_add(encode(&part).len());
        self.parts.push(part);
    }

    /// Describes the range from `start` to `end`, which differs.
    fn split(&mut self, start: MessageId, end: (MessageId, Bound)) {
        let (low, high) = (self.tree.rank(&Item::bound(start)), self.tree.rank(&Item::bound(end.0)));
        let count = high.saturating_sub(low);
        if count < LISTED {
            return self.push(Part { end: end.1, mode: Mode::Ids(ids(self.tree, start, end.0, LISTED)) });
        }
        let mut begin = start;
        for bucket in 1..=BUCKETS {
            let rank = low.saturating_add(count.saturating_mul(bucket).checked_div(BUCKETS).unwrap_or(0));
            let (until, bound) = match (self.tree.select(rank.saturating_sub(1)), self.tree.select(rank)) {
                (Some(before), Some(next)) if bucket < BUCKETS => {
                    let bound = Bound::between(before.id, next.id);
                    (bound.place().unwrap_or(next.id), bound)
                }
                _ => end.clone(),
            };
            let mode = Mode::Fingerprint(fingerprint(&total(self.tree, begin, until)));
            self.push(Part { end: bound, mode });
            begin = until;
        }
    }
}

/// Splits all from depth `from` up to but not including depth `to`, as if it differed.
pub(super) fn differs(tree: &OrderTree<Item>, (from, to): (u64, u64)) -> Vec<Part> {
    let mut frame = Frame { tree, parts: Vec::new(), bytes: 0, skipped: None };
    frame.split(MessageId::first_of(from), (MessageId::first_of(to), Bound::at_depth(to)));
    frame.parts
}

/// Compares the other side's description of the ranges from depth `from` up to but not including depth
/// `to` with what is here.
pub(super) fn reconcile(tree: &OrderTree<Item>, (from, to): (u64, u64), parts: &[Part]) -> Result<Outcome, Malformed> {
    let mut found = Outcome::default();
    let mut frame = Frame { tree, parts: Vec::new(), bytes: 0, skipped: None };
    let mut start = MessageId::first_of(from);
    for part in parts {
        let end = part.end.place()?;
        if end <= start || end > MessageId::first_of(to) {
            return Err(Malformed);
        }
        if frame.bytes >= FRAME {
            let rest = Mode::Fingerprint(fingerprint(&total(tree, start, MessageId::first_of(to))));
            frame.push(Part { end: Bound::at_depth(to), mode: rest });
            break;
        }
        match &part.mode {
            Mode::Skip => frame.skipped = Some(part.end.clone()),
            Mode::Fingerprint(theirs) if *theirs == fingerprint(&total(tree, start, end)) => {
                frame.skipped = Some(part.end.clone());
            }
            Mode::Fingerprint(_) => frame.split(start, (end, part.end.clone())),
            Mode::Ids(theirs) => {
                let sound = theirs.is_sorted_by(|a, b| a < b)
                    && theirs.first().is_none_or(|i| *i >= start)
                    && theirs.last().is_none_or(|i| *i < end);
                if !sound {
                    return Err(Malformed);
                }
                settle(tree, (start, end), theirs, &mut found);
                frame.skipped = Some(part.end.clone());
            }
        }
        start = end;
    }
    found.parts = frame.parts;
    Ok(found)
}

/// What each side lacks of a range that the other has listed.
fn settle(tree: &OrderTree<Item>, (start, end): (MessageId, MessageId), theirs: &[MessageId], found: &mut Outcome) {
    let room = MAX_FOUND.saturating_sub(found.give.len());
    // As many more as are on both sides, and one to see whether there are more.
    let most = room.saturating_add(theirs.len()).saturating_add(1);
    let ours = ids(tree, start, end, most);
    let cut = ours.len() == most;
    let give = ours.iter().filter(|i| theirs.binary_search(i).is_err()).copied();
    found.give.extend(give.take(room));
    let need = theirs.iter().filter(|i| total(tree, **i, i.next()).count == 0).copied();
    let room = MAX_FOUND.saturating_sub(found.need.len());
    let before = found.need.len();
    found.need.extend(need.take(room));
    found.more |= cut || found.need.len().saturating_sub(before) == room;
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::chat::wire::Sync;
    use crate::id::ConversationId;
    use alloc::collections::BTreeSet;
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    fn place(depth: u64, n: u64) -> MessageId {
        MessageId { depth, hash: *blake3::hash(&n.to_le_bytes()).as_bytes() }
    }

    fn item(depth: u64, n: u64) -> Item {
        Item::new(&[5; 16], place(depth, n))
    }

    fn tree(items: impl IntoIterator<Item = Item>) -> OrderTree<Item> {
        let mut tree = OrderTree::new();
        for i in items {
            tree.insert(i);
        }
        tree
    }

    const ALL: (u64, u64) = (0, u64::MAX);

    #[derive(Default)]
    struct Cost {
        /// Messages there and back.
        messages: usize,
        bytes: usize,
        largest: usize,
    }

    /// Runs a comparison to its end and inserts on each side what it lacks.
    fn run(a: &mut OrderTree<Item>, b: &mut OrderTree<Item>) -> Cost {
        let mut cost = Cost::default();
        let mut parts = begin(a, ALL);
        loop {
            let conversation = ConversationId([0; 32]);
            let bytes =
                encode(&Sync::Compare { conversation, salt: [0; 16], from: 0, to: u64::MAX, parts: parts.clone() })
                    .len();
            cost.messages += 1;
            cost.bytes += bytes;
            cost.largest = cost.largest.max(bytes);
            let asked_by_a = cost.messages % 2 == 1;
            let (here, there) = if asked_by_a { (&mut *b, &mut *a) } else { (&mut *a, &mut *b) };
            let outcome = reconcile(here, ALL, &parts).unwrap();
            for i in &outcome.need {
                assert!(total(there, *i, i.next()).count == 1, "only items of the other side are requested");
                assert!(here.insert(Item::new(&[5; 16], *i)), "only missing items are requested");
            }
            for i in &outcome.give {
                assert!(there.insert(Item::new(&[5; 16], *i)), "only missing items are sent");
            }
            parts = outcome.parts;
            // The initiator stops when nothing is open; an answer is always sent.
            if parts.is_empty() && !asked_by_a {
                return cost;
            }
            assert!(cost.messages < 1_000, "it does not end");
        }
    }

    fn all(tree: &OrderTree<Item>) -> Vec<MessageId> {
        ids(tree, MessageId::first_of(0), MessageId::first_of(u64::MAX), usize::MAX)
    }

    proptest! {
        /// Any two sets end as their union, also when many items share a depth.
        #[test]
        fn any_two_sets_become_one(
            items in prop::collection::vec((0u64..60, any::<bool>(), any::<bool>()), 0..700),
            shallow in any::<bool>(),
        ) {
            let at = |n: usize, depth: u64| item(if shallow { 1 } else { depth }, n as u64);
            let of = |which: fn(&(u64, bool, bool)) -> bool| -> BTreeSet<Item> {
                items.iter().enumerate().filter(|(_, i)| which(i)).map(|(n, i)| at(n, i.0)).collect()
            };
            let (left, right) = (of(|i| i.1), of(|i| i.2));
            let (mut a, mut b) = (tree(left.iter().copied()), tree(right.iter().copied()));
            let cost = run(&mut a, &mut b);
            let union: Vec<MessageId> = left.union(&right).map(|i| i.id).collect();
            prop_assert_eq!(all(&a), union.as_slice());
            prop_assert_eq!(all(&b), union);
            prop_assert!(left != right || cost.messages == 2, "equal sets cost one fingerprint");
        }

        /// For any input, the answer is bounded and its ranges are in order.
        #[test]
        fn hostile_ranges_get_a_bounded_answer(
            parts in prop::collection::vec((0u64..12, prop::collection::vec(any::<u8>(), 0..40), 0u8..3), 0..30),
        ) {
            let here = tree((0..3_000).map(|n| item(n / 300, n)));
            let parts: Vec<Part> = parts
                .into_iter()
                .map(|(depth, prefix, mode)| Part {
                    end: Bound { depth, prefix: Blob(prefix) },
                    mode: match mode {
                        0 => Mode::Skip,
                        1 => Mode::Fingerprint([7; 16]),
                        _ => Mode::Ids(alloc::vec![place(depth, 5_000)]),
                    },
                })
                .collect();
            if let Ok(outcome) = reconcile(&here, (0, 10), &parts) {
                prop_assert!(outcome.give.len() <= MAX_FOUND && outcome.need.len() <= MAX_FOUND);
                prop_assert!(encode(&outcome.parts).len() <= FRAME + 16 * (LISTED * 42 + 64));
                let ends: Vec<MessageId> = outcome.parts.iter().map(|p| p.end.place().unwrap()).collect();
                prop_assert!(ends.is_sorted_by(|a, b| a < b));
            }
        }
    }

    #[test]
    fn an_empty_side_is_filled_in_rounds() {
        let mut full = tree((0..10_000).map(|n| item(n, n)));
        let mut empty = OrderTree::new();
        let mut rounds = 0;
        while all(&full) != all(&empty) {
            // Either side may begin.
            if rounds % 2 == 0 {
                run(&mut empty, &mut full)
            } else {
                run(&mut full, &mut empty)
            };
            rounds += 1;
        }
        assert_eq!(rounds, 3, "4,096 at a time");
    }

    /// The costs of docs/design/history.md §4: a million items and one difference, three round trips; a hundred
    /// scattered ones; a hundred newest ones.
    #[test]
    fn a_million_items_cost_what_the_design_states() {
        let million = tree((0..1_000_000).map(|n| item(n, n)));
        let cost_without = |lost: &mut dyn Iterator<Item = u64>| {
            let (mut a, mut b) = (million.clone(), million.clone());
            for (i, n) in lost.enumerate() {
                // In turns on both sides.
                let side = if i % 2 == 0 { &mut a } else { &mut b };
                assert!(side.remove(&item(n, n)));
            }
            let cost = run(&mut a, &mut b);
            assert_eq!((a.len(), b.len()), (1_000_000, 1_000_000));
            cost
        };
        let none = cost_without(&mut core::iter::empty());
        assert!(none.messages == 2 && none.bytes <= 160, "{} bytes for nothing", none.bytes);
        let one = cost_without(&mut core::iter::once(654_321));
        assert!(one.messages <= 6 && one.bytes <= 4 << 10, "{} messages, {} bytes", one.messages, one.bytes);
        let scattered = cost_without(&mut (0..100).map(|n| n * 9_973 + 17));
        assert!(scattered.bytes <= 150 << 10, "{} bytes for 100 scattered", scattered.bytes);
        let newest = cost_without(&mut (999_900..1_000_000));
        assert!(newest.bytes <= 16 << 10, "{} bytes for the 100 newest", newest.bytes);
        // Messages both ways and their bytes; to be changed with the format only.
        let costs = [none, one, scattered, newest].map(|c| (c.messages, c.bytes));
        assert_eq!(costs, [(2, 150), (6, 2_331), (12, 147_761), (6, 3_987)]);
    }
}
