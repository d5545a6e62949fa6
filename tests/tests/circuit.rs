//! Destinations that do not work: they are left alone, their jobs lose nothing, and fallbacks do not wait for them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use sluice::scripted::{Destination, Script};
use sluice_tests::configuration::Configuration;
use sluice_tests::eventually;
use sluice_tests::scene::Scene;
use sluice_tests::system::Setup;

fn settings(failures: u32, pause: &str) -> Configuration {
    Configuration::default()
        .set("gate.rate", 200.0)
        .set("gate.circuit_failures", failures)
        .set("gate.circuit_pause", pause)
}

async fn two_workers(configuration: Configuration) -> Scene {
    Scene::with(Setup { workers: 2, configuration, ..Setup::default() }).await
}

/// The circuit of the scene's only queue, as operators see it.
async fn circuit(scene: &Scene) -> Option<Value> {
    let queues = scene.client.send(Method::GET, "/v1/queues", &[], None).await;
    let own = scene.destination.address().to_string();
    let queues = queues.body["queues"].as_array().unwrap();
    let queue = queues.iter().find(|queue| queue["destination"] == json!(own)).unwrap();
    queue["gates"][0].get("circuit").cloned()
}

#[tokio::test]
async fn a_destination_that_does_not_work_is_left_alone_and_its_jobs_succeed_when_it_works_again() {
    let scene = two_workers(settings(3, "1s")).await;
    scene.destination.on("/", Script::answer(503));
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(scene.submit("/", json!({})).await);
    }
    let open = eventually("an open circuit", async || circuit(&scene).await).await;
    assert_eq!((&open["state"], &open["status"]), (&json!("open"), &json!(503)), "{open}");
    let waits = async || {
        let job = scene.client.get(ids.last().unwrap()).await;
        (job["waiting"]["reason"] == "circuit_open").then_some(job)
    };
    let job = eventually("a job that waits for it", waits).await;
    assert_eq!(job["attempts"], 0, "{job:#}");
    // Long enough for a probe or two.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let while_broken = scene.destination.count();
    assert!(while_broken <= 20, "{while_broken} calls to a destination that does not work");
    scene.destination.on("/", Script::answer(200));
    for id in &ids {
        assert_eq!(scene.outcome(id).await["status"], "success");
    }
    assert_eq!(circuit(&scene).await, None, "it is closed again");
    scene.nothing_left().await;
}

#[tokio::test]
async fn fallbacks_of_jobs_that_wait_for_it_start_as_if_it_had_failed() {
    let scene = two_workers(settings(2, "30s")).await;
    let other = Destination::start().await.unwrap();
    scene.destination.on("/", Script::answer(503));
    let first = scene.submit("/", json!({"retry_policy": {"max_retries": 0}})).await;
    let second = scene.submit("/", json!({"retry_policy": {"max_retries": 0}})).await;
    let third = scene.submit("/", json!({"retry_policy": {"max_retries": 0}})).await;
    eventually("an open circuit", async || circuit(&scene).await).await;
    let calls = scene.destination.count();
    let fallback = |codes: &[u16]| json!({"fallback_job": {"url": other.at("/"), "trigger": {"type": "on_error", "codes": codes}}});
    let helped = scene.submit("/", fallback(&[429, 503])).await;
    let not_meant = scene.submit("/", fallback(&[500])).await;
    assert_eq!(scene.outcome(&helped).await["status"], "success");
    let helped = scene.client.get(&helped).await;
    assert_eq!(helped["branches"][0]["attempts"], 0, "its own request was not sent: {helped:#}");
    let waits = async || (scene.client.get(&not_meant).await["waiting"]["reason"] == "circuit_open").then_some(());
    eventually("the job without a fallback for that", waits).await;
    assert!(scene.destination.count() <= calls + 1, "calls went on");
    assert_eq!(other.count(), 1);
    for id in [first, second, third] {
        let job = scene.client.get(&id).await;
        assert!(job["status"] == "failed" || job["waiting"]["reason"] == "circuit_open", "{job:#}");
    }
}

#[tokio::test]
async fn a_destination_that_is_not_there_opens_it_too_and_none_opens_where_that_is_off() {
    let gone = "http://127.0.0.1:9/";
    for (failures, opens) in [(2, true), (0, false)] {
        let scene = two_workers(settings(failures, "30s")).await;
        let job = json!({"url": gone, "retry_policy": {"max_retries": 9}});
        for _ in 0..6 {
            scene.client.submit(&job).await;
        }
        let opened = async || {
            let queues = scene.client.send(Method::GET, "/v1/queues", &[], None).await.body;
            let gate = queues["queues"][0]["gates"][0].clone();
            let calls = queues["queues"][0].is_object();
            (calls && gate.get("circuit").is_some() == opens).then_some(gate)
        };
        let gate = eventually("the gate", opened).await;
        if opens {
            assert_eq!((&gate["circuit"]["state"], gate["circuit"].get("status")), (&json!("open"), None), "{gate}");
        } else {
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert!(opened().await.is_some(), "a circuit that is off has opened");
        }
    }
}
