//! Writes the seeds of every fuzz target: `cargo run -p donp-tests --example fuzz_seeds FOLDER`, then
//! `cd tests/fuzz && cargo +nightly fuzz run TARGET corpus/TARGET FOLDER/TARGET`.

use std::io::Result;
use std::path::PathBuf;

use donp_core::fuzzing::{seeds, targets};

fn main() -> Result<()> {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: fuzz_seeds FOLDER");
        std::process::exit(2);
    };
    for (name, _) in targets() {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder)?;
        for (n, seed) in seeds::of(name).iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{n:02}")), seed)?;
        }
    }
    Ok(())
}
