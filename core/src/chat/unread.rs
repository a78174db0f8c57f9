//! What the user has read of a conversation, and what it deleted: state of this node. Others get a mark only if the user
//! wants that (`receipts`).

use crate::chat::log::Log;
use crate::chat::rows::{At, READ_BYTES, READ_ROWS, Row, entries_from, entry_id, stored_run};
use crate::chat::{Chat, Out, Reading, is_cut};
use crate::error::CommandError;
use crate::id::{ConversationId, MessageId, NodeId};
use crate::machine::{Command, Cx, Outbox};
use crate::store::Record;
use crate::wire::content::{Content, Conversation};
use crate::wire::entry::Body;
use crate::wire::registers::Register;

/// A count after a mark in the middle goes no further than this: 1,000, which no person counts.
const MOST: u32 = 1_000;
/// What comes while entries are counted makes the count begin anew: at most so often, then it may count some twice.
const TRIES: u8 = 8;

/// Entries after a mark that are being counted.
#[derive(Debug)]
pub(super) struct Counting {
    conversation: ConversationId,
    mark: MessageId,
    place: MessageId,
    count: u32,
    /// The log as it was at the beginning.
    taken: u64,
    tries: u8,
}

/// Whether an entry is something to read: texts, answers and files; edits and marks are about what was read.
pub(super) fn counts(body: &Body) -> bool {
    matches!(body.content, Some(Content::Text { .. } | Content::Reply { .. } | Content::File { .. }))
}

impl Chat {
    /// Conversations with what is unread in each and up to where it was read.
    pub(crate) fn unread(&self) -> impl Iterator<Item = (Conversation, u32, Option<MessageId>)> {
        self.logs.values().map(|log| (log.policy.kind(), log.unread, log.read.max(self.mark_elsewhere(log))))
    }

    /// The same of one conversation: nothing if it does not exist.
    pub(crate) fn unread_of(&self, conversation: Conversation) -> u32 {
        self.logs.get(&self.id_of(conversation)).map_or(0, |log| log.unread)
    }

    /// Up to where the user read on any of its devices, of what is here: a mark beyond it says nothing of what comes.
    fn mark_elsewhere(&self, log: &Log) -> Option<MessageId> {
        self.read_elsewhere.get(&log.id).copied().min(log.newest())
    }

    fn mark_read(
        &mut self,
        cx: &mut Cx<'_>,
        kind: Conversation,
        upto: Option<MessageId>,
        out: &mut Outbox<Out>,
    ) -> Result<(), CommandError> {
        let conversation = self.id_of(kind);
        let log = self.logs.get(&conversation).ok_or(CommandError::Unknown("conversation"))?;
        let newest = log.newest();
        let mark = upto.filter(|id| Some(*id) < newest).or(newest).max(log.read).max(self.mark_elsewhere(log));
        self.set_mark(cx, conversation, mark, out);
        self.share_mark(cx, conversation);
        if let Some(upto) = mark {
            out.push(Out::Share(Register::Read(conversation, upto)));
        }
        Ok(())
    }

    fn set_mark(&mut self, cx: &Cx<'_>, conversation: ConversationId, mark: Option<MessageId>, out: &mut Outbox<Out>) {
        let Some(log) = self.logs.get_mut(&conversation) else { return };
        (self.unsaved_since, log.read) = (cx.now, mark);
        self.unsaved.insert(conversation);
        match mark {
            Some(mark) if Some(mark) < log.newest() => {
                let counting =
                    Counting { conversation, mark, place: mark.next(), count: 0, taken: log.taken, tries: 0 };
                self.count(counting, out);
            }
            _ => log.unread = 0,
        }
    }

    /// Up to where the user read a conversation, on any of its devices. The messages may come later: those up to the mark do
    /// not count then, on all devices.
    pub(super) fn read_elsewhere(
        &mut self,
        cx: &Cx<'_>,
        conversation: ConversationId,
        upto: Option<MessageId>,
        out: &mut Outbox<Out>,
    ) {
        match upto {
            Some(upto) => drop(self.read_elsewhere.insert(conversation, upto)),
            None => drop(self.read_elsewhere.remove(&conversation)),
        }
        let Some(log) = self.logs.get(&conversation) else { return };
        let mark = self.mark_elsewhere(log);
        if log.read < mark {
            self.set_mark(cx, conversation, mark, out);
        }
    }

    fn count(&mut self, counting: Counting, out: &mut Outbox<Out>) {
        let Some(log) = self.logs.get(&counting.conversation) else { return };
        let scan = entries_from(log.number, counting.place);
        self.read(Reading::Unread(counting), scan, out);
    }

