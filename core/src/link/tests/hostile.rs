//! Attacks by strangers, eavesdroppers and hostile peers (docs/design/reliability.md §1 and §2).

use super::*;
use crate::collections::OrderedSet;
use crate::link::cookie::{mac, mac1_key};
use crate::link::half_open::HalfOpen;
use crate::link::noise::{Handshake, IK_PSK2, KeyPair};
use crate::link::packet::{DATA, INIT, INIT_LEN, RESP, VERSION};
use crate::link::session::MAX_PACKETS;
use crate::wire::record::NodeRecord;
use alloc::vec;
use proptest::prelude::*;

/// The first packet of `kind` that flew.
fn captured(net: &Net, kind: u8) -> (SocketAddr, SocketAddr, Vec<u8>) {
    net.log.iter().find(|(_, _, b)| b[0] == kind).cloned().unwrap()
}

fn inject(net: &mut Net, node: usize, from: SocketAddr, bytes: Vec<u8>) {
    net.input(node, In::Datagram { from, bytes });
}

/// Replaces the mac1 of a handshake packet, which needs only the public key.
fn remac(bytes: &mut [u8], public: &[u8; 32]) {
    let at = bytes.len() - 32;
    let m = mac(&mac1_key(public), &bytes[..at]);
    bytes[at..at + 16].copy_from_slice(&m);
}

// snow RUSTSEC-2024-0011.
#[test]
fn forged_packets_between_genuine_ones_change_nothing() {
    let mut net = Net::new(2, 1);
    net.link();
    net.send(0, 1, vec![1]);
    net.run(100);
    let good = net.log.iter().rev().find(|(from, _, b)| b[0] == DATA && *from == addr(1)).cloned().unwrap().2;
    let before = net.nodes[1].link.state_digest();
    for n in 0..10_000u64 {
        let mut forged = good.clone();
        forged[6..14].copy_from_slice(&(n * 7 + 100).to_le_bytes());
        inject(&mut net, 1, addr(1), forged);
    }
    assert_eq!(net.nodes[1].link.state_digest(), before);
    assert_eq!(net.nodes[1].link.drops.get(DropReason::Decrypt), 10_000);
    net.send(0, 1, vec![2]);
    net.run(100);
    assert_eq!(net.nodes[1].bodies, [vec![1], vec![2]]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_are_survived(
        packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1_300), 0..40),
        kind in 0u8..8,
    ) {
        let mut net = Net::new(2, 2);
        net.link();
        for mut bytes in packets {
            if let [first, second, ..] = bytes.as_mut_slice() {
                (*first, *second) = (kind, VERSION);
            }
            inject(&mut net, 0, addr(7), bytes.clone());
            use packet::{COOKIE_LEN, RECORD_REPLY_LEN, RECORD_REQUEST_LEN, RESP_LEN};
            for len in [INIT_LEN, RESP_LEN, COOKIE_LEN, RECORD_REQUEST_LEN, RECORD_REPLY_LEN] {
                bytes.resize(len, 3);
                inject(&mut net, 0, addr(7), bytes.clone());
            }
        }
        net.send(0, 1, vec![1]);
        net.run(1_000);
        prop_assert_eq!(&net.nodes[1].bodies, &[vec![1]]);
        prop_assert!(net.log.iter().all(|(_, to, _)| *to != addr(7)), "a stranger was answered");
    }

    #[test]
    fn a_changed_packet_changes_nothing(at: prop::sample::Index, by in 1u8..=255) {
        let mut net = Net::new(2, 3);
        net.input(0, In::Connect { addr: addr(2), expect: None });
        // Before anything arrived: every packet of the opening, each changed in one byte.
        let mut kinds = OrderedSet::new();
        for _ in 0..6 {
            let Some((&key, (from, to, bytes))) = net.flying.iter().next() else { break };
            kinds.insert(bytes[0]);
            let (from, to, bytes) = (*from, *to, bytes.clone());
            let node = usize::from(to == addr(2));
            let mut forged = bytes.clone();
            let n = at.index(forged.len());
            forged[n] ^= by;
            // mac2 is judged only under load; the padding of a request is not looked at.
            let tail = matches!(forged[0], INIT | RESP) && n >= forged.len() - 16;
            // A reply's cookie is its own affair; its token and record are judged.
            let cookie = forged[0] == packet::RECORD_REPLY && n >= forged.len() - 16;
            let free = tail || cookie || forged[0] == packet::RECORD_REQUEST;
            if !free {
                let before = net.nodes[node].link.state_digest();
                let (now, wall) = (net.now, net.wall);
                net.nodes[node].handle(now, wall, In::Datagram { from, bytes: forged });
                prop_assert_eq!(net.nodes[node].link.state_digest(), before, "type {} byte {}", bytes[0], n);
            }
            net.flying.remove(&key);
            net.step_to(key.0);
            inject(&mut net, node, from, bytes);
        }
        prop_assert!([INIT, RESP, DATA, packet::RECORD_REPLY].iter().all(|k| kinds.contains(k)), "{kinds:?}");
    }
}

