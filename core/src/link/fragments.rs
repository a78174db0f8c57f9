//! Puts messages of several pieces together. Only for authenticated peers, and bounded: 256 messages
//! and a number of bytes for each peer, a number of bytes for the node, thirty idle seconds.
//!
//! Pieces are kept as they come: an incomplete message costs the bytes that arrived and 64 for each
//! piece, whatever size it claims to have (quinn RUSTSEC-2026-0185). A byte is kept once, however often it comes and
//! however the message is cut.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::collections::OrderedMap;
use crate::link::frame::Fragment;
use crate::time::{Duration, Instant};

/// Incomplete messages of one peer (docs/design/reliability.md §4).
const MAX_PARTIAL: usize = 256;
/// An incomplete message without a new piece is dropped after this: 30 s, twice what a link lives without an answer
/// (`LinkConfig::dead_after`), so that its sender has given it up too (docs/design/links.md §4).
const IDLE: Duration = Duration::from_secs(30);
/// Numbers of complete messages remembered, so that a piece sent twice opens no new one: as many as may be open.
const DONE: usize = 256;
/// Counted for each piece beside its bytes: a place in the tree and the allocation.
const PIECE_COST: usize = 64;

#[derive(Debug)]
struct Partial {
    number: u32,
    channel: u8,
    total: u32,
    /// Bytes of the message that are here.
    filled: usize,
    held: usize,
    touched: Instant,
    /// By where they begin. INVARIANT: they do not overlap and none is beyond `total`.
    pieces: OrderedMap<usize, Vec<u8>>,
}

impl Partial {
    /// Begin and end of what is missing in `start..end`.
    fn gaps(&self, start: usize, end: usize) -> Vec<(usize, usize)> {
        let mut gaps = Vec::new();
        let mut at =
            self.pieces.range(..start).next_back().map_or(start, |(b, piece)| start.max(b.saturating_add(piece.len())));
        for (&begin, piece) in self.pieces.range(start..end) {
            if begin > at {
                gaps.push((at, begin));
            }
            at = at.max(begin.saturating_add(piece.len()));
        }
        if at < end {
            gaps.push((at, end));
        }
        gaps
    }
}

#[derive(Debug, Default)]
pub(super) struct Fragments {
    partial: Vec<Partial>,
    done: VecDeque<u32>,
    /// INVARIANT: the sum of what the incomplete messages hold.
    held: usize,
}

/// What a piece led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// More are needed, or it was here already.
    Kept,
    Complete {
        channel: u8,
        body: Vec<u8>,
    },
    /// It contradicts an earlier piece or exceeds what may be held.
    Refused,
}

impl Fragments {
    /// Bytes held.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Adds a piece; at most `free` more bytes may be held.
    pub(super) fn add(&mut self, f: &Fragment<'_>, free: usize, now: Instant) -> Outcome {
        if self.done.contains(&f.number) {
            return Outcome::Kept;
        }
        let known = self.partial.iter().position(|p| p.number == f.number);
        let start = f.start as usize;
        let gaps = match known.and_then(|at| self.partial.get(at)) {
            Some(p) if (p.channel, p.total) != (f.channel, f.total) => return Outcome::Refused,
            Some(p) => p.gaps(start, start.saturating_add(f.piece.len())),
            None => alloc::vec![(start, start.saturating_add(f.piece.len()))],
        };
        let fresh = gaps.iter().fold(0usize, |sum, (from, to)| sum.saturating_add(to.saturating_sub(*from)));
        if fresh == 0 {
            return Outcome::Kept;
        }
        let cost = fresh.saturating_add(gaps.len().saturating_mul(PIECE_COST));
        if cost > free {
            return Outcome::Refused;
        }
        let at = match known {
            Some(at) => at,
            None if self.partial.len() >= MAX_PARTIAL => return Outcome::Refused,
            None => {
                self.partial.push(Partial {
                    number: f.number,
                    channel: f.channel,
                    total: f.total,
                    filled: 0,
                    held: 0,
                    touched: now,
                    pieces: OrderedMap::new(),
                });
                self.partial.len().saturating_sub(1)
            }
        };
        let Some(p) = self.partial.get_mut(at) else { return Outcome::Refused };
        for (from, to) in gaps {
            let piece = f.piece.get(from.saturating_sub(start)..to.saturating_sub(start)).unwrap_or_default();
            p.pieces.insert(from, piece.to_vec());
        }
        p.touched = now;
        p.filled = p.filled.saturating_add(fresh);
        p.held = p.held.saturating_add(cost);
        self.held = self.held.saturating_add(cost);
        // No byte is counted twice, so as many as there are are all of them.
        if p.filled < p.total as usize {
            return Outcome::Kept;
        }
        let mut p = self.partial.swap_remove(at);
        self.held = self.held.saturating_sub(p.held);
        if self.done.len() >= DONE {
            self.done.pop_front();
        }
        self.done.push_back(p.number);
        let body = match p.pieces.len() {
            1 => p.pieces.pop_first().map(|(_, piece)| piece).unwrap_or_default(),
            _ => p.pieces.into_values().collect::<Vec<_>>().concat(),
        };
        Outcome::Complete { channel: p.channel, body }
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let held = self.partial.iter().fold(0usize, |sum, p| sum.saturating_add(p.held));
        if held != self.held {
            return Err("the bytes held are not those of the incomplete messages");
        }
        for p in &self.partial {
            let (mut end, mut filled) = (0, 0usize);
            for (&start, piece) in &p.pieces {
                if start < end || piece.is_empty() {
                    return Err("two pieces have a byte in common");
                }
                end = start.saturating_add(piece.len());
                filled = filled.saturating_add(piece.len());
            }
            if end > p.total as usize || filled != p.filled {
                return Err("a piece is beyond the end, or a byte is not counted");
            }
        }
        Ok(())
    }

