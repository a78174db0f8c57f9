//! The verbs about files. Names are claims of others: they are shown as text only.

use std::path::{Path, PathBuf};

use donp_runtime::api::FileInfo;
use serde_json::{Value, json};

use super::text_of;
use crate::backend::Backend;
use crate::cli::FileVerb;
use crate::failure::{Exit, Failure};
use crate::json as shape;
use crate::output::Output;
use crate::text::{escape_for_terminal, table};

pub fn file(verb: &FileVerb, backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    match verb {
        FileVerb::List => list(backend, out),
        FileVerb::Get { conversation, message, out: to, timeout } => {
            let params = json!({ "conversation": conversation, "id": message, "timeout_ms": timeout.as_millis() });
            let fetched = backend.call("fetch_file", &params)?;
            let file: FileInfo = shape::read(&fetched)?;
            if !file.is_whole {
                let what = match (fetched["running"] == false, file.holders) {
                    (true, _) => "the download starts when this node runs",
                    (false, 0) => "no holder is connected; the download resumes when one is",
                    (false, _) => "the download continues",
                };
                let so_far = format!("{} of {} are here: {what}", bytes(file.bytes), bytes(file.size));
                return Err(Failure::new(Exit::Network, so_far)
                    .hint("donp file list shows when it is whole, then donp file save"));
            }
            let to = to.clone().unwrap_or_else(|| harmless(&file.name));
            save(&file.id.to_string(), &to, backend, out)
        }
        FileVerb::Save { file, path } => save(file, path, backend, out),
        FileVerb::Remove { file } => {
            let removed = backend.call("remove_file", &json!({ "file": file }))?;
            out.value(&removed, |v| format!("removed {}", escape_for_terminal(&text_of(v, "name"))))
        }
    }
}

fn save(file: &str, to: &Path, backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let path = absolute(to)?;
    let saved = backend.call("save_file", &json!({ "file": file, "path": path }))?;
    out.value(&saved, |v| {
        let size = v["size"].as_u64().unwrap_or(0);
        format!("{}, {}", escape_for_terminal(&to.display().to_string()), bytes(size))
    })
}

fn list(backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let value = backend.call("files", &json!({}))?;
    let files: Vec<FileInfo> = shape::read(&value["files"])?;
    if out.json {
        return value["files"].as_array().into_iter().flatten().try_for_each(|f: &Value| out.line(&f.to_string()));
    }
    if files.is_empty() {
        out.note("No files. To send one: donp send TO --file PATH");
        return Ok(());
    }
    let rows = files.iter().map(|f| {
        let state = match f.is_whole {
            true => "here".into(),
            false => format!("{} %, from {} nodes", f.bytes * 100 / f.size.max(1), f.holders),
        };
        vec![f.id.short(), bytes(f.size), state, escape_for_terminal(&f.name)]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    out.line(table(&rows).trim_end())
}

/// A path that means the same to a daemon, which runs in another folder.
pub fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|e| Failure::new(Exit::Failed, format!("{}: {e}", path.display())))
}

/// Where a file is saved that another node named: never hidden, never an option of a program.
fn harmless(name: &str) -> PathBuf {
    match name.starts_with(['.', '-', '~']) {
        true => PathBuf::from(format!("_{name}")),
        false => PathBuf::from(name),
    }
}

/// A number of bytes for people.
pub fn bytes(n: u64) -> String {
    let units = [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(size, _)| n >= *size) {
        Some((size, unit)) => format!("{:.1} {unit}", n as f64 / size as f64),
        None => format!("{n} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_at_a_glance() {
        for (n, shown) in [(0, "0 bytes"), (1_023, "1023 bytes"), (1_536, "1.5 KiB"), (5 << 30, "5.0 GiB")] {
            assert_eq!(bytes(n), shown);
        }
    }

    #[test]
    fn a_name_of_another_hides_nothing() {
        for (name, path) in [("a.png", "a.png"), (".bashrc", "_.bashrc"), ("-rf", "_-rf"), ("~x", "_~x")] {
            assert_eq!(harmless(name), PathBuf::from(path));
        }
    }
}
