//! From a run that arrives to entries with a place in the order.

use alloc::vec::Vec;

use crate::chat::entry::{LifeId, Run};
use crate::chat::known::Tip;
use crate::chat::log::{Facts, Kind, Need, Taken, Verdict};
use crate::chat::policy::Carriage;
use crate::chat::rows::{
    EDITS, ENTRIES, NUMBERS, NewAt, NewRow, Row, edit_key, encode_edit, entry_id, entry_key, entry_scan, number_key,
    number_row, number_scan, tip_scan,
};
use crate::chat::waiting::{FIRST_ASK, Key, Parked, Source, Stage};
use crate::chat::wire::{MAX_WANTED, Sync};
use crate::chat::{Chat, Out, Reading, send};
use crate::id::{ConversationId, Life, NodeId};
use crate::machine::{Cx, Outbox};
use crate::planted::{Bug, planted};
use crate::stats::DropReason;
use crate::store::Record;
use crate::wire::content::{Content, Conversation, Message};
use crate::wire::{Bytes, encode};

/// Runs of one peer that miss something: above 8 the peer is asked for all that it has beyond this node.
const MANY: usize = 8;

impl Chat {
    /// A run of a peer whose form is right.
    pub(super) fn offer(
        &mut self,
        cx: &mut Cx<'_>,
        conversation: ConversationId,
        run: Run,
        source: Source,
        out: &mut Outbox<Out>,
    ) {
        let Some(last) = run.last() else { return };
        if self.waiting.contains((conversation, last)) {
            return self.drops.count(DropReason::Duplicate);
        }
        let Some(log) = self.logs.get(&conversation) else { return };
        let facts = Facts::default();
        let verdict = log.judge(&run, &facts, source.repairs());
        // The signature costs more than all the rest. What is known needs none, unless it is passed on.
        let unchecked = verdict == Verdict::Known && !matches!(source, Source::Gossip { .. });
        if log.policy.is_signed() && !unchecked && !self.keys.signed(&run) {
            self.drops.count(DropReason::Signature);
            return self.refuse(source, out);
        }
        self.decide(cx, conversation, run, source, facts, verdict, out);
        self.wake(cx, out);
    }

