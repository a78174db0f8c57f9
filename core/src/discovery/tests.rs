use super::*;
use crate::collections::short;
use crate::fact::{DownReason, samples::record};
use crate::rng::Rng;
use crate::time::WallTime;
use alloc::vec;
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

const PUBLIC: [u8; 32] = [0; 32];

fn node(n: u8) -> NodeId {
    NodeId([n; 32])
}

fn at(n: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], port))
}

/// The group's port, from which every beacon comes.
fn group(n: u8) -> SocketAddr {
    at(n, 8_888)
}

fn beacon(n: u16) -> Beacon {
    let tag = short(blake3::hash(&n.to_le_bytes()).as_bytes());
    Beacon { ports: [4_000, 4_001], tag, id: None }
}

struct Bench {
    d: Discovery,
    rng: Rng,
    now: Instant,
    n: u8,
}

impl Bench {
    fn with(n: u8, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.discovery.beacons = true;
        change(&mut config);
        let now = Instant::from_micros(1_000_000);
        let mut b = Self { d: Discovery::new(&config), rng: Rng::new([n; 32]), now, n };
        b.fact(Fact::LocalAddresses(vec![at(n, 4_000)]));
        b
    }

    fn new(n: u8) -> Self {
        Self::with(n, |_| ())
    }

    fn step(&mut self, f: impl FnOnce(&mut Discovery, &mut Cx<'_>, &mut Outbox<Out>)) -> Vec<Out> {
        let mut out = Outbox::new();
        let mut cx = Cx { now: self.now, wall: WallTime(5), me: node(self.n), rng: &mut self.rng };
        f(&mut self.d, &mut cx, &mut out);
        out.take()
    }

    fn fact(&mut self, fact: Fact) -> Vec<Out> {
        self.step(|d, cx, out| d.fact(cx, &fact, out))
    }

    fn input(&mut self, input: In) -> Vec<Out> {
        self.step(|d, cx, out| d.handle(cx, input, out))
    }

    fn receive(&mut self, from: SocketAddr, beacon: &Beacon) -> Vec<Out> {
        self.input(In::Beacon { from, bytes: beacon.encode(&beacon_key(&PUBLIC)) })
    }

    /// The beacons of the next `time`, each with the time it was sent.
    fn run(&mut self, time: Duration) -> Vec<(Instant, Vec<u8>)> {
        let end = self.now + time;
        let mut all = Vec::new();
        while let Some(due) = self.d.next_deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            for out in self.step(|d, cx, out| d.handle_timeout(cx, out)) {
                let Out::Beacon(bytes) = out else { panic!("{out:?}") };
                all.push((self.now, bytes));
            }
        }
        self.now = end;
        all
    }

    fn tags(&mut self, time: Duration) -> Vec<Tag> {
        let sent = self.run(time);
        sent.iter().map(|(_, b)| Beacon::decode(b, &beacon_key(&PUBLIC)).unwrap().tag).collect()
    }
}

fn found(out: &[Out]) -> Vec<(SocketAddr, Option<NodeId>)> {
    let found = |o: &Out| if let Out::Found { addr, id } = o { Some((*addr, *id)) } else { None };
    out.iter().filter_map(found).collect()
}

#[test]
fn three_beacons_come_soon_then_one_every_half_minute() {
    let mut b = Bench::new(1);
    assert!(b.run(Duration::from_secs(60)).is_empty(), "it is in no network yet");
    let began = b.now;
    b.fact(Fact::Joined);
    let times: Vec<u64> = b.run(Duration::from_secs(600)).iter().map(|(at, _)| at.since(began).as_secs()).collect();
    assert_eq!(times[..3], [0, 2, 6]);
    for pair in times[2..].windows(2) {
        assert!((24..=36).contains(&(pair[1] - pair[0])), "{times:?}");
    }
    for change in [Fact::NetworkChanged, Fact::Joined] {
        let began = b.now;
        b.fact(change);
        let times: Vec<u64> = b.run(Duration::from_secs(20)).iter().map(|(at, _)| at.since(began).as_secs()).collect();
        assert_eq!(times, [0, 2, 6], "a fresh schedule");
    }
    b.fact(Fact::Left);
    assert!(b.run(Duration::from_secs(120)).is_empty());
}

