//! Finding nodes on the same local network, with no configuration (docs/design/overlay.md §5).
//!
//! A node says by multicast that it is there: three times soon after it enters, wakes up or comes into
//! another network, then every half a minute. Whoever hears of it for the first time answers, also by
//! multicast: a datagram to the shared port would reach only one of several nodes on a machine. What a
//! beacon says is a hint where to try; the handshake proves who is there.
//!
//! The host owns the sockets. It may find nodes by other means too (Bonjour, a Bluetooth beacon) and says
//! so with `LocalPeer`.

pub(crate) mod beacon;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
mod contract;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::config::{Config, DiscoveryConfig};
use crate::fact::Fact;
use crate::id::NodeId;
use crate::machine::{Cx, Machine, Outbox, Setup};
use crate::stats::{DropReason, Drops, Stats};
use crate::store::Record;
use crate::time::{Duration, Instant, micros, soonest};
use crate::wire::Malformed;

use beacon::{Beacon, NoBeacon, Tag, beacon_key};

/// Pauses before the first beacons: at 0, 2 and 6 s (docs/design/overlay.md §5).
const SOON: [Duration; 3] = [Duration::ZERO, Duration::from_secs(2), Duration::from_secs(4)];
/// Least time between an answer and the beacon before it: 5 answers a second (docs/design/overlay.md §5).
const BETWEEN: Duration = Duration::from_millis(200);
/// An answer waits a random time of up to this for each node heard, so that a whole local network sends
/// twenty answers a second to a newcomer, however many there are.
const SPREAD: Duration = Duration::from_millis(50);
/// Longest wait for an answer: the newcomer's own next beacons have come by then.
const MOST_SPREAD: Duration = Duration::from_secs(5);
/// Beacons a second from one address: as many nodes on one machine may answer a newcomer in that time
/// before one of theirs is missed, and it comes again.
const SOURCE_RATE: u32 = 16;
/// A node that missed so many beacons may have another address.
const MISSED: u32 = 3;
/// How long a tag is used: a day (docs/design/overlay.md §5).
const TAG_LIFE: Duration = Duration::from_secs(86_400);

#[derive(Debug)]
pub(crate) enum In {
    /// A datagram on the group's sockets.
    Beacon { from: SocketAddr, bytes: Vec<u8> },
    /// The host found a node nearby by its own means.
    LocalPeer { id: Option<NodeId>, addr: SocketAddr },
}

#[derive(Debug)]
pub(crate) enum Out {
    /// To everybody on the local network.
    Beacon(Vec<u8>),
    /// Somebody may be there.
    Found { addr: SocketAddr, id: Option<NodeId> },
}

/// A node whose beacon was heard.
struct Heard {
    addr: SocketAddr,
    at: Instant,
}

/// What an address sent in the current second.
struct Source {
    since: Instant,
    beacons: u32,
}

pub(crate) struct Discovery {
    config: DiscoveryConfig,
    most: usize,
    key: [u8; 32],
    running: bool,
    ports: [u16; 2],
    tag: Option<Tag>,
    tag_until: Instant,
    /// The tag before: its last beacon may still come back.
    old_tag: Option<Tag>,
    /// Beacons of the current schedule, as far as they are counted.
    step: usize,
    beacon_at: Option<Instant>,
    answer_at: Option<Instant>,
    sent: Instant,
    heard: BTreeMap<Tag, Heard>,
    sources: BTreeMap<IpAddr, Source>,
    drops: Drops,
}

impl Discovery {
    fn new(config: &Config) -> Self {
        Self {
            config: config.discovery.clone(),
            most: config.limits.lan_nodes,
            key: beacon_key(&config.network_key),
            running: false,
            ports: [0; 2],
            tag: None,
            tag_until: Instant::ZERO,
            old_tag: None,
            step: 0,
            beacon_at: None,
            answer_at: None,
            sent: Instant::ZERO,
            heard: BTreeMap::new(),
            sources: BTreeMap::new(),
            drops: Drops::default(),
        }
    }

    fn may_speak(&self) -> bool {
        self.config.beacons && self.running && self.ports != [0; 2]
    }

    /// Begins the schedule again: somebody may be near who does not know.
    fn begin(&mut self, now: Instant) {
        self.step = 0;
        self.answer_at = None;
        self.beacon_at = self.may_speak().then_some(now);
    }

    /// The pause before the next beacon of the schedule.
    fn pause(&mut self, cx: &mut Cx<'_>) -> Duration {
        self.step = self.step.saturating_add(1);
        SOON.get(self.step).copied().unwrap_or_else(|| cx.rng.jitter(self.config.every, 20))
    }

