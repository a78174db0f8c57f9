//! What past members of a group said without the others: it is kept, and shown once a member names it
//! (docs/design/groups.md §5).
//!
//! Shown is what members said and all of its past, so a message that its author sent before it knew of its removal is
//! shown if a member answered it, and is hidden otherwise, at every node alike and in whatever order things came. Nodes
//! that know of the removal name nothing that is hidden.

use alloc::vec::Vec;

use crate::chat::rows::{At, ENTRIES, Row, entry_id, entry_key, entry_scan, stored_run};
use crate::chat::take::message_of;
use crate::chat::{Chat, Out, Reading};
use crate::collections::{OrderedMap, OrderedSet};
use crate::id::{ConversationId, MessageId};
use crate::machine::Outbox;
use crate::store::{Record, Scan};
use crate::wire::entry::{Entry, Parent, Run};

/// The newest entries that are looked through when members changed: what is older is answered, or stays as it is.
const LOOKED_AT: u32 = 1_024;

/// An entry of a past member.
#[derive(Clone, Debug)]
pub(super) struct Hidden {
    names: Vec<Parent>,
    /// It was reported before it was hidden.
    is_reported: bool,
}

/// Entries to be reported: they were hidden before.
#[derive(Debug)]
pub(super) struct Revealed {
    conversation: ConversationId,
    ids: Vec<MessageId>,
}

fn names(entry: &Entry) -> Vec<Parent> {
    entry.prev.map(Parent::of).into_iter().chain(entry.parents.iter().copied()).collect()
}

impl Chat {
    /// Whether the author of a run is a past member, or a member by another operation since.
    pub(super) fn is_late(&self, conversation: ConversationId, run: &Run) -> bool {
        let log = self.logs.get(&conversation);
        let past = run.context.as_ref().zip(log).map(|(c, log)| log.policy.is_past(run.log.author, c.stint));
        past == Some(true)
    }

    /// Entries of a taken run: those of a past member are hidden, what a member names is shown.
    pub(super) fn hide_or_reveal(&mut self, conversation: ConversationId, run: &Run, out: &mut Outbox<Out>) {
        if run.context.is_none() {
            return;
        }
        let late = self.is_late(conversation, run);
        let Some(log) = self.logs.get_mut(&conversation) else { return };
        if late {
            let hidden = run.entries.iter().map(|e| (e.id, Hidden { names: names(e), is_reported: false }));
            return log.hidden.extend(hidden);
        }
        let mut named: Vec<Parent> = run.entries.iter().flat_map(names).collect();
        let mut revealed = Vec::new();
        while let Some(parent) = named.pop() {
            let (first, last) = parent.bounds();
            let Some(id) = log.hidden.range(first..=last).next().map(|(id, _)| *id) else { continue };
            let Some(Hidden { names, is_reported }) = log.hidden.remove(&id) else { continue };
            named.extend(names);
            if !is_reported {
                revealed.push(id);
            }
        }
        self.reveal(Revealed { conversation, ids: revealed }, out);
    }

    fn reveal(&mut self, revealed: Revealed, out: &mut Outbox<Out>) {
        let (Some(last), Some(log)) = (revealed.ids.iter().max(), self.logs.get(&revealed.conversation)) else {
            return;
        };
        let scan = entry_scan(log.number, Parent::of(*last));
        self.read(Reading::Revealed(revealed), scan, out);
    }

