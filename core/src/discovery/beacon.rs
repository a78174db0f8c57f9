//! The bytes of a beacon: `docs/spec/messages.md`, "Beacons".

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::id::{ID_LEN, NodeId};

/// What every beacon begins with, before its version.
const MAGIC: &[u8; 4] = b"DONP";
const VERSION: u8 = 1;
/// The flag of a beacon that holds the sender's id.
const VISIBLE: u8 = 1;
const MAC_LEN: usize = 16;
/// No beacon is longer (docs/design/overlay.md §5), so none is read further than this.
pub(crate) const MAX_BEACON: usize = 400;

/// A temporary name of a node, drawn at random, so that a device cannot be recognised on another day or in
/// another place.
pub(crate) type Tag = [u8; 16];

/// "Here is a node of this network." The datagram gives its address, all but the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beacon {
    /// Where its IPv4 and its IPv6 socket listen; zero for none.
    pub ports: [u16; 2],
    pub tag: Tag,
    /// Its long-term id, if it wants to be recognised.
    pub id: Option<NodeId>,
}

/// Why bytes are no beacon for this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoBeacon {
    Malformed,
    /// Made with another network's key, or without any.
    OtherNetwork,
}

/// The key that authenticates beacons of a network.
pub(crate) fn beacon_key(network_key: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key("DONP v1 beacon", network_key)
}

fn mac(key: &[u8; 32], bytes: &[u8]) -> [u8; MAC_LEN] {
    crate::collections::short(blake3::keyed_hash(key, bytes).as_bytes())
}

/// Takes the first `N` bytes off `bytes`.
fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], NoBeacon> {
    let (head, rest) = bytes.split_first_chunk::<N>().ok_or(NoBeacon::Malformed)?;
    *bytes = rest;
    Ok(*head)
}

impl Beacon {
    /// Where the sender of a beacon that came from `from` can be reached; none if it does not listen there.
    pub(crate) fn address(&self, from: SocketAddr) -> Option<SocketAddr> {
        let [v4, v6] = self.ports;
        let port = if from.is_ipv4() { v4 } else { v6 };
        let mut address = from;
        address.set_port(port);
        (port != 0).then_some(address)
    }

    pub(crate) fn encode(&self, key: &[u8; 32]) -> Vec<u8> {
        let [v4, v6] = self.ports;
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        out.push(if self.id.is_some() { VISIBLE } else { 0 });
        out.extend(v4.to_le_bytes());
        out.extend(v6.to_le_bytes());
        out.extend(self.tag);
        out.extend(self.id.iter().flat_map(|id| id.0));
        Self::seal(out, key)
    }

    /// Appends the MAC that proves membership of the network.
    pub(crate) fn seal(mut content: Vec<u8>, key: &[u8; 32]) -> Vec<u8> {
        content.extend(mac(key, &content));
        content
    }

    pub(crate) fn decode(bytes: &[u8], key: &[u8; 32]) -> Result<Self, NoBeacon> {
        if bytes.len() > MAX_BEACON {
            return Err(NoBeacon::Malformed);
        }
        let (content, sealed) = bytes.split_last_chunk::<MAC_LEN>().ok_or(NoBeacon::Malformed)?;
        let mut rest = content;
        if take::<4>(&mut rest)? != *MAGIC || take::<1>(&mut rest)? != [VERSION] {
            return Err(NoBeacon::Malformed);
        }
        let [flags] = take::<1>(&mut rest)?;
        let ports = [u16::from_le_bytes(take(&mut rest)?), u16::from_le_bytes(take(&mut rest)?)];
        let tag = take(&mut rest)?;
        let id = match flags {
            0 => None,
            VISIBLE => Some(NodeId(take::<ID_LEN>(&mut rest)?)),
            _ => return Err(NoBeacon::Malformed),
        };
        if !rest.is_empty() {
            return Err(NoBeacon::Malformed);
        }
        // A beacon is no secret, so the time of the comparison reveals nothing.
        if mac(key, content) != *sealed {
            return Err(NoBeacon::OtherNetwork);
        }
        Ok(Self { ports, tag, id })
    }
}
