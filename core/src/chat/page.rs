//! Pages of history: messages in display order, with what later entries did to them.

use alloc::string::String;
use alloc::vec::Vec;

use crate::chat::known::Known;
use crate::chat::rows::{At, ENTRIES, Row, edits_scan, entry_id, entry_key, entry_scan, last_edits, stored_run};
use crate::chat::wire::{End, Sync};
use crate::chat::{BUNDLE_BYTES, Chat, Out, Reading, send};
use crate::collections::{OrderedMap, OrderedSet};
use crate::id::{ConversationId, MessageId, NodeId};
use crate::machine::{Command, Cx, Outbox};
use crate::stats::DropReason;
use crate::store::{Record, Scan};
use crate::time::{Duration, Instant};
use crate::wire::content::{Conversation, Message};
use crate::wire::entry::{Body, Parent, Run};

/// Messages on one page of history at most.
pub(crate) const MAX_PAGE: u32 = 500;
/// Bytes of one read: 1 MiB, sixteen of the largest messages.
const PAGE_BYTES: u32 = 1 << 20;

/// A page that is being read, from its newest message to its oldest.
#[derive(Debug)]
pub(super) struct Query {
    query: u64,
    conversation: ConversationId,
    kind: Conversation,
    limit: usize,
    rows: OrderedMap<MessageId, Row>,
    /// The entries of runs that were read.
    bodies: OrderedMap<MessageId, Option<Body>>,
    /// Runs of which only a part is on this page.
    ends: Vec<MessageId>,
    /// Where the next read ends; none at the beginning of the history.
    next_end: Option<Vec<u8>>,
    before: Option<MessageId>,
    /// Edits and retractions without effect.
    void: OrderedSet<MessageId>,
    /// Others were asked for what lies below the base.
    scrolled: bool,
}

/// A page that waits for what a peer brings from below the base.
#[derive(Debug)]
pub(super) struct Scroll {
    query: Query,
    peer: NodeId,
    until: Instant,
    /// The first of what the peer brought.
    lowest: Option<MessageId>,
}

/// What a peer brings from below the base is waited for this long: 5 s.
const SCROLL_WITHIN: Duration = Duration::from_secs(5);
/// What came is taken when its past is read: after 200 ms a page shows what is there.
const TAKEN_WITHIN: Duration = Duration::from_millis(200);
/// Pages that wait for it: 16. Others end where this node's history ends.
const MAX_SCROLLS: usize = 16;
/// Runs in one answer to a peer that scrolls, and their bytes.
const OLDER_ROWS: u32 = 128;

impl Query {
    fn new(
        query: u64,
        (conversation, kind): (ConversationId, Conversation),
        before: Option<MessageId>,
        limit: usize,
    ) -> Self {
        Self {
            query,
            conversation,
            kind,
            limit,
            rows: OrderedMap::new(),
            bodies: OrderedMap::new(),
            ends: Vec::new(),
            next_end: None,
            before,
            void: OrderedSet::new(),
            scrolled: false,
        }
    }

    fn messages(&self) -> usize {
        self.rows.keys().filter(|id| !self.void.contains(id) && self.says(id)).count()
    }

    fn says(&self, id: &MessageId) -> bool {
        matches!(self.bodies.get(id), Some(Some(Body { content: Some(_), .. })))
    }
}

impl Chat {
    /// Asks for a page of history; `Out::Page` answers.
    pub(super) fn history(
        &mut self,
        query: u64,
        kind: Conversation,
        before: Option<MessageId>,
        limit: u32,
        out: &mut Outbox<Out>,
    ) {
        let conversation = self.id_of(kind);
        let Some(log) = self.logs.get(&conversation) else {
            return out.push(Out::Page { query, messages: Vec::new(), older: None });
        };
        let number = log.number;
        let limit = limit.clamp(1, MAX_PAGE) as usize;
        let query = Query::new(query, (conversation, kind), before, limit);
        self.page_from(query, number, out);
    }

    /// Begins to read a page.
    fn page_from(&mut self, mut query: Query, number: u32, out: &mut Outbox<Out>) {
        query.next_end = Some(match query.before {
            Some(id) => entry_key(number, id),
            None => entry_key(number.saturating_add(1), MessageId::first_of(0)),
        });
        self.page_part(query, out);
    }

