//! The members that hold and that have read this node's messages in one conversation.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::collections::OrderedMap;
use crate::id::{Life, MessageId, NodeId};

/// Members of whom it is known: 1,024, the largest group with keys and some (docs/design/groups-keys.md §4.6). 120 bytes
/// each. It is never more than the group machine keeps of them.
const MAX_MEMBERS: usize = 1_024;

/// What is known of one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// It holds the entries of this life up to this number.
    held: u64,
    /// And from this depth on: what was said before its base it never had.
    from: Option<u64>,
    /// It has read up to this place of the order.
    read: Option<MessageId>,
}

/// How far each member has what this node said in its present life. Each says it of itself alone.
#[derive(Debug)]
pub(crate) struct Confirmed {
    /// Numbers are of this life.
    life: Life,
    marks: OrderedMap<NodeId, Mark>,
    /// What rose since [`take_risen`](Self::take_risen).
    risen: Option<Risen>,
}

/// How far something rose: numbers that are held, and places that were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Risen {
    pub(crate) held: u64,
    pub(crate) read: Option<MessageId>,
}

/// As it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    life: Life,
    marks: Vec<(NodeId, Mark)>,
}

impl Default for Confirmed {
    fn default() -> Self {
        Self { life: Life([0; 8]), marks: OrderedMap::new(), risen: None }
    }
}

impl Confirmed {
    pub(crate) fn restore(&mut self, stored: Stored) {
        let Stored { life, marks } = stored;
        (self.life, self.marks) = (life, marks.into_iter().take(MAX_MEMBERS).collect());
    }

