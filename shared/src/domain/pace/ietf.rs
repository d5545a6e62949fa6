//! `RateLimit` and `RateLimit-Policy`, in all forms that their drafts have had.
//!
//! - Now: `RateLimit-Policy: "default";q=100;w=10` and `RateLimit: "default";r=50;t=30`, lists of structured fields.
//!   <https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-10>
//! - Draft 7: `RateLimit: limit=100, remaining=50, reset=5` and `RateLimit-Policy: 100;w=10`.
//!   <https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-07>
//! - Draft 6 and before: `RateLimit-Limit: 100` (in the first ones `100, 100;w=10`), `RateLimit-Remaining`,
//!   `RateLimit-Reset` in seconds. <https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-06>
//!
//! A quota of `concurrent-requests` is calls in flight; one of `content-bytes` counts no calls. `pk`, which tells
//! partitions apart, is not looked at: the gate is one.

use std::time::Duration;

use super::headers::{Headers, label, whole};
use super::structured::{Bare, Member, list};
use super::{Budget, Pace, Policy, Unit, moment};
use crate::domain::gate::Pacing;

const POLICY: &str = "ratelimit-policy";
const CURRENT: &str = "ratelimit";
const LIMIT: &str = "ratelimit-limit";
const REMAINING: &str = "ratelimit-remaining";
const RESET: &str = "ratelimit-reset";
/// How long it counts how many calls may be in flight.
const CONCURRENCY_COUNTS: Duration = Duration::from_secs(3600);

pub(super) fn read(headers: &Headers<'_>, pace: &mut Pace) {
    let policies = headers.list(POLICY).and_then(|text| list(&text)).unwrap_or_default();
    read_policies(POLICY, &policies, pace);
    let known = pace.budgets.len();
    let current = headers.list(CURRENT).and_then(|text| list(&text)).unwrap_or_default();
    match current.iter().all(|member| member.key.is_some()) {
        true => pace.budgets.extend(dictionary(headers, &current)),
        false => pace.budgets.extend(current.iter().filter_map(|item| service_limit(headers, item))),
    }
    if pace.budgets.len() == known {
        separate(headers, pace);
    }
}

pub(super) fn read_policies(source: &'static str, items: &[Member], pace: &mut Pace) {
    let unnamed = items.iter().filter(|item| matches!(item.value, Bare::Number(_))).count();
    for (at, item) in items.iter().enumerate().filter(|(_, item)| item.key.is_none()) {
        let (name, quota) = match &item.value {
            Bare::Text(name) => (label(name), item.number("q")),
            Bare::Number(quota) => ((unnamed > 1).then(|| (at + 1).to_string()), Some(*quota)),
        };
        let Some(quota) = quota.and_then(whole).filter(|quota| *quota > 0) else { continue };
        let unit = match item.text("qu") {
            None | Some("requests") => Unit::Requests,
            Some("concurrent-requests") => {
                in_flight(quota, pace);
                continue;
            }
            Some(_) => Unit::Other,
        };
        let window =
            item.number("w").or(item.number("window")).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let Some(window) = window.filter(|window| !window.is_zero()) else { continue };
        pace.policies.push(Policy { source, name, unit, quota, window });
    }
}

fn in_flight(calls: u64, pace: &mut Pace) {
    if pace.pacing.is_none() {
        let concurrency = u32::try_from(calls).ok();
        let valid_for = Some(CONCURRENCY_COUNTS);
        pace.pacing = Some(Pacing { rate: None, concurrency, source: POLICY.to_owned(), valid_for });
    }
}

/// `"default";r=50;t=30`.
fn service_limit(headers: &Headers<'_>, item: &Member) -> Option<Budget> {
    let Bare::Text(name) = &item.value else { return None };
    let remaining = item.number("r").and_then(whole)?;
    let policies = headers.list(POLICY).and_then(|text| list(&text)).unwrap_or_default();
    let policy = policies.iter().find(|policy| policy.value == item.value);
    let unit = match policy.and_then(|policy| policy.text("qu")) {
        None | Some("requests") => Unit::Requests,
        Some(_) => Unit::Other,
    };
    let reset = item.number("t").and_then(|seconds| moment::later(headers.now, seconds));
    let limit = policy.and_then(|policy| policy.number("q")).and_then(whole);
    Some(Budget { source: CURRENT, name: label(name), unit, limit, remaining: Some(remaining), reset, refills: false })
}

/// `limit=100, remaining=50, reset=5`.
fn dictionary(headers: &Headers<'_>, members: &[Member]) -> Option<Budget> {
    let number = |key: &str| match &members.iter().find(|member| member.key.as_deref() == Some(key))?.value {
        Bare::Number(number) => Some(*number),
        Bare::Text(_) => None,
    };
    let remaining = Some(number("remaining").and_then(whole)?);
    let reset = number("reset").and_then(|seconds| moment::later(headers.now, seconds));
    let limit = number("limit").and_then(whole);
    Some(Budget { source: CURRENT, name: None, unit: Unit::Requests, limit, remaining, reset, refills: false })
}