#[test]
fn without_multicast_no_beacon_is_sent_or_accepted() {
    let mut b = Bench::with(1, |c| c.discovery.beacons = false);
    b.fact(Fact::Joined);
    assert!(b.receive(group(2), &beacon(2)).is_empty());
    assert!(b.run(Duration::from_secs(120)).is_empty());
    // What the host finds by itself is taken all the same.
    let peer = In::LocalPeer { id: Some(node(2)), addr: at(2, 4_000) };
    assert_eq!(found(&b.input(peer)), [(at(2, 4_000), Some(node(2)))]);
}

#[test]
fn a_beacon_gives_its_port_at_the_address_it_came_from() {
    let mut b = Bench::new(1);
    b.fact(Fact::Joined);
    assert_eq!(found(&b.receive(group(2), &beacon(2))), [(at(2, 4_000), None)]);
    let v6: SocketAddr = "[fe80::2%3]:8888".parse().unwrap();
    let place: SocketAddr = "[fe80::2%3]:4001".parse().unwrap();
    assert_eq!(found(&b.receive(v6, &beacon(3))), [(place, None)]);
    let known = Beacon { id: Some(node(4)), ..beacon(4) };
    assert_eq!(found(&b.receive(group(4), &known)), [(at(4, 4_000), Some(node(4)))]);
    // It does not listen in this family.
    assert!(b.receive(group(5), &Beacon { ports: [0, 4_000], ..beacon(5) }).is_empty());
}

/// Breaks without `is_near`: a sender that reaches the port of beacons names any address of the internet.
#[test]
fn a_beacon_from_beyond_the_local_network_is_refused() {
    let mut b = Bench::new(1);
    b.fact(Fact::Joined);
    for far in ["8.8.4.4:8888", "[2001:db8::1]:8888", "[::ffff:8.8.4.4]:8888"] {
        assert!(b.receive(far.parse().unwrap(), &beacon(2)).is_empty(), "{far}");
    }
    assert_eq!((b.d.drops.get(DropReason::OtherNetwork), b.d.footprint()), (3, 0));
}

#[test]
fn a_node_on_two_interfaces_is_one_node() {
    let mut b = Bench::new(1);
    b.fact(Fact::Joined);
    assert_eq!(found(&b.receive(group(2), &beacon(2))), [(at(2, 4_000), None)]);
    b.fact(Fact::LinkUp { peer: node(2), record: record(2), addr: at(2, 4_000) });
    assert!(b.receive(group(3), &beacon(2)).is_empty());
    assert_eq!(found(&b.receive(group(2), &beacon(2))), [(at(2, 4_000), None)]);
    // Silent for three beacons: it may have moved.
    b.run(Duration::from_secs(91));
    assert_eq!(found(&b.receive(group(3), &beacon(2))), [(at(3, 4_000), None)]);
}

/// Mutation: a known node's other address is never tried.
#[test]
fn a_node_is_tried_over_both_families_until_one_works() {
    let mut b = Bench::new(1);
    b.fact(Fact::Joined);
    let (v6, place): (SocketAddr, SocketAddr) =
        ("[fe80::2%3]:8888".parse().unwrap(), "[fe80::2%3]:4001".parse().unwrap());
    for _ in 0..3 {
        assert_eq!(found(&b.receive(group(2), &beacon(2))), [(at(2, 4_000), None)]);
        assert_eq!(found(&b.receive(v6, &beacon(2))), [(place, None)]);
        b.run(Duration::from_secs(20));
    }
    b.fact(Fact::LinkUp { peer: node(2), record: record(2), addr: place });
    assert!(b.receive(v6, &beacon(2)).is_empty(), "the one that works is kept");
    b.fact(Fact::LinkDown { peer: node(2), reason: DownReason::Timeout });
    assert_eq!(found(&b.receive(v6, &beacon(2))), [(place, None)]);
}

