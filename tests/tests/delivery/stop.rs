//! A stop: what is on the wire ends, all else is somebody else's at once.

use std::time::Duration;

use sluice::scripted::{Call, Script};
use sluice_shared::domain::delivery::WebhookState;
use sluice_shared::domain::result::JobResult;
use tokio::time::Instant;

use crate::rig::{DEADLINE, Rig, options, to, with_body};

#[tokio::test]
async fn a_post_on_the_wire_ends_and_what_comes_after_the_stop_is_left_to_another() {
    let rig = Rig::start().await;
    rig.receiver.answer([Script::answer(200).after(Duration::from_millis(1_500))]);
    let first = rig.serve(options()).await;
    let slow = rig.result("slow");
    rig.publish(&slow).await;
    rig.receiver.wait_for_job(slow.job.as_str(), DEADLINE).await.unwrap();
    first.ask_to_stop();
    let later = rig.result("later");
    rig.publish(&later).await;
    first.ended().await;
    let calls = rig.receiver.destination().all_calls();
    assert_eq!((calls.len(), calls[0].dropped_at), (1, None), "{calls:?}");
    rig.wait_until_let_go(&slow).await;
    assert!(matches!(rig.known(&slow).await.unwrap().of(0), WebhookState::Delivered { attempt: 1, .. }));
    assert_eq!(rig.known(&later).await, None);
    let _second = rig.serve(options()).await;
    rig.receiver.wait_for_job(later.job.as_str(), DEADLINE).await.unwrap();
}

#[tokio::test]
async fn a_burst_that_a_stop_falls_into_is_handed_back_at_once_and_posted_once() {
    let rig = Rig::start().await;
    rig.receiver.answer([Script::answer(200).after(Duration::from_millis(20))]);
    // Large enough that the broker is still sending when the stop comes.
    let large = |n: usize| with_body(rig.result(&n.to_string()), vec![b'x'; 100 << 10]);
    let results: Vec<JobResult> = (0..200).map(large).collect();
    for result in &results {
        rig.publish(result).await;
    }
    let mut options = options();
    // Nothing is put off because the endpoint is busy.
    (options.concurrency, options.per_endpoint) = (512, 512);
    let first = rig.serve(options.clone()).await;
    rig.receiver.destination().wait_for(|calls| !calls.is_empty(), DEADLINE).await.unwrap();
    first.stop().await;
    let posted = rig.receiver.destination().count();
    assert!(posted < 200, "nothing was left to hand back");
    let begin = Instant::now();
    let _second = rig.serve(options).await;
    rig.receiver.destination().wait_for(|calls| calls.len() >= 200, DEADLINE).await.unwrap();
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(12), "{took:?}: some came only when their time in hand was over");
    for result in &results {
        rig.wait_until_let_go(result).await;
    }
    assert_eq!(rig.receiver.all_posts().len(), 200);
}

#[tokio::test]
async fn after_the_grace_a_post_is_cut_and_tried_again_by_another_and_what_was_taken_is_not() {
    let rig = Rig::start().await;
    rig.receiver.destination().on("/hangs", [Script::hang(), Script::answer(200)]);
    let result = to(&["/hangs", "/takes"].map(|path| rig.receiver.at(path)), "k");
    let mut options = options();
    options.grace = Duration::from_millis(200);
    let first = rig.serve(options.clone()).await;
    rig.publish(&result).await;
    let both = |calls: &[Call]| calls.iter().filter(|call| call.status == Some(200)).count() == 1 && calls.len() == 2;
    rig.receiver.destination().wait_for(both, DEADLINE).await.unwrap();
    first.stop().await;
    let known = rig.known(&result).await.unwrap().webhooks;
    assert!(
        matches!(known[..], [WebhookState::Waiting { attempt: 1, .. }, WebhookState::Delivered { .. }]),
        "{known:?}"
    );
    let _second = rig.serve(options).await;
    rig.receiver.wait_for_posts(result.job.as_str(), 3, DEADLINE).await.unwrap();
    rig.wait_until_let_go(&result).await;
    let calls = rig.receiver.destination().calls("/hangs");
    assert_eq!((calls.len(), calls[0].header("webhook-id")), (2, calls[1].header("webhook-id")));
    assert_eq!(rig.receiver.destination().calls("/takes").len(), 1);
}

#[tokio::test]
async fn a_post_that_takes_longer_than_a_message_may_be_in_hand_is_made_once() {
    let rig = Rig::start().await;
    let ack_wait = Duration::from_secs(3);
    rig.nats().topology().create_lane_consumers(rig.nats(), ack_wait).await.unwrap();
    rig.receiver.answer([Script::answer(200).after(ack_wait * 3 / 2)]);
    let mut options = options();
    options.ack_wait = ack_wait;
    let _services = [rig.serve(options.clone()).await, rig.serve(options).await];
    let result = rig.result("k");
    rig.publish(&result).await;
    rig.wait_until_let_go(&result).await;
    assert_eq!(rig.receiver.all_posts().len(), 1);
}
