//! Groups without a server (docs/design/groups.md): a log of signed operations that decides who is a member, and
//! epochs of keys that only members hold.
#![allow(dead_code, reason = "being built")]

pub(crate) mod clock;
mod entries;
mod judge;
pub(crate) mod log;
pub(crate) mod op;
mod past;
mod resolve;
pub(crate) mod state;

#[cfg(test)]
mod tests;
