//! A group that this node would like to join.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::collections::{Backoff, OrderedMap};
use crate::group::Out;
use crate::group::op::{Acceptance, Invitation, Operation};
use crate::group::wire::Message;
use crate::id::{GroupId, NodeId, OpId};
use crate::identity::Identity;
use crate::machine::{Cx, Outbox};
use crate::store::Record;
use crate::time::{Duration, Instant};
use crate::wire::encode;

/// A request that is not answered is repeated after 5 s, and then ever more rarely, up to ten minutes: a lost one
/// comes soon, and a member that is away is not asked forever at that pace.
const RETRY: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(600));
/// Operations that are collected until they say that this node is a member: as many as a group of 10,000 has.
pub(super) const MAX_COLLECTED: usize = 20_000;

/// What is stored of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wish {
    pub(super) via: NodeId,
    pub(super) name: String,
    pub(super) acceptance: Acceptance,
    pub(super) invitation: Option<Invitation>,
}

#[derive(Debug)]
pub(super) struct Joining {
    pub(super) wish: Wish,
    /// Operations that came, without those that name others which did not.
    pub(super) operations: OrderedMap<OpId, Operation>,
    /// Secrets of epochs that came before the operations.
    pub(super) secrets: Vec<(NodeId, Vec<u8>)>,
    /// Stored rows of epochs, of a group whose first operation was lost.
    pub(super) epochs: Vec<Record>,
    /// Members that are asked in turn. Of an invitation, the one that it names.
    others: VecDeque<NodeId>,
    /// When it is asked for again.
    pub(super) at: Instant,
    tries: u32,
}

impl Joining {
    pub(super) fn new(wish: Wish, now: Instant) -> Self {
        let (operations, secrets, epochs, others) = (OrderedMap::new(), Vec::new(), Vec::new(), VecDeque::new());
        Self { wish, operations, secrets, epochs, others, at: now, tries: 0 }
    }

    /// A group that this node is in, and whose first operation its store lost: the members that the other operations
    /// name have it. None if they name no other member.
    pub(super) fn recover(
        group: GroupId,
        identity: &Identity,
        operations: Vec<Operation>,
        epochs: Vec<Record>,
        cx: &mut Cx<'_>,
    ) -> Option<Self> {
        let named = |op: &Operation| [Some(op.author), op.added()];
        let mut others: Vec<NodeId> = operations.iter().flat_map(named).flatten().filter(|id| *id != cx.me).collect();
        others.sort_unstable();
        others.dedup();
        let mut others = VecDeque::from(others);
        let via = others.pop_front()?;
        let acceptance = Acceptance::sign(identity, group, cx.rng.bytes(), None);
        let wish = Wish { via, name: group.short(), acceptance, invitation: None };
        let operations = operations.into_iter().map(|op| (op.id, op)).collect();
        Some(Self { operations, epochs, others, ..Self::new(wish, cx.now) })
    }

    pub(super) fn restore(wish: Wish, now: Instant) -> Self {
        Self::new(wish, now)
    }

    pub(super) fn via(&self) -> NodeId {
        self.wish.via
    }

    pub(super) fn len(&self) -> usize {
        self.operations.len().saturating_add(self.secrets.len()).saturating_add(self.epochs.len()).saturating_add(1)
    }

    /// The next of the members that are asked in turn.
    pub(super) fn turn(&mut self) {
        if let Some(next) = self.others.pop_front() {
            self.others.push_back(core::mem::replace(&mut self.wish.via, next));
        }
    }

    /// Asks a member: the one that the invitation names.
    pub(super) fn ask(&mut self, group: GroupId, name: &str, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.at = cx.now + RETRY.pause(self.tries, cx.rng);
        self.tries = self.tries.saturating_add(1);
        let Wish { via, acceptance, invitation, .. } = &self.wish;
        let message =
            Message::Join { group, acceptance: *acceptance, invitation: invitation.clone(), name: name.into() };
        out.push(Out::Say { to: *via, body: encode(&message) });
    }
}
