//! The JSON Schema of what these clients write and get, where it is not ours. Pure.
//!
//! A job is ours, but what belongs to the job alone may stand in a `fallback_job`, and means nothing there.

use serde_json::{Map, Value, json};
use sluice_shared::domain::submission::{self, JOB_ONLY};

/// The job that a client submits, and what its problems are, by the names of their schemas.
pub(in crate::http) const JOB: &str = "EzThrottleJob";
pub(in crate::http) const PROBLEM: &str = "EzThrottleProblem";
/// The fallback of a `fallback_job`.
const FALLBACK: &str = "EzThrottleFallback";
/// Our schemas that are others here, and their names here.
const OTHERS: [(&str, &str); 3] = [("JobSubmission", JOB), ("FollowUp", "EzThrottleFollowUp"), ("Fallback", FALLBACK)];
/// The fields whose objects are translated; all else is read as ours.
const TRANSLATED: [&str; 3] = ["fallback_job", "on_success", "on_failure"];

/// The schemas by name. `at` is where they are referred to, and ours.
pub(crate) fn schemas(at: &str) -> Vec<(&'static str, Value)> {
    let theirs = submission::schemas(at).into_iter().filter_map(|(ours, mut schema)| {
        let (_, name) = OTHERS.into_iter().find(|(one, _)| *one == ours)?;
        let fields = schema.get_mut("properties")?.as_object_mut()?;
        fields
            .iter_mut()
            .filter(|(name, _)| TRANSLATED.contains(&name.as_str()))
            .for_each(|(_, field)| lead(field, at));
        if name == FALLBACK {
            fields.extend(ignored());
        }
        Some((name, schema))
    });
    theirs.chain([(PROBLEM, problem(at))]).collect()
}

/// Refers to theirs in the place of ours.
fn lead(field: &mut Value, at: &str) {
    let either = field.get_mut("anyOf").and_then(Value::as_array_mut).into_iter().flatten();
    for reference in either.filter_map(|one| one.get_mut("$ref")) {
        let to = |(ours, theirs): (&str, &str)| (*reference == format!("{at}{ours}")).then(|| format!("{at}{theirs}"));
        if let Some(theirs) = OTHERS.into_iter().find_map(to) {
            *reference = theirs.into();
        }
    }
}

fn ignored() -> Map<String, Value> {
    let ignored = json!({"description": "Belongs to the job: means nothing here"});
    JOB_ONLY.into_iter().map(|name| (name.to_owned(), ignored.clone())).collect()
}

fn problem(at: &str) -> Value {
    json!({
        "description": "A problem with what these clients look for. A request that is not let in gets a `Problem` without it",
        "allOf": [{"$ref": format!("{at}Problem")}],
        "properties": {
            "error": {"type": "string", "description": "What `detail` says"},
            "retry_at": {
                "type": "integer", "minimum": 0,
                "description": "When the same is worth repeating, in milliseconds since the epoch",
            },
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a schema that is not there fails the test")]

    use super::*;

    #[test]
    fn translated_objects_are_theirs_and_all_others_ours() {
        let all = schemas("#/");
        assert_eq!(all.len(), OTHERS.len() + 1);
        for (name, schema) in all.iter().filter(|(name, _)| *name != PROBLEM) {
            let fields = &schema["properties"];
            assert_eq!(fields["fallback_job"]["anyOf"][0]["$ref"], "#/EzThrottleFallback", "{name}");
            assert_eq!(fields["fallbacks"]["items"]["$ref"], "#/Fallback", "{name}");
            let follow_up = fields["on_success"].get("anyOf").map(|either| &either[0]["$ref"]);
            assert_eq!(follow_up.is_some(), *name != FALLBACK, "{name}");
            assert!(follow_up.is_none_or(|reference| *reference == "#/EzThrottleFollowUp"), "{name}");
            assert!(JOB_ONLY.iter().all(|field| *name != FALLBACK || fields[*field].is_object()), "{name}");
        }
    }
}
