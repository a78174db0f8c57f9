//! Nodes that this one is never linked with, because its user said so.
//!
//! A blocked node gets no answer: its handshakes are dropped like those of no node, so that it does not learn why. In a
//! network of both, others carry what either says to the other's neighbours.

use alloc::vec::Vec;

use crate::collections::OrderedSet;
use crate::error::CommandError;
use crate::fact::{DownReason, Fact};
use crate::id::NodeId;
use crate::link::attempt::Target;
use crate::link::{CLOSE_UNWANTED, Link, Out};
use crate::machine::{Command, Cx, Outbox};
use crate::store::{Record, Table};
use crate::wire::Malformed;

/// One row a blocked node: its id, with [`VERSION`] as the value.
pub(super) const BLOCKED: Table = Table::hot(9);
const VERSION: u8 = 1;

#[derive(Debug, Default)]
pub(super) struct Blocks(OrderedSet<NodeId>);

impl Blocks {
    pub(super) fn restore(records: &[Record]) -> Result<Self, Malformed> {
        let rows = records.iter().filter(|r| r.table == BLOCKED);
        let ids = rows.map(|r| match r.value.as_slice() {
            [VERSION] => r.key.as_slice().try_into().map(NodeId).map_err(|_| Malformed),
            _ => Err(Malformed),
        });
        ids.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn contains(&self, peer: NodeId) -> bool {
        self.0.contains(&peer)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = NodeId> {
        self.0.iter().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Link {
    /// Blocked nodes, by id.
    pub(crate) fn blocked(&self) -> Vec<NodeId> {
        self.blocks.iter().collect()
    }

    pub(crate) fn is_blocked(&self, peer: NodeId) -> bool {
        self.blocks.contains(peer)
    }

    /// All machines hear of it before the link is gone, so that none counts its end as a failure.
    fn block(&mut self, cx: &mut Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        self.blocks.0.insert(peer);
        out.put(BLOCKED, peer.0.to_vec(), alloc::vec![VERSION]);
        out.push(Out::Fact(Fact::Blocked(peer)));
        self.close(cx, peer, CLOSE_UNWANTED, DownReason::Unwanted, out);
        self.drop_all_half_open(peer);
        if let Some(attempt) = self.drop_attempt(Target::Peer(peer)) {
            for (addr, expect) in attempt.connects {
                out.push(Out::Unreachable { addr, expect, wrong_node: false });
            }
        }
    }

    fn unblock(&mut self, cx: &mut Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        self.blocks.0.remove(&peer);
        out.delete(BLOCKED, peer.0.to_vec());
        out.push(Out::Fact(Fact::Unblocked(peer)));
        self.pursue(cx, peer, true, out);
    }
}

/// Blocks a node, or ends that. Done twice it is done once.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) peer: NodeId,
    pub(crate) blocked: bool,
}

impl Command<Link> for Block {
    type Answer = Result<(), CommandError>;

    fn run(self, link: &mut Link, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Self::Answer {
        if self.blocked == link.is_blocked(self.peer) {
            return Ok(());
        }
        if !self.blocked {
            link.unblock(cx, self.peer, out);
            return Ok(());
        }
        if link.blocks.len() >= link.limits.blocked {
            return Err(CommandError::Busy("list of blocked nodes"));
        }
        link.block(cx, self.peer, out);
        Ok(())
    }
}
