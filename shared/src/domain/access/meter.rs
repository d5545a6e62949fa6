//! How much was submitted with a key, in one entry that all gateways change by compare-and-swap, so that its quotas hold
//! over all of them.
//!
//! Jobs a second: the generic cell rate algorithm (see `gate::reserve`) with a second's worth at once: at most `q × (1 + t)`
//! jobs in any `t` seconds. Jobs a day: a count that begins anew at midnight, UTC.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::quotas::Quotas;
use super::standing::whole_seconds;
use crate::domain::gate::Nanos;

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 24 * 3600 * SECOND;

/// What was submitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meter {
    /// When the next job would be due if they came evenly.
    pub arrival: Nanos,
    /// The day that is counted, in days since the epoch.
    pub day: u64,
    /// New jobs on that day.
    pub used: u64,
}

/// Which quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// Jobs a second.
    Second,
    /// Jobs a day.
    Day,
    /// Jobs that have not ended.
    Open,
}

/// A quota is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the quota {quota} is used up: try again after the time that `retry-after` says")]
pub struct Exceeded {
    /// Which.
    pub quota: Quota,
    /// When there is room again.
    pub again_in: Duration,
}

impl Exceeded {
    /// The time until there is room in whole seconds, as `Retry-After` says it: rounded up, one at least.
    #[must_use]
    pub fn retry_after(&self) -> u64 {
        whole_seconds(self.again_in)
    }
}

/// What became of jobs that were to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What is to be written.
    pub meter: Meter,
    /// How many of them there is room for.
    pub granted: u32,
    /// Why not for the others.
    pub exceeded: Option<Exceeded>,
}

/// Counts up to `want` new jobs.
#[must_use]
pub fn take(meter: Meter, quotas: &Quotas, want: u32, now: Nanos) -> Taken {
    let mut meter = meter.on_day_of(now);
    let (at_once, _) = meter.at_once(quotas, now);
    let today = quotas.jobs_per_day.map_or(u64::MAX, |most| most.saturating_sub(meter.used));
    let granted = at_once.min(today).min(u64::from(want));
    if granted > 0 {
        let spent = interval(quotas).saturating_mul(granted);
        meter.arrival = Nanos(now.0.saturating_add(meter.ahead(quotas, now)).saturating_add(spent));
        meter.used = meter.used.saturating_add(granted);
    }
    let exceeded = (granted < u64::from(want)).then(|| match today <= at_once {
        true => Exceeded { quota: Quota::Day, again_in: meter.day_ends_in(now) },
        false => Exceeded { quota: Quota::Second, again_in: meter.at_once(quotas, now).1 },
    });
    Taken { meter, granted: u32::try_from(granted).unwrap_or(want), exceeded }
}

/// Jobs that were counted did not come about after all.
#[must_use]
pub fn give_back(meter: Meter, quotas: &Quotas, count: u32, now: Nanos) -> Meter {
    let meter = meter.on_day_of(now);
    Meter {
        arrival: Nanos(meter.arrival.0.saturating_sub(interval(quotas).saturating_mul(count.into()))),
        used: meter.used.saturating_sub(count.into()),
        ..meter
    }
}

/// Between two jobs that come evenly, in nanoseconds; nothing where they are not limited.
fn interval(quotas: &Quotas) -> u64 {
    quotas.jobs_per_second.map_or(0, |rate| SECOND / u64::from(rate.max(1)))
}

/// What a second has room for, in nanoseconds.
fn full(quotas: &Quotas) -> u64 {
    interval(quotas).saturating_mul(quotas.jobs_per_second.unwrap_or_default().into())
}

impl Meter {
    /// The same on this day. A process that is still on the day before counts on the later one; what a broken clock has written
    /// is forgotten.
    fn on_day_of(self, now: Nanos) -> Self {
        let today = now.0 / DAY;
        if self.day == today || self.day == today + 1 { self } else { Self { day: today, used: 0, ..self } }
    }

    /// How far ahead of now the jobs so far reach if they are spread evenly, in nanoseconds: a second at most. What is farther
    /// was written under a slower rate, or by a broken clock.
    fn ahead(&self, quotas: &Quotas, now: Nanos) -> u64 {
        self.arrival.0.saturating_sub(now.0).min(full(quotas))
    }

    /// How many jobs there is room for at this moment by the rate alone, and when there is room for one more, or for all again.
    pub(super) fn at_once(&self, quotas: &Quotas, now: Nanos) -> (u64, Duration) {
        let (ahead, interval, full) = (self.ahead(quotas, now), interval(quotas), full(quotas));
        let Some(room) = (full - ahead).checked_div(interval) else { return (u64::MAX, Duration::ZERO) };
        let again = if room == 0 { ahead.saturating_add(interval).saturating_sub(full) } else { ahead };
        (room, Duration::from_nanos(again))
    }

    /// New jobs of today.
    pub(super) fn used_today(&self, now: Nanos) -> u64 {
        self.on_day_of(now).used
    }

    /// When the day that is counted is over.
    pub(super) fn day_ends_in(&self, now: Nanos) -> Duration {
        Nanos((self.on_day_of(now).day + 1).saturating_mul(DAY)).since(now)
    }
}

impl std::fmt::Display for Quota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Second => "jobs_per_second",
            Self::Day => "jobs_per_day",
            Self::Open => "open_jobs",
        })
    }
}

#[cfg(test)]
#[path = "meter_tests.rs"]
mod tests;
