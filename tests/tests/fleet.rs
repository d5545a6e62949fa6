//! Several of each role as processes of their own on one NATS: what they share is kept to, what they do is done once.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use sluice::scripted::{Destination, WebhookReceiver};
use sluice_tests::check::{counts, not_once, span, worst_second};
use sluice_tests::client::Client;
use sluice_tests::configuration::Configuration;
use sluice_tests::process::complaints;
use sluice_tests::system::{Setup, System};
use sluice_tests::{DEADLINE, eventually};

const DESTINATIONS: usize = 20;
const JOBS_EACH: usize = 50;
/// Calls a second of each destination.
const RATE: f64 = 10.0;
/// Calls that may arrive in a second above the rate, because each is on its way for longer or shorter, and a destination
/// that has to wait for its processor takes in at once what came meanwhile. Workers that did not share would send twice the
/// rate.
const TOLERANCE: usize = 5;
/// Submissions at a time.
const AT_ONCE: usize = 16;

async fn two_of_each(configuration: Configuration) -> System {
    System::start(Setup { gateways: 2, workers: 2, deliveries: 2, configuration, ..Setup::default() }).await
}

async fn destinations(count: usize) -> Vec<Destination> {
    stream::iter(0..count).then(|_| async { Destination::start().await.unwrap() }).collect().await
}

/// Half of the jobs one by one, half in batches, over both gateways in turn.
async fn submit_all(clients: &[Client], jobs: &[Value]) {
    let (single, batched) = jobs.split_at(jobs.len() / 2);
    let one_by_one = stream::iter(single.iter().enumerate()).for_each_concurrent(AT_ONCE, async |(number, job)| {
        clients[number % clients.len()].submit(job).await;
    });
    let in_batches = stream::iter(batched.chunks(50).enumerate()).for_each(async |(number, jobs)| {
        let items = clients[number % clients.len()].batch(jobs).await;
        assert!(items.iter().all(|item| item["status"] == 202), "{items:#?}");
    });
    tokio::join!(one_by_one, in_batches);
}

