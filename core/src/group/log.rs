//! All operations of one group (docs/design/groups.md §3): what is taken, what the next one names, what another node
//! lacks, and what the group is after any of them.
//!
//! Pure: no time, no disk, no network. A verdict depends on the operation and on its past, never on what else is here or
//! on the order in which things came.

use alloc::vec::Vec;
use core::cell::RefCell;

use crate::collections::{OrderedMap, OrderedSet};
use crate::group::clock::{Clock, Mark};
use crate::group::entries::{Authority, Entries, Entry};
use crate::group::judge::{Case, of_creation};
use crate::group::op::{GroupRole, MAX_PARENTS, Operation};
use crate::group::past::Past;
use crate::group::resolve::Resolver;
use crate::group::state::State;
use crate::id::{GroupId, NodeId, OpId};
use crate::shared::Arc;

/// States that are remembered: 64, so that a log that goes on from any of its newest places is not resolved anew.
const MAX_STATES: usize = 64;

/// What a log says of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is here.
    Known,
    /// What it names is not here: these.
    Missing(Vec<OpId>),
    /// Its author may not do this, or its place is wrong. So it is at every node and for good.
    Bad,
    /// It can be inserted.
    Fits,
}

/// What a node is in a group at some place in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The operation that made its member one.
    pub(crate) stint: OpId,
    /// Its public key.
    pub(crate) key: [u8; 32],
    pub(crate) role: GroupRole,
    pub(crate) may_post: bool,
}

/// States by their places, which do not know each other; with the time of the last use.
#[derive(Debug, Default)]
struct Memo {
    states: OrderedMap<Vec<usize>, (u64, Arc<State>)>,
    now: u64,
}

impl Memo {
    fn get(&mut self, places: &[usize]) -> Option<Arc<State>> {
        self.now = self.now.saturating_add(1);
        let (used, state) = self.states.get_mut(places)?;
        *used = self.now;
        Some(Arc::clone(state))
    }

    fn put(&mut self, places: Vec<usize>, state: &Arc<State>) {
        self.now = self.now.saturating_add(1);
        self.states.insert(places, (self.now, Arc::clone(state)));
        if self.states.len() > MAX_STATES {
            let oldest = self.states.iter().min_by_key(|(_, (used, _))| *used).map(|(places, _)| places.clone());
            oldest.map(|places| self.states.remove(&places));
        }
    }
}

/// INVARIANT: not empty; the past of each operation is here.
#[derive(Debug)]
pub(crate) struct OpLog {
    group: GroupId,
    all: Entries,
    /// The places that no operation names.
    heads: OrderedSet<usize>,
    memo: RefCell<Memo>,
}

impl OpLog {
    /// The log of a group that was just created; none if this is no creation.
    pub(crate) fn new(create: Operation) -> Option<Self> {
        let state = Arc::new(State::created(&create)?);
        let mut this = Self {
            group: create.group,
            all: Entries::default(),
            heads: OrderedSet::new(),
            memo: RefCell::new(Memo::default()),
        };
        let by = of_creation(&create);
        let at = this.all.push(Entry { op: create, past: Past::default(), by });
        this.heads.insert(at);
        this.memo.get_mut().put(alloc::vec![at], &state);
        Some(this)
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        // Those that came before were checked when they came.
        let last = self.all.len().checked_sub(1);
        let entry = last.and_then(|last| Some((last, self.all.get(last)?)));
        let is_before = |id: &OpId, at: usize| self.all.place(id).is_some_and(|place| place < at);
        match entry.is_some_and(|(at, entry)| entry.op.parents.iter().all(|id| is_before(id, at))) {
            true => Ok(()),
            false => Err("a log has no operation, or one without its past"),
        }
    }

    pub(crate) const fn group(&self) -> GroupId {
        self.group
    }

    /// Whether an operation fits: by its content and its past alone.
    pub(crate) fn judge(&self, op: &Operation) -> Verdict {
        if self.all.place(&op.id).is_some() {
            return Verdict::Known;
        }
        // Another group's first operation has no parents; ours is known.
        if op.group != self.group || op.parents.is_empty() || op.parents.len() > MAX_PARENTS {
            return Verdict::Bad;
        }
        let missing: Vec<OpId> = op.parents.iter().filter(|id| self.all.place(id).is_none()).copied().collect();
        if !missing.is_empty() {
            return Verdict::Missing(missing);
        }
        if self.authority(op).is_some() { Verdict::Fits } else { Verdict::Bad }
    }

