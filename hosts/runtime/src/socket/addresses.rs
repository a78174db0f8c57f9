//! Where others may reach this node, best first, and which of its sockets leads to an address.
//!
//! An announcement has four addresses and a ticket eight, so the order decides whether the one that works is among them:
//! a machine with containers has more bridges than that, and the kernel lists interfaces as they were made.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use if_addrs::Interface;

/// Beginnings of the names of bridges and of the ends of containers, whose addresses mean nothing on other machines:
/// those of Docker, Podman, libvirt, LXC and Kubernetes.
const INSIDE: [&str; 11] =
    ["docker", "br-", "veth", "virbr", "vmnet", "vboxnet", "podman", "cni", "lxc", "lxdbr", "cali"];

/// How good an address of an interface is for others: less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// The source of what goes to the internet.
    Default,
    Other,
    /// A tunnel: its other end may be anywhere.
    Tunnel,
    /// Of containers or virtual machines on this machine.
    Inside,
    Loopback,
}

/// The own address from which a datagram leaves, as the system's routes say; an error if none leads there. Nothing is sent:
/// connecting a UDP socket only looks for a route.
pub(super) fn source_to(to: SocketAddr) -> std::io::Result<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    Ok(socket.local_addr()?.ip())
}

/// The own addresses from which datagrams to the internet leave. The targets are of the blocks for documentation (RFC 5737,
/// RFC 3849).
pub(crate) fn default_sources() -> Vec<IpAddr> {
    let v4: IpAddr = Ipv4Addr::new(192, 0, 2, 1).into();
    let v6: IpAddr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into();
    [v4, v6].into_iter().flat_map(|ip| source_to((ip, 9).into())).collect()
}

fn rank(interface: &Interface, sources: &[IpAddr]) -> Rank {
    let is_source = |i: &Interface| sources.contains(&i.ip());
    match interface {
        i if i.is_loopback() => Rank::Loopback,
        i if is_source(i) => Rank::Default,
        i if INSIDE.iter().any(|name| i.name.starts_with(name)) => Rank::Inside,
        i if i.is_p2p => Rank::Tunnel,
        _ => Rank::Other,
    }
}

/// The interfaces' addresses, best first; within a rank as the system gives them.
pub(crate) fn ranked(mut interfaces: Vec<Interface>, sources: &[IpAddr]) -> Vec<Interface> {
    // An interface is as good as its best address: a beacon is sent on interfaces.
    let best: Vec<(String, Rank)> = interfaces.iter().map(|i| (i.name.clone(), rank(i, sources))).collect();
    let of_interface = |name: &str| best.iter().filter(|(n, _)| n == name).map(|(_, rank)| *rank).min();
    interfaces.sort_by_key(|i| (rank(i, sources), of_interface(&i.name)));
    interfaces
}

/// Addresses others can try: `announced` by the user, then what is bound, with the interfaces' addresses for "any".
/// Loopback only if there is nothing else. Last one of the link, for beacons: it says that the family is listened on.
pub(super) fn reachable(announced: &[SocketAddr], bound: &[SocketAddr], interfaces: &[Interface]) -> Vec<SocketAddr> {
    let mut out = announced.to_vec();
    let mut add = |addr: SocketAddr| {
        if !out.contains(&addr) {
            out.push(addr);
        }
    };
    let any = |addr: &&SocketAddr| addr.ip().is_unspecified();
    let given = bound.iter().filter(|addr| !any(addr)).copied();
    // By rank first: a good address of one family is worth more than a bridge's of the other.
    let taken = interfaces.iter().filter(|i| usable(i.ip())).flat_map(|i| {
        let same = bound.iter().filter(any).filter(move |addr| addr.is_ipv4() == i.ip().is_ipv4());
        same.map(move |addr| SocketAddr::new(i.ip(), addr.port()))
    });
    given.chain(taken).for_each(&mut add);
    if out.iter().any(|a| !a.ip().is_loopback()) {
        out.retain(|a| !a.ip().is_loopback());
    }
    for addr in bound.iter().filter(any) {
        if out.iter().all(|a| a.is_ipv4() != addr.is_ipv4()) {
            let of_link = interfaces.iter().find(|i| i.ip().is_ipv4() == addr.is_ipv4() && !i.is_loopback());
            out.extend(of_link.map(|i| SocketAddr::new(i.ip(), addr.port())));
        }
    }
    out
}

