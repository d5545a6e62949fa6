//! Buckets: records and what is remembered of webhooks, written by compare-and-swap.

use std::rc::Rc;

use sluice_shared::clock::Millis;
use sluice_shared::domain::delivery::Deliveries;
use sluice_shared::domain::id::{Incarnation, JobId};
use sluice_shared::domain::record::Record;
use sluice_shared::nats::publish::PublishError;

use super::{Broker, Kept};

impl Broker {
    /// The record as the leader has it.
    pub(crate) fn record(&mut self, job: &JobId, now: Millis) -> Option<&Kept> {
        if self.records.get(job).is_some_and(|kept| kept.until.is_some_and(|until| until <= now)) {
            self.records.remove(job);
        }
        self.records.get(job)
    }

    /// Writes a record that is at this revision (0: not there); says what was there before.
    pub(crate) fn write_record(
        &mut self,
        job: &JobId,
        record: Rc<Record>,
        revision: u64,
        until: Option<Millis>,
        now: Millis,
    ) -> Result<(u64, Option<Rc<Record>>), PublishError> {
        if self.is_full(now) {
            return Err(PublishError::NoRoom("full".into()));
        }
        let before = self.record(job, now).cloned();
        if before.as_ref().map_or(0, |kept| kept.revision) != revision {
            return Err(PublishError::Behind);
        }
        let revision = self.next();
        self.records.insert(job.clone(), Kept { record, revision, stored: now, until });
        Ok((revision, before.map(|kept| kept.record)))
    }

    /// What is remembered of a job's webhooks, and its revision.
    pub(crate) fn remembered(&self, life: &(JobId, Incarnation)) -> Option<(Rc<Deliveries>, u64)> {
        self.webhooks.get(life).cloned()
    }

    /// The same as for records.
    pub(crate) fn remember(
        &mut self,
        life: &(JobId, Incarnation),
        state: Deliveries,
        revision: u64,
        now: Millis,
    ) -> Result<u64, PublishError> {
        if self.is_full(now) {
            return Err(PublishError::NoRoom("full".into()));
        }
        if self.webhooks.get(life).map_or(0, |(_, revision)| *revision) != revision {
            return Err(PublishError::Behind);
        }
        let revision = self.next();
        self.webhooks.insert(life.clone(), (Rc::new(state), revision));
        Ok(revision)
    }
}
