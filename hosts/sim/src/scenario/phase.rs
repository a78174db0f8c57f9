//! The phases of a scenario's timeline.

use super::read_faults;
use super::tree::{Item, Reader};
use crate::net::link::Faults;

/// A phase with the name its figures go by.
#[derive(Clone, Debug)]
pub struct Step {
    /// From `label`, else the word after `do`.
    pub label: String,
    /// What happens.
    pub phase: Phase,
}

/// Some of the nodes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// That share of those it could be, rounded to the nearest number.
    Share(f64),
    /// That many.
    Count(usize),
}

impl Amount {
    /// How many of `n`.
    pub fn of(self, n: usize) -> usize {
        match self {
            Self::Share(share) => (share * n as f64).round() as usize,
            Self::Count(count) => count.min(n),
        }
    }
}

/// Who broadcasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Senders {
    /// In each round the same node.
    One,
    /// In each round one of the `speakers`, who are drawn when the phase begins.
    Random,
    /// In each round every node.
    All,
}

/// Nodes of a NAT group, by its number; none for those with public addresses.
pub type Group = Option<usize>;

/// What `until` waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Condition {
    /// Every running node has at least so many neighbours.
    Neighbours(usize),
    /// The overlay of running nodes has one component.
    OneComponent,
    /// Every broadcast that a node of now was running for has reached it, and every other one, too.
    Told,
    /// All running nodes show the same history.
    OneOrder,
    /// Somebody noticed each crash.
    Noticed,
}

/// How a measure stands to its goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// At most.
    AtMost,
    /// At least.
    AtLeast,
    /// Less than.
    Below,
    /// The same.
    Equal,
}

impl Comparison {
    /// Its sign.
    pub fn sign(self) -> &'static str {
        match self {
            Self::AtMost => "<=",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::Equal => "=",
        }
    }

    /// Whether `measured` meets `goal`.
    pub fn holds(self, measured: f64, goal: f64) -> bool {
        match self {
            Self::AtMost => measured <= goal,
            Self::AtLeast => measured >= goal,
            Self::Below => measured < goal,
            Self::Equal => measured == goal,
        }
    }
}

/// A goal.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// The measure, `label.measure` or the newest of that name.
    pub measure: String,
    /// How it should stand …
    pub comparison: Comparison,
    /// … to this.
    pub goal: f64,
    /// What the paper has.
    pub paper: String,
    /// Asked for with at least so many nodes: some figures are those of a size.
    pub from_nodes: usize,
    /// The measure is divided by this figure of an earlier case, `case/measure`.
    pub of: Option<String>,
}

/// What happens. Durations are virtual microseconds.
#[derive(Clone, Debug)]
pub enum Phase {
    /// Time passes.
    Wait { time: u64 },
    /// Broadcasts, then time for them to arrive.
    Broadcast { senders: Senders, speakers: usize, rounds: usize, interval: u64, bytes: usize, settle: u64 },
    /// Each of the first group sends one of the second a private text in each round.
    Private { from: Group, to: Group, rounds: usize, interval: u64, settle: u64 },
    /// The power of some fails at once.
    Fail { amount: Amount, torn: bool },
    /// Some of those that do not run start again.
    Restart { amount: Amount },
    /// In each cycle some fail, some that are down start again, and one node, never struck, says
    /// something. Shares are of all nodes, running or not, so that each cycle takes as many.
    Churn { cycles: usize, cycle: u64, fail: Amount, restart: Amount, broadcasts: usize, bytes: usize, settle: u64 },
    /// The last `share` of the running nodes goes to another island; with `one_way` it still hears the
    /// others.
    Partition { share: f64, one_way: bool },
    /// All on one island again.
    Heal,
    /// Some are suspended.
    Sleep { amount: Amount },
    /// All that sleep wake up.
    Wake,
    /// Some get no processor time for `duration`, then run for `interval`, over and over.
    Stall { amount: Amount, duration: u64, interval: u64, time: u64 },
    /// The usual path behaves otherwise from now on.
    Network { faults: Box<Faults> },
    /// The clocks of some run fast or slow, and jump.
    Clock { amount: Amount, skew_ppm: i64, jump_us: i64, wall_ms: i64 },
    /// Some of the NAT boxes restart.
    Rebind { amount: Amount, address: bool },
    /// Time passes until something is true, at most so long.
    Until { condition: Condition, most: u64 },
    /// A random life: faults and messages drawn from the seed, then all is well again.
    Random { time: u64 },
    /// Every history is one, complete, and was told without repeats and in causal order.
    Laws { most: u64 },
    /// A goal.
    Expect(Expectation),
}

const WORDS: [&str; 18] = [
    "wait",
    "broadcast",
    "private",
    "fail",
    "restart",
    "churn",
    "partition",
    "heal",
    "sleep",
    "wake",
    "stall",
    "network",
    "clock",
    "rebind",
    "until",
    "random",
    "laws",
    "expect",
];

impl Step {
    pub(crate) fn read(item: &Item, groups: &[&str]) -> Result<Self, (usize, String)> {
        let table = Reader::new("[[phase]]", item)?;
        let words: Vec<(&str, &str)> = WORDS.iter().map(|w| (*w, *w)).collect();
        let word = table.needed("do", table.word("do", &words)?)?;
        let table = Reader::new(format!("phase '{word}'"), item)?;
        table.get("do");
        let label = table.text("label")?.unwrap_or(word).to_owned();
        let phase = Phase::read(word, &table, groups)?;
        table.finish()?;
        Ok(Self { label, phase })
    }
}

