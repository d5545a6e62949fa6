//! How a job of these clients differs from one of ours. Pure.
//!
//! Without a key the job is named by its method, URL and body, so that the same request twice is one job. Inside a fallback
//! their step builder writes what belongs to the job alone (`webhooks`, `metadata`, a key), which means nothing there and is
//! left out. All else is as it was written, byte for byte: bodies are told apart by their bytes.

use data_encoding::HEXLOWER;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use sluice_shared::domain::submission::{Entries, JOB_ONLY};

/// A job as ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    /// Its JSON.
    pub(super) json: Vec<u8>,
    /// The key that is made for it, where it has none.
    pub(super) key: Option<String>,
}

/// Where a job stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Job,
    Fallback,
}

/// Deeper than any job may be; below it nothing is looked at, and the reader says what is wrong.
const DEEPEST: usize = 32;

/// Translates a job. What is no JSON object is left to the reader, which says so.
pub(super) fn read(json: &[u8]) -> Foreign {
    match serde_json::from_slice::<Entries<'_>>(json) {
        Ok(entries) => Foreign { key: key(&entries), json: written(&entries, Place::Job, 0).into_bytes() },
        Err(_) => Foreign { json: json.to_vec(), key: None },
    }
}

fn written(Entries(entries): &Entries<'_>, place: Place, depth: usize) -> String {
    let kept = entries.iter().filter(|(name, _)| place == Place::Job || !JOB_ONLY.contains(&name.as_str()));
    let fields = kept.map(|(name, value)| {
        let value = match name.as_str() {
            "fallback_job" => translated(value, Place::Fallback, depth),
            "on_success" | "on_failure" => translated(value, Place::Job, depth),
            _ => value.get().to_owned(),
        };
        format!("{}:{value}", serde_json::Value::from(name.as_str()))
    });
    let race = (place == Place::Job && races(entries)).then(|| r#""execution_mode":"race""#.to_owned());
    format!("{{{}}}", fields.chain(race).collect::<Vec<_>>().join(","))
}

/// Regions without a mode race there; here a job runs once where none is said.
fn races(entries: &[(String, &RawValue)]) -> bool {
    let named = |wanted: &str| entries.iter().any(|(name, _)| name == wanted);
    named("regions") && !named("execution_mode")
}

fn translated(value: &RawValue, place: Place, depth: usize) -> String {
    match serde_json::from_str::<Entries<'_>>(value.get()) {
        Ok(entries) if depth < DEEPEST => written(&entries, place, depth + 1),
        Ok(_) | Err(_) => value.get().to_owned(),
    }
}

/// The key of a job without one: a hash of what is sent.
fn key(Entries(entries): &Entries<'_>) -> Option<String> {
    let field = |wanted: &str| {
        let found = entries.iter().find(|(name, value)| name == wanted && value.get() != "null");
        found.map(|(_, value)| value.get())
    };
    if field("idempotent_key").is_some() {
        return None;
    }
    let mut hash = Sha256::new();
    for name in ["method", "url", "body"] {
        let written = match (name, field(name)) {
            ("method", None) => "\"GET\"".to_owned(),
            ("method", Some(method)) => method.to_ascii_uppercase(),
            (_, value) => value.unwrap_or_default().to_owned(),
        };
        hash.update(u64::try_from(written.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(written);
    }
    Some(format!("hash_{}", HEXLOWER.encode(&hash.finalize())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a job that has no key fails the test")]

    use super::*;

    fn json_of(json: &str) -> String {
        String::from_utf8(read(json.as_bytes()).json).unwrap()
    }

    fn key_of(json: &str) -> String {
        read(json.as_bytes()).key.unwrap()
    }

    #[test]
    fn without_a_key_the_same_request_has_the_same_one() {
        let one = key_of(r#"{"url": "https://a.example/", "method": "post", "body": "x"}"#);
        assert_eq!(
            one,
            key_of(r#"{"body": "x", "metadata": {"n": 1}, "method": "POST", "url": "https://a.example/"}"#)
        );
        assert_eq!(key_of(r#"{"url": "u"}"#), key_of(r#"{"url": "u", "method": "GET", "idempotent_key": null}"#));
        for other in [
            r#"{"url": "https://a.example/", "method": "POST", "body": "y"}"#,
            r#"{"url": "https://a.example/", "method": "PUT", "body": "x"}"#,
            r#"{"url": "https://b.example/", "method": "POST", "body": "x"}"#,
            r#"{"url": "https://a.example/", "method": "POST"}"#,
        ] {
            assert_ne!(one, key_of(other), "{other}");
        }
        assert_eq!(read(br#"{"url": "u", "idempotent_key": "k"}"#).key, None);
    }

    #[test]
    fn a_fallback_loses_what_belongs_to_the_job_alone_and_nothing_else_changes() {
        let json = r#"{"url":"a","metadata":{"n":1.0},"fallback_job":{"url":"b","metadata":{},"webhooks":[],
            "trigger":{"type":"on_error"},"fallback_job":{"idempotent_key":"k","url":"c","body":{"z":1,"a":2}}},
            "on_success":{"url":"d","metadata":{},"fallback_job":{"url":"e","metadata":{}}}}"#;
        let expected = concat!(
            r#"{"url":"a","metadata":{"n":1.0},"fallback_job":{"url":"b","trigger":{"type":"on_error"},"#,
            r#""fallback_job":{"url":"c","body":{"z":1,"a":2}}},"#,
            r#""on_success":{"url":"d","metadata":{},"fallback_job":{"url":"e"}}}"#
        );
        assert_eq!(json_of(json), expected);
    }

    #[test]
    fn regions_race_unless_something_else_is_said() {
        let race = r#"{"url":"a","regions":["eu","us"],"execution_mode":"race"}"#;
        assert_eq!(json_of(r#"{"url":"a","regions":["eu","us"]}"#), race);
        for said in [r#"{"url":"a","regions":["eu"],"execution_mode":"fanout"}"#, r#"{"url":"a"}"#] {
            assert_eq!(json_of(said), said);
        }
    }

    #[test]
    fn what_is_no_job_is_left_to_the_reader() {
        for json in ["[1]", "nonsense", "", r#"{"fallback_job": 7}"#] {
            assert_eq!(json_of(json).replace(' ', ""), json.replace(' ', ""));
        }
        let broken = b"{\"url\": \"\xff\"}";
        assert_eq!(read(broken).json, broken, "what is no text is not made one");
    }
}
