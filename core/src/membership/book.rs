//! The address book: every node that was linked or reported, its addresses, and when to try it again.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::collections::OrderedMap;
use crate::config::NodeType;
use crate::id::{AccountId, NodeId};
use crate::rng::Rng;
use crate::time::{Duration, Instant, WallTime};
use crate::wire::reach::prefix;
use crate::wire::record::{BOT, NodeRecord};
use crate::wire::{Blob, Malformed, decode, encode};

use super::wire::MAX_ADDRS;

/// Addresses kept of nodes that were only reported and left the passive view: 64 bytes each, 8 KiB. When 95 of a
/// hundred nodes fail (HyParView, Figure 2), all in a passive view of 36 are dead for every sixth of the rest
/// (0.95^36), with these for two in 10,000 (0.95^164).
const MAX_EVICTED: usize = 128;

/// A node that was not linked for this long, and does not answer, is forgotten: half a year, longer than a device lies in a
/// drawer and short enough that the addresses of strangers do not pile up.
const SILENT: Duration = Duration::from_secs(180 * 86_400);
/// The beginning of 2024: a date before is that of a machine that did not know the date.
const KNEW_THE_DATE: WallTime = WallTime(1_704_067_200_000);

/// What is known of a node.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub record: Option<NodeRecord>,
    /// The record's signature was checked, by this node or by the link.
    pub record_verified: bool,
    /// Best first.
    pub addrs: heapless::Vec<SocketAddr, MAX_ADDRS>,
    pub name: Option<String>,
    /// Set when a certificate proved it.
    pub account: Option<AccountId>,
    /// When a link to it was last opened; zero if never.
    pub last_linked: WallTime,
    /// When it last became an anchor; zero if never.
    pub(super) anchored: WallTime,
    pub last_error: Option<&'static str>,
    /// When this node opened a link to it that no packet of its own had made possible before.
    pub(super) verified_at: Option<Instant>,
    /// When it last had a link that it opened.
    pub(super) inbound_at: Option<Instant>,
    /// In the passive view.
    passive: bool,
    fails: u32,
    next_try: Instant,
    /// When the attempt that is under way began.
    trying: Option<Instant>,
    /// When the last attempt began; zero before the first.
    last_try: Instant,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    record: Option<Blob>,
    addrs: Vec<SocketAddr>,
    name: Option<String>,
    account: Option<AccountId>,
    last_linked: WallTime,
    anchored: WallTime,
}

impl Known {
    fn new() -> Self {
        Self {
            record: None,
            record_verified: false,
            addrs: heapless::Vec::new(),
            name: None,
            account: None,
            last_linked: WallTime(0),
            anchored: WallTime(0),
            last_error: None,
            verified_at: None,
            inbound_at: None,
            passive: false,
            fails: 0,
            next_try: Instant::ZERO,
            trying: None,
            last_try: Instant::ZERO,
        }
    }

    /// Whether an attempt is under way, or the next one has to wait.
    pub(super) fn is_backing_off(&self, now: Instant) -> bool {
        self.trying.is_some() || self.next_try > now
    }

    /// Whether a link to it was ever open.
    pub(super) fn was_linked(&self) -> bool {
        self.last_linked != WallTime(0)
    }

    /// Whether it was ever an anchor of this node.
    pub(super) fn was_anchor(&self) -> bool {
        self.anchored != WallTime(0)
    }

    /// The prefix of its best address.
    pub(super) fn prefix(&self) -> Option<u128> {
        self.addrs.first().and_then(|addr| prefix(addr.ip()))
    }

    /// Whether this node reached it at its address by itself, and has not failed to since. A SUPER or RELAY counts
    /// as one only then.
    pub(crate) fn is_verified(&self) -> bool {
        self.verified_at.is_some()
    }

    /// Whether it says that it is a program, not a person.
    pub(crate) fn is_bot(&self) -> bool {
        self.record.as_ref().is_some_and(|r| r.capabilities & BOT != 0)
    }

    pub(crate) fn node_type(&self) -> NodeType {
        self.record.as_ref().map_or(NodeType::Regular, |r| r.node_type)
    }

    /// Puts `addr` in front, pushing the last one out if there are too many.
    pub(super) fn best_addr(&mut self, addr: SocketAddr) {
        self.addrs.retain(|a| *a != addr);
        if self.addrs.is_full() {
            self.addrs.pop();
        }
        // It is not full: one was removed if it was.
        let _ = self.addrs.insert(0, addr);
    }

