//! Nodes that share files: a group of machines with stores, links that come when they are wanted, and neighbours that
//! lie, die or say nothing.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use super::*;
use crate::config::Config;
use crate::contract::who;
use crate::error::{CommandError, FileError};
use crate::fact::samples::{down, up};
use crate::file::wire::MAX_ASKED as MAX_PARTS_ASKED;
use crate::id::OpId;
use crate::machine::{Command, Emit};
use crate::rng::Rng;
use crate::store::{Batch, MemoryStore};
use crate::time::WallTime;
use crate::wire::group::Reader;

const TEAM: Conversation = Conversation::Group(GroupId([7; 32]));

/// What a node does instead of what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// Changes a bit of each part.
    Corrupts,
    /// Answers questions for what it holds, and sends no part.
    Silent,
    /// Says that it holds everything, and that it lacks each part.
    Denies,
}

struct Node {
    files: Files,
    rng: Rng,
    store: MemoryStore,
    lie: Option<Lie>,
    dead: bool,
    complete: Vec<FileId>,
    read: BTreeMap<u64, Option<Vec<u8>>>,
    /// Bytes of parts that came, and that left.
    came: usize,
    sent: usize,
}

struct World {
    nodes: Vec<Node>,
    ids: Vec<NodeId>,
    now: Instant,
    mail: VecDeque<(usize, usize, Vec<u8>)>,
    links: BTreeSet<(usize, usize)>,
    config: Config,
}

impl World {
    fn new(count: u8) -> Self {
        let config = Config::default();
        let ids: Vec<NodeId> = (0..count).map(|n| who(n).node_id()).collect();
        let mut world = Self {
            nodes: Vec::new(),
            ids,
            now: Instant::from_micros(1_000_000),
            mail: VecDeque::new(),
            links: BTreeSet::new(),
            config,
        };
        for n in 0..count {
            let node = world.open(n, MemoryStore::default());
            world.nodes.push(node);
        }
        let all: Vec<usize> = (0..usize::from(count)).collect();
        world.set_members(&all);
        world
    }

    fn open(&self, n: u8, store: MemoryStore) -> Node {
        let (identity, mut out) = (who(n), Outbox::new());
        let mut rng = Rng::fork(&[n; 32], "files");
        let mut cx = Cx { now: self.now, wall: WallTime(1), me: identity.node_id(), rng: &mut rng };
        let setup = Setup { config: &self.config, identity: &identity };
        let files = Files::open(setup, store.hot(), &mut cx, &mut out).unwrap();
        let (complete, read) = (Vec::new(), BTreeMap::new());
        let mut node = Node { files, rng, store, lie: None, dead: false, complete, read, came: 0, sent: 0 };
        // What opening asked for is asked again when links come.
        while let Some(emit) = out.pop() {
            if let Emit::Store(op) = emit {
                node.store.apply(Batch { seq: 0, ops: alloc::vec![op] });
            }
        }
        node.files.wanted = OrderedSet::new();
        node
    }

    /// The members of the group, as each of them knows it.
    fn set_members(&mut self, members: &[usize]) {
        let reader = |member| Reader { member, stint: OpId([1; 32]), from: 0 };
        let view = GroupView {
            devices: members.iter().map(|n| (self.ids[*n], reader(self.ids[*n]))).collect(),
            ..GroupView::default()
        };
        let view = Arc::new(view);
        for n in 0..self.nodes.len() {
            let view = members.contains(&n).then(|| view.clone());
            self.input(n, In::Group { group: GroupId([7; 32]), view });
        }
    }

