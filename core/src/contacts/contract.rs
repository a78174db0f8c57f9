//! What the contract suite draws for this machine.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use crate::config::Config;
use crate::contacts::commands::{Accept, AcceptChange, Add, Learn, Mute, Remove, Rename, Verify, Wrote};
use crate::contacts::number::{PublicKeys, SafetyNumber};
use crate::contacts::{Contacts, In};
use crate::contract::{Contract, Draw, PEERS, Script, Step, kinds, who};
use crate::fact::Fact;
use crate::fact::samples::{down, up};
use crate::id::FileId;
use crate::wire::content::Attachment;

/// The keys of a harness's identity; the second part is drawn from four.
pub(crate) fn keys(n: u8, identity: u8) -> PublicKeys {
    PublicKeys { device: who(n).public_key(), identity: [identity; 32] }
}

impl Contract for Contacts {
    /// Few contacts and requests, so that their limits are reached, links, and persons with their lists.
    const MOST: usize = 3 + 2 + 3 * PEERS as usize;

    kinds!(In: Keys, Received, Named, Devices, Shared, DevicesChanged);

    fn config() -> Config {
        let mut config = Config::default();
        (config.limits.contacts, config.limits.contact_requests) = (3, 2);
        config
    }

    fn draw(d: &mut Draw<'_>) -> Step<Self> {
        let name = |d: &mut Draw<'_>| match d.below(5) {
            0 => None,
            4 => Some(String::from_utf8_lossy(&d.bytes()).into_owned()),
            n => Some(alloc::format!("name {n}")),
        };
        Step::Command(match d.below(18) {
            0 | 1 => {
                let PublicKeys { device, identity } = keys(d.below(PEERS), d.below(4));
                return Step::In(In::Keys { device, identity });
            }
            2 => {
                let from = d.peer();
                return Step::In(In::Received { from, author: from });
            }
            3 => return Step::Fact(up(d.peer())),
            4 => return Step::Fact(down(d.peer())),
            5 => return Step::Fact(if d.coin() { Fact::Blocked(d.peer()) } else { d.fact() }),
            6 => Box::new(Add { node: d.peer(), petname: name(d) }),
            7 => Box::new(Rename { node: d.peer(), petname: name(d) }),
            8 => Box::new(Mute { node: d.peer(), muted: d.coin() }),
            9 => Box::new(Remove(d.peer())),
            10 => {
                let (n, own, other) = (d.below(PEERS), d.below(4), d.below(4));
                let node = who(n).node_id();
                let shown = match d.below(3) {
                    0 => String::from_utf8_lossy(&d.bytes()).into_owned(),
                    // As the other device shows it.
                    1 => SafetyNumber::of(&keys(n, other), &keys(0, own)).code,
                    _ => SafetyNumber::of(&keys(n, other), &keys(0, own)).number,
                };
                Box::new(Verify { node, shown })
            }
            11 => match d.below(3) {
                0 => Box::new(AcceptChange(d.peer())),
                1 => Box::new(Learn(d.peer())),
                _ => Box::new(Accept(d.peer())),
            },
            12 => Box::new(Wrote(d.peer())),
            13 => {
                let from = d.peer();
                return Step::In(In::Named { from, file: Box::new(Attachment::of(FileId([1; 32]), [2; 32], 3)) });
            }
            14 => return Step::Fact(d.fact()),
            15 => return Step::In(In::Devices { person: d.peer(), devices: d.devices() }),
            16 => return Step::In(In::Shared(d.register())),
            _ => return Step::In(In::DevicesChanged { person: d.peer(), device: d.peer() }),
        })
    }

    fn look(&self, d: &mut Draw<'_>, transcript: &mut String) {
        let held: Vec<bool> = (0..2).map(|_| self.is_held(d.peer())).collect();
        let _ = writeln!(transcript, "{held:?} {}", self.iter().count());
    }
}

/// Valid inputs of the machine, for fuzzers.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    // Own keys, a stranger that writes and is accepted, named, met, verified by number and by code, changed, accepted; see
    // `Contract::draw`.
    let mut people = Script::default();
    people.put(&[0, 0, 0, 1]).put(&[0, 2, 1]).put(&[0, 3, 1]).put(&[0, 11, 2, 1]).put(&[0, 7, 1, 2]);
    people.put(&[0, 11, 1, 1]).put(&[0, 1, 1, 2]).put(&[0, 11, 1, 1]);
    people.put(&[0, 10, 1, 1, 3, 1]).put(&[0, 10, 1, 1, 2, 2]).put(&[0, 10, 1, 1, 2, 1]).put(&[0, 10, 1, 1, 2, 0]);
    people.bytes(b"12345").put(&[0, 8, 1, 0]).put(&[0, 0, 1, 3]).put(&[0, 11, 0, 1]).put(&[0, 9, 1]);
    // More strangers and contacts than there is room for, and a block.
    let mut many = Script::default();
    for n in 1..5 {
        many.put(&[0, 2, n]);
    }
    for n in 1..6 {
        many.put(&[0, 6, n, n % 4]);
    }
    many.put(&[0, 13, 1]).put(&[0, 2, 6]).put(&[0, 5, 0, 6]).put(&[0, 12, 7]).put(&[0, 4, 1]);
    alloc::vec![people.0, many.0]
}

/// A valid code.
pub(crate) fn codes() -> Vec<Vec<u8>> {
    alloc::vec![SafetyNumber::code_of(&keys(1, 1), &keys(2, 2)).into_bytes()]
}
