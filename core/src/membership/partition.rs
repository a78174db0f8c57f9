//! Partitions: noticing that the network has another part, and growing together with it.
//!
//! An overlay that splits does not merge by itself: both parts have all the neighbours they want
//! (iroh-gossip #152). So every node now and then contacts a node it was linked to before, and both compare a
//! *sketch* of the part they live in: the few smallest salted ids of nodes that were alive recently, passed
//! from neighbour to neighbour. Parts that have none in common become neighbours beyond the usual number,
//! and no neighbour is displaced for it: a join that displaces others would make a merge a storm.

use alloc::vec::Vec;

use crate::collections::{OrderedMap, OrderedSet};
use crate::id::NodeId;
use crate::machine::Cx;
use crate::time::{Duration, Instant, soonest};

/// Ids in a sketch (docs/design/overlay.md §8): two parts of one network share some, two networks none.
const SKETCH: usize = 8;
/// How often a node says that it is alive and passes its sketch on: 10 s; six neighbours at 100 bytes each.
const TICK: Duration = Duration::from_secs(10);
/// Ticks after which a neighbour in the zone is reminded that it is one: six, once a minute, as often as a known node is
/// contacted.
const REMIND_EVERY: u32 = 6;
/// An id whose count did not rise for this long is not alive: the ways through a network of 10,000 take six
/// ticks.
const STALE: Duration = Duration::from_secs(120);
/// How often a known node is contacted (docs/design/overlay.md §8).
const CONTACT: Duration = Duration::from_secs(60);
/// The same, once for each known node, after a good part of all peers was lost: then the network may be in parts
/// that do not know of each other any more, and most of the known nodes are not there. 2 s: the two
/// views name 42, which takes half of the six cycles that docs/design/goals.md §1 gives a network to heal from
/// 95 in a hundred failures.
const CONTACT_DEGRADED: Duration = Duration::from_secs(2);
/// A node takes part in one merge in this time (docs/design/overlay.md §8).
const MERGE_PAUSE: Duration = Duration::from_secs(30);
/// A node this young does not know its part yet.
const YOUNG: Duration = Duration::from_secs(60);

/// An id in a sketch: its salted hash, the count of its owner's ticks, and the seconds since that count was
/// new. Without the age a dead id would live for ever, passed back and forth by nodes that forget it at
/// different times.
pub(super) type Mark = (u64, u32, u16);

#[derive(Clone, Copy)]
struct Alive {
    beat: u32,
    /// When the beat last rose.
    since: Instant,
    /// A member of the zone: its roster shows that the node is alive, not the beat.
    member: bool,
}

/// What is known of the part of the network that this node lives in.
#[derive(Default)]
pub(super) struct Partition {
    /// The smallest marks.
    /// INVARIANT: at most as many as a sketch holds.
    alive: OrderedMap<u64, Alive>,
    beat: u32,
    began: Option<Instant>,
    tick_at: Option<Instant>,
    contact_at: Option<Instant>,
    merged: Option<Instant>,
}

fn mark_of(id: NodeId) -> u64 {
    let mut salted = blake3::Hasher::new_derive_key("DONP v1 component sketch");
    salted.update(&id.0);
    let mut out = [0; 8];
    salted.finalize_xof().fill(&mut out);
    u64::from_le_bytes(out)
}

