//! A file that is being fetched: whom to ask for which of its parts (docs/design/files.md §4).
//!
//! Parts are pulled from several holders at once, as in BitTorrent (Cohen, *Incentives Build Robustness in BitTorrent*,
//! 2003, §2.4), and each is verified by itself, so that a holder that lies costs the parts it was asked for and no more.

use alloc::vec::Vec;

use crate::collections::{Backoff, OrderedMap, OrderedSet};
use crate::file::parts::{Held, Parts};
use crate::file::wire::{MAX_ASKED, Message};
use crate::id::{FileId, NodeId};
use crate::machine::Cx;
use crate::time::{Duration, Instant};
use crate::wire::Malformed;
use crate::wire::content::Conversation;

/// Holders that are asked at once: 4 (docs/design/files.md §4).
const MAX_HOLDERS: usize = 4;
/// Parts under way from a holder at first; one more for each that comes, up to [`MAX_ASKED`], which is a megabyte: half of
/// what a link keeps for a peer (`Limits::link_queue_bytes`).
const FIRST_WINDOW: usize = 4;
/// A holder that sends nothing for so long while it is asked is left alone for a while: 30 s, as long as a link keeps an
/// incomplete message (docs/design/links.md §4).
const STALLED: Duration = Duration::from_secs(30);
/// A node that has no link after this, or does not answer a question, is no holder: two tries of a handshake.
const NO_ANSWER: Duration = Duration::from_secs(10);
/// How often other holders are looked for, and those that do not hold all are asked again.
const LOOK: Duration = Duration::from_secs(2);
/// Looks without a part between are twice as far apart each time, up to 64 s: any member of a conversation can name a
/// file that no node has, and each look costs up to four handshakes.
const MAX_LOOKS: u32 = 5;
/// How long a node is left alone, each time.
const LEFT_ALONE: Backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(600));
/// When all places are taken, the holder that sent least since the last time gives way to another candidate: every 30 s.
/// Otherwise four that send a part now and then would hold up a fetch for good.
const ROTATE: Duration = STALLED;
/// A holder that does not have so many parts that it said it has is left alone: one question.
const MAX_BROKEN: usize = MAX_ASKED;
/// Missing parts that are looked at to choose some: 512, 32 MiB.
const MAX_LOOKED_AT: usize = 512;
/// Nodes that are remembered because they were of no use.
const MAX_AVOIDED: usize = 64;

/// A node that may hold the file.
#[derive(Debug)]
struct Holder {
    stage: Stage,
    /// Parts that may be under way from it.
    window: usize,
    /// It was asked what it holds, and did not answer yet.
    questioned: bool,
    /// INVARIANT: the parts that are asked of it.
    under_way: OrderedSet<u32>,
    /// Parts that it sent since holders last gave way.
    sent: u32,
    /// Parts that it said it has, and has not.
    broken: usize,
}

#[derive(Debug)]
enum Stage {
    /// A link with it is wanted until then.
    Linking { until: Instant },
    /// It was asked what it holds and has to answer until then.
    Asked { until: Instant },
    /// What it holds. It is left alone if it sends nothing until then while it is asked.
    Holds { parts: Parts, until: Instant, ask_at: Instant },
}

impl Holder {
    /// Parts that it said it holds.
    fn parts(&self) -> u32 {
        if let Stage::Holds { parts, .. } = &self.stage { parts.count() } else { 0 }
    }

    fn has(&self, part: u32) -> bool {
        if let Stage::Holds { parts, .. } = &self.stage { parts.has(part) } else { false }
    }
}

/// A node that was of no use.
#[derive(Clone, Copy, Debug)]
struct Avoided {
    /// None: it sent what is no part of the file.
    until: Option<Instant>,
    times: u32,
}

#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) conversation: Conversation,
    /// A node that should have it: the author of the message that names it.
    pub(super) from: Option<NodeId>,
    /// Fetches are served in this order.
    pub(super) order: u64,
    holders: OrderedMap<NodeId, Holder>,
    avoided: OrderedMap<NodeId, Avoided>,
    /// INVARIANT: the parts that are asked of any holder.
    asked: OrderedSet<u32>,
    /// Where the search for a missing part goes on. It begins anywhere, so that many who fetch at once have different
    /// parts to give to each other.
    next: u32,
    look_at: Instant,
    /// Looks since a part came.
    looks: u32,
    rotate_at: Instant,
    has_turn: bool,
    /// Turns in which nothing came for a while, so that another got them.
    pub(super) turns: u32,
    /// The last time that a part came, or the fetch had its turn.
    pub(super) progress: Instant,
}

