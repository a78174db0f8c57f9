//! One open link: its sessions, its path, what is queued, in flight and incomplete, and its health.

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::config::LinkConfig;
use crate::fact::{Fact, RoundTrip};
use crate::id::NodeId;
use crate::link::Out;
use crate::link::fragments::{Fragments, Outcome};
use crate::link::frame::{self, Ack, Frame};
use crate::link::interest::Interest;
use crate::link::liveness::Liveness;
use crate::link::mtu::PathMtu;
use crate::link::noise::TAG_LEN;
use crate::link::packet::{DATA_HEADER, DATA_OVERHEAD, Epoch};
use crate::link::queue::{Item, Queue, Reason};
use crate::link::recovery::{Lost, Recovery, Sent};
use crate::link::session::{REKEY_PACKETS, Session};
use crate::link::upgrade::{self, Hidden, Upgrade};
use crate::machine::{Cx, Outbox};
use crate::stats::{DropReason, Drops};
use crate::time::{Duration, Instant, soonest};
use crate::wakes::Wakes;
use crate::wire::record::{NodeRecord, Reader};
use crate::wire::{Channel, LEAST_DATAGRAM, Priority};

/// Bytes of a Data packet with one PATH_CHALLENGE.
const CHALLENGE_LEN: usize = DATA_OVERHEAD + 9;
/// Tries of a path before it is forgotten.
const CHALLENGES: u8 = 3;
/// A session stays readable after it was replaced until it is too old; see `LinkConfig::reject_after`.
const RESPONSES: usize = 2;

/// An address that the peer may have moved to (RFC 9000 §9.3).
#[derive(Clone, Debug)]
struct Candidate {
    addr: SocketAddr,
    token: [u8; 8],
    /// INVARIANT: `sent <= 3 * received`, so this node is no amplifier of forged addresses.
    received: usize,
    sent: usize,
    next: Instant,
    tries: u8,
}

/// Probes without an answer after which a peer is suspected: 3 (docs/design/failures.md §1), and one more for
/// each twentieth of its packets that this link lost before. With the packet that they follow they all fail by
/// chance once in 100,000 silences at 5 % loss, in 20,000 at 10 %, in 3,500 at 20 %. Three take seven probe
/// timeouts, about half a second.
const SUSPECT_PROBES: u32 = 3;
/// However much is lost.
const SUSPECT_PROBES_MOST: u32 = 8;

/// Probes without an answer after which datagrams are as short as every path carries them: what is lost may be lost for
/// its length.
const SHORT_PROBES: u32 = 2;

/// What a timer found.
pub(super) enum Diagnosis {
    Keep,
    /// Probes go unanswered.
    Suspect,
    Dead,
    Idle,
}

/// What the peer's packet asks of the owner of this link.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub closed: Option<u8>,
    pub moved: bool,
    /// Where the peer sees this node.
    pub observed: Option<SocketAddr>,
    /// Messages of the link itself.
    pub own: Vec<Vec<u8>>,
}

#[cfg_attr(test, derive(Debug))]
pub(super) struct Connection {
    pub peer: NodeId,
    pub record: NodeRecord,
    pub initiated: bool,
    /// The peer's incarnation of this link; another one means that the peer holds nothing of this one.
    pub epoch: Epoch,
    pub local_incarnation: u32,
    pub path: SocketAddr,
    candidate: Option<Candidate>,
    pub current: Session,
    pub previous: Option<Session>,
    pub recovery: Recovery,
    mtu: PathMtu,
    pub queue: Queue,
    pub fragments: Fragments,
    in_flight: usize,
    ping: bool,
    observe: bool,
    responses: heapless::Vec<([u8; 8], SocketAddr), RESPONSES>,
    pub liveness: Liveness,
    /// When a message or a PING was last sent or received.
    pub used_at: Instant,
    pub upgrade: Upgrade,
    /// Present while no machine knows this link.
    pub hidden: Option<Hidden>,
}

/// The peer of a new link.
pub(super) struct Start {
    pub peer: NodeId,
    pub record: NodeRecord,
    pub epoch: Epoch,
    pub local_incarnation: u32,
    pub path: SocketAddr,
    pub interest: Interest,
    pub max_datagram: usize,
    pub upgrade: Upgrade,
    pub hidden: Option<Hidden>,
    pub wakes: Option<Wakes>,
}

