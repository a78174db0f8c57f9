//! Configured addresses through which a node enters the network: tried for ever, with growing pauses.

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::collections::OrderedMap;
use crate::id::NodeId;
use crate::machine::Outbox;
use crate::time::{Instant, soonest};
use crate::wire::reach::{canonical, may_probe};
use crate::wire::ticket::Bootstrap;

use super::interface::Out;

/// Addresses of the bootstraps that a user configured. A name may lead to others each time it is looked up: when there
/// are so many, the one that failed most often makes place.
const MAX_BOOTSTRAPS: usize = 64;

struct Target {
    /// The node that answered there.
    resolved: Option<NodeId>,
    fails: u32,
    next_try: Instant,
    trying: bool,
}

#[derive(Default)]
pub(super) struct Bootstraps(OrderedMap<Bootstrap, Target>);

impl Bootstraps {
    pub(super) fn add(&mut self, bootstrap: Bootstrap, me: NodeId, now: Instant) {
        let bootstrap = Bootstrap { addr: canonical(bootstrap.addr), ..bootstrap };
        let is_usable = may_probe(bootstrap.addr, None) && bootstrap.id != Some(me);
        if is_usable && !self.0.contains_key(&bootstrap) && self.has_room() {
            let target = Target { resolved: None, fails: 0, next_try: now, trying: false };
            self.0.insert(bootstrap, target);
        }
    }

    fn has_room(&mut self) -> bool {
        if self.0.len() >= MAX_BOOTSTRAPS {
            let failed = self.0.iter().filter(|(_, t)| t.fails > 0);
            let worst =
                failed.max_by_key(|(_, t)| (t.resolved.is_none(), t.fails)).map(|(bootstrap, _)| bootstrap.clone());
            worst.map(|worst| self.0.remove(&worst));
        }
        self.0.len() < MAX_BOOTSTRAPS
    }

    /// A link to `peer` is open at `addr`.
    pub(super) fn linked(&mut self, peer: NodeId, addr: SocketAddr) {
        for (bootstrap, target) in &mut self.0 {
            if bootstrap.addr == addr || target.resolved == Some(peer) {
                target.resolved = Some(peer);
                target.trying = false;
                target.fails = 0;
            }
        }
    }

    /// `peer` answered at `addr`.
    pub(super) fn resolved(&mut self, addr: SocketAddr, peer: NodeId, linked: bool) {
        for (bootstrap, target) in &mut self.0 {
            if bootstrap.addr == addr {
                target.resolved = Some(peer);
                target.trying &= !linked;
            }
        }
    }

    /// An attempt failed; `next_try` is computed from the number of failures before.
    pub(super) fn failed(
        &mut self,
        addr: SocketAddr,
        expect: Option<NodeId>,
        mut next_try: impl FnMut(u32) -> Instant,
    ) {
        for (bootstrap, target) in &mut self.0 {
            if bootstrap.addr == addr && bootstrap.id == expect && target.trying {
                target.trying = false;
                target.next_try = next_try(target.fails);
                target.fails = target.fails.saturating_add(1);
            }
        }
    }

    /// Begins up to `free` attempts at those that are due and not `linked`. Returns how many more may begin, and
    /// when the next one is due.
    pub(super) fn try_due(
        &mut self,
        mut free: usize,
        now: Instant,
        linked: impl Fn(NodeId) -> bool,
        out: &mut Outbox<Out>,
    ) -> (usize, Option<Instant>) {
        let mut next: Option<Instant> = None;
        for (bootstrap, target) in &mut self.0 {
            if target.resolved.is_some_and(&linked) || target.trying {
                continue;
            }
            if target.next_try > now {
                next = soonest(next, Some(target.next_try));
            } else if free > 0 {
                free = free.saturating_sub(1);
                target.trying = true;
                out.push(Out::Connect { addr: bootstrap.addr, expect: bootstrap.id });
            }
        }
        (free, next)
    }

    /// Those that are neither being tried nor `linked`.
    pub(super) fn idle(&self, linked: impl Fn(NodeId) -> bool) -> Vec<Bootstrap> {
        let idle = |t: &Target| !t.trying && !t.resolved.is_some_and(&linked);
        self.0.iter().filter(|(_, t)| idle(t)).map(|(b, _)| b.clone()).collect()
    }

    /// Begins an attempt at one of [`Self::idle`], whether it is due or not.
    pub(super) fn try_now(&mut self, bootstrap: &Bootstrap, out: &mut Outbox<Out>) {
        if let Some(target) = self.0.get_mut(bootstrap) {
            target.trying = true;
        }
        out.push(Out::Connect { addr: bootstrap.addr, expect: bootstrap.id });
    }

    /// Attempts under way.
    pub(super) fn trying(&self) -> usize {
        self.0.values().filter(|t| t.trying).count()
    }

    /// Whether `peer` answered at one of them.
    pub(super) fn lead_to(&self, peer: NodeId) -> bool {
        self.0.values().any(|t| t.resolved == Some(peer))
    }

    /// Backoff ends: all are due.
    pub(super) fn retry_now(&mut self, now: Instant) {
        for target in self.0.values_mut() {
            target.fails = 0;
            target.next_try = now;
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: the address is kept as it is written.
    #[test]
    fn an_address_is_known_in_one_form() {
        let mut all = Bootstraps::default();
        for text in ["192.0.2.1:4000", "[::ffff:192.0.2.1]:4000", "[2001:db8::1]:4000"] {
            all.add(Bootstrap { addr: text.parse().unwrap(), id: None }, NodeId([1; 32]), Instant::ZERO);
        }
        let kept: Vec<SocketAddr> = all.0.keys().map(|b| b.addr).collect();
        assert_eq!(kept, ["192.0.2.1:4000".parse().unwrap(), "[2001:db8::1]:4000".parse().unwrap()]);
    }

    /// A name that leads elsewhere each day still leads into the network. Mutations: what comes last is refused; an
    /// address that answered goes first.
    #[test]
    fn an_address_that_failed_makes_place_for_a_new_one() {
        let (me, now) = (NodeId([1; 32]), Instant::ZERO);
        let at = |n: u32| SocketAddr::from((core::net::Ipv4Addr::from(0xC000_0200 + n), 4000));
        let place = |n: u32| Bootstrap { addr: at(n), id: None };
        let mut all = Bootstraps::default();
        (0..64).for_each(|n| all.add(place(n), me, now));
        all.add(place(100), me, now);
        assert!(!all.0.contains_key(&place(100)), "none failed yet");
        let mut out = Outbox::new();
        all.try_due(64, now, |_| false, &mut out);
        all.resolved(at(7), NodeId([7; 32]), true);
        for n in 0..64 {
            all.failed(at(n), None, |_| now);
        }
        for n in 100..163 {
            all.add(place(n), me, now);
            assert!(all.0.contains_key(&place(n)) && all.0.contains_key(&place(7)), "{n}");
        }
        assert_eq!(all.len(), 64);
    }
}