    fn with<R>(&mut self, n: usize, f: impl FnOnce(&mut Files, &mut Cx<'_>, &mut Outbox<Out>) -> R) -> R {
        let (mut out, now, me) = (Outbox::new(), self.now, self.ids[n]);
        let node = &mut self.nodes[n];
        let mut cx = Cx { now, wall: WallTime(1), me, rng: &mut node.rng };
        let result = f(&mut node.files, &mut cx, &mut out);
        node.files.check().unwrap();
        self.pass_on(n, &mut out);
        result
    }

    fn command<C: Command<Files>>(&mut self, n: usize, command: C) -> C::Answer {
        self.with(n, |files, cx, out| command.run(files, cx, out))
    }

    fn input(&mut self, n: usize, input: In) {
        self.with(n, |files, cx, out| files.handle(cx, input, out));
    }

    fn pass_on(&mut self, n: usize, out: &mut Outbox<Out>) {
        let mut wanted = Vec::new();
        while let Some(emit) = out.pop() {
            let out = match emit {
                Emit::Store(op) => {
                    self.nodes[n].store.apply(Batch { seq: 0, ops: alloc::vec![op] });
                    continue;
                }
                Emit::Now(out) | Emit::Committed(out) => out,
            };
            match out {
                Out::Send { to, body, .. } => {
                    let to = self.ids.iter().position(|id| *id == to).unwrap();
                    self.post(n, to, body);
                }
                Out::Want(peer) => wanted.push(self.ids.iter().position(|id| *id == peer).unwrap()),
                Out::Unwant(_) | Out::Progress { .. } => {}
                Out::Read { read, scan } => {
                    let found = self.nodes[n].store.scan(&scan);
                    self.with(n, |files, cx, out| files.records(cx, read, found, out));
                }
                Out::Complete(file) => self.nodes[n].complete.push(file),
                Out::PartRead { query, bytes } => drop(self.nodes[n].read.insert(query, bytes)),
            }
        }
        wanted.into_iter().for_each(|peer| self.link(n, peer));
    }

    /// A message leaves, as its sender is.
    fn post(&mut self, from: usize, to: usize, mut body: Vec<u8>) {
        let message = Message::decode(&body).unwrap();
        match (self.nodes[from].lie, &message) {
            (Some(Lie::Silent), Message::Part { .. }) => return,
            (Some(Lie::Denies), Message::Part { file, part, .. }) => {
                body = Message::Lacks { file: *file, part: *part }.encode();
            }
            (Some(Lie::Corrupts), Message::Part { .. }) => *body.last_mut().unwrap() ^= 1,
            _ => {}
        }
        if let Message::Part { bytes, .. } = &message {
            self.nodes[from].sent += bytes.len();
        }
        self.mail.push_back((from, to, body));
    }

    fn link(&mut self, a: usize, b: usize) {
        let key = (a.min(b), a.max(b));
        if self.nodes[a].dead || self.nodes[b].dead || !self.links.insert(key) {
            return;
        }
        for (at, peer) in [(a, b), (b, a)] {
            let fact = up(self.ids[peer]);
            self.with(at, |files, cx, out| files.fact(cx, &fact, out));
        }
    }

    fn unlink(&mut self, a: usize, b: usize) {
        if self.links.remove(&(a.min(b), a.max(b))) {
            self.mail.retain(|(from, to, _)| (*from, *to) != (a, b) && (*from, *to) != (b, a));
            for (at, peer) in [(a, b), (b, a)] {
                let fact = down(self.ids[peer]);
                self.with(at, |files, cx, out| files.fact(cx, &fact, out));
            }
        }
    }

    /// A node is gone, and others notice it at once.
    fn kill(&mut self, n: usize) {
        self.nodes[n].dead = true;
        (0..self.nodes.len()).for_each(|other| self.unlink(n, other));
    }

    /// The same node from its store, without links.
    fn restart(&mut self, n: usize) {
        (0..self.nodes.len()).for_each(|other| self.unlink(n, other));
        let store = self.nodes[n].store.clone();
        let (came, sent) = (self.nodes[n].came, self.nodes[n].sent);
        self.nodes[n] = self.open(n as u8, store);
        (self.nodes[n].came, self.nodes[n].sent) = (came, sent);
        let view = self.nodes.iter().find_map(|node| node.files.groups.get(&GroupId([7; 32])).cloned());
        self.input(n, In::Group { group: GroupId([7; 32]), view });
        self.with(n, |files, cx, out| files.go_on(cx, out));
    }

    /// Delivers up to so many messages; none are left if it gives true.
    fn deliver(&mut self, most: usize) -> bool {
        for _ in 0..most {
            let Some((from, to, body)) = self.mail.pop_front() else { return true };
            if self.nodes[to].dead || !self.links.contains(&(from.min(to), from.max(to))) {
                continue;
            }
            if let Ok(Message::Part { bytes, .. }) = Message::decode(&body) {
                self.nodes[to].came += bytes.len();
            }
            let from = self.ids[from];
            self.input(to, In::Message { from, body });
        }
        self.mail.is_empty()
    }

    /// Runs for so many steps of 100 ms, in each of which a node sends so many messages.
    fn trickle(&mut self, steps: u32, each: usize) {
        for _ in 0..steps {
            let mail = core::mem::take(&mut self.mail);
            let mut left = alloc::vec![each; self.nodes.len()];
            let mut now = VecDeque::new();
            for (from, to, body) in mail {
                match left[from].checked_sub(1) {
                    Some(less) => {
                        left[from] = less;
                        now.push_back((from, to, body));
                    }
                    None => self.mail.push_back((from, to, body)),
                }
            }
            let later = core::mem::replace(&mut self.mail, now);
            let count = self.mail.len();
            self.deliver(count);
            let answers = core::mem::replace(&mut self.mail, later);
            self.mail.extend(answers);
            self.now = self.now + Duration::from_millis(100);
            for n in 0..self.nodes.len() {
                if self.nodes[n].files.next_deadline().is_some_and(|at| at <= self.now) {
                    self.with(n, |files, cx, out| files.handle_timeout(cx, out));
                }
            }
        }
    }

    /// Runs for a time: messages take none.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            assert!(self.deliver(1_000_000), "messages without an end");
            let due = |n: &Node| n.files.next_deadline().filter(|_| !n.dead);
            let next = self.nodes.iter().filter_map(due).min().filter(|at| *at <= end);
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            for n in 0..self.nodes.len() {
                if due(&self.nodes[n]).is_some_and(|at| at <= self.now) {
                    self.with(n, |files, cx, out| files.handle_timeout(cx, out));
                    assert!(due(&self.nodes[n]).is_none_or(|at| at > self.now), "law 1");
                }
            }
        }
        self.now = end;
    }

    /// A node adds a file and shares it.
    fn share(&mut self, n: usize, plain: &[u8], conversation: Conversation) -> Attachment {
        let mut draft = self.command(n, Begin { size: plain.len() as u64 }).unwrap();
        let parts = || plain.chunks(FileDraft::PART);
        parts().for_each(|part| draft.push(part).unwrap());
        let sealed = draft.finish().unwrap();
        for (part, bytes) in (0..).zip(parts()) {
            self.command(n, AddPart { file: &sealed, part, bytes }).unwrap();
        }
        let file = sealed.id();
        let named = self.command(n, Finish { file, name: "photo.png".into(), media_type: "image/png".into() }).unwrap();
        self.command(n, Share { conversation, file });
        named
    }

    fn fetch(&mut self, n: usize, file: &Attachment, from: usize) {
        let from = Some(self.ids[from]);
        self.command(n, StartFetch { conversation: TEAM, file: file.clone(), from }).unwrap();
    }

    fn is_whole(&self, n: usize, file: &Attachment) -> bool {
        self.nodes[n].files.is_whole(file.id)
    }

    /// The bytes of a file, as the application reads them.
    fn read(&mut self, n: usize, file: &Attachment) -> Option<Vec<u8>> {
        let mut all = Vec::new();
        for part in 0..sealed::part_count(file.size) {
            self.command(n, ReadPart { query: 1, file: file.id, part }).unwrap();
            all.extend(self.nodes[n].read.remove(&1).unwrap()?);
        }
        Some(all)
    }
}

