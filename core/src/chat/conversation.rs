//! One conversation: the version vector, messages that wait for their parents, and the causal order.
//!
//! Pure: no time, no store, no network. A message is taken only after everything its author had seen
//! (chat document §10.3, with a clock that counts messages only, so that a gap is visible).

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::chat::policy::Policy;
use crate::chat::wire::{Body, Height, MAX_CLOCK_CHANGES, id_key, message_id};
use crate::id::{ConversationId, MessageId, NodeId};
use crate::limits::Limits;
use crate::planted::{Bug, planted};
use crate::stats::DropReason;
use crate::time::{Instant, WallTime};
use crate::wire::content::{Content, Conversation, Message, VectorClock};

/// Depths remembered of each author, to check what later messages claim: 64 recent ones cover what
/// live conversations refer to.
const DEPTHS: usize = 64;

/// What is known of an author.
#[derive(Clone, Debug, Default)]
pub(super) struct Author {
    /// See [`id_key`].
    id_key: [u8; 32],
    /// Messages taken, which are 1 to `height`.
    height: u64,
    /// The depths of the newest of them, oldest first.
    depths: VecDeque<u64>,
    /// The completed clock of the newest.
    clock: VectorClock,
}

/// An author's state as read from disk.
#[derive(Deserialize)]
pub(super) struct StoredAuthor {
    pub(super) height: u64,
    pub(super) depth: u64,
    pub(super) clock: VectorClock,
}

/// The same as it is written.
#[derive(Serialize)]
pub(super) struct AuthorToStore<'a> {
    height: u64,
    depth: u64,
    clock: &'a VectorClock,
}

/// What is known of the depth of a message.
enum Depth {
    Is(u64),
    AtMost(u64),
}

impl Author {
    fn last_depth(&self) -> u64 {
        self.depths.back().copied().unwrap_or(0)
    }

    fn depth_of(&self, seq: u64) -> Depth {
        if seq == 0 {
            return Depth::Is(0);
        }
        let back = usize::try_from(self.height.saturating_sub(seq)).unwrap_or(usize::MAX);
        let at = self.depths.len().checked_sub(1).and_then(|last| last.checked_sub(back));
        match at.and_then(|at| self.depths.get(at)) {
            Some(&depth) => Depth::Is(depth),
            None => Depth::AtMost(self.depths.front().copied().unwrap_or(0)),
        }
    }

    fn advance(&mut self, seq: u64, depth: u64) {
        self.height = seq;
        self.depths.push_back(depth);
        if self.depths.len() > DEPTHS {
            self.depths.pop_front();
        }
    }
}

/// How a message came here; returned with the verdict on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// From this node's own user.
    Own,
    /// By the delivery machine, which needs the verdict.
    Delivery { from: NodeId, id: crate::collections::ShortId },
    /// By the gossip machine or a neighbour's bundle.
    Peer { from: NodeId },
}

impl Source {
    pub(super) fn peer(self) -> Option<NodeId> {
        match self {
            Self::Own => None,
            Self::Delivery { from, .. } | Self::Peer { from } => Some(from),
        }
    }
}

/// A message that is well formed and genuine, but perhaps early.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) id: MessageId,
    pub(super) author: NodeId,
    pub(super) body: Body,
    pub(super) envelope: Vec<u8>,
    pub(super) source: Source,
}

/// A message that has its place in the order.
pub(super) struct Taken {
    pub(super) message: Message,
    pub(super) envelope: Vec<u8>,
    pub(super) source: Source,
}

/// The result of an offer.
pub(super) enum Verdict {
    /// Accepted, perhaps with others that waited for it: see what was pushed, in causal order.
    Taken,
    /// Known already.
    Duplicate,
    /// It waits; this many messages of this author must come first.
    Early { missing: Vec<(NodeId, u64)> },
    /// It breaks a rule and is never accepted.
    Refused(DropReason),
    /// There is no room for it now.
    NoRoom,
}

struct Pending {
    offer: Offer,
    since: Instant,
}

