//! The thread of a node: takes commands, datagrams and time to the engine, and takes what the
//! engine wants to the store and the sockets, in that order.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use donp_core::{
    Answer, Batch, Bootstrap, CommandError, Conversation, Engine, Event, GroupTicket, Instant, MessageId, NodeId,
    NodeState, Op, Output, Power, Transmit, Volatile,
};
use mio::{Events, Poll};

use super::alarm::{ACK_WITHIN, Alarm};
use super::chores::Chores;
use super::network::Network;
use super::{HostStatus, Job, QUEUE, REMEMBERED, milestones};
use crate::clock::{Clock, entropy};
use crate::error::NodeError;
use crate::events::{EventBus, EventPage, READ_BYTES};
use crate::fault::Shaper;
use crate::names::{BootstrapName, BootstrapNameError, Resolved, Resolver};
use crate::socket::Sockets;
use crate::store::{Store, StoreError};

/// Transactions of one turn; what is left makes the next turn come at once.
const COMMITS: usize = 16;
/// A failed transaction is tried again after this.
const STORE_RETRY: Duration = Duration::from_millis(500);
/// Bytes of batches that a failing store may leave waiting. Beyond it nothing is received: peers send
/// again what was not acknowledged.
const MAX_WAITING: usize = 64 << 20;
const HOUR: Duration = Duration::from_secs(3_600);
/// All records are checked again a day after the last check ended, as whole histories are compared (`chat.verify_every`).
const CHECK_EVERY: Duration = Duration::from_secs(86_400);
/// Datagrams on one wake-up that make it a burst.
const BURST: usize = 32;
/// How long a goodbye may wait for a blocked socket.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Peers that are asked for what was lost here: as many as a small network has neighbours (docs/design/overlay.md).
const COMPARED: u8 = 5;

/// How a node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Goodbye,
    Silent,
}

/// Starts the thread that looks names up.
pub(super) type StartResolver = Box<dyn Fn() -> io::Result<Resolver> + Send>;

/// Where the names of places are looked up.
enum Names {
    /// The node has no sockets.
    Offline,
    /// No place has a name yet: most nodes are given addresses, and a thread takes memory.
    Unasked(StartResolver),
    Asked(Resolver),
}

type PartReply = SyncSender<Result<Option<Vec<u8>>, NodeError>>;
type AfterCommit = Box<dyn FnOnce(Result<(), NodeError>) + Send>;

pub(super) struct Worker {
    pub(super) engine: Engine,
    pub(super) store: Store,
    pub(super) hub: Arc<EventBus>,
    pub(super) clock: Clock,
    /// Read once for each turn.
    pub(super) now: Instant,
    sockets: Sockets,
    pub(super) network: Network,
    shaper: Option<Shaper>,
    poll: Poll,
    jobs: Receiver<Job>,
    /// A command that came as the thread was about to sleep.
    next_job: Option<Job>,
    more_jobs: bool,
    alarm: Arc<Alarm>,
    /// What the engine was given of the acknowledgements that may wait.
    acked: u64,
    /// Not yet stored, in order.
    batches: Vec<Batch>,
    waiting_bytes: usize,
    after_commit: Vec<AfterCommit>,
    queries: BTreeMap<u64, SyncSender<Result<Answer, NodeError>>>,
    parts: BTreeMap<u64, PartReply>,
    /// While transactions fail: why, and when to try again.
    failing: Option<(StoreError, Instant)>,
    pub(super) chores: Chores,
    names: Names,
    /// What each place to enter the network came to.
    places: BTreeMap<BootstrapName, Result<Vec<Bootstrap>, String>>,
    /// It left by a command: names that are found later do not bring it back.
    left: bool,
    /// The store is closed and nothing is received.
    suspended: bool,
    /// Peers to compare histories with, since records were lost.
    compares_left: u8,
    stop: Option<Stop>,
}