fn plain(parts: usize) -> Vec<u8> {
    (0..parts * FileDraft::PART - 9).map(|i| (i / 3) as u8 ^ (i >> 11) as u8).collect()
}

// Mutations: `candidates` leaves out the author; `part` does not store; `fill` asks for what is here.
#[test]
fn a_file_reaches_a_member_from_its_author() {
    let mut world = World::new(2);
    let plain = plain(40);
    let file = world.share(0, &plain, TEAM);
    assert_eq!(
        world.command(1, ReadPart { query: 1, file: file.id, part: 0 }),
        Err(CommandError::Unknown("file here"))
    );
    world.fetch(1, &file, 0);
    world.run(Duration::from_secs(1));
    assert!(world.is_whole(1, &file));
    assert_eq!(world.nodes[1].complete, [file.id]);
    assert!(world.read(1, &file).unwrap() == plain);
    // Point 8 of the goals: no more than its bytes and 5 %.
    assert!(world.nodes[1].came * 100 <= plain.len() * 105, "{} of {}", world.nodes[1].came, plain.len());
    assert!(world.nodes[1].files.wanted.is_empty(), "nothing is wanted of the holder any more");
    assert_eq!(world.nodes[1].files.next_deadline(), None);
}

// Mutation: a fetching node says that it has nothing.
#[test]
fn members_that_fetch_at_once_give_parts_to_each_other() {
    let mut world = World::new(8);
    let plain = plain(120);
    let file = world.share(0, &plain, TEAM);
    for n in 1..8 {
        world.fetch(n, &file, 0);
        // The author of the message is asked, and all the others that fetch.
        (1..8).filter(|m| *m != n).for_each(|m| world.link(n, m));
    }
    world.trickle(1_200, 2);
    for n in 1..8 {
        assert!(world.is_whole(n, &file), "node {n}");
        assert!(world.nodes[n].came * 100 <= plain.len() * 105, "{}", world.nodes[n].came);
    }
    // Seven times the file would be its author alone. What is under way from it at first is nearly the whole file.
    assert!(world.nodes[0].sent < 5 * plain.len(), "{} of {}", world.nodes[0].sent, plain.len());
}

