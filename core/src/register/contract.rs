//! What the contract suite draws for this machine.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use crate::contract::{Contract, Draw, PEERS, Script, Step, kinds, who};
use crate::fact::samples::{down, up};
use crate::id::{ConversationId, MessageId, NodeId};
use crate::register::wire::{BUCKETS, Message};
use crate::register::{In, Registers};
use crate::wire::encode;
use crate::wire::registers::{Comparison, Register, Stamped};

fn stamped(d: &mut Draw<'_>) -> Stamped {
    let counter = if d.below(8) == 7 { u64::MAX } else { u64::from(d.below(4)) };
    Stamped { generation: u64::from(d.below(4)), lowered: 0, counter, writer: d.peer(), register: d.register() }
}

fn message(d: &mut Draw<'_>) -> Message {
    match d.below(4) {
        0 => Message::Have { root: d.id() },
        1 => {
            let sum = u64::from(d.byte());
            Message::Buckets { ask: d.coin(), sums: alloc::vec![sum; if d.below(4) == 3 { 3 } else { BUCKETS }] }
        }
        _ => Message::Page((0..d.below(70)).map(|_| stamped(d)).collect()),
    }
}

impl Contract for Registers {
    /// Five kinds of registers for each peer and three conversations, as many that are to be said, links and devices.
    const MOST: usize = 2 * (5 * PEERS as usize + 3) + 2 * PEERS as usize;

    kinds!(In: Share, Suggest, Moved, Own, Opened, Ready);

    fn draw(d: &mut Draw<'_>) -> Step<Self> {
        Step::In(match d.below(12) {
            0 => return Step::Fact(up(d.peer())),
            1 => return Step::Fact(down(d.peer())),
            2 => return Step::Fact(d.fact()),
            3 | 4 => In::Share(d.register()),
            5 => In::Suggest(d.register()),
            6 => {
                let others: Vec<NodeId> = (0..d.below(3)).map(|_| d.peer()).collect();
                // Most lists have this device.
                let me = (d.below(4) > 0).then(|| who(0).node_id());
                let generation = u64::from(d.below(4));
                // Each list but the first stands in place of the newest one.
                let common = generation.saturating_sub(1);
                In::Own { generation, common, devices: me.into_iter().chain(others).collect() }
            }
            7 => In::Opened { from: d.peer(), body: d.bytes() },
            8..=10 => In::Opened { from: d.peer(), body: encode(&message(d)) },
            _ if d.coin() => In::Moved { device: d.peer(), person: d.peer() },
            _ => In::Ready(d.peer()),
        })
    }

    fn look(&self, _: &mut Draw<'_>, transcript: &mut String) {
        let _ = writeln!(transcript, "{:?}", self.map.root());
    }
}

/// Valid inputs of the machine, for fuzzers.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    // An own device is linked; what is set here goes to it, what it brings is done here, and what differs is compared.
    let mut all = Script::default();
    all.put(&[0, 6, 1, 1, 3, 1]).put(&[0, 0, 1]).put(&[0, 3, 0, 2, 0]).put(&[0, 3, 1, 2, 0, 1]).put(&[210]);
    for message in messages() {
        all.put(&[0, 7, 1]).bytes(&message);
    }
    all.put(&[0, 5, 0, 3, 0])
        .put(&[0, 5, 4, 3, 0])
        .put(&[0, 11, 1, 1])
        .put(&[0, 11, 0, 3, 4])
        .put(&[240, 3])
        .put(&[210])
        .put(&[0, 1, 1]);
    alloc::vec![all.0]
}

/// One message of each kind, and a page with each kind of register.
pub(crate) fn messages() -> Vec<Vec<u8>> {
    let node = who(2).node_id();
    let comparison = Comparison { verified: true, device: node, identity: [3; 32], devices: [4; 32] };
    let registers = [
        Register::Contact(node, true),
        Register::Petname(node, Some("bob".into())),
        Register::Muted(node, true),
        Register::Trust(node, Some(comparison)),
        Register::Blocked(who(3).node_id(), true),
        Register::Read(ConversationId([5; 32]), MessageId { depth: 300, hash: [6; 32] }),
    ];
    let stamp = |register| Stamped { generation: 1, lowered: 0, counter: 2, writer: who(1).node_id(), register };
    alloc::vec![
        encode(&Message::Have { root: [7; 16] }),
        encode(&Message::Buckets { ask: true, sums: alloc::vec![1; BUCKETS] }),
        encode(&Message::Page(registers.into_iter().map(stamp).collect())),
    ]
}
