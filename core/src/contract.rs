//! One suite and one fuzz harness for every machine: what `Machine` promises, checked under inputs
//! drawn from bytes.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{Debug, Write};
use core::net::SocketAddr;
use core::time::Duration;

use crate::chat::wire::{id_key, message_id};
use crate::chat::{self, Chat};
use crate::collections::short;
use crate::config::{Config, NodeType};
use crate::delivery::{self, Delivery};
use crate::discovery::beacon::{Beacon, beacon_key};
use crate::discovery::{self, Discovery};
use crate::fact::{DownReason, MemberState};
use crate::gossip::{self, Gossip};
use crate::id::{MessageId, NodeId};
use crate::identity::Identity;
use crate::link::{self, Link, Owner};
use crate::machine::{Cx, Emit, Machine, Outbox};
use crate::membership::{self, Membership};
use crate::rng::Rng;
use crate::store::{Record, Table};
use crate::swim::{self, Swim};
use crate::time::{Instant, WallTime};
use crate::wire::content::private_conversation;
use crate::wire::record::NodeRecord;
use crate::wire::ticket::Bootstrap;
use crate::wire::{Channel, Lane};

/// Choices drawn from bytes; zeros when they run out.
pub(crate) struct Draw<'a> {
    rest: &'a [u8],
    /// Ids already made: each costs two multiplications on the curve.
    peers: [Option<NodeId>; PEERS as usize],
}

/// How many peers with real keys the harnesses know.
const PEERS: u8 = 8;

impl<'a> Draw<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, peers: [None; PEERS as usize] }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let (first, rest) = self.rest.split_first().unwrap_or((&0, &[]));
        self.rest = rest;
        *first
    }

    pub(crate) fn below(&mut self, n: u8) -> u8 {
        self.byte().checked_rem(n).unwrap_or(0)
    }

    /// A byte of length, or 255 and two bytes of length, then so many bytes: [`Script::bytes`].
    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        let len = match self.byte() {
            255 => u16::from_le_bytes([self.byte(), self.byte()]),
            len => u16::from(len),
        };
        let len = usize::from(len).min(self.rest.len());
        let (head, rest) = self.rest.split_at_checked(len).unwrap_or((&[], &[]));
        self.rest = rest;
        head.to_vec()
    }

    /// One of the peers with real keys.
    pub(crate) fn peer(&mut self) -> NodeId {
        let n = self.below(PEERS);
        match self.peers.get_mut(usize::from(n)) {
            Some(known) => *known.get_or_insert_with(|| who(n).node_id()),
            None => who(n).node_id(),
        }
    }

    pub(crate) fn addr(&mut self) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, self.below(8)], 4_000))
    }

    fn id(&mut self) -> [u8; 16] {
        [self.below(8); 16]
    }
}

/// What a [`Draw`] reads, written: for seeds of the fuzz targets.
#[derive(Clone, Default)]
pub(crate) struct Script(pub Vec<u8>);

impl Script {
    /// Choices of a byte each.
    pub(crate) fn put(&mut self, choices: &[u8]) -> &mut Self {
        self.0.extend_from_slice(choices);
        self
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        match u8::try_from(len) {
            Ok(short) if short < 255 => self.0.push(short),
            Ok(_) | Err(_) => {
                self.0.push(255);
                self.0.extend_from_slice(&len.to_le_bytes());
            }
        }
        self.0.extend(bytes.iter().take(usize::from(len)));
        self
    }
}

/// The identity numbered `n` of all harnesses.
pub(crate) fn who(n: u8) -> Identity {
    // The name is valid, so the fall-back is never reached; there is no panic in this crate.
    match Identity::generate([n; 64], "fuzz", WallTime(1)) {
        Ok(identity) => identity,
        Err(_) => who(n),
    }
}

