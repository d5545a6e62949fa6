//! Everything is killed, stopped and restarted at random moments under load: nothing is lost, nothing has two outcomes, and
//! only what was on the wire is repeated. `SLUICE_SEED` gives the seed of an earlier run. `sluice bench faults` does the
//! same for longer.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::time::Duration;

use rand::RngExt as _;
use sluice::bench::fleet::Target;
use sluice_tests::scenario::Scenario;

/// Jobs a second: enough that there is always something in every state, and little enough for a small machine.
const RATE: f64 = 25.0;
/// Longer than `ack_wait`, so that what a stopped process holds goes to another.
const PAST_ACK_WAIT: Duration = Duration::from_secs(18);

#[tokio::test]
async fn roles_killed_alone_and_together_lose_and_double_nothing() {
    let mut scenario = Scenario::start(1, &[], RATE).await;
    let roles = [Target::Gateway(0), Target::Gateway(1), Target::Worker(0), Target::Worker(1), Target::Delivery(0)];
    for target in roles {
        scenario.kill(&[target]).await;
    }
    scenario.kill(&roles[1..]).await;
    scenario.kill(&roles).await;
    scenario.verify().await;
}

#[tokio::test]
async fn a_nats_server_killed_and_restarted_on_its_store_loses_and_doubles_nothing() {
    let mut scenario = Scenario::start(1, &[], RATE).await;
    scenario.kill(&[Target::Server(0)]).await;
    scenario.kill(&[Target::Server(0), Target::Worker(0)]).await;
    scenario.kill(&[Target::Server(0), Target::Gateway(0), Target::Delivery(0)]).await;
    scenario.verify().await;
}

#[tokio::test]
async fn a_worker_and_a_delivery_stopped_past_their_ack_wait_and_continued_lose_and_double_nothing() {
    let mut scenario = Scenario::start(1, &[], RATE).await;
    let worker = Target::Worker(scenario.rig.random.random_range(0..2));
    for target in [worker, Target::Delivery(0)] {
        scenario.go_on().await;
        scenario.rig.pause(target, PAST_ACK_WAIT).await.unwrap();
    }
    scenario.verify().await;
}

#[tokio::test]
async fn a_rolling_restart_in_the_middle_of_slow_calls_loses_doubles_and_repeats_nothing() {
    let mut scenario = Scenario::start(1, &[], RATE).await;
    let roles = [Target::Gateway(0), Target::Gateway(1), Target::Worker(0), Target::Worker(1), Target::Delivery(0)];
    for target in roles {
        scenario.go_on().await;
        scenario.rig.restart(target).await.unwrap();
    }
    let verdict = scenario.verify().await;
    assert_eq!((verdict.repeated_calls, verdict.double_webhooks), (0, 0));
}
