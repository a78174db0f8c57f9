//! Making links: attempts of this node, answers to those of others, cookies and records.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::engine::event::DownReason;
use crate::id::NodeId;
use crate::link::cookie::{self, Admission, COOKIE_LIFE, Mac, mac, mac1_key, mac2, same};
use crate::link::keys::StaticKey;
use crate::link::live::{Live, Start};
use crate::link::noise::{Handshake, IK_PSK2, Split};
use crate::link::packet::{
    COOKIE_REPLY, Epoch, INIT, INIT_HEADER, INIT_LEN, InitPayload, MAC_LEN, Macs, RECORD_REPLY, RECORD_REPLY_LEN,
    RECORD_REQUEST, RECORD_REQUEST_LEN, RESP, RESP_HEADER, RESP_LEN, RespPayload, Stamp, VERSION, macs, u32_at,
};
use crate::link::session::Session;
use crate::link::{Link, MAX_RAW, MAX_STAMPS, Out, Owner, Route, Timer, usable};
use crate::machine::{Cx, Outbox};
use crate::stats::DropReason;
use crate::time::{Duration, Instant};
use crate::wire::record::{NodeRecord, RECORD_LEN, Reader};

/// Before the header of the Init: name and version of the protocol.
const PROLOGUE: &[u8] = b"DONP v1 link";
/// Inits of one attempt that may still be answered: with one a second, round trips of up to 4 s
/// complete.
const OUTSTANDING: usize = 4;
/// Answered Inits of one node that wait for its first packet.
const HALVES: usize = OUTSTANDING;
/// First and longest pause before a link that is wanted for a message is tried again.
const REOPEN_FIRST: Duration = Duration::from_secs(1);
const REOPEN_MAX: Duration = Duration::from_secs(60);
/// Inits without an answer after which the record may be outdated and is asked for.
const STALE_AFTER: u32 = 2;
/// Records asked for from linked nodes at once.
const MAX_REFRESH: usize = 64;

/// What an attempt is aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DialKey {
    /// Whoever answers there: its record is asked for first.
    Addr(SocketAddr),
    Peer(NodeId),
}

/// Who asked for the record that a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Dial(DialKey),
    Refresh(NodeId),
}

/// An Init that was sent.
struct Attempt {
    index: u32,
    state: Handshake,
    mac1: Mac,
    to: SocketAddr,
    at: Instant,
}

/// An attempt to reach somebody. Worst case 3 KiB.
pub(super) struct Dial {
    /// Who asked for it by `Connect`; each is told if it fails.
    connects: Vec<(SocketAddr, Option<NodeId>)>,
    targets: Vec<SocketAddr>,
    record: Option<NodeRecord>,
    /// The life of the link that it would open or renew.
    pub mine: u32,
    rekey: bool,
    /// When it is given up; none while it waits for its next round.
    giveup: Option<Instant>,
    next: Instant,
    tries: u32,
    rounds: u32,
    attempts: Vec<Attempt>,
    cookie: Option<(SocketAddr, Mac, Instant)>,
    token: [u8; 16],
    wrong_node: bool,
}

impl Dial {
    /// One that waits until `next`.
    fn new(mine: u32, token: [u8; 16], next: Instant) -> Self {
        Self {
            connects: Vec::new(),
            targets: Vec::new(),
            record: None,
            mine,
            rekey: false,
            giveup: None,
            next,
            tries: 0,
            rounds: 0,
            attempts: Vec::new(),
            cookie: None,
            token,
            wrong_node: false,
        }
    }
}

/// An answered Init of which nothing is proven yet: about 450 bytes.
pub(super) struct Half {
    pub peer: NodeId,
    record: NodeRecord,
    pub split: Split,
    pub remote: u32,
    epoch: Epoch,
    pub mine: u32,
    pub created: Instant,
}

/// What a finished handshake proved.
struct Proven {
    peer: NodeId,
    record: NodeRecord,
    epoch: Epoch,
    mine: u32,
    path: SocketAddr,
    took: Duration,
}

fn prologue(header: &[u8]) -> Vec<u8> {
    let mut out = PROLOGUE.to_vec();
    out.extend_from_slice(header);
    out
}

impl Link {
    // ---- attempts ----

