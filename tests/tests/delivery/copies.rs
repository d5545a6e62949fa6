//! Copies of a result: published again long after it was taken, when the broker does not recognise it any more.

use std::time::Duration;

use sluice_shared::clock;
use sluice_shared::domain::delivery::WebhookState;
use sluice_shared::domain::demand::When;
use sluice_shared::domain::id::{Destination, QueueName};
use sluice_shared::domain::result::JobResult;
use sluice_shared::nats::ack::InHand;
use sluice_shared::nats::pull::{Generation, Pulled, Puller};
use sluice_shared::topology::JobSubject;

use crate::rig::{DEADLINE, Rig, options, until};

/// The message of the branch that won, as its worker has it in hand.
async fn winners_message(rig: &Rig, result: &JobResult) -> JobSubject {
    let destination = Destination::of(&"https://api.example.com/".parse().unwrap()).unwrap();
    let winner = JobSubject {
        shard: 0,
        queue: QueueName::of(&result.tenant, &destination, None),
        job: result.job.clone(),
        incarnation: result.incarnation.clone(),
        token: result.outcome.winner,
    };
    rig.nats().move_chain(&winner, When::Work, 1, 0).await.unwrap();
    winner
}

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

async fn take_off(rig: &Rig, winner: &JobSubject) {
    let (stream, chain) = (rig.nats().topology().jobs_stream(winner.shard), winner.any_stage(rig.nats().prefix()));
    let sequence = rig.newest(&stream, &chain).await.unwrap().sequence;
    rig.nats().jetstream().get_stream(stream).await.unwrap().delete_message(sequence).await.unwrap();
}

#[tokio::test]
async fn what_was_taken_while_the_winners_message_is_there_is_remembered_and_its_copy_is_not_posted() {
    let rig = Rig::start().await;
    let service = rig.serve(options()).await;
    let result = rig.result("k");
    let winner = winners_message(&rig, &result).await;
    rig.effects.hand_to_delivery(&result, Some(&winner), false).await.unwrap();
    rig.wait_until_let_go(&result).await;
    let known = rig.known(&result).await.unwrap();
    assert!(matches!(known.of(0), WebhookState::Delivered { attempt: 1, .. }), "{known:?}");
    forget_ids(&rig).await;
    rig.effects.hand_to_delivery(&result, Some(&winner), true).await.unwrap();
    until("the copy", async || service.counts("sluice_messages_dropped_total 1").then_some(())).await;
    rig.wait_until_let_go(&result).await;
    assert_eq!(rig.receiver.all_posts().len(), 1);
}

#[tokio::test]
async fn what_was_taken_leaves_nothing_once_the_winners_message_is_gone_and_no_copy_of_it_is_published() {
    let rig = Rig::start().await;
    let result = rig.result("k");
    let winner = winners_message(&rig, &result).await;
    rig.effects.hand_to_delivery(&result, Some(&winner), false).await.unwrap();
    take_off(&rig, &winner).await;
    let _service = rig.serve(options()).await;
    rig.wait_until_let_go(&result).await;
    assert_eq!(rig.known(&result).await, None);
    forget_ids(&rig).await;
    rig.effects.hand_to_delivery(&result, Some(&winner), true).await.unwrap();
    let results = rig.nats().topology().results_stream();
    let state = rig.nats().jetstream().get_stream(results).await.unwrap().cached_info().state.clone();
    assert_eq!((state.last_sequence, rig.receiver.all_posts().len()), (1, 1), "a copy was stored");
}

#[tokio::test]
async fn a_result_that_waits_to_be_delivered_is_not_published_again_and_one_that_was_never_published_is() {
    let rig = Rig::start().await;
    let (waits, never) = (rig.result("waits"), rig.result("never"));
    for result in [&waits, &never] {
        let winner = winners_message(&rig, result).await;
        if result.key == "waits" {
            rig.effects.hand_to_delivery(result, Some(&winner), false).await.unwrap();
            forget_ids(&rig).await;
        }
        rig.effects.hand_to_delivery(result, Some(&winner), true).await.unwrap();
    }
    let _service = rig.serve(options()).await;
    for result in [&waits, &never] {
        rig.receiver.wait_for_posts(result.job.as_str(), 1, DEADLINE).await.unwrap();
        rig.wait_until_let_go(result).await;
        assert!(rig.known(result).await.is_some(), "what may come again is remembered");
    }
    assert_eq!(rig.receiver.all_posts().len(), 2);
}

/// Two of one result in the stream: the first is in the hands of somebody slow.
#[tokio::test]
async fn a_copy_behind_a_result_that_is_in_somebodys_hands_is_left_to_that() {
    let rig = Rig::start().await;
    let mut result = rig.result("k");
    result.outcome.at = clock::now().before(Duration::from_secs(90));
    rig.publish(&result).await;
    let first = hold(&rig).await;
    forget_ids(&rig).await;
    rig.publish(&result).await;
    let service = rig.serve(options()).await;
    until("the copy", async || service.counts("sluice_messages_dropped_total 1").then_some(())).await;
    assert!(rig.receiver.all_posts().is_empty());
    first.nak(None).await;
    rig.wait_until_let_go(&result).await;
    assert_eq!(rig.receiver.all_posts().len(), 1);
}

async fn hold(rig: &Rig) -> Box<InHand> {
    let topology = rig.nats().topology();
    let (stream, consumer) = (topology.results_stream(), topology.results_consumer());
    let mut puller = Puller::open(rig.nats(), &stream, consumer, &Generation::default()).await.unwrap();
    puller.request(1, Duration::from_secs(20)).await.unwrap();
    match puller.next().await {
        Pulled::Message(message) => message,
        other @ (Pulled::Over | Pulled::Gone | Pulled::Lost) => panic!("{other:?}"),
    }
}
