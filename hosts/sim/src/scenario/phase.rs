//! The phases of a scenario's timeline.

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::{
    Deserialized, Positive, Value, Wrong, any_number, count, millis, number, positive, read, seconds, share, some_share,
};
use super::network::Path;
use crate::net::link::Faults;

/// A phase with the name its figures go by.
#[derive(Clone, Debug)]
pub struct Step {
    /// From `label`, else the word after `do`.
    pub label: String,
    /// What it does.
    pub phase: Phase,
}

/// Some of the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// That share of those it could be, rounded to the nearest number.
    #[serde(deserialize_with = "share")]
    Share(f64),
    /// That many.
    #[serde(deserialize_with = "count")]
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

/// The senders of broadcasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Senders {
    /// In each round the same node.
    #[default]
    One,
    /// In each round one of the `speakers`, drawn when the phase begins.
    Random,
    /// In each round every node.
    All,
}

/// Nodes of a NAT group, by its number; none for those with public addresses.
pub type Group = Option<usize>;

/// The condition of `until`, and its time limit.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "UntilKeys")]
pub struct Until {
    /// The condition.
    pub condition: Condition,
    /// Virtual microseconds at most.
    pub most: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UntilKeys {
    what: What,
    value: Option<Positive>,
    #[serde(deserialize_with = "seconds")]
    seconds: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Neighbours,
    OneComponent,
    Told,
    OneOrder,
    Noticed,
}

impl TryFrom<UntilKeys> for Until {
    type Error = &'static str;

    fn try_from(keys: UntilKeys) -> Result<Self, Self::Error> {
        if keys.value.is_some() && keys.what != What::Neighbours {
            return Err("value belongs to `what = \"neighbours\"` alone");
        }
        let condition = match keys.what {
            What::Neighbours => Condition::Neighbours(keys.value.map_or(1, |value| value.0)),
            What::OneComponent => Condition::OneComponent,
            What::Told => Condition::Told,
            What::OneOrder => Condition::OneOrder,
            What::Noticed => Condition::Noticed,
        };
        Ok(Self { condition, most: keys.seconds })
    }
}

/// The condition of `until`.
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
    /// Some node detected each crash.
    Noticed,
}

/// The relation of a measure to its goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Comparison {
    /// At most.
    #[serde(rename = "<=")]
    AtMost,
    /// At least.
    #[serde(rename = ">=")]
    AtLeast,
    /// Less than.
    #[serde(rename = "<")]
    Below,
    /// The same.
    #[serde(rename = "=")]
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
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The measure, `label.measure` or the newest of that name.
    pub measure: String,
    /// How it should stand …
    #[serde(rename = "is")]
    pub comparison: Comparison,
    /// … to this.
    #[serde(deserialize_with = "any_number")]
    pub goal: f64,
    /// The paper's number.
    #[serde(default = "usual::nothing")]
    pub paper: String,
    /// Required with at least so many nodes: some figures are those of a size.
    #[serde(default, deserialize_with = "count")]
    pub from_nodes: usize,
    /// The measure is divided by this figure of an earlier case, `case/measure`.
    pub of: Option<String>,
}

/// Some of all nodes, running or not, in each cycle; if neither is said, none.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Churn {
    /// How many cycles.
    #[serde(deserialize_with = "positive")]
    pub cycles: usize,
    /// How long one is.
    #[serde(rename = "cycle_s", default = "usual::ten_seconds", deserialize_with = "seconds")]
    pub cycle: u64,
    #[serde(default, deserialize_with = "count")]
    fail: usize,
    #[serde(default, deserialize_with = "some_share")]
    fail_share: Option<f64>,
    #[serde(default, deserialize_with = "count")]
    restart: usize,
    #[serde(default, deserialize_with = "some_share")]
    restart_share: Option<f64>,
    /// So long after others failed; without it at the same moment.
    #[serde(rename = "restart_after_s", default, deserialize_with = "seconds")]
    pub restart_after: u64,
    /// Broadcasts in a cycle.
    #[serde(default = "usual::one", deserialize_with = "count")]
    pub broadcasts: usize,
    /// Their length.
    #[serde(default = "usual::bytes", deserialize_with = "positive")]
    pub bytes: usize,
    /// Time to arrive at the end.
    #[serde(rename = "settle_s", default = "usual::ten_seconds", deserialize_with = "seconds")]
    pub settle: u64,
}