    pub(super) fn connect(&mut self, cx: &mut Cx<'_>, addr: SocketAddr, expect: Option<NodeId>, out: &mut Outbox<Out>) {
        let linked = match expect {
            Some(peer) => self.links.contains_key(&peer).then_some(peer),
            None => self.links.values().find(|live| live.path == addr).map(|live| live.peer),
        };
        if let Some(peer) = linked {
            return out.push(Out::Resolved { addr, peer });
        }
        if !self.open || !usable(addr) || expect == Some(self.me) || !self.has_room() {
            return out.push(Out::Unreachable { addr, expect, wrong_node: expect == Some(self.me) });
        }
        let known = expect.and_then(|peer| self.known.get(&peer)?.record.clone().map(|record| (peer, record)));
        match known {
            Some((peer, record)) => {
                self.dial(cx, DialKey::Peer(peer), Some(record), &[addr], Some((addr, expect)), out);
            }
            None => self.dial(cx, DialKey::Addr(addr), None, &[addr], Some((addr, expect)), out),
        }
    }

    /// Starts an attempt, or adds to the one under way.
    fn dial(
        &mut self,
        cx: &mut Cx<'_>,
        key: DialKey,
        record: Option<NodeRecord>,
        targets: &[SocketAddr],
        connect: Option<(SocketAddr, Option<NodeId>)>,
        out: &mut Outbox<Out>,
    ) {
        if !self.dials.contains_key(&key) {
            if self.dials.len() >= self.limits.handshakes {
                if let Some((addr, expect)) = connect {
                    out.push(Out::Unreachable { addr, expect, wrong_node: false });
                }
                return;
            }
            let mine = match key {
                DialKey::Peer(peer) => self.incarnation(peer),
                DialKey::Addr(_) => 0,
            };
            let token: [u8; 16] = cx.rng.bytes();
            self.tokens.insert(token, Asked::Dial(key));
            self.dials.insert(key, Box::new(Dial::new(mine, token, cx.now)));
        }
        let Some(dial) = self.dials.get_mut(&key) else { return };
        if let Some(record) = record {
            if dial.record.as_ref().is_none_or(|old| record.seq > old.seq) {
                dial.record = Some(record);
            }
        }
        for &target in targets {
            dial.targets.retain(|t| *t != target);
        }
        dial.targets.splice(0..0, targets.iter().copied());
        dial.targets.truncate(super::MAX_ADDRS);
        if let Some(connect) = connect {
            if !dial.connects.contains(&connect) && dial.connects.len() < super::MAX_ADDRS {
                dial.connects.push(connect);
            }
        }
        if dial.giveup.is_none() {
            dial.giveup = Some(cx.now + self.config.handshake_timeout);
            dial.tries = 0;
            dial.wrong_node = false;
            self.try_once(cx, key);
        }
    }

    /// New keys for an open link.
    pub(super) fn renew(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let Some(live) = self.links.get(&peer) else { return };
        let (record, path) = (live.record.clone(), live.path);
        // A rekey that finds no place is asked for again with the next packet.
        let mut unused = Outbox::new();
        self.dial(cx, DialKey::Peer(peer), Some(record), &[path], None, &mut unused);
        if let Some(dial) = self.dials.get_mut(&DialKey::Peer(peer)) {
            dial.rekey = true;
        }
    }

    /// Something was learnt of or is wanted from `peer`: try it if it is wanted and there is a way.
    pub(super) fn pursue(&mut self, cx: &mut Cx<'_>, peer: NodeId, news: bool, out: &mut Outbox<Out>) {
        if !self.open || peer == self.me || self.links.contains_key(&peer) || !self.wanted(peer) || !self.has_room() {
            return;
        }
        let Some(known) = self.known.get(&peer) else { return };
        let (record, addrs) = (known.record.clone(), known.addrs.clone());
        let waits = self.dials.get(&DialKey::Peer(peer)).is_some_and(|d| d.giveup.is_none());
        if !addrs.is_empty() && (news || !waits) {
            self.dial(cx, DialKey::Peer(peer), record, &addrs, None, out);
        }
    }

    /// The link to `peer` ended: if a message waits for it, it is opened again after a pause.
    /// Neighbours are the business of the membership machine.
    pub(super) fn reopen(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        self.wait_for(cx, peer, 0);
    }

