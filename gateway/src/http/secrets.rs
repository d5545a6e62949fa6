//! `/v1/secrets` and `/v1/secrets/{name}`: secrets that a tenant's jobs name.

use axum::Json;
use axum::extract::{FromRequestParts, Path, RawQuery, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use sluice_shared::domain::named_secret::{NAME_RULE, Name};

use super::jobs::tenant_for;
use super::{Http, body};
use crate::access::Caller;
use crate::problem::Problem;
use crate::secrets::{NoValue, SecretBody, SecretError, SecretList, Secrets, read};

/// The largest body, in bytes.
const LARGEST: usize = 64 * 1024;

/// The secret that a path names.
pub(super) struct Named(Name);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let name = Path::<String>::from_request_parts(parts, state).await.ok();
        let name = name.and_then(|Path(name)| Name::parse(&name));
        name.map(Self).ok_or_else(|| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_name", NAME_RULE))
    }
}

impl Http {
    fn secrets(&self) -> Secrets {
        Secrets::new(self.jobs.effects())
    }
}

pub(super) async fn list(
    State(http): State<Http>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<SecretList>, Problem> {
    let tenant = tenant_for(&caller, query.as_deref())?;
    Ok(Json(http.secrets().list(&tenant).await?))
}

pub(super) async fn set(
    State(http): State<Http>,
    caller: Caller,
    RawQuery(query): RawQuery,
    Named(name): Named,
    request: Request,
) -> Result<Json<SecretBody>, Problem> {
    let tenant = tenant_for(&caller, query.as_deref())?;
    let json = body::read(request, LARGEST).await?;
    let (secrets, value) = (http.secrets(), read(&json)?);
    Ok(Json(http.to_its_end(async move { secrets.set(&tenant, name, &value).await }).await??))
}

pub(super) async fn forget(
    State(http): State<Http>,
    caller: Caller,
    RawQuery(query): RawQuery,
    Named(name): Named,
) -> Result<StatusCode, Problem> {
    let tenant = tenant_for(&caller, query.as_deref())?;
    let secrets = http.secrets();
    http.to_its_end(async move { secrets.forget(&tenant, name).await }).await??;
    Ok(StatusCode::NO_CONTENT)
}

impl From<NoValue> for Problem {
    fn from(refused: NoValue) -> Self {
        match refused {
            NoValue::NotJson(why) => Self::new(StatusCode::BAD_REQUEST, "not_json", why),
            NoValue::Invalid(faults) => {
                let each: Vec<String> = faults.iter().map(ToString::to_string).collect();
                let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_secret", each.join("; "));
                Self { faults, ..problem }
            }
        }
    }
}

impl From<SecretError> for Problem {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::NoKey => Self::new(StatusCode::CONFLICT, "nothing_sealed", error.to_string()),
            SecretError::TooMany => Self::new(StatusCode::CONFLICT, "too_many_secrets", error.to_string()),
            SecretError::Secrets(error) => error.into(),
        }
    }
}
