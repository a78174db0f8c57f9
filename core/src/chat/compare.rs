//! Range-based set reconciliation of whole histories, for what heights cannot show: entries that a disk lost, branches
//! of forked lives, and more lives than a list of heights carries.
//!
//! The ids of the network's conversation are read from the store, a window of depths at a time, into a tree on each
//! side, and the trees are reconciled ([`ranges`](super::ranges)). The store itself is read, so the result is what the
//! store has, and an entry costs no memory while no comparison runs. Windows go from the oldest to the newest: the past
//! comes before what names it.
//!
//! This node begins one comparison at a time and answers two; what exceeds that is dropped, and its sender tries again
//! later. A private conversation has two authors: heights say all of it.

use crate::collections::{DeadlineQueue, OrderTree, OrderedMap};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::chat::item::Item;
use crate::chat::log::Wants;
use crate::chat::ranges::{MAX_FOUND, Mode, Outcome, Part, begin, differs, reconcile};
use crate::chat::rows::{At, ENTRIES, Row, entry_id, entry_key};
use crate::chat::wire::{End, MAX_WANTED, Sync};
use crate::chat::{Chat, Out, Reading, send};
use crate::id::{ConversationId, MessageId, NodeId};
use crate::machine::{Cx, Outbox};
use crate::stats::DropReason;
use crate::store::{Record, Scan};
use crate::time::{Duration, Instant};
use crate::wire::Malformed;
use crate::wire::entry::Parent;

/// Records in one read of the order index: 256, and 64 KiB of them.
const READ_RECORDS: u32 = 256;
const READ_BYTES: u32 = 64 << 10;
/// Comparisons of other nodes that are answered at once: 2, each with a tree of its own.
const MAX_RESPONDERS: usize = 2;
/// An answer may take this long: 30 s; the other side may have to read 20 MB of history first.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The tree of an answered comparison is kept this long after its last message: 30 s.
const RESPONDER_KEPT: Duration = Duration::from_secs(30);
/// After a comparison that this node began, what the peer sends is checked against the store for this long: 30 s. What
/// the peer found missing here is on its way when the last answer comes.
const LATE: Duration = Duration::from_secs(30);
/// Recently ended comparisons that are kept: 8, as many as wait.
const MAX_LATE: usize = MAX_WAITING;
/// Between two windows of a comparison: 5 s, so that reading 20 MB for each stays in the background;
/// the responder insists on 2 s.
const WINDOW_PAUSE: Duration = Duration::from_secs(5);
const WINDOW_LEAST: Duration = Duration::from_secs(2);
/// Nodes that wait for a comparison after the one under way: 8.
const MAX_WAITING: usize = 8;
/// Windows in one comparison, repeated ones included: 4,096, so 268 million messages.
const MAX_WINDOWS: u32 = 4_096;
/// Depths that the newest part of a history has where its lives are too many for a list: 4,096, about as many entries.
const NEWEST: u64 = 4_096;

/// Reads the entries between two depths into a tree.
struct Loader {
    conversation: u32,
    salt: [u8; 16],
    tree: OrderTree<Item>,
    from: u64,
    /// Not included. Less than requested if there was more than one window.
    to: u64,
    next_key: Vec<u8>,
    /// Which of this node's loaders it is: a read for one that was given up finds another or none.
    number: u64,
}

impl Loader {
    fn new((conversation, number): (u32, u64), salt: [u8; 16], from: u64, to: u64) -> Self {
        let next_key = entry_key(conversation, MessageId::first_of(from));
        Self { conversation, salt, tree: OrderTree::new(), from, to, next_key, number }
    }

    fn scan(&self) -> Scan {
        let end = entry_key(self.conversation, MessageId::first_of(self.to));
        Scan {
            table: ENTRIES,
            start: self.next_key.clone(),
            end,
            reverse: false,
            limit: READ_RECORDS,
            max_bytes: READ_BYTES,
        }
    }

