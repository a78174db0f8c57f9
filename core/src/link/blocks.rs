//! Nodes that this one is never linked with, because its user said so.
//!
//! A blocked node gets no answer: its handshakes are dropped like those of no node, so that it does not learn why. In a
//! network of both, others carry what either says to the other's neighbours.

use alloc::vec::Vec;

use crate::collections::OrderedMap;
use crate::error::CommandError;
use crate::fact::{DownReason, Fact};
use crate::id::NodeId;
use crate::link::attempt::Target;
use crate::link::{CLOSE_UNWANTED, Link, Out};
use crate::machine::{Command, Cx, Outbox};
use crate::stats::DropReason;
use crate::store::{Record, Table};
use crate::wire::Malformed;
use crate::wire::registers::Register;

/// One row a blocked node: its id, with its [`Why`] as the value.
pub(super) const BLOCKED: Table = Table::hot(9);
/// Other devices of a person that are blocked with it: seven, as many as an account has beside one (docs/design/devices.md
/// §3).
const MAX_WITH: usize = 7;

/// Why a node is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The user said so: 1 as a row.
    User,
    /// It came to a person that the user blocked: 2 and the id of the node that stands for it.
    With(NodeId),
}

impl Why {
    fn row(self) -> Vec<u8> {
        match self {
            Self::User => alloc::vec![1],
            Self::With(person) => [&[2], person.0.as_slice()].concat(),
        }
    }

    fn read(row: &[u8]) -> Result<Self, Malformed> {
        match row {
            [1] => Ok(Self::User),
            [2, person @ ..] => person.try_into().map(|id| Self::With(NodeId(id))).map_err(|_| Malformed),
            _ => Err(Malformed),
        }
    }
}

/// INVARIANT: those that the user named are at most [`Limits::blocked`](crate::Limits::blocked), and each of them has at
/// most [`MAX_WITH`] with it.
#[derive(Debug, Default)]
pub(super) struct Blocks(OrderedMap<NodeId, Why>);

impl Blocks {
    pub(super) fn restore(records: &[Record]) -> Result<Self, Malformed> {
        let rows = records.iter().filter(|r| r.table == BLOCKED);
        let read = |r: &Record| {
            let id = r.key.as_slice().try_into().map(NodeId).map_err(|_| Malformed)?;
            Ok((id, Why::read(&r.value)?))
        };
        rows.map(read).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn contains(&self, peer: NodeId) -> bool {
        self.0.contains_key(&peer)
    }

    fn by_user(&self, peer: NodeId) -> bool {
        self.0.get(&peer) == Some(&Why::User)
    }

    /// Those that are blocked with a person.
    fn with(&self, person: NodeId) -> Vec<NodeId> {
        self.0.iter().filter(|(_, why)| **why == Why::With(person)).map(|(node, _)| *node).collect()
    }

    fn named(&self) -> usize {
        self.0.values().filter(|why| **why == Why::User).count()
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self, most: usize) -> Result<(), &'static str> {
        let mut with: OrderedMap<NodeId, usize> = OrderedMap::new();
        for why in self.0.values() {
            if let Why::With(person) = why {
                let count = with.entry(*person).or_default();
                *count = count.saturating_add(1);
            }
        }
        match self.named() <= most && with.values().all(|count| *count <= MAX_WITH) {
            true => Ok(()),
            false => Err("too many nodes are blocked"),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = NodeId> {
        self.0.keys().copied()
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
    fn block(&mut self, cx: &mut Cx<'_>, peer: NodeId, why: Why, out: &mut Outbox<Out>) {
        out.put(BLOCKED, peer.0.to_vec(), why.row());
        if self.blocks.0.insert(peer, why).is_some() {
            return;
        }
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

    fn set_blocked(
        &mut self,
        cx: &mut Cx<'_>,
        peer: NodeId,
        blocked: bool,
        out: &mut Outbox<Out>,
    ) -> Result<(), CommandError> {
        if !blocked {
            let with = self.blocks.with(peer).into_iter();
            let all: Vec<NodeId> = with.chain([peer]).filter(|node| self.is_blocked(*node)).collect();
            all.into_iter().for_each(|node| self.unblock(cx, node, out));
            return Ok(());
        }
        if self.blocks.by_user(peer) {
            return Ok(());
        }
        if self.blocks.named() >= self.limits.blocked {
            return Err(CommandError::Busy("list of blocked nodes"));
        }
        self.block(cx, peer, Why::User, out);
        Ok(())
    }

    /// The user blocked a node on another device, or ended that. One that has no place here is counted.
    pub(super) fn block_elsewhere(&mut self, cx: &mut Cx<'_>, peer: NodeId, blocked: bool, out: &mut Outbox<Out>) {
        if peer != self.me && self.set_blocked(cx, peer, blocked, out).is_err() {
            self.drops.count(DropReason::Queue);
        }
    }

    /// These are the devices of an account; `person` stands for it. A block covers the devices that come later,
    /// for as long as the list has them: a device is taken in at no cost. Without a list they stay.
    pub(super) fn devices(&mut self, cx: &mut Cx<'_>, person: NodeId, devices: &[NodeId], out: &mut Outbox<Out>) {
        let is_blocked = devices.iter().chain([&person]).any(|device| self.blocks.by_user(*device));
        if devices.is_empty() || devices.contains(&self.me) {
            return;
        }
        for gone in self.blocks.with(person).into_iter().filter(|d| !is_blocked || !devices.contains(d)) {
            self.unblock(cx, gone, out);
        }
        let new: Vec<NodeId> = devices.iter().copied().filter(|d| is_blocked && !self.blocks.contains(*d)).collect();
        let room = MAX_WITH.saturating_sub(self.blocks.with(person).len());
        new.into_iter().take(room).for_each(|device| self.block(cx, device, Why::With(person), out));
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
        let Self { peer, blocked } = self;
        link.set_blocked(cx, peer, blocked, out)?;
        out.push(Out::Share(Register::Blocked(peer, blocked)));
        Ok(())
    }
}
