//! Telling what happened: events, without waiting and without promise.

use bytes::Bytes;

use super::Effects;
use crate::clock::Millis;
use crate::domain::event::{self, Event, What};
use crate::domain::id::{Incarnation, JobId, Tenant};
use crate::domain::record::Record;

impl Effects {
    /// Tells one event. Losing it loses no job.
    pub async fn tell(&self, tenant: &Tenant, job: &JobId, incarnation: &Incarnation, at: Millis, what: What) {
        self.tell_event(tenant, job, incarnation, &Event { at, what }).await;
    }

    /// Tells what a swap made happen.
    pub async fn tell_between(&self, job: &JobId, old: &Record, new: &Record, now: Millis) {
        for event in event::between(old, new, now) {
            self.tell_event(&new.tenant, job, &new.incarnation, &event).await;
        }
    }

    async fn tell_event(&self, tenant: &Tenant, job: &JobId, incarnation: &Incarnation, event: &Event) {
        let subject = self.nats.topology().event(tenant, job, incarnation, &event.what);
        let Ok(payload) = serde_json::to_vec(event) else { return };
        if let Err(error) = self.nats.client().publish(subject, Bytes::from(payload)).await {
            tracing::debug!(%error, "an event was not told");
        }
    }
}