    /// Adds `addr` at the end if there is capacity.
    pub(super) fn other_addr(&mut self, addr: SocketAddr) {
        if !self.addrs.contains(&addr) {
            let _ = self.addrs.push(addr);
        }
    }

    /// Addresses that are valid elsewhere and later: an IPv6 link-local one needs the number of an interface, which
    /// differs between devices and changes.
    pub(super) fn lasting_addrs(&self) -> Vec<SocketAddr> {
        self.addrs.iter().copied().filter(lasts).collect()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        encode(&Stored {
            record: self.record.as_ref().map(|r| Blob(r.encode())),
            addrs: self.lasting_addrs(),
            name: self.name.clone(),
            account: self.account,
            last_linked: self.last_linked,
            anchored: self.anchored,
        })
    }
}

/// See [`Known::lasting_addrs`].
pub(super) fn lasts(addr: &SocketAddr) -> bool {
    !matches!(addr, SocketAddr::V6(v6) if v6.ip().is_unicast_link_local())
}

pub(super) struct Book {
    known: OrderedMap<NodeId, Known>,
    capacity: usize,
    /// The one that left the passive view last is at the end.
    /// INVARIANT: of nodes that are not in `known`, each once.
    evicted: VecDeque<(NodeId, SocketAddr)>,
}

impl Book {
    pub(super) fn new(capacity: usize) -> Self {
        Self { known: OrderedMap::new(), capacity, evicted: VecDeque::new() }
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let mut seen = crate::collections::OrderedSet::new();
        if !self.evicted.iter().all(|(id, _)| !self.known.contains_key(id) && seen.insert(*id)) {
            return Err("a node is evicted and in the address book, or evicted twice");
        }
        if self.evicted.len() > MAX_EVICTED {
            return Err("more nodes are evicted than are remembered");
        }
        Ok(())
    }

    pub(super) fn restore(&mut self, id: NodeId, bytes: &[u8]) -> Result<(), Malformed> {
        let stored: Stored = decode(bytes, 4_096)?;
        let mut known = Known::new();
        known.record = stored.record.map(|Blob(r)| NodeRecord::decode_unverified(&r)).transpose()?;
        known.record_verified = known.record.is_some();
        known.name = stored.name;
        known.account = stored.account;
        known.last_linked = stored.last_linked;
        known.anchored = stored.anchored;
        for addr in stored.addrs {
            known.other_addr(addr);
        }
        self.known.insert(id, known);
        Ok(())
    }

    /// The entry of `id`, made if needed. If the book is full, one that `keep` does not name is removed and returned: one
    /// that was no anchor, of the prefix with the most nodes, without a link for the longest time. So whoever has the
    /// addresses of one network takes places from itself alone.
    pub(super) fn entry(&mut self, id: NodeId, keep: impl Fn(NodeId) -> bool) -> (&mut Known, Option<NodeId>) {
        let mut gone = None;
        if !self.known.contains_key(&id) && self.known.len() >= self.capacity {
            let eligible = self.known.iter().filter(|(k, _)| !keep(**k)).map(|(k, v)| (v.was_anchor(), *k));
            let (anchors, others): (Vec<_>, Vec<_>) = eligible.partition(|(anchor, _)| *anchor);
            let some = if others.is_empty() { anchors } else { others };
            let crowd = self.most_crowded(some.into_iter().map(|(_, id)| id).collect());
            gone = crowd.into_iter().min_by_key(|id| (self.known.get(id).map(|k| k.last_linked), *id));
            if let Some(gone) = gone {
                self.known.remove(&gone);
            }
        }
        if !self.known.contains_key(&id) {
            self.evicted.retain(|(evicted, _)| *evicted != id);
        }
        (self.known.entry(id).or_insert_with(Known::new), gone)
    }

    pub(super) fn get(&self, id: NodeId) -> Option<&Known> {
        self.known.get(&id)
    }

    /// A node that was linked before and has `addr`.
    pub(super) fn linked_before_at(&self, addr: SocketAddr) -> Option<&Known> {
        self.known.values().find(|k| k.was_linked() && k.addrs.contains(&addr))
    }

