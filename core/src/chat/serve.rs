//! Serving runs by their entries: what other entries name, and what a comparison found missing.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::chat::pace::Pace;
use crate::chat::rows::{At, Held, Row, entry_scan};
use crate::chat::wire::{End, MAX_WANTED, Sync};
use crate::chat::{BUNDLE_BYTES, Chat, Out, Paused, Reading, send};
use crate::collections::{OrderedMap, OrderedSet};
use crate::id::{ConversationId, MessageId, NodeId};
use crate::machine::{Cx, Outbox};
use crate::stats::DropReason;
use crate::store::Record;
use crate::wire::Blob;
use crate::wire::entry::Parent;

/// Peers that are served at once: 64. A peer beyond it asks again.
const MAX_SERVED: usize = 64;
/// Entries that wait to be served to one peer: what a comparison finds at most.
const MAX_QUEUED: usize = super::ranges::MAX_FOUND;

/// One peer's queue in one conversation.
#[derive(Debug)]
struct Queue {
    items: VecDeque<Parent>,
    /// The run of the entry that was read ends with this one.
    end_of_run: Option<MessageId>,
    /// What is being read.
    reading: Option<Parent>,
    runs: Vec<Blob>,
    bytes: usize,
    /// The last entries of the runs that were sent: several entries of one run take one copy.
    sent: OrderedSet<MessageId>,
    /// What the end is called, if the peer waits for it.
    end: Option<End>,
    /// Entries that others name are served undelayed (docs/design/log.md §7, R10).
    paced: bool,
}

/// The rate of catching up is shared by so many peers: 8, as many as a node has neighbours.
pub(super) const NEIGHBOURS: u32 = 8;

#[derive(Debug, Default)]
pub(super) struct Serving {
    queues: OrderedMap<(NodeId, ConversationId, bool), Queue>,
    /// What each linked peer may still ask for.
    wanted: OrderedMap<NodeId, Pace>,
}

impl Serving {
    pub(super) fn len(&self) -> usize {
        let queues = self.queues.values().map(|q| q.items.len().saturating_add(q.sent.len()));
        queues.fold(self.wanted.len(), usize::saturating_add)
    }

    pub(super) fn forget_peer(&mut self, peer: NodeId) {
        self.queues.retain(|(p, _, _), _| *p != peer);
        self.wanted.remove(&peer);
    }

    /// Whether a comparison still gives something to this peer.
    pub(super) fn gives(&self, conversation: ConversationId, peer: NodeId) -> bool {
        self.queues.contains_key(&(peer, conversation, true))
    }
}

impl Chat {
    /// A peer wants the runs of these entries; with `end` it waits for the last one.
    pub(super) fn serve(
        &mut self,
        cx: &mut Cx<'_>,
        (conversation, peer): (ConversationId, NodeId),
        parents: impl IntoIterator<Item = Parent>,
        (paced, end): (bool, Option<End>),
        out: &mut Outbox<Out>,
    ) {
        let key = (peer, conversation, paced);
        if self.serving.queues.len() >= MAX_SERVED && !self.serving.queues.contains_key(&key) {
            return self.drops.count(DropReason::Rate);
        }
        let queue = self.serving.queues.entry(key).or_insert_with(|| Queue {
            items: VecDeque::new(),
            end_of_run: None,
            reading: None,
            runs: Vec::new(),
            bytes: 0,
            sent: OrderedSet::new(),
            end: None,
            paced,
        });
        let room = MAX_QUEUED.saturating_sub(queue.items.len());
        queue.items.extend(parents.into_iter().take(room));
        queue.end = end.or(queue.end);
        self.serve_next(cx, key, out);
    }

    pub(super) fn wanted(
        &mut self,
        cx: &mut Cx<'_>,
        conversation: ConversationId,
        peer: NodeId,
        parents: Vec<Parent>,
        out: &mut Outbox<Out>,
    ) {
        if parents.len() > MAX_WANTED {
            return self.drops.count(DropReason::Message);
        }
        // Served undelayed (docs/design/log.md §7, R10), up to a rate: beyond it another node is asked.
        if !self.may_ask(cx, peer, 0) {
            return self.drops.count(DropReason::Rate);
        }
        self.serve(cx, (conversation, peer), parents, (false, Some(End::Wanted)), out);
    }

    /// Whether a peer may ask for more, which costs it so many bytes of its rate.
    pub(super) fn may_ask(&mut self, cx: &Cx<'_>, peer: NodeId, bytes: usize) -> bool {
        let rate = self.config.chat.catch_up_rate / NEIGHBOURS;
        let pace = self.serving.wanted.entry(peer).or_insert_with(|| Pace::new(rate));
        let may = !pace.is_spent(cx.now);
        if may {
            pace.spend(bytes);
        }
        may
    }

    /// Reads the next one.
    pub(super) fn serve_next(&mut self, cx: &mut Cx<'_>, key: (NodeId, ConversationId, bool), out: &mut Outbox<Out>) {
        let (peer, conversation, _) = key;
        let Some(queue) = self.serving.queues.get_mut(&key).filter(|q| q.reading.is_none()) else { return };
        if queue.bytes >= BUNDLE_BYTES || (queue.items.is_empty() && queue.end_of_run.is_none()) {
            let runs = core::mem::take(&mut queue.runs);
            if queue.paced {
                self.pace.spend(queue.bytes);
            } else if let Some(pace) = self.serving.wanted.get_mut(&peer) {
                pace.spend(queue.bytes);
            }
            queue.bytes = 0;
            self.give(conversation, peer, runs, out);
        }
        let Some(queue) = self.serving.queues.get_mut(&key) else { return };
        if queue.items.is_empty() && queue.end_of_run.is_none() {
            let end = queue.end;
            self.serving.queues.remove(&key);
            if let Some(end) = end {
                send(self.network, peer, &Sync::Runs { conversation, runs: Vec::new(), end }, out);
            }
            return self.go_on(cx, peer);
        }
        if queue.paced && self.pace.is_spent(cx.now) {
            return self.paused.push_back(Paused::Serve(key));
        }
        let next = queue.end_of_run.take().map(Parent::of).or_else(|| queue.items.pop_front());
        let Some(next) = next else { return };
        queue.reading = Some(next);
        let Some(log) = self.logs.get(&conversation) else { return };
        let scan = entry_scan(log.number, next);
        self.read(Reading::Serve(key), scan, out);
    }

    pub(super) fn serve_read(
        &mut self,
        cx: &mut Cx<'_>,
        key: (NodeId, ConversationId, bool),
        records: &[Record],
        out: &mut Outbox<Out>,
    ) {
        let Some(queue) = self.serving.queues.get_mut(&key) else { return };
        let wanted = queue.reading.take();
        let read = records.first().and_then(|r| Some((super::rows::entry_id(&r.key).ok()?, Row::read(&r.value).ok()?)));
        match read {
            Some((id, Row { at: At::End(Held { run, .. }), .. })) if queue.sent.insert(id) => {
                queue.bytes = queue.bytes.saturating_add(run.0.len());
                queue.runs.push(run);
            }
            Some((_, Row { at: At::In(end), .. })) if !queue.sent.contains(&end) => queue.end_of_run = Some(end),
            // It was sent with another entry of its run; or it is not here, and the peer asks another node.
            Some(_) => {}
            None => {
                let (peer, conversation, _) = key;
                if let (Some(parent), Some(log)) = (wanted, self.logs.get_mut(&conversation))
                    && log.is_waived(parent)
                {
                    // It has what names it from here and cannot take it.
                    log.holders.unserved(peer, cx.now);
                }
            }
        }
        self.serve_next(cx, key, out);
    }
}
