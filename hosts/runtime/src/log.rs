//! Lines for people on stderr, by level. Peer ids are shortened by the callers; texts, names of
//! secrets and keys are never logged.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicU8, Ordering};

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Something does not work and somebody should act.
    Error = 0,
    /// Something is wrong but the node copes.
    Warn = 1,
    /// Milestones.
    Info = 2,
    /// Steps.
    Debug = 3,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

static SHOWN: AtomicU8 = AtomicU8::new(Level::Warn as u8);

/// Shows lines of `level` and more important ones from here on; `Warn` until this is called.
pub fn show(level: Level) {
    SHOWN.store(level as u8, Ordering::Relaxed);
}

/// Whether lines of `level` are shown.
pub fn shown(level: Level) -> bool {
    level as u8 <= SHOWN.load(Ordering::Relaxed)
}

/// Writes one line if its level is shown. A stderr that cannot be written to is not an error.
pub fn line(level: Level, text: fmt::Arguments<'_>) {
    if shown(level) {
        let _ = writeln!(std::io::stderr().lock(), "{}: {text}", level.name());
    }
}

/// Logs an error.
#[macro_export]
macro_rules! error { ($($t:tt)*) => { $crate::log::line($crate::log::Level::Error, format_args!($($t)*)) } }
/// Logs a warning.
#[macro_export]
macro_rules! warn { ($($t:tt)*) => { $crate::log::line($crate::log::Level::Warn, format_args!($($t)*)) } }
/// Logs a milestone.
#[macro_export]
macro_rules! info { ($($t:tt)*) => { $crate::log::line($crate::log::Level::Info, format_args!($($t)*)) } }
/// Logs a step.
#[macro_export]
macro_rules! debug { ($($t:tt)*) => { $crate::log::line($crate::log::Level::Debug, format_args!($($t)*)) } }