// Mutations: `part` does not verify (the file is then wrong); a liar is asked again (its bytes then cost more).
#[test]
fn a_holder_that_lies_costs_what_was_under_way_from_it() {
    for lie in [Lie::Corrupts, Lie::Silent, Lie::Denies] {
        let mut world = World::new(4);
        let plain = plain(50);
        let file = world.share(0, &plain, TEAM);
        world.fetch(1, &file, 0);
        world.run(Duration::from_secs(1));
        world.nodes[1].lie = Some(lie);
        // The liar is the one that is asked first.
        world.fetch(2, &file, 1);
        world.run(Duration::from_secs(600));
        assert!(world.is_whole(2, &file), "{lie:?}");
        assert!(world.read(2, &file).unwrap() == plain);
        let wasted = world.nodes[2].came.saturating_sub(plain.len());
        assert!(wasted <= 20 * FileDraft::PART, "{lie:?}: {wasted}");
        if lie == Lie::Corrupts {
            assert!(world.nodes[2].files.drops.get(DropReason::Signature) > 0);
        }
    }
}

// Mutations: holders never give way (four that deny are asked for ever); one that denies is not left alone.
#[test]
fn four_holders_that_give_nothing_do_not_hold_up_a_fetch() {
    for lie in [Lie::Silent, Lie::Denies] {
        let mut world = World::new(8);
        let plain = plain(20);
        let file = world.share(0, &plain, TEAM);
        for n in 1..5 {
            world.fetch(n, &file, 0);
        }
        world.run(Duration::from_secs(60));
        (1..5).for_each(|n| world.nodes[n].lie = Some(lie));
        // Only the liars are linked: they are asked first.
        (1..5).for_each(|n| world.link(6, n));
        world.command(6, StartFetch { conversation: TEAM, file: file.clone(), from: None }).unwrap();
        world.run(Duration::from_secs(600));
        assert!(world.is_whole(6, &file), "{lie:?}");
    }
}

// Mutation: parts that are under way from a node whose link is gone are not asked again.
#[test]
fn another_holder_takes_over_from_one_that_dies() {
    let mut world = World::new(3);
    let plain = plain(80);
    let file = world.share(0, &plain, TEAM);
    world.fetch(1, &file, 0);
    world.run(Duration::from_secs(1));
    world.fetch(2, &file, 0);
    world.link(2, 1);
    world.deliver(20);
    assert!(!world.is_whole(2, &file));
    world.kill(0);
    world.run(Duration::from_secs(120));
    assert!(world.is_whole(2, &file));
    assert!(world.read(2, &file).unwrap() == plain);
}

// Mutations: what is here is not stored; the row of a fetch is not written.
#[test]
fn a_fetch_goes_on_after_a_restart_with_what_is_here() {
    let mut world = World::new(2);
    let plain = plain(100);
    let file = world.share(0, &plain, TEAM);
    world.fetch(1, &file, 0);
    world.deliver(60);
    let before = world.nodes[1].came;
    assert!(before > 10 * FileDraft::PART && !world.is_whole(1, &file));
    world.restart(1);
    world.restart(0);
    world.run(Duration::from_secs(60));
    assert!(world.is_whole(1, &file));
    assert!(world.read(1, &file).unwrap() == plain);
    assert!(world.nodes[1].came * 100 <= plain.len() * 105, "{} of {}", world.nodes[1].came, plain.len());
}