    fn wait_for(&mut self, cx: &mut Cx<'_>, peer: NodeId, rounds: u32) {
        if !self.open || !self.wants.contains(&(peer, Owner::Delivery)) || self.links.contains_key(&peer) {
            return;
        }
        let Some(known) = self.known.get(&peer) else { return };
        let (record, addrs) = (known.record.clone(), known.addrs.clone());
        if addrs.is_empty() {
            return;
        }
        let factor = 1u32.checked_shl(rounds.min(16)).unwrap_or(u32::MAX);
        let pause = cx.rng.jitter(REOPEN_FIRST.saturating_mul(factor).min(REOPEN_MAX), 20);
        let key = DialKey::Peer(peer);
        if self.dials.contains_key(&key) || self.dials.len() >= self.limits.handshakes {
            return;
        }
        let token: [u8; 16] = cx.rng.bytes();
        self.tokens.insert(token, Asked::Dial(key));
        let mut dial = Dial::new(self.incarnation(peer), token, cx.now + pause);
        (dial.targets, dial.record, dial.rounds) = (addrs, record, rounds);
        self.timers.arm(Timer::Dial(key), dial.next);
        self.dials.insert(key, Box::new(dial));
    }

    /// Waiting attempts go at once: the network changed.
    pub(super) fn hurry(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let keys: Vec<DialKey> = self.dials.keys().copied().collect();
        for key in keys {
            match key {
                DialKey::Peer(peer) => self.pursue(cx, peer, true, out),
                DialKey::Addr(_) => {}
            }
        }
    }

    pub(super) fn unwanted(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        if self.wanted(peer) {
            return;
        }
        if let Some(live) = self.links.get_mut(&peer) {
            live.wanted = false;
            // The time that it may idle counts from here.
            live.talked = live.talked.max(cx.now);
            self.touch(cx, peer);
        }
        let key = DialKey::Peer(peer);
        if self.dials.get(&key).is_some_and(|d| !d.rekey && d.connects.is_empty()) {
            self.drop_dial(key);
        }
    }

    pub(super) fn drop_dial(&mut self, key: DialKey) -> Option<Box<Dial>> {
        let dial = self.dials.remove(&key)?;
        self.tokens.remove(&dial.token);
        for attempt in &dial.attempts {
            self.routes.remove(&attempt.index);
        }
        self.timers.cancel(Timer::Dial(key));
        Some(dial)
    }

    pub(super) fn drop_half(&mut self, local: u32) {
        if self.halves.remove(&local).is_some() {
            self.routes.remove(&local);
            self.timers.cancel(Timer::Half(local));
        }
    }

    pub(super) fn drop_halves(&mut self, peer: NodeId) {
        let gone: Vec<u32> = self.halves.iter().filter(|(_, h)| h.peer == peer).map(|(local, _)| *local).collect();
        for local in gone {
            self.drop_half(local);
        }
    }

    /// This node's life of the link to `peer`: the running one, the one being opened, or a new one.
    fn incarnation(&mut self, peer: NodeId) -> u32 {
        let open = self.links.get(&peer).map(|live| live.mine);
        let opening = || self.dials.get(&DialKey::Peer(peer)).map(|dial| dial.mine);
        let answered = || self.halves.values().find(|half| half.peer == peer).map(|half| half.mine);
        if let Some(mine) = open.or_else(opening).or_else(answered) {
            return mine;
        }
        self.incarnations = self.incarnations.wrapping_add(1);
        self.incarnations
    }

    fn fresh_index(&self, cx: &mut Cx<'_>) -> u32 {
        loop {
            let index = u32::from_le_bytes(cx.rng.bytes());
            if !self.routes.contains_key(&index) {
                return index;
            }
        }
    }

    fn push_raw(&mut self, to: SocketAddr, packet: Vec<u8>) {
        if self.raw.len() < MAX_RAW {
            self.raw.push_back((to, packet));
        } else {
            self.drops.count(DropReason::Queue);
        }
    }

    pub(super) fn dial_timeout(&mut self, cx: &mut Cx<'_>, key: DialKey, out: &mut Outbox<Out>) {
        let Some(dial) = self.dials.get_mut(&key) else { return };
        match dial.giveup {
            Some(at) if at <= cx.now => self.give_up(cx, key, out),
            Some(_) => self.try_once(cx, key),
            None => {
                dial.giveup = Some(cx.now + self.config.handshake_timeout);
                self.try_once(cx, key);
            }
        }
    }

