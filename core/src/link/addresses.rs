//! Where nodes may be found: addresses and records, from the address book, other nodes and earlier links.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::collections::OrderedMap;
use crate::id::NodeId;
use crate::limits::Limits;
use crate::wire::record::NodeRecord;

/// Addresses kept for one node.
pub(super) const MAX_ADDRS: usize = 4;

/// Where one node may be found.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub record: Option<NodeRecord>,
    pub addrs: Vec<SocketAddr>,
    used: u64,
}

#[derive(Debug, Default)]
pub(super) struct Addresses {
    known: OrderedMap<NodeId, Known>,
    uses: u64,
}

impl Addresses {
    pub(super) fn get(&self, peer: NodeId) -> Option<&Known> {
        self.known.get(&peer)
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Adds a newer record and addresses, best first. Whether an address is new. A node that is not `needed` now
    /// and was updated least recently makes place: its addresses can be asked for again.
    pub(super) fn add(
        &mut self,
        peer: NodeId,
        record: Option<NodeRecord>,
        addrs: &[SocketAddr],
        limits: &Limits,
        needed: impl Fn(NodeId) -> bool,
    ) -> bool {
        if !self.known.contains_key(&peer) && self.known.len() >= limits.neighbours {
            let oldest = self.known.iter().filter(|(p, _)| !needed(**p)).min_by_key(|(_, k)| k.used);
            match oldest.map(|(p, _)| *p) {
                Some(oldest) => {
                    self.known.remove(&oldest);
                }
                None if self.known.len() >= limits.address_book => return false,
                None => {}
            }
        }
        self.uses = self.uses.saturating_add(1);
        let known = self.known.entry(peer).or_default();
        known.used = self.uses;
        if let Some(record) = record.filter(|r| r.id() == peer)
            && known.record.as_ref().is_none_or(|old| record.seq > old.seq)
        {
            known.record = Some(record);
        }
        let fresh: Vec<_> = addrs.iter().copied().filter(|a| usable(*a)).collect();
        let new = fresh.iter().any(|a| !known.addrs.contains(a));
        let mut all: Vec<SocketAddr> = Vec::with_capacity(MAX_ADDRS);
        for addr in fresh.into_iter().chain(known.addrs.iter().copied()) {
            if all.len() < MAX_ADDRS && !all.contains(&addr) {
                all.push(addr);
            }
        }
        known.addrs = all;
        new
    }
}

/// One of each family in turn, each in its order and that of the first address first (RFC 8305 §4): where one family does not
/// work, the second attempt does.
pub(super) fn alternate(addrs: &mut [SocketAddr]) {
    for at in 1..addrs.len() {
        let (tried, rest) = addrs.split_at_mut(at);
        let last = tried.last().map(SocketAddr::is_ipv4);
        if let Some(next) = rest.iter().position(|addr| Some(addr.is_ipv4()) != last)
            && let Some(moved) = rest.get_mut(..=next)
        {
            moved.rotate_right(1);
        }
    }
}

/// Whether packets may be sent there at all.
pub(super) fn usable(addr: SocketAddr) -> bool {
    let ip = addr.ip();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: the order stays.
    #[test]
    fn families_take_turns_and_keep_their_order() {
        let order = |all: &[&str]| {
            let mut addrs: Vec<SocketAddr> = all.iter().map(|a| a.parse().unwrap()).collect();
            alternate(&mut addrs);
            addrs.iter().map(SocketAddr::port).collect::<Vec<_>>()
        };
        assert_eq!(order(&["1.1.1.1:1", "1.1.1.1:2", "[::1]:3", "[::1]:4"]), [1, 3, 2, 4]);
        assert_eq!(order(&["[::1]:1", "[::1]:2", "[::1]:3", "1.1.1.1:4"]), [1, 4, 2, 3]);
        assert_eq!(order(&["1.1.1.1:1", "1.1.1.1:2"]), [1, 2]);
        assert_eq!(order(&[]), [0u16; 0]);
    }
}
