//! What is held against what destinations and receivers saw: how many calls in a second, how often for each job, how many
//! at once. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The most moments in any second; a second contains its beginning and not its end.
#[must_use]
pub fn worst_second(moments: &[Instant]) -> usize {
    let mut moments = moments.to_vec();
    moments.sort_unstable();
    let mut first = 0;
    let mut worst = 0;
    for (last, moment) in moments.iter().enumerate() {
        while moment.duration_since(moments[first]) >= Duration::from_secs(1) {
            first += 1;
        }
        worst = worst.max(last + 1 - first);
    }
    worst
}

/// From the first of these moments to the last.
#[must_use]
pub fn span(moments: &[Instant]) -> Duration {
    match (moments.iter().min(), moments.iter().max()) {
        (Some(first), Some(last)) => last.duration_since(*first),
        (_, _) => Duration::ZERO,
    }
}

/// The most intervals that overlap; one that ends as another begins does not.
#[must_use]
pub fn most_at_once(intervals: &[(Instant, Instant)]) -> usize {
    let running_at = |moment: Instant| intervals.iter().filter(|(from, to)| *from <= moment && moment < *to).count();
    intervals.iter().map(|(from, _)| running_at(*from)).max().unwrap_or(0)
}

/// How often each is there.
pub fn counts<T: Into<String>>(names: impl IntoIterator<Item = T>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name.into()).or_default() += 1;
    }
    counts
}

/// What is not there exactly once although it is expected, and what is there although it is not; with how often.
pub fn not_once<'a>(
    expected: impl IntoIterator<Item = &'a str>,
    seen: &BTreeMap<String, usize>,
) -> BTreeMap<String, usize> {
    let mut wrong = seen.clone();
    for name in expected {
        if wrong.get(name) == Some(&1) {
            wrong.remove(name);
        } else {
            wrong.entry(name.to_owned()).or_default();
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: &[u64]) -> Vec<Instant> {
        let start = Instant::now();
        millis.iter().map(|ms| start + Duration::from_millis(*ms)).collect()
    }

    #[test]
    fn the_worst_second_is_found_wherever_it_lies_and_ends_before_its_end() {
        assert_eq!(worst_second(&[]), 0);
        assert_eq!(worst_second(&at(&[0, 1000, 2000])), 1);
        assert_eq!(worst_second(&at(&[0, 999, 1000, 1500, 1998])), 4);
        assert_eq!(worst_second(&at(&[5000, 100, 4100, 4200])), 3);
    }

    #[test]
    fn a_span_goes_from_the_first_to_the_last_in_any_order() {
        assert_eq!(span(&at(&[700, 100, 300])), Duration::from_millis(600));
        assert_eq!(span(&[]), Duration::ZERO);
    }

    #[test]
    fn intervals_that_touch_do_not_overlap() {
        let moments = at(&[0, 10, 20, 30]);
        assert_eq!(most_at_once(&[(moments[0], moments[1]), (moments[1], moments[2])]), 1);
        assert_eq!(most_at_once(&[(moments[0], moments[3]), (moments[1], moments[2]), (moments[1], moments[3])]), 3);
        assert_eq!(most_at_once(&[]), 0);
    }

    #[test]
    fn what_is_missing_repeated_or_unexpected_is_named_with_its_count() {
        let seen = counts(["a", "b", "b", "x"]);
        let wrong = not_once(["a", "b", "c"], &seen);
        assert_eq!(wrong, BTreeMap::from([("b".into(), 2), ("c".into(), 0), ("x".into(), 1)]));
        assert!(not_once(["a"], &counts(["a"])).is_empty());
    }
}
