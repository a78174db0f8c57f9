//! One suite and one fuzz harness for every machine: what `Machine` promises, checked under inputs, facts,
//! commands, look-ups and answers of the store drawn from bytes. What to draw for one machine stands in its own
//! folder.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{Debug, Write};
use core::net::SocketAddr;
use core::time::Duration;

use crate::collections::{OrderedMap, OrderedSet};
use crate::config::Config;
use crate::fact::samples::record;
use crate::fact::{DownReason, Fact, MemberState, RoundTrip};
use crate::id::{ConversationId, MessageId, NodeId};
use crate::identity::Identity;
use crate::machine::{Command, Cx, Emit, Machine, Outbox, Setup};
use crate::rng::Rng;
use crate::store::{Batch, MemoryStore, Record, Scan};
use crate::time::{Instant, WallTime};
use crate::wire::Malformed;
use crate::wire::registers::{Comparison, Register};

/// The names of all variants of an enum, and the name of the variant of a value. A new variant does not compile until
/// it is listed, and what is listed must be drawn (`tests/tests/house.rs`).
macro_rules! kinds {
    ($Enum:ident: $($Variant:ident),+ $(,)?) => {
        const KINDS: &'static [&'static str] = &[$(stringify!($Variant)),+];

        fn kind(of: &$Enum) -> &'static str {
            match of {
                $($Enum::$Variant { .. } => stringify!($Variant),)+
            }
        }
    };
}

pub(crate) use kinds;

#[cfg(test)]
struct Facts;

#[cfg(test)]
impl Facts {
    kinds!(
        Fact: LinkUp,
        RecordRenewed,
        LinkDown,
        LinkSuspected,
        LinkRecovered,
        AddressChanged,
        RoundTrips,
        Blocked,
        Unblocked,
        Muted,
        Unmuted,
        NeighbourUp,
        NeighbourDown,
        Zone,
        MemberChanged,
        Joined,
        Leaving,
        Left,
        Suspended,
        Resumed,
        NetworkChanged,
        LocalAddresses,
        Identity,
    );
}

/// Choices drawn from bytes; zeros when they run out.
pub(crate) struct Draw<'a> {
    rest: &'a [u8],
    /// Ids already made: each costs two multiplications on the curve.
    peers: [Option<NodeId>; PEERS as usize],
    /// Whether any fact was drawn.
    has_fact: bool,
}

/// How many peers with real keys the harnesses know.
pub(crate) const PEERS: u8 = 8;

