//! One static HTML page for a run: goals and plots. It needs nothing but itself.

mod plot;

use std::fmt::Write as _;

use crate::run::{CaseOutcome, Outcome, Sample, number};
use plot::{Axis, Plot, escape};

/// The page. `named` is the scenario as given on the command line.
pub fn page(outcome: &Outcome, named: &str) -> String {
    let (class, verdict) = if outcome.pass() { ("pass", "PASS") } else { ("fail", "FAIL") };
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{name} seed {seed}: {verdict}</title>\n<style>\n{css}</style>\n</head>\n<body>\n\
         <h1>{title} <span class=\"badge {class}\">{verdict}</span></h1>\n\
         <p class=\"soft\">Scenario {name}, after {source}. {nodes} nodes, seed {seed}, virtual time.</p>\n\
         <p>See it again: <code>{replay}</code></p>\n",
        name = escape(&outcome.scenario),
        title = escape(&outcome.title),
        source = escape(&outcome.source),
        nodes = outcome.nodes,
        seed = outcome.seed,
        css = include_str!("page.css"),
        replay = escape(&outcome.replay(named)),
    );
    for case in &outcome.cases {
        if !case.name.is_empty() {
            let _ = writeln!(out, "<h2>{}</h2>", escape(&case.name));
        }
        write_case(&mut out, case);
    }
    out += "</body>\n</html>\n";
    out
}

fn write_case(out: &mut String, case: &CaseOutcome) {
    if !case.checks.is_empty() {
        *out += "<table>\n<tr><th>Measure</th><th>Paper</th><th>Goal</th><th>Measured</th><th></th></tr>\n";
        for c in &case.checks {
            let (class, word) = if c.pass { ("pass", "met") } else { ("fail", "missed") };
            let _ = writeln!(
                out,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"{class}\">{word}</td></tr>",
                escape(&c.expectation.measure),
                escape(&c.expectation.paper),
                escape(&c.goal()),
                escape(&c.shown())
            );
        }
        *out += "</table>\n";
    }
    for broken in &case.violations {
        let _ = writeln!(out, "<p><span class=\"badge fail\">broken</span> {}</p>", escape(broken));
    }
    let tiles = [
        ("reliability", "delivered, share of nodes", ""),
        ("rmr", "redundancy, payloads", ""),
        ("ldh", "last delivery hop", ""),
        ("latency_p50_s", "median delivery", " s"),
        ("degree", "mean neighbours", ""),
        ("components", "components", ""),
        ("bytes_per_node_s", "sent by a node", " B/s"),
        ("state_kib_per_node", "state of a node", " KiB"),
    ];
    *out += "<div class=\"tiles\">\n";
    for (key, what, unit) in tiles {
        if let Some(value) = case.figures.get(key) {
            let _ = writeln!(out, "<div class=\"tile\"><b>{}{unit}</b><span>{what}</span></div>", number(*value));
        }
    }
    *out += "</div>\n<div class=\"plots\">\n";
    let plots = [delivery_over_time(case), delivery_distribution(case), redundancy(case), last_hop(case), hops(case)];
    let more = [bytes(case), convergence(case), overlay_shape(case)];
    plots.into_iter().chain(more).flatten().for_each(|figure| *out += &figure);
    *out += "</div>\n";
    let s = &case.speed;
    let _ = writeln!(
        out,
        "<details><summary>All {} figures, speed and transcript</summary>\n\
         <p class=\"soft\">{:.0} virtual s in {:.1} s of this machine, {} events. Transcript <code>{}</code></p>\n\
         <div class=\"figures\">",
        case.figures.len(),
        s.virtual_s,
        s.wall_s,
        s.events,
        case.transcript
    );
    for (key, value) in &case.figures {
        let _ = writeln!(out, "<div><span>{}</span><b>{}</b></div>", escape(key), number(*value));
    }
    *out += "</div></details>\n";
}

