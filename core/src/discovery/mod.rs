//! Finding nodes on the same local network, with no configuration (docs/design/overlay.md §5).
//!
//! A node announces itself by multicast: three times soon after it joins, wakes up or changes the
//! network, then every half a minute. A node that observes another for the first time answers, also by
//! multicast: a datagram to the shared port would reach only one of several nodes on a machine. A beacon
//! is a hint of an address to try; the handshake proves the identity.
//!
//! The host owns the sockets. It may find nodes by other means too (Bonjour, a Bluetooth beacon) and reports
//! them with `LocalPeer`.

pub(crate) mod beacon;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
mod contract;
mod observed;
mod schedule;

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::config::{Config, DiscoveryConfig};
use crate::discovery::beacon::{Beacon, NoBeacon, Tag, beacon_key};
use crate::discovery::observed::{Observed, Sender};
use crate::discovery::schedule::Schedule;
use crate::fact::Fact;
use crate::id::NodeId;
use crate::machine::{Cx, Machine, Outbox, Setup};
use crate::stats::{DropReason, Drops, Stats};
use crate::store::Record;
use crate::time::{Duration, Instant};
use crate::wire::Malformed;
use crate::wire::reach::{canonical, is_near};

/// A node that missed so many beacons may have another address.
const MISSED: u32 = 3;
/// How long a tag is used: a day (docs/design/overlay.md §5).
const TAG_LIFETIME: Duration = Duration::from_secs(86_400);

#[derive(Debug)]
pub(crate) enum In {
    /// A datagram on the group's sockets.
    Beacon { from: SocketAddr, bytes: Vec<u8> },
    /// The host found a node nearby by its own means.
    LocalPeer { id: Option<NodeId>, addr: SocketAddr },
}

#[derive(Debug)]
pub(crate) enum Out {
    /// To the multicast group.
    Beacon(Vec<u8>),
    /// A node may be reachable there.
    Found { addr: SocketAddr, id: Option<NodeId> },
}

pub(crate) struct Discovery {
    config: DiscoveryConfig,
    key: [u8; 32],
    running: bool,
    ports: [u16; 2],
    local: Vec<SocketAddr>,
    tag: Option<Tag>,
    tag_until: Instant,
    /// The tag before: its last beacon may still come back.
    old_tag: Option<Tag>,
    schedule: Schedule,
    observed: Observed,
    drops: Drops,
}

impl Discovery {
    fn new(config: &Config) -> Self {
        Self {
            config: config.discovery.clone(),
            key: beacon_key(&config.network_key),
            running: false,
            ports: [0; 2],
            local: Vec::new(),
            tag: None,
            tag_until: Instant::ZERO,
            old_tag: None,
            schedule: Schedule::default(),
            observed: Observed::new(config.limits.lan_nodes),
            drops: Drops::default(),
        }
    }

    fn may_send(&self) -> bool {
        self.config.beacons && self.running && self.ports != [0; 2]
    }

    /// Starts the schedule again: nodes may be near that do not know this one.
    fn restart(&mut self, now: Instant) {
        if self.may_send() {
            self.schedule.start(now);
        } else {
            self.schedule.stop();
        }
    }

    fn send_beacon(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let tag = match self.tag.filter(|_| cx.now < self.tag_until) {
            Some(tag) => tag,
            None => {
                self.old_tag = self.tag;
                self.tag_until = cx.now + TAG_LIFETIME;
                *self.tag.insert(cx.rng.bytes())
            }
        };
        let id = self.config.visible.then_some(cx.me);
        out.push(Out::Beacon(Beacon { ports: self.ports, tag, id }.encode(&self.key)));
    }

    fn on_beacon(&mut self, from: SocketAddr, bytes: &[u8], cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if !self.running || !self.config.beacons {
            return;
        }
        let beacon = match Beacon::decode(bytes, &self.key) {
            Ok(beacon) => beacon,
            Err(NoBeacon::Malformed) => return self.drops.count(DropReason::Malformed),
            Err(NoBeacon::OtherNetwork) => return self.drops.count(DropReason::OtherNetwork),
        };
        // The group's own loop brings every beacon back, once for each interface.
        let own = [self.tag, self.old_tag].contains(&Some(beacon.tag));
        if own || beacon.id == Some(cx.me) {
            return;
        }
        // Its address is the only thing that a beacon says of its sender, and any node can write that.
        if !is_near(from.ip(), &self.local) {
            return self.drops.count(DropReason::OtherNetwork);
        }
        if !self.observed.within_rate(from.ip(), cx.now) {
            return self.drops.count(DropReason::Rate);
        }
        let Some(addr) = beacon.address(from) else { return };
        let expiry = self.config.every.saturating_mul(MISSED);
        match self.observed.beacon(beacon.tag, addr, expiry, cx.now) {
            Sender::OtherWay => return,
            Sender::New if self.may_send() => self.schedule.answer(self.observed.nodes(), cx),
            // One that does not answer over one family may do so over the other.
            Sender::New | Sender::NewWay | Sender::Known => {}
        }
        out.push(Out::Found { addr, id: beacon.id });
    }
}

impl Machine for Discovery {
    const NAME: &'static str = "discovery";
    type In = In;
    type Out = Out;

    fn open(
        setup: Setup<'_>,
        _records: Vec<Record>,
        _cx: &mut Cx<'_>,
        _out: &mut Outbox<Out>,
    ) -> Result<Self, Malformed> {
        Ok(Self::new(setup.config))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other facts concern others")]
    fn fact(&mut self, cx: &mut Cx<'_>, fact: &Fact, _out: &mut Outbox<Out>) {
        match fact {
            // This node wants to be found.
            Fact::Joined => {
                self.running = true;
                self.restart(cx.now);
            }
            Fact::Left => {
                self.running = false;
                self.observed.forget_nodes();
                self.restart(cx.now);
            }
            Fact::LinkUp { peer, addr, .. } | Fact::AddressChanged { peer, addr } => self.observed.linked(*peer, *addr),
            Fact::LinkDown { peer, .. } => self.observed.unlinked(*peer),
            Fact::LocalAddresses(addrs) => {
                // Link-local ones count here: a beacon over IPv6 comes from one.
                let port = |v4: bool| addrs.iter().find(|a| a.is_ipv4() == v4).map_or(0, SocketAddr::port);
                let ports = [port(true), port(false)];
                self.local.clone_from(addrs);
                if ports != self.ports {
                    self.ports = ports;
                    self.restart(cx.now);
                }
            }
            Fact::NetworkChanged => {
                // Under the same tag the device would be recognised in the other network.
                self.tag_until = cx.now;
                self.observed.forget_nodes();
                self.restart(cx.now);
            }
            _ => {}
        }
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: In, out: &mut Outbox<Out>) {
        match input {
            In::Beacon { from, bytes } => self.on_beacon(from, &bytes, cx, out),
            In::LocalPeer { id, addr } => {
                if self.running && id != Some(cx.me) {
                    out.push(Out::Found { addr: canonical(addr), id });
                }
            }
        }
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.schedule.take_due(self.config.every, cx) {
            self.send_beacon(cx, out);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.schedule.next_deadline()
    }

    fn pressing_deadline(&self) -> Option<Instant> {
        self.schedule.pressing_deadline()
    }

    fn footprint(&self) -> usize {
        self.observed.len()
    }

    fn count(&self, stats: &mut Stats) {
        stats.drops.add(&self.drops);
    }

    #[cfg(any(test, debug_assertions))]
    fn check(&self) -> Result<(), &'static str> {
        self.observed.check()
    }
}

#[cfg(test)]
mod tests;
