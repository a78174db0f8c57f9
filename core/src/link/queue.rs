//! What waits to be sent to one peer, in three priorities, and the items that packets carry.
//!
//! No message waits for another one to arrive. Short messages and the pieces of long ones take turns, so do the long
//! ones among each other, and so does what was lost. What is lost again and again goes in short datagrams, since a
//! path may carry no others, and at last one piece at a time with growing pauses.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::collections::Backoff;
use crate::link::frame::{FRAGMENT_OVERHEAD, Fragment, MESSAGE_OVERHEAD, PIECE, put_fragment, put_message};
use crate::shared::{Arc, Weak};
use crate::time::{Duration, Instant};
use crate::wire::Priority;

/// Counted for each item beside its bytes, so that a flood of empty messages is bounded too.
pub(super) const ITEM_COST: usize = 64;
/// Fragmented messages on their way at once: the other side puts at most 256 together, and the rest
/// is for those that a spurious repetition opened there a second time.
const MAX_OPEN: usize = 192;
/// Their bytes: three quarters of what the other side holds for one peer (`Limits::reassembly_peer_bytes`), so that it
/// has room for every piece. More than 100 Mbit/s carry in a round trip of 50 ms.
const MAX_OPEN_BYTES: usize = 768 << 10;
/// Long messages of one priority that take turns: few, so that the first is complete soon.
const IN_TURN: usize = 4;
/// No shorter piece fills what is left of a datagram, unless it is the last of its message.
const LEAST_PIECE: usize = 128;
/// Low once in eight packets, so that a busy chat does not stop catching up for ever
/// (docs/design/links.md §5).
const LOW_EVERY: u32 = 8;
/// What was lost so often goes in short datagrams.
const SHORT_AFTER: u8 = 2;
/// What was lost so often is stuck: at 30 % loss one item in 400.
const STUCK_AFTER: u8 = 5;
/// A long message of which so many pieces were lost a third time, and none came through in between, is stuck too.
const STUCK_PIECES: u32 = 8;
/// Pauses between what is stuck: a quarter of a second, doubling to 4 s, so that 30 s, after which the other side
/// drops an incomplete message (docs/design/links.md §4), hold several tries.
const STUCK: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(4));

/// A message of several pieces, shared by those in flight.
#[derive(Debug)]
pub(super) struct Big {
    channel: u8,
    number: u32,
    body: Vec<u8>,
}

/// What a packet carries and a loss brings back.
#[derive(Debug)]
pub(super) enum Item {
    Whole {
        channel: u8,
        body: Vec<u8>,
        /// How often it was lost.
        tries: u8,
    },
    /// The bytes `start..end` of a message.
    Piece { of: Arc<Big>, start: usize, end: usize, tries: u8 },
}

impl Item {
    fn len(&self) -> usize {
        match self {
            Self::Whole { body, .. } => body.len(),
            Self::Piece { start, end, .. } => end.saturating_sub(*start),
        }
    }

    /// Of its long message.
    pub(super) fn number(&self) -> Option<u32> {
        match self {
            Self::Whole { .. } => None,
            Self::Piece { of, .. } => Some(of.number),
        }
    }

    /// Whether its arrival says that others like it may pass too.
    pub(super) fn is_telling(&self) -> bool {
        self.form() == Form::Piece || self.tries() >= SHORT_AFTER
    }

    fn form(&self) -> Form {
        match self {
            Self::Whole { .. } => Form::Whole,
            Self::Piece { .. } => Form::Piece,
        }
    }

    /// How often it was lost.
    pub(super) fn tries(&self) -> u8 {
        match self {
            Self::Whole { tries, .. } | Self::Piece { tries, .. } => *tries,
        }
    }

