//! Post-quantum secrets of links.

use alloc::vec;

use super::*;
use crate::link::generations::Exchange;
use crate::link::packet::{INIT, RESP};

fn requiring() -> Config {
    let mut config = Config::default();
    config.link.require_post_quantum = true;
    config
}

/// Two nodes with their own settings.
fn pair(seed: u64, configs: [&Config; 2]) -> Net {
    let mut net = Net::new(2, seed);
    for (node, config) in configs.into_iter().enumerate() {
        net.nodes[node] = Node::start(node as u8 + 1, seed, config, OrderedMap::new(), net.now, net.wall);
    }
    net
}

fn generations(net: &Net) -> [u8; 2] {
    [0, 1].map(|node| {
        let link = &net.nodes[node].link;
        link.links.values().next().map_or(0, |connection| connection.current.generation)
    })
}

fn exchanges(net: &Net) -> usize {
    net.log.iter().filter(|(_, _, bytes)| bytes[0] == packet::DATA && bytes.len() > 600).count()
}

fn say(net: &mut Net, from: usize, message: &Exchange<'_>) {
    let to = net.nodes[1 - from].id;
    let body = message.encode();
    let connection = net.nodes[from].link.links.get_mut(&to).unwrap();
    connection.queue.push(Priority::High, crate::link::upgrade::CHANNEL, body);
    net.nodes[from].link.transmit.set_ready(to, true);
    net.drain(from);
}

/// The keys of a wanted link mix a secret in after two seconds, and one more after each hour of use. Breaks if the
/// exchange is not followed by a handshake, or if one end derives another secret: the handshake fails.
#[test]
fn a_link_in_use_mixes_in_a_secret_and_then_one_an_hour() {
    let mut net = Net::new(2, 60);
    net.link();
    net.want_both();
    net.run(1_000);
    assert_eq!(generations(&net), [0, 0], "young links are often given up");
    net.run(4_000);
    assert_eq!(generations(&net), [1, 1]);
    net.log.clear();
    net.run(2 * 3_600_000);
    assert_eq!((generations(&net), exchanges(&net)), ([1, 1], 0), "nothing was said since");
    for generation in 2..=4 {
        net.send(0, 1, vec![generation]);
        net.run(3_605_000);
        assert_eq!(generations(&net), [generation; 2]);
    }
    assert_eq!((net.nodes[1].bodies.len(), net.nodes[0].downs(), net.nodes[1].downs()), (3, vec![], vec![]));
}

/// Breaks if a link offers that only failure detection wants, or no machine.
#[test]
fn a_link_that_carries_no_content_exchanges_nothing() {
    let mut net = Net::new(2, 61);
    net.link();
    let peer = net.nodes[1].id;
    net.run(20_000);
    net.input(0, In::Want { peer, owner: Owner::Swim });
    net.run(20_000);
    assert_eq!(generations(&net), [0, 0]);
    net.input(0, In::Want { peer, owner: Owner::Delivery });
    net.run(1_000);
    assert_eq!(generations(&net), [1, 1]);
}

#[test]
fn an_end_that_has_it_off_declines_and_is_not_asked_again() {
    let mut net = pair(62, [&Config::default(), &classical()]);
    net.link();
    net.want_both();
    net.run(3_600_000);
    assert_eq!((generations(&net), net.nodes[0].downs()), ([0, 0], vec![]));
    let offers = net.log.iter().filter(|(from, _, bytes)| *from == addr(1) && bytes.len() > 600).count();
    assert!((1..=3).contains(&offers), "{offers} datagrams");
}

