//! What the devices of a person share of what it set on one of them: contacts, blocks, up to where it read
//! (docs/design/devices.md §7).
//!
//! A map of registers, each of which holds what was written last. Own devices compare digests of it when they link, and
//! give each other what differs, in their sessions. What stands follows from stamps alone, so all own devices come to
//! hold the same. Other machines say what the user set here, and learn what it set elsewhere.

#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub(crate) mod contract;
mod map;
pub(crate) mod wire;

use alloc::vec::Vec;

use crate::collections::{OrderedMap, OrderedSet, Rate, RateLimit};
use crate::config::Power;
use crate::fact::Fact;
use crate::id::{ConversationId, MessageId, NodeId};
use crate::machine::{Cx, Machine, Outbox, Setup};
use crate::register::map::{Map, Present, bucket};
use crate::register::wire::{BUCKETS, MAX_BYTES, Message, PAGE};
use crate::stats::{DropReason, Drops, Stats};
use crate::store::{Record, Table};
use crate::time::{Duration, Instant, soonest};
use crate::wire::registers::{Register, RegisterKey, Stamped};
use crate::wire::{Malformed, decode, encode};

/// Kinds of registers about a person (`Register::key`), and that of marks.
const PERSONAL: [u8; 4] = [0, 1, 2, 3];
const READ: u8 = 5;

/// One row a register.
const REGISTERS: Table = Table::hot(59);

/// Read marks, and that something came, are said after this: 300 ms, as that a message came (docs/design/devices.md §6).
const TOLD_AFTER: Duration = Duration::from_millis(300);
/// Linked own devices compare again after this, ± 50 %: 10 min, for what was lost with a link's queue. 120 bytes.
const COMPARE_EVERY: Duration = Duration::from_secs(600);
/// Pages of one answer: 8, 160 KiB at most. The next comparison, 300 ms later, brings the rest.
const PAGES: usize = 8;
/// Messages read of one device, and questions answered: each answer leads to the next question 300 ms later.
const MESSAGES: Rate = Rate { per_second: 64, burst: 128 };
const QUESTIONS: Rate = Rate { per_second: 8, burst: 32 };

#[derive(Debug)]
pub(crate) enum In {
    /// The user set this here.
    Share(Register),
    /// This follows from what is here and not from what the user did now: it holds if nothing else was set before. If it
    /// does, it comes back.
    Suggest(Register),
    /// A device is this person's: what was set of the device is so of the person.
    Moved { device: NodeId, person: NodeId },
    /// The account's newest list of devices, its generation, and that of the last list that stood before and stands.
    Own { generation: u64, common: u64, devices: Vec<NodeId> },
    /// From the register machine of a node, in the session with it.
    Opened { from: NodeId, body: Vec<u8> },
    /// There is a session with this node, or a new one: what was said to it before may not have reached it.
    Ready(NodeId),
}

#[derive(Debug)]
pub(crate) enum Out {
    /// Only the device of this node is to read it.
    Seal { to: NodeId, body: Vec<u8> },
    /// The user set this of a contact on another device.
    Contact(Register),
    /// The user blocked this node on another device, or ended that.
    Block { peer: NodeId, blocked: bool },
    /// Up to where the user read a conversation on any of its devices; none: no mark counts any more.
    Read { conversation: ConversationId, upto: Option<MessageId> },
    /// Some of this came, and is done.
    Changed,
}

struct Linked {
    messages: RateLimit,
    questions: RateLimit,
    /// The last register of an answer that did not hold all: part of the map, and which.
    given: Option<(usize, RegisterKey)>,
    /// It is of low power, and this node is not: it compares when it wakes.
    speaks_first: bool,
}

impl Linked {
    fn new(speaks_first: bool) -> Self {
        let (messages, questions) = (RateLimit::new(MESSAGES), RateLimit::new(QUESTIONS));
        Self { messages, questions, given: None, speaks_first }
    }
}

