//! The sessions with one device, and what is sealed for it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::collections::{Rate, RateLimit};
use crate::id::NodeId;
use crate::machine::Outbox;
use crate::session::SEALED;
use crate::session::pair::Session;
use crate::session::wire::Tag;
use crate::time::{Duration, Instant, WallTime};

/// Sessions with one device: libsignal archives 40, and each here is 0.5 KiB in memory.
const MAX_SESSIONS: usize = 8;
/// A bundle that did not come is asked for again after this: two round trips of a slow link (docs/design/links.md).
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// Repairs: three at once, then one a minute.
const REPAIR_EVERY: Duration = Duration::from_secs(60);
const REPAIRS_AT_ONCE: u32 = 3;
/// Failed tags a second, then a pause of a second: each cost two Diffie-Hellman results.
const FAILURES: u32 = 4;
const PAUSE: Duration = Duration::from_secs(1);

/// What a bundle is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wish {
    Nothing,
    /// Messages wait and there is no session.
    Start,
    /// The sessions there are do not work any more.
    Repair,
}

pub(super) struct Peer {
    pub(super) sessions: Vec<Session>,
    /// By the outbox's number, rising: under which session, and all of the message.
    sealed: VecDeque<(u64, Tag, Vec<u8>)>,
    /// Sealed and not stored yet.
    fresh: Vec<u64>,
    pub(super) wish: Wish,
    /// Something was to be sealed and there was no session.
    pub(super) waits: bool,
    /// Its keys were asked for, and nothing else.
    pub(super) meets: bool,
    asked: Option<Instant>,
    /// When the repairs made so far would be over at one a minute.
    repaired: Instant,
    failures: RateLimit,
    paused: Instant,
    pub(super) answers: RateLimit,
}

impl Peer {
    pub(super) fn new() -> Self {
        Self {
            sessions: Vec::new(),
            sealed: VecDeque::new(),
            fresh: Vec::new(),
            wish: Wish::Nothing,
            waits: false,
            meets: false,
            asked: None,
            repaired: Instant::ZERO,
            failures: RateLimit::new(Rate::per_second(FAILURES)),
            paused: Instant::ZERO,
            answers: RateLimit::new(Rate { per_second: 1, burst: 3 }),
        }
    }

    /// The session to send in: of those that are not retired, the one last opened or begun.
    pub(super) fn current(&mut self) -> Option<&mut Session> {
        self.sessions.iter_mut().filter(|s| !s.retired).max_by_key(|s| s.rank)
    }

