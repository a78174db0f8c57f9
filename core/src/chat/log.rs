//! The log of one conversation: what is taken, in which order, and what the next entry names (docs/design/log.md §2
//! to §5).
//!
//! Pure: no time, no disk, no network. Memory holds the newest entries, the tip of each life and the heads; what else a
//! verdict takes is read from the store first ([`Need`]). A verdict depends on the entry and on what it names, never on
//! what happens to be in memory: the two sources say the same.

mod held;
mod judge;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::chat::clock::{Components, Counts};
use crate::chat::confirmed::Confirmed;
use crate::chat::heads::{Head, Heads};
use crate::chat::hidden::Hidden;
use crate::chat::holders::Holders;
use crate::chat::known::{Known, Tip};
use crate::chat::lives::{Lives, MAX_TIPS};
use crate::chat::policy::Policy;
use crate::chat::retain::{Amounts, Retention};
use crate::chat::wire::Holding;
use crate::collections::{OrderedMap, OrderedSet};
use crate::config::ChatConfig;
use crate::id::{ConversationId, Life, MessageId, NodeId};
use crate::rng::Rng;
use crate::time::{Duration, Instant, WallTime};
use crate::wire::content::{Conversation, VectorClock};
use crate::wire::entry::{Body, Carried, Entry, LifeId, MAX_PARENTS, Parent, Part, Parts, Reference, Run};
use crate::wire::{Blob, encode};

pub(crate) use judge::{Facts, Held, Kind, Need, Verdict, Wants};

/// Entries in memory, the deepest: 1,024, so what a live conversation names is found without a read.
const MAX_RECENT: usize = 1_024;
/// An author is first-time until its first entry has been here for this long: 7 days (docs/design/log.md §2).
const FIRST_TIME_MS: u64 = 7 * 86_400_000;
/// Another life is reported at most this often: every hour (docs/design/log.md §6, R8).
const REPORT_EVERY: Duration = Duration::from_secs(3_600);
/// First-time authors that are remembered: 1,024, as many as there are lives in memory.
const MAX_NEWCOMERS: usize = 1_024;
/// Messages of pages of history in memory: 500, the largest page.
const MAX_SHOWN: usize = 500;
/// Runs of which bodies are wanted: 1,024. Of others a comparison of whole histories brings them.
const MAX_WANTED: usize = 1_024;
/// References without which entries may be taken: 4,096, as many as are asked about at once.
const MAX_WAIVED: usize = 4_096;
/// Gaps of lives: 256. They are rare.
const MAX_GAPS: usize = 256;
/// What was taken without its past is not named for this long: 10 min. By then each node has taken it, and no node
/// waits for what an honest node names.
const TAINTED: Duration = Duration::from_secs(600);
/// Tainted entries: 1,024.
const MAX_TAINTED: usize = 1_024;
/// An entry that has its place in the order.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    pub(crate) id: MessageId,
    pub(crate) known: Known,
    pub(crate) body: Option<&'a Body>,
    /// Its place in the run, from the last on.
    pub(crate) from_end: usize,
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
    /// Another node has its entries up to this number.
    held: u64,
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
    /// The depth below which this node needs no past, and that at which it began.
    base: u64,
    joined: u64,
    gaps: Vec<(LifeId, (u64, u64))>,
    /// This node has not caught up with another yet: it may begin with the newest page.
    is_new: bool,
    leftover: Option<Unsaid>,
    /// Reported messages that the user has not read, and up to where it has read.
    unread: u32,
    read: Option<MessageId>,
    /// Runs of a private conversation whose bodies are wanted: whole histories, which show them, are compared in others only.
    wanted: Vec<MessageId>,
    amounts: Amounts,
    /// Forked lives and the tips of their branches.
    pub(crate) forked: Vec<(LifeId, Vec<Tip>)>,
    /// The own tip first if there is one, then the deepest heads.
    entries: Vec<StateEntry>,
}