    fn give_up(&mut self, cx: &mut Cx<'_>, key: DialKey, out: &mut Outbox<Out>) {
        let Some(dial) = self.drop_dial(key) else { return };
        let wrong_node = dial.wrong_node;
        let DialKey::Peer(peer) = key else {
            for (addr, expect) in dial.connects {
                out.push(Out::Unreachable { addr, expect, wrong_node });
            }
            return;
        };
        if let Some(live) = self.links.get(&peer) {
            // Without usable keys nothing can be said any more; otherwise the next packet asks again.
            if !live.current.may_send(cx.now, self.config.reject_after) {
                self.down(cx, peer, DownReason::Timeout, out);
            }
            return;
        }
        if dial.connects.is_empty() {
            if let Some(&addr) = dial.targets.first() {
                out.push(Out::Unreachable { addr, expect: Some(peer), wrong_node });
            }
        }
        for (addr, expect) in dial.connects {
            out.push(Out::Unreachable { addr, expect, wrong_node });
        }
        self.wait_for(cx, peer, dial.rounds.saturating_add(1));
    }

    /// Sends the next Init or RecordRequest of an attempt and sets its timer.
    fn try_once(&mut self, cx: &mut Cx<'_>, key: DialKey) {
        let Some(dial) = self.dials.get_mut(&key) else { return };
        let pause = cx.rng.jitter(self.config.handshake_retry, 20);
        let giveup = dial.giveup.unwrap_or(cx.now + self.config.handshake_timeout);
        dial.next = (cx.now + pause).min(giveup);
        let turn = dial.tries as usize;
        dial.tries = dial.tries.saturating_add(1);
        let count = dial.targets.len();
        let target = turn.checked_rem(count).and_then(|at| dial.targets.get(at)).copied();
        let (next, token, record) = (dial.next, dial.token, dial.record.clone());
        self.timers.arm(Timer::Dial(key), next);
        let Some(to) = target else { return };
        let stale = turn >= STALE_AFTER as usize;
        if let (DialKey::Peer(peer), Some(record)) = (key, &record) {
            self.send_init(cx, peer, record, to);
        }
        if record.is_none() || stale {
            let request = self.record_request_packet(&token);
            self.push_raw(to, request);
        }
    }

    fn send_init(&mut self, cx: &mut Cx<'_>, peer: NodeId, record: &NodeRecord, to: SocketAddr) {
        let index = self.fresh_index(cx);
        let Some(stamp) = self.keys.next_stamp() else { return };
        let Some(dial) = self.dials.get_mut(&DialKey::Peer(peer)) else { return };
        let mut packet = Vec::with_capacity(INIT_LEN);
        packet.extend_from_slice(&[INIT, VERSION]);
        packet.extend_from_slice(&index.to_le_bytes());
        let own = self.keys.current.pair.clone();
        let Ok(record_bytes) = <[u8; RECORD_LEN]>::try_from(self.keys.record.encode().as_slice()) else { return };
        let payload = InitPayload { record: record_bytes, stamp, incarnation: dial.mine }.encode();
        let state = Handshake::new(&IK_PSK2, true, &prologue(&packet), Some(own), Some(record.link_key), self.psk);
        let Ok(mut state) = state else { return };
        if state.write(cx.rng.bytes(), &payload, &mut packet).is_err() {
            // A key of low order in the record: it cannot be talked to.
            return;
        }
        let mac1 = mac(&mac1_key(&record.link_key), &packet);
        packet.extend_from_slice(&mac1);
        let cookie = dial.cookie.filter(|(addr, _, at)| *addr == to && cx.now.since(*at) < COOKIE_LIFE);
        let second = cookie.map_or([0; MAC_LEN], |(_, cookie, _)| mac2(&cookie, &packet));
        packet.extend_from_slice(&second);
        if dial.attempts.len() >= OUTSTANDING {
            let gone = dial.attempts.remove(0);
            self.routes.remove(&gone.index);
        }
        dial.attempts.push(Attempt { index, state, mac1, to, at: cx.now });
        self.routes.insert(index, Route::Dial(peer));
        self.push_raw(to, packet);
    }

    // ---- answers ----

    /// Which of this node's keys the sender of a handshake packet knew: its `mac1` tells.
    fn addressed_to(&self, cut: &Macs<'_>) -> Option<&StaticKey> {
        let mut keys = [Some(&self.keys.current), self.keys.previous.as_ref()].into_iter().flatten();
        keys.find(|key| same(&mac(&key.mac1, cut.body), &cut.mac1))
    }

