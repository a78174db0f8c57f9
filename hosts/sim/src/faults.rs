//! Randomized runs: each seed draws its own mix of faults and its own story
//! (docs/design/reliability.md §3, after the swarm testing of Groce et al., ISSTA 2012: what is absent in
//! half of the runs lets the rest interact).

use std::collections::{BTreeMap, BTreeSet};

use donp_core::MessageId;

use crate::net::link::{Burst, Faults, Rate};
use crate::rng::SimRng;
use crate::sim::{SECOND, Sim};

/// The faults of one run. Probabilities are by node and virtual second.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix {
    /// How paths behave.
    pub faults: Faults,
    /// Least and greatest time of a commit in microseconds.
    pub disk: (u64, u64),
    /// Power failures.
    pub crash: f64,
    /// Whether they tear writes.
    pub torn: bool,
    /// Moves to another island.
    pub partition: f64,
    /// Whether islands receive each other's datagrams in one direction only.
    pub one_way: bool,
    /// Phones that are suspended for a while.
    pub sleep: f64,
    /// Processes without processor time, up to 10 s.
    pub stall: f64,
    /// Clocks that jump, and run up to 10 % fast or slow.
    pub clock: f64,
    /// The whole network's paths change.
    pub weather: f64,
    /// Broadcasts.
    pub say: f64,
    /// Private messages.
    pub whisper: f64,
    /// Copies of disks.
    pub back_up: f64,
    /// Disks whose last copy takes their place.
    pub restore: f64,
}

/// A private message that was on its author's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whisper {
    /// Its author.
    pub from: usize,
    /// To whom.
    pub to: usize,
    /// Its id.
    pub id: MessageId,
    /// Its author's disk is older than it: the author does not know that it said it.
    pub forgotten: bool,
}

impl Mix {
    /// Draws a mix; each kind of fault is absent in half of them.
    pub fn draw(rng: &mut SimRng) -> Self {
        let mut rate = |most: f64| if rng.chance(0.5) { 0.0 } else { most * rng.below(1_000) as f64 / 1_000.0 };
        let (crash, partition, sleep) = (rate(0.02), rate(0.03), rate(0.02));
        let (stall, clock, weather) = (rate(0.02), rate(0.02), rate(0.02));
        Self {
            faults: draw_faults(rng),
            disk: (0, rng.below(50_000)),
            crash,
            torn: rng.chance(0.5),
            partition,
            one_way: rng.chance(0.5),
            sleep,
            stall,
            clock,
            weather,
            say: 0.02 + 0.1 * rng.below(100) as f64 / 100.0,
            whisper: 0.1 * rng.below(100) as f64 / 100.0,
            back_up: 0.05,
            restore: if rng.chance(0.5) { 0.0 } else { 0.005 * rng.below(1_000) as f64 / 1_000.0 },
        }
    }
}

/// Draws how paths behave, within the ranges of docs/design/reliability.md §3.
pub fn draw_faults(rng: &mut SimRng) -> Faults {
    let mut share = |most: f64| if rng.chance(0.5) { 0.0 } else { most * rng.below(1_000) as f64 / 1_000.0 };
    let (loss, duplicate, reorder) = (share(0.3), share(0.5), share(0.3));
    let (corrupt, truncate) = (share(0.05), share(0.02));
    let most = if rng.chance(0.1) { 2_000_000 } else { 300_000 };
    let slowest = 1_000 + rng.below(most);
    let burst = rng.chance(0.3).then(|| Burst {
        enter: 0.05 * rng.below(1_000) as f64 / 1_000.0,
        leave: 0.05 + 0.45 * rng.below(1_000) as f64 / 1_000.0,
        loss: 1.0,
    });
    let rate = rng.chance(0.2).then(|| {
        // 64 kbit/s to 8 Mbit/s.
        let bytes_per_s = 8_000 << rng.below(8);
        Rate { bytes_per_s, burst: 3_000, queue: 16_000 + bytes_per_s / 4 }
    });
    Faults { loss, burst, duplicate, reorder, corrupt, truncate, delay: (slowest / 4, slowest), rate, mtu: None }
}

struct Fresh {
    author: usize,
    life: u32,
    to: Option<usize>,
    id: MessageId,
}

/// A story in progress.
pub struct Life {
    mix: Mix,
    /// Nodes that will wake up or start again, and when.
    away: BTreeMap<usize, u64>,
    fresh: Vec<Fresh>,
    /// Broadcasts that were on their author's disk.
    pub said: Vec<MessageId>,
    /// Private messages that were on their author's disk.
    pub private: Vec<Whisper>,
}

impl Life {
    /// A story with this mix, beginning now.
    pub fn new(sim: &mut Sim, mix: Mix) -> Self {
        sim.faults = mix.faults.clone();
        sim.disk = mix.disk;
        if mix.one_way {
            sim.net.connect(0, 1, true);
        }
        Self { mix, away: BTreeMap::new(), fresh: Vec::new(), said: Vec::new(), private: Vec::new() }
    }

