//! What lies below the base: others say whether they hold it (docs/design/log.md §6, R7).
//!
//! A node that began with the newest page, or that forgot old headers, cannot check the past of what names them. It asks
//! up to five peers whether they hold what is named. If more than half of those that answer do, it is as if it were here.
//! If not, it was invented, and what names it is dropped; unless the headers of most peers do not reach so far. Then no
//! node can tell, and an entry that names it is taken all the same, and not named for a while: no node has to wait for
//! it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::chat::holders::ASKED;
use crate::chat::pace::Pace;
use crate::chat::rows::{Row, entry_id, entry_scan, number_row, number_scan};
use crate::chat::serve::NEIGHBOURS;
use crate::chat::waiting::Stage;
use crate::chat::wire::{MAX_WANTED, Sync};
use crate::chat::{Chat, Out, Reading, send};
use crate::collections::{OrderedMap, OrderedSet};
use crate::id::{ConversationId, NodeId};
use crate::machine::{Cx, Outbox};
use crate::stats::DropReason;
use crate::store::Record;
use crate::time::{Duration, Instant, soonest};
use crate::wire::Blob;
use crate::wire::entry::Reference;

/// Questions are gathered for this long: 5 ms.
const GATHER: Duration = Duration::from_millis(5);
/// The next question follows the one before after this at least: 50 ms.
const NEXT: Duration = Duration::from_millis(50);
/// A peer that has not answered by then does not count: 10 s (docs/design/log.md §6, R6).
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// References that are asked about at once: 4,096.
const MAX_POLLS: usize = 4_096;
/// Questions under way: 256, each to one peer. An older one counts as not answered.
const MAX_QUESTIONS: usize = 256;
/// What one read for a question costs its asker, in bytes of the rate: 256, a row.
const READ_COST: usize = 256;

type Key = (ConversationId, Reference);

#[derive(Debug, Default)]
struct Poll {
    asked: OrderedSet<NodeId>,
    held: OrderedSet<NodeId>,
    lacking: OrderedSet<NodeId>,
    /// None: not asked yet.
    until: Option<Instant>,
}

impl Poll {
    /// The result, if more answers cannot change it or are not waited for. A peer that does not answer holds nothing: a
    /// liar can keep others busy.
    fn result(&self, is_over: bool) -> Option<bool> {
        let (yes, no, all) = (self.held.len(), self.lacking.len(), self.asked.len());
        let is_held = yes.saturating_mul(2) > all;
        (is_over || is_held || no.saturating_mul(2) >= all).then_some(is_held)
    }
}

/// A question of a peer that is being answered.
#[derive(Debug)]
struct Answering {
    conversation: ConversationId,
    question: u32,
    left: VecDeque<Reference>,
    held: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct Polls {
    polls: OrderedMap<Key, Poll>,
    gather_at: Option<Instant>,
    /// Questions under way, by number.
    questions: OrderedMap<u32, (NodeId, ConversationId, Vec<Reference>)>,
    next_question: u32,
    /// One question of each peer is answered at a time.
    answering: OrderedMap<NodeId, Answering>,
    /// What each peer may still ask.
    paces: OrderedMap<NodeId, Pace>,
}

impl Polls {
    pub(super) fn len(&self) -> usize {
        let answering = self.answering.values().fold(0usize, |n, a| n.saturating_add(a.left.len()));
        let questions = self.questions.values().fold(0usize, |n, (_, _, r)| n.saturating_add(r.len()));
        self.polls.len().saturating_add(answering).saturating_add(questions).saturating_add(self.paces.len())
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        soonest(self.gather_at, self.polls.values().filter_map(|p| p.until).min())
    }

