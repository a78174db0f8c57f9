//! A small bench that joins some machines: what one says the other gets, unless the test is in the way.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use crate::collections::OrderedMap;
use crate::config::Config;
use crate::contract::who;
use crate::fact::samples::{down, up};
use crate::group::op::{Action, GroupKind, GroupPolicy, GroupRole, Operation};
use crate::group::ticket::GroupTicket;
use crate::group::wire::Message;
use crate::group::{Act, Create, Deed, GroupChange, Groups, In, Invite, Join, Out, Prepare};
use crate::id::{GroupId, Life, NodeId, OpId};
use crate::identity::Identity;
use crate::machine::{Command, Cx, Emit, Machine, Outbox, Setup};
use crate::rng::Rng;
use crate::stats::DropReason;
use crate::store::{Record, Table};
use crate::time::{Duration, Instant, WallTime};
use crate::wire::content::group_conversation;
use crate::wire::entry::{Carried, Part, Parts, Run};
use crate::wire::group::{Context, GroupRun};
use crate::wire::{Blob, MAX_MESSAGE, decode, encode};

pub(super) const FOREVER: WallTime = WallTime(u64::MAX);
pub(super) const WALL: WallTime = WallTime(1_000_000);

pub(super) type Rows = OrderedMap<(Table, Vec<u8>), Vec<u8>>;
/// Sees what goes from one node to another, may change it, and says whether it arrives.
pub(super) type InTheWay = Box<dyn FnMut(usize, usize, &mut Vec<u8>) -> bool>;

pub(super) enum Parcel {
    Said(Vec<u8>),
    Sealed(Vec<u8>),
}

pub(super) struct Node {
    pub(super) who: Identity,
    pub(super) machine: Groups,
    pub(super) rng: Rng,
    pub(super) rows: Rows,
    pub(super) context: Option<Context>,
    pub(super) opened: Vec<Vec<u8>>,
    pub(super) changes: Vec<GroupChange>,
    pub(super) vetted: Vec<bool>,
    /// How often it named what was said.
    pub(super) stood: usize,
}

pub(super) struct Bench {
    pub(super) nodes: Vec<Node>,
    pub(super) now: Instant,
    pub(super) wall: WallTime,
    pub(super) air: VecDeque<(usize, usize, Parcel)>,
    pub(super) island: Vec<u8>,
    pub(super) in_the_way: Option<InTheWay>,
    /// What was said and sealed so far.
    pub(super) said: Vec<(usize, usize, Message)>,
    pub(super) sealed: Vec<(usize, Vec<u8>)>,
}

pub(super) fn open(who: &Identity, rng: &mut Rng, rows: &Rows, now: Instant, out: &mut Outbox<Out>) -> Groups {
    let record = |((table, key), value): (&(Table, Vec<u8>), &Vec<u8>)| Record {
        table: *table,
        key: key.clone(),
        value: value.clone(),
    };
    let mut cx = Cx { now, wall: WALL, me: who.node_id(), rng };
    let setup = Setup { config: &Config::default(), identity: who };
    Groups::open(setup, rows.iter().map(record).collect(), &mut cx, out).unwrap()
}

impl Bench {
    /// So many nodes, each linked with each.
    pub(super) fn new(count: u8) -> Self {
        let now = Instant::from_micros(5_000_000);
        let node = |n: u8| {
            let (who, mut rng, rows) = (who(n), Rng::new([n; 32]), Rows::new());
            let machine = open(&who, &mut rng, &rows, now, &mut Outbox::new());
            let (opened, changes, vetted) = (Vec::new(), Vec::new(), Vec::new());
            Node { who, machine, rng, rows, context: None, opened, changes, vetted, stood: 0 }
        };
        let mut this = Self {
            nodes: (0..count).map(node).collect(),
            now,
            wall: WALL,
            air: VecDeque::new(),
            island: vec![0; usize::from(count)],
            in_the_way: None,
            said: Vec::new(),
            sealed: Vec::new(),
        };
        this.link_all();
        this
    }

    /// A private group of the first `members` nodes, of which node 0 is the OWNER.
    pub(super) fn with_group(count: u8, members: usize) -> (Self, GroupId) {
        let mut this = Self::new(count);
        let group = this.create(0);
        (1..members).for_each(|n| this.add(group, 0, n, GroupRole::Member));
        (this, group)
    }

    pub(super) fn id(&self, n: usize) -> NodeId {
        self.nodes[n].who.node_id()
    }

    pub(super) fn number(&self, id: NodeId) -> Option<usize> {
        self.nodes.iter().position(|node| node.who.node_id() == id)
    }

