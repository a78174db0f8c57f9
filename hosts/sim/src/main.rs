//! `donp-sim`: runs scenarios in virtual time, compares results, draws reports.

mod all;
mod alloc;
mod table;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use donp_sim::run::{self, Options, Progress};
use donp_sim::scenario::{BUILTIN, Phase, Scenario, Size, Step, find};
use donp_sim::{compare, output, report};

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

/// A network of DONP nodes in virtual time. The same scenario, seed and number of nodes give the same
/// run, byte for byte.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists the scenarios that come with the program.
    List,
    /// Lists the bugs that can be planted.
    #[cfg(donp_planted)]
    Bugs,
    /// Runs a scenario. Ends with 0 if it passes, 1 if it fails, 2 if it cannot be run.
    Run(Run),
    /// Runs every scenario, several at once, and sums up; ends as `run` does.
    All(all::All),
    /// Prints results as tables of Markdown.
    Table {
        /// What `run --json` wrote.
        #[arg(required = true)]
        results: Vec<PathBuf>,
    },
    /// Compares the figures of two results, each a file that `run --json` wrote. Ends with 1 if what
    /// passed in the first fails in the second.
    Compare {
        /// The result before.
        before: PathBuf,
        /// The result after.
        after: PathBuf,
    },
}

#[derive(clap::Args)]
struct Run {
    /// The name of a scenario, or a TOML file (docs/simulator.md).
    scenario: String,
    /// The seed of all random choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs with each of these seeds, `1..100` without the last.
    #[arg(long, conflicts_with = "seed", value_parser = seeds)]
    seeds: Option<(u64, u64)>,
    /// Another number of nodes than the scenario has.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    nodes: Option<u32>,
    /// How large: for a test, as the scenario says, or as in the paper.
    #[arg(long, value_enum, default_value_t, conflicts_with = "nodes")]
    size: SizeArg,
    /// Only this case of the scenario.
    #[arg(long)]
    case: Option<String>,
    /// Runs at the same time, each with another seed. If not given, as many as there are processors, or one
    /// if the scenario has a goal on memory.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Stops at the first seed that fails.
    #[arg(long)]
    until_failure: bool,
    /// Plants a bug in every node (docs/simulator.md).
    #[cfg(donp_planted)]
    #[arg(long, value_name = "BUG", value_parser = bug)]
    planted: Option<donp_sim::planted::Bug>,
    /// Writes one JSON object a line; the last of each run is its result.
    #[arg(long)]
    json: bool,
    /// Writes SCENARIO.html with plots into this directory.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum SizeArg {
    Test,
    #[default]
    Usual,
    Paper,
}

impl From<SizeArg> for Size {
    fn from(arg: SizeArg) -> Self {
        match arg {
            SizeArg::Test => Self::Test,
            SizeArg::Usual => Self::Usual,
            SizeArg::Paper => Self::Paper,
        }
    }
}

fn seeds(text: &str) -> Result<(u64, u64), String> {
    let parsed = text.split_once("..").and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    match parsed {
        Some((a, b)) if a < b => Ok((a, b)),
        _ => Err("two numbers are wanted, the first the smaller: 1..100".into()),
    }
}

#[cfg(donp_planted)]
fn bug(name: &str) -> Result<donp_sim::planted::Bug, String> {
    use donp_sim::planted::Bug;
    let named = Bug::all().find(|(_, n, _)| *n == name);
    let names: Vec<&str> = Bug::all().map(|(_, n, _)| n).collect();
    named.map(|(bug, ..)| bug).ok_or_else(|| format!("there is no such bug; there are: {}", names.join(", ")))
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::List => {
            list();
            ExitCode::SUCCESS
        }
        #[cfg(donp_planted)]
        Command::Bugs => {
            for (_, name, what) in donp_sim::planted::Bug::all() {
                print(&format!("{name} {what}\n"));
            }
            ExitCode::SUCCESS
        }
        Command::Run(args) => match go(&args) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(why) => fail(&why),
        },
        Command::All(args) => match all::go(&args) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(why) => fail(&why),
        },
        Command::Table { results } => match table::go(&results) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => fail(&why),
        },
        Command::Compare { before, after } => {
            let read = |path: &PathBuf| {
                let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
                compare::read(&text).map_err(|e| format!("{}: {e}", path.display()))
            };
            match read(&before).and_then(|a| Ok((a, read(&after)?))) {
                Ok((a, b)) => {
                    print(&compare::table(&a, &b));
                    if compare::is_worse(&a, &b) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
                }
                Err(why) => fail(&why),
            }
        }
    }
}

fn fail(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::from(2)
}

/// A closed standard output is no reason to panic.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn list() {
    for (name, _) in BUILTIN {
        if let Some(Ok(scenario)) = find(name) {
            let nodes = scenario.cases.first().map_or(0, |c| c.nodes.count);
            print(&format!("{name:15} n={nodes:<6} {} ({})\n", scenario.title, scenario.source));
        }
    }
}

