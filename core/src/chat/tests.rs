//! The chat machine as a whole.

mod attacks;
mod bench;
mod clocks;
mod laws;
mod receipts;
mod retention;
mod sync;
mod world;
