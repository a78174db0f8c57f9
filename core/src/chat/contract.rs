//! What the contract suite draws for this machine.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use crate::chat::rows::ENTRIES;
use crate::chat::{BeginLife, Chat, Confirm, DeleteConversation, History, In, MarkRead, Out, Say, Stand, Type};
use crate::collections::short;
use crate::contract::{Contract, Draw, PEERS, Step, kinds, who};
use crate::fact::Fact;
use crate::fact::samples::{down, up};
use crate::id::{GroupId, Life, MessageId, OpId};
use crate::shared::Arc;
use crate::store::{Record, Scan};
use crate::time::WallTime;
use crate::wire::content::{Content, Conversation, group_conversation, network_conversation, private_conversation};
use crate::wire::entry::{Body, Carried, Part, Parts, Run};
use crate::wire::group::{Context, GroupHistory, GroupView, Reader};
use crate::wire::{Blob, encode};

fn conversation(d: &mut Draw<'_>) -> Conversation {
    match d.below(3) {
        0 => Conversation::Network,
        1 => Conversation::Private(d.peer()),
        _ => Conversation::Group(group(d)),
    }
}

fn group(d: &mut Draw<'_>) -> GroupId {
    GroupId([d.below(2); 32])
}

/// One of two operations.
fn op(d: &mut Draw<'_>) -> OpId {
    OpId([d.below(2); 32])
}

fn context(d: &mut Draw<'_>) -> Context {
    Context { epoch: op(d), stint: op(d), heads: alloc::vec![op(d)] }
}

fn view(d: &mut Draw<'_>) -> GroupView {
    let members =
        d.devices().into_iter().map(|node| (node, Reader { member: node, stint: op(d), from: u64::from(d.below(3)) }));
    GroupView {
        devices: members.collect(),
        left: d.devices().into_iter().collect(),
        context: d.coin().then(|| context(d)),
    }
}

/// What a peer said in a group, signed.
fn in_group(d: &mut Draw<'_>, group: GroupId) -> Option<Run> {
    let (author, context, seq) = (who(d.below(PEERS)), context(d), u64::from(d.below(3)).saturating_add(1));
    let prev = (seq > 1).then(|| MessageId { depth: seq, hash: [d.byte(); 32] });
    let body = Body { salt: [6; 16], sent_at: WallTime(1_000), content: Some(Content::text(format!("{}", d.byte()))) };
    let entries = alloc::vec![Part { parents: Vec::new(), body: Carried::Body(Blob(encode(&body))) }];
    let parts = Parts { life: Life([d.below(2); 8]), seq, prev, entries };
    Run::sign_in_group(&author, group_conversation(group), &context, parts).ok()
}

fn message(d: &mut Draw<'_>) -> MessageId {
    MessageId { depth: u64::from(d.below(16)), hash: [d.byte(); 32] }
}

impl Contract for Chat {
    /// Three trees of a comparison, and 20,000.
    const MOST: usize = 3 * 65_536 + 20_000;

    kinds!(In: DirectReceived, GossipReceived, Message, Opened, Ready, Devices, Group, Vetted, Where, Carried, Delivered, ReadElsewhere, Compare, CompareAll, Stand);

