//! What is unread after a mark, counted from the store, beside a count by hand.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::{prop, prop_assert_eq, proptest};

use super::bench::Bench;
use crate::chat::unread::MarkRead;
use crate::chat::wire::Sync;
use crate::chat::{In, Out};
use crate::fact::Fact;
use crate::id::{Life, MessageId, NodeId};
use crate::identity::tests::identity;
use crate::machine::{Command, Machine};
use crate::stats::DropReason;
use crate::time::WallTime;
use crate::wire::content::{Content, Conversation, network_conversation};
use crate::wire::entry::{Body, Carried, Parent, Part, Parts, Run};
use crate::wire::{Blob, encode};

const HERE: Conversation = Conversation::Network;

/// One author's entries, one after the other, in runs.
pub(super) struct Author {
    number: u8,
    seq: u64,
    last: Option<MessageId>,
}

impl Author {
    pub(super) fn new(number: u8) -> Self {
        Self { number, seq: 1, last: None }
    }

    pub(super) fn id(&self) -> NodeId {
        identity(self.number).node_id()
    }

    pub(super) fn run(&mut self, contents: Vec<Content>, parents: &[MessageId]) -> Run {
        let count = contents.len() as u64;
        // What it said before is its past without being named.
        let named = |id: &&MessageId| Some(**id) != self.last;
        let entry = |(n, content): (usize, Content)| {
            let mut salt = [self.number; 16];
            salt[..8].copy_from_slice(&(self.seq + n as u64).to_le_bytes());
            let body = Body { salt, sent_at: WallTime(5), content: Some(content) };
            // The entries after the first have the one before as their past.
            let parents =
                if n == 0 { parents.iter().filter(named).map(|id| Parent::of(*id)).collect() } else { Vec::new() };
            Part { parents, body: Carried::Body(Blob(encode(&body))) }
        };
        let entries = contents.into_iter().enumerate().map(entry).collect();
        let parts = Parts { life: Life([1; 8]), seq: self.seq, prev: self.last, entries };
        let run = Run::sign(&identity(self.number), network_conversation(&[0; 32]), parts).unwrap();
        (self.seq, self.last) = (self.seq + count, run.last());
        run
    }
}

fn mark(bench: &mut Bench, upto: Option<MessageId>) -> u32 {
    bench.step(|c, cx, out| MarkRead { conversation: HERE, upto }.run(c, cx, out)).0.unwrap();
    bench.chat.unread_of(HERE)
}

/// The reads that outputs ask for.
fn reads(outs: Vec<Out>) -> Vec<(u64, crate::store::Scan)> {
    outs.into_iter().filter_map(|o| if let Out::Read { read, scan } = o { Some((read, scan)) } else { None }).collect()
}

proptest! {
    /// Mutations: an entry of a run counts although it is not after the mark; own messages count; the blocked count;
    /// a reaction counts.
    #[test]
    fn after_a_mark_all_that_others_said_later_is_unread(
        steps in prop::collection::vec((0..4u8, prop::collection::vec(0..3u8, 1..4)), 1..16),
        blocked in prop::bool::ANY,
    ) {
        let mut bench = Bench::new(1);
        let mut authors = [Author::new(2), Author::new(3), Author::new(4)];
        let (mut newest, mut said) = (Vec::new(), 0u32);
        for (who, kinds) in steps {
            said += 1;
            let content = |kind: &u8| match (kind, newest.first()) {
                (0, Some(id)) => Content::React { react_to: *id, mark: "x".to_string() },
                (1, Some(id)) => Content::Reply { reply_to: *id, text: said.to_string() },
                _ => Content::text(said.to_string()),
            };
            let contents: Vec<Content> = kinds.iter().map(content).collect();
            newest = match authors.get_mut(usize::from(who)) {
                Some(author) => {
                    let run = author.run(contents, &newest);
                    bench.gossip(author.id(), &run);
                    vec![run.last().unwrap()]
                }
                None => vec![bench.say(Content::text(said.to_string())).0],
            };
        }
        if blocked {
            bench.fact(&Fact::Blocked(authors[0].id()));
        }
        let history = bench.history();
        for n in 0..history.len() {
            let unread = history[n + 1..].iter().filter(|m| {
                m.author != bench.me
                    && !(blocked && m.author == authors[0].id())
                    && matches!(m.content, Content::Text { .. } | Content::Reply { .. })
            });
            let by_hand = unread.count() as u32;
            prop_assert_eq!(mark(&mut bench, Some(history[n].id)), by_hand, "after {} of {}", n + 1, history.len());
        }
        prop_assert_eq!(mark(&mut bench, None), 0);
    }
}

