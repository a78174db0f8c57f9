//! Which operations of a group stand when they meet, and what it then is: ranked strong removal
//! (docs/design/groups.md §3).
//!
//! Ranks are gone through from OWNER to GUEST, each in (lamport, id) order. Whether an operation stands depends on higher
//! ranks, and on its own past; so no member changes the fate of an operation of a higher rank, whatever time it claims.

use alloc::vec::Vec;

use crate::collections::{OrderedMap, OrderedSet};
use crate::group::entries::{ABOVE, Entries, Entry, OWNER, Proof, level, role};
use crate::group::op::{Action, Field, GroupPolicy, GroupRole};
use crate::group::past::Past;
use crate::group::state::{List, Member, State};
use crate::id::{NodeId, OpId};
use crate::shared::Arc;

/// What one operation says of one person: the rank as a number. 0 is out, or banned.
#[derive(Clone, Copy, Debug)]
struct Word {
    at: usize,
    /// The rank of its authority; [`ABOVE`] for leaving.
    level: u8,
    says: u8,
}

/// The operations of a view, and which of them are void.
pub(crate) struct Resolver<'a> {
    all: &'a Entries,
    view: &'a Past,
    /// In (lamport, id) order.
    order: Vec<(usize, &'a Entry)>,
    void: OrderedSet<usize>,
    /// Of each person: whether it is a member, and with which rank.
    words: OrderedMap<NodeId, Vec<Word>>,
    /// Of each person: whether it is banned.
    bans: OrderedMap<NodeId, Vec<Word>>,
    /// What stands of the OWNERs' own operations: each knows all before it.
    line: Vec<(usize, &'a Entry)>,
}

impl<'a> Resolver<'a> {
    /// Decides on all operations of a view, which has the past of each.
    pub(crate) fn new(all: &'a Entries, view: &'a Past) -> Self {
        let order: Vec<_> = all.in_order().filter(|(at, _)| view.contains(*at)).collect();
        let mut this = Self {
            all,
            view,
            order: Vec::new(),
            void: OrderedSet::new(),
            words: OrderedMap::new(),
            bans: OrderedMap::new(),
            line: Vec::new(),
        };
        order.iter().for_each(|(at, entry)| this.hear(*at, entry));
        // Lists of devices stand above ranks, so what falls by one is known before any rank is.
        this.void = order.iter().filter(|(at, entry)| this.falls_by_list(*at, entry)).map(|(at, _)| *at).collect();
        for rank in (1..=OWNER).rev() {
            for (at, entry) in order.iter().filter(|(_, entry)| entry.by.rank == rank) {
                if this.void.contains(at) || this.falls(*at, entry) {
                    this.void.insert(*at);
                } else if entry.is_of_owner() {
                    this.line.push((*at, entry));
                }
            }
        }
        this.order = order;
        this
    }

    /// The void operations, by (lamport, id).
    pub(crate) fn void(&self) -> Vec<OpId> {
        self.order.iter().filter(|(at, _)| self.void.contains(at)).map(|(_, entry)| entry.op.id).collect()
    }

    /// Writes down what an operation says of whom.
    fn hear(&mut self, at: usize, entry: &Entry) {
        const OUT: u8 = 0;
        const BANNED: u8 = 0;
        const FREE: u8 = 1;
        let rank = entry.by.rank;
        let says = |words: &mut OrderedMap<NodeId, Vec<Word>>, node, level, says| {
            words.entry(node).or_default().push(Word { at, level, says });
        };
        let ranked = match &entry.op.action {
            Action::Create { .. } => Some((entry.by.member, OWNER)),
            Action::Add { role, .. } => entry.op.added().map(|node| (node, level(*role))),
            Action::SetRole { member, role } => Some((*member, level(*role))),
            Action::Transfer { to } => {
                says(&mut self.words, entry.by.member, rank, level(GroupRole::Admin));
                Some((*to, OWNER))
            }
            Action::Remove { members, ban, .. } => {
                for member in members {
                    says(&mut self.words, *member, rank, OUT);
                    if *ban {
                        says(&mut self.bans, *member, rank, BANNED);
                    }
                }
                None
            }
            Action::Unban { member } => {
                says(&mut self.bans, *member, rank, FREE);
                None
            }
            Action::Leave => {
                says(&mut self.words, entry.by.member, ABOVE, OUT);
                None
            }
            Action::Describe { .. }
            | Action::SetPolicy { .. }
            | Action::Epoch(_)
            | Action::ForkProof { .. }
            | Action::Devices { .. }
            | Action::Pin { .. } => None,
        };
        if let Some((node, to)) = ranked {
            says(&mut self.words, node, rank, to);
            says(&mut self.bans, node, rank, FREE);
        }
    }

    fn past(&self, at: usize) -> Option<&'a Past> {
        self.all.get(at).map(|entry| &entry.past)
    }

    /// Whether one knows the other.
    fn knows(&self, one: usize, other: usize) -> bool {
        self.past(one).is_some_and(|past| past.contains(other))
    }

    /// Whether an operation is void. All of higher ranks are decided, and those of its rank before it.
    fn falls(&self, at: usize, entry: &Entry) -> bool {
        match &entry.op.action {
            Action::Create { .. } | Action::ForkProof { .. } | Action::Devices { .. } => return false,
            // No node is kept in a group. The OWNER's leaving has its place in the line.
            Action::Leave if entry.by.own < OWNER => return false,
            Action::Leave
            | Action::Add { .. }
            | Action::SetRole { .. }
            | Action::Remove { .. }
            | Action::Unban { .. }
            | Action::Transfer { .. }
            | Action::Describe { .. }
            | Action::SetPolicy { .. }
            | Action::Epoch(_)
            | Action::Pin { .. } => {}
        }
        if self.falls_by_fork(at, entry) {
            return true;
        }
        let (node, rank) = (entry.by.node, entry.by.rank);
        // Rule (e): of an OWNER's operations that do not know each other the first stands.
        if entry.is_of_owner() && self.line.iter().any(|(other, _)| !entry.past.contains(*other)) {
            return true;
        }
        // Rule (c): a higher rank removed or lowered its authority, and neither knew of the other.
        let words = self.words.get(&node).into_iter().flatten();
        let higher = words.filter(|word| word.level > rank && word.level < ABOVE && word.says < rank);
        if higher.filter(|w| !self.void.contains(&w.at)).any(|w| !entry.past.contains(w.at) && !self.knows(w.at, at)) {
            return true;
        }
        // Rule (c): its authority rests on what is void.
        let stands = || self.level_in(node, Some(&entry.past), rank) >= rank;
        let allowed = || self.least(entry).is_none_or(|least| level(least) <= rank);
        let rests_on_nothing = entry.adds_author();
        !(rests_on_nothing || (stands() && allowed()))
    }

    /// Rule (i): a newer list than the one in its past is without the device that speaks, and neither knew of the other.
    fn falls_by_list(&self, at: usize, entry: &Entry) -> bool {
        let Some((stint, known)) = entry.by.under.as_ref().filter(|_| !entry.is_above()) else { return false };
        self.all.lists().any(|(other, _, of, chain)| {
            of == *stint
                && self.view.contains(other)
                && !entry.past.contains(other)
                && !self.knows(other, at)
                && !chain.has(entry.by.device)
                && known.as_ref().is_none_or(|known| chain.rank(known).is_gt())
        })
    }

    /// The least rank that may do this by the policy in its past.
    fn least(&self, entry: &Entry) -> Option<GroupRole> {
        let policy = || self.policy(Some(&entry.past));
        match &entry.op.action {
            Action::Add { .. } => policy().map(|p| p.invite),
            Action::Describe { .. } => policy().map(|p| p.describe),
            Action::Pin { .. } => policy().map(|p| p.pin),
            Action::Epoch(_) => policy().map(|p| p.post.max(GroupRole::Member)),
            Action::Create { .. }
            | Action::SetRole { .. }
            | Action::Remove { .. }
            | Action::Unban { .. }
            | Action::Leave
            | Action::Transfer { .. }
            | Action::SetPolicy { .. }
            | Action::Devices { .. }
            | Action::ForkProof { .. } => None,
        }
    }

    /// A proof voids what its subject did from the fork on without knowing of the proof, but for what others built on:
    /// other members of no lower rank that did not know of it either. OWNERs have rule (e) instead.
    fn falls_by_fork(&self, at: usize, entry: &Entry) -> bool {
        let (subject, person) = (entry.op.author, entry.by.member);
        if entry.by.own == OWNER || entry.is_above() {
            return false;
        }
        let proofs = self.all.proofs().filter(|(at, proof)| proof.device == subject && self.view.contains(*at));
        proofs.into_iter().any(|(_, Proof { seq, .. })| {
            let unaware = |past: &Past| seq > self.all.known_forks(subject, past);
            let builds_on = |(other, later): (usize, &Entry)| {
                self.view.contains(other)
                    && later.by.member != person
                    && !later.is_above()
                    && later.by.rank >= entry.by.rank
                    && later.past.contains(at)
                    && unaware(&later.past)
            };
            seq <= entry.op.seq && unaware(&entry.past) && !self.all.in_order().any(builds_on)
        })
    }

    /// What is said of a member and stands, in a view, by ranks from `least` on. A grant whose author did not know of a
    /// fork of one of its devices makes no more than a GUEST.
    fn said(&self, words: &[Word], node: NodeId, within: Option<&Past>, least: u8) -> Vec<Word> {
        let seen = |word: &&Word| {
            word.level >= least && !self.void.contains(&word.at) && within.is_none_or(|view| view.contains(word.at))
        };
        let guest = level(GroupRole::Guest);
        let view = within.unwrap_or(self.view);
        let proofs = self.all.proofs().filter(|(at, proof)| proof.member == node && view.contains(*at));
        let proofs: Vec<Proof> = proofs.map(|(_, proof)| proof).collect();
        let capped = |word: &Word| {
            let knows = |past: &Past| proofs.iter().all(|p| p.seq <= self.all.known_forks(p.device, past));
            let is_known = proofs.is_empty() || self.past(word.at).is_some_and(knows);
            if is_known { *word } else { Word { says: word.says.min(guest), ..*word } }
        };
        words.iter().filter(seen).map(capped).collect()
    }

    /// Rule (d): from the highest rank down. A lower rank has a say if it is above what the higher ones made of the
    /// person, and only by words that know all of theirs. Those that nothing later replaces remain.
    fn standing(&self, words: &[Word]) -> Vec<Word> {
        let mut standing: Vec<Word> = Vec::new();
        for rank in (1..=ABOVE).rev() {
            let now = standing.iter().map(|word| word.says).min();
            if now.is_some_and(|now| now >= rank) {
                break;
            }
            let counts = |word: &&Word| {
                // "Out" about a node that is out contradicts no operation.
                let agrees = now == Some(0) && word.says == 0;
                word.level == rank && (agrees || standing.iter().all(|other| self.knows(word.at, other.at)))
            };
            let more: Vec<Word> = words.iter().filter(counts).copied().collect();
            if !more.is_empty() {
                standing.extend(more);
                let all = standing.clone();
                standing.retain(|word| !all.iter().any(|other| self.knows(other.at, word.at)));
            }
        }
        standing
    }

    /// The most restrictive of what stands, then the first.
    fn winner(&self, standing: &[Word]) -> Option<(Word, &'a Entry)> {
        let named = standing.iter().filter_map(|word| Some((*word, self.all.get(word.at)?)));
        named.min_by_key(|(word, entry)| (word.says, entry.op.lamport, entry.op.id))
    }

    /// The owner in a view.
    fn owner(&self, within: Option<&Past>) -> Option<NodeId> {
        let line = self.line.iter().rev().filter(|(at, _)| within.is_none_or(|view| view.contains(*at)));
        let given = line.filter_map(|(_, entry)| match &entry.op.action {
            Action::Transfer { to } => Some(*to),
            Action::Create { .. } => Some(entry.by.member),
            Action::Add { .. }
            | Action::SetRole { .. }
            | Action::Remove { .. }
            | Action::Unban { .. }
            | Action::Leave
            | Action::Describe { .. }
            | Action::SetPolicy { .. }
            | Action::Epoch(_)
            | Action::ForkProof { .. }
            | Action::Devices { .. }
            | Action::Pin { .. } => None,
        });
        given.into_iter().next()
    }

    /// The rank of `node` in a view as a number, from the words of ranks from `least` on: exact from there on.
    fn level_in(&self, node: NodeId, within: Option<&Past>, least: u8) -> u8 {
        if self.owner(within) == Some(node) {
            return OWNER;
        }
        let words = self.words.get(&node).map_or(&[][..], Vec::as_slice);
        let standing = self.standing(&self.said(words, node, within, least));
        self.winner(&standing).map_or(0, |(word, _)| word.says.min(level(GroupRole::Admin)))
    }

    fn standing_entries(&self) -> impl DoubleEndedIterator<Item = &'a Entry> {
        self.order.iter().filter(|(at, _)| !self.void.contains(at)).map(|(_, entry)| *entry)
    }

    /// The policy in a view: the last that an OWNER set.
    fn policy(&self, within: Option<&Past>) -> Option<GroupPolicy> {
        let line = self.line.iter().rev().filter(|(at, _)| within.is_none_or(|view| view.contains(*at)));
        let set = line.filter_map(|(_, entry)| policy_of(&entry.op.action));
        set.into_iter().next()
    }

    /// What the group is. None without its first operation.
    pub(crate) fn state(&self) -> Option<State> {
        let (_, create) = self.order.first()?;
        let mut state = State::created(&create.op)?;
        state.owner = self.owner(None)?;
        state.policy = self.policy(None)?;
        for entry in self.standing_entries() {
            if let Action::Describe { field, value } = &entry.op.action {
                match field {
                    Field::Name => state.name.clone_from(value),
                    Field::Description => state.description.clone_from(value),
                }
            }
            if let Action::Pin { message, pinned } = entry.op.action {
                state.pin(message, pinned);
            }
        }
        state.members = OrderedMap::new();
        for (node, words) in &self.words {
            let standing = self.standing(&self.said(words, *node, None, 1));
            let Some((word, entry)) = self.winner(&standing) else { continue };
            let granted = role(word.says.min(level(GroupRole::Admin))).filter(|_| *node != state.owner);
            match granted {
                Some(role) => state.members.extend(self.member(*node, entry, role).map(|member| (*node, member))),
                None if *node == state.owner => {}
                None => {
                    state.removed.insert(*node, entry.op.id);
                }
            }
        }
        self.ban(&mut state);
        self.seat_owner(&mut state);
        self.list(&mut state);
        Some(state)
    }

    /// Of the lists for a stint the one that stands by docs/design/devices.md §4, and of equal ones the first operation.
    fn list(&self, state: &mut State) {
        for (_, entry) in &self.order {
            let (Some((stint, _)), Some(chain)) = (&entry.by.under, &entry.by.list) else { continue };
            if state.lists.get(stint).is_none_or(|known| chain.rank(&known.chain).is_gt()) {
                let list = List { member: entry.by.member, op: entry.op.id, chain: Arc::clone(chain) };
                state.lists.insert(*stint, list);
            }
        }
        state.seat_devices();
    }

    /// A member as the operation that ranks it has it.
    fn member(&self, node: NodeId, entry: &Entry, role: GroupRole) -> Option<Member> {
        let stint = entry.by.stints.iter().find(|(whose, _)| *whose == node).map_or(entry.op.id, |(_, stint)| *stint);
        let op = &self.all.by_id(&stint)?.op;
        Some(match &op.action {
            Action::Add { acceptance, from, .. } => Member::added(stint, acceptance, role, *from),
            Action::Create { .. }
            | Action::SetRole { .. }
            | Action::Remove { .. }
            | Action::Unban { .. }
            | Action::Leave
            | Action::Transfer { .. }
            | Action::Describe { .. }
            | Action::SetPolicy { .. }
            | Action::Epoch(_)
            | Action::ForkProof { .. }
            | Action::Devices { .. }
            | Action::Pin { .. } => Member { role, ..Member::creator(op) },
        })
    }

    /// A banned node is not a member. No member bans an equal.
    fn ban(&self, state: &mut State) {
        for (node, words) in &self.bans {
            let standing = self.standing(&self.said(words, *node, None, 1));
            let Some((word, entry)) = self.winner(&standing).filter(|(word, _)| word.says == 0) else { continue };
            let rank = state.members.get(node).map_or(0, |member| level(member.role));
            if *node == state.owner || rank >= word.level {
                continue;
            }
            state.banned.insert(*node);
            if state.members.remove(node).is_some() {
                state.removed.insert(*node, entry.op.id);
            }
        }
    }

    /// The owner is a member, whatever else is said. It leaves only a group in which no other node is or comes.
    fn seat_owner(&self, state: &mut State) {
        let of_owner = || self.line.iter().rev().filter(|(_, entry)| entry.by.member == state.owner);
        let left = of_owner().find(|(_, entry)| entry.op.action == Action::Leave);
        let alone = |past: &Past| {
            let comes = |word: &Word| word.says > 0 && !self.void.contains(&word.at) && !past.contains(word.at);
            state.members.is_empty() && !self.words.values().flatten().any(comes)
        };
        if let Some((_, leave)) = left.filter(|(_, leave)| alone(&leave.past)) {
            state.removed.insert(state.owner, leave.op.id);
            return;
        }
        let given = |entry: &Entry| match &entry.op.action {
            Action::Transfer { to } => *to == state.owner,
            Action::Create { .. } => entry.by.member == state.owner,
            Action::Add { .. }
            | Action::SetRole { .. }
            | Action::Remove { .. }
            | Action::Unban { .. }
            | Action::Leave
            | Action::Describe { .. }
            | Action::SetPolicy { .. }
            | Action::Epoch(_)
            | Action::ForkProof { .. }
            | Action::Devices { .. }
            | Action::Pin { .. } => false,
        };
        let seat = self.line.iter().rev().find(|(_, entry)| given(entry));
        let member = seat.and_then(|(_, entry)| self.member(state.owner, entry, GroupRole::Owner));
        state.members.extend(member.map(|member| (state.owner, member)));
    }
}

const fn policy_of(action: &Action) -> Option<GroupPolicy> {
    match action {
        Action::Create { policy, .. } | Action::SetPolicy { policy } => Some(*policy),
        Action::Add { .. }
        | Action::SetRole { .. }
        | Action::Remove { .. }
        | Action::Unban { .. }
        | Action::Leave
        | Action::Transfer { .. }
        | Action::Describe { .. }
        | Action::Epoch(_)
        | Action::ForkProof { .. }
        | Action::Devices { .. }
        | Action::Pin { .. } => None,
    }
}
