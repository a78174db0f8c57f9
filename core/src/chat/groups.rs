//! Conversations of groups: their readers, and the operations under which a run is valid (docs/design/groups.md §5).
//!
//! The group machine knows the operations, and says which members there are. Whether an author was a member who may
//! post under what it names is asked once for each author and context; until the answer is there a run waits.

use alloc::vec::Vec;

use crate::chat::policy::Policy;
use crate::chat::rows::{At, ENTRIES, Row, entry_id, entry_key};
use crate::chat::waiting::{Offered, Parked, Source, Stage};
use crate::chat::{Chat, Out, Reading};
use crate::collections::{OrderedMap, OrderedSet};
use crate::id::{ConversationId, GroupId, MessageId, NodeId, OpId};
use crate::machine::{Cx, Outbox};
use crate::shared::Arc;
use crate::stats::DropReason;
use crate::store::{Record, Scan};
use crate::wire::content::{Conversation, group_conversation};
use crate::wire::encode;
use crate::wire::entry::Run;
use crate::wire::group::{Context, GroupHistory, GroupView, Reader};

/// Answers that are remembered: 512, as many as there are authors in memory (docs/design/log.md §7, R9). Others are
/// asked for again.
const MAX_VETTED: usize = 512;

/// Places in the operations whose members are remembered: 64, the newest ones and those that are caught up with now.
const MAX_CONTEXTS: usize = 64;
/// Entries that a newcomer may read of what was said before: 4,096 at most, one read of the store.
const MAX_NEWEST: u32 = 4_096;
const MILLIS_A_DAY: u64 = 86_400_000;

/// A node that is added to a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newcomer {
    pub(super) group: GroupId,
    pub(super) member: NodeId,
    pub(super) history: GroupHistory,
}

/// A conversation, and operations of its group.
type Place = (ConversationId, Vec<OpId>);

/// A conversation, an author and the hash of a context.
type Vetted = (ConversationId, NodeId, [u8; 32]);

#[derive(Debug, Default)]
pub(super) struct Groups {
    views: OrderedMap<ConversationId, (GroupId, Arc<GroupView>)>,
    /// Authors that may post under a context, with the number of the last use.
    vetted: OrderedMap<Vetted, u64>,
    /// The members at these operations, by what made them members; with the last use.
    at: OrderedMap<Place, (Arc<OrderedSet<OpId>>, u64)>,
    uses: u64,
}

impl Groups {
    pub(super) fn len(&self) -> usize {
        let members = self.views.values().map(|(_, view)| view.devices.len());
        let at = self.at.values().map(|(members, _)| members.len());
        members.chain(at).fold(self.vetted.len(), usize::saturating_add)
    }

    /// The rules of a group's conversation; none if this node takes no part in it.
    pub(super) fn policy(&self, conversation: ConversationId, me: NodeId) -> Option<Policy> {
        let (group, view) = self.views.get(&conversation)?;
        Some(Policy::with_view(Conversation::Group(*group), me, Arc::clone(view)))
    }

    /// Groups that this node is a member of.
    pub(super) fn conversations(&self) -> Vec<ConversationId> {
        self.views.keys().copied().collect()
    }

    fn is_vetted(&mut self, key: &Vetted) -> bool {
        self.uses = self.uses.saturating_add(1);
        self.vetted.get_mut(key).map(|used| *used = self.uses).is_some()
    }

    /// The members that an author knew of.
    fn know(&mut self, conversation: ConversationId, heads: Vec<OpId>, members: Arc<OrderedSet<OpId>>) {
        self.uses = self.uses.saturating_add(1);
        if self.at.len() >= MAX_CONTEXTS {
            let oldest = self.at.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.at.remove(&key));
        }
        self.at.insert((conversation, heads), (members, self.uses));
    }

    /// Whether the author of a run with this context knew of a member; none if that is not known here.
    fn knew(&self, conversation: ConversationId, context: &Context, member: OpId) -> Option<bool> {
        let (members, _) = self.at.get(&(conversation, context.heads.clone()))?;
        Some(members.contains(&member))
    }

    fn vet(&mut self, key: Vetted) {
        self.uses = self.uses.saturating_add(1);
        if self.vetted.len() >= MAX_VETTED && !self.vetted.contains_key(&key) {
            let oldest = self.vetted.iter().min_by_key(|(_, used)| **used).map(|(key, _)| *key);
            oldest.and_then(|key| self.vetted.remove(&key));
        }
        self.vetted.insert(key, self.uses);
    }
}

