//! Why a branch waits, where in its queue it is, and when its turn is expected: decided from the record, the queue's entry and
//! its gates. Pure.
//!
//! What is expected is what the gates' own arithmetic says for so many calls. Other queues of the same gate, calls that
//! last longer than the concurrency has room for, and a gate that closes make it later.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use sluice_shared::clock::Millis;
use sluice_shared::domain::gate::{GateState, Limits, Nanos, effective, in_flight, next_slot, reserve};
use sluice_shared::domain::id::QueueName;

/// Slots that are reckoned one by one: so many, and those of so long after the gate opens. That is longer than it opens gently,
/// and less than how far ahead a gate believes its own arrival time. Beyond, each is an interval later.
const ONE_BY_ONE: (u32, Duration) = (1_000, Duration::from_secs(8));

/// Why a branch waits, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Waiting {
    /// What it waits for.
    pub reason: Reason,
    /// The queue it waits in, or will.
    pub queue: String,
    /// Its place in the queue, 1 being the next; absent where it is not in the queue yet or the broker did not say in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// When its turn is expected at the earliest, milliseconds since the epoch; absent where that is at any moment, or nobody
    /// knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_at: Option<Millis>,
}

/// What a branch waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "WaitingReason")]
pub enum Reason {
    /// The moment before which the job is not to be run.
    RetryAt,
    /// Its next attempt.
    BackingOff,
    /// An operator who resumes its queue.
    Paused,
    /// A worker of one of the regions that it is only for: none has one.
    NoRegion,
    /// Its destination, which does not work.
    CircuitOpen,
    /// Its gate, which is closed.
    GateClosed,
    /// The end of other calls: as many are in flight as may be.
    Concurrency,
    /// Its slot at the gate's rate.
    Rate,
    /// A worker that takes it.
    Worker,
}

/// What keeps a queue from being pulled at all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    /// An operator paused it.
    pub(super) paused: bool,
    /// It is only for regions that have no worker.
    pub(super) deserted: bool,
}

/// A gate that the branch takes a permit from.
pub(super) struct Before {
    /// What is configured for it.
    pub(super) configured: Limits,
    /// What it is now.
    pub(super) state: GateState,
}

impl Waiting {
    /// Of a branch whose time is ahead.
    pub(super) fn until(queue: &QueueName, at: Millis, by_retry_at: bool) -> Self {
        let reason = if by_retry_at { Reason::RetryAt } else { Reason::BackingOff };
        Self { reason, queue: queue.to_string(), position: None, expected_at: Some(at) }
    }

    /// Of a branch that is in its queue.
    pub(super) fn in_queue(
        queue: &QueueName,
        held: Held,
        gates: &[Before],
        position: Option<u64>,
        now: Millis,
    ) -> Self {
        let at = Nanos::from(now);
        let expected = position.map(|place| gates.iter().map(|gate| gate.slot(place, at)).max().unwrap_or(at));
        let reason = if held.paused {
            Reason::Paused
        } else if held.deserted {
            Reason::NoRegion
        } else if gates.iter().any(|gate| gate.state.tripped(at).is_some()) {
            Reason::CircuitOpen
        } else if gates.iter().any(|gate| gate.state.closed(at).is_some()) {
            Reason::GateClosed
        } else if gates.iter().any(|gate| gate.is_full(at)) {
            Reason::Concurrency
        } else if expected.is_some_and(|expected| expected > at) || gates.iter().any(|gate| gate.slot(1, at) > at) {
            Reason::Rate
        } else {
            Reason::Worker
        };
        // At any moment, or nobody knows when.
        let is_open = matches!(reason, Reason::Worker | Reason::Paused | Reason::NoRegion);
        let expected_at = expected.filter(|_| !is_open).map(Nanos::to_millis);
        Self { reason, queue: queue.to_string(), position, expected_at }
    }
}

