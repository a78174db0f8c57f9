//! End-to-end sessions of two devices (docs/design/sessions.md): PQXDH, the Double Ratchet, KEM epochs.
//!
//! Delivery hands over what it would send, and gets what the other side sealed. A message is sealed once, stored in the
//! batch that stores the ratchet, and repeated byte for byte until delivery forgets it; only a new session seals it
//! anew. What does not open changes nothing.

mod bundle;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub(crate) mod contract;
mod epochs;
mod first;
mod firsts;
mod kept;
mod keys;
mod pair;
mod peer;
mod peers;
mod ratchet;
mod trust;
pub(crate) mod wire;

pub(crate) use epochs::Subject;

use crate::collections::{DeadlineQueue, OrderedSet, Rate, RateLimit, ShortId, short};
use alloc::vec::Vec;

use crate::crypto::kdf::Key;
use crate::fact::Fact;
use crate::id::NodeId;
use crate::machine::{Cx, Machine, Outbox, Setup};
use crate::session::bundle::{Binding, Bundle};
use crate::session::first::{initiate, respond};
use crate::session::firsts::{Firsts, Known};
use crate::session::keys::Keys;
use crate::session::pair::{PREFIX_LEN, Session, Unopened};
use crate::session::peer::{Peer, Wish};
use crate::session::peers::Peers;
use crate::session::trust::TrustTable;
use crate::session::wire::{BUNDLE_LEN, First, Message, Sealed, Tag};
use crate::stats::{DropReason, Drops, Stats};
use crate::store::{Record, Table};
use crate::time::{Duration, Instant, WallTime};
use crate::wire::{Malformed, Priority};

/// The session identity key of this device.
const KEYS: Table = Table::hot(40);
/// Secrets of bundles, under their ids.
const PREKEYS: Table = Table::hot(41);
/// Sessions: peer, tag and kind of row (docs/spec/store.md). One that is lost is repaired.
const SESSIONS: Table = Table::expendable(42);
/// Messages that are sealed and not acknowledged, under peer and number of the outbox.
const SEALED: Table = Table::expendable(43);
/// First messages that were accepted.
const FIRSTS: Table = Table::hot(44);

/// Sessions that others began and that show no answer yet, in all.
const MAX_UNCONFIRMED: usize = 64;
/// Bundles given in a second, to all: 1,367 bytes each.
const BUNDLES: u32 = 50;
/// A bundle is taken if its id is at most so much below the highest seen of its device: caches may be a month old.
const BUNDLES_BACK: u32 = 4;
/// Kept keys and prekeys are looked at once a day.
const TEND_EVERY: Duration = Duration::from_secs(86_400);

