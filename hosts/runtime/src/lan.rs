//! Beacons on the local network: which groups, on which interfaces.
//!
//! Each place has two sockets. One is bound to the group itself and shared with every other node on this
//! machine, so that all of them hear a beacon and nothing else reaches it from outside. The other sends:
//! bound to the interface's own address, which is what receivers take for the node's.
//!
//! Nothing here is ever fatal. A machine without multicast is a machine that finds no node this way.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::str::FromStr;

use donp_core::Power;
use if_addrs::{IfAddr, Interface};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::socket::{MAX_SOCKETS, default_sources, ranked};

/// The port of beacons: the DONP document's.
pub const LAN_PORT: u16 = 8_888;
/// The group of beacons: in the part of the administratively scoped block that every site may use as it
/// likes and that its routers keep inside (239.255.0.0/16, RFC 2365 §6.1); the last two bytes are `DN`.
pub const LAN_GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 255, 68, 78);
/// The same for IPv6: link-local scope, not assigned by IANA (flag T, RFC 4291 §2.7), with a number of the
/// range that hosts may choose from (RFC 3307 §4.3).
pub const LAN_GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0xd04e, 0x5000);
/// The group of the DONP document: all hosts. Joining it does nothing and some systems filter it.
pub const LAN_GROUP_COMPAT: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);

/// Places at most: interfaces times groups.
const MAX_PLACES: usize = 32;
/// Beacons read at one place on one wake-up.
const READ_BUDGET: usize = 64;
/// One more than the longest beacon, so that a longer datagram is seen to be one.
const BUFFER: usize = 401;

/// Whether a node looks for others on the local network and lets itself be found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lan {
    /// It says and hears nothing.
    #[default]
    Off,
    /// Beacons go to [`LAN_GROUP_V4`] and [`LAN_GROUP_V6`].
    On,
    /// Also to [`LAN_GROUP_COMPAT`].
    Compat,
}

impl fmt::Display for Lan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::On => "on",
            Self::Compat => "compat",
        })
    }
}

impl FromStr for Lan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Off, Self::On, Self::Compat]
            .into_iter()
            .find(|lan| lan.to_string() == text)
            .ok_or_else(|| format!("'{text}' is not one of on, off, compat"))
    }
}

/// A group on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The index belongs to it: an interface that goes and comes back with its address has another one, and what was joined
    /// on the old one is gone.
    V4 {
        group: Ipv4Addr,
        interface: Ipv4Addr,
        index: Option<u32>,
    },
    V6 {
        index: u32,
    },
}

impl Place {
    fn index(self) -> Option<u32> {
        match self {
            Self::V4 { index, .. } => index,
            Self::V6 { index } => Some(index),
        }
    }

    /// The networks of its interface.
    fn networks(self, interfaces: &[Interface]) -> Vec<(IpAddr, u8)> {
        let name = match self {
            Self::V4 { interface, .. } => interfaces.iter().find(|i| i.ip() == IpAddr::V4(interface)),
            Self::V6 { index } => interfaces.iter().find(|i| i.index == Some(index)),
        };
        let same = |i: &&Interface| name.is_some_and(|name| name.name == i.name);
        let network = |i: &Interface| match &i.addr {
            IfAddr::V4(v4) => (IpAddr::V4(v4.ip), v4.prefixlen),
            IfAddr::V6(v6) => (IpAddr::V6(v6.ip), v6.prefixlen),
        };
        interfaces.iter().filter(same).map(network).collect()
    }
}

/// Whether a beacon from there can have been said on the interface of `place`: it has an address of one of its networks, or
/// a link-local one of that link.
fn is_on_link(from: SocketAddr, place: Place, networks: &[(IpAddr, u8)]) -> bool {
    let beside = networks.iter().any(|(own, prefix)| match (from.ip(), *own) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let shift = 32u32.saturating_sub(u32::from(*prefix));
            a.to_bits().checked_shr(shift) == b.to_bits().checked_shr(shift)
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let shift = 128u32.saturating_sub(u32::from(*prefix));
            a.to_bits().checked_shr(shift) == b.to_bits().checked_shr(shift)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    });
    match (from, place) {
        (SocketAddr::V4(v4), Place::V4 { .. }) => beside || v4.ip().is_link_local(),
        (SocketAddr::V6(v6), Place::V6 { index }) if v6.ip().is_unicast_link_local() => v6.scope_id() == index,
        (SocketAddr::V6(_), Place::V6 { .. }) => beside,
        (SocketAddr::V4(_), Place::V6 { .. }) | (SocketAddr::V6(_), Place::V4 { .. }) => false,
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4 { group, interface, .. } => write!(f, "{group} on {interface}"),
            Self::V6 { index } => write!(f, "{LAN_GROUP_V6} on interface {index}"),
        }
    }
}