fn vetted(conversation: ConversationId, author: NodeId, context: &Context) -> Vetted {
    (conversation, author, *blake3::hash(&encode(context)).as_bytes())
}

impl Chat {
    /// What is known of a group now; none when this node is no member any more. What it has stays.
    pub(super) fn group_view(
        &mut self,
        cx: &mut Cx<'_>,
        group: GroupId,
        view: Option<Arc<GroupView>>,
        out: &mut Outbox<Out>,
    ) {
        let conversation = group_conversation(group);
        let kind = Conversation::Group(group);
        let Some(view) = view else {
            self.groups.views.remove(&conversation);
            if let Some(log) = self.logs.get_mut(&conversation) {
                log.policy = Policy::new(kind, self.me);
            }
            return self.waiting.forget(conversation);
        };
        let before = self.groups.views.insert(conversation, (group, Arc::clone(&view)));
        let known = before.map(|(_, view)| view).unwrap_or_default();
        let policy = Policy::with_view(kind, self.me, Arc::clone(&view));
        let Some(log) = self.log(cx, kind, out) else { return };
        log.policy = policy;
        log.confirmed.retain(|member| view.devices.contains_key(member));
        if let Some(context) = &view.context {
            let members = view.devices.values().map(|reader| reader.stint).collect();
            self.groups.know(conversation, context.heads.clone(), Arc::new(members));
        }
        let stays =
            |(id, before): (&NodeId, &Reader)| view.devices.get(id).is_some_and(|now| now.stint == before.stint);
        if !known.devices.iter().all(stays) || known.devices.is_empty() {
            self.look_through(conversation, out);
        }
        let is_new = |peer: &&NodeId| !known.devices.contains_key(*peer) && self.linked.contains_key(*peer);
        let new: Vec<NodeId> = view.devices.keys().filter(is_new).copied().collect();
        for peer in new {
            self.greet(cx, conversation, peer, out);
        }
        // More may be known of what they name.
        let contexts: Vec<(NodeId, Context)> = self.waiting.vetting(conversation).collect();
        for (author, context) in contexts {
            out.push(Out::Vet { group, author, context });
        }
    }

    /// Whether an offered run may be judged: its author was a member who may post. Otherwise it waits for the answer.
    pub(super) fn may_judge(
        &mut self,
        cx: &Cx<'_>,
        conversation: ConversationId,
        offered: Offered,
        out: &mut Outbox<Out>,
    ) -> Option<Offered> {
        let Some(context) = &offered.run.context else { return Some(offered) };
        let (author, context) = (offered.run.log.author, context.clone());
        if self.groups.is_vetted(&vetted(conversation, author, &context)) {
            return Some(offered);
        }
        self.park(cx, conversation, offered, Stage::Vetting)?;
        out.push(Out::Vet { group: GroupId(conversation.0), author, context });
        None
    }

    /// The answer to `Out::Vet`.
    pub(super) fn vetted(
        &mut self,
        cx: &mut Cx<'_>,
        (group, author, context): (GroupId, NodeId, Context),
        (may, members): (bool, Arc<OrderedSet<OpId>>),
        out: &mut Outbox<Out>,
    ) {
        let conversation = group_conversation(group);
        self.groups.know(conversation, context.heads.clone(), members);
        if may {
            self.groups.vet(vetted(conversation, author, &context));
        }
        for key in self.waiting.vetting_of(conversation, author, &context) {
            if may {
                self.again(cx, key, out);
            } else if let Some(Parked { offered, .. }) = self.waiting.take(key) {
                self.drops.count(DropReason::Message);
                self.refuse(offered.source, out);
            }
        }
        self.wake(cx, out);
    }

    /// A run that came sealed for the group. The group machine knows its author and what it names.
    pub(super) fn carried(
        &mut self,
        cx: &mut Cx<'_>,
        (group, via): (GroupId, NodeId),
        bytes: Vec<u8>,
        out: &mut Outbox<Out>,
    ) {
        let conversation = group_conversation(group);
        let run = Run::decode_in_group(conversation, bytes).ok().filter(|run| !run.is_bare());
        let Some((run, true)) = run.map(|run| (run, self.groups.views.contains_key(&conversation))) else {
            return self.drops.count(DropReason::Message);
        };
        if let Some(context) = &run.context {
            self.groups.vet(vetted(conversation, run.log.author, context));
        }
        self.offer(cx, conversation, run, Source::Member { from: via }, out);
    }