    fn refuse(&mut self, source: Source, out: &mut Outbox<Out>) {
        match source {
            Source::Delivery { from, id } => out.push(Out::DirectValidated { from, id, accepted: false }),
            Source::Gossip { id, .. } => out.push(Out::GossipValidated { id, genuine: false }),
            Source::Own | Source::Peer { .. } => {}
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all of them are what a run is judged by")]
    fn decide(
        &mut self,
        cx: &mut Cx<'_>,
        conversation: ConversationId,
        run: Run,
        source: Source,
        facts: Facts,
        verdict: Verdict,
        out: &mut Outbox<Out>,
    ) {
        match verdict {
            Verdict::Known => {
                self.drops.count(DropReason::Duplicate);
                match source {
                    // After the commit: the first copy may still be on its way to the disk.
                    Source::Delivery { from, id } => {
                        out.after_commit(Out::DirectValidated { from, id, accepted: true });
                    }
                    Source::Gossip { id, .. } => out.push(Out::GossipValidated { id, genuine: true }),
                    Source::Own | Source::Peer { .. } => {}
                }
            }
            Verdict::Bad => {
                self.drops.count(DropReason::Message);
                self.refuse(source, out);
            }
            Verdict::Fits(kind) => {
                if let Some(run) = self.fitting(conversation, run) {
                    self.take(cx, conversation, &run, kind, &facts, source, out);
                }
            }
            Verdict::Read(needs) => {
                let count = needs.len();
                let Some(key) =
                    self.park(cx, conversation, Parked::new(run, source, facts, Stage::Reading(count), cx.now))
                else {
                    return;
                };
                let Some(log) = self.logs.get(&conversation) else { return };
                let number = log.number;
                for need in needs {
                    let scan = match need {
                        Need::Entry(parent) => entry_scan(number, parent),
                        Need::Life(life) => tip_scan(number, life),
                        Need::Number(life, seq) => number_scan(number, life, seq),
                    };
                    self.read(Reading::Past { key, need }, scan, out);
                }
            }
            Verdict::Missing(parents) => {
                let rtt = source.peer().and_then(|p| self.linked.get(&p).copied()).flatten();
                let ask_at = cx.now + rtt.unwrap_or_default().max(FIRST_ASK);
                let stage = Stage::Missing { parents: parents.into_iter().collect(), ask_at, asked: Vec::new() };
                self.park(cx, conversation, Parked::new(run, source, facts, stage, cx.now));
            }
        }
    }

    /// Words of this node that come back in a private conversation prove nothing but that they were said: the other
    /// side could have made them up. They stand as headers.
    fn fitting(&self, conversation: ConversationId, run: Run) -> Option<Run> {
        let log = self.logs.get(&conversation)?;
        if !log.policy.is_signed() && run.log.author == self.me { run.without_bodies().ok() } else { Some(run) }
    }

    fn park(&mut self, cx: &Cx<'_>, conversation: ConversationId, parked: Parked) -> Option<Key> {
        let key = (conversation, parked.run.last()?);
        if self.sweep_at.is_none() {
            self.sweep_at = Some(cx.now + self.config.chat.pending_for);
        }
        let fits = self.waiting.park(key, parked, &self.config.limits);
        if !fits {
            // The sender keeps it and tries again, or a comparison brings it.
            self.drops.count(DropReason::Queue);
        }
        fits.then_some(key)
    }

    /// A read for a run that waits.
    pub(super) fn past_read(
        &mut self,
        cx: &mut Cx<'_>,
        key: Key,
        need: Need,
        records: &[Record],
        out: &mut Outbox<Out>,
    ) {
        let is_last = self.waiting.read(key, |facts| match need {
            Need::Entry(parent) => {
                let read = |r: &Record| Some((entry_id(&r.key).ok()?, Row::read(&r.value).ok()?.known()));
                facts.entries.insert(parent, records.first().and_then(read));
            }
            Need::Life(life) => {
                let tip = records.first().and_then(|r| number_row(r).ok());
                facts.lives.insert(life, tip.map(|(_, tip)| tip));
            }
            Need::Number(life, seq) => {
                let ids = records.iter().filter_map(|r| number_row(r).ok()).map(|(_, tip)| tip.id);
                facts.numbers.insert((life, seq), ids.collect());
            }
        });
        if is_last {
            self.again(cx, key, out);
            self.wake(cx, out);
        }
    }

    /// Judges the runs that named what was taken since.
    pub(super) fn wake(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        while let Some(key) = self.woken.pop_front() {
            self.again(cx, key, out);
        }
    }

    /// Judges a run again.
    fn again(&mut self, cx: &mut Cx<'_>, key: Key, out: &mut Outbox<Out>) {
        let Some(Parked { run, source, mut facts, stage, .. }) = self.waiting.take(key) else { return };
        let Some(log) = self.logs.get(&key.0) else { return };
        if matches!(stage, Stage::Missing { .. }) {
            // What was missing may be there now.
            facts.entries.retain(|_, read| read.is_some());
        }
        let verdict = log.judge(&run, &facts, source.repairs());
        self.decide(cx, key.0, run, source, facts, verdict, out);
    }

    /// Takes a run. What waited for it is woken next.
    #[expect(clippy::too_many_arguments, reason = "all of them are what a taken run is stored and reported with")]
    pub(super) fn take(
        &mut self,
        cx: &mut Cx<'_>,
        conversation: ConversationId,
        run: &Run,
        kind: Kind,
        facts: &Facts,
        source: Source,
        out: &mut Outbox<Out>,
    ) {
        let Some(log) = self.logs.get_mut(&conversation) else { return };
        let is_copied = source != Source::Own && kind != Kind::Lost && run.log == log.own_log();
        if is_copied && !planted(Bug::LifeGoesOn) {
            // Another copy of this profile writes this life: it is restored from a backup, or runs twice.
            if log.begin_life(Life(cx.rng.bytes()), cx.now) {
                out.push(Out::LifeBegun { conversation: log.policy.kind() });
            }
        }
        let taken = log.take(run, kind, facts, cx.wall);
        if let (Source::Own, Some(last)) = (source, taken.last()) {
            let spoke = taken.iter().any(|t| t.body.as_ref().is_some_and(|b| b.content.is_some()));
            log.said(last, spoke);
        }
        if kind == Kind::Fork && source != Source::Own {
            let seq = taken.first().map_or(0, |t| t.known.seq);
            let LifeId { author, life } = run.log;
            out.push(Out::Forked { conversation: log.policy.kind(), author, life, seq });
        }
        self.store(conversation, run, &taken, out);
        self.unsaved_since = cx.now;
        self.unsaved.insert(conversation);
        self.report(conversation, run, &taken, kind, source, out);
        let (from, carriage) = (source.peer(), self.logs.get(&conversation).map(|l| l.policy.carriage()));
        match source {
            Source::Delivery { from, id } => {
                let verdict = Out::DirectValidated { from, id, accepted: true };
                if planted(Bug::AckBeforeCommit) { out.push(verdict) } else { out.after_commit(verdict) }
            }
            Source::Gossip { id, .. } => out.push(Out::GossipValidated { id, genuine: true }),
            Source::Own => match (carriage, run.last()) {
                (Some(Carriage::Gossip), _) => {
                    let publish = Out::Publish { body: run.bytes.clone() };
                    if planted(Bug::NumberUsedAgain) { out.push(publish) } else { out.after_commit(publish) }
                }
                (Some(Carriage::Delivery(to)), Some(id)) => {
                    out.push(Out::Submit { to, id, body: run.bytes.clone() });
                }
                _ => {}
            },
            Source::Peer { .. } => {}
        }
        if let Some(peer) = from {
            self.progress(cx, conversation, peer, matches!(source, Source::Peer { .. }) && !taken.is_empty());
        }
        self.merge_later(cx, conversation);
        if planted(Bug::LostWakeUp) {
            return;
        }
        self.woken.extend(taken.iter().flat_map(|t| self.waiting.woken_by(conversation, t.id)));
    }

    fn store(&mut self, conversation: ConversationId, run: &Run, taken: &[Taken<'_>], out: &mut Outbox<Out>) {
        let (Some(log), Some(last)) = (self.logs.get(&conversation), run.last()) else { return };
        for t in taken {
            let at = if t.id == last { NewAt::End(Bytes(&run.bytes)) } else { NewAt::In(last) };
            let clock = t.known.clock.as_ref().map(|counts| counts.as_slice());
            let row = NewRow { log: t.known.log, seq: t.known.seq, clock, void: t.void, at };
            let mut place = t.id;
            if planted(Bug::OrderByArrival) {
                place.depth = self.messages;
            }
            out.put(ENTRIES, entry_key(log.number, place), encode(&row));
            if !(planted(Bug::ToldAgainAfterRestart) && t.known.log.author != self.me) {
                let tip = Tip { seq: t.known.seq, id: t.id };
                out.put(NUMBERS, number_key(log.number, t.known.log, tip), encode(&t.id));
            }
            if let Some(content) = t.body.as_ref().and_then(|b| b.content.as_ref()).filter(|_| !t.void) {
                match content {
                    Content::Edit { edit_of, text } => {
                        out.put(EDITS, edit_key(log.number, *edit_of, t.id), encode_edit(Some(text)));
                    }
                    Content::Retract { retract } => {
                        out.put(EDITS, edit_key(log.number, *retract, t.id), encode_edit(None));
                    }
                    Content::Text { .. } | Content::Reply { .. } | Content::React { .. } => {}
                }
            }
            self.messages = self.messages.saturating_add(1);
        }
    }

    fn report(
        &mut self,
        conversation: ConversationId,
        run: &Run,
        taken: &[Taken<'_>],
        kind: Kind,
        source: Source,
        out: &mut Outbox<Out>,
    ) {
        let Some(log) = self.logs.get(&conversation) else { return };
        // The store lost it: the application got its event before.
        if kind == Kind::Lost || source == Source::Own || run.log.author == self.me {
            return;
        }
        for t in taken.iter().filter(|t| !t.void) {
            if let Some(message) = message(log.policy.kind(), t, log.clock(t.known.clock.as_ref())) {
                out.push(Out::Received(message));
            }
        }
    }

    /// Asks for what runs miss.
    pub(super) fn ask(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let (neighbours, linked, logs) = (&self.neighbours, &self.linked, &self.logs);
        let rng = &mut *cx.rng;
        let others = |conversation: ConversationId, asked: &[NodeId]| {
            let policy = logs.get(&conversation)?.policy;
            let first: Vec<NodeId> = neighbours.iter().copied().filter(|p| !asked.contains(p)).collect();
            let all =
                || linked.keys().copied().filter(|p| !asked.contains(p) && policy.may_sync(*p)).collect::<Vec<_>>();
            let eligible = if policy.is_signed() && !first.is_empty() { first } else { all() };
            rng.pick(&eligible).copied()
        };
        for question in self.waiting.questions(cx.now, others) {
            let (conversation, peer) = (question.conversation, question.peer);
            if !self.linked.contains_key(&peer) {
                continue;
            }
            let many = self.waiting.of_peer(peer) > MANY || question.parents.len() >= MAX_WANTED;
            if many && self.may_pull(conversation, peer, cx.now) {
                self.pull(cx, conversation, peer, true, out);
            } else if !self.is_pulling(conversation, peer) {
                send(peer, &Sync::Want { conversation, parents: question.parents }, out);
            }
        }
    }

    /// Whether what a content is about is in memory and may be: an own message for an edit, any for an answer.
    pub(super) fn has_target(&self, conversation: ConversationId, content: &Content) -> bool {
        let Some(target) = content.about() else { return true };
        let author = self.logs.get(&conversation).and_then(|log| log.author_of(target));
        match content {
            Content::Edit { .. } | Content::Retract { .. } => author == Some(self.me),
            Content::Text { .. } | Content::Reply { .. } | Content::React { .. } => author.is_some(),
        }
    }
}

/// A taken entry for the application; none if it says nothing.
pub(super) fn message(
    conversation: Conversation,
    taken: &Taken<'_>,
    clock: Option<crate::wire::content::VectorClock>,
) -> Option<Message> {
    let body = taken.body.as_ref()?;
    Some(Message {
        id: taken.id,
        conversation,
        author: taken.known.log.author,
        life: taken.known.log.life,
        seq: taken.known.seq,
        clock,
        sent_at: body.sent_at,
        content: body.content.clone()?,
        edited: None,
        retracted: false,
    })
}
