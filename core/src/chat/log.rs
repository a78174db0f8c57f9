//! The log of one conversation: what is taken, in which order, and what the next entry names (docs/design/log.md §2
//! to §5).
//!
//! Pure: no time, no disk, no network. Memory holds the newest entries, the tip of each life and the heads; what else a
//! verdict takes is read from the store first ([`Need`]). A verdict depends on the entry and on what it names, never on
//! what happens to be in memory: the two sources say the same.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::chat::clock::{Components, Counts};
use crate::chat::entry::{Body, Carried, Entry, LifeId, MAX_PARENTS, Parent, Part, Parts, Run};
use crate::chat::heads::{Head, Heads};
use crate::chat::known::{Known, Tip};
use crate::chat::policy::Policy;
use crate::chat::wire::Height;
use crate::id::{ConversationId, Life, MessageId, NodeId};
use crate::planted::{Bug, planted};
use crate::rng::Rng;
use crate::time::{Duration, Instant, WallTime};
use crate::wire::content::{Conversation, VectorClock};
use crate::wire::{Blob, encode};

/// Entries in memory, the deepest: 1,024, so what a live conversation names is found without a read.
const MAX_RECENT: usize = 1_024;
/// Lives with a tip in memory: 1,024, two for each of the 512 authors of docs/design/log.md §7 (R9). With more, the
/// lives used longest ago are read from the store again.
pub(crate) const MAX_LIVES: usize = 1_024;
/// An author is first-time until its first entry has been here for this long: 7 days (docs/design/log.md §2).
const FIRST_TIME_MS: u64 = 7 * 86_400_000;
/// Another life is reported at most this often: every hour (docs/design/log.md §6, R8).
const REPORT_EVERY: Duration = Duration::from_secs(3_600);
/// First-time authors that are remembered: 1,024, as many as there are lives in memory.
const MAX_NEWCOMERS: usize = 1_024;
/// Messages of pages of history in memory: 500, the largest page.
const MAX_SHOWN: usize = 500;
/// Branches of one life in memory: 8. More are found in the store.
const MAX_TIPS: usize = 8;

/// What a verdict takes from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// The entry with this depth and beginning of a hash.
    Entry(Parent),
    /// The newest entry of a life.
    Life(LifeId),
    /// The entries of a life under one number.
    Number(LifeId, u64),
}

/// What was read from the store.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) entries: BTreeMap<Parent, Option<(MessageId, Known)>>,
    pub(crate) lives: BTreeMap<LifeId, Option<Tip>>,
    pub(crate) numbers: BTreeMap<(LifeId, u64), Vec<MessageId>>,
}

impl Facts {
    /// Whether the store has an entry, if it was read.
    fn stored(&self, id: MessageId) -> Option<bool> {
        self.entries.get(&Parent::of(id)).map(|read| read.as_ref().is_some_and(|(found, _)| *found == id))
    }
}

/// The verdict on a run. None of them depends on a limit, on memory or on time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It takes these reads to say.
    Read(Vec<Need>),
    /// All of it was taken before.
    Known,
    /// These are not there: it waits.
    Missing(Vec<Parent>),
    /// An entry follows one that is not the one before it in its log: refused by every node.
    Bad,
    /// It can be taken.
    Fits(Kind),
}

/// How new entries continue their life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// After its tip.
    Next,
    /// Beside another entry with the same number: the author's two words under one number are their own proof.
    Fork,
    /// It was taken before and the store lost it.
    Lost,
}

/// An entry that has its place in the order.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    pub(crate) id: MessageId,
    pub(crate) known: Known,
    pub(crate) body: Option<&'a Body>,
    /// It edits or retracts what is not an own message of this conversation.
    pub(crate) void: bool,
}

/// This node's own log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Own {
    pub(crate) life: Life,
    pub(crate) tip: Option<Tip>,
    /// The deepest entry of this node of any life, which the first of a new life follows.
    newest: Option<MessageId>,
    /// Whether this node has said anything here but merges.
    spoke: bool,
}

/// What is stored of a conversation with each step.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) number: u32,
    pub(crate) kind: Conversation,
    own: Own,
    /// The lives that clocks count, and whether there were too many.
    components: Vec<LifeId>,
    overflown: bool,
    /// Forked lives and the tips of their branches.
    pub(crate) forked: Vec<(LifeId, Vec<Tip>)>,
    /// The own tip first if there is one, then the deepest heads.
    entries: Vec<StateEntry>,
}

