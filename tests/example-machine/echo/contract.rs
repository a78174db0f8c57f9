//! What the contract suite draws for this machine.

use alloc::boxed::Box;

use crate::contract::{Contract, Draw, Step, kinds};
use crate::echo::{Count, Echo, In};

impl Contract for Echo {
    const MOST: usize = 16;

    kinds!(In: Message);

    fn draw(d: &mut Draw<'_>) -> Step<Self> {
        match d.below(4) {
            0 => Step::In(In::Message { from: d.peer(), body: alloc::vec![d.below(4)] }),
            1 => Step::In(In::Message { from: d.peer(), body: d.bytes() }),
            2 => Step::Command(Box::new(Count)),
            _ => Step::Fact(d.fact()),
        }
    }
}
