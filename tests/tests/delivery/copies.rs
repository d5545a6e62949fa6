//! Results that come once more: published again, or handed out again by a broker that has forgotten whom it gave them to.

use std::time::Duration;

use sluice_shared::domain::id::Tenant;
use sluice_shared::domain::result::JobResult;
use sluice_shared::nats::ack::InHand;
use sluice_shared::nats::pull::{Generation, Pulled, Puller};
use sluice_shared::topology::{LaneConsumer, Laned};

use crate::rig::{DEADLINE, Rig, options, until};

/// The broker knows nothing of what it has stored, as after the window or a restart.
async fn forget_ids(rig: &Rig) {
    let jetstream = rig.nats().jetstream();
    let stream = rig.nats().topology().results_stream();
    let mut config = jetstream.get_stream(&stream).await.unwrap().cached_info().config.clone();
    for window in [Duration::from_millis(100), Duration::from_secs(60)] {
        config.duplicate_window = window;
        jetstream.update_stream(&config).await.unwrap();
        tokio::time::sleep(window.min(Duration::from_millis(300))).await;
    }
}

/// How many results were ever stored.
async fn stored(rig: &Rig) -> u64 {
    let topology = rig.nats().topology();
    let LaneConsumer { stream, name, .. } = topology.lane(Laned::Results, topology.lane_of(&Tenant::default()));
    let stream = rig.nats().jetstream().get_stream(stream).await.unwrap();
    // None is handed out twice here.
    let consumer = stream.consumer_info(name).await.unwrap();
    consumer.delivered.consumer_sequence + consumer.num_pending
}

async fn delivered(rig: &Rig, result: &JobResult) {
    rig.receiver.wait_for_posts(result.job.as_str(), 1, DEADLINE).await.unwrap();
    rig.wait_until_let_go(result).await;
}

#[tokio::test]
async fn a_copy_that_the_broker_does_not_recognise_is_not_posted() {
    let rig = Rig::start().await;
    let service = rig.serve(options()).await;
    let result = rig.result("k");
    rig.effects.hand_to_delivery(&result, false).await.unwrap();
    delivered(&rig, &result).await;
    rig.effects.hand_to_delivery(&result, true).await.unwrap();
    assert_eq!(stored(&rig).await, 1, "recognised by its id");
    forget_ids(&rig).await;
    rig.effects.hand_to_delivery(&result, true).await.unwrap();
    until("the copy", async || service.counts("sluice_messages_dropped_total 1").then_some(())).await;
    rig.wait_until_let_go(&result).await;
    assert_eq!((stored(&rig).await, rig.receiver.all_posts().len()), (2, 1));
}

#[tokio::test]
async fn what_is_published_again_and_never_was_before_is_posted() {
    let rig = Rig::start().await;
    let _service = rig.serve(options()).await;
    let result = rig.result("k");
    rig.effects.hand_to_delivery(&result, true).await.unwrap();
    delivered(&rig, &result).await;
    assert_eq!(rig.receiver.all_posts().len(), 1);
}

/// A restarted broker hands a message out as for the first time. It is older than the connection of whoever gets it.
#[tokio::test]
async fn what_is_older_than_the_pull_that_brings_it_is_looked_up() {
    let rig = Rig::start().await;
    let result = rig.result("k");
    rig.effects.hand_to_delivery(&result, false).await.unwrap();
    let first = rig.serve(options()).await;
    delivered(&rig, &result).await;
    first.stop().await;
    forget_ids(&rig).await;
    rig.effects.hand_to_delivery(&result, false).await.unwrap();
    let second = rig.serve(options()).await;
    until("the copy", async || second.counts("sluice_messages_dropped_total 1").then_some(())).await;
    rig.wait_until_let_go(&result).await;
    assert_eq!((stored(&rig).await, rig.receiver.all_posts().len()), (2, 1));
}

/// Two of one result in the stream: the first is in the hands of somebody slow.
#[tokio::test]
async fn a_copy_behind_a_result_that_is_in_somebodys_hands_is_left_to_that() {
    let rig = Rig::start().await;
    let result = rig.result("k");
    rig.effects.hand_to_delivery(&result, false).await.unwrap();
    let first = hold(&rig).await;
    forget_ids(&rig).await;
    rig.effects.hand_to_delivery(&result, true).await.unwrap();
    assert_eq!(stored(&rig).await, 2);
    let service = rig.serve(options()).await;
    until("the copy", async || service.counts("sluice_messages_dropped_total 1").then_some(())).await;
    assert!(rig.receiver.all_posts().is_empty());
    first.nak(None).await;
    delivered(&rig, &result).await;
    assert_eq!(rig.receiver.all_posts().len(), 1);
}

async fn hold(rig: &Rig) -> Box<InHand> {
    let LaneConsumer { name, stream, .. } = rig.lane(Laned::Results);
    let mut puller = Puller::open(rig.nats(), &stream, &name, &Generation::default()).await.unwrap();
    puller.request(1, Duration::from_secs(20)).await.unwrap();
    match puller.next().await {
        Pulled::Message(message) => message,
        other @ (Pulled::Over | Pulled::Crowded | Pulled::Gone | Pulled::Lost) => panic!("{other:?}"),
    }
}
