//! Conversations: their history, and the events that report it.

use crate::chat::{BeginLife, Confirm, Confirmations, History, Type};
use crate::engine::Engine;
use crate::error::CommandError;
use crate::id::MessageId;
use crate::time::Instant;
use crate::wire::content::Conversation;

impl Engine {
    /// Asks for the page of a conversation that ends before `before`, or its newest page. Returns the
    /// query's number; an [`Answer`](crate::Answer) gives the messages, oldest first.
    ///
    /// # Errors
    /// [`CommandError::Busy`] if too many reads are under way.
    pub fn history(
        &mut self,
        now: Instant,
        conversation: Conversation,
        before: Option<MessageId>,
        limit: u32,
    ) -> Result<u64, CommandError> {
        if self.q.reading() >= self.config.limits.requests {
            return Err(CommandError::Busy("list of reads"));
        }
        let query = self.next_query;
        self.next_query = query.wrapping_add(1);
        let at = self.advance(now);
        self.machines.chat.command(at, &mut self.q, History { query, conversation, before, limit });
        self.pump(now);
        Ok(query)
    }

    /// Which members have a message of this node in a group or a private conversation, as far as this node knows: what
    /// members say of themselves when they get it, and what follows from what they say. It never says too much; a
    /// member that is not linked is counted when it, or what it says, comes here.
    ///
    /// # Errors
    /// [`CommandError::Unknown`] if there is no such conversation, or if the message is none of this node, or from before
    /// another copy of its profile spoke, or neither of the newest 1,024 nor on the pages of history read since the
    /// start; [`CommandError::NotAllowed`] for the network's conversation.
    pub fn confirmations(
        &mut self,
        now: Instant,
        conversation: Conversation,
        message: MessageId,
    ) -> Result<Confirmations, CommandError> {
        let at = self.advance(now);
        let found = self.machines.chat.command(at, &mut self.q, Confirm { conversation, message });
        self.pump(now);
        found
    }

    /// The user types in a group of up to 32 members, or in a private conversation that this node spoke in. Linked members
    /// that are not muted there get [`Volatile::Typing`](crate::Volatile::Typing), which ends by itself after 6 s or with
    /// the next message. To be called with each change of the text: at most one message every 3 s goes to each of them.
    ///
    /// # Errors
    /// [`CommandError::Unknown`] if there is no such conversation, [`CommandError::NotAllowed`] for another one and where
    /// this node may not post.
    pub fn send_typing(&mut self, now: Instant, conversation: Conversation) -> Result<(), CommandError> {
        let at = self.advance(now);
        let done = self.machines.chat.command(at, &mut self.q, Type { conversation });
        self.pump(now);
        done
    }

    /// Begins a new life in each conversation: for a host that knows its records to be an older copy of the profile, right
    /// after [`restore`](Self::restore). What another copy has said since stays another log of this device.
    pub fn begin_life(&mut self, now: Instant) {
        let at = self.advance(now);
        self.machines.chat.command(at, &mut self.q, BeginLife);
        self.pump(now);
    }

    /// The number of the newest durable event that is on disk, acknowledged or not; zero before the first.
    pub const fn newest_event(&self) -> u64 {
        self.q.events.newest()
    }

    /// Every durable event up to and including `seq` was handled and need not come again.
    ///
    /// # Errors
    /// [`CommandError::Unknown`] if no event with this number was reported yet.
    pub fn ack(&mut self, now: Instant, seq: u64) -> Result<(), CommandError> {
        let ops = self.q.events.ack(seq).ok_or(CommandError::Unknown("event"))?;
        self.q.ops.extend(ops);
        self.pump(now);
        Ok(())
    }
}
