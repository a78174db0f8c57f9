//! What one link gets of a path: rate, width, and what others on it get.

use super::*;
use alloc::vec;

/// 4 Mbit/s in bytes a second.
const RATE: u64 = 500_000;

/// Opens links 0 to 1, 2 to 3, and so on.
fn pairs(net: &mut Net) {
    net.keep_log = false;
    net.nodes.iter_mut().for_each(|node| node.proves = false);
    for node in (0..net.nodes.len()).step_by(2) {
        let (peer, addr) = (net.nodes[node + 1].id, net.nodes[node + 1].addr);
        net.input(node, In::Want { peer, owner: Owner::Delivery });
        net.input(node, In::Connect { addr, expect: Some(peer) });
    }
    net.run(1_000);
    assert!(net.nodes.iter().all(|n| n.ups() == 1));
}

/// Keeps `senders` busy for `ms`; bytes that arrived from each.
fn flow(net: &mut Net, senders: &[usize], ms: u64) -> Vec<u64> {
    let mut bytes = vec![0; senders.len()];
    for _ in 0..ms / 10 {
        for (at, &node) in senders.iter().enumerate() {
            let to = net.nodes[node + 1].id;
            while net.nodes[node].link.info(to).unwrap().queued_bytes < 200_000 {
                net.quietly(
                    node,
                    In::Send { to, channel: Channel::Chat, priority: Priority::Normal, body: vec![1; 16_000] },
                );
            }
            net.drain(node);
            bytes[at] += net.nodes[node + 1].bodies.drain(..).map(|b| b.len() as u64).sum::<u64>();
        }
        net.run(10);
    }
    bytes
}

fn share(bytes: u64, ms: u64) -> f64 {
    bytes as f64 * 1_000.0 / (RATE * ms) as f64
}

#[test]
fn a_path_is_filled_and_its_buffer_is_not() {
    let mut net = Net::new(2, 1);
    // A round trip of 50 ms and a buffer of one bandwidth-delay product.
    net.faults = Faults { delay: 25, rate: (RATE, RATE / 20), ..Faults::default() };
    pairs(&mut net);
    flow(&mut net, &[0], 2_000);
    let used = share(flow(&mut net, &[0], 10_000)[0], 10_000);
    assert!(used > 0.85, "{used}");
    assert!(net.nodes[0].link.packets_lost() < 400, "{}", net.nodes[0].link.packets_lost());
}

/// What theory gives a window that falls by three tenths with each loss: 1.22 / sqrt(p) datagrams a round trip
/// (Mathis et al., CCR 1997), so 12 of 1,452 bytes in 50 ms, 350 kB/s.
#[test]
fn one_percent_of_loss_leaves_what_the_theory_says() {
    let mut net = Net::new(2, 2);
    net.faults = Faults { delay: 25, loss: 1, rate: (RATE * 25, RATE), ..Faults::default() };
    pairs(&mut net);
    flow(&mut net, &[0], 2_000);
    let kilobytes = flow(&mut net, &[0], 20_000)[0] / 20_000;
    assert!((250..700).contains(&kilobytes), "{kilobytes} kB/s");
}

#[test]
fn two_links_share_a_bottleneck_by_halves() {
    let mut net = Net::new(4, 3);
    net.faults = Faults { delay: 25, rate: (RATE, RATE / 20), ..Faults::default() };
    pairs(&mut net);
    // The second comes when the first has all.
    flow(&mut net, &[0], 3_000);
    flow(&mut net, &[0, 2], 10_000);
    let got = flow(&mut net, &[0, 2], 20_000);
    let (sum, squares) = (got.iter().sum::<u64>() as f64, got.iter().map(|b| (*b as f64).powi(2)).sum::<f64>());
    let jain = sum * sum / (2.0 * squares);
    assert!(jain > 0.95 && share(got.iter().sum(), 20_000) > 0.8, "{jain} of {got:?}");
}

#[test]
fn many_links_on_a_thin_path_all_get_through() {
    let mut net = Net::new(16, 4);
    net.faults = Faults { delay: 25, rate: (RATE / 4, RATE / 40), ..Faults::default() };
    pairs(&mut net);
    let senders: Vec<usize> = (0..16).step_by(2).collect();
    let got = flow(&mut net, &senders, 30_000);
    let all = 4.0 * share(got.iter().sum(), 30_000);
    assert!(all > 0.7 && got.iter().all(|b| *b > 100_000), "{all}: {got:?}");
    assert!(net.nodes.iter().all(|n| n.downs().is_empty()));
}