/// Mutation: ports are those of the addresses that are announced.
#[test]
fn a_beacon_names_the_port_of_a_family_of_link_local_addresses() {
    let mut b = Bench::new(1);
    b.fact(Fact::LocalAddresses(vec![at(1, 4_000), "[fe80::1]:4001".parse().unwrap()]));
    b.fact(Fact::Joined);
    let (_, bytes) = b.run(Duration::ZERO).remove(0);
    assert_eq!(Beacon::decode(&bytes, &beacon_key(&PUBLIC)).unwrap().ports, [4_000, 4_001]);
}

#[test]
fn own_and_foreign_beacons_change_nothing() {
    let mut b = Bench::new(1);
    b.fact(Fact::Joined);
    let (_, own) = b.run(Duration::ZERO).remove(0);
    let foreign = beacon(2).encode(&beacon_key(&[7; 32]));
    let mut forged = beacon(2).encode(&beacon_key(&PUBLIC));
    forged[6] ^= 1;
    let before = b.d.next_deadline();
    for bytes in [own.clone(), foreign, forged] {
        assert!(b.input(In::Beacon { from: group(2), bytes }).is_empty());
    }
    assert!(b.receive(group(2), &Beacon { id: Some(node(1)), ..beacon(9) }).is_empty());
    assert_eq!((b.d.next_deadline(), b.d.footprint()), (before, 0));
    assert_eq!((b.d.drops.get(DropReason::OtherNetwork), b.d.drops.total()), (2, 2));
    // The echo of the last beacon under the old tag.
    b.fact(Fact::NetworkChanged);
    b.run(Duration::ZERO);
    assert!(b.input(In::Beacon { from: group(1), bytes: own }).is_empty());
}

#[test]
fn the_id_is_sent_only_if_visible_and_the_tag_lasts_a_day() {
    let mut b = Bench::new(1);
    b.fact(Fact::Joined);
    let (_, bytes) = b.run(Duration::ZERO).remove(0);
    assert!(!bytes.windows(32).any(|w| w == node(1).as_bytes()));
    let mut tags = b.tags(Duration::from_secs(86_300));
    tags.dedup();
    assert_eq!(tags.len(), 1);
    b.run(Duration::from_secs(200));
    let later = b.tags(Duration::from_secs(60)).remove(0);
    assert_ne!(later, tags[0]);
    b.fact(Fact::NetworkChanged);
    assert_ne!(b.tags(Duration::ZERO)[0], later, "it cannot be followed from one network to the next");
    let mut b = Bench::with(1, |c| c.discovery.visible = true);
    b.fact(Fact::Joined);
    let (_, bytes) = b.run(Duration::ZERO).remove(0);
    assert_eq!(Beacon::decode(&bytes, &beacon_key(&PUBLIC)).unwrap().id, Some(node(1)));
}

#[test]
fn a_new_node_is_answered_and_a_known_one_is_not() {
    let mut b = Bench::new(1);
    b.fact(Fact::Joined);
    b.run(Duration::from_secs(10));
    b.receive(group(2), &beacon(2));
    assert_eq!(b.run(Duration::from_secs(1)).len(), 1);
    b.receive(group(2), &beacon(2));
    assert!(b.run(Duration::from_secs(1)).is_empty());
}

#[test]
fn the_tables_are_bounded_for_one_source_and_for_many() {
    let mut b = Bench::new(1);
    b.fact(Fact::Joined);
    let accepted = (0..100).filter(|n| !b.receive(group(2), &beacon(*n)).is_empty()).count();
    assert_eq!(accepted, 16);
    assert_eq!(b.d.drops.get(DropReason::Rate), 84);
    for n in 0..2_000u16 {
        let [hi, lo] = n.to_be_bytes();
        b.receive(SocketAddr::from(([10, 1, hi, lo], 8_888)), &beacon(1_000 + n));
        assert!(b.d.footprint() <= 512);
    }
    // A second later other sources are accepted, and the newest node replaces the oldest.
    b.run(Duration::from_secs(1));
    assert!(!b.receive(group(9), &beacon(9_999)).is_empty());
}

