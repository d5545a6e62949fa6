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
use crate::nats::read::ReadError;
use crate::queues::QueueSpec;
use crate::topology::JobSubject;
use crate::wire;

/// The header of a result with the address of the winner's message: as long as that message is there, it may bring the
/// result once more.
pub const WINNER: &str = "Sluice-Winner";
/// The header of a result that may have been published before.
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
    /// Nobody knows whether the result is stored already.
    #[error("the result was not looked for: {0}")]
    Look(ReadError),
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
        let spec = QueueSpec::of_branch(record, branch).ok_or(NotDone::Incomplete)?;
        self.queues.keep(&spec, now).await?;
        Ok(())
    }

    async fn publish_result(&self, job: &JobId, record: &Record, again: bool) -> Result<(), NotDone> {
        fault_points::point("result", &record.key);
        let result = JobResult::of(job, record).ok_or(NotDone::Incomplete)?;
        let winner = record.outcome.as_ref().and_then(|outcome| Self::address(job, record, outcome.winner));
        self.hand_to_delivery(&result, winner.as_ref(), again).await
    }

    /// Whether a result is stored for certain: it is in its stream, or the winner's message is gone, which is let go of after
    /// that. Else it never was, or was handled while the winner's message was there, and is remembered for that reason.
    async fn is_handed_over(&self, result: &JobResult, winner: Option<&JobSubject>) -> Result<bool, ReadError> {
        let topology = self.nats.topology();
        let subject = topology.result(&result.tenant, &result.job);
        let newest = self.nats.newest(&topology.results_stream(), &subject).await?;
        if newest.is_some_and(|held| held.header(MESSAGE_ID) == Some(&result.life())) {
            return Ok(true);
        }
        let Some(winner) = winner else { return Ok(false) };
        let (stream, chain) = (topology.jobs_stream(winner.shard), winner.any_stage(self.nats.prefix()));
        Ok(self.nats.newest(&stream, &chain).await?.is_none())
    }

    /// Publishes a result to the delivery service, until it is certain: with less of its answers where the broker does not
    /// take all of it, as a dead letter where it takes none. Repeating it is harmless: the broker stores it once within its
    /// window, and webhooks are told apart by their ids. `winner` is where the message is that brings it again as long as it
    /// is there; `again`, whether somebody else may have published it already.
    ///
    /// # Errors
    /// Where it may not have been stored.
    pub async fn hand_to_delivery(
        &self,
        result: &JobResult,
        winner: Option<&JobSubject>,
        again: bool,
    ) -> Result<(), NotDone> {
        let mut less: Option<JobResult> = None;
        loop {
            let now = less.as_ref().unwrap_or(result);
            let too_large = match self.publish_whole(now, winner, again).await {
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

    async fn publish_whole(
        &self,
        result: &JobResult,
        winner: Option<&JobSubject>,
        mut again: bool,
    ) -> Result<(), NotDone> {
        let mut headers = HeaderMap::new();
        headers.insert(MESSAGE_ID, result.life());
        if let Some(winner) = winner {
            headers.insert(WINNER, winner.to_string());
        }
        let (subject, payload) = (self.nats.topology().result(&result.tenant, &result.job), wire::encode(result));
        let mut last = PublishError::Unknown;
        for tries in 0..TRIES {
            if again {
                if self.is_handed_over(result, winner).await.map_err(NotDone::Look)? {
                    return Ok(());
                }
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
                    // A repeat with the same id is stored once, but for a broker that was restarted.
                    (last, again) = (error, true);
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
