//! Chat messages between nodes: heights (version vectors) and the difference between them, in both directions.

use alloc::vec::Vec;

use crate::chat::catchup::{Answering, Paused};
use crate::chat::compare::bundles;
use crate::chat::conversation::{Offer, Room, Source};
use crate::chat::policy::Policy;
use crate::chat::wire::{Body, Height, Sync, log_key, record_envelope};
use crate::chat::{BUNDLE_BYTES, Chat, LOG, MAX_HEIGHTS, NEWS_AFTER, Out, send, wire};
use crate::id::{ConversationId, NodeId};
use crate::machine::{Cx, Outbox};
use crate::planted::{Bug, planted};
use crate::stats::DropReason;
use crate::store::{Record, Scan};
use crate::time::Instant;
use crate::wire::Blob;
use crate::wire::content::private_conversation;

impl Chat {
    pub(super) fn sync(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Sync, out: &mut Outbox<Out>) {
        let conversation = match &message {
            Sync::Digest { conversation, .. }
            | Sync::Heights { conversation, .. }
            | Sync::Fetch { conversation, .. }
            | Sync::Bundle { conversation, .. }
            | Sync::Compare { conversation, .. }
            | Sync::Compared { conversation, .. }
            | Sync::Want { conversation, .. } => *conversation,
        };
        let whole = matches!(message, Sync::Compare { .. } | Sync::Compared { .. } | Sync::Want { .. });
        // No node learns what is said in a conversation of others, or whether anything is.
        let Some(policy) = self.policy(conversation, from).filter(|policy| policy.compares_whole() || !whole) else {
            return self.drops.count(DropReason::Message);
        };
        match message {
            Sync::Digest { hash, .. } => {
                if self.rooms.get(&conversation).is_some_and(|r| r.digest() != hash) {
                    self.send_heights(cx, conversation, from, true, out);
                }
            }
            Sync::Heights { heights, answer, .. } => {
                self.heights(cx, (conversation, policy), from, &heights, answer, out)
            }
            Sync::Fetch { ranges, .. } => match self.answers.begin(conversation, from, ranges) {
                Some(answering) => self.answer(cx, answering, out),
                None => self.drops.count(DropReason::Rate),
            },
            Sync::Compare { from: low, to, parts, .. } => self.host(cx, from, (low, to), parts, out),
            Sync::Compared { from: low, to, parts, .. } => self.compared(cx, from, (low, to), &parts, out),
            Sync::Want { items, .. } => self.wanted(cx, from, items, out),
            Sync::Bundle { envelopes, done, .. } => {
                let mend = self.compare.is_with(from);
                let before = self.messages;
                for Blob(envelope) in envelopes {
                    if policy.is_signed() {
                        self.broadcast(cx, from, envelope, mend, out);
                    } else if let Ok(body) = Body::decode(&envelope, from) {
                        let id = self.message_id(conversation, from, &envelope);
                        let source = Source::Peer { from };
                        self.private(cx, policy.kind(), Offer { id, author: from, body, envelope, source }, out);
                    } else {
                        self.drops.count(DropReason::Message);
                    }
                }
                if policy.is_signed() && self.messages > before && self.news_at.is_none() {
                    self.news_at = Some(cx.now + cx.rng.jitter(NEWS_AFTER, 50));
                }
                if done {
                    self.wants.answered(conversation, from);
                    self.fill(cx, conversation, from, out);
                    self.wanted_came(cx, from, out);
                }
            }
        }
    }

    fn heights(
        &mut self,
        cx: &mut Cx<'_>,
        (conversation, policy): (ConversationId, Policy),
        from: NodeId,
        heights: &[Height],
        answer: bool,
        out: &mut Outbox<Out>,
    ) {
        if heights.len() > self.config.limits.authors.min(MAX_HEIGHTS) {
            return self.drops.count(DropReason::Message);
        }
        if self.room(policy.kind(), out).is_none() {
            return self.drops.count(DropReason::Rate);
        }
        let me = self.me;
        let Some(room) = self.rooms.get_mut(&conversation) else { return };
        if planted(Bug::OneWayCatchUp) && room.is_ahead_of(heights) {
            return;
        }
        self.wants.fruitful(conversation, from);
        for h in heights {
            if policy.believes_own_height() && h.author == me {
                room.skip_to(h.count, h.depth);
            } else if policy.may_bring(from, h.author) {
                self.wants.claim(room, from, h.author, h.count);
            }
        }
        // Also where each side has authors that the other lacks: the DONP document's
        // `handleGroupStateRequest` does nothing for concurrent clocks.
        if answer && room.is_ahead_of(heights) {
            self.send_heights(cx, conversation, from, false, out);
        }
        // Messages on their way here come by themselves.
        let wait = policy.fill_after(&self.config.chat);
        if self.fills.get((conversation, from)).is_none() {
            self.fills.arm((conversation, from), cx.now + wait);
        }
    }

