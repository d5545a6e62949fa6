//! What the service does: each operation on jobs, for whoever asks over NATS.
//!
//! Owns how a request is understood; what it does is done by `jobs`, as for HTTP.

use std::time::Duration;

use async_nats::Message;
use bytes::Bytes;
use sluice_shared::domain::id::Tenant;
use sluice_shared::effects::Cancelled;
use sluice_shared::nats::Nats;
use sluice_shared::telemetry::{Metrics, Via};
use sluice_shared::topology::Topology;
use tokio_util::sync::CancellationToken;

use super::answer::json;
use super::ask::Ask;
use super::beside;
use super::error::RequestError;
use crate::access::Access;
use crate::jobs::{GetError, JobBody, Jobs, ReceiptBody, counted};

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// To run a job.
    Submit,
    /// How far a job is.
    Get,
    /// The same, once it has ended.
    Wait,
    /// To give a job up.
    Cancel,
}

impl Operation {
    pub(super) const ALL: [Self; 4] = [Self::Submit, Self::Get, Self::Wait, Self::Cancel];

    /// The token of its subject.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Get => "get",
            Self::Wait => "wait",
            Self::Cancel => "cancel",
        }
    }

    /// What a request holds and what the answer is, for those who look the service up.
    pub(super) fn about(self) -> [(&'static str, &'static str); 2] {
        let (request, answer) = match self {
            Self::Submit => ("a job as JSON; its key also as the header Idempotency-Key", "the receipt"),
            Self::Get => ("a job's id as text, or {job_id} or {idempotent_key}", "the job"),
            Self::Wait => ("a job's id as text, or {job_id or idempotent_key, timeout}", "the job once it has ended"),
            Self::Cancel => ("a job's id as text, or {job_id} or {idempotent_key}", "the job"),
        };
        [("request", request), ("answer", answer)]
    }
}

/// Answers requests.
pub(super) struct Desk {
    jobs: Jobs,
    access: Access,
    metrics: Metrics,
    max_wait: Duration,
    stop: CancellationToken,
}

impl Desk {
    /// Nobody waits longer than `max_wait`, and nobody once `stop` was said.
    pub(super) fn new(
        jobs: Jobs,
        access: Access,
        metrics: Metrics,
        max_wait: Duration,
        stop: CancellationToken,
    ) -> Self {
        Self { jobs, access, metrics, max_wait, stop }
    }

    pub(super) fn nats(&self) -> &Nats {
        self.jobs.effects().nats()
    }

    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Does what was asked for.
    pub(super) async fn handle(&self, operation: Operation, message: &Message) -> Result<Bytes, RequestError> {
        let tenant = self.tenant_of(operation, &message.subject)?;
        let about_a_job = || Ask::read(&message.payload, &tenant, operation == Operation::Wait);
        match operation {
            Operation::Submit => json(&self.submit(&tenant, message).await?),
            Operation::Get => json(&self.jobs.get(&tenant, &about_a_job()?.job).await?),
            Operation::Wait => json(&self.wait(&tenant, &about_a_job()?).await?),
            Operation::Cancel => json(&self.cancel(&tenant, &about_a_job()?).await?),
        }
    }

    /// Whose turn a request takes: that of its tenant; of one that names none rightly, the default's.
    pub(super) fn whose(&self, operation: Operation, subject: &str) -> Tenant {
        self.tenant_of(operation, subject).unwrap_or_default()
    }

    /// Whose request it is by its subject.
    fn tenant_of(&self, operation: Operation, subject: &str) -> Result<Tenant, RequestError> {
        let without = self.nats().topology().api(operation.as_str(), None);
        let Some(token) = Topology::tenant_in(subject, &without) else { return Ok(Tenant::default()) };
        Ok(token.parse()?)
    }

    async fn submit(&self, tenant: &Tenant, message: &Message) -> Result<ReceiptBody, RequestError> {
        let headers = message.headers.as_ref();
        let key = beside::key(headers, &message.payload, None);
        let (budget, trace) = (self.access.budget_of(tenant), beside::traceparent(headers));
        let submitted = self.jobs.submit_within(budget.as_ref(), tenant, &message.payload, key, trace).await;
        self.metrics.submitted(Via::Nats, counted(&submitted));
        Ok(ReceiptBody::from(&submitted?))
    }

    /// Who waits when the gateway stops is told how far the job is by then.
    async fn wait(&self, tenant: &Tenant, ask: &Ask) -> Result<JobBody, GetError> {
        let at_most = ask.timeout.unwrap_or(self.max_wait).min(self.max_wait);
        match self.stop.run_until_cancelled(self.jobs.wait(tenant, &ask.job, at_most)).await {
            Some(waited) => waited,
            None => self.jobs.get(tenant, &ask.job).await,
        }
    }

    async fn cancel(&self, tenant: &Tenant, ask: &Ask) -> Result<JobBody, RequestError> {
        let cancelled = self.jobs.cancel(tenant, &ask.job).await?;
        let (Cancelled::Ended(record) | Cancelled::Accepted(record)) = cancelled;
        Ok(self.jobs.describe(&ask.job, &record).await)
    }
}
