//! When the ends of a link exchange post-quantum secrets, and what a link that must have one lets pass before.
//! [`Generations`] holds the secrets, handshakes mix them in.

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::collections::Rate;
use crate::config::LinkConfig;
use crate::fact::{DownReason, Fact};
use crate::id::NodeId;
use crate::link::generations::{Exchange, Generations, Life};
use crate::link::packet::NO_GENERATION;
use crate::link::{CLOSE_CLASSICAL, Link, Out};
use crate::machine::{Cx, Emit, Outbox};
use crate::rng::Rng;
use crate::stats::DropReason;
use crate::time::{Duration, Instant};
use crate::wire::Channel;

/// The channel of the exchange; the other channels are those of machines.
pub(super) const CHANNEL: u8 = 10;
/// Age of a link at its first offer: by then one that is given up at once, as many are, is gone.
const FIRST_AFTER: Duration = Duration::from_secs(2);
/// From one exchange to the next: 5.6 bit/s of a link in use.
const EVERY: Duration = Duration::from_secs(3_600);
/// An offer without an answer, or one that is declined since the other end is busy, is made again after this, with
/// jitter.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);
/// Offers of one link that are answered at once; then one in [`ANSWER_EVERY`].
const ANSWERS: u8 = 2;
/// An honest end offers once in an hour, and again after a minute if the answer was lost.
const ANSWER_EVERY: Duration = Duration::from_secs(600);
/// Encapsulations of the node: 50 a second at 81 µs are 0.4 % of a processor.
pub(super) const ENCAPSULATIONS: Rate = Rate::per_second(50);
/// A link that must have a secret and has none by then ends.
const REQUIRED_WITHIN: Duration = Duration::from_secs(3);
/// What waits on a link that has no secret yet: what a peer says in its first seconds is below it.
const MAX_WAITING: usize = 64 << 10;

/// The exchange of one link.
#[cfg_attr(test, derive(Debug))]
pub(super) struct Upgrade {
    pub generations: Generations,
    /// When this end offers next, if it may.
    due: Option<Instant>,
    /// The last message of an exchange, and whether others were sent or came since.
    since: Instant,
    pub used: bool,
    /// Whether a packet came under the keys of this link: before that its address is not proven.
    proven: bool,
    answers: u8,
}

impl Upgrade {
    pub(super) fn new(life: &Life, config: &LinkConfig, now: Instant) -> Self {
        let after = if config.require_post_quantum { Duration::ZERO } else { FIRST_AFTER };
        let due = (config.post_quantum || config.require_post_quantum).then_some(now + after);
        Self { generations: Generations::new(life), due, since: now, used: false, proven: false, answers: 0 }
    }

    /// A packet came; true if it was the first.
    pub(super) fn proves(&mut self) -> bool {
        !core::mem::replace(&mut self.proven, true)
    }

    /// When this end offers next, if the link is `wanted` and this end may.
    pub(super) fn due(&self, may: bool) -> Option<Instant> {
        let used = self.used || self.generations.newest() == NO_GENERATION;
        self.due.filter(|_| may && used && self.proven && self.generations.may_offer())
    }

    /// A message of an exchange leaves.
    pub(super) fn said(&mut self, now: Instant) {
        self.since = now;
    }

    fn exchanged(&mut self, now: Instant) {
        (self.since, self.used) = (now, false);
        self.due = self.due.map(|_| now + EVERY);
    }

    fn retry(&mut self, now: Instant, rng: &mut Rng) {
        self.since = now;
        self.due = self.due.map(|_| now + rng.jitter(RETRY_INTERVAL, 50));
    }

    /// Whether one more offer of this link is answered now.
    fn may_answer(&mut self, now: Instant) -> bool {
        if self.answers >= ANSWERS && now.since(self.since) < ANSWER_EVERY {
            return false;
        }
        self.answers = self.answers.saturating_add(1);
        true
    }
}

/// What waits on a link that must have a post-quantum secret and has none yet: no machine knows that link.
#[cfg_attr(test, derive(Debug))]
pub(super) struct Hidden {
    until: Instant,
    /// Requests for the link, which its end answers.
    connects: Vec<(SocketAddr, Option<NodeId>)>,
    waiting: Vec<(Channel, Vec<u8>)>,
    bytes: usize,
}

impl Hidden {
    pub(super) fn new(now: Instant, connects: Vec<(SocketAddr, Option<NodeId>)>) -> Self {
        Self { until: now + REQUIRED_WITHIN, connects, waiting: Vec::new(), bytes: 0 }
    }

    pub(super) fn until(&self) -> Instant {
        self.until
    }

    pub(super) fn asked(&mut self, addr: SocketAddr, expect: Option<NodeId>) {
        if self.connects.len() < crate::link::addresses::MAX_ADDRS {
            self.connects.push((addr, expect));
        }
    }

