//! Many workers at one gate, in simulated time. What is asserted is the same on every machine: a run is its seed.
//!
//! `cargo test -p sluice-tests --test scale -- --nocapture` shows the figures of small numbers; with `--ignored` and the name
//! `the_whole_table` it takes minutes and goes to a thousand workers: that is the table of `deploy/SCALE.md`.

use std::time::Duration;

use sluice_tests::scale::{Figures, Plan, run};

const SEED: u64 = 1;

#[allow(clippy::print_stdout, reason = "figures, shown with --nocapture")]
fn shown(text: &str) {
    println!("{text}");
}

fn head() {
    shown(
        "| calls/s | in flight | workers | share used | worst second | fairness | without a call | swaps won/s | lost/s | told/s | cores of the broker | entry |",
    );
    shown("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
}

/// Runs it, shows it, and asserts what holds in every run.
fn measured(plan: &Plan) -> Figures {
    let f = run(plan, SEED);
    let most = if plan.concurrency == u32::MAX { "-".to_owned() } else { plan.concurrency.to_string() };
    let Plan { rate, workers, .. } = plan;
    shown(&format!(
        "| {rate} | {most} | {workers} | {:.3} | {} | {:.2} | {} | {:.0} | {:.0} | {:.0} | {:.2} | {:.1} KiB |",
        f.used,
        f.worst_second,
        f.fairness,
        f.without,
        f.won,
        f.lost,
        f.told,
        f.cores,
        f.entry_bytes / 1024.0
    ));
    assert_eq!(f.worst_excess, 1, "slots of {plan:?} are closer together than the rate allows: {f:?}");
    assert!(f.most_in_flight <= u64::from(plan.concurrency), "too many calls in flight: {f:?}");
    f
}

fn rate_of(workers: usize, rate: f64, seconds: u64) -> Plan {
    Plan { workers, rate, lasts: Duration::from_secs(seconds), ..Plan::default() }
}

fn places_of(workers: usize, places: u32, calls_last: u64, seconds: u64) -> Plan {
    let (calls_last, lasts) = (Duration::from_millis(calls_last), Duration::from_secs(seconds));
    Plan { workers, rate: 10_000.0, concurrency: places, calls_last, lasts, ..Plan::default() }
}

#[test]
#[ignore = "takes minutes"]
fn the_whole_table() {
    head();
    let workers: Vec<usize> =
        std::env::var("SLUICE_WORKERS").map_or(vec![1, 4, 16, 64, 250, 1000], |one| vec![one.parse().unwrap()]);
    for (rate, seconds) in [(1.0, 30), (10.0, 30), (500.0, 5), (10_000.0, 5)] {
        for &workers in &workers {
            measured(&rate_of(workers, rate, seconds));
        }
    }
    for calls_last in [1_000, 20] {
        for &workers in &workers {
            measured(&places_of(workers, 64, calls_last, 10));
        }
    }
}

#[test]
fn a_run_is_its_seed() {
    let plan = rate_of(8, 100.0, 3);
    assert_eq!(run(&plan, 7), run(&plan, 7));
    assert_ne!(run(&plan, 7), run(&plan, 8));
}

#[test]
fn all_of_a_rate_is_used_by_one_worker_and_by_many_and_most_swaps_are_won() {
    head();
    for workers in [1, 4, 16, 64] {
        for (rate, seconds) in [(10.0, 20), (500.0, 3)] {
            let f = measured(&rate_of(workers, rate, seconds));
            assert!(f.used >= 0.999 && f.worst_second as f64 <= rate, "{f:?}");
            assert_eq!(f.missed, 0, "{f:?}");
            assert!(f.won <= 10.0_f64.max(rate / 10.0) && f.lost <= f.won, "{f:?}");
        }
    }
}

#[test]
fn nobody_goes_without_at_a_slow_gate_and_turns_are_taken() {
    head();
    for workers in [4, 16] {
        let f = measured(&rate_of(workers, 10.0, 30));
        assert!(f.without == 0 && f.fairness >= 0.8, "{f:?}");
    }
}

#[test]
fn places_at_a_gate_that_is_short_of_them_are_used_and_come_round() {
    head();
    for workers in [1, 4, 16] {
        let f = measured(&places_of(workers, 64, 1_000, 20));
        assert!(f.used >= 0.95 && f.without == 0 && f.fairness >= 0.5, "{f:?}");
    }
    // More workers than places.
    let f = measured(&places_of(32, 8, 200, 10));
    assert!(f.used >= 0.85 && f.without == 0 && f.fairness >= 0.5, "{f:?}");
}

#[test]
fn workers_that_crowd_at_a_gate_of_short_calls_do_not_drown_the_broker_in_swaps_that_are_lost() {
    head();
    let f = measured(&places_of(64, 64, 20, 3));
    assert!(f.used >= 0.5 && f.lost <= 3.0 * f.won, "{f:?}");
}
