//! What the application asks of groups: `GroupManagementProtocol` of the DONP document.

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::CommandError;
use crate::group::exchange::sign;
use crate::group::joining::{Joining, Wish};
use crate::group::keys::{Secret, commitment, make_order};
use crate::group::log::OpLog;
use crate::group::one::{Group, GroupInfo};
use crate::group::op::{
    Acceptance, Action, Field, GroupKind, GroupPolicy, GroupRole, Invitation, Invitee, MAX_DESCRIPTION, MAX_USES,
    NewEpoch, Operation,
};
use crate::group::state::List;
use crate::group::ticket::GroupTicket;
use crate::group::wire::{Message, Refusal};
use crate::group::{Groups, JOINING, OPERATIONS, Out};
use crate::id::{GroupId, MessageId, NodeId, OpId};
use crate::identity::{Identity, check_name};
use crate::machine::{Command, Cx, Outbox};
use crate::shared::Arc;
use crate::time::WallTime;
use crate::wire::{Blob, encode};

/// Devices in an epoch that goes with a list: 4,096, three bytes each beside 17 KiB of a chain.
const MAX_LISTED: usize = 4_096;

/// A group is made: its id.
#[derive(Debug)]
pub(crate) struct Create {
    pub(crate) kind: GroupKind,
    pub(crate) name: String,
    pub(crate) policy: GroupPolicy,
    /// When a TEMPORARY group ends.
    pub(crate) expires: Option<WallTime>,
}

impl Command<Groups> for Create {
    type Answer = Result<GroupId, CommandError>;

    fn run(self, groups: &mut Groups, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Self::Answer {
        let Self { kind, name, policy, expires } = self;
        check_name(&name)?;
        if expires.is_some() != (kind == GroupKind::Temporary) {
            return Err(CommandError::NotAllowed("only a temporary group ends, and its end must be given"));
        }
        if !groups.has_room() {
            return Err(CommandError::Busy("list of groups"));
        }
        let (secret, salt) = (Secret::draw(cx.rng), cx.rng.bytes());
        // The id of the group is that of this operation, so what it commits to cannot be bound to it.
        let committed = commitment(&secret, GroupId([0; 32]));
        let account = groups.identity.account_id();
        let action = Action::Create { kind, name, policy, salt, account, expires, commitment: committed };
        let op = Operation::sign(&groups.identity, None, (1, Vec::new(), 1), cx.wall, action);
        let op = op.map_err(|_| CommandError::NotAllowed("a group with these values cannot be made"))?;
        let id = op.group;
        out.put(OPERATIONS, [id.0, op.id.0].concat(), op.bytes.clone());
        let first = op.id;
        let Some(ops) = OpLog::new(op) else {
            return Err(CommandError::NotAllowed("a group with these values cannot be made"));
        };
        let Some(mut group) = Group::new(id, ops, cx.now) else {
            return Err(CommandError::NotAllowed("a group with these values cannot be made"));
        };
        if kind != GroupKind::Public {
            group.begin(first, &secret, groups.me, cx, out);
        }
        groups.groups.insert(id, group);
        groups.changed(cx, id, out);
        Ok(id)
    }
}

/// An invitation is made.
#[derive(Debug)]
pub(crate) struct Invite {
    pub(crate) group: GroupId,
    pub(crate) role: GroupRole,
    /// Newcomers that it adds; 1 for one that is for a node.
    pub(crate) uses: u32,
    pub(crate) expires: WallTime,
    /// For whom; its bearer if none is named.
    pub(crate) node: Option<NodeId>,
}

impl Command<Groups> for Invite {
    /// The name of the group, the signed word and the secret that goes with it. Nothing for a PUBLIC group.
    type Answer = Result<(String, Option<(Invitation, Option<[u8; 32]>)>), CommandError>;

