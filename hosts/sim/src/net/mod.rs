//! The network between the nodes: reachability, paths, and how each path behaves.

pub mod link;
pub mod nat;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use link::{Arrival, Faults, LinkState};
use nat::{NatBox, NatConfig};

use crate::rng::SimRng;

/// Where a datagram goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hop {
    /// To this node.
    Node(usize),
    /// To the outer side of this NAT box, at this port.
    Box(usize, u16),
}

#[derive(Clone, Debug)]
struct Place {
    island: u32,
    class: u32,
    nat: Option<usize>,
}

/// The paths between nodes, islands, and NAT boxes.
#[derive(Default)]
pub struct Network {
    addrs: BTreeMap<SocketAddr, usize>,
    places: Vec<Place>,
    boxes: Vec<NatBox>,
    outer: BTreeMap<IpAddr, usize>,
    /// The first node behind each box: its path is taken for the box's.
    inside: Vec<Option<usize>>,
    /// Exceptions to the rule that datagrams stay on their island.
    reach: BTreeMap<(u32, u32), bool>,
    /// Paths that differ from the usual one, by the classes of sender and receiver.
    classes: BTreeMap<(u32, u32), Faults>,
    /// Paths of single pairs of nodes.
    paths: BTreeMap<(usize, usize), Faults>,
    states: BTreeMap<(usize, usize), LinkState>,
    /// Nodes with public addresses: on no local network.
    public: BTreeSet<usize>,
}

impl Network {
    /// Puts a node on an island. At first all are on island 0.
    pub fn move_to_island(&mut self, node: usize, island: u32) {
        self.places[node].island = island;
    }

    /// Whether datagrams from the island `from` reach the island `to`. The relation has a direction:
    /// a cut in one alone is a one-way partition. By default an island reaches itself only.
    pub fn connect(&mut self, from: u32, to: u32, reaches: bool) {
        self.reach.insert((from, to), reaches);
    }

    /// Ends every partition: all nodes on island 0, which reaches itself.
    pub fn heal(&mut self) {
        self.reach.clear();
        self.places.iter_mut().for_each(|p| p.island = 0);
    }

    /// Whether a datagram of `from` can reach `to`.
    pub fn reaches(&self, from: usize, to: usize) -> bool {
        let (from, to) = (self.places[from].island, self.places[to].island);
        self.reach.get(&(from, to)).copied().unwrap_or(from == to)
    }

    /// Puts a node into a class; at first all are in class 0.
    pub fn set_class(&mut self, node: usize, class: u32) {
        self.places[node].class = class;
    }

    /// How paths from nodes of one class to nodes of another behave, instead of the default.
    pub fn set_class_faults(&mut self, from: u32, to: u32, faults: Faults) {
        self.classes.insert((from, to), faults);
    }

    /// How the path from one node to another behaves, whatever their classes.
    pub fn set_path_faults(&mut self, from: usize, to: usize, faults: Option<Faults>) {
        match faults {
            Some(faults) => self.paths.insert((from, to), faults),
            None => self.paths.remove(&(from, to)),
        };
    }

    /// Adds a NAT box; `rng` draws its first port. Returns its number.
    pub fn add_box(&mut self, config: NatConfig, rng: &mut SimRng) -> usize {
        let number = self.boxes.len();
        let outer = outer_address(number, 0);
        let first_port = rng.between(1_024, 65_535) as u16;
        self.boxes.push(NatBox::new(config, outer, first_port));
        self.outer.insert(outer, number);
        self.inside.push(None);
        number
    }

    /// A NAT box.
    pub fn nat_box(&self, number: usize) -> &NatBox {
        &self.boxes[number]
    }

    /// How many NAT boxes there are.
    pub fn boxes(&self) -> usize {
        self.boxes.len()
    }

    /// A NAT box forgets its mappings; with `address`, it gets another outer address, too.
    pub fn rebind(&mut self, number: usize, address: bool) {
        let nat = &mut self.boxes[number];
        if !address {
            return nat.rebind(None);
        }
        self.outer.remove(&nat.outer());
        let generation = match nat.outer() {
            IpAddr::V4(v4) => v4.octets()[0] - 82 + 1,
            IpAddr::V6(_) => 0,
        };
        let outer = outer_address(number, generation % 8);
        nat.rebind(Some(outer));
        self.outer.insert(outer, number);
    }

    /// The box a node is behind.
    pub fn nat_of(&self, node: usize) -> Option<usize> {
        self.places[node].nat
    }

    /// Whether two nodes are on one local network: both receive a multicast of either.
    pub fn on_one_lan(&self, a: usize, b: usize) -> bool {
        let public = |n: usize| self.public.contains(&n);
        self.nat_of(a) == self.nat_of(b) && (a == b || !public(a) && !public(b)) && self.reaches(a, b)
    }

