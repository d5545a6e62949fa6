//! A store that is full to the brim when an outcome is to be written.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::stream::Config;
use bytes::Bytes;
use serde_json::json;
use sluice::scripted::Script;
use sluice_shared::nats::Nats;
use sluice_shared::nats::publish::PublishError;
use sluice_tests::broker::{TestBroker, small};
use sluice_tests::configuration::Configuration;
use sluice_tests::eventually;
use sluice_tests::scene::Scene;

/// What the server may store, in bytes.
pub(crate) const STORE: u64 = 4 << 20;

/// Fills the store until not the smallest message finds room, and keeps it full.
pub(crate) async fn fill(nats: &Nats) {
    let stream = Config { name: "FILL".into(), subjects: vec!["fill".into()], ..Config::default() };
    nats.jetstream().create_stream(stream).await.unwrap();
    for size in [64 << 10, 4 << 10, 64, 1] {
        loop {
            match nats.publish("fill".into(), HeaderMap::new(), Bytes::from(vec![7; size])).await {
                Ok(_) => {}
                Err(PublishError::NoRoom(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Makes room again.
pub(crate) async fn empty(nats: &Nats) {
    nats.jetstream().delete_stream("FILL").await.unwrap();
}

#[tokio::test]
async fn an_answer_that_finds_no_room_is_kept_and_written_later_without_a_second_call() {
    let broker = TestBroker::holding(small(), Some(STORE)).await;
    let nats = broker.connect().await;
    let scene = Scene::on(broker, Configuration::default()).await;
    scene.destination.on("/", Script::answer(200).after(Duration::from_secs(2)).body("kept"));
    let job = scene.submit("/", json!({})).await;
    scene.calls("/", 1).await;
    fill(&nats).await;
    let kept = || scene.system.workers[0].said().matches("an answer is kept until the broker takes it").count();
    // It tries again, so that the answer does not wait for a redelivery.
    eventually("an answer that is kept", async || (kept() >= 2).then_some(())).await;
    assert!(scene.client.get(&job).await.get("outcome").is_none(), "there was room");
    let refused = scene.client.post(&scene.job("/", json!({}))).await;
    assert_eq!((refused.status, &refused.body["code"]), (503, &json!("storage_full")), "{refused:#?}");
    assert!(!refused.header("retry-after").is_empty(), "{refused:#?}");
    empty(&nats).await;
    let outcome = scene.outcome(&job).await;
    assert_eq!((&outcome["status"], &outcome["response"]["body"]), (&json!("success"), &json!("kept")));
    scene.nothing_left().await;
    assert_eq!((scene.destination.count(), scene.hooks.all_posts().len()), (1, 1));
    scene.client.insist(&scene.job("/", json!({}))).await;
}
