//! What is asked for with `POST /v1/keys`, read from its JSON; everything that cannot be read is said at once.

use std::str::FromStr;

use serde_json::{Map, Value, json};
use sluice_shared::clock::Millis;
use sluice_shared::domain::access::{Quotas, Scope, Wish};
use sluice_shared::domain::id::Tenant;
use sluice_shared::domain::submission::{Code, Fault};

/// Why it is no wish for a key.
#[derive(Debug, PartialEq, Eq)]
pub enum NoWish {
    /// It is no JSON object.
    NotJson(String),
    /// Everything that is wrong with it.
    Invalid(Vec<Fault>),
}

/// Reads a wish. Without a `tenant` the key is to be `own`'s, the tenant of whoever asks, if they are of one.
///
/// # Errors
/// Where it cannot be read.
pub fn read(json: &[u8], own: Option<&Tenant>) -> Result<Wish, NoWish> {
    let fields: Map<String, Value> = serde_json::from_slice(json)
        .map_err(|_| NoWish::NotJson("the body must be a JSON object, as in gateway/HTTP.md".to_owned()))?;
    let mut reading = Reading { fields, path: "", faults: Vec::new() };
    let tenant = reading.take("tenant", "a name of 1 to 64 characters of a-z, A-Z, 0-9, `-` and `_`", text::<Tenant>);
    let operator = reading.take("operator", "true or false", Value::as_bool).unwrap_or(false);
    let scopes = reading.take("scopes", "a list of `submit`, `read`, `operate`, `admin`", scopes).unwrap_or_default();
    let label = reading.take("label", "text", |value| value.as_str().map(str::to_owned)).unwrap_or_default();
    let expires_at = reading.take("expires_at", "milliseconds since the epoch", number).map(Millis);
    let quotas = reading.take("quotas", "an object", |value| value.as_object().cloned()).unwrap_or_default();
    let mut faults = reading.end();
    if tenant.is_some() && operator {
        faults.push(fault("operator", Code::Misplaced, "a key is the operator's, or that of a tenant"));
    }
    let tenant = if operator { None } else { tenant.or_else(|| own.cloned()) };
    if tenant.is_none() && !operator && !faults.iter().any(|fault| fault.path == "tenant") {
        faults.push(fault(
            "tenant",
            Code::Missing,
            "name a tenant, or say `\"operator\": true` for a key to all of them",
        ));
    }
    let mut reading = Reading { fields: quotas, path: "quotas.", faults };
    let whole = "a whole number from 1 to 1000000000";
    let small = |value: &Value| number(value).and_then(|number| u32::try_from(number).ok());
    let quotas = Quotas {
        jobs_per_second: reading.take("jobs_per_second", whole, small),
        jobs_per_day: reading.take("jobs_per_day", whole, number),
        open_jobs: reading.take("open_jobs", whole, small),
        body_bytes: reading.take("body_bytes", whole, number),
    };
    let faults = reading.end();
    if faults.is_empty() {
        Ok(Wish { tenant, scopes, label, expires_at, quotas })
    } else {
        Err(NoWish::Invalid(faults))
    }
}

/// What `read` takes, as a JSON Schema. It cannot say what depends on who asks: whether `tenant` may be left out.
pub(crate) fn schema() -> Value {
    let quota = || json!({"type": ["integer", "null"], "minimum": 1, "maximum": Quotas::MOST});
    let quotas = ["jobs_per_second", "jobs_per_day", "open_jobs", "body_bytes"];
    let quotas: Map<String, Value> = quotas.into_iter().map(|name| (name.to_owned(), quota())).collect();
    json!({
        "type": "object", "required": ["scopes"], "additionalProperties": false,
        "properties": {
            "tenant": {
                "type": ["string", "null"], "minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9-][A-Za-z0-9_-]*$",
                "description": "Whose it is; for a key of the operator's own, `operator` stands in its place",
            },
            "operator": {"type": ["boolean", "null"], "description": "Whether it reaches all tenants"},
            "scopes": {"type": "array", "minItems": 1, "items": {"enum": Scope::ALL.map(Scope::as_str)}},
            "label": {
                "type": ["string", "null"], "maxLength": 100, "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$",
                "description": "What its owner calls it",
            },
            "expires_at": {
                "type": ["integer", "null"], "minimum": 0, "maximum": u64::MAX,
                "description": "From when on it is not taken any more: in the future, in milliseconds since the epoch",
            },
            "quotas": {
                "type": ["object", "null"], "additionalProperties": false, "properties": quotas,
                "description": "How much may be submitted with it; what is absent is not limited",
            },
        },
        "not": {
            "required": ["tenant", "operator"],
            "properties": {"tenant": {"type": "string"}, "operator": {"const": true}},
        },
    })
}

/// The fields of an object, taken out one by one.
struct Reading {
    fields: Map<String, Value>,
    path: &'static str,
    faults: Vec<Fault>,
}

