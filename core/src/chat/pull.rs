//! Catching up: what a peer has beyond this node comes in the order of depth, so that all of it can be taken as it
//! comes (docs/design/log.md §8).
//!
//! Nodes that meet compare a hash of how far each life goes. Where it differs, a node says how far the lives go with it
//! and gets what is beyond, in both directions. One peer a conversation is asked at a time.

use crate::collections::{Backoff, OrderedMap, OrderedSet};
use alloc::vec::Vec;

use crate::chat::known::Tip;
use crate::chat::lives::{Beyond, MAX_LIVES};
use crate::chat::log::Log;
use crate::chat::rows::{At, ENTRIES, Held, Row, entry_key, next_life_scan, number_row, tip_scan};
use crate::chat::wire::{End, Height, Holding, MAX_WANTED, Sync};
use crate::chat::{BUNDLE_BYTES, Chat, NEWS_AFTER, Out, Reading, send};
use crate::id::{ConversationId, GroupId, MessageId, NodeId};
use crate::machine::{Cx, Outbox};
use crate::planted::{Bug, planted};
use crate::stats::DropReason;
use crate::store::{Record, Scan};
use crate::time::{Duration, Instant};
use crate::wire::Blob;
use crate::wire::content::Conversation;
use crate::wire::entry::{LifeId, Parent};

/// A peer that sends nothing for this long does not answer: 2 s, a slow link's round trip with one loss.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Bytes in answer to one `Pull`: 192 KiB, what 64 fragments a message carry at three messages.
const ANSWER_BYTES: usize = 192 << 10;
/// Rows of one read.
const READ_ROWS: u32 = 256;
/// Answers under way: 64. A peer beyond it asks again later.
const MAX_ANSWERS: usize = 64;
/// Heights in one message: as many as there are lives in memory, with up to eight branches.
const MAX_HEIGHTS: usize = 2 * MAX_LIVES;
/// What a hash shows to be missing is asked for after this, if it did not come by itself: 500 ms. That is a batch of
/// ids, `gossip.graft_after` and a slow round trip of 150 ms: the tree mends itself first, which also brings what comes
/// next.
const GAP: Duration = Duration::from_millis(500);
/// A private gap is asked for after this: 5 s. The sender's outbox fills it first if it still has it.
const PRIVATE_GAP: Duration = Duration::from_secs(5);
/// One peer's answer may take this long before another peer has its turn: 30 s, an answer of the greatest size at
/// 64 kbit/s.
const TURN: Duration = Duration::from_secs(30);
/// A peer whose answer brought nothing is asked again after this: 1 s, doubled with each such answer up to a minute.
const VAIN: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// Forked lives are compared with a peer at most once a minute (docs/design/log.md §5), and ever more rarely while it
/// goes on claiming branches.
const FORKS: Backoff = Backoff::new(Duration::from_secs(60), Duration::from_secs(86_400));

/// Bodies that are wanted are asked for this often at most: every 30 s.
const WANTED_EVERY: Duration = Duration::from_secs(30);

/// What this node fetches.
#[derive(Debug)]
struct Asked {
    peer: NodeId,
    began: Instant,
    until: Instant,
    /// Something came that was new.
    fruitful: bool,
}

/// What a peer is sent.
#[derive(Debug)]
struct Answering {
    heights: OrderedMap<LifeId, u64>,
    next_key: Vec<u8>,
    sent: usize,
}

#[derive(Debug, Default)]
pub(super) struct Pulls {
    asked: OrderedMap<ConversationId, Asked>,
    /// To be asked next.
    waiting: OrderedMap<ConversationId, OrderedSet<NodeId>>,
    /// What peers have that differs, and when it is asked for.
    gaps: OrderedMap<(ConversationId, NodeId), (Instant, [u8; 16])>,
    answering: OrderedMap<(NodeId, ConversationId), Answering>,
    /// Lives that are being read after a start, with their tips; peers that wait for that.
    loading: OrderedMap<ConversationId, Loading>,
    /// Answers of peers that brought nothing, in a row, and when the peer may be asked again.
    vain: OrderedMap<(ConversationId, NodeId), Pause>,
    /// Comparisons of forked lives with a peer.
    forks: OrderedMap<NodeId, Pause>,
}

/// A pause that doubles.
#[derive(Clone, Copy, Debug)]
struct Pause {
    times: u32,
    until: Instant,
}

