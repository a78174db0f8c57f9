//! Files that members of a conversation send each other (docs/design/files.md).
//!
//! A file is sealed part by part under a key of its own, which stands in the message that names the file, and is named by
//! the hash of its sealed bytes. Members pull its parts from any node that has them and verify each by itself. A node
//! gives a file to those with whom it shared it, and only as long as they are members.

mod commands;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub(crate) mod contract;
mod fetch;
mod held;
mod parts;
mod people;
mod sealed;
mod serve;
#[cfg(test)]
mod tests;
mod tree;
pub(crate) mod wire;

use alloc::vec::Vec;

use crate::collections::{OrderedMap, OrderedSet};
use crate::config::FileConfig;
use crate::fact::Fact;
use crate::file::fetch::{Came, Fetch};
use crate::file::held::{File, Row};
use crate::file::parts::Held;
use crate::file::people::People;
use crate::file::sealed::Proven;
use crate::file::serve::Serving;
use crate::file::wire::Message;
use crate::id::{FileId, GroupId, NodeId};
use crate::limits::Limits;
use crate::machine::{Cx, Machine, Outbox, Setup};
use crate::shared::Arc;
use crate::stats::{DropReason, Drops, Stats};
use crate::store::{Record, Scan, Table};
use crate::time::{Duration, Instant, soonest};
use crate::wire::content::{Attachment, Conversation};
use crate::wire::group::GroupView;
use crate::wire::{Malformed, Priority, decode};

pub(crate) use commands::{AddPart, Begin, Finish, ReadPart, Remove, Share, StartFetch};
pub use held::FileInfo;
pub use sealed::{FileDraft, SealedFile};

/// What is known of a file, under its id.
const FILES: Table = Table::hot(52);
/// Which of its parts are here, under its id and a number of 1,024 parts.
const HAVE: Table = Table::hot(53);
/// Its parts, sealed, each behind its proof, under its id and their number.
const PARTS: Table = Table::cold(48);

/// Files that are fetched at once; the others wait for their turn.
const MAX_ACTIVE: usize = 4;
/// A fetch without a new part gives its turn to another after this.
const TURN: Duration = Duration::from_secs(60);
/// Conversations in which a node shares one file.
const MAX_SHARED: usize = 16;
/// The longest row of what is known of a file.
const MAX_ROW: usize = 2_048;

#[derive(Debug)]
pub(crate) enum In {
    /// A message of another node.
    Message { from: NodeId, body: Vec<u8> },
    /// What is known of a group now; none when this node is no member any more.
    Group { group: GroupId, view: Option<Arc<GroupView>> },
    /// A message that names a file is in a conversation.
    Named { conversation: Conversation, author: NodeId, file: Attachment },
    /// The devices of a person, as far as its list is here.
    Devices { person: NodeId, devices: Vec<NodeId> },
}

#[derive(Debug)]
pub(crate) enum Out {
    Send {
        to: NodeId,
        priority: Priority,
        body: Vec<u8>,
    },
    Want(NodeId),
    Unwant(NodeId),
    /// Read a cold record; answered under the same number.
    Read {
        read: u64,
        scan: Scan,
    },
    /// A file is here whole.
    Complete(FileId),
    /// More of a file is here.
    Progress {
        file: FileId,
        bytes: u64,
        size: u64,
        holders: usize,
    },
    /// The answer to a read of the application: the bytes of a part, none if it is not here.
    PartRead {
        query: u64,
        bytes: Option<Vec<u8>>,
    },
}

/// What a read is for.
#[derive(Debug)]
enum Reading {
    /// A part for another node.
    Serve { to: NodeId, file: FileId, part: u32 },
    /// A part for the application.
    Part { query: u64, file: FileId, part: u32 },
}

pub(crate) struct Files {
    me: NodeId,
    files: OrderedMap<FileId, File>,
    groups: OrderedMap<GroupId, Arc<GroupView>>,
    people: People,
    linked: OrderedSet<NodeId>,
    /// INVARIANT: the nodes that a fetch whose turn it is wants a link with.
    wanted: OrderedSet<NodeId>,
    serving: Serving,
    reads: OrderedMap<u64, Reading>,
    next_read: u64,
    next_order: u64,
    config: FileConfig,
    limits: Limits,
    drops: Drops,
}

/// The key of a part or of a row of parts.
fn part_key(file: FileId, number: u32) -> Vec<u8> {
    [file.0.as_slice(), &number.to_be_bytes()].concat()
}

