//! Configured addresses through which a node enters the network: tried for ever, with growing pauses.

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::collections::OrderedMap;
use crate::id::NodeId;
use crate::machine::Outbox;
use crate::time::{Instant, soonest};
use crate::wire::reach::may_probe;
use crate::wire::ticket::Bootstrap;

use super::interface::Out;

/// Bootstraps a user can configure.
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
        if self.0.len() < MAX_BOOTSTRAPS && may_probe(bootstrap.addr, None) && bootstrap.id != Some(me) {
            let target = Target { resolved: None, fails: 0, next_try: now, trying: false };
            self.0.entry(bootstrap).or_insert(target);
        }
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
