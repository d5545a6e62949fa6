//! OpenAI, and those who speak as it does: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, the reset as a
//! duration such as `6m0s`, after which all is there again. <https://developers.openai.com/api/docs/guides/rate-limits>
//!
//! What comes back comes bit by bit: `7m12s` at 199 of 200 is a call in 432 s, 200 a day. That tells whether a limit
//! of requests is by the minute or by the day.

use std::time::Duration;

use super::headers::Headers;
use super::{Budget, Pace, Policy, Unit, moment};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
/// Names of limit, remaining, reset.
const NAMES: [([&str; 3], Unit); 2] = [
    (["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"], Unit::Requests),
    (["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"], Unit::Other),
];

pub(super) fn read(headers: &Headers<'_>, pace: &mut Pace) {
    for ([limit_name, source, reset_name], unit) in NAMES {
        let Some(remaining) = headers.count(source) else { continue };
        let limit = headers.count(limit_name);
        let ahead = headers.get(reset_name).and_then(moment::go_duration);
        let window = limit.zip(ahead).and_then(|(limit, ahead)| window(limit, remaining, ahead));
        if let (Some(quota), Some(window)) = (limit, window) {
            pace.policies.push(Policy { source: limit_name, name: None, unit, quota, window });
        }
        let reset = ahead.and_then(|ahead| moment::later(headers.now, ahead.as_secs_f64()));
        let remaining = Some(remaining);
        pace.budgets.push(Budget { source, name: None, unit, limit, remaining, reset, refills: true });
    }
}

/// How long it takes until all of it comes back, of the times that there are. It must be nearly one of them.
fn window(limit: u64, remaining: u64, ahead: Duration) -> Option<Duration> {
    let used = limit.checked_sub(remaining).filter(|used| *used > 0)?;
    let (limit, used) = (u32::try_from(limit).ok()?, u32::try_from(used).ok()?);
    let all = ahead.as_secs_f64() * f64::from(limit) / f64::from(used);
    match all {
        _ if all < 600.0 => Some(MINUTE),
        _ if all > 43_200.0 => Some(DAY),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, in_seconds, read};
    use super::*;
    use crate::domain::pace::Closes;

    /// The sample values of the documentation.
    #[test]
    fn requests_and_tokens_have_budgets_and_a_limit_is_by_the_minute() {
        let pace = read(&[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-limit-tokens", "150000"),
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ]);
        let of_requests = &pace.policies[0];
        assert_eq!((of_requests.quota, of_requests.window, of_requests.unit), (60, MINUTE, Unit::Requests));
        let resets: Vec<_> = pace.budgets.iter().map(|budget| (budget.remaining, budget.reset, budget.unit)).collect();
        let (one, six) = (Some(in_seconds(1)), Some(in_seconds(360)));
        assert_eq!(resets, [(Some(59), one, Unit::Requests), (Some(149_984), six, Unit::Other)]);
    }

    #[test]
    fn a_call_that_comes_back_after_minutes_is_of_a_limit_by_the_day() {
        let of_day = [
            ("x-ratelimit-limit-requests", "200"),
            ("x-ratelimit-remaining-requests", "199"),
            ("x-ratelimit-reset-requests", "7m12s"),
        ];
        assert_eq!(read(&of_day).policies[0].window, DAY);
    }

    #[test]
    fn nothing_left_closes_until_the_next_call_or_a_tenth_of_the_tokens_comes_back() {
        let pace = read(&[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1m0s"),
        ]);
        assert_eq!(pace.closes(200, NOW), Closes::Until(in_seconds(1)));
        let tokens = read(&[
            ("x-ratelimit-limit-tokens", "150000"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "1m0s"),
        ]);
        assert_eq!(tokens.closes(200, NOW), Closes::Until(in_seconds(6)));
    }
}
