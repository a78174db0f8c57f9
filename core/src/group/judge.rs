//! Whether an operation may be done, by its own past alone (docs/design/groups.md §2).

use alloc::vec::Vec;

use crate::group::entries::{ABOVE, Authority, Entries, OWNER, level, makes_epoch};
use crate::group::op::{Acceptance, Action, GroupKind, GroupRole, Invitation, Invitee, MAX_USES, NewEpoch, Operation};
use crate::group::past::Past;
use crate::group::state::State;
use crate::id::{NodeId, OpId};

/// An operation before it is judged: what it does, in which past, and what the group was there.
pub(crate) struct Case<'a> {
    pub(crate) all: &'a Entries,
    pub(crate) past: &'a Past,
    pub(crate) state: &'a State,
    pub(crate) op: &'a Operation,
}

impl Case<'_> {
    /// Whose word the operation is; none if it may not be done.
    pub(crate) fn authority(&self) -> Option<Authority> {
        let op = self.op;
        let is_over = self.state.expires.is_some_and(|end| op.wall > end);
        if is_over || self.state.members.is_empty() {
            return None;
        }
        let own = self.state.role(op.author);
        if let Action::Add { acceptance, role, invitation, base, .. } = &op.action {
            return self.addition(own, acceptance, *role, invitation.as_ref(), base);
        }
        let own = own?;
        let may = match &op.action {
            Action::Create { .. } | Action::Add { .. } => false,
            Action::SetRole { member, role } => own >= GroupRole::Admin && self.is_below(*member, own) && *role < own,
            Action::Remove { members, ban, epoch } => self.may_remove(own, members, *ban, epoch.as_ref()),
            Action::Unban { member } => own >= GroupRole::Admin && self.state.banned.contains(member),
            Action::Leave => own < GroupRole::Owner || self.state.members.len() == 1,
            Action::Transfer { to } => {
                own == GroupRole::Owner && *to != op.author && self.state.members.contains_key(to)
            }
            Action::Describe { .. } => own >= self.state.policy.describe,
            Action::SetPolicy { .. } => own == GroupRole::Owner,
            Action::Pin { message, pinned } => {
                own >= self.state.policy.pin && self.state.pins.contains(message) != *pinned
            }
            Action::Epoch(epoch) => self.state.may_post(op.author) && self.may_make(epoch),
            Action::ForkProof { one, other } => return self.proof(own, one, other),
        };
        let ranked: &[NodeId] = match &op.action {
            Action::SetRole { member, .. } => &[*member],
            Action::Transfer { to } => &[*to, op.author],
            Action::Create { .. }
            | Action::Add { .. }
            | Action::Remove { .. }
            | Action::Unban { .. }
            | Action::Leave
            | Action::Describe { .. }
            | Action::SetPolicy { .. }
            | Action::Epoch(_)
            | Action::ForkProof { .. }
            | Action::Pin { .. } => &[],
        };
        let stints = ranked.iter().filter_map(|node| Some((*node, self.state.members.get(node)?.stint))).collect();
        may.then_some(Authority { node: op.author, rank: level(own), own: level(own), stints, proof: None })
    }

    /// Whether `node` is a member of a lower rank.
    fn is_below(&self, node: NodeId, rank: GroupRole) -> bool {
        self.state.role(node).is_some_and(|role| role < rank)
    }

    fn may_remove(&self, own: GroupRole, members: &[NodeId], ban: bool, epoch: Option<&NewEpoch>) -> bool {
        let least = if ban { GroupRole::Admin } else { GroupRole::Moderator };
        // A node that is not a member can be banned, once.
        let touches = |node: &NodeId| match self.state.role(*node) {
            Some(role) => role < own,
            None => ban && !self.state.banned.contains(node),
        };
        own >= least && members.iter().all(touches) && epoch.is_none_or(|epoch| self.may_make(epoch))
    }

    /// Whether an epoch names all who are members afterwards, without its author, each once. A PUBLIC group has no
    /// secrets.
    fn may_make(&self, epoch: &NewEpoch) -> bool {
        let Some(after) = self.state.with(self.op) else { return false };
        let nodes = after.nodes();
        let mut order = epoch.order.clone();
        order.sort_unstable();
        let others = nodes.iter().enumerate().filter(|(_, node)| **node != self.op.author);
        self.state.kind != GroupKind::Public && others.map(|(n, _)| n).eq(order.into_iter().map(usize::from))
    }

    fn addition(
        &self,
        own: Option<GroupRole>,
        acceptance: &Acceptance,
        role: GroupRole,
        invitation: Option<&Invitation>,
        base: &OpId,
    ) -> Option<Authority> {
        let (op, state) = (self.op, self.state);
        let joins = op.added()?;
        let base_place = self.all.place(base).filter(|at| self.past.contains(*at))?;
        let base = &self.all.get(base_place)?.op.action;
        let is_base = match state.kind {
            GroupKind::Public => matches!(base, Action::Create { .. }),
            GroupKind::Private | GroupKind::Secret | GroupKind::Temporary => makes_epoch(base),
        };
        let is_free = !state.members.contains_key(&joins) && !state.banned.contains(&joins);
        if !is_base || !is_free || self.all.is_used(acceptance, self.past) || !acceptance.is_genuine(op.group) {
            return None;
        }
        let by = |node, rank| Authority { node, rank, own: own.map_or(0, level), stints: Vec::new(), proof: None };
        let may_grant = |by: GroupRole| by >= state.policy.invite && by > role;
        match (own, invitation) {
            // Everybody adds themselves.
            (None, None) if joins == op.author => {
                (state.kind == GroupKind::Public && role <= GroupRole::Member).then(|| by(joins, level(role)))
            }
            (Some(own), None) => may_grant(own).then(|| by(op.author, level(own))),
            (Some(own), Some(invitation)) => {
                let signer = state.role(invitation.signer())?;
                let waits = state.policy.approve && matches!(invitation.invitee, Invitee::Bearer(_));
                let may_bring = own >= GroupRole::Member && (!waits || own >= state.policy.invite);
                let left = self.all.uses(invitation, self.past) < usize::try_from(invitation.uses).unwrap_or(0);
                let is_good = invitation.group == op.group
                    && invitation.role == role
                    && invitation.uses <= MAX_USES
                    && op.wall <= invitation.expires;
                (may_bring && left && is_good && may_grant(signer))
                    .then(|| invitation.is_genuine() && acceptance.satisfies(invitation))
                    .filter(|is_signed| *is_signed)
                    .map(|_| by(invitation.signer(), level(signer)))
            }
            (None, None | Some(_)) => None,
        }
    }

    /// A proof is good if it shows two operations of another author under one number, and no earlier proof did.
    fn proof(&self, own: GroupRole, one: &[u8], other: &[u8]) -> Option<Authority> {
        let (one, other) = (Operation::decode(one).ok()?, Operation::decode(other).ok()?);
        let (node, seq) = (one.author, one.seq);
        let is_fork = (one.group, node, seq) == (other.group, other.author, other.seq)
            && one.id < other.id
            && one.group == self.op.group
            && node != self.op.author;
        let mut before =
            self.all.proofs().filter(|(at, whose, from)| *whose == node && *from <= seq && self.past.contains(*at));
        let is_known = seq <= self.all.known_forks(node, self.past) && before.next().is_some();
        (is_fork && !is_known).then(|| Authority {
            node: self.op.author,
            rank: ABOVE,
            own: level(own),
            stints: Vec::new(),
            proof: Some((node, seq)),
        })
    }
}

/// The authority of the first operation.
pub(crate) fn of_creation(op: &Operation) -> Authority {
    Authority { node: op.author, rank: OWNER, own: OWNER, stints: Vec::new(), proof: None }
}
