//! Scenarios: the parameters of a run, read from TOML. `docs/simulator.md` describes the format.

mod builtin;
mod config;
mod file;
mod network;
mod phase;

use donp_core::{Config, NodeType};
use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;
use toml::de::{DeArray, DeValue};

use crate::adversary;
use crate::net::link::Faults;
use crate::net::nat::{Filtering, Mapping, NatConfig};

pub use builtin::{BUILTIN, find};
pub use file::ScenarioError;
use file::{
    Deserialized, Positive, Seconds, Share, Value, Wrong, number, of_case, parse, positive, read, some_positive,
};
use network::Network;
pub use phase::{Amount, Churn, Comparison, Condition, Expectation, Group, Hostile, Phase, Senders, Step, Until};

/// A scenario: one run, or one for each of its cases.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: String,
    /// In a few words.
    pub title: String,
    /// The paper and table that it reproduces.
    pub source: String,
    /// The runs, in order. A scenario without cases has one, without a name.
    pub cases: Vec<Case>,
    /// The number of nodes if it is not the file's.
    pub other_nodes: Option<usize>,
    /// The only case to run, if not all.
    pub only_case: Option<String>,
    /// The size, if there is one of that name.
    pub size: Size,
}

/// One run of a scenario.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name; empty if it is the only one.
    pub name: String,
    /// The nodes.
    pub nodes: Nodes,
    /// Settings of every node's core.
    pub config: Config,
    /// The usual path.
    pub faults: Faults,
    /// Least and greatest time of a commit, in microseconds.
    pub disk: (u64, u64),
    /// Nodes whose paths are different: the share of the nodes, and the path to and from them.
    pub classes: Vec<(f64, Faults)>,
    /// The protocol period that figures in periods refer to, in microseconds.
    pub period: u64,
    /// Whether views are compared each second, for `view_loss_10s`.
    pub watch_views: bool,
    /// The timeline.
    pub steps: Vec<Step>,
}

/// The bootstrap of each node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// All through the first node.
    First,
    /// Each through a running one, drawn at random.
    #[default]
    Random,
}

/// What disks persist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Everything up to 2,000 nodes, hot tables beyond.
    #[default]
    Auto,
    /// Everything.
    Full,
    /// Hot tables.
    Hot,
}

/// The nodes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nodes {
    /// How many.
    #[serde(deserialize_with = "positive")]
    pub count: usize,
    /// How many for a test, which has a minute.
    #[serde(default, deserialize_with = "some_positive")]
    pub test: Option<usize>,
    /// How many the paper has.
    #[serde(default, deserialize_with = "some_positive")]
    pub paper: Option<usize>,
    /// Their bootstraps.
    #[serde(default)]
    pub join: Join,
    /// How many enter a virtual second; the figure may be below one.
    #[serde(default = "fifty", deserialize_with = "rate")]
    pub per_second: f64,
    /// Whether each has a public address of a /24 of its own, and hostile ones share a /24.
    #[serde(default)]
    pub spread: bool,
    /// What their disks persist.
    #[serde(default)]
    pub disk: Keep,
    /// Types by share of the nodes, the first nodes first; the rest is regular.
    #[serde(default, deserialize_with = "types")]
    pub types: Vec<(NodeType, f64)>,
    /// Groups behind NAT boxes, each node behind its own.
    #[serde(default)]
    pub nat: Vec<NatGroup>,
}

/// Nodes behind NAT boxes of one kind.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "NatKeys")]
pub struct NatGroup {
    /// Their name in phases.
    pub name: String,
    /// How many nodes.
    pub count: usize,
    /// How many share a box.
    pub per_box: usize,
    /// The behaviour of their boxes.
    pub config: NatConfig,
}