impl Pause {
    fn longer(before: Option<Self>, backoff: Backoff, now: Instant) -> Self {
        let times = before.map_or(0, |pause| pause.times.saturating_add(1));
        Self { times, until: now + backoff.nominal(times) }
    }
}

#[derive(Debug, Default)]
struct Loading {
    lives: Vec<(LifeId, Tip, u64)>,
    /// The depth of the first entry of the life whose tip is read.
    first: u64,
    peers: OrderedSet<NodeId>,
}

impl Pulls {
    pub(super) fn len(&self) -> usize {
        let waiting = self.waiting.values().fold(0usize, |n, w| n.saturating_add(w.len()));
        let answering = self.answering.values().fold(0usize, |n, a| n.saturating_add(a.heights.len()));
        let loading = self.loading.values().fold(0usize, |n, l| n.saturating_add(l.lives.len()));
        let pauses = self.vain.len().saturating_add(self.forks.len());
        let all = [self.asked.len(), waiting, self.gaps.len(), answering, loading, pauses];
        all.into_iter().fold(0, usize::saturating_add)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let asked = self.asked.values().map(|a| a.until);
        asked.chain(self.gaps.values().map(|(at, _)| *at)).min()
    }

    pub(super) fn forget_peer(&mut self, peer: NodeId) {
        for asked in self.asked.values_mut().filter(|a| a.peer == peer) {
            // At once: the next peer's turn.
            asked.until = Instant::ZERO;
        }
        self.waiting.values_mut().for_each(|w| {
            w.remove(&peer);
        });
        self.gaps.retain(|(_, p), _| *p != peer);
        self.answering.retain(|(p, _), _| *p != peer);
        self.vain.retain(|(_, p), _| *p != peer);
        self.forks.remove(&peer);
        self.loading.values_mut().for_each(|l| {
            l.peers.remove(&peer);
        });
    }
}

impl Chat {
    /// Says to a peer what is here, in one hash. A peer with another one asks.
    pub(super) fn greet(&mut self, cx: &mut Cx<'_>, conversation: ConversationId, peer: NodeId, out: &mut Outbox<Out>) {
        let Some(log) = self.logs.get_mut(&conversation) else { return };
        let mut holding = log.holding(&self.config.chat, cx.wall);
        // Of most that lies below it a newcomer of a group has no bodies.
        let own = log.policy.reader(self.me).map_or(0, |reader| reader.from);
        holding.floor = holding.floor.max(own);
        let from = log.line(peer);
        let hash = log.lives.digest(from);
        let is_unread = hash.is_none() && !self.too_many.contains(&conversation);
        if is_unread {
            return self.load(conversation, Some(peer), out);
        }
        log.holders.said(peer, from);
        send(self.network, peer, &Sync::Digest { conversation, holding, from, hash }, out);
        if hash.is_none() {
            // Too many lives for a list: the order itself is compared.
            self.compare_newest(cx, conversation, peer, out);
        }
    }

    /// Reads the lives of a conversation from the store.
    fn load(&mut self, conversation: ConversationId, peer: Option<NodeId>, out: &mut Outbox<Out>) {
        let is_new = !self.pulls.loading.contains_key(&conversation);
        self.pulls.loading.entry(conversation).or_default().peers.extend(peer);
        if is_new {
            self.next_life(conversation, None, out);
        }
    }

    fn next_life(&mut self, conversation: ConversationId, after: Option<LifeId>, out: &mut Outbox<Out>) {
        let Some(log) = self.logs.get(&conversation) else { return };
        let scan = next_life_scan(log.number, after);
        self.read(Reading::NextLife(conversation), scan, out);
    }

    /// The first record of the next life.
    pub(super) fn next_life_read(
        &mut self,
        cx: &mut Cx<'_>,
        conversation: ConversationId,
        records: &[Record],
        out: &mut Outbox<Out>,
    ) {
        let Some(log) = self.logs.get_mut(&conversation) else { return };
        let found = records.first().and_then(|r| number_row(r).ok());
        let full = self.pulls.loading.get(&conversation).is_none_or(|l| l.lives.len() > MAX_LIVES);
        match found.filter(|_| !full) {
            Some((life, first)) => {
                if let Some(loading) = self.pulls.loading.get_mut(&conversation) {
                    loading.first = first.id.depth;
                }
                let scan = tip_scan(log.number, life);
                self.read(Reading::LifeTip(conversation), scan, out);
            }
            None => {
                let Some(Loading { lives, peers, .. }) = self.pulls.loading.remove(&conversation) else { return };
                let joined = log.joined();
                log.lives.loaded(lives, joined);
                if !log.lives.is_complete() {
                    self.too_many.insert(conversation);
                }
                for peer in peers {
                    self.greet(cx, conversation, peer, out);
                }
            }
        }
    }

