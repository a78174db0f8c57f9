//! Partitions: noticing that the network has another part, and growing together with it.
//!
//! An overlay that splits does not merge by itself: both parts have all the neighbours they want
//! (iroh-gossip #152). So every node now and then contacts somebody it met before, and both compare a
//! *sketch* of the part they live in: the few smallest salted ids of nodes that were alive lately, passed
//! from neighbour to neighbour. Parts that have none in common become neighbours beyond the usual number,
//! and nobody gives way for it: a join that pushes others out would make a merge a storm.

use super::*;

/// Ids in a sketch (docs/design/overlay.md §8): two parts of one network share some, two networks none.
pub(super) const SKETCH: usize = 8;
/// How often a node says that it is alive and passes its sketch on: 10 s; six neighbours at 100 bytes each.
const TICK: Duration = Duration::from_secs(10);
/// An id whose owner was not heard of for this long is not alive: the ways through a network of 10,000 take
/// six ticks.
const STALE: Duration = Duration::from_secs(120);
/// How often somebody met before is contacted (docs/design/overlay.md §8).
const CONTACT: Duration = Duration::from_secs(60);
/// The same once for everybody known after a good part of all peers was lost: then the network may be in parts
/// that do not know of each other any more, and most of those that were met are not there. 2 s: the two
/// views name 42, which takes half of the six cycles that docs/design/goals.md §1 gives a network to heal from
/// 95 in a hundred failures.
const CONTACT_DEGRADED: Duration = Duration::from_secs(2);
/// Every so many contacts go to a place to enter the network.
const TO_BOOTSTRAP: usize = 5;
/// A node takes part in one merge in this time (docs/design/overlay.md §8).
const MERGE_PAUSE: Duration = Duration::from_secs(30);
/// Neighbours beyond the usual number that merges may add.
pub(super) const MERGE_ROOM: usize = 2;
/// Nodes contacted at once when the application says that the network split.
const CONTACTS: usize = 16;
/// A node this young knows nothing of its part yet.
const YOUNG: Duration = Duration::from_secs(60);

/// An id in a sketch: its salted hash, the count of its owner's ticks, and the seconds since that count was
/// new. Without the age a dead id would live for ever, told back and forth by those who forget it at
/// different times.
pub(super) type Mark = (u64, u32, u16);

#[derive(Clone, Copy)]
struct Alive {
    beat: u32,
    /// When the beat last rose.
    since: Instant,
}

/// What is known of the part of the network that this node lives in.
#[derive(Default)]
pub(super) struct Part {
    alive: BTreeMap<u64, Alive>,
    beat: u32,
    began: Option<Instant>,
    tick_at: Option<Instant>,
    contact_at: Option<Instant>,
    merged: Option<Instant>,
}

fn mark_of(id: NodeId) -> u64 {
    let mut salted = blake3::Hasher::new_derive_key("DONP v1 component sketch");
    salted.update(&id.0);
    let mut out = [0; 8];
    salted.finalize_xof().fill(&mut out);
    u64::from_le_bytes(out)
}

impl Part {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        soonest(self.tick_at, self.contact_at)
    }

    /// Whether others are contacted from time to time.
    pub(super) fn watches(&self) -> bool {
        self.began.is_some()
    }

    pub(super) fn stop(&mut self) {
        *self = Self { beat: self.beat, ..Self::default() };
    }

    pub(super) fn len(&self) -> usize {
        self.alive.len()
    }

    fn live(&mut self, now: Instant) {
        self.alive.retain(|_, a| now.since(a.since) < STALE);
        while self.alive.len() > SKETCH {
            self.alive.pop_last();
        }
    }

    /// How many nodes live in this part: `k` smallest of evenly spread marks, the greatest of them at a
    /// share `u` of all numbers, come from about `(k - 1) / u` nodes (Bar-Yossef and others, RANDOM 2002).
    fn estimate(&self) -> usize {
        match self.alive.last_key_value() {
            Some((greatest, _)) if self.alive.len() >= SKETCH => {
                let k = (SKETCH as u128).saturating_sub(1);
                let nodes = (k << 64).checked_div(u128::from(*greatest)).unwrap_or(u128::MAX);
                usize::try_from(nodes).unwrap_or(usize::MAX).max(SKETCH)
            }
            Some(_) | None => self.alive.len(),
        }
    }

    fn learn(&mut self, marks: &[Mark], now: Instant) {
        for &(mark, beat, age) in marks.iter().take(SKETCH) {
            let age = u64::from(age).saturating_mul(1_000_000);
            let since = Instant::from_micros(now.as_micros().saturating_sub(age));
            let known = self.alive.entry(mark).or_insert(Alive { beat, since });
            if known.beat < beat {
                *known = Alive { beat, since };
            } else if known.beat == beat {
                known.since = known.since.min(since);
            }
        }
        self.live(now);
    }

    fn marks(&self, now: Instant) -> Vec<Mark> {
        let age = |a: &Alive| u16::try_from(now.since(a.since).as_secs()).unwrap_or(u16::MAX);
        self.alive.iter().map(|(mark, a)| (*mark, a.beat, age(a))).collect()
    }
}

