//! A box between a private network and the Internet (RFC 4787): it maps inner addresses to ports of
//! its own and filters inbound datagrams.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

/// Which datagrams of one inner address share an outer port (RFC 4787 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Mapping {
    /// Endpoint-independent (EIM): all.
    #[serde(rename = "eim")]
    EndpointIndependent,
    /// Endpoint-dependent (EDM): those to one address and port; another destination, another port.
    #[serde(rename = "edm")]
    EndpointDependent,
}

/// What may come in through a mapping (RFC 4787 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Filtering {
    /// Endpoint-independent (EIF): anything.
    #[serde(rename = "eif")]
    EndpointIndependent,
    /// Address-dependent (ADF): from addresses that something was sent to.
    #[serde(rename = "adf")]
    AddressDependent,
    /// Address and port-dependent (APDF): from addresses and ports that something was sent to.
    #[serde(rename = "apdf")]
    AddressPortDependent,
}

/// How a NAT box behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatConfig {
    /// Its mapping.
    pub mapping: Mapping,
    /// Its filtering.
    pub filtering: Filtering,
    /// Tries to keep the inner port as the outer one.
    pub preserve_port: bool,
    /// Microseconds without outbound traffic after which a mapping, and each permission, is forgotten.
    pub expiry: u64,
    /// Whether two nodes behind the box can talk through its outer address.
    pub hairpin: bool,
}

impl Default for NatConfig {
    /// The commonest home router: EIM, APDF, 30 s, no hairpin.
    fn default() -> Self {
        Self {
            mapping: Mapping::EndpointIndependent,
            filtering: Filtering::AddressPortDependent,
            preserve_port: true,
            expiry: 30_000_000,
            hairpin: false,
        }
    }
}

/// The least outer port that is given out.
const FIRST_PORT: u16 = 1_024;

#[derive(Clone, Debug)]
struct Hole {
    inner: SocketAddr,
    /// The one destination of an endpoint-dependent mapping.
    only: Option<SocketAddr>,
    last_out: u64,
    /// A destination, and when something was last sent to it.
    allowed: BTreeMap<SocketAddr, u64>,
}

/// A NAT box at work. Times are virtual microseconds.
#[derive(Clone, Debug)]
pub struct NatBox {
    /// Its behaviour; may be changed at any time.
    pub config: NatConfig,
    outer: IpAddr,
    by_inner: BTreeMap<(SocketAddr, Option<SocketAddr>), u16>,
    by_port: BTreeMap<u16, Hole>,
    next_port: u16,
}

impl NatBox {
    /// A box with the outer address `outer`. `first_port` is the first port that it maps to; a
    /// random value makes ports hard to predict.
    pub fn new(config: NatConfig, outer: IpAddr, first_port: u16) -> Self {
        let next_port = first_port.max(FIRST_PORT);
        Self { config, outer, by_inner: BTreeMap::new(), by_port: BTreeMap::new(), next_port }
    }

    /// Its outer address.
    pub fn outer(&self) -> IpAddr {
        self.outer
    }

    /// Mappings that are alive at `now`.
    pub fn mappings(&self, now: u64) -> usize {
        self.by_port.values().filter(|h| !self.is_over(h.last_out, now)).count()
    }

    /// A datagram leaves from `inner` to `to`: the source that its receiver sees. None if every port is
    /// in use.
    pub fn outbound(&mut self, now: u64, inner: SocketAddr, to: SocketAddr) -> Option<SocketAddr> {
        let only = (self.config.mapping == Mapping::EndpointDependent).then_some(to);
        let key = (inner, only);
        let port = match self.by_inner.get(&key) {
            Some(&port) if self.by_port.get(&port).is_some_and(|h| !self.is_over(h.last_out, now)) => port,
            stale => {
                if let Some(port) = stale.copied() {
                    self.by_port.remove(&port);
                }
                let port = self.free_port(now, inner.port())?;
                self.by_inner.insert(key, port);
                self.by_port.insert(port, Hole { inner, only, last_out: now, allowed: BTreeMap::new() });
                port
            }
        };
        let expiry = self.config.expiry;
        if let Some(hole) = self.by_port.get_mut(&port) {
            hole.last_out = now;
            hole.allowed.retain(|_, last| now.saturating_sub(*last) < expiry);
            hole.allowed.insert(to, now);
        }
        Some(SocketAddr::new(self.outer, port))
    }

