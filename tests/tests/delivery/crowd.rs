//! Many results at once: a full or hanging endpoint holds up nobody else, and loses nothing.

use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use sluice::scripted::{Call, Script, WebhookReceiver};
use sluice_shared::domain::delivery::WebhookState;
use sluice_shared::domain::result::JobResult;
use sluice_shared::topology::{LaneConsumer, Laned};

use crate::rig::{DEADLINE, Rig, options, to, until, with_body};

#[tokio::test]
async fn one_endpoint_that_hangs_does_not_hold_up_another() {
    let rig = Rig::start().await;
    rig.receiver.answer([Script::hang()]);
    let other = WebhookReceiver::start().await.unwrap();
    let mut options = options();
    // Three seats at an endpoint, of which one tenant leaves one to others.
    (options.concurrency, options.per_endpoint) = (16, 3);
    let _service = rig.serve(options).await;
    // More than can be in hand at all.
    let hanging: Vec<JobResult> = (0..40).map(|n| rig.result(&format!("hangs-{n}"))).collect();
    for result in &hanging {
        rig.publish(result).await;
    }
    rig.receiver.destination().wait_for(|calls| calls.len() == 2, DEADLINE).await.unwrap();
    for number in 0..20 {
        rig.publish(&to(&[other.url()], &format!("passes-{number}"))).await;
    }
    other.destination().wait_for(|calls| calls.len() == 20, DEADLINE).await.unwrap();
    let calls = rig.receiver.destination().all_calls();
    assert!(calls.len() == 2 && calls.iter().all(Call::is_open), "more than two posts at one endpoint: {calls:?}");
    // What had to wait is remembered as waiting for its first try, without an error.
    let posted: Vec<&str> = calls.iter().filter_map(|call| call.json()?.get("job_id")?.as_str()).collect();
    let put_off = hanging.iter().find(|result| !posted.contains(&result.job.as_str())).unwrap();
    let state = rig.wait_for_state(put_off, |state| matches!(state, WebhookState::Waiting { .. })).await;
    assert!(matches!(state, WebhookState::Waiting { attempt: 1, last_error: None, .. }), "{state:?}");
}

#[tokio::test]
async fn what_was_put_off_is_posted_once_with_its_first_attempt_when_the_endpoint_answers_again() {
    let rig = Rig::start().await;
    rig.receiver.answer([Script::answer(200).after(Duration::from_millis(400))]);
    let mut options = options();
    options.per_endpoint = 1;
    let _service = rig.serve(options).await;
    let results: Vec<JobResult> = (0..6).map(|n| rig.result(&n.to_string())).collect();
    for result in &results {
        rig.publish(result).await;
    }
    for result in &results {
        rig.receiver.wait_for_job(result.job.as_str(), DEADLINE).await.unwrap();
        rig.wait_until_let_go(result).await;
    }
    let last = &results[5];
    let state = rig.wait_for_state(last, |state| !matches!(state, WebhookState::Waiting { .. })).await;
    assert!(matches!(state, WebhookState::Delivered { attempt: 1, .. }), "{state:?}");
    let posts = rig.receiver.all_posts();
    assert_eq!(posts.len(), 6);
    assert!(posts.iter().all(|post| post.payload["delivery"]["attempt"] == 1), "being put off is no attempt");
    for pair in posts.windows(2) {
        assert!(pair[1].call.at >= pair[0].call.answered_at.unwrap(), "two at once");
    }
}

#[tokio::test]
async fn a_burst_at_an_endpoint_that_answers_goes_through_at_the_first_try() {
    let rig = Rig::start().await;
    let results: Vec<JobResult> = (0..200).map(|n| rig.result(&n.to_string())).collect();
    for result in &results {
        rig.publish(result).await;
    }
    let service = rig.serve(options()).await;
    rig.receiver.destination().wait_for(|calls| calls.len() >= 200, DEADLINE).await.unwrap();
    for result in &results {
        rig.wait_until_let_go(result).await;
    }
    assert_eq!(rig.receiver.all_posts().len(), 200);
    assert!(service.counts("sluice_webhooks_total{result=\"delivered\"} 200"));
}

#[tokio::test]
async fn a_backlog_of_large_results_is_handed_out_once() {
    let rig = Rig::start().await;
    // More than the broker lets wait for one connection.
    let results: Vec<JobResult> = (0..20).map(|n| with_body(rig.result(&n.to_string()), vec![b'x'; 4 << 20])).collect();
    for result in &results {
        rig.publish(result).await;
    }
    let _service = rig.serve(options()).await;
    let LaneConsumer { name, stream, .. } = rig.lane(Laned::Results);
    let handed_out = until("the last ack", async || {
        let consumer: PullConsumer = rig.nats().jetstream().get_consumer_from_stream(&name, &stream).await.unwrap();
        let info = consumer.cached_info();
        (info.ack_floor.stream_sequence == 20).then_some(info.delivered.consumer_sequence)
    })
    .await;
    // A post that had to wait for its turn for long was put off.
    rig.receiver.destination().wait_for(|calls| calls.len() >= 20, DEADLINE).await.unwrap();
    assert_eq!((handed_out, rig.receiver.destination().count()), (20, 20));
}
