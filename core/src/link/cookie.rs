//! What a handshake must show before it costs anything: MACs, cookies, rate limits.
//!
//! `mac1` proves knowledge of the responder's key and costs one hash to check. When the budget for
//! unknown addresses is used up, a cookie proves the source address, as in WireGuard §5.4; unlike there it
//! covers the port, has its own budget (category-labs/monad-bft #2777: a shared one is starved by an
//! attacker just below the threshold), and is the way through, never a silent drop.

use crate::collections::{OrderedMap, Rate, RateLimit};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use chacha20poly1305::aead::Aead;
use chacha20poly1305::aead::Payload;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use subtle::ConstantTimeEq;

use crate::link::packet::{COOKIE_LEN, COOKIE_REPLY, MAC_LEN, VERSION};
use crate::time::Instant;
use crate::wire::Malformed;
use crate::wire::record::Reader;

/// The cookie key changes after this; the one before is still accepted (WireGuard §5.4.7).
pub(super) const COOKIE_LIFE: Duration = Duration::from_secs(120);
/// Handshakes without a cookie from one /32 or /64: 5 a second, 10 at once (docs/design/links.md §2).
const PREFIX: Rate = Rate { per_second: 5, burst: 10 };
/// Handshakes with a cookie from one prefix: a quarter of the default budget, so that one host cannot
/// use it up, and a hundred nodes behind one address still link within a second.
const VERIFIED_PREFIX: Rate = Rate::per_second(100);
/// Replies that prove nothing about their receiver: one a second to each address (docs/design/links.md §2).
const REPLIES: Rate = Rate::per_second(1);
/// Entries of each table below: about 100 bytes each, so 820 KiB for both.
const TABLE: usize = 4_096;

pub(super) type Mac = [u8; MAC_LEN];

/// The first 16 bytes of BLAKE3 keyed with `key`.
pub(super) fn mac(key: &[u8; 32], data: &[u8]) -> Mac {
    let mut out = [0; MAC_LEN];
    blake3::Hasher::new_keyed(key).update(data).finalize_xof().fill(&mut out);
    out
}

pub(super) fn same(a: &Mac, b: &Mac) -> bool {
    a.ct_eq(b).into()
}

/// The key of `mac1` for packets to the holder of `public`.
pub(super) fn mac1_key(public: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key("DONP v1 link mac1", public)
}

/// The key of `mac2` from a cookie.
pub(super) fn mac2(cookie: &Mac, data: &[u8]) -> Mac {
    mac(&blake3::derive_key("DONP v1 link mac2", cookie), data)
}

fn cookie_key(public: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key("DONP v1 link cookie", public)
}

/// A CookieReply: `cookie` sealed for the sender of `mac1` to the holder of `public`.
pub(super) fn seal_reply(
    public: &[u8; 32],
    receiver: u32,
    mac1: &Mac,
    cookie: &Mac,
    nonce: [u8; 24],
) -> Option<Vec<u8>> {
    let cipher = XChaCha20Poly1305::new(&cookie_key(public).into());
    let sealed = cipher.encrypt(&nonce.into(), Payload { msg: cookie, aad: mac1 }).ok()?;
    let mut out = Vec::with_capacity(COOKIE_LEN);
    out.extend_from_slice(&[COOKIE_REPLY, VERSION]);
    out.extend_from_slice(&receiver.to_le_bytes());
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&sealed);
    Some(out)
}

/// The cookie in a CookieReply to the Init that carried `mac1`.
pub(super) fn open_reply(public: &[u8; 32], mac1: &Mac, packet: &[u8]) -> Result<Mac, Malformed> {
    let mut r = Reader(packet);
    let _: [u8; 6] = r.take()?;
    let nonce: [u8; 24] = r.take()?;
    let cipher = XChaCha20Poly1305::new(&cookie_key(public).into());
    let plain = cipher.decrypt(&nonce.into(), Payload { msg: r.0, aad: mac1 }).map_err(|_| Malformed)?;
    plain.as_slice().try_into().map_err(|_| Malformed)
}

/// A /32 or /64 and whether its packets carried a cookie.
type Prefix = (u64, bool);