    pub(super) fn send_heights(
        &mut self,
        cx: &mut Cx<'_>,
        conversation: ConversationId,
        to: NodeId,
        answer: bool,
        out: &mut Outbox<Out>,
    ) {
        let Some(heights) = self.rooms.get(&conversation).map(Room::heights) else { return };
        if heights.len() <= MAX_HEIGHTS {
            send(to, &Sync::Heights { conversation, heights, answer }, out);
        } else {
            self.compare_whole(cx, to, out);
        }
    }

    /// Requests from `peer` what it claims to have and is missing here.
    pub(super) fn fill(&mut self, cx: &mut Cx<'_>, conversation: ConversationId, peer: NodeId, out: &mut Outbox<Out>) {
        let Some(room) = self.rooms.get(&conversation) else { return };
        let (ranges, again) = self.wants.plan(room, peer, cx.now);
        if !ranges.is_empty() {
            send(peer, &Sync::Fetch { conversation, ranges }, out);
        }
        match again {
            Some(at) => self.fills.arm((conversation, peer), at),
            None => {
                self.fills.cancel((conversation, peer));
                if room.policy.compares_whole() {
                    out.push(Out::Compared(peer));
                }
            }
        }
    }

    /// Compares everything shared with `peer`, both ways: heights at once, the whole history after them.
    pub(super) fn compare_all(&mut self, cx: &mut Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        self.send_heights(cx, private_conversation(self.me, peer), peer, true, out);
        self.send_heights(cx, self.network, peer, true, out);
        self.compare_whole(cx, peer, out);
    }

    /// Reads the next range of an answer, or ends it.
    fn answer(&mut self, cx: &Cx<'_>, mut answering: Answering, out: &mut Outbox<Out>) {
        let room = answering.room;
        if self.pace.is_spent(cx.now) {
            let id = self.read_id();
            self.answers.wait(id, answering);
            return self.paused.push_back(Paused::Answer(id));
        }
        while let Some(range) = answering.next() {
            let serves = self.rooms.get(&room).is_some_and(|room| room.policy.may_serve(range.author));
            if !serves {
                continue;
            }
            let id = self.read_id();
            let scan = Scan {
                table: LOG,
                start: log_key(room, range.author, range.from),
                end: log_key(room, range.author, range.to.saturating_add(u64::from(!planted(Bug::FetchOffByOne)))),
                reverse: false,
                limit: u32::try_from(wire::MAX_FETCH_MESSAGES).unwrap_or(u32::MAX),
                max_bytes: BUNDLE_BYTES as u32,
            };
            out.push(Out::Read { read: id, scan });
            self.answers.wait(id, answering);
            return;
        }
        send(answering.peer, &Sync::Bundle { conversation: room, envelopes: Vec::new(), done: true }, out);
    }

    pub(super) fn records_read(&mut self, cx: &mut Cx<'_>, read: u64, records: Vec<Record>, out: &mut Outbox<Out>) {
        if let Some(query) = self.queries.remove(&read) {
            return self.page(query, records, out);
        }
        if self.compare_records(cx, read, &records, out) {
            return;
        }
        let Some(mut answering) = self.answers.resume(read) else { return };
        let conversation = answering.room;
        let envelopes = records.iter().filter_map(|r| record_envelope(&r.value).ok());
        for envelopes in bundles(envelopes.map(|(_, envelope)| Blob(envelope.to_vec())).collect()) {
            let bytes = envelopes.iter().fold(0usize, |n, e| n.saturating_add(e.0.len()));
            answering.count(bytes);
            self.pace.spend(bytes);
            send(answering.peer, &Sync::Bundle { conversation, envelopes, done: false }, out);
        }
        self.answer(cx, answering, out);
    }

    pub(super) fn pace_at(&self) -> Option<Instant> {
        (!self.paused.is_empty()).then(|| self.pace.next())
    }

    /// Continues what waited for the rate of catching up.
    pub(super) fn unpause(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        for _ in 0..self.paused.len() {
            if self.pace.is_spent(cx.now) {
                return;
            }
            match self.paused.pop_front() {
                Some(Paused::Answer(id)) => {
                    if let Some(answering) = self.answers.resume(id) {
                        self.answer(cx, answering, out);
                    }
                }
                Some(Paused::Gift(peer)) => self.give(cx, peer, out),
                None => return,
            }
        }
    }
}