impl Connection {
    /// The link at this moment.
    pub(super) fn round_trip(&self) -> RoundTrip {
        RoundTrip { peer: self.peer, outbound: self.initiated, rtt: self.recovery.rtt.smoothed() }
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.candidate.as_ref().is_some_and(|c| c.sent > c.received.saturating_mul(3)) {
            return Err("more was sent to an unproven address than three times what came");
        }
        [Some(&self.current), self.previous.as_ref()].into_iter().flatten().try_for_each(Session::check)?;
        self.upgrade.generations.check()?;
        self.fragments.check()
    }

    pub(super) fn new(start: Start, session: Session, now: Instant) -> Self {
        Self {
            peer: start.peer,
            record: start.record,
            initiated: session.initiator,
            epoch: start.epoch,
            local_incarnation: start.local_incarnation,
            path: start.path,
            candidate: None,
            current: session,
            previous: None,
            recovery: Recovery::default(),
            mtu: PathMtu::new(start.max_datagram),
            queue: Queue::default(),
            fragments: Fragments::default(),
            in_flight: 0,
            ping: false,
            observe: true,
            responses: heapless::Vec::new(),
            liveness: Liveness::new(start.interest, start.wakes, now),
            used_at: now,
            upgrade: start.upgrade,
            hidden: start.hidden,
        }
    }

    /// A packet that wants an answer goes out next.
    pub(super) fn probe(&mut self) {
        self.ping = true;
    }

    /// Other links fail: probes this one if nothing came from it and no probe left within `recently`.
    pub(super) fn probe_unless_received(&mut self, now: Instant, recently: Duration) -> bool {
        let probe = self.liveness.is_uncertain(&self.record, recently, now);
        if probe {
            self.ping = true;
            self.liveness.probed(now);
        }
        probe
    }

    /// The network may have changed: probe at once, without the patience of earlier failures.
    pub(super) fn network_changed(&mut self) {
        self.ping = true;
        self.recovery.restart_probes();
    }

    /// The peer proved itself otherwise than by a packet of this link.
    pub(super) fn received(&mut self, now: Instant) {
        self.liveness.received(now);
    }

    /// Takes a newly proven session into use; returns the index of the one that ends by it.
    pub(super) fn renew(&mut self, mut session: Session) -> Option<u32> {
        session.base = self.recovery.next;
        let old = core::mem::replace(&mut self.current, session);
        self.previous.replace(old).map(|gone| gone.local)
    }

    /// Forgets a replaced session that is too old to open anything; returns its index.
    pub(super) fn retire(&mut self, now: Instant, config: &LinkConfig) -> Option<u32> {
        let old = self.previous.as_ref().is_some_and(|s| now.since(s.created) >= config.reject_after);
        if old { self.previous.take().map(|gone| gone.local) } else { None }
    }

    /// The longest datagram that the path carries, as far as is known.
    #[cfg(test)]
    pub(super) fn datagram(&self) -> usize {
        self.mtu.length()
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.bytes().saturating_add(self.in_flight)
    }

    /// Appends a message, dropping by the rule of [`Queue::shed`] what is too much; returns how many
    /// were dropped.
    pub(super) fn send(
        &mut self,
        priority: Priority,
        channel: Channel,
        body: Vec<u8>,
        limit: usize,
        now: Instant,
    ) -> u32 {
        self.used_at = now;
        self.upgrade.used = true;
        self.queue.push(priority, channel as u8, body);
        let mut dropped = 0u32;
        while self.queued() > limit && self.queue.shed() {
            dropped = dropped.saturating_add(1);
        }
        dropped
    }

    fn session(&mut self, local: u32) -> Option<&mut Session> {
        if self.current.local == local {
            return Some(&mut self.current);
        }
        self.previous.as_mut().filter(|s| s.local == local)
    }

    /// The session named `local`.
    pub(super) fn session_ref(&self, local: u32) -> Option<&Session> {
        [Some(&self.current), self.previous.as_ref()].into_iter().flatten().find(|s| s.local == local)
    }