/// A header for each.
fn separate(headers: &Headers<'_>, pace: &mut Pace) {
    let limits = headers.list(LIMIT).and_then(|text| list(&text)).unwrap_or_default();
    if !pace.policies.iter().any(|policy| policy.source == POLICY) {
        read_policies(LIMIT, &limits, pace);
    }
    let limit = match limits.first().map(|item| &item.value) {
        Some(Bare::Number(limit)) => whole(*limit),
        Some(Bare::Text(_)) | None => None,
    };
    let remaining = headers.count(REMAINING);
    let reset = headers.get(RESET).and_then(|text| moment::any(headers, text));
    if remaining.is_some() || reset.is_some() {
        let source = if remaining.is_some() { REMAINING } else { RESET };
        pace.budgets.push(Budget { source, name: None, unit: Unit::Requests, limit, remaining, reset, refills: false });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{in_seconds, read};
    use super::*;

    fn policy(source: &'static str, name: Option<&str>, quota: u64, seconds: u64) -> Policy {
        let (name, window) = (name.map(str::to_owned), Duration::from_secs(seconds));
        Policy { source, name, unit: Unit::Requests, quota, window }
    }

    fn budget(source: &'static str, name: Option<&str>, limit: Option<u64>, remaining: u64, seconds: u64) -> Budget {
        let (name, remaining) = (name.map(str::to_owned), Some(remaining));
        let reset = Some(in_seconds(seconds));
        Budget { source, name, unit: Unit::Requests, limit, remaining, reset, refills: false }
    }

    /// The examples of draft 10, and of Cloudflare, which sends what it says:
    /// <https://developers.cloudflare.com/fundamentals/api/reference/limits/>
    #[test]
    fn the_current_draft() {
        let pace = read(&[("ratelimit-policy", r#""default";q=100;w=10"#), ("ratelimit", r#""default";r=50;t=30"#)]);
        assert_eq!(pace.policies, [policy(POLICY, Some("default"), 100, 10)]);
        assert_eq!(pace.budgets, [budget(CURRENT, Some("default"), Some(100), 50, 30)]);
        let pace = read(&[("ratelimit-policy", r#""permin";q=50;w=60,"perhr";q=1000;w=3600,"perday";q=5000;w=86400"#)]);
        let three = [("permin", 50, 60), ("perhr", 1000, 3600), ("perday", 5000, 86_400)];
        assert_eq!(pace.policies, three.map(|(name, quota, window)| policy(POLICY, Some(name), quota, window)));
        let pace = read(&[("ratelimit", r#""problemPolicy";r=0;t=10, "other";r=3"#)]);
        assert_eq!(pace.budgets[0], budget(CURRENT, Some("problemPolicy"), None, 0, 10));
        assert_eq!((pace.budgets[1].remaining, pace.budgets[1].reset), (Some(3), None));
    }

    #[test]
    fn what_counts_bytes_counts_no_calls_and_concurrent_requests_are_calls_in_flight() {
        let bytes = r#""peruser";q=65535;qu="content-bytes";w=10;pk=:sdfjLJUOUH==:"#;
        let pace = read(&[("ratelimit-policy", bytes), ("ratelimit", r#""peruser";r=0;t=5"#)]);
        assert_eq!((pace.policies[0].unit, pace.budgets[0].unit), (Unit::Other, Unit::Other));
        let pace = read(&[("ratelimit-policy", r#""c";q=7;qu="concurrent-requests""#)]);
        assert_eq!(pace.pacing.and_then(|pacing| pacing.concurrency), Some(7));
    }

    /// Postman's documentation shows these: <https://learning.postman.com/docs/developer/postman-api/postman-api-rate-limits/>
    #[test]
    fn draft_7() {
        let pace = read(&[("ratelimit", "limit=300, remaining=120, reset=40"), ("ratelimit-policy", "300;w=60")]);
        assert_eq!(pace.policies, [policy(POLICY, None, 300, 60)]);
        assert_eq!(pace.budgets, [budget(CURRENT, None, Some(300), 120, 40)]);
    }

    /// <https://docs.withpersona.com/v2021-07-05/reference/rate-limiting>
    #[test]
    fn draft_6_and_before() {
        let pace = read(&[("ratelimit-limit", "300"), ("ratelimit-remaining", "280"), ("ratelimit-reset", "53")]);
        assert_eq!(pace.budgets, [budget(REMAINING, None, Some(300), 280, 53)]);
        let pace = read(&[("ratelimit-limit", "100, 100;w=10, 1000;w=3600"), ("ratelimit-reset", "5")]);
        assert_eq!(pace.policies, [policy(LIMIT, Some("2"), 100, 10), policy(LIMIT, Some("3"), 1000, 3600)]);
        assert_eq!((pace.budgets[0].limit, pace.budgets[0].reset), (Some(100), Some(in_seconds(5))));
    }

    #[test]
    fn what_is_no_structured_field_says_nothing() {
        for broken in
            ["", ",", "\"a", "\"a\";q", "\"a\";q=-1;w=5", "\"a\";q=0;w=5", "\"a\";q=5;w=0", "a b", "\"é\";q=1;w=1"]
        {
            assert_eq!(read(&[("ratelimit-policy", broken), ("ratelimit", broken)]).policies, [], "{broken}");
        }
    }
}
