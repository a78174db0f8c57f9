//! Pairs and groups of links: what they deliver, how they open and end.

use super::*;
use alloc::vec;
use proptest::prelude::*;

#[test]
fn two_nodes_link_by_address_and_talk() {
    let mut net = Net::new(2, 1);
    net.link();
    let (a, b) = (net.nodes[0].id, net.nodes[1].id);
    assert!(matches!(net.nodes[0].events[0], Out::Resolved { peer, .. } if peer == b), "{:?}", net.nodes[0].events);
    assert!(net.nodes[0].events.iter().any(|e| matches!(e, Out::Fact(Fact::LinkUp { peer, .. }) if *peer == b)));
    assert!(net.nodes[1].events.iter().any(|e| matches!(e, Out::Fact(Fact::LinkUp { peer, .. }) if *peer == a)));
    let seen = |n: &Node, at| n.events.iter().any(|e| matches!(e, Out::Observed { addr, .. } if *addr == at));
    assert!(seen(&net.nodes[0], addr(1)) && seen(&net.nodes[1], addr(2)));
    net.send(0, 1, b"hello".to_vec());
    net.send(1, 0, b"world".to_vec());
    net.run(15);
    assert_eq!(net.nodes[1].bodies, [b"hello"]);
    assert_eq!(net.nodes[0].bodies, [b"world"]);
    let info = net.nodes[0].link.info(b).unwrap();
    assert!(info.rtt.unwrap() >= Duration::from_millis(20) && info.initiated && info.addr == addr(2));
    net.input(0, In::Connect { addr: addr(2), expect: Some(b) });
    assert!(matches!(net.nodes[0].events.last(), Some(Out::Resolved { .. })));
    assert_eq!(net.nodes[0].ups(), 1);
}

/// A device without a network's time shows any date, and each record is over by one of the clocks. Breaks if the proof that
/// a record is current is not asked for, not made, or not remembered for the next Init.
#[test]
fn devices_whose_clocks_are_ten_years_apart_link() {
    const TEN_YEARS: u64 = 315_576_000_000;
    for ahead in [TEN_YEARS, TEN_YEARS.wrapping_neg()] {
        for (caller, other) in [(0, 1), (1, 0)] {
            let mut net = Net::new(2, 7);
            net.nodes[1] =
                Node::start(2, 77, &Config::default(), OrderedMap::new(), net.now, net.wall.wrapping_add(ahead));
            net.nodes[1].ahead = ahead;
            let at = net.nodes[other].addr;
            net.input(caller, In::Connect { addr: at, expect: None });
            net.run(5_000);
            assert_eq!((net.nodes[0].ups(), net.nodes[1].ups()), (1, 1), "{caller} calls, {ahead}");
            net.send(0, 1, vec![1]);
            net.run(100);
            assert_eq!(net.nodes[1].bodies, [[1]]);
        }
    }
}

#[test]
fn sixty_four_small_messages_share_datagrams() {
    let mut net = Net::new(2, 2);
    net.link();
    net.run(200);
    let to = net.nodes[1].id;
    net.log.clear();
    for n in 0..64u8 {
        net.quietly(0, In::Send { to, channel: Channel::Chat, priority: Priority::Normal, body: vec![n; 64] });
    }
    net.drain(0);
    assert!(net.log.len() <= 6, "{} datagrams", net.log.len());
    net.run(100);
    assert_eq!(net.nodes[1].bodies.len(), 64);
    assert!(net.log.len() <= 10, "{} datagrams with acknowledgements", net.log.len());
    assert_eq!(net.nodes[0].link.info(to).unwrap().queued_bytes, 0);
}