fn prefix(ip: IpAddr, verified: bool) -> Prefix {
    let bits = match ip {
        IpAddr::V4(ip) => u64::from(u32::from(ip)),
        // The bit keeps an IPv4 address and the /64 of equal number apart.
        IpAddr::V6(ip) => ((u128::from(ip) >> 64) as u64) | 1 << 63,
    };
    (bits, verified)
}

/// What to do with an authentic-looking handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Serve,
    AskForCookie,
    Drop,
}

/// Rate limits and the cookie secret. Nothing here is kept for a source beyond seconds, and no table grows
/// past its bound.
pub(super) struct RateLimiter {
    secret: [u8; 32],
    unverified: RateLimit,
    verified: RateLimit,
    prefixes: OrderedMap<Prefix, RateLimit>,
    replies: OrderedMap<(SocketAddr, u8), RateLimit>,
    purged: Instant,
}

impl RateLimiter {
    pub(super) fn new(secret: [u8; 32], unverified_rate: u32, verified_rate: u32) -> Self {
        Self {
            secret,
            unverified: RateLimit::new(Rate::per_second(unverified_rate)),
            verified: RateLimit::new(Rate::per_second(verified_rate)),
            prefixes: OrderedMap::new(),
            replies: OrderedMap::new(),
            purged: Instant::ZERO,
        }
    }

    fn cookie_of(&self, age: u64, addr: SocketAddr) -> Mac {
        let mut data = Vec::with_capacity(32);
        data.extend_from_slice(&age.to_le_bytes());
        crate::link::packet::put_addr(&mut data, addr);
        mac(&self.secret, &data)
    }

    fn age(now: Instant) -> u64 {
        now.as_micros().checked_div(crate::time::micros(COOKIE_LIFE)).unwrap_or(0)
    }

    /// The cookie that proves `addr` now.
    pub(super) fn cookie(&self, now: Instant, addr: SocketAddr) -> Mac {
        self.cookie_of(Self::age(now), addr)
    }

    /// Whether `mac2` over `data` was made with a cookie given to `addr` not long ago.
    pub(super) fn proves(&self, now: Instant, addr: SocketAddr, data: &[u8], given: &Mac) -> bool {
        if *given == [0; MAC_LEN] {
            return false;
        }
        let age = Self::age(now);
        let fresh = same(&mac2(&self.cookie_of(age, addr), data), given);
        let older = age.checked_sub(1).is_some_and(|age| same(&mac2(&self.cookie_of(age, addr), data), given));
        fresh || older
    }

    /// Whether a handshake is within the limits; counts it if so.
    pub(super) fn admit(&mut self, now: Instant, from: SocketAddr, verified: bool) -> Admission {
        let key = prefix(from.ip(), verified);
        if !self.prefixes.contains_key(&key) && self.prefixes.len() >= TABLE {
            self.purge(now);
        }
        let known = self.prefixes.contains_key(&key);
        let own = if known || self.prefixes.len() < TABLE {
            let rate = if verified { VERIFIED_PREFIX } else { PREFIX };
            self.prefixes.entry(key).or_insert_with(|| RateLimit::new(rate)).take(now)
        } else {
            // The table is full: an unknown address has to show a cookie, a proven one is let through to the
            // common limit.
            verified
        };
        let common = if verified { &mut self.verified } else { &mut self.unverified };
        if own && common.take(now) {
            return Admission::Serve;
        }
        if verified { Admission::Drop } else { Admission::AskForCookie }
    }

    /// Whether a reply of kind `kind` may go to `addr` now; remembers that it did. With a full table
    /// the answer is yes: no reply is longer than its request.
    pub(super) fn may_reply(&mut self, now: Instant, addr: SocketAddr, kind: u8) -> bool {
        let key = (addr, kind);
        if let Some(limit) = self.replies.get_mut(&key) {
            return limit.take(now);
        }
        if self.replies.len() >= TABLE {
            self.purge(now);
        }
        self.replies.len() >= TABLE || self.replies.entry(key).or_insert_with(|| RateLimit::new(REPLIES)).take(now)
    }

