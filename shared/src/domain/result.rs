//! The message that carries an outcome to the delivery service: all that delivery needs, so that it reads nothing else.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::id::{BranchId, Incarnation, JobId, Tenant, Token};
use super::job::{Job, JsonText, Webhook};
use super::outcome::{BranchAnswer, Outcome, Reason, Status};
use super::record::Record;
use super::submission::Salvage;
use crate::clock::Millis;

/// A result that is stored later than this after its job has ended is late.
const LATE: Duration = Duration::from_secs(5);

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
    /// Each branch's last answer, where the job did not succeed or is a fanout.
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

/// A submission that was refused, and what of it can still be used to tell its sender.
#[derive(Clone, Debug)]
pub struct RefusedSubmission {
    /// What tells it from all others, the same however often it is refused.
    pub name: String,
    /// Who submitted it.
    pub tenant: Tenant,
    /// The key that it would have had, where it does not say one itself.
    pub key: String,
    /// When it was submitted.
    pub submitted_at: Millis,
    /// When it was refused.
    pub refused_at: Millis,
    /// What is wrong with it; names no header, body or URL.
    pub why: String,
    /// What of it is valid by itself.
    pub salvage: Salvage,
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
            branches: if outcome.status == Status::Success && !record.is_fanout() {
                Vec::new()
            } else {
                record.last_answers()
            },
            outcome,
            metadata: record.metadata.clone(),
            webhooks: record.webhooks.clone(),
            webhook_quorum: record.webhook_quorum,
            follow_up,
            traceparent: record.traceparent.clone(),
        })
    }

    /// The result of a submission that was refused: it fails without having been a job, so it takes no key and has no
    /// record. Of a quorum, one that votes is asked for.
    #[must_use]
    pub fn refused(submission: RefusedSubmission) -> Self {
        let RefusedSubmission { name, tenant, key, submitted_at, refused_at, why, salvage } = submission;
        Self {
            job: JobId::refused(&name),
            tenant,
            key: salvage.key.unwrap_or(key),
            incarnation: Incarnation::only(),
            accepted_at: submitted_at,
            outcome: Outcome {
                status: Status::Failed,
                reason: Some(Reason::Refused(why)),
                winner: Token::Branch(BranchId::OWN),
                at: refused_at,
                answer: None,
            },
            branches: Vec::new(),
            metadata: salvage.metadata,
            webhook_quorum: u16::from(salvage.webhooks.iter().any(|webhook| webhook.has_quorum_vote)),
            webhooks: salvage.webhooks,
            follow_up: None,
            traceparent: None,
        }
    }

    /// Which life of the job it is the result of: `<job>.<incarnation>`.
    #[must_use]
    pub fn life(&self) -> String {
        format!("{}.{}", self.job, self.incarnation)
    }

    /// Whether it was stored so long after the job had ended that it may be a copy: one that was on its way for long, stored
    /// after the broker has forgotten the id of the first. Results are published within milliseconds; to take one that was
    /// held up for a copy costs a read.
    #[must_use]
    pub fn is_late(&self, stored: Millis) -> bool {
        stored.since(self.outcome.at) > LATE
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "what cannot be serialised fails the test")]

    use super::*;
    use crate::domain::payload::WebhookBody;

    #[test]
    fn the_result_of_a_refused_submission_tells_its_sender_what_is_wrong() {
        let webhook = Webhook { url: "nats:my.outcomes".into(), regions: Vec::new(), has_quorum_vote: true };
        let metadata = Some(JsonText(r#"{"order":7}"#.into()));
        let result = JobResult::refused(RefusedSubmission {
            name: "submit-1-2".into(),
            tenant: Tenant::default(),
            key: "submit-1-2".into(),
            submitted_at: Millis(1),
            refused_at: Millis(2),
            why: "`url` must be given".into(),
            salvage: Salvage { webhooks: vec![webhook], metadata, key: Some("mine".into()) },
        });
        let body = serde_json::to_value(WebhookBody::new(&result, 0, 1)).unwrap();
        let job = JobId::refused("submit-1-2");
        let expected = serde_json::json!({
            "job_id": job, "idempotent_key": "mine", "status": "failed", "reason": "refused",
            "detail": "`url` must be given", "settled_at": 2, "response": null, "metadata": {"order": 7},
            "delivery": {"id": format!("{job}.0.0"), "attempt": 1},
        });
        assert_eq!((body, result.webhook_quorum), (expected, 1));
    }
}
