//! The strength of law 5: it breaks with `Bug::LateDeadline` planted in any machine. A process of its own, since a bug
//! is planted in all engines of a process: `cargo xtask planted late-deadline`.
#![cfg(donp_planted)]

mod common;

use common::deadlines::{STORIES, run};
use donp_core::planted::plant_late;

/// Each in the story that waits for it: at least one event comes at another time.
#[test]
fn a_late_deadline_of_any_machine_breaks_law_5() {
    let mut unnoticed = Vec::new();
    println!("| late machine | messages | events | datagrams and batches |\n|---|---|---|---|");
    for story in &STORIES {
        for &(machine, _) in story.machines {
            plant_late(machine);
            let (sleeping, ticking) = (run(story, 100, None), run(story, 100, Some(1_000)));
            let seen = [
                sleeping.arrivals != ticking.arrivals,
                sleeping.events != ticking.events,
                sleeping.transcript != ticking.transcript,
            ];
            let [messages, events, datagrams] = seen.map(|differ| if differ { "differ" } else { "same" });
            println!("| {machine} | {messages} | {events} | {datagrams} |");
            if !seen[1] {
                unnoticed.push(machine);
            }
        }
    }
    assert!(unnoticed.is_empty(), "a late deadline changes no event in: {unnoticed:?}");
}
