//! A queue that grew in a burst gives the memory back.

use alloc::collections::VecDeque;

/// Places that an empty queue keeps.
const IDLE: usize = 8;

/// Gives half of an empty queue's memory back if less than a quarter of it was used since it was last empty. A node under
/// load keeps what it needs, and one that had a burst lets it go within a few steps.
pub(crate) fn release_burst<T>(queue: &mut VecDeque<T>, used: usize) {
    let places = queue.capacity();
    if places > IDLE && used < places / 4 {
        queue.shrink_to(places / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breaks if memory is given back at once, or never.
    #[test]
    fn a_burst_goes_in_steps_and_what_is_used_stays() {
        let mut queue: VecDeque<u64> = VecDeque::with_capacity(512);
        release_burst(&mut queue, 128);
        assert!(queue.capacity() >= 512);
        release_burst(&mut queue, 1);
        assert!((256..512).contains(&queue.capacity()));
        (0..10).for_each(|_| release_burst(&mut queue, 1));
        assert!((4..=IDLE).contains(&queue.capacity()));
    }
}
