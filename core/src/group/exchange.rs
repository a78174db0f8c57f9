//! What members say to each other about a group: what they have, and requests to join.

use alloc::string::String;
use alloc::vec::Vec;

use crate::group::change::GroupChange;
use crate::group::clock::Clock;
use crate::group::joining::{Joining, MAX_COLLECTED, Wish};
use crate::group::keys::{SecretMessage, commitment};
use crate::group::log::OpLog;
use crate::group::one::{Group, Offered, Request, collect};
use crate::group::op::{Acceptance, Action, GroupKind, GroupRole, Invitation, Invitee, Operation};
use crate::group::wire::{BUNDLE_BYTES, Message, Refusal};
use crate::group::{Groups, JOINING, MAX_GROUPS, OPERATIONS, Out};
use crate::id::{GroupId, NodeId, OpId};
use crate::identity::{name_is_valid, node_id};
use crate::machine::{Cx, Outbox};
use crate::stats::DropReason;
use crate::wire::{Blob, MAX_MESSAGE, decode, encode};

/// Requests to join that wait, for each group: 64. Others get no answer, and ask again later.
const MAX_REQUESTS: usize = 64;

impl Groups {
    pub(super) fn message(&mut self, cx: &mut Cx<'_>, from: NodeId, bytes: &[u8], out: &mut Outbox<Out>) {
        let Ok(message) = decode::<Message>(bytes, MAX_MESSAGE) else { return self.drops.count(DropReason::Message) };
        match message {
            Message::State { group, hash, clock, answer, key } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.key_held(from, key);
                }
                self.state(cx, (from, group), (hash, &clock), answer, out);
            }
            Message::Ops { group, ops } => self.operations(cx, from, group, ops, out),
            Message::Join { group, acceptance, invitation, name } => {
                self.asked_to_join(cx, from, group, (acceptance, invitation, name), out);
            }
            Message::Refuse { group, reason } => self.refused(from, group, reason, out),
            // It is asked again now and then: another member may be the one who answers.
            Message::Wait { .. } => {}
            Message::Secret(Blob(bytes)) => self.secret(cx, from, &bytes, out),
            Message::Ask { group, epoch } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.give(from, epoch, out);
                }
            }
        }
    }

    /// `GroupStateRequest`: what the other lacks is sent, and with `answer` what this node lacks is asked for.
    fn state(
        &mut self,
        cx: &mut Cx<'_>,
        (from, id): (NodeId, GroupId),
        (hash, clock): ([u8; 32], &Clock),
        answer: bool,
        out: &mut Outbox<Out>,
    ) {
        // No node learns of a group that it is no member of, or whether there is one.
        let Some(group) = self.groups.get(&id) else { return self.follow(cx, from, id, out) };
        if group.ops.state_hash() == hash {
            return;
        }
        let gives: Vec<&Operation> = if group.is_member(from) {
            group.ops.beyond(clock)
        } else if let Some(gone) = group.state().gone(from) {
            // It learns that it is no member any more, and what led to that.
            group
                .ops
                .beyond(clock)
                .into_iter()
                .filter(|op| op.id == gone || group.ops.is_in_past(&op.id, &gone))
                .collect()
        } else {
            return self.drops.count(DropReason::Message);
        };
        let lacks = group.lacks(clock);
        give(id, gives, from, out);
        if answer && lacks && group.is_member(from) {
            group.say_state(from, false, out);
        }
    }

    /// An own device speaks of a group that is not here: its list has this device, so this one asks it for the group.
    fn follow(&mut self, cx: &mut Cx<'_>, from: NodeId, id: GroupId, out: &mut Outbox<Out>) {
        let is_asked = self.joining.get(&id).is_some_and(|joining| joining.via() == from);
        if is_asked || !self.is_own(from) || !self.has_room() {
            return self.drops.count(DropReason::Message);
        }
        let acceptance = Acceptance::sign(&self.identity, id, cx.rng.bytes(), None);
        let name = self.joining.get(&id).map_or_else(|| id.short(), |joining| joining.wish.name.clone());
        let wish = Wish { via: from, name, acceptance, invitation: None };
        out.put(JOINING, id.0.to_vec(), encode(&wish));
        let mut joining = Joining::new(wish, cx.now);
        joining.ask(id, self.identity.name(), cx, out);
        self.joining.insert(id, joining);
        self.want_links(out);
    }

    /// `GroupStateUpdate`: operations prove themselves, from any bringer.
    fn operations(&mut self, cx: &mut Cx<'_>, from: NodeId, id: GroupId, ops: Vec<Blob>, out: &mut Outbox<Out>) {
        if let Some(joining) = self.joining.get_mut(&id) {
            // Others could fill the place of what is waited for.
            if joining.via() != from {
                return self.drops.count(DropReason::Message);
            }
            for op in ops.iter().filter_map(|Blob(bytes)| Operation::decode(bytes).ok()) {
                if op.group == id && joining.operations.len() < MAX_COLLECTED {
                    joining.operations.insert(op.id, op);
                }
            }
            return self.join_if_added(cx, id, out);
        }
        let Some(group) = self.groups.get_mut(&id) else { return self.drops.count(DropReason::Message) };
        let (mut is_new, mut is_missing, mut is_bad) = (false, false, false);
        let is_of_member = group.is_member(from);
        for Blob(bytes) in ops {
            let Ok(op) = Operation::decode(&bytes) else {
                is_bad = true;
                continue;
            };
            match group.offer(op, is_of_member, out) {
                Offered::New => is_new = true,
                Offered::Missing => is_missing = true,
                Offered::Bad => is_bad = true,
                Offered::Known => {}
            }
        }
        if is_new {
            group.resolve();
        }
        if is_missing && group.is_member(from) {
            group.say_state(from, true, out);
        }
        if is_bad {
            self.drops.count(DropReason::Message);
        }
        if is_new {
            if let Some(group) = self.groups.get_mut(&id) {
                group.announce_later(cx);
            }
            self.changed(cx, id, out);
        }
    }

    /// After operations of a group.
    pub(super) fn changed(&mut self, cx: &mut Cx<'_>, id: GroupId, out: &mut Outbox<Out>) {
        let before: Vec<NodeId> = self.linked.iter().copied().collect();
        if let Some(group) = self.groups.get_mut(&id) {
            let known: Vec<NodeId> = group.devices_shown().collect();
            let early = group.early_secrets();
            for message in early {
                group.secret(&message, self.me, &self.linked, cx, out);
            }
            group.refresh(cx, self.me, out);
            for peer in before {
                if group.is_member(peer) && !known.contains(&peer) {
                    group.say_state(peer, true, out);
                }
            }
        }
        self.want_links(out);
        self.open_again(cx, out);
        self.follow_account(cx, id, out);
    }

    /// The operations that came say that this node is a member.
    fn join_if_added(&mut self, cx: &mut Cx<'_>, id: GroupId, out: &mut Outbox<Out>) {
        let Some(joining) = self.joining.get(&id) else { return };
        // To judge all of them anew with each that comes would cost minutes in a large group.
        let adds_itself = |op: &Operation| matches!(op.action, Action::Create { kind: GroupKind::Public, .. });
        let key = self.identity.public_key();
        let names_me = |op: &Operation| {
            let list = if let Action::Devices { chain, .. } = &op.action { chain.0.as_slice() } else { &[] };
            op.added() == Some(self.me) || list.windows(key.len()).any(|part| part == key)
        };
        if !joining.operations.values().any(|op| names_me(op) || adds_itself(op)) {
            return;
        }
        let Some(mut ops) = collect(id, joining.operations.values().cloned().collect()) else { return };
        let Some(state) = ops.state() else { return };
        let is_member = state.devices.contains_key(&self.me);
        if !is_member && state.kind == GroupKind::Public && !state.is_banned(self.me) {
            // Everybody adds themselves.
            let acceptance = joining.wish.acceptance;
            let base = OpId(id.0);
            let action = Action::Add {
                acceptance,
                role: GroupRole::Member,
                invitation: None,
                base,
                commitment: [0; 32],
                from: 0,
            };
            let Some(op) = sign(&self.identity, &ops, cx, action) else { return };
            ops.insert(op);
        } else if !is_member {
            return;
        }
        // Its row goes with the event.
        let Some(Joining { secrets, epochs, .. }) = self.joining.remove(&id) else { return };
        for op in ops.iter() {
            out.put(OPERATIONS, [id.0, op.id.0].concat(), op.bytes.clone());
        }
        let Some(mut group) = Group::new(id, ops, cx.now) else { return };
        group.take_epochs(&epochs, out);
        if let Some(before) = self.groups.remove(&id) {
            // It comes back: what it held is over, also on disk.
            before.epochs.iter().for_each(|epoch| group.wipe(epoch, out));
        }
        self.groups.insert(id, group);
        for (from, bytes) in secrets {
            self.secret(cx, from, &bytes, out);
        }
        self.changed(cx, id, out);
        let linked: Vec<NodeId> = self.linked.iter().copied().collect();
        if let Some(group) = self.groups.get_mut(&id) {
            for peer in linked {
                group.greet(cx, peer, self.me, out);
            }
        }
    }

    fn secret(&mut self, cx: &mut Cx<'_>, from: NodeId, bytes: &[u8], out: &mut Outbox<Out>) {
        let Ok(message) = SecretMessage::decode(bytes) else { return self.drops.count(DropReason::Message) };
        if let Some(joining) = self.joining.get_mut(&message.group) {
            if joining.via() == from && joining.secrets.len() < 4 {
                joining.secrets.push((from, bytes.to_vec()));
            }
            return;
        }
        let (me, id) = (self.me, message.group);
        let Some(group) = self.groups.get_mut(&id).filter(|g| g.is_member(from)) else {
            return self.drops.count(DropReason::Message);
        };
        if group.secret(&message, me, &self.linked, cx, out) {
            self.changed(cx, id, out);
        }
    }

    /// A node would like to join.
    fn asked_to_join(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        id: GroupId,
        (acceptance, invitation, name): (Acceptance, Option<Invitation>, String),
        out: &mut Outbox<Out>,
    ) {
        let me = self.me;
        let sound = node_id(&acceptance.key) == from && acceptance.is_genuine(id) && name_is_valid(&name);
        if sound && self.is_own(from) && self.groups.get(&id).is_some_and(|g| !g.is_member(me)) {
            // The person left meanwhile.
            return out
                .push(Out::Say { to: from, body: encode(&Message::Refuse { group: id, reason: Refusal::Asked }) });
        }
        let Some(group) = self.groups.get_mut(&id).filter(|g| sound && g.is_member(me)) else {
            // A node without an invitation does not learn whether there is such a group.
            return self.drops.count(DropReason::Message);
        };
        if (group.is_member(from) || group.state().kind == GroupKind::Public) && !group.answers(from, cx.now) {
            return self.drops.count(DropReason::Rate);
        }
        let state = group.state();
        if state.devices.contains_key(&from) {
            // It asks again: what it was sent is lost.
            give(id, group.ops.iter().collect(), from, out);
            if let Some(epoch) = group.usable {
                group.give(from, epoch, out);
            }
            return;
        }
        if state.kind == GroupKind::Public && !state.is_banned(from) {
            return give(id, group.ops.iter().collect(), from, out);
        }
        // A node that never was a member, and has no invitation by one, does not learn that the group exists.
        let was_member = |node: &NodeId| state.devices.contains_key(node) || state.gone(*node).is_some();
        let is_invited = |i: &Invitation| i.group == id && was_member(&i.signer()) && i.is_genuine();
        let knows = state.kind == GroupKind::Public || was_member(&from) || invitation.as_ref().is_some_and(is_invited);
        if !knows {
            return self.drops.count(DropReason::Message);
        }
        let verdict = match &invitation {
            _ if state.is_banned(from) => Err(Refusal::Banned),
            Some(invitation) if may_use(group, invitation, &acceptance, cx) => Ok(()),
            Some(_) | None => Err(Refusal::Invitation),
        };
        if let Err(reason) = verdict {
            return out.push(Out::Say { to: from, body: encode(&Message::Refuse { group: id, reason }) });
        }
        let is_for_bearer = invitation.as_ref().is_some_and(|i| matches!(i.invitee, Invitee::Bearer(_)));
        let asks = state.policy.approve && is_for_bearer;
        let (history, is_known) = (state.policy.history, group.requests.contains_key(&from));
        if !is_known && group.requests.len() >= MAX_REQUESTS {
            return self.drops.count(DropReason::Queue);
        }
        group.requests.insert(from, Request { acceptance, invitation, asks });
        if !asks {
            return out.push(Out::Where { group: id, member: from, history });
        }
        out.push(Out::Say { to: from, body: encode(&Message::Wait { group: id }) });
        if !is_known {
            out.push(Out::Changed { group: id, change: GroupChange::Asked { node: from, name } });
        }
    }

    /// A newcomer is added: it reads from this depth on.
    pub(super) fn admit(&mut self, cx: &mut Cx<'_>, id: GroupId, member: NodeId, from: u64, out: &mut Outbox<Out>) {
        if self.prepare(cx, id, out).is_err() {
            return;
        }
        let Some(group) = self.groups.get_mut(&id) else { return };
        let Some(Request { acceptance, invitation, .. }) = group.requests.remove(&member) else { return };
        let role = invitation.as_ref().map_or(GroupRole::Member, |i| i.role);
        let Some(base) = group.usable else { return };
        // Also who may grant the rank by its own word names the invitation: its uses are counted by that.
        // A PUBLIC group has no keys.
        let secret = group.epoch(base).and_then(|epoch| epoch.next_secret(acceptance.seed()));
        let commitment = secret.map_or([0; 32], |secret| commitment(&secret, id));
        let action = Action::Add { acceptance, role, invitation, base, commitment, from };
        let Some(op) = sign(&self.identity, &group.ops, cx, action) else {
            let refuse = Message::Refuse { group: id, reason: Refusal::Asked };
            return out.push(Out::Say { to: member, body: encode(&refuse) });
        };
        let added = op.id;
        self.push(cx, id, op, out);
        if let Some(group) = self.groups.get(&id) {
            give(id, group.ops.iter().collect(), member, out);
            group.hand_down(added, self.me, &self.linked, out);
        }
    }

    /// Takes an operation of this node, and sends it to the members that are linked.
    pub(super) fn push(&mut self, cx: &mut Cx<'_>, id: GroupId, op: Operation, out: &mut Outbox<Out>) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        // The member that it removes learns of it too.
        let mut to: Vec<NodeId> = self.linked.iter().copied().filter(|p| group.is_member(*p)).collect();
        let body = encode(&Message::Ops { group: id, ops: alloc::vec![Blob(op.bytes.clone())] });
        group.insert(op, out);
        to.extend(self.linked.iter().copied().filter(|p| group.is_member(*p)));
        to.sort_unstable();
        to.dedup();
        for peer in to {
            out.after_commit(Out::Say { to: peer, body: body.clone() });
        }
        self.changed(cx, id, out);
    }

    fn refused(&mut self, from: NodeId, id: GroupId, reason: Refusal, out: &mut Outbox<Out>) {
        if self.joining.get(&id).is_none_or(|j| j.via() != from) {
            return self.drops.count(DropReason::Message);
        }
        self.joining.remove(&id);
        out.delete(JOINING, id.0.to_vec());
        out.push(Out::Changed { group: id, change: GroupChange::Refused { reason } });
        self.want_links(out);
    }

    pub(super) fn has_room(&self) -> bool {
        self.groups.len().saturating_add(self.joining.len()) < MAX_GROUPS
    }
}