/// The end of all keys of a file.
fn after(file: FileId) -> Vec<u8> {
    [file.0.as_slice(), &[0xff; 5]].concat()
}

impl Files {
    fn restore(&mut self, records: Vec<Record>, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Result<(), Malformed> {
        for record in &records {
            if record.table == FILES {
                let file = FileId(record.key.as_slice().try_into().map_err(|_| Malformed)?);
                let row: Row = decode(&record.value, MAX_ROW)?;
                let order = self.order();
                self.files.insert(file, File::restore(row, order, cx)?);
            }
        }
        for record in records.iter().filter(|r| r.table == HAVE) {
            let (file, row) = record.key.split_first_chunk().ok_or(Malformed)?;
            let row = u32::from_be_bytes(row.try_into().map_err(|_| Malformed)?);
            match self.files.get_mut(&FileId(*file)) {
                Some(known) => known.have.restore(row, &record.value)?,
                // It was being added when the node ended.
                None => Self::erase(FileId(*file), out),
            }
        }
        Ok(())
    }

    fn order(&mut self) -> u64 {
        let order = self.next_order;
        self.next_order = order.wrapping_add(1);
        order
    }

    /// Removes what is stored of a file.
    fn erase(file: FileId, out: &mut Outbox<Out>) {
        out.delete(FILES, file.0.to_vec());
        out.delete_range(HAVE, file.0.to_vec(), after(file));
        out.delete_range(PARTS, file.0.to_vec(), after(file));
    }

    /// The devices of both sides of the private conversation with a person.
    fn sides(&self, peer: NodeId) -> Vec<NodeId> {
        let mut all = self.people.devices_of(peer);
        all.extend(self.people.devices_of(self.me));
        all
    }

    /// Whether a node may have what is said in a conversation now.
    fn is_reader(&self, node: NodeId, conversation: Conversation) -> bool {
        match conversation {
            Conversation::Network => true,
            Conversation::Private(peer) => self.sides(peer).contains(&node),
            Conversation::Group(group) => self.groups.get(&group).is_some_and(|v| v.devices.contains_key(&node)),
        }
    }

    /// Whether a node may have a file: it is here, and this node shared it with that node or got it with it.
    fn may_have(&self, node: NodeId, file: FileId) -> bool {
        let shared = self.files.get(&file).map(|f| &f.shared);
        shared.is_some_and(|shared| shared.iter().any(|conversation| self.is_reader(node, *conversation)))
    }

    /// Nodes that may hold a file that is fetched, best first, and whether there is a link with each.
    fn candidates(&self, fetch: &Fetch, cx: &mut Cx<'_>) -> Vec<(NodeId, bool)> {
        let mut nodes: Vec<NodeId> = match fetch.conversation {
            Conversation::Network => self.linked.iter().copied().collect(),
            Conversation::Private(peer) => self.sides(peer),
            Conversation::Group(group) => {
                self.groups.get(&group).map(|v| v.devices.keys().copied().collect()).unwrap_or_default()
            }
        };
        // From anywhere on, so that not all who look begin with the same.
        let start = cx.rng.below(nodes.len());
        nodes.rotate_left(start);
        // A link that is there costs nothing.
        nodes.sort_by_key(|node| !self.linked.contains(node));
        let author = fetch.from.filter(|author| self.is_reader(*author, fetch.conversation));
        let all = author.into_iter().chain(nodes).filter(|node| *node != self.me);
        all.map(|node| (node, self.linked.contains(&node))).collect()
    }

    /// The fetches whose turn it is, and whether another of the same kind waits for its place. What a person asked for goes
    /// first: what came unasked is named by others, which may name what no node has. One place stays for it.
    fn turns(&self) -> Vec<(FileId, bool)> {
        let mut asked: Vec<((u32, u64), FileId)> = Vec::new();
        let mut unasked: Vec<((u32, u64), FileId)> = Vec::new();
        for (id, file) in &self.files {
            let Some(fetch) = &file.fetch else { continue };
            let kind = if file.unasked { &mut unasked } else { &mut asked };
            // One that had no turn yet goes before those that got nothing in theirs.
            kind.push(((fetch.turns, fetch.order), *id));
        }
        let for_asked = MAX_ACTIVE.saturating_sub(usize::from(!unasked.is_empty())).min(asked.len());
        let for_unasked = MAX_ACTIVE.saturating_sub(for_asked);
        let first = |mut fetches: Vec<((u32, u64), FileId)>, places: usize| {
            fetches.sort_unstable();
            let waits = fetches.len() > places;
            fetches.into_iter().take(places).map(move |(_, id)| (id, waits))
        };
        first(asked, for_asked).chain(first(unasked, for_unasked)).collect()
    }

    fn active(&self) -> Vec<FileId> {
        self.turns().into_iter().map(|(id, _)| id).collect()
    }

    fn send(to: NodeId, message: &Message, out: &mut Outbox<Out>) {
        // What a person waits for least: chat and keys go first.
        out.push(Out::Send { to, priority: Priority::Low, body: message.encode() });
    }

    /// Looks for holders and asks for parts, for all fetches whose turn it is.
    fn go_on(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let active = self.active();
        // One that came unasked may have lost its place to what a person asked for.
        let others = self.files.iter_mut().filter(|(id, _)| !active.contains(*id));
        others.filter_map(|(_, f)| f.fetch.as_mut()).for_each(Fetch::pause);
        for id in active {
            if let Some(fetch) = self.files.get_mut(&id).and_then(|f| f.fetch.as_mut()) {
                fetch.begin_turn(cx.now);
            }
            let looks = self.files.get(&id).and_then(|f| f.fetch.as_ref()).filter(|fetch| fetch.looks(cx.now));
            let candidates = looks.map(|fetch| self.candidates(fetch, cx));
            let Some(file) = self.files.get_mut(&id) else { continue };
            let Some(fetch) = file.fetch.as_mut() else { continue };
            let mut questions = match candidates {
                Some(candidates) => fetch.look(cx.now, candidates, id),
                None => Vec::new(),
            };
            questions.extend(fetch.fill(&file.have, cx.now, id));
            questions.iter().for_each(|(to, question)| Self::send(*to, question, out));
        }
        self.want_links(out);
    }

    /// What is wanted of links now.
    fn want_links(&mut self, out: &mut Outbox<Out>) {
        let active = self.active();
        let fetches = active.iter().filter_map(|id| self.files.get(id)?.fetch.as_ref());
        let wanted: OrderedSet<NodeId> = fetches.flat_map(Fetch::nodes).collect();
        for gone in self.wanted.iter().filter(|p| !wanted.contains(*p)) {
            out.push(Out::Unwant(*gone));
        }
        for new in wanted.iter().filter(|p| !self.wanted.contains(*p)) {
            out.push(Out::Want(*new));
        }
        self.wanted = wanted;
    }

    fn message(&mut self, cx: &mut Cx<'_>, from: NodeId, body: &[u8], out: &mut Outbox<Out>) {
        let Ok(message) = Message::decode(body) else { return self.drops.count(DropReason::Message) };
        match message {
            Message::Ask { file } => {
                if !self.serving.answers(from, cx.now) {
                    return self.drops.count(DropReason::Rate);
                }
                let may = self.may_have(from, file);
                let parts = self.files.get(&file).filter(|_| may).map_or(Held::Nothing, |f| f.have.held());
                Self::send(from, &Message::Has { file, parts }, out);
            }
            Message::Get { file, parts } => self.get(cx, from, file, &parts, out),
            Message::Has { file, parts } => {
                let now = cx.now;
                let known = self.files.get_mut(&file).and_then(|f| Some((f.have.total(), f.fetch.as_mut()?)));
                let Some((total, fetch)) = known.filter(|(_, fetch)| fetch.answers(from)) else {
                    // It was not asked: what it says would cost a search for missing parts each time.
                    return self.drops.count(DropReason::Duplicate);
                };
                if fetch.has(from, parts, total, now).is_err() {
                    fetch.avoid(from, true, now);
                    self.drops.count(DropReason::Message);
                }
                self.go_on(cx, out);
            }
            Message::Lacks { file, part } => {
                if let Some(fetch) = self.files.get_mut(&file).and_then(|f| f.fetch.as_mut()) {
                    fetch.lacks(from, part, cx.now);
                    self.go_on(cx, out);
                }
            }
            Message::Part { file, part, bytes } => self.part(cx, from, (file, part), bytes, out),
        }
    }

    /// A part came.
    fn part(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        (id, part): (FileId, u32),
        bytes: Vec<u8>,
        out: &mut Outbox<Out>,
    ) {
        let Some(file) = self.files.get_mut(&id) else { return self.drops.count(DropReason::Message) };
        let asked = file.fetch.as_mut().map(|fetch| fetch.came(from, part, cx.now));
        if asked != Some(Came::Asked) {
            return self.drops.count(DropReason::Duplicate);
        }
        if Proven::read(id, file.size(), part, &bytes).is_none() {
            self.drops.count(DropReason::Signature);
            // It holds what it verified, or it lies.
            if let Some(fetch) = file.fetch.as_mut() {
                fetch.avoid(from, true, cx.now);
            }
            return self.go_on(cx, out);
        }
        file.take(id, part, bytes, out);
        self.go_on(cx, out);
    }

    /// A message names a file: it is fetched unasked if it is small.
    fn named(
        &mut self,
        cx: &mut Cx<'_>,
        conversation: Conversation,
        author: NodeId,
        file: Attachment,
        out: &mut Outbox<Out>,
    ) {
        let is_small = file.size <= self.config.fetch_unasked;
        let is_closed = !matches!(conversation, Conversation::Network);
        if self.config.fetch_unasked == 0 || !is_small || !is_closed || self.files.contains_key(&file.id) {
            return;
        }
        if self.make_room(file.size, file.size, out) {
            self.begin_fetch(cx, conversation, file, (Some(author), true), out);
        }
    }

    /// Makes room for a file of so many bytes, of which so many come unasked: the oldest of those that came unasked give
    /// way. None does if that would not be enough. The caller ends the links of those that went.
    fn make_room(&mut self, size: u64, unasked: u64, out: &mut Outbox<Out>) -> bool {
        if !self.fits_beside_asked(size) || unasked > self.config.unasked_bytes {
            return false;
        }
        while self.unasked_bytes().saturating_add(unasked) > self.config.unasked_bytes || !self.has_room(size) {
            let oldest = self.files.iter().filter(|(_, f)| f.unasked).min_by_key(|(_, f)| f.order).map(|(id, _)| *id);
            let Some(oldest) = oldest else { break };
            self.files.remove(&oldest);
            Self::erase(oldest, out);
        }
        true
    }

    /// Whether one more file of so many bytes fits beside those that a person here asked for or added.
    fn fits_beside_asked(&self, size: u64) -> bool {
        let asked = || self.files.values().filter(|f| !f.unasked);
        let bytes = asked().fold(size, |sum, f| sum.saturating_add(f.size()));
        asked().count() < self.limits.files && bytes <= self.limits.files_bytes
    }

    fn unasked_bytes(&self) -> u64 {
        self.files.values().filter(|f| f.unasked).fold(0, |sum, f| sum.saturating_add(f.size()))
    }

    /// Whether one more file of so many bytes fits.
    fn has_room(&self, size: u64) -> bool {
        let bytes = self.files.values().fold(size, |sum, f| sum.saturating_add(f.size()));
        self.files.len() < self.limits.files && bytes <= self.limits.files_bytes
    }

    fn begin_fetch(
        &mut self,
        cx: &mut Cx<'_>,
        conversation: Conversation,
        attachment: Attachment,
        (from, unasked): (Option<NodeId>, bool),
        out: &mut Outbox<Out>,
    ) {
        let (id, order) = (attachment.id, self.order());
        let mut file = File::new(attachment, order, unasked);
        file.shared.insert(conversation);
        file.fetch = Some(Fetch::new(conversation, from, order, file.have.total(), cx));
        file.save(id, out);
        self.files.insert(id, file);
        self.go_on(cx, out);
    }

    /// A fetch that gets nothing gives its turn to one that waits.
    fn take_turns(&mut self, now: Instant) {
        for (id, waits) in self.turns() {
            let order = self.next_order;
            let Some(fetch) = self.files.get_mut(&id).and_then(|f| f.fetch.as_mut()) else { continue };
            if waits && fetch.progress + TURN <= now {
                fetch.end_turn(order);
                self.next_order = order.wrapping_add(1);
            }
        }
    }
}

impl Machine for Files {
    const NAME: &'static str = "file";
    const TABLES: &'static [(&'static str, Table)] = &[("files", FILES), ("have", HAVE), ("parts", PARTS)];
    type In = In;
    type Out = Out;

    fn open(setup: Setup<'_>, records: Vec<Record>, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Result<Self, Malformed> {
        let mut opened = Self {
            me: setup.identity.node_id(),
            files: OrderedMap::new(),
            groups: OrderedMap::new(),
            people: People::default(),
            linked: OrderedSet::new(),
            wanted: OrderedSet::new(),
            serving: Serving::default(),
            reads: OrderedMap::new(),
            next_read: 1,
            next_order: 1,
            config: setup.config.file.clone(),
            limits: setup.config.limits.clone(),
            drops: Drops::default(),
        };
        opened.restore(records, cx, out)?;
        opened.go_on(cx, out);
        Ok(opened)
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: In, out: &mut Outbox<Out>) {
        match input {
            In::Message { from, body } => self.message(cx, from, &body, out),
            In::Group { group, view } => {
                match view {
                    Some(view) => self.groups.insert(group, view),
                    None => self.groups.remove(&group),
                };
            }
            In::Named { conversation, author, file } => self.named(cx, conversation, author, file, out),
            In::Devices { person, devices } => {
                self.people.set(person, devices);
                // Others may have now what a private conversation names.
                let fetches = self.files.values_mut().filter_map(|f| f.fetch.as_mut());
                let private = fetches.filter(|fetch| matches!(fetch.conversation, Conversation::Private(_)));
                private.for_each(|fetch| fetch.look_soon(cx.now));
                self.go_on(cx, out);
            }
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other facts concern other machines")]
    fn fact(&mut self, cx: &mut Cx<'_>, fact: &Fact, out: &mut Outbox<Out>) {
        match fact {
            Fact::LinkUp { peer, .. } => {
                self.linked.insert(*peer);
                for (id, file) in &mut self.files {
                    let Some(fetch) = file.fetch.as_mut() else { continue };
                    fetch.look_soon(cx.now);
                    let question = fetch.linked(*peer, cx.now, *id);
                    question.iter().for_each(|question| Self::send(*peer, question, out));
                }
            }
            Fact::LinkDown { peer, .. } => {
                self.linked.remove(peer);
                self.serving.gone(*peer);
                self.files.values_mut().filter_map(|f| f.fetch.as_mut()).for_each(|f| f.unlinked(*peer, cx.now));
                self.go_on(cx, out);
            }
            _ => {}
        }
    }

    fn records(&mut self, _cx: &mut Cx<'_>, read: u64, records: Vec<Record>, out: &mut Outbox<Out>) {
        let record = records.into_iter().next();
        match self.reads.remove(&read) {
            Some(Reading::Serve { to, file, part }) => self.serve(to, file, part, record, out),
            Some(Reading::Part { query, file, part }) => {
                let bytes = self.opened(file, part, record, out);
                out.push(Out::PartRead { query, bytes });
            }
            None => {}
        }
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.take_turns(cx.now);
        for id in self.active() {
            if let Some(fetch) = self.files.get_mut(&id).and_then(|f| f.fetch.as_mut()) {
                let questions = fetch.handle_timeout(cx.now, id);
                questions.iter().for_each(|(to, question)| Self::send(*to, question, out));
            }
        }
        self.go_on(cx, out);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let turns = self.turns();
        let fetches = || turns.iter().filter_map(|(id, waits)| Some((self.files.get(id)?.fetch.as_ref()?, *waits)));
        let turn = fetches().filter(|(_, waits)| *waits).map(|(fetch, _)| fetch.progress + TURN).min();
        soonest(fetches().filter_map(|(fetch, _)| fetch.deadline()).min(), turn)
    }

    fn footprint(&self) -> usize {
        let files = self.files.values().map(File::len).fold(0, usize::saturating_add);
        let links = self.linked.len().saturating_add(self.wanted.len()).saturating_add(self.groups.len());
        let links = links.saturating_add(self.people.len());
        files.saturating_add(links).saturating_add(self.serving.len()).saturating_add(self.reads.len())
    }

    fn count(&self, stats: &mut Stats) {
        stats.drops.add(&self.drops);
    }

    #[cfg(any(test, debug_assertions))]
    fn check(&self) -> Result<(), &'static str> {
        self.serving.check()?;
        self.people.check()?;
        self.files.values().try_for_each(File::check)?;
        let active = self.active();
        let fetches = active.iter().filter_map(|id| self.files.get(id)?.fetch.as_ref());
        match fetches.flat_map(Fetch::nodes).collect::<OrderedSet<_>>() == self.wanted {
            true => Ok(()),
            false => Err("another link is wanted than those of the fetches whose turn it is"),
        }
    }
}