// Mutation: a file that was not finished stays.
#[test]
fn parts_of_an_unfinished_file_are_gone_after_a_restart() {
    let mut world = World::new(1);
    let plain = plain(3);
    let mut draft = world.command(0, Begin { size: plain.len() as u64 }).unwrap();
    plain.chunks(FileDraft::PART).for_each(|part| draft.push(part).unwrap());
    let sealed = draft.finish().unwrap();
    world.command(0, AddPart { file: &sealed, part: 0, bytes: &plain[..FileDraft::PART] }).unwrap();
    let finish = Finish { file: sealed.id(), name: "a".into(), media_type: String::new() };
    assert_eq!(world.command(0, finish), Err(CommandError::Unknown("file here")), "parts are missing");
    assert_eq!(world.nodes[0].files.list().len(), 1);
    world.restart(0);
    assert!(world.nodes[0].files.list().is_empty());
    let scan =
        Scan { table: PARTS, start: Vec::new(), end: [0xff; 40].to_vec(), reverse: false, limit: 9, max_bytes: 9 };
    assert!(world.nodes[0].store.scan(&scan).is_empty());
}

/// What a node answers to two questions about a file.
fn asked(world: &mut World, of: usize, by: usize, file: FileId) -> Vec<Message> {
    world.link(by, of);
    world.deliver(1_000);
    let from = world.ids[by];
    for question in [Message::Ask { file }, Message::Get { file, parts: alloc::vec![0] }] {
        world.input(of, In::Message { from, body: question.encode() });
    }
    world.mail.drain(..).map(|(_, _, body)| Message::decode(&body).unwrap()).collect()
}

// Mutations: `may_have` gives true; `serve` does not ask it again; `named` shares what is here.
#[test]
fn a_file_is_for_its_audience_while_they_are_members() {
    let mut world = World::new(4);
    let file = world.share(0, &plain(2), TEAM);
    let refused = [Message::Has { file: file.id, parts: Held::Nothing }, Message::Lacks { file: file.id, part: 0 }];
    world.set_members(&[0, 1, 2]);
    assert!(matches!(
        asked(&mut world, 0, 1, file.id)[..],
        [Message::Has { parts: Held::All, .. }, Message::Part { .. }]
    ));
    assert_eq!(asked(&mut world, 0, 3, file.id), refused, "no member");
    let unknown = FileId([1; 32]);
    let answers = asked(&mut world, 0, 3, unknown);
    assert!(matches!(answers[..], [Message::Has { parts: Held::Nothing, .. }, Message::Lacks { .. }]), "the same");
    world.set_members(&[0, 2]);
    assert_eq!(asked(&mut world, 0, 1, file.id), refused, "no member any more");
    // A node that knows its id and its key names it in a conversation of its own with the holder: that shares nothing.
    let conversation = Conversation::Private(world.ids[1]);
    let author = world.ids[1];
    world.input(0, In::Named { conversation, author, file: file.clone() });
    assert_eq!(asked(&mut world, 0, 1, file.id), refused, "named by another");
    world.command(0, Share { conversation, file: file.id });
    assert_eq!(asked(&mut world, 0, 1, file.id).len(), 2);
    assert!(world.nodes[0].files.may_have(author, file.id), "named by its holder");
    world.command(0, Remove { file: file.id }).unwrap();
    assert_eq!(asked(&mut world, 0, 2, file.id), refused, "it is gone");
}

// Mutations: `named` ignores the size; it ignores the share; it takes from the network's conversation.
#[test]
fn small_files_come_unasked_within_their_share() {
    let mut world = World::new(2);
    world.nodes[1].files.config.fetch_unasked = 2 * FileDraft::PART as u64;
    world.nodes[1].files.config.unasked_bytes = 5 * FileDraft::PART as u64;
    let author = world.ids[0];
    let large = world.share(0, &plain(3), TEAM);
    world.input(1, In::Named { conversation: TEAM, author, file: large });
    let small = world.share(0, &plain(1), Conversation::Network);
    world.input(1, In::Named { conversation: Conversation::Network, author, file: small });
    world.run(Duration::from_secs(1));
    assert!(world.nodes[1].files.list().is_empty());
    let mut files = Vec::new();
    for n in 0..4u8 {
        let mut bytes = plain(2);
        bytes[0] = n;
        let file = world.share(0, &bytes, TEAM);
        world.input(1, In::Named { conversation: TEAM, author, file: file.clone() });
        world.run(Duration::from_secs(1));
        assert!(world.is_whole(1, &file), "file {n}");
        files.push(file);
        if n == 0 {
            // Asked for now: it does not give way any more.
            world.fetch(1, &files[0], 0);
        }
    }
    let here: Vec<FileId> = world.nodes[1].files.list().iter().map(|info| info.id).collect();
    assert_eq!(here, [files[0].id, files[2].id, files[3].id], "the oldest unasked one gave way");
}

