//! Attempts of this node to reach others: for which request, at which address next, and until when.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::collections::Backoff;
use crate::fact::DownReason;
use crate::id::NodeId;
use crate::link::addresses::{Addresses, MAX_ADDRS, alternate, usable};
use crate::link::cookie::{COOKIE_LIFE, Mac, mac, mac1_key, mac2};
use crate::link::interest::Interest;
use crate::link::noise::{Handshake, IK_PSK2};
use crate::link::packet::{Epoch, INIT, INIT_LEN, InitPayload, MAC_LEN, NO_GENERATION, VERSION};
use crate::link::{Link, Out, Owner, Route, Timer};
use crate::machine::{Cx, Outbox};
use crate::stats::DropReason;
use crate::time::{Duration, Instant};
use crate::wire::record::{NodeRecord, RECORD_LEN};

/// Before the header of the Init: name and version of the protocol.
const PROLOGUE: &[u8] = b"DONP v1 link";
/// Inits of one attempt that may still be answered: with one a second, round trips of up to 4 s
/// complete.
pub(super) const OUTSTANDING: usize = 4;
/// The pause before a link that is wanted for a message is tried again.
const REOPEN: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// Inits without an answer after which the record may be outdated and is asked for.
const STALE_AFTER: u32 = 2;
/// What an attempt is aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// The node that answers there: its record is asked for first.
    Addr(SocketAddr),
    Peer(NodeId),
}

/// The request for a record that a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Attempt(Target),
    Refresh(NodeId),
    /// It sent an Init with a record that is over by this node's clock.
    Proof,
}

/// An Init that was sent.
pub(super) struct SentInit {
    pub index: u32,
    pub state: Handshake,
    pub mac1: Mac,
    pub to: SocketAddr,
    pub at: Instant,
}

/// An attempt to reach a node. Worst case 3 KiB.
pub(super) struct Attempt {
    /// The `Connect` requests that it answers.
    pub connects: Vec<(SocketAddr, Option<NodeId>)>,
    pub addrs: Vec<SocketAddr>,
    pub record: Option<NodeRecord>,
    /// The incarnation of the link that it would open or renew.
    pub local_incarnation: u32,
    pub rekey: bool,
    /// When it is given up; none while it waits for its next round.
    pub giveup: Option<Instant>,
    pub next: Instant,
    pub tries: u32,
    pub rounds: u32,
    pub inits: Vec<SentInit>,
    pub cookie: Option<(SocketAddr, Mac, Instant)>,
    pub token: [u8; 16],
    pub wrong_node: bool,
}

impl Attempt {
    /// One that waits until `next`.
    fn new(local_incarnation: u32, token: [u8; 16], next: Instant) -> Self {
        Self {
            connects: Vec::new(),
            addrs: Vec::new(),
            record: None,
            local_incarnation,
            rekey: false,
            giveup: None,
            next,
            tries: 0,
            rounds: 0,
            inits: Vec::new(),
            cookie: None,
            token,
            wrong_node: false,
        }
    }
}

/// What both sides know before the handshake: the header of the Init, and whom it is for. A record can bind the identity
/// of its signer to the link key of another node; that node, to which such an Init goes, does not even read it.
pub(super) fn prologue(header: &[u8], responder: NodeId) -> Vec<u8> {
    let mut out = PROLOGUE.to_vec();
    out.extend_from_slice(header);
    out.extend_from_slice(&responder.0);
    out
}

/// Whether a request for a link names this address by itself: the user's word, or the local network's. Where the id that
/// is expected there was named by others with this address, the request only repeats what others say.
fn named_by_user(connects: &[(SocketAddr, Option<NodeId>)], to: SocketAddr, addresses: &Addresses) -> bool {
    connects.iter().filter(|(addr, _)| *addr == to).any(|(_, expect)| {
        let told = expect.and_then(|peer| addresses.get(peer)).is_some_and(|known| known.addrs.contains(&to));
        !told
    })
}

impl Link {
    pub(super) fn connect(&mut self, cx: &mut Cx<'_>, addr: SocketAddr, expect: Option<NodeId>, out: &mut Outbox<Out>) {
        let linked = match expect {
            Some(peer) => self.links.get_mut(&peer),
            None => self.links.values_mut().find(|connection| connection.path == addr),
        };
        if let Some(connection) = linked {
            return match &mut connection.hidden {
                Some(hidden) => hidden.asked(addr, expect),
                None => out.push(Out::Resolved { addr, peer: connection.peer }),
            };
        }
        let blocked = expect.is_some_and(|peer| self.shuns(cx.now, peer));
        if !self.open || blocked || !usable(addr) || expect == Some(self.me) || !self.has_capacity() {
            return out.push(Out::Unreachable { addr, expect, wrong_node: expect == Some(self.me) });
        }
        let known = expect.and_then(|peer| self.addresses.get(peer)?.record.clone().map(|record| (peer, record)));
        match known {
            Some((peer, record)) => {
                self.attempt(cx, Target::Peer(peer), Some(record), &[addr], Some((addr, expect)), out);
            }
            None => self.attempt(cx, Target::Addr(addr), None, &[addr], Some((addr, expect)), out),
        }
    }

