//! A destination's own quota that it announces: so many calls in a window that begins anew, each answer with what is left.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::rule::Rule;
use super::script::Script;

/// So many calls in a window; what is above is answered 429. Every answer says the limit, what is left, and in how many
/// seconds the next window begins (`RateLimit-Limit`, `-Remaining`, `-Reset`).
#[derive(Clone, Debug)]
pub struct Quota {
    calls: u64,
    window: Duration,
}

impl Quota {
    /// Allows `calls` in each window; the first begins with the first call.
    #[must_use]
    pub fn of(calls: u64, window: Duration) -> Self {
        Self { calls, window }
    }
}

/// The window that runs, and the calls in it.
#[derive(Debug)]
struct Window {
    began: Instant,
    calls: u64,
}

impl Window {
    /// Counts a call at `now`; whether it is allowed, how many are left, and in how many seconds the next window begins.
    fn count(&mut self, quota: &Quota, now: Instant) -> (bool, u64, u64) {
        while now.saturating_duration_since(self.began) >= quota.window {
            (self.began, self.calls) = (self.began + quota.window, 0);
        }
        let allowed = self.calls < quota.calls;
        self.calls += u64::from(allowed);
        let next = (self.began + quota.window).saturating_duration_since(now);
        (allowed, quota.calls - self.calls, next.as_secs() + u64::from(next.subsec_nanos() > 0))
    }
}

impl From<Quota> for Rule {
    fn from(quota: Quota) -> Self {
        let window = Mutex::new(None::<Window>);
        Self::choose(move |_, _| {
            let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
            // Read under the lock, so that the window sees times in order.
            let now = Instant::now();
            let window = window.get_or_insert(Window { began: now, calls: 0 });
            let (allowed, left, seconds) = window.count(&quota, now);
            Script::answer(if allowed { 200 } else { 429 })
                .header("ratelimit-limit", quota.calls)
                .header("ratelimit-remaining", left)
                .header("ratelimit-reset", seconds)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_counts_down_and_a_new_window_has_all_of_it() {
        let (start, quota) = (Instant::now(), Quota::of(2, Duration::from_secs(5)));
        let mut window = Window { began: start, calls: 0 };
        let mut at = |ms| window.count(&quota, start + Duration::from_millis(ms));
        assert_eq!(at(0), (true, 1, 5));
        assert_eq!(at(1_500), (true, 0, 4));
        assert_eq!(at(4_999), (false, 0, 1));
        assert_eq!(at(12_000), (true, 1, 3));
    }
}