    pub(super) fn forget_peer(&mut self, peer: NodeId) {
        self.answering.remove(&peer);
        self.paces.remove(&peer);
        self.questions.retain(|_, (p, _, _)| *p != peer);
    }
}

impl Chat {
    /// Asks whether others hold these, which a run names that `bringer` brought. False if there is no room.
    pub(super) fn poll(
        &mut self,
        cx: &Cx<'_>,
        conversation: ConversationId,
        bringer: Option<NodeId>,
        references: &[Reference],
    ) -> bool {
        // A stranger brings what it likes.
        let holders = self.holders(conversation);
        let bringer = bringer.filter(|peer| holders.contains(peer));
        let log = self.logs.get(&conversation);
        let may_hold = |peer, depth| log.is_some_and(|log| log.holders.may_hold(peer, depth));
        let new = references.iter().filter(|r| !self.polls.polls.contains_key(&(conversation, **r))).count();
        if self.polls.polls.len().saturating_add(new) > MAX_POLLS {
            return false;
        }
        for reference in references {
            let poll = self.polls.polls.entry((conversation, *reference)).or_default();
            // The bringer of an entry that names it holds it. One voice of five.
            if poll.asked.is_empty() && bringer.is_some_and(|p| may_hold(p, reference.parent().depth)) {
                poll.held.extend(bringer);
                poll.asked.extend(bringer);
            }
        }
        self.polls.gather_at.get_or_insert(cx.now + GATHER);
        true
    }

    pub(super) fn poll_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.polls.gather_at.take_if(|at| *at <= cx.now).is_some() {
            self.ask_holders(cx, out);
        }
        let over: Vec<Key> =
            self.polls.polls.iter().filter(|(_, p)| p.until.is_some_and(|at| at <= cx.now)).map(|(k, _)| *k).collect();
        for key in over {
            self.close(cx, key, true);
        }
        self.wake(cx, out);
    }

    fn ask_holders(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.polls.polls.values().any(|p| p.until.is_some()) {
            // One question at a time: a peer answers no second one meanwhile.
            self.polls.gather_at = Some(cx.now + NEXT);
            return;
        }
        let unasked = self.polls.polls.iter().filter(|(_, p)| p.until.is_none()).map(|(k, _)| *k);
        let new: Vec<Key> = unasked.take(MAX_WANTED).collect();
        let conversations: OrderedSet<ConversationId> = new.iter().map(|(c, _)| *c).collect();
        for conversation in conversations {
            let mut left = self.holders(conversation);
            let log = self.logs.get(&conversation);
            let mut others = Vec::new();
            while !left.is_empty() {
                others.push(left.swap_remove(cx.rng.below(left.len())));
            }
            let references: Vec<Reference> = new.iter().filter(|(c, _)| *c == conversation).map(|(_, r)| *r).collect();
            for part in references.chunks(MAX_WANTED) {
                let mut by_peer: OrderedMap<NodeId, Vec<Reference>> = OrderedMap::new();
                for reference in part {
                    let Some(poll) = self.polls.polls.get_mut(&(conversation, *reference)) else { continue };
                    poll.until = Some(cx.now + ANSWER_WITHIN);
                    // The bringer is one of those asked: it has answered.
                    for peer in &others {
                        let may_hold = log.is_some_and(|log| log.holders.may_hold(*peer, reference.parent().depth));
                        if may_hold && poll.asked.len() < ASKED && poll.asked.insert(*peer) {
                            by_peer.entry(*peer).or_default().push(*reference);
                        }
                    }
                }
                for (peer, references) in by_peer {
                    let question = self.polls.next_question;
                    self.polls.next_question = question.wrapping_add(1);
                    send(
                        self.network,
                        peer,
                        &Sync::Holds { conversation, question, references: references.clone() },
                        out,
                    );
                    if self.polls.questions.len() >= MAX_QUESTIONS {
                        self.polls.questions.pop_first();
                    }
                    self.polls.questions.insert(question, (peer, conversation, references));
                }
            }
        }
        for key in new {
            self.close(cx, key, false);
        }
        if !self.polls.polls.is_empty() {
            self.polls.gather_at.get_or_insert(cx.now + NEXT);
        }
    }

