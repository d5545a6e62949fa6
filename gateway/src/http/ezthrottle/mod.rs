//! The wire of EZThrottle's published clients, so that a program that uses one of them switches by its base URLs alone.
//!
//! Everything that is known of that wire is here: `envelope` is what a client wraps its requests in, `job` how its jobs
//! differ from ours, `answer` what it gets back, `schema` how the document says so. The envelope's `target_url` names one of our resources by its path and is
//! never called.

mod answer;
mod envelope;
mod job;
mod schema;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use sluice_shared::domain::access::Scope::{self, Operate, Read, Submit};
use sluice_shared::domain::id::Tenant;
use sluice_shared::domain::webhook_secrets::Scheme;
use sluice_shared::effects::SubmitError;

use super::{Http, body, quota};
use crate::access::{Budget, Caller, Denied};
use crate::jobs::Refusal;
use crate::problem::Problem;
use crate::webhook_secrets;
use answer::Answer;
pub(super) use answer::{Done, Forwarded, QueuedJob, SecretsAnswer};
use envelope::{Envelope, NoEnvelope, Resource};
pub(crate) use schema::schemas;
pub(super) use schema::{JOB, PROBLEM};

/// The largest body of what is no job, in bytes.
const LARGEST: usize = 64 * 1024;
/// What wraps a job in an envelope: its names, and the escapes of a job inside a string.
const WRAPPED: usize = 2;

/// `POST /api/v1/proxy`: a request to one of our resources, in an envelope.
pub(super) async fn proxy(State(http): State<Http>, caller: Caller, request: Request) -> Response {
    let limit = http.jobs.effects().nats().max_payload().saturating_mul(WRAPPED);
    let json = match body::read(request, limit).await {
        Ok(json) => json,
        Err(problem) => return Answer::from(problem).into_response(),
    };
    match Envelope::read(&json) {
        Ok(Envelope { resource, body }) => {
            let budget = http.access.budget(&caller, &tenant_of(&caller));
            let answer = resource_of(&http, &caller, budget.as_ref(), resource, &body).await;
            quota::told(budget.as_ref(), answer::forwarded(answer))
        }
        Err(NoEnvelope::NamesNothing(why)) => answer::denied(why),
        Err(NoEnvelope::NotJson(why)) => {
            Answer::from(Problem::new(StatusCode::BAD_REQUEST, "not_json", why)).into_response()
        }
        Err(NoEnvelope::Unreadable(why)) => {
            Answer::from(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_envelope", why)).into_response()
        }
    }
}

/// `POST /api/v1/jobs`: the same job without an envelope.
pub(super) async fn submit(State(http): State<Http>, caller: Caller, request: Request) -> Response {
    let limit = http.jobs.effects().nats().max_payload();
    answered(http, caller, Resource::Submit, body::read(request, limit).await).await
}

/// `GET /api/v1/webhook-secrets`.
pub(super) async fn secrets(State(http): State<Http>, caller: Caller) -> Response {
    answered(http, caller, Resource::Secrets, Ok(Bytes::new())).await
}

/// `POST /api/v1/webhook-secrets`.
pub(super) async fn set_secrets(State(http): State<Http>, caller: Caller, request: Request) -> Response {
    answered(http, caller, Resource::SetSecrets, body::read(request, LARGEST).await).await
}

/// `DELETE /api/v1/webhook-secrets`.
pub(super) async fn forget_secrets(State(http): State<Http>, caller: Caller) -> Response {
    answered(http, caller, Resource::ForgetSecrets, Ok(Bytes::new())).await
}

async fn answered(http: Http, caller: Caller, resource: Resource, body: Result<Bytes, Problem>) -> Response {
    match body {
        Ok(body) => {
            let budget = http.access.budget(&caller, &tenant_of(&caller));
            let answer = resource_of(&http, &caller, budget.as_ref(), resource, &body).await;
            quota::told(budget.as_ref(), answer.into_response())
        }
        Err(problem) => Answer::from(problem).into_response(),
    }
}

/// Whose job it is: the default tenant's, where whoever calls has none.
fn tenant_of(caller: &Caller) -> Tenant {
    caller.tenant().cloned().unwrap_or_default()
}

/// What one of our resources answers. A job is counted in the budget.
async fn resource_of(http: &Http, caller: &Caller, budget: Option<&Budget>, resource: Resource, body: &[u8]) -> Answer {
    let tenant = tenant_of(caller);
    let done = match resource {
        Resource::Submit => http.submit_foreign(caller, budget.cloned(), &tenant, body).await,
        Resource::Secrets => http.foreign_secrets(caller, &tenant).await,
        Resource::SetSecrets => http.set_foreign_secrets(caller, tenant, body).await,
        Resource::ForgetSecrets => http.forget_foreign_secrets(caller, tenant).await,
    };
    done.unwrap_or_else(Answer::from)
}

impl Http {
    async fn submit_foreign(
        &self,
        caller: &Caller,
        budget: Option<Budget>,
        tenant: &Tenant,
        json: &[u8],
    ) -> Result<Answer, Problem> {
        needs(caller, Submit)?;
        let job = job::read(json);
        let (http, of) = (self.clone(), tenant.clone());
        let hashed = job.key.is_some();
        let taking = async move { http.take(budget.as_ref(), &of, &job.json, job.key.as_deref(), None).await };
        match self.to_its_end(taking).await? {
            Ok(receipt) => Ok(Answer::of(StatusCode::CREATED, &QueuedJob::from(&receipt))),
            // Of jobs without a key the request names the job, whatever else they say.
            Err(Refusal::NotTaken(SubmitError::Conflict { job, .. })) if hashed => {
                let there = self.jobs.get(tenant, &job).await.map_err(Problem::from)?;
                Ok(Answer::of(StatusCode::CREATED, &QueuedJob::from(&there)))
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    async fn foreign_secrets(&self, caller: &Caller, tenant: &Tenant) -> Result<Answer, Problem> {
        needs(caller, Read)?;
        let secrets = self.webhook_secrets().get(tenant).await?;
        Ok(Answer::of(StatusCode::OK, &SecretsAnswer::new(tenant, secrets)))
    }

    async fn set_foreign_secrets(&self, caller: &Caller, tenant: Tenant, json: &[u8]) -> Result<Answer, Problem> {
        needs(caller, Operate)?;
        let mut given = webhook_secrets::read(json)?;
        given.schemes = Scheme::ALL.into();
        let secrets = self.webhook_secrets();
        self.to_its_end(async move { secrets.set(&tenant, &given).await }).await??;
        Ok(Answer::of(StatusCode::CREATED, &Done::saying("webhook secrets are set")))
    }

    async fn forget_foreign_secrets(&self, caller: &Caller, tenant: Tenant) -> Result<Answer, Problem> {
        needs(caller, Operate)?;
        let secrets = self.webhook_secrets();
        self.to_its_end(async move { secrets.forget(&tenant).await }).await??;
        Ok(Answer::of(StatusCode::OK, &Done::saying("webhook secrets are deleted")))
    }
}

/// The door has let them in for what they asked of it, which was the envelope.
fn needs(caller: &Caller, scope: Scope) -> Result<(), Problem> {
    if caller.may(scope) { Ok(()) } else { Err(Denied::NoScope(scope).into()) }
}
