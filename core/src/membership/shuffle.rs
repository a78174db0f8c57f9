//! Shuffles of the passive view (HyParView §4.4): nodes exchange parts of their views over random walks.

use alloc::vec::Vec;

use crate::collections::{OrderedMap, OrderedSet};
use crate::config::MembershipConfig;
use crate::id::NodeId;
use crate::machine::{Cx, Outbox};
use crate::time::{Duration, Instant};

use super::interface::Out;
use super::peers::Peers;
use super::wire::{MAX_OFFERED, Message, NodeInfo};

/// Walks under way through this node, 60 bytes each.
const MAX_WALKS: usize = 256;
/// How long an answer to a shuffle may take: sixteen slow links.
const WALK_TIME: Duration = Duration::from_secs(10);

pub(super) struct Shuffles {
    config: MembershipConfig,
    /// Where answers go: none for an own shuffle.
    walks: OrderedMap<u64, (Option<NodeId>, Instant)>,
    next: Option<Instant>,
    began: Option<Instant>,
}

impl Shuffles {
    pub(super) fn new(config: &MembershipConfig) -> Self {
        Self { config: config.clone(), walks: OrderedMap::new(), next: None, began: None }
    }

    pub(super) fn start(&mut self, cx: &mut Cx<'_>) {
        self.began = self.began.or(Some(cx.now));
        if self.next.is_none() {
            self.schedule(cx);
        }
    }

    pub(super) fn stop(&mut self) {
        self.walks.clear();
        self.next = None;
        self.began = None;
    }

    /// Sets when the next shuffle is due: soon while this node is young.
    fn schedule(&mut self, cx: &mut Cx<'_>) {
        let young = self.began.is_none_or(|at| cx.now.since(at) < self.config.young_for);
        let pause = if young { self.config.shuffle_young } else { self.config.shuffle };
        self.next = Some(cx.now + cx.rng.jitter(pause, 20));
    }

    /// Exchanges a part of the views with a node some random steps away. Where all neighbours are members of the zone,
    /// its roster names every node, and there is nothing to exchange.
    pub(super) fn begin(
        &mut self,
        active: &OrderedSet<NodeId>,
        zone: &OrderedSet<NodeId>,
        peers: &Peers,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        self.schedule(cx);
        if active.is_subset(zone) {
            return;
        }
        let all: Vec<NodeId> = active.iter().copied().collect();
        let ways: Vec<NodeId> = all.iter().copied().filter(|n| !peers.links.speaks_first(*n)).collect();
        let Some(&to) = cx.rng.pick(&ways) else { return };
        let others = all.into_iter().filter(|n| *n != to).collect();
        let mut nodes = peers.sample(others, self.config.shuffle_active, cx);
        nodes.extend(peers.sample(peers.book.passive_view().collect(), self.config.shuffle_passive, cx));
        let walk = cx.rng.u64();
        if self.remember(walk, None, cx.now) {
            out.push(Out::message(to, &Message::Shuffle { walk, ttl: self.config.walk, nodes }));
        }
    }

    /// The shuffle of another node came by from a neighbour: it is passed on, or answered at its last step. Returns
    /// the nodes to learn then.
    #[expect(clippy::too_many_arguments, reason = "a step of a walk with the views that it meets")]
    pub(super) fn received(
        &mut self,
        from: NodeId,
        (walk, ttl): (u64, u8),
        mut nodes: Vec<NodeInfo>,
        active: &OrderedSet<NodeId>,
        peers: &Peers,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) -> Option<Vec<NodeInfo>> {
        let most = self.config.walk;
        if ttl >= most {
            // The first step: the node that began it has proved that it is there.
            nodes.truncate(MAX_OFFERED.saturating_sub(1));
            nodes.extend(peers.describe(from));
        }
        let ttl = ttl.min(most).saturating_sub(1);
        let may = |n: &NodeId| *n != from && !peers.links.speaks_first(*n);
        let others: Vec<NodeId> = active.iter().copied().filter(may).collect();
        let next = if ttl == 0 { None } else { cx.rng.pick(&others).copied() };
        if let Some(next) = next {
            if self.remember(walk, Some(from), cx.now) {
                out.push(Out::message(next, &Message::Shuffle { walk, ttl, nodes }));
            }
            return None;
        }
        let reply = peers.sample(peers.book.passive_view().collect(), nodes.len(), cx);
        out.push(Out::message(from, &Message::ShuffleReply { walk, nodes: reply }));
        Some(nodes)
    }

    /// An answer to a shuffle: it is passed back the way the walk came. Returns the nodes to learn where the
    /// shuffle began.
    pub(super) fn answered(
        &mut self,
        walk: u64,
        nodes: Vec<NodeInfo>,
        peers: &Peers,
        out: &mut Outbox<Out>,
    ) -> Option<Vec<NodeInfo>> {
        let (back, _) = self.walks.remove(&walk)?;
        let Some(back) = back else { return Some(nodes) };
        if peers.links.contains(back) {
            out.push(Out::message(back, &Message::ShuffleReply { walk, nodes }));
        }
        None
    }

    /// Remembers where the answer to a walk goes; false if the walk was here before, or there are too many.
    fn remember(&mut self, walk: u64, back: Option<NodeId>, now: Instant) -> bool {
        self.walks.retain(|_, (_, at)| now.since(*at) < WALK_TIME);
        if self.walks.contains_key(&walk) || self.walks.len() >= MAX_WALKS {
            return false;
        }
        self.walks.insert(walk, (back, now));
        true
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.next
    }

    pub(super) fn len(&self) -> usize {
        self.walks.len()
    }
}