    /// Starts an attempt, or adds to the one under way.
    pub(super) fn attempt(
        &mut self,
        cx: &mut Cx<'_>,
        key: Target,
        record: Option<NodeRecord>,
        addrs: &[SocketAddr],
        connect: Option<(SocketAddr, Option<NodeId>)>,
        out: &mut Outbox<Out>,
    ) {
        if !self.attempts.contains_key(&key) {
            if self.attempts.len() >= self.limits.handshakes {
                if let Some((addr, expect)) = connect {
                    out.push(Out::Unreachable { addr, expect, wrong_node: false });
                }
                return;
            }
            let local_incarnation = match key {
                Target::Peer(peer) => self.incarnation(peer),
                Target::Addr(_) => 0,
            };
            let token: [u8; 16] = cx.rng.bytes();
            self.tokens.insert(token, Asked::Attempt(key));
            self.attempts.insert(key, Box::new(Attempt::new(local_incarnation, token, cx.now)));
        }
        let Some(attempt) = self.attempts.get_mut(&key) else { return };
        if let Some(record) = record
            && attempt.record.as_ref().is_none_or(|old| record.seq > old.seq)
        {
            attempt.record = Some(record);
        }
        for &addr in addrs {
            attempt.addrs.retain(|a| *a != addr);
        }
        attempt.addrs.splice(0..0, addrs.iter().copied());
        attempt.addrs.truncate(MAX_ADDRS);
        alternate(&mut attempt.addrs);
        if let Some(connect) = connect
            && !attempt.connects.contains(&connect)
            && attempt.connects.len() < MAX_ADDRS
        {
            attempt.connects.push(connect);
        }
        if attempt.giveup.is_none() {
            attempt.giveup = Some(cx.now + self.config.handshake_timeout);
            attempt.tries = 0;
            attempt.wrong_node = false;
            self.try_once(cx, key);
        }
    }

    /// New keys for an open link.
    pub(super) fn renew(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let Some(connection) = self.links.get(&peer) else { return };
        let (record, path) = (connection.record.clone(), connection.path);
        // A rekey that finds no place is asked for again with the next packet.
        let mut unused = Outbox::new();
        self.attempt(cx, Target::Peer(peer), Some(record), &[path], None, &mut unused);
        if let Some(attempt) = self.attempts.get_mut(&Target::Peer(peer)) {
            attempt.rekey = true;
        }
    }

    /// An address of `peer` or interest in it is new: starts an attempt if it is wanted and has an address.
    pub(super) fn pursue(&mut self, cx: &mut Cx<'_>, peer: NodeId, news: bool, out: &mut Outbox<Out>) {
        if !self.open
            || peer == self.me
            || self.shuns(cx.now, peer)
            || self.links.contains_key(&peer)
            || !self.interests.wanted(peer)
            || !self.has_capacity()
        {
            return;
        }
        let Some(known) = self.addresses.get(peer) else { return };
        let (record, addrs) = (known.record.clone(), known.addrs.clone());
        let waits = self.attempts.get(&Target::Peer(peer)).is_some_and(|d| d.giveup.is_none());
        if !addrs.is_empty() && (news || !waits) {
            self.attempt(cx, Target::Peer(peer), record, &addrs, None, out);
        }
    }

    /// The link to `peer` ended: if a message waits for it, it is opened again after a pause.
    /// Neighbours are the business of the membership machine.
    pub(super) fn reopen(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        self.wait_for(cx, peer, 0);
    }

    fn wait_for(&mut self, cx: &mut Cx<'_>, peer: NodeId, rounds: u32) {
        let wanted = self.interests.wanted_by(peer, Owner::Delivery) && !self.blocks.contains(peer);
        if !self.open || !wanted || self.links.contains_key(&peer) {
            return;
        }
        let Some(known) = self.addresses.get(peer) else { return };
        let (record, addrs) = (known.record.clone(), known.addrs.clone());
        if addrs.is_empty() {
            return;
        }
        let pause = REOPEN.pause(rounds, cx.rng);
        let key = Target::Peer(peer);
        if self.attempts.contains_key(&key) || self.attempts.len() >= self.limits.handshakes {
            return;
        }
        let token: [u8; 16] = cx.rng.bytes();
        self.tokens.insert(token, Asked::Attempt(key));
        let mut attempt = Attempt::new(self.incarnation(peer), token, (cx.now + pause).max(self.forgers.until(peer)));
        (attempt.addrs, attempt.record, attempt.rounds) = (addrs, record, rounds);
        self.timers.arm(Timer::Attempt(key), attempt.next);
        self.attempts.insert(key, Box::new(attempt));
    }

