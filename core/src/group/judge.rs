//! Whether an operation may be done, by its own past alone (docs/design/groups.md §2).

use crate::group::entries::{ABOVE, Authority, Entries, OWNER, Proof, level, makes_epoch};
use crate::group::op::{Acceptance, Action, GroupKind, GroupRole, Invitation, Invitee, MAX_USES, NewEpoch, Operation};
use crate::group::past::Past;
use crate::group::state::State;
use crate::id::{NodeId, OpId};
use crate::shared::Arc;
use crate::wire::Blob;
use crate::wire::devices::Chain;

/// Devices of all members: 10,000, as many as the longest operation names in the order of an epoch.
const MAX_DEVICES: usize = 10_000;
/// Lists of one member under one addition: 64, so that a guest cannot fill the log. A phone that is replaced every year adds
/// two.
const MAX_LISTS: usize = 64;

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
        let me = self.state.member_of(op.author)?;
        let may = match &op.action {
            Action::Create { .. } | Action::Add { .. } => false,
            Action::SetRole { member, role } => own >= GroupRole::Admin && self.is_below(*member, own) && *role < own,
            Action::Remove { members, ban, epoch } => self.may_remove(own, members, *ban, epoch.as_ref()),
            Action::Unban { member } => own >= GroupRole::Admin && self.state.banned.contains(member),
            Action::Leave => own < GroupRole::Owner || self.state.members.len() == 1,
            Action::Transfer { to } => own == GroupRole::Owner && *to != me && self.state.members.contains_key(to),
            Action::Describe { .. } => own >= self.state.policy.describe,
            Action::SetPolicy { .. } => own == GroupRole::Owner,
            Action::Pin { message, pinned } => {
                own >= self.state.policy.pin && self.state.pins.contains(message) != *pinned
            }
            Action::Epoch(epoch) => self.state.may_post(op.author) && self.may_make(epoch, self.state),
            Action::ForkProof { one, other } => return self.proof(own, one, other),
            Action::Devices { chain, epoch } => return self.list(own, chain, epoch.as_ref()),
        };
        let ranked: &[NodeId] = match &op.action {
            Action::SetRole { member, .. } => &[*member],
            Action::Transfer { to } => &[*to, me],
            Action::Create { .. }
            | Action::Add { .. }
            | Action::Remove { .. }
            | Action::Unban { .. }
            | Action::Leave
            | Action::Describe { .. }
            | Action::SetPolicy { .. }
            | Action::Epoch(_)
            | Action::ForkProof { .. }
            | Action::Devices { .. }
            | Action::Pin { .. } => &[],
        };
        let stints = ranked.iter().filter_map(|node| Some((*node, self.state.members.get(node)?.stint))).collect();
        may.then(|| self.by(op.author, own)).flatten().map(|by| Authority { stints, ..by })
    }

    /// The word of a device of a member, in an operation of an author with the rank `own`.
    fn by(&self, device: NodeId, own: GroupRole) -> Option<Authority> {
        let node = self.state.member_of(device)?;
        let member = self.state.members.get(&node)?;
        let under = Some((member.stint, self.state.lists.get(&member.stint).map(|list| Arc::clone(&list.chain))));
        let author = self.state.member_of(self.op.author).unwrap_or(self.op.author);
        Some(Authority { node, under, member: author, ..Authority::own(device, level(member.role), level(own)) })
    }

    /// Whether `node` is a member of a lower rank.
    fn is_below(&self, node: NodeId, rank: GroupRole) -> bool {
        self.state.members.get(&node).is_some_and(|member| member.role < rank)
    }

    /// A list is good if it is of the account with which its member came, names its author, and stands instead of the one
    /// before.
    fn list(&self, own: GroupRole, chain: &Blob, epoch: Option<&NewEpoch>) -> Option<Authority> {
        let by = self.by(self.op.author, own)?;
        let (stint, known) = by.under.clone()?;
        let account = self.state.members.get(&by.node)?.account;
        let count = self.all.lists().filter(|(at, _, of, _)| *of == stint && self.past.contains(*at)).count();
        if count >= MAX_LISTS {
            return None;
        }
        let chain = Arc::new(Chain::decode(&chain.0, known.as_deref()).ok()?);
        let is_newer = known.is_none_or(|known| chain.rank(&known).is_gt());
        if chain.keys().id() != account || !chain.has(self.op.author) || !is_newer {
            return None;
        }
        let after = self.state.with(self.op, Some(&chain))?;
        let has_room = after.devices.len() <= MAX_DEVICES.max(self.state.devices.len());
        let may = has_room && epoch.is_none_or(|epoch| self.may_make(epoch, &after));
        may.then_some(Authority { rank: ABOVE, list: Some(chain), ..by })
    }

    fn may_remove(&self, own: GroupRole, members: &[NodeId], ban: bool, epoch: Option<&NewEpoch>) -> bool {
        let least = if ban { GroupRole::Admin } else { GroupRole::Moderator };
        // A node that is not a member can be banned, once.
        let touches = |node: &NodeId| match self.state.members.get(node) {
            Some(member) => member.role < own,
            None => ban && !self.state.banned.contains(node),
        };
        let makes = |epoch| self.state.with(self.op, None).is_some_and(|after| self.may_make(epoch, &after));
        own >= least && members.iter().all(touches) && epoch.is_none_or(makes)
    }

    /// Whether an epoch names all devices of members afterwards, without its author, each once. A PUBLIC group has no
    /// secrets.
    fn may_make(&self, epoch: &NewEpoch, after: &State) -> bool {
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
        let is_known = state.members.contains_key(&joins) || state.devices.contains_key(&joins);
        let is_free = !is_known && !state.is_banned(joins);
        if !is_base || !is_free || self.all.is_used(acceptance, self.past) || !acceptance.is_genuine(op.group) {
            return None;
        }
        let may_grant = |by: GroupRole| by >= state.policy.invite && by > role;
        match (own, invitation) {
            // Everybody adds themselves.
            (None, None) if joins == op.author => {
                let may = state.kind == GroupKind::Public && role <= GroupRole::Member;
                may.then(|| Authority::own(joins, level(role), 0))
            }
            (Some(own), None) => may_grant(own).then(|| self.by(op.author, own)).flatten(),
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
                    .and_then(|_| self.by(invitation.signer(), own))
            }
            (None, None | Some(_)) => None,
        }
    }

    /// A proof is good if it shows two operations of another author under one number, and no earlier proof did.
    fn proof(&self, own: GroupRole, one: &[u8], other: &[u8]) -> Option<Authority> {
        let (one, other) = (Operation::decode(one).ok()?, Operation::decode(other).ok()?);
        let (device, seq) = (one.author, one.seq);
        let is_fork = (one.group, device, seq) == (other.group, other.author, other.seq)
            && one.id < other.id
            && one.group == self.op.group
            && device != self.op.author;
        let member = self.state.member_of(device).unwrap_or(device);
        let is_same = |p: &Proof| p.device == device && p.member == member && p.seq <= seq;
        let mut before = self.all.proofs().filter(|(at, proof)| is_same(proof) && self.past.contains(*at));
        let is_known = seq <= self.all.known_forks(device, self.past) && before.next().is_some();
        let by = self.by(self.op.author, own).filter(|_| is_fork && !is_known)?;
        Some(Authority { rank: ABOVE, proof: Some(Proof { device, seq, member }), ..by })
    }
}

/// The authority of the first operation.
pub(crate) fn of_creation(op: &Operation) -> Authority {
    Authority::own(op.author, OWNER, OWNER)
}
