//! Many workers at one gate, in simulated time.

use std::time::Duration;

use sluice_tests::scale::{Plan, run};

#[allow(clippy::print_stdout, reason = "figures, shown with --nocapture")]
fn shown(text: &str) {
    println!("{text}");
}

fn row(plan: &Plan) {
    let begun = std::time::Instant::now();
    let f = run(plan, 1);
    shown(&format!(
        "| {} | {} | {} | {:.3} | {} | {} | {} | {:.2} | {} | {} | {:.0} | {:.0} | {:.0} | {:.2} | {:.0} | {:.1}s",
        plan.rate,
        if plan.concurrency == u32::MAX { "-".to_owned() } else { plan.concurrency.to_string() },
        plan.workers,
        f.used,
        f.worst_second,
        f.worst_excess,
        f.most_in_flight,
        f.fairness,
        f.starved,
        f.missed,
        f.won,
        f.lost,
        f.told,
        f.cores,
        f.entry_bytes,
        begun.elapsed().as_secs_f64(),
    ));
}

#[test]
#[ignore = "takes minutes"]
fn table() {
    let most: usize = std::env::var("SLUICE_WORKERS").map_or(1000, |most| most.parse().unwrap());
    shown(
        "| limit/s | in flight | workers | share used | worst second | worst excess | most in flight | fairness | starved | missed | swaps won/s | lost/s | told/s | cores | entry |",
    );
    let rates = if std::env::var("SLUICE_SHORT").is_ok() { vec![] } else { vec![1.0, 10.0, 500.0, 10_000.0] };
    for rate in rates {
        for workers in [1, 4, 16, 64, 250, 1000] {
            if workers <= most {
                let lasts = Duration::from_secs(if rate < 100.0 { 30 } else { 5 });
                row(&Plan { workers, rate, lasts, ..Plan::default() });
            }
        }
    }
    for (concurrency, millis) in [(64, 1000), (64, 20)] {
        for workers in [1, 4, 16, 64, 250, 1000] {
            if workers <= most {
                let calls_last = Duration::from_millis(millis);
                row(&Plan {
                    workers,
                    rate: 10_000.0,
                    concurrency,
                    calls_last,
                    lasts: Duration::from_secs(10),
                    ..Plan::default()
                });
            }
        }
    }
}
