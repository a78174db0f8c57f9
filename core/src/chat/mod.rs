//! Conversations: messages in causal order, equal on every node, with no server and no clock on the wall.
//!
//! Each author keeps a log of entries. An entry names its past by depth and hash, and is taken, shown, passed on and
//! acknowledged only when all of its past is here (docs/design/log.md). So a node that brings an entry holds its past;
//! depths follow from what is named and cannot be invented; and the verdict on an entry is the same on every node. The
//! display order is depth, then hash. Broadcast runs carry their author's signature; what is said of a private
//! conversation, its history included, is sealed for the other side.

mod base;
mod clock;
mod compare;
mod confirmed;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
mod contract;
mod draft;
mod groups;
mod heads;
mod hidden;
mod holders;
mod interface;
mod item;
mod keys;
mod known;
mod lives;
mod log;
mod pace;
mod page;
mod people;
mod policy;
mod prune;
mod pull;
pub(crate) mod ranges;
mod receipts;
mod retain;
mod rows;
mod say;
mod serve;
mod sync;
mod take;
mod typing;
mod unread;
mod vouch;
mod waiting;
pub(crate) mod wire;

use crate::collections::{OrderedMap, OrderedSet, ShortId, short};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::config::Config;
use crate::fact::{Fact, RoundTrip};
use crate::id::{ConversationId, Life, MessageId, NodeId};
use crate::identity::Identity;
use crate::machine::{Command, Cx, Machine, Outbox, Setup};
use crate::planted::{Bug, planted};
use crate::stats::{DropReason, Drops, Stats};
use crate::store::{Record, Scan, Table};
use crate::time::{Duration, Instant, soonest};
use crate::wire::content::{Conversation, group_conversation, network_conversation, private_conversation};
use crate::wire::entry::Run;
use crate::wire::{Malformed, decode, encode};

use base::Leftover;
use compare::Comparisons;
use draft::Draft;

use groups::{Groups, Newcomer};
use hidden::Revealed;
pub(crate) use interface::{In, Out};
use keys::Keys;
use log::{Log, Need, State};
use pace::Pace;
pub(crate) use page::History;
use page::{Query, Scroll};
use people::People;
use policy::Policy;
use prune::Pruning;
use pull::Pulls;
pub(crate) use receipts::Confirm;
pub use receipts::Confirmations;
use receipts::Receipts;
use rows::{CONFIRMATIONS, CONVERSATIONS, EDITS, ENTRIES, NUMBERS, RETENTION};
pub(crate) use say::{BeginLife, Say, Stand};
use serve::Serving;
use sync::send;
pub(crate) use typing::Type;
use typing::Typing;
use unread::Counting;
pub(crate) use unread::{DeleteConversation, MarkRead};
use vouch::Polls;
use waiting::{Key, Source, Waiting};

/// The first comparison of the whole history after a start comes when a 24th of the usual time has passed, an
/// hour: a node that never runs for a day compares too.
const FIRST_VERIFY: u32 = 24;
/// What catching up brought is announced to the neighbours after this: 2 s ± 50 %, so that entries that come together
/// are announced once.
const NEWS_AFTER: Duration = Duration::from_secs(2);
/// Runs that go into one bundle, in bytes: 48 KiB leaves room in one link message for the largest one more.
const BUNDLE_BYTES: usize = 48 << 10;
/// Nodes to compare with when a link to them opens.
const MAX_COMPARE: usize = 64;

