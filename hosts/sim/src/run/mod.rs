//! Runs scenarios and gathers their figures.

mod figures;
mod stage;

use std::collections::BTreeMap;

use donp_core::BroadcastStats;

use crate::measure::Histogram;
use crate::scenario::{Case, Comparison, Expectation, Scenario, Size};
use stage::Stage;

/// How to run a scenario.
#[derive(Default)]
pub struct Options<'a> {
    /// The seed of all random choices.
    pub seed: u64,
    /// Bytes that the program has allocated now; without it memory is not measured.
    pub live_bytes: Option<fn() -> usize>,
    /// Called now and then with the progress.
    pub progress: Option<&'a mut dyn FnMut(&Progress<'_>)>,
}

/// The progress of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress<'a> {
    /// The case, empty if there is one.
    pub case: &'a str,
    /// The phase.
    pub phase: &'a str,
    /// Phases done, and how many there are.
    pub done: (usize, usize),
    /// Virtual seconds since the beginning.
    pub virtual_s: f64,
    /// Events so far.
    pub events: u64,
}

/// The outcome of a scenario.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The scenario's name.
    pub scenario: String,
    /// Its title.
    pub title: String,
    /// The paper and table.
    pub source: String,
    /// The seed.
    pub seed: u64,
    /// Nodes in the (first) case.
    pub nodes: usize,
    /// The number of nodes if it is not the file's.
    pub other_nodes: Option<usize>,
    /// The only case that ran, if not all.
    pub only_case: Option<String>,
    /// The size.
    pub size: Size,
    /// Each run.
    pub cases: Vec<CaseOutcome>,
}

/// The outcome of one run.
#[derive(Clone, Debug)]
pub struct CaseOutcome {
    /// The case; empty if there is one.
    pub name: String,
    /// Nodes.
    pub nodes: usize,
    /// Every figure, as `label.measure`, and the newest of each measure by its name alone.
    pub figures: BTreeMap<String, f64>,
    /// Goals.
    pub checks: Vec<Check>,
    /// Broken laws, as sentences.
    pub violations: Vec<String>,
    /// The run over time.
    pub samples: Vec<Sample>,
    /// The broadcasts, round by round.
    pub rounds: Vec<Round>,
    /// When each phase began, in virtual seconds, and what it is called.
    pub phases: Vec<(f64, String)>,
    /// Time from broadcast to delivery.
    pub latency: Histogram,
    /// First deliveries by hops.
    pub hops: [u64; BroadcastStats::HOPS],
    /// A hash of the whole run.
    pub transcript: String,
    /// How fast it went; differs from machine to machine.
    pub speed: Speed,
}

/// A goal and its outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// The goal.
    pub expectation: Expectation,
    /// None if it could not be measured, which is a failure.
    pub measured: Option<f64>,
    /// Whether it is met.
    pub pass: bool,
}

/// The network at one time. Counters are sums over all nodes since the beginning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Virtual seconds since the beginning.
    pub at: f64,
    /// Nodes that run and do not sleep.
    pub running: usize,
    /// Bytes sent.
    pub bytes: u64,
    /// Bytes of broadcasts sent.
    pub payload_bytes: u64,
    /// Bytes of gossip messages without a broadcast.
    pub control_bytes: u64,
    /// Of all pairs of a broadcast (the newest 200) and a running node, the share that is delivered.
    pub delivered: Option<f64>,
    /// Share of the running nodes in the largest component, where it was looked at.
    pub giant: Option<f64>,
    /// Mean neighbours, where it was looked at.
    pub degree: Option<f64>,
}

/// One round of broadcasts: from one to the next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Round {
    /// Virtual seconds since the beginning.
    pub at: f64,
    /// Relative message redundancy of this round's deliveries.
    pub rmr: Option<f64>,
    /// Longest path of this round's deliveries, in hops.
    pub ldh: Option<usize>,
    /// Share of the running nodes that the gossip of this round reached.
    pub gossip: Option<f64>,
}

/// How fast a run went on this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Speed {
    /// Virtual seconds.
    pub virtual_s: f64,
    /// Seconds of this world.
    pub wall_s: f64,
    /// Seconds of this world until all nodes were started.
    pub build_s: f64,
    /// Virtual seconds until then.
    pub build_virtual_s: f64,
    /// Arrivals, commits and wakes.
    pub events: u64,
}

impl Outcome {
    /// Whether every goal is met and no law is broken.
    pub fn pass(&self) -> bool {
        self.cases.iter().all(CaseOutcome::pass)
    }

