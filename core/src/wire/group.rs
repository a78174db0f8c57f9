//! What the log of a group's messages must know of the group: its readers, and the operations under which each run was
//! said (docs/design/groups.md §5).

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::collections::{OrderedMap, OrderedSet};
use crate::id::{NodeId, OpId};
use crate::identity::SIGNATURE_LEN;
use crate::wire::{Malformed, encode};

/// How much of what was said before a newcomer may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum GroupHistory {
    /// Nothing.
    Nothing,
    /// The newest messages, so many of them.
    Newest(u32),
    /// The messages of so many days.
    Days(u32),
    /// All of it.
    Everything,
}

/// Operations that a run names: 16, as an operation does.
pub(crate) const MAX_CONTEXT: usize = 16;

/// What its author knew of the group when a run was said. The signature of the run covers it, and its ids are bound
/// to it, so whether its author was a member who may post is the same at every node and for good.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Context {
    /// The operation that made the epoch in which the run was sealed.
    pub epoch: OpId,
    /// The operation by which its author's member is one.
    pub stint: OpId,
    /// The newest operations that its author had.
    pub heads: Vec<OpId>,
}

impl Context {
    pub(crate) fn is_sound(&self) -> bool {
        (1..=MAX_CONTEXT).contains(&self.heads.len()) && self.heads.is_sorted_by(|a, b| a < b)
    }
}

/// A device of a member, as the log of messages sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reader {
    /// The member: people are counted by it.
    pub member: NodeId,
    /// The operation by which it is a member.
    pub stint: OpId,
    /// The depth from which on it may read.
    pub from: u64,
}

/// What a node makes of the operations of a group that it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupView {
    /// The devices of members.
    pub devices: OrderedMap<NodeId, Reader>,
    /// Devices of members that left by their own word, and were not removed.
    pub left: OrderedSet<NodeId>,
    /// What this node says is said under this; none while it may not post.
    pub context: Option<Context>,
}

/// The run of a group in its parts: public key, signature, context, entries.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GroupRun<'a> {
    pub key: &'a [u8; 32],
    pub signature: &'a [u8; SIGNATURE_LEN],
    pub context: Context,
    pub parts: &'a [u8],
}

impl<'a> GroupRun<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (key, rest) = bytes.split_first_chunk().ok_or(Malformed)?;
        let (signature, rest) = rest.split_first_chunk().ok_or(Malformed)?;
        let (context, parts) = postcard::take_from_bytes::<Context>(rest).map_err(|_| Malformed)?;
        // One encoding: nothing of a run can be changed on its way.
        let is_plain = rest.len().checked_sub(parts.len()) == Some(encode(&context).len());
        if !context.is_sound() || !is_plain {
            return Err(Malformed);
        }
        Ok(Self { key, signature, context, parts })
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.key.as_slice(), self.signature, &encode(&self.context), self.parts].concat()
    }
}
