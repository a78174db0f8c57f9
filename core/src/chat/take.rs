//! From a run that arrives to entries with a place in the order.

use alloc::vec::Vec;

use crate::chat::known::Tip;
use crate::chat::log::{self, Facts, Kind, Need, Taken, Verdict, Wants};
use crate::chat::policy::Carriage;
use crate::chat::rows::{
    At, EDITS, ENTRIES, NUMBERS, NewAt, NewHeld, NewRow, Row, edit_key, encode_edit, entry_id, entry_key, entry_scan,
    number_key, number_row, number_scan, stored_run, tip_scan,
};
use crate::chat::waiting::{FIRST_ASK, Key, Missing, Offered, Parked, Source, Stage};
use crate::chat::wire::{MAX_WANTED, Sync};
use crate::chat::{Chat, Out, Reading, send};
use crate::id::{ConversationId, Life, MessageId, NodeId};
use crate::machine::{Cx, Outbox};
use crate::planted::{Bug, planted};
use crate::stats::DropReason;
use crate::store::Record;
use crate::wire::content::{Content, Conversation, Message, VectorClock};
use crate::wire::entry::{Body, Entry, LifeId, Parent, Reference, Run};
use crate::wire::group::Context;
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
            self.drops.count(DropReason::Duplicate);
            return self.offer_again(cx, (conversation, last), run, source, out);
        }
        let offered = Offered::new(run, source, cx.now);
        // A member said what it knew of the group.
        let Some(offered) = self.may_judge(cx, conversation, offered, out) else { return };
        let Some(log) = self.logs.get(&conversation) else { return };
        let verdict = log.judge(&offered.run, &offered.facts, source.repairs());
        // The signature costs more than all the rest. What is known needs none, unless it is passed on.
        let checked = matches!(source, Source::Member { .. }) || planted(Bug::SignatureUnchecked);
        let unchecked = checked || verdict == Verdict::Known && !matches!(source, Source::Gossip { .. });
        if log.policy.is_signed() && !unchecked && !self.keys.signed(conversation, &offered.run) {
            self.drops.count(DropReason::Signature);
            // A forwarder checks a signature first.
            source.peer().into_iter().for_each(|peer| out.push(Out::Forged(peer)));
            return self.refuse(source, out);
        }
        self.decide(cx, conversation, offered, verdict, out);
        self.wake(cx, out);
    }

    /// Another copy of a run that waits: it may bring bodies that did not come yet.
    fn offer_again(&mut self, cx: &mut Cx<'_>, key: Key, run: Run, source: Source, out: &mut Outbox<Out>) {
        // The ids are those of a run whose signature was checked, and a body must have the hash in them.
        let Some(offered) = self.waiting.offered(key).filter(|o| o.run.is_bare()) else { return };
        let Some(filled) = offered.run.filled_from(&run) else {
            offered.lacking.extend(source.peer());
            return self.unless_wanted(cx, alloc::vec![key], out);
        };
        let Some(Parked { mut offered, stage }) = self.waiting.take(key) else { return };
        offered.run = filled;
        if self.park(cx, key.0, offered, stage).is_some() {
            self.unless_wanted(cx, alloc::vec![key], out);
        }
    }

    /// Judges runs again that wait for nothing but bodies that no peer brings, or for a past that no linked node has.
    pub(super) fn unless_wanted(&mut self, cx: &mut Cx<'_>, keys: Vec<Key>, out: &mut Outbox<Out>) {
        for key in keys {
            let holders = self.holders(key.0);
            let Some(log) = self.logs.get_mut(&key.0) else { continue };
            let ended = self.waiting.ended(key, cx.now);
            let Some(ended) = ended.filter(|ended| ended.iter().all(|r| log.may_waive(*r, &holders))) else { continue };
            let bodies_only = ended.is_empty();
            ended.into_iter().for_each(|reference| log.waive(reference, Some(cx.now)));
            let lacking =
                |o: &Offered| !o.run.is_bare() || o.is_late(cx.now) || holders.iter().all(|p| o.lacking.contains(p));
            if !bodies_only || self.waiting.get(key).is_some_and(|p| lacking(&p.offered)) {
                self.again(cx, key, out);
            }
        }
        self.wake(cx, out);
    }

    pub(super) fn refuse(&mut self, source: Source, out: &mut Outbox<Out>) {
        match source {
            Source::Delivery { from, id } => out.push(Out::DirectValidated { from, id, accepted: false }),
            Source::Gossip { id, .. } => out.push(Out::GossipValidated { id, genuine: false }),
            Source::Own | Source::Member { .. } | Source::Peer { .. } => {}
        }
    }

    fn decide(
        &mut self,
        cx: &mut Cx<'_>,
        conversation: ConversationId,
        offered: Offered,
        verdict: Verdict,
        out: &mut Outbox<Out>,
    ) {
        match verdict {
            Verdict::Known => {
                self.drops.count(DropReason::Duplicate);
                match offered.source {
                    // After the commit: the first copy may still be on its way to the disk.
                    Source::Delivery { from, id } => {
                        out.after_commit(Out::DirectValidated { from, id, accepted: true });
                    }
                    Source::Gossip { id, .. } => out.push(Out::GossipValidated { id, genuine: true }),
                    Source::Own | Source::Member { .. } | Source::Peer { .. } => {}
                }
            }
            Verdict::Bad => {
                self.drops.count(DropReason::Message);
                self.refuse(offered.source, out);
            }
            Verdict::Fits(kind) => self.fits(cx, conversation, offered, kind, out),
            Verdict::Read(needs) => {
                let Some(key) = self.park(cx, conversation, offered, Stage::Reading(needs.len())) else { return };
                let Some(log) = self.logs.get(&conversation) else { return };
                let number = log.number;
                let before = log.leftover.map_or(number, |unsaid| unsaid.number);
                for need in needs {
                    let scan = match need {
                        Need::Entry(parent) => entry_scan(number, parent),
                        Need::Life(life) => tip_scan(number, life),
                        Need::Number(life, seq) => number_scan(number, life, seq),
                        Need::Run(last) => entry_scan(number, Parent::of(last)),
                        Need::Told(id) => entry_scan(before, Parent::of(id)),
                    };
                    self.read(Reading::Past { key, need }, scan, out);
                }
            }
            Verdict::Missing(references) => self.await_entries(cx, conversation, offered, references),
            Verdict::Unvouched(references) => {
                if self.poll(cx, conversation, offered.source.peer(), &references) {
                    self.park(cx, conversation, offered, Stage::Vouching(references));
                } else {
                    self.drops.count(DropReason::Queue);
                }
            }
        }
    }

    /// Waits for entries, and for bodies that did not come with a run.
    fn await_entries(
        &mut self,
        cx: &mut Cx<'_>,
        conversation: ConversationId,
        offered: Offered,
        references: Vec<Reference>,
    ) {
        let rtt = offered.source.peer().and_then(|p| self.linked.get(&p).copied()).flatten();
        let ask_at = cx.now + rtt.unwrap_or_default().max(FIRST_ASK);
        let lacks = self.lacks_bodies(conversation, &offered.run);
        let own = offered.run.last().filter(|_| lacks).map(Parent::of);
        self.park(cx, conversation, offered, Stage::Missing(Missing::new(references, own, ask_at)));
    }

    /// Whether bodies of a run are wanted: they did not come, and it is neither old nor this node's own.
    fn lacks_bodies(&self, conversation: ConversationId, run: &Run) -> bool {
        let Some(log) = self.logs.get(&conversation).filter(|_| run.is_bare()) else { return false };
        let is_for_me = self.may_read(conversation, self.me, run) != Some(false);
        is_for_me && !log.is_old(run) && (log.policy.is_signed() || run.log.author != self.me)
    }

    /// A run whose past is here. If bodies of it are held by others they are waited for, so that nothing is reported
    /// before what it answers.
    fn fits(
        &mut self,
        cx: &mut Cx<'_>,
        conversation: ConversationId,
        offered: Offered,
        kind: Kind,
        out: &mut Outbox<Out>,
    ) {
        let lacks = self.lacks_bodies(conversation, &offered.run);
        if lacks && kind != Kind::Late && !offered.is_late(cx.now) {
            let depth = offered.run.last().map_or(0, |last| last.depth);
            let holders = self.holders(conversation);
            let Some(log) = self.logs.get(&conversation) else { return };
            let may_bring = |p: &NodeId| !offered.lacking.contains(p) && log.holders.may_bring(*p, depth, cx.now);
            if holders.iter().any(may_bring) {
                return self.await_entries(cx, conversation, offered, Vec::new());
            }
        } else if lacks && kind != Kind::Late {
            // A peer that says that it has bodies and brings none is not waited for again.
            let idle: Vec<NodeId> =
                self.holders(conversation).into_iter().filter(|p| !offered.lacking.contains(p)).collect();
            if let Some(log) = self.logs.get_mut(&conversation) {
                idle.into_iter().for_each(|peer| log.holders.distrust(peer, cx.now));
            }
        }
        let held_wants = offered.facts.held.iter().flatten().map(|h| h.wants).next().unwrap_or_default();
        let filled = self.filled(conversation, &offered);
        let Offered { run, source, facts, .. } = offered;
        let run = match kind {
            Kind::Late => filled,
            Kind::Next | Kind::Fork | Kind::Gap | Kind::Lost | Kind::Old => self.fitting(conversation, run),
        };
        let Some(run) = run else { return };
        let wants = match kind {
            Kind::Late if run.is_bare() => held_wants,
            Kind::Lost if lacks => Wants::Repair,
            Kind::Next | Kind::Fork | Kind::Gap if lacks && facts.told.values().any(|told| *told) => Wants::Repair,
            // A later page request may bring the missing bodies below the base.
            Kind::Old if run.is_bare() => Wants::Repair,
            Kind::Next | Kind::Fork | Kind::Gap if lacks => Wants::News,
            Kind::Next | Kind::Fork | Kind::Gap | Kind::Lost | Kind::Old | Kind::Late => Wants::Nothing,
        };
        self.take(cx, conversation, &run, (kind, wants), &facts, source, out);
    }

    /// Peers of a conversation: its neighbours, or all that are linked.
    pub(super) fn holders(&self, conversation: ConversationId) -> Vec<NodeId> {
        let Some(policy) = self.logs.get(&conversation).map(|l| &l.policy) else { return Vec::new() };
        let is_linked = |p: &NodeId| self.linked.contains_key(p) && policy.may_sync(*p);
        let neighbours: Vec<NodeId> = self.neighbours.iter().copied().filter(is_linked).collect();
        if policy.is_of_all() && !neighbours.is_empty() {
            return neighbours;
        }
        self.linked.keys().copied().filter(is_linked).collect()
    }

    /// The stored run with the bodies that came.
    fn filled(&self, conversation: ConversationId, offered: &Offered) -> Option<Run> {
        self.logs.get(&conversation)?;
        offered.facts.held.as_ref()?.as_ref()?.run.filled_from(&offered.run)
    }

    /// Words of this node that come back in a private conversation prove nothing but that they were said: the other
    /// side could have made them up. They stand as headers.
    fn fitting(&self, conversation: ConversationId, run: Run) -> Option<Run> {
        let log = self.logs.get(&conversation)?;
        if !log.policy.is_signed() && run.log.author == self.me { run.without_bodies().ok() } else { Some(run) }
    }

    pub(super) fn park(
        &mut self,
        cx: &Cx<'_>,
        conversation: ConversationId,
        offered: Offered,
        stage: Stage,
    ) -> Option<Key> {
        let key = (conversation, offered.run.last()?);
        if self.sweep_at.is_none() {
            self.sweep_at = Some(cx.now + self.config.chat.pending_for);
        }
        let fits = self.waiting.park(key, Parked { offered, stage }, &self.config.limits);
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
        let Some(log) = self.logs.get(&key.0) else { return };
        let (policy, id) = (log.policy.clone(), log.id);
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
            Need::Told(id) => {
                let row = records.first().and_then(|r| Row::read(&r.value).ok());
                let is_told = |row: Row| !matches!(row.at, At::End(held) if held.wants == Wants::News);
                facts.told.insert(id, row.is_some_and(is_told));
            }
            Need::Run(_) => {
                let held = records.first().and_then(|r| Row::read(&r.value).ok()).and_then(|row| match row.at {
                    At::End(held) if held.wants != Wants::Nothing => {
                        let run = stored_run(&policy, id, &held.run.0).ok()?;
                        Some(log::Held { run, wants: held.wants, void: held.void })
                    }
                    At::End(_) | At::In(_) => None,
                });
                facts.held = Some(held);
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
    pub(super) fn again(&mut self, cx: &mut Cx<'_>, key: Key, out: &mut Outbox<Out>) {
        let Some(Parked { mut offered, stage }) = self.waiting.take(key) else { return };
        let Some(log) = self.logs.get(&key.0) else { return };
        if matches!(stage, Stage::Missing(_)) {
            // What was missing may be there now.
            offered.facts.entries.retain(|_, read| read.is_some());
        }
        let verdict = log.judge(&offered.run, &offered.facts, offered.source.repairs());
        self.decide(cx, key.0, offered, verdict, out);
    }

    /// Takes a run. What waited for it is woken next.
    #[expect(clippy::too_many_arguments, reason = "all of them are what a taken run is stored and reported with")]
    pub(super) fn take(
        &mut self,
        cx: &mut Cx<'_>,
        conversation: ConversationId,
        run: &Run,
        (kind, wants): (Kind, Wants),
        facts: &Facts,
        source: Source,
        out: &mut Outbox<Out>,
    ) {
        let Some(log) = self.logs.get_mut(&conversation) else { return };
        let is_repaired = matches!(kind, Kind::Lost | Kind::Late | Kind::Old);
        let is_copied = source != Source::Own && !is_repaired && run.log == log.own_log();
        if is_copied && !planted(Bug::LifeGoesOn) {
            // Another copy of this profile writes this life: it is restored from a backup, or runs twice.
            if log.begin_life(Life(cx.rng.bytes()), cx.now) {
                out.push(Out::LifeBegun { conversation: log.policy.kind() });
            }
        }
        let is_past = |c: &Context| log.policy.is_past(run.log.author, c.stint);
        let is_late = run.context.as_ref().is_some_and(is_past);
        let taken = log.take(run, kind, facts, (cx.now, cx.wall), is_late);
        if let (Source::Own, Some(last)) = (source, taken.last()) {
            let spoke = taken.iter().any(|t| t.body.as_ref().is_some_and(|b| b.content.is_some()));
            log.said(last, spoke);
        }
        if kind == Kind::Fork && source != Source::Own && log.policy.proves_fork(run.log.author) {
            let seq = taken.first().map_or(0, |t| t.known.seq);
            let LifeId { author, life } = run.log;
            out.push(Out::Forked { conversation: log.policy.kind(), author, life, seq });
        }
        self.store(cx, conversation, run, (kind, wants), facts, &taken, out);
        self.hide_or_reveal(conversation, run, out);
        self.unsaved_since = cx.now;
        self.unsaved.insert(conversation);
        let quiet = is_late || kind == Kind::Late && facts.held.iter().flatten().any(|h| h.wants == Wants::Repair);
        if !quiet {
            let taken: Vec<&Taken<'_>> = taken.iter().filter(|t| facts.told.get(&t.id) != Some(&true)).collect();
            self.report(conversation, run, &taken, kind, source, out);
        }
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
                (Some(Carriage::Delivery), Some(last)) => {
                    let speaks = |t: &&Taken<'_>| t.id == last || t.body.as_ref().is_some_and(|b| b.content.is_some());
                    let ids: Vec<MessageId> = taken.iter().filter(speaks).map(|t| t.id).collect();
                    let receivers = self.logs.get(&conversation).map_or(&[][..], |log| log.policy.receivers());
                    for to in receivers {
                        out.push(Out::Submit { to: *to, ids: ids.clone(), body: run.bytes.clone() });
                    }
                }
                (Some(Carriage::Members(group)), _) => {
                    out.after_commit(Out::Carry { group, body: run.bytes.clone() });
                }
                _ => {}
            },
            Source::Member { .. } | Source::Peer { .. } => {}
        }
        if let Some(peer) = from {
            self.progress(
                cx,
                conversation,
                peer,
                matches!(source, Source::Member { .. } | Source::Peer { .. }) && !taken.is_empty(),
            );
        }
        self.tell_own(cx.now, conversation);
        if source != Source::Own && !taken.is_empty() && !run.is_bare() && kind != Kind::Old {
            self.acknowledge(cx, conversation, run.log.author);
            self.typed(conversation, run.log.author, out);
        }
        self.report_later(cx.now, conversation);
        self.merge_later(cx, conversation);
        self.prune_later(cx.now, conversation);
        if planted(Bug::LostWakeUp) {
            return;
        }
        self.woken.extend(taken.iter().flat_map(|t| self.waiting.woken_by(conversation, Parent::of(t.id))));
    }

    #[expect(clippy::too_many_arguments, reason = "all of them are what a taken run is stored with")]
    fn store(
        &mut self,
        cx: &Cx<'_>,
        conversation: ConversationId,
        run: &Run,
        (kind, wants): (Kind, Wants),
        facts: &Facts,
        taken: &[Taken<'_>],
        out: &mut Outbox<Out>,
    ) {
        let (Some(log), Some(last)) = (self.logs.get_mut(&conversation), run.last()) else { return };
        let mut void: Vec<u8> = taken.iter().filter(|t| t.void).filter_map(|t| u8::try_from(t.from_end).ok()).collect();
        void.extend(facts.held.iter().flatten().flat_map(|held| &held.void));
        if kind != Kind::Old && last.depth >= log.joined() && (kind == Kind::Late || wants != Wants::Nothing) {
            log.want(last, if run.is_bare() { wants } else { Wants::Nothing });
        }
        let (entries, is_first_time) = (taken.len() as u64, log.is_known_first_time(run.log.author));
        let held = NewHeld { run: Bytes(&run.bytes), wants, void: &void, arrived: cx.wall, first_time: is_first_time };
        let is_marked = match kind {
            Kind::Late => {
                log.retention.fill(run, is_first_time);
                false
            }
            Kind::Next | Kind::Fork | Kind::Gap | Kind::Lost | Kind::Old => {
                log.retention.add(&self.config.chat, run, entries, is_first_time, cx.wall)
            }
        };
        if is_marked {
            self.unsaved_retention.insert(conversation);
        }
        if kind == Kind::Late {
            // The entries are stored: only the run is written again.
            if let Some(known) = log.known(last, facts) {
                let clock = known.clock.as_ref().map(|counts| counts.as_slice());
                let row = NewRow { log: known.log, seq: known.seq, clock, at: NewAt::End(held) };
                out.put(ENTRIES, entry_key(log.number, last), encode(&row));
            }
        }
        for t in taken {
            self.messages = self.messages.saturating_add(u64::from(kind != Kind::Late));
            store_edit(log.number, t, out);
            if kind == Kind::Late {
                continue;
            }
            let at = if t.id == last { NewAt::End(held) } else { NewAt::In(last) };
            let clock = t.known.clock.as_ref().map(|counts| counts.as_slice());
            let row = NewRow { log: t.known.log, seq: t.known.seq, clock, at };
            let mut place = t.id;
            if planted(Bug::OrderByArrival) {
                place.depth = self.messages;
            }
            out.put(ENTRIES, entry_key(log.number, place), encode(&row));
            if !(planted(Bug::ToldAgainAfterRestart) && t.known.log.author != self.me) {
                let tip = Tip { seq: t.known.seq, id: t.id };
                out.put(NUMBERS, number_key(log.number, t.known.log, tip), encode(&t.id));
            }
        }
    }

    fn report(
        &mut self,
        conversation: ConversationId,
        run: &Run,
        taken: &[&Taken<'_>],
        kind: Kind,
        source: Source,
        out: &mut Outbox<Out>,
    ) {
        let (is_reported, me) = (self.reports(run.log.author), self.me);
        let (is_blocked, is_own) = (self.blocked.contains(&run.log.author), self.is_own(run.log.author));
        let elsewhere = self.read_elsewhere.get(&conversation).copied();
        let Some(log) = self.logs.get_mut(&conversation) else { return };
        // The store lost it: the application got its event before. Below the base nothing is news.
        let is_news = matches!(kind, Kind::Next | Kind::Fork | Kind::Gap | Kind::Late) && !log.is_old(run);
        if !is_news || source == Source::Own || run.log.author == me || is_blocked {
            return;
        }
        for t in taken.iter().filter(|t| !t.void) {
            let is_read = is_own || elsewhere.is_some_and(|upto| t.id <= upto);
            log.unread = log.unread.saturating_add(u32::from(!is_read && t.body.is_some_and(super::unread::counts)));
            if !is_reported {
                continue;
            }
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
            let policy = &logs.get(&conversation)?.policy;
            let first: Vec<NodeId> = neighbours.iter().copied().filter(|p| !asked.contains(p)).collect();
            let all =
                || linked.keys().copied().filter(|p| !asked.contains(p) && policy.may_sync(*p)).collect::<Vec<_>>();
            let eligible = if policy.is_of_all() && !first.is_empty() { first } else { all() };
            rng.pick(&eligible).copied()
        };
        let (questions, late) = self.waiting.questions(cx.now, others);
        for question in questions {
            let (conversation, peer) = (question.conversation, question.peer);
            if !self.linked.contains_key(&peer) {
                continue;
            }
            let many = self.waiting.of_peer(peer) > MANY || question.parents.len() >= MAX_WANTED;
            if many && self.may_pull(conversation, peer, cx.now) {
                self.pull(cx, conversation, peer, true, out);
            } else if !self.is_pulling(conversation, peer) {
                send(self.network, peer, &Sync::Want { conversation, parents: question.parents }, out);
            }
        }
        self.unless_wanted(cx, late, out);
    }

    /// Whether what a content is about is in memory and may be: an own message for an edit, any for an answer.
    pub(super) fn has_target(&self, conversation: ConversationId, content: &Content) -> bool {
        let Some(target) = content.about() else { return true };
        let author = self.logs.get(&conversation).and_then(|log| log.author_of(target));
        match content {
            Content::Edit { .. } | Content::Retract { .. } => author == Some(self.me),
            Content::Text { .. } | Content::Reply { .. } | Content::React { .. } | Content::File { .. } => {
                author.is_some()
            }
        }
    }
}

/// Stores what an entry does to an earlier one.
fn store_edit(conversation: u32, taken: &Taken<'_>, out: &mut Outbox<Out>) {
    let Some(content) = taken.body.as_ref().and_then(|b| b.content.as_ref()).filter(|_| !taken.void) else { return };
    match content {
        Content::Edit { edit_of, text } => {
            out.put(EDITS, edit_key(conversation, *edit_of, taken.id), encode_edit(Some(text)));
        }
        Content::Retract { retract } => {
            out.put(EDITS, edit_key(conversation, *retract, taken.id), encode_edit(None));
        }
        Content::Text { .. } | Content::Reply { .. } | Content::React { .. } | Content::File { .. } => {}
    }
}

/// A taken entry for the application; none if it says nothing.
pub(super) fn message(conversation: Conversation, taken: &Taken<'_>, clock: Option<VectorClock>) -> Option<Message> {
    told(conversation, (taken.id, taken.known.log, taken.known.seq), taken.body?, clock)
}

/// An entry for the application; none if it says nothing.
pub(super) fn message_of(
    conversation: Conversation,
    log: LifeId,
    entry: &Entry,
    clock: Option<VectorClock>,
) -> Option<Message> {
    told(conversation, (entry.id, log, entry.seq), entry.body.as_ref()?, clock)
}

fn told(
    conversation: Conversation,
    (id, log, seq): (MessageId, LifeId, u64),
    body: &Body,
    clock: Option<VectorClock>,
) -> Option<Message> {
    Some(Message {
        id,
        conversation,
        author: log.author,
        life: log.life,
        seq,
        clock,
        sent_at: body.sent_at,
        content: body.content.clone()?,
        edited: None,
        retracted: false,
    })
}
