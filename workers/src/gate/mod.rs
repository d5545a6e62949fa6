//! The worker's side of the gates: what one process asks of them, in batches, by one compare-and-swap for all its
//! waiters.
//!
//! It owns no decision (those are in `sluice_shared::domain::gate`) and no configuration. Invariant: nothing is sent
//! without a slot that was written, at its time or not at all, and with a lease for as long as it is in flight.

mod actor;
mod admit;
mod handle;
mod inbox;
mod known;
mod slot;
mod watch;

pub use admit::{GateSet, Hold};
pub use handle::{Gate, Gates, Snapshot};
pub use slot::{Closed, Slot};
pub use sluice_shared::gate_settings::GateSettings;
