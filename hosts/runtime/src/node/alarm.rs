//! Waking a node's thread: with a system call only while it sleeps.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use donp_core::{Duration, Instant};
use mio::{Registry, Token, Waker};

/// The token of the alarm; sockets have the numbers from zero.
const WAKER: Token = Token(usize::MAX);
/// An acknowledgement that may wait is on its way to the disk within this: a tenth of a second.
pub(super) const ACK_WITHIN: Duration = Duration::from_millis(100);

/// Shared between a node's thread and those that want something of it.
pub(super) struct Alarm {
    waker: Waker,
    asleep: AtomicBool,
    /// When the thread wakes up by itself, in microseconds of its clock.
    until: AtomicU64,
    /// Events up to this number were handled by the application.
    acked: AtomicU64,
}

impl Alarm {
    pub(super) fn new(registry: &Registry) -> io::Result<Self> {
        let waker = Waker::new(registry, WAKER)?;
        Ok(Self { waker, asleep: AtomicBool::new(false), until: AtomicU64::new(0), acked: AtomicU64::new(0) })
    }

    /// The thread is about to sleep: it looks for work once more after this, and then sleeps.
    pub(super) fn asleep(&self, until: Instant) {
        self.until.store(until.as_micros(), Ordering::SeqCst);
        self.asleep.store(true, Ordering::SeqCst);
        // With the one in `ring`: either the thread sees the work, or the one who brought it sees that it sleeps.
        fence(Ordering::SeqCst);
    }

    /// The thread looks for work anyway.
    pub(super) fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// There is work for the thread.
    pub(super) fn ring(&self) -> io::Result<()> {
        fence(Ordering::SeqCst);
        // Only the first of many rings.
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            self.waker.wake()?;
        }
        Ok(())
    }

    /// Events up to `seq` were handled: a thread that wakes up soon takes it along.
    pub(super) fn ack(&self, seq: u64, now: Instant) -> io::Result<()> {
        self.acked.fetch_max(seq, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if self.until.load(Ordering::SeqCst) > (now + ACK_WITHIN).as_micros() {
            self.ring()?;
        }
        Ok(())
    }

    pub(super) fn acked(&self) -> u64 {
        self.acked.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    /// Whether the poll was woken.
    fn woken(poll: &mut mio::Poll, wait: std::time::Duration) -> bool {
        let mut events = mio::Events::with_capacity(4);
        poll.poll(&mut events, Some(wait)).unwrap();
        events.iter().any(|e| e.token() == WAKER)
    }

    const NOW: std::time::Duration = std::time::Duration::ZERO;

    #[test]
    fn a_thread_that_is_awake_is_not_woken() {
        let mut poll = mio::Poll::new().unwrap();
        let alarm = Alarm::new(poll.registry()).unwrap();
        alarm.ring().unwrap();
        assert!(!woken(&mut poll, NOW));
        alarm.asleep(Instant::from_micros(5));
        alarm.ring().unwrap();
        alarm.ring().unwrap();
        assert!(woken(&mut poll, NOW));
        alarm.asleep(Instant::from_micros(5));
        alarm.awake();
        alarm.ring().unwrap();
        assert!(!woken(&mut poll, NOW));
    }

    #[test]
    fn an_acknowledgement_wakes_a_thread_that_sleeps_long() {
        let mut poll = mio::Poll::new().unwrap();
        let alarm = Alarm::new(poll.registry()).unwrap();
        let now = Instant::from_micros(1_000_000);
        alarm.asleep(now + ACK_WITHIN);
        alarm.ack(7, now).unwrap();
        assert!(!woken(&mut poll, NOW), "it wakes up soon by itself");
        alarm.asleep(now + ACK_WITHIN + Duration::from_millis(1));
        alarm.ack(5, now).unwrap();
        assert!(woken(&mut poll, NOW));
        assert_eq!(alarm.acked(), 7, "the highest counts");
    }

    #[test]
    fn no_work_is_slept_through() {
        let mut poll = mio::Poll::new().unwrap();
        let alarm = Arc::new(Alarm::new(poll.registry()).unwrap());
        let (jobs, queue) = channel();
        const JOBS: usize = 20_000;
        let bell = Arc::clone(&alarm);
        let brings = std::thread::spawn(move || {
            for n in 0..JOBS {
                jobs.send(n).unwrap();
                bell.ring().unwrap();
            }
        });
        let (mut done, mut late) = (0, 0);
        while done < JOBS {
            alarm.asleep(Instant::from_micros(u64::MAX));
            if let Ok(n) = queue.try_recv() {
                assert_eq!(n, done);
                done += 1;
            } else {
                // No alarm for what was seen in time; a lost wake-up would last as long as this.
                late += usize::from(!woken(&mut poll, std::time::Duration::from_secs(5)));
            }
            alarm.awake();
            while queue.try_recv().is_ok() {
                done += 1;
            }
        }
        brings.join().unwrap();
        assert_eq!(late, 0);
    }
}
