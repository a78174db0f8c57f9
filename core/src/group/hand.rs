//! How the secret of an epoch reaches its holders: handed down a tree of private messages, and asked for where that
//! fails (docs/design/groups-keys.md §4.6).

use alloc::vec::Vec;

use crate::collections::{Backoff, OrderedSet};
use crate::group::keys::{Epoch, Order, Secret, SecretMessage, commitment};
use crate::group::one::{Asked, Group};
use crate::group::op::{Action, GroupKind, NewEpoch, Operation};
use crate::group::wire::Message;
use crate::group::{EPOCHS, Out};
use crate::id::{NodeId, OpId};
use crate::machine::{Cx, Outbox};
use crate::time::Duration;
use crate::wire::{Blob, encode};

/// A member that has the operation and not the secret asks after 1 s, and then ever more rarely, up to 30 s
/// (docs/design/groups-keys.md §4.6).
const ASK: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
/// Secrets that wait for their operations.
const MAX_EARLY: usize = 16;
/// How often one epoch's secret is given to one member.
const GIVEN: u32 = 4;
/// Entries of what was given: those of the newest epochs stay.
const MAX_GIVEN: usize = 10_000;
/// Additions that are followed from an epoch that is held to the newest one.
const MAX_STEPS: usize = 1_000;

impl Group {
    pub(super) fn epoch(&self, op: OpId) -> Option<&Epoch> {
        self.epochs.iter().find(|epoch| epoch.op() == op)
    }

    /// Whether this node can seal in an epoch. That of a PUBLIC group has no key.
    pub(super) fn holds(&self, op: OpId) -> bool {
        self.state().kind == GroupKind::Public || self.epoch(op).is_some()
    }

    /// What this operation committed to, and in which order its secret is handed down.
    fn new_epoch(op: &Operation) -> Option<&NewEpoch> {
        match &op.action {
            Action::Epoch(epoch)
            | Action::Remove { epoch: Some(epoch), .. }
            | Action::Devices { epoch: Some(epoch), .. } => Some(epoch),
            Action::Create { .. }
            | Action::Add { .. }
            | Action::SetRole { .. }
            | Action::Remove { epoch: None, .. }
            | Action::Unban { .. }
            | Action::Leave
            | Action::Transfer { .. }
            | Action::Describe { .. }
            | Action::SetPolicy { .. }
            | Action::ForkProof { .. }
            | Action::Devices { epoch: None, .. }
            | Action::Pin { .. } => None,
        }
    }

    /// Keeps the keys of an epoch.
    pub(super) fn keep(&mut self, epoch: Epoch, out: &mut Outbox<Out>) {
        if let Some(gone) = self.epochs.add(epoch) {
            self.wipe(&gone, out);
        }
    }

    /// Deletes the rows of an epoch that is over.
    pub(super) fn wipe(&self, epoch: &Epoch, out: &mut Outbox<Out>) {
        if self.epoch(epoch.op()).is_some() {
            return;
        }
        let front = [self.id.0, epoch.op().0].concat();
        for key in epoch.delete().delete {
            out.delete(EPOCHS, [front.as_slice(), &key].concat());
        }
    }

    /// An epoch that an operation of this node made.
    pub(super) fn begin(&mut self, op: OpId, secret: &Secret, me: NodeId, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        let holders = self.ops.devices_at(op);
        if let Some(epoch) = Epoch::new(self.id, op, holders, me, secret, cx.wall) {
            self.keep(epoch, out);
        }
    }

    /// Hands the secret of an epoch to those that this node feeds and is linked with. Others ask.
    pub(super) fn hand_down(&self, op: OpId, me: NodeId, linked: &OrderedSet<NodeId>, out: &mut Outbox<Out>) {
        let (Some(epoch), Some(operation)) = (self.epoch(op), self.ops.get(&op)) else { return };
        let children: Vec<NodeId> = match (&operation.action, Self::new_epoch(operation)) {
            // The adder of a member hands the secret to it.
            (Action::Add { .. }, _) if operation.author == me => operation.added().into_iter().collect(),
            (_, Some(new)) => {
                let Some(order) = Order::new(&new.order, epoch.holders(), operation.author) else { return };
                let place = order.position(me);
                if place.is_none() && operation.author != me {
                    return;
                }
                order.children(place).filter_map(|p| order.node(p)).collect()
            }
            _ => return,
        };
        for child in children.into_iter().filter(|child| linked.contains(child)) {
            self.hand_to(child, epoch, out);
        }
    }

    /// A node that knows more refuses: a former member gets nothing.
    fn hand_to(&self, to: NodeId, epoch: &Epoch, out: &mut Outbox<Out>) {
        let may = self.is_member(to) && epoch.holders().binary_search(&to).is_ok();
        let Some(secret) = epoch.hand_on().filter(|_| may) else { return };
        let message = SecretMessage { group: self.id, op: epoch.op(), secret: secret.clone() };
        // After the operation, which is sent when it is stored.
        out.after_commit(Out::Say { to, body: encode(&Message::Secret(Blob(message.encode().to_vec()))) });
    }

