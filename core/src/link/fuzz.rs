//! Entries for fuzz targets: hostile bytes at every depth of the link layer.

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::config::Config;
use crate::identity::Identity;
use crate::link::{In, Link, Out, Owner, frame, packet};
use crate::machine::{Cx, Machine, Outbox};
use crate::rng::Rng;
use crate::time::{Duration, Instant, WallTime};
use crate::wire::record::Reader;
use crate::wire::{Channel, Lane};

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
        Some(Self { link, rng, me, addr: SocketAddr::from(([10, 0, 0, n], 1)), up: false })
    }

    /// Does one thing and returns what it wants to send.
    fn step(&mut self, now: Instant, input: Option<In>) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut out = Outbox::new();
        let mut cx = Cx { now, wall: WallTime(1), me: self.me, rng: &mut self.rng };
        match input {
            Some(input) => self.link.handle(&mut cx, input, &mut out),
            None => {
                self.link.handle_timeout(&mut cx, &mut out);
                assert!(self.link.next_deadline().is_none_or(|at| at > now), "a deadline in the past");
            }
        }
        for o in out.take() {
            match o {
                Out::Up { .. } => {
                    assert!(!self.up, "up twice");
                    self.up = true;
                }
                Out::Down { .. } => {
                    assert!(self.up, "down without up");
                    self.up = false;
                }
                Out::Message { .. }
                | Out::Resolved { .. }
                | Out::Unreachable { .. }
                | Out::Moved { .. }
                | Out::Observed { .. } => {}
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

/// Two links with fixed seeds and somebody between them who follows `data`: two bytes an operation.
pub fn fuzz_link(data: &[u8]) {
    let mut now = Instant::from_micros(1);
    let (Some(a), Some(b)) = (Side::new(1, now), Side::new(2, now)) else { return };
    let mut sides = [a, b];
    let mut flying: Vec<(SocketAddr, SocketAddr, Vec<u8>)> = Vec::new();
    for op in data.chunks_exact(2).take(2_000) {
        let &[code, arg] = op else { return };
        let who = usize::from(code & 1);
        let (Some(other), Some(me)) = (sides.get(1usize.saturating_sub(who)), sides.get(who)) else { return };
        let (peer, there, here) = (other.me, other.addr, me.addr);
        let at = usize::from(arg).checked_rem(flying.len()).unwrap_or(0);
        let input = match (code >> 1) % 10 {
            0 => {
                now = now + Duration::from_millis(1u64 << (arg % 18));
                None
            }
            1 => Some(In::Connect { addr: there, expect: None }),
            2 => Some(In::Want { peer, owner: Owner::Delivery }),
            3 => Some(In::Unwant { peer, owner: Owner::Delivery }),
            4 => {
                let body = alloc::vec![arg; usize::from(arg).saturating_mul(20)];
                Some(In::Send { to: peer, channel: Channel::Chat, lane: Lane::Normal, body })
            }
            5 => Some(In::Close { peer }),
            6 if at < flying.len() => {
                // Damaged: one bit of a place that the argument chooses.
                let (from, to, mut bytes) = flying.remove(at);
                let place = usize::from(arg).wrapping_mul(31).checked_rem(bytes.len()).unwrap_or(0);
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << (arg & 7);
                }
                flying.push((from, to, bytes));
                continue;
            }
            7 if at < flying.len() => {
                flying.remove(at);
                continue;
            }
            8 | 9 if at < flying.len() => {
                // Delivered; an even argument keeps a copy for a replay.
                let Some((from, to, bytes)) = flying.get(at).cloned() else { continue };
                if arg & 1 == 1 {
                    flying.remove(at);
                }
                if to != here {
                    continue;
                }
                Some(In::Datagram { from, bytes })
            }
            _ => Some(In::NetworkChanged),
        };
        let Some(side) = sides.get_mut(who) else { return };
        let sent = side.step(now, input);
        flying.extend(sent.into_iter().map(|(to, bytes)| (here, to, bytes)));
        flying.truncate(256);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn any_operations_keep_the_laws(data in prop::collection::vec(any::<u8>(), 0..400)) {
            fuzz_link(&data);
            fuzz_packet(&data);
            fuzz_frames(&data);
        }
    }
}