pub(crate) struct Registers {
    me: NodeId,
    map: Map,
    /// The devices of the account by its newest list, and the list's generation.
    ///
    /// INVARIANT: none that the map holds is of a higher generation.
    devices: Vec<NodeId>,
    generation: u64,
    /// INVARIANT: at most as many as there are links.
    linked: OrderedMap<NodeId, Linked>,
    /// Written here and not said yet: at most what [`PAGES`] hold.
    fresh: OrderedSet<RegisterKey>,
    fresh_at: Option<Instant>,
    /// Something came that is news here: it is said once for all that comes together.
    is_news: bool,
    /// When to say that something came.
    tell_at: Option<Instant>,
    compare_at: Option<Instant>,
    power: Power,
    drops: Drops,
}

impl Registers {
    /// Whether a node is another device of this node's account. A device that was removed shares with none.
    fn is_own(&self, node: NodeId) -> bool {
        node != self.me && self.devices.contains(&self.me) && self.devices.contains(&node)
    }

    fn own_linked(&self) -> Vec<NodeId> {
        self.linked.keys().copied().filter(|node| self.is_own(*node)).collect()
    }

    fn say(&self, to: NodeId, message: &Message, out: &mut Outbox<Out>) {
        out.push(Out::Seal { to, body: encode(message) });
    }

    /// Says to an own device what is here, as a digest.
    fn compare(&self, with: NodeId, out: &mut Outbox<Out>) {
        if self.is_own(with) && self.linked.contains_key(&with) {
            self.say(with, &Message::Have { root: self.map.root() }, out);
        }
    }

    fn compare_with_all(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let own = self.own_linked();
        let wakeful = |peer: &&NodeId| !self.linked.get(*peer).is_some_and(|linked| linked.speaks_first);
        own.iter().filter(wakeful).for_each(|peer| self.compare(*peer, out));
        self.compare_at = (!own.is_empty()).then(|| cx.now + cx.rng.jitter(COMPARE_EVERY, 50));
    }

    /// Whether a register says of a device of this account what is said of other people: no device of it says so of another.
    fn is_of_own(&self, register: &Register) -> bool {
        register.person().is_some_and(|node| node == self.me || self.devices.contains(&node))
    }

    fn put(&mut self, stamped: Stamped, from: NodeId, out: &mut Outbox<Out>) -> bool {
        let present = Present { generation: self.generation, devices: &self.devices };
        self.map.put(stamped, from, present, out)
    }

    /// The user set something here: it stands before what is known of it, also if that is the same: where it came from other
    /// devices, something else may have come since.
    fn share(&mut self, cx: &Cx<'_>, register: Register, out: &mut Outbox<Out>) {
        let key = register.key();
        let held = self.map.get(&key);
        // What never was is taken back by nothing.
        if self.is_of_own(&register) || held.is_none() && register.is_default() {
            return;
        }
        let is_mark = matches!(register, Register::Read(..));
        if is_mark && self.mark(&key).is_some() && held.is_some_and(|held| held.register == register) {
            return;
        }
        let of_present = held.filter(|held| held.generation == self.generation);
        let (lowered, counter) = of_present.map_or((0, 0), |held| (held.lowered, held.counter));
        let stamped = Stamped {
            generation: self.generation,
            lowered,
            counter: counter.saturating_add(1),
            writer: self.me,
            register,
        };
        self.write(cx, stamped, out);
        if is_mark {
            self.say_mark(&key, out);
        }
    }

    /// Takes what is written here, and says it to the own devices.
    fn write(&mut self, cx: &Cx<'_>, stamped: Stamped, out: &mut Outbox<Out>) {
        let key = stamped.register.key();
        // A mark does not go back; and a device of the account may have set a register to the last counter there is, which
        // ends with its removal.
        if self.map.get(&key).is_some_and(|held| !stamped.stands_before(held)) {
            return;
        }
        let is_mark = matches!(stamped.register, Register::Read(..));
        if !self.put(stamped, self.me, out) {
            return self.drops.count(DropReason::Queue);
        }
        if self.own_linked().is_empty() {
            return;
        }
        if self.fresh.len() < PAGE.saturating_mul(PAGES) {
            self.fresh.insert(key);
        }
        let at = if is_mark { cx.now + TOLD_AFTER } else { cx.now };
        self.fresh_at = Some(self.fresh_at.map_or(at, |fresh| fresh.min(at)));
    }

