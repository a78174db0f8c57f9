//! Groups under random schedules: members come and go while nodes are apart, crash and restart. A removed node reads
//! nothing that is said by a node that knows of the removal, newcomers read nothing from before, and members read
//! everything (docs/design/groups.md §5).

mod common;

use std::collections::BTreeMap;

use common::network;
use donp_core::{Content, Conversation, GroupId, GroupKind, GroupPolicy, GroupRole, MessageId, NodeId, WallTime};
use donp_sim::Sim;

const NODES: usize = 5;
const STEPS: usize = 40;

/// What was said, and the nodes that were no members any more for its author.
struct Said {
    text: String,
    past: Vec<usize>,
    /// Members as its author knew them.
    to: Vec<NodeId>,
}

struct World {
    sim: Sim,
    group: GroupId,
    said: BTreeMap<MessageId, Said>,
    /// Nodes that were added again after a removal.
    again: Vec<usize>,
    /// Nodes that were removed.
    removed: Vec<usize>,
}

fn members(sim: &Sim, group: GroupId, n: usize) -> Vec<NodeId> {
    if !sim.node(n).runs() {
        return Vec::new();
    }
    let info = sim.node(n).engine().group(group);
    info.map(|info| info.members.iter().map(|m| m.id).collect()).unwrap_or_default()
}

impl World {
    fn new(seed: u64) -> Self {
        let mut sim = network(seed, NODES);
        let policy = GroupPolicy::default();
        let group = sim.with(0, |e, now| e.create_group(now, GroupKind::Private, "team".into(), policy, None)).unwrap();
        Self { sim, group, said: BTreeMap::new(), again: Vec::new(), removed: Vec::new() }
    }

    fn draw(&mut self, n: usize) -> usize {
        self.sim.rng().below(n as u64) as usize
    }

    fn step(&mut self, count: usize) {
        let (group, n) = (self.group, self.draw(NODES));
        let target = self.draw(NODES);
        let id = self.sim.id(target);
        let what = self.draw(12);
        match what {
            0 | 1 if target != 0 => {
                let made = self.sim.with(0, |e, now| {
                    e.invite_to_group(now, group, GroupRole::Moderator, 1, WallTime(u64::MAX), Some(id))
                });
                let ticket = made.unwrap();
                if self.sim.node(target).runs()
                    && self.sim.with(target, |e, now| e.join_group(now, &ticket)).is_ok()
                    && self.removed.contains(&target)
                {
                    self.again.push(target);
                }
            }
            2 if target != 0 => {
                let done = self.sim.with(0, |e, now| e.remove_member(now, group, id, false));
                self.removed.extend(done.is_ok().then_some(target));
            }
            3 if n != 0 && self.sim.node(n).runs() => {
                let done = self.sim.with(n, |e, now| e.leave_group(now, group));
                self.removed.extend(done.is_ok().then_some(n));
            }
            4 => {
                let coin = self.draw(2) == 0;
                self.sim.move_to_island(target, u32::from(coin));
            }
            5 if target != 0 && self.sim.node(target).runs() => self.sim.crash(target),
            6 if target != 0 && !self.sim.node(target).runs() => self.sim.start(target, &[0]),
            _ if self.sim.node(n).runs() => {
                let text = format!("{count} by {n}");
                let here = members(&self.sim, group, n);
                if let Ok(id) = self.sim.with(n, |e, now| e.send_to_group(now, group, Content::text(text.clone()))) {
                    let is_past = |p: &usize| !here.contains(&self.sim.id(*p)) && self.removed.contains(p);
                    let past = (0..NODES).filter(is_past).collect();
                    self.said.insert(id, Said { text, past, to: here });
                }
            }
            _ => {}
        }
        let pause = self.draw(4) as u64;
        self.sim.run_for(pause);
    }

    fn settle(&mut self) {
        for n in 0..NODES {
            self.sim.move_to_island(n, 0);
            if !self.sim.node(n).runs() {
                self.sim.start(n, &[0]);
            }
        }
        self.sim.run_for(300);
    }

    fn read(&mut self, n: usize) -> Vec<(MessageId, String)> {
        let history = self.sim.history(n, Conversation::Group(self.group));
        history.into_iter().map(|m| (m.id, m.content.shown().to_owned())).collect()
    }

    fn check(&mut self) {
        let group = self.group;
        let info = self.sim.node(0).engine().group(group).unwrap();
        let replay = self.sim.replay();
        let whole = self.read(0);
        for n in 0..NODES {
            let read = self.read(n);
            for (id, text) in &read {
                let said = &self.said[id];
                assert_eq!(said.text, *text, "{replay}");
                // A node that is added again gets what the policy gives, which may lie beside what others say
                // meanwhile.
                let reads_past = said.past.contains(&n) && !self.again.contains(&n);
                assert!(!reads_past, "node {n} was removed and reads '{text}'; {replay}");
            }
            let me = self.sim.id(n);
            let Some(member) = info.members.iter().find(|m| m.id == me) else { continue };
            assert_eq!(members(&self.sim, group, n), members(&self.sim, group, 0), "node {n}; {replay}");
            assert_eq!(self.sim.node(n).engine().group(group).unwrap().state, info.state, "node {n}; {replay}");
            // What the policy gave, and what was said to it since it is a member.
            let never_left = !self.removed.contains(&n);
            let was_said_to = |id: &MessageId| never_left && self.said[id].to.contains(&me);
            let may_read = |id: &MessageId| id.depth >= member.reads_from() || was_said_to(id);
            let gives: Vec<_> = whole.iter().filter(|(id, _)| may_read(id)).cloned().collect();
            let reads: Vec<_> = read.iter().filter(|(id, _)| may_read(id)).cloned().collect();
            assert_eq!(reads, gives, "node {n} does not read what members said; {replay}");
            assert!(!never_left || read == reads, "node {n} reads what was before: {read:?}; {replay}");
        }
    }
}

/// Fails if an epoch stays in use after a removal, if a past member may catch up, if a newcomer is served bodies from
/// before, or if a secret is not asked for.
#[test]
fn the_removed_read_nothing_and_members_everything() {
    let count = std::env::var("DONP_GROUP_SCHEDULES").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    let mut said = 0;
    for seed in Sim::seeds(1..count + 1) {
        let mut world = World::new(seed);
        for n in 0..STEPS {
            world.step(n);
        }
        world.settle();
        world.check();
        said += world.said.len();
    }
    assert!(said > 0, "nothing was said");
}