    pub(super) fn life_tip_read(&mut self, conversation: ConversationId, records: &[Record], out: &mut Outbox<Out>) {
        let Some((life, tip)) = records.first().and_then(|r| number_row(r).ok()) else { return };
        let joined = self.logs.get(&conversation).map_or(0, Log::joined);
        if let Some(loading) = self.pulls.loading.get_mut(&conversation).filter(|_| tip.id.depth >= joined) {
            loading.lives.push((life, tip, loading.first));
        }
        self.next_life(conversation, Some(life), out);
    }

    /// A peer says what it has.
    pub(super) fn digest(
        &mut self,
        cx: &mut Cx<'_>,
        conversation: ConversationId,
        from: NodeId,
        (holding, line, hash): (Holding, u64, Option<[u8; 16]>),
        out: &mut Outbox<Out>,
    ) {
        if let Some(log) = self.logs.get_mut(&conversation) {
            log.holders.state(from, holding, cx.now);
        }
        self.choose_base(cx, conversation, out);
        self.ask_wanted(cx, conversation, from, out);
        let private_gap = if self.is_own(from) { GAP } else { PRIVATE_GAP };
        // A conversation that only the peer knows: this node's store may be older than it.
        let gap = match (self.logs.get_mut(&conversation), hash) {
            (Some(log), Some(_)) if !log.lives.is_complete() => return self.greet(cx, conversation, from, out),
            // It says its heights from a depth on from which this node has not all.
            (Some(log), Some(_)) if line < log.joined() => return self.greet(cx, conversation, from, out),
            (Some(log), Some(_)) if log.lives.digest(line) == hash => {
                let said = log.holders.said(from, line);
                log.caught_up();
                log.all_held(from);
                self.report_later(cx.now, conversation);
                self.caught_up(conversation, out);
                self.say_again(conversation, out);
                if said < line {
                    // It could not compare with what this node said before.
                    self.greet(cx, conversation, from, out);
                }
                return self.settled(conversation, from, out);
            }
            (Some(log), _) if log.policy.is_signed() && log.is_empty() => {
                return self.pull(cx, conversation, from, true, out);
            }
            // The peer compares the order itself.
            (Some(_), None) => return,
            (Some(log), Some(_)) if log.policy.is_signed() => GAP,
            (None, _) if planted(Bug::ForgottenStaysForgotten) => return,
            (Some(_) | None, _) => private_gap,
        };
        self.pull_at(conversation, from, cx.now + gap, hash.unwrap_or_default());
    }

    /// A peer with another hash is asked for what it has then.
    pub(super) fn pull_at(&mut self, conversation: ConversationId, peer: NodeId, then: Instant, hash: [u8; 16]) {
        let (at, known) = self.pulls.gaps.entry((conversation, peer)).or_insert((then, hash));
        (*at, *known) = ((*at).min(then), hash);
    }

    /// Asks a peer for bodies that are wanted.
    fn ask_wanted(&mut self, cx: &Cx<'_>, conversation: ConversationId, peer: NodeId, out: &mut Outbox<Out>) {
        let others = self.holders(conversation);
        let Some(log) = self.logs.get_mut(&conversation) else { return };
        // In a private one each is asked: only the author and own devices bring it, and what is wanted does not say whose it is.
        let asks_all = log.policy.is_private();
        if log.holders.ask_wanted_at > cx.now && !asks_all {
            return;
        }
        // A peer that failed is asked last: if no other may bring them. It may have been out of reach.
        let brings = |id: &MessageId| {
            let may = |p: NodeId| log.holders.may_bring(p, id.depth, cx.now);
            asks_all || may(peer) || !others.iter().any(|p| may(*p)) && log.holders.says_to_have(peer, id.depth)
        };
        let parents: Vec<Parent> = log.wanted().filter(brings).take(MAX_WANTED).map(Parent::of).collect();
        if !parents.is_empty() {
            log.holders.ask_wanted_at = cx.now + WANTED_EVERY;
            send(self.network, peer, &Sync::Want { conversation, parents }, out);
        }
    }