pub(super) struct Room {
    pub(super) id: ConversationId,
    pub(super) policy: Policy,
    me: NodeId,
    authors: BTreeMap<NodeId, Author>,
    /// INVARIANT: exactly the other authors with messages that this node's newest does not count.
    fresh: BTreeSet<NodeId>,
    pending: BTreeMap<(NodeId, u64), Pending>,
    /// Pending messages by one message that they miss.
    waiting: BTreeMap<(NodeId, u64), Vec<(NodeId, u64)>>,
    pending_bytes: usize,
}

impl Room {
    pub(super) fn new(id: ConversationId, kind: Conversation, me: NodeId) -> Self {
        Self {
            id,
            policy: Policy::new(kind, me),
            me,
            authors: BTreeMap::new(),
            fresh: BTreeSet::new(),
            pending: BTreeMap::new(),
            waiting: BTreeMap::new(),
            pending_bytes: 0,
        }
    }

    pub(super) fn restore(&mut self, author: NodeId, stored: StoredAuthor) {
        let known = self.author(author);
        known.clock = stored.clock;
        known.advance(stored.height, stored.depth);
    }

    /// Call once after the last `restore`.
    pub(super) fn restored(&mut self) {
        self.refresh();
    }

    fn refresh(&mut self) {
        self.fresh = self.uncounted();
    }

    /// The other authors with messages that this node's newest does not count.
    fn uncounted(&self) -> BTreeSet<NodeId> {
        let mine = self.authors.get(&self.me).map(|a| a.clock.clone()).unwrap_or_default();
        let newer = self.authors.iter().filter(|(id, a)| **id != self.me && a.height > mine.get(**id));
        newer.map(|(id, _)| *id).collect()
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.fresh != self.uncounted() {
            return Err("the authors to name next are not those with uncounted messages");
        }
        let bytes = self.pending.values().fold(0usize, |sum, p| sum.saturating_add(p.offer.envelope.len()));
        if bytes != self.pending_bytes {
            return Err("the bytes that wait are not those of the pending messages");
        }
        Ok(())
    }