    /// Ends a poll if its result stands.
    fn close(&mut self, cx: &Cx<'_>, key: Key, is_over: bool) {
        let (conversation, reference) = key;
        let peers = self.holders(conversation);
        let Some(log) = self.logs.get_mut(&conversation) else { return };
        let Some(is_held) = self.polls.polls.get(&key).and_then(|poll| poll.result(is_over)) else { return };
        self.polls.polls.remove(&key);
        if self.polls.polls.is_empty() {
            self.polls.questions.clear();
        }
        let keys = self.waiting.woken_by(conversation, reference.parent());
        if is_held || log.may_waive(reference, &peers) {
            log.waive(reference, if is_held { None } else { Some(cx.now) });
            return self.woken.extend(keys);
        }
        for key in keys {
            let names = |stage: &Stage| matches!(stage, Stage::Vouching(all) if all.contains(&reference));
            if self.waiting.get(key).is_some_and(|p| names(&p.stage)) {
                self.waiting.take(key);
                self.drops.count(DropReason::Message);
            }
        }
    }

    /// A peer answers.
    pub(super) fn held(&mut self, cx: &mut Cx<'_>, peer: NodeId, question: u32, answer: &[u8], out: &mut Outbox<Out>) {
        let is_his = |(p, _, references): &(NodeId, _, Vec<Reference>)| *p == peer && references.len() == answer.len();
        if !self.polls.questions.get(&question).is_some_and(is_his) {
            return self.drops.count(DropReason::Message);
        }
        let Some((_, conversation, references)) = self.polls.questions.remove(&question) else { return };
        for (reference, held) in references.into_iter().zip(answer) {
            let key = (conversation, reference);
            let Some(poll) = self.polls.polls.get_mut(&key) else { continue };
            if *held == 1 {
                poll.held.insert(peer)
            } else {
                poll.lacking.insert(peer)
            };
            self.close(cx, key, false);
        }
        self.wake(cx, out);
    }

    /// A peer asks whether these are held here.
    pub(super) fn holds(
        &mut self,
        cx: &mut Cx<'_>,
        conversation: ConversationId,
        peer: NodeId,
        (question, references): (u32, Vec<Reference>),
        out: &mut Outbox<Out>,
    ) {
        if references.len() > MAX_WANTED {
            return self.drops.count(DropReason::Message);
        }
        // Each is a read, which the asker pays for.
        let rate = self.config.chat.catch_up_rate / NEIGHBOURS;
        let pace = self.polls.paces.entry(peer).or_insert_with(|| Pace::new(rate));
        if pace.is_spent(cx.now) || self.polls.answering.contains_key(&peer) {
            return self.drops.count(DropReason::Rate);
        }
        pace.spend(references.len().saturating_mul(READ_COST));
        let left = references.into();
        self.polls.answering.insert(peer, Answering { conversation, question, left, held: Vec::new() });
        self.answer_holds(peer, out);
    }

    /// Reads for the next one, or answers.
    fn answer_holds(&mut self, peer: NodeId, out: &mut Outbox<Out>) {
        let Some(answering) = self.polls.answering.get_mut(&peer) else { return };
        let log = self.logs.get(&answering.conversation);
        while let Some(reference) = answering.left.front().copied() {
            let Some(log) = log else {
                answering.left.pop_front();
                answering.held.push(0);
                continue;
            };
            let scan = match reference {
                Reference::Parent(parent) => entry_scan(log.number, parent),
                // Its number is kept longer than its header.
                Reference::Prev { log: of, seq, .. } => number_scan(log.number, of, seq.saturating_sub(1)),
            };
            return self.read(Reading::Holds(peer), scan, out);
        }
        let Some(Answering { conversation, question, held, .. }) = self.polls.answering.remove(&peer) else { return };
        send(self.network, peer, &Sync::Held { conversation, question, held: Blob(held) }, out);
    }

    pub(super) fn holds_read(&mut self, peer: NodeId, records: &[Record], out: &mut Outbox<Out>) {
        let Some(answering) = self.polls.answering.get_mut(&peer) else { return };
        let Some(reference) = answering.left.pop_front() else { return };
        let is_held = match reference {
            Reference::Parent(_) => records.iter().any(|r| entry_id(&r.key).is_ok() && Row::read(&r.value).is_ok()),
            Reference::Prev { id, .. } => {
                records.iter().filter_map(|r| number_row(r).ok()).any(|(_, tip)| tip.id == id)
            }
        };
        answering.held.push(u8::from(is_held));
        self.answer_holds(peer, out);
    }
}
