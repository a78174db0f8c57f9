//! Hostile members: each runs the honest engine, with an identity and links of its own, and also says what it likes.
//! [`BEHAVIOURS`] is the list; a new one is a line and a function.

use donp_core::fuzzing::liar::{
    CHAT, GOSSIP, Lie, MEMBERSHIP, SWIM, claims, forged_broadcasts, ghost_answer, join_request, made_up_members,
    made_up_shuffle, pull_of_all, wants_of_ghosts,
};
use donp_core::{Bootstrap, NodeId};

use crate::rng::SimRng;
use crate::sim::Sim;

/// A way to be hostile.
pub struct Behaviour {
    /// Its name in scenarios.
    pub name: &'static str,
    /// Channels on which such a node's own engine says nothing.
    gags: &'static [u8],
    /// What it does each virtual second.
    act: fn(&mut Sim, &mut Turn<'_>),
}

/// One second of one hostile node.
struct Turn<'a> {
    me: usize,
    honest: &'a [usize],
    second: u64,
    rng: SimRng,
}

/// Every behaviour.
pub const BEHAVIOURS: &[Behaviour] = &[
    // Takes what it gets and passes nothing on.
    Behaviour { name: "silent", gags: &[GOSSIP, CHAT], act: nothing },
    // The same, and asks for places all the time: links, joins, shuffles.
    Behaviour { name: "sybil", gags: &[GOSSIP, CHAT], act: sybil },
    // Names nodes that do not exist.
    Behaviour { name: "false-rosters", gags: &[], act: false_rosters },
    Behaviour { name: "false-names", gags: &[], act: false_names },
    // Says of others that they are suspect, dead, gone or asleep.
    Behaviour { name: "false-suspicion", gags: &[], act: false_suspicion },
    // Broadcasts whose signatures do not hold.
    Behaviour { name: "forgeries", gags: &[], act: forgeries },
    // Broadcasts that answer what does not exist.
    Behaviour { name: "ghost-parents", gags: &[], act: ghost_parents },
    // Asks for what does not exist, and for everything.
    Behaviour { name: "ghost-wants", gags: &[], act: ghost_wants },
    Behaviour { name: "questions", gags: &[], act: questions },
    // Says thirty things a second under its own name.
    Behaviour { name: "author-flood", gags: &[], act: author_flood },
];

/// The behaviour of this name.
pub fn find(name: &str) -> Option<&'static Behaviour> {
    BEHAVIOURS.iter().find(|b| b.name == name)
}

/// Where nothing is: a documentation address (RFC 5737).
const NOWHERE: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7)), 4000);

/// Hostile nodes at work.
pub struct Adversary {
    /// Each with what it does.
    nodes: Vec<(usize, Vec<&'static Behaviour>)>,
    honest: Vec<usize>,
    second: u64,
    rng: SimRng,
}

impl Adversary {
    /// Adds `count` nodes that enter through `honest` ones. Each behaves in all of `ways`, or, if that is empty, in one to
    /// three that are drawn for it.
    pub fn enter(
        sim: &mut Sim,
        count: usize,
        ways: &[&'static Behaviour],
        honest: Vec<usize>,
        mut rng: SimRng,
    ) -> Self {
        let all: Vec<&'static Behaviour> = BEHAVIOURS.iter().collect();
        let mut nodes = Vec::new();
        for _ in 0..count {
            let own = match ways.is_empty() {
                true => {
                    let number = 1 + rng.below(3) as usize;
                    rng.sample(&all, number)
                }
                false => ways.to_vec(),
            };
            let n = sim.add_node();
            sim.hostile.insert(n);
            let through: Vec<usize> = rng.pick(&honest).copied().into_iter().collect();
            sim.start(n, &through);
            let gags: Vec<u8> = own.iter().flat_map(|b| b.gags).copied().collect();
            sim.with(n, |engine, _| engine.gag(&gags));
            nodes.push((n, own));
        }
        Self { nodes, honest, second: 0, rng }
    }

    /// What they do at the beginning of one virtual second.
    pub fn second(&mut self, sim: &mut Sim) {
        for (me, ways) in &self.nodes {
            for way in ways {
                let turn = &mut Turn { me: *me, honest: &self.honest, second: self.second, rng: self.rng.split() };
                (way.act)(sim, turn);
            }
        }
        self.second += 1;
    }

    /// They are gone.
    pub fn leave(self, sim: &mut Sim) {
        self.nodes.iter().for_each(|(n, _)| sim.crash(*n));
    }
}

impl Turn<'_> {
    /// Says something to a linked node; to others nothing goes.
    fn say(&self, sim: &mut Sim, to: usize, channel: u8, bodies: Vec<Vec<u8>>) {
        let to = sim.id(to);
        sim.with(self.me, |engine, now| bodies.into_iter().for_each(|body| engine.say_on(now, to, channel, body)));
    }

