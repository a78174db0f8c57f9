//! Nodes that the user wants nothing to do with.

use alloc::vec::Vec;

use crate::engine::Engine;
use crate::error::CommandError;
use crate::id::NodeId;
use crate::link::Block;
use crate::time::Instant;

impl Engine {
    /// Blocks a node, for good and across restarts: there is no link with it, and its private messages are neither taken
    /// nor answered. Private messages to it that wait fail with [`FailReason::Blocked`](crate::FailReason::Blocked). What
    /// it says in conversations of many is kept and passed on, since what others said after it names it, but it is in no
    /// event and in no page of the history. It gets no notice.
    ///
    /// # Errors
    /// [`CommandError::ToSelf`], [`CommandError::Busy`] when so many are blocked already
    /// ([`Limits::blocked`](crate::Limits::blocked)).
    pub fn block(&mut self, now: Instant, peer: NodeId) -> Result<(), CommandError> {
        if peer == self.me {
            return Err(CommandError::ToSelf);
        }
        self.set_blocked(now, peer, true)
    }

    /// Ends [`block`](Self::block). What the node said meanwhile in conversations of many is in the history again, without
    /// events.
    ///
    /// # Errors
    /// None at present: a node that is not blocked stays so.
    pub fn unblock(&mut self, now: Instant, peer: NodeId) -> Result<(), CommandError> {
        self.set_blocked(now, peer, false)
    }

    /// Blocked nodes, by id.
    pub fn blocked(&self) -> Vec<NodeId> {
        self.machines.link.blocked()
    }

    fn set_blocked(&mut self, now: Instant, peer: NodeId, blocked: bool) -> Result<(), CommandError> {
        let at = self.advance(now);
        // A person with several devices is blocked with all of them; an own device that was stolen is blocked alone.
        let all = self.machines.device.of(peer);
        let is_own = all.contains(&self.me);
        let devices = all.into_iter().filter(|d| *d != peer && !is_own);
        let mut set = self.machines.link.command(at, &mut self.q, Block { peer, blocked });
        for peer in devices {
            set = set.and(self.machines.link.command(at, &mut self.q, Block { peer, blocked }));
        }
        self.pump(now);
        set
    }
}