fn load(named: &str) -> Result<Scenario, String> {
    if let Some(found) = find(named) {
        return found.map_err(|e| e.to_string());
    }
    let path = std::path::Path::new(named);
    if !path.exists() {
        let names: Vec<&str> = BUILTIN.iter().map(|(name, _)| *name).collect();
        return Err(format!("there is no scenario and no file '{named}'; scenarios: {}", names.join(", ")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| format!("{named}: {e}"))?;
    Scenario::parse(named, &text).map_err(|e| e.to_string())
}

/// Whether every run passed.
fn go(args: &Run) -> Result<bool, String> {
    let mut scenario = load(&args.scenario)?.sized(args.size.into());
    if let Some(case) = &args.case {
        scenario = scenario.with_case(case).map_err(|e| format!("{}: {e}", args.scenario))?;
    }
    if let Some(nodes) = args.nodes {
        scenario = scenario.with_nodes(nodes as usize).map_err(|e| format!("{}: {e}", args.scenario))?;
    }
    if cfg!(donp_toy_keys) {
        eprintln!("toy keys: what handshakes and signatures cost is not simulated");
    }
    #[cfg(donp_planted)]
    if let Some(bug) = args.planted {
        bug.plant();
    }
    let (first, end) = args.seeds.unwrap_or((args.seed, args.seed.saturating_add(1)));
    // Memory can be measured only without another run in the process.
    let is_memory = |step: &Step| matches!(&step.phase, Phase::Expect(e) if e.measure.ends_with("_kib_per_node"));
    let alone = scenario.cases.iter().flat_map(|c| &c.steps).any(is_memory);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.map_or(if alone { 1 } else { processors }, usize::from).min((end - first) as usize);
    let begin = Instant::now();
    let (mut virtual_s, mut done, mut failed) = (0.0, 0u64, Vec::new());
    let mut wrong = Ok(());
    let take = |seed: u64, outcome: run::Outcome| {
        wrong = show(args, &outcome);
        done += 1;
        virtual_s += outcome.cases.iter().map(|c| c.speed.virtual_s).sum::<f64>();
        if !outcome.pass() {
            failed.push(seed);
        }
        wrong.is_ok() && (outcome.pass() || !args.until_failure)
    };
    in_order(&scenario, first..end, jobs, take);
    wrong?;
    if end - first > 1 && !args.json {
        let speed = virtual_s / begin.elapsed().as_secs_f64().max(1e-9);
        let passed = done - failed.len() as u64;
        print(&format!("{passed} of {done} seeds passed; failed: {failed:?}; {speed:.0} virtual s/s\n"));
    }
    Ok(failed.is_empty())
}

/// Prints an outcome and writes its report.
fn show(args: &Run, outcome: &run::Outcome) -> Result<(), String> {
    if args.json {
        print(&output::json_lines(outcome, &args.scenario));
    } else {
        print(&output::text(outcome, &args.scenario));
    }
    let Some(folder) = &args.report else { return Ok(()) };
    let path = folder.join(format!("{}.html", outcome.scenario));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&path, report::page(outcome, &args.scenario)))
        .map_err(|e| format!("{}: {e}", path.display()))?;
    if !args.json {
        print(&format!("report: {}\n", path.display()));
    }
    Ok(())
}

/// Runs the seeds on `jobs` threads and hands the outcomes to `take` in the order of the seeds, until it
/// returns false. Memory is measured if nothing else runs.
fn in_order(
    scenario: &Scenario,
    seeds: std::ops::Range<u64>,
    jobs: usize,
    mut take: impl FnMut(u64, run::Outcome) -> bool,
) {
    if jobs <= 1 {
        for seed in seeds {
            let mut bar = Bar::new();
            let mut progress = |p: &Progress<'_>| bar.show(seed, p);
            let options = Options { seed, live_bytes: Some(alloc::live_bytes), progress: Some(&mut progress) };
            let outcome = run::run(scenario, options);
            bar.clear();
            if !take(seed, outcome) {
                return;
            }
        }
        return;
    }
    let (next, enough) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let (results, outcomes) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let (results, next, enough, end) = (results.clone(), &next, &enough, seeds.end);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || enough.load(Ordering::Relaxed) {
                        return;
                    }
                    let outcome = run::run(scenario, Options { seed, ..Options::default() });
                    if results.send((seed, outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(results);
        let mut early = BTreeMap::new();
        let mut due = seeds.start;
        for (seed, outcome) in outcomes {
            early.insert(seed, outcome);
            while let Some(outcome) = early.remove(&due) {
                if enough.load(Ordering::Relaxed) {
                    return;
                }
                if !take(due, outcome) {
                    enough.store(true, Ordering::Relaxed);
                }
                due += 1;
            }
        }
    });
}

/// One line on a terminal's standard error, five times a second.
struct Bar {
    on: bool,
    begin: Instant,
    last: Option<Instant>,
}

impl Bar {
    fn new() -> Self {
        Self { on: std::io::stderr().is_terminal(), begin: Instant::now(), last: None }
    }

    fn show(&mut self, seed: u64, p: &Progress<'_>) {
        if !self.on || self.last.is_some_and(|at| at.elapsed() < Duration::from_millis(200)) {
            return;
        }
        self.last = Some(Instant::now());
        let wall = self.begin.elapsed().as_secs_f64().max(1e-9);
        let (done, all) = p.done;
        let filled = (20 * done).checked_div(all).unwrap_or(0);
        eprint!(
            "\r\x1b[2K[{}{}] seed {seed} {} {}/{all} {}  {:.0} virtual s, {:.1} times real, {:.0} events/s",
            "#".repeat(filled),
            " ".repeat(20 - filled),
            p.case,
            done,
            p.phase,
            p.virtual_s,
            p.virtual_s / wall,
            p.events as f64 / wall
        );
    }

    fn clear(&self) {
        if self.on && self.last.is_some() {
            eprint!("\r\x1b[2K");
        }
    }
}
