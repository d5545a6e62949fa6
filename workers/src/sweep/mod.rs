//! The sweep: slow, one at a time, it puts right what a death or a full disk left undone.
//!
//! Five passes: over the queues for overdue timers and queues that ended, over the records for branches and signals without
//! a message, over the request bodies for those that nobody needs, over waiting webhooks for overdue timers, over all streams
//! for messages that are done and still there. Every publish is guarded, so it is harmless beside whoever is at work on the
//! same job.

mod acked;
mod bodies;
mod cursor;
mod deliveries;
mod deserted;
mod lease;
pub mod needs;
mod queues;
mod records;
mod round;
mod walk;

use std::time::Duration;

use sluice_shared::effects::Effects;
use sluice_shared::panics::caught;
use sluice_shared::telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use lease::Lease;
use round::Round;

/// How many records of a bucket one round looks at, at most.
pub const A_ROUND: usize = cursor::MOST;

/// How the sweep goes about it.
#[derive(Clone, Debug)]
pub struct SweepOptions {
    /// The time between two rounds, and between two tries for the lease.
    pub interval: Duration,
    /// How late a timer is before it is published again.
    pub overdue_after: Duration,
    /// How old a pending record is before it is looked at.
    pub pending_after: Duration,
    /// How old a body without a record is before it counts as left behind.
    pub orphan_after: Duration,
    /// How long a queue is marked before it is removed.
    pub closing_wait: Duration,
    /// The pause between two looks at the broker.
    pub pause: Duration,
    /// How old a job may be when its turn comes.
    pub max_age: Duration,
}

impl Default for SweepOptions {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self {
            interval: Duration::from_secs(30),
            overdue_after: minute,
            pending_after: minute,
            orphan_after: 10 * minute,
            closing_wait: minute,
            pause: Duration::from_millis(4),
            max_age: 7 * 24 * 60 * minute,
        }
    }
}

/// What sweeps.
pub struct Sweep {
    effects: Effects,
    options: SweepOptions,
    metrics: Metrics,
    lease: Lease,
}

/// Sweeps round after round while the lease is ours, until told to stop.
pub async fn run(effects: Effects, options: SweepOptions, metrics: Metrics, shutdown: CancellationToken) {
    let (sweep, interval) = (Sweep::new(effects, options.clone(), metrics), options.interval);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = sweep.round() => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(interval) => {}
        }
    }
    sweep.lease.release().await;
}

impl Sweep {
    /// One that has not begun.
    #[must_use]
    pub fn new(effects: Effects, options: SweepOptions, metrics: Metrics) -> Self {
        let lease = Lease::new(effects.nats());
        Self { effects, options, metrics, lease }
    }

    /// One round, if the lease is ours or free; whether it came to its end. Dropped on the way, it has done a part of it.
    pub async fn round(&self) -> bool {
        match self.lease.hold().await {
            Ok(true) => {}
            Ok(false) => return false,
            Err(error) => {
                tracing::debug!(%error, "the sweep's lease could not be read");
                return false;
            }
        }
        let Self { effects, options, metrics, lease } = self;
        let mut round = Round { effects, options, metrics, lease, renewed: tokio::time::Instant::now() };
        match caught(Box::pin(round.run())).await {
            Ok(Ok(())) => return true,
            Ok(Err(stopped)) => tracing::warn!(%stopped, "a sweep's round stopped early"),
            Err(panicked) => tracing::error!(%panicked, "a sweep's round broke down; the next one goes on"),
        }
        false
    }
}
