//! The commands of the application: one file for each interface of the DONP document, and one for the
//! conversations of the chat document.

mod blocks;
pub(super) mod contacts;
mod conversations;
mod devices;
pub(super) mod fault_tolerance;
mod files;
mod group_management;
mod overlay_network;
