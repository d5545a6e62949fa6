//! `GET /v1/jobs/{id}?wait=…`: long polls.

use std::time::Duration;

use serde_json::{Value, json};
use sluice_shared::domain::id::JobId;
use tokio::time::Instant;

use crate::rig::{Rig, job};

async fn wait(rig: &Rig, job: &JobId, how_long: &str) -> Value {
    let answer = rig.gateway.get(&format!("/v1/jobs/{job}?wait={how_long}")).await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn a_long_poll_comes_back_when_the_job_has_ended() {
    let rig = Rig::start().await;
    let id = rig.submit(job(json!({}))).await;
    let settle = async {
        rig.gateway.until_waiting(1).await;
        rig.succeed(&id).await;
    };
    let (shown, ()) = tokio::join!(wait(&rig, &id, "1m"), settle);
    assert_eq!((&shown["status"], &shown["outcome"]["status"]), (&json!("success"), &json!("success")));
    assert_eq!(wait(&rig, &id, "1h").await["status"], "success");
    rig.gateway.until_waiting(0).await;
}

#[tokio::test]
async fn a_long_poll_whose_time_is_over_shows_the_job_as_it_is() {
    let rig = Rig::start().await;
    let id = rig.submit(job(json!({}))).await;
    for how_long in ["300ms", "0.3"] {
        let begin = Instant::now();
        assert_eq!(wait(&rig, &id, how_long).await["status"], "queued");
        assert!(begin.elapsed() >= Duration::from_millis(300));
    }
    assert_eq!(wait(&rig, &id, "0").await["status"], "queued");
}

#[tokio::test]
async fn nobody_waits_longer_than_is_configured() {
    let rig = Rig::with("gateway.max_wait = \"1s\"").await;
    let id = rig.submit(job(json!({}))).await;
    let begin = Instant::now();
    assert_eq!(wait(&rig, &id, "1h").await["status"], "queued");
    assert!(begin.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn an_end_that_nobody_told_of_is_seen_all_the_same() {
    let rig = Rig::start().await;
    let id = rig.submit(job(json!({}))).await;
    let settle = async {
        rig.gateway.until_waiting(1).await;
        rig.succeed_in_silence(&id).await;
    };
    let (shown, ()) = tokio::join!(wait(&rig, &id, "1m"), settle);
    assert_eq!(shown["status"], "success");
}

#[tokio::test]
async fn a_client_that_leaves_is_waited_for_no_more() {
    let rig = Rig::start().await;
    let id = rig.submit(job(json!({}))).await;
    let poll = rig.gateway.request(reqwest::Method::GET, &format!("/v1/jobs/{id}?wait=1m")).send();
    let poll = tokio::spawn(poll);
    let events = rig.gateway.follow(&id, None).await;
    rig.gateway.until_waiting(2).await;
    poll.abort();
    rig.gateway.until_waiting(1).await;
    drop(events);
    rig.gateway.until_waiting(0).await;
}

#[tokio::test]
async fn a_wait_that_is_no_time_is_refused_by_name() {
    let rig = Rig::start().await;
    let id = rig.submit(job(json!({}))).await;
    for query in ["wait=soon", "wait=", "wait=-1", "wait=1s&wait=2s", "wiat=1s"] {
        let problem = rig.gateway.get(&format!("/v1/jobs/{id}?{query}")).await.problem(400, "bad_query");
        assert!(problem["detail"].as_str().unwrap().contains("`wait`"), "{problem}");
    }
}
