//! What the contract suite draws for this machine.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use crate::collections::OrderedSet;
use crate::contract::{Contract, Draw, PEERS, Step, kinds, who};
use crate::fact::Fact;
use crate::fact::samples::{down, record};
use crate::id::NodeId;
use crate::swim::wire::{Claim, Message, Presence, Told, Update};
use crate::swim::{In, Out, Swim};

impl Contract for Swim {
    /// Both halves of the roster, as many updates, links, timers, tellers and questions, and what is under way.
    const MOST: usize = 1_800;

    kinds!(In: Message, Estimate, Probe);

    fn draw(d: &mut Draw<'_>) -> Step<Self> {
        Step::In(match d.below(17) {
            // With the record that its link would have proved.
            0 | 1 => {
                let n = d.below(PEERS);
                return Step::Fact(Fact::LinkUp { peer: who(n).node_id(), record: record(n), addr: d.addr() });
            }
            2 => return Step::Fact(down(d.peer())),
            3 => return Step::Fact(Fact::LinkSuspected(d.peer())),
            4 => return Step::Fact(Fact::AddressChanged { peer: d.peer(), addr: d.addr() }),
            5 => return Step::Fact(Fact::NeighbourUp(d.peer())),
            6 => return Step::Fact(Fact::NeighbourDown(d.peer())),
            7 => In::Estimate(usize::from(d.byte()).saturating_mul(4)),
            8 => In::Probe(d.peer()),
            9 => {
                return Step::Fact(match d.below(4) {
                    0 => Fact::Leaving,
                    1 => Fact::Suspended,
                    _ => Fact::Resumed,
                });
            }
            10 | 11 => In::Message { from: d.peer(), body: d.bytes() },
            // No bytes would guess the ids of others.
            12..15 => {
                let (from, member, incarnation) = (d.peer(), d.peer(), u64::from(d.below(4)));
                let update = Update { member, incarnation, claim: claim(d) };
                let (seq, updates) = (u32::from(d.below(16)), alloc::vec![update]);
                let message = match d.below(9) {
                    5 => Message::Digest([d.byte(); 16]),
                    6 => Message::Ask((0..d.below(4)).map(|_| d.peer()).collect()),
                    7 | 8 => {
                        let n = d.below(PEERS);
                        let known = record(n);
                        let presence = [Presence::Here, Presence::Away, Presence::Left];
                        let presence = presence.get(usize::from(d.below(3))).copied().unwrap_or(Presence::Here);
                        let record = (who(n).node_id() != from).then_some(&known);
                        Message::Statements(alloc::vec![Told::by(
                            &who(n),
                            record,
                            (incarnation, presence),
                            alloc::vec![d.addr()]
                        )])
                    }
                    0 => Message::Ping { seq, updates },
                    1 => Message::Ack { seq, updates },
                    2 => Message::Nack { seq, updates },
                    3 => Message::PingReq { seq, target: d.peer(), updates },
                    _ => Message::Sync { ask: d.coin(), roster: updates },
                };
                In::Message { from, body: message.encode() }
            }
            // Many that do not exist.
            15 => {
                let (from, first, count) = (d.peer(), d.byte(), d.byte());
                let made_up = |n: u8| Update {
                    member: NodeId([first.wrapping_add(n); 32]),
                    incarnation: u64::from(n),
                    claim: Claim::Alive { addrs: Vec::new() },
                };
                let message = Message::Sync { ask: true, roster: (0..count).map(made_up).collect() };
                In::Message { from, body: message.encode() }
            }
            _ => return Step::Fact(d.fact()),
        })
    }

    fn want(out: &Out) -> Option<(NodeId, bool)> {
        match out {
            Out::Want(peer) => Some((*peer, true)),
            Out::Unwant(peer) => Some((*peer, false)),
            Out::Fact(_) | Out::Send { .. } | Out::AddAddresses { .. } => None,
        }
    }

    fn wants(&self) -> Option<OrderedSet<NodeId>> {
        let members = self.members.roster.iter().filter(|(_, member)| member.wanted).map(|(id, _)| id);
        Some(members.chain(self.prober.wanted()).collect())
    }

    fn look(&self, _d: &mut Draw<'_>, transcript: &mut String) {
        let _ = writeln!(transcript, "{}", self.members().count());
    }
}

fn claim(d: &mut Draw<'_>) -> Claim {
    match d.below(5) {
        0 => Claim::Alive { addrs: alloc::vec![d.addr()] },
        1 => Claim::Suspect,
        2 => Claim::Down,
        3 => Claim::Left,
        _ => Claim::Away,
    }
}
