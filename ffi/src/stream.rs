//! Events, pulled.

use std::sync::Arc;
use std::time::Duration;

use crate::Event;

/// The most events that one call takes.
const MOST: u32 = 4_096;

/// One reader's view of a node's events: durable ones from the oldest that was not acknowledged,
/// volatile ones from the moment it was made. Several readers do not disturb one another. Dropping it
/// ends it.
///
/// Durable events are never lost. Volatile ones are kept up to 1,024; then the oldest go and one
/// `Lagged` says how many.
#[derive(uniffi::Object)]
pub struct EventStream(donp_runtime::EventStream);

impl EventStream {
    pub(crate) fn new(stream: donp_runtime::EventStream) -> Arc<Self> {
        Arc::new(Self(stream))
    }
}

#[uniffi::export]
impl EventStream {
    /// Up to `max` events (4,096 at most), without waiting.
    pub fn take(&self, max: u32) -> Vec<Event> {
        self.0.take(max.min(MOST) as usize).into_iter().map(Event::of).collect()
    }

    /// Waits until `take` has something (true) or nothing will come any more (false). Takes nothing
    /// itself: a wait that is given up loses nothing.
    pub async fn ready(&self) -> bool {
        self.0.ready().await
    }

    /// As `ready`, blocking the thread for at most `timeout_ms`; also false when that is over.
    pub fn wait(&self, timeout_ms: u64) -> bool {
        self.0.wait(Duration::from_millis(timeout_ms))
    }

    /// Ends every wait, at once and from now on. What had come can still be taken.
    pub fn shutdown(&self) {
        self.0.shutdown();
    }

    /// Whether everything was taken and nothing will come any more.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}
