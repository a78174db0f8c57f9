#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| donp_core::fuzzing::run("swim_message", data));