    /// Up to where a conversation was read. A mark counts while its writer is a device of the account, or if it was set under
    /// the list that stands: one that no message justifies suppresses nothing after the removal of its writer.
    fn mark(&self, key: &RegisterKey) -> Option<MessageId> {
        let counts = |held: &&Stamped| held.generation == self.generation || self.devices.contains(&held.writer);
        self.map.get(key).filter(counts).and_then(|held| held.register.maximum())
    }

    fn say_mark(&self, key: &RegisterKey, out: &mut Outbox<Out>) {
        let conversation = ConversationId(key.1);
        out.push(Out::Read { conversation, upto: self.mark(key) });
    }

    /// What follows from what is here is written with a stamp below all that the user sets.
    fn suggest(&mut self, cx: &Cx<'_>, register: Register, out: &mut Outbox<Out>) {
        if self.map.get(&register.key()).is_some() || self.is_of_own(&register) {
            return;
        }
        if !register.is_default() {
            let stamped =
                Stamped { generation: 0, lowered: 0, counter: 1, writer: self.me, register: register.clone() };
            self.write(cx, stamped, out);
        }
        self.pass_on(register, out);
    }

    /// Moves what was set of a device to its person. The stamps follow from those that are here, so that all own devices
    /// write the same when each of them learns of the list.
    fn moved(&mut self, cx: &Cx<'_>, device: NodeId, person: NodeId, out: &mut Outbox<Out>) {
        if device == person || self.devices.contains(&device) {
            return;
        }
        for kind in PERSONAL {
            let Some(old) = self.map.get(&(kind, device.0)).filter(|s| !s.register.is_default()).cloned() else {
                continue;
            };
            let to = Stamped { register: old.register.of(person), ..old.clone() };
            let is_lost = match self.map.get(&(kind, person.0)).cloned() {
                None => {
                    self.write(cx, to, out);
                    false
                }
                // Taking a person out takes its devices out too: the device was set after that.
                Some(held) if held.register.is_default() => {
                    let newest = |s: &Stamped| (s.generation, s.lowered, s.counter);
                    let (generation, lowered, counter) = newest(&old).max(newest(&held));
                    let counter = counter.saturating_add(1);
                    self.write(cx, Stamped { generation, lowered, counter, ..to }, out);
                    false
                }
                Some(held) => {
                    self.write(cx, to.clone(), out);
                    held.register != to.register && held.stands_before(&to)
                }
            };
            if self.map.get(&(kind, person.0)).is_none() {
                // There is no place for it: it stays of the device.
                continue;
            }
            let counter = old.counter.saturating_add(1);
            self.write(cx, Stamped { counter, register: old.register.default_of(), ..old }, out);
            if is_lost && let Some(held) = self.map.get(&(kind, person.0)) {
                self.pass_on(held.register.clone(), out);
            }
        }
    }

    /// There is another list of the account's devices.
    fn own(&mut self, cx: &mut Cx<'_>, (generation, common): (u64, u64), devices: Vec<NodeId>, out: &mut Outbox<Out>) {
        self.map.lower(common.min(generation), out);
        let before = core::mem::replace(&mut self.devices, devices);
        self.generation = generation;
        // Of own devices nothing is said as of other people, on none of them.
        let own: Vec<NodeId> = self.devices.iter().copied().chain([self.me]).collect();
        for node in own {
            PERSONAL.iter().for_each(|kind| self.map.drop_one(&(*kind, node.0), out));
        }
        // A block of a device of the account waits for its removal.
        for gone in before.into_iter().filter(|node| !self.devices.contains(node)) {
            let blocked = Register::Blocked(gone, true);
            if self.map.get(&blocked.key()).is_some_and(|held| held.register == blocked) {
                self.pass_on(blocked, out);
            }
        }
        // Marks of a removed device count no more.
        let reads = self.map.iter().map(|s| s.register.key()).filter(|(kind, _)| *kind == READ);
        reads.for_each(|key| self.say_mark(&key, out));
        self.compare_with_all(cx, out);
    }

    /// Says what was written here to all own devices.
    fn say_fresh(&mut self, out: &mut Outbox<Out>) {
        let fresh = core::mem::take(&mut self.fresh);
        let all: Vec<Stamped> = fresh.iter().filter_map(|key| self.map.get(key)).cloned().collect();
        for peer in self.own_linked() {
            all.chunks(PAGE).for_each(|page| self.say(peer, &Message::Page(page.to_vec()), out));
        }
    }

