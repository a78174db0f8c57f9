//! The devices of an account.

use donp_core as core;
use donp_core::NodeId;
use serde::{Deserialize, Serialize};

use super::text;

/// One device of a node's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "device")]
pub struct DeviceInfo {
    /// Its node.
    #[serde(with = "text")]
    pub node: NodeId,
    /// The short form of its id.
    pub short: String,
    /// Its name, at most 64 bytes.
    pub name: String,
    /// When it was added, in milliseconds since 1970.
    pub added_ms: u64,
    /// Whether it is this device.
    pub here: bool,
}

impl From<core::DeviceInfo> for DeviceInfo {
    fn from(d: core::DeviceInfo) -> Self {
        Self { node: d.node, short: d.node.short(), name: d.name, added_ms: d.added.0, here: d.here }
    }
}
