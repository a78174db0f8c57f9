//! The chains of an epoch: a key for each message, and the key before it is gone (docs/design/groups-keys.md §4.3).
//!
//! As the symmetric part of the Double Ratchet (Perrin, Marlinspike, *The Double Ratchet Algorithm*, revision 4, §2.2).

use alloc::vec::Vec;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::crypto::kdf::{Key, hmac};
use crate::time::WallTime;
use crate::wire::Malformed;
use crate::wire::record::Reader;

/// Messages that one message may skip, as in sessions (docs/design/sessions.md §4).
pub(super) const MAX_JUMP: u32 = 2_000;
/// Keys kept of skipped messages, of one sender in one epoch.
pub(super) const MAX_SKIPPED: usize = 512;
/// 7 days: for which a message is repeated to a node that was away (docs/design/delivery.md §2).
pub(super) const MAX_AGE: u64 = 7 * 86_400_000;
/// Own messages for which one row is written.
pub(super) const RESERVE: u32 = 64;

/// The key of one message.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct MessageKey(pub(super) Key);

/// Why a message has no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// It was opened before, or is older than what is kept.
    Used,
    /// It skips more than may be.
    TooFar,
}

/// The key at a number, and so all after it and none before.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct Link {
    key: Key,
    number: u32,
}

impl Link {
    pub(super) fn first(key: Key) -> Self {
        Self { key, number: 0 }
    }

    /// The key of this number. None after 2^32 - 1 messages.
    fn step(&mut self) -> Option<MessageKey> {
        let number = self.number.checked_add(1)?;
        let message = MessageKey(hmac(&self.key, &[&[1]]));
        let mut next = hmac(&self.key, &[&[2]]);
        self.key = next;
        next.zeroize();
        self.number = number;
        Some(message)
    }

    /// Number 4, key 32.
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.key);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { number: u32::from_le_bytes(r.take()?), key: r.take()? })
    }
}

/// The chain of this node.
///
/// What is stored is the chain some numbers ahead: after a crash the numbers up to there are left out, since no node
/// knows which of them were sent. Of two messages under one key a receiver opens one, and the other is lost.
pub(super) struct Sending {
    now: Link,
    /// INVARIANT: not behind `now`.
    stored: Link,
}

impl Sending {
    pub(super) fn new(first: Key) -> Self {
        let now = Link::first(first);
        Self { stored: now.clone(), now }
    }

    /// The key of the next message and its number. With true, a row is to be written before the message leaves.
    pub(super) fn step(&mut self) -> Option<(MessageKey, u32, bool)> {
        let number = self.now.number;
        let reserves = number >= self.stored.number;
        if reserves {
            let mut ahead = self.now.clone();
            for _ in 0..RESERVE {
                ahead.step()?;
            }
            self.stored = ahead;
        }
        Some((self.now.step()?, number, reserves))
    }

    /// The number of the next message.
    #[cfg(test)]
    pub(super) fn number(&self) -> u32 {
        self.now.number
    }

    #[cfg(test)]
    pub(super) fn key(&self) -> Key {
        self.now.key
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.stored.number < self.now.number { Err("the stored chain is behind the own chain") } else { Ok(()) }
    }

    pub(super) fn row(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(36);
        self.stored.write(&mut out);
        out
    }

    pub(super) fn read(row: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader(row);
        let now = Link::read(&mut r)?;
        if r.0.is_empty() { Ok(Self { stored: now.clone(), now }) } else { Err(Malformed) }
    }
}

/// The key of a message that has not come yet, though a later one has.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct Skipped {
    #[zeroize(skip)]
    number: u32,
    #[zeroize(skip)]
    at: WallTime,
    key: Key,
}

/// The chain of another sender.
pub(super) struct Receiving {
    next: Link,
    /// INVARIANT: numbers rise and are below that of `next`; at most [`MAX_SKIPPED`].
    skipped: Vec<Skipped>,
}

/// What a message changes once its tag has verified.
pub(super) enum Advance {
    /// It was skipped before.
    Late(u32),
    /// It is ahead of all.
    Ahead(Link, Fresh),
}

/// Keys that a message skips.
pub(super) struct Fresh(Vec<Skipped>);

impl Receiving {
    pub(super) fn new(first: Key) -> Self {
        Self { next: Link::first(first), skipped: Vec::new() }
    }

    /// The key of a message, and what changes if it opens. Nothing changes here.
    pub(super) fn key_of(&self, number: u32, wall: WallTime) -> Result<(MessageKey, Advance), NoKey> {
        let Some(gap) = number.checked_sub(self.next.number) else {
            let kept = self.skipped.iter().find(|kept| kept.number == number && !kept.is_over(wall));
            return kept.map(|kept| (MessageKey(kept.key), Advance::Late(number))).ok_or(NoKey::Used);
        };
        if gap > MAX_JUMP {
            return Err(NoKey::TooFar);
        }
        let mut link = self.next.clone();
        let mut fresh = Vec::new();
        while link.number < number {
            let at = link.number;
            let key = link.step().ok_or(NoKey::TooFar)?;
            // The others would be the first to go.
            if number.saturating_sub(at) as usize <= MAX_SKIPPED {
                fresh.push(Skipped { number: at, at: wall, key: key.0 });
            }
        }
        let key = link.step().ok_or(NoKey::TooFar)?;
        Ok((key, Advance::Ahead(link, Fresh(fresh))))
    }

    pub(super) fn commit(&mut self, advance: Advance, wall: WallTime) {
        match advance {
            Advance::Late(number) => self.skipped.retain(|kept| kept.number != number),
            Advance::Ahead(link, Fresh(fresh)) => {
                self.next = link;
                self.skipped.extend(fresh);
                let surplus = self.skipped.len().saturating_sub(MAX_SKIPPED);
                self.skipped.drain(..surplus);
            }
        }
        self.expire(wall);
    }

    /// Wipes kept keys that are over. Whether there were any.
    pub(super) fn expire(&mut self, wall: WallTime) -> bool {
        let before = self.skipped.len();
        self.skipped.retain(|kept| !kept.is_over(wall));
        self.skipped.len() != before
    }

    /// Number 4, key 32, then for each kept key number 4, kept at 8, key 32.
    pub(super) fn row(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.skipped.len().saturating_mul(44).saturating_add(36));
        self.next.write(&mut out);
        for kept in &self.skipped {
            out.extend_from_slice(&kept.number.to_le_bytes());
            out.extend_from_slice(&kept.at.0.to_le_bytes());
            out.extend_from_slice(&kept.key);
        }
        out
    }

    pub(super) fn read(row: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader(row);
        let mut chain = Self { next: Link::read(&mut r)?, skipped: Vec::new() };
        while !r.0.is_empty() {
            let number = u32::from_le_bytes(r.take()?);
            let at = WallTime(u64::from_le_bytes(r.take()?));
            chain.skipped.push(Skipped { number, at, key: r.take()? });
        }
        if chain.is_sound() { Ok(chain) } else { Err(Malformed) }
    }

    fn is_sound(&self) -> bool {
        let rises = self.skipped.is_sorted_by(|a, b| a.number < b.number);
        let below = self.skipped.last().is_none_or(|kept| kept.number < self.next.number);
        rises && below && self.skipped.len() <= MAX_SKIPPED
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.is_sound() { Ok(()) } else { Err("kept keys do not rise, or are too many") }
    }
}

impl Skipped {
    fn is_over(&self, wall: WallTime) -> bool {
        wall.0.saturating_sub(self.at.0) >= MAX_AGE
    }
}
