//! `POST /v1/jobs/batch`: each job answered for itself, in order.

use http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{Answer, Rig, job, until};

#[tokio::test]
async fn each_job_of_a_batch_is_answered_as_if_it_came_alone() {
    let rig = Rig::start().await;
    let known = rig.submit(job(json!({"idempotent_key": "known"}))).await;
    let batch = json!([
        job(json!({"idempotent_key": "new"})),
        job(json!({"idempotent_key": "known"})),
        job(json!({"idempotent_key": "known", "body": "other"})),
        {"url": "nowhere", "colour": "red"},
        "no job",
    ]);
    let answer = rig.gateway.post("/v1/jobs/batch", &batch).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let answer = answer.json();
    let items = answer["items"].as_array().unwrap();
    let statuses: Vec<&Value> = items.iter().map(|item| &item["status"]).collect();
    assert_eq!(statuses, [202, 200, 409, 422, 422]);
    assert_eq!((&items[0]["job"]["idempotent_key"], &items[0]["job"]["duplicate"]), (&json!("new"), &json!(false)));
    assert_eq!((&items[1]["job"]["job_id"], &items[1]["job"]["duplicate"]), (&json!(known.as_str()), &json!(true)));
    assert_eq!(items[2]["problem"]["code"], "conflict");
    assert_eq!(items[3]["problem"]["faults"].as_array().unwrap().len(), 2);
    assert!(items[0].get("problem").is_none() && items[4].get("job").is_none());
}

#[tokio::test]
async fn a_large_batch_is_answered_in_order() {
    let rig = Rig::start().await;
    let keys: Vec<String> = (0..300).map(|n| format!("key-{n}")).collect();
    let batch: Vec<Value> = keys.iter().map(|key| job(json!({"idempotent_key": key}))).collect();
    let answer = rig.gateway.post("/v1/jobs/batch", &json!(batch)).await.json();
    let answered = answer["items"].as_array().unwrap().iter().map(|item| &item["job"]["idempotent_key"]);
    assert!(answered.eq(&keys), "{answer}");
}

#[tokio::test]
async fn what_is_no_batch_is_refused_whole() {
    let rig = Rig::with("gateway.max_batch = 2").await;
    let post = async |batch: Value| rig.gateway.post("/v1/jobs/batch", &batch).await;
    let most = post(json!([job(json!({})), job(json!({})), job(json!({}))])).await.problem(422, "too_many_jobs");
    assert!(most["detail"].as_str().unwrap().contains('2'), "{most}");
    post(job(json!({}))).await.problem(422, "invalid_batch");
    assert_eq!(post(json!([])).await.json(), json!({"items": []}));
    let request = || rig.gateway.request(Method::POST, "/v1/jobs/batch");
    Answer::to(request().body("[1,")).await.problem(400, "not_json");
    Answer::to(request().json(&json!([])).header("idempotency-key", "k")).await.problem(422, "invalid_key");
    let large = "x".repeat(5 * rig.nats().max_payload());
    Answer::to(request().json(&json!([large]))).await.problem(413, "too_large");
}

#[tokio::test]
async fn a_batch_whose_client_leaves_is_taken_in_to_its_end() {
    const JOBS: usize = 400;
    let rig = Rig::start().await;
    let batch: Vec<Value> = (0..JOBS).map(|_| job(json!({}))).collect();
    let request = rig.gateway.request(Method::POST, "/v1/jobs/batch").json(&json!(batch));
    let client = tokio::spawn(request.send());
    let accepted = async || {
        let counts = rig.gateway.get("/metrics").await.text;
        let line = "sluice_jobs_submitted_total{via=\"http\",outcome=\"accepted\"} ";
        counts.lines().find_map(|one| one.strip_prefix(line)).unwrap().parse::<usize>().unwrap()
    };
    until("the first jobs", async || (accepted().await > 0).then_some(())).await;
    client.abort();
    until("the last job", async || (accepted().await == JOBS).then_some(())).await;
}
