//! Deleting what a conversation keeps no longer, a few rows at a time ([`Retention`](super::retain)).

use alloc::vec::Vec;

use crate::chat::known::Tip;
use crate::chat::log::Wants;
use crate::chat::retain::{Retention, Walk};
use crate::chat::rows::{
    At, EDITS, ENTRIES, Held, NUMBERS, NewAt, NewHeld, NewRow, READ_BYTES, READ_ROWS, RETENTION, Row, edited,
    edits_scan, entries_from, entry_id, entry_key, number_key, stored_run,
};
use crate::chat::{Chat, Out, Reading};
use crate::collections::{OrderedMap, OrderedSet};
use crate::id::{ConversationId, MessageId};
use crate::machine::{Cx, Outbox};
use crate::store::Record;
use crate::time::{Duration, Instant};
use crate::wire::entry::Run;
use crate::wire::{Bytes, encode};

/// What came is looked at after this: 1 s, so that a burst costs one walk.
const AFTER: Duration = Duration::from_secs(1);
/// What is old is looked for this often: every hour.
const EVERY: Duration = Duration::from_secs(3_600);

#[derive(Debug, Default)]
pub(super) struct Pruning {
    /// Conversations in which a walk is under way.
    walks: OrderedMap<ConversationId, Walk>,
    pub(super) at: Option<Instant>,
}

impl Pruning {
    pub(super) fn len(&self) -> usize {
        self.walks.len()
    }
}

impl Chat {
    /// Something came that may be too much.
    pub(super) fn prune_later(&mut self, now: Instant, conversation: ConversationId) {
        let Some(log) = self.logs.get(&conversation) else { return };
        let is_due = log.retention.is_deleting() || log.retention.wants(&self.config.chat, false).is_some();
        if is_due && !self.pruning.walks.contains_key(&conversation) {
            let soon = now + AFTER;
            self.pruning.at = Some(self.pruning.at.map_or(soon, |at| at.min(soon)));
        } else if !self.config.chat.keep_for.is_zero() && self.pruning.at.is_none() {
            self.pruning.at = Some(now + EVERY);
        }
    }

    /// What is old is looked for from the start on.
    pub(super) fn prune_often(&mut self, now: Instant) {
        if !self.config.chat.keep_for.is_zero() && !self.logs.is_empty() {
            self.pruning.at = Some(now + EVERY);
        }
        if self.logs.values().any(|log| log.retention.is_deleting()) {
            self.pruning.at = Some(now);
        }
    }