    /// Whether a node may read a run: it lies in what the policy gave to it, or its author knew of it as a member. None
    /// if only the group machine can say.
    pub(super) fn may_read(&self, conversation: ConversationId, by: NodeId, run: &Run) -> Option<bool> {
        let policy = self.logs.get(&conversation).map(|log| &log.policy);
        let (Some(policy), Some(context)) = (policy, &run.context) else { return Some(true) };
        let Some(reader) = policy.reader(by) else { return Some(false) };
        // A run is as readable as its first entry: a part of it would be another run.
        let is_given = run.entries.first().is_some_and(|first| first.id.depth >= reader.from);
        if is_given { Some(true) } else { self.groups.knew(conversation, context, reader.stint) }
    }

    /// The depth from which on a newcomer reads, by the policy of the group.
    pub(super) fn where_from(&mut self, cx: &Cx<'_>, newcomer: Newcomer, out: &mut Outbox<Out>) {
        let Newcomer { group, member, history } = newcomer;
        let log = self.logs.get(&group_conversation(group));
        let after_all = log.map_or(0, |log| log.deepest().saturating_add(1));
        let limit = match history {
            GroupHistory::Nothing => return out.push(Out::Where { group, member, from: after_all }),
            GroupHistory::Everything => return out.push(Out::Where { group, member, from: 0 }),
            GroupHistory::Newest(count) => count.min(MAX_NEWEST),
            GroupHistory::Days(_) => MAX_NEWEST,
        };
        let Some(number) = log.map(|log| log.number).filter(|_| limit > 0) else {
            return out.push(Out::Where { group, member, from: after_all });
        };
        let _ = cx;
        let scan = Scan {
            table: ENTRIES,
            start: entry_key(number, MessageId::first_of(0)),
            end: entry_key(number.saturating_add(1), MessageId::first_of(0)),
            reverse: true,
            limit,
            max_bytes: u32::MAX,
        };
        self.read(Reading::Where(newcomer), scan, out);
    }

    /// The newest entries, the last one first. Of those at the lowest depth not all may be among them: it is left out.
    pub(super) fn where_read(&self, cx: &Cx<'_>, newcomer: Newcomer, records: &[Record], out: &mut Outbox<Out>) {
        let Newcomer { group, member, history } = newcomer;
        let after_all = self.logs.get(&group_conversation(group)).map_or(0, |log| log.deepest().saturating_add(1));
        let mut from = after_all;
        let days = if let GroupHistory::Days(days) = history { Some(u64::from(days)) } else { None };
        let oldest = days.map(|days| cx.wall.0.saturating_sub(days.saturating_mul(MILLIS_A_DAY)));
        for record in records {
            let (Ok(id), Ok(row)) = (entry_id(&record.key), Row::read(&record.value)) else { break };
            let is_old = matches!((&row.at, oldest), (At::End(held), Some(oldest)) if held.arrived.0 < oldest);
            if is_old {
                break;
            }
            from = id.depth;
        }
        // All of them may have been asked for, or there are more at this depth than the policy gives.
        let is_cut = records.len()
            >= if let GroupHistory::Newest(count) = history {
                count.min(MAX_NEWEST) as usize
            } else {
                MAX_NEWEST as usize
            };
        let at_lowest = records.iter().filter(|r| entry_id(&r.key).is_ok_and(|id| id.depth == from)).count();
        if is_cut && at_lowest > 1 {
            from = from.saturating_add(1);
        }
        out.push(Out::Where { group, member, from });
    }

    /// Says to a member what is here of each group.
    pub(super) fn greet_in_groups(&mut self, cx: &mut Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        for conversation in self.groups.conversations() {
            if self.may_sync(conversation, peer) {
                self.greet(cx, conversation, peer, out);
            }
        }
    }

    /// Says to one linked member of each group what is here of it.
    pub(super) fn compare_groups(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        for conversation in self.groups.conversations() {
            let mut members = self.holders(conversation);
            members.retain(|peer| !self.low_power.contains(peer));
            if let Some(peer) = cx.rng.pick(&members).copied() {
                self.greet(cx, conversation, peer, out);
            }
        }
    }

    /// Whether a node takes part in a conversation of this node.
    pub(super) fn may_sync(&self, conversation: ConversationId, with: NodeId) -> bool {
        self.logs.get(&conversation).is_some_and(|log| log.policy.may_sync(with))
    }
}
