//! The network around a node as it changes: interfaces, the addresses others can reach it at, and beacons.

use std::net::SocketAddr;
use std::time::Duration;

use donp_core::{Engine, Instant};
use mio::{Registry, Token};

use super::Node;
use crate::error::NodeError;
use crate::lan::MulticastSockets;
use crate::socket::{Changes, Sockets};

/// An interface that appears gets its addresses one after the other: they are read this long after the first notice.
const SETTLES: Duration = Duration::from_millis(200);
/// And not more often than this: a machine that starts containers has many notices.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);
/// Without a notice the interfaces are read this often.
const LOOK_EVERY: Duration = Duration::from_secs(60);

pub(super) struct Network {
    lan: Option<MulticastSockets>,
    changes: Option<Changes>,
    /// What the user says others can reach this node at.
    announced: Vec<SocketAddr>,
    addresses: Vec<SocketAddr>,
    looked: Option<Instant>,
    /// When the interfaces are read next; none before the node is online.
    look_at: Option<Instant>,
}

impl Node {
    /// The system changed networks: every link is probed at once. On Linux the node notices by itself. Where
    /// only the app is informed, as on Android, the app calls this.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn network_changed(&self) -> Result<(), NodeError> {
        self.call(|w| {
            w.look_around();
            w.ask_again();
            w.engine.handle_network_change(w.now);
        })
    }

    /// Announces other addresses than before at which others can reach this node, in front of those of its sockets.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn set_announced(&self, announced: Vec<SocketAddr>) -> Result<(), NodeError> {
        self.call(|w| {
            w.network.announced = announced;
            w.look_around();
        })
    }
}

impl Network {
    pub(super) fn new(lan: Option<MulticastSockets>, announced: Vec<SocketAddr>) -> Self {
        Self { lan, changes: None, announced, addresses: Vec::new(), looked: None, look_at: None }
    }

    /// From now on it is looked at.
    pub(super) fn go_online(&mut self, registry: &Registry) {
        self.changes = Changes::open(registry);
    }

    /// Whether an address is one of this node's.
    pub(super) fn is_own(&self, addr: SocketAddr) -> bool {
        self.addresses.contains(&addr)
    }

    /// Where beacons go, in words.
    pub(super) fn places(&self) -> Vec<String> {
        self.lan.as_ref().map(MulticastSockets::places).unwrap_or_default()
    }

    /// Why nodes nearby may not be found.
    pub(super) fn error(&self) -> Option<String> {
        self.lan.as_ref().and_then(MulticastSockets::error)
    }

    pub(super) fn note(&mut self, token: Token) {
        match (&mut self.changes, &mut self.lan) {
            (Some(changes), _) if Changes::is(token) => changes.set_readable(),
            (_, Some(lan)) => lan.set_readable(token),
            _ => {}
        }
    }

    /// Whether a wake-up should happen at once because the last one used its budget.
    pub(super) fn has_more(&self) -> bool {
        self.changes.as_ref().is_some_and(Changes::has_more)
            || self.lan.as_ref().is_some_and(MulticastSockets::has_more)
    }

    /// When the interfaces are read next: after a notice soon, otherwise `patience` later than planned at most.
    pub(super) fn next_look(&self, patience: Duration) -> Option<Instant> {
        let is_planned = self.looked.is_some_and(|looked| self.look_at == Some(looked + LOOK_EVERY));
        self.look_at.map(|at| if is_planned { at + patience } else { at })
    }

    pub(super) fn receive(&mut self, engine: &mut Engine, now: Instant) {
        if let Some(lan) = &mut self.lan {
            lan.receive(&mut |from, bytes| engine.handle_beacon(now, from, bytes));
        }
        let Some(notice) = self.changes.as_mut().map(Changes::take).filter(|notice| notice.changed) else { return };
        if let Some(lan) = &mut self.lan {
            lan.forget(|index| notice.lost || index.is_some_and(|i| notice.gone.contains(&i)));
        }
        let soon = self.looked.map_or(now, |at| (at + AT_MOST_EVERY).max(now)) + SETTLES;
        self.look_at = Some(self.look_at.map_or(soon, |at| at.min(soon)));
    }

    pub(super) fn send(&self, beacon: &[u8]) {
        if let Some(lan) = &self.lan {
            lan.send(beacon);
        }
    }

    /// Reads the interfaces as they are. The engine learns which addresses there are, and that the network is another one if
    /// what leads out is. Whether it is.
    pub(super) fn look(&mut self, engine: &mut Engine, now: Instant, sockets: &Sockets, registry: &Registry) -> bool {
        (self.looked, self.look_at) = (Some(now), Some(now + LOOK_EVERY));
        if let Some(lan) = &mut self.lan {
            lan.refresh(&sockets.local().collect::<Vec<_>>(), registry);
        }
        let addresses = sockets.reachable(&self.announced);
        if addresses == self.addresses {
            return false;
        }
        log::info!("others may reach this node at {}", words(&addresses));
        let is_first = self.addresses.is_empty();
        let leads_elsewhere = best(&addresses) != best(&self.addresses);
        engine.handle_local_addresses(now, &addresses);
        self.addresses = addresses;
        if leads_elsewhere && !is_first {
            engine.handle_network_change(now);
        }
        leads_elsewhere
    }
}

/// The best address of each family.
fn best(addresses: &[SocketAddr]) -> [Option<SocketAddr>; 2] {
    [true, false].map(|is_v4| addresses.iter().copied().find(|a| a.is_ipv4() == is_v4))
}

fn words(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
