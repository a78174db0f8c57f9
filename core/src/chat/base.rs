//! Where this node begins in a conversation that is longer than what it takes (docs/design/log.md §6, R7).

use alloc::vec::Vec;

use crate::chat::log::{Log, Unsaid};
use crate::chat::rows::{At, EDITS, ENTRIES, NUMBERS, Row, all_of, entry_key, stored_run};
use crate::chat::{Chat, Out, Reading};
use crate::id::{ConversationId, Life, MessageId};
use crate::machine::{Cx, Outbox};
use crate::store::{Record, Table};
use crate::time::Duration;
use crate::wire::content::Content;

/// Most peers have not come to this node's base for so long: it was given a wrong one, and begins anew. A minute
/// (docs/design/log.md §9, law 6).
const WRONG_AFTER: Duration = Duration::from_secs(60);

/// Rows with this node's texts that are to be said again.
#[derive(Debug)]
pub(super) struct Leftover {
    conversation: ConversationId,
    unsaid: Unsaid,
    table: Table,
    /// All rows go, not only those that are said again.
    clears: bool,
    /// Where the next read begins.
    next: Vec<u8>,
}

impl Chat {
    /// A newcomer begins with the newest page, and so does a node that was away for longer than the headers of others
    /// reach. What a minority says has no effect.
    pub(super) fn choose_base(&mut self, cx: &mut Cx<'_>, conversation: ConversationId, out: &mut Outbox<Out>) {
        let peers = self.holders(conversation);
        let Some(log) = self.logs.get_mut(&conversation) else { return };
        // In a private conversation there is no majority.
        if !log.policy.is_signed() || !log.holders.are_enough(&peers, cx.now) {
            return;
        }
        let page = log.holders.middle(&peers, |h| h.page.max(h.base));
        let is_newcomer = log.is_newcomer();
        let is_behind = log.holders.middle(&peers, |h| h.base) > log.deepest().saturating_add(1);
        // Nothing of what they say would be news, or nothing of what is said here reaches them.
        let is_wrong =
            log.holders.middle(&peers, |h| h.newest) < log.joined() || log.holders.are_held_up(&peers, cx.now);
        if is_newcomer && page < log.joined() || log.holders.is_wrong_since(is_wrong, cx.now, WRONG_AFTER) {
            self.begin_anew(cx, conversation, page, out);
        } else if page > log.base() && (is_newcomer || is_behind) {
            log.join_at(page, Life(cx.rng.bytes()));
            self.unsaved_since = cx.now;
            self.unsaved.insert(conversation);
        }
    }

    /// The base was wrong: nothing of what others say would ever be news. What this node said is said again when it has
    /// caught up.
    fn begin_anew(&mut self, cx: &mut Cx<'_>, conversation: ConversationId, base: u64, out: &mut Outbox<Out>) {
        let number = self.next_number;
        let Some(old) = self.logs.get_mut(&conversation) else { return };
        self.next_number = number.saturating_add(1);
        let mut log = Log::new(conversation, number, old.policy.clone(), self.me, Life(cx.rng.bytes()));
        log.holders = core::mem::take(&mut old.holders);
        log.holders.begin_anew(cx.now);
        log.join_at(base, Life(cx.rng.bytes()));
        let (before, mut unsaid) = (old.leftover, old.unsaid(true));
        match before {
            // It was given a base before it said again what it had said.
            Some(left) if !left.is_left => (unsaid.life, unsaid.after) = (left.life, left.after),
            // That was long enough ago.
            Some(left) => self.begin_leftover(conversation, left, true, out),
            None => {}
        }
        log.leftover = Some(unsaid);
        self.logs.insert(conversation, log);
        self.waiting.forget(conversation);
        self.unsaved_since = cx.now;
        self.unsaved.insert(conversation);
        self.unsaved_retention.insert(conversation);
    }

    /// This node has caught up: it says again what others never had.
    pub(super) fn say_again(&mut self, conversation: ConversationId, out: &mut Outbox<Out>) {
        let Some(log) = self.logs.get(&conversation).filter(|log| log.deepest() >= log.joined()) else { return };
        if let Some(unsaid) = log.leftover.filter(|unsaid| !unsaid.is_said) {
            self.begin_leftover(conversation, unsaid, false, out);
        }
    }

