//! Handing jobs to the node's thread.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::Job;
use super::alarm::Alarm;

/// What a thread needs to hand a job to it.
pub(super) struct Submitter {
    pub(super) jobs: SyncSender<Job>,
    pub(super) alarm: Arc<Alarm>,
}

impl Submitter {
    pub(super) fn submit(&self, job: Job) {
        if self.jobs.send(job).is_ok() {
            let _ = self.alarm.ring();
        }
    }

    /// Never blocks; whether there was room.
    pub(super) fn try_submit(&self, job: Job) -> bool {
        let taken = self.jobs.try_send(job).is_ok();
        if taken {
            let _ = self.alarm.ring();
        }
        taken
    }
}
