//! Sensitive headers: sealed in the broker, whole at the destination, and gone with their key.

use http::Method;
use serde_json::{Value, json};
use sluice::scripted::Script;
use sluice_shared::seal::SealKey;
use sluice_tests::configuration::{Configuration, KEY};
use sluice_tests::eventually;
use sluice_tests::scene::Scene;
use sluice_tests::system::Setup;

use crate::signing::{ask, set};

const BEARER: &str = "Bearer canary-of-a-header";

fn keys(key: &str, previous: Option<&str>) -> Configuration {
    let configuration = Configuration::default().set("secrets.key", key);
    previous.into_iter().fold(configuration, |one, previous| one.set("secrets.previous_key", previous))
}

fn authorized() -> Value {
    json!({"headers": {"authorization": BEARER, "x-plain": "seen"}})
}

async fn in_the_broker(scene: &Scene, text: &str) -> Vec<String> {
    scene.system.broker.everything().await.into_iter().filter(|message| message.contains(text)).collect()
}

#[tokio::test]
async fn a_sealed_header_is_nowhere_in_the_broker_and_reaches_the_destination_whole() {
    let scene = Scene::start().await;
    scene.destination.on("/first", [Script::answer(500), Script::hang()]);
    let job = json!({
        "headers": {"authorization": BEARER, "X-Api-Key": ["canary-1", "canary-2"], "x-plain": "seen"},
        "fallback_job": {"url": scene.destination.at("/second"), "headers": {"cookie": "canary-3"},
            "trigger": {"type": "on_error", "codes": [418]}},
        "on_success": {"url": scene.destination.at("/after"), "headers": {"authorization": "canary-4"}},
    });
    scene.submit("/first", job).await;
    let calls = scene.calls("/first", 2).await;
    for call in &calls {
        assert_eq!((call.header("authorization"), call.header("x-plain")), (Some(BEARER), Some("seen")));
        let keys: Vec<_> = call.headers.get_all("x-api-key").iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(keys, ["canary-1", "canary-2"]);
    }
    assert_eq!(in_the_broker(&scene, "canary").await, Vec::<String>::new());
    assert!(!in_the_broker(&scene, "x-plain").await.is_empty());
    for (path, bytes) in scene.system.broker.disk() {
        assert!(!bytes.windows(6).any(|bytes| bytes == b"canary"), "{}", path.display());
    }
}

#[tokio::test]
async fn fallbacks_follow_ups_batches_and_jobs_by_nats_are_sealed_alike() {
    let scene = Scene::start().await;
    let with = |path: &str, canary: &str| json!({"url": scene.destination.at(path), "headers": {"cookie": canary}});
    scene.destination.on("/fails", Script::answer(404));
    let mut fallback = with("/fallback", "canary-fallback");
    fallback["trigger"] = json!({"type": "on_error"});
    let parent = scene.job("/fails", json!({"fallbacks": [fallback], "on_success": with("/after", "canary-after")}));
    scene.client.submit(&parent).await;
    scene.client.batch(&[with("/batch", "canary-batch")]).await;
    let nats = scene.system.broker.connect().await;
    let stored = nats.jetstream().publish("sluice.submit", with("/nats", "canary-nats").to_string().into()).await;
    stored.unwrap().await.unwrap();
    for name in ["fallback", "after", "batch", "nats"] {
        let call = scene.calls(&format!("/{name}"), 1).await.remove(0);
        assert_eq!(call.header("cookie"), Some(format!("canary-{name}").as_str()));
    }
    scene.nothing_left().await;
    assert_eq!(in_the_broker(&scene, "canary").await, Vec::<String>::new());
}

#[tokio::test]
async fn another_header_is_no_other_request_and_a_failed_job_runs_again_with_those_it_had() {
    let scene = Scene::start().await;
    scene.destination.on("/", [Script::answer(404), Script::answer(200)]);
    let job = scene.job("/", json!({"idempotent_key": "k", "headers": {"authorization": BEARER}}));
    let id = scene.client.submit(&job).await.job_id;
    assert_eq!(scene.client.wait(&id).await["status"], "failed");
    let again = scene.job("/", json!({"idempotent_key": "k", "headers": {"authorization": "another"}}));
    assert_eq!(scene.client.post(&again).await.body["duplicate"], true);
    let retried = scene.client.send(Method::POST, &format!("/v1/jobs/{id}/retry"), &[], None).await;
    assert_eq!(retried.status, 202, "{retried:#?}");
    assert_eq!(scene.calls("/", 2).await[1].header("authorization"), Some(BEARER));
}

