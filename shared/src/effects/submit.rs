//! The one way a job enters: HTTP, NATS and follow-ups all come through here.
//!
//! Sensitive headers are sealed. Then bodies, record, signals, first message: the last one is the commit point. A submitter that dies on the way leaves a
//! pending record that the same submission, or the sweep, completes from what the record says.

use std::time::Duration;

use super::caps::Caps;
use super::{Effects, NotDone};
use crate::clock::{self, Millis};
use crate::domain::decide;
use crate::domain::fingerprint;
use crate::domain::id::{BranchId, Destination, Incarnation, JobId, Tenant};
use crate::domain::job::{Body, Contender, Job};
use crate::domain::record::{Branch, BranchState, Placed, Record};
use crate::domain::region;
use crate::domain::result::{FollowUp, JobResult};
use crate::nats::bucket::{BucketError, Written};
use crate::nats::dead::{DeadKind, DeadLetter};
use crate::nats::publish::PublishError;
use crate::nats::read::ReadError;
use crate::nats::records::Found;
use crate::queues::QueueSpec;
use crate::telemetry::Submitted;
use crate::wire;

/// How often the creation of a record is looked into before its fate counts as unknown.
const TRIES: u32 = 10;

/// A job and how it comes in.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Whose job it is.
    pub tenant: Tenant,
    /// The key that names it.
    pub key: String,
    /// What is to be done.
    pub job: Job,
    /// The trace it belongs to, as a W3C `traceparent`.
    pub traceparent: Option<String>,
}

/// A job that is stored and will be run, or was before.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The job.
    pub job: JobId,
    /// Whether it was there already.
    pub duplicate: bool,
    /// Its record.
    pub record: Box<Record>,
}

/// Why a job was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The key names another job.
    #[error("the idempotency key `{key}` belongs to another request: use another key, or send the same request again")]
    Conflict {
        /// The key.
        key: String,
        /// The job it names.
        job: JobId,
    },
    /// It could not be settled with every answer at its cap.
    #[error("the job is too large: shorten it, or use fewer fallbacks")]
    TooLarge,
    /// One body is more than can be stored.
    #[error("the body of branch {branch} has {size} bytes, at most {limit} can be stored")]
    BodyTooLarge {
        /// Which branch.
        branch: BranchId,
        /// Its size.
        size: u64,
        /// What is possible.
        limit: u64,
    },
    /// The broker's storage is full.
    #[error("the broker has no room: try again later")]
    NoRoom,
    /// It may have been stored or not: submit it again under the same key.
    #[error("the broker did not answer in time: submit the job again under the key `{key}`")]
    Unknown {
        /// The key to repeat it with.
        key: String,
    },
    /// The broker will not take it, or holds what this program cannot read.
    #[error("the broker cannot take the job: {0}")]
    Refused(String),
}

impl Effects {
    /// Takes a job in. The same submission again gives the same job, and completes what an earlier one left half done.
    ///
    /// # Errors
    /// See the variants: what to do differs.
    pub async fn submit(&self, mut submission: Submission) -> Result<Receipt, SubmitError> {
        let key = submission.key.clone();
        let unknown = || SubmitError::Unknown { key: key.clone() };
        let job = JobId::derive(&submission.tenant, &key);
        let fingerprint = fingerprint::of(&submission.job);
        let said = |destination: &Destination| self.queues.is_by_account(&submission.tenant, destination);
        self.sealing.derive_accounts(&self.gates, &said, &submission.tenant, &mut submission.job);
        self.sealing.close(&submission.tenant, &mut submission.job);
        let now = clock::now();
        let incarnation = Incarnation::from_random(rand::random());
        let mut record =
            self.record(&submission, fingerprint, incarnation, now).await.map_err(|e| of_bucket(e, &unknown))?;
        // Most jobs are new, so the first try creates without looking; bodies of their own are worth a look first.
        let mut look = record.branches.iter().any(|branch| Caps::is_large(&branch.contender.request.body));
        for again in 0..TRIES {
            if look {
                match self.records.read(&job).await.map_err(|_| unknown())? {
                    Found::Absent => {}
                    found @ (Found::Record(..) | Found::Newer(_) | Found::Malformed(_)) => {
                        return self.found(job, found, &record, &unknown).await;
                    }
                }
            }
            self.store_bodies(&job, &mut record).await?;
            match self.records.create(&job, &record).await {
                Ok(Written::At(_)) => {
                    self.commit(&job, &record).await.map_err(|e| of_demand(e, &unknown))?;
                    return Ok(Receipt { job, duplicate: false, record: Box::new(record) });
                }
                // Somebody was first, or nobody knows: the record itself says.
                Ok(Written::Changed) => {}
                Ok(Written::Unknown) => tokio::time::sleep(Duration::from_millis(20 << again.min(5))).await,
                Err(error) => return Err(of_publish(error, &unknown)),
            }
            look = true;
        }
        Err(unknown())
    }