/// What a read is for.
#[derive(Debug)]
enum Reading {
    /// What a verdict takes.
    Past {
        key: Key,
        need: Need,
    },
    /// The next life of a conversation, and its tip.
    NextLife(ConversationId),
    LifeTip(ConversationId),
    /// A part of the answer to a `Pull`.
    Pull(NodeId, ConversationId),
    /// A run that a peer asked for.
    Serve((NodeId, ConversationId, bool)),
    /// A window of a comparison that this node began, or that a peer began.
    Window(u64),
    ResponderWindow(NodeId, u64),
    /// Parts of a page.
    PageRows(Query),
    PageRun(Query),
    PageEdits(Query),
    /// Whether what a peer asks about is held.
    Holds(NodeId),
    /// What the user has not read of a conversation.
    Unread(Counting),
    /// Runs before a place, for a peer that scrolls.
    Older(NodeId, ConversationId),
    /// The newest entries of a group whose members changed, and entries to be reported.
    LookThrough(ConversationId, u64),
    Revealed(Revealed),
    /// The newest entries of a group that a newcomer may read.
    Where(Newcomer),
    /// Rows of a conversation that was begun anew.
    Leftover(Leftover),
    /// Rows of a walk that deletes, and what was done to messages whose texts are gone.
    Prune(ConversationId),
    PruneEdits(OrderedSet<MessageId>),
}

/// Work for others that waits for its turn.
#[derive(Clone, Copy, Debug)]
enum Paused {
    Pull(NodeId, ConversationId),
    Serve((NodeId, ConversationId, bool)),
}

pub(crate) struct Chat {
    identity: Identity,
    me: NodeId,
    network: ConversationId,
    logs: OrderedMap<ConversationId, Log>,
    /// The private conversations of `logs`, by the other side: deriving an id costs as much as all else in a call.
    private: OrderedMap<NodeId, ConversationId>,
    /// Conversations that changed since the last output, and since when.
    unsaved: OrderedSet<ConversationId>,
    unsaved_retention: OrderedSet<ConversationId>,
    unsaved_since: Instant,
    next_number: u32,
    neighbours: OrderedSet<NodeId>,
    /// Linked nodes and their round trips, once measured.
    linked: OrderedMap<NodeId, Option<Duration>>,
    /// Linked nodes of low power, if this one is none: they compare when they wake.
    low_power: OrderedSet<NodeId>,
    /// Up to where the user read conversations on its devices: as many as it shares registers.
    read_elsewhere: OrderedMap<ConversationId, MessageId>,
    /// Authors whose messages are not shown.
    blocked: OrderedSet<NodeId>,
    /// Authors whose messages make no events.
    muted: OrderedSet<NodeId>,
    groups: Groups,
    people: People,
    keys: Keys,
    /// Said since the last output.
    draft: Option<Draft>,
    waiting: Waiting,
    /// To be judged again: empty between calls.
    woken: VecDeque<Key>,
    pulls: Pulls,
    /// Conversations with more lives than a list of heights carries.
    too_many: OrderedSet<ConversationId>,
    serving: Serving,
    receipts: Receipts,
    typing: Typing,
    polls: Polls,
    /// Pages that wait for what a peer has below the base.
    scrolls: Vec<Scroll>,
    pruning: Pruning,
    compare: Comparisons,
    /// To be compared with when a link opens.
    compare_with: OrderedSet<NodeId>,
    /// The rate at which peers may catch up here, and what waits for it.
    pace: Pace,
    paused: VecDeque<Paused>,
    reads: OrderedMap<u64, Reading>,
    next_read: u64,
    compare_at: Option<Instant>,
    /// When to announce that catching up brought something.
    news_at: Option<Instant>,
    /// When the whole history is next compared.
    verify_at: Option<Instant>,
    sweep_at: Option<Instant>,
    /// When this node merges heads without saying anything.
    merge_at: Option<Instant>,
    config: Config,
    drops: Drops,
    messages: u64,
}