#[test]
fn no_edited_byte_of_a_handshake_ever_gives_a_session() {
    let mut net = Net::new(2, 4);
    let (peer, record) = (net.nodes[1].id, net.nodes[1].link.record().clone());
    let keys = [net.nodes[0].link.record().link_key, record.link_key];
    net.input(0, In::AddAddresses { peer, record: Some(record), addrs: vec![addr(2)], told: false });
    net.input(0, In::Want { peer, owner: Owner::Membership });
    let (_, _, init) = captured(&net, INIT);
    net.flying.clear();
    let before = net.nodes[1].link.state_digest();
    for at in 0..INIT_LEN - 32 {
        let mut forged = init.clone();
        forged[at] ^= 1;
        remac(&mut forged, &keys[1]);
        // Once a second, so that each is really looked at and none ends at the rate limit.
        let later = net.now + Duration::from_secs(1);
        let (now, wall) = (later, net.wall);
        net.nodes[1].handle(now, wall, In::Datagram { from: addr(1), bytes: forged });
        net.now = now;
    }
    assert_eq!(net.nodes[1].link.state_digest(), before);
    assert_eq!(net.nodes[1].link.drops.get(DropReason::HandshakeRate), 0);
    inject(&mut net, 1, addr(1), init);
    let (_, _, resp) = captured(&net, RESP);
    let before = net.nodes[0].link.state_digest();
    for at in 0..resp.len() - 32 {
        let mut forged = resp.clone();
        forged[at] ^= 1;
        remac(&mut forged, &keys[0]);
        let (now, wall) = (net.now, net.wall);
        net.nodes[0].handle(now, wall, In::Datagram { from: addr(2), bytes: forged });
    }
    assert_eq!(net.nodes[0].link.state_digest(), before);
    inject(&mut net, 0, addr(2), resp);
    assert_eq!(net.nodes[0].ups(), 1, "the true one still works");
}

#[test]
fn a_replayed_init_does_not_disturb_an_open_link() {
    let mut net = Net::new(2, 5);
    net.link();
    net.want_both();
    let (_, _, init) = captured(&net, INIT);
    let session = |net: &mut Net| alloc::format!("{:?}", net.connection(1, 0));
    let before = session(&mut net);
    for n in 0..1_000u32 {
        let from = if n % 2 == 0 { addr(1) } else { SocketAddr::from(([10, 1, (n >> 8) as u8, n as u8], 9)) };
        let (now, wall) = (net.now, net.wall);
        net.nodes[1].handle(now, wall, In::Datagram { from, bytes: init.clone() });
        // Cookies for the rest: they keep nothing.
        net.nodes[1].link.transmit.datagrams.clear();
    }
    assert_eq!(session(&mut net), before);
    assert_eq!(net.nodes[1].link.half_open.len(), 1, "one answer a second, which its sender cannot use");
    assert!(net.nodes[1].link.drops.get(DropReason::Stale) > 0);
    net.run(3_600_000);
    inject(&mut net, 1, addr(1), init.clone());
    net.run(1_000);
    assert_eq!(net.nodes[1].ups(), 1);
    // After a restart nothing is remembered: it is answered, and nothing comes of it.
    let disk = net.nodes[1].disk.clone();
    net.nodes[1] = Node::start(2, 77, &Config::default(), disk, net.now, net.wall);
    for _ in 0..1_000 {
        inject(&mut net, 1, addr(1), init.clone());
    }
    assert!(net.nodes[1].link.half_open.len() <= 4);
    net.nodes.remove(0);
    net.run(20_000);
    assert_eq!((net.nodes[0].ups(), net.nodes[0].link.half_open.len()), (0, 0));
    // A node that it was not meant for does not even know the key.
    let mut other = Net::new(3, 6);
    inject(&mut other, 2, addr(1), init);
    assert_eq!(other.nodes[2].link.drops.get(DropReason::Mac), 1);
}

/// Breaks if an Init whose stamp does not rise is always answered, or never.
#[test]
fn older_inits_are_answered_once_a_second_to_each_address() {
    let mut net = Net::new(2, 25);
    for seed in 0..4 {
        let disk = net.nodes[0].disk.clone();
        net.nodes[0] = Node::start(1, seed, &Config::default(), disk, net.now, net.wall);
        net.input(0, In::Connect { addr: addr(2), expect: None });
        net.run(1_000);
    }
    let inits: Vec<Vec<u8>> = net.log.iter().filter(|(_, _, b)| b[0] == INIT).map(|(_, _, b)| b.clone()).collect();
    assert_eq!(inits.len(), 4);
    let mut answered = Vec::new();
    for from in [addr(1), addr(1), addr(9)] {
        for init in &inits[..3] {
            inject(&mut net, 1, from, init.clone());
        }
        answered.push(net.nodes[1].link.half_open.len());
        if answered.len() == 1 {
            continue;
        }
        net.run(400);
    }
    assert_eq!(answered, [1, 1, 2]);
    net.run(30_000);
    assert_eq!(net.nodes[1].ups(), 4, "nothing comes of them");
}

