//! `/v1/keys`: make, list, revoke.
//!
//! At an open door keys mean nothing, and are not made: somebody on this machine who is let in without one would make
//! themselves one that lets them in elsewhere.

use axum::Json;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sluice_shared::clock;
use sluice_shared::domain::access::MayNot;
use sluice_shared::domain::id::{KeyId, Tenant};
use sluice_shared::keys::{KeyError, Keyring, Keys};
use sluice_shared::nats::bucket::BucketError;
use sluice_shared::nats::publish::PublishError;

use super::{Http, body, query};
use crate::access::Caller;
use crate::keys::{CreatedBody, KeyBody, KeyList, NoWish, read_wish};
use crate::problem::Problem;

/// The largest wish for a key, in bytes.
const LARGEST: usize = 64 * 1024;
/// Seconds after which it is worth asking again.
const AGAIN_SOON: u32 = 1;

pub(super) async fn create(State(http): State<Http>, caller: Caller, request: Request) -> Result<Response, Problem> {
    let (keys, ring) = http.keys()?;
    let json = body::read(request, LARGEST).await?;
    let wish = read_wish(&json, caller.tenant())?;
    let making = async move {
        let made = keys.create(wish, caller.key().map(|(id, key)| (id, &**key))).await?;
        tracing::info!(id = %made.0.id, by = caller.key().map(|(id, _)| id.as_str()), "an API key was made");
        ring.sees(&made.0.id, true).await;
        Ok::<_, KeyError>(made)
    };
    let (api_key, key) = http.to_its_end(making).await??;
    let unkept = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((StatusCode::CREATED, unkept, Json(CreatedBody::new(&api_key, &key, clock::now()))).into_response())
}

pub(super) async fn list(
    State(http): State<Http>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<KeyList>, Problem> {
    let (_, ring) = http.keys()?;
    let asked = query::only("tenant", query.as_deref())?;
    let of = caller.reach(query::parsed::<Tenant>("tenant", asked.as_deref())?)?;
    let all = ring.all().into_iter().filter(|(_, key)| of.is_none() || key.tenant == of);
    Ok(Json(KeyList { keys: all.map(|(id, key)| KeyBody::new(&id, &key, clock::now())).collect() }))
}

pub(super) async fn revoke(
    State(http): State<Http>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let (keys, ring) = http.keys()?;
    let id: KeyId = id.parse().map_err(|_| Problem::from(KeyError::NotFound))?;
    let revoking = async move {
        keys.revoke(&id, caller.tenant()).await?;
        tracing::info!(%id, by = caller.key().map(|(id, _)| id.as_str()), "an API key was revoked");
        ring.sees(&id, false).await;
        Ok::<_, KeyError>(())
    };
    http.to_its_end(revoking).await??;
    Ok(StatusCode::NO_CONTENT)
}

impl Http {
    fn keys(&self) -> Result<(Keys, Keyring), Problem> {
        let keys = self.access.keys().cloned().zip(self.access.keyring().cloned());
        keys.ok_or_else(|| {
            let detail = "this gateway lets everybody in, so it makes no keys: start it with `gateway.auth = \"keys\"`, or \
                          use `sluice keys`";
            Problem::new(StatusCode::CONFLICT, "no_keys_here", detail)
        })
    }
}

impl From<NoWish> for Problem {
    fn from(refused: NoWish) -> Self {
        match refused {
            NoWish::NotJson(why) => Self::new(StatusCode::BAD_REQUEST, "not_json", why),
            NoWish::Invalid(faults) => MayNot::Invalid(faults).into(),
        }
    }
}

impl From<MayNot> for Problem {
    fn from(refused: MayNot) -> Self {
        let problem = |status, code| Self::new(status, code, refused.to_string());
        match &refused {
            MayNot::Reach => problem(StatusCode::FORBIDDEN, "other_tenant"),
            MayNot::TooDeep => problem(StatusCode::FORBIDDEN, "too_deep"),
            MayNot::Invalid(faults) => {
                Self { faults: faults.clone(), ..problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_api_key") }
            }
        }
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        let problem = |status, code| Self::new(status, code, error.to_string());
        let again = |problem| Self { retry_after: Some(AGAIN_SOON), ..problem };
        match error {
            KeyError::MayNot(refused) => refused.into(),
            KeyError::NotFound => problem(StatusCode::NOT_FOUND, "no_such_key"),
            KeyError::Unknown | KeyError::Bucket(BucketError::Read(_)) => {
                again(problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable"))
            }
            KeyError::Bucket(BucketError::Refused(PublishError::NoRoom(_))) => {
                again(problem(StatusCode::SERVICE_UNAVAILABLE, "storage_full"))
            }
            KeyError::Bucket(BucketError::Refused(_) | BucketError::Unreadable { .. }) => {
                tracing::warn!(%error, "an API key could not be read or written");
                Self::internal()
            }
        }
    }
}
