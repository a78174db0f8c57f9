//! Runs of messages on their way between members: sealed once for the epoch, opened by each.

use alloc::vec::Vec;

use crate::group::keys::{Header, Unopened, header_of, public};
use crate::group::log::{OpLog, Standing};
use crate::group::one::Group;
use crate::group::op::GroupKind;
use crate::group::{Groups, Out};
use crate::id::{ConversationId, GroupId, NodeId, OpId};
use crate::identity::SIGNATURE_LEN;
use crate::machine::{Cx, Outbox};
use crate::shared::Arc;
use crate::stats::DropReason;
use crate::wire::entry::Run;
use crate::wire::group::{Context, GroupRun};
use crate::wire::{MAX_MESSAGE, encode};

/// What is sealed: the signature, then the heads unless the epoch's operation is the only one, then the entries. Key,
/// epoch and membership of the author are known from the group.
fn pack(run: &GroupRun<'_>) -> Vec<u8> {
    let heads: &[OpId] = if run.context.heads == [run.context.epoch] { &[] } else { &run.context.heads };
    [run.signature.as_slice(), &encode(&heads), run.parts].concat()
}

/// The run in what was sealed, if its sender signed it as a member who may post.
fn unpack(log: &OpLog, epoch: OpId, sender: NodeId, body: &[u8]) -> Result<Vec<u8>, Missing> {
    let (signature, rest) = body.split_first_chunk::<SIGNATURE_LEN>().ok_or(Missing::Never)?;
    let (mut heads, parts) = postcard::take_from_bytes::<Vec<OpId>>(rest).map_err(|_| Missing::Never)?;
    if heads.is_empty() {
        heads.push(epoch);
    }
    let Some(Standing { stint, key, .. }) = log.standing_at(&heads, sender) else {
        let is_known = heads.iter().all(|head| log.get(head).is_some());
        return Err(if is_known { Missing::Never } else { Missing::Yet });
    };
    let context = Context { epoch, stint, heads };
    if may_post(log, sender, &context) != Some(true) {
        return Err(Missing::Never);
    }
    let bytes = GroupRun { key: &key, signature, context, parts }.bytes();
    let conversation = ConversationId(log.group().0);
    let signed = Run::decode_in_group(conversation, bytes).ok().filter(|run| run.is_genuine(conversation));
    signed.map(|run| run.bytes).ok_or(Missing::Never)
}

enum Missing {
    /// What it names is not here yet.
    Yet,
    /// Its author was no member, or did not sign it.
    Never,
}

/// Whether its author was a member who may post; none if what it names is not here.
fn may_post(log: &OpLog, author: NodeId, context: &Context) -> Option<bool> {
    if !context.heads.iter().chain([&context.epoch]).all(|op| log.get(op).is_some()) {
        return None;
    }
    let standing = log.standing_at(&context.heads, author);
    Some(standing.is_some_and(|s| s.stint == context.stint && s.may_post))
}

impl Groups {
    /// A run of this node: sealed, and sent to each member that it is linked with.
    pub(super) fn carry(&mut self, cx: &mut Cx<'_>, id: GroupId, bytes: &[u8], out: &mut Outbox<Out>) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        let Ok(run) = GroupRun::read(bytes) else { return self.drops.count(DropReason::Message) };
        let is_public = group.state().kind == GroupKind::Public;
        let sealed = if is_public {
            Some(public::wrap(id, bytes))
        } else {
            let epoch = group.epochs.iter_mut().find(|epoch| epoch.op() == run.context.epoch);
            epoch.and_then(|epoch| epoch.seal(cx.rng, &pack(&run)))
        };
        // Without a key it waits for the members that catch up from this node.
        let Some(sealed) = sealed else { return };
        group.save(out);
        let state = group.state();
        for to in self.linked.iter().filter(|p| state.devices.contains_key(*p)) {
            out.after_commit(Out::Carry { to: *to, body: sealed.clone() });
        }
    }