    /// Takes what was read; returns whether the window is complete.
    fn take(&mut self, records: &[Record], most: usize) -> bool {
        for record in records {
            let Ok(id) = entry_id(&record.key) else { continue };
            // A run of which bodies are wanted counts as missing, by its last entry.
            let wants =
                matches!(Row::read(&record.value), Ok(Row { at: At::End(held), .. }) if held.wants != Wants::Nothing);
            if (self.from..self.to).contains(&id.depth) && !wants {
                self.tree.insert(Item::new(&self.salt, id));
            }
        }
        let is_cut = super::is_cut(records, READ_RECORDS, READ_BYTES);
        let Some(last) = records.last().filter(|_| is_cut) else { return true };
        self.next_key.clone_from(&last.key);
        self.next_key.push(0);
        // The last depth may be incomplete: the window ends before it.
        let newest = self.tree.select(self.tree.len().saturating_sub(1)).map_or(0, |i| i.id.depth);
        let full = self.tree.len() >= most && newest > self.from;
        if full {
            self.end_at(newest);
        }
        full
    }

    fn end_at(&mut self, depth: u64) {
        self.to = depth;
        while let Some(last) = self.tree.select(self.tree.len().saturating_sub(1)).filter(|i| i.id.depth >= depth) {
            self.tree.remove(&last);
        }
    }

    fn window(&self) -> (u64, u64) {
        (self.from, self.to)
    }
}

/// Where a comparison that this node began stands.
enum Stage {
    /// Reading this node's side of the window.
    Loading,
    /// Waiting for the other side's answer.
    Asked,
    /// Transferring what was found missing on either side.
    Settling,
    /// Pausing until the next window.
    Pausing,
}

struct Initiator {
    peer: NodeId,
    loader: Loader,
    stage: Stage,
    /// More was found than one round brings: compare the window again.
    more: bool,
    windows_left: u32,
}

/// A comparison that another node began.
struct Responder {
    loader: Loader,
    loaded: bool,
    /// What to answer when all is read.
    parts: Vec<Part>,
    /// The window that the initiator compares.
    asked_to: u64,
    /// No other window may begin before this.
    next_window: Instant,
}

/// Messages that a peer has and this node lacks.
#[derive(Default)]
struct Missing {
    items: VecDeque<MessageId>,
    asked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Initiator,
    Responder(NodeId),
    Missing(NodeId),
}

#[derive(Default)]
pub(super) struct Comparisons {
    initiator: Option<Initiator>,
    /// Nodes to compare with after that.
    waiting: VecDeque<NodeId>,
    responders: OrderedMap<NodeId, Responder>,
    missing: OrderedMap<NodeId, Missing>,
    /// Peers with which a comparison ended, and until when what they send may be what the store lost.
    late: OrderedMap<NodeId, Instant>,
    loaders: u64,
    timers: DeadlineQueue<Timer>,
}

impl Default for DeadlineQueue<Timer> {
    fn default() -> Self {
        Self::new()
    }
}

impl Comparisons {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Whether a comparison with this node is under way or ended a moment ago.
    pub(super) fn is_with(&self, peer: NodeId, now: Instant) -> bool {
        let initiator = self.initiator.as_ref().is_some_and(|a| a.peer == peer);
        let late = self.late.get(&peer).is_some_and(|until| now < *until);
        initiator || late || self.responders.contains_key(&peer) || self.missing.contains_key(&peer)
    }

    pub(super) fn len(&self) -> usize {
        let trees = self.initiator.iter().map(|a| a.loader.tree.len());
        let responders = self.responders.values().map(|h| h.loader.tree.len().saturating_add(h.parts.len()));
        let missing = self.missing.values().map(|n| n.items.len());
        let all = trees.chain(responders).chain(missing);
        all.fold(0usize, |n, more| n.saturating_add(more).saturating_add(1))
            .saturating_add(self.waiting.len())
            .saturating_add(self.late.len())
    }

    pub(super) fn forget_peer(&mut self, peer: NodeId) {
        self.waiting.retain(|p| *p != peer);
        if self.initiator.take_if(|a| a.peer == peer).is_some() {
            match self.waiting.is_empty() {
                true => self.timers.cancel(Timer::Initiator),
                // At once: the next node's turn.
                false => self.timers.arm(Timer::Initiator, Instant::ZERO),
            }
        }
        self.responders.remove(&peer);
        self.missing.remove(&peer);
        self.late.remove(&peer);
        self.timers.cancel(Timer::Responder(peer));
        self.timers.cancel(Timer::Missing(peer));
    }
}