    fn message(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message, out: &mut Outbox<Out>) {
        match message {
            Message::Have { root } => {
                if root != self.map.root() && self.may_ask(cx, from) {
                    self.say(from, &Message::Buckets { ask: true, sums: self.map.sums().to_vec() }, out);
                }
            }
            Message::Buckets { sums, .. } if sums.len() != BUCKETS => self.drops.count(DropReason::Message),
            Message::Buckets { ask, sums } => {
                if !self.may_ask(cx, from) {
                    return;
                }
                if ask {
                    self.say(from, &Message::Buckets { ask: false, sums: self.map.sums().to_vec() }, out);
                }
                self.give(cx, from, &sums, out);
            }
            Message::Page(page) if page.len() > PAGE => self.drops.count(DropReason::Message),
            Message::Page(page) => page.into_iter().for_each(|stamped| self.take(cx, from, stamped, out)),
        }
    }

    fn may_ask(&mut self, cx: &Cx<'_>, from: NodeId) -> bool {
        let may = self.linked.get_mut(&from).is_some_and(|linked| linked.questions.take(cx.now));
        if !may {
            self.drops.count(DropReason::Rate);
        }
        may
    }

    /// Gives what is here of the parts of the map that differ. If that is more than an answer holds, the next one goes on
    /// where this ends.
    fn give(&mut self, cx: &Cx<'_>, to: NodeId, theirs: &[u64], out: &mut Outbox<Out>) {
        let Some(linked) = self.linked.get_mut(&to) else { return };
        let place = |s: &Stamped| (bucket(&s.register.key()), s.register.key());
        let differs = |s: &&Stamped| {
            let (at, _) = place(s);
            theirs.get(at) != self.map.sums().get(at) && linked.given.is_none_or(|given| place(s) > given)
        };
        let mut all: Vec<Stamped> = self.map.iter().filter(differs).cloned().collect();
        all.sort_by_key(place);
        let most = PAGE.saturating_mul(PAGES);
        let is_all = all.len() <= most;
        all.truncate(most);
        linked.given = all.last().map(place).filter(|_| !is_all);
        if !is_all {
            self.tell_at.get_or_insert(cx.now + TOLD_AFTER);
        }
        all.chunks(PAGE).for_each(|page| self.say(to, &Message::Page(page.to_vec()), out));
    }

    /// A register that an own device brings, written by it or by another one.
    fn take(&mut self, cx: &Cx<'_>, from: NodeId, stamped: Stamped, out: &mut Outbox<Out>) {
        // What was written under a list that is not here yet waits for it: the lists are compared too, and then this is.
        if stamped.counter == 0 || stamped.generation > self.generation || !stamped.register.is_valid() {
            return self.drops.count(DropReason::Stale);
        }
        if self.is_of_own(&stamped.register) {
            return self.drops.count(DropReason::Stale);
        }
        let key = stamped.register.key();
        let held = self.map.get(&key);
        if held.is_some_and(|held| !stamped.stands_before(held)) {
            return;
        }
        // That it was lowered on another device is no write.
        let is_said = stamped.lowered == 0 || held.is_none_or(|held| held.register != stamped.register);
        let register = stamped.register.clone();
        if !self.put(stamped, from, out) {
            return self.drops.count(DropReason::Queue);
        }
        if is_said {
            self.is_news = true;
            self.pass_on(register, out);
        }
        self.tell_at.get_or_insert(cx.now + TOLD_AFTER);
    }

    /// Gives what was set elsewhere to the machine that does it here.
    fn pass_on(&self, register: Register, out: &mut Outbox<Out>) {
        match register {
            // No device of the account cuts another off from this one.
            Register::Blocked(peer, _) if peer == self.me || self.devices.contains(&peer) => {}
            Register::Blocked(peer, blocked) => out.push(Out::Block { peer, blocked }),
            Register::Read(..) => self.say_mark(&register.key(), out),
            Register::Contact(node, true) => {
                out.push(Out::Contact(register));
                // What came before the contact had no place.
                let more = (1..=3u8).filter_map(|kind| self.map.get(&(kind, node.0)));
                more.for_each(|held| out.push(Out::Contact(held.register.clone())));
            }
            Register::Contact(_, false) | Register::Petname(..) | Register::Muted(..) | Register::Trust(..) => {
                out.push(Out::Contact(register));
            }
        }
    }
}

