//! Runs that wait: for reads of the store, or for their past (docs/design/log.md §2, R2).
//!
//! Each peer that brings runs has a share of the room, and within it each author. When there is no more room, the share
//! that is used most gives way. A run that is dropped was never taken, announced or acknowledged: it comes again.

use crate::collections::{Backoff, OrderedMap, OrderedSet, ShortId};
use alloc::vec::Vec;

use crate::chat::log::Facts;
use crate::id::{ConversationId, MessageId, NodeId};
use crate::limits::Limits;
use crate::time::{Duration, Instant};
use crate::wire::entry::{Parent, Reference, Run};
use crate::wire::group::Context;

/// A missing entry is asked of the peer that brought what names it after this: 5 ms, or a round trip
/// (docs/design/log.md §2, R2).
pub(super) const FIRST_ASK: Duration = Duration::from_millis(5);
/// Then of other linked nodes, one after the other: every second (docs/design/log.md §2, R2). Each time that all were asked in
/// vain the pause doubles.
const NEXT_ASK: Duration = Duration::from_secs(1);
/// The longest pause: 10 s, as long as bodies are waited for. What no peer has cost a question a second for each run, so a
/// member that answered 5 made-up messages a second had others ask each other 200 times a second.
const MOST_ASK: Duration = BODIES_WITHIN;
/// Bodies that do not come are waited for this long: 10 s (docs/design/log.md §6, R6). Then the entry stands as a header.
const BODIES_WITHIN: Duration = Duration::from_secs(10);

/// How a run came here; returned with the verdict on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// From this node's own user.
    Own,
    /// By the delivery machine, which needs the verdict.
    Delivery { from: NodeId, id: ShortId },
    /// By the gossip machine, which needs the verdict.
    Gossip { from: NodeId, id: ShortId },
    /// Sealed by a member of a group, whose signature the group machine checked.
    Member { from: NodeId },
    /// From a peer's chat machine. With `repairs` a comparison with it is under way: it may be what the store lost.
    Peer { from: NodeId, repairs: bool },
}

impl Source {
    pub(super) fn repairs(self) -> bool {
        matches!(self, Self::Peer { repairs: true, .. })
    }

    pub(super) fn peer(self) -> Option<NodeId> {
        match self {
            Self::Own => None,
            Self::Delivery { from, .. }
            | Self::Gossip { from, .. }
            | Self::Member { from }
            | Self::Peer { from, .. } => Some(from),
        }
    }
}

/// A run by its conversation and its last entry.
pub(super) type Key = (ConversationId, MessageId);

/// What a run waits for.
#[derive(Debug)]
pub(super) enum Stage {
    /// So many reads.
    Reading(usize),
    /// These entries; its own last one if bodies of it did not come. The next question is due then, and these peers were
    /// asked.
    Missing(Missing),
    /// Others that are to say whether they hold these.
    Vouching(Vec<Reference>),
    /// Whether its author was a member of the group.
    Vetting,
}

#[derive(Debug, Default)]
pub(super) struct Missing {
    pub(super) parents: OrderedSet<Parent>,
    /// The same, as they are named.
    references: Vec<Reference>,
    pub(super) ask_at: Instant,
    asked: Vec<NodeId>,
    /// How often all were asked in vain.
    rounds: u32,
    /// Its bringer was asked and has answered without what is missing.
    is_edge: bool,
}

/// A run that was brought, and what is known of it.
#[derive(Debug)]
pub(super) struct Offered {
    pub(super) run: Run,
    pub(super) source: Source,
    pub(super) facts: Facts,
    pub(super) since: Instant,
    /// Peers that have no more of its bodies than are here.
    pub(super) lacking: OrderedSet<NodeId>,
}

impl Offered {
    pub(super) fn new(run: Run, source: Source, since: Instant) -> Self {
        // The bringer of a run without bodies has none.
        let lacking = source.peer().filter(|_| run.is_bare()).into_iter().collect();
        Self { run, source, facts: Facts::default(), since, lacking }
    }

    /// Whether its bodies have been waited for long enough.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        now.since(self.since) >= BODIES_WITHIN
    }
}

#[derive(Debug)]
pub(super) struct Parked {
    pub(super) offered: Offered,
    pub(super) stage: Stage,
}