impl Churn {
    /// How many fail in a cycle.
    pub fn fail(&self) -> Amount {
        self.fail_share.map_or(Amount::Count(self.fail), Amount::Share)
    }

    /// How many that are down start again in a cycle.
    pub fn restart(&self) -> Amount {
        self.restart_share.map_or(Amount::Count(self.restart), Amount::Share)
    }
}

/// The phases, by the word after `do`. Durations are virtual microseconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Phase {
    /// Time passes.
    Wait {
        #[serde(rename = "seconds", deserialize_with = "seconds")]
        time: u64,
    },
    /// Broadcasts, then time for them to arrive.
    Broadcast {
        #[serde(default)]
        senders: Senders,
        #[serde(default = "usual::speakers", deserialize_with = "positive")]
        speakers: usize,
        #[serde(rename = "count", default = "usual::one", deserialize_with = "positive")]
        rounds: usize,
        #[serde(rename = "interval_ms", default = "usual::second", deserialize_with = "millis")]
        interval: u64,
        #[serde(default = "usual::bytes", deserialize_with = "positive")]
        bytes: usize,
        #[serde(rename = "settle_s", default = "usual::ten_seconds", deserialize_with = "seconds")]
        settle: u64,
    },
    /// Each of the first group sends one of the second a private text in each round.
    Private {
        from: Spanned<String>,
        to: Spanned<String>,
        #[serde(rename = "count", default = "usual::one", deserialize_with = "positive")]
        rounds: usize,
        #[serde(rename = "interval_ms", default = "usual::second", deserialize_with = "millis")]
        interval: u64,
        #[serde(rename = "settle_s", default = "usual::ten_seconds", deserialize_with = "seconds")]
        settle: u64,
    },
    /// The power of some fails at once.
    Fail {
        #[serde(rename = "share or count")]
        amount: Amount,
        #[serde(default)]
        torn: bool,
    },
    /// Some of those that do not run start again.
    Restart {
        #[serde(rename = "share or count")]
        amount: Amount,
    },
    /// In each cycle some fail, some that are down start again, and one node, never struck,
    /// broadcasts. Shares are of all nodes, running or not, so that each cycle takes as many.
    Churn(Churn),
    /// The last `share` of the running nodes goes to another island; with `one_way` it still receives from
    /// others.
    Partition {
        #[serde(default = "usual::half", deserialize_with = "share")]
        share: f64,
        #[serde(default)]
        one_way: bool,
    },
    /// All on one island again.
    Heal {},
    /// Some are suspended.
    Sleep {
        #[serde(rename = "share or count")]
        amount: Amount,
    },
    /// All suspended nodes wake up.
    Wake {},
    /// Some get no processor time for `duration`, then run for `interval`, over and over.
    Stall {
        #[serde(rename = "share or count")]
        amount: Amount,
        #[serde(rename = "duration_ms", deserialize_with = "millis")]
        duration: u64,
        #[serde(rename = "interval_ms", default = "usual::second", deserialize_with = "millis")]
        interval: u64,
        #[serde(rename = "seconds", deserialize_with = "seconds")]
        time: u64,
    },
    /// The usual path behaves otherwise from now on.
    Network(#[serde(deserialize_with = "path")] Box<Faults>),
    /// The clocks of some run fast or slow, and jump.
    Clock {
        #[serde(rename = "share or count")]
        amount: Amount,
        #[serde(default, deserialize_with = "parts_per_million")]
        skew_ppm: i64,
        #[serde(rename = "jump_s", default, deserialize_with = "signed_micros")]
        jump_us: i64,
        #[serde(rename = "wall_s", default, deserialize_with = "signed_millis")]
        wall_ms: i64,
    },
    /// Some of the NAT boxes restart.
    Rebind {
        #[serde(rename = "share or count")]
        amount: Amount,
        #[serde(default)]
        address: bool,
    },
    /// Time passes until the condition is true, at most so long.
    Until(Until),
    /// A randomized run: faults and messages drawn from the seed, then every fault ends.
    Random {
        #[serde(rename = "seconds", deserialize_with = "seconds")]
        time: u64,
    },
    /// Every history is one, complete, and was reported without repeats and in causal order.
    Laws {
        #[serde(rename = "seconds", default = "usual::laws", deserialize_with = "seconds")]
        most: u64,
    },
    /// Hostile nodes enter, behave so for a time while honest ones speak, and are gone.
    Hostile(Hostile),
    /// A goal.
    Expect(Expectation),
}

