//! The copy of the workspace in which the mutants are, and what cargo makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::find::Mutant;
use crate::render::{self, Rendered};

/// Rounds in which mutants that do not compile are dropped. The compiler names the errors of types first, then those
/// of borrows.
const ROUNDS: usize = 16;

pub struct Copy {
    root: PathBuf,
    folder: PathBuf,
}

/// A mutant and its file, below `core/src`.
pub struct Placed {
    pub id: u32,
    pub folder: String,
    pub file: String,
    pub mutant: Mutant,
}

impl Copy {
    /// Copies what git lists to a folder below `target`. Files that did not change keep their times, so that cargo
    /// builds little.
    pub fn make(root: &Path, name: &str) -> io::Result<Self> {
        let folder = root.join("target").join(name);
        let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let listed = Command::new("git").args(["-c", "safe.directory=*"]).args(list).current_dir(root).output()?;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        // What cargo reads in .cargo of the workspace holds for folders in it; twice the flags are other flags.
        let files = listed.split_terminator('\0').filter(|f| !f.starts_with(".cargo/") && root.join(f).is_file());
        let files: BTreeSet<&str> = files.collect();
        if files.is_empty() {
            return Err(io::Error::other("git lists no files"));
        }
        let copy = Self { root: root.to_path_buf(), folder };
        for file in &files {
            // The sources of the core are written when the mutants are in them.
            if !file.starts_with("core/src/") && !["Cargo.toml", "core/Cargo.toml"].contains(file) {
                copy.write(file, &fs::read(root.join(file))?)?;
            }
        }
        // Lints of the workspace are no matter of a mutant.
        let manifest = fs::read_to_string(root.join("core/Cargo.toml"))?;
        let manifest = manifest.split("[lints").next().unwrap_or_default();
        copy.write("core/Cargo.toml", manifest.as_bytes())?;
        // To cargo a package of one name and version is the same wherever it lies: the workspace itself would run
        // tests with mutants in them.
        let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
        copy.write(
            "Cargo.toml",
            manifest.replacen("\nversion = \"", "\nversion = \"0.1.999\" # instead of \"", 1).as_bytes(),
        )?;
        Ok(copy)
    }

    fn write(&self, file: &str, content: &[u8]) -> io::Result<()> {
        let path = self.folder.join(file);
        if fs::read(&path).is_ok_and(|old| old == content) {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, content)
    }

    /// Writes all sources of the core, with these mutants in them.
    fn put(&self, mutants: &[Placed]) -> io::Result<BTreeMap<String, Rendered>> {
        let src = self.root.join("core/src");
        let mut rendered = BTreeMap::new();
        for path in rust_files(&src)? {
            let file = path.strip_prefix(&src).map_err(io::Error::other)?.to_string_lossy().into_owned();
            let mut text = fs::read_to_string(&path)?;
            if file == "lib.rs" {
                text = text.replace("#![no_std]", "#![no_std]\n#![allow(warnings)]");
                text = text.replace("extern crate alloc;", "extern crate alloc;\nmod mutant;");
            }
            let here: Vec<_> = mutants.iter().filter(|m| m.file == file).map(|m| (m.id, &m.mutant)).collect();
            let out = render::render(&text, &here);
            self.write(&format!("core/src/{file}"), out.text.as_bytes())?;
            if !here.is_empty() {
                rendered.insert(file, out);
            }
        }
        self.write("core/src/mutant.rs", render::SWITCH.as_bytes())?;
        Ok(rendered)
    }