    /// Reads the next older rows, or what the page still takes.
    fn page_part(&mut self, mut query: Query, out: &mut Outbox<Out>) {
        let Some(log) = self.logs.get(&query.conversation) else { return };
        let (number, shown_from) = (log.number, log.shown_from());
        if let Some(end) = query.ends.pop() {
            let scan = entry_scan(number, Parent::of(end));
            return self.read(Reading::PageRun(query), scan, out);
        }
        // One more than the page, which shows that there is an older one.
        let missing = query.limit.saturating_add(1).saturating_sub(query.messages());
        if missing > 0
            && let Some(end) = query.next_end.take()
        {
            let scan = Scan {
                table: ENTRIES,
                start: entry_key(number, shown_from),
                end,
                reverse: true,
                limit: u32::try_from(missing).unwrap_or(u32::MAX),
                max_bytes: PAGE_BYTES,
            };
            return self.read(Reading::PageRows(query), scan, out);
        }
        let first = query.rows.keys().next().copied();
        match (first, query.rows.keys().next_back().copied()) {
            (Some(first), Some(last)) => {
                let scan = edits_scan(number, first, last);
                self.read(Reading::PageEdits(query), scan, out);
            }
            _ => self.page_edits(query, &[], out),
        }
    }

    pub(super) fn page_rows(&mut self, mut query: Query, records: &[Record], out: &mut Outbox<Out>) {
        let missing = query.limit.saturating_add(1).saturating_sub(query.messages());
        let cut = super::is_cut(records, u32::try_from(missing).unwrap_or(u32::MAX), PAGE_BYTES);
        query.next_end = records.last().filter(|_| cut).map(|r| r.key.clone());
        for record in records {
            let (Ok(id), Ok(row)) = (entry_id(&record.key), Row::read(&record.value)) else { continue };
            self.add_run(&mut query, &row);
            query.rows.insert(id, row);
        }
        let ends = query.rows.iter().filter_map(|(id, row)| match row.at {
            At::In(end) if !query.bodies.contains_key(id) => Some(end),
            At::In(_) | At::End(_) => None,
        });
        query.ends = ends.collect();
        query.ends.dedup();
        self.page_part(query, out);
    }

    pub(super) fn page_run(&mut self, mut query: Query, records: &[Record], out: &mut Outbox<Out>) {
        if let Some(row) = records.first().and_then(|r| Row::read(&r.value).ok()) {
            self.add_run(&mut query, &row);
        }
        self.page_part(query, out);
    }

    fn add_run(&self, query: &mut Query, row: &Row) {
        let Some(log) = self.logs.get(&query.conversation) else { return };
        if let At::End(held) = &row.at
            && let Ok(run) = stored_run(&log.policy, log.id, &held.run.0)
        {
            if run.last().is_some_and(|last| log.retention.is_deleted(last, held.arrived)) {
                query.void.extend(run.entries.iter().map(|e| e.id));
            }
            let from_end = |n: &u8| run.entries.iter().rev().nth(usize::from(*n)).map(|e| e.id);
            query.void.extend(held.void.iter().filter_map(from_end));
            if self.blocked.contains(&run.log.author) {
                query.void.extend(run.entries.iter().map(|e| e.id));
            }
            query.void.extend(run.entries.iter().map(|e| e.id).filter(|id| log.hidden.contains_key(id)));
            query.bodies.extend(run.entries.into_iter().map(|e| (e.id, e.body)));
        }
    }

    pub(super) fn page_edits(&mut self, query: Query, records: &[Record], out: &mut Outbox<Out>) {
        let edits = last_edits(records);
        let is_short = query.next_end.is_none() && query.messages() <= query.limit;
        let query = if is_short { self.scroll(query, out) } else { Some(query) };
        let Some(query) = query else { return };
        let Some(log) = self.logs.get_mut(&query.conversation) else { return };
        let mut messages: Vec<Message> = Vec::new();
        let more = is_short && log.shown_from() > MessageId::first_of(0) && query.scrolled;
        let Query { rows, mut bodies, kind, limit, query, next_end, void, .. } = query;
        let mut cut = next_end.is_some();
        for (id, row) in rows.iter().rev() {
            let Some(Some(Body { content: Some(content), sent_at, .. })) = bodies.remove(id) else { continue };
            if void.contains(id) {
                continue;
            }
            if messages.len() == limit {
                cut = true;
                break;
            }
            let Known { log: of, seq, clock } = row.known();
            let edit: Option<&Option<String>> = edits.get(id);
            messages.push(Message {
                id: *id,
                conversation: kind,
                author: of.author,
                life: of.life,
                seq,
                clock: log.clock(clock.as_ref()),
                sent_at,
                content,
                edited: edit.cloned().flatten(),
                retracted: edit.is_some_and(Option::is_none),
            });
            // What is shown can be answered or edited.
            log.show(*id, of, seq);
        }
        messages.reverse();
        let older = messages.first().map(|m| m.id).filter(|_| cut || more);
        out.push(Out::Page { query, messages, older });
    }

