//! Groups without a server (docs/design/groups.md): a log of signed operations that decides who is a member, and
//! epochs of keys that only members hold.
//!
//! What members say is an author log of the chat machine. This machine decides which nodes read it and under which
//! operations it is valid, seals each run once for the epoch and hands it to the members it is linked with; a member
//! that is linked with none catches up from any member, through the session of the two.

mod carry;
mod change;
pub(crate) mod clock;
mod commands;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub(crate) mod contract;
mod entries;
mod exchange;
mod failures;
mod hand;
mod joining;
mod judge;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod one;
pub(crate) mod op;
mod past;
mod pool;
mod resolve;
pub(crate) mod state;
pub(crate) mod ticket;
pub(crate) mod wire;

use alloc::vec::Vec;

use crate::collections::{OrderedMap, OrderedSet};
use crate::config::{Config, Power};
use crate::fact::Fact;
use crate::group::failures::Failures;
use crate::group::joining::Joining;
use crate::group::one::Group;
use crate::group::op::GroupHistory;
use crate::group::pool::Pool;
use crate::id::{GroupId, NodeId, OpId};
use crate::identity::Identity;
use crate::machine::{Cx, Machine, Outbox, Setup};
use crate::shared::Arc;
use crate::stats::{Drops, Stats};
use crate::store::{Record, Table};
use crate::time::{Duration, Instant, soonest};
use crate::wire::devices::Chain;
use crate::wire::group::{Context, GroupView};
use crate::wire::{Malformed, decode};

pub use change::GroupChange;
pub(crate) use commands::{Act, Create, Deed, Invite, Join, Leave, Prepare, Reply};
pub use one::{GroupInfo, GroupMember};

/// Operations, under group and id.
const OPERATIONS: Table = Table::hot(48);
/// Keys of epochs, under group, the operation that made it, and the part (docs/spec/store.md). A lost epoch is asked
/// for.
const EPOCHS: Table = Table::expendable(49);
/// Groups that this node would like to join.
const JOINING: Table = Table::hot(50);

/// From naming what a device said to the list that is without it: 1 s, in which the entry is signed and sent.
const STAND_FOR: Duration = Duration::from_secs(1);
/// Groups of one node: 256, of which each keeps its operations in memory.
const MAX_GROUPS: usize = 256;
/// Bytes of a group's operations in a store row.
const MAX_ROW: usize = op::MAX_OPERATION + 128;

#[derive(Debug)]
pub(crate) enum In {
    /// What a member said, opened in the session with it.
    Message { from: NodeId, body: Vec<u8> },
    /// What a member sealed for a group.
    Sealed { from: NodeId, body: Vec<u8> },
    /// There is a session with this node, or a new one.
    Ready(NodeId),
    /// A run of this node for the members of a group.
    Carry { group: GroupId, body: Vec<u8> },
    /// Was this author a member who may post?
    Vet { group: GroupId, author: NodeId, context: Context },
    /// The messages of a group that this node may read are here.
    CaughtUp(GroupId),
    /// The answer to `Out::Where`: a newcomer reads from this depth on.
    Where { group: GroupId, member: NodeId, from: u64 },
    /// The lists of this node's account.
    Own(Arc<Chain>),
}

#[derive(Debug)]
pub(crate) enum Out {
    /// Send this in the session with this node.
    Say {
        to: NodeId,
        body: Vec<u8>,
    },
    /// Send this to a member: it is sealed for the group.
    Carry {
        to: NodeId,
        body: Vec<u8>,
    },
    /// What is known of a group now; none when this node is no member.
    View {
        group: GroupId,
        view: Option<Arc<GroupView>>,
    },
    /// The answer to `In::Vet`.
    Vetted {
        group: GroupId,
        author: NodeId,
        context: Context,
        may: bool,
        members: Arc<OrderedSet<OpId>>,
    },
    /// A run that a member sealed for the group.
    Opened {
        group: GroupId,
        via: NodeId,
        body: Vec<u8>,
    },
    /// From which depth on may a newcomer read?
    Where {
        group: GroupId,
        member: NodeId,
        history: GroupHistory,
    },
    Want(NodeId),
    Unwant(NodeId),
    /// Name what was said in this group: a device of this node's person will be none of its member.
    Stand(GroupId),
    /// For the application.
    Changed {
        group: GroupId,
        change: GroupChange,
    },
}