impl Chat {
    fn new(config: &Config, identity: &Identity) -> Self {
        Self {
            identity: identity.clone(),
            me: identity.node_id(),
            network: network_conversation(&config.network_key),
            logs: OrderedMap::new(),
            private: OrderedMap::new(),
            unsaved: OrderedSet::new(),
            unsaved_retention: OrderedSet::new(),
            unsaved_since: Instant::ZERO,
            next_number: 1,
            neighbours: OrderedSet::new(),
            linked: OrderedMap::new(),
            low_power: OrderedSet::new(),
            read_elsewhere: OrderedMap::new(),
            blocked: OrderedSet::new(),
            muted: OrderedSet::new(),
            groups: Groups::default(),
            people: People::default(),
            keys: Keys::default(),
            draft: None,
            waiting: Waiting::default(),
            woken: VecDeque::new(),
            pulls: Pulls::default(),
            too_many: OrderedSet::new(),
            serving: Serving::default(),
            receipts: Receipts::default(),
            typing: Typing::default(),
            polls: Polls::default(),
            scrolls: Vec::new(),
            pruning: Pruning::default(),
            compare: Comparisons::default(),
            compare_with: OrderedSet::new(),
            pace: Pace::new(config.chat.catch_up_rate),
            paused: VecDeque::new(),
            reads: OrderedMap::new(),
            next_read: 1,
            compare_at: None,
            news_at: None,
            verify_at: None,
            sweep_at: None,
            merge_at: None,
            config: config.clone(),
            drops: Drops::default(),
            messages: 0,
        }
    }

    /// Takes back one record of [`CONVERSATIONS`], and then one of [`RETENTION`] or [`CONFIRMATIONS`].
    fn restore(&mut self, Record { table, key, value }: &Record) -> Result<(), Malformed> {
        let conversation = ConversationId(key.as_slice().try_into().map_err(|_| Malformed)?);
        if *table == CONFIRMATIONS {
            let stored = decode(value, 1 << 20)?;
            if let Some(log) = self.logs.get_mut(&conversation) {
                log.confirmed.restore(stored);
            }
            return Ok(());
        }
        if *table == RETENTION {
            let log = self.logs.get_mut(&conversation).ok_or(Malformed)?;
            log.retention.restore(decode(value, 1 << 20)?);
            return Ok(());
        }
        let state: State = decode(value, 1 << 20)?;
        self.next_number = self.next_number.max(state.number.saturating_add(1));
        let policy = match state.kind {
            Conversation::Private(person) => {
                self.private.insert(person, conversation);
                self.private_policy(person)
            }
            Conversation::Network | Conversation::Group(_) => Policy::new(state.kind, self.me),
        };
        self.logs.insert(conversation, Log::restore(conversation, policy, self.me, state));
        Ok(())
    }

    /// Stores what is known of conversations that changed, once for all that is stored together.
    fn save(&mut self, out: &mut Outbox<Out>) {
        while let Some(conversation) = self.unsaved.pop_first() {
            if let Some(log) = self.logs.get(&conversation) {
                out.put(CONVERSATIONS, conversation.0.to_vec(), encode(&log.state()));
            }
        }
        self.save_retention(out);
    }

    /// Runs held because a part of their past is missing.
    pub(crate) fn pending(&self) -> usize {
        self.waiting.len()
    }

    /// Whether messages of this author make events.
    fn reports(&self, author: NodeId) -> bool {
        let silent = self.muted.contains(&author) && !self.config.chat.report_muted;
        author != self.me && !silent && !self.blocked.contains(&author)
    }

    /// Whether there is this conversation.
    pub(crate) fn knows(&self, conversation: Conversation) -> bool {
        self.logs.contains_key(&self.id_of(conversation))
    }

    fn id_of(&self, conversation: Conversation) -> ConversationId {
        match conversation {
            Conversation::Network => self.network,
            Conversation::Private(peer) => match self.private.get(&self.person_of(peer)) {
                Some(id) => *id,
                None => private_conversation(self.person_of(self.me), self.person_of(peer)),
            },
            Conversation::Group(group) => group_conversation(group),
        }
    }

    /// The rules of a conversation that a node speaks of; none if it takes no part in it.
    fn policy(&self, conversation: ConversationId, with: NodeId) -> Option<Policy> {
        if conversation == self.network {
            return Some(Policy::new(Conversation::Network, self.me));
        }
        let policy = match self.person_behind(conversation, with) {
            Some(person) => Some(self.private_policy(person)),
            None => self.groups.policy(conversation, self.me),
        };
        policy.filter(|policy| policy.may_sync(with))
    }

