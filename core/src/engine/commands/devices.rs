//! The devices of this node's account.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::device::{
    DeviceInfo, DeviceTicket, Devices, Invite, JoinAccount, RecoverAccount, RemoveDevice, RenameDevice,
};
use crate::engine::Engine;
use crate::error::CommandError;
use crate::id::NodeId;
use crate::machine::Command;
use crate::membership;
use crate::time::Instant;

impl Engine {
    /// The devices of this node's account, the most senior first: at most eight. Without this one in it, this device was
    /// removed from its account.
    pub fn devices(&self) -> Vec<DeviceInfo> {
        self.machines.device.devices()
    }

    /// The devices of the account that a node is of, as far as it is known: the node alone before that.
    pub fn devices_of(&self, node: NodeId) -> Vec<NodeId> {
        self.machines.device.of(node)
    }

    /// Whether this device waits to be taken into an account, or for the lists of one to recover.
    pub fn is_joining_account(&self) -> bool {
        self.machines.device.is_joining()
    }

    /// Makes a ticket with which another device of the same person joins this node's account
    /// ([`join_account`](Self::join_account)). It is good for ten minutes and one device; an earlier one is void.
    /// [`Durable::DevicesChanged`](crate::Durable::DevicesChanged) follows when a device has used it.
    ///
    /// # Errors
    /// [`CommandError::NotAllowed`] if the account has eight devices or its list was changed fifteen times, or if this
    /// device was removed from it; [`CommandError::NotRunning`].
    pub fn add_device(&mut self, now: Instant) -> Result<DeviceTicket, CommandError> {
        self.running()?;
        let (identity, secret) = self.with_devices(now, Invite)?;
        Ok(DeviceTicket { ticket: self.invite(), identity, secret })
    }

    /// Joins the account of the device that shows this ticket: this device has the same account from then on, and its own,
    /// which must have no other device, is over. It joins the network of the ticket too.
    /// [`Durable::DevicesChanged`](crate::Durable::DevicesChanged) follows when it is done; if it was refused,
    /// [`is_joining_account`](Self::is_joining_account) is false before.
    ///
    /// # Errors
    /// [`CommandError::ToSelf`]; [`CommandError::OtherNetwork`]; [`CommandError::NotRunning`];
    /// [`CommandError::NotAllowed`] if this device is of an account with other devices, or of that one already, or if
    /// private messages were said here. A device that was removed from its account may join that one again.
    pub fn join_account(&mut self, now: Instant, ticket: &DeviceTicket) -> Result<(), CommandError> {
        let with = ticket.ticket.node;
        if ticket.ticket.network_key.unwrap_or_default() != self.config.network_key {
            return Err(CommandError::OtherNetwork);
        }
        self.running()?;
        self.with_devices(now, JoinAccount(ticket.clone()))?;
        self.join(now, &ticket.ticket.bootstraps())?;
        if self.machines.link.info(with).is_none() {
            self.q.input(membership::In::Contact(alloc::vec![with]));
        }
        self.pump(now);
        Ok(())
    }

    /// Gives this device another name: 1 to 64 bytes without control characters.
    ///
    /// # Errors
    /// [`CommandError::Unreadable`] for the name; [`CommandError::NotAllowed`] as [`add_device`](Self::add_device).
    pub fn rename_device(&mut self, now: Instant, name: &str) -> Result<(), CommandError> {
        self.with_devices(now, RenameDevice(name.into()))
    }

    /// Removes a device from this node's account: a newer one than this, or this one itself.
    ///
    /// # Errors
    /// [`CommandError::Unknown`] for no device of the account; [`CommandError::NotAllowed`] if it is older than this one
    /// or the last, and as [`add_device`](Self::add_device).
    pub fn remove_device(&mut self, now: Instant, node: NodeId) -> Result<(), CommandError> {
        self.with_devices(now, RemoveDevice(node))
    }

    /// Makes this device the only one of the account of a recovery code: all others are removed. If the lists of that
    /// account are not here, linked nodes are asked for ten minutes; contacts of the account have them.
    /// [`Durable::DevicesChanged`](crate::Durable::DevicesChanged) follows when it is done.
    ///
    /// # Errors
    /// [`CommandError::Unreadable`] for the code; [`CommandError::NotAllowed`] if this device is of another account with
    /// other devices, or private messages of another account were said here.
    pub fn recover_account(&mut self, now: Instant, code: &str) -> Result<(), CommandError> {
        self.with_devices(now, RecoverAccount(code.to_string()))
    }

    /// The recovery code of the account that this node's identity began with: 38 characters to write down. Its holder
    /// can take the account over. None when it was forgotten ([`Identity::forget_recovery_code`](crate::Identity)).
    pub fn recovery_code(&self) -> Option<String> {
        self.machines.device.identity().recovery_code()
    }

    fn with_devices<C: Command<Devices>>(&mut self, now: Instant, command: C) -> C::Answer {
        let at = self.advance(now);
        let answer = self.machines.device.command(at, &mut self.q, command);
        self.pump(now);
        answer
    }
}
