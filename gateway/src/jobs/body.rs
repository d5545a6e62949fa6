//! A job as those see it who ask: the one JSON shape of `GET /v1/jobs/{id}` and of the NATS service.
//!
//! Pure. Invariant: no request's headers, body or URL beyond its host, and no webhook's URL beyond its host.

use std::cmp::Reverse;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use sluice_shared::clock::Millis;
use sluice_shared::domain::delivery::WebhookState;
use sluice_shared::domain::id::{BranchId, Destination, JobId, Region, Token};
use sluice_shared::domain::job::{Priority, Webhook};
use sluice_shared::domain::outcome::{self, Answer, Content};
use sluice_shared::domain::payload::{self, ErrorBody, OutcomeBody};
use sluice_shared::domain::quorum::Standing;
use sluice_shared::domain::record::{Branch, BranchState, Record};
use url::Url;

use super::status::{Known, Status};
use super::waiting::Waiting;
use super::webhooks::WebhookStatus;

/// A job, how far it has come, and how it ended.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Job")]
pub struct JobBody {
    /// The job.
    pub job_id: String,
    /// Where it is.
    pub status: Status,
    /// The key that names it.
    pub idempotent_key: String,
    /// Attempts of all branches that have ended so far.
    pub attempts: u32,
    /// When it was accepted, milliseconds since the epoch.
    pub accepted_at: Millis,
    /// From when its time counts, milliseconds since the epoch: the later of acceptance and `retry_at`.
    pub starts_at: Millis,
    /// When it fails if it has not ended, milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Millis>,
    /// Whether `on_failure` was submitted because it has not ended in time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub overdue: bool,
    /// The trace it belongs to, as a W3C `traceparent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Why it waits, where none of its contenders is on the wire: what the most advanced of them waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Its contenders; the first is its own request.
    pub branches: Vec<BranchBody>,
    /// What the caller gave; an empty object where nothing was given.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub metadata: Box<RawValue>,
    /// How it ended, once it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OutcomeBody>,
    /// What became of its webhooks, in the order of the job.
    pub webhooks: Vec<WebhookBody>,
    /// Whether enough of those that have a vote took the outcome, where there are any webhooks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quorum: Option<Standing>,
}

/// A contender.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Branch")]
pub struct BranchBody {
    /// Its number; 0 is the job's own request.
    pub branch: BranchId,
    /// The branch that it is a fallback of, or that it goes on for in another region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<BranchId>,
    /// Where it goes: `host[:port]`.
    pub destination: String,
    /// The account there, where it has a queue of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Whether it goes before others or after them; absent where it is normal.
    #[serde(skip_serializing_if = "Priority::is_normal")]
    pub priority: Priority,
    /// The regions that it is to run in, the preferred first, where the job names any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<Region>,
    /// Where it is.
    pub status: BranchStatus,
    /// Its attempts that have ended so far.
    pub attempts: u32,
    /// When it became a contender, milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Millis>,
    /// When its next attempt is expected, where that is ahead; milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Millis>,
    /// Why it waits, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// How its last attempt ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<LastBody>,
}

/// Where a branch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BranchStatus {
    /// Its trigger has not come.
    Unstarted,
    /// Its next attempt is due later.
    BackingOff,
    /// It waits for a worker.
    Queued,
    /// It waits for its gate.
    Gated,
    /// A request is on the wire.
    Running,
    /// It won the race.
    Won,
    /// It succeeded in a fanout, which all regions must.
    Succeeded,
    /// It has no attempt left.
    Failed,
    /// Another branch goes on for it in another region.
    Moved,
    /// The job ended without it.
    Cancelled,
}