/// Link-local addresses mean nothing without the interface they belong to.
fn usable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_unicast_link_local() && !ip.is_unspecified(),
    }
}

/// Which of `bound` leads best to an address of its family: the one on the address that the system would send from (`source`),
/// one on all addresses, or the one that begins most like it, of this machine only for this machine.
pub(super) fn leading_to(
    to: SocketAddr,
    source: Option<IpAddr>,
    bound: impl Iterator<Item = SocketAddr>,
) -> Option<usize> {
    let alike = |ip: IpAddr| match (ip, to.ip()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => 0,
    };
    let key = |addr: &SocketAddr| match addr.ip() {
        ip if Some(ip) == source => (0, 0),
        ip if ip.is_unspecified() => (1, 0),
        ip if ip.is_loopback() != to.ip().is_loopback() => (2, 0),
        // On its own network; elsewhere the system's routes know better.
        ip if alike(ip) >= if ip.is_ipv4() { 16 } else { 48 } => (0, u32::MAX - alike(ip)),
        ip => (1, u32::MAX - alike(ip)),
    };
    bound
        .enumerate()
        .filter(|(_, addr)| addr.is_ipv4() == to.is_ipv4())
        .min_by_key(|(n, addr)| (key(addr), *n))
        .map(|(n, _)| n)
}

/// Places of [`Asked`]: a power of two, and twice the links that a node may have by default.
const PLACES: usize = 1_024;

/// The socket that a datagram from an address came in on: answers leave from there, since a peer, and every NAT between, takes
/// them from the address that it asked. Made only with several sockets of one family. Two addresses that share a place
/// take turns.
pub(super) struct Asked(Vec<Option<(SocketAddr, u8)>>);

impl Asked {
    pub(super) fn new() -> Self {
        Self(vec![None; PLACES])
    }

    fn place(addr: SocketAddr) -> usize {
        let ip = match addr.ip() {
            IpAddr::V4(ip) => ip.to_bits(),
            IpAddr::V6(ip) => (ip.to_bits() ^ ip.to_bits() >> 32 ^ ip.to_bits() >> 64) as u32,
        };
        let mixed = (ip ^ u32::from(addr.port()) << 16).wrapping_mul(0x9e37_79b1);
        (mixed >> 22) as usize % PLACES
    }

    pub(super) fn note(&mut self, from: SocketAddr, socket: usize) {
        self.0[Self::place(from)] = Some((from, u8::try_from(socket).unwrap_or(u8::MAX)));
    }

