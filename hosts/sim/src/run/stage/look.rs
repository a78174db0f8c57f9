//! Samples a run in progress, and sums it up.

use std::collections::BTreeMap;

use donp_core::MemberState;

use super::{LARGE, Stage, Window};
use crate::measure::Broadcast;
use crate::node::Disk;
use crate::run::figures::{self, Figures, file};
use crate::run::{CaseOutcome, Check, Progress, Round, Sample};
use crate::scenario::{Comparison, Condition, Expectation};
use crate::sim::SECOND;

/// Samples kept; beyond it every second one goes, and the next come half as often.
const SAMPLES: usize = 1_200;
/// Time for every node to report everything at the end of a run: ten rounds of comparing.
const HEALED: u64 = 300 * SECOND;
/// Newest broadcasts that a sample looks at.
const LOOK_BACK: usize = 200;

impl Stage<'_, '_> {
    pub(super) fn open(&mut self, label: &str) -> Window {
        self.view_loss = 0;
        self.sim.watch.open();
        Window {
            label: label.into(),
            at: self.sim.now(),
            totals: self.sim.totals(),
            wakes: self.sim.wakes(),
            broadcasts: self.sim.watch.broadcasts.len(),
            false_positives: (self.sim.watch.false_positives, self.sim.watch.false_positives_at_healthy),
            swim: self.swim_so_far(),
        }
    }

    fn swim_so_far(&self) -> (u64, u64, usize) {
        let watch = &self.sim.watch;
        (watch.false_downs, watch.false_downs_at_healthy, watch.detected.len())
    }

    /// What failure detection in zones did since `before`, in `periods`.
    fn swim(&self, before: (u64, u64, usize), messages: u64, periods: f64) -> Figures {
        let (falsely, at_healthy, _) = self.swim_so_far();
        let running = self.running();
        let alive = |n: &usize| {
            let members = self.sim.node(*n).engine().members();
            members.iter().filter(|m| matches!(m.state, MemberState::Alive | MemberState::Suspect)).count() + 1
        };
        let mut all = vec![
            ("swim_messages", messages as f64),
            ("swim_messages_per_period", messages as f64 / running.len().max(1) as f64 / periods),
            ("swim_false_positives", (falsely - before.0) as f64),
            ("swim_false_positives_at_healthy", (at_healthy - before.1) as f64),
        ];
        all.extend(running.iter().map(alive).min().map(|n| ("swim_members_min", n as f64)));
        let detected = &self.sim.watch.detected[before.2..];
        if !detected.is_empty() {
            let mean = detected.iter().sum::<u64>() as f64 / detected.len() as f64;
            all.push(("swim_detections", detected.len() as f64));
            all.push(("swim_first_detection_s", mean / SECOND as f64));
            all.push(("swim_first_detection_periods", mean / self.case.period as f64));
        }
        all
    }

    pub(super) fn close(&mut self, window: Window) {
        let passed = self.sim.now() - window.at;
        let mut all = Figures::new();
        let watch = &self.sim.watch;
        let noticed: Vec<f64> =
            watch.crashed.values().filter_map(|c| c.first.map(|f| (f - c.at) as f64 / SECOND as f64)).collect();
        if !watch.crashed.is_empty() {
            all.push(("unnoticed", (watch.crashed.len() - noticed.len()) as f64));
        }
        if !noticed.is_empty() {
            let mean = noticed.iter().sum::<f64>() / noticed.len() as f64;
            all.push(("first_detection_s", mean));
            all.push(("first_detection_periods", mean * SECOND as f64 / self.case.period as f64));
        }
        if passed > 0 {
            let alive = self.sim.awake();
            let n = alive.len();
            let diff = self.sim.totals().since(&window.totals);
            let broadcasts = &self.sim.watch.broadcasts[window.broadcasts..];
            let seconds = passed as f64 / SECOND as f64;
            let wakes = self.sim.wakes() - window.wakes;
            all.extend(figures::traffic((&diff, wakes), n, seconds, self.case.period as f64 / SECOND as f64));
            if !broadcasts.is_empty() {
                all.extend(figures::gossip(&diff, n, broadcasts.len()));
                all.extend(figures::reliability(broadcasts, &alive, diff.first));
                all.extend(figures::speed(&self.sim.watch, broadcasts, &alive, window.at));
                let begin = window.at as f64 / SECOND as f64;
                let rounds = self.out.rounds.iter().filter(|r| r.at >= begin);
                let rounds: Vec<Round> = rounds.cloned().collect();
                all.extend(figures::rounds(&rounds, begin, self.case.period as f64 / SECOND as f64));
            }
            let watch = &self.sim.watch;
            all.push(("false_positives", (watch.false_positives - window.false_positives.0) as f64));
            let healthy = watch.false_positives_at_healthy - window.false_positives.1;
            all.push(("false_positives_at_healthy", healthy as f64));
            let linked = self.running().into_iter().map(|n| self.sim.linked(n) + 1).min();
            all.extend(linked.map(|v| ("members_min", v as f64)));
            all.push(("running", n as f64));
            let periods = passed as f64 / self.case.period as f64;
            all.extend(self.swim(window.swim, diff.swim_out, periods));
            let shape = self.sim.overlay().shape(&mut self.rng.split());
            all.extend(figures::shape(&shape));
            if self.case.watch_views {
                all.push(("view_loss_10s", self.view_loss as f64));
            }
        }
        file(&mut self.out.figures, &window.label, all);
    }

