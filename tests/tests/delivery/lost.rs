//! What the broker loses or interrupts: consumers are made again, a restart is a new start.

use std::time::Duration;

use sluice::scripted::Script;
use sluice_shared::topology::{LaneConsumer, Laned};

use crate::rig::{DEADLINE, Rig, options};

#[tokio::test]
async fn consumers_that_are_gone_are_made_again_and_what_waited_is_delivered() {
    let rig = Rig::start().await;
    rig.receiver.answer([Script::answer(500), Script::answer(200)]);
    let _service = rig.serve(options()).await;
    let first = rig.result("first");
    rig.publish(&first).await;
    rig.receiver.wait_for_posts(first.job.as_str(), 2, DEADLINE).await.unwrap();
    for LaneConsumer { stream, name, .. } in [Laned::Results, Laned::Deliveries].map(|what| rig.lane(what)) {
        rig.nats().jetstream().get_stream(stream).await.unwrap().delete_consumer(&name).await.unwrap();
    }
    let second = rig.result("second");
    rig.publish(&second).await;
    rig.receiver.wait_for_posts(second.job.as_str(), 2, DEADLINE).await.unwrap();
    rig.wait_until_let_go(&second).await;
}

#[tokio::test]
async fn a_broker_that_was_killed_goes_on_where_it_was() {
    let mut rig = Rig::start().await;
    rig.receiver.answer([Script::answer(500), Script::answer(200)]);
    let mut options = options();
    options.schedule.pauses = vec![Duration::from_secs(1); 2];
    let _service = rig.serve(options).await;
    let before = rig.result("before");
    rig.publish(&before).await;
    rig.receiver.wait_for_job(before.job.as_str(), DEADLINE).await.unwrap();
    rig.wait_for_state(&before, |_| true).await;
    rig.broker.broker.kill().await;
    rig.broker.broker.restart().await.unwrap();
    let after = rig.result("after");
    rig.nats().client().flush().await.unwrap();
    rig.publish(&after).await;
    for result in [&before, &after] {
        rig.receiver.wait_for_posts(result.job.as_str(), 2, DEADLINE).await.unwrap();
        rig.wait_until_let_go(result).await;
    }
}
