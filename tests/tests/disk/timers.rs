//! A timer that comes due while the store is full: the server drops it without a word, and the sweep heals it.

use std::time::Duration;

use serde_json::json;
use sluice_shared::clock::{self, Millis};
use sluice_shared::nats::publish::SCHEDULE;
use sluice_shared::telemetry::Metrics;
use sluice_shared::topology::Topology;
use sluice_tests::broker::{TestBroker, small};
use sluice_tests::configuration::Configuration;
use sluice_tests::eventually;
use sluice_tests::scene::Scene;
use sluice_workers::sweep::{self, SweepOptions};
use tokio_util::sync::CancellationToken;

use crate::full::{STORE, empty, fill};

/// When the job is to begin.
const DUE: Duration = Duration::from_secs(3);
/// How long is waited for what would come by itself.
const LATE: Duration = Duration::from_secs(2);
/// How late the timer is when the sweep takes it for swallowed: later than all that is waited for before.
const OVERDUE: Duration = Duration::from_secs(10);

/// A sweep that is the only one, because it was there first.
async fn sweep(broker: &TestBroker, metrics: &Metrics, stop: &CancellationToken) {
    let options =
        SweepOptions { interval: Duration::from_millis(200), overdue_after: OVERDUE, ..SweepOptions::default() };
    tokio::spawn(sweep::run(broker.effects().await, options, metrics.clone(), stop.clone()));
    let (nats, bucket) = (broker.connect().await, broker.topology().sweep_bucket());
    let (stream, lease) = (Topology::stream_of(&bucket), Topology::key(&bucket, "lease"));
    eventually("the lease of the sweep", async || nats.newest(&stream, &lease).await.unwrap()).await;
}

#[tokio::test]
async fn a_timer_that_a_full_store_swallowed_is_healed_by_the_sweep_and_its_job_ends() {
    let broker = TestBroker::holding(small(), Some(STORE)).await;
    let nats = broker.connect().await;
    let (metrics, stop) = (Metrics::new(), CancellationToken::new());
    sweep(&broker, &metrics, &stop).await;
    let scene = Scene::on(broker, Configuration::default()).await;
    let due = clock::now().after(DUE);
    let job = scene.submit("/", json!({"retry_at": due})).await;
    let timer = || async {
        let held = nats.newest("SLUICE_JOBS_0", "sluice.later.>").await.unwrap();
        held.and_then(|held| held.header(SCHEDULE).map(str::to_owned))
    };
    let at_first = timer().await.expect("a timer");
    fill(&nats).await;
    until(due.after(LATE)).await;
    empty(&nats).await;
    // There is room again, and the timer does not fire by itself.
    until(due.after(LATE * 2)).await;
    assert_eq!(timer().await.as_ref(), Some(&at_first), "the server did not swallow it");
    assert_eq!(scene.destination.count(), 0);

    let outcome = scene.outcome(&job).await;
    stop.cancel();
    assert_eq!(outcome["status"], "success", "{outcome:#}");
    assert!(metrics.encode().contains("sluice_sweep_healed_total{what=\"timer\"} 1"), "{}", metrics.encode());
    scene.nothing_left().await;
    assert_eq!(scene.hooks.all_posts().len(), 1);
}

async fn until(moment: Millis) {
    eventually("a moment", async || (clock::now() > moment).then_some(())).await;
}