#[derive(Debug, Default)]
pub(super) struct Waiting {
    runs: OrderedMap<Key, Parked>,
    /// Runs by an entry that they miss.
    by_parent: OrderedMap<(ConversationId, Parent), OrderedSet<Key>>,
    /// Runs that miss something, by the time of the next question.
    asks: OrderedSet<(Instant, Key)>,
    /// What each peer brought, and this node itself.
    shares: OrderedMap<Option<NodeId>, Share>,
    /// INVARIANT: the bytes of `runs`.
    bytes: usize,
}

/// What one peer brought. INVARIANT: what is in `runs`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Share {
    runs: usize,
    /// Of them, runs that miss something.
    missing: usize,
    authors: OrderedMap<NodeId, usize>,
}

impl Share {
    fn add(&mut self, parked: &Parked) {
        self.runs = self.runs.saturating_add(1);
        self.missing = self.missing.saturating_add(usize::from(parked.is_missing()));
        let of_author = self.authors.entry(parked.offered.run.log.author).or_default();
        *of_author = of_author.saturating_add(1);
    }

    fn remove(&mut self, parked: &Parked) {
        self.runs = self.runs.saturating_sub(1);
        self.missing = self.missing.saturating_sub(usize::from(parked.is_missing()));
        let author = parked.offered.run.log.author;
        if let Some(of_author) = self.authors.get_mut(&author) {
            *of_author = of_author.saturating_sub(1);
            if *of_author == 0 {
                self.authors.remove(&author);
            }
        }
    }
}

/// What is to be asked of a peer.
pub(super) struct Question {
    pub(super) conversation: ConversationId,
    pub(super) peer: NodeId,
    pub(super) parents: Vec<Parent>,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn contains(&self, key: Key) -> bool {
        self.runs.contains_key(&key)
    }

    /// Runs that this peer brought and that miss something.
    pub(super) fn of_peer(&self, peer: NodeId) -> usize {
        self.shares.get(&Some(peer)).map_or(0, |share| share.missing)
    }

    /// Parks a run. False if its share is used up.
    pub(super) fn park(&mut self, key: Key, parked: Parked, limits: &Limits) -> bool {
        let size = parked.offered.run.bytes.len();
        let (peer, author) = (parked.offered.source.peer(), parked.offered.run.log.author);
        let of_author = self.shares.get(&peer).and_then(|share| share.authors.get(&author));
        if of_author.is_some_and(|n| *n >= limits.pending_author) {
            return false;
        }
        while self.runs.len() >= limits.pending_messages || self.bytes.saturating_add(size) > limits.pending_bytes {
            if !self.make_room(peer) {
                return false;
            }
        }
        self.bytes = self.bytes.saturating_add(size);
        self.shares.entry(peer).or_default().add(&parked);
        self.index(key, &parked.stage);
        self.runs.insert(key, parked);
        true
    }

    fn index(&mut self, (conversation, id): Key, stage: &Stage) {
        if let Stage::Missing(Missing { ask_at, .. }) = stage {
            self.asks.insert((*ask_at, (conversation, id)));
        }
        for parent in stage.parents() {
            self.by_parent.entry((conversation, parent)).or_default().insert((conversation, id));
        }
    }

    /// The peer with the most runs here loses its deepest, if that is not the one that asks for room.
    fn make_room(&mut self, peer: Option<NodeId>) -> bool {
        let Some((&most, largest)) = self.shares.iter().max_by_key(|(_, share)| share.runs) else { return false };
        if self.shares.get(&peer).map_or(0, |share| share.runs).saturating_add(1) > largest.runs {
            return false;
        }
        let deepest = self.runs.iter().filter(|(_, p)| p.offered.source.peer() == most).max_by_key(|(key, _)| key.1);
        let Some(key) = deepest.map(|(key, _)| *key) else { return false };
        self.take(key).is_some()
    }

    /// A run that does not wait any more.
    pub(super) fn take(&mut self, key: Key) -> Option<Parked> {
        let parked = self.runs.remove(&key)?;
        self.bytes = self.bytes.saturating_sub(parked.offered.run.bytes.len());
        let peer = parked.offered.source.peer();
        if let Some(share) = self.shares.get_mut(&peer) {
            share.remove(&parked);
            if share.runs == 0 {
                self.shares.remove(&peer);
            }
        }
        if let Stage::Missing(Missing { ask_at, .. }) = &parked.stage {
            self.asks.remove(&(*ask_at, key));
        }
        for parent in parked.stage.parents() {
            if let Some(keys) = self.by_parent.get_mut(&(key.0, parent)) {
                keys.remove(&key);
                if keys.is_empty() {
                    self.by_parent.remove(&(key.0, parent));
                }
            }
        }
        Some(parked)
    }

