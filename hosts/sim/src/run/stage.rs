//! One run: builds the network, plays the phases, samples it all the while.

mod hostile;
mod look;

use std::collections::{BTreeMap, VecDeque};

use donp_core::{Config, MessageId, NodeType};

use super::figures::{Figures, file};
use super::{CaseOutcome, Check, Options, Round, Speed};
use crate::faults::{Life, Mix, Whisper};
use crate::laws;
use crate::measure::Totals;
use crate::node::Disk;
use crate::rng::SimRng;
use crate::scenario::{Amount, Case, Churn, Condition, Expectation, Group, Join, Keep, Phase, Senders, Step, Until};
use crate::sim::{SECOND, Sim};

/// Nodes up to which `auto` disks keep everything, and the overlay is looked at every ten seconds.
const LARGE: usize = 2_000;
pub(super) struct Stage<'a, 'o> {
    case: &'a Case,
    options: &'a mut Options<'o>,
    sim: Sim,
    /// Choices of the scenario: nodes that a fault strikes, senders.
    rng: SimRng,
    /// The sender of `senders = "one"`; no fault strikes it.
    speaker: usize,
    groups: Vec<Vec<usize>>,
    out: CaseOutcome,
    baseline: usize,
    sample_every: u64,
    next_sample: u64,
    samples_taken: u64,
    phase: (usize, &'a str),
    /// Views of the last eleven seconds, oldest first.
    views: VecDeque<Vec<Vec<u32>>>,
    view_loss: usize,
    stories: (Vec<MessageId>, Vec<Whisper>),
    late: Vec<Expectation>,
}

/// What a window of time begins with.
struct Window {
    label: String,
    at: u64,
    totals: Totals,
    wakes: u64,
    broadcasts: usize,
    false_positives: (u64, u64),
    swim: (u64, u64, usize),
}

impl<'a, 'o> Stage<'a, 'o> {
    pub(super) fn new(case: &'a Case, options: &'a mut Options<'o>) -> Self {
        let baseline = options.live_bytes.map_or(0, |live| live());
        let mut sim = Sim::new(options.seed);
        sim.config = case.config.clone();
        sim.faults = case.faults.clone();
        sim.disk = case.disk;
        sim.public = !case.nodes.nat.is_empty() || case.nodes.spread;
        sim.spread = case.nodes.spread;
        let hot = match case.nodes.disk {
            Keep::Auto => case.nodes.count > LARGE,
            Keep::Full => false,
            Keep::Hot => true,
        };
        sim.disks = if hot { Disk::Hot } else { Disk::Full };
        sim.remember =
            case.steps.iter().any(|s| matches!(s.phase, Phase::Random { .. } | Phase::Laws { .. } | Phase::Hostile(_)));
        let rng = SimRng::fork(options.seed, "scenario");
        let out = CaseOutcome {
            name: case.name.clone(),
            nodes: case.nodes.count,
            figures: BTreeMap::new(),
            checks: Vec::new(),
            violations: Vec::new(),
            samples: Vec::new(),
            rounds: Vec::new(),
            phases: Vec::new(),
            latency: Default::default(),
            hops: Default::default(),
            transcript: String::new(),
            speed: Speed::default(),
        };
        Self {
            case,
            options,
            sim,
            rng,
            speaker: 0,
            groups: Vec::new(),
            out,
            baseline,
            sample_every: SECOND,
            next_sample: 0,
            samples_taken: 0,
            phase: (0, "build"),
            views: VecDeque::new(),
            view_loss: 0,
            stories: Default::default(),
            late: Vec::new(),
        }
    }