#[allow(clippy::too_many_arguments, reason = "called once, by `Node::open`")]
impl Worker {
    pub(super) fn new(
        engine: Engine,
        store: Store,
        sockets: Sockets,
        network: Network,
        poll: Poll,
        jobs: Receiver<Job>,
        alarm: Arc<Alarm>,
        hub: Arc<EventBus>,
        shaper: Option<Shaper>,
        clock: Clock,
        power: Power,
    ) -> Self {
        let now = clock.now();
        Self {
            engine,
            store,
            hub,
            clock,
            now,
            sockets,
            network,
            shaper,
            poll,
            jobs,
            next_job: None,
            more_jobs: false,
            alarm,
            acked: 0,
            batches: Vec::new(),
            waiting_bytes: 0,
            after_commit: Vec::new(),
            queries: BTreeMap::new(),
            parts: BTreeMap::new(),
            failing: None,
            chores: Chores::new(power, now),
            names: Names::Offline,
            places: BTreeMap::new(),
            left: false,
            suspended: false,
            compares_left: 0,
            stop: None,
        }
    }

    /// Whether a place is this node itself.
    fn is_own(&self, place: &Bootstrap) -> bool {
        let is_here = self.network.is_own(place.addr) || self.sockets.local().any(|addr| addr == place.addr);
        place.id == Some(self.engine.status().id) || place.id.is_none() && is_here
    }

    /// Joins through the addresses given and those in the address book, and has names looked up. A
    /// node that has only names waits for the first of them: with no place at all it would begin a
    /// network of its own.
    pub(super) fn go_online(&mut self, resolver: StartResolver, places: Vec<BootstrapName>, knows_peers: bool) {
        self.network.go_online(self.poll.registry());
        self.look_around();
        self.names = Names::Unasked(resolver);
        let only_names = !places.is_empty() && places.iter().all(|p| p.literal().is_none());
        for place in places {
            self.add_place(place);
        }
        if knows_peers || !only_names {
            self.enter();
        }
    }

    fn add_place(&mut self, place: BootstrapName) {
        if let Some(found) = place.literal() {
            // One list of places may serve all nodes of a network.
            if self.is_own(&found) {
                log::info!("bootstrap {place} is this node itself");
                return;
            }
            self.places.insert(place, Ok(vec![found]));
            return;
        }
        if let Names::Unasked(start) = &self.names {
            match start() {
                Ok(resolver) => self.names = Names::Asked(resolver),
                // With the next name it is tried again.
                Err(e) => {
                    log::warn!("bootstrap {place}: no thread to look it up: {e}");
                    self.places.insert(place.clone(), Err(e.to_string()));
                }
            }
        }
        if let Names::Asked(resolver) = &self.names {
            resolver.add(place);
        }
    }

    fn is_online(&self) -> bool {
        !matches!(self.names, Names::Offline)
    }

    fn enter(&mut self) {
        let known: Vec<_> = self.places.values().flatten().flatten().cloned().collect();
        if let Err(e) = self.engine.join(self.now, &known) {
            log::warn!("cannot join: {e}");
        }
    }

    pub(super) fn set_shaper(&mut self, shaper: Option<Shaper>) {
        if let Some(mut old) = std::mem::replace(&mut self.shaper, shaper) {
            let sockets = &mut self.sockets;
            old.release_due(Instant::from_micros(u64::MAX), &mut |t| sockets.push(t));
        }
    }

    /// The resolver found something, or did not.
    pub(super) fn resolved(&mut self, mut answer: Resolved) {
        match &mut answer.found {
            // A name may be that of this node, as one list may serve all nodes of a network.
            Ok(found) => found.retain(|place| !self.is_own(place)),
            Err(reason) => log::warn!("bootstrap {}: {reason}", answer.name),
        }
        let usable = answer.found.is_ok();
        self.places.insert(answer.name, answer.found);
        if usable && !self.left {
            self.enter();
        }
    }

    /// Enters through `found` and remembers `names`, latest first.
    pub(super) fn join(&mut self, names: Vec<BootstrapName>, found: &[Bootstrap]) -> Result<(), NodeError> {
        if let Some(own) = found.iter().find(|place| self.is_own(place)) {
            let text = BootstrapName::from(own.clone()).to_string();
            return Err(BootstrapNameError { text, reason: "it is this node itself".into() }.into());
        }
        if self.is_online() {
            self.engine.join(self.now, found)?;
            self.left = false;
        }
        for name in names.iter().cloned() {
            self.add_place(name);
        }
        self.remember(&names)
    }

