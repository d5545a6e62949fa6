//! `/v1/webhook-secrets`: what a tenant's webhooks are signed with.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use sluice_shared::domain::id::Tenant;

use super::{Http, body};
use crate::problem::Problem;
use crate::webhook_secrets::{NoSecrets, Secrets, SecretsBody, read};

/// The largest body, in bytes.
const LARGEST: usize = 64 * 1024;

impl Http {
    fn webhook_secrets(&self) -> Secrets {
        Secrets::new(self.jobs.effects())
    }
}

pub(super) async fn get(State(http): State<Http>) -> Result<Json<SecretsBody>, Problem> {
    Ok(Json(http.webhook_secrets().get(&Tenant::default()).await?))
}

pub(super) async fn set(State(http): State<Http>, request: Request) -> Result<Json<SecretsBody>, Problem> {
    let json = body::read(request, LARGEST).await?;
    let (secrets, given) = (http.webhook_secrets(), read(&json)?);
    Ok(Json(http.to_its_end(async move { secrets.set(&Tenant::default(), &given).await }).await??))
}

pub(super) async fn forget(State(http): State<Http>) -> Result<StatusCode, Problem> {
    let secrets = http.webhook_secrets();
    http.to_its_end(async move { secrets.forget(&Tenant::default()).await }).await??;
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