async fn all_posted(hooks: &WebhookReceiver, jobs: usize) {
    let enough = |calls: &[sluice::scripted::Call]| calls.len() >= jobs;
    hooks.destination().wait_for(enough, 2 * DEADLINE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_jobs_are_called_once_each_within_every_rate_and_end_with_one_webhook_each() {
    let (destinations, hooks) = (destinations(DESTINATIONS).await, WebhookReceiver::start().await.unwrap());
    let shards = Configuration::default().set("topology.shards", 4).set("topology.record_buckets", 2);
    let limited = destinations.iter().fold(shards, |config, one| config.limit(one, RATE, 1));
    let system = two_of_each(limited).await;
    let clients: Vec<Client> = system.gateways.iter().map(|gateway| Client::new(gateway.http())).collect();
    let keys: Vec<String> = (0..DESTINATIONS * JOBS_EACH).map(|number| format!("job {number}")).collect();
    let job = |(number, key): (usize, &String)| {
        let url = destinations[number % DESTINATIONS].at("/v1/chat");
        json!({"url": url, "method": "POST", "body": {"n": number}, "idempotent_key": key, "webhooks": [{"url": hooks.url()}]})
    };
    let jobs: Vec<Value> = keys.iter().enumerate().map(job).collect();
    submit_all(&clients, &jobs).await;
    all_posted(&hooks, jobs.len()).await;
    system.broker.nothing_left().await;

    let mut called = Vec::new();
    for destination in &destinations {
        let calls = destination.all_calls();
        let moments: Vec<Instant> = calls.iter().map(|call| call.at).collect();
        let (worst, took) = (worst_second(&moments), span(&moments));
        assert!(worst <= 10 + TOLERANCE, "{worst} calls in a second");
        // At ten a second the fiftieth comes 4.9 s after the first.
        assert!(took >= Duration::from_millis(4_700), "{took:?}");
        called.extend(calls.iter().map(|call| call.header("idempotency-key").unwrap().to_owned()));
    }
    let expected = || keys.iter().map(String::as_str);
    assert_eq!(not_once(expected(), &counts(called)), Default::default());
    let posts = hooks.all_posts();
    let told = posts.iter().map(|post| post.payload["idempotent_key"].as_str().unwrap());
    assert_eq!(not_once(expected(), &counts(told)), Default::default());
    let ids: BTreeSet<&str> = posts.iter().map(|post| post.payload["job_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), jobs.len());
    assert!(posts.iter().all(|post| post.payload["status"] == "success"));
    stream::iter(&ids)
        .for_each_concurrent(AT_ONCE, async |id| {
            let job = clients[id.len() % 2].get(id).await;
            assert_eq!(job["outcome"]["status"], "success", "{job:#}");
        })
        .await;
    for process in system.gateways.iter().chain(&system.workers).chain(&system.deliveries) {
        assert_eq!(complaints(&process.said()), Vec::<&str>::new());
    }
    for worker in &system.workers {
        assert!(worker.counted("attempts_total").await >= 1.0, "one worker did everything");
    }
    for delivery in &system.deliveries {
        assert!(delivery.counted("webhooks_total").await >= 1.0, "one delivery did everything");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_keys_at_both_gateways_at_once_are_one_job_each() {
    let (destination, hooks) = (Destination::start().await.unwrap(), WebhookReceiver::start().await.unwrap());
    let system = two_of_each(Configuration::default()).await;
    let clients: Vec<Client> = system.gateways.iter().map(|gateway| Client::new(gateway.http())).collect();
    let keys: Vec<String> = (0..50).map(|number| format!("key {number}")).collect();
    let job =
        |key: &str| json!({"url": destination.at("/"), "idempotent_key": key, "webhooks": [{"url": hooks.url()}]});
    let twins = keys.iter().flat_map(|key| (0..4).map(move |twin| (key, twin)));
    let receipts: Vec<_> = stream::iter(twins)
        .map(async |(key, twin)| clients[twin % 2].insist(&job(key)).await)
        .buffer_unordered(2 * AT_ONCE)
        .collect()
        .await;
    all_posted(&hooks, keys.len()).await;
    system.broker.nothing_left().await;
    let first = receipts.iter().filter(|receipt| !receipt.duplicate);
    let expected = || keys.iter().map(String::as_str);
    assert_eq!(not_once(expected(), &counts(first.map(|receipt| receipt.idempotent_key.as_str()))), Default::default());
    let calls = destination.all_calls();
    let called = calls.iter().map(|call| call.header("idempotency-key").unwrap());
    assert_eq!(not_once(expected(), &counts(called)), Default::default());
    assert_eq!(hooks.all_posts().len(), keys.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_joins_takes_its_share_and_one_that_leaves_leaves_nothing_undone() {
    let (destination, hooks) = (Destination::start().await.unwrap(), WebhookReceiver::start().await.unwrap());
    let limited = Configuration::default().limit(&destination, 40.0, 1);
    let mut system = System::start(Setup { workers: 1, ..limited.into() }).await;
    let client = system.client();
    let jobs: Vec<Value> = (0..200)
        .map(|number| json!({"url": destination.at("/"), "idempotent_key": format!("{number}"), "webhooks": [{"url": hooks.url()}]}))
        .collect();
    client.batch(&jobs).await;
    destination.wait_for(|calls| calls.len() >= 20, DEADLINE).await.unwrap();
    system.add_worker().await;
    eventually("the new worker has sent something", async || {
        (system.workers[1].counted("attempts_total").await >= 1.0).then_some(())
    })
    .await;
    let ended = system.workers[0].stop().await;
    assert!(ended.success(), "{ended}");
    all_posted(&hooks, jobs.len()).await;
    system.broker.nothing_left().await;
    let calls = destination.all_calls();
    let called = counts(calls.iter().map(|call| call.header("idempotency-key").unwrap()));
    let keys: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    assert_eq!(not_once(keys.iter().map(String::as_str), &called), Default::default());
    let moments: Vec<Instant> = calls.iter().map(|call| call.at).collect();
    let worst = worst_second(&moments);
    assert!(worst <= 40 + 2 * TOLERANCE, "{worst} calls in a second");
}
