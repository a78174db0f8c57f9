//! What the contract suite draws for this machine.

use crate::contract::{Contract, Draw, PEERS, Step, who};
use crate::fact::samples::{down, up};
use crate::machine::{Cx, Outbox};
use crate::rng::Rng;
use crate::session::keys::Keys;
use crate::session::wire::Message;
use crate::session::{In, Out, Sessions};
use crate::time::{Instant, WallTime};
use crate::wire::Priority;

impl Contract for Sessions {
    const MOST: usize = 200_000;

    fn draw(d: &mut Draw<'_>) -> Step<Self> {
        Step::In(match d.below(9) {
            0 => In::Seal { to: d.peer(), order: None, priority: Priority::High, body: d.bytes() },
            1 => {
                let order = Some(u64::from(d.below(8)));
                In::Seal { to: d.peer(), order, priority: Priority::Normal, body: d.bytes() }
            }
            2 => In::Forget { to: d.peer(), order: u64::from(d.below(8)) },
            3 => return Step::Fact(if d.coin() { up(d.peer()) } else { down(d.peer()) }),
            4 => In::Message { from: d.peer(), body: d.bytes() },
            5 => match d.byte() {
                0 => In::Lost(d.peer()),
                1 => In::Message { from: d.peer(), body: Message::Ask.encode() },
                n => bundle(n % PEERS),
            },
            6 => return Step::Fact(d.fact()),
            7 => In::Lost(d.peer()),
            _ => In::SaveDue,
        })
    }
}

/// A genuine bundle of the harnesses' peer `n`, as it answers a question.
pub(crate) fn bundle(n: u8) -> In {
    let device = who(n);
    let (mut rng, mut out) = (Rng::new([n; 32]), Outbox::<Out>::new());
    let (now, me) = (Instant::ZERO, device.node_id());
    let mut cx = Cx { now, wall: WallTime(1), me, rng: &mut rng };
    let keys = Keys::load(&device, &[], &mut cx, &mut out);
    let bundle = keys.ok().and_then(|mut keys| keys.bundle().try_into().ok().map(|b| Message::Bundle(b).encode()));
    In::Message { from: me, body: bundle.unwrap_or_default() }
}
