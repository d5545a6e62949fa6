//! What became of a job's webhooks, from what the delivery service leaves behind.
//!
//! It writes an entry before it lets go of a result. Invariant: nothing shows as delivered that is not.

use schemars::JsonSchema;
use serde::Serialize;
use sluice_shared::clock::Millis;
use sluice_shared::domain::delivery::{Deliveries, WebhookState};
use sluice_shared::domain::id::JobId;
use sluice_shared::domain::record::Record;

use super::Jobs;
use super::read::within;

/// What became of a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum WebhookStatus {
    /// The job has not ended, or the first try is to be made or under way.
    Pending,
    /// It took the outcome.
    Delivered {
        /// When, milliseconds since the epoch.
        at: Millis,
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
    /// What became of each webhook of a job; nothing where none was tried. What cannot be read in time counts as untried.
    pub(super) async fn webhooks(&self, job: &JobId, record: &Record) -> Vec<WebhookState> {
        if record.outcome.is_none() || record.webhooks.is_empty() {
            return Vec::new();
        }
        let nats = self.effects().nats();
        let bucket = nats.bucket::<Deliveries>(&nats.topology().deliveries_bucket());
        let known = within(bucket.get(&Deliveries::key(job, &record.incarnation))).await;
        known.flatten().map(|entry| entry.value.webhooks).unwrap_or_default()
    }
}

impl From<&WebhookState> for WebhookStatus {
    fn from(state: &WebhookState) -> Self {
        match state.clone() {
            WebhookState::Untried => Self::Pending,
            WebhookState::Delivered { at, attempt } => Self::Delivered { at, attempt },
            WebhookState::Waiting { attempt, next_at, last_error } => Self::Waiting { attempt, next_at, last_error },
            WebhookState::Dead { reason, at, attempt } => Self::Dead { reason, at, attempt },
        }
    }
}
