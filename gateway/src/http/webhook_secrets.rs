//! `/v1/webhook-secrets`: what a tenant's webhooks are signed with.

use axum::Json;
use axum::extract::{RawQuery, Request, State};
use axum::http::StatusCode;

use super::jobs::tenant_for;
use super::{Http, body};
use crate::access::Caller;
use crate::problem::Problem;
use crate::webhook_secrets::{NoSecrets, Secrets, SecretsBody, read};

/// The largest body, in bytes.
const LARGEST: usize = 64 * 1024;

impl Http {
    pub(super) fn webhook_secrets(&self) -> Secrets {
        Secrets::new(self.jobs.effects())
    }
}

pub(super) async fn get(
    State(http): State<Http>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<SecretsBody>, Problem> {
    let tenant = tenant_for(&caller, query.as_deref())?;
    Ok(Json(http.webhook_secrets().get(&tenant).await?))
}

pub(super) async fn set(
    State(http): State<Http>,
    caller: Caller,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Json<SecretsBody>, Problem> {
    let tenant = tenant_for(&caller, query.as_deref())?;
    let json = body::read(request, LARGEST).await?;
    let (secrets, given) = (http.webhook_secrets(), read(&json)?);
    Ok(Json(http.to_its_end(async move { secrets.set(&tenant, &given).await }).await??))
}

pub(super) async fn forget(
    State(http): State<Http>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Problem> {
    let tenant = tenant_for(&caller, query.as_deref())?;
    let secrets = http.webhook_secrets();
    http.to_its_end(async move { secrets.forget(&tenant).await }).await??;
    Ok(StatusCode::NO_CONTENT)
}

impl From<NoSecrets> for Problem {
    fn from(refused: NoSecrets) -> Self {
        match refused {
            NoSecrets::NotJson(why) => Self::new(StatusCode::BAD_REQUEST, "not_json", why),
            NoSecrets::Invalid(faults) => {
                let each: Vec<String> = faults.iter().map(ToString::to_string).collect();
                let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_secrets", each.join("; "));
                Self { faults, ..problem }
            }
        }
    }
}