    /// Asks to be a member of a group. Where the ticket's member is found is remembered, since this node asks again
    /// after a restart.
    pub(super) fn join_group(&mut self, ticket: &GroupTicket) -> Result<(), NodeError> {
        self.engine.join_group(self.now, ticket)?;
        if self.is_online() {
            self.left = false;
        }
        let names: Vec<BootstrapName> = ticket.bootstraps().into_iter().map(BootstrapName::from).collect();
        for name in names.iter().cloned() {
            self.add_place(name);
        }
        self.remember(&names)
    }

    fn remember(&mut self, names: &[BootstrapName]) -> Result<(), NodeError> {
        let mut all: Vec<&BootstrapName> = names.iter().collect();
        all.extend(self.places.keys().filter(|p| !names.contains(p)));
        all.truncate(REMEMBERED);
        let text: Vec<_> = all.iter().map(ToString::to_string).collect();
        Ok(self.store.put_secret("host/bootstraps", text.join("\n").as_bytes())?)
    }

    /// A ticket for another network: taken only by a profile that never ran.
    pub(super) fn adopt_network(&mut self, key: [u8; 32], names: Vec<BootstrapName>) -> Result<(), NodeError> {
        let fresh = !self.is_online() && self.store.secret("host/network")?.is_none();
        if !fresh {
            return Err(CommandError::OtherNetwork.into());
        }
        self.store.put_secret("host/network", &key)?;
        self.remember(&names)
    }

    pub(super) fn leave(&mut self) {
        self.left = true;
        self.engine.leave(self.now);
    }

    pub(super) fn stop(&mut self, how: Stop) {
        self.stop = Some(how);
    }

    /// Stores everything and closes the store.
    pub(super) fn suspend(&mut self) -> Result<(), NodeError> {
        if self.suspended {
            return Ok(());
        }
        self.writable()?;
        self.engine.suspend(self.now);
        self.settle();
        let closed = match &self.failing {
            Some((e, _)) => Err(again(e)),
            None => self.store.close(),
        };
        if let Err(e) = closed {
            self.engine.resume(self.now);
            return Err(e.into());
        }
        self.suspended = true;
        Ok(())
    }

    pub(super) fn resume(&mut self) -> Result<(), NodeError> {
        if self.suspended {
            self.store.reopen()?;
            self.suspended = false;
        }
        self.engine.resume(self.now);
        self.engine.handle_wall_clock(self.now, self.clock.wall());
        self.look_around();
        Ok(())
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.suspended
    }

    pub(super) fn history(
        &mut self,
        conversation: Conversation,
        before: Option<MessageId>,
        limit: u32,
    ) -> Result<u64, NodeError> {
        if self.suspended {
            return Err(CommandError::NotRunning.into());
        }
        Ok(self.engine.history(self.now, conversation, before, limit)?)
    }

    /// Whether a command that stores something can be taken.
    pub(super) fn writable(&self) -> Result<(), NodeError> {
        if self.suspended {
            return Err(CommandError::NotRunning.into());
        }
        match (&self.failing, self.store.read_only()) {
            (Some((e, _)), _) => Err(again(e).into()),
            (None, Some(path)) => Err(StoreError::ReadOnly(path.into()).into()),
            (None, None) => Ok(()),
        }
    }

    pub(super) fn after_commit(&mut self, tell: AfterCommit) {
        self.after_commit.push(tell);
    }

    pub(super) fn answer_to(&mut self, query: u64, tell: SyncSender<Result<Answer, NodeError>>) {
        self.queries.insert(query, tell);
    }

    pub(super) fn part_to(&mut self, query: u64, tell: PartReply) {
        self.parts.insert(query, tell);
    }

    pub(super) fn stored_events(&mut self, after: u64, max: usize) -> Result<EventPage, NodeError> {
        let limit = u32::try_from(max).unwrap_or(u32::MAX);
        let records = self.store.scan(&Event::scan(after, limit, READ_BYTES))?;
        let events: Vec<_> = records.iter().filter_map(|r| Event::from_row(&r.key, &r.value)).collect();
        let newest = events.last().and_then(Event::seq).unwrap_or(0);
        Ok(EventPage { events, last: newest.max(self.hub.last()) })
    }

