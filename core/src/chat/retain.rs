//! What a conversation keeps: bodies up to a number, a size and an age, headers up to a number (docs/design/log.md §6,
//! R5).
//!
//! Bodies are deleted in the order of the conversation, oldest first. Where there are too many, authors with more than
//! their share lose theirs first: a first walk passes over the others. Headers stay, so that verdicts and order stay,
//! until there are too many of them too: the base rises above those that go.

use alloc::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::collections::OrderedMap;
use crate::config::ChatConfig;
use crate::id::{MessageId, NodeId};
use crate::time::WallTime;
use crate::wire::entry::Run;

/// One author's share of the bytes of bodies: an eighth, and twice what each has on average, so that of a few authors
/// the oldest go first. Authors that are first-time have a quarter together, where there are others.
const SHARES: u64 = 8;
const SHARES_FIRST_TIME: u64 = 4;
/// Authors whose bytes are counted: 256. An author that is not among them has less than any of them.
const MAX_COUNTED: usize = 256;
/// Depths remembered to find where the newest page begins: 16, two pages, which a link carries in seconds.
const MAX_MARKS: usize = 16;
/// Of each page: 8.
const MARKS_A_PAGE: u64 = 8;
/// What is deleted at once beyond what must be: a 64th, so that a walk is worth its reads.
const SLACK: u64 = 64;

/// How much there is of a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Amounts {
    /// Entries with bodies, and the bytes of their runs.
    whole: u64,
    bytes: u64,
    /// Entries without.
    headers: u64,
    /// Entries since the last mark.
    since_mark: u64,
}

/// Where a conversation is cut, and how much there is of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Retention {
    /// No run that ends before this has bodies, but own ones that no other node is known to hold.
    floor: MessageId,
    /// Nor has one of an author with more than its share that ends before this.
    cut: MessageId,
    /// The first own run that a walk passed over because no other node is known to hold it.
    kept: Option<MessageId>,
    /// Before this there are no headers without bodies.
    forgotten: MessageId,
    pub(crate) amounts: Amounts,
    marks: VecDeque<(u64, WallTime)>,
    /// Bytes of bodies by author; of first-time ones together.
    authors: OrderedMap<NodeId, u64>,
    first_time: u64,
    /// What the user deleted and is not all gone yet.
    pub(super) deletion: Option<Deletion>,
}

/// All that was here when the user deleted the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deletion {
    /// The last entry of the order then.
    pub(super) until: MessageId,
    /// When it was. What arrived later stays, whatever its place.
    pub(super) at: WallTime,
    /// How far the walk has come.
    pub(super) place: MessageId,
    /// Something changed while the walk was under way: it begins anew.
    again: bool,
    /// The walk passed over an own run that the other side is not known to hold.
    kept: bool,
    /// The walk is over, and such runs are left: the next one comes when the other side holds more.
    idle: bool,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            floor: MessageId::first_of(0),
            cut: MessageId::first_of(0),
            kept: None,
            forgotten: MessageId::first_of(0),
            amounts: Amounts::default(),
            marks: VecDeque::new(),
            authors: OrderedMap::new(),
            first_time: 0,
            deletion: None,
        }
    }
}

/// What a walk deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// Bodies of authors with more than their share.
    Shares,
    /// Any bodies.
    Bodies,
    /// Headers.
    Headers,
    /// What the user deleted.
    Deleted,
}

impl Retention {
    /// Takes back what was stored. Amounts are stored more often, with the conversation.
    pub(crate) fn restore(&mut self, stored: Self) {
        *self = Self { amounts: self.amounts, ..stored };
    }

    /// Below this depth there are no bodies.
    pub(crate) fn floor(&self) -> u64 {
        self.floor.depth
    }

    pub(crate) fn place(&self, walk: Walk) -> MessageId {
        match walk {
            Walk::Shares => self.cut.max(self.floor),
            Walk::Bodies => self.floor,
            Walk::Headers => self.forgotten,
            Walk::Deleted => self.deletion.map_or(MessageId::first_of(0), |d| d.place),
        }
    }

