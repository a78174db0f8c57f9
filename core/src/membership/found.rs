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