/// What a part led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// It was asked for.
    Asked,
    /// It was not.
    Unasked,
}

impl Fetch {
    pub(super) fn new(
        conversation: Conversation,
        from: Option<NodeId>,
        order: u64,
        total: u32,
        cx: &mut Cx<'_>,
    ) -> Self {
        Self {
            conversation,
            from,
            order,
            holders: OrderedMap::new(),
            avoided: OrderedMap::new(),
            asked: OrderedSet::new(),
            next: u32::try_from(cx.rng.below(total as usize)).unwrap_or(0),
            look_at: cx.now,
            looks: 0,
            rotate_at: cx.now + ROTATE,
            has_turn: false,
            turns: 0,
            progress: cx.now,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.holders.len().saturating_add(self.avoided.len()).saturating_add(self.asked.len())
    }

    /// Nodes that a link is wanted with.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.holders.keys().copied()
    }

    /// Holders that have said what they hold.
    pub(super) fn holders(&self) -> usize {
        self.holders.values().filter(|h| h.parts() > 0).count()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let due = |h: &Holder| match &h.stage {
            Stage::Linking { until } | Stage::Asked { until } => *until,
            Stage::Holds { ask_at, .. } if h.under_way.is_empty() => *ask_at,
            Stage::Holds { parts, until, .. } if parts.is_whole() => *until,
            Stage::Holds { until, ask_at, .. } => *until.min(ask_at),
        };
        let soonest = self.holders.values().map(due).min();
        let look = if self.is_full() { self.rotate_at } else { self.look_at };
        crate::time::soonest(soonest, Some(look))
    }

    /// Its turn begins, if it had none.
    pub(super) fn begin_turn(&mut self, now: Instant) {
        if !self.has_turn {
            (self.has_turn, self.progress, self.look_at) = (true, now, now);
        }
    }

    /// Another has its turn now.
    pub(super) fn pause(&mut self) {
        if self.has_turn {
            self.let_go();
        }
    }

    /// Its turn ends: all holders are let go.
    pub(super) fn end_turn(&mut self, order: u64) {
        (self.order, self.turns) = (order, self.turns.saturating_add(1));
        self.let_go();
    }

    fn let_go(&mut self) {
        self.has_turn = false;
        (self.holders, self.asked) = (OrderedMap::new(), OrderedSet::new());
    }

    /// There is a new link: it may be with one that holds it.
    pub(super) fn look_soon(&mut self, now: Instant) {
        self.look_at = self.look_at.min(now + LOOK);
    }

    fn is_full(&self) -> bool {
        self.holders.len() >= MAX_HOLDERS
    }

    /// Lets a node go, with the parts that were asked of it.
    fn drop_holder(&mut self, node: NodeId) {
        if let Some(holder) = self.holders.remove(&node) {
            self.asked.retain(|part| !holder.under_way.contains(part));
        }
    }

    /// Leaves a node alone for a while; for good if it sent what is no part of the file.
    pub(super) fn avoid(&mut self, node: NodeId, lied: bool, now: Instant) {
        self.drop_holder(node);
        let times = self.avoided.get(&node).map_or(0, |a| a.times).min(16);
        if self.avoided.len() >= MAX_AVOIDED && !self.avoided.contains_key(&node) {
            // The one that is left alone for the shortest time; a liar stays.
            let soonest = self.avoided.iter().filter_map(|(n, a)| Some((a.until?, *n))).min();
            let gone = soonest.map(|(_, n)| n).or_else(|| self.avoided.keys().next().copied());
            gone.map(|n| self.avoided.remove(&n));
        }
        let until = (!lied).then(|| now + LEFT_ALONE.nominal(times));
        self.avoided.insert(node, Avoided { until, times: times.saturating_add(1) });
    }

    /// Whether it is time to look for other holders.
    pub(super) fn looks(&self, now: Instant) -> bool {
        if self.is_full() { self.rotate_at <= now } else { self.look_at <= now }
    }

    /// Whether a node is to be left alone now, or is asked already.
    fn is_out(&self, node: NodeId, now: Instant) -> bool {
        let alone = self.avoided.get(&node).is_some_and(|a| a.until.is_none_or(|until| until > now));
        alone || self.holders.contains_key(&node)
    }