// hpke-rs-rust-crypto RUSTSEC-2026-0072: the points of order 1, 2, 4 and 8, and other encodings of them.
const LOW_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

#[test]
fn points_of_low_order_are_refused_in_every_message() {
    for text in LOW_ORDER {
        let bytes: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect();
        let point: [u8; 32] = bytes.try_into().unwrap();
        let (a, b) = (KeyPair::new([1; 32]), KeyPair::new([2; 32]));
        let new = |initiator: bool, s: &KeyPair, rs| {
            Handshake::new(&IK_PSK2, initiator, b"", Some(s.clone()), rs, [0; 32]).unwrap()
        };
        let mut to_point = new(true, &a, Some(point));
        assert!(to_point.write([3; 32], b"", &mut Vec::new()).is_err(), "as the responder's static key");
        let mut first = Vec::new();
        let mut i = new(true, &a, Some(b.public));
        i.write([3; 32], b"", &mut first).unwrap();
        let mut forged = first.clone();
        forged[..32].copy_from_slice(&point);
        assert!(new(false, &b, None).read(&forged).is_err(), "as the initiator's ephemeral key");
        let mut r = new(false, &b, None);
        r.read(&first).unwrap();
        let mut second = Vec::new();
        r.write([4; 32], b"", &mut second).unwrap();
        second[..32].copy_from_slice(&point);
        assert!(i.read(&second).is_err(), "as the responder's ephemeral key");
    }
}

// hpke-rs RUSTSEC-2026-0071: a counter at its end.
#[test]
fn a_counter_at_its_end_renews_the_key_and_never_wraps() {
    let mut net = Net::new(2, 7);
    net.link();
    net.run(1_000);
    net.connection(0, 1).current.send_next = MAX_PACKETS - 2;
    net.log.clear();
    let numbers = |net: &Net| -> Vec<u64> {
        let data = net.log.iter().filter(|(from, _, b)| *from == addr(1) && b[0] == DATA);
        data.map(|(_, _, b)| u64::from_le_bytes(b[6..14].try_into().unwrap())).collect()
    };
    let hold = net.faults;
    net.faults.loss = 100;
    for n in 0..4u8 {
        net.send(0, 1, vec![n]);
    }
    assert_eq!(numbers(&net), [MAX_PACKETS - 2, MAX_PACKETS - 1]);
    assert!(net.log.iter().any(|(_, _, b)| b[0] == INIT), "asks for new keys");
    net.faults = hold;
    net.run(5_000);
    let mut got = net.nodes[1].bodies.clone();
    got.sort();
    assert_eq!(got, [vec![0], vec![1], vec![2], vec![3]]);
    assert!(numbers(&net)[2..].iter().all(|n| *n < 1_000), "the new key counts from zero");
    assert_eq!((net.nodes[0].downs(), net.nodes[1].downs()), (vec![], vec![]));
}

/// A handshake of `n` with anything in it, sent to node 1 of the network.
fn forged_init(net: &Net, n: u8, secret: [u8; 32], record: &NodeRecord) -> Vec<u8> {
    let to = net.nodes[1].link.record().link_key;
    let mut bytes = vec![INIT, VERSION, n, 0, 0, 0];
    let prologue = [b"DONP v1 link".as_slice(), &bytes, &net.nodes[1].id.0].concat();
    let pair = KeyPair::new(secret);
    let mut hs = Handshake::new(&IK_PSK2, true, &prologue, Some(pair), Some(to), [0; 32]).unwrap();
    let payload = [record.encode(), vec![0xff; 8], vec![1; 12], vec![0]].concat();
    hs.write([n; 32], &payload, &mut bytes).unwrap();
    bytes.extend([0; 32]);
    remac(&mut bytes, &to);
    bytes
}

// libp2p-core RUSTSEC-2019-0004 and -2022-0009: the record must be the one of the key that spoke.
#[test]
fn a_record_of_another_node_is_refused() {
    let mut net = Net::new(2, 8);
    let alice = net.nodes[0].link.record().clone();
    let before = net.nodes[1].link.state_digest();
    let stolen_record = forged_init(&net, 1, [66; 32], &alice);
    inject(&mut net, 1, addr(9), stolen_record);
    assert_eq!(net.nodes[1].link.drops.get(DropReason::Handshake), 1);
    assert_eq!(net.nodes[1].link.state_digest(), before);
    // Signed by the thief over its own key: that proves the thief's identity alone.
    let own = NodeRecord::sign(&identity(66), KeyPair::new([66; 32]).public, 1, WallTime(u64::MAX), alice.node_type);
    let honest = forged_init(&net, 2, [66; 32], &own);
    inject(&mut net, 1, addr(9), honest);
    assert_eq!(net.nodes[1].link.half_open.iter().next().unwrap().1.peer, identity(66).node_id());
}

