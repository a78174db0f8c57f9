//! Entries for fuzz targets: hostile bytes at every depth of the link layer.

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::config::Config;
use crate::contract::{Draw, Script};
use crate::fact::Fact;
use crate::identity::Identity;
use crate::link::frame::Frame;
use crate::link::generations::Exchange;
use crate::link::{In, Link, Out, Owner, frame, packet};
use crate::machine::{Cx, Machine, Outbox};
use crate::rng::Rng;
use crate::time::{Duration, Instant, WallTime};
use crate::wire::record::{RECORD_LEN, Reader};
use crate::wire::{Channel, Priority};

/// Reads a datagram's outer forms and its payloads; what is read must be written the same way.
pub fn fuzz_packet(data: &[u8]) {
    let _ = packet::kind(data);
    let _ = packet::macs(data);
    if let Ok(payload) = packet::InitPayload::decode(data) {
        assert_eq!(payload.encode(), data);
    }
    if let Ok(payload) = packet::RespPayload::decode(data) {
        assert_eq!(payload.encode(), data);
    }
    if let Ok(message) = Exchange::decode(data) {
        assert_eq!(message.encode(), data);
    }
    if let Ok(addr) = packet::take_addr(&mut Reader(data)) {
        let mut again = Vec::new();
        packet::put_addr(&mut again, addr);
        assert_eq!(Some(again.as_slice()), data.get(..packet::ADDR_LEN));
    }
}

/// Reads frames; what is read must be written the same way.
pub fn fuzz_frames(data: &[u8]) {
    frame::check_canonical(data);
}

struct Side {
    link: Link,
    rng: Rng,
    me: crate::id::NodeId,
    addr: SocketAddr,
    up: bool,
}

impl Side {
    fn new(n: u8, now: Instant) -> Option<Self> {
        let identity = Identity::generate([n; 64], "fuzz", WallTime(0)).ok()?;
        let (me, mut rng) = (identity.node_id(), Rng::new([n; 32]));
        let mut cx = Cx { now, wall: WallTime(1), me, rng: &mut rng };
        let link = Link::new(&Config::default(), &identity, &[], &mut cx, &mut Outbox::new()).ok()?;
        Some(Self { link, rng, me, addr: SocketAddr::from(([10, 0, 0, n], 4_000)), up: false })
    }

    /// Does one thing and returns what it wants to send.
    fn step(&mut self, now: Instant, input: Option<In>) -> Vec<(SocketAddr, Vec<u8>)> {
        self.run(now, |link, cx, out| match input {
            Some(input) => link.handle(cx, input, out),
            None => {
                link.handle_timeout(cx, out);
                assert!(link.next_deadline().is_none_or(|at| at > now), "a deadline in the past");
            }
        })
    }

    fn run(
        &mut self,
        now: Instant,
        f: impl FnOnce(&mut Link, &mut Cx<'_>, &mut Outbox<Out>),
    ) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut out = Outbox::new();
        let mut cx = Cx { now, wall: WallTime(1), me: self.me, rng: &mut self.rng };
        f(&mut self.link, &mut cx, &mut out);
        for o in out.take() {
            match o {
                Out::Fact(Fact::LinkUp { .. }) => {
                    assert!(!self.up, "up twice");
                    self.up = true;
                }
                Out::Fact(Fact::LinkDown { .. }) => {
                    assert!(self.up, "down without up");
                    self.up = false;
                }
                Out::Fact(Fact::LinkSuspected(_) | Fact::LinkRecovered(_)) => {
                    assert!(self.up, "suspicion without a link")
                }
                Out::Message { .. }
                | Out::Keyed { .. }
                | Out::Resolved { .. }
                | Out::Unreachable { .. }
                | Out::AddressNeeded(_)
                | Out::Observed { .. }
                | Out::Share(_)
                | Out::Fact(_) => {}
            }
        }
        let mut sent = Vec::new();
        while self.link.has_transmit() {
            match self.link.poll_transmit(&mut cx) {
                Some(packet) => sent.push(packet),
                None => break,
            }
        }
        assert!(self.link.footprint() < 20_000, "the tables grow");
        sent
    }
}

/// Two links with fixed seeds and what flies between them.
struct Pair {
    now: Instant,
    sides: [Side; 2],
    /// From, to, bytes; the oldest first.
    flying: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
}

