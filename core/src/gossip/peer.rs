//! One neighbour or linked member: eager or lazy, what is announced to it, and its limits.

use alloc::vec::Vec;

use crate::collections::{Rate, RateLimit, ShortId};
use crate::gossip::wire::IHave;
use crate::time::{Duration, Instant};

/// Ids that a peer may announce: 5,000 at once and the same again in five seconds (gossipsub's 5,000 ids;
/// docs/design/broadcast.md §4).
const IHAVES: Rate = Rate { per_second: 1_000, burst: 5_000 };
/// Broadcasts that a peer may fetch: 250 at once and the same again in five seconds. Repairing a tree takes a
/// few, and each can cost a whole message.
const GRAFTS: Rate = Rate { per_second: 50, burst: 250 };
/// Broken promises in a row after which a peer's announcements are ignored (gossipsub v1.1,
/// `gossip_promises.rs`).
const MAX_BROKEN_PROMISES: u32 = 16;
/// How long they are ignored (gossipsub's prune back-off).
const PROMISE_BACKOFF: Duration = Duration::from_secs(60);
/// IDONTWANT ids remembered.
const MAX_DONT_WANT: usize = 32;
/// A PRUNE is repeated after this if copies keep coming.
const PRUNE_INTERVAL: Duration = Duration::from_secs(1);

/// The newest broadcast counts one eighth in the mean. The last dozen decide.
const WEIGHT: i32 = 8;
const SIXTEENTHS: i32 = 16;
/// Broadcasts within this count as one: it is about what the last of 1,000 nodes waits for a burst.
const BURST: Duration = Duration::from_secs(1);

pub(super) struct Peer {
    /// In the active view: a branch of the tree. Otherwise a linked member of the zone.
    pub neighbour: bool,
    /// A node of low power: it passes nothing on whole unless it is asked to.
    pub low_power: bool,
    /// Smoothed, as last reported.
    pub rtt: Option<Duration>,
    /// It gets broadcasts whole; otherwise their ids.
    pub eager: bool,
    /// It asked this node for broadcasts whole since it became a neighbour.
    pub needs_this_node: bool,
    /// Ids to announce to it with the next batch.
    pub announce: Vec<IHave>,
    /// When a message of it last came.
    pub heard: Option<Instant>,
    dont_want: Vec<ShortId>,
    pruned_at: Option<Instant>,
    ihaves: RateLimit,
    grafts: RateLimit,
    broken_promises: u32,
    ignored_since: Option<Instant>,
    /// Hops that broadcasts would have saved by coming through it and not through the tree, a moving mean in
    /// sixteenths.
    gain: i32,
    compared_at: Option<Instant>,
}

impl Peer {
    /// Eager, as new neighbours are where no tree has grown (§3.5).
    pub(super) fn new() -> Self {
        Self {
            neighbour: false,
            low_power: false,
            rtt: None,
            eager: true,
            needs_this_node: false,
            announce: Vec::new(),
            heard: None,
            dont_want: Vec::new(),
            pruned_at: None,
            ihaves: RateLimit::new(IHAVES),
            grafts: RateLimit::new(GRAFTS),
            broken_promises: 0,
            ignored_since: None,
            gain: 0,
            compared_at: None,
        }
    }

    /// Whether one more announcement is accepted from it.
    pub(super) fn may_announce(&mut self, now: Instant) -> bool {
        if self.ignored_since.is_some_and(|since| now.since(since) < PROMISE_BACKOFF) {
            return false;
        }
        self.ignored_since = None;
        self.ihaves.take(now)
    }

    pub(super) fn may_fetch(&mut self, now: Instant) -> bool {
        self.grafts.take(now)
    }

    /// It announced a broadcast and did not send it when asked.
    pub(super) fn broke_promise(&mut self, now: Instant) {
        self.broken_promises = self.broken_promises.saturating_add(1);
        if self.broken_promises >= MAX_BROKEN_PROMISES {
            self.broken_promises = 0;
            self.ignored_since = Some(now);
        }
    }

    pub(super) fn kept_promise(&mut self) {
        self.broken_promises = 0;
    }

    /// Makes it lazy. Whether to send it a PRUNE: at once, and again if copies keep coming.
    pub(super) fn prune(&mut self, now: Instant) -> bool {
        let send = self.eager || self.pruned_at.is_none_or(|at| now.since(at) >= PRUNE_INTERVAL);
        self.eager = false;
        self.needs_this_node = false;
        if send {
            self.pruned_at = Some(now);
        }
        send
    }

    /// A broadcast came in `round` and would have come through this peer in round `shorter`: whether the mean
    /// saving is at least `least` hops. One message must not decide: with many senders the branch that is long
    /// for one is short for another, and a tree that follows the last message grows ever deeper. Nor must one
    /// burst, of which the messages of near senders come first.
    pub(super) fn is_shorter_way(&mut self, now: Instant, round: u8, shorter: u8, least: u8) -> bool {
        if self.compared_at.is_some_and(|at| now.since(at) < BURST) {
            return false;
        }
        self.compared_at = Some(now);
        let gain = i32::from(round).saturating_sub(i32::from(shorter)).saturating_mul(SIXTEENTHS);
        self.gain = self.gain.saturating_add(gain.saturating_sub(self.gain) / WEIGHT);
        self.gain >= i32::from(least).saturating_mul(SIXTEENTHS)
    }

    /// The tree has changed: comparisons with the old one do not count.
    pub(super) fn reset_comparison(&mut self) {
        self.gain = 0;
    }

    /// It has this broadcast.
    pub(super) fn dont_want(&mut self, id: ShortId) {
        if self.dont_want.len() >= MAX_DONT_WANT {
            self.dont_want.remove(0);
        }
        self.dont_want.push(id);
    }

    /// Whether it gets a broadcast whole. A node of low power is a leaf of the tree: it passes what others said only to those
    /// that asked it to, and what it says itself to all.
    pub(super) fn gets_whole(&self, from_low_power: bool, own: bool) -> bool {
        match (from_low_power, own) {
            (false, _) => self.eager,
            (true, true) => true,
            (true, false) => self.eager && self.needs_this_node,
        }
    }

    pub(super) fn wants(&self, id: &ShortId) -> bool {
        !self.dont_want.contains(id)
    }
}