impl Phase {
    fn read(word: &str, t: &Reader<'_>, groups: &[&str]) -> Result<Self, (usize, String)> {
        let settle = |t: &Reader<'_>| Ok::<_, (usize, String)>(t.seconds("settle_s")?.unwrap_or(10_000_000));
        let bytes = |t: &Reader<'_>| Ok::<_, (usize, String)>(t.count("bytes", 1)?.unwrap_or(100));
        let interval = |t: &Reader<'_>| Ok::<_, (usize, String)>(t.millis("interval_ms")?.unwrap_or(1_000_000));
        Ok(match word {
            "wait" => Self::Wait { time: t.needed("seconds", t.seconds("seconds")?)? },
            "broadcast" => {
                let words = [("one", Senders::One), ("random", Senders::Random), ("all", Senders::All)];
                Self::Broadcast {
                    senders: t.word("senders", &words)?.unwrap_or(Senders::One),
                    speakers: t.count("speakers", 1)?.unwrap_or(50),
                    rounds: t.count("count", 1)?.unwrap_or(1),
                    interval: interval(t)?,
                    bytes: bytes(t)?,
                    settle: settle(t)?,
                }
            }
            "private" => {
                let mut words: Vec<(&str, Group)> = groups.iter().enumerate().map(|(i, g)| (*g, Some(i))).collect();
                words.push(("public", None));
                Self::Private {
                    from: t.needed("from", t.word("from", &words)?)?,
                    to: t.needed("to", t.word("to", &words)?)?,
                    rounds: t.count("count", 1)?.unwrap_or(1),
                    interval: interval(t)?,
                    settle: settle(t)?,
                }
            }
            "fail" => Self::Fail { amount: amount(t)?, torn: t.flag("torn")? },
            "restart" => Self::Restart { amount: amount(t)? },
            "churn" => Self::Churn {
                cycles: t.needed("cycles", t.count("cycles", 1)?)?,
                cycle: t.seconds("cycle_s")?.unwrap_or(10_000_000),
                fail: some(t.count("fail", 0)?, t.share("fail_share")?),
                restart: some(t.count("restart", 0)?, t.share("restart_share")?),
                broadcasts: t.count("broadcasts", 0)?.unwrap_or(1),
                bytes: bytes(t)?,
                settle: settle(t)?,
            },
            "partition" => Self::Partition { share: t.share("share")?.unwrap_or(0.5), one_way: t.flag("one_way")? },
            "heal" => Self::Heal,
            "sleep" => Self::Sleep { amount: amount(t)? },
            "wake" => Self::Wake,
            "stall" => Self::Stall {
                amount: amount(t)?,
                duration: t.needed("duration_ms", t.millis("duration_ms")?)?,
                interval: interval(t)?.max(1),
                time: t.needed("seconds", t.seconds("seconds")?)?,
            },
            "network" => Self::Network { faults: Box::new(read_faults(t, Faults::default())?) },
            "clock" => Self::Clock {
                amount: amount(t)?,
                skew_ppm: t.number("skew_ppm", -900_000.0, 1e9)?.unwrap_or(0.0) as i64,
                jump_us: (t.number("jump_s", -1e9, 1e9)?.unwrap_or(0.0) * 1e6) as i64,
                wall_ms: (t.number("wall_s", -1e9, 1e9)?.unwrap_or(0.0) * 1e3) as i64,
            },
            "rebind" => Self::Rebind { amount: amount(t)?, address: t.flag("address")? },
            "until" => {
                let words = [
                    ("neighbours", Condition::Neighbours(1)),
                    ("one_component", Condition::OneComponent),
                    ("told", Condition::Told),
                    ("one_order", Condition::OneOrder),
                    ("noticed", Condition::Noticed),
                ];
                let mut condition = t.needed("what", t.word("what", &words)?)?;
                if let Condition::Neighbours(least) = &mut condition {
                    *least = t.count("value", 1)?.unwrap_or(1);
                }
                Self::Until { condition, most: t.needed("seconds", t.seconds("seconds")?)? }
            }
            "random" => Self::Random { time: t.needed("seconds", t.seconds("seconds")?)? },
            "laws" => Self::Laws { most: t.seconds("seconds")?.unwrap_or(400_000_000) },
            _ => {
                let words = [
                    ("<=", Comparison::AtMost),
                    (">=", Comparison::AtLeast),
                    ("<", Comparison::Below),
                    ("=", Comparison::Equal),
                ];
                Self::Expect(Expectation {
                    measure: t.needed("measure", t.text("measure")?)?.to_owned(),
                    comparison: t.needed("is", t.word("is", &words)?)?,
                    goal: t.needed("goal", t.number("goal", f64::MIN, f64::MAX)?)?,
                    paper: t.text("paper")?.unwrap_or("-").to_owned(),
                    from_nodes: t.count("from_nodes", 0)?.unwrap_or(0),
                    of: t.text("of")?.map(str::to_owned),
                })
            }
        })
    }
}

fn amount(t: &Reader<'_>) -> Result<Amount, (usize, String)> {
    match (t.share("share")?, t.count("count", 0)?) {
        (Some(share), None) => Ok(Amount::Share(share)),
        (None, Some(count)) => Ok(Amount::Count(count)),
        _ => Err((t.line, "either share (0 to 1) or count is wanted".into())),
    }
}

fn some(count: Option<usize>, share: Option<f64>) -> Amount {
    share.map_or(Amount::Count(count.unwrap_or(0)), Amount::Share)
}
