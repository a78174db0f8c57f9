//! `donp demo`: a whole network of real processes on this machine, talked to through their control
//! sockets, one of them killed and restarted, and everything they end up with checked.

mod check;
mod child;
mod group;
mod story;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use donp_runtime::Fault;
use donp_runtime::api::Event;
use serde_json::json;

use crate::cli::Demo;
use crate::failure::{Exit, Failure};
use crate::json::{self, object};
use crate::output::Output;
use check::{Expected, Seen, Verdict, View};
use child::{Limits, Member, history, send, told};
use group::GroupVerdict;
use story::Story;

/// Names in the order people expect; after these, `node27` and on.
const NAMES: [&str; 26] = [
    "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "karl", "lena", "mike", "nina",
    "oscar", "peggy", "quinn", "rupert", "sybil", "trent", "ursula", "victor", "wendy", "xavier", "yvonne", "zoe",
];
/// The pauses between the messages of the first node; each further node is slower by a step.
const PACE: Duration = Duration::from_millis(20);
const PACE_STEP: Duration = Duration::from_millis(13);
/// Shown at the end for people; the rest is in the profiles.
const SHOWN: usize = 6;
/// Private messages to the node that is down.
const WHILE_AWAY: usize = 2;

pub fn run(args: &Demo, out: &Output) -> Result<(), Failure> {
    if let Some(fault) = &args.fault {
        fault.parse::<Fault>().map_err(|e| Failure::usage(format!("--fault: {e}")))?;
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))
            .map_err(|e| Failure::new(Exit::Bug, format!("signals: {e}")))?;
    }
    let limits = Limits { until: Instant::now() + args.timeout, interrupted };
    let (dir, _removed_at_the_end) = folder(args.keep.as_deref())?;
    let story = Story::new(out.clone());
    let faults = args.fault.as_ref().map(|f| format!(", faults {f}")).unwrap_or_default();
    story.text(&format!("{} nodes, real UDP on 127.0.0.1, seed {}{faults}", args.nodes, args.seed))?;
    let mut show = Show { args, dir, limits, story, members: Vec::new(), expected: Expected::default(), group: None };
    let verdict = show.play();
    // The processes end before the verdict: nothing is left running when it is read.
    let members = std::mem::take(&mut show.members);
    let failed = verdict.as_ref().err().is_some_and(|e| e.exit == Exit::Failed);
    let logs: Vec<_> = members.iter().filter(|_| failed).map(|m| format!("{}: {}", m.name, m.log_tail())).collect();
    drop(members);
    match verdict {
        Ok(verdict) => show.conclude(&verdict),
        // Interrupted, or stdout is gone: no verdict was reached.
        Err(failure) if failure.exit != Exit::Failed => Err(failure),
        Err(failure) => {
            for line in logs {
                out.note(&line);
            }
            let problems = vec![failure.what.clone()];
            show.conclude(&Verdict { problems, ..Verdict::default() })?;
            Err(failure)
        }
    }
}

/// The folder of the run, and what removes it at the end unless it is to be kept.
fn folder(keep: Option<&Path>) -> Result<(PathBuf, Option<tempfile::TempDir>), Failure> {
    let failed = |e: std::io::Error| Failure::new(Exit::Failed, format!("no folder for the nodes: {e}"));
    let (dir, temporary) = match keep {
        Some(dir) => {
            std::fs::create_dir_all(dir).map_err(failed)?;
            if std::fs::read_dir(dir).map_err(failed)?.next().is_some() {
                return Err(Failure::new(Exit::Failed, format!("{} holds something already", dir.display()))
                    .hint("--keep with an empty or new folder"));
            }
            (std::path::absolute(dir).map_err(failed)?, None)
        }
        None => {
            let temporary = tempfile::Builder::new().prefix("donp-").tempdir().map_err(failed)?;
            (temporary.path().to_path_buf(), Some(temporary))
        }
    };
    // The nodes must not read the settings of the user of this demo.
    std::fs::write(dir.join("config.toml"), "").map_err(failed)?;
    Ok((dir, temporary))
}

struct Show<'a> {
    args: &'a Demo,
    dir: PathBuf,
    limits: Limits,
    story: Story,
    members: Vec<Member>,
    expected: Expected,
    group: Option<GroupVerdict>,
}

