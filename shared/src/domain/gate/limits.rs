//! Limits: what the configuration says, what the destination announced, and what counts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::state::{GateState, Learned, Nanos};

/// The time from one call to the next at the full rate, in nanoseconds, at least one. Rounded up: a rate is never
/// exceeded by rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Interval(u64);

/// The longest interval: a call a day.
const SLOWEST: u64 = 86_400_000_000_000;

impl Interval {
    /// A call a day.
    pub const SLOWEST: Self = Self(SLOWEST);

    /// The interval of a rate in calls a second; from one call a day to a thousand million a second, `None` for what is
    /// no positive number.
    #[must_use]
    pub fn of_rate(per_second: f64) -> Option<Self> {
        if per_second.is_nan() || per_second <= 0.0 {
            return None;
        }
        let interval = Duration::try_from_secs_f64(1.0 / per_second).unwrap_or(Duration::MAX);
        let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).clamp(1, SLOWEST);
        let too_short = Duration::from_nanos(nanos).as_secs_f64() * per_second < 1.0 - 1e-15 && nanos < SLOWEST;
        Some(Self(if too_short { nanos + 1 } else { nanos }))
    }

    /// In nanoseconds.
    #[must_use]
    pub fn nanos(self) -> u64 {
        self.0.max(1)
    }

    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_nanos(self.nanos())
    }
}

/// What a gate lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From one call to the next.
    pub interval: Interval,
    /// Calls that may go at once after a pause, at least 1.
    pub burst: u32,
    /// Calls in flight, over all workers, at least 1.
    pub concurrency: u32,
    /// Whether these were configured for this destination: then what is learned can only be lower.
    pub ceiling: bool,
}

/// What an answer says about limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pacing {
    /// Calls a second.
    pub rate: Option<f64>,
    /// Calls in flight.
    pub concurrency: Option<u32>,
    /// The header that says so.
    pub source: String,
    /// How long it counts; for good where absent.
    pub valid_for: Option<Duration>,
}

/// The limits that count now: a learned value replaces a default and lowers a ceiling.
#[must_use]
pub(super) fn effective(limits: Limits, state: &GateState, now: Nanos) -> Limits {
    let counts = |learned: &&Learned| learned.expires_at.is_none_or(|end| now < end);
    let Some(learned) = state.learned.as_ref().filter(counts) else { return limits };
    let slower = |interval: Interval| if limits.ceiling { interval.max(limits.interval) } else { interval };
    let fewer = |calls: u32| if limits.ceiling { calls.min(limits.concurrency) } else { calls };
    Limits {
        interval: learned.interval.map_or(limits.interval, slower),
        concurrency: learned.concurrency.map_or(limits.concurrency, fewer).max(1),
        ..limits
    }
}

/// Takes in what an answer said. `None` where it changes nothing: no write is needed. What it does not speak of stays.
#[must_use]
pub fn learn(state: &GateState, pacing: &Pacing, now: Nanos) -> Option<GateState> {
    let known = state.learned.as_ref().filter(|known| known.expires_at.is_none_or(|end| now < end));
    let interval = pacing.rate.and_then(Interval::of_rate);
    let concurrency = pacing.concurrency.filter(|calls| *calls > 0);
    if interval.is_none() && concurrency.is_none() {
        return None;
    }
    let learned = Learned {
        interval: interval.or(known.and_then(|known| known.interval)),
        concurrency: concurrency.or(known.and_then(|known| known.concurrency)),
        source: pacing.source.clone(),
        learned_at: now,
        expires_at: pacing.valid_for.map(|long| now.after(long)),
    };
    let same = known.is_some_and(|known| {
        // Renewed when half of its time is over, not with every answer.
        let fresh = match (known.expires_at, pacing.valid_for) {
            (None, None) => true,
            (Some(end), Some(long)) => end.since(now) > long / 2,
            (Some(_), None) | (None, Some(_)) => false,
        };
        fresh && known.interval == learned.interval && known.concurrency == learned.concurrency
    });
    (!same).then(|| GateState { learned: Some(learned), ..state.clone() })
}