impl Membership {
    /// Begins to watch over the part this node lives in.
    pub(super) fn watch(&mut self, cx: &mut Cx<'_>) {
        if self.part.began.is_none() {
            self.part.began = Some(cx.now);
            // Who only introduces is in every part or in none: it has no sketch of its own.
            self.part.tick_at = (!self.only_introduces()).then(|| cx.now + cx.rng.jitter(TICK, 20));
            self.contact_later(cx);
        }
    }

    /// Sets when somebody met before is contacted next.
    pub(super) fn contact_later(&mut self, cx: &mut Cx<'_>) {
        let (untried, last) = self.contacts(cx.me);
        let hurry = !untried.is_empty() && self.losses.since().is_some_and(|since| last < since);
        let pause = if hurry { CONTACT_DEGRADED } else { CONTACT };
        self.part.contact_at = Some(cx.now + cx.rng.jitter(pause, 20));
    }

    pub(super) fn watch_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.part.tick_at.is_some_and(|at| at <= cx.now) {
            self.part.tick_at = Some(cx.now + cx.rng.jitter(TICK, 20));
            self.part.beat = self.part.beat.saturating_add(1);
            self.part.learn(&[(mark_of(cx.me), self.part.beat, 0)], cx.now);
            out.push(Out::Estimate(self.part.estimate()));
            let sketch = Message::Sketch { neighbour: true, marks: self.part.marks(cx.now) };
            for &to in &self.neighbours {
                Self::send(to, &sketch, out);
            }
        }
        if self.part.contact_at.is_some_and(|at| at <= cx.now) {
            self.contact_later(cx);
            self.contact(cx, out);
        }
    }

    /// The application or the failure of many says that the network may have split.
    pub(super) fn contact_now(&mut self, peers: Vec<NodeId>, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if !self.running() {
            return;
        }
        self.book.hurry();
        let known = |p: &NodeId| *p != cx.me && !self.linked.contains_key(p) && self.book.get(*p).is_some();
        let peers: Vec<NodeId> = peers.into_iter().filter(known).take(CONTACTS).collect();
        if peers.is_empty() {
            self.contact(cx, out);
        }
        for peer in peers {
            self.connect_at(peer, cx.now, out);
        }
        self.look_around(cx, out);
    }

    /// Whom to contact next, any of them, and when they were tried.
    fn contacts(&self, me: NodeId) -> (Vec<NodeId>, Instant) {
        self.book.longest_untried(|id| id == me || self.linked.contains_key(&id))
    }

    /// Contacts somebody met before, or a place to enter the network. With links to all of them, compares with
    /// one that is no neighbour: when the link came up, this part may still have remembered the other.
    fn contact(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if !self.running() || self.linked.is_empty() {
            return;
        }
        let places: Vec<Bootstrap> = self
            .targets
            .iter()
            .filter(|(_, t)| !t.trying && t.resolved.is_none_or(|id| id != cx.me && !self.linked.contains_key(&id)))
            .map(|(b, _)| b.clone())
            .collect();
        let (met, _) = self.contacts(cx.me);
        let place =
            (met.is_empty() || cx.rng.below(TO_BOOTSTRAP) == 0).then(|| cx.rng.pick(&places).cloned()).flatten();
        match place {
            Some(place) => {
                if let Some(target) = self.targets.get_mut(&place) {
                    target.trying = true;
                }
                out.push(Out::Connect { addr: place.addr, expect: place.id });
            }
            None => {
                if let Some(&peer) = cx.rng.pick(&met) {
                    return self.connect_at(peer, cx.now, out);
                }
                let others: Vec<NodeId> =
                    self.linked.keys().copied().filter(|p| !self.neighbours.contains(p)).collect();
                if let Some(&peer) = cx.rng.pick(&others) {
                    self.compare_parts(peer, cx, out);
                }
            }
        }
    }

    /// Tells a node that is linked and no neighbour which part this one lives in.
    pub(super) fn compare_parts(&mut self, peer: NodeId, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        self.part.live(cx.now);
        if self.part.len() > 0 {
            Self::send(peer, &Message::Sketch { neighbour: false, marks: self.part.marks(cx.now) }, out);
        }
    }

    pub(super) fn sketched(
        &mut self,
        from: NodeId,
        neighbour: bool,
        marks: &[Mark],
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        if self.neighbours.contains(&from) {
            return self.part.learn(marks, cx.now);
        }
        if neighbour {
            self.strange(from, out);
        }
        self.part.live(cx.now);
        let strange = !marks.is_empty()
            && self.part.len() > 0
            && marks.iter().take(SKETCH).all(|(mark, _, _)| !self.part.alive.contains_key(mark));
        let young = self.part.began.is_none_or(|at| cx.now.since(at) < YOUNG);
        if strange && !young && self.linked.contains_key(&from) && self.may_merge(cx.now) {
            self.ask(from, Urgency::Merge, cx, out);
        }
    }

    fn may_merge(&self, now: Instant) -> bool {
        self.running()
            && !self.only_introduces()
            && self.part.merged.is_none_or(|at| now.since(at) >= MERGE_PAUSE)
            && self.neighbours.len() < self.room_for().saturating_add(MERGE_ROOM)
    }

    /// Whether a node of another part is taken as a neighbour; it costs nobody its place.
    pub(super) fn merge(&mut self, now: Instant) -> bool {
        let may = self.may_merge(now);
        if may {
            self.part.merged = Some(now);
        }
        may
    }
}
