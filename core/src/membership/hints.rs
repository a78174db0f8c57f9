//! Addresses at which the local network reports a node: tried once each time they are reported, never stored. A
//! local network can say what it likes, so its reports take no place from what the user configured.

use core::net::SocketAddr;

use crate::collections::OrderedMap;
use crate::time::{Duration, Instant};

/// Hints under way: 56 bytes each. The next beacon repeats those beyond it.
const MAX_HINTS: usize = 16;

#[derive(Default)]
pub(super) struct Hints {
    /// When the attempt at each began.
    trying: OrderedMap<SocketAddr, Instant>,
}

impl Hints {
    /// Forgets attempts whose end was never reported, after `patience`.
    pub(super) fn expire(&mut self, now: Instant, patience: Duration) {
        self.trying.retain(|_, since| now.since(*since) < patience);
    }

    /// Begins an attempt at `addr`; false if one is under way or there are too many.
    pub(super) fn begin(&mut self, addr: SocketAddr, now: Instant) -> bool {
        if self.trying.contains_key(&addr) || self.trying.len() >= MAX_HINTS {
            return false;
        }
        self.trying.insert(addr, now);
        true
    }

    /// The attempt at `addr` is over.
    pub(super) fn end(&mut self, addr: SocketAddr) {
        self.trying.remove(&addr);
    }

    pub(super) fn clear(&mut self) {
        self.trying.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.trying.len()
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.trying.len() > MAX_HINTS { Err("too many hints are being tried") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Bench, addr, id, record};
    use super::super::wire::Message;
    use super::super::{In, NodeState, Out};
    use super::*;
    use crate::fact::{DownReason, Fact};
    use crate::id::NodeId;
    use crate::machine::Machine as _;
    use alloc::vec::Vec;

    fn connects(out: &[Out]) -> Vec<(SocketAddr, Option<NodeId>)> {
        let to = |o: &Out| if let Out::Connect { addr, expect } = o { Some((*addr, *expect)) } else { None };
        out.iter().filter_map(to).collect()
    }

    fn found(b: &mut Bench, addr: SocketAddr, id: Option<NodeId>) -> Vec<(SocketAddr, Option<NodeId>)> {
        connects(&b.input(In::Found { addr, id }))
    }

    #[test]
    fn a_hint_is_tried_once_and_becomes_a_first_neighbour() {
        let mut b = Bench::new();
        assert!(found(&mut b, addr(2), None).is_empty(), "it is in no network");
        b.input(In::Join(Vec::new()));
        assert_eq!(b.m.state(), NodeState::Active);
        assert_eq!(found(&mut b, addr(2), None), [(addr(2), None)]);
        assert!(found(&mut b, addr(2), None).is_empty(), "it is being tried");
        let asked = b.up(2);
        assert!(asked.iter().any(|o| matches!(o, Out::Want(peer) if *peer == id(2))), "{asked:?}");
        assert!(found(&mut b, addr(2), None).is_empty(), "it is linked");
        assert!(found(&mut b, addr(7), Some(id(2))).is_empty(), "and nowhere else");
    }

    #[test]
    fn a_failed_hint_is_forgotten_and_the_next_one_is_tried() {
        let mut b = Bench::new();
        b.input(In::Join(Vec::new()));
        for _ in 0..3 {
            assert_eq!(found(&mut b, addr(2), Some(id(2))), [(addr(2), Some(id(2)))]);
            let out = b.input(In::Unreachable { addr: addr(2), expect: Some(id(2)), wrong_node: true });
            assert!(connects(&out).is_empty());
        }
        b.run(600);
        assert_eq!(b.m.footprint(), 0);
    }

    #[test]
    fn hints_at_groups_reserved_ports_or_itself_are_refused() {
        let mut b = Bench::new();
        b.input(In::Join(Vec::new()));
        for bad in ["224.0.0.1:4000", "255.255.255.255:4000", "10.0.0.2:53", "10.0.0.2:0", "0.0.0.0:4000"] {
            assert!(found(&mut b, bad.parse().unwrap(), None).is_empty(), "{bad}");
        }
        let me = b.me;
        assert!(found(&mut b, addr(2), Some(me)).is_empty());
    }

    #[test]
    fn a_crowd_of_hints_has_sixteen_attempts_under_way() {
        let mut b = Bench::new();
        b.input(In::Join(Vec::new()));
        let tried = (0..200).filter(|n| !found(&mut b, addr(*n), None).is_empty()).count();
        assert_eq!(tried, 16);
        // Those whose end is never reported free their places.
        b.now = b.now + Duration::from_secs(21);
        assert_eq!(found(&mut b, addr(201), None).len(), 1);
    }

    #[test]
    fn a_full_node_tries_only_unknown_hints() {
        let mut b = Bench::new();
        b.input(In::Join(Vec::new()));
        for n in 2..9 {
            b.up(n);
            b.receive(n, &Message::Response { accepted: Ok(()), available: Vec::new() });
        }
        assert!(!b.m.hyparview.wants_neighbours());
        b.fact(Fact::LinkDown { peer: id(8), reason: DownReason::Closed });
        b.up(9);
        b.receive(9, &Message::Response { accepted: Ok(()), available: Vec::new() });
        assert!(!b.m.hyparview.wants_neighbours());
        assert!(found(&mut b, addr(8), None).is_empty(), "it was linked before");
        assert_eq!(found(&mut b, addr(100), None), [(addr(100), None)]);
    }

    #[test]
    fn a_link_local_address_is_neither_stored_nor_reported() {
        let mut b = Bench::new();
        b.input(In::Join(Vec::new()));
        let near: SocketAddr = "[fe80::2%3]:4000".parse().unwrap();
        assert_eq!(found(&mut b, near, None), [(near, None)]);
        b.fact(Fact::LinkUp { peer: id(2), record: record(2), addr: near });
        let known = b.m.get(id(2)).unwrap();
        assert_eq!((known.addrs[0], known.lasting_addrs()), (near, Vec::new()));
        assert!(b.m.peers.describe(id(2)).unwrap().addrs.is_empty());
        b.input(In::Observed { by: id(2), addr: near });
        assert!(b.m.addresses().is_empty());
    }
}