    /// What it counts against the queue's limit.
    pub(super) fn cost(&self) -> usize {
        self.len().saturating_add(ITEM_COST)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Whole { channel, body, .. } => put_message(out, *channel, body),
            Self::Piece { of, start, end, .. } => put_fragment(
                out,
                &Fragment {
                    number: of.number,
                    channel: of.channel,
                    total: of.body.len() as u32,
                    start: *start as u32,
                    piece: of.body.get(*start..*end).unwrap_or_default(),
                },
            ),
        }
    }

    /// Bytes without which it does not leave in a datagram that has `most` for frames.
    fn needs(&self, most: usize) -> usize {
        match self {
            Self::Whole { body, .. } if body.len().saturating_add(MESSAGE_OVERHEAD) <= most => {
                body.len().saturating_add(MESSAGE_OVERHEAD)
            }
            Self::Whole { body, .. } => needs_piece(body.len()),
            Self::Piece { start, end, .. } => needs_piece(end.saturating_sub(*start)),
        }
    }
}

/// Bytes without which nothing of `left` bytes leaves.
fn needs_piece(left: usize) -> usize {
    left.min(LEAST_PIECE).saturating_add(FRAGMENT_OVERHEAD)
}

/// Why an item comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its datagram was lost, others came through.
    Lost,
    /// Nothing came back: that says nothing of this item, but it may be too long.
    Silence,
    /// Its datagram was too long.
    Narrow,
}

/// A message that was not sent before.
#[derive(Debug)]
struct Short {
    /// Ascending over all priorities.
    order: u64,
    channel: u8,
    body: Vec<u8>,
}

/// A message in pieces; those before `next` are on their way.
#[derive(Debug)]
struct Long {
    order: u64,
    big: Arc<Big>,
    next: usize,
}

impl Long {
    fn cost(&self) -> usize {
        let left = self.big.body.len().saturating_sub(self.next);
        left.saturating_add(left.div_ceil(PIECE).saturating_mul(ITEM_COST))
    }
}

#[derive(Debug, Default)]
struct Line {
    short: VecDeque<Short>,
    long: VecDeque<Long>,
}

impl Line {
    fn is_empty(&self) -> bool {
        self.short.is_empty() && self.long.is_empty()
    }
}

/// Where the items of a packet come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Lost once.
    Again(Form),
    /// Lost several times: in short datagrams of their own.
    Rescue(Form),
    Short(usize),
    Long(usize),
}

/// Messages and pieces of messages wait apart: what is small passes where what is large does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Whole,
    Piece,
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    /// All but what was lost several times.
    Any,
    /// Of that, one form only.
    One(Form),
    /// What was lost several times.
    Rescue(Form),
}

impl Load {
    fn takes(self, source: Source) -> bool {
        match (self, source) {
            (Self::Any, Source::Again(_) | Source::Short(_) | Source::Long(_)) => true,
            (Self::One(form), Source::Again(other)) | (Self::Rescue(form), Source::Rescue(other)) => form == other,
            (Self::One(form), Source::Short(_)) => form == Form::Whole,
            (Self::One(form), Source::Long(_)) => form == Form::Piece,
            (Self::Any, Source::Rescue(_)) | (Self::One(_), Source::Rescue(_)) | (Self::Rescue(_), _) => false,
        }
    }
}

/// Items that were lost, by their form.
#[derive(Debug, Default)]
struct Lost {
    wholes: VecDeque<Item>,
    pieces: VecDeque<Item>,
}

impl Lost {
    fn of(&self, form: Form) -> &VecDeque<Item> {
        match form {
            Form::Whole => &self.wholes,
            Form::Piece => &self.pieces,
        }
    }

    fn of_mut(&mut self, form: Form) -> &mut VecDeque<Item> {
        match form {
            Form::Whole => &mut self.wholes,
            Form::Piece => &mut self.pieces,
        }
    }

    fn is_empty(&self) -> bool {
        self.wholes.is_empty() && self.pieces.is_empty()
    }
}