/// Whether an invitation is one that this node can add its bearer by. What the group decides is decided by the operation.
fn may_use(group: &Group, invitation: &Invitation, acceptance: &Acceptance, cx: &Cx<'_>) -> bool {
    let is_theirs = invitation.group == group.id && invitation.is_genuine() && acceptance.satisfies(invitation);
    let signer = group.role(invitation.signer());
    let is_able = signer.is_some_and(|rank| rank >= group.state().policy.invite && rank > invitation.role);
    is_theirs && is_able && invitation.expires >= cx.wall && group.uses(&invitation.nonce) < invitation.uses as usize
}

/// An operation of this node that follows all it has; none if it may not do that.
pub(super) fn sign(
    identity: &crate::identity::Identity,
    ops: &OpLog,
    cx: &Cx<'_>,
    action: Action,
) -> Option<Operation> {
    let place = ops.next_place(identity.node_id());
    let op = Operation::sign(identity, Some(ops.group()), place, cx.wall, action).ok()?;
    (ops.judge(&op) == crate::group::log::Verdict::Fits).then_some(op)
}

/// Sends operations in bundles.
fn give(group: GroupId, ops: Vec<&Operation>, to: NodeId, out: &mut Outbox<Out>) {
    let mut bundle: Vec<Blob> = Vec::new();
    let mut bytes = 0usize;
    for op in ops {
        if bytes.saturating_add(op.bytes.len()) > BUNDLE_BYTES && !bundle.is_empty() {
            let ops = core::mem::take(&mut bundle);
            out.after_commit(Out::Say { to, body: encode(&Message::Ops { group, ops }) });
            bytes = 0;
        }
        bytes = bytes.saturating_add(op.bytes.len());
        bundle.push(Blob(op.bytes.clone()));
    }
    if !bundle.is_empty() {
        out.after_commit(Out::Say { to, body: encode(&Message::Ops { group, ops: bundle }) });
    }
}