#[tokio::test]
async fn keys_are_rotated_without_losing_a_job_or_a_signature() {
    let setup = Setup { workers: 0, ..Configuration::default().into() };
    let mut scene = Scene::with(setup).await;
    let (old, new) = (KEY, SealKey::generate());
    set(&scene.client, &json!({"primary_secret": "abcd-canary-canary-wxyz"})).await;
    let before = scene.submit("/before", authorized()).await;

    scene.system.reconfigure(&keys(&new, Some(old)));
    scene.system.restart().await;
    scene.client = scene.system.client();
    scene.system.add_worker().await;
    scene.outcome(&before).await;
    assert_eq!(scene.destination.calls("/before")[0].header("authorization"), Some(BEARER));
    eventually("secrets sealed anew", async || {
        scene.system.gateways[0].said().contains("a secret is sealed with another key").then_some(())
    })
    .await;

    scene.system.reconfigure(&keys(&new, None));
    scene.system.restart().await;
    scene.client = scene.system.client();
    assert_eq!(ask(&scene.client, Method::GET, None).await.body["primary_secret"], "abcd****wxyz");
    let after = scene.submit("/after", authorized()).await;
    let post = scene.hooks.wait_for_job(&after, sluice_tests::DEADLINE).await.unwrap();
    assert!(post.call.header("webhook-signature").is_some());
    assert_eq!(scene.destination.calls("/after")[0].header("authorization"), Some(BEARER));
}

#[tokio::test]
async fn a_job_whose_key_is_lost_fails_and_says_why_without_a_call_or_a_retry() {
    let setup = Setup { workers: 0, ..Configuration::default().into() };
    let mut scene = Scene::with(setup).await;
    let job = scene.submit("/", authorized()).await;
    scene.system.reconfigure(&keys(&SealKey::generate(), None));
    scene.system.restart().await;
    scene.client = scene.system.client();
    scene.system.add_worker().await;
    let outcome = scene.outcome(&job).await;
    assert_eq!((&outcome["status"], &outcome["reason"]), (&json!("failed"), &json!("exhausted")));
    let shown = scene.client.get(&job).await;
    let last = &shown["branches"][0]["last"];
    assert_eq!((&last["attempt"], &last["error"]["kind"]), (&json!(1), &json!("unopened")), "{shown:#}");
    let message = last["error"]["message"].as_str().unwrap();
    assert!(message.contains("secrets.previous_key") && !message.contains("canary"), "{message}");
    assert!(scene.destination.all_calls().is_empty());
}

#[tokio::test]
async fn a_role_without_a_key_says_once_that_nothing_is_sealed_and_seals_nothing() {
    let scene = Scene::with(Configuration::default().without("secrets.key")).await;
    scene.destination.on("/", Script::hang());
    scene.submit("/", authorized()).await;
    assert_eq!(scene.calls("/", 1).await[0].header("authorization"), Some(BEARER));
    let system = &scene.system;
    for process in system.gateways.iter().chain(&system.workers).chain(&system.deliveries) {
        assert_eq!(process.said().matches("nothing is sealed").count(), 1);
    }
    assert!(!in_the_broker(&scene, BEARER).await.is_empty(), "this is what the other tests look for");
}

#[tokio::test]
async fn a_submission_that_is_refused_is_kept_without_its_credentials() {
    let scene = Scene::start().await;
    let nats = scene.system.broker.connect().await;
    let submit = async |job: String| {
        nats.jetstream().publish("sluice.submit", job.into()).await.unwrap().await.unwrap();
    };
    let invalid = json!({"url": "ftp://a.example/", "headers": {"Authorization": BEARER, "x-plain": "seen"}});
    submit(invalid.to_string()).await;
    submit(r#"{"url": "https://a.example/", "headers": {"cookie": "canary""#.to_owned()).await;
    let letters = scene.system.broker.dead_letters("submission", 2).await;
    scene.nothing_left().await;
    let kept: Value = serde_json::from_slice(&letters[0].payload).unwrap();
    assert_eq!(kept["headers"], json!({"Authorization": "(not kept)", "x-plain": "seen"}));
    assert_eq!(in_the_broker(&scene, "canary").await, Vec::<String>::new());
}
