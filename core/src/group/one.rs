//! One group at one member.

use alloc::string::String;
use alloc::vec::Vec;

use crate::collections::{OrderedMap, OrderedSet};
use crate::group::change::{GroupChange, changes};
use crate::group::clock::{Clock, Mark};
use crate::group::entries::makes_epoch;
use crate::group::keys::{Changes, Epoch, Epochs, SecretMessage};
use crate::group::log::{OpLog, Verdict};
use crate::group::op::{Acceptance, Action, GroupKind, GroupPolicy, GroupRole, Invitation, Operation};
use crate::group::state::{Device, Member, State};
use crate::group::wire::Message;
use crate::group::{EPOCHS, JOINING, OPERATIONS, Out};
use crate::id::{GroupId, MessageId, NodeId, OpId};
use crate::machine::{Cx, Outbox};
use crate::shared::Arc;
use crate::store::Record;
use crate::time::{Duration, Instant, WallTime, soonest};
use crate::wire::devices::Chain;
use crate::wire::group::{Context, GroupView, Reader};
use crate::wire::{Blob, Malformed, encode};

/// Members that each other member wants a link with: 64, the limit of instructed broadcasts (docs/design/groups.md §5).
/// In a larger group each wants 16, so that what it says goes on.
const LINKED_MEMBERS: usize = 64;
const PARTNERS: usize = 16;
/// Operations that wait for what they name: 1,000 a group (docs/design/groups.md §2).
const MAX_WAITING: usize = 1_000;
/// Of them a quarter may be brought by nodes that are no members here, such as newcomers.
const MAX_OF_STRANGERS: usize = MAX_WAITING / 4;
/// What came from another member is announced after this: 500 ms ± 50 %, so that operations that come together are
/// announced once.
const NEWS_AFTER: Duration = Duration::from_millis(500);
/// Members with whom news are compared at once. With three of those that are linked each, news reach all in a few
/// rounds (Demers et al. 1987).
const TOLD: usize = 3;
/// A list of devices is written by each own device of its account 5 s after the one before it in the list, if none is here by
/// then: a round trip and what comes with it, as for questions (`RETRY` in `joining.rs`).
const LIST_AFTER: Duration = Duration::from_secs(5);
/// Operations are compared with one linked member every minute, as broadcasts are (chat.compare_every).
const COMPARE_EVERY: Duration = Duration::from_secs(60);
/// The whole log is sent to a node once in 5 s, the pause after which a request to join is repeated; to so many at once.
const ANSWER_EVERY: Duration = Duration::from_secs(5);
const MAX_ANSWERED: usize = 256;
/// Epochs are looked for among so many of the newest operations that made one.
const EPOCHS_BACK: usize = 64;

/// A node that would like to join.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) acceptance: Acceptance,
    pub(super) invitation: Option<Invitation>,
    /// It waits for an approval; otherwise for the depth from which it may read.
    pub(super) asks: bool,
}

/// A secret that is missing here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) at: Instant,
    pub(super) tries: u32,
}

pub(super) struct Group {
    pub(super) id: GroupId,
    pub(super) ops: OpLog,
    pub(super) epochs: Epochs,
    pub(super) waiting: OrderedMap<OpId, Operation>,
    pub(super) requests: OrderedMap<NodeId, Request>,
    /// The epoch whose secret is missing.
    pub(super) asked: OrderedMap<OpId, Asked>,
    /// Secrets given, by epoch and member.
    pub(super) given: OrderedMap<(OpId, NodeId), u32>,
    /// Secrets that came before the operation that committed to them.
    pub(super) early: OrderedMap<OpId, SecretMessage>,
    /// The epoch in which this node seals: held, and its holders are the members.
    pub(super) usable: Option<OpId>,
    /// The epochs in which other members seal, as each says of itself. INVARIANT: of members alone.
    key_of: OrderedMap<NodeId, OpId>,
    /// INVARIANT: that of all operations.
    state: Arc<State>,
    /// When the whole log was last sent to a node that asked to join.
    answered: OrderedMap<NodeId, Instant>,
    /// Operations that made an epoch.
    made: OrderedSet<OpId>,
    /// Operations that have no effect.
    void: OrderedSet<OpId>,
    /// The state that was last reported to the application; none before this node was a member.
    shown: Option<Arc<State>>,
    view: Option<Arc<GroupView>>,
    /// This node was added and has not caught up yet: the application gets an event when it has.
    pub(super) is_arriving: bool,
    news_at: Option<Instant>,
    /// When this device writes the list of its account's devices.
    pub(super) list_at: Option<Instant>,
    /// Before that, what a device said that is not in it any more was named.
    pub(super) stood: bool,
    compare_at: Instant,
}

