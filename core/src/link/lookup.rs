//! Signed records: asking a node at an address for its record, and answering that.

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::collections::Rate;
use crate::fact::Fact;
use crate::id::NodeId;
use crate::identity::SIGNATURE_LEN;
use crate::link::cookie::{Mac, mac, same};
use crate::link::expiry::is_proof;
use crate::link::packet::{RECORD_REPLY, RECORD_REPLY_LEN, RECORD_REQUEST, RECORD_REQUEST_LEN, VERSION};
use crate::link::{Link, Out};
use crate::machine::{Cx, Outbox};
use crate::stats::DropReason;
use crate::wire::record::{NodeRecord, RECORD_LEN, Reader};

use crate::link::attempt::{Asked, Target};

/// Questions of one kind outside of attempts at once, 72 bytes each.
const MAX_ASKED: usize = 64;
/// Proofs made in a second, at about 20 µs each: 2 % of a processor. A reply beyond it has none, and counts where the record
/// is in force by the asker's clock.
pub(super) const PROOFS: Rate = Rate::per_second(1_000);
const NO_PROOF: [u8; SIGNATURE_LEN] = [0; SIGNATURE_LEN];

impl Link {
    /// Type, version, token, MAC under the network's key, zeros. A node of a closed network does not
    /// answer without its key.
    pub(super) fn record_request_packet(&self, token: &[u8; 16]) -> Vec<u8> {
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
        if !self.limiter.may_reply(cx.now, from, RECORD_REPLY) {
            return self.drops.count(DropReason::HandshakeRate);
        }
        let mut reply = Vec::with_capacity(RECORD_REPLY_LEN);
        reply.extend_from_slice(&[RECORD_REPLY, VERSION]);
        reply.extend_from_slice(&token);
        reply.extend_from_slice(&self.keys.record.encode());
        let proof = if self.proofs.take(cx.now) { self.keys.prove_current(&token) } else { NO_PROOF };
        reply.extend_from_slice(&proof);
        reply.extend_from_slice(&self.limiter.cookie(cx.now, from));
        self.push_datagram(from, reply);
    }

    pub(super) fn record_reply(&mut self, cx: &mut Cx<'_>, from: SocketAddr, bytes: &[u8], out: &mut Outbox<Out>) {
        let Some((_, rest)) = bytes.split_at_checked(2) else { return self.drops.count(DropReason::Malformed) };
        let mut r = Reader(rest);
        let (Ok(token), Ok(record), Ok(proof), Ok(cookie)) =
            (r.take::<16>(), r.slice(RECORD_LEN), r.take::<SIGNATURE_LEN>(), r.take::<16>())
        else {
            return self.drops.count(DropReason::Malformed);
        };
        let Some(asked) = self.tokens.get(&token).copied() else {
            return self.drops.count(DropReason::UnknownSession);
        };
        let Ok(record) = NodeRecord::decode(record) else { return self.drops.count(DropReason::Signature) };
        if proof != NO_PROOF {
            if !is_proof(&record, &token, &proof) {
                return self.drops.count(DropReason::Signature);
            }
            self.expiry.proven(&record, cx.now, cx.wall);
        }
        if self.expiry.refuses(&record, cx.now, cx.wall) {
            return self.drops.count(DropReason::Stale);
        }
        self.strangers.answered(from);
        let id = record.id();
        match asked {
            Asked::Refresh(peer) => {
                self.tokens.remove(&token);
                if id == peer {
                    self.remember(peer, Some(record.clone()), &[]);
                    if let Some(connection) =
                        self.links.get_mut(&peer).filter(|connection| connection.record.seq < record.seq)
                    {
                        connection.record = record.clone();
                        out.push(Out::Fact(Fact::RecordRenewed { peer, record }));
                    }
                }
            }
            Asked::Proof => {
                self.tokens.remove(&token);
            }
            Asked::Attempt(key @ Target::Addr(_)) => self.resolved(cx, key, from, record, cookie, out),
            Asked::Attempt(key @ Target::Peer(peer)) => {
                let Some(attempt) = self.attempts.get_mut(&key) else { return };
                if id != peer {
                    attempt.wrong_node = true;
                    return;
                }
                if attempt.inits.is_empty() || attempt.record.as_ref().is_none_or(|old| record.seq > old.seq) {
                    attempt.record = Some(record.clone());
                    attempt.cookie = Some((from, cookie, cx.now));
                    self.remember(peer, Some(record.clone()), &[]);
                    self.send_init(cx, peer, &record, from);
                }
            }
        }
    }

    /// A node answered at a bare address.
    fn resolved(
        &mut self,
        cx: &mut Cx<'_>,
        key: Target,
        from: SocketAddr,
        record: NodeRecord,
        cookie: Mac,
        out: &mut Outbox<Out>,
    ) {
        let Some(attempt) = self.drop_attempt(key) else { return };
        let peer = record.id();
        let linked = self.links.contains_key(&peer);
        self.remember(peer, Some(record.clone()), &[from]);
        for (addr, expect) in attempt.connects {
            if expect.is_some_and(|id| id != peer) || peer == self.me {
                out.push(Out::Unreachable { addr, expect, wrong_node: true });
                continue;
            }
            if self.shuns(cx.now, peer) {
                out.push(Out::Unreachable { addr, expect, wrong_node: false });
                continue;
            }
            out.push(Out::Resolved { addr, peer });
            if linked {
                continue;
            }
            let peer_key = Target::Peer(peer);
            let fresh = !self.attempts.contains_key(&peer_key);
            self.attempt(cx, peer_key, Some(record.clone()), &[from], Some((addr, expect)), out);
            if let Some(attempt) = self.attempts.get_mut(&peer_key).filter(|_| fresh) {
                attempt.cookie = Some((from, cookie, cx.now));
            }
        }
    }

    /// Asks a linked node for its record: it announced a newer one than the one known.
    pub(super) fn refresh(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let Some(path) = self.links.get(&peer).map(|connection| connection.path) else { return };
        self.ask(cx, path, Asked::Refresh(peer));
    }

    /// Asks the sender of an Init for the proof that its record is current: with no more bytes than the Init had.
    pub(super) fn ask_for_proof(&mut self, cx: &mut Cx<'_>, from: SocketAddr) {
        if self.limiter.may_reply(cx.now, from, RECORD_REQUEST) {
            self.ask(cx, from, Asked::Proof);
        }
    }

    /// Asks for a record outside an attempt. Of too many questions under way the older ones count no more.
    fn ask(&mut self, cx: &mut Cx<'_>, to: SocketAddr, asked: Asked) {
        let kind = core::mem::discriminant(&asked);
        let is_alike = |a: &Asked| core::mem::discriminant(a) == kind;
        if self.tokens.values().filter(|a| is_alike(a)).count() >= MAX_ASKED {
            self.tokens.retain(|_, a| !is_alike(a));
        }
        let token: [u8; 16] = cx.rng.bytes();
        self.tokens.insert(token, asked);
        let request = self.record_request_packet(&token);
        self.push_datagram(to, request);
    }
}