    /// The key names a job already. A pending one gets the same publishes again, made from the record as read; one of
    /// this very incarnation is our own, whose creation was not answered.
    async fn found(
        &self,
        job: JobId,
        found: Found,
        mine: &Record,
        unknown: &impl Fn() -> SubmitError,
    ) -> Result<Receipt, SubmitError> {
        let record = match found {
            Found::Record(record, _) => record,
            Found::Absent => return Err(unknown()),
            Found::Newer(version) => return Err(SubmitError::Refused(format!("its record is of version {version}"))),
            Found::Malformed(why) => return Err(SubmitError::Refused(format!("its record cannot be read: {why}"))),
        };
        if record.fingerprint != mine.fingerprint {
            return Err(SubmitError::Conflict { key: record.key, job });
        }
        if record.outcome.is_none() {
            self.commit(&job, &record).await.map_err(|e| of_demand(e, unknown))?;
        }
        Ok(Receipt { job, duplicate: record.incarnation != mine.incarnation, record })
    }

    /// The job to submit when its parent has ended, and what became of it; `None` where there is none. A follow-up that
    /// can never be taken becomes a dead letter: it was valid when its parent was accepted, so this does not happen but for a
    /// broker with new limits.
    ///
    /// # Errors
    /// Where it may not have been taken.
    pub async fn submit_result_follow_up(&self, result: &JobResult) -> Result<Option<Submitted>, NotDone> {
        let Some((which, job)) = &result.follow_up else { return Ok(None) };
        let key = which.key(&result.job, &result.incarnation);
        self.follow_up(&result.tenant, key, job, result.traceparent.clone()).await.map(Some)
    }

    pub(super) async fn submit_follow_up(
        &self,
        which: FollowUp,
        parent: &JobId,
        record: &Record,
        job: &Job,
    ) -> Result<(), NotDone> {
        let key = which.key(parent, &record.incarnation);
        self.follow_up(&record.tenant, key, job, record.traceparent.clone()).await.map(|_| ())
    }

    async fn follow_up(
        &self,
        tenant: &Tenant,
        key: String,
        job: &Job,
        traceparent: Option<String>,
    ) -> Result<Submitted, NotDone> {
        let name = key.replace(':', "-");
        self.count_as_open(tenant, &JobId::derive(tenant, &key)).await;
        let submission = Submission { tenant: tenant.clone(), key, job: job.clone(), traceparent };
        match Box::pin(self.submit(submission)).await {
            Ok(receipt) => Ok(if receipt.duplicate { Submitted::Duplicate } else { Submitted::Accepted }),
            Err(error @ (SubmitError::NoRoom | SubmitError::Unknown { .. })) => Err(NotDone::FollowUp(Box::new(error))),
            Err(
                error @ (SubmitError::Conflict { .. }
                | SubmitError::TooLarge
                | SubmitError::BodyTooLarge { .. }
                | SubmitError::Refused(_)),
            ) => {
                tracing::error!(%error, name, "a follow-up can never be submitted and is set aside");
                let letter = DeadLetter {
                    kind: DeadKind::Submission,
                    tenant: tenant.as_str(),
                    name,
                    reason: &error.to_string(),
                    payload: wire::encode(job),
                };
                self.set_aside(letter).await?;
                let conflict = matches!(error, SubmitError::Conflict { .. });
                Ok(if conflict { Submitted::Conflict } else { Submitted::Refused })
            }
        }
    }

    async fn commit(&self, job: &JobId, record: &Record) -> Result<(), NotDone> {
        self.perform(job, record, &decide::enter(record, clock::now()), 0).await
    }

    async fn record(
        &self,
        submission: &Submission,
        fingerprint: crate::domain::record::Fingerprint,
        incarnation: Incarnation,
        now: Millis,
    ) -> Result<Record, BucketError> {
        let job = &submission.job;
        let starts_at = job.retry_at.map_or(now, |at| at.max(now));
        let mut branches = Vec::with_capacity(job.branches.len());
        for (contender, placed) in region::lay_out(job) {
            branches.push(self.branch(&submission.tenant, contender, placed, starts_at, now).await?);
        }
        Ok(Record {
            tenant: submission.tenant.clone(),
            key: submission.key.clone(),
            incarnation,
            fingerprint,
            accepted_at: now,
            starts_at,
            branches,
            deadline_at: job.deadline.map(|after| starts_at.after(after)),
            overdue_at: job.on_failure_timeout.map(|after| starts_at.after(after)),
            overdue: false,
            metadata: job.metadata.clone(),
            webhooks: job.webhooks.clone(),
            webhook_quorum: job.webhook_quorum,
            on_success: job.on_success.clone(),
            on_failure: job.on_failure.clone(),
            placement: job.placement.clone(),
            traceparent: submission.traceparent.clone(),
            outcome: None,
        })
    }

