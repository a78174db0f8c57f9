//! The DONP document's `GroupManagementProtocol`: groups, their members and what they may do (docs/design/groups.md).

use alloc::string::String;
use alloc::vec::Vec;

use crate::chat::Stand;
use crate::engine::Engine;
use crate::error::CommandError;
use crate::group::op::{GroupKind, GroupPolicy, GroupRole};
use crate::group::ticket::GroupTicket;
use crate::group::{Act, Create, Deed, GroupInfo, Invite, Join, Leave, Prepare, Reply};
use crate::id::{GroupId, MessageId, NodeId};
use crate::time::{Instant, WallTime};
use crate::wire::content::{Content, Conversation};
use crate::wire::ticket::MAX_TICKET_ADDRESSES;

impl Engine {
    /// Makes a group of which this node is the owner (`createGroup`). `expires` says when a temporary group ends, and
    /// is none for others.
    ///
    /// # Errors
    /// [`CommandError::Empty`] or [`CommandError::TooLong`] for the name, [`CommandError::NotAllowed`] if kind and end do
    /// not fit, [`CommandError::Busy`] if there are 256 groups.
    pub fn create_group(
        &mut self,
        now: Instant,
        kind: GroupKind,
        name: String,
        policy: GroupPolicy,
        expires: Option<WallTime>,
    ) -> Result<GroupId, CommandError> {
        let at = self.advance(now);
        let made = self.machines.group.command(at, &mut self.q, Create { kind, name, policy, expires });
        self.pump(now);
        made
    }

    /// An invitation to a group (`inviteToGroup`): for one node, or for its bearer. It holds no key of the group. This
    /// node adds the nodes that use it, so it must be online then.
    ///
    /// # Errors
    /// [`CommandError::Unknown`] without such a group, [`CommandError::NotAllowed`] if this node may not invite, or not
    /// with that role.
    pub fn invite_to_group(
        &mut self,
        now: Instant,
        group: GroupId,
        role: GroupRole,
        uses: u32,
        expires: WallTime,
        node: Option<NodeId>,
    ) -> Result<GroupTicket, CommandError> {
        let at = self.advance(now);
        let made = self.machines.group.command(at, &mut self.q, Invite { group, role, uses, expires, node });
        self.pump(now);
        let (name, signed) = made?;
        let open = self.config.network_key == [0; 32];
        let mut addrs = self.machines.membership.addresses();
        addrs.truncate(MAX_TICKET_ADDRESSES);
        let (invitation, bearer) = signed.map_or((None, None), |(invitation, bearer)| (Some(invitation), bearer));
        Ok(GroupTicket {
            group,
            name,
            node: self.me,
            addrs,
            network_key: (!open).then_some(self.config.network_key),
            invitation,
            bearer,
        })
    }

    /// Asks to be a member of the group that a ticket names (`joinGroup`). [`Durable::GroupChanged`] says what became of
    /// it; until then this node asks now and then, also after a restart.
    ///
    /// # Errors
    /// [`CommandError::OtherNetwork`], [`CommandError::ToSelf`] for a ticket of this node, [`CommandError::NotAllowed`] if
    /// it is a member already, [`CommandError::NotRunning`] while suspended.
    ///
    /// [`Durable::GroupChanged`]: crate::Durable::GroupChanged
    pub fn join_group(&mut self, now: Instant, ticket: &GroupTicket) -> Result<(), CommandError> {
        if ticket.network_key.unwrap_or([0; 32]) != self.config.network_key {
            return Err(CommandError::OtherNetwork);
        }
        let at = self.advance(now);
        self.machines.group.command(at, &mut self.q, Join { ticket: ticket.clone() })?;
        self.pump(now);
        self.join(now, &ticket.bootstraps())
    }

    /// Leaves a group, or cancels a request to join (`leaveGroup`). What was said while this node was a member stays.
    ///
    /// # Errors
    /// [`CommandError::Unknown`] without such a group, [`CommandError::NotAllowed`] for an owner with other members: hand
    /// the group over first.
    pub fn leave_group(&mut self, now: Instant, group: GroupId) -> Result<(), CommandError> {
        let at = self.advance(now);
        let left = self.machines.group.command(at, &mut self.q, Leave { group });
        self.pump(now);
        left
    }

    fn act(&mut self, now: Instant, group: GroupId, deed: Deed) -> Result<(), CommandError> {
        let at = self.advance(now);
        let done = self.machines.group.command(at, &mut self.q, Act { group, deed });
        self.pump(now);
        done
    }

    /// Removes a member of lower rank (`removeMember`), for good with `ban`. The others have a fresh key from then on.
    ///
    /// # Errors
    /// [`CommandError::Unknown`] without such a group or member, [`CommandError::NotAllowed`] by rank.
    pub fn remove_member(
        &mut self,
        now: Instant,
        group: GroupId,
        member: NodeId,
        ban: bool,
    ) -> Result<(), CommandError> {
        let at = self.advance(now);
        let members = self.machines.group.info(group).ok_or(CommandError::Unknown("group"))?.members;
        if members.iter().any(|m| m.id == member || m.devices.contains(&member))
            && self.machines.group.command(at, &mut self.q, Prepare { group }).is_ok()
        {
            self.pump(now);
            self.machines.chat.command(at, &mut self.q, Stand { group });
            self.pump(now);
        }
        self.act(now, group, Deed::Remove { member, ban })
    }

