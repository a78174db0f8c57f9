//! Catching up: what each peer claims to have, what to request from it, and which requests are being answered.
//!
//! Pure bookkeeping. A neighbour's heights (its version vector) are claims; so is every message that arrives before its
//! parents. Where a claim exceeds what is here, the difference is fetched, a range at a time, from
//! one peer an author. A peer that cannot keep its claims loses them.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::chat::conversation::Room;
use crate::chat::wire::{MAX_FETCH_MESSAGES, MAX_FETCH_RANGES, Range};
use crate::id::{ConversationId, NodeId};
use crate::time::{Duration, Instant};

/// How long to wait for the answer to a fetch: 2 s, a slow link's round trip with one loss.
pub(super) const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
/// Fetches without any new message before a peer's claims are dropped until it makes new ones.
const FRUITLESS: u32 = 5;
/// Authors that one peer's claims may name; a conversation's own limit is below it.
const MAX_CLAIMS: usize = 4_096;
/// Answers to fetches under way; a peer beyond it requests again after its time-out.
const MAX_ANSWERS: usize = 64;
/// Bytes in answer to one fetch: 192 KiB, what 64 fragments a message carry at three messages.
const ANSWER_BYTES: usize = 192 << 10;

/// What one peer says it has in one conversation.
#[derive(Debug, Default)]
struct Claims {
    heights: BTreeMap<NodeId, u64>,
    /// When the fetch under way counts as lost, and the authors it is for.
    fetch: Option<(Instant, Vec<NodeId>)>,
    fruitless: u32,
}

#[derive(Debug, Default)]
pub(super) struct Wants {
    peers: BTreeMap<(ConversationId, NodeId), Claims>,
}

impl Wants {
    /// `peer` says it has `count` messages of `author`.
    pub(super) fn claim(&mut self, room: &Room, peer: NodeId, author: NodeId, count: u64) {
        if count <= room.height(author) {
            return;
        }
        let claims = self.peers.entry((room.id, peer)).or_default();
        if claims.heights.len() < MAX_CLAIMS || claims.heights.contains_key(&author) {
            let known = claims.heights.entry(author).or_default();
            *known = count.max(*known);
        }
    }

    /// New claims, or an answered fetch: the peer keeps its promise.
    pub(super) fn fruitful(&mut self, room: ConversationId, peer: NodeId) {
        if let Some(claims) = self.peers.get_mut(&(room, peer)) {
            claims.fruitless = 0;
        }
    }

    /// The fetch under way from `peer` is answered in full.
    pub(super) fn answered(&mut self, room: ConversationId, peer: NodeId) {
        if let Some(claims) = self.peers.get_mut(&(room, peer)) {
            claims.fetch = None;
        }
    }

    pub(super) fn forget(&mut self, room: ConversationId, peer: NodeId) {
        self.peers.remove(&(room, peer));
    }

    pub(super) fn forget_peer(&mut self, peer: NodeId) {
        self.peers.retain(|(_, p), _| *p != peer);
    }

    pub(super) fn len(&self) -> usize {
        self.peers.values().fold(0, |n, c| n.saturating_add(c.heights.len()).saturating_add(1))
    }

