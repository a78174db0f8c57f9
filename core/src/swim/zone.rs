//! The zone itself: whether there is one, exchanges of whole rosters, and leaving.

use alloc::vec::Vec;

use crate::collections::{OrderedMap, OrderedSet};
use crate::config::{Power, SwimConfig};
use crate::fact::MemberState;
use crate::id::NodeId;
use crate::machine::{Cx, Outbox};
use crate::time::{Duration, Instant};

use super::interface::Out;
use super::members::Members;
use super::timer::Timer;
use super::wire::{MAX_PIECE, Message, Presence};

/// Another node's roster is asked for again after this: 5 s.
const SYNC_PAUSE: Duration = Duration::from_secs(5);
/// Members that get the update of one that leaves directly; they pass it on to the others.
const LEAVE_FANOUT: usize = 16;
/// A dissolved zone stays so for this long: one round of estimates, six ticks of ten seconds.
const DISSOLVED: Duration = Duration::from_secs(60);
/// So many times the limit, by the estimate, and a zone that stands is a leftover. The estimate from eight
/// marks is off by this factor once in 1,600 networks.
const LEFTOVER: usize = 4;

/// Why there is or is no zone here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Stands,
    /// There are too many nodes for one since then.
    Dissolved(Instant),
    /// This node left, or sleeps.
    Gone,
    /// The configuration wants none.
    Off,
}

pub(super) struct Zone {
    status: Status,
    /// Members at most, this node included.
    capacity: usize,
    sync_every: Duration,
    power: Power,
    /// Linked nodes that keep no zone.
    declined: OrderedSet<NodeId>,
    /// When each linked node last got the whole roster that it asked for.
    synced: OrderedMap<NodeId, Instant>,
}

impl Zone {
    pub(super) fn new(config: &SwimConfig, capacity: usize, power: Power) -> Self {
        Self {
            status: if config.zone { Status::Stands } else { Status::Off },
            capacity,
            sync_every: config.sync_every,
            power,
            declined: OrderedSet::new(),
            synced: OrderedMap::new(),
        }
    }

    pub(super) fn stands(&self) -> bool {
        self.status == Status::Stands
    }

    /// A member that was down is there again, and maybe a whole part of the network with it: rosters are compared.
    pub(super) fn link_up(&self, peer: NodeId, members: &mut Members, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        if self.stands() && members.roster.get(peer).is_some_and(|m| m.state == MemberState::Down) {
            Self::compare(peer, members, cx.me, out);
        }
    }

    fn compare(to: NodeId, members: &mut Members, me: NodeId, out: &mut Outbox<Out>) {
        let digest = members.digest(me);
        members.send(to, &Message::Digest(digest), out);
        members.stats.syncs = members.stats.syncs.saturating_add(1);
    }

    pub(super) fn link_down(&mut self, peer: NodeId) {
        self.synced.remove(&peer);
        self.declined.remove(&peer);
    }

    /// Through neighbours a node learns of the other members.
    pub(super) fn neighbour_up(&mut self, peer: NodeId, members: &mut Members, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        members.links.neighbour_up(peer);
        if self.status == Status::Gone {
            // Others remember that it left.
            members.raise_incarnation();
            self.status = Status::Stands;
        }
        if self.stands() {
            Self::sync(peer, true, members, cx.me, out);
            if members.timers.get(Timer::Sync).is_none() {
                self.schedule_sync(members, cx);
            }
        }
    }

    fn schedule_sync(&self, members: &mut Members, cx: &mut Cx<'_>) {
        members.timers.arm(Timer::Sync, cx.now + cx.rng.jitter(self.sync_every, 20));
    }

    /// Sends the whole roster, in pieces.
    fn sync(to: NodeId, ask: bool, members: &mut Members, me: NodeId, out: &mut Outbox<Out>) {
        for (i, piece) in members.all_updates(me).chunks(MAX_PIECE).enumerate() {
            members.send(to, &Message::Sync { ask: ask && i == 0, roster: piece.to_vec() }, out);
            members.stats.syncs = members.stats.syncs.saturating_add(1);
        }
    }

    /// Compares rosters with a random member or neighbour; they are exchanged if they differ.
    pub(super) fn sync_with_random(&self, members: &mut Members, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if !self.stands() {
            return;
        }
        self.schedule_sync(members, cx);
        let mut all: OrderedSet<NodeId> =
            members.roster.iter().filter(|(_, m)| m.is_present()).map(|(id, _)| id).collect();
        all.extend(members.links.neighbours());
        // One of low power begins an exchange itself.
        all.retain(|id| !members.links.record(*id).is_some_and(|r| r.speaks_first_to(self.power)));
        let all: Vec<NodeId> = all.into_iter().filter(|id| members.links.contains(*id)).collect();
        if let Some(&to) = cx.rng.pick(&all) {
            Self::compare(to, members, cx.me, out);
        }
    }