    fn ack_due(&self, now: Instant) -> bool {
        [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
            .any(|s| s.ack_at.is_some_and(|at| at <= now))
    }

    fn challenge_due(&self, now: Instant) -> bool {
        self.candidate.as_ref().is_some_and(|c| {
            c.next <= now
                && c.tries < CHALLENGES
                && c.sent.saturating_add(CHALLENGE_LEN) <= c.received.saturating_mul(3)
        })
    }

    /// Whether [`build`](Self::build) has something to send, keys permitting.
    pub(super) fn has_work(&self, now: Instant) -> bool {
        self.ping
            || self.observe
            || !self.responses.is_empty()
            || ((self.mtu.probe().is_some() || self.has_item(now)) && self.recovery.can_send(now))
            || self.ack_due(now)
            || self.challenge_due(now)
    }

    fn has_item(&self, now: Instant) -> bool {
        self.queue.has_item(self.recovery.is_crowded(), now)
    }

    /// Whether this side should ask for new keys: the initiator in time, the responder if the
    /// initiator does not (WireGuard §6.2; there the responder waits for the initiator).
    pub(super) fn rekey_due(&self, now: Instant, config: &LinkConfig) -> bool {
        let spare = config.reject_after.saturating_sub(config.rekey_after).checked_div(2).unwrap_or_default();
        let after = if self.current.initiator { config.rekey_after } else { config.rekey_after.saturating_add(spare) };
        now.since(self.current.created) >= after || self.current.send_next >= REKEY_PACKETS
    }

    /// When this end offers a secret: the initiator of the keys in use, or the end that must have one.
    pub(super) fn offer_at(&self, config: &LinkConfig) -> Option<Instant> {
        let offers = self.liveness.offers(&self.record, self.current.initiator) || config.require_post_quantum;
        // What failure detection alone wants carries no content.
        let wanted = self.liveness.interest == Interest::Full || self.hidden.is_some();
        self.upgrade.due(offers && wanted)
    }

    /// Says something of the link itself.
    pub(super) fn exchange(&mut self, body: Vec<u8>, now: Instant) {
        self.used_at = now;
        self.queue.push(Priority::High, upgrade::CHANNEL, body);
        self.upgrade.said(now);
    }

    /// The next datagram: an answer to or a challenge of another path, or as much as fits.
    pub(super) fn build(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        let elsewhere = self.responses.iter().position(|&(_, to)| to != self.path);
        if let Some(at) = elsewhere {
            let (token, to) = self.responses.swap_remove(at);
            if let Some(c) = self.candidate.as_mut().filter(|c| c.addr == to) {
                c.sent = c.sent.saturating_add(CHALLENGE_LEN);
            }
            let mut packet = Vec::with_capacity(CHALLENGE_LEN);
            self.current.begin(&mut packet);
            frame::put_response(&mut packet, &token);
            return self.finish(packet, now, None).map(|packet| (to, packet));
        }
        if self.challenge_due(now) {
            let wait =
                self.recovery.rtt.smoothed().unwrap_or(Duration::from_millis(333)).max(Duration::from_millis(100));
            let (to, token) = {
                let c = self.candidate.as_mut()?;
                c.tries = c.tries.saturating_add(1);
                c.sent = c.sent.saturating_add(CHALLENGE_LEN);
                c.next = now + wait.saturating_mul(3);
                (c.addr, c.token)
            };
            let mut packet = Vec::with_capacity(CHALLENGE_LEN);
            self.current.begin(&mut packet);
            frame::put_challenge(&mut packet, &token);
            return self.finish(packet, now, None).map(|packet| (to, packet));
        }
        if let Some(length) = self.mtu.probe().filter(|_| self.recovery.can_send(now)) {
            self.mtu.on_probe();
            let mut packet = Vec::with_capacity(length);
            self.current.begin(&mut packet);
            frame::put_probe(&mut packet, length.saturating_sub(TAG_LEN));
            let (path, sent) = (self.path, Sent { measures: true, ..Sent::new(now) });
            return self.finish(packet, now, Some(sent)).map(|packet| (path, packet));
        }
        let may = self.recovery.can_send(now);
        self.build_main(now, may, None)
    }

    /// The last datagrams of this link: what is queued, as far as `most` datagrams go, then CLOSE.
    pub(super) fn close(&mut self, now: Instant, reason: u8, most: usize) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut all = Vec::new();
        while all.len() < most && self.has_item(now) && self.recovery.congestion.has_room() {
            match self.build_main(now, true, None) {
                Some(packet) => all.push(packet),
                None => break,
            }
        }
        all.extend(self.build_main(now, true, Some(reason)));
        all
    }

