//! The time: the broker's, as far as this process has heard it; before that, the wall clock of this machine.
//!
//! Timers fire by the broker's clock, messages are stamped by it, and the gates of all workers meet in it, so it is the
//! clock of every process: one whose machine is an hour ahead does what all others do. In between, this machine's monotonic
//! clock counts on, so that steps of its wall clock are not seen. The only place that reads either. Everything else is
//! handed the time, so that decisions stay pure and tests choose it.

mod estimate;
mod moment;

use std::sync::{LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

pub use moment::Millis;

use crate::domain::gate::Nanos;
use estimate::Estimate;

/// The clock of this process.
struct Clock {
    /// A moment, and what the wall clock said then.
    base: Instant,
    wall: i64,
    estimate: Mutex<Estimate>,
}

static CLOCK: LazyLock<Clock> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wrong_by = WRONG_BY.get().copied().unwrap_or_default().saturating_mul(1_000_000);
    let wall = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX / 2).saturating_add(wrong_by);
    Clock { base: Instant::now(), wall, estimate: Mutex::default() }
});

/// By how many milliseconds the wall clock of this machine is taken to be ahead.
static WRONG_BY: OnceLock<i64> = OnceLock::new();

/// Makes the wall clock of this process wrong, for the binary that tests start. Without effect once the time was asked for.
pub fn be_wrong_by(millis: i64) {
    let _ = WRONG_BY.set(millis);
}

/// Now.
#[must_use]
pub fn now() -> Millis {
    nanos().to_millis()
}

/// Now, as gates count.
#[must_use]
pub fn nanos() -> Nanos {
    at(Instant::now())
}

/// The time at a moment of this process.
#[must_use]
pub fn at(moment: Instant) -> Nanos {
    let nanos = CLOCK.local(moment).saturating_add(CLOCK.estimate().ahead_at(CLOCK.since_base(moment)));
    Nanos(u64::try_from(nanos).unwrap_or(0))
}

/// The moment of this process when it will be that time; now, where that is past.
#[must_use]
pub fn instant(time: Nanos) -> Instant {
    let now = Instant::now();
    now + time.since(at(now))
}

/// The broker has said just now what time it is, or was when it wrote this.
pub fn heard(time: Nanos) {
    let arrived = Instant::now();
    let ahead = i64::try_from(time.0).unwrap_or(i64::MAX).saturating_sub(CLOCK.local(arrived));
    CLOCK.estimate().heard(ahead, CLOCK.since_base(arrived));
}

/// By how many milliseconds the broker's clock is ahead of this machine's; less than nothing where it is behind.
#[must_use]
pub fn broker_is_ahead_by() -> i64 {
    CLOCK.estimate().ahead_at(CLOCK.since_base(Instant::now())) / 1_000_000
}

impl Clock {
    /// What the wall clock would say, had nobody set it since the start.
    fn local(&self, moment: Instant) -> i64 {
        self.wall.saturating_add(i64::try_from(self.since_base(moment).as_nanos()).unwrap_or(i64::MAX / 2))
    }

    fn since_base(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.base)
    }

    fn estimate(&self) -> MutexGuard<'_, Estimate> {
        self.estimate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
