//! A broker that does not answer: nobody is told more than is known.

use reqwest::Method;
use serde_json::json;

use crate::rig::{Answer, Rig, job};

#[tokio::test]
async fn a_broker_that_is_away_leaves_a_submission_unconfirmed_and_a_job_unseen() {
    let mut rig = Rig::start().await;
    let id = rig.submit(job(json!({}))).await;
    rig.broker.broker.kill().await;
    let submit = rig.gateway.request(Method::POST, "/v1/jobs").json(&job(json!({})));
    let (path, get_path) = (format!("/v1/jobs/{id}"), format!("/v1/jobs/{id}?wait=1ms"));
    let (submitted, shown, waited, cancelled, ready) = tokio::join!(
        Answer::to(submit),
        rig.gateway.get(&path),
        rig.gateway.get(&get_path),
        rig.gateway.delete(&path),
        rig.gateway.get("/readyz"),
    );
    let problem = submitted.problem(503, "unconfirmed");
    assert!(submitted.header("retry-after").is_some());
    let key = problem["idempotent_key"].as_str().unwrap().to_owned();
    assert!(problem["detail"].as_str().unwrap().contains(&key), "{problem}");
    shown.problem(503, "unavailable");
    waited.problem(503, "unavailable");
    cancelled.problem(503, "unconfirmed");
    assert_eq!(ready.status.as_u16(), 503);
    rig.broker.broker.restart().await.unwrap();
    let again = || rig.gateway.request(Method::POST, "/v1/jobs").json(&job(json!({}))).header("idempotency-key", &key);
    let taken = crate::rig::until("the broker", async || {
        Some(Answer::to(again()).await).filter(|answer| answer.status.is_success())
    })
    .await;
    assert_eq!(taken.json()["idempotent_key"], key);
}
