//! Outcomes, results and webhooks that are more than NATS takes: cut, or set aside; never called for again.

use std::time::Duration;

use async_nats::jetstream::stream::Config;
use serde_json::{Value, json};
use sluice::scripted::Script;
use sluice_shared::nats::dead::REASON;
use sluice_tests::DEADLINE;
use sluice_tests::scene::Scene;

/// What an answer's body is, in bytes, where it is to be too large.
const LARGE: u64 = 600_000;

/// From now on the server takes no message larger than this, and has told nobody who is connected.
async fn lower_max_payload(scene: &Scene, bytes: usize) {
    scene.system.broker.reconfigure("max_payload: 8388608", &format!("max_payload: {bytes}")).await;
}

/// From now on a stream takes no larger message.
async fn limit_messages(scene: &Scene, stream: &str, bytes: i32) {
    let nats = scene.system.broker.connect().await;
    let config = nats.jetstream().get_stream(stream).await.unwrap().cached_info().config.clone();
    let config = Config { max_message_size: bytes, ..config };
    nats.jetstream().update_stream(config).await.unwrap();
}

/// The outcome is a success of which a part is kept, and the call was made once.
fn is_cut(scene: &Scene, path: &str, outcome: &Value, most: usize) {
    assert_eq!(outcome["status"], "success", "{outcome:.2000}");
    let kept = outcome["response"]["body"].as_str().unwrap().len();
    assert!(kept > 0 && kept <= most, "{kept} bytes are kept");
    assert_eq!((&outcome["response"]["truncated"], &outcome["response"]["status_code"]), (&json!(true), &json!(200)));
    assert_eq!(scene.destination.calls(path).len(), 1);
}

#[tokio::test]
async fn an_outcome_that_a_lowered_limit_does_not_take_is_cut_and_called_for_once() {
    let scene = Scene::start().await;
    scene.destination.on("/", Script::answer(200).filled(LARGE).header("x-kept", "yes"));
    lower_max_payload(&scene, 128 * 1024).await;
    let outcome = scene.run("/", json!({})).await;
    is_cut(&scene, "/", &outcome, 128 * 1024);
    assert_eq!(outcome["response"]["headers"]["x-kept"], "yes");
    scene.nothing_left().await;
    assert_eq!(scene.hooks.all_posts().len(), 1);
}

#[tokio::test]
async fn an_outcome_that_its_stream_refuses_for_good_is_cut_and_called_for_once() {
    let scene = Scene::start().await;
    scene.destination.on("/", Script::answer(200).filled(LARGE));
    limit_messages(&scene, "KV_sluice_records_0", 64 * 1024).await;
    let outcome = scene.run("/", json!({})).await;
    is_cut(&scene, "/", &outcome, 64 * 1024);
    scene.nothing_left().await;
}

#[tokio::test]
async fn a_result_that_its_stream_does_not_take_is_cut_and_the_record_keeps_all() {
    let scene = Scene::start().await;
    scene.destination.on("/", Script::answer(200).filled(LARGE));
    limit_messages(&scene, "SLUICE_RESULTS", 64 * 1024).await;
    let job = scene.submit("/", json!({})).await;
    is_cut(&scene, "/", &scene.outcome(&job).await, 64 * 1024);
    let record = scene.client.get(&job).await;
    assert_eq!(record["outcome"]["response"]["body"].as_str().unwrap().len() as u64, LARGE);
    scene.nothing_left().await;
}

#[tokio::test]
async fn a_result_of_which_nothing_is_taken_is_a_dead_letter_and_its_queue_goes_on() {
    let scene = Scene::start().await;
    limit_messages(&scene, "SLUICE_RESULTS", 100).await;
    let job = scene.submit("/", json!({})).await;
    assert_eq!(scene.client.wait(&job).await["status"], "success");
    let letters = scene.system.broker.dead_letters("result.default", 1).await;
    assert!(letters[0].subject.contains(&job), "{letters:#?}");
    assert!(letters[0].header(REASON).unwrap().contains("cannot be handed to the delivery service"));
    scene.nothing_left().await;
    assert_eq!(scene.destination.calls("/").len(), 1);
}

#[tokio::test]
async fn a_job_whose_record_is_more_than_a_lowered_limit_is_set_aside_after_one_call() {
    let scene = Scene::start().await;
    scene.destination.on("/large", Script::answer(200).after(Duration::from_millis(300)));
    let note = "n".repeat(60_000);
    let job = scene.submit("/large", json!({"metadata": {"note": note}})).await;
    scene.calls("/large", 1).await;
    lower_max_payload(&scene, 48 * 1024).await;
    let letters = scene.system.broker.dead_letters("message", 1).await;
    let reason = letters[0].header(REASON).unwrap();
    assert!(reason.contains("more than the broker takes") && reason.contains("could not be ended"), "{reason}");
    assert!(letters[0].subject.contains(&job));
    assert_eq!(scene.run("/next", json!({})).await["status"], "success");
    assert_eq!(scene.destination.calls("/large").len(), 1);
}

#[tokio::test]
async fn a_webhook_by_nats_that_is_more_than_a_message_is_cut_to_one() {
    let scene = Scene::start().await;
    // As JSON each of these is six times as long.
    scene.destination.on("/", Script::answer(200).body(vec![1; 500_000]));
    lower_max_payload(&scene, 1024 * 1024).await;
    let nats = scene.system.broker.connect().await;
    let mut posts = nats.client().subscribe("app.outcomes").await.unwrap();
    nats.client().flush().await.unwrap();
    scene.submit("/", json!({"webhooks": [{"url": "nats:app.outcomes"}]})).await;
    let next = futures_util::StreamExt::next(&mut posts);
    let post = tokio::time::timeout(DEADLINE, next).await.unwrap().unwrap();
    nats.client().publish(post.reply.unwrap(), "thanks".into()).await.unwrap();
    let outcome: Value = serde_json::from_slice(&post.payload).unwrap();
    is_cut(&scene, "/", &outcome, 170_000);
    scene.nothing_left().await;
}
