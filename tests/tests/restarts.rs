//! Processes that are stopped, killed and started again, the broker's among them: nothing is lost, little is repeated.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use sluice::scripted::{Call, Destination, Rule, Script, WebhookReceiver};
use sluice_shared::clock;
use sluice_tests::check::{counts, not_once};
use sluice_tests::client::Client;
use sluice_tests::configuration::Configuration;
use sluice_tests::scene::Scene;
use sluice_tests::system::Setup;
use sluice_tests::up::Up;
use sluice_tests::{DEADLINE, eventually};

/// The shortest time after which another worker gets a dead one's messages.
fn soon_taken_over() -> Configuration {
    Configuration::default().set("worker.ack_wait", "15s")
}

/// Never answers the first call of a job, and answers every later one.
fn hangs_once() -> Rule {
    let seen: Mutex<HashSet<String>> = Mutex::default();
    Rule::choose(move |call, _| {
        let first = seen.lock().unwrap().insert(key(call));
        if first { Script::hang() } else { Script::answer(200).body("again") }
    })
}

fn key(call: &Call) -> String {
    call.header("idempotency-key").unwrap_or_default().to_owned()
}

fn called(destination: &Destination) -> BTreeMap<String, usize> {
    counts(destination.look(|calls| calls.iter().map(key).collect::<Vec<_>>()))
}

/// How many webhooks each job had.
fn told(hooks: &WebhookReceiver) -> BTreeMap<String, usize> {
    let posts = hooks.all_posts();
    counts(posts.iter().map(|post| post.payload["idempotent_key"].as_str().unwrap_or_default()))
}

async fn all_told(hooks: &WebhookReceiver, keys: &[String]) {
    let every = eventually("every job has told its webhook", async || {
        let told = told(hooks);
        keys.iter().all(|key| told.contains_key(key)).then_some(())
    });
    every.await;
}

fn keys(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix} {number}")).collect()
}

#[tokio::test]
async fn the_calls_of_a_killed_worker_are_made_again_by_another_and_only_those() {
    let mut scene = Scene::with(soon_taken_over()).await;
    scene.destination.on("/held", hangs_once());
    let (held, free) = (keys("held", 4), keys("free", 20));
    for key in &held {
        scene.submit("/held", json!({"idempotent_key": key})).await;
    }
    scene.calls("/held", held.len()).await;
    scene.system.add_worker().await;
    scene.system.workers[0].kill().await;
    for key in &free {
        scene.submit("/free", json!({"idempotent_key": key})).await;
    }
    let all: Vec<String> = held.iter().chain(&free).cloned().collect();
    all_told(&scene.hooks, &all).await;
    scene.nothing_left().await;
    let expected = all.iter().map(|key| (key.clone(), if held.contains(key) { 2 } else { 1 })).collect();
    assert_eq!(called(&scene.destination), expected);
    assert_eq!(not_once(all.iter().map(String::as_str), &told(&scene.hooks)), BTreeMap::new());
    assert!(scene.hooks.all_posts().iter().all(|post| post.payload["status"] == "success"));
}

#[tokio::test]
async fn a_worker_that_was_paused_past_its_time_does_not_end_a_job_twice() {
    let mut scene = Scene::with(soon_taken_over()).await;
    scene
        .destination
        .on("/", [Script::answer(200).after(Duration::from_secs(1)).body("first"), Script::answer(200).body("second")]);
    let id = scene.submit("/", json!({})).await;
    scene.calls("/", 1).await;
    scene.system.workers[0].pause();
    scene.system.add_worker().await;
    let payload = scene.outcome(&id).await;
    assert_eq!(payload["response"]["body"], "second", "{payload:#}");
    scene.system.workers[0].resume();
    scene.nothing_left().await;
    let answered = scene.system.workers[0].stop().await;
    assert!(answered.success(), "{answered}");
    assert_eq!((scene.destination.count(), scene.hooks.posts(&id).len()), (2, 1));
    assert_eq!(scene.client.get(&id).await["outcome"]["response"]["body"], "second");
}

