//! The operations of a log with what was found out when each was taken: its past, and the rank that speaks in it
//! (docs/design/groups.md §3).

use alloc::vec::Vec;

use crate::collections::OrderedMap;
use crate::group::op::{Acceptance, Action, GroupRole, Invitation, Operation};
use crate::group::past::Past;
use crate::id::{NodeId, OpId};
use crate::shared::Arc;
use crate::wire::devices::Chain;

/// A rank as a number: GUEST is 1, OWNER 5. 0 is no member.
pub(crate) const fn level(role: GroupRole) -> u8 {
    match role {
        GroupRole::Guest => 1,
        GroupRole::Member => 2,
        GroupRole::Moderator => 3,
        GroupRole::Admin => 4,
        GroupRole::Owner => 5,
    }
}

/// The rank with a number.
pub(crate) const fn role(level: u8) -> Option<GroupRole> {
    match level {
        0 => None,
        1 => Some(GroupRole::Guest),
        2 => Some(GroupRole::Member),
        3 => Some(GroupRole::Moderator),
        4 => Some(GroupRole::Admin),
        _ => Some(GroupRole::Owner),
    }
}

/// OWNER as a number.
pub(crate) const OWNER: u8 = level(GroupRole::Owner);
/// Above every rank: leaving, which only an operation that knew of it undoes, proofs of forks, and lists of devices.
pub(crate) const ABOVE: u8 = OWNER + 1;

/// Whose word an operation is, in its own past: for good.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    /// The member whose device signed it, or the invitation that it carries.
    pub(crate) node: NodeId,
    /// That device.
    pub(crate) device: NodeId,
    /// The list that made it one, and the stint of `node`. None if `node` is no member before.
    pub(crate) under: Option<(OpId, Option<Arc<Chain>>)>,
    /// The member whose device its author is.
    pub(crate) member: NodeId,
    /// The rank of `node`. [`ABOVE`] for the proof of a fork and for a list of devices. A node that adds itself to a PUBLIC
    /// group speaks with the rank that it gets.
    pub(crate) rank: u8,
    /// The rank of the author.
    pub(crate) own: u8,
    /// The stints of the members that it ranks.
    pub(crate) stints: Vec<(NodeId, OpId)>,
    pub(crate) proof: Option<Proof>,
    /// The list that it carries.
    pub(crate) list: Option<Arc<Chain>>,
}

/// What the proof of a fork shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    /// Which device forked.
    pub(crate) device: NodeId,
    /// From which number on.
    pub(crate) seq: u64,
    /// The member whose device it is in the past of the proof; the device itself if it is of none.
    pub(crate) member: NodeId,
}

impl Authority {
    /// That of a node that speaks for itself, with this rank.
    pub(crate) fn own(node: NodeId, rank: u8, own: u8) -> Self {
        let (under, stints, proof, list) = (None, Vec::new(), None, None);
        Self { node, device: node, under, member: node, rank, own, stints, proof, list }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) op: Operation,
    pub(crate) past: Past,
    pub(crate) by: Authority,
}

impl Entry {
    /// Whether an OWNER made it by its own authority: such operations form one line.
    pub(crate) fn is_of_owner(&self) -> bool {
        self.by.own == OWNER && self.by.node == self.by.member && !self.is_above()
    }

    /// Whether no rank voids it: the proof of a fork, or a list of devices.
    pub(crate) const fn is_above(&self) -> bool {
        self.by.proof.is_some() || self.by.list.is_some()
    }

    /// Whether its author added itself to a PUBLIC group.
    pub(crate) fn adds_author(&self) -> bool {
        self.op.added() == Some(self.op.author)
    }
}

/// All of them. A place is the number of an operation in the order in which they were taken; it is after those of its
/// past.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    list: Vec<Entry>,
    places: OrderedMap<OpId, usize>,
    /// By (lamport, id): a topological order, equal wherever the same operations are.
    order: OrderedMap<(u64, OpId), usize>,
    /// Of each author, by (number, id).
    authors: OrderedMap<NodeId, OrderedMap<(u64, OpId), usize>>,
    proofs: Vec<usize>,
    /// Lists of devices.
    lists: Vec<usize>,
    /// Additions by the number of the consent, and by that of the invitation.
    consents: OrderedMap<[u8; 16], Vec<usize>>,
    invitations: OrderedMap<[u8; 16], Vec<usize>>,
}