    /// One read for a run came. Returns whether it was the last.
    pub(super) fn read(&mut self, key: Key, store: impl FnOnce(&mut Facts)) -> bool {
        let Some(parked) = self.runs.get_mut(&key) else { return false };
        store(&mut parked.offered.facts);
        if let Stage::Reading(left) = &mut parked.stage {
            *left = left.saturating_sub(1);
            return *left == 0;
        }
        false
    }

    /// Runs that named this entry, which is taken now or need not be.
    pub(super) fn woken_by(&self, conversation: ConversationId, parent: Parent) -> Vec<Key> {
        let keys = self.by_parent.get(&(conversation, parent));
        keys.into_iter().flatten().copied().collect()
    }

    /// Drops all that waits in a conversation.
    pub(super) fn forget(&mut self, conversation: ConversationId) {
        let keys: Vec<Key> = self.runs.keys().filter(|key| key.0 == conversation).copied().collect();
        keys.into_iter().for_each(|key| {
            self.take(key);
        });
    }

    /// Authors with what they name, of runs that wait to be vetted.
    pub(super) fn vetting(&self, conversation: ConversationId) -> impl Iterator<Item = (NodeId, Context)> {
        let waits = self.runs.iter().filter(move |(key, p)| key.0 == conversation && matches!(p.stage, Stage::Vetting));
        waits.filter_map(|(_, p)| Some((p.offered.run.log.author, p.offered.run.context.clone()?)))
    }

    /// Runs that wait to be vetted under this context.
    pub(super) fn vetting_of(&self, conversation: ConversationId, author: NodeId, context: &Context) -> Vec<Key> {
        let waits = self.runs.iter().filter(|(key, p)| key.0 == conversation && matches!(p.stage, Stage::Vetting));
        let of = waits.filter(|(_, p)| p.offered.run.log.author == author);
        of.filter(|(_, p)| p.offered.run.context.as_ref() == Some(context)).map(|(key, _)| *key).collect()
    }

    pub(super) fn get(&self, key: Key) -> Option<&Parked> {
        self.runs.get(&key)
    }

    /// A run that waits, to be changed in place: not its length or what it waits for.
    pub(super) fn offered(&mut self, key: Key) -> Option<&mut Offered> {
        self.runs.get_mut(&key).map(|parked| &mut parked.offered)
    }

    /// A peer that was asked has answered: it lacks what did not come. Returns runs that may wait for no other.
    pub(super) fn answered(&mut self, conversation: ConversationId, peer: NodeId) -> Vec<Key> {
        let mut keys = Vec::new();
        for (key, parked) in self.runs.iter_mut().filter(|(key, _)| key.0 == conversation) {
            let Stage::Missing(missing) = &mut parked.stage else { continue };
            if missing.asked.contains(&peer) {
                missing.is_edge |= parked.offered.source.peer() == Some(peer);
                if parked.offered.run.is_bare() {
                    parked.offered.lacking.insert(peer);
                }
                keys.push(*key);
            }
        }
        keys
    }

    /// The references a run need no longer wait for: its bringer does not have them, and no peer brought them for ten
    /// seconds.
    pub(super) fn ended(&self, key: Key, now: Instant) -> Option<Vec<Reference>> {
        let Parked { offered, stage: Stage::Missing(missing) } = self.runs.get(&key)? else { return None };
        let open = &missing.references;
        let is_over = missing.is_edge && offered.is_late(now) && !open.iter().any(|r| self.is_here(key.0, r.parent()));
        (is_over || open.is_empty()).then(|| open.clone())
    }

    /// Whether an entry waits here.
    fn is_here(&self, conversation: ConversationId, parent: Parent) -> bool {
        let (first, last) = parent.bounds();
        self.runs.range((conversation, first)..=(conversation, last)).next().is_some()
    }

    pub(super) fn next_ask(&self) -> Option<Instant> {
        self.asks.first().map(|(at, _)| *at)
    }

