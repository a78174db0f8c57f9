//! The verbs about the devices of an account.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
A device is one profile. All devices of an account are one person to contacts. The first has the highest rank: a device
can remove newer devices only; the recovery code that `donp init` showed can remove any.")]
pub enum DeviceVerb {
    /// List the devices of this account, the highest in rank first
    List,
    /// Show a ticket, as text and QR code, with which a new device joins this account. Valid for one device and ten
    /// minutes
    Add,
    /// Join the account of the device that shows this ticket; only a new profile can
    Join {
        /// What `donp device add` shows at the other device
        ticket: String,
    },
    /// Give this device another name
    Rename {
        /// The name, 1 to 64 bytes
        name: String,
    },
    /// Remove a device from this account: a newer one than this, or this one
    Remove {
        /// Its name, the beginning of its id, or its id
        device: String,
    },
    /// Make this device the only one of an account, with its recovery code, which is read from stdin
    Recover,
}
