//! In the midst of a flood: what is another's is not there, and counts for nobody else.

use http::Method;
use serde_json::{Value, json};
use sluice::scripted::Destination;
use sluice_shared::domain::access::Quotas;
use sluice_tests::configuration::Configuration;
use sluice_tests::scene::Scene;

use crate::rig::{Two, setup, submit_all};

#[tokio::test]
async fn nothing_of_a_flood_is_seen_followed_or_cancelled_by_another_tenant() {
    let destination = Destination::start().await.unwrap();
    let configuration = Configuration::default().limit(&destination, 20.0, 1);
    let two =
        Two::in_scene(Scene::at(destination, setup(configuration)).await, Quotas::default(), Quotas::default()).await;
    let flood =
        submit_all(&two.flood, (0..500).map(|n| two.job("/flood", json!({"account": format!("a{}", n % 5)})))).await;
    let own = two
        .quiet
        .submit(&two.job("/quiet", json!({"retry_at": sluice_shared::clock::now().0 + 3_600_000})))
        .await
        .job_id;
    for job in flood.iter().take(20) {
        for (method, path) in
            [(Method::GET, ""), (Method::GET, "/events"), (Method::POST, "/retry"), (Method::DELETE, "")]
        {
            let answer = two.quiet.send(method, &format!("/v1/jobs/{job}{path}"), &[], None).await;
            assert_eq!((answer.status, &answer.body["code"]), (404, &json!("no_such_job")), "{answer:#?}");
        }
    }
    let lists = async |path: &str| two.quiet.send(Method::GET, path, &[], None).await.body;
    let queues = lists("/v1/queues").await;
    let theirs = |list: &Value| list.to_string().contains("flood");
    assert!(!theirs(&queues), "{queues:#}");
    assert!(!theirs(&lists("/v1/dead-letters").await));
    // What the flood purges, pauses and cancels is its own.
    let shown = two.flood.send(Method::GET, "/v1/queues", &[], None).await.body;
    for queue in shown["queues"].as_array().unwrap() {
        let path = format!("/v1/queues/{}/purge", queue["queue"].as_str().unwrap());
        let purged = two.flood.send(Method::POST, &path, &[], None).await;
        assert!(purged.status == 200 || purged.status == 202, "{purged:#?}");
        assert_eq!(two.quiet.send(Method::POST, &path, &[], None).await.status, 404);
    }
    assert_eq!(two.quiet.get(&own).await["status"], "backing_off");
    two.asks("/asked", json!({})).await;
}

#[tokio::test]
async fn what_one_tenant_submits_counts_against_no_quota_of_another() {
    let scene = Scene::with(setup(Configuration::default())).await;
    let flood = Quotas { jobs_per_second: Some(10), jobs_per_day: Some(100), open_jobs: Some(50), ..Quotas::default() };
    let quiet = Quotas { jobs_per_day: Some(10), open_jobs: Some(10), ..Quotas::default() };
    let two = Two::in_scene(scene, flood, quiet).await;
    let later = |number: usize| {
        two.job(
            "/later",
            json!({"idempotent_key": number.to_string(), "retry_at": sluice_shared::clock::now().0 + 3_600_000}),
        )
    };
    let flooding = futures_util::future::join_all((0..400).map(|number| {
        let (client, job) = (&two.flood, later(number));
        async move { client.post(&job).await.status }
    }));
    let asking = async {
        let mut taken = Vec::new();
        for number in 0..10 {
            taken.push(two.quiet.post(&later(number)).await.status);
        }
        taken
    };
    let (flooded, taken) = tokio::join!(flooding, asking);
    assert_eq!(taken, [202; 10], "all that the quiet tenant may have");
    assert_eq!(two.quiet.post(&later(10)).await.status, 429);
    let of_flood = flooded.iter().filter(|status| **status == 202).count();
    assert!(of_flood <= 50 && flooded.iter().all(|status| [202, 429].contains(status)), "{of_flood}");
}