    /// When the next incomplete message is given up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.partial.iter().map(|p| p.touched + IDLE).min()
    }

    /// Gives up what is due; returns how many messages that were.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        let before = self.partial.len();
        self.partial.retain(|p| now < p.touched + IDLE);
        self.held = self.partial.iter().fold(0, |sum, p| sum.saturating_add(p.held));
        before.saturating_sub(self.partial.len())
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::*;
    use crate::link::frame::PIECE;
    use crate::wire::MAX_MESSAGE;
    use proptest::prelude::*;

    fn cut(number: u32, body: &[u8], size: usize) -> Vec<Fragment<'_>> {
        let each = body.chunks(size).enumerate().map(|(i, piece)| Fragment {
            number,
            channel: 4,
            total: body.len() as u32,
            start: (i * size) as u32,
            piece,
        });
        each.collect()
    }

    proptest! {
        #[test]
        fn any_order_cut_and_repeats_give_the_message_once(
            len in PIECE + 1..=MAX_MESSAGE,
            sizes in prop::array::uniform3(500usize..1_400),
            order in prop::collection::vec((0usize..3, 0usize..140), 0..200),
        ) {
            let body: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            let all = sizes.map(|size| cut(3, &body, size));
            let (mut f, mut got) = (Fragments::default(), Vec::new());
            let rest = (0..all[0].len()).map(|at| (0, at));
            for (way, at) in order.into_iter().chain(rest.clone()).chain(rest) {
                let at = at % all[way].len();
                match f.add(&all[way][at], 1 << 20, Instant::ZERO) {
                    Outcome::Complete { body, .. } => got.push(body),
                    Outcome::Kept => {}
                    Outcome::Refused => prop_assert!(false, "refused"),
                }
                prop_assert_eq!(f.check(), Ok(()));
            }
            prop_assert_eq!(got, [body]);
            prop_assert_eq!(f.held(), 0);
        }

        #[test]
        fn what_is_held_is_what_came(pieces in prop::collection::vec((0u32..200, 1usize..60), 1..80)) {
            let (body, mut f, mut seen) = ([5; 300], Fragments::default(), [false; 300]);
            for (start, len) in pieces {
                let piece = &body[start as usize..start as usize + len];
                f.add(&Fragment { number: 1, channel: 1, total: 300, start, piece }, 1 << 20, Instant::ZERO);
                seen[start as usize..start as usize + len].fill(true);
                prop_assert_eq!(f.check(), Ok(()));
                prop_assert_eq!(f.partial[0].filled, seen.iter().filter(|s| **s).count());
            }
        }
    }

    #[test]
    fn a_flood_with_holes_holds_what_arrived_and_no_more() {
        let body: Vec<u8> = alloc::vec![1; MAX_MESSAGE];
        let mut f = Fragments::default();
        let mut refused = 0;
        for number in 0..1_000 {
            let piece = cut(number, &body, PIECE)[usize::from(number as u8 % 60)];
            refused += usize::from(f.add(&piece, 1 << 20, Instant::ZERO) == Outcome::Refused);
        }
        assert_eq!(refused, 1_000 - MAX_PARTIAL);
        assert!(f.held() <= MAX_PARTIAL * (PIECE + PIECE_COST), "{} bytes", f.held());
        let owned: usize = f.partial.iter().flat_map(|p| p.pieces.values()).map(Vec::capacity).sum();
        assert!(owned <= f.held());
        assert_eq!(f.expire(f.deadline().unwrap()), MAX_PARTIAL);
        assert_eq!((f.held(), f.deadline()), (0, None));
    }

    /// Mutations: `>` in `add` is `>=` or `<`.
    #[test]
    fn a_piece_may_use_all_that_is_free_and_no_byte_more() {
        let body: Vec<u8> = alloc::vec![1; 5_000];
        let all = cut(1, &body, PIECE);
        let cost = all[0].piece.len() + PIECE_COST;
        let mut f = Fragments::default();
        assert_eq!(f.add(&all[0], cost - 1, Instant::ZERO), Outcome::Refused);
        assert_eq!(f.held(), 0);
        assert_eq!(f.add(&all[0], cost, Instant::ZERO), Outcome::Kept);
        assert_eq!(f.held(), cost);
    }

    #[test]
    fn contradictions_and_pieces_beyond_the_limit_are_refused() {
        let body: Vec<u8> = alloc::vec![1; 5_000];
        let all = cut(1, &body, PIECE);
        let mut f = Fragments::default();
        assert_eq!(f.add(&all[0], 10, Instant::ZERO), Outcome::Refused);
        assert_eq!(f.add(&all[0], 1 << 20, Instant::ZERO), Outcome::Kept);
        let other = Fragment { channel: 1, ..all[1] };
        assert_eq!(f.add(&other, 1 << 20, Instant::ZERO), Outcome::Refused);
        assert_eq!(f.held(), all[0].piece.len() + PIECE_COST);
    }
}
