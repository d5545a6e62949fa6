//! By how much another clock is ahead, estimated from what it said and when that arrived. Pure.
//!
//! What is said was true when it was sent, so each time that arrives says "at least so far ahead", too little by what it was
//! under way. The largest of the last minute is the estimate: it is never too large, and too small by the shortest way of
//! that minute. A clock that is set back is believed after a minute, one that is set forward at once.

use std::time::Duration;

/// How long what was heard counts at least, twice that at most.
const WINDOW: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Estimate {
    /// The largest of this window and of the one before.
    current: Option<i64>,
    previous: Option<i64>,
    /// When this window began.
    begun: Option<Duration>,
}

impl Estimate {
    /// It was ahead by so much when that arrived, this long after the start; the estimate then, in the same unit.
    pub(super) fn heard(&mut self, ahead: i64, arrived: Duration) -> i64 {
        if self.begun.is_none_or(|begun| arrived.saturating_sub(begun) > WINDOW) {
            self.previous = self.current.take();
            self.begun = Some(arrived);
        }
        let current = self.current.map_or(ahead, |known| known.max(ahead));
        self.current = Some(current);
        self.previous.map_or(current, |previous| previous.max(current))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_the_shortest_way_counts_and_is_forgotten_after_a_while() {
        let mut estimate = Estimate::default();
        // The other clock is 5,000 ahead.
        let mut heard = |sent: i64, arrived: i64| {
            estimate.heard(5_000 + sent - arrived, Duration::from_millis(u64::try_from(arrived).unwrap_or(0)))
        };
        assert_eq!(heard(0, 40), 4_960);
        assert_eq!(heard(100, 101), 4_999);
        assert_eq!(heard(200, 290), 4_999);
        assert_eq!(heard(31_000, 31_050), 4_999);
        assert_eq!(heard(62_000, 62_050), 4_950);
    }

    #[test]
    fn a_clock_that_was_set_is_believed_at_once_when_it_goes_forward_and_within_a_minute_when_it_goes_back() {
        let mut estimate = Estimate::default();
        let second = Duration::from_secs;
        assert_eq!(estimate.heard(0, second(1)), 0);
        assert_eq!(estimate.heard(700, second(11)), 700);
        let back: Vec<i64> = (2..9).map(|ten| estimate.heard(-500, second(ten * 10 + 1))).collect();
        assert_eq!((back[0], back[6]), (700, -500));
        assert!(back.is_sorted_by(|one, next| one >= next));
    }
}
