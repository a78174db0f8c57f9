//! Range-based set reconciliation of whole histories, for what heights cannot show: messages missing below a height
//! (rows that a disk lost), and more authors than a list of heights carries.
//!
//! The ids of the network's conversation are read from the store's order index, a window of depths at a
//! time, into a tree on each side, and the trees are reconciled ([`ranges`](super::ranges)). The store
//! itself is read, so the result is what the store has, and a message costs no memory while no comparison
//! runs. Windows go from the oldest to the newest: parents come before their children.
//!
//! This node begins one comparison at a time and answers two; what exceeds that is dropped,
//! and its sender tries again later. A private conversation has two authors, and each keeps only its own
//! messages for the other: heights say all of it.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use crate::chat::catchup::Paused;
use crate::chat::item::Item;
use crate::chat::mend::Mends;
use crate::chat::ranges::{MAX_FOUND, Mode, Outcome, Part, begin, differs, reconcile};
use crate::chat::wire::{MAX_FETCH_MESSAGES, Sync, item_from_key, order_key, record_envelope};
use crate::chat::{BUNDLE_BYTES, Chat, ORDER, Out, send};
use crate::collections::{DeadlineQueue, OrderTree};
use crate::id::{ConversationId, MessageId, NodeId};
use crate::machine::{Cx, Outbox};
use crate::stats::DropReason;
use crate::store::{Record, Scan};
use crate::time::{Duration, Instant};
use crate::wire::content::Position;
use crate::wire::{Blob, Malformed};

/// Records in one read of the order index: 256, and 64 KiB of them.
const READ_RECORDS: u32 = 256;
const READ_BYTES: u32 = 64 << 10;
/// Comparisons of other nodes that are answered at once: 2, each with a tree of its own.
const MAX_HOSTED: usize = 2;
/// An answer may take this long: 30 s; the other side may have to read 20 MB of history first.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The tree of an answered comparison is kept this long after its last message: 30 s.
const HOST_KEPT: Duration = Duration::from_secs(30);
/// After a comparison that this node began, its messages are accepted for this long: 30 s. A link delivers
/// in any order, and the end mark can overtake a bundle of which a packet was lost.
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
/// Nodes that are sent what they lack at once: 8, with up to 4,096 positions each, so 2 MiB.
const MAX_GIFTED: usize = 8;
/// Depths that one read for another node spans at most: 64.
const GIFT_DEPTHS: u64 = 64;

/// Reads the order index between two depths into a tree.
struct Loader {
    tree: OrderTree<Item>,
    from: u64,
    /// Not included. Less than requested if there was more than one window.
    to: u64,
    next_key: Vec<u8>,
    /// The read under way.
    reading: u64,
}

impl Loader {
    fn new(room: ConversationId, from: u64, to: u64) -> Self {
        Self { tree: OrderTree::new(), from, to, next_key: depth_key(room, from), reading: 0 }
    }

    fn scan(&self, room: ConversationId) -> Scan {
        scan(self.next_key.clone(), depth_key(room, self.to), READ_BYTES)
    }

    /// Takes what was read; returns whether the window is complete.
    fn take(&mut self, records: &[Record], most: usize) -> bool {
        for item in records.iter().filter_map(|r| item_from_key(&r.key).ok()) {
            if (self.from..self.to).contains(&item.depth) {
                self.tree.insert(item);
            }
        }
        let Some(last) = records.last().filter(|_| is_cut(records, READ_BYTES)) else { return true };
        self.next_key.clone_from(&last.key);
        self.next_key.push(0);
        // The last depth may be incomplete: the window ends before it. A window of one depth has at
        // most a message of each author.
        let newest = self.tree.select(self.tree.len().saturating_sub(1)).map_or(0, |i| i.depth);
        let full = self.tree.len() >= most && newest > self.from;
        if full {
            self.end_at(newest);
        }
        full
    }

    fn end_at(&mut self, depth: u64) {
        self.to = depth;
        while let Some(last) = self.tree.select(self.tree.len().saturating_sub(1)).filter(|i| i.depth >= depth) {
            self.tree.remove(&last);
        }
    }

