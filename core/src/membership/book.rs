//! The address book: who was met or heard of, where, and when to try again.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::config::NodeType;
use crate::id::{AccountId, NodeId};
use crate::rng::Rng;
use crate::time::{Duration, Instant, WallTime};
use crate::wire::record::{BOT, NodeRecord};
use crate::wire::{Blob, Malformed, decode, encode};

use super::wire::MAX_ADDRS;

/// Places kept of nodes that were heard of and are in the passive view no more: 64 bytes each, 8 KiB. When 95 of a
/// hundred nodes fail (HyParView, Figure 2), all in a passive view of 36 are dead for every sixth of the rest
/// (0.95^36), with these for two in 10,000 (0.95^164).
const MAX_HEARD: usize = 128;

/// What is known of a node.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub record: Option<NodeRecord>,
    /// Its signature was checked, by this node or by the link.
    pub proven: bool,
    /// Best first.
    pub addrs: heapless::Vec<SocketAddr, MAX_ADDRS>,
    pub name: Option<String>,
    /// Set when a certificate proved it.
    pub account: Option<AccountId>,
    /// When a link to it was last open; zero if never.
    pub met: WallTime,
    pub last_error: Option<&'static str>,
    /// This node opened a link to it that it had not made possible by calling first.
    pub(super) reached: Option<Instant>,
    /// When it last had a link that it opened.
    pub(super) called: Option<Instant>,
    /// In the passive view.
    passive: bool,
    fails: u32,
    next_try: Instant,
    /// An attempt to reach it is under way since then.
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
    met: WallTime,
}

impl Known {
    fn new() -> Self {
        Self {
            record: None,
            proven: false,
            addrs: heapless::Vec::new(),
            name: None,
            account: None,
            met: WallTime(0),
            last_error: None,
            reached: None,
            called: None,
            passive: false,
            fails: 0,
            next_try: Instant::ZERO,
            trying: None,
            last_try: Instant::ZERO,
        }
    }

    /// Whether an attempt is under way, or the next one has to wait.
    pub(super) fn rests(&self, now: Instant) -> bool {
        self.trying.is_some() || self.next_try > now
    }

    /// Whether this node found it at its address by itself, and has not failed to since. A SUPER or RELAY counts as
    /// one only then.
    pub(crate) fn is_verified(&self) -> bool {
        self.reached.is_some()
    }

    /// Whether it says that a program speaks there, not a person.
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
        // There is room: one was removed if it was full.
        let _ = self.addrs.insert(0, addr);
    }

    /// Adds `addr` at the end if there is room.
    pub(super) fn other_addr(&mut self, addr: SocketAddr) {
        if !self.addrs.contains(&addr) {
            let _ = self.addrs.push(addr);
        }
    }

    /// Addresses that mean something elsewhere and later: an IPv6 link-local one needs the number of an
    /// interface, which is this machine's own and changes.
    pub(super) fn lasting_addrs(&self) -> Vec<SocketAddr> {
        self.addrs.iter().copied().filter(lasts).collect()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        encode(&Stored {
            record: self.record.as_ref().map(|r| Blob(r.encode())),
            addrs: self.lasting_addrs(),
            name: self.name.clone(),
            account: self.account,
            met: self.met,
        })
    }
}

pub(super) fn lasts(addr: &SocketAddr) -> bool {
    !matches!(addr, SocketAddr::V6(v6) if v6.ip().is_unicast_link_local())
}

pub(super) struct Book {
    known: BTreeMap<NodeId, Known>,
    capacity: usize,
    /// INVARIANT: of nodes that are not in `known`, each once. Who left the passive view last is at the end.
    heard: VecDeque<(NodeId, SocketAddr)>,
}

impl Book {
    pub(super) fn new(capacity: usize) -> Self {
        Self { known: BTreeMap::new(), capacity, heard: VecDeque::new() }
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let mut seen = alloc::collections::BTreeSet::new();
        match self.heard.iter().all(|(id, _)| !self.known.contains_key(id) && seen.insert(*id)) {
            true => Ok(()),
            false => Err("a node is evicted and in the address book, or evicted twice"),
        }
    }

    pub(super) fn restore(&mut self, id: NodeId, bytes: &[u8]) -> Result<(), Malformed> {
        let stored: Stored = decode(bytes, 4_096)?;
        let mut known = Known::new();
        known.record = stored.record.map(|Blob(r)| NodeRecord::decode_unverified(&r)).transpose()?;
        known.proven = known.record.is_some();
        known.name = stored.name;
        known.account = stored.account;
        known.met = stored.met;
        for addr in stored.addrs {
            known.other_addr(addr);
        }
        self.known.insert(id, known);
        Ok(())
    }

    /// The entry of `id`, made if needed; another that was never met, or else longest ago, and is not
    /// in `keep` gives way. Returns who gave way.
    pub(super) fn entry(&mut self, id: NodeId, keep: impl Fn(NodeId) -> bool) -> (&mut Known, Option<NodeId>) {
        let mut gone = None;
        if !self.known.contains_key(&id) && self.known.len() >= self.capacity {
            gone = self.known.iter().filter(|(k, _)| !keep(**k)).min_by_key(|(k, v)| (v.met, **k)).map(|(k, _)| *k);
            if let Some(gone) = gone {
                self.known.remove(&gone);
            }
        }
        if !self.known.contains_key(&id) {
            self.heard.retain(|(heard, _)| *heard != id);
        }
        (self.known.entry(id).or_insert_with(Known::new), gone)
    }

    pub(super) fn get(&self, id: NodeId) -> Option<&Known> {
        self.known.get(&id)
    }