struct Ear {
    place: Place,
    group: SocketAddr,
    /// The networks of the interface: a beacon from elsewhere was not said there.
    networks: Vec<(IpAddr, u8)>,
    hears: mio::net::UdpSocket,
    says: UdpSocket,
    token: Token,
    /// There may be datagrams: edge-triggered readiness is reported once.
    readable: bool,
}

/// All places where a node hears and sends beacons.
#[derive(Default)]
pub(crate) struct MulticastSockets {
    compat: bool,
    /// Beacons wake no node of low power: they are read when it is awake.
    waits: bool,
    ears: Vec<Ear>,
    /// Why beacons are not received as they should be.
    trouble: Option<String>,
}

impl MulticastSockets {
    pub(crate) fn new(lan: Lan, power: Power) -> Option<Self> {
        let (compat, waits) = (lan == Lan::Compat, power == Power::Low);
        (lan != Lan::Off).then(|| Self { compat, waits, ..Self::default() })
    }

    /// Leaves places whose interface went: what was joined there is gone.
    pub(crate) fn forget(&mut self, went: impl Fn(Option<u32>) -> bool) {
        self.ears.retain(|ear| !went(ear.place.index()));
    }

    /// Follows the interfaces as they are: for a node whose sockets are bound to `bound`.
    pub(crate) fn refresh(&mut self, bound: &[SocketAddr], registry: &Registry) {
        // The real ones before bridges: there may be more than places.
        let interfaces = ranked(if_addrs::get_if_addrs().unwrap_or_default(), &default_sources());
        let mut wanted = places(bound, &interfaces, self.compat);
        wanted.truncate(MAX_PLACES);
        self.ears.retain_mut(|ear| {
            let stays = wanted.contains(&ear.place);
            if !stays {
                let _ = registry.deregister(&mut ear.hears);
            }
            stays
        });
        let mut why = None;
        for place in wanted {
            let networks = place.networks(&interfaces);
            if let Some(ear) = self.ears.iter_mut().find(|ear| ear.place == place) {
                ear.networks = networks;
                continue;
            }
            match self.open(place, networks, registry) {
                Ok(ear) => {
                    log::debug!("beacons to {place}");
                    self.ears.push(ear);
                }
                Err(e) => {
                    log::debug!("no beacons to {place}: {e}");
                    why = Some(e);
                }
            }
        }
        let trouble = self.trouble(why);
        if let Some(trouble) = trouble.as_ref().filter(|trouble| self.trouble.as_ref() != Some(*trouble)) {
            log::warn!("{trouble}");
        }
        self.trouble = trouble;
    }

    /// Why beacons are not received as they should be; `why` is what a place could not be opened for.
    fn trouble(&self, why: Option<io::Error>) -> Option<String> {
        match why {
            Some(e) if e.kind() == io::ErrorKind::AddrInUse => Some(format!(
                "nodes on the local network may not be found: another program holds UDP port {LAN_PORT} exclusively"
            )),
            Some(e) if self.ears.is_empty() => Some(format!("nodes on the local network cannot be found yet: {e}")),
            None if self.ears.is_empty() => Some(
                "nodes on the local network cannot be found yet: no interface that this node listens on has multicast"
                    .into(),
            ),
            Some(_) | None => None,
        }
    }

