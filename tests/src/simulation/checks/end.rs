//! What must be there when nothing happens any more.

use std::rc::Rc;

use sluice_shared::domain::id::JobId;
use sluice_shared::domain::outcome::Status;
use sluice_shared::domain::record::Record;
use sluice_shared::domain::result::FollowUp;

use super::super::broker::{Broker, short};
use super::super::store::picture;
use super::{Checks, Invariant};

impl Checks {
    /// Whether everything has come to its end: records settled, streams empty.
    pub(in super::super) fn is_quiet(broker: &Broker) -> bool {
        broker.messages.is_empty() && broker.records.values().all(|kept| kept.record.outcome.is_some())
    }

    /// Time is up, and something has not ended.
    pub(in super::super) fn never_ended(&mut self, broker: &Broker) {
        let records = broker.records.values().filter(|kept| kept.record.outcome.is_none());
        let records: Vec<_> = records.map(|kept| picture(&kept.record, kept.revision)).collect();
        let messages: Vec<_> = broker
            .messages
            .iter()
            .map(|message| format!("#{} {} {:?}", message.sequence, message.name(), message.hold))
            .collect();
        self.broken(Invariant::EverythingEnds, || format!("left: records {records:?}, messages {messages:?}"));
    }

    /// Everything has ended: is it all there?
    pub(in super::super) fn all_there(&mut self, broker: &Broker) {
        for job in self.acknowledged.clone() {
            if !broker.records.contains_key(&job) {
                self.broken(Invariant::EverythingEnds, || format!("{job} was acknowledged and is not there"));
            }
        }
        let records: Vec<(JobId, Rc<Record>)> =
            broker.records.iter().map(|(job, kept)| (job.clone(), Rc::clone(&kept.record))).collect();
        for (job, record) in &records {
            self.follow_up_is_there(broker, job, record);
        }
        // Where a message was lost, whoever held it may have died with the result that it was to publish.
        let whole = self.lives.iter().filter(|(_, life)| !life.lossy);
        let undelivered = whole.filter_map(|((job, incarnation), life)| {
            let webhooks = records.iter().find(|(known, _)| known == job)?.1.webhooks.len();
            let missing = (0..webhooks).find(|webhook| !life.webhooks.contains(webhook))?;
            Some(format!("webhook {missing} of{} has heard nothing, results: {}", short(incarnation), life.results))
        });
        let undelivered = undelivered.min();
        if let Some(detail) = undelivered {
            self.broken(Invariant::EverythingEnds, || detail);
        }
    }

    fn follow_up_is_there(&mut self, broker: &Broker, job: &JobId, record: &Record) {
        let status = record.outcome.as_ref().map(|outcome| outcome.status);
        let due = match status {
            Some(Status::Success) => record.on_success.as_ref().map(|_| FollowUp::OnSuccess),
            Some(Status::Failed) => record.on_failure.as_ref().map(|_| FollowUp::OnFailure),
            Some(Status::Cancelled) | None => None,
        };
        let lossy = self.lives.get(&(job.clone(), record.incarnation.clone())).is_some_and(|life| life.lossy);
        let Some(which) = due.filter(|_| !lossy) else { return };
        let follow_up = JobId::derive(&record.tenant, &which.key(job, &record.incarnation));
        if !broker.records.contains_key(&follow_up) {
            self.broken(Invariant::EverythingEnds, || format!("{which:?} was not submitted"));
        }
    }
}
