//! Performing demands: one match from what the record asks for to what is published.

use async_nats::HeaderMap;
use std::time::Duration;

use super::{Effects, SubmitError};
use crate::clock::{self, Millis};
use crate::domain::demand::{Demand, Expect, When};
use crate::domain::id::{BranchId, JobId, Token};
use crate::domain::record::Record;
use crate::domain::result::{FollowUp, JobResult};
use crate::fault_points;
use crate::nats::bucket::BucketError;
use crate::nats::dead::{DeadKind, DeadLetter};
use crate::nats::guarded::NotMoved;
use crate::nats::publish::{MESSAGE_ID, PublishError};
use crate::queues::QueueSpec;
use crate::topology::JobSubject;
use crate::wire;

/// The header of a result that may have been published before, and handled: the broker tells repeats by their id, but
/// forgets within minutes, and at a restart, the ids of what has left the stream.
pub const AGAIN: &str = "Sluice-Again";

/// How often the publish of a result is repeated; the broker tells repeats by their id.
const TRIES: u32 = 10;

/// A demand may not have been met: do not ack what is in hand. It comes again, and with it the demand.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// A message may not have been stored.
    #[error(transparent)]
    NotMoved(#[from] NotMoved),
    /// The queue's entry could not be written.
    #[error("the queue could not be kept: {0}")]
    Queue(#[from] BucketError),
    /// The result may not have been stored.
    #[error("the result may not have been stored: {0}")]
    Result(PublishError),
    /// The follow-up may not have been submitted.
    #[error("the follow-up was not submitted: {0}")]
    FollowUp(#[source] Box<SubmitError>),
    /// The record asks for what it has no data for; no accepted job does.
    #[error("the record lacks what it demands")]
    Incomplete,
}

impl Effects {
    /// Does what the record demands, in order. `in_hand` is the sequence of the message in hand, 0 where there is none.
    ///
    /// # Errors
    /// At the first demand that may not have been met; those before it have been.
    pub async fn perform(&self, job: &JobId, record: &Record, demands: &[Demand], in_hand: u64) -> Result<(), NotDone> {
        for demand in demands {
            match demand {
                Demand::Message { token, when, attempt, expect } => {
                    let newest = match expect {
                        Expect::Nothing => 0,
                        Expect::InHand => in_hand,
                    };
                    self.publish_message(job, record, *token, *when, *attempt, newest).await?;
                }
                Demand::Result { again } => self.publish_result(job, record, *again).await?,
                Demand::Announce => self.announce(job, record).await,
                Demand::SubmitOnFailure => Box::pin(self.submit_on_failure(job, record)).await?,
            }
        }
        Ok(())
    }

    /// Where the messages of a branch or a signal of this job live; signals live under branch 0's queue.
    #[must_use]
    pub fn address(job: &JobId, record: &Record, token: Token) -> Option<JobSubject> {
        let branch = match token {
            Token::Branch(branch) => branch,
            Token::Start(_) | Token::Deadline | Token::Overdue | Token::Cancel => BranchId::OWN,
        };
        let one = record.branch(branch)?;
        Some(JobSubject {
            shard: one.shard,
            queue: one.queue.clone(),
            job: job.clone(),
            incarnation: record.incarnation.clone(),
            token,
        })
    }

    async fn publish_message(
        &self,
        job: &JobId,
        record: &Record,
        token: Token,
        when: When,
        attempt: u32,
        newest: u64,
    ) -> Result<(), NotDone> {
        if let (When::Work, Token::Branch(branch)) = (when, token) {
            self.keep_queue(record, branch, clock::now()).await?;
        }
        let address = Self::address(job, record, token).ok_or(NotDone::Incomplete)?;
        self.nats.move_chain(&address, when, attempt, newest).await?;
        Ok(())
    }

    async fn keep_queue(&self, record: &Record, branch: BranchId, now: Millis) -> Result<(), NotDone> {
        let branch = record.branch(branch).ok_or(NotDone::Incomplete)?;
        // Most are, and then it need not be made out what the queue stands for.
        if self.queues.kept(&branch.queue, now).is_some() {
            return Ok(());
        }
        let spec = QueueSpec::of_branch(record, branch).ok_or(NotDone::Incomplete)?;
        self.queues.keep(&spec, now).await?;
        Ok(())
    }

    async fn publish_result(&self, job: &JobId, record: &Record, again: bool) -> Result<(), NotDone> {
        fault_points::point("result", &record.key);
        let result = JobResult::of(job, record).ok_or(NotDone::Incomplete)?;
        self.hand_to_delivery(&result, again).await
    }

    /// Publishes a result to the delivery service, until it is certain: with less of its answers where the broker does not
    /// take all of it, as a dead letter where it takes none. Repeating it is harmless: the broker stores it once within its
    /// window, and what is published `again`, after somebody may have published it already, says so and is looked up.
    ///
    /// # Errors
    /// Where it may not have been stored.
    pub async fn hand_to_delivery(&self, result: &JobResult, again: bool) -> Result<(), NotDone> {
        let mut less: Option<JobResult> = None;
        loop {
            let now = less.as_ref().unwrap_or(result);
            let too_large = match self.publish_whole(now, again).await {
                Err(NotDone::Result(error @ PublishError::TooLarge { .. })) => error,
                done => return done,
            };
            less = match now.smaller() {
                Some(smaller) => Some(smaller),
                None => return self.set_result_aside(now, &too_large).await,
            };
        }
    }

    /// Its job has ended, and is asked about as ever; its webhooks are not posted.
    async fn set_result_aside(&self, result: &JobResult, error: &PublishError) -> Result<(), NotDone> {
        tracing::error!(job = %result.job, %error, "a result is set aside: its webhooks are not posted");
        let letter = DeadLetter {
            kind: DeadKind::Result,
            tenant: result.tenant.as_str(),
            name: result.life(),
            reason: &format!("the outcome cannot be handed to the delivery service: {error}"),
            payload: wire::encode(result),
        };
        self.set_aside(letter).await?;
        Ok(())
    }

    async fn publish_whole(&self, result: &JobResult, again: bool) -> Result<(), NotDone> {
        let mut headers = HeaderMap::new();
        headers.insert(MESSAGE_ID, result.life());
        let (subject, payload) = (self.nats.topology().result(&result.tenant, &result.job), wire::encode(result));
        let mut last = PublishError::Unknown;
        for tries in 0..TRIES {
            if again || tries > 0 {
                headers.insert(AGAIN, "1");
            }
            match self.nats.publish(subject.clone(), headers.clone(), payload.clone()).await {
                Ok(_) => return Ok(()),
                Err(
                    error @ (PublishError::Behind
                    | PublishError::BeingWritten
                    | PublishError::NotTaken
                    | PublishError::Unknown),
                ) => {
                    last = error; // a repeat with the same id is stored once
                    tokio::time::sleep(Duration::from_millis(20 << tries.min(5))).await;
                }
                Err(error @ (PublishError::NoRoom(_) | PublishError::TooLarge { .. } | PublishError::Refused(_))) => {
                    return Err(NotDone::Result(error));
                }
            }
        }
        Err(NotDone::Result(last))
    }

    /// Core NATS, no promise: a worker that misses it finds out at its next read.
    async fn announce(&self, job: &JobId, record: &Record) {
        let subject = self.nats.topology().settled(job);
        if let Err(error) = self.nats.client().publish(subject, record.incarnation.as_str().to_owned().into()).await {
            tracing::debug!(%error, "a settlement was not announced");
        }
    }

    async fn submit_on_failure(&self, job: &JobId, record: &Record) -> Result<(), NotDone> {
        let Some(follow_up) = &record.on_failure else { return Ok(()) };
        self.submit_follow_up(FollowUp::OnFailure, job, record, follow_up).await
    }
}
