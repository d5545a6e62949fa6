//! What holds for any sequence of reservations, leases and closings.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::id::Destination;

const NOW: Nanos = Nanos(1_800_000_000_000_000_000);
const SECOND: u64 = 1_000_000_000;

fn fresh() -> GateState {
    GateState::new(Destination::of(&url::Url::parse("https://a.example/").unwrap()).unwrap(), None)
}

fn limits(rate: f64, burst: u32, concurrency: u32) -> Limits {
    Limits { interval: Interval::of_rate(rate).unwrap(), burst, concurrency, ceiling: false }
}

/// The most slots beyond what the rate gives, over all windows that begin and end with a slot.
fn worst_excess(slots: &[Nanos], interval: Interval) -> u64 {
    let mut sorted: Vec<u64> = slots.iter().map(|slot| slot.0).collect();
    sorted.sort_unstable();
    let mut worst = 0;
    for (from, first) in sorted.iter().enumerate() {
        for (to, last) in sorted.iter().enumerate().skip(from) {
            let counted = u64::try_from(to - from + 1).unwrap();
            worst = worst.max(counted.saturating_sub((last - first) / interval.nanos()));
        }
    }
    worst
}

/// One step of some worker.
#[derive(Clone, Debug)]
struct Step {
    passes_ms: u64,
    skew_ms: u64,
    want: u32,
    horizon_ms: u64,
    lost: bool,
    close_ms: Option<u64>,
}

fn step() -> impl Strategy<Value = Step> {
    let close = prop_oneof![9 => Just(None), 1 => (1_u64..3000).prop_map(Some)];
    (0_u64..400, 0_u64..4000, 1_u32..20, 10_u64..1000, prop::bool::weighted(0.3), close).prop_map(
        |(passes_ms, skew_ms, want, horizon_ms, lost, close_ms)| Step {
            passes_ms,
            skew_ms,
            want,
            horizon_ms,
            lost,
            close_ms,
        },
    )
}

proptest! {
    #[test]
    fn slots_never_exceed_the_rate_and_the_burst_in_any_window(
        rate in prop_oneof![0.2_f64..5.0, 5.0_f64..2000.0],
        burst in 1_u32..8,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let limits = limits(rate, burst, u32::MAX);
        let (mut state, mut time, mut slots) = (fresh(), NOW, Vec::new());
        for step in steps {
            time = time.after(Duration::from_millis(step.passes_ms));
            let now = time.after(Duration::from_millis(step.skew_ms)).before(Duration::from_secs(2));
            if let Some(close_ms) = step.close_ms {
                let until = now.after(Duration::from_millis(close_ms));
                if let (Some(closed), _) = close(&state, Some(until), now, Duration::from_secs(3600)) {
                    state = closed;
                }
            }
            let horizon = Duration::from_millis(step.horizon_ms);
            let (next, reserved) = reserve(state.clone(), limits, now, step.want, horizon);
            prop_assert!(reserved.iter().all(|slot| *slot <= now || *slot < now.after(horizon)));
            prop_assert!(reserved.iter().all(|slot| state.closed(now).is_none_or(|until| *slot >= until)));
            // A compare-and-swap that lost gives its slots up; one that was written counts, used or not.
            if !step.lost {
                state = next;
                slots.extend(reserved);
            }
        }
        prop_assert!(worst_excess(&slots, limits.interval) <= u64::from(burst));
    }

    #[test]
    fn with_a_backlog_every_slot_is_used(rate in 1_u32..2000, reservers in 1_u64..5) {
        let limits = limits(f64::from(rate), 1, u32::MAX);
        let (mut state, mut slots) = (fresh(), Vec::new());
        for tick in 0..400 * reservers {
            let now = NOW.after(Duration::from_millis(5 * tick / reservers));
            let (next, reserved) = reserve(state, limits, now, 1_000, Duration::from_millis(50));
            state = next;
            slots.extend(reserved);
        }
        let gaps_even = slots.windows(2).all(|two| two[1].0 - two[0].0 == limits.interval.nanos());
        prop_assert!(gaps_even);
        prop_assert!(slots.len() >= usize::try_from(rate).unwrap() * 2 * 99 / 100);
    }

    #[test]
    fn what_is_granted_never_exceeds_the_concurrency(
        concurrency in 1_u32..10,
        steps in prop::collection::vec((0_usize..5, 0_u32..6, 0_u32..6, 0_u64..2000), 1..100),
    ) {
        let limits = limits(1000.0, 1, concurrency);
        let (mut state, mut now, mut held) = (fresh(), NOW, [0_u32; 5]);
        let mut said = [NOW; 5];
        for (worker, ends, want, passes_ms) in steps {
            now = now.after(Duration::from_millis(passes_ms));
            // Whoever was silent for a lease is dead: its calls are gone with it.
            for (calls, said) in held.iter_mut().zip(said) {
                if now >= said.after(LEASE) { *calls = 0; }
            }
            held[worker] -= ends.min(held[worker]);
            let (next, granted) = lease(state, &worker.to_string(), held[worker], want, limits, now);
            state = next;
            held[worker] += granted;
            said[worker] = now;
            prop_assert!(held.iter().sum::<u32>() <= concurrency);
            prop_assert!(in_flight(&state, now) <= concurrency);
        }
    }

    #[test]
    fn an_interval_is_never_shorter_than_the_rate_says(rate in 0.0001_f64..1_000_000.0) {
        let interval = Interval::of_rate(rate).unwrap();
        prop_assert!(interval.duration().as_secs_f64() * rate >= 1.0 - 1e-12);
    }
}