    /// `peer` has a roster with this hash. Where that differs, sends the roster and wants the other; false if rosters
    /// were sent to it a moment ago.
    pub(super) fn compared(
        &mut self,
        peer: NodeId,
        digest: [u8; 16],
        members: &mut Members,
        cx: &Cx<'_>,
        out: &mut Outbox<Out>,
    ) -> bool {
        if digest == members.digest(cx.me) {
            return true;
        }
        let may = self.may_sync(peer, cx.now);
        if may {
            Self::sync(peer, true, members, cx.me, out);
        }
        may
    }

    /// Whether the roster may be sent to `peer` again; it is counted as sent.
    fn may_sync(&mut self, peer: NodeId, now: Instant) -> bool {
        let may = self.synced.get(&peer).is_none_or(|at| now.since(*at) >= SYNC_PAUSE);
        if may {
            self.synced.insert(peer, now);
        }
        may
    }

    /// `peer` keeps a zone.
    pub(super) fn accepted_by(&mut self, peer: NodeId) {
        self.declined.remove(&peer);
    }

    /// Sends the whole roster to `peer`, which asked for it; false if it asks too often.
    pub(super) fn answer_sync(
        &mut self,
        peer: NodeId,
        members: &mut Members,
        cx: &Cx<'_>,
        out: &mut Outbox<Out>,
    ) -> bool {
        let may = self.may_sync(peer, cx.now);
        if may {
            Self::sync(peer, false, members, cx.me, out);
        }
        may
    }

    /// `from` keeps no zone. Returns whether this one dissolves too: where most nodes keep none, or a member gave up a
    /// zone that is nearly full. Where some nodes know one member too many and others do not, no zone may remain.
    pub(super) fn declined_by(
        &mut self,
        from: NodeId,
        members: &mut Members,
        cx: &Cx<'_>,
        out: &mut Outbox<Out>,
    ) -> bool {
        let full = members.count().saturating_mul(4) >= self.capacity.saturating_mul(3);
        let gave_up = members.is_present(from);
        if gave_up {
            members.left(from, cx, out);
        }
        self.declined.insert(from);
        gave_up && full || self.declined.len() > members.roster.present()
    }

    /// The network is too large for a roster of all.
    pub(super) fn dissolve(&mut self, members: &mut Members, now: Instant, out: &mut Outbox<Out>) {
        for to in members.linked() {
            members.send(to, &Message::Dissolve, out);
        }
        members.stats.dissolved = members.stats.dissolved.saturating_add(1);
        self.status = Status::Dissolved(now);
        self.clear();
    }

    /// This node left the zone.
    pub(super) fn gone(&mut self) {
        self.status = Status::Gone;
        self.clear();
    }

    fn clear(&mut self) {
        self.synced.clear();
        self.declined.clear();
    }

    /// The network has about so many nodes. A zone forms if most of them are gone since it dissolved. Returns
    /// whether one that stands has to dissolve.
    pub(super) fn estimated(
        &mut self,
        nodes: usize,
        members: &mut Members,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) -> bool {
        match self.status {
            Status::Stands => return nodes > self.capacity.saturating_mul(LEFTOVER),
            Status::Dissolved(at) if nodes < self.capacity / 2 && cx.now.since(at) >= DISSOLVED => {
                self.status = Status::Stands;
                members.begin();
                for peer in members.links.neighbours() {
                    Self::sync(peer, true, members, cx.me, out);
                }
                self.schedule_sync(members, cx);
            }
            Status::Dissolved(_) | Status::Gone | Status::Off => {}
        }
        false
    }

    /// Sends some members the statement that this node leaves, for good or for a while.
    pub(super) fn announce_leave(
        &self,
        presence: Presence,
        members: &mut Members,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        let mut all = members.linked();
        members.depart(presence);
        let statement = members.own_statement();
        for _ in 0..LEAVE_FANOUT.min(all.len()) {
            let to = all.swap_remove(cx.rng.below(all.len()));
            members.send(to, &statement, out);
        }
    }

    /// This node is awake again: what it knew is old.
    pub(super) fn announce_resume(&self, members: &mut Members, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        members.raise_incarnation();
        members.announce_self(cx.me);
        let mut all = members.linked();
        if !all.is_empty() {
            let to = all.swap_remove(cx.rng.below(all.len()));
            Self::sync(to, true, members, cx.me, out);
        }
    }

    pub(super) fn footprint(&self) -> usize {
        self.declined.len().saturating_add(self.synced.len())
    }
}
