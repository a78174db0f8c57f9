//! What waits to be sent to one peer, in three priorities, and the items that packets carry.

use alloc::collections::VecDeque;
// A target without atomic compare-and-swap has no `Arc`; nor can it have a second thread to share with.
#[cfg(not(target_has_atomic = "ptr"))]
use alloc::rc::{Rc as Arc, Weak};
#[cfg(target_has_atomic = "ptr")]
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use crate::link::frame::{FRAGMENT_OVERHEAD, Fragment, MESSAGE_OVERHEAD, PIECE, pieces, put_fragment, put_message};
use crate::wire::Priority;

/// Counted for each item beside its bytes, so that a flood of empty messages is bounded too.
pub(super) const ITEM_COST: usize = 64;

/// A message of several pieces, shared by those in flight.
#[derive(Debug)]
pub(super) struct Big {
    channel: u8,
    number: u32,
    body: Vec<u8>,
}

/// What a packet carries and a loss brings back.
#[derive(Debug)]
pub(super) enum Item {
    Whole { channel: u8, body: Vec<u8> },
    Piece { of: Arc<Big>, index: u8 },
}

impl Item {
    fn piece(of: &Big, index: u8) -> (usize, &[u8]) {
        let (count, size) = pieces(of.body.len());
        let start = size.saturating_mul(usize::from(index));
        let rest = of.body.get(start..).unwrap_or_default();
        (count, rest.get(..size).unwrap_or(rest))
    }

    /// Bytes that its frame needs at most.
    pub(super) fn frame_len(&self) -> usize {
        match self {
            Self::Whole { body, .. } => body.len().saturating_add(MESSAGE_OVERHEAD),
            Self::Piece { of, index } => Self::piece(of, *index).1.len().saturating_add(FRAGMENT_OVERHEAD),
        }
    }

    /// What it counts against the queue's limit.
    pub(super) fn cost(&self) -> usize {
        match self {
            Self::Whole { body, .. } => body.len().saturating_add(ITEM_COST),
            Self::Piece { of, index } => Self::piece(of, *index).1.len().saturating_add(ITEM_COST),
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Whole { channel, body } => put_message(out, *channel, body),
            Self::Piece { of, index } => {
                let (count, piece) = Self::piece(of, *index);
                put_fragment(
                    out,
                    &Fragment {
                        number: of.number,
                        index: *index,
                        count: count as u8,
                        channel: of.channel,
                        total: of.body.len() as u32,
                        piece,
                    },
                );
            }
        }
    }
}

#[derive(Debug)]
enum Waiting {
    Whole {
        channel: u8,
        body: Vec<u8>,
    },
    /// Pieces before `next` are on their way.
    Big {
        big: Arc<Big>,
        next: u8,
    },
}

impl Waiting {
    fn cost(&self) -> usize {
        match self {
            Self::Whole { body, .. } => body.len().saturating_add(ITEM_COST),
            Self::Big { big, next } => {
                let (count, size) = pieces(big.body.len());
                let gone = usize::from(*next).saturating_mul(size).min(big.body.len());
                let left = count.saturating_sub(usize::from(*next)).saturating_mul(ITEM_COST);
                big.body.len().saturating_sub(gone).saturating_add(left)
            }
        }
    }

    fn begun(&self) -> bool {
        matches!(self, Self::Big { next: 1.., .. })
    }

    fn frame_len(&self) -> usize {
        match self {
            Self::Whole { body, .. } => body.len().saturating_add(MESSAGE_OVERHEAD),
            Self::Big { big, .. } => pieces(big.body.len()).1.saturating_add(FRAGMENT_OVERHEAD),
        }
    }
}

/// The priorities of one peer. Nothing is allocated while they are empty.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Lost in flight: sent before anything new.
    again: VecDeque<Item>,
    priorities: [VecDeque<Waiting>; 3],
    /// Bytes waiting here; the owner adds those in flight.
    bytes: usize,
    next_number: u32,
    taken: u32,
    /// Fragmented messages begun and not yet acknowledged in all their pieces.
    open: Vec<Weak<Big>>,
}

/// Fragmented messages on their way at once: the other side puts at most 16 together, and the rest
/// is for those that a spurious repetition opened there a second time.
const MAX_OPEN: usize = 12;

/// Low once in eight packets, so that a busy chat does not stop catching up for ever
/// (docs/design/links.md §5).
const LOW_EVERY: u32 = 8;

