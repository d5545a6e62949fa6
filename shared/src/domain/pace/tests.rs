use proptest::prelude::*;

use super::*;

/// 2026-01-01T00:00:00Z.
pub(super) const NOW: Millis = Millis(1_767_225_600_000);

pub(super) fn read(headers: &[(&str, &str)]) -> Pace {
    let owned: Vec<(String, String)> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Pace::read(&owned, NOW)
}

pub(super) fn in_seconds(seconds: u64) -> Millis {
    NOW.after(Duration::from_secs(seconds))
}

fn closes(headers: &[(&str, &str)], status: u16) -> Closes {
    read(headers).closes(status, NOW)
}

#[test]
fn a_retry_after_is_seconds_or_a_date() {
    let table = [
        (vec![("retry-after", "120")], Some(in_seconds(120))),
        (vec![("retry-after", " 7 ")], Some(in_seconds(7))),
        (vec![("retry-after", "1.5")], Some(NOW.after(Duration::from_millis(1_500)))),
        (vec![("retry-after-ms", "250"), ("retry-after", "9")], Some(NOW.after(Duration::from_millis(250)))),
        (vec![("retry-after", "Thu, 01 Jan 2026 00:00:30 GMT")], Some(in_seconds(30))),
        // The destination's clock is an hour behind: 30 s are 30 s.
        (
            vec![("retry-after", "Wed, 31 Dec 2025 23:00:30 GMT"), ("date", "Wed, 31 Dec 2025 23:00:00 GMT")],
            Some(in_seconds(30)),
        ),
        (vec![("retry-after", "Wed, 31 Dec 2025 23:00:30 GMT")], None),
        (vec![("retry-after", "0")], None),
        (vec![("retry-after", "-5")], None),
        (vec![("retry-after", "soon")], None),
        (vec![("retry-after", "inf")], None),
    ];
    for (headers, expected) in table {
        assert_eq!(read(&headers).retry_after, expected, "{headers:?}");
    }
}

#[test]
fn a_429_always_closes_and_what_was_said_outright_counts_first() {
    assert_eq!(closes(&[], 429), Closes::ForNow);
    assert_eq!(closes(&[("retry-after", "5")], 429), Closes::Until(in_seconds(5)));
    assert_eq!(closes(&[("x-ratelimit-reset", "9")], 429), Closes::Until(in_seconds(9)));
    let of_another_limit = [("x-ratelimit-remaining-requests", "59"), ("x-ratelimit-reset-requests", "6ms")];
    assert_eq!(closes(&of_another_limit, 429), Closes::ForNow);
    let both = [("retry-after", "5"), ("x-ratelimit-reset", "9")];
    assert_eq!(closes(&both, 429), Closes::Until(in_seconds(5)));
}

#[test]
fn a_503_and_a_403_close_with_a_time_only_and_no_other_failure_does() {
    assert_eq!(closes(&[("retry-after", "5")], 403), Closes::Until(in_seconds(5)));
    assert_eq!(closes(&[], 403), Closes::Not);
    assert_eq!(closes(&[("retry-after", "5")], 503), Closes::Until(in_seconds(5)));
    assert_eq!(closes(&[], 503), Closes::Not);
    assert_eq!(closes(&[("retry-after", "5")], 500), Closes::Not);
}

