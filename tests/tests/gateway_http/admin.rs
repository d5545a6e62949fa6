//! Health, readiness, counts, and answers for what is not there.

use http::StatusCode;
use reqwest::Method;
use serde_json::json;

use crate::rig::{Answer, Rig, job};

#[tokio::test]
async fn it_is_ready_as_long_as_all_that_jobs_need_is_there() {
    let rig = Rig::start().await;
    assert_eq!(rig.gateway.get("/healthz").await.text, "ok\n");
    let ready = rig.gateway.get("/readyz").await;
    assert_eq!((ready.status, ready.text.as_str()), (StatusCode::OK, "ready\n"));
    rig.nats().jetstream().delete_stream("KV_sluice_gates").await.unwrap();
    let ready = rig.gateway.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(ready.text.contains("KV_sluice_gates"), "{ready:?}");
    assert_eq!(rig.gateway.get("/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn submissions_are_counted_by_what_became_of_them() {
    let rig = Rig::start().await;
    rig.submit(job(json!({"idempotent_key": "k"}))).await;
    for (submission, times) in [
        (job(json!({"idempotent_key": "k"})), 2),
        (job(json!({"idempotent_key": "k", "body": "other"})), 1),
        (json!({}), 3),
    ] {
        for _ in 0..times {
            rig.gateway.post("/v1/jobs", &submission).await;
        }
    }
    rig.gateway.post("/v1/jobs/batch", &json!([job(json!({})), {}])).await;
    let counts = rig.gateway.get("/metrics").await;
    assert!(counts.header("content-type").unwrap().starts_with("application/openmetrics-text"), "{counts:?}");
    for (outcome, count) in [("accepted", 2), ("duplicate", 2), ("conflict", 1), ("refused", 4)] {
        let line = format!("sluice_jobs_submitted_total{{via=\"http\",outcome=\"{outcome}\"}} {count}");
        assert!(counts.text.lines().any(|one| one == line), "no `{line}` in\n{}", counts.text);
    }
}

#[tokio::test]
async fn what_is_not_there_is_answered_as_a_problem() {
    let rig = Rig::start().await;
    for path in ["/", "/v1", "/v1/jobs/a/b", "/v2/jobs"] {
        rig.gateway.get(path).await.problem(404, "no_such_route");
    }
    for (method, path, allowed) in [
        (Method::GET, "/v1/jobs", "POST"),
        (Method::PUT, "/v1/jobs/job_x", "GET,HEAD,DELETE"),
        (Method::POST, "/metrics", "GET,HEAD"),
    ] {
        let answer = Answer::to(rig.gateway.request(method, path)).await;
        answer.problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some(allowed));
    }
}

#[tokio::test]
async fn http_2_is_spoken_without_tls() {
    let rig = Rig::start().await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let url = rig.gateway.request(Method::GET, "/healthz").build().unwrap().url().clone();
    let response = client.get(url).send().await.unwrap();
    assert_eq!((response.version(), response.status()), (http::Version::HTTP_2, StatusCode::OK));
}
