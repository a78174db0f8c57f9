//! The devices of a node's account.

use donp_core as core;
use donp_core::Instant;
use donp_runtime::api;

use crate::id::device_ticket;
use crate::{DonpError, Engine, Node, NodeId};

/// One device of a node's account.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct DeviceInfo {
    /// Its node.
    pub node: NodeId,
    /// Its name, at most 64 bytes.
    pub name: String,
    /// When it was added, in milliseconds since 1970.
    pub added_ms: u64,
    /// Whether it is this device.
    pub here: bool,
}

impl From<core::DeviceInfo> for DeviceInfo {
    fn from(device: core::DeviceInfo) -> Self {
        let d = api::DeviceInfo::from(device);
        Self { node: d.node, name: d.name, added_ms: d.added_ms, here: d.here }
    }
}

#[uniffi::export]
impl Node {
    /// The devices of this node's account, the most senior first: at most eight. If this one is not among them it was
    /// removed.
    pub fn devices(&self) -> Result<Vec<DeviceInfo>, DonpError> {
        self.run(|n| Ok(n.devices()?.into_iter().map(Into::into).collect()))
    }

    /// The devices of the account that a node is of, as far as it is known; the node alone before that.
    pub fn devices_of(&self, node: NodeId) -> Result<Vec<NodeId>, DonpError> {
        self.run(|n| n.devices_of(node))
    }

    /// Makes a ticket with which another device of the same person joins this node's account: for one device, and ten
    /// minutes. As secret as the account for that time.
    pub fn add_device(&self) -> Result<String, DonpError> {
        self.run(|n| Ok(n.add_device()?.text()))
    }

    /// Joins the account of the device that shows this ticket, and its network. This device's own account, without other
    /// devices and private messages, is over. `DevicesChanged` follows; `is_joining_account` is false before if it was refused.
    pub fn join_account(&self, ticket: &str) -> Result<(), DonpError> {
        let ticket = device_ticket(ticket)?;
        self.run(|n| n.join_account(&ticket))
    }

    /// Whether this device waits to be taken into an account, or for the lists of one to recover.
    pub fn is_joining_account(&self) -> Result<bool, DonpError> {
        self.run(|n| n.is_joining_account())
    }

    /// Gives this device another name: 1 to 64 bytes.
    pub fn rename_device(&self, name: &str) -> Result<(), DonpError> {
        self.run(|n| n.rename_device(name))
    }

    /// Removes a device from this node's account: a newer one than this, or this one itself. Denied for an older one.
    pub fn remove_device(&self, node: NodeId) -> Result<(), DonpError> {
        self.run(|n| n.remove_device(node))
    }

    /// Makes this device the only one of the account of a recovery code. If its lists are not here, linked nodes are asked
    /// for ten minutes.
    pub fn recover_account(&self, code: &str) -> Result<(), DonpError> {
        self.run(|n| n.recover_account(code))
    }

    /// The recovery code of the account that this profile began with: its holder can take the account over. None if the
    /// profile does not hold it.
    pub fn recovery_code(&self) -> Result<Option<String>, DonpError> {
        self.run(|n| n.recovery_code())
    }
}

#[uniffi::export]
impl Engine {
    /// The devices of this node's account, the most senior first.
    pub fn devices(&self) -> Result<Vec<DeviceInfo>, DonpError> {
        self.run(|inner| Ok(inner.engine.devices().into_iter().map(Into::into).collect()))
    }

    /// As `Node.devices_of`.
    pub fn devices_of(&self, node: NodeId) -> Result<Vec<NodeId>, DonpError> {
        self.run(|inner| Ok(inner.engine.devices_of(node)))
    }

    /// As `Node.add_device`.
    pub fn add_device(&self, now_us: u64) -> Result<String, DonpError> {
        self.run(|inner| Ok(inner.engine.add_device(Instant::from_micros(now_us))?.text()))
    }

    /// As `Node.join_account`.
    pub fn join_account(&self, now_us: u64, ticket: &str) -> Result<(), DonpError> {
        let ticket = device_ticket(ticket)?;
        self.run(|inner| Ok(inner.engine.join_account(Instant::from_micros(now_us), &ticket)?))
    }

    /// As `Node.is_joining_account`.
    pub fn is_joining_account(&self) -> Result<bool, DonpError> {
        self.run(|inner| Ok(inner.engine.is_joining_account()))
    }

    /// As `Node.rename_device`.
    pub fn rename_device(&self, now_us: u64, name: &str) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.rename_device(Instant::from_micros(now_us), name)?))
    }

    /// As `Node.remove_device`.
    pub fn remove_device(&self, now_us: u64, node: NodeId) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.remove_device(Instant::from_micros(now_us), node)?))
    }

    /// As `Node.recover_account`.
    pub fn recover_account(&self, now_us: u64, code: &str) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.recover_account(Instant::from_micros(now_us), code)?))
    }

    /// As `Node.recovery_code`.
    pub fn recovery_code(&self) -> Result<Option<String>, DonpError> {
        self.run(|inner| Ok(inner.engine.recovery_code()))
    }
}