#[derive(Debug)]
pub(crate) enum In {
    /// Send this so that only `to` reads it. With `order` it is stored and repeated as it is until it is forgotten;
    /// without, it is sealed each time.
    Seal {
        to: NodeId,
        order: Option<u64>,
        subject: Subject,
        priority: Priority,
        body: Vec<u8>,
    },
    /// The message under this number is not sent any more.
    Forget {
        to: NodeId,
        order: u64,
    },
    /// What this node sealed and this one could not open is not known otherwise: the session is of no use.
    Lost(NodeId),
    Message {
        from: NodeId,
        body: Vec<u8>,
    },
    /// What was sealed and opened in this step is all here.
    SaveDue,
    /// Only this session identity key of the node is verified; none: all are as good. `held`: nothing that the user says is
    /// sealed for it. `compared`: the user did so now.
    Trust {
        node: NodeId,
        identity: Option<Key>,
        held: bool,
        compared: bool,
    },
    /// Ask this linked node for its keys.
    Meet(NodeId),
    /// This device was removed from its account: the sessions with it and what is sealed for it go.
    Wipe(NodeId),
    /// Send this so that only `to` reads it, in a session with this identity key and in no other. It is not repeated:
    /// `Out::Ready` says when there is such a session.
    SealFor {
        to: NodeId,
        identity: Key,
        body: Vec<u8>,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Out {
    Send {
        to: NodeId,
        priority: Priority,
        body: Vec<u8>,
    },
    /// What a node sealed for this one. The digest names the message, should it come again.
    Opened {
        from: NodeId,
        digest: ShortId,
        body: Vec<u8>,
    },
    /// The same of what concerns a history.
    History {
        from: NodeId,
        body: Vec<u8>,
    },
    /// The same of what concerns a group.
    Group {
        from: NodeId,
        body: Vec<u8>,
    },
    /// The same of what concerns the devices of an account, with the session identity key of its sender.
    Device {
        from: NodeId,
        identity: Option<Key>,
        body: Vec<u8>,
    },
    /// The same of what own devices share.
    Register {
        from: NodeId,
        body: Vec<u8>,
    },
    /// A message that does not open. If its digest is not known, `In::Lost` follows.
    Unopened {
        from: NodeId,
        digest: ShortId,
    },
    /// There is a session to send in, or a new one: what waits for this node may be sent.
    Ready(NodeId),
    /// Comes back as `In::SaveDue`, after the inputs that wait already: one row of a session is written for many
    /// messages.
    SaveDue,
    /// The keys that a device proved to hold; those of this one at its start.
    Keys {
        device: Key,
        identity: Key,
    },
}

pub(crate) struct Sessions {
    keys: Keys,
    peers: Peers,
    firsts: Firsts,
    /// Peers with something to store.
    unsaved: OrderedSet<NodeId>,
    /// Sealed in this step: leaves when it is stored.
    outgoing: Vec<(NodeId, Priority, Vec<u8>)>,
    /// What this step stores with the sessions.
    rows: Outbox<Out>,
    /// Linked peers that a session is wanted with and that have not answered: when to try again.
    retries: DeadlineQueue<NodeId>,
    answers: RateLimit,
    trust: TrustTable,
    tend_at: Instant,
    max_peers: usize,
    drops: Drops,
    sealed: u64,
    opened: u64,
    begun: u64,
}

impl Sessions {
    fn restore(&mut self, records: &[Record], out: &mut Outbox<Out>) -> Result<(), Malformed> {
        let sessions: Vec<&Record> = records.iter().filter(|r| r.table == SESSIONS).collect();
        for rows in sessions.chunk_by(|a, b| a.key.get(..PREFIX_LEN) == b.key.get(..PREFIX_LEN)) {
            let rows: Vec<Record> = rows.iter().copied().cloned().collect();
            let (peer, _) = rows.first().and_then(|r| r.key.split_first_chunk()).ok_or(Malformed)?;
            let peer = self.peers.make(NodeId(*peer)).ok_or(Malformed)?;
            match Session::read(&rows) {
                Ok(session) => peer.sessions.push(session),
                // A row of it is damaged: the host left it out. Its other side notices, and a new session follows.
                Err(Malformed) => rows.into_iter().for_each(|row| out.delete(row.table, row.key)),
            }
        }
        for Record { key, value, .. } in records.iter().filter(|r| r.table == SEALED) {
            let (peer, order) = key.split_first_chunk().ok_or(Malformed)?;
            let order = u64::from_be_bytes(order.try_into().map_err(|_| Malformed)?);
            let (tag, bytes) = value.split_first_chunk().ok_or(Malformed)?;
            let peer = self.peers.make(NodeId(*peer)).ok_or(Malformed)?;
            peer.restore(order, *tag, bytes.to_vec());
        }
        records.iter().filter(|r| r.table == FIRSTS).try_for_each(|r| self.firsts.restore(r))
    }

    /// The peer, if there is space for one more or one that nothing waits for makes place.
    fn peer(&mut self, id: NodeId, out: &mut Outbox<Out>) -> Option<&mut Peer> {
        if !self.peers.has(id) && self.peers.len() >= self.max_peers {
            let idle = self.peers.iter().filter(|(_, p)| !p.is_needed());
            let (oldest, _) = idle.min_by_key(|(_, p)| p.used())?;
            let gone = self.peers.remove(oldest)?;
            gone.sessions.iter().for_each(|s| s.delete(&oldest.0, out));
        }
        self.peers.make(id)
    }

    fn save_later(&mut self, peer: NodeId, out: &mut Outbox<Out>) {
        if self.unsaved.is_empty() {
            out.push(Out::SaveDue);
        }
        self.unsaved.insert(peer);
    }

    /// Writes all that this step changed, and lets go of what it sealed once that is stored.
    fn save(&mut self, out: &mut Outbox<Out>) {
        while let Some(id) = self.unsaved.pop_first() {
            if let Some(peer) = self.peers.get_mut(id) {
                peer.save(id, out);
            }
        }
        out.append(&mut self.rows);
        for (to, priority, body) in core::mem::take(&mut self.outgoing) {
            out.after_commit(Out::Send { to, priority, body });
        }
    }

    fn seal(
        &mut self,
        cx: &mut Cx<'_>,
        to: NodeId,
        order: Option<u64>,
        priority: Priority,
        body: (Subject, &[u8]),
        out: &mut Outbox<Out>,
    ) {
        let is_held = self.trust.holds(to) && (order.is_some() || body.0 == Subject::History);
        let Some(peer) = self.peer(to, out) else { return self.drops.count(DropReason::Queue) };
        if is_held {
            // It waits until the user looked at the change of key; acknowledgements go on.
            peer.waits = true;
            return;
        }
        if let Some(sealed) = order.and_then(|order| peer.sealed(order)) {
            // On its way to the disk perhaps, with the ratchet that sealed it.
            return out.after_commit(Out::Send { to, priority, body: sealed.to_vec() });
        }
        let spent = peer.current().is_some_and(|s| s.is_spent());
        let sealed = peer.current().and_then(|s| Some((s.mine, s.seal(body, cx)?)));
        let asks = sealed.is_none() || spent;
        if asks {
            let wish = if spent { Wish::Repair } else { Wish::Start };
            ask(peer, to, wish, cx, out);
        }
        match &sealed {
            Some((tag, bytes)) => order.into_iter().for_each(|order| peer.insert(order, *tag, bytes.clone())),
            // An acknowledgement is given again when it is asked for.
            None => peer.waits |= order.is_some() || body.0 != Subject::Message,
        }
        if asks {
            self.retry_later(to, cx.now);
        }
        let Some((_, bytes)) = sealed else { return };
        self.sealed = self.sealed.saturating_add(1);
        self.outgoing.push((to, priority, bytes));
        self.save_later(to, out);
    }

    fn wipe(&mut self, node: NodeId, out: &mut Outbox<Out>) {
        self.retries.cancel(node);
        let Some(mut peer) = self.peers.remove(node) else { return };
        self.unsaved.remove(&node);
        self.outgoing.retain(|(to, ..)| *to != node);
        peer.wipe(node, out);
    }

    /// Seals in a session with this identity key. If the one in use is with another key, or it is not known which, the next
    /// one shows.
    fn seal_for(&mut self, cx: &mut Cx<'_>, to: NodeId, identity: &Key, body: &[u8], out: &mut Outbox<Out>) {
        let Some(peer) = self.peer(to, out) else { return self.drops.count(DropReason::Queue) };
        match peer.current().map(|s| s.with) {
            Some(Some(with)) if with == *identity => {
                self.seal(cx, to, None, Priority::High, (Subject::Device, body), out);
            }
            Some(Some(_)) => self.drops.count(DropReason::Signature),
            Some(None) => self.repair(cx, to, out),
            None => {
                peer.waits = true;
                ask(peer, to, Wish::Start, cx, out);
                self.retry_later(to, cx.now);
            }
        }
    }

    /// Begins a session with the owner of a bundle that was asked for, or that came because the one before is over.
    fn bundle(&mut self, cx: &mut Cx<'_>, from: NodeId, bytes: &[u8; BUNDLE_LEN], out: &mut Outbox<Out>) {
        let Some(peer) = self.peers.get_mut(from) else { return self.drops.count(DropReason::Message) };
        let unanswered = peer.unanswered().map(|s| s.prekey());
        let meets = core::mem::take(&mut peer.meets);
        if peer.wish == Wish::Nothing && unanswered.is_none() && !meets {
            return self.drops.count(DropReason::Message);
        }
        let least = peer.bundle().saturating_sub(BUNDLES_BACK);
        let Some(bundle) = Bundle::read(bytes, from).filter(|b| b.id >= least) else {
            return self.drops.count(DropReason::Signature);
        };
        self.trust.saw(from, (&bundle.device, &bundle.identity), out);
        if meets && peer.wish == Wish::Nothing && unanswered.is_none() {
            return;
        }
        if unanswered == Some(bundle.prekey) {
            // What was begun with it is on its way. Its id would not tell: a device whose store was restored gives one again.
            peer.wish = Wish::Nothing;
            return;
        }
        let repairs = peer.wish == Wish::Repair || unanswered.is_some();
        if peer.wish == Wish::Nothing && !peer.may_repair(cx.now) {
            return self.drops.count(DropReason::Rate);
        }
        let Some(mut session) = initiate(&self.keys, &bundle, cx.rng).and_then(|(agreement, opening)| {
            let devices = (&self.keys.device(), &bundle.device);
            Session::initiate(&agreement, devices, (bundle.id, bundle.prekey), opening, cx)
        }) else {
            return self.drops.count(DropReason::Message);
        };
        if peer.sessions.iter().any(|s| s.mine == session.mine) {
            return self.drops.count(DropReason::Message);
        }
        session.with = Some(bundle.identity);
        if repairs {
            peer.retire(|_| true);
        }
        let waits = peer.waits;
        peer.forget_question();
        peer.add(from, session, out);
        // What was sealed in a session that is retired now may not have been opened, or its answer cannot be.
        let waits = waits || peer.is_to_send();
        self.begun = self.begun.saturating_add(1);
        if repairs {
            self.greet(cx, from, out);
        }
        if waits {
            out.push(Out::Ready(from));
        }
        self.save_later(from, out);
    }

    /// Sends an empty message: it opens a session, or answers one.
    fn greet(&mut self, cx: &mut Cx<'_>, to: NodeId, out: &mut Outbox<Out>) {
        self.seal(cx, to, None, Priority::High, (Subject::Message, &[]), out);
    }

    fn first(&mut self, cx: &mut Cx<'_>, from: NodeId, first: &First<'_>, sealed: &Sealed<'_>, out: &mut Outbox<Out>) {
        match self.firsts.look(from, first) {
            Known::Repeated => return self.sealed(cx, from, sealed, true, out),
            Known::Replayed => return self.drops.count(DropReason::Replay),
            Known::Full => return self.drops.count(DropReason::Rate),
            Known::New => {}
        }
        let Some(prekeys) = self.keys.prekeys(first.bundle) else {
            self.drops.count(DropReason::Stale);
            return self.give_bundle(cx, from, out);
        };
        if self.peers.get_mut(from).is_some_and(|p| p.is_paused(cx.now)) {
            return self.drops.count(DropReason::Rate);
        }
        let Some(sender) = Binding::read(first.binding, from) else {
            return self.drops.count(DropReason::Signature);
        };
        let opened = respond(&self.keys, prekeys, first, &sender).and_then(|agreement| {
            let devices = (&self.keys.device(), &sender.device);
            let mut session = Session::respond(&agreement, devices, (first.bundle, prekeys.prekey()), cx.wall);
            let body = if session.mine == sealed.header.tag { session.open(sealed, cx).ok()? } else { return None };
            Some((session, body))
        });
        if opened.is_some() {
            self.trust.saw(from, (&sender.device, &sender.identity), out);
        }
        let Some(peer) = self.peer(from, out) else { return self.drops.count(DropReason::Rate) };
        let opened = opened.filter(|(session, _)| peer.sessions.iter().all(|s| s.mine != session.mine));
        let Some((mut session, body)) = opened else {
            peer.failed(cx.now);
            self.drops.count(DropReason::Decrypt);
            // Perhaps it is for the bundle that had this id before the store was restored.
            return self.give_bundle(cx, from, out);
        };
        session.with = Some(sender.identity);
        // A sender that has a session begins another because that one does not work any more. Two that begin at once
        // keep both, but only once: a second session of the other side shows that it lost this one's.
        let again = peer.sessions.iter().any(|s| !s.initiator && !s.retired);
        peer.retire(|s| s.confirmed || again);
        let waited = peer.waits;
        peer.forget_question();
        peer.add(from, session, out);
        self.retries.cancel(from);
        let Some(peer) = self.peers.get_mut(from) else { return };
        let waits = waited || peer.is_to_send();
        let used_up = self.firsts.insert(from, first, &mut self.rows);
        self.limit_unconfirmed(out);
        if used_up {
            self.tend(cx, true, out);
        }
        self.begun = self.begun.saturating_add(1);
        self.save_later(from, out);
        if waits {
            out.push(Out::Ready(from));
        }
        if body.1.is_empty() {
            return self.greet(cx, from, out);
        }
        self.opened(from, sealed, body, out);
    }

    /// The oldest session that shows no answer makes place.
    fn limit_unconfirmed(&mut self, out: &mut Outbox<Out>) {
        let mut count: usize = 0;
        let mut oldest: Option<(WallTime, NodeId, Tag)> = None;
        for (id, peer) in self.peers.iter() {
            for session in peer.sessions.iter().filter(|s| !s.initiator && !s.confirmed) {
                count = count.saturating_add(1);
                if oldest.is_none_or(|(used, ..)| session.used < used) {
                    oldest = Some((session.used, id, session.mine));
                }
            }
        }
        if let Some((_, id, tag)) = oldest.filter(|_| count > MAX_UNCONFIRMED)
            && let Some(peer) = self.peers.get_mut(id)
        {
            peer.remove(id, tag, out);
        }
    }

    fn sealed(&mut self, cx: &mut Cx<'_>, from: NodeId, sealed: &Sealed<'_>, in_first: bool, out: &mut Outbox<Out>) {
        let digest = digest(sealed);
        let Some(peer) = self.peers.get_mut(from) else {
            self.drops.count(DropReason::UnknownSession);
            return out.push(Out::Unopened { from, digest });
        };
        if peer.is_paused(cx.now) {
            return self.drops.count(DropReason::Rate);
        }
        let top = peer.top();
        let found = peer.sessions.iter_mut().find(|s| s.mine == sealed.header.tag);
        let result = found.map(|session| {
            let answered = session.initiator && !session.confirmed;
            // The sender repeats its hello: what answered the first time may be lost.
            let hello = in_first && !session.retired;
            let body = session.open(sealed, cx)?;
            session.confirmed |= !in_first;
            if !session.retired && session.rank.saturating_add(1) < top {
                session.rank = top;
            }
            Ok((body, answered, hello))
        });
        let reason = match result {
            Some(Ok((body, confirmed, hello))) => {
                self.save_later(from, out);
                if confirmed {
                    self.retries.cancel(from);
                }
                if confirmed && self.peers.get_mut(from).is_some_and(|p| p.is_to_send()) {
                    out.push(Out::Ready(from));
                }
                if hello && body.1.is_empty() {
                    return self.greet(cx, from, out);
                }
                return self.opened(from, sealed, body, out);
            }
            Some(Err(Unopened::Old)) => DropReason::Duplicate,
            Some(Err(Unopened::Failed)) => {
                peer.failed(cx.now);
                DropReason::Decrypt
            }
            Some(Err(Unopened::Broken)) => DropReason::Message,
            None => DropReason::UnknownSession,
        };
        self.drops.count(reason);
        out.push(Out::Unopened { from, digest });
    }

    fn opened(
        &mut self,
        from: NodeId,
        sealed: &Sealed<'_>,
        (subject, body): (Subject, Vec<u8>),
        out: &mut Outbox<Out>,
    ) {
        self.opened = self.opened.saturating_add(1);
        let mut sessions = self.peers.get_mut(from).into_iter().flat_map(|p| p.sessions.iter());
        let identity = sessions.find(|s| s.mine == sealed.header.tag).and_then(|s| s.with);
        match subject {
            _ if body.is_empty() => {}
            Subject::Message => out.push(Out::Opened { from, digest: digest(sealed), body }),
            Subject::History => out.push(Out::History { from, body }),
            Subject::Group => out.push(Out::Group { from, body }),
            Subject::Device => out.push(Out::Device { from, identity, body }),
            Subject::Register => out.push(Out::Register { from, body }),
        }
    }

    /// Begins a new session, or says hello once more in the one that is not answered yet: a repeat takes no place
    /// among the first messages of its receiver.
    fn repair(&mut self, cx: &mut Cx<'_>, with: NodeId, out: &mut Outbox<Out>) {
        let Some(peer) = self.peer(with, out) else { return self.drops.count(DropReason::Queue) };
        if !peer.may_repair(cx.now) {
            self.drops.count(DropReason::Rate);
        } else if let Some(session) = peer.unanswered() {
            // In that one: an older session that the other side began may be the current one.
            let hello = session.seal((Subject::Message, &[]), cx);
            self.outgoing.extend(hello.map(|hello| (with, Priority::High, hello)));
            self.sealed = self.sealed.saturating_add(1);
            self.save_later(with, out);
        } else {
            ask(peer, with, Wish::Repair, cx, out);
        }
        self.retry_later(with, cx.now);
    }

    /// What is wanted of this peer may be lost on its way or refused there, and what its rate refused here is not
    /// forgotten: the other side may have no reason to send anything that would bring it up again.
    fn retry_later(&mut self, with: NodeId, now: Instant) {
        if self.retries.get(with).is_none()
            && let Some(peer) = self.peers.get_mut(with)
        {
            self.retries.arm(with, peer.next_try(now));
        }
    }

    fn retry(&mut self, cx: &mut Cx<'_>, with: NodeId, out: &mut Outbox<Out>) {
        let Some(peer) = self.peers.get_mut(with) else { return };
        if peer.wish == Wish::Start && peer.may_repair(cx.now) {
            ask(peer, with, Wish::Start, cx, out);
            return self.retry_later(with, cx.now);
        }
        self.repair(cx, with, out);
    }

    fn give_bundle(&mut self, cx: &mut Cx<'_>, to: NodeId, out: &mut Outbox<Out>) {
        let may = match self.peer(to, out) {
            Some(peer) => peer.answers.take(cx.now),
            None => true,
        };
        if !may || !self.answers.take(cx.now) {
            return self.drops.count(DropReason::Rate);
        }
        if let Ok(bundle) = self.keys.bundle().try_into() {
            let body = Message::Bundle(bundle).encode();
            // The prekeys may be on their way to the disk.
            out.after_commit(Out::Send { to, priority: Priority::High, body });
        }
    }

    fn tend(&mut self, cx: &mut Cx<'_>, used_up: bool, out: &mut Outbox<Out>) {
        for bundle in self.keys.tend(cx, used_up, &mut self.rows) {
            self.firsts.forget(bundle, &mut self.rows);
        }
        for (id, peer) in self.peers.iter_mut() {
            peer.sessions.iter_mut().for_each(|s| s.tend(cx.wall));
            self.unsaved.insert(id);
        }
        self.tend_at = cx.now + self.keys.due_in(cx.wall).min(TEND_EVERY);
        self.save(out);
    }
}

/// Asks for a bundle, unless the answer to such a question may be on its way.
fn ask(peer: &mut Peer, to: NodeId, wish: Wish, cx: &Cx<'_>, out: &mut Outbox<Out>) {
    peer.wish = peer.wish.max(wish);
    if peer.asks(cx.now) {
        out.push(Out::Send { to, priority: Priority::High, body: Message::Ask.encode() });
    }
}

/// Names a ratchet message: its nonce is random, so no two have one.
fn digest(sealed: &Sealed<'_>) -> ShortId {
    short(blake3::hash(sealed.bytes).as_bytes())
}

impl Machine for Sessions {
    const NAME: &'static str = "session";
    const TABLES: &'static [(&'static str, Table)] =
        &[("keys", KEYS), ("prekeys", PREKEYS), ("sessions", SESSIONS), ("sealed", SEALED), ("firsts", FIRSTS)];
    type In = In;
    type Out = Out;

