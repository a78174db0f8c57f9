//! Invitations and bootstrap addresses: text that a person copies to another to invite them.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{NodeId, ParseIdError, checked, with_checksum};
use crate::identity::MAX_NAME;
use crate::wire::{decode, encode};

/// The most addresses in one ticket.
pub const MAX_TICKET_ADDRESSES: usize = 8;
const LETTER: char = 't';
const MAX_TICKET: usize = 512;

/// Where to join the network: an address, and the id of the node that should answer there.
///
/// Written `host:port` or `host:port/NodeId`. Without the id the first answer is believed (trust on
/// first use); with it an impostor is refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bootstrap {
    /// Where to send the first datagram.
    pub addr: SocketAddr,
    /// The id of the node that must answer, if known.
    pub id: Option<NodeId>,
}

/// An invitation to a network: its issuer, addresses, and the key of a closed network.
///
/// Printed as `t` and base32 with a checksum. A ticket for a closed network holds its key and is as
/// secret as that key.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The id of the issuer.
    pub node: NodeId,
    /// The issuer's name, to show before joining; a claim.
    pub name: String,
    /// Where the issuer was reachable, best first.
    pub addrs: Vec<SocketAddr>,
    /// The key of a closed network, if it is one.
    pub network_key: Option<[u8; 32]>,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("node", &self.node)
            .field("name", &self.name)
            .field("addrs", &self.addrs)
            .field("closed", &self.network_key.is_some())
            .finish()
    }
}

/// Why a text is not a ticket or a bootstrap address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseTicketError {
    /// The text itself is damaged.
    Text(ParseIdError),
    /// The text is whole but not a ticket of a version that this build knows.
    Content,
}

impl fmt::Display for ParseTicketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(e) => write!(f, "{e}"),
            Self::Content => f.write_str("it is not a ticket that this version can read"),
        }
    }
}

impl core::error::Error for ParseTicketError {}

#[derive(Serialize, Deserialize)]
enum Stored {
    V1 { node: NodeId, name: String, addrs: Vec<SocketAddr>, network_key: Option<[u8; 32]> },
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stored = Stored::V1 {
            node: self.node,
            name: self.name.clone(),
            addrs: self.addrs.iter().copied().take(MAX_TICKET_ADDRESSES).collect(),
            network_key: self.network_key,
        };
        f.write_str(&with_checksum(LETTER, &encode(&stored)))
    }
}

impl FromStr for Ticket {
    type Err = ParseTicketError;

    fn from_str(text: &str) -> Result<Self, ParseTicketError> {
        let bytes = checked(LETTER, text).map_err(ParseTicketError::Text)?;
        let stored: Stored = decode(&bytes, MAX_TICKET).map_err(|_| ParseTicketError::Content)?;
        // A number may be written longer than needed; a ticket has one form.
        let one_form = encode(&stored) == bytes;
        let Stored::V1 { node, name, addrs, network_key } = stored;
        let fits = one_form && addrs.len() <= MAX_TICKET_ADDRESSES && name.len() <= MAX_NAME;
        if !fits || name.chars().any(char::is_control) {
            return Err(ParseTicketError::Content);
        }
        Ok(Self { node, name, addrs, network_key })
    }
}

impl Ticket {
    /// The bootstrap addresses that this ticket names.
    pub fn bootstraps(&self) -> Vec<Bootstrap> {
        self.addrs.iter().map(|&addr| Bootstrap { addr, id: Some(self.node) }).collect()
    }

    /// The ticket as text; the same as `to_string`.
    pub fn text(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ticket() -> Ticket {
        Ticket {
            node: NodeId([3; 32]),
            name: "Ada".into(),
            addrs: alloc::vec!["127.0.0.1:4000".parse().unwrap(), "[::1]:4000".parse().unwrap()],
            network_key: Some([9; 32]),
        }
    }

    #[test]
    fn a_ticket_reads_back() {
        assert_eq!(ticket().text().parse::<Ticket>(), Ok(ticket()));
    }

    #[test]
    fn a_cut_ticket_is_refused() {
        let text = ticket().text();
        for end in 0..text.len() {
            assert!(text[..end].parse::<Ticket>().is_err(), "{end}");
        }
    }

    #[test]
    fn debug_output_hides_the_network_key() {
        let shown = alloc::format!("{:?}", ticket());
        let node = alloc::format!("{:?}", ticket().node);
        let expected = "Ticket { node: NODE, name: \"Ada\", addrs: [127.0.0.1:4000, [::1]:4000], closed: true }";
        assert_eq!(shown, expected.replace("NODE", &node));
    }

    proptest! {
        /// Random content, and a ticket's own with a byte changed: what is read prints as it was written. Breaks if
        /// a port may be written `a0 00`, which is 32 in two bytes.
        #[test]
        fn any_content_is_a_ticket_in_its_one_form_or_none(bytes: Vec<u8>, at: prop::sample::Index, to: u8) {
            let mut changed = checked(LETTER, &ticket().text()).unwrap();
            let at = at.index(changed.len());
            changed[at] = to;
            for text in [with_checksum(LETTER, &bytes), with_checksum(LETTER, &changed)] {
                if let Ok(read) = text.parse::<Ticket>() {
                    prop_assert_eq!(read.text(), text);
                }
            }
        }
    }
}
