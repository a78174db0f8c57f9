//! What the contract suite draws for this machine.

use alloc::string::String;
use core::fmt::Write;

use crate::collections::OrderedSet;
use crate::contract::{Contract, Draw, Step, kinds};
use crate::delivery::{Delivery, In, Out, Reserve};
use crate::fact::samples::{down, up};
use crate::id::{MessageId, NodeId};

impl Contract for Delivery {
    const MOST: usize = 200_000;

    kinds!(In: Submit, Stored, Message, Unopened, Ready, Validated, GiveUp, AcksDue);

    fn draw(d: &mut Draw<'_>) -> Step<Self> {
        Step::In(match d.below(11) {
            0 | 1 => {
                let ids = (0..=d.below(3)).map(|_| MessageId { depth: 1, hash: [d.byte(); 32] }).collect();
                In::Submit { to: d.peer(), ids, body: d.bytes() }
            }
            2 => match (d.peer(), d.byte()) {
                (_, 0) => In::AcksDue,
                (to, order) => In::Stored { to, order: u64::from(order) },
            },
            3 => return Step::Fact(up(d.peer())),
            4 => return Step::Fact(down(d.peer())),
            5 => match d.below(3) {
                0 => In::Unopened { from: d.peer(), digest: d.id() },
                1 => In::Ready(d.peer()),
                _ => In::Message { from: d.peer(), digest: d.id(), body: d.bytes() },
            },
            6 => In::Validated { from: d.peer(), id: d.id(), accepted: d.coin() },
            7 => return Step::Fact(d.fact()),
            9 => In::GiveUp(d.peer()),
            10 => In::AcksDue,
            _ => {
                // From a byte to more than the whole outbox.
                let len = 1usize.checked_shl(u32::from(d.below(30))).unwrap_or(1);
                return Step::Command(alloc::boxed::Box::new(Reserve { messages: 1, bytes: len }));
            }
        })
    }

    fn look(&self, d: &mut Draw<'_>, transcript: &mut String) {
        let (id, peer) = (MessageId { depth: 1, hash: [d.byte(); 32] }, d.peer());
        let _ = writeln!(transcript, "{} {} {}", self.is_queued(id), self.queued(peer), self.total());
    }

    fn want(out: &Out) -> Option<(NodeId, bool)> {
        match out {
            Out::Want(peer) => Some((*peer, true)),
            Out::Unwant(peer) => Some((*peer, false)),
            Out::Send { .. }
            | Out::Forget { .. }
            | Out::Lost(_)
            | Out::Stored { .. }
            | Out::Received { .. }
            | Out::Delivered { .. }
            | Out::Expired { .. }
            | Out::Refused { .. }
            | Out::Blocked { .. }
            | Out::AcksDue
            | Out::Writable => None,
        }
    }

    fn wants(&self) -> Option<OrderedSet<NodeId>> {
        Some(self.peers.iter().filter(|(_, peer)| !peer.is_empty()).map(|(id, _)| *id).collect())
    }
}
