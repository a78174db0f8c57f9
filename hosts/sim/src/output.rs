//! Results for people and for programs.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::run::{CaseOutcome, Outcome, number};

/// Figures that every summary shows if measured.
const HEADLINE: [&str; 16] = [
    "reliability",
    "reliability_gossip",
    "missed",
    "rmr",
    "ldh",
    "ldh_mean",
    "hops_mean",
    "control_per_n",
    "latency_p50_s",
    "latency_p99_s",
    "clustering",
    "path",
    "components",
    "degree",
    "bytes_per_node_s",
    "state_kib_per_node",
];

/// A result as text: a table "paper, goal, measured", the chief figures, speed, and how to replay it.
/// `named` is the scenario as given on the command line.
pub fn text(outcome: &Outcome, named: &str) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}: {} ({})", outcome.scenario, outcome.title, outcome.source);
    for case in &outcome.cases {
        if !case.name.is_empty() {
            let _ = writeln!(out, "\n-- {}", case.name);
        }
        case_text(&mut out, case);
    }
    let verdict = if outcome.pass() { "PASS" } else { "FAIL" };
    let _ = writeln!(out, "\n{verdict} {} seed {}", outcome.scenario, outcome.seed);
    if !outcome.pass() {
        let _ = writeln!(out, "replay: {}", outcome.replay(named));
    }
    out
}

fn case_text(out: &mut String, case: &CaseOutcome) {
    let rows: Vec<[String; 5]> = case
        .checks
        .iter()
        .map(|c| {
            let verdict = if c.pass { "ok" } else { "FAIL" };
            [c.expectation.measure.clone(), c.expectation.paper.clone(), c.goal(), c.shown(), verdict.to_owned()]
        })
        .collect();
    if !rows.is_empty() {
        table(out, ["measure", "paper", "goal", "measured", ""], &rows);
    }
    for broken in &case.violations {
        let _ = writeln!(out, "BROKEN {broken}");
    }
    let headline = HEADLINE.iter().filter_map(|key| Some(format!("{key} {}", number(*case.figures.get(*key)?))));
    let _ = writeln!(out, "{}", headline.collect::<Vec<_>>().join(", "));
    let s = &case.speed;
    let wall = s.wall_s.max(1e-9);
    let _ = writeln!(
        out,
        "{:.0} virtual s in {:.1} s: {:.1} virtual s/s, {:.0} events/s; all nodes started in {:.1} s, \
         then {:.1} virtual s/s; transcript {}",
        s.virtual_s,
        s.wall_s,
        s.virtual_s / wall,
        s.events as f64 / wall,
        s.build_s,
        (s.virtual_s - s.build_virtual_s) / (s.wall_s - s.build_s).max(1e-9),
        &case.transcript[..16]
    );
}

/// Columns as wide as their widest cell.
pub(crate) fn table<const N: usize>(out: &mut String, head: [&str; N], rows: &[[String; N]]) {
    let mut widths = head.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let head = head.map(str::to_owned);
    for row in std::iter::once(&head).chain(rows) {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let _ = writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// A result as JSON lines: one for each goal, one for each case, at last the result.
pub fn json_lines(outcome: &Outcome, named: &str) -> String {
    let mut lines = Vec::new();
    for case in &outcome.cases {
        for c in &case.checks {
            lines.push(json!({
                "v": 1, "type": "check", "case": case.name, "measure": c.expectation.measure,
                "paper": c.expectation.paper, "is": c.expectation.comparison.sign(), "goal": c.expectation.goal,
                "measured": c.measured, "pass": c.pass,
            }));
        }
        lines.extend(
            case.violations.iter().map(|what| json!({ "v": 1, "type": "broken", "case": case.name, "what": what })),
        );
        let s = &case.speed;
        lines.push(json!({
            "v": 1, "type": "case", "case": case.name, "nodes": case.nodes, "pass": case.pass(), "transcript": case.transcript,
            "virtual_s": s.virtual_s, "wall_s": s.wall_s, "build_s": s.build_s, "events": s.events,
        }));
    }
    let figures: Map<String, Value> = outcome.figures().into_iter().map(|(k, v)| (k, json!(v))).collect();
    let transcripts: Vec<&str> = outcome.cases.iter().map(|c| c.transcript.as_str()).collect();
    lines.push(json!({
        "v": 1, "type": "result", "scenario": outcome.scenario, "seed": outcome.seed, "nodes": outcome.nodes,
        "pass": outcome.pass(), "figures": figures, "transcript": transcripts.join(" "),
        "replay": outcome.replay(named),
    }));
    lines.iter().map(|line| format!("{line}\n")).collect()
}
