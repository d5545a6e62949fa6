//! The generic cell rate algorithm, virtual scheduling: ITU-T I.371, annex A; ATM Forum TM 4.0, 4.4.2. Turned round: it
//! does not say whether a call that arrives conforms, it says when the next calls will.

use std::time::Duration;

use super::closing::{interval_at, opening};
use super::lease::lease;
use super::limits::Limits;
use super::state::{GateState, Nanos};

/// The horizon and the differences of clocks together stay below this. An arrival time farther ahead was written by a
/// broken clock, or under a rate that was far slower, and is drawn in.
pub const CLOCK_BOUND: Duration = Duration::from_secs(10);

/// The next moment at which a call may start, seen from now.
#[must_use]
pub fn next_slot(state: &GateState, limits: Limits, now: Nanos) -> Nanos {
    let opens = state.closed(now).unwrap_or(now);
    let credit = if opening(state, opens) {
        0
    } else {
        limits.interval.nanos().saturating_mul(u64::from(limits.burst.max(1) - 1))
    };
    opens.max(Nanos(drawn_in(state, limits, now).0.saturating_sub(credit)))
}

fn drawn_in(state: &GateState, limits: Limits, now: Nanos) -> Nanos {
    let ahead = CLOCK_BOUND.saturating_add(limits.interval.duration().saturating_mul(limits.burst.saturating_add(4)));
    state.arrival.min(state.closed(now).unwrap_or(now).after(ahead))
}

/// Reserves up to `want` slots that start before `now + horizon`, in order. Never one beyond it: whoever gets none waits
/// until the horizon reaches [`next_slot`], so that nobody hoards the slots of a slow gate. A slot that is not used is
/// lost.
#[must_use]
pub fn reserve(
    mut state: GateState,
    limits: Limits,
    now: Nanos,
    want: u32,
    horizon: Duration,
) -> (GateState, Vec<Nanos>) {
    let end = now.after(horizon);
    let mut slots = Vec::new();
    for _ in 0..want {
        let slot = next_slot(&state, limits, now);
        // A slot at this very moment is always within the horizon.
        if slot >= end && slot > now {
            break;
        }
        let due = drawn_in(&state, limits, now).max(slot);
        state.arrival = Nanos(due.0.saturating_add(interval_at(&state, limits.interval, slot)));
        slots.push(slot);
    }
    (state, slots)
}

/// What a worker was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The state to be written.
    pub state: GateState,
    /// When each call may start; each counts as in flight from now on.
    pub slots: Vec<Nanos>,
    /// Whether calls in flight, not the rate, were too many for more.
    pub short: bool,
}

/// Leases and slots together, for one write: a worker with `held` calls in flight gets a slot only with a lease.
#[must_use]
pub fn take(
    state: GateState,
    worker: &str,
    held: u32,
    want: u32,
    limits: Limits,
    now: Nanos,
    horizon: Duration,
) -> Taken {
    let (leased, granted) = lease(state.clone(), worker, held, want, limits, now);
    let (reserved, slots) = reserve(leased, limits, now, granted, horizon);
    let used = u32::try_from(slots.len()).unwrap_or(u32::MAX);
    let short = granted < want && used == granted;
    let (state, _) = lease(reserved, worker, held, used, limits, now);
    Taken { state, slots, short }
}