    /// Ends a ban: the node may be invited again.
    ///
    /// # Errors
    /// As [`remove_member`](Self::remove_member).
    pub fn unban_member(&mut self, now: Instant, group: GroupId, member: NodeId) -> Result<(), CommandError> {
        self.act(now, group, Deed::Unban { member })
    }

    /// Gives a member of lower rank another rank, below this node's (`setMemberRole`).
    ///
    /// # Errors
    /// As [`remove_member`](Self::remove_member).
    pub fn set_member_role(
        &mut self,
        now: Instant,
        group: GroupId,
        member: NodeId,
        role: GroupRole,
    ) -> Result<(), CommandError> {
        self.act(now, group, Deed::SetRole { member, role })
    }

    /// Makes another member the owner; this node is an ADMIN from then on (`transferOwnership`).
    ///
    /// # Errors
    /// As [`remove_member`](Self::remove_member).
    pub fn transfer_group(&mut self, now: Instant, group: GroupId, to: NodeId) -> Result<(), CommandError> {
        self.act(now, group, Deed::Transfer { to })
    }

    /// Gives a group another name (`updateGroup`).
    ///
    /// # Errors
    /// As [`remove_member`](Self::remove_member); [`CommandError::Empty`], [`CommandError::TooLong`].
    pub fn rename_group(&mut self, now: Instant, group: GroupId, name: String) -> Result<(), CommandError> {
        self.act(now, group, Deed::Rename { name })
    }

    /// Gives a group another description.
    ///
    /// # Errors
    /// As [`rename_group`](Self::rename_group).
    pub fn describe_group(&mut self, now: Instant, group: GroupId, description: String) -> Result<(), CommandError> {
        self.act(now, group, Deed::Describe { description })
    }

    /// Shows a message of a group above the others. It is not looked whether the message is here: it may come later.
    ///
    /// # Errors
    /// As [`remove_member`](Self::remove_member): the least role is [`GroupPolicy::pin`];
    /// [`CommandError::NotAllowed`] also when it is pinned already. The last 64 are shown.
    pub fn pin_message(&mut self, now: Instant, group: GroupId, message: MessageId) -> Result<(), CommandError> {
        self.act(now, group, Deed::Pin { message, pinned: true })
    }

    /// Ends [`pin_message`](Self::pin_message).
    ///
    /// # Errors
    /// As [`remove_member`](Self::remove_member): the least role is [`GroupPolicy::pin`]; also when it is not pinned.
    pub fn unpin_message(&mut self, now: Instant, group: GroupId, message: MessageId) -> Result<(), CommandError> {
        self.act(now, group, Deed::Pin { message, pinned: false })
    }

    /// Gives a group another policy: for its owner.
    ///
    /// # Errors
    /// As [`remove_member`](Self::remove_member).
    pub fn set_group_policy(&mut self, now: Instant, group: GroupId, policy: GroupPolicy) -> Result<(), CommandError> {
        self.act(now, group, Deed::SetPolicy { policy })
    }

    /// Adds a node that asked to join, or says no.
    ///
    /// # Errors
    /// [`CommandError::Unknown`] without such a group or request, [`CommandError::NotAllowed`] by rank.
    pub fn answer_join(
        &mut self,
        now: Instant,
        group: GroupId,
        node: NodeId,
        approve: bool,
    ) -> Result<(), CommandError> {
        let at = self.advance(now);
        let done = self.machines.group.command(at, &mut self.q, Reply { group, node, approve });
        self.pump(now);
        done
    }

    /// Sends a message to the members of a group (`sendGroupMessage`), sealed so that only they open it and signed so
    /// that each of them can prove who said it. Members that are away catch up from any other.
    ///
    /// # Errors
    /// [`CommandError::Unknown`] without such a group, [`CommandError::NotAllowed`] if this node may not post,
    /// [`CommandError::Empty`], [`CommandError::TooLong`].
    pub fn send_to_group(&mut self, now: Instant, group: GroupId, content: Content) -> Result<MessageId, CommandError> {
        self.send_all_to_group(now, group, alloc::vec![content])?.first().copied().ok_or(CommandError::Busy("log"))
    }

    /// Sends messages to a group at once: they share a signature and a seal. All of them or, with an error, none.
    ///
    /// # Errors
    /// As [`send_to_group`](Self::send_to_group).
    pub fn send_all_to_group(
        &mut self,
        now: Instant,
        group: GroupId,
        contents: Vec<Content>,
    ) -> Result<Vec<MessageId>, CommandError> {
        self.running()?;
        contents.iter().try_for_each(Content::validate)?;
        let at = self.advance(now);
        let ready = self.machines.group.command(at, &mut self.q, Prepare { group });
        self.pump(now);
        ready?;
        self.say(now, Conversation::Group(group), contents)
    }

    /// The groups that this node is or was a member of (`listGroups`).
    pub fn groups(&self) -> Vec<GroupInfo> {
        self.machines.group.list()
    }

    /// One of them, with its members (`getGroup`, `getMembers`).
    pub fn group(&self, group: GroupId) -> Option<GroupInfo> {
        self.machines.group.info(group)
    }

    /// Groups that this node asked to join and is no member of yet, with the names in their tickets.
    pub fn joining_groups(&self) -> Vec<(GroupId, String)> {
        self.machines.group.joining()
    }
}
