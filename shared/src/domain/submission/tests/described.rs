//! That the schema names what the reader knows, and nothing else.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::super::schemas;
use super::{reading, with};

/// The sources of the reader, which name each field where it is taken.
const READER: [&str; 7] = [
    include_str!("../headers.rs"),
    include_str!("../job.rs"),
    include_str!("../policy.rs"),
    include_str!("../race.rs"),
    include_str!("../regions.rs"),
    include_str!("../request.rs"),
    include_str!("../webhooks.rs"),
];

fn schema(name: &str) -> Value {
    schemas("#/").into_iter().find(|(one, _)| *one == name).unwrap().1
}

fn fields(schema: &Value) -> BTreeSet<String> {
    schema["properties"].as_object().unwrap().keys().cloned().collect()
}

/// What the reader takes, at whatever place: the words in the calls that take a field.
fn taken_somewhere() -> BTreeSet<String> {
    let calls = [".take(\"", ".require(\"", ".take_either(\""];
    let mut names = BTreeSet::new();
    for source in READER {
        for call in calls {
            for rest in source.split(call).skip(1) {
                let mut words = rest.split('"');
                names.extend(words.next().map(str::to_owned));
                if call.contains("either") {
                    names.extend(words.nth(1).map(str::to_owned));
                }
            }
        }
    }
    names
}

#[test]
fn every_field_that_the_reader_takes_is_in_the_schema_and_no_other() {
    let mut described = BTreeSet::new();
    for name in ["JobSubmission", "FollowUp", "Fallback", "RetryPolicy", "WebhookTarget"] {
        described.extend(fields(&schema(name)));
    }
    for kind in schema("Trigger")["oneOf"].as_array().unwrap() {
        described.extend(fields(kind));
    }
    assert_eq!(described, taken_somewhere());
}

/// The submission that has this object at the place of the schema.
fn placed(name: &str, object: &Value) -> String {
    match name {
        "JobSubmission" => object.to_string(),
        "FollowUp" => with(&format!(r#""on_success": {object}"#)),
        "Fallback" => with(&format!(r#""fallbacks": [{object}]"#)),
        "RetryPolicy" => with(&format!(r#""retry_policy": {object}"#)),
        "WebhookTarget" => with(&format!(r#""webhooks": [{object}]"#)),
        _ => panic!("{name}"),
    }
}

/// Whether the reader knows such a field there: only then it complains of its value instead of the field.
fn is_known(name: &str, field: &str) -> bool {
    let mut object = Map::from_iter([(field.to_owned(), json!(true))]);
    if name != "RetryPolicy" && field != "url" {
        object.insert("url".to_owned(), json!("https://a.example/"));
    }
    let strange = ["unknown_field", "job_only", "misplaced"];
    match reading(&placed(name, &Value::Object(object))) {
        Ok(_) => true,
        Err(faults) => {
            let mut faults = faults.as_slice().iter();
            !faults.any(|fault| fault.path.ends_with(field) && strange.contains(&fault.code.as_str()))
        }
    }
}

#[test]
fn each_object_has_the_fields_that_the_reader_knows_there() {
    let objects = ["JobSubmission", "FollowUp", "Fallback", "RetryPolicy", "WebhookTarget"];
    let all = taken_somewhere();
    for object in objects {
        let known: BTreeSet<String> = all.iter().filter(|field| is_known(object, field)).cloned().collect();
        // Without `on_failure` its time is out of place; it is known all the same.
        let mut described = fields(&schema(object));
        described.remove("on_failure_timeout_ms");
        assert_eq!(known, described, "{object}");
    }
}
