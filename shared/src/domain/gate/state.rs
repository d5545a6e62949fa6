//! What a gate is in the broker: plain data, written by compare-and-swap.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::announced::Announced;
use super::backoff::Backoff;
use super::circuit::Circuit;
use super::limits::Interval;
use super::operator::Operator;
use crate::clock::Millis;
use crate::domain::id::Destination;

/// A moment in nanoseconds since the epoch, by the broker's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The moment `by` later.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The moment `by` earlier, the epoch at the earliest.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long from `earlier` to this moment; zero where it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The first whole millisecond that is not before this moment.
    #[must_use]
    pub fn to_millis(self) -> Millis {
        Millis(self.0.div_ceil(1_000_000))
    }
}

impl From<Millis> for Nanos {
    fn from(moment: Millis) -> Self {
        Self(moment.0.saturating_mul(1_000_000))
    }
}

/// The state of a gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateState {
    /// Where the calls go.
    pub destination: Destination,
    /// The account there, where it has a gate of its own.
    #[serde(default)]
    pub account: Option<String>,
    /// Limits that an operator set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<Operator>,
    /// The theoretical arrival time: when the next call is due if calls come at the rate exactly.
    #[serde(default)]
    pub arrival: Nanos,
    /// The last closing, also when it is over.
    #[serde(default)]
    pub closing: Option<Closing>,
    /// The circuit, where it is open or half open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit: Option<Circuit>,
    /// Limits that the destination said outright.
    #[serde(default)]
    pub learned: Option<Learned>,
    /// Limits that it announces, and what is left of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub announced: Vec<Announced>,
    /// The rate that was found out because it refused calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// Calls in flight of each worker.
    #[serde(default)]
    pub leases: BTreeMap<String, Lease>,
}

/// A time in which nothing is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// When it is over.
    pub until: Nanos,
    /// How many closings without a time have followed each other.
    pub consecutive: u32,
}

/// Limits that a destination said outright.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// From one call to the next.
    #[serde(default)]
    pub interval: Option<Interval>,
    /// Calls in flight.
    #[serde(default)]
    pub concurrency: Option<u32>,
    /// The header that said so.
    pub source: String,
    /// When.
    pub learned_at: Nanos,
    /// Until when it counts; for good where absent.
    #[serde(default)]
    pub expires_at: Option<Nanos>,
}

/// What one worker has in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Calls.
    pub count: u32,
    /// When the worker counts as dead unless it says something.
    pub until: Nanos,
}

impl GateState {
    /// A gate that nothing has gone through yet.
    #[must_use]
    pub fn new(destination: Destination, account: Option<String>) -> Self {
        let (arrival, leases) = (Nanos(0), BTreeMap::new());
        let (closing, circuit, learned, announced, backoff, operator) = (None, None, None, Vec::new(), None, None);
        Self { destination, account, arrival, closing, circuit, learned, announced, backoff, operator, leases }
    }

    /// Until when the gate is closed, by an answer or by an open circuit, if it is now.
    #[must_use]
    pub fn closed(&self, now: Nanos) -> Option<Nanos> {
        let (closing, circuit) = (self.closing.map(|closing| closing.until), self.circuit.map(|circuit| circuit.until));
        closing.max(circuit).filter(|until| *until > now)
    }
}