// Mutations: `lost` does nothing (the part stays wrong for good); `opened` does not verify.
#[test]
fn a_part_that_the_disk_lost_or_changed_is_fetched_again() {
    for change in [None, Some(3)] {
        let mut world = World::new(3);
        let plain = plain(6);
        let file = world.share(0, &plain, TEAM);
        world.fetch(1, &file, 0);
        world.run(Duration::from_secs(1));
        let key = part_key(file.id, 3);
        let op = match change {
            None => crate::store::Op::Delete { table: PARTS, key },
            Some(_) => crate::store::Op::Put { table: PARTS, key, value: alloc::vec![1; 70] },
        };
        world.nodes[1].store.apply(Batch { seq: 0, ops: alloc::vec![op] });
        assert_eq!(world.read(1, &file), None);
        assert!(!world.is_whole(1, &file));
        world.fetch(1, &file, 0);
        world.run(Duration::from_secs(20));
        assert!(world.read(1, &file).unwrap() == plain);
    }
}

// Mutations: a fetch never gives up its turn; one that waits is never begun.
#[test]
fn a_fetch_without_a_holder_gives_its_turn_to_one_that_waits() {
    let mut world = World::new(2);
    let plain = plain(2);
    let file = world.share(0, &plain, TEAM);
    for n in 0..5u8 {
        let gone = Attachment { id: FileId([n; 32]), ..file.clone() };
        world.fetch(1, &gone, 0);
    }
    world.fetch(1, &file, 0);
    world.run(Duration::from_secs(300));
    assert!(world.is_whole(1, &file));
}

// Mutation: `fits` gives `Ok` always.
#[test]
fn what_does_not_fit_is_refused_with_a_reason() {
    let mut world = World::new(1);
    let limits = &mut world.nodes[0].files.limits;
    (limits.file_bytes, limits.files_bytes, limits.files) = (100, 150, 2);
    assert!(matches!(world.command(0, Begin { size: 101 }).map(|_| ()), Err(CommandError::File(FileError::TooLarge))));
    let file = |n: u8, size: u64| {
        let mut file = Attachment::of(FileId([n; 32]), [0; 32], size);
        file.name = "a".into();
        file
    };
    let fetch = |n, size| StartFetch { conversation: TEAM, file: file(n, size), from: None };
    world.command(0, fetch(1, 100)).unwrap();
    assert!(matches!(world.command(0, fetch(2, 51)), Err(CommandError::Busy(_))));
    world.command(0, fetch(2, 10)).unwrap();
    assert!(matches!(world.command(0, fetch(3, 10)), Err(CommandError::Busy(_))), "as many as there may be");
    // What is not here whole may have been named wrongly.
    world.command(0, fetch(1, 99)).unwrap();
    for name in ["", "..", "a/b", "a\\b", "a\nb"] {
        let named = Attachment { name: name.into(), ..file(4, 1) };
        let fetch = StartFetch { conversation: TEAM, file: named, from: None };
        assert_eq!(world.command(0, fetch), Err(CommandError::File(FileError::Name)), "{name:?}");
    }
}

/// A file without a holder, as any node can name it.
fn phantom(n: u32, size: u64) -> Attachment {
    let mut id = [0xee; 32];
    id[..4].copy_from_slice(&n.to_be_bytes());
    Attachment { name: "a".into(), ..Attachment::of(FileId(id), [0; 32], size) }
}

// Mutations: `fits` counts what came unasked; `AddPart` or `StartFetch` makes no room.
#[test]
fn files_named_by_others_take_no_place_of_wanted_ones() {
    let mut world = World::new(3);
    let mut share = plain(2);
    let file = world.share(0, &share, TEAM);
    let author = world.ids[2];
    for full in [0, 1] {
        world.nodes[1].files.limits.files = 8;
        for n in 0..12 {
            world.input(1, In::Named { conversation: TEAM, author, file: phantom(n, full) });
        }
        assert_eq!(world.nodes[1].files.list().len(), 8);
        share[0] ^= 1;
        world.share(1, &share, TEAM);
        world.fetch(1, &file, 0);
        world.run(Duration::from_secs(1));
        assert!(world.is_whole(1, &file));
    }
}

