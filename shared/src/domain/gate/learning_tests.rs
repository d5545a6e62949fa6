//! What a gate learns from answers: how it slows down, what it never exceeds, when it forgets, how seldom it writes.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::Millis;
use crate::domain::id::Destination;
use crate::domain::pace::{Budget, Policy, Unit};

const NOW: Nanos = Nanos(1_800_000_000_000_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn fresh() -> GateState {
    GateState::new(Destination::of(&url::Url::parse("https://a.example/").unwrap()).unwrap(), None)
}

fn limits(rate: f64, burst: u32, ceiling: bool) -> Limits {
    Limits { interval: Interval::of_rate(rate).unwrap(), burst, concurrency: 64, ceiling }
}

fn at(seconds: f64) -> Nanos {
    NOW.after(Duration::from_secs_f64(seconds))
}

fn policy(quota: u64, seconds: u64) -> Policy {
    let window = Duration::from_secs(seconds);
    Policy { source: "ratelimit-policy", name: None, unit: Unit::Requests, quota, window }
}

fn budget(remaining: u64, reset: Nanos) -> Budget {
    Budget {
        source: "ratelimit",
        name: None,
        unit: Unit::Requests,
        limit: None,
        remaining: Some(remaining),
        reset: Some(reset.to_millis()),
        refills: false,
    }
}

fn left(remaining: u64, reset: Nanos, sent_at: Nanos) -> Heard {
    Heard { sent_at, budgets: vec![budget(remaining, reset)], ..Heard::default() }
}

fn announced(policies: Vec<Policy>) -> Heard {
    Heard { sent_at: NOW, policies, ..Heard::default() }
}

fn refused(sent_at: Nanos) -> Heard {
    Heard { sent_at, refused: true, ..Heard::default() }
}

fn rate(limits: Limits) -> f64 {
    1.0 / limits.interval.duration().as_secs_f64()
}

/// All slots of so long a time, reserved a little ahead as workers do.
fn slots_of(mut state: GateState, limits: Limits, long: Duration) -> Vec<Nanos> {
    let (mut now, mut slots) = (NOW, Vec::new());
    while now < NOW.after(long) {
        let (next, reserved) = reserve(state, limits, now, 1000, Duration::from_millis(100));
        state = next;
        slots.extend(reserved);
        now = now.after(Duration::from_millis(50));
    }
    slots
}

/// What is known after an answer, whether it was written or not.
fn after(state: GateState, limits: Limits, heard: &Heard, now: Nanos) -> GateState {
    learn(&state, limits, heard, now).unwrap_or(state)
}

#[test]
fn what_is_left_is_spread_over_the_time_until_the_reset_and_forgotten_there() {
    let fast = limits(1000.0, 1, false);
    let state = learn(&fresh(), fast, &left(50, at(100.0), NOW), NOW).unwrap();
    assert_eq!(effective(fast, &state, NOW).interval.duration(), 2 * SECOND);
    assert_eq!(effective(fast, &state, at(99.9)).interval.duration(), 2 * SECOND);
    assert_eq!(effective(fast, &state, at(100.0)), fast);
    let known = &state.announced[0];
    assert_eq!((known.source.as_str(), known.left, known.calls), ("ratelimit", true, 50));
    assert_eq!((known.learned_at, known.expires_at), (NOW, at(100.0)));
}

#[test]
fn what_is_left_never_makes_a_gate_faster_and_is_not_written_where_it_holds_nothing_back() {
    let slow = limits(2.0, 1, false);
    assert_eq!(learn(&fresh(), slow, &left(5000, at(100.0), NOW), NOW), None);
    let without_a_time = Budget { reset: None, ..budget(3, at(9.0)) };
    let heard = Heard { budgets: vec![without_a_time], ..Heard::default() };
    assert_eq!(learn(&fresh(), slow, &heard, NOW), None);
}

#[test]
fn calls_in_flight_are_taken_off_what_is_left() {
    let fast = limits(1000.0, 1, false);
    let (busy, _) = lease(fresh(), "a", 0, 40, fast, NOW);
    let state = learn(&busy, fast, &left(100, at(60.0), NOW), NOW).unwrap();
    assert_eq!(state.announced[0].calls, 60);
    // Some of them are counted already, so half remains whatever is in flight.
    let state = learn(&busy, fast, &left(50, at(60.0), NOW), NOW).unwrap();
    assert_eq!(state.announced[0].calls, 25);
}

#[test]
fn what_comes_back_bit_by_bit_is_spread_as_well() {
    let fast = limits(1000.0, 1, false);
    let bucket = Budget { limit: Some(60), refills: true, ..budget(10, at(50.0)) };
    let heard = Heard { sent_at: NOW, budgets: vec![bucket], ..Heard::default() };
    let state = learn(&fresh(), fast, &heard, NOW).unwrap();
    assert_eq!(state.announced[0].calls, 60);
}

#[test]
fn what_is_left_of_a_month_holds_back_no_more_than_what_is_left_of_an_hour() {
    let (fast, month) = (limits(1000.0, 1, false), 30.0 * 86_400.0);
    let spread = |remaining| {
        let state = learn(&fresh(), fast, &left(remaining, at(month), NOW), NOW).unwrap();
        assert_eq!(state.announced[0].expires_at, at(month));
        effective(fast, &state, NOW).interval.duration()
    };
    assert_eq!([spread(3600), spread(60), spread(1)], [SECOND, 60 * SECOND, 3600 * SECOND]);
    // Of a day's calls a twenty-fourth comes back in an hour.
    let bucket = Budget { limit: Some(240), refills: true, ..budget(0, at(86_400.0)) };
    let heard = Heard { sent_at: NOW, budgets: vec![bucket], ..Heard::default() };
    assert_eq!(learn(&fresh(), fast, &heard, NOW).unwrap().announced[0].calls, 10);
}

#[test]
fn a_policy_for_a_day_is_a_rate_only_where_nothing_says_what_is_left() {
    let (fast, day) = (limits(1000.0, 1, false), vec![policy(8640, 86_400)]);
    let state = learn(&fresh(), fast, &announced(day.clone()), NOW).unwrap();
    assert_eq!(effective(fast, &state, NOW).interval.duration(), 10 * SECOND);
    let both = Heard { policies: day, ..left(7200, at(80_000.0), NOW) };
    let state = learn(&fresh(), fast, &both, NOW).unwrap();
    assert_eq!(effective(fast, &state, NOW).interval.duration(), SECOND / 2);
}

#[test]
fn a_policy_is_a_rate_that_replaces_a_default_and_lowers_a_ceiling() {
    let state = learn(&fresh(), limits(2.0, 1, false), &announced(vec![policy(100, 10)]), NOW).unwrap();
    assert!((rate(effective(limits(2.0, 1, false), &state, NOW)) - 10.0).abs() < 0.01);
    assert_eq!(effective(limits(2.0, 1, true), &state, NOW), limits(2.0, 1, true));
    assert!((rate(effective(limits(50.0, 1, true), &state, NOW)) - 10.0).abs() < 0.01);
    assert_eq!(effective(limits(2.0, 1, false), &state, at(3600.0)), limits(2.0, 1, false));
}

#[test]
fn of_several_limits_the_tightest_counts() {
    let named = |name: &str, quota, seconds| Policy { name: Some(name.into()), ..policy(quota, seconds) };
    let three = vec![named("second", 20, 1), named("hour", 3600, 3600), named("day", 200_000, 86_400)];
    let fast = limits(1000.0, 1, false);
    let state = learn(&fresh(), fast, &announced(three), NOW).unwrap();
    assert_eq!(state.announced.len(), 3);
    assert_eq!(effective(fast, &state, NOW).interval.duration(), SECOND);
}

#[test]
fn of_two_answers_that_of_the_later_call_counts_and_an_older_one_can_only_tighten() {
    let fast = limits(1000.0, 1, false);
    let calls = |state: &GateState| state.announced[0].calls;
    let state = after(fresh(), fast, &left(50, at(100.0), at(5.0)), at(6.0));
    let late = |remaining, sent, now| after(state.clone(), fast, &left(remaining, at(100.0), at(sent)), at(now));
    assert_eq!(calls(&late(90, 5.5, 7.0)), 90);
    assert_eq!(calls(&late(90, 4.0, 7.0)), 50);
    assert_eq!(calls(&late(20, 4.0, 7.0)), 20);
    // It still is not the newest: what was sent in between may not loosen either.
    let tightened = late(20, 4.0, 7.0);
    assert_eq!(calls(&after(tightened, fast, &left(90, at(100.0), at(4.5)), at(8.0))), 20);
}

#[test]
fn a_policy_is_written_once_and_again_when_half_of_its_time_is_over() {
    let (some, heard) = (limits(2.0, 1, false), announced(vec![policy(100, 10)]));
    let state = learn(&fresh(), some, &heard, NOW).unwrap();
    for seconds in [0.0, 1.0, 600.0, 1799.0] {
        assert_eq!(learn(&state, some, &heard, at(seconds)), None, "after {seconds} s");
    }
    let renewed = learn(&state, some, &heard, at(1801.0)).unwrap();
    assert_eq!(renewed.announced[0].expires_at, at(1801.0 + 3600.0));
    assert!(!is_another_limit(&state, &renewed));
}

/// Five hundred answers a second, each with what is left, of windows of different lengths and clocks that tell seconds only.
#[test]
fn a_thousand_answers_cost_a_few_writes() {
    for (limit, window) in [(500_u64, 1_u64), (30_000, 60), (100, 10)] {
        let (some, mut state, mut writes) = (limits(1000.0, 10, false), fresh(), 0);
        for answer in 0..5_000_u64 {
            let now = NOW.after(Duration::from_millis(2 * answer));
            let into = now.0 % (window * 1_000_000_000);
            let used = limit * into / (window * 1_000_000_000);
            let reset = Duration::from_secs(window - into / 1_000_000_000);
            let mut heard = left(limit - used, now.after(reset), now);
            heard.policies.push(policy(limit, window));
            if let Some(next) = learn(&state, some, &heard, now) {
                (state, writes) = (next, writes + 1);
            }
        }
        assert!(writes <= 20, "{writes} writes in ten seconds for {limit} in {window} s");
    }
}

#[test]
fn names_that_never_come_again_are_kept_in_a_few_places_and_cost_no_more_writes() {
    let (some, mut state, mut writes) = (limits(1000.0, 1, false), fresh(), 0);
    for answer in 0..1000_u32 {
        let now = NOW.after(Duration::from_millis(10) * answer);
        let heard = announced(vec![Policy { name: Some(answer.to_string()), ..policy(100, 1) }]);
        if let Some(next) = learn(&state, some, &heard, now) {
            (state, writes) = (next, writes + 1);
        }
        assert!(state.announced.len() <= 8);
    }
    assert!(writes <= 20, "{writes} writes in ten seconds");
}

#[test]
fn a_burst_of_refusals_halves_the_rate_once_and_it_comes_back_by_itself() {
    let some = limits(100.0, 10, true);
    let state = learn(&fresh(), some, &refused(at(-0.0)), at(1.0)).unwrap();
    for number in 0..50_u32 {
        let sent = NOW.after(Duration::from_millis(20) * number);
        assert_eq!(learn(&state, some, &refused(sent), at(1.0 + 0.02 * f64::from(number))), None);
    }
    let at_rate = |seconds| rate(effective(some, &state, at(1.0 + seconds)));
    assert!((at_rate(0.0) - 50.0).abs() < 0.1);
    assert!((at_rate(15.0) - 75.0).abs() < 0.1);
    assert!((at_rate(30.0) - 100.0).abs() < 0.1);
    assert_eq!(effective(some, &state, at(40.0)).interval, some.interval);
    assert_eq!(effective(some, &state, at(1.0).after(BACKOFF_COUNTS)), some);
    // A call that was sent at the new rate and is refused is news.
    let again = learn(&state, some, &refused(at(2.0)), at(2.1)).unwrap();
    assert!(rate(effective(some, &again, at(2.1))) < 27.0);
    assert!(is_another_limit(&state, &again));
}

#[test]
fn clocks_that_differ_a_little_count_a_burst_once_all_the_same() {
    let some = limits(100.0, 1, true);
    let state = learn(&fresh(), some, &refused(NOW), NOW).unwrap();
    assert_eq!(learn(&state, some, &refused(at(0.0)), NOW.before(Duration::from_millis(3))), None);
}

#[test]
fn refusals_are_not_counted_where_an_announced_limit_says_why() {
    let some = limits(100.0, 1, true);
    let said = Heard { refused: true, ..left(0, at(5.0), NOW) };
    assert_eq!(learn(&fresh(), some, &said, NOW).unwrap().backoff, None);
    // Where there is some left it was another limit that refused the call.
    let other = Heard { refused: true, ..left(5, at(5.0), NOW) };
    assert!(learn(&fresh(), some, &other, NOW).unwrap().backoff.is_some());
    let silent = Heard { budgets: vec![Budget { reset: None, ..budget(0, NOW) }], ..refused(NOW) };
    assert!(learn(&fresh(), some, &silent, NOW).unwrap().backoff.is_some());
}

#[test]
fn endless_refusals_stop_a_gate_from_no_call_for_ever() {
    let (some, mut state, mut now) = (limits(100.0, 1, true), fresh(), NOW);
    for _ in 0..100 {
        now = now.after(SECOND);
        state = after(state, some, &refused(now), now);
    }
    assert!(rate(effective(some, &state, now)) >= 100.0 / 64.0 - 0.01);
}

/// Anything that an answer may say.
fn anything() -> impl Strategy<Value = (u64, Heard)> {
    let policies = prop::collection::vec((0_u64..2000, 1_u64..100_000, "[a-c]"), 0..3);
    let budgets = prop::collection::vec((0_u64..2000, 0_u64..100_000, "[a-c]", any::<bool>()), 0..3);
    let pacing = prop::option::of((0.01_f64..5000.0, 1_u32..1000));
    (0_u64..5_000, 0_u64..9_000, any::<bool>(), policies, budgets, pacing).prop_map(
        |(passes_ms, before_ms, refused, policies, budgets, pacing)| {
            let heard = Heard {
                sent_at: NOW.before(Duration::from_millis(before_ms)),
                refused,
                pacing: pacing.map(|(rate, calls)| Pacing {
                    rate: Some(rate),
                    concurrency: Some(calls),
                    source: "x-ezthrottle-rps".into(),
                    valid_for: Some(60 * SECOND),
                }),
                policies: policies
                    .into_iter()
                    .map(|(quota, ms, name)| Policy {
                        window: Duration::from_millis(ms),
                        name: Some(name),
                        ..policy(quota, 1)
                    })
                    .collect(),
                budgets: budgets
                    .into_iter()
                    .map(|(left, ms, name, refills)| Budget {
                        name: Some(name),
                        refills,
                        limit: Some(2000),
                        ..budget(left, NOW.after(Duration::from_millis(ms)))
                    })
                    .collect(),
            };
            (passes_ms, heard)
        },
    )
}

proptest! {
    #[test]
    fn nothing_that_is_learned_exceeds_a_ceiling_and_all_of_it_expires(
        rate in 0.1_f64..1000.0,
        burst in 1_u32..50,
        answers in prop::collection::vec(anything(), 1..30),
    ) {
        let ceiling = limits(rate, burst, true);
        let (mut state, mut now) = (fresh(), NOW);
        for (passes_ms, heard) in answers {
            now = now.after(Duration::from_millis(passes_ms));
            state = after(state, ceiling, &heard, now);
            for later in [0, 1, 40, 900] {
                let counts = effective(ceiling, &state, now.after(later * SECOND));
                prop_assert!(counts.interval >= ceiling.interval);
                prop_assert!(counts.burst >= 1 && counts.burst <= ceiling.burst);
                prop_assert!(counts.concurrency >= 1 && counts.concurrency <= ceiling.concurrency);
            }
        }
        prop_assert_eq!(effective(ceiling, &state, now.after(2 * 3600 * SECOND)), ceiling);
    }

    #[test]
    fn however_often_limits_are_learned_and_forgotten_no_window_has_more_calls_than_the_ceiling_allows(
        rate in 0.5_f64..200.0,
        burst in 1_u32..10,
        answers in prop::collection::vec((anything(), 1_u32..30), 1..30),
    ) {
        let ceiling = limits(rate, burst, true);
        let (mut state, mut now, mut slots) = (fresh(), NOW, Vec::new());
        for ((passes_ms, heard), want) in answers {
            now = now.after(Duration::from_millis(passes_ms / 5));
            for _ in 0..3 {
                let counts = effective(ceiling, &state, now);
                let (next, reserved) = reserve(state, counts, now, want, Duration::from_millis(100));
                state = next;
                slots.extend(reserved);
                now = now.after(Duration::from_millis(30));
            }
            state = after(state, ceiling, &heard, now);
        }
        for (from, first) in slots.iter().enumerate() {
            for (to, last) in slots.iter().enumerate().skip(from) {
                let most = last.since(*first).as_nanos() / u128::from(ceiling.interval.nanos()) + u128::from(burst);
                prop_assert!(u128::try_from(to - from + 1).unwrap() <= most, "{} in {:?}", to - from + 1, last.since(*first));
            }
        }
    }

    #[test]
    fn no_window_has_more_calls_than_the_tightest_policy_allows(
        quota in 1_u64..60,
        window in 1_u64..20,
        looser in 1_u64..50,
        burst in 1_u32..30,
    ) {
        let some = limits(500.0, burst, false);
        let named = Policy { name: Some("looser".into()), ..policy(quota * looser, window) };
        let heard = announced(vec![policy(quota, window), named]);
        let state = learn(&fresh(), some, &heard, NOW).unwrap();
        let counts = effective(some, &state, NOW);
        let slots = slots_of(state, counts, Duration::from_secs(window * 3));
        for (from, first) in slots.iter().enumerate() {
            let end = first.after(Duration::from_secs(window));
            let within = slots.iter().skip(from).take_while(|slot| **slot < end).count();
            prop_assert!(u64::try_from(within).unwrap() <= quota, "{within} of {quota} in {window} s");
        }
    }

    #[test]
    fn what_is_left_lasts_until_the_reset(remaining in 1_u64..100, ms in 500_u64..30_000, burst in 1_u32..30) {
        let some = limits(500.0, burst, false);
        let reset = NOW.after(Duration::from_millis(ms));
        let state = after(fresh(), some, &left(remaining, reset, NOW), NOW);
        let counts = effective(some, &state, NOW);
        let slots = slots_of(state, counts, Duration::from_millis(ms));
        let before = slots.iter().filter(|slot| **slot < reset).count();
        let enough_at_full_rate = ms / 2 + u64::from(burst) <= remaining;
        prop_assert!(enough_at_full_rate || u64::try_from(before).unwrap() <= remaining);
    }

    #[test]
    fn between_refusals_the_rate_only_grows_and_a_refusal_lowers_it(
        full in 0.1_f64..5000.0,
        gaps in prop::collection::vec(300_u64..100_000, 1..20),
    ) {
        let some = limits(full, 1, true);
        let (mut state, mut now) = (fresh(), NOW);
        for gap in gaps {
            let before = effective(some, &state, now).interval;
            let halved = learn(&state, some, &refused(now), now).unwrap();
            let lowered = effective(some, &halved, now).interval;
            prop_assert!(lowered >= before && lowered >= some.interval);
            prop_assert!(lowered > before || before.nanos() >= some.interval.nanos().saturating_mul(64));
            let mut last = lowered;
            for step in 1..=10 {
                let is = effective(some, &halved, now.after(Duration::from_millis(gap * step / 10))).interval;
                prop_assert!(is <= last && is >= some.interval);
                last = is;
            }
            (state, now) = (halved, now.after(Duration::from_millis(gap)));
        }
    }

    #[test]
    fn in_whatever_order_answers_come_the_newest_or_something_tighter_counts(
        order in Just((0..8_u32).collect::<Vec<_>>()).prop_shuffle(),
        powers in Just((0..8_u32).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let fast = limits(100_000.0, 1, false);
        let remaining = |sent: u32| 4_u64.pow(powers[usize::try_from(sent).unwrap()]);
        let mut state = fresh();
        for (step, sent) in (0_u32..).zip(&order) {
            let heard = left(remaining(*sent), at(100.0), NOW.after(SECOND * *sent));
            state = after(state, fast, &heard, at(10.0).after(SECOND * step));
        }
        prop_assert!(state.announced[0].calls <= remaining(7));
        prop_assert_eq!(state.announced[0].sent_at, NOW.after(7 * SECOND));
    }
}

#[test]
fn a_moment_of_the_epoch_harms_nothing() {
    let heard = Heard { budgets: vec![Budget { reset: Some(Millis(0)), ..budget(1, NOW) }], ..Heard::default() };
    assert_eq!(learn(&fresh(), limits(2.0, 1, true), &heard, NOW), None);
}
