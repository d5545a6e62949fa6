//! The rate that is found out where a destination refuses calls and announces no limit: halved by a refusal, then more again
//! as time passes (additive increase, multiplicative decrease: Chiu and Jain 1989,
//! <https://doi.org/10.1016/0169-7552(89)90019-6>; RFC 5681, section 3.1).
//!
//! The increase is a function of the time since the last decrease and needs no write. Refusals of calls that were sent
//! before a decrease could count are the same news. Invariant: between two decreases the rate only grows, and never above
//! what it would be without this.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::limits::Interval;
use super::reserve::CLOCK_BOUND;
use super::state::{GateState, Nanos};

/// A refusal leaves one part in so many of the rate.
pub const DECREASE: u64 = 2;
/// How long it takes until the rate of before the decrease is reached again.
pub const REGAINED: Duration = Duration::from_secs(30);
/// How long a rate that was found out counts. By then it has grown to sixty times what was refused.
pub const COUNTS: Duration = Duration::from_secs(3600);
/// The slowest that refusals make a gate: one part in so many of what it may without them.
const SLOWEST: u64 = 64;
/// Calls sent so soon after a decrease may have been on their way already.
const ON_THE_WAY: Duration = Duration::from_millis(250);

/// A rate that was found out by refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// From one call to the next, right after the last decrease.
    pub interval: Interval,
    /// When that was.
    pub at: Nanos,
    /// Until when it counts.
    pub expires_at: Nanos,
}

impl Backoff {
    /// From one call to the next at a moment: `i / (1 + t / r)` for an interval `i` and `t` since the decrease, so that
    /// the rate grows by the same in every second and is twice as high after `r`.
    #[must_use]
    pub fn interval_at(&self, now: Nanos) -> Interval {
        let (regained, passed) = (REGAINED.as_nanos(), now.since(self.at).as_nanos());
        let nanos = (u128::from(self.interval.nanos()) * regained).div_ceil(regained + passed);
        Interval::of_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// The interval that counts, of one that would without refusals.
pub(super) fn apply(interval: Interval, state: &GateState, now: Nanos) -> Interval {
    let counting = state.backoff.filter(|backoff| now < backoff.expires_at);
    counting.map_or(interval, |backoff| backoff.interval_at(now).max(interval))
}

/// A call that was sent at `sent_at` was refused by a destination that announces nothing. `otherwise` is the interval
/// without refusals. `None` where it is no news.
pub(super) fn refused(state: &GateState, otherwise: Interval, sent_at: Nanos, now: Nanos) -> Option<Backoff> {
    // A decrease that is farther ahead was written by a broken clock.
    let known = state.backoff.filter(|last| last.at < now.after(CLOCK_BOUND));
    let counted = known.is_some_and(|last| sent_at < last.at.after(ON_THE_WAY));
    if counted {
        return None;
    }
    let current = apply(otherwise, state, now).nanos();
    let slowest = otherwise.nanos().saturating_mul(SLOWEST).max(current);
    let interval = Interval::of_nanos(current.saturating_mul(DECREASE).min(slowest));
    Some(Backoff { interval, at: now, expires_at: now.after(COUNTS) })
}