    fn open(setup: Setup<'_>, records: Vec<Record>, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Result<Self, Malformed> {
        let keys = Keys::load(setup.identity, &records, cx, out)?;
        let mut opened = Self {
            tend_at: cx.now + keys.due_in(cx.wall).min(TEND_EVERY),
            keys,
            peers: Peers::default(),
            firsts: Firsts::default(),
            unsaved: OrderedSet::new(),
            outgoing: Vec::new(),
            rows: Outbox::new(),
            retries: DeadlineQueue::new(),
            answers: RateLimit::new(Rate::per_second(BUNDLES)),
            trust: TrustTable::default(),
            max_peers: setup.config.limits.conversations,
            drops: Drops::default(),
            sealed: 0,
            opened: 0,
            begun: 0,
        };
        opened.restore(&records, out)?;
        out.push(Out::Keys { device: opened.keys.device(), identity: opened.keys.identity.public });
        Ok(opened)
    }

    fn fact(&mut self, _cx: &mut Cx<'_>, fact: &Fact, _out: &mut Outbox<Out>) {
        // A question or its answer may be lost. What waits is sent again when a link opens, and asks again.
        if let Fact::LinkDown { peer: id, .. } = *fact
            && let Some(peer) = self.peers.get_mut(id)
        {
            peer.forget_question();
            if peer.sessions.is_empty() && !peer.is_needed() {
                self.peers.remove(id);
            }
            self.retries.cancel(id);
        }
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: In, out: &mut Outbox<Out>) {
        match input {
            In::Seal { to, order, subject, priority, body } => {
                self.seal(cx, to, order, priority, (subject, &body), out);
            }
            In::Forget { to, order } => {
                if let Some(peer) = self.peers.get_mut(to) {
                    peer.forget(to, order, out);
                }
            }
            In::Lost(from) => self.repair(cx, from, out),
            In::Message { from, body } => match Message::decode(&body) {
                Ok(Message::First(first, sealed)) => self.first(cx, from, &first, &sealed, out),
                Ok(Message::Sealed(sealed)) => self.sealed(cx, from, &sealed, false, out),
                Ok(Message::Ask) => self.give_bundle(cx, from, out),
                Ok(Message::Bundle(bundle)) => self.bundle(cx, from, bundle, out),
                Err(Malformed) => self.drops.count(DropReason::Message),
            },
            In::SaveDue => self.save(out),
            In::Trust { node, identity, held, compared } => {
                self.set_trust(cx, node, identity, (held, compared), out);
            }
            In::Meet(node) => self.meet(cx, node, out),
            In::Wipe(node) => self.wipe(node, out),
            In::SealFor { to, identity, body } => self.seal_for(cx, to, &identity, &body, out),
        }
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.tend_at <= cx.now {
            self.tend(cx, false, out);
        }
        while let Some(with) = self.retries.pop_due(cx.now) {
            self.retry(cx, with, out);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        Some(self.retries.next().map_or(self.tend_at, |at| at.min(self.tend_at)))
    }

    fn footprint(&self) -> usize {
        let held = self.peers.iter().fold(self.peers.len(), |n, (_, p)| n.saturating_add(p.len()));
        held.saturating_add(self.firsts.len())
            .saturating_add(self.keys.len())
            .saturating_add(self.outgoing.len())
            .saturating_add(self.retries.len())
            .saturating_add(self.trust.len())
    }

    fn count(&self, stats: &mut Stats) {
        stats.drops.add(&self.drops);
        stats.sessions.sealed = self.sealed;
        stats.sessions.opened = self.opened;
        stats.sessions.begun = self.begun;
    }

    #[cfg(any(test, debug_assertions))]
    fn check(&self) -> Result<(), &'static str> {
        self.keys.check()?;
        self.trust.check()?;
        self.peers.iter().try_for_each(|(_, peer)| peer.check())
    }
}

#[cfg(test)]
mod tests;