impl<'a> Draw<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, peers: [None; PEERS as usize], has_fact: false }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let (first, rest) = self.rest.split_first().unwrap_or((&0, &[]));
        self.rest = rest;
        *first
    }

    pub(crate) fn below(&mut self, n: u8) -> u8 {
        self.byte().checked_rem(n).unwrap_or(0)
    }

    /// A byte of length, or 255 and two bytes of length, then so many bytes: [`Script::bytes`].
    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        let len = match self.byte() {
            255 => u16::from_le_bytes([self.byte(), self.byte()]),
            len => u16::from(len),
        };
        let len = usize::from(len).min(self.rest.len());
        let (head, rest) = self.rest.split_at_checked(len).unwrap_or((&[], &[]));
        self.rest = rest;
        head.to_vec()
    }

    /// One of the peers with real keys.
    pub(crate) fn peer(&mut self) -> NodeId {
        let n = self.below(PEERS);
        match self.peers.get_mut(usize::from(n)) {
            Some(known) => *known.get_or_insert_with(|| who(n).node_id()),
            None => who(n).node_id(),
        }
    }

    pub(crate) fn addr(&mut self) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, self.below(8)], 4_000))
    }

    pub(crate) fn id(&mut self) -> [u8; 16] {
        [self.below(8); 16]
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    /// Some of the peers, each once.
    pub(crate) fn devices(&mut self) -> Vec<NodeId> {
        let mask = self.byte();
        (0..PEERS).filter(|n| mask & (1u8 << n) != 0).map(|n| who(n).node_id()).collect()
    }

    /// What own devices share.
    pub(crate) fn register(&mut self) -> Register {
        let (kind, node, set) = (self.below(6), self.peer(), self.coin());
        match kind {
            0 => Register::Contact(node, set),
            1 => Register::Petname(node, set.then(|| alloc::format!("name {}", self.below(3)))),
            2 => Register::Muted(node, set),
            3 => {
                let (verified, device, identity) = (self.coin(), node, [self.byte(); 32]);
                let comparison = Comparison { verified, device, identity, devices: [1; 32] };
                Register::Trust(node, set.then_some(comparison))
            }
            4 => Register::Blocked(node, set),
            _ => {
                let upto = MessageId { depth: u64::from(self.byte()), hash: [2; 32] };
                Register::Read(ConversationId([self.below(3); 32]), upto)
            }
        }
    }

    /// Any fact.
    pub(crate) fn fact(&mut self) -> Fact {
        self.has_fact = true;
        match self.below(24) {
            0 => Fact::LinkUp { peer: self.peer(), record: record(self.below(PEERS)), addr: self.addr() },
            1 => Fact::LinkDown { peer: self.peer(), reason: DownReason::Timeout },
            2 => Fact::LinkSuspected(self.peer()),
            3 => Fact::LinkRecovered(self.peer()),
            4 => Fact::AddressChanged { peer: self.peer(), addr: self.addr() },
            5 => {
                let rtt = Some(Duration::from_millis(u64::from(self.byte()) * 40));
                Fact::RoundTrips(alloc::vec![RoundTrip { peer: self.peer(), outbound: self.coin(), rtt }])
            }
            6 => Fact::NeighbourUp(self.peer()),
            7 => Fact::NeighbourDown(self.peer()),
            8 => Fact::Zone((self.below(3) > 0).then(|| (0..4).map(|_| self.peer()).collect())),
            9 => {
                let at = usize::from(self.below(5));
                let state = MemberState::ALL.get(at).copied().unwrap_or(MemberState::Down);
                Fact::MemberChanged { peer: self.peer(), state, own: self.coin() }
            }
            10 => Fact::Joined,
            11 => Fact::Leaving,
            12 => Fact::Left,
            13 => Fact::Suspended,
            14 => Fact::Resumed,
            15 => Fact::NetworkChanged,
            16 => Fact::LocalAddresses(Vec::new()),
            17 => {
                let n = self.below(PEERS);
                Fact::RecordRenewed { peer: who(n).node_id(), record: record(n) }
            }
            18 => Fact::LocalAddresses(alloc::vec![self.addr()]),
            19 => Fact::Blocked(self.peer()),
            20 => Fact::Unblocked(self.peer()),
            21 => Fact::Muted(self.peer()),
            22 => Fact::Unmuted(self.peer()),
            _ => {
                // The same device: another one would be another node.
                let account = who(self.below(PEERS)).account().clone();
                let name = alloc::format!("name {}", self.below(3));
                Fact::Identity(Box::new(who(0).with_account(account, name)))
            }
        }
    }
}

/// What a [`Draw`] reads, written: for seeds of the fuzz targets.
#[derive(Clone, Default)]
pub(crate) struct Script(pub Vec<u8>);

impl Script {
    /// Choices of a byte each.
    pub(crate) fn put(&mut self, choices: &[u8]) -> &mut Self {
        self.0.extend_from_slice(choices);
        self
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        match u8::try_from(len) {
            Ok(short) if short < 255 => self.0.push(short),
            Ok(_) | Err(_) => {
                self.0.push(255);
                self.0.extend_from_slice(&len.to_le_bytes());
            }
        }
        self.0.extend(bytes.iter().take(usize::from(len)));
        self
    }
}

