//! Bounded containers that the machines share.

mod deadline_queue;
mod dedup_window;
mod order_tree;

pub(crate) use deadline_queue::DeadlineQueue;
pub(crate) use dedup_window::{DedupWindow, ShortId, short};
pub(crate) use order_tree::{OrderTree, Total, Weigh};