    pub(super) fn init(&mut self, cx: &mut Cx<'_>, from: SocketAddr, bytes: &[u8]) {
        let Ok(cut) = macs(bytes) else { return self.drops.count(DropReason::Malformed) };
        let Some(key) = self.addressed_to(&cut).cloned() else { return self.drops.count(DropReason::Mac) };
        if !self.open {
            return self.drops.count(DropReason::Blocked);
        }
        let verified = self.guard.proves(cx.now, from, cut.with_mac1, &cut.mac2);
        let Ok(remote) = u32_at(bytes, 2) else { return self.drops.count(DropReason::Malformed) };
        match self.guard.admit(cx.now, from, verified) {
            Admission::Serve => {}
            Admission::Drop => return self.drops.count(DropReason::HandshakeRate),
            Admission::AskForCookie => {
                self.drops.count(DropReason::HandshakeRate);
                if self.guard.may_reply(cx.now, from, COOKIE_REPLY) {
                    let cookie = self.guard.cookie(cx.now, from);
                    let nonce = cx.rng.bytes();
                    if let Some(reply) = cookie::seal_reply(&key.pair.public, remote, &cut.mac1, &cookie, nonce) {
                        self.push_raw(from, reply);
                    }
                }
                return;
            }
        }
        let Some((header, message)) = cut.body.split_at_checked(INIT_HEADER) else { return };
        let state = Handshake::new(&IK_PSK2, false, &prologue(header), Some(key.pair), None, self.psk);
        let Ok(mut state) = state else { return };
        let Ok(payload) = state.read(message) else { return self.drops.count(DropReason::Handshake) };
        let Ok(payload) = InitPayload::decode(&payload) else { return self.drops.count(DropReason::Handshake) };
        let record = match NodeRecord::decode(&payload.record) {
            Ok(record) if state.remote_static() == Some(record.link_key) => record,
            Ok(_) | Err(_) => return self.drops.count(DropReason::Handshake),
        };
        let peer = record.id();
        if peer == self.me {
            return self.drops.count(DropReason::Handshake);
        }
        // Strictly rising stamps make a replay worthless; rising records make a stolen old key so.
        let seen = self.stamps.get(&peer).map(|(stamp, _)| *stamp);
        let known_seq = self.known.get(&peer).and_then(|k| k.record.as_ref()).map_or(0, |r| r.seq);
        if seen.is_some_and(|seen| payload.stamp <= seen) || record.seq < known_seq {
            return self.drops.count(DropReason::Stale);
        }
        if !self.links.contains_key(&peer) && !self.has_room() {
            return self.drops.count(DropReason::Queue);
        }
        self.answer(cx, from, remote, &mut state, (peer, record, payload));
    }

    fn answer(
        &mut self,
        cx: &mut Cx<'_>,
        from: SocketAddr,
        remote: u32,
        state: &mut Handshake,
        (peer, record, payload): (NodeId, NodeRecord, InitPayload),
    ) {
        let local = self.fresh_index(cx);
        let mine = self.incarnation(peer);
        let mut packet = Vec::with_capacity(RESP_LEN);
        packet.extend_from_slice(&[RESP, VERSION]);
        packet.extend_from_slice(&local.to_le_bytes());
        packet.extend_from_slice(&remote.to_le_bytes());
        let reply = RespPayload {
            index: local,
            observed: from,
            record_seq: self.keys.record.seq,
            epoch: Epoch { boot: self.keys.boot, incarnation: mine },
        };
        if state.write(cx.rng.bytes(), &reply.encode(), &mut packet).is_err() {
            return self.drops.count(DropReason::Handshake);
        }
        let Ok(split) = state.split() else { return self.drops.count(DropReason::Handshake) };
        let mac1 = mac(&mac1_key(&record.link_key), &packet);
        packet.extend_from_slice(&mac1);
        packet.extend_from_slice(&[0; MAC_LEN]);

        self.note_stamp(peer, payload.stamp);
        let of_peer = self.halves.iter().filter(|(_, h)| h.peer == peer);
        let oldest_own = of_peer.clone().min_by_key(|(local, h)| (h.created, **local)).map(|(local, _)| *local);
        if of_peer.count() >= HALVES {
            oldest_own.into_iter().for_each(|local| self.drop_half(local));
        } else if self.halves.len() >= self.limits.handshakes {
            let oldest = self.halves.iter().min_by_key(|(local, h)| (h.created, **local)).map(|(local, _)| *local);
            oldest.into_iter().for_each(|local| self.drop_half(local));
        }
        let epoch = Epoch { boot: payload.stamp.boot, incarnation: payload.incarnation };
        let half = Half { peer, record, split, remote, epoch, mine, created: cx.now };
        self.halves.insert(local, Box::new(half));
        self.routes.insert(local, Route::Half);
        self.timers.arm(Timer::Half(local), cx.now + self.config.handshake_timeout);
        self.push_raw(from, packet);
    }

