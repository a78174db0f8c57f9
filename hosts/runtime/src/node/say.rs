//! Saying something, and the answer when the disk refuses it.

use std::sync::mpsc::sync_channel;

use donp_core::{CommandError, Content, Conversation, MessageId};

use super::{ANSWER_WITHIN, Node};
use crate::error::NodeError;
use crate::node::worker::Worker;

impl Node {
    /// Says `content`. The core knows recent messages and those of pages that were read; an older one that the content
    /// is about is read first.
    pub(super) fn say(
        &self,
        conversation: Conversation,
        content: Content,
        say: impl Fn(&mut Worker, Content) -> Result<MessageId, CommandError> + Clone + Send + 'static,
    ) -> Result<MessageId, NodeError> {
        let Some(target) = content.about() else {
            return self.say_stored(move |w| Ok(say(w, content)?));
        };
        let (again, first) = (content.clone(), say.clone());
        match self.say_stored(move |w| Ok(first(w, content)?)) {
            Err(NodeError::Command(CommandError::Unknown(_))) => {}
            other => return other,
        }
        let page = self.history(conversation, Some(target.next()), 1, ANSWER_WITHIN)?;
        let found = page.messages.iter().find(|m| m.id == target).ok_or(NodeError::NoTarget(target))?;
        let is_authors = matches!(again, Content::Edit { .. } | Content::Retract { .. });
        if is_authors && found.author != self.id {
            return Err(NodeError::NotOwn { id: target, author: found.author });
        }
        self.say_stored(move |w| Ok(say(w, again)?))
    }

    /// As [`call_stored`](Self::call_stored); a message that is taken and cannot be stored is named.
    fn say_stored(
        &self,
        say: impl FnOnce(&mut Worker) -> Result<MessageId, NodeError> + Send + 'static,
    ) -> Result<MessageId, NodeError> {
        let (tell, answer) = sync_channel(1);
        self.may_ask()?;
        self.submit(Box::new(move |w| match w.writable().and_then(|()| say(w)) {
            Ok(id) => w.after_commit(Box::new(move |stored| {
                let stored = stored.map_err(|e| match e {
                    NodeError::Store(source) => NodeError::Unstored { id, source },
                    e => e,
                });
                let _ = tell.send(stored.map(|()| id));
            })),
            Err(e) => drop(tell.send(Err(e))),
        }))?;
        self.wait(&answer, ANSWER_WITHIN)?
    }
}