// Mutation: fetches have their turns in the order in which they came alone.
#[test]
fn a_person_does_not_wait_for_what_others_named_and_nobody_has() {
    let mut world = World::new(3);
    let file = world.share(0, &plain(2), TEAM);
    let author = world.ids[2];
    for n in 0..200 {
        world.input(1, In::Named { conversation: TEAM, author, file: phantom(n, 1) });
    }
    world.fetch(1, &file, 0);
    world.run(Duration::from_secs(5));
    assert!(world.is_whole(1, &file));
    // A small one that has no turn yet goes before those that had one.
    world.run(Duration::from_secs(60 * 60));
    let mut other = plain(2);
    other[0] ^= 1;
    let small = world.share(0, &other, TEAM);
    let author = world.ids[0];
    world.input(1, In::Named { conversation: TEAM, author, file: small.clone() });
    world.run(Duration::from_secs(70));
    assert!(world.is_whole(1, &small));
}

// Mutations: `StartFetch` refuses what another message named wrongly; it keeps the wrong one.
#[test]
fn a_wrong_first_key_or_size_of_a_file_does_not_withhold_it() {
    for (key, size) in [([9; 32], None), ([9; 32], Some(5)), ([0; 32], Some(FileDraft::PART as u64 + 1))] {
        let mut world = World::new(3);
        let plain = plain(2);
        let file = world.share(0, &plain, TEAM);
        let author = world.ids[2];
        let wrong = Attachment { key, size: size.unwrap_or(file.size), ..file.clone() };
        world.input(1, In::Named { conversation: TEAM, author, file: wrong.clone() });
        world.run(Duration::from_secs(5));
        world.fetch(1, &file, 0);
        world.run(Duration::from_secs(60));
        assert!(world.read(1, &file).unwrap() == plain);
        // What is here whole and asked for stays as it is.
        let again = StartFetch { conversation: TEAM, file: wrong, from: None };
        assert_eq!(world.command(1, again), Err(CommandError::File(FileError::Other)));
        assert!(world.is_whole(1, &file));
    }
}

// Mutation: `StartFetch` keeps where a file was first named.
#[test]
fn a_removed_member_gets_no_share_by_naming_a_file_first() {
    let mut world = World::new(3);
    let plain = plain(2);
    let file = world.share(0, &plain, TEAM);
    world.set_members(&[0, 1]);
    let removed = world.ids[2];
    world.input(1, In::Named { conversation: Conversation::Private(removed), author: removed, file: file.clone() });
    world.run(Duration::from_secs(1));
    world.fetch(1, &file, 0);
    world.run(Duration::from_secs(60));
    assert!(world.is_whole(1, &file));
    assert!(!world.nodes[1].files.may_have(removed, file.id));
}

// Mutation: `make_room` lets files go although that is not enough; links of those that went stay wanted (`check`).
#[test]
fn nothing_gives_way_to_what_does_not_fit_anyway() {
    let mut world = World::new(2);
    let author = world.ids[0];
    world.nodes[1].files.limits.files_bytes = 100;
    world.command(1, StartFetch { conversation: TEAM, file: phantom(1, 80), from: None }).unwrap();
    world.input(1, In::Named { conversation: Conversation::Private(author), author, file: phantom(2, 10) });
    world.input(1, In::Named { conversation: TEAM, author, file: phantom(3, 30) });
    assert_eq!(world.nodes[1].files.list().len(), 2);
}

// Mutation: `Share` leaves a file among those that give way.
#[test]
fn a_file_that_came_unasked_and_was_passed_on_does_not_give_way() {
    let mut world = World::new(2);
    world.nodes[1].files.config.unasked_bytes = 2 * FileDraft::PART as u64;
    let author = world.ids[0];
    let file = world.share(0, &plain(1), TEAM);
    world.input(1, In::Named { conversation: TEAM, author, file: file.clone() });
    world.run(Duration::from_secs(1));
    world.command(1, Share { conversation: Conversation::Network, file: file.id });
    for n in 0..5 {
        world.input(1, In::Named { conversation: TEAM, author, file: phantom(n, FileDraft::PART as u64) });
    }
    world.restart(1);
    assert!(world.is_whole(1, &file));
}

// Mutation: `get` answers without a limit.
#[test]
fn forbidden_questions_cost_no_more_answers_than_allowed_ones() {
    let mut world = World::new(2);
    let from = world.ids[1];
    world.link(0, 1);
    for _ in 0..100 {
        let question = Message::Get { file: FileId([5; 32]), parts: alloc::vec![0; MAX_PARTS_ASKED] };
        world.input(0, In::Message { from, body: question.encode() });
    }
    assert!(world.mail.len() <= 64, "{}", world.mail.len());
}

