//! An attacker on the path that changes, repeats and invents datagrams, against whole nodes.

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use common::{check_told, converge, grow};
use donp_core::DropReason;
use donp_sim::{Seen, Sim, SimRng};

/// Addresses that the attacker of the first test has.
const FOREIGN: u64 = 64;

/// Reasons for which a link drops datagrams that its peer did not make.
const LINK: [DropReason; 7] = [
    DropReason::Malformed,
    DropReason::Mac,
    DropReason::HandshakeRate,
    DropReason::Stale,
    DropReason::UnknownSession,
    DropReason::Decrypt,
    DropReason::Replay,
];

/// Bytes that each address of the attacker sent and received.
#[derive(Default)]
struct Ledger(BTreeMap<SocketAddr, (usize, usize)>);

impl Ledger {
    /// An address of no node; a datagram sent to it proves nothing.
    fn foreign(n: u64) -> SocketAddr {
        SocketAddr::from(([198, 18 + (n >> 16 & 1) as u8, (n >> 8) as u8, n as u8], 4_000))
    }

    fn inject(&mut self, sim: &mut Sim, node: usize, from: SocketAddr, bytes: &[u8]) {
        if from.ip().to_string().starts_with("198.") {
            self.0.entry(from).or_default().0 += bytes.len();
        }
        sim.with(node, |engine, now| engine.handle_datagram(now, from, bytes));
    }

    fn read(&mut self, seen: &[Seen]) {
        for s in seen {
            if let Some((_, got)) = self.0.get_mut(&s.to) {
                *got += s.bytes.len();
            }
        }
    }

    fn check(&self, replay: &str) {
        let more = self.0.iter().filter(|(_, (sent, got))| got > sent).collect::<Vec<_>>();
        let answered = self.0.is_empty() || self.0.values().any(|(_, got)| *got > 0);
        assert!(answered, "no node answered: there is nothing to measure; {replay}");
        assert!(more.is_empty(), "more went to these than came from them: {more:?}; {replay}");
    }
}