#[test]
fn the_largest_message_crosses_and_one_more_byte_does_not() {
    let mut net = Net::new(2, 3);
    net.link();
    let body: Vec<u8> = (0..MAX_MESSAGE).map(|n| n as u8).collect();
    net.send(0, 1, body.clone());
    net.send(0, 1, vec![0; MAX_MESSAGE + 1]);
    net.send(0, 1, Vec::new());
    net.run(500);
    let mut got = net.nodes[1].bodies.clone();
    got.sort_by_key(Vec::len);
    assert_eq!(got, [Vec::new(), body]);
    assert_eq!(net.nodes[0].link.drops.get(DropReason::Queue), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn everything_arrives_through_a_bad_network(
        seed: u64,
        loss in 0usize..=30,
        repeat in 0usize..=30,
        damage in 0usize..=5,
        delay in 0u64..200,
        jitter in 0u64..200,
        sizes in prop::collection::vec(0usize..9_000, 1..40),
    ) {
        let mut net = Net::new(2, seed);
        net.faults = Faults { loss, repeat, damage, delay, jitter, ..Faults::default() };
        net.keep_log = false;
        let peer = net.nodes[1].id;
        for (node, other) in [(0usize, 1usize), (1, 0)] {
            let peer = net.nodes[other].id;
            net.input(node, In::Want { peer, owner: Owner::Delivery });
        }
        let at = net.nodes[1].addr;
        net.input(0, In::AddAddresses { peer, record: None, addrs: vec![at], told: false });
        net.run(60_000);
        prop_assume!(net.nodes[0].ups() == 1 && net.nodes[1].ups() == 1 && net.nodes[0].downs().is_empty());
        let mut sent = Vec::new();
        for (n, size) in sizes.iter().enumerate() {
            let mut body = vec![n as u8; *size];
            body.extend((n as u32).to_le_bytes());
            net.send(n % 2, 1 - n % 2, body.clone());
            sent.push((1 - n % 2, body));
        }
        net.run(60_000);
        for (to, body) in sent {
            prop_assert!(net.nodes[to].bodies.contains(&body), "a message of {} bytes is missing", body.len());
        }
        prop_assert!(net.nodes[0].downs().is_empty() && net.nodes[1].downs().is_empty());
        prop_assert!(net.nodes[0].link.footprint() < 64);
    }
}

#[test]
fn a_link_stays_up_at_thirty_percent_loss() {
    for seed in 0..8 {
        let mut net = Net::new(2, seed);
        net.link();
        net.want_both();
        net.keep_log = false;
        net.faults = Faults { loss: 30, delay: 50, jitter: 20, ..Faults::default() };
        for n in 0..60u8 {
            net.send(0, 1, vec![n; 100]);
            net.run(10_000);
        }
        net.run(10_000);
        assert_eq!((net.nodes[0].downs(), net.nodes[1].downs()), (vec![], vec![]), "seed {seed}");
        assert!((0..60u8).all(|n| net.nodes[1].bodies.contains(&vec![n; 100])), "seed {seed}");
        assert!(net.nodes[0].link.handshakes + net.nodes[1].link.handshakes >= 8, "keys were renewed");
        assert!(net.nodes[0].link.packets_lost() > 0);
    }
}

#[test]
fn both_sides_at_once_make_one_link() {
    for seed in 0..20 {
        let mut net = Net::new(2, seed);
        net.faults.jitter = seed % 3 * 7;
        for (node, other) in [(0, 1), (1, 0)] {
            let (peer, record) = (net.nodes[other].id, net.nodes[other].link.record().clone());
            let addrs = vec![net.nodes[other].addr];
            net.quietly(node, In::AddAddresses { peer, record: Some(record), addrs, told: false });
            net.quietly(node, In::Want { peer, owner: Owner::Membership });
        }
        net.drain(0);
        net.drain(1);
        net.run(2_000);
        net.send(0, 1, vec![1]);
        net.send(1, 0, vec![2]);
        net.run(600_000);
        assert_eq!((net.nodes[0].ups(), net.nodes[1].ups()), (1, 1), "seed {seed}");
        assert_eq!((net.nodes[0].downs(), net.nodes[1].downs()), (vec![], vec![]), "seed {seed}");
        assert_eq!((net.nodes[1].bodies.len(), net.nodes[0].bodies.len()), (1, 1));
    }
}

#[test]
fn keys_are_renewed_while_messages_fly() {
    let mut net = Net::new(2, 5);
    net.link();
    net.want_both();
    net.faults.jitter = 40;
    for n in 0..500u32 {
        net.send(0, 1, n.to_le_bytes().to_vec());
        net.run(1_000);
    }
    let mut got = net.nodes[1].bodies.clone();
    got.sort();
    got.dedup();
    assert_eq!(got.len(), 500);
    assert!(net.nodes[0].link.handshakes >= 4, "{}", net.nodes[0].link.handshakes);
    assert_eq!((net.nodes[0].ups(), net.nodes[1].ups()), (1, 1));
}

#[test]
fn a_restarted_peer_is_down_and_up_again() {
    let mut net = Net::new(2, 6);
    net.link();
    net.want_both();
    let disk = net.nodes[1].disk.clone();
    net.nodes[1] = Node::start(2, 99, &Config::default(), disk, net.now, net.wall);
    net.input(1, In::Connect { addr: addr(1), expect: None });
    net.run(1_000);
    assert_eq!(net.nodes[0].downs(), [DownReason::Restarted]);
    assert_eq!((net.nodes[0].ups(), net.nodes[1].ups()), (2, 1));
    net.send(0, 1, vec![7]);
    net.run(100);
    assert_eq!(net.nodes[1].bodies, [vec![7]]);
}

#[test]
fn a_link_lost_by_one_side_gets_a_new_incarnation() {
    let mut net = Net::new(2, 7);
    net.link();
    net.want_both();
    // Its goodbye is lost.
    let peer = net.nodes[0].id;
    net.faults.loss = 100;
    net.input(1, In::Close { peer });
    net.faults.loss = 0;
    net.input(1, In::Connect { addr: addr(1), expect: Some(peer) });
    net.run(1_000);
    assert_eq!((net.nodes[0].ups(), net.nodes[1].ups()), (2, 2));
    assert_eq!(net.nodes[0].downs(), [DownReason::Restarted]);
}

/// What a peer remembers of a node keeps no honest copy of it out: neither one that runs beside a later one, nor one
/// whose clock was years ahead before its disk was put back. Breaks if an Init with an older stamp, or with an older
/// record of the same key, is never answered.
#[test]
fn an_older_copy_of_a_profile_gets_its_link_back() {
    for ahead in [60_000, 10 * 365 * 86_400_000] {
        let mut net = Net::new(2, 24);
        let disk = net.nodes[0].disk.clone();
        let later = net.wall + ahead;
        net.nodes[0] = Node::start(1, 91, &Config::default(), disk.clone(), net.now, later);
        net.link();
        net.want_both();
        let known = net.nodes[0].link.record().seq;
        net.nodes[0] = Node::start(1, 92, &Config::default(), disk, net.now, net.wall);
        assert!(net.nodes[0].link.record().seq < known);
        let peer = net.nodes[1].id;
        net.input(0, In::Connect { addr: addr(2), expect: Some(peer) });
        net.run(3_000);
        assert_eq!(net.nodes[0].ups(), 1, "{ahead}");
        net.send(0, 1, vec![9]);
        net.run(1_000);
        assert_eq!(net.nodes[1].bodies, [vec![9]]);
    }
}

#[test]
fn silence_ends_a_wanted_link_and_idleness_an_unwanted_one() {
    let mut net = Net::new(2, 8);
    net.link();
    net.want_both();
    net.run(120_000);
    assert_eq!(net.nodes[0].downs(), [], "keepalives hold it");
    net.faults.loss = 100;
    net.run(21_000);
    assert_eq!(net.nodes[0].downs(), [DownReason::Timeout]);
    assert_eq!(net.nodes[1].downs(), [DownReason::Timeout]);

    let mut net = Net::new(2, 9);
    net.link();
    net.run(29_000);
    assert_eq!(net.nodes[0].downs(), []);
    net.run(2_000);
    let mut both = [net.nodes[0].downs(), net.nodes[1].downs()].concat();
    both.sort_by_key(|r| *r as u8);
    assert!(both == [DownReason::Closed, DownReason::Unwanted] || both == [DownReason::Unwanted; 2], "{both:?}");
}

#[test]
fn a_peer_that_sent_often_is_suspected_sooner() {
    let suspected_after = |interval: u64| {
        let mut net = Net::new(2, 10);
        net.link();
        net.want_both();
        for _ in 0..60 {
            net.send(1, 0, vec![1; 20]);
            net.run(interval);
        }
        // What is under way arrives and is acknowledged; nothing is owed.
        net.run(100);
        let before = net.now;
        net.faults.loss = 100;
        while !net.nodes[0].events.iter().any(|e| matches!(e, Out::Fact(Fact::LinkSuspected(_)))) {
            net.run(10);
        }
        net.now.since(before)
    };
    let [talks, whispers, mute] = [100, 200, 10_000].map(suspected_after);
    assert!(talks < Duration::from_millis(1_500), "{talks:?}");
    assert!(talks < whispers && whispers < mute, "{talks:?} {whispers:?} {mute:?}");
    assert!(mute < Duration::from_secs(7), "{mute:?}");
}

#[test]
fn a_suspected_peer_that_answers_is_recovered() {
    let mut net = Net::new(2, 10);
    net.link();
    net.want_both();
    net.run(1_000);
    let peer = net.nodes[1].id;
    let count =
        |net: &Net, fact: &Fact| net.nodes[0].events.iter().filter(|e| matches!(e, Out::Fact(f) if f == fact)).count();
    for _ in 0..2 {
        let before = count(&net, &Fact::LinkSuspected(peer));
        net.faults.loss = 100;
        while count(&net, &Fact::LinkSuspected(peer)) == before {
            net.run(10);
        }
        assert_eq!(count(&net, &Fact::LinkRecovered(peer)), before, "nothing came");
        net.faults.loss = 0;
        net.run(3_000);
        assert_eq!(count(&net, &Fact::LinkRecovered(peer)), count(&net, &Fact::LinkSuspected(peer)));
    }
    assert_eq!(net.nodes[0].downs(), []);
}

/// A quiet link costs a PING every five seconds, from the side that is first.
#[test]
fn a_link_that_is_always_quiet_is_probed_at_its_keepalive() {
    let mut net = Net::with(2, 11, &classical());
    net.link();
    net.want_both();
    net.run(60_000);
    let before = net.log.len();
    net.run(60_000);
    assert!((24..=50).contains(&(net.log.len() - before)), "{}", net.log.len() - before);
}

#[test]
fn a_link_wanted_for_a_message_opens_again_by_itself() {
    let mut net = Net::new(2, 10);
    net.link();
    let peer = net.nodes[1].id;
    net.input(0, In::Want { peer, owner: Owner::Delivery });
    net.input(1, In::Shut);
    net.run(100);
    assert_eq!(net.nodes[0].downs(), [DownReason::Closed]);
    net.run(30_000);
    let failed = net.nodes[0].events.iter().filter(|e| matches!(e, Out::Unreachable { .. })).count();
    assert!((1..=3).contains(&failed), "{failed} rounds failed");
    net.input(1, In::Open);
    net.run(90_000);
    assert_eq!(net.nodes[0].ups(), 2);
    net.input(0, In::Unwant { peer, owner: Owner::Delivery });
    net.run(60_000);
    assert_eq!(net.nodes[0].link.linked().count(), 0);
    assert_eq!(
        net.nodes[0].link.footprint() - net.nodes[0].link.limiter.len(),
        3,
        "the rotation timer, the book entry and its address"
    );
}

#[test]
fn no_node_and_another_node_are_unreachable() {
    let mut net = Net::new(3, 11);
    let (two, three) = (net.nodes[1].id, net.nodes[2].id);
    net.input(0, In::Connect { addr: addr(99), expect: None });
    net.input(0, In::Connect { addr: addr(3), expect: Some(two) });
    net.input(0, In::Connect { addr: addr(1), expect: Some(net.nodes[0].id) });
    net.input(0, In::Connect { addr: "0.0.0.0:1".parse().unwrap(), expect: None });
    net.run(11_000);
    let un = |at: SocketAddr, wrong: bool| {
        net.nodes[0]
            .events
            .iter()
            .any(|e| matches!(e, Out::Unreachable { addr, wrong_node, .. } if *addr == at && *wrong_node == wrong))
    };
    assert!(un(addr(99), false) && un(addr(3), true) && un(addr(1), true) && un("0.0.0.0:1".parse().unwrap(), false));
    assert_eq!(net.nodes[0].ups(), 0);
    net.input(0, In::Connect { addr: addr(3), expect: Some(three) });
    net.run(500);
    assert_eq!(net.nodes[0].ups(), 1);
}

#[test]
fn closed_networks_do_not_mix() {
    let mut net = Net::new(2, 12);
    let config = Config { network_key: [9; 32], ..Config::default() };
    net.nodes[1] = Node::start(2, 12, &config, OrderedMap::new(), net.now, WALL);
    let (peer, record) = (net.nodes[1].id, net.nodes[1].link.record().clone());
    net.input(0, In::Connect { addr: addr(2), expect: None });
    net.input(0, In::AddAddresses { peer, record: Some(record), addrs: vec![addr(2)], told: false });
    net.input(0, In::Want { peer, owner: Owner::Membership });
    net.run(12_000);
    assert_eq!((net.nodes[0].ups(), net.nodes[1].ups()), (0, 0));
    assert!(!net.log.iter().any(|(from, _, bytes)| *from == addr(2) && bytes[0] == packet::RECORD_REPLY));
}

#[test]
fn a_rotated_key_is_accepted_in_its_overlap_only() {
    let day = 86_400_000u64;
    for (after, asks) in [(31 * day, false), (33 * day, true)] {
        let mut net = Net::with(2, 13, &classical());
        let peer = net.nodes[1].id;
        // Its key is retired after its overlap; a record of it could say that it lasts longer.
        let NodeRecord { link_key, seq, node_type, .. } = *net.nodes[1].link.record();
        let old = NodeRecord::sign(&identity(2), link_key, seq, WallTime(u64::MAX), node_type);
        net.wall += after;
        let (now, wall) = (net.now + Duration::from_millis(31 * day), net.wall);
        net.nodes[1].timeout(now, net.wall - after + 31 * day);
        let now = now + Duration::from_millis(after - 31 * day);
        net.nodes[1].timeout(now, wall);
        (net.now, net.wall) = (now, wall);
        assert!(net.nodes[1].link.record().seq > old.seq);
        net.nodes[0].timeout(now, wall);
        net.input(0, In::AddAddresses { peer, record: Some(old.clone()), addrs: vec![addr(2)], told: false });
        net.input(0, In::Want { peer, owner: Owner::Membership });
        net.run(8_000);
        assert_eq!(net.nodes[0].ups(), 1, "after {} days", after / day);
        let asked = net.log.iter().filter(|(_, _, b)| b[0] == packet::RECORD_REQUEST).count();
        assert!(asked > 0, "the newer record is fetched either way");
        let inits = net.log.iter().filter(|(_, _, b)| b[0] == packet::INIT).count();
        assert_eq!(inits > 1, asks, "{inits} Inits");
        assert!(net.connection(0, 1).record.seq > old.seq);
    }
}

#[test]
fn beyond_the_limit_the_least_wanted_link_is_closed() {
    let mut config = Config::default();
    config.limits.neighbours = 2;
    config.limits.links = 2;
    config.membership.target = 2;
    let mut net = Net::with(5, 14, &config);
    for n in 2..=3 {
        net.input(0, In::Connect { addr: addr(n), expect: None });
        net.run(1_000);
    }
    let (two, three) = (net.nodes[1].id, net.nodes[2].id);
    net.input(0, In::Want { peer: two, owner: Owner::Membership });
    net.input(3, In::Connect { addr: addr(1), expect: None });
    net.run(1_000);
    assert_eq!(net.nodes[0].downs(), [DownReason::Full]);
    assert_eq!(net.nodes[2].downs(), [DownReason::Full]);
    assert!(!net.nodes[0].link.linked().any(|p| p == three));
    let four = net.nodes[3].id;
    net.input(0, In::Want { peer: four, owner: Owner::Delivery });
    net.input(4, In::Connect { addr: addr(1), expect: None });
    net.run(12_000);
    assert_eq!(net.nodes[4].ups(), 0, "both links are wanted");
    assert!(net.nodes[4].events.iter().any(|e| matches!(e, Out::Unreachable { .. })));
}

#[test]
fn many_nodes_of_one_address_link_promptly() {
    let mut net = Net::new(60, 15);
    for node in 0..60 {
        net.nodes[node].addr = SocketAddr::from(([127, 0, 0, 1], 5_000 + node as u16));
    }
    let at = net.nodes[0].addr;
    for node in 1..60 {
        let (peer, record) = (net.nodes[0].id, net.nodes[0].link.record().clone());
        net.input(node, In::AddAddresses { peer, record: Some(record), addrs: vec![at], told: false });
        net.input(node, In::Want { peer, owner: Owner::Membership });
    }
    net.run(1_000);
    assert_eq!(net.nodes[0].ups(), 59, "cookies are the way through");
    assert!(net.log.iter().any(|(_, _, b)| b[0] == packet::COOKIE_REPLY));
}

#[test]
fn a_new_path_is_used_after_it_is_validated() {
    let mut net = Net::new(2, 16);
    net.link();
    net.want_both();
    let new = SocketAddr::from(([10, 0, 9, 9], 777));
    net.nodes[0].addr = new;
    net.fact(0, &Fact::NetworkChanged);
    net.run(200);
    let a = net.nodes[0].id;
    assert!(
        net.nodes[1]
            .events
            .iter()
            .any(|e| matches!(e, Out::Fact(Fact::AddressChanged { peer, addr }) if *peer == a && *addr == new))
    );
    net.send(1, 0, vec![5]);
    net.run(100);
    assert_eq!(net.nodes[0].bodies, [vec![5]]);
    assert!(net.nodes[0].events.iter().any(|e| matches!(e, Out::Observed { addr, .. } if *addr == new)));
    net.run(60_000);
    assert_eq!(net.nodes[0].downs(), []);
}

#[test]
fn a_slow_peer_fills_its_own_queue_and_drops_the_oldest() {
    let mut config = Config::default();
    config.limits.link_queue_bytes = 300_000;
    let mut net = Net::with(2, 17, &config);
    net.link();
    net.faults.loss = 100;
    let to = net.nodes[1].id;
    for n in 0..1_000u32 {
        let body = [n.to_le_bytes().to_vec(), vec![0; 996]].concat();
        net.quietly(0, In::Send { to, channel: Channel::Chat, priority: Priority::Low, body });
    }
    assert!(net.nodes[0].link.info(to).unwrap().queued_bytes <= 300_000);
    assert!(net.nodes[0].link.drops.get(DropReason::Queue) > 600);
    assert!(net.nodes[0].link.free_queue(to) < 2_000);
    net.faults.loss = 0;
    net.drain(0);
    net.run(3_000);
    assert!(net.nodes[1].bodies.iter().any(|b| b[..4] == 999u32.to_le_bytes()), "the newest is kept");
    assert_eq!(net.nodes[0].link.free_queue(to), 300_000);
}

/// Mutation: `>` in `Connection::send` is `>=`.
#[test]
fn a_queue_may_be_full_to_its_last_byte() {
    let send = |net: &mut Net| {
        let to = net.nodes[1].id;
        let body = vec![7; 1_000];
        net.quietly(0, In::Send { to, channel: Channel::Chat, priority: Priority::Low, body });
        (net.nodes[0].link.free_queue(to), net.nodes[0].link.drops.get(DropReason::Queue))
    };
    let mut net = Net::new(2, 17);
    net.link();
    let cost = net.nodes[0].link.free_queue(net.nodes[1].id) - send(&mut net).0;
    let mut config = Config::default();
    config.limits.link_queue_bytes = 10 * cost;
    let mut net = Net::with(2, 17, &config);
    net.link();
    for n in 1..=10 {
        assert_eq!(send(&mut net), ((10 - n) * cost, 0));
    }
    assert_eq!(send(&mut net), (0, 1));
}

#[test]
fn queued_messages_leave_before_the_close() {
    let mut net = Net::new(2, 18);
    net.link();
    let to = net.nodes[1].id;
    net.quietly(0, In::Send { to, channel: Channel::Membership, priority: Priority::High, body: vec![1] });
    net.input(0, In::Shut);
    net.run(100);
    assert_eq!(net.nodes[1].bodies, [vec![1]]);
    assert_eq!(net.nodes[1].downs(), [DownReason::Closed]);
    assert_eq!(net.nodes[0].downs(), [DownReason::Unwanted]);
    net.input(1, In::Connect { addr: addr(1), expect: None });
    net.run(12_000);
    assert_eq!(net.nodes[1].ups(), 1, "a node that left does not answer");
}

#[test]
fn the_same_seed_gives_the_same_transcript() {
    let run = |seed| {
        let mut net = Net::new(2, seed);
        net.faults = Faults { loss: 20, repeat: 10, damage: 2, delay: 20, jitter: 50, ..Faults::default() };
        net.want_both();
        net.input(0, In::Connect { addr: addr(2), expect: None });
        for n in 0..50u8 {
            net.run(1_000);
            net.send(0, 1, vec![n; 3_000]);
        }
        (*net.hash.finalize().as_bytes(), net.nodes[0].link.state_digest())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn draining_late_costs_delay_and_nothing_else() {
    let mut net = Net::new(2, 19);
    net.link();
    let to = net.nodes[1].id;
    for n in 0..20u8 {
        net.quietly(0, In::Send { to, channel: Channel::Chat, priority: Priority::Normal, body: vec![n] });
        let later = net.now + Duration::from_millis(100);
        net.step_to(later);
    }
    net.drain(0);
    net.run(1_000);
    assert_eq!(net.nodes[1].bodies.len(), 20);
    assert_eq!(net.nodes[0].downs(), []);
}

/// A lost piece is sent again about once a second while the link lives; found by the property above.
#[test]
fn pieces_wait_for_one_that_is_lost_many_times() {
    let sizes = [1_143, 5_497, 0, 7_697, 1, 1_295, 7_869, 1_125, 1_383, 929, 5_080];
    let sizes = sizes.into_iter().chain([4_362, 5_162, 4_193, 1_132, 6_738, 6_855, 7_209, 5_539, 3_301, 8_593, 2_189]);
    let mut net = Net::new(2, 1_576_668_495_061_108_872);
    net.faults = Faults { loss: 27, repeat: 9, delay: 90, jitter: 154, ..Faults::default() };
    net.keep_log = false;
    net.want_both();
    let (peer, at) = (net.nodes[1].id, net.nodes[1].addr);
    net.input(0, In::AddAddresses { peer, record: None, addrs: vec![at], told: false });
    net.run(60_000);
    let mut sent = Vec::new();
    for (n, size) in sizes.enumerate() {
        let mut body = vec![n as u8; size];
        body.extend((n as u32).to_le_bytes());
        net.send(n % 2, 1 - n % 2, body.clone());
        sent.push((1 - n % 2, body));
    }
    net.run(60_000);
    assert_eq!(net.nodes[0].link.drops.get(DropReason::Reassembly), 0);
    assert!(sent.iter().all(|(to, body)| net.nodes[*to].bodies.contains(body)));
}

/// Failure detection probes its members itself; a keepalive is for the binding of a NAT box.
#[test]
fn a_rare_link_without_nat_gets_no_keepalives_for_three_minutes() {
    let sent_in = |local: bool| {
        let mut net = Net::new(2, 4);
        if local {
            (0..2).for_each(|n| net.fact(n, &Fact::LocalAddresses(vec![net.nodes[n].addr])));
        }
        net.link();
        for (node, other) in [(0, 1), (1, 0)] {
            let peer = net.nodes[other].id;
            net.input(node, In::Want { peer, owner: Owner::Swim });
        }
        net.run(1_000);
        net.log.clear();
        net.run(190_000);
        net.log.len()
    };
    assert_eq!(sent_in(true), 0);
    assert!(sent_in(false) >= 14, "the peer sees another address than this node has");
}
