//! Submissions until there is no room for more, under roles at work, and what becomes of those that were taken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use sluice::scripted::{Rule, Script};
use sluice_tests::broker::{TestBroker, small};
use sluice_tests::check::{counts, not_once};
use sluice_tests::configuration::Configuration;
use sluice_tests::scene::Scene;
use sluice_tests::{DEADLINE, eventually};

/// What the server may store, in bytes.
const STORE: u64 = 8 << 20;
/// More jobs of this size than it has room for.
const JOBS: usize = 4_000;
const BODY: usize = 6_000;

/// A destination that refuses all calls for now, until it is told to answer them, with so many bytes.
fn closed_until(open: &Arc<AtomicBool>, bytes: u64) -> Rule {
    let open = Arc::clone(open);
    Rule::choose(move |_, _| match open.load(Ordering::Acquire) {
        true => Script::answer(200).filled(bytes),
        false => Script::answer(429).header("retry-after", 1),
    })
}

fn job(scene: &Scene, number: usize) -> Value {
    let body = "b".repeat(BODY);
    scene.job("/", json!({"method": "POST", "body": body, "idempotent_key": format!("job {number}")}))
}

#[tokio::test]
async fn a_store_that_fills_up_refuses_jobs_in_time_ends_all_it_has_taken_and_takes_new_ones_again() {
    let broker = TestBroker::holding(small(), Some(STORE)).await;
    let settings = Configuration::default().set("gateway.storage_limit", STORE);
    let scene = Scene::on(broker, settings).await;
    let open = Arc::new(AtomicBool::new(false));
    scene.destination.on("/", closed_until(&open, 0));

    let scene = &scene;
    let (full, mut taken) = (&AtomicBool::new(false), Vec::new());
    let jobs = (0..JOBS).take_while(|_| !full.load(Ordering::Acquire)).map(|number| job(scene, number));
    let mut answers = stream::iter(jobs.map(|job| async move { scene.client.post(&job).await })).buffered(8);
    while let Some(answer) = answers.next().await {
        match answer.status {
            202 => taken.push(answer.body["job_id"].as_str().unwrap().to_owned()),
            _ => {
                assert_eq!((answer.status, &answer.body["code"]), (503, &json!("storage_full")), "{answer:#?}");
                assert!(!answer.header("retry-after").is_empty(), "{answer:#?}");
                full.store(true, Ordering::Release);
            }
        }
    }
    assert!(full.load(Ordering::Acquire) && taken.len() > 100, "{} jobs were taken", taken.len());

    open.store(true, Ordering::Release);
    all_ended_once(scene, &taken).await;
    let again = eventually("a job that is taken again", async || {
        Some(scene.client.post(&job(scene, JOBS)).await).filter(|answer| answer.status == 202)
    })
    .await;
    let job = again.body["job_id"].as_str().unwrap();
    assert_eq!(scene.outcome(job).await["status"], "success");
}

/// All of these ended well, each with one call and one webhook.
async fn all_ended_once(scene: &Scene, taken: &[String]) {
    for job in taken {
        let post = scene.hooks.wait_for_job(job, DEADLINE * 3).await;
        assert_eq!(post.unwrap_or_else(|_| panic!("no webhook of {job}")).payload["status"], "success");
    }
    scene.nothing_left().await;
    let posts = scene.hooks.all_posts();
    let jobs = posts.iter().map(|post| post.payload["job_id"].as_str().unwrap());
    assert_eq!(not_once(taken.iter().map(String::as_str), &counts(jobs)), BTreeMap::new());
    let done = scene.destination.look(|calls| calls.iter().filter(|call| call.status == Some(200)).count());
    assert_eq!(done, taken.len(), "calls were repeated");
}

#[tokio::test]
async fn outcomes_that_outgrow_the_store_wait_until_older_ones_are_forgotten_and_none_is_lost() {
    let broker = TestBroker::holding(small(), Some(STORE)).await;
    let settings = Configuration::default().set("gateway.storage_limit", STORE).set("records.settled_ttl", "1m");
    let scene = Scene::on(broker, settings).await;
    let open = Arc::new(AtomicBool::new(false));
    scene.destination.on("/", closed_until(&open, 60_000));
    let mut taken = Vec::new();
    for _ in 0..250 {
        taken.push(scene.submit("/", json!({})).await);
    }
    open.store(true, Ordering::Release);
    all_ended_once(&scene, &taken).await;
}