fn figure(title: &str, caption: &str, picture: &str) -> Option<String> {
    Some(format!(
        "<figure>\n<h3>{}</h3>\n<figcaption>{}</figcaption>\n{picture}</figure>\n",
        escape(title),
        escape(caption)
    ))
}

/// The cumulative share of deliveries by the time they took.
fn delivery_over_time(case: &CaseOutcome) -> Option<String> {
    let (low, high) = latency_span(case)?;
    let total = case.latency.count() as f64;
    let mut sum = 0;
    let mut points = vec![(low, 0.0)];
    for (_, upper, n) in case.latency.bins() {
        sum += n;
        if upper >= low {
            points.push((upper, sum as f64 / total));
        }
    }
    let mut plot =
        Plot::new(Axis::log("time since the broadcast (ms)", low, high), Axis::linear("share of deliveries", 0.0, 1.0));
    plot.line(&points, 0, "delivered");
    let caption = "Time from a broadcast to its delivery, over all broadcasts and nodes.";
    figure("Delivery over time", caption, &plot.draw("delivery over time"))
}

fn delivery_distribution(case: &CaseOutcome) -> Option<String> {
    let (low, high) = latency_span(case)?;
    let most = case.latency.bins().map(|(.., n)| n).max()?;
    let mut plot = Plot::new(
        Axis::log("time since the broadcast (ms)", low, high),
        Axis::linear("deliveries", 0.0, most as f64 * 1.05),
    );
    let bars: Vec<_> =
        case.latency.bins().filter(|(_, upper, _)| *upper > low).map(|(from, to, n)| (from, to, n as f64)).collect();
    plot.bars(&bars, 0);
    figure(
        "Distribution of delivery times",
        "Bins of a twelfth of a decade.",
        &plot.draw("distribution of delivery times"),
    )
}

/// From the last whole decade below the quickest delivery to the slowest, in milliseconds.
fn latency_span(case: &CaseOutcome) -> Option<(f64, f64)> {
    let mut used = case.latency.bins().filter(|(.., n)| *n > 0);
    let first = used.next()?;
    let last = used.last().unwrap_or(first);
    Some((10f64.powf(first.0.log10().floor()), last.1))
}

fn redundancy(case: &CaseOutcome) -> Option<String> {
    let points: Vec<(f64, f64)> = case.rounds.iter().filter_map(|r| Some((r.at, r.rmr?))).collect();
    let caption = "Payloads received for each that was needed, less one (RMR), broadcast by broadcast.";
    over_time(case, "Redundancy", caption, "relative message redundancy", &points)
}

fn last_hop(case: &CaseOutcome) -> Option<String> {
    let points: Vec<(f64, f64)> = case.rounds.iter().filter_map(|r| Some((r.at, r.ldh? as f64))).collect();
    let caption = "The longest way of a first delivery (LDH), broadcast by broadcast.";
    over_time(case, "Last delivery hop", caption, "hops", &points)
}

fn over_time(case: &CaseOutcome, title: &str, caption: &str, name: &str, points: &[(f64, f64)]) -> Option<String> {
    let (first, last) = (points.first()?.0, points.last()?.0);
    let most = points.iter().map(|p| p.1).fold(0.0, f64::max);
    let mut plot =
        Plot::new(Axis::linear("virtual time (s)", first, last), Axis::linear(name, 0.0, (most * 1.1).max(0.1)));
    mark_phases(&mut plot, case, (first, last));
    plot.dots(points, 0, name);
    figure(title, caption, &plot.draw(title))
}

