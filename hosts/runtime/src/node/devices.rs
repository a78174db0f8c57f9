//! The devices of this node's account.

use donp_core::{DeviceInfo, DeviceTicket, NodeId};

use super::Node;
use crate::error::NodeError;

impl Node {
    /// The devices of this node's account, the most senior first.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn devices(&self) -> Result<Vec<DeviceInfo>, NodeError> {
        self.call(|w| w.engine.devices())
    }

    /// The devices of the account that a node is of, as far as it is known.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn devices_of(&self, node: NodeId) -> Result<Vec<NodeId>, NodeError> {
        self.call(move |w| w.engine.devices_of(node))
    }

    /// Makes a ticket with which another device of the same person joins this node's account: for one device, and ten
    /// minutes.
    ///
    /// # Errors
    /// As [`Engine::add_device`](donp_core::Engine::add_device).
    pub fn add_device(&self) -> Result<DeviceTicket, NodeError> {
        Ok(self.call(|w| w.engine.add_device(w.now))??)
    }

    /// Joins the account of the device that shows this ticket, and its network.
    ///
    /// # Errors
    /// As [`Engine::join_account`](donp_core::Engine::join_account).
    pub fn join_account(&self, ticket: &DeviceTicket) -> Result<(), NodeError> {
        let ticket = ticket.clone();
        self.call_stored(move |w| Ok(w.engine.join_account(w.now, &ticket)?))
    }

    /// Whether this device waits to be taken into an account, or for the lists of one to recover.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn is_joining_account(&self) -> Result<bool, NodeError> {
        self.call(|w| w.engine.is_joining_account())
    }

    /// Gives this device another name.
    ///
    /// # Errors
    /// As [`Engine::rename_device`](donp_core::Engine::rename_device).
    pub fn rename_device(&self, name: &str) -> Result<(), NodeError> {
        let name = name.to_owned();
        self.call_stored(move |w| Ok(w.engine.rename_device(w.now, &name)?))
    }

    /// Removes a device from this node's account: a newer one than this, or this one itself.
    ///
    /// # Errors
    /// As [`Engine::remove_device`](donp_core::Engine::remove_device).
    pub fn remove_device(&self, node: NodeId) -> Result<(), NodeError> {
        self.call_stored(move |w| Ok(w.engine.remove_device(w.now, node)?))
    }

    /// Makes this device the only one of the account of a recovery code.
    ///
    /// # Errors
    /// As [`Engine::recover_account`](donp_core::Engine::recover_account).
    pub fn recover_account(&self, code: &str) -> Result<(), NodeError> {
        let code = zeroize::Zeroizing::new(code.to_owned());
        self.call_stored(move |w| Ok(w.engine.recover_account(w.now, &code)?))
    }

    /// The recovery code of the account that this profile began with, if it is still in it.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn recovery_code(&self) -> Result<Option<String>, NodeError> {
        self.call(|w| w.engine.recovery_code())
    }
}
