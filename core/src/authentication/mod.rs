//! Authentication: whether the device of a node is at the other end of a link, now (`AuthenticationChallenge` of the DONP
//! document; docs/design/contacts.md §5).
//!
//! A link proves a link key that the device's key signed some time ago. The answer to a challenge proves the device's key
//! itself: a signature over fresh random bytes, both ids, and the hash of the handshake whose keys the link uses. Who
//! stands between two links has two hashes, so an answer from one is of no use on the other.

#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub(crate) mod contract;
pub(crate) mod wire;

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::authentication::wire::{Answer, Challenge, Message, signed};
use crate::collections::{OrderedMap, Rate, RateLimit};
use crate::error::CommandError;
use crate::fact::Fact;
use crate::id::NodeId;
use crate::identity::{Domain, Identity, node_id, verify};
use crate::machine::{Command, Cx, Machine, Outbox, Setup};
use crate::stats::{DropReason, Drops, Stats};
use crate::store::Record;
use crate::time::{Duration, Instant};
use crate::wire::Malformed;

/// A challenge is answered within this, the time to link included: 10 s, as a probe of the failure detector at most
/// (docs/design/failures.md §2).
const WITHIN: Duration = Duration::from_secs(10);
/// Challenges under way: 64.
const MAX_PENDING: usize = 64;
/// Answers to one node, and to all: each costs a signature, 20 µs.
const ANSWERS_OF_NODE: Rate = Rate { per_second: 1, burst: 3 };
const ANSWERS: Rate = Rate::per_second(50);
/// Handshakes of a link that may be in use: the newest and the one before, as the link has them.
const HASHES: usize = 2;

/// The result of a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AuthenticationResult {
    /// The device of the node is at the other end of the link.
    Authenticated,
    /// The other end answered, and does not have the device's key or is not on this link.
    Failed,
    /// There was no answer in ten seconds, or no link.
    Timeout,
}

impl AuthenticationResult {
    /// Every result.
    pub const ALL: [Self; 3] = [Self::Authenticated, Self::Failed, Self::Timeout];

    /// A stable name, one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authenticated => "authenticated",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
        }
    }
}

#[derive(Debug)]
pub(crate) enum In {
    /// A link uses keys of a handshake with this hash from now on.
    Keyed {
        peer: NodeId,
        hash: [u8; 32],
    },
    Message {
        from: NodeId,
        body: Vec<u8>,
    },
}

#[derive(Debug)]
pub(crate) enum Out {
    Send { to: NodeId, body: Vec<u8> },
    Done { peer: NodeId, result: AuthenticationResult },
}

/// One linked node.
struct Linked {
    /// Newest last.
    hashes: heapless::Vec<[u8; 32], HASHES>,
    answers: RateLimit,
}

struct Pending {
    /// What was sent over the present link, with the handshake it names; none while there is no link.
    sent: Option<Challenge>,
    until: Instant,
}

pub(crate) struct Authentication {
    identity: Identity,
    /// INVARIANT: at most as many as there are links.
    linked: OrderedMap<NodeId, Linked>,
    pending: OrderedMap<NodeId, Pending>,
    answers: RateLimit,
    drops: Drops,
}

impl Authentication {
    fn challenge(&mut self, cx: &mut Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        let Some(hash) = self.linked.get(&peer).and_then(|l| l.hashes.last()).copied() else { return };
        let Some(pending) = self.pending.get_mut(&peer) else { return };
        let challenge = Challenge { random: cx.rng.bytes(), hash };
        pending.sent = Some(challenge);
        out.push(Out::Send { to: peer, body: Message::Challenge(challenge).encode() });
    }

    fn answer(&mut self, cx: &mut Cx<'_>, from: NodeId, challenge: &Challenge, out: &mut Outbox<Out>) {
        let Some(linked) = self.linked.get_mut(&from) else { return self.drops.count(DropReason::Message) };
        if !linked.hashes.contains(&challenge.hash) {
            // Of another link: it was passed on.
            return self.drops.count(DropReason::Message);
        }
        if !linked.answers.take(cx.now) || !self.answers.take(cx.now) {
            return self.drops.count(DropReason::Rate);
        }
        let signature = self.identity.sign(Domain::Challenge, &signed(challenge, from, cx.me));
        let answer = Answer { random: challenge.random, key: self.identity.public_key(), signature };
        out.push(Out::Send { to: from, body: Message::Answer(answer).encode() });
    }