    /// What is to be asked now: of the peer that brought a run first, then of `others` in turn. A run that waits for
    /// another run here asks for nothing that the other one misses. With runs whose bodies are late.
    pub(super) fn questions(
        &mut self,
        now: Instant,
        mut others: impl FnMut(ConversationId, &[NodeId]) -> Option<NodeId>,
    ) -> (Vec<Question>, Vec<Key>) {
        let mut late = Vec::new();
        let mut questions: OrderedMap<(ConversationId, NodeId), OrderedSet<Parent>> = OrderedMap::new();
        let here: OrderedSet<(ConversationId, Parent)> = self
            .runs
            .iter()
            .flat_map(|(key, p)| p.offered.run.entries.iter().map(|e| (key.0, Parent::of(e.id))))
            .collect();
        let mut due: Vec<Key> = Vec::new();
        while self.asks.first().is_some_and(|(at, _)| *at <= now) {
            due.extend(self.asks.pop_first().map(|(_, key)| key));
        }
        for key in &due {
            let Some(parked) = self.runs.get_mut(key) else { continue };
            let is_late = parked.offered.is_late(now);
            let Stage::Missing(Missing { parents, ask_at, asked, rounds, is_edge, .. }) = &mut parked.stage else {
                continue;
            };
            *ask_at = now + Backoff::new(NEXT_ASK, MOST_ASK).nominal(*rounds);
            self.asks.insert((*ask_at, *key));
            let own = Parent::of(key.1);
            if is_late && (*is_edge || parents.iter().all(|p| *p == own)) {
                late.push(*key);
            }
            let bodies_only = parents.iter().all(|p| *p == own || here.contains(&(key.0, *p)));
            // The bringer of a run without bodies has none.
            let mut bringer = parked.offered.source.peer().filter(|p| !asked.contains(p));
            if let Some(peer) = bringer.filter(|p| bodies_only && parked.offered.lacking.contains(p)) {
                asked.push(peer);
                bringer = None;
            }
            let Some(peer) = bringer.or_else(|| others(key.0, asked)) else {
                // All were asked: from the beginning.
                asked.clear();
                *rounds = rounds.saturating_add(1);
                continue;
            };
            asked.push(peer);
            let lacking = parents.iter().filter(|p| **p == own || !here.contains(&(key.0, **p)));
            questions.entry((key.0, peer)).or_default().extend(lacking);
        }
        let all = questions.into_iter().filter(|(_, parents)| !parents.is_empty());
        let questions = all.map(|((conversation, peer), parents)| Question {
            conversation,
            peer,
            parents: parents.into_iter().take(super::wire::MAX_WANTED).collect(),
        });
        (questions.collect(), late)
    }

    /// Drops what has waited since before `since`. Returns how many there were.
    pub(super) fn expire(&mut self, since: Instant) -> usize {
        let old: Vec<Key> = self.runs.iter().filter(|(_, p)| p.offered.since < since).map(|(k, _)| *k).collect();
        old.iter().filter(|key| self.take(**key).is_some()).count()
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.bytes != self.runs.values().fold(0usize, |n, p| n.saturating_add(p.offered.run.bytes.len())) {
            return Err("the bytes that wait are not those of the waiting runs");
        }
        let mut shares: OrderedMap<Option<NodeId>, Share> = OrderedMap::new();
        for parked in self.runs.values() {
            shares.entry(parked.offered.source.peer()).or_default().add(parked);
        }
        if shares != self.shares {
            return Err("the shares of those that brought runs are not those of the waiting runs");
        }
        let asks = self.runs.iter().filter_map(|(key, p)| match &p.stage {
            Stage::Missing(missing) => Some((missing.ask_at, *key)),
            Stage::Reading(_) | Stage::Vouching(_) | Stage::Vetting => None,
        });
        if asks.collect::<OrderedSet<_>>() != self.asks {
            return Err("the questions that are due are not those of the waiting runs");
        }
        let indexed = self.by_parent.iter().all(|((conversation, _), keys)| {
            keys.iter().all(|key| key.0 == *conversation && self.runs.contains_key(key))
        });
        if indexed { Ok(()) } else { Err("an entry is missed by a run that does not wait") }
    }
}

impl Missing {
    /// These entries, and with `own` the run's own last one, of which bodies are wanted.
    pub(super) fn new(references: Vec<Reference>, own: Option<Parent>, ask_at: Instant) -> Self {
        let parents = references.iter().map(|r| r.parent()).chain(own).collect();
        Self { parents, references, ask_at, ..Self::default() }
    }
}

impl Parked {
    fn is_missing(&self) -> bool {
        matches!(self.stage, Stage::Missing(_))
    }
}

impl Stage {
    fn parents(&self) -> Vec<Parent> {
        match self {
            Self::Reading(_) | Self::Vetting => Vec::new(),
            Self::Missing(missing) => missing.parents.iter().copied().collect(),
            Self::Vouching(references) => references.iter().map(|r| r.parent()).collect(),
        }
    }
}