    /// A run came with so many new entries. Returns whether more changed than amounts.
    pub(crate) fn add(
        &mut self,
        config: &ChatConfig,
        run: &Run,
        entries: u64,
        first_time: bool,
        wall: WallTime,
    ) -> bool {
        let Some(last) = run.last() else { return false };
        if run.is_empty() {
            self.amounts.headers = self.amounts.headers.saturating_add(entries);
            self.forgotten = self.forgotten.min(last);
        } else {
            self.count(run, entries, first_time);
            self.reopen(last);
        }
        self.amounts.since_mark = self.amounts.since_mark.saturating_add(entries);
        let is_mark = self.amounts.since_mark >= (config.page_entries / MARKS_A_PAGE).max(1);
        if is_mark {
            self.amounts.since_mark = 0;
            if self.marks.len() == MAX_MARKS {
                self.marks.pop_front();
            }
            self.marks.push_back((last.depth, wall));
        }
        is_mark
    }

    /// A walk passed over an own run.
    pub(crate) fn keep(&mut self, place: MessageId) {
        self.kept = Some(self.kept.map_or(place, |kept| kept.min(place)));
    }

    /// Another node holds more of this node's runs than it did.
    pub(crate) fn release(&mut self) {
        self.kept.take().into_iter().for_each(|place| self.reopen(place));
        if let Some(deletion) = &mut self.deletion {
            deletion.again |= !deletion.idle;
            deletion.idle = false;
        }
    }

    /// Bodies are here from this place on.
    fn reopen(&mut self, place: MessageId) {
        self.floor = self.floor.min(place);
    }

    fn count(&mut self, run: &Run, entries: u64, is_first_time: bool) {
        let bytes = run.bytes.len() as u64;
        self.amounts.whole = self.amounts.whole.saturating_add(entries);
        self.amounts.bytes = self.amounts.bytes.saturating_add(bytes);
        if is_first_time {
            self.first_time = self.first_time.saturating_add(bytes);
            return;
        }
        if self.authors.len() >= MAX_COUNTED && !self.authors.contains_key(&run.log.author) {
            // The least gives way.
            let least = self.authors.iter().min_by_key(|(_, bytes)| **bytes).map(|(author, _)| *author);
            least.and_then(|author| self.authors.remove(&author));
        }
        let of_author = self.authors.entry(run.log.author).or_default();
        *of_author = of_author.saturating_add(bytes);
    }

    /// Bodies that were wanted came.
    pub(crate) fn fill(&mut self, run: &Run, is_first_time: bool) {
        let entries = run.entries.len() as u64;
        self.amounts.headers = self.amounts.headers.saturating_sub(entries);
        self.count(run, entries, is_first_time);
        run.last().into_iter().for_each(|last| self.reopen(last));
    }

    /// The bodies of a run were deleted, of this author or of a first-time one.
    pub(crate) fn emptied(&mut self, author: Option<NodeId>, last: MessageId, entries: usize, bytes: usize) {
        self.forgotten = self.forgotten.min(last);
        let (entries, bytes) = (entries as u64, bytes as u64);
        self.amounts.whole = self.amounts.whole.saturating_sub(entries);
        self.amounts.bytes = self.amounts.bytes.saturating_sub(bytes);
        self.amounts.headers = self.amounts.headers.saturating_add(entries);
        match author {
            Some(author) => {
                if let Some(of_author) = self.authors.get_mut(&author) {
                    *of_author = of_author.saturating_sub(bytes);
                }
            }
            None => self.first_time = self.first_time.saturating_sub(bytes),
        }
        self.first_time = self.first_time.min(self.amounts.bytes);
    }

    /// So many headers were deleted.
    pub(crate) fn forgot(&mut self, entries: usize) {
        self.amounts.headers = self.amounts.headers.saturating_sub(entries as u64);
    }

    /// A walk came to this place.
    pub(crate) fn walked(&mut self, walk: Walk, to: MessageId) {
        match walk {
            Walk::Shares => self.cut = to,
            Walk::Bodies => self.floor = to,
            Walk::Headers => self.forgotten = to,
            Walk::Deleted => {
                if let Some(deletion) = &mut self.deletion {
                    deletion.place = to;
                }
            }
        }
    }