#[test]
fn a_retired_key_is_refused_once_the_new_record_is_known() {
    let mut net = Net::new(2, 9);
    let old = KeyPair::new([50; 32]);
    let sign =
        |seq, key| NodeRecord::sign(&identity(50), key, seq, WallTime(u64::MAX), crate::config::NodeType::Regular);
    let (first, second) = (sign(5, old.public), sign(6, [1; 32]));
    let peer = identity(50).node_id();
    net.input(1, In::AddAddresses { peer, record: Some(second), addrs: vec![], told: false });
    let forged = forged_init(&net, 3, [50; 32], &first);
    inject(&mut net, 1, addr(9), forged);
    assert_eq!(net.nodes[1].link.drops.get(DropReason::Stale), 1);
    assert_eq!(net.nodes[1].link.half_open.len(), 0);
}

#[test]
fn no_more_goes_to_an_unproven_address_than_came_from_it() {
    let mut net = Net::new(2, 10);
    net.link();
    let (_, _, init) = captured(&net, INIT);
    let (_, _, request) = captured(&net, packet::RECORD_REQUEST);
    net.log.clear();
    let mut received = 0;
    for n in 0..20_000u32 {
        let from = SocketAddr::from(([172, 16, (n % 50) as u8, (n / 50 % 8) as u8], 53));
        let bytes = if n % 2 == 0 { init.clone() } else { request.clone() };
        received += bytes.len();
        inject(&mut net, 1, from, bytes);
        if n % 100 == 0 {
            net.run(1);
        }
    }
    net.run(10_000);
    let mut sent: OrderedMap<SocketAddr, usize> = OrderedMap::new();
    for (_, to, b) in net.log.iter().filter(|(from, to, _)| *from == addr(2) && *to != addr(1)) {
        *sent.entry(*to).or_default() += b.len();
    }
    let total: usize = sent.values().sum();
    assert!(total > 0 && total * 4 < received, "{total} of {received}");
    let each = received / 400;
    assert!(sent.values().all(|s| *s <= each / 2));
    assert!(net.nodes[1].link.footprint() < 9_000);
    assert_eq!(net.nodes[1].downs(), []);
}

#[test]
fn a_legitimate_handshake_gets_through_a_flood() {
    let mut net = Net::new(3, 11);
    net.keep_log = false;
    let (peer, record) = (net.nodes[1].id, net.nodes[1].link.record().clone());
    let mut forged = vec![7u8; INIT_LEN];
    (forged[0], forged[1]) = (INIT, VERSION);
    remac(&mut forged, &record.link_key);
    let flood = |net: &mut Net, n: u32| {
        for i in 0..200u32 {
            let from = SocketAddr::from(([11, (n % 250) as u8, (i % 250) as u8, 1], 1_000 + (n / 250) as u16));
            let (now, wall) = (net.now, net.wall);
            net.nodes[1].handle(now, wall, In::Datagram { from, bytes: forged.clone() });
            // What goes to the forged addresses is lost there.
            let mine = addr(1);
            net.nodes[1].link.transmit.datagrams.retain(|(to, _)| *to == mine);
        }
        net.drain(1);
        net.run(10);
    };
    // 20,000 a second.
    for n in 0..20 {
        flood(&mut net, n);
    }
    net.input(0, In::AddAddresses { peer, record: Some(record), addrs: vec![addr(2)], told: false });
    net.input(0, In::Want { peer, owner: Owner::Membership });
    // Two round trips for cookie and handshake, and half a one for the proof.
    for n in 20..27 {
        flood(&mut net, n);
    }
    assert_eq!((net.nodes[0].ups(), net.nodes[1].ups()), (1, 1));
    assert!(net.nodes[1].link.footprint() < 9_000);
}

#[test]
fn a_forwarded_packet_does_not_change_the_path() {
    let mut net = Net::new(2, 12);
    net.link();
    net.run(1_000);
    let thief = addr(66);
    net.log.clear();
    net.quietly(
        0,
        In::Send { to: identity(2).node_id(), channel: Channel::Chat, priority: Priority::High, body: vec![1; 100] },
    );
    let (now, wall) = (net.now, net.wall);
    let (_, packet) = net.nodes[0].poll(now, wall).unwrap();
    let len = packet.len();
    inject(&mut net, 1, thief, packet);
    for n in 0..20u8 {
        net.send(1, 0, vec![n; 1_000]);
        net.run(500);
    }
    let stolen: usize = net.log.iter().filter(|(_, to, _)| *to == thief).map(|(_, _, b)| b.len()).sum();
    assert!(stolen > 0 && stolen <= 3 * len, "{stolen} bytes for {len}");
    assert_eq!(net.nodes[0].bodies.len(), 20, "the path is kept meanwhile");
    assert!(net.nodes[1].events.iter().all(|e| !matches!(e, Out::Fact(Fact::AddressChanged { .. }))));
    let a = net.nodes[0].id;
    assert_eq!(net.nodes[1].link.info(a).unwrap().addr, addr(1));
}

