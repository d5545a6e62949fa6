//! What must hold at a gate: the rate of its slots, of the calls as the destination sees them, and the calls in flight.

use std::collections::BTreeMap;
use std::time::Duration;

use sluice_shared::domain::gate::{LEASE, Limits, Nanos};

use super::super::checks::{Invariant, Violation};
use super::super::clockwork::Process;

/// How late a slot is used at most, and how far a write's way may shift what the broker sees. Microseconds.
const LATE: u64 = 250_000 + 10_000;

/// How far ahead of its clock a worker reserves at most.
const AHEAD: Duration = Duration::from_millis(50);

/// Those who watch a gate.
#[derive(Default)]
pub(super) struct GateChecks {
    pub(super) violation: Option<Violation>,
    /// Slots that were given to somebody.
    pub(super) slots: Vec<Nanos>,
    /// Calls by when they were sent, in microseconds.
    sends: Vec<u64>,
    /// Calls in flight: whose.
    in_flight: BTreeMap<usize, Process>,
    /// When each worker has last said how many calls it has in flight.
    stated: BTreeMap<Process, u64>,
}

impl GateChecks {
    /// A worker has said, by what it knew then, how many calls it has in flight. Those of one that was taken for dead are
    /// there beside what others were granted meanwhile, and send at their slots after it has spoken: until they are over
    /// nothing more is granted, but they are more than the limit.
    pub(super) fn stated(&mut self, worker: Process, then: u64, spread: u64) {
        let taken_for_dead = self.stated.insert(worker, then).is_some_and(|said| then - said >= silence(spread));
        if taken_for_dead {
            self.in_flight.retain(|_, of| *of != worker);
        }
    }

    /// A call is sent. Calls of a worker that was silent for a lease are not counted: it counts as dead, and a little
    /// sooner to whoever reserves for the moment when the swap will be answered.
    pub(super) fn sent(&mut self, worker: Process, now: u64, concurrency: u32, spread: u64) -> usize {
        let call = self.sends.len();
        self.sends.push(now);
        self.in_flight.insert(call, worker);
        let silent = |worker: &Process| self.stated.get(worker).is_none_or(|said| now - said >= silence(spread));
        let counted = self.in_flight.values().filter(|worker| !silent(worker)).count();
        if counted > usize::try_from(concurrency).unwrap() && self.violation.is_none() {
            let detail = format!("{counted} calls in flight of {concurrency}");
            self.violation = Some(Violation { invariant: Invariant::GateKeepsItsConcurrency, detail });
        }
        call
    }

    pub(super) fn over(&mut self, call: usize) {
        self.in_flight.remove(&call);
    }

    /// The calls of a dead worker are dropped on the wire.
    pub(super) fn died(&mut self, worker: Process) {
        self.in_flight.retain(|_, of| *of != worker);
    }

    /// Slots keep the rate exactly; calls as far as clocks differ and slots are used late.
    pub(super) fn rate_was_kept(&mut self, limits: Limits, spread: u64) {
        let slots = self.slots.iter().map(|slot| slot.0).collect();
        let sends = self.sends.iter().map(|sent| sent * 1_000).collect();
        let slack = Duration::from_micros(spread + LATE);
        let broken = too_many(slots, limits, Duration::ZERO).or_else(|| too_many(sends, limits, slack));
        if let Some(detail) = broken.filter(|_| self.violation.is_none()) {
            self.violation = Some(Violation { invariant: Invariant::GateKeepsItsRate, detail });
        }
    }
}

/// After how long a silence a worker counts as dead at the soonest. Microseconds.
fn silence(spread: u64) -> u64 {
    u64::try_from((LEASE - AHEAD).as_micros()).unwrap().saturating_sub(spread)
}

/// A window in which there are more than the rate and the burst allow.
fn too_many(mut at: Vec<u64>, limits: Limits, slack: Duration) -> Option<String> {
    at.sort_unstable();
    let slack = u64::try_from(slack.as_nanos()).unwrap();
    for (from, first) in at.iter().enumerate() {
        for (to, last) in at.iter().enumerate().skip(from).take(100) {
            let window = last - first + slack;
            let most = window / limits.interval.nanos() + u64::from(limits.burst);
            let count = u64::try_from(to - from + 1).unwrap();
            if count > most {
                return Some(format!("{count} in {} µs, {most} at most", window / 1_000));
            }
        }
    }
    None
}