    /// A secret that a member hands over. Returns whether it is a new one: it is believed only if the operation
    /// committed to it.
    pub(super) fn secret(
        &mut self,
        message: &SecretMessage,
        me: NodeId,
        linked: &OrderedSet<NodeId>,
        cx: &Cx<'_>,
        out: &mut Outbox<Out>,
    ) -> bool {
        if self.epoch(message.op).is_some() {
            return false;
        }
        let Some(op) = self.ops.get(&message.op) else {
            if self.early.len() < MAX_EARLY {
                self.early.insert(message.op, message.clone());
            }
            return false;
        };
        let added = if let Action::Add { commitment, .. } = &op.action { Some(*commitment) } else { None };
        let Some(committed) = added.or_else(|| Self::new_epoch(op).map(|new| new.commitment)) else { return false };
        // A wrong one proves that its sender lies; another holder has the right one.
        if commitment(&message.secret, self.id) != committed {
            return false;
        }
        let holders = self.ops.devices_at(message.op);
        let Some(epoch) = Epoch::new(self.id, message.op, holders, me, &message.secret, cx.wall) else { return false };
        self.keep(epoch, out);
        self.asked.remove(&message.op);
        self.hand_down(message.op, me, linked, out);
        true
    }

    /// Secrets whose operations came since.
    pub(super) fn early_secrets(&mut self) -> Vec<SecretMessage> {
        let here: Vec<OpId> = self.early.keys().copied().filter(|op| self.ops.get(op).is_some()).collect();
        here.into_iter().filter_map(|op| self.early.remove(&op)).collect()
    }

    /// A member asks for the secret of an epoch.
    pub(super) fn give(&mut self, to: NodeId, op: OpId, out: &mut Outbox<Out>) {
        let Some(epoch) = self.epoch(op).filter(|_| self.is_member(to)) else { return };
        let given = self.given.get(&(op, to)).copied().unwrap_or_default();
        if given >= GIVEN {
            return;
        }
        self.hand_to(to, epoch, out);
        if self.given.len() >= MAX_GIVEN {
            self.given.pop_first();
        }
        self.given.insert((op, to), given.saturating_add(1));
    }

    /// Derives the epochs of additions that follow one that is held.
    pub(super) fn derive(&mut self, me: NodeId, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        let Some(wanted) = self.candidate().filter(|op| !self.holds(*op)) else { return };
        let mut steps: Vec<OpId> = Vec::new();
        let mut at = wanted;
        while self.epoch(at).is_none() {
            let Some(Action::Add { base, .. }) = self.ops.get(&at).map(|op| &op.action) else { return };
            steps.push(at);
            at = *base;
            if steps.len() > MAX_STEPS {
                return;
            }
        }
        for op in steps.into_iter().rev() {
            let holders = self.ops.devices_at(op);
            let Some(Action::Add { acceptance, commitment: committed, .. }) = self.ops.get(&op).map(|op| &op.action)
            else {
                return;
            };
            let next = self.epoch(at).and_then(|base| base.successor(acceptance.seed(), op, holders, me, cx.wall));
            // An adder that committed to another secret made no epoch.
            let Some((_, next)) = next.filter(|(secret, _)| commitment(secret, self.id) == *committed) else { return };
            self.keep(next, out);
            at = op;
        }
    }

    /// The secret of the epoch that the members use is missing: it is asked for if it does not come by itself.
    pub(super) fn ask_later(&mut self, cx: &mut Cx<'_>, me: NodeId) {
        let wanted = self.candidate().filter(|op| self.is_member(me) && !self.holds(*op));
        self.asked.retain(|op, _| Some(*op) == wanted);
        if let Some(op) = wanted.filter(|op| !self.asked.contains_key(op)) {
            self.asked.insert(op, Asked { at: cx.now + ASK.pause(0, cx.rng), tries: 0 });
        }
    }

    /// Asks a linked holder for what is missing.
    pub(super) fn ask_secrets(&mut self, cx: &mut Cx<'_>, members: &[NodeId], me: NodeId, out: &mut Outbox<Out>) {
        let due: Vec<OpId> = self.asked.iter().filter(|(_, a)| a.at <= cx.now).map(|(op, _)| *op).collect();
        for op in due {
            let holders = self.ops.devices_at(op);
            let others: Vec<NodeId> =
                members.iter().copied().filter(|m| *m != me && holders.binary_search(m).is_ok()).collect();
            if let Some(to) = cx.rng.pick(&others) {
                out.push(Out::Say { to: *to, body: encode(&Message::Ask { group: self.id, epoch: op }) });
            }
            if let Some(asked) = self.asked.get_mut(&op) {
                asked.tries = asked.tries.saturating_add(1);
                asked.at = cx.now + ASK.pause(asked.tries, cx.rng);
            }
        }
    }
}