#[test]
fn a_forwarded_handshake_does_not_choose_the_path() {
    let mut net = Net::new(2, 17);
    let thief = addr(66);
    net.input(0, In::Connect { addr: addr(2), expect: None });
    while net.nodes[1].ups() == 0 {
        let (&key, _) = net.flying.iter().next().expect("the handshake goes on");
        let (from, to, bytes) = net.flying.remove(&key).unwrap();
        net.step_to(key.0);
        // Resp and the first data packet come from the eavesdropper's address.
        let from = if matches!(bytes[0], RESP | DATA) { thief } else { from };
        inject(&mut net, usize::from(to == addr(2)), from, bytes);
    }
    let (a, b) = (net.nodes[0].id, net.nodes[1].id);
    assert_eq!(net.nodes[0].link.info(b).unwrap().addr, addr(2));
    assert_eq!(net.nodes[1].link.info(a).unwrap().addr, addr(1));
}

/// Node 0 as a hostile but authentic peer: seals any plaintext.
fn sealed(net: &mut Net, frames: &[u8]) -> Vec<u8> {
    let connection = net.connection(0, 1);
    let mut bytes = Vec::new();
    connection.current.begin(&mut bytes);
    bytes.extend_from_slice(frames);
    let n = connection.current.seal(&mut bytes).unwrap();
    connection.recovery.next = connection.current.base + n + 1;
    bytes
}

// RFC 9000 §8: what answers a question counts like what asks one.
#[test]
fn a_peer_causes_at_most_three_times_its_bytes_elsewhere() {
    for questions in [1, 2, 8] {
        let mut net = Net::new(2, 18);
        net.link();
        net.run(1_000);
        let victim = addr(66);
        let mut frames = Vec::new();
        for n in 0..questions {
            frame::put_challenge(&mut frames, &[n; 8]);
        }
        let packet = sealed(&mut net, &frames);
        let len = packet.len();
        net.log.clear();
        inject(&mut net, 1, victim, packet);
        net.run(5_000);
        let aimed: usize = net.log.iter().filter(|(_, to, _)| *to == victim).map(|(_, _, b)| b.len()).sum();
        assert!(aimed > 0 && aimed <= 3 * len, "{aimed} bytes for {len} with {questions} questions");
    }
}

#[test]
fn malformed_frames_of_a_peer_take_no_effect_at_all() {
    let mut net = Net::new(2, 13);
    net.link();
    let mut frames = Vec::new();
    frame::put_message(&mut frames, Channel::Chat as u8, b"good");
    frames.push(0x10);
    let bytes = sealed(&mut net, &frames);
    inject(&mut net, 1, addr(1), bytes);
    assert!(net.nodes[1].bodies.is_empty());
    assert_eq!(net.nodes[1].link.drops.get(DropReason::Frame), 1);
    // A channel of a newer version is skipped, what is beside it is not.
    let mut frames = Vec::new();
    frame::put_message(&mut frames, 99, b"new");
    frame::put_message(&mut frames, Channel::Chat as u8, b"good");
    let bytes = sealed(&mut net, &frames);
    inject(&mut net, 1, addr(1), bytes);
    assert_eq!(net.nodes[1].bodies, [b"good"]);
    assert_eq!(net.nodes[1].link.drops.get(DropReason::Message), 1);
}

// gossipsub GHSA-gc42-3jg7-rxr2: a time chosen by the peer; RFC 9000 §13.1: acknowledging the unsent.
#[test]
fn acknowledgements_of_extreme_numbers_do_no_harm() {
    let ends = [0, 1, 7, u64::from(u32::MAX), MAX_PACKETS - 1, MAX_PACKETS, u64::MAX - 1, u64::MAX];
    let mut net = Net::new(2, 14);
    net.link();
    net.keep_log = false;
    let session = net.connection(0, 1).current.remote;
    for high in ends {
        for delay in ends {
            for len in ends.into_iter().filter(|n| *n <= high) {
                let mut ranges = frame::Ranges::new();
                ranges.push((high - len, high)).unwrap();
                let mut frames = Vec::new();
                frame::Ack { session, delay, ranges }.encode(&mut frames, 1_000);
                let bytes = sealed(&mut net, &frames);
                inject(&mut net, 1, addr(1), bytes);
            }
        }
    }
    assert!(net.nodes[1].link.drops.get(DropReason::Frame) > 100);
    let a = net.nodes[0].id;
    assert!(net.nodes[1].link.info(a).unwrap().rtt.unwrap() < Duration::from_secs(1));
    net.send(1, 0, vec![3]);
    net.run(2_000);
    assert_eq!(net.nodes[0].bodies, [vec![3]]);
}