    /// `may`: the window or the pace is no obstacle.
    fn build_main(&mut self, now: Instant, may: bool, close: Option<u8>) -> Option<(SocketAddr, Vec<u8>)> {
        let sends_items = close.is_none() && self.has_item(now) && may;
        let silence = self.recovery.probes() >= SHORT_PROBES;
        let short = sends_items && self.queue.begin_packet(silence, self.recovery.is_crowded(), now);
        let length = if short { self.mtu.length().min(LEAST_DATAGRAM) } else { self.mtu.length() };
        let capacity = length.saturating_sub(TAG_LEN);
        let most = capacity.saturating_sub(DATA_HEADER);
        let first = if sends_items { self.queue.first(most) } else { 0 };
        let wanted = if sends_items { self.queue.bytes().saturating_add(128) } else { 160 };
        let mut packet = Vec::with_capacity(wanted.saturating_add(DATA_OVERHEAD).min(length));
        self.current.begin(&mut packet);
        let empty = packet.len();
        let mut sent = Sent::new(now);
        // An acknowledgement rides on anything, but leaves the first message its place.
        for session in [Some(&mut self.current), self.previous.as_mut()].into_iter().flatten() {
            let left = capacity.saturating_sub(packet.len()).saturating_sub(first);
            if session.ack(now).is_some_and(|ack| ack.encode(&mut packet, left)) {
                // Two sessions, two places.
                let _ = sent.acks.push((session.local, session.acked()));
            }
        }
        let mut asks = false;
        if let Some(reason) = close {
            frame::put_close(&mut packet, reason);
        } else {
            let spare = capacity.saturating_sub(packet.len()).saturating_sub(first);
            if self.observe && spare >= 20 {
                frame::put_observed(&mut packet, self.path);
                self.observe = false;
                asks = true;
            }
            // A message is a probe as well as a PING is; only an empty packet needs the PING.
            if self.ping {
                if first == 0 || capacity.saturating_sub(packet.len()).saturating_sub(first) > 0 {
                    frame::put_ping(&mut packet);
                }
                self.ping = false;
                asks = true;
            }
            while let Some((token, _)) = self.responses.pop() {
                frame::put_response(&mut packet, &token);
            }
        }
        if sends_items {
            while let Some(item) = self.queue.take(capacity.saturating_sub(packet.len()), most) {
                item.put(&mut packet);
                self.in_flight = self.in_flight.saturating_add(item.cost());
                sent.items.push(item);
                asks = true;
            }
        }
        if packet.len() == empty {
            return None;
        }
        if asks {
            self.liveness.health.asked(now);
        }
        let path = self.path;
        self.finish(packet, now, if asks { Some(sent) } else { None }).map(|packet| (path, packet))
    }

    fn finish(&mut self, mut packet: Vec<u8>, now: Instant, sent: Option<Sent>) -> Option<Vec<u8>> {
        let n = self.current.seal(&mut packet)?;
        let sent = sent.map(|sent| Sent { size: packet.len(), ..sent });
        self.recovery.on_sent(self.current.base.saturating_add(n), now, sent);
        Some(packet)
    }