    fn answered(&mut self, cx: &Cx<'_>, from: NodeId, answer: &Answer, out: &mut Outbox<Out>) {
        let sent = self.pending.get(&from).and_then(|p| p.sent).filter(|sent| sent.random == answer.random);
        let Some(sent) = sent else {
            // To no challenge, or to an earlier one.
            return self.drops.count(DropReason::Duplicate);
        };
        self.pending.remove(&from);
        let is_right = node_id(&answer.key) == from
            && verify(Domain::Challenge, &answer.key, &signed(&sent, cx.me, from), &answer.signature);
        if !is_right {
            self.drops.count(DropReason::Signature);
        }
        let result = if is_right { AuthenticationResult::Authenticated } else { AuthenticationResult::Failed };
        out.push(Out::Done { peer: from, result });
    }
}

impl Machine for Authentication {
    const NAME: &'static str = "authentication";
    type In = In;
    type Out = Out;

    fn open(
        setup: Setup<'_>,
        _records: Vec<Record>,
        _cx: &mut Cx<'_>,
        _out: &mut Outbox<Out>,
    ) -> Result<Self, Malformed> {
        Ok(Self {
            identity: setup.identity.clone(),
            linked: OrderedMap::new(),
            pending: OrderedMap::new(),
            answers: RateLimit::new(ANSWERS),
            drops: Drops::default(),
        })
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other facts concern other machines")]
    fn fact(&mut self, _cx: &mut Cx<'_>, fact: &Fact, _out: &mut Outbox<Out>) {
        match *fact {
            Fact::LinkUp { peer, .. } => {
                let answers = RateLimit::new(ANSWERS_OF_NODE);
                self.linked.insert(peer, Linked { hashes: heapless::Vec::new(), answers });
            }
            Fact::LinkDown { peer, .. } => {
                self.linked.remove(&peer);
                if let Some(pending) = self.pending.get_mut(&peer) {
                    // The next link has a challenge of its own.
                    pending.sent = None;
                }
            }
            _ => {}
        }
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: In, out: &mut Outbox<Out>) {
        match input {
            In::Keyed { peer, hash } => {
                let Some(linked) = self.linked.get_mut(&peer) else { return };
                if linked.hashes.is_full() {
                    linked.hashes.remove(0);
                }
                let _ = linked.hashes.push(hash);
                if self.pending.get(&peer).is_some_and(|p| p.sent.is_none()) {
                    self.challenge(cx, peer, out);
                }
            }
            In::Message { from, body } => match Message::decode(&body) {
                Ok(Message::Challenge(challenge)) => self.answer(cx, from, &challenge, out),
                Ok(Message::Answer(answer)) => self.answered(cx, from, &answer, out),
                Err(Malformed) => self.drops.count(DropReason::Message),
            },
        }
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let over: Vec<NodeId> = self.pending.iter().filter(|(_, p)| p.until <= cx.now).map(|(peer, _)| *peer).collect();
        for peer in over {
            self.pending.remove(&peer);
            out.push(Out::Done { peer, result: AuthenticationResult::Timeout });
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.pending.values().map(|p| p.until).min()
    }

    fn footprint(&self) -> usize {
        self.linked.len().saturating_add(self.pending.len())
    }

    fn count(&self, stats: &mut Stats) {
        stats.drops.add(&self.drops);
    }

    #[cfg(any(test, debug_assertions))]
    fn linked(&self) -> usize {
        self.linked.len()
    }

    #[cfg(any(test, debug_assertions))]
    fn check(&self) -> Result<(), &'static str> {
        let is_of_link = |(peer, p): (&NodeId, &Pending)| p.sent.is_none() || self.linked.contains_key(peer);
        match self.pending.len() <= MAX_PENDING && self.pending.iter().all(is_of_link) {
            true => Ok(()),
            false => Err("there are too many challenges, or one is of a link that is gone"),
        }
    }
}

/// Challenges a node. While a challenge of it is under way, that one stands for both.
#[derive(Debug)]
pub(crate) struct Authenticate(pub(crate) NodeId);

impl Command<Authentication> for Authenticate {
    type Answer = Result<(), CommandError>;

    fn run(self, machine: &mut Authentication, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Self::Answer {
        if machine.pending.contains_key(&self.0) {
            return Ok(());
        }
        if machine.pending.len() >= MAX_PENDING {
            return Err(CommandError::Busy("list of challenges"));
        }
        machine.pending.insert(self.0, Pending { sent: None, until: cx.now + WITHIN });
        machine.challenge(cx, self.0, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
