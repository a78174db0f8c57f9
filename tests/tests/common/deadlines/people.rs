//! What sessions, groups, files and the devices of a person wait for.

use donp_core::{
    AuthenticationResult, Content, Conversation, Durable, Event, GroupChange, GroupKind, GroupPolicy, GroupRole,
    Volatile, WallTime,
};
use donp_sim::{Faults, Logged, SECOND, Sim};

use super::{Observed, Story};

pub const STORY: Story = Story {
    machines: &[
        ("session", "a session that was repaired three times is not repaired at once again"),
        ("authentication", "a node that lost its power does not answer a challenge"),
        ("device", "a device repeats its question to one that is stalled"),
        ("register", "what another own device set is reported once for all that comes together"),
        ("file", "a node that had nothing to give is left alone and asked again"),
        ("group", "a request to join whose answer was lost is repeated"),
    ],
    happen,
    check,
};

const NODES: usize = 5;
/// Shows the ticket for a device, wants the file and makes the group.
const PHONE: usize = 0;
/// Shares the file and joins the group.
const FRIEND: usize = 1;
/// Older copies of its disk take the place of the disk.
const RESTORED: usize = 2;
/// Becomes a device of the phone's person.
const LAPTOP: usize = 3;
/// Loses its power for good.
const DEAD: usize = 4;

// Virtual seconds.
const LINKED: u64 = 5;
const RESTORE: u64 = LINKED + 4;
const CHALLENGE: u64 = 15;
const JOIN_ACCOUNT: u64 = 17;
/// When the devices have compared all that was set before.
const SET: u64 = 26;
const FETCH: u64 = 30;
const JOIN_GROUP: u64 = 48;
const END: u64 = 78;

fn happen(sim: &mut Sim) {
    sim.faults = Faults { loss: 0.02, ..Faults::default() };
    for n in 0..NODES {
        sim.add_node();
        sim.start(n, if n == PHONE { &[] } else { &[PHONE] });
    }
    sim.run_to(LINKED * SECOND);
    restore(sim);
    sim.run_to(CHALLENGE * SECOND);
    let dead = sim.id(DEAD);
    sim.crash(DEAD);
    sim.with(FRIEND, |e, now| e.authenticate_node(now, dead)).expect("it was linked");
    join_account(sim);
    sim.run_to(SET * SECOND);
    let friend = sim.id(FRIEND);
    sim.with(PHONE, |e, now| e.add_contact(now, friend, None)).expect("there is room");
    fetch(sim);
    sim.run_to(JOIN_GROUP * SECOND);
    join_group(sim);
    sim.run_to(END * SECOND);
}

/// Each start finds that the phone seals in a session that the disk lacks. Three times that is repaired at once.
fn restore(sim: &mut Sim) {
    sim.send(PHONE, RESTORED, "before").expect("it is linked");
    sim.run_for(2);
    sim.back_up(RESTORED);
    sim.send(PHONE, RESTORED, "between").expect("it is linked");
    sim.run_to(RESTORE * SECOND);
    for _ in 0..5 {
        sim.restore(RESTORED);
        sim.back_up(RESTORED);
        sim.start(RESTORED, &[PHONE]);
        sim.run_to(sim.now() + SECOND / 10);
    }
    sim.send(PHONE, RESTORED, "after").expect("it is linked");
}

fn join_account(sim: &mut Sim) {
    let mut ticket = || sim.with(PHONE, |e, now| e.add_device(now)).expect("there is room for a device");
    let (void, ticket) = (ticket(), ticket());
    // It is refused, and the session for it is there from then on.
    sim.with(LAPTOP, |e, now| e.join_account(now, &void)).expect("nothing was said there");
    sim.run_to(JOIN_ACCOUNT * SECOND);
    // Until the question is repeated after 2 s: nothing else is to happen between that and the answer.
    sim.stall(PHONE, 2 * SECOND + SECOND / 1_000);
    sim.with(LAPTOP, |e, now| e.join_account(now, &ticket)).expect("nothing was said there");
}

/// The phone asks before the friend shares it.
fn fetch(sim: &mut Sim) {
    sim.run_to(FETCH * SECOND);
    let bytes: Vec<u8> = (0..200_000u32).map(|i| (i / 5) as u8).collect();
    let file = sim.add_file(FRIEND, &bytes, "plan.pdf");
    let (author, named) = (Some(sim.id(FRIEND)), file.clone());
    sim.with(PHONE, |e, now| e.fetch_file(now, Conversation::Network, named, author)).expect("there is room");
    sim.run_for(1);
    let content = Content::File { file: Box::new(file), text: "the plan".into() };
    sim.with(FRIEND, |e, now| e.broadcast(now, content)).expect("there is room");
}

fn join_group(sim: &mut Sim) {
    let ticket = sim.with(PHONE, |e, now| {
        let group = e.create_group(now, GroupKind::Public, "team".into(), GroupPolicy::default(), None)?;
        e.invite_to_group(now, group, GroupRole::Member, 1, WallTime(u64::MAX), None)
    });
    let opened = |s: &Sim| s.node(PHONE).engine().stats().sessions.opened;
    let before = opened(sim);
    sim.with(FRIEND, |e, now| e.join_group(now, &ticket.expect("an owner invites"))).expect("it is no member");
    while opened(sim) == before && sim.now() < (JOIN_GROUP + 1) * SECOND {
        sim.run_to(sim.now() + 500);
    }
    // The answer is on its way. A second one is given after 5 s at the earliest.
    sim.crash(FRIEND);
    sim.start(FRIEND, &[PHONE]);
}

fn check(observed: &Observed, replay: &str) {
    // What is asked for in one second comes when the deadline is over that decides it, and not before.
    let happened = |what: &str, node: usize, asked: u64, wait_ms: u64, yes: &dyn Fn(&Event) -> bool| {
        let is_it = |e: &&Logged| e.node == node && e.at >= asked * SECOND && yes(&e.event);
        let at = observed.events.iter().find(is_it).map(|e| e.at);
        let at = at.unwrap_or_else(|| panic!("{what} is missing; {replay}"));
        assert!(at >= asked * SECOND + wait_ms * 1_000, "{what} came after {at} µs: no deadline decided it; {replay}");
    };
    happened(
        "a message that waited for a session",
        RESTORED,
        RESTORE,
        50_000,
        &|e| matches!(e, Event::Durable { event: Durable::Received(m), .. } if m.content.shown() == "after"),
    );
    happened("a challenge without an answer", FRIEND, CHALLENGE, 10_000, &|e| {
        matches!(e, Event::Volatile(Volatile::Authenticated { result: AuthenticationResult::Timeout, .. }))
    });
    happened("a new device", LAPTOP, JOIN_ACCOUNT, 2_000, &|e| {
        matches!(e, Event::Durable { event: Durable::DevicesChanged { added: true, .. }, .. })
    });
    happened("what another own device set", LAPTOP, SET, 300, &|e| {
        matches!(e, Event::Volatile(Volatile::AccountDataChanged))
    });
    happened("a file", PHONE, FETCH, 14_000, &|e| {
        matches!(e, Event::Durable { event: Durable::FileReceived { .. }, .. })
    });
    happened("a node that joined a group", FRIEND, JOIN_GROUP, 4_000, &|e| {
        matches!(e, Event::Durable { event: Durable::GroupChanged { change: GroupChange::Joined, .. }, .. })
    });
}
