//! Answers: to the Inits of others, and what becomes of the answers to ours.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::fact::{DownReason, Fact};
use crate::id::NodeId;
use crate::link::cookie::{self, Admission, mac, mac1_key, same};
use crate::link::keys::StaticKey;
use crate::link::live::{Live, Start};
use crate::link::noise::{Handshake, IK_PSK2, Split};
use crate::link::packet::{
    COOKIE_REPLY, Epoch, INIT_HEADER, InitPayload, MAC_LEN, Macs, RESP, RESP_HEADER, RESP_LEN, RespPayload, Stamp,
    VERSION, macs, u32_at,
};
use crate::link::session::Session;
use crate::link::{Link, MAX_STAMPS, Out, Route, Timer};
use crate::machine::{Cx, Outbox};
use crate::stats::DropReason;
use crate::time::{Duration, Instant};
use crate::wire::record::NodeRecord;

use crate::link::dial::{DialKey, prologue};

/// Answered Inits of one node that wait for its first packet.
const HALVES: usize = crate::link::dial::OUTSTANDING;

/// An answered Init of which nothing is proven yet: about 450 bytes.
pub(super) struct Half {
    pub peer: NodeId,
    pub record: NodeRecord,
    pub split: Split,
    pub remote: u32,
    /// Where the answer went: whoever proves to hold the keys has received it there.
    path: SocketAddr,
    pub epoch: Epoch,
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

impl Link {
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
        let record = match NodeRecord::decode_unverified(&payload.record) {
            Ok(record) if state.remote_static() == Some(record.link_key) => record,
            Ok(_) | Err(_) => return self.drops.count(DropReason::Handshake),
        };
        let peer = record.id();
        // New keys for an open link come with the record that opened it, and its signature held then.
        let proven = self.links.get(&peer).is_some_and(|live| live.record == record);
        if !proven && !record.is_genuine() {
            return self.drops.count(DropReason::Handshake);
        }
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
        let half = Half { peer, record, split, remote, path: from, epoch, mine, created: cx.now };
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
    pub(super) fn confirm(&mut self, cx: &mut Cx<'_>, local: u32, mut session: Session, out: &mut Outbox<Out>) -> bool {
        let Some(half) = self.halves.remove(&local) else { return false };
        self.timers.cancel(Timer::Half(local));
        self.routes.remove(&local);
        let half = *half;
        session.created = half.created;
        let took = cx.now.since(half.created);
        let proven =
            Proven { peer: half.peer, record: half.record, epoch: half.epoch, mine: half.mine, path: half.path, took };
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
        let (mine, took, seq, path) = (dial.mine, cx.now.since(attempt.at), record.seq, attempt.to);
        // The address that was tried and not the answer's source, which an eavesdropper could choose by
        // passing it on (RFC 9000 §9 allows no migration during the handshake either).
        let proven = Proven { peer, record, epoch: payload.epoch, mine, path, took };
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
            out.push(Out::Fact(Fact::LinkDown { peer, reason: DownReason::Restarted }));
        } else if !self.make_room(cx, out) {
            self.drop_dial(DialKey::Peer(peer));
            self.drops.count(DropReason::Queue);
            return false;
        }
        let (wanted, rare) = (self.wanted(peer), self.rarely(peer));
        let start = Start { peer, record: record.clone(), epoch, mine, path, wanted, rare };
        let mut live = Live::new(start, session, cx.now);
        live.recovery.rtt.sample(took, Duration::ZERO);
        // Both may have called at once, and then each call opened the other's box for this one.
        live.initiated &= !self.halves.values().any(|half| half.peer == peer);
        let opened = live.round_trip();
        self.links.insert(peer, Box::new(live));
        self.finish(cx, peer, local, record.clone(), path);
        out.push(Out::Fact(Fact::LinkUp { peer, record, addr: path }));
        // Before the messages of the same packet: the machines that judge them know the link.
        out.push(Out::Fact(Fact::RoundTrips(alloc::vec![opened])));
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
}