    async fn branch(
        &self,
        tenant: &Tenant,
        contender: Contender,
        placed: Placed,
        starts_at: Millis,
        now: Millis,
    ) -> Result<Branch, BucketError> {
        let destination = url::Url::parse(&contender.request.url)
            .ok()
            .and_then(|url| Destination::of(&url))
            .ok_or_else(|| BucketError::Refused(PublishError::Refused("a URL without a host".into())))?;
        let (account, place) = (contender.account.clone(), placed.place.clone());
        let (tenant, priority) = (tenant.clone(), contender.priority);
        let spec = QueueSpec { tenant, destination, account, place, priority, shard: None };
        let queue = spec.name();
        let shard = self.queues.keep_named(&queue, &spec, now).await?;
        let root = contender.parent.is_none();
        let state = if root { BranchState::Live { attempt: 1, due_at: starts_at } } else { BranchState::Unstarted };
        Ok(Branch {
            contender,
            queue,
            shard,
            state,
            started_at: root.then_some(starts_at),
            answers: 0,
            last: None,
            placed,
        })
    }

    /// Puts large bodies where they belong, before the record that needs them.
    async fn store_bodies(&self, job: &JobId, record: &mut Record) -> Result<(), SubmitError> {
        let limit = self.caps.request_body();
        for number in 0..record.branches.len() {
            let branch = BranchId(u16::try_from(number).unwrap_or(u16::MAX));
            let body = &record.branches[number].contender.request.body;
            if !Caps::is_large(body) {
                continue;
            }
            let size = body.len();
            if size > limit {
                return Err(SubmitError::BodyTooLarge { branch, size, limit });
            }
            if let Body::Inline(bytes) = body.clone() {
                // The same request in another region has the same body.
                if record.body_of(branch) == branch {
                    self.put_body(job, record, branch, bytes).await?;
                }
                record.branches[number].contender.request.body = Body::Stored { len: size };
            }
        }
        if self.caps.can_settle(record) { Ok(()) } else { Err(SubmitError::TooLarge) }
    }

    async fn put_body(
        &self,
        job: &JobId,
        record: &Record,
        branch: BranchId,
        bytes: bytes::Bytes,
    ) -> Result<(), SubmitError> {
        let unknown = || SubmitError::Unknown { key: record.key.clone() };
        for again in 0..TRIES {
            match self.records.put_body(job, &record.incarnation, branch, bytes.clone(), None).await {
                Ok(()) => return Ok(()),
                Err(
                    PublishError::Behind | PublishError::BeingWritten | PublishError::NotTaken | PublishError::Unknown,
                ) => {
                    tokio::time::sleep(Duration::from_millis(20 << again.min(5))).await;
                }
                Err(error) => return Err(of_publish(error, &unknown)),
            }
        }
        Err(unknown())
    }
}

fn of_bucket(error: BucketError, unknown: &impl Fn() -> SubmitError) -> SubmitError {
    match error {
        BucketError::Read(ReadError::NoAnswer) => unknown(),
        BucketError::Refused(error) => of_publish(error, unknown),
        error @ (BucketError::Read(ReadError::Refused(_)) | BucketError::Unreadable { .. }) => {
            SubmitError::Refused(error.to_string())
        }
    }
}

fn of_publish(error: PublishError, unknown: &impl Fn() -> SubmitError) -> SubmitError {
    match error {
        PublishError::NoRoom(_) => SubmitError::NoRoom,
        PublishError::TooLarge { .. } => SubmitError::TooLarge,
        PublishError::Refused(why) => SubmitError::Refused(why),
        PublishError::Behind | PublishError::BeingWritten | PublishError::NotTaken | PublishError::Unknown => unknown(),
    }
}

fn of_demand(error: NotDone, unknown: &impl Fn() -> SubmitError) -> SubmitError {
    match error {
        NotDone::NotMoved(crate::nats::guarded::NotMoved(error)) | NotDone::Result(error) => of_publish(error, unknown),
        NotDone::Queue(_) | NotDone::FollowUp(_) => unknown(),
        NotDone::Incomplete => SubmitError::Refused("a job without what it demands".into()),
    }
}
