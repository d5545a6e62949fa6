//! How many jobs of a key may be open: the count neither leaks nor forgets, whatever dies.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use sluice_shared::clock;
use sluice_shared::domain::access::{OpenJob, Quotas, Wish};
use sluice_shared::domain::id::JobId;
use sluice_shared::topology::Topology;
use sluice_tests::client::Client;
use sluice_tests::eventually;

use crate::rig::{Rig, later, problem, user};

const MOST: u32 = 3;

fn limited() -> Wish {
    Wish { quotas: Quotas { open_jobs: Some(MOST), ..Quotas::default() }, ..user("acme") }
}

/// Submits until one is taken, as a client does that was told to come again.
async fn insist(client: &Client, job: &Value) -> String {
    eventually("room for one more", async || {
        let answer = client.post(job).await;
        assert!(matches!(answer.status, 202 | 429), "{answer:#?}");
        (answer.status == 202).then(|| answer.body["job_id"].as_str().unwrap().to_owned())
    })
    .await
}

async fn fill(client: &Client, name: &str) -> Vec<String> {
    let jobs = (0..MOST).map(|number| later(&format!("{name}-{number}")));
    let jobs = join_all(jobs.map(|job| async move { client.submit(&job).await.job_id })).await;
    problem(&client.post(&later(&format!("{name}-more"))).await, 429, "over_quota");
    jobs
}

#[tokio::test]
async fn one_more_is_taken_when_one_has_ended_however_it_does() {
    let rig = Rig::start(2, 1).await;
    let key = rig.key(limited()).await.text;
    let (here, there) = (rig.at(0, &key), rig.at(1, &key));
    let jobs = fill(&here, "a").await;
    let refused = there.post(&later("b")).await;
    problem(&refused, 429, "over_quota");
    assert_eq!(refused.header("retry-after"), "1");
    // By a cancel at the gateway that did not take it, and by itself at once.
    there.cancel(&jobs[0]).await;
    let quick = json!({"url": rig.scene.destination.at("/ok"), "idempotent_key": "quick"});
    let quick = insist(&here, &quick).await;
    assert_eq!(here.wait(&quick).await["status"], "success");
    insist(&there, &later("c")).await;
    problem(&here.post(&later("d")).await, 429, "over_quota");
}

#[tokio::test]
async fn what_is_there_already_does_not_count_and_what_runs_again_does() {
    let rig = Rig::start(1, 1).await;
    let client = rig.client(limited()).await;
    let failing = json!({"url": "http://127.0.0.1:9/", "retry_policy": {"max_retries": 0}, "idempotent_key": "f"});
    let failed = client.submit(&failing).await.job_id;
    assert_eq!(client.wait(&failed).await["status"], "failed");
    let jobs = [later("a"), later("b"), later("c")];
    for job in &jobs {
        insist(&client, job).await;
    }
    for job in jobs.iter().chain([&failing]) {
        assert_eq!(client.post(job).await.status, 200);
    }
    let again = client.send(http::Method::POST, &format!("/v1/jobs/{failed}/retry"), &[], None).await;
    problem(&again, 429, "over_quota");
    let first = JobId::derive(&"acme".parse().unwrap(), "a");
    client.cancel(first.as_str()).await;
    eventually("room for it", async || {
        let again = client.send(http::Method::POST, &format!("/v1/jobs/{failed}/retry"), &[], None).await;
        (again.status == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_flood_gets_as_many_as_may_be_open_and_leaves_nothing_behind() {
    let rig = Rig::start(2, 0).await;
    let (one, two) = (rig.key(limited()).await.text, rig.key(limited()).await.text);
    let flood = async |clients: &[Client], name: &str| {
        let jobs = (0..60).map(|number| (clients[number % clients.len()].clone(), later(&format!("{name}-{number}"))));
        let answers = join_all(jobs.map(|(client, job)| async move { client.post(&job).await })).await;
        let taken = answers.into_iter().filter(|answer| answer.status == 202);
        taken.map(|answer| answer.body["job_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut jobs = flood(&[rig.at(0, &one)], "one").await;
    assert_eq!(jobs.len(), MOST as usize);
    let of_both = flood(&[rig.at(0, &two), rig.at(1, &two)], "two").await;
    assert_eq!(of_both.len(), MOST as usize);
    jobs.extend(of_both);
    for job in &jobs {
        rig.at(1, &one).cancel(job).await;
    }
    // What tells of removals is gone a little later too.
    let nats = rig.scene.system.broker.connect().await;
    let stream = Topology::stream_of(&nats.topology().open_bucket());
    eventually("an empty bucket", async || {
        let state = nats.jetstream().get_stream(&stream).await.unwrap().cached_info().state.clone();
        (state.messages == 0).then_some(())
    })
    .await;
}

/// A gateway has died after it had counted jobs, before it stored them.
#[tokio::test]
async fn what_was_counted_and_never_stored_does_not_count_for_long() {
    let rig = Rig::start(1, 0).await;
    let key = rig.key(limited()).await;
    let nats = rig.scene.system.broker.connect().await;
    let bucket = nats.bucket::<OpenJob>(&nats.topology().open_bucket());
    for number in 0..MOST {
        let at = clock::now().before(Duration::from_secs(if number == 0 { 120 } else { 0 }));
        bucket.create(&format!("{}.job_{number}", key.id), &OpenJob { at }).await.unwrap();
    }
    let client = rig.at(0, &key.text);
    insist(&client, &later("a")).await;
    // The others may be about to be stored.
    problem(&client.post(&later("b")).await, 429, "over_quota");
}

/// The gateway that took the jobs is killed, and their ends are announced while nobody listens.
#[tokio::test]
async fn the_ends_that_a_killed_gateway_has_missed_are_found() {
    let mut rig = Rig::start(2, 0).await;
    let key = rig.key(limited()).await.text;
    let jobs = fill(&rig.at(0, &key), "a").await;
    rig.scene.system.gateways[0].kill().await;
    let there = rig.at(1, &key);
    problem(&there.post(&later("b")).await, 429, "over_quota");
    for job in &jobs {
        there.cancel(job).await;
    }
    fill_again(&there).await;
    // One that starts finds the count as it is.
    rig.scene.system.gateways[0].restart().await;
    problem(&rig.at(0, &key).post(&later("z")).await, 429, "over_quota");
}

async fn fill_again(client: &Client) {
    for number in 0..MOST {
        insist(client, &later(&format!("again-{number}"))).await;
    }
    problem(&client.post(&later("again-more")).await, 429, "over_quota");
}