    /// Lets time pass and looks once a second.
    pub(super) fn advance_to(&mut self, end: u64) {
        while self.sim.now() < end {
            let next = (self.sim.now() / SECOND + 1) * SECOND;
            self.sim.run_to(next.min(end));
            if self.sim.now() == next {
                self.look();
            }
        }
    }

    pub(super) fn look(&mut self) {
        if self.case.watch_views {
            self.compare_views();
        }
        if self.sim.now() >= self.next_sample {
            self.next_sample = self.sim.now() + self.sample_every;
            let sample = self.sample();
            self.out.samples.push(sample);
            if self.out.samples.len() >= SAMPLES {
                let mut keep = false;
                self.out.samples.retain(|_| {
                    keep = !keep;
                    keep
                });
                self.sample_every *= 2;
            }
            self.report();
        }
    }

    fn sample(&mut self) -> Sample {
        let totals = self.sim.totals();
        let awake = self.sim.awake();
        let broadcasts = &self.sim.watch.broadcasts;
        let newest = &broadcasts[broadcasts.len().saturating_sub(LOOK_BACK)..];
        let told: usize = newest.iter().map(|b| b.told.common(&awake)).sum();
        let due: usize = newest.iter().map(|b| awake.len() - usize::from(awake.contains(b.author))).sum();
        self.samples_taken += 1;
        let shape = (self.sim.len() <= LARGE && self.samples_taken % 10 == 1).then(|| {
            let graph = self.sim.overlay();
            let giant = graph.component_sizes().first().copied().unwrap_or(0);
            let degree: usize = graph.links.iter().map(Vec::len).sum();
            let n = awake.len().max(1) as f64;
            (giant as f64 / n, degree as f64 / n)
        });
        Sample {
            at: self.seconds(),
            running: awake.len(),
            bytes: totals.bytes_out,
            payload_bytes: totals.payload_bytes,
            control_bytes: totals.control_bytes,
            delivered: (due > 0).then(|| told as f64 / due as f64),
            giant: shape.map(|s| s.0),
            degree: shape.map(|s| s.1),
        }
    }

    fn compare_views(&mut self) {
        let now: Vec<Vec<u32>> = (0..self.sim.len()).map(|n| self.sim.neighbours(n)).collect();
        if self.views.len() > 10 {
            self.views.pop_front();
        }
        if let Some(then) = self.views.front() {
            for (before, after) in then.iter().zip(&now) {
                let lost = before.iter().filter(|n| !after.contains(n)).count();
                self.view_loss = self.view_loss.max(lost);
            }
        }
        self.views.push_back(now);
    }

    pub(super) fn report(&mut self) {
        let progress = Progress {
            case: &self.case.name,
            phase: self.phase.1,
            done: (self.phase.0, self.case.steps.len()),
            virtual_s: self.sim.now() as f64 / SECOND as f64,
            events: self.sim.events(),
        };
        if let Some(tell) = self.options.progress.as_mut() {
            tell(&progress);
        }
    }

