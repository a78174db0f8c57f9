//! Scenarios: what a run is made of, read from TOML. `docs/simulator.md` describes the format.

mod builtin;
mod config;
mod phase;
pub(crate) mod tree;

use donp_core::{Config, NodeType};

use crate::net::link::{Burst, Faults, Rate};
use crate::net::nat::{Filtering, Mapping, NatConfig};

pub use builtin::{BUILTIN, find};
pub use phase::{Amount, Comparison, Condition, Expectation, Group, Phase, Senders, Step};
pub use tree::ScenarioError;
use tree::{Item, Reader, Value, parse};

/// A scenario: one run, or one for each of its cases.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it is called on the command line.
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
    /// Who takes part.
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
    /// What happens.
    pub steps: Vec<Step>,
}

/// Through whom a node enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// All through the first node.
    First,
    /// Each through one that is there already, drawn at random.
    Random,
}

/// What disks keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Everything up to 2,000 nodes, hot tables beyond.
    Auto,
    /// Everything.
    Full,
    /// Hot tables.
    Hot,
}

/// Who takes part.
#[derive(Clone, Debug, PartialEq)]
pub struct Nodes {
    /// How many.
    pub count: usize,
    /// How many for a test, which has a minute.
    pub test: Option<usize>,
    /// How many the paper has.
    pub paper: Option<usize>,
    /// Through whom they enter.
    pub join: Join,
    /// How many enter a virtual second; the figure may be below one.
    pub per_second: f64,
    /// What their disks keep.
    pub disk: Keep,
    /// Types by share of the nodes, the first nodes first; the rest is regular.
    pub types: Vec<(NodeType, f64)>,
    /// Groups behind NAT boxes, each node behind its own.
    pub nat: Vec<NatGroup>,
}

/// Nodes behind NAT boxes of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct NatGroup {
    /// What phases call it.
    pub name: String,
    /// How many nodes.
    pub count: usize,
    /// How many share a box.
    pub per_box: usize,
    /// What their boxes do.
    pub config: NatConfig,
}

impl Scenario {
    /// Reads a scenario. `file` is what messages call it.
    ///
    /// # Errors
    /// The first thing that is wrong, its line, and what is allowed.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        Self::read(text).map_err(|(line, what)| ScenarioError { file: file.into(), line, what })
    }

    fn read(text: &str) -> Result<Self, (usize, String)> {
        let item = parse(text)?;
        let top = Reader::new("the scenario", &item)?;
        let mut names = Vec::new();
        for name in top.list("cases")? {
            match &name.value {
                Value::Text(text) if !text.is_empty() && !names.contains(text) => names.push(text.clone()),
                _ => return Err((name.line, "cases are texts, each another".into())),
            }
        }
        if names.is_empty() {
            names.push(String::new());
        }
        let word = |key| top.needed(key, top.text(key)?).map(str::to_owned);
        let mut scenario = Self {
            name: word("name")?,
            title: word("title")?,
            source: word("source")?,
            cases: Vec::new(),
            other_nodes: None,
            only_case: None,
            size: Size::default(),
        };
        let count = names.len();
        for (i, name) in names.into_iter().enumerate() {
            let item = item.of_case(i, count)?;
            scenario.cases.push(Case::read(name, &item)?);
        }
        Ok(scenario)
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
    fn read(name: String, item: &Item) -> Result<Self, (usize, String)> {
        let top = Reader::new("the scenario", item)?;
        for key in ["name", "title", "source", "cases"] {
            top.get(key);
        }
        let nodes_item = top.needed("[nodes]", top.get("nodes"))?;
        let nodes = Nodes::read(nodes_item)?;
        let mut config = Config::default();
        if let Some(item) = top.get("config") {
            config::apply(&mut config, item)?;
        }
        let (mut faults, mut disk, mut classes) = (Faults::default(), (0, 2_000), Vec::new());
        if let Some(item) = top.get("network") {
            let table = Reader::new("[network]", item)?;
            faults = read_faults(&table, Faults::default())?;
            disk = table.range_ms("disk_ms")?.unwrap_or(disk);
            for class in table.list("class")? {
                let class = Reader::new("[[network.class]]", class)?;
                let share = class.needed("share", class.share("share")?)?;
                classes.push((share, read_faults(&class, faults.clone())?));
                class.finish()?;
            }
            table.finish()?;
        }
        let (mut period, mut watch_views) = (1_000_000, false);
        if let Some(item) = top.get("measure") {
            let table = Reader::new("[measure]", item)?;
            period = table.seconds("period_s")?.unwrap_or(period).max(1);
            watch_views = table.flag("views")?;
            table.finish()?;
        }
        let groups: Vec<&str> = nodes.nat.iter().map(|g| g.name.as_str()).collect();
        let steps: Vec<Step> = top.list("phase")?.iter().map(|p| Step::read(p, &groups)).collect::<Result<_, _>>()?;
        if steps.is_empty() {
            return Err((item.line, "a scenario needs at least one [[phase]]".into()));
        }
        top.finish()?;
        Ok(Self { name, nodes, config, faults, disk, classes, period, watch_views, steps })
    }
}

