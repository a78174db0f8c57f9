//! Instructions under way: the parts of a broadcast that children were given, until they answer.

use crate::collections::{Backoff, OrderedMap, ShortId};
use alloc::vec::Vec;

use crate::gossip::instruct::Child;
use crate::id::NodeId;
use crate::time::{Duration, Instant};

/// Broadcasts whose children have not answered: 1,024 of some 300 bytes. What is forgotten beyond it is not given to
/// another if its child fails.
const MAX_OPEN: usize = 1_024;
/// A child that a message came from since, and no answer, is busy: its answer is waited for so many times as long, which
/// doubles each time: 50 ms to 1.6 s.
const MAX_WAITS: u32 = 5;
/// Other members tried for a member without a link.
const MAX_TRIED: usize = 3;

/// What a child has to serve.
struct Part {
    child: NodeId,
    targets: Vec<NodeId>,
    sent: Instant,
}

struct Open {
    parts: Vec<Part>,
    wait: Duration,
    waits: u32,
    due: Instant,
    /// The members that were tried for each member without a link.
    tried: OrderedMap<NodeId, Vec<NodeId>>,
}

/// The verdict on the children that have not answered in time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Overdue {
    /// Children without a sign of life, with the members that they were to serve.
    pub silent: Vec<(NodeId, Vec<NodeId>)>,
    /// When to look again at the others.
    pub again: Option<Instant>,
}

#[derive(Default)]
pub(super) struct Parts(OrderedMap<ShortId, Open>);

impl Parts {
    /// Children were given parts of this broadcast. Returns when answers are overdue; none if no child has a part.
    pub(super) fn given(&mut self, id: ShortId, children: &[Child], now: Instant, wait: Duration) -> Option<Instant> {
        let parts = children.iter().filter(|(_, targets)| !targets.is_empty());
        let parts: Vec<Part> =
            parts.map(|(child, targets)| Part { child: *child, targets: targets.clone(), sent: now }).collect();
        if parts.is_empty() || self.0.len() >= MAX_OPEN && !self.0.contains_key(&id) {
            return None;
        }
        let fresh = || Open { parts: Vec::new(), wait, waits: 0, due: now, tried: OrderedMap::new() };
        let open = self.0.entry(id).or_insert_with(fresh);
        open.parts.extend(parts);
        open.due = now + wait;
        Some(open.due)
    }

    /// A child answered. Returns those that it `refused` of its part.
    pub(super) fn answered(&mut self, id: &ShortId, child: NodeId, refused: impl Fn(NodeId) -> bool) -> Vec<NodeId> {
        let Some(open) = self.0.get_mut(id) else { return Vec::new() };
        let mut theirs = Vec::new();
        open.parts.retain(|part| {
            if part.child == child {
                theirs.extend(part.targets.iter().copied().filter(|t| refused(*t)));
            }
            part.child != child
        });
        for target in &theirs {
            open.tried.entry(*target).or_default().push(child);
        }
        theirs
    }

    /// Members that failed to serve `target`; none if it was tried often enough.
    pub(super) fn tried(&self, id: &ShortId, target: NodeId) -> Option<&[NodeId]> {
        let tried = self.0.get(id)?.tried.get(&target).map_or(&[][..], Vec::as_slice);
        (tried.len() < MAX_TRIED).then_some(tried)
    }

    /// Answers are overdue. `received` says when the last message of a child came.
    pub(super) fn overdue(
        &mut self,
        id: &ShortId,
        received: impl Fn(NodeId) -> Option<Instant>,
        behind: bool,
        now: Instant,
    ) -> Overdue {
        let Some(open) = self.0.get_mut(id) else { return Overdue::default() };
        open.waits = open.waits.saturating_add(1);
        let patient = open.waits < MAX_WAITS;
        let mut silent = Vec::new();
        open.parts.retain(|part| {
            let lives = received(part.child).is_some_and(|at| at > part.sent);
            if !(lives || behind && patient) {
                silent.push((part.child, part.targets.clone()));
                return false;
            }
            // A link brings what it was given while its peer lives.
            patient
        });
        for (child, targets) in &silent {
            for target in targets {
                open.tried.entry(*target).or_default().push(*child);
            }
        }
        open.due = now + Backoff::new(open.wait, Duration::MAX).nominal(open.waits);
        let again = (!open.parts.is_empty()).then_some(open.due);
        Overdue { silent, again }
    }

    pub(super) fn due(&self, id: &ShortId) -> Option<Instant> {
        self.0.get(id).map(|open| open.due)
    }

    /// Whether no answer is awaited.
    pub(super) fn is_answered(&self, id: &ShortId) -> bool {
        self.0.get(id).is_none_or(|open| open.parts.is_empty())
    }

    pub(super) fn close(&mut self, id: &ShortId) {
        self.0.remove(id);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