    /// Who was met at `addr`, if anybody was.
    pub(super) fn met_at(&self, addr: SocketAddr) -> Option<&Known> {
        self.known.values().find(|k| k.met != WallTime(0) && k.addrs.contains(&addr))
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

    pub(super) fn heard(&self) -> usize {
        self.heard.len()
    }

    /// Attempts that are younger than `patience`.
    pub(super) fn trying(&self, now: Instant, patience: Duration) -> usize {
        self.known.values().filter(|k| k.trying.is_some_and(|since| now.since(since) < patience)).count()
    }

    /// When the next attempt grows older than `patience`.
    pub(super) fn next_patience(&self, now: Instant, patience: Duration) -> Option<Instant> {
        self.known.values().filter_map(|k| k.trying.map(|since| since + patience)).filter(|at| *at > now).min()
    }

    /// Whom to try at `now`: of the passive view, or if nobody there can be tried, of all; and when the
    /// next one's time comes.
    pub(super) fn candidates(&self, now: Instant, skip: impl Fn(NodeId) -> bool) -> (Vec<NodeId>, Option<Instant>) {
        let (mut passive, mut others) = (Vec::new(), Vec::new());
        let mut next: Option<Instant> = None;
        for (&id, k) in &self.known {
            if k.trying.is_some() || k.addrs.is_empty() || skip(id) {
                continue;
            }
            match k.next_try <= now {
                true if k.passive => passive.push(id),
                true => others.push(id),
                false => next = crate::time::soonest(next, Some(k.next_try)),
            }
        }
        (if passive.is_empty() { others } else { passive }, next)
    }

    /// Of everybody that could be reached, whatever earlier attempts came to, those for whom the last one is
    /// longest ago; and when that was.
    pub(super) fn longest_untried(&self, skip: impl Fn(NodeId) -> bool) -> (Vec<NodeId>, Instant) {
        let can = || self.known.iter().filter(|(id, k)| k.trying.is_none() && !k.addrs.is_empty() && !skip(**id));
        let longest = can().map(|(_, k)| k.last_try).min().unwrap_or_default();
        (can().filter(|(_, k)| k.last_try == longest).map(|(id, _)| *id).collect(), longest)
    }

    /// Checks the record of `id` before it is used; false if it was forged. It is asked for there then.
    pub(super) fn prove(&mut self, id: NodeId) -> bool {
        let Some(known) = self.known.get_mut(&id).filter(|k| !k.proven) else { return true };
        let Some(record) = &known.record else { return true };
        known.proven = NodeRecord::decode(&record.encode()).is_ok();
        if !known.proven {
            known.record = None;
        }
        known.proven
    }

    pub(super) fn tried(&mut self, id: NodeId, now: Instant) {
        if let Some(k) = self.known.get_mut(&id) {
            k.trying = Some(now);
            k.last_try = now;
        }
    }

    /// The passive view.
    pub(super) fn passives(&self) -> impl Iterator<Item = NodeId> {
        self.known.iter().filter(|(_, k)| k.passive).map(|(id, _)| *id)
    }

    /// Takes `id`, which is known, into the passive view of at most `most`; a random other leaves it, and
    /// the book too if it was never met: then only its place is kept.
    pub(super) fn passive(&mut self, id: NodeId, most: usize, rng: &mut Rng) {
        if self.known.get(&id).is_none_or(|k| k.passive) {
            return;
        }
        let all: Vec<NodeId> = self.passives().collect();
        if all.len() >= most
            && let Some(&gone) = rng.pick(&all)
        {
            self.unpassive(gone);
            if let Some(addr) = self.forget_hearsay(gone).and_then(|k| k.addrs.first().copied()) {
                if self.heard.len() >= MAX_HEARD {
                    self.heard.pop_front();
                }
                self.heard.push_back((gone, addr));
            }
        }
        if let Some(k) = self.known.get_mut(&id) {
            k.passive = true;
        }
    }

    pub(super) fn unpassive(&mut self, id: NodeId) {
        if let Some(k) = self.known.get_mut(&id) {
            k.passive = false;
        }
    }

    /// Removes a node that was only heard of, and returns what was known of it.
    pub(super) fn forget_hearsay(&mut self, id: NodeId) -> Option<Known> {
        let hearsay = self.known.get(&id).is_some_and(|k| k.met == WallTime(0) && k.trying.is_none());
        if hearsay { self.known.remove(&id) } else { None }
    }

    /// Of the nodes whose place alone was kept, the one that left the passive view last, whose place is the newest.
    /// It is kept no more.
    pub(super) fn recall(&mut self) -> Option<(NodeId, SocketAddr)> {
        self.heard.pop_back()
    }

    pub(super) fn reached(&mut self, id: NodeId) {
        if let Some(k) = self.known.get_mut(&id) {
            k.trying = None;
            k.fails = 0;
            k.next_try = Instant::ZERO;
            k.last_error = None;
        }
    }

    /// An attempt failed, or a link is gone: again after a pause that doubles.
    pub(super) fn failed(&mut self, id: NodeId, why: &'static str, at: impl FnOnce(u32) -> Instant) {
        if let Some(k) = self.known.get_mut(&id) {
            k.trying = None;
            k.next_try = at(k.fails);
            k.fails = k.fails.saturating_add(1);
            k.last_error = Some(why);
        }
    }

    /// The network changed: nobody is worth waiting for.
    pub(super) fn hurry(&mut self) {
        for k in self.known.values_mut() {
            k.fails = 0;
            k.next_try = Instant::ZERO;
        }
    }
}

/// The pause before attempt `n` + 2: `first` doubled `n` times, at most `max`.
pub(super) fn pause(first: Duration, max: Duration, n: u32) -> Duration {
    first.saturating_mul(1u32.checked_shl(n).unwrap_or(u32::MAX)).min(max)
}
