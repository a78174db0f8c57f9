//! Handshakes: answers to the Inits of others, and their answers to ours.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::fact::{DownReason, Fact};
use crate::id::NodeId;
use crate::link::connection::{Connection, Start};
use crate::link::cookie::{self, Admission, mac, mac1_key, same};
use crate::link::generations::Life;
use crate::link::half_open::HalfOpen;
use crate::link::keys::StaticKey;
use crate::link::noise::{Handshake, IK_PSK2};
use crate::link::packet::{
    COOKIE_REPLY, Epoch, INIT_HEADER, InitPayload, MAC_LEN, Macs, NO_GENERATION, RECORD_OUTDATED, RECORD_OUTDATED_LEN,
    RESP, RESP_HEADER, RESP_LEN, RespPayload, VERSION, macs, u32_at,
};
use crate::link::session::Session;
use crate::link::upgrade::{Hidden, Upgrade};
use crate::link::{Link, Out, Route, Timer};
use crate::machine::{Cx, Outbox};
use crate::stats::DropReason;
use crate::time::Duration;
use crate::wire::record::NodeRecord;

use crate::link::attempt::{Target, prologue};

/// What a finished handshake proved.
struct Proven {
    peer: NodeId,
    record: NodeRecord,
    epoch: Epoch,
    local_incarnation: u32,
    path: SocketAddr,
    /// The round trip, if the handshake measured it.
    took: Option<Duration>,
}

/// Answers the Init `to` with the record of its sender that this node knows.
fn record_outdated(to: u32, newer: &NodeRecord) -> Vec<u8> {
    let mut packet = Vec::with_capacity(RECORD_OUTDATED_LEN);
    packet.extend_from_slice(&[RECORD_OUTDATED, VERSION]);
    packet.extend_from_slice(&to.to_le_bytes());
    packet.extend_from_slice(&newer.encode());
    packet
}