    /// Starts waiting attempts at once: the network changed.
    pub(super) fn retry_now(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let keys: Vec<Target> = self.attempts.keys().copied().collect();
        for key in keys {
            match key {
                Target::Peer(peer) => self.pursue(cx, peer, true, out),
                Target::Addr(_) => {}
            }
        }
    }

    pub(super) fn unwanted(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let interest = self.interests.of(peer);
        if let Some(connection) = self.links.get_mut(&peer) {
            connection.liveness.interest = interest;
            if interest == Interest::None {
                // The time that it may idle counts from here.
                connection.used_at = connection.used_at.max(cx.now);
            }
            self.touch(cx, peer);
        }
        if interest != Interest::None {
            return;
        }
        let key = Target::Peer(peer);
        if self.attempts.get(&key).is_some_and(|d| !d.rekey && d.connects.is_empty()) {
            self.drop_attempt(key);
        }
    }

    pub(super) fn drop_attempt(&mut self, key: Target) -> Option<Box<Attempt>> {
        let attempt = self.attempts.remove(&key)?;
        self.tokens.remove(&attempt.token);
        for sent in &attempt.inits {
            self.routes.remove(&sent.index);
        }
        self.timers.cancel(Timer::Attempt(key));
        Some(attempt)
    }

    pub(super) fn drop_half_open(&mut self, local: u32) {
        if self.half_open.remove(local).is_some() {
            self.routes.remove(&local);
            self.timers.cancel(Timer::HalfOpen(local));
        }
    }

    pub(super) fn drop_all_half_open(&mut self, peer: NodeId) {
        let gone: Vec<u32> = self.half_open.of_peer(peer).map(|(local, _)| local).collect();
        for local in gone {
            self.drop_half_open(local);
        }
    }

    /// This node's incarnation of the link to `peer`: the running one, the one being opened, or a new one.
    pub(super) fn incarnation(&mut self, peer: NodeId) -> u32 {
        let open = self.links.get(&peer).map(|connection| connection.local_incarnation);
        let opening = || self.attempts.get(&Target::Peer(peer)).map(|attempt| attempt.local_incarnation);
        let answered = || self.half_open.of_peer(peer).next().map(|(_, half)| half.local_incarnation);
        if let Some(local_incarnation) = open.or_else(opening).or_else(answered) {
            return local_incarnation;
        }
        self.incarnations = self.incarnations.wrapping_add(1);
        self.incarnations
    }

    pub(super) fn fresh_index(&self, cx: &mut Cx<'_>) -> u32 {
        loop {
            let index = u32::from_le_bytes(cx.rng.bytes());
            if !self.routes.contains_key(&index) {
                return index;
            }
        }
    }

    pub(super) fn push_datagram(&mut self, to: SocketAddr, packet: Vec<u8>) {
        if !self.transmit.push(to, packet) {
            self.drops.count(DropReason::Queue);
        }
    }

    pub(super) fn attempt_timeout(&mut self, cx: &mut Cx<'_>, key: Target, out: &mut Outbox<Out>) {
        let Some(attempt) = self.attempts.get_mut(&key) else { return };
        match attempt.giveup {
            Some(at) if at <= cx.now => self.give_up(cx, key, out),
            Some(_) => self.try_once(cx, key),
            None => {
                attempt.giveup = Some(cx.now + self.config.handshake_timeout);
                self.try_once(cx, key);
            }
        }
    }

    fn give_up(&mut self, cx: &mut Cx<'_>, key: Target, out: &mut Outbox<Out>) {
        let Some(attempt) = self.drop_attempt(key) else { return };
        let wrong_node = attempt.wrong_node;
        let Target::Peer(peer) = key else {
            for (addr, expect) in attempt.connects {
                out.push(Out::Unreachable { addr, expect, wrong_node });
            }
            return;
        };
        if let Some(connection) = self.links.get(&peer) {
            // Without usable keys nothing can be sent any more; otherwise the next packet asks for new ones.
            if !connection.current.may_send(cx.now, self.config.reject_after) {
                self.down(cx, peer, DownReason::Timeout, out);
            }
            return;
        }
        if attempt.connects.is_empty()
            && let Some(&addr) = attempt.addrs.first()
        {
            out.push(Out::Unreachable { addr, expect: Some(peer), wrong_node });
        }
        for (addr, expect) in attempt.connects {
            out.push(Out::Unreachable { addr, expect, wrong_node });
        }
        self.wait_for(cx, peer, attempt.rounds.saturating_add(1));
    }

