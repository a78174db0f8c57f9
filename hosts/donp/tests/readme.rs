//! Types every line of the README's "Chat by hand", "Groups" and "Contacts" and compares what it prints.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A command of the transcript and the lines it should print.
struct Line {
    terminal: String,
    command: String,
    expected: Vec<String>,
}

fn transcript() -> Vec<Line> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = std::fs::read_to_string(readme).unwrap();
    // Each goes on where the one before ended.
    let blocks = text.split("```console\n").skip(1).map(|block| block.split("```").next().unwrap());
    let mut lines: Vec<Line> = Vec::new();
    for line in blocks.flat_map(str::lines) {
        match line.split_once("$ ") {
            Some((terminal, command)) if terminal.len() == 2 && terminal.starts_with('T') => {
                lines.push(Line { terminal: terminal.into(), command: command.into(), expected: Vec::new() })
            }
            _ => lines.last_mut().expect("a command comes first").expected.push(line.into()),
        }
    }
    assert!(lines.len() > 18, "the transcript was not found");
    lines
}

/// Whether `line` is `pattern`, where `…` stands for anything.
fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut last = first;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        last = part;
    }
    rest.is_empty() || (pattern.contains('…') && last.is_empty())
}

/// Whether the printed lines are the expected ones; a line that is only `…` stands for any number.
fn all_match(expected: &[String], printed: &[String]) -> bool {
    match (expected.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((e, more)), _) if e == "…" => {
            all_match(more, printed) || printed.split_first().is_some_and(|(_, rest)| all_match(expected, rest))
        }
        (Some((e, more)), Some((p, rest))) => matches(e, p) && all_match(more, rest),
        _ => false,
    }
}

struct Shell {
    home: PathBuf,
    path: String,
    /// The job each terminal has in the background.
    jobs: BTreeMap<String, Child>,
}

impl Shell {
    fn bash(&self, command: &str) -> Command {
        let mut bash = Command::new("bash");
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("DONP_") {
                bash.env_remove(variable);
            }
        }
        // Nodes of other tests are not to be found.
        bash.env("DONP_DISCOVERY_LAN", "off");
        bash.args(["-c", command]).current_dir(&self.home).env("PATH", &self.path).env("HOME", &self.home);
        for (variable, folder) in [("STATE_HOME", "state"), ("CONFIG_HOME", "config"), ("RUNTIME_DIR", "run")] {
            let folder = self.home.join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            bash.env(format!("XDG_{variable}"), folder);
        }
        bash
    }

    fn foreground(&self, command: &str) -> Vec<String> {
        let output = self.bash(command).stdin(Stdio::null()).output().unwrap();
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(String::from).collect()
    }

    /// Starts a job and gives its first line: a node prints it when it can be commanded.
    fn background(&mut self, terminal: &str, command: &str) -> Vec<String> {
        // `exec`, so that the job is the node and not a shell around it.
        let mut job = self.bash(&format!("exec {command}")).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(job.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.jobs.insert(terminal.into(), job);
        vec![line.trim_end().into()]
    }

    fn kill(&mut self, terminal: &str) {
        let mut job = self.jobs.remove(terminal).expect("the terminal has a job");
        job.kill().unwrap();
        job.wait().unwrap();
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        for job in self.jobs.values_mut() {
            let _ = job.kill();
            let _ = job.wait();
        }
    }
}

#[test]
fn the_readme_tells_the_truth() {
    if Command::new("jq").arg("--version").output().is_err() {
        assert!(std::env::var("DONP_REQUIRE_ALL").is_err(), "jq is missing, and nothing may be skipped here");
        eprintln!("SKIPPED: the README's transcript needs jq");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_donp")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
    let mut shell = Shell { home: home.path().into(), path, jobs: BTreeMap::new() };
    for line in transcript() {
        let Line { terminal, command, expected } = line;
        println!("{terminal}$ {command}");
        let printed = match command.strip_suffix('&') {
            Some(job) => shell.background(&terminal, job.trim()),
            None if command == "kill -9 %1" => {
                shell.kill(&terminal);
                Vec::new()
            }
            None => shell.foreground(&command),
        };
        for line in &printed {
            println!("{line}");
        }
        let expected_here: Vec<String> = expected;
        assert!(
            all_match(&expected_here, &printed),
            "after {command:?}\nexpected {expected_here:#?}\nbut got {printed:#?}"
        );
    }
}

#[test]
fn patterns_match_what_they_should() {
    assert!(matches("a … c", "a b c") && matches("…", "x") && matches("a…", "abc") && matches("a", "a"));
    assert!(!matches("a … c", "a b d") && !matches("a", "ab") && !matches("b…", "abc"));
    let lines = |l: &[&str]| l.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(all_match(&lines(&["…", "x"]), &lines(&["1", "2", "x"])) && all_match(&lines(&["…"]), &[]));
    assert!(!all_match(&lines(&["x"]), &lines(&["x", "y"])) && !all_match(&lines(&["x", "y"]), &lines(&["x"])));
}