// Mutation: `answers` is always true.
#[test]
fn what_a_node_was_not_asked_is_not_looked_at() {
    let mut world = World::new(2);
    let file = world.share(0, &plain(8), TEAM);
    world.fetch(1, &file, 0);
    world.deliver(3);
    let before = world.nodes[1].files.drops.get(DropReason::Duplicate);
    let from = world.ids[0];
    for _ in 0..5 {
        let claim = Message::Has { file: file.id, parts: Held::All };
        world.input(1, In::Message { from, body: claim.encode() });
    }
    assert_eq!(world.nodes[1].files.drops.get(DropReason::Duplicate) - before, 5);
    world.run(Duration::from_secs(60));
    assert!(world.is_whole(1, &file));
}

// Mutation: `serve` forgets a part that a read did not find.
#[test]
fn a_read_that_fails_for_another_node_loses_nothing() {
    let mut world = World::new(2);
    let file = world.share(0, &plain(2), TEAM);
    let store = core::mem::take(&mut world.nodes[0].store);
    let answers = asked(&mut world, 0, 1, file.id);
    assert!(matches!(answers[..], [Message::Has { parts: Held::All, .. }, Message::Lacks { part: 0, .. }]));
    world.nodes[0].store = store;
    assert!(world.is_whole(0, &file));
}

// Mutation: looks are as far apart however often nothing was found.
#[test]
fn a_file_that_nobody_has_is_looked_for_more_and_more_rarely() {
    let mut world = World::new(2);
    world.kill(0);
    let author = world.ids[0];
    world.input(1, In::Named { conversation: TEAM, author, file: phantom(1, 1) });
    let mut looks = 0;
    for _ in 0..60 * 60 {
        world.run(Duration::from_secs(1));
        let fetch = world.nodes[1].files.files.values().next().unwrap().fetch.as_ref().unwrap();
        looks += u32::from(fetch.looks(world.now + Duration::from_millis(1_100)));
    }
    assert!(looks < 120, "{looks}");
}

// Mutation: `restore` takes the size of a damaged row.
#[test]
fn a_damaged_size_does_not_cost_its_memory() {
    let mut world = World::new(1);
    let mut file = File::new(phantom(1, 1), 1, false);
    file.attachment.size = u64::MAX;
    let mut out = Outbox::new();
    file.save(FileId([1; 32]), &mut out);
    let mut store = MemoryStore::default();
    while let Some(emit) = out.pop() {
        if let Emit::Store(op) = emit {
            store.apply(Batch { seq: 0, ops: alloc::vec![op] });
        }
    }
    let (identity, node) = (who(0), &mut world.nodes[0]);
    let mut cx = Cx { now: world.now, wall: WallTime(1), me: identity.node_id(), rng: &mut node.rng };
    let setup = Setup { config: &world.config, identity: &identity };
    assert!(Files::open(setup, store.hot(), &mut cx, &mut Outbox::new()).is_err());
}

// Alice has a phone (0) and a laptop (2), Bob a phone (1) and a laptop (3). Mutations: `is_reader` or `candidates` takes
// the person's first device alone, or only the other side's devices.
#[test]
fn files_of_people_are_on_all_their_devices() {
    let mut world = World::new(4);
    let ids = world.ids.clone();
    let devices = |person: usize, devices: &[usize]| In::Devices {
        person: ids[person],
        devices: devices.iter().map(|n| ids[*n]).collect(),
    };
    for n in 0..4 {
        world.input(n, devices(0, &[0, 2]));
        world.input(n, devices(1, &[1, 3]));
    }
    let (alice, bob) = (Conversation::Private(ids[0]), Conversation::Private(ids[1]));
    // The phone said it in the message, the laptop alone has it.
    let file = world.share(2, &plain(2), bob);
    for (n, conversation) in [(3, alice), (0, bob)] {
        world.command(n, StartFetch { conversation, file: file.clone(), from: Some(ids[0]) }).unwrap();
        world.run(Duration::from_secs(60));
        assert!(world.is_whole(n, &file), "{n}");
    }
    // A removed device gets nothing more, also if it stands for the person.
    world.input(2, devices(0, &[2]));
    assert!(!world.nodes[2].files.may_have(ids[0], file.id));
    assert!(world.nodes[2].files.may_have(ids[3], file.id));
    world.input(2, devices(1, &[1]));
    assert!(!world.nodes[2].files.may_have(ids[3], file.id));
}
