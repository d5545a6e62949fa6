//! Processes that are killed, stopped and restarted at random moments under load: nothing is lost, nothing is doubled, and
//! only what was on the wire is repeated. The broker that is killed is in `restarts`. `SLUICE_SEED` gives the seed of an earlier run.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

mod check;
mod load;
mod rig;

use std::time::Duration;

use rand::RngExt as _;

use crate::rig::{Rig, Target};

/// Longer than `ack_wait`, so that what a stopped worker holds goes to another.
const PAST_ACK_WAIT: Duration = Duration::from_secs(18);

#[tokio::test]
async fn roles_killed_alone_and_together_lose_and_double_nothing() {
    let mut rig = Rig::start().await;
    let load = rig.load();
    let together = [Target::Gateway(0), Target::Worker(0), Target::Worker(1), Target::Delivery];
    let alone = [Target::Gateway(0), Target::Gateway(1), Target::Worker(0), Target::Worker(1), Target::Delivery];
    for target in alone {
        rig.pause().await;
        rig.kill(&[target]).await;
    }
    rig.pause().await;
    rig.kill(&together).await;
    rig.pause().await;
    rig.verify(load).await;
}

#[tokio::test]
async fn a_worker_stopped_past_its_ack_wait_and_continued_loses_and_doubles_nothing() {
    let mut rig = Rig::start().await;
    let load = rig.load();
    rig.pause().await;
    let number = rig.random.random_range(0..2);
    rig.stop_and_continue(number, PAST_ACK_WAIT).await;
    rig.pause().await;
    rig.verify(load).await;
}

#[tokio::test]
async fn a_rolling_restart_in_the_middle_of_slow_calls_loses_doubles_and_repeats_nothing() {
    let mut rig = Rig::start().await;
    let load = rig.load();
    for target in [Target::Gateway(0), Target::Gateway(1), Target::Worker(0), Target::Worker(1), Target::Delivery] {
        rig.pause().await;
        rig.restart(target).await;
    }
    rig.pause().await;
    rig.verify(load).await;
}
