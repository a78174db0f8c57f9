//! `cargo xtask mutants`: the mutation score of folders of the core.
//!
//! cargo-mutants builds the crate for each mutant. Here all mutants are in one build, each behind a question, and a
//! mutant costs one run of the tests that reach it (docs/decisions.md). It is a tool and always exits 0 when it could
//! do its work: a score is to be read, not to be passed.

mod copy;
mod find;
mod render;
mod run;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use copy::{Copy, Placed};
use run::{Program, Verdict};

/// The folders that a score is kept of (docs/results.md).
const FOLDERS: [&str; 6] = ["engine", "delivery", "link", "membership", "chat", "swim"];
const USAGE: &str = "\
usage: cargo xtask mutants [FOLDER…] [--sample N] [--seed S] [--jobs N] [--minutes N] [--only TEXT]… [--core] [--list]
  FOLDER        one below core/src
  --sample N    so many mutants of each folder, 0 for all; by default 50
  --seed S      which ones
  --jobs N      test programs that run at once; by default 2
  --minutes N   ask so long; mutants that were not asked for are left out of the score
  --only TEXT   every mutant whose line has TEXT, as printed by --list
  --core        ask the tests of the core alone
  --list        print the mutants and end";

struct Options {
    folders: Vec<String>,
    sample: usize,
    seed: u64,
    jobs: usize,
    /// How long to ask.
    minutes: u64,
    only: Vec<String>,
    core: bool,
    list: bool,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("error: {why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match score(&root(), &options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        folders: Vec::new(),
        sample: 50,
        seed: 14,
        jobs: 2,
        minutes: u64::MAX / 60,
        only: Vec::new(),
        core: false,
        list: false,
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--sample" => options.sample = number(&arg, &value()?)?,
            "--seed" => options.seed = number(&arg, &value()?)?,
            "--jobs" => options.jobs = number::<usize>(&arg, &value()?)?.max(1),
            "--only" => options.only.push(value()?),
            "--minutes" => options.minutes = number(&arg, &value()?)?,
            "--core" => options.core = true,
            "--list" => options.list = true,
            option if option.starts_with('-') => return Err(format!("there is no option '{option}'")),
            folder if run::is_folder(&root(), folder) => options.folders.push(folder.to_owned()),
            folder => return Err(format!("core/src has no folder '{folder}'")),
        }
    }
    if options.folders.is_empty() {
        options.folders = FOLDERS.map(str::to_owned).to_vec();
    }
    Ok(options)
}

fn number<N: std::str::FromStr>(option: &str, value: &str) -> Result<N, String> {
    value.parse().map_err(|_| format!("{option} takes a number, and '{value}' is none"))
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// All mutants of a folder, in the order of file and line.
fn mutants_of(root: &Path, folder: &str) -> io::Result<Vec<Placed>> {
    let src = root.join("core/src");
    let mut test_files = Vec::new();
    let mut all = Vec::new();
    for path in copy::rust_files(&src.join(folder))? {
        let file = path.strip_prefix(&src).map_err(io::Error::other)?.to_string_lossy().into_owned();
        let found =
            find::find(&std::fs::read_to_string(&path)?).map_err(|e| io::Error::other(format!("{file}: {e}")))?;
        let parent = match path.file_stem() {
            Some(stem) if stem != "mod" => path.with_extension(""),
            _ => path.parent().unwrap_or(&src).to_path_buf(),
        };
        let parent = parent.strip_prefix(&src).map_err(io::Error::other)?.to_string_lossy().into_owned();
        test_files.extend(found.test_modules.iter().map(|m| format!("{parent}/{m}")));
        all.extend(found.mutants.into_iter().map(|mutant| Placed {
            id: 0,
            folder: folder.to_owned(),
            file: file.clone(),
            mutant,
        }));
    }
    all.retain(|m| {
        let is = |t: &String| m.file == format!("{t}.rs") || m.file.starts_with(&format!("{t}/"));
        !test_files.iter().any(is)
    });
    Ok(all)
}

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a sample needs no more.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed;
    for last in (1..items.len()).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let other = usize::try_from(z % (last as u64 + 1)).unwrap_or(0);
        items.swap(last, other);
    }
}

fn line(placed: &Placed) -> String {
    let mutant = &placed.mutant;
    format!("core/src/{}:{} {}: {}", placed.file, mutant.line, mutant.function, mutant.what)
}

