//! What is remembered of a job's webhooks: read where there may be something, written by compare-and-swap.
//!
//! Invariant: what a try made of a webhook is written before its message is let go of, whoever else writes about the job's
//! other webhooks meanwhile. So whoever gets the message again, or a copy of the result, finds what was done: the broker
//! recognises copies only for some minutes, and forgets even that when it is restarted.

use std::time::Duration;

use sluice_shared::clock;
use sluice_shared::domain::delivery::{Deliveries, Schedule};
use sluice_shared::domain::result::JobResult;
use sluice_shared::effects::AGAIN;
use sluice_shared::nats::Nats;
use sluice_shared::nats::ack::InHand;
use sluice_shared::nats::bucket::{Bucket, BucketError, Written};
use sluice_shared::nats::publish::PublishError;

use super::hand::Made;

/// How often a write that was lost or not answered is tried again.
const TRIES: u32 = 12;
/// The state of a job's webhooks, and the revision that a swap compares (0: there is no entry).
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) state: Deliveries,
    revision: u64,
    remembered: bool,
}

/// Nobody knows whether it is remembered: the message comes again, and with it what must be remembered.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotRemembered {
    #[error(transparent)]
    Bucket(#[from] BucketError),
    #[error("the state of the webhooks is written by others all the time, or nobody answers")]
    Contended,
}

/// The bucket of deliveries, and how its entries change.
pub(super) struct Memory {
    bucket: Bucket<Deliveries>,
    schedule: Schedule,
    settled_ttl: Duration,
}

/// Whether a result may have been handled before, so that what is remembered must be read.
///
/// Reading costs about as much as the ack, so it is left out where it cannot find anything: the first time that a message
/// is handed out, unless whoever published it may not have been the first to do so, or it was on its way for long. Should this be wrong, it costs a second
/// post under the same id; the state is safe even then: a swap that expects no entry where there is one is refused, and
/// what is there is read.
pub(super) fn may_be_known(message: &InHand, result: &JobResult) -> bool {
    !message.is_first() || message.header(AGAIN).is_some() || result.is_late(message.published())
}

impl Known {
    /// Nothing is remembered.
    pub(super) fn nothing(result: &JobResult) -> Self {
        Self { state: Deliveries::untried(result), revision: 0, remembered: false }
    }

    /// Whether the bucket holds the state: not where there was nothing to write, or no room.
    pub(super) fn is_remembered(&self) -> bool {
        self.remembered
    }

    /// The state after these tries.
    fn after(&self, made: &[Made], result: &JobResult, schedule: &Schedule) -> Deliveries {
        self.state.after(made.iter().map(|made| (made.webhook, &made.one)), result, schedule)
    }
}

impl Memory {
    pub(super) fn new(nats: &Nats, schedule: Schedule, settled_ttl: Duration) -> Self {
        Self { bucket: nats.bucket(&nats.topology().deliveries_bucket()), schedule, settled_ttl }
    }

    /// What is remembered, read from the leader.
    pub(super) async fn read(&self, result: &JobResult) -> Result<Known, NotRemembered> {
        let entry = self.bucket.get(&Deliveries::key(&result.job, &result.incarnation)).await?;
        Ok(match entry {
            Some(entry) => Known { state: entry.value, revision: entry.revision, remembered: true },
            None => Known::nothing(result),
        })
    }

    /// Remembers what the tries made of the webhooks, and says what is known of them now.
    pub(super) async fn remember(
        &self,
        result: &JobResult,
        mut known: Known,
        made: &[Made],
    ) -> Result<Known, NotRemembered> {
        let key = Deliveries::key(&result.job, &result.incarnation);
        for again in 0..TRIES {
            let next = known.after(made, result, &self.schedule);
            if next == known.state {
                return Ok(known);
            }
            let ttl = next.kept_for(clock::now(), self.settled_ttl);
            let written = match self.bucket.swap_for(&key, &next, known.revision, ttl).await {
                // Letting go makes room, and nothing more is asked for. Only a copy of the result would be posted again.
                Err(BucketError::Refused(PublishError::NoRoom(_))) if next.is_delivered() => {
                    tracing::debug!("a delivered webhook is not remembered: the broker has no room");
                    return Ok(Known { state: next, remembered: false, ..known });
                }
                written => written?,
            };
            match written {
                Written::At(revision) => return Ok(Known { state: next, revision, remembered: true }),
                Written::Changed | Written::Unknown => pause(again).await,
            }
            // Lost or unanswered: the same tries again on what is there now. Applied twice they are the same as once.
            known = self.read(result).await?;
        }
        Err(NotRemembered::Contended)
    }
}

/// Several of a job's webhooks may be due at once.
async fn pause(again: u32) {
    tokio::time::sleep(Duration::from_millis(rand::random_range(1..=4 << again.min(7)))).await;
}
