//! What an operator set for a gate while it runs: kept in its entry until it is taken back, so it counts for all workers and
//! over restarts.
//!
//! Invariant: each value that an operator set replaces the configured one and is a ceiling: what is learned is never above.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::limits::{self, Heard, Interval, Limits};
use super::state::{GateState, Nanos};

/// Limits that an operator set. What is absent is as configured or learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// From one call to the next.
    #[serde(default)]
    pub interval: Option<Interval>,
    /// Calls that may go at once after a pause, at least 1.
    #[serde(default)]
    pub burst: Option<u32>,
    /// Calls in flight, over all workers, at least 1.
    #[serde(default)]
    pub concurrency: Option<u32>,
    /// When the last of them was set.
    pub set_at: Nanos,
}

/// What becomes of one value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Setting<T> {
    /// It stays.
    #[default]
    Stays,
    /// The operator's value is taken back.
    TakenBack,
    /// It is this from now on.
    Is(T),
}

/// A change by an operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adjustment {
    /// From one call to the next.
    pub interval: Setting<Interval>,
    /// Calls at once after a pause.
    pub burst: Setting<u32>,
    /// Calls in flight.
    pub concurrency: Setting<u32>,
}

/// Where a limit comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "LimitSource")]
pub enum Source {
    /// The configuration.
    Configured,
    /// The destination.
    Learned,
    /// An operator.
    Operator,
}

/// Where each of the limits comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources {
    /// That of the rate.
    pub rate: Source,
    /// That of the burst.
    pub burst: Source,
    /// That of the concurrency.
    pub concurrency: Source,
}

impl Interval {
    /// The rate in calls a second, to six significant digits: 3 is 3, although its interval is rounded up.
    #[must_use]
    pub fn per_second(self) -> f64 {
        let rate = 1.0 / self.duration().as_secs_f64();
        format!("{rate:.5e}").parse().unwrap_or(rate)
    }
}

impl<T> Setting<T> {
    fn applied_to(self, value: Option<T>) -> Option<T> {
        match self {
            Self::Stays => value,
            Self::TakenBack => None,
            Self::Is(value) => Some(value),
        }
    }
}

/// What is configured, with what an operator set in its place: what is learned is held against this.
fn given(configured: Limits, state: &GateState) -> Limits {
    let Some(own) = state.operator else { return configured };
    Limits {
        interval: own.interval.unwrap_or(configured.interval),
        burst: own.burst.unwrap_or(configured.burst),
        concurrency: own.concurrency.unwrap_or(configured.concurrency),
        ..configured
    }
}

/// The limits that count now: an operator's replace the configured ones; what was learned replaces a default, and lowers a
/// ceiling.
#[must_use]
pub fn effective(configured: Limits, state: &GateState, now: Nanos) -> Limits {
    let learned = limits::effective(given(configured, state), state, now);
    if state.circuit.is_some() {
        // One call at a time finds out whether the destination works again.
        return Limits { concurrency: 1, burst: 1, ..held_against(state, learned) };
    }
    held_against(state, learned)
}

/// What was learned, and never more than an operator allows.
fn held_against(state: &GateState, learned: Limits) -> Limits {
    let Some(own) = state.operator else { return learned };
    Limits {
        interval: own.interval.map_or(learned.interval, |ceiling| learned.interval.max(ceiling)),
        burst: own.burst.map_or(learned.burst, |ceiling| learned.burst.min(ceiling)).max(1),
        concurrency: own.concurrency.map_or(learned.concurrency, |ceiling| learned.concurrency.min(ceiling)).max(1),
        ..learned
    }
}

/// Takes in what an answer said. `None` where it changes too little to be worth a write. What it does not speak of stays.
#[must_use]
pub fn learn(state: &GateState, configured: Limits, heard: &Heard, now: Nanos) -> Option<GateState> {
    limits::learn(state, given(configured, state), heard, now)
}

/// Where each of the limits that count now comes from.
#[must_use]
pub fn sources(configured: Limits, state: &GateState, now: Nanos) -> Sources {
    let counts = effective(configured, state, now);
    let own = state.operator.as_ref();
    let of = |is_configured: bool, is_own: Option<bool>| match is_own {
        Some(true) => Source::Operator,
        None if is_configured => Source::Configured,
        Some(false) | None => Source::Learned,
    };
    let rate = own.and_then(|own| own.interval).map(|interval| interval == counts.interval);
    let burst = own.and_then(|own| own.burst).map(|burst| burst == counts.burst);
    let concurrency = own.and_then(|own| own.concurrency).map(|calls| calls == counts.concurrency);
    Sources {
        rate: of(counts.interval == configured.interval, rate),
        burst: of(counts.burst == configured.burst, burst),
        concurrency: of(counts.concurrency == configured.concurrency, concurrency),
    }
}

/// Takes in what an operator wants. `None` where it is so already.
///
/// A gate that becomes faster does not wait for what was reckoned at the slower rate: the calls that it is ahead by stay as
/// many, at the new interval.
#[must_use]
pub fn adjust(state: &GateState, by: Adjustment, configured: Limits, now: Nanos) -> Option<GateState> {
    let before = state.operator;
    let after = Operator {
        interval: by.interval.applied_to(before.and_then(|own| own.interval)),
        burst: by.burst.applied_to(before.and_then(|own| own.burst)),
        concurrency: by.concurrency.applied_to(before.and_then(|own| own.concurrency)),
        set_at: before.map_or(now, |own| own.set_at),
    };
    let sets_any = after.interval.is_some() || after.burst.is_some() || after.concurrency.is_some();
    let wanted = sets_any.then_some(after);
    if wanted == before {
        return None;
    }
    let operator = wanted.map(|own| Operator { set_at: now, ..own });
    let mut next = GateState { operator, ..state.clone() };
    let (slow, fast) = (effective(configured, state, now).interval, effective(configured, &next, now).interval);
    if fast < slow && next.arrival > now {
        let ahead = next.arrival.since(now).as_nanos() * u128::from(fast.nanos()) / u128::from(slow.nanos());
        next.arrival = Nanos(now.0.saturating_add(u64::try_from(ahead).unwrap_or(u64::MAX)));
    }
    Some(next)
}