/// The identity numbered `n` of all harnesses.
pub(crate) fn who(n: u8) -> Identity {
    // The name is valid, so the fall-back is never reached; there is no panic in this crate.
    match Identity::generate([n; 64], "fuzz", WallTime(1)) {
        Ok(identity) => identity,
        Err(_) => who(n),
    }
}

/// One call of a machine.
#[allow(clippy::large_enum_variant, reason = "one is there at a time")]
pub(crate) enum Step<M: Machine> {
    In(M::In),
    Fact(Fact),
    /// A command; gives its answer for the transcript.
    Command(Box<dyn Call<M>>),
    /// An answer of the store to a read, asked for or not.
    Records(u64, Vec<Record>),
}

/// A command whose answer can be written down.
pub(crate) trait Call<M: Machine> {
    fn call(self: Box<Self>, machine: &mut M, cx: &mut Cx<'_>, out: &mut Outbox<M::Out>) -> String;

    /// The type of the command, without its path.
    fn name(&self) -> &'static str;
}

impl<M: Machine, C: Command<M, Answer: Debug>> Call<M> for C {
    fn call(self: Box<Self>, machine: &mut M, cx: &mut Cx<'_>, out: &mut Outbox<M::Out>) -> String {
        alloc::format!("{:?}", self.run(machine, cx, out))
    }

    fn name(&self) -> &'static str {
        core::any::type_name::<C>().rsplit("::").next().unwrap_or_default()
    }
}

/// What the suite needs to know of a machine.
pub(crate) trait Contract: Machine<In: Debug, Out: Debug> {
    /// The most entries it may ever hold with the default limits.
    const MOST: usize;

