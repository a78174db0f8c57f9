//! What the contract suite draws for this machine.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt::Write;

use crate::contract::{Contract, Draw, Step, kinds, who};
use crate::fact::Fact;
use crate::fact::samples::record;
use crate::link::{Block, In, Link, Owner};
use crate::machine::Cx;
use crate::wire::{Channel, Priority};

impl Contract for Link {
    const MOST: usize = 20_000;

    kinds!(In: Datagram, TooLong, Connect, AddAddresses, Want, Unwant, Send, Close, Forged, Devices, Block, Measure, Shut, Open);

    fn draw(d: &mut Draw<'_>) -> Step<Self> {
        let owner = |d: &mut Draw<'_>| match d.below(6) {
            0 => Owner::Membership,
            1 => Owner::Delivery,
            2 => Owner::Swim,
            3 => Owner::Group,
            4 => Owner::File,
            _ => Owner::Device,
        };
        Step::In(match d.below(17) {
            0 | 1 => In::Datagram { from: d.addr(), bytes: d.bytes() },
            2 => {
                let addr = d.addr();
                In::Connect { addr, expect: d.coin().then(|| d.peer()) }
            }
            3 => {
                let n = d.below(8);
                In::AddAddresses {
                    peer: who(n).node_id(),
                    record: Some(record(n)),
                    addrs: alloc::vec![d.addr()],
                    told: d.coin(),
                }
            }
            4 => In::Want { peer: d.peer(), owner: owner(d) },
            5 => In::Unwant { peer: d.peer(), owner: owner(d) },
            6 => In::Send { to: d.peer(), channel: Channel::Chat, priority: Priority::Normal, body: d.bytes() },
            7 => In::Close { peer: d.peer() },
            8 => return Step::Fact(Fact::NetworkChanged),
            9 => In::Open,
            11 => In::Measure,
            12 => return Step::Fact(d.fact()),
            13 => {
                let to = d.addr();
                In::TooLong { to, length: usize::from(d.byte()).saturating_mul(6) }
            }
            14 => In::Devices { person: d.peer(), devices: d.devices() },
            15 => In::Block { peer: d.peer(), blocked: d.coin() },
            16 => return Step::Command(Box::new(Block { peer: d.peer(), blocked: d.coin() })),
            _ => match d.below(4) {
                0 => In::Shut,
                1 => In::Forged { peer: d.peer() },
                _ => In::Open,
            },
        })
    }

    fn look(&self, d: &mut Draw<'_>, transcript: &mut String) {
        let peer = d.peer();
        let _ = writeln!(transcript, "{:?} {} {}", self.info(peer), self.free_queue(peer), self.linked().count());
    }

    fn drain(&mut self, cx: &mut Cx<'_>, transcript: &mut String) {
        while let Some((to, bytes)) = self.poll_transmit(cx) {
            let _ = writeln!(transcript, "{:?} to {to}: {bytes:02x?}", cx.now);
        }
    }
}
