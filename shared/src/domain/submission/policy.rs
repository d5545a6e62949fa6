//! When a contender is tried again, and what starts it.

use std::time::Duration;

use super::fault::Code;
use super::fields::{Fields, Reading, Value};
use crate::domain::job::{Priority, RetryPolicy, Trigger};

/// Most retries.
pub(super) const MOST_RETRIES: u64 = 100;
/// Most reroutes: each makes the job's record larger.
pub(super) const MOST_REROUTES: u64 = 16;
/// Most statuses in a list: every one there is.
pub(super) const MOST_CODES: usize = 500;
/// The longest that anything may be put off or take, in milliseconds: 30 days.
pub(super) const LONGEST_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// The retry policy; absent fields stay absent.
pub(super) fn retry(contender: &mut Fields<'_>, rd: &mut Reading<'_>) -> RetryPolicy {
    let given = contender.take("retry_policy").and_then(|value| value.object(rd));
    let Some(mut fields) = given else { return RetryPolicy::default() };
    let policy = RetryPolicy {
        max_retries: times(fields.take_either("max_retries", "maxRetries", rd), MOST_RETRIES, rd),
        retry_codes: fields.take_either("retry_codes", "retryCodes", rd).map(|value| codes(&value, rd)),
        max_reroutes: times(fields.take_either("max_reroutes", "maxReroutes", rd), MOST_REROUTES, rd),
        reroute_codes: fields.take_either("reroute_codes", "rerouteCodes", rd).map(|value| codes(&value, rd)),
    };
    fields.finish(rd);
    policy
}

fn times(value: Option<Value<'_>>, most: u64, rd: &mut Reading<'_>) -> Option<u32> {
    value?.number(0..=most, rd).and_then(|number| u32::try_from(number).ok())
}

/// A list of HTTP statuses.
fn codes(value: &Value<'_>, rd: &mut Reading<'_>) -> Vec<u16> {
    let items = value.list(MOST_CODES, rd);
    let code = |item: &Value<'_>| item.number(100..=599, rd).and_then(|code| u16::try_from(code).ok());
    items.iter().filter_map(code).collect()
}

/// A time in milliseconds.
pub(super) fn duration(value: Option<Value<'_>>, least: u64, rd: &mut Reading<'_>) -> Option<Duration> {
    value?.number(least..=LONGEST_MS, rd).map(Duration::from_millis)
}

/// What starts a fallback; without a trigger any failure does.
pub(super) fn trigger(fallback: &mut Fields<'_>, rd: &mut Reading<'_>) -> Trigger {
    let any_failure = Trigger::OnError { codes: Vec::new() };
    let given = fallback.take("trigger").and_then(|value| value.object(rd));
    let Some(mut fields) = given else { return any_failure };
    let kinds = "`on_error` or `on_timeout`";
    let kind = fields.require("type", kinds, rd);
    let word = kind.as_ref().and_then(|value| value.text(rd));
    let codes = fields.take("codes");
    let timeout = fields.take("timeout_ms");
    let trigger = match (word.as_deref(), &kind) {
        (Some("on_error"), _) => {
            misplaced(timeout, "on_timeout", rd);
            Some(Trigger::OnError { codes: codes.map(|value| self::codes(&value, rd)).unwrap_or_default() })
        }
        (Some("on_timeout"), _) => {
            misplaced(codes, "on_error", rd);
            if timeout.is_none() {
                let path = fields.path.field("timeout_ms");
                rd.fault(&path, Code::Missing, "must be given: after how many milliseconds the fallback starts");
            }
            duration(timeout, 1, rd).map(|after| Trigger::OnTimeout { after })
        }
        (Some(_), Some(kind)) => {
            rd.fault(&kind.path, Code::InvalidValue, format!("must be {kinds}"));
            None
        }
        (_, _) => None,
    };
    fields.finish(rd);
    trigger.unwrap_or(any_failure)
}

fn misplaced(value: Option<Value<'_>>, kind: &str, rd: &mut Reading<'_>) {
    if let Some(value) = value {
        rd.fault(&value.path, Code::Misplaced, format!("belongs to a trigger of type `{kind}`; take it out"));
    }
}

/// How far to the front a contender goes, where that is said.
pub(super) fn priority(contender: &mut Fields<'_>, rd: &mut Reading<'_>) -> Option<Priority> {
    let words = [Priority::High, Priority::Normal, Priority::Low];
    one_of(contender.take("priority"), words, Priority::as_str, rd)
}

/// One of a few words.
pub(super) fn one_of<T: Copy, const N: usize>(
    value: Option<Value<'_>>,
    words: [T; N],
    as_str: impl Fn(T) -> &'static str,
    rd: &mut Reading<'_>,
) -> Option<T> {
    let value = value?;
    let given = value.text(rd)?;
    let word = words.into_iter().find(|word| as_str(*word) == given);
    if word.is_none() {
        let words = words.map(|word| format!("`{}`", as_str(word)));
        rd.fault(&value.path, Code::InvalidValue, format!("must be {}", words.join(" or ")));
    }
    word
}