/// A group, for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInfo {
    /// Which.
    pub id: GroupId,
    /// Which nodes can join it.
    pub kind: GroupKind,
    /// Its name.
    pub name: String,
    /// Its description, empty if there is none.
    pub description: String,
    /// Which role may do what.
    pub policy: GroupPolicy,
    /// A TEMPORARY group ends then.
    pub expires: Option<WallTime>,
    /// This node's rank; none if it is no member any more.
    pub role: Option<GroupRole>,
    /// The members, sorted by id.
    pub members: Vec<GroupMember>,
    /// Pinned messages, the one that was pinned last at the end: the last 64. A member may lack one, or may not read it.
    pub pinned: Vec<MessageId>,
    /// Nodes that wait for the word of a member who may invite.
    pub requests: Vec<NodeId>,
    /// Whether this node holds the key of the present members.
    pub holds_key: bool,
    /// How many members hold it, this one included, as far as is known here: each says so of itself, when it is linked or
    /// says something. 0 in a PUBLIC group, which has none.
    pub key_holders: usize,
    /// Epochs that a thief of this device could open.
    pub epochs: usize,
    /// Equal at two members exactly if both have the same operations.
    pub state: [u8; 32],
}

/// A member of a group: a person with up to eight devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// The node that was added: it names the member, also when the device is gone.
    pub id: NodeId,
    /// Its rank, which each of its devices has.
    pub role: GroupRole,
    /// Its devices, sorted by id.
    pub devices: Vec<NodeId>,
    from: u64,
}

impl GroupMember {
    /// One with one device that may read everything.
    pub fn new(id: NodeId, role: GroupRole) -> Self {
        Self { id, role, devices: alloc::vec![id], from: 0 }
    }

    /// The depth of messages from which on it may read what was said before it came.
    pub const fn reads_from(&self) -> u64 {
        self.from
    }
}

impl Group {
    /// None if the log has no state.
    pub(super) fn new(id: GroupId, ops: OpLog, now: Instant) -> Option<Self> {
        let mut group = Self {
            id,
            state: ops.state()?,
            void: ops.void().into_iter().collect(),
            made: OrderedSet::new(),
            answered: OrderedMap::new(),
            ops,
            epochs: Epochs::default(),
            waiting: OrderedMap::new(),
            requests: OrderedMap::new(),
            asked: OrderedMap::new(),
            given: OrderedMap::new(),
            early: OrderedMap::new(),
            usable: None,
            key_of: OrderedMap::new(),
            shown: None,
            view: None,
            is_arriving: false,
            news_at: None,
            list_at: None,
            stood: false,
            compare_at: now + COMPARE_EVERY,
        };
        let made: Vec<OpId> = group.ops.iter().map(|op| op.id).collect();
        for id in made {
            if group.ops.get(&id).is_some_and(|op| group.makes_epoch(op)) {
                group.made.insert(id);
            }
        }
        Some(group)
    }

    /// A group as it was stored.
    pub(super) fn restore(
        id: GroupId,
        me: NodeId,
        operations: Vec<Operation>,
        keys: &[Record],
        cx: &Cx<'_>,
        out: &mut Outbox<Out>,
    ) -> Result<Self, Malformed> {
        let ops = collect(id, operations).ok_or(Malformed)?;
        let mut group = Self::new(id, ops, cx.now).ok_or(Malformed)?;
        group.take_epochs(keys, out);
        group.shown = Some(Arc::clone(&group.state));
        group.choose(me, cx.wall);
        Ok(group)
    }

