//! Places that somebody near said it is at: tried once each time they are told, never held on to. A local
//! network can say what it likes, so what it says takes no place from what the user configured.

use super::*;

/// Hints under way: 56 bytes each. The next beacon brings those that found no room.
const MAX_HINTS: usize = 16;

impl Membership {
    /// A node may be at `addr`. Nodes that are known are left alone unless neighbours are missing; one that is
    /// not is always tried, since it may belong to another part of the network (see `partition.rs`).
    pub(super) fn found(&mut self, addr: SocketAddr, id: Option<NodeId>, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let linked = self.linked.values().any(|at| *at == addr) || id.is_some_and(|id| self.linked.contains_key(&id));
        if !self.running() || linked || id == Some(cx.me) || !may_probe(addr, Some(addr.ip())) {
            return;
        }
        let quiet = self.book.met_at(addr).is_some_and(|known| !self.wants_neighbours() || known.rests(cx.now));
        // A hint whose end nobody told is the link's to give up, which takes no longer than this.
        let patience = self.config.link.handshake_timeout.saturating_mul(2);
        self.hints.retain(|_, since| cx.now.since(*since) < patience);
        if quiet || self.hints.contains_key(&addr) || self.hints.len() >= MAX_HINTS {
            return;
        }
        self.hints.insert(addr, cx.now);
        out.push(Out::Connect { addr, expect: id });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Bench, addr, id};
    use super::*;

    fn connects(out: &[Out]) -> Vec<(SocketAddr, Option<NodeId>)> {
        let to = |o: &Out| if let Out::Connect { addr, expect } = o { Some((*addr, *expect)) } else { None };
        out.iter().filter_map(to).collect()
    }

    fn found(b: &mut Bench, addr: SocketAddr, id: Option<NodeId>) -> Vec<(SocketAddr, Option<NodeId>)> {
        connects(&b.input(In::Found { addr, id }))
    }

    #[test]
    fn who_is_near_is_tried_once_and_becomes_a_neighbour_of_one_who_was_alone() {
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
    fn a_failed_try_is_forgotten_and_the_next_beacon_is_another_one() {
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
    fn hints_never_aim_a_node_at_groups_reserved_ports_or_itself() {
        let mut b = Bench::new();
        b.input(In::Join(Vec::new()));
        for bad in ["224.0.0.1:4000", "255.255.255.255:4000", "10.0.0.2:53", "10.0.0.2:0", "0.0.0.0:4000"] {
            assert!(found(&mut b, bad.parse().unwrap(), None).is_empty(), "{bad}");
        }
        let me = b.me;
        assert!(found(&mut b, addr(2), Some(me)).is_empty());
    }

    #[test]
    fn a_crowd_of_hints_has_sixteen_tries_under_way() {
        let mut b = Bench::new();
        b.input(In::Join(Vec::new()));
        let tried = (0..200).filter(|n| !found(&mut b, addr(*n), None).is_empty()).count();
        assert_eq!(tried, 16);
        // Those that nobody hears of again make room.
        b.now = b.now + Duration::from_secs(21);
        assert_eq!(found(&mut b, addr(201), None).len(), 1);
    }

    #[test]
    fn whoever_has_all_neighbours_tries_only_strangers() {
        let mut b = Bench::new();
        b.input(In::Join(Vec::new()));
        for n in 2..9 {
            b.up(n);
            b.hear(n, &Message::Response { accepted: Ok(()), available: Vec::new() });
        }
        assert!(!b.m.wants_neighbours());
        b.fact(Fact::LinkDown { peer: id(8), reason: DownReason::Closed });
        b.up(9);
        b.hear(9, &Message::Response { accepted: Ok(()), available: Vec::new() });
        assert!(!b.m.wants_neighbours());
        assert!(found(&mut b, addr(8), None).is_empty(), "it was met");
        assert_eq!(found(&mut b, addr(100), None), [(addr(100), None)]);
    }

    #[test]
    fn a_link_local_address_is_neither_stored_nor_told() {
        let mut b = Bench::new();
        b.input(In::Join(Vec::new()));
        let near: SocketAddr = "[fe80::2%3]:4000".parse().unwrap();
        assert_eq!(found(&mut b, near, None), [(near, None)]);
        b.fact(Fact::LinkUp { peer: id(2), record: super::super::tests::record(2), addr: near });
        let known = b.m.get(id(2)).unwrap();
        assert_eq!((known.addrs[0], known.lasting_addrs()), (near, Vec::new()));
        assert!(b.m.info(id(2)).unwrap().addrs.is_empty());
        b.input(In::Observed { by: id(2), addr: near });
        assert!(b.m.addresses().is_empty());
    }
}