    pub(super) fn host_status(&self) -> HostStatus {
        HostStatus {
            listen: self.sockets.local().collect(),
            store: self.store.kind(),
            protection: self.store.protection(),
            commits: self.store.commits(),
            damaged_records: self.store.damaged(),
            lost_records: self.store.lost(),
            checked_records: self.store.checked().0,
            checked_at_ms: self.store.checked().1,
            store_error: self.failing.as_ref().map(|(e, _)| e.to_string()),
            sockets: self.sockets.stats(),
            lan: self.network.places(),
            lan_error: self.network.error(),
            fault: self.shaper.as_ref().map(|s| (s.fault().clone(), s.stats())),
            unresolved: self
                .places
                .iter()
                .filter_map(|(name, found)| Some((name.to_string(), found.as_ref().err()?.clone())))
                .collect(),
        }
    }

    /// Reads the system's interfaces as they are.
    pub(super) fn look_around(&mut self) {
        if self.network.look(&mut self.engine, self.now, &self.sockets, self.poll.registry()) {
            self.ask_again();
        }
    }

    /// Has names looked up that could not be before: with another network they may be.
    pub(super) fn ask_again(&self) {
        let Names::Asked(resolver) = &self.names else { return };
        self.places.iter().filter(|(_, found)| found.is_err()).for_each(|(name, _)| resolver.add(name.clone()));
    }