impl Link {
    /// Which of this node's keys the sender of a handshake packet knew: its `mac1` shows.
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
        let verified = self.limiter.proves(cx.now, from, cut.with_mac1, &cut.mac2);
        let Ok(remote) = u32_at(bytes, 2) else { return self.drops.count(DropReason::Malformed) };
        match self.limiter.admit(cx.now, from, verified) {
            Admission::Serve => {}
            Admission::Drop => return self.drops.count(DropReason::HandshakeRate),
            Admission::AskForCookie => {
                self.drops.count(DropReason::HandshakeRate);
                if self.limiter.may_reply(cx.now, from, COOKIE_REPLY) {
                    let cookie = self.limiter.cookie(cx.now, from);
                    let nonce = cx.rng.bytes();
                    if let Some(reply) = cookie::seal_reply(&key.pair.public, remote, &cut.mac1, &cookie, nonce) {
                        self.push_datagram(from, reply);
                    }
                }
                return;
            }
        }
        let Some((header, message)) = cut.body.split_at_checked(INIT_HEADER) else { return };
        let state = Handshake::new(&IK_PSK2, false, &prologue(header, self.me), Some(key.pair), None, self.psk);
        let Ok(mut state) = state else { return };
        let Ok(payload) = state.read(message) else { return self.drops.count(DropReason::Handshake) };
        let Ok(payload) = InitPayload::decode(&payload) else { return self.drops.count(DropReason::Handshake) };
        let record = match NodeRecord::decode_unverified(&payload.record) {
            Ok(record) if state.remote_static() == Some(record.link_key) => record,
            Ok(_) | Err(_) => return self.drops.count(DropReason::Handshake),
        };
        let peer = record.id();
        // New keys for an open link come with the record that opened it, and its signature held then.
        let proven = self.links.get(&peer).is_some_and(|connection| connection.record == record);
        if !proven && !record.is_genuine() {
            return self.drops.count(DropReason::Handshake);
        }
        if peer == self.me {
            return self.drops.count(DropReason::Handshake);
        }
        if self.shuns(cx.now, peer) {
            return self.drops.count(DropReason::Blocked);
        }
        if self.expiry.refuses(&record, cx.now, cx.wall) {
            self.drops.count(DropReason::Stale);
            // Its next Init finds the proof here.
            return self.ask_for_proof(cx, from);
        }
        // A stolen old key opens nothing once a record with a new one is known.
        let known = self.addresses.get(peer).and_then(|known| known.record.as_ref());
        if let Some(newer) = known.filter(|known| record.seq < known.seq && record.link_key != known.link_key) {
            self.drops.count(DropReason::Stale);
            let reply = record_outdated(remote, newer);
            if self.limiter.may_reply(cx.now, from, RECORD_OUTDATED) {
                self.push_datagram(from, reply);
            }
            return;
        }
        // Until its sender is proven a stamp is not noted: the holder of this node's link key can make Inits of any
        // other. The same Init again gets no second answer meanwhile.
        let Some((ephemeral, _)) = message.split_first_chunk::<32>() else { return };
        if self.half_open.of_peer(peer).any(|(_, half)| half.ephemeral == *ephemeral) {
            return self.drops.count(DropReason::Stale);
        }
        if !self.links.contains_key(&peer) && !self.has_capacity() {
            return self.drops.count(DropReason::Queue);
        }
        if !self.stamps.rise(peer, payload.stamp) && !self.limiter.may_reply(cx.now, from, RESP) {
            return self.drops.count(DropReason::Stale);
        }
        // The identity that the initiator claims is part of what its key has to prove.
        state.bind(&peer.0);
        let ephemeral = *ephemeral;
        self.answer(cx, from, remote, &mut state, (peer, record, payload, ephemeral));
    }

    fn answer(
        &mut self,
        cx: &mut Cx<'_>,
        from: SocketAddr,
        remote: u32,
        state: &mut Handshake,
        (peer, record, payload, ephemeral): (NodeId, NodeRecord, InitPayload, [u8; 32]),
    ) {
        let local = self.fresh_index(cx);
        let local_incarnation = self.incarnation(peer);
        let mut packet = Vec::with_capacity(RESP_LEN);
        packet.extend_from_slice(&[RESP, VERSION]);
        packet.extend_from_slice(&local.to_le_bytes());
        packet.extend_from_slice(&remote.to_le_bytes());
        // Another life of the link has other secrets.
        let life = self.links.get(&peer).filter(|connection| {
            connection.epoch == payload.epoch && connection.local_incarnation == local_incarnation
        });
        let generations = life.map(|connection| &connection.upgrade.generations);
        let generation = generations.map_or(Some(NO_GENERATION), |held| held.choose(payload.generation));
        let Some(generation) = generation else { return self.drops.count(DropReason::Stale) };
        if let Some(psk) = generations.and_then(|held| held.psk(&self.psk, generation)) {
            state.set_psk(psk);
        }
        packet.push(generation);
        state.bind(&[generation]);
        let reply = RespPayload {
            index: local,
            observed: from,
            record_seq: self.keys.record.seq,
            epoch: Epoch { boot: self.keys.boot, incarnation: local_incarnation },
        };
        if state.write(cx.rng.bytes(), &reply.encode(), &mut packet).is_err() {
            return self.drops.count(DropReason::Handshake);
        }
        let Ok(split) = state.split() else { return self.drops.count(DropReason::Handshake) };
        let mac1 = mac(&mac1_key(&record.link_key), &packet);
        packet.extend_from_slice(&mac1);
        packet.extend_from_slice(&[0; MAC_LEN]);

        if let Some(surplus) = self.half_open.surplus(peer, from, self.limits.handshakes) {
            self.drop_half_open(surplus);
        }
        let InitPayload { stamp, epoch, .. } = payload;
        let created = cx.now;
        let half = HalfOpen {
            peer,
            record,
            split,
            generation,
            remote,
            path: from,
            stamp,
            ephemeral,
            epoch,
            local_incarnation,
            created,
        };
        self.half_open.insert(local, half);
        self.routes.insert(local, Route::HalfOpen);
        self.timers.arm(Timer::HalfOpen(local), cx.now + self.config.handshake_timeout);
        self.push_datagram(from, packet);
    }

    /// The first authentic packet under an answered Init: now its sender is proven. False if there
    /// is no place for the link. `first`: it has the first number, so that no earlier one was lost and it says how long
    /// the round trip took.
    pub(super) fn confirm(
        &mut self,
        cx: &mut Cx<'_>,
        local: u32,
        mut session: Session,
        first: bool,
        out: &mut Outbox<Out>,
    ) -> bool {
        let Some(half) = self.half_open.remove(local) else { return false };
        self.timers.cancel(Timer::HalfOpen(local));
        self.routes.remove(&local);
        let links = &self.links;
        self.stamps.set(half.peer, half.stamp, |p| links.contains_key(p));
        session.created = half.created;
        let took = first.then(|| cx.now.since(half.created));
        let proven = Proven {
            peer: half.peer,
            record: half.record,
            epoch: half.epoch,
            local_incarnation: half.local_incarnation,
            path: half.path,
            took,
        };
        self.establish(cx, proven, session, out)
    }

    pub(super) fn resp(&mut self, cx: &mut Cx<'_>, bytes: &[u8], out: &mut Outbox<Out>) {
        let Ok(cut) = macs(bytes) else { return self.drops.count(DropReason::Malformed) };
        let (Ok(remote), Ok(local)) = (u32_at(bytes, 2), u32_at(bytes, 6)) else {
            return self.drops.count(DropReason::Malformed);
        };
        if self.addressed_to(&cut).is_none() {
            return self.drops.count(DropReason::Mac);
        }
        let Some(Route::Attempt(peer)) = self.routes.get(&local).copied() else {
            return self.drops.count(DropReason::UnknownSession);
        };
        let Some(attempt) = self.attempts.get(&Target::Peer(peer)) else { return };
        let Some(init) = attempt.inits.iter().find(|a| a.index == local) else { return };
        let Some((header, message)) = cut.body.split_at_checked(RESP_HEADER) else { return };
        let Some(&generation) = header.last() else { return };
        let psk = match self.links.get(&peer) {
            _ if generation == NO_GENERATION => Some(self.psk),
            Some(connection) => connection.upgrade.generations.psk(&self.psk, generation),
            None => None,
        };
        let Some(psk) = psk else { return self.drops.count(DropReason::Handshake) };
        // On a copy: a forged answer must not spoil the attempt (RUSTSEC-2024-0011).
        let mut state = init.state.clone();
        state.set_psk(psk);
        state.bind(&[generation]);
        let Ok(payload) = state.read(message) else { return self.drops.count(DropReason::Handshake) };
        let payload = match RespPayload::decode(&payload) {
            Ok(payload) if payload.index == remote => payload,
            Ok(_) | Err(_) => return self.drops.count(DropReason::Handshake),
        };
        let (Ok(split), Some(record)) = (state.split(), attempt.record.clone()) else { return };
        let mut session = Session::new(&split, true, local, remote, cx.now);
        session.generation = generation;
        let (local_incarnation, took, seq, path) =
            (attempt.local_incarnation, Some(cx.now.since(init.at)), record.seq, init.to);
        // The address that was tried and not the answer's source, which an eavesdropper could choose by
        // passing it on (RFC 9000 §9 allows no migration during the handshake either).
        let proven = Proven { peer, record, epoch: payload.epoch, local_incarnation, path, took };
        if !self.establish(cx, proven, session, out) {
            return;
        }
        if self.shown(peer).is_some() {
            out.push(Out::Observed { by: peer, addr: payload.observed });
        }
        // The responder accepts the keys only when a packet under them comes.
        if let Some(connection) = self.links.get_mut(&peer) {
            connection.probe();
        }
        if payload.record_seq > seq {
            self.refresh(cx, peer);
        }
        self.touch(cx, peer);
    }

    /// Takes a proven session into use: as the new keys of an open link, or as a new link.
    fn establish(&mut self, cx: &mut Cx<'_>, proven: Proven, session: Session, out: &mut Outbox<Out>) -> bool {
        let Proven { peer, record, epoch, local_incarnation, path, took } = proven;
        let (local, hash) = (session.local, session.hash);
        if let Some(connection) = self.links.get_mut(&peer) {
            if connection.epoch == epoch && connection.local_incarnation == local_incarnation {
                // In one life of a link neither end gives up what both mixed in.
                if session.generation < connection.current.generation {
                    self.drops.count(DropReason::Handshake);
                    return false;
                }
                connection.upgrade.generations.confirm(session.generation);
                if record.seq > connection.record.seq {
                    connection.record = record.clone();
                    out.push(Out::Fact(Fact::RecordRenewed { peer, record: record.clone() }));
                }
                if connection.hidden.is_none() {
                    out.push(Out::Keyed { peer, hash });
                }
                connection.received(cx.now);
                let gone = connection.renew(session);
                gone.into_iter().for_each(|index| {
                    self.routes.remove(&index);
                });
                self.finish(cx, peer, local, record, path);
                self.show_if_upgraded(peer, out);
                return true;
            }
            self.forget(peer, DownReason::Restarted, out);
        } else if !self.make_place(cx, out) {
            self.drop_attempt(Target::Peer(peer));
            self.drops.count(DropReason::Queue);
            return false;
        }
        let interest = self.interests.of(peer);
        let max_datagram = self.config.max_datagram;
        let own = Epoch { boot: self.keys.boot, incarnation: local_incarnation };
        let life = Life { ids: [self.me, peer], epochs: [own, epoch] };
        let upgrade = Upgrade::new(&life, &self.config, cx.now);
        let hidden = self.config.require_post_quantum.then(|| {
            let attempt = self.attempts.get(&Target::Peer(peer));
            Hidden::new(cx.now, attempt.map_or_else(Vec::new, |attempt| attempt.connects.clone()))
        });
        let shown = hidden.is_none();
        let start = Start {
            peer,
            record: record.clone(),
            epoch,
            local_incarnation,
            path,
            interest,
            max_datagram,
            upgrade,
            hidden,
            wakes: self.wakes,
        };
        let mut connection = Connection::new(start, session, cx.now);
        if let Some(took) = took {
            connection.recovery.rtt.sample(took, Duration::ZERO);
        }
        // Both may have sent an Init at once, and then each Init opened the other's NAT for this one.
        connection.initiated &= self.half_open.of_peer(peer).next().is_none();
        let opened = connection.round_trip();
        self.links.insert(peer, Box::new(connection));
        self.finish(cx, peer, local, record.clone(), path);
        if !shown {
            return true;
        }
        out.push(Out::Fact(Fact::LinkUp { peer, record, addr: path }));
        out.push(Out::Keyed { peer, hash });
        // Before the messages of the same packet: the machines that judge them know the link.
        out.push(Out::Fact(Fact::RoundTrips(alloc::vec![opened])));
        true
    }

    fn finish(&mut self, cx: &mut Cx<'_>, peer: NodeId, local: u32, record: NodeRecord, path: SocketAddr) {
        // What is still under way for this peer is done. Its answered Inits are not dropped: with
        // simultaneous attempts the other side may go by one of them.
        self.drop_attempt(Target::Peer(peer));
        self.routes.insert(local, Route::Connection(peer));
        self.handshakes = self.handshakes.saturating_add(1);
        self.strangers.answered(path);
        self.remember(peer, Some(record), &[path]);
        self.touch(cx, peer);
    }

    /// A peer knows a newer record of this node: another copy of the profile signed it, or this one did while its clock
    /// was ahead. It proves itself, so it is no matter who shows it.
    pub(super) fn record_outdated(&mut self, cx: &mut Cx<'_>, bytes: &[u8], out: &mut Outbox<Out>) {
        let Ok(index) = u32_at(bytes, 2) else { return self.drops.count(DropReason::Malformed) };
        if !matches!(self.routes.get(&index), Some(Route::Attempt(_))) {
            return self.drops.count(DropReason::UnknownSession);
        }
        let newer = bytes.get(INIT_HEADER..).and_then(|record| NodeRecord::decode(record).ok());
        match newer.filter(|record| record.id() == self.me && record.seq > self.keys.record.seq) {
            Some(record) => self.keys.outdo(record.seq, cx.wall, out),
            None => self.drops.count(DropReason::Stale),
        }
    }

    pub(super) fn cookie_reply(&mut self, cx: &mut Cx<'_>, bytes: &[u8]) {
        let Ok(index) = u32_at(bytes, 2) else { return self.drops.count(DropReason::Malformed) };
        let Some(Route::Attempt(peer)) = self.routes.get(&index).copied() else {
            return self.drops.count(DropReason::UnknownSession);
        };
        let key = Target::Peer(peer);
        let Some(attempt) = self.attempts.get_mut(&key) else { return };
        let (Some(init), Some(record)) = (attempt.inits.iter().find(|a| a.index == index), &attempt.record) else {
            return;
        };
        let Ok(cookie) = cookie::open_reply(&record.link_key, &init.mac1, bytes) else {
            return self.drops.count(DropReason::Handshake);
        };
        let to = init.to;
        let fresh = attempt.cookie.is_none_or(|(addr, old, _)| addr != to || old != cookie);
        attempt.cookie = Some((to, cookie, cx.now));
        // At once, but only once for each cookie: a replayed reply sets nothing going.
        if fresh {
            let record = record.clone();
            self.send_init(cx, peer, &record, to);
        }
    }
}
