//! The chat machine as a whole.

mod attacks;
mod bench;
mod laws;
mod world;