/// Mutation: what is after the first read of the store is not counted.
#[test]
fn more_entries_than_one_read_has_are_counted() {
    let (mut bench, mut author) = (Bench::new(1), Author::new(2));
    let first = author.run(vec![Content::text("0")], &[]);
    bench.gossip(author.id(), &first);
    for n in 1..=600u32 {
        let run = author.run(vec![Content::text(n.to_string())], &[]);
        bench.gossip(author.id(), &run);
    }
    assert_eq!(mark(&mut bench, first.last()), 600);
}

/// What comes while it counts begins the count anew, eight times and no more, so that a busy conversation cannot make it
/// count for ever. Mutations: `tries` is not counted, or the comparison with the log's runs is left out.
#[test]
fn a_count_ends_though_messages_come_meanwhile() {
    let (mut bench, mut author) = (Bench::new(1), Author::new(2));
    let first = author.run(vec![Content::text("first")], &[]);
    bench.gossip(author.id(), &first);
    let second = author.run(vec![Content::text("second")], &[]);
    bench.gossip(author.id(), &second);
    let upto = first.last();
    let mut open = reads(bench.apply(|c, cx, out| MarkRead { conversation: HERE, upto }.run(c, cx, out)).1);
    let mut asked = 0;
    while let Some((read, scan)) = open.pop() {
        asked += 1;
        assert!(asked < 100, "it counts for ever");
        let records = bench.store.scan(&scan);
        let run = author.run(vec![Content::text(asked.to_string())], &[]);
        bench.gossip(author.id(), &run);
        open.extend(reads(bench.apply(|c, cx, out| c.records(cx, read, records, out)).1));
    }
    assert_eq!(asked, 9, "the first count and eight more");
    // The last count had all but what came while it was answered.
    assert_eq!(mark(&mut bench, Some(second.last().unwrap())), 9);
}

/// Mutation: the queues of those who are served are not bounded, or one who is served already is refused.
#[test]
fn at_most_64_peers_are_served_at_once() {
    let (mut bench, mut author) = (Bench::new(1), Author::new(2));
    let run = author.run(vec![Content::text("wanted")], &[]);
    bench.gossip(author.id(), &run);
    let want = encode(&Sync::Want {
        conversation: network_conversation(&[0; 32]),
        parents: vec![Parent::of(run.last().unwrap())],
    });
    let ask = |bench: &mut Bench, n: u8| {
        let input = In::Message { from: NodeId([n; 32]), body: want.clone() };
        // The store does not answer.
        bench.apply(|c, cx, out| c.handle(cx, input, out));
        bench.chat.drops.get(DropReason::Rate)
    };
    for n in 1..=64 {
        assert_eq!(ask(&mut bench, 100 + n), 0, "peer {n}");
    }
    assert_eq!(ask(&mut bench, 200), 1, "one too many");
    assert_eq!(ask(&mut bench, 101), 1, "it is served already");
}

/// A mark beyond all that is here, of a device that was removed then. Mutations: a mark that counts no more stays; a mark of
/// another device makes this one read beyond what is here.
#[test]
fn a_mark_that_counts_no_more_suppresses_nothing() {
    let (mut bench, mut author) = (Bench::new(1), Author::new(2));
    let run = author.run(vec![Content::text("one")], &[]);
    bench.gossip(author.id(), &run);
    let conversation = network_conversation(&[0; 32]);
    let far = MessageId { depth: u64::MAX, hash: [255; 32] };
    bench.input(In::ReadElsewhere { conversation, upto: Some(far) });
    let run = author.run(vec![Content::text("two")], &[]);
    bench.gossip(author.id(), &run);
    assert_eq!(bench.chat.unread_of(HERE), 0, "while the device is one of the account");
    bench.input(In::ReadElsewhere { conversation, upto: None });
    for n in 0..3 {
        let run = author.run(vec![Content::text(n.to_string())], &[]);
        bench.gossip(author.id(), &run);
    }
    assert_eq!(bench.chat.unread_of(HERE), 3);
}
