use super::*;
use crate::collections::{OrderedMap, OrderedSet};
use crate::config::NodeType;
use crate::fact::samples::down;
use crate::identity::tests::identity;
use crate::rng::Rng;
use crate::time::WallTime;
use crate::wire::record::NodeRecord;
use core::net::SocketAddr;
use proptest::prelude::{prop, prop_assert, proptest};
use wire::{Claim, Update};

const MS: u64 = 1_000;
/// The second of the clock at which all nodes begin.
const BEGAN: u64 = 1_000;

fn id(n: usize) -> NodeId {
    identity(n as u8 + 1).node_id()
}

fn record(n: usize) -> NodeRecord {
    NodeRecord::sign(&identity(n as u8 + 1), [n as u8; 32], 1, WallTime(u64::MAX), NodeType::Regular)
}

fn ids(all: impl Iterator<Item = usize>) -> Vec<NodeId> {
    let ids: OrderedSet<NodeId> = all.map(id).collect();
    ids.into_iter().collect()
}

fn up(n: usize) -> Fact {
    Fact::LinkUp { peer: id(n), record: record(n), addr: addr(n) }
}

/// What node `n` states, as node `sender` tells it.
fn told(sender: usize, n: usize, incarnation: u64, presence: Presence) -> Told {
    let record = record(n);
    let addrs = if sender == n { Vec::new() } else { alloc::vec![addr(n)] };
    Told::by(&identity(n as u8 + 1), (sender != n).then_some(&record), (incarnation, presence), addrs)
}

fn addr(n: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n as u8 + 1], 4_000))
}

struct Node {
    id: NodeId,
    machine: Swim,
    rng: Rng,
    runs: bool,
    /// Links that it wanted to nodes that do not exist.
    wants: usize,
    /// Gets no time until then.
    stalled: u64,
    reported: Vec<(u64, NodeId, MemberState)>,
    members: Option<Vec<NodeId>>,
    links: OrderedSet<usize>,
}

/// Machines with links that open as soon as one side wants them, and messages that take 20 ms.
struct Mesh {
    nodes: Vec<Node>,
    mail: OrderedMap<(u64, u64), (usize, usize, Vec<u8>)>,
    number: u64,
    now: u64,
    wall: u64,
    rng: Rng,
    loss: usize,
    /// Pairs between which no message passes.
    cut: OrderedSet<(usize, usize)>,
}

impl Mesh {
    fn new(count: usize, config: &Config) -> Self {
        let node = |n: usize| Node {
            id: id(n),
            machine: Swim::new(config, &identity(n as u8 + 1), WallTime(BEGAN * 1_000)),
            rng: Rng::new([n as u8 + 1; 32]),
            runs: true,
            wants: 0,
            stalled: 0,
            reported: Vec::new(),
            members: None,
            links: OrderedSet::new(),
        };
        Self {
            nodes: (0..count).map(node).collect(),
            mail: OrderedMap::new(),
            number: 0,
            now: 1_000_000,
            wall: BEGAN * 1_000,
            rng: Rng::new([77; 32]),
            loss: 0,
            cut: OrderedSet::new(),
        }
    }

    /// Each is a neighbour of the next, and time passes until all know all.
    fn formed(count: usize, config: &Config) -> Self {
        let mut mesh = Self::new(count, config);
        for n in 1..count {
            mesh.neighbours(n - 1, n);
        }
        mesh.run(60_000);
        mesh
    }

    /// The number of a node; one that is not there has none.
    fn index(&self, peer: NodeId) -> usize {
        self.nodes.iter().position(|n| n.id == peer).unwrap_or(usize::MAX)
    }

    fn fact(&mut self, n: usize, fact: Fact) {
        self.with(n, |m, cx, out| m.fact(cx, &fact, out));
    }

    fn give(&mut self, n: usize, input: In) {
        self.with(n, |m, cx, out| m.handle(cx, input, out));
    }