/// This node's texts that others never had, from before the depth at which it begins: there they would be no news. They
/// are said again when it has caught up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unsaid {
    /// The number under which they are stored.
    pub(crate) number: u32,
    /// Of this life, and with a greater number than that.
    pub(crate) life: Life,
    pub(crate) after: u64,
    /// The conversation was begun anew: all that is stored there is to be deleted.
    pub(crate) is_left: bool,
    /// Messages stored there were reported from this depth on.
    pub(crate) told_from: u64,
    /// The messages were sent again. The rows stay for a while as the record of reported messages.
    pub(crate) is_said: bool,
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

/// Runs of which bodies are wanted, in a row that is written with each step: 64.
const MAX_STORED_WANTED: usize = 64;
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
    recent: OrderedMap<MessageId, Known>,
    /// Messages of the last pages of history, with their places in their authors' logs.
    shown: VecDeque<(MessageId, LifeId, u64)>,
    pub(crate) lives: Lives,
    heads: Heads,
    components: Components,
    forked: OrderedSet<LifeId>,
    /// When the first entry of an author arrived, for those of the last seven days.
    newcomers: OrderedMap<NodeId, WallTime>,
    /// When another life was last reported.
    begun_at: Option<Instant>,
    /// The depth below which this node needs no past: 0 if it has all (docs/design/log.md §6, R6).
    base: u64,
    /// The depth at which it began: 0 if it was there from the beginning (docs/design/log.md §6, R7).
    joined: u64,
    /// Entries without which others may be taken: most of those asked hold them, or no linked node has them; these
    /// since then.
    waived: OrderedMap<Reference, Option<Instant>>,
    /// Entries that were taken without their past because no linked node has it, and what names them: since when.
    tainted: OrderedMap<MessageId, Instant>,
    /// Numbers of lives that never were here before an entry that was taken without its past.
    gaps: OrderedMap<LifeId, RangeInclusive<u64>>,
    is_new: bool,
    /// What is to be said again.
    pub(crate) leftover: Option<Unsaid>,
    /// Reported messages that the user has not read, and up to where it has read.
    pub(super) unread: u32,
    pub(super) read: Option<MessageId>,
    /// The place from which pages are shown: the base, or what was fetched since.
    shown_from: MessageId,
    /// Runs of which bodies are wanted, by the last entry.
    wanted: OrderedSet<MessageId>,
    pub(crate) holders: Holders,
    /// The members that hold and that have read this node's messages.
    pub(crate) confirmed: Confirmed,
    pub(crate) retention: Retention,
    /// What past members of a group said without the others.
    pub(super) hidden: OrderedMap<MessageId, Hidden>,
    /// Runs that were taken since the start.
    pub(super) taken: u64,
}

impl Log {
    /// A conversation of which nothing is stored.
    pub(crate) fn new(id: ConversationId, number: u32, policy: Policy, me: NodeId, life: Life) -> Self {
        Self {
            id,
            number,
            policy,
            me,
            own: Own { life, tip: None, newest: None, spoke: false, held: 0 },
            tip: None,
            recent: OrderedMap::new(),
            shown: VecDeque::new(),
            lives: Lives::default(),
            heads: Heads::default(),
            components: Components::default(),
            forked: OrderedSet::new(),
            newcomers: OrderedMap::new(),
            begun_at: None,
            base: 0,
            joined: 0,
            waived: OrderedMap::new(),
            tainted: OrderedMap::new(),
            gaps: OrderedMap::new(),
            is_new: true,
            leftover: None,
            unread: 0,
            read: None,
            shown_from: MessageId::first_of(0),
            wanted: OrderedSet::new(),
            holders: Holders::default(),
            confirmed: Confirmed::default(),
            retention: Retention::default(),
            hidden: OrderedMap::new(),
            taken: 0,
        }
    }

