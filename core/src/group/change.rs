//! What changed in a group, for the application.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::group::op::GroupRole;
use crate::group::state::State;
use crate::group::wire::Refusal;
use crate::id::{MessageId, NodeId};

/// What changed in a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum GroupChange {
    /// This node is a member now.
    Joined,
    /// This node is no member any more: it left, or was removed.
    Ended,
    /// This node was not added.
    Refused {
        /// Why.
        reason: Refusal,
    },
    /// A node would like to join and waits for the word of a member who may invite.
    Asked {
        /// Which.
        node: NodeId,
        /// The name it claims.
        name: String,
    },
    /// A member more.
    Added {
        /// Who.
        member: NodeId,
        /// Its rank.
        role: GroupRole,
    },
    /// A member less: it left, or was removed.
    Removed {
        /// Who.
        member: NodeId,
    },
    /// A member's rank is another one.
    Ranked {
        /// Who.
        member: NodeId,
        /// Its rank.
        role: GroupRole,
    },
    /// The group has another name.
    Renamed {
        /// The new one.
        name: String,
    },
    /// The group has another description.
    Described {
        /// The new one.
        description: String,
    },
    /// The group has another policy.
    PolicyChanged,
    /// A message is pinned.
    Pinned {
        /// Which.
        message: MessageId,
    },
    /// A message is not pinned any more, or 64 newer ones are.
    Unpinned {
        /// Which.
        message: MessageId,
    },
}

/// What is another one in `after`.
pub(super) fn changes(before: Option<&State>, after: &State, me: NodeId) -> Vec<GroupChange> {
    let Some(before) = before else {
        // The creator and newcomers know of the others by its members.
        return after.devices.contains_key(&me).then_some(GroupChange::Joined).into_iter().collect();
    };
    let mut all = Vec::new();
    let (was, is) = (before.member_of(me), after.member_of(me));
    if was.is_none() && is.is_some() {
        all.push(GroupChange::Joined);
    }
    for (member, now) in &after.members {
        match before.members.get(member) {
            None if Some(*member) == is && was.is_none() => {}
            None => all.push(GroupChange::Added { member: *member, role: now.role }),
            Some(was) if was.role != now.role => all.push(GroupChange::Ranked { member: *member, role: now.role }),
            Some(_) => {}
        }
    }
    for member in before.members.keys().filter(|m| !after.members.contains_key(*m)) {
        if Some(*member) != was || is.is_some() {
            all.push(GroupChange::Removed { member: *member });
        }
    }
    if was.is_some() && is.is_none() {
        all.push(GroupChange::Ended);
    }
    if before.name != after.name {
        all.push(GroupChange::Renamed { name: after.name.clone() });
    }
    if before.description != after.description {
        all.push(GroupChange::Described { description: after.description.clone() });
    }
    if before.policy != after.policy {
        all.push(GroupChange::PolicyChanged);
    }
    let lacks = |pins: &[MessageId], message: &MessageId| !pins.contains(message);
    let pinned = after.shown_pins().iter().filter(|message| lacks(before.shown_pins(), message));
    all.extend(pinned.map(|message| GroupChange::Pinned { message: *message }));
    let unpinned = before.shown_pins().iter().filter(|message| lacks(after.shown_pins(), message));
    all.extend(unpinned.map(|message| GroupChange::Unpinned { message: *message }));
    all
}
