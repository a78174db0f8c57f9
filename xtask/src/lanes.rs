//! Two lanes of steps side by side, each in a process of its own: many steps wait for real time, the network or one
//! thread, and leave a processor idle. Cargo's locks keep their builds apart.

use std::io::{BufRead, BufReader, PipeReader};
use std::process::{Child, Command, ExitCode};
use std::thread;

use crate::steps::STEPS;
use crate::{Lane, SUMMARY};

/// What a lane printed, its summary apart.
#[derive(Default)]
struct Printed {
    lines: Vec<String>,
    results: Vec<String>,
}

impl Printed {
    fn take(&mut self, line: String, in_summary: &mut bool) {
        *in_summary |= line == SUMMARY;
        if !*in_summary {
            self.lines.push(line);
        } else if is_result(&line) {
            self.results.push(line);
        }
    }
}

fn is_result(line: &str) -> bool {
    ["passed ", "FAILED ", "SKIPPED "].iter().any(|word| line.starts_with(word))
}

/// Every step: the lane of the core prints as it goes, that of the packages when it has ended.
pub fn run() -> ExitCode {
    let (Ok(mut core), Ok(mut packages)) = (start(Lane::Core), start(Lane::Packages)) else {
        eprintln!("error: the steps did not start");
        return ExitCode::from(2);
    };
    let reading = thread::spawn(move || read(packages.1, |_| {}));
    let first = read(core.1, |line| println!("{line}"));
    let second = reading.join().unwrap_or_default();
    second.lines.iter().for_each(|line| println!("{line}"));
    println!("\n{SUMMARY}");
    let results: Vec<&String> = first.results.iter().chain(&second.results).collect();
    results.iter().for_each(|line| println!("{line}"));
    let count = |word| results.iter().filter(|line| line.starts_with(word)).count();
    let (passed, failed, skipped) = (count("passed "), count("FAILED "), count("SKIPPED "));
    println!("steps: {passed} passed, {failed} failed, {skipped} skipped");
    let ended = [&mut core.0, &mut packages.0].map(|child| child.wait().is_ok_and(|status| status.success()));
    if ended == [true, true] && results.len() == STEPS.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn start(lane: Lane) -> std::io::Result<(Child, PipeReader)> {
    let (reader, writer) = std::io::pipe()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("test").args(STEPS.iter().filter(|step| step.lane == lane).map(|step| step.name));
    command.stdout(writer.try_clone()?).stderr(writer);
    Ok((command.spawn()?, reader))
}

fn read(pipe: PipeReader, mut show: impl FnMut(&str)) -> Printed {
    let (mut printed, mut in_summary) = (Printed::default(), false);
    // What is no UTF-8 is shown as well as it can be: a step may print anything.
    for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        let before = printed.lines.len();
        printed.take(line, &mut in_summary);
        printed.lines.iter().skip(before).for_each(|line| show(line));
    }
    printed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutations: a result outside a summary counts, or a line of the summary is shown twice.
    #[test]
    fn a_summary_is_taken_apart() {
        let (mut printed, mut in_summary) = (Printed::default(), false);
        for line in ["passed by", "", SUMMARY, "passed   lint    9 s", "FAILED   rust   12 s  why", "steps: 1 passed"] {
            printed.take(line.into(), &mut in_summary);
        }
        assert_eq!(printed.lines, ["passed by", ""]);
        assert_eq!(printed.results, ["passed   lint    9 s", "FAILED   rust   12 s  why"]);
    }

    #[test]
    fn no_step_is_in_two_lanes_or_none() {
        let of = |lane| STEPS.iter().filter(|step| step.lane == lane).count();
        assert_eq!(of(Lane::Core) + of(Lane::Packages), STEPS.len());
        assert!(of(Lane::Core) > 0 && of(Lane::Packages) > 0);
    }
}
