//! Pages of history: messages in display order, with what later entries did to them.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::chat::entry::{Body, Parent};
use crate::chat::known::Known;
use crate::chat::rows::{At, ENTRIES, Row, edits_scan, entry_id, entry_key, entry_scan, last_edits, stored_run};
use crate::chat::{Chat, Out, Reading};
use crate::id::{ConversationId, MessageId};
use crate::machine::Outbox;
use crate::store::{Record, Scan};
use crate::wire::content::{Conversation, Message};

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
    rows: BTreeMap<MessageId, Row>,
    /// The entries of runs that were read.
    bodies: BTreeMap<MessageId, Option<Body>>,
    /// Runs of which only a part is on this page.
    ends: Vec<MessageId>,
    /// Where the next read ends; none at the beginning of the history.
    next_end: Option<Vec<u8>>,
}

impl Query {
    fn messages(&self) -> usize {
        self.rows.iter().filter(|(id, row)| !row.void && self.says(id)).count()
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
        let end = match before {
            Some(id) => entry_key(log.number, id),
            None => entry_key(log.number.saturating_add(1), MessageId::first_of(0)),
        };
        let limit = limit.clamp(1, MAX_PAGE) as usize;
        self.page_part(
            Query {
                query,
                conversation,
                kind,
                limit,
                rows: BTreeMap::new(),
                bodies: BTreeMap::new(),
                ends: Vec::new(),
                next_end: Some(end),
            },
            out,
        );
    }

    /// Reads the next older rows, or what the page still takes.
    fn page_part(&mut self, mut query: Query, out: &mut Outbox<Out>) {
        let Some(log) = self.logs.get(&query.conversation) else { return };
        let number = log.number;
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
                start: entry_key(number, MessageId::first_of(0)),
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
            _ => out.push(Out::Page { query: query.query, messages: Vec::new(), older: None }),
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
        if let At::End(bytes) = &row.at
            && let Ok(run) = stored_run(log.policy, log.id, &bytes.0)
        {
            query.bodies.extend(run.entries.into_iter().map(|e| (e.id, e.body)));
        }
    }

    pub(super) fn page_edits(&mut self, query: Query, records: &[Record], out: &mut Outbox<Out>) {
        let edits = last_edits(records);
        let Some(log) = self.logs.get_mut(&query.conversation) else { return };
        let mut messages: Vec<Message> = Vec::new();
        let Query { rows, mut bodies, kind, limit, query, next_end, .. } = query;
        let mut cut = next_end.is_some();
        for (id, row) in rows.iter().rev() {
            let Some(Some(Body { content: Some(content), sent_at, .. })) = bodies.remove(id) else { continue };
            if row.void {
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
            log.show(*id, of.author);
        }
        messages.reverse();
        let older = messages.first().map(|m| m.id).filter(|_| cut);
        out.push(Out::Page { query, messages, older });
    }
}
