//! Every fuzz target of the core, by the name in `DONP_FUZZ`: one program, so that a new target is a line in the core.
#![no_main]

use std::sync::LazyLock;

static TARGET: LazyLock<String> = LazyLock::new(|| {
    std::env::var("DONP_FUZZ").expect("DONP_FUZZ names a target, as the folders of corpus do")
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| donp_core::fuzzing::run(&TARGET, data));
