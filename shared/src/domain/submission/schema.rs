//! The JSON Schema (2020-12) of what `read` takes: written by hand, because the reader is.
//!
//! Pure. Says of each field what the reader does as far as a schema can. It cannot say what depends on the server, the caller
//! or the time: sizes, targets, how far ahead `retry_at` is, how many fallbacks there are in all, and that a quorum has as many
//! votes. That what is out of place may be `null` is not mentioned. A test here holds the names against the reader's, one of the
//! interface asks both about the same submissions.

use serde_json::{Map, Value, json};

use super::headers::{MOST_VALUES, RESERVED};
use super::job::SHORTEST_MS;
use super::policy::{LONGEST_MS, MOST_CODES, MOST_REROUTES, MOST_RETRIES};
use super::race::MOST_BRANCHES;
use super::regions::MOST_REGIONS;
use super::webhooks::{LONGEST_SUBJECT, MOST_WEBHOOKS};
use super::{MOST_HEADERS, url};

/// Text without control characters, and without space around it.
const PRINTABLE: &str =
    r"^[^\s\u0000-\u001f\u007f-\u009f]([^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f])?$";
/// A token of HTTP (RFC 9110, 5.6.2).
const TOKEN: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";
/// What a header may carry: no control characters but the tab.
const HEADER_VALUE: &str = r"^[^\u0000-\u0008\u000a-\u001f\u007f]*$";
/// Base64 (RFC 4648, section 4) with padding, and no bits left over.
const BASE64: &str = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$";

/// The schemas by name. `at` is where they are referred to: `#/components/schemas/` for OpenAPI.
#[must_use]
pub fn schemas(at: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("JobSubmission", job(at, true)),
        ("FollowUp", job(at, false)),
        ("Fallback", fallback(at)),
        ("RetryPolicy", retry_policy()),
        ("Trigger", trigger()),
        ("WebhookTarget", webhook()),
    ]
}

fn job(at: &str, is_first: bool) -> Value {
    let mut fields = contender(at);
    let mut add = |name: &str, schema: Value| fields.insert(name.to_owned(), schema);
    if is_first {
        let key = "Names the job: the same key is the same job. Made up where absent";
        add("idempotent_key", said(key, name(512)));
    }
    add(
        "metadata",
        said("Comes back with the outcome, byte for byte. 64 KiB at most", or_null(json!({"type": "object"}))),
    );
    let webhooks = json!({"type": "array", "maxItems": MOST_WEBHOOKS, "items": reference(at, "WebhookTarget")});
    add("webhooks", said("Where the outcome goes", or_null(webhooks)));
    let quorum =
        "How many of the webhooks that have a vote must take the outcome; 1 where absent. No more than have one";
    add("webhook_quorum", said(quorum, whole(0, MOST_WEBHOOKS as u64)));
    add("regions", said("Where it runs; anywhere where absent", job_regions()));
    add(
        "region_policy",
        said(
            "`fallback` where absent: elsewhere too where none of them has a worker; `strict`: only there",
            words(["fallback", "strict"]),
        ),
    );
    add(
        "execution_mode",
        said(
            "`race` where absent: the first success counts; `fanout`: all regions must succeed",
            words(["race", "fanout"]),
        ),
    );
    add("on_success", said("A job to submit once this one has succeeded; at most five deep", follow_up(at)));
    add("on_failure", said("A job to submit once this one has failed, or takes too long", follow_up(at)));
    let overdue = "When `on_failure` is submitted though the job has not ended, in milliseconds. Needs `on_failure`";
    add("on_failure_timeout_ms", said(overdue, whole(1, LONGEST_MS)));
    let deadline = "When the job fails if it has not ended, in milliseconds";
    add("deadline_ms", said(deadline, whole(SHORTEST_MS, LONGEST_MS)));
    let retry_at = "Not before this moment, in milliseconds since the epoch; at most 30 days ahead";
    add("retry_at", said(retry_at, or_null(json!({"type": "integer", "minimum": 0, "maximum": u64::MAX}))));
    let (list, nothing) = (json!({"type": "array", "minItems": 1}), json!({"type": ["null", "array"], "maxItems": 0}));
    let (strict, fanout) = (json!({"const": "strict"}), json!({"const": "fanout"}));
    let mut rules = vec![encoded_body()];
    rules.push(never(
        &["on_failure_timeout_ms"],
        json!({"on_failure_timeout_ms": {"type": "integer"}, "on_failure": {"type": "null"}}),
    ));
    rules.push(never(&["region_policy"], json!({"region_policy": strict, "regions": nothing})));
    rules.push(never(
        &["execution_mode", "fallback_job"],
        json!({"execution_mode": fanout, "fallback_job": {"type": "object"}}),
    ));
    rules.push(never(&["execution_mode", "fallbacks"], json!({"execution_mode": fanout, "fallbacks": list})));
    let description = if is_first {
        "A job: an HTTP request, its fallbacks, and what becomes of the outcome"
    } else {
        "A job that follows another. Its key is derived from that one's"
    };
    object(description, fields, &["url"], rules)
}