impl Nodes {
    /// Nodes behind NAT boxes.
    pub fn behind(&self) -> usize {
        self.nat.iter().map(|g| g.count).sum()
    }

    fn read(item: &Item) -> Result<Self, (usize, String)> {
        let table = Reader::new("[nodes]", item)?;
        let join = [("first", Join::First), ("random", Join::Random)];
        let keep = [("auto", Keep::Auto), ("full", Keep::Full), ("hot", Keep::Hot)];
        let mut nodes = Self {
            count: table.needed("count", table.count("count", 1)?)?,
            test: table.count("test", 1)?,
            paper: table.count("paper", 1)?,
            join: table.word("join", &join)?.unwrap_or(Join::Random),
            per_second: table.number("per_second", 0.001, 1e6)?.unwrap_or(50.0),
            disk: table.word("disk", &keep)?.unwrap_or(Keep::Auto),
            types: Vec::new(),
            nat: Vec::new(),
        };
        if let Some(item) = table.get("types") {
            let types = Reader::new("[nodes.types]", item)?;
            for (key, node_type) in
                [("bootstrap", NodeType::Bootstrap), ("super", NodeType::Super), ("relay", NodeType::Relay)]
            {
                nodes.types.extend(types.share(key)?.map(|share| (node_type, share)));
            }
            types.finish()?;
        }
        for item in table.list("nat")? {
            nodes.nat.push(NatGroup::read(item)?);
        }
        let behind = nodes.behind();
        if behind >= nodes.count {
            let what = format!("{behind} of {} nodes are behind boxes; at least one must be public", nodes.count);
            return Err((item.line, what));
        }
        table.finish()?;
        Ok(nodes)
    }
}

impl NatGroup {
    fn read(item: &Item) -> Result<Self, (usize, String)> {
        let table = Reader::new("[[nodes.nat]]", item)?;
        let mappings = [("eim", Mapping::EndpointIndependent), ("edm", Mapping::EndpointDependent)];
        let filterings = [
            ("eif", Filtering::EndpointIndependent),
            ("adf", Filtering::AddressDependent),
            ("apdf", Filtering::AddressPortDependent),
        ];
        let usual = NatConfig::default();
        let group = Self {
            name: table.needed("name", table.text("name")?)?.to_owned(),
            count: table.needed("count", table.count("count", 1)?)?,
            per_box: table.count("per_box", 1)?.unwrap_or(1),
            config: NatConfig {
                mapping: table.word("mapping", &mappings)?.unwrap_or(usual.mapping),
                filtering: table.word("filtering", &filterings)?.unwrap_or(usual.filtering),
                preserve_port: !table.flag("random_port")?,
                expiry: table.seconds("expiry_s")?.unwrap_or(usual.expiry),
                hairpin: table.flag("hairpin")?,
            },
        };
        table.finish()?;
        Ok(group)
    }
}

/// Reads how paths behave; what is not said is as in `usual`.
fn read_faults(table: &Reader<'_>, usual: Faults) -> Result<Faults, (usize, String)> {
    let mut faults = Faults {
        loss: table.share("loss")?.unwrap_or(usual.loss),
        duplicate: table.share("duplicate")?.unwrap_or(usual.duplicate),
        reorder: table.share("reorder")?.unwrap_or(usual.reorder),
        corrupt: table.share("corrupt")?.unwrap_or(usual.corrupt),
        truncate: table.share("truncate")?.unwrap_or(usual.truncate),
        delay: table.range_ms("delay_ms")?.unwrap_or(usual.delay),
        mtu: table.count("mtu", 1)?.or(usual.mtu),
        ..usual
    };
    if let Some(item) = table.get("burst") {
        let burst = Reader::new("burst", item)?;
        faults.burst = Some(Burst {
            enter: burst.needed("enter", burst.share("enter")?)?,
            leave: burst.needed("leave", burst.share("leave")?)?,
            loss: burst.share("loss")?.unwrap_or(1.0),
        });
        burst.finish()?;
    }
    if let Some(item) = table.get("rate") {
        let rate = Reader::new("rate", item)?;
        let bits = rate.needed("kbit_s", rate.number("kbit_s", 0.1, 1e9)?)?;
        let bytes_per_s = (bits * 125.0) as u64;
        faults.rate = Some(Rate {
            bytes_per_s,
            burst: rate.count("burst_bytes", 0)?.unwrap_or(3_000) as u64,
            queue: rate.count("queue_bytes", 0)?.map_or(bytes_per_s / 4, |n| n as u64),
        });
        rate.finish()?;
    }
    Ok(faults)
}