pub(crate) struct Groups {
    identity: Identity,
    me: NodeId,
    /// The lists of this node's account.
    own: Option<Arc<Chain>>,
    groups: OrderedMap<GroupId, Group>,
    joining: OrderedMap<GroupId, Joining>,
    linked: OrderedSet<NodeId>,
    /// Of those the ones of low power, if this node is none: they compare when they wake.
    low_power: OrderedSet<NodeId>,
    pool: Pool,
    failures: Failures,
    /// INVARIANT: the nodes that a group or an application to one wants a link with.
    wanted: OrderedSet<NodeId>,
    max_links: usize,
    power: Power,
    drops: Drops,
}

impl Groups {
    fn new(config: &Config, identity: &Identity) -> Self {
        Self {
            identity: identity.clone(),
            me: identity.node_id(),
            own: None,
            groups: OrderedMap::new(),
            joining: OrderedMap::new(),
            linked: OrderedSet::new(),
            low_power: OrderedSet::new(),
            pool: Pool::default(),
            failures: Failures::default(),
            wanted: OrderedSet::new(),
            // As many as are left for neighbours and private messages (limits.links).
            max_links: config.limits.links / 2,
            power: config.power,
            drops: Drops::default(),
        }
    }

    /// A row that the store lost or that cannot be read takes nothing but itself with it: what is missing is asked for.
    fn restore(&mut self, records: Vec<Record>, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Result<(), Malformed> {
        let mut operations: OrderedMap<GroupId, Vec<op::Operation>> = OrderedMap::new();
        let mut epochs: OrderedMap<GroupId, Vec<Record>> = OrderedMap::new();
        for record in records {
            let (group, _) = record.key.split_first_chunk().ok_or(Malformed)?;
            let group = GroupId(*group);
            match record.table {
                OPERATIONS => operations.entry(group).or_default().extend(op::Operation::decode(&record.value).ok()),
                EPOCHS => epochs.entry(group).or_default().push(record),
                _ => {
                    self.joining.insert(group, Joining::restore(decode(&record.value, MAX_ROW)?, cx.now));
                }
            }
        }
        for (id, operations) in operations {
            let keys = epochs.remove(&id).unwrap_or_default();
            if operations.iter().any(|op| op.id.0 == id.0) {
                let group = Group::restore(id, self.me, operations, &keys, cx, out)?;
                self.groups.insert(id, group);
            } else if let Some(joining) = Joining::recover(id, &self.identity, operations, keys, cx) {
                self.joining.insert(id, joining);
            }
        }
        // It was added, and had not caught up.
        for (id, group) in &mut self.groups {
            group.is_arriving = group.is_member(self.me) && self.joining.remove(id).is_some();
        }
        Ok(())
    }

    /// What is wanted of links now.
    fn partners(&self) -> OrderedSet<NodeId> {
        let mut wanted: OrderedSet<NodeId> = self.joining.values().map(|j| j.via()).collect();
        for group in self.groups.values() {
            let room = self.max_links.saturating_sub(wanted.len());
            wanted.extend(group.partners(self.me).into_iter().take(room));
        }
        wanted
    }

    fn want_links(&mut self, out: &mut Outbox<Out>) {
        let wanted = self.partners();
        for gone in self.wanted.iter().filter(|p| !wanted.contains(*p)) {
            out.push(Out::Unwant(*gone));
        }
        for new in wanted.iter().filter(|p| !self.wanted.contains(*p)) {
            out.push(Out::Want(*new));
        }
        self.wanted = wanted;
    }

    /// Whether a node is another device of this node's account.
    fn is_own(&self, node: NodeId) -> bool {
        node != self.me && self.own.as_ref().is_some_and(|chain| chain.has(node) && chain.has(self.me))
    }

    /// The devices of this node's account are one member of each group that this one is in.
    fn follow_account(&mut self, cx: &mut Cx<'_>, id: GroupId, out: &mut Outbox<Out>) {
        let (Some(chain), Some(group)) = (self.own.clone(), self.groups.get_mut(&id)) else { return };
        group.plan_list(cx, self.me, &chain);
        if group.gives_way(self.me, &chain) {
            self.leave(cx, id, out);
        }
    }

    /// This device writes a list now. Before one that is without a device, it names what that device said: so it stands.
    fn list_due(&mut self, cx: &mut Cx<'_>, id: GroupId, out: &mut Outbox<Out>) {
        let (Some(chain), Some(group)) = (self.own.clone(), self.groups.get_mut(&id)) else { return };
        let drops = group.lacks_list(self.me, &chain) && group.drops_device(self.me, &chain);
        if drops && !core::mem::replace(&mut group.stood, true) {
            group.list_at = Some(cx.now + STAND_FOR);
            // A guest can make no key, and says nothing.
            let _ = self.prepare(cx, id, out);
            return out.push(Out::Stand(id));
        }
        (group.list_at, group.stood) = (None, false);
        self.write_list(cx, id, out);
    }

    fn link_up(&mut self, cx: &mut Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        self.linked.insert(peer);
        self.greet(cx, peer, out);
    }

    /// Says to a node what is here of each group of both, and asks it to be added where it is to do that.
    fn greet(&mut self, cx: &mut Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        for group in self.groups.values_mut() {
            group.greet(cx, peer, self.me, out);
        }
        for (id, joining) in self.joining.iter_mut().filter(|(_, j)| j.via() == peer) {
            joining.ask(*id, self.identity.name(), cx, out);
        }
    }
}

impl Machine for Groups {
    const NAME: &'static str = "group";
    const TABLES: &'static [(&'static str, Table)] =
        &[("operations", OPERATIONS), ("epochs", EPOCHS), ("joining", JOINING)];
    type In = In;
    type Out = Out;

    fn open(setup: Setup<'_>, records: Vec<Record>, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Result<Self, Malformed> {
        let mut opened = Self::new(setup.config, setup.identity);
        opened.restore(records, cx, out)?;
        for group in opened.groups.values_mut() {
            group.resume(cx, opened.me, out);
            group.show(opened.me, out);
        }
        opened.want_links(out);
        Ok(opened)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other facts concern other machines")]
    fn fact(&mut self, cx: &mut Cx<'_>, fact: &Fact, out: &mut Outbox<Out>) {
        match fact {
            Fact::LinkUp { peer, record, .. } => {
                if record.speaks_first_to(self.power) {
                    self.low_power.insert(*peer);
                }
                self.link_up(cx, *peer, out);
            }
            Fact::Identity(identity) => self.identity = (**identity).clone(),
            Fact::LinkDown { peer, .. } => {
                self.linked.remove(peer);
                self.low_power.remove(peer);
            }
            _ => {}
        }
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: In, out: &mut Outbox<Out>) {
        match input {
            In::Message { from, body } => self.message(cx, from, &body, out),
            In::Sealed { from, body } => self.sealed(cx, from, body, out),
            In::Ready(peer) => self.greet(cx, peer, out),
            In::Carry { group, body } => self.carry(cx, group, &body, out),
            In::Vet { group, author, context } => self.vet(cx, group, author, context, out),
            In::CaughtUp(id) => {
                if let Some(group) = self.groups.get_mut(&id) {
                    group.arrive(out);
                }
            }
            In::Where { group, member, from } => self.admit(cx, group, member, from, out),
            In::Own(chain) => {
                self.own = Some(chain);
                let groups: Vec<GroupId> = self.groups.keys().copied().collect();
                groups.into_iter().for_each(|id| self.follow_account(cx, id, out));
            }
        }
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let mut turned = false;
        for (id, joining) in &mut self.joining {
            if joining.at <= cx.now {
                joining.turn();
                joining.ask(*id, self.identity.name(), cx, out);
                turned = true;
            }
        }
        if turned {
            self.want_links(out);
        }
        let due = |group: &&Group| group.list_at.is_some_and(|at| at <= cx.now);
        let due: Vec<GroupId> = self.groups.values().filter(due).map(|group| group.id).collect();
        for id in due {
            self.list_due(cx, id, out);
        }
        for group in self.groups.values_mut() {
            group.handle_timeout(cx, (&self.linked, &self.low_power), self.me, out);
        }
        self.pool.expire(cx.now);
        self.failures.expire(cx.now);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let joining = self.joining.values().map(|j| j.at).min();
        let groups = self.groups.values().filter_map(Group::next_deadline).min();
        let brought = soonest(self.pool.deadline(), self.failures.deadline());
        soonest(soonest(joining, groups), brought)
    }

    fn pressing_deadline(&self) -> Option<Instant> {
        let joining = self.joining.values().map(|j| j.at).min();
        let groups = self.groups.values().filter_map(Group::pressing_deadline).min();
        soonest(joining, groups)
    }

    fn footprint(&self) -> usize {
        let groups = self.groups.values().map(Group::len).fold(0, usize::saturating_add);
        let joining = self.joining.values().map(Joining::len).fold(0, usize::saturating_add);
        let brought = self.pool.len().saturating_add(self.failures.len());
        let links = self.linked.len().saturating_add(self.low_power.len()).saturating_add(self.wanted.len());
        groups.saturating_add(joining).saturating_add(links).saturating_add(brought)
    }

    fn count(&self, stats: &mut Stats) {
        stats.drops.add(&self.drops);
    }

    #[cfg(any(test, debug_assertions))]
    fn check(&self) -> Result<(), &'static str> {
        self.pool.check()?;
        if self.wanted != self.partners() {
            return Err("links are wanted with others than the members of groups");
        }
        self.groups.values().try_for_each(Group::check)
    }
}

#[cfg(test)]
mod tests;