    pub(super) fn prune_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.pruning.at.take_if(|at| *at <= cx.now).is_none() {
            return;
        }
        let ages = !self.config.chat.keep_for.is_zero();
        if ages {
            self.pruning.at = Some(cx.now + EVERY);
        }
        let all: Vec<ConversationId> = self.logs.keys().copied().collect();
        for conversation in all {
            let Some(log) = self.logs.get(&conversation) else { continue };
            let deleted = log.retention.is_deleting().then_some(Walk::Deleted);
            let wants = deleted.or_else(|| log.retention.wants(&self.config.chat, false));
            if let Some(walk) = wants.or(ages.then_some(Walk::Bodies))
                && !self.pruning.walks.contains_key(&conversation)
            {
                self.walk(conversation, walk, out);
            }
        }
    }

    /// The user deleted a conversation. A walk that is under way is followed by this one.
    pub(super) fn walk_deleted(&mut self, conversation: ConversationId, out: &mut Outbox<Out>) {
        if !self.pruning.walks.contains_key(&conversation) {
            self.walk(conversation, Walk::Deleted, out);
        }
    }

    fn walk(&mut self, conversation: ConversationId, walk: Walk, out: &mut Outbox<Out>) {
        let Some(log) = self.logs.get(&conversation) else { return };
        self.pruning.walks.insert(conversation, walk);
        let scan = entries_from(log.number, log.retention.place(walk));
        self.read(Reading::Prune(conversation), scan, out);
    }

    pub(super) fn prune_read(
        &mut self,
        cx: &mut Cx<'_>,
        conversation: ConversationId,
        records: &[Record],
        out: &mut Outbox<Out>,
    ) {
        let Some(walk) = self.pruning.walks.remove(&conversation) else { return };
        let is_end = !super::is_cut(records, READ_ROWS, READ_BYTES);
        let (mut place, mut is_done) = (None, false);
        let mut emptied = OrderedSet::new();
        for record in records {
            let (Ok(id), Ok(row)) = (entry_id(&record.key), Row::read(&record.value)) else { continue };
            if let At::End(held) = &row.at {
                match self.prune_run(cx, conversation, (id, &row, held), walk, &mut emptied, out) {
                    Step::On => {}
                    Step::Done => {
                        is_done = true;
                        break;
                    }
                }
            }
            place = Some(id.next());
        }
        let number = self.logs.get(&conversation).map_or(0, |log| log.number);
        if let (Some(first), Some(last)) = (emptied.first().copied(), emptied.last().copied()) {
            self.read(Reading::PruneEdits(emptied), edits_scan(number, first, last), out);
        }
        let Some(log) = self.logs.get_mut(&conversation) else { return };
        if let Some(place) = place {
            log.retention.walked(walk, place);
        }
        if is_end && walk == Walk::Shares && !is_done {
            log.retention.walked(walk, MessageId::first_of(0));
        }
        self.unsaved.insert(conversation);
        self.unsaved_retention.insert(conversation);
        self.unsaved_since = cx.now;
        let next = match (walk, is_done, is_end) {
            (_, true, _) | (Walk::Bodies | Walk::Headers | Walk::Deleted, false, true) => None,
            // No author has more than its share any more.
            (Walk::Shares, false, true) => Some(Walk::Bodies),
            (_, false, false) => Some(walk),
        };
        if let Some(walk) = next {
            return self.walk(conversation, walk, out);
        }
        let Some(log) = self.logs.get_mut(&conversation) else { return };
        let again = walk == Walk::Deleted && log.retention.deleted();
        if again || walk != Walk::Deleted && log.retention.is_deleting() {
            return self.walk(conversation, Walk::Deleted, out);
        }
        let too_many_headers = log.retention.wants(&self.config.chat, false) == Some(Walk::Headers);
        if too_many_headers && walk != Walk::Headers {
            self.walk(conversation, Walk::Headers, out);
        }
    }

    fn prune_run(
        &mut self,
        cx: &Cx<'_>,
        conversation: ConversationId,
        (id, row, held): (MessageId, &Row, &Held),
        walk: Walk,
        emptied: &mut OrderedSet<MessageId>,
        out: &mut Outbox<Out>,
    ) -> Step {
        let config = &self.config.chat;
        let Some(log) = self.logs.get_mut(&conversation) else { return Step::Done };
        let Ok(run) = stored_run(&log.policy, log.id, &held.run.0) else { return Step::On };
        let wants = log.retention.wants(config, true);
        let is_empty = run.is_empty();
        match walk {
            Walk::Headers => {
                // What a newcomer would begin with stays.
                let page = log.retention.page(config, cx.wall);
                if wants != Some(Walk::Headers) || id.depth >= page {
                    return Step::Done;
                }
                if is_empty {
                    forget(log.number, &run, out);
                    log.retention.forgot(run.entries.len());
                    log.raise_base(id.depth.saturating_add(1));
                }
                return Step::On;
            }
            Walk::Shares if wants != Some(Walk::Shares) => return Step::Done,
            Walk::Shares if !log.retention.is_greedy(row.log.author) => return Step::On,
            Walk::Bodies => {
                let is_old = Retention::is_past(config, held.arrived, cx.wall);
                if !is_old && !matches!(wants, Some(Walk::Bodies | Walk::Shares)) {
                    return Step::Done;
                }
            }
            Walk::Deleted => {
                if log.retention.deletion.is_none_or(|d| d.until < id) {
                    return Step::Done;
                }
                if !log.retention.is_deleted(id, held.arrived) {
                    return Step::On;
                }
            }
            Walk::Shares => {}
        }
        if is_empty {
            return Step::On;
        }
        if !log.may_delete(row.log, row.seq) && walk == Walk::Deleted {
            log.retention.keep_deleted();
            return Step::On;
        }
        if !log.may_delete(row.log, row.seq) {
            log.retention.keep(id);
            return Step::On;
        }
        let (entries, bytes) = (run.entries.len(), run.bytes.len());
        emptied.extend(run.entries.iter().map(|e| e.id));
        let held_first_time = held.first_time;
        let Ok(bare) = run.without_bodies() else { return Step::On };
        let held = NewHeld {
            run: Bytes(&bare.bytes),
            wants: Wants::Nothing,
            void: &[],
            arrived: held.arrived,
            first_time: held.first_time,
        };
        let new = NewRow { log: row.log, seq: row.seq, clock: row.clock.as_deref(), at: NewAt::End(held) };
        out.put(ENTRIES, entry_key(log.number, id), encode(&new));
        log.want(id, Wants::Nothing);
        let author = (!held_first_time).then_some(row.log.author);
        log.retention.emptied(author, id, entries, bytes);
        Step::On
    }

    /// What was done to messages whose texts are gone.
    pub(super) fn prune_edits(&mut self, emptied: &OrderedSet<MessageId>, records: &[Record], out: &mut Outbox<Out>) {
        for record in records.iter().filter(|r| edited(&r.key).is_ok_and(|id| emptied.contains(&id))) {
            out.delete(EDITS, record.key.clone());
        }
    }

    /// Stores where conversations are cut.
    pub(super) fn save_retention(&mut self, out: &mut Outbox<Out>) {
        while let Some(conversation) = self.unsaved_retention.pop_first() {
            if let Some(log) = self.logs.get(&conversation) {
                out.put(RETENTION, conversation.0.to_vec(), encode(&log.retention));
            }
        }
    }
}

/// Whether a walk goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    On,
    Done,
}

/// Deletes the headers of a run. The number of its last entry stays until its successor goes: what follows it is
/// recognised by it.
fn forget(conversation: u32, run: &Run, out: &mut Outbox<Out>) {
    let mut before = None;
    for entry in &run.entries {
        out.delete(ENTRIES, entry_key(conversation, entry.id));
        if let Some(id) = before.or(entry.prev).filter(|_| entry.seq > 1) {
            let tip = Tip { seq: entry.seq.saturating_sub(1), id };
            out.delete(NUMBERS, number_key(conversation, run.log, tip));
        }
        before = Some(entry.id);
    }
}