impl Chat {
    /// Compares the whole history with `peer`, after the comparisons that are under way or wait.
    pub(super) fn compare_whole(&mut self, cx: &mut Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        match &self.compare.initiator {
            None => self.ask_window(cx, peer, self.compare_from(peer), MAX_WINDOWS, out),
            Some(initiator) if initiator.peer == peer => {}
            Some(_) if self.compare.waiting.contains(&peer) => {}
            Some(_) if self.compare.waiting.len() < MAX_WAITING => self.compare.waiting.push_back(peer),
            Some(_) => self.drops.count(DropReason::Queue),
        }
    }

    /// Compares the newest part of the history with `peer`.
    pub(super) fn compare_newest(
        &mut self,
        cx: &mut Cx<'_>,
        conversation: ConversationId,
        peer: NodeId,
        out: &mut Outbox<Out>,
    ) {
        let Some(log) = self.logs.get(&conversation).filter(|_| conversation == self.network) else { return };
        let from = log.deepest().saturating_sub(NEWEST).max(log.headers_from(peer));
        if self.compare.initiator.is_none() {
            self.ask_window(cx, peer, from, MAX_WINDOWS, out);
        }
    }

    fn loader(&mut self, salt: [u8; 16], (from, to): (u64, u64)) -> Loader {
        self.compare.loaders = self.compare.loaders.wrapping_add(1);
        let number = self.logs.get(&self.network).map_or(0, |log| log.number);
        Loader::new((number, self.compare.loaders), salt, from, to)
    }

    fn ask_window(&mut self, cx: &mut Cx<'_>, peer: NodeId, from: u64, left: u32, out: &mut Outbox<Out>) {
        let Some(windows_left) = left.checked_sub(1) else {
            self.compare.initiator = None;
            return;
        };
        let loader = self.loader(cx.rng.bytes(), (from, u64::MAX));
        self.compare.timers.arm(Timer::Initiator, cx.now + ANSWER_WITHIN);
        self.read(Reading::Window(loader.number), loader.scan(), out);
        self.compare.initiator = Some(Initiator { peer, loader, stage: Stage::Loading, more: false, windows_left });
    }

    pub(super) fn window_read(&mut self, cx: &mut Cx<'_>, id: u64, records: &[Record], out: &mut Outbox<Out>) {
        let most = self.config.limits.compare_items;
        // A read for a comparison that was given up finds another or none.
        let Some(mut initiator) = self.compare.initiator.take_if(|a| a.loader.number == id) else { return };
        if initiator.loader.take(records, most) {
            let (from, to) = initiator.loader.window();
            let parts = begin(&initiator.loader.tree, (from, to));
            let salt = initiator.loader.salt;
            send(
                self.network,
                initiator.peer,
                &Sync::Compare { conversation: self.network, salt, from, to, parts },
                out,
            );
            initiator.stage = Stage::Asked;
        } else {
            self.read(Reading::Window(id), initiator.loader.scan(), out);
        }
        self.compare.timers.arm(Timer::Initiator, cx.now + ANSWER_WITHIN);
        self.compare.initiator = Some(initiator);
    }

    /// A peer begins or continues a comparison.
    pub(super) fn host(
        &mut self,
        cx: &mut Cx<'_>,
        peer: NodeId,
        (salt, from, to): ([u8; 16], u64, u64),
        parts: Vec<Part>,
        out: &mut Outbox<Out>,
    ) {
        if from >= to {
            return self.drops.count(DropReason::Message);
        }
        if let Some(responder) = self.compare.responders.get_mut(&peer) {
            // An initiator that begins again asks for what arrived here since.
            let begins = matches!(parts.as_slice(), [Part { mode: Mode::Fingerprint(_), .. }]);
            let same = responder.loader.window() == (from, to) && responder.loader.salt == salt;
            if responder.loaded && same && !begins {
                responder.parts = parts;
                responder.asked_to = to;
                return self.answer_host(cx, peer, out);
            }
            if !responder.loaded || cx.now < responder.next_window {
                return self.drops.count(DropReason::Rate);
            }
        } else if self.compare.responders.len() >= MAX_RESPONDERS {
            return self.drops.count(DropReason::Rate);
        }
        let loader = self.loader(salt, (from, to));
        self.read(Reading::ResponderWindow(peer, loader.number), loader.scan(), out);
        let next_window = cx.now + WINDOW_LEAST;
        self.compare.responders.insert(peer, Responder { loader, loaded: false, parts, asked_to: to, next_window });
        self.compare.timers.arm(Timer::Responder(peer), cx.now + RESPONDER_KEPT);
    }

