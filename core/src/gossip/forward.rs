//! Instructions as this machine carries them out: serving a part, refusing what cannot be served, taking over the part
//! of a child that does not answer, and offering the broadcast to neighbours that no instruction is for.

use alloc::vec::Vec;

use crate::collections::ShortId;
use crate::gossip::cache::Broadcast;
use crate::gossip::instruct::{Child, name_of};
use crate::gossip::missing::Announcer;
use crate::gossip::parts::Overdue;
use crate::gossip::peer::Peer;
use crate::gossip::wire::{IHave, MAX_IHAVE, Message, Name, Scope};
use crate::gossip::{Gossip, Out, Timer, Unvalidated};
use crate::id::NodeId;
use crate::machine::{Cx, Outbox};
use crate::time::{Duration, Instant};
use crate::wire::Blob;

/// The ring is for what answers do not show, a child that failed right after its own: ids wait this long, so that many
/// share a datagram.
const RING_BATCH: Duration = Duration::from_secs(1);
/// Ids that wait for the ring: four datagrams, as in the replay to a new neighbour. Anti-entropy finds the rest.
const MAX_RING: usize = 256;
/// A deadline that is noticed so much later shows that this node was busy, and what it waits for may lie unread in its
/// socket: 20 ms, the longest that a group of 50 on two cores took to pass on a broadcast at a gentle rate.
pub(super) const BEHIND: Duration = Duration::from_millis(20);

impl Gossip {
    /// An own broadcast that goes by instruction.
    pub(super) fn publish_by_instruction(&mut self, cx: &mut Cx<'_>, mut broadcast: Broadcast, out: &mut Outbox<Out>) {
        let plan = self.instructed.plan(cx.me, cx.now, cx.rng);
        broadcast.scope = Some(plan.scope);
        self.serve(cx, broadcast, plan.children, &[], out);
    }

    /// The targets of an instruction that this node can serve. The answer says which it cannot, at once, so that the
    /// instructor serves them itself.
    pub(super) fn accept(
        &mut self,
        cx: &Cx<'_>,
        (from, id): (NodeId, ShortId),
        names: &[Name],
        out: &mut Outbox<Out>,
    ) -> Vec<NodeId> {
        if names.is_empty() {
            return Vec::new();
        }
        let (mut served, mut refused) = (Vec::new(), Vec::new());
        for name in names {
            if [cx.me, from].into_iter().any(|known| name_of(known) == *name) {
                continue;
            }
            let before = served.len();
            served.extend(self.instructed.named(*name).filter(|p| self.instructed.is_linked(*p)));
            if served.len() == before {
                refused.push(*name);
            }
        }
        self.send_control(from, &Message::Answer { id, refused }, out);
        served
    }

    /// A genuine broadcast that came by instruction, with the `targets` that this node serves.
    pub(super) fn instruct(
        &mut self,
        cx: &mut Cx<'_>,
        broadcast: Broadcast,
        targets: Vec<NodeId>,
        known_to: &[Announcer],
        out: &mut Outbox<Out>,
    ) {
        let children = self.instructed.divide(targets, Vec::new(), cx.rng);
        self.serve(cx, broadcast, children, known_to, out);
    }

    /// Sends a broadcast to the children, whole to neighbours that keep no zone, offers it to those that no instruction
    /// is for, and keeps its id for the ring.
    fn serve(
        &mut self,
        cx: &Cx<'_>,
        broadcast: Broadcast,
        children: Vec<Child>,
        known_to: &[Announcer],
        out: &mut Outbox<Out>,
    ) {
        let (id, via, round) = (broadcast.id, broadcast.via, broadcast.next_round());
        self.forward(&broadcast, &children, out);
        self.await_answers(cx.now, id, &children);
        let has = |p: NodeId| {
            Some(p) == via
                || known_to.iter().any(|a| a.from == p)
                || children.iter().any(|(child, targets)| *child == p || targets.contains(&p))
        };
        let scope = broadcast.scope.as_ref();
        let (mut whole, mut offers) = (Vec::new(), Vec::new());
        for (&to, peer) in self.peers.iter().filter(|(p, e)| e.neighbour && !has(**p)) {
            let member = self.instructed.contains(to);
            match scope {
                Some(Scope::Only(_)) if scope.is_some_and(|s| s.covers(to)) => {}
                Some(Scope::Only(_)) if member || !peer.eager => offers.push((to, true)),
                Some(Scope::All) | None if member => {
                    if self.instructed.is_new(to, cx.now) {
                        offers.push((to, false));
                    }
                }
                Some(_) | None if peer.gets_whole(self.is_low_power, via.is_none()) => whole.push(to),
                Some(_) | None => offers.push((to, false)),
            }
        }
        for to in whole {
            self.send_broadcast(to, &Message::Gossip { round, body: Blob(broadcast.body.clone()) }, out);
        }
        for (to, certain) in offers {
            self.send_control(to, &Message::Offer { certain, list: alloc::vec![IHave { id, round }] }, out);
        }
        if self.instructed.is_active() && self.ring.len() < MAX_RING {
            self.ring.push(IHave { id, round });
            if self.timers.get(Timer::Ring).is_none() {
                self.timers.arm(Timer::Ring, cx.now + RING_BATCH);
            }
        }
        self.keep(cx.now, broadcast);
    }

