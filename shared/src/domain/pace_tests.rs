use proptest::prelude::*;

use super::*;

/// 2026-01-01T00:00:00Z.
const NOW: Millis = Millis(1_767_225_600_000);

fn read(headers: &[(&str, &str)]) -> Pace {
    let owned: Vec<(String, String)> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Pace::read(&owned, NOW)
}

fn in_seconds(seconds: u64) -> Millis {
    NOW.after(Duration::from_secs(seconds))
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
fn a_reset_is_a_time_from_now_or_a_date() {
    for (value, expected) in [
        ("30", Some(in_seconds(30))),
        ("1767225630", Some(in_seconds(30))),
        ("1767225630000", Some(in_seconds(30))),
        ("1767225600", None),
        ("0", None),
    ] {
        for name in RESETS {
            assert_eq!(read(&[(name, value)]).reset, expected, "{name}: {value}");
        }
    }
}

#[test]
fn a_429_always_closes_and_what_was_said_outright_counts_first() {
    assert_eq!(read(&[]).closes(429), Closes::ForNow);
    assert_eq!(read(&[("retry-after", "5")]).closes(429), Closes::Until(in_seconds(5)));
    assert_eq!(read(&[("x-ratelimit-reset", "9")]).closes(429), Closes::Until(in_seconds(9)));
    let both = [("retry-after", "5"), ("x-ratelimit-reset", "9")];
    assert_eq!(read(&both).closes(429), Closes::Until(in_seconds(5)));
}

#[test]
fn a_503_closes_with_a_time_only_and_no_other_failure_does() {
    assert_eq!(read(&[("retry-after", "5")]).closes(503), Closes::Until(in_seconds(5)));
    assert_eq!(read(&[]).closes(503), Closes::Not);
    assert_eq!(read(&[("retry-after", "5")]).closes(500), Closes::Not);
}

#[test]
fn any_answer_that_leaves_nothing_closes_until_the_reset() {
    let left = |remaining| [("x-ratelimit-remaining", remaining), ("x-ratelimit-reset", "9")];
    assert_eq!(read(&left("0")).closes(200), Closes::Until(in_seconds(9)));
    assert_eq!(read(&left("1")).closes(200), Closes::Not);
    assert_eq!(read(&[("x-ratelimit-remaining", "0")]).closes(200), Closes::Not);
}

#[test]
fn the_pace_that_a_destination_asks_for_is_read() {
    let both = [("x-ezthrottle-rps", "5"), ("x-aqueduct-rps", "0.5"), ("x-ezthrottle-max-concurrent", "3")];
    let pacing = read(&both).pacing;
    let expected =
        Pacing { rate: Some(0.5), concurrency: Some(3), source: "x-aqueduct-rps".to_owned(), valid_for: None };
    assert_eq!(pacing, Some(expected));
    for nonsense in ["0", "-1", "fast", ""] {
        assert_eq!(read(&[("x-ezthrottle-rps", nonsense), ("x-aqueduct-max-concurrent", nonsense)]).pacing, None);
    }
}

proptest! {
    #[test]
    fn no_value_breaks_the_reader_and_no_time_is_past(name in "(retry-after|retry-after-ms|ratelimit-reset)", value in "\\PC{0,30}") {
        let pace = read(&[(&name, &value)]);
        prop_assert!(pace.retry_after.is_none_or(|at| at > NOW) && pace.reset.is_none_or(|at| at > NOW));
    }
}