impl Entries {
    pub(crate) fn push(&mut self, entry: Entry) -> usize {
        let at = self.list.len();
        let Operation { id, lamport, author, seq, .. } = entry.op;
        self.places.insert(id, at);
        self.order.insert((lamport, id), at);
        self.authors.entry(author).or_default().insert((seq, id), at);
        if entry.by.proof.is_some() {
            self.proofs.push(at);
        }
        if entry.by.list.is_some() {
            self.lists.push(at);
        }
        if let Action::Add { acceptance, invitation, .. } = &entry.op.action {
            self.consents.entry(acceptance.nonce).or_default().push(at);
            if let Some(invitation) = invitation {
                self.invitations.entry(invitation.nonce).or_default().push(at);
            }
        }
        self.list.push(entry);
        at
    }

    /// Whether a consent was used in a past.
    pub(crate) fn is_used(&self, acceptance: &Acceptance, past: &Past) -> bool {
        self.consents.get(&acceptance.nonce).is_some_and(|places| places.iter().any(|at| past.contains(*at)))
    }

    /// How often an invitation was used in a past.
    pub(crate) fn uses(&self, invitation: &Invitation, past: &Past) -> usize {
        let same = |at: &&usize| match self.get(**at).map(|entry| &entry.op.action) {
            Some(Action::Add { invitation: Some(other), .. }) => other.key == invitation.key,
            Some(_) | None => false,
        };
        let places = self.invitations.get(&invitation.nonce).into_iter().flatten();
        places.filter(|at| past.contains(**at)).filter(same).count()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn get(&self, at: usize) -> Option<&Entry> {
        self.list.get(at)
    }

    pub(crate) fn place(&self, id: &OpId) -> Option<usize> {
        self.places.get(id).copied()
    }

    pub(crate) fn by_id(&self, id: &OpId) -> Option<&Entry> {
        self.get(self.place(id)?)
    }

    /// The ids in their order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &OpId> {
        self.places.keys()
    }

    /// Places and operations by (lamport, id).
    pub(crate) fn in_order(&self) -> impl DoubleEndedIterator<Item = (usize, &Entry)> {
        self.order.values().filter_map(|at| Some((*at, self.get(*at)?)))
    }

    #[cfg(any(test, fuzzing, feature = "fuzzing"))]
    pub(crate) fn last(&self) -> Option<&Entry> {
        self.order.last_key_value().and_then(|(_, at)| self.get(*at))
    }

    /// Every author with its operations, by (number, id).
    pub(crate) fn by_author(&self) -> impl Iterator<Item = (NodeId, &OrderedMap<(u64, OpId), usize>)> {
        self.authors.iter().map(|(author, own)| (*author, own))
    }

    /// The operations of one author, by (number, id).
    pub(crate) fn of(&self, author: NodeId) -> impl DoubleEndedIterator<Item = (usize, &Entry)> {
        let own = self.authors.get(&author).into_iter().flat_map(OrderedMap::values);
        own.filter_map(|at| Some((*at, self.get(*at)?)))
    }

    /// The largest number of an author in a past.
    pub(crate) fn last_number(&self, author: NodeId, past: &Past) -> u64 {
        self.of(author).rev().find(|(at, _)| past.contains(*at)).map_or(0, |(_, entry)| entry.op.seq)
    }

    /// The proofs of forks with their places.
    pub(crate) fn proofs(&self) -> impl Iterator<Item = (usize, Proof)> {
        self.proofs.iter().filter_map(|at| Some((*at, self.get(*at)?.by.proof?)))
    }

    /// The lists of devices: place, entry, the stint for which it is, and the list.
    pub(crate) fn lists(&self) -> impl Iterator<Item = (usize, &Entry, OpId, &Arc<Chain>)> {
        self.lists.iter().filter_map(|at| {
            let entry = self.get(*at)?;
            Some((*at, entry, entry.by.under.as_ref()?.0, entry.by.list.as_ref()?))
        })
    }

    /// Up to which number the forks of `node` are known to a node that knows this past: 0 without a proof. With one,
    /// all numbers that it has seen are.
    ///
    /// So a proof of what is known already, in other words or brought again, does no harm to a forgiven node.
    pub(crate) fn known_forks(&self, node: NodeId, past: &Past) -> u64 {
        let seen = self.proofs().filter(|(at, proof)| proof.device == node && past.contains(*at));
        seen.map(|(_, proof)| proof.seq).max().map_or(0, |seq| seq.max(self.last_number(node, past)))
    }
}

/// Whether an operation made an epoch, so that an addition may follow on it.
pub(crate) const fn makes_epoch(action: &Action) -> bool {
    match action {
        Action::Create { .. } | Action::Add { .. } | Action::Epoch(_) => true,
        Action::Remove { epoch, .. } | Action::Devices { epoch, .. } => epoch.is_some(),
        Action::SetRole { .. }
        | Action::Unban { .. }
        | Action::Leave
        | Action::Transfer { .. }
        | Action::Describe { .. }
        | Action::SetPolicy { .. }
        | Action::ForkProof { .. }
        | Action::Pin { .. } => false,
    }
}