    /// What to store of an author with messages here.
    pub(super) fn stored(&self, author: NodeId) -> Option<AuthorToStore<'_>> {
        let known = self.authors.get(&author)?;
        Some(AuthorToStore { height: known.height, depth: known.last_depth(), clock: &known.clock })
    }

    /// The id of an author's message with these body bytes.
    pub(super) fn message_id(&self, author: NodeId, body: &[u8]) -> MessageId {
        match self.authors.get(&author) {
            Some(known) => message_id(&known.id_key, body),
            None => message_id(&id_key(self.id, author), body),
        }
    }

    fn author(&mut self, author: NodeId) -> &mut Author {
        let room = self.id;
        self.authors.entry(author).or_insert_with(|| Author { id_key: id_key(room, author), ..Author::default() })
    }

    pub(super) fn height(&self, author: NodeId) -> u64 {
        self.authors.get(&author).map_or(0, |a| a.height)
    }

    pub(super) fn heights(&self) -> Vec<Height> {
        self.authors.iter().map(|(&author, a)| Height { author, count: a.height, depth: a.last_depth() }).collect()
    }

    /// Whether there is anything here that is not in these heights.
    pub(super) fn is_ahead_of(&self, heights: &[Height]) -> bool {
        let theirs: BTreeMap<NodeId, u64> = heights.iter().map(|h| (h.author, h.count)).collect();
        self.authors.iter().any(|(id, a)| a.height > theirs.get(id).copied().unwrap_or(0))
    }

    /// A hash that is equal exactly if all heights are.
    pub(super) fn digest(&self) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_derive_key("DONP v1 heights");
        for (author, a) in &self.authors {
            hasher.update(&author.0).update(&a.height.to_le_bytes());
        }
        let (half, _) = hasher.finalize().as_bytes().split_first_chunk::<16>().map_or(([0; 16], ()), |(h, _)| (*h, ()));
        half
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn is_pending(&self, author: NodeId, seq: u64) -> bool {
        self.pending.contains_key(&(author, seq))
    }

    pub(super) fn entries(&self) -> usize {
        self.authors.len().saturating_add(self.pending.len())
    }

    /// An earlier incarnation of this node, whose store is lost, used the next number: continue after it.
    pub(super) fn skip_to(&mut self, seq: u64, depth: u64) {
        let mine = self.author(self.me);
        if seq > mine.height {
            mine.advance(seq, depth.max(mine.last_depth()));
        }
    }

    /// This node's next message.
    pub(super) fn compose(&self, sent_at: WallTime, content: Content) -> Body {
        let mine = self.authors.get(&self.me);
        let mut depth = mine.map_or(0, Author::last_depth);
        let mut changes = VectorClock::default();
        if self.fresh.len() <= MAX_CLOCK_CHANGES {
            for author in self.fresh.iter().filter_map(|id| self.authors.get_key_value(id)) {
                changes.set(*author.0, author.1.height);
                depth = depth.max(author.1.last_depth());
            }
        } else {
            // Too many to name: claim to have seen a part of it that is closed under causality, the
            // shallowest first (docs/design/history.md §2). The rest counts as concurrent to this message, which
            // is true of what it says, and is counted by the next one.
            let seen = mine.map(|a| a.clock.clone()).unwrap_or_default();
            let mut by_depth: Vec<_> = self.fresh.iter().filter_map(|id| self.authors.get_key_value(id)).collect();
            by_depth.sort_by_key(|(id, a)| (a.last_depth(), **id));
            for (_, author) in by_depth {
                let mut with = changes.clone();
                with.merge(&author.clock);
                let news = with.entries().iter().filter(|&&(id, n)| id != self.me && n > seen.get(id));
                let news: VectorClock = news.copied().collect();
                if news.entries().len() <= MAX_CLOCK_CHANGES {
                    changes = news;
                    depth = depth.max(author.last_depth());
                }
            }
        }
        Body {
            seq: mine.map_or(0, |a| a.height).saturating_add(1),
            depth: depth.saturating_add(1),
            changes: changes.entries().to_vec(),
            sent_at,
            content,
        }
    }

    /// Judges a message and moves it, and the messages that waited for it, into `taken` once its parents are here.
    pub(super) fn offer(&mut self, offer: Offer, now: Instant, limits: &Limits, taken: &mut Vec<Taken>) -> Verdict {
        if let Some(reason) = self.breaks_a_rule(&offer, limits) {
            return Verdict::Refused(reason);
        }
        if offer.body.seq <= self.height(offer.author) {
            return Verdict::Duplicate;
        }
        let missing = self.missing(&offer);
        if !missing.is_empty() {
            return self.hold(offer, missing, now, limits);
        }
        if !self.depth_is_right(&offer) {
            return Verdict::Refused(DropReason::Message);
        }
        let mut next = taken.len();
        self.take(offer, taken);
        while let Some(key) = taken.get(next).map(|t| (t.message.author, t.message.seq)) {
            next = next.saturating_add(1);
            if planted(Bug::LostWakeUp) {
                continue;
            }
            for waiter in self.waiting.remove(&key).unwrap_or_default() {
                let Some(held) = self.unhold(waiter) else { continue };
                match self.missing(&held.offer).first() {
                    Some(&first) => {
                        self.waiting.entry(first).or_default().push(waiter);
                        self.rehold(held);
                    }
                    None if self.depth_is_right(&held.offer) => self.take(held.offer, taken),
                    None => {}
                }
            }
        }
        Verdict::Taken
    }

    fn breaks_a_rule(&self, offer: &Offer, limits: &Limits) -> Option<DropReason> {
        if offer.body.changes.iter().any(|&(id, _)| !self.policy.may_name(offer.author, id)) {
            return Some(DropReason::Message);
        }
        if !self.authors.contains_key(&offer.author) && self.authors.len() >= limits.authors {
            return Some(DropReason::Rate);
        }
        None
    }

    /// The newest message of each author that must come before this one and is not here.
    fn missing(&self, offer: &Offer) -> Vec<(NodeId, u64)> {
        let before = offer.body.seq.saturating_sub(1);
        let own = (self.height(offer.author) < before).then_some((offer.author, before));
        let others = offer.body.changes.iter().copied().filter(|&(id, n)| self.height(id) < n);
        own.into_iter().chain(others.filter(|_| !planted(Bug::ToldBeforeParents))).collect()
    }

    /// A depth is one more than that of the deepest parent. Parents too old to be remembered leave a
    /// range; an author that picks a depth within it misplaces only its own message, among old ones.
    fn depth_is_right(&self, offer: &Offer) -> bool {
        let body = &offer.body;
        let own = self.authors.get(&offer.author).map_or(0, Author::last_depth);
        let (mut least, mut most) = (own, own);
        for (id, n) in &body.changes {
            match self.authors.get(id).map_or(Depth::Is(0), |a| a.depth_of(*n)) {
                Depth::Is(depth) => {
                    least = least.max(depth);
                    most = most.max(depth);
                }
                Depth::AtMost(depth) => most = most.max(depth),
            }
        }
        (least < body.depth && body.depth <= most.saturating_add(1)) || planted(Bug::ToldBeforeParents)
    }

    fn take(&mut self, offer: Offer, taken: &mut Vec<Taken>) {
        let Offer { id, author, body, envelope, source } = offer;
        let known = self.author(author);
        for &(id, n) in &body.changes {
            if known.clock.get(id) < n {
                known.clock.set(id, n);
            }
        }
        known.clock.set(author, body.seq);
        known.advance(body.seq, body.depth);
        let clock = known.clock.clone();
        if author == self.me {
            if source == Source::Own && self.fresh.len() <= MAX_CLOCK_CHANGES {
                self.fresh.clear();
            } else {
                self.refresh();
            }
        } else {
            self.fresh.insert(author);
        }
        // A held copy of the same number is this message or its author's equivocation.
        self.unhold((author, body.seq));
        taken.push(Taken {
            message: Message {
                id,
                conversation: self.policy.kind(),
                author,
                seq: body.seq,
                depth: body.depth,
                clock,
                sent_at: body.sent_at,
                content: body.content,
            },
            envelope,
            source,
        });
    }

    fn hold(&mut self, offer: Offer, missing: Vec<(NodeId, u64)>, now: Instant, limits: &Limits) -> Verdict {
        let key = (offer.author, offer.body.seq);
        if self.pending.contains_key(&key) {
            return Verdict::Early { missing };
        }
        let of_author = self.pending.range((offer.author, 0)..=(offer.author, u64::MAX)).count();
        let bytes = self.pending_bytes.saturating_add(offer.envelope.len());
        if self.pending.len() >= limits.pending_messages
            || of_author >= limits.pending_author
            || bytes > limits.pending_bytes
        {
            return Verdict::NoRoom;
        }
        if let Some(&first) = missing.first() {
            self.waiting.entry(first).or_default().push(key);
        }
        self.rehold(Pending { offer, since: now });
        Verdict::Early { missing }
    }

    fn rehold(&mut self, held: Pending) {
        self.pending_bytes = self.pending_bytes.saturating_add(held.offer.envelope.len());
        self.pending.insert((held.offer.author, held.offer.body.seq), held);
    }

    fn unhold(&mut self, key: (NodeId, u64)) -> Option<Pending> {
        let held = self.pending.remove(&key)?;
        self.pending_bytes = self.pending_bytes.saturating_sub(held.offer.envelope.len());
        Some(held)
    }

    /// Forgets what has waited since before `since`: its parents are not available. Catching up
    /// fetches it again if they turn up.
    pub(super) fn expire(&mut self, since: Instant) -> usize {
        let old: Vec<_> = self.pending.iter().filter(|(_, p)| p.since < since).map(|(k, _)| *k).collect();
        for key in &old {
            self.unhold(*key);
        }
        let pending = &self.pending;
        self.waiting.retain(|_, waiters| {
            waiters.retain(|key| pending.contains_key(key));
            !waiters.is_empty()
        });
        old.len()
    }
}

#[cfg(test)]
mod tests;
