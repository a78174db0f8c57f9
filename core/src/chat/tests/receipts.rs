//! What members say of each other's messages: stored, and read.

use alloc::vec;
use alloc::vec::Vec;

use super::bench::Bench;
use crate::chat::receipts::{Confirm, Confirmations};
use crate::chat::typing::Type;
use crate::chat::unread::MarkRead;
use crate::chat::wire::{Height, Sync};
use crate::chat::{In, Out};
use crate::config::Config;
use crate::error::CommandError;
use crate::fact::Fact;
use crate::fact::samples::up;
use crate::id::{GroupId, Life, MessageId, NodeId, OpId};
use crate::identity::tests::identity;
use crate::machine::Command;
use crate::shared::Arc;
use crate::time::{Duration, WallTime};
use crate::wire::content::{Content, Conversation, group_conversation};
use crate::wire::entry::{Body, Carried, Parent, Part, Parts, Run};
use crate::wire::group::{Context, GroupView, Reader};
use crate::wire::{Blob, MAX_MESSAGE, decode, encode};

const GROUP: GroupId = GroupId([7; 32]);
const HERE: Conversation = Conversation::Group(GROUP);

fn context() -> Context {
    Context { epoch: OpId([1; 32]), stint: OpId([1; 32]), heads: vec![OpId([1; 32])] }
}

fn id_of(n: u8) -> NodeId {
    identity(n).node_id()
}

/// Node 1 in a group of these members, with node 2 linked.
fn member(count: u8, config: Config) -> Bench {
    let mut bench = Bench::with(1, config);
    let reader = |member| Reader { member, stint: OpId([1; 32]), from: 0 };
    let members = (1..=count).map(|n| (id_of(n), reader(id_of(n)))).collect();
    let view = GroupView { devices: members, context: Some(context()), ..GroupView::default() };
    bench.input(In::Group { group: GROUP, view: Some(Arc::new(view)) });
    bench.fact(&up(id_of(2)));
    bench
}

fn sharing() -> Config {
    let mut config = Config::default();
    config.chat.send_read_marks = true;
    config
}

/// An entry of node 2 that names these.
fn by_two(seq: u64, prev: Option<MessageId>, names: &[MessageId]) -> Run {
    let body = Body { salt: [3; 16], sent_at: WallTime(5), content: Some(Content::text("hi")) };
    let parents = names.iter().map(|id| Parent::of(*id)).collect();
    let part = Part { parents, body: Carried::Body(Blob(encode(&body))) };
    let parts = Parts { life: Life([2; 8]), seq, prev, entries: vec![part] };
    Run::sign_in_group(&identity(2), group_conversation(GROUP), &context(), parts).unwrap()
}

fn take(bench: &mut Bench, run: &Run) -> Vec<Out> {
    bench.input(In::Carried { group: GROUP, via: id_of(2), body: run.bytes.clone() })
}

fn say(bench: &mut Bench, conversation: Conversation) -> MessageId {
    let said = bench.step(|c, cx, out| {
        let said = c.say(cx, conversation, vec![Content::text("mine")], out);
        c.sign(cx, out);
        said
    });
    said.0.unwrap()[0]
}

fn pass(bench: &mut Bench, time: Duration) -> Vec<Out> {
    let until = bench.now + time;
    bench.advance(until)
}

/// Receipts among outputs, with their receivers.
fn receipts(outs: &[Out]) -> Vec<(NodeId, Option<Height>, Option<MessageId>)> {
    let of = |out: &Out| match out {
        Out::Seal { to, body, .. } => match decode(body, MAX_MESSAGE) {
            Ok(Sync::Receipt { height, read, .. }) => Some((*to, height, read)),
            _ => None,
        },
        _ => None,
    };
    outs.iter().filter_map(of).collect()
}

fn events(outs: &[Out]) -> Vec<Confirmations> {
    let of =
        |out: &Out| if let Out::Confirmed { confirmations, .. } = out { Some(confirmations.clone()) } else { None };
    outs.iter().filter_map(of).collect()
}

fn confirmed(bench: &mut Bench, conversation: Conversation, message: MessageId) -> Result<Confirmations, CommandError> {
    bench.step(|c, cx, out| Confirm { conversation, message }.run(c, cx, out)).0
}

fn hear(bench: &mut Bench, from: u8, height: Option<Height>, read: Option<MessageId>) -> Vec<Out> {
    let body = encode(&Sync::Receipt { conversation: group_conversation(GROUP), height, read });
    bench.input(In::Opened { from: id_of(from), body })
}

fn own_height(bench: &Bench) -> Height {
    let log = &bench.chat.logs[&group_conversation(GROUP)];
    let (life, tip) = log.lives.deepest_of(bench.me).unwrap();
    Height::new(life, tip)
}

