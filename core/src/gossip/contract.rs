//! What the contract suite draws for this machine.

use core::time::Duration;

use crate::collections::short;
use crate::contract::{Contract, Draw, Step, kinds};
use crate::fact::samples::{down, up};
use crate::fact::{Fact, RoundTrip};
use crate::gossip::{Gossip, In};

impl Contract for Gossip {
    const MOST: usize = 200_000;

    kinds!(In: Message, Publish, Validated);

    fn draw(d: &mut Draw<'_>) -> Step<Self> {
        Step::In(match d.below(10) {
            0 => return Step::Fact(Fact::NeighbourUp(d.peer())),
            1 => return Step::Fact(Fact::NeighbourDown(d.peer())),
            2 => In::Message { from: d.peer(), body: d.bytes() },
            3 => In::Publish { body: d.bytes() },
            4 => return Step::Fact(up(d.peer())),
            5 => return Step::Fact(down(d.peer())),
            6 => return Step::Fact(Fact::Zone((d.below(3) > 0).then(|| (0..4).map(|_| d.peer()).collect()))),
            8 => {
                let (peer, rtt) = (d.peer(), Some(Duration::from_millis(u64::from(d.byte()) * 40)));
                return Step::Fact(Fact::RoundTrips(alloc::vec![RoundTrip { peer, outbound: true, rtt }]));
            }
            9 => return Step::Fact(d.fact()),
            _ => {
                // The validation of a body, by the id that the machine gives it.
                let id = short(blake3::hash(&d.bytes()).as_bytes());
                In::Validated { id, genuine: d.coin() }
            }
        })
    }
}
