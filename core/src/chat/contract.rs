//! What the contract suite draws for this machine.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::fmt::Write;

use crate::chat::rows::ENTRIES;
use crate::chat::{BeginLife, Chat, DeleteConversation, History, In, MarkRead, Out, Say};
use crate::collections::short;
use crate::contract::{Contract, Draw, Step, who};
use crate::fact::Fact;
use crate::fact::samples::{down, up};
use crate::id::MessageId;
use crate::store::{Record, Scan};
use crate::wire::content::{Content, Conversation, private_conversation};
use crate::wire::entry::Run;

fn conversation(d: &mut Draw<'_>) -> Conversation {
    if d.coin() { Conversation::Network } else { Conversation::Private(d.peer()) }
}

impl Contract for Chat {
    /// Three trees of a comparison, and 20,000.
    const MOST: usize = 3 * 65_536 + 20_000;

    fn draw(d: &mut Draw<'_>) -> Step<Self> {
        Step::In(match d.below(15) {
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
                let place = |d: &mut Draw<'_>| MessageId { depth: u64::from(d.below(16)), hash: [d.byte(); 32] };
                let before = if d.coin() { None } else { Some(place(d)) };
                return Step::Command(Box::new(History { query: 7, conversation, before, limit }));
            }
            14 => return Step::Fact(d.fact()),
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
