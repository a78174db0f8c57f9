//! What is known of one neighbour, and how much it may ask.

use alloc::vec::Vec;

use crate::collections::ShortId;
use crate::gossip::wire::Have;
use crate::time::{Duration, Instant};

/// Ids that a neighbour may announce at once, and the same again in five seconds (gossipsub's 5,000 ids;
/// docs/design/broadcast.md §4).
const HAVES: u32 = 5_000;
/// Broadcasts that a neighbour may fetch at once, and the same again in five seconds: repairing a tree
/// takes a few, and each can cost a whole message.
const GRAFTS: u32 = 250;
const REFILL: Duration = Duration::from_secs(5);
/// Announced broadcasts that did not come when asked for, after which announcements are not believed.
const BROKEN: u32 = 16;
/// For so long (gossipsub's prune back-off).
const DISBELIEF: Duration = Duration::from_secs(60);
/// Declined broadcasts remembered.
const MAX_REFUSED: usize = 32;
/// A prune is repeated after this if copies keep coming.
const PRUNE_AGAIN: Duration = Duration::from_secs(1);

/// What the newest broadcast counts in the mean: an eighth. The last dozen decide.
const WEIGHT: i32 = 8;
const SIXTEENTHS: i32 = 16;
/// Broadcasts within this count as one: it is about what the last of 1,000 nodes waits for a burst.
const BURST: Duration = Duration::from_secs(1);

/// A budget that refills as time passes.
struct Bucket {
    left: u32,
    most: u32,
    filled: Instant,
}

impl Bucket {
    fn new(most: u32, now: Instant) -> Self {
        Self { left: most, most, filled: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        if now.since(self.filled) >= REFILL {
            self.left = self.most;
            self.filled = now;
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

pub(super) struct Peer {
    /// In the active view: a branch of the tree. Otherwise a linked member of the zone.
    pub neighbour: bool,
    /// Smoothed, as last told.
    pub rtt: Option<Duration>,
    /// It gets broadcasts whole; otherwise their ids.
    pub eager: bool,
    /// Ids to announce to it with the next batch.
    pub announce: Vec<Have>,
    refused: Vec<ShortId>,
    pruned: Option<Instant>,
    haves: Bucket,
    grafts: Bucket,
    broken: u32,
    /// Hops by which messages would have come shorter through it than through the tree, a moving mean in
    /// sixteenths.
    gain: i32,
    /// When the newest of them came.
    compared: Option<Instant>,
    disbelieved: Option<Instant>,
}

impl Peer {
    /// Eager, as new neighbours are where no tree has grown (§3.5).
    pub(super) fn new(now: Instant) -> Self {
        Self {
            neighbour: false,
            rtt: None,
            eager: true,
            announce: Vec::new(),
            refused: Vec::new(),
            pruned: None,
            haves: Bucket::new(HAVES, now),
            grafts: Bucket::new(GRAFTS, now),
            broken: 0,
            gain: 0,
            compared: None,
            disbelieved: None,
        }
    }

    /// Whether one more announcement is taken from it.
    pub(super) fn may_announce(&mut self, now: Instant) -> bool {
        if self.disbelieved.is_some_and(|since| now.since(since) < DISBELIEF) {
            return false;
        }
        self.disbelieved = None;
        self.haves.take(now)
    }

    pub(super) fn may_fetch(&mut self, now: Instant) -> bool {
        self.grafts.take(now)
    }

    /// It announced a broadcast and did not bring it.
    pub(super) fn broke_word(&mut self, now: Instant) {
        self.broken = self.broken.saturating_add(1);
        if self.broken >= BROKEN {
            self.broken = 0;
            self.disbelieved = Some(now);
        }
    }

    pub(super) fn kept_word(&mut self) {
        self.broken = 0;
    }

    /// Whether to tell it to send ids only: at once, and again if it goes on.
    pub(super) fn prune(&mut self, now: Instant) -> bool {
        let tell = self.eager || self.pruned.is_none_or(|at| now.since(at) >= PRUNE_AGAIN);
        self.eager = false;
        if tell {
            self.pruned = Some(now);
        }
        tell
    }

    /// A broadcast came over `hops` and would have come through this one over `shorter`: whether that is
    /// less by `least` in the mean. One message must not decide: with many senders the branch that is long
    /// for one is short for another, and a tree that follows the last message grows ever deeper. Nor must one
    /// burst, of which the messages from near come first.
    pub(super) fn shortens(&mut self, now: Instant, hops: u8, shorter: u8, least: u8) -> bool {
        if self.compared.is_some_and(|at| now.since(at) < BURST) {
            return false;
        }
        self.compared = Some(now);
        let gain = i32::from(hops).saturating_sub(i32::from(shorter)).saturating_mul(SIXTEENTHS);
        self.gain = self.gain.saturating_add(gain.saturating_sub(self.gain) / WEIGHT);
        self.gain >= i32::from(least).saturating_mul(SIXTEENTHS)
    }

    /// The tree has changed: what was compared with it is void.
    pub(super) fn compare_anew(&mut self) {
        self.gain = 0;
    }

    pub(super) fn refuse(&mut self, id: ShortId) {
        if self.refused.len() >= MAX_REFUSED {
            self.refused.remove(0);
        }
        self.refused.push(id);
    }

    pub(super) fn refuses(&self, id: &ShortId) -> bool {
        self.refused.contains(id)
    }
}