    /// Every figure; those of a case as `case/measure`.
    pub fn figures(&self) -> BTreeMap<String, f64> {
        let mut all = BTreeMap::new();
        for case in &self.cases {
            let prefix = if case.name.is_empty() { String::new() } else { format!("{}/", case.name) };
            all.extend(case.figures.iter().map(|(key, value)| (format!("{prefix}{key}"), *value)));
        }
        all
    }

    /// The command that shows this run again. A scenario from a file is named by its path.
    pub fn replay(&self, named: &str) -> String {
        let nodes = self.other_nodes.map(|n| format!(" --nodes {n}")).unwrap_or_default();
        let size = match self.size {
            Size::Test => " --size test",
            Size::Usual => "",
            Size::Paper => " --size paper",
        };
        let case = self.only_case.as_ref().map(|case| format!(" --case '{case}'")).unwrap_or_default();
        let program = if cfg!(donp_toy_keys) { "cargo toy-sim" } else { "donp-sim" };
        format!("{program} run {named} --seed {}{size}{nodes}{case}", self.seed)
    }
}

impl CaseOutcome {
    /// Whether every goal is met and no law is broken.
    pub fn pass(&self) -> bool {
        self.violations.is_empty() && self.checks.iter().all(|c| c.pass)
    }
}

impl Check {
    /// `earlier` are the figures of the cases before. A ratio is filed as a figure of its own.
    fn of(mut expectation: Expectation, figures: &mut BTreeMap<String, f64>, earlier: &BTreeMap<String, f64>) -> Self {
        if let Some(of) = &expectation.of {
            let whole = earlier.get(of).copied();
            let name = format!("{} / {of}", expectation.measure);
            let ratio = figures.get(&expectation.measure).zip(whole).map(|(part, whole)| part / whole);
            figures.extend(ratio.filter(|r| r.is_finite()).map(|r| (name.clone(), r)));
            expectation.measure = name;
        }
        Self::new(expectation, figures)
    }

    fn new(expectation: Expectation, figures: &BTreeMap<String, f64>) -> Self {
        let measured = figures.get(&expectation.measure).copied();
        let pass = measured.is_some_and(|m| expectation.comparison.holds(m, expectation.goal));
        Self { expectation, measured, pass }
    }

    /// The goal as text: `<= 0.01`.
    pub fn goal(&self) -> String {
        format!("{} {}", self.expectation.comparison.sign(), number(self.expectation.goal))
    }

    /// What was measured as text. A figure that misses its goal by less than is shown gets more digits.
    pub fn shown(&self) -> String {
        let Some(measured) = self.measured else { return "not reached".into() };
        let goal = number(self.expectation.goal);
        let short = number(measured);
        if short == goal && self.expectation.comparison != Comparison::Equal && !self.pass {
            measured.to_string()
        } else {
            short
        }
    }
}

/// A figure for people: whole numbers as they are, others with four significant digits.
pub fn number(n: f64) -> String {
    if n == 0.0 {
        return "0".into();
    }
    if n.fract() == 0.0 && n.abs() < 1e15 {
        return format!("{n:.0}");
    }
    let digits = (3 - n.abs().log10().floor() as i32).clamp(0, 8) as usize;
    let text = format!("{n:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

/// Runs a scenario, every case of it.
pub fn run(scenario: &Scenario, mut options: Options<'_>) -> Outcome {
    let mut cases: Vec<CaseOutcome> = Vec::new();
    let mut earlier = BTreeMap::new();
    for case in &scenario.cases {
        let outcome = run_case(case, &mut options, &earlier);
        earlier.extend(outcome.figures.iter().map(|(key, value)| (format!("{}/{key}", case.name), *value)));
        cases.push(outcome);
    }
    Outcome {
        scenario: scenario.name.clone(),
        title: scenario.title.clone(),
        source: scenario.source.clone(),
        seed: options.seed,
        nodes: scenario.cases.first().map_or(0, |case| case.nodes.count),
        other_nodes: scenario.other_nodes,
        only_case: scenario.only_case.clone(),
        size: scenario.size,
        cases,
    }
}

fn run_case(case: &Case, options: &mut Options<'_>, earlier: &BTreeMap<String, f64>) -> CaseOutcome {
    let begin = std::time::Instant::now();
    let mut stage = Stage::new(case, options);
    stage.build();
    let build_s = begin.elapsed().as_secs_f64();
    for (i, step) in case.steps.iter().enumerate() {
        stage.play(i, step);
    }
    let mut outcome = stage.end(earlier);
    outcome.speed.wall_s = begin.elapsed().as_secs_f64();
    outcome.speed.build_s = build_s;
    outcome.speed.build_virtual_s = case.nodes.count as f64 / case.nodes.per_second;
    outcome
}
