//! What was not taken: tried again on schedule, or given up as a dead letter.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::PullConsumer;
use sluice::scripted::Script;
use sluice_shared::domain::delivery::{Delivery, Schedule, WebhookState};
use sluice_shared::domain::event::What;
use sluice_shared::domain::result::JobResult;
use sluice_shared::domain::targets::Targets;
use sluice_shared::nats::dead::REASON;
use sluice_shared::topology::{LaneConsumer, Laned};
use sluice_shared::wire;
use sluice_workers::deliver::DeliveryOptions;

use crate::rig::{DEADLINE, Rig, options, to, until};

#[tokio::test]
async fn what_failed_is_tried_again_under_the_same_id_with_its_attempt_counted_up() {
    let rig = Rig::start().await;
    rig.receiver.answer([
        Script::answer(500),
        Script::answer(307).header("location", rig.receiver.at("/other")),
        Script::answer(204),
    ]);
    let service = rig.serve(options()).await;
    let result = rig.result("k");
    rig.publish(&result).await;
    let posts = rig.receiver.wait_for_posts(result.job.as_str(), 3, DEADLINE).await.unwrap();
    for (attempt, post) in (1..).zip(&posts) {
        assert_eq!(post.payload["delivery"]["attempt"], attempt);
        assert_eq!(post.call.header("webhook-id"), Some(result.event_id(0).as_str()));
        assert_eq!(post.call.path, "/webhook", "a redirect was followed");
    }
    for pair in posts.windows(2) {
        assert!(pair[1].call.at - pair[0].call.at >= Duration::from_millis(300), "too soon");
    }
    rig.wait_until_let_go(&result).await;
    let state = rig.wait_for_state(&result, |state| matches!(state, WebhookState::Delivered { .. })).await;
    assert!(matches!(state, WebhookState::Delivered { attempt: 3, .. }), "{state:?}");
    let failed = rig.wait_for_event(&result, "undelivered").await;
    assert!(matches!(failed.what, What::Undelivered { webhook: 0, attempt: 2, again_at: Some(_) }), "{failed:?}");
    assert!(service.counts("sluice_webhooks_total{result=\"retry\"} 2"));
}

/// It was allowed when its job was submitted: an address is no name, so nothing but this check stands before it.
#[tokio::test]
async fn what_may_not_be_posted_to_any_more_is_a_dead_letter_at_once_without_a_post() {
    let rig = Rig::start().await;
    let _service = rig.serve(DeliveryOptions { targets: Targets::default(), ..options() }).await;
    let result = rig.result("k");
    rig.publish(&result).await;
    let letter = rig.wait_for_dead_letter(&result, 0).await;
    let reason = letter.header(REASON).unwrap();
    assert!(reason.starts_with("target_refused") && !reason.contains("127.0.0.1"), "{reason}");
    rig.wait_until_let_go(&result).await;
    let state = rig.known(&result).await.unwrap().webhooks.remove(0);
    assert!(matches!(&state, WebhookState::Dead { attempt: 1, .. }), "{state:?}");
    assert!(rig.receiver.all_posts().is_empty());
}

#[tokio::test]
async fn what_is_gone_is_a_dead_letter_at_once_with_the_reason_and_all_that_it_takes_to_try_again() {
    let rig = Rig::start().await;
    rig.receiver.answer([Script::answer(410)]);
    let service = rig.serve(options()).await;
    let result = rig.result("k");
    rig.publish(&result).await;
    let letter = rig.wait_for_dead_letter(&result, 0).await;
    assert_eq!(letter.header(REASON), Some("answered 410"));
    let expected = Delivery { result: result.clone(), webhook: 0, attempt: 1, postponed: 0 };
    assert_eq!(wire::decode::<Delivery>(&letter.payload).unwrap(), expected);
    rig.wait_until_let_go(&result).await;
    let state = rig.known(&result).await.unwrap().webhooks.remove(0);
    assert!(matches!(&state, WebhookState::Dead { reason, attempt: 1, .. } if reason == "answered 410"), "{state:?}");
    assert_eq!(
        rig.wait_for_event(&result, "undelivered").await.what,
        What::Undelivered { webhook: 0, attempt: 1, again_at: None }
    );
    assert_eq!(rig.receiver.all_posts().len(), 1);
    for line in ["sluice_webhooks_total{result=\"dead\"} 1", "sluice_messages_set_aside_total{kind=\"webhook\"} 1"] {
        assert!(service.counts(line), "{line}");
    }
}