    pub(crate) fn add(&mut self, addr: SocketAddr, nat: Option<usize>) {
        let node = self.places.len();
        self.places.push(Place { island: 0, class: 0, nat });
        self.addrs.insert(addr, node);
        let private = matches!(addr.ip(), IpAddr::V4(ip) if ip.is_private());
        if !private {
            self.public.insert(node);
        }
        if let Some(nat) = nat {
            self.inside[nat].get_or_insert(node);
        }
    }

    /// The route of a datagram that `node` sends from `inner` to `to`: the source that the receiver
    /// sees, and the next hop. None if it leads nowhere.
    pub(crate) fn route(
        &mut self,
        now: u64,
        node: usize,
        inner: SocketAddr,
        to: SocketAddr,
    ) -> Option<(SocketAddr, Hop)> {
        let local = self.addrs.get(&to).copied();
        let nat = self.places[node].nat;
        if let Some(other) = local
            && self.places[other].nat == nat
        {
            return Some((inner, Hop::Node(other)));
        }
        let there = self.outer.get(&to.ip()).copied();
        let from = match nat {
            None => inner,
            // A private address in another network: no router forwards it there.
            Some(_) if local.is_some_and(|n| self.places[n].nat.is_some()) => return None,
            Some(own) => {
                if there == Some(own) && !self.boxes[own].config.hairpin {
                    return None;
                }
                self.boxes[own].outbound(now, inner, to)?
            }
        };
        match (there, local) {
            (Some(number), _) => Some((from, Hop::Box(number, to.port()))),
            (None, Some(other)) if self.places[other].nat.is_none() => Some((from, Hop::Node(other))),
            _ => None,
        }
    }

    /// The node behind a box that a datagram from `from` to its port `port` is for, if it may pass.
    pub(crate) fn inbound(&self, now: u64, number: usize, port: u16, from: SocketAddr) -> Option<usize> {
        let inner = self.boxes[number].inbound(now, port, from)?;
        self.addrs.get(&inner).copied()
    }

    /// The fate of a datagram of `len` bytes on its way.
    pub(crate) fn pass(
        &mut self,
        now: u64,
        (from, hop): (usize, Hop),
        usual: &Faults,
        len: usize,
        rng: &mut SimRng,
    ) -> [Option<Arrival>; 2] {
        let to = match hop {
            Hop::Node(to) => Some(to),
            Hop::Box(number, _) => self.inside[number],
        };
        let Some(to) = to else { return [None; 2] };
        let classes = (self.places[from].class, self.places[to].class);
        let faults = self.paths.get(&(from, to)).or_else(|| self.classes.get(&classes)).unwrap_or(usual);
        // Most paths have no state.
        if faults.burst.is_none() && faults.rate.is_none() {
            return LinkState::default().pass(now, faults, len, rng);
        }
        self.states.entry((from, to)).or_default().pass(now, faults, len, rng)
    }
}

/// 82 to 89 for the first octet: addresses that no node has.
fn outer_address(number: usize, generation: u8) -> IpAddr {
    let [_, a, b, c] = (number as u32 + 1).to_be_bytes();
    IpAddr::from([82 + generation, a, b, c])
}

#[cfg(test)]
mod tests {
    use super::*;
    use nat::{Filtering, Mapping};

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Node 0 is public, 1 and 2 share a box, 3 is behind another.
    fn network(config: NatConfig) -> Network {
        let mut net = Network::default();
        let mut rng = SimRng::new(1);
        let boxes = [net.add_box(config.clone(), &mut rng), net.add_box(config, &mut rng)];
        net.add(addr("81.0.0.1:4000"), None);
        for (n, nat) in [(2, boxes[0]), (3, boxes[0]), (4, boxes[1])] {
            net.add(addr(&format!("10.0.0.{n}:4000")), Some(nat));
        }
        net
    }

    #[test]
    fn a_box_shows_its_address_and_admits_only_answers() {
        let mut net = network(NatConfig::default());
        assert_eq!(net.route(0, 0, addr("81.0.0.1:4000"), addr("10.0.0.2:4000")), None, "private from outside");
        let (seen, hop) = net.route(0, 1, addr("10.0.0.2:4000"), addr("81.0.0.1:4000")).unwrap();
        assert_eq!((seen, hop), (addr("82.0.0.1:4000"), Hop::Node(0)));
        let (from, back) = net.route(1, 0, addr("81.0.0.1:4000"), seen).unwrap();
        assert_eq!((from, back), (addr("81.0.0.1:4000"), Hop::Box(0, 4_000)));
        assert_eq!(net.inbound(1, 0, 4_000, from), Some(1));
        assert_eq!(net.inbound(1, 0, 4_000, addr("81.0.0.9:4000")), None);
        let (lan, hop) = net.route(2, 1, addr("10.0.0.2:4000"), addr("10.0.0.3:4000")).unwrap();
        assert_eq!((lan, hop), (addr("10.0.0.2:4000"), Hop::Node(2)), "nodes of one local network need no box");
        assert_eq!(net.route(2, 1, addr("10.0.0.2:4000"), addr("10.0.0.4:4000")), None, "another house's address");
    }

