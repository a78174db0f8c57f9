//! The ticket with which another device of the same person joins an account.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{NodeId, checked, with_checksum};
use crate::identity::MAX_NAME;
use crate::wire::ticket::{MAX_TICKET_ADDRESSES, ParseTicketError, Ticket};
use crate::wire::{decode, encode};

const LETTER: char = 'd';
const MAX_TICKET: usize = 768;

/// What one device shows and another device of the same person scans, to join its account.
///
/// Printed as `d` and base32 with a checksum. It is good for one device and ten minutes, and as secret as the account
/// for that time: the first device to read it joins the account.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceTicket {
    /// The network, and where the device that shows this is.
    pub ticket: Ticket,
    /// The session identity key of that device: the account's key is taken from a session with this key alone.
    pub(crate) identity: [u8; 32],
    /// Shows that the other device has read this.
    pub(crate) secret: [u8; 16],
}

impl fmt::Debug for DeviceTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceTicket").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u8,
    node: NodeId,
    name: String,
    addrs: Vec<SocketAddr>,
    network_key: Option<[u8; 32]>,
    identity: [u8; 32],
    secret: [u8; 16],
}

impl fmt::Display for DeviceTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ticket { node, name, addrs, network_key } = self.ticket.clone();
        let addrs = addrs.into_iter().take(MAX_TICKET_ADDRESSES).collect();
        let stored =
            Stored { version: 1, node, name, addrs, network_key, identity: self.identity, secret: self.secret };
        f.write_str(&with_checksum(LETTER, &encode(&stored)))
    }
}

impl FromStr for DeviceTicket {
    type Err = ParseTicketError;

    fn from_str(text: &str) -> Result<Self, ParseTicketError> {
        let bytes = checked(LETTER, text).map_err(ParseTicketError::Text)?;
        let stored: Stored = decode(&bytes, MAX_TICKET).map_err(|_| ParseTicketError::Content)?;
        // A number may be written longer than needed; a ticket has one form.
        let one_form = encode(&stored) == bytes && stored.version == 1;
        let Stored { node, name, addrs, network_key, identity, secret, .. } = stored;
        let fits = one_form && addrs.len() <= MAX_TICKET_ADDRESSES && name.len() <= MAX_NAME;
        if !fits || name.chars().any(char::is_control) {
            return Err(ParseTicketError::Content);
        }
        Ok(Self { ticket: Ticket { node, name, addrs, network_key }, identity, secret })
    }
}

impl DeviceTicket {
    /// The ticket as text; the same as `to_string`.
    pub fn text(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: the checksum is not compared.
    #[test]
    fn a_device_ticket_reads_back_and_a_cut_one_does_not() {
        let network = Ticket {
            node: NodeId([3; 32]),
            name: "Ada".into(),
            addrs: alloc::vec!["127.0.0.1:4000".parse().unwrap()],
            network_key: Some([9; 32]),
        };
        let ticket = DeviceTicket { ticket: network, identity: [4; 32], secret: [5; 16] };
        let text = ticket.text();
        assert_eq!(text.parse::<DeviceTicket>(), Ok(ticket));
        for end in 0..text.len() {
            assert!(text[..end].parse::<DeviceTicket>().is_err(), "{end}");
        }
    }
}
