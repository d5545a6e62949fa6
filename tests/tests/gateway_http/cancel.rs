//! `DELETE /v1/jobs/{id}`.

use http::StatusCode;
use serde_json::json;

use crate::rig::{Rig, job};

#[tokio::test]
async fn a_cancelled_job_ends_at_once_and_stays_cancelled() {
    let rig = Rig::start().await;
    let id = rig.submit(job(json!({}))).await;
    for _ in 0..2 {
        let answer = rig.gateway.delete(&format!("/v1/jobs/{id}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let shown = answer.json();
        assert_eq!((&shown["status"], &shown["outcome"]["reason"]), (&json!("cancelled"), &json!("cancelled")));
        assert_eq!(shown["branches"][0]["status"], "cancelled");
        assert_eq!(shown, rig.show(&id).await);
    }
}

#[tokio::test]
async fn a_job_that_has_ended_is_not_changed_by_a_cancel() {
    let rig = Rig::start().await;
    let id = rig.submit(job(json!({}))).await;
    rig.succeed(&id).await;
    let answer = rig.gateway.delete(&format!("/v1/jobs/{id}")).await;
    assert_eq!((answer.status, &answer.json()["status"]), (StatusCode::OK, &json!("success")));
}
