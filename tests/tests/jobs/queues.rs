//! What an operator does to a queue, as its destination, its jobs and its workers see it.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use sluice::scripted::{Call, Destination as Scripted, Script};
use sluice_shared::domain::id::{Destination, QueueName, Tenant};
use sluice_tests::check::{most_at_once, span};
use sluice_tests::configuration::Configuration;
use sluice_tests::eventually;
use sluice_tests::scene::Scene;
use sluice_tests::system::Setup;

/// Within this all workers know what an operator wants.
const KNOWN: Duration = Duration::from_secs(1);
/// For so long nothing is sent, where nothing may be.
const SILENCE: Duration = Duration::from_secs(2);

async fn two_workers(configuration: Configuration) -> Scene {
    Scene::with(Setup { workers: 2, configuration, ..Setup::default() }).await
}

/// The path of the queue to a destination.
fn path(destination: &Scripted, rest: &str) -> String {
    let to = Destination::of(&destination.at("/").parse().unwrap()).unwrap();
    format!("/v1/queues/{}{rest}", QueueName::of(&Tenant::default(), &to, None))
}

async fn operate(scene: &Scene, method: Method, rest: &str, body: Option<Value>) -> Value {
    let body = body.map(|body| body.to_string().into());
    let answer = scene.client.send(method, &path(&scene.destination, rest), &[], body).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    answer.body
}

async fn shown(scene: &Scene) -> Value {
    operate(scene, Method::GET, "", None).await
}

/// Submits a job whose queue is to be there, and waits until it has been sent.
async fn open_queue(scene: &Scene) {
    scene.destination.on("/first", Script::answer(200));
    scene.run("/first", json!({})).await;
}

async fn submit_all(scene: &Scene, jobs: usize, fields: &Value) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..jobs {
        ids.push(scene.submit("/", fields.clone()).await);
    }
    ids
}

async fn all_end(scene: &Scene, ids: &[String], status: &str) {
    for id in ids {
        let payload = scene.outcome(id).await;
        assert_eq!(payload["status"], status, "{payload:#}");
    }
}

/// Waits until a job waits for this.
async fn waits_for(scene: &Scene, id: &str, reason: &str) -> Value {
    eventually(&format!("a job that waits for {reason}"), async || {
        let waiting = scene.client.get(id).await["waiting"].clone();
        (waiting["reason"] == reason).then_some(waiting)
    })
    .await
}

#[tokio::test]
async fn a_paused_queue_sends_nothing_though_workers_come_and_go_and_all_of_it_when_it_is_resumed() {
    let mut scene = two_workers(Configuration::default()).await;
    scene.destination.on("/", Script::answer(200));
    open_queue(&scene).await;
    operate(&scene, Method::POST, "/pause", None).await;
    tokio::time::sleep(KNOWN).await;
    let ids = submit_all(&scene, 10, &json!({})).await;
    let waiting = waits_for(&scene, &ids[9], "paused").await;
    assert_eq!((&waiting["position"], waiting.get("expected_at")), (&json!(10), None), "{waiting}");
    scene.system.workers[0].kill().await;
    scene.system.add_worker().await;
    tokio::time::sleep(SILENCE).await;
    assert_eq!(scene.destination.calls("/").len(), 0);
    let queue = shown(&scene).await;
    assert_eq!((&queue["state"], &queue["depth"], &queue["in_flight"]), (&json!("paused"), &json!(10), &json!(0)));
    operate(&scene, Method::POST, "/resume", None).await;
    all_end(&scene, &ids, "success").await;
    assert_eq!(scene.destination.calls("/").len(), 10);
}

#[tokio::test]
async fn a_pause_stops_what_waits_for_its_slot_and_lets_what_is_on_the_wire_end() {
    let destination = Scripted::start().await.unwrap();
    let configuration = Configuration::default().limit(&destination, 0.4, 2);
    let scene = Scene::at(destination, Setup { workers: 2, configuration, ..Setup::default() }).await;
    scene.destination.on("/", Script::answer(200).after(Duration::from_millis(1_500)));
    let ids = submit_all(&scene, 12, &json!({})).await;
    // The next ones are in the hands of workers, which wait two seconds and a half for their slots.
    scene.calls("/", 2).await;
    operate(&scene, Method::POST, "/pause", None).await;
    tokio::time::sleep(KNOWN + SILENCE * 2).await;
    let calls = scene.destination.calls("/");
    assert_eq!(calls.len(), 2);
    assert!(calls.iter().all(|call| call.status == Some(200)), "{calls:#?}");
    let queue = shown(&scene).await;
    assert_eq!(queue["depth"].as_u64().unwrap() + queue["in_flight"].as_u64().unwrap(), 10, "{queue}");
    operate(&scene, Method::PATCH, "", Some(json!({"rate": 100}))).await;
    operate(&scene, Method::POST, "/resume", None).await;
    all_end(&scene, &ids, "success").await;
    assert_eq!(scene.destination.calls("/").len(), ids.len());
}