#[test]
fn incomplete_messages_stay_within_the_limits() {
    let mut net = Net::new(2, 15);
    net.link();
    net.keep_log = false;
    let body = vec![1; MAX_MESSAGE];
    let size = frame::PIECE;
    for number in 0..2_000u32 {
        let start = (number % 63) * size as u32;
        let piece = &body[start as usize..][..size];
        let f = frame::Fragment { number, channel: 4, total: MAX_MESSAGE as u32, start, piece };
        let mut frames = Vec::new();
        frame::put_fragment(&mut frames, &f);
        let bytes = sealed(&mut net, &frames);
        inject(&mut net, 1, addr(1), bytes);
    }
    let held = net.connection(1, 0).fragments.held();
    assert!(held <= 256 * (size + 64), "{held} bytes");
    net.want_both();
    net.run(31_000);
    assert_eq!(net.connection(1, 0).fragments.held(), 0);
    assert!(net.nodes[1].link.drops.get(DropReason::Reassembly) >= 2_000);
}

#[test]
fn half_open_handshakes_are_bounded_and_expire() {
    let mut net = Net::new(2, 16);
    let count = 600u16;
    for n in 0..count {
        let id =
            Identity::generate([n as u8; 64].map(|b| b ^ (n >> 8) as u8 ^ 0x80), "x", WallTime(u64::from(n))).unwrap();
        let mut secret = [9; 32];
        secret[..2].copy_from_slice(&n.to_le_bytes());
        let pair = KeyPair::new(secret);
        let record = NodeRecord::sign(&id, pair.public, 1, WallTime(u64::MAX), crate::config::NodeType::Regular);
        let bytes = forged_init(&net, n as u8, secret, &record);
        inject(&mut net, 1, SocketAddr::from(([12, (n >> 8) as u8, n as u8, 1], 5)), bytes);
        net.run(12);
    }
    assert!(net.nodes[1].link.half_open.len() <= 256);
    assert!(net.nodes[1].link.half_open.len() > 100);
    assert!(core::mem::size_of::<HalfOpen>() <= 512, "{} bytes", core::mem::size_of::<HalfOpen>());
    net.run(11_000);
    assert_eq!((net.nodes[1].link.half_open.len(), net.nodes[1].link.routes.len()), (0, 0));
    assert!(core::mem::size_of::<Connection>() <= 4_096, "{} bytes", core::mem::size_of::<Connection>());
}

/// Mutation: `HalfOpenTable::indices` gives nothing, so that the handshakes under way outlast the node's leave.
#[test]
fn a_node_that_leaves_ends_the_handshakes_under_way() {
    let mut net = Net::new(2, 16);
    let id = Identity::generate([7; 64], "x", WallTime(1)).unwrap();
    let pair = KeyPair::new([9; 32]);
    let record = NodeRecord::sign(&id, pair.public, 1, WallTime(u64::MAX), crate::config::NodeType::Regular);
    let bytes = forged_init(&net, 1, [9; 32], &record);
    inject(&mut net, 1, SocketAddr::from(([12, 0, 0, 1], 5)), bytes);
    net.run(12);
    assert_eq!((net.nodes[1].link.half_open.len(), net.nodes[1].link.routes.len()), (1, 1));
    net.input(1, In::Shut);
    assert_eq!((net.nodes[1].link.half_open.len(), net.nodes[1].link.routes.len()), (0, 0));
}

/// A record that binds the identity of its signer to the link key of another node, which lives at the address that it is
/// named at: a node that links to the signer reaches the other, and gets no answer. Thirty messages broke the link of
/// two honest nodes 666 times in two minutes. Breaks without the responder's id in the prologue, and without `bind` of
/// the initiator's (`no_other_identity_is_proven_by_a_key`).
#[test]
fn a_record_with_a_strangers_link_key_opens_no_link() {
    let mut net = Net::new(2, 30);
    net.link();
    net.want_both();
    let (victim, key) = (net.nodes[1].id, net.nodes[1].link.record().link_key);
    for n in 40..70 {
        let liar = identity(n);
        let record = NodeRecord::sign(&liar, key, 1, WallTime(u64::MAX), crate::config::NodeType::Regular);
        let peer = liar.node_id();
        net.input(0, In::AddAddresses { peer, record: Some(record), addrs: vec![addr(2)], told: true });
        net.input(0, In::Want { peer, owner: Owner::Membership });
        net.run(4_000);
    }
    assert!(net.nodes[1].link.drops.get(DropReason::Handshake) > 0, "they were tried");
    assert_eq!((net.nodes[0].ups(), net.nodes[1].ups()), (1, 1));
    assert_eq!((net.nodes[0].downs(), net.nodes[1].downs()), (vec![], vec![]));
    assert_eq!(net.nodes[0].link.linked().collect::<Vec<_>>(), [victim]);
    assert_eq!(net.nodes[1].link.half_open.len(), 0, "it answered none of them");
}

