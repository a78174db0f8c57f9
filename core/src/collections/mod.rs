//! Bounded containers, rate limits and back-offs that the machines share.

mod backoff;
mod burst;
mod deadline_queue;
mod dedup_window;
mod order_tree;
mod ordered;
mod rate_limit;

pub(crate) use backoff::Backoff;
pub(crate) use burst::release_burst;
pub(crate) use deadline_queue::DeadlineQueue;
pub(crate) use dedup_window::{DedupWindow, ShortId, short};
pub(crate) use order_tree::{OrderTree, Total, Weigh};
pub(crate) use ordered::{OrderedMap, OrderedSet};
pub(crate) use rate_limit::{Rate, RateLimit};