impl Queue {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.again.is_empty() && self.priorities.iter().all(VecDeque::is_empty)
    }

    /// Appends a message.
    pub(super) fn push(&mut self, priority: Priority, channel: u8, body: Vec<u8>) {
        let waiting = if body.len() > PIECE {
            let number = self.next_number;
            self.next_number = number.wrapping_add(1);
            Waiting::Big { big: Arc::new(Big { channel, number, body }), next: 0 }
        } else {
            Waiting::Whole { channel, body }
        };
        self.bytes = self.bytes.saturating_add(waiting.cost());
        if let Some(queue) = self.priorities.get_mut(priority as usize) {
            queue.push_back(waiting);
        }
    }

    /// Drops the oldest message of the least urgent priority that has one (also the newest, if it is the
    /// only one). False if nothing is left to drop.
    pub(super) fn shed(&mut self) -> bool {
        for queue in self.priorities.iter_mut().rev() {
            // A message with pieces on their way is finished: dropping it would waste them.
            let Some(at) = queue.iter().position(|w| !w.begun()) else { continue };
            if let Some(gone) = queue.remove(at) {
                self.bytes = self.bytes.saturating_sub(gone.cost());
                return true;
            }
        }
        false
    }

    /// Brings lost items back.
    pub(super) fn again(&mut self, items: Vec<Item>) {
        for item in items {
            self.bytes = self.bytes.saturating_add(item.cost());
            self.again.push_back(item);
        }
    }

    /// Whether the message at the head of a priority may begin.
    fn may_begin(&self, waiting: &Waiting) -> bool {
        let fresh = matches!(waiting, Waiting::Big { next: 0, .. });
        !fresh || self.open.iter().filter(|big| big.strong_count() > 0).count() < MAX_OPEN
    }

    fn order(&self) -> [usize; 3] {
        if self.taken % LOW_EVERY == LOW_EVERY.saturating_sub(1) { [2, 1, 0] } else { [0, 1, 2] }
    }

    /// Bytes that the next item's frame needs; zero if there is none.
    pub(super) fn next_frame_len(&self) -> usize {
        if let Some(item) = self.again.front() {
            return item.frame_len();
        }
        let heads = self.order().into_iter().filter_map(|priority| self.priorities.get(priority)?.front());
        heads.filter(|head| self.may_begin(head)).map(Waiting::frame_len).next().unwrap_or(0)
    }

    /// Whether [`take`](Self::take) with enough free bytes gives an item.
    pub(super) fn has_item(&self) -> bool {
        self.next_frame_len() > 0
    }

    /// Marks the begin of a packet, for the turn of the priorities.
    pub(super) fn begin_packet(&mut self) {
        self.taken = self.taken.wrapping_add(1);
    }

    /// The next item if its frame fits into `free`.
    pub(super) fn take(&mut self, free: usize) -> Option<Item> {
        let item = self.take_fitting(free)?;
        self.bytes = self.bytes.saturating_sub(item.cost());
        if self.is_empty() && self.priorities.iter().any(|l| l.capacity() > 64) {
            // A burst's buffers are not kept by an idle link.
            self.priorities = Default::default();
        }
        Some(item)
    }

    fn take_fitting(&mut self, free: usize) -> Option<Item> {
        if let Some(item) = self.again.front() {
            return if item.frame_len() <= free { self.again.pop_front() } else { None };
        }
        for priority in self.order() {
            let may = self.priorities.get(priority).and_then(VecDeque::front).is_some_and(|head| self.may_begin(head));
            let Some(queue) = self.priorities.get_mut(priority).filter(|_| may) else { continue };
            let Some(front) = queue.front_mut() else { continue };
            if front.frame_len() > free {
                return None;
            }
            if let Waiting::Big { big, next } = front {
                if *next == 0 {
                    self.open.retain(|big| big.strong_count() > 0);
                    self.open.push(Arc::downgrade(big));
                }
                let item = Item::Piece { of: Arc::clone(big), index: *next };
                *next = next.saturating_add(1);
                if usize::from(*next) >= pieces(big.body.len()).0 {
                    queue.pop_front();
                }
                return Some(item);
            }
            if let Some(Waiting::Whole { channel, body }) = queue.pop_front() {
                return Some(Item::Whole { channel, body });
            }
        }
        None
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::*;
    use alloc::vec;

    fn drain(q: &mut Queue) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(item) = q.take(2_000) {
            if let Item::Whole { body, .. } = item {
                all.push(body);
            }
        }
        all
    }

    #[test]
    fn urgent_priorities_go_first_and_counts_end_at_zero() {
        let mut q = Queue::default();
        q.push(Priority::Low, 1, vec![3]);
        q.push(Priority::Normal, 1, vec![2]);
        q.push(Priority::High, 1, vec![1]);
        q.push(Priority::Normal, 1, vec![9; 5_000]);
        assert_eq!(q.bytes(), 5_003 + ITEM_COST * (3 + 5));
        assert_eq!(drain(&mut q), [vec![1], vec![2], vec![3]]);
        assert_eq!(q.bytes(), 0);
        assert!(q.is_empty());
    }

    #[test]
    fn every_eighth_packet_begins_with_low_priority() {
        let mut q = Queue::default();
        let mut low = 0;
        for _ in 0..80 {
            q.push(Priority::High, 1, vec![0]);
            q.push(Priority::Low, 1, vec![1]);
        }
        for _ in 0..80 {
            q.begin_packet();
            if let Some(Item::Whole { body, .. }) = q.take(2_000) {
                low += usize::from(body == [1]);
            }
        }
        assert_eq!(low, 10);
    }

    #[test]
    fn twelve_fragmented_messages_are_under_way_at_once() {
        let mut q = Queue::default();
        for _ in 0..20 {
            q.push(Priority::Normal, 1, vec![0; 2_000]);
        }
        q.push(Priority::Low, 1, vec![7]);
        let mut flying: Vec<Item> = core::iter::from_fn(|| q.take(2_000)).collect();
        assert_eq!(flying.len(), 2 * MAX_OPEN + 1, "and the priority below is not held up");
        assert!(!q.has_item());
        flying.drain(..2);
        assert!(q.has_item());
        let more: Vec<Item> = core::iter::from_fn(|| q.take(2_000)).collect();
        assert_eq!(more.len(), 2);
    }

    #[test]
    fn shedding_takes_the_oldest_of_the_least_urgent_priority() {
        let mut q = Queue::default();
        for (priority, n) in [(Priority::High, 1), (Priority::Low, 2), (Priority::Low, 3)] {
            q.push(priority, 1, vec![n]);
        }
        assert!(q.shed());
        assert_eq!(drain(&mut q), [vec![1], vec![3]]);
        assert!(!q.shed());
    }
}
