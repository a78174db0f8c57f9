//! What the person does with its devices.

use alloc::string::String;

use crate::crypto::kdf::Key;
use crate::device::join::{Invited, Joining};
use crate::device::ticket::DeviceTicket;
use crate::device::{Devices, Out};
use crate::error::CommandError;
use crate::id::NodeId;
use crate::identity::{Recovery, check_name};
use crate::machine::{Command, Cx, Outbox};
use crate::wire::devices::Unmade;

type Done = Result<(), CommandError>;

impl From<Unmade> for CommandError {
    fn from(why: Unmade) -> Self {
        match why {
            Unmade::NotListed => Self::NotAllowed("this device was removed from its account: join it again"),
            Unmade::Device => Self::Unknown("device of this account"),
            Unmade::Senior => Self::NotAllowed(
                "an older device cannot be removed by a newer one: use an older device, or the recovery code",
            ),
            Unmade::Devices => Self::NotAllowed("an account has at most eight devices: remove one first"),
            Unmade::Lists => Self::NotAllowed(
                "the list of devices was changed fifteen times: use the recovery code, after which it can be changed again",
            ),
            Unmade::Last => Self::NotAllowed("the last device of an account cannot be removed"),
        }
    }
}

impl Devices {
    /// Whether this device may become one of another account.
    ///
    /// # Errors
    /// Its own account has other devices, or private conversations.
    pub(super) fn may_leave(&self) -> Done {
        if !self.is_removed() && self.devices().len() > 1 {
            return Err(CommandError::NotAllowed(
                "this device is of an account with other devices: remove it there first",
            ));
        }
        if self.has_private {
            return Err(CommandError::NotAllowed(
                "this profile has private conversations of its own account: use a new profile",
            ));
        }
        Ok(())
    }
}

/// Makes a ticket for one more device: its secret, and the session identity key of this one.
#[derive(Debug)]
pub(crate) struct Invite;

impl Command<Devices> for Invite {
    type Answer = Result<(Key, [u8; 16]), CommandError>;

    fn run(self, devices: &mut Devices, cx: &mut Cx<'_>, _out: &mut Outbox<Out>) -> Self::Answer {
        let chain = devices.lists.get(devices.account()).filter(|c| c.has(cx.me)).ok_or(Unmade::NotListed)?;
        if chain.head().entries.len() >= crate::wire::devices::MAX_DEVICES {
            return Err(Unmade::Devices.into());
        }
        if chain.is_full() {
            return Err(Unmade::Lists.into());
        }
        let identity = devices.own.ok_or(CommandError::NotRunning)?;
        let secret = cx.rng.bytes();
        devices.invited = Some(Invited::new(secret, cx.now));
        Ok((identity, secret))
    }
}

/// Asks the device that shows a ticket to take this one into its account.
#[derive(Debug)]
pub(crate) struct JoinAccount(pub(crate) DeviceTicket);

impl Command<Devices> for JoinAccount {
    type Answer = Done;

    fn run(self, devices: &mut Devices, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Done {
        let with = self.0.ticket.node;
        if with == cx.me {
            return Err(CommandError::ToSelf);
        }
        // A device that was removed from its account may join that one again, or another.
        if !devices.is_removed() {
            if devices.is_own(with) {
                return Err(CommandError::NotAllowed("this device is of that account already"));
            }
            devices.may_leave()?;
        }
        devices.stop_joining(out);
        devices.joining = Some(Joining::new(&self.0, cx.now));
        devices.rewant(out);
        devices.greet(cx, with, out);
        Ok(())
    }
}

/// Gives this device another name.
#[derive(Debug)]
pub(crate) struct RenameDevice(pub(crate) String);

impl Command<Devices> for RenameDevice {
    type Answer = Done;

    fn run(self, devices: &mut Devices, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Done {
        check_name(&self.0)?;
        if self.0 == devices.identity.name() {
            return Ok(());
        }
        let chain = devices.lists.get(devices.account()).ok_or(Unmade::NotListed)?;
        let next = chain.rename(&devices.identity, &self.0, cx.wall)?;
        devices.take(next, out);
        Ok(())
    }
}

/// Removes a device that is junior to this one, or this one.
#[derive(Debug)]
pub(crate) struct RemoveDevice(pub(crate) NodeId);

impl Command<Devices> for RemoveDevice {
    type Answer = Done;

    fn run(self, devices: &mut Devices, _cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Done {
        let chain = devices.lists.get(devices.account()).ok_or(Unmade::NotListed)?;
        let next = chain.remove(&devices.identity, self.0)?;
        devices.take(next, out);
        // The ticket may be what the removed device came by, or lie on it.
        devices.invited = None;
        Ok(())
    }
}

/// Makes this device the only one of the account of a recovery code. Its lists are asked for if they are not here.
#[derive(Debug)]
pub(crate) struct RecoverAccount(pub(crate) String);

impl Command<Devices> for RecoverAccount {
    type Answer = Done;

    fn run(self, devices: &mut Devices, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Done {
        let unreadable = CommandError::Unreadable("recovery code: it has 38 characters and begins with r");
        let recovery = Recovery::read(&self.0).ok_or(unreadable)?;
        let known = devices.lists.iter().find(|c| recovery.open(*c.keys()).is_some()).cloned();
        let is_own = known.as_ref().is_some_and(|c| c.keys().id() == devices.account());
        if !is_own {
            devices.may_leave()?;
        }
        devices.find(cx, recovery, out);
        if let Some(chain) = known {
            devices.recover_with(cx, &chain, out);
        }
        Ok(())
    }
}