    /// The holder that sent least gives way.
    fn rotate(&mut self, now: Instant) {
        let least = self.holders.iter().min_by_key(|(_, holder)| holder.sent).map(|(node, _)| *node);
        least.into_iter().for_each(|node| self.avoid(node, false, now));
        self.holders.values_mut().for_each(|holder| holder.sent = 0);
    }

    /// Asks one of these nodes, best first, that is not asked and not to be left alone. One with a link is asked at once.
    pub(super) fn look(
        &mut self,
        now: Instant,
        candidates: Vec<(NodeId, bool)>,
        file: FileId,
    ) -> Vec<(NodeId, Message)> {
        let candidates: Vec<_> = candidates.into_iter().filter(|(node, _)| !self.is_out(*node, now)).collect();
        if self.is_full() && !candidates.is_empty() {
            self.rotate(now);
        }
        let pause = Backoff::new(LOOK, Duration::MAX).nominal(self.looks);
        (self.look_at, self.rotate_at) = (now + pause, now + ROTATE);
        self.looks = self.looks.saturating_add(1).min(MAX_LOOKS);
        let mut questions = Vec::new();
        for (node, linked) in candidates {
            if self.is_full() || self.holders.contains_key(&node) {
                continue;
            }
            let stage = match linked {
                true => Stage::Asked { until: now + NO_ANSWER },
                false => Stage::Linking { until: now + NO_ANSWER },
            };
            if linked {
                questions.push((node, Message::Ask { file }));
            }
            let (questioned, under_way) = (linked, OrderedSet::new());
            let holder = Holder { stage, window: FIRST_WINDOW, questioned, under_way, sent: 0, broken: 0 };
            self.holders.insert(node, holder);
        }
        questions
    }

    /// There is a link with a node: the question, if it may be a holder.
    pub(super) fn linked(&mut self, node: NodeId, now: Instant, file: FileId) -> Option<Message> {
        let holder = self.holders.get_mut(&node)?;
        let Stage::Linking { .. } = holder.stage else { return None };
        holder.stage = Stage::Asked { until: now + NO_ANSWER };
        holder.questioned = true;
        Some(Message::Ask { file })
    }

    /// The link with a node is gone.
    pub(super) fn unlinked(&mut self, node: NodeId, now: Instant) {
        if self.holders.get(&node).is_some_and(|h| !matches!(h.stage, Stage::Linking { .. })) {
            self.avoid(node, false, now);
        }
    }

    /// Whether a node was asked what it holds and has not answered.
    pub(super) fn answers(&self, node: NodeId) -> bool {
        self.holders.get(&node).is_some_and(|h| h.questioned)
    }

    /// What a node says that it holds.
    pub(super) fn has(&mut self, node: NodeId, held: Held, total: u32, now: Instant) -> Result<(), Malformed> {
        let Some(holder) = self.holders.get_mut(&node) else { return Ok(()) };
        holder.questioned = false;
        let parts = Parts::of(held, total)?;
        if parts.count() == 0 {
            self.avoid(node, false, now);
            return Ok(());
        }
        let until = match &holder.stage {
            // An answer is no part: it does not make a holder that sends nothing look alive.
            Stage::Holds { until, .. } if !holder.under_way.is_empty() => *until,
            Stage::Linking { .. } | Stage::Asked { .. } | Stage::Holds { .. } => now + STALLED,
        };
        holder.stage = Stage::Holds { parts, until, ask_at: now + LOOK };
        Ok(())
    }

    /// A node does not have a part that it was asked for: it is asked anew what it holds.
    pub(super) fn lacks(&mut self, node: NodeId, part: u32, now: Instant) {
        let Some(holder) = self.holders.get_mut(&node) else { return };
        if !holder.under_way.remove(&part) {
            return;
        }
        self.asked.remove(&part);
        holder.broken = holder.broken.saturating_add(1);
        if let Stage::Holds { parts, .. } = &mut holder.stage {
            parts.set(part, false);
        }
        if holder.broken >= MAX_BROKEN {
            self.avoid(node, false, now);
        }
    }