    /// What to request from `peer`, and when to look again. Nothing while a fetch is under way.
    pub(super) fn plan(&mut self, room: &Room, peer: NodeId, now: Instant) -> (Vec<Range>, Option<Instant>) {
        let key = (room.id, peer);
        let busy: Vec<NodeId> = self
            .peers
            .iter()
            .filter(|((r, p), _)| *r == room.id && *p != peer)
            .filter_map(|(_, c)| c.fetch.as_ref().filter(|f| f.0 > now))
            .flat_map(|f| f.1.iter().copied())
            .collect();
        let Some(claims) = self.peers.get_mut(&key) else {
            return (Vec::new(), None);
        };
        if let Some((until, _)) = claims.fetch {
            if until > now {
                return (Vec::new(), Some(until));
            }
            claims.fetch = None;
        }
        claims.heights.retain(|author, count| *count > room.height(*author));
        if claims.heights.is_empty() || claims.fruitless >= FRUITLESS {
            self.peers.remove(&key);
            return (Vec::new(), None);
        }
        let mut ranges = Vec::new();
        let mut left = MAX_FETCH_MESSAGES;
        for (&author, &count) in claims.heights.iter().filter(|(a, _)| !busy.contains(a)) {
            if ranges.len() >= MAX_FETCH_RANGES || left == 0 {
                break;
            }
            let mut from = room.height(author).saturating_add(1);
            while from <= count && room.is_pending(author, from) {
                from = from.saturating_add(1);
            }
            if from > count {
                continue;
            }
            let to = count.min(from.saturating_add(left.saturating_sub(1)));
            left = left.saturating_sub(to.saturating_sub(from).saturating_add(1));
            ranges.push(Range { author, from, to });
        }
        let until = now + FETCH_TIMEOUT;
        if !ranges.is_empty() {
            claims.fruitless = claims.fruitless.saturating_add(1);
            claims.fetch = Some((until, ranges.iter().map(|r| r.author).collect()));
        }
        (ranges, Some(until))
    }
}

/// Work on catching up that waits for its turn.
#[derive(Clone, Copy, Debug)]
pub(super) enum Paused {
    /// An answer, by the number that it waits under.
    Answer(u64),
    /// What a reconciliation found missing here.
    Gift(NodeId),
}

/// What may be sent ahead of the rate: one second's worth and one read.
const AHEAD: Duration = Duration::from_secs(1);

/// A token bucket of bytes: peers that catch up here take a part of the link, not all of it.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes a second.
    rate: u64,
    /// When what was sent would have ended at the rate.
    paid_at: Instant,
}

impl Pace {
    pub(super) fn new(rate: u32) -> Self {
        Self { rate: u64::from(rate), paid_at: Instant::ZERO }
    }

    pub(super) fn is_spent(&mut self, now: Instant) -> bool {
        self.paid_at = self.paid_at.max(now);
        self.paid_at > now + AHEAD
    }

    /// When the bucket has bytes to spend again.
    pub(super) fn next(&self) -> Instant {
        self.paid_at.before(AHEAD)
    }

    pub(super) fn spend(&mut self, bytes: usize) {
        let micros = (bytes as u64).saturating_mul(1_000_000).checked_div(self.rate).unwrap_or(0);
        self.paid_at = self.paid_at + Duration::from_micros(micros);
    }
}

/// A peer's fetch that is being answered from the store.
#[derive(Debug)]
pub(super) struct Answering {
    pub(super) room: ConversationId,
    pub(super) peer: NodeId,
    ranges: VecDeque<Range>,
    bytes: usize,
}

/// Answers under way, by the number of the read that each waits for.
#[derive(Debug, Default)]
pub(super) struct Answers(BTreeMap<u64, Answering>);

impl Answers {
    /// Begins to answer; none if too many answers are under way or nothing is requested.
    pub(super) fn begin(&self, room: ConversationId, peer: NodeId, ranges: Vec<Range>) -> Option<Answering> {
        let sound = ranges.len() <= MAX_FETCH_RANGES && ranges.iter().all(|r| r.from >= 1 && r.from <= r.to);
        let room_left = self.0.len() < MAX_ANSWERS && !self.0.values().any(|a| a.peer == peer && a.room == room);
        (sound && room_left).then(|| Answering { room, peer, ranges: ranges.into(), bytes: 0 })
    }

    pub(super) fn wait(&mut self, read: u64, answering: Answering) {
        self.0.insert(read, answering);
    }

    pub(super) fn resume(&mut self, read: u64) -> Option<Answering> {
        self.0.remove(&read)
    }

    pub(super) fn forget_peer(&mut self, peer: NodeId) {
        self.0.retain(|_, a| a.peer != peer);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Answering {
    /// The next range to read, bounded in messages.
    pub(super) fn next(&mut self) -> Option<Range> {
        if self.bytes >= ANSWER_BYTES {
            return None;
        }
        self.ranges.pop_front().map(|r| Range { to: r.to.min(r.from.saturating_add(MAX_FETCH_MESSAGES)), ..r })
    }

    pub(super) fn count(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }
}
