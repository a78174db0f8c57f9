//! The keys of a group (docs/design/groups-keys.md §4): epochs, their secrets, and how a secret is handed down.
//!
//! An epoch has one secret that each of its holders got. From it each holder derives a chain for every holder, itself
//! included; a message is sealed under the next key of its sender's chain. Any holder can derive the chain of another,
//! so a chain proves nothing about who speaks: the signature inside does.
//!
//! Pure data: what to write comes out as rows, and what arrives is opened. When to make an epoch, which to send in and
//! which nodes get its secret is decided elsewhere.

#![allow(unused_imports, reason = "being built")]

mod chain;
mod epoch;
mod held;
mod order;
pub(crate) mod public;
mod rows;
mod schedule;
mod secret_message;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use epoch::{Epoch, Opened, Unopened};
pub(crate) use held::Epochs;
pub(crate) use order::{Order, make_order};
pub(crate) use rows::{Changes, Row};
pub(crate) use schedule::{Secret, Tags, commitment};
pub(crate) use secret_message::SecretMessage;
pub(crate) use wire::{Header, header_of};
