//! Invitations to groups as text that a person copies to another.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::group::op::{Invitation, MAX_GROUP_NAME};
use crate::id::{GroupId, NodeId, checked, with_checksum};
use crate::wire::ticket::{Bootstrap, MAX_TICKET_ADDRESSES, ParseTicketError};
use crate::wire::{decode, encode};

const LETTER: char = 'i';
const MAX_TICKET: usize = 1_024;

/// An invitation to a group: its id, a member who adds newcomers, and the signed word of a member that may invite.
///
/// Printed as `i` and base32 with a checksum. It holds no key of the group. One to the bearer is as secret as a place
/// in the group is worth.
#[derive(Clone, PartialEq, Eq)]
pub struct GroupTicket {
    /// Which group.
    pub group: GroupId,
    /// Its name when the ticket was made; a claim.
    pub name: String,
    /// The member who adds newcomers.
    pub node: NodeId,
    /// Where it was reachable, best first.
    pub addrs: Vec<SocketAddr>,
    /// The key of a closed network, if it is one.
    pub network_key: Option<[u8; 32]>,
    /// None for a PUBLIC group.
    pub(crate) invitation: Option<Invitation>,
    /// The secret that an invitation to the bearer asks for.
    pub(crate) bearer: Option<[u8; 32]>,
}

#[derive(Serialize, Deserialize)]
enum Stored {
    V1 {
        group: GroupId,
        name: String,
        node: NodeId,
        addrs: Vec<SocketAddr>,
        network_key: Option<[u8; 32]>,
        invitation: Option<Invitation>,
        bearer: Option<[u8; 32]>,
    },
}

impl fmt::Debug for GroupTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupTicket").field("group", &self.group).field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Display for GroupTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stored = Stored::V1 {
            group: self.group,
            name: self.name.clone(),
            node: self.node,
            addrs: self.addrs.iter().copied().take(MAX_TICKET_ADDRESSES).collect(),
            network_key: self.network_key,
            invitation: self.invitation.clone(),
            bearer: self.bearer,
        };
        f.write_str(&with_checksum(LETTER, &encode(&stored)))
    }
}

impl FromStr for GroupTicket {
    type Err = ParseTicketError;

    fn from_str(text: &str) -> Result<Self, ParseTicketError> {
        let bytes = checked(LETTER, text).map_err(ParseTicketError::Text)?;
        let stored: Stored = decode(&bytes, MAX_TICKET).map_err(|_| ParseTicketError::Content)?;
        // A number may be written longer than needed; a ticket has one form.
        let one_form = encode(&stored) == bytes;
        let Stored::V1 { group, name, node, addrs, network_key, invitation, bearer } = stored;
        let fits = one_form && addrs.len() <= MAX_TICKET_ADDRESSES && name.len() <= MAX_GROUP_NAME;
        let is_whole = invitation.as_ref().is_none_or(|i| i.group == group && i.is_genuine());
        if !fits || !is_whole || name.chars().any(char::is_control) {
            return Err(ParseTicketError::Content);
        }
        Ok(Self { group, name, node, addrs, network_key, invitation, bearer })
    }
}

impl GroupTicket {
    /// Where the member that it names may be found.
    pub fn bootstraps(&self) -> Vec<Bootstrap> {
        self.addrs.iter().map(|&addr| Bootstrap { addr, id: Some(self.node) }).collect()
    }
}