#[test]
fn rates_at_both_ends_are_exact() {
    assert_eq!(Interval::of_rate(0.5).unwrap().nanos(), 2 * SECOND);
    assert_eq!(Interval::of_rate(1_000_000.0).unwrap().nanos(), 1000);
    assert_eq!(Interval::of_rate(3.0).unwrap().nanos(), 333_333_334);
    assert_eq!(Interval::of_rate(500.0).unwrap().nanos(), 2_000_000);
    assert_eq!(Interval::of_rate(f64::INFINITY).unwrap().nanos(), 1);
    assert!(Interval::of_rate(0.0).is_none());
    assert!(Interval::of_rate(f64::NAN).is_none());
}

#[test]
fn a_slow_gate_is_not_hoarded_each_slot_is_taken_when_the_horizon_reaches_it() {
    let limits = limits(2.0, 1, 64);
    let (state, slots) = reserve(fresh(), limits, NOW, 100, Duration::from_millis(250));
    assert_eq!(slots, [NOW]);
    assert_eq!(next_slot(&state, limits, NOW), NOW.after(Duration::from_millis(500)));
    let (state, slots) = reserve(state, limits, NOW.after(Duration::from_millis(200)), 1, Duration::from_millis(250));
    assert_eq!(slots, []);
    let (_, slots) = reserve(state, limits, NOW.after(Duration::from_millis(300)), 9, Duration::from_millis(250));
    assert_eq!(slots, [NOW.after(Duration::from_millis(500))]);
}

