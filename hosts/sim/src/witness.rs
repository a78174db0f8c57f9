//! An independent check of the messages that each node reports: every message once, and none before its causes.
//! Kept as heights, so that it can watch every run at every size without cost.

use std::collections::BTreeMap;

use donp_core::{Conversation, Life, Message, NodeId};

/// One log of an author in one conversation.
type Log = (Conversation, NodeId, Life);

/// Checks the messages reported to a person.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    heights: BTreeMap<Log, u64>,
    /// The greatest count that the clock of a reported message has: all of the log up to there was to be reported
    /// before. Merges have numbers and are never reported, so a message that comes after its effect is what shows.
    seen: BTreeMap<Log, u64>,
    /// Messages reported a second time, or after a later one of the same log.
    pub repeated: u64,
    /// Messages reported after one whose author had seen them.
    pub early: u64,
}

impl Witness {
    /// `me` reports `message`. Own messages are never reported, so none of them comes too late.
    pub fn told(&mut self, message: &Message) {
        let log = (message.conversation, message.author, message.life);
        let height = self.heights.entry(log).or_default();
        if message.seq <= *height {
            self.repeated += 1;
        } else if self.seen.get(&log).is_some_and(|seen| message.seq <= *seen) {
            self.early += 1;
        }
        *height = message.seq.max(*height);
        for entry in message.clock.iter().flat_map(|clock| clock.entries()) {
            let seen = self.seen.entry((message.conversation, entry.author, entry.life)).or_default();
            *seen = entry.count.max(*seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use donp_core::{ClockEntry, Content, MessageId, WallTime};

    use super::*;

    const LIFE: Life = Life([1; 8]);

    fn message(author: u8, life: Life, seq: u64, seen: &[(u8, u64)]) -> Message {
        let of = |(n, count): &(u8, u64)| ClockEntry { author: NodeId([*n; 32]), life: LIFE, count: *count };
        let own = ClockEntry { author: NodeId([author; 32]), life, count: seq };
        Message {
            id: MessageId { depth: seq, hash: [author; 32] },
            conversation: Conversation::Network,
            author: NodeId([author; 32]),
            life,
            seq,
            clock: Some(seen.iter().map(of).chain([own]).collect()),
            sent_at: WallTime(0),
            content: Content::Text { text: "x".into() },
            edited: None,
            retracted: false,
        }
    }

    #[test]
    fn repeats_and_effects_before_causes_are_seen() {
        let mut w = Witness::default();
        w.told(&message(1, LIFE, 1, &[]));
        w.told(&message(2, LIFE, 1, &[(1, 1), (9, 4)]));
        // Number 2 of author 1 is a merge.
        w.told(&message(1, LIFE, 3, &[(2, 1)]));
        w.told(&message(1, Life([2; 8]), 1, &[(2, 1)]));
        assert_eq!((w.repeated, w.early), (0, 0));
        w.told(&message(1, LIFE, 3, &[(2, 1)]));
        assert_eq!((w.repeated, w.early), (1, 0));
        w.told(&message(1, LIFE, 2, &[]));
        assert_eq!((w.repeated, w.early), (2, 0), "an author's own");
        w.told(&message(3, LIFE, 1, &[(2, 2)]));
        w.told(&message(2, LIFE, 2, &[]));
        assert_eq!((w.repeated, w.early), (2, 1), "a cause of another");
    }
}