fn score(root: &Path, options: &Options) -> io::Result<()> {
    let mut chosen: Vec<Placed> = Vec::new();
    let mut existing = BTreeMap::new();
    for folder in &options.folders {
        let mut all = mutants_of(root, folder)?;
        existing.insert(folder.clone(), all.len());
        if !options.only.is_empty() {
            all.retain(|m| options.only.iter().any(|text| line(m).contains(text.as_str())));
        }
        if options.sample > 0 && options.only.is_empty() {
            shuffle(&mut all, options.seed);
            // Some do not compile.
            all.truncate(options.sample * 2);
        }
        chosen.extend(all);
    }
    if options.list {
        chosen.sort_by_key(|m| (m.file.clone(), m.mutant.line));
        chosen.iter().for_each(|m| println!("{}", line(m)));
        return Ok(());
    }
    for (n, placed) in chosen.iter_mut().enumerate() {
        placed.id = u32::try_from(n + 1).map_err(io::Error::other)?;
    }
    // Elsewhere than where the tests are: they are built once for one choice of mutants.
    let tried = chosen.len();
    let dropped = Copy::make(root, "mutants-check")?.drop_uncompilable(&mut chosen)?;
    eprintln!("{dropped} of {tried} do not compile");
    if options.sample > 0 && options.only.is_empty() {
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        chosen.retain(|m| {
            let count = taken.entry(m.folder.clone()).or_default();
            *count += 1;
            *count <= options.sample
        });
    }
    // Of each folder one: when time is up, all have been asked for alike.
    let mut turns: BTreeMap<String, usize> = BTreeMap::new();
    chosen.sort_by_cached_key(|m| {
        let turn = turns.entry(m.folder.clone()).or_default();
        *turn += 1;
        *turn
    });
    let copy = Copy::make(root, "mutants")?;
    copy.keep(&chosen)?;
    let results = test(&copy, &chosen, options)?;
    println!("{}", report(&chosen, &results, &existing));
    Ok(())
}

/// What became of a mutant, and which tests said so: 0 the folder's, 1 the core's, 2 those of the whole system.
#[derive(Clone, Copy)]
struct Judged {
    verdict: Verdict,
    by: usize,
}

const UNKNOWN: Judged = Judged { verdict: Verdict::Unknown, by: 0 };

fn test(copy: &Copy, mutants: &[Placed], options: &Options) -> io::Result<Vec<Judged>> {
    let mut programs = Vec::new();
    for (name, path) in copy.build_tests(&["-p", "donp-core", "--lib"])? {
        programs.push(Program::trace(&name, path, copy.package("core"))?);
    }
    let mut results = vec![UNKNOWN; mutants.len()];
    judge(mutants, &mut results, options, Verdict::Unknown, |m| {
        for program in &programs {
            for (by, batches) in program.tests_of(m.id, &m.folder).iter().enumerate() {
                for tests in batches {
                    let verdict = program.run(m.id, tests)?;
                    if verdict != Verdict::Survived {
                        return Ok(Judged { verdict, by });
                    }
                }
            }
        }
        Ok(Judged { verdict: Verdict::Survived, by: 1 })
    })?;
    if options.core || results.iter().all(|r| r.verdict != Verdict::Survived) {
        return Ok(results);
    }
    let mut programs = Vec::new();
    for (name, path) in copy.build_tests(&["-p", "donp-tests"])? {
        programs.push(Program::trace(&name, path, copy.package("tests"))?);
    }
    judge(mutants, &mut results, options, Verdict::Survived, |m| {
        for program in &programs {
            for tests in program.tests_of(m.id, &m.folder).as_flattened() {
                let verdict = program.run(m.id, tests)?;
                if verdict != Verdict::Survived {
                    return Ok(Judged { verdict, by: 2 });
                }
            }
        }
        Ok(Judged { verdict: Verdict::Survived, by: 2 })
    })?;
    Ok(results)
}

