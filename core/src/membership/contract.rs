//! What the contract suite draws for this machine.

use alloc::string::String;
use core::fmt::Write;
use core::time::Duration;

use crate::collections::OrderedSet;
use crate::contract::{Contract, Draw, Step, kinds, who};
use crate::fact::samples::{down, record};
use crate::fact::{Fact, MemberState, RoundTrip};
use crate::id::NodeId;
use crate::membership::{In, Membership, Out};
use crate::wire::ticket::Bootstrap;

impl Contract for Membership {
    const MOST: usize = 1_000;

    kinds!(In: Join, Stranger, AddressNeeded, Resolved, Unreachable, Observed, Message, Found, Retry, Compared, Contact);

    fn draw(d: &mut Draw<'_>) -> Step<Self> {
        let expect = |d: &mut Draw<'_>| d.coin().then(|| d.peer());
        Step::In(match d.below(22) {
            0 => {
                let addr = d.addr();
                In::Join(alloc::vec![Bootstrap { addr, id: expect(d) }])
            }
            1 => return Step::Fact(Fact::Left),
            2 | 3 => {
                let n = d.below(8);
                let fact = Fact::LinkUp { peer: who(n).node_id(), record: record(n), addr: d.addr() };
                return Step::Fact(fact);
            }
            4 => return Step::Fact(down(d.peer())),
            5 => In::Resolved { addr: d.addr(), peer: d.peer() },
            6 => In::Unreachable { addr: d.addr(), expect: expect(d), wrong_node: d.coin() },
            7 => return Step::Fact(Fact::AddressChanged { peer: d.peer(), addr: d.addr() }),
            8 => In::Observed { by: d.peer(), addr: d.addr() },
            9 => In::Message { from: d.peer(), body: d.bytes() },
            10 => return Step::Fact(Fact::NetworkChanged),
            11 => return Step::Fact(Fact::LinkSuspected(d.peer())),
            12 => In::Stranger(d.peer()),
            13 => return Step::Fact(Fact::LinkRecovered(d.peer())),
            14 => In::Found { addr: d.addr(), id: expect(d) },
            15 => {
                let rtt = Some(Duration::from_millis(u64::from(d.byte())));
                let link = RoundTrip { peer: d.peer(), outbound: d.coin(), rtt };
                return Step::Fact(Fact::RoundTrips(alloc::vec![link]));
            }
            16 => {
                let at = usize::from(d.below(5));
                let state = MemberState::ALL.get(at).copied().unwrap_or(MemberState::Down);
                return Step::Fact(Fact::MemberChanged { peer: d.peer(), state, own: d.coin() });
            }
            17 => {
                let members = (0..d.byte()).map(|n| NodeId([n; 32])).collect();
                return Step::Fact(Fact::Zone(Some(members)));
            }
            18 => In::Compared(d.peer()),
            19 => In::Contact(alloc::vec![d.peer()]),
            20 => {
                if d.coin() {
                    In::Retry
                } else {
                    In::AddressNeeded(d.peer())
                }
            }
            _ => return Step::Fact(d.fact()),
        })
    }

    fn look(&self, d: &mut Draw<'_>, transcript: &mut String) {
        let peer = d.peer();
        let known = (self.get(peer).is_some(), self.known().count(), self.neighbours().len());
        let _ = writeln!(transcript, "{known:?} {:?} {:?}", self.addresses(), self.state());
    }

    fn want(out: &Out) -> Option<(NodeId, bool)> {
        match out {
            Out::Want(peer) => Some((*peer, true)),
            Out::Unwant(peer) => Some((*peer, false)),
            Out::Fact(_)
            | Out::Connect { .. }
            | Out::AddAddresses { .. }
            | Out::Measure
            | Out::Close(_)
            | Out::Send { .. }
            | Out::Up { .. }
            | Out::Down { .. }
            | Out::State { .. }
            | Out::Estimate(_)
            | Out::Compare(_)
            | Out::Open
            | Out::Shut => None,
        }
    }

    fn wants(&self) -> Option<OrderedSet<NodeId>> {
        Some(self.peers.links.wanted().clone())
    }
}
