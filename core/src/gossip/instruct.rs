//! Broadcasts where all members are known: the DONP document's spanning tree with forwarding instructions.
//!
//! The author divides the members among at most eight of them, its children, and names to each the members that
//! it has to serve. With up to eight members each gets a broadcast directly (the full mesh of
//! docs/design/broadcast.md §3), with 64 after two hops. An instruction also says which members it is for, its *scope*:
//! a neighbour that it is not for is offered the broadcast by each node that has it. A member that does not answer is a
//! leaf until it does.

use alloc::vec::Vec;
use core::ops::Bound;

use crate::collections::{OrderedMap, OrderedSet};
use crate::gossip::wire::{MAX_SILENT, MAX_TARGETS, Name, Scope};
use crate::id::{ID_LEN, NodeId};
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// Children of a node in an instructed tree (docs/design/broadcast.md §3).
const DEGREE: usize = 8;
/// A member that joined is in the roster of all others after this: 30 s, the time between two exchanges of whole
/// rosters (docs/design/failures.md §2).
pub(super) const SPREAD: Duration = Duration::from_secs(30);
/// Children are kept for this long, so that a run of broadcasts shares datagrams; then others have their turn: 1 s, what
/// counts as one burst (`peer.rs`).
const KEEP_CHILDREN: Duration = Duration::from_secs(1);
/// The claim of another member that one is silent counts for so long: 10 s, by when failure detection suspects it here
/// too (docs/design/failures.md §3).
const HEARSAY: Duration = Duration::from_secs(10);
/// A member that a message came from within this is not silent, whatever others claim.
const RECENT: Duration = Duration::from_secs(1);

/// How an instruction names a member.
pub(super) fn name_of(peer: NodeId) -> Name {
    peer.0.first_chunk::<4>().copied().unwrap_or_default()
}

/// A child and the members that it has to serve.
pub(super) type Child = (NodeId, Vec<NodeId>);

/// How an own broadcast goes out.
#[derive(Clone)]
pub(super) struct Plan {
    pub scope: Scope,
    pub children: Vec<Child>,
}

/// Why a member is not given others to serve.
#[derive(Clone, Copy)]
enum Silence {
    /// It does not answer this node, or failure detection suspects it.
    Observed,
    /// Another member says so; until then.
    Claimed(Instant),
}

/// The members of the zone, as long as they are few, and the links to them.
#[derive(Default)]
pub(super) struct InstructedTree {
    /// All others, each with the time since which it is known; none if they are not known or too many.
    members: Option<OrderedMap<NodeId, Instant>>,
    linked: OrderedMap<NodeId, Instant>,
    /// Linked members of low power: they serve no others.
    /// INVARIANT: of linked peers only.
    low_power: OrderedSet<NodeId>,
    silent: OrderedMap<NodeId, Silence>,
    /// Members without a link that no other member could serve, and when that was found.
    unserved: OrderedMap<NodeId, Instant>,
    /// The plan of the last own broadcast, as long as it holds.
    kept: Option<(Instant, Plan)>,
}

impl InstructedTree {
    /// Whether broadcasts go by instruction.
    pub(super) fn is_active(&self) -> bool {
        self.members.as_ref().is_some_and(|m| !m.is_empty())
    }

    pub(super) fn set_members(&mut self, members: Option<&[NodeId]>, now: Instant) {
        let before = self.members.take().unwrap_or_default();
        let since = |peer: &NodeId| before.get(peer).copied().unwrap_or(now);
        let few = members.filter(|m| m.len() <= MAX_TARGETS);
        self.members = few.map(|m| m.iter().map(|peer| (*peer, since(peer))).collect());
        self.unserved.clear();
        self.kept = None;
    }

    pub(super) fn link_up(&mut self, peer: NodeId, is_low_power: bool, now: Instant) {
        self.linked.insert(peer, now);
        match is_low_power {
            true => self.low_power.insert(peer),
            false => self.low_power.remove(&peer),
        };
        self.unserved.clear();
        self.answered(peer);
        self.kept = None;
    }

