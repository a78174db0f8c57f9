//! What the contract suite draws for this machine.

use alloc::boxed::Box;
use alloc::string::String;

use crate::contract::{Contract, Draw, Step};
use crate::fact::samples::{down, up};
use crate::group::op::{GroupKind, GroupPolicy, GroupRole};
use crate::group::{Act, Create, Deed, Groups, In, Leave, Prepare};
use crate::id::{GroupId, OpId};
use crate::wire::group::Context;

impl Contract for Groups {
    const MOST: usize = 500_000;

    fn draw(d: &mut Draw<'_>) -> Step<Self> {
        let group = GroupId([d.byte(); 32]);
        Step::In(match d.below(9) {
            0 => In::Message { from: d.peer(), body: d.bytes() },
            1 => In::Sealed { from: d.peer(), body: d.bytes() },
            2 => In::Ready(d.peer()),
            3 => In::Carry { group, body: d.bytes() },
            4 => {
                let heads = alloc::vec![OpId([d.byte(); 32])];
                let context = Context { epoch: OpId([d.byte(); 32]), stint: OpId([d.byte(); 32]), heads };
                In::Vet { group, author: d.peer(), context }
            }
            5 => return Step::Fact(if d.coin() { up(d.peer()) } else { down(d.peer()) }),
            6 => {
                let kind = if d.coin() { GroupKind::Private } else { GroupKind::Public };
                let (name, policy) = (String::from("team"), GroupPolicy::default());
                return Step::Command(Box::new(Create { kind, name, policy, expires: None }));
            }
            7 => {
                let deed = if d.coin() {
                    Deed::Remove { member: d.peer(), ban: d.coin() }
                } else {
                    Deed::SetRole { member: d.peer(), role: GroupRole::Guest }
                };
                return Step::Command(Box::new(Act { group, deed }));
            }
            _ if d.coin() => return Step::Command(Box::new(Leave { group })),
            _ => return Step::Command(Box::new(Prepare { group })),
        })
    }
}