#[tokio::test]
async fn deadlines_and_fallbacks_go_on_while_a_queue_is_paused() {
    let scene = Scene::start().await;
    let other = Scripted::start().await.unwrap();
    other.on("/", Script::answer(200));
    open_queue(&scene).await;
    operate(&scene, Method::POST, "/pause", None).await;
    tokio::time::sleep(KNOWN).await;
    let late = scene.submit("/", json!({"deadline_ms": 500})).await;
    let fallback = json!({"url": other.at("/"), "trigger": {"type": "on_timeout", "timeout_ms": 300}});
    let raced = scene.submit("/", json!({"fallback_job": fallback})).await;
    let late = scene.outcome(&late).await;
    assert_eq!((&late["status"], &late["reason"]), (&json!("failed"), &json!("deadline")), "{late:#}");
    let raced = scene.outcome(&raced).await;
    assert_eq!((&raced["status"], &raced["winner"]), (&json!("success"), &json!(1)), "{raced:#}");
    assert_eq!(scene.destination.calls("/").len(), 0);
}

#[tokio::test]
async fn a_faster_rate_that_an_operator_sets_counts_for_all_workers_at_once() {
    let scene = two_workers(Configuration::default().set("gate.rate", 0.01).set("gate.burst", 1)).await;
    scene.destination.on("/", Script::answer(200));
    let ids = submit_all(&scene, 40, &json!({})).await;
    scene.calls("/", 1).await;
    let changed = operate(&scene, Method::PATCH, "", Some(json!({"rate": 50}))).await;
    assert_eq!(changed["gates"][0]["rate"], json!({"value": 50.0, "source": "operator"}));
    all_end(&scene, &ids, "success").await;
    let calls = scene.destination.look(|calls| calls.iter().map(|call| call.at).collect::<Vec<_>>());
    assert!(span(&calls[1..]) >= Duration::from_millis(700), "{:?}", span(&calls[1..]));
}

#[tokio::test]
async fn an_operators_limits_hold_on_all_workers_whatever_the_destination_announces() {
    let scene = two_workers(Configuration::default()).await;
    let announced = || Script::answer(200).header("x-ezthrottle-rps", 1000).header("x-ezthrottle-max-concurrent", 50);
    scene.destination.on("/first", announced());
    scene.destination.on("/", announced().after(Duration::from_millis(300)));
    scene.run("/first", json!({})).await;
    operate(&scene, Method::PATCH, "", Some(json!({"rate": 10, "burst": 1, "concurrency": 2}))).await;
    tokio::time::sleep(KNOWN).await;
    let ids = submit_all(&scene, 20, &json!({})).await;
    all_end(&scene, &ids, "success").await;
    let calls = scene.destination.calls("/");
    let in_flight: Vec<_> = calls.iter().filter_map(|call: &Call| Some((call.at, call.answered_at?))).collect();
    assert_eq!((in_flight.len(), most_at_once(&in_flight)), (20, 2));
    let began: Vec<_> = calls.iter().map(|call| call.at).collect();
    assert!(span(&began) >= Duration::from_millis(1_800), "{:?}", span(&began));
    let gate = shown(&scene).await["gates"][0].clone();
    assert_eq!(gate["concurrency"], json!({"value": 2, "source": "operator"}));
    operate(&scene, Method::PATCH, "", Some(json!({"rate": null, "burst": null, "concurrency": null}))).await;
    let gate = shown(&scene).await["gates"][0].clone();
    assert_eq!(gate["concurrency"], json!({"value": 50, "source": "learned"}));
}

#[tokio::test]
async fn more_calls_at_once_are_let_through_while_those_that_fill_the_gate_go_on() {
    let scene = Scene::with(Configuration::default().set("gate.concurrency", 1)).await;
    scene.destination.on("/", Script::answer(200).after(Duration::from_secs(5)));
    let ids = submit_all(&scene, 4, &json!({})).await;
    scene.calls("/", 1).await;
    waits_for(&scene, &ids[3], "concurrency").await;
    operate(&scene, Method::PATCH, "", Some(json!({"concurrency": 10}))).await;
    scene.calls("/", 4).await;
    all_end(&scene, &ids, "success").await;
    let calls = scene.destination.calls("/");
    let in_flight: Vec<_> = calls.iter().filter_map(|call| Some((call.at, call.answered_at?))).collect();
    assert!(most_at_once(&in_flight) > 1, "{calls:#?}");
}

#[tokio::test]
async fn a_purge_tells_the_webhooks_and_leaves_what_is_on_the_wire() {
    let scene = Scene::with(Configuration::default().set("gate.concurrency", 1)).await;
    scene.destination.on("/", Script::answer(200).after(Duration::from_secs(3)));
    let ids = submit_all(&scene, 6, &json!({})).await;
    scene.calls("/", 1).await;
    let on_the_wire = eventually("a job that runs", async || {
        for id in &ids {
            if scene.client.get(id).await["status"] == "running" {
                return Some(id.clone());
            }
        }
        None
    })
    .await;
    let purged = operate(&scene, Method::POST, "/purge", None).await;
    assert_eq!(purged, json!({"cancelled": 5, "kept": 1, "more": false}));
    for id in &ids {
        let expected = if *id == on_the_wire { "success" } else { "cancelled" };
        assert_eq!(scene.outcome(id).await["status"], expected);
    }
    scene.nothing_left().await;
    assert_eq!(scene.destination.count(), 1);
    assert_eq!(scene.hooks.all_posts().len(), ids.len());
}
