//! What an operator sets: a ceiling, for each value by itself, until it is taken back.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::id::Destination;

const NOW: Nanos = Nanos(1_800_000_000_000_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn fresh() -> GateState {
    GateState::new(Destination::of(&url::Url::parse("https://a.example/").unwrap()).unwrap(), None)
}

fn configured(ceiling: bool) -> Limits {
    Limits { interval: Interval::of_rate(2.0).unwrap(), burst: 1, concurrency: 64, ceiling }
}

fn rate(per_second: f64) -> Setting<Interval> {
    Setting::Is(Interval::of_rate(per_second).unwrap())
}

fn with_rate(per_second: f64) -> Adjustment {
    Adjustment { interval: rate(per_second), ..Adjustment::default() }
}

fn learned(state: &GateState, rate: f64, concurrency: u32) -> GateState {
    let pacing =
        Pacing { rate: Some(rate), concurrency: Some(concurrency), source: "x-ezthrottle-rps".into(), valid_for: None };
    let heard = Heard { pacing: Some(pacing), ..Heard::default() };
    learn(state, configured(false), &heard, NOW).unwrap()
}

#[test]
fn what_an_operator_sets_replaces_what_is_configured_until_it_is_taken_back() {
    for ceiling in [false, true] {
        let by = Adjustment { interval: rate(50.0), burst: Setting::Is(5), concurrency: Setting::Is(3) };
        let state = adjust(&fresh(), by, configured(ceiling), NOW).unwrap();
        let limits = effective(configured(ceiling), &state, NOW);
        assert_eq!((limits.interval, limits.burst, limits.concurrency), (Interval::of_rate(50.0).unwrap(), 5, 3));
        let all = Sources { rate: Source::Operator, burst: Source::Operator, concurrency: Source::Operator };
        assert_eq!(sources(configured(ceiling), &state, NOW), all);
        let back = Adjustment { interval: Setting::TakenBack, ..Adjustment::default() };
        let state = adjust(&state, back, configured(ceiling), NOW).unwrap();
        let limits = effective(configured(ceiling), &state, NOW);
        assert_eq!((limits.interval, limits.burst), (configured(ceiling).interval, 5));
        let back = Adjustment { burst: Setting::TakenBack, concurrency: Setting::TakenBack, ..back };
        let state = adjust(&state, back, configured(ceiling), NOW).unwrap();
        assert_eq!(state, fresh(), "nothing is left of it");
    }
}

#[test]
fn what_is_so_already_needs_no_write() {
    let state = adjust(&fresh(), with_rate(5.0), configured(false), NOW).unwrap();
    assert_eq!(adjust(&state, with_rate(5.0), configured(false), NOW.after(SECOND)), None);
    assert_eq!(adjust(&state, Adjustment::default(), configured(false), NOW), None);
    let back = Adjustment { burst: Setting::TakenBack, ..Adjustment::default() };
    assert_eq!(adjust(&fresh(), back, configured(false), NOW), None);
}

#[test]
fn what_is_learned_lowers_what_an_operator_set_and_never_raises_it() {
    let state = adjust(&fresh(), with_rate(5.0), configured(false), NOW).unwrap();
    let faster = learned(&state, 100.0, 8);
    assert_eq!(effective(configured(false), &faster, NOW).interval, Interval::of_rate(5.0).unwrap());
    assert_eq!(sources(configured(false), &faster, NOW).rate, Source::Operator);
    assert_eq!(sources(configured(false), &faster, NOW).concurrency, Source::Learned);
    let slower = learned(&state, 1.0, 8);
    assert_eq!(effective(configured(false), &slower, NOW).interval, Interval::of_rate(1.0).unwrap());
    assert_eq!(sources(configured(false), &slower, NOW).rate, Source::Learned);
}

#[test]
fn without_an_operator_a_limit_is_configured_or_learned() {
    let sources = |state: &GateState| sources(configured(false), state, NOW);
    assert_eq!(sources(&fresh()).rate, Source::Configured);
    assert_eq!(sources(&learned(&fresh(), 100.0, 8)).rate, Source::Learned);
    assert_eq!(sources(&learned(&fresh(), 100.0, 8)).burst, Source::Configured);
}

#[test]
fn a_gate_that_becomes_faster_goes_on_at_once() {
    let slow = Limits { interval: Interval::of_rate(0.01).unwrap(), ..configured(false) };
    let (state, slots) = reserve(fresh(), slow, NOW, 1, SECOND);
    assert_eq!((slots.as_slice(), next_slot(&state, slow, NOW)), ([NOW].as_slice(), NOW.after(SECOND * 100)));
    let state = adjust(&state, with_rate(10.0), slow, NOW).unwrap();
    let limits = effective(slow, &state, NOW);
    assert_eq!(next_slot(&state, limits, NOW), NOW.after(SECOND / 10));
}

#[test]
fn a_rate_is_shown_as_it_was_given() {
    for rate in [0.5, 1.0 / 86_400.0, 3.0, 7.0, 0.3, 500.0, 1_000_000.0] {
        let shown = Interval::of_rate(rate).unwrap().per_second();
        assert!((shown - rate).abs() <= rate * 5e-6, "{shown} for {rate}");
    }
    assert!((Interval::of_rate(3.0).unwrap().per_second() - 3.0).abs() < f64::EPSILON);
}

proptest! {
    #[test]
    fn whatever_is_learned_and_configured_an_operators_limits_are_never_exceeded(
        own in 0.1_f64..1000.0, told in 0.1_f64..1000.0, calls in 1_u32..100, told_calls in 1_u32..100,
        ceiling: bool, first: bool,
    ) {
        let by = Adjustment { concurrency: Setting::Is(calls), ..with_rate(own) };
        let state = if first {
            learned(&adjust(&fresh(), by, configured(ceiling), NOW).unwrap(), told, told_calls)
        } else {
            adjust(&learned(&fresh(), told, told_calls), by, configured(ceiling), NOW).unwrap()
        };
        let limits = effective(configured(ceiling), &state, NOW);
        prop_assert!(limits.interval >= Interval::of_rate(own).unwrap());
        prop_assert!(limits.concurrency <= calls);
    }
}