    pub(super) fn socket(&self, to: SocketAddr) -> Option<usize> {
        self.0[Self::place(to)].filter(|(addr, _)| *addr == to).map(|(_, socket)| usize::from(socket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use if_addrs::{IfAddr, IfOperStatus, Ifv4Addr, Ifv6Addr};

    fn interface(name: &str, ip: &str, is_p2p: bool) -> Interface {
        let addr = match ip.parse().unwrap() {
            IpAddr::V4(ip) => IfAddr::V4(Ifv4Addr { ip, netmask: ip, prefixlen: 24, broadcast: None }),
            IpAddr::V6(ip) => IfAddr::V6(Ifv6Addr { ip, netmask: ip, prefixlen: 64, broadcast: None }),
        };
        Interface { name: name.into(), addr, index: Some(1), oper_status: IfOperStatus::Up, is_p2p }
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Eight bridges before the real interface, as on a machine with containers.
    fn containers() -> Vec<Interface> {
        let mut all = vec![interface("lo", "127.0.0.1", false)];
        all.extend((0..8).map(|n| interface(&format!("br-{n}"), &format!("172.1{n}.0.1"), false)));
        all.push(interface("wg0", "10.8.0.2", true));
        all.push(interface("eth0", "192.168.1.7", false));
        all.push(interface("eth0", "fe80::7", false));
        all.push(interface("wlan0", "10.1.1.7", false));
        all
    }

    /// Mutations: `ranked` keeps the system's order; the default route does not count.
    #[test]
    fn bridges_and_tunnels_do_not_hide_the_real_address() {
        let sources = ["10.1.1.7".parse().unwrap()];
        let all = ranked(containers(), &sources);
        let found = reachable(&[], &[at("0.0.0.0:7"), at("[::]:7")], &all);
        assert_eq!(found[..4], [at("10.1.1.7:7"), at("192.168.1.7:7"), at("10.8.0.2:7"), at("172.10.0.1:7")]);
        assert_eq!(found.last(), Some(&at("[fe80::7]:7")), "IPv6 is listened on, if only on the link");
        assert!(found.iter().all(|a| !a.ip().is_loopback()));
        // Nothing but bridges is still something.
        let bridges: Vec<_> = containers().into_iter().take(9).collect();
        assert_eq!(reachable(&[], &[at("0.0.0.0:7")], &ranked(bridges, &[])).len(), 8);
    }

    #[test]
    fn what_the_user_announces_comes_first() {
        let all = ranked(containers(), &[]);
        let found = reachable(&[at("203.0.113.9:4000")], &[at("0.0.0.0:7")], &all);
        assert_eq!(found[..2], [at("203.0.113.9:4000"), at("192.168.1.7:7")]);
        assert_eq!(reachable(&[at("203.0.113.9:4000")], &[at("127.0.0.1:7")], &all), [at("203.0.113.9:4000")]);
    }

    #[test]
    fn a_socket_leads_to_its_own_network() {
        let lead = |to: &str, bound: &[&str]| leading_to(at(to), None, bound.iter().map(|b| at(b)));
        let two = ["10.0.0.5:1", "192.168.1.5:1", "[::]:1"];
        assert_eq!(lead("192.168.1.9:4", &two), Some(1));
        assert_eq!(lead("10.0.0.9:4", &two), Some(0));
        assert_eq!(lead("[2001:db8::1]:4", &two), Some(2));
        assert_eq!(lead("10.0.0.9:4", &["127.0.0.1:1", "0.0.0.0:1"]), Some(1));
        assert_eq!(lead("127.0.0.1:4", &["10.0.0.5:1", "127.0.0.1:1"]), Some(1));
        assert_eq!(lead("8.8.4.4:4", &["127.0.0.1:1", "10.0.0.5:1"]), Some(1));
        assert_eq!(lead("8.8.4.4:4", &["[::]:1"]), None);
        let routed =
            |to: &str, from: &str| leading_to(at(to), Some(from.parse().unwrap()), two.iter().map(|bound| at(bound)));
        assert_eq!(routed("8.8.4.4:4", "192.168.1.5"), Some(1), "the system's route");
        assert_eq!(routed("8.8.4.4:4", "172.16.0.5"), Some(0), "from where no socket is");
    }

    #[test]
    fn an_address_is_answered_from_the_socket_that_it_asked() {
        let mut asked = Asked::new();
        asked.note(at("10.0.0.9:4"), 1);
        assert_eq!(asked.socket(at("10.0.0.9:4")), Some(1));
        assert_eq!(asked.socket(at("10.0.0.9:5")), None);
        asked.note(at("10.0.0.9:4"), 0);
        assert_eq!(asked.socket(at("10.0.0.9:4")), Some(0), "the last one counts");
    }
}