    /// A conversation as it was stored; its lives are to be read.
    pub(crate) fn restore(id: ConversationId, policy: Policy, me: NodeId, state: State) -> Self {
        let mut log = Self::new(id, state.number, policy, me, state.own.life);
        log.lives = Lives::unread();
        (log.base, log.joined) = (state.base, state.joined);
        log.shown_from = MessageId::first_of(state.joined);
        log.gaps = state.gaps.into_iter().map(|(life, (from, to))| (life, from..=to)).collect();
        (log.is_new, log.leftover) = (state.is_new, state.leftover);
        (log.unread, log.read) = (state.unread, state.read);
        log.wanted.extend(state.wanted);
        log.retention.amounts = state.amounts;
        log.components.restore(state.components, state.overflown);
        for (life, tips) in state.forked {
            log.forked.insert(life);
            log.lives.set(life, tips, 0);
        }
        for StateEntry { id: at, log: of, seq, clock, first_time } in state.entries {
            let clock = clock.map(Counts::new);
            let known = Known { log: of, seq, clock };
            if of == log.own_log() {
                log.tip = Some((at, known));
            } else {
                let forked = log.forked.contains(&of);
                log.heads.add(at, Head { known, first_time, forked, not_before: None });
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
            base: self.base,
            joined: self.joined,
            gaps: self.gaps.iter().map(|(life, gap)| (*life, (*gap.start(), *gap.end()))).collect(),
            is_new: self.is_new,
            leftover: self.leftover,
            unread: self.unread,
            read: self.read,
            wanted: self.wanted().filter(|_| self.policy.is_private()).take(MAX_STORED_WANTED).collect(),
            amounts: self.retention.amounts,
            forked: self.forked.iter().filter_map(|l| Some((*l, self.lives.tips(*l)?.to_vec()))).collect(),
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

    pub(crate) fn open_heads(&self, now: Instant) -> usize {
        self.heads.open(now)
    }

    /// Whether nothing was said here yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.lives.is_complete() && self.lives.len() == 0
    }

    /// Whether this node has neither caught up nor anything of others: it may begin with the newest page.
    pub(crate) fn is_newcomer(&self) -> bool {
        let own = usize::from(self.lives.tips(self.own_log()).is_some());
        self.is_new && self.policy.is_signed() && self.lives.is_complete() && self.lives.len() == own
    }

    /// Whether this node has not caught up with any other yet.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    pub(crate) fn authors(&self) -> usize {
        self.lives.len()
    }

    /// Begins another life: what was said in this one beyond the store stays another log of this device.
    /// Whether it is to be reported: at most once an hour, since the other side of a private conversation can make up
    /// what this node said in it.
    pub(crate) fn begin_life(&mut self, life: Life, now: Instant) -> bool {
        (self.own.tip, self.own.held) = (None, 0);
        if let Some((id, known)) = self.tip.take() {
            self.heads.add(id, Head { known, first_time: false, forked: false, not_before: None });
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

    /// Keeps the place of a message of a page of history: what is shown can be answered or edited.
    pub(crate) fn show(&mut self, id: MessageId, log: LifeId, seq: u64) {
        if self.shown.len() == MAX_SHOWN {
            self.shown.pop_front();
        }
        self.shown.push_back((id, log, seq));
    }

    /// The log and the number of an entry that is recent or on one of the last pages of history.
    pub(crate) fn place_of(&self, id: MessageId) -> Option<(LifeId, u64)> {
        let recent = self.find(Parent::of(id)).filter(|(found, _)| *found == id);
        let shown = || self.shown.iter().rev().find(|(at, ..)| *at == id).map(|(_, log, seq)| (*log, *seq));
        recent.map(|(_, known)| (known.log, known.seq)).or_else(shown)
    }

    /// Its author.
    pub(crate) fn author_of(&self, id: MessageId) -> Option<NodeId> {
        self.place_of(id).map(|(log, _)| log.author)
    }

    pub(crate) fn clock(&self, counts: Option<&Counts>) -> Option<VectorClock> {
        counts.map(|counts| self.components.named(counts))
    }

    /// Takes a run that fits. Returns its new entries in order.
    pub(crate) fn take<'a>(
        &mut self,
        run: &'a Run,
        kind: Kind,
        facts: &Facts,
        (now, wall): (Instant, WallTime),
        is_late: bool,
    ) -> Vec<Taken<'a>> {
        self.taken = self.taken.saturating_add(1);
        let mut tips = self.tips(run.log, facts).unwrap_or_default().to_vec();
        let first_time = self.is_first_time(run.log.author, tips.is_empty(), wall);
        let is_old = self.is_old(run);
        let is_news = matches!(kind, Kind::Next | Kind::Fork) && !is_old;
        let component = if is_old { None } else { self.components.add(run.log).map(|(at, _)| at) };
        if kind == Kind::Fork && (self.forked.len() < MAX_FORKED || self.forked.contains(&run.log)) {
            self.forked.insert(run.log);
            self.heads.fork(run.log);
        }
        if let Some((gap, last)) =
            self.gaps.get(&run.log).cloned().zip(run.entries.last()).filter(|_| kind == Kind::Gap)
        {
            // What comes is no gap any more: it follows what is here, so nothing before it comes later.
            self.gaps.remove(&run.log);
            if last.seq < *gap.end() {
                self.gaps.insert(run.log, last.seq.saturating_add(1)..=*gap.end());
            }
        }
        let mut taken = Vec::new();
        for (at, entry) in run.entries.iter().enumerate() {
            let stored = || self.lookup(Parent::of(entry.id), facts).flatten().filter(|(id, _)| *id == entry.id);
            let (is_taken, late) = match kind {
                Kind::Lost => (facts.stored(entry.id) == Some(true), None),
                Kind::Next | Kind::Fork | Kind::Old | Kind::Gap => (stored().is_some(), None),
                Kind::Late => {
                    let was_bare = |held: &Held| held.run.entries.get(at).is_some_and(|e| e.is_bare);
                    let comes = !entry.is_bare && facts.held.iter().flatten().any(was_bare);
                    (!comes, stored().map(|(_, known)| known.clone()))
                }
            };
            if is_taken {
                continue;
            }
            let clock = || self.clock_of(entry, component, facts);
            let known = late.unwrap_or_else(|| Known { log: run.log, seq: entry.seq, clock: clock() });
            if is_news {
                let tip = Tip { seq: entry.seq, id: entry.id };
                tips.retain(|t| Some(t.id) != entry.prev);
                if tips.len() < MAX_TIPS {
                    tips.push(tip);
                }
                let taint = self.taint_of(run.log, entry, facts, now);
                self.taint(entry.id, taint);
                if !is_late {
                    self.heads.named(entry.prev, &entry.parents);
                }
                self.is_new &= run.log.author == self.me;
                if run.log != self.own_log() {
                    self.named_by(run.log.author, entry, &known);
                    let forked = self.forked.contains(&run.log);
                    let not_before = taint.map(|since| since + TAINTED);
                    // What is hidden is not named.
                    if !is_late {
                        self.heads.add(entry.id, Head { known: known.clone(), first_time, forked, not_before });
                    }
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
            let from_end = run.entries.len().saturating_sub(at).saturating_sub(1);
            taken.push(Taken { id: entry.id, known: known.clone(), body: entry.body.as_ref(), from_end, void });
            self.recent.insert(entry.id, known);
        }
        if is_news {
            self.note_gap(run, &tips, facts);
        }
        if !is_old {
            tips.sort_unstable();
            let first = taken.first().filter(|t| t.known.seq == 1).map_or(0, |t| t.id.depth);
            self.lives.set(run.log, tips, first);
        }
        self.shrink();
        taken
    }

    fn is_first_time(&mut self, author: NodeId, is_new: bool, wall: WallTime) -> bool {
        if is_new && self.newcomers.len() < MAX_NEWCOMERS && !self.lives.has(author) {
            self.newcomers.entry(author).or_insert(wall);
        }
        let Some(since) = self.newcomers.get(&author) else { return false };
        let is_recent = wall.0.saturating_sub(since.0) < FIRST_TIME_MS;
        if !is_recent {
            self.newcomers.remove(&author);
        }
        is_recent
    }

    /// Whether the first entry of an author arrived less than seven days ago, as far as is remembered.
    pub(crate) fn is_known_first_time(&self, author: NodeId) -> bool {
        self.newcomers.contains_key(&author)
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

    fn shrink(&mut self) {
        while self.recent.len() > MAX_RECENT {
            self.recent.pop_first();
        }
    }

    /// This node's next run: merges where there are more heads than one entry names, then the bodies.
    pub(crate) fn compose(&self, bodies: Vec<Body>, now: Instant, rng: &mut Rng) -> Parts {
        let mut groups = self.heads.draw(now, rng);
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

    /// What is hidden is not named any more, and these shown entries are, which no other shown one names.
    pub(super) fn name_shown(&mut self, shown: Vec<(MessageId, Known)>) {
        for id in self.hidden.keys() {
            self.heads.forget(*id);
        }
        let own = self.own_log();
        for (id, known) in shown.into_iter().filter(|(_, known)| known.log != own) {
            let first_time = self.is_known_first_time(known.log.author);
            let forked = self.forked.contains(&known.log);
            self.heads.add(id, Head { known, first_time, forked, not_before: None });
        }
    }

    /// This node's own run was taken: the next one follows it.
    pub(crate) fn said(&mut self, last: &Taken<'_>, spoke: bool) {
        self.own.tip = Some(Tip { seq: last.known.seq, id: last.id });
        self.tip = Some((last.id, last.known.clone()));
        self.own.spoke |= spoke;
    }

    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Below this depth no past is needed from now on, and nothing is named.
    pub(crate) fn raise_base(&mut self, base: u64) {
        if base <= self.base {
            return;
        }
        self.base = base;
        let first = MessageId::first_of(base);
        self.recent.retain(|id, _| *id >= first);
        self.wanted.retain(|id| *id >= first);
        self.heads.forget_before(first);
    }

    /// The depth at which this node began.
    pub(crate) fn joined(&self) -> u64 {
        self.joined
    }

    /// This node begins at this depth: what lies below is no news.
    pub(crate) fn join_at(&mut self, depth: u64, life: Life) {
        self.raise_base(depth);
        (self.joined, self.shown_from) = (depth, MessageId::first_of(depth));
        let is_unheld = |tip: Tip| tip.id.depth < depth && tip.seq > self.own.held;
        if self.own.tip.is_some_and(is_unheld) {
            // What it said before names nothing that others have.
            self.leftover = Some(self.unsaid(false));
            self.own = Own { life, tip: None, newest: None, spoke: self.own.spoke, held: 0 };
            self.tip = None;
        }
        // They are read from the store when an entry follows them.
        self.lives.forget_before(depth);
    }

    pub(crate) fn shown_from(&self) -> MessageId {
        self.shown_from
    }

    /// What another node has from this depth on is here.
    pub(crate) fn show_from(&mut self, place: MessageId) {
        self.shown_from = self.shown_from.min(place);
    }

    /// This node has what another one has.
    pub(crate) fn caught_up(&mut self) {
        self.is_new &= self.is_newcomer();
    }

    /// What was said last, and is not known to be held by another node.
    pub(crate) fn unsaid(&self, is_left: bool) -> Unsaid {
        let told_from = self.joined;
        Unsaid { number: self.number, life: self.own.life, after: self.own.held, is_left, told_from, is_said: false }
    }

    /// What this node holds, as it says it to others.
    pub(crate) fn holding(&self, config: &ChatConfig, wall: WallTime) -> Holding {
        let page = self.retention.page(config, wall).max(self.base);
        Holding { joined: self.joined, base: self.base, floor: self.retention.floor(), page, newest: self.deepest() }
    }

    /// Runs of which bodies are wanted, the newest first.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = MessageId> {
        self.wanted.iter().rev().copied()
    }

    /// A run was taken without all of its bodies, or they came.
    pub(crate) fn want(&mut self, run: MessageId, wants: Wants) {
        match wants {
            Wants::Nothing => {
                self.wanted.remove(&run);
            }
            Wants::News | Wants::Repair => {
                self.wanted.insert(run);
                if self.wanted.len() > MAX_WANTED {
                    self.wanted.pop_first();
                }
            }
        }
    }

    /// Whether this may be missing where no linked node has it: the headers of most do not reach it. Never what is
    /// deeper than what is here: a made-up past could lift an entry.
    pub(crate) fn may_waive(&self, reference: Reference, peers: &[NodeId]) -> bool {
        let depth = reference.parent().depth;
        depth < self.holders.middle(peers, |h| h.base) && depth <= self.deepest()
    }

    /// Whether something here was taken without this one.
    pub(crate) fn is_waived(&self, parent: Parent) -> bool {
        self.waived.keys().any(|reference| reference.parent() == parent)
    }

    /// Entries may be taken without this one: since then if no linked node has it.
    pub(crate) fn waive(&mut self, reference: Reference, since: Option<Instant>) {
        self.waived.insert(reference, since);
        if self.waived.len() > MAX_WAIVED {
            self.waived.pop_first();
        }
    }

    /// Since when an entry is tainted: what it names was not to be found, or is tainted.
    fn taint_of(&self, log: LifeId, entry: &Entry, facts: &Facts, now: Instant) -> Option<Instant> {
        if self.waived.is_empty() && self.tainted.is_empty() {
            return None;
        }
        let taints = entry.references(log).filter_map(|named| match self.lookup(named.parent(), facts).flatten() {
            Some((id, _)) => self.tainted.get(&id).copied(),
            None => self.waived.get(&named).copied().flatten(),
        });
        taints.filter(|since| now.since(*since) < TAINTED).max()
    }

    fn taint(&mut self, id: MessageId, since: Option<Instant>) {
        let Some(since) = since else { return };
        self.tainted.insert(id, since);
        if self.tainted.len() > MAX_TAINTED {
            self.tainted.pop_first();
        }
    }

    /// An entry was taken whose predecessor is not here: what lies between may still come, and is news then.
    fn note_gap(&mut self, run: &Run, tips: &[Tip], facts: &Facts) {
        let Some(first) = run.entries.first().filter(|first| first.seq > 1) else { return };
        let Some(id) = first.prev.filter(|id| id.depth >= self.base) else { return };
        let is_waived = self.waived.contains_key(&Reference::Prev { log: run.log, seq: first.seq, id });
        let prev = Parent::of(id);
        if is_waived && self.lookup(prev, facts).flatten().is_none() && self.gaps.len() < MAX_GAPS {
            let before = tips.iter().map(|t| t.seq).filter(|seq| *seq < first.seq).max().unwrap_or(0);
            self.gaps.insert(run.log, before.saturating_add(1)..=first.seq.saturating_sub(1));
        }
    }

    pub(crate) fn entries(&self) -> usize {
        let lives = self.lives.len().saturating_add(self.newcomers.len()).saturating_add(self.holders.len());
        let rare = self.waived.len().saturating_add(self.gaps.len()).saturating_add(self.tainted.len());
        let lives = lives.saturating_add(self.wanted.len()).saturating_add(rare).saturating_add(self.confirmed.len());
        self.recent.len().saturating_add(self.shown.len()).saturating_add(lives).saturating_add(self.heads.len())
    }

    /// The last entry of the order: it is a head, or this node's own.
    pub(super) fn newest(&self) -> Option<MessageId> {
        let recent = self.recent.keys().next_back().copied();
        let own = self.tip.as_ref().map(|(id, _)| *id);
        recent.max(self.heads.deepest()).max(own)
    }

    /// Its depth.
    pub(crate) fn deepest(&self) -> u64 {
        self.newest().map_or(0, |id| id.depth)
    }

    /// The depth from which this node and a peer have complete headers.
    pub(crate) fn headers_from(&self, peer: NodeId) -> u64 {
        self.holders.get(peer).map_or(0, |holding| holding.base).max(self.base)
    }

    /// The depth from which this node and a peer can compare how far lives go.
    pub(crate) fn line(&self, peer: NodeId) -> u64 {
        self.holders.get(peer).map_or(0, |holding| holding.joined).max(self.joined)
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.recent.len() > MAX_RECENT || self.lives.len() > crate::chat::lives::MAX_LIVES {
            return Err("more entries or lives in memory than have room");
        }
        if self.own.tip.map(|t| t.id) != self.tip.as_ref().map(|(id, _)| *id) {
            return Err("the entry that the next one follows is not in memory");
        }
        self.heads.check()
    }
}
