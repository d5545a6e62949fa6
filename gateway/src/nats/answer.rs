//! Answers as the micro protocol says them: JSON, or problem details with the error in two headers beside them.
//!
//! Source: NATS ADR-32. Invariant: whoever asked for an answer gets one, whatever its size.

use async_nats::service::error::Error;
use async_nats::service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE, Request};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use serde::Serialize;
use sluice_shared::nats::Nats;
use sluice_shared::nats::dead::one_line;

use super::error::RequestError;
use crate::problem::Problem;

/// Room for headers beside an answer, in bytes.
const HEADERS: usize = 4096;
/// The longest error in a header, in characters; the whole is in the payload.
const LONGEST_ERROR: usize = 500;

/// The JSON of an answer.
pub(super) fn json<T: Serialize>(body: &T) -> Result<Bytes, RequestError> {
    serde_json::to_vec(body).map(Bytes::from).map_err(|error| {
        tracing::error!(%error, "an answer could not be written");
        RequestError::Unwritable
    })
}

/// Sends an answer. Without somewhere to send it the request is done all the same; so it is where the requester wants
/// it sent to what it may not publish to itself.
pub(super) async fn send(nats: &Nats, request: Request, answer: Result<Bytes, RequestError>) {
    let (client, topology) = (nats.client(), nats.topology());
    let may_go = |reply: &async_nats::Subject| topology.takes_answers(reply);
    if !request.message.reply.as_ref().is_some_and(may_go) {
        return;
    }
    let sent = match answer.and_then(|json| fitting(json, client.max_payload())) {
        Ok(json) => request.respond(Ok(json)).await,
        Err(error) => refuse(client, request, &Problem::from(&error)).await,
    };
    if let Err(error) = sent {
        tracing::debug!(%error, "an answer was not sent");
    }
}

fn fitting(json: Bytes, max_payload: usize) -> Result<Bytes, RequestError> {
    if json.len() + HEADERS <= max_payload { Ok(json) } else { Err(RequestError::AnswerTooLarge) }
}

async fn refuse(client: &Client, request: Request, problem: &Problem) -> Result<(), async_nats::PublishError> {
    let error = Error { status: one_line(&problem.detail, LONGEST_ERROR), code: problem.status.as_u16().into() };
    if let Some(reply) = request.message.reply.clone() {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_SERVICE_ERROR, error.status.as_str());
        headers.insert(NATS_SERVICE_ERROR_CODE, error.code.to_string());
        client.publish_with_headers(reply, headers, json(problem).unwrap_or_default()).await?;
    }
    count(client, request, error).await
}

/// Counts an error in the service's statistics. The library does so only as it sends one, without a payload; so that one
/// goes where nobody listens.
async fn count(client: &Client, mut request: Request, error: Error) -> Result<(), async_nats::PublishError> {
    request.message.reply = Some(client.new_inbox().into());
    request.respond(Err(error)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_does_not_fit_is_a_problem_of_its_own() {
        let json = Bytes::from_static(&[b'x'; 1000]);
        assert!(fitting(json.clone(), 1000 + HEADERS).is_ok());
        assert!(matches!(fitting(json, 999 + HEADERS), Err(RequestError::AnswerTooLarge)));
    }
}