    /// The row of the deepest entry that is to be reported.
    pub(super) fn revealed_read(&mut self, mut revealed: Revealed, records: &[Record], out: &mut Outbox<Out>) {
        let conversation = revealed.conversation;
        let Some(log) = self.logs.get(&conversation) else { return };
        let read = records.first().and_then(|r| Some((entry_id(&r.key).ok()?, Row::read(&r.value).ok()?)));
        let (id, row) = match read {
            Some((_, Row { at: At::In(end), .. })) => {
                let scan = entry_scan(log.number, Parent::of(end));
                return self.read(Reading::Revealed(revealed), scan, out);
            }
            Some(found) => found,
            None => return,
        };
        if let At::End(held) = &row.at
            && let Ok(run) = stored_run(&log.policy, log.id, &held.run.0)
        {
            let is_shown = self.reports(run.log.author);
            for entry in run.entries.iter().filter(|e| is_shown && revealed.ids.contains(&e.id)) {
                let clock = if entry.id == id { row.known().clock } else { None };
                let told = message_of(log.policy.kind(), run.log, entry, log.clock(clock.as_ref()));
                told.into_iter().for_each(|message| out.push(Out::Received(message)));
            }
            revealed.ids.retain(|id| !run.entries.iter().any(|e| e.id == *id));
        } else {
            revealed.ids.retain(|other| *other != id);
        }
        self.reveal(revealed, out);
    }

    /// Looks through the newest entries of a group whose members changed.
    pub(super) fn look_through(&mut self, conversation: ConversationId, out: &mut Outbox<Out>) {
        let Some((number, taken)) = self.logs.get(&conversation).map(|log| (log.number, log.taken)) else { return };
        let scan = Scan {
            table: ENTRIES,
            start: entry_key(number, MessageId::first_of(0)),
            end: entry_key(number.saturating_add(1), MessageId::first_of(0)),
            reverse: true,
            limit: LOOKED_AT,
            max_bytes: u32::MAX,
        };
        self.read(Reading::LookThrough(conversation, taken), scan, out);
    }

    /// From the newest entry on: shown is what a member said, and what an entry that is shown names.
    pub(super) fn looked_through(
        &mut self,
        (conversation, taken): (ConversationId, u64),
        records: &[Record],
        out: &mut Outbox<Out>,
    ) {
        let Some(log) = self.logs.get_mut(&conversation) else { return };
        if log.taken != taken {
            // What came meanwhile may name what is to be hidden.
            return self.look_through(conversation, out);
        }
        let rows: OrderedMap<MessageId, Row> =
            records.iter().filter_map(|r| Some((entry_id(&r.key).ok()?, Row::read(&r.value).ok()?))).collect();
        let runs = rows.values().filter_map(|row| match &row.at {
            At::End(held) => stored_run(&log.policy, log.id, &held.run.0).ok(),
            At::In(_) => None,
        });
        let mut entries: OrderedMap<MessageId, (Vec<Parent>, bool)> = OrderedMap::new();
        for run in runs {
            let past = run.context.as_ref().is_some_and(|c| log.policy.is_past(run.log.author, c.stint));
            entries.extend(run.entries.iter().map(|e| (e.id, (names(e), past))));
        }
        let mut named: OrderedSet<Parent> = OrderedSet::new();
        let mut hidden: OrderedMap<MessageId, Hidden> = OrderedMap::new();
        let mut heads = Vec::new();
        for (id, (names, past)) in entries.into_iter().rev() {
            let is_named = named.contains(&Parent::of(id));
            if !is_named && !past {
                heads.extend(rows.get(&id).map(|row| (id, row.known())));
            }
            if past && !is_named {
                // What was shown until now was reported.
                let is_reported = log.hidden.get(&id).is_none_or(|before| before.is_reported);
                hidden.insert(id, Hidden { names, is_reported });
            } else {
                named.extend(names);
            }
        }
        let before = core::mem::take(&mut log.hidden);
        let is_shown = |id: &MessageId| rows.contains_key(id) && !hidden.contains_key(id);
        let ids = before.iter().filter(|(id, h)| is_shown(id) && !h.is_reported).map(|(id, _)| *id).collect();
        log.hidden = before.into_iter().filter(|(id, _)| !rows.contains_key(id)).chain(hidden).collect();
        // What only hidden entries named is to be named.
        log.name_shown(heads);
        self.reveal(Revealed { conversation, ids }, out);
    }
}