    fn open(&self, place: Place, networks: Vec<(IpAddr, u8)>, registry: &Registry) -> io::Result<Ear> {
        let token = (MAX_SOCKETS..).map(Token).find(|t| self.ears.iter().all(|ear| ear.token != *t));
        let token = token.unwrap_or(Token(MAX_SOCKETS));
        let (group, hears, says) = match place {
            Place::V4 { group, interface, .. } => {
                let hears = shared(Domain::IPV4)?;
                #[cfg(any(target_os = "linux", target_os = "android"))]
                hears.set_multicast_all_v4(false)?;
                // Windows binds no socket to a group.
                let at = if cfg!(windows) { Ipv4Addr::UNSPECIFIED } else { group };
                hears.bind(&SocketAddr::from((at, LAN_PORT)).into())?;
                hears.join_multicast_v4(&group, &interface)?;
                let says = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
                says.bind(&SocketAddr::from((interface, 0)).into())?;
                says.set_multicast_if_v4(&interface)?;
                says.set_multicast_ttl_v4(1)?;
                says.set_multicast_loop_v4(true)?;
                (SocketAddr::from((group, LAN_PORT)), hears, says)
            }
            Place::V6 { index } => {
                let group = SocketAddr::V6(SocketAddrV6::new(LAN_GROUP_V6, LAN_PORT, 0, index));
                let hears = shared(Domain::IPV6)?;
                hears.set_only_v6(true)?;
                let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, LAN_PORT));
                hears.bind(&if cfg!(windows) { any } else { group }.into())?;
                hears.join_multicast_v6(&LAN_GROUP_V6, index)?;
                let says = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
                says.set_only_v6(true)?;
                says.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into())?;
                says.set_multicast_if_v6(index)?;
                says.set_multicast_hops_v6(1)?;
                says.set_multicast_loop_v6(true)?;
                (group, hears, says)
            }
        };
        says.set_nonblocking(true)?;
        let mut hears = mio::net::UdpSocket::from_std(hears.into());
        if !self.waits {
            registry.register(&mut hears, token, Interest::READABLE)?;
        }
        Ok(Ear { place, group, networks, hears, says: says.into(), token, readable: true })
    }

    pub(crate) fn set_readable(&mut self, token: Token) {
        if let Some(ear) = self.ears.iter_mut().find(|ear| ear.token == token) {
            ear.readable = true;
        }
    }

    /// Whether a wake-up should happen at once because the last one used its budget.
    pub(crate) fn has_more(&self) -> bool {
        self.ears.iter().any(|ear| ear.readable)
    }

    pub(crate) fn receive(&mut self, each: &mut dyn FnMut(SocketAddr, &[u8])) {
        let mut buffer = [0; BUFFER];
        let waits = self.waits;
        for ear in self.ears.iter_mut().filter(|ear| ear.readable || waits) {
            for _ in 0..READ_BUDGET {
                match ear.hears.recv_from(&mut buffer) {
                    Ok((_, from)) if !is_on_link(from, ear.place, &ear.networks) => {
                        log::debug!("a beacon from {from} was ignored on {}", ear.place);
                    }
                    Ok((len, from)) => each(from, buffer.get(..len).unwrap_or_default()),
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    // Windows reports a datagram that was longer as an error, and has thrown it away.
                    #[cfg(windows)]
                    Err(e) if e.kind() != io::ErrorKind::WouldBlock => {}
                    Err(_) => {
                        ear.readable = false;
                        break;
                    }
                }
            }
        }
    }

    pub(crate) fn send(&self, beacon: &[u8]) {
        for ear in &self.ears {
            if let Err(e) = ear.says.send_to(beacon, ear.group) {
                log::debug!("beacon to {}: {e}", ear.place);
            }
        }
    }

    /// Why beacons are not received as they should be, in words.
    pub(crate) fn error(&self) -> Option<String> {
        self.trouble.clone()
    }

    /// Where beacons go, in words.
    pub(crate) fn places(&self) -> Vec<String> {
        self.ears.iter().map(|ear| ear.place.to_string()).collect()
    }
}

/// A socket whose port other nodes on this machine use too.
fn shared(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    // Linux shares a group's port by the option above, also between users; the BSDs need this one.
    #[cfg(all(
        unix,
        not(any(target_os = "linux", target_os = "android", target_os = "solaris", target_os = "illumos"))
    ))]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Where to send beacons so that a receiver of one can reach a socket of `bound`: on every interface for a
