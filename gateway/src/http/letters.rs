//! `/v1/dead-letters`: list, look at, try again, forget.

use axum::Json;
use axum::extract::{FromRequestParts, Path, RawQuery, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use sluice_shared::domain::id::Tenant;
use sluice_shared::nats::dead::DeadKind;

use super::Http;
use super::query;
use crate::access::Caller;
use crate::letters::{DoneBody, LetterBody, LetterError, PageBody, Wish};
use crate::problem::Problem;

/// Letters of a page, where nothing is said, and at most.
pub(super) const PAGE: (usize, usize) = (50, 500);

/// The letter that a path names.
pub(super) struct Id(u64);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = Path::<String>::from_request_parts(parts, state).await.ok();
        let id = id.and_then(|Path(id)| id.parse().ok());
        id.map(Self).ok_or_else(|| Problem::from(&LetterError::NotFound))
    }
}

/// Which letters a request is about.
struct Which {
    tenant: Option<Tenant>,
    kind: Option<DeadKind>,
    from: u64,
    limit: usize,
}

impl Which {
    fn of(caller: &Caller, query: Option<&str>) -> Result<Self, Problem> {
        let [kind, from, limit, tenant] = query::each(["kind", "from", "limit", "tenant"], query)?;
        let kind = kind.map(|kind| {
            let known = "`kind` is one of `webhook`, `submission`, `message`, `result`";
            DeadKind::parse(&kind).ok_or_else(|| query::bad(known.to_owned()))
        });
        let from = from.map(|from| from.parse().map_err(|_| query::bad("`from` is the `next` of a page".to_owned())));
        let limit = limit.map(|limit| match limit.parse() {
            Ok(limit) if (1..=PAGE.1).contains(&limit) => Ok(limit),
            Ok(_) | Err(_) => Err(query::bad(format!("`limit` is a number from 1 to {}", PAGE.1))),
        });
        Ok(Self {
            tenant: caller.reach(query::parsed("tenant", tenant.as_deref())?)?,
            kind: kind.transpose()?,
            from: from.transpose()?.unwrap_or(1),
            limit: limit.transpose()?.unwrap_or(PAGE.0),
        })
    }
}

pub(super) async fn list(
    State(http): State<Http>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<PageBody>, Problem> {
    let which = Which::of(&caller, query.as_deref())?;
    Ok(Json(http.letters(which.tenant).list(which.kind, which.from, which.limit).await?))
}

pub(super) async fn get(State(http): State<Http>, caller: Caller, Id(id): Id) -> Result<Json<LetterBody>, Problem> {
    Ok(Json(http.letters(caller.tenant().cloned()).get(id).await?))
}

pub(super) async fn redrive(State(http): State<Http>, caller: Caller, Id(id): Id) -> Result<StatusCode, Problem> {
    one(http, caller, id, Wish::Redrive, StatusCode::ACCEPTED).await
}

pub(super) async fn forget(State(http): State<Http>, caller: Caller, Id(id): Id) -> Result<StatusCode, Problem> {
    one(http, caller, id, Wish::Forget, StatusCode::NO_CONTENT).await
}

pub(super) async fn redrive_all(
    State(http): State<Http>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<DoneBody>, Problem> {
    all(http, caller, query, Wish::Redrive).await
}

pub(super) async fn forget_all(
    State(http): State<Http>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<DoneBody>, Problem> {
    all(http, caller, query, Wish::Forget).await
}

async fn one(http: Http, caller: Caller, id: u64, wish: Wish, status: StatusCode) -> Result<StatusCode, Problem> {
    let letters = http.letters(caller.tenant().cloned());
    http.to_its_end(async move { letters.one(id, wish).await }).await??;
    Ok(status)
}

async fn all(http: Http, caller: Caller, query: Option<String>, wish: Wish) -> Result<Json<DoneBody>, Problem> {
    let which = Which::of(&caller, query.as_deref())?;
    let letters = http.letters(which.tenant);
    Ok(Json(http.to_its_end(async move { letters.all(which.kind, which.from, wish).await }).await??))
}
