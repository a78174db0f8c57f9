//! Putting back into the history what a store lost.
//!
//! A message below its author's height was taken once, so its parents are here and its signature is all
//! that has to be proved. Its clock goes on from that of the author's message before it: if nobody has
//! that one any more, it cannot be mended. Whether it is really missing is read from the store.

use alloc::collections::{BTreeMap, VecDeque};

use crate::chat::conversation::Offer;
use crate::chat::wire::{encode_record, log_key, order_key, record_envelope};
use crate::chat::{Chat, Out};
use crate::id::NodeId;
use crate::machine::Outbox;
use crate::stats::DropReason;
use crate::store::{Record, Request, Table};
use crate::wire::content::{Position, VectorClock};

/// Messages of one comparison that wait to be put into the history: 256 and 1 MiB.
const MAX_MENDS: usize = 256;
const MAX_MEND_BYTES: usize = 1 << 20;
/// Clocks of mended messages in memory: 16, of up to 20 KiB each.
const MAX_MENDED: usize = 16;

#[derive(Default)]
pub(super) struct Mends {
    waiting: VecDeque<Offer>,
    bytes: usize,
    /// The clocks of what was mended last: children often follow in the same bundle.
    clocks: BTreeMap<NodeId, (u64, VectorClock)>,
}

impl Mends {
    pub(super) fn len(&self) -> usize {
        self.waiting.len().saturating_add(self.clocks.len())
    }
}

impl Chat {
    /// A genuine message below its author's height, by a node that a comparison is under way with: if
    /// it is not in the store, it is put back into the history. Nobody is told: what was told before the
    /// store lost it would be told twice.
    pub(super) fn mend(&mut self, offer: Offer, out: &mut Outbox<Out>) {
        let bytes = self.compare.mends.bytes.saturating_add(offer.envelope.len());
        if self.compare.mends.waiting.len() >= MAX_MENDS || bytes > MAX_MEND_BYTES {
            return self.drops.count(DropReason::Queue);
        }
        self.compare.mends.bytes = bytes;
        self.compare.mends.waiting.push_back(offer);
        if self.compare.mends.waiting.len() == 1 {
            self.read_for_mend(out);
        }
    }

    fn read_for_mend(&mut self, out: &mut Outbox<Out>) {
        let Some(offer) = self.compare.mends.waiting.front() else {
            self.compare.mends.clocks.clear();
            return;
        };
        let (room, author, seq) = (self.network, offer.author, offer.body.seq);
        let id = self.read_id();
        let request = Request {
            id,
            table: Table::Log,
            start: log_key(room, author, seq.saturating_sub(1)),
            end: log_key(room, author, seq.saturating_add(1)),
            reverse: false,
            limit: 2,
            max_bytes: u32::MAX,
        };
        self.read_mend(request, out);
    }

    /// The message before the one to mend, whose clock its clock goes on from, and the one there is in
    /// its place.
    pub(super) fn mend_read(&mut self, records: &[Record], out: &mut Outbox<Out>) {
        let Some(offer) = self.compare.mends.waiting.pop_front() else { return };
        self.compare.mends.bytes = self.compare.mends.bytes.saturating_sub(offer.envelope.len());
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
        match before.filter(|_| !taken) {
            Some(mut clock) => {
                for &(id, n) in &offer.body.changes {
                    if clock.get(id) < n {
                        clock.set(id, n);
                    }
                }
                clock.set(author, seq);
                let value = encode_record(&clock, &offer.envelope);
                let position = Position { depth: offer.body.depth, author, id: offer.id };
                out.put(Table::Log, log_key(room, author, seq), value.clone());
                out.put(Table::Order, order_key(room, position), value);
                if self.compare.mends.clocks.len() >= MAX_MENDED {
                    self.compare.mends.clocks.clear();
                }
                self.compare.mends.clocks.insert(author, (seq, clock));
            }
            None => self.drops.count(DropReason::Duplicate),
        }
        self.read_for_mend(out);
    }
}
