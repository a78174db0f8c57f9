//! Randomized runs: each seed draws its own faults and its own story, then ends every fault and demands that
//! every node has every message, once, in one order.
//!
//! `DONP_SEEDS=2000 cargo test -p donp-tests --release --test schedule` tries more; a failure prints
//! the seed and `DONP_SEED=… cargo test -p donp-tests --test schedule` replays it.

mod common;

use std::collections::BTreeMap;

use common::{check_told, checked_history};
use donp_core::{Conversation, MessageId};
use donp_sim::{Faults, Sim};

#[test]
fn randomized_runs_end_with_one_order_and_no_loss() {
    let count = std::env::var("DONP_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(60);
    for seed in Sim::seeds(1_000..1_000 + count) {
        live(seed);
    }
}

struct Story {
    sim: Sim,
    /// Broadcasts by author that were on the disk before anything happened to it.
    said: Vec<MessageId>,
    /// Private messages on the disk of their author: (author, reader, message).
    private: Vec<(usize, usize, MessageId)>,
    /// Sent in this instant and not yet known to be on disk.
    fresh: BTreeMap<usize, Vec<(Option<usize>, MessageId)>>,
    /// The bootstraps in each node's configuration.
    through: Vec<Vec<usize>>,
}

fn live(seed: u64) {
    let mut sim = Sim::new(seed);
    sim.faults = draw_faults(&mut sim);
    let count = 2 + sim.rng().below(4) as usize;
    let mut through = Vec::new();
    for n in 0..count {
        sim.add_node();
        through.push(if n == 0 { vec![] } else { vec![sim.rng().below(n as u64) as usize] });
        sim.start(n, &through[n]);
    }
    let mut story = Story { sim, said: Vec::new(), private: Vec::new(), fresh: BTreeMap::new(), through };
    for _ in 0..60 {
        story.act(count);
        let pause = story.sim.rng().below(4);
        // A node that runs for a tenth of a second has written its messages.
        story.sim.run_until(1, |_| false);
        story.settle();
        story.sim.run_for(pause);
    }
    story.heal(count);
    story.judge(count);
}

/// Every kind of fault is absent in half of the runs.
fn draw_faults(sim: &mut Sim) -> Faults {
    let mut draw = |most: f64| if sim.rng().chance(0.5) { 0.0 } else { most * (sim.rng().below(100) as f64) / 100.0 };
    let mut faults =
        Faults { loss: draw(0.3), duplicate: draw(0.5), reorder: draw(0.3), corrupt: draw(0.05), ..Faults::default() };
    let slowest = 1_000 + sim.rng().below(400_000);
    faults.delay = (slowest / 4, slowest);
    sim.disk = (0, sim.rng().below(50_000));
    faults
}

impl Story {
    fn act(&mut self, count: usize) {
        let n = self.sim.rng().below(count as u64) as usize;
        let text = format!("{}", self.sim.now());
        match self.sim.rng().below(20) {
            0..10 if self.sim.node(n).runs() => {
                if let Ok(id) = self.sim.broadcast(n, &text) {
                    self.fresh.entry(n).or_default().push((None, id));
                }
            }
            10..15 if self.sim.node(n).runs() => {
                let to = (n + 1 + self.sim.rng().below(count as u64 - 1) as usize) % count;
                if let Ok(id) = self.sim.send(n, to, &text) {
                    self.fresh.entry(n).or_default().push((Some(to), id));
                }
            }
            15 | 16 if self.sim.node(n).runs() => {
                self.sim.crash(n);
                self.fresh.remove(&n);
            }
            15..18 if !self.sim.node(n).runs() => self.sim.start(n, &self.through[n]),
            18 => {
                let island = self.sim.rng().below(2) as u32;
                self.sim.move_to_island(n, island);
            }
            19 => self.sim.faults = draw_faults(&mut self.sim),
            _ => {}
        }
    }

    fn settle(&mut self) {
        for (n, said) in std::mem::take(&mut self.fresh) {
            for (to, id) in said {
                match to {
                    None => self.said.push(id),
                    Some(to) => self.private.push((n, to, id)),
                }
            }
        }
    }

    fn heal(&mut self, count: usize) {
        self.sim.faults = Faults { loss: 0.02, ..Faults::default() };
        self.sim.disk = (0, 2_000);
        for n in 0..count {
            self.sim.move_to_island(n, 0);
            if !self.sim.node(n).runs() {
                self.sim.start(n, &self.through[n]);
            }
        }
    }

    fn judge(&mut self, count: usize) {
        let sim = &mut self.sim;
        let quiet = sim.run_until(400, |sim| {
            let stored = sim.node(0).stored_messages();
            if (0..count).any(|n| sim.node(n).engine().status().outbox > 0 || sim.node(n).stored_messages() != stored) {
                return false;
            }
            // Equal counts are not yet equal histories.
            let first = sim.history(0, Conversation::Network);
            (1..count).all(|n| sim.history(n, Conversation::Network) == first)
        });
        let outboxes: Vec<usize> = (0..count).map(|n| sim.node(n).engine().status().outbox).collect();
        let stored: Vec<usize> = (0..count).map(|n| sim.node(n).stored_messages()).collect();
        assert!(quiet, "not settled: outboxes {outboxes:?}, stored {stored:?}; {}", sim.replay());
        let history = checked_history(sim, 0, Conversation::Network);
        for n in 1..count {
            assert_eq!(checked_history(sim, n, Conversation::Network), history, "node {n}; {}", sim.replay());
        }
        for id in &self.said {
            assert!(history.iter().any(|m| m.id == *id), "a broadcast is lost; {}", sim.replay());
        }
        for n in 0..count {
            check_told(sim, n);
        }
        for &(from, to, id) in &self.private {
            let kind = Conversation::Private(sim.id(from));
            let there = checked_history(sim, to, kind);
            assert!(there.iter().any(|m| m.id == id), "a private message is lost; {}", sim.replay());
        }
    }
}
