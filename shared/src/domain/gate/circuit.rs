//! The circuit of a destination that does not work: after so many failures in a row it opens, and nothing is sent for a
//! while; then it is half open, and one call at a time finds out whether the destination works again; a call that works
//! closes it, and the gate opens gently. (M. Fowler, "CircuitBreaker", 2014, <https://martinfowler.com/bliki/CircuitBreaker.html>)
//!
//! Whoever sends counts its own failures, so that they cost no write. Invariant: a call that was on its way before the circuit
//! opened, or before it was half open, neither opens nor closes it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::state::{Closing, GateState, Nanos};

/// The longest that a circuit stays open before it is tried again.
const LONGEST: Duration = Duration::from_secs(60);

/// A circuit that is open or half open. A gate without one has it closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Circuit {
    /// When it opened, or opened again.
    pub opened_at: Nanos,
    /// Until when it is open; half open from then on.
    pub until: Nanos,
    /// How many times it has opened since the destination worked.
    pub times: u32,
    /// The status of the failure that opened it; none where there was no answer.
    pub status: Option<u16>,
}

impl GateState {
    /// The circuit, where it is open now.
    #[must_use]
    pub fn tripped(&self, now: Nanos) -> Option<Circuit> {
        self.circuit.filter(|circuit| circuit.until > now)
    }
}

/// Opens the circuit, for `pause` at first and twice as long each time, a minute at most, because of a call that was sent at
/// `sent_at`. `None` where it is open already, or that call tells nothing new.
#[must_use]
pub fn trip(state: &GateState, status: Option<u16>, sent_at: Nanos, pause: Duration, now: Nanos) -> Option<GateState> {
    let before = state.circuit;
    if before.is_some_and(|circuit| sent_at < circuit.until) {
        return None;
    }
    let times = before.map_or(0, |circuit| circuit.times).saturating_add(1);
    let doubled = 1_u32.checked_shl(times.saturating_sub(1).min(16)).unwrap_or(u32::MAX);
    let until = now.after(pause.saturating_mul(doubled).min(LONGEST.max(pause)));
    Some(GateState { circuit: Some(Circuit { opened_at: now, until, times, status }), ..state.clone() })
}

/// Closes the circuit because a call that was sent at `sent_at` worked; the gate opens gently from then on. `None` where it is
/// closed, or the call was sent before it opened.
#[must_use]
pub fn reset(state: &GateState, sent_at: Nanos, now: Nanos) -> Option<GateState> {
    let circuit = state.circuit?;
    if sent_at < circuit.opened_at {
        return None;
    }
    let before = state.closing.unwrap_or(Closing { until: Nanos(0), consecutive: 0 });
    let closing = Some(Closing { until: before.until.max(now), ..before });
    Some(GateState { circuit: None, closing, ..state.clone() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a circuit that does not move fails the test")]

    use proptest::prelude::*;

    use super::super::{Interval, Limits, RAMP, effective, reserve, take};
    use super::*;
    use crate::domain::id::Destination;

    const NOW: Nanos = Nanos(1_000_000_000_000);
    const PAUSE: Duration = Duration::from_secs(5);
    const SECOND: Duration = Duration::from_secs(1);

    fn closed() -> GateState {
        GateState::new(Destination::of(&"http://a.example/".parse().unwrap()).unwrap(), None)
    }

    fn limits() -> Limits {
        Limits { interval: Interval::of_rate(100.0).unwrap(), burst: 10, concurrency: 64, ceiling: true }
    }

    #[test]
    fn it_stays_open_twice_as_long_each_time_until_the_destination_works() {
        let (mut state, mut now) = (closed(), NOW);
        for seconds in [5, 10, 20, 40, 60, 60] {
            state = trip(&state, Some(503), now, PAUSE, now).unwrap();
            let circuit = state.tripped(now).unwrap();
            assert_eq!((circuit.until.since(now).as_secs(), circuit.status), (seconds, Some(503)));
            assert_eq!(state.closed(now), Some(circuit.until));
            now = circuit.until;
            assert_eq!((state.tripped(now), state.closed(now)), (None, None), "half open");
        }
        state = reset(&state, now, now).unwrap();
        let again = trip(&state, None, now, PAUSE, now).unwrap();
        assert_eq!(again.circuit.unwrap().until, now.after(PAUSE));
    }

    #[test]
    fn what_was_on_its_way_before_tells_nothing_new() {
        let open = trip(&closed(), None, NOW, PAUSE, NOW).unwrap();
        // Answers of calls that were sent together with the one that opened it.
        assert_eq!(trip(&open, Some(500), NOW.before(SECOND), PAUSE, NOW.after(SECOND)), None);
        assert_eq!(reset(&open, NOW.before(SECOND), NOW.after(SECOND)), None);
        // One that comes when it is half open, of a call from before.
        assert_eq!(trip(&open, Some(500), NOW.before(SECOND), PAUSE, NOW.after(PAUSE * 2)), None);
        assert!(reset(&closed(), NOW, NOW).is_none(), "there is none to be closed");
    }

    #[test]
    fn half_open_it_lets_one_call_through_at_a_time_and_then_the_gate_opens_gently() {
        let now = NOW.after(PAUSE);
        let half_open = trip(&closed(), None, NOW, PAUSE, NOW).unwrap();
        let counts = effective(limits(), &half_open, now);
        assert_eq!((counts.concurrency, counts.burst), (1, 1));
        let taken = take(half_open, "a", 0, 8, counts, now, SECOND);
        assert_eq!(taken.slots.len(), 1);
        assert!(take(taken.state.clone(), "b", 0, 8, counts, now, SECOND).slots.is_empty(), "the probe is in flight");
        let works = reset(&taken.state, now, now.after(SECOND)).unwrap();
        let (now, counts) = (now.after(SECOND), effective(limits(), &works, now.after(SECOND)));
        assert_eq!(counts.concurrency, 64);
        let (_, gently) = reserve(works.clone(), counts, now, 1_000, SECOND);
        let (_, later) = reserve(works, counts, now.after(RAMP), 1_000, SECOND);
        assert!(gently.len() < 70 && later.len() >= 100, "{} then {}", gently.len(), later.len());
    }

    proptest! {
        /// Nothing is sent while it is open, whatever is asked for and whoever asks.
        #[test]
        fn no_slot_is_before_its_end(asked_ms in 0_u64..10_000, want in 1_u32..50, horizon_ms in 1_u64..20_000) {
            let open = trip(&closed(), None, NOW, PAUSE, NOW).unwrap();
            let (now, horizon) = (NOW.after(Duration::from_millis(asked_ms)), Duration::from_millis(horizon_ms));
            let (_, slots) = reserve(open.clone(), effective(limits(), &open, now), now, want, horizon);
            prop_assert!(slots.iter().all(|slot| *slot >= open.circuit.unwrap().until));
        }
    }
}