impl Pair {
    fn new() -> Option<Self> {
        let now = Instant::from_micros(1);
        Some(Self { now, sides: [Side::new(1, now)?, Side::new(2, now)?], flying: Vec::new() })
    }

    fn step(&mut self, who: usize, input: Option<In>) {
        let Some(side) = self.sides.get_mut(who) else { return };
        let (sent, here) = (side.step(self.now, input), side.addr);
        self.fly(here, sent);
    }

    /// One side's network is another one.
    fn change_network(&mut self, who: usize) {
        let Some(side) = self.sides.get_mut(who) else { return };
        let sent = side.run(self.now, |link, cx, out| link.fact(cx, &Fact::NetworkChanged, out));
        let here = side.addr;
        self.fly(here, sent);
    }

    fn fly(&mut self, here: SocketAddr, sent: Vec<(SocketAddr, Vec<u8>)>) {
        self.flying.extend(sent.into_iter().map(|(to, bytes)| (here, to, bytes)));
        self.flying.truncate(256);
    }

    /// One operation of [`fuzz_link`].
    fn operate(&mut self, code: u8, arg: u8) {
        let who = usize::from(code & 1);
        let (Some(other), Some(me)) = (self.sides.get(1usize.saturating_sub(who)), self.sides.get(who)) else { return };
        let (peer, there, here) = (other.me, other.addr, me.addr);
        let at = usize::from(arg).checked_rem(self.flying.len()).unwrap_or(0);
        let input = match (code >> 1) % 10 {
            0 => {
                self.now = self.now + Duration::from_millis(1u64 << (arg % 18));
                None
            }
            1 => Some(In::Connect { addr: there, expect: None }),
            2 => Some(In::Want { peer, owner: Owner::Delivery }),
            3 => Some(In::Unwant { peer, owner: Owner::Delivery }),
            4 => {
                let body = alloc::vec![arg; usize::from(arg).saturating_mul(20)];
                Some(In::Send { to: peer, channel: Channel::Chat, priority: Priority::Normal, body })
            }
            5 => Some(In::Close { peer }),
            6 if at < self.flying.len() => {
                // Damaged: one bit of a place that the argument chooses.
                let (from, to, mut bytes) = self.flying.remove(at);
                let place = usize::from(arg).wrapping_mul(31).checked_rem(bytes.len()).unwrap_or(0);
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << (arg & 7);
                }
                self.flying.push((from, to, bytes));
                return;
            }
            7 if at < self.flying.len() => {
                self.flying.remove(at);
                return;
            }
            8 | 9 if at < self.flying.len() => {
                // Delivered; an even argument keeps a copy for a replay.
                let Some((from, to, bytes)) = self.flying.get(at).cloned() else { return };
                if arg & 1 == 1 {
                    self.flying.remove(at);
                }
                if to != here {
                    return;
                }
                Some(In::Datagram { from, bytes })
            }
            _ => return self.change_network(who),
        };
        self.step(who, input);
    }

    /// Delivers everything, oldest first, until nothing flies.
    fn settle(&mut self) {
        for _ in 0..64 {
            let Some((from, to, bytes)) = (!self.flying.is_empty()).then(|| self.flying.remove(0)) else { return };
            if let Some(who) = self.sides.iter().position(|s| s.addr == to) {
                self.step(who, Some(In::Datagram { from, bytes }));
            }
        }
    }

    /// A pair that is linked, each side wanting it.
    fn linked() -> Option<Self> {
        let mut pair = Self::new()?;
        let [a, b] = &pair.sides;
        let (addr, ids) = (b.addr, [b.me, a.me]);
        pair.step(0, Some(In::Connect { addr, expect: None }));
        pair.settle();
        for (who, peer) in ids.into_iter().enumerate() {
            pair.step(who, Some(In::Want { peer, owner: Owner::Delivery }));
        }
        pair.settle();
        pair.sides.iter().all(|s| s.up).then_some(pair)
    }

    /// `frames` from the first side to the second, well sealed whatever they say.
    fn sealed(&mut self, frames: &[u8]) -> Option<Vec<u8>> {
        let [peer, victim] = &mut self.sides;
        let session = &mut peer.link.links.get_mut(&victim.me)?.current;
        let mut packet = Vec::new();
        session.begin(&mut packet);
        packet.extend_from_slice(frames);
        session.seal(&mut packet)?;
        Some(packet)
    }
}

