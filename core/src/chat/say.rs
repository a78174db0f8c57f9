//! What this node says: from contents to its own runs, and silent merges of heads.

use alloc::vec::Vec;

use crate::chat::draft::Draft;
use crate::chat::log::{Facts, Kind, Wants};
use crate::chat::policy::Carriage;
use crate::chat::waiting::Source;
use crate::chat::{Chat, Out};
use crate::error::CommandError;
use crate::id::{ConversationId, GroupId, Life, MessageId};
use crate::machine::{Command, Cx, Outbox};
use crate::time::Duration;
use crate::wire::content::{Content, Conversation, group_conversation};
use crate::wire::entry::{Body, MAX_PARENTS};

/// Silent merges wait for this and a time drawn from a lot that grows with the authors (docs/design/log.md §2, R4):
/// with a fixed pause in every node ten thousand nodes merge for ever.
const MERGE_AFTER: Duration = Duration::from_secs(5);

impl Chat {
    /// Composes messages: they have their places at once and are sent when they are stored, in as few runs as they fit
    /// into. All of them or, with an error, none.
    pub(super) fn say(
        &mut self,
        cx: &mut Cx<'_>,
        kind: Conversation,
        contents: Vec<Content>,
        out: &mut Outbox<Out>,
    ) -> Result<Vec<MessageId>, CommandError> {
        let conversation = self.id_of(kind);
        if contents.iter().any(|c| c.about().is_some()) {
            // It may be about what was said just now.
            self.sign(cx, out);
        }
        for content in &contents {
            content.validate()?;
            if !self.has_target(conversation, content) {
                return Err(CommandError::Unknown("message of this conversation"));
            }
        }
        let log = self.log(cx, kind, out).ok_or(CommandError::Busy("list of conversations"))?;
        if !log.policy.may_say(log.is_new()) {
            return Err(CommandError::NotAllowed("this node has not caught up with the group yet: try again soon"));
        }
        let mut ids = Vec::with_capacity(contents.len());
        for content in contents {
            let text = content.len();
            let body = Body { salt: cx.rng.bytes(), sent_at: cx.wall, content: Some(content) };
            match self.draft.as_mut().filter(|d| d.conversation == conversation && d.fits(text)) {
                Some(draft) => ids.extend(draft.push(&body)),
                None => {
                    self.sign(cx, out);
                    ids.extend(self.begin(cx, conversation, body));
                }
            }
        }
        Ok(ids)
    }

    /// What this node has said in private since the last output: their ids, and their bytes as they are sent.
    pub(crate) fn unsent(&self, private: Conversation) -> (&[MessageId], usize) {
        let conversation = self.id_of(private);
        self.draft.as_ref().filter(|d| d.conversation == conversation).map_or((&[], 0), |d| (d.ids(), d.bytes()))
    }

    /// The ids of what this node has said in private since the last output.
    pub(crate) fn unsent_private(&self) -> &[MessageId] {
        let is_private =
            |d: &&Draft| self.logs.get(&d.conversation).is_some_and(|log| log.policy.carriage() == Carriage::Delivery);
        self.draft.as_ref().filter(is_private).map_or(&[], Draft::ids)
    }

    /// Begins the next run of this node.
    fn begin(&mut self, cx: &mut Cx<'_>, conversation: ConversationId, body: Body) -> Option<MessageId> {
        let log = self.logs.get(&conversation)?;
        let parts = log.compose(alloc::vec![body], cx.now, cx.rng);
        self.draft = Draft::begin((conversation, log.policy.context()), self.me, parts, cx.now);
        self.draft.as_ref().and_then(|d| d.ids().last().copied())
    }

    /// Signs what this node has said since the last output, and takes it. Before anything else happens here, so that
    /// what was named is what was there.
    pub(super) fn sign(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let Some(Draft { conversation, parts, .. }) = self.draft.take() else { return };
        let Some(log) = self.logs.get(&conversation) else { return };
        let Ok(run) = log.policy.seal(conversation, &self.identity, parts) else { return };
        self.take(cx, conversation, &run, (Kind::Next, Wants::Nothing), &Facts::default(), Source::Own, out);
        self.wake(cx, out);
    }

    /// Whether something is to be done before the next output: what was said is not signed, or what changed is not
    /// stored.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.draft.is_some() || !self.unsaved.is_empty()
    }

    /// Plans a silent merge if there are more heads than one entry names.
    pub(super) fn merge_later(&mut self, cx: &mut Cx<'_>, conversation: ConversationId) {
        let Some(log) = self.logs.get(&conversation).filter(|l| l.policy.is_of_all() && l.spoke()) else { return };
        if log.open_heads(cx.now) <= MAX_PARENTS {
            self.merge_at = None;
            return;
        }
        let lot = MERGE_AFTER.max(Duration::from_secs(log.authors() as u64));
        let drawn = Duration::from_micros(cx.rng.u64().checked_rem(lot.as_micros() as u64).unwrap_or(0));
        if self.merge_at.is_none() {
            self.merge_at = Some(cx.now + MERGE_AFTER + drawn);
        }
    }

    pub(super) fn merge(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let network = self.network;
        let open = self.logs.get(&network).map_or(0, |log| log.open_heads(cx.now));
        if open > MAX_PARENTS {
            let body = Body { salt: cx.rng.bytes(), sent_at: cx.wall, content: None };
            self.begin(cx, network, body);
            self.sign(cx, out);
        }
    }
}

/// Composes messages: they have their places at once and are sent when they are stored. Returns their ids.
#[derive(Debug)]
pub(crate) struct Say {
    pub(crate) conversation: Conversation,
    pub(crate) contents: Vec<Content>,
}

impl Command<Chat> for Say {
    type Answer = Result<Vec<MessageId>, CommandError>;

    fn run(self, chat: &mut Chat, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Self::Answer {
        chat.say(cx, self.conversation, self.contents, out)
    }
}

/// Names what was said in a group, without saying anything: the remover of a member vouches for what that member said
/// until now.
#[derive(Debug)]
pub(crate) struct Stand {
    pub(crate) group: GroupId,
}

impl Command<Chat> for Stand {
    type Answer = ();

    fn run(self, chat: &mut Chat, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        chat.sign(cx, out);
        let conversation = group_conversation(self.group);
        let Some(log) = chat.logs.get(&conversation) else { return };
        if log.policy.may_say(log.is_new()) && log.open_heads(cx.now) > 0 {
            let body = Body { salt: cx.rng.bytes(), sent_at: cx.wall, content: None };
            chat.begin(cx, conversation, body);
            chat.sign(cx, out);
        }
    }
}

/// Begins a new life in each conversation: the records are an older copy of the profile.
#[derive(Debug)]
pub(crate) struct BeginLife;

impl Command<Chat> for BeginLife {
    type Answer = ();

    fn run(self, chat: &mut Chat, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        chat.sign(cx, out);
        for (conversation, log) in &mut chat.logs {
            // The host asked for it: it is not reported.
            let _ = log.begin_life(Life(cx.rng.bytes()), cx.now);
            chat.unsaved.insert(*conversation);
        }
        chat.save(out);
    }
}
