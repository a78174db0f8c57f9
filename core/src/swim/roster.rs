//! The members of the zone, and the order in which they are probed.

use crate::collections::{OrderedMap, OrderedSet, short};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::fact::MemberState;
use crate::id::NodeId;
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::record::NodeRecord;

use super::suspicion::Suspicion;
use super::wire::{Claim, MAX_ADDRS, Statement, Told, Update};

/// Members that are probed before their turn; one beyond that waits for its turn.
const MAX_URGENT: usize = 64;

/// What is known of a member: about 650 bytes.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Of its newest statement; zero before the first.
    pub incarnation: u64,
    pub stated: Option<Statement>,
    /// Newest known; none only of a member whose link went before its first message was read.
    pub record: Option<Box<NodeRecord>>,
    pub state: MemberState,
    /// When the state began.
    pub since: Instant,
    /// When a message of its own last came.
    pub last_received: Option<Instant>,
    pub addrs: heapless::Vec<SocketAddr, MAX_ADDRS>,
    /// INVARIANT: there is one while it is a suspect, and only then.
    pub suspicion: Option<Suspicion>,
    /// The incarnation in which others hold it for down; of no account once it has a higher one.
    pub claimed_down: Option<u64>,
    /// Those that had no answer from it in its present incarnation, as they say.
    /// INVARIANT: none while it is a suspect, since then they are part of the suspicion.
    pub tellers: OrderedSet<NodeId>,
    /// This node had a link with it: a member that was never reached cannot be missed, and is not passed on.
    pub verified: bool,
    /// Its teller; none if it came by itself.
    pub told_by: Option<NodeId>,
    /// A `Want` went out and no `Unwant` after it.
    /// INVARIANT: only while it is present.
    pub wanted: bool,
    pub dial_at: Instant,
    pub dials: u32,
}

impl Member {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            incarnation: 0,
            stated: None,
            record: None,
            state: MemberState::Alive,
            since: now,
            last_received: None,
            addrs: heapless::Vec::new(),
            suspicion: None,
            claimed_down: None,
            tellers: OrderedSet::new(),
            verified: false,
            told_by: None,
            wanted: false,
            dial_at: now,
            dials: 0,
        }
    }

    /// Whether it takes part as far as is known.
    pub(super) fn is_present(&self) -> bool {
        matches!(self.state, MemberState::Alive | MemberState::Suspect)
    }

    /// A node of low power speaks first: it is not probed while it has a link here, and judged by its silence.
    pub(super) fn is_low_power(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.is_low_power())
    }

    /// Puts an address first.
    pub(super) fn best_addr(&mut self, addr: SocketAddr) {
        self.addrs.retain(|a| *a != addr);
        if self.addrs.is_full() {
            self.addrs.pop();
        }
        // It is not full: one was removed if it was.
        let _ = self.addrs.insert(0, addr);
    }

    /// Others reach it at these addresses. They come after one that this node knows by itself.
    pub(super) fn reported_at(&mut self, addrs: Vec<SocketAddr>) {
        let proven = self.addrs.first().copied().filter(|_| self.verified);
        addrs.into_iter().rev().chain(proven).for_each(|addr| self.best_addr(addr));
    }

    /// What this node holds of it.
    pub(super) fn update(&self, member: NodeId) -> Update {
        let claim = match self.state {
            MemberState::Alive => Claim::Alive { addrs: self.addrs.to_vec() },
            MemberState::Suspect => Claim::Suspect,
            MemberState::Down => Claim::Down,
            MemberState::Left => Claim::Left,
            MemberState::Away => Claim::Away,
        };
        Update { member, incarnation: self.incarnation, claim }
    }

    /// What is said to it about itself, if this node or others do not hold it for alive.
    pub(super) fn for_itself(&self, member: NodeId, buddy: bool) -> Option<Update> {
        match self.state {
            MemberState::Alive => {
                let claimed = self.claimed_down.filter(|claimed| *claimed == self.incarnation);
                claimed.map(|incarnation| Update { member, incarnation, claim: Claim::Down })
            }
            // Without the buddy system a suspect gets the suspicion by chance. One that is held for gone must get it
            // in any case: a node that restarted cannot know which incarnation others remember.
            MemberState::Suspect if !buddy => None,
            MemberState::Suspect | MemberState::Down | MemberState::Left | MemberState::Away => {
                Some(self.update(member))
            }
        }
    }

    /// What this node tells others of it: nothing before it has met it, and has its statement. That others suspect it is
    /// theirs to say.
    pub(super) fn retold(&self, member: NodeId, me: NodeId) -> Option<Update> {
        self.told()?;
        let heard_only = self.suspicion.as_ref().is_some_and(|s| !s.is_of(me));
        let claim = Claim::Alive { addrs: self.addrs.to_vec() };
        Some(match heard_only {
            true => Update { member, incarnation: self.incarnation, claim },
            false => self.update(member),
        })
    }

    /// Its statement, for a node that may never have met it.
    pub(super) fn told(&self) -> Option<Told> {
        let (statement, record) = (self.stated.as_ref()?, self.record.as_ref()?);
        self.verified.then(|| Told::new(Some(record.encode()), statement, self.addrs.to_vec()))
    }
}