/// What the suite needs to know of a machine.
pub(crate) trait Contract: Machine + Sized
where
    Self::In: Debug,
    Self::Out: Debug,
{
    /// The most entries it may ever hold with the default limits.
    const MOST: usize;
    fn fresh(rng: &mut Rng) -> Self;
    fn draw(draw: &mut Draw<'_>) -> Self::In;
    /// Takes what the machine gives otherwise than through its outbox, after every step.
    fn drain(&mut self, _cx: &mut Cx<'_>, _transcript: &mut String) {}
}

/// Feeds a machine what `bytes` say and checks the laws after every step. Returns a transcript.
pub(crate) fn check<M: Contract>(bytes: &[u8]) -> Result<String, String>
where
    M::In: Debug,
    M::Out: Debug,
{
    let mut rng = Rng::fork(&[7; 32], M::NAME);
    let mut machine = M::fresh(&mut rng);
    let mut out = Outbox::new();
    let mut transcript = String::new();
    let mut now = Instant::from_micros(1_000_000);
    let mut draw = Draw::new(bytes);
    let me = who(0).node_id();
    while !draw.is_empty() {
        let what = draw.byte();
        let mut cx = Cx { now, wall: WallTime(1_000), me, rng: &mut rng };
        if what < 200 {
            machine.handle(&mut cx, M::draw(&mut draw), &mut out);
        } else if let Some(due) = machine.next_deadline() {
            early(&mut machine, &mut cx, due, &mut out)?;
            // To the deadline, or up to about a minute beyond it.
            let late = if what < 230 { 0 } else { u64::from(draw.byte()).saturating_mul(250) };
            now = now.max(due) + Duration::from_millis(late);
            cx.now = now;
            machine.handle_timeout(&mut cx, &mut out);
            if let Some(next) = machine.next_deadline().filter(|next| *next <= now) {
                return Err(alloc::format!("{}: law 1: due at {next:?} after a time-out at {now:?}", M::NAME));
            }
        }
        while let Some(emit) = out.pop() {
            let _ = match emit {
                Emit::Now(o) => writeln!(transcript, "{now:?} {o:?}"),
                Emit::Committed(o) => writeln!(transcript, "{now:?} later {o:?}"),
                Emit::Store(op) => writeln!(transcript, "{now:?} {op:?}"),
            };
        }
        let mut cx = Cx { now, wall: WallTime(1_000), me, rng: &mut rng };
        machine.drain(&mut cx, &mut transcript);
        if machine.footprint() > M::MOST {
            let held = machine.footprint();
            return Err(alloc::format!("{}: law 3: it holds {held} entries, more than {}", M::NAME, M::MOST));
        }
    }
    Ok(transcript)
}

/// Law 1, second half: a time-out before the deadline does nothing.
fn early<M: Contract>(machine: &mut M, cx: &mut Cx<'_>, due: Instant, out: &mut Outbox<M::Out>) -> Result<(), String>
where
    M::In: Debug,
    M::Out: Debug,
{
    if due <= cx.now {
        return Ok(());
    }
    machine.handle_timeout(cx, out);
    if out.pop().is_some() || machine.next_deadline() != Some(due) {
        return Err(alloc::format!("{}: an early time-out changed something", M::NAME));
    }
    Ok(())
}

impl Contract for Delivery {
    const MOST: usize = 200_000;

    fn fresh(rng: &mut Rng) -> Self {
        Self::new(&Config::default(), rng)
    }

    fn draw(d: &mut Draw<'_>) -> delivery::In {
        match d.below(7) {
            0 | 1 => {
                let id = MessageId([d.byte(); 32]);
                delivery::In::Submit { to: d.peer(), id, body: d.bytes() }
            }
            2 => delivery::In::Stored { to: d.peer(), order: u64::from(d.byte()) },
            3 => delivery::In::PeerUp(d.peer()),
            4 => delivery::In::PeerDown(d.peer()),
            5 => delivery::In::Message { from: d.peer(), body: d.bytes() },
            _ => delivery::In::Taken { from: d.peer(), id: d.id(), accepted: d.below(2) == 0 },
        }
    }
}

impl Contract for Gossip {
    const MOST: usize = 200_000;

    fn fresh(rng: &mut Rng) -> Self {
        Self::new(&Config::default(), rng)
    }

    fn draw(d: &mut Draw<'_>) -> gossip::In {
        match d.below(9) {
            8 => gossip::In::Measured(alloc::vec![(d.peer(), Duration::from_millis(u64::from(d.byte()) * 40))]),
            0 => gossip::In::PeerUp(d.peer()),
            1 => gossip::In::PeerDown(d.peer()),
            2 => gossip::In::Message { from: d.peer(), body: d.bytes() },
            3 => gossip::In::Publish { body: d.bytes() },
            4 => gossip::In::LinkUp(d.peer()),
            5 => gossip::In::LinkDown(d.peer()),
            6 => gossip::In::Zone((d.below(3) > 0).then(|| (0..4).map(|_| d.peer()).collect())),
            _ => {
                // The verdict on a body, by the id that the machine gives it.
                let id = short(blake3::hash(&d.bytes()).as_bytes());
                gossip::In::Verdict { id, genuine: d.below(2) == 0 }
            }
        }
    }
}

impl Contract for Swim {
    /// Both halves of the roster, as many rumours, links and timers, and what is under way.
    const MOST: usize = 1_500;

    fn fresh(_rng: &mut Rng) -> Self {
        Self::new(&Config::default())
    }

    fn draw(d: &mut Draw<'_>) -> swim::In {
        match d.below(16) {
            0 | 1 => swim::In::LinkUp { peer: d.peer(), addr: d.addr() },
            2 => swim::In::LinkDown(d.peer()),
            3 => swim::In::LinkSuspect(d.peer()),
            4 => swim::In::Moved { peer: d.peer(), addr: d.addr() },
            5 => swim::In::NeighbourUp(d.peer()),
            6 => swim::In::NeighbourDown(d.peer()),
            7 => swim::In::Estimate(usize::from(d.byte()).saturating_mul(4)),
            8 => swim::In::Probe(d.peer()),
            9 => match d.below(4) {
                0 => swim::In::Leave,
                1 => swim::In::Suspend,
                _ => swim::In::Resume,
            },
            10 | 11 => swim::In::Message { from: d.peer(), body: d.bytes() },
            // No bytes would guess the ids of others.
            12..15 => {
                let (from, member, incarnation) = (d.peer(), d.peer(), u32::from(d.below(4)));
                let update = swim::wire::Update { member, incarnation, claim: claim(d) };
                let (seq, updates) = (u32::from(d.below(16)), alloc::vec![update]);
                let message = match d.below(5) {
                    0 => swim::wire::Message::Ping { seq, updates },
                    1 => swim::wire::Message::Ack { seq, updates },
                    2 => swim::wire::Message::Nack { seq, updates },
                    3 => swim::wire::Message::Request { seq, target: d.peer(), updates },
                    _ => swim::wire::Message::Sync { ask: d.below(2) == 0, roster: updates },
                };
                swim::In::Message { from, body: message.encode() }
            }
            // Many that do not exist.
            _ => {
                let (from, first, count) = (d.peer(), d.byte(), d.byte());
                let made_up = |n: u8| swim::wire::Update {
                    member: NodeId([first.wrapping_add(n); 32]),
                    incarnation: u32::from(n),
                    claim: swim::wire::Claim::Alive { addrs: Vec::new() },
                };
                let message = swim::wire::Message::Sync { ask: true, roster: (0..count).map(made_up).collect() };
                swim::In::Message { from, body: message.encode() }
            }
        }
    }
}

fn claim(d: &mut Draw<'_>) -> swim::wire::Claim {
    match d.below(5) {
        0 => swim::wire::Claim::Alive { addrs: alloc::vec![d.addr()] },
        1 => swim::wire::Claim::Suspect { by: d.peer() },
        2 => swim::wire::Claim::Down { by: d.peer() },
        3 => swim::wire::Claim::Left,
        _ => swim::wire::Claim::Away,
    }
}

impl Contract for Chat {
    /// Three trees of a comparison, and 20,000.
    const MOST: usize = 3 * 65_536 + 20_000;

    fn fresh(_rng: &mut Rng) -> Self {
        Self::new(&Config::default(), &who(0))
    }

    fn draw(d: &mut Draw<'_>) -> chat::In {
        match d.below(11) {
            10 => chat::In::CompareAll,
            0 => {
                let (from, body) = (d.peer(), d.bytes());
                // Most carry the id that the body has; no input could guess it.
                let key = id_key(private_conversation(who(0).node_id(), from), from);
                let id = if d.below(4) == 3 { d.id() } else { short(&message_id(&key, &body).0) };
                chat::In::Carried { from, id, body }
            }
            1 => chat::In::Flooded { via: d.peer(), id: d.id(), body: d.bytes() },
            2 => chat::In::Message { from: d.peer(), body: d.bytes() },
            3 => chat::In::LinkUp(d.peer()),
            4 => chat::In::LinkDown(d.peer()),
            5 => chat::In::NeighbourUp(d.peer()),
            6 => chat::In::NeighbourDown(d.peer()),
            8 => chat::In::Compare { peer: d.peer(), linked: d.below(2) == 0 },
            9 => chat::In::Resumed,
            _ => {
                let record = Record { table: Table::Log, key: d.bytes(), value: d.bytes() };
                chat::In::Records { read: u64::from(d.byte()), records: alloc::vec![record] }
            }
        }
    }
}

fn record(n: u8) -> NodeRecord {
    NodeRecord::sign(&who(n), [n; 32], u64::from(n), WallTime(0), NodeType::Regular)
}

impl Contract for Membership {
    const MOST: usize = 1_000;

    fn fresh(_rng: &mut Rng) -> Self {
        Self::new(&Config::default(), &who(0))
    }

    fn draw(d: &mut Draw<'_>) -> membership::In {
        let expect = |d: &mut Draw<'_>| (d.below(2) == 0).then(|| d.peer());
        match d.below(20) {
            16 => {
                let at = usize::from(d.below(5));
                let state = MemberState::ALL.get(at).copied().unwrap_or(MemberState::Down);
                membership::In::Member { peer: d.peer(), state }
            }
            17 => membership::In::Zone(usize::from(d.byte())),
            18 => membership::In::Compared(d.peer()),
            19 => membership::In::Contact(alloc::vec![d.peer()]),
            0 => {
                let addr = d.addr();
                membership::In::Join(alloc::vec![Bootstrap { addr, id: expect(d) }])
            }
            1 => membership::In::Leave,
            2 | 3 => {
                let n = d.below(8);
                membership::In::LinkUp { peer: who(n).node_id(), record: record(n), addr: d.addr() }
            }
            4 => membership::In::LinkDown { peer: d.peer(), reason: DownReason::Timeout },
            5 => membership::In::Resolved { addr: d.addr(), peer: d.peer() },
            6 => membership::In::Unreachable { addr: d.addr(), expect: expect(d), wrong_node: d.below(2) == 0 },
            7 => membership::In::Moved { peer: d.peer(), addr: d.addr() },
            8 => membership::In::Observed { by: d.peer(), addr: d.addr() },
            9 => membership::In::Message { from: d.peer(), body: d.bytes() },
            10 => membership::In::NetworkChanged,
            11 => membership::In::Suspect(d.peer()),
            12 => membership::In::Stranger(d.peer()),
            13 => membership::In::Back(d.peer()),
            14 => membership::In::Found { addr: d.addr(), id: expect(d) },
            _ => {
                let rtt = Some(Duration::from_millis(u64::from(d.byte())));
                membership::In::Measured(alloc::vec![(d.peer(), d.below(2) == 0, rtt)])
            }
        }
    }
}

impl Contract for Discovery {
    const MOST: usize = 512;

    fn fresh(_rng: &mut Rng) -> Self {
        let mut config = Config::default();
        config.discovery.beacons = true;
        Self::new(&config)
    }

    fn draw(d: &mut Draw<'_>) -> discovery::In {
        match d.below(8) {
            0 => discovery::In::Enter,
            1 => discovery::In::Leave,
            2 => discovery::In::LocalAddresses(alloc::vec![d.addr()]),
            3 => discovery::In::NetworkChanged,
            4 => discovery::In::LocalPeer { id: (d.below(2) == 0).then(|| d.peer()), addr: d.addr() },
            5 => discovery::In::Beacon { from: d.addr(), bytes: d.bytes() },
            // Genuine ones, which no input could guess.
            _ => {
                let id = (d.below(2) == 0).then(|| d.peer());
                let beacon = Beacon { ports: [u16::from(d.below(3)), 0], tag: d.id(), id };
                let key = beacon_key(&[d.below(8) / 7; 32]);
                discovery::In::Beacon { from: d.addr(), bytes: beacon.encode(&key) }
            }
        }
    }
}

impl Contract for Link {
    const MOST: usize = 20_000;

    fn fresh(rng: &mut Rng) -> Self {
        let (me, config) = (who(0), Config::default());
        let mut out = Outbox::new();
        let mut cx = Cx { now: Instant::ZERO, wall: WallTime(1_000), me: me.node_id(), rng };
        // Nothing stored is always readable; there is no panic in this crate.
        match Self::new(&config, &me, &[], &mut cx, &mut out) {
            Ok(link) => link,
            Err(_) => Self::fresh(rng),
        }
    }

    fn draw(d: &mut Draw<'_>) -> link::In {
        let owner = |d: &mut Draw<'_>| match d.below(3) {
            0 => Owner::Membership,
            1 => Owner::Delivery,
            _ => Owner::Swim,
        };
        match d.below(12) {
            0 | 1 => link::In::Datagram { from: d.addr(), bytes: d.bytes() },
            2 => {
                let addr = d.addr();
                link::In::Connect { addr, expect: (d.below(2) == 0).then(|| d.peer()) }
            }
            3 => {
                let n = d.below(8);
                link::In::Learn { peer: who(n).node_id(), record: Some(record(n)), addrs: alloc::vec![d.addr()] }
            }
            4 => link::In::Want { peer: d.peer(), owner: owner(d) },
            5 => link::In::Unwant { peer: d.peer(), owner: owner(d) },
            6 => link::In::Send { to: d.peer(), channel: Channel::Chat, lane: Lane::Normal, body: d.bytes() },
            7 => link::In::Close { peer: d.peer() },
            8 => link::In::NetworkChanged,
            9 => link::In::Open,
            11 => link::In::Measure,
            _ => {
                if d.below(4) == 0 {
                    link::In::Shut
                } else {
                    link::In::Open
                }
            }
        }
    }

    fn drain(&mut self, cx: &mut Cx<'_>, transcript: &mut String) {
        while let Some((to, bytes)) = self.poll_transmit(cx) {
            let _ = writeln!(transcript, "{:?} to {to}: {bytes:02x?}", cx.now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    fn keeps<M: Contract>(bytes: &[u8])
    where
        M::In: Debug,
        M::Out: Debug,
    {
        let once = check::<M>(bytes).unwrap();
        assert_eq!(once, check::<M>(bytes).unwrap(), "law 2");
    }

    proptest! {
        #[test]
        fn link_keeps_its_contract(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            keeps::<Link>(&bytes);
        }

        #[test]
        fn membership_keeps_its_contract(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            keeps::<Membership>(&bytes);
        }

        #[test]
        fn discovery_keeps_its_contract(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            keeps::<Discovery>(&bytes);
        }

        #[test]
        fn delivery_keeps_its_contract(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            keeps::<Delivery>(&bytes);
        }

        #[test]
        fn gossip_keeps_its_contract(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            keeps::<Gossip>(&bytes);
        }

        #[test]
        fn swim_keeps_its_contract(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            keeps::<Swim>(&bytes);
        }

        #[test]
        fn chat_keeps_its_contract(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            keeps::<Chat>(&bytes);
        }
    }
}
