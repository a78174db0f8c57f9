//! Running the machines until there is nothing left to do.

use crate::engine::Engine;
use crate::engine::machines::COUNT;
use crate::engine::slot::At;
use crate::time::Instant;

impl Engine {
    /// Time does not go back; a host whose clock does is late, not wrong.
    pub(super) fn advance(&mut self, now: Instant) -> At {
        self.now = self.now.max(now);
        At { now: self.now, wall: self.wall.at(self.now), me: self.me }
    }

    /// Processes work first come, first served, up to the step budget; what is left keeps
    /// `next_deadline` in the present.
    pub(super) fn pump(&mut self, now: Instant) {
        let at = self.advance(now);
        // A message may pass every machine once, however many there are.
        let whole = self.config.limits.messages_per_call.saturating_mul(COUNT);
        let mut budget = whole;
        loop {
            while let Some(work) = self.q.next_work(budget) {
                budget = budget.saturating_sub(1);
                self.machines.step(at, work, &mut self.q);
            }
            // Effects that wait for nothing may bring more work.
            for effect in self.q.seal() {
                effect.release(&mut self.q);
            }
            if self.q.is_idle() || budget == 0 {
                break;
            }
        }
        if self.q.is_idle() {
            self.q.worked_off(whole.saturating_sub(budget));
        }
        self.q.refill();
    }
}