    fn cargo(&self, args: &[&str]) -> Command {
        let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
        // The dependencies are those of the workspace: they are built once.
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.root.join("target"), Into::into);
        command.current_dir(&self.folder).args(args).env("CARGO_TARGET_DIR", target).stderr(Stdio::null());
        command
    }

    fn messages(&self, args: &[&str]) -> io::Result<(bool, Vec<Value>)> {
        let output = self.cargo(args).arg("--message-format=json").output()?;
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((output.status.success(), lines.lines().filter_map(|l| serde_json::from_str(l).ok()).collect()))
    }

    /// Leaves out mutants that do not compile, until the rest does.
    pub fn drop_uncompilable(&self, mutants: &mut Vec<Placed>) -> io::Result<usize> {
        let before = mutants.len();
        for round in 1..=ROUNDS {
            let rendered = self.put(mutants)?;
            let check = ["check", "-p", "donp-core", "--lib", "--profile", "test"];
            let (done, messages) = self.messages(&check)?;
            if done {
                return Ok(before - mutants.len());
            }
            let bad = errors_in(&messages, &rendered, mutants);
            eprintln!("round {round}: {} mutants do not compile", bad.len());
            if bad.is_empty() {
                let texts = messages.iter().filter_map(|m| m.pointer("/message/rendered")?.as_str());
                return Err(io::Error::other(format!(
                    "errors that are in no mutant:\n{}",
                    texts.collect::<Vec<_>>().join("\n")
                )));
            }
            mutants.retain(|m| !bad.contains(&m.id));
        }
        Err(io::Error::other(format!("mutants do not compile after {ROUNDS} rounds")))
    }

    /// Writes the mutants that are left.
    pub fn keep(&self, mutants: &[Placed]) -> io::Result<()> {
        self.put(mutants).map(drop)
    }

    /// Builds the tests of a package, each program with its name.
    pub fn build_tests(&self, args: &[&str]) -> io::Result<Vec<(String, PathBuf)>> {
        let (done, messages) = self.messages(&[&["test", "--no-run"], args].concat())?;
        if !done {
            let texts = messages.iter().filter_map(|m| m.pointer("/message/rendered")?.as_str());
            return Err(io::Error::other(format!("the tests do not build:\n{}", texts.collect::<String>())));
        }
        let programs = messages.iter().filter_map(|m| {
            let program = m.get("executable")?.as_str()?;
            let kinds = m.pointer("/target/kind")?.as_array()?;
            let wanted = kinds.iter().any(|k| k == "test" || k == "lib");
            wanted.then(|| Some((m.pointer("/target/name")?.as_str()?.to_owned(), PathBuf::from(program))))?
        });
        Ok(programs.collect())
    }

    /// Where tests of a package run.
    pub fn package(&self, folder: &str) -> PathBuf {
        self.folder.join(folder)
    }
}

/// The mutants at which errors point: the innermost one, or all of the function around.
fn errors_in(messages: &[Value], rendered: &BTreeMap<String, Rendered>, mutants: &[Placed]) -> BTreeSet<u32> {
    let mut bad = BTreeSet::new();
    let errors = messages.iter().filter_map(|m| m.get("message")).filter(|m| m["level"] == "error");
    for error in errors {
        let spans = error["spans"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut places: Vec<(&str, usize, bool)> = spans
            .iter()
            .filter_map(|s| {
                let file = s["file_name"].as_str()?.strip_prefix("core/src/")?;
                Some((file, usize::try_from(s["byte_start"].as_u64()?).ok()?, s["is_primary"] == true))
            })
            .collect();
        places.sort_by_key(|(_, _, primary)| !primary);
        let innermost = places.iter().find_map(|(file, at, _)| {
            let around = rendered.get(*file)?.places.iter().filter(|(_, r)| r.contains(at));
            around.min_by_key(|(_, r)| r.len()).map(|(n, _)| *n)
        });
        if let Some(n) = innermost {
            bad.insert(n);
            continue;
        }
        // No mutant there: what one did shows elsewhere in its function.
        for (file, at, _) in &places {
            let Some(text) = rendered.get(*file) else { continue };
            let near = text.places.iter().min_by_key(|(_, r)| r.start.abs_diff(*at)).map(|(n, _)| *n);
            let body = near.and_then(|n| mutants.iter().find(|m| m.id == n)).map(|m| m.mutant.body.clone());
            bad.extend(
                mutants.iter().filter(|m| m.file == **file && Some(&m.mutant.body) == body.as_ref()).map(|m| m.id),
            );
        }
    }
    bad
}

/// Every `.rs` file below a folder, sorted.
pub fn rust_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