    /// Invariants of every scenario once all faults are over: no message is lost, repeated, or reported before its
    /// causes. Without a history on the disks a message that a broken tree missed stays lost, so only the papers' share
    /// is required there.
    fn promises(&mut self) -> Vec<Expectation> {
        if self.sim.watch.broadcasts.is_empty() {
            return Vec::new();
        }
        let keeps = self.sim.disks == Disk::Full;
        if keeps {
            self.until(Condition::Told, HEALED);
        }
        let (awake, watch) = (self.sim.awake(), &self.sim.watch);
        // No node guarantees a message that its author's power failure took before it was written.
        let written = |b: &&Broadcast| !b.told.is_empty() || self.sim.node(b.author).life <= 1;
        let due = watch.broadcasts.iter().filter(written).map(|b| b.reached(&awake));
        let lost = due.map(|(told, due)| due - told).sum::<usize>();
        let witnesses = || (0..self.sim.len()).map(|n| &self.sim.node(n).witness);
        let repeated: u64 = witnesses().map(|w| w.repeated).sum();
        let early: u64 = witnesses().map(|w| w.early).sum();
        let all = [("lost", lost as f64), ("repeated", repeated as f64), ("early", early as f64)];
        self.out.figures.extend(all.map(|(key, value)| (key.to_owned(), value)));
        // A restored disk is older than the events that were reported from it; the laws check such a run.
        let restored = (0..self.sim.len()).any(|n| self.sim.node(n).restored > 0);
        let asked = all.iter().filter(|(key, _)| !restored && (keeps || *key != "lost"));
        let none = |measure: &str| Expectation {
            measure: measure.into(),
            comparison: Comparison::Equal,
            goal: 0.0,
            paper: "-".into(),
            from_nodes: 0,
            of: None,
        };
        asked.map(|(measure, _)| none(measure)).collect()
    }

    pub(in crate::run) fn end(mut self, earlier: &BTreeMap<String, f64>) -> CaseOutcome {
        let promises = self.promises();
        let (messages, periods) = (self.sim.totals().swim_out, self.sim.now() as f64 / self.case.period as f64);
        let swim = self.swim((0, 0, 0), messages, periods);
        file(&mut self.out.figures, "all", swim);
        let totals = self.sim.totals();
        self.out.hops = totals.hops;
        self.out.transcript = self.sim.transcript();
        self.out.latency = std::mem::take(&mut self.sim.watch.latency);
        for (key, q) in [("latency_p50_s", 0.5), ("latency_p99_s", 0.99)] {
            self.out.figures.extend(self.out.latency.quantile(q).map(|v| (key.to_owned(), v)));
        }
        self.out.figures.extend(self.out.latency.max().map(|v| ("latency_max_s".to_owned(), v)));
        self.out.speed.virtual_s = self.sim.now() as f64 / SECOND as f64;
        self.out.speed.events = self.sim.events();
        self.weigh();
        let checks = [std::mem::take(&mut self.late), promises].concat();
        let figures = &mut self.out.figures;
        // A case is not compared with itself.
        let own = format!("{}/", self.case.name);
        let checks = checks.into_iter().filter(|e| e.of.as_ref().is_none_or(|of| !of.starts_with(&own)));
        self.out.checks.extend(checks.map(|e| Check::of(e, figures, earlier)));
        self.out
    }

    /// The state of nodes, measured by dropping them.
    fn weigh(&mut self) {
        let Some(live) = self.options.live_bytes else { return };
        let kib = |bytes: usize, n: usize| bytes as f64 / 1_024.0 / n.max(1) as f64;
        let running = (0..self.sim.len()).filter(|n| self.sim.node(*n).runs()).count();
        let all = live();
        self.sim.take_apart(false);
        let without_disks = live();
        self.sim.take_apart(true);
        let without_engines = live();
        let figures: [(&str, f64); 3] = [
            ("state_kib_per_node", kib(without_disks.saturating_sub(without_engines), running)),
            ("disk_kib_per_node", kib(all.saturating_sub(without_disks), self.sim.len())),
            ("simulator_kib_per_node", kib(without_engines.saturating_sub(self.baseline), self.sim.len())),
        ];
        self.out.figures.extend(figures.map(|(key, value)| (key.to_owned(), value)));
    }
}