    pub(super) fn is_pulling(&self, conversation: ConversationId, peer: NodeId) -> bool {
        self.pulls.asked.get(&conversation).is_some_and(|a| a.peer == peer)
    }

    /// Whether a peer may be asked for what it has: its last answers did not bring nothing.
    pub(super) fn may_pull(&self, conversation: ConversationId, peer: NodeId, now: Instant) -> bool {
        self.pulls.vain.get(&(conversation, peer)).is_none_or(|pause| pause.until <= now)
    }

    /// Asks a peer for all that is beyond what is here.
    pub(super) fn pull(
        &mut self,
        cx: &mut Cx<'_>,
        conversation: ConversationId,
        peer: NodeId,
        answer: bool,
        out: &mut Outbox<Out>,
    ) {
        if self.logs.get(&conversation).is_some_and(|log| !log.lives.is_complete()) {
            return self.greet(cx, conversation, peer, out);
        }
        let peers = self.holders(conversation);
        if let Some(log) = self.logs.get(&conversation)
            && log.is_newcomer()
            && log.holders.get(peer).is_some_and(|h| h.page > 0)
            && !log.holders.are_enough(&peers, cx.now)
            && let Some(then) = log.holders.enough_at()
        {
            // More than a page is there: where to begin is not for one peer to say.
            return self.pull_at(conversation, peer, then, [0; 16]);
        }
        self.choose_base(cx, conversation, out);
        if !self.may_pull(conversation, peer, cx.now) {
            return;
        }
        if self.pulls.asked.contains_key(&conversation) {
            if !self.is_pulling(conversation, peer) {
                self.pulls.waiting.entry(conversation).or_default().insert(peer);
            }
            return;
        }
        let log = self.logs.get(&conversation);
        let from = log.map_or(0, Log::joined);
        let heights = log.map_or_else(Vec::new, |log| log.lives.heights(from));
        send(self.network, peer, &Sync::Pull { conversation, from, heights, answer }, out);
        self.pulls
            .asked
            .insert(conversation, Asked { peer, began: cx.now, until: cx.now + ANSWER_WITHIN, fruitful: false });
    }

    /// A peer asks for what is beyond its heights.
    pub(super) fn pulled(
        &mut self,
        cx: &mut Cx<'_>,
        conversation: ConversationId,
        from: NodeId,
        (line, heights): (u64, Vec<Height>),
        answer: bool,
        out: &mut Outbox<Out>,
    ) {
        if heights.len() > MAX_HEIGHTS {
            return self.drops.count(DropReason::Message);
        }
        let Some(log) = self.logs.get_mut(&conversation) else {
            return send(
                self.network,
                from,
                &Sync::Runs { conversation, runs: Vec::new(), end: End::Pulled { more: false } },
                out,
            );
        };
        log.heard_heights(from, &heights);
        self.report_later(cx.now, conversation);
        self.prune_later(cx.now, conversation);
        let Some(log) = self.logs.get_mut(&conversation) else { return };
        let line = line.max(log.joined());
        let beyond = match heights.is_empty() {
            // A newcomer gets all from a depth on: that takes no list.
            true => Beyond { ahead: log.deepest() >= line && !log.is_empty(), from_depth: line, forks: false },
            false if !log.lives.is_complete() => return self.greet(cx, conversation, from, out),
            false => log.lives.beyond(&heights, line),
        };
        let number = log.number;
        let lacks = log.lives.lacks(&heights, log.joined());
        let one_way = planted(Bug::OneWayCatchUp) && lacks && beyond.ahead;
        let pause = self.pulls.forks.get(&from).copied();
        if beyond.forks && pause.is_none_or(|p| p.until <= cx.now) {
            self.pulls.forks.insert(from, Pause::longer(pause, FORKS, cx.now));
            self.compare_whole(cx, from, out);
        }
        if answer && lacks && !one_way {
            self.pull(cx, conversation, from, false, out);
        }
        if !beyond.ahead || one_way {
            return send(
                self.network,
                from,
                &Sync::Runs { conversation, runs: Vec::new(), end: End::Pulled { more: false } },
                out,
            );
        }
        if self.pulls.answering.len() >= MAX_ANSWERS {
            return self.drops.count(DropReason::Rate);
        }
        let mut known: OrderedMap<LifeId, u64> = OrderedMap::new();
        for height in &heights {
            let seq = known.entry(height.log).or_default();
            *seq = height.seq.max(*seq);
        }
        let next_key = entry_key(number, MessageId::first_of(beyond.from_depth));
        self.pulls.answering.insert((from, conversation), Answering { heights: known, next_key, sent: 0 });
        self.answer_pull(cx, from, conversation, out);
    }

