//! Jobs that panic the code that handles them. The binary under test obeys keys that say where.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sluice::scripted::Script;
use sluice_shared::nats::dead::REASON;
use sluice_shared::nats::read::Held;
use sluice_tests::client::Client;
use sluice_tests::eventually;
use sluice_tests::process::is_alive;
use sluice_tests::scene::Scene;

/// The reason of the one letter of a kind, which must say where the panic was and not what the panic said.
async fn one_reason(scene: &Scene, kind: &str) -> String {
    let letters = scene.system.broker.dead_letters(kind, 1).await;
    let [letter] = &letters[..] else { panic!("{letters:#?}") };
    reason(letter)
}

fn reason(letter: &Held) -> String {
    let reason = letter.header(REASON).unwrap();
    assert!(reason.contains("panicked at shared/src/fault_points.rs:") && !reason.contains("asked for"), "{reason}");
    reason.to_owned()
}

fn key(places: &str) -> Value {
    json!({"idempotent_key": format!("panic at {places}")})
}

/// The processes are there, take new jobs and end them, and nothing is left.
async fn all_goes_on(scene: &Scene) {
    let outcome = scene.run("/next", json!({})).await;
    assert_eq!(outcome["status"], "success", "{outcome:#}");
    let system = &scene.system;
    for process in system.gateways.iter().chain(&system.workers).chain(&system.deliveries) {
        assert!(is_alive(process.pid()), "process {} has ended", process.pid());
    }
    scene.nothing_left().await;
}

/// What a role counts: each line of its metrics.
async fn metrics(at: &str) -> BTreeMap<String, String> {
    let answer = Client::new(at).send(http::Method::GET, "/metrics", &[], None).await;
    let text = answer.body.as_str().unwrap().to_owned();
    text.lines().filter_map(|line| line.rsplit_once(' ')).map(|(name, value)| (name.into(), value.into())).collect()
}

#[tokio::test]
async fn a_job_that_panics_its_worker_fails_after_a_few_tries_and_the_queue_goes_on() {
    let scene = Scene::start().await;
    let outcome = scene.run("/poison", key("work")).await;
    assert_eq!(outcome["status"], "failed", "{outcome:#}");
    assert_eq!(outcome["error"]["kind"], "poisoned");
    assert!(outcome["error"]["message"].as_str().unwrap().contains("panicked at shared/src/fault_points.rs:"));
    assert_eq!(scene.destination.calls("/poison").len(), 0);
    one_reason(&scene, "message").await;
    let counted = metrics(scene.system.workers[0].http()).await;
    assert_eq!(counted["sluice_messages_set_aside_total{kind=\"message\"}"], "1");
    assert_eq!(counted["sluice_jobs_settled_total{status=\"failed\"}"], "1");
    all_goes_on(&scene).await;
    assert_eq!(scene.hooks.all_posts().len(), 2);
}

#[tokio::test]
async fn an_answer_that_panics_its_worker_is_asked_for_a_few_times_only() {
    let scene = Scene::start().await;
    let outcome = scene.run("/poison", key("answer")).await;
    assert_eq!((&outcome["status"], &outcome["error"]["kind"]), (&json!("failed"), &json!("poisoned")));
    assert_eq!(scene.destination.calls("/poison").len(), 3);
    one_reason(&scene, "message").await;
    all_goes_on(&scene).await;
}

#[tokio::test]
async fn a_job_ends_of_what_panics_even_where_its_branch_cannot() {
    let scene = Scene::start().await;
    let outcome = scene.run("/poison", key("work,panic at die")).await;
    assert_eq!((&outcome["status"], &outcome["reason"]), (&json!("failed"), &json!("poisoned")), "{outcome:#}");
    assert!(outcome["detail"].as_str().unwrap().contains("panicked at shared/src/fault_points.rs:"), "{outcome:#}");
    one_reason(&scene, "message").await;
    all_goes_on(&scene).await;
}

