//! The logger of programs that have none of their own: lines for people on stderr.
//!
//! Everything here is logged through the crate `log`, so a program that embeds a node sees it in its own logger.
//! Peer ids are shortened; texts, names of secrets and keys are never logged.

use std::io::Write;

use log::{Level, LevelFilter, Log, Metadata, Record};

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        // `log::max_level` has decided.
        true
    }

    fn log(&self, record: &Record<'_>) {
        // A stderr that cannot be written to is not an error.
        let _ = writeln!(std::io::stderr().lock(), "{}: {}", name(record.level()), record.args());
    }

    fn flush(&self) {}
}

const fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

/// Writes what is logged to stderr from here on, `LEVEL: TEXT` in a line, down to `level`. Does nothing if the program
/// has a logger already.
pub fn log_to_stderr(level: LevelFilter) {
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(level);
    }
}
