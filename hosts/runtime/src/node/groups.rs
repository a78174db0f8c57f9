//! `GroupManagementProtocol` of the DONP document: groups, their members and what is said in them.

use std::time::Duration;

use donp_core::{
    CommandError, Content, Conversation, GroupId, GroupInfo, GroupKind, GroupPolicy, GroupRole, GroupTicket, MessageId,
    NodeId, WallTime,
};

use super::Node;
use crate::error::NodeError;
use crate::node::worker::Worker;

impl Node {
    /// Makes a group of which this node is the owner (`createGroup`). A temporary group ends `expires_in` from now;
    /// others have no end.
    ///
    /// # Errors
    /// As [`Engine::create_group`](donp_core::Engine::create_group).
    pub fn create_group(
        &self,
        kind: GroupKind,
        name: &str,
        policy: GroupPolicy,
        expires_in: Option<Duration>,
    ) -> Result<GroupId, NodeError> {
        let (name, expires) = (name.to_owned(), expires_in.map(|d| self.wall_after(d)));
        self.call_stored(move |w| Ok(w.engine.create_group(w.now, kind, name, policy, expires)?))
    }

    /// An invitation to a group (`inviteToGroup`), good for `uses` newcomers and so long: for one node, or for any
    /// bearer that has it. This node adds who comes with it.
    ///
    /// # Errors
    /// As [`Engine::invite_to_group`](donp_core::Engine::invite_to_group).
    pub fn invite_to_group(
        &self,
        group: GroupId,
        role: GroupRole,
        uses: u32,
        expires_in: Duration,
        node: Option<NodeId>,
    ) -> Result<GroupTicket, NodeError> {
        let expires = self.wall_after(expires_in);
        Ok(self.call(move |w| w.engine.invite_to_group(w.now, group, role, uses, expires, node))??)
    }

    /// Asks to be a member of the group that a ticket names (`joinGroup`), now and then until it is answered, also after
    /// a restart. An event says what became of it.
    ///
    /// # Errors
    /// As [`Engine::join_group`](donp_core::Engine::join_group).
    pub fn join_group(&self, ticket: &GroupTicket) -> Result<(), NodeError> {
        let ticket = ticket.clone();
        self.call_stored(move |w| w.join_group(&ticket))
    }

    /// Leaves a group, or cancels a request to join (`leaveGroup`).
    ///
    /// # Errors
    /// As [`Engine::leave_group`](donp_core::Engine::leave_group).
    pub fn leave_group(&self, group: GroupId) -> Result<(), NodeError> {
        self.act(move |w| w.engine.leave_group(w.now, group))
    }

    /// Removes a member of lower rank, for good with `ban` (`removeMember`).
    ///
    /// # Errors
    /// As [`Engine::remove_member`](donp_core::Engine::remove_member).
    pub fn remove_member(&self, group: GroupId, node: NodeId, ban: bool) -> Result<(), NodeError> {
        self.act(move |w| w.engine.remove_member(w.now, group, node, ban))
    }

    /// Ends a ban: the node may be invited again.
    ///
    /// # Errors
    /// As [`Engine::unban_member`](donp_core::Engine::unban_member).
    pub fn unban_member(&self, group: GroupId, node: NodeId) -> Result<(), NodeError> {
        self.act(move |w| w.engine.unban_member(w.now, group, node))
    }

    /// Gives a member of lower rank another rank, below this node's (`setMemberRole`).
    ///
    /// # Errors
    /// As [`Engine::set_member_role`](donp_core::Engine::set_member_role).
    pub fn set_member_role(&self, group: GroupId, node: NodeId, role: GroupRole) -> Result<(), NodeError> {
        self.act(move |w| w.engine.set_member_role(w.now, group, node, role))
    }

    /// Makes another member the owner (`transferOwnership`).
    ///
    /// # Errors
    /// As [`Engine::transfer_group`](donp_core::Engine::transfer_group).
    pub fn transfer_group(&self, group: GroupId, node: NodeId) -> Result<(), NodeError> {
        self.act(move |w| w.engine.transfer_group(w.now, group, node))
    }

    /// Gives a group another name (`updateGroup`).
    ///
    /// # Errors
    /// As [`Engine::rename_group`](donp_core::Engine::rename_group).
    pub fn rename_group(&self, group: GroupId, name: &str) -> Result<(), NodeError> {
        let name = name.to_owned();
        self.act(move |w| w.engine.rename_group(w.now, group, name))
    }

    /// Gives a group another description.
    ///
    /// # Errors
    /// As [`Engine::describe_group`](donp_core::Engine::describe_group).
    pub fn describe_group(&self, group: GroupId, description: &str) -> Result<(), NodeError> {
        let description = description.to_owned();
        self.act(move |w| w.engine.describe_group(w.now, group, description))
    }

    /// Shows a message of a group above the others.
    ///
    /// # Errors
    /// As [`Engine::pin_message`](donp_core::Engine::pin_message).
    pub fn pin_message(&self, group: GroupId, message: MessageId) -> Result<(), NodeError> {
        self.act(move |w| w.engine.pin_message(w.now, group, message))
    }

    /// Ends [`pin_message`](Self::pin_message).
    ///
    /// # Errors
    /// As [`Engine::unpin_message`](donp_core::Engine::unpin_message).
    pub fn unpin_message(&self, group: GroupId, message: MessageId) -> Result<(), NodeError> {
        self.act(move |w| w.engine.unpin_message(w.now, group, message))
    }

    /// Gives a group another policy: for its owner.
    ///
    /// # Errors
    /// As [`Engine::set_group_policy`](donp_core::Engine::set_group_policy).
    pub fn set_group_policy(&self, group: GroupId, policy: GroupPolicy) -> Result<(), NodeError> {
        self.act(move |w| w.engine.set_group_policy(w.now, group, policy))
    }

    /// Adds a node that asked to join, or says no.
    ///
    /// # Errors
    /// As [`Engine::answer_join`](donp_core::Engine::answer_join).
    pub fn answer_join(&self, group: GroupId, node: NodeId, approve: bool) -> Result<(), NodeError> {
        self.act(move |w| w.engine.answer_join(w.now, group, node, approve))
    }

    /// Sends to the members of a group (`sendGroupMessage`). When this returns, the message is on disk; members that are
    /// away catch up from any other.
    ///
    /// # Errors
    /// As [`send_private`](Self::send_private), and [`CommandError::NotAllowed`] if this node may not post there.
    pub fn send_to_group(&self, group: GroupId, content: Content) -> Result<MessageId, NodeError> {
        let conversation = Conversation::Group(group);
        self.say(conversation, content, move |w, content| w.engine.send_to_group(w.now, group, content))
    }

    /// The groups that this node is or was a member of (`listGroups`).
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn groups(&self) -> Result<Vec<GroupInfo>, NodeError> {
        self.call(|w| w.engine.groups())
    }

    /// One of them, with its members (`getGroup`, `getMembers`).
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn group(&self, group: GroupId) -> Result<Option<GroupInfo>, NodeError> {
        self.call(move |w| w.engine.group(group))
    }

    /// Groups that this node asked to join and is no member of yet, with the names in their tickets.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn joining_groups(&self) -> Result<Vec<(GroupId, String)>, NodeError> {
        self.call(|w| w.engine.joining_groups())
    }

    fn act(&self, f: impl FnOnce(&mut Worker) -> Result<(), CommandError> + Send + 'static) -> Result<(), NodeError> {
        self.call_stored(move |w| Ok(f(w)?))
    }

    fn wall_after(&self, time: Duration) -> WallTime {
        WallTime(self.clock.wall().0.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
    }
}
