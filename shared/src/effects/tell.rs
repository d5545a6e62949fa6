//! Telling what happened: events, without waiting and without promise.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::Effects;
use crate::clock::Millis;
use crate::domain::event::{self, Event, What};
use crate::domain::id::{Incarnation, JobId, Tenant};
use crate::domain::record::Record;
use crate::topology::JobSubject;

/// Something that has happened and is told together with what comes of it, if that comes soon: one message for both.
#[derive(Debug, Default)]
pub struct Untold(Mutex<Option<Event>>);

impl Untold {
    /// This, from now on.
    pub fn keep(&self, event: Event) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(event);
    }

    /// What is untold, for whoever tells it.
    #[must_use]
    pub fn take(&self) -> Option<Event> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Effects {
    /// Tells one event. Losing it loses no job.
    pub async fn tell(&self, tenant: &Tenant, job: &JobId, incarnation: &Incarnation, at: Millis, what: What) {
        self.tell_together(tenant, job, incarnation, &[Event { at, what }]).await;
    }

    /// Tells of a job's message what is untold, if anything is.
    pub async fn tell_untold(&self, tenant: &Tenant, of: &JobSubject, untold: &Untold) {
        if let Some(event) = untold.take() {
            self.tell_together(tenant, &of.job, &of.incarnation, &[event]).await;
        }
    }

    /// Tells what a swap made happen, and `before` that what had happened and was not told yet.
    pub(super) async fn tell_between(
        &self,
        job: &JobId,
        old: &Record,
        new: &Record,
        now: Millis,
        before: Option<Event>,
    ) {
        let events: Vec<Event> = before.into_iter().chain(event::between(old, new, now)).collect();
        for together in event::messages(&events) {
            self.tell_together(&new.tenant, job, &new.incarnation, together).await;
        }
    }

    async fn tell_together(&self, tenant: &Tenant, job: &JobId, incarnation: &Incarnation, events: &[Event]) {
        let Some(newest) = events.last() else { return };
        let subject = self.nats.topology().event(tenant, job, incarnation, &newest.what);
        let Ok(payload) = event::write(events) else { return };
        if let Err(error) = self.nats.client().publish(subject, Bytes::from(payload)).await {
            tracing::debug!(%error, "an event was not told");
        }
    }
}
