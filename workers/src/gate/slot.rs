//! The permit for one call: when it may be sent, and its place among the calls in flight.

use std::sync::Arc;
use std::time::Duration;

use sluice_shared::clock::Millis;
use sluice_shared::domain::gate::{Circuit, GateState, Limits, Nanos};
use tokio::time::Instant;

use super::handle::Inner;

/// The gate is closed: nothing is sent before it opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gate is closed until {until}")]
pub struct Closed {
    /// When it opens, by the broker's clock.
    pub until: Millis,
    /// The circuit of the destination, where that is open.
    pub circuit: Option<Circuit>,
}

impl Closed {
    /// Of a gate that is closed now.
    pub(super) fn of(state: &GateState, now: Nanos) -> Option<Self> {
        state.closed(now).map(|until| Self { until: until.to_millis(), circuit: state.tripped(now) })
    }
}

/// How late a slot may be used at least and at most; in between, by one interval.
const LATE: (Duration, Duration) = (Duration::from_millis(3), Duration::from_millis(250));

/// How late a slot may be used under these limits. One that is later was missed, for the process stalled: used then, it would
/// be one of a burst.
pub(super) fn latest_use(limits: Limits) -> Duration {
    limits.interval.duration().clamp(LATE.0, LATE.1)
}

/// Send now. Dropped when the call is over: the next may take its place.
#[derive(Debug)]
pub struct Slot {
    /// The moment of the slot, which has come.
    pub at: Instant,
    #[allow(dead_code, reason = "held to be dropped")]
    pub(super) permits: Vec<Permit>,
}

/// A slot of one gate, and a lease there for as long as it lives.
pub(super) struct Permit {
    pub(super) at: Instant,
    pub(super) gate: Arc<Inner>,
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Permit").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.over();
    }
}
