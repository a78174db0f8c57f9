//! Which neighbours a node keeps when newcomers ask for their places (docs/design/overlay.md §3).
//!
//! Half of the places are for *anchors*: the neighbours that were some for the longest time. A node tells them, and an end
//! that is told keeps the link as well, so neither end gives it to a newcomer. No message takes an anchor's place; only its
//! own silence does. Bitcoin Core keeps connections of its own across restarts for the same reason (`src/net.cpp`,
//! `m_anchors`; Heilman et al., "Eclipse Attacks on Bitcoin's Peer-to-Peer Network", USENIX Security 2015, §7), and Tor
//! its guards.

use alloc::vec::Vec;

use crate::collections::{OrderedMap, OrderedSet};
use crate::id::NodeId;
use crate::time::{Duration, Instant};

/// A neighbour of this age *lasted*: a minute, as often as a known node is contacted (docs/design/overlay.md §8). A crowd that
/// starts at once finds its random neighbours before.
const LASTING: Duration = Duration::from_secs(60);
/// A node without earlier acquaintance takes the place of a neighbour that lasted once in this time
/// (docs/design/overlay.md §3).
const PAUSE: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct Anchors {
    /// Since when each neighbour is one.
    /// INVARIANT: of exactly the neighbours.
    since: OrderedMap<NodeId, Instant>,
    /// Those that this node holds.
    /// INVARIANT: of neighbours.
    own: OrderedSet<NodeId>,
    /// Those that hold this node.
    /// INVARIANT: of neighbours.
    holders: OrderedSet<NodeId>,
    /// When a stranger last took the place of a neighbour that had lasted.
    displaced: Option<Instant>,
}

impl Anchors {
    pub(super) fn began(&mut self, peer: NodeId, now: Instant) {
        self.since.insert(peer, now);
    }

