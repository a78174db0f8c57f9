//! Broadcasts: from neighbour to neighbour, each message once.
//!
//! For the time being a message floods: it goes to every neighbour that did not send it, with a hop
//! limit and exact recognition of repeats (chat document §3, "Flooding Algorithm"). The inputs and
//! outputs are those of the trees that will replace the flood. What this machine loses, comparing
//! heights (the chat machine) finds again.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::collections::{DedupWindow, ShortId, short};
use crate::config::{Config, GossipConfig};
use crate::id::NodeId;
use crate::machine::{Cx, Machine, Outbox};
use crate::rng::Rng;
use crate::stats::{BroadcastStats, DropReason, Drops};
use crate::time::Instant;

/// Broadcasts whose content is being checked: the answer comes within the same step, so a few are
/// plenty; beyond it the oldest is forgotten and not passed on.
const MAX_UNDECIDED: usize = 64;

#[derive(Debug)]
pub(crate) enum In {
    PeerUp(NodeId),
    PeerDown(NodeId),
    Message {
        from: NodeId,
        body: Vec<u8>,
    },
    /// Send this to everybody.
    Publish {
        body: Vec<u8>,
    },
    /// Whether what was handed up by `Deliver` is genuine: only then is it passed on.
    Verdict {
        id: ShortId,
        genuine: bool,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Out {
    Send { to: NodeId, body: Vec<u8> },
    Deliver { id: ShortId, via: NodeId, body: Vec<u8> },
}

/// What travels: one byte of remaining hops, then the payload. The hop count changes on the way, so
/// only the link protects it; the payload carries its author's signature.
struct Payload<'a> {
    ttl: u8,
    body: &'a [u8],
}

impl<'a> Payload<'a> {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body.len().saturating_add(1));
        out.push(self.ttl);
        out.extend_from_slice(self.body);
        out
    }

    fn decode(bytes: &'a [u8]) -> Option<Self> {
        match bytes.split_first() {
            Some((&ttl, body)) if !body.is_empty() => Some(Self { ttl, body }),
            _ => None,
        }
    }
}

struct Undecided {
    from: NodeId,
    ttl: u8,
    body: Vec<u8>,
}

pub(crate) struct Gossip {
    peers: BTreeSet<NodeId>,
    seen: DedupWindow,
    undecided: BTreeMap<ShortId, Undecided>,
    config: GossipConfig,
    stats: BroadcastStats,
    drops: Drops,
}

impl Gossip {
    pub(crate) fn new(config: &Config, rng: &mut Rng) -> Self {
        Self {
            peers: BTreeSet::new(),
            seen: DedupWindow::new(config.limits.dedup_ids, config.gossip.remember, rng),
            undecided: BTreeMap::new(),
            config: config.gossip.clone(),
            stats: BroadcastStats::default(),
            drops: Drops::default(),
        }
    }

    pub(crate) fn stats(&self) -> &BroadcastStats {
        &self.stats
    }

    pub(crate) fn drops(&self) -> &Drops {
        &self.drops
    }

    fn flood(&mut self, except: Option<NodeId>, payload: &Payload<'_>, out: &mut Outbox<Out>) {
        for &to in self.peers.iter().filter(|p| Some(**p) != except) {
            let body = payload.encode();
            self.stats.payload(body.len());
            out.push(Out::Send { to, body });
        }
    }
}

fn id_of(body: &[u8]) -> ShortId {
    short(blake3::hash(body).as_bytes())
}

impl Machine for Gossip {
    const NAME: &'static str = "gossip";
    type In = In;
    type Out = Out;

    fn handle(&mut self, cx: &mut Cx<'_>, input: In, out: &mut Outbox<Out>) {
        match input {
            In::PeerUp(peer) => {
                self.peers.insert(peer);
            }
            In::PeerDown(peer) => {
                self.peers.remove(&peer);
            }
            In::Publish { body } => {
                self.seen.insert(cx.now, &id_of(&body));
                self.flood(None, &Payload { ttl: self.config.ttl, body: &body }, out);
            }
            In::Message { from, body } => {
                let Some(Payload { ttl, body }) = Payload::decode(&body) else {
                    return self.drops.count(DropReason::Message);
                };
                if ttl == 0 {
                    return self.drops.count(DropReason::Ttl);
                }
                self.stats.payloads_in = self.stats.payloads_in.saturating_add(1);
                let id = id_of(body);
                if self.seen.contains(&id) || self.undecided.contains_key(&id) {
                    return self.drops.count(DropReason::Duplicate);
                }
                if self.undecided.len() >= MAX_UNDECIDED {
                    self.undecided.pop_first();
                    self.drops.count(DropReason::Queue);
                }
                // A sender's hop limit is a wish; this node's own is the bound.
                let ttl = ttl.min(self.config.ttl);
                self.stats.first(usize::from(self.config.ttl.saturating_sub(ttl)).saturating_add(1));
                self.undecided.insert(id, Undecided { from, ttl, body: body.to_vec() });
                out.push(Out::Deliver { id, via: from, body: body.to_vec() });
            }
            In::Verdict { id, genuine } => {
                let Some(Undecided { from, ttl, body }) = self.undecided.remove(&id) else { return };
                // A forgery is remembered too: the same bytes are not checked twice.
                self.seen.insert(cx.now, &id);
                if genuine && ttl > 1 {
                    self.flood(Some(from), &Payload { ttl: ttl.saturating_sub(1), body: &body }, out);
                }
            }
        }
    }