    /// Something that a member sealed.
    pub(super) fn sealed(&mut self, cx: &mut Cx<'_>, from: NodeId, body: Vec<u8>, out: &mut Outbox<Out>) {
        if body.len() > MAX_MESSAGE {
            return self.drops.count(DropReason::Message);
        }
        if self.failures.pauses(from, cx.now) {
            return self.drops.count(DropReason::Rate);
        }
        if let Ok((tags, run)) = public::unwrap(&body) {
            let is_of = |g: &&Group| g.state().kind == GroupKind::Public && public::tags_of(g.id) == tags;
            let Some(group) = self.groups.values().find(is_of) else { return self.drops.count(DropReason::Message) };
            let (id, run) = (group.id, run.to_vec());
            return self.opened(cx, id, from, run, body, out);
        }
        let Some(Header { tags, .. }) = header_of(&body) else { return self.drops.count(DropReason::Message) };
        let found = self.groups.values_mut().find(|g| g.epochs.find(&tags).is_some());
        let Some(group) = found else {
            // An epoch that this node does not hold yet, or of which it does not know yet.
            if !self.linked.contains(&from) || !self.pool.keep(from, body, cx.now) {
                self.drops.count(DropReason::Decrypt);
            }
            return;
        };
        let (ops, mut run, mut author) = (&group.ops, Err(Missing::Never), None);
        let Some(epoch) = group.epochs.find_mut(&tags) else { return };
        let op = epoch.op();
        let takes = |sender: NodeId, body: &[u8]| {
            run = unpack(ops, op, sender, body);
            author = Some(sender);
            run.is_ok()
        };
        let opened = epoch.open_if(&body, cx.wall, takes).map(|_| ());
        match (opened, run) {
            (Ok(()), Ok(body)) => {
                group.save(out);
                if let Some(author) = author {
                    group.key_held(author, Some(op));
                }
                out.push(Out::Opened { group: group.id, via: from, body });
            }
            // It is opened when the operations are here.
            (Err(Unopened::Refused), Err(Missing::Yet)) => {
                group.say_state(from, true, out);
                if !self.pool.keep(from, body, cx.now) {
                    self.drops.count(DropReason::Queue);
                }
            }
            (Err(why), _) => {
                // Nothing else costs more than to look it up.
                if matches!(why, Unopened::Failed | Unopened::Refused) {
                    self.failures.count(from, cx.now);
                }
                self.drops.count(reason(why));
            }
            (Ok(()), Err(_)) => self.drops.count(DropReason::Message),
        }
    }

    /// A run in clear, of a PUBLIC group.
    fn opened(&mut self, cx: &Cx<'_>, id: GroupId, from: NodeId, run: Vec<u8>, body: Vec<u8>, out: &mut Outbox<Out>) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        let Ok(GroupRun { key, context, .. }) = GroupRun::read(&run) else {
            return self.drops.count(DropReason::Message);
        };
        match may_post(&group.ops, crate::identity::node_id(key), &context) {
            Some(true) => out.push(Out::Opened { group: id, via: from, body: run }),
            Some(false) => self.drops.count(DropReason::Message),
            None => {
                group.say_state(from, true, out);
                self.pool.keep(from, body, cx.now);
            }
        }
    }

    /// Tries again what could not be opened.
    pub(super) fn open_again(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        for (from, body, since) in self.pool.take() {
            let is_known =
                header_of(&body).is_none_or(|h| self.groups.values().any(|g| g.epochs.find(&h.tags).is_some()));
            if is_known {
                self.sealed(cx, from, body, out);
            } else {
                self.pool.keep(from, body, since);
            }
        }
    }

    /// Whether an author was a member who may post under what its run names. Without an answer the run waits until
    /// more is known.
    pub(super) fn vet(
        &mut self,
        _cx: &mut Cx<'_>,
        id: GroupId,
        author: NodeId,
        context: Context,
        out: &mut Outbox<Out>,
    ) {
        let Some(group) = self.groups.get(&id) else { return };
        match may_post(&group.ops, author, &context) {
            Some(may) => {
                let state = group.ops.state_at(&context.heads);
                let stints = state.iter().flat_map(|state| state.members.values().map(|m| m.stint));
                let members = Arc::new(stints.collect());
                out.push(Out::Vetted { group: id, author, context, may, members });
            }
            None => {
                // A linked member has the operations.
                let holders = self.linked.iter().filter(|p| group.is_member(**p));
                holders.take(2).for_each(|peer| group.say_state(*peer, true, out));
            }
        }
    }
}

fn reason(why: Unopened) -> DropReason {
    match why {
        Unopened::Used | Unopened::Own => DropReason::Duplicate,
        Unopened::Failed | Unopened::OtherEpoch => DropReason::Decrypt,
        Unopened::Refused => DropReason::Signature,
        Unopened::Malformed | Unopened::NoSuchSender | Unopened::TooFar => DropReason::Message,
    }
}