/// Mutation: `acknowledges` is true for any group. Above 32 members a message would cost its author as many answers.
#[test]
fn up_to_32_members_answer_a_message_and_no_more() {
    for (count, answers) in [(32, 1), (33, 0)] {
        let mut bench = member(count, Config::default());
        let run = by_two(1, None, &[]);
        take(&mut bench, &run);
        let outs = pass(&mut bench, Duration::from_secs(2));
        let all = receipts(&outs);
        assert_eq!(all.len(), answers, "{count} members");
        let height = Height::new(run.log, crate::chat::known::Tip { seq: 1, id: run.last().unwrap() });
        assert!(all.iter().all(|r| *r == (id_of(2), Some(height), None)));
    }
}

/// Mutation: each run has a receipt of its own.
#[test]
fn messages_that_come_together_have_one_receipt() {
    let mut bench = member(3, Config::default());
    let mut last = None;
    for seq in 1..=20 {
        let run = by_two(seq, last, &[]);
        last = run.last();
        take(&mut bench, &run);
    }
    let outs = pass(&mut bench, Duration::from_secs(2));
    let heights: Vec<u64> = receipts(&outs).into_iter().filter_map(|(_, height, _)| height).map(|h| h.seq).collect();
    assert_eq!(heights, [20]);
}

/// Mutation: `names` gives false.
#[test]
fn who_answers_in_words_sends_no_receipt() {
    let mut bench = member(3, Config::default());
    take(&mut bench, &by_two(1, None, &[]));
    say(&mut bench, HERE);
    assert!(receipts(&pass(&mut bench, Duration::from_secs(2))).is_empty());
}

/// Mutations: `named_by` does nothing; what a member names indirectly does not count.
#[test]
fn an_entry_confirms_all_of_its_past_for_its_author_alone() {
    let mut bench = member(3, Config::default());
    let first = say(&mut bench, HERE);
    let second = say(&mut bench, HERE);
    let third = say(&mut bench, HERE);
    take(&mut bench, &by_two(1, None, &[second]));
    for (message, stored) in [(first, vec![id_of(2)]), (second, vec![id_of(2)]), (third, vec![])] {
        let found = confirmed(&mut bench, HERE, message).unwrap();
        assert_eq!(found, Confirmations { message, members: 2, stored, read: vec![] });
    }
    let risen = events(&pass(&mut bench, Duration::from_secs(2)));
    assert_eq!(risen.iter().map(|c| (c.message, c.stored.len())).collect::<Vec<_>>(), [(second, 1)]);
    assert!(events(&pass(&mut bench, Duration::from_secs(60))).is_empty(), "nothing rose");
}

/// A claim about what was never said, or of another log, counts for nothing. Mutation: `is_so` is not asked.
#[test]
fn a_receipt_for_what_was_not_said_is_not_believed() {
    let mut bench = member(3, Config::default());
    let message = say(&mut bench, HERE);
    let right = own_height(&bench);
    for wrong in [
        Height { seq: 9, ..right },
        Height { tip: [0; 8], ..right },
        Height { log: crate::wire::entry::LifeId { life: Life([9; 8]), ..right.log }, ..right },
    ] {
        hear(&mut bench, 2, Some(wrong), None);
        assert!(confirmed(&mut bench, HERE, message).unwrap().stored.is_empty(), "{wrong:?}");
    }
    // A stranger is no member.
    hear(&mut bench, 9, Some(right), None);
    hear(&mut bench, 2, Some(right), None);
    assert_eq!(confirmed(&mut bench, HERE, message).unwrap().stored, [id_of(2)]);
}

/// Mutations: the setting is not asked; a mark goes without it.
#[test]
fn read_marks_are_sent_only_if_the_user_wants_that() {
    for (config, sent) in [(Config::default(), false), (sharing(), true)] {
        let mut bench = member(3, config);
        let run = by_two(1, None, &[]);
        take(&mut bench, &run);
        pass(&mut bench, Duration::from_secs(2));
        let done = bench.step(|c, cx, out| MarkRead { conversation: HERE, upto: None }.run(c, cx, out)).0;
        assert_eq!(done, Ok(()));
        let marks: Vec<_> = receipts(&pass(&mut bench, Duration::from_secs(2))).into_iter().map(|r| r.2).collect();
        assert_eq!(marks, if sent { vec![run.last()] } else { vec![] });
        // An absent member gets it with the next link.
        let mut outs = bench.fact(&up(id_of(3)));
        outs.extend(pass(&mut bench, Duration::from_secs(2)));
        let to: Vec<NodeId> = receipts(&outs).into_iter().map(|r| r.0).collect();
        assert_eq!(to, if sent { vec![id_of(3)] } else { vec![] });
    }
}

