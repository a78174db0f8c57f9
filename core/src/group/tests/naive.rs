//! The rules of docs/design/groups.md §3 as they are written there, from scratch for every question: the oracle of the
//! resolver. It shares no code with it.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;

use crate::collections::{OrderedMap, OrderedSet};
use crate::group::op::{Action, Field, GroupPolicy, GroupRole, Operation};
use crate::id::{MessageId, NodeId, OpId};
use crate::identity::node_id;
use crate::wire::devices::Chain;

pub(super) fn number(role: GroupRole) -> u8 {
    match role {
        GroupRole::Guest => 1,
        GroupRole::Member => 2,
        GroupRole::Moderator => 3,
        GroupRole::Admin => 4,
        GroupRole::Owner => 5,
    }
}

/// Whose word an operation is in its own past.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    /// A member, and its device that signed.
    pub(super) node: NodeId,
    pub(super) device: NodeId,
    /// The author's member.
    pub(super) member: NodeId,
    pub(super) rank: u8,
    pub(super) own: u8,
    /// The membership of `node`, and the place of the list that makes `device` one of its devices.
    pub(super) under: Option<(OpId, Option<usize>)>,
}

/// What a set of operations amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) void: OrderedSet<OpId>,
    pub(super) members: OrderedMap<NodeId, (u8, OpId)>,
    /// Devices, with their members.
    pub(super) devices: OrderedMap<NodeId, NodeId>,
    /// By membership the operation with the list that stands.
    pub(super) lists: OrderedMap<OpId, OpId>,
    pub(super) removed: OrderedMap<NodeId, OpId>,
    pub(super) banned: OrderedSet<NodeId>,
    pub(super) owner: NodeId,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) policy: GroupPolicy,
    pub(super) pins: Vec<MessageId>,
}

/// Operations by (lamport, id), each with its past.
pub(super) struct Naive {
    pub(super) ops: Vec<Operation>,
    pub(super) past: Vec<OrderedSet<usize>>,
    pub(super) word: Vec<Word>,
    /// The lists of devices that operations carry.
    pub(super) chains: Vec<Option<Chain>>,
    /// Whose fork an operation proves: the device, the number, the member.
    proofs: Vec<Option<(NodeId, u64, NodeId)>>,
    /// Of each operation that ranks members: their stints in its past.
    stints: Vec<OrderedMap<NodeId, OpId>>,
    /// The outcome of each past.
    pub(super) before: Vec<Option<Outcome>>,
}

/// One evaluation of a set.
struct Run<'a> {
    all: &'a Naive,
    set: OrderedSet<usize>,
    void: RefCell<Vec<Option<bool>>>,
}