/// Two links with fixed seeds and an attacker between them that follows `data`: two bytes an operation.
pub fn fuzz_link(data: &[u8]) {
    let Some(mut pair) = Pair::new() else { return };
    for op in data.chunks_exact(2).take(2_000) {
        let &[code, arg] = op else { return };
        pair.operate(code, arg);
    }
}

/// A proven peer that keeps no rule: well-sealed packets with whatever frames `data` says.
pub fn fuzz_peer(data: &[u8]) {
    let pair = Pair::linked();
    assert!(pair.is_some(), "two honest links do not open");
    let Some(mut pair) = pair else { return };
    let mut draw = Draw::new(data);
    let (peer, home) = match &pair.sides {
        [first, _] => (first.me, first.addr),
    };
    let mut steps = 0u32;
    while !draw.is_empty() && steps < 2_000 {
        steps = steps.saturating_add(1);
        let input = match draw.below(10) {
            0 => {
                pair.now = pair.now + Duration::from_millis(1u64 << draw.below(18));
                None
            }
            1 => {
                let body = alloc::vec![7; usize::from(draw.byte()).saturating_mul(40)];
                Some(In::Send { to: peer, channel: Channel::Chat, priority: Priority::Normal, body })
            }
            2 => Some(In::Unwant { peer, owner: Owner::Delivery }),
            3 => Some(In::Want { peer, owner: Owner::Delivery }),
            way => {
                let frames = draw.bytes();
                let from = if way == 4 { draw.addr() } else { home };
                let Some(bytes) = pair.sealed(&frames) else { return };
                Some(In::Datagram { from, bytes })
            }
        };
        // The victim's answers are ignored.
        pair.step(1, input);
        pair.flying.clear();
    }
}

/// Seeds of [`fuzz_link`]: links that open, talk, lose, repeat, close and open again.
pub(crate) fn pair_seeds() -> Vec<Vec<u8>> {
    let (tick, connect, want, unwant, send, close, damage, lose, deliver, moved) =
        (0u8, 2u8, 4, 6, 8, 10, 12, 14, 16, 18);
    // Codes of the first side and their arguments; `b` makes one the second side's, 99 stands for
    // everything that flies.
    let b = |code: u8| code | 1;
    let settle = (99, 0);
    let open = [(connect, 0), settle];
    let plans: [&[(u8, u8)]; 9] = [
        &open,
        &[(want, 0), (b(want), 0), (send, 3), (b(send), 200), settle, (tick, 5), (b(tick), 5), settle],
        &[(send, 250), (send, 250), (b(deliver), 0), settle, (tick, 6), settle, (b(tick), 6), settle],
        &[(send, 9), (lose, 0), (tick, 9), settle, (tick, 10), settle, (b(tick), 8), settle],
        &[(send, 9), (damage, 77), settle, (tick, 8), settle, (b(deliver), 0), (deliver, 0)],
        &[(want, 0), (tick, 17), settle, (b(tick), 17), settle, (send, 4), settle, (tick, 17), settle],
        &[(close, 0), settle, (b(connect), 0), settle, (b(send), 1), settle, (b(close), 0), settle],
        &[(want, 0), (unwant, 0), (tick, 16), settle, (b(tick), 16), settle],
        &[(b(moved), 0), settle, (moved, 255), settle, (send, 40), settle],
    ];
    let mut seeds = Vec::new();
    for plan in plans {
        let Some(mut pair) = Pair::new() else { return seeds };
        let mut seed = Vec::new();
        let mut operate = |pair: &mut Pair, code: u8, arg: u8| {
            seed.extend_from_slice(&[code, arg]);
            pair.operate(code, arg);
        };
        for &(code, arg) in open.iter().chain(plan) {
            if (code, arg) != settle {
                operate(&mut pair, code, arg);
                continue;
            }
            for _ in 0..40 {
                // An odd argument takes the datagram away; 1 names the second, or the only one.
                let at = 1usize.checked_rem(pair.flying.len());
                let Some((_, to, _)) = at.and_then(|at| pair.flying.get(at)) else { break };
                let who = pair.sides.iter().position(|s| s.addr == *to).unwrap_or(0);
                operate(&mut pair, deliver | who as u8, 1);
            }
        }
        seeds.push(seed);
    }
    seeds
}