    fn speak(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let tag = match self.tag.filter(|_| cx.now < self.tag_until) {
            Some(tag) => tag,
            None => {
                self.old_tag = self.tag;
                self.tag_until = cx.now + TAG_LIFE;
                *self.tag.insert(cx.rng.bytes())
            }
        };
        let id = self.config.visible.then_some(cx.me);
        out.push(Out::Beacon(Beacon { ports: self.ports, tag, id }.encode(&self.key)));
        self.sent = cx.now;
        self.answer_at = None;
    }

    /// Answers somebody who is new here, unless the schedule does so as soon.
    fn answer(&mut self, cx: &mut Cx<'_>) {
        if !self.may_speak() || self.answer_at.is_some() {
            return;
        }
        let nodes = u32::try_from(self.heard.len()).unwrap_or(u32::MAX);
        let spread = SPREAD.saturating_mul(nodes).min(MOST_SPREAD);
        let wait = cx.rng.below(usize::try_from(micros(spread)).unwrap_or(usize::MAX));
        let at = (cx.now + Duration::from_micros(wait as u64)).max(self.sent + BETWEEN);
        self.answer_at = self.beacon_at.is_none_or(|scheduled| at < scheduled).then_some(at);
    }

    fn within_rate(&mut self, from: IpAddr, now: Instant) -> bool {
        let second = Duration::from_secs(1);
        if self.sources.len() >= self.most && !self.sources.contains_key(&from) {
            self.sources.retain(|_, s| now.since(s.since) < second);
            if self.sources.len() >= self.most {
                return false;
            }
        }
        let source = self.sources.entry(from).or_insert(Source { since: now, beacons: 0 });
        if now.since(source.since) >= second {
            *source = Source { since: now, beacons: 0 };
        }
        source.beacons = source.beacons.saturating_add(1);
        source.beacons <= SOURCE_RATE
    }

    fn listen(&mut self, from: SocketAddr, bytes: &[u8], cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
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
        if !self.within_rate(from.ip(), cx.now) {
            return self.drops.count(DropReason::Rate);
        }
        let Some(addr) = beacon.place(from) else { return };
        let gone = self.config.every.saturating_mul(MISSED);
        let heard = Heard { addr, at: cx.now };
        match self.heard.get_mut(&beacon.tag) {
            // The same node on another interface or over the other family: one way to it is enough.
            Some(known) if known.addr != addr && cx.now.since(known.at) < gone => return,
            Some(known) => *known = heard,
            None => {
                if self.heard.len() >= self.most
                    && let Some((_, tag)) = self.heard.iter().map(|(tag, h)| (h.at, *tag)).min()
                {
                    self.heard.remove(&tag);
                }
                self.heard.insert(beacon.tag, heard);
                self.answer(cx);
            }
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
                self.begin(cx.now);
            }
            Fact::Left => {
                self.running = false;
                self.heard.clear();
                self.begin(cx.now);
            }
            Fact::LocalAddresses(addrs) => {
                let port = |v4: bool| addrs.iter().find(|a| a.is_ipv4() == v4).map_or(0, SocketAddr::port);
                let ports = [port(true), port(false)];
                if ports != self.ports {
                    self.ports = ports;
                    self.begin(cx.now);
                }
            }
            Fact::NetworkChanged => {
                // Under the same tag the device would be known again in the other network.
                self.tag_until = cx.now;
                self.heard.clear();
                self.begin(cx.now);
            }
            _ => {}
        }
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: In, out: &mut Outbox<Out>) {
        match input {
            In::Beacon { from, bytes } => self.listen(from, &bytes, cx, out),
            In::LocalPeer { id, addr } => {
                if self.running && id != Some(cx.me) {
                    out.push(Out::Found { addr, id });
                }
            }
        }
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= cx.now);
        let scheduled = due(self.beacon_at);
        if !scheduled && !due(self.answer_at) {
            return;
        }
        if scheduled {
            let pause = self.pause(cx);
            self.beacon_at = Some(cx.now + pause);
        }
        self.speak(cx, out);
    }

    fn next_deadline(&self) -> Option<Instant> {
        soonest(self.beacon_at, self.answer_at)
    }

    fn footprint(&self) -> usize {
        self.heard.len().saturating_add(self.sources.len())
    }

    fn count(&self, stats: &mut Stats) {
        stats.drops.add(&self.drops);
    }

    #[cfg(any(test, debug_assertions))]
    fn check(&self) -> Result<(), &'static str> {
        match self.heard.len() <= self.most && self.sources.len() <= self.most {
            true => Ok(()),
            false => Err("more nodes or sources than the limit"),
        }
    }
}

#[cfg(test)]
mod tests;