impl Naive {
    pub(super) fn new<'a>(ops: impl IntoIterator<Item = &'a Operation>) -> Self {
        let mut ops: Vec<Operation> = ops.into_iter().cloned().collect();
        ops.sort_by_key(|op| (op.lamport, op.id));
        let (word, chains, proofs) = (vec![], vec![], vec![]);
        let mut this = Self { ops, past: vec![], word, chains, proofs, stints: vec![], before: vec![] };
        for at in 0..this.ops.len() {
            let op = &this.ops[at];
            let mut past = OrderedSet::new();
            for parent in &op.parents {
                let p = this.ops.iter().position(|other| other.id == *parent).unwrap();
                past.insert(p);
                past.extend(this.past[p].iter().copied());
            }
            this.past.push(past.clone());
            let before = (at > 0).then(|| this.outcome(&past));
            let op = &this.ops[at];
            let member_of = |device: NodeId| match &before {
                Some(before) => before.devices.get(&device).copied(),
                None => Some(device),
            };
            let rank_of = |device: NodeId| match &before {
                Some(before) => member_of(device).and_then(|node| before.members.get(&node)).map_or(0, |m| m.0),
                None => 5,
            };
            let under = |node: &NodeId| {
                let before = before.as_ref()?;
                let stint = before.members.get(node)?.1;
                let place = before.lists.get(&stint).map(|id| this.ops.iter().position(|op| op.id == *id).unwrap());
                Some((stint, place))
            };
            let own = rank_of(op.author);
            let device = match &op.action {
                Action::Add { invitation: Some(token), .. } => token.signer(),
                _ => op.author,
            };
            let rank = match &op.action {
                Action::Add { role, .. } if own == 0 => number(*role),
                Action::ForkProof { .. } | Action::Devices { .. } => 6,
                _ => rank_of(device),
            };
            let (node, member) = (member_of(device).unwrap_or(device), member_of(op.author).unwrap_or(op.author));
            let word = Word { node, device, member, rank, own, under: under(&node) };
            let chain = match &op.action {
                Action::Devices { chain, .. } => Some(Chain::decode(&chain.0, None).unwrap()),
                _ => None,
            };
            let proof = match &op.action {
                Action::ForkProof { one, .. } => Operation::decode(one).ok().map(|op| (op.author, op.seq)),
                _ => None,
            };
            this.proofs.push(proof.map(|(device, seq)| (device, seq, member_of(device).unwrap_or(device))));
            this.chains.push(chain);
            let stints = before.iter().flat_map(|b| b.members.iter().map(|(node, m)| (*node, m.1))).collect();
            this.word.push(word);
            this.stints.push(stints);
            this.before.push(before);
        }
        this
    }

    /// Whose fork an operation proves.
    pub(super) fn proof(&self, at: usize) -> Option<(NodeId, u64)> {
        self.proofs[at].map(|(device, seq, _)| (device, seq))
    }

    fn is_newer(&self, list: usize, than: Option<usize>) -> bool {
        let (Some(list), than) = (&self.chains[list], than.map(|at| self.chains[at].as_ref().unwrap())) else {
            return false;
        };
        than.is_none_or(|than| list.rank(than).is_gt())
    }

    /// Whether an operation falls by a newer list that is without the device that speaks.
    pub(super) fn outlisted(&self, at: usize, set: &OrderedSet<usize>) -> bool {
        let word = self.word[at];
        let Some((stint, known)) = word.under else { return false };
        let drops = |l: &usize| {
            let of = self.word[*l].under.is_some_and(|(of, _)| of == stint);
            of && self.chains[*l].as_ref().is_some_and(|chain| !chain.has(word.device))
                && self.concurrent(*l, at)
                && self.is_newer(*l, known)
        };
        self.chains[at].is_none() && self.proofs[at].is_none() && set.iter().any(drops)
    }

    pub(super) fn concurrent(&self, a: usize, b: usize) -> bool {
        a != b && !self.past[a].contains(&b) && !self.past[b].contains(&a)
    }

    /// What an operation says of a node: its rank; 0 is out.
    pub(super) fn says(&self, at: usize, node: NodeId) -> Option<u8> {
        let op = &self.ops[at];
        match &op.action {
            Action::Create { .. } => (self.word[at].member == node).then_some(5),
            Action::Add { role, .. } => (op.added() == Some(node)).then_some(number(*role)),
            Action::SetRole { member, role } => (*member == node).then_some(number(*role)),
            Action::Remove { members, .. } => members.contains(&node).then_some(0),
            Action::Leave => (self.word[at].member == node).then_some(0),
            Action::Transfer { to } if *to == node => Some(5),
            Action::Transfer { .. } => (self.word[at].member == node).then_some(4),
            _ => None,
        }
    }

    /// Whether it says that a node is banned.
    fn bans(&self, at: usize, node: NodeId) -> Option<bool> {
        match &self.ops[at].action {
            Action::Remove { members, ban: true, .. } => members.contains(&node).then_some(true),
            Action::Unban { member } => (*member == node).then_some(false),
            Action::Transfer { to } => (*to == node).then_some(false),
            Action::Create { .. } | Action::Add { .. } | Action::SetRole { .. } => self.says(at, node).map(|_| false),
            _ => None,
        }
    }

    fn level(&self, at: usize) -> u8 {
        if self.ops[at].action == Action::Leave { 6 } else { self.word[at].rank }
    }

    pub(super) fn is_of_owner(&self, at: usize) -> bool {
        let word = self.word[at];
        word.own == 5 && word.node == word.member && word.rank == 5
    }

    /// Whether no rank makes an operation void.
    pub(super) fn is_safe(&self, at: usize) -> bool {
        match &self.ops[at].action {
            Action::Create { .. } | Action::ForkProof { .. } | Action::Devices { .. } => true,
            Action::Leave => self.word[at].own < 5,
            _ => false,
        }
    }

    /// A node that knows `past` knows the forks of `node` up to this number.
    fn known(&self, node: NodeId, past: &OrderedSet<usize>) -> u64 {
        let proofs = past.iter().filter_map(|p| self.proof(*p)).filter(|(whose, _)| *whose == node);
        let Some(proved) = proofs.map(|(_, seq)| seq).max() else { return 0 };
        let own = past.iter().filter(|p| self.ops[**p].author == node).map(|p| self.ops[*p].seq);
        own.max().unwrap_or(0).max(proved)
    }

    pub(super) fn outcome(&self, set: &OrderedSet<usize>) -> Outcome {
        let run = Run { all: self, set: set.iter().copied().collect(), void: RefCell::new(vec![None; self.ops.len()]) };
        run.outcome()
    }

    pub(super) fn everything(&self) -> Outcome {
        self.outcome(&(0..self.ops.len()).collect())
    }
}