/// The priorities of one peer. Nothing is allocated while they are empty.
#[derive(Debug)]
pub(super) struct Queue {
    again: Lost,
    rescue: Lost,
    /// Of the present packet.
    load: Load,
    /// Pieces were lost several times and none came through since: what travels with one may be lost for it.
    doubtful: bool,
    stuck: VecDeque<Item>,
    /// The long messages among them, of which nothing else leaves.
    stuck_numbers: Vec<u32>,
    /// Third losses of a long message since something of it came through.
    thirds: Vec<(u32, u32)>,
    /// When one of the stuck is tried, and how often one was in vain.
    stuck_at: Instant,
    vain: u32,
    lines: [Line; 3],
    /// Bytes waiting here; the owner adds those in flight.
    bytes: usize,
    next_number: u32,
    next_order: u64,
    taken: u32,
    /// Fragmented messages begun and not yet acknowledged in all their pieces, with their bytes.
    open: Vec<(Weak<Big>, usize)>,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            again: Lost::default(),
            rescue: Lost::default(),
            load: Load::Any,
            doubtful: false,
            stuck: VecDeque::new(),
            stuck_numbers: Vec::new(),
            thirds: Vec::new(),
            stuck_at: Instant::ZERO,
            vain: 0,
            lines: Default::default(),
            bytes: 0,
            next_number: 0,
            next_order: 0,
            taken: 0,
            open: Vec::new(),
        }
    }
}

