//! The chat machine as a whole.

mod attacks;
mod bench;
mod clocks;
mod laws;
mod receipts;
mod retention;
mod shares;
mod sync;
mod unread;
mod world;
