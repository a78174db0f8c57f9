//! What is deleted when one author has more than its share of a conversation.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::bench::Bench;
use super::unread::Author;
use crate::config::Config;
use crate::time::{Duration, WallTime};
use crate::wire::content::Content;

const KEPT: usize = 64;
const DAY: u64 = 86_400_000;

/// Mutation: the walk through the runs of the greedy ends at the first one, or takes runs of others.
#[test]
fn a_flood_loses_its_own_texts_and_the_rest_stays() {
    let mut config = Config::default();
    config.chat.keep_entries = KEPT as u64;
    let mut bench = Bench::with(1, config);
    let mut others = vec![];
    let mut last = vec![];
    let mut authors: Vec<Author> = (2..18).map(Author::new).collect();
    for day in [0, 8] {
        // Authors of less than a week have a share together.
        bench.wall = WallTime(9 + day * DAY);
        for author in &mut authors {
            let run = author.run(vec![Content::text("one of many")], &last);
            bench.gossip(author.id(), &run);
            last = vec![run.last().unwrap()];
            others.push(last[0]);
        }
    }
    let mut flooder = Author::new(99);
    for n in 0..200u32 {
        let run = flooder.run(vec![Content::text(n.to_string())], &last);
        bench.gossip(flooder.id(), &run);
        last = vec![run.last().unwrap()];
        bench.advance(bench.now + Duration::from_secs(20));
    }
    bench.advance(bench.now + Duration::from_secs(600));
    let history = bench.history();
    assert!(history.len() <= KEPT, "{} are kept", history.len());
    assert!(others.iter().all(|id| history.iter().any(|m| m.id == *id)), "others lost texts");
    assert!(history.iter().any(|m| m.id == last[0]), "the newest stays");
}