    /// Reads the next part of an answer, as soon as the rate of catching up allows.
    pub(super) fn answer_pull(
        &mut self,
        cx: &mut Cx<'_>,
        peer: NodeId,
        conversation: ConversationId,
        out: &mut Outbox<Out>,
    ) {
        let Some(answering) = self.pulls.answering.get(&(peer, conversation)) else { return };
        let Some(log) = self.logs.get(&conversation) else { return };
        if self.pace.is_spent(cx.now) {
            return self.paused.push_back(super::Paused::Pull(peer, conversation));
        }
        let scan = Scan {
            table: ENTRIES,
            start: answering.next_key.clone(),
            end: entry_key(log.number.saturating_add(1), MessageId::first_of(0)),
            reverse: false,
            limit: READ_ROWS,
            max_bytes: BUNDLE_BYTES as u32,
        };
        self.read(Reading::Pull(peer, conversation), scan, out);
    }

    pub(super) fn pull_read(
        &mut self,
        cx: &mut Cx<'_>,
        peer: NodeId,
        conversation: ConversationId,
        records: &[Record],
        out: &mut Outbox<Out>,
    ) {
        let Some(answering) = self.pulls.answering.get_mut(&(peer, conversation)) else { return };
        // What is read is paid for, whether it is sent or not: a question costs the peer that asks.
        self.pace.spend(records.iter().fold(0usize, |n, r| n.saturating_add(r.value.len())));
        let mut runs = Vec::new();
        for row in records.iter().filter_map(|r| Row::read(&r.value).ok()) {
            let known = answering.heights.get(&row.log).copied().unwrap_or(0);
            if let At::End(Held { run, .. }) = row.at
                && row.seq > known
            {
                answering.sent = answering.sent.saturating_add(run.0.len());
                runs.push(run);
            }
        }
        let is_last = !super::is_cut(records, READ_ROWS, BUNDLE_BYTES as u32);
        if let Some(last) = records.last() {
            answering.next_key.clone_from(&last.key);
            answering.next_key.push(0);
        }
        let cut = answering.sent >= ANSWER_BYTES;
        if planted(Bug::FetchOffByOne) && is_last {
            runs.pop();
        }
        self.give(conversation, peer, runs, out);
        if is_last || cut {
            self.pulls.answering.remove(&(peer, conversation));
            let end = End::Pulled { more: cut && !is_last };
            return send(self.network, peer, &Sync::Runs { conversation, runs: Vec::new(), end }, out);
        }
        self.answer_pull(cx, peer, conversation, out);
    }

    /// Something new came from a peer.
    pub(super) fn progress(&mut self, cx: &mut Cx<'_>, conversation: ConversationId, peer: NodeId, by_pull: bool) {
        if let Some(asked) = self.pulls.asked.get_mut(&conversation).filter(|a| a.peer == peer) {
            asked.fruitful = true;
            asked.until = (cx.now + ANSWER_WITHIN).min(asked.began + TURN);
        }
        self.pulls.vain.remove(&(conversation, peer));
        let signed = self.logs.get(&conversation).is_some_and(|l| l.policy.is_signed());
        if by_pull && signed && self.news_at.is_none() {
            self.news_at = Some(cx.now + cx.rng.jitter(NEWS_AFTER, 50));
        }
    }

    /// The answer of a peer is complete.
    pub(super) fn pull_ended(
        &mut self,
        cx: &mut Cx<'_>,
        conversation: ConversationId,
        peer: NodeId,
        more: bool,
        out: &mut Outbox<Out>,
    ) {
        let Some(asked) = self.pulls.asked.get(&conversation).filter(|a| a.peer == peer) else { return };
        let fruitful = asked.fruitful;
        self.pulls.asked.remove(&conversation);
        if !fruitful {
            let pause = self.pulls.vain.get(&(conversation, peer)).copied();
            self.pulls.vain.insert((conversation, peer), Pause::longer(pause, VAIN, cx.now));
        }
        if more && fruitful {
            return self.pull(cx, conversation, peer, false, out);
        }
        if let Some(log) = self.logs.get_mut(&conversation) {
            log.caught_up();
        }
        self.caught_up(conversation, out);
        self.say_again(conversation, out);
        self.settled(conversation, peer, out);
        self.next_pull(cx, conversation, out);
    }