fn frames(list: &[Frame<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    list.iter().for_each(|f| f.encode(&mut out));
    out
}

/// Seeds of [`fuzz_frames`]: every frame, alone and together.
pub(crate) fn frame_seeds() -> Vec<Vec<u8>> {
    // The session by which the victim of `fuzz_peer` names what it receives, if there is one.
    let local = Pair::linked().and_then(|p| {
        let [peer, victim] = &p.sides;
        peer.link.links.get(&victim.me).map(|connection| connection.current.remote)
    });
    let session = local.unwrap_or(1);
    let ack = |runs: &[(u64, u64)]| {
        let ranges = runs.iter().copied().take(frame::ACK_RANGES).collect();
        Frame::Ack(frame::Ack { session, delay: 300, ranges })
    };
    let many: Vec<(u64, u64)> = (0..32u64).rev().map(|n| (n.saturating_mul(3), n.saturating_mul(3))).collect();
    let piece = [9; frame::PIECE];
    let fragment = |number: u32, start: u32| {
        let piece = piece.get(..750).unwrap_or(&[]);
        Frame::Fragment(frame::Fragment { number, channel: 4, total: 1_500, start, piece })
    };
    let message = |channel: u8, body| Frame::Message { channel, body };
    let lists: [&[Frame<'_>]; 19] = [
        &[Frame::Padding, Frame::Ping],
        &[ack(&[(0, 0)])],
        &[ack(&[(3, 9), (0, 1)])],
        &[ack(&many)],
        &[ack(&[(0, u64::MAX)])],
        &[Frame::PathChallenge([1; 8])],
        &[Frame::PathResponse([2; 8]), Frame::PathChallenge([3; 8])],
        &[message(1, b"membership"), message(2, b"delivery")],
        &[message(3, b"gossip"), message(4, b"chat")],
        &[message(0, b""), message(200, &[5; 300])],
        &[fragment(0, 0)],
        &[fragment(0, 750)],
        &[fragment(1, 700)],
        &[fragment(u32::MAX, 0)],
        &[Frame::Observed(SocketAddr::from(([8, 8, 8, 8], 9)))],
        &[Frame::Observed(SocketAddr::from(([0, 1, 2, 3, 4, 5, 6, 7], 9)))],
        &[Frame::Probe, Frame::Padding],
        &[Frame::Close(0)],
        &[Frame::Ping, ack(&[(1, 2)]), message(4, b"together"), Frame::Close(1)],
    ];
    lists.into_iter().map(frames).collect()
}

/// Seeds of [`fuzz_peer`]: each list of frames alone, then all with time and traffic between.
pub(crate) fn peer_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let mut all = Script::default();
    for frames in frame_seeds() {
        let mut one = Script::default();
        one.put(&[1, 60]).put(&[5]).bytes(&frames).put(&[0, 5]).put(&[4]).bytes(&frames).put(&[2, 0, 12]);
        seeds.push(one.0);
        if frames.first() != frame_seeds().iter().rev().nth(1).and_then(|close| close.first()) {
            all.put(&[5]).bytes(&frames).put(&[1, 9, 0, 4]);
        }
    }
    seeds.push(all.0);
    seeds
}

/// Seeds of [`fuzz_packet`]: the datagrams of a real link, and the payloads inside.
pub(crate) fn packet_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let Some(mut pair) = Pair::new() else { return seeds };
    let [a, b] = &pair.sides;
    let (to, peer) = (b.addr, b.me);
    if let Ok(record) = <[u8; RECORD_LEN]>::try_from(a.link.keys.record.encode().as_slice()) {
        let (stamp, epoch) = (packet::Stamp(7), packet::Epoch { boot: 2, incarnation: 3 });
        seeds.push(packet::InitPayload { record, stamp, epoch, generation: 0 }.encode());
    }
    let key = crate::crypto::kem::encapsulation_key(&[7; 64]);
    if let Some((ciphertext, _)) = crate::crypto::kem::encapsulate(&key, &mut Rng::new([9; 32])) {
        seeds.push(Exchange::Offer { generation: 1, key: &key }.encode());
        seeds.push(Exchange::Answer { generation: 1, offer: [1; 8], ciphertext: &ciphertext }.encode());
        seeds.push(Exchange::Decline { generation: 1, off: true }.encode());
    }
    for observed in [to, SocketAddr::from(([0, 1, 2, 3, 4, 5, 6, 7], 9))] {
        let epoch = packet::Epoch { boot: 1, incarnation: 2 };
        seeds.push(packet::RespPayload { index: 5, observed, record_seq: 6, epoch }.encode());
        let mut addr = Vec::new();
        packet::put_addr(&mut addr, observed);
        seeds.push(addr);
    }
    pair.step(0, Some(In::Connect { addr: to, expect: Some(peer) }));
    for _ in 0..12 {
        seeds.extend(pair.flying.first().map(|(_, _, bytes)| bytes.clone()));
        let Some((from, to, bytes)) = (!pair.flying.is_empty()).then(|| pair.flying.remove(0)) else { break };
        let who = pair.sides.iter().position(|s| s.addr == to).unwrap_or(0);
        pair.step(who, Some(In::Datagram { from, bytes }));
    }
    seeds
}