    /// The log of a conversation, made if there is none and there is space.
    fn log(&mut self, cx: &mut Cx<'_>, kind: Conversation, out: &mut Outbox<Out>) -> Option<&mut Log> {
        let id = self.id_of(kind);
        if !self.logs.contains_key(&id) {
            if self.logs.len() >= self.config.limits.conversations {
                return None;
            }
            let policy = match kind {
                Conversation::Private(peer) => {
                    let person = self.person_of(peer);
                    self.private.insert(person, id);
                    out.push(Out::Private);
                    self.private_policy(person)
                }
                Conversation::Network | Conversation::Group(_) => {
                    self.groups.policy(id, self.me).unwrap_or_else(|| Policy::new(kind, self.me))
                }
            };
            self.logs.insert(id, Log::new(id, self.next_number, policy, self.me, Life(cx.rng.bytes())));
            self.next_number = self.next_number.saturating_add(1);
        }
        self.logs.get_mut(&id)
    }

    /// Reads the store as it is with all that was taken so far: a verdict on an older one takes what is on its way to
    /// the disk for lost, and a peer would not get it. Only a page is as good without, and there if the disk is full.
    fn read(&mut self, reading: Reading, scan: Scan, out: &mut Outbox<Out>) {
        let read = self.next_read;
        self.next_read = read.wrapping_add(1);
        let is_page = matches!(reading, Reading::PageRows(_) | Reading::PageRun(_) | Reading::PageEdits(_));
        self.reads.insert(read, reading);
        let wanted = Out::Read { read, scan };
        if is_page || planted(Bug::VerdictOnAnOldDisk) { out.push(wanted) } else { out.after_commit(wanted) }
    }

    fn direct(&mut self, cx: &mut Cx<'_>, from: NodeId, id: ShortId, bytes: Vec<u8>, out: &mut Outbox<Out>) {
        let kind = Conversation::Private(from);
        let conversation = self.id_of(kind);
        let run = Run::decode_plain(conversation, bytes).ok().filter(|_| self.speaks(from));
        // Only who deleted its body serves a header: an author has it.
        let genuine =
            |r: &Run| !r.is_bare() && r.log.author == from && r.last().is_some_and(|last| short(&last.hash) == id);
        let is_said = run.as_ref().is_some_and(|r| r.log.author == from);
        let Some(run) = run.filter(genuine) else {
            self.drops.count(DropReason::Message);
            if is_said && self.is_unknown(from) {
                // It may be a device of a person whose list is not here: it comes again when the list is.
                return out.push(Out::Unknown(from));
            }
            return out.push(Out::DirectValidated { from, id, accepted: false });
        };
        if self.log(cx, kind, out).is_none() {
            return self.drops.count(DropReason::Rate);
        }
        self.offer(cx, conversation, run, Source::Delivery { from, id }, out);
    }

    fn broadcast(&mut self, cx: &mut Cx<'_>, from: NodeId, id: ShortId, bytes: Vec<u8>, out: &mut Outbox<Out>) {
        let conversation = self.network;
        // Only who deleted its body serves a header: an author has it.
        let Some(run) = Run::decode_signed(conversation, bytes).ok().filter(|run| !run.is_bare()) else {
            self.drops.count(DropReason::Message);
            // A forwarder decodes a broadcast first.
            out.push(Out::Forged(from));
            return out.push(Out::GossipValidated { id, genuine: false });
        };
        if self.log(cx, Conversation::Network, out).is_none() {
            self.drops.count(DropReason::Message);
            return out.push(Out::GossipValidated { id, genuine: false });
        }
        self.offer(cx, conversation, run, Source::Gossip { from, id }, out);
    }