    /// The names of its inputs: [`kinds`].
    const KINDS: &'static [&'static str];

    /// The name of an input.
    fn kind(of: &Self::In) -> &'static str;

    fn config() -> Config {
        Config::default()
    }

    /// Draws a call.
    fn draw(draw: &mut Draw<'_>) -> Step<Self>;

    /// Calls every look-up that the engine uses.
    fn look(&self, _draw: &mut Draw<'_>, _transcript: &mut String) {}

    /// Takes what the machine gives otherwise than through its outbox, after every step.
    fn drain(&mut self, _cx: &mut Cx<'_>, _transcript: &mut String) {}

    /// The read that an output asks for.
    fn read(_out: &Self::Out) -> Option<(u64, Scan)> {
        None
    }

    /// The link that an output wants (true) or no longer wants.
    fn want(_out: &Self::Out) -> Option<(NodeId, bool)> {
        None
    }

    /// The links that it wants by its own account.
    fn wants(&self) -> Option<OrderedSet<NodeId>> {
        None
    }
}

/// What is drawn for a machine.
pub(crate) struct Drawn {
    /// The inputs that are not drawn, and "Fact" if no fact is.
    pub lacks: Vec<&'static str>,
    /// The types of the commands that are.
    pub commands: OrderedSet<&'static str>,
    /// Whether the machine has a deadline after any of it.
    pub has_deadline: bool,
}

/// Draws from random bytes, so often that whatever has a number is drawn, and gives it to the machine.
pub(crate) fn drawn<M: Contract>() -> Drawn {
    let (mut rng, identity) = (Rng::fork(&[9; 32], M::NAME), who(0));
    let mut bench = Bench::<M>::open(&identity).ok();
    let (mut inputs, mut commands) = (OrderedSet::new(), OrderedSet::new());
    let (mut has_fact, mut has_deadline) = (false, false);
    for _ in 0..DRAWS {
        let bytes: [[u8; 32]; 3] = [rng.bytes(), rng.bytes(), rng.bytes()];
        let mut draw = Draw::new(bytes.as_flattened());
        let step = M::draw(&mut draw);
        match &step {
            Step::In(input) => drop(inputs.insert(M::kind(input))),
            Step::Command(command) => drop(commands.insert(command.name())),
            Step::Fact(_) | Step::Records(..) => {}
        }
        has_fact |= draw.has_fact;
        if let Some(bench) = &mut bench {
            bench.step(step);
            bench.pass_on();
            has_deadline |= bench.machine.next_deadline().is_some();
        }
    }
    let fact = (!has_fact).then_some("Fact");
    let lacks = M::KINDS.iter().copied().filter(|input| !inputs.contains(input)).chain(fact).collect();
    Drawn { lacks, commands, has_deadline }
}

/// The rarest draw is one of 84: about twelve of so many.
const DRAWS: usize = 1_000;

/// Feeds a machine what `bytes` say and checks the laws after every step. Returns a transcript.
pub(crate) fn check<M: Contract>(bytes: &[u8]) -> Result<String, String> {
    let identity = who(0);
    let mut bench = Bench::<M>::open(&identity).map_err(|Malformed| alloc::format!("{}: it does not open", M::NAME))?;
    bench.settle()?;
    let mut draw = Draw::new(bytes);
    while !draw.is_empty() {
        let what = draw.byte();
        if what < 200 {
            bench.step(M::draw(&mut draw));
        } else {
            bench.timeout(what, &mut draw)?;
        }
        bench.settle()?;
        // Not from the script: its bytes are calls.
        bench.machine.look(&mut Draw::new(&[what; 8]), &mut bench.transcript);
    }
    // Law 6, as far as one machine can show it: what it stored it can read.
    let mut out = Outbox::new();
    let mut cx = Cx { now: bench.now, wall: WALL, me: identity.node_id(), rng: &mut bench.rng };
    let setup = Setup { config: &M::config(), identity: &identity };
    match M::open(setup, bench.store.hot(), &mut cx, &mut out) {
        Ok(_) => Ok(bench.transcript),
        Err(Malformed) => Err(alloc::format!("{}: it cannot read what it stored", M::NAME)),
    }
}

const WALL: WallTime = WallTime(1_000);

/// A machine with a store that commits and answers at once.
struct Bench<M: Contract> {
    machine: M,
    rng: Rng,
    out: Outbox<M::Out>,
    store: MemoryStore,
    reads: OrderedMap<u64, Scan>,
    wanted: OrderedSet<NodeId>,
    /// Links by the facts.
    linked: OrderedSet<NodeId>,
    transcript: String,
    now: Instant,
    me: NodeId,
}

impl<M: Contract> Bench<M> {
    fn open(identity: &Identity) -> Result<Self, Malformed> {
        let (mut rng, mut out) = (Rng::fork(&[7; 32], M::NAME), Outbox::new());
        let (now, me) = (Instant::from_micros(1_000_000), identity.node_id());
        let mut cx = Cx { now, wall: WALL, me, rng: &mut rng };
        let setup = Setup { config: &M::config(), identity };
        let machine = M::open(setup, Vec::new(), &mut cx, &mut out)?;
        Ok(Self {
            machine,
            rng,
            out,
            store: MemoryStore::default(),
            reads: OrderedMap::new(),
            wanted: OrderedSet::new(),
            linked: OrderedSet::new(),
            transcript: String::new(),
            now,
            me,
        })
    }

    fn step(&mut self, step: Step<M>) {
        let mut cx = Cx { now: self.now, wall: WALL, me: self.me, rng: &mut self.rng };
        match step {
            Step::In(input) => self.machine.handle(&mut cx, input, &mut self.out),
            Step::Fact(fact) => {
                if let Fact::LinkUp { peer, .. } = &fact {
                    self.linked.insert(*peer);
                }
                if let Fact::LinkDown { peer, .. } = &fact {
                    self.linked.remove(peer);
                }
                self.machine.fact(&mut cx, &fact, &mut self.out);
            }
            Step::Command(command) => {
                let answer = command.call(&mut self.machine, &mut cx, &mut self.out);
                let _ = writeln!(self.transcript, "{:?} answer {answer}", self.now);
            }
            Step::Records(read, records) => self.machine.records(&mut cx, read, records, &mut self.out),
        }
    }

    /// Law 1: a time-out before the deadline does nothing, and after one nothing is due.
    fn timeout(&mut self, what: u8, draw: &mut Draw<'_>) -> Result<(), String> {
        let Some(due) = self.machine.next_deadline() else { return Ok(()) };
        let mut cx = Cx { now: self.now, wall: WALL, me: self.me, rng: &mut self.rng };
        if due > self.now {
            self.machine.handle_timeout(&mut cx, &mut self.out);
            if self.out.pop().is_some() || self.machine.next_deadline() != Some(due) {
                return Err(alloc::format!("{}: law 1: an early time-out changed something", M::NAME));
            }
        }
        // To the deadline, or up to about a minute beyond it.
        let late = if what < 230 { 0 } else { u64::from(draw.byte()).saturating_mul(250) };
        self.now = self.now.max(due) + Duration::from_millis(late);
        cx.now = self.now;
        self.machine.handle_timeout(&mut cx, &mut self.out);
        match self.machine.next_deadline().filter(|next| *next <= self.now) {
            Some(next) => Err(alloc::format!("{}: law 1: due at {next:?} after a time-out at {:?}", M::NAME, self.now)),
            None => Ok(()),
        }
    }

    /// Stores and answers until the machine wants nothing more, then checks what must hold.
    fn settle(&mut self) -> Result<(), String> {
        loop {
            self.pass_on();
            let Some((read, scan)) = self.reads.pop_first() else { break };
            let records = self.store.scan(&scan);
            self.step(Step::Records(read, records));
        }
        let mut cx = Cx { now: self.now, wall: WALL, me: self.me, rng: &mut self.rng };
        self.machine.drain(&mut cx, &mut self.transcript);
        #[cfg(any(test, debug_assertions))]
        {
            self.machine.check().map_err(|broken| alloc::format!("{}: {broken}", M::NAME))?;
            if self.machine.linked() > self.linked.len() {
                return Err(alloc::format!("{}: it knows links that are gone", M::NAME));
            }
        }
        if self.machine.footprint() > M::MOST {
            let held = self.machine.footprint();
            return Err(alloc::format!("{}: law 3: it holds {held} entries, more than {}", M::NAME, M::MOST));
        }
        match self.machine.wants() {
            Some(wants) if wants != self.wanted => {
                Err(alloc::format!("{}: law 4: it wants {wants:?} and asked for {:?}", M::NAME, self.wanted))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn pass_on(&mut self) {
        let now = self.now;
        while let Some(emit) = self.out.pop() {
            let (when, out) = match emit {
                Emit::Now(out) => ("", out),
                Emit::Committed(out) => ("later ", out),
                Emit::Store(op) => {
                    let _ = writeln!(self.transcript, "{now:?} {op:?}");
                    self.store.apply(Batch { seq: 0, ops: alloc::vec![op] });
                    continue;
                }
            };
            let _ = writeln!(self.transcript, "{now:?} {when}{out:?}");
            self.reads.extend(M::read(&out));
            match M::want(&out) {
                Some((peer, true)) => {
                    self.wanted.insert(peer);
                }
                Some((peer, false)) => {
                    self.wanted.remove(&peer);
                }
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::CONTRACTS;
    use proptest::prelude::{any, prop, proptest};

    proptest! {
        #[test]
        fn machines_keep_their_contract(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            for (_, contract) in CONTRACTS {
                contract(&bytes);
            }
        }
    }

    /// Mutation: a fact has no number.
    #[test]
    fn draws_reach_every_fact() {
        let drawn: OrderedSet<_> = (0..=u8::MAX).map(|n| Facts::kind(&Draw::new(&[n, 1]).fact())).collect();
        let lacks: Vec<_> = Facts::KINDS.iter().filter(|fact| !drawn.contains(*fact)).collect();
        assert!(lacks.is_empty(), "no machine ever learns of {lacks:?}");
    }
}
