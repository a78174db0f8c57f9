//! Typing notices: sent to linked members, shown for some seconds, stored nowhere (docs/design/groups.md §5, "Typing").

use alloc::vec::Vec;

use crate::chat::policy::Policy;
use crate::chat::wire::Sync;
use crate::chat::{Chat, Out};
use crate::collections::{OrderedMap, OrderedSet};
use crate::error::CommandError;
use crate::id::{ConversationId, NodeId};
use crate::machine::{Command, Cx, Outbox};
use crate::time::{Duration, Instant};
use crate::wire::content::Conversation;
use crate::wire::{Priority, encode};

/// Said at most this often in one conversation: every 3 s (docs/design/groups.md §5, "Typing").
const SAY_EVERY: Duration = Duration::from_secs(3);
/// Shown for this long after it was last said: 6 s, so that one that is lost on the way is not seen.
const SHOWN_FOR: Duration = Duration::from_secs(6);
/// People who are shown as typing: 256, eight full groups. Others are not shown.
const MAX_SHOWN: usize = 256;
/// Conversations in which this node said it in the last seconds: 64, more than a person types in.
const MAX_SAID: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Typing {
    /// When this node may say it again.
    said: OrderedMap<ConversationId, Instant>,
    /// Until when others are shown.
    shown: OrderedMap<(ConversationId, NodeId), Instant>,
}

impl Typing {
    pub(super) fn len(&self) -> usize {
        self.said.len().saturating_add(self.shown.len())
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.shown.values().min().copied()
    }

    /// Whether this node says it now.
    fn may_say(&mut self, conversation: ConversationId, now: Instant) -> bool {
        self.said.retain(|_, again| now < *again);
        let may = self.said.len() < MAX_SAID && !self.said.contains_key(&conversation);
        if may {
            self.said.insert(conversation, now + SAY_EVERY);
        }
        may
    }

    /// Whether this begins: the author did not type before.
    fn show(&mut self, who: (ConversationId, NodeId), until: Instant) -> bool {
        if let Some(shown) = self.shown.get_mut(&who) {
            *shown = until;
            return false;
        }
        let has_room = self.shown.len() < MAX_SHOWN;
        if has_room {
            self.shown.insert(who, until);
        }
        has_room
    }
}

impl Chat {
    /// Whether people see each other type here: in small groups, and where both spoke. A stranger does not learn that
    /// the user is there.
    fn shows_typing(&self, policy: &Policy, conversation: ConversationId) -> bool {
        let spoke = || self.logs.get(&conversation).is_some_and(crate::chat::log::Log::spoke);
        policy.acknowledges() || matches!(policy.kind(), Conversation::Private(_)) && spoke()
    }

    fn type_in(&mut self, cx: &Cx<'_>, kind: Conversation, out: &mut Outbox<Out>) -> Result<(), CommandError> {
        let conversation = self.id_of(kind);
        let log = self.logs.get(&conversation).ok_or(CommandError::Unknown("conversation"))?;
        if !self.shows_typing(&log.policy, conversation) {
            return Err(CommandError::NotAllowed(
                "typing is shown in groups of up to 32 members and to a node that this one has written to",
            ));
        }
        if !log.policy.may_say(log.is_new()) {
            return Err(CommandError::NotAllowed("this node may not post here"));
        }
        let to: Vec<NodeId> = self.linked.keys().copied().filter(|peer| log.policy.may_sync(*peer)).collect();
        if !self.typing.may_say(conversation, cx.now) {
            return Ok(());
        }
        let body = encode(&Sync::Typing { conversation });
        for to in to {
            out.push(Out::Seal { to, priority: Priority::Normal, body: body.clone() });
        }
        Ok(())
    }

    /// A member types.
    pub(super) fn typing(
        &mut self,
        cx: &Cx<'_>,
        (policy, conversation): (&Policy, ConversationId),
        from: NodeId,
        out: &mut Outbox<Out>,
    ) {
        let is_seen = self.shows_typing(policy, conversation) && self.reports(from) && !self.is_own(from);
        let node = policy.member_of(from);
        if is_seen && self.typing.show((conversation, node), cx.now + SHOWN_FOR) {
            out.push(Out::Typing { conversation: policy.kind(), node, active: true });
        }
    }

    /// A node types no more: it sent its message, or is gone.
    pub(super) fn typed(&mut self, conversation: ConversationId, who: NodeId, out: &mut Outbox<Out>) {
        let Some(log) = self.logs.get(&conversation) else { return };
        let who = log.policy.member_of(who);
        if self.typing.shown.remove(&(conversation, who)).is_some() {
            out.push(Out::Typing { conversation: log.policy.kind(), node: who, active: false });
        }
    }

    fn end_typing(&mut self, ends: impl Fn(&(ConversationId, NodeId), Instant) -> bool, out: &mut Outbox<Out>) {
        let over: Vec<_> = self.typing.shown.iter().filter(|(key, at)| ends(key, **at)).map(|(key, _)| *key).collect();
        over.into_iter().for_each(|(conversation, who)| self.typed(conversation, who, out));
    }

    pub(super) fn typing_timeout(&mut self, now: Instant, out: &mut Outbox<Out>) {
        self.end_typing(|_, until| until <= now, out);
    }

    pub(super) fn typing_link_down(&mut self, peer: NodeId, out: &mut Outbox<Out>) {
        let of = |id: &ConversationId| self.logs.get(id).map_or(peer, |log| log.policy.member_of(peer));
        let shown = self.typing.shown.keys().map(|(id, _)| *id);
        let gone: OrderedSet<_> = shown.map(|id| (id, of(&id))).collect();
        self.end_typing(|key, _| gone.contains(key), out);
    }
}

/// The user types in a conversation.
#[derive(Debug)]
pub(crate) struct Type {
    pub(crate) conversation: Conversation,
}

impl Command<Chat> for Type {
    type Answer = Result<(), CommandError>;

    fn run(self, chat: &mut Chat, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Self::Answer {
        chat.sign(cx, out);
        chat.type_in(cx, self.conversation, out)
    }
}