/// An entry that the next one of this node names.
#[derive(Debug, Serialize, Deserialize)]
struct StateEntry {
    id: MessageId,
    log: LifeId,
    seq: u64,
    clock: Option<Vec<u64>>,
    /// Whether its author is first-time.
    first_time: bool,
}

#[derive(Debug)]
struct LifeState {
    /// Sorted; more than one if forked.
    tips: Vec<Tip>,
    /// The depth of its first entry; 0 if it is not known.
    first: u64,
    used: u64,
}

/// Forked lives that are remembered: 64 in one conversation. Of further ones the proof is in the store.
const MAX_FORKED: usize = 64;

pub(crate) struct Log {
    pub(crate) id: ConversationId,
    /// A short name in the keys of rows.
    pub(crate) number: u32,
    pub(crate) policy: Policy,
    me: NodeId,
    own: Own,
    /// The entry that the next one follows.
    tip: Option<(MessageId, Known)>,
    recent: BTreeMap<MessageId, Known>,
    /// Messages of the last pages of history, with their authors.
    shown: VecDeque<(MessageId, NodeId)>,
    lives: BTreeMap<LifeId, LifeState>,
    /// Every life of the conversation is in `lives`.
    complete: bool,
    clock: u64,
    heads: Heads,
    components: Components,
    forked: BTreeSet<LifeId>,
    /// When the first entry of an author arrived, for those of the last seven days.
    newcomers: BTreeMap<NodeId, WallTime>,
    /// When another life was last reported.
    begun_at: Option<Instant>,
}

impl Log {
    /// A conversation of which nothing is stored.
    pub(crate) fn new(id: ConversationId, number: u32, policy: Policy, me: NodeId, life: Life) -> Self {
        Self {
            id,
            number,
            policy,
            me,
            own: Own { life, tip: None, newest: None, spoke: false },
            tip: None,
            recent: BTreeMap::new(),
            shown: VecDeque::new(),
            lives: BTreeMap::new(),
            complete: true,
            clock: 0,
            heads: Heads::default(),
            components: Components::default(),
            forked: BTreeSet::new(),
            newcomers: BTreeMap::new(),
            begun_at: None,
        }
    }

    /// A conversation as it was stored; its lives are to be read.
    pub(crate) fn restore(id: ConversationId, policy: Policy, me: NodeId, state: State) -> Self {
        let mut log = Self::new(id, state.number, policy, me, state.own.life);
        log.complete = false;
        log.components.restore(state.components, state.overflown);
        for (life, tips) in state.forked {
            log.forked.insert(life);
            log.set_tips(life, tips, 0);
        }
        for StateEntry { id: at, log: of, seq, clock, first_time } in state.entries {
            let clock = clock.map(Counts::new);
            let known = Known { log: of, seq, clock };
            if of == log.own_log() {
                log.tip = Some((at, known));
            } else {
                let forked = log.forked.contains(&of);
                log.heads.add(at, Head { known, first_time, forked });
            }
        }
        log.own = state.own;
        log
    }

    /// What to store of it.
    pub(crate) fn state(&self) -> State {
        let entry = |id: &MessageId, known: &Known, first_time| StateEntry {
            id: *id,
            log: known.log,
            seq: known.seq,
            clock: known.clock.as_deref().cloned(),
            first_time,
        };
        let tip = self.tip.iter().map(|(id, known)| entry(id, known, false));
        let heads = self.heads.stored().map(|(id, h)| entry(id, &h.known, h.first_time));
        State {
            number: self.number,
            kind: self.policy.kind(),
            own: self.own.clone(),
            components: self.components.lives().to_vec(),
            overflown: self.components.is_overflown(),
            forked: self.forked.iter().filter_map(|l| Some((*l, self.lives.get(l)?.tips.clone()))).collect(),
            entries: tip.chain(heads).collect(),
        }
    }

    pub(crate) fn own_log(&self) -> LifeId {
        LifeId { author: self.me, life: self.own.life }
    }

    /// Whether this node has said anything here.
    pub(crate) fn spoke(&self) -> bool {
        self.own.spoke
    }

