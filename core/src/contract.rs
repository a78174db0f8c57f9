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
use crate::fact::DownReason;
use crate::gossip::{self, Gossip};
use crate::id::{MessageId, NodeId};
use crate::identity::Identity;
use crate::link::{self, Link, Owner};
use crate::machine::{Cx, Emit, Machine, Outbox};
use crate::membership::{self, Membership};
use crate::rng::Rng;
use crate::store::{Record, Table};
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
        match d.below(5) {
            0 => gossip::In::PeerUp(d.peer()),
            1 => gossip::In::PeerDown(d.peer()),
            2 => gossip::In::Message { from: d.peer(), body: d.bytes() },
            3 => gossip::In::Publish { body: d.bytes() },
            _ => {
                // The verdict on a body, by the id that the machine gives it.
                let id = short(blake3::hash(&d.bytes()).as_bytes());
                gossip::In::Verdict { id, genuine: d.below(2) == 0 }
            }
        }
    }
}

impl Contract for Chat {
    /// Three trees of a comparison, and 20,000.
    const MOST: usize = 3 * 65_536 + 20_000;

    fn fresh(_rng: &mut Rng) -> Self {
        Self::new(&Config::default(), &who(0))
    }

    fn draw(d: &mut Draw<'_>) -> chat::In {
        match d.below(10) {
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
            8 => chat::In::Compare(d.peer()),
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
        match d.below(14) {
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
            _ => membership::In::Back(d.peer()),
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
        let owner = |d: &mut Draw<'_>| if d.below(2) == 0 { Owner::Membership } else { Owner::Delivery };
        match d.below(11) {
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
        fn delivery_keeps_its_contract(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            keeps::<Delivery>(&bytes);
        }

        #[test]
        fn gossip_keeps_its_contract(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            keeps::<Gossip>(&bytes);
        }

        #[test]
        fn chat_keeps_its_contract(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            keeps::<Chat>(&bytes);
        }
    }
}