    pub(super) fn link_down(&mut self, peer: NodeId) {
        self.linked.remove(&peer);
        self.low_power.remove(&peer);
        self.silent.remove(&peer);
        self.kept = None;
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        match self.low_power.iter().all(|peer| self.linked.contains_key(peer)) {
            true => Ok(()),
            false => Err("a member of low power has no link"),
        }
    }

    /// Whether this node has had a link for so short that others may not know it.
    pub(super) fn is_new_here(&self, now: Instant) -> bool {
        self.linked.values().min().is_none_or(|first| now.since(*first) < SPREAD)
    }

    pub(super) fn is_low_power(&self, peer: NodeId) -> bool {
        self.low_power.contains(&peer)
    }

    /// Whether a linked member may be given others to serve: it answers, and is not one of low power, unless all are.
    fn may_serve(&self, peer: NodeId) -> bool {
        let is_leaf = self.low_power.contains(&peer) && self.low_power.len() < self.linked.len();
        !self.silent.contains_key(&peer) && !is_leaf
    }

    pub(super) fn is_linked(&self, peer: NodeId) -> bool {
        self.linked.contains_key(&peer)
    }

    pub(super) fn contains(&self, peer: NodeId) -> bool {
        self.members.as_ref().is_some_and(|m| m.contains_key(&peer))
    }

    /// Members with a link.
    pub(super) fn linked_members(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.linked.keys().copied().filter(|p| self.contains(*p))
    }

    /// Whether `peer` became a member so recently that an author may not know it.
    pub(super) fn is_new(&self, peer: NodeId, now: Instant) -> bool {
        self.members.as_ref().and_then(|m| m.get(&peer)).is_some_and(|since| now.since(*since) < SPREAD)
    }