impl Show<'_> {
    fn play(&mut self) -> Result<Verdict, Failure> {
        self.gather()?;
        let victim = self.members.len() - 1;
        let half = usize::from(self.args.messages) / 2;
        self.first_act(victim, half)?;
        let states = self.second_act(victim, half)?;
        self.settle()?;
        if !states.is_empty() {
            self.story.step(&self.members[victim].name, &format!("states seen: {}", states.join(" → ")))?;
        }
        let views = self.views()?;
        let mut verdict = check::judge(&self.expected, &views);
        self.show_order(&views)?;
        self.group = group::play(&self.members, &self.story, &self.limits)?;
        verdict.problems.extend(self.group.iter().flat_map(GroupVerdict::problems));
        Ok(verdict)
    }

    /// Every node starts; each but the first enters through the one before it.
    fn gather(&mut self) -> Result<(), Failure> {
        for at in 0..usize::from(self.args.nodes) {
            let name = NAMES.get(at).map_or_else(|| format!("node{}", at + 1), |n| (*n).to_string());
            let mut member = Member::create(&self.dir, &name)?;
            let through = self.members.last();
            let place = through.map(Member::place);
            member.start(place.as_deref(), self.args.fault.as_deref(), self.args.seed + at as u64, &self.limits)?;
            let told = match through {
                Some(t) => format!("node {}, joining through {}", member.short, t.name),
                None => format!("node {}, first node: nothing to join yet", member.short),
            };
            self.story.step(&name, &told)?;
            self.members.push(member);
        }
        for member in &self.members {
            self.limits.wait(&format!("{} to find a neighbour", member.name), || {
                let status = member.status()?;
                let there = status["state"] == "ACTIVE" && status["neighbours"].as_u64() > Some(0);
                Ok(there.then_some(()))
            })?;
        }
        self.story.step("", &format!("all {} nodes are ACTIVE", self.members.len()))
    }

    /// Everybody talks to all, each at its own pace, the first two also in private. The victim stops
    /// half way and is killed while the others talk on.
    fn first_act(&mut self, victim: usize, half: usize) -> Result<(), Failure> {
        let messages = usize::from(self.args.messages);
        let said = Arc::new(Mutex::new(Expected::default()));
        // Held by everything that talks for the victim: closed when all of that is said.
        let (done, victim_spoke) = channel::<()>();
        let mut talkers = Vec::new();
        for at in 0..self.members.len() {
            let (count, done) = if at == victim { (half, Some(done.clone())) } else { (messages, None) };
            talkers.push(self.talk(at, 0, count, done, &said)?);
        }
        for (from, to) in [(0, 1), (1, 0)] {
            let (count, done) = if from == victim { (half, Some(done.clone())) } else { (messages, None) };
            talkers.push(self.whisper(from, to, count, done, &said)?);
        }
        drop(done);
        self.limits.wait("the first half of the messages", || match victim_spoke.try_recv() {
            Err(TryRecvError::Disconnected) => Ok(Some(())),
            Ok(()) | Err(TryRecvError::Empty) => Ok(None),
        })?;
        let name = self.members[victim].name.clone();
        self.members[victim].kill();
        self.story.step(&name, "KILLED (SIGKILL), the others talk on")?;
        for talker in talkers {
            join(talker)?;
        }
        self.expected = Arc::try_unwrap(said)
            .map(|m| m.into_inner().unwrap_or_else(PoisonError::into_inner))
            .map_err(|_| Failure::new(Exit::Bug, "a thread of the demo is still there"))?;
        // The one that the victim came in through knows it for certain.
        let friend = &self.members[victim - 1];
        let mut client = friend.connect()?;
        for n in 1..=WHILE_AWAY {
            let text = format!("{}, are you there? ({n})", name);
            let id = send(&mut client, &self.members[victim].id, &text, &self.limits)?;
            self.expected.private.insert(id, (friend.name.clone(), name.clone()));
        }
        let alone = self.degraded(victim)?;
        self.story.step(
            "",
            &format!(
                "{} broadcasts and {} private messages said; {WHILE_AWAY} for {name} wait in {}'s outbox{alone}",
                self.expected.broadcasts.len(),
                self.expected.private.len(),
                friend.name
            ),
        )
    }

    /// With two nodes the survivor has no peer left and notices.
    fn degraded(&self, victim: usize) -> Result<String, Failure> {
        if self.members.len() > 2 {
            return Ok(String::new());
        }
        let survivor = &self.members[1 - victim];
        self.limits.wait(&format!("{} to notice that it is alone", survivor.name), || {
            Ok((survivor.status()?["state"] == "DEGRADED").then_some(()))
        })?;
        Ok(format!("; {} is DEGRADED", survivor.name))
    }

    /// The victim comes back as the same node, catches up and says the rest.
    fn second_act(&mut self, victim: usize, half: usize) -> Result<Vec<String>, Failure> {
        let fault = self.args.fault.clone();
        let seed = self.args.seed + 1_000;
        let began = Instant::now();
        let limits = self.limits.clone();
        // No bootstrap: it knows the others from its own address book.
        self.members[victim].start(None, fault.as_deref(), seed, &limits)?;
        let member = &self.members[victim];
        self.story.step(&member.name, &format!("restarted: same node id {}", member.short))?;
        let (watching, states) = watch(member)?;
        let missed = self.expected.broadcasts.len();
        self.limits.wait(&format!("{} to catch up", member.name), || {
            Ok((history(member, "all")?.len() >= missed).then_some(()))
        })?;
        let took = began.elapsed().as_millis();
        self.story.step(&member.name, &format!("has all {missed} broadcasts, {took} ms after its restart"))?;
        let said = Arc::new(Mutex::new(std::mem::take(&mut self.expected)));
        let talker = self.talk(victim, half, usize::from(self.args.messages) - half, None, &said)?;
        join(talker)?;
        self.expected = Arc::try_unwrap(said)
            .map(|m| m.into_inner().unwrap_or_else(PoisonError::into_inner))
            .map_err(|_| Failure::new(Exit::Bug, "a thread of the demo is still there"))?;
        watching.store(false, Ordering::SeqCst);
        let mut seen = states.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // What happened between the start and the first look is not seen; where it ended up is.
        let state = self.members[victim].status()?["state"].as_str().unwrap_or_default().to_string();
        if seen.last() != Some(&state) {
            seen.push(state);
        }
        Ok(seen)
    }

    /// Until every node has everything and no outbox holds anything, or the time is over.
    fn settle(&self) -> Result<(), Failure> {
        let all = self.expected.broadcasts.len();
        for member in &self.members {
            let own = |(a, b): &&(String, String)| a == &member.name || b == &member.name;
            let private = self.expected.private.values().filter(own).count();
            let seen = self.limits.wait(&format!("{} to have everything", member.name), || {
                let outbox = member.status()?["outbox"].as_u64().unwrap_or(1);
                let mut have = 0;
                for other in self.members.iter().filter(|o| o.id != member.id) {
                    have += history(member, &other.id)?.len();
                }
                let complete = outbox == 0 && have >= private && history(member, "all")?.len() >= all;
                Ok(complete.then_some(()))
            });
            // What is missing then is for the judge to say, unless Ctrl-C was pressed.
            match seen {
                Err(e) if e.exit == Exit::Failed && !self.limits.interrupted.load(Ordering::SeqCst) => break,
                other => other?,
            }
        }
        Ok(())
    }

    fn views(&self) -> Result<Vec<View>, Failure> {
        self.members
            .iter()
            .map(|member| {
                let unreadable = || Failure::new(Exit::Bug, "a message in a history lacks a field");
                let all =
                    history(member, "all")?.iter().map(Seen::read).collect::<Option<_>>().ok_or_else(unreadable)?;
                let mut private = BTreeMap::new();
                for other in self.members.iter().filter(|o| o.id != member.id) {
                    let ids: Vec<_> =
                        history(member, &other.id)?.iter().filter_map(|m| m["id"].as_str().map(String::from)).collect();
                    private.insert(other.name.clone(), ids);
                }
                let status = member.status()?;
                let outbox = status["outbox"].as_u64().unwrap_or(0);
                let killed = self.members.last().is_some_and(|victim| victim.id == member.id);
                let sealed = status["counters"]["sealed"].as_u64().filter(|_| !killed);
                Ok(View { name: member.name.clone(), all, private, told: told(member)?, outbox, sealed })
            })
            .collect()
    }

    /// A thread that broadcasts for one node, at its own pace.
    fn talk(
        &self,
        at: usize,
        first: usize,
        count: usize,
        done: Option<Sender<()>>,
        said: &Arc<Mutex<Expected>>,
    ) -> Result<Talker, Failure> {
        let member = &self.members[at];
        let mut client = member.connect()?;
        let (name, said, limits) = (member.name.clone(), Arc::clone(said), self.limits.clone());
        let pace = PACE + PACE_STEP * ((at as u32 + self.args.seed as u32) % 7);
        spawn(move || {
            for n in first + 1..=first + count {
                let id = send(&mut client, "all", &format!("{name} says {n}"), &limits)?;
                said.lock().unwrap_or_else(PoisonError::into_inner).broadcasts.insert(id, name.clone());
                limits.sleep(pace)?;
            }
            drop(done);
            Ok(())
        })
    }

    /// A thread that talks in private.
    fn whisper(
        &self,
        from: usize,
        to: usize,
        count: usize,
        done: Option<Sender<()>>,
        said: &Arc<Mutex<Expected>>,
    ) -> Result<Talker, Failure> {
        let (member, other) = (&self.members[from], &self.members[to]);
        let mut client = member.connect()?;
        let names = (member.name.clone(), other.name.clone());
        let (to, said, limits) = (other.id.clone(), Arc::clone(said), self.limits.clone());
        spawn(move || {
            for n in 1..=count {
                let id = send(&mut client, &to, &format!("for you alone ({n})"), &limits)?;
                said.lock().unwrap_or_else(PoisonError::into_inner).private.insert(id, names.clone());
                limits.sleep(PACE)?;
            }
            drop(done);
            Ok(())
        })
    }

    fn show_order(&self, views: &[View]) -> Result<(), Failure> {
        let Some(view) = views.first() else { return Ok(()) };
        for (n, m) in view.all.iter().take(SHOWN).enumerate() {
            let clock: Vec<_> = m.clock.iter().map(|((id, _), n)| format!("{}:{n}", self.name_of(id))).collect();
            let concurrent = if m.concurrent { "  (concurrent)" } else { "" };
            self.story.text(&format!(
                "      #{:<3} {:<8} {:<16} {{{}}}{concurrent}",
                n + 1,
                m.name,
                m.text,
                clock.join(" ")
            ))?;
        }
        if view.all.len() > SHOWN {
            self.story.text(&format!("      … {} more", view.all.len() - SHOWN))?;
        }
        Ok(())
    }

    fn name_of(&self, id: &str) -> String {
        self.members.iter().find(|m| m.id == id).map_or_else(|| id.into(), |m| m.name.clone())
    }

    fn conclude(&self, verdict: &Verdict) -> Result<(), Failure> {
        let (broadcasts, private) = (self.expected.broadcasts.len(), self.expected.private.len());
        for problem in &verdict.problems {
            self.story.text(&format!("      {problem}"))?;
        }
        if verdict.pass() {
            let group = self.group.as_ref().map(|g| format!(", {} in a group", g.messages)).unwrap_or_default();
            self.story.text(&format!(
                "PASS  one causal order on all {} nodes, {broadcasts} broadcasts and {private} private messages{group}, 0 lost, 0 twice",
                self.args.nodes
            ))?;
        } else {
            self.story.text(&format!(
                "FAIL  {} lost, {} twice, {} unknown, orders {}, causality {}",
                verdict.lost,
                verdict.duplicates,
                verdict.unknown,
                if verdict.orders_equal { "equal" } else { "different" },
                if verdict.causal { "kept" } else { "broken" }
            ))?;
        }
        if let Some(keep) = &self.args.keep {
            let shown = keep.display();
            self.story
                .text(&format!("profiles and logs: {shown}   look: donp --state-dir {shown} -p alice history"))?;
        }
        self.story.json(&object(
            "verdict",
            json!({
                "pass": verdict.pass(),
                "nodes": self.args.nodes,
                "messages": broadcasts + private,
                "lost": verdict.lost,
                "duplicates": verdict.duplicates,
                "orders_equal": verdict.orders_equal,
                "causal": verdict.causal,
                "end_to_end": verdict.end_to_end,
                "group": self.group.as_ref().map(GroupVerdict::json),
                "unknown": verdict.unknown,
                "undelivered": verdict.undelivered,
                "broadcasts": broadcasts,
                "private": private,
                "seed": self.args.seed,
                "fault": self.args.fault,
                "elapsed_ms": self.story.elapsed_ms(),
                "problems": verdict.problems,
            }),
        ))?;
        // It was said already.
        if verdict.pass() { Ok(()) } else { Err(Failure::new(Exit::Failed, "")) }
    }
}

