//! What times of arrival say: the most in any second, the least and the most in windows, percentiles. Pure.
//!
//! Times are microseconds of one clock, in order.

/// One second.
pub(super) const SECOND: u64 = 1_000_000;

/// The most arrivals within any stretch of `width`: its start counts, its end does not.
pub(super) fn worst_sliding(arrivals: &[u64], width: u64) -> usize {
    let (mut first, mut worst) = (0, 0);
    for (last, at) in arrivals.iter().enumerate() {
        while arrivals[first] + width <= *at {
            first += 1;
        }
        worst = worst.max(last + 1 - first);
    }
    worst
}

/// The fewest and the most arrivals in the whole windows of `width` between two moments; `None` where there is no whole one.
pub(super) fn extremes(arrivals: &[u64], from: u64, to: u64, width: u64) -> Option<(usize, usize)> {
    let windows = to.checked_sub(from)? / width.max(1);
    let starts = (0..windows).map(|window| from + window * width);
    let counts: Vec<usize> = starts.map(|start| within(arrivals, start, start + width).len()).collect();
    Some((*counts.iter().min()?, *counts.iter().max()?))
}

/// Those from one moment to another, without the latter.
pub(super) fn within(arrivals: &[u64], from: u64, to: u64) -> &[u64] {
    let start = arrivals.partition_point(|at| *at < from);
    let end = arrivals.partition_point(|at| *at < to);
    &arrivals[start..end.max(start)]
}

/// The value that this share of the values does not exceed (nearest rank); `None` of nothing. Any order.
pub(super) fn percentile(values: &[u64], share: f64) -> Option<u64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length is an index")]
    let rank = (share.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_second_is_found_wherever_it_begins() {
        assert_eq!(worst_sliding(&[], SECOND), 0);
        let even: Vec<u64> = (0..50).map(|n| n * 100_000).collect();
        assert_eq!(worst_sliding(&even, SECOND), 10, "the eleventh comes a second after the first");
        let mut crowded = even.clone();
        crowded.extend([1_950_000, 1_960_000]);
        crowded.sort_unstable();
        assert_eq!(worst_sliding(&crowded, SECOND), 12);
        assert_eq!(worst_sliding(&[7, 7, 7], SECOND), 3);
    }

    #[test]
    fn only_whole_windows_count_and_an_empty_one_does() {
        let arrivals = [0, 10, 20, 150, 310];
        assert_eq!(extremes(&arrivals, 0, 350, 100), Some((0, 3)));
        assert_eq!(extremes(&arrivals, 0, 200, 100), Some((1, 3)));
        assert_eq!(extremes(&arrivals, 0, 99, 100), None);
        assert_eq!(extremes(&arrivals, 10, 0, 100), None);
    }

    #[test]
    fn what_is_within_begins_at_the_first_moment_and_ends_before_the_last() {
        assert_eq!(within(&[1, 2, 3, 4], 2, 4), [2, 3]);
        assert_eq!(within(&[1, 2, 3, 4], 5, 2), [0_u64; 0]);
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<u64> = (1..=100).rev().collect();
        assert_eq!((percentile(&values, 0.5), percentile(&values, 0.99)), (Some(50), Some(99)));
        assert_eq!((percentile(&values, 0.0), percentile(&values, 1.0)), (Some(1), Some(100)));
        assert_eq!((percentile(&[7], 0.99), percentile(&[], 0.5)), (Some(7), None));
    }
}
