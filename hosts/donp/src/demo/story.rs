//! What the demonstration tells while it runs.

use std::time::Instant;

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::json::object;
use crate::output::Output;

/// Writes steps as lines for people or as JSON.
pub struct Story {
    out: Output,
    began: Instant,
}

impl Story {
    pub fn new(out: Output) -> Self {
        Self { out, began: Instant::now() }
    }

    /// Something happened to `who`, or to all if that is empty.
    pub fn step(&self, who: &str, what: &str) -> Result<(), Failure> {
        let at = self.began.elapsed();
        if self.out.json {
            let ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
            return self.out.line(&object("step", json!({ "at_ms": ms, "node": who, "what": what })).to_string());
        }
        self.out.line(&format!("{:>6.2}s {who:<8} {what}", at.as_secs_f64()))
    }

    /// A line without a time, for people only.
    pub fn text(&self, text: &str) -> Result<(), Failure> {
        if self.out.json { Ok(()) } else { self.out.line(text) }
    }

    /// A line for programs only.
    pub fn json(&self, value: &Value) -> Result<(), Failure> {
        if self.out.json { self.out.line(&value.to_string()) } else { Ok(()) }
    }

    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
