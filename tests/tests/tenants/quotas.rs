//! The quotas of a tenant: for all that enters for it, over HTTP and NATS, and for its follow-ups, which are never refused.

use async_nats::jetstream;
use serde_json::{Value, json};
use sluice::scripted::Script;
use sluice_shared::clock;
use sluice_shared::domain::access::{OpenJob, OpenName, Quotas};
use sluice_shared::domain::id::{JobId, KeyId};
use sluice_tests::client::Client;
use sluice_tests::configuration::Configuration;
use sluice_tests::eventually;
use sluice_tests::scene::Scene;

use crate::rig::{Two, key, setup};

fn later(number: usize) -> Value {
    json!({"url": "http://a.example/", "idempotent_key": format!("k{number}"), "retry_at": clock::now().0 + 3_600_000})
}

async fn two(quota: &str, most: u64) -> Two {
    let configuration = Configuration::default().set(&format!("quotas.tenants.flood.{quota}"), most);
    let scene = Scene::with(setup(configuration)).await;
    Two::in_scene(scene, Quotas::default(), Quotas::default()).await
}

/// Submits over NATS for a tenant; the answer.
async fn asked(two: &Two, tenant: &str, job: &Value) -> Value {
    let (broker, nats) = (&two.scene.system.broker, two.scene.system.broker.connect().await);
    let subject = broker.topology().api("submit", Some(tenant));
    let answer = nats.client().request(subject, job.to_string().into()).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

/// Stores a submission for the flooding tenant.
async fn stored(two: &Two, job: &Value) {
    let (broker, nats) = (&two.scene.system.broker, two.scene.system.broker.connect().await);
    let subject = broker.topology().submit(Some(&"flood".parse().unwrap()));
    let jetstream = jetstream::new(nats.client().clone());
    jetstream.publish(subject, job.to_string().into()).await.unwrap().await.unwrap();
}

/// The job of the flooding tenant of this number.
fn id(number: usize) -> JobId {
    JobId::derive(&"flood".parse().unwrap(), &format!("k{number}"))
}

async fn is_there(client: &Client, number: usize) -> bool {
    client.look(id(number).as_str(), "").await.status == 200
}

#[tokio::test]
async fn the_quota_of_a_tenant_counts_whatever_comes_in_for_it_by_every_door() {
    let two = two("jobs_per_day", 9).await;
    let another_key = key(&two.scene, "flood", Quotas::default()).await;
    let mut taken = 0;
    for number in 0..5 {
        let by_http = [&two.flood, &another_key][number % 2].post(&later(number)).await;
        let by_nats = asked(&two, "flood", &later(100 + number)).await;
        taken += usize::from(by_http.status == 202) + usize::from(by_nats["status"] == "backing_off");
    }
    assert_eq!(taken, 9);
    assert_eq!(asked(&two, "flood", &later(200)).await["code"], "over_quota");
    let refused = two.flood.post(&later(201)).await;
    assert_eq!((refused.status, refused.header("ratelimit-policy")), (429, r#""day";q=9;w=86400"#));
    // What is there already is answered over the quota too, and nobody else's jobs count.
    assert_eq!(two.flood.post(&later(0)).await.status, 200);
    assert_eq!(asked(&two, "flood", &later(100)).await["duplicate"], true);
    for number in 0..12 {
        assert_eq!(two.quiet.post(&later(number)).await.status, 202);
    }
    assert_eq!(asked(&two, "quiet", &later(100)).await["status"], "backing_off");
}

#[tokio::test]
async fn a_stored_submission_waits_for_its_turn_where_too_many_jobs_are_open() {
    let two = two("open_jobs", 2).await;
    for number in 0..3 {
        stored(&two, &later(number)).await;
    }
    let known = async || {
        let mut known = Vec::new();
        for number in 0..3 {
            known.push(is_there(&two.flood, number).await);
        }
        known
    };
    eventually("two of three", async || (known().await.iter().filter(|is| **is).count() == 2).then_some(())).await;
    // As soon as one has ended there is room for the one that waits.
    let ended = known().await.iter().position(|is| *is).unwrap();
    assert_eq!(two.flood.cancel(id(ended).as_str()).await.status, 200);
    eventually("the third", async || known().await.iter().all(|is| *is).then_some(())).await;
    assert!(two.scene.system.broker.dead_letters("submission", 0).await.is_empty());
}

#[tokio::test]
async fn a_stored_submission_beyond_the_day_is_a_dead_letter_that_its_webhooks_are_told_of() {
    let two = two("jobs_per_day", 1).await;
    stored(&two, &later(0)).await;
    eventually("the first", async || is_there(&two.flood, 0).await.then_some(())).await;
    let mut refused = later(1);
    refused["webhooks"] = json!([{"url": two.scene.hooks.url()}]);
    stored(&two, &refused).await;
    let letters = two.scene.system.broker.dead_letters("submission", 1).await;
    assert_eq!(letters.len(), 1);
    eventually("a webhook that is told", async || {
        let told = two.scene.hooks.all_posts();
        told.iter().any(|post| post.payload["reason"] == "refused").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_follow_up_counts_as_open_and_is_never_refused() {
    let two = two("open_jobs", 1).await;
    two.scene.destination.on("/follows", [Script::hang()]);
    let follow_up = json!({"url": two.scene.destination.at("/follows"), "retry_policy": {"max_retries": 0}});
    let first = two.flood.submit(&two.job("/first", json!({"on_success": follow_up}))).await.job_id;
    assert_eq!(two.flood.wait(&first).await["status"], "success");
    let calls = two.scene.calls("/follows", 1).await;
    assert_eq!(calls.len(), 1, "the follow-up runs");
    // The first has ended and does not count any more; the follow-up has not.
    let nats = two.scene.system.broker.connect().await;
    let open = nats.bucket::<OpenJob>(&nats.topology().open_bucket());
    let entry = OpenName { key: KeyId::of_tenant(&"flood".parse().unwrap()), job: first.parse().unwrap() };
    eventually("the first closed", async || {
        two.flood.post(&later(0)).await;
        open.get(&entry.to_string()).await.unwrap().is_none().then_some(())
    })
    .await;
    for number in 0..3 {
        let answer = two.flood.post(&later(number)).await;
        assert_eq!((answer.status, &answer.body["code"]), (429, &json!("over_quota")), "{answer:#?}");
    }
    assert_eq!(two.quiet.post(&later(0)).await.status, 202);
    two.scene.destination.stop();
    eventually("room again", async || (two.flood.post(&later(9)).await.status == 202).then_some(())).await;
}
