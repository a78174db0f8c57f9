//! Which of this node's entries others hold: by what their entries name, by their heights, and by what they confirm
//! (docs/design/groups.md §5, "Confirmations").

use super::Log;
use crate::chat::known::Known;
use crate::chat::wire::Height;
use crate::id::{MessageId, NodeId};
use crate::wire::entry::{Entry, LifeId, Parent};

impl Log {
    /// Another node has this node's entries up to this number.
    fn held_by(&mut self, peer: NodeId, seq: u64) {
        if seq == 0 {
            return;
        }
        if seq > self.own.held {
            self.own.held = seq;
            self.retention.release();
        }
        // Of the network's conversation it is not counted who has a message.
        if !self.policy.is_of_all() && self.policy.may_sync(peer) {
            let from = self.holders.get(peer).map_or(0, |holding| holding.base);
            self.confirmed.hold(self.own.life, peer, seq, from);
        }
    }

    /// An entry of another author was taken: its author has all of its past.
    pub(super) fn named_by(&mut self, author: NodeId, entry: &Entry, known: &Known) {
        let counted = self.components.place(self.own_log()).zip(known.clock.as_ref());
        let counted = counted.and_then(|(at, counts)| counts.get(at).copied());
        // Without clocks: what it names itself.
        let named = || self.tip.as_ref().filter(|(id, _)| entry.parents.contains(&Parent::of(*id)));
        let seq = counted.or_else(|| named().map(|(_, known)| known.seq));
        seq.into_iter().for_each(|seq| self.held_by(author, seq));
    }

    /// Whether an own run is held by another node, as far as is known. Of older lives it is.
    pub(crate) fn may_delete(&self, log: LifeId, seq: u64) -> bool {
        log != self.own_log() || seq <= self.own.held
    }

    /// What a peer says that it has of this node's log. It cannot have what was not said.
    pub(crate) fn heard_heights(&mut self, peer: NodeId, theirs: &[Height]) {
        let Some(tip) = self.own.tip else { return };
        let own = self.own_log();
        let is_so = |h: &&Height| h.log == own && (h.seq < tip.seq || h.is(&tip));
        if let Some(seq) = theirs.iter().filter(is_so).map(|h| h.seq).max() {
            self.held_by(peer, seq);
        }
    }

    /// Another node has all that this one has.
    pub(crate) fn all_held(&mut self, peer: NodeId) {
        self.held_by(peer, self.own.tip.map_or(0, |tip| tip.seq));
    }

    /// Another node has stored an own entry, and so all before it.
    pub(crate) fn delivered(&mut self, peer: NodeId, id: MessageId) {
        let seq = self.recent.get(&id).filter(|known| known.log == self.own_log()).map(|known| known.seq);
        let tip = self.own.tip.filter(|tip| tip.id == id).map(|tip| tip.seq);
        seq.max(tip).into_iter().for_each(|seq| self.held_by(peer, seq));
    }

    /// A peer says up to which place of the order its user has read.
    pub(crate) fn read_by(&mut self, peer: NodeId, upto: MessageId) {
        self.confirmed.read(self.own.life, peer, upto);
    }

    /// The newest own entry of this life with this number or a smaller one, or up to this place of the order; none if it
    /// is not in memory any more.
    pub(crate) fn own_entry(&self, upto: u64, place: Option<MessageId>) -> Option<MessageId> {
        let own = self.own_log();
        let fits = |id: MessageId, known: &Known| {
            known.log == own && (known.seq <= upto || place.is_some_and(|place| id <= place))
        };
        let recent = self.recent.iter().rev().find(|(id, known)| fits(**id, known)).map(|(id, _)| *id);
        recent.or_else(|| self.tip.iter().find(|(id, known)| fits(*id, known)).map(|(id, _)| *id))
    }

    /// Whether what this node said last has all of another log up to this number in its past.
    pub(crate) fn names(&self, log: LifeId, seq: u64) -> bool {
        let counts = self.tip.as_ref().and_then(|(_, known)| known.clock.as_ref());
        let counted = self.components.place(log).zip(counts).and_then(|(at, counts)| counts.get(at).copied());
        counted.is_some_and(|count| count >= seq)
    }
}