    /// Takes in the frames of an authentic packet `n` of `len` bytes that came under session `local`
    /// from `from`. `free` bytes of incomplete messages may be held in all.
    #[allow(clippy::too_many_arguments, reason = "one packet and the three places its parts go to")]
    pub(super) fn receive(
        &mut self,
        cx: &mut Cx<'_>,
        (local, n, from, len): (u32, u64, SocketAddr, usize),
        plain: &[u8],
        free: usize,
        drops: &mut Drops,
        out: &mut Outbox<Out>,
    ) -> Received {
        let mut got = Received::default();
        let now = cx.now;
        let newest = {
            let is_current = self.current.local == local;
            let Some(session) = self.session(local) else { return got };
            session.mark(n) && is_current
        };
        self.received(now);
        if self.liveness.health.recovered() {
            out.push(Out::Fact(Fact::LinkRecovered(self.peer)));
        }
        self.follow(cx, from, len, newest);
        // All or nothing: no frame of a malformed packet takes effect.
        if !frame::well_formed(plain) {
            drops.count(DropReason::Frame);
            return got;
        }
        let mut asks = false;
        let (mut lost, mut refused) = (false, false);
        let mut frames = Reader(plain);
        while let Ok(frame) = Frame::decode(&mut frames) {
            asks |= !matches!(frame, Frame::Padding | Frame::Ack(_) | Frame::Close(_));
            match frame {
                // It asks for an acknowledgement, which is all.
                Frame::Padding | Frame::Probe => {}
                Frame::Ping => self.used_at = now,
                Frame::Ack(ack) => {
                    if self.on_ack(&ack, now) {
                        lost = true;
                    } else {
                        drops.count(DropReason::Frame);
                    }
                }
                Frame::PathChallenge(token) => {
                    // One answer to an address is no longer than the packet that asked; two would be.
                    self.responses.retain(|(_, to)| *to != from);
                    // More at once than there are places are an attack; a genuine one is repeated.
                    let _ = self.responses.push((token, from));
                }
                Frame::PathResponse(token) => got.moved |= self.on_response(token),
                Frame::Message { channel, body } => {
                    self.used_at = now;
                    self.deliver(channel, body.to_vec(), &mut got, drops, out);
                }
                Frame::Fragment(f) => {
                    self.used_at = now;
                    match self.fragments.add(&f, free.saturating_sub(self.fragments.held()), now) {
                        Outcome::Kept => {}
                        Outcome::Complete { channel, body } => self.deliver(channel, body, &mut got, drops, out),
                        Outcome::Refused => {
                            // Without an acknowledgement it comes again, when there may be free bytes.
                            refused = true;
                            drops.count(DropReason::Reassembly);
                        }
                    }
                }
                Frame::Close(reason) => got.closed = Some(reason),
                Frame::Observed(addr) => {
                    got.observed = Some(addr);
                    out.push(Out::Observed { by: self.peer, addr });
                }
            }
        }
        if let Some(session) = self.session(local).filter(|_| !refused) {
            session.note(n, asks, now);
        }
        if lost {
            self.requeue_lost(now);
        }
        got
    }

    fn deliver(&mut self, channel: u8, body: Vec<u8>, got: &mut Received, drops: &mut Drops, out: &mut Outbox<Out>) {
        match Channel::from_byte(channel) {
            Some(channel) => {
                self.upgrade.used = true;
                out.push(Out::Message { from: self.peer, channel, body });
            }
            None if channel == upgrade::CHANNEL => got.own.push(body),
            // A newer version's machine: not for this node.
            None => drops.count(DropReason::Message),
        }
    }

    /// False if it acknowledges what was never sent (RFC 9000 §13.1).
    fn on_ack(&mut self, ack: &Ack, now: Instant) -> bool {
        let Some((base, sent)) = self.session(ack.session).map(|s| (s.base, s.send_next)) else {
            // Of a session that is gone: its packets were sent again.
            return true;
        };
        if ack.ranges.first().is_none_or(|&(_, high)| high >= sent) {
            return false;
        }
        let acked = self.recovery.on_ack(base, &ack.ranges, Duration::from_micros(ack.delay), now);
        self.in_flight = self.in_flight.saturating_sub(acked.cost);
        for number in acked.telling {
            self.queue.came_through(number);
        }
        if acked.longest > 0 {
            self.mtu.on_acked(acked.longest, now);
        }
        if let Some(length) = acked.measured {
            self.mtu.on_measured(length, now);
            self.recovery.congestion.set_datagram(self.mtu.length());
        }
        for (local, high) in acked.confirmed {
            if let Some(session) = self.session(local) {
                session.forget_through(high);
            }
        }
        true
    }

    fn requeue_lost(&mut self, now: Instant) {
        let lost = self.recovery.detect(now);
        if lost.measured {
            self.mtu.on_unmeasured(now);
        }
        self.on_lost(lost, Reason::Lost, now);
    }

    fn on_lost(&mut self, lost: Lost, reason: Reason, now: Instant) {
        self.requeue(lost.items, reason, now);
        if let Some((length, sent)) = lost.longest
            && self.mtu.on_lost(length, sent, now)
        {
            self.narrow(now);
        }
    }

    fn requeue(&mut self, items: Vec<Item>, reason: Reason, now: Instant) {
        for item in &items {
            self.in_flight = self.in_flight.saturating_sub(item.cost());
        }
        self.queue.again(items, reason, now);
    }

