//! One chat machine with a store, whose reads are answered at once.

use alloc::vec::Vec;

use crate::chat::{Chat, In, Out};
use crate::config::Config;
use crate::fact::Fact;
use crate::id::{MessageId, NodeId};
use crate::identity::Identity;
use crate::identity::tests::identity;
use crate::machine::{Cx, Emit, Machine, Outbox, Setup};
use crate::rng::Rng;
use crate::store::{Batch, MemoryStore, Op};
use crate::time::{Instant, WallTime};
use crate::wire::content::{Content, Conversation, Message};
use crate::wire::entry::Run;

pub(super) struct Bench {
    pub(super) chat: Chat,
    pub(super) identity: Identity,
    pub(super) me: NodeId,
    pub(super) rng: Rng,
    pub(super) now: Instant,
    pub(super) store: MemoryStore,
    pub(super) config: Config,
    pub(super) wall: WallTime,
}

impl Bench {
    pub(super) fn new(n: u8) -> Self {
        Self::with(n, Config::default())
    }

    pub(super) fn with(n: u8, config: Config) -> Self {
        Self::open_with(identity(n), MemoryStore::default(), [n; 32], config)
    }

    /// A machine restored from a store.
    pub(super) fn open_with(identity: Identity, store: MemoryStore, seed: [u8; 32], config: Config) -> Self {
        let me = identity.node_id();
        let mut rng = Rng::new(seed);
        let mut cx = Cx { now: Instant::ZERO, wall: WallTime(9), me, rng: &mut rng };
        let setup = Setup { config: &config, identity: &identity };
        let records = store.hot().into_iter().filter(|r| Chat::TABLES.iter().any(|(_, t)| *t == r.table)).collect();
        let chat = Chat::open(setup, records, &mut cx, &mut Outbox::new()).unwrap();
        Self { chat, identity, me, rng, now: Instant::ZERO, store, config, wall: WallTime(9) }
    }

    /// Stops it and opens it again.
    pub(super) fn restart(&mut self, seed: [u8; 32]) {
        let (now, wall) = (self.now, self.wall);
        let store = core::mem::take(&mut self.store);
        *self = Self::open_with(self.identity.clone(), store, seed, self.config.clone());
        (self.now, self.wall) = (now, wall);
    }

    pub(super) fn step<R>(&mut self, f: impl FnOnce(&mut Chat, &mut Cx<'_>, &mut Outbox<Out>) -> R) -> (R, Vec<Out>) {
        let (result, mut outs) = self.apply(f);
        let mut all = Vec::new();
        let mut reads: Vec<Out> = Vec::new();
        loop {
            // As in the engine, all that a step puts out leaves before a read of it is answered.
            let (asked, rest): (Vec<Out>, Vec<Out>) = outs.into_iter().partition(|o| matches!(o, Out::Read { .. }));
            all.extend(rest);
            reads.extend(asked.into_iter().rev());
            let Some(Out::Read { read, scan }) = reads.pop() else { return (result, all) };
            let records = self.store.scan(&scan);
            outs = self.apply(|c, cx, out| c.records(cx, read, records, out)).1;
        }
    }

    /// As `step`, but nothing answers its reads.
    pub(super) fn apply<R>(&mut self, f: impl FnOnce(&mut Chat, &mut Cx<'_>, &mut Outbox<Out>) -> R) -> (R, Vec<Out>) {
        let mut outbox = Outbox::new();
        let mut cx = Cx { now: self.now, wall: self.wall, me: self.me, rng: &mut self.rng };
        let result = f(&mut self.chat, &mut cx, &mut outbox);
        // The engine does so before its next output.
        self.chat.save(&mut outbox);
        let mut all = Vec::new();
        let mut ops: Vec<Op> = Vec::new();
        while let Some(emit) = outbox.pop() {
            match emit {
                Emit::Now(o) | Emit::Committed(o) => all.push(o),
                Emit::Store(op) => ops.push(op),
            }
        }
        self.store.apply(Batch { seq: 1, ops });
        assert_eq!(self.chat.check(), Ok(()));
        (result, all)
    }

    pub(super) fn input(&mut self, input: In) -> Vec<Out> {
        self.step(|c, cx, out| c.handle(cx, input, out)).1
    }

    pub(super) fn fact(&mut self, fact: &Fact) -> Vec<Out> {
        self.step(|c, cx, out| c.fact(cx, fact, out)).1
    }

    /// What is due until `now`.
    pub(super) fn advance(&mut self, now: Instant) -> Vec<Out> {
        let mut all = Vec::new();
        while let Some(at) = self.chat.next_deadline().filter(|at| *at <= now) {
            self.now = self.now.max(at);
            all.extend(self.step(|c, cx, out| c.handle_timeout(cx, out)).1);
        }
        self.now = now;
        all
    }

    pub(super) fn say(&mut self, content: Content) -> (MessageId, Vec<u8>) {
        let (id, outs) = self.step(|c, cx, out| {
            let said = c.say(cx, Conversation::Network, alloc::vec![content], out);
            c.sign(cx, out);
            said
        });
        let body = outs.into_iter().find_map(|o| if let Out::Publish { body } = o { Some(body) } else { None });
        (id.unwrap()[0], body.unwrap())
    }

    pub(super) fn gossip(&mut self, via: NodeId, run: &Run) -> Vec<Out> {
        self.input(In::GossipReceived { via, id: [0; 16], body: run.bytes.clone() })
    }

    /// The whole history of the network's conversation.
    pub(super) fn history(&mut self) -> Vec<Message> {
        let mut all: Vec<Message> = Vec::new();
        let mut before = None;
        loop {
            let (_, outs) = self.step(|c, _, out| c.history(1, Conversation::Network, before, 500, out));
            let page = outs.into_iter().find_map(|o| match o {
                Out::Page { messages, older, .. } => Some((messages, older)),
                _ => None,
            });
            let (messages, older) = page.unwrap();
            all.splice(0..0, messages);
            match older {
                Some(id) => before = Some(id),
                None => return all,
            }
        }
    }
}

/// The reports of messages among outputs.
pub(super) fn received(outs: &[Out]) -> Vec<MessageId> {
    outs.iter().filter_map(|o| if let Out::Received(m) = o { Some(m.id) } else { None }).collect()
}
