//! The examples of README.md and `gateway/HTTP.md` are what the document says.

use serde_json::Value;

use super::conforms::{named, taken_by, why_not};

const README: &str = include_str!("../../../README.md");
const HTTP: &str = include_str!("../../../gateway/HTTP.md");

/// The blocks of JSON, in their order. What shows one field alone is its value.
fn blocks(text: &str) -> Vec<Value> {
    let blocks = text.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let read = |block: &str| match block.strip_prefix('"') {
        Some(field) => serde_json::from_str(field.split_once(':').unwrap().1),
        None => serde_json::from_str(block),
    };
    blocks.map(|block| read(block).unwrap_or_else(|error| panic!("{error}: {block}"))).collect()
}

/// The jobs that the shell submits: what stands in quotes behind `-d`.
fn submitted(text: &str) -> Vec<Value> {
    let bodies = text.split("-d '").skip(1).map(|rest| rest.split('\'').next().unwrap());
    bodies.map(|body| serde_json::from_str(body).unwrap()).collect()
}

fn hold(examples: Vec<Value>, schemas: &[String]) {
    assert_eq!(examples.len(), schemas.len(), "an example came or went: name its schema in its place");
    let cases: Vec<_> = schemas.iter().cloned().zip(examples).collect();
    for (said, (schema, example)) in why_not(&cases).into_iter().zip(&cases) {
        assert_eq!(said, None, "{example:#} is not {schema}");
    }
}

#[test]
fn those_of_the_readme_are_jobs_problems_and_outcomes() {
    hold(blocks(README), &["JobSubmission", "Problem", "WebhookPost"].map(named));
    hold(submitted(README), &[named("JobSubmission")]);
}

#[test]
fn those_of_http_md_are_what_is_sent_and_answered() {
    let schemas = [
        taken_by("/v1/keys", "post"),
        named("Receipt"),
        named("BatchAnswers"),
        named("Job"),
        named("Waiting"),
        named("JobSubmission"),
        named("DeadLetters"),
        named("QueueList"),
        taken_by("/v1/queues/{queue}", "patch"),
        named("Purged"),
    ];
    hold(blocks(HTTP), &schemas);
}

#[test]
fn an_example_with_a_field_too_many_or_of_another_kind_would_be_noticed() {
    let mut job = blocks(README).remove(0);
    job["webhok"] = Value::Null;
    let mut receipt = blocks(HTTP).remove(1);
    receipt["duplicate"] = "no".into();
    let mut other = blocks(HTTP).remove(1);
    other["another"] = Value::Null;
    let cases = [(named("JobSubmission"), job), (named("Receipt"), receipt), (named("Receipt"), other)];
    assert!(why_not(&cases).iter().all(Option::is_some));
}