    fn note_stamp(&mut self, peer: NodeId, stamp: Stamp) {
        if !self.stamps.contains_key(&peer) && self.stamps.len() >= MAX_STAMPS {
            let idle = self.stamps.iter().filter(|(p, _)| !self.links.contains_key(p));
            if let Some(oldest) = idle.min_by_key(|(_, (_, used))| *used).map(|(p, _)| *p) {
                self.stamps.remove(&oldest);
            }
        }
        self.uses = self.uses.saturating_add(1);
        self.stamps.insert(peer, (stamp, self.uses));
    }

    /// The first authentic packet under an answered Init: now its sender is proven. False if there
    /// is no room for the link.
    pub(super) fn confirm(
        &mut self,
        cx: &mut Cx<'_>,
        local: u32,
        mut session: Session,
        from: SocketAddr,
        out: &mut Outbox<Out>,
    ) -> bool {
        let Some(half) = self.halves.remove(&local) else { return false };
        self.timers.cancel(Timer::Half(local));
        self.routes.remove(&local);
        let half = *half;
        session.created = half.created;
        let took = cx.now.since(half.created);
        let proven =
            Proven { peer: half.peer, record: half.record, epoch: half.epoch, mine: half.mine, path: from, took };
        self.establish(cx, proven, session, out)
    }

    pub(super) fn resp(&mut self, cx: &mut Cx<'_>, from: SocketAddr, bytes: &[u8], out: &mut Outbox<Out>) {
        let Ok(cut) = macs(bytes) else { return self.drops.count(DropReason::Malformed) };
        let (Ok(remote), Ok(local)) = (u32_at(bytes, 2), u32_at(bytes, 6)) else {
            return self.drops.count(DropReason::Malformed);
        };
        if self.addressed_to(&cut).is_none() {
            return self.drops.count(DropReason::Mac);
        }
        let Some(Route::Dial(peer)) = self.routes.get(&local).copied() else {
            return self.drops.count(DropReason::UnknownSession);
        };
        let Some(dial) = self.dials.get(&DialKey::Peer(peer)) else { return };
        let Some(attempt) = dial.attempts.iter().find(|a| a.index == local) else { return };
        let Some((_, message)) = cut.body.split_at_checked(RESP_HEADER) else { return };
        // On a copy: a forged answer must not spoil the attempt (RUSTSEC-2024-0011).
        let mut state = attempt.state.clone();
        let Ok(payload) = state.read(message) else { return self.drops.count(DropReason::Handshake) };
        let payload = match RespPayload::decode(&payload) {
            Ok(payload) if payload.index == remote => payload,
            Ok(_) | Err(_) => return self.drops.count(DropReason::Handshake),
        };
        let (Ok(split), Some(record)) = (state.split(), dial.record.clone()) else { return };
        let session = Session::new(&split, true, local, remote, cx.now);
        let (mine, took, seq) = (dial.mine, cx.now.since(attempt.at), record.seq);
        // The authentic answer's source: with a cookie or a NAT it may be another than was tried.
        let proven = Proven { peer, record, epoch: payload.epoch, mine, path: from, took };
        if !self.establish(cx, proven, session, out) {
            return;
        }
        out.push(Out::Observed { by: peer, addr: payload.observed });
        // The responder goes only by what it hears under the new keys.
        if let Some(live) = self.links.get_mut(&peer) {
            live.probe();
        }
        if payload.record_seq > seq {
            self.refresh(cx, peer);
        }
        self.touch(cx, peer);
    }

