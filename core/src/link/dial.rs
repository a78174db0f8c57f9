//! Attempts of this node to reach others: who asked, which address is next, when to give up.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::fact::DownReason;
use crate::id::NodeId;
use crate::link::cookie::{COOKIE_LIFE, Mac, mac, mac1_key, mac2};
use crate::link::noise::{Handshake, IK_PSK2};
use crate::link::packet::{INIT, INIT_LEN, InitPayload, MAC_LEN, VERSION};
use crate::link::{Link, MAX_RAW, Out, Owner, Route, Timer, usable};
use crate::machine::{Cx, Outbox};
use crate::stats::DropReason;
use crate::time::{Duration, Instant};
use crate::wire::record::{NodeRecord, RECORD_LEN};

/// Before the header of the Init: name and version of the protocol.
const PROLOGUE: &[u8] = b"DONP v1 link";
/// Inits of one attempt that may still be answered: with one a second, round trips of up to 4 s
/// complete.
pub(super) const OUTSTANDING: usize = 4;
/// First and longest pause before a link that is wanted for a message is tried again.
const REOPEN_FIRST: Duration = Duration::from_secs(1);
const REOPEN_MAX: Duration = Duration::from_secs(60);
/// Inits without an answer after which the record may be outdated and is asked for.
const STALE_AFTER: u32 = 2;
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
pub(super) struct Attempt {
    pub index: u32,
    pub state: Handshake,
    pub mac1: Mac,
    pub to: SocketAddr,
    pub at: Instant,
}

/// An attempt to reach somebody. Worst case 3 KiB.
pub(super) struct Dial {
    /// Who asked for it by `Connect`; each is told if it fails.
    pub connects: Vec<(SocketAddr, Option<NodeId>)>,
    pub targets: Vec<SocketAddr>,
    pub record: Option<NodeRecord>,
    /// The life of the link that it would open or renew.
    pub mine: u32,
    pub rekey: bool,
    /// When it is given up; none while it waits for its next round.
    pub giveup: Option<Instant>,
    pub next: Instant,
    pub tries: u32,
    pub rounds: u32,
    pub attempts: Vec<Attempt>,
    pub cookie: Option<(SocketAddr, Mac, Instant)>,
    pub token: [u8; 16],
    pub wrong_node: bool,
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

pub(super) fn prologue(header: &[u8]) -> Vec<u8> {
    let mut out = PROLOGUE.to_vec();
    out.extend_from_slice(header);
    out
}

impl Link {
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
    pub(super) fn dial(
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
        if let Some(record) = record
            && dial.record.as_ref().is_none_or(|old| record.seq > old.seq)
        {
            dial.record = Some(record);
        }
        for &target in targets {
            dial.targets.retain(|t| *t != target);
        }
        dial.targets.splice(0..0, targets.iter().copied());
        dial.targets.truncate(super::MAX_ADDRS);
        if let Some(connect) = connect
            && !dial.connects.contains(&connect)
            && dial.connects.len() < super::MAX_ADDRS
        {
            dial.connects.push(connect);
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
        if !self.open || !self.wanted_by(peer, Owner::Delivery) || self.links.contains_key(&peer) {
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
        let rare = self.rarely(peer);
        if self.wanted(peer) {
            if let Some(live) = self.links.get_mut(&peer) {
                live.rare = rare;
                self.touch(cx, peer);
            }
            return;
        }
        if let Some(live) = self.links.get_mut(&peer) {
            live.wanted = false;
            live.rare = false;
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
    pub(super) fn incarnation(&mut self, peer: NodeId) -> u32 {
        let open = self.links.get(&peer).map(|live| live.mine);
        let opening = || self.dials.get(&DialKey::Peer(peer)).map(|dial| dial.mine);
        let answered = || self.halves.values().find(|half| half.peer == peer).map(|half| half.mine);
        if let Some(mine) = open.or_else(opening).or_else(answered) {
            return mine;
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

    pub(super) fn push_raw(&mut self, to: SocketAddr, packet: Vec<u8>) {
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
        if dial.connects.is_empty()
            && let Some(&addr) = dial.targets.first()
        {
            out.push(Out::Unreachable { addr, expect: Some(peer), wrong_node });
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

    pub(super) fn send_init(&mut self, cx: &mut Cx<'_>, peer: NodeId, record: &NodeRecord, to: SocketAddr) {
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
