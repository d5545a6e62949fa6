//! A gate as pure decisions: when a call may be sent, how many may be in flight, how long it stays closed, what was
//! learned. It owns no clock and no I/O: whoever holds the state applies these and writes it by compare-and-swap.
//!
//! Invariant: the slots of any sequence of reservations number at most `window / interval + burst` in any window,
//! whatever the clocks of those who reserve say, as long as they are within [`CLOCK_BOUND`] of each other, and whatever is
//! learned in between, where these are a ceiling.
//!
//! Times are nanoseconds since the epoch by the broker's clock.

mod announced;
mod backoff;
mod circuit;
mod closing;
mod fair_queue;
#[cfg(test)]
mod fair_queue_tests;
#[cfg(test)]
mod learning_tests;
mod lease;
mod limits;
mod operator;
#[cfg(test)]
mod operator_tests;
mod reserve;
mod spare;
mod state;
#[cfg(test)]
mod tests;
mod turn;
#[cfg(test)]
mod turn_tests;

pub use announced::{Announced, WRITTEN_AGAIN};
pub use backoff::{Backoff, COUNTS as BACKOFF_COUNTS, DECREASE, REGAINED};
pub use circuit::{Circuit, reset, trip};
pub use closing::{RAMP, close};
pub use fair_queue::{FairQueue, Line};
pub use lease::{LEASE, in_flight, lease, next_expiry, restate};
pub use limits::{Heard, Interval, Limits, Pacing, is_another_limit};
pub use operator::{Adjustment, Operator, Setting, Source, Sources, adjust, effective, learn, sources};
pub use reserve::{CLOCK_BOUND, Taken, next_slot, reserve, take};
pub use spare::{KEPT, TakenAhead, beside_kept, take_ahead};
pub use state::{Closing, GateState, Learned, Lease, Nanos};
pub use turn::{Move, Offer, Sight, Turn};