    /// The path became narrower: what is in flight and longer is cut anew.
    fn narrow(&mut self, now: Instant) {
        let length = self.mtu.length();
        self.recovery.congestion.set_datagram(length);
        let items = self.recovery.outgrow(length);
        self.requeue(items, Reason::Narrow, now);
    }

    /// The host could not send a datagram of `length` bytes to this path: it is too long.
    pub(super) fn too_long(&mut self, length: usize, now: Instant) {
        if self.mtu.shrink(length, now) {
            self.narrow(now);
        }
    }

    /// RFC 9000 §9.3: only the newest packet can say that the peer moved, and only an answered
    /// challenge makes it so.
    fn follow(&mut self, cx: &mut Cx<'_>, from: SocketAddr, len: usize, newest: bool) {
        if from == self.path {
            return;
        }
        match &mut self.candidate {
            Some(c) if c.addr == from => c.received = c.received.saturating_add(len),
            _ if newest => {
                self.candidate = Some(Candidate {
                    addr: from,
                    token: cx.rng.bytes(),
                    received: len,
                    sent: 0,
                    next: cx.now,
                    tries: 0,
                });
            }
            _ => {}
        }
    }

    fn on_response(&mut self, token: [u8; 8]) -> bool {
        match self.candidate.take() {
            Some(c) if c.token == token => {
                self.path = c.addr;
                self.recovery.reset_path();
                self.mtu.reset();
                self.observe = true;
                true
            }
            other => {
                self.candidate = other;
                false
            }
        }
    }

    /// When it is closed because no machine needs it.
    fn idle_at(&self, config: &LinkConfig) -> Option<Instant> {
        let unwanted = self.liveness.interest == Interest::None;
        unwanted.then(|| self.liveness.when_convenient(self.used_at + config.idle_close))
    }

    /// When something is due that is not ready to be sent already.
    pub(super) fn deadline(&self, now: Instant, config: &LinkConfig) -> Option<Instant> {
        let mut at = self.recovery.deadline();
        if self.mtu.probe().is_some() || self.has_item(now) {
            at = soonest(at, self.recovery.send_at(now));
        }
        at = soonest(at, self.queue.deadline().filter(|at| *at > now));
        for session in [Some(&self.current), self.previous.as_ref()].into_iter().flatten() {
            // What is due now leaves with the next poll and needs no timer.
            at = soonest(at, session.ack_at.filter(|at| *at > now));
        }
        at =
            soonest(at, self.previous.as_ref().map(|s| self.liveness.when_convenient(s.created + config.reject_after)));
        at = soonest(soonest(at, self.offer_at(config)), self.hidden.as_ref().map(Hidden::until));
        at = soonest(at, self.fragments.deadline());
        at = soonest(at, self.liveness.dead_at(&self.record, config));
        at = soonest(at, self.candidate.as_ref().map(|c| c.next).filter(|at| *at > now));
        soonest(at, soonest(self.liveness.keepalive_at(&self.record, config), self.idle_at(config)))
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant, config: &LinkConfig, drops: &mut Drops) -> Diagnosis {
        if self.liveness.dead_at(&self.record, config).is_some_and(|at| at <= now) {
            return Diagnosis::Dead;
        }
        if self.idle_at(config).is_some_and(|at| at <= now) {
            return Diagnosis::Idle;
        }
        if self.liveness.keepalive_at(&self.record, config).is_some_and(|at| at <= now) {
            self.ping = true;
            self.liveness.probed(now);
        }
        for _ in 0..self.fragments.expire(now) {
            drops.count(DropReason::Reassembly);
        }
        let hopeless = |c: &Candidate| {
            c.next <= now
                && (c.tries >= CHALLENGES || c.sent.saturating_add(CHALLENGE_LEN) > c.received.saturating_mul(3))
        };
        if self.candidate.as_ref().is_some_and(hopeless) {
            self.candidate = None;
        }
        if self.recovery.deadline().is_some_and(|at| at <= now) {
            self.requeue_lost(now);
            if let Some(lost) = self.recovery.probe(now) {
                self.ping |= lost.items.is_empty();
                self.on_lost(lost, Reason::Silence, now);
            }
            let patience = SUSPECT_PROBES.saturating_add(self.recovery.twentieths_lost()).min(SUSPECT_PROBES_MOST);
            if self.recovery.probes() >= patience && self.liveness.health.suspect() {
                return Diagnosis::Suspect;
            }
        }
        Diagnosis::Keep
    }
}