/// The keys of a scenario.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    name: String,
    title: String,
    source: String,
    /// These three are read apart.
    #[serde(rename = "cases")]
    _cases: Option<IgnoredAny>,
    #[serde(rename = "config")]
    _config: Option<IgnoredAny>,
    #[serde(rename = "phase")]
    _phase: Option<IgnoredAny>,
    nodes: Spanned<Nodes>,
    #[serde(default)]
    network: Network,
    #[serde(default)]
    measure: Measure,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Measure {
    period_s: Option<Seconds>,
    views: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NatKeys {
    name: String,
    count: Positive,
    per_box: Option<Positive>,
    mapping: Option<Mapping>,
    filtering: Option<Filtering>,
    #[serde(default)]
    random_port: bool,
    expiry_s: Option<Seconds>,
    #[serde(default)]
    hairpin: bool,
}

impl From<NatKeys> for NatGroup {
    fn from(keys: NatKeys) -> Self {
        let usual = NatConfig::default();
        Self {
            name: keys.name,
            count: keys.count.0,
            per_box: keys.per_box.map_or(1, |n| n.0),
            config: NatConfig {
                mapping: keys.mapping.unwrap_or(usual.mapping),
                filtering: keys.filtering.unwrap_or(usual.filtering),
                preserve_port: !keys.random_port,
                expiry: keys.expiry_s.map_or(usual.expiry, |time| time.0),
                hairpin: keys.hairpin,
            },
        }
    }
}

fn fifty() -> f64 {
    50.0
}

fn rate<'de, D: serde::Deserializer<'de>>(d: D) -> Deserialized<'de, f64, D> {
    number(d, 0.001, 1e6)
}

fn types<'de, D: serde::Deserializer<'de>>(d: D) -> Deserialized<'de, Vec<(NodeType, f64)>, D> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Types {
        bootstrap: Option<Share>,
        #[serde(rename = "super")]
        super_: Option<Share>,
        relay: Option<Share>,
    }
    let Types { bootstrap, super_, relay } = Types::deserialize(d)?;
    let all = [(NodeType::Bootstrap, bootstrap), (NodeType::Super, super_), (NodeType::Relay, relay)];
    Ok(all.into_iter().filter_map(|(node_type, share)| Some((node_type, share?.0))).collect())
}

impl Scenario {
    /// Reads a scenario. `file` is its name in messages.
    ///
    /// # Errors
    /// The first thing that is wrong, its line, and what is allowed.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        Self::read(text).map_err(|(at, what)| {
            let line = text[..at.min(text.len())].matches('\n').count() + 1;
            ScenarioError { file: file.into(), line, what }
        })
    }

    fn read(text: &str) -> Result<Self, Wrong> {
        let top = parse(text)?;
        let mut names: Vec<String> = Vec::new();
        if let Some(cases) = top.get_ref().get("cases") {
            for name in read::<Vec<Spanned<String>>>(cases.clone(), " in `cases`")? {
                if name.get_ref().is_empty() || names.contains(name.get_ref()) {
                    return Err((name.span().start, "cases are texts, each another".into()));
                }
                names.push(name.into_inner());
            }
        }
        if names.is_empty() {
            names.push(String::new());
        }
        let keys: Keys = read(of_case(&top, 0, names.len())?, "")?;
        let (name, title, source) = (keys.name, keys.title, keys.source);
        let count = names.len();
        let cases = names.into_iter().enumerate().map(|(i, name)| Case::read(name, of_case(&top, i, count)?));
        let cases = cases.collect::<Result<_, _>>()?;
        Ok(Self { name, title, source, cases, other_nodes: None, only_case: None, size: Size::default() })
    }

    /// The same with one case only.
    ///
    /// # Errors
    /// If it has no such case, or one of its goals is a share of what another case measures.
    pub fn with_case(mut self, named: &str) -> Result<Self, String> {
        let names: Vec<&str> = self.cases.iter().map(|c| c.name.as_str()).filter(|name| !name.is_empty()).collect();
        if names.is_empty() {
            return Err("there are no cases to choose from".into());
        }
        if !names.contains(&named) {
            return Err(format!("there is no case '{named}'; there are: {}", names.join(", ")));
        }
        let relative = |s: &Step| matches!(&s.phase, Phase::Expect(e) if e.of.is_some());
        if self.cases.iter().flat_map(|c| &c.steps).any(relative) {
            return Err("its cases are compared with each other, so all of them must run".into());
        }
        self.cases.retain(|c| c.name == named);
        self.only_case = Some(named.into());
        Ok(self)
    }

    /// The same with another number of nodes.
    ///
    /// # Errors
    /// If fewer would be left than are behind NAT boxes.
    pub fn with_nodes(mut self, count: usize) -> Result<Self, String> {
        self.other_nodes = Some(count);
        for case in &mut self.cases {
            case.nodes.count = count;
            let behind = case.nodes.behind();
            if behind >= count {
                return Err(format!("{behind} nodes are behind boxes, and at least one must be public; not {count}"));
            }
        }
        Ok(self)
    }
}