    /// The members that a name stands for: more than one only if ids collide in their first bytes.
    pub(super) fn named(&self, name: Name) -> impl Iterator<Item = NodeId> + '_ {
        let bound = |fill: u8| {
            let mut id = [fill; ID_LEN];
            if let Some(first) = id.first_chunk_mut::<4>() {
                *first = name;
            }
            NodeId(id)
        };
        let range = (Bound::Included(bound(0)), Bound::Included(bound(u8::MAX)));
        self.members.iter().flat_map(move |m| m.range(range)).map(|(id, _)| *id)
    }

    /// The next linked member that answers, in the order of ids, which is a ring.
    pub(super) fn successor(&self, me: NodeId) -> Option<NodeId> {
        let after = self.linked.range((Bound::Excluded(me), Bound::Unbounded)).chain(self.linked.range(..me));
        after.map(|(id, _)| *id).find(|p| self.contains(*p) && self.may_serve(*p))
    }

    /// `peer` does not answer.
    pub(super) fn observed_silent(&mut self, peer: NodeId) {
        if self.contains(peer) {
            self.silent.insert(peer, Silence::Observed);
            self.kept = None;
        }
    }

    /// A message of `peer` came, or failure detection has it alive.
    pub(super) fn answered(&mut self, peer: NodeId) {
        if self.silent.remove(&peer).is_some() {
            self.kept = None;
        }
    }

    /// Another member claims that these do not answer; `received` says when the last message of one came.
    pub(super) fn claimed_silent(
        &mut self,
        names: &[Name],
        received: impl Fn(NodeId) -> Option<Instant>,
        now: Instant,
    ) {
        let named: Vec<NodeId> = names.iter().flat_map(|name| self.named(*name)).collect();
        for peer in named {
            if received(peer).is_some_and(|at| now.since(at) < RECENT) {
                continue;
            }
            let silence = self.silent.entry(peer).or_insert(Silence::Claimed(now));
            if let Silence::Claimed(until) = silence {
                *until = now + HEARSAY;
            }
            self.kept = None;
        }
    }

    /// The members that this node itself found silent, for others.
    pub(super) fn silent_names(&self) -> Vec<Name> {
        let observed = self.silent.iter().filter(|(_, s)| matches!(s, Silence::Observed));
        observed.map(|(id, _)| name_of(*id)).take(MAX_SILENT).collect()
    }

    #[cfg(test)]
    pub(super) fn is_silent(&self, peer: NodeId) -> bool {
        self.silent.contains_key(&peer)
    }

    fn forget_claims(&mut self, now: Instant) {
        let members = &self.members;
        self.silent.retain(|id, silence| {
            let lasts = !matches!(silence, Silence::Claimed(until) if *until <= now);
            lasts && members.as_ref().is_some_and(|m| m.contains_key(id))
        });
    }

    /// No other member could serve `peer`, to which there is no link.
    pub(super) fn give_up(&mut self, peer: NodeId, now: Instant) {
        self.unserved.insert(peer, now);
        self.kept = None;
    }

    pub(super) fn len(&self) -> usize {
        [
            self.low_power.len(),
            self.linked.len(),
            self.members.as_ref().map_or(0, OrderedMap::len),
            self.silent.len(),
            self.unserved.len(),
        ]
        .into_iter()
        .fold(0, usize::saturating_add)
    }

    /// How an own broadcast goes out: whom it is for, and the children. It is for all linked members, and for those
    /// without a link that are long known: a member has a link to them. Neighbours of the others bring it to them.
    pub(super) fn plan(&mut self, me: NodeId, now: Instant, rng: &mut Rng) -> Plan {
        if let Some((_, plan)) = self.kept.as_ref().filter(|(until, _)| *until > now) {
            return plan.clone();
        }
        self.forget_claims(now);
        self.unserved.retain(|_, since| now.since(*since) < SPREAD);
        let (mut near, mut far, mut all) = (Vec::new(), Vec::new(), true);
        for (&peer, since) in self.members.iter().flatten() {
            let new = now.since(*since) < SPREAD;
            if self.linked.contains_key(&peer) {
                near.push(peer);
            } else if !new && !self.unserved.contains_key(&peer) {
                far.push(peer);
            } else {
                all = false;
            }
            all &= !new;
        }
        let scope = match all {
            true => Scope::All,
            false => Scope::Only([me].iter().chain(&near).chain(&far).copied().map(name_of).collect()),
        };
        let plan = Plan { scope, children: self.divide(near, far, rng) };
        self.kept = Some((now + KEEP_CHILDREN, plan.clone()));
        plan
    }

    /// Divides members among at most [`DEGREE`] of those that have a link, `near`, and answer. Empty if there is none.
    pub(super) fn divide(&self, near: Vec<NodeId>, far: Vec<NodeId>, rng: &mut Rng) -> Vec<Child> {
        let (mut able, mut silent): (Vec<_>, Vec<_>) = near.into_iter().partition(|p| self.may_serve(*p));
        let mut children: Vec<Child> = Vec::new();
        while children.len() < DEGREE && !able.is_empty() {
            children.push((able.swap_remove(rng.below(able.len())), Vec::new()));
        }
        let count = children.len();
        if count == 0 {
            // None that answers has a link: each gets it directly, whether it answers or not.
            return silent.into_iter().map(|p| (p, Vec::new())).collect();
        }
        // One that is silent is a leaf; directly, if a full mesh would be.
        let free = DEGREE.saturating_sub(count);
        let leaves: Vec<Child> = silent.drain(..free.min(silent.len())).map(|p| (p, Vec::new())).collect();
        for (at, target) in able.into_iter().chain(silent).chain(far).enumerate() {
            if let Some((_, part)) = at.checked_rem(count).and_then(|child| children.get_mut(child)) {
                part.push(target);
            }
        }
        children.extend(leaves);
        children
    }

    /// A linked member that answers and was not `tried`, to serve one without a link.
    pub(super) fn helper(&self, tried: &[NodeId], rng: &mut Rng) -> Option<NodeId> {
        let may = |p: &NodeId| self.may_serve(*p) && !tried.contains(p);
        let all: Vec<NodeId> = self.linked_members().filter(may).collect();
        rng.pick(&all).copied()
    }
}

impl Scope {
    /// Whether it names `peer`; all members of long standing are in [`Scope::All`].
    pub(super) fn covers(&self, peer: NodeId) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(&name_of(peer)),
        }
    }
}