    fn run(self, groups: &mut Groups, cx: &mut Cx<'_>, _out: &mut Outbox<Out>) -> Self::Answer {
        let group = groups.groups.get(&self.group).ok_or(CommandError::Unknown("group"))?;
        let state = group.state();
        let own = group.role(groups.me).ok_or(CommandError::NotAllowed("this node is not a member of the group"))?;
        if state.kind == GroupKind::Public {
            return Ok((state.name.clone(), None));
        }
        if own < state.policy.invite || own <= self.role {
            return Err(CommandError::NotAllowed("this node may not invite with that role"));
        }
        if self.uses == 0 || self.uses > MAX_USES {
            return Err(CommandError::NotAllowed("a ticket is for 1 to 10,000 newcomers"));
        }
        let nonce = cx.rng.bytes();
        let secret: Option<[u8; 32]> = self.node.is_none().then(|| cx.rng.bytes());
        let invitee = match (self.node, &secret) {
            (Some(node), _) => Invitee::Node(node),
            (None, Some(secret)) => Invitee::Bearer(bearer(secret)?.public_key()),
            (None, None) => return Err(CommandError::Unknown("node")),
        };
        let terms = (self.role, self.uses, self.expires);
        let invitation = Invitation::sign(&groups.identity, self.group, nonce, terms, invitee);
        Ok((state.name.clone(), Some((invitation, secret))))
    }
}

/// The key pair of an invitation to the bearer.
fn bearer(secret: &[u8; 32]) -> Result<Identity, CommandError> {
    let mut seed = [0; 64];
    seed.iter_mut().zip(secret.iter().cycle()).for_each(|(to, from)| *to = *from);
    Identity::generate(seed, "bearer", WallTime(0)).map_err(|_| CommandError::Unknown("invitation"))
}

/// This node would like to join.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) ticket: GroupTicket,
}

impl Command<Groups> for Join {
    type Answer = Result<(), CommandError>;

    fn run(self, groups: &mut Groups, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Self::Answer {
        let GroupTicket { group, name, node, invitation, bearer: secret, .. } = self.ticket;
        if node == groups.me {
            return Err(CommandError::ToSelf);
        }
        if groups.groups.get(&group).is_some_and(|g| g.is_member(groups.me)) {
            return Err(CommandError::NotAllowed("this node is a member already"));
        }
        if !groups.has_room() && !groups.joining.contains_key(&group) {
            return Err(CommandError::Busy("list of groups"));
        }
        let by = secret.as_ref().map(bearer).transpose()?;
        let acceptance = Acceptance::sign(&groups.identity, group, cx.rng.bytes(), by.as_ref());
        let wish = Wish { via: node, name, acceptance, invitation };
        out.put(JOINING, group.0.to_vec(), encode(&wish));
        groups.joining.insert(group, Joining::new(wish, cx.now));
        groups.want_links(out);
        let name = groups.identity.name();
        if groups.linked.contains(&node)
            && let Some(joining) = groups.joining.get_mut(&group)
        {
            joining.ask(group, name, cx, out);
        }
        Ok(())
    }
}

/// What a member does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Remove { member: NodeId, ban: bool },
    Unban { member: NodeId },
    SetRole { member: NodeId, role: GroupRole },
    Transfer { to: NodeId },
    Rename { name: String },
    Describe { description: String },
    SetPolicy { policy: GroupPolicy },
    Pin { message: MessageId, pinned: bool },
}

/// Does something in a group.
#[derive(Debug)]
pub(crate) struct Act {
    pub(crate) group: GroupId,
    pub(crate) deed: Deed,
}

impl Command<Groups> for Act {
    type Answer = Result<(), CommandError>;