    /// A datagram from `from` came to the outer port `port`: the inner address it goes on to, if it
    /// may.
    pub fn inbound(&self, now: u64, port: u16, from: SocketAddr) -> Option<SocketAddr> {
        let hole = self.by_port.get(&port).filter(|h| !self.is_over(h.last_out, now))?;
        let mut open = hole.allowed.iter().filter(|(_, last)| !self.is_over(**last, now)).map(|(to, _)| to);
        let allowed = match self.config.filtering {
            Filtering::EndpointIndependent => true,
            Filtering::AddressDependent => open.any(|to| to.ip() == from.ip()),
            Filtering::AddressPortDependent => open.any(|to| *to == from),
        };
        allowed.then_some(hole.inner)
    }

    /// The box restarts: it forgets every mapping, and gives out other ports from now on. With
    /// `outer` its provider gave it another address, too.
    pub fn rebind(&mut self, outer: Option<IpAddr>) {
        self.by_inner.clear();
        self.by_port.clear();
        self.outer = outer.unwrap_or(self.outer);
        // Inner ports are not kept twice in a row, or nothing would have changed outside.
        self.next_port = self.next_port.wrapping_add(4_099).max(FIRST_PORT);
        self.config.preserve_port = false;
    }

    fn is_over(&self, last: u64, now: u64) -> bool {
        now.saturating_sub(last) >= self.config.expiry
    }

    fn is_free(&self, now: u64, port: u16) -> bool {
        port >= FIRST_PORT && self.by_port.get(&port).is_none_or(|h| self.is_over(h.last_out, now))
    }

