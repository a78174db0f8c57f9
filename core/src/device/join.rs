//! How a device comes into an account: with a ticket, or with the recovery code.

use crate::crypto::kdf::Key;
use crate::device::ticket::DeviceTicket;
use crate::device::wire::{Message, Private};
use crate::device::{Devices, Out};
use crate::id::NodeId;
use crate::identity::{Account, AccountKeys, DeviceCert, Recovery};
use crate::machine::{Cx, Outbox};
use crate::stats::DropReason;
use crate::time::{Duration, Instant};
use crate::wire::devices::Chain;
use crate::wire::{Blob, encode};
use subtle::ConstantTimeEq;

/// A ticket is good for this long: 10 min, to find the other device and read the ticket there.
pub(super) const WITHIN: Duration = Duration::from_secs(600);
/// What may be lost on the way is said again after this: 2 s, as a bundle is asked for (docs/design/sessions.md §2).
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// A ticket that this device shows.
#[derive(Debug)]
pub(super) struct Invited {
    pub(super) secret: [u8; 16],
    pub(super) until: Instant,
    /// The device that used it: the answer may be lost, and is given again to this device alone.
    used_by: Option<NodeId>,
}

impl Invited {
    pub(super) fn new(secret: [u8; 16], now: Instant) -> Self {
        Self { secret, until: now + WITHIN, used_by: None }
    }
}

/// A ticket that this device has read.
#[derive(Debug)]
pub(super) struct Joining {
    with: NodeId,
    identity: Key,
    secret: [u8; 16],
    /// The account that it asks to be taken into.
    keys: Option<AccountKeys>,
    until: Instant,
    again: Instant,
}

impl Joining {
    pub(super) fn new(ticket: &DeviceTicket, now: Instant) -> Self {
        let (with, identity, secret) = (ticket.ticket.node, ticket.identity, ticket.secret);
        Self { with, identity, secret, keys: None, until: now + WITHIN, again: now + RETRY_INTERVAL }
    }

    pub(super) fn with(&self) -> NodeId {
        self.with
    }

    pub(super) fn deadline(&self) -> Instant {
        self.until.min(self.again)
    }
}

impl Devices {
    fn whisper(&self, to: NodeId, identity: Key, message: &Private, out: &mut Outbox<Out>) {
        out.push(Out::Seal { to, identity, body: encode(message) });
    }

    /// Says what is due to the device whose ticket this one read.
    pub(super) fn greet(&mut self, cx: &Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        let Some(joining) = self.joining.as_mut().filter(|j| j.with == peer) else { return };
        joining.again = cx.now + RETRY_INTERVAL;
        let (identity, secret, keys) = (joining.identity, joining.secret, joining.keys);
        if !self.linked.contains_key(&peer) {
            return;
        }
        let message = match keys {
            None => Private::Hello { secret },
            Some(keys) => {
                let cert = self.identity.ask_cert(keys, self.identity.name(), cx.wall);
                Private::Join { secret, cert }
            }
        };
        self.whisper(peer, identity, &message, out);
    }

    pub(super) fn private(
        &mut self,
        cx: &Cx<'_>,
        (from, identity): (NodeId, Option<Key>),
        message: Private,
        out: &mut Outbox<Out>,
    ) {
        // Which key the other side has is not stored with a session: after a restart a new one shows it.
        let Some(identity) = identity else {
            self.drops.count(DropReason::Message);
            return out.push(Out::Unproven(from));
        };
        match message {
            Private::Hello { secret } => {
                let keys = self.identity.account().keys;
                let answer = match self.invitation(cx, from, &secret) {
                    true => Private::Account { keys },
                    false => Private::Refused,
                };
                self.whisper(from, identity, &answer, out);
            }
            Private::Join { secret, cert } => {
                let answer = match self.invitation(cx, from, &secret) {
                    true => self.take_in(cx, from, cert, out),
                    false => Private::Refused,
                };
                self.whisper(from, identity, &answer, out);
            }
            Private::Account { keys } => {
                let Some(joining) = self.joining.as_mut().filter(|j| j.with == from && j.identity == identity) else {
                    return self.drops.count(DropReason::Message);
                };
                joining.keys = Some(keys);
                if !self.may_move_to(keys) {
                    return self.stop_joining(out);
                }
                self.greet(cx, from, out);
            }
            Private::Welcome { secret, chain } => self.welcomed((from, identity), &secret, &chain.0, out),
            Private::Refused => {
                if self.joining.as_ref().is_some_and(|j| j.with == from && j.identity == identity) {
                    self.stop_joining(out);
                }
            }
        }
    }

    /// Whether a device has read the ticket that this one shows.
    fn invitation(&mut self, cx: &Cx<'_>, from: NodeId, secret: &[u8; 16]) -> bool {
        let Some(invited) = self.invited.as_ref().filter(|i| cx.now < i.until) else { return false };
        let is_right: bool = invited.secret.ct_eq(secret).into();
        is_right && invited.used_by.is_none_or(|by| by == from)
    }