#[tokio::test]
async fn what_fails_at_every_try_is_a_dead_letter_after_the_last() {
    let rig = Rig::start().await;
    rig.receiver.answer([Script::close(), Script::answer(503), Script::hang()]);
    let mut options = options();
    options.timeout = Duration::from_millis(700);
    let _service = rig.serve(options).await;
    let result = rig.result("k");
    rig.publish(&result).await;
    let letter = rig.wait_for_dead_letter(&result, 0).await;
    assert_eq!(letter.header(REASON), Some("given up after 3 tries: no answer within 700ms"));
    rig.wait_until_let_go(&result).await;
    // The client repeats by itself what a closed connection surely kept from being read; ours are told by the attempt.
    let last = rig.receiver.posts(result.job.as_str()).pop().unwrap();
    assert_eq!(last.payload["delivery"]["attempt"], 3);
}

#[tokio::test]
async fn an_endpoint_that_asks_for_time_gets_it() {
    let rig = Rig::start().await;
    rig.receiver.answer([Script::answer(503).header("retry-after", "2"), Script::answer(200)]);
    let _service = rig.serve(options()).await;
    let result = rig.result("k");
    rig.publish(&result).await;
    let posts = rig.receiver.wait_for_posts(result.job.as_str(), 2, DEADLINE).await.unwrap();
    assert!(posts[1].call.at - posts[0].call.at >= Duration::from_secs(2));
}

#[tokio::test]
async fn an_error_says_what_went_wrong_and_shows_no_secret() {
    let rig = Rig::start().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let result = to(&[format!("http://{closed}/in?token=topsecret")], "k");
    let mut options = options();
    options.schedule = Schedule { pauses: vec![Duration::from_secs(600)], jitter: 0.0 };
    let _service = rig.serve(options).await;
    rig.publish(&result).await;
    let state = rig.wait_for_state(&result, |state| matches!(state, WebhookState::Waiting { .. })).await;
    let WebhookState::Waiting { attempt: 2, last_error: Some(error), .. } = state else { panic!("{state:?}") };
    assert!(error.contains("refused") && !error.contains("topsecret") && !error.contains("/in"), "{error}");
}

#[tokio::test]
async fn messages_that_nobody_can_read_are_dead_letters_and_a_newer_one_is_left_to_someone_newer() {
    let rig = Rig::start().await;
    let topology = rig.nats().topology();
    let (newer, broken, odd) = (rig.result("newer"), rig.result("broken"), rig.result("odd"));
    let of_result = |result: &JobResult| topology.result(&result.tenant, &result.job);
    let odd = Delivery { result: odd, webhook: 9, attempt: 2, postponed: 0 };
    for (subject, payload) in [
        (of_result(&newer), vec![99, 1].into()),
        (of_result(&broken), vec![1, 0xc1].into()),
        (topology.delivery_due(&odd.result.tenant, &odd.chain()), wire::encode(&odd)),
    ] {
        rig.nats().publish(subject, HeaderMap::new(), payload).await.unwrap();
    }
    let _service = rig.serve(options()).await;
    for (name, payload) in [("results.>", vec![1, 0xc1].into()), ("deliveries.due.>", wire::encode(&odd))] {
        let letter = rig.wait_for(&topology.dead_stream(), &topology.dead("message", "_", name)).await;
        assert_eq!(letter.payload, payload);
    }
    rig.wait_until_let_go(&broken).await;
    rig.wait_until_let_go(&odd.result).await;
    until("the newer message to be handed out again", async || {
        let LaneConsumer { name, stream, .. } = rig.lane(Laned::Results);
        let consumer: PullConsumer = rig.nats().jetstream().get_consumer_from_stream(name, stream).await.unwrap();
        (consumer.cached_info().num_redelivered == 1).then_some(())
    })
    .await;
    assert!(rig.newest(&topology.results_stream(), &of_result(&newer)).await.is_some());
    assert!(rig.receiver.all_posts().is_empty());
}
