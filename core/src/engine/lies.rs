//! A node whose owner says what it likes over its links: for tests of what others make of that.

use alloc::vec::Vec;

use crate::engine::Engine;
use crate::engine::gag::Gag;
use crate::id::NodeId;
use crate::link;
use crate::time::Instant;
use crate::wire::{Channel, Priority};

impl Engine {
    /// Sends any bytes to the machine of a channel at a linked node (docs/spec/link.md, "Frames").
    #[doc(hidden)]
    pub fn say_on(&mut self, now: Instant, to: NodeId, channel: u8, body: Vec<u8>) {
        if let Some(channel) = Channel::from_byte(channel) {
            let gag = core::mem::take(&mut self.q.gag);
            self.q.input(link::In::Send { to, channel, priority: Priority::High, body });
            self.q.gag = gag;
            self.pump(now);
        }
    }

    /// From now on the node's own machines say nothing on these channels.
    #[doc(hidden)]
    pub fn gag(&mut self, channels: &[u8]) {
        self.q.gag = Gag::new(channels);
    }

    /// The link key in the record of a node that this one knows.
    #[doc(hidden)]
    pub fn link_key_of(&self, peer: NodeId) -> Option<[u8; 32]> {
        self.machines.membership.get(peer)?.record.as_ref().map(|record| record.link_key)
    }
}
