//! Broadcasts where everybody is known: the DONP document's spanning tree with forwarding instructions.
//!
//! The sender divides all members among at most eight of them, its children, and tells each whom to bring
//! the message to; each divides its part the same way. With up to nine members every one gets it directly
//! (the full mesh of docs/design/broadcast.md §3), with 64 after two hops. A child that dies takes its part
//! with it, so everybody who has the message announces it to the two that follow in the order of ids, and who
//! misses it fetches it as it would in the tree that finds itself: unless two that follow each other fail at
//! once, the ring reaches everybody (two at random leave out one in seven of a lost part;
//! docs/design/broadcast.md §3).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Bound;

use crate::collections::{ShortId, short};
use crate::gossip::peer::Peer;
use crate::gossip::wire::{Have, MAX_TARGETS, Message};
use crate::gossip::{Gossip, Out};
use crate::id::NodeId;
use crate::machine::{Cx, Outbox};
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::{Blob, Priority};

/// Children of a node in an instructed tree (docs/design/broadcast.md §3).
const DEGREE: usize = 8;
/// Members to whom everybody announces what it has: two (docs/design/broadcast.md §3).
const TOLD: usize = 2;

/// Everybody that there is, as long as they are few.
#[derive(Default)]
pub(super) struct Zone {
    /// All others, under the names that instructions use; none if they are not known or too many.
    members: Option<BTreeMap<ShortId, NodeId>>,
    /// Who can be sent to.
    pub linked: BTreeSet<NodeId>,
}

impl Zone {
    /// Whether broadcasts go by instruction.
    pub(super) fn stands(&self) -> bool {
        self.members.as_ref().is_some_and(|m| !m.is_empty())
    }

    fn contains(&self, peer: NodeId) -> bool {
        self.members.as_ref().is_some_and(|m| m.contains_key(&short(&peer.0)))
    }

    fn get(&self, name: &ShortId) -> Option<NodeId> {
        self.members.as_ref()?.get(name).copied()
    }

    /// The next linked members in the order of ids, which goes round.
    fn following(&self, me: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let after = self.linked.range((Bound::Excluded(me), Bound::Unbounded));
        after.chain(self.linked.range(..me)).copied().filter(|p| self.contains(*p)).take(TOLD)
    }

    pub(super) fn len(&self) -> usize {
        self.linked.len().saturating_add(self.members.as_ref().map_or(0, BTreeMap::len))
    }

    /// Divides `targets` among at most [`DEGREE`] of them that can be reached from here. Empty if none can.
    fn divide(&self, targets: Vec<NodeId>, rng: &mut Rng) -> Vec<(NodeId, Vec<ShortId>)> {
        let (mut near, far): (Vec<_>, Vec<_>) = targets.into_iter().partition(|t| self.linked.contains(t));
        let mut children: Vec<(NodeId, Vec<ShortId>)> = Vec::new();
        while children.len() < DEGREE && !near.is_empty() {
            children.push((near.swap_remove(rng.below(near.len())), Vec::new()));
        }
        let rest: Vec<NodeId> = far.into_iter().chain(near).collect();
        let count = children.len();
        for (at, target) in rest.into_iter().enumerate() {
            if let Some((_, part)) = at.checked_rem(count).and_then(|child| children.get_mut(child)) {
                part.push(short(&target.0));
            }
        }
        children
    }
}

impl Gossip {
    /// Who everybody is has changed.
    pub(super) fn settle(&mut self, members: Option<Vec<NodeId>>, now: Instant) {
        let few = members.filter(|m| m.len() <= MAX_TARGETS);
        self.zone.members = few.map(|m| m.into_iter().map(|peer| (short(&peer.0), peer)).collect());
        let zone = &self.zone;
        self.peers.retain(|peer, p| p.neighbour || zone.contains(*peer));
        for peer in self.zone.linked.clone() {
            self.meet(peer, now);
        }
    }

    /// A linked member of the zone may announce and fetch like a neighbour.
    pub(super) fn meet(&mut self, peer: NodeId, now: Instant) {
        if self.zone.linked.contains(&peer) && self.zone.contains(peer) {
            self.peers.entry(peer).or_insert_with(|| Peer::new(now));
        }
    }

    /// An own broadcast, to everybody there is.
    pub(super) fn instruct(&mut self, cx: &mut Cx<'_>, id: ShortId, body: Vec<u8>, out: &mut Outbox<Out>) {
        let all: Vec<NodeId> = self.zone.members.iter().flat_map(BTreeMap::values).copied().collect();
        self.bring(cx, id, 0, None, all, body, out);
    }

    /// A genuine broadcast that came with an instruction.
    #[expect(clippy::too_many_arguments, reason = "what a message came with, and where answers go")]
    pub(super) fn instructed(
        &mut self,
        cx: &mut Cx<'_>,
        id: ShortId,
        hops: u8,
        from: NodeId,
        targets: &[ShortId],
        body: Vec<u8>,
        out: &mut Outbox<Out>,
    ) {
        // Whom this node does not know it is not made to send to.
        let known = targets.iter().filter_map(|t| self.zone.get(t)).filter(|t| *t != cx.me && *t != from).collect();
        self.bring(cx, id, hops, Some(from), known, body, out);
    }

    /// Brings a broadcast to `targets` and whole to neighbours that the zone lacks, and tells two others.
    #[expect(clippy::too_many_arguments, reason = "what a message came with, and where answers go")]
    fn bring(
        &mut self,
        cx: &mut Cx<'_>,
        id: ShortId,
        hops: u8,
        via: Option<NodeId>,
        targets: Vec<NodeId>,
        body: Vec<u8>,
        out: &mut Outbox<Out>,
    ) {
        let next = hops.saturating_add(1);
        let children = self.zone.divide(targets, cx.rng);
        for (to, targets) in &children {
            let message = Message::Forward { hops: next, targets: targets.clone(), body: Blob(body.clone()) };
            let bytes = message.encode();
            self.stats.payload(bytes.len());
            out.push(Out::Send { to: *to, priority: Priority::Normal, body: bytes });
        }
        let zone = &self.zone;
        let strangers: Vec<NodeId> =
            self.peers.keys().copied().filter(|p| Some(*p) != via && !zone.contains(*p)).collect();
        for to in strangers {
            self.whole(to, next, &body, out);
        }
        let has = |p: &NodeId| Some(*p) == via || children.iter().any(|(c, _)| c == p);
        let follow: Vec<NodeId> = self.zone.following(cx.me).filter(|p| !has(p)).collect();
        for told in follow {
            if let Some(peer) = self.peers.get_mut(&told) {
                peer.announce.push(Have { id, hops: next });
                self.announce_later(cx.now);
            }
        }
        self.cache.insert(cx.now, id, hops, via, body);
        self.expire_later();
    }
}
