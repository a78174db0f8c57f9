//! temp
use crate::collections::{OrderedMap, OrderedSet};
use crate::group::op::{GroupKind, GroupPolicy, GroupRole};
use crate::id::{NodeId, OpId};
use crate::time::WallTime;
use alloc::string::String;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub role: GroupRole,
    pub stint: OpId,
    pub key: [u8; 32],
    pub from: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub kind: GroupKind,
    pub name: String,
    pub description: String,
    pub policy: GroupPolicy,
    pub members: OrderedMap<NodeId, Member>,
    pub banned: OrderedSet<NodeId>,
    pub expires: Option<WallTime>,
    pub removed: OrderedMap<NodeId, OpId>,
}
impl Default for State {
    fn default() -> Self {
        Self {
            kind: GroupKind::Private,
            name: String::new(),
            description: String::new(),
            policy: GroupPolicy::default(),
            members: OrderedMap::new(),
            banned: OrderedSet::new(),
            expires: None,
            removed: OrderedMap::new(),
        }
    }
}
