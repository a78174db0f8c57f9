//! How often addresses that never answered are tried (docs/design/failures.md §4).
//!
//! Other nodes pass on addresses, and could name that of any host. One packet goes to it, and then fewer and
//! fewer, whatever ids it is named with; all such addresses of one machine share a rate besides.

use crate::collections::{Backoff, OrderedMap, Rate, RateLimit};
use core::net::{IpAddr, SocketAddr};

use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// The pause after the first packet: the time of one attempt, so that an attempt is one packet. It doubles up to the
/// longest pause between attempts at a member of a zone.
const PAUSE: Backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(300));
/// Packets to all addresses of one machine that never answered: a zone of 64 on one machine at once, and then one in two
/// seconds as in a quiet zone.
const MACHINE: Rate = Rate { per_second: 1, burst: 64 };
/// Addresses that answered: as many as there can be links and candidates for them (`limits.rs`), 56 bytes each.
const MAX_PROVEN: usize = 1_024;
/// Addresses and machines that are being tried, 56 bytes each.
const MAX_TRIED: usize = 1_024;

struct Tried {
    packets: u32,
    next: Instant,
}

#[derive(Default)]
pub(super) struct Strangers {
    /// With the number of its last use; the one used least recently gives way.
    proven: OrderedMap<SocketAddr, u64>,
    uses: u64,
    /// The one that may be tried again soonest gives way: of all it has been tried least.
    tried: OrderedMap<SocketAddr, Tried>,
    /// Those that limit nothing any more give way; without one no further machine is tried.
    machines: OrderedMap<IpAddr, RateLimit>,
}

impl Strangers {
    /// A node was reached there, in this life of the node or before.
    pub(super) fn answered(&mut self, addr: SocketAddr) {
        self.tried.remove(&addr);
        if self.proven.len() >= MAX_PROVEN && !self.proven.contains_key(&addr) {
            let oldest = self.proven.iter().min_by_key(|(_, used)| **used).map(|(addr, _)| *addr);
            oldest.and_then(|addr| self.proven.remove(&addr));
        }
        self.uses = self.uses.saturating_add(1);
        self.proven.insert(addr, self.uses);
    }

    /// Whether a packet may go there now, and how many went before, of none that answered; it counts as sent.
    pub(super) fn may_try(&mut self, addr: SocketAddr, now: Instant, rng: &mut Rng) -> Option<u32> {
        if self.proven.contains_key(&addr) {
            return Some(0);
        }
        if self.tried.get(&addr).is_some_and(|tried| tried.next > now) || !self.machine(addr.ip().to_canonical(), now) {
            return None;
        }
        if self.tried.len() >= MAX_TRIED && !self.tried.contains_key(&addr) {
            let soonest = self.tried.iter().min_by_key(|(_, tried)| tried.next).map(|(addr, _)| *addr);
            soonest.and_then(|addr| self.tried.remove(&addr));
        }
        let tried = self.tried.entry(addr).or_insert(Tried { packets: 0, next: now });
        tried.next = now + PAUSE.pause(tried.packets, rng);
        let before = tried.packets;
        tried.packets = before.saturating_add(1);
        Some(before)
    }

    fn machine(&mut self, ip: IpAddr, now: Instant) -> bool {
        if self.machines.len() >= MAX_TRIED && !self.machines.contains_key(&ip) {
            self.machines.retain(|_, limit| !limit.is_full(now));
            if self.machines.len() >= MAX_TRIED {
                return false;
            }
        }
        self.machines.entry(ip).or_insert(RateLimit::new(MACHINE)).take(now)
    }

    pub(super) fn len(&self) -> usize {
        self.proven.len().saturating_add(self.tried.len()).saturating_add(self.machines.len())
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::*;

    fn at(n: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 9], n))
    }

    fn packets(strangers: &mut Strangers, addr: SocketAddr, from: u64, to: u64) -> usize {
        let mut rng = Rng::new([1; 32]);
        (from..to).filter(|s| strangers.may_try(addr, Instant::from_micros(s * 1_000_000), &mut rng).is_some()).count()
    }

    /// Breaks if the pause does not grow, or if it is kept for each id that is named with it.
    #[test]
    fn a_silent_address_gets_ten_packets_in_half_an_hour() {
        let mut strangers = Strangers::default();
        assert_eq!(packets(&mut strangers, at(1), 0, 8), 1);
        assert!((8..=11).contains(&packets(&mut strangers, at(1), 8, 1_800)));
        strangers.answered(at(1));
        assert_eq!(packets(&mut strangers, at(1), 1_800, 1_900), 100, "it is there");
    }

    /// Breaks without the rate of a machine.
    #[test]
    fn the_ports_of_one_machine_share_a_rate() {
        let mut strangers = Strangers::default();
        let mut rng = Rng::new([1; 32]);
        let now = Instant::from_micros(1);
        let sent = (1..5_000).filter(|port| strangers.may_try(at(*port), now, &mut rng).is_some()).count();
        assert_eq!(sent, 64);
        assert!(strangers.may_try(SocketAddr::from(([10, 0, 0, 8], 1)), now, &mut rng).is_some(), "another machine");
    }

    /// Breaks if a table grows with what others name.
    #[test]
    fn tables_of_strangers_are_bounded() {
        let mut strangers = Strangers::default();
        let mut rng = Rng::new([1; 32]);
        for n in 0..20_000u32 {
            let addr = SocketAddr::from((n.to_be_bytes(), 4_000));
            strangers.may_try(addr, Instant::from_micros(u64::from(n)), &mut rng);
            strangers.answered(SocketAddr::from((n.to_be_bytes(), 4_001)));
        }
        assert!(strangers.len() <= MAX_PROVEN + 2 * MAX_TRIED);
    }
}
