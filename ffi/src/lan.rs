//! Nodes on the local network: by multicast, or by what the platform offers for it.

use donp_core::{Instant, LocalPeer};

use crate::engine::address as parse;
use crate::{DonpError, Engine, Node, NodeId};

/// Whether a node looks for others on the local network and lets itself be found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, uniffi::Enum)]
pub enum Lan {
    /// It says and hears nothing.
    #[default]
    Off,
    /// Beacons by multicast, to 239.255.68.78 and ff12::d04e:5000, UDP port 8888.
    On,
    /// Also to 224.0.0.1, the group of the DONP document.
    Compat,
}

impl From<Lan> for donp_runtime::Lan {
    fn from(lan: Lan) -> Self {
        match lan {
            Lan::Off => Self::Off,
            Lan::On => Self::On,
            Lan::Compat => Self::Compat,
        }
    }
}

#[uniffi::export]
impl Node {
    /// A node near may be at `address`, `ip:port`: what Bonjour, NSD or Bluetooth found. A hint, tried
    /// once; if `id` is given, another node that answers there is refused.
    #[uniffi::method(default(id = None))]
    pub fn handle_local_peer(&self, address: &str, id: Option<NodeId>) -> Result<(), DonpError> {
        let addr = parse(address)?;
        self.run(|n| n.handle_local_peer(LocalPeer { id, addr }))
    }
}

#[uniffi::export]
impl Engine {
    /// As `Node.handle_local_peer`.
    #[uniffi::method(default(id = None))]
    pub fn handle_local_peer(&self, now_us: u64, address: &str, id: Option<NodeId>) -> Result<(), DonpError> {
        let addr = parse(address)?;
        self.run(|inner| {
            inner.engine.handle_local_peer(Instant::from_micros(now_us), LocalPeer { id, addr });
            Ok(())
        })
    }

    /// A datagram came in where beacons are received: what `Output.beacon` of some engine near was. What is
    /// not understood, or of another network, is counted.
    pub fn handle_beacon(&self, now_us: u64, source: &str, payload: &[u8]) -> Result<(), DonpError> {
        let source = parse(source)?;
        self.run(|inner| {
            inner.engine.handle_beacon(Instant::from_micros(now_us), source, payload);
            Ok(())
        })
    }
}