/// How large a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Size {
    /// As large as a test may be.
    Test,
    /// As the scenario says.
    #[default]
    Usual,
    /// As large as the paper's.
    Paper,
}

impl Scenario {
    /// The same at another size, where the scenario has one.
    #[must_use]
    pub fn sized(mut self, size: Size) -> Self {
        for case in &mut self.cases {
            let nodes = &mut case.nodes;
            let count = match size {
                Size::Test => nodes.test,
                Size::Usual => None,
                Size::Paper => nodes.paper,
            };
            if let Some(count) = count.filter(|count| *count > nodes.behind()) {
                nodes.count = count;
                self.size = size;
            }
        }
        self
    }
}

impl Case {
    fn read(name: String, top: Value<'_>) -> Result<Self, Wrong> {
        let mut config = Config::default();
        if let Some(value) = top.get_ref().get("config") {
            config::apply(&mut config, value)?;
        }
        let phases = match top.get_ref().get("phase") {
            Some(value) => match value.get_ref() {
                DeValue::Array(items) => items.clone(),
                _ => return Err((value.span().start, "phase is a list of tables, [[phase]]".into())),
            },
            None => DeArray::new(),
        };
        let (begin, keys) = (top.span().start, read::<Keys>(top, "")?);
        let nodes = keys.nodes.get_ref();
        let behind = nodes.behind();
        if behind >= nodes.count {
            let what = format!("{behind} of {} nodes are behind boxes; at least one must be public", nodes.count);
            return Err((keys.nodes.span().start, what));
        }
        let faults = keys.network.faults(&Faults::default());
        let mut classes = Vec::new();
        for class in &keys.network.class {
            let Some(share) = &class.get_ref().share else {
                return Err((class.span().start, "[[network.class]] lacks share".into()));
            };
            classes.push((share.0, class.get_ref().faults(&faults)));
        }
        let steps = phases.into_iter().map(Step::read).collect::<Result<Vec<_>, _>>()?;
        if steps.is_empty() {
            return Err((begin, "a scenario needs at least one [[phase]]".into()));
        }
        let ways = steps.iter().flat_map(|step| match &step.phase {
            Phase::Hostile(hostile) => &hostile.ways[..],
            _ => &[],
        });
        if let Some(unknown) = ways.into_iter().find(|way| adversary::find(way.get_ref()).is_none()) {
            let allowed = adversary::BEHAVIOURS.iter().map(|b| b.name).collect::<Vec<_>>().join(", ");
            let what = format!("there is no behaviour '{}'; one of {allowed} is wanted", unknown.get_ref());
            return Err((unknown.span().start, what));
        }
        for step in &steps {
            let Phase::Private { from, to, .. } = &step.phase else { continue };
            if let Some(unknown) = [from, to].into_iter().find(|group| nodes.group(group.get_ref()).is_none()) {
                let groups: Vec<&str> = nodes.nat.iter().map(|group| group.name.as_str()).collect();
                let allowed = groups.into_iter().chain(["public"]).collect::<Vec<_>>().join(", ");
                let what = format!("there is no group '{}'; one of {allowed} is wanted", unknown.get_ref());
                return Err((unknown.span().start, what));
            }
        }
        Ok(Self {
            name,
            config,
            faults,
            classes,
            steps,
            disk: keys.network.disk_ms.map_or((0, 2_000), |range| range.0),
            period: keys.measure.period_s.map_or(1_000_000, |time| time.0).max(1),
            watch_views: keys.measure.views,
            nodes: keys.nodes.into_inner(),
        })
    }
}

impl Nodes {
    /// Nodes behind NAT boxes.
    pub fn behind(&self) -> usize {
        self.nat.iter().map(|g| g.count).sum()
    }

    /// The group of this name.
    pub fn group(&self, name: &str) -> Option<Group> {
        let behind = self.nat.iter().position(|group| group.name == name);
        behind.map(Some).or_else(|| (name == "public").then_some(None))
    }
}
