//! What this node says of other members' messages, and what they say of its own: stored, and read
//! (docs/design/groups.md §5, "Confirmations").

use alloc::vec::Vec;

use crate::chat::log::Log;
use crate::chat::rows::CONFIRMATIONS;
use crate::chat::wire::{Height, Sync};
use crate::chat::{Chat, Out};
use crate::collections::{OrderedMap, OrderedSet};
use crate::error::CommandError;
use crate::id::{ConversationId, MessageId, NodeId};
use crate::machine::{Command, Cx, Outbox};
use crate::time::{Duration, Instant, soonest};
use crate::wire::content::Conversation;
use crate::wire::{Priority, encode};

/// A receipt waits for others that go to the same member: 500 ms ± 50 %, as news of a group do (`group::one`).
const RECEIPT_AFTER: Duration = Duration::from_millis(500);
/// Confirmations that come together make one event: 500 ms.
const REPORT_AFTER: Duration = Duration::from_millis(500);
/// And one row: 2 s. What a crash loses of it the next receipt or comparison says again.
const SAVE_AFTER: Duration = Duration::from_secs(2);
/// Receipts that wait: 1,024. Of others the next comparison of heights tells.
const MAX_RECEIPTS: usize = 1_024;

/// Which members have a message of this node, as far as is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmations {
    /// Which.
    pub message: MessageId,
    /// Members that may read it, without this node and blocked nodes; 1 in a private conversation.
    pub members: u32,
    /// Those of them that have stored it, sorted.
    pub stored: Vec<NodeId>,
    /// Those that say that they have read it, sorted. Only who turned `chat.send_read_marks` on says so.
    pub read: Vec<NodeId>,
}

/// What is to be said and reported soon.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    due: OrderedMap<(ConversationId, NodeId), Instant>,
    /// Conversations in which confirmations rose.
    risen: OrderedSet<ConversationId>,
    report_at: Option<Instant>,
    /// Those to be stored.
    unsaved: OrderedSet<ConversationId>,
    save_at: Option<Instant>,
}

impl Receipts {
    pub(super) fn len(&self) -> usize {
        self.due.len().saturating_add(self.risen.len()).saturating_add(self.unsaved.len())
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        soonest(self.due.values().min().copied(), soonest(self.report_at, self.save_at))
    }

    pub(super) fn forget_peer(&mut self, peer: NodeId) {
        self.due.retain(|(_, to), _| *to != peer);
    }
}

impl Chat {
    /// A receipt for what this node has of a member's messages is due soon.
    fn receipt_later(&mut self, cx: &mut Cx<'_>, conversation: ConversationId, to: NodeId) {
        let is_linked = self.linked.contains_key(&to) && !self.blocked.contains(&to);
        let key = (conversation, to);
        if is_linked && (self.receipts.due.len() < MAX_RECEIPTS || self.receipts.due.contains_key(&key)) {
            let at = cx.now + cx.rng.jitter(RECEIPT_AFTER, 50);
            self.receipts.due.entry(key).or_insert(at);
        }
    }

    /// A run of a member was stored with its texts.
    pub(super) fn acknowledge(&mut self, cx: &mut Cx<'_>, conversation: ConversationId, author: NodeId) {
        if self.logs.get(&conversation).is_some_and(|log| log.policy.acknowledges()) {
            self.receipt_later(cx, conversation, author);
        }
    }

    /// Up to where the user has read this conversation, if others may know.
    fn shared_mark(&self, log: &Log) -> Option<MessageId> {
        // A stranger does not learn that its request was looked at.
        let is_private = matches!(log.policy.kind(), Conversation::Private(_));
        let may = self.config.chat.send_read_marks && (log.policy.acknowledges() || is_private && log.spoke());
        log.read.filter(|_| may)
    }

    /// The user has read a conversation: its members get a mark, if the user wants that.
    pub(super) fn share_mark(&mut self, cx: &mut Cx<'_>, conversation: ConversationId) {
        let Some(log) = self.logs.get(&conversation).filter(|log| self.shared_mark(log).is_some()) else { return };
        let linked: Vec<NodeId> = self.linked.keys().copied().filter(|peer| log.policy.may_sync(*peer)).collect();
        linked.into_iter().for_each(|peer| self.receipt_later(cx, conversation, peer));
    }

    /// A member may have missed how far the user has read.
    pub(super) fn share_marks_with(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        if !self.config.chat.send_read_marks {
            return;
        }
        let is_of = |log: &&Log| log.policy.may_sync(peer) && self.shared_mark(log).is_some();
        let all: Vec<ConversationId> = self.logs.values().filter(is_of).map(|log| log.id).collect();
        all.into_iter().for_each(|conversation| self.receipt_later(cx, conversation, peer));
    }

