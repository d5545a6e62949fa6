//! By how much another clock is ahead, estimated from what it said and when that arrived. Pure.
//!
//! What is said was true when it was sent, so each time that arrives says "at least so far ahead", too little by what it was
//! under way. The largest of the last minute is the estimate: it is never too large, and too small by the shortest way of
//! that minute.
//!
//! Invariant: whoever follows it sees no time twice. It grows at once; where it shrinks, the time goes at half its speed
//! until that is made up for. Only a clock that was set back by more than that is worth is followed with a step.

use std::time::Duration;

/// How long what was heard counts at least, twice that at most.
const WINDOW: Duration = Duration::from_secs(30);
/// A clock that was set back by more than this, in nanoseconds, is followed with a step.
const STEP: i64 = 5_000_000_000;

/// Times are those since the start, differences in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Estimate {
    /// The largest of this window and of the one before.
    current: Option<i64>,
    previous: Option<i64>,
    /// When this window began.
    begun: Option<Duration>,
    /// What is followed: this much ahead,
    ahead: i64,
    /// and so much more than that when it shrank last.
    surplus: i64,
    shrank: Duration,
}

impl Estimate {
    /// The other clock was ahead by so much when that arrived.
    pub(super) fn heard(&mut self, ahead: i64, arrived: Duration) {
        if self.begun.is_none_or(|begun| arrived.saturating_sub(begun) > WINDOW) {
            self.previous = self.current.take();
            self.begun = Some(arrived);
        }
        let current = self.current.map_or(ahead, |known| known.max(ahead));
        self.current = Some(current);
        let estimate = self.previous.map_or(current, |previous| previous.max(current));
        let surplus = self.ahead_at(arrived).saturating_sub(estimate);
        // The first that is heard replaces a guess.
        let steps = surplus > STEP || self.is_first();
        (self.ahead, self.surplus, self.shrank) = (estimate, if steps { 0 } else { surplus.max(0) }, arrived);
    }

    /// By how much the other clock is ahead, as it is followed at a time.
    pub(super) fn ahead_at(&self, now: Duration) -> i64 {
        let since = i64::try_from(now.saturating_sub(self.shrank).as_nanos()).unwrap_or(i64::MAX);
        self.ahead.saturating_add(self.surplus.saturating_sub(since / 2).max(0))
    }

    fn is_first(&self) -> bool {
        self.previous.is_none() && self.shrank.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: i64 = 1_000_000;

    fn at(ms: i64) -> Duration {
        Duration::from_millis(u64::try_from(ms).unwrap_or_default())
    }

    #[test]
    fn what_came_the_shortest_way_counts_and_is_forgotten_after_a_while() {
        let mut estimate = Estimate::default();
        // The other clock is 5,000 ms ahead.
        let mut heard = |sent: i64, arrived: i64| {
            estimate.heard((5_000 + sent - arrived) * MS, at(arrived));
            estimate.ahead_at(at(arrived + 1_000)) / MS
        };
        assert_eq!(heard(0, 40), 4_960);
        assert_eq!(heard(100, 101), 4_999);
        assert_eq!(heard(200, 290), 4_999);
        assert_eq!(heard(31_000, 31_050), 4_999);
        assert_eq!(heard(62_000, 62_050), 4_950);
    }

    #[test]
    fn a_clock_that_is_set_forward_is_believed_at_once_and_one_that_is_set_back_within_a_minute_and_the_double_of_it() {
        let mut estimate = Estimate::default();
        estimate.heard(0, at(1_000));
        estimate.heard(700 * MS, at(11_000));
        assert_eq!(estimate.ahead_at(at(11_000)), 700 * MS);
        for ten in 2..9 {
            estimate.heard(-500 * MS, at(ten * 10_000 + 1_000));
        }
        assert_eq!(estimate.ahead_at(at(81_000 + 2_400)), -500 * MS);
    }

    #[test]
    fn the_first_word_replaces_a_guess_however_far_off() {
        let mut estimate = Estimate::default();
        estimate.heard(-3_600_000 * MS, at(1));
        assert_eq!(estimate.ahead_at(at(1)), -3_600_000 * MS);
    }

    proptest! {
        #[test]
        fn no_time_comes_twice(words in prop::collection::vec((1_i64..20_000, -2_000_i64..2_000), 1..60)) {
            let (mut estimate, mut now, mut last) = (Estimate::default(), 0, i64::MIN);
            for (number, (passed, ahead)) in words.into_iter().enumerate() {
                now += passed;
                let before = now * MS + estimate.ahead_at(at(now));
                estimate.heard(ahead * MS, at(now));
                for later in [0, 1, 700, 5_000] {
                    let time = (now + later) * MS + estimate.ahead_at(at(now + later));
                    prop_assert!(number == 0 || later > 0 || time >= before, "{time} after {before}");
                    prop_assert!(later == 0 || time >= last, "{time} after {last}");
                    last = time;
                }
            }
        }
    }
}