    pub(super) fn ended(&mut self, peer: NodeId) {
        self.since.remove(&peer);
        self.own.remove(&peer);
        self.holders.remove(&peer);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn lasts(&self, peer: NodeId, now: Instant) -> bool {
        self.since.get(&peer).is_some_and(|since| now.since(*since) >= LASTING)
    }

    /// Fills the places of up to `count` anchors with neighbours that lasted: those that were anchors `before`, then the
    /// oldest. Returns the new ones.
    pub(super) fn choose(&mut self, count: usize, before: impl Fn(NodeId) -> bool, now: Instant) -> Vec<NodeId> {
        let free = count.saturating_sub(self.own.len());
        if free == 0 {
            return Vec::new();
        }
        let lasting = self.since.iter().filter(|(peer, _)| self.lasts(**peer, now) && !self.own.contains(*peer));
        let mut all: Vec<(bool, Instant, NodeId)> =
            lasting.map(|(peer, since)| (!before(*peer), *since, *peer)).collect();
        all.sort_unstable();
        let new: Vec<NodeId> = all.into_iter().take(free).map(|(_, _, peer)| peer).collect();
        self.own.extend(new.iter().copied());
        new
    }

    /// Whether `peer` is an anchor of this node.
    pub(super) fn contains(&self, peer: NodeId) -> bool {
        self.own.contains(&peer)
    }

    /// A neighbour says whether this node is an anchor of it.
    pub(super) fn told(&mut self, by: NodeId, anchor: bool) {
        match anchor && self.since.contains_key(&by) {
            true => self.holders.insert(by),
            false => self.holders.remove(&by),
        };
    }

    /// The neighbours that no newcomer displaces: the anchors, and the oldest of those that hold this node, as long as one
    /// place of `capacity` is left.
    pub(super) fn kept(&self, capacity: usize, now: Instant) -> OrderedSet<NodeId> {
        let mut kept = self.own.clone();
        let holders = self.holders.iter().filter(|peer| self.lasts(**peer, now) && !kept.contains(*peer));
        let mut holders: Vec<(Option<&Instant>, NodeId)> = holders.map(|peer| (self.since.get(peer), *peer)).collect();
        holders.sort_unstable();
        let room = capacity.saturating_sub(1).saturating_sub(kept.len());
        kept.extend(holders.into_iter().take(room).map(|(_, peer)| peer));
        kept
    }

    /// Of neighbours that may go, those that a newcomer may displace: young ones; if there are none, those that lasted,
    /// where a `stranger` did so long ago.
    pub(super) fn displaceable(&self, may_go: Vec<NodeId>, stranger: bool, now: Instant) -> Vec<NodeId> {
        let (lasting, young): (Vec<NodeId>, Vec<NodeId>) = may_go.into_iter().partition(|peer| self.lasts(*peer, now));
        let waits = stranger && self.displaced.is_some_and(|at| now.since(at) < PAUSE);
        match (young.is_empty(), waits) {
            (false, _) => young,
            (true, true) => Vec::new(),
            (true, false) => lasting,
        }
    }

    /// A `stranger` takes the place of `victim`.
    pub(super) fn displaces(&mut self, victim: NodeId, stranger: bool, now: Instant) {
        if stranger && self.lasts(victim, now) {
            self.displaced = Some(now);
        }
    }

    /// As if a neighbour had been one for so much longer.
    #[cfg(test)]
    pub(super) fn age(&mut self, peer: NodeId, by: Duration) {
        if let Some(since) = self.since.get_mut(&peer) {
            *since = Instant::from_micros(since.as_micros().saturating_sub(by.as_micros() as u64));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.since.len().saturating_add(self.own.len()).saturating_add(self.holders.len())
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self, neighbours: &OrderedSet<NodeId>) -> Result<(), &'static str> {
        if !self.since.keys().eq(neighbours.iter()) {
            return Err("the age of a neighbour is unknown, or one is known of another node");
        }
        match self.own.is_subset(neighbours) && self.holders.is_subset(neighbours) {
            true => Ok(()),
            false => Err("an anchor is no neighbour"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Bench, addr, id, record, replies, request};
    use super::super::wire::{Message, Urgency};
    use super::super::{In, Out};
    use super::*;
    use crate::fact::{DownReason, Fact};
    use core::net::SocketAddr;

    fn taken(b: &mut Bench, n: u8, urgency: Urgency) -> bool {
        let answer = replies(&b.receive(n, &request(urgency)));
        answer.iter().any(|m| matches!(m, Message::Response { accepted: Ok(()), .. }))
            && b.m.neighbours().contains(&id(n))
    }

    fn holds(b: &mut Bench, n: u8) {
        b.receive(n, &Message::Sketch { neighbour: true, anchor: true, marks: Vec::new() });
    }

    /// A node with neighbours 2 to 7 that lasted; the oldest three are its anchors.
    fn settled() -> Bench {
        let mut b = Bench::new();
        b.input(In::Join(Vec::new()));
        for n in 2..8 {
            b.up(n);
            b.receive(n, &request(Urgency::Low));
            b.run(1);
        }
        b.run(75);
        b
    }

    /// A crowd that asks for an hour took every place. Mutation:
    /// `kept` is empty.
    #[test]
    fn an_hour_of_strangers_leaves_the_anchors_and_a_held_link() {
        let mut b = settled();
        let anchors: Vec<u8> = (2..8).filter(|n| b.m.hyparview.is_anchor(id(*n))).collect();
        assert_eq!(anchors, [2, 3, 4], "the oldest");
        holds(&mut b, 7);
        let mut went = Vec::new();
        for minute in 0..60u32 {
            for n in 20..68 {
                if minute == 0 {
                    b.up(n);
                }
                taken(&mut b, n, if n % 2 == 0 { Urgency::Join } else { Urgency::High });
            }
            b.run(60);
            went.push((2..8).filter(|n| !b.m.neighbours().contains(&id(*n))).count());
        }
        assert_eq!(went[0], 1, "one that lasted in a minute");
        assert_eq!(went.last(), Some(&2), "{went:?}");
        assert!([2, 3, 4, 7].iter().all(|n| b.m.neighbours().contains(&id(*n))));
    }

    /// Mutation: `kept` is empty.
    #[test]
    fn who_only_says_that_it_holds_this_node_keeps_no_place() {
        let mut b = settled();
        b.up(20);
        assert!(taken(&mut b, 20, Urgency::Join));
        holds(&mut b, 20);
        b.up(21);
        assert!(taken(&mut b, 21, Urgency::Join), "20 came a moment ago");
        assert!(!b.m.neighbours().contains(&id(20)));
        let mut b = settled();
        (2..8).for_each(|n| holds(&mut b, n));
        b.up(20);
        assert!(taken(&mut b, 20, Urgency::Join), "a place is left whoever holds this node");
        assert!((2..7).all(|n| b.m.neighbours().contains(&id(n))), "the youngest went");
    }

    /// Mutations: the pause is not looked at; a former anchor is a stranger.
    #[test]
    fn a_former_anchor_comes_back_without_the_strangers_pause() {
        let mut b = settled();
        b.fact(Fact::LinkDown { peer: id(2), reason: DownReason::Timeout });
        b.up(20);
        b.receive(20, &request(Urgency::Low));
        b.run(75);
        // A stranger takes a place that lasted, and is gone; another comes while there is a place, and lasts for a while.
        b.up(21);
        assert!(taken(&mut b, 21, Urgency::High));
        b.fact(Fact::LinkDown { peer: id(21), reason: DownReason::Closed });
        b.up(22);
        assert!(b.m.neighbours().len() == 5 && taken(&mut b, 22, Urgency::Low));
        holds(&mut b, 22);
        b.m.hyparview.age(id(22), LASTING);
        b.up(23);
        assert!(!taken(&mut b, 23, Urgency::High), "all lasted, and a stranger came less than a minute ago");
        b.up(2);
        assert!(taken(&mut b, 2, Urgency::High), "it was an anchor");
    }

    fn up_at(b: &mut Bench, n: u8, at: &str) -> Vec<Out> {
        let addr: SocketAddr = at.parse().unwrap();
        b.fact(Fact::LinkUp { peer: id(n), record: record(n), addr })
    }

    /// Mutation: a newcomer may displace any neighbour.
    #[test]
    fn nodes_of_one_network_take_places_from_each_other_alone() {
        let mut b = Bench::new();
        b.input(In::Join(Vec::new()));
        for n in 2..6 {
            up_at(&mut b, n, &alloc::format!("81.0.{n}.1:4000"));
            b.receive(n, &request(Urgency::Low));
        }
        // Two of one network while there are places.
        for n in 6..8 {
            up_at(&mut b, n, &alloc::format!("82.0.0.{n}:4000"));
            assert!(taken(&mut b, n, Urgency::Low));
        }
        let honest = |b: &Bench| (2..6).filter(|n| b.m.neighbours().contains(&id(*n))).count();
        for n in 20..40 {
            up_at(&mut b, n, &alloc::format!("82.0.0.{n}:4000"));
            taken(&mut b, n, Urgency::Join);
            b.run(1);
            assert_eq!(honest(&b), 4, "{n}");
        }
        // One from elsewhere takes the place of one of the crowd.
        up_at(&mut b, 60, "83.0.0.1:4000");
        assert!(taken(&mut b, 60, Urgency::Join));
        assert_eq!(honest(&b), 4);
        // Where all are of one network, as in a house or a campus, newcomers come in.
        let mut b = Bench::new();
        b.input(In::Join(Vec::new()));
        for n in 2..40 {
            up_at(&mut b, n, &alloc::format!("82.0.0.{n}:4000"));
            assert!(taken(&mut b, n, Urgency::Join), "{n}");
            b.run(1);
        }
    }

    /// Mutation: the time is not stored.
    #[test]
    fn a_restarted_node_calls_its_anchors_first() {
        let b = settled();
        let row = b.m.get(id(3)).map(super::super::book::Known::encode).unwrap();
        let other = b.m.get(id(7)).map(super::super::book::Known::encode).unwrap();
        let mut again = Bench::new();
        again.m.restore(&id(3).0, &row).unwrap();
        again.m.restore(&id(7).0, &other).unwrap();
        let strangers: Vec<u8> = (100..110).collect();
        let through = strangers.iter().map(|n| crate::wire::ticket::Bootstrap { addr: addr(*n), id: None }).collect();
        let out = again.input(In::Join(through));
        let called = |o: &Out| if let Out::Connect { expect, .. } = o { Some(*expect) } else { None };
        let called: Vec<_> = out.iter().filter_map(called).collect();
        assert_eq!(called.first(), Some(&Some(id(3))), "{called:?}");
        assert!(called.contains(&None), "and a bootstrap beside it: {called:?}");
    }
}