/// The responder and the initiator of a handshake agree on both identities, or its keys differ: what a record says of
/// the initiator is part of the transcript. Breaks if only one side binds it.
#[test]
fn no_other_identity_is_proven_by_a_key() {
    let ids = |n: u8| identity(n).node_id().0;
    let (a, b) = (KeyPair::new([1; 32]), KeyPair::new([2; 32]));
    let run = |initiator: [u8; 32], responder: [u8; 32], claimed: [u8; 32], own: [u8; 32]| {
        let prologue = |id: [u8; 32]| crate::link::attempt::prologue(&[INIT, VERSION, 0, 0, 0, 0], NodeId(id));
        let mut one =
            Handshake::new(&IK_PSK2, true, &prologue(responder), Some(a.clone()), Some(b.public), [0; 32]).ok()?;
        let mut two = Handshake::new(&IK_PSK2, false, &prologue(own), Some(b.clone()), None, [0; 32]).ok()?;
        let (mut first, mut second) = (Vec::new(), Vec::new());
        one.write([3; 32], b"", &mut first).ok()?;
        two.read(&first).ok()?;
        one.bind(&initiator);
        two.bind(&claimed);
        two.write([4; 32], b"", &mut second).ok()?;
        one.read(&second).ok()
    };
    assert!(run(ids(1), ids(2), ids(1), ids(2)).is_some());
    assert!(run(ids(1), ids(3), ids(1), ids(2)).is_none(), "it was meant for another");
    assert!(run(ids(1), ids(2), ids(3), ids(2)).is_none(), "it claims to be another");
}

/// Each byte of an Init and a Resp is part of the transcript, that of the post-quantum generation too. The other bytes are
/// edited in `no_edited_byte_of_a_handshake_ever_gives_a_session`. Breaks if the byte is not bound, or not checked.
#[test]
fn a_resp_of_another_generation_is_refused() {
    let mut net = Net::new(2, 31);
    net.input(0, In::Connect { addr: addr(2), expect: None });
    while net.log.iter().all(|(_, _, b)| b[0] != RESP) {
        net.run(1);
    }
    let (from, _, resp) = captured(&net, RESP);
    net.flying.clear();
    assert_eq!(resp[10], packet::NO_GENERATION);
    let key = net.nodes[0].link.record().link_key;
    for generation in 1..=255 {
        let mut forged = resp.clone();
        forged[10] = generation;
        remac(&mut forged, &key);
        let before = net.nodes[0].link.state_digest();
        let (now, wall) = (net.now, net.wall);
        net.nodes[0].handle(now, wall, In::Datagram { from, bytes: forged });
        assert_eq!(net.nodes[0].link.state_digest(), before);
    }
    assert_eq!(net.nodes[0].link.drops.get(DropReason::Handshake), 255);
    inject(&mut net, 0, from, resp);
    assert_eq!(net.nodes[0].ups(), 1);
}

/// The thief of a node's link key can make Inits of any other to it (key compromise impersonation, of which message 1
/// of IK is not free: Noise §7.7, source property 1). They prove nothing: their stamps are not noted, and those of the
/// true node are still served. Breaks if a stamp is noted when the Init is answered.
#[test]
fn a_stolen_link_key_makes_no_owner_refuse_others() {
    let mut net = Net::new(2, 32);
    let alice = net.nodes[0].link.record().clone();
    let stolen = net.nodes[1].link.keys.current.pair.clone();
    let me = net.nodes[1].id;
    for n in 0..200u8 {
        // The thief knows no secret of alice: it computes `ss` with the key that it stole.
        let bytes = impersonating_init(&stolen, me, &alice, n);
        inject(&mut net, 1, SocketAddr::from(([12, 0, n, 1], 5)), bytes);
        net.run(50);
    }
    assert!(net.nodes[1].link.half_open.len() > 10, "they were answered");
    net.link();
    net.send(0, 1, vec![7]);
    net.run(1_000);
    assert_eq!(net.nodes[1].bodies, [vec![7]]);
}

/// Message 1 as `of` would send it to the owner of `stolen`, made without a secret of `of`: the greatest stamp.
fn impersonating_init(stolen: &KeyPair, to: NodeId, of: &NodeRecord, n: u8) -> Vec<u8> {
    let mut bytes = vec![INIT, VERSION, n, 0, 0, 0];
    let prologue = crate::link::attempt::prologue(&bytes, to);
    let payload = [of.encode(), vec![0xff; 8], vec![n; 12], vec![0]].concat();
    let mut state =
        Handshake::new(&IK_PSK2, true, &prologue, Some(KeyPair::new([n; 32])), Some(stolen.public), [0; 32]).unwrap();
    state.impersonate(of.link_key, stolen.clone());
    state.write([n ^ 0x55; 32], &payload, &mut bytes).unwrap();
    bytes.extend([0; 32]);
    remac(&mut bytes, &stolen.public);
    bytes
}

