//! A webhook that was given up, or was taken, is posted again because somebody wants it: under its id, from its first try.
//!
//! First the state steps back, then the timer is published: whoever dies between the two leaves a state that waits, and the
//! same call again publishes its timer. A timer that is there already is refused, which is as good. Nothing is done for a
//! webhook whose first try is to come: its result is in the stream still.

use std::time::Duration;

use super::Effects;
use crate::clock;
use crate::domain::delivery::{Deliveries, Delivery, SOONEST, WebhookState};
use crate::domain::result::JobResult;
use crate::nats::bucket::{Bucket, BucketError, Written};
use crate::nats::guarded::NotMoved;
use crate::nats::read::ReadError;

/// How often a write that was lost or not answered is tried again.
const TRIES: u32 = 12;

/// The webhook may not be posted again: repeat it.
#[derive(Debug, thiserror::Error)]
pub enum NotPostedAnew {
    /// Its job has no such webhook.
    #[error("the job has no webhook of this number")]
    NoSuchWebhook,
    /// Its state could not be read or written.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// Whether its result is on its way could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its timer may not be stored.
    #[error(transparent)]
    NotMoved(#[from] NotMoved),
    /// Others change its state at every try, or nobody answers.
    #[error("the state of the webhooks is written by others all the time, or nobody answers")]
    Contended,
}

impl Effects {
    /// Has a webhook posted again, soon.
    ///
    /// # Errors
    /// Where it may not be so.
    pub async fn post_anew(&self, result: &JobResult, webhook: usize) -> Result<(), NotPostedAnew> {
        let number = u16::try_from(webhook).map_err(|_| NotPostedAnew::NoSuchWebhook)?;
        if webhook >= result.webhooks.len() {
            return Err(NotPostedAnew::NoSuchWebhook);
        }
        if !self.step_back(result, webhook).await? {
            return Ok(());
        }
        let result = JobResult { follow_up: None, ..result.clone() };
        let delivery = Delivery { result, webhook: number, attempt: 1, postponed: 0 };
        self.nats.deliver_later(&delivery, clock::now().after(SOONEST), 0).await?;
        Ok(())
    }

    /// Writes the state in which it waits for its first try. Whether a timer is to be published then.
    async fn step_back(&self, result: &JobResult, webhook: usize) -> Result<bool, NotPostedAnew> {
        let bucket: Bucket<Deliveries> = self.nats.bucket(&self.nats.topology().deliveries_bucket());
        let key = Deliveries::key(&result.job, &result.incarnation);
        for again in 0..TRIES {
            let there = bucket.get(&key).await?;
            let (state, revision) =
                there.map_or_else(|| (Deliveries::untried(result), 0), |entry| (entry.value, entry.revision));
            let untried = matches!(state.of(webhook), WebhookState::Untried);
            let to_come = untried && self.held_result(result).await?.is_some();
            let now = clock::now();
            let next = state.posted_anew(webhook, result, to_come, now);
            if next == state {
                return Ok(!to_come);
            }
            let ttl = next.kept_for(now, self.settled_ttl);
            match bucket.swap_for(&key, &next, revision, ttl).await? {
                Written::At(_) => return Ok(true),
                Written::Changed | Written::Unknown => {
                    tokio::time::sleep(Duration::from_millis(5 << again.min(6))).await
                }
            }
        }
        Err(NotPostedAnew::Contended)
    }
}