    fn draw(d: &mut Draw<'_>) -> Step<Self> {
        Step::In(match d.below(22) {
            0 => {
                let (from, body) = (d.peer(), d.bytes());
                // Most carry the id of the run; no random input could guess it.
                let me = who(0).node_id();
                let run = Run::decode_plain(private_conversation(me, from), body.clone());
                let last = run.ok().and_then(|r| r.last()).filter(|_| d.below(4) != 3);
                let id = last.map_or_else(|| d.id(), |last| short(&last.hash));
                In::DirectReceived { from, id, body }
            }
            1 => In::GossipReceived { via: d.peer(), id: d.id(), body: d.bytes() },
            2 => In::Message { from: d.peer(), body: d.bytes() },
            7 if d.coin() => In::Opened { from: d.peer(), body: d.bytes() },
            7 if d.coin() => In::Ready(d.peer()),
            3 => return Step::Fact(up(d.peer())),
            4 => return Step::Fact(down(d.peer())),
            5 => return Step::Fact(Fact::NeighbourUp(d.peer())),
            6 => return Step::Fact(Fact::NeighbourDown(d.peer())),
            8 => In::Compare { peer: d.peer(), linked: d.coin() },
            9 if d.coin() => return Step::Command(Box::new(BeginLife)),
            9 if d.coin() => {
                let (conversation, depth) = (conversation(d), u64::from(d.below(8)));
                return Step::Command(match d.below(3) {
                    0 => Box::new(DeleteConversation { conversation, all_held: d.coin() }),
                    1 => Box::new(MarkRead { conversation, upto: Some(MessageId::first_of(depth)) }),
                    _ => Box::new(MarkRead { conversation, upto: None }),
                });
            }
            9 => return Step::Fact(Fact::Resumed),
            10 => In::CompareAll,
            21 => In::Stand(group(d)),
            11 | 12 => {
                let conversation = conversation(d);
                let content = match d.below(6) {
                    0 => Content::text(""),
                    1 => Content::text("long ".repeat(20_000)),
                    n => Content::text(format!("{n} {}", d.byte())),
                };
                return Step::Command(Box::new(Say { conversation, contents: alloc::vec![content] }));
            }
            13 => {
                let (conversation, limit) = (conversation(d), u32::from(d.byte()));
                let before = if d.coin() { None } else { Some(message(d)) };
                return Step::Command(Box::new(History { query: 7, conversation, before, limit }));
            }
            14 => return Step::Fact(d.fact()),
            15 => In::Devices { person: d.peer(), devices: d.devices() },
            16 => In::Group { group: group(d), view: (d.below(8) > 0).then(|| Arc::new(view(d))) },
            17 => {
                let (group, author, context) = (group(d), d.peer(), context(d));
                let members = Arc::new((0..d.below(3)).map(|n| OpId([n; 32])).collect());
                In::Vetted { group, author, context, may: d.coin(), members }
            }
            18 => {
                let (group, via) = (group(d), d.peer());
                In::Carried { group, via, body: in_group(d, group).map(|run| run.bytes).unwrap_or_default() }
            }
            19 => match d.below(3) {
                0 => {
                    let (group, member) = (group(d), d.peer());
                    let history = match d.below(4) {
                        0 => GroupHistory::Nothing,
                        1 => GroupHistory::Newest(u32::from(d.below(4))),
                        2 => GroupHistory::Days(u32::from(d.below(3))),
                        _ => GroupHistory::Everything,
                    };
                    In::Where { group, member, history }
                }
                1 => In::Delivered { to: d.peer(), id: message(d) },
                _ => {
                    let conversation = match conversation(d) {
                        Conversation::Network => network_conversation(&[0; 32]),
                        Conversation::Private(peer) => private_conversation(who(0).node_id(), peer),
                        Conversation::Group(group) => group_conversation(group),
                    };
                    In::ReadElsewhere { conversation, upto: d.coin().then(|| message(d)) }
                }
            },
            20 => {
                return Step::Command(match d.below(3) {
                    0 => Box::new(Confirm { conversation: conversation(d), message: message(d) }),
                    1 => Box::new(Stand { group: group(d) }),
                    _ => Box::new(Type { conversation: conversation(d) }),
                });
            }
            _ => {
                let record = Record { table: ENTRIES, key: d.bytes(), value: d.bytes() };
                return Step::Records(u64::from(d.byte()), alloc::vec![record]);
            }
        })
    }

    fn look(&self, d: &mut Draw<'_>, transcript: &mut String) {
        let conversation = conversation(d);
        let _ = writeln!(transcript, "{} {}", self.knows(conversation), self.pending());
    }

    fn read(out: &Out) -> Option<(u64, Scan)> {
        if let Out::Read { read, scan } = out { Some((*read, scan.clone())) } else { None }
    }
}
