//! What is done once more because somebody asks for it: a failed job, a webhook.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use sluice::scripted::Script;
use sluice_tests::DEADLINE;
use sluice_tests::client::Answer;
use sluice_tests::configuration::Configuration;
use sluice_tests::eventually;
use sluice_tests::scene::Scene;

async fn post(scene: &Scene, path: &str) -> Answer {
    scene.client.send(Method::POST, path, &[], None).await
}

async fn ended(scene: &Scene, id: &str) -> Value {
    scene.client.wait(id).await
}

#[tokio::test]
async fn a_failed_job_runs_again_under_its_key_and_tells_its_webhook_again() {
    let scene = Scene::start().await;
    let large = "x".repeat(300_000);
    scene.destination.on("/", [Script::answer(400), Script::answer(200).body("better")]);
    let fields = json!({"idempotent_key": "k", "method": "POST", "body": large});
    let id = scene.submit("/", fields.clone()).await;
    assert_eq!(scene.outcome(&id).await["status"], "failed");
    let answer = post(&scene, &format!("/v1/jobs/{id}/retry")).await;
    assert_eq!((answer.status, &answer.body["job_id"]), (202, &json!(id)), "{answer:#?}");
    let posts = scene.hooks.wait_for_posts(&id, 2, DEADLINE).await.unwrap();
    assert_eq!(posts[1].payload["status"], "success", "{:#}", posts[1].payload);
    assert_ne!(posts[0].call.header("webhook-id"), posts[1].call.header("webhook-id"), "another event");
    let calls = scene.destination.calls("/");
    assert_eq!((calls.len(), calls[1].body.len()), (2, large.len()));
    assert_eq!(calls[0].header("idempotency-key"), calls[1].header("idempotency-key"));
    assert_eq!(ended(&scene, &id).await["status"], "success");
    // The same submission is still the same job.
    let same = scene.client.post(&scene.job("/", fields)).await;
    assert_eq!((same.status, &same.body["duplicate"]), (200, &json!(true)), "{same:#?}");
    scene.nothing_left().await;
}

#[tokio::test]
async fn only_a_failed_job_runs_again() {
    let scene = Scene::start().await;
    scene.destination.on("/slow", Script::hang());
    let (done, pending) = (scene.submit("/", json!({})).await, scene.submit("/slow", json!({})).await);
    scene.outcome(&done).await;
    for id in [&done, &pending] {
        let answer = post(&scene, &format!("/v1/jobs/{id}/retry")).await;
        assert_eq!((answer.status, &answer.body["code"]), (409, &json!("not_failed")), "{answer:#?}");
    }
    let unknown = post(&scene, "/v1/jobs/job_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/retry").await;
    assert_eq!(unknown.status, 404, "{unknown:#?}");
}

#[tokio::test]
async fn a_webhook_that_was_given_up_is_posted_when_its_letter_is_tried_again() {
    let scene = Scene::with(Configuration::default().set("delivery.retry", ["300ms"].as_slice())).await;
    scene.hooks.answer([Script::answer(500), Script::answer(500), Script::answer(200)]);
    let id = scene.submit("/", json!({})).await;
    let letters = async || {
        let letters = scene.client.send(Method::GET, "/v1/dead-letters?kind=webhook", &[], None).await;
        letters.body["letters"].as_array().unwrap().first().cloned()
    };
    let letter = eventually("a dead letter", letters).await;
    assert_eq!(letter["job_id"], json!(id));
    let answer = post(&scene, &format!("/v1/dead-letters/{}/redrive", letter["id"].as_str().unwrap())).await;
    assert_eq!(answer.status, 202, "{answer:#?}");
    let posts = scene.hooks.wait_for_posts(&id, 3, DEADLINE).await.unwrap();
    assert_eq!(posts[0].call.header("webhook-id"), posts[2].call.header("webhook-id"));
    scene.nothing_left().await;
    assert_eq!(scene.client.get(&id).await["webhooks"][0]["status"], "delivered");
    assert!(letters().await.is_none());
}

#[tokio::test]
async fn a_webhook_that_was_taken_is_posted_again_under_its_id_when_that_is_asked_for() {
    let scene = Scene::start().await;
    let id = scene.submit("/", json!({})).await;
    scene.outcome(&id).await;
    scene.nothing_left().await;
    let answer = post(&scene, &format!("/v1/jobs/{id}/webhooks/0/replay")).await;
    assert_eq!(answer.status, 202, "{answer:#?}");
    let posts = scene.hooks.wait_for_posts(&id, 2, DEADLINE).await.unwrap();
    assert_eq!(posts[0].call.header("webhook-id"), posts[1].call.header("webhook-id"));
    let missing = post(&scene, &format!("/v1/jobs/{id}/webhooks/1/replay")).await;
    assert_eq!((missing.status, &missing.body["code"]), (404, &json!("no_such_webhook")), "{missing:#?}");
    scene.nothing_left().await;
}

#[tokio::test]
async fn a_webhook_that_is_on_its_way_is_not_posted_twice_because_it_is_asked_for() {
    let scene = Scene::start().await;
    scene.hooks.answer([Script::answer(200).after(Duration::from_millis(1500))]);
    let id = scene.submit("/", json!({})).await;
    assert_eq!(ended(&scene, &id).await["status"], "success");
    eventually("its post", async || (!scene.hooks.posts(&id).is_empty()).then_some(())).await;
    let answer = post(&scene, &format!("/v1/jobs/{id}/webhooks/0/replay")).await;
    assert_eq!(answer.status, 202, "{answer:#?}");
    scene.nothing_left().await;
    assert_eq!(scene.hooks.posts(&id).len(), 1);
}
