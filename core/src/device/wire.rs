//! What device machines say to each other (docs/spec/messages.md, "Device").

use serde::{Deserialize, Serialize};

use crate::id::AccountId;
use crate::identity::{AccountKeys, DeviceCert};
use crate::wire::Blob;

/// The longest message: a chain and what little else there is.
pub(crate) const MAX_BYTES: usize = crate::wire::devices::MAX_CHAIN + 256;

/// Over the link: lists are public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message {
    /// The newest list that the sender has of an account.
    Have { account: AccountId, head: [u8; 32] },
    /// Send the lists of this account.
    Want { account: AccountId },
    /// A chain (docs/design/devices.md §4).
    Lists(Blob),
    /// Send the lists of the account with this recovery key.
    Find { recovery: [u8; 32] },
}

/// In a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Private {
    /// The sender has read the ticket with this secret. Which account is it?
    Hello { secret: [u8; 16] },
    /// This one.
    Account { keys: AccountKeys },
    /// Take this device into the account: the certificate lacks the account's signature.
    Join { secret: [u8; 16], cert: DeviceCert },
    /// It is one of the account from now on: the account's secret, and the chain.
    Welcome { secret: [u8; 32], chain: Blob },
    /// The ticket was used, is too old, or the account has as many devices as it may have.
    Refused,
}