/// No code read when a record expires. Breaks if one of the places does not.
#[test]
fn an_expired_record_is_refused_everywhere() {
    let day = 86_400_000;
    for (late, used) in [(day, true), (day + 1_000, false)] {
        let mut net = Net::new(3, 33);
        // Nodes whose records are in force bear the clocks out.
        net.link();
        net.input(2, In::Connect { addr: addr(1), expect: None });
        net.input(2, In::Connect { addr: addr(2), expect: None });
        net.run(2_000);
        for node in &mut net.nodes {
            node.events.clear();
        }
        net.log.clear();
        let secret = [50; 32];
        let expiry = WallTime(net.wall - late);
        let record =
            NodeRecord::sign(&identity(50), KeyPair::new(secret).public, 1, expiry, crate::config::NodeType::Regular);
        // In a handshake.
        let bytes = forged_init(&net, 3, secret, &record);
        inject(&mut net, 1, addr(9), bytes);
        assert_eq!(
            (net.nodes[1].link.half_open.len(), net.nodes[1].link.drops.get(DropReason::Stale)),
            (usize::from(used), u64::from(!used))
        );
        // Told by others.
        let peer = record.id();
        net.input(0, In::AddAddresses { peer, record: Some(record.clone()), addrs: vec![addr(9)], told: true });
        assert_eq!(net.nodes[0].link.addresses.get(peer).unwrap().record.is_some(), used);
        // The sender of the Init is asked for the proof.
        let asked = net.log.iter().any(|(_, to, b)| *to == addr(9) && b[0] == packet::RECORD_REQUEST);
        assert_eq!(asked, !used);
        // In an answer to a question for it, without a proof and with that of another node.
        net.log.clear();
        net.input(0, In::Connect { addr: addr(8), expect: None });
        let (_, _, request) = captured(&net, packet::RECORD_REQUEST);
        let mut reply = vec![packet::RECORD_REPLY, VERSION];
        reply.extend(&request[2..18]);
        reply.extend(record.encode());
        let token: [u8; 16] = request[2..18].try_into().unwrap();
        let forged = [&reply, &expiry::prove(&identity(51), &token, &record.encode())[..], &[0; 16]].concat();
        inject(&mut net, 0, addr(8), forged);
        assert_eq!(net.nodes[0].link.drops.get(DropReason::Signature), 1);
        reply.extend([0; 64 + 16]);
        inject(&mut net, 0, addr(8), reply);
        assert_eq!(net.nodes[0].link.drops.get(DropReason::Stale), u64::from(!used));
        assert_eq!(net.nodes[0].events.iter().any(|e| matches!(e, Out::Resolved { .. })), used);
    }
}

/// Fifty ids at one address: a stranger got 20 MB for 2.4 kB. Breaks if the pause is kept for each id, if it does not
/// grow, or if an address of which others tell counts as one that the user named.
#[test]
fn fifty_ids_at_one_silent_address_share_its_packets() {
    let mut net = Net::new(1, 34);
    net.nodes[0].proves = false;
    let stranger = SocketAddr::from(([10, 0, 0, 99], 4_000));
    let sign = |n| NodeRecord::sign(&identity(n), [n; 32], 1, WallTime(u64::MAX), crate::config::NodeType::Regular);
    let records: Vec<NodeRecord> = (50..100).map(sign).collect();
    for _ in 0..60 {
        for record in &records {
            let (peer, record) = (record.id(), Some(record.clone()));
            net.input(0, In::AddAddresses { peer, record, addrs: vec![stranger], told: true });
            net.input(0, In::Want { peer, owner: Owner::Swim });
            net.input(0, In::Connect { addr: stranger, expect: Some(peer) });
        }
        net.run(10_000);
    }
    let bytes: usize = net.log.iter().filter(|(_, to, _)| *to == stranger).map(|(_, _, b)| b.len()).sum();
    assert!((1..=10 * 512).contains(&bytes), "{bytes} bytes in ten minutes");
}

/// A member whose key changed meanwhile, at an address that only others named. Breaks if each packet there is an Init.
#[test]
fn a_newer_key_is_learnt_at_an_address_that_never_answered() {
    let mut net = Net::new(2, 35);
    net.nodes[0].proves = false;
    let peer = net.nodes[1].id;
    let NodeRecord { seq, node_type, .. } = *net.nodes[1].link.record();
    let old = NodeRecord::sign(
        &identity(2),
        KeyPair::new([77; 32]).public,
        seq.saturating_sub(1),
        WallTime(u64::MAX),
        node_type,
    );
    net.input(0, In::AddAddresses { peer, record: Some(old), addrs: vec![addr(2)], told: true });
    net.input(0, In::Want { peer, owner: Owner::Delivery });
    net.run(120_000);
    assert_eq!(net.nodes[0].ups(), 1);
}