#[test]
fn any_answer_that_leaves_nothing_closes_until_the_reset() {
    let left = |remaining| [("x-ratelimit-remaining", remaining), ("x-ratelimit-reset", "9")];
    assert_eq!(closes(&left("0"), 200), Closes::Until(in_seconds(9)));
    assert_eq!(closes(&left("1"), 200), Closes::Not);
    assert_eq!(closes(&[("x-ratelimit-remaining", "0")], 200), Closes::Not);
    // Of two that are used up, the one that is longer in coming.
    assert_eq!(
        closes(&[("ratelimit", r#""a";r=0;t=3, "b";r=0;t=7, "c";r=1;t=99"#)], 200),
        Closes::Until(in_seconds(7))
    );
    // No tokens are no calls either.
    let tokens = [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "6m0s")];
    assert_eq!(closes(&tokens, 200), Closes::Until(in_seconds(360)));
}

#[test]
fn the_pace_that_a_destination_asks_for_is_read() {
    let both = [("x-ezthrottle-rps", "5"), ("x-aqueduct-rps", "0.5"), ("x-ezthrottle-max-concurrent", "3")];
    let pacing = read(&both).pacing;
    let expected = Pacing {
        rate: Some(0.5),
        concurrency: Some(3),
        source: "x-aqueduct-rps".to_owned(),
        valid_for: Some(Duration::from_secs(24 * 3600)),
    };
    assert_eq!(pacing, Some(expected));
    for nonsense in ["0", "-1", "fast", ""] {
        assert_eq!(read(&[("x-ezthrottle-rps", nonsense), ("x-aqueduct-max-concurrent", nonsense)]).pacing, None);
    }
}

#[test]
fn who_says_the_same_in_several_dialects_says_it_once() {
    let pace = read(&[
        ("ratelimit", r#""default";r=50;t=30"#),
        ("ratelimit-remaining", "49"),
        ("x-ratelimit-remaining", "48"),
        ("x-ratelimit-reset", "30"),
    ]);
    assert_eq!(pace.budgets.len(), 1);
    assert_eq!(pace.budgets[0].remaining, Some(50));
}

#[test]
fn a_gate_hears_of_limits_that_count_calls_and_of_no_others() {
    let heard = read(&[
        ("x-ratelimit-limit-tokens", "10"),
        ("x-ratelimit-remaining-tokens", "5"),
        ("x-ratelimit-reset-tokens", "1s"),
    ]);
    let heard = heard.heard(429, Nanos(5));
    assert!(heard.refused && heard.policies.is_empty() && heard.budgets.is_empty());
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "retry-after",
        "retry-after-ms",
        "date",
        "ratelimit",
        "ratelimit-policy",
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "x-ratelimit-reset-after",
        "x-ratelimit-resource",
        "x-ratelimit-bucket",
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
        "x-shopify-shop-api-call-limit",
        "x-ezthrottle-rps",
        "x-aqueduct-max-concurrent",
    ])
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,30}",
        "[0-9.]{0,40}",
        "[0-9hmsun.]{0,12}",
        "\"[a-z]{0,3}\"(;[qwrt]=[0-9]{0,20}){0,3}",
        "[0-9]{0,20}/[0-9]{0,20}",
        "20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-9]{2}:00:00Z",
    ]
}

proptest! {
    #[test]
    fn no_value_breaks_a_reader_and_no_time_is_past(headers in prop::collection::vec((name(), value()), 0..8), status in 200_u16..600) {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let pace = read(&headers);
        prop_assert!(pace.retry_after.is_none_or(|at| at > NOW));
        prop_assert!(pace.budgets.iter().all(|budget| budget.reset.is_none_or(|at| at > NOW)));
        prop_assert!(pace.policies.iter().all(|policy| policy.quota > 0 && !policy.window.is_zero()));
        match pace.closes(status, NOW) {
            Closes::Until(until) => prop_assert!(until > NOW),
            Closes::ForNow => prop_assert_eq!(status, 429),
            Closes::Not => prop_assert_ne!(status, 429),
        }
    }
}

#[test]
fn whether_limits_are_by_account_is_what_aqueduct_says_first() {
    let said = |headers: &[(&str, &str)]| read(headers).by_account;
    assert_eq!(said(&[("x-ezthrottle-account-queue", "Enabled")]), Some(true));
    assert_eq!(
        said(&[("x-ezthrottle-account-queue", "enabled"), ("x-aqueduct-account-queue", "disabled")]),
        Some(false)
    );
    assert_eq!(said(&[("x-aqueduct-account-queue", "yes")]), None);
    assert_eq!(said(&[]), None);
}