proptest! {
    #[test]
    fn a_node_answers_at_most_five_times_a_second(
        crowd in prop::collection::vec((any::<u16>(), 0..400u64), 1..200),
    ) {
        let mut b = Bench::new(1);
        b.fact(Fact::Joined);
        let mut sent: Vec<Instant> = b.run(Duration::from_secs(7)).into_iter().map(|(at, _)| at).collect();
        sent.clear();
        for (n, wait) in crowd {
            b.receive(group((n % 200) as u8), &beacon(n));
            sent.extend(b.run(Duration::from_millis(wait)).into_iter().map(|(at, _)| at));
        }
        sent.extend(b.run(Duration::from_secs(6)).into_iter().map(|(at, _)| at));
        prop_assert!(!sent.is_empty(), "no node was answered");
        for six in sent.windows(6) {
            // Five and one of the schedule, which does not wait.
            prop_assert!(six[5].since(six[0]) >= Duration::from_millis(800), "{sent:?}");
        }
    }

    #[test]
    fn a_beacon_reads_back_and_a_changed_one_does_not(
        ports in any::<[u16; 2]>(), tag in any::<[u8; 16]>(), id in any::<Option<[u8; 32]>>(),
        key in any::<[u8; 32]>(), at in any::<prop::sample::Index>(), flip in 1..=255u8,
    ) {
        let sent = Beacon { ports, tag, id: id.map(NodeId) };
        let key = beacon_key(&key);
        let mut bytes = sent.encode(&key);
        prop_assert!(bytes.len() <= beacon::MAX_BEACON);
        prop_assert_eq!(Beacon::decode(&bytes, &key), Ok(sent));
        for short in 0..bytes.len() {
            prop_assert!(Beacon::decode(&bytes[..short], &key).is_err());
        }
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(Beacon::decode(&bytes, &key).is_err());
    }

    /// Any number of nodes that begin at different times on one local network: each finds each, and the
    /// later ones at once, not when the next scheduled beacon comes.
    #[test]
    fn all_nodes_of_a_local_network_find_each_other(starts in prop::collection::vec(0..60_000u64, 2..8)) {
        let mut nodes: Vec<Bench> = (0..starts.len()).map(|n| Bench::new(n as u8 + 1)).collect();
        let mut met = vec![crate::collections::OrderedSet::new(); nodes.len()];
        let began = nodes[0].now;
        let mut asked = false;
        for millis in (0..66_000u64).step_by(10) {
            for n in 0..nodes.len() {
                nodes[n].now = began + Duration::from_millis(millis);
                if (starts[n]..starts[n] + 10).contains(&millis) {
                    nodes[n].fact(Fact::Joined);
                }
                if nodes[n].d.next_deadline().is_none_or(|due| due > nodes[n].now) {
                    continue;
                }
                for out in nodes[n].step(|d, cx, out| d.handle_timeout(cx, out)) {
                    let Out::Beacon(bytes) = out else { panic!("{out:?}") };
                    for other in 0..nodes.len() {
                        nodes[other].now = began + Duration::from_millis(millis);
                        let received = nodes[other].input(In::Beacon { from: group(n as u8 + 1), bytes: bytes.clone() });
                        met[other].extend(found(&received).into_iter().map(|(addr, _)| addr));
                    }
                }
            }
            let newest = starts.iter().max().unwrap();
            if (newest + 2_000..newest + 2_010).contains(&millis) {
                asked = true;
                let all: Vec<usize> = met.iter().map(crate::collections::OrderedSet::len).collect();
                prop_assert!(all.iter().all(|n| *n == starts.len() - 1), "{all:?}");
            }
        }
        prop_assert!(asked);
    }
}