/// Seeds of the machine's contract: a real handshake in either direction, then traffic.
pub(crate) fn machine_seeds() -> Vec<Vec<u8>> {
    [false, true].into_iter().filter_map(machine_seed).collect()
}

fn machine_seed(called: bool) -> Option<Vec<u8>> {
    let mut rng = Rng::fork(&[7; 32], Link::NAME);
    let (identity, config) = (crate::contract::who(0), Config::default());
    let (me, now) = (identity.node_id(), Instant::from_micros(1_000_000));
    let mut cx = Cx { now, wall: WallTime(1_000), me, rng: &mut rng };
    let mut link = Link::new(&config, &identity, &[], &mut cx, &mut Outbox::new()).ok()?;
    let mut other = Side::new(1, now)?;
    let here = SocketAddr::from(([10, 0, 0, 0], 4_000));
    let mut script = Script::default();
    let mut arriving = Vec::new();
    if called {
        arriving.extend(other.step(now, Some(In::Connect { addr: here, expect: None })));
    } else {
        script.put(&[0, 2, 1, 1]);
        link.handle(
            &mut Cx { now, wall: WallTime(1_000), me, rng: &mut rng },
            In::Connect { addr: other.addr, expect: None },
            &mut Outbox::new(),
        );
    }
    for _ in 0..12 {
        for (_, bytes) in core::mem::take(&mut arriving) {
            script.put(&[0, 0, 1]).bytes(&bytes);
            let input = In::Datagram { from: other.addr, bytes };
            link.handle(&mut Cx { now, wall: WallTime(1_000), me, rng: &mut rng }, input, &mut Outbox::new());
        }
        let mut cx = Cx { now, wall: WallTime(1_000), me, rng: &mut rng };
        while let Some((_, bytes)) = link.poll_transmit(&mut cx) {
            arriving.extend(other.step(now, Some(In::Datagram { from: here, bytes })));
        }
        if other.up && arriving.is_empty() {
            break;
        }
    }
    let body = alloc::vec![1; 2_000];
    let said = other.step(now, Some(In::Send { to: me, channel: Channel::Chat, priority: Priority::Normal, body }));
    for (_, bytes) in said {
        script.put(&[0, 0, 1]).bytes(&bytes);
    }
    // Want and Learn of another, Send, time, a change of the network, Close, Shut, Open.
    script.put(&[0, 4, 1, 0]).put(&[0, 3, 2, 2, 0]).put(&[0, 4, 2, 1]).put(&[0, 6, 1]).bytes(b"hello");
    script.put(&[210]).put(&[240, 40]).put(&[0, 8]).put(&[250, 255]).put(&[0, 7, 1]).put(&[0, 10, 0]).put(&[0, 9]);
    other.up.then_some(script.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn seeds_open_real_links() {
        assert!(Pair::linked().is_some());
        assert_eq!(machine_seeds().len(), 2);
        let kinds: Vec<u8> = packet_seeds().iter().filter_map(|s| packet::kind(s).ok()).collect();
        for kind in [packet::RECORD_REQUEST, packet::RECORD_REPLY, packet::INIT, packet::RESP, packet::DATA] {
            assert!(kinds.contains(&kind), "{kind} of {kinds:?}");
        }
        assert!(frame_seeds().iter().all(|s| frame::well_formed(s)));
        for seed in pair_seeds() {
            let mut pair = Pair::new().unwrap();
            let ups = seed.chunks_exact(2).filter(|op| {
                pair.operate(op[0], op[1]);
                pair.sides.iter().all(|s| s.up)
            });
            assert!(ups.count() > 0, "{seed:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn any_operations_keep_the_laws(data in prop::collection::vec(any::<u8>(), 0..400)) {
            fuzz_link(&data);
            fuzz_peer(&data);
            fuzz_packet(&data);
            fuzz_frames(&data);
        }
    }
}
