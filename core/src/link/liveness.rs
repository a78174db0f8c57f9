//! Whether the peer of a link is there: when it was last received, when it is asked, and when it is given up.

use crate::config::LinkConfig;
use crate::link::health::Health;
use crate::link::interest::Interest;
use crate::link::recovery::Smoothed;
use crate::time::{Duration, Instant, micros, soonest};
use crate::wakes::Wakes;
use crate::wire::record::NodeRecord;

/// A silence of so many times the usual one is a reason to probe, before the keepalive's time. If packets come at
/// random, one silence in 3,000 is as long (e^-8).
const SILENCE_FACTOR: u32 = 8;
/// No shorter silence is: 500 ms, what the probes take until their peer is suspected.
const MIN_SILENCE: Duration = Duration::from_millis(500);
/// Without a NAT box a link that failure detection wants needs no keepalive, since its members probe each other: within
/// 128 s in a zone of 64. So many times 25 s leave that the time.
const UNTRANSLATED: u32 = 8;

#[cfg_attr(test, derive(Debug))]
pub(super) struct Liveness {
    received_at: Instant,
    /// How long the peer is silent between two packets.
    usual: Smoothed,
    probed_at: Instant,
    pub health: Health,
    /// When this node wakes, if it is one of low power.
    wakes: Option<Wakes>,
    /// How much the link is wanted.
    pub interest: Interest,
    /// A NAT box may stand before this node on the path, whose binding a keepalive keeps. It does not where the peer
    /// sees an address that this node has.
    pub translated: bool,
}

impl Liveness {
    pub(super) fn new(interest: Interest, wakes: Option<Wakes>, now: Instant) -> Self {
        Self {
            received_at: now,
            usual: Smoothed::default(),
            probed_at: now,
            health: Health::Well,
            wakes,
            interest,
            translated: true,
        }
    }

    /// The peer proved that it is there.
    pub(super) fn received(&mut self, now: Instant) {
        self.usual.sample(now.since(self.received_at));
        self.received_at = self.received_at.max(now);
        self.health.answered();
    }

    pub(super) fn probed(&mut self, now: Instant) {
        self.probed_at = now;
    }

    /// Whether a probe has a point because other links fail: nothing came from the peer and no probe left within `recently`.
    /// One of low power is not asked.
    pub(super) fn is_uncertain(&self, peer: &NodeRecord, recently: Duration, now: Instant) -> bool {
        self.interest != Interest::None
            && !peer.is_low_power()
            && self.health.owed_since().is_none()
            && now.since(self.received_at.max(self.probed_at)) >= recently
    }

    /// When this node says to the peer that it is there, or asks whether the peer is. A peer of low power is never asked: it
    /// speaks first.
    pub(super) fn keepalive_at(&self, peer: &NodeRecord, config: &LinkConfig) -> Option<Instant> {
        if self.interest == Interest::None {
            return None;
        }
        match self.wakes {
            // Whatever came meanwhile: the peer judges this node by its silence.
            Some(wakes) => Some(wakes.after(self.probed_at)),
            None if peer.is_low_power() => None,
            None => Some(self.received_at.max(self.probed_at) + self.keepalive(config)),
        }
    }

    /// When the link is down if nothing comes before.
    pub(super) fn dead_at(&self, peer: &NodeRecord, config: &LinkConfig) -> Option<Instant> {
        let unanswered = self.health.owed_since().map(|since| since + self.dead_after(config));
        soonest(unanswered, peer.silent_for().map(|silence| self.received_at + silence))
    }

    /// What is due at `at` and may wait is done when a node of low power wakes.
    pub(super) fn when_convenient(&self, at: Instant) -> Instant {
        self.wakes.map_or(at, |wakes| wakes.not_before(at))
    }

    /// Which end offers secrets: of a node of low power and another the former, which speaks first.
    pub(super) fn offers(&self, peer: &NodeRecord, is_initiator: bool) -> bool {
        match (self.wakes.is_some(), peer.is_low_power()) {
            (true, false) => true,
            (false, true) => false,
            (true, true) | (false, false) => is_initiator,
        }
    }

    /// Silence after which the peer is probed: a peer that sends all the time and stops is noticed soon, as by accrual failure
    /// detectors (Hayashibara et al., "The φ Accrual Failure Detector", SRDS 2004).
    fn keepalive(&self, config: &LinkConfig) -> Duration {
        if self.interest == Interest::Rare {
            let times = if self.translated { 1 } else { UNTRANSLATED };
            return config.rare_keepalive.saturating_mul(times);
        }
        if self.health.owed_since().is_some() {
            // Probed already.
            return config.keepalive;
        }
        let unusual = self.usual.mean().map_or(Duration::MAX, |usual| usual.saturating_mul(SILENCE_FACTOR));
        unusual.max(MIN_SILENCE).min(config.keepalive)
    }

    /// As many keepalives as usual.
    fn dead_after(&self, config: &LinkConfig) -> Duration {
        if self.interest != Interest::Rare {
            return config.dead_after;
        }
        let us = micros(config.dead_after).saturating_mul(micros(config.rare_keepalive));
        Duration::from_micros(us.checked_div(micros(config.keepalive)).unwrap_or(u64::MAX))
    }
}
