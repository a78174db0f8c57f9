//! The epochs of one group that this node holds (docs/design/groups-keys.md §4.4).

use alloc::vec::Vec;

use crate::group::keys::chain::MAX_AGE;
use crate::group::keys::epoch::Epoch;
use crate::group::keys::schedule::Tags;
use crate::time::WallTime;

/// Epochs of one group. Six an hour may be made that remove no member, and a member that was away meets those of one hour.
const MAX_EPOCHS: usize = 6;
/// An hour: what was said in an epoch before its successor was known is all here, and no later epoch follows from it.
const NEXT_AGE: u64 = 3_600_000;

/// The epochs of one group, in the order in which they were added.
#[derive(Default)]
pub(crate) struct Epochs(Vec<Epoch>);

impl Epochs {
    /// Epochs that were stored, without order.
    pub(crate) fn restore(mut epochs: Vec<Epoch>) -> Self {
        epochs.sort_by_key(|epoch| epoch.made);
        Self(epochs)
    }

    /// Adds an epoch and gives back the one that has to go: of more than six the one that was superseded first; if none
    /// was, the one added first. Nothing changes if it is held already. [`Epochs::send_in`] follows, so that one which
    /// came late counts as superseded.
    pub(crate) fn add(&mut self, epoch: Epoch) -> Option<Epoch> {
        if self.find(&epoch.tags()).is_some() {
            return None;
        }
        self.0.push(epoch);
        if self.0.len() <= MAX_EPOCHS {
            return None;
        }
        let at = |epoch: &Epoch| epoch.superseded.map_or(u64::MAX, |at| at.0);
        let before = self.0.len().saturating_sub(1);
        let (oldest, _) = self.0.iter().take(before).enumerate().min_by_key(|(_, epoch)| at(epoch))?;
        Some(self.0.remove(oldest))
    }

    /// The epoch of a message.
    pub(crate) fn find(&self, tags: &Tags) -> Option<&Epoch> {
        self.0.iter().find(|epoch| epoch.tags == *tags)
    }

    pub(crate) fn find_mut(&mut self, tags: &Tags) -> Option<&mut Epoch> {
        self.0.iter_mut().find(|epoch| epoch.tags == *tags)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Epoch> {
        self.0.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Epoch> {
        self.0.iter_mut()
    }

    /// From now on this node sends in this epoch: all others are superseded. Nothing changes if it is not held.
    pub(crate) fn send_in(&mut self, tags: &Tags, wall: WallTime) {
        if self.find(tags).is_none() {
            return;
        }
        for epoch in &mut self.0 {
            let since = if epoch.tags == *tags { None } else { epoch.superseded.or(Some(wall)) };
            epoch.dirty.meta |= epoch.superseded != since;
            epoch.superseded = since;
        }
    }

    /// This node is no member any more: all of them are over.
    pub(crate) fn end(&mut self, wall: WallTime) {
        for epoch in self.0.iter_mut().filter(|epoch| epoch.superseded.is_none()) {
            epoch.superseded = Some(wall);
            epoch.dirty.meta = true;
        }
    }

    /// Wipes what is over and gives back the epochs that go: 7 days after they were superseded, with the secret that was
    /// kept for others. `next` goes after an hour.
    pub(crate) fn expire(&mut self, wall: WallTime) -> Vec<Epoch> {
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        for mut epoch in self.0.drain(..) {
            let age = epoch.superseded.map_or(0, |at| wall.0.saturating_sub(at.0));
            if age >= MAX_AGE {
                gone.push(epoch);
                continue;
            }
            if age >= NEXT_AGE {
                epoch.forget_next();
            }
            epoch.expire(wall);
            kept.push(epoch);
        }
        self.0 = kept;
        gone
    }

    /// How many epochs who steals this device now would open.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// How many of them from their first message, as their secrets are still kept for others.
    #[cfg(test)]
    pub(crate) fn count_whole(&self) -> usize {
        self.0.iter().filter(|epoch| epoch.hand_on.is_some()).count()
    }
}