    /// All that this peer has is here.
    fn settled(&mut self, conversation: ConversationId, peer: NodeId, out: &mut Outbox<Out>) {
        if conversation == self.network {
            out.push(Out::Compared(peer));
        }
    }

    /// A newcomer of a group speaks from now on.
    fn caught_up(&self, conversation: ConversationId, out: &mut Outbox<Out>) {
        if let Some(Conversation::Group(group)) = self.logs.get(&conversation).map(|log| log.policy.kind()) {
            out.push(Out::CaughtUp(group));
        }
    }

    fn next_pull(&mut self, cx: &mut Cx<'_>, conversation: ConversationId, out: &mut Outbox<Out>) {
        let Some(peer) = self.pulls.waiting.get_mut(&conversation).and_then(OrderedSet::pop_first) else {
            self.pulls.waiting.remove(&conversation);
            return;
        };
        self.pull(cx, conversation, peer, true, out);
    }

    pub(super) fn pull_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let due = |at: Instant| at <= cx.now;
        let late: Vec<ConversationId> =
            self.pulls.asked.iter().filter(|(_, a)| due(a.until)).map(|(id, _)| *id).collect();
        let gaps: Vec<((ConversationId, NodeId), [u8; 16])> =
            self.pulls.gaps.iter().filter(|(_, (at, _))| due(*at)).map(|(key, (_, hash))| (*key, *hash)).collect();
        for conversation in late {
            self.pulls.asked.remove(&conversation);
            self.next_pull(cx, conversation, out);
        }
        for ((conversation, peer), hash) in gaps {
            self.pulls.gaps.remove(&(conversation, peer));
            if self.logs.get(&conversation).is_some_and(|log| log.lives.digest(log.line(peer)) == Some(hash)) {
                self.settled(conversation, peer, out);
            } else {
                self.pull(cx, conversation, peer, true, out);
            }
        }
    }
}

impl Chat {
    /// Sends runs to a peer, without the bodies that it may not read.
    pub(super) fn give(&self, conversation: ConversationId, peer: NodeId, runs: Vec<Blob>, out: &mut Outbox<Out>) {
        let Some(policy) = self.logs.get(&conversation).map(|log| &log.policy) else { return };
        let reads_all = policy.reader(peer).is_none_or(|reader| reader.from == 0);
        let mut asks = None;
        let readable = |Blob(bytes): Blob| {
            if reads_all {
                return Some(Blob(bytes));
            }
            let run = policy.decode(conversation, bytes).ok()?;
            let may = self.may_read(conversation, peer, &run);
            if let (None, Some(context)) = (may, &run.context) {
                // It asks again for the bodies.
                asks =
                    Some(Out::Vet { group: GroupId(conversation.0), author: run.log.author, context: context.clone() });
            }
            let given = if may == Some(true) { Ok(run) } else { run.without_bodies() };
            given.ok().map(|run| Blob(run.bytes))
        };
        let runs: Vec<Blob> = runs.into_iter().filter_map(readable).collect();
        asks.into_iter().for_each(|ask| out.push(ask));
        for runs in bundles(runs) {
            send(self.network, peer, &Sync::Runs { conversation, runs, end: End::Open }, out);
        }
    }
}

/// Runs in messages of about [`BUNDLE_BYTES`].
pub(super) fn bundles(runs: Vec<Blob>) -> Vec<Vec<Blob>> {
    let mut all = Vec::new();
    let mut bundle = Vec::new();
    let mut bytes = 0usize;
    for run in runs {
        if bytes.saturating_add(run.0.len()) > BUNDLE_BYTES && !bundle.is_empty() {
            all.push(core::mem::take(&mut bundle));
            bytes = 0;
        }
        bytes = bytes.saturating_add(run.0.len());
        bundle.push(run);
    }
    if !bundle.is_empty() {
        all.push(bundle);
    }
    all
}
