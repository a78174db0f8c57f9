//! Hostile nodes among honest ones, and what the honest get meanwhile.

use super::Stage;
use crate::adversary::{self, Adversary};
use crate::faults::Whisper;
use crate::measure::{BitSet, Totals};
use crate::run::figures::Figures;
use crate::scenario::Hostile;
use crate::sim::SECOND;

/// Time for the last words to arrive, while the attack goes on.
const SETTLE: u64 = 10;

/// What honest nodes did in some time.
struct Work {
    bytes: u64,
    handshakes: u64,
}

impl Stage<'_, '_> {
    pub(super) fn hostile(&mut self, hostile: &Hostile) -> Figures {
        let honest: Vec<usize> = self.running();
        let count = match (hostile.count, hostile.each) {
            (0, None) => {
                let share = 0.01 + 0.19 * self.rng.below(1_000) as f64 / 1_000.0;
                ((honest.len() as f64 * share / (1.0 - share)).round() as usize).max(1)
            }
            (count, each) => count + (each.unwrap_or(0.0) * honest.len() as f64).round() as usize,
        };
        let calm = self.speak(&honest, hostile.calm / SECOND, None);
        self.sim.spread = false;
        let ways: Vec<_> = hostile.ways.iter().filter_map(|way| adversary::find(way.get_ref())).collect();
        let rng = self.rng.split();
        let mut adversary = Adversary::enter(&mut self.sim, count, &ways, honest.clone(), rng);
        let (from, began) = (self.sim.watch.broadcasts.len(), hostile.time / SECOND);
        let (least, work) = self.speak(&honest, began, Some(&mut adversary));
        let last = self.sim.watch.broadcasts.len();
        for _ in 0..SETTLE {
            adversary.second(&mut self.sim);
            self.advance(SECOND);
        }
        let reached = self.reached(&honest, from, last);
        for &n in &honest {
            let nobody = self.sim.node(n).told.iter().filter(|m| self.sim.number(m.author).is_none()).count();
            if nobody > 0 {
                self.out.violations.push(format!("node {n} shows {nobody} messages that nobody said"));
            }
        }
        adversary.leave(&mut self.sim);
        let (_, before) = calm;
        let per_second = |work: &Work, time: u64| work.bytes as f64 / (time / SECOND).max(1) as f64;
        vec![
            ("hostile", count as f64),
            ("honest_neighbours_min", least as f64),
            ("honest_reliability", reached),
            ("honest_work", per_second(&work, hostile.time) / per_second(&before, hostile.calm)),
            ("honest_handshakes", work.handshakes as f64 / honest.len() as f64),
        ]
    }

    /// Honest nodes say something each second. The fewest honest neighbours that any had at the end of a second, and what
    /// they sent.
    fn speak(&mut self, honest: &[usize], seconds: u64, mut against: Option<&mut Adversary>) -> (usize, Work) {
        let (before, mut least) = (self.totals_of(honest), usize::MAX);
        for second in 0..seconds {
            if let Some(adversary) = against.as_deref_mut() {
                adversary.second(&mut self.sim);
            }
            let pair = self.rng.sample(honest, 2);
            let [from, to] = pair[..] else { break };
            if let Ok(id) = self.sim.broadcast(from, &format!("{from} to all at {second}")) {
                self.stories.0.push(id);
            }
            if second.is_multiple_of(4)
                && let Ok(id) = self.sim.send(from, to, &format!("{from} to {to} at {second}"))
            {
                self.stories.1.push(Whisper { from, to, id, forgotten: false });
            }
            self.advance(SECOND);
            let friends = |n: &usize| {
                let all = self.sim.neighbours(*n);
                all.iter().filter(|m| honest.contains(&(**m as usize))).count()
            };
            least = least.min(honest.iter().map(friends).min().unwrap_or(0));
        }
        let diff = self.totals_of(honest).since(&before);
        (least, Work { bytes: diff.bytes_out, handshakes: diff.handshakes })
    }

    fn totals_of(&self, nodes: &[usize]) -> Totals {
        let mut sum = Totals::default();
        nodes.iter().for_each(|n| sum.add(&self.sim.node(*n).totals()));
        sum
    }

    /// Of the pairs of an honest broadcast and another honest node, the share that is delivered.
    fn reached(&self, honest: &[usize], from: usize, last: usize) -> f64 {
        let mut alive = BitSet::default();
        for n in honest {
            alive.insert(*n);
        }
        let all = self.sim.watch.broadcasts[from..last].iter().filter(|b| honest.contains(&b.author));
        let (told, due) = all.map(|b| b.reached(&alive)).fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
        if due == 0 { 0.0 } else { told as f64 / due as f64 }
    }
}