    pub(super) fn responder_window_read(
        &mut self,
        cx: &mut Cx<'_>,
        (peer, id): (NodeId, u64),
        records: &[Record],
        out: &mut Outbox<Out>,
    ) {
        let most = self.config.limits.compare_items;
        if self.compare.responders.get(&peer).is_none_or(|h| h.loader.number != id) {
            return;
        }
        let Some(mut responder) = self.compare.responders.remove(&peer) else { return };
        responder.loaded = responder.loader.take(records, most);
        if !responder.loaded {
            self.read(Reading::ResponderWindow(peer, id), responder.loader.scan(), out);
        }
        let loaded = responder.loaded;
        self.compare.responders.insert(peer, responder);
        self.compare.timers.arm(Timer::Responder(peer), cx.now + RESPONDER_KEPT);
        if loaded {
            self.answer_host(cx, peer, out);
        }
    }

    fn answer_host(&mut self, cx: &mut Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        let Some(responder) = self.compare.responders.get_mut(&peer) else { return };
        let (from, to) = responder.loader.window();
        let parts = core::mem::take(&mut responder.parts);
        let tree = &responder.loader.tree;
        let answer = if to < responder.asked_to {
            // More is here than fits one window: the next window takes the rest.
            Ok(Outcome { parts: differs(tree, (from, to)), ..Outcome::default() })
        } else {
            reconcile(tree, (from, to), &parts)
        };
        match answer {
            Ok(outcome) => {
                let parts = self.settle_found(cx, peer, outcome, out);
                send(self.network, peer, &Sync::Compared { conversation: self.network, from, to, parts }, out);
                self.compare.timers.arm(Timer::Responder(peer), cx.now + RESPONDER_KEPT);
            }
            Err(Malformed) => self.drops.count(DropReason::Message),
        }
    }

    /// The answer to a comparison that this node began.
    pub(super) fn compared(
        &mut self,
        cx: &mut Cx<'_>,
        peer: NodeId,
        (from, to): (u64, u64),
        parts: &[Part],
        out: &mut Outbox<Out>,
    ) {
        let is_answer = |a: &mut Initiator| {
            a.peer == peer && matches!(a.stage, Stage::Asked) && a.loader.from == from && from < to && to <= a.loader.to
        };
        let Some(mut initiator) = self.compare.initiator.take_if(is_answer) else {
            return self.drops.count(DropReason::Message);
        };
        if to < initiator.loader.to {
            initiator.loader.end_at(to);
        }
        let Ok(outcome) = reconcile(&initiator.loader.tree, (from, to), parts) else {
            // At once: the next node's turn.
            self.compare.timers.arm(Timer::Initiator, cx.now);
            return self.drops.count(DropReason::Message);
        };
        initiator.more |= outcome.more;
        let parts = self.settle_found(cx, peer, outcome, out);
        if parts.is_empty() {
            initiator.stage = Stage::Settling;
        } else {
            let salt = initiator.loader.salt;
            send(self.network, peer, &Sync::Compare { conversation: self.network, salt, from, to, parts }, out);
        }
        self.compare.initiator = Some(initiator);
        self.compare.timers.arm(Timer::Initiator, cx.now + ANSWER_WITHIN);
        self.go_on(cx, peer);
    }

    /// Sends what the other side lacks, requests what is missing here, and passes on what is open.
    fn settle_found(&mut self, cx: &mut Cx<'_>, peer: NodeId, found: Outcome, out: &mut Outbox<Out>) -> Vec<Part> {
        if !found.give.is_empty() {
            let give = found.give.into_iter().map(Parent::of);
            self.serve(cx, (self.network, peer), give, (true, None), out);
        }
        if !found.need.is_empty() {
            let missing = self.compare.missing.entry(peer).or_default();
            let room = MAX_FOUND.saturating_sub(missing.items.len());
            missing.items.extend(found.need.into_iter().take(room));
            self.want(cx, peer, out);
        }
        found.parts
    }