/// Asks for every mutant of which so much is known, several at a time.
fn judge(
    mutants: &[Placed],
    results: &mut [Judged],
    options: &Options,
    known: Verdict,
    ask: impl Fn(&Placed) -> io::Result<Judged> + Sync,
) -> io::Result<()> {
    let open: Vec<usize> = (0..mutants.len()).filter(|n| results[*n].verdict == known).collect();
    let begin = Instant::now();
    let next = Mutex::new(open.iter());
    let take = || {
        let late = begin.elapsed().as_secs() / 60 >= options.minutes;
        next.lock().ok().filter(|_| !late).and_then(|mut open| open.next().copied())
    };
    let done: io::Result<Vec<Vec<(usize, Judged)>>> = thread::scope(|scope| {
        let work = || {
            let mut mine = Vec::new();
            while let Some(n) = take() {
                let judged = ask(&mutants[n])?;
                let word = match judged.verdict {
                    Verdict::Caught => "caught",
                    Verdict::Hung => "hung",
                    Verdict::Survived => "survived",
                    Verdict::Unknown => "unknown",
                };
                eprintln!("{word:8} {}", line(&mutants[n]));
                mine.push((n, judged));
            }
            Ok(mine)
        };
        let workers: Vec<_> = (0..options.jobs).map(|_| scope.spawn(work)).collect();
        let ended =
            workers.into_iter().map(|w| w.join().unwrap_or_else(|_| Err(io::Error::other("a worker panicked"))));
        ended.collect()
    });
    for (n, judged) in done?.into_iter().flatten() {
        results[n] = judged;
    }
    Ok(())
}

/// A line for each survivor, and a table of scores.
fn report(mutants: &[Placed], results: &[Judged], existing: &BTreeMap<String, usize>) -> String {
    let all = || mutants.iter().zip(results);
    let mut survivors: Vec<_> = all().filter(|(_, r)| r.verdict == Verdict::Survived).map(|(m, _)| m).collect();
    survivors.sort_by_key(|m| (&m.file, m.mutant.line));
    let mut lines: Vec<String> = survivors.into_iter().map(line).collect();
    lines.push(String::new());
    lines.push(
        "| folder | mutants | asked for | by its own tests | by the core's | by the system's | survive | score |"
            .into(),
    );
    lines.push("|---|---|---|---|---|---|---|---|".into());
    for (folder, count) in existing {
        let of = || all().filter(|(m, r)| m.folder == *folder && r.verdict != Verdict::Unknown);
        let caught = |by| of().filter(|(_, r)| r.verdict != Verdict::Survived && r.by == by).count();
        let (asked, by) = (of().count(), [caught(0), caught(1), caught(2)]);
        let total: usize = by.iter().sum();
        let score = (total * 100).checked_div(asked).map_or("-".to_owned(), |s| format!("{s} %"));
        let [own, core, system] = by;
        let survive = asked - total;
        lines.push(format!("| {folder} | {count} | {asked} | {own} | {core} | {system} | {survive} | {score} |"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: mutants that were not asked for are among those of the score.
    #[test]
    fn the_score_is_of_what_was_asked_for() {
        let found = find::find("fn f(a: u8) -> bool { a == 1 && a > 2 }").unwrap().mutants;
        let placed = |(n, mutant): (u32, &find::Mutant)| Placed {
            id: n,
            folder: "link".into(),
            file: "link/f.rs".into(),
            mutant: mutant.clone(),
        };
        let mutants: Vec<Placed> = (1..).zip(&found).map(placed).collect();
        let verdicts = [Verdict::Caught, Verdict::Hung, Verdict::Survived, Verdict::Caught, Verdict::Unknown];
        let results: Vec<Judged> = (0..).zip(verdicts).map(|(by, verdict)| Judged { verdict, by: by % 3 }).collect();
        let existing = [("link".to_owned(), 60), ("swim".to_owned(), 7)].into();
        assert_eq!(
            report(&mutants[..5], &results, &existing).lines().collect::<Vec<_>>(),
            [
                "core/src/link/f.rs:1 f: && becomes ||",
                "",
                "| folder | mutants | asked for | by its own tests | by the core's | by the system's | survive | score |",
                "|---|---|---|---|---|---|---|---|",
                "| link | 60 | 4 | 2 | 1 | 0 | 1 | 75 % |",
                "| swim | 7 | 0 | 0 | 0 | 0 | 0 | - |",
            ]
        );
    }

    /// Mutation: the seed is not read.
    #[test]
    fn a_seed_gives_one_order_and_another_seed_another() {
        let shuffled = |seed| {
            let mut all: Vec<u32> = (0..50).collect();
            shuffle(&mut all, seed);
            all
        };
        assert_eq!(shuffled(14), shuffled(14));
        assert_ne!(shuffled(14), shuffled(15));
        let mut sorted = shuffled(14);
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..50));
    }
}