    /// The session that this device began and the other has not answered.
    pub(super) fn unanswered(&mut self) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|s| s.initiator && !s.confirmed && !s.retired)
    }

    /// Adds a session that is current from now on. A retired one, else the least recently opened, is evicted.
    pub(super) fn add<O>(&mut self, me: NodeId, mut session: Session, out: &mut Outbox<O>) {
        session.rank = self.top();
        self.sessions.push(session);
        while self.sessions.len() > MAX_SESSIONS
            && let Some(least) = self.sessions.iter().min_by_key(|s| (!s.retired, s.rank)).map(|s| s.mine)
        {
            self.remove(me, least, out);
        }
    }

    pub(super) fn remove<O>(&mut self, me: NodeId, tag: Tag, out: &mut Outbox<O>) {
        self.sessions.retain(|s| {
            if s.mine == tag {
                s.delete(&me.0, out);
            }
            s.mine != tag
        });
    }

    /// The rank of the session that becomes current.
    pub(super) fn top(&self) -> u32 {
        self.sessions.iter().map(|s| s.rank).max().unwrap_or(0).saturating_add(1)
    }

    /// The sessions for which this holds only receive from now on.
    pub(super) fn retire(&mut self, which: impl Fn(&Session) -> bool) {
        for session in self.sessions.iter_mut().filter(|s| !s.retired && which(s)) {
            session.retired = true;
            session.dirty = true;
        }
    }

    /// Whether what was sealed in a session is repeated as it is. Not in one that this device began and the other has not
    /// answered, once the other began one itself: it may have lost that one, and repeats would tell it nothing.
    fn is_live(&self, tag: Tag) -> bool {
        let began = self.sessions.iter().any(|s| !s.initiator && !s.retired);
        self.sessions.iter().any(|s| s.mine == tag && !s.retired && (s.confirmed || !s.initiator || !began))
    }

    /// What was sealed under this number, as long as its session is in use.
    pub(super) fn sealed(&self, order: u64) -> Option<&[u8]> {
        let (_, tag, bytes) = self.sealed.get(self.place(order).ok()?)?;
        self.is_live(*tag).then_some(bytes.as_slice())
    }

    /// Whether to send again, now that there is a session: something waited for it, or what was sealed under one that is
    /// not in use any more may not have been opened.
    pub(super) fn is_to_send(&self) -> bool {
        self.waits
            || self.sessions.iter().any(|s| s.retired)
            || self.sealed.iter().any(|(_, tag, _)| !self.is_live(*tag))
    }

    pub(super) fn insert(&mut self, order: u64, tag: Tag, bytes: Vec<u8>) {
        self.restore(order, tag, bytes);
        self.fresh.push(order);
    }

    /// Takes all that is stored of it out of the store.
    pub(super) fn wipe<O>(&mut self, me: NodeId, out: &mut Outbox<O>) {
        self.sessions.drain(..).for_each(|s| s.delete(&me.0, out));
        for (order, ..) in core::mem::take(&mut self.sealed) {
            out.delete(SEALED, row(me, order));
        }
        self.fresh.clear();
    }

    fn place(&self, order: u64) -> Result<usize, usize> {
        self.sealed.binary_search_by(|(other, ..)| other.cmp(&order))
    }

    pub(super) fn restore(&mut self, order: u64, tag: Tag, bytes: Vec<u8>) {
        let sealed = (order, tag, bytes);
        match self.place(order) {
            Ok(at) => {
                if let Some(old) = self.sealed.get_mut(at) {
                    *old = sealed;
                }
            }
            Err(at) => self.sealed.insert(at, sealed),
        }
    }

    /// The message is acknowledged or given up.
    pub(super) fn forget<O>(&mut self, me: NodeId, order: u64, out: &mut Outbox<O>) {
        let gone = self.place(order).ok().and_then(|at| self.sealed.remove(at));
        if gone.is_some() && !self.fresh.contains(&order) {
            out.delete(SEALED, row(me, order));
        }
    }

    /// Writes what changed.
    pub(super) fn save<O>(&mut self, me: NodeId, out: &mut Outbox<O>) {
        for session in self.sessions.iter_mut().filter(|s| s.dirty) {
            session.save(&me.0, out);
        }
        for order in core::mem::take(&mut self.fresh) {
            if let Some((_, tag, bytes)) = self.place(order).ok().and_then(|at| self.sealed.get(at)) {
                out.put(SEALED, row(me, order), [tag.as_slice(), bytes].concat());
            }
        }
    }

    /// Whether to ask for a bundle now.
    pub(super) fn asks(&mut self, now: Instant) -> bool {
        let due = self.asked.is_none_or(|at| at + ASK_AGAIN <= now);
        if due {
            self.asked = Some(now);
        }
        due
    }

    /// Nothing is asked, and nothing waits for an answer.
    pub(super) fn forget_question(&mut self) {
        self.asked = None;
        self.wish = Wish::Nothing;
        self.waits = false;
        self.meets = false;
    }

    /// Whether one more repair may be made.
    pub(super) fn may_repair(&mut self, now: Instant) -> bool {
        let ahead = REPAIR_EVERY.saturating_mul(REPAIRS_AT_ONCE.saturating_sub(1));
        let may = self.repaired <= now + ahead;
        if may {
            self.repaired = self.repaired.max(now) + REPAIR_EVERY;
        }
        may
    }

    /// When to try again what was not answered.
    pub(super) fn next_try(&self, now: Instant) -> Instant {
        let ahead = REPAIR_EVERY.saturating_mul(REPAIRS_AT_ONCE.saturating_sub(1));
        self.repaired.before(ahead).max(now + ASK_AGAIN)
    }

    /// A tag did not verify.
    pub(super) fn failed(&mut self, now: Instant) {
        if !self.failures.take(now) {
            self.paused = now + PAUSE;
        }
    }

    /// Whether its messages wait, after too many that did not open.
    pub(super) fn is_paused(&self, now: Instant) -> bool {
        now < self.paused
    }

    /// The highest id of a bundle that a session was begun with.
    pub(super) fn bundle(&self) -> u32 {
        self.sessions.iter().filter(|s| s.initiator).map(|s| s.bundle).max().unwrap_or(0)
    }

    /// When a message was last opened.
    pub(super) fn used(&self) -> WallTime {
        self.sessions.iter().map(|s| s.used).max().unwrap_or_default()
    }

    /// Whether something is sealed for it or waits for a session.
    pub(super) fn is_needed(&self) -> bool {
        self.waits || !self.sealed.is_empty() || self.wish != Wish::Nothing
    }

    pub(super) fn len(&self) -> usize {
        let kept = self.sessions.iter().fold(0usize, |n, s| n.saturating_add(s.kept()));
        kept.saturating_add(self.sessions.len()).saturating_add(self.sealed.len())
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.sessions.len() > MAX_SESSIONS {
            return Err("there are too many sessions with one device");
        }
        let distinct = |s: &Session| self.sessions.iter().filter(|other| other.mine == s.mine).count() == 1;
        if !self.sessions.iter().all(distinct) {
            return Err("two sessions have one tag");
        }
        self.sessions.iter().try_for_each(Session::check)
    }
}

fn row(peer: NodeId, order: u64) -> Vec<u8> {
    [peer.0.as_slice(), &order.to_be_bytes()].concat()
}