impl Partition {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        soonest(self.tick_at, self.contact_at)
    }

    /// Whether known nodes are contacted from time to time.
    pub(super) fn watches(&self) -> bool {
        self.began.is_some()
    }

    /// Begins to watch; false if it does so already. A node that only introduces is in every part or in none: it has
    /// no sketch of its own.
    pub(super) fn start(&mut self, only_introduces: bool, cx: &mut Cx<'_>) -> bool {
        if self.watches() {
            return false;
        }
        self.began = Some(cx.now);
        self.tick_at = (!only_introduces).then(|| cx.now + cx.rng.jitter(TICK, 20));
        true
    }

    /// Sets when a known node is contacted next: soon, while some were not since too many were lost.
    pub(super) fn schedule_contact(&mut self, soon: bool, cx: &mut Cx<'_>) {
        self.contact_at = Some(cx.now + cx.rng.jitter(if soon { CONTACT_DEGRADED } else { CONTACT }, 20));
    }

    pub(super) fn contact_due(&self, now: Instant) -> bool {
        self.contact_at.is_some_and(|at| at <= now)
    }

    /// If a tick is due: this node is alive, and so are the members of its zone. Returns an estimate of the network's
    /// size, and the sketch for the neighbours.
    pub(super) fn tick(&mut self, zone: &OrderedSet<NodeId>, cx: &mut Cx<'_>) -> Option<(usize, Vec<Mark>)> {
        self.tick_at.filter(|at| *at <= cx.now)?;
        self.tick_at = Some(cx.now + cx.rng.jitter(TICK, 20));
        self.beat = self.beat.saturating_add(1);
        self.alive.values_mut().for_each(|a| a.member = false);
        // Others outside of the zone go by the beats, which this node raises for its members.
        for mark in zone.iter().copied().map(mark_of) {
            let known = self.alive.entry(mark).or_insert(Alive { beat: 0, since: cx.now, member: true });
            *known = Alive { beat: known.beat.saturating_add(1), since: cx.now, member: true };
        }
        self.learn(&[(mark_of(cx.me), self.beat, 0)], cx.now);
        if let Some(own) = self.alive.get_mut(&mark_of(cx.me)) {
            own.member = true;
        }
        Some((self.estimate(), self.marks(cx.now)))
    }

    /// Whether a neighbour in the zone is reminded that it is one, in this tick: once a minute. What its roster says is not
    /// said again, but a node that does not hold this one for a neighbour answers.
    pub(super) fn reminds(&self) -> bool {
        self.beat.is_multiple_of(REMIND_EVERY)
    }

    /// Whether there are nodes that are no members of the zone, by the last tick.
    pub(super) fn has_others(&self) -> bool {
        self.alive.values().any(|a| !a.member)
    }

    /// The sketch for a node that may live in another part; none if nothing is known.
    pub(super) fn sketch(&mut self, now: Instant) -> Option<Vec<Mark>> {
        self.expire(now);
        (!self.alive.is_empty()).then(|| self.marks(now))
    }

    /// Whether `marks` are of another part of the network.
    pub(super) fn is_foreign(&mut self, marks: &[Mark], now: Instant) -> bool {
        self.expire(now);
        let young = self.began.is_none_or(|at| now.since(at) < YOUNG);
        let disjoint = marks.iter().take(SKETCH).all(|(mark, _, _)| !self.alive.contains_key(mark));
        !young && disjoint && !marks.is_empty() && !self.alive.is_empty()
    }

    /// Whether the last merge is long enough ago.
    pub(super) fn may_merge(&self, now: Instant) -> bool {
        self.merged.is_none_or(|at| now.since(at) >= MERGE_PAUSE)
    }

    pub(super) fn merges(&mut self, now: Instant) {
        self.merged = Some(now);
    }

    pub(super) fn stop(&mut self) {
        *self = Self { beat: self.beat, ..Self::default() };
    }

    pub(super) fn len(&self) -> usize {
        self.alive.len()
    }

    fn expire(&mut self, now: Instant) {
        self.alive.retain(|_, a| now.since(a.since) < STALE);
        while self.alive.len() > SKETCH {
            self.alive.pop_last();
        }
    }

    /// How many nodes live in this part: `k` smallest of evenly spread marks, the greatest of them at a
    /// share `u` of all numbers, come from about `(k - 1) / u` nodes (Bar-Yossef and others, RANDOM 2002).
    fn estimate(&self) -> usize {
        match self.alive.last_key_value() {
            Some((greatest, _)) if self.alive.len() >= SKETCH => {
                let k = (SKETCH as u128).saturating_sub(1);
                let nodes = (k << 64).checked_div(u128::from(*greatest)).unwrap_or(u128::MAX);
                usize::try_from(nodes).unwrap_or(usize::MAX).max(SKETCH)
            }
            Some(_) | None => self.alive.len(),
        }
    }

    /// Takes in the sketch of a neighbour.
    pub(super) fn learn(&mut self, marks: &[Mark], now: Instant) {
        for &(mark, beat, age) in marks.iter().take(SKETCH) {
            let age = u64::from(age).saturating_mul(1_000_000);
            let since = Instant::from_micros(now.as_micros().saturating_sub(age));
            let known = self.alive.entry(mark).or_insert(Alive { beat, since, member: false });
            if known.beat < beat {
                (known.beat, known.since) = (beat, since);
            } else if known.beat == beat {
                known.since = known.since.min(since);
            }
        }
        self.expire(now);
    }

    fn marks(&self, now: Instant) -> Vec<Mark> {
        let age = |a: &Alive| u16::try_from(now.since(a.since).as_secs()).unwrap_or(u16::MAX);
        self.alive.iter().map(|(mark, a)| (*mark, a.beat, age(a))).collect()
    }
    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.alive.len() > SKETCH { Err("more marks are kept than a sketch holds") } else { Ok(()) }
    }
}
