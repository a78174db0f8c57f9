//! The scenarios that come with the program.

use super::{Scenario, ScenarioError};

macro_rules! builtin {
    ($($name:literal),* $(,)?) => {
        /// Their names and files.
        pub const BUILTIN: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),*];
    };
}

builtin![
    "plumtree",
    "plumtree-multi",
    "plumtree-churn",
    "hyparview",
    "iroh",
    "swim",
    "lifeguard",
    "merge",
    "sybils",
    "hostile",
    "hostile-short",
    "schedules",
    "schedules-short",
    "joined",
    "killed",
    "authors",
    "quiet",
    "idle",
    "nat",
];

/// The scenario that comes with the program under this name.
///
/// # Errors
/// If its file is wrong, which a test rules out.
pub fn find(name: &str) -> Option<Result<Scenario, ScenarioError>> {
    let (_, text) = BUILTIN.iter().find(|(n, _)| *n == name)?;
    Some(Scenario::parse(&format!("scenarios/{name}.toml"), text))
}