impl Machine for Registers {
    const NAME: &'static str = "register";
    const TABLES: &'static [(&'static str, Table)] = &[("registers", REGISTERS)];
    type In = In;
    type Out = Out;

    fn open(setup: Setup<'_>, records: Vec<Record>, cx: &mut Cx<'_>, _: &mut Outbox<Out>) -> Result<Self, Malformed> {
        let map = Map::restore(&records)?;
        // The other machines have stored what they were given, but for marks: those are said when the list is known.
        Ok(Self {
            me: cx.me,
            // Until the list is known, which is in the same step.
            generation: map.iter().map(|s| s.generation).max().unwrap_or(0),
            map,
            devices: Vec::new(),
            linked: OrderedMap::new(),
            fresh: OrderedSet::new(),
            fresh_at: None,
            is_news: false,
            tell_at: None,
            compare_at: None,
            power: setup.config.power,
            drops: Drops::default(),
        })
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other facts concern other machines")]
    fn fact(&mut self, cx: &mut Cx<'_>, fact: &Fact, out: &mut Outbox<Out>) {
        match *fact {
            Fact::LinkUp { peer, ref record, .. } => {
                self.linked.insert(peer, Linked::new(record.speaks_first_to(self.power)));
                self.compare(peer, out);
                if self.is_own(peer) && self.compare_at.is_none() {
                    self.compare_at = Some(cx.now + cx.rng.jitter(COMPARE_EVERY, 50));
                }
            }
            Fact::LinkDown { peer, .. } => drop(self.linked.remove(&peer)),
            _ => {}
        }
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: In, out: &mut Outbox<Out>) {
        match input {
            In::Share(register) => self.share(cx, register, out),
            In::Suggest(register) => self.suggest(cx, register, out),
            In::Moved { device, person } => self.moved(cx, device, person, out),
            In::Own { generation, common, devices } => self.own(cx, (generation, common), devices, out),
            In::Opened { from, .. } if !self.is_own(from) => self.drops.count(DropReason::Message),
            In::Opened { from, body } => {
                if !self.linked.get_mut(&from).is_some_and(|linked| linked.messages.take(cx.now)) {
                    return self.drops.count(DropReason::Rate);
                }
                match decode::<Message>(&body, MAX_BYTES) {
                    Ok(message) => self.message(cx, from, message, out),
                    Err(Malformed) => self.drops.count(DropReason::Message),
                }
            }
            In::Ready(peer) => self.compare(peer, out),
        }
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.fresh_at.take_if(|at| *at <= cx.now).is_some() {
            self.say_fresh(out);
        }
        let tells = self.tell_at.take_if(|at| *at <= cx.now).is_some();
        if tells && core::mem::take(&mut self.is_news) {
            out.push(Out::Changed);
        }
        if self.compare_at.is_some_and(|at| at <= cx.now) {
            self.compare_with_all(cx, out);
        } else if tells {
            self.own_linked().into_iter().for_each(|peer| self.compare(peer, out));
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        soonest(self.pressing_deadline(), self.compare_at)
    }

    fn pressing_deadline(&self) -> Option<Instant> {
        soonest(self.fresh_at, self.tell_at)
    }

    fn footprint(&self) -> usize {
        let linked = self.linked.len().saturating_add(self.devices.len());
        self.map.len().saturating_add(self.fresh.len()).saturating_add(linked)
    }

    fn count(&self, stats: &mut Stats) {
        stats.drops.add(&self.drops);
    }

    #[cfg(any(test, debug_assertions))]
    fn linked(&self) -> usize {
        self.linked.len()
    }

    #[cfg(any(test, debug_assertions))]
    fn check(&self) -> Result<(), &'static str> {
        if self.map.iter().any(|s| s.generation > self.generation) {
            return Err("a register is of a list that is not here");
        }
        self.map.check()
    }
}

#[cfg(test)]
mod tests;