    /// A part came from a node.
    pub(super) fn came(&mut self, node: NodeId, part: u32, now: Instant) -> Came {
        let Some(holder) = self.holders.get_mut(&node) else { return Came::Unasked };
        if !holder.under_way.remove(&part) {
            return Came::Unasked;
        }
        self.asked.remove(&part);
        holder.window = holder.window.saturating_add(1).min(MAX_ASKED);
        holder.sent = holder.sent.saturating_add(1);
        if let Stage::Holds { until, .. } = &mut holder.stage {
            *until = now + STALLED;
        }
        (self.progress, self.looks) = (now, 0);
        Came::Asked
    }

    /// Asks the holders for parts that are missing and not under way: first those that hold least, and each first for
    /// what no other holds, so that many who fetch at once share the work of the one that has all.
    pub(super) fn fill(&mut self, have: &Parts, now: Instant, file: FileId) -> Vec<(NodeId, Message)> {
        let mut nodes: Vec<(u32, NodeId)> = self.holders.iter().map(|(node, h)| (h.parts(), *node)).collect();
        nodes.sort_unstable();
        let asked = nodes.into_iter().filter_map(|(_, node)| Some((node, self.choose(node, have)?)));
        let asked: Vec<(NodeId, Vec<u32>)> = asked.collect();
        let question = |(node, parts): (NodeId, Vec<u32>)| {
            if let Some(holder) = self.holders.get_mut(&node)
                && let Stage::Holds { until, .. } = &mut holder.stage
                && holder.under_way.len() == parts.len()
            {
                *until = now + STALLED;
            }
            (node, Message::Get { file, parts })
        };
        asked.into_iter().map(question).collect()
    }

    /// The parts to ask a holder for now.
    fn choose(&mut self, node: NodeId, have: &Parts) -> Option<Vec<u32>> {
        let holder = self.holders.get(&node)?;
        let Stage::Holds { parts, .. } = &holder.stage else { return None };
        // Half a window at a time, so that a question asks for several.
        let room = holder.window.saturating_sub(holder.under_way.len());
        if room < holder.window.div_ceil(2) {
            return None;
        }
        let wanted = have.missing(self.next).filter(|part| !self.asked.contains(part) && parts.has(*part));
        let wanted: Vec<u32> = wanted.take(MAX_LOOKED_AT).collect();
        let is_rare = |part: &u32| !self.holders.iter().any(|(other, h)| *other != node && h.has(*part));
        let (rare, common): (Vec<u32>, Vec<u32>) = wanted.into_iter().partition(is_rare);
        let chosen: Vec<u32> = rare.into_iter().chain(common).take(room).collect();
        self.next = chosen.last()?.saturating_add(1).checked_rem(have.total()).unwrap_or(0);
        self.asked.extend(chosen.iter().copied());
        if let Some(holder) = self.holders.get_mut(&node) {
            holder.under_way.extend(chosen.iter().copied());
        }
        Some(chosen)
    }

    /// Leaves alone who does not answer, and asks again those that do not hold all, or have nothing to give.
    pub(super) fn handle_timeout(&mut self, now: Instant, file: FileId) -> Vec<(NodeId, Message)> {
        let is_late = |h: &Holder| match &h.stage {
            Stage::Linking { until } | Stage::Asked { until } => *until <= now,
            Stage::Holds { until, .. } => !h.under_way.is_empty() && *until <= now,
        };
        let late: Vec<NodeId> = self.holders.iter().filter(|(_, h)| is_late(h)).map(|(n, _)| *n).collect();
        late.into_iter().for_each(|node| self.avoid(node, false, now));
        let mut questions = Vec::new();
        for (node, holder) in &mut self.holders {
            let is_idle = holder.under_way.is_empty();
            if let Stage::Holds { parts, ask_at, .. } = &mut holder.stage
                && (is_idle || !parts.is_whole())
                && *ask_at <= now
            {
                *ask_at = now + LOOK;
                holder.questioned = true;
                questions.push((*node, Message::Ask { file }));
            }
        }
        questions
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let of_all: Vec<u32> = self.holders.values().flat_map(|h| h.under_way.iter().copied()).collect();
        let distinct: OrderedSet<u32> = of_all.iter().copied().collect();
        if of_all.len() != distinct.len() {
            return Err("a part is asked of two holders");
        }
        if distinct != self.asked {
            return Err("a part is asked of a holder and is not among those that are asked");
        }
        if !self.has_turn && !self.holders.is_empty() {
            return Err("a fetch has holders and no turn");
        }
        match self.holders.len() <= MAX_HOLDERS && self.avoided.len() <= MAX_AVOIDED {
            true => Ok(()),
            false => Err("too many holders"),
        }
    }
}
