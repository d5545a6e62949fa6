//! What became of a job's webhooks, from what the delivery service leaves behind.
//!
//! It writes an entry before it lets go of a result, unless every webhook took the outcome at the first try. So where
//! there is no entry, an event tells of the delivery; and where that is lost, the result itself does by being gone.
//! Invariant: nothing shows as delivered that is not.

use futures_util::future::join_all;
use serde::Serialize;
use sluice_shared::clock::Millis;
use sluice_shared::domain::delivery::{Deliveries, WebhookState};
use sluice_shared::domain::event::{About, Event, What};
use sluice_shared::domain::id::JobId;
use sluice_shared::domain::record::Record;
use sluice_shared::effects::Effects;

use super::Jobs;
use super::read::within;

/// What became of a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum WebhookStatus {
    /// The job has not ended, or the first try is to be made or under way.
    Pending,
    /// It took the outcome.
    Delivered {
        /// When, milliseconds since the epoch, where that is still known.
        #[serde(skip_serializing_if = "Option::is_none")]
        at: Option<Millis>,
        /// At which try, from 1.
        attempt: u32,
    },
    /// It did not take the outcome and is tried again.
    Waiting {
        /// The try that is to be made, from 1.
        attempt: u32,
        /// When, milliseconds since the epoch.
        next_at: Millis,
        /// Why the last try failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        last_error: Option<String>,
    },
    /// It was given up and is a dead letter.
    Dead {
        /// Why.
        reason: String,
        /// When, milliseconds since the epoch.
        at: Millis,
        /// At which try.
        attempt: u32,
    },
}

impl Jobs {
    /// What became of each webhook of a job. What cannot be read in time counts as pending.
    pub(super) async fn webhooks(&self, job: &JobId, record: &Record) -> Vec<WebhookStatus> {
        if record.outcome.is_none() || record.webhooks.is_empty() {
            return Vec::new();
        }
        match self.entry(job, record).await {
            Some(Some(entry)) => entry,
            Some(None) => self.without_entry(job, record).await,
            None => Vec::new(),
        }
    }

    /// What the entry says; no entry, or no answer in time.
    async fn entry(&self, job: &JobId, record: &Record) -> Option<Option<Vec<WebhookStatus>>> {
        let nats = self.effects().nats();
        let bucket = nats.bucket::<Deliveries>(&nats.topology().deliveries_bucket());
        let entry = within(bucket.get(&Deliveries::key(job, &record.incarnation))).await?;
        Some(entry.map(|entry| entry.value.webhooks.iter().map(WebhookStatus::from).collect()))
    }

    async fn without_entry(&self, job: &JobId, record: &Record) -> Vec<WebhookStatus> {
        let newest = (0..record.webhooks.len()).map(|n| self.newest_event(job, record, About::Webhook(n)));
        let newest = join_all(newest).await;
        let untold = newest.iter().any(Option::is_none);
        let handled = untold && self.result_is_handled(job, record).await;
        if handled {
            // What was not delivered was written down before the result was let go, maybe since the first look.
            match self.entry(job, record).await {
                Some(Some(entry)) => return entry,
                Some(None) => {}
                None => return Vec::new(),
            }
        }
        newest.iter().map(|event| WebhookStatus::told_by(event.as_ref(), handled)).collect()
    }

    /// Whether the delivery service has let go of the result. The winner's message stays until the result is stored, so
    /// the two are looked for in this order.
    async fn result_is_handled(&self, job: &JobId, record: &Record) -> bool {
        let (nats, topology) = (self.effects().nats(), self.effects().nats().topology());
        let winner = record.outcome.as_ref().and_then(|outcome| Effects::address(job, record, outcome.winner));
        let Some(winner) = winner else { return false };
        let (stream, subject) = (topology.jobs_stream(winner.shard), winner.any_stage(nats.prefix()));
        if !matches!(within(nats.newest(&stream, &subject)).await, Some(None)) {
            return false;
        }
        let result = topology.result(&record.tenant, job);
        matches!(within(nats.newest(&topology.results_stream(), &result)).await, Some(None))
    }
}

impl WebhookStatus {
    /// What the newest event says; without one, a result that the delivery service has let go of without leaving an
    /// entry was delivered at the first try.
    fn told_by(event: Option<&Event>, handled: bool) -> Self {
        match event {
            Some(Event { at, what: What::Delivered { attempt, .. } }) => {
                Self::Delivered { at: Some(*at), attempt: *attempt }
            }
            None if handled => Self::Delivered { at: None, attempt: 1 },
            Some(_) | None => Self::Pending,
        }
    }
}

impl From<&WebhookState> for WebhookStatus {
    fn from(state: &WebhookState) -> Self {
        match state.clone() {
            WebhookState::Untried => Self::Pending,
            WebhookState::Delivered { at, attempt } => Self::Delivered { at: Some(at), attempt },
            WebhookState::Waiting { attempt, next_at, last_error } => Self::Waiting { attempt, next_at, last_error },
            WebhookState::Dead { reason, at, attempt } => Self::Dead { reason, at, attempt },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(what: What) -> Event {
        Event { at: Millis(7), what }
    }

    #[test]
    fn only_a_told_delivery_or_a_result_that_is_gone_counts_as_delivered() {
        let delivered = event(What::Delivered { webhook: 0, attempt: 1 });
        let failed = event(What::Undelivered { webhook: 0, attempt: 1, again_at: None });
        let told = WebhookStatus::told_by;
        assert_eq!(told(Some(&delivered), false), WebhookStatus::Delivered { at: Some(Millis(7)), attempt: 1 });
        assert_eq!(told(Some(&failed), true), WebhookStatus::Pending);
        assert_eq!(told(None, false), WebhookStatus::Pending);
        assert_eq!(told(None, true), WebhookStatus::Delivered { at: None, attempt: 1 });
    }
}