    /// Pauses before the next window if everything found is settled.
    pub(super) fn go_on(&mut self, cx: &Cx<'_>, peer: NodeId) {
        let gives = self.serving.gives(self.network, peer);
        let settled = !gives && !self.compare.missing.contains_key(&peer);
        let Some(initiator) = self.compare.initiator.as_mut().filter(|a| a.peer == peer) else { return };
        if matches!(initiator.stage, Stage::Settling) {
            let is_last = initiator.loader.to == u64::MAX && !initiator.more;
            let next = match settled {
                true if is_last => Duration::ZERO,
                true => WINDOW_PAUSE,
                false => ANSWER_WITHIN,
            };
            if settled {
                initiator.stage = Stage::Pausing;
            }
            self.compare.timers.arm(Timer::Initiator, cx.now + next);
        }
    }

    pub(super) fn compare_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        while let Some(timer) = self.compare.timers.pop_due(cx.now) {
            match timer {
                Timer::Initiator => self.next_window(cx, out),
                Timer::Responder(peer) => {
                    self.compare.responders.remove(&peer);
                }
                Timer::Missing(peer) => {
                    self.compare.missing.remove(&peer);
                    self.go_on(cx, peer);
                }
            }
        }
    }

    /// The next window, or the next comparison, or none.
    fn next_window(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if let Some(initiator) = self.compare.initiator.take() {
            let (from, to) = initiator.loader.window();
            self.compare.late.retain(|_, until| cx.now < *until);
            if self.compare.late.len() < MAX_LATE {
                self.compare.late.insert(initiator.peer, cx.now + LATE);
            }
            match initiator.stage {
                // A peer that does not answer is asked again later.
                Stage::Loading | Stage::Asked | Stage::Settling => {}
                Stage::Pausing if initiator.more => {
                    self.ask_window(cx, initiator.peer, from, initiator.windows_left, out)
                }
                Stage::Pausing if to == u64::MAX => {}
                Stage::Pausing => self.ask_window(cx, initiator.peer, to, initiator.windows_left, out),
            }
        }
        if self.compare.initiator.is_none()
            && let Some(peer) = self.compare.waiting.pop_front()
        {
            self.ask_window(cx, peer, self.compare_from(peer), MAX_WINDOWS, out);
        }
    }

    /// Below the base of either side there is nothing to compare.
    fn compare_from(&self, peer: NodeId) -> u64 {
        self.logs.get(&self.network).map_or(0, |log| log.headers_from(peer))
    }

    /// Requests the next of the messages missing here from `peer`.
    pub(super) fn want(&mut self, cx: &Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        let Some(missing) = self.compare.missing.get_mut(&peer).filter(|n| !n.asked) else { return };
        let most = MAX_WANTED.min(missing.items.len());
        let items: Vec<MessageId> = missing.items.drain(..most).collect();
        if items.is_empty() {
            self.compare.missing.remove(&peer);
            self.compare.timers.cancel(Timer::Missing(peer));
            return self.go_on(cx, peer);
        }
        missing.asked = true;
        send(self.network, peer, &Sync::Fetch { conversation: self.network, items }, out);
        self.compare.timers.arm(Timer::Missing(peer), cx.now + ANSWER_WITHIN);
    }

    /// The last bundle of an answer came.
    pub(super) fn fetch_ended(&mut self, cx: &Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        if let Some(missing) = self.compare.missing.get_mut(&peer) {
            missing.asked = false;
            self.want(cx, peer, out);
        }
    }

    /// A peer requests runs by their entries.
    pub(super) fn fetched(&mut self, cx: &mut Cx<'_>, peer: NodeId, items: Vec<MessageId>, out: &mut Outbox<Out>) {
        if items.len() > MAX_WANTED {
            return self.drops.count(DropReason::Message);
        }
        let items = items.into_iter().map(Parent::of);
        self.serve(cx, (self.network, peer), items, (true, Some(End::Fetched)), out);
    }
}