impl Reading {
    /// A field, where it is there and not `null`.
    fn take<T>(&mut self, name: &str, what: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let value = self.fields.remove(name).filter(|value| !value.is_null())?;
        let found = read(&value);
        if found.is_none() {
            let path = format!("{}{name}", self.path);
            self.faults.push(fault(&path, Code::InvalidValue, &format!("must be {what}")));
        }
        found
    }

    /// What is wrong, fields that nobody took included.
    fn end(mut self) -> Vec<Fault> {
        for name in self.fields.keys().take(8) {
            let path: String = format!("{}{name}", self.path).chars().take(64).collect();
            let path = path.escape_debug().to_string();
            self.faults.push(fault(&path, Code::UnknownField, "there is no such field"));
        }
        self.faults
    }
}

/// A whole number; one written as `3.0` or `3e0` is whole.
fn number(value: &Value) -> Option<u64> {
    /// 2^64, the least that is too large.
    const TOO_LARGE: f64 = 18_446_744_073_709_551_616.0;
    let whole = |number: &f64| number.fract() == 0.0 && (0.0..TOO_LARGE).contains(number);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and within bounds")]
    let read = |number: f64| number as u64;
    value.as_u64().or_else(|| value.as_f64().filter(whole).map(read))
}

fn text<T: FromStr>(value: &Value) -> Option<T> {
    value.as_str()?.parse().ok()
}

fn scopes(value: &Value) -> Option<std::collections::BTreeSet<Scope>> {
    value.as_array()?.iter().map(text::<Scope>).collect()
}

fn fault(path: &str, code: Code, message: &str) -> Fault {
    Fault { path: path.to_owned(), code, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a wish that is refused fails the test")]

    use super::*;

    fn faults(json: &str, own: Option<&Tenant>) -> Vec<(String, &'static str)> {
        match read(json.as_bytes(), own) {
            Err(NoWish::Invalid(faults)) => faults.into_iter().map(|f| (f.path, f.code.as_str())).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_wish_names_a_tenant_or_the_operator_or_is_for_ones_own() {
        let acme: Tenant = "acme".parse().unwrap();
        let read = |json: &str, own| read(json.as_bytes(), own).unwrap();
        assert_eq!(read(r#"{"tenant": "acme", "scopes": []}"#, None).tenant, Some(acme.clone()));
        assert_eq!(read(r#"{"operator": true}"#, None).tenant, None);
        assert_eq!(read("{}", Some(&acme)).tenant, Some(acme.clone()));
        // Whether they may have it is decided where the key is made.
        assert_eq!(read(r#"{"operator": true}"#, Some(&acme)).tenant, None);
        assert_eq!(faults("{}", None), [("tenant".to_owned(), "missing")]);
        assert_eq!(faults(r#"{"tenant": "acme", "operator": true}"#, None), [("operator".to_owned(), "misplaced")]);
    }

    #[test]
    fn everything_that_can_be_said_of_a_key_is_read() {
        let json = br#"{"tenant": "acme", "scopes": ["read", "submit", "read"], "label": "app", "expires_at": 7.0,
            "quotas": {"jobs_per_second": 5, "jobs_per_day": 6, "open_jobs": 7, "body_bytes": 8}}"#;
        let wish = read(json, None).unwrap();
        assert_eq!(wish.scopes.into_iter().collect::<Vec<_>>(), [Scope::Submit, Scope::Read]);
        assert_eq!((wish.label.as_str(), wish.expires_at), ("app", Some(Millis(7))));
        let each: Vec<_> = wish.quotas.each().map(|(_, value)| value).collect();
        assert_eq!(each, [5, 6, 7, 8]);
    }

    #[test]
    fn a_whole_number_is_read_however_it_is_written() {
        let read = |text: &str| number(&serde_json::from_str(text).unwrap());
        let largest = [("18446744073709551615", u64::MAX), ("2251799813685247.0", (1 << 51) - 1)];
        for (text, expected) in [("0", 0), ("-0.0", 0), ("3.0", 3), ("3e2", 300)].into_iter().chain(largest) {
            assert_eq!(read(text), Some(expected), "{text}");
        }
        for text in ["-1", "-1.0", "1.5", "18446744073709551616", "1e300", "true", "\"3\""] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn everything_that_cannot_be_read_is_said_at_once_by_its_path_alone() {
        let json = r#"{"tenant": "a b", "scopes": ["root"], "label": 1, "expires_at": "soon", "secret": "hunter2",
            "quotas": {"jobs_per_day": -1, "open_jobs": 1.5, "jobs": 1}}"#;
        let invalid = |path: &str| (path.to_owned(), "invalid_value");
        let unknown = |path: &str| (path.to_owned(), "unknown_field");
        let expected = [
            invalid("tenant"),
            invalid("scopes"),
            invalid("label"),
            invalid("expires_at"),
            unknown("secret"),
            invalid("quotas.jobs_per_day"),
            invalid("quotas.open_jobs"),
            unknown("quotas.jobs"),
        ];
        assert_eq!(faults(json, None), expected);
        for json in ["", "[]", "7", "{"] {
            assert!(matches!(read(json.as_bytes(), None), Err(NoWish::NotJson(_))), "{json}");
        }
    }
}
