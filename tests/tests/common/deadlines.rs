//! The stories of law 5: each machine that has a deadline has one in some story that a node waits for.

mod overlay;
mod people;

use donp_core::{Conversation, Durable, Event, MessageId};
use donp_sim::{Logged, Sim};

/// A story.
pub struct Story {
    /// Its machines, each with the deadline of the story that decides when an application learns of something.
    pub machines: &'static [(&'static str, &'static str)],
    happen: fn(&mut Sim),
    /// Checks that the story happened as intended: otherwise two runs are equal because nothing happens in them.
    pub check: fn(&Observed, &str),
}

/// Each machine with a deadline is in one of them: all but contacts (`every_machine_with_a_deadline_is_in_a_story`).
pub const STORIES: [Story; 2] = [overlay::STORY, people::STORY];

/// What a run of a story shows.
#[derive(Debug)]
pub struct Observed {
    /// When each message arrived: virtual microsecond, node, conversation, message.
    pub arrivals: Vec<(u64, usize, Conversation, MessageId)>,
    /// Every event of every node with its time, the arrivals included.
    pub events: Vec<Logged>,
    /// A hash of every datagram, batch and event with their times.
    pub transcript: String,
}

/// Runs a story. Nodes are called at their deadlines, and with `tick` also at that interval.
pub fn run(story: &Story, seed: u64, tick: Option<u64>) -> Observed {
    let mut sim = Sim::new(seed);
    sim.tick = tick;
    sim.log = Some(Vec::new());
    (story.happen)(&mut sim);
    let transcript = sim.transcript();
    let events = sim.log.take().unwrap_or_default();
    let arrivals = events.iter().filter_map(|e| match &e.event {
        Event::Durable { event: Durable::Received(m), .. } => Some((e.at, e.node, m.conversation, m.id)),
        _ => None,
    });
    Observed { arrivals: arrivals.collect(), transcript, events }
}
