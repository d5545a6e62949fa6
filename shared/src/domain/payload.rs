//! An outcome as callers see it: the body of a webhook, and the `outcome` of a job that is asked about.

use data_encoding::BASE64;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

use super::id::{BranchId, Region, Token};
use super::job::JsonText;
use super::outcome::{Answer, BranchAnswer, Content, ErrorKind, Outcome, Reason, Response};
use super::result::JobResult;
use crate::clock::Millis;

/// The body of a webhook.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookPost")]
pub struct WebhookBody {
    /// The job.
    pub job_id: String,
    /// The key that names it.
    pub idempotent_key: String,
    /// How it ended, and with what.
    #[serde(flatten)]
    pub outcome: OutcomeBody,
    /// What the caller wanted back; an empty object where nothing was given.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub metadata: Box<RawValue>,
    /// Which try of which webhook this is.
    pub delivery: DeliveryBody,
}

/// Which try of which webhook a post is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Delivery")]
pub struct DeliveryBody {
    /// The same each time this event is posted.
    pub id: String,
    /// From 1.
    pub attempt: u32,
}

/// How a job ended, and with what.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Outcome")]
pub struct OutcomeBody {
    /// `success`, `failed` or `cancelled`.
    #[schemars(with = "super::outcome::Status")]
    pub status: &'static str,
    /// Why it did not succeed: `exhausted`, `deadline`, `cancelled`, `refused`, `poisoned`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["exhausted", "deadline", "cancelled", "refused", "poisoned"]))]
    pub reason: Option<&'static str>,
    /// What was wrong with a refused submission, or why nobody could handle the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The branch that won, where one did; 0 is the job's own request. None did in a fanout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub winner: Option<u16>,
    /// When it was settled, milliseconds since the epoch.
    pub settled_at: Millis,
    /// The answer that counted; of a fanout that succeeded, the first that did.
    pub response: Option<ResponseBody>,
    /// Why there was no response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
    /// Each branch's last answer, where the job did not succeed or is a fanout.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<BranchBody>,
}

/// An HTTP response as JSON.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Response")]
pub struct ResponseBody {
    /// The status code.
    pub status_code: u16,
    /// Headers; what came several times is joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// The body as text, or base64 where it is no UTF-8.
    pub body: String,
    /// `base64` where the body is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["base64"]))]
    pub body_encoding: Option<&'static str>,
    /// Whether the body was longer than what is kept.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// Why there was no response.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub struct ErrorBody {
    /// For programs.
    pub kind: ErrorKind,
    /// For people.
    pub message: String,
}