/// Hostile nodes. Durations are virtual microseconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hostile {
    /// How many for each honest node; if neither is said the seed draws 1 to 20 % of all nodes.
    #[serde(default, deserialize_with = "some_number")]
    pub each: Option<f64>,
    /// How many.
    #[serde(default, deserialize_with = "count")]
    pub count: usize,
    /// What they do, by the names of [`BEHAVIOURS`](crate::adversary::BEHAVIOURS); if nothing is said the seed draws
    /// some for each.
    #[serde(default)]
    pub ways: Vec<Spanned<String>>,
    /// How long.
    #[serde(rename = "seconds", deserialize_with = "seconds")]
    pub time: u64,
    /// How long the same honest nodes speak before, for comparison.
    #[serde(rename = "calm_s", default = "usual::minute", deserialize_with = "seconds")]
    pub calm: u64,
}

fn some_number<'de, D: serde::Deserializer<'de>>(d: D) -> Deserialized<'de, Option<f64>, D> {
    number(d, 0.0, 1e6).map(Some)
}

/// What keys mean that are not there.
mod usual {
    pub(super) fn nothing() -> String {
        "-".into()
    }
    pub(super) fn one() -> usize {
        1
    }
    pub(super) fn speakers() -> usize {
        50
    }
    pub(super) fn bytes() -> usize {
        100
    }
    pub(super) fn half() -> f64 {
        0.5
    }
    pub(super) fn second() -> u64 {
        1_000_000
    }
    pub(super) fn minute() -> u64 {
        60_000_000
    }
    pub(super) fn ten_seconds() -> u64 {
        10_000_000
    }
    pub(super) fn laws() -> u64 {
        400_000_000
    }
}

fn path<'de, D: serde::Deserializer<'de>>(d: D) -> Deserialized<'de, Box<Faults>, D> {
    Ok(Box::new(Path::deserialize(d)?.faults(&Faults::default())))
}

fn parts_per_million<'de, D: serde::Deserializer<'de>>(d: D) -> Deserialized<'de, i64, D> {
    Ok(number(d, -900_000.0, 1e9)? as i64)
}

fn signed_micros<'de, D: serde::Deserializer<'de>>(d: D) -> Deserialized<'de, i64, D> {
    Ok((number(d, -1e9, 1e9)? * 1e6) as i64)
}

fn signed_millis<'de, D: serde::Deserializer<'de>>(d: D) -> Deserialized<'de, i64, D> {
    Ok((number(d, -1e9, 1e9)? * 1e3) as i64)
}

/// Phases that strike some nodes, and say how many by one of two keys.
const STRIKING: [&str; 6] = ["fail", "restart", "sleep", "stall", "clock", "rebind"];

impl Step {
    /// Reads one `[[phase]]`. `do = "wait"` beside other keys becomes a table `wait` that holds them: serde's own
    /// way for such tags (`#[serde(tag)]`) forgets where in the file the keys are.
    pub(super) fn read(item: Value<'_>) -> Result<Self, Wrong> {
        let span = item.span();
        let wrong = |what: &str| Err((span.start, what.to_owned()));
        let DeValue::Table(mut table) = item.into_inner() else { return wrong("[[phase]] wants a table") };
        let Some(word) = table.remove("do") else { return wrong("[[phase]] lacks do") };
        let place = word.span();
        let word: String = read(word, " in `do` of [[phase]]")?;
        let of = format!(" in phase '{word}'");
        let label = table.remove("label").map(|label| read(label, &of)).transpose()?;
        if STRIKING.contains(&word.as_str()) {
            let mut given =
                ["share", "count"].into_iter().filter_map(|key| table.remove_entry(key)).collect::<Vec<_>>();
            let (Some((key, value)), None) = (given.pop(), given.pop()) else {
                return wrong(&format!("either share (0 to 1) or count is wanted{of}"));
            };
            let place = value.span();
            let amount = DeTable::from_iter([(key, value)]);
            table.insert(
                Spanned::new(place.clone(), "share or count".into()),
                Spanned::new(place, DeValue::Table(amount)),
            );
        }
        let tagged = DeTable::from_iter([(
            Spanned::new(place, word.clone().into()),
            Spanned::new(span.clone(), DeValue::Table(table)),
        )]);
        let phase = read(Spanned::new(span, DeValue::Table(tagged)), &of)?;
        Ok(Self { label: label.unwrap_or(word), phase })
    }
}
