//! Repair: puts back into the history what a store lost.
//!
//! A message below its author's height was accepted once, so its parents are here and only its signature
//! has to be verified. Its clock continues that of the author's message before it: if no node has
//! that one any more, it cannot be repaired. The store is read to see whether it is really missing.

use alloc::collections::{BTreeMap, VecDeque};

use crate::chat::conversation::Offer;
use crate::chat::wire::{encode_record, log_key, order_key, record_envelope};
use crate::chat::{Chat, LOG, ORDER, Out};
use crate::id::NodeId;
use crate::machine::Outbox;
use crate::stats::DropReason;
use crate::store::{Record, Scan};
use crate::wire::content::{Position, VectorClock};

/// Messages of one comparison that wait to be put into the history: 256 and 1 MiB.
const MAX_MENDS: usize = 256;
const MAX_MEND_BYTES: usize = 1 << 20;
/// Authors whose clocks stay in memory until the repair is on disk: 64, of up to 20 KiB each.
const MAX_MENDED: usize = 64;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reading {
    #[default]
    Nothing,
    /// The stored record at the position of the first that waits, and the one before it.
    Place,
    /// Nothing, but the answer comes when the repair is on disk.
    Barrier,
}

#[derive(Default)]
pub(super) struct Mends {
    waiting: VecDeque<Offer>,
    /// Their author's message before them is not here: bundles of a link are not in order.
    early: BTreeMap<(NodeId, u64), Offer>,
    bytes: usize,
    /// The clocks of repaired messages that may not be on disk yet, where reads would find them: children
    /// often follow in the same bundle.
    clocks: BTreeMap<NodeId, (u64, VectorClock)>,
    reading: Reading,
}

impl Mends {
    pub(super) fn len(&self) -> usize {
        self.held().saturating_add(self.clocks.len())
    }

    fn held(&self) -> usize {
        self.waiting.len().saturating_add(self.early.len())
    }

    /// No comparison runs any more: early messages stay early. Returns how many there were.
    pub(super) fn give_up(&mut self) -> usize {
        for offer in self.early.values() {
            self.bytes = self.bytes.saturating_sub(offer.envelope.len());
        }
        core::mem::take(&mut self.early).len()
    }
}

impl Chat {
    /// A genuine message below its author's height, by a node that a comparison is under way with: if
    /// it is not in the store, it is put back into the history. No event is reported: the application
    /// got one before the store lost the message.
    pub(super) fn mend(&mut self, offer: Offer, out: &mut Outbox<Out>) {
        let bytes = self.compare.mends.bytes.saturating_add(offer.envelope.len());
        if self.compare.mends.held() >= MAX_MENDS || bytes > MAX_MEND_BYTES {
            return self.drops.count(DropReason::Queue);
        }
        self.compare.mends.bytes = bytes;
        self.compare.mends.waiting.push_back(offer);
        if self.compare.mends.reading == Reading::Nothing {
            self.next_mend(out);
        }
    }

    /// Reads for the next one; or waits for the disk, after which the clocks are no longer needed.
    fn next_mend(&mut self, out: &mut Outbox<Out>) {
        let id = self.read_id();
        let mends = &mut self.compare.mends;
        let nothing = (log_key(self.network, self.me, 0), log_key(self.network, self.me, 0));
        let (start, end) = match mends.waiting.front() {
            Some(offer) if mends.clocks.len() < MAX_MENDED => {
                mends.reading = Reading::Place;
                let key = |seq| log_key(self.network, offer.author, seq);
                (key(offer.body.seq.saturating_sub(1)), key(offer.body.seq.saturating_add(1)))
            }
            None if mends.clocks.is_empty() => {
                mends.reading = Reading::Nothing;
                return;
            }
            Some(_) | None => {
                mends.reading = Reading::Barrier;
                nothing
            }
        };
        let barrier = mends.reading == Reading::Barrier;
        let scan = Scan { table: LOG, start, end, reverse: false, limit: 2, max_bytes: u32::MAX };
        self.read_mend(id, scan, barrier, out);
    }

    /// The message before the one to repair, whose clock its clock continues, and the one stored in
    /// its place.
    pub(super) fn mend_read(&mut self, records: &[Record], out: &mut Outbox<Out>) {
        if self.compare.mends.reading == Reading::Barrier {
            self.compare.mends.clocks.clear();
            return self.next_mend(out);
        }
        let Some(offer) = self.compare.mends.waiting.pop_front() else { return };
        let bytes = offer.envelope.len();
        self.compare.mends.bytes = self.compare.mends.bytes.saturating_sub(bytes);
        let room = self.network;
        let (author, seq) = (offer.author, offer.body.seq);
        let at = |seq: u64| {
            let key = log_key(room, author, seq);
            records.iter().find(|r| r.key == key).and_then(|r| record_envelope(&r.value).ok())
        };
        let mended = self.compare.mends.clocks.get(&author).filter(|(n, _)| n.checked_add(1) == Some(seq));
        let before = match (seq, mended) {
            (1, _) => Some(VectorClock::default()),
            (_, Some((_, clock))) => Some(clock.clone()),
            (_, None) => at(seq.saturating_sub(1)).map(|(clock, _)| clock),
        };
        // Another message under the same number is its author's equivocation: the first one stays.
        let taken = at(seq).is_some_and(|(_, envelope)| envelope != offer.envelope);
        match before {
            Some(mut clock) if !taken => {
                for &(id, n) in &offer.body.changes {
                    if clock.get(id) < n {
                        clock.set(id, n);
                    }
                }
                clock.set(author, seq);
                let value = encode_record(&clock, &offer.envelope);
                let position = Position { depth: offer.body.depth, author, id: offer.id };
                out.put(LOG, log_key(room, author, seq), value.clone());
                out.put(ORDER, order_key(room, position), value);
                let mends = &mut self.compare.mends;
                mends.clocks.insert(author, (seq, clock));
                let next = mends.early.remove(&(author, seq.saturating_add(1)));
                mends.waiting.extend(next);
            }
            None if !taken => {
                let mends = &mut self.compare.mends;
                mends.bytes = mends.bytes.saturating_add(bytes);
                if let Some(again) = mends.early.insert((author, seq), offer) {
                    mends.bytes = mends.bytes.saturating_sub(again.envelope.len());
                }
            }
            Some(_) | None => self.drops.count(DropReason::Duplicate),
        }
        self.next_mend(out);
    }
}
