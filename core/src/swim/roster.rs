//! The members of the zone, and the order in which they are probed.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::fact::MemberState;
use crate::id::NodeId;
use crate::rng::Rng;
use crate::time::Instant;

use super::suspicion::Suspicion;
use super::wire::{Claim, MAX_ADDRS, Update};

/// Members that are probed before their turn; one beyond that waits for its turn.
const MAX_URGENT: usize = 64;

/// What is known of a member: about 250 bytes.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub incarnation: u32,
    pub state: MemberState,
    /// When the state began.
    pub since: Instant,
    /// When a message of its own last came.
    pub last_received: Option<Instant>,
    pub addrs: heapless::Vec<SocketAddr, MAX_ADDRS>,
    /// INVARIANT: there is one while it is a suspect, and only then.
    pub suspicion: Option<Suspicion>,
    /// The incarnation in which others hold it for down; of no account once it has a higher one.
    pub claimed_down: Option<u32>,
    /// This node had a link with it: a member that was never reached cannot be missed.
    pub verified: bool,
    /// A `Want` went out and no `Unwant` after it.
    /// INVARIANT: only while it is present.
    pub wanted: bool,
    pub dial_at: Instant,
    pub dials: u32,
}

impl Member {
    pub(super) fn new(incarnation: u32, now: Instant) -> Self {
        Self {
            incarnation,
            state: MemberState::Alive,
            since: now,
            last_received: None,
            addrs: heapless::Vec::new(),
            suspicion: None,
            claimed_down: None,
            verified: false,
            wanted: false,
            dial_at: now,
            dials: 0,
        }
    }

    /// Whether it takes part as far as is known.
    pub(super) fn is_present(&self) -> bool {
        matches!(self.state, MemberState::Alive | MemberState::Suspect)
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

    /// What this node reports of it; `me` is the one that claims it.
    pub(super) fn update(&self, member: NodeId, me: NodeId) -> Update {
        let claim = match self.state {
            MemberState::Alive => Claim::Alive { addrs: self.addrs.to_vec() },
            MemberState::Suspect => Claim::Suspect { by: me },
            MemberState::Down => Claim::Down { by: me },
            MemberState::Left => Claim::Left,
            MemberState::Away => Claim::Away,
        };
        Update { member, incarnation: self.incarnation, claim }
    }
}

#[derive(Default)]
pub(super) struct Roster {
    all: BTreeMap<NodeId, Member>,
    /// Round robin in random order (SWIM §4.3).
    /// INVARIANT: each member once.
    order: Vec<NodeId>,
    /// The place in the order of the next one to probe.
    turn: usize,
    /// Members that are probed before their turn.
    urgent: VecDeque<NodeId>,
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
    }

    /// `id` is probed before its turn, if not too many are.
    pub(super) fn probe_soon(&mut self, id: NodeId) {
        if !self.urgent.contains(&id) && self.urgent.len() < MAX_URGENT {
            self.urgent.push_back(id);
        }
    }

    /// `id` is not probed before its turn.
    pub(super) fn not_urgent(&mut self, id: NodeId) {
        self.urgent.retain(|u| *u != id);
    }

    /// The next one to probe before its turn.
    pub(super) fn pop_urgent(&mut self) -> Option<NodeId> {
        self.urgent.pop_front()
    }

    pub(super) fn urgent(&self) -> usize {
        self.urgent.len()
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        for member in self.all.values() {
            if member.wanted && !member.is_present() {
                return Err("a link to a member that is gone is wanted");
            }
            if member.suspicion.is_some() != (member.state == MemberState::Suspect) {
                return Err("a suspect has no suspicion, or a member that is none has one");
            }
        }
        let each: alloc::collections::BTreeSet<&NodeId> = self.order.iter().collect();
        match each.len() == self.order.len() && each.into_iter().eq(self.all.keys()) {
            true => Ok(()),
            false => Err("a member has no turn, or more than one"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    /// SWIM §4.3: at most 2n - 1 periods from one turn of a member to its next.
    #[test]
    fn each_member_has_a_turn_in_each_round_newcomers_too() {
        let mut rng = Rng::new([5; 32]);
        let mut roster = Roster::default();
        for n in 0..20 {
            roster.insert(NodeId([n; 32]), Member::new(0, Instant::ZERO), &mut rng);
        }
        let mut last: BTreeMap<NodeId, usize> = BTreeMap::new();
        let mut rounds = BTreeSet::new();
        for step in 0..1_000 {
            let id = roster.next(&mut rng, |_, _| true).unwrap();
            let before = last.insert(id, step).unwrap_or(0);
            assert!(step - before < 40, "{id:?} waited {}", step - before);
            rounds.insert((step % 20, id));
        }
        assert!(rounds.len() > 300, "the order changes from round to round: {}", rounds.len());
        roster.insert(NodeId([99; 32]), Member::new(0, Instant::ZERO), &mut rng);
        assert!((0..21).any(|_| roster.next(&mut rng, |_, _| true) == Some(NodeId([99; 32]))));
        roster.remove(NodeId([99; 32]));
        assert!((0..99).all(|_| roster.next(&mut rng, |_, _| true) != Some(NodeId([99; 32]))));
        assert_eq!(roster.next(&mut rng, |_, _| false), None);
    }
}