    fn forward(&mut self, broadcast: &Broadcast, children: &[Child], out: &mut Outbox<Out>) {
        let (round, scope) = (broadcast.next_round(), broadcast.scope.clone().unwrap_or(Scope::All));
        let silent = self.instructed.silent_names();
        for (to, targets) in children {
            let targets = targets.iter().copied().map(name_of).collect();
            let (scope, silent, body) = (scope.clone(), silent.clone(), Blob(broadcast.body.clone()));
            self.send_broadcast(*to, &Message::Forward { round, scope, silent, targets, body }, out);
        }
    }

    fn await_answers(&mut self, now: Instant, id: ShortId, children: &[Child]) {
        let slowest = children.iter().filter_map(|(child, _)| self.peers.get(child)?.rtt).max().unwrap_or_default();
        // Three round trips leave time for one packet that is lost and sent again.
        let wait = self.config.batch.max(slowest.saturating_mul(3));
        if let Some(due) = self.parts.given(id, children, now, wait) {
            self.timers.arm(Timer::Answers(id), due);
        }
    }

    /// An instruction for a broadcast that is here already: its targets are served all the same, or refused.
    pub(super) fn instructed_again(
        &mut self,
        cx: &mut Cx<'_>,
        (from, id): (NodeId, ShortId),
        names: &[Name],
        out: &mut Outbox<Out>,
    ) {
        if let Some(waiting) = self.unvalidated.contains_key(&id).then(|| self.accept(cx, (from, id), names, out)) {
            if let Some(Unvalidated { targets, .. }) = self.unvalidated.get_mut(&id) {
                targets.extend(waiting);
            }
            return;
        }
        if self.cache.get(&id).is_none() {
            let refused = names.to_vec();
            if !refused.is_empty() {
                self.send_control(from, &Message::Answer { id, refused }, out);
            }
            return;
        }
        let targets = self.accept(cx, (from, id), names, out);
        self.serve_directly(id, targets, out);
    }

    /// Sends a kept broadcast whole to linked members, each a few times at most.
    fn serve_directly(&mut self, id: ShortId, targets: Vec<NodeId>, out: &mut Outbox<Out>) {
        for to in targets {
            let Some(recent) = self.cache.get_mut(&id) else { return };
            if !recent.is_held_by(to) && recent.serve(to) {
                let message = recent.broadcast.whole();
                self.send_broadcast(to, &message, out);
            }
        }
    }

    /// A child serves its part, but for those that it refused.
    pub(super) fn on_answer(
        &mut self,
        cx: &mut Cx<'_>,
        (from, id): (NodeId, ShortId),
        refused: &[Name],
        out: &mut Outbox<Out>,
    ) {
        let theirs = self.parts.answered(&id, from, |t| refused.contains(&name_of(t)));
        self.serve_otherwise(cx, id, theirs, out);
        self.close_answered(id);
    }

    /// Children that gave no sign of life are leaves from now on, and their parts are served otherwise.
    pub(super) fn answers_due(&mut self, cx: &mut Cx<'_>, id: ShortId, out: &mut Outbox<Out>) {
        let Some(due) = self.parts.due(&id) else { return };
        let behind = cx.now.since(due) > BEHIND;
        let peers = &self.peers;
        let heard = |p: NodeId| peers.get(&p).and_then(|p| p.heard);
        let Overdue { silent, again } = self.parts.overdue(&id, heard, behind, cx.now);
        if let Some(at) = again {
            self.timers.arm(Timer::Answers(id), at);
        }
        for (child, targets) in silent {
            self.instructed.observed_silent(child);
            self.serve_otherwise(cx, id, targets, out);
        }
        self.close_answered(id);
    }

    /// Serves members that a child did not: directly, or through another member if there is no link.
    fn serve_otherwise(&mut self, cx: &mut Cx<'_>, id: ShortId, targets: Vec<NodeId>, out: &mut Outbox<Out>) {
        let (near, far): (Vec<_>, Vec<_>) = targets.into_iter().partition(|t| self.instructed.is_linked(*t));
        self.serve_directly(id, near, out);
        for target in far {
            let helper = self.parts.tried(&id, target).and_then(|tried| self.instructed.helper(tried, cx.rng));
            let Some(helper) = helper else {
                self.instructed.give_up(target, cx.now);
                continue;
            };
            let children = [(helper, alloc::vec![target])];
            let Some(recent) = self.cache.get(&id) else { return };
            let (round, body) = (recent.broadcast.next_round(), Blob(recent.broadcast.body.clone()));
            let scope = recent.broadcast.scope.clone().unwrap_or(Scope::All);
            let targets = alloc::vec![name_of(target)];
            self.send_broadcast(helper, &Message::Forward { round, scope, silent: Vec::new(), targets, body }, out);
            self.await_answers(cx.now, id, &children);
        }
    }

    fn close_answered(&mut self, id: ShortId) {
        if self.parts.is_answered(&id) {
            self.parts.close(&id);
            self.timers.cancel(Timer::Answers(id));
        }
    }

    /// Sends the ids of what is here to the successor on the ring.
    pub(super) fn announce_to_ring(&mut self, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        let mut list = core::mem::take(&mut self.ring);
        let Some(to) = self.instructed.successor(cx.me) else { return };
        list.retain(|h| self.cache.get(&h.id).is_some_and(|r| !r.is_held_by(to) && !r.was_served(to)));
        for part in list.chunks(MAX_IHAVE) {
            self.send_control(to, &Message::IHave(part.to_vec()), out);
        }
    }

    /// A linked peer that announces or asks is served like a neighbour.
    pub(super) fn admit_linked(&mut self, peer: NodeId) {
        if self.instructed.is_linked(peer) {
            self.peers.entry(peer).or_insert_with(Peer::new);
        }
    }
}