    pub(crate) fn stored(&self) -> Stored {
        Stored { life: self.life, marks: self.marks.iter().map(|(node, mark)| (*node, *mark)).collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.marks.len()
    }

    fn mark(&mut self, life: Life, member: NodeId) -> Option<&mut Mark> {
        if self.life != life {
            // Numbers of another life say nothing of this one's.
            self.marks.values_mut().for_each(|mark| (mark.held, mark.from) = (0, None));
            self.life = life;
        }
        if self.marks.len() >= MAX_MEMBERS && !self.marks.contains_key(&member) {
            return None;
        }
        Some(self.marks.entry(member).or_default())
    }

    /// A member whose headers begin at the depth `from` holds the entries of this life up to this number. What it had
    /// once counts, also when its base rises.
    pub(crate) fn hold(&mut self, life: Life, member: NodeId, seq: u64, from: u64) {
        let Some(mark) = self.mark(life, member) else { return };
        let reaches = mark.from.is_none_or(|known| from < known);
        if mark.held >= seq && !reaches {
            return;
        }
        mark.held = mark.held.max(seq);
        mark.from = Some(mark.from.map_or(from, |known| known.min(from)));
        let risen = self.risen.get_or_insert_default();
        risen.held = risen.held.max(seq);
    }

    /// A member says that it has read up to this place. A mark never goes back.
    pub(crate) fn read(&mut self, life: Life, member: NodeId, upto: MessageId) {
        let Some(mark) = self.mark(life, member).filter(|mark| mark.read < Some(upto)) else { return };
        mark.read = Some(upto);
        let risen = self.risen.get_or_insert_default();
        risen.read = risen.read.max(Some(upto));
    }

    /// Marks of former members are removed.
    pub(crate) fn retain(&mut self, is_member: impl Fn(&NodeId) -> bool) {
        self.marks.retain(|member, _| is_member(member));
    }

    pub(crate) fn is_risen(&self) -> bool {
        self.risen.is_some()
    }

    pub(crate) fn take_risen(&mut self) -> Option<Risen> {
        self.risen.take()
    }

    /// Whether a member holds an entry of this life, and whether it has read it.
    pub(crate) fn of(&self, life: Life, member: NodeId, (id, seq): (MessageId, u64)) -> (bool, bool) {
        let Some(mark) = self.marks.get(&member).filter(|_| self.life == life) else { return (false, false) };
        let is_held = mark.held >= seq && mark.from.is_some_and(|from| from <= id.depth);
        (is_held, is_held && mark.read.is_some_and(|upto| id <= upto))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Life = Life([1; 8]);
    const B: NodeId = NodeId([2; 32]);

    fn at(depth: u64) -> MessageId {
        MessageId::first_of(depth)
    }

    /// Mutation: `read` alone decides.
    #[test]
    fn what_is_not_held_is_not_read() {
        let mut confirmed = Confirmed::default();
        confirmed.hold(LIFE, B, 2, 0);
        confirmed.read(LIFE, B, at(9));
        assert_eq!(confirmed.of(LIFE, B, (at(5), 2)), (true, true));
        assert_eq!(confirmed.of(LIFE, B, (at(6), 3)), (false, false));
        assert_eq!(confirmed.of(LIFE, NodeId([3; 32]), (at(5), 2)), (false, false));
    }

    /// Mutation: `mark` does not look at the life.
    #[test]
    fn numbers_of_an_older_life_confirm_nothing_of_this_one() {
        let mut confirmed = Confirmed::default();
        confirmed.hold(LIFE, B, 7, 0);
        let other = Life([2; 8]);
        confirmed.hold(other, NodeId([3; 32]), 1, 0);
        assert_eq!(confirmed.of(other, NodeId([3; 32]), (at(5), 1)), (true, false));
        assert_eq!(confirmed.of(other, B, (at(5), 1)), (false, false));
        assert_eq!(confirmed.of(LIFE, B, (at(5), 1)), (false, false));
        // Where it began then says nothing either.
        confirmed.hold(other, B, 2, 9);
        assert_eq!(confirmed.of(other, B, (at(5), 1)), (false, false));
    }

    /// Mutation: `hold` or `read` replaces a larger value.
    #[test]
    fn nothing_goes_back_and_only_what_rises_is_reported() {
        let mut confirmed = Confirmed::default();
        confirmed.hold(LIFE, B, 7, 0);
        confirmed.read(LIFE, B, at(7));
        assert_eq!(confirmed.take_risen(), Some(Risen { held: 7, read: Some(at(7)) }));
        confirmed.hold(LIFE, B, 6, 0);
        confirmed.read(LIFE, B, at(3));
        assert_eq!(confirmed.take_risen(), None);
        assert_eq!(confirmed.of(LIFE, B, (at(7), 7)), (true, true));
    }

    /// A newcomer's base lies at depth 6. Mutation: `of` does not look at `from`.
    #[test]
    fn what_was_said_before_a_members_base_is_not_held() {
        let mut confirmed = Confirmed::default();
        confirmed.hold(LIFE, B, 7, 6);
        assert_eq!(confirmed.of(LIFE, B, (at(5), 2)), (false, false));
        assert_eq!(confirmed.of(LIFE, B, (at(6), 3)), (true, false));
        assert!(confirmed.take_risen().is_some());
        // Its headers reach further down now; then its base rises again, and it had them.
        confirmed.hold(LIFE, B, 7, 5);
        assert!(confirmed.take_risen().is_some());
        assert_eq!(confirmed.of(LIFE, B, (at(5), 2)), (true, false));
        confirmed.hold(LIFE, B, 7, 9);
        assert!(confirmed.take_risen().is_none());
        assert_eq!(confirmed.of(LIFE, B, (at(5), 2)), (true, false));
    }

    /// Mutation: a member more is kept.
    #[test]
    fn members_have_a_limit() {
        let mut confirmed = Confirmed::default();
        for n in 0..2 * MAX_MEMBERS {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&(n as u64).to_le_bytes());
            confirmed.hold(LIFE, NodeId(id), 1, 0);
        }
        assert_eq!(confirmed.len(), MAX_MEMBERS);
    }
}
