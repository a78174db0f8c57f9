//! What the contract suite draws for this machine.

use crate::config::Config;
use crate::contract::{Contract, Draw, Step, kinds};
use crate::discovery::beacon::{Beacon, beacon_key};
use crate::discovery::{Discovery, In};
use crate::fact::Fact;

impl Contract for Discovery {
    const MOST: usize = 512;

    kinds!(In: Beacon, LocalPeer);

    fn config() -> Config {
        let mut config = Config::default();
        config.discovery.beacons = true;
        config
    }

    fn draw(d: &mut Draw<'_>) -> Step<Self> {
        Step::In(match d.below(9) {
            0 => return Step::Fact(Fact::Joined),
            1 => return Step::Fact(Fact::Left),
            2 => return Step::Fact(Fact::LocalAddresses(alloc::vec![d.addr()])),
            3 => return Step::Fact(Fact::NetworkChanged),
            4 => In::LocalPeer { id: d.coin().then(|| d.peer()), addr: d.addr() },
            5 => In::Beacon { from: d.addr(), bytes: d.bytes() },
            8 => return Step::Fact(d.fact()),
            // Genuine ones, which no input could guess.
            _ => {
                let id = d.coin().then(|| d.peer());
                let beacon = Beacon { ports: [u16::from(d.below(3)), 0], tag: d.id(), id };
                let key = beacon_key(&[d.below(8) / 7; 32]);
                In::Beacon { from: d.addr(), bytes: beacon.encode(&key) }
            }
        })
    }
}