    fn handle_timeout(&mut self, _cx: &mut Cx<'_>, _out: &mut Outbox<Out>) {}

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn footprint(&self) -> usize {
        self.peers.len().saturating_add(self.undecided.len()).saturating_add(self.seen.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::WallTime;
    use alloc::vec;

    fn peer(n: u8) -> NodeId {
        NodeId([n; 32])
    }

    struct Bench {
        gossip: Gossip,
        rng: Rng,
    }

    impl Bench {
        fn new(peers: u8) -> Self {
            let mut rng = Rng::new([0; 32]);
            let mut b = Self { gossip: Gossip::new(&Config::default(), &mut rng), rng };
            for n in 1..=peers {
                b.input(In::PeerUp(peer(n)));
            }
            b
        }

        fn input(&mut self, input: In) -> Vec<Out> {
            let mut out = Outbox::new();
            let mut cx = Cx { now: Instant::ZERO, wall: WallTime(0), me: peer(0), rng: &mut self.rng };
            self.gossip.handle(&mut cx, input, &mut out);
            out.take()
        }

        fn receive(&mut self, from: u8, ttl: u8, body: &[u8]) -> Vec<Out> {
            self.input(In::Message { from: peer(from), body: Payload { ttl, body }.encode() })
        }

        fn verdict(&mut self, body: &[u8], genuine: bool) -> Vec<Out> {
            self.input(In::Verdict { id: id_of(body), genuine })
        }
    }

    #[test]
    fn a_genuine_message_goes_to_all_but_its_sender_with_one_hop_less() {
        let mut b = Bench::new(3);
        assert_eq!(b.receive(1, 5, b"x"), [Out::Deliver { id: id_of(b"x"), via: peer(1), body: b"x".to_vec() }]);
        let out = b.verdict(b"x", true);
        let expected = [2, 3].map(|n| Out::Send { to: peer(n), body: vec![4, b'x'] });
        assert_eq!(out, expected);
        assert_eq!(b.receive(2, 5, b"x"), [], "once only");
        assert_eq!(b.gossip.drops.get(DropReason::Duplicate), 1);
    }

    #[test]
    fn a_forgery_stops_here_and_stays_stopped() {
        let mut b = Bench::new(3);
        b.receive(1, 5, b"x");
        assert_eq!(b.verdict(b"x", false), []);
        assert_eq!(b.receive(2, 5, b"x"), []);
        assert_eq!(b.verdict(b"x", true), [], "a rejected message does not come back");
    }

    #[test]
    fn hop_limits_are_bounded_by_this_node() {
        let mut b = Bench::new(2);
        assert_eq!(b.receive(1, 0, b"a"), []);
        assert_eq!(b.receive(1, 1, b"b").len(), 1);
        assert_eq!(b.verdict(b"b", true), [], "delivered, not passed on");
        b.receive(1, 255, b"c");
        assert_eq!(b.verdict(b"c", true), [Out::Send { to: peer(2), body: vec![9, b'c'] }]);
    }

    #[test]
    fn undecided_messages_are_bounded() {
        let mut b = Bench::new(1);
        for n in 0..1_000u32 {
            b.receive(1, 5, &n.to_le_bytes());
        }
        assert!(b.gossip.undecided.len() <= MAX_UNDECIDED);
        assert!(b.receive(1, 1, b"").is_empty());
    }

    #[test]
    fn an_own_message_that_comes_back_is_a_repeat() {
        let mut b = Bench::new(2);
        assert_eq!(b.input(In::Publish { body: b"mine".to_vec() }).len(), 2);
        assert_eq!(b.receive(1, 5, b"mine"), []);
    }
}
