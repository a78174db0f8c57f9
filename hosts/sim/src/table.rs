//! Results as tables for people: what docs/results.md is made of.

use std::fmt::Write as _;
use std::path::Path;

use donp_sim::run::number;
use serde_json::Value;

/// Prints the results in files that `run --json` wrote.
pub(crate) fn go(files: &[impl AsRef<Path>]) -> Result<(), String> {
    let mut tables = Vec::new();
    for file in files {
        let path = file.as_ref();
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if !lines.iter().any(|l| l["type"] == "result") {
            return Err(format!("{} has no result; donp-sim run SCENARIO --json writes one", path.display()));
        }
        tables.push(of(&lines));
    }
    crate::print(&tables.join("\n"));
    Ok(())
}

/// The goals of one run, below the command that shows it again.
pub(crate) fn of(lines: &[Value]) -> String {
    let result = lines.iter().find(|l| l["type"] == "result").unwrap_or(&Value::Null);
    let mut out = format!("`{}`\n\n", shown(&result["replay"]));
    out += "| case | n | measure | paper | goal | measured | |\n|---|---|---|---|---|---|---|\n";
    for check in lines.iter().filter(|l| l["type"] == "check") {
        let of_case = |l: &&Value| l["type"] == "case" && l["case"] == check["case"];
        let nodes = lines.iter().find(of_case).map_or(&Value::Null, |c| &c["nodes"]);
        let verdict = if check["pass"] == true { "met" } else { "**missed**" };
        let _ = writeln!(
            out,
            "| {} | {nodes} | {} | {} | {} {} | {} | {verdict} |",
            shown(&check["case"]),
            shown(&check["measure"]),
            shown(&check["paper"]),
            shown(&check["is"]),
            figure(&check["goal"]),
            figure(&check["measured"]),
        );
    }
    let states = result["figures"].as_object().into_iter().flatten().filter_map(|(key, value)| {
        let case = key.strip_suffix("state_kib_per_node")?;
        // Not those of a single phase.
        (case.is_empty() || case.ends_with('/')).then(|| (case.trim_end_matches('/'), figure(value)))
    });
    let states: Vec<String> =
        states.map(|(case, kib)| if case.is_empty() { kib } else { format!("{case}: {kib}") }).collect();
    if !states.is_empty() {
        let _ = writeln!(out, "\nState of a node at the end, in KiB: {}.", states.join(", "));
    }
    out
}

pub(crate) fn shown(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(crate) fn figure(value: &Value) -> String {
    value.as_f64().map_or_else(|| "not reached".into(), number)
}
