//! One static HTML page for a run.

use crate::run::Outcome;

/// The page.
pub fn page(outcome: &Outcome, named: &str) -> String {
    format!("{} {named}", outcome.title)
}