    /// Adds all nodes and starts one after the other.
    pub(super) fn build(&mut self) {
        self.out.phases.push((0.0, "build".into()));
        let nodes = &self.case.nodes;
        let public = nodes.count.saturating_sub(nodes.behind()).max(1);
        for n in 0..public {
            self.sim.config = Config { node_type: self.node_type(n), ..self.case.config.clone() };
            self.sim.add_node();
        }
        self.sim.config = self.case.config.clone();
        for group in &nodes.nat {
            let mut members = Vec::new();
            let mut current = 0;
            for i in 0..group.count {
                if i % group.per_box == 0 {
                    current = self.sim.add_box(group.config.clone());
                }
                members.push(self.sim.add_node_behind(Some(current)));
            }
            self.groups.push(members);
        }
        // The share of each class, drawn; class 0 is the usual path.
        let all: Vec<usize> = (0..self.sim.len()).collect();
        let classes = self.case.classes.len();
        for (i, (share, faults)) in self.case.classes.iter().enumerate() {
            let class = i as u32 + 1;
            for n in self.rng.sample(&all, Amount::Share(*share).of(all.len())) {
                self.sim.net.set_class(n, class);
            }
            for other in 0..=classes as u32 {
                self.sim.net.set_class_faults(class, other, faults.clone());
                self.sim.net.set_class_faults(other, class, faults.clone());
            }
        }
        self.speaker = self.rng.below(public as u64) as usize;
        for n in 0..self.sim.len() {
            let through: Vec<usize> = match nodes.join {
                _ if n == 0 => vec![],
                Join::First => vec![0],
                Join::Random => vec![self.rng.below(n.min(public) as u64) as usize],
            };
            self.sim.start(n, &through);
            let next = ((n + 1) as f64 / nodes.per_second * SECOND as f64) as u64;
            self.advance_to(next);
        }
    }

    fn node_type(&self, n: usize) -> NodeType {
        let mut upto = 0.0;
        for (node_type, share) in &self.case.nodes.types {
            upto += share * self.case.nodes.count as f64;
            if (n as f64) < upto {
                return *node_type;
            }
        }
        NodeType::Regular
    }

    pub(super) fn play(&mut self, number: usize, step: &'a Step) {
        self.phase = (number, &step.label);
        self.report();
        if let Phase::Expect(expectation) = &step.phase {
            if self.case.nodes.count < expectation.from_nodes {
                return;
            }
            return match self.out.figures.contains_key(&expectation.measure) && expectation.of.is_none() {
                true => self.out.checks.push(Check::new(expectation.clone(), &self.out.figures)),
                // The measure may be known only at the end.
                false => self.late.push(expectation.clone()),
            };
        }
        self.out.phases.push((self.seconds(), step.label.clone()));
        let window = self.open(&step.label);
        let figures = self.act(&step.phase);
        file(&mut self.out.figures, &step.label, figures);
        self.close(window);
    }

    fn act(&mut self, phase: &Phase) -> Figures {
        match phase {
            Phase::Wait { time } => self.advance(*time),
            Phase::Broadcast { senders, speakers, rounds, interval, bytes, settle } => {
                return self.broadcast((*senders, *speakers), *rounds, (*interval, *settle), *bytes);
            }
            Phase::Private { from, to, rounds, interval, settle } => {
                let [from, to] = [from, to].map(|name| self.case.nodes.group(name.get_ref()).flatten());
                return self.private((from, to), *rounds, *interval, *settle);
            }
            Phase::Fail { amount, torn } => {
                let struck = self.some_running(*amount);
                for &n in &struck {
                    if *torn { self.sim.crash_torn(n) } else { self.sim.crash(n) }
                }
                return vec![("failed", struck.len() as f64)];
            }
            Phase::Restart { amount } => self.restart(*amount),
            Phase::Churn(churn) => return self.churn(churn),
            Phase::Partition { share, one_way } => {
                let running = self.running();
                let away = Amount::Share(*share).of(running.len());
                for &n in &running[running.len() - away..] {
                    self.sim.move_to_island(n, 1);
                }
                self.sim.net.connect(0, 1, *one_way);
            }
            Phase::Heal {} => self.sim.net.heal(),
            Phase::Sleep { amount } => {
                for n in self.some_running(*amount) {
                    self.sim.sleep(n);
                }
            }
            Phase::Wake {} => (0..self.sim.len()).for_each(|n| self.sim.wake(n)),
            Phase::Stall { amount, duration, interval, time } => {
                self.stall(*amount, *duration, (*interval).max(1), *time)
            }
            Phase::Network(faults) => self.sim.faults = (**faults).clone(),
            Phase::Clock { amount, skew_ppm, jump_us, wall_ms } => {
                for n in self.some_running(*amount) {
                    self.sim.skew_clock(n, *skew_ppm);
                    self.sim.jump_clock(n, *jump_us);
                    self.sim.set_wall_clock(n, *wall_ms);
                }
            }
            Phase::Rebind { amount, address } => {
                let boxes: Vec<usize> = (0..self.sim.net.boxes()).collect();
                for number in self.rng.sample(&boxes, amount.of(boxes.len())) {
                    self.sim.net.rebind(number, *address);
                }
            }
            Phase::Until(Until { condition, most }) => return self.until(*condition, *most),
            Phase::Random { time } => self.random(*time),
            Phase::Hostile(hostile) => return self.hostile(hostile),
            Phase::Laws { most } => return self.laws(*most),
            Phase::Expect(_) => {}
        }
        Figures::new()
    }