    fn window(&self) -> (u64, u64) {
        (self.from, self.to)
    }
}

/// The key before every message of a depth.
fn depth_key(room: ConversationId, depth: u64) -> Vec<u8> {
    order_key(room, Position { depth, author: NodeId([0; 32]), id: MessageId([0; 32]) })
}

fn scan(start: Vec<u8>, end: Vec<u8>, max_bytes: u32) -> Scan {
    Scan { table: ORDER, start, end, reverse: false, limit: READ_RECORDS, max_bytes }
}

/// Whether a read stopped at its count or byte limit, and not at its end.
fn is_cut(records: &[Record], max_bytes: u32) -> bool {
    let bytes = records.iter().fold(0usize, |n, r| n.saturating_add(r.key.len()).saturating_add(r.value.len()));
    records.len() >= READ_RECORDS as usize || bytes > max_bytes as usize
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

struct Asking {
    peer: NodeId,
    loader: Loader,
    stage: Stage,
    /// More was found than one round brings: compare the window again.
    more: bool,
    windows_left: u32,
}

/// A comparison that another node began.
struct Hosting {
    loader: Loader,
    loaded: bool,
    /// What to answer when all is read.
    parts: Vec<Part>,
    /// The window that the initiator compares.
    asked_to: u64,
    /// No other window may begin before this.
    next_window: Instant,
}

/// Messages on their way to a node that lacks them.
#[derive(Default)]
struct Gift {
    items: BTreeSet<Item>,
    /// The peer requested them and waits for the end mark.
    wanted: bool,
    /// What the read under way is for.
    reading: BTreeSet<Item>,
    /// Where to continue a read that did not reach the end of a depth.
    next: Option<(u64, Vec<u8>)>,
}

impl Gift {
    fn len(&self) -> usize {
        self.items.len().saturating_add(self.reading.len())
    }

    fn add(&mut self, items: impl IntoIterator<Item = Item>) {
        let room = MAX_FOUND.saturating_sub(self.len());
        self.items.extend(items.into_iter().take(room));
    }
}

/// Messages that a peer has and this node lacks.
#[derive(Default)]
struct Needs {
    items: VecDeque<Item>,
    asked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Asking,
    Hosting(NodeId),
    Needs(NodeId),
    Late(NodeId),
}

/// What a read is for.
enum Reading {
    Window,
    HostedWindow(NodeId),
    Gift(NodeId),
    Mend,
}

#[derive(Default)]
pub(super) struct Comparisons {
    asking: Option<Asking>,
    /// Nodes to compare with after that.
    waiting: VecDeque<NodeId>,
    hosted: BTreeMap<NodeId, Hosting>,
    /// Recently compared with: messages may still be in flight.
    late: BTreeSet<NodeId>,
    gifts: BTreeMap<NodeId, Gift>,
    needs: BTreeMap<NodeId, Needs>,
    pub(super) mends: Mends,
    reads: BTreeMap<u64, Reading>,
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

    /// Whether a comparison with this node is under way or recently ended, so that it may repair what is below a
    /// height.
    pub(super) fn is_with(&self, peer: NodeId) -> bool {
        let asking = self.asking.as_ref().is_some_and(|a| a.peer == peer);
        asking || self.hosted.contains_key(&peer) || self.late.contains(&peer)
    }

    pub(super) fn len(&self) -> usize {
        let trees = self.asking.iter().map(|a| a.loader.tree.len());
        let hosted = self.hosted.values().map(|h| h.loader.tree.len().saturating_add(h.parts.len()));
        let gifts = self.gifts.values().map(Gift::len);
        let needs = self.needs.values().map(|n| n.items.len());
        let all = trees.chain(hosted).chain(gifts).chain(needs);
        all.fold(0usize, |n, more| n.saturating_add(more).saturating_add(1))
            .saturating_add(self.waiting.len())
            .saturating_add(self.late.len())
            .saturating_add(self.mends.len())
            .saturating_add(self.reads.len())
    }

    pub(super) fn forget_peer(&mut self, peer: NodeId) {
        self.waiting.retain(|p| *p != peer);
        if self.asking.take_if(|a| a.peer == peer).is_some() {
            match self.waiting.is_empty() {
                true => self.timers.cancel(Timer::Asking),
                // At once: the next node's turn.
                false => self.timers.arm(Timer::Asking, Instant::ZERO),
            }
        }
        self.hosted.remove(&peer);
        self.late.remove(&peer);
        self.gifts.remove(&peer);
        self.needs.remove(&peer);
        self.timers.cancel(Timer::Late(peer));
        self.timers.cancel(Timer::Hosting(peer));
        self.timers.cancel(Timer::Needs(peer));
    }
}

impl Chat {
    /// Compares the whole history with `peer`, after the comparisons that are under way or wait.
    pub(super) fn compare_whole(&mut self, cx: &mut Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        match &self.compare.asking {
            None => self.ask_window(cx, peer, 0, MAX_WINDOWS, out),
            Some(asking) if asking.peer == peer => {}
            Some(_) if self.compare.waiting.contains(&peer) => {}
            Some(_) if self.compare.waiting.len() < MAX_WAITING => self.compare.waiting.push_back(peer),
            Some(_) => self.drops.count(DropReason::Queue),
        }
    }

    fn ask_window(&mut self, cx: &mut Cx<'_>, peer: NodeId, from: u64, left: u32, out: &mut Outbox<Out>) {
        let Some(windows_left) = left.checked_sub(1) else {
            self.compare.asking = None;
            return;
        };
        let mut loader = Loader::new(self.network, from, u64::MAX);
        self.compare.timers.arm(Timer::Asking, cx.now + ANSWER_WITHIN);
        self.load(&mut loader, Reading::Window, out);
        self.compare.asking = Some(Asking { peer, loader, stage: Stage::Loading, more: false, windows_left });
    }

    fn load(&mut self, loader: &mut Loader, reading: Reading, out: &mut Outbox<Out>) {
        let id = self.read_id();
        loader.reading = id;
        out.push(Out::Read { read: id, scan: loader.scan(self.network) });
        self.compare.reads.insert(id, reading);
    }

    /// With `barrier` only when everything stored before is on disk.
    pub(super) fn read_mend(&mut self, read: u64, scan: Scan, barrier: bool, out: &mut Outbox<Out>) {
        self.compare.reads.insert(read, Reading::Mend);
        let read = Out::Read { read, scan };
        if barrier { out.after_commit(read) } else { out.push(read) }
    }

    /// Records of a read that a comparison requested; false if no comparison requested it.
    pub(super) fn compare_records(
        &mut self,
        cx: &mut Cx<'_>,
        id: u64,
        records: &[Record],
        out: &mut Outbox<Out>,
    ) -> bool {
        let Some(reading) = self.compare.reads.remove(&id) else { return false };
        match reading {
            Reading::Window => self.window_read(cx, id, records, out),
            Reading::HostedWindow(peer) => self.hosted_window_read(cx, (peer, id), records, out),
            Reading::Gift(peer) => self.gift_read(cx, peer, records, out),
            Reading::Mend => self.mend_read(records, out),
        }
        true
    }

    fn window_read(&mut self, cx: &mut Cx<'_>, id: u64, records: &[Record], out: &mut Outbox<Out>) {
        let most = self.config.limits.compare_items;
        // A read for a comparison that was given up finds another or none.
        let Some(mut asking) = self.compare.asking.take_if(|a| a.loader.reading == id) else { return };
        if asking.loader.take(records, most) {
            let (from, to) = asking.loader.window();
            let parts = begin(&asking.loader.tree, (from, to));
            send(asking.peer, &Sync::Compare { conversation: self.network, from, to, parts }, out);
            asking.stage = Stage::Asked;
        } else {
            self.load(&mut asking.loader, Reading::Window, out);
        }
        self.compare.timers.arm(Timer::Asking, cx.now + ANSWER_WITHIN);
        self.compare.asking = Some(asking);
    }

    /// A peer begins or continues a comparison.
    pub(super) fn host(
        &mut self,
        cx: &mut Cx<'_>,
        peer: NodeId,
        (from, to): (u64, u64),
        parts: Vec<Part>,
        out: &mut Outbox<Out>,
    ) {
        if from >= to {
            return self.drops.count(DropReason::Message);
        }
        if let Some(hosting) = self.compare.hosted.get_mut(&peer) {
            // An initiator that begins again asks for what arrived here since.
            let begins = matches!(parts.as_slice(), [Part { mode: Mode::Fingerprint(_), .. }]);
            if hosting.loaded && hosting.loader.window() == (from, to) && !begins {
                hosting.parts = parts;
                hosting.asked_to = to;
                return self.answer_host(cx, peer, out);
            }
            if !hosting.loaded || cx.now < hosting.next_window {
                return self.drops.count(DropReason::Rate);
            }
        } else if self.compare.hosted.len() >= MAX_HOSTED {
            return self.drops.count(DropReason::Rate);
        }
        let mut loader = Loader::new(self.network, from, to);
        self.load(&mut loader, Reading::HostedWindow(peer), out);
        let next_window = cx.now + WINDOW_LEAST;
        self.compare.hosted.insert(peer, Hosting { loader, loaded: false, parts, asked_to: to, next_window });
        self.compare.timers.arm(Timer::Hosting(peer), cx.now + HOST_KEPT);
    }

    fn hosted_window_read(
        &mut self,
        cx: &mut Cx<'_>,
        (peer, id): (NodeId, u64),
        records: &[Record],
        out: &mut Outbox<Out>,
    ) {
        let most = self.config.limits.compare_items;
        if self.compare.hosted.get(&peer).is_none_or(|h| h.loader.reading != id) {
            return;
        }
        let Some(mut hosting) = self.compare.hosted.remove(&peer) else { return };
        hosting.loaded = hosting.loader.take(records, most);
        if !hosting.loaded {
            self.load(&mut hosting.loader, Reading::HostedWindow(peer), out);
        }
        let loaded = hosting.loaded;
        self.compare.hosted.insert(peer, hosting);
        self.compare.timers.arm(Timer::Hosting(peer), cx.now + HOST_KEPT);
        if loaded {
            self.answer_host(cx, peer, out);
        }
    }

    fn answer_host(&mut self, cx: &mut Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        let Some(hosting) = self.compare.hosted.get_mut(&peer) else { return };
        let (from, to) = hosting.loader.window();
        let parts = core::mem::take(&mut hosting.parts);
        let tree = &hosting.loader.tree;
        let answer = if to < hosting.asked_to {
            // More is here than fits one window: the next window takes the rest.
            Ok(Outcome { parts: differs(tree, (from, to)), ..Outcome::default() })
        } else {
            reconcile(tree, (from, to), &parts)
        };
        match answer {
            Ok(outcome) => {
                let parts = self.settle_found(cx, peer, outcome, out);
                send(peer, &Sync::Compared { conversation: self.network, from, to, parts }, out);
                self.compare.timers.arm(Timer::Hosting(peer), cx.now + HOST_KEPT);
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
        let is_answer = |a: &mut Asking| {
            a.peer == peer && matches!(a.stage, Stage::Asked) && a.loader.from == from && from < to && to <= a.loader.to
        };
        let Some(mut asking) = self.compare.asking.take_if(is_answer) else {
            return self.drops.count(DropReason::Message);
        };
        if to < asking.loader.to {
            asking.loader.end_at(to);
        }
        let Ok(outcome) = reconcile(&asking.loader.tree, (from, to), parts) else {
            // At once: the next node's turn.
            self.compare.timers.arm(Timer::Asking, cx.now);
            return self.drops.count(DropReason::Message);
        };
        asking.more |= outcome.more;
        let parts = self.settle_found(cx, peer, outcome, out);
        if parts.is_empty() {
            asking.stage = Stage::Settling;
        } else {
            send(peer, &Sync::Compare { conversation: self.network, from, to, parts }, out);
        }
        self.compare.asking = Some(asking);
        self.compare.timers.arm(Timer::Asking, cx.now + ANSWER_WITHIN);
        self.go_on(cx, peer);
    }

    /// Sends what the other side lacks, requests what is missing here, and passes on what is open.
    fn settle_found(&mut self, cx: &mut Cx<'_>, peer: NodeId, found: Outcome, out: &mut Outbox<Out>) -> Vec<Part> {
        let gifts = &mut self.compare.gifts;
        if !found.give.is_empty() && (gifts.len() < MAX_GIFTED || gifts.contains_key(&peer)) {
            gifts.entry(peer).or_default().add(found.give);
            self.give(cx, peer, out);
        }
        if !found.need.is_empty() {
            let needs = self.compare.needs.entry(peer).or_default();
            let room = MAX_FOUND.saturating_sub(needs.items.len());
            needs.items.extend(found.need.into_iter().take(room));
            self.want(cx, peer, out);
        }
        found.parts
    }

    /// Pauses before the next window if everything found is settled.
    fn go_on(&mut self, cx: &Cx<'_>, peer: NodeId) {
        let settled = !self.compare.gifts.contains_key(&peer) && !self.compare.needs.contains_key(&peer);
        let Some(asking) = self.compare.asking.as_mut().filter(|a| a.peer == peer) else { return };
        if matches!(asking.stage, Stage::Settling) {
            let is_last = asking.loader.to == u64::MAX && !asking.more;
            let next = match settled {
                true if is_last => Duration::ZERO,
                true => WINDOW_PAUSE,
                false => ANSWER_WITHIN,
            };
            if settled {
                asking.stage = Stage::Pausing;
            }
            self.compare.timers.arm(Timer::Asking, cx.now + next);
        }
    }

    pub(super) fn compare_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        while let Some(timer) = self.compare.timers.pop_due(cx.now) {
            match timer {
                Timer::Asking => self.next_window(cx, out),
                Timer::Hosting(peer) => {
                    self.compare.hosted.remove(&peer);
                }
                Timer::Needs(peer) => {
                    self.compare.needs.remove(&peer);
                    self.go_on(cx, peer);
                }
                Timer::Late(peer) => {
                    self.compare.late.remove(&peer);
                }
            }
        }
        if self.compare.asking.is_none() && self.compare.hosted.is_empty() && self.compare.late.is_empty() {
            for _ in 0..self.compare.mends.give_up() {
                self.drops.count(DropReason::Duplicate);
            }
        }
    }

    /// The next window, or the next comparison, or none.
    fn next_window(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if let Some(asking) = self.compare.asking.take() {
            let (from, to) = asking.loader.window();
            let peer = asking.peer;
            match asking.stage {
                // A peer that does not answer is asked again later.
                Stage::Loading | Stage::Asked | Stage::Settling => {}
                Stage::Pausing if asking.more => self.ask_window(cx, asking.peer, from, asking.windows_left, out),
                Stage::Pausing if to == u64::MAX => {}
                Stage::Pausing => self.ask_window(cx, asking.peer, to, asking.windows_left, out),
            }
            if self.compare.asking.is_none() && self.compare.late.len() < MAX_LATE {
                self.compare.late.insert(peer);
                self.compare.timers.arm(Timer::Late(peer), cx.now + LATE);
            }
        }
        if self.compare.asking.is_none()
            && let Some(peer) = self.compare.waiting.pop_front()
        {
            self.ask_window(cx, peer, 0, MAX_WINDOWS, out);
        }
    }

    /// Requests the next of the messages missing here from `peer`.
    pub(super) fn want(&mut self, cx: &Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        let Some(needs) = self.compare.needs.get_mut(&peer).filter(|n| !n.asked) else { return };
        let most = usize::try_from(MAX_FETCH_MESSAGES).unwrap_or(usize::MAX).min(needs.items.len());
        let items: Vec<Item> = needs.items.drain(..most).collect();
        if items.is_empty() {
            self.compare.needs.remove(&peer);
            self.compare.timers.cancel(Timer::Needs(peer));
            return self.go_on(cx, peer);
        }
        needs.asked = true;
        send(peer, &Sync::Want { conversation: self.network, items }, out);
        self.compare.timers.arm(Timer::Needs(peer), cx.now + ANSWER_WITHIN);
    }

    /// The last bundle of an answer came.
    pub(super) fn wanted_came(&mut self, cx: &Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        if let Some(needs) = self.compare.needs.get_mut(&peer) {
            needs.asked = false;
            self.want(cx, peer, out);
        }
    }

    /// A peer requests messages by their positions.
    pub(super) fn wanted(&mut self, cx: &Cx<'_>, peer: NodeId, items: Vec<Item>, out: &mut Outbox<Out>) {
        let most = usize::try_from(MAX_FETCH_MESSAGES).unwrap_or(usize::MAX);
        let is_open = self.compare.gifts.len() < MAX_GIFTED || self.compare.gifts.contains_key(&peer);
        if items.len() > most || !is_open {
            return self.drops.count(DropReason::Rate);
        }
        let gift = self.compare.gifts.entry(peer).or_default();
        gift.add(items);
        gift.wanted = true;
        self.give(cx, peer, out);
    }

    /// Reads the next of what `peer` lacks, as soon as the rate of catching up allows.
    pub(super) fn give(&mut self, cx: &Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        let room = self.network;
        let Some(gift) = self.compare.gifts.get_mut(&peer).filter(|g| g.reading.is_empty()) else { return };
        let Some(first) = gift.items.first().map(|i| i.depth) else {
            let wanted = gift.wanted;
            self.compare.gifts.remove(&peer);
            if wanted {
                send(peer, &Sync::Bundle { conversation: room, envelopes: Vec::new(), done: true }, out);
            }
            return;
        };
        if self.pace.is_spent(cx.now) {
            return self.paused.push_back(Paused::Gift(peer));
        }
        let beyond = Item { depth: first.saturating_add(GIFT_DEPTHS), id: MessageId([0; 32]) };
        let later = gift.items.split_off(&beyond);
        gift.reading = core::mem::replace(&mut gift.items, later);
        let end = gift.reading.last().map_or(first, |i| i.depth).saturating_add(1);
        let start = match gift.next.take() {
            Some((depth, key)) if depth == first => key,
            Some(_) | None => depth_key(room, first),
        };
        let id = self.read_id();
        out.push(Out::Read { read: id, scan: scan(start, depth_key(room, end), BUNDLE_BYTES as u32) });
        self.compare.reads.insert(id, Reading::Gift(peer));
    }

    fn gift_read(&mut self, cx: &Cx<'_>, peer: NodeId, records: &[Record], out: &mut Outbox<Out>) {
        let Some(gift) = self.compare.gifts.get_mut(&peer) else { return };
        let mut asked = core::mem::take(&mut gift.reading);
        let mut envelopes = Vec::new();
        for record in records {
            if let (Ok(item), Ok((_, envelope))) = (item_from_key(&record.key), record_envelope(&record.value))
                && asked.remove(&item)
            {
                envelopes.push(Blob(envelope.to_vec()));
            }
        }
        // Where the read stopped early, the next read takes the rest; all else is sent or is not here.
        if let Some(last) = records.last().filter(|_| is_cut(records, BUNDLE_BYTES as u32))
            && let Ok(Item { depth, .. }) = item_from_key(&last.key)
        {
            let mut key = last.key.clone();
            key.push(0);
            gift.next = Some((depth, key));
            gift.items.extend(asked.into_iter().filter(|i| i.depth >= depth));
        }
        let conversation = self.network;
        self.pace.spend(envelopes.iter().map(|e| e.0.len()).fold(0, usize::saturating_add));
        for envelopes in bundles(envelopes) {
            send(peer, &Sync::Bundle { conversation, envelopes, done: false }, out);
        }
        self.give(cx, peer, out);
        self.go_on(cx, peer);
    }
}

/// Envelopes in messages of about [`BUNDLE_BYTES`].
pub(super) fn bundles(envelopes: Vec<Blob>) -> Vec<Vec<Blob>> {
    let mut all = Vec::new();
    let mut bundle = Vec::new();
    let mut bytes = 0usize;
    for envelope in envelopes {
        if bytes.saturating_add(envelope.0.len()) > BUNDLE_BYTES && !bundle.is_empty() {
            all.push(core::mem::take(&mut bundle));
            bytes = 0;
        }
        bytes = bytes.saturating_add(envelope.0.len());
        bundle.push(envelope);
    }
    if !bundle.is_empty() {
        all.push(bundle);
    }
    all
}
