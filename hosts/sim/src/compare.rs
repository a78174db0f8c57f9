//! Two results side by side.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::output;
use crate::run::number;

/// The last result in the output of `run --json`.
#[derive(Clone, Debug, PartialEq)]
pub struct RunResult {
    /// Scenario, seed and nodes as text.
    pub what: String,
    /// Whether it passed.
    pub pass: bool,
    /// Its figures.
    pub figures: BTreeMap<String, f64>,
}

/// Reads a result.
///
/// # Errors
/// A sentence that names what is wrong.
pub fn read(text: &str) -> Result<RunResult, String> {
    let mut lines = text.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let last = lines.find(|v| v["v"] == 1 && v["type"] == "result");
    let last = last.ok_or("it holds no result; write one with: donp-sim run SCENARIO --json")?;
    let figures = last["figures"].as_object().ok_or("its result has no figures")?;
    Ok(RunResult {
        what: format!("{} seed {} n={}", last["scenario"].as_str().unwrap_or("?"), last["seed"], last["nodes"]),
        pass: last["pass"] == true,
        figures: figures.iter().filter_map(|(k, v)| Some((k.clone(), v.as_f64()?))).collect(),
    })
}

/// Every figure that differs or that only one of them has.
pub fn table(before: &RunResult, after: &RunResult) -> String {
    let keys: BTreeSet<&String> = before.figures.keys().chain(after.figures.keys()).collect();
    let total = keys.len();
    let mut rows = Vec::new();
    for key in keys {
        let (a, b) = (before.figures.get(key).copied(), after.figures.get(key).copied());
        if a != b {
            let shown = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), number);
            rows.push([key.clone(), shown(a), shown(b), change(a, b)]);
        }
    }
    let verdict = |r: &RunResult| if r.pass { "PASS" } else { "FAIL" };
    let mut out = format!("before: {} {}\nafter:  {} {}\n", before.what, verdict(before), after.what, verdict(after));
    if rows.is_empty() {
        out += &format!("all {total} figures are equal\n");
    } else {
        let same = total - rows.len();
        output::table(&mut out, ["figure", "before", "after", "change"], &rows);
        out += &format!("{same} more figures are equal\n");
    }
    out
}

fn change(a: Option<f64>, b: Option<f64>) -> String {
    match (a, b) {
        (Some(a), Some(b)) if a != 0.0 => format!("{:+.1} %", (b - a) / a.abs() * 100.0),
        (Some(a), Some(b)) => format!("{:+}", b - a),
        (None, _) => "new".into(),
        (_, None) => "gone".into(),
    }
}

/// Whether what passed before fails now.
pub fn is_worse(before: &RunResult, after: &RunResult) -> bool {
    before.pass && !after.pass
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_shown_and_a_lost_pass_is_worse() {
        let line = |pass: bool, figures: &str| {
            format!(
                "noise\n{{\"v\":1,\"type\":\"result\",\"scenario\":\"x\",\"seed\":3,\"nodes\":9,\"pass\":{pass},\"figures\":{{{figures}}}}}\n"
            )
        };
        let a = read(&line(true, "\"rmr\":2.0,\"ldh\":7,\"old\":1,\"zero\":0")).unwrap();
        let b = read(&line(false, "\"rmr\":0.5,\"ldh\":7,\"new\":1,\"zero\":3")).unwrap();
        let shown = table(&a, &b);
        for row in ["rmr     2       0.5    -75.0 %", "new     -       1      new", "old     1       -      gone", "+3"]
        {
            assert!(shown.contains(row), "{row} is not in\n{shown}");
        }
        assert!(shown.contains("before: x seed 3 n=9 PASS") && shown.contains("1 more figures are equal"), "{shown}");
        assert!(is_worse(&a, &b) && !is_worse(&b, &a) && !is_worse(&b, &b));
        assert!(table(&a, &a).contains("all 4 figures are equal"));
        assert!(read("{}").unwrap_err().contains("--json"));
    }
}