    /// Continues what waited for the rate of catching up.
    fn unpause(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        for _ in 0..self.paused.len() {
            if self.pace.is_spent(cx.now) {
                return;
            }
            match self.paused.pop_front() {
                Some(Paused::Pull(peer, conversation)) => self.answer_pull(cx, peer, conversation, out),
                Some(Paused::Serve(key)) => self.serve_next(cx, key, out),
                None => return,
            }
        }
    }

    fn pace_at(&self) -> Option<Instant> {
        (!self.paused.is_empty()).then(|| self.pace.next())
    }
}

/// Whether a read stopped at its count or byte limit, and not at its end.
fn is_cut(records: &[Record], limit: u32, max_bytes: u32) -> bool {
    let bytes = records.iter().fold(0usize, |n, r| n.saturating_add(r.key.len()).saturating_add(r.value.len()));
    records.len() >= limit as usize || bytes > max_bytes as usize
}

impl Machine for Chat {
    const NAME: &'static str = "chat";
    const TABLES: &'static [(&'static str, Table)] = &[
        ("conversations", CONVERSATIONS),
        ("entries", ENTRIES),
        ("numbers", NUMBERS),
        ("edits", EDITS),
        ("retention", RETENTION),
        ("confirmations", CONFIRMATIONS),
    ];
    type In = In;
    type Out = Out;

    fn open(setup: Setup<'_>, records: Vec<Record>, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Result<Self, Malformed> {
        let mut opened = Self::new(setup.config, setup.identity);
        // What is known of a conversation comes after what it is.
        let (conversations, more): (Vec<&Record>, Vec<&Record>) =
            records.iter().partition(|r| r.table == CONVERSATIONS);
        for record in conversations.into_iter().chain(more) {
            opened.restore(record)?;
        }
        if !opened.private.is_empty() {
            out.push(Out::Private);
        }
        opened.prune_often(cx.now);
        Ok(opened)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other facts concern other machines")]
    fn fact(&mut self, cx: &mut Cx<'_>, fact: &Fact, out: &mut Outbox<Out>) {
        self.sign(cx, out);
        match fact {
            Fact::LinkUp { peer, record, .. } => {
                if record.speaks_first_to(self.config.power) {
                    self.low_power.insert(*peer);
                }
                self.link_up(cx, *peer, out);
            }
            Fact::LinkDown { peer, .. } => self.link_down(*peer, out),
            Fact::RoundTrips(all) => {
                for RoundTrip { peer, rtt, .. } in all {
                    if let Some(known) = self.linked.get_mut(peer) {
                        *known = *rtt;
                    }
                }
            }
            Fact::NeighbourUp(peer) => self.neighbour_up(cx, *peer, out),
            Fact::NeighbourDown(peer) => {
                self.neighbours.remove(peer);
                if self.neighbours.is_empty() {
                    self.compare_at = None;
                }
            }
            // This node slept: it compares with a neighbour at once.
            Fact::Blocked(peer) => drop(self.blocked.insert(*peer)),
            Fact::Unblocked(peer) => drop(self.blocked.remove(peer)),
            Fact::Muted(peer) => drop(self.muted.insert(*peer)),
            Fact::Unmuted(peer) => drop(self.muted.remove(peer)),
            Fact::Resumed => self.compare_at = self.compare_at.map(|_| cx.now),
            _ => {}
        }
    }

    fn records(&mut self, cx: &mut Cx<'_>, read: u64, records: Vec<Record>, out: &mut Outbox<Out>) {
        self.sign(cx, out);
        match self.reads.remove(&read) {
            Some(Reading::Past { key, need }) => self.past_read(cx, key, need, &records, out),
            Some(Reading::NextLife(conversation)) => self.next_life_read(cx, conversation, &records, out),
            Some(Reading::LifeTip(conversation)) => self.life_tip_read(conversation, &records, out),
            Some(Reading::Pull(peer, conversation)) => self.pull_read(cx, peer, conversation, &records, out),
            Some(Reading::Serve(key)) => self.serve_read(cx, key, &records, out),
            Some(Reading::Window(number)) => self.window_read(cx, number, &records, out),
            Some(Reading::ResponderWindow(peer, number)) => {
                self.responder_window_read(cx, (peer, number), &records, out)
            }
            Some(Reading::PageRows(query)) => self.page_rows(query, &records, out),
            Some(Reading::PageRun(query)) => self.page_run(query, &records, out),
            Some(Reading::PageEdits(query)) => self.page_edits(query, &records, out),
            Some(Reading::Unread(counting)) => self.unread_read(cx, counting, &records, out),
            Some(Reading::Holds(peer)) => self.holds_read(peer, &records, out),
            Some(Reading::Older(peer, conversation)) => self.older_read(peer, conversation, &records, out),
            Some(Reading::LookThrough(id, taken)) => self.looked_through((id, taken), &records, out),
            Some(Reading::Revealed(revealed)) => self.revealed_read(revealed, &records, out),
            Some(Reading::Where(newcomer)) => self.where_read(cx, newcomer, &records, out),
            Some(Reading::Leftover(left)) => self.leftover_read(cx, left, &records, out),
            Some(Reading::Prune(conversation)) => self.prune_read(cx, conversation, &records, out),
            Some(Reading::PruneEdits(emptied)) => self.prune_edits(&emptied, &records, out),
            None => {}
        }
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: In, out: &mut Outbox<Out>) {
        self.sign(cx, out);
        match input {
            In::DirectReceived { from, id, body } => self.direct(cx, from, id, body, out),
            In::GossipReceived { via, id, body } => self.broadcast(cx, via, id, body, out),
            In::Message { from, body } => self.sync(cx, from, &body, false, out),
            In::Opened { from, body } => self.sync(cx, from, &body, true, out),
            In::Ready(peer) => {
                self.greet_in_private(cx, peer, out);
                self.greet_in_groups(cx, peer, out);
            }
            In::Devices { person, devices } => self.devices_known(cx, person, devices),
            In::Group { group, view } => self.group_view(cx, group, view, out),
            In::Vetted { group, author, context, may, members } => {
                self.vetted(cx, (group, author, context), (may, members), out);
            }
            In::Stand(group) => Stand { group }.run(self, cx, out),
            In::Where { group, member, history } => self.where_from(cx, Newcomer { group, member, history }, out),
            In::Carried { group, via, body } => self.carried(cx, (group, via), body, out),
            In::Delivered { to, id } => self.delivered(cx, to, id),
            In::ReadElsewhere { conversation, upto } => self.read_elsewhere(cx, conversation, upto, out),
            In::Compare { peer, linked: true } => self.compare_all(cx, peer, out),
            In::Compare { peer, linked: false } => {
                if self.compare_with.len() < MAX_COMPARE {
                    self.compare_with.insert(peer);
                }
            }
            In::CompareAll => {
                for peer in self.neighbours.clone() {
                    if self.knows(Conversation::Private(peer)) {
                        self.pull(cx, self.id_of(Conversation::Private(peer)), peer, true, out);
                    }
                    self.pull(cx, self.network, peer, true, out);
                }
                for conversation in self.groups.conversations() {
                    for peer in self.holders(conversation) {
                        self.pull(cx, conversation, peer, true, out);
                    }
                }
            }
        }
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.sign(cx, out);
        if self.waiting.next_ask().is_some_and(|at| at <= cx.now) {
            self.ask(cx, out);
        }
        self.pull_timeout(cx, out);
        self.poll_timeout(cx, out);
        self.prune_timeout(cx, out);
        self.scroll_timeout(cx, out);
        self.receipts_timeout(cx, out);
        self.typing_timeout(cx.now, out);
        if self.news_at.take_if(|at| *at <= cx.now).is_some() {
            self.announce(cx, out);
        }
        if self.merge_at.take_if(|at| *at <= cx.now).is_some() {
            self.merge(cx, out);
        }
        if self.compare_at.is_some_and(|at| at <= cx.now) {
            // A neighbour of low power compares when it wakes.
            let wakeful = self.neighbours.iter().copied().filter(|p| !self.low_power.contains(p));
            let neighbours: Vec<NodeId> = wakeful.collect();
            if let Some(&to) = cx.rng.pick(&neighbours) {
                self.greet(cx, self.network, to, out);
                if self.verify_at.is_none_or(|at| at <= cx.now) {
                    self.verify_at = Some(cx.now + cx.rng.jitter(self.config.chat.verify_every, 50));
                    self.compare_whole(cx, to, out);
                    self.clear_leftovers(out);
                }
            }
            self.compare_groups(cx, out);
            self.compare_at = Some(cx.now + cx.rng.jitter(self.config.chat.compare_every, 50));
        }
        self.tell_timeout(cx, out);
        self.compare_timeout(cx, out);
        if self.pace_at().is_some_and(|at| at <= cx.now) {
            self.unpause(cx, out);
        }
        if self.sweep_at.is_some_and(|at| at <= cx.now) {
            self.waiting.expire(cx.now.before(self.config.chat.pending_for));
            self.sweep_at = (self.waiting.len() > 0).then(|| cx.now + self.config.chat.pending_for);
        }
        self.save(out);
    }

    fn next_deadline(&self) -> Option<Instant> {
        soonest(self.pressing_deadline(), soonest(self.compare_at, self.sweep_at))
    }

    fn pressing_deadline(&self) -> Option<Instant> {
        let unsigned = self.draft.as_ref().map(|d| d.since);
        let unsigned = soonest(unsigned, (!self.unsaved.is_empty()).then_some(self.unsaved_since));
        let timers = soonest(unsigned, self.waiting.next_ask());
        let syncs = soonest(self.pulls.deadline(), soonest(self.merge_at, self.news_at));
        let syncs = soonest(syncs, soonest(self.receipts.deadline(), self.typing.deadline()));
        let syncs = soonest(syncs, soonest(self.polls.deadline(), soonest(self.pruning.at, self.scroll_deadline())));
        let syncs = soonest(syncs, self.people.deadline());
        soonest(soonest(timers, syncs), soonest(self.compare.deadline(), self.pace_at()))
    }

    fn footprint(&self) -> usize {
        let logs = self.logs.values().fold(0usize, |n, log| n.saturating_add(log.entries()).saturating_add(1));
        logs.saturating_add(self.waiting.len())
            .saturating_add(self.pulls.len())
            .saturating_add(self.serving.len())
            .saturating_add(self.receipts.len())
            .saturating_add(self.typing.len())
            .saturating_add(self.scrolls.len())
            .saturating_add(self.polls.len())
            .saturating_add(self.pruning.len())
            .saturating_add(self.compare.len())
            .saturating_add(self.compare_with.len())
            .saturating_add(self.paused.len())
            .saturating_add(self.reads.len())
            .saturating_add(self.neighbours.len())
            .saturating_add(self.linked.len())
            .saturating_add(self.low_power.len())
            .saturating_add(self.keys.len())
            .saturating_add(self.groups.len())
            .saturating_add(self.private.len())
            .saturating_add(self.read_elsewhere.len())
            .saturating_add(self.people.len())
            .saturating_add(self.unsaved.len())
            .saturating_add(self.unsaved_retention.len())
            .saturating_add(self.draft.as_ref().map_or(0, Draft::len))
    }

    fn count(&self, stats: &mut Stats) {
        stats.drops.add(&self.drops);
        stats.messages = self.messages;
    }

    #[cfg(any(test, debug_assertions))]
    fn check(&self) -> Result<(), &'static str> {
        self.people.check()?;
        if !self.woken.is_empty() {
            return Err("runs that were woken are left over");
        }
        self.waiting.check()?;
        self.logs.values().try_for_each(Log::check)
    }
}

#[cfg(test)]
mod tests;
