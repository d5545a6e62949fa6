//! A cluster of three nats-servers with everything three times: servers are killed in turn, roles are parted from the
//! cluster, and answers are lost. Nothing is lost, nothing has two outcomes, and only what was on the wire is repeated.
//! `SLUICE_SEED` gives the seed of an earlier run. `sluice bench faults --servers 3` does the first for longer.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::time::Duration;

use rand::RngExt as _;
use sluice::bench::fleet::Target;
use sluice::bench::link::State;
use sluice_tests::scenario::Scenario;

/// Jobs a second: three servers share this machine with everybody else.
const RATE: f64 = 10.0;
/// Longer than `ack_wait`, so that what a parted process holds goes to another.
const PAST_ACK_WAIT: Duration = Duration::from_secs(18);
/// How long a server may need to catch up with the others after it is back: one at a time may be missing.
const CATCHES_UP: Duration = Duration::from_secs(6);

#[tokio::test]
async fn servers_killed_in_turn_lose_and_double_nothing() {
    let mut scenario = Scenario::start(3, &[], RATE).await;
    let first = scenario.rig.random.random_range(0..3);
    for number in 0..3 {
        scenario.kill(&[Target::Server((first + number) % 3)]).await;
        tokio::time::sleep(CATCHES_UP).await;
    }
    scenario.kill(&[Target::Server(first), Target::Worker(0), Target::Gateway(0)]).await;
    scenario.verify().await;
}

#[tokio::test]
async fn a_cluster_killed_as_a_whole_goes_on_from_its_stores() {
    let mut scenario = Scenario::start(3, &[], RATE).await;
    scenario.kill(&[Target::Server(0), Target::Server(1), Target::Server(2)]).await;
    scenario.verify().await;
}

#[tokio::test]
async fn a_worker_parted_from_the_cluster_past_its_ack_wait_loses_and_doubles_nothing() {
    let worker = Target::Worker(0);
    let mut scenario = Scenario::start(3, &[worker], RATE).await;
    scenario.go_on().await;
    scenario.rig.part(&[worker], State::Stalled, PAST_ACK_WAIT).await.unwrap();
    scenario.go_on().await;
    scenario.rig.part(&[worker], State::Cut, PAST_ACK_WAIT).await.unwrap();
    scenario.verify().await;
}

#[tokio::test]
async fn a_worker_and_a_delivery_that_are_cut_off_at_once_lose_and_double_nothing() {
    let both = [Target::Worker(1), Target::Delivery(0)];
    let mut scenario = Scenario::start(3, &both, RATE).await;
    for state in [State::Cut, State::Stalled] {
        scenario.go_on().await;
        let time = Duration::from_millis(scenario.rig.random.random_range(1_000..6_000));
        scenario.rig.part(&both, state, time).await.unwrap();
    }
    scenario.verify().await;
}

/// What it has published is stored, and it is not told so: it asks the client to come again, or finds out by itself.
#[tokio::test]
async fn a_gateway_whose_acknowledgements_are_lost_loses_and_doubles_nothing() {
    let gateways = [Target::Gateway(0), Target::Gateway(1)];
    let mut scenario = Scenario::start(3, &gateways, RATE).await;
    for gateway in gateways {
        scenario.go_on().await;
        let before = scenario.accepted();
        scenario.rig.part(&[gateway], State::Deaf, Duration::from_secs(5)).await.unwrap();
        assert!(scenario.accepted() > before, "the other gateway takes jobs meanwhile");
    }
    scenario.verify().await;
}
