//! Webhook secrets as they are set: a primary, a secondary for a rotation, the schemes. Pure.
//!
//! Everything that is wrong is said at once, each fault with its path. Invariant: a fault never repeats a value.

use std::collections::BTreeSet;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use sluice_shared::domain::submission::{Code, Entries, Fault};
use sluice_shared::domain::webhook_secrets::{Scheme, WebhookSecret, WebhookSecrets};

use crate::entries::{self, NoEntries, fault};

/// The names that there are.
const KNOWN: [&str; 3] = ["primary_secret", "secondary_secret", "schemes"];
/// Faults listed at most.
const MOST_FAULTS: usize = 20;

/// Why secrets were not understood.
#[derive(Debug, PartialEq)]
pub enum NoSecrets {
    /// It is no JSON.
    NotJson(String),
    /// What is wrong with it.
    Invalid(Vec<Fault>),
}

/// What `read` takes, as a JSON Schema.
pub(crate) fn schema() -> Value {
    // 24 to 64 bytes of base64 (RFC 4648, section 4) behind the prefix, or any text without the prefix.
    let key = "^whsec_(([A-Za-z0-9+/]{4}){8,20}([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?\
               |([A-Za-z0-9+/]{4}){21}([A-Za-z0-9+/][AQgw]==)?)$";
    let secret = |other: &str| {
        let text = json!({"pattern": "^[!-~][ -~]{14,254}[!-~]$", "not": {"pattern": "^whsec_"}});
        json!({"type": "string", "anyOf": [{"pattern": key}, text], "description": other})
    };
    let second = json!({"anyOf": [secret("Signs too, where a scheme has room for it"), {"type": "null"}]});
    json!({
        "type": "object", "required": ["primary_secret"], "additionalProperties": false,
        "properties": {
            "primary_secret": secret("Signs: `whsec_` and base64, or any other text"),
            "secondary_secret": second,
            "schemes": {
                "type": "array", "minItems": 1, "items": {"enum": Scheme::ALL.map(Scheme::as_str)},
                "description": "How posts are signed; `standard` where absent",
            },
        },
    })
}

/// Reads what a tenant's webhooks are to be signed with.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(json: &[u8]) -> Result<WebhookSecrets, NoSecrets> {
    let Entries(entries) = entries::read(json).map_err(|no| match no {
        NoEntries::NoObject(fault) => NoSecrets::Invalid(vec![fault]),
        NoEntries::NotJson(error) => NoSecrets::NotJson(format!("the secrets are not valid JSON: {error}")),
    })?;
    let (mut primary, mut secondary) = (None, None);
    let (mut schemes, mut faults, mut seen) = (BTreeSet::from([Scheme::Standard]), Vec::new(), Vec::new());
    for (name, raw) in &entries {
        let read = match name.as_str() {
            "primary_secret" => secret(raw).map(|secret| primary = Some(secret)),
            "secondary_secret" if raw.get() == "null" => Ok(()),
            "secondary_secret" => secret(raw).map(|secret| secondary = Some(secret)),
            "schemes" => schemes_of(raw).map(|given| schemes = given),
            _ => Err((Code::UnknownField, format!("is unknown here; there are `{}`", KNOWN.join("`, `")))),
        };
        if let Err((code, message)) = read {
            faults.push(fault(name, code, message));
        }
        if seen.contains(&name) {
            faults.push(fault(name, Code::DuplicateField, "is given more than once; give it once"));
        }
        seen.push(name);
        if faults.len() >= MOST_FAULTS {
            break;
        }
    }
    if !entries.iter().any(|(name, _)| name == "primary_secret") {
        faults.push(fault("primary_secret", Code::Missing, "must be given: a secret, `whsec_…` or any other"));
    }
    match primary {
        Some(primary) if faults.is_empty() => Ok(WebhookSecrets { primary, secondary, schemes }),
        Some(_) | None => Err(NoSecrets::Invalid(faults)),
    }
}

fn secret(raw: &RawValue) -> Result<WebhookSecret, (Code, String)> {
    let text: String = serde_json::from_str(raw.get()).map_err(|_| (Code::WrongType, "must be a string".to_owned()))?;
    WebhookSecret::parse(&text).map_err(|why| (Code::InvalidValue, why.to_string()))
}

fn schemes_of(raw: &RawValue) -> Result<BTreeSet<Scheme>, (Code, String)> {
    let message = || format!("must be a list of at least one of `{}`", Scheme::ALL.map(Scheme::as_str).join("`, `"));
    let names: Vec<String> = serde_json::from_str(raw.get()).map_err(|_| (Code::WrongType, message()))?;
    let schemes: Option<BTreeSet<Scheme>> = names.iter().map(|name| Scheme::parse(name)).collect();
    schemes.filter(|schemes| !schemes.is_empty()).ok_or_else(|| (Code::InvalidValue, message()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "secrets that are refused fail the test")]

    use super::*;

    #[test]
    fn secrets_are_read_with_the_standard_scheme_where_none_is_named() {
        let secrets = read(br#"{"primary_secret": "0123456789abcdef"}"#).unwrap();
        assert_eq!((secrets.secondary, secrets.schemes), (None, [Scheme::Standard].into()));
        let both = br#"{"primary_secret": "0123456789abcdef", "secondary_secret": "fedcba9876543210",
            "schemes": ["ezthrottle", "standard"]}"#;
        let secrets = read(both).unwrap();
        assert_eq!(secrets.secondary.unwrap().expose(), "fedcba9876543210");
        assert_eq!(secrets.schemes, Scheme::ALL.into());
        assert_eq!(
            read(br#"{"primary_secret": "0123456789abcdef", "secondary_secret": null}"#).unwrap().secondary,
            None
        );
    }

    #[test]
    fn everything_that_is_wrong_is_said_and_nothing_of_a_secret() {
        let faults = |json: &str| match read(json.as_bytes()) {
            Err(NoSecrets::Invalid(faults)) => faults,
            other => panic!("{json}: {other:?}"),
        };
        let json = r#"{"secondary_secret": "canary", "schemes": ["canary"], "canaries": 1, "schemes": []}"#;
        let found: Vec<_> = faults(json).iter().map(|one| (one.path.clone(), one.code.as_str())).collect();
        let path = |path: &str, code| (path.to_owned(), code);
        let expected = [
            path("secondary_secret", "invalid_value"),
            path("schemes", "invalid_value"),
            path("canaries", "unknown_field"),
            path("schemes", "invalid_value"),
            path("schemes", "duplicate_field"),
            path("primary_secret", "missing"),
        ];
        assert_eq!(found, expected);
        for json in [r#"{"primary_secret": "canary"}"#, r#"{"primary_secret": ["canary-canary-canary"]}"#] {
            assert!(!faults(json)[0].message.contains("canary"), "{json}");
        }
        assert!(matches!(read(b"{"), Err(NoSecrets::NotJson(_))));
    }
}