    pub(super) fn get_mut(&mut self, id: NodeId) -> Option<&mut Known> {
        self.known.get_mut(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (NodeId, &Known)> {
        self.known.iter().map(|(id, k)| (*id, k))
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Nodes of which the address alone is kept.
    pub(super) fn evicted(&self) -> usize {
        self.evicted.len()
    }

    /// Attempts that are younger than `patience`.
    pub(super) fn attempts(&self, now: Instant, patience: Duration) -> usize {
        self.known.values().filter(|k| k.trying.is_some_and(|since| now.since(since) < patience)).count()
    }

    /// When the next attempt grows older than `patience`.
    pub(super) fn next_overdue(&self, now: Instant, patience: Duration) -> Option<Instant> {
        self.known.values().filter_map(|k| k.trying.map(|since| since + patience)).filter(|at| *at > now).min()
    }

    /// Nodes to try at `now`: of the passive view and former anchors, or of all if none of those can be tried; and when the
    /// next one is due.
    pub(super) fn candidates(&self, now: Instant, skip: impl Fn(NodeId) -> bool) -> (Vec<NodeId>, Option<Instant>) {
        let (mut passive, mut others) = (Vec::new(), Vec::new());
        let mut next: Option<Instant> = None;
        for (&id, k) in &self.known {
            if k.trying.is_some() || k.addrs.is_empty() || skip(id) {
                continue;
            }
            match k.next_try <= now {
                true if k.passive || k.was_anchor() => passive.push(id),
                true => others.push(id),
                false => next = crate::time::soonest(next, Some(k.next_try)),
            }
        }
        (if passive.is_empty() { others } else { passive }, next)
    }

    /// Of the nodes with an address, whatever earlier attempts came to, those whose last attempt is the oldest; and
    /// when that was.
    pub(super) fn longest_untried(&self, skip: impl Fn(NodeId) -> bool) -> (Vec<NodeId>, Instant) {
        let can = || self.known.iter().filter(|(id, k)| k.trying.is_none() && !k.addrs.is_empty() && !skip(**id));
        let longest = can().map(|(_, k)| k.last_try).min().unwrap_or_default();
        (can().filter(|(_, k)| k.last_try == longest).map(|(id, _)| *id).collect(), longest)
    }

    /// Checks the record of `id` before it is used; false if it was forged. Then the link asks the node itself.
    pub(super) fn verify_record(&mut self, id: NodeId) -> bool {
        let Some(known) = self.known.get_mut(&id).filter(|k| !k.record_verified) else { return true };
        let Some(record) = &known.record else { return true };
        known.record_verified = NodeRecord::decode(&record.encode()).is_ok();
        if !known.record_verified {
            known.record = None;
        }
        known.record_verified
    }

    /// An attempt to reach `id` begins.
    pub(super) fn attempt_began(&mut self, id: NodeId, now: Instant) {
        if let Some(k) = self.known.get_mut(&id) {
            k.trying = Some(now);
            k.last_try = now;
        }
    }

    /// The passive view.
    pub(super) fn passive_view(&self) -> impl Iterator<Item = NodeId> {
        self.known.iter().filter(|(_, k)| k.passive).map(|(id, _)| *id)
    }

    /// Takes `id`, which is known, into the passive view of at most `most`; a random other of the prefix with the most nodes
    /// in the view leaves it, and the book too if it was never linked: then only its address is kept.
    pub(super) fn add_passive(&mut self, id: NodeId, most: usize, rng: &mut Rng) {
        if self.known.get(&id).is_none_or(|k| k.passive) {
            return;
        }
        let mut all: Vec<NodeId> = self.passive_view().collect();
        if all.len() >= most {
            all = self.most_crowded(all);
        }
        if self.passive_view().count() >= most
            && let Some(&gone) = rng.pick(&all)
        {
            self.remove_passive(gone);
            if let Some(addr) = self.forget_unverified(gone).and_then(|k| k.addrs.first().copied()) {
                if self.evicted.len() >= MAX_EVICTED {
                    self.evicted.pop_front();
                }
                self.evicted.push_back((gone, addr));
            }
        }
        if let Some(k) = self.known.get_mut(&id) {
            k.passive = true;
        }
    }

    /// Those of `ids` in the prefix that most of them share; where no two share one, all.
    pub(super) fn most_crowded(&self, ids: Vec<NodeId>) -> Vec<NodeId> {
        let of = |id: &NodeId| self.known.get(id).and_then(Known::prefix);
        let mut crowds: OrderedMap<u128, usize> = OrderedMap::new();
        for prefix in ids.iter().filter_map(of) {
            let count = crowds.entry(prefix).or_default();
            *count = count.saturating_add(1);
        }
        let crowd = |id: &NodeId| of(id).and_then(|prefix| crowds.get(&prefix)).copied().unwrap_or(1);
        let most = ids.iter().map(crowd).max().unwrap_or(1);
        ids.into_iter().filter(|id| crowd(id) == most).collect()
    }

    pub(super) fn remove_passive(&mut self, id: NodeId) {
        if let Some(k) = self.known.get_mut(&id) {
            k.passive = false;
        }
    }

    /// Removes a node that was never linked and is not being tried, and returns what was known of it.
    pub(super) fn forget_unverified(&mut self, id: NodeId) -> Option<Known> {
        let unverified = self.known.get(&id).is_some_and(|k| !k.was_linked() && k.trying.is_none());
        if unverified { self.known.remove(&id) } else { None }
    }

    /// Takes out the node that left the passive view last: of those whose address alone is kept, its address is the
    /// newest.
    pub(super) fn pop_evicted(&mut self) -> Option<(NodeId, SocketAddr)> {
        self.evicted.pop_back()
    }

    /// `id` is linked.
    pub(super) fn attempt_succeeded(&mut self, id: NodeId) {
        if let Some(k) = self.known.get_mut(&id) {
            k.trying = None;
            k.fails = 0;
            k.next_try = Instant::ZERO;
            k.last_error = None;
        }
    }

    /// Removes nodes that were silent for [`SILENT`] and did not answer `fails` attempts in a row since the start, and
    /// returns them. A clock that is years ahead alone removes none that answers.
    pub(super) fn forget_silent(&mut self, fails: u32, wall: WallTime, keep: impl Fn(NodeId) -> bool) -> Vec<NodeId> {
        let before = WallTime(wall.0.saturating_sub(SILENT.as_millis() as u64));
        let is_gone =
            |k: &Known| k.trying.is_none() && k.fails >= fails && (KNEW_THE_DATE..before).contains(&k.last_linked);
        let gone: Vec<NodeId> =
            self.known.iter().filter(|(id, k)| is_gone(k) && !keep(**id)).map(|(id, _)| *id).collect();
        for id in &gone {
            self.known.remove(id);
        }
        gone
    }

    /// An attempt failed, or a link is gone: the next one comes after a pause that doubles.
    pub(super) fn attempt_failed(&mut self, id: NodeId, why: &'static str, at: impl FnOnce(u32) -> Instant) {
        if let Some(k) = self.known.get_mut(&id) {
            k.trying = None;
            k.next_try = at(k.fails);
            k.fails = k.fails.saturating_add(1);
            k.last_error = Some(why);
        }
    }

    /// The network changed: no backoff is worth keeping.
    pub(super) fn retry_now(&mut self) {
        for k in self.known.values_mut() {
            k.fails = 0;
            k.next_try = Instant::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutations: failures do not count; the date does not; a node of a bootstrap is forgotten too.
    #[test]
    fn only_what_is_silent_and_does_not_answer_is_forgotten() {
        let now = WallTime(2_000_000_000_000);
        let ago = |days: u64| WallTime(now.0 - days * 86_400_000);
        let mut book = Book::new(512);
        let mut add = |id: u8, linked: WallTime, fails: u32| {
            let (known, _) = book.entry(NodeId([id; 32]), |_| false);
            (known.last_linked, known.fails) = (linked, fails);
        };
        add(1, ago(181), 16);
        add(2, ago(179), 16);
        // It answers, whatever the date says: this node's clock may be years ahead.
        add(3, ago(2_000), 15);
        add(4, ago(181), 16);
        let keep = |id| id == NodeId([4; 32]);
        assert_eq!(book.forget_silent(16, now, keep), [NodeId([1; 32])]);
        assert_eq!(book.len(), 3);
        // This node's clock stood at its beginning when the two were linked.
        let (known, _) = book.entry(NodeId([5; 32]), |_| false);
        (known.last_linked, known.fails) = (WallTime(3_600_000), 16);
        assert!(book.forget_silent(16, now, keep).is_empty());
        // One that is being tried is not removed under the attempt.
        book.attempt_began(NodeId([4; 32]), Instant::ZERO);
        assert!(book.forget_silent(16, now, |_| false).is_empty());
        // The date of this node goes back.
        assert!(book.forget_silent(0, WallTime(0), |_| false).is_empty());
    }
}
