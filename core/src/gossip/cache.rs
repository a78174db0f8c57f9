//! Recent broadcasts, for peers that ask for them.

use crate::collections::{OrderedMap, ShortId};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::gossip::wire::{Message, Scope};
use crate::id::NodeId;
use crate::time::{Duration, Instant};
use crate::wire::Blob;

/// Times one broadcast is sent to one neighbour that asks again and again (gossipsub's
/// GossipRetransmission).
const MAX_SERVED: u8 = 3;
/// What an entry takes besides its body.
const ENTRY: usize = 200;

/// A broadcast and the way it came.
pub(super) struct Broadcast {
    pub id: ShortId,
    /// Hops it took to here; 0 for an own one.
    pub round: u8,
    /// The peer it came from first; none for an own one.
    pub via: Option<NodeId>,
    /// The members that its instruction is for; none if it goes by the tree.
    pub scope: Option<Scope>,
    pub body: Vec<u8>,
}

impl Broadcast {
    /// The round in which the next node gets it.
    pub(super) fn next_round(&self) -> u8 {
        self.round.saturating_add(1)
    }

    /// The message that brings it to a node that has none else to serve.
    pub(super) fn whole(&self) -> Message {
        let (round, body) = (self.next_round(), Blob(self.body.clone()));
        match &self.scope {
            Some(scope) => {
                Message::Forward { round, scope: scope.clone(), silent: Vec::new(), targets: Vec::new(), body }
            }
            None => Message::Gossip { round, body },
        }
    }
}

/// A recent broadcast.
pub(super) struct Recent {
    pub broadcast: Broadcast,
    /// When it was announced, if the only announcer that was asked sent it and the tree has not brought it yet.
    pub fetched: Option<Instant>,
    /// Peers that announced it.
    holders: Vec<NodeId>,
    served: Vec<(NodeId, u8)>,
}

impl Recent {
    pub(super) fn held_by(&mut self, peer: NodeId) {
        if !self.holders.contains(&peer) {
            self.holders.push(peer);
        }
    }

    pub(super) fn is_held_by(&self, peer: NodeId) -> bool {
        self.broadcast.via == Some(peer) || self.holders.contains(&peer)
    }

    pub(super) fn was_served(&self, peer: NodeId) -> bool {
        self.served.iter().any(|(p, _)| *p == peer)
    }

    /// Whether it may be sent to `peer` once more.
    pub(super) fn serve(&mut self, peer: NodeId) -> bool {
        if let Some((_, times)) = self.served.iter_mut().find(|(p, _)| *p == peer) {
            *times = times.saturating_add(1);
            return *times <= MAX_SERVED;
        }
        self.served.push((peer, 1));
        true
    }
}

/// A bounded number of bytes, for a bounded time.
pub(super) struct Cache {
    recent: OrderedMap<ShortId, Recent>,
    /// INVARIANT: each of `recent` once, the oldest first.
    order: VecDeque<(Instant, ShortId)>,
    /// INVARIANT: what the entries of `recent` take.
    bytes: usize,
    max_bytes: usize,
    keep: Duration,
}

impl Cache {
    pub(super) fn new(max_bytes: usize, keep: Duration) -> Self {
        Self { recent: OrderedMap::new(), order: VecDeque::new(), bytes: 0, max_bytes, keep }
    }

    pub(super) fn insert(&mut self, now: Instant, broadcast: Broadcast) {
        let id = broadcast.id;
        self.bytes = self.bytes.saturating_add(broadcast.body.len()).saturating_add(ENTRY);
        let entry = Recent { broadcast, fetched: None, holders: Vec::new(), served: Vec::new() };
        if let Some(old) = self.recent.insert(id, entry) {
            self.bytes = self.bytes.saturating_sub(old.broadcast.body.len()).saturating_sub(ENTRY);
        } else {
            self.order.push_back((now, id));
        }
        while self.bytes > self.max_bytes && self.order.len() > 1 {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((_, id)) = self.order.pop_front()
            && let Some(gone) = self.recent.remove(&id)
        {
            self.bytes = self.bytes.saturating_sub(gone.broadcast.body.len()).saturating_sub(ENTRY);
        }
    }

    pub(super) fn get(&self, id: &ShortId) -> Option<&Recent> {
        self.recent.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &ShortId) -> Option<&mut Recent> {
        self.recent.get_mut(id)
    }

    /// Those of the last `age` with their age, the newest first.
    pub(super) fn since(&self, now: Instant, age: Duration) -> impl Iterator<Item = (Duration, &Broadcast)> {
        let young = self.order.iter().rev().map(move |(at, id)| (now.since(*at), id));
        let young = young.take_while(move |(passed, _)| *passed < age);
        young.filter_map(|(passed, id)| self.recent.get(id).map(|r| (passed, &r.broadcast)))
    }

    /// When the oldest entry's time is over.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.order.front().map(|(at, _)| *at + self.keep)
    }

    pub(super) fn expire(&mut self, now: Instant) {
        while self.next_deadline().is_some_and(|at| at <= now) {
            self.pop();
        }
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let bytes = self
            .recent
            .values()
            .fold(0usize, |sum, r| sum.saturating_add(r.broadcast.body.len()).saturating_add(ENTRY));
        if bytes != self.bytes {
            return Err("the bytes counted are not those of the cache");
        }
        let ordered = self.order.iter().is_sorted_by_key(|(at, _)| at);
        match ordered && self.recent.len() == self.order.len() {
            true => Ok(()),
            false => Err("the order of the cache is not that of its broadcasts"),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.recent.len()
    }
}
