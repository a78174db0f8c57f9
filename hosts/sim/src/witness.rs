//! An independent check of the messages that each node reports: every message once, and none before its causes.
//! Kept as heights, so that it can watch every run at every size without cost.

use std::collections::BTreeMap;

use donp_core::{Conversation, Message, NodeId};

/// Checks the messages reported to a person.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    heights: BTreeMap<(Conversation, NodeId), u64>,
    /// Messages reported a second time, or after a later one of the same author.
    pub repeated: u64,
    /// Messages reported before one that their author had seen.
    pub early: u64,
}

impl Witness {
    /// `me` reports `message`. Own messages are never reported, so they are no cause to wait for.
    pub fn told(&mut self, me: NodeId, message: &Message) {
        let at = |author| (message.conversation, author);
        for &(author, count) in message.clock.entries() {
            let cause = if author == message.author { count.saturating_sub(1) } else { count };
            let seen = self.heights.get(&at(author)).copied().unwrap_or(0);
            if author != me && seen < cause {
                self.early += 1;
                break;
            }
        }
        let height = self.heights.entry(at(message.author)).or_default();
        if message.seq <= *height {
            self.repeated += 1;
        }
        *height = message.seq.max(*height);
    }
}

#[cfg(test)]
mod tests {
    use donp_core::{Content, MessageId, VectorClock, WallTime};

    use super::*;

    fn message(author: u8, seq: u64, seen: &[(u8, u64)]) -> Message {
        let mut clock = VectorClock::default();
        seen.iter().for_each(|(n, count)| clock.set(NodeId([*n; 32]), *count));
        clock.set(NodeId([author; 32]), seq);
        Message {
            id: MessageId([author; 32]),
            conversation: Conversation::Network,
            author: NodeId([author; 32]),
            seq,
            depth: seq,
            clock,
            sent_at: WallTime(0),
            content: Content::Text { text: "x".into() },
        }
    }

    #[test]
    fn repeats_and_effects_before_causes_are_seen() {
        let mut w = Witness::default();
        let me = NodeId([9; 32]);
        w.told(me, &message(1, 1, &[]));
        w.told(me, &message(2, 1, &[(1, 1), (9, 4)]));
        w.told(me, &message(1, 2, &[(2, 1)]));
        assert_eq!((w.repeated, w.early), (0, 0));
        w.told(me, &message(1, 2, &[(2, 1)]));
        assert_eq!((w.repeated, w.early), (1, 0));
        w.told(me, &message(3, 1, &[(2, 2)]));
        w.told(me, &message(4, 2, &[]));
        assert_eq!((w.repeated, w.early), (1, 2), "a cause of another, and an author's own");
    }
}