    /// Adds a device that has read the ticket.
    fn take_in(&mut self, cx: &Cx<'_>, from: NodeId, cert: DeviceCert, out: &mut Outbox<Out>) -> Private {
        if crate::identity::node_id(&cert.device) != from {
            return Private::Refused;
        }
        let account = self.identity.account_id();
        if !self.is_own(from) {
            // It was added once and was taken out again: a ticket adds one device, once.
            if self.invited.as_ref().is_some_and(|i| i.used_by == Some(from)) {
                return Private::Refused;
            }
            let Some(Ok(next)) = self.lists.get(account).map(|c| c.add(&self.identity, cert, cx.wall)) else {
                return Private::Refused;
            };
            self.take(next, out);
        }
        if let Some(invited) = self.invited.as_mut() {
            invited.used_by = Some(from);
        }
        match self.lists.get(account) {
            Some(chain) if chain.has(from) => {
                Private::Welcome { secret: self.identity.account().secret(), chain: Blob(chain.encode()) }
            }
            Some(_) | None => Private::Refused,
        }
    }

    /// The other device took this one in.
    fn welcomed(&mut self, by: (NodeId, Key), secret: &[u8; 32], chain: &[u8], out: &mut Outbox<Out>) {
        let Some(keys) = self.joining.as_ref().filter(|j| (j.with, j.identity) == by).and_then(|j| j.keys) else {
            return self.drops.count(DropReason::Message);
        };
        let chain = Chain::decode(chain, None).ok().filter(|c| *c.keys() == keys && c.has(self.identity.node_id()));
        let (Some(chain), Some(account)) = (chain, Account::new(secret, keys)) else {
            return self.drops.count(DropReason::Message);
        };
        self.stop_joining(out);
        self.move_to(account, chain, out);
    }

    /// Whether this device may be of the account with these keys: of its own one always, of another as
    /// [`may_leave`](Self::may_leave) says. A private conversation may have begun since that was asked for.
    fn may_move_to(&self, keys: AccountKeys) -> bool {
        keys.id() == self.identity.account_id() || self.may_leave().is_ok()
    }

    /// This device is of this account from now on. Its own one, which had no other device, is over.
    fn move_to(&mut self, account: Account, chain: Chain, out: &mut Outbox<Out>) {
        if !self.may_move_to(account.keys) {
            return self.drops.count(DropReason::Message);
        }
        let old = self.identity.account_id();
        let name = self.identity.name().into();
        if old != account.keys.id() {
            if let Some(chain) = self.lists.get(old) {
                out.push(Out::Devices { person: chain.keys().person(), devices: alloc::vec::Vec::new() });
            }
            self.lists.retain(|c| c.keys().id() != old, out);
        }
        self.become_of(account, name, out);
        self.take(chain, out);
    }

    pub(super) fn stop_joining(&mut self, out: &mut Outbox<Out>) {
        if self.joining.take().is_some() {
            self.rewant(out);
        }
    }

    pub(super) fn join_timeout(&mut self, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        self.invited.take_if(|i| i.until <= cx.now);
        self.recovering.take_if(|(_, until)| *until <= cx.now);
        if self.joining.as_ref().is_some_and(|j| j.until <= cx.now) {
            self.stop_joining(out);
        }
        if let Some(with) = self.joining.as_ref().filter(|j| j.again <= cx.now).map(|j| j.with) {
            self.greet(cx, with, out);
        }
    }

    /// Looks for the lists of the account of a recovery code, and makes a new one when they are found: of those devices
    /// this one alone stays.
    pub(super) fn find(&mut self, cx: &Cx<'_>, recovery: Recovery, out: &mut Outbox<Out>) {
        let message = Message::Find { recovery: recovery.public() };
        let linked: alloc::vec::Vec<NodeId> = self.linked.keys().copied().collect();
        linked.into_iter().for_each(|peer| self.say(peer, &message, out));
        self.recovering = Some((recovery, cx.now + WITHIN));
    }

    pub(super) fn recover_with(&mut self, cx: &Cx<'_>, chain: &Chain, out: &mut Outbox<Out>) {
        let keys = *chain.keys();
        let Some((recovery, _)) = self.recovering.take_if(|(r, _)| r.open(keys).is_some()) else { return };
        let Some(account) = recovery.open(keys) else { return };
        let newest = match self.lists.get(keys.id()) {
            Some(known) if known.rank(chain).is_gt() => known.clone(),
            Some(_) | None => chain.clone(),
        };
        let me = self.identity.node_id();
        let cert = self.identity.ask_cert(keys, self.identity.name(), cx.wall);
        if let Ok(next) = newest.recover((&account, &recovery), |node| node == me, Some(cert), cx.wall) {
            self.move_to(account, next, out);
        }
    }
}