    fn free_port(&mut self, now: u64, wanted: u16) -> Option<u16> {
        let kept = self.config.preserve_port.then_some(wanted);
        let count = u32::from(u16::MAX - FIRST_PORT) + 1;
        let start = u32::from(self.next_port - FIRST_PORT);
        let in_turn = (0..count).map(|i| FIRST_PORT + ((start + i) % count) as u16);
        let port = kept.into_iter().chain(in_turn).find(|port| self.is_free(now, *port))?;
        if let Some(old) = self.by_port.remove(&port) {
            self.by_inner.remove(&(old.inner, old.only));
        }
        if kept != Some(port) {
            self.next_port = port.checked_add(1).unwrap_or(FIRST_PORT);
        }
        Some(port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INNER: [&str; 2] = ["192.168.0.2:4000", "192.168.0.3:4000"];
    const A: &str = "81.0.0.1:4000";
    const A_OTHER_PORT: &str = "81.0.0.1:4001";
    const B: &str = "81.0.0.2:4000";

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn nat(mapping: Mapping, filtering: Filtering) -> NatBox {
        let config = NatConfig { mapping, filtering, ..NatConfig::default() };
        NatBox::new(config, "82.0.0.1".parse().unwrap(), 20_000)
    }

    /// RFC 4787 §4.1 and §5: every mapping with every filtering.
    #[test]
    fn every_combination_maps_and_filters_as_configured() {
        use {Filtering as F, Mapping as M};
        for mapping in [M::EndpointIndependent, M::EndpointDependent] {
            // Sources from which an answer to a datagram for A passes: A, A's other port, B.
            let table = [
                (F::EndpointIndependent, [true, true, true]),
                (F::AddressDependent, [true, true, false]),
                (F::AddressPortDependent, [true, false, false]),
            ];
            for (filtering, passes) in table {
                let mut nat = nat(mapping, filtering);
                let first = nat.outbound(0, at(INNER[0]), at(A)).unwrap();
                assert_eq!(first, at("82.0.0.1:4000"), "the inner port is kept while it is free");
                for (from, passes) in [A, A_OTHER_PORT, B].into_iter().zip(passes) {
                    let inner = nat.inbound(1, first.port(), at(from));
                    assert_eq!(inner, passes.then(|| at(INNER[0])), "{mapping:?} {filtering:?} from {from}");
                }
                assert_eq!(nat.inbound(1, 4_999, at(A)), None, "a port without a mapping");
                let second = nat.outbound(2, at(INNER[0]), at(B)).unwrap();
                assert_eq!(second == first, mapping == M::EndpointIndependent, "{mapping:?}");
                assert_eq!(nat.outbound(3, at(INNER[0]), at(A)), Some(first), "a mapping in use stays");
                assert_eq!(nat.inbound(4, second.port(), at(B)), Some(at(INNER[0])));
                let other = nat.outbound(5, at(INNER[1]), at(A)).unwrap();
                assert!(other != first && other != second, "two inner addresses share no port");
                assert_eq!(nat.inbound(6, other.port(), at(A)), Some(at(INNER[1])));
            }
        }
    }

    #[test]
    fn quiet_mappings_and_permissions_end_and_used_ones_do_not() {
        let mut nat = nat(Mapping::EndpointIndependent, Filtering::AddressPortDependent);
        let second = 1_000_000;
        let port = nat.outbound(0, at(INNER[0]), at(A)).unwrap().port();
        nat.outbound(20 * second, at(INNER[0]), at(B));
        assert!(nat.inbound(29 * second, port, at(A)).is_some());
        assert!(nat.inbound(31 * second, port, at(A)).is_none(), "nothing went to A for 30 s");
        assert!(nat.inbound(31 * second, port, at(B)).is_some(), "the mapping itself is alive");
        // Only what goes out keeps it (RFC 4787, REQ-6).
        assert!(nat.inbound(50 * second, port, at(B)).is_none());
        assert_eq!(nat.mappings(50 * second), 0);
        assert_eq!(nat.outbound(60 * second, at(INNER[1]), at(A)).unwrap().port(), 4_000, "its port is free again");
        assert_ne!(nat.outbound(61 * second, at(INNER[0]), at(A)).unwrap().port(), 4_000);
    }

    #[test]
    fn a_rebinding_changes_the_mapping_and_forgets_permissions() {
        let mut nat = nat(Mapping::EndpointIndependent, Filtering::EndpointIndependent);
        let before = nat.outbound(0, at(INNER[0]), at(A)).unwrap();
        nat.rebind(None);
        assert_eq!(nat.inbound(1, before.port(), at(A)), None);
        let after = nat.outbound(2, at(INNER[0]), at(A)).unwrap();
        assert_eq!((after.ip(), after.port() == before.port()), (before.ip(), false));
        nat.rebind(Some("82.0.0.9".parse().unwrap()));
        assert_eq!(nat.outbound(3, at(INNER[0]), at(A)).unwrap().ip().to_string(), "82.0.0.9");
    }

    #[test]
    fn ports_run_out_and_come_back() {
        let mut nat = nat(Mapping::EndpointDependent, Filtering::EndpointIndependent);
        let to = |i: u32| SocketAddr::from(([81, 1, (i >> 8) as u8, i as u8], 4_000));
        let ports = u32::from(u16::MAX - FIRST_PORT) + 1;
        let given: std::collections::BTreeSet<u16> =
            (0..ports).map(|i| nat.outbound(0, at(INNER[0]), to(i)).unwrap().port()).collect();
        assert_eq!(given.len() as u32, ports);
        assert_eq!(nat.outbound(0, at(INNER[0]), to(ports)), None);
        assert!(nat.outbound(30_000_000, at(INNER[0]), to(ports)).is_some());
    }
}