    fn broadcast(
        &mut self,
        (senders, speakers): (Senders, usize),
        rounds: usize,
        times: (u64, u64),
        bytes: usize,
    ) -> Figures {
        let (interval, settle) = times;
        let mut refused = 0;
        let pool = if senders == Senders::Random { self.rng.sample(&self.running(), speakers) } else { Vec::new() };
        for round in 0..rounds {
            let speakers = match senders {
                Senders::One => vec![self.speaker],
                Senders::Random => self.rng.pick(&pool).copied().into_iter().collect(),
                Senders::All => self.running(),
            };
            let before = self.sim.totals();
            let (at, count) = (self.seconds(), speakers.len());
            for n in speakers {
                refused += usize::from(!self.say(n, round, bytes));
            }
            self.advance(interval);
            self.round(at, &before, count);
        }
        self.advance(settle);
        vec![("refused", refused as f64)]
    }

    fn say(&mut self, n: usize, round: usize, bytes: usize) -> bool {
        let mut text = format!("{n} says {round} at {}.", self.sim.now());
        while text.len() < bytes {
            text.push('.');
        }
        text.truncate(bytes.max(20));
        self.sim.is_awake(n) && self.sim.broadcast(n, &text).is_ok()
    }

    fn round(&mut self, at: f64, before: &Totals, count: usize) {
        let diff = self.sim.totals().since(before);
        let due = count * self.sim.awake().len().saturating_sub(1);
        let gossip = (due > 0).then(|| (diff.first as f64 / due as f64).min(1.0));
        self.out.rounds.push(Round { at, rmr: diff.rmr(), ldh: diff.ldh(), gossip });
    }

    fn private(&mut self, (from, to): (Group, Group), rounds: usize, interval: u64, settle: u64) -> Figures {
        let (senders, readers) = (self.members(from), self.members(to));
        let mut sent = Vec::new();
        let (mut unknown, mut tries) = (0, 0);
        let mut pairs = Vec::new();
        for &n in &senders {
            let others: Vec<usize> = readers.iter().copied().filter(|m| *m != n).collect();
            pairs.extend(self.rng.pick(&others).map(|m| (n, *m)));
        }
        for round in 0..rounds {
            for &(n, m) in &pairs {
                tries += 1;
                match self.sim.send(n, m, &format!("{round} to {m}")) {
                    Ok(id) => sent.push((n, id)),
                    Err(_) => unknown += 1,
                }
            }
            self.advance(interval);
        }
        self.advance(settle);
        let delivered = sent.iter().filter(|(n, id)| self.sim.node(*n).delivered.contains(id)).count();
        let direct = pairs.iter().filter(|(n, m)| {
            let engine = self.sim.node(*n).engine();
            engine.peer(self.sim.id(*m)).is_some_and(|p| p.linked)
        });
        let share = |count: usize, of: usize| if of == 0 { 0.0 } else { count as f64 / of as f64 };
        vec![
            ("private_delivered", share(delivered, tries)),
            ("private_refused", unknown as f64),
            ("direct", share(direct.count(), pairs.len())),
        ]
    }

    fn members(&self, group: Group) -> Vec<usize> {
        let all = self.running().into_iter();
        match group {
            None => all.filter(|n| self.sim.net.nat_of(*n).is_none()).collect(),
            Some(group) => all.filter(|n| self.groups[group].contains(n)).collect(),
        }
    }

    fn churn(&mut self, churn: &Churn) -> Figures {
        let Churn { cycles, cycle, restart_after, broadcasts, bytes, settle, .. } = *churn;
        let rest = cycle.saturating_sub(restart_after);
        let mut refused = 0;
        let [fail, restart] = [churn.fail(), churn.restart()].map(|amount| Amount::Count(amount.of(self.sim.len())));
        for number in 0..cycles {
            for n in self.some_running(fail) {
                self.sim.crash(n);
            }
            self.advance(restart_after);
            self.restart(restart);
            let pause = rest / (broadcasts as u64 + 1);
            for _ in 0..broadcasts {
                self.advance(pause);
                let (at, before) = (self.seconds(), self.sim.totals());
                refused += usize::from(!self.say(self.speaker, number, bytes));
                // Half of the pause to arrive; the rest belongs to the next phase.
                self.advance(pause / 2);
                self.round(at, &before, 1);
            }
            self.advance(rest.saturating_sub(broadcasts as u64 * (pause + pause / 2)));
        }
        self.advance(settle);
        vec![("refused", refused as f64)]
    }

