//! `/v1/queues` and `/v1/queues/{queue}`: look, change limits, pause, resume, purge.

use axum::Json;
use axum::extract::{FromRequestParts, Path, RawQuery, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Serialize;
use sluice_shared::domain::id::QueueName;

use super::{Http, body, query};
use crate::access::Caller;
use crate::problem::Problem;
use crate::queues::{MOST_PURGED, MOST_SHOWN, NoAdjustment, Page, Purged, QueueBody, QueueError, QueueList};
use crate::queues::{Queues, read_adjustment};

/// Queues of a page, where the request does not say.
pub(super) const SHOWN: usize = 100;
/// The largest change, in bytes.
const LARGEST: usize = 64 * 1024;

/// The queue that a path names.
pub(super) struct Named(QueueName);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let name = Path::<String>::from_request_parts(parts, state).await.ok();
        let queue = name.and_then(|Path(name)| name.parse().ok());
        queue.map(Self).ok_or_else(|| QueueError::NotFound.into())
    }
}

impl Http {
    /// Those that this caller reaches.
    fn queues(&self, caller: &Caller) -> Queues {
        Queues::new(self.jobs.clone()).of(caller.tenant().cloned())
    }

    /// Goes on although the client may leave, so that a change is made whole.
    async fn changed<T: Serialize + Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, QueueError>> + Send + 'static,
    ) -> Result<Json<T>, Problem> {
        Ok(Json(self.to_its_end(change).await??))
    }
}

pub(super) async fn list(
    State(http): State<Http>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<QueueList>, Problem> {
    let [limit, cursor, tenant, destination] =
        query::among(["limit", "cursor", "tenant", "destination"], query.as_deref())?;
    let page = Page {
        limit: query::count("limit", limit.as_deref(), 1..=MOST_SHOWN)?.unwrap_or(SHOWN),
        after: query::parsed("cursor", cursor.as_deref())?,
        tenant: caller.reach(query::parsed("tenant", tenant.as_deref())?)?,
        destination,
    };
    Ok(Json(http.queues(&caller).list(&page).await))
}

pub(super) async fn get(
    State(http): State<Http>,
    caller: Caller,
    Named(queue): Named,
) -> Result<Json<QueueBody>, Problem> {
    Ok(Json(http.queues(&caller).get(&queue).await?))
}

pub(super) async fn adjust(
    State(http): State<Http>,
    caller: Caller,
    Named(queue): Named,
    request: Request,
) -> Result<Json<QueueBody>, Problem> {
    let json = body::read(request, LARGEST).await?;
    let adjustment = read_adjustment(&json)?;
    let queues = http.queues(&caller);
    http.changed(async move { queues.adjust(&queue, adjustment).await }).await
}

pub(super) async fn pause(
    State(http): State<Http>,
    caller: Caller,
    Named(queue): Named,
) -> Result<Json<QueueBody>, Problem> {
    let queues = http.queues(&caller);
    http.changed(async move { queues.pause(&queue, true).await }).await
}

pub(super) async fn resume(
    State(http): State<Http>,
    caller: Caller,
    Named(queue): Named,
) -> Result<Json<QueueBody>, Problem> {
    let queues = http.queues(&caller);
    http.changed(async move { queues.pause(&queue, false).await }).await
}

pub(super) async fn purge(
    State(http): State<Http>,
    caller: Caller,
    Named(queue): Named,
    RawQuery(query): RawQuery,
) -> Result<Json<Purged>, Problem> {
    let [limit, cursor] = query::among(["limit", "cursor"], query.as_deref())?;
    let limit = query::count("limit", limit.as_deref(), 1..=MOST_PURGED)?.unwrap_or(MOST_PURGED);
    let after = query::parsed("cursor", cursor.as_deref())?.unwrap_or(0);
    let queues = http.queues(&caller);
    http.changed(async move { queues.purge(&queue, after, limit).await }).await
}

impl From<NoAdjustment> for Problem {
    fn from(refused: NoAdjustment) -> Self {
        match refused {
            NoAdjustment::NotJson(why) => Self::new(StatusCode::BAD_REQUEST, "not_json", why),
            NoAdjustment::Invalid(faults) => {
                let each: Vec<String> = faults.iter().map(ToString::to_string).collect();
                let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_limits", each.join("; "));
                Self { faults, ..problem }
            }
        }
    }
}
