//! Replays every input that fuzzing kept: `tests/fuzz/corpus/TARGET/*`.
//!
//! `cd tests/fuzz && DONP_FUZZ=TARGET cargo +nightly fuzz run target corpus/TARGET` looks for new ones.

use std::collections::BTreeSet;
use std::path::Path;

use donp_core::fuzzing::targets;
use donp_sim::SimRng;

fn corpus() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

#[test]
fn the_whole_corpus_is_replayed() {
    let mut replayed = 0;
    for (name, target) in targets() {
        let folder = corpus().join(name);
        let mut inputs: Vec<_> = std::fs::read_dir(&folder)
            .unwrap_or_else(|e| panic!("no corpus for {name} in {}: {e}", folder.display()))
            .map(|e| e.unwrap().path())
            .collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "the corpus of {name} is empty");
        for input in inputs {
            println!("{}", input.display());
            target(&std::fs::read(&input).unwrap());
            replayed += 1;
        }
    }
    // A corpus without a target is never replayed.
    let folders = std::fs::read_dir(corpus()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let known = targets().into_iter().map(|(name, _)| name.to_owned());
    assert_eq!(folders.collect::<BTreeSet<_>>(), known.collect::<BTreeSet<_>>());
    println!("{replayed} inputs replayed");
}

/// Inputs that no fuzzer guided: a few hundred of each target, the same every time.
#[test]
fn random_inputs_break_no_target() {
    for (n, (name, target)) in targets().into_iter().enumerate() {
        let mut rng = SimRng::new(n as u64);
        for i in 0..200 {
            let len = rng.below(if i % 10 == 0 { 3_000 } else { 200 }) as usize;
            let bytes: Vec<u8> = (0..len).map(|_| rng.u64() as u8).collect();
            let outcome = std::panic::catch_unwind(|| target(&bytes));
            assert!(outcome.is_ok(), "{name} broke on random input {i} of seed {n}");
        }
    }
}