/// Nothing passes over a link before its keys mix a secret in, what the other end says meanwhile is not lost, and no
/// machine learns of a link that gets none. Breaks if `LinkUp` is given at once.
#[test]
fn an_end_that_requires_it_shows_the_link_once_it_has_a_secret() {
    for (seed, other) in [(63, Config::default()), (64, requiring())] {
        let mut net = pair(seed, [&requiring(), &other]);
        let peer = net.nodes[1].id;
        net.input(0, In::Connect { addr: addr(2), expect: None });
        let mut said = false;
        for _ in 0..1_000 {
            net.run(1);
            if net.nodes[0].ups() == 1 {
                break;
            }
            assert!(net.nodes[0].link.info(peer).is_none() && net.nodes[0].link.linked().next().is_none());
            if net.nodes[1].ups() == 1 && !said {
                said = true;
                net.send(1, 0, vec![1, 2, 3]);
            }
        }
        assert_eq!((net.nodes[0].ups(), generations(&net)[0]), (1, 1), "{seed}");
        net.run(500);
        assert_eq!(generations(&net), [1, 1]);
        net.send(1, 0, vec![4]);
        net.run(500);
        let want = if said { vec![vec![1, 2, 3], vec![4]] } else { vec![vec![4]] };
        assert_eq!(net.nodes[0].bodies, want);
        assert!(said || seed == 64, "the other end did not wait");
    }
    let mut net = pair(65, [&requiring(), &classical()]);
    net.input(0, In::Connect { addr: addr(2), expect: None });
    net.run(2_900);
    net.send(1, 0, vec![1]);
    net.run(1_000);
    assert_eq!((net.nodes[0].ups(), net.nodes[0].downs(), &net.nodes[0].bodies), (0, vec![], &Vec::new()));
    assert!(net.nodes[0].events.iter().any(|out| matches!(out, Out::Unreachable { .. })), "the request is answered");
    assert_eq!(net.nodes[1].downs(), [DownReason::Closed]);
}

/// A peer fills what waits on a link without a secret: the link ends. Breaks if what waits has no bound.
#[test]
fn what_waits_on_a_link_without_a_secret_is_bounded() {
    let mut net = pair(66, [&requiring(), &classical()]);
    net.input(0, In::Connect { addr: addr(2), expect: None });
    net.run(200);
    for _ in 0..40 {
        net.send(1, 0, vec![1; 4_000]);
    }
    net.run(1_000);
    assert_eq!((net.nodes[1].downs(), net.nodes[0].link.links.len()), (vec![DownReason::Closed], 0));
}

/// 200 offers in a second cost two encapsulations. Breaks if an end answers each.
#[test]
fn offers_beyond_two_wait_for_ten_minutes() {
    let mut net = pair(67, [&classical(), &Config::default()]);
    net.link();
    let mut rng = Rng::new([1; 32]);
    net.log.clear();
    for _ in 0..200 {
        let key = crate::crypto::kem::encapsulation_key(&rng.bytes());
        say(&mut net, 0, &Exchange::Offer { generation: 1, key: &key });
        net.run(5);
    }
    net.run(1_000);
    let answers = net.log.iter().filter(|(from, _, bytes)| *from == addr(2) && bytes.len() > 1_000).count();
    assert_eq!(answers, 2);
    assert_eq!(generations(&net), [0, 0]);
}

/// 50 a second for the node, whatever the number of its links. Breaks without the node's own limit.
#[test]
fn a_busy_node_declines() {
    let mut net = Net::new(2, 68);
    net.link();
    net.want_both();
    for _ in 0..3_000 {
        while net.nodes[1].link.encapsulations.take(net.now) {}
        net.run(1);
    }
    assert_eq!(generations(&net), [0, 0]);
    net.run(120_000);
    assert_eq!(generations(&net), [1, 1], "asked again after a minute or so");
}

/// Breaks if the byte is no part of the transcript and an end mixes in no other key for it.
#[test]
fn a_changed_generation_in_a_resp_opens_nothing() {
    let mut net = Net::new(2, 69);
    net.link();
    net.want_both();
    net.run(5_000);
    assert_eq!(generations(&net), [1, 1]);
    net.faults.loss = 100;
    let peer = net.nodes[1].id;
    net.log.clear();
    let (now, wall) = (net.now, net.wall);
    let node = &mut net.nodes[0];
    let mut cx = Cx { now, wall: WallTime(wall), me: node.id, rng: &mut node.rng };
    node.link.renew(&mut cx, peer);
    net.drain(0);
    let init = net.log.iter().find(|(_, _, bytes)| bytes[0] == INIT).unwrap().2.clone();
    net.input(1, In::Datagram { from: addr(1), bytes: init });
    let mut resp = net.log.iter().find(|(_, _, bytes)| bytes[0] == RESP).unwrap().2.clone();
    assert_eq!(resp[10], 1, "the generation in clear");
    let good = resp.clone();
    resp[10] = 0;
    let key = net.nodes[0].link.record().link_key;
    let end = resp.len() - 32;
    let mac1 = crate::link::cookie::mac(&crate::link::cookie::mac1_key(&key), &resp[..end]);
    resp[end..end + 16].copy_from_slice(&mac1);
    let (keys, drops) = (net.connection(0, 1).current.local, net.nodes[0].link.drops.get(DropReason::Handshake));
    net.input(0, In::Datagram { from: addr(2), bytes: resp });
    assert_eq!(net.connection(0, 1).current.local, keys);
    assert_eq!(net.nodes[0].link.drops.get(DropReason::Handshake), drops + 1);
    net.input(0, In::Datagram { from: addr(2), bytes: good });
    assert_ne!(net.connection(0, 1).current.local, keys, "the true one is taken");
}

