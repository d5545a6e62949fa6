//! Whether a branch has another attempt, and when: exponential backoff with full jitter.
//!
//! Pure: the random share is handed in. What is worth another attempt is decided in `classify`.
//!
//! Full jitter: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

use std::time::Duration;

use super::decide::Verdict;
use super::job::RetryPolicy;
use crate::clock::Millis;

/// What applies where the job's retry policy does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryDefaults {
    /// Attempts after the first.
    pub max_retries: u32,
    /// The pause before the first retry is random up to this; it doubles with each.
    pub base: Duration,
    /// The longest pause.
    pub cap: Duration,
}

/// What becomes of a branch whose attempt (from 1) was worth another: again, not before `not_before`, or over. `share` is
/// random from 0 to 1.
#[must_use]
pub fn again(
    attempt: u32,
    policy: &RetryPolicy,
    defaults: &RetryDefaults,
    not_before: Option<Millis>,
    now: Millis,
    share: f64,
) -> Verdict {
    if attempt > policy.max_retries.unwrap_or(defaults.max_retries) {
        return Verdict::Final;
    }
    let at = now.after(ceiling(attempt, defaults).mul_f64(share.clamp(0.0, 1.0)));
    Verdict::Again { at: not_before.map_or(at, |earliest| earliest.max(at)) }
}

/// The longest pause after this attempt.
fn ceiling(attempt: u32, defaults: &RetryDefaults) -> Duration {
    let doubled = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    defaults.base.saturating_mul(doubled).min(defaults.cap)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEFAULTS: RetryDefaults =
        RetryDefaults { max_retries: 3, base: Duration::from_secs(1), cap: Duration::from_secs(60) };
    const NOW: Millis = Millis(1_000_000);

    fn after(attempt: u32, share: f64) -> Verdict {
        again(
            attempt,
            &RetryPolicy { max_retries: Some(u32::MAX), ..RetryPolicy::default() },
            &DEFAULTS,
            None,
            NOW,
            share,
        )
    }

    #[test]
    fn the_longest_pause_doubles_up_to_the_cap() {
        let pauses = [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (60, 60)];
        for (attempt, seconds) in pauses {
            assert_eq!(after(attempt, 1.0), Verdict::Again { at: NOW.after(Duration::from_secs(seconds)) });
        }
    }

    #[test]
    fn a_branch_has_as_many_retries_as_its_policy_says_else_the_default() {
        let of = |max_retries, attempt| {
            again(attempt, &RetryPolicy { max_retries, ..RetryPolicy::default() }, &DEFAULTS, None, NOW, 0.0)
        };
        assert_eq!(of(Some(0), 1), Verdict::Final);
        assert_eq!((of(Some(1), 1), of(Some(1), 2)), (Verdict::Again { at: NOW }, Verdict::Final));
        assert_eq!((of(None, 3), of(None, 4)), (Verdict::Again { at: NOW }, Verdict::Final));
    }

    #[test]
    fn what_the_destination_asks_for_is_the_least() {
        let later = NOW.after(Duration::from_secs(30));
        let verdict = again(1, &RetryPolicy::default(), &DEFAULTS, Some(later), NOW, 1.0);
        assert_eq!(verdict, Verdict::Again { at: later });
    }

    proptest! {
        #[test]
        fn a_pause_is_never_longer_than_its_ceiling(attempt in 1_u32..100, share in -1.0_f64..2.0) {
            let Verdict::Again { at } = after(attempt, share) else { return Err(TestCaseError::fail("not again")) };
            prop_assert!(at.since(NOW) <= ceiling(attempt, &DEFAULTS) && at >= NOW);
        }
    }
}