#[test]
fn closings_without_a_time_double_from_one_second_to_sixty_and_a_storm_counts_once() {
    let hour = Duration::from_secs(3600);
    let (mut state, mut now, mut pauses) = (fresh(), NOW, Vec::new());
    for _ in 0..8 {
        let (closed, until) = close(&state, None, now, hour);
        state = closed.unwrap();
        assert_eq!(close(&state, None, now, hour), (None, until));
        pauses.push(until.since(now).as_secs());
        now = until;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    let (_, until) = close(&state, None, now.after(Duration::from_secs(64)), hour);
    assert_eq!(until, now.after(Duration::from_secs(65)));
}

#[test]
fn a_closing_lasts_as_long_as_allowed_and_is_never_shortened() {
    let hour = Duration::from_secs(3600);
    let (state, until) = close(&fresh(), Some(NOW.after(hour * 24)), NOW, hour);
    assert_eq!(until, NOW.after(hour));
    assert_eq!(close(&state.unwrap(), Some(NOW.after(hour / 2)), NOW, hour), (None, until));
}

#[test]
fn a_gate_reopens_at_a_quarter_of_its_rate_without_a_burst_and_reaches_all_of_it() {
    let limits = limits(100.0, 10, u32::MAX);
    let (state, until) = close(&fresh(), None, NOW, RAMP);
    let (_, slots) = reserve(state.unwrap(), limits, NOW, 10_000, Duration::from_secs(9));
    let within = |from: u64, to: u64| {
        let inside = |slot: &&Nanos| {
            slot.since(until) >= Duration::from_millis(from) && slot.since(until) < Duration::from_millis(to)
        };
        slots.iter().filter(inside).count()
    };
    assert_eq!(slots[0], until);
    assert!((6..=9).contains(&within(0, 250)), "{}", within(0, 250));
    assert!((58..=66).contains(&within(1000, 2000)), "{}", within(1000, 2000));
    assert!(within(5000, 6000) >= 99);
}

#[test]
fn a_dead_workers_leases_come_back() {
    let limits = limits(100.0, 1, 3);
    let (state, granted) = lease(fresh(), "a", 0, 5, limits, NOW);
    assert_eq!(granted, 3);
    let (state, granted) = lease(state, "b", 0, 1, limits, NOW.after(Duration::from_secs(14)));
    assert_eq!(granted, 0);
    assert_eq!(next_expiry(&state, "b", NOW), Some(NOW.after(LEASE)));
    assert_eq!(lease(state, "b", 0, 5, limits, NOW.after(LEASE)).1, 3);
}

#[test]
fn a_slot_needs_a_lease_and_a_lease_without_a_slot_is_given_back() {
    let limits = limits(2.0, 1, 3);
    let taken = take(fresh(), "a", 0, 3, limits, NOW, Duration::from_millis(100));
    assert_eq!((taken.slots.len(), taken.short, in_flight(&taken.state, NOW)), (1, false, 1));
    let full = take(taken.state, "a", 3, 1, limits, NOW.after(Duration::from_secs(1)), Duration::from_millis(100));
    assert_eq!((full.slots.len(), full.short), (0, true));
}

#[test]
fn a_learned_limit_replaces_a_default_lowers_a_ceiling_and_expires() {
    let valid_for = Some(Duration::from_secs(60));
    let pacing = Pacing { rate: Some(10.0), concurrency: None, source: "x-ezthrottle-rps".into(), valid_for };
    let heard = Heard { pacing: Some(pacing), ..Heard::default() };
    let (default, configured) = (limits(2.0, 1, 64), Limits { ceiling: true, ..limits(2.0, 1, 64) });
    let state = learn(&fresh(), default, &heard, NOW).unwrap();
    assert_eq!(learn(&state, default, &heard, NOW), None);
    assert_eq!(effective(default, &state, NOW).interval.nanos(), SECOND / 10);
    assert_eq!(effective(configured, &state, NOW), configured);
    assert_eq!(effective(default, &state, NOW.after(Duration::from_secs(60))), default);
    assert_eq!(learn(&fresh(), default, &Heard::default(), NOW), None);
}

#[test]
fn an_arrival_written_by_a_broken_clock_does_not_block_the_gate() {
    let state = GateState { arrival: NOW.after(Duration::from_secs(86_400)), ..fresh() };
    assert!(next_slot(&state, limits(2.0, 1, 1), NOW) <= NOW.after(CLOCK_BOUND + Duration::from_secs(3)));
}

#[test]
fn a_state_reads_back_as_it_was_written_and_an_older_one_without_later_fields_too() {
    let (state, _) = close(&lease(fresh(), "a", 0, 2, limits(2.0, 1, 4), NOW).0, None, NOW, RAMP);
    let state = state.unwrap();
    assert_eq!(crate::wire::decode::<GateState>(&crate::wire::encode(&state)), Ok(state));
    let bare = std::collections::BTreeMap::from([("destination", "a.example")]);
    assert_eq!(crate::wire::decode::<GateState>(&crate::wire::encode(&bare)), Ok(fresh()));
}
