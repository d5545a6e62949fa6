//! Anthropic: `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}`, the reset a
//! date of RFC 3339 at which all is there again; it comes back bit by bit. Limits are by the minute.
//! <https://platform.claude.com/docs/en/api/rate-limits>

use std::time::Duration;

use super::headers::Headers;
use super::{Budget, Pace, Policy, Unit, moment};

const MINUTE: Duration = Duration::from_secs(60);

/// Limit, remaining, reset of one count.
macro_rules! names {
    ($count:literal) => {
        [
            concat!("anthropic-ratelimit-", $count, "-limit"),
            concat!("anthropic-ratelimit-", $count, "-remaining"),
            concat!("anthropic-ratelimit-", $count, "-reset"),
        ]
    };
}

const NAMES: [([&str; 3], Unit); 4] = [
    (names!("requests"), Unit::Requests),
    (names!("tokens"), Unit::Other),
    (names!("input-tokens"), Unit::Other),
    (names!("output-tokens"), Unit::Other),
];

pub(super) fn read(headers: &Headers<'_>, pace: &mut Pace) {
    for ([limit_name, source, reset_name], unit) in NAMES {
        let limit = headers.count(limit_name);
        if let Some(quota) = limit.filter(|limit| *limit > 0) {
            pace.policies.push(Policy { source: limit_name, name: None, unit, quota, window: MINUTE });
        }
        let remaining = headers.count(source);
        let reset = headers.get(reset_name).and_then(moment::rfc3339).and_then(|date| headers.ahead(date));
        if remaining.is_some() {
            pace.budgets.push(Budget { source, name: None, unit, limit, remaining, reset, refills: true });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{in_seconds, read};
    use super::*;

    #[test]
    fn four_counts_each_with_a_date() {
        let mut headers = Vec::new();
        for ([limit, remaining, reset], _) in NAMES {
            headers.extend([(limit, "50"), (remaining, "49"), (reset, "2026-01-01T00:00:02Z")]);
        }
        let pace = read(&headers);
        assert_eq!((pace.policies.len(), pace.budgets.len()), (4, 4));
        assert!(pace.budgets.iter().all(|budget| budget.reset == Some(in_seconds(2)) && budget.refills));
        let requests: Vec<_> = pace.policies.iter().filter(|policy| policy.unit == Unit::Requests).collect();
        assert_eq!((requests.len(), requests[0].quota, requests[0].window), (1, 50, MINUTE));
        assert_eq!(requests[0].source, "anthropic-ratelimit-requests-limit");
    }

    #[test]
    fn a_date_that_is_none_leaves_the_count() {
        let pace =
            read(&[("anthropic-ratelimit-requests-remaining", "3"), ("anthropic-ratelimit-requests-reset", "1m")]);
        assert_eq!((pace.budgets[0].remaining, pace.budgets[0].reset), (Some(3), None));
    }
}
