//! Limits: what the configuration says, what was learned from the destination, and what counts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::state::{GateState, Learned, Nanos};
use super::{announced, backoff};
use crate::domain::pace::{Budget, Policy};

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

    /// So many nanoseconds, from one of them to a day.
    #[must_use]
    pub fn of_nanos(nanos: u64) -> Self {
        Self(nanos.clamp(1, SLOWEST))
    }

    /// The even share of each of so many calls in a window of so many nanoseconds.
    #[must_use]
    pub fn of_share(window: u64, calls: u64) -> Self {
        Self::of_nanos(window.div_ceil(calls.max(1)))
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
    /// Whether what is learned can only be lower: these were said for this destination, and not that they are a guess.
    pub ceiling: bool,
}

/// How fast a destination wants to be called, said outright.
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

/// All that a gate learns from one answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// When the call was sent.
    pub sent_at: Nanos,
    /// Whether it was refused for coming too soon.
    pub refused: bool,
    /// What was said outright.
    pub pacing: Option<Pacing>,
    /// So many calls in any window.
    pub policies: Vec<Policy>,
    /// So many calls left.
    pub budgets: Vec<Budget>,
}

impl Heard {
    /// Whether it says nothing at all: then there is nothing to be learned.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        !self.refused && self.pacing.is_none() && self.policies.is_empty() && self.budgets.is_empty()
    }

    /// Whether the call was refused and nothing that is announced says why: no limit, or one of which there is some left.
    fn is_refused_for_no_reason(&self) -> bool {
        let used_up = |budget: &Budget| budget.remaining == Some(0) && budget.reset.is_some();
        self.refused && self.pacing.is_none() && self.policies.is_empty() && !self.budgets.iter().any(used_up)
    }
}

/// The limits that count now: what is learned replaces a default and lowers a ceiling.
#[must_use]
pub(super) fn effective(limits: Limits, state: &GateState, now: Nanos) -> Limits {
    let without = unrefused(limits, state, now);
    let interval = backoff::apply(without.interval, state, now);
    // A pause is worth no more time than before where calls come slower: else a gate that has just used up its burst would
    // have another one for slowing down.
    let worth = limits.interval.nanos().saturating_mul(u64::from(limits.burst.max(1) - 1));
    let burst = u32::try_from(worth / interval.nanos()).unwrap_or(u32::MAX).saturating_add(1).min(without.burst);
    Limits { interval, burst, ..without }
}

/// The limits that would count if nothing had been refused.
fn unrefused(limits: Limits, state: &GateState, now: Nanos) -> Limits {
    let counts = |learned: &&Learned| learned.expires_at.is_none_or(|end| now < end);
    let learned = state.learned.as_ref().filter(counts);
    let fewer = |calls: u32| if limits.ceiling { calls.min(limits.concurrency) } else { calls };
    let concurrency = learned.and_then(|learned| learned.concurrency).map_or(limits.concurrency, fewer).max(1);
    let limits = Limits { concurrency, ..limits };
    announced::apply(limits, learned.and_then(|learned| learned.interval), state, now)
}

/// Takes in what an answer said. `None` where it changes too little to be worth a write. What it does not speak of stays.
#[must_use]
pub(super) fn learn(state: &GateState, limits: Limits, heard: &Heard, now: Nanos) -> Option<GateState> {
    let outright = heard.pacing.as_ref().and_then(|pacing| outright(state, pacing, now));
    let otherwise = unrefused(limits, state, now).interval;
    let announced = announced::learn(state, otherwise, heard, now);
    let backoff =
        heard.is_refused_for_no_reason().then(|| backoff::refused(state, otherwise, heard.sent_at, now)).flatten();
    if outright.is_none() && announced.is_none() && backoff.is_none() {
        return None;
    }
    Some(GateState {
        learned: outright.or_else(|| state.learned.clone()),
        announced: announced.unwrap_or_else(|| state.announced.clone()),
        backoff: backoff.or(state.backoff),
        ..state.clone()
    })
}

/// Whether what was learned is worth telling people: another limit, another rate that was said or found out. Not what is
/// left of one, which changes all the time.
#[must_use]
pub fn is_another_limit(before: &GateState, after: &GateState) -> bool {
    let limits = |state: &GateState| {
        let of_one = |one: &super::Announced| {
            (one.source.clone(), one.name.clone(), (!one.left).then_some((one.calls, one.window)))
        };
        let mut all: Vec<_> = state.announced.iter().map(of_one).collect();
        all.sort();
        all
    };
    let said = |state: &GateState| state.learned.as_ref().map(|learned| (learned.interval, learned.concurrency));
    (said(before), before.backoff, limits(before)) != (said(after), after.backoff, limits(after))
}

/// What was said outright, where it is not known.
fn outright(state: &GateState, pacing: &Pacing, now: Nanos) -> Option<Learned> {
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
    (!same).then_some(learned)
}