    /// Epochs as they were stored.
    pub(super) fn take_epochs(&mut self, keys: &[Record], out: &mut Outbox<Out>) {
        let mut epochs = Vec::new();
        for rows in keys.chunk_by(|a, b| a.key.get(..64) == b.key.get(..64)) {
            let row = |r: &Record| (r.key.get(64..).unwrap_or_default().to_vec(), r.value.clone());
            // One that is damaged is asked for again.
            match Epoch::restore(self.id, &rows.iter().map(row).collect::<Vec<_>>()) {
                Ok(epoch) => epochs.push(epoch),
                Err(Malformed) => rows.iter().for_each(|r| out.delete(EPOCHS, r.key.clone())),
            }
        }
        self.epochs = Epochs::restore(epochs);
    }

    /// After a start: what was missing is asked for again.
    pub(super) fn resume(&mut self, cx: &mut Cx<'_>, me: NodeId, out: &mut Outbox<Out>) {
        self.derive(me, cx, out);
        self.choose(me, cx.wall);
        self.ask_later(cx, me);
        self.save(out);
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// How often an invitation was used.
    pub(super) fn uses(&self, nonce: &[u8; 16]) -> usize {
        let is_by = |op: &&Operation| matches!(&op.action, Action::Add { invitation: Some(invitation), .. } if invitation.nonce == *nonce);
        self.ops.iter().filter(is_by).count()
    }

    /// Whether another node has operations that are not here.
    pub(super) fn lacks(&self, clock: &Clock) -> bool {
        let own = self.ops.clock();
        let is_new = |(author, theirs): (&NodeId, &Mark)| match own.get(author) {
            None => true,
            Some(ours) => {
                theirs.seq > ours.seq
                    || theirs.count > ours.count
                    || (theirs.seq == ours.seq && theirs.count == ours.count && theirs.tip != ours.tip)
            }
        };
        clock.iter().any(is_new)
    }

    /// The devices of members as the application knows them.
    pub(super) fn devices_shown(&self) -> impl Iterator<Item = NodeId> {
        self.shown.iter().flat_map(|shown| shown.devices.keys().copied())
    }

    /// Whether a node is a device of a member.
    pub(super) fn is_member(&self, node: NodeId) -> bool {
        self.state().devices.contains_key(&node)
    }

    pub(super) fn role(&self, node: NodeId) -> Option<GroupRole> {
        self.state().role(node)
    }

    pub(super) fn info(&self, me: NodeId) -> GroupInfo {
        let state = self.state();
        GroupInfo {
            id: self.id,
            kind: state.kind,
            name: state.name.clone(),
            description: state.description.clone(),
            policy: state.policy,
            expires: state.expires,
            role: self.role(me),
            members: self.members(),
            pinned: state.shown_pins().to_vec(),
            requests: self.requests.iter().filter(|(_, r)| r.asks).map(|(node, _)| *node).collect(),
            holds_key: self.usable.is_some(),
            key_holders: self.key_holders(me),
            epochs: self.epochs.count(),
            state: self.ops.state_hash(),
        }
    }

    /// A member says in which epoch it seals, or sealed something in it.
    pub(super) fn key_held(&mut self, member: NodeId, epoch: Option<OpId>) {
        if !self.is_member(member) {
            return;
        }
        match epoch {
            Some(epoch) => self.key_of.insert(member, epoch),
            None => self.key_of.remove(&member),
        };
    }

    /// How many members hold the key of the present members, as far as is known.
    fn key_holders(&self, me: NodeId) -> usize {
        let Some(epoch) = self.candidate().filter(|_| self.state.kind != GroupKind::Public) else { return 0 };
        let others =
            self.key_of.iter().filter(|(device, held)| **device != me && **held == epoch).map(|(device, _)| *device);
        let holders = others.chain((self.usable == Some(epoch)).then_some(me));
        let members: OrderedSet<NodeId> = holders.filter_map(|device| self.state.member_of(device)).collect();
        members.len()
    }

    /// The members, each with its devices.
    fn members(&self) -> Vec<GroupMember> {
        let state = self.state();
        let mut devices: OrderedMap<NodeId, Vec<NodeId>> = OrderedMap::new();
        state.devices.iter().for_each(|(node, device)| devices.entry(device.member).or_default().push(*node));
        let member = |(id, m): (&NodeId, &Member)| GroupMember {
            id: *id,
            role: m.role,
            devices: devices.remove(id).unwrap_or_default(),
            from: m.from,
        };
        state.members.iter().map(member).collect()
    }

    /// The member that this device acts as.
    fn own(&self, me: NodeId) -> Option<(NodeId, &Member)> {
        let member = self.state.member_of(me)?;
        Some((member, self.state.members.get(&member)?))
    }

    /// Whether this device's account has other devices than the group knows of.
    pub(super) fn lacks_list(&self, me: NodeId, chain: &Chain) -> bool {
        let Some((_, member)) = self.own(me) else { return false };
        let differs = match self.state.lists.get(&member.stint) {
            None => chain.devices().count() > 1,
            Some(list) => chain.rank(&list.chain).is_gt() && !chain.devices().eq(list.chain.devices()),
        };
        differs && chain.keys().id() == member.account && chain.has(me)
    }

    /// Own devices that are here write a list after one another, the most senior at once: so it is written once.
    pub(super) fn plan_list(&mut self, cx: &Cx<'_>, me: NodeId, chain: &Chain) {
        if !self.lacks_list(me, chain) {
            self.list_at = None;
        } else if self.list_at.is_none() {
            let here = chain.devices().take_while(|device| *device != me).filter(|device| self.is_member(*device));
            let wait = LIST_AFTER.checked_mul(u32::try_from(here.count()).unwrap_or(u32::MAX)).unwrap_or(LIST_AFTER);
            self.list_at = Some(cx.now + wait);
        }
    }

    /// Whether a list is without a device that this device's member has now.
    pub(super) fn drops_device(&self, me: NodeId, chain: &Chain) -> bool {
        self.own(me).is_some_and(|(member, _)| self.state.devices_of(member).any(|device| !chain.has(device)))
    }

    /// Whether the own membership gives way to that of another own device, whose list names this one: a person is one
    /// member. It is the later one, or the one of the account that this device has left.
    pub(super) fn gives_way(&self, me: NodeId, chain: &Chain) -> bool {
        let Some((_, own)) = self.own(me).filter(|(id, own)| *id == me && own.role < GroupRole::Owner) else {
            return false;
        };
        let account = chain.keys().id();
        let since = |member: &Member| self.ops.get(&member.stint).map(|op| (op.lamport, op.id));
        let is_before = |other: &Member| own.account != account || since(other) < since(own);
        let names_me = |other: &Member| self.state.lists.get(&other.stint).is_some_and(|list| list.chain.has(me));
        let others = self.state.members.iter().filter(|(id, other)| **id != me && other.account == account);
        others.into_iter().any(|(_, other)| names_me(other) && is_before(other))
    }

    /// Members that this node wants a link with.
    pub(super) fn partners(&self, me: NodeId) -> Vec<NodeId> {
        if !self.is_member(me) {
            return Vec::new();
        }
        let others: Vec<NodeId> = self.state().devices.keys().copied().filter(|m| *m != me).collect();
        if others.len() < LINKED_MEMBERS {
            return others;
        }
        // A ring with jumps of 1, 2, 4, …: every member is reached in a few steps (Stoica et al. 2001).
        let at = others.partition_point(|m| *m < me);
        let jumps = (0..PARTNERS as u32).map(|n| 1usize.checked_shl(n).unwrap_or(usize::MAX));
        let near = jumps.take_while(|jump| *jump <= others.len());
        let picked: OrderedSet<NodeId> = near
            .filter_map(|jump| {
                let place = at.saturating_add(jump).saturating_sub(1).checked_rem(others.len())?;
                others.get(place).copied()
            })
            .collect();
        picked.into_iter().collect()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        soonest(self.pressing_deadline(), Some(self.compare_at))
    }

    pub(super) fn pressing_deadline(&self) -> Option<Instant> {
        soonest(soonest(self.asked.values().map(|a| a.at).min(), self.news_at), self.list_at)
    }

    pub(super) fn len(&self) -> usize {
        [
            self.ops.len(),
            self.epochs.iter().map(|epoch| epoch.holders().len()).fold(0, usize::saturating_add),
            self.waiting.len(),
            self.requests.len(),
            self.asked.len(),
            self.given.len(),
            self.early.len(),
            self.state.devices.len(),
            self.state.lists.len(),
            self.void.len(),
            self.made.len(),
            self.answered.len(),
            self.key_of.len(),
            1,
        ]
        .into_iter()
        .fold(0, usize::saturating_add)
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.waiting.keys().any(|id| self.ops.get(id).is_some()) {
            return Err("an operation waits that is there");
        }
        if self.key_of.keys().any(|member| !self.is_member(*member)) {
            return Err("the key of a node is remembered that is no member");
        }
        self.ops.check()?;
        self.state.check()?;
        self.epochs.iter().try_for_each(Epoch::check)
    }

    /// Says to a node what is here.
    pub(super) fn greet(&mut self, cx: &Cx<'_>, peer: NodeId, me: NodeId, out: &mut Outbox<Out>) {
        if !self.is_member(peer) || !self.is_member(me) {
            return;
        }
        self.say_state(peer, true, out);
        // A member that does not know this node yet learns of it by its own addition, or by the list that names it.
        let Some((_, own)) = self.own(me) else { return };
        let list = self.state.lists.get(&own.stint).map(|list| list.op);
        let day = 86_400_000;
        let added = [Some(own.stint), list].into_iter().flatten().filter_map(|op| self.ops.get(&op));
        let added = added.filter(|op| cx.wall.0.saturating_sub(op.wall.0) < day);
        let ops: Vec<Blob> = added.map(|op| Blob(op.bytes.clone())).collect();
        if !ops.is_empty() {
            out.push(Out::Say { to: peer, body: encode(&Message::Ops { group: self.id, ops }) });
        }
    }

    pub(super) fn say_state(&self, peer: NodeId, answer: bool, out: &mut Outbox<Out>) {
        let (hash, clock) = (self.ops.state_hash(), self.ops.clock());
        let message = Message::State { group: self.id, hash, clock, answer, key: self.usable };
        out.push(Out::Say { to: peer, body: encode(&message) });
    }

    /// Takes an operation, and those that waited for it. [`Self::resolve`] follows if any is new.
    pub(super) fn offer(&mut self, op: Operation, is_of_member: bool, out: &mut Outbox<Out>) -> Offered {
        match self.ops.judge(&op) {
            Verdict::Known => return Offered::Known,
            Verdict::Bad => return Offered::Bad,
            Verdict::Missing(_) => {
                self.wait(op, is_of_member);
                return Offered::Missing;
            }
            Verdict::Fits => {}
        }
        let mut new = alloc::vec![op.id];
        self.take(op, out);
        while let Some(id) = new.pop() {
            // Only what names it can be ready by it.
            let names = |op: &Operation| op.parents.binary_search(&id).is_ok();
            let ready: Vec<OpId> = self.waiting.iter().filter(|(_, op)| names(op)).map(|(id, _)| *id).collect();
            for id in ready {
                let verdict = self.waiting.get(&id).map(|op| self.ops.judge(op));
                if matches!(verdict, None | Some(Verdict::Missing(_))) {
                    continue;
                }
                let Some(op) = self.waiting.remove(&id).filter(|_| verdict == Some(Verdict::Fits)) else { continue };
                self.take(op, out);
                new.push(id);
            }
        }
        Offered::New
    }

    /// Keeps an operation until what it names is here.
    fn wait(&mut self, op: Operation, is_of_member: bool) {
        // A form and a signature are all that is known of it: a stranger takes no place from members.
        if !is_of_member && self.waiting.len() >= MAX_OF_STRANGERS {
            return;
        }
        if self.waiting.len() >= MAX_WAITING {
            // The deepest gives way: it is the last that could be taken.
            let deepest = self.waiting.iter().max_by_key(|(_, op)| op.lamport).map(|(id, _)| *id);
            deepest.and_then(|id| self.waiting.remove(&id));
        }
        self.waiting.insert(op.id, op);
    }

    pub(super) fn insert(&mut self, op: Operation, out: &mut Outbox<Out>) {
        self.take(op, out);
        self.resolve();
    }

    fn take(&mut self, op: Operation, out: &mut Outbox<Out>) {
        out.put(OPERATIONS, [self.id.0, op.id.0].concat(), op.bytes.clone());
        let id = op.id;
        self.ops.insert(op);
        if self.ops.get(&id).is_some_and(|op| self.makes_epoch(op)) {
            self.made.insert(id);
        }
    }

    /// What the group is now.
    pub(super) fn resolve(&mut self) {
        if let Some(state) = self.ops.state() {
            self.state = state;
        }
        self.void = self.ops.void().into_iter().collect();
        let state = &self.state;
        self.key_of.retain(|device, _| state.devices.contains_key(device));
    }

    /// Whether the whole log may be sent to a node that asks to join. A question is 150 bytes and the answer 180 an
    /// operation, so each node has one in five seconds, as it asks.
    pub(super) fn answers(&mut self, node: NodeId, now: Instant) -> bool {
        self.answered.retain(|_, at| *at + ANSWER_EVERY > now);
        let may = self.answered.len() < MAX_ANSWERED && !self.answered.contains_key(&node);
        if may {
            self.answered.insert(node, now);
        }
        may
    }

    /// What is new here is announced soon.
    pub(super) fn announce_later(&mut self, cx: &mut Cx<'_>) {
        if self.news_at.is_none() {
            self.news_at = Some(cx.now + cx.rng.jitter(NEWS_AFTER, 50));
        }
    }

    /// After operations: the epoch to seal in, the members that the chat machine knows, and the application's events.
    pub(super) fn refresh(&mut self, cx: &mut Cx<'_>, me: NodeId, out: &mut Outbox<Out>) {
        self.derive(me, cx, out);
        self.choose(me, cx.wall);
        self.ask_later(cx, me);
        self.show(me, out);
        let changed = changes(self.shown.as_deref(), &self.state, me);
        self.shown = Some(Arc::clone(&self.state));
        for change in changed {
            if change == GroupChange::Joined && self.own(me).is_some_and(|(_, own)| own.from > 1) {
                self.is_arriving = true;
                continue;
            }
            if change == GroupChange::Joined {
                out.delete(JOINING, self.id.0.to_vec());
            }
            if let GroupChange::Added { member, .. } = &change {
                self.requests.remove(member);
            }
            out.push(Out::Changed { group: self.id, change });
        }
        self.save(out);
    }

    /// This node has caught up: the application gets the event that it is a member.
    pub(super) fn arrive(&mut self, out: &mut Outbox<Out>) {
        if core::mem::take(&mut self.is_arriving) {
            out.delete(JOINING, self.id.0.to_vec());
            out.push(Out::Changed { group: self.id, change: GroupChange::Joined });
        }
    }

    /// The sorted devices for which an operation made an epoch.
    pub(super) fn holders(&self, op: &Operation) -> Option<Vec<NodeId>> {
        self.made.contains(&op.id).then(|| self.ops.devices_at(op.id))
    }

    /// Whether an operation made an epoch, which follows from it and its past.
    fn makes_epoch(&self, op: &Operation) -> bool {
        match &op.action {
            Action::Create { .. }
            | Action::Epoch(_)
            | Action::Remove { epoch: Some(_), .. }
            | Action::Devices { epoch: Some(_), .. } => true,
            Action::Add { base, .. } => {
                // An older epoch could still be held by a node that was removed since: its successor is none.
                let mut before = self.ops.devices_at(*base);
                before.extend(op.added());
                before.sort_unstable();
                self.made.contains(base) && before == self.ops.devices_at(op.id)
            }
            Action::SetRole { .. }
            | Action::Remove { epoch: None, .. }
            | Action::Unban { .. }
            | Action::Leave
            | Action::Transfer { .. }
            | Action::Describe { .. }
            | Action::SetPolicy { .. }
            | Action::ForkProof { .. }
            | Action::Devices { epoch: None, .. }
            | Action::Pin { .. } => false,
        }
    }

    /// The newest effective epoch whose holders are the members: it is the one to seal in.
    pub(super) fn candidate(&self) -> Option<OpId> {
        let state = self.state();
        if state.kind == GroupKind::Public {
            return Some(OpId(self.id.0));
        }
        let makes = |op: &&Operation| makes_epoch(&op.action);
        let is_for_all = |op: &&Operation| {
            !self.void.contains(&op.id) && self.holders(op).is_some_and(|h| h.iter().eq(state.devices.keys()))
        };
        // Of two with one number the lower id.
        let newest = self.ops.iter().rev().filter(makes).take(EPOCHS_BACK);
        newest.filter(is_for_all).max_by(|a, b| a.lamport.cmp(&b.lamport).then(b.id.cmp(&a.id))).map(|op| op.id)
    }

    pub(super) fn choose(&mut self, me: NodeId, wall: WallTime) {
        if !self.is_member(me) {
            self.usable = None;
            return self.epochs.end(wall);
        }
        let held = self.candidate().filter(|epoch| self.holds(*epoch));
        self.usable = held;
        let tags = held.and_then(|op| self.epoch(op)).map(Epoch::tags);
        if let Some(tags) = tags {
            // The others are over from now on.
            self.epochs.send_in(&tags, wall);
        }
    }

    /// Tells the chat machine who reads, and under what this node posts.
    pub(super) fn show(&mut self, me: NodeId, out: &mut Outbox<Out>) {
        let state = self.state();
        let view = self.own(me).map(|(_, own)| {
            let may_post = own.role >= state.policy.post;
            let context = self.usable.filter(|_| may_post).map(|epoch| Context {
                epoch,
                stint: own.stint,
                heads: self.ops.heads(),
            });
            let reader = |(id, device): (&NodeId, &Device)| {
                let member = state.members.get(&device.member)?;
                Some((*id, Reader { member: device.member, stint: member.stint, from: member.from }))
            };
            let leaves = |op: &OpId| self.ops.get(op).is_some_and(|op| op.action == Action::Leave);
            let gone = state.removed.iter().filter(|(node, op)| leaves(op) && !state.banned.contains(*node));
            let left: OrderedSet<NodeId> = gone.map(|(node, _)| *node).collect();
            let lists = state.lists.values().filter(|list| left.contains(&list.member));
            let devices: Vec<NodeId> = lists.flat_map(|list| list.chain.devices()).collect();
            let left = left.into_iter().chain(devices).collect();
            Arc::new(GroupView { devices: state.devices.iter().filter_map(reader).collect(), left, context })
        });
        if view != self.view {
            self.view.clone_from(&view);
            out.push(Out::View { group: self.id, view });
        }
    }

    /// Writes what changed of the epochs.
    pub(super) fn save(&mut self, out: &mut Outbox<Out>) {
        for epoch in self.epochs.iter_mut() {
            let front = [self.id.0, epoch.op().0].concat();
            let Changes { put, delete } = epoch.changes();
            for (key, value) in put {
                out.put(EPOCHS, [front.as_slice(), &key].concat(), value);
            }
            for key in delete {
                out.delete(EPOCHS, [front.as_slice(), &key].concat());
            }
        }
    }

    pub(super) fn handle_timeout(
        &mut self,
        cx: &mut Cx<'_>,
        (linked, low_power): (&OrderedSet<NodeId>, &OrderedSet<NodeId>),
        me: NodeId,
        out: &mut Outbox<Out>,
    ) {
        let members: Vec<NodeId> = linked.iter().copied().filter(|p| self.is_member(*p)).collect();
        if self.news_at.take_if(|at| *at <= cx.now).is_some() {
            let mut left = members.clone();
            for _ in 0..TOLD.min(left.len()) {
                let peer = left.swap_remove(cx.rng.below(left.len()));
                self.say_state(peer, true, out);
            }
        }
        if self.compare_at <= cx.now {
            self.compare_at = cx.now + cx.rng.jitter(COMPARE_EVERY, 50);
            let wakeful: Vec<NodeId> = members.iter().copied().filter(|p| !low_power.contains(p)).collect();
            if let Some(peer) = cx.rng.pick(&wakeful).copied() {
                self.say_state(peer, true, out);
            }
            for gone in self.epochs.expire(cx.wall) {
                self.wipe(&gone, out);
            }
            self.save(out);
        }
        self.ask_secrets(cx, &members, me, out);
    }
}

/// The log of these operations, which came in any order. None without the one that created the group.
pub(super) fn collect(group: GroupId, mut operations: Vec<Operation>) -> Option<OpLog> {
    operations.sort_by_key(|op| (op.lamport, op.id));
    let mut all = operations.into_iter();
    let mut log = OpLog::new(all.find(|op| op.id.0 == group.0)?)?;
    for op in all {
        log.insert(op);
    }
    Some(log)
}

/// What became of an operation that was brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    New,
    Known,
    /// What it names is not here.
    Missing,
    Bad,
}