#[tokio::test]
async fn keys_that_are_submitted_again_after_their_gateway_was_killed_are_one_job_each() {
    let mut scene = Scene::with(Setup { gateways: 2, ..Setup::default() }).await;
    let keys = keys("key", 300);
    let (doomed, other) = (scene.client.clone(), Client::new(scene.system.gateways[1].http()));
    let jobs: Vec<Value> = keys.iter().map(|key| scene.job("/", json!({"idempotent_key": key}))).collect();
    let submissions = stream::iter(&jobs).for_each_concurrent(8, async |job| {
        let body = Some(job.to_string().into());
        // What becomes of it is what its submitter cannot know.
        let _ = doomed.try_send(http::Method::POST, "/v1/jobs", &[], body).await;
    });
    let (gateway, destination) = (&mut scene.system.gateways[0], &scene.destination);
    let death = async {
        destination.wait_for(|calls| calls.len() >= 20, DEADLINE).await.unwrap();
        gateway.kill().await;
    };
    tokio::join!(submissions, death);
    let taken = told(&scene.hooks).len();
    assert!(taken < keys.len(), "the gateway was killed too late to show anything");
    stream::iter(&jobs)
        .for_each_concurrent(8, async |job| {
            other.insist(job).await;
        })
        .await;
    all_told(&scene.hooks, &keys).await;
    scene.nothing_left().await;
    let expected = || keys.iter().map(String::as_str);
    assert_eq!(not_once(expected(), &called(&scene.destination)), BTreeMap::new());
    assert_eq!(not_once(expected(), &told(&scene.hooks)), BTreeMap::new());
}

#[tokio::test]
async fn a_worker_told_to_stop_finishes_the_call_in_flight_and_settles_its_job() {
    let mut scene = Scene::start().await;
    scene.destination.on("/", Script::answer(200).after(Duration::from_secs(2)).body("slow"));
    let id = scene.submit("/", json!({})).await;
    scene.calls("/", 1).await;
    let ended = scene.system.workers[0].stop().await;
    assert_eq!(ended.code(), Some(0), "{ended}");
    assert!(scene.destination.all_calls()[0].completed_at.is_some(), "the call was dropped");
    let job = scene.client.wait(&id).await;
    assert_eq!(job["outcome"]["response"]["body"], "slow", "{job:#}");
    scene.outcome(&id).await;
    scene.nothing_left().await;
}

#[tokio::test]
async fn a_worker_told_to_stop_hands_back_what_takes_longer_than_its_grace() {
    let mut scene = Scene::with(Configuration::default().set("worker.grace", "500ms")).await;
    scene.destination.on("/", hangs_once());
    let id = scene.submit("/", json!({})).await;
    scene.calls("/", 1).await;
    let ended = scene.system.workers[0].stop().await;
    assert_eq!(ended.code(), Some(0), "{ended}");
    scene.system.workers[0].restart().await;
    let payload = scene.outcome(&id).await;
    assert_eq!((&payload["status"], &payload["response"]["body"]), (&json!("success"), &json!("again")));
    scene.nothing_left().await;
    assert_eq!(scene.destination.count(), 2);
}

#[tokio::test]
async fn a_delivery_told_to_stop_finishes_the_post_in_flight() {
    let mut scene = Scene::start().await;
    scene.hooks.answer([Script::answer(200).after(Duration::from_secs(2))]);
    let id = scene.submit("/", json!({})).await;
    scene.outcome(&id).await;
    let ended = scene.system.deliveries[0].stop().await;
    assert_eq!(ended.code(), Some(0), "{ended}");
    scene.nothing_left().await;
    assert_eq!(scene.hooks.posts(&id).len(), 1);
}

