//! A gate that tenants share: whoever waits with a backlog behind them leaves the next slots to others.

use serde_json::json;
use sluice::scripted::{Destination, Script};
use sluice_shared::domain::access::Quotas;
use sluice_tests::configuration::Configuration;
use sluice_tests::scene::Scene;
use std::time::Duration;

use crate::rig::{Two, setup, submit_all};

async fn limited(rate: f64, concurrency: usize) -> Two {
    let destination = Destination::start().await.unwrap();
    let section = format!("gate.destinations.\"{}\"", destination.address());
    let configuration = Configuration::default().limit(&destination, rate, 1);
    let configuration = configuration.set(&format!("{section}.concurrency"), concurrency);
    let scene = Scene::at(destination, setup(configuration)).await;
    Two::in_scene(scene, Quotas::default(), Quotas::default()).await
}

/// How many calls of the flood came between the submission of one of the quiet tenant's jobs and its call.
async fn overtaken_by(two: &Two, path: &str) -> usize {
    let before = two.calls("/flood").len();
    two.asks(path, json!({})).await;
    let called = two.calls(path)[0].at;
    two.calls("/flood").iter().filter(|call| call.at < called).count() - before
}

#[tokio::test]
async fn at_a_gate_with_a_rate_a_single_job_goes_long_before_the_backlog_of_another_tenant() {
    let two = limited(40.0, 1_000).await;
    submit_all(&two.flood, (0..1_000).map(|_| two.job("/flood", json!({})))).await;
    two.scene.calls("/flood", 20).await;
    for number in 0..5 {
        // Two workers have what goes within the tenth of a second in hand, and what went meanwhile.
        let overtaken = overtaken_by(&two, &format!("/quiet/{number}")).await;
        assert!(overtaken <= 60, "{overtaken} of the flood's were called before");
    }
    assert!(two.calls("/flood").len() < 900, "the flood was not at its end");
}

#[tokio::test]
async fn at_a_gate_with_slow_calls_a_single_job_gets_the_room_that_the_backlog_waits_for() {
    let two = limited(1_000.0, 4).await;
    two.scene.destination.on("/flood", [Script::answer(200).after(Duration::from_millis(100))]);
    submit_all(&two.flood, (0..600).map(|_| two.job("/flood", json!({})))).await;
    two.scene.calls("/flood", 8).await;
    for number in 0..3 {
        let overtaken = overtaken_by(&two, &format!("/quiet/{number}")).await;
        assert!(overtaken <= 120, "{overtaken} of the flood's were called before");
    }
    assert!(two.calls("/flood").len() < 550, "the flood was not at its end");
}

/// One tenant has many queues of a gate, which it makes by naming regions: the gate is to be shared by tenants, not by queues.
#[tokio::test]
async fn a_tenant_with_many_queues_of_a_gate_has_one_turn_in_two() {
    let two = limited(40.0, 1_000).await;
    let jobs = (0..1_000).map(|number| two.job("/flood", json!({"regions": [format!("r{}", number % 20)]})));
    submit_all(&two.flood, jobs).await;
    two.scene.calls("/flood", 20).await;
    for number in 0..3 {
        let overtaken = overtaken_by(&two, &format!("/quiet/{number}")).await;
        assert!(overtaken <= 120, "{overtaken} of the flood's were called before, though each had waited");
    }
}
