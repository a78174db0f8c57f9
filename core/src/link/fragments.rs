//! Puts messages of several pieces together. Only for authenticated peers, and bounded: 16 messages
//! and a number of bytes for each peer, a number of bytes for the node, thirty idle seconds.
//!
//! Pieces are kept as they come: an incomplete message costs the bytes that arrived and 32 for each
//! piece, whatever size it claims to have (quinn RUSTSEC-2026-0185).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::link::frame::{Fragment, MAX_PIECES};
use crate::time::{Duration, Instant};

/// Incomplete messages of one peer (docs/design/reliability.md §4).
const MAX_PARTIAL: usize = 16;
/// An incomplete message without a new piece is dropped after this: 30 s, twice what a link lives without an answer
/// (`LinkConfig::dead_after`), so that its sender has given it up too (docs/design/links.md §4).
const IDLE: Duration = Duration::from_secs(30);
/// Numbers of complete messages remembered, so that a piece sent twice opens no new one.
const DONE: usize = 32;
/// Counted for each piece beside its bytes.
const PIECE_COST: usize = 32;

#[derive(Debug)]
struct Partial {
    number: u32,
    channel: u8,
    count: u8,
    total: u32,
    held: usize,
    touched: Instant,
    /// INVARIANT: indices are distinct and below `count`.
    pieces: Vec<(u8, Vec<u8>)>,
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
        let cost = f.piece.len().saturating_add(PIECE_COST);
        if cost > free {
            return Outcome::Refused;
        }
        let at = match self.partial.iter().position(|p| p.number == f.number) {
            Some(at) => at,
            None if self.partial.len() >= MAX_PARTIAL => return Outcome::Refused,
            None => {
                self.partial.push(Partial {
                    number: f.number,
                    channel: f.channel,
                    count: f.count,
                    total: f.total,
                    held: 0,
                    touched: now,
                    pieces: Vec::new(),
                });
                self.partial.len().saturating_sub(1)
            }
        };
        let Some(p) = self.partial.get_mut(at) else { return Outcome::Refused };
        if (p.channel, p.count, p.total) != (f.channel, f.count, f.total) {
            return Outcome::Refused;
        }
        if p.pieces.iter().any(|(index, _)| *index == f.index) {
            return Outcome::Kept;
        }
        p.touched = now;
        p.pieces.push((f.index, f.piece.to_vec()));
        p.held = p.held.saturating_add(cost);
        self.held = self.held.saturating_add(cost);
        // Indices are distinct and below `count`, so `count` pieces are all of them.
        if p.pieces.len() < usize::from(p.count).min(MAX_PIECES) {
            return Outcome::Kept;
        }
        let mut p = self.partial.swap_remove(at);
        self.held = self.held.saturating_sub(p.held);
        if self.done.len() >= DONE {
            self.done.pop_front();
        }
        self.done.push_back(p.number);
        p.pieces.sort_unstable_by_key(|(index, _)| *index);
        let mut body = Vec::with_capacity(p.total as usize);
        for (_, piece) in &p.pieces {
            body.extend_from_slice(piece);
        }
        Outcome::Complete { channel: p.channel, body }
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let held = self.partial.iter().fold(0usize, |sum, p| sum.saturating_add(p.held));
        if held != self.held {
            return Err("the bytes held are not those of the incomplete messages");
        }
        for p in &self.partial {
            let mut seen = alloc::collections::BTreeSet::new();
            if !p.pieces.iter().all(|(index, _)| usize::from(*index) < usize::from(p.count) && seen.insert(*index)) {
                return Err("a piece is there twice or beyond the number of pieces");
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
    use crate::link::frame::{PIECE, pieces};
    use crate::wire::MAX_MESSAGE;
    use proptest::prelude::*;

    fn cut(number: u32, body: &[u8]) -> Vec<Fragment<'_>> {
        let (count, size) = pieces(body.len());
        let each = body.chunks(size).enumerate().map(|(i, piece)| Fragment {
            number,
            index: i as u8,
            count: count as u8,
            channel: 4,
            total: body.len() as u32,
            piece,
        });
        each.collect()
    }

    proptest! {
        #[test]
        fn any_order_and_repeats_give_the_message_once(
            len in PIECE + 1..=MAX_MESSAGE,
            order in prop::collection::vec(0usize..64, 0..200),
        ) {
            let body: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            let all = cut(3, &body);
            let (mut f, mut got) = (Fragments::default(), Vec::new());
            let rest = 0..all.len();
            for i in order.into_iter().map(|i| i % all.len()).chain(rest.clone()).chain(rest) {
                match f.add(&all[i], 1 << 20, Instant::ZERO) {
                    Outcome::Complete { body, .. } => got.push(body),
                    Outcome::Kept => {}
                    Outcome::Refused => prop_assert!(false, "refused"),
                }
            }
            prop_assert_eq!(got, [body]);
            prop_assert_eq!(f.held(), 0);
        }
    }

    #[test]
    fn a_flood_with_holes_holds_what_arrived_and_no_more() {
        let body: Vec<u8> = alloc::vec![1; MAX_MESSAGE];
        let mut f = Fragments::default();
        let mut refused = 0;
        for number in 0..1_000 {
            let piece = cut(number, &body)[usize::from(number as u8 % 60)];
            refused += usize::from(f.add(&piece, 1 << 20, Instant::ZERO) == Outcome::Refused);
        }
        assert_eq!(refused, 1_000 - MAX_PARTIAL);
        assert!(f.held() <= MAX_PARTIAL * (PIECE + PIECE_COST), "{} bytes", f.held());
        let owned: usize = f.partial.iter().flat_map(|p| &p.pieces).map(|(_, piece)| piece.capacity()).sum();
        assert!(owned <= f.held());
        assert_eq!(f.expire(f.deadline().unwrap()), MAX_PARTIAL);
        assert_eq!((f.held(), f.deadline()), (0, None));
    }

    #[test]
    fn contradictions_and_pieces_beyond_the_limit_are_refused() {
        let body: Vec<u8> = alloc::vec![1; 5_000];
        let all = cut(1, &body);
        let mut f = Fragments::default();
        assert_eq!(f.add(&all[0], 10, Instant::ZERO), Outcome::Refused);
        assert_eq!(f.add(&all[0], 1 << 20, Instant::ZERO), Outcome::Kept);
        let other = Fragment { channel: 1, ..all[1] };
        assert_eq!(f.add(&other, 1 << 20, Instant::ZERO), Outcome::Refused);
        assert_eq!(f.held(), all[0].piece.len() + PIECE_COST);
    }
}
