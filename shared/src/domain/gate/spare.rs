//! Permits that workers keep in hand for calls that are to come, so that a gate that holds nothing up costs no write for
//! each call.
//!
//! They are half of the burst. The other half is what the gate lets through at once beside them, so in any window there are
//! still at most `window / interval + burst` calls: those whose permits were kept when it began are of the one half, all
//! others were reserved within it.

use std::time::Duration;

use super::lease::in_flight;
use super::limits::Limits;
use super::reserve::{Taken, take};
use super::state::{GateState, Nanos};

/// How long a permit is kept. Shorter than a lease, so whoever keeps any has one.
pub const KEPT: Duration = Duration::from_secs(1);

/// Workers that may keep some at a time.
const KEEPERS: u32 = 4;
/// Half of the burst must come back within this time: where it takes longer, those who wait for it would notice.
const UNNOTICED: Duration = Duration::from_millis(10);
/// What share of the free places for calls in flight one worker may keep.
const OF_PLACES: u32 = 8;

/// What one write gives a worker: for those who wait, and to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenAhead {
    /// For those who wait.
    pub taken: Taken,
    /// So many calls may start at any time within [`KEPT`]; each counts as in flight from now on.
    pub kept: u32,
}

/// Leases and slots for those who wait, and where all of these got one, permits to be kept. Only what may start at this
/// moment is kept, so nobody hoards what others will wait for.
#[must_use]
pub fn take_ahead(
    state: GateState,
    worker: &str,
    held: u32,
    want: u32,
    limits: Limits,
    now: Nanos,
    horizon: Duration,
) -> TakenAhead {
    let gate = beside_kept(limits);
    let taken = take(state, worker, held, want, gate, now, horizon);
    let got = u32::try_from(taken.slots.len()).unwrap_or(u32::MAX);
    let spare = if got < want { 0 } else { share(&taken.state, worker, limits, now) };
    if spare == 0 {
        return TakenAhead { taken, kept: 0 };
    }
    let held = held.saturating_add(got);
    let more = take(taken.state, worker, held, spare, gate, now, Duration::ZERO);
    let kept = u32::try_from(more.slots.len()).unwrap_or(u32::MAX);
    TakenAhead { taken: Taken { state: more.state, ..taken }, kept }
}

/// What a gate lets through beside the permits that are kept.
#[must_use]
pub fn beside_kept(limits: Limits) -> Limits {
    Limits { burst: limits.burst - keepable(limits), ..limits }
}

/// Of the burst, what workers may keep together.
fn keepable(limits: Limits) -> u32 {
    let half = limits.burst / 2;
    if limits.interval.duration().saturating_mul(half) <= UNNOTICED { half } else { 0 }
}

/// What this worker may keep: nothing where others keep all there is.
fn share(state: &GateState, worker: &str, limits: Limits, now: Nanos) -> u32 {
    let others = state.leases.iter().filter(|(name, lease)| *name != worker && lease.until > now).count();
    if u32::try_from(others).unwrap_or(u32::MAX) >= KEEPERS {
        return 0;
    }
    let free = limits.concurrency.saturating_sub(in_flight(state, now));
    (keepable(limits) / KEEPERS).min(free / OF_PLACES)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a value that is none fails the test")]

    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::gate::{Interval, LEASE};
    use crate::domain::id::Destination;

    const START: Nanos = Nanos(1_000_000_000_000);

    fn limits(rate: f64, burst: u32, concurrency: u32) -> Limits {
        Limits { interval: Interval::of_rate(rate).unwrap(), burst, concurrency, ceiling: false }
    }

    fn fresh() -> GateState {
        GateState::new(Destination::of(&"http://a.example".parse().unwrap()).unwrap(), None)
    }

    fn ask(state: GateState, worker: &str, limits: Limits, now: Nanos) -> TakenAhead {
        take_ahead(state, worker, 0, 1, limits, now, Duration::from_millis(100))
    }

    #[test]
    fn a_gate_that_is_far_from_its_limit_gives_an_eighth_of_its_burst_to_be_kept() {
        let asked = ask(fresh(), "w", limits(1e6, 1000, 100_000), START);
        assert_eq!((asked.taken.slots.len(), asked.kept), (1, 125));
        assert_eq!(in_flight(&asked.taken.state, START), 126);
    }

    #[test]
    fn nothing_is_kept_where_others_would_wait_for_it() {
        for (limits, why) in [
            (limits(500.0, 1, 1000), "no burst"),
            (limits(10.0, 100, 1000), "a burst that takes seconds to come back"),
            (limits(1e6, 1000, 8), "few places"),
        ] {
            assert_eq!(ask(fresh(), "w", limits, START).kept, 0, "{why}");
        }
        let limits = limits(1e6, 1000, 100_000);
        let mut state = fresh();
        for (worker, millis) in [("a", 0), ("b", 1), ("c", 2), ("d", 3)] {
            let asked = ask(state, worker, limits, START.after(Duration::from_millis(millis)));
            assert_eq!(asked.kept, 125, "{worker}");
            state = asked.taken.state;
        }
        assert_eq!(ask(state.clone(), "e", limits, START.after(KEPT)).kept, 0, "four keep all there is");
        assert_eq!(ask(state, "e", limits, START.after(LEASE * 2)).kept, 125, "they are gone");
    }

    #[test]
    fn a_gate_at_its_limit_gives_nothing_to_be_kept() {
        let limits = limits(10_000.0, 100, 100_000);
        let first = take_ahead(fresh(), "w", 0, 500, limits, START, Duration::from_millis(100));
        assert_eq!((first.taken.slots.len(), first.kept), (500, 0));
    }

    proptest! {
        /// Workers ask, keep, use what they kept at any moment within its time, die. Whatever they do, no window has more.
        #[test]
        fn no_window_has_more_than_its_share_and_the_burst(
            steps in prop::collection::vec((0_usize..6, 0_u64..40_000_000, 0_u32..40), 1..120),
            rate in 1_000.0_f64..1_000_000.0,
            burst in 1_u32..200,
        ) {
            let limits = limits(rate, burst, 1_000_000);
            let (mut state, mut now, mut sent) = (fresh(), START, Vec::<Nanos>::new());
            let mut hands = BTreeMap::<usize, (u32, Nanos)>::new();
            for (worker, later, calls) in steps {
                now = now.after(Duration::from_nanos(later));
                let (mut spare, until) = hands.get(&worker).copied().unwrap_or((0, START));
                if until <= now {
                    spare = 0;
                }
                let from_hand = calls.min(spare);
                sent.extend((0..from_hand).map(|_| now));
                spare -= from_hand;
                let mut until = until;
                if calls > from_hand {
                    let asked = take_ahead(
                        state, &worker.to_string(), spare, calls - from_hand, limits, now, Duration::from_millis(50),
                    );
                    sent.extend(&asked.taken.slots);
                    // What was kept before is given up, as a worker does that is given more.
                    (state, spare, until) = (asked.taken.state, asked.kept, now.after(KEPT));
                }
                hands.insert(worker, (spare, until));
            }
            sent.sort_unstable();
            let interval = limits.interval.nanos();
            for (first, from) in sent.iter().enumerate() {
                for (more, to) in sent[first..].iter().enumerate() {
                    let most = (to.0 - from.0) / interval + u64::from(burst);
                    prop_assert!((more as u64) < most, "{} calls in {} ns", more + 1, to.0 - from.0);
                }
            }
        }
    }
}