    /// Takes a proven session into use: as the new keys of an open link, or as a new link.
    fn establish(&mut self, cx: &mut Cx<'_>, proven: Proven, session: Session, out: &mut Outbox<Out>) -> bool {
        let Proven { peer, record, epoch, mine, path, took } = proven;
        let local = session.local;
        if let Some(live) = self.links.get_mut(&peer) {
            if live.epoch == epoch && live.mine == mine {
                if record.seq > live.record.seq {
                    live.record = record.clone();
                }
                live.heard(cx.now);
                let gone = live.renew(session);
                gone.into_iter().for_each(|index| {
                    self.routes.remove(&index);
                });
                self.finish(cx, peer, local, record, path);
                return true;
            }
            self.forget(peer);
            out.push(Out::Down { peer, reason: DownReason::Restarted });
        } else if !self.make_room(cx, out) {
            self.drop_dial(DialKey::Peer(peer));
            self.drops.count(DropReason::Queue);
            return false;
        }
        let wanted = self.wanted(peer);
        let initiated = session.initiator;
        let start = Start { peer, record: record.clone(), epoch, mine, path, wanted };
        let mut live = Live::new(start, session, cx.now);
        live.recovery.rtt.sample(took, Duration::ZERO);
        self.links.insert(peer, Box::new(live));
        self.finish(cx, peer, local, record.clone(), path);
        out.push(Out::Up { peer, record, addr: path, initiated });
        true
    }

    fn finish(&mut self, cx: &mut Cx<'_>, peer: NodeId, local: u32, record: NodeRecord, path: SocketAddr) {
        // What is still under way for this peer is done. Its answered Inits are not dropped: with
        // simultaneous attempts the other side may go by one of them.
        self.drop_dial(DialKey::Peer(peer));
        self.routes.insert(local, Route::Live(peer));
        self.handshakes = self.handshakes.saturating_add(1);
        self.remember(peer, Some(record), &[path]);
        self.touch(cx, peer);
    }

    pub(super) fn cookie_reply(&mut self, cx: &mut Cx<'_>, bytes: &[u8]) {
        let Ok(index) = u32_at(bytes, 2) else { return self.drops.count(DropReason::Malformed) };
        let Some(Route::Dial(peer)) = self.routes.get(&index).copied() else {
            return self.drops.count(DropReason::UnknownSession);
        };
        let key = DialKey::Peer(peer);
        let Some(dial) = self.dials.get_mut(&key) else { return };
        let (Some(attempt), Some(record)) = (dial.attempts.iter().find(|a| a.index == index), &dial.record) else {
            return;
        };
        let Ok(cookie) = cookie::open_reply(&record.link_key, &attempt.mac1, bytes) else {
            return self.drops.count(DropReason::Handshake);
        };
        let to = attempt.to;
        let fresh = dial.cookie.is_none_or(|(addr, old, _)| addr != to || old != cookie);
        dial.cookie = Some((to, cookie, cx.now));
        // At once, but only once for each cookie: a replayed reply sets nothing going.
        if fresh {
            let record = record.clone();
            self.send_init(cx, peer, &record, to);
        }
    }

    // ---- records ----

    /// Type, version, token, MAC under the network's key, zeros. A node of a closed network is silent
    /// to whoever does not hold its key.
    fn record_request_packet(&self, token: &[u8; 16]) -> Vec<u8> {
        let mut packet = Vec::with_capacity(RECORD_REQUEST_LEN);
        packet.extend_from_slice(&[RECORD_REQUEST, VERSION]);
        packet.extend_from_slice(token);
        let proof = self.request_mac(token);
        packet.extend_from_slice(&proof);
        packet.resize(RECORD_REQUEST_LEN, 0);
        packet
    }

    fn request_mac(&self, token: &[u8; 16]) -> Mac {
        mac(&blake3::derive_key("DONP v1 link record request", &self.psk), token)
    }

    pub(super) fn record_request(&mut self, cx: &mut Cx<'_>, from: SocketAddr, bytes: &[u8]) {
        let Some((_, rest)) = bytes.split_at_checked(2) else { return self.drops.count(DropReason::Malformed) };
        let mut r = Reader(rest);
        let (Ok(token), Ok(proof)) = (r.take::<16>(), r.take::<16>()) else {
            return self.drops.count(DropReason::Malformed);
        };
        if !same(&self.request_mac(&token), &proof) {
            return self.drops.count(DropReason::Mac);
        }
        if !self.open {
            return self.drops.count(DropReason::Blocked);
        }
        if !self.guard.may_reply(cx.now, from, RECORD_REPLY) {
            return self.drops.count(DropReason::HandshakeRate);
        }
        let mut reply = Vec::with_capacity(RECORD_REPLY_LEN);
        reply.extend_from_slice(&[RECORD_REPLY, VERSION]);
        reply.extend_from_slice(&token);
        reply.extend_from_slice(&self.keys.record.encode());
        reply.extend_from_slice(&self.guard.cookie(cx.now, from));
        self.push_raw(from, reply);
    }