#[test]
fn a_path_of_1100_bytes_carries_long_messages() {
    for (mtu, least) in [(1_100, 1_050), (600, 548), (1_300, 1_200)] {
        let mut net = Net::new(2, 5);
        net.faults = Faults { delay: 25, mtu, ..Faults::default() };
        pairs(&mut net);
        let body: Vec<u8> = (0..65_536u32).map(|n| (n / 3) as u8).collect();
        net.send(0, 1, body.clone());
        for n in 0..8 {
            net.send(0, 1, vec![n; 1_090]);
        }
        net.run(3_000);
        assert!(net.nodes[1].bodies.contains(&body), "a path of {mtu}");
        assert!((0..8).all(|n| net.nodes[1].bodies.contains(&vec![n; 1_090])));
        net.run(5_000);
        // Now nothing is lost any more.
        let lost = net.nodes[0].link.packets_lost();
        for _ in 0..20 {
            net.send(0, 1, body.clone());
            net.run(500);
        }
        assert!(net.nodes[1].bodies.iter().filter(|b| **b == body).count() >= 21);
        assert!(net.nodes[0].link.packets_lost() <= lost + 1);
        let length = net.connection(0, 1).datagram();
        assert!(length <= mtu && length >= least, "{length} of {mtu}");
    }
}

#[test]
fn a_path_that_becomes_narrow_is_noticed() {
    let mut net = Net::new(2, 6);
    net.faults = Faults { delay: 25, ..Faults::default() };
    pairs(&mut net);
    for _ in 0..4 {
        net.send(0, 1, vec![1; 65_536]);
        net.run(1_000);
    }
    assert_eq!(net.connection(0, 1).datagram(), 1_452, "most paths carry it");
    net.faults.mtu = 1_100;
    net.send(0, 1, vec![2; 65_536]);
    net.run(5_000);
    assert!(net.nodes[1].bodies.contains(&vec![2; 65_536]));
    for _ in 0..3 {
        net.send(0, 1, vec![3; 65_536]);
        net.run(2_000);
    }
    assert!((1_050..=1_100).contains(&net.connection(0, 1).datagram()), "{}", net.connection(0, 1).datagram());
}

#[test]
fn a_datagram_that_the_system_refuses_is_sent_in_shorter_ones() {
    let mut net = Net::new(2, 7);
    net.faults = Faults { delay: 25, ..Faults::default() };
    pairs(&mut net);
    net.send(0, 1, vec![1; 65_536]);
    net.run(2_000);
    net.send(0, 1, vec![2; 65_536]);
    let to = net.nodes[1].addr;
    net.faults.mtu = 1_150;
    net.flying.retain(|_, (_, _, bytes)| bytes.len() <= 1_150);
    // What the host says after the first of them.
    net.input(0, In::TooLong { to, length: 1_452 });
    net.input(0, In::TooLong { to, length: 1_200 });
    assert!(net.connection(0, 1).datagram() <= 1_150);
    net.run(500);
    assert!(net.nodes[1].bodies.contains(&vec![2; 65_536]));
    // Another address is none of this link's business.
    net.input(0, In::TooLong { to: addr(77), length: 600 });
    assert!(net.connection(0, 1).datagram() > 600);
}

#[test]
fn a_message_that_cannot_pass_does_not_block_others() {
    let mut net = Net::with(2, 8, &classical());
    net.faults = Faults { delay: 25, ..Faults::default() };
    pairs(&mut net);
    // Narrower than any path is.
    net.faults.mtu = 500;
    net.send(0, 1, vec![9; 65_536]);
    net.run(100);
    for n in 0..8 {
        net.send(0, 1, vec![n; 200]);
    }
    net.run(2_000);
    assert_eq!(net.nodes[1].bodies.len(), 8);
    // And later ones come at once.
    net.run(20_000);
    net.keep_log = true;
    for n in 10..60 {
        net.send(0, 1, vec![n; 200]);
        net.run(200);
        assert!(net.nodes[1].bodies.contains(&vec![n; 200]), "{n}");
    }
    let vain = net.log.iter().filter(|(from, _, bytes)| *from == addr(1) && bytes.len() > 500).count();
    assert!(vain <= 25, "{vain} datagrams in vain in 10 s");
    assert_eq!(net.nodes[0].downs(), []);
    // The path heals.
    net.faults.mtu = 0;
    net.run(10_000);
    assert!(net.nodes[1].bodies.contains(&vec![9; 65_536]));
}

#[test]
fn a_first_packet_that_is_lost_is_no_long_round_trip() {
    let mut net = Net::new(2, 9);
    net.faults = Faults { delay: 25, ..Faults::default() };
    net.input(0, In::Connect { addr: net.nodes[1].addr, expect: None });
    // Until its Resp is under way; what confirms it is lost.
    while !net.flying.values().any(|(from, _, bytes)| *from == addr(2) && bytes[0] == packet::RESP) {
        net.run(5);
    }
    net.run(25);
    net.flying.retain(|_, (_, _, bytes)| bytes[0] != packet::DATA);
    net.run(5_000);
    for (node, peer) in [(0, 1), (1, 0)] {
        let rtt = net.connection(node, peer).recovery.rtt.smoothed();
        assert!(rtt.is_none_or(|rtt| rtt < Duration::from_millis(120)), "{node}: {rtt:?}");
    }
}