    fn restart(&mut self, amount: Amount) {
        let down: Vec<usize> = (0..self.sim.len()).filter(|n| !self.sim.node(*n).runs()).collect();
        let up: Vec<usize> = self.running().into_iter().filter(|n| self.sim.net.nat_of(*n).is_none()).collect();
        for n in self.rng.sample(&down, amount.of(down.len())) {
            let through: Vec<usize> = self.rng.pick(&up).copied().into_iter().collect();
            self.sim.start(n, &through);
        }
    }

    fn stall(&mut self, amount: Amount, duration: u64, interval: u64, time: u64) {
        let struck = self.some_running(amount);
        self.sim.watch.anomalous.extend(&struck);
        let end = self.sim.now() + time;
        while self.sim.now() < end {
            for &n in &struck {
                self.sim.stall(n, duration);
            }
            self.advance((duration + interval).min(end - self.sim.now()));
        }
    }

    fn until(&mut self, condition: Condition, most: u64) -> Figures {
        let begin = self.sim.now();
        // Large networks are expensive to sample.
        let pause = if self.sim.len() > LARGE { 5 * SECOND } else { SECOND / 2 };
        loop {
            if self.is_true(condition) {
                return vec![("took_s", (self.sim.now() - begin) as f64 / SECOND as f64), ("reached", 1.0)];
            }
            if self.sim.now() >= begin + most {
                return vec![("reached", 0.0)];
            }
            self.advance(pause.min(begin + most - self.sim.now()));
        }
    }

    fn is_true(&mut self, condition: Condition) -> bool {
        match condition {
            Condition::Neighbours(least) => self.running().iter().all(|n| self.sim.neighbours(*n).len() >= least),
            Condition::OneComponent => self.sim.overlay().component_sizes().len() <= 1,
            Condition::Told => self.all_told(),
            Condition::OneOrder => self.all_told() && laws::agree(&mut self.sim),
            Condition::Noticed => self.sim.watch.crashed.values().all(|c| c.first.is_some()),
        }
    }

    fn all_told(&self) -> bool {
        let awake = self.sim.awake();
        self.sim.watch.broadcasts.iter().all(|b| {
            let missing = awake.without(&b.told);
            missing.is_empty() || missing.len() == 1 && missing.contains(b.author)
        })
    }

    fn random(&mut self, time: u64) {
        let mix = Mix::draw(&mut self.rng.split());
        let mut life = Life::new(&mut self.sim, mix);
        let end = self.sim.now() + time;
        while self.sim.now() < end {
            life.second(&mut self.sim);
            self.look();
        }
        life.heal(&mut self.sim);
        self.stories.0.extend(life.said);
        self.stories.1.extend(life.private);
    }

    fn laws(&mut self, most: u64) -> Figures {
        let begin = self.sim.now();
        let settled = |sim: &mut Sim, private: &[Whisper]| laws::agree(sim) && laws::are_back(sim, private);
        while !settled(&mut self.sim, &self.stories.1) && self.sim.now() < begin + most {
            self.advance(SECOND);
        }
        let took = (self.sim.now() - begin) as f64 / SECOND as f64;
        let (said, private) = &self.stories;
        let mut broken = laws::broken(&mut self.sim, said, private);
        broken.extend(laws::not_alive(&mut self.sim));
        let figures = vec![
            ("violations", broken.len() as f64),
            ("acknowledged", (said.len() + private.len()) as f64),
            ("settled_s", took),
        ];
        self.out.violations.extend(broken);
        figures
    }

    /// Nodes that run and do not sleep.
    fn running(&self) -> Vec<usize> {
        (0..self.sim.len()).filter(|n| self.sim.is_awake(*n)).collect()
    }

    /// Some running nodes, drawn; never the speaker.
    fn some_running(&mut self, amount: Amount) -> Vec<usize> {
        let all = self.running();
        let count = amount.of(all.len());
        let others: Vec<usize> = all.into_iter().filter(|n| *n != self.speaker).collect();
        self.rng.sample(&others, count)
    }

    pub(super) fn seconds(&self) -> f64 {
        self.sim.now() as f64 / SECOND as f64
    }

    fn advance(&mut self, time: u64) {
        self.advance_to(self.sim.now() + time);
    }
}