fn hops(case: &CaseOutcome) -> Option<String> {
    let longest = case.hops.iter().rposition(|n| *n > 0)? + 1;
    let most = case.hops.iter().copied().max()?;
    let mut plot = Plot::new(
        Axis::linear("hops", 0.5, longest as f64 + 0.5),
        Axis::linear("first deliveries", 0.0, most as f64 * 1.05),
    );
    let bars: Vec<_> = case.hops[..longest]
        .iter()
        .zip(1u32..)
        .map(|(n, hop)| (f64::from(hop) - 0.45, f64::from(hop) + 0.45, *n as f64))
        .collect();
    plot.bars(&bars, 0);
    figure("Hops of first deliveries", "Over the whole run.", &plot.draw("hops of first deliveries"))
}

fn bytes(case: &CaseOutcome) -> Option<String> {
    let rate = |of: fn(&Sample) -> u64| -> Vec<(f64, f64)> {
        let pairs = case.samples.windows(2).filter(|w| w[1].running > 0 && w[1].at > w[0].at);
        pairs
            .map(|w| {
                let bytes = of(&w[1]).saturating_sub(of(&w[0])) as f64;
                (w[1].at, bytes / (w[1].at - w[0].at) / w[1].running as f64)
            })
            .collect()
    };
    let series = [
        (rate(|s| s.bytes), 0, "all bytes on the wire"),
        (rate(|s| s.payload_bytes), 1, "broadcasts (payload)"),
        (rate(|s| s.control_bytes), 2, "gossip control"),
    ];
    let (first, last) = (case.samples.first()?.at, case.samples.last()?.at);
    let most = series.iter().flat_map(|(points, ..)| points).map(|p| p.1).fold(1.0, f64::max);
    let mut plot = Plot::new(
        Axis::linear("virtual time (s)", first, last),
        Axis::linear("bytes a second and node", 0.0, most * 1.05),
    );
    mark_phases(&mut plot, case, (first, last));
    for (points, colour, name) in &series {
        plot.line(points, *colour, name);
    }
    figure(
        "Bytes sent per node",
        "Handshakes and keepalives are in the first line alone.",
        &plot.draw("bytes sent per node"),
    )
}

fn convergence(case: &CaseOutcome) -> Option<String> {
    let points: Vec<(f64, f64)> = case.samples.iter().filter_map(|s| Some((s.at, s.delivered?))).collect();
    let (first, last) = (points.first()?.0, points.last()?.0);
    let mut plot = Plot::new(
        Axis::linear("virtual time (s)", first, last),
        Axis::linear("share of (broadcast, node) pairs", 0.0, 1.0),
    );
    mark_phases(&mut plot, case, (first, last));
    plot.line(&points, 2, "delivered");
    let caption = "Of the newest 200 broadcasts and the nodes that run: the share that is delivered, by gossip or by catching up.";
    figure("Convergence", caption, &plot.draw("convergence"))
}

fn overlay_shape(case: &CaseOutcome) -> Option<String> {
    let giant: Vec<(f64, f64)> = case.samples.iter().filter_map(|s| Some((s.at, s.giant?))).collect();
    let (first, last) = (giant.first()?.0, giant.last()?.0);
    let most = case.samples.first()?.running.max(case.samples.iter().map(|s| s.running).max()?) as f64;
    let running: Vec<(f64, f64)> = case.samples.iter().map(|s| (s.at, s.running as f64 / most)).collect();
    let mut plot = Plot::new(Axis::linear("virtual time (s)", first, last), Axis::linear("share of nodes", 0.0, 1.0));
    mark_phases(&mut plot, case, (first, last));
    plot.line(&running, 1, "running, of all");
    plot.line(&giant, 0, "in the largest component, of the running");
    figure("The overlay after faults", "One component is a share of 1.", &plot.draw("the overlay after faults"))
}

/// Where phases begin; of those that lie close together the first.
fn mark_phases(plot: &mut Plot, case: &CaseOutcome, (first, last): (f64, f64)) {
    let apart = (last - first) / 30.0;
    let mut before = f64::MIN;
    for (at, label) in case.phases.iter().filter(|(at, _)| (first..=last).contains(at)) {
        if at - before >= apart {
            plot.mark(*at, label);
            before = *at;
        }
    }
}