    pub(super) fn run(&mut self) {
        let mut ready = Events::with_capacity(64);
        while self.stop.is_none() {
            let wait = self.fall_asleep();
            let woken = self.poll.poll(&mut ready, Some(wait));
            self.alarm.awake();
            match woken {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    log::error!("event loop: {e}");
                    return;
                }
            }
            self.note(&ready);
            self.turn();
        }
        if self.stop == Some(Stop::Goodbye) {
            self.last_words(&mut ready);
        }
    }

    /// How long to sleep. From here on a thread that brings a command rings.
    fn fall_asleep(&mut self) -> Duration {
        let mut wait = self.wait();
        if wait.is_zero() {
            return wait;
        }
        self.alarm.asleep(self.now + wait);
        if self.alarm.acked() > self.acked && !self.suspended {
            wait = wait.min(ACK_WITHIN);
        }
        self.next_job = self.jobs.try_recv().ok();
        if self.next_job.is_some() { Duration::ZERO } else { wait }
    }

    fn note(&mut self, ready: &Events) {
        for event in ready {
            if let Some(port) = self.sockets.port_mut(event.token().0) {
                if event.is_readable() || event.is_error() {
                    port.set_readable();
                }
                if event.is_writable() || event.is_error() {
                    port.set_writable();
                }
            } else {
                self.network.note(event.token());
            }
        }
    }

    /// How long nothing has to be done if nothing comes.
    fn wait(&self) -> Duration {
        if self.suspended && !self.more_jobs {
            return HOUR;
        }
        let receiving = self.waiting_bytes <= MAX_WAITING;
        let more = self.sockets.has_more() || self.network.has_more();
        if self.more_jobs || (receiving && more) {
            return Duration::ZERO;
        }
        let mut at = self.chores.deadline();
        let deadlines = [
            self.engine.next_deadline().map(|d| d.at),
            self.shaper.as_ref().and_then(Shaper::next_deadline),
            self.failing.as_ref().map(|(_, at)| *at),
            self.network.next_look(self.chores.patience()),
        ];
        for deadline in deadlines.into_iter().flatten() {
            at = at.min(deadline);
        }
        // The system's timers may be a little early: never wake up before the deadline.
        match at.since(self.clock.now()) {
            Duration::ZERO => Duration::ZERO,
            wait => wait + Duration::from_micros(50),
        }
    }

    fn turn(&mut self) {
        self.now = self.clock.now();
        self.take_jobs();
        if self.suspended {
            return;
        }
        self.take_acks();
        self.take_datagrams();
        self.take_time();
        self.settle();
    }

    fn take_acks(&mut self) {
        let acked = self.alarm.acked();
        if acked > self.acked {
            self.acked = acked;
            if let Err(e) = self.engine.ack(self.now, acked) {
                log::error!("acknowledgement of {acked}: {e}");
            }
        }
    }

    fn take_jobs(&mut self) {
        self.more_jobs = true;
        for _ in 0..QUEUE {
            let Some(job) = self.next_job.take().or_else(|| self.jobs.try_recv().ok()) else {
                self.more_jobs = false;
                break;
            };
            job(self);
            if self.stop.is_some() {
                break;
            }
        }
    }

    fn take_datagrams(&mut self) {
        if self.waiting_bytes > MAX_WAITING {
            return;
        }
        let (engine, now, mut count) = (&mut self.engine, self.now, 0);
        self.sockets.receive(&mut |from, bytes| {
            count += 1;
            engine.handle_datagram(now, from, bytes);
        });
        if count >= BURST {
            self.chores.burst(now);
        }
        self.network.receive(engine, now);
    }

    fn take_time(&mut self) {
        if self.chores.is_burst_over(self.now) {
            self.sockets.rest();
        }
        if self.chores.is_minute_over(self.now) {
            self.engine.handle_wall_clock(self.now, self.clock.wall());
            // A node that is quiet would notice with its next message only.
            match self.store.look() {
                Ok(false) => {}
                Ok(true) => self.chores.check_after(Duration::ZERO, self.now),
                Err(e) => log::error!("{e}"),
            }
        }
        if self.network.next_look(Duration::ZERO).is_some_and(|at| at <= self.now) {
            self.look_around();
        }
        if self.chores.is_hour_over(self.now)
            && let Ok(fresh) = entropy()
        {
            self.engine.add_entropy(fresh);
        }
        if self.chores.is_check_due(self.now) {
            self.check_slice();
        }
        if self.engine.next_deadline().is_some_and(|d| d.at <= self.now) {
            self.engine.handle_timeout(self.now);
        }
    }

    /// Checks the next records, unless something is waiting to be written. What was lost is fetched again.
    fn check_slice(&mut self) {
        if !self.batches.is_empty() || self.failing.is_some() {
            return;
        }
        match self.store.check_slice(self.clock.wall().0) {
            Ok(false) => {}
            Ok(true) => self.chores.check_after(CHECK_EVERY, self.now),
            Err(e) => {
                log::error!("the check of all records: {e}");
                self.chores.check_after(HOUR, self.now);
            }
        }
        if self.store.fetches_again() {
            self.compares_left = COMPARED;
            let linked: Vec<NodeId> = self.engine.peers().into_iter().filter(|p| p.linked).map(|p| p.id).collect();
            linked.into_iter().for_each(|peer| self.fetch_again(peer));
        }
    }

    /// Does what the engine wants done, in its order: what a batch lets go follows its commit.
    fn settle(&mut self) {
        let mut events = Vec::new();
        let mut commits = 0;
        self.retry_commit();
        while commits < COMMITS
            && let Some(output) = self.engine.poll()
        {
            match output {
                Output::Batch(batch) => {
                    self.waiting_bytes += weight(&batch);
                    self.batches.push(batch);
                    self.commit();
                    commits += 1;
                }
                Output::Read(request) => {
                    let records = self.store.scan(&request.scan).unwrap_or_else(|e| {
                        log::error!("{e}");
                        Vec::new()
                    });
                    self.engine.handle_records(self.now, request.id, records);
                }
                Output::Event(event) => {
                    if let Event::Volatile(Volatile::PeerUp { peer, .. }) = &event {
                        self.fetch_again(*peer);
                    }
                    events.push(event);
                }
                Output::Answer(answer) => {
                    if let Some(reply) = self.queries.remove(&answer.query) {
                        let _ = reply.try_send(Ok(answer));
                    }
                }
                Output::FilePart(part) => {
                    if let Some(reply) = self.parts.remove(&part.query) {
                        let _ = reply.try_send(Ok(part.bytes));
                    }
                }
                Output::Transmit(datagram) => self.send(datagram),
                Output::Beacon(beacon) => self.network.send(&beacon),
            }
        }
        if self.batches.is_empty() {
            // Commands that stored nothing have nothing to wait for.
            self.report_commit(|| Ok(()));
        }
        if !events.is_empty() {
            events.iter().for_each(milestones::log_event);
            self.hub.publish(events);
        }
        let sockets = &mut self.sockets;
        if let Some(shaper) = &mut self.shaper {
            shaper.release_due(self.now, &mut |t| sockets.push(t));
        }
        sockets.flush(self.poll.registry());
        for (to, length) in sockets.take_too_long() {
            self.engine.handle_too_long(self.now, to, length);
        }
    }

    /// Compares histories with a peer, since records were lost here: with the first few.
    fn fetch_again(&mut self, peer: NodeId) {
        if self.store.fetches_again() {
            self.compares_left = COMPARED;
        }
        if self.compares_left > 0 {
            self.compares_left -= 1;
            if let Err(e) = self.engine.synchronize_state(self.now, peer) {
                log::debug!("{}: {e}", peer.short());
            }
        }
    }

    fn send(&mut self, datagram: Transmit) {
        let sockets = &mut self.sockets;
        match &mut self.shaper {
            Some(shaper) => shaper.offer(self.now, datagram, &mut |t| sockets.push(t)),
            None => sockets.push(datagram),
        }
    }

    /// A failed transaction whose time has come is tried again.
    fn retry_commit(&mut self) {
        if !self.batches.is_empty() {
            self.commit();
        }
    }

    /// One transaction for all batches that wait, unless one failed a moment ago.
    fn commit(&mut self) {
        let Some(last) = self.batches.last().map(|b| b.seq) else { return };
        if self.failing.as_ref().is_some_and(|(_, at)| *at > self.now) {
            return;
        }
        match self.store.commit(&mut self.batches) {
            Ok(()) => {
                self.waiting_bytes = 0;
                if self.failing.take().is_some() {
                    log::info!("the store takes writes again");
                }
                self.engine.handle_committed(self.now, last);
                self.report_commit(|| Ok(()));
            }
            Err(e) => {
                if self.failing.is_none() {
                    log::error!("{e}");
                }
                self.report_commit(|| Err(again(&e).into()));
                self.failing = Some((e, self.now + STORE_RETRY));
            }
        }
    }

    /// Answers the callers that wait for the outcome of the transaction.
    fn report_commit(&mut self, outcome: impl Fn() -> Result<(), NodeError>) {
        for reply in self.after_commit.drain(..) {
            reply(outcome());
        }
    }

    /// The goodbye, and what is still held back, for as long as it takes or half a second.
    fn last_words(&mut self, ready: &mut Events) {
        self.now = self.clock.now();
        if let Err(e) = if self.suspended { self.resume() } else { Ok(()) } {
            log::warn!("{e}");
            return;
        }
        if self.engine.status().state != NodeState::Leaving {
            self.engine.leave(self.now);
        }
        self.take_acks();
        self.settle();
        let until = self.now + LAST_WORDS;
        while self.now < until {
            let held = self.shaper.as_ref().and_then(Shaper::next_deadline);
            if !self.sockets.blocked() && held.is_none() {
                break;
            }
            let wait = held.map_or(until, |at| at.min(until)).since(self.now);
            if self.poll.poll(ready, Some(wait.max(Duration::from_millis(1)))).is_ok() {
                self.note(ready);
            }
            self.now = self.clock.now();
            self.settle();
        }
        if let Err(e) = self.store.checkpoint() {
            log::warn!("{e}");
        }
    }
}

/// The same error for another caller: what SQLite or the system said does not copy.
fn again(e: &StoreError) -> StoreError {
    match e {
        StoreError::Full => StoreError::Full,
        other => StoreError::Failing(other.to_string()),
    }
}

fn weight(batch: &Batch) -> usize {
    let op = |op: &Op| match op {
        Op::Put { key, value, .. } => key.len() + value.len(),
        Op::Delete { key, .. } => key.len(),
        Op::DeleteRange { start, end, .. } => start.len() + end.len(),
    };
    batch.ops.iter().map(op).sum::<usize>() + 64
}