#[tokio::test]
async fn a_job_that_cannot_even_be_ended_is_told_of_in_its_dead_letter_and_holds_nobody_up() {
    let scene = Scene::start().await;
    let job = scene.submit("/poison", key("work,panic at die,panic at end")).await;
    let reason = one_reason(&scene, "message").await;
    assert!(reason.contains("its job could not be ended"), "{reason}");
    assert_eq!(scene.run("/next", json!({})).await["status"], "success");
    // It can still be cancelled, and then nothing of it is left but a message that is dropped when it comes.
    let cancelled = scene.client.cancel(&job).await;
    assert_eq!(cancelled.body["status"], "cancelled", "{cancelled:#?}");
    assert_eq!(scene.outcome(&job).await["status"], "cancelled");
}

#[tokio::test]
async fn an_end_that_panics_whoever_hands_it_on_stays_in_hand_until_that_can_be_done() {
    let scene = Scene::start().await;
    let job = scene.submit("/poison", key("result")).await;
    let reason = one_reason(&scene, "message").await;
    assert!(reason.contains("or its end not handed on"), "{reason}");
    assert_eq!(scene.client.get(&job).await["status"], "success");
    assert_eq!(scene.destination.calls("/poison").len(), 1, "the call was repeated");
    assert_eq!(scene.run("/next", json!({})).await["status"], "success");
    scene.system.broker.wait_for_message("jobs", "0").await;
}

#[tokio::test]
async fn a_retry_that_panics_when_it_comes_due_ends_its_branch() {
    let scene = Scene::start().await;
    scene.destination.on("/poison", Script::answer(500));
    let outcome = scene.run("/poison", key("due")).await;
    assert_eq!((&outcome["status"], &outcome["error"]["kind"]), (&json!("failed"), &json!("poisoned")), "{outcome:#}");
    assert_eq!(scene.destination.calls("/poison").len(), 1);
    one_reason(&scene, "message").await;
    all_goes_on(&scene).await;
}

#[tokio::test]
async fn a_deadline_that_panics_ends_its_job_all_the_same() {
    let scene = Scene::start().await;
    scene.destination.on("/poison", Script::hang());
    let mut more = key("due");
    more["deadline_ms"] = json!(500);
    let outcome = scene.run("/poison", more).await;
    assert_eq!((&outcome["status"], &outcome["reason"]), (&json!("failed"), &json!("poisoned")), "{outcome:#}");
    one_reason(&scene, "message").await;
    all_goes_on(&scene).await;
}

#[tokio::test]
async fn a_webhook_that_panics_its_delivery_is_given_up_and_others_are_posted() {
    let scene = Scene::start().await;
    let mut more = key("delivery");
    more["on_success"] = scene.job("/after", json!({}));
    let job = scene.submit("/poison", more).await;
    assert_eq!(scene.client.wait(&job).await["status"], "success");
    one_reason(&scene, "webhook").await;
    eventually("a webhook that is given up", async || {
        let webhook = &scene.client.get(&job).await["webhooks"][0];
        (webhook["status"] == "dead").then(|| assert!(webhook["reason"].as_str().unwrap().contains("panicked at")))
    })
    .await;
    all_goes_on(&scene).await;
    assert_eq!(scene.destination.calls("/after").len(), 1, "its follow-up was lost or doubled");
    assert_eq!(scene.hooks.posts(&job).len(), 0);
}

#[tokio::test]
async fn a_durable_submission_that_panics_its_gateway_is_refused_and_its_sender_told() {
    let scene = Scene::start().await;
    let nats = scene.system.broker.connect().await;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Idempotency-Key", "panic at intake");
    let job = scene.job("/poison", json!({"metadata": {"order": 7}}));
    nats.publish("sluice.submit.acme".into(), headers, job.to_string().into()).await.unwrap();
    let post =
        scene.hooks.destination().wait_until(|calls| calls.first().cloned(), sluice_tests::DEADLINE).await.unwrap();
    let told: Value = serde_json::from_slice(&post.body).unwrap();
    assert_eq!((&told["status"], &told["reason"]), (&json!("failed"), &json!("refused")), "{told:#}");
    assert_eq!(told["metadata"]["order"], 7);
    let letters = scene.system.broker.dead_letters("submission.acme", 1).await;
    reason(&letters[0]);
    assert_eq!(letters[0].payload, job.to_string().into_bytes());
    all_goes_on(&scene).await;
    assert_eq!(scene.destination.calls("/poison").len(), 0);
}
