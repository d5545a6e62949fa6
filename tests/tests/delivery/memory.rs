//! What is remembered, and that a message that comes again obeys it.

use std::time::Duration;

use async_nats::HeaderMap;
use sluice::scripted::Script;
use sluice_shared::clock;
use sluice_shared::domain::delivery::{Deliveries, Quorum, WebhookState};
use sluice_shared::domain::result::JobResult;
use sluice_shared::nats::dead::REASON;
use sluice_shared::nats::pull::{Generation, Pulled, Puller};
use sluice_shared::topology::{LaneConsumer, Laned, Topology};
use sluice_shared::wire;

use crate::rig::{DEADLINE, Rig, options, to};

/// Takes the result as a holder does who dies before the ack: it is handed out a second time.
async fn hold_and_die(rig: &Rig, result: &JobResult, webhooks: Vec<WebhookState>) {
    rig.publish(result).await;
    let LaneConsumer { name, stream, .. } = rig.lane(Laned::Results);
    let mut puller = Puller::open(rig.nats(), &stream, &name, &Generation::default()).await.unwrap();
    puller.request(1, Duration::from_secs(20)).await.unwrap();
    let Pulled::Message(message) = puller.next().await else { panic!("no message") };
    rig.remember(result, webhooks).await;
    message.nak(None).await;
    rig.nats().client().flush().await.unwrap();
}

#[tokio::test]
async fn a_result_that_comes_again_posts_nothing_that_is_remembered_and_publishes_what_is_missing() {
    let rig = Rig::start().await;
    let result = to(&["/taken", "/waits", "/dead", "/untried"].map(|path| rig.receiver.at(path)), "k");
    let (at, next_at) = (clock::now(), clock::now().after(Duration::from_secs(1)));
    let remembered = vec![
        WebhookState::Delivered { at, attempt: 1 },
        WebhookState::Waiting { attempt: 2, next_at, last_error: Some("answered 500".into()) },
        WebhookState::Dead { reason: "answered 410".into(), at, attempt: 1 },
        WebhookState::Untried,
    ];
    hold_and_die(&rig, &result, remembered).await;
    let _service = rig.serve(options()).await;
    let letter = rig.wait_for_dead_letter(&result, 2).await;
    assert_eq!(letter.header(REASON), Some("answered 410"));
    let posts = rig.receiver.wait_for_posts(result.job.as_str(), 2, DEADLINE).await.unwrap();
    rig.wait_until_let_go(&result).await;
    let seen: Vec<_> =
        posts.iter().map(|post| (post.call.path.as_str(), &post.payload["delivery"]["attempt"])).collect();
    assert_eq!(seen, [("/untried", &1.into()), ("/waits", &2.into())]);
    assert_eq!(rig.receiver.all_posts().len(), 2);
    let known = rig.known(&result).await.unwrap().webhooks;
    assert!(matches!(known[1], WebhookState::Delivered { attempt: 2, .. }), "{known:?}");
    assert!(matches!(known[3], WebhookState::Delivered { attempt: 1, .. }), "{known:?}");
}

#[tokio::test]
async fn a_result_that_is_published_again_long_after_its_settlement_is_looked_up() {
    let rig = Rig::start().await;
    let mut result = rig.result("k");
    result.outcome.at = clock::now().before(Duration::from_secs(90));
    rig.remember(&result, vec![WebhookState::Delivered { at: clock::now(), attempt: 3 }]).await;
    rig.publish(&result).await;
    let service = rig.serve(options()).await;
    rig.wait_until_let_go(&result).await;
    assert!(rig.receiver.all_posts().is_empty());
    assert!(service.counts("sluice_messages_dropped_total 1"));
}

#[tokio::test]
async fn where_nobody_can_read_what_is_remembered_the_result_is_a_dead_letter_and_nothing_is_posted() {
    let rig = Rig::start().await;
    let mut result = rig.result("k");
    result.outcome.at = clock::now().before(Duration::from_secs(90));
    let topology = rig.nats().topology();
    let key = Topology::key(&topology.deliveries_bucket(), &Deliveries::key(&result.job, &result.incarnation));
    rig.nats().publish(key, HeaderMap::new(), vec![1, 0xc1].into()).await.unwrap();
    rig.publish(&result).await;
    let _service = rig.serve(options()).await;
    let letter = rig.wait_for(&topology.dead_stream(), &topology.dead("message", "_", "results.>")).await;
    assert_eq!(letter.payload, wire::encode(&result));
    rig.wait_until_let_go(&result).await;
    assert!(rig.receiver.all_posts().is_empty());
}

#[tokio::test]
async fn a_quorum_is_remembered_as_needed_and_as_reached() {
    let rig = Rig::start().await;
    rig.receiver.destination().on("/b", [Script::answer(500), Script::answer(200)]);
    rig.receiver.destination().on("/c", Script::answer(410));
    let mut result = to(&["/a", "/b", "/c"].map(|path| rig.receiver.at(path)), "k");
    result.webhook_quorum = 2;
    let _service = rig.serve(options()).await;
    rig.publish(&result).await;
    rig.wait_for_state(&result, |state| matches!(state, WebhookState::Delivered { .. })).await;
    rig.receiver.wait_for_posts(result.job.as_str(), 4, DEADLINE).await.unwrap();
    rig.wait_until_let_go(&result).await;
    assert_eq!(rig.known(&result).await.unwrap().quorum, Quorum { needed: 2, reached: 2 });
}

#[tokio::test]
async fn webhooks_of_one_job_that_come_due_together_are_all_remembered() {
    let rig = Rig::start().await;
    let paths: Vec<String> = (0..8).map(|n| rig.receiver.at(&format!("/{n}"))).collect();
    for number in 0..8 {
        rig.receiver.destination().on(&format!("/{number}"), [Script::answer(500), Script::answer(200)]);
    }
    let result = to(&paths, "k");
    let services = [rig.serve(options()).await, rig.serve(options()).await];
    rig.publish(&result).await;
    rig.receiver.wait_for_posts(result.job.as_str(), 16, DEADLINE).await.unwrap();
    rig.wait_until_let_go(&result).await;
    let known = rig.known(&result).await.unwrap().webhooks;
    assert!(known.iter().all(|state| matches!(state, WebhookState::Delivered { attempt: 2, .. })), "{known:?}");
    assert_eq!(rig.receiver.all_posts().len(), 16);
    for service in services {
        service.stop().await;
    }
}