/// A hostile copy of one of `seen`.
fn twisted(rng: &mut SimRng, seen: &[Seen]) -> Seen {
    let pick = |rng: &mut SimRng| seen[rng.below(seen.len() as u64) as usize].clone();
    let mut copy = pick(rng);
    let bytes = &mut copy.bytes;
    let at = rng.below(bytes.len() as u64) as usize;
    match rng.below(5) {
        0 => {
            for _ in 0..=rng.below(8) {
                let bit = rng.below(bytes.len() as u64 * 8) as usize;
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
        1 => bytes.truncate(at),
        2 => {
            let other = pick(rng).bytes;
            bytes.truncate(at);
            bytes.extend_from_slice(&other[at.min(other.len())..]);
        }
        3 => bytes.extend_from_slice(&pick(rng).bytes[..20]),
        // Unchanged: a replay.
        _ => {}
    }
    copy
}

fn drops(sim: &Sim, reason: DropReason) -> u64 {
    (0..3).map(|n| sim.node(n).engine().stats().drops.get(reason)).sum()
}

fn entries(sim: &Sim) -> usize {
    (0..3).map(|n| sim.node(n).engine().status().entries).sum()
}

/// Three nodes chat for 100 rounds. An attacker that sees all of it injects `a_round` hostile copies in
/// each, also of datagrams that have not arrived yet. No message is lost by any of them.
fn chat_under(seed: u64, a_round: usize) -> Sim {
    let mut sim = Sim::new(seed);
    sim.tap = Some(Vec::new());
    grow(&mut sim, 3);
    let mut rng = SimRng::new(seed ^ 0xbad);
    let mut ledger = Ledger::default();
    let mut memory: Vec<Seen> = Vec::new();
    for round in 0..100usize {
        let n = round % 3;
        sim.broadcast(n, &format!("all {round}")).unwrap();
        sim.send(n, (n + 1) % 3, &format!("one {round}")).unwrap();
        let mut left = a_round;
        // Samples 20 times in a virtual second.
        sim.run_until(1, |sim| {
            let seen = sim.tap.replace(Vec::new()).unwrap_or_default();
            ledger.read(&seen);
            memory.extend(seen);
            // The handshakes at the beginning, and the most recent datagrams.
            let excess = memory.len().saturating_sub(400);
            memory.drain(40.min(excess)..40.min(excess) + excess);
            for _ in 0..left.min(a_round.div_ceil(20)) {
                left -= 1;
                let copy = twisted(&mut rng, &memory);
                let from = if rng.chance(0.5) { copy.from } else { Ledger::foreign(rng.below(FOREIGN)) };
                let to = (0..3).find(|n| sim.node(*n).addr == copy.to && rng.chance(0.8));
                let to = to.unwrap_or(rng.below(3) as usize);
                ledger.inject(sim, to, from, &copy.bytes);
            }
            false
        });
        assert_eq!(left, 0);
    }
    converge(&mut sim, &[0, 1, 2], 100, 60);
    let delivered = sim.run_until(60, |s| (0..3).map(|n| s.node(n).delivered.len()).sum::<usize>() == 100);
    assert!(delivered, "a private message was not delivered; {}", sim.replay());
    for n in 0..3 {
        check_told(&sim, n);
        let own = (0..100).filter(|round| round % 3 == n).count();
        let private = (0..100).filter(|round| (round + 1) % 3 == n).count();
        assert_eq!(sim.node(n).told.len(), 100 - own + private, "{}", sim.replay());
    }
    ledger.read(&sim.tap.take().unwrap_or_default());
    ledger.check(&sim.replay());
    sim
}

#[test]
fn ten_thousand_altered_datagrams_lose_and_leave_nothing() {
    for seed in Sim::seeds(200..203) {
        let (quiet, sim) = (chat_under(seed, 0), chat_under(seed, 100));
        // A copy that came before its datagram was accepted as it, and the datagram was the repeat. Only
        // repeatable requests are answered instead of counted.
        let counted: u64 = LINK.iter().map(|reason| drops(&sim, *reason) - drops(&quiet, *reason)).sum();
        assert!((9_900..=10_000).contains(&counted), "{counted} drops; {}", sim.replay());
        for reason in LINK {
            // An Init that is repeated later is answered once a second, and nothing comes of it.
            let rare = [DropReason::HandshakeRate, DropReason::Stale];
            let seen = drops(&sim, reason) > 0 || rare.contains(&reason);
            assert!(seen, "nothing was dropped as {}; {}", reason.name(), sim.replay());
        }
        // Of an unknown address two things are kept for a while: its budget and its last answer.
        let bound = entries(&quiet) + 3 * 2 * FOREIGN as usize;
        assert!(entries(&sim) <= bound, "{} entries, more than {bound}; {}", entries(&sim), sim.replay());
    }
}

/// What an attacker can make from a node's public record: an Init whose `mac1` is valid.
/// Layout: docs/spec/link.md.
fn forged_init(rng: &mut SimRng, link_key: &[u8; 32], like: &[u8]) -> Vec<u8> {
    let mut bytes = like.to_vec();
    let macs = bytes.len() - 32;
    for byte in &mut bytes[2..macs] {
        *byte = rng.u64() as u8;
    }
    let key = blake3::derive_key("DONP v1 link mac1", link_key);
    let mac = *blake3::keyed_hash(&key, &bytes[..macs]).as_bytes();
    bytes[macs..macs + 16].copy_from_slice(&mac[..16]);
    bytes[macs + 16..].fill(0);
    bytes
}

#[test]
fn a_newcomer_joins_during_a_flood_of_forged_handshakes() {
    const FORGED: u64 = 100_000;
    let mut sim = Sim::new(201);
    sim.tap = Some(Vec::new());
    grow(&mut sim, 3);
    let seen = sim.tap.replace(Vec::new()).unwrap_or_default();
    let victim = sim.node(0).addr;
    // Byte 0 is the type: 6 is a RecordReply, its link key 32 bytes into the record at 18; 1 an Init.
    let reply = seen.iter().find(|s| s.bytes[0] == 6 && s.from == victim).unwrap();
    let link_key: [u8; 32] = reply.bytes[50..82].try_into().unwrap();
    let init = seen.iter().find(|s| s.bytes[0] == 1 && s.to == victim).unwrap().bytes.clone();
    let mut rng = SimRng::new(202);
    let mut ledger = Ledger::default();
    let newcomer = sim.add_node();
    let mut sent = 0;
    let mut joined = None;
    // 100,000 in five seconds; the newcomer begins after one.
    let all = sim.run_until(6, |sim| {
        ledger.read(&sim.tap.replace(Vec::new()).unwrap_or_default());
        for _ in 0..1_000 {
            let forged = forged_init(&mut rng, &link_key, &init);
            ledger.inject(sim, 0, Ledger::foreign(sent % 10_000), &forged);
            sent += 1;
        }
        if sent == 20_000 {
            sim.start(newcomer, &[0]);
        }
        if joined.is_none() && sim.linked(newcomer) > 0 {
            joined = Some(sent);
        }
        sent == FORGED
    });
    assert!(all && joined.is_some_and(|at| at < FORGED), "joined at {joined:?}; {}", sim.replay());
    // The newcomer's first attempt was asked for a cookie like all others.
    let cookie = 1;
    let dropped = drops(&sim, DropReason::HandshakeRate) + drops(&sim, DropReason::Handshake);
    assert_eq!(dropped, FORGED + cookie, "{}", sim.replay());
    // Two tables of 4,096 entries each limit handshakes; the rest is what three nodes hold anyway.
    let held = sim.node(0).engine().footprint();
    assert!(held < 2 * 4_096 + 200, "{held} entries; {}", sim.replay());
    sim.run_for(3);
    ledger.read(&sim.tap.take().unwrap_or_default());
    ledger.check(&sim.replay());
    let sent = sim.broadcast(newcomer, "made it").is_ok();
    assert!(sent && sim.run_until(10, |s| (0..3).all(|n| s.node(n).told.len() == 1)), "{}", sim.replay());
}
