//! Which addresses that peers report may be tried.

use core::net::{IpAddr, SocketAddr};

/// The one form of an address: an IPv4 address within an IPv6 one is that IPv4 address, and no socket sends to the other.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, addr.port())),
        IpAddr::V6(_) => addr,
    }
}

/// Whether a datagram may be sent to an address that `source` reported, or our own user if it
/// is none: never to groups or nowhere, and never from the outside into this machine or network
/// (docs/design/reliability.md §1, reflection).
pub(crate) fn may_probe(addr: SocketAddr, source: Option<IpAddr>) -> bool {
    let ip = addr.ip().to_canonical();
    if addr.port() == 0 || ip.is_unspecified() || ip.is_multicast() {
        return false;
    }
    if matches!(ip, IpAddr::V4(v4) if v4.is_broadcast()) {
        return false;
    }
    let Some(source) = source else { return true };
    let source = source.to_canonical();
    let reserved_port = addr.port() < 1_024;
    !reserved_port
        && scope(ip) >= scope(source).min(Scope::Global)
        && (scope(ip) != Scope::Host || source.is_loopback())
}

/// Whether a datagram from there can have come from a network of this node, which has the addresses `local`: it is none of
/// the addresses of the internet, or one beside an own one, in the same /16 or /64. Hosts that know the masks of their
/// interfaces can tell better.
pub(crate) fn is_near(from: IpAddr, local: &[SocketAddr]) -> bool {
    let from = from.to_canonical();
    scope(from) < Scope::Global
        || local.iter().any(|own| match (from, own.ip().to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => a.to_bits() >> 16 == b.to_bits() >> 16,
            (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() >> 64 == b.to_bits() >> 64,
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        })
}

/// What one holder of addresses on the internet has: a /24 of IPv4, a /48 of IPv6. None of other networks, whose nodes all
/// share one.
pub(crate) fn prefix(ip: IpAddr) -> Option<u128> {
    let ip = ip.to_canonical();
    let bits = match ip {
        // No /48 is so small a number: those of the internet begin with bits 001.
        IpAddr::V4(v4) => u128::from(v4.to_bits() >> 8),
        IpAddr::V6(v6) => v6.to_bits() >> 80,
    };
    (scope(ip) == Scope::Global).then_some(bits)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Host,
    Link,
    Site,
    Global,
}

/// Whether an address means something on one link only.
pub(crate) fn is_of_link(ip: IpAddr) -> bool {
    matches!(scope(ip.to_canonical()), Scope::Link)
}

fn scope(ip: IpAddr) -> Scope {
    match ip {
        IpAddr::V4(v4) if v4.is_loopback() => Scope::Host,
        IpAddr::V4(v4) if v4.is_link_local() => Scope::Link,
        IpAddr::V4(v4) if v4.is_private() => Scope::Site,
        IpAddr::V6(v6) if v6.is_loopback() => Scope::Host,
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Scope::Link,
        IpAddr::V6(v6) if v6.is_unique_local() => Scope::Site,
        IpAddr::V4(_) | IpAddr::V6(_) => Scope::Global,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reported_address_its_source_cannot_reach_is_refused() {
        let ip = |s: &str| s.parse::<IpAddr>().unwrap();
        let at = |s: &str| s.parse::<SocketAddr>().unwrap();
        let outside = Some(ip("8.8.4.4"));
        for bad in [
            "127.0.0.1:4000",
            "10.0.0.1:4000",
            "169.254.1.1:4000",
            "[::1]:4000",
            "[fe80::1]:4000",
            "[fd00::1]:4000",
            "0.0.0.0:4000",
            "224.0.0.1:4000",
            "255.255.255.255:4000",
            "[ff02::1]:4000",
            "1.1.1.1:0",
            "1.1.1.1:53",
            "[::ffff:127.0.0.1]:4000",
        ] {
            assert!(!may_probe(at(bad), outside), "{bad}");
        }
        assert!(may_probe(at("1.1.1.1:4000"), outside));
        assert!(may_probe(at("10.0.0.1:4000"), Some(ip("10.0.0.2"))));
        assert!(!may_probe(at("127.0.0.1:4000"), Some(ip("10.0.0.2"))));
        assert!(may_probe(at("127.0.0.1:4000"), Some(ip("127.0.0.9"))));
        assert!(may_probe(at("1.1.1.1:53"), None), "the user's own word");
        assert!(!may_probe(at("224.0.0.1:4000"), None));
    }

    /// Mutations: a network of one's own has prefixes too; a /16 counts for a /24.
    #[test]
    fn addresses_of_one_holder_share_a_prefix() {
        let of = |s: &str| prefix(s.parse().unwrap());
        for own in ["10.0.0.1", "127.0.0.1", "192.168.7.7", "169.254.3.4", "::1", "fe80::1", "fd00::1"] {
            assert_eq!(of(own), None, "{own}");
        }
        assert_eq!(of("8.8.4.4"), of("::ffff:8.8.4.255"));
        assert_ne!(of("8.8.4.4"), of("8.8.5.4"));
        assert_eq!(of("2001:db8:7:1::1"), of("2001:db8:7:2::1"));
        assert_ne!(of("2001:db8:7::1"), of("2001:db8:8::1"));
        assert!(of("8.8.4.4").is_some() && of("2001:db8::1").is_some());
    }

    #[test]
    fn what_is_near_is_private_or_beside_an_own_address() {
        let ip = |s: &str| s.parse::<IpAddr>().unwrap();
        let local = ["192.0.2.2:4000".parse().unwrap(), "[2001:db8::2]:4000".parse().unwrap()];
        for near in ["10.0.0.1", "127.0.0.1", "169.254.3.4", "fe80::1", "fd00::1", "192.0.77.1", "2001:db8::99"] {
            assert!(is_near(ip(near), &local), "{near}");
        }
        for far in ["8.8.4.4", "192.1.2.2", "2001:db8:0:1::2", "::ffff:8.8.4.4"] {
            assert!(!is_near(ip(far), &local), "{far}");
        }
    }
}