    /// The user deletes all that is here, up to this entry.
    pub(crate) fn delete(&mut self, until: MessageId, at: WallTime) {
        let first = MessageId::first_of(0);
        let again = self.is_deleting();
        self.deletion = Some(Deletion { until, at, place: first, again, kept: false, idle: false });
        // What comes later opens both again.
        (self.floor, self.cut) = (self.floor.max(until.next()), self.cut.max(until.next()));
        self.kept = None;
    }

    /// Whether a run that ends here, and arrived then, is deleted.
    pub(crate) fn is_deleted(&self, last: MessageId, arrived: WallTime) -> bool {
        self.deletion.is_some_and(|d| last <= d.until && arrived <= d.at)
    }

    /// Whether a walk through what was deleted is due, or under way.
    pub(crate) fn is_deleting(&self) -> bool {
        self.deletion.is_some_and(|d| !d.idle)
    }

    /// The walk passed over what the other side is not known to hold: it is hidden until then.
    pub(crate) fn keep_deleted(&mut self) {
        if let Some(deletion) = &mut self.deletion {
            deletion.kept = true;
        }
    }

    /// The walk through what was deleted is over. Whether it begins anew.
    pub(crate) fn deleted(&mut self) -> bool {
        let again = self.deletion.is_some_and(|d| d.again);
        let left = self.deletion.filter(|d| d.again || d.kept);
        self.deletion =
            left.map(|d| Deletion { place: MessageId::first_of(0), again: false, kept: false, idle: !again, ..d });
        again
    }

    fn is_over(&self, config: &ChatConfig, slack: u64) -> bool {
        let most = |limit: u64| limit.saturating_sub(limit.checked_div(slack).unwrap_or(0));
        self.amounts.whole > most(config.keep_entries) || self.amounts.bytes > most(config.keep_bytes)
    }

    /// What there is too much of. With `done` a walk is under way and goes a little further than it must.
    pub(crate) fn wants(&self, config: &ChatConfig, walking: bool) -> Option<Walk> {
        let slack = if walking { SLACK } else { 0 };
        let greedy = self.authors.values().any(|bytes| self.is_much(*bytes)) || self.are_many();
        if self.is_over(config, slack) {
            return Some(if greedy { Walk::Shares } else { Walk::Bodies });
        }
        let most = config.keep_headers.saturating_sub(config.keep_headers.checked_div(slack).unwrap_or(0));
        (self.amounts.headers > most).then_some(Walk::Headers)
    }

    fn is_more(&self, bytes: u64, shares: u64) -> bool {
        bytes.saturating_mul(shares) > self.amounts.bytes
    }

    fn is_much(&self, bytes: u64) -> bool {
        self.is_more(bytes, SHARES) && self.is_more(bytes, self.authors.len() as u64 / 2)
    }

    /// Whether first-time authors have more than they may together.
    fn are_many(&self) -> bool {
        !self.authors.is_empty() && self.is_more(self.first_time, SHARES_FIRST_TIME)
    }

    /// Whether an author has more than its share.
    pub(crate) fn is_greedy(&self, author: NodeId) -> bool {
        // One that is not counted is first-time, or has too little.
        self.authors.get(&author).map_or_else(|| self.are_many(), |bytes| self.is_much(*bytes))
    }

    /// Whether bodies that came then have been kept for long enough.
    pub(crate) fn is_past(config: &ChatConfig, arrived: WallTime, wall: WallTime) -> bool {
        let kept = u64::try_from(config.keep_for.as_millis()).unwrap_or(u64::MAX);
        kept > 0 && wall.0.saturating_sub(arrived.0) > kept
    }