#[derive(Default)]
pub(super) struct Roster {
    all: OrderedMap<NodeId, Member>,
    /// Round robin in random order (SWIM §4.3).
    /// INVARIANT: each member once.
    order: Vec<NodeId>,
    /// The place in the order of the next one to probe.
    turn: usize,
    /// Members that are probed before their turn.
    urgent: VecDeque<NodeId>,
    /// A member came, went or is in doubt, since this was last asked.
    stirred: bool,
}

impl Roster {
    pub(super) fn get(&self, id: NodeId) -> Option<&Member> {
        self.all.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: NodeId) -> Option<&mut Member> {
        self.all.get_mut(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (NodeId, &Member)> {
        self.all.iter().map(|(id, m)| (*id, m))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (NodeId, &mut Member)> {
        self.all.iter_mut().map(|(id, m)| (*id, m))
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Others that take part.
    pub(super) fn present(&self) -> usize {
        self.all.values().filter(|m| m.is_present()).count()
    }

    /// A newcomer gets a random place in the round under way, so that it is probed within it.
    pub(super) fn insert(&mut self, id: NodeId, member: Member, rng: &mut Rng) {
        self.all.insert(id, member);
        self.stirred = true;
        let at = self.turn.saturating_add(rng.below(self.order.len().saturating_sub(self.turn).saturating_add(1)));
        if !self.order.contains(&id) {
            self.order.insert(at.min(self.order.len()), id);
        }
    }

    pub(super) fn remove(&mut self, id: NodeId) -> Option<Member> {
        if let Some(at) = self.order.iter().position(|o| *o == id) {
            self.order.remove(at);
            if at < self.turn {
                self.turn = self.turn.saturating_sub(1);
            }
        }
        self.all.remove(&id)
    }

    /// A hash of those that take part, this node among them, with what is claimed of them. Those that are gone are left
    /// out: nodes forget them at different times.
    pub(super) fn digest(&self, me: NodeId, incarnation: u64) -> [u8; 16] {
        let present = self.all.iter().filter(|(_, m)| m.is_present());
        let present = present.map(|(id, m)| (*id, m.incarnation, m.state == MemberState::Suspect));
        let mut all: Vec<_> = present.chain([(me, incarnation, false)]).collect();
        all.sort_unstable();
        let mut hasher = blake3::Hasher::new_derive_key("DONP v1 roster");
        for (id, incarnation, suspect) in all {
            hasher.update(&id.0).update(&incarnation.to_le_bytes()).update(&[u8::from(suspect)]);
        }
        short(hasher.finalize().as_bytes())
    }

    /// What others said is too old to count.
    pub(super) fn forget_tellers(&mut self, me: NodeId) {
        for member in self.all.values_mut() {
            member.tellers.clear();
            if let Some(suspicion) = member.suspicion.as_mut() {
                suspicion.forget_others(me);
            }
        }
    }

    /// Freezes the suspicions that fewer than so many others share; those of whom.
    pub(super) fn freeze(&mut self, me: NodeId, others: usize) -> Vec<NodeId> {
        let mut frozen = Vec::new();
        for (id, member) in &mut self.all {
            if let Some(suspicion) = member.suspicion.as_mut().filter(|s| !s.frozen && !s.stands(me, others)) {
                suspicion.frozen = true;
                frozen.push(*id);
            }
        }
        frozen
    }

    /// Those that are gone since `then` or longer.
    pub(super) fn gone_since(&self, then: Instant) -> Vec<NodeId> {
        self.all.iter().filter(|(_, m)| !m.is_present() && m.since <= then).map(|(id, _)| *id).collect()
    }

    /// Those that others named before `then` and that were never met; whether links to them are wanted.
    pub(super) fn unmet_since(&self, then: Instant) -> Vec<(NodeId, bool)> {
        let unmet = self.all.iter().filter(|(_, m)| m.is_present() && !m.verified && m.since <= then);
        unmet.map(|(id, m)| (*id, m.wanted)).collect()
    }

    /// The member that has been gone for longest.
    pub(super) fn oldest_gone(&self) -> Option<NodeId> {
        self.all.iter().filter(|(_, m)| !m.is_present()).min_by_key(|(id, m)| (m.since, **id)).map(|(id, _)| *id)
    }

    /// The next one to probe: each once in a round, in an order drawn anew for each round.
    pub(super) fn next(&mut self, rng: &mut Rng, may: impl Fn(NodeId, &Member) -> bool) -> Option<NodeId> {
        for _ in 0..2 {
            while let Some(&id) = self.order.get(self.turn) {
                self.turn = self.turn.saturating_add(1);
                if self.all.get(&id).is_some_and(|m| may(id, m)) {
                    return Some(id);
                }
            }
            self.turn = 0;
            self.order = self.all.keys().copied().collect();
            for i in (1..self.order.len()).rev() {
                self.order.swap(i, rng.below(i.saturating_add(1)));
            }
        }
        None
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.order.clear();
        self.turn = 0;
        self.urgent.clear();
        self.stirred = false;
    }

    /// `id` is probed before its turn, if not too many are.
    pub(super) fn probe_soon(&mut self, id: NodeId) {
        if !self.urgent.contains(&id) && self.urgent.len() < MAX_URGENT {
            self.urgent.push_back(id);
            self.stirred = true;
        }
    }

    /// Something happened to a member.
    pub(super) fn stir(&mut self) {
        self.stirred = true;
    }

    /// Whether something happened since this was last asked.
    pub(super) fn take_stirred(&mut self) -> bool {
        core::mem::take(&mut self.stirred)
    }

    /// `id` is not probed before its turn.
    pub(super) fn not_urgent(&mut self, id: NodeId) {
        self.urgent.retain(|u| *u != id);
    }

    /// The next one to probe before its turn.
    pub(super) fn pop_urgent(&mut self) -> Option<NodeId> {
        self.urgent.pop_front()
    }

    pub(super) fn footprint(&self) -> usize {
        let claims = |m: &Member| m.tellers.len().saturating_add(m.suspicion.as_ref().map_or(0, Suspicion::len));
        let places = self.all.len().saturating_add(self.urgent.len());
        self.all.values().fold(places, |n, m| n.saturating_add(claims(m)))
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        for member in self.all.values() {
            if member.wanted && !member.is_present() {
                return Err("a link to a member that is gone is wanted");
            }
            if member.suspicion.is_some() && !member.tellers.is_empty() {
                return Err("tellers of a suspect are not part of its suspicion");
            }
            if member.suspicion.is_some() != (member.state == MemberState::Suspect) {
                return Err("a suspect has no suspicion, or a member that is none has one");
            }
        }
        let each: OrderedSet<&NodeId> = self.order.iter().collect();
        match each.len() == self.order.len() && each.into_iter().eq(self.all.keys()) {
            true => Ok(()),
            false => Err("a member has no turn, or more than one"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    proptest! {
        /// Mutations: `<` in `remove` is `<=`, or the turn does not move.
        #[test]
        fn a_departure_costs_no_other_member_its_turn(count in 2..20u8, taken in 0..20u8, gone in 0..20u8) {
            let mut rng = Rng::new([taken; 32]);
            let mut roster = Roster::default();
            for n in 0..count {
                roster.insert(NodeId([n; 32]), Member::new(Instant::ZERO), &mut rng);
            }
            let gone = NodeId([gone % count; 32]);
            let mut seen = OrderedSet::new();
            for _ in 0..taken % count {
                seen.insert(roster.next(&mut rng, |_, _| true).unwrap());
            }
            roster.remove(gone);
            seen.remove(&gone);
            while seen.len() < usize::from(count - 1) {
                let next = roster.next(&mut rng, |_, _| true).unwrap();
                prop_assert!(seen.insert(next), "{next:?} has a second turn before others had one");
            }
            prop_assert_eq!(roster.check(), Ok(()));
        }
    }

    /// SWIM §4.3: at most 2n - 1 periods from one turn of a member to its next.
    #[test]
    fn each_member_has_a_turn_in_each_round_newcomers_too() {
        let mut rng = Rng::new([5; 32]);
        let mut roster = Roster::default();
        for n in 0..20 {
            roster.insert(NodeId([n; 32]), Member::new(Instant::ZERO), &mut rng);
        }
        let mut last: OrderedMap<NodeId, usize> = OrderedMap::new();
        let mut rounds = OrderedSet::new();
        for step in 0..1_000 {
            let id = roster.next(&mut rng, |_, _| true).unwrap();
            let before = last.insert(id, step).unwrap_or(0);
            assert!(step - before < 40, "{id:?} waited {}", step - before);
            rounds.insert((step % 20, id));
        }
        assert!(rounds.len() > 300, "the order changes from round to round: {}", rounds.len());
        roster.insert(NodeId([99; 32]), Member::new(Instant::ZERO), &mut rng);
        assert!((0..21).any(|_| roster.next(&mut rng, |_, _| true) == Some(NodeId([99; 32]))));
        roster.remove(NodeId([99; 32]));
        assert!((0..99).all(|_| roster.next(&mut rng, |_, _| true) != Some(NodeId([99; 32]))));
        assert_eq!(roster.next(&mut rng, |_, _| false), None);
    }
}
