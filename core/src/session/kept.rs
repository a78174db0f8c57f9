//! Keys of messages that have not come yet, though later ones have.

use alloc::vec::Vec;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::crypto::kdf::Key;
use crate::time::WallTime;
use crate::wire::Malformed;
use crate::wire::record::Reader;

/// Keys kept for one session: as many as libsignal's 2,000, halved for what a message here may skip.
const MAX_KEPT: usize = 1_000;
/// Chains of which keys are kept: libsignal's `MAX_RECEIVER_CHAINS` (`rust/protocol/src/consts.rs`).
const MAX_CHAINS: usize = 5;
/// 7 days, for which the outbox of a peer that was away repeats a message (docs/design/delivery.md §2).
const MAX_AGE: u64 = 7 * 86_400_000;
/// Bytes of a place.
pub(super) const PLACE_LEN: usize = 12;

/// Where a message stands: the beginning of its ratchet key, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) dh: [u8; 8],
    pub(super) number: u32,
}

impl Place {
    pub(super) fn encode(&self) -> [u8; PLACE_LEN] {
        let mut out = [0; PLACE_LEN];
        let parts = self.dh.into_iter().chain(self.number.to_be_bytes());
        out.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        out
    }
}

/// The key of one message.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct Kept {
    #[zeroize(skip)]
    pub(super) place: Place,
    #[zeroize(skip)]
    pub(super) at: WallTime,
    pub(super) key: Key,
}

impl Kept {
    /// Key 32, kept at 8.
    pub(super) fn row(&self) -> Vec<u8> {
        [self.key.as_slice(), &self.at.0.to_le_bytes()].concat()
    }

    pub(super) fn read(place: &[u8], row: &[u8]) -> Result<Self, Malformed> {
        let (mut at, mut r) = (Reader(place), Reader(row));
        let place = Place { dh: at.take()?, number: u32::from_be_bytes(at.take()?) };
        let kept = Self { place, key: r.take()?, at: WallTime(u64::from_le_bytes(r.take()?)) };
        if at.0.is_empty() && r.0.is_empty() { Ok(kept) } else { Err(Malformed) }
    }
}

/// The kept keys of one session, oldest first.
#[derive(Default)]
pub(super) struct KeptKeys(Vec<Kept>);

impl KeptKeys {
    pub(super) fn restore(mut keys: Vec<Kept>) -> Self {
        keys.sort_by_key(|kept| kept.at);
        Self(keys)
    }

    pub(super) fn find(&self, place: Place) -> Option<&Kept> {
        self.0.iter().rev().find(|kept| kept.place == place)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds what a message skipped and takes out what is used, too much or over. Gives the places that went.
    pub(super) fn change(&mut self, used: Option<Place>, fresh: Vec<Kept>, wall: WallTime) -> Vec<Place> {
        let mut gone = Vec::new();
        self.0.extend(fresh);
        let mut chains: Vec<[u8; 8]> = Vec::new();
        let surplus = self.0.len().saturating_sub(MAX_KEPT);
        // The newest chains first.
        for kept in self.0.iter().rev() {
            if !chains.contains(&kept.place.dh) {
                chains.push(kept.place.dh);
            }
        }
        chains.truncate(MAX_CHAINS);
        let mut at = 0usize;
        self.0.retain(|kept| {
            let older = at < surplus;
            at = at.saturating_add(1);
            let over = wall.0.saturating_sub(kept.at.0) >= MAX_AGE;
            let stays = !older && !over && used != Some(kept.place) && chains.contains(&kept.place.dh);
            if !stays {
                gone.push(kept.place);
            }
            stays
        });
        gone
    }

    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        self.0.iter().map(|kept| kept.place)
    }
}