    /// After about a day every reported message has come again: the record of what was reported is deleted.
    pub(super) fn clear_leftovers(&mut self, out: &mut Outbox<Out>) {
        let all: Vec<(ConversationId, Unsaid)> =
            self.logs.iter().filter_map(|(id, log)| Some((*id, log.leftover.filter(|u| u.is_said)?))).collect();
        for (conversation, unsaid) in all {
            self.begin_leftover(conversation, unsaid, true, out);
        }
    }

    fn begin_leftover(&mut self, conversation: ConversationId, unsaid: Unsaid, clears: bool, out: &mut Outbox<Out>) {
        let is_read = |r: &Reading| matches!(r, Reading::Leftover(left) if left.conversation == conversation);
        if !self.reads.values().any(is_read) {
            self.read_leftover(Leftover { conversation, unsaid, table: ENTRIES, clears, next: Vec::new() }, out);
        }
    }

    fn read_leftover(&mut self, left: Leftover, out: &mut Outbox<Out>) {
        let mut scan = all_of(left.table, left.unsaid.number);
        if let (false, Some(log)) = (left.unsaid.is_left, self.logs.get(&left.conversation)) {
            scan.end = entry_key(left.unsaid.number, MessageId::first_of(log.joined()));
        }
        scan.start = scan.start.max(left.next.clone());
        self.read(Reading::Leftover(left), scan, out);
    }

    pub(super) fn leftover_read(&mut self, cx: &mut Cx<'_>, left: Leftover, records: &[Record], out: &mut Outbox<Out>) {
        let Leftover { conversation, unsaid, table, clears, mut next } = left;
        let Some(kind) = self.logs.get(&conversation).map(|log| log.policy.kind()) else { return };
        let mut again = Vec::new();
        for record in records {
            let texts = self.unsaid_texts(conversation, unsaid, record);
            // In the batch in which they are said again: they are said twice by no crash.
            if clears || texts.is_some() {
                out.delete(table, record.key.clone());
            }
            again.extend(texts.into_iter().flatten());
            next.clone_from(&record.key);
            next.push(0);
        }
        if !again.is_empty() {
            // They are texts that were valid: there is space for them.
            let _ = self.say(cx, kind, again, out);
            self.sign(cx, out);
        }
        let (table, next) = match (records.is_empty(), table) {
            (false, same) => (same, next),
            (true, ENTRIES) if clears => (NUMBERS, Vec::new()),
            (true, NUMBERS) => (EDITS, Vec::new()),
            (true, _) => {
                if let Some(log) = self.logs.get_mut(&conversation) {
                    let is_this = log.leftover.is_some_and(|left| left.number == unsaid.number);
                    if is_this {
                        let stays = unsaid.is_left && !clears;
                        log.leftover = stays.then_some(Unsaid { is_said: true, ..unsaid });
                    }
                }
                self.unsaved_since = cx.now;
                self.unsaved.insert(conversation);
                return;
            }
        };
        self.read_leftover(Leftover { conversation, unsaid, table, clears, next }, out);
    }

    /// This node's own texts of a row that are to be said again; none if it is another row. What is about another
    /// message is not said again: others do not have that message.
    fn unsaid_texts(&self, conversation: ConversationId, unsaid: Unsaid, record: &Record) -> Option<Vec<Content>> {
        let log = self.logs.get(&conversation).filter(|_| record.table == ENTRIES)?;
        let row = Row::read(&record.value).ok()?;
        let is_unsaid = row.log.life == unsaid.life && row.seq > unsaid.after;
        let At::End(held) = row.at else { return None };
        if row.log.author != self.me || !is_unsaid {
            return None;
        }
        let run = stored_run(&log.policy, log.id, &held.run.0).ok()?;
        let bodies = run.entries.into_iter().filter_map(|entry| entry.body?.content);
        Some(bodies.filter(|content| content.about().is_none()).collect())
    }
}