    /// Sends the next Init or RecordRequest of an attempt and sets its timer.
    fn try_once(&mut self, cx: &mut Cx<'_>, key: Target) {
        let Some(attempt) = self.attempts.get_mut(&key) else { return };
        let pause = cx.rng.jitter(self.config.handshake_retry, 20);
        let giveup = attempt.giveup.unwrap_or(cx.now + self.config.handshake_timeout);
        attempt.next = (cx.now + pause).min(giveup);
        let turn = attempt.tries as usize;
        attempt.tries = attempt.tries.saturating_add(1);
        let count = attempt.addrs.len();
        let target = turn.checked_rem(count).and_then(|at| attempt.addrs.get(at)).copied();
        let (next, token, record) = (attempt.next, attempt.token, attempt.record.clone());
        // One that is over is asked for first.
        let record = record.filter(|record| !self.expiry.refuses(record, cx.now, cx.wall));
        let connects = attempt.connects.clone();
        self.timers.arm(Timer::Attempt(key), next);
        let Some(to) = target else { return };
        if !named_by_user(&connects, to, &self.addresses) {
            let Some(before) = self.strangers.may_try(to, cx.now, cx.rng) else { return };
            if record.is_some() && before % 2 == 1 {
                // One packet: in turns with an Init, since who does not answer may have another key by now.
                let request = self.record_request_packet(&token);
                return self.push_datagram(to, request);
            }
        }
        let stale = turn >= STALE_AFTER as usize;
        if let (Target::Peer(peer), Some(record)) = (key, &record) {
            self.send_init(cx, peer, record, to);
        }
        if record.is_none() || stale {
            let request = self.record_request_packet(&token);
            self.push_datagram(to, request);
        }
    }

    pub(super) fn send_init(&mut self, cx: &mut Cx<'_>, peer: NodeId, record: &NodeRecord, to: SocketAddr) {
        let index = self.fresh_index(cx);
        let stamp = self.keys.next_stamp(cx.wall);
        let Some(attempt) = self.attempts.get_mut(&Target::Peer(peer)) else { return };
        let renewed = self.links.get(&peer).filter(|open| open.local_incarnation == attempt.local_incarnation);
        let generation = renewed.map_or(NO_GENERATION, |connection| connection.upgrade.generations.newest());
        let mut packet = Vec::with_capacity(INIT_LEN);
        packet.extend_from_slice(&[INIT, VERSION]);
        packet.extend_from_slice(&index.to_le_bytes());
        let own = self.keys.current.pair.clone();
        let Ok(record_bytes) = <[u8; RECORD_LEN]>::try_from(self.keys.record.encode().as_slice()) else { return };
        let payload = InitPayload {
            record: record_bytes,
            stamp,
            epoch: Epoch { boot: self.keys.boot, incarnation: attempt.local_incarnation },
            generation,
        };
        let payload = payload.encode();
        let state =
            Handshake::new(&IK_PSK2, true, &prologue(&packet, peer), Some(own), Some(record.link_key), self.psk);
        let Ok(mut state) = state else { return };
        if state.write(cx.rng.bytes(), &payload, &mut packet).is_err() {
            // A key of low order in the record: it cannot be talked to.
            return;
        }
        state.bind(&self.me.0);
        let mac1 = mac(&mac1_key(&record.link_key), &packet);
        packet.extend_from_slice(&mac1);
        let cookie = attempt.cookie.filter(|(addr, _, at)| *addr == to && cx.now.since(*at) < COOKIE_LIFE);
        let second = cookie.map_or([0; MAC_LEN], |(_, cookie, _)| mac2(&cookie, &packet));
        packet.extend_from_slice(&second);
        if attempt.inits.len() >= OUTSTANDING {
            let gone = attempt.inits.remove(0);
            self.routes.remove(&gone.index);
        }
        attempt.inits.push(SentInit { index, state, mac1, to, at: cx.now });
        self.routes.insert(index, Route::Attempt(peer));
        self.push_datagram(to, packet);
    }

    #[cfg(test)]
    pub(super) fn attempt_digest(&self, hasher: &mut blake3::Hasher) {
        for (key, d) in &self.attempts {
            let line = alloc::format!(
                "{key:?} {:?} {:?} {:?} {} {} {:?} {:?} {} {} {:?}",
                d.connects,
                d.addrs,
                d.record,
                d.local_incarnation,
                d.rekey,
                d.giveup,
                d.next,
                d.tries,
                d.rounds,
                d.token
            );
            hasher.update(line.as_bytes());
            for a in &d.inits {
                hasher.update(&a.index.to_le_bytes()).update(&a.mac1);
            }
        }
        for (local, h) in self.half_open.iter() {
            hasher.update(
                alloc::format!("{local} {:?} {:?} {:?} {}", h.peer, h.split, h.epoch, h.local_incarnation).as_bytes(),
            );
        }
    }
}
