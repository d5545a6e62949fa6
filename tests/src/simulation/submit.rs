//! How a job enters, is cancelled and is retried: `sluice_shared::effects::{submit, cancel}`, step for step. The retry of a
//! failed job is as the design has it: a new incarnation is swapped in, once the result of the old one is stored.

use std::time::Duration;

use sluice_shared::clock::Millis;
use sluice_shared::domain::decide::{self, Incoming, Kind, Known};
use sluice_shared::domain::demand::{Demand, When};
use sluice_shared::domain::fingerprint;
use sluice_shared::domain::id::{Destination, Incarnation, JobId, QueueName, Tenant, Token};
use sluice_shared::domain::job::{Contender, Job};
use sluice_shared::domain::outcome::Status;
use sluice_shared::domain::record::{Branch, BranchState, Placed, Record};
use sluice_shared::domain::region;
use sluice_shared::domain::renew::renewed;
use sluice_shared::domain::result::JobResult;
use sluice_shared::effects::{Effects, JobMessage, NotDone, SubmitError};
use sluice_shared::nats::bucket::Written;
use sluice_shared::nats::publish::PublishError;
use sluice_shared::nats::records::Found;

use super::handle::SETTLED_TTL;
use super::rules::Rule;
use super::world::Node;

const TRIES: u32 = 10;

/// Why something that a client asked for was not done.
#[derive(Debug)]
pub(super) enum Failed {
    /// Ask again.
    AskAgain,
    /// There is nothing to be done.
    Never,
}

impl Node {
    /// `Effects::submit`.
    pub(super) async fn submit(&self, key: &str, job: &Job) -> Result<JobId, Failed> {
        let tenant = Tenant::default();
        let (id, now) = (JobId::derive(&tenant, key), self.now());
        let incarnation = Incarnation::from_random(self.world.chance.bits());
        let record = record(&tenant, key, job, incarnation, now);
        let mut look = false;
        for again in 0..TRIES {
            if look {
                match self.read(&id).await.map_err(|_| Failed::AskAgain)? {
                    Found::Absent => {}
                    Found::Record(there, _) => return self.found(id, &there, &record).await,
                    Found::Newer(_) | Found::Malformed(_) => return Err(Failed::Never),
                }
            }
            match self.write(&id, &record, 0, SETTLED_TTL).await {
                Ok(Written::At(_)) => {
                    self.commit(&id, &record).await.map_err(|_| Failed::AskAgain)?;
                    return Ok(id);
                }
                Ok(Written::Changed) => {}
                Ok(Written::Unknown) => self.sleep(Duration::from_millis(20 << again.min(5))).await,
                Err(_) => return Err(Failed::AskAgain),
            }
            look = true;
        }
        Err(Failed::AskAgain)
    }

    async fn found(&self, job: JobId, there: &Record, mine: &Record) -> Result<JobId, Failed> {
        if there.fingerprint != mine.fingerprint {
            return Err(Failed::Never);
        }
        if there.outcome.is_none() {
            self.commit(&job, there).await.map_err(|_| Failed::AskAgain)?;
        }
        Ok(job)
    }

    async fn commit(&self, job: &JobId, record: &Record) -> Result<(), NotDone> {
        self.perform(job, record, &decide::enter(record, self.now()), 0).await
    }

    pub(super) async fn submit_follow_up(&self, _: &Tenant, key: String, job: &Job) -> Result<(), NotDone> {
        match Box::pin(self.submit(&key, job)).await {
            Ok(_) | Err(Failed::Never) => Ok(()),
            Err(Failed::AskAgain) => Err(NotDone::FollowUp(Box::new(SubmitError::Unknown { key }))),
        }
    }

    pub(super) async fn submit_result_follow_up(&self, result: &JobResult) -> Result<(), NotDone> {
        let Some((which, job)) = &result.follow_up else { return Ok(()) };
        self.submit_follow_up(&result.tenant, which.key(&result.job, &result.incarnation), job).await
    }

