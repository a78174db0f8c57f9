//! Where this node begins in a conversation that is longer than what it takes (docs/design/log.md §6, R7).

use alloc::vec::Vec;

use crate::chat::entry::LifeId;
use crate::chat::log::Log;
use crate::chat::rows::{At, EDITS, ENTRIES, NUMBERS, Row, all_of, stored_run};
use crate::chat::{Chat, Out, Reading};
use crate::id::{ConversationId, Life};
use crate::machine::{Cx, Outbox};
use crate::store::{Record, Table};
use crate::time::Duration;
use crate::wire::content::Content;

/// Most peers have not come to this node's base for so long: it was given a wrong one, and begins anew. A minute
/// (docs/design/log.md §9, law 6).
const WRONG_AFTER: Duration = Duration::from_secs(60);

/// Rows of a conversation that was begun anew, which are deleted.
#[derive(Debug)]
pub(super) struct Leftover {
    conversation: ConversationId,
    number: u32,
    table: Table,
}

impl Chat {
    /// A newcomer begins with the newest page, and so does a node that was away for longer than the headers of others
    /// reach. What a minority says has no effect.
    pub(super) fn choose_base(&mut self, cx: &mut Cx<'_>, conversation: ConversationId, out: &mut Outbox<Out>) {
        let links = self.holders(conversation).len();
        let Some(log) = self.logs.get_mut(&conversation).filter(|l| l.holders.are_enough(links, cx.now)) else { return };
        let page = log.holders.middle(|h| h.page.max(h.base));
        let is_newcomer = log.policy.is_signed() && log.is_new() && log.is_empty();
        let is_behind = log.holders.middle(|h| h.base) > log.deepest().saturating_add(1);
        let is_ahead = log.holders.middle(|h| h.newest) < log.base();
        if page > log.base() && (is_newcomer || is_behind) {
            log.raise_base(page);
            self.unsaved_since = cx.now;
            self.unsaved.insert(conversation);
        } else if is_newcomer && page < log.base() || log.holders.is_wrong_since(is_ahead, cx.now, WRONG_AFTER) {
            self.begin_anew(cx, conversation, page, out);
        }
    }

    /// The base was wrong: nothing of what others say would ever be news. What was said here is said again.
    fn begin_anew(&mut self, cx: &mut Cx<'_>, conversation: ConversationId, base: u64, out: &mut Outbox<Out>) {
        let number = self.next_number;
        let Some(old) = self.logs.get_mut(&conversation) else { return };
        self.next_number = number.saturating_add(1);
        let mut log = Log::new(conversation, number, old.policy, self.me, Life(cx.rng.bytes()));
        log.holders = core::mem::take(&mut old.holders);
        log.raise_base(base);
        let left = Leftover { conversation, number: old.number, table: ENTRIES };
        self.logs.insert(conversation, log);
        self.waiting.forget(conversation);
        self.unsaved_since = cx.now;
        self.unsaved.insert(conversation);
        self.unsaved_retention.insert(conversation);
        self.clear(left, out);
    }

    fn clear(&mut self, left: Leftover, out: &mut Outbox<Out>) {
        let scan = all_of(left.table, left.number);
        self.read(Reading::Leftover(left), scan, out);
    }

    pub(super) fn leftover_read(
        &mut self,
        cx: &mut Cx<'_>,
        left: Leftover,
        records: &[Record],
        out: &mut Outbox<Out>,
    ) {
        let Leftover { conversation, number, table } = left;
        let own = self.own_texts(conversation, records);
        for record in records {
            out.delete(table, record.key.clone());
        }
        if let Some(kind) = self.logs.get(&conversation).map(|log| log.policy.kind())
            && !own.is_empty()
        {
            // They are texts that were valid: there is space for them.
            let _ = self.say(cx, kind, own, out);
            self.sign(cx, out);
        }
        let next = match (records.is_empty(), table) {
            (false, same) => same,
            (true, ENTRIES) => NUMBERS,
            (true, NUMBERS) => EDITS,
            (true, _) => return,
        };
        self.clear(Leftover { conversation, number, table: next }, out);
    }

    /// This node's own texts among rows. What is about another message is not said again: that message is not here.
    fn own_texts(&self, conversation: ConversationId, records: &[Record]) -> Vec<Content> {
        let Some(log) = self.logs.get(&conversation) else { return Vec::new() };
        let is_own = |log: &LifeId| log.author == self.me;
        let rows = records.iter().filter(|r| r.table == ENTRIES).filter_map(|r| Row::read(&r.value).ok());
        let runs = rows.filter(|row| is_own(&row.log)).filter_map(|row| match row.at {
            At::End(held) => stored_run(log.policy, log.id, &held.run.0).ok(),
            At::In(_) => None,
        });
        let bodies = runs.flat_map(|run| run.entries).filter_map(|entry| entry.body?.content);
        bodies.filter(|content| content.about().is_none()).collect()
    }
}