    /// A number that no other turn of this node has.
    fn number(&self) -> u64 {
        (self.me as u64) << 40 | self.second << 16
    }
}

fn nothing(_: &mut Sim, _: &mut Turn<'_>) {}

fn sybil(sim: &mut Sim, turn: &mut Turn<'_>) {
    let some = turn.rng.sample(turn.honest, 4);
    for &victim in &some {
        let at = Bootstrap { addr: sim.node(victim).addr, id: None };
        sim.with(turn.me, |engine, now| drop(engine.join(now, &[at])));
        turn.say(sim, victim, MEMBERSHIP, vec![join_request()]);
    }
}

fn false_rosters(sim: &mut Sim, turn: &mut Turn<'_>) {
    if turn.second.is_multiple_of(10) {
        for &victim in turn.honest {
            turn.say(sim, victim, SWIM, made_up_members(50, NOWHERE));
        }
    }
}

fn false_names(sim: &mut Sim, turn: &mut Turn<'_>) {
    for &victim in turn.honest {
        let shuffle = made_up_shuffle(turn.rng.u64(), NOWHERE);
        turn.say(sim, victim, MEMBERSHIP, vec![shuffle]);
    }
}

fn false_suspicion(sim: &mut Sim, turn: &mut Turn<'_>) {
    let lie = [Lie::Suspect, Lie::Down, Lie::Left, Lie::Away][(turn.second % 4) as usize];
    let raise = if turn.second % 3 == 2 { u64::from(u32::MAX) } else { 0 };
    let me = sim.id(turn.me);
    for &victim in turn.honest {
        let members = sim.node(victim).engine().members();
        let others: Vec<(NodeId, u64)> =
            members.iter().filter(|m| m.id != me).map(|m| (m.id, m.incarnation + raise)).collect();
        turn.say(sim, victim, SWIM, claims(lie, &others, 1_000 + turn.second as u32 * 100));
    }
}

fn forgeries(sim: &mut Sim, turn: &mut Turn<'_>) {
    for (&victim, k) in turn.honest.iter().zip(0..) {
        turn.say(sim, victim, GOSSIP, forged_broadcasts(turn.number() + k * 20, 20));
    }
}

fn ghost_parents(sim: &mut Sim, turn: &mut Turn<'_>) {
    for (&victim, k) in turn.honest.iter().zip(0..) {
        turn.say(sim, victim, GOSSIP, (0..5).map(|n| ghost_answer(turn.number() + k * 5 + n)).collect());
    }
}

fn ghost_wants(sim: &mut Sim, turn: &mut Turn<'_>) {
    for &victim in turn.honest {
        turn.say(sim, victim, CHAT, (0..20).map(|n| wants_of_ghosts(turn.number() + n * 200)).collect());
    }
}

fn questions(sim: &mut Sim, turn: &mut Turn<'_>) {
    for &victim in turn.honest {
        turn.say(sim, victim, CHAT, (0..20).map(|_| pull_of_all()).collect());
    }
}

fn author_flood(sim: &mut Sim, turn: &mut Turn<'_>) {
    for n in 0..30 {
        // A full queue refuses.
        let _ = sim.broadcast(turn.me, &format!("{} floods {} {n}", turn.me, turn.second));
    }
}
