//! The broker's clock as this process knows it: from the times of writing that the watch tells.
//!
//! Each echo says that the broker's clock was at least so far when it arrived here. The echo with the smallest delay of
//! the last minute is the estimate; before the first echo the local wall clock stands in.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sluice_shared::clock::{self, Millis};
use sluice_shared::domain::gate::Nanos;
use tokio::time::Instant;

/// How long an echo counts at least, twice that at most.
const WINDOW: Duration = Duration::from_secs(30);

/// The broker's clock.
#[derive(Debug)]
pub struct BrokerClock {
    base: Instant,
    base_nanos: i128,
    estimate: Mutex<Estimate>,
}

#[derive(Debug, Default)]
struct Estimate {
    /// The largest difference of this window and of the one before: the smallest delay.
    current: Option<i128>,
    previous: Option<i128>,
    begun: Option<Instant>,
}

impl Default for BrokerClock {
    fn default() -> Self {
        let wall = i128::from(clock::now().0) * 1_000_000;
        Self { base: Instant::now(), base_nanos: wall, estimate: Mutex::default() }
    }
}

impl BrokerClock {
    /// The broker wrote something at `at`, and it arrived here just now.
    pub fn echo(&self, at: Millis) {
        self.echo_at(at, Instant::now());
    }

    fn echo_at(&self, at: Millis, arrived: Instant) {
        let difference = i128::from(at.0) * 1_000_000 - self.local(arrived);
        let mut estimate = self.estimate.lock().unwrap_or_else(PoisonError::into_inner);
        if estimate.begun.is_none_or(|begun| arrived.duration_since(begun) > WINDOW) {
            estimate.previous = estimate.current.take();
            estimate.begun = Some(arrived);
        }
        estimate.current = Some(estimate.current.map_or(difference, |known| known.max(difference)));
    }

    /// The broker's clock now.
    #[must_use]
    pub fn now(&self) -> Nanos {
        self.at(Instant::now())
    }

    /// The broker's clock at a local moment.
    #[must_use]
    pub fn at(&self, moment: Instant) -> Nanos {
        Nanos(u64::try_from(self.local(moment) + self.difference()).unwrap_or(0))
    }

    /// The local moment at which the broker's clock says so; now where that is past.
    #[must_use]
    pub fn instant(&self, nanos: Nanos) -> Instant {
        let now = Instant::now();
        now + nanos.since(self.at(now))
    }

    fn local(&self, moment: Instant) -> i128 {
        let since = moment.saturating_duration_since(self.base).as_nanos();
        self.base_nanos + i128::try_from(since).unwrap_or(i128::MAX / 2)
    }

    fn difference(&self) -> i128 {
        let estimate = self.estimate.lock().unwrap_or_else(PoisonError::into_inner);
        estimate.current.max(estimate.previous).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_echo_with_the_smallest_delay_counts_and_is_forgotten_after_a_while() {
        let clock = BrokerClock::default();
        let moment = |ms: u64| clock.base + Duration::from_millis(ms);
        let broker = |ms: u64| Millis(u64::try_from(clock.base_nanos / 1_000_000).unwrap_or(0) + 5_000 + ms);
        clock.echo_at(broker(0), moment(40));
        clock.echo_at(broker(100), moment(101));
        clock.echo_at(broker(200), moment(290));
        assert_eq!(clock.difference(), 4_999_000_000);
        clock.echo_at(broker(31_000), moment(31_050));
        assert_eq!(clock.difference(), 4_999_000_000);
        clock.echo_at(broker(62_000), moment(62_050));
        assert_eq!(clock.difference(), 4_950_000_000);
    }
}
