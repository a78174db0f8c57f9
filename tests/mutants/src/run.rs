//! Runs tests with one mutant on, and says whether one fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// A run this many times as long as without a mutant counts as caught, as in cargo-mutants.
const SLOWER: u32 = 5;
/// Tests up to this go first: most mutants are caught by one of them.
const QUICK: Duration = Duration::from_millis(500);
/// But no run is ended sooner (cargo-mutants: 20 s; two run here at a time).
const LEAST: Duration = Duration::from_secs(60);
/// Threads that run tests while what they reach is written down.
const THREADS: usize = 2;
/// Of the address space of a test program, in KiB: a mutant that allocates without end fails.
const MEMORY: &str = "6291456";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not asked for.
    Unknown,
    Caught,
    /// Neither passed nor failed in time.
    Hung,
    Survived,
}

/// A program of tests, with what its tests reach.
pub struct Program {
    path: PathBuf,
    folder: PathBuf,
    /// How long each takes without a mutant.
    tests: BTreeMap<String, Duration>,
    reached: BTreeMap<u32, BTreeSet<String>>,
}

impl Program {
    /// Runs all tests without a mutant and writes down which test reaches which mutant.
    pub fn trace(name: &str, path: PathBuf, folder: PathBuf) -> io::Result<Self> {
        let trace = path.with_extension("trace");
        let _ = fs::remove_file(&trace);
        let begin = Instant::now();
        // In one thread the tests would have no names.
        let mut child = Command::new(&path)
            .current_dir(&folder)
            .args(["--test-threads", THREADS.to_string().as_str()])
            .env("DONP_MUTANT_TRACE", &trace)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut ended = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some((test, result)) = line.strip_prefix("test ").and_then(|l| l.split_once(" ... ")) {
                    let test = test.trim_end_matches(" - should panic").to_owned();
                    ended.push((test, result.to_owned(), begin.elapsed()));
                }
            }
        }
        child.wait()?;
        let took = begin.elapsed();
        let tests = durations(&ended);
        for (test, _, _) in ended.iter().filter(|(_, result, _)| result == "FAILED") {
            eprintln!("{name}: {test} fails without a mutant and is left out");
        }
        let mut reached: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
        for line in fs::read_to_string(&trace).unwrap_or_default().lines() {
            let Some((n, test)) = line.split_once(' ') else { continue };
            let Ok(n) = n.parse() else { continue };
            let by = reached.entry(n).or_default();
            if tests.contains_key(test) {
                by.insert(test.to_owned());
            } else if test == "?" || test == "main" {
                // A thread that a test started: it may be any.
                by.extend(tests.keys().cloned());
            }
        }
        eprintln!("{name}: {} tests in {} s", tests.len(), took.as_secs());
        Ok(Self { path, folder, tests, reached })
    }

    /// The tests that reach a mutant: those whose names begin with the folder, and the others; of both the quick ones
    /// first.
    pub fn tests_of(&self, mutant: u32, folder: &str) -> [[Vec<String>; 2]; 2] {
        let all = self.reached.get(&mutant).into_iter().flatten().map(String::as_str);
        let prefix = format!("{folder}::");
        let quick = |tests: Vec<&'_ str>| -> [Vec<String>; 2] {
            let (quick, slow): (Vec<&str>, _) = tests.into_iter().partition(|t| self.tests.get(*t) <= Some(&QUICK));
            [quick.into_iter().map(str::to_owned).collect(), slow.into_iter().map(|t: &str| t.to_owned()).collect()]
        };
        let (own, others): (Vec<&str>, Vec<&str>) = all.partition(|t| t.starts_with(&prefix));
        [quick(own), quick(others)]
    }

    /// Runs these tests with the mutant on, up to the first that fails.
    pub fn run(&self, mutant: u32, tests: &[String]) -> io::Result<Verdict> {
        if tests.is_empty() {
            return Ok(Verdict::Survived);
        }
        let plain: Duration = tests.iter().filter_map(|t| self.tests.get(t)).sum();
        let mut child = Command::new("sh")
            .args(["-c", "ulimit -v \"$0\"; exec \"$@\"", MEMORY])
            .arg(&self.path)
            .args(["--test-threads", "1", "--exact"])
            .args(tests)
            .current_dir(&self.folder)
            .env("DONP_MUTANT", mutant.to_string())
            // That a property fails is enough.
            .env("PROPTEST_MAX_SHRINK_ITERS", "0")
            .env("PROPTEST_FAILURE_PERSISTENCE", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (send, failed) = mpsc::channel();
        let Some(stdout) = child.stdout.take() else { return Err(io::Error::other("no output")) };
        let reader = thread::spawn(move || {
            // It ends with the program; the other side then sees that nothing more can come.
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                if line.ends_with(b"FAILED") {
                    let _ = send.send(());
                }
            }
        });
        let verdict = match failed.recv_timeout(LEAST.max(plain * SLOWER)) {
            Ok(()) => Verdict::Caught,
            Err(RecvTimeoutError::Timeout) => Verdict::Hung,
            Err(RecvTimeoutError::Disconnected) => Verdict::Survived,
        };
        if verdict != Verdict::Survived {
            let _ = child.kill();
        }
        let status = child.wait()?;
        let _ = reader.join();
        // One that ends without a word crashed.
        Ok(if verdict == Verdict::Survived && !status.success() { Verdict::Caught } else { verdict })
    }
}

/// How long each test took that passed. The tests are begun in the order of their names, the next one when one ends.
fn durations(ended: &[(String, String, Duration)]) -> BTreeMap<String, Duration> {
    let mut names: Vec<&str> = ended.iter().map(|(test, _, _)| test.as_str()).collect();
    names.sort_unstable();
    let free = (0..THREADS).map(|_| Duration::ZERO).chain(ended.iter().map(|(_, _, at)| *at));
    let begun: BTreeMap<&str, Duration> = names.into_iter().zip(free).collect();
    let passed = ended.iter().filter(|(_, result, _)| result == "ok");
    passed
        .map(|(test, _, at)| (test.clone(), at.saturating_sub(begun.get(test.as_str()).copied().unwrap_or_default())))
        .collect()
}

/// Whether a folder is one of the core.
pub fn is_folder(root: &Path, folder: &str) -> bool {
    root.join("core/src").join(folder).is_dir()
}