    /// The past of an operation of which all parents are here, and whose word it is; none if it is bad.
    fn authority(&self, op: &Operation) -> Option<(Past, Authority)> {
        let places: Vec<usize> = op.parents.iter().filter_map(|id| self.all.place(id)).collect();
        let (past, heads) = self.closed(&places);
        let deepest = places.iter().filter_map(|at| Some(self.all.get(*at)?.op.lamport)).max()?;
        let number = self.all.last_number(op.author, &past);
        // No parent is known to another; depth and number follow exactly.
        if heads.len() != op.parents.len()
            || Some(op.lamport) != deepest.checked_add(1)
            || Some(op.seq) != number.checked_add(1)
        {
            return None;
        }
        let state = self.state_of(&heads)?;
        let by = Case { all: &self.all, past: &past, state: &state, op }.authority()?;
        Some((past, by))
    }

    /// These places with their pasts, and those of them that no other knows.
    fn closed(&self, places: &[usize]) -> (Past, Vec<usize>) {
        let mut before = Past::default();
        places.iter().filter_map(|at| self.all.get(*at)).for_each(|entry| before.join(&entry.past));
        let heads: OrderedSet<usize> = places.iter().filter(|at| !before.contains(**at)).copied().collect();
        heads.iter().for_each(|at| before.insert(*at));
        (before, heads.iter().copied().collect())
    }

    /// Takes an operation. False if it does not fit.
    pub(crate) fn insert(&mut self, op: Operation) -> bool {
        if self.all.place(&op.id).is_some() || op.group != self.group || op.parents.is_empty() {
            return false;
        }
        if op.parents.len() > MAX_PARENTS || op.parents.iter().any(|id| self.all.place(id).is_none()) {
            return false;
        }
        let Some((past, by)) = self.authority(&op) else { return false };
        let parents: OrderedSet<usize> = op.parents.iter().filter_map(|id| self.all.place(id)).collect();
        self.heads.retain(|at| !parents.contains(at));
        let at = self.all.push(Entry { op, past, by });
        self.heads.insert(at);
        // Its own state is cheap now, from that of its past.
        let _ = self.state_of(&[at]);
        true
    }

    /// The state of these places with their pasts. They do not know each other, and ascend.
    fn state_of(&self, places: &[usize]) -> Option<Arc<State>> {
        let known = self.memo.borrow_mut().get(places);
        if known.is_some() {
            return known;
        }
        let state = Arc::new(self.next_state(places).or_else(|| self.resolved(places))?);
        self.memo.borrow_mut().put(places.to_vec(), &state);
        Some(state)
    }

    /// The state after one operation, from that of its past if it is remembered.
    fn next_state(&self, places: &[usize]) -> Option<State> {
        let [at] = places else { return None };
        let entry = self.all.get(*at)?;
        let parents: OrderedSet<usize> = entry.op.parents.iter().filter_map(|id| self.all.place(id)).collect();
        let parents: Vec<usize> = parents.iter().copied().collect();
        let before = self.memo.borrow_mut().get(&parents)?;
        before.with(&entry.op, entry.by.list.as_ref())
    }

    fn resolved(&self, places: &[usize]) -> Option<State> {
        let (view, _) = self.closed(places);
        Resolver::new(&self.all, &view).state()
    }

    /// What the group is now.
    pub(crate) fn state(&self) -> Option<Arc<State>> {
        let heads: Vec<usize> = self.heads.iter().copied().collect();
        self.state_of(&heads)
    }

    /// What the group is after these operations and their pasts. None if one is not here, or there are none.
    pub(crate) fn state_at(&self, heads: &[OpId]) -> Option<Arc<State>> {
        let places: Option<Vec<usize>> = heads.iter().map(|id| self.all.place(id)).collect();
        let (_, heads) = self.closed(&places?);
        self.state_of(&heads)
    }

    /// The operations that are void now, by (lamport, id).
    pub(crate) fn void(&self) -> Vec<OpId> {
        let heads: Vec<usize> = self.heads.iter().copied().collect();
        let (view, _) = self.closed(&heads);
        Resolver::new(&self.all, &view).void()
    }

    /// What `author` is after these operations and their pasts. None if it is no device of a member there or an operation is not
    /// here.
    pub(crate) fn standing_at(&self, heads: &[OpId], author: NodeId) -> Option<Standing> {
        let state = self.state_at(heads)?;
        let device = state.devices.get(&author)?;
        let member = state.members.get(&device.member)?;
        Some(Standing { stint: member.stint, key: device.key, role: member.role, may_post: state.may_post(author) })
    }