/// socket on all addresses, on its own for one on a single address. Loopback if there is nothing else, and for
/// a node that listens only there. An IPv6 beacon comes from a link-local address, so a node that listens on
/// another single one is not announced over IPv6. In the order of their interfaces, those of one interface together: there
/// may be more than [`MAX_PLACES`].
fn places(bound: &[SocketAddr], interfaces: &[Interface], compat: bool) -> Vec<Place> {
    let mut out: Vec<Place> = Vec::new();
    let mut add = |place: Place| {
        if !out.contains(&place) {
            out.push(place);
        }
    };
    let groups = if compat { vec![LAN_GROUP_V4, LAN_GROUP_COMPAT] } else { vec![LAN_GROUP_V4] };
    for addr in bound {
        match addr.ip() {
            IpAddr::V4(ip) => {
                let mut seen: Vec<&str> = Vec::new();
                let mut on: Vec<(Ipv4Addr, Option<u32>)> = Vec::new();
                let index_of =
                    |ip: Ipv4Addr| interfaces.iter().find(|i| i.ip() == IpAddr::V4(ip)).and_then(|i| i.index);
                for interface in interfaces.iter().filter(|i| ip.is_unspecified() && !i.is_p2p && !i.is_loopback()) {
                    // One address is enough: an interface hears a group once.
                    if let IfAddr::V4(v4) = &interface.addr
                        && !seen.contains(&interface.name.as_str())
                    {
                        seen.push(&interface.name);
                        on.push((v4.ip, interface.index));
                    }
                }
                if !ip.is_unspecified() {
                    on.push((ip, index_of(ip)));
                } else if on.is_empty() {
                    on.push((Ipv4Addr::LOCALHOST, index_of(Ipv4Addr::LOCALHOST)));
                }
                for group in &groups {
                    on.iter().for_each(|(ip, index)| add(Place::V4 { group: *group, interface: *ip, index: *index }));
                }
            }
            IpAddr::V6(ip) => {
                for interface in interfaces.iter().filter(|i| !i.is_p2p) {
                    if let (IfAddr::V6(v6), Some(index)) = (&interface.addr, interface.index)
                        && (v6.ip == ip || ip.is_unspecified() && v6.ip.is_unicast_link_local())
                        && (v6.ip.is_unicast_link_local() || v6.ip.is_loopback())
                    {
                        add(Place::V6 { index });
                    }
                }
            }
        }
    }
    let is_at = |place: &Place, i: &Interface| match place {
        Place::V4 { interface, .. } => i.ip() == IpAddr::V4(*interface),
        Place::V6 { index } => i.index == Some(*index),
    };
    let name = |place: &Place| interfaces.iter().find(|i| is_at(place, i)).map(|i| i.name.as_str());
    out.sort_by_cached_key(|place| {
        let name = name(place);
        interfaces.iter().position(|i| Some(i.name.as_str()) == name)
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use if_addrs::{IfOperStatus, Ifv4Addr, Ifv6Addr};

    fn interface(name: &str, index: u32, ip: &str, is_p2p: bool) -> Interface {
        let addr = match ip.parse().unwrap() {
            IpAddr::V4(ip) => {
                IfAddr::V4(Ifv4Addr { ip, netmask: Ipv4Addr::UNSPECIFIED, prefixlen: 8, broadcast: None })
            }
            IpAddr::V6(ip) => {
                IfAddr::V6(Ifv6Addr { ip, netmask: Ipv6Addr::UNSPECIFIED, prefixlen: 64, broadcast: None })
            }
        };
        Interface { name: name.into(), addr, index: Some(index), oper_status: IfOperStatus::Up, is_p2p }
    }

    fn at(bound: &[&str], interfaces: &[Interface], compat: bool) -> Vec<String> {
        let bound: Vec<SocketAddr> = bound.iter().map(|a| a.parse().unwrap()).collect();
        places(&bound, interfaces, compat).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn beacons_go_where_somebody_who_hears_them_can_answer() {
        let lo = [interface("lo", 1, "127.0.0.1", false), interface("lo", 1, "::1", false)];
        let mut all = lo.to_vec();
        all.push(interface("eth0", 2, "192.0.2.2", false));
        all.push(interface("eth0", 2, "192.0.2.3", false));
        all.push(interface("eth0", 2, "fe80::1", false));
        all.push(interface("eth0", 2, "2001:db8::1", false));
        all.push(interface("tun0", 3, "10.9.0.1", true));
        let any = ["0.0.0.0:4000", "[::]:4000"];
        let (v4, v6) = ("239.255.68.78 on 192.0.2.2", "ff12::d04e:5000 on interface 2");
        assert_eq!(at(&any, &all, false), [v4, v6]);
        assert_eq!(at(&any[..1], &all, true), [v4, "224.0.0.1 on 192.0.2.2"]);
        assert_eq!(at(&["192.0.2.3:4000"], &all, false), ["239.255.68.78 on 192.0.2.3"]);
        assert_eq!(at(&["127.0.0.1:4000"], &all, false), ["239.255.68.78 on 127.0.0.1"]);
        assert_eq!(at(&any, &lo, false), ["239.255.68.78 on 127.0.0.1"], "nothing but loopback");
        assert_eq!(at(&["[::1]:4000"], &all, false), ["ff12::d04e:5000 on interface 1"]);
        assert!(at(&["[2001:db8::1]:4000"], &all, false).is_empty(), "no node could answer there");
    }

    /// Mutation: places of IPv4 come before all of IPv6.
    #[test]
    fn the_real_interface_has_a_place_whatever_its_family() {
        for ip in ["192.0.2.2", "fe80::9"] {
            let mut all = vec![interface("lo", 1, "127.0.0.1", false)];
            for n in 0..40 {
                all.push(interface(&format!("br-{n}"), 10 + n, &format!("172.16.{n}.1"), false));
                all.push(interface(&format!("br-{n}"), 10 + n, "fe80::1", false));
            }
            all.push(interface("eth9", 9, ip, false));
            let found = at(&["0.0.0.0:4000", "[::]:4000"], &ranked(all, &[]), false);
            let wanted = if ip.contains(':') { "interface 9" } else { "192.0.2.2" };
            assert!(found.iter().take(MAX_PLACES).any(|place| place.ends_with(wanted)), "{found:?}");
            assert!(found.iter().take(MAX_PLACES).any(|place| place.contains("ff12")), "{found:?}");
        }
    }

    /// Mutation: `Place` compares addresses alone.
    #[test]
    fn an_interface_that_comes_back_is_joined_again() {
        let bound = ["0.0.0.0:4000".parse().unwrap()];
        let before = places(&bound, &[interface("eth0", 2, "192.0.2.2", false)], false);
        assert_eq!(before, places(&bound, &[interface("eth0", 2, "192.0.2.2", false)], false));
        assert_ne!(before, places(&bound, &[interface("eth0", 3, "192.0.2.2", false)], false));
    }

    #[test]
    fn two_nodes_on_a_machine_hear_each_other_and_themselves() {
        let mut poll = mio::Poll::new().unwrap();
        let bound = ["127.0.0.1:4000".parse().unwrap()];
        let mut ears: Vec<MulticastSockets> =
            (0..2).map(|_| MulticastSockets::new(Lan::On, Power::Normal).unwrap()).collect();
        for ears in &mut ears {
            ears.refresh(&bound, poll.registry());
            // Again is nothing.
            ears.refresh(&bound, poll.registry());
        }
        if ears.iter().any(|ears| ears.places().len() != 1) {
            assert!(std::env::var("DONP_REQUIRE_ALL").is_err(), "no multicast, and nothing may be skipped here");
            return eprintln!("SKIPPED: loopback has no multicast here");
        }
        // Others on this machine may speak too, so each beacon is looked for by what is in it.
        let said = std::process::id().to_le_bytes();
        ears[0].send(&said);
        let mut events = mio::Events::with_capacity(8);
        let mut heard = [false; 2];
        for _ in 0..100 {
            for (n, ears) in ears.iter_mut().enumerate() {
                ears.ears.iter_mut().for_each(|ear| ear.readable = true);
                ears.receive(&mut |from, bytes| heard[n] |= from.ip().is_loopback() && bytes == said);
                assert!(!ears.has_more());
            }
            if heard == [true; 2] {
                break;
            }
            poll.poll(&mut events, Some(std::time::Duration::from_millis(50))).unwrap();
        }
        assert_eq!(heard, [true; 2]);
        // An interface that is gone is left.
        ears[0].refresh(&[], poll.registry());
        assert!(ears[0].places().is_empty());
    }

    /// Breaks if an address of another interface, or of none, counts.
    #[test]
    fn a_beacon_counts_only_on_its_interface() {
        let mut all = vec![interface("eth0", 2, "10.1.2.3", false), interface("wlan0", 3, "11.1.2.3", false)];
        all.push(interface("eth0", 2, "fe80::1", false));
        all.push(interface("eth0", 2, "2001:db8::1", false));
        let v4 = Place::V4 { group: LAN_GROUP_V4, interface: Ipv4Addr::new(10, 1, 2, 3), index: Some(2) };
        let v6 = Place::V6 { index: 2 };
        let on = |from: &str, place: Place| is_on_link(from.parse().unwrap(), place, &place.networks(&all));
        assert!(on("10.9.9.9:8888", v4) && on("169.254.1.1:8888", v4));
        assert!(!on("11.1.2.4:8888", v4) && !on("8.8.4.4:8888", v4) && !on("[2001:db8::2]:8888", v4));
        assert!(on("[fe80::9%2]:8888", v6) && on("[2001:db8::2]:8888", v6));
        assert!(!on("[fe80::9%3]:8888", v6) && !on("[2001:db8:1::2]:8888", v6));
        assert!(!is_on_link("10.9.9.9:8888".parse().unwrap(), v4, &[]), "the interface is gone");
    }

    #[test]
    fn settings_read_as_they_print() {
        for lan in [Lan::Off, Lan::On, Lan::Compat] {
            assert_eq!(lan.to_string().parse(), Ok(lan));
        }
        assert!("maybe".parse::<Lan>().is_err());
    }
}
