//! Every scenario in one go: each in a process of its own, since the state of a node is measured by the memory that
//! the whole process frees.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::ValueEnum;
use donp_sim::scenario::BUILTIN;
use serde_json::Value;

use crate::SizeArg;
use crate::table::{self, figure, shown};

#[derive(clap::Args)]
pub(crate) struct All {
    /// How large: for a test, as the scenarios say, or as in the papers (hours).
    #[arg(long, value_enum, default_value_t)]
    size: SizeArg,
    /// The seed of all random choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs only these.
    #[arg(long, value_name = "SCENARIO", value_delimiter = ',')]
    only: Vec<String>,
    /// Scenarios that run at the same time; by default as many as there are processors.
    #[arg(long)]
    jobs: Option<usize>,
    /// Writes the results as tables into this file, as `donp-sim table` prints them.
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
}

/// The output of one scenario.
struct Ran {
    name: &'static str,
    lines: Vec<Value>,
    /// Its error text when it could not run.
    error: String,
}

/// Whether every scenario passed.
pub(crate) fn go(args: &All) -> Result<bool, String> {
    let chosen: Vec<&'static str> = BUILTIN
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| args.only.is_empty() || args.only.iter().any(|o| o == name))
        .collect();
    if let Some(unknown) = args.only.iter().find(|o| !chosen.contains(&o.as_str())) {
        return Err(format!("there is no scenario '{unknown}'; 'donp-sim list' names them"));
    }
    let program = std::env::current_exe().map_err(|e| format!("this program is not found: {e}"))?;
    let size = args.size.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default();
    let one = |name: &'static str| {
        let run = ["run", name, "--json", "--size", &size, "--seed", &args.seed.to_string()].map(str::to_owned);
        let out = Command::new(&program).args(run).stdin(Stdio::null()).output();
        let out = out.map_err(|e| format!("{}: {e}", program.display()))?;
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok(Ran { name, lines, error: String::from_utf8_lossy(&out.stderr).trim().to_owned() })
    };
    let jobs = args.jobs.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
    let next = AtomicUsize::new(0);
    let ran: Mutex<BTreeMap<usize, Result<Ran, String>>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, chosen.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(name) = chosen.get(at) else { return };
                    let result = one(name);
                    if let Ok(ran) = &result {
                        crate::print(&ran.line());
                    }
                    ran.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(at, result);
                }
            });
        }
    });
    let ran = ran.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let ran: Vec<Ran> = ran.into_values().collect::<Result<_, _>>()?;
    let failed: Vec<&str> = ran.iter().filter(|r| !r.passed()).map(|r| r.name).collect();
    crate::print(&format!("{} of {} scenarios passed; failed: {failed:?}\n", ran.len() - failed.len(), ran.len()));
    if let Some(path) = &args.table {
        let tables: Vec<String> = ran.iter().map(|r| table::of(&r.lines)).collect();
        std::fs::write(path, tables.join("\n")).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(failed.is_empty())
}

impl Ran {
    fn of(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.lines.iter().filter(move |l| l["type"] == kind)
    }

    fn result(&self) -> Option<&Value> {
        self.of("result").next()
    }

    fn passed(&self) -> bool {
        self.result().is_some_and(|r| r["pass"] == true)
    }

    /// A line for people, with what failed below it.
    fn line(&self) -> String {
        let Some(result) = self.result() else {
            return format!("FAIL {:15} {}\n", self.name, self.error);
        };
        let wall: f64 = self.of("case").filter_map(|c| c["wall_s"].as_f64()).sum();
        let verdict = if self.passed() { "PASS" } else { "FAIL" };
        let mut out = format!("{verdict} {:15} n={:<6} {wall:.1} s\n", self.name, result["nodes"]);
        for check in self.of("check").filter(|c| c["pass"] == false) {
            let _ = writeln!(out, "     {} {}", shown(&check["case"]), goal(check));
        }
        for broken in self.of("broken") {
            let _ = writeln!(out, "     {} {}", shown(&broken["case"]), shown(&broken["what"]));
        }
        if !self.passed() {
            let _ = writeln!(out, "     replay: {}", shown(&result["replay"]));
        }
        out
    }
}

fn goal(check: &Value) -> String {
    let (measure, sign) = (shown(&check["measure"]), shown(&check["is"]));
    format!("{measure} {} (goal {sign} {})", figure(&check["measured"]), figure(&check["goal"]))
}