    /// One virtual second.
    pub fn second(&mut self, sim: &mut Sim) {
        for n in 0..sim.len() {
            let mut rng = sim.rng().split();
            if sim.is_awake(n) {
                self.act(sim, n, &mut rng);
            } else if self.away.get(&n).is_some_and(|until| *until <= sim.now()) {
                self.away.remove(&n);
                back(sim, n);
            }
        }
        let mut rng = sim.rng().split();
        if rng.chance(self.mix.weather) {
            sim.faults = draw_faults(&mut rng);
        }
        sim.run_for(1);
        self.settle(sim);
    }

    fn act(&mut self, sim: &mut Sim, n: usize, rng: &mut SimRng) {
        let text = format!("{n} at {}", sim.now());
        if rng.chance(self.mix.say)
            && let Ok(id) = sim.broadcast(n, &text)
        {
            self.fresh.push(Fresh { author: n, life: sim.node(n).life, to: None, id });
        }
        let other = rng.below(sim.len() as u64) as usize;
        if rng.chance(self.mix.whisper)
            && let Ok(id) = sim.send(n, other, &text)
        {
            self.fresh.push(Fresh { author: n, life: sim.node(n).life, to: Some(other), id });
        }
        if rng.chance(self.mix.partition) {
            sim.move_to_island(n, rng.below(2) as u32);
        }
        if rng.chance(self.mix.stall) {
            sim.stall(n, rng.below(10 * SECOND));
        }
        if rng.chance(self.mix.clock) {
            match rng.below(3) {
                0 => sim.skew_clock(n, rng.below(200_000) as i64 - 100_000),
                // A monotonic clock may stop or jump, and a bad one steps back a little.
                1 => sim.jump_clock(n, rng.below(600 * SECOND) as i64 - SECOND as i64),
                // Ten years either way.
                _ => sim.set_wall_clock(n, rng.below(631_152_000_000) as i64 - 315_576_000_000),
            }
        }
        let until = sim.now() + rng.below(60 * SECOND);
        if rng.chance(self.mix.back_up) {
            sim.back_up(n);
        }
        if rng.chance(self.mix.restore) && sim.restore(n) {
            self.forget(sim, n);
            self.away.insert(n, until);
        } else if rng.chance(self.mix.crash) {
            if self.mix.torn {
                sim.crash_torn(n)
            } else {
                sim.crash(n)
            }
            self.away.insert(n, until);
        } else if rng.chance(self.mix.sleep) {
            sim.sleep(n);
            self.away.insert(n, until);
        }
    }

    /// What only the disk of node `n` had is gone with it. What another disk has is everybody's again.
    fn forget(&mut self, sim: &Sim, n: usize) {
        let kept: BTreeSet<[u8; 32]> = (0..sim.len()).flat_map(|n| sim.node(n).broadcasts()).collect();
        self.said.retain(|id| kept.contains(&id.hash));
        self.private.retain_mut(|whisper| {
            let &mut Whisper { from, to, id, .. } = whisper;
            let (there, here) =
                (sim.node(to).has_private(sim.id(from), id), sim.node(from).has_private(sim.id(to), id));
            whisper.forgotten |= from == n && !here;
            // What comes back to an author that forgot it is a header without the words.
            (here && !whisper.forgotten) || there
        });
    }

    /// A message counts as sent when it is on its author's disk.
    fn settle(&mut self, sim: &Sim) {
        self.fresh.retain(|fresh| {
            let author = sim.node(fresh.author);
            if author.life != fresh.life {
                return false;
            }
            if !author.unwritten.is_empty() {
                return true;
            }
            match fresh.to {
                None => self.said.push(fresh.id),
                Some(to) => {
                    self.private.push(Whisper { from: fresh.author, to, id: fresh.id, forgotten: false });
                }
            }
            false
        });
    }

    /// Ends every fault: good paths, one island, all nodes awake, clocks at their normal rate.
    pub fn heal(&mut self, sim: &mut Sim) {
        sim.faults = Faults { loss: 0.02, ..Faults::default() };
        sim.disk = (0, 2_000);
        sim.net.heal();
        for n in 0..sim.len() {
            sim.skew_clock(n, 0);
            if !sim.is_awake(n) {
                back(sim, n);
            }
        }
        self.away.clear();
        sim.run_for(11);
        self.settle(sim);
    }
}

/// A phone wakes up; a failed node restarts, through its first bootstrap or another.
fn back(sim: &mut Sim, n: usize) {
    if sim.node(n).runs() {
        return sim.wake(n);
    }
    let others: Vec<usize> = (0..sim.len()).filter(|m| *m != n && sim.net.nat_of(*m).is_none()).collect();
    let through: Vec<usize> = sim.rng().split().pick(&others).copied().into_iter().collect();
    sim.start(n, &through);
}