type States = Arc<Mutex<Vec<String>>>;

/// Notes the states a node goes through, until stopped or the node ends.
fn watch(member: &Member) -> Result<(Arc<AtomicBool>, States), Failure> {
    let watching = Arc::new(AtomicBool::new(true));
    let states: States = Arc::new(Mutex::new(vec![member.first_state.clone()]));
    let mut client = member.connect()?;
    client.subscribe(Some(u64::MAX >> 1))?;
    let (on, list) = (Arc::clone(&watching), Arc::clone(&states));
    // Not joined: it ends when its node does, at the latest.
    thread::Builder::new()
        .spawn(move || {
            while let Ok(crate::control::client::Next::Event(event)) = client.next() {
                if !on.load(Ordering::SeqCst) {
                    return;
                }
                if let Event::StateChanged { after, .. } = json::read_event(&event) {
                    list.lock().unwrap_or_else(PoisonError::into_inner).push(after.name().into());
                }
            }
        })
        .map_err(|e| Failure::new(Exit::Failed, e.to_string()))?;
    Ok((watching, states))
}

type Talker = thread::JoinHandle<Result<(), Failure>>;

fn join(talker: Talker) -> Result<(), Failure> {
    talker.join().unwrap_or_else(|_| Err(Failure::new(Exit::Bug, "a thread of the demo panicked")))
}

fn spawn(f: impl FnOnce() -> Result<(), Failure> + Send + 'static) -> Result<Talker, Failure> {
    thread::Builder::new().spawn(f).map_err(|e| Failure::new(Exit::Failed, e.to_string()))
}
