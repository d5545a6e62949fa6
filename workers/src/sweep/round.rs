//! One round: queues, records, bodies, webhooks, streams. Looks slowly, publishes only by the guarded way, stops at any request.

use std::time::Duration;

use sluice_shared::effects::{Effects, NotDone, Unfinished};
use sluice_shared::nats::bucket::BucketError;
use sluice_shared::nats::guarded::NotMoved;
use sluice_shared::nats::publish::PublishError;
use sluice_shared::nats::read::ReadError;
use sluice_shared::telemetry::Metrics;

use super::SweepOptions;
use super::lease::Lease;
use super::walk::Walk;

/// Why a round stopped. The next one looks at everything again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stopped {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error(transparent)]
    NotMoved(#[from] NotMoved),
    #[error(transparent)]
    NotDone(#[from] NotDone),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Unfinished(#[from] Unfinished),
    #[error("the broker refused: {0}")]
    Refused(String),
    #[error("another sweep holds the lease")]
    NotOurs,
}

pub(super) struct Round<'a> {
    pub(super) effects: &'a Effects,
    pub(super) options: &'a SweepOptions,
    pub(super) metrics: &'a Metrics,
    pub(super) lease: &'a Lease,
    pub(super) renewed: tokio::time::Instant,
}

impl Round<'_> {
    pub(super) async fn run(&mut self) -> Result<(), Stopped> {
        for (name, entry) in self.effects.queues().all() {
            let looked = self.timers(&name, &entry.value).await;
            go_on(looked)?;
            let looked = self.acked_work(&name, &entry.value).await;
            go_on(looked)?;
            let looked = self.life(&name, &entry.value).await;
            go_on(looked)?;
        }
        let topology = self.effects.nats().topology();
        for number in 0..topology.settings().record_buckets {
            let looked = self.walk(Walk::Records, &topology.records_bucket(number)).await;
            go_on(looked)?;
        }
        let looked = self.walk(Walk::Bodies, &topology.bodies_bucket()).await;
        go_on(looked)?;
        let looked = self.deliveries().await;
        go_on(looked)?;
        let looked = self.acked_by_the_fixed().await;
        go_on(looked)
    }

    /// Spreads requests over time, and keeps the lease alive.
    pub(super) async fn pace(&mut self) -> Result<(), Stopped> {
        tokio::time::sleep(self.options.pause).await;
        if self.renewed.elapsed() > Duration::from_secs(10) {
            if !self.lease.hold().await? {
                return Err(Stopped::NotOurs);
            }
            self.renewed = tokio::time::Instant::now();
        }
        Ok(())
    }
}

/// What one queue or record refuses must not keep the others from being looked at.
pub(super) fn go_on(done: Result<(), Stopped>) -> Result<(), Stopped> {
    match done {
        Err(Stopped::NotOurs) => Err(Stopped::NotOurs),
        Err(error) => {
            tracing::warn!(%error, "the sweep passes something over until its next round");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
