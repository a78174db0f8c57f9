//! Losing a good part of all peers at once: the evidence for `DEGRADED`, and when it is over.
//!
//! A network always loses some nodes; many at the same time mean that this node is cut off, or that it
//! lives in the smaller part of a network that split (docs/design/overlay.md §8). The application sees that as a
//! state. It ends when half of those lost are back, or when they are given up.

use crate::collections::OrderedMap;
use crate::id::NodeId;
use crate::time::{Duration, Instant};

/// Losses that count together: 10 s (docs/design/overlay.md §8), and 20 s more in which a zone notices them: ten
/// periods, since each member probes one other at a time.
const AT_ONCE: Duration = Duration::from_secs(30);
/// Of ten peers, so many lost are a good part: 40 % (docs/design/overlay.md §8).
const GOOD_PART: usize = 4;
/// Fewer are usual in a small network.
const LEAST: usize = 2;
/// A peer that is away for longer is given up: what is left is the network. 10 min, the time for which the marks
/// of docs/design/overlay.md §8 count a node as seen recently.
const GIVEN_UP: Duration = Duration::from_secs(600);

#[derive(Default)]
pub(super) struct Losses {
    /// Other members of the zone.
    zone: usize,
    /// Peers that were lost and are not back, and when.
    lost: OrderedMap<NodeId, Instant>,
    /// How many were lost when that was too many, and when.
    too_many: Option<(usize, Instant)>,
    /// When enough were back.
    restored: Option<Instant>,
}

impl Losses {
    pub(super) fn zone_size(&mut self, others: usize) {
        self.zone = others;
    }

    pub(super) fn len(&self) -> usize {
        self.lost.len()
    }

    /// When those lost are given up.
    pub(super) fn given_up_at(&self) -> Option<Instant> {
        self.too_many.map(|(_, at)| at + GIVEN_UP)
    }

    /// Since when too many are lost; none if they are not.
    pub(super) fn since(&self) -> Option<Instant> {
        self.too_many.map(|(_, at)| at)
    }

    /// Whether too many are lost.
    pub(super) fn too_many(&self) -> bool {
        self.too_many.is_some()
    }

    fn recent(&self, now: Instant) -> usize {
        self.lost.values().filter(|at| now.since(**at) < AT_ONCE).count()
    }

    /// `peer` does not answer. At most `max` are remembered. Returns whether too many are lost now;
    /// never while `recovering`, nor right after it: parts that merge report old losses to each other.
    pub(super) fn add(&mut self, peer: NodeId, neighbours: usize, max: usize, recovering: bool, now: Instant) -> bool {
        self.lost.retain(|_, at| now.since(*at) < GIVEN_UP);
        if self.lost.len() >= max && !self.lost.contains_key(&peer) {
            let oldest = self.lost.iter().min_by_key(|(id, at)| (**at, **id)).map(|(id, _)| *id);
            oldest.and_then(|id| self.lost.remove(&id));
        }
        self.lost.entry(peer).or_insert(now);
        let recent = self.recent(now);
        let peers = self.zone.max(neighbours.saturating_add(recent));
        let just_restored = self.restored.is_some_and(|at| now.since(at) < AT_ONCE);
        let many = recent >= LEAST && recent.saturating_mul(10) >= peers.saturating_mul(GOOD_PART);
        if !many || recovering || just_restored {
            return false;
        }
        let (most, since) = self.too_many.unwrap_or((0, now));
        self.too_many = Some((most.max(self.lost.len()), since));
        true
    }

    /// A lost peer answers again. Returns whether enough are back: half of those lost.
    pub(super) fn regain(&mut self, peer: NodeId) -> bool {
        let was_lost = self.forget(peer);
        was_lost && self.too_many.is_some_and(|(most, _)| self.lost.len().saturating_mul(2) <= most)
    }

    /// `peer` said that it leaves: that is no failure. Returns whether it was lost.
    pub(super) fn forget(&mut self, peer: NodeId) -> bool {
        self.lost.remove(&peer).is_some()
    }

    /// Gives up those lost if they are away for too long; whether that is so.
    pub(super) fn give_up(&mut self, now: Instant) -> bool {
        let over = self.given_up_at().is_some_and(|at| at <= now);
        if over {
            self.lost.clear();
        }
        over
    }

    /// Enough are back, or given up.
    pub(super) fn restored(&mut self, now: Instant) {
        self.too_many = None;
        self.restored = Some(now);
    }
}
