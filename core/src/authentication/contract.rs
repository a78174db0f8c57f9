//! What the contract suite draws for this machine.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::authentication::wire::{Answer, Challenge, Message, signed};
use crate::authentication::{Authenticate, Authentication, In, MAX_PENDING};
use crate::contract::{Contract, Draw, PEERS, Script, Step, kinds, who};
use crate::fact::samples::{down, up};
use crate::identity::Domain;

impl Contract for Authentication {
    /// Links and challenges.
    const MOST: usize = PEERS as usize + MAX_PENDING;

    kinds!(In: Keyed, Message);

    fn draw(d: &mut Draw<'_>) -> Step<Self> {
        Step::In(match d.below(8) {
            0 => return Step::Fact(up(d.peer())),
            1 => return Step::Fact(down(d.peer())),
            2 => In::Keyed { peer: d.peer(), hash: [d.below(4); 32] },
            3 => return Step::Command(Box::new(Authenticate(d.peer()))),
            4 => In::Message { from: d.peer(), body: d.bytes() },
            5 => {
                let challenge = Challenge { random: [d.byte(); 32], hash: [d.below(4); 32] };
                In::Message { from: d.peer(), body: Message::Challenge(challenge).encode() }
            }
            6 => {
                let (n, me) = (d.below(PEERS), who(0).node_id());
                let challenge = Challenge { random: [d.byte(); 32], hash: [d.below(4); 32] };
                let by = who(n);
                let signature = by.sign(Domain::Challenge, &signed(&challenge, me, by.node_id()));
                let answer = Answer { random: challenge.random, key: by.public_key(), signature };
                In::Message { from: by.node_id(), body: Message::Answer(answer).encode() }
            }
            _ => return Step::Fact(d.fact()),
        })
    }
}

/// Valid inputs of the machine, for fuzzers.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    // A link, its keys, a challenge of another and one of this node; a link that ends, and the end of the time.
    let mut all = Script::default();
    all.put(&[0, 0, 1]).put(&[0, 2, 1, 2]).put(&[0, 5, 1, 9, 2]).put(&[0, 5, 1, 9, 3]).put(&[0, 3, 1]);
    for message in messages() {
        all.put(&[0, 4, 1]).bytes(&message);
    }
    all.put(&[0, 6, 1, 9, 2]).put(&[0, 1, 1]).put(&[0, 3, 2]).put(&[210]);
    alloc::vec![all.0]
}

/// One message of each kind.
pub(crate) fn messages() -> Vec<Vec<u8>> {
    let answer = Answer { random: [1; 32], key: who(1).public_key(), signature: [3; 64] };
    alloc::vec![
        Message::Challenge(Challenge { random: [1; 32], hash: [2; 32] }).encode(),
        Message::Answer(answer).encode()
    ]
}
