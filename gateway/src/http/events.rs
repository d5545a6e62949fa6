//! `/v1/jobs/{id}/events`: what happens to a job as server-sent events, from its beginning or from where a client was
//! cut off, up to its outcome.
//!
//! Each event is named by its kind and carries its JSON; the last one is `outcome`. What comes from the stream of events
//! has an id to go on from. Whoever has the outcome and comes again is told by 204 that there is no more (HTML, 9.2.1).

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use sluice_shared::domain::id::Incarnation;

use super::jobs::Id;
use super::{Http, query};
use crate::access::Caller;
use crate::jobs::{Follower, Next};
use crate::problem::Problem;

/// How often a comment keeps the connection open while nothing happens.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Tells proxies of the nginx kind not to hold events back.
const UNBUFFERED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

pub(super) async fn follow(
    State(http): State<Http>,
    caller: Caller,
    Id(job): Id,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asked = query::only("last_event_id", query.as_deref())?;
    // A browser that comes again repeats the query, but knows better by now.
    let header = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let last = header.or(asked).unwrap_or_default();
    let tenant = http.tenant_of(&caller, &job).await?;
    let follower = http.jobs.follow(&tenant, &job, last.parse().ok()).await?;
    if follower.has_ended() && last == outcome_id(follower.incarnation()) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let events = Sse::new(events(http, caller, follower)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok(([UNBUFFERED], events).into_response())
}

/// Ends too where the caller would not be let in any more.
fn events(http: Http, caller: Caller, follower: Follower) -> impl Stream<Item = Result<Event, Infallible>> {
    let (stop, waiting) = (http.stop.clone().cancelled_owned(), http.metrics.client_waits());
    let following = stream::unfold((Box::new(follower), waiting), async |(mut follower, waiting)| {
        let next = follower.next().await?;
        let event = event(&next, follower.incarnation());
        Some((Ok(event), (follower, waiting)))
    });
    let ended = async move { caller.ended().await };
    following.take_until(stop).take_until(Box::pin(ended))
}

fn event(next: &Next, incarnation: &Incarnation) -> Event {
    let (name, id, data) = match next {
        Next::Event(told) => {
            (told.event.what.kind(), told.place.map(|place| place.to_string()), serde_json::to_string(&told.event))
        }
        Next::Outcome(outcome) => ("outcome", Some(outcome_id(incarnation)), serde_json::to_string(outcome)),
    };
    let event = Event::default().event(name).data(data.unwrap_or_default());
    match id {
        Some(id) => event.id(id),
        None => event,
    }
}

/// The id of the last event.
fn outcome_id(incarnation: &Incarnation) -> String {
    format!("{incarnation}-outcome")
}