    #[test]
    fn only_a_hairpin_box_turns_datagrams_back() {
        for hairpin in [false, true] {
            let mut net =
                network(NatConfig { hairpin, filtering: Filtering::EndpointIndependent, ..NatConfig::default() });
            let (seen, _) = net.route(0, 2, addr("10.0.0.3:4000"), addr("81.0.0.1:4000")).unwrap();
            let turned = net.route(1, 1, addr("10.0.0.2:4000"), seen);
            assert_eq!(turned.is_some(), hairpin);
            if let Some((from, Hop::Box(number, port))) = turned {
                assert_eq!(from.ip(), seen.ip(), "RFC 4787 §6: the source is the outer address");
                assert_eq!(net.inbound(2, number, port, from), Some(2));
            }
        }
    }

    /// The classical table: two nodes that learned each other's outer address from a third and send at
    /// once meet unless one maps by destination and the other filters by port.
    #[test]
    fn simultaneous_sending_opens_the_pairs_of_theory() {
        use {Filtering as F, Mapping as M};
        let kinds = [
            (M::EndpointIndependent, F::EndpointIndependent),
            (M::EndpointIndependent, F::AddressPortDependent),
            (M::EndpointDependent, F::AddressPortDependent),
        ];
        for (x, one) in kinds.iter().enumerate() {
            for (y, two) in kinds.iter().enumerate() {
                let mut net = Network::default();
                let mut rng = SimRng::new(2);
                net.add(addr("81.0.0.1:4000"), None);
                for (n, kind) in [one, two].into_iter().enumerate() {
                    let config =
                        NatConfig { mapping: kind.0, filtering: kind.1, preserve_port: false, ..NatConfig::default() };
                    let nat = net.add_box(config, &mut rng);
                    net.add(addr(&format!("10.0.0.{}:4000", n + 2)), Some(nat));
                }
                let inner = [addr("10.0.0.2:4000"), addr("10.0.0.3:4000")];
                let seen = [1, 2].map(|n| net.route(0, n, inner[n - 1], addr("81.0.0.1:4000")).unwrap().0);
                let mut met = false;
                // The receiver of a datagram learns the address it really comes from.
                let mut known = [seen[1], seen[0]];
                for _ in 0..3 {
                    for n in [1, 2] {
                        let Some((from, Hop::Box(number, port))) = net.route(1, n, inner[n - 1], known[n - 1]) else {
                            continue;
                        };
                        if let Some(other) = net.inbound(1, number, port, from) {
                            known[other - 1] = from;
                            met = true;
                        }
                    }
                }
                // Hard boxes are the third kind; two of them, or one against the second, do not meet.
                let expected = x + y < 3;
                assert_eq!(met, expected, "{one:?} with {two:?}");
            }
        }
    }

    #[test]
    fn a_rebound_box_changes_address_and_drops_the_old_one() {
        let mut net = network(NatConfig { filtering: Filtering::EndpointIndependent, ..NatConfig::default() });
        let (seen, _) = net.route(0, 3, addr("10.0.0.4:4000"), addr("81.0.0.1:4000")).unwrap();
        net.rebind(1, true);
        assert_eq!(net.route(1, 0, addr("81.0.0.1:4000"), seen), None);
        let (moved, _) = net.route(1, 3, addr("10.0.0.4:4000"), addr("81.0.0.1:4000")).unwrap();
        assert_ne!(moved.ip(), seen.ip());
    }

    #[test]
    fn islands_are_a_relation_with_a_direction() {
        let mut net = network(NatConfig::default());
        assert!(net.reaches(0, 1) && net.reaches(1, 0));
        net.move_to_island(1, 1);
        assert!(!net.reaches(0, 1) && !net.reaches(1, 0));
        net.connect(0, 1, true);
        assert!(net.reaches(0, 1) && !net.reaches(1, 0), "one way");
        net.heal();
        assert!(net.reaches(0, 1) && net.reaches(1, 0));
    }

    #[test]
    fn a_pair_path_overrides_a_class_and_a_class_the_default() {
        let mut net = network(NatConfig::default());
        let fixed = |us| Faults { delay: (us, us), ..Faults::default() };
        let delay = |net: &mut Network| {
            let [first, _] = net.pass(0, (0, Hop::Node(1)), &fixed(1), 100, &mut SimRng::new(1));
            first.unwrap().delay
        };
        assert_eq!(delay(&mut net), 1);
        net.set_class(1, 3);
        net.set_class_faults(0, 3, fixed(2));
        assert_eq!(delay(&mut net), 2);
        net.set_path_faults(0, 1, Some(fixed(3)));
        assert_eq!(delay(&mut net), 3);
        net.set_path_faults(0, 1, None);
        assert_eq!(delay(&mut net), 2);
    }
}