    pub(super) fn record_reply(&mut self, cx: &mut Cx<'_>, from: SocketAddr, bytes: &[u8], out: &mut Outbox<Out>) {
        let Some((_, rest)) = bytes.split_at_checked(2) else { return self.drops.count(DropReason::Malformed) };
        let mut r = Reader(rest);
        let (Ok(token), Ok(record), Ok(cookie)) = (r.take::<16>(), r.slice(RECORD_LEN), r.take::<16>()) else {
            return self.drops.count(DropReason::Malformed);
        };
        let Some(asked) = self.tokens.get(&token).copied() else {
            return self.drops.count(DropReason::UnknownSession);
        };
        let Ok(record) = NodeRecord::decode(record) else { return self.drops.count(DropReason::Signature) };
        let id = record.id();
        match asked {
            Asked::Refresh(peer) => {
                self.tokens.remove(&token);
                if id == peer {
                    self.remember(peer, Some(record.clone()), &[]);
                    if let Some(live) = self.links.get_mut(&peer).filter(|live| live.record.seq < record.seq) {
                        live.record = record;
                    }
                }
            }
            Asked::Dial(key @ DialKey::Addr(_)) => self.resolved(cx, key, from, record, cookie, out),
            Asked::Dial(key @ DialKey::Peer(peer)) => {
                let Some(dial) = self.dials.get_mut(&key) else { return };
                if id != peer {
                    dial.wrong_node = true;
                    return;
                }
                if dial.record.as_ref().is_none_or(|old| record.seq > old.seq) {
                    dial.record = Some(record.clone());
                    dial.cookie = Some((from, cookie, cx.now));
                    self.remember(peer, Some(record.clone()), &[]);
                    self.send_init(cx, peer, &record, from);
                }
            }
        }
    }

    /// Somebody answered at a bare address.
    fn resolved(
        &mut self,
        cx: &mut Cx<'_>,
        key: DialKey,
        from: SocketAddr,
        record: NodeRecord,
        cookie: Mac,
        out: &mut Outbox<Out>,
    ) {
        let Some(dial) = self.drop_dial(key) else { return };
        let peer = record.id();
        let linked = self.links.contains_key(&peer);
        self.remember(peer, Some(record.clone()), &[from]);
        for (addr, expect) in dial.connects {
            if expect.is_some_and(|id| id != peer) || peer == self.me {
                out.push(Out::Unreachable { addr, expect, wrong_node: true });
                continue;
            }
            out.push(Out::Resolved { addr, peer });
            if linked {
                continue;
            }
            let peer_key = DialKey::Peer(peer);
            let fresh = !self.dials.contains_key(&peer_key);
            self.dial(cx, peer_key, Some(record.clone()), &[from], Some((addr, expect)), out);
            if let Some(dial) = self.dials.get_mut(&peer_key).filter(|_| fresh) {
                dial.cookie = Some((from, cookie, cx.now));
            }
        }
    }

    /// Asks a linked node for the record that it says is newer than the one known.
    fn refresh(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let Some(path) = self.links.get(&peer).map(|live| live.path) else { return };
        let pending = self.tokens.values().filter(|a| matches!(a, Asked::Refresh(_))).count();
        if pending >= MAX_REFRESH {
            self.tokens.retain(|_, asked| !matches!(asked, Asked::Refresh(_)));
        }
        let token: [u8; 16] = cx.rng.bytes();
        self.tokens.insert(token, Asked::Refresh(peer));
        let request = self.record_request_packet(&token);
        self.push_raw(path, request);
    }

    #[cfg(test)]
    pub(super) fn dial_digest(&self, hasher: &mut blake3::Hasher) {
        for (key, d) in &self.dials {
            let line = alloc::format!(
                "{key:?} {:?} {:?} {:?} {} {} {:?} {:?} {} {} {:?}",
                d.connects,
                d.targets,
                d.record,
                d.mine,
                d.rekey,
                d.giveup,
                d.next,
                d.tries,
                d.rounds,
                d.token
            );
            hasher.update(line.as_bytes());
            for a in &d.attempts {
                hasher.update(&a.index.to_le_bytes()).update(&a.mac1);
            }
        }
        for (local, h) in &self.halves {
            hasher.update(alloc::format!("{local} {:?} {:?} {:?} {}", h.peer, h.split, h.epoch, h.mine).as_bytes());
        }
    }
}