    /// `Effects::cancel`.
    pub(super) async fn cancel(&self, job: &JobId) -> Result<(), Failed> {
        let record = match self.read(job).await.map_err(|_| Failed::AskAgain)? {
            Found::Record(record, _) => record,
            Found::Absent | Found::Newer(_) | Found::Malformed(_) => return Err(Failed::Never),
        };
        if record.outcome.is_some() {
            return Ok(());
        }
        let address = Effects::address(job, &record, Token::Cancel).ok_or(Failed::Never)?;
        self.move_chain(&address, When::Due, 0, 0).await.map_err(|_| Failed::AskAgain)?;
        self.world.checks.borrow_mut().must_end(job);
        let signal = JobMessage { address, kind: Kind::Due, attempt: 0, sequence: 0, published: self.now() };
        let leave = self.world.rules.keep(Rule::OneResultOfACancel);
        let handled = self
            .handle(&signal, None, |known, now| {
                let mut decision = decide::decide(known, signal.incoming(), now);
                decision.demands.retain(|demand| !leave || !matches!(demand, Demand::Result { .. }));
                decision
            })
            .await;
        if handled.is_err() {
            self.tell(|| "leaves the rest of the cancel to the signal's consumer".into());
        }
        Ok(())
    }

    /// `Effects::retry`.
    pub(super) async fn retry(&self, job: &JobId) -> Result<(), Failed> {
        let mine = Incarnation::from_random(self.world.chance.bits());
        for _ in 0..TRIES {
            let (old, revision) = match self.read(job).await.map_err(|_| Failed::AskAgain)? {
                Found::Record(record, revision) => (record, revision),
                Found::Absent | Found::Newer(_) | Found::Malformed(_) => return Err(Failed::Never),
            };
            if old.incarnation == mine {
                return self.commit(job, &old).await.map_err(|_| Failed::AskAgain);
            }
            let Some(outcome) = old.outcome.as_ref().filter(|outcome| outcome.status == Status::Failed) else {
                return Err(Failed::Never);
            };
            if self.world.rules.keep(Rule::ResultBeforeRetry) {
                let last =
                    Incoming { incarnation: &old.incarnation, token: outcome.winner, kind: Kind::Due, attempt: 0 };
                let demands = decide::decide(Known::Record(&old), last, self.now()).demands;
                self.perform(job, &old, &demands, 0).await.map_err(|_| Failed::AskAgain)?;
            }
            let next = renewed(&old, mine.clone(), self.now());
            match self.write(job, &next, revision, SETTLED_TTL).await {
                Ok(Written::At(_)) => return self.commit(job, &next).await.map_err(|_| Failed::AskAgain),
                Ok(Written::Changed | Written::Unknown) => {}
                Err(PublishError::NoRoom(_)) => return Err(Failed::AskAgain),
                Err(_) => return Err(Failed::Never),
            }
        }
        Err(Failed::AskAgain)
    }
}

/// `Effects::record`.
pub(super) fn record(tenant: &Tenant, key: &str, job: &Job, incarnation: Incarnation, now: Millis) -> Record {
    let starts_at = job.retry_at.map_or(now, |at| at.max(now));
    Record {
        tenant: tenant.clone(),
        key: key.to_owned(),
        incarnation,
        fingerprint: fingerprint::of(job),
        accepted_at: now,
        starts_at,
        branches: region::lay_out(job)
            .into_iter()
            .map(|(one, placed)| branch(tenant, one, placed, starts_at))
            .collect(),
        deadline_at: job.deadline.map(|after| starts_at.after(after)),
        overdue_at: job.on_failure_timeout.map(|after| starts_at.after(after)),
        overdue: false,
        metadata: job.metadata.clone(),
        webhooks: job.webhooks.clone(),
        webhook_quorum: job.webhook_quorum,
        on_success: job.on_success.clone(),
        on_failure: job.on_failure.clone(),
        placement: job.placement.clone(),
        traceparent: None,
        outcome: None,
    }
}

fn branch(tenant: &Tenant, contender: Contender, placed: Placed, starts_at: Millis) -> Branch {
    let url = url::Url::parse(&contender.request.url).unwrap();
    let destination = Destination::of(&url).unwrap();
    let root = contender.parent.is_none();
    Branch {
        queue: QueueName::placed(tenant, &destination, None, &placed.place, contender.priority),
        contender,
        shard: 0,
        state: if root { BranchState::Live { attempt: 1, due_at: starts_at } } else { BranchState::Unstarted },
        started_at: root.then_some(starts_at),
        answers: 0,
        last: None,
        placed,
    }
}
