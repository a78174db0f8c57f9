//! What chat machines say to each other, and when: with each link, each neighbour and each session.

use alloc::vec::Vec;

use crate::chat::waiting::Source;
use crate::chat::wire::{End, Sync};
use crate::chat::{Chat, FIRST_VERIFY, Out};
use crate::id::{ConversationId, NodeId};
use crate::machine::{Cx, Outbox};
use crate::stats::DropReason;
use crate::wire::content::Conversation;
use crate::wire::{Blob, MAX_MESSAGE, Priority, decode, encode};

impl Chat {
    pub(super) fn sync(&mut self, cx: &mut Cx<'_>, from: NodeId, bytes: &[u8], sealed: bool, out: &mut Outbox<Out>) {
        let Ok(message) = decode::<Sync>(bytes, MAX_MESSAGE) else { return self.drops.count(DropReason::Message) };
        let conversation = message.conversation();
        let whole = matches!(message, Sync::Compare { .. } | Sync::Compared { .. } | Sync::Fetch { .. });
        if sealed == (conversation == self.network) {
            return self.drops.count(DropReason::Message);
        }
        // No node learns what is said in a conversation of others, or whether anything is.
        let Some(policy) = self.policy(conversation, from).filter(|policy| policy.compares_whole() || !whole) else {
            return self.drops.count(DropReason::Message);
        };
        match message {
            Sync::Digest { holding, from: line, hash, .. } => {
                self.digest(cx, conversation, from, (holding, line, hash), out);
            }
            Sync::Pull { from: line, heights, answer, .. } => {
                self.pulled(cx, conversation, from, (line, heights), answer, out);
            }
            Sync::Want { parents, .. } => self.wanted(cx, conversation, from, parents, out),
            Sync::Compare { salt, from: low, to, parts, .. } => self.host(cx, from, (salt, low, to), parts, out),
            Sync::Compared { from: low, to, parts, .. } => self.compared(cx, from, (low, to), &parts, out),
            Sync::Fetch { items, .. } => self.fetched(cx, from, items, out),
            Sync::Holds { question, references, .. } => {
                self.holds(cx, conversation, from, (question, references), out);
            }
            Sync::Held { question, held, .. } => self.held(cx, from, question, &held.0, out),
            Sync::Receipt { height, read, .. } => self.receipt(cx, conversation, from, (height, read)),
            Sync::Typing { .. } => self.typing(cx, (&policy, conversation), from, out),
            Sync::Older { before, .. } => self.older(cx, conversation, from, before, out),
            Sync::Runs { runs, end, .. } => {
                let repairs = self.compare.is_with(from, cx.now);
                for Blob(bytes) in runs {
                    let Ok(run) = policy.decode(conversation, bytes) else {
                        self.drops.count(DropReason::Message);
                        continue;
                    };
                    // A conversation is there from its first message on: a silent peer takes no place.
                    if self.log(cx, policy.kind(), out).is_none() {
                        return self.drops.count(DropReason::Rate);
                    }
                    // Bodies that another than the author brings are taken of own devices alone.
                    let is_proven =
                        policy.is_signed() || run.log.author == self.me || self.believes(from, run.log.author);
                    let Ok(run) = (if is_proven { Ok(run) } else { run.without_bodies() }) else { continue };
                    self.scrolled(from, conversation, &run);
                    self.offer(cx, conversation, run, Source::Peer { from, repairs }, out);
                }
                match end {
                    End::Open => {}
                    End::Pulled { more } => self.pull_ended(cx, conversation, from, more, out),
                    End::Fetched => self.fetch_ended(cx, from, out),
                    End::Wanted => {
                        let keys = self.waiting.answered(conversation, from);
                        self.unless_wanted(cx, keys, out);
                    }
                    End::Older => self.older_ended(cx, conversation, from, out),
                }
            }
        }
    }

    /// Compares everything shared with `peer`, both ways: heights at once, the whole history after them.
    pub(super) fn compare_all(&mut self, cx: &mut Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        let private = self.id_of(Conversation::Private(peer));
        self.pull(cx, private, peer, true, out);
        self.log(cx, Conversation::Network, out);
        self.pull(cx, self.network, peer, true, out);
        self.compare_whole(cx, peer, out);
    }

    pub(super) fn link_up(&mut self, cx: &mut Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        self.linked.insert(peer, None);
        self.greet_in_private(cx, peer, out);
        self.greet_in_groups(cx, peer, out);
        self.share_marks_with(cx, peer);
        if self.compare_with.remove(&peer) {
            self.compare_all(cx, peer, out);
        }
    }

    pub(super) fn link_down(&mut self, peer: NodeId, out: &mut Outbox<Out>) {
        self.typing_link_down(peer, out);
        self.linked.remove(&peer);
        self.low_power.remove(&peer);
        self.pulls.forget_peer(peer);
        self.serving.forget_peer(peer);
        self.compare.forget_peer(peer);
        self.polls.forget_peer(peer);
        self.receipts.forget_peer(peer);
        self.logs.values_mut().for_each(|log| log.holders.forget(peer));
    }

    pub(super) fn neighbour_up(&mut self, cx: &mut Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        self.neighbours.insert(peer);
        self.log(cx, Conversation::Network, out);
        self.greet(cx, self.network, peer, out);
        if self.compare_at.is_none() {
            self.compare_at = Some(cx.now + cx.rng.jitter(self.config.chat.compare_every, 50));
        }
        if self.verify_at.is_none() {
            let first = self.config.chat.verify_every.checked_div(FIRST_VERIFY).unwrap_or_default();
            self.verify_at = Some(cx.now + cx.rng.jitter(first, 50));
        }
    }

    /// Says to the neighbours what is here now: no tree carries what catching up brought.
    pub(super) fn announce(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        for peer in self.neighbours.clone() {
            self.greet(cx, self.network, peer, out);
        }
        for peer in self.linked.keys().copied().collect::<Vec<_>>() {
            self.greet_in_groups(cx, peer, out);
        }
    }
}

/// What is said of a private conversation is sealed for the other side.
pub(super) fn send(network: ConversationId, to: NodeId, message: &Sync, out: &mut Outbox<Out>) {
    let priority = match message {
        Sync::Digest { .. }
        | Sync::Pull { .. }
        | Sync::Want { .. }
        | Sync::Holds { .. }
        | Sync::Held { .. }
        | Sync::Receipt { .. }
        | Sync::Typing { .. } => Priority::Normal,
        Sync::Runs { .. } | Sync::Compare { .. } | Sync::Compared { .. } | Sync::Fetch { .. } | Sync::Older { .. } => {
            Priority::Low
        }
    };
    let body = encode(message);
    let is_private = message.conversation() != network;
    out.push(if is_private { Out::Seal { to, priority, body } } else { Out::Send { to, priority, body } });
}