    fn with(&mut self, n: usize, f: impl FnOnce(&mut Swim, &mut Cx<'_>, &mut Outbox<Out>)) {
        let (now, wall) = (self.now, self.wall);
        let node = &mut self.nodes[n];
        let mut cx = Cx { now: Instant::from_micros(now), wall: WallTime(wall), me: node.id, rng: &mut node.rng };
        let mut out = Outbox::new();
        f(&mut node.machine, &mut cx, &mut out);
        for o in out.take() {
            match o {
                Out::Send { to, body } => {
                    let to = self.index(to);
                    if self.nodes[n].links.contains(&to) && self.rng.below(100) >= self.loss {
                        self.number += 1;
                        self.mail.insert((now + 20 * MS, self.number), (n, to, body));
                    }
                }
                Out::Want(peer) => {
                    let peer = self.index(peer);
                    if peer < self.nodes.len() {
                        self.link(n, peer);
                    } else {
                        self.nodes[n].wants += 1;
                    }
                }
                Out::Fact(Fact::MemberChanged { peer, state, .. }) => {
                    let node = &mut self.nodes[n];
                    let last = node.machine.members.roster.get(peer).and_then(|m| m.last_received);
                    let silent = Instant::from_micros(now).since(last.unwrap_or(Instant::ZERO));
                    // Law: a member whose messages arrive at a node is not down to it.
                    let swim = &node.machine.config;
                    let law = silent >= swim.period * swim.alpha || !swim.witness;
                    assert!(state != MemberState::Down || law, "{n} received a message of {peer:?} {silent:?} ago");
                    node.reported.push((now, peer, state));
                }
                Out::Fact(Fact::Zone(members)) => self.nodes[n].members = members,
                Out::Fact(other) => panic!("{other:?} is no fact of this machine"),
                Out::AddAddresses { .. } | Out::Unwant(_) => {}
            }
        }
    }

    fn link(&mut self, a: usize, b: usize) {
        if a == b || !self.nodes[b].runs || self.cut.contains(&(a.min(b), a.max(b))) || !self.nodes[a].links.insert(b) {
            return;
        }
        self.nodes[b].links.insert(a);
        self.fact(a, up(b));
        self.fact(b, up(a));
    }

    fn neighbours(&mut self, a: usize, b: usize) {
        self.link(a, b);
        self.fact(a, Fact::NeighbourUp(id(b)));
        self.fact(b, Fact::NeighbourUp(id(a)));
    }

    fn run(&mut self, ms: u64) {
        let end = self.now + ms * MS;
        loop {
            let due = |n: &Node| n.machine.next_deadline().map(|d| d.as_micros().max(n.stalled));
            let timer = self.nodes.iter().filter(|n| n.runs).filter_map(due).min();
            let mail = self.mail.keys().next().map(|(at, _)| *at);
            let next = [timer, mail].into_iter().flatten().min();
            let Some(next) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            if mail == Some(next) {
                let ((_, number), (from, to, body)) = self.mail.pop_first().unwrap();
                let cut = self.cut.contains(&(from.min(to), from.max(to)));
                if self.nodes[to].stalled > self.now {
                    self.mail.insert((self.nodes[to].stalled, number), (from, to, body));
                } else if self.nodes[to].runs && !cut {
                    let from = self.nodes[from].id;
                    self.give(to, In::Message { from, body });
                }
                continue;
            }
            let n = (0..self.nodes.len()).find(|n| self.nodes[*n].runs && due(&self.nodes[*n]) == Some(next)).unwrap();
            self.with(n, |m, cx, out| m.handle_timeout(cx, out));
        }
        self.now = end;
    }

    fn kill(&mut self, n: usize) {
        self.nodes[n].runs = false;
    }

    fn state(&self, observer: usize, of: usize) -> Option<MemberState> {
        self.nodes[observer].machine.members.roster.get(id(of)).map(|m| m.state)
    }

    fn downs(&self, of: usize) -> usize {
        let down = |n: &Node| n.reported.iter().any(|(_, p, s)| *p == id(of) && *s == MemberState::Down);
        self.nodes.iter().filter(|n| down(n)).count()
    }
}

#[test]
fn all_members_learn_of_all_through_neighbours() {
    let mesh = Mesh::formed(20, &Config::default());
    for n in 0..20 {
        let others = ids((0..20).filter(|o| *o != n));
        assert_eq!(mesh.nodes[n].members.as_ref(), Some(&others));
        assert_eq!(mesh.nodes[n].links.len(), 19);
        assert!(mesh.nodes[n].reported.is_empty(), "no member was ever suspected");
    }
}

/// SWIM §5: two messages a member and period, and one exchange of rosters in 30 s. A period of a quiet zone is longer.
#[test]
fn a_quiet_zone_costs_two_messages_a_quiet_period() {
    let mut mesh = Mesh::formed(12, &Config::default());
    // The last newcomer is a minute ago.
    mesh.run(20_000);
    let sum = |mesh: &Mesh| mesh.nodes.iter().map(|n| n.machine.members.stats.messages_out).sum::<u64>();
    let before = sum(&mesh);
    mesh.run(600_000);
    let each = (sum(&mesh) - before) as f64 / 12.0 / 120.0;
    assert!((1.8..2.4).contains(&each), "{each}");
}

/// Mutation: what happens leaves the period under way as long as it is (`keep_pace`).
#[test]
fn a_lost_link_in_a_quiet_zone_ends_the_long_period() {
    let mut mesh = Mesh::formed(12, &Config::default());
    mesh.run(60_000);
    let usual = Config::default().swim.period;
    let next = |mesh: &Mesh, n: usize| mesh.nodes[n].machine.members.timers.get(Timer::Period).expect("a period");
    let late = |mesh: &Mesh| (1..12).filter(|n| next(mesh, *n) > Instant::from_micros(mesh.now) + usual).count();
    assert!(late(&mesh) > 3, "{}", late(&mesh));
    (1..12).for_each(|n| mesh.fact(n, down(id(0))));
    assert_eq!(late(&mesh), 0);
}

/// Mutations: a newcomer (`Roster::insert`) or a refutation (`Members::refute`) leaves the period as long as it is.
#[test]
fn a_newcomer_or_a_claim_in_a_quiet_zone_ends_it_too() {
    let mut mesh = Mesh::new(13, &Config::default());
    (1..12).for_each(|n| mesh.neighbours(n - 1, n));
    mesh.run(120_000);
    let usual = Config::default().swim.period;
    let next = |mesh: &Mesh, n: usize| mesh.nodes[n].machine.members.timers.get(Timer::Period).expect("a period");
    let is_late = |mesh: &Mesh, n: usize| next(mesh, n) > Instant::from_micros(mesh.now) + usual;
    let doubted = (0..12).find(|n| is_late(&mesh, *n)).expect("a long period");
    let teller = (doubted + 1) % 12;
    let incarnation = mesh.nodes[doubted].machine.members.incarnation();
    let update = Update { member: id(doubted), incarnation, claim: Claim::Suspect };
    let body = Message::Ping { seq: 9_000, updates: alloc::vec![update] }.encode();
    let before = next(&mesh, doubted);
    mesh.give(doubted, In::Message { from: id(teller), body });
    // Lifeguard has one that is doubted wait twice as long as usual, which is less than a quiet period.
    assert!(next(&mesh, doubted) < before, "it has something to refute");
    let mut mesh = Mesh::new(13, &Config::default());
    (1..12).for_each(|n| mesh.neighbours(n - 1, n));
    mesh.run(120_000);
    mesh.neighbours(11, 12);
    mesh.run(500);
    let met: Vec<usize> = (0..12).filter(|n| mesh.state(*n, 12).is_some()).collect();
    assert!(met.len() > 1 && met.iter().all(|n| !is_late(&mesh, *n)), "{met:?}");
}

/// Mutations: nothing stirs a quiet zone (`keep_pace` returns at once), or a stirred one is never quiet again.
#[test]
fn a_death_in_a_quiet_zone_brings_the_usual_period() {
    let mut mesh = Mesh::formed(12, &Config::default());
    mesh.run(60_000);
    mesh.kill(7);
    let killed = mesh.now;
    mesh.run(20_000);
    let first = mesh.nodes.iter().flat_map(|n| &n.reported).map(|t| t.0).min().expect("it is suspected");
    assert!(first - killed <= 12_000 * MS, "its turn comes within two quiet periods: {} ms", (first - killed) / MS);
    let pings = |mesh: &Mesh| mesh.nodes.iter().map(|n| n.machine.members.stats.pings).sum::<u64>();
    let before = pings(&mesh);
    mesh.run(20_000);
    let stirred = pings(&mesh) - before;
    assert!(stirred >= 11 * 9, "a probe in 2 s each: {stirred}");
    mesh.run(120_000);
    let before = pings(&mesh);
    mesh.run(20_000);
    let quiet = pings(&mesh) - before;
    assert!(quiet <= 11 * 5, "a probe in 5 s each: {quiet}");
}

#[test]
fn a_probe_that_comes_again_is_answered_once() {
    let mut mesh = Mesh::formed(3, &Config::default());
    let before = mesh.nodes[0].machine.members.stats.acks;
    for seq in [7_000, 7_001, 7_000, 7_001, 7_000] {
        let body = Message::Ping { seq, updates: Vec::new() }.encode();
        mesh.give(0, In::Message { from: id(1), body });
    }
    assert_eq!(mesh.nodes[0].machine.members.stats.acks - before, 2);
    assert_eq!(mesh.nodes[0].machine.drops.get(DropReason::Duplicate), 3);
}

#[test]
fn a_dead_member_alone_is_suspected_then_down_at_all_nodes() {
    let mut mesh = Mesh::formed(20, &Config::default());
    mesh.kill(7);
    let died = mesh.now;
    mesh.run(60_000);
    for n in (0..20).filter(|n| *n != 7) {
        let states: Vec<MemberState> = mesh.nodes[n].reported.iter().map(|t| t.2).collect();
        assert_eq!(states, [MemberState::Suspect, MemberState::Down], "{n}");
        assert!(mesh.nodes[n].reported.iter().all(|t| t.1 == id(7)));
        let (suspected, down) = (mesh.nodes[n].reported[0].0 - died, mesh.nodes[n].reported[1].0 - died);
        assert!(suspected < 20_000 * MS && down < 40_000 * MS, "{suspected} {down}");
        assert_eq!(mesh.nodes[n].members.as_ref().map(Vec::len), Some(18));
    }
}

/// Mutation: the next time to forget is that of a member which is present, or of none.
#[test]
fn each_member_is_forgotten_when_it_was_gone_for_long() {
    let config = Config::default();
    let mut mesh = Mesh::formed(8, &config);
    mesh.kill(3);
    mesh.run(200_000);
    mesh.kill(5);
    mesh.run(200_000);
    assert_eq!((mesh.state(0, 3), mesh.state(0, 5)), (Some(MemberState::Down), Some(MemberState::Down)));
    // Ten minutes after the first was found to be down, and before that of the second.
    mesh.run(300_000);
    for n in (0..8).filter(|n| ![3, 5].contains(n)) {
        assert_eq!((mesh.state(n, 3), mesh.state(n, 5)), (None, Some(MemberState::Down)), "{n}");
    }
    mesh.run(200_000);
    for n in (0..8).filter(|n| ![3, 5].contains(n)) {
        assert_eq!((mesh.state(n, 3), mesh.state(n, 5)), (None, None), "{n}");
        assert_eq!(mesh.nodes[n].members.as_ref().map(Vec::len), Some(5));
    }
}

#[test]
fn a_restarted_node_refutes_what_others_remember() {
    let mut mesh = Mesh::formed(8, &Config::default());
    mesh.kill(3);
    mesh.run(60_000);
    assert_eq!(mesh.state(0, 3), Some(MemberState::Down));
    for n in 0..8 {
        if mesh.nodes[n].links.remove(&3) {
            mesh.fact(n, down(id(3)));
        }
    }
    let fresh = Mesh::new(8, &Config::default()).nodes.swap_remove(3);
    mesh.nodes[3] = fresh;
    mesh.neighbours(3, 0);
    mesh.run(30_000);
    for n in (0..8).filter(|n| *n != 3) {
        assert_eq!(mesh.state(n, 3), Some(MemberState::Alive), "{n}");
        assert_eq!(mesh.nodes[n].reported.last().map(|t| t.2), Some(MemberState::Alive));
    }
    assert_eq!(mesh.nodes[3].members.as_ref().map(Vec::len), Some(7));
}

#[test]
fn a_member_that_left_or_sleeps_is_not_declared_down() {
    let mut mesh = Mesh::formed(8, &Config::default());
    mesh.fact(2, Fact::Leaving);
    mesh.fact(5, Fact::Suspended);
    mesh.run(100);
    mesh.kill(2);
    mesh.kill(5);
    mesh.run(120_000);
    for n in [0, 1, 3, 4, 6, 7] {
        assert_eq!((mesh.state(n, 2), mesh.state(n, 5)), (Some(MemberState::Left), Some(MemberState::Away)), "{n}");
    }
    assert_eq!((mesh.downs(2), mesh.downs(5)), (0, 0));
    mesh.nodes[5].runs = true;
    mesh.fact(5, Fact::Resumed);
    mesh.run(30_000);
    for n in [0, 1, 3, 4, 6, 7] {
        assert_eq!((mesh.state(n, 5), mesh.state(5, n)), (Some(MemberState::Alive), Some(MemberState::Alive)), "{n}");
    }
}

#[test]
fn a_zone_too_large_dissolves_and_forms_again_when_small() {
    let mut config = Config::default();
    config.limits.zone_members = 12;
    let mut mesh = Mesh::formed(12, &config);
    assert!(mesh.nodes.iter().all(|n| n.machine.zone.stands() && n.members.as_ref().map(Vec::len) == Some(11)));
    let mut rest = Mesh::new(14, &config).nodes.split_off(12);
    mesh.nodes.append(&mut rest);
    mesh.neighbours(12, 0);
    mesh.neighbours(13, 5);
    mesh.neighbours(13, 12);
    mesh.run(60_000);
    for (n, node) in mesh.nodes.iter().enumerate() {
        assert!(
            !node.machine.zone.stands() || node.machine.members.count() < 4,
            "{n} keeps {}",
            node.machine.members.count()
        );
    }
    assert!(mesh.nodes[0].members.is_none());
    assert!((0..14).all(|n| mesh.downs(n) == 0), "a dissolved zone declares no member down");
    // Six or more are too many to form one again.
    (0..14).for_each(|n| mesh.give(n, In::Estimate(6)));
    mesh.run(10_000);
    assert!(!mesh.nodes[0].machine.zone.stands());
    mesh.run(60_000);
    (5..14).for_each(|n| mesh.kill(n));
    for _ in 0..6 {
        (0..5).for_each(|n| mesh.give(n, In::Estimate(5)));
        mesh.run(30_000);
    }
    for n in 0..5 {
        assert_eq!(mesh.nodes[n].members.as_ref().map(Vec::len), Some(4), "{n}");
    }
}

#[test]
fn a_node_without_a_zone_answers_and_dissolves() {
    let mut config = Config::default();
    config.swim.zone = false;
    let mut mesh = Mesh::formed(4, &Config::default());
    mesh.nodes.push(Mesh::new(5, &config).nodes.swap_remove(4));
    mesh.neighbours(4, 0);
    mesh.run(60_000);
    assert_ne!(mesh.state(0, 4), Some(MemberState::Alive));
    assert_eq!(mesh.downs(4), 0);
    mesh.give(0, In::Probe(id(4)));
    mesh.run(5_000);
    assert_eq!(mesh.nodes[0].reported.last().map(|t| (t.1, t.2)), Some((id(4), MemberState::Alive)));
}

#[test]
fn a_requested_probe_reports_on_members_and_strangers() {
    let mut mesh = Mesh::formed(5, &Config::default());
    mesh.give(0, In::Probe(id(1)));
    mesh.run(1_000);
    assert_eq!(mesh.nodes[0].reported.last().map(|t| (t.1, t.2)), Some((id(1), MemberState::Alive)));
    mesh.kill(2);
    let asked = mesh.now;
    mesh.give(0, In::Probe(id(2)));
    mesh.run(3_000);
    let (at, peer, state) = *mesh.nodes[0].reported.last().unwrap();
    assert!(peer == id(2) && state == MemberState::Suspect && at - asked < 2_000 * MS, "{at}");
    mesh.give(0, In::Probe(NodeId([99; 32])));
    mesh.run(11_000);
    let last = mesh.nodes[0].reported.iter().rev().find(|t| t.1 == NodeId([99; 32]));
    assert_eq!(last.map(|t| t.2), Some(MemberState::Suspect));
}

/// The end of the wait is for late answers of helpers: with a NACK of each it is half as long.
#[test]
fn nacks_of_all_helpers_shorten_the_wait_for_a_suspicion() {
    let suspected = |nack| {
        let mut config = Config::default();
        config.swim.nack = nack;
        let mut mesh = Mesh::formed(5, &config);
        mesh.kill(2);
        let asked = mesh.now;
        mesh.give(0, In::Probe(id(2)));
        mesh.run(3_000);
        let (at, peer, state) = *mesh.nodes[0].reported.last().unwrap();
        assert!(peer == id(2) && state == MemberState::Suspect);
        (at - asked) / MS
    };
    assert_eq!((suspected(true), suspected(false)), (1_250, 1_500));
}

/// Mutation: `nacked` takes the NACK of a node that was not asked.
#[test]
fn nacks_of_one_node_do_not_shorten_the_wait() {
    let suspected = |senders: &[usize]| {
        let mut config = Config::default();
        config.swim.nack = false;
        let mut mesh = Mesh::formed(6, &config);
        mesh.kill(2);
        let asked = mesh.now;
        mesh.give(0, In::Probe(id(2)));
        mesh.run(900);
        // One of these is the number of the probe.
        for (sender, seq) in senders.iter().flat_map(|sender| (0..500).map(|seq| (*sender, seq))) {
            mesh.give(0, In::Message { from: id(sender), body: Message::Nack { seq, updates: Vec::new() }.encode() });
        }
        mesh.run(3_000);
        let (at, peer, state) = *mesh.nodes[0].reported.last().unwrap();
        assert!(peer == id(2) && state == MemberState::Suspect);
        (at - asked) / MS
    };
    assert_eq!(suspected(&[1, 3, 4, 5]), 1_250);
    for sender in [1, 3, 4, 5] {
        assert_eq!(suspected(&[sender; 4]), 1_500, "{sender}");
    }
}

/// Freeze: a node that was absent for longer than any suspicion lasts declares no member down when it wakes.
#[test]
fn after_an_absence_suspects_are_probed_before_they_are_down() {
    let run = |freeze: bool| {
        let mut config = Config::default();
        config.swim.freeze = freeze;
        config.swim.witness = false;
        let mut mesh = Mesh::formed(6, &config);
        // It had no answer from all others, and then it gets no time for five minutes.
        for n in 1..6 {
            mesh.with(0, |m, cx, out| m.members.suspect(id(n), 0, cx, out));
        }
        mesh.nodes[0].stalled = mesh.now + 300_000 * MS;
        mesh.run(400_000);
        mesh.nodes[0].reported.iter().filter(|t| t.2 == MemberState::Down).count()
    };
    assert_eq!(run(true), 0);
    assert!(run(false) > 0, "without it there is something to prevent");
}

/// One liar claims everything of a member, and that others do. Breaks if a claim makes a suspect of whom it is about, or
/// if a teller counts more than once (`claimed`).
#[test]
fn a_member_whose_messages_arrive_is_not_declared_down() {
    let mut mesh = Mesh::formed(6, &Config::default());
    for round in 0..120 {
        let liar = 5;
        for n in 0..5 {
            let known = mesh.nodes[n].machine.members.roster.get(id(4)).map_or(0, |m| m.incarnation);
            let claim = if round % 2 == 0 { Claim::Down } else { Claim::Suspect };
            let updates = alloc::vec![Update { member: id(4), incarnation: known, claim }];
            let body = Message::Ping { seq: 9_000 + round as u32, updates }.encode();
            mesh.give(n, In::Message { from: id(liar), body });
        }
        mesh.run(1_000);
    }
    mesh.run(30_000);
    for n in 0..4 {
        let held: Vec<_> = mesh.nodes[n].reported.iter().filter(|t| t.1 == id(4)).collect();
        assert!(held.is_empty(), "{n} held it for {held:?}");
        assert_eq!(mesh.state(n, 4), Some(MemberState::Alive), "{n}");
    }
}

proptest! {
    /// While the messages of a member arrive, no node declares it down: at any loss none that received one recently
    /// (the law of the mesh), and up to a tenth none at all.
    #[test]
    fn no_member_that_answers_is_declared_down(seed: u8, loss in 0usize..40, count in 4usize..9) {
        let mut mesh = Mesh::formed(count, &Config::default());
        mesh.rng = Rng::new([seed; 32]);
        mesh.loss = loss;
        mesh.run(120_000);
        for n in 0..count {
            prop_assert!(loss > 10 || mesh.downs(n) == 0, "{n} with {loss} % loss");
        }
    }

    /// A suspicion that was refuted does not come back with the incarnation it was about.
    #[test]
    fn a_refuted_suspicion_stays_refuted(
        steps in prop::collection::vec((0u8..4, 1u64..6, 1usize..5), 1..80),
    ) {
        let mut mesh = Mesh::new(5, &Config::default());
        mesh.neighbours(0, 1);
        (2..5).for_each(|n| mesh.link(0, n));
        let state = |mesh: &mut Mesh, incarnation: u64| {
            let body = Message::Statements(alloc::vec![told(2, 2, incarnation, Presence::Here)]).encode();
            mesh.give(0, In::Message { from: id(2), body });
        };
        mesh.give(0, In::Message { from: id(2), body: Message::Digest([0; 16]).encode() });
        state(&mut mesh, 1);
        let mut refuted = None;
        for (what, incarnation, by) in steps {
            match what {
                0 => {
                    state(&mut mesh, incarnation);
                    let now = mesh.nodes[0].machine.members.roster.get(id(2)).unwrap().incarnation;
                    if incarnation == now {
                        refuted = incarnation.checked_sub(1);
                    }
                }
                1 => mesh.with(0, |m, cx, out| m.members.suspect(id(2), 0, cx, out)),
                _ => {
                    let update = Update { member: id(2), incarnation, claim: Claim::Suspect };
                    let body = Message::Sync { ask: false, roster: alloc::vec![update] }.encode();
                    mesh.give(0, In::Message { from: id(by), body });
                }
            }
            let member = mesh.nodes[0].machine.members.roster.get(id(2)).unwrap();
            if member.state == MemberState::Suspect {
                prop_assert!(refuted.is_none_or(|r| member.incarnation > r));
            }
        }
    }
}

/// Messages of this kind that are on their way, over `ms`.
fn mailed(mesh: &mut Mesh, ms: u64, kind: impl Fn(&Message) -> bool) -> usize {
    let (mut count, mut seen) = (0, mesh.number);
    let end = mesh.now + ms * MS;
    while mesh.now < end {
        mesh.run(10);
        let fresh = mesh.mail.iter().filter(|((_, number), _)| *number > seen);
        count += fresh.filter(|(_, (_, _, body))| kind(&Message::decode(body).unwrap())).count();
        seen = mesh.number;
    }
    count
}

#[test]
fn equal_rosters_are_compared_by_digest_alone() {
    let mut mesh = Mesh::formed(8, &Config::default());
    assert_eq!(mailed(&mut mesh, 300_000, |m| matches!(m, Message::Sync { .. })), 0);
    assert!(mailed(&mut mesh, 300_000, |m| matches!(m, Message::Digest(_))) >= 60);
}

#[test]
fn a_roster_that_differs_is_exchanged_within_two_minutes() {
    let mut mesh = Mesh::formed(8, &Config::default());
    // As if the newest updates about one had never come.
    let member = mesh.nodes[0].machine.members.roster.get_mut(id(5)).unwrap();
    let newest = core::mem::take(&mut member.incarnation);
    member.stated = None;
    assert!(mailed(&mut mesh, 120_000, |m| matches!(m, Message::Sync { .. })) > 0);
    assert_eq!(mesh.state(0, 5), Some(MemberState::Alive));
    assert_eq!(mesh.nodes[0].machine.members.roster.get(id(5)).unwrap().incarnation, newest);
}

#[test]
fn a_digest_is_answered_once_in_five_seconds() {
    let mut mesh = Mesh::formed(2, &Config::default());
    let digest = || In::Message { from: id(1), body: Message::Digest([1; 16]).encode() };
    let before = mesh.nodes[0].machine.members.stats.syncs;
    (0..10).for_each(|_| mesh.give(0, digest()));
    assert_eq!(mesh.nodes[0].machine.members.stats.syncs - before, 1);
    assert_eq!(mesh.nodes[0].machine.drops.get(DropReason::Rate), 9);
}

#[test]
fn of_two_nodes_alone_one_probes_in_each_period() {
    let mut mesh = Mesh::formed(2, &Config::default());
    mesh.run(1_000);
    let pings = mailed(&mut mesh, 600_000, |m| matches!(m, Message::Ping { .. }));
    assert!((115..=125).contains(&pings), "120 quiet periods: {pings}");
    mesh.kill(1);
    mesh.run(12_000);
    assert_eq!(mesh.state(0, 1), Some(MemberState::Suspect), "each would probe the other if it fell silent");
    let mut mesh = Mesh::formed(2, &Config::default());
    mesh.kill(0);
    mesh.run(12_000);
    assert_eq!(mesh.state(1, 0), Some(MemberState::Suspect));
}

/// Two parts hold each other's members for down. Breaks if a whole roster's claim makes a suspect (`check_claim`), if
/// rosters are not compared with a member that is linked again, and if a refutation is not sent to whom it concerns.
#[test]
fn parts_that_meet_again_suspect_no_member() {
    let mut mesh = Mesh::formed(8, &Config::default());
    let across: Vec<(usize, usize)> = (0..4).flat_map(|a| (4..8).map(move |b| (a, b))).collect();
    mesh.cut.extend(across.iter().copied());
    for (a, b) in across {
        for (n, peer) in [(a, b), (b, a)] {
            mesh.nodes[n].links.remove(&peer);
            mesh.fact(n, down(id(peer)));
        }
    }
    mesh.run(120_000);
    assert!((0..8).all(|n| mesh.nodes[n].members.as_ref().map(Vec::len) == Some(3)), "each part gave the other up");
    mesh.cut.clear();
    mesh.nodes.iter_mut().for_each(|n| n.reported.clear());
    mesh.link(2, 6);
    mesh.run(15_000);
    for n in 0..8 {
        let others = ids((0..8).filter(|o| *o != n));
        assert_eq!(mesh.nodes[n].members.as_ref(), Some(&others), "{n}");
        let suspected = mesh.nodes[n].reported.iter().filter(|(_, _, state)| *state != MemberState::Alive).count();
        assert_eq!(suspected, 0, "{n}: {:?}", mesh.nodes[n].reported);
    }
}

/// What a member holds of the others, and they of each other: everything that a liar would change.
fn opinions(mesh: &Mesh) -> Vec<Vec<(NodeId, MemberState, u64)>> {
    mesh.nodes.iter().map(|n| n.machine.members().collect()).collect()
}

fn say(mesh: &mut Mesh, from: usize, to: usize, message: &Message) {
    let from = id(from);
    mesh.give(to, In::Message { from, body: message.encode() });
}

fn claims_of(mesh: &Mesh, at: usize, but: &[usize], claim: &Claim) -> Vec<Update> {
    let but: Vec<NodeId> = but.iter().map(|n| id(*n)).collect();
    let all = mesh.nodes[at].machine.members().filter(|(member, ..)| !but.contains(member));
    all.map(|(member, _, incarnation)| Update { member, incarnation, claim: claim.clone() }).collect()
}

/// One ping made 63 of 90 opinions false for ten minutes. Breaks if a claim of a death is believed, if one that a member
/// left or sleeps needs no statement, and if a claim is passed on.
#[test]
fn a_liars_ping_changes_no_opinion_in_a_zone_of_ten() {
    for claim in [Claim::Down, Claim::Left, Claim::Away, Claim::Suspect] {
        for raise in [0, 1, u64::from(u32::MAX), u64::MAX >> 1] {
            let mut mesh = Mesh::formed(10, &Config::default());
            mesh.run(10_000);
            let before = opinions(&mesh);
            let mut updates = claims_of(&mesh, 0, &[9], &claim);
            updates.iter_mut().for_each(|u| u.incarnation += raise);
            for (n, some) in updates.chunks(7).enumerate() {
                say(&mut mesh, 9, 0, &Message::Ping { seq: 8_000 + n as u32, updates: some.to_vec() });
                say(&mut mesh, 9, 0, &Message::Sync { ask: true, roster: some.to_vec() });
            }
            mesh.run(120_000);
            let refuted = |n: &Node| n.machine.members.stats.refuted;
            assert!(mesh.nodes.iter().all(|n| n.reported.is_empty() && refuted(n) <= 1), "{claim:?} {raise}");
            // A refutation alone is a higher incarnation of the one that was claimed to be gone.
            for (was, is) in before.iter().zip(opinions(&mesh)) {
                for ((a, state, low), (b, now, high)) in was.iter().zip(is) {
                    assert!(*a == b && *state == now && (*low..=*low + 1).contains(&high), "{claim:?} {raise}");
                }
            }
        }
    }
}

/// 64 kB of claims buried everybody. Breaks as the test before.
#[test]
fn claims_for_a_minute_bury_no_member() {
    let mut mesh = Mesh::formed(10, &Config::default());
    for round in 0..60u32 {
        for to in 0..9 {
            let claim = if round % 2 == 0 { Claim::Down } else { Claim::Suspect };
            let updates = claims_of(&mesh, to, &[9], &claim);
            say(&mut mesh, 9, to, &Message::Sync { ask: false, roster: updates.clone() });
            for (n, some) in updates.chunks(7).enumerate() {
                say(&mut mesh, 9, to, &Message::Ping { seq: 8_000 + round * 10 + n as u32, updates: some.to_vec() });
            }
        }
        mesh.run(1_000);
    }
    for n in 0..9 {
        assert!(mesh.nodes[n].reported.is_empty(), "{n}: {:?}", mesh.nodes[n].reported);
        assert_eq!(mesh.nodes[n].members.as_ref().map(Vec::len), Some(9));
    }
}

/// The claims of two liars count nowhere, whatever they call themselves: a vote is that of a link. Breaks if the votes
/// wanted are two, if one teller counts twice, or if those without a voice are counted (`claimed`).
#[test]
fn fewer_liars_than_confirmations_make_no_suspect() {
    let mut mesh = Mesh::formed(10, &Config::default());
    for round in 0..200u32 {
        for liar in [8, 9] {
            let updates = claims_of(&mesh, 0, &[8, 9], &Claim::Suspect);
            for (n, some) in updates.chunks(7).enumerate() {
                say(&mut mesh, liar, 0, &Message::Ping { seq: 8_000 + round * 10 + n as u32, updates: some.to_vec() });
            }
        }
        mesh.run(300);
        assert!(mesh.nodes[0].reported.is_empty(), "{round}: {:?}", mesh.nodes[0].reported);
    }
}

/// Breaks if tellers that a message of the suspect contradicts keep their voice (`is_heard`).
#[test]
fn own_evidence_beats_three_tellers_and_silences_them() {
    let mut mesh = Mesh::formed(10, &Config::default());
    let tell = |mesh: &mut Mesh, seq| {
        let incarnation = mesh.nodes[0].machine.members.roster.get(id(1)).unwrap().incarnation;
        for liar in 7..10 {
            let updates = alloc::vec![Update { member: id(1), incarnation, claim: Claim::Suspect }];
            say(mesh, liar, 0, &Message::Ping { seq, updates });
        }
    };
    tell(&mut mesh, 8_000);
    assert_eq!(mesh.state(0, 1), Some(MemberState::Suspect), "three would be enough if it were silent");
    mesh.run(5_000);
    assert_eq!(mesh.state(0, 1), Some(MemberState::Alive), "it was asked, and answered");
    mesh.nodes[0].reported.clear();
    tell(&mut mesh, 8_001);
    assert!(mesh.nodes[0].reported.is_empty(), "their claims do not count");
    mesh.run(30_000);
    assert!(mesh.nodes[0].reported.is_empty() && mesh.downs(1) == 0);
}

/// Breaks if a statement is believed without its signature, with that of another, or out of an expired record.
#[test]
fn only_the_member_itself_states_what_it_is() {
    let mut mesh = Mesh::formed(6, &Config::default());
    let asked = |mesh: &mut Mesh| {
        let claim =
            alloc::vec![Update { member: id(3), incarnation: 1 << 40, claim: Claim::Alive { addrs: Vec::new() } }];
        say(mesh, 5, 0, &Message::Sync { ask: false, roster: claim });
    };
    let record = record(3);
    let expired = NodeRecord::sign(&identity(4), [3; 32], 9, WallTime(0), NodeType::Regular);
    let by =
        |who: u8, record: &NodeRecord| Told::by(&identity(who), Some(record), (1 << 40, Presence::Left), Vec::new());
    let mut wrong = by(4, &record);
    assert!(wrong.forge());
    for (told, reason) in
        [(by(6, &record), DropReason::Signature), (wrong, DropReason::Signature), (by(4, &expired), DropReason::Stale)]
    {
        asked(&mut mesh);
        let before = mesh.nodes[0].machine.drops.get(reason);
        // The clock of the bench is a quarter of an hour after 1970: two days later the record is over.
        mesh.wall = if reason == DropReason::Stale { 2 * 86_400_000 } else { BEGAN * 1_000 };
        say(&mut mesh, 5, 0, &Message::Statements(alloc::vec![told]));
        assert_eq!(mesh.nodes[0].machine.drops.get(reason), before + 1, "{reason:?}");
        assert_eq!(mesh.state(0, 3), Some(MemberState::Alive));
        mesh.wall = BEGAN * 1_000;
        mesh.run(6_000);
    }
    asked(&mut mesh);
    say(&mut mesh, 5, 0, &Message::Statements(alloc::vec![by(4, &record)]));
    assert_eq!(mesh.state(0, 3), Some(MemberState::Left), "what it signed counts");
    mesh.run(30_000);
    assert_eq!(mesh.state(0, 3), Some(MemberState::Alive), "until it says otherwise");
}

/// An old statement of a member, even of a former life, cannot bury it: it is shown to the member, which goes above it.
/// Breaks if a statement about this node itself is not taken in (`stated`).
#[test]
fn a_member_exceeds_what_it_signed_in_a_former_life() {
    let mut mesh = Mesh::formed(6, &Config::default());
    let old = u64::from(u32::MAX);
    for to in [0, 1, 2, 4] {
        let claim = Update { member: id(3), incarnation: old, claim: Claim::Left };
        say(&mut mesh, 5, to, &Message::Sync { ask: false, roster: alloc::vec![claim] });
        say(&mut mesh, 5, to, &Message::Statements(alloc::vec![told(5, 3, old, Presence::Left)]));
        assert_eq!(mesh.state(to, 3), Some(MemberState::Left), "{to}");
    }
    mesh.run(60_000);
    for n in [0, 1, 2, 4] {
        assert_eq!(mesh.state(n, 3), Some(MemberState::Alive), "{n}");
        assert_eq!(mesh.nodes[n].machine.members.roster.get(id(3)).unwrap().incarnation, old + 1);
    }
}

/// Fifty members at one address, with statements that hold: each is wanted once at first, then ever more rarely, for no
/// more than the teller's own bytes pay, and no other node hears of them. Breaks if nothing is paid (`pay`), if a member
/// that was never met is passed on (`retold`) or is never given up (`forget_unmet`).
#[test]
fn made_up_members_cost_no_more_bytes_than_their_teller_sent() {
    let mut mesh = Mesh::formed(4, &Config::default());
    let made_up: Vec<usize> = (100..150).collect();
    let roster = made_up.iter().map(|n| Update {
        member: id(*n),
        incarnation: 1,
        claim: Claim::Alive { addrs: alloc::vec![addr(99)] },
    });
    let roster = Message::Sync { ask: false, roster: roster.collect() };
    let mut sent = roster.encode().len();
    say(&mut mesh, 3, 0, &roster);
    for piece in made_up.chunks(25) {
        let told = piece.iter().map(|n| told(3, *n, 1, Presence::Here)).collect();
        let statements = Message::Statements(told);
        sent += statements.encode().len();
        say(&mut mesh, 3, 0, &statements);
    }
    assert_eq!(mesh.nodes[0].machine.members.count(), 54);
    mesh.nodes[0].wants = 0;
    mesh.run(900_000);
    let wanted = mesh.nodes[0].wants;
    let honest = 900 / 2 * 60;
    assert!((40..400).contains(&wanted) && wanted * 373 <= sent + honest, "{wanted} attempts for {sent} bytes");
    assert!(mesh.nodes.iter().all(|n| n.machine.members.count() == 4), "they are given up");
    for n in 1..3 {
        assert_eq!(mesh.nodes[n].machine.members.roster.len(), 3, "{n} learned of them");
        assert_eq!(mesh.nodes[n].wants, 0);
    }
}

/// Breaks if a member without a statement is taken in, or one whose statement was not asked for.
#[test]
fn a_member_without_a_signed_record_is_none() {
    let mut mesh = Mesh::formed(3, &Config::default());
    let roster = (100..160).map(|n| Update {
        member: id(n),
        incarnation: 0,
        claim: Claim::Alive { addrs: alloc::vec![addr(n)] },
    });
    say(&mut mesh, 2, 0, &Message::Sync { ask: false, roster: roster.collect() });
    say(&mut mesh, 2, 0, &Message::Statements(alloc::vec![told(2, 99, 1, Presence::Here)]));
    assert_eq!(mesh.nodes[0].machine.members.roster.len(), 2);
    assert_eq!(mesh.nodes[0].machine.drops.get(DropReason::Duplicate), 1, "nobody asked");
    mesh.run(30_000);
    assert_eq!(mesh.nodes[0].machine.members.roster.len(), 2);
}

/// A refutation is a statement that all others want: a liar gets one a period, and not the health of the node. Breaks
/// without `refuted_at`, and if a teller without a voice is a sign of this node's health.
#[test]
fn a_liar_keeps_no_member_busy_with_refutations() {
    let mut mesh = Mesh::formed(4, &Config::default());
    for round in 0..600u32 {
        let incarnation = mesh.nodes[0].machine.members.incarnation();
        let updates = alloc::vec![Update { member: id(0), incarnation, claim: Claim::Suspect }];
        say(&mut mesh, 3, 0, &Message::Ping { seq: 8_000 + round, updates });
        mesh.run(100);
        assert!(mesh.nodes[0].machine.members.health() < 4, "{round}");
    }
    let refuted = mesh.nodes[0].machine.members.stats.refuted;
    assert!((1..=31).contains(&refuted), "{refuted}");
}
