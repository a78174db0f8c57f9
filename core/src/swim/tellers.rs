//! What tellers, nodes that make claims about others, may cost, and how far their claims count (docs/design/failures.md
//! §4).
//!
//! A teller is a linked node, by its proven identity. Its claims count while what this node finds out itself does not
//! contradict them; attempts to reach nodes that it alone named are paid for by bytes that came from it; it gets so
//! many statements in return for so many questions.

use crate::collections::{Backoff, OrderedMap};
use alloc::vec::Vec;

use crate::id::NodeId;
use crate::rng::Rng;
use crate::time::{Duration, Instant};

use super::wire::MAX_PIECE;

/// How long the claims of a contradicted teller do not count: at first five periods of the default, in which a slow
/// node recovers, and then twice as long each time, up to what a member is remembered for.
const SILENCE: Backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(600));
/// What an attempt to reach a node that is known by claims alone costs its teller: an Init on Ethernet with its headers
/// (RFC 9000 §8.1 counts datagrams; 335 and 42 bytes).
const ATTEMPT_COST: usize = 377;
/// The most credit of one teller: attempts at the 63 others of a full zone.
const MAX_CREDIT: usize = ATTEMPT_COST * 63;
/// How often a teller may ask for as many statements as a roster has: as often as for the roster (`zone.rs`).
const ASK_WINDOW: Duration = Duration::from_secs(5);
/// Tellers that are asked for the statement of one member at once: one may be a liar, or gone.
const MAX_ASKED: usize = 3;
/// An answer that did not come by then does not come: it is a round trip of the slowest path (docs/design/reliability.md
/// §3) and more.
const ASK_AGAIN: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Teller {
    /// Contradictions since the last claim that proved right.
    contradicted: u32,
    silent_until: Instant,
    credit: usize,
    /// Statements that it got since then.
    answered: (usize, Instant),
    /// When it was last of account.
    used: Instant,
}

/// The nodes that were asked for a member's statement, and when first.
struct Asked {
    tellers: heapless::Vec<NodeId, MAX_ASKED>,
    since: Instant,
}

pub(super) struct Tellers {
    /// INVARIANT: at most `most`. Kept after the link is gone, or a liar's claims would count again after a new link.
    /// The one that was of account least recently gives way.
    all: OrderedMap<NodeId, Teller>,
    /// INVARIANT: at most `most`.
    asked: OrderedMap<NodeId, Asked>,
    most: usize,
}

impl Tellers {
    /// For a roster of at most `most`.
    pub(super) fn new(most: usize) -> Self {
        Self { all: OrderedMap::new(), asked: OrderedMap::new(), most: most.max(1) }
    }

    fn entry(&mut self, id: NodeId, now: Instant) -> &mut Teller {
        if self.all.len() >= self.most && !self.all.contains_key(&id) {
            let oldest = self.all.iter().min_by_key(|(id, t)| (t.silent_until.max(t.used), **id)).map(|(id, _)| *id);
            oldest.and_then(|oldest| self.all.remove(&oldest));
        }
        let teller = self.all.entry(id).or_default();
        teller.used = now;
        teller
    }

    /// A message of so many bytes came from it.
    pub(super) fn received(&mut self, id: NodeId, bytes: usize, now: Instant) {
        let teller = self.entry(id, now);
        teller.credit = teller.credit.saturating_add(bytes).min(MAX_CREDIT);
    }

    /// Whether its claims about others count.
    pub(super) fn is_heard(&self, id: NodeId, now: Instant) -> bool {
        self.all.get(&id).is_none_or(|t| t.silent_until <= now)
    }

    /// What it claimed is not so.
    pub(super) fn contradict(&mut self, id: NodeId, now: Instant, rng: &mut Rng) {
        let teller = self.entry(id, now);
        teller.silent_until = now + SILENCE.pause(teller.contradicted, rng);
        teller.contradicted = teller.contradicted.saturating_add(1);
    }

    /// What it claimed is so.
    pub(super) fn confirm(&mut self, id: NodeId) {
        if let Some(teller) = self.all.get_mut(&id) {
            teller.contradicted = 0;
        }
    }

    /// Whether what it sent pays for an attempt at a node that it named.
    pub(super) fn pay(&mut self, id: NodeId) -> bool {
        let Some(teller) = self.all.get_mut(&id) else { return false };
        let left = teller.credit.checked_sub(ATTEMPT_COST);
        teller.credit = left.unwrap_or(teller.credit);
        left.is_some()
    }

    /// The node that it named is there.
    pub(super) fn refund(&mut self, id: NodeId) {
        if let Some(teller) = self.all.get_mut(&id) {
            teller.credit = teller.credit.saturating_add(ATTEMPT_COST).min(MAX_CREDIT);
        }
    }

    /// How many of `wanted` statements it gets now.
    pub(super) fn grant(&mut self, id: NodeId, wanted: usize, now: Instant) -> usize {
        let most = self.most;
        let teller = self.entry(id, now);
        let (count, since) = teller.answered;
        let (count, since) = if now.since(since) >= ASK_WINDOW { (0, now) } else { (count, since) };
        let granted = wanted.min(most.saturating_sub(count));
        teller.answered = (count.saturating_add(granted), since);
        granted
    }

    /// Of these members of which `teller` claimed something new, those to ask it about.
    pub(super) fn ask(&mut self, teller: NodeId, about: Vec<NodeId>, now: Instant) -> Vec<NodeId> {
        self.asked.retain(|_, a| now.since(a.since) < ASK_AGAIN);
        let mut out = Vec::new();
        for member in about.into_iter().take(MAX_PIECE) {
            if self.asked.len() >= self.most && !self.asked.contains_key(&member) {
                break;
            }
            let asked = self.asked.entry(member).or_insert(Asked { tellers: heapless::Vec::new(), since: now });
            if !asked.tellers.contains(&teller) && asked.tellers.push(teller).is_ok() {
                out.push(member);
            }
        }
        out
    }

    /// Whether `teller` was asked about `member` and the question is open.
    pub(super) fn was_asked(&self, teller: NodeId, member: NodeId) -> bool {
        self.asked.get(&member).is_some_and(|a| a.tellers.contains(&teller))
    }

    /// The question about `member` is answered.
    pub(super) fn answered(&mut self, member: NodeId) {
        self.asked.remove(&member);
    }

    pub(super) fn clear(&mut self) {
        self.asked.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.all.len().saturating_add(self.asked.len())
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        match self.all.len() <= self.most && self.asked.len() <= self.most {
            true => Ok(()),
            false => Err("more tellers or questions than the roster has members"),
        }
    }
}