    /// Keeps what the peer said, and nothing else; false if it is too much.
    fn keep(&mut self, out: &mut Outbox<Out>) -> bool {
        while let Some(emit) = out.pop() {
            if let Emit::Now(Out::Message { channel, body, .. }) = emit {
                self.bytes = self.bytes.saturating_add(body.len()).saturating_add(64);
                self.waiting.push((channel, body));
            }
        }
        self.bytes <= MAX_WAITING
    }

    /// The link ended before it was known: answers the requests for it.
    pub(super) fn unreachable(self, peer: NodeId, path: SocketAddr, out: &mut Outbox<Out>) {
        let mut connects = self.connects;
        if connects.is_empty() {
            connects.push((path, Some(peer)));
        }
        for (addr, expect) in connects {
            out.push(Out::Unreachable { addr, expect, wrong_node: false });
        }
    }
}

impl Link {
    /// Offers a secret on a link of which it is due.
    pub(super) fn offer_if_due(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let Some(connection) = self.links.get_mut(&peer) else { return };
        if connection.offer_at(&self.config).is_none_or(|at| at > cx.now) {
            return;
        }
        connection.upgrade.retry(cx.now, cx.rng);
        if let Some(offer) = connection.upgrade.generations.offer(cx.rng) {
            connection.exchange(offer, cx.now);
        }
    }

    /// A message of the exchange came.
    pub(super) fn exchange(&mut self, cx: &mut Cx<'_>, peer: NodeId, body: &[u8]) {
        let Some(connection) = self.links.get_mut(&peer) else { return };
        let Ok(message) = Exchange::decode(body) else { return self.drops.count(DropReason::Message) };
        let upgrade = &mut connection.upgrade;
        match message {
            Exchange::Offer { generation, key } => {
                let off = upgrade.due.is_none() && !self.config.post_quantum && !self.config.require_post_quantum;
                // Two offers cross: that of the lower id stands.
                let crossed = upgrade.generations.is_offered() && self.me < peer;
                if crossed || !upgrade.may_answer(cx.now) {
                    return self.drops.count(DropReason::Message);
                }
                let reply = if off || !self.encapsulations.take(cx.now) {
                    Some(Exchange::Decline { generation, off }.encode())
                } else {
                    upgrade.generations.answer(generation, key, cx.rng)
                };
                let Some(reply) = reply else { return self.drops.count(DropReason::Message) };
                upgrade.exchanged(cx.now);
                connection.exchange(reply, cx.now);
            }
            Exchange::Answer { generation, offer, ciphertext } => {
                if !upgrade.generations.accept(generation, offer, ciphertext) {
                    return self.drops.count(DropReason::Message);
                }
                upgrade.exchanged(cx.now);
                self.renew(cx, peer);
            }
            Exchange::Decline { off, .. } => {
                if !upgrade.generations.is_offered() {
                    return self.drops.count(DropReason::Message);
                }
                upgrade.generations.withdraw();
                if off {
                    upgrade.due = None;
                } else {
                    upgrade.retry(cx.now, cx.rng);
                }
            }
        }
    }

    /// What came over a link that must have a secret first waits. False if that is too much, and the link ended.
    pub(super) fn pass_on(
        &mut self,
        cx: &mut Cx<'_>,
        peer: NodeId,
        mut came: Outbox<Out>,
        out: &mut Outbox<Out>,
    ) -> bool {
        let hidden = self.links.get_mut(&peer).and_then(|connection| connection.hidden.as_mut());
        let fits = hidden.is_none_or(|hidden| hidden.keep(&mut came));
        if !fits {
            self.drops.count(DropReason::Queue);
            self.close(cx, peer, CLOSE_CLASSICAL, DownReason::Closed, out);
        }
        fits
    }

    /// The keys of a link were renewed. Shows one that must have a secret to the machines once it has.
    pub(super) fn show_if_upgraded(&mut self, peer: NodeId, out: &mut Outbox<Out>) {
        let Some(connection) = self.links.get_mut(&peer) else { return };
        if connection.current.generation == NO_GENERATION {
            return;
        }
        let Some(hidden) = connection.hidden.take() else { return };
        let (record, addr, hash) = (connection.record.clone(), connection.path, connection.current.hash);
        let opened = connection.round_trip();
        out.push(Out::Fact(Fact::LinkUp { peer, record, addr }));
        out.push(Out::Keyed { peer, hash });
        out.push(Out::Fact(Fact::RoundTrips(alloc::vec![opened])));
        for (channel, body) in hidden.waiting {
            out.push(Out::Message { from: peer, channel, body });
        }
    }

    /// Ends a link that must have a secret and got none in time.
    pub(super) fn close_if_classical(&mut self, cx: &mut Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) -> bool {
        let hidden = self.links.get(&peer).and_then(|connection| connection.hidden.as_ref());
        if hidden.is_none_or(|hidden| hidden.until > cx.now) {
            return false;
        }
        self.close(cx, peer, CLOSE_CLASSICAL, DownReason::Closed, out);
        true
    }
}