    /// The depth at which the newest page begins: the older of so many entries and so long ago. 0 if all is new.
    pub(crate) fn page(&self, config: &ChatConfig, wall: WallTime) -> u64 {
        let age = u64::try_from(config.page_for.as_millis()).unwrap_or(u64::MAX);
        let young = self.marks.iter().take_while(|(_, at)| wall.0.saturating_sub(at.0) >= age).count();
        let by_number = self.marks.len().saturating_sub(MARKS_A_PAGE as usize);
        // The first of these marks is the last before the page.
        let is_full = self.marks.len() == MAX_MARKS;
        let at = match by_number.min(young).checked_sub(1) {
            Some(at) => at,
            // More came in so short a time than is remembered.
            None if is_full => 0,
            None => return 0,
        };
        self.marks.get(at).map_or(0, |(depth, _)| *depth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::id::{ConversationId, Life};
    use crate::identity::tests::identity;
    use crate::wire::content::Content;
    use crate::wire::entry::{Body, Carried, Part, Parts};
    use crate::wire::{Blob, encode};

    const DAY: u64 = 86_400_000;

    fn run(author: u8, seq: u64, text: usize) -> Run {
        let content = Some(Content::text("x".repeat(text)));
        let body = encode(&Body { salt: [3; 16], sent_at: WallTime(5), content });
        let entries = alloc::vec![Part { parents: alloc::vec![], body: Carried::Body(Blob(body)) }];
        let prev = (seq > 1).then_some(MessageId::first_of(seq - 1));
        Run::sign(&identity(author), ConversationId([7; 32]), Parts { life: Life([1; 8]), seq, prev, entries }).unwrap()
    }

    fn config() -> ChatConfig {
        ChatConfig { keep_entries: 64, page_entries: 80, ..Config::default().chat }
    }

    /// A flood of one author puts out nothing of others. Mutation: `is_greedy` is never true.
    #[test]
    fn who_has_more_than_its_share_loses_first() {
        let (config, mut kept) = (config(), Retention::default());
        for n in 1..=16 {
            kept.add(&config, &run(n, 1, 300), 1, false, WallTime(1));
        }
        assert_eq!(kept.wants(&config, false), None);
        for seq in 1..=49 {
            kept.add(&config, &run(99, seq, 300), 1, false, WallTime(1));
        }
        assert_eq!(kept.wants(&config, false), Some(Walk::Shares));
        assert!(kept.is_greedy(identity(99).node_id()) && !kept.is_greedy(identity(3).node_id()));
        let bytes = run(99, 1, 300).bytes.len();
        kept.emptied(Some(identity(99).node_id()), MessageId::first_of(1), 1, bytes);
        assert_eq!(kept.wants(&config, false), None);
        assert_eq!(kept.wants(&config, true), Some(Walk::Shares), "a walk goes on a little");
        kept.emptied(Some(identity(99).node_id()), MessageId::first_of(1), 1, bytes);
        assert_eq!(kept.wants(&config, true), None);
    }

    /// Many authors of one day each have one message. Mutation: first-time authors are counted one by one.
    #[test]
    fn authors_of_a_day_share_what_they_have() {
        let (config, mut kept) = (config(), Retention::default());
        for n in 1..=16 {
            kept.add(&config, &run(n, 1, 300), 1, false, WallTime(1));
        }
        for n in 100..=150 {
            kept.add(&config, &run(n, 1, 300), 1, true, WallTime(1));
        }
        assert_eq!(kept.wants(&config, false), Some(Walk::Shares));
        assert!(kept.is_greedy(identity(120).node_id()) && !kept.is_greedy(identity(3).node_id()));
    }

    /// Mutation: the younger of the two places; a mark too many.
    #[test]
    fn the_newest_page_is_the_larger_of_a_number_and_an_age() {
        let (config, mut kept) = (config(), Retention::default());
        let at = |kept: &Retention, days: u64| kept.page(&config, WallTime(days * DAY));
        for seq in 1..=100 {
            kept.add(&config, &run(1, seq, 5), 1, false, WallTime(DAY));
        }
        assert_eq!(at(&kept, 2), 0, "all of it is young");
        assert_eq!(at(&kept, 60), 20, "80 entries lie above");
        for seq in 101..=200 {
            kept.add(&config, &run(1, seq, 5), 1, false, WallTime(50 * DAY));
        }
        assert_eq!(at(&kept, 60), 100, "those of 30 days");
        assert_eq!(at(&kept, 99), 120, "80 entries lie above");
        for seq in 201..=2_000 {
            kept.add(&config, &run(1, seq, 5), 1, false, WallTime(50 * DAY));
        }
        assert_eq!(at(&kept, 60), 1_850, "no more than two pages are remembered");
    }
}