impl Queue {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.again.is_empty()
            && self.rescue.is_empty()
            && self.stuck.is_empty()
            && self.lines.iter().all(Line::is_empty)
    }

    fn number(&mut self) -> u32 {
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        number
    }

    /// Appends a message.
    pub(super) fn push(&mut self, priority: Priority, channel: u8, body: Vec<u8>) {
        let order = self.next_order;
        self.next_order = order.saturating_add(1);
        if body.len() > PIECE {
            let number = self.number();
            let long = Long { order, big: Arc::new(Big { channel, number, body }), next: 0 };
            self.bytes = self.bytes.saturating_add(long.cost());
            if let Some(line) = self.lines.get_mut(priority as usize) {
                line.long.push_back(long);
            }
        } else {
            self.bytes = self.bytes.saturating_add(body.len()).saturating_add(ITEM_COST);
            if let Some(line) = self.lines.get_mut(priority as usize) {
                line.short.push_back(Short { order, channel, body });
            }
        }
    }

    /// Drops the oldest message of the least urgent priority that has one (also the newest, if it is the
    /// only one). False if nothing is left to drop.
    pub(super) fn shed(&mut self) -> bool {
        for line in self.lines.iter_mut().rev() {
            // A message with pieces on their way is finished: dropping it would waste them.
            let long = line.long.iter().position(|long| long.next == 0);
            let oldest_long = long.and_then(|at| line.long.get(at)).map(|long| long.order);
            let oldest_short = line.short.front().map(|short| short.order);
            let cost = match (oldest_long, oldest_short) {
                (None, None) => continue,
                (Some(long), Some(short)) if short < long => shed_short(line),
                (None, Some(_)) => shed_short(line),
                (Some(_), _) => long.and_then(|at| line.long.remove(at)).map_or(0, |gone| gone.cost()),
            };
            self.bytes = self.bytes.saturating_sub(cost);
            return true;
        }
        false
    }

    /// Brings lost items back.
    pub(super) fn again(&mut self, items: Vec<Item>, reason: Reason, now: Instant) {
        for mut item in items {
            match &mut item {
                Item::Whole { tries, .. } | Item::Piece { tries, .. } => {
                    *tries = match reason {
                        Reason::Lost => tries.saturating_add(1),
                        Reason::Silence => tries.saturating_add(1).min(SHORT_AFTER).max(*tries),
                        Reason::Narrow => 0,
                    };
                }
            }
            self.bytes = self.bytes.saturating_add(item.cost());
            let thirds = self.note_loss(&item);
            self.doubtful |= item.form() == Form::Piece && item.tries() >= SHORT_AFTER;
            match item.tries() {
                STUCK_AFTER.. => self.stick(item, now),
                _ if thirds >= STUCK_PIECES => self.stick(item, now),
                _ if self.is_stuck(item.number()) => self.stuck.push_back(item),
                SHORT_AFTER.. => self.rescue.of_mut(item.form()).push_back(item),
                _ => self.again.of_mut(item.form()).push_back(item),
            }
        }
    }

    /// Third losses of the item's message in a row.
    fn note_loss(&mut self, item: &Item) -> u32 {
        let Some(number) = item.number().filter(|_| item.tries() > SHORT_AFTER) else { return 0 };
        match self.thirds.iter_mut().find(|(n, _)| *n == number) {
            Some((_, losses)) => {
                *losses = losses.saturating_add(1);
                *losses
            }
            None => {
                self.thirds.push((number, 1));
                1
            }
        }
    }

    fn is_stuck(&self, number: Option<u32>) -> bool {
        number.is_some_and(|number| self.stuck_numbers.contains(&number))
    }

    /// Puts an item aside, with all of its message.
    fn stick(&mut self, item: Item, now: Instant) {
        if self.stuck.is_empty() || now >= self.stuck_at {
            self.stuck_at = now + STUCK.nominal(self.vain);
            self.vain = self.vain.saturating_add(1);
        }
        let number = item.number();
        self.stuck.push_back(item);
        let Some(number) = number.filter(|number| !self.stuck_numbers.contains(number)) else { return };
        self.stuck_numbers.push(number);
        for pieces in [&mut self.again.pieces, &mut self.rescue.pieces] {
            let all = core::mem::take(pieces);
            let (stuck, rest) = all.into_iter().partition(|item| item.number() == Some(number));
            *pieces = rest;
            let mut stuck: VecDeque<Item> = stuck;
            self.stuck.append(&mut stuck);
        }
    }

    /// Something of the long message `number` came through, or of none a message that had been lost several times:
    /// what of it is stuck may too.
    pub(super) fn came_through(&mut self, number: Option<u32>) {
        self.doubtful &= number.is_none();
        self.thirds.retain(|(n, _)| Some(*n) != number);
        let stuck = self.is_stuck(number) || self.stuck.iter().any(|item| item.number() == number);
        if !stuck {
            return;
        }
        self.vain = 0;
        self.stuck_numbers.retain(|n| Some(*n) != number);
        for item in core::mem::take(&mut self.stuck) {
            if item.number() == number {
                self.rescue.of_mut(item.form()).push_back(item);
            } else {
                self.stuck.push_back(item);
            }
        }
    }

    fn stuck_due(&self, now: Instant) -> bool {
        !self.stuck.is_empty() && self.stuck_at <= now
    }

    /// When something stuck is tried again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (!self.stuck.is_empty()).then_some(self.stuck_at)
    }

    /// Whether another long message of `len` bytes may begin.
    fn may_open(&self, len: usize) -> bool {
        let open = self.open.iter().filter(|(big, _)| big.strong_count() > 0);
        let (count, bytes) =
            open.fold((0usize, len), |(n, sum), (_, len)| (n.saturating_add(1), sum.saturating_add(*len)));
        count < MAX_OPEN && bytes <= MAX_OPEN_BYTES
    }

    /// The long message of a line whose turn it is.
    fn turn(&self, line: usize) -> Option<usize> {
        let line = self.lines.get(line)?;
        // Stuck ones take no turn.
        let free = line.long.iter().enumerate().filter(|(_, long)| !self.is_stuck(Some(long.big.number)));
        free.take(IN_TURN).find(|(_, long)| long.next > 0 || self.may_open(long.big.body.len())).map(|(at, _)| at)
    }

    /// Where the items of the present packet come from, in order.
    fn sources(&self) -> [Source; 10] {
        use Source::{Again, Long, Rescue, Short};
        let [a, b, c] = if self.taken % LOW_EVERY == LOW_EVERY.saturating_sub(1) { [2, 1, 0] } else { [0, 1, 2] };
        let [w, p] = [Form::Whole, Form::Piece];
        match self.taken % 4 {
            0 => lost_first([Again(w), Again(p), Rescue(w), Rescue(p)], [a, b, c]),
            1 => lost_first([Rescue(w), Rescue(p), Again(w), Again(p)], [a, b, c]),
            2 => [Short(a), Long(a), Short(b), Long(b), Short(c), Long(c), Rescue(w), Again(w), Again(p), Rescue(p)],
            _ => [Long(a), Short(a), Long(b), Short(b), Long(c), Short(c), Rescue(p), Again(p), Again(w), Rescue(w)],
        }
    }

    /// Bytes without which the first item of a source does not leave; none if it has none.
    fn needs(&self, source: Source, most: usize) -> Option<usize> {
        match source {
            Source::Again(form) => self.again.of(form).front().map(|item| item.needs(most)),
            Source::Rescue(form) => self.rescue.of(form).front().map(|item| item.needs(most)),
            Source::Short(line) => {
                let body = self.lines.get(line)?.short.front()?.body.len();
                let whole = body.saturating_add(MESSAGE_OVERHEAD);
                Some(if whole <= most { whole } else { needs_piece(body) })
            }
            Source::Long(line) => {
                let long = self.lines.get(line)?.long.get(self.turn(line)?)?;
                Some(needs_piece(long.big.body.len().saturating_sub(long.next)))
            }
        }
    }

    /// Whether there is something to send. Where it is `crowded`, pieces of which none comes through have to wait.
    pub(super) fn has_item(&self, crowded: bool, now: Instant) -> bool {
        if crowded && self.doubtful {
            return self.wholes().is_some();
        }
        self.stuck_due(now) || self.sources().into_iter().any(|source| self.needs(source, usize::MAX).is_some())
    }

    /// Begins a packet: whether it must be a short one. After a silence the smallest is the most likely to pass.
    pub(super) fn begin_packet(&mut self, silence: bool, crowded: bool, now: Instant) -> bool {
        let crowded = crowded && self.doubtful;
        if !crowded
            && self.stuck_due(now)
            && let Some(item) = self.stuck.pop_front()
        {
            self.stuck_at = now + STUCK.nominal(self.vain);
            self.vain = self.vain.saturating_add(1);
            self.rescue.of_mut(item.form()).push_front(item);
        }
        self.taken = self.taken.wrapping_add(1);
        if (silence || crowded)
            && let Some(load) = self.wholes()
        {
            self.load = load;
            return silence || matches!(load, Load::Rescue(_));
        }
        let form = |form| if self.doubtful { Load::One(form) } else { Load::Any };
        let first = self.sources().into_iter().find(|source| self.needs(*source, usize::MAX).is_some());
        self.load = match first {
            Some(Source::Rescue(form)) => Load::Rescue(form),
            Some(Source::Again(Form::Piece) | Source::Long(_)) => form(Form::Piece),
            Some(Source::Again(Form::Whole) | Source::Short(_)) | None => form(Form::Whole),
        };
        silence || matches!(self.load, Load::Rescue(_))
    }

    /// A load of messages and no pieces, if there are any.
    fn wholes(&self) -> Option<Load> {
        if !self.rescue.wholes.is_empty() {
            return Some(Load::Rescue(Form::Whole));
        }
        let any = !self.again.wholes.is_empty() || self.lines.iter().any(|line| !line.short.is_empty());
        any.then_some(Load::One(Form::Whole))
    }

    /// Where the first item of the present packet comes from.
    fn lead(&self) -> Option<Source> {
        let takes = |source: &Source| self.load.takes(*source) && self.needs(*source, usize::MAX).is_some();
        self.sources().into_iter().find(takes)
    }

    /// Bytes that the first item of the present packet needs of the `most` that its frames may have.
    pub(super) fn first(&self, most: usize) -> usize {
        self.lead().and_then(|source| self.needs(source, most)).unwrap_or(0)
    }

    /// The next item if its frame fits into `free`; `most` is what an empty packet has for frames.
    pub(super) fn take(&mut self, free: usize, most: usize) -> Option<Item> {
        let fits =
            |source: &Source| self.load.takes(*source) && self.needs(*source, most).is_some_and(|needs| needs <= free);
        let source = self.sources().into_iter().find(fits)?;
        let item = match source {
            Source::Again(form) => {
                Self::cut(self.again.of_mut(form), free, most, &mut self.bytes, &mut self.next_number)
            }
            Source::Rescue(form) => {
                Self::cut(self.rescue.of_mut(form), free, most, &mut self.bytes, &mut self.next_number)
            }
            Source::Short(line) => self.take_short(line, free, most),
            Source::Long(line) => self.take_long(line, free),
        }?;
        if source == Source::Rescue(Form::Piece) && self.is_stuck(item.number()) {
            // One piece of a stuck message is enough of a try.
            while let Some(rest) = self.rescue.pieces.pop_front_if(|rest| rest.number() == item.number()) {
                self.stuck.push_front(rest);
            }
        }
        if self.is_empty() && self.lines.iter().any(|l| l.short.capacity() > 64) {
            // A burst's buffers are not kept by an idle link.
            self.lines = Default::default();
        }
        Some(item)
    }

    /// The first of `items`, or as much of it as fits.
    fn cut(
        items: &mut VecDeque<Item>,
        free: usize,
        most: usize,
        bytes: &mut usize,
        next_number: &mut u32,
    ) -> Option<Item> {
        let item = items.pop_front()?;
        *bytes = bytes.saturating_sub(item.cost());
        let (of, start, end, tries) = match item {
            Item::Whole { channel, body, tries } if body.len().saturating_add(MESSAGE_OVERHEAD) > most => {
                // The path became narrower than the message.
                let (number, end) = (*next_number, body.len());
                *next_number = number.wrapping_add(1);
                (Arc::new(Big { channel, number, body }), 0, end, tries)
            }
            Item::Whole { .. } => return Some(item),
            Item::Piece { of, start, end, tries } => (of, start, end, tries),
        };
        let cut = end.min(start.saturating_add(free.saturating_sub(FRAGMENT_OVERHEAD)));
        if cut < end {
            let rest = Item::Piece { of: Arc::clone(&of), start: cut, end, tries };
            *bytes = bytes.saturating_add(rest.cost());
            items.push_front(rest);
        }
        Some(Item::Piece { of, start, end: cut, tries })
    }

    fn take_short(&mut self, line: usize, free: usize, most: usize) -> Option<Item> {
        let Short { channel, body, .. } = self.lines.get_mut(line)?.short.pop_front()?;
        let item = Item::Whole { channel, body, tries: 0 };
        if item.needs(most) == item.len().saturating_add(MESSAGE_OVERHEAD) {
            self.bytes = self.bytes.saturating_sub(item.cost());
            return Some(item);
        }
        let again = &mut self.again.wholes;
        again.push_front(item);
        Self::cut(again, free, most, &mut self.bytes, &mut self.next_number)
    }

    fn take_long(&mut self, line: usize, free: usize) -> Option<Item> {
        let at = self.turn(line)?;
        let line = self.lines.get_mut(line)?;
        let mut long = line.long.remove(at)?;
        let before = long.cost();
        if long.next == 0 {
            self.open.retain(|(big, _)| big.strong_count() > 0);
            self.open.push((Arc::downgrade(&long.big), long.big.body.len()));
        }
        let (start, all) = (long.next, long.big.body.len());
        let end = all.min(start.saturating_add(free.saturating_sub(FRAGMENT_OVERHEAD)));
        let item = Item::Piece { of: Arc::clone(&long.big), start, end, tries: 0 };
        long.next = end;
        self.bytes = self.bytes.saturating_sub(before);
        if end < all {
            self.bytes = self.bytes.saturating_add(long.cost());
            // The others of its priority come first.
            let last = line.long.len().min(IN_TURN.saturating_sub(1));
            line.long.insert(last, long);
        }
        Some(item)
    }
}