/// Mutation: `shared_mark` does not ask whether this node spoke.
#[test]
fn a_stranger_does_not_learn_that_its_request_was_read() {
    let stranger = id_of(2);
    let conversation = Conversation::Private(stranger);
    let mut bench = Bench::with(1, sharing());
    bench.fact(&up(stranger));
    let body = Body { salt: [3; 16], sent_at: WallTime(5), content: Some(Content::text("hi")) };
    let part = Part { parents: vec![], body: Carried::Body(Blob(encode(&body))) };
    let parts = Parts { life: Life([2; 8]), seq: 1, prev: None, entries: vec![part] };
    let room = crate::wire::content::private_conversation(bench.me, stranger);
    let run = Run::plain(room, stranger, parts).unwrap();
    let id = crate::collections::short(&run.last().unwrap().hash);
    bench.input(In::DirectReceived { from: stranger, id, body: run.bytes.clone() });
    let read = |bench: &mut Bench| {
        bench.step(|c, cx, out| MarkRead { conversation, upto: None }.run(c, cx, out)).0.unwrap();
        receipts(&pass(bench, Duration::from_secs(2))).len()
    };
    assert_eq!(read(&mut bench), 0);
    say(&mut bench, conversation);
    assert_eq!(read(&mut bench), 1, "an answer accepts the request");
}

/// Mutation: the blocked are among `members`.
#[test]
fn who_is_blocked_is_not_counted() {
    let mut bench = member(4, Config::default());
    let message = say(&mut bench, HERE);
    let height = own_height(&bench);
    hear(&mut bench, 2, Some(height), Some(message));
    hear(&mut bench, 3, Some(height), Some(message));
    bench.fact(&Fact::Blocked(id_of(2)));
    let found = confirmed(&mut bench, HERE, message).unwrap();
    assert_eq!((found.members, found.stored, found.read), (2, vec![id_of(3)], vec![id_of(3)]));
}

/// Mutation: the row is not written, or not read.
#[test]
fn confirmations_outlive_a_restart() {
    let mut bench = member(3, Config::default());
    let message = say(&mut bench, HERE);
    let height = own_height(&bench);
    hear(&mut bench, 2, Some(height), Some(message));
    pass(&mut bench, Duration::from_secs(3));
    bench.restart([5; 32]);
    let reader = |member| Reader { member, stint: OpId([1; 32]), from: 0 };
    let members = (1..=3).map(|n| (id_of(n), reader(id_of(n)))).collect();
    let view = GroupView { devices: members, context: Some(context()), ..GroupView::default() };
    bench.input(In::Group { group: GROUP, view: Some(Arc::new(view)) });
    let found = confirmed(&mut bench, HERE, message).unwrap();
    assert_eq!((found.stored, found.read), (vec![id_of(2)], vec![id_of(2)]));
}

#[test]
fn what_is_no_own_message_has_no_confirmations() {
    let mut bench = member(3, Config::default());
    let run = by_two(1, None, &[]);
    take(&mut bench, &run);
    let unknown = |found| matches!(found, Err(CommandError::Unknown(_)));
    assert!(unknown(confirmed(&mut bench, HERE, run.last().unwrap())));
    assert!(unknown(confirmed(&mut bench, HERE, MessageId::first_of(1))));
    assert!(unknown(confirmed(&mut bench, Conversation::Private(id_of(9)), MessageId::first_of(1))));
    let network = confirmed(&mut bench, Conversation::Network, MessageId::first_of(1));
    assert!(matches!(network, Err(CommandError::NotAllowed(_))));
}

/// Receivers of what says that this node types.
fn typing(outs: &[Out]) -> Vec<NodeId> {
    let of = |out: &Out| match out {
        Out::Seal { to, body, .. } => matches!(decode(body, MAX_MESSAGE), Ok(Sync::Typing { .. })).then_some(*to),
        _ => None,
    };
    outs.iter().filter_map(of).collect()
}

fn type_in(bench: &mut Bench, conversation: Conversation) -> (Result<(), CommandError>, Vec<Out>) {
    bench.step(|c, cx, out| Type { conversation }.run(c, cx, out))
}

fn shown(outs: &[Out]) -> Vec<(NodeId, bool)> {
    let of = |out: &Out| if let Out::Typing { node, active, .. } = out { Some((*node, *active)) } else { None };
    outs.iter().filter_map(of).collect()
}

fn types(bench: &mut Bench, who: u8) -> Vec<Out> {
    let body = encode(&Sync::Typing { conversation: group_conversation(GROUP) });
    bench.input(In::Opened { from: id_of(who), body })
}