impl Run<'_> {
    fn void(&self, at: usize) -> bool {
        if let Some(known) = self.void.borrow()[at] {
            return known;
        }
        let void = self.decide(at);
        self.void.borrow_mut()[at] = Some(void);
        void
    }

    fn decide(&self, at: usize) -> bool {
        let all = self.all;
        if all.outlisted(at, &self.set) {
            return true;
        }
        if all.is_safe(at) {
            return false;
        }
        let (op, word) = (&all.ops[at], all.word[at]);
        if word.own < 5 && self.forked(at) {
            return true;
        }
        let earlier = |j: &usize| *j < at && all.is_of_owner(*j) && !all.past[at].contains(j) && !self.void(*j);
        if all.is_of_owner(at) && self.set.iter().any(earlier) {
            return true;
        }
        let lowers = |j: &usize| {
            all.word[*j].rank > word.rank
                && all.level(*j) < 6
                && all.says(*j, word.node).is_some_and(|says| says < word.rank)
                && all.concurrent(*j, at)
                && !self.void(*j)
        };
        if self.set.iter().any(lowers) {
            return true;
        }
        if op.added() == Some(op.author) {
            return false;
        }
        let past = &all.past[at];
        if self.rank(word.node, past, word.rank) < word.rank {
            return true;
        }
        let Some(policy) = self.policy(past) else { return true };
        let least = match &op.action {
            Action::Add { .. } => policy.invite,
            Action::Describe { .. } => policy.describe,
            Action::Pin { .. } => policy.pin,
            Action::Epoch(_) => policy.post.max(GroupRole::Member),
            _ => GroupRole::Guest,
        };
        number(least) > word.rank
    }

    fn forked(&self, at: usize) -> bool {
        let all = self.all;
        let subject = all.ops[at].author;
        let proofs = self.set.iter().filter_map(|p| all.proof(*p)).filter(|(whose, _)| *whose == subject);
        let mut numbers = proofs.map(|(_, seq)| seq);
        numbers.any(|seq| {
            let saves = |c: &usize| {
                all.word[*c].member != all.word[at].member
                    && all.word[*c].rank < 6
                    && all.word[*c].rank >= all.word[at].rank
                    && all.past[*c].contains(&at)
                    && all.known(subject, &all.past[*c]) < seq
            };
            all.ops[at].seq >= seq && all.known(subject, &all.past[at]) < seq && !self.set.iter().any(saves)
        })
    }

    /// The OWNERs' own operations that stand, in order.
    fn line<'a>(&'a self, within: &'a OrderedSet<usize>) -> impl DoubleEndedIterator<Item = usize> + 'a {
        let own: Vec<usize> = within.iter().copied().filter(|j| self.all.is_of_owner(*j) && !self.void(*j)).collect();
        own.into_iter()
    }

    fn owner(&self, within: &OrderedSet<usize>) -> NodeId {
        let mut given = self.line(within).filter_map(|j| match &self.all.ops[j].action {
            Action::Transfer { to } => Some(*to),
            _ => None,
        });
        given.next_back().unwrap_or(self.all.ops[0].author)
    }

    fn policy(&self, within: &OrderedSet<usize>) -> Option<GroupPolicy> {
        let mut set = self.line(within).filter_map(|j| match &self.all.ops[j].action {
            Action::SetPolicy { policy } | Action::Create { policy, .. } => Some(*policy),
            _ => None,
        });
        set.next_back()
    }

    /// What remains of some statements, ranks from the highest down; each with what it says.
    fn remains(&self, said: &[(usize, u8)]) -> Vec<(usize, u8)> {
        let knows = |a: usize, b: usize| self.all.past[a].contains(&b);
        let mut kept: Vec<(usize, u8)> = vec![];
        for level in [6, 5, 4, 3, 2, 1] {
            let least = kept.iter().map(|k| k.1).min();
            if least.is_some_and(|least| least >= level) {
                return kept;
            }
            let mut next = kept.clone();
            for (at, says) in said.iter().filter(|(at, _)| self.all.level(*at) == level) {
                let informed = kept.iter().all(|k| knows(*at, k.0));
                if informed || (least == Some(0) && *says == 0) {
                    next.push((*at, *says));
                }
            }
            kept = next.iter().filter(|a| !next.iter().any(|b| knows(b.0, a.0))).copied().collect();
        }
        kept
    }

    /// What is said of a node and stands, within a set and from a rank on.
    fn said(&self, node: NodeId, within: &OrderedSet<usize>, least: u8) -> Vec<(usize, u8)> {
        let all = self.all;
        let proofs = within.iter().filter_map(|p| all.proofs[*p]).filter(|(.., member)| *member == node);
        let proofs: Vec<_> = proofs.collect();
        let lacks = |j: usize| proofs.iter().any(|(device, seq, _)| all.known(*device, &all.past[j]) < *seq);
        let heard = within.iter().filter(|j| all.level(**j) >= least);
        let heard = heard.filter_map(|j| Some((*j, all.says(*j, node)?))).filter(|(j, _)| !self.void(*j));
        heard.map(|(j, says)| (j, if lacks(j) { says.min(1) } else { says })).collect()
    }

    fn rank(&self, node: NodeId, within: &OrderedSet<usize>, least: u8) -> u8 {
        if self.owner(within) == node {
            return 5;
        }
        let kept = self.remains(&self.said(node, within, least));
        kept.iter().map(|k| k.1.min(4)).min().unwrap_or(0)
    }

    fn outcome(&self) -> Outcome {
        let all = self.all;
        let void: OrderedSet<usize> = self.set.iter().copied().filter(|j| self.void(*j)).collect();
        let owner = self.owner(&self.set);
        let mut nodes = OrderedSet::new();
        for at in &self.set {
            let op = &all.ops[*at];
            nodes.insert(all.word[*at].member);
            nodes.extend(op.added());
            match &op.action {
                Action::Remove { members, .. } => nodes.extend(members.iter().copied()),
                Action::SetRole { member, .. } => nodes.extend([*member]),
                _ => {}
            }
        }
        let (mut members, mut removed, mut banned) = (OrderedMap::new(), OrderedMap::new(), OrderedSet::new());
        for node in nodes.iter().filter(|node| **node != owner) {
            let kept = self.remains(&self.said(*node, &self.set, 1));
            // Places ascend by (lamport, id).
            let Some((at, says)) = kept.iter().min_by_key(|k| (k.1, k.0)).copied() else { continue };
            if says == 0 {
                removed.insert(*node, all.ops[at].id);
            } else {
                members.insert(*node, (says.min(4), self.stint(at, *node)));
            }
            let bans = self.set.iter().filter(|j| !void.contains(*j));
            let bans: Vec<(usize, u8)> = bans.filter_map(|j| Some((*j, u8::from(!all.bans(*j, *node)?)))).collect();
            let kept = self.remains(&bans);
            if let Some((at, 0)) = kept.iter().min_by_key(|k| (k.1, k.0)).copied()
                && members.get(node).is_none_or(|m| m.0 < all.level(at))
            {
                banned.insert(*node);
                if members.remove(node).is_some() {
                    removed.insert(*node, all.ops[at].id);
                }
            }
        }
        self.seat(owner, &mut members, &mut removed);
        let mut lists: OrderedMap<OpId, usize> = OrderedMap::new();
        for at in self.set.iter().filter(|at| all.chains[**at].is_some()) {
            let Some((stint, _)) = all.word[*at].under else { continue };
            if all.is_newer(*at, lists.get(&stint).copied()) {
                lists.insert(stint, *at);
            }
        }
        // Who is a member is its own device, if its list has it. The others are those of the first list that has them.
        let chain = |stint: &OpId| lists.get(stint).and_then(|at| all.chains[*at].as_ref());
        let mut devices: OrderedMap<NodeId, NodeId> = OrderedMap::new();
        for (node, (_, stint)) in &members {
            if chain(stint).is_none_or(|chain| chain.has(*node)) {
                devices.insert(*node, *node);
            }
        }
        for (node, (_, stint)) in &members {
            for entry in chain(stint).iter().flat_map(|chain| &chain.head().entries) {
                devices.entry(node_id(&entry.device)).or_insert(*node);
            }
        }
        let text = |wanted: Field| {
            let mut texts = self.set.iter().filter(|j| !void.contains(*j)).filter_map(|j| match &all.ops[*j].action {
                Action::Describe { field, value } if *field == wanted => Some(value.clone()),
                Action::Create { name, .. } if wanted == Field::Name => Some(name.clone()),
                _ => None,
            });
            texts.next_back().unwrap_or_default()
        };
        Outcome {
            void: void.iter().map(|j| all.ops[*j].id).collect(),
            members,
            devices,
            lists: lists.iter().map(|(stint, at)| (*stint, all.ops[*at].id)).collect(),
            removed,
            banned,
            owner,
            name: text(Field::Name),
            description: text(Field::Description),
            policy: self.policy(&self.set).unwrap(),
            pins: self.pins(&void),
        }
    }

    /// Of each message the last word stands, and they are in the order of these words.
    fn pins(&self, void: &OrderedSet<usize>) -> Vec<MessageId> {
        let stand = self.set.iter().filter(|j| !void.contains(*j));
        let words = stand.filter_map(|j| match self.all.ops[*j].action {
            Action::Pin { message, pinned } => Some((*j, message, pinned)),
            _ => None,
        });
        let words: Vec<_> = words.collect();
        let last = |(at, message, _): &&(usize, MessageId, bool)| !words.iter().any(|w| w.1 == *message && w.0 > *at);
        words.iter().filter(last).filter(|w| w.2).map(|w| w.1).collect()
    }

    fn seat(
        &self,
        owner: NodeId,
        members: &mut OrderedMap<NodeId, (u8, OpId)>,
        removed: &mut OrderedMap<NodeId, OpId>,
    ) {
        let all = self.all;
        let is_leave = |j: &usize| all.ops[*j].action == Action::Leave && all.word[*j].member == owner;
        if let Some(leave) = self.line(&self.set).rfind(is_leave) {
            let comes = |j: &usize| {
                let grants = |node: NodeId| all.says(*j, node).is_some_and(|says| says > 0);
                let op = &all.ops[*j];
                let target = match &op.action {
                    Action::Transfer { to } => Some(*to),
                    Action::SetRole { member, .. } => Some(*member),
                    _ => op.added(),
                };
                target.is_some_and(grants) && !self.void(*j) && !all.past[leave].contains(j)
            };
            if members.is_empty() && !self.set.iter().any(comes) {
                removed.insert(owner, all.ops[leave].id);
                return;
            }
        }
        let seat = self.line(&self.set).rfind(|j| all.says(*j, owner) == Some(5)).unwrap();
        members.insert(owner, (5, self.stint(seat, owner)));
    }

    fn stint(&self, at: usize, node: NodeId) -> OpId {
        let op = &self.all.ops[at];
        match &op.action {
            Action::Create { .. } | Action::Add { .. } => op.id,
            _ => self.all.stints[at].get(&node).copied().unwrap(),
        }
    }
}
