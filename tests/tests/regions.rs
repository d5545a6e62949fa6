//! Regions: workers of several on one NATS, and jobs that prefer one, are only for one, move, race over them, or need all.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use sluice::scripted::Script;
use sluice_tests::configuration::Configuration;
use sluice_tests::scene::Scene;
use sluice_tests::system::Setup;
use tokio::time::{Instant, sleep};

/// How long a region counts as alive after the last sign of its workers.
const ALIVE: Duration = Duration::from_secs(3);

/// A worker for each of these regions, one after the other as they are in `system.workers`.
async fn scene(regions: &'static [&'static str]) -> Scene {
    let configuration = Configuration::default().set("worker.region_timeout", "3s").set("worker.ack_wait", "15s");
    let scene = Scene::with(Setup { workers: regions.len(), regions, ..Setup::from(configuration) }).await;
    // Everybody knows of all of them.
    sleep(Duration::from_millis(500)).await;
    scene
}

/// Where each branch of a job got its last answer.
fn regions_of(job: &Value) -> Vec<&str> {
    let branches = job["branches"].as_array().unwrap().iter();
    branches.map(|branch| branch["last"]["region"].as_str().unwrap_or_default()).collect()
}

/// Waits until a job says that it waits for this.
async fn waits_for(scene: &Scene, id: &str, reason: &str) -> Value {
    let until = Instant::now() + sluice_tests::DEADLINE;
    loop {
        let job = scene.client.get(id).await;
        if job["waiting"]["reason"] == reason {
            return job;
        }
        assert!(Instant::now() < until, "does not wait for {reason}: {job:#}");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_job_runs_in_the_first_of_its_regions_that_has_workers() {
    let scene = scene(&["eu", "us", ""]).await;
    for (wanted, region) in [(["us", "eu"], "us"), (["eu", "us"], "eu"), (["ap", "eu"], "eu")] {
        for number in 0..4 {
            let path = format!("/{}-{number}", wanted.join("-"));
            let id = scene.submit(&path, json!({"regions": wanted})).await;
            let job = scene.client.wait(&id).await;
            assert_eq!((&job["status"], regions_of(&job)), (&json!("success"), vec![region]), "{job:#}");
            assert_eq!(job["branches"][0]["regions"], json!(wanted));
            assert_eq!(scene.destination.calls(&path).len(), 1);
        }
    }
    scene.nothing_left().await;
}

#[tokio::test]
async fn where_the_workers_of_a_region_die_others_take_what_only_prefers_it() {
    let mut scene = scene(&["eu", "us"]).await;
    let here = scene.submit("/here", json!({"regions": ["eu"]})).await;
    assert_eq!(regions_of(&scene.client.wait(&here).await), ["eu"]);
    scene.system.workers[0].kill().await;
    let id = scene.submit("/there", json!({"regions": ["eu"]})).await;
    let job = scene.client.wait(&id).await;
    assert_eq!((&job["status"], regions_of(&job)), (&json!("success"), vec!["us"]), "{job:#}");
    // Once they are back it is theirs again.
    scene.system.workers[0].restart().await;
    sleep(Duration::from_millis(500)).await;
    let back = scene.submit("/back", json!({"regions": ["eu"]})).await;
    assert_eq!(regions_of(&scene.client.wait(&back).await), ["eu"]);
}

#[tokio::test]
async fn what_is_only_for_a_region_without_workers_waits_says_so_and_ends_by_its_deadline() {
    let mut scene = scene(&["eu", "us"]).await;
    scene.system.workers[0].kill().await;
    sleep(ALIVE).await;
    let strict = |more: Value| {
        let mut job = json!({"regions": ["eu"], "region_policy": "strict"});
        job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        job
    };
    let waits = scene.submit("/waits", strict(json!({}))).await;
    let ends = scene.submit("/ends", strict(json!({"deadline_ms": 1500}))).await;
    let job = waits_for(&scene, &waits, "no_region").await;
    assert_eq!((&job["status"], &job["waiting"]["position"]), (&json!("queued"), &json!(1)));
    assert_eq!(scene.outcome(&ends).await["reason"], "deadline");
    assert_eq!(scene.destination.count(), 0);
    scene.system.workers[0].restart().await;
    let job = scene.client.wait(&waits).await;
    assert_eq!((&job["status"], regions_of(&job)), (&json!("success"), vec!["eu"]));
    scene.nothing_left().await;
    assert_eq!(scene.destination.count(), 1);
}

#[tokio::test]
async fn a_code_moves_a_job_to_another_region_and_uses_up_no_retry() {
    let scene = scene(&["eu", "us"]).await;
    scene.destination.on("/moves", [Script::answer(503), Script::answer(200).body("ok")]);
    let policy = json!({"max_retries": 0, "reroute_codes": [503]});
    let id = scene.submit("/moves", json!({"regions": ["eu", "us"], "retry_policy": policy, "method": "POST"})).await;
    let outcome = scene.outcome(&id).await;
    assert_eq!((&outcome["status"], &outcome["winner"]), (&json!("success"), &json!(1)), "{outcome:#}");
    let job = scene.client.get(&id).await;
    assert_eq!(regions_of(&job), ["eu", "us"], "{job:#}");
    let moved = &job["branches"];
    assert_eq!((&moved[0]["status"], &moved[1]["status"]), (&json!("moved"), &json!("won")));
    assert_eq!(moved[1]["parent"], 0);
    // To its destination it is the same call.
    let calls = scene.destination.calls("/moves");
    let keys: BTreeSet<_> = calls.iter().map(|call| call.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!((calls.len(), keys.len()), (2, 1));
    scene.nothing_left().await;
}

#[tokio::test]
async fn a_job_moves_as_often_as_it_may_and_nowhere_its_policy_forbids() {
    let scene = scene(&["eu", "us", "ap"]).await;
    let run = async |path: &str, more: Value| {
        scene.destination.on(path, Script::answer(503).body("no"));
        let id = scene.submit(path, more).await;
        assert_eq!(scene.outcome(&id).await["reason"], "exhausted");
        scene.client.get(&id).await
    };
    let policy = |most: u32| json!({"max_retries": 0, "reroute_codes": [503], "max_reroutes": most});
    let job = run("/once", json!({"regions": ["eu", "us", "ap"], "retry_policy": policy(1)})).await;
    assert_eq!(regions_of(&job), ["eu", "us"]);
    let strict = json!({"regions": ["us"], "region_policy": "strict", "retry_policy": policy(5)});
    assert_eq!(regions_of(&run("/strict", strict).await), ["us"]);
    let job = run("/anywhere", json!({"regions": ["us"], "retry_policy": policy(5)})).await;
    assert_eq!(regions_of(&job), ["us", "ap", "eu"]);
    scene.nothing_left().await;
}

#[tokio::test]
async fn a_race_over_regions_calls_once_in_each_and_drops_the_losers() {
    let scene = scene(&["eu", "us", "ap"]).await;
    let slow = Script::answer(200).after(Duration::from_secs(30));
    scene.destination.on("/race", [slow.clone(), slow, Script::answer(200).after(Duration::from_secs(1)).body("won")]);
    let id = scene.submit("/race", json!({"regions": ["eu", "us", "ap"], "execution_mode": "race"})).await;
    let outcome = scene.outcome(&id).await;
    assert_eq!((&outcome["status"], &outcome["response"]["body"]), (&json!("success"), &json!("won")), "{outcome:#}");
    scene.nothing_left().await;
    let job = scene.client.get(&id).await;
    let statuses: Vec<_> = job["branches"].as_array().unwrap().iter().map(|one| one["status"].clone()).collect();
    let winner = usize::try_from(outcome["winner"].as_u64().unwrap()).unwrap();
    assert_eq!(regions_of(&job)[winner], ["eu", "us", "ap"][winner]);
    assert_eq!(statuses.iter().filter(|status| **status == "cancelled").count(), 2, "{statuses:?}");
    let calls = scene.destination.calls("/race");
    let keys: BTreeSet<_> = calls.iter().map(|call| call.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!((calls.len(), keys.len(), calls.iter().filter(|call| call.is_open()).count()), (3, 3, 0));
    assert_eq!(scene.hooks.posts(&id).len(), 1);
}

#[tokio::test]
async fn a_fanout_succeeds_once_every_region_has_and_tells_all_their_answers() {
    let scene = scene(&["eu", "us"]).await;
    let body = "x".repeat(20_000);
    let answer = |number: u64, status| Script::answer(status).body(format!("{number}{body}"));
    scene.destination.on("/all", [answer(1, 500), answer(2, 201), answer(3, 200)]);
    let more = json!({"regions": ["eu", "us"], "execution_mode": "fanout", "region_policy": "strict", "method": "POST",
        "body": "y".repeat(20_000)});
    let id = scene.submit("/all", more).await;
    let outcome = scene.outcome(&id).await;
    assert_eq!((&outcome["status"], &outcome["winner"]), (&json!("success"), &Value::Null), "{outcome:#}");
    let branches = outcome["branches"].as_array().unwrap();
    let regions: Vec<_> = branches.iter().map(|one| one["region"].as_str().unwrap()).collect();
    assert_eq!(regions, ["eu", "us"]);
    let codes: BTreeSet<_> = branches.iter().map(|one| one["response"]["status_code"].as_u64().unwrap()).collect();
    assert_eq!(codes, BTreeSet::from([200, 201]));
    assert!(branches.iter().all(|one| one["response"]["body"].as_str().unwrap().len() == 20_001));
    assert_eq!(outcome["response"], branches[0]["response"]);
    scene.nothing_left().await;
    let job = scene.client.get(&id).await;
    assert_eq!(job["outcome"]["branches"], outcome["branches"]);
    assert!(job["branches"].as_array().unwrap().iter().all(|one| one["status"] == "succeeded"), "{job:#}");
    let calls = scene.destination.calls("/all");
    assert!(calls.len() == 3 && calls.iter().all(|call| call.body.len() == 20_000));
    assert_eq!(scene.hooks.posts(&id).len(), 1);
}

#[tokio::test]
async fn a_fanout_fails_with_the_first_region_that_has_no_attempt_left() {
    let scene = scene(&["eu", "us"]).await;
    scene.destination.on("/one", [Script::answer(404).body("no"), Script::answer(200).after(Duration::from_secs(30))]);
    let id = scene.submit("/one", json!({"regions": ["eu", "us"], "execution_mode": "fanout"})).await;
    let outcome = scene.outcome(&id).await;
    assert_eq!((&outcome["status"], &outcome["reason"]), (&json!("failed"), &json!("exhausted")), "{outcome:#}");
    assert_eq!(outcome["response"]["status_code"], 404);
    scene.nothing_left().await;
    assert!(scene.destination.calls("/one").iter().all(|call| !call.is_open()));
    // It runs again in both of them.
    scene.destination.on("/one", Script::answer(200));
    let again = scene.client.send(http::Method::POST, &format!("/v1/jobs/{id}/retry"), &[], None).await;
    assert_eq!(again.status, 202, "{again:#?}");
    let job = scene.client.wait(&id).await;
    assert_eq!((&job["status"], regions_of(&job)), (&json!("success"), vec!["eu", "us"]), "{job:#}");
}

#[tokio::test]
async fn a_fanout_goes_on_over_the_death_of_a_worker() {
    let mut scene = scene(&["eu", "us"]).await;
    let slow = Script::answer(200).after(Duration::from_secs(2));
    scene.destination.on("/death", [slow.clone(), slow, Script::answer(200).body("again")]);
    let id = scene.submit("/death", json!({"regions": ["eu", "us"], "execution_mode": "fanout"})).await;
    scene.calls("/death", 2).await;
    scene.system.workers[0].kill().await;
    let outcome = scene.outcome(&id).await;
    assert_eq!(outcome["status"], "success", "{outcome:#}");
    let branches = outcome["branches"].as_array().unwrap();
    let regions: Vec<_> = branches.iter().map(|one| one["region"].as_str().unwrap()).collect();
    // The first region's call went on elsewhere, for it is only preferred.
    assert_eq!(regions, ["us", "us"]);
    assert_eq!((scene.destination.calls("/death").len(), scene.hooks.posts(&id).len()), (3, 1));
    scene.nothing_left().await;
}