/// Mutations: `may_say` gives true; a receipt goes to a large group; it is stored.
#[test]
fn typing_costs_a_message_every_three_seconds_at_most() {
    let mut bench = member(3, Config::default());
    let rows = bench.store.hot().len();
    let mut sent = 0;
    for _ in 0..90 {
        let (done, outs) = type_in(&mut bench, HERE);
        assert_eq!(done, Ok(()));
        sent += typing(&outs).len();
        pass(&mut bench, Duration::from_millis(100));
    }
    assert_eq!((sent, bench.store.hot().len()), (3, rows), "nine seconds of keys, one linked member");
    let mut large = member(33, Config::default());
    assert!(matches!(type_in(&mut large, HERE).0, Err(CommandError::NotAllowed(_))));
    assert!(matches!(type_in(&mut large, Conversation::Private(id_of(9))).0, Err(CommandError::Unknown(_))));
    assert!(shown(&types(&mut large, 2)).is_empty(), "nor shown there");
}

/// Mutations: `show` reports again; the timeout does nothing; `typed` is not called for a message, or for a link.
#[test]
fn typing_is_shown_once_and_ends_by_itself() {
    let two = id_of(2);
    let mut bench = member(3, Config::default());
    assert_eq!(shown(&types(&mut bench, 2)), [(two, true)]);
    for _ in 0..3 {
        pass(&mut bench, Duration::from_secs(3));
        assert_eq!(shown(&types(&mut bench, 2)), []);
    }
    assert_eq!(shown(&pass(&mut bench, Duration::from_secs(7))), [(two, false)]);
    types(&mut bench, 2);
    assert_eq!(shown(&take(&mut bench, &by_two(1, None, &[]))), [(two, false)], "it said it");
    types(&mut bench, 2);
    assert_eq!(shown(&bench.fact(&crate::fact::samples::down(two))), [(two, false)]);
    assert_eq!(shown(&pass(&mut bench, Duration::from_secs(60))), []);
}

/// Mutation: `reports` is not asked.
#[test]
fn the_muted_and_strangers_are_not_shown_typing() {
    let mut bench = member(3, Config::default());
    assert_eq!(shown(&types(&mut bench, 9)), [], "no member");
    bench.fact(&Fact::Muted(id_of(2)));
    assert_eq!(shown(&types(&mut bench, 2)), []);
    let stranger = crate::wire::content::private_conversation(bench.me, id_of(3));
    let body = encode(&Sync::Typing { conversation: stranger });
    assert_eq!(shown(&bench.input(In::Opened { from: id_of(3), body })), []);
}

/// Node 1 and its other device 2, and node 3 with its other device 4; 2 to 4 are linked.
fn two_people() -> Bench {
    let mut bench = Bench::with(1, Config::default());
    let reader = |member| Reader { member: id_of(member), stint: OpId([1; 32]), from: 0 };
    let devices = [(1, 1), (2, 1), (3, 3), (4, 3)].map(|(device, member)| (id_of(device), reader(member)));
    let view = GroupView { devices: devices.into_iter().collect(), context: Some(context()), ..GroupView::default() };
    bench.input(In::Group { group: GROUP, view: Some(Arc::new(view)) });
    bench.input(In::Devices { person: id_of(1), devices: vec![id_of(1), id_of(2)] });
    (2..5).for_each(|n| drop(bench.fact(&up(id_of(n)))));
    bench
}

/// Mutations: `readers` counts devices, or the other device of the author; `devices_of` is the member's node alone.
#[test]
fn a_member_with_two_devices_is_one_in_confirmations() {
    let mut bench = two_people();
    let message = say(&mut bench, HERE);
    let height = own_height(&bench);
    assert_eq!(confirmed(&mut bench, HERE, message).unwrap().members, 1);
    // The own laptop has it, which is no other member.
    hear(&mut bench, 2, Some(height), Some(message));
    assert_eq!(confirmed(&mut bench, HERE, message).unwrap().stored, []);
    hear(&mut bench, 4, Some(height), Some(message));
    let found = confirmed(&mut bench, HERE, message).unwrap();
    assert_eq!((found.members, found.stored, found.read), (1, vec![id_of(3)], vec![id_of(3)]));
}

/// Mutations: `typing` does not ask `member_of`; an own device is shown.
#[test]
fn a_member_that_types_on_two_devices_is_shown_once() {
    let mut bench = two_people();
    assert_eq!(shown(&types(&mut bench, 4)), [(id_of(3), true)]);
    assert_eq!(shown(&types(&mut bench, 3)), []);
    assert_eq!(shown(&types(&mut bench, 2)), []);
    let outs = bench.fact(&crate::fact::samples::down(id_of(4)));
    assert_eq!(shown(&outs), [(id_of(3), false)]);
}
