//! What the contract suite draws for this machine.

use alloc::vec::Vec;

use crate::config::Config;
use crate::contract::{Contract, Draw, PEERS, Step, kinds, who};
use crate::fact::samples::{down, up};
use crate::machine::{Cx, Machine, Outbox, Setup};
use crate::rng::Rng;
use crate::session::keys::Keys;
use crate::session::wire::Message;
use crate::session::{In, Out, Sessions, Subject};
use crate::time::{Instant, WallTime};
use crate::wire::Priority;

impl Contract for Sessions {
    const MOST: usize = 200_000;

    kinds!(In: Seal, Forget, Lost, Message, SaveDue, Trust, Meet, Wipe, SealFor);

    fn draw(d: &mut Draw<'_>) -> Step<Self> {
        Step::In(match d.below(12) {
            0 => In::Seal {
                to: d.peer(),
                order: None,
                subject: Subject::Message,
                priority: Priority::High,
                body: d.bytes(),
            },
            1 => {
                let order = Some(u64::from(d.below(8)));
                In::Seal { to: d.peer(), order, subject: Subject::Message, priority: Priority::Normal, body: d.bytes() }
            }
            2 => In::Forget { to: d.peer(), order: u64::from(d.below(8)) },
            3 => return Step::Fact(if d.coin() { up(d.peer()) } else { down(d.peer()) }),
            4 => In::Message { from: d.peer(), body: d.bytes() },
            5 => match d.byte() {
                1 => In::Message { from: d.peer(), body: Message::Ask.encode() },
                n => bundle(n % PEERS),
            },
            6 => return Step::Fact(d.fact()),
            7 => In::Seal {
                to: d.peer(),
                order: None,
                subject: Subject::History,
                priority: Priority::Low,
                body: d.bytes(),
            },
            8 => In::SaveDue,
            9 => {
                let (node, held) = (d.peer(), d.coin());
                In::Trust { node, identity: d.coin().then(|| identity(d)), held, compared: d.coin() }
            }
            10 => In::SealFor { to: d.peer(), identity: identity(d), body: d.bytes() },
            _ => match d.below(3) {
                0 => In::Lost(d.peer()),
                1 => In::Meet(d.peer()),
                _ => In::Wipe(d.peer()),
            },
        })
    }
}

/// The session identity key of a peer of the harnesses, or another.
fn identity(d: &mut Draw<'_>) -> [u8; 32] {
    match d.coin() {
        true => keys(d.below(PEERS)).map_or([0; 32], |keys| keys.identity.public),
        false => [d.below(4); 32],
    }
}

/// The keys of the harnesses' peer `n`.
fn keys(n: u8) -> Option<Keys> {
    let device = who(n);
    let (mut rng, mut out) = (Rng::new([n; 32]), Outbox::<Out>::new());
    let (now, me) = (Instant::ZERO, device.node_id());
    let mut cx = Cx { now, wall: WallTime(1), me, rng: &mut rng };
    Keys::load(&device, &[], &mut cx, &mut out).ok()
}

/// A genuine bundle of the harnesses' peer `n`, as it answers a question.
pub(crate) fn bundle(n: u8) -> In {
    let bundle = keys(n).and_then(|mut keys| keys.bundle().try_into().ok().map(|b| Message::Bundle(b).encode()));
    In::Message { from: who(n).node_id(), body: bundle.unwrap_or_default() }
}

/// Messages of the first peer to the machine of the contract: one that opens a session, and two more in it.
pub(crate) fn messages() -> Vec<Vec<u8>> {
    // The keys of that machine: it draws them first.
    let (me, mut rng) = (who(0), Rng::fork(&[7; 32], Sessions::NAME));
    let (now, wall) = (Instant::from_micros(1_000_000), WallTime(1_000));
    let mut out = Outbox::<Out>::new();
    let mut cx = Cx { now, wall, me: me.node_id(), rng: &mut rng };
    let Ok(mut keys) = Keys::load(&me, &[], &mut cx, &mut out) else { return Vec::new() };
    let Ok(bundle) = keys.bundle().try_into().map(|b| Message::Bundle(b).encode()) else { return Vec::new() };
    let (peer, config, mut rng) = (who(1), Config::default(), Rng::new([3; 32]));
    let mut cx = Cx { now, wall, me: peer.node_id(), rng: &mut rng };
    let setup = Setup { config: &config, identity: &peer };
    let Ok(mut sessions) = Sessions::open(setup, Vec::new(), &mut cx, &mut out) else { return Vec::new() };
    let to = me.node_id();
    let seal = |n: u8| In::Seal {
        to,
        order: Some(u64::from(n)),
        subject: Subject::Message,
        priority: Priority::Normal,
        body: alloc::vec![n; 20],
    };
    for input in [seal(0), In::Message { from: to, body: bundle }, seal(0), seal(1), seal(2), In::SaveDue] {
        sessions.handle(&mut cx, input, &mut out);
    }
    let sent = out.take().into_iter().filter_map(|o| if let Out::Send { body, .. } = o { Some(body) } else { None });
    // Without the question for the bundle.
    sent.skip(1).collect()
}