fn lost_first([a, b, c, d]: [Source; 4], [x, y, z]: [usize; 3]) -> [Source; 10] {
    use Source::{Long, Short};
    [a, b, c, d, Short(x), Long(x), Short(y), Long(y), Short(z), Long(z)]
}

fn shed_short(line: &mut Line) -> usize {
    line.short.pop_front().map_or(0, |gone| gone.body.len().saturating_add(ITEM_COST))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

    use super::*;
    use alloc::vec;

    fn drain(q: &mut Queue) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(item) = q.take(2_000, 2_000) {
            if let Item::Whole { body, .. } = item {
                all.push(body);
            }
        }
        all
    }

    #[test]
    fn urgent_priorities_go_first_and_counts_end_at_zero() {
        let mut q = Queue::default();
        q.push(Priority::Low, 1, vec![3]);
        q.push(Priority::Normal, 1, vec![2]);
        q.push(Priority::High, 1, vec![1]);
        q.push(Priority::Normal, 1, vec![9; 5_000]);
        assert_eq!(q.bytes(), 5_003 + ITEM_COST * (3 + 5));
        assert_eq!(drain(&mut q), [vec![1], vec![2], vec![3]]);
        assert_eq!(q.bytes(), 0);
        assert!(q.is_empty());
    }

    #[test]
    fn every_eighth_packet_begins_with_low_priority() {
        let mut q = Queue::default();
        let mut low = 0;
        for _ in 0..80 {
            q.push(Priority::High, 1, vec![0]);
            q.push(Priority::Low, 1, vec![1]);
        }
        for _ in 0..80 {
            q.begin_packet(false, false, Instant::ZERO);
            if let Some(Item::Whole { body, .. }) = q.take(2_000, 2_000) {
                low += usize::from(body == [1]);
            }
        }
        assert_eq!(low, 10);
    }

    #[test]
    fn fragmented_messages_under_way_are_bounded() {
        let mut q = Queue::default();
        for _ in 0..MAX_OPEN + 8 {
            q.push(Priority::Normal, 1, vec![0; 2_000]);
        }
        q.push(Priority::Low, 1, vec![7]);
        let mut flying: Vec<Item> = core::iter::from_fn(|| q.take(1_100, 1_100)).collect();
        assert_eq!(flying.len(), 2 * MAX_OPEN + 1, "and the priority below is not held up");
        assert!(!q.has_item(false, Instant::ZERO));
        flying.retain(|item| !matches!(item, Item::Piece { of, .. } if of.number == 3));
        assert!(q.has_item(false, Instant::ZERO));
        let more: Vec<Item> = core::iter::from_fn(|| q.take(1_100, 1_100)).collect();
        assert_eq!(more.len(), 2);
    }

    #[test]
    fn the_bytes_of_messages_under_way_are_bounded() {
        let mut q = Queue::default();
        for n in 0..30 {
            q.push(Priority::Normal, n, vec![0; 65_536]);
        }
        let flying: Vec<Item> = core::iter::from_fn(|| q.take(1_100, 1_100)).collect();
        assert_eq!(flying.iter().map(Item::len).sum::<usize>(), 12 * 65_536);
    }

    #[test]
    fn shedding_takes_the_oldest_of_the_least_urgent_priority() {
        let mut q = Queue::default();
        for (priority, n) in [(Priority::High, 1), (Priority::Low, 2), (Priority::Low, 3)] {
            q.push(priority, 1, vec![n]);
        }
        assert!(q.shed());
        assert_eq!(drain(&mut q), [vec![1], vec![3]]);
        assert!(!q.shed());
    }

    /// What leaves in the next packet with `most` bytes for frames, and whether it is a short one.
    fn packet(q: &mut Queue, most: usize, now: Instant) -> (Vec<Item>, bool) {
        let short = q.begin_packet(false, false, now);
        let most = if short { most.min(500) } else { most };
        let (mut free, mut items) = (most, Vec::new());
        while let Some(item) = q.take(free, most) {
            let mut out = Vec::new();
            item.put(&mut out);
            assert!(out.len() <= free, "{} of {free}", out.len());
            free -= out.len();
            items.push(item);
        }
        (items, short)
    }

    #[test]
    fn short_messages_pass_long_ones_and_long_ones_take_turns() {
        let mut q = Queue::default();
        for n in 0..3 {
            q.push(Priority::Normal, n, vec![n; 60_000]);
        }
        q.push(Priority::Normal, 9, vec![9; 50]);
        let mut channels = Vec::new();
        for _ in 0..8 {
            for item in packet(&mut q, 1_150, Instant::ZERO).0 {
                match item {
                    Item::Whole { channel, .. } => channels.push(channel),
                    Item::Piece { of, .. } => channels.push(of.channel),
                }
            }
        }
        assert!(channels[..4].contains(&9), "{channels:?}");
        for n in 0..3 {
            assert!(channels.iter().filter(|c| **c == n).count() >= 2, "{channels:?}");
        }
    }

    #[test]
    fn lost_pieces_and_messages_are_cut_to_a_narrower_path() {
        let mut q = Queue::default();
        q.push(Priority::Normal, 1, (0..1_000).map(|n| n as u8).collect());
        q.push(Priority::Normal, 2, (0..9_000).map(|n| (n / 5) as u8).collect());
        let mut now = Instant::ZERO;
        for most in [1_400, 1_170, 1_070, 1_000, 700, 520, 900, 1_400, 600] {
            let mut lost = Vec::new();
            while q.has_item(false, now) {
                lost.extend(packet(&mut q, most, now).0);
            }
            q.again(lost, Reason::Lost, now);
            now = now + Duration::from_secs(10);
        }
        let mut got = [vec![None; 1_000], vec![None; 9_000]];
        for _ in 0..200 {
            now = now + Duration::from_secs(1);
            for item in packet(&mut q, 600, now).0 {
                let of_number = item.number();
                let Item::Piece { of, start, end, .. } = item else { panic!("whole: {item:?}") };
                let got = &mut got[usize::from(of.channel) - 1];
                for (place, byte) in got[start..end].iter_mut().zip(&of.body[start..end]) {
                    assert_eq!(place.replace(*byte), None);
                }
                q.came_through(of_number);
            }
        }
        assert!(got[0].iter().enumerate().all(|(n, byte)| *byte == Some(n as u8)));
        assert!(got[1].iter().enumerate().all(|(n, byte)| *byte == Some((n / 5) as u8)));
        assert_eq!((q.bytes(), q.is_empty()), (0, true));
    }

    #[test]
    fn what_is_stuck_is_tried_ever_more_rarely_and_blocks_nothing() {
        let mut q = Queue::default();
        q.push(Priority::High, 1, vec![1; 69_000]);
        let (mut sent, mut heard) = (Vec::new(), 0);
        for ms in 0..60_000u64 {
            let now = Instant::from_micros(ms * 1_000);
            if ms % 1_000 == 0 {
                q.push(Priority::Low, 2, vec![2; 10]);
            }
            if !q.has_item(false, now) {
                continue;
            }
            let (items, _) = packet(&mut q, 1_150, now);
            let (short, long): (Vec<_>, Vec<_>) = items.into_iter().partition(|i| matches!(i, Item::Whole { .. }));
            heard += short.len();
            if !long.is_empty() {
                sent.push(ms);
                q.again(long, Reason::Lost, now);
            }
        }
        assert_eq!(heard, 60);
        assert!(q.is_stuck(Some(0)) && !q.stuck.is_empty());
        let late = sent.iter().filter(|ms| **ms > 10_000).count();
        assert!(late <= 14, "{late} in 50 s");
        // One that comes through frees the others.
        q.came_through(Some(0));
        let (mut bytes, now) = (0, Instant::from_micros(60_000_000));
        while q.has_item(false, now) {
            bytes += packet(&mut q, 1_150, now).0.iter().map(Item::len).sum::<usize>();
        }
        assert_eq!((bytes, q.bytes()), (69_000, 0));
    }
}
