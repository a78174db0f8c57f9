//! What a node of a test keeps to itself: channels on which it says nothing.

use alloc::vec::Vec;

use crate::engine::work::Work;
use crate::link;
use crate::wire::Channel;

/// Channels on which what the machines say is dropped.
#[derive(Default)]
pub(super) struct Gag(Vec<Channel>);

impl Gag {
    pub(super) fn new(channels: &[u8]) -> Self {
        Self(channels.iter().filter_map(|byte| Channel::from_byte(*byte)).collect())
    }

    /// Whether `work` says something on one of them.
    pub(super) fn holds(&self, work: &Work) -> bool {
        matches!(work, Work::Link(link::In::Send { channel, .. }) if self.0.contains(channel))
    }
}