/// A branch and its last answer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OutcomeBranch")]
pub struct BranchBody {
    /// The branch; 0 is the job's own request.
    pub branch: BranchId,
    /// The region whose worker got the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Which attempt the answer is to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Its last answer.
    pub response: Option<ResponseBody>,
    /// Why there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

impl OutcomeBody {
    /// An outcome with the branches' last answers, which are shown where it is no success.
    #[must_use]
    pub fn new(outcome: &Outcome, branches: &[BranchAnswer]) -> Self {
        // Of a fanout that succeeded each branch has an answer; alone stands the first that is a success.
        let of_fanout = outcome.reason.is_none() && outcome.answer.is_none();
        let succeeded = |answer: &&Answer| answer.status().is_some_and(|status| (200..300).contains(&status));
        let first = branches.iter().filter_map(|one| one.answer.as_ref()).find(succeeded).filter(|_| of_fanout);
        let (response, error) = parts(outcome.answer.as_ref().or(first));
        let (reason, detail) = match &outcome.reason {
            None => (None, None),
            Some(Reason::Exhausted) => (Some("exhausted"), None),
            Some(Reason::Deadline) => (Some("deadline"), None),
            Some(Reason::Cancelled) => (Some("cancelled"), None),
            Some(Reason::Refused(why)) => (Some("refused"), Some(why.clone())),
            Some(Reason::Poisoned(why)) => (Some("poisoned"), Some(why.clone())),
        };
        let winner = match outcome.winner {
            Token::Branch(branch) if outcome.reason.is_none() && !of_fanout => Some(branch.0),
            Token::Branch(_) | Token::Start(_) | Token::Deadline | Token::Overdue | Token::Cancel => None,
        };
        let shown = if outcome.reason.is_none() && !of_fanout { &[] } else { branches };
        Self {
            status: outcome.status.as_str(),
            reason,
            detail,
            winner,
            settled_at: outcome.at,
            response,
            error,
            branches: shown.iter().map(branch_body).collect(),
        }
    }
}

impl WebhookBody {
    /// The body of a post of a result.
    #[must_use]
    pub fn new(result: &JobResult, webhook: usize, attempt: u32) -> Self {
        Self {
            job_id: result.job.to_string(),
            idempotent_key: result.key.clone(),
            outcome: OutcomeBody::new(&result.outcome, &result.branches),
            metadata: raw(result.metadata.as_ref()),
            delivery: DeliveryBody { id: result.event_id(webhook), attempt },
        }
    }
}

/// JSON text as JSON; an empty object where there is none.
#[must_use]
pub fn raw(text: Option<&JsonText>) -> Box<RawValue> {
    text.and_then(|text| RawValue::from_string(text.0.to_string()).ok())
        .or_else(|| RawValue::from_string("{}".to_owned()).ok())
        .unwrap_or_else(|| RawValue::NULL.to_owned())
}

impl From<&Response> for ResponseBody {
    fn from(response: &Response) -> Self {
        let mut headers = BTreeMap::<String, String>::new();
        for (name, value) in &response.headers {
            let all = headers.entry(name.clone()).or_default();
            if !all.is_empty() {
                all.push_str(", ");
            }
            all.push_str(value);
        }
        let (body, body_encoding) = match std::str::from_utf8(&response.body) {
            Ok(text) => (text.to_owned(), None),
            Err(_) => (BASE64.encode(&response.body), Some("base64")),
        };
        Self { status_code: response.status, headers, body, body_encoding, truncated: response.truncated }
    }
}

fn parts(answer: Option<&Answer>) -> (Option<ResponseBody>, Option<ErrorBody>) {
    match answer.map(|answer| &answer.content) {
        None => (None, None),
        Some(Content::Response(response)) => (Some(response.into()), None),
        Some(Content::Error { kind, message }) => (None, Some(ErrorBody { kind: *kind, message: message.clone() })),
    }
}

fn branch_body(one: &BranchAnswer) -> BranchBody {
    let (response, error) = parts(one.answer.as_ref());
    let region = one.answer.as_ref().and_then(|answer| answer.region.clone());
    BranchBody {
        branch: one.branch,
        region,
        attempt: one.answer.as_ref().map(|answer| answer.attempt),
        response,
        error,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "what cannot be serialised fails the test")]

    use super::*;
    use crate::domain::outcome::Status;

    fn outcome(body: &'static [u8]) -> Outcome {
        let headers = vec![("x-a".into(), "1".into()), ("x-a".into(), "2".into())];
        let content = Content::Response(Response { status: 200, headers, body: body.into(), truncated: false });
        let answer = Some(Answer { attempt: 1, at: Millis(5), content, region: None });
        Outcome { status: Status::Success, reason: None, winner: Token::Branch(BranchId(2)), at: Millis(6), answer }
    }

    #[test]
    fn a_success_shows_its_winner_and_the_response_with_repeated_headers_joined() {
        let json = serde_json::to_value(OutcomeBody::new(&outcome(b"hi"), &[])).unwrap();
        let expected = serde_json::json!({
            "status": "success", "winner": 2, "settled_at": 6,
            "response": {"status_code": 200, "headers": {"x-a": "1, 2"}, "body": "hi"},
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_body_that_is_no_text_is_marked() {
        let json = serde_json::to_value(OutcomeBody::new(&outcome(&[0xff, 0]), &[])).unwrap();
        assert_eq!(json["response"]["body"], "/wA=");
        assert_eq!(json["response"]["body_encoding"], "base64");
    }

    #[test]
    fn metadata_comes_back_as_it_was_written() {
        let text = r#"{"b": 1.0000000000000001, "a": [ ]}"#;
        assert_eq!(raw(Some(&JsonText(text.into()))).get(), text);
        assert_eq!(raw(None).get(), "{}");
    }
}