    /// A page that reaches below what this node has: a peer is asked for what lies before. Gives the query back if
    /// there is nothing to ask for.
    fn scroll(&mut self, query: Query, out: &mut Outbox<Out>) -> Option<Query> {
        let conversation = query.conversation;
        let log = self.logs.get(&conversation)?;
        let shown_from = log.shown_from();
        let others = self.holders(conversation);
        // The peers that say that they have more; the longest known of them.
        let more = |p: &&NodeId| log.holders.has_older(**p, shown_from.depth);
        let peer = others.iter().filter(more).min_by_key(|p| log.holders.place(**p)).copied();
        let Some(peer) = peer.filter(|_| shown_from.depth > 0 && !query.scrolled && self.scrolls.len() < MAX_SCROLLS)
        else {
            return Some(query);
        };
        send(self.network, peer, &Sync::Older { conversation, before: shown_from }, out);
        self.scrolls.push(Scroll { query, peer, until: Instant::ZERO, lowest: None });
        None
    }

    /// Pages that wait are given a time from the first look at them on.
    pub(super) fn scroll_deadline(&self) -> Option<Instant> {
        self.scrolls.iter().map(|s| s.until).min()
    }

    pub(super) fn scroll_timeout(&mut self, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        for scroll in self.scrolls.iter_mut().filter(|s| s.until == Instant::ZERO) {
            scroll.until = cx.now + SCROLL_WITHIN;
        }
        while let Some(at) = self.scrolls.iter().position(|s| s.until <= cx.now) {
            let scroll = self.scrolls.swap_remove(at);
            self.page_again(scroll.query, out);
        }
    }

    fn page_again(&mut self, query: Query, out: &mut Outbox<Out>) {
        let Some(number) = self.logs.get(&query.conversation).map(|log| log.number) else { return };
        let Query { query, conversation, kind, limit, before, .. } = query;
        let again = Query { scrolled: true, ..Query::new(query, (conversation, kind), before, limit) };
        self.page_from(again, number, out);
    }

    /// A peer scrolls: the runs just before a place, as far as one message carries.
    pub(super) fn older(
        &mut self,
        cx: &Cx<'_>,
        conversation: ConversationId,
        peer: NodeId,
        before: MessageId,
        out: &mut Outbox<Out>,
    ) {
        if !self.may_ask(cx, peer, BUNDLE_BYTES) {
            return self.drops.count(DropReason::Rate);
        }
        let Some(log) = self.logs.get(&conversation) else { return };
        let scan = Scan {
            table: ENTRIES,
            start: entry_key(log.number, log.shown_from()),
            end: entry_key(log.number, before),
            reverse: true,
            limit: OLDER_ROWS,
            max_bytes: BUNDLE_BYTES as u32,
        };
        self.read(Reading::Older(peer, conversation), scan, out);
    }

    pub(super) fn older_read(
        &mut self,
        peer: NodeId,
        conversation: ConversationId,
        records: &[Record],
        out: &mut Outbox<Out>,
    ) {
        let rows = records.iter().rev().filter_map(|r| Row::read(&r.value).ok());
        let runs = rows.filter_map(|row| if let At::End(held) = row.at { Some(held.run) } else { None }).collect();
        self.give(conversation, peer, runs, out);
        send(self.network, peer, &Sync::Runs { conversation, runs: Vec::new(), end: End::Older }, out);
    }

    /// What a peer brings while a page waits for it.
    pub(super) fn scrolled(&mut self, peer: NodeId, conversation: ConversationId, run: &Run) {
        let is_his = |s: &&mut Scroll| s.peer == peer && s.query.conversation == conversation;
        if let (Some(scroll), Some(last)) = (self.scrolls.iter_mut().find(is_his), run.last()) {
            scroll.lowest = Some(scroll.lowest.map_or(last, |lowest| lowest.min(last)));
        }
    }

    /// A peer sent what it has before a page.
    pub(super) fn older_ended(
        &mut self,
        cx: &mut Cx<'_>,
        conversation: ConversationId,
        peer: NodeId,
        out: &mut Outbox<Out>,
    ) {
        let is_his = |s: &Scroll| s.peer == peer && s.query.conversation == conversation;
        if !self.scrolls.iter().any(is_his) {
            return;
        }
        let lowest = self.scrolls.iter().filter(|s| is_his(s)).filter_map(|s| s.lowest).min();
        if let Some(log) = self.logs.get_mut(&conversation) {
            match lowest.filter(|lowest| *lowest < log.shown_from()) {
                Some(lowest) => log.show_from(lowest),
                // It has no more, whatever it says: the next one is asked.
                None => log.holders.exhausted(peer),
            }
        }
        for scroll in self.scrolls.iter_mut().filter(|s| is_his(s)) {
            scroll.until = cx.now + TAKEN_WITHIN;
        }
        self.scroll_timeout(cx, out);
    }
}

/// Asks for the page of a conversation that ends before `before`, or its newest; `Out::Page` answers.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) query: u64,
    pub(crate) conversation: Conversation,
    pub(crate) before: Option<MessageId>,
    pub(crate) limit: u32,
}

impl Command<Chat> for History {
    type Answer = ();

    fn run(self, chat: &mut Chat, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        chat.sign(cx, out);
        chat.history(self.query, self.conversation, self.before, self.limit, out);
    }
}