    pub(super) fn unread_read(
        &mut self,
        cx: &Cx<'_>,
        mut counting: Counting,
        records: &[Record],
        out: &mut Outbox<Out>,
    ) {
        let Some(log) = self.logs.get(&counting.conversation) else { return };
        if log.read != Some(counting.mark) {
            // Another mark was set since.
            return;
        }
        if log.taken != counting.taken && counting.tries < TRIES {
            let (place, taken, tries) = (counting.mark.next(), log.taken, counting.tries.saturating_add(1));
            return self.count(Counting { place, count: 0, taken, tries, ..counting }, out);
        }
        for record in records {
            let (Ok(id), Ok(row)) = (entry_id(&record.key), Row::read(&record.value)) else { continue };
            counting.place = id.next();
            let At::End(held) = &row.at else { continue };
            let Ok(run) = stored_run(&log.policy, log.id, &held.run.0) else { continue };
            let is_others = !self.is_own(run.log.author) && !self.blocked.contains(&run.log.author);
            if !is_others || log.retention.is_deleted(id, held.arrived) {
                continue;
            }
            let entries = run.entries.iter().rev().enumerate().filter(|(from_end, entry)| {
                let is_void = u8::try_from(*from_end).is_ok_and(|n| held.void.contains(&n));
                !is_void && entry.id > counting.mark && !log.hidden.contains_key(&entry.id)
            });
            let unread = entries.filter(|(_, entry)| entry.body.as_ref().is_some_and(counts)).count();
            counting.count = counting.count.saturating_add(u32::try_from(unread).unwrap_or(u32::MAX)).min(MOST);
        }
        if is_cut(records, READ_ROWS, READ_BYTES) && counting.count < MOST {
            return self.count(counting, out);
        }
        let Counting { conversation, count, .. } = counting;
        if let Some(log) = self.logs.get_mut(&conversation) {
            log.unread = count;
        }
        self.unsaved_since = cx.now;
        self.unsaved.insert(conversation);
    }

    /// The other side has stored a message of this node: what the user deleted and waited for that can go.
    pub(super) fn delivered(&mut self, cx: &Cx<'_>, to: NodeId, id: MessageId) {
        let conversation = self.id_of(Conversation::Private(to));
        let Some(log) = self.logs.get_mut(&conversation) else { return };
        log.delivered(to, id);
        let deletes = log.retention.deletion.is_some();
        self.report_later(cx.now, conversation);
        if !deletes {
            return;
        }
        self.unsaved_since = cx.now;
        self.unsaved.insert(conversation);
        self.prune_later(cx.now, conversation);
    }

    /// Deletes all that is here of a private conversation. Headers stay, so that what the other side says fits.
    fn delete(
        &mut self,
        cx: &mut Cx<'_>,
        kind: Conversation,
        all_held: bool,
        out: &mut Outbox<Out>,
    ) -> Result<(), CommandError> {
        let Conversation::Private(peer) = kind else {
            return Err(CommandError::NotAllowed("only a private conversation can be deleted here"));
        };
        let conversation = self.id_of(kind);
        let log = self.logs.get_mut(&conversation).ok_or(CommandError::Unknown("conversation"))?;
        let Some(until) = log.newest() else { return Ok(()) };
        if all_held {
            log.all_held(peer);
        }
        log.retention.delete(until, cx.wall);
        (log.unread, log.read) = (0, Some(until));
        self.unsaved_since = cx.now;
        self.unsaved.insert(conversation);
        self.unsaved_retention.insert(conversation);
        self.walk_deleted(conversation, out);
        Ok(())
    }
}

/// The user has read a conversation up to this message, or all of it. A mark never goes back.
#[derive(Debug)]
pub(crate) struct MarkRead {
    pub(crate) conversation: Conversation,
    pub(crate) upto: Option<MessageId>,
}

impl Command<Chat> for MarkRead {
    type Answer = Result<(), CommandError>;

    fn run(self, chat: &mut Chat, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Self::Answer {
        chat.sign(cx, out);
        chat.mark_read(cx, self.conversation, self.upto, out)
    }
}

/// Deletes what is here of a private conversation.
#[derive(Debug)]
pub(crate) struct DeleteConversation {
    pub(crate) conversation: Conversation,
    /// Nothing of this node waits for the other side.
    pub(crate) all_held: bool,
}

impl Command<Chat> for DeleteConversation {
    type Answer = Result<(), CommandError>;

    fn run(self, chat: &mut Chat, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Self::Answer {
        chat.sign(cx, out);
        chat.delete(cx, self.conversation, self.all_held, out)
    }
}
