//! Joining, neighbours and leaving.

mod state;

pub use state::NodeState;
