//! Jobs that end by the clock or by somebody's wish, wherever they are.

use std::time::Duration;

use serde_json::{Value, json};
use sluice::scripted::{Destination, Script};
use sluice_tests::configuration::Configuration;
use sluice_tests::scene::{Scene, dropped};

fn ended_by(payload: &Value, status: &str, reason: &str) {
    assert_eq!((&payload["status"], &payload["reason"]), (&json!(status), &json!(reason)), "{payload:#}");
}

/// A gate that lets one call through and then nothing for longer than any test.
async fn a_scene_with_one_slot() -> Scene {
    let destination = Destination::start().await.unwrap();
    let configuration = Configuration::default().limit(&destination, 0.001, 1);
    let scene = Scene::at(destination, configuration).await;
    scene.run("/first", json!({})).await;
    scene
}

#[tokio::test]
async fn a_deadline_ends_a_job_whose_gate_is_closed() {
    let scene = Scene::start().await;
    scene.destination.on("/", Script::answer(429).header("retry-after", 600));
    let payload = scene.run("/", json!({"deadline_ms": 1000})).await;
    ended_by(&payload, "failed", "deadline");
    assert_eq!(payload["branches"][0]["response"]["status_code"], 429, "{payload:#}");
    assert_eq!(scene.destination.count(), 1);
}

#[tokio::test]
async fn a_deadline_ends_a_job_that_waits_for_its_slot_and_it_is_never_called() {
    let scene = a_scene_with_one_slot().await;
    let payload = scene.run("/", json!({"deadline_ms": 500})).await;
    ended_by(&payload, "failed", "deadline");
    assert_eq!(scene.destination.calls("/").len(), 0);
}

#[tokio::test]
async fn a_deadline_drops_a_call_in_flight() {
    let scene = Scene::start().await;
    scene.destination.on("/", Script::hang());
    let payload = scene.run("/", json!({"deadline_ms": 1000})).await;
    ended_by(&payload, "failed", "deadline");
    dropped(&scene.destination, 0).await;
    scene.nothing_left().await;
    assert_eq!(scene.destination.count(), 1);
}

#[tokio::test]
async fn a_deadline_that_is_met_changes_nothing() {
    let scene = Scene::start().await;
    let id = scene.submit("/", json!({"deadline_ms": 1000})).await;
    assert_eq!(scene.outcome(&id).await["status"], "success");
    // The timer has fired and found nothing to do.
    scene.nothing_left().await;
    assert_eq!(scene.client.get(&id).await["status"], "success");
    assert_eq!(scene.hooks.posts(&id).len(), 1);
}

/// Cancels, and checks what the client and the webhook are told.
async fn cancel(scene: &Scene, id: &str) {
    let answer = scene.client.cancel(id).await;
    assert!(matches!(answer.status, 200 | 202), "{answer:#?}");
    ended_by(&scene.outcome(id).await, "cancelled", "cancelled");
    let job = scene.client.wait(id).await;
    assert_eq!(job["status"], "cancelled", "{job:#}");
    let again = scene.client.cancel(id).await;
    assert_eq!(again.status, 200, "{again:#?}");
}

#[tokio::test]
async fn a_job_that_waits_for_its_slot_is_cancelled_and_never_called() {
    let scene = a_scene_with_one_slot().await;
    let id = scene.submit("/", json!({})).await;
    cancel(&scene, &id).await;
    assert_eq!(scene.destination.calls("/").len(), 0);
}

#[tokio::test]
async fn a_job_that_backs_off_is_cancelled_and_not_called_again() {
    let scene = Scene::start().await;
    scene.destination.on("/", Script::answer(503).header("retry-after", 2));
    let id = scene.submit("/", json!({})).await;
    scene.system.broker.wait_for_message("later", "0").await;
    cancel(&scene, &id).await;
    // Its timer has fired and was dropped.
    scene.nothing_left().await;
    assert_eq!(scene.destination.count(), 1);
}

#[tokio::test]
async fn a_job_with_a_time_ahead_is_cancelled_and_never_called() {
    let scene = Scene::start().await;
    let at = sluice_shared::clock::now().after(Duration::from_millis(1500));
    let id = scene.submit("/", json!({"retry_at": at.0})).await;
    cancel(&scene, &id).await;
    scene.nothing_left().await;
    assert_eq!(scene.destination.count(), 0);
}

#[tokio::test]
async fn a_call_in_flight_of_a_cancelled_job_is_dropped_on_the_wire() {
    let scene = Scene::start().await;
    scene.destination.on("/", Script::hang());
    let id = scene.submit("/", json!({})).await;
    scene.calls("/", 1).await;
    cancel(&scene, &id).await;
    dropped(&scene.destination, 0).await;
    scene.nothing_left().await;
    assert_eq!((scene.destination.count(), scene.hooks.posts(&id).len()), (1, 1));
}

#[tokio::test]
async fn a_job_that_has_ended_is_not_cancelled_any_more() {
    let scene = Scene::start().await;
    let id = scene.submit("/", json!({})).await;
    assert_eq!(scene.outcome(&id).await["status"], "success");
    let answer = scene.client.cancel(&id).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    assert_eq!(scene.client.get(&id).await["status"], "success");
    let unknown = scene.client.cancel("job_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").await;
    assert_eq!(unknown.status, 404, "{unknown:#?}");
}

#[tokio::test]
async fn a_job_that_is_too_old_when_its_turn_comes_fails_as_expired_and_is_not_called() {
    let destination = Destination::start().await.unwrap();
    let configuration = Configuration::default().limit(&destination, 0.4, 1).set("worker.max_age", "1s");
    let scene = Scene::at(destination, configuration).await;
    scene.run("/first", json!({})).await;
    let payload = scene.run("/", json!({})).await;
    assert_eq!((&payload["status"], &payload["error"]["kind"]), (&json!("failed"), &json!("expired")), "{payload:#}");
    assert_eq!(scene.destination.calls("/").len(), 0);
}
