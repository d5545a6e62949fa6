//! What the handling of a message takes of the world, so that a simulated world can be put in the place of the broker.

use std::time::Duration;

use super::{Effects, NotDone, Untold};
use crate::clock::{self, Millis};
use crate::domain::demand::Demand;
use crate::domain::id::JobId;
use crate::domain::record::Record;
use crate::nats::bucket::Written;
use crate::nats::publish::PublishError;
use crate::nats::read::ReadError;
use crate::nats::records::Found;

/// The broker and the clock as [`handle`](super::handle()) sees them.
pub trait Carrier {
    /// The time.
    fn now(&self) -> Millis;

    /// After what time a record that is not there was forgotten, not lost.
    fn settled_ttl(&self) -> Duration;

    /// Reads a record from the leader.
    fn read(&self, job: &JobId) -> impl Future<Output = Result<Found, ReadError>>;

    /// Swaps `next` in for `old`.
    fn swap(
        &self,
        job: &JobId,
        old: &Record,
        next: &Record,
        revision: u64,
        now: Millis,
    ) -> impl Future<Output = Result<Written, PublishError>>;

    /// Does what the record demands. `in_hand` is the sequence of the message in hand, 0 where there is none.
    fn perform(
        &self,
        job: &JobId,
        record: &Record,
        demands: &[Demand],
        in_hand: u64,
    ) -> impl Future<Output = Result<(), NotDone>>;

    /// Waits before a swap that did not hold is decided again.
    fn pause(&self, again: u32) -> impl Future<Output = ()>;
}

/// The broker, for whoever has something untold.
pub(super) struct Telling<'a> {
    pub(super) effects: &'a Effects,
    pub(super) untold: &'a Untold,
}

impl Carrier for Telling<'_> {
    fn now(&self) -> Millis {
        clock::now()
    }

    fn settled_ttl(&self) -> Duration {
        self.effects.settled_ttl
    }

    async fn read(&self, job: &JobId) -> Result<Found, ReadError> {
        self.effects.records.read(job).await
    }

    async fn swap(
        &self,
        job: &JobId,
        old: &Record,
        next: &Record,
        revision: u64,
        now: Millis,
    ) -> Result<Written, PublishError> {
        self.effects.swap(job, old, next, revision, now, self.untold).await
    }

    async fn perform(&self, job: &JobId, record: &Record, demands: &[Demand], in_hand: u64) -> Result<(), NotDone> {
        self.effects.perform(job, record, demands, in_hand).await
    }

    async fn pause(&self, again: u32) {
        if again > 0 {
            tokio::time::sleep(Duration::from_millis(rand::random_range(1..=(2_u64 << again.min(7))))).await;
        }
    }
}
