//! Sensitive values taken out of JSON that nobody could read as a job, before it is kept for people.
//!
//! Pure. Invariant: what cannot be read as JSON is never taken for JSON without secrets.

use bytes::Bytes;
use serde_json::Value;

use super::Sealing;

/// Stands for a value that was taken out.
const TAKEN_OUT: &str = "(not kept)";

impl Sealing {
    /// The same JSON without the values of sensitive headers, wherever in it; `None` where it is no JSON.
    #[must_use]
    pub fn redacted(&self, json: &Bytes) -> Option<Bytes> {
        if self.headers.is_empty() {
            return Some(json.clone());
        }
        let mut value: Value = serde_json::from_slice(json).ok()?;
        self.redact(&mut value);
        serde_json::to_vec(&value).ok().map(Bytes::from)
    }

    fn redact(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if self.is_sensitive(&name.to_ascii_lowercase()) {
                        *value = TAKEN_OUT.into();
                    }
                    self.redact(value);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "what is no JSON fails the test")]

    use super::*;
    use crate::seal::Seal;

    #[test]
    fn sensitive_values_are_taken_out_wherever_they_are_and_nothing_else() {
        let sealing = Sealing::new(Seal::none(), ["authorization", "cookie"].map(str::to_owned));
        let json = Bytes::from_static(
            br#"{"url": 7, "headers": {"Authorization": ["canary", "canary"], "x-a": "1"}, "fallbacks":
            [{"headers": {"COOKIE": {"a": "canary"}}}], "headers": {"authorization": "canary", "x-a": "1"}}"#,
        );
        let kept = sealing.redacted(&json).unwrap();
        let expected = serde_json::json!({"url": 7, "headers": {"authorization": "(not kept)", "x-a": "1"},
            "fallbacks": [{"headers": {"COOKIE": "(not kept)"}}]});
        assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), expected);
        assert_eq!(sealing.redacted(&Bytes::from_static(br#"{"headers": {"authorization": "canary"}"#)), None);
    }
}