    /// The devices of members after an operation in its own past, in order. Empty if it is not here.
    pub(crate) fn devices_at(&self, op: OpId) -> Vec<NodeId> {
        self.state_at(&[op]).map_or_else(Vec::new, |state| state.nodes())
    }

    pub(crate) fn get(&self, id: &OpId) -> Option<&Operation> {
        self.all.by_id(id).map(|entry| &entry.op)
    }

    /// What the next operation names: what no other names, at most the 16 greatest by (lamport, id). Sorted by id.
    pub(crate) fn heads(&self) -> Vec<OpId> {
        let heads = self.heads.iter().filter_map(|at| self.all.get(*at));
        let mut heads: Vec<(u64, OpId)> = heads.map(|entry| (entry.op.lamport, entry.op.id)).collect();
        heads.sort_unstable_by(|a, b| b.cmp(a));
        let mut ids: Vec<OpId> = heads.into_iter().take(MAX_PARENTS).map(|(_, id)| id).collect();
        ids.sort_unstable();
        ids
    }

    /// The largest there is.
    #[cfg(any(test, fuzzing, feature = "fuzzing"))]
    pub(crate) fn lamport(&self) -> u64 {
        self.all.last().map_or(0, |entry| entry.op.lamport)
    }

    /// The number of the next operation of an author who knows all that is here.
    pub(crate) fn next_seq(&self, author: NodeId) -> u64 {
        self.all.of(author).next_back().map_or(1, |(_, entry)| entry.op.seq.saturating_add(1))
    }

    /// Number, parents and lamport of the next operation of an author who knows all that is here. It names
    /// [`Self::heads`], and its own last operation even if there are 16 greater heads: without it, it would fork.
    pub(crate) fn next_place(&self, author: NodeId) -> (u64, Vec<OpId>, u64) {
        let own = self.all.of(author).filter(|(at, _)| self.heads.contains(at)).map(|(_, entry)| &entry.op);
        let mut named: Vec<&Operation> = self.heads().iter().filter_map(|id| self.get(id)).chain(own).collect();
        named.sort_unstable_by_key(|op| (op.author != author, core::cmp::Reverse((op.lamport, op.id))));
        named.dedup_by_key(|op| op.id);
        named.truncate(MAX_PARENTS);
        let deepest = named.iter().map(|op| op.lamport).max().unwrap_or(0);
        let mut parents: Vec<OpId> = named.into_iter().map(|op| op.id).collect();
        parents.sort_unstable();
        (self.next_seq(author), parents, deepest.saturating_add(1))
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The operations by (lamport, id): parents before children, in the same order at every node.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Operation> {
        self.all.in_order().map(|(_, entry)| &entry.op)
    }

    /// Whether `a` is in the causal past of `b`.
    pub(crate) fn is_in_past(&self, a: &OpId, b: &OpId) -> bool {
        let place = self.all.place(a);
        place.is_some_and(|at| self.all.by_id(b).is_some_and(|entry| entry.past.contains(at)))
    }

    /// The same at two nodes if and only if they have the same operations.
    pub(crate) fn state_hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("DONP v1 group log");
        self.all.ids().for_each(|id| {
            hasher.update(id.as_bytes());
        });
        *hasher.finalize().as_bytes()
    }

    /// What is here of each author.
    pub(crate) fn clock(&self) -> Clock {
        self.all.by_author().map(|(author, own)| (author, Mark::of(own.keys()))).collect()
    }

    /// What a node with this clock lacks, parents before children.
    ///
    /// Of an author whose operations differ up to the same number it may have either branch of a fork, and gets all.
    pub(crate) fn beyond(&self, clock: &Clock) -> Vec<&Operation> {
        let mut lacking = OrderedSet::new();
        for (author, own) in self.all.by_author() {
            let theirs = clock.get(&author);
            let has = theirs.map_or(0, |mark| mark.seq);
            let common = Mark::of(own.keys().take_while(|(seq, _)| *seq <= has));
            let from = match theirs {
                None => 0,
                Some(mark) if common == *mark => has,
                // They are ahead, and nothing tells of a fork.
                Some(mark) if common.seq < has && !common.is_forked() && !mark.is_forked() => has,
                Some(_) => 0,
            };
            lacking.extend(own.iter().filter(|((seq, _), _)| *seq > from).map(|(_, at)| *at));
        }
        self.all.in_order().filter(|(at, _)| lacking.contains(at)).map(|(_, entry)| &entry.op).collect()
    }
}
