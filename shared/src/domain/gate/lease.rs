//! Calls in flight over all workers: each states its own, and what a worker said is forgotten after [`LEASE`].

use std::time::Duration;

use super::limits::Limits;
use super::state::{GateState, Lease, Nanos};

/// How long a worker's statement counts.
pub const LEASE: Duration = Duration::from_secs(15);

/// Calls in flight of all workers that are alive.
#[must_use]
pub fn in_flight(state: &GateState, now: Nanos) -> u32 {
    state.leases.values().filter(|lease| lease.until > now).fold(0, |sum, lease| sum.saturating_add(lease.count))
}

/// The worker has `held` calls in flight and wants more: states what it has, and is granted what there is room for.
#[must_use]
pub fn lease(state: GateState, worker: &str, held: u32, want: u32, limits: Limits, now: Nanos) -> (GateState, u32) {
    let mut state = restate(state, worker, held, now);
    let granted = limits.concurrency.saturating_sub(in_flight(&state, now)).min(want);
    if granted > 0 {
        let lease = Lease { count: held.saturating_add(granted), until: now.after(LEASE) };
        state.leases.insert(worker.to_owned(), lease);
    }
    (state, granted)
}

/// How many more a worker with `held` calls in flight may have.
#[must_use]
pub(super) fn room(state: &GateState, worker: &str, held: u32, limits: Limits, now: Nanos) -> u32 {
    let others = state.leases.iter().filter(|(name, lease)| *name != worker && lease.until > now);
    let in_flight = others.fold(held, |sum, (_, lease)| sum.saturating_add(lease.count));
    limits.concurrency.saturating_sub(in_flight)
}

/// The worker has so many calls in flight and no more: renews, and gives back what it does not use. What is on the wire
/// is there, whatever was granted: a worker that was taken for dead says so, and nobody is granted more until it fits.
#[must_use]
pub fn restate(mut state: GateState, worker: &str, held: u32, now: Nanos) -> GateState {
    state.leases.retain(|_, lease| lease.until > now);
    // A clock that was ahead cannot keep a dead worker's lease for longer than anybody else's.
    for lease in state.leases.values_mut() {
        lease.until = lease.until.min(now.after(LEASE * 2));
    }
    if held == 0 {
        state.leases.remove(worker);
    } else {
        state.leases.insert(worker.to_owned(), Lease { count: held, until: now.after(LEASE) });
    }
    state
}

/// When the first of the other workers counts as dead unless it says something.
#[must_use]
pub fn next_expiry(state: &GateState, worker: &str, now: Nanos) -> Option<Nanos> {
    let others = state.leases.iter().filter(|(name, lease)| *name != worker && lease.until > now);
    others.map(|(_, lease)| lease.until).min()
}