fn fallback(at: &str) -> Value {
    let mut fields = contender(at);
    let trigger = json!({"anyOf": [reference(at, "Trigger"), {"type": "null"}]});
    fields.insert("trigger".to_owned(), said("What starts it: any failure of its parent where absent", trigger));
    let description = "A contender of the job's race, once its trigger comes. At most eight deep, 31 in all";
    object(description, fields, &["url"], vec![encoded_body()])
}

/// The fields of everything that calls.
fn contender(at: &str) -> Map<String, Value> {
    let fallback = reference(at, "Fallback");
    let list = json!({"type": "array", "maxItems": MOST_BRANCHES, "items": fallback});
    let retry_policy = json!({"anyOf": [reference(at, "RetryPolicy"), {"type": "null"}]});
    let fields = [
        ("url", said("An absolute http or https URL, without user name and password", target())),
        ("method", said("`GET` where absent", method())),
        (
            "headers",
            said("Names and values. Those of the connection are not the caller's to set; 32 KiB at most", headers()),
        ),
        ("body", json!({"description": "A string is sent as it is, any other JSON value as JSON"})),
        ("body_encoding", said("`base64` where the body is a string of it", word("base64"))),
        ("retry_policy", said("When it is tried again; as configured where absent", retry_policy)),
        ("timeout_ms", said("The time of one attempt, in milliseconds", whole(1, LONGEST_MS))),
        ("account", said("An account at the destination that has a queue and a rate of its own", name(256))),
        (
            "priority",
            said(
                "Which of the tenant's jobs for the destination go first; where absent that of the parent, `normal` where there is none",
                words(["high", "normal", "low"]),
            ),
        ),
        ("fallback_job", said("A fallback", json!({"anyOf": [fallback, {"type": "null"}]}))),
        ("fallbacks", said("Further fallbacks", or_null(list))),
    ];
    fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn retry_policy() -> Value {
    let (times, moves, codes) = (whole(0, MOST_RETRIES), whole(0, MOST_REROUTES), or_null(codes()));
    let other = |name: &str, schema: &Value| said(&format!("Another spelling of `{name}`; give one"), schema.clone());
    let pairs = [
        ("max_retries", "maxRetries", &times, "How often it is tried again after failures"),
        ("retry_codes", "retryCodes", &codes, "Which statuses are worth another attempt"),
        ("max_reroutes", "maxReroutes", &moves, "How often it moves to another region"),
        ("reroute_codes", "rerouteCodes", &codes, "Which statuses move it to another region"),
    ];
    let mut fields = Map::new();
    let mut once = Vec::new();
    for (name, alias, schema, description) in pairs {
        fields.insert(name.to_owned(), said(description, schema.clone()));
        fields.insert(alias.to_owned(), other(name, schema));
        once.push(either(name, alias));
    }
    object("When a contender is tried again", fields, &[], once)
}

fn trigger() -> Value {
    let on_error = json!({
        "type": "object", "required": ["type"], "additionalProperties": false,
        "properties": {
            "type": {"const": "on_error"},
            "codes": said("Which statuses start it; any failure without them", or_null(codes())),
            "timeout_ms": {"type": "null"},
        },
    });
    let on_timeout = json!({
        "type": "object", "required": ["type", "timeout_ms"], "additionalProperties": false,
        "properties": {
            "type": {"const": "on_timeout"},
            "codes": {"type": "null"},
            "timeout_ms": said(
                "How long after its parent's start, in milliseconds",
                json!({"type": "integer", "minimum": 1, "maximum": LONGEST_MS}),
            ),
        },
    });
    json!({"description": "What starts a fallback. A parent that is over starts all of its", "oneOf": [on_error, on_timeout]})
}

fn webhook() -> Value {
    let subject = json!({
        "type": "string", "maxLength": LONGEST_SUBJECT + "nats:".len(),
        "pattern": r"^nats:[!-#%-)+,/-=?-~-][!-)+,/-=?-~-]*(\.[!-)+,/-=?-~-]+)*$",
        "not": {"pattern": "^nats:(_INBOX|_R_|_GR_)"},
    });
    let vote = json!({"type": ["boolean", "null"]});
    let fields = [
        ("url", said("An http or https URL, or `nats:` and a subject", json!({"anyOf": [target(), subject]}))),
        ("regions", said("Stored and handed on", regions())),
        ("has_quorum_vote", said("Whether it counts for `webhook_quorum`: it does where absent", vote.clone())),
        ("hasQuorumVote", said("Another spelling of `has_quorum_vote`; give one", vote)),
    ];
    let fields = fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    let once = either("has_quorum_vote", "hasQuorumVote");
    object("Where an outcome goes", fields, &["url"], vec![once])
}

fn object(description: &str, fields: Map<String, Value>, required: &[&str], all_of: Vec<Value>) -> Value {
    let mut schema = json!({
        "type": "object", "description": description, "properties": fields, "additionalProperties": false,
    });
    let mut add = |name: &str, value: Value| schema.as_object_mut().map(|schema| schema.insert(name.to_owned(), value));
    if !required.is_empty() {
        add("required", json!(required));
    }
    add("allOf", Value::Array(all_of));
    schema
}

/// Not both of two spellings, unless one of them is `null`.
fn either(name: &str, alias: &str) -> Value {
    let given = json!({"not": {"type": "null"}});
    never(&[name, alias], json!({name: given, alias: given}))
}

/// A body that is said to be base64 is.
fn encoded_body() -> Value {
    let other = json!({"not": {"type": ["string", "null"], "pattern": BASE64}});
    never(&["body_encoding", "body"], json!({"body_encoding": {"const": "base64"}, "body": other}))
}

/// Not these fields like this together. Those that are not `required` may be absent for it. Readers of schemas that make values
/// up get along with this: by `if` and `then` they would look at every combination.
fn never(required: &[&str], fields: Value) -> Value {
    json!({"not": {"required": required, "properties": fields}})
}

fn follow_up(at: &str) -> Value {
    json!({"anyOf": [reference(at, "FollowUp"), {"type": "null"}]})
}

fn target() -> Value {
    json!({"type": "string", "format": "uri", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?:", "maxLength": url::LONGEST})
}

fn method() -> Value {
    let tunnels = format!("^({}|{})$", in_any_case("connect"), in_any_case("trace"));
    or_null(json!({"type": "string", "maxLength": 32, "pattern": TOKEN, "not": {"type": "string", "pattern": tunnels}}))
}

fn headers() -> Value {
    let reserved: Vec<String> = RESERVED.iter().map(|name| in_any_case(name)).collect();
    let value = json!({"type": "string", "pattern": HEADER_VALUE});
    or_null(json!({
        "type": "object", "maxProperties": MOST_HEADERS,
        "propertyNames": {"pattern": TOKEN, "not": {"pattern": format!("^({})$", reserved.join("|"))}},
        "additionalProperties": {"anyOf": [value, {"type": "array", "maxItems": MOST_VALUES, "items": value}]},
    }))
}

fn codes() -> Value {
    json!({"type": "array", "maxItems": MOST_CODES, "items": {"type": "integer", "minimum": 100, "maximum": 599}})
}

fn regions() -> Value {
    let region = json!({"type": "string", "minLength": 1, "maxLength": 64, "pattern": PRINTABLE});
    or_null(json!({"type": "array", "maxItems": MOST_REGIONS, "items": region}))
}

fn job_regions() -> Value {
    let region = json!({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"});
    or_null(json!({"type": "array", "maxItems": MOST_REGIONS, "items": region}))
}

fn words<const N: usize>(words: [&str; N]) -> Value {
    let words = words.into_iter().map(Value::from).chain([Value::Null]);
    json!({"enum": words.collect::<Vec<_>>()})
}

fn name(most: usize) -> Value {
    or_null(json!({"type": "string", "minLength": 1, "maxLength": most, "pattern": PRINTABLE}))
}

fn whole(least: u64, most: u64) -> Value {
    or_null(json!({"type": "integer", "minimum": least, "maximum": most}))
}

fn word(word: &str) -> Value {
    json!({"enum": [word, null]})
}

fn reference(at: &str, name: &str) -> Value {
    json!({"$ref": format!("{at}{name}")})
}

/// `null` is as good as absent.
fn or_null(mut schema: Value) -> Value {
    if let Some(kind) = schema.get_mut("type") {
        *kind = json!([kind.clone(), "null"]);
    }
    schema
}

fn said(description: &str, mut schema: Value) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".to_owned(), description.into());
    }
    schema
}

/// A pattern for a word however it is spelled: patterns of JSON Schema know no flags.
fn in_any_case(word: &str) -> String {
    let letter = |letter: char| match letter.is_ascii_alphabetic() {
        true => format!("[{}{letter}]", letter.to_ascii_uppercase()),
        false => letter.to_string(),
    };
    word.chars().map(letter).collect()
}
