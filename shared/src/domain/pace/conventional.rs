//! `X-RateLimit-Limit`, `-Remaining` and `-Reset`, and the same as `X-Rate-Limit-*`, which no standard describes. They
//! agree on the count; the reset is written in one of these ways, told apart by its size or form:
//!
//! - seconds from now: <https://docs.asaas.com/docs/api-limits-1>;
//! - seconds since the epoch: <https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/rate-limits>;
//! - milliseconds since the epoch, in Linear's `X-RateLimit-Requests-*`: <https://linear.app/developers/rate-limiting>;
//! - a date: <https://developers-classic.mailerlite.com/docs/api-rate-limits>.
//!
//! The window is seldom said, and the limit alone is no rate; some write `100, 100;window=60, 10000;window=86400` as the
//! limit: <https://developer.whoop.com/docs/developing/rate-limiting>.

use super::headers::{Headers, whole};
use super::ietf::read_policies;
use super::structured::{Bare, list};
use super::{Budget, Pace, Unit, moment};

/// Names of limit, remaining, reset.
const NAMES: [[&str; 3]; 3] = [
    ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"],
    ["x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset"],
    ["x-ratelimit-requests-limit", "x-ratelimit-requests-remaining", "x-ratelimit-requests-reset"],
];

pub(super) fn read(headers: &Headers<'_>, pace: &mut Pace) {
    for [limit, left, reset_at] in NAMES {
        let (remaining, reset) =
            (headers.count(left), headers.get(reset_at).and_then(|text| moment::any(headers, text)));
        if remaining.is_some() || reset.is_some() {
            let source = if remaining.is_some() { left } else { reset_at };
            let limits = headers.list(limit).and_then(|text| list(&text)).unwrap_or_default();
            read_policies(limit, &limits, pace);
            let limit = match limits.first().map(|item| &item.value) {
                Some(Bare::Number(limit)) => whole(*limit),
                Some(Bare::Text(_)) | None => None,
            };
            let budget = Budget { source, name: None, unit: Unit::Requests, limit, remaining, reset, refills: false };
            return pace.budgets.push(budget);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, in_seconds, read};

    #[test]
    fn a_reset_is_a_time_from_now_or_a_date() {
        for (value, expected) in [
            ("30", Some(in_seconds(30))),
            ("1767225630", Some(in_seconds(30))),
            ("1767225630000", Some(in_seconds(30))),
            ("Thu, 01 Jan 2026 00:00:30 GMT", Some(in_seconds(30))),
            ("2026-01-01T00:00:30Z", Some(in_seconds(30))),
            ("2026-01-01T01:00:30+01:00", Some(in_seconds(30))),
            ("1767225600", None),
            ("0", None),
            ("tomorrow", None),
        ] {
            for name in ["x-ratelimit-reset", "x-rate-limit-reset", "x-ratelimit-requests-reset", "ratelimit-reset"] {
                let budgets = read(&[(name, value)]).budgets;
                assert_eq!(budgets.first().and_then(|budget| budget.reset), expected, "{name}: {value}");
            }
        }
    }

    /// The example of SendGrid's documentation, with the clock of its answer.
    #[test]
    fn a_date_is_as_far_ahead_as_the_destinations_own_clock_says() {
        let sendgrid = [
            ("date", "Wed, 19 Feb 2014 13:07:13 GMT"),
            ("x-ratelimit-limit", "500"),
            ("x-ratelimit-remaining", "499"),
            ("x-ratelimit-reset", "1392815263"),
        ];
        let budget = read(&sendgrid).budgets.remove(0);
        assert_eq!((budget.limit, budget.remaining), (Some(500), Some(499)));
        assert_eq!(budget.reset, Some(in_seconds(30)));
        assert_eq!(budget.source, "x-ratelimit-remaining");
        assert!(read(&sendgrid[1..]).budgets[0].reset.is_none_or(|at| at > NOW));
    }

    /// The example of WHOOP's documentation.
    #[test]
    fn windows_that_are_said_with_the_limit_are_policies() {
        let pace = read(&[
            ("x-ratelimit-limit", "100, 100;window=60, 10000;window=86400"),
            ("x-ratelimit-remaining", "98"),
            ("x-ratelimit-reset", "3"),
        ]);
        let windows: Vec<_> = pace.policies.iter().map(|policy| (policy.quota, policy.window.as_secs())).collect();
        assert_eq!(windows, [(100, 60), (10_000, 86_400)]);
        assert_eq!((pace.budgets[0].limit, pace.budgets[0].remaining), (Some(100), Some(98)));
    }
}