    fn run(self, groups: &mut Groups, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Self::Answer {
        let group = groups.groups.get(&self.group).ok_or(CommandError::Unknown("group"))?;
        // Each device names its member.
        let person = |node: NodeId| group.state().member_of(node).unwrap_or(node);
        let (action, secret) = match self.deed {
            Deed::Remove { member, ban } => {
                let member = person(member);
                if !ban && !group.state().members.contains_key(&member) {
                    return Err(CommandError::Unknown("member"));
                }
                let stays = |device: &NodeId| person(*device) != member;
                let left: Vec<NodeId> = group.state().nodes().into_iter().filter(stays).collect();
                let (epoch, secret) = match group.state().kind {
                    GroupKind::Public => (None, None),
                    GroupKind::Private | GroupKind::Secret | GroupKind::Temporary => {
                        let (epoch, secret) = new_epoch(self.group, &left, groups, cx)?;
                        (Some(epoch), Some(secret))
                    }
                };
                (Action::Remove { members: alloc::vec![member], ban, epoch }, secret)
            }
            Deed::Unban { member } => (Action::Unban { member }, None),
            Deed::SetRole { member, role } => (Action::SetRole { member: person(member), role }, None),
            Deed::Transfer { to } => (Action::Transfer { to: person(to) }, None),
            Deed::Rename { name } => {
                check_name(&name)?;
                (Action::Describe { field: Field::Name, value: name }, None)
            }
            Deed::Describe { description } => {
                if description.len() > MAX_DESCRIPTION {
                    return Err(CommandError::TooLong { len: description.len(), max: MAX_DESCRIPTION });
                }
                (Action::Describe { field: Field::Description, value: description }, None)
            }
            Deed::SetPolicy { policy } => (Action::SetPolicy { policy }, None),
            Deed::Pin { message, pinned } => {
                if pinned == group.state().pins.contains(&message) {
                    let why = if pinned { "the message is pinned already" } else { "the message is not pinned" };
                    return Err(CommandError::NotAllowed(why));
                }
                (Action::Pin { message, pinned }, None)
            }
        };
        groups.act(cx, self.group, action, secret.as_ref(), out).map(|_| ())
    }
}

/// Leaves a group, or cancels a request to join.
#[derive(Debug)]
pub(crate) struct Leave {
    pub(crate) group: GroupId,
}

impl Command<Groups> for Leave {
    type Answer = Result<(), CommandError>;

    fn run(self, groups: &mut Groups, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Self::Answer {
        if groups.joining.remove(&self.group).is_some() {
            out.delete(JOINING, self.group.0.to_vec());
            groups.want_links(out);
            return Ok(());
        }
        groups.act(cx, self.group, Action::Leave, None, out).map(|_| ())
    }
}

/// The answer to a node that would like to join.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) group: GroupId,
    pub(crate) node: NodeId,
    pub(crate) approve: bool,
}

impl Command<Groups> for Reply {
    type Answer = Result<(), CommandError>;

    fn run(self, groups: &mut Groups, _cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Self::Answer {
        let (id, node) = (self.group, self.node);
        let group = groups.groups.get_mut(&id).ok_or(CommandError::Unknown("group"))?;
        let own = group.role(groups.me).ok_or(CommandError::NotAllowed("this node is not a member of the group"))?;
        if own < group.state().policy.invite {
            return Err(CommandError::NotAllowed("this node may not invite to the group"));
        }
        let history = group.state().policy.history;
        let request = group.requests.get_mut(&node).ok_or(CommandError::Unknown("request to join"))?;
        if self.approve {
            request.asks = false;
            out.push(Out::Where { group: id, member: node, history });
        } else {
            group.requests.remove(&node);
            let refuse = Message::Refuse { group: id, reason: Refusal::Declined };
            out.push(Out::Say { to: node, body: encode(&refuse) });
        }
        Ok(())
    }
}

/// Makes sure that this node can seal for the members, before it says something.
#[derive(Debug)]
pub(crate) struct Prepare {
    pub(crate) group: GroupId,
}

impl Command<Groups> for Prepare {
    type Answer = Result<(), CommandError>;