    pub(crate) fn open_heads(&self) -> usize {
        self.heads.open()
    }

    /// Whether nothing was said here yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.complete && self.lives.is_empty()
    }

    pub(crate) fn authors(&self) -> usize {
        self.lives.len()
    }

    /// Begins another life: what was said in this one beyond the store stays another log of this device.
    /// Whether it is to be reported: at most once an hour, since the other side of a private conversation can make up
    /// what this node said in it.
    pub(crate) fn begin_life(&mut self, life: Life, now: Instant) -> bool {
        self.own.tip = None;
        if let Some((id, known)) = self.tip.take() {
            self.heads.add(id, Head { known, first_time: false, forked: false });
        }
        self.own.life = life;
        let reports = self.begun_at.is_none_or(|at| now.since(at) >= REPORT_EVERY);
        if reports {
            self.begun_at = Some(now);
        }
        reports
    }

    /// An entry in memory.
    pub(crate) fn find(&self, parent: Parent) -> Option<(MessageId, &Known)> {
        let (first, last) = parent.bounds();
        let recent = self.recent.range(first..=last).next().map(|(id, known)| (*id, known));
        let tip = || self.tip.as_ref().filter(|(id, _)| (first..=last).contains(id)).map(|(id, known)| (*id, known));
        recent.or_else(|| self.heads.find(parent)).or_else(tip)
    }

    /// Keeps the author of a message of a page of history: what is shown can be answered or edited.
    pub(crate) fn show(&mut self, id: MessageId, author: NodeId) {
        if self.shown.len() == MAX_SHOWN {
            self.shown.pop_front();
        }
        self.shown.push_back((id, author));
    }

    /// The author of an entry that is recent or on one of the last pages of history.
    pub(crate) fn author_of(&self, id: MessageId) -> Option<NodeId> {
        let recent = self.find(Parent::of(id)).filter(|(found, _)| *found == id);
        let shown = || self.shown.iter().rev().find(|(at, _)| *at == id).map(|(_, author)| *author);
        recent.map(|(_, known)| known.log.author).or_else(shown)
    }

    pub(crate) fn clock(&self, counts: Option<&Counts>) -> Option<VectorClock> {
        counts.map(|counts| self.components.named(counts))
    }

    fn tips<'a>(&'a self, life: LifeId, facts: &'a Facts) -> Option<&'a [Tip]> {
        match (self.lives.get(&life), facts.lives.get(&life)) {
            (Some(state), _) => Some(&state.tips),
            (None, Some(tip)) => Some(tip.as_slice()),
            (None, None) => self.complete.then_some(&[]),
        }
    }

    fn lookup<'a>(&'a self, parent: Parent, facts: &'a Facts) -> Option<Option<(MessageId, &'a Known)>> {
        match self.find(parent) {
            Some(found) => Some(Some(found)),
            None => facts.entries.get(&parent).map(|read| read.as_ref().map(|(id, known)| (*id, known))),
        }
    }

    /// Judges a run: a pure function of the run and of what the store holds. With `repairs` a comparison found it
    /// missing in the store: whether it is there is read, whatever memory has.
    pub(crate) fn judge(&self, run: &Run, facts: &Facts, repairs: bool) -> Verdict {
        let mut needs: BTreeSet<Need> = BTreeSet::new();
        let Some(tips) = self.tips(run.log, facts) else {
            return Verdict::Read(alloc::vec![Need::Life(run.log)]);
        };
        let highest = tips.iter().map(|t| t.seq).max().unwrap_or(0);
        let mut new: Option<&Entry> = None;
        let (mut missing, mut bad): (BTreeSet<Parent>, bool) = (BTreeSet::new(), false);
        for (at, entry) in run.entries.iter().enumerate() {
            if new.is_none() {
                let follows = entry.seq > highest || entry.prev.is_some_and(|p| tips.iter().any(|t| t.id == p));
                let known = match repairs {
                    true => facts.stored(entry.id),
                    false => self.lookup(Parent::of(entry.id), facts).map(|f| f.is_some_and(|(id, _)| id == entry.id)),
                };
                match known {
                    Some(true) => continue,
                    Some(false) => {}
                    None if follows || tips.is_empty() => {}
                    None => {
                        needs.insert(Need::Entry(Parent::of(entry.id)));
                        continue;
                    }
                }
                new = Some(entry);
            }
            let before = run.entries.get(..at).unwrap_or_default();
            if let Some(prev) = entry.prev.filter(|p| before.last().is_none_or(|b| b.id != *p)) {
                match self.lookup(Parent::of(prev), facts) {
                    None => {
                        needs.insert(Need::Entry(Parent::of(prev)));
                    }
                    Some(Some((id, known))) if id == prev => bad |= !follows_in_its_log(run.log, entry.seq, known),
                    Some(_) => {
                        missing.insert(Parent::of(prev));
                    }
                }
            }
            // What it edits is in its past, or it edits nothing.
            if let Some(target) = entry.edits().filter(|t| !before.iter().any(|b| b.id == *t))
                && self.lookup(Parent::of(target), facts).is_none()
            {
                needs.insert(Need::Entry(Parent::of(target)));
            }
            for parent in &entry.parents {
                if before.iter().any(|b| Parent::of(b.id) == *parent) {
                    continue;
                }
                match self.lookup(*parent, facts) {
                    None => {
                        needs.insert(Need::Entry(*parent));
                    }
                    Some(None) => {
                        missing.insert(*parent);
                    }
                    Some(Some(_)) => {}
                }
            }
        }
        if planted(Bug::ToldBeforeParents) {
            missing.clear();
        }
        if bad {
            return Verdict::Bad;
        }
        let Some(first) = new else {
            return if needs.is_empty() { Verdict::Known } else { Verdict::Read(needs.into_iter().collect()) };
        };
        let extends = first.seq > highest || first.prev.is_some_and(|p| tips.iter().any(|t| t.id == p));
        let is_next = tips.is_empty() || (extends && (first.seq > 1 || highest == 0));
        let numbers = facts.numbers.get(&(run.log, first.seq));
        if !is_next && numbers.is_none() {
            needs.insert(Need::Number(run.log, first.seq));
        }
        if !needs.is_empty() {
            return Verdict::Read(needs.into_iter().collect());
        }
        if !missing.is_empty() {
            return Verdict::Missing(missing.into_iter().collect());
        }
        let beside =
            !planted(Bug::ForkTakenForLoss) && numbers.is_some_and(|ids| !ids.is_empty() && !ids.contains(&first.id));
        Verdict::Fits(match (is_next, beside) {
            (true, _) => Kind::Next,
            (false, true) => Kind::Fork,
            (false, false) => Kind::Lost,
        })
    }

    /// Takes a run that fits. Returns its new entries in order.
    pub(crate) fn take<'a>(&mut self, run: &'a Run, kind: Kind, facts: &Facts, wall: WallTime) -> Vec<Taken<'a>> {
        let mut tips = self.tips(run.log, facts).unwrap_or_default().to_vec();
        let first_time = self.is_first_time(run.log.author, tips.is_empty(), wall);
        let component = self.components.add(run.log).map(|(at, _)| at);
        if kind == Kind::Fork && (self.forked.len() < MAX_FORKED || self.forked.contains(&run.log)) {
            self.forked.insert(run.log);
            self.heads.fork(run.log);
        }
        let mut taken = Vec::new();
        for entry in &run.entries {
            let known = match kind {
                Kind::Lost => facts.stored(entry.id) == Some(true),
                Kind::Next | Kind::Fork => {
                    self.lookup(Parent::of(entry.id), facts).flatten().is_some_and(|(id, _)| id == entry.id)
                }
            };
            if known {
                continue;
            }
            let known = Known { log: run.log, seq: entry.seq, clock: self.clock_of(entry, component, facts) };
            if kind != Kind::Lost {
                let tip = Tip { seq: entry.seq, id: entry.id };
                tips.retain(|t| Some(t.id) != entry.prev);
                if tips.len() < MAX_TIPS {
                    tips.push(tip);
                }
                self.heads.named(entry.prev, &entry.parents);
                if run.log != self.own_log() {
                    let forked = self.forked.contains(&run.log);
                    self.heads.add(entry.id, Head { known: known.clone(), first_time, forked });
                }
            }
            if run.log.author == self.me {
                self.own.newest = self.own.newest.max(Some(entry.id));
            }
            let is_own = |target: MessageId| match self.lookup(Parent::of(target), facts) {
                Some(Some((id, known))) => id == target && known.log.author == run.log.author,
                // An own edit of a message on a page of history.
                _ => self.author_of(target) == Some(run.log.author),
            };
            let void = entry.edits().is_some_and(|target| !is_own(target));
            taken.push(Taken { id: entry.id, known: known.clone(), body: entry.body.as_ref(), void });
            self.recent.insert(entry.id, known);
        }
        tips.sort_unstable();
        let first = taken.first().filter(|t| t.known.seq == 1).map_or(0, |t| t.id.depth);
        self.set_tips(run.log, tips, first);
        self.shrink();
        taken
    }

    fn is_first_time(&mut self, author: NodeId, is_new: bool, wall: WallTime) -> bool {
        let first = LifeId { author, life: Life([0; 8]) };
        let is_known = || self.lives.range(first..).next().is_some_and(|(log, _)| log.author == author);
        if is_new && self.newcomers.len() < MAX_NEWCOMERS && !is_known() {
            self.newcomers.entry(author).or_insert(wall);
        }
        let Some(since) = self.newcomers.get(&author) else { return false };
        let is_recent = wall.0.saturating_sub(since.0) < FIRST_TIME_MS;
        if !is_recent {
            self.newcomers.remove(&author);
        }
        is_recent
    }

    fn clock_of(&self, entry: &Entry, component: Option<usize>, facts: &Facts) -> Option<Counts> {
        let component = component?;
        let prev = entry.prev.map(Parent::of);
        let mut past: heapless::Vec<&Counts, { MAX_PARENTS + 1 }> = heapless::Vec::new();
        for parent in prev.iter().chain(&entry.parents) {
            // What it names has no clock: this one would be wrong.
            let (_, known) = self.lookup(*parent, facts)??;
            past.push(known.clock.as_ref()?).ok()?;
        }
        Some(Components::merge(past.into_iter(), (component, entry.seq)))
    }

    fn set_tips(&mut self, life: LifeId, tips: Vec<Tip>, first: u64) {
        self.clock = self.clock.saturating_add(1);
        let first = self.lives.get(&life).map_or(first, |state| state.first);
        self.lives.insert(life, LifeState { tips, first, used: self.clock });
        if self.lives.len() > MAX_LIVES {
            self.complete = false;
            // An eighth at once: what that costs is shared by as many new lives.
            let mut by_use: Vec<(u64, LifeId)> = self.lives.iter().map(|(l, s)| (s.used, *l)).collect();
            by_use.sort_unstable();
            for (_, life) in by_use.iter().take(MAX_LIVES / 8) {
                self.lives.remove(life);
            }
        }
    }

    fn shrink(&mut self) {
        while self.recent.len() > MAX_RECENT {
            self.recent.pop_first();
        }
    }

    /// This node's next run: merges where there are more heads than one entry names, then the bodies.
    pub(crate) fn compose(&self, bodies: Vec<Body>, rng: &mut Rng) -> Parts {
        let mut groups = self.heads.draw(rng);
        let last = groups.pop().unwrap_or_default();
        let merge = |parents: Vec<Parent>, body: &Body| Part { parents, body: Carried::Body(Blob(encode(body))) };
        let mut entries = Vec::new();
        for parents in groups {
            let sent_at = bodies.first().map_or(WallTime(0), |b| b.sent_at);
            entries.push(merge(parents, &Body { salt: rng.bytes(), sent_at, content: None }));
        }
        let mut parents = Some(last);
        for body in &bodies {
            entries.push(merge(parents.take().unwrap_or_default(), body));
        }
        let seq = self.own.tip.map_or(0, |t| t.seq).saturating_add(1);
        let prev = self.own.tip.map(|t| t.id).or(self.own.newest);
        Parts { life: self.own.life, seq, prev, entries }
    }

    /// This node's own run was taken: the next one follows it.
    pub(crate) fn said(&mut self, last: &Taken<'_>, spoke: bool) {
        self.own.tip = Some(Tip { seq: last.known.seq, id: last.id });
        self.tip = Some((last.id, last.known.clone()));
        self.own.spoke |= spoke;
    }

    /// Every life was read from the store: its tip and the depth of its first entry.
    pub(crate) fn loaded(&mut self, lives: Vec<(LifeId, Tip, u64)>) {
        self.complete = lives.len() <= MAX_LIVES;
        for (life, tip, first) in lives.into_iter().take(MAX_LIVES) {
            match self.lives.get_mut(&life) {
                Some(state) => state.first = first,
                None => self.set_tips(life, alloc::vec![tip], first),
            }
        }
        self.complete &= self.lives.len() <= MAX_LIVES;
    }

    /// Whether `heights` and `digest` say all.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// How far each life goes here.
    pub(crate) fn heights(&self) -> Vec<Height> {
        let tips = self.lives.iter().flat_map(|(log, state)| state.tips.iter().map(|tip| (*log, *tip)));
        tips.map(|(log, tip)| Height::new(log, tip)).collect()
    }

    /// A hash that is equal exactly if all tips are.
    pub(crate) fn digest(&self) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_derive_key("DONP v1 heights");
        for (log, state) in &self.lives {
            for tip in &state.tips {
                hasher.update(&log.author.0).update(&log.life.0);
                hasher.update(&tip.seq.to_le_bytes()).update(&tip.id.hash);
            }
        }
        let (half, _) = hasher.finalize().as_bytes().split_first_chunk::<16>().map_or(([0; 16], ()), |(h, _)| (*h, ()));
        half
    }

    /// What a peer with these heights lacks of what is here.
    pub(crate) fn beyond(&self, theirs: &[Height]) -> Beyond {
        let mut beyond = Beyond::default();
        let mut by_life: BTreeMap<LifeId, Vec<&Height>> = BTreeMap::new();
        for height in theirs {
            by_life.entry(height.log).or_default().push(height);
        }
        for (log, state) in &self.lives {
            let known = by_life.get(log).map_or(&[][..], |h| h.as_slice());
            let highest = known.iter().map(|h| h.seq).max().unwrap_or(0);
            for tip in &state.tips {
                if state.tips.len() > 1 && !known.iter().any(|h| h.is(tip)) {
                    // A branch may begin anywhere, also before what the peer has of another: heights do not show it.
                    beyond.forks = true;
                }
                if tip.seq > highest {
                    beyond.ahead = true;
                    // The first that it lacks is deeper than its own tip.
                    let from = known.iter().map(|h| h.depth).max().unwrap_or(state.first);
                    beyond.from_depth = beyond.from_depth.min(from);
                } else if tip.seq == highest && !known.iter().any(|h| h.is(tip)) {
                    beyond.forks = true;
                }
            }
        }
        beyond
    }

    /// Whether a peer with these heights has something that is not here.
    pub(crate) fn lacks(&self, theirs: &[Height]) -> bool {
        theirs.iter().any(|height| {
            let tips = self.lives.get(&height.log).map_or(&[][..], |state| state.tips.as_slice());
            tips.iter().all(|tip| tip.seq < height.seq)
        })
    }

    pub(crate) fn entries(&self) -> usize {
        let lives = self.lives.len().saturating_add(self.newcomers.len());
        self.recent.len().saturating_add(self.shown.len()).saturating_add(lives).saturating_add(self.heads.len())
    }

    pub(crate) fn deepest(&self) -> u64 {
        self.recent.keys().next_back().map_or(0, |id| id.depth)
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.recent.len() > MAX_RECENT || self.lives.len() > MAX_LIVES {
            return Err("more entries or lives in memory than have room");
        }
        if self.own.tip.map(|t| t.id) != self.tip.as_ref().map(|(id, _)| *id) {
            return Err("the entry that the next one follows is not in memory");
        }
        self.heads.check()
    }
}

/// What [`Log::beyond`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Beyond {
    /// There is something that the peer lacks.
    pub(crate) ahead: bool,
    /// None of it is shallower than this.
    pub(crate) from_depth: u64,
    /// A life has a branch here that may be missing there.
    pub(crate) forks: bool,
}

impl Default for Beyond {
    fn default() -> Self {
        Self { ahead: false, from_depth: u64::MAX, forks: false }
    }
}

/// Whether an entry with number `seq` of a log may follow this one.
fn follows_in_its_log(log: LifeId, seq: u64, prev: &Known) -> bool {
    if prev.log.author != log.author {
        return false;
    }
    match seq {
        1 => prev.log.life != log.life,
        _ => prev.log.life == log.life && prev.seq.checked_add(1) == Some(seq),
    }
}
