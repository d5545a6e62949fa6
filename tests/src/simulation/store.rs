//! The broker's records, results and announcements as requests reach them: done, told, watched.

use std::rc::Rc;
use std::time::Duration;

use sluice_shared::domain::delivery::Deliveries;
use sluice_shared::domain::id::{Incarnation, JobId};
use sluice_shared::domain::record::{BranchState, Record};
use sluice_shared::domain::result::JobResult;
use sluice_shared::nats::publish::PublishError;
use sluice_shared::nats::records::Found;

use super::broker::{Load, short};
use super::checks::Sight;
use super::clockwork::BROKER;
use super::world::World;

impl World {
    /// A record.
    pub(super) fn read(&self, job: &JobId) -> Found {
        let mut broker = self.broker.borrow_mut();
        let kept = broker.record(job, self.now()).cloned();
        self.tell(BROKER, || {
            format!("reads {}", kept.as_ref().map_or("no record".into(), |kept| picture(&kept.record, kept.revision)))
        });
        kept.map_or(Found::Absent, |kept| Found::Record(Box::new((*kept.record).clone()), kept.revision))
    }

    /// A record is written, over this revision.
    pub(super) fn write(
        &self,
        job: &JobId,
        record: Rc<Record>,
        revision: u64,
        ttl: Option<Duration>,
    ) -> Result<u64, PublishError> {
        let now = self.now();
        let until = ttl.map(|ttl| now.after(ttl));
        let written = self.broker.borrow_mut().write_record(job, Rc::clone(&record), revision, until, now);
        self.tell(BROKER, || match &written {
            Ok((revision, _)) => format!("writes {}", picture(&record, *revision)),
            Err(why) => format!("refuses {} over @{revision}: {why}", picture(&record, 0)),
        });
        if written.as_ref().is_err_and(|why| *why == PublishError::Behind) {
            self.checks.borrow_mut().met(Sight::SwapLost);
        }
        let (revision, before) = written?;
        self.checks.borrow_mut().wrote(job, before.as_deref(), &record, now);
        Ok(revision)
    }

    pub(super) fn publish_result(self: &Rc<Self>, result: Rc<JobResult>, again: bool) -> Result<(), PublishError> {
        let (id, now) = ((result.job.clone(), result.incarnation.clone()), self.now());
        let stored = self.broker.borrow_mut().publish_result(&id, Load::Result(Rc::clone(&result), again), now);
        self.tell(BROKER, || match &stored {
            Ok(Some(added)) => format!("stores the result {} as #{}", result.outcome.status.as_str(), added.sequence),
            Ok(None) => "has the result already".into(),
            Err(why) => format!("refuses the result: {why}"),
        });
        if let Some(added) = stored? {
            self.checks.borrow_mut().result(&result);
            self.added(added);
        }
        Ok(())
    }

    /// Tells every process that listens, each or not.
    pub(super) fn announced(&self, job: &JobId) {
        let mut processes: Vec<_> = self.ears.borrow().iter().map(|ear| ear.process).collect();
        processes.sort_unstable();
        processes.dedup();
        for process in processes {
            if !self.mishap(self.faults.sent_in_vain) {
                self.ring(process, Some(job));
            }
        }
    }

    pub(super) fn remembered(&self, life: &(JobId, Incarnation)) -> Option<(Rc<Deliveries>, u64)> {
        let known = self.broker.borrow().remembered(life);
        self.tell(BROKER, || format!("remembers {:?}", known.as_ref().map(|(state, _)| &state.webhooks)));
        known
    }

    pub(super) fn remember(
        &self,
        life: &(JobId, Incarnation),
        state: &Deliveries,
        revision: u64,
    ) -> Result<u64, PublishError> {
        let written = self.broker.borrow_mut().remember(life, state.clone(), revision, self.now());
        self.tell(BROKER, || match &written {
            Ok(_) => format!("is to remember {:?}", state.webhooks),
            Err(why) => format!("will not remember {:?}: {why}", state.webhooks),
        });
        written
    }
}

/// A record for people: `@7 pending ~abc: 0 live 2, 1 dead`.
pub(super) fn picture(record: &Record, revision: u64) -> String {
    let branches: Vec<String> = record
        .numbered()
        .map(|(number, branch)| match branch.state {
            BranchState::Unstarted => format!("{number} unstarted"),
            BranchState::Live { attempt, .. } => format!("{number} live {attempt}"),
            BranchState::Dead => format!("{number} dead"),
            BranchState::Done => format!("{number} done"),
        })
        .collect();
    let state = record
        .outcome
        .as_ref()
        .map_or("pending".to_owned(), |outcome| format!("{} by {}", outcome.status.as_str(), outcome.winner));
    let overdue = if record.overdue { ", overdue" } else { "" };
    format!("@{revision} {state}{}: {}{overdue}", short(&record.incarnation), branches.join(", "))
}