    fn run(self, groups: &mut Groups, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Self::Answer {
        let group = groups.groups.get(&self.group).ok_or(CommandError::Unknown("group"))?;
        let own = group.role(groups.me).ok_or(CommandError::NotAllowed("this node is not a member of the group"))?;
        if own < group.state().policy.post {
            return Err(CommandError::NotAllowed("this node's role may not post in the group"));
        }
        if group.state().expires.is_some_and(|at| at < cx.wall) {
            return Err(CommandError::NotAllowed("the group has ended"));
        }
        groups.prepare(cx, self.group, out)
    }
}

impl Groups {
    /// Signs and takes an operation of this node.
    fn act(
        &mut self,
        cx: &mut Cx<'_>,
        id: GroupId,
        action: Action,
        secret: Option<&Secret>,
        out: &mut Outbox<Out>,
    ) -> Result<OpId, CommandError> {
        let group = self.groups.get(&id).ok_or(CommandError::Unknown("group"))?;
        if !group.is_member(self.me) {
            return Err(CommandError::NotAllowed("this node is not a member of the group"));
        }
        let op = sign(&self.identity, &group.ops, cx, action);
        let op = op.ok_or(CommandError::NotAllowed("this node's role does not allow it, or it changes nothing"))?;
        let made = op.id;
        self.push(cx, id, op, out);
        let me = self.me;
        if let (Some(secret), Some(group)) = (secret, self.groups.get_mut(&id)) {
            group.begin(made, secret, me, cx, out);
            group.hand_down(made, me, &self.linked, out);
            self.changed(cx, id, out);
        }
        Ok(made)
    }

    /// An epoch to seal in, made if there is none.
    pub(super) fn prepare(&mut self, cx: &mut Cx<'_>, id: GroupId, out: &mut Outbox<Out>) -> Result<(), CommandError> {
        let group = self.groups.get(&id).ok_or(CommandError::Unknown("group"))?;
        if group.usable.is_some() {
            return Ok(());
        }
        let devices = group.state().nodes();
        let (epoch, secret) = new_epoch(id, &devices, self, cx)?;
        self.act(cx, id, Action::Epoch(epoch), Some(&secret), out).map(|_| ())
    }

    /// The own membership ends.
    pub(super) fn leave(&mut self, cx: &mut Cx<'_>, id: GroupId, out: &mut Outbox<Out>) {
        let _ = self.act(cx, id, Action::Leave, None, out);
    }

    /// Writes which devices this node's account has to a group.
    pub(super) fn write_list(&mut self, cx: &mut Cx<'_>, id: GroupId, out: &mut Outbox<Out>) {
        let (Some(chain), Some(group)) = (self.own.clone(), self.groups.get(&id)) else { return };
        let Some(member) = group.state().member_of(self.me).filter(|_| group.lacks_list(self.me, &chain)) else {
            return;
        };
        let (state, op) = (group.state().clone(), OpId([0; 32]));
        let is_public = state.kind == GroupKind::Public;
        let devices = state.listed(List { member, op, chain: Arc::clone(&chain) }).nodes();
        // The longest operation holds a chain and the order of so many; in a larger group who speaks makes the epoch.
        let made =
            (!is_public && devices.len() <= MAX_LISTED).then(|| new_epoch(id, &devices, self, cx).ok()).flatten();
        let (epoch, secret) = made.map_or((None, None), |(epoch, secret)| (Some(epoch), Some(secret)));
        let action = Action::Devices { chain: Blob(chain.encode()), epoch };
        let _ = self.act(cx, id, action, secret.as_ref(), out);
    }

    pub(crate) fn list(&self) -> Vec<GroupInfo> {
        self.groups.values().map(|group| group.info(self.me)).collect()
    }

    /// Groups that this node asked to join and is no member of yet, with their names.
    pub(crate) fn joining(&self) -> Vec<(GroupId, String)> {
        self.joining.iter().map(|(id, joining)| (*id, joining.wish.name.clone())).collect()
    }

    pub(crate) fn info(&self, id: GroupId) -> Option<GroupInfo> {
        self.groups.get(&id).map(|group| group.info(self.me))
    }
}

/// A fresh epoch for these devices, of which this node is one.
fn new_epoch(
    id: GroupId,
    members: &[NodeId],
    groups: &Groups,
    cx: &mut Cx<'_>,
) -> Result<(NewEpoch, Secret), CommandError> {
    let secret = Secret::draw(cx.rng);
    let commitment = commitment(&secret, id);
    let away = |node: NodeId| !groups.linked.contains(&node);
    let order = make_order(&commitment, members, groups.me, away);
    let order = order.ok_or(CommandError::NotAllowed("this node is not a member of the group"))?;
    Ok((NewEpoch { commitment, order }, secret))
}
