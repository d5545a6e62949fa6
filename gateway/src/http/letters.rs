//! `/v1/dead-letters`: list, look at, try again, forget.

use axum::Json;
use axum::extract::{FromRequestParts, Path, RawQuery, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use sluice_shared::nats::dead::DeadKind;

use super::Http;
use super::query;
use crate::letters::{DoneBody, LetterBody, LetterError, PageBody, Wish};
use crate::problem::Problem;

/// Letters of a page, where nothing is said, and at most.
const PAGE: (usize, usize) = (50, 500);

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
    kind: Option<DeadKind>,
    from: u64,
    limit: usize,
}

impl Which {
    fn of(query: Option<&str>) -> Result<Self, Problem> {
        let [kind, from, limit] = query::each(["kind", "from", "limit"], query)?;
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
            kind: kind.transpose()?,
            from: from.transpose()?.unwrap_or(1),
            limit: limit.transpose()?.unwrap_or(PAGE.0),
        })
    }
}

pub(super) async fn list(State(http): State<Http>, RawQuery(query): RawQuery) -> Result<Json<PageBody>, Problem> {
    let which = Which::of(query.as_deref())?;
    Ok(Json(http.letters().list(which.kind, which.from, which.limit).await?))
}

pub(super) async fn get(State(http): State<Http>, Id(id): Id) -> Result<Json<LetterBody>, Problem> {
    Ok(Json(http.letters().get(id).await?))
}

pub(super) async fn redrive(State(http): State<Http>, Id(id): Id) -> Result<StatusCode, Problem> {
    one(http, id, Wish::Redrive, StatusCode::ACCEPTED).await
}

pub(super) async fn forget(State(http): State<Http>, Id(id): Id) -> Result<StatusCode, Problem> {
    one(http, id, Wish::Forget, StatusCode::NO_CONTENT).await
}

pub(super) async fn redrive_all(
    State(http): State<Http>,
    RawQuery(query): RawQuery,
) -> Result<Json<DoneBody>, Problem> {
    all(http, query, Wish::Redrive).await
}

pub(super) async fn forget_all(State(http): State<Http>, RawQuery(query): RawQuery) -> Result<Json<DoneBody>, Problem> {
    all(http, query, Wish::Forget).await
}

async fn one(http: Http, id: u64, wish: Wish, status: StatusCode) -> Result<StatusCode, Problem> {
    let letters = http.letters();
    http.to_its_end(async move { letters.one(id, wish).await }).await??;
    Ok(status)
}

async fn all(http: Http, query: Option<String>, wish: Wish) -> Result<Json<DoneBody>, Problem> {
    let (letters, which) = (http.letters(), Which::of(query.as_deref())?);
    Ok(Json(http.to_its_end(async move { letters.all(which.kind, which.from, wish).await }).await??))
}
