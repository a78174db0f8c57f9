//! What the overlay, broadcasts and private messages wait for.

use std::collections::BTreeSet;

use donp_core::{Content, Conversation, Durable, Duration, Event, FailReason, MemberState, MessageId, Volatile};
use donp_sim::{Faults, Logged, SECOND, Sim};

use super::{Observed, Story};

pub const STORY: Story = Story {
    machines: &[
        ("link", "a tenth of all packets is lost and sent again"),
        ("membership", "a bootstrap that starts late is tried again"),
        ("discovery", "two nodes without a bootstrap are found by their beacons"),
        ("delivery", "a message to a node that never returns is given up"),
        ("gossip", "a broadcast whose tree lost a child is announced and fetched"),
        ("swim", "a node that lost its power is suspected and declared down"),
        ("chat", "what was said while a node was cut off is asked for"),
    ],
    happen,
    check,
};

/// Nodes of the story; the last two find the others by beacons only.
const NODES: usize = 8;
/// Loses its power for good.
const DEAD: usize = 4;
/// Loses its power for a while.
const BACK: usize = 5;
/// Is cut off for a while.
const CUT_OFF: usize = 3;

fn happen(sim: &mut Sim) {
    sim.faults = Faults { loss: 0.1, ..Faults::default() };
    sim.config.discovery.beacons = true;
    sim.config.delivery.expire = Duration::from_secs(20);
    // Often enough for the story, and never at the time of another step.
    sim.config.chat.compare_every = Duration::from_secs(15);
    let nodes: Vec<usize> = (0..NODES).map(|_| sim.add_node()).collect();
    // The bootstrap of nodes 1 to 5 is not running yet.
    for &n in &nodes[1..6] {
        sim.start(n, &[0]);
    }
    sim.run_for(4);
    sim.start(0, &[]);
    sim.start(6, &[]);
    sim.start(7, &[]);
    sim.run_for(11);
    say(sim, &nodes, 10);
    // Broadcasts meet a tree with a missing part, and private messages an absent peer.
    sim.crash(DEAD);
    sim.crash(BACK);
    sim.move_to_island(CUT_OFF, 1);
    let running: Vec<usize> = nodes.iter().copied().filter(|n| ![DEAD, BACK].contains(n)).collect();
    let _ = sim.send(0, DEAD, "no node can read this");
    let _ = sim.send(1, BACK, "for later");
    say(sim, &running, 6);
    sim.run_for(8);
    sim.start(BACK, &[0]);
    sim.move_to_island(CUT_OFF, 0);
    sim.run_for(4);
    // A node that answers nothing for a while, and does not know it.
    sim.stall(2, 5 * SECOND);
    say(sim, &running, 3);
    sim.run_for(40);
}

/// Every node of `nodes` broadcasts in turn and writes to the next one, for so many seconds.
fn say(sim: &mut Sim, nodes: &[usize], seconds: u64) {
    for i in 0..seconds as usize {
        let (n, next) = (nodes[i % nodes.len()], nodes[(i + 1) % nodes.len()]);
        sim.with(n, |e, now| e.broadcast(now, Content::text("all"))).expect("there is room");
        let _ = sim.send(n, next, "you");
        sim.run_for(1);
    }
}

fn check(observed: &Observed, replay: &str) {
    let broadcasts: BTreeSet<MessageId> =
        observed.arrivals.iter().filter(|a| a.2 == Conversation::Network).map(|a| a.3).collect();
    assert_eq!(broadcasts.len(), 19, "{replay}");
    for n in (0..NODES).filter(|n| *n != DEAD) {
        // A node gets no event for its own broadcasts, two or three of each.
        let here = observed.arrivals.iter().filter(|a| a.1 == n && a.2 == Conversation::Network).count();
        assert!((15..=19).contains(&here), "node {n} reported {here} broadcasts; {replay}");
    }
    let happened = |what: &str, yes: &dyn Fn(&Logged) -> bool| {
        assert!(observed.events.iter().any(yes), "{what} is missing; {replay}");
    };
    happened("a private message that came", &|e| {
        matches!(e.event, Event::Durable { event: Durable::Delivered { .. }, .. })
    });
    happened("a private message that is given up", &|e| {
        e.node == 0
            && matches!(e.event, Event::Durable { event: Durable::Failed { reason: FailReason::Expired, .. }, .. })
    });
    happened("a suspicion", &|e| {
        matches!(e.event, Event::Volatile(Volatile::MemberChanged { state: MemberState::Suspect, .. }))
    });
    happened("a member that is down", &|e| {
        matches!(e.event, Event::Volatile(Volatile::MemberChanged { state: MemberState::Down, .. }))
    });
    happened("a link that fell silent", &|e| matches!(e.event, Event::Volatile(Volatile::PeerDown { .. })));
    for lone in [6, 7] {
        happened("a link of a node without a bootstrap", &|e| {
            e.node == lone && e.at < 15 * SECOND && matches!(e.event, Event::Volatile(Volatile::PeerUp { .. }))
        });
    }
}