/// Breaks if an end takes keys of an older generation for those of the same life.
#[test]
fn an_end_that_forgot_its_secrets_takes_no_generation_back() {
    let mut net = Net::new(2, 71);
    net.link();
    net.want_both();
    net.run(5_000);
    assert_eq!(generations(&net), [1, 1]);
    let ids = [net.nodes[0].id, net.nodes[1].id];
    let epochs = [net.connection(0, 1).epoch, net.connection(1, 0).epoch];
    let life = crate::link::generations::Life { ids, epochs };
    net.connection(1, 0).upgrade.generations = crate::link::generations::Generations::new(&life);
    let keys = net.connection(0, 1).current.local;
    let (now, wall) = (net.now, net.wall);
    let node = &mut net.nodes[0];
    let mut cx = Cx { now, wall: WallTime(wall), me: node.id, rng: &mut node.rng };
    node.link.renew(&mut cx, ids[1]);
    net.drain(0);
    net.run(3_000);
    assert_eq!((net.connection(0, 1).current.local, generations(&net)[0]), (keys, 1));
}

/// Either end crashes between the answer and the new keys, or loses its memory later: the new life of the link begins
/// without a secret and gets one of its own. Breaks if a generation of another life is chosen.
#[test]
fn a_crash_at_any_step_of_the_exchange_ends_in_a_new_life() {
    for (node, after) in [0, 1].into_iter().flat_map(|node| (1_900..2_600).step_by(10).map(move |after| (node, after)))
    {
        let mut net = Net::new(2, 70);
        net.link();
        net.want_both();
        net.run(after - 500);
        let disk = net.nodes[node].disk.clone();
        let other = 1 - node;
        net.nodes[node] = Node::start(node as u8 + 1, after, &Config::default(), disk, net.now, net.wall);
        let peer = net.nodes[other].id;
        net.input(node, In::Want { peer, owner: Owner::Membership });
        let there = net.nodes[other].addr;
        net.input(node, In::Connect { addr: there, expect: Some(peer) });
        net.run(10_000);
        assert_eq!(generations(&net), [1, 1], "end {node} after {after} ms");
        net.send(node, other, vec![5]);
        net.run(1_000);
        assert_eq!(net.nodes[other].bodies, [vec![5]]);
    }
}

/// Loss, delay, doubles and both ends renewing: an exchange never costs a link, and both ends mix the same secret in.
/// Breaks if an offer that came twice is answered twice, or if crossing offers both stand.
#[test]
fn exchanges_survive_what_a_path_does() {
    for seed in 0..40u64 {
        let require = requiring();
        let config = if seed % 2 == 0 { require } else { Config::default() };
        let mut net = Net::with(2, seed, &config);
        for node in &mut net.nodes {
            node.proves = false;
        }
        net.keep_log = false;
        net.faults = Faults { delay: 30, jitter: 60, repeat: 15, loss: 12, ..Faults::default() };
        let (one, two) = (net.nodes[0].id, net.nodes[1].id);
        net.want_both();
        net.input(0, In::Connect { addr: addr(2), expect: Some(two) });
        net.input(1, In::Connect { addr: addr(1), expect: Some(one) });
        for _ in 0..10 {
            net.run(700_000);
            for (from, to) in [(0, 1), (1, 0)] {
                let peer = net.nodes[to].id;
                if net.nodes[from].link.info(peer).is_some() {
                    net.send(from, to, vec![1]);
                } else {
                    let there = net.nodes[to].addr;
                    net.input(from, In::Connect { addr: there, expect: Some(peer) });
                }
            }
        }
        net.faults = Faults { delay: 10, ..Faults::default() };
        net.run(3_700_000);
        net.send(0, 1, vec![2]);
        net.run(200_000);
        let now = generations(&net);
        assert!(now[0] >= 1 && now[0] == now[1], "seed {seed}: {now:?}");
        assert!(!net.nodes[0].downs().contains(&DownReason::Timeout), "seed {seed}: {:?}", net.nodes[0].downs());
    }
}
