//! Losing a good part of all peers at once: the evidence for `DEGRADED`, and when it is over.
//!
//! Some failures are the life of a network; many at the same time mean that this node is cut off, or that it
//! lives in the smaller part of a network that split (docs/design/overlay.md §8). People see that as a state. It
//! ends when half of those lost are back, or when they are given up.

use super::*;

/// Losses that count together: 10 s (docs/design/overlay.md §8), and 20 s more in which a zone notices them: ten
/// periods, since each member asks one other at a time.
const AT_ONCE: Duration = Duration::from_secs(30);
/// Of ten peers, so many lost are a good part: 40 % (docs/design/overlay.md §8).
const GOOD_PART: usize = 4;
/// Fewer are the life of a small network.
const LEAST: usize = 2;
/// Who is away for longer is given up: what is left is the network. 10 min, the time for which the marks of
/// docs/design/overlay.md §8 count somebody as seen lately.
const GIVEN_UP: Duration = Duration::from_secs(600);
/// Histories are taken for compared after this at the latest: one comparison of the chat machine.
const COMPARED: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct Losses {
    /// Other members of the zone.
    zone: usize,
    /// Who was lost and is not back, and when.
    lost: BTreeMap<NodeId, Instant>,
    /// How many were lost when that was too many, and when.
    too_many: Option<(usize, Instant)>,
    recovering: Option<Instant>,
    /// When enough were back.
    restored: Option<Instant>,
}

impl Losses {
    pub(super) fn len(&self) -> usize {
        self.lost.len()
    }

    pub(super) fn stop(&mut self) {
        *self = Self::default();
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let given_up = self.too_many.map(|(_, at)| at + GIVEN_UP);
        soonest(given_up, self.recovering.map(|at| at + COMPARED))
    }

    /// Whether what was lost keeps this node degraded.
    pub(super) fn hold(&self) -> bool {
        self.too_many.is_some()
    }

    /// Since when too many are lost.
    pub(super) fn since(&self) -> Option<Instant> {
        self.too_many.map(|(_, at)| at)
    }

    fn recent(&self, now: Instant) -> usize {
        self.lost.values().filter(|at| now.since(**at) < AT_ONCE).count()
    }
}

impl Membership {
    pub(super) fn zone_counts(&mut self, members: usize) {
        self.losses.zone = members;
    }

    /// A neighbour or a member of the zone does not answer.
    pub(super) fn lose(&mut self, peer: NodeId, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if !self.running() {
            return;
        }
        self.losses.lost.retain(|_, at| cx.now.since(*at) < GIVEN_UP);
        let most = self.config.limits.neighbours.saturating_add(self.config.limits.zone_members);
        if self.losses.lost.len() >= most && !self.losses.lost.contains_key(&peer) {
            let oldest = self.losses.lost.iter().min_by_key(|(id, at)| (**at, **id)).map(|(id, _)| *id);
            oldest.and_then(|id| self.losses.lost.remove(&id));
        }
        self.losses.lost.entry(peer).or_insert(cx.now);
        let recent = self.losses.recent(cx.now);
        let peers = self.losses.zone.max(self.neighbours.len().saturating_add(recent));
        // Parts that merge tell each other whom they had lost: that is old.
        let lately = self.losses.restored.is_some_and(|at| cx.now.since(at) < AT_ONCE);
        let merging = self.state == NodeState::Recovering || lately;
        if !merging && recent >= LEAST && recent.saturating_mul(10) >= peers.saturating_mul(GOOD_PART) {
            let (most, since) = self.losses.too_many.unwrap_or((0, cx.now));
            let first = self.losses.too_many.replace((most.max(self.losses.lost.len()), since)).is_none();
            if first && self.part.watches() {
                self.contact_later(cx);
            }
            self.losses.recovering = None;
            self.trigger(Trigger::Lost, out);
        }
    }

    /// A lost peer is heard again.
    pub(super) fn regain(&mut self, peer: NodeId, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.losses.lost.remove(&peer).is_none() {
            return;
        }
        let left = self.losses.lost.len();
        if self.losses.too_many.is_some_and(|(most, _)| left.saturating_mul(2) <= most) {
            self.restored(Some(peer), cx, out);
        }
    }

    fn restored(&mut self, through: Option<NodeId>, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        self.losses.too_many = None;
        self.losses.restored = Some(cx.now);
        if self.linked.is_empty() {
            return;
        }
        self.trigger(Trigger::Restored, out);
        self.recover(cx);
        let through = through.filter(|p| self.linked.contains_key(p)).or_else(|| self.neighbours.first().copied());
        if let Some(peer) = through {
            out.push(Out::Compare(peer));
        }
    }

    /// In `RECOVERING`: it ends with a comparison of histories.
    pub(super) fn recover(&mut self, cx: &Cx<'_>) {
        if self.state == NodeState::Recovering && self.losses.recovering.is_none() {
            self.losses.recovering = Some(cx.now);
        }
    }

    /// The history here has all that a peer's has.
    pub(super) fn compared(&mut self, out: &mut Outbox<Out>) {
        if self.state == NodeState::Recovering && !self.neighbours.is_empty() {
            self.losses.recovering = None;
            self.trigger(Trigger::Compared, out);
        }
    }

    pub(super) fn losses_timeout(&mut self, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        if self.losses.too_many.is_some_and(|(_, at)| at + GIVEN_UP <= cx.now) {
            self.losses.lost.clear();
            self.restored(None, cx, out);
        }
        if self.losses.recovering.is_some_and(|at| at + COMPARED <= cx.now) {
            self.losses.recovering = None;
            self.compared(out);
        }
        // Without a neighbour there is nobody to compare with: again when there may be one.
        if self.state == NodeState::Recovering && self.losses.recovering.is_none() {
            self.losses.recovering = Some(cx.now);
        }
    }

    /// What failure detection holds of a member of the zone.
    pub(super) fn member(&mut self, peer: NodeId, state: MemberState, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        match state {
            MemberState::Alive => self.regain(peer, cx, out),
            MemberState::Suspect => self.lose(peer, cx, out),
            MemberState::Down => {
                self.lose(peer, cx, out);
                self.failed(peer, cx, out);
            }
            MemberState::Left | MemberState::Away => {
                self.losses.lost.remove(&peer);
            }
        }
    }
}
