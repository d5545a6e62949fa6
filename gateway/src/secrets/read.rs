//! A secret's value as it is set. Pure. Invariant: a fault never repeats it.

use serde_json::{Value, json};
use sluice_shared::domain::named_secret::SecretValue;
use sluice_shared::domain::submission::{Code, Entries, Fault};

use crate::entries::{self, NoEntries, fault};

/// Why a value was not understood.
#[derive(Debug, PartialEq)]
pub enum NoValue {
    /// It is no JSON.
    NotJson(String),
    /// What is wrong with it.
    Invalid(Vec<Fault>),
}

/// What `read` takes, as a JSON Schema.
pub(crate) fn schema() -> Value {
    let value = json!({
        "type": "string", "minLength": 1, "maxLength": 4096, "pattern": "^[!-~]([ -~]*[!-~])?$",
        "description": "The secret itself: printable ASCII, without space around it",
    });
    json!({"type": "object", "required": ["value"], "additionalProperties": false, "properties": {"value": value}})
}

/// Reads `{"value": "…"}`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(json: &[u8]) -> Result<SecretValue, NoValue> {
    let Entries(entries) = entries::read(json).map_err(|no| match no {
        NoEntries::NoObject(fault) => NoValue::Invalid(vec![fault]),
        NoEntries::NotJson(error) => NoValue::NotJson(format!("the secret is not valid JSON: {error}")),
    })?;
    let invalid = |name: &str, code, message: &str| Err(NoValue::Invalid(vec![fault(name, code, message)]));
    match entries.as_slice() {
        [(name, raw)] if name == "value" => match serde_json::from_str::<String>(raw.get()) {
            Ok(text) => SecretValue::parse(&text)
                .map_err(|why| NoValue::Invalid(vec![fault(name, Code::InvalidValue, why.to_string())])),
            Err(_) => invalid(name, Code::WrongType, "must be a string"),
        },
        [] => invalid("value", Code::Missing, "must be given: the secret itself"),
        [_, (name, _), ..] if name == "value" => invalid(name, Code::DuplicateField, "must be the only field, once"),
        [(name, _), ..] => invalid(name, Code::UnknownField, "is unknown here; there is `value`"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a value that is refused fails the test")]

    use super::*;

    #[test]
    fn a_value_is_read_and_what_is_none_is_refused_without_being_repeated() {
        assert_eq!(read(br#"{"value": "a"}"#).unwrap(), SecretValue::parse("a").unwrap());
        let table = [
            (r#"{"value": "canary\n"}"#, "invalid_value"),
            (r#"{"value": ["canary"]}"#, "wrong_type"),
            (r#"{"value": "canary", "value": "canary"}"#, "duplicate_field"),
            (r#"{"text": "canary"}"#, "unknown_field"),
            ("{}", "missing"),
            (r#""canary""#, "wrong_type"),
        ];
        for (json, code) in table {
            let Err(NoValue::Invalid(faults)) = read(json.as_bytes()) else { panic!("{json}") };
            assert_eq!(faults[0].code.as_str(), code, "{json}");
            assert!(!faults[0].message.contains("canary"), "{faults:?}");
        }
        assert!(matches!(read(b"{"), Err(NoValue::NotJson(_))));
    }
}
