//! Shows that this worker's region has a worker: before it pulls anything, then for as long as it begins anything.
//!
//! It is not taken back when the worker stops, for others of the region may be there: it runs out.

use std::time::Duration;

use sluice_shared::domain::id::Region;
use sluice_shared::effects::Effects;
use tokio_util::sync::CancellationToken;

/// How soon it is tried again where the broker did not take it.
const AGAIN: Duration = Duration::from_millis(500);

/// A region that is kept alive.
pub(crate) struct Presence {
    pub(crate) effects: Effects,
    pub(crate) region: Region,
    /// How long one sign of it counts.
    pub(crate) alive: Duration,
    pub(crate) stop: CancellationToken,
}

impl Presence {
    /// Keeps it alive until told to stop.
    pub(crate) async fn run(self) {
        let mut connections = self.effects.nats().connections();
        loop {
            connections.mark_unchanged();
            let pause = match self.effects.queues().regions().keep(&self.region, self.alive).await {
                // The workers of a region come at different times, or all of them would find the same time left.
                Ok(()) => (self.alive / 4).mul_f64(rand::random_range(0.5..1.0)),
                Err(error) => {
                    tracing::warn!(region = %self.region, %error, "the region could not be shown to be alive, trying again");
                    AGAIN
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                // After an outage its time may be over.
                _ = connections.changed() => {}
            }
        }
    }
}