/// How an attempt ended.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "LastAttempt")]
pub struct LastBody {
    /// Which attempt, from 1.
    pub attempt: u32,
    /// When, milliseconds since the epoch.
    pub at: Millis,
    /// The region of the worker that made it, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// The status of the response, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u16>,
    /// Why there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

/// A webhook.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Webhook")]
pub struct WebhookBody {
    /// The `webhook-id` of its posts.
    pub id: String,
    /// Where it goes: `host[:port]`, or `nats:<subject>`.
    pub destination: String,
    /// What became of it.
    #[serde(flatten)]
    pub status: WebhookStatus,
}

impl JobBody {
    /// The job of this record. `known` is in the order of the branches, `webhooks` in that of the webhooks.
    #[must_use]
    pub fn new(job: &JobId, record: &Record, known: &[Known], webhooks: &[WebhookState], now: Millis) -> Self {
        let nothing = Known::default();
        let branch = |(number, branch): (BranchId, &Branch)| {
            BranchBody::new(record, number, branch, known.get(number.index()).unwrap_or(&nothing), now)
        };
        Self {
            job_id: job.to_string(),
            status: Status::of_job(record, known, now),
            idempotent_key: record.key.clone(),
            attempts: record.branches.iter().fold(0, |sum, branch| sum.saturating_add(branch.answers)),
            accepted_at: record.accepted_at,
            starts_at: record.starts_at,
            deadline_at: record.deadline_at,
            overdue: record.overdue,
            traceparent: record.traceparent.clone(),
            waiting: waiting(record, known, now),
            branches: record.numbered().map(branch).collect(),
            metadata: payload::raw(record.metadata.as_ref()),
            outcome: outcome_of(record),
            webhooks: webhook_bodies(job, record, webhooks),
            quorum: (!record.webhooks.is_empty())
                .then(|| Standing::of(record.webhook_quorum, &record.webhooks, webhooks)),
        }
    }
}

/// What the most advanced live branch waits for, by what is expected first; nothing where one is on the wire.
fn waiting(record: &Record, known: &[Known], now: Millis) -> Option<Waiting> {
    let live = record.numbered().filter_map(|(number, branch)| match (branch.state, &record.outcome) {
        (BranchState::Live { attempt, due_at }, None) => {
            let known = known.get(number.index())?;
            Some((Status::of_attempt(attempt, due_at, known, now), known.waiting.as_ref()))
        }
        (BranchState::Live { .. } | BranchState::Unstarted | BranchState::Dead | BranchState::Done, _) => None,
    });
    let expected = |waiting: Option<&Waiting>| waiting.and_then(|one| one.expected_at).unwrap_or(Millis(u64::MAX));
    live.max_by_key(|(status, waiting)| (*status, Reverse(expected(*waiting))))
        .and_then(|(_, waiting)| waiting.cloned())
}

/// The outcome of a settled record.
pub(super) fn outcome_of(record: &Record) -> Option<OutcomeBody> {
    record.outcome.as_ref().map(|outcome| OutcomeBody::new(outcome, &record.last_answers()))
}

impl BranchBody {
    fn new(record: &Record, number: BranchId, branch: &Branch, known: &Known, now: Millis) -> Self {
        let status = BranchStatus::of(record, number, branch, known, now);
        let next_attempt_at = match (status, branch.state) {
            (BranchStatus::BackingOff, BranchState::Live { due_at, .. }) => Some(due_at),
            (BranchStatus::Gated, _) => known.opens_at(now),
            (_, _) => None,
        };
        let url = Url::parse(&branch.contender.request.url).ok();
        Self {
            branch: number,
            parent: branch.contender.parent,
            destination: url.as_ref().and_then(Destination::of).map(|to| to.to_string()).unwrap_or_default(),
            account: branch.contender.account.clone(),
            priority: branch.contender.priority,
            regions: branch.placed.place.regions.clone(),
            status,
            attempts: branch.answers,
            started_at: branch.started_at,
            next_attempt_at,
            waiting: known.waiting.clone(),
            last: winning_answer(record, number).or(branch.last.as_ref()).map(LastBody::from),
        }
    }
}

impl BranchStatus {
    fn of(record: &Record, number: BranchId, branch: &Branch, known: &Known, now: Millis) -> Self {
        match branch.state {
            BranchState::Unstarted => Self::Unstarted,
            BranchState::Dead if record.has_moved(number) => Self::Moved,
            BranchState::Dead => Self::Failed,
            BranchState::Done => Self::Succeeded,
            BranchState::Live { .. } if winning_answer(record, number).is_some() => Self::Won,
            BranchState::Live { .. } if record.outcome.is_some() => Self::Cancelled,
            BranchState::Live { attempt, due_at } => match Status::of_attempt(attempt, due_at, known, now) {
                Status::BackingOff => Self::BackingOff,
                Status::Gated => Self::Gated,
                Status::Running => Self::Running,
                Status::Queued | Status::Success | Status::Failed | Status::Cancelled => Self::Queued,
            },
        }
    }
}

impl From<&Answer> for LastBody {
    fn from(answer: &Answer) -> Self {
        let error = match &answer.content {
            Content::Response(_) => None,
            Content::Error { kind, message } => Some(ErrorBody { kind: *kind, message: message.clone() }),
        };
        let region = answer.region.clone();
        Self { attempt: answer.attempt, at: answer.at, region, status_code: answer.status(), error }
    }
}

/// The answer that settled the job, where this branch won it: its own place in the record is empty then.
fn winning_answer(record: &Record, number: BranchId) -> Option<&Answer> {
    let won = |outcome: &&outcome::Outcome| {
        outcome.status == outcome::Status::Success && outcome.winner == Token::Branch(number)
    };
    record.outcome.as_ref().filter(won).and_then(|outcome| outcome.answer.as_ref())
}

fn webhook_bodies(job: &JobId, record: &Record, states: &[WebhookState]) -> Vec<WebhookBody> {
    let states = states.iter().chain(std::iter::repeat(&WebhookState::Untried));
    let body = |(number, (webhook, state)): (usize, (&Webhook, &WebhookState))| WebhookBody {
        id: format!("{job}.{}.{number}", record.incarnation),
        destination: destination_of(&webhook.url),
        status: state.into(),
    };
    record.webhooks.iter().zip(states).enumerate().map(body).collect()
}

/// A path or a query may hold a token, so neither is shown.
fn destination_of(url: &str) -> String {
    if url.starts_with("nats:") {
        return url.to_owned();
    }
    Url::parse(url).ok().as_ref().and_then(Destination::of).map(|to| to.to_string()).unwrap_or_default()
}
