//! A destination's own rate limit: a strict sliding window. Pure: the time is handed in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::script::Script;

/// So many calls in any second; what is above is answered 429 and does not count.
#[derive(Clone, Debug)]
pub struct RateLimit {
    calls: usize,
    window: Duration,
    pub(super) within: Script,
    pub(super) above: Script,
}

impl RateLimit {
    /// Allows `calls` in any second.
    #[must_use]
    pub fn per_second(calls: usize) -> Self {
        Self { calls, window: Duration::from_secs(1), within: Script::answer(200), above: Script::answer(429) }
    }

    /// Forgets a call so much before its second is over: a sender that keeps the rate exactly has its calls arrive a
    /// little early or late.
    #[must_use]
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.window = Duration::from_secs(1).saturating_sub(tolerance);
        self
    }

    /// What is done with the calls that are allowed; 200 where nothing is said.
    #[must_use]
    pub fn then(mut self, script: Script) -> Self {
        self.within = script;
        self
    }

    /// What is done with those above, in place of a bare 429.
    #[must_use]
    pub fn above(mut self, script: Script) -> Self {
        self.above = script;
        self
    }

    /// Adds a Retry-After to the 429.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.above = self.above.header("retry-after", seconds);
        self
    }

    pub(super) fn window(&self) -> Window {
        Window { calls: self.calls, length: self.window, allowed: VecDeque::with_capacity(self.calls) }
    }
}

/// The calls that were allowed within the last window.
#[derive(Debug)]
pub(super) struct Window {
    calls: usize,
    length: Duration,
    allowed: VecDeque<Instant>,
}

impl Window {
    /// Whether a call may pass `now`; if so it counts. Times are to be handed in in order.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        while self.allowed.front().is_some_and(|at| now.saturating_duration_since(*at) >= self.length) {
            self.allowed.pop_front();
        }
        let allowed = self.allowed.len() < self.calls;
        if allowed {
            self.allowed.push_back(now);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_call_after_the_last_allowed_one_waits_until_the_first_is_a_second_old() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut window = RateLimit::per_second(2).window();
        let seen: Vec<bool> =
            [0, 100, 200, 999, 1000, 1099, 1100].into_iter().map(|ms| window.allows(at(ms))).collect();
        assert_eq!(seen, [true, true, false, false, true, false, true]);
    }

    #[test]
    fn a_tolerance_lets_a_call_in_so_much_earlier() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut window = RateLimit::per_second(1).tolerance(Duration::from_millis(25)).window();
        assert!(window.allows(at(0)));
        assert!(!window.allows(at(974)));
        assert!(window.allows(at(975)));
    }

    proptest! {
        #[test]
        fn no_second_has_more_allowed_calls_than_the_limit(limit in 1_usize..6, gaps in prop::collection::vec(0_u64..400, 1..80)) {
            let (start, mut ms) = (Instant::now(), 0);
            let mut window = RateLimit::per_second(limit).window();
            let mut allowed = Vec::new();
            for gap in gaps {
                ms += gap;
                if window.allows(start + Duration::from_millis(ms)) {
                    allowed.push(ms);
                }
            }
            for group in allowed.windows(limit + 1) {
                prop_assert!(group.last().unwrap() - group.first().unwrap() >= 1000);
            }
        }
    }
}
