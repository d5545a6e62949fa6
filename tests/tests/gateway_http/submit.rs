//! `POST /v1/jobs`: what is taken, and how what is not is answered.

use http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};
use sluice_shared::domain::id::{BranchId, Token};
use sluice_shared::effects::Effects;

use crate::rig::{Answer, Rig, job};
use crate::settle::now;

#[tokio::test]
async fn a_new_job_is_accepted_and_its_work_is_published() {
    let rig = Rig::start().await;
    let answer = rig.gateway.post("/v1/jobs", &job(json!({"idempotent_key": "k"}))).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let id = answer.job_id();
    assert_eq!(answer.header("location").unwrap(), format!("/v1/jobs/{id}"));
    let expected = json!({"job_id": id.as_str(), "status": "queued", "idempotent_key": "k", "duplicate": false});
    assert_eq!(answer.json(), expected);
    let (record, _) = rig.record(&id).await;
    let address = Effects::address(&id, &record, Token::Branch(BranchId::OWN)).unwrap();
    let stream = rig.nats().topology().jobs_stream(0);
    assert!(rig.nats().newest(&stream, &address.any_stage("sluice")).await.unwrap().is_some());
}

#[tokio::test]
async fn the_same_submission_again_is_the_same_job_and_says_how_it_ended() {
    let rig = Rig::start().await;
    let submission = job(json!({"idempotent_key": "k"}));
    let id = rig.submit(submission.clone()).await;
    let again = rig.gateway.post("/v1/jobs", &submission).await;
    assert_eq!((again.status, again.job_id()), (StatusCode::OK, id.clone()));
    assert_eq!((&again.json()["duplicate"], &again.json()["status"]), (&json!(true), &json!("queued")));
    rig.succeed(&id).await;
    let ended = rig.gateway.post("/v1/jobs", &submission).await;
    assert_eq!((ended.status, &ended.json()["status"]), (StatusCode::OK, &json!("success")));
}

#[tokio::test]
async fn a_key_that_names_another_request_is_a_conflict() {
    let rig = Rig::start().await;
    let id = rig.submit(job(json!({"idempotent_key": "k"}))).await;
    let other = rig.gateway.post("/v1/jobs", &job(json!({"idempotent_key": "k", "body": "other"}))).await;
    let problem = other.problem(409, "conflict");
    assert_eq!((&problem["idempotent_key"], &problem["job_id"]), (&json!("k"), &json!(id.as_str())));
}

#[tokio::test]
async fn every_fault_of_a_bad_job_is_named_with_its_path() {
    let rig = Rig::start().await;
    let bad = json!({
        "url": "ftp://a.example/", "method": "GET /", "colour": "red", "headers": {"host": "x"},
        "webhooks": [{"url": "https://ok.example/"}, {"url": "nats:$SYS.x"}],
        "fallback_job": {"url": "https://b.example/", "trigger": {"type": "on_error", "codes": [42]}},
        "deadline_ms": 1, "region_policy": "strict",
    });
    let problem = rig.gateway.post("/v1/jobs", &bad).await.problem(422, "invalid_job");
    let faults = problem["faults"].as_array().unwrap();
    let mut paths: Vec<&str> = faults.iter().map(|fault| fault["path"].as_str().unwrap()).collect();
    paths.sort_unstable();
    let expected = [
        "colour",
        "deadline_ms",
        "fallback_job.trigger.codes[0]",
        "headers.host",
        "method",
        "region_policy",
        "url",
        "webhooks[1].url",
    ];
    assert_eq!(paths, expected);
    assert!(faults.iter().all(|fault| fault["code"].is_string() && fault["message"].is_string()), "{problem}");
}

#[tokio::test]
async fn what_is_no_job_at_all_is_refused_for_what_it_is() {
    let rig = Rig::start().await;
    let post = async |media_type: Option<&str>, body: &'static str| {
        let request = rig.gateway.request(Method::POST, "/v1/jobs").body(body);
        Answer::to(match media_type {
            Some(media_type) => request.header("content-type", media_type),
            None => request,
        })
        .await
    };
    let json_type = Some("application/json");
    post(json_type, "{\"url\": nonsense}").await.problem(400, "not_json");
    post(json_type, "").await.problem(400, "not_json");
    post(json_type, "[]").await.problem(422, "invalid_job");
    post(Some("text/plain"), "{}").await.problem(415, "not_json_type");
    assert_eq!(post(None, r#"{"url":"http://a.example/"}"#).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn what_is_too_large_is_refused_though_the_client_is_still_sending() {
    let rig = Rig::start().await;
    let limit = rig.nats().max_payload();
    let post = async |length: usize| rig.gateway.post("/v1/jobs", &job(json!({"body": "x".repeat(length)}))).await;
    let whole = post(2 * limit).await.problem(413, "too_large");
    assert!(whole["detail"].as_str().unwrap().contains(&limit.to_string()), "{whole}");
    let body = post(limit - 1_000).await.problem(413, "too_large");
    assert_eq!(body["faults"][0]["code"], "too_large");
    assert_eq!(post(limit / 4).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_key_beside_the_job_names_it_unless_it_contradicts_the_job_or_is_none() {
    let rig = Rig::start().await;
    let post = async |keys: &[&[u8]], fields: Value| {
        let mut request = rig.gateway.request(Method::POST, "/v1/jobs").json(&job(fields));
        for key in keys {
            request = request.header("idempotency-key", *key);
        }
        Answer::to(request).await
    };
    let taken = post(&[b"beside"], json!({})).await;
    assert_eq!((taken.status, &taken.json()["idempotent_key"]), (StatusCode::ACCEPTED, &json!("beside")));
    assert_eq!(post(&[b"k"], json!({"idempotent_key": "k"})).await.status, StatusCode::ACCEPTED);
    assert_eq!(post(&["schlüssel".as_bytes()], json!({})).await.json()["idempotent_key"], "schlüssel");
    post(&[b"k"], json!({"idempotent_key": "other"})).await.problem(422, "two_keys");
    for keys in [&[b"".as_slice()] as &[&[u8]], &[b"\xff"], &[b"one", b"two"]] {
        post(keys, json!({})).await.problem(422, "invalid_key");
    }
}

#[tokio::test]
async fn every_job_belongs_to_a_trace() {
    let rig = Rig::start().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let post = async |given: &str| {
        let request = rig.gateway.request(Method::POST, "/v1/jobs").json(&job(json!({}))).header("traceparent", given);
        let id = Answer::to(request).await.job_id();
        rig.show(&id).await["traceparent"].as_str().unwrap().to_owned()
    };
    assert_eq!(post(trace).await, trace);
    let begun = post("nonsense").await;
    assert_ne!(begun, post("nonsense").await);
    assert_eq!(begun.len(), trace.len());
}

#[tokio::test]
async fn a_job_that_starts_later_backs_off_until_then() {
    let rig = Rig::start().await;
    let at = now().0 + 600_000;
    let answer = rig.gateway.post("/v1/jobs", &job(json!({"retry_at": at}))).await;
    assert_eq!(answer.json()["status"], "backing_off");
    assert_eq!(rig.show(&answer.job_id()).await["starts_at"], at);
}