    /// Drops limits that are full again; at most ten times a second, so that a flood does not pay
    /// for a sweep with every packet.
    fn purge(&mut self, now: Instant) {
        if now < self.purged + Duration::from_millis(100) {
            return;
        }
        self.purged = now;
        self.replies.retain(|_, limit| !limit.is_full(now));
        self.prefixes.retain(|_, limit| !limit.is_full(now));
    }

    pub(super) fn len(&self) -> usize {
        self.prefixes.len().saturating_add(self.replies.len())
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    fn addr(a: u8, b: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, a, b], port))
    }

    #[test]
    fn a_cookie_lives_through_one_rotation_and_no_further() {
        let limiter = RateLimiter::new([1; 32], 100, 400);
        let made = at(119_000);
        let mac = mac2(&limiter.cookie(made, addr(0, 1, 5)), b"init");
        for (ms, ok) in [(119_000, true), (120_001, true), (239_999, true), (240_000, false), (500_000, false)] {
            assert_eq!(limiter.proves(at(ms), addr(0, 1, 5), b"init", &mac), ok, "at {ms} ms");
        }
        assert!(!limiter.proves(made, addr(0, 1, 6), b"init", &mac), "another port");
        assert!(!limiter.proves(made, addr(0, 2, 5), b"init", &mac), "another address");
        assert!(!limiter.proves(made, addr(0, 1, 5), b"inix", &mac), "another packet");
        assert!(!RateLimiter::new([2; 32], 1, 1).proves(made, addr(0, 1, 5), b"init", &mac), "another secret");
    }

    #[test]
    fn a_reply_opens_only_for_the_sender_of_mac1() {
        let reply = seal_reply(&[9; 32], 7, &[1; 16], &[2; 16], [3; 24]).unwrap();
        assert_eq!(reply.len(), COOKIE_LEN);
        assert_eq!(open_reply(&[9; 32], &[1; 16], &reply), Ok([2; 16]));
        assert!(open_reply(&[9; 32], &[4; 16], &reply).is_err());
        assert!(open_reply(&[8; 32], &[1; 16], &reply).is_err());
    }

    #[test]
    fn a_flood_is_asked_for_cookies_and_spares_verified_sources() {
        let mut limiter = RateLimiter::new([1; 32], 100, 400);
        let mut served = 0;
        for n in 0..20_000u32 {
            let from = addr((n >> 8) as u8, n as u8, 9);
            match limiter.admit(at(1_000), from, false) {
                Admission::Serve => served += 1,
                Admission::AskForCookie => {}
                Admission::Drop => panic!("an honest one among them would be lost"),
            }
        }
        assert_eq!(served, 100);
        assert_eq!(limiter.admit(at(1_000), addr(200, 1, 1), true), Admission::Serve);
        assert!(limiter.len() <= 2 * TABLE);
        assert_eq!(limiter.admit(at(2_000), addr(201, 1, 1), false), Admission::Serve, "refilled after a second");
    }

    #[test]
    fn one_prefix_has_ten_then_five_a_second_without_a_cookie() {
        let mut limiter = RateLimiter::new([1; 32], 100, 400);
        let mut serve =
            |ms| (0..50).filter(|n| limiter.admit(at(ms), addr(0, 1, *n), false) == Admission::Serve).count();
        assert_eq!(serve(5_000), 10);
        assert_eq!(serve(6_000), 5);
    }

    #[test]
    fn one_reply_of_a_kind_to_an_address_in_a_second() {
        let mut limiter = RateLimiter::new([1; 32], 100, 400);
        assert!(limiter.may_reply(at(0), addr(0, 0, 1), 3));
        assert!(limiter.may_reply(at(0), addr(0, 0, 1), 6));
        assert!(!limiter.may_reply(at(999), addr(0, 0, 1), 3));
        assert!(limiter.may_reply(at(1_000), addr(0, 0, 1), 3));
        for n in 0..10_000u32 {
            assert!(limiter.may_reply(at(1_500), addr((n >> 8) as u8, n as u8, 2), 3));
        }
        assert!(limiter.len() <= 2 * TABLE);
    }
}