    pub(super) fn link_all(&mut self) {
        for n in 0..self.nodes.len() {
            for m in (0..self.nodes.len()).filter(|m| *m != n) {
                let (peer, is_near) = (self.id(m), self.island[n] == self.island[m]);
                let fact = if is_near { up(peer) } else { down(peer) };
                self.step(n, |machine, cx, out| machine.fact(cx, &fact, out));
            }
        }
        self.run();
    }

    /// Moves nodes so that only those with one number see each other.
    pub(super) fn islands(&mut self, of: &[u8]) {
        self.island = of.to_vec();
        self.link_all();
    }

    pub(super) fn step<T>(&mut self, n: usize, f: impl FnOnce(&mut Groups, &mut Cx<'_>, &mut Outbox<Out>) -> T) -> T {
        let mut out = Outbox::new();
        let node = &mut self.nodes[n];
        let mut cx = Cx { now: self.now, wall: self.wall, me: node.who.node_id(), rng: &mut node.rng };
        let answer = f(&mut node.machine, &mut cx, &mut out);
        node.machine.check().unwrap();
        self.take(n, out);
        answer
    }

    pub(super) fn take(&mut self, n: usize, mut out: Outbox<Out>) {
        let mut places = Vec::new();
        while let Some(emit) = out.pop() {
            let out = match emit {
                Emit::Now(out) | Emit::Committed(out) => out,
                Emit::Store(crate::store::Op::Put { table, key, value }) => {
                    self.nodes[n].rows.insert((table, key), value);
                    continue;
                }
                Emit::Store(crate::store::Op::Delete { table, key }) => {
                    self.nodes[n].rows.remove(&(table, key));
                    continue;
                }
                Emit::Store(crate::store::Op::DeleteRange { .. }) => panic!("groups delete no ranges"),
            };
            let node = &mut self.nodes[n];
            match out {
                Out::Say { to, body } => {
                    let Some(to) = self.number(to) else { continue };
                    self.said.push((n, to, decode(&body, MAX_MESSAGE).unwrap()));
                    self.air.push_back((n, to, Parcel::Said(body)));
                }
                Out::Carry { to, body } => {
                    let Some(to) = self.number(to) else { continue };
                    self.sealed.push((n, body.clone()));
                    self.air.push_back((n, to, Parcel::Sealed(body)));
                }
                Out::View { view, .. } => node.context = view.and_then(|view| view.context.clone()),
                Out::Vetted { may, .. } => node.vetted.push(may),
                Out::Opened { body, .. } => node.opened.push(body),
                Out::Where { group, member, .. } => places.push((group, member)),
                Out::Changed { change, .. } => node.changes.push(change),
                Out::Stand(_) => node.stood += 1,
                Out::Want(_) | Out::Unwant(_) => {}
            }
        }
        for (group, member) in places {
            self.step(n, |machine, cx, out| machine.handle(cx, In::Where { group, member, from: 0 }, out));
        }
    }

    pub(super) fn restart(&mut self, n: usize) {
        let mut out = Outbox::new();
        let node = &mut self.nodes[n];
        node.machine = open(&node.who, &mut node.rng, &node.rows, self.now, &mut out);
        self.take(n, out);
        self.link_all();
    }

    /// Until nothing is on its way.
    pub(super) fn run(&mut self) {
        let mut left = 1_000_000;
        while let Some((from, to, mut parcel)) = self.air.pop_front() {
            left -= 1;
            assert!(left > 0, "nodes talk without an end");
            if self.island[from] != self.island[to] {
                continue;
            }
            let (Parcel::Said(body) | Parcel::Sealed(body)) = &mut parcel;
            if let Some(hand) = &mut self.in_the_way
                && !hand(from, to, body)
            {
                continue;
            }
            let from = self.id(from);
            let input = match parcel {
                Parcel::Said(body) => In::Message { from, body },
                Parcel::Sealed(body) => In::Sealed { from, body },
            };
            self.step(to, |machine, cx, out| machine.handle(cx, input, out));
        }
    }

    pub(super) fn wait(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        loop {
            let next = self.nodes.iter().filter_map(|node| node.machine.next_deadline()).min();
            self.now = next.filter(|at| *at < end).map_or(end, |at| at.max(self.now));
            for n in 0..self.nodes.len() {
                self.step(n, |machine, cx, out| machine.handle_timeout(cx, out));
            }
            self.run();
            if self.now >= end {
                return;
            }
        }
    }

    pub(super) fn command<C: Command<Groups>>(&mut self, n: usize, command: C) -> C::Answer {
        let answer = self.step(n, |machine, cx, out| command.run(machine, cx, out));
        self.run();
        answer
    }

    pub(super) fn create(&mut self, n: usize) -> GroupId {
        let (kind, name, policy) = (GroupKind::Private, "team".into(), GroupPolicy::default());
        self.command(n, Create { kind, name, policy, expires: None }).unwrap()
    }

    pub(super) fn invite(&mut self, group: GroupId, by: usize, invite: Invite) -> GroupTicket {
        let (name, invitation) = self.command(by, Invite { group, ..invite }).unwrap();
        let (invitation, bearer) = invitation.unwrap();
        let (node, addrs) = (self.id(by), Vec::new());
        GroupTicket { group, name, node, addrs, network_key: None, invitation: Some(invitation), bearer }
    }

    pub(super) fn invitation(&mut self, group: GroupId, by: usize, to: usize, role: GroupRole) -> GroupTicket {
        let node = Some(self.id(to));
        self.invite(group, by, Invite { group, role, uses: 1, expires: FOREVER, node })
    }

    pub(super) fn add(&mut self, group: GroupId, by: usize, node: usize, role: GroupRole) {
        let ticket = self.invitation(group, by, node, role);
        self.command(node, Join { ticket }).unwrap();
        assert!(self.is_member(group, by, node), "node {node}");
    }

    pub(super) fn act(&mut self, group: GroupId, n: usize, deed: Deed) {
        self.command(n, Act { group, deed }).unwrap();
    }

    pub(super) fn remove(&mut self, group: GroupId, by: usize, who: usize) {
        let member = self.id(who);
        self.act(group, by, Deed::Remove { member, ban: false });
    }

    /// A run of one entry that a node signed, with a text for its body.
    pub(super) fn run_of(&self, group: GroupId, n: usize, context: Context, text: &[u8]) -> Vec<u8> {
        let entries = vec![Part { parents: Vec::new(), body: Carried::Body(Blob(text.to_vec())) }];
        let parts = Parts { life: Life([n as u8; 8]), seq: 1, prev: None, entries };
        Run::sign_in_group(&self.nodes[n].who, group_conversation(group), &context, parts).unwrap().bytes
    }

    /// Seals a text under what the node knows.
    pub(super) fn say(&mut self, group: GroupId, n: usize, text: &[u8]) {
        self.command(n, Prepare { group }).unwrap();
        let body = self.run_of(group, n, self.nodes[n].context.clone().unwrap(), text);
        self.step(n, |machine, cx, out| machine.handle(cx, In::Carry { group, body }, out));
        self.run();
    }

    pub(super) fn heard(&self, n: usize) -> Vec<Vec<u8>> {
        let text = |run: &Vec<u8>| {
            let parts: Parts = decode(GroupRun::read(run).unwrap().parts, MAX_MESSAGE).unwrap();
            match &parts.entries[0].body {
                Carried::Body(Blob(text)) => text.clone(),
                Carried::Hash(_) => Vec::new(),
            }
        };
        self.nodes[n].opened.iter().map(text).collect()
    }

    pub(super) fn has_heard(&self, n: usize, text: &[u8]) -> bool {
        self.heard(n).iter().any(|heard| heard == text)
    }

    pub(super) fn is_member(&self, group: GroupId, at: usize, who: usize) -> bool {
        let info = self.nodes[at].machine.info(group);
        info.is_some_and(|info| info.members.iter().any(|m| m.id == self.id(who)))
    }

    pub(super) fn usable(&self, group: GroupId, n: usize) -> Option<OpId> {
        self.nodes[n].machine.groups.get(&group)?.usable
    }

    /// Delivers a message that no machine made, and returns how many came of it.
    pub(super) fn feed(&mut self, to: usize, from: usize, message: &Message) -> Vec<Message> {
        let (before, from, body) = (self.said.len(), self.id(from), encode(message));
        self.step(to, |machine, cx, out| machine.handle(cx, In::Message { from, body }, out));
        let answers = self.said[before..].iter().map(|(_, _, m)| m.clone()).collect();
        self.run();
        answers
    }

    pub(super) fn feed_sealed(&mut self, to: usize, from: usize, body: &[u8]) {
        let (from, body) = (self.id(from), body.to_vec());
        self.step(to, |machine, cx, out| machine.handle(cx, In::Sealed { from, body }, out));
        self.run();
    }

    pub(super) fn drops(&self, n: usize, reason: DropReason) -> u64 {
        self.nodes[n].machine.drops.get(reason)
    }

    /// Secrets that were sent to a node.
    pub(super) fn secrets_to(&self, n: usize) -> usize {
        self.said.iter().filter(|(_, to, m)| *to == n && matches!(m, Message::Secret(_))).count()
    }

    /// An operation of a node after all that another one has, however bad it is.
    pub(super) fn forge(&self, group: GroupId, by: usize, at: usize, action: Action) -> Operation {
        let ops = &self.nodes[at].machine.groups[&group].ops;
        let place = ops.next_place(self.id(by));
        Operation::sign(&self.nodes[by].who, Some(group), place, WALL, action).unwrap()
    }
}
