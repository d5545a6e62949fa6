//! Of jobs.

use std::borrow::Cow;

use http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::http::batch::BatchBody;
use crate::jobs::{JobBody, ReceiptBody};
use crate::openapi::{Operation, Parameter};

/// Where a submission is described.
const SUBMISSION: &str = "#/components/schemas/JobSubmission";
/// What a time is written like.
const TIME: &str = r"^([0-9]{1,9}(\.[0-9]{1,9})?|([0-9]{1,9}(ms|s|m|h))( ?[0-9]{1,9}(ms|s|m|h))*)$";

pub(in crate::http) fn submit() -> Operation {
    let key = json!({
        "type": "string", "minLength": 1, "maxLength": 512,
        "pattern": "^[!-~]([ -~]*[!-~])?$",
    });
    Operation::new("submitJob", "Submits a job")
        .described(
            "A client that leaves does not stop a submission that was read whole. A 503 names the key under which to repeat it, \
             which is harmless.",
        )
        .with(Parameter::tenant("For whom, with a key of the operator: `default` where absent"))
        .with(Parameter::header("Idempotency-Key", "Names the job, in the place of `idempotent_key` or as the same", key))
        .with(traceparent())
        .takes(json!({"$ref": SUBMISSION}))
        .answers::<ReceiptBody>(StatusCode::ACCEPTED, "A new job")
        .says("Location", "Where to ask for it")
        .known_by("job_id")
        .answers::<ReceiptBody>(StatusCode::OK, "The job was there: `status` says how it ended, if it has")
        .says("Location", "Where to ask for it")
        .known_by("job_id")
        .counted()
        .fails(&["invalid_job", "target_refused", "invalid_key", "two_keys", "conflict"])
        .fails(&["refused", "storage_full", "unconfirmed"])
}

pub(in crate::http) fn submit_batch() -> Operation {
    let other = json!({"description": "What is no job is answered with its problem, and holds up no other"});
    let jobs = json!({"type": "array", "items": {"anyOf": [{"$ref": SUBMISSION}, other]}});
    Operation::new("submitJobs", "Submits many jobs, each answered for itself")
        .described(
            "At most `gateway.max_batch` jobs (1000), together at most four times as large as one job may be. A batch without an \
             answer may have been taken in part: give each job its key, and repeat it.",
        )
        .with(Parameter::tenant("For whom, with a key of the operator: `default` where absent"))
        .with(traceparent())
        .takes(jobs)
        .answers::<BatchBody>(StatusCode::OK, "What each would have been answered alone, in the order of the jobs")
        .counted()
        .fails(&["invalid_batch", "too_many_jobs", "invalid_key"])
}

pub(in crate::http) fn job() -> Operation {
    let wait = "Answers when the job has ended, or when this time is over: `30s`, `1m 30s`, `500ms`, or in seconds. More than \
                `gateway.max_wait` (60 s) is cut";
    Operation::new("getJob", "How far a job has come, and how it ended")
        .with(id())
        .with(Parameter::query("wait", wait, json!({"type": "string", "pattern": TIME, "examples": ["30s"]})))
        .answers::<JobBody>(StatusCode::OK, "The job")
        .fails(&["no_such_job", "unreadable"])
}

pub(in crate::http) fn cancel() -> Operation {
    Operation::new("cancelJob", "Cancels a job")
        .with(id())
        .answers::<JobBody>(StatusCode::OK, "It has ended, by this or before")
        .answers::<JobBody>(StatusCode::ACCEPTED, "The cancel is stored and takes effect soon")
        .fails(&["no_such_job", "unreadable", "storage_full", "unconfirmed"])
}

pub(in crate::http) fn events() -> Operation {
    let goes_on = "The id of an event: goes on behind it";
    Operation::new("followJob", "What happens to a job, as server-sent events")
        .described("What happened so far, what happens, and as the last one the outcome; then the stream ends.")
        .with(id())
        .with(Parameter::header("Last-Event-ID", goes_on, json!({"type": "string"})))
        .with(Parameter::query(
            "last_event_id",
            "The same, for those that cannot set the header",
            json!({"type": "string"}),
        ))
        .answers_as::<StreamedEvent>("text/event-stream", StatusCode::OK, "The events, each as the schema says")
        .answers_nothing(StatusCode::NO_CONTENT, "Whoever asks has the outcome: there is no more")
        .fails(&["no_such_job", "unreadable"])
}

pub(in crate::http) fn retry() -> Operation {
    Operation::new("retryJob", "Runs a failed job again, under its key")
        .with(id())
        .answers::<ReceiptBody>(StatusCode::ACCEPTED, "It runs again")
        .counted()
        .fails(&["no_such_job", "not_failed", "body_gone", "unreadable", "storage_full", "unconfirmed"])
}

pub(in crate::http) fn replay() -> Operation {
    let number = json!({"type": "integer", "minimum": 0});
    Operation::new("replayWebhook", "Posts a webhook of a job that has ended again, under its id")
        .with(id())
        .with(Parameter::path("number", "Which of the job's webhooks, from 0", number))
        .answers_nothing(StatusCode::ACCEPTED, "It is posted again")
        .fails(&["no_such_job", "no_such_webhook", "not_ended", "unreadable", "unconfirmed"])
}

fn id() -> Parameter {
    Parameter::path("id", "The job: `job_…`", text())
}

fn text() -> Value {
    json!({"type": "string", "minLength": 1})
}

fn traceparent() -> Parameter {
    let description = "The trace that the job belongs to (W3C Trace Context); without a valid one a new trace begins";
    Parameter::header("traceparent", description, json!({"type": "string"}))
}

/// An event of a stream. None is ever made: the stream is written as text.
enum StreamedEvent {}

impl JsonSchema for StreamedEvent {
    fn schema_name() -> Cow<'static, str> {
        "StreamedEvent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let kinds =
            ["accepted", "overdue", "started", "sent", "answered", "settled", "delivered", "undelivered", "outcome"];
        let data = "JSON: an `Event`; of an `outcome` an `Outcome`";
        json_schema!({
            "description": "A server-sent event: what stands behind `event:`, `data:` and `id:`",
            "type": "object", "required": ["event", "data"],
            "properties": {
                "event": {"enum": kinds},
                "data": {"type": "string", "contentMediaType": "application/json", "description": data},
                "id": {"type": "string", "description": "To go on behind it. Absent where it is told from the job's record"},
            },
        })
    }
}

impl Operation {
    /// The answer before names a job in this field.
    pub(super) fn known_by(self, field: &'static str) -> Self {
        let of_job = ["getJob", "cancelJob", "followJob", "retryJob"];
        of_job.into_iter().fold(self, |this, operation| this.leads_to(operation, "id", field))
    }
}