    /// A member says what it has of this node's messages.
    pub(super) fn receipt(
        &mut self,
        cx: &Cx<'_>,
        conversation: ConversationId,
        from: NodeId,
        (height, read): (Option<Height>, Option<MessageId>),
    ) {
        let Some(log) = self.logs.get_mut(&conversation) else { return };
        log.heard_heights(from, height.as_slice());
        if let Some(upto) = read {
            log.read_by(from, upto);
        }
        self.report_later(cx.now, conversation);
    }

    /// Reports soon what was confirmed.
    pub(super) fn report_later(&mut self, now: Instant, conversation: ConversationId) {
        if self.logs.get(&conversation).is_some_and(|log| log.confirmed.is_risen()) {
            self.receipts.risen.insert(conversation);
            self.receipts.report_at.get_or_insert(now + REPORT_AFTER);
            self.receipts.unsaved.insert(conversation);
            self.receipts.save_at.get_or_insert(now + SAVE_AFTER);
        }
    }

    pub(super) fn receipts_timeout(&mut self, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        let due: Vec<_> = self.receipts.due.iter().filter(|(_, at)| **at <= cx.now).map(|(key, _)| *key).collect();
        for (conversation, to) in due {
            self.receipts.due.remove(&(conversation, to));
            self.send_receipt(conversation, to, out);
        }
        if self.receipts.report_at.take_if(|at| *at <= cx.now).is_some() {
            while let Some(conversation) = self.receipts.risen.pop_first() {
                self.report_risen(conversation, out);
            }
        }
        if self.receipts.save_at.take_if(|at| *at <= cx.now).is_some() {
            while let Some(conversation) = self.receipts.unsaved.pop_first() {
                if let Some(log) = self.logs.get(&conversation) {
                    out.put(CONFIRMATIONS, conversation.0.to_vec(), encode(&log.confirmed.stored()));
                }
            }
        }
    }

    fn send_receipt(&self, conversation: ConversationId, to: NodeId, out: &mut Outbox<Out>) {
        let Some(log) = self.logs.get(&conversation).filter(|log| log.policy.may_sync(to)) else { return };
        let read = self.shared_mark(log);
        let tip = log.lives.deepest_of(to);
        // What this node said since says it already.
        if read.is_none() && tip.is_none_or(|(life, tip)| log.names(life, tip.seq)) {
            return;
        }
        let height = tip.map(|(life, tip)| Height::new(life, tip));
        let body = encode(&Sync::Receipt { conversation, height, read });
        // What it says is stored is on disk then.
        out.after_commit(Out::Seal { to, priority: Priority::Normal, body });
    }

    /// One event for all that rose.
    fn report_risen(&mut self, conversation: ConversationId, out: &mut Outbox<Out>) {
        let Some(log) = self.logs.get_mut(&conversation) else { return };
        let Some(risen) = log.confirmed.take_risen() else { return };
        // A private message has an event of its own when it is stored.
        let is_private = matches!(log.policy.kind(), Conversation::Private(_));
        let upto = if is_private { 0 } else { risen.held };
        let (kind, newest) = (log.policy.kind(), log.own_entry(upto, risen.read));
        if let Some(confirmations) = newest.and_then(|id| self.confirmations(kind, id).ok()) {
            out.push(Out::Confirmed { conversation: kind, confirmations });
        }
    }

    fn confirmations(&self, kind: Conversation, message: MessageId) -> Result<Confirmations, CommandError> {
        if kind == Conversation::Network {
            return Err(CommandError::NotAllowed("confirmations are known of groups and private conversations only"));
        }
        let log = self.logs.get(&self.id_of(kind)).ok_or(CommandError::Unknown("conversation"))?;
        let place = log.place_of(message).filter(|(of, _)| *of == log.own_log());
        let (of, seq) = place.ok_or(CommandError::Unknown("message of this node on the pages read since the start"))?;
        let readers = log.policy.readers(message.depth);
        let members: Vec<NodeId> = readers.into_iter().filter(|m| !self.blocked.contains(m)).collect();
        let of_member = |m: &NodeId| {
            let devices = log.policy.devices_of(*m);
            let each = devices.iter().map(|device| log.confirmed.of(of.life, *device, (message, seq)));
            each.fold((false, false), |any, one| (any.0 || one.0, any.1 || one.1))
        };
        Ok(Confirmations {
            message,
            members: u32::try_from(members.len()).unwrap_or(u32::MAX),
            stored: members.iter().copied().filter(|m| of_member(m).0).collect(),
            read: members.iter().copied().filter(|m| of_member(m).1).collect(),
        })
    }
}

/// Who has a message of this node?
#[derive(Debug)]
pub(crate) struct Confirm {
    pub(crate) conversation: Conversation,
    pub(crate) message: MessageId,
}

impl Command<Chat> for Confirm {
    type Answer = Result<Confirmations, CommandError>;

    fn run(self, chat: &mut Chat, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Self::Answer {
        chat.sign(cx, out);
        chat.confirmations(self.conversation, self.message)
    }
}