#[tokio::test]
async fn a_gateway_told_to_stop_ends_although_somebody_waits_for_a_job() {
    let mut scene = Scene::with(Configuration::default().set("gateway.grace", "1s")).await;
    scene.destination.on("/", Script::hang());
    let id = scene.submit("/", json!({})).await;
    let (client, gateway) = (scene.client.clone(), &mut scene.system.gateways[0]);
    let waiting = client.try_send(http::Method::GET, "/v1/jobs/x?wait=60s", &[], None);
    let mut events = client.events(&id, None).await;
    events.next().await.expect("a first event");
    let (_, ended) = tokio::join!(waiting, gateway.stop());
    assert_eq!(ended.code(), Some(0), "{ended}");
}

#[tokio::test]
async fn a_delivery_that_was_killed_is_followed_by_one_that_posts_what_it_left() {
    let mut scene = Scene::start().await;
    scene.system.deliveries[0].kill().await;
    let ids = [scene.submit("/", json!({})).await, scene.submit("/", json!({})).await];
    for id in &ids {
        assert_eq!(scene.client.wait(id).await["status"], "success");
    }
    scene.system.deliveries[0].restart().await;
    for id in &ids {
        assert_eq!(scene.outcome(id).await["status"], "success");
    }
}

#[tokio::test]
async fn nothing_is_lost_when_the_nats_server_is_killed_and_started_again_under_load() {
    let mut scene = Scene::start().await;
    scene.destination.on("/*", Script::answer(200).after(Duration::from_millis(20)));
    let keys = keys("key", 200);
    let jobs: Vec<Value> = keys.iter().map(|key| scene.job("/", json!({"idempotent_key": key}))).collect();
    let client = scene.client.clone();
    let submissions =
        stream::iter(&jobs).map(async |job| client.insist(job).await).buffer_unordered(4).collect::<Vec<_>>();
    let (broker, destination) = (&mut scene.system.broker.broker, &scene.destination);
    let outage = async {
        destination.wait_for(|calls| calls.len() >= 50, DEADLINE).await.unwrap();
        broker.kill().await;
        broker.restart().await.unwrap();
    };
    let (receipts, ()) = tokio::join!(submissions, outage);
    all_told(&scene.hooks, &keys).await;
    scene.nothing_left().await;
    for receipt in &receipts {
        let job = scene.client.get(&receipt.job_id).await;
        assert_eq!(job["status"], "success", "{job:#}");
    }
    let ids = counts(receipts.iter().map(|receipt| receipt.job_id.as_str()));
    assert_eq!(ids.len(), keys.len());
}

#[tokio::test]
async fn everything_killed_at_once_goes_on_from_its_data() {
    let (destination, hooks) = (Destination::start().await.unwrap(), WebhookReceiver::start().await.unwrap());
    destination.on("/held", hangs_once());
    let job =
        |path: &str| json!({"url": destination.at(path), "idempotent_key": path, "webhooks": [{"url": hooks.url()}]});
    let mut up = Up::start(&soon_taken_over()).await;
    let ended = up.client().submit(&job("/ended")).await;
    hooks.wait_for_job(&ended.job_id, DEADLINE).await.unwrap();
    let held = up.client().submit(&job("/held")).await;
    let mut later = job("/later");
    later["retry_at"] = json!(clock::now().after(Duration::from_secs(4)).0);
    let later = up.client().submit(&later).await;
    sluice_tests::scene::calls(&destination, "/held", 1).await;
    up.process.kill().await;
    up.process.restart().await;

    let client = up.client();
    assert_eq!(client.get(&ended.job_id).await["status"], "success");
    let again = client.post(&job("/ended")).await;
    assert_eq!((again.status, &again.body["duplicate"]), (200, &json!(true)), "{again:#?}");
    for id in [&later.job_id, &held.job_id] {
        let payload = hooks.wait_for_job(id, DEADLINE).await.unwrap().payload;
        assert_eq!(payload["status"], "success", "{payload:#}");
    }
    let times = |path: &str| destination.calls(path).len();
    assert_eq!((times("/ended"), times("/held"), times("/later")), (1, 2, 1));
}
