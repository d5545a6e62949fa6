//! The message that carries an outcome to the delivery service: all that delivery needs, so that it reads nothing else.

use serde::{Deserialize, Serialize};

use super::id::{Incarnation, JobId, Tenant};
use super::job::{Job, JsonText, Webhook};
use super::outcome::{BranchAnswer, Outcome, Status};
use super::record::Record;
use crate::clock::Millis;

/// An outcome on its way to those who wait for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobResult {
    /// The job.
    pub job: JobId,
    /// Whose it is.
    pub tenant: Tenant,
    /// The key that names it.
    pub key: String,
    /// Which life of the key.
    pub incarnation: Incarnation,
    /// When the job was accepted.
    pub accepted_at: Millis,
    /// How it ended.
    pub outcome: Outcome,
    /// Each branch's last answer, where the job did not succeed.
    pub branches: Vec<BranchAnswer>,
    /// What the caller wanted back.
    pub metadata: Option<JsonText>,
    /// Where the outcome goes.
    pub webhooks: Vec<Webhook>,
    /// How many of the voting webhooks must be delivered.
    pub webhook_quorum: u16,
    /// The job to submit now.
    pub follow_up: Option<(FollowUp, Box<Job>)>,
    /// The trace it belongs to.
    pub traceparent: Option<String>,
}

/// Which of its follow-ups a job submits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FollowUp {
    /// It succeeded.
    OnSuccess,
    /// It failed, or is overdue.
    OnFailure,
}

impl FollowUp {
    /// The key of the follow-up, derived from its parent: the same follow-up is the same job, however often submitted.
    #[must_use]
    pub fn key(self, job: &JobId, incarnation: &Incarnation) -> String {
        let which = match self {
            Self::OnSuccess => "on_success",
            Self::OnFailure => "on_failure",
        };
        format!("{job}:{incarnation}:{which}")
    }
}

impl JobResult {
    /// The result of a settled record; `None` where it is not settled.
    #[must_use]
    pub fn of(job: &JobId, record: &Record) -> Option<Self> {
        let outcome = record.outcome.clone()?;
        let follow_up = match outcome.status {
            Status::Success => record.on_success.clone().map(|job| (FollowUp::OnSuccess, job)),
            Status::Failed => record.on_failure.clone().map(|job| (FollowUp::OnFailure, job)),
            Status::Cancelled => None,
        };
        Some(Self {
            job: job.clone(),
            tenant: record.tenant.clone(),
            key: record.key.clone(),
            incarnation: record.incarnation.clone(),
            accepted_at: record.accepted_at,
            branches: if outcome.status == Status::Success { Vec::new() } else { record.last_answers() },
            outcome,
            metadata: record.metadata.clone(),
            webhooks: record.webhooks.clone(),
            webhook_quorum: record.webhook_quorum,
            follow_up,
            traceparent: record.traceparent.clone(),
        })
    }

    /// The id of a webhook's event, the same each time it is posted: `<job>.<incarnation>.<n>`.
    #[must_use]
    pub fn event_id(&self, webhook: usize) -> String {
        format!("{}.{}.{webhook}", self.job, self.incarnation)
    }
}

impl Record {
    /// Each branch with its last answer.
    #[must_use]
    pub fn last_answers(&self) -> Vec<BranchAnswer> {
        self.numbered().map(|(branch, one)| BranchAnswer { branch, answer: one.last.clone() }).collect()
    }
}