impl Before {
    /// When the call at this place may start, if nobody else takes a slot.
    fn slot(&self, place: u64, now: Nanos) -> Nanos {
        let limits = effective(self.configured, &self.state, now);
        let most = u32::try_from(place).unwrap_or(u32::MAX).clamp(1, ONE_BY_ONE.0);
        let opens_in = self.state.closed(now).map_or(Duration::ZERO, |until| until.since(now));
        let (_, slots) = reserve(self.state.clone(), limits, now, most, opens_in + ONE_BY_ONE.1);
        let last = slots.last().copied().unwrap_or_else(|| next_slot(&self.state, limits, now));
        let beyond = place.saturating_sub(u64::try_from(slots.len().max(1)).unwrap_or(u64::MAX));
        last.after(Duration::from_nanos(limits.interval.nanos().saturating_mul(beyond)))
    }

    fn is_full(&self, now: Nanos) -> bool {
        in_flight(&self.state, now) >= effective(self.configured, &self.state, now).concurrency
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

    use super::*;
    use sluice_shared::domain::gate::{Closing, Interval, Lease};
    use sluice_shared::domain::id::{Destination, Tenant};

    const NOW: Millis = Millis(1_800_000_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    fn destination() -> Destination {
        Destination::of(&"http://a.example/".parse().unwrap()).unwrap()
    }

    fn queue() -> QueueName {
        QueueName::of(&Tenant::default(), &destination(), None)
    }

    /// A gate of 2 calls a second.
    fn gate() -> Before {
        let configured = Limits { interval: Interval::of_rate(2.0).unwrap(), burst: 1, concurrency: 3, ceiling: false };
        Before { configured, state: GateState::new(destination(), None) }
    }

    fn waiting(paused: bool, gate: Before, position: Option<u64>) -> Waiting {
        Waiting::in_queue(&queue(), Held { paused, deserted: false }, &[gate], position, NOW)
    }

    #[test]
    fn what_is_only_for_regions_without_workers_waits_for_one_and_says_so() {
        let of = |held| Waiting::in_queue(&queue(), held, &[gate()], Some(3), NOW);
        let deserted = of(Held { paused: false, deserted: true });
        assert_eq!((deserted.reason, deserted.position, deserted.expected_at), (Reason::NoRegion, Some(3), None));
        assert_eq!(of(Held { paused: true, deserted: true }).reason, Reason::Paused);
    }

    #[test]
    fn a_branch_that_has_others_before_it_waits_for_the_rate() {
        let eleventh = waiting(false, gate(), Some(11));
        assert_eq!((eleventh.reason, eleventh.expected_at), (Reason::Rate, Some(NOW.after(SECOND * 5))));
        let far = waiting(false, gate(), Some(3_601));
        assert_eq!(far.expected_at, Some(NOW.after(SECOND * 1_800)));
    }

    #[test]
    fn a_branch_whose_turn_it_is_waits_for_a_worker() {
        let first = waiting(false, gate(), Some(1));
        assert_eq!((first.reason, first.expected_at), (Reason::Worker, None));
        assert_eq!(waiting(false, gate(), None).reason, Reason::Worker);
    }

    #[test]
    fn before_a_closed_gate_nothing_is_expected_until_it_opens_gently() {
        let mut gate = gate();
        gate.state.closing = Some(Closing { until: NOW.after(SECOND * 9).into(), consecutive: 1 });
        let first = waiting(false, gate, Some(1));
        assert_eq!((first.reason, first.expected_at), (Reason::GateClosed, Some(NOW.after(SECOND * 9))));
    }

    #[test]
    fn where_as_many_are_in_flight_as_may_be_it_is_concurrency_that_is_waited_for() {
        let mut gate = gate();
        gate.state.leases.insert("w".into(), Lease { count: 3, until: NOW.after(SECOND).into() });
        assert_eq!(waiting(false, gate, Some(2)).reason, Reason::Concurrency);
    }

    #[test]
    fn in_a_paused_queue_there_is_a_place_and_nothing_to_be_expected() {
        let mut gate = gate();
        gate.state.closing = Some(Closing { until: NOW.after(SECOND).into(), consecutive: 1 });
        let paused = waiting(true, gate, Some(4));
        assert_eq!((paused.reason, paused.position, paused.expected_at), (Reason::Paused, Some(4), None));
    }
}
