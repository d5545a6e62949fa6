//! What a `PATCH` of a queue says: each limit set, taken back with `null`, or left as it is. Pure.
//!
//! Everything that is wrong is said at once, each fault with its path. Invariant: a fault never repeats a value.

use serde_json::{Value, json};
use sluice_shared::domain::gate::{Adjustment, Interval, Setting};
use sluice_shared::domain::submission::{Code, Entries, Fault};

use crate::entries::{self, NoEntries, fault};

/// The fastest rate, calls a second.
const FASTEST: f64 = 1_000_000.0;
/// The slowest: a call a day.
const SLOWEST: f64 = 1.0 / 86_400.0;
/// The most calls at once, or in flight.
const MOST: u32 = 1_000_000;
/// The names that there are.
const KNOWN: [&str; 3] = ["rate", "burst", "concurrency"];
/// Faults listed at most.
const MOST_FAULTS: usize = 20;

/// Why a change was not understood.
#[derive(Debug, PartialEq)]
pub enum NoAdjustment {
    /// It is no JSON.
    NotJson(String),
    /// What is wrong with it.
    Invalid(Vec<Fault>),
}

/// What `read` takes, as a JSON Schema.
pub(crate) fn schema() -> Value {
    let count = |description: &str| {
        json!({
            "type": ["integer", "null"], "minimum": 1, "maximum": MOST, "description": description,
        })
    };
    json!({
        "type": "object", "minProperties": 1, "additionalProperties": false,
        "properties": {
            "rate": {"type": ["number", "null"], "minimum": SLOWEST, "maximum": FASTEST, "description": "Calls a second"},
            "burst": count("Calls that may go at once after a pause"),
            "concurrency": count("Calls in flight, over all workers"),
        },
    })
}

/// Reads a change of a gate's limits.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(json: &[u8]) -> Result<Adjustment, NoAdjustment> {
    let Entries(entries) = entries::read(json).map_err(|no| match no {
        NoEntries::NoObject(fault) => NoAdjustment::Invalid(vec![fault]),
        NoEntries::NotJson(error) => NoAdjustment::NotJson(format!("the change is not valid JSON: {error}")),
    })?;
    let (mut adjustment, mut faults, mut seen) = (Adjustment::default(), Vec::new(), Vec::new());
    for (name, raw) in &entries {
        let text = raw.get();
        let read = match name.as_str() {
            "rate" => rate(text).map(|setting| adjustment.interval = setting),
            "burst" => count(text).map(|setting| adjustment.burst = setting),
            "concurrency" => count(text).map(|setting| adjustment.concurrency = setting),
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
    if entries.is_empty() {
        faults.push(fault("", Code::Missing, format!("must have at least one of `{}`", KNOWN.join("`, `"))));
    }
    if faults.is_empty() { Ok(adjustment) } else { Err(NoAdjustment::Invalid(faults)) }
}

type Read<T> = Result<Setting<T>, (Code, String)>;

fn rate(text: &str) -> Read<Interval> {
    if text == "null" {
        return Ok(Setting::TakenBack);
    }
    let allowed = |rate: &f64| (SLOWEST..=FASTEST).contains(rate);
    let rate = number(text, "a number")?.parse().ok().filter(allowed).and_then(Interval::of_rate);
    let range = || {
        let message =
            format!("must be calls a second from 1/86400 (a call a day) to {FASTEST}, or null to take it back");
        (Code::OutOfRange, message)
    };
    rate.map(Setting::Is).ok_or_else(range)
}

fn count(text: &str) -> Read<u32> {
    if text == "null" {
        return Ok(Setting::TakenBack);
    }
    let count = whole(number(text, "a whole number")?).parse().ok().filter(|count| (1..=MOST).contains(count));
    let range = || (Code::OutOfRange, format!("must be a whole number from 1 to {MOST}, or null to take it back"));
    count.map(Setting::Is).ok_or_else(range)
}

/// The same number without a fraction of zeros: one written as `3.0` is whole.
fn whole(text: &str) -> &str {
    match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|digit| digit == b'0') => whole,
        Some(_) | None => text,
    }
}

/// The text, where it is that of a number.
fn number<'a>(text: &'a str, what: &str) -> Result<&'a str, (Code, String)> {
    let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    if is_number { Ok(text) } else { Err((Code::WrongType, format!("must be {what}, or null to take it back"))) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a change that is refused fails the test")]

    use super::*;

    fn faults(json: &str) -> Vec<(String, &'static str)> {
        match read(json.as_bytes()) {
            Err(NoAdjustment::Invalid(faults)) => faults.into_iter().map(|f| (f.path, f.code.as_str())).collect(),
            other => panic!("{json}: {other:?}"),
        }
    }

    #[test]
    fn each_limit_is_set_taken_back_or_left_as_it_is() {
        let read = |json: &str| read(json.as_bytes()).unwrap();
        let set = Adjustment {
            interval: Setting::Is(Interval::of_rate(0.5).unwrap()),
            burst: Setting::TakenBack,
            concurrency: Setting::Stays,
        };
        assert_eq!(read(r#"{"rate": 5e-1, "burst": null}"#), set);
        let set = Adjustment { concurrency: Setting::Is(7), ..Adjustment::default() };
        assert_eq!(read(r#"{"concurrency": 7}"#), set);
        assert_eq!(read(r#"{"concurrency": 7.00}"#), set);
    }

    #[test]
    fn everything_that_is_wrong_is_said_with_its_path() {
        let found = faults(r#"{"rate": 0, "burst": "3", "concurrency": 2.5, "rps": 1, "burst": 1}"#);
        let path = |path: &str, code| (path.to_owned(), code);
        let expected = [
            path("rate", "out_of_range"),
            path("burst", "wrong_type"),
            path("concurrency", "out_of_range"),
            path("rps", "unknown_field"),
            path("burst", "duplicate_field"),
        ];
        assert_eq!(found, expected);
        for json in ["-1", "1e400", "1000001", "1e-9"] {
            assert_eq!(faults(&format!(r#"{{"rate": {json}}}"#)), [path("rate", "out_of_range")], "{json}");
        }
        for json in ["0", "-1", "1000001", "1e3", "99999999999999999999"] {
            assert_eq!(faults(&format!(r#"{{"burst": {json}}}"#)), [path("burst", "out_of_range")], "{json}");
        }
        assert_eq!(faults("{}"), [path("", "missing")]);
        assert_eq!(faults("[1]"), [path("", "wrong_type")]);
        assert_eq!(faults(r#""rate""#), [path("", "wrong_type")]);
    }

    #[test]
    fn what_is_no_json_is_told_apart() {
        for json in ["", "{", r#"{"rate": 1} 2"#, r#"{"rate"}"#] {
            assert!(matches!(read(json.as_bytes()), Err(NoAdjustment::NotJson(_))), "{json}");
        }
    }
}
