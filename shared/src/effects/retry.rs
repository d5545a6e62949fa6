//! A failed job runs again under its key: the same job, in a new life.
//!
//! What is left of the old life is done first: its result is stored before the record forgets it. Then bodies, record, and
//! the messages of the new life, as at a submission. Whoever dies on the way has done nothing, or leaves a pending record
//! that the same call, a submission under its key, or the sweep completes.

use std::time::Duration;

use super::submit::Receipt;
use super::{Effects, NotDone};
use crate::clock;
use crate::domain::decide::{self, Incoming, Kind, Known};
use crate::domain::event::What;
use crate::domain::id::{BranchId, Incarnation, JobId, Tenant};
use crate::domain::job::Body;
use crate::domain::outcome::Status;
use crate::domain::record::Record;
use crate::domain::renew::renewed;
use crate::nats::bucket::Written;
use crate::nats::publish::PublishError;
use crate::nats::read::ReadError;
use crate::nats::records::Found;

/// How often a write that was lost or not answered is tried again.
const TRIES: u32 = 10;

/// Why a job does not run again.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// There is no such job of this tenant.
    #[error("there is no such job; jobs that have ended are kept for a limited time")]
    NotFound,
    /// It has not failed.
    #[error("only a failed job can run again; this one {0}")]
    NotFailed(&'static str),
    /// A large request body of it is forgotten.
    #[error("the body of branch {0} is not kept any more: submit the job again under another key")]
    BodyGone(BranchId),
    /// The broker's storage is full.
    #[error("the broker has no room: try again later")]
    NoRoom,
    /// It may run again or not.
    #[error("the broker did not answer in time: repeat the request")]
    Unknown,
    /// Its record cannot be read or written by this program.
    #[error("the job's record cannot be read by this version")]
    Unreadable,
}

impl Effects {
    /// Runs a failed job of this tenant again. Repeating it while the job runs answers that it has not failed.
    ///
    /// # Errors
    /// Where it has not failed, or the broker does not answer.
    pub async fn retry(&self, tenant: &Tenant, job: &JobId) -> Result<Receipt, RetryError> {
        let mine = Incarnation::from_random(rand::random());
        for again in 0..TRIES {
            let (old, revision) = match self.records.read(job).await? {
                Found::Record(record, revision) if record.tenant == *tenant => (record, revision),
                Found::Record(..) | Found::Absent => return Err(RetryError::NotFound),
                Found::Newer(_) | Found::Malformed(_) => return Err(RetryError::Unreadable),
            };
            if old.incarnation == mine {
                return self.begin(job, old).await;
            }
            let outcome = match &old.outcome {
                Some(outcome) if outcome.status == Status::Failed => outcome,
                Some(outcome) if outcome.status == Status::Cancelled => {
                    return Err(RetryError::NotFailed("was cancelled"));
                }
                Some(_) => return Err(RetryError::NotFailed("has succeeded")),
                None => return Err(RetryError::NotFailed("has not ended")),
            };
            let last = Incoming { incarnation: &old.incarnation, token: outcome.winner, kind: Kind::Due, attempt: 0 };
            let demands = decide::decide(Known::Record(&old), last, clock::now()).demands;
            self.perform(job, &old, &demands, 0).await?;
            let next = renewed(&old, mine.clone(), clock::now());
            self.take_bodies_along(job, &old, &next).await?;
            match self.records.swap(job, &next, revision, self.settled_ttl).await? {
                Written::At(_) => return self.begin(job, Box::new(next)).await,
                Written::Changed | Written::Unknown => {
                    tokio::time::sleep(Duration::from_millis(20 << again.min(5))).await;
                }
            }
        }
        Err(RetryError::Unknown)
    }

    /// The record is there: its messages.
    async fn begin(&self, job: &JobId, record: Box<Record>) -> Result<Receipt, RetryError> {
        self.tell(&record.tenant, job, &record.incarnation, record.accepted_at, What::Accepted).await;
        self.perform(job, &record, &decide::enter(&record, clock::now()), 0).await?;
        Ok(Receipt { job: job.clone(), duplicate: false, record })
    }

    /// Large bodies are kept under the life that they belong to.
    async fn take_bodies_along(&self, job: &JobId, old: &Record, new: &Record) -> Result<(), RetryError> {
        for (number, branch) in new.numbered() {
            if !matches!(branch.contender.request.body, Body::Stored { .. }) || new.body_of(number) != number {
                continue;
            }
            let body = self.records.body(job, &old.incarnation, number).await?;
            let body = body.ok_or(RetryError::BodyGone(number))?;
            self.records.put_body(job, &new.incarnation, number, body, None).await?;
        }
        Ok(())
    }
}

impl From<ReadError> for RetryError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NoAnswer => Self::Unknown,
            ReadError::Refused(_) => Self::Unreadable,
        }
    }
}

impl From<PublishError> for RetryError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::NoRoom(_) => Self::NoRoom,
            PublishError::TooLarge { .. } | PublishError::Refused(_) => Self::Unreadable,
            PublishError::Behind | PublishError::BeingWritten | PublishError::NotTaken | PublishError::Unknown => {
                Self::Unknown
            }
        }
    }
}

impl From<NotDone> for RetryError {
    fn from(error: NotDone) -> Self {
        match error {
            NotDone::NotMoved(error) => error.0.into(),
            NotDone::Result(error) => error.into(),
            NotDone::Queue(_) | NotDone::FollowUp(_) => Self::Unknown,
            NotDone::Incomplete => Self::Unreadable,
        }
    }
}
